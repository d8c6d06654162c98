//! Headers of encapsulations: GRE, ERSPAN, VXLAN, Geneve, NSH.

/// GRE flags and protocol (RFC 2784 2, RFC 2890, RFC 1701; version 1 is RFC 2637), 4 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Gre<'a>(&'a [u8; 4]);

impl<'a> Gre<'a> {
    pub const LEN: usize = 4;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Gre)
    }

    pub fn checksum_present(self) -> bool {
        self.0[0] & 0x80 != 0
    }

    pub fn routing_present(self) -> bool {
        self.0[0] & 0x40 != 0
    }

    pub fn key_present(self) -> bool {
        self.0[0] & 0x20 != 0
    }

    pub fn sequence_present(self) -> bool {
        self.0[0] & 0x10 != 0
    }

    pub fn strict_source_route(self) -> bool {
        self.0[0] & 0x08 != 0
    }

    pub fn recursion(self) -> u8 {
        self.0[0] & 0x07
    }

    /// Reserved flag bits, without the acknowledgment bit that version 1 uses.
    pub fn flags(self) -> u8 {
        self.0[1] & 0x78
    }

    /// Acknowledgment number present: version 1 only.
    pub fn ack_present(self) -> bool {
        self.0[1] & 0x80 != 0
    }

    pub fn version(self) -> u8 {
        self.0[1] & 0x07
    }

    pub fn proto(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }
}

/// ERSPAN type II header (draft-foschiano-erspan), 8 bytes; version and VLAN are all the engine reads.
#[derive(Clone, Copy, Debug)]
pub struct Erspan<'a>(&'a [u8; 8]);

impl<'a> Erspan<'a> {
    pub const LEN: usize = 8;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Erspan)
    }

    pub fn version(self) -> u8 {
        self.0[0] >> 4
    }

    pub fn vlan(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]]) & 0x0fff
    }
}

/// VXLAN header (RFC 7348 5), 8 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Vxlan<'a>(&'a [u8; 8]);

impl<'a> Vxlan<'a> {
    pub const LEN: usize = 8;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Vxlan)
    }

    /// The I flag: the network identifier is valid.
    pub fn vni_valid(self) -> bool {
        self.0[0] & 0x08 != 0
    }

    /// Whether every reserved bit is zero, as RFC 7348 wants it sent.
    pub fn reserved_zero(self) -> bool {
        let [f, a, b, c, _, _, _, d] = *self.0;
        f & 0xf7 == 0 && (a | b | c | d) == 0
    }

    pub fn vni(self) -> u32 {
        u32::from_be_bytes([0, self.0[4], self.0[5], self.0[6]])
    }
}

/// Geneve fixed header (RFC 8926 3.4), 8 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Geneve<'a>(&'a [u8; 8]);

impl<'a> Geneve<'a> {
    pub const LEN: usize = 8;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Geneve)
    }

    pub fn version(self) -> u8 {
        self.0[0] >> 6
    }

    /// Bytes of options after the fixed header.
    pub fn options_len(self) -> usize {
        usize::from(self.0[0] & 0x3f) * 4
    }

    pub fn proto(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Whether every reserved bit is zero, as RFC 8926 wants it sent.
    pub fn reserved_zero(self) -> bool {
        self.0[1] & 0x3f == 0 && self.0[7] == 0
    }
}

/// Network service header, base and service path (RFC 8300 2.2), 8 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Nsh<'a>(&'a [u8; 8]);

impl<'a> Nsh<'a> {
    pub const LEN: usize = 8;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Nsh)
    }

    pub fn version(self) -> u8 {
        self.0[0] >> 6
    }

    /// Whole header in bytes.
    pub fn header_len(self) -> usize {
        usize::from(self.0[1] & 0x3f) * 4
    }

    pub fn md_type(self) -> u8 {
        self.0[2] & 0x0f
    }

    pub fn next_protocol(self) -> u8 {
        self.0[3]
    }
}
