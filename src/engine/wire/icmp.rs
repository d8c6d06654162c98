//! ICMP (RFC 792) and ICMPv6 (RFC 4443): the first 8 bytes, which all messages share.

#[derive(Clone, Copy, Debug)]
pub struct Icmp<'a>(&'a [u8; 8]);

impl<'a> Icmp<'a> {
    pub const LEN: usize = 8;
    /// Type, code and checksum.
    pub const COMMON: usize = 4;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Icmp)
    }

    pub fn kind(self) -> u8 {
        self.0[0]
    }

    pub fn code(self) -> u8 {
        self.0[1]
    }

    /// Identifier and sequence number, where the kind carries them.
    pub fn id_seq(self) -> (u16, u16) {
        (u16::from_be_bytes([self.0[4], self.0[5]]), u16::from_be_bytes([self.0[6], self.0[7]]))
    }
}

/// ICMP types (IANA "ICMP parameters").
pub mod v4 {
    pub const ECHO_REPLY: u8 = 0;
    pub const DEST_UNREACHABLE: u8 = 3;
    pub const SOURCE_QUENCH: u8 = 4;
    pub const REDIRECT: u8 = 5;
    pub const ECHO: u8 = 8;
    pub const ROUTER_ADVERT: u8 = 9;
    pub const ROUTER_SOLICIT: u8 = 10;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
    pub const TIMESTAMP: u8 = 13;
    pub const TIMESTAMP_REPLY: u8 = 14;
    pub const INFO_REQUEST: u8 = 15;
    pub const INFO_REPLY: u8 = 16;
    pub const ADDRESS: u8 = 17;
    pub const ADDRESS_REPLY: u8 = 18;

    /// Whether bytes 4 to 7 are identifier and sequence.
    pub const fn has_id(kind: u8) -> bool {
        matches!(kind, ECHO_REPLY | ECHO | TIMESTAMP..=ADDRESS_REPLY)
    }

    /// Whether the message quotes the packet it is about.
    pub const fn is_error(kind: u8) -> bool {
        matches!(kind, DEST_UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
    }
}

/// ICMPv6 types (IANA "ICMPv6 parameters").
pub mod v6 {
    pub const DEST_UNREACHABLE: u8 = 1;
    pub const PACKET_TOO_BIG: u8 = 2;
    pub const TIME_EXCEEDED: u8 = 3;
    pub const PARAMETER_PROBLEM: u8 = 4;
    pub const ECHO_REQUEST: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
    pub const MLD_QUERY: u8 = 130;
    pub const MLD_REPORT: u8 = 131;
    pub const MLD_DONE: u8 = 132;
    pub const ROUTER_SOLICIT: u8 = 133;
    pub const ROUTER_ADVERT: u8 = 134;
    pub const NEIGHBOR_SOLICIT: u8 = 135;
    pub const NEIGHBOR_ADVERT: u8 = 136;
    pub const REDIRECT: u8 = 137;
    pub const ROUTER_RENUMBERING: u8 = 138;
    pub const NODE_QUERY: u8 = 139;
    pub const NODE_REPLY: u8 = 140;

    pub const fn has_id(kind: u8) -> bool {
        matches!(kind, ECHO_REQUEST | ECHO_REPLY)
    }

    pub const fn is_error(kind: u8) -> bool {
        matches!(kind, DEST_UNREACHABLE | PACKET_TOO_BIG | TIME_EXCEEDED | PARAMETER_PROBLEM)
    }
}
