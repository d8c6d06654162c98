//! `absent`: the buffer before it is not there.

use super::{Argument, Keyword, Kind};
use crate::detect::lang::Fault;
use crate::detect::signature::Absent;

pub const ABSENT: Keyword = Keyword {
    name: "absent",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Optional,
    doc: "the sticky buffer before it is not there, or (or_else) what follows holds of it",
    syntax: "[or_else]",
    example_ok: "file.data; absent;",
    example_bad: "absent;",
    parse: |b, v| {
        let or_else = match v.text {
            "" => false,
            "or_else" => true,
            _ => return Err(Fault::argument("only `or_else` can stand here").at(v.span.clone())),
        };
        b.absent(Absent { or_else })
    },
};
