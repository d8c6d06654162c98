//! Fields of the network header.

use super::integers::{int_match, unsigned};
use super::{Argument, Keyword, Kind, Value};
use crate::decode::IpHeader;
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{IntMatch, PacketFacts, PacketTest, TestBasis};
use crate::types::IpProto;

pub const TTL: Keyword = Keyword {
    name: "ttl",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "time to live, or hop limit, of the packet",
    syntax: "<number or range, 8 bits>",
    example_ok: "ttl:<10;",
    example_bad: "ttl:256;",
    parse: |b, v| number(b, v, "ttl", Field::Ttl, 255),
};

pub const TOS: Keyword = Keyword {
    name: "tos",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "type of service byte of the IPv4 header",
    syntax: "[!]<0-255 or x<hex>>",
    example_ok: "tos:!8;",
    example_bad: "tos:300;",
    parse: |b, v| {
        let (negated, text) = v.text.strip_prefix('!').map_or((false, v.text), |t| (true, t.trim()));
        let n = match text.strip_prefix('x') {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        };
        let n = n
            .filter(|n| *n <= 255)
            .ok_or_else(|| Fault::argument("0 to 255, or x and two digits").at(v.span.clone()))?;
        let test = if negated { IntMatch::Ne(n) } else { IntMatch::Eq(n) };
        b.packet_test("tos", Number { field: Field::Tos, test });
        Ok(())
    },
};

pub const ID: Keyword = Keyword {
    name: "id",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "identification of the IPv4 header",
    syntax: "<number or range, 16 bits>",
    example_ok: "id:1;",
    example_bad: "id:65536;",
    parse: |b, v| number(b, v, "id", Field::Id, 65535),
};

pub const FRAGOFFSET: Keyword = Keyword {
    name: "fragoffset",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "fragment offset of the IPv4 header, in units of 8 bytes",
    syntax: "<number or range, 16 bits>",
    example_ok: "fragoffset:>0;",
    example_bad: "fragoffset:x;",
    parse: |b, v| number(b, v, "fragoffset", Field::FragOffset, 65535),
};

pub const IP_PROTO: Keyword = Keyword {
    name: "ip_proto",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "protocol the IP header announces, by number or name",
    syntax: "[!|<|>]<number or name>",
    example_ok: "ip_proto:!TCP;",
    example_bad: "ip_proto:nonsense;",
    parse: |b, v| {
        let (op, rest) = match v.text.strip_prefix(['!', '<', '>', '=']) {
            Some(rest) => (v.text.chars().next(), rest.trim()),
            None => (None, v.text),
        };
        let n = protocol(rest)
            .ok_or_else(|| Fault::argument(format!("`{rest}` is no protocol of IP")).at(v.span.clone()))?;
        let n = u64::from(n);
        let test = match op {
            Some('!') => IntMatch::Ne(n),
            Some('<') => IntMatch::Lt(n),
            Some('>') => IntMatch::Gt(n),
            _ => IntMatch::Eq(n),
        };
        b.packet_test("ip_proto", Number { field: Field::Protocol, test });
        Ok(())
    },
};

pub const SAMEIP: Keyword = Keyword {
    name: "sameip",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::None,
    doc: "source and destination address are the same",
    syntax: "",
    example_ok: "sameip;",
    example_bad: "sameip:1;",
    parse: |b, _| {
        b.packet_test("sameip", SameIp);
        Ok(())
    },
};

pub const IPOPTS: Keyword = Keyword {
    name: "ipopts",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "an option of this kind is in the IPv4 header",
    syntax: "<rr|eol|nop|ts|sec|esec|lsrr|ssrr|satid|qs|rtralt|cipso|any>",
    example_ok: "ipopts:lsrr;",
    example_bad: "ipopts:xyz;",
    parse: |b, v| {
        let found = OPTIONS.iter().find(|o| o.0.eq_ignore_ascii_case(v.text));
        let kind = match found {
            _ if v.text.eq_ignore_ascii_case("any") => None,
            Some(o) => Some(o.1),
            None => {
                return Err(Fault::argument(format!("`{}` is no option of IPv4", v.text))
                    .help(IPOPTS.syntax)
                    .at(v.span.clone()));
            }
        };
        b.packet_test("ipopts", IpOption(kind));
        Ok(())
    },
};

pub const FRAGBITS: Keyword = Keyword {
    name: "fragbits",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "reserved, don't-fragment and more-fragments bits of the IPv4 header",
    syntax: "[+|*|-|!|=]<M, D, R>",
    example_ok: "fragbits:!D;",
    example_bad: "fragbits:X;",
    parse: |b, v| {
        let (mode, letters) = Mode::split(v.text);
        let mut bits = 0u16;
        for c in letters.chars().filter(|c| !c.is_whitespace()) {
            bits |= match c {
                'R' => 0x8000,
                'D' => 0x4000,
                'M' => 0x2000,
                _ => {
                    return Err(Fault::argument(format!("`{c}` is no fragment bit"))
                        .help("M, D and R")
                        .at(v.span.clone()));
                }
            };
        }
        if bits == 0 {
            return Err(Fault::argument("no fragment bit is named").at(v.span.clone()));
        }
        b.packet_test("fragbits", FragBits { mode, bits });
        Ok(())
    },
};

/// IPv4 option kinds (IANA, "IP Option Numbers").
const OPTIONS: [(&str, u8); 12] = [
    ("eol", 0),
    ("nop", 1),
    ("rr", 7),
    ("qs", 25),
    ("ts", 68),
    ("sec", 130),
    ("lsrr", 131),
    ("esec", 133),
    ("cipso", 134),
    ("satid", 136),
    ("ssrr", 137),
    ("rtralt", 148),
];

