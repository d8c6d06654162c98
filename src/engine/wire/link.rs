//! Link-layer headers and what sits between them and IP.

/// IEEE 802.3 / Ethernet II header, 14 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Ethernet<'a>(&'a [u8; 14]);

impl<'a> Ethernet<'a> {
    pub const LEN: usize = 14;

    #[inline]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Ethernet)
    }

    #[inline]
    pub fn dst(self) -> [u8; 6] {
        let [a, b, c, d, e, f, ..] = *self.0;
        [a, b, c, d, e, f]
    }

    #[inline]
    pub fn src(self) -> [u8; 6] {
        let [_, _, _, _, _, _, a, b, c, d, e, f, ..] = *self.0;
        [a, b, c, d, e, f]
    }

    /// EtherType, or the length of an 802.3 frame when below 0x600.
    #[inline]
    pub fn ether_type(self) -> u16 {
        u16::from_be_bytes([self.0[12], self.0[13]])
    }
}

/// EtherType values (IEEE 802 registry).
pub mod ether_type {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    /// Transparent Ethernet bridging, as GRE and Geneve carry it (RFC 1701).
    pub const BRIDGE: u16 = 0x6558;
    pub const VLAN: u16 = 0x8100;
    pub const IPV6: u16 = 0x86dd;
    pub const PPP: u16 = 0x880b;
    pub const MPLS_UNICAST: u16 = 0x8847;
    pub const MPLS_MULTICAST: u16 = 0x8848;
    pub const PPPOE_DISCOVERY: u16 = 0x8863;
    pub const PPPOE_SESSION: u16 = 0x8864;
    /// 802.1ad, provider bridges.
    pub const QINQ: u16 = 0x88a8;
    pub const ERSPAN: u16 = 0x88be;
    /// 802.1ah, backbone service tag.
    pub const BACKBONE: u16 = 0x88e7;
    /// Cisco fabric path, data centre ethernet.
    pub const DCE: u16 = 0x8903;
    pub const VNTAG: u16 = 0x8926;
    /// 802.1BR E-tag.
    pub const ETAG: u16 = 0x893f;
    pub const NSH: u16 = 0x894f;
    /// QinQ before 802.1ad.
    pub const QINQ_OLD: u16 = 0x9100;
    /// Cisco HDLC's own keep-alive protocol.
    pub const SLARP: u16 = 0x8035;
}

/// An 802.1Q tag after its EtherType: control information and the next EtherType, 4 bytes.
#[derive(Clone, Copy, Debug)]
pub struct VlanTag<'a>(&'a [u8; 4]);

impl<'a> VlanTag<'a> {
    pub const LEN: usize = 4;

    #[inline]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(VlanTag)
    }

    /// VLAN identifier, 12 bits.
    #[inline]
    pub fn id(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]]) & 0x0fff
    }

    pub fn priority(self) -> u8 {
        self.0[0] >> 5
    }

    #[inline]
    pub fn ether_type(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }
}

/// One entry of an MPLS label stack (RFC 3032 2.1), 4 bytes.
#[derive(Clone, Copy, Debug)]
pub struct MplsLabel(u32);

impl MplsLabel {
    pub const LEN: usize = 4;

    pub fn parse(data: &[u8]) -> Option<Self> {
        data.first_chunk().map(|b| MplsLabel(u32::from_be_bytes(*b)))
    }

    pub const fn label(self) -> u32 {
        self.0 >> 12
    }

    pub const fn bottom(self) -> bool {
        self.0 & 0x100 != 0
    }
}

/// PPPoE header (RFC 2516 4), 6 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Pppoe<'a>(&'a [u8; 6]);

impl<'a> Pppoe<'a> {
    pub const LEN: usize = 6;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Pppoe)
    }

    pub fn version(self) -> u8 {
        self.0[0] >> 4
    }

    pub fn kind(self) -> u8 {
        self.0[0] & 0x0f
    }

    pub fn code(self) -> u8 {
        self.0[1]
    }

    pub fn session(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// Bytes after this header.
    pub fn payload_len(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }
}

/// PPP protocol numbers (IANA "PPP numbers").
pub mod ppp {
    pub const IPV4: u16 = 0x0021;
    /// Van Jacobson compressed TCP/IP.
    pub const VJ_COMPRESSED: u16 = 0x002d;
    /// Van Jacobson uncompressed TCP/IP: an IPv4 packet whose protocol field holds a slot number.
    pub const VJ_UNCOMPRESSED: u16 = 0x002f;
    pub const IPV6: u16 = 0x0057;

    /// Network-layer protocols and their control protocols that the engine does not look into.
    pub const fn network(proto: u16) -> bool {
        matches!(
            proto,
            0x23 | 0x25
                | 0x27
                | 0x29
                | 0x2b
                | VJ_COMPRESSED
                | 0x31
                | 0x33
                | 0x35
                | 0x201
                | 0x231
                | 0x233
                | 0x281
                | 0x283
                | 0x8023
                | 0x8025
                | 0x8027
                | 0x8029
                | 0x802b
                | 0x8033
                | 0x8035
                | 0x8281
        )
    }

