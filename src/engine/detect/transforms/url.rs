//! Percent decoding.

use super::{Plain, TransformKeyword};
use crate::detect::keywords::Argument;

pub const URL_DECODE: TransformKeyword = TransformKeyword {
    name: "url_decode",
    aliases: &[],
    argument: Argument::None,
    doc: "%HH as the byte it stands for, + as a blank",
    syntax: "",
    example_ok: "",
    example_bad: "x",
    parse: |_| Ok(Box::new(Plain { name: "url_decode", apply: url_decode, can_hold: |_| true })),
};

pub(super) fn hex(b: u8) -> Option<u8> {
    (b as char).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

fn url_decode(data: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(b) = data.get(at) {
        let pair = (*b == b'%').then(|| Some((hex(*data.get(at + 1)?)?, hex(*data.get(at + 2)?)?))).flatten();
        match (pair, b) {
            (Some((h, l)), _) => {
                out.push(h << 4 | l);
                at += 3;
                continue;
            }
            (None, b'+') => out.push(b' '),
            (None, b) => out.push(*b),
        }
        at += 1;
    }
}
