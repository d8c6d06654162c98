//! Numbers as rules write them.

use crate::detect::lang::Fault;
use crate::detect::signature::IntMatch;

/// Decimal or `0x` hexadecimal, with a sign.
pub fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = i64::try_from(unsigned(digits)?).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

/// Decimal or `0x` hexadecimal.
pub fn unsigned(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with('+'));
    }
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A number with a unit (`kb`, `mib`, …), at most `max`.
fn scaled(text: &str, max: u64) -> Result<u64, Fault> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (digits, unit) = match text.get(digits.len()..) {
        Some(unit) if !text.starts_with("0x") && !text.starts_with("0X") => (digits, unit.to_ascii_lowercase()),
        _ => (text, String::new()),
    };
    let factor = match unit.as_str() {
        "" => 1,
        "kb" | "kib" => 1 << 10,
        "mb" | "mib" => 1 << 20,
        "gb" | "gib" => 1 << 30,
        _ => return Err(Fault::argument(format!("`{unit}` is no unit")).help("kb, mb or gb")),
    };
    let n = unsigned(digits)
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(|| Fault::argument(format!("`{text}` is no number")))?;
    if n > max {
        return Err(Fault::argument(format!("{n} is more than the field can hold, {max}")));
    }
    Ok(n)
}

const SHAPES: &str = "a number, !n, <n, <=n, >n, >=n, low<>high, low-high, !low-high or &mask=n";

/// `5`, `!5`, `<5`, `>=5`, `3<>7`, `3-7`, `!3-7`, `&0xc0=0x80`: ranges exclude their ends.
pub fn int_match(text: &str, max: u64) -> Result<IntMatch, Fault> {
    let text = text.trim();
    let value = |t: &str| scaled(t, max).map_err(|f| f.help(SHAPES));
    if let Some(rest) = text.strip_prefix('&') {
        let (mask, negated, n) = match rest.split_once("!=") {
            Some((m, n)) => (m, true, n),
            None => match rest.split_once('=') {
                Some((m, n)) => (m, false, n),
                None => return Err(Fault::argument("a mask needs a value to compare").help(SHAPES)),
            },
        };
        let (mask, n) = (value(mask)?, value(n)?);
        if n & !mask != 0 {
            return Err(Fault::argument("the value has bits outside the mask: it can never match"));
        }
        return Ok(IntMatch::Mask { mask, value: n, negated });
    }
    let never = || Err(Fault::argument("no number can match").help(SHAPES));
    for (op, make) in [
        ("<=", IntMatch::Le as fn(u64) -> IntMatch),
        (">=", IntMatch::Ge),
        ("!=", IntMatch::Ne),
        ("<", IntMatch::Lt),
        (">", IntMatch::Gt),
        ("=", IntMatch::Eq),
    ] {
        if let Some(rest) = text.strip_prefix(op) {
            let n = value(rest)?;
            if (op == "<" && n == 0) || (op == ">" && n == max) {
                return never();
            }
            return Ok(make(n));
        }
    }
    let (negated, body) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    if let Some((low, high)) = body.split_once("<>").or_else(|| body.split_once('-')) {
        let (low, high) = (value(low)?, value(high)?);
        if low >= high || (!negated && high - low < 2) {
            return Err(Fault::argument(format!("no number lies between {low} and {high}"))
                .help("both ends of a range are excluded"));
        }
        return Ok(if negated { IntMatch::Outside(low, high) } else { IntMatch::Between(low, high) });
    }
    let n = value(body)?;
    Ok(if negated { IntMatch::Ne(n) } else { IntMatch::Eq(n) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let ok = |t: &str| int_match(t, 65535).unwrap();
        assert_eq!(ok("5"), IntMatch::Eq(5));
        assert_eq!(ok("=0x13"), IntMatch::Eq(19));
        assert_eq!(ok("! 5"), IntMatch::Ne(5));
        assert_eq!(ok("<= 22"), IntMatch::Le(22));
        assert_eq!(ok("8<>20"), IntMatch::Between(8, 20));
        assert_eq!(ok("8-20"), IntMatch::Between(8, 20));
        assert_eq!(ok("!8-20"), IntMatch::Outside(8, 20));
        assert_eq!(ok("&0xc0=0x80"), IntMatch::Mask { mask: 0xc0, value: 0x80, negated: false });
        assert_eq!(ok("&0xc0!=0"), IntMatch::Mask { mask: 0xc0, value: 0, negated: true });
        assert_eq!(ok("2kb"), IntMatch::Eq(2048));
        for bad in ["", "x", "5<>5", "5<>6", "<0", ">65535", "65536", "&3=4", "&3", "1xb", "--3", "0x"] {
            assert!(int_match(bad, 65535).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number("-0x10"), Some(-16));
        assert_eq!(number("+7"), Some(7));
        assert_eq!(number("7x"), None);
        assert_eq!(number("99999999999999999999"), None);
    }
}