    /// Link, network and compression control, authentication, quality: the protocols that set a link up, and compressed
    /// datagrams.
    pub const fn control(proto: u16) -> bool {
        matches!(proto, 0xfd | 0x8021 | 0x8057 | 0x80fd | 0x8207 | 0xc021 | 0xc023 | 0xc025 | 0xc029 | 0xc223)
    }
}

/// 802.2 LLC with the SNAP extension: DSAP 0xaa, SSAP 0xaa, control 3, OUI, EtherType; 8 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Snap<'a>(&'a [u8; 8]);

impl<'a> Snap<'a> {
    pub const LEN: usize = 8;

    /// `None` also when the first bytes are not LLC/SNAP.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let s: &[u8; 8] = data.first_chunk()?;
        matches!(s, [0xaa, 0xaa, 0x03, ..]).then_some(Snap(s))
    }

    pub fn oui(self) -> [u8; 3] {
        [self.0[3], self.0[4], self.0[5]]
    }

    pub fn ether_type(self) -> u16 {
        u16::from_be_bytes([self.0[6], self.0[7]])
    }
}

/// Linux cooked capture, version 1 (LINKTYPE_LINUX_SLL), 16 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sll<'a>(&'a [u8; 16]);

impl<'a> Sll<'a> {
    pub const LEN: usize = 16;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Sll)
    }

    pub fn ether_type(self) -> u16 {
        u16::from_be_bytes([self.0[14], self.0[15]])
    }
}

/// Linux cooked capture, version 2 (LINKTYPE_LINUX_SLL2), 20 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sll2<'a>(&'a [u8; 20]);

impl<'a> Sll2<'a> {
    pub const LEN: usize = 20;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Sll2)
    }

    pub fn ether_type(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }
}

/// Radiotap: little-endian length of the header at bytes 2 and 3 (radiotap.org).
pub fn radiotap_len(data: &[u8]) -> Option<usize> {
    let [_, _, lo, hi] = *data.first_chunk()?;
    Some(usize::from(u16::from_le_bytes([lo, hi])))
}

/// IEEE 802.11 data frames, unencrypted: length of the MAC header, with the source and destination addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dot11Data {
    pub header_len: usize,
    pub dst: [u8; 6],
    pub src: [u8; 6],
}

impl Dot11Data {
    /// `None` for anything but a whole, unprotected data frame that carries data (IEEE 802.11 9.3.2).
    pub fn parse(data: &[u8]) -> Option<Self> {
        let [control, flags, _, _] = *data.first_chunk()?;
        let (version, kind, subtype) = (control & 3, (control >> 2) & 3, control >> 4);
        let (to_ds, from_ds, protected, order) = (flags & 1 != 0, flags & 2 != 0, flags & 0x40 != 0, flags & 0x80 != 0);
        let no_data = subtype & 0x4 != 0;
        if version != 0 || kind != 2 || no_data || protected || flags & 0x04 != 0 {
            return None;
        }
        let address = |at: usize| -> Option<[u8; 6]> { data.get(at..)?.first_chunk().copied() };
        let (a1, a2, a3) = (address(4)?, address(10)?, address(16)?);
        let (dst, src) = match (to_ds, from_ds) {
            (false, false) => (a1, a2),
            (false, true) => (a1, a3),
            (true, false) => (a3, a2),
            (true, true) => (a3, address(24)?),
        };
        let mut header_len = if to_ds && from_ds { 30 } else { 24 };
        if subtype & 0x8 != 0 {
            header_len += 2;
            if order {
                header_len += 4;
            }
        }
        Some(Dot11Data { header_len, dst, src })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_from_their_places() {
        let e = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16, 0x08, 0x00];
        let v = Ethernet::parse(&e).unwrap();
        assert_eq!((v.dst(), v.src(), v.ether_type()), ([1, 2, 3, 4, 5, 6], [11, 12, 13, 14, 15, 16], 0x800));
        assert!(Ethernet::parse(&e[..13]).is_none());

        let t = VlanTag::parse(&[0xe1, 0x23, 0x86, 0xdd]).unwrap();
        assert_eq!((t.id(), t.priority(), t.ether_type()), (0x123, 7, 0x86dd));

        let m = MplsLabel::parse(&[0x00, 0x01, 0x01, 0x40]).unwrap();
        assert_eq!((m.label(), m.bottom()), (16, true));
    }

    #[test]
    fn dot11_takes_plain_data_only() {
        let mut f = vec![0x08, 0x01, 0, 0];
        f.extend([1; 6]);
        f.extend([2; 6]);
        f.extend([3; 6]);
        f.extend([0, 0]);
        assert_eq!(Dot11Data::parse(&f).unwrap(), Dot11Data { header_len: 24, dst: [3; 6], src: [2; 6] });
        f[1] |= 0x40;
        assert!(Dot11Data::parse(&f).is_none(), "protected");
        assert!(Dot11Data::parse(&[0x80, 0]).is_none(), "beacon");
    }
}
