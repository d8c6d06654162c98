//! Fields of the TCP header.

use super::integers::int_match;
use super::ip::Mode;
use super::{Argument, Keyword, Kind, Value};
use crate::decode::TcpFlags;
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{IntMatch, PacketFacts, PacketTest};
use crate::stream::TcpState;

pub const FLAGS: Keyword = Keyword {
    name: "tcp.flags",
    aliases: &["flags"],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "flag bits of the TCP header, those behind the comma ignored",
    syntax: "[+|*|-|!|=]<F S R P A U C E 0>[,<bits to ignore>]",
    example_ok: "tcp.flags:S,CE;",
    example_bad: "tcp.flags:X;",
    parse: flags,
};

pub const SESSION: Keyword = Keyword {
    name: "tcp.session",
    aliases: &[],
    kind: Kind::Flow,
    argument: Argument::Plain,
    doc: "the TCP session is in one of these phases",
    syntax: "<setup|established|closing>[,<phase>…]",
    example_ok: "tcp.session:setup,established;",
    example_bad: "tcp.session:closed;",
    parse: |b, v| {
        let mut phases = Phases::default();
        for word in v.text.split(',').map(str::trim) {
            let slot = match word {
                "setup" => &mut phases.setup,
                "established" => &mut phases.established,
                "closing" => &mut phases.closing,
                _ => return Err(Fault::argument(format!("`{word}` is no phase of a session")).at(v.span.clone())),
            };
            if std::mem::replace(slot, true) {
                return Err(Fault::argument(format!("`{word}` stands twice")).at(v.span.clone()));
            }
        }
        b.packet_test("tcp.session", phases);
        Ok(())
    },
};

#[derive(Debug, Default)]
struct Phases {
    setup: bool,
    established: bool,
    closing: bool,
}

impl PacketTest for Phases {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        let Some(state) = f.tcp_state else { return false };
        match state {
            TcpState::None | TcpState::SynSent | TcpState::SynRecv => self.setup,
            TcpState::Established => self.established,
            TcpState::Closed => false,
            // Once established a session counts as that to its end.
            _ => self.closing || self.established,
        }
    }
}

pub const SEQ: Keyword = Keyword {
    name: "tcp.seq",
    aliases: &["seq"],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "sequence number",
    syntax: "<number or range, 32 bits>",
    example_ok: "tcp.seq:0;",
    example_bad: "tcp.seq:4294967296;",
    parse: |b, v| number(b, v, "tcp.seq", Field::Seq, u64::from(u32::MAX)),
};

pub const ACK: Keyword = Keyword {
    name: "tcp.ack",
    aliases: &["ack"],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "acknowledgement number",
    syntax: "<number or range, 32 bits>",
    example_ok: "tcp.ack:0;",
    example_bad: "tcp.ack:x;",
    parse: |b, v| number(b, v, "tcp.ack", Field::Ack, u64::from(u32::MAX)),
};

pub const WINDOW: Keyword = Keyword {
    name: "tcp.window",
    aliases: &["window"],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "window as in the header, unscaled",
    syntax: "<number or range, 16 bits>",
    example_ok: "tcp.window:!55808;",
    example_bad: "tcp.window:65536;",
    parse: |b, v| number(b, v, "tcp.window", Field::Window, u64::from(u16::MAX)),
};

pub const MSS: Keyword = Keyword {
    name: "tcp.mss",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "maximum segment size option",
    syntax: "<number or range, 16 bits>",
    example_ok: "tcp.mss:<536;",
    example_bad: "tcp.mss:65536;",
    parse: |b, v| number(b, v, "tcp.mss", Field::Mss, u64::from(u16::MAX)),
};

pub const WSCALE: Keyword = Keyword {
    name: "tcp.wscale",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "window scale option",
    syntax: "<number or range, 8 bits>",
    example_ok: "tcp.wscale:>10;",
    example_bad: "tcp.wscale:256;",
    parse: |b, v| number(b, v, "tcp.wscale", Field::WindowScale, 255),
};

