//! Header lines: names in lower case, pseudo headers away.

use super::{Plain, TransformKeyword};
use crate::detect::keywords::Argument;

pub const HEADER_LOWERCASE: TransformKeyword = TransformKeyword {
    name: "header_lowercase",
    aliases: &[],
    argument: Argument::None,
    doc: "names of header lines in lower case, values as they are",
    syntax: "",
    example_ok: "",
    example_bad: "x",
    parse: |_| Ok(Box::new(Plain { name: "header_lowercase", apply: header_lowercase, can_hold: |_| true })),
};

pub const STRIP_PSEUDO_HEADERS: TransformKeyword = TransformKeyword {
    name: "strip_pseudo_headers",
    aliases: &[],
    argument: Argument::None,
    doc: "without lines that begin with a colon",
    syntax: "",
    example_ok: "",
    example_bad: "x",
    parse: |_| Ok(Box::new(Plain { name: "strip_pseudo_headers", apply: strip_pseudo_headers, can_hold: |_| true })),
};

fn header_lowercase(data: &[u8], out: &mut Vec<u8>) {
    let mut name = true;
    for b in data {
        out.push(if name { b.to_ascii_lowercase() } else { *b });
        match b {
            b':' => name = false,
            b'\n' => name = true,
            _ => {}
        }
    }
}

fn strip_pseudo_headers(data: &[u8], out: &mut Vec<u8>) {
    for line in data.split_inclusive(|b| *b == b'\n') {
        if line.first() != Some(&b':') {
            out.extend_from_slice(line);
        }
    }
}
