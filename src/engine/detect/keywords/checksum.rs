//! `ipv4-csum` and its like: whether a checksum of the packet is right. Where checksums are not to be looked at, all are.

use super::{Argument, Keyword, Kind, Value};
use crate::decode::{IpHeader, L4};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{PacketFacts, PacketTest};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Ipv4,
    Tcp4,
    Tcp6,
    Udp4,
    Udp6,
    Icmp4,
    Icmp6,
    Igmp,
}

const fn row(
    name: &'static str,
    doc: &'static str,
    example_ok: &'static str,
    example_bad: &'static str,
    parse: for<'b, 'a, 'v> fn(&'b mut Builder<'a>, &Value<'v>) -> Result<(), Fault>,
) -> Keyword {
    Keyword {
        name,
        aliases: &[],
        kind: Kind::Header,
        argument: Argument::Plain,
        doc,
        syntax: "<valid|invalid>",
        example_ok,
        example_bad,
        parse,
    }
}

macro_rules! rows {
    ($($id:ident $name:literal $of:ident $doc:literal;)*) => {$(
        pub const $id: Keyword = row($name, $doc, concat!($name, ":invalid;"), concat!($name, ":wrong;"), |b, v| {
            parse(b, v, $name, Of::$of)
        });
    )*};
}

rows! {
    IPV4 "ipv4-csum" Ipv4 "whether the checksum of the IPv4 header is right";
    TCPV4 "tcpv4-csum" Tcp4 "whether the checksum of TCP over IPv4 is right";
    TCPV6 "tcpv6-csum" Tcp6 "whether the checksum of TCP over IPv6 is right";
    UDPV4 "udpv4-csum" Udp4 "whether the checksum of UDP over IPv4 is right";
    UDPV6 "udpv6-csum" Udp6 "whether the checksum of UDP over IPv6 is right";
    ICMPV4 "icmpv4-csum" Icmp4 "whether the checksum of ICMP is right";
    ICMPV6 "icmpv6-csum" Icmp6 "whether the checksum of ICMPv6 is right";
    IGMP "igmp-csum" Igmp "whether the checksum of IGMP is right";
}

#[derive(Debug)]
struct Sum {
    of: Of,
    valid: bool,
}

impl PacketTest for Sum {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        let p = f.packet;
        let v4 = matches!(p.ip, Some(IpHeader::V4 { .. }));
        let there = match (&p.l4, self.of) {
            (_, Of::Ipv4) => v4,
            (L4::Tcp(_), Of::Tcp4) | (L4::Udp { .. }, Of::Udp4) => v4,
            (L4::Tcp(_), Of::Tcp6) | (L4::Udp { .. }, Of::Udp6) => !v4,
            (L4::Icmp4 { .. }, Of::Icmp4) | (L4::Icmp6 { .. }, Of::Icmp6) | (L4::Igmp { .. }, Of::Igmp) => true,
            _ => false,
        };
        if !there {
            return false;
        }
        if !f.checksums {
            return self.valid;
        }
        let right = if self.of == Of::Ipv4 { p.ip_checksum_ok() } else { p.l4_checksum_ok() };
        right == Some(self.valid)
    }
}

fn parse(b: &mut Builder<'_>, v: &Value<'_>, name: &'static str, of: Of) -> Result<(), Fault> {
    let valid = match v.text.trim_matches('"').to_ascii_lowercase().as_str() {
        "valid" => true,
        "invalid" => false,
        _ => return Err(Fault::argument("valid or invalid is expected").at(v.span.clone())),
    };
    b.packet_test(name, Sum { of, valid });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applayer::ProtoId;
    use crate::detect::testkit::{facts, packet};
    use crate::types::Direction;

    #[test]
    fn what_is_not_looked_at_is_valid() {
        let p = packet(b"x", Direction::ToServer, 1, false);
        let mut f = facts(&p, None, ProtoId::ANY);
        f.checksums = false;
        assert!(Sum { of: Of::Tcp4, valid: true }.matches(&f));
        assert!(!Sum { of: Of::Tcp4, valid: false }.matches(&f));
        assert!(!Sum { of: Of::Udp4, valid: true }.matches(&f), "no such header");
    }
}
