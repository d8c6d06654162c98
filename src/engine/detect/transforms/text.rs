//! Case, whitespace, a leading dot.

use super::{Plain, TransformKeyword};
use crate::detect::keywords::Argument;
use crate::detect::signature::Content;

macro_rules! plain {
    ($($id:ident $name:literal $apply:ident $can_hold:ident $doc:literal;)*) => {$(
        pub const $id: TransformKeyword = TransformKeyword {
            name: $name,
            aliases: &[],
            argument: Argument::None,
            doc: $doc,
            syntax: "",
            example_ok: "",
            example_bad: "x",
            parse: |_| Ok(Box::new(Plain { name: $name, apply: $apply, can_hold: $can_hold })),
        };
    )*};
}

plain! {
    TO_LOWERCASE "to_lowercase" to_lowercase no_upper "ASCII letters in lower case";
    TO_UPPERCASE "to_uppercase" to_uppercase no_lower "ASCII letters in upper case";
    STRIP_WHITESPACE "strip_whitespace" strip_whitespace no_space "without blanks, tabs and line breaks";
    COMPRESS_WHITESPACE "compress_whitespace" compress_whitespace single_blanks "runs of blanks, tabs and line breaks as one blank";
    DOTPREFIX "dotprefix" dotprefix anything "a dot in front, so that names can be matched by whole labels";
}

fn no_upper(c: &Content) -> bool {
    c.nocase || !c.bytes.iter().any(u8::is_ascii_uppercase)
}

fn no_lower(c: &Content) -> bool {
    c.nocase || !c.bytes.iter().any(u8::is_ascii_lowercase)
}

fn no_space(c: &Content) -> bool {
    !c.bytes.iter().any(|b| space(*b))
}

fn single_blanks(c: &Content) -> bool {
    c.bytes.iter().all(|b| *b == b' ' || !space(*b)) && !c.bytes.windows(2).any(|w| w == b"  ")
}

fn anything(_: &Content) -> bool {
    true
}

/// C's `isspace`, which includes the vertical tab.
fn space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn to_lowercase(data: &[u8], out: &mut Vec<u8>) {
    out.extend(data.iter().map(u8::to_ascii_lowercase));
}

fn to_uppercase(data: &[u8], out: &mut Vec<u8>) {
    out.extend(data.iter().map(u8::to_ascii_uppercase));
}

fn strip_whitespace(data: &[u8], out: &mut Vec<u8>) {
    out.extend(data.iter().filter(|b| !space(**b)));
}

fn compress_whitespace(data: &[u8], out: &mut Vec<u8>) {
    let mut blank = false;
    for b in data {
        let is_space = space(*b);
        if !is_space {
            out.push(*b);
        } else if !blank {
            out.push(b' ');
        }
        blank = is_space;
    }
}

fn dotprefix(data: &[u8], out: &mut Vec<u8>) {
    out.reserve(data.len() + 1);
    out.push(b'.');
    out.extend_from_slice(data);
}
