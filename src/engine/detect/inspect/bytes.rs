//! Numbers within buffers: byte_test, byte_jump, byte_extract, byte_math, and base64.
//!
//! `None` is "not enough bytes, or no number there". All arithmetic on numbers from packets wraps or saturates by name.

use super::content::{View, value};
use crate::detect::signature::{Base, ByteExtract, ByteJump, ByteMath, ByteTest, Cmp, Endian, MathOp};

/// Reads `count` bytes at `at`: the number and how many bytes it took.
fn number(view: View<'_>, at: i64, count: i64, base: Base, endian: Endian) -> Option<(u64, i64)> {
    // Text of no stated length: as many digits as there are, and a number of 64 bits has fewer than this.
    const DIGITS: i64 = 24;
    let open = count == 0 && matches!(base, Base::String(_));
    let count = if open { view.end().saturating_sub(at).clamp(0, DIGITS) } else { count };
    if at < 0 || count < 0 || at.saturating_add(count) > view.end() {
        return None;
    }
    let raw = view.slice(at, at + count);
    if raw.len() as i64 != count {
        return None;
    }
    match base {
        Base::Bin => {
            if count > 8 {
                return None;
            }
            let fold = |acc: u64, b: &u8| acc << 8 | u64::from(*b);
            let n = match endian {
                Endian::Big => raw.iter().fold(0, fold),
                Endian::Little | Endian::Dce => raw.iter().rev().fold(0, fold),
            };
            Some((n, count))
        }
        Base::String(radix) => text_number(raw, radix).map(|(n, used)| (n, used as i64)),
    }
}