/// How named bits compare with those of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// These and no others.
    Exact,
    /// These and perhaps others.
    All,
    /// Any of these.
    Any,
    /// Not all of these.
    NotAll,
}

impl Mode {
    /// The sign in front, or behind, and the rest.
    pub fn split(text: &str) -> (Mode, &str) {
        let sign = |c: char| match c {
            '+' => Some(Mode::All),
            '*' => Some(Mode::Any),
            '!' | '-' => Some(Mode::NotAll),
            '=' => Some(Mode::Exact),
            _ => None,
        };
        if let Some(m) = text.chars().next().and_then(sign) {
            return (m, text.get(1..).unwrap_or("").trim());
        }
        if let Some(m) = text.chars().next_back().and_then(sign) {
            return (m, text.get(..text.len().saturating_sub(1)).unwrap_or("").trim());
        }
        (Mode::Exact, text)
    }

    pub fn matches(self, bits: u16, named: u16) -> bool {
        match self {
            Mode::Exact => bits == named,
            Mode::All => bits & named == named,
            Mode::Any => bits & named != 0,
            Mode::NotAll => bits & named != named,
        }
    }
}

fn protocol(text: &str) -> Option<u8> {
    if let Some(n) = unsigned(text) {
        return u8::try_from(n).ok();
    }
    let lower = text.to_ascii_lowercase();
    let alias = match lower.as_str() {
        "ipv6-icmp" | "icmpv6" => Some(IpProto::ICMPV6),
        "ip-encap" | "ipip" => Some(IpProto::IPIP),
        _ => None,
    };
    alias
        .map(|p| p.0)
        .or_else(|| (0..=255u8).find(|n| IpProto(*n).name().is_some_and(|x| x.eq_ignore_ascii_case(&lower))))
}

fn number(b: &mut Builder<'_>, v: &Value<'_>, word: &'static str, field: Field, max: u64) -> Result<(), Fault> {
    let test = int_match(v.text, max).map_err(|f| f.at(v.span.clone()))?;
    b.packet_test(word, Number { field, test });
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Ttl,
    Tos,
    Id,
    FragOffset,
    Protocol,
}

#[derive(Debug)]
struct Number {
    field: Field,
    test: IntMatch,
}

impl PacketTest for Number {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        let Some(ip) = &f.packet.ip else { return false };
        let value = match (self.field, ip) {
            (Field::Ttl, IpHeader::V4 { ttl, .. }) => u64::from(*ttl),
            (Field::Ttl, IpHeader::V6 { hop_limit, .. }) => u64::from(*hop_limit),
            (Field::Tos, IpHeader::V4 { tos, .. }) => u64::from(*tos),
            (Field::Id, IpHeader::V4 { id, .. }) => u64::from(*id),
            (Field::FragOffset, IpHeader::V4 { frag, .. }) => u64::from(*frag & 0x1fff),
            (Field::Protocol, IpHeader::V4 { proto, .. } | IpHeader::V6 { proto, .. }) => u64::from(proto.0),
            _ => return false,
        };
        self.test.matches(value)
    }

    fn basis(&self) -> TestBasis {
        if matches!(self.field, Field::Protocol) { TestBasis::Address } else { TestBasis::Packet }
    }
}

#[derive(Debug)]
struct SameIp;

impl PacketTest for SameIp {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        f.packet.ip.is_some() && f.packet.tuple.src == f.packet.tuple.dst
    }
}

#[derive(Debug)]
struct FragBits {
    mode: Mode,
    bits: u16,
}

impl PacketTest for FragBits {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        match &f.packet.ip {
            Some(IpHeader::V4 { frag, .. }) => self.mode.matches(*frag & 0xe000, self.bits),
            _ => false,
        }
    }
}

/// The kind looked for; any where `None`.
#[derive(Debug)]
struct IpOption(Option<u8>);

impl PacketTest for IpOption {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        let Some(IpHeader::V4 { header, .. }) = &f.packet.ip else { return false };
        let options = header.of(f.packet.bytes.as_slice()).get(20..).unwrap_or(&[]);
        has_option(options, self.0)
    }
}

/// Walks the option list of RFC 791, section 3.1.
fn has_option(mut options: &[u8], wanted: Option<u8>) -> bool {
    while let Some(kind) = options.first() {
        if wanted.is_none_or(|w| w == *kind) {
            return true;
        }
        let skip = match kind {
            0 => return false,
            1 => 1,
            _ => match options.get(1) {
                Some(len) if *len >= 2 => usize::from(*len),
                _ => return false,
            },
        };
        options = options.get(skip..).unwrap_or(&[]);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_lists() {
        assert!(has_option(&[1, 131, 3, 4, 0], Some(131)));
        assert!(!has_option(&[1, 131, 3, 4, 0, 7], Some(7)));
        assert!(!has_option(&[131, 0, 7], Some(7)));
        assert!(has_option(&[1], None) && !has_option(&[], None));
    }

    #[test]
    fn signs() {
        assert_eq!(Mode::split("!D"), (Mode::NotAll, "D"));
        assert_eq!(Mode::split("D+"), (Mode::All, "D"));
        assert_eq!(Mode::split("D"), (Mode::Exact, "D"));
        assert!(Mode::NotAll.matches(0x2000, 0x4000) && !Mode::NotAll.matches(0x4000, 0x4000));
    }

    #[test]
    fn protocols_by_name() {
        assert_eq!(protocol("icmp"), Some(1));
        assert_eq!(protocol("IPv6-ICMP"), Some(58));
        assert_eq!(protocol("300"), None);
    }
}
