//! Base64 (RFC 4648, section 4), also with what does not belong into it (RFC 2045, section 6.8).

use super::TransformKeyword;
use crate::detect::keywords::{Argument, Value};
use crate::detect::lang::Fault;
use crate::detect::signature::Transform;

pub const FROM_BASE64: TransformKeyword = TransformKeyword {
    name: "from_base64",
    aliases: &[],
    argument: Argument::Optional,
    doc: "the bytes that base64 text stands for",
    syntax: "[bytes <n>][, offset <n>][, mode <strict|rfc4648|rfc2045>]",
    example_ok: "offset 6, mode rfc4648",
    example_bad: "mode loose",
    parse: |v| parse(v).map_err(|f| f.help(FROM_BASE64.syntax).at(v.span.clone())),
};

/// What happens at a character outside the alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is decoded at all.
    Strict,
    /// Decoding ends there.
    Rfc4648,
    /// It is skipped.
    Rfc2045,
}

fn value(b: u8) -> Option<u32> {
    Some(u32::from(match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Appends what `data` decodes to; the last group may be incomplete.
pub fn decode(data: &[u8], mode: Mode, out: &mut Vec<u8>) {
    let start = out.len();
    let mut group = 0u32;
    let mut digits = 0;
    let mut padded = false;
    for b in data {
        let Some(v) = value(*b) else {
            if *b == b'=' {
                padded = true;
            }
            match mode {
                Mode::Strict if *b != b'=' => {
                    out.truncate(start);
                    return;
                }
                Mode::Rfc2045 if *b != b'=' => continue,
                _ => break,
            }
        };
        group = group << 6 | v;
        digits += 1;
        if digits == 4 {
            let [_, a, b, c] = group.to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
            (group, digits) = (0, 0);
        }
    }
    if mode == Mode::Strict && digits != 0 && !padded {
        out.truncate(start);
        return;
    }
    match digits {
        2 => out.extend_from_slice(&group.wrapping_shl(12).to_be_bytes()[1..2]),
        3 => out.extend_from_slice(&group.wrapping_shl(6).to_be_bytes()[1..3]),
        _ => {}
    }
}

#[derive(Debug)]
struct FromBase64 {
    bytes: Option<usize>,
    offset: usize,
    mode: Mode,
}

fn parse(v: &Value<'_>) -> Result<Box<dyn Transform>, Fault> {
    let mut t = FromBase64 { bytes: None, offset: 0, mode: Mode::Rfc4648 };
    for part in v.text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, value) = part.split_once([' ', ':']).unwrap_or((part, ""));
        let value = value.trim();
        let count =
            || value.parse::<u16>().map(usize::from).map_err(|_| Fault::argument(format!("`{key}` needs a number")));
        match key {
            "bytes" => t.bytes = Some(count()?),
            "offset" => t.offset = count()?,
            "mode" => {
                t.mode = match value {
                    "strict" => Mode::Strict,
                    "rfc4648" => Mode::Rfc4648,
                    "rfc2045" => Mode::Rfc2045,
                    _ => return Err(Fault::argument(format!("`{value}` is no mode"))),
                }
            }
            _ => return Err(Fault::argument(format!("`{part}` is unknown here"))),
        }
    }
    Ok(Box::new(t))
}

impl Transform for FromBase64 {
    fn identity(&self) -> String {
        format!("from_base64:{:?},{},{:?}", self.bytes, self.offset, self.mode)
    }

    fn apply(&self, data: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let tail = data.get(self.offset..).unwrap_or(&[]);
        let part = self.bytes.map_or(tail, |n| tail.get(..n).unwrap_or(tail));
        decode(part, self.mode, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(text: &str, mode: Mode) -> Vec<u8> {
        let mut out = Vec::new();
        decode(text.as_bytes(), mode, &mut out);
        out
    }

    #[test]
    fn modes() {
        assert_eq!(go("VGhpcyBpcyBTdXJpY2F0YQ==", Mode::Rfc4648), b"This is Suricata");
        assert_eq!(go("Zm 9v Ym Fy", Mode::Rfc2045), b"foobar");
        assert_eq!(go("Zm9v Ym", Mode::Rfc4648), b"foo");
        assert_eq!(go("Zm9v Ym", Mode::Strict), b"");
        assert_eq!(go("Zm9vYg==", Mode::Strict), b"foob");
        assert_eq!(go("Zg", Mode::Rfc4648), b"f");
        assert_eq!(go("Z", Mode::Rfc4648), b"");
    }
}
