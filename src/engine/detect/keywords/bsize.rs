//! `bsize`: bytes of the whole buffer.

use super::{Argument, Keyword, Kind, int_match};
use crate::detect::lang::{Code, Fault};
use crate::detect::signature::Op;

pub const BSIZE: Keyword = Keyword {
    name: "bsize",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "the sticky buffer has so many bytes",
    syntax: "<number or range>",
    example_ok: "file.data; bsize:>10;",
    example_bad: "file.data; bsize:9<>8;",
    parse: |b, v| {
        if b.sticky().is_none() {
            return Err(Fault::new(Code::NeedsBuffer, "`bsize` needs a sticky buffer before it")
                .help("for the payload of a packet use `dsize`"));
        }
        let m = int_match(v.text, u64::MAX).map_err(|f| f.at(v.span.clone()))?;
        b.push(Op::Bsize(m));
        Ok(())
    },
};
