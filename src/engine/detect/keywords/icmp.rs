//! Fields of ICMP and ICMPv6.

use super::integers::int_match;
use super::{Argument, Keyword, Kind, Value};
use crate::decode::L4;
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{IntMatch, PacketFacts, PacketTest};

pub const ITYPE: Keyword = Keyword {
    name: "itype",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "ICMP type",
    syntax: "<number or range, 8 bits>",
    example_ok: "itype:8;",
    example_bad: "itype:256;",
    parse: |b, v| number(b, v, "itype", Field::Type, 255),
};

pub const ICODE: Keyword = Keyword {
    name: "icode",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "ICMP code",
    syntax: "<number or range, 8 bits>",
    example_ok: "icode:>0;",
    example_bad: "icode:x;",
    parse: |b, v| number(b, v, "icode", Field::Code, 255),
};

pub const ICMP_ID: Keyword = Keyword {
    name: "icmp_id",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "identifier of ICMP messages that carry one",
    syntax: "<number or range, 16 bits>",
    example_ok: "icmp_id:0;",
    example_bad: "icmp_id:65536;",
    parse: |b, v| number(b, v, "icmp_id", Field::Id, 65535),
};

pub const ICMP_SEQ: Keyword = Keyword {
    name: "icmp_seq",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "sequence number of ICMP messages that carry one",
    syntax: "<number or range, 16 bits>",
    example_ok: "icmp_seq:0;",
    example_bad: "icmp_seq:65536;",
    parse: |b, v| number(b, v, "icmp_seq", Field::Seq, 65535),
};

pub const ICMPV6_MTU: Keyword = Keyword {
    name: "icmpv6.mtu",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "MTU of an ICMPv6 Packet Too Big message",
    syntax: "<number or range, 32 bits>",
    example_ok: "icmpv6.mtu:<1280;",
    example_bad: "icmpv6.mtu:x;",
    parse: |b, v| number(b, v, "icmpv6.mtu", Field::Mtu, u64::from(u32::MAX)),
};

pub const IGMP_TYPE: Keyword = Keyword {
    name: "igmp.type",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "type of the IGMP message",
    syntax: "<number or range, 8 bits>",
    example_ok: "igmp.type:0x11;",
    example_bad: "igmp.type:256;",
    parse: |b, v| {
        let test = int_match(v.text, u64::from(u8::MAX)).map_err(|f| f.at(v.span.clone()))?;
        b.packet_test("igmp.type", IgmpType(test));
        Ok(())
    },
};

#[derive(Debug)]
struct IgmpType(IntMatch);

impl PacketTest for IgmpType {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        matches!(f.packet.l4, L4::Igmp { kind, .. } if self.0.matches(u64::from(kind)))
    }
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Type,
    Code,
    Id,
    Seq,
    Mtu,
}

fn number(b: &mut Builder<'_>, v: &Value<'_>, word: &'static str, field: Field, max: u64) -> Result<(), Fault> {
    let test = int_match(v.text, max).map_err(|f| f.at(v.span.clone()))?;
    b.packet_test(word, Number { field, test });
    Ok(())
}

#[derive(Debug)]
struct Number {
    field: Field,
    test: IntMatch,
}

/// Packet Too Big (RFC 4443, section 3.2).
const TOO_BIG: u8 = 2;

impl PacketTest for Number {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        let (kind, code, id_seq) = match &f.packet.l4 {
            L4::Icmp4 { kind, code, id_seq, .. } | L4::Icmp6 { kind, code, id_seq, .. } => (*kind, *code, *id_seq),
            _ => return false,
        };
        let value = match self.field {
            Field::Type => Some(u64::from(kind)),
            Field::Code => Some(u64::from(code)),
            Field::Id => id_seq.map(|x| u64::from(x.0)),
            Field::Seq => id_seq.map(|x| u64::from(x.1)),
            Field::Mtu => match &f.packet.l4 {
                L4::Icmp6 { header, kind: TOO_BIG, .. } => {
                    let bytes = header.of(f.packet.bytes.as_slice()).get(4..8);
                    bytes.and_then(|b| b.try_into().ok()).map(|b| u64::from(u32::from_be_bytes(b)))
                }
                _ => None,
            },
        };
        value.is_some_and(|v| self.test.matches(v))
    }
}
