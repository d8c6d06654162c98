//! `asn1`: a walk over BER that looks for encodings attacks are made of.
//!
//! Bounded: so many elements, so deep; lengths are believed for comparison only, never for access.

use super::{Argument, Keyword, Kind, Value, number};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{BufferOp, Op};

/// Elements looked at in one walk.
const ELEMENTS_MAX: usize = 256;
/// Constructed elements within each other.
const DEPTH_MAX: usize = 32;

pub const ASN1: Keyword = Keyword {
    name: "asn1",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "BER in the payload holds an encoding that overflows decoders",
    syntax: "[bitstring_overflow][, double_overflow][, oversize_length <n>][, absolute_offset <n> | relative_offset <n>]",
    example_ok: "asn1:double_overflow, oversize_length 2048, absolute_offset 0;",
    example_bad: "asn1:oversize_length x;",
    parse: |b, v| asn1(b, v).map_err(|f| f.at(v.span.clone())),
};

#[derive(Debug, Default, PartialEq, Eq)]
struct Asn1 {
    bitstring_overflow: bool,
    double_overflow: bool,
    oversize_length: Option<u64>,
    absolute: Option<i64>,
    relative: Option<i64>,
}

fn asn1(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let mut op = Asn1::default();
    let mut words = v.text.split([',', ' ']).filter(|w| !w.is_empty());
    while let Some(word) = words.next() {
        let mut argument =
            || words.next().and_then(number).ok_or_else(|| Fault::argument(format!("`{word}` needs a number")));
        match word {
            "bitstring_overflow" => op.bitstring_overflow = true,
            "double_overflow" => op.double_overflow = true,
            "oversize_length" => {
                let n = u64::try_from(argument()?).map_err(|_| Fault::argument("a length is not negative"))?;
                op.oversize_length = Some(n);
            }
            "absolute_offset" => op.absolute = Some(argument()?),
            "relative_offset" => op.relative = Some(argument()?),
            _ => return Err(Fault::argument(format!("`{word}` is unknown here")).help(ASN1.syntax)),
        }
    }
    if !op.bitstring_overflow && !op.double_overflow && op.oversize_length.is_none() {
        return Err(Fault::argument("nothing is looked for").help(ASN1.syntax));
    }
    b.push(Op::Custom(Box::new(op)));
    Ok(())
}

impl BufferOp for Asn1 {
    fn matches(&self, data: &[u8], at: usize) -> bool {
        let base = match (self.relative, self.absolute) {
            (Some(r), _) => i64::try_from(at).unwrap_or(i64::MAX).saturating_add(r),
            (None, a) => a.unwrap_or(0),
        };
        let Some(tail) = usize::try_from(base).ok().and_then(|b| data.get(b..)) else { return false };
        self.walk(tail)
    }
}

/// One element's head: class and constructed bit, tag number, length if definite, bytes of the head.
struct Head {
    constructed: bool,
    universal: bool,
    tag: u32,
    length: Option<u64>,
    size: usize,
}

/// X.690, 8.1.2 and 8.1.3. `None` where the bytes end within the head or its numbers are beyond reason.
fn head(data: &[u8]) -> Option<Head> {
    let first = *data.first()?;
    let mut at = 1;
    let mut tag = u32::from(first & 0x1f);
    if tag == 0x1f {
        tag = 0;
        loop {
            let b = *data.get(at)?;
            at += 1;
            tag = tag.checked_mul(128)?.checked_add(u32::from(b & 0x7f))?;
            if b & 0x80 == 0 {
                break;
            }
        }
    }
    let l = *data.get(at)?;
    at += 1;
    let length = match l {
        0x80 => None,
        l if l & 0x80 == 0 => Some(u64::from(l)),
        l => {
            let n = usize::from(l & 0x7f);
            let mut length = 0u64;
            for _ in 0..n {
                let b = *data.get(at)?;
                at += 1;
                length = length.checked_mul(256).and_then(|x| x.checked_add(u64::from(b))).unwrap_or(u64::MAX);
            }
            Some(length)
        }
    };
    Some(Head { constructed: first & 0x20 != 0, universal: first & 0xc0 == 0, tag, length, size: at })
}

impl Asn1 {
    fn walk(&self, data: &[u8]) -> bool {
        // Ends of the constructed elements open at present.
        let mut open: Vec<usize> = Vec::with_capacity(DEPTH_MAX);
        let mut at = 0usize;
        for _ in 0..ELEMENTS_MAX {
            while open.last().is_some_and(|end| at >= *end) {
                open.pop();
            }
            let Some(rest) = data.get(at..) else { return false };
            let Some(h) = head(rest) else { return false };
            let content = rest.get(h.size..).unwrap_or(&[]);
            if self.overflows(&h, content) {
                return true;
            }
            at = at.saturating_add(h.size);
            let length = h.length.and_then(|l| usize::try_from(l).ok());
            if h.constructed {
                if open.len() >= DEPTH_MAX {
                    return false;
                }
                open.push(length.map_or(data.len(), |l| at.saturating_add(l)));
            } else {
                let Some(length) = length else { return false };
                at = at.saturating_add(length);
            }
        }
        false
    }

    fn overflows(&self, h: &Head, content: &[u8]) -> bool {
        if let (Some(limit), Some(length)) = (self.oversize_length, h.length)
            && length > limit
        {
            return true;
        }
        let Some(length) = h.length.filter(|_| h.universal && !h.constructed) else { return false };
        if self.bitstring_overflow && h.tag == 3 {
            // The first octet says how many bits of the last are unused: more than there are cannot be.
            let unused = content.first().copied().map_or(0, u64::from);
            if length == 0 || unused > length.saturating_sub(1).saturating_mul(8) {
                return true;
            }
        }
        if self.double_overflow && h.tag == 9 {
            // A decimal REAL (bits 8 and 7 clear) longer than decoders' text buffers.
            let decimal = content.first().is_some_and(|b| b & 0xc0 == 0);
            return decimal && (length > 256 || length > content.len() as u64);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oversize(n: u64) -> Asn1 {
        Asn1 { oversize_length: Some(n), ..Asn1::default() }
    }

    #[test]
    fn lengths_and_overflows() {
        assert!(oversize(100).matches(&[0x30, 0x03, 0x04, 0x81, 0x80], 0));
        assert!(!oversize(200).matches(&[0x30, 0x03, 0x04, 0x81, 0x80], 0));
        assert!(oversize(100).matches(&[0x04, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0));
        let bits = Asn1 { bitstring_overflow: true, ..Asn1::default() };
        assert!(bits.matches(&[0x03, 0x02, 0x09, 0x00], 0));
        assert!(!bits.matches(&[0x03, 0x02, 0x07, 0x00], 0));
        let double = Asn1 { double_overflow: true, ..Asn1::default() };
        assert!(double.matches(&[0x09, 0x82, 0x01, 0x01, 0x03], 0));
        let relative = Asn1 { relative: Some(1), oversize_length: Some(4), ..Asn1::default() };
        assert!(relative.matches(&[0, 0, 0, 0x04, 0x05], 2));
        assert!(!relative.matches(&[0x04, 0x05], 9));
    }

    #[test]
    fn deep_and_long_input_ends() {
        assert!(!oversize(1 << 40).matches(&[0x30; 100_000], 0));
        assert!(!oversize(1 << 40).matches(&[0x02, 0x00].repeat(100_000), 0));
        assert!(!oversize(1).matches(&[0xff; 64], 0));
    }
}
