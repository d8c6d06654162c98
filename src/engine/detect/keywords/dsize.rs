//! `dsize`: bytes of the packet's payload.

use super::{Argument, Keyword, Kind, int_match};
use crate::detect::signature::{IntMatch, PacketFacts, PacketTest};

pub const DSIZE: Keyword = Keyword {
    name: "dsize",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "the packet's payload has so many bytes",
    syntax: "<number or range>",
    example_ok: "dsize:5<>10;",
    example_bad: "dsize:70000;",
    parse: |b, v| {
        b.once("dsize")?;
        let m = int_match(v.text, u64::from(u16::MAX)).map_err(|f| f.at(v.span.clone()))?;
        b.dsize = Some(m);
        b.packet_test("dsize", Dsize(m));
        Ok(())
    },
};

#[derive(Debug)]
struct Dsize(IntMatch);

impl PacketTest for Dsize {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        let n = f.packet.payload().len() as u64;
        // Another size than one is a size all the same.
        self.0.matches(n) && !(n == 0 && matches!(self.0, IntMatch::Ne(_)))
    }
}
