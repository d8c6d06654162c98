//! Checksums of headers: whether the one a packet carries is right.
//!
//! Where checksums are not verified (`-k none`), every one counts as right.

use super::{Argument, Keyword, Kind, Value};
use crate::decode::{L4, Packet};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{PacketFacts, PacketTest};

macro_rules! csum {
    ($($id:ident $name:literal $example:literal $bad:literal $sum:ident $doc:literal;)*) => {$(
        pub const $id: Keyword = Keyword {
            name: $name,
            aliases: &[],
            kind: Kind::Header,
            argument: Argument::Either,
            doc: $doc,
            syntax: "<valid|invalid>",
            example_ok: $example,
            example_bad: $bad,
            parse: |b, v| csum(b, v, $name, Sum::$sum),
        };
    )*};
}

csum! {
    IPV4 "ipv4-csum" "ipv4-csum:invalid;" "ipv4-csum:wrong;" Ipv4 "the checksum of the IPv4 header";
    TCPV4 "tcpv4-csum" "tcpv4-csum:invalid;" "tcpv4-csum:wrong;" Tcp4 "the checksum of TCP over IPv4";
    TCPV6 "tcpv6-csum" "tcpv6-csum:invalid;" "tcpv6-csum:wrong;" Tcp6 "the checksum of TCP over IPv6";
    UDPV4 "udpv4-csum" "udpv4-csum:invalid;" "udpv4-csum:wrong;" Udp4 "the checksum of UDP over IPv4, where there is one";
    UDPV6 "udpv6-csum" "udpv6-csum:invalid;" "udpv6-csum:wrong;" Udp6 "the checksum of UDP over IPv6";
    ICMPV4 "icmpv4-csum" "icmpv4-csum:invalid;" "icmpv4-csum:wrong;" Icmp4 "the checksum of ICMP";
    ICMPV6 "icmpv6-csum" "icmpv6-csum:invalid;" "icmpv6-csum:wrong;" Icmp6 "the checksum of ICMPv6";
}

#[derive(Clone, Copy, Debug)]
enum Sum {
    Ipv4,
    Tcp4,
    Tcp6,
    Udp4,
    Udp6,
    Icmp4,
    Icmp6,
}

fn csum(b: &mut Builder<'_>, v: &Value<'_>, name: &'static str, sum: Sum) -> Result<(), Fault> {
    let valid = match v.text.trim().to_ascii_lowercase().as_str() {
        "valid" => true,
        "invalid" => false,
        _ => return Err(Fault::argument("`valid` or `invalid` is expected").at(v.span.clone())),
    };
    b.packet_test(name, Csum { sum, valid });
    Ok(())
}

#[derive(Debug)]
struct Csum {
    sum: Sum,
    valid: bool,
}

impl Csum {
    /// Whether the packet's checksum is right; `None` where it has none of this kind.
    fn right(&self, p: &Packet<'_>) -> Option<bool> {
        let v4 = p.tuple.src.is_ipv4();
        let there = match self.sum {
            Sum::Ipv4 => return p.ip_checksum_ok(),
            Sum::Tcp4 => v4 && p.tcp().is_some(),
            Sum::Tcp6 => !v4 && p.tcp().is_some(),
            Sum::Udp4 | Sum::Udp6 => {
                let L4::Udp { header } = p.l4 else { return None };
                // A zero field over IPv4: the sender computed none.
                let none = matches!(header.of(p.bytes.as_slice()).get(6..8), Some([0, 0]));
                v4 == matches!(self.sum, Sum::Udp4) && !none
            }
            Sum::Icmp4 => matches!(p.l4, L4::Icmp4 { .. }),
            Sum::Icmp6 => matches!(p.l4, L4::Icmp6 { .. }),
        };
        if there { p.l4_checksum_ok() } else { None }
    }
}

impl PacketTest for Csum {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        self.right(f.packet).is_some_and(|right| (right || f.packet.flags.checksum_unverified) == self.valid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Decoder, Frame, LinkType, PortId, Settings};
    use crate::types::{Counters, Limits, Timestamp};

    /// The outcome of `sum` being wrong, on an IPv4 and UDP packet of these two checksum fields.
    fn invalid(sum: Sum, ip: [u8; 2], udp: [u8; 2], verify: bool) -> bool {
        let mut bytes = vec![0x45, 0, 0, 30, 0, 0, 0x40, 0, 0x40, 0x11, ip[0], ip[1], 10, 0, 0, 1, 10, 0, 0, 2];
        bytes.extend([4, 0, 8, 0, 0, 10, udp[0], udp[1], b'h', b'i']);
        let settings = Settings { verify_checksums: verify, ..Settings::default() };
        let mut decoder = Decoder::new(settings, &Limits::default());
        let frame = Frame {
            ts: Timestamp::ZERO,
            number: 1,
            link: LinkType::RAW,
            port: PortId(0),
            data: &bytes,
            wire_len: bytes.len() as u32,
        };
        let mut packets = Vec::new();
        decoder.decode(&frame, 0, &mut packets, &mut Counters::default());
        let test = Csum { sum, valid: false };
        let p = &packets[0].1;
        test.right(p).is_some_and(|right| (right || p.flags.checksum_unverified) == test.valid)
    }

    #[test]
    fn a_wrong_sum_is_told_where_sums_are_verified() {
        let (right, wrong) = ([0x26, 0xcd], [0x12, 0x34]);
        assert!(!invalid(Sum::Ipv4, right, [0, 0], true) && invalid(Sum::Ipv4, wrong, [0, 0], true));
        assert!(!invalid(Sum::Ipv4, wrong, [0, 0], false));
        assert!(!invalid(Sum::Udp4, right, [0, 0], true), "no sum");
        assert!(invalid(Sum::Udp4, right, [1, 1], true) && !invalid(Sum::Udp6, right, [1, 1], true));
        assert!(!invalid(Sum::Tcp4, right, [1, 1], true) && !invalid(Sum::Icmp4, right, [1, 1], true));
    }
}
