//! Addresses and ports of a packet, and IP protocol numbers.

use std::net::{IpAddr, Ipv4Addr};

/// Assigned Internet protocol number (IANA); the constants are the ones the engine decodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpProto(pub u8);

impl IpProto {
    pub const HOPOPT: IpProto = IpProto(0);
    pub const ICMP: IpProto = IpProto(1);
    pub const IGMP: IpProto = IpProto(2);
    pub const IPIP: IpProto = IpProto(4);
    pub const TCP: IpProto = IpProto(6);
    pub const UDP: IpProto = IpProto(17);
    pub const IPV6: IpProto = IpProto(41);
    pub const ROUTING: IpProto = IpProto(43);
    pub const FRAGMENT: IpProto = IpProto(44);
    pub const GRE: IpProto = IpProto(47);
    pub const ESP: IpProto = IpProto(50);
    pub const AH: IpProto = IpProto(51);
    pub const ICMPV6: IpProto = IpProto(58);
    pub const NONE: IpProto = IpProto(59);
    pub const DSTOPTS: IpProto = IpProto(60);
    pub const SCTP: IpProto = IpProto(132);

    /// The name EVE's `proto` field carries, where the number has one: `TCP`, `UDP`, `ICMP`, `IPv6-ICMP`, `SCTP`, …
    pub const fn name(self) -> Option<&'static str> {
        super::protocols::name(self.0)
    }
}

/// Source and destination of one packet. Ports are zero where the protocol has none; for ICMP they hold type and code
/// only inside flow keys, never here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub sport: u16,
    pub dport: u16,
    pub proto: IpProto,
}

impl FiveTuple {
    pub const fn flip(self) -> Self {
        FiveTuple { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport, proto: self.proto }
    }
}

impl Default for FiveTuple {
    fn default() -> Self {
        let none = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        FiveTuple { src: none, dst: none, sport: 0, dport: 0, proto: IpProto(0) }
    }
}