#[derive(Clone, Copy, Debug)]
enum Field {
    Seq,
    Ack,
    Window,
    Mss,
    WindowScale,
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

impl PacketTest for Number {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        let Some(tcp) = f.packet.tcp() else { return false };
        let value = match self.field {
            Field::Seq => Some(u64::from(tcp.seq)),
            Field::Ack => Some(u64::from(tcp.ack)),
            Field::Window => Some(u64::from(tcp.window)),
            Field::Mss => tcp.mss.map(u64::from),
            Field::WindowScale => tcp.window_scale.map(u64::from),
        };
        value.is_some_and(|v| self.test.matches(v))
    }
}

fn bit(c: char) -> Option<u8> {
    Some(match c.to_ascii_uppercase() {
        'F' => TcpFlags::FIN,
        'S' => TcpFlags::SYN,
        'R' => TcpFlags::RST,
        'P' => TcpFlags::PSH,
        'A' => TcpFlags::ACK,
        'U' => TcpFlags::URG,
        // The old names of what were reserved bits.
        'C' | '1' => TcpFlags::CWR,
        'E' | '2' => TcpFlags::ECE,
        '0' => 0,
        _ => return None,
    })
}

fn bits(text: &str, v: &Value<'_>) -> Result<u8, Fault> {
    text.chars().filter(|c| !c.is_whitespace()).try_fold(0, |sum, c| {
        bit(c).map(|b| sum | b).ok_or_else(|| {
            Fault::argument(format!("`{c}` is no flag of TCP")).help("F S R P A U C E, 0 for none").at(v.span.clone())
        })
    })
}

fn flags(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    if v.text.starts_with('&') {
        let test = int_match(v.text, 255).map_err(|f| f.at(v.span.clone()))?;
        b.packet_test("tcp.flags", FlagNumber(test));
        return Ok(());
    }
    let (test, ignored) = v.text.split_once(',').unwrap_or((v.text, ""));
    let (mode, letters) = Mode::split(test.trim());
    if letters.is_empty() {
        return Err(Fault::argument("no flag is named").at(v.span.clone()));
    }
    let named = bits(letters, v)?;
    if !ignored.is_empty() && !matches!(mode, Mode::Exact) {
        return Err(Fault::argument("flags are ignored by an exact comparison only").at(v.span.clone()));
    }
    let keep = !bits(ignored.trim().trim_start_matches(['!', '+', '*']), v)?;
    b.packet_test("tcp.flags", Flags { mode, named, keep });
    Ok(())
}

#[derive(Debug)]
struct Flags {
    mode: Mode,
    named: u8,
    keep: u8,
}

impl Flags {
    fn test(&self, flags: u8) -> bool {
        if self.named == 0 {
            return (flags & self.keep == 0) != (self.mode == Mode::NotAll);
        }
        self.mode.matches(u16::from(flags & self.keep), u16::from(self.named))
    }
}

impl PacketTest for Flags {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        f.packet.tcp().is_some_and(|t| self.test(t.flags.0))
    }
}

#[derive(Debug)]
struct FlagNumber(IntMatch);

impl PacketTest for FlagNumber {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        f.packet.tcp().is_some_and(|t| self.0.matches(u64::from(t.flags.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_modes() {
        let f = |mode, named, ignored: u8| Flags { mode, named, keep: !ignored };
        assert!(f(Mode::Exact, 0x02, 0xc0).test(0xc2));
        assert!(!f(Mode::Exact, 0x02, 0).test(0x12));
        assert!(f(Mode::All, 0x10, 0).test(0x18));
        assert!(f(Mode::Any, 0x03, 0).test(0x01));
        assert!(f(Mode::NotAll, 0x12, 0).test(0x10));
        assert!(f(Mode::Exact, 0, 0).test(0) && !f(Mode::Exact, 0, 0).test(2));
        assert!(f(Mode::NotAll, 0, 0).test(2));
    }
}
