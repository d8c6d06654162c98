//! Fields of SCTP packets and their chunks (RFC 9260 3).

use super::integers::int_match;
use super::{Argument, Keyword, Kind, Value};
use crate::decode::{L4, SCTP_CHUNKS_MAX};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{IntMatch, PacketFacts, PacketTest};
use crate::wire::sctp::{Chunks, kind_by_name};

pub const VTAG: Keyword = Keyword {
    name: "sctp.vtag",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "verification tag of the SCTP header",
    syntax: "<number or range, 32 bits>",
    example_ok: "sctp.vtag:0;",
    example_bad: "sctp.vtag:x;",
    parse: |b, v| number(b, v, "sctp.vtag", Field::Tag, v.text, u64::from(u32::MAX)),
};

pub const CHUNK_COUNT: Keyword = Keyword {
    name: "sctp.chunk_cnt",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "how many chunks the SCTP packet has",
    syntax: "<number or range, 16 bits>",
    example_ok: "sctp.chunk_cnt:>1;",
    example_bad: "sctp.chunk_cnt:65536;",
    parse: |b, v| number(b, v, "sctp.chunk_cnt", Field::Count, v.text, 65535),
};

pub const CHUNK_TYPE: Keyword = Keyword {
    name: "sctp.chunk_type",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "type of any of the first 16 chunks of the SCTP packet",
    syntax: "<number or range, 8 bits>|[!]<name>",
    example_ok: "sctp.chunk_type:init_ack;",
    example_bad: "sctp.chunk_type:hello;",
    parse: |b, v| {
        let (not, word) = v.text.strip_prefix('!').map_or(("", v.text), |rest| ("!", rest.trim_start()));
        let named = kind_by_name(&word.to_ascii_lowercase());
        let text = named.map_or_else(|| v.text.to_string(), |n| format!("{not}{n}"));
        number(b, v, "sctp.chunk_type", Field::Kind, &text, 255)
    },
};

#[derive(Clone, Copy, Debug)]
enum Field {
    Tag,
    Count,
    Kind,
}

fn number(
    b: &mut Builder<'_>,
    v: &Value<'_>,
    word: &'static str,
    field: Field,
    text: &str,
    max: u64,
) -> Result<(), Fault> {
    let test = int_match(text, max).map_err(|f| f.at(v.span.clone()))?;
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
        let L4::Sctp { vtag, chunks, count, .. } = &f.packet.l4 else { return false };
        match self.field {
            Field::Tag => self.test.matches(u64::from(*vtag)),
            Field::Count => self.test.matches(u64::from(*count)),
            Field::Kind => {
                let area = chunks.of(f.packet.bytes.as_slice());
                Chunks::sound(area).take(SCTP_CHUNKS_MAX).any(|c| self.test.matches(u64::from(c.kind)))
            }
        }
    }
}
