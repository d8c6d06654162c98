//! Exclusive or with a key, written in the rule or read from the buffer.

use super::TransformKeyword;
use super::url::hex;
use crate::detect::keywords::{Argument, Value};
use crate::detect::lang::Fault;
use crate::detect::signature::Transform;

/// Bytes of a key.
const KEY_MAX: usize = 64;

pub const XOR: TransformKeyword = TransformKeyword {
    name: "xor",
    aliases: &[],
    argument: Argument::Any,
    doc: "every byte from an offset on xored with a repeating key",
    syntax: "[offset <n>,]<\"<hex key>\"|extract <bytes> <offset>>",
    example_ok: "\"0d0ac8ff\"",
    example_bad: "0d0",
    parse: |v| parse(v).map_err(|f| f.help("xor:\"0d0ac8ff\" or xor:offset 1,extract 1 0").at(v.span.clone())),
};

#[derive(Debug)]
enum Key {
    Given(Vec<u8>),
    /// So many bytes of the buffer from this place.
    Read {
        bytes: usize,
        at: usize,
    },
}

#[derive(Debug)]
struct Xor {
    offset: usize,
    key: Key,
}

fn parse(v: &Value<'_>) -> Result<Box<dyn Transform>, Fault> {
    let text = v.text.trim();
    let (offset, rest) = match text.strip_prefix("offset") {
        Some(rest) => {
            let (n, rest) = rest.split_once(',').ok_or_else(|| Fault::argument("the key is missing"))?;
            let n = n.trim().parse::<u16>().map_err(|_| Fault::argument("`offset` needs a number"))?;
            (usize::from(n), rest.trim())
        }
        None => (0, text),
    };
    let key = match rest.strip_prefix("extract") {
        Some(rest) => {
            let mut words = rest.split_whitespace().map(|w| w.parse::<u16>().ok().map(usize::from));
            match (words.next().flatten(), words.next().flatten(), words.next()) {
                (Some(bytes), Some(at), None) if (1..=KEY_MAX).contains(&bytes) => Key::Read { bytes, at },
                _ => return Err(Fault::argument("`extract` needs a number of bytes and an offset")),
            }
        }
        None => {
            let digits = rest.trim_matches('"').as_bytes();
            let pairs = digits.chunks(2);
            let bytes: Option<Vec<u8>> = pairs
                .map(|p| match p {
                    [h, l] => Some(hex(*h)? << 4 | hex(*l)?),
                    _ => None,
                })
                .collect();
            let bytes = bytes.filter(|b| (1..=KEY_MAX).contains(&b.len()));
            Key::Given(bytes.ok_or_else(|| Fault::argument("a key is pairs of hexadecimal digits"))?)
        }
    };
    Ok(Box::new(Xor { offset, key }))
}

impl Transform for Xor {
    fn identity(&self) -> String {
        match &self.key {
            Key::Given(k) => {
                use std::fmt::Write as _;
                let mut s = format!("xor:offset {},", self.offset);
                for b in k {
                    let _ = write!(s, "{b:02x}");
                }
                s
            }
            Key::Read { bytes, at } => format!("xor:offset {},extract {bytes} {at}", self.offset),
        }
    }

    fn apply(&self, data: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(data);
        let key = match &self.key {
            Key::Given(k) => k.as_slice(),
            Key::Read { bytes, at } => data.get(*at..at.saturating_add(*bytes)).unwrap_or(&[]),
        };
        for (b, k) in out.iter_mut().skip(self.offset).zip(key.iter().cycle()) {
            *b ^= k;
        }
    }
}
