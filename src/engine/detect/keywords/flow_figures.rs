//! Sizes and age of the flow: `stream_size`, `flow.age`, `flow.pkts`, `flow.bytes`.

use super::integers::{int_match, unsigned};
use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{IntMatch, PacketFacts, PacketTest, TestBasis};

pub const STREAM_SIZE: Keyword = Keyword {
    name: "stream_size",
    aliases: &[],
    kind: Kind::Flow,
    argument: Argument::Plain,
    doc: "bytes of the TCP stream so far, sent by server, client, both or either",
    syntax: "<server|client|both|either>,<op>,<bytes>",
    example_ok: "stream_size:client,>,1000;",
    example_bad: "stream_size:all,>,1000;",
    parse: |b, v| stream_size(b, v).map_err(|f| f.at(v.span.clone())),
};

pub const AGE: Keyword = Keyword {
    name: "flow.age",
    aliases: &[],
    kind: Kind::Flow,
    argument: Argument::Plain,
    doc: "seconds since the flow's first packet",
    syntax: "<number or range, 32 bits>",
    example_ok: "flow.age:>3600;",
    example_bad: "flow.age:old;",
    parse: |b, v| {
        let test = int_match(v.text, u64::from(u32::MAX)).map_err(|f| f.at(v.span.clone()))?;
        b.packet_test("flow.age", Age(test));
        Ok(())
    },
};

const fn figure(
    name: &'static str,
    doc: &'static str,
    syntax: &'static str,
    example_ok: &'static str,
    example_bad: &'static str,
    parse: for<'b, 'a, 'v> fn(&'b mut Builder<'a>, &Value<'v>) -> Result<(), Fault>,
) -> Keyword {
    Keyword {
        name,
        aliases: &[],
        kind: Kind::Flow,
        argument: Argument::Plain,
        doc,
        syntax,
        example_ok,
        example_bad,
        parse,
    }
}

const DIRECTED: &str = "<toserver|toclient|both|either>,<number or range>";
const NUMBER: &str = "<number or range>";

pub const PKTS: Keyword = figure(
    "flow.pkts",
    "packets of the flow so far, by direction",
    DIRECTED,
    "flow.pkts:toclient,>3;",
    "flow.pkts:3;",
    |b, v| directed(b, v, "flow.pkts", Figure::Packets),
);

pub const BYTES: Keyword = figure(
    "flow.bytes",
    "bytes of the flow so far, by direction",
    DIRECTED,
    "flow.bytes:either,>3kb;",
    "flow.bytes:up,3;",
    |b, v| directed(b, v, "flow.bytes", Figure::Bytes),
);

pub const PKTS_TOSERVER: Keyword = figure(
    "flow.pkts_toserver",
    "packets of the flow to the server so far",
    NUMBER,
    "flow.pkts_toserver:>3;",
    "flow.pkts_toserver:x;",
    |b, v| plain(b, v, "flow.pkts_toserver", Figure::Packets, Side::ToServer),
);

pub const PKTS_TOCLIENT: Keyword = figure(
    "flow.pkts_toclient",
    "packets of the flow to the client so far",
    NUMBER,
    "flow.pkts_toclient:>3;",
    "flow.pkts_toclient:x;",
    |b, v| plain(b, v, "flow.pkts_toclient", Figure::Packets, Side::ToClient),
);

pub const BYTES_TOSERVER: Keyword = figure(
    "flow.bytes_toserver",
    "bytes of the flow to the server so far",
    NUMBER,
    "flow.bytes_toserver:>3;",
    "flow.bytes_toserver:x;",
    |b, v| plain(b, v, "flow.bytes_toserver", Figure::Bytes, Side::ToServer),
);

pub const BYTES_TOCLIENT: Keyword = figure(
    "flow.bytes_toclient",
    "bytes of the flow to the client so far",
    NUMBER,
    "flow.bytes_toclient:>3;",
    "flow.bytes_toclient:x;",
    |b, v| plain(b, v, "flow.bytes_toclient", Figure::Bytes, Side::ToClient),
);

#[derive(Clone, Copy, Debug)]
enum Figure {
    Packets,
    Bytes,
    /// Of the TCP stream.
    Stream,
}

#[derive(Clone, Copy, Debug)]
enum Side {
    ToServer,
    ToClient,
    Both,
    Either,
}

#[derive(Debug)]
struct Sized {
    figure: Figure,
    side: Side,
    test: IntMatch,
}

impl PacketTest for Sized {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        let [server, client] = match self.figure {
            Figure::Packets => f.flow_packets,
            Figure::Bytes => f.flow_bytes,
            Figure::Stream if f.packet.tcp().is_none() => return false,
            Figure::Stream => f.stream_bytes,
        };
        let (server, client) = (self.test.matches(server), self.test.matches(client));
        match self.side {
            Side::ToServer => server,
            Side::ToClient => client,
            Side::Both => server && client,
            Side::Either => server || client,
        }
    }

    fn basis(&self) -> TestBasis {
        if matches!(self.figure, Figure::Stream) { TestBasis::Flow } else { TestBasis::Packet }
    }
}

#[derive(Debug)]
struct Age(IntMatch);

impl PacketTest for Age {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        self.0.matches(f.flow_age.as_secs())
    }
}

fn directed(b: &mut Builder<'_>, v: &Value<'_>, word: &'static str, figure: Figure) -> Result<(), Fault> {
    let shape = || Fault::argument("a direction and a number are expected").help(DIRECTED).at(v.span.clone());
    let (side, number) = v.text.split_once(',').ok_or_else(shape)?;
    let side = match side.trim() {
        "toserver" => Side::ToServer,
        "toclient" => Side::ToClient,
        "both" => Side::Both,
        "either" => Side::Either,
        _ => return Err(shape()),
    };
    let test = int_match(number, max(figure)).map_err(|f| f.at(v.span.clone()))?;
    b.packet_test(word, Sized { figure, side, test });
    Ok(())
}

fn plain(b: &mut Builder<'_>, v: &Value<'_>, word: &'static str, figure: Figure, side: Side) -> Result<(), Fault> {
    let test = int_match(v.text, max(figure)).map_err(|f| f.at(v.span.clone()))?;
    b.packet_test(word, Sized { figure, side, test });
    Ok(())
}

const fn max(figure: Figure) -> u64 {
    match figure {
        Figure::Packets => u32::MAX as u64,
        Figure::Bytes | Figure::Stream => u64::MAX,
    }
}

fn stream_size(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let shape = || Fault::argument("a side, an operator and a number are expected").help(STREAM_SIZE.syntax);
    let mut parts = v.text.split(',').map(str::trim);
    let (side, op, number) = (parts.next(), parts.next(), parts.next());
    let n = number.and_then(unsigned).filter(|_| parts.next().is_none()).ok_or_else(shape)?;
    // Bytes the client sends go to the server.
    let side = match side {
        Some("client") => Side::ToServer,
        Some("server") => Side::ToClient,
        Some("both") => Side::Both,
        Some("either") => Side::Either,
        _ => return Err(shape()),
    };
    let test = match op {
        Some(">") => IntMatch::Gt(n),
        Some("<") => IntMatch::Lt(n),
        Some("=") => IntMatch::Eq(n),
        Some("!=") => IntMatch::Ne(n),
        Some(">=") => IntMatch::Ge(n),
        Some("<=") => IntMatch::Le(n),
        _ => return Err(shape()),
    };
    b.flow_test(Sized { figure: Figure::Stream, side, test });
    Ok(())
}
