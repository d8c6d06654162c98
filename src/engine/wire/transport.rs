//! TCP, UDP and SCTP headers.

/// Fixed TCP header (RFC 9293 3.1), 20 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a>(&'a [u8; 20]);

impl<'a> Tcp<'a> {
    pub const LEN: usize = 20;

    #[inline]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Tcp)
    }

    #[inline]
    pub fn sport(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    #[inline]
    pub fn dport(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    #[inline]
    pub fn seq(self) -> u32 {
        u32::from_be_bytes([self.0[4], self.0[5], self.0[6], self.0[7]])
    }

    #[inline]
    pub fn ack(self) -> u32 {
        u32::from_be_bytes([self.0[8], self.0[9], self.0[10], self.0[11]])
    }

    /// Header length in bytes as claimed, 0..=60.
    #[inline]
    pub fn header_len(self) -> usize {
        usize::from(self.0[12] >> 4) * 4
    }

    #[inline]
    pub fn flags(self) -> u8 {
        self.0[13]
    }

    #[inline]
    pub fn window(self) -> u16 {
        u16::from_be_bytes([self.0[14], self.0[15]])
    }

    #[inline]
    pub fn urgent(self) -> u16 {
        u16::from_be_bytes([self.0[18], self.0[19]])
    }
}

/// TCP option kinds (IANA "TCP parameters").
pub mod tcp_option {
    pub const END: u8 = 0;
    pub const NOP: u8 = 1;
    pub const MSS: u8 = 2;
    pub const WINDOW_SCALE: u8 = 3;
    pub const SACK_PERMITTED: u8 = 4;
    pub const SACK: u8 = 5;
    pub const TIMESTAMPS: u8 = 8;
    /// RFC 2385.
    pub const MD5: u8 = 19;
    /// RFC 5925.
    pub const AUTHENTICATION: u8 = 29;
    /// RFC 8684; its subtype is in the first four bits behind the length.
    pub const MULTIPATH: u8 = 30;
    /// RFC 7413.
    pub const FAST_OPEN: u8 = 34;
    /// RFC 6994, shared experiments; 0xf989 is Fast Open before its number.
    pub const EXPERIMENT_1: u8 = 253;
    pub const EXPERIMENT_2: u8 = 254;
}

/// UDP header (RFC 768), 8 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a>(&'a [u8; 8]);

impl<'a> Udp<'a> {
    pub const LEN: usize = 8;

    #[inline]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Udp)
    }

    pub fn sport(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    pub fn dport(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Header and payload as claimed.
    pub fn len(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    pub fn is_empty(self) -> bool {
        self.len() <= 8
    }
}

/// SCTP common header (RFC 9260 3.1), 12 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sctp<'a>(&'a [u8; 12]);

impl<'a> Sctp<'a> {
    pub const LEN: usize = 12;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Sctp)
    }

    pub fn sport(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    pub fn dport(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    pub fn vtag(self) -> u32 {
        u32::from_be_bytes([self.0[4], self.0[5], self.0[6], self.0[7]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_from_their_places() {
        let b = [0, 80, 0x30, 0x39, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x12, 0xff, 0xfe, 0, 0, 0, 9];
        let t = Tcp::parse(&b).unwrap();
        assert_eq!((t.sport(), t.dport(), t.seq(), t.ack()), (80, 12345, 0x01020304, 0x05060708));
        assert_eq!((t.header_len(), t.flags(), t.window(), t.urgent()), (20, 0x12, 0xfffe, 9));
        let u = Udp::parse(&b).unwrap();
        assert_eq!((u.sport(), u.dport(), u.len()), (80, 12345, 0x0102));
    }
}