/// As `strtoull` reads: white space, sign, `0x` for base 16, digits to the first other byte; at least one digit.
fn text_number(raw: &[u8], radix: u32) -> Option<(u64, usize)> {
    let mut at = raw.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let negative = raw.get(at) == Some(&b'-');
    if matches!(raw.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let rest = raw.get(at..)?;
    let prefixed = radix == 16 && matches!(rest, [b'0', b'x' | b'X', d, ..] if d.is_ascii_hexdigit());
    if prefixed {
        at += 2;
    }
    let mut n: u64 = 0;
    let mut digits = 0;
    for b in raw.get(at..)? {
        let Some(d) = char::from(*b).to_digit(radix.clamp(2, 36)) else { break };
        n = n.checked_mul(u64::from(radix))?.checked_add(u64::from(d))?;
        digits += 1;
    }
    if digits == 0 {
        return None;
    }
    Some((if negative { n.wrapping_neg() } else { n }, at + digits))
}

fn masked(n: u64, mask: Option<u64>) -> u64 {
    match mask {
        Some(0) => 0,
        Some(m) => (n & m) >> m.trailing_zeros(),
        None => n,
    }
}

pub(crate) fn test(t: &ByteTest, view: View<'_>, cursor: i64, slots: &[i64]) -> Option<bool> {
    let base = if t.relative { cursor } else { 0 };
    let at = base.saturating_add(value(t.offset, slots));
    let (n, _) = number(view, at, value(t.bytes, slots), t.base, t.endian)?;
    let n = masked(n, t.bitmask);
    let v = value(t.value, slots) as u64;
    let holds = match t.cmp {
        Cmp::Lt => n < v,
        Cmp::Gt => n > v,
        Cmp::Eq => n == v,
        Cmp::Le => n <= v,
        Cmp::Ge => n >= v,
        Cmp::And => n & v != 0,
        Cmp::Or => n ^ v != 0,
    };
    Some(holds != t.negated)
}

/// Where the cursor lands; always within the buffer.
pub(crate) fn jump(j: &ByteJump, view: View<'_>, cursor: i64, slots: &[i64]) -> Option<i64> {
    let base = if j.relative { cursor } else { 0 };
    let at = base.saturating_add(value(j.offset, slots));
    let count = value(j.bytes, slots);
    let (n, used) = if count == 0 { (0, 0) } else { number(view, at, count, j.base, j.endian)? };
    let mut n = (masked(n, j.bitmask) as i64).wrapping_mul(j.multiplier);
    if j.align {
        n = n.saturating_add(n.wrapping_neg().rem_euclid(4));
    }
    n = n.saturating_add(value(j.post_offset, slots));
    let to = if j.from_beginning {
        n
    } else if j.from_end {
        view.end().saturating_add(n)
    } else {
        at.saturating_add(used).saturating_add(n)
    };
    (to >= 0 && to < view.end()).then_some(to)
}

pub(crate) fn extract(e: &ByteExtract, view: View<'_>, cursor: i64) -> Option<(i64, i64)> {
    let base = if e.relative { cursor } else { 0 };
    let at = base.saturating_add(e.offset);
    let (n, used) = number(view, at, i64::from(e.bytes), e.base, e.endian)?;
    let mut n = (masked(n, e.bitmask) as i64).wrapping_mul(e.multiplier);
    if let Some(align) = e.align.filter(|a| *a > 0) {
        n = n.saturating_add(n.wrapping_neg().rem_euclid(i64::from(align)));
    }
    Some((n, at.saturating_add(used)))
}

pub(crate) fn math(m: &ByteMath, view: View<'_>, cursor: i64, slots: &[i64]) -> Option<(i64, i64)> {
    let base = if m.relative { cursor } else { 0 };
    let at = base.saturating_add(m.offset);
    let (n, used) = number(view, at, value(m.bytes, slots), m.base, m.endian)?;
    let r = value(m.rvalue, slots) as u64;
    let n = match m.op {
        MathOp::Add => n.wrapping_add(r),
        MathOp::Sub => n.wrapping_sub(r),
        MathOp::Mul => n.wrapping_mul(r),
        MathOp::Div => n.checked_div(r)?,
        MathOp::Shl => u32::try_from(r).ok().and_then(|r| n.checked_shl(r)).unwrap_or(0),
        MathOp::Shr => u32::try_from(r).ok().and_then(|r| n.checked_shr(r)).unwrap_or(0),
    };
    Some((masked(n, m.bitmask) as i64, at.saturating_add(used)))
}

/// Decodes up to the first byte that is not of the alphabet, white space apart (RFC 4648, section 4; line breaks as in
/// RFC 2045); a last group of fewer than four characters yields its whole bytes.
pub(crate) fn base64(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let (mut acc, mut bits) = (0u32, 0u32);
    for b in text {
        let v = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b' ' | b'\r' | b'\n' | b'\t' => continue,
            _ => break,
        };
        acc = acc << 6 | u32::from(v);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((acc >> bits & 0xff) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::signature::Value;

    #[test]
    fn base64_of_rfc_4648() {
        let mut out = Vec::new();
        for (text, plain) in [("Zm9vYmFy", "foobar"), ("Zm9v\r\nYg==", "foob"), ("Zm9vYmE=x", "fooba"), ("!", "")] {
            base64(text.as_bytes(), &mut out);
            assert_eq!(out, plain.as_bytes());
        }
    }

    #[test]
    fn numbers_read_as_named() {
        let v = View::whole(b"\x01\x02 12x\xff");
        assert_eq!(number(v, 0, 2, Base::Bin, Endian::Big), Some((0x0102, 2)));
        assert_eq!(number(v, 0, 2, Base::Bin, Endian::Little), Some((0x0201, 2)));
        assert_eq!(number(v, 2, 4, Base::String(10), Endian::Big), Some((12, 3)));
        assert_eq!(number(v, 5, 2, Base::String(10), Endian::Big), None);
        assert_eq!(number(v, 6, 2, Base::Bin, Endian::Big), None, "past the end");
        assert_eq!(number(v, -1, 2, Base::Bin, Endian::Big), None);
    }

    #[test]
    fn jumps_stay_inside() {
        let mut j = ByteJump {
            bytes: Value::Const(1),
            offset: Value::Const(0),
            relative: false,
            endian: Endian::Big,
            base: Base::Bin,
            multiplier: 1,
            align: true,
            from_beginning: false,
            from_end: false,
            post_offset: Value::Const(0),
            bitmask: None,
        };
        assert_eq!(jump(&j, View::whole(b"\x01aaaaa"), 0, &[]), Some(5), "aligned to four past the number");
        assert_eq!(jump(&j, View::whole(b"\x02aaaa"), 0, &[]), None, "past the end");
        j.from_end = true;
        j.post_offset = Value::Const(-5);
        assert_eq!(jump(&j, View::whole(b"\x01aaaaa"), 0, &[]), Some(5));
    }
}
