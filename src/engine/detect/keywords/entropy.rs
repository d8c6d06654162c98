//! `entropy`: Shannon's entropy of the buffer's bytes, 0 to 8 bits per byte.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Fault, VarKind};
use crate::detect::signature::{BufferOp, Op, VarId};

pub const ENTROPY: Keyword = Keyword {
    name: "entropy",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "the bytes of the buffer are so evenly spread",
    syntax: "[bytes <n>,][offset <n>,] value <op><bits per byte>",
    example_ok: "file.data; entropy:value >= 7.2;",
    example_bad: "file.data; entropy:value 9;",
    parse: |b, v| entropy(b, v).map_err(|f| f.at(v.span.clone())),
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compare {
    Eq(f64),
    Ne(f64),
    Lt(f64),
    Le(f64),
    Gt(f64),
    Ge(f64),
    Between(f64, f64),
    Outside(f64, f64),
}

#[derive(Debug)]
struct Entropy {
    offset: usize,
    bytes: Option<usize>,
    compare: Compare,
    /// What the flow knows the measurement as.
    name: VarId,
}

impl BufferOp for Entropy {
    fn matches(&self, data: &[u8], _at: usize) -> bool {
        self.measured(data).is_some_and(|m| m.2)
    }

    fn moves_with_cursor(&self) -> bool {
        false
    }

    fn measured(&self, data: &[u8]) -> Option<(VarId, f64, bool)> {
        let tail = data.get(self.offset..)?;
        let part = self.bytes.map_or(tail, |n| tail.get(..n).unwrap_or(tail));
        let x = bits_per_byte(part);
        let holds = match self.compare {
            Compare::Eq(v) => (x - v).abs() < 1e-9,
            Compare::Ne(v) => (x - v).abs() >= 1e-9,
            Compare::Lt(v) => x < v,
            Compare::Le(v) => x <= v,
            Compare::Gt(v) => x > v,
            Compare::Ge(v) => x >= v,
            Compare::Between(a, b) => a < x && x < b,
            Compare::Outside(a, b) => x <= a || x >= b,
        };
        Some((self.name, x, holds))
    }
}

/// Shannon entropy; nothing has none.
pub fn bits_per_byte(data: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for b in data {
        if let Some(c) = counts.get_mut(usize::from(*b)) {
            *c = c.saturating_add(1);
        }
    }
    let total = data.len() as f64;
    counts
        .iter()
        .filter(|c| **c > 0)
        .map(|c| {
            let p = f64::from(*c) / total;
            -p * p.log2()
        })
        .sum()
}

fn bits(text: &str) -> Result<f64, Fault> {
    text.trim()
        .parse::<f64>()
        .ok()
        .filter(|x| (0.0..=8.0).contains(x))
        .ok_or_else(|| Fault::argument(format!("`{text}` is no entropy")).help("0 to 8 bits per byte"))
}

fn compare(text: &str) -> Result<Compare, Fault> {
    let text = text.trim();
    for (op, make) in [
        ("<=", Compare::Le as fn(f64) -> Compare),
        (">=", Compare::Ge),
        ("!=", Compare::Ne),
        ("<", Compare::Lt),
        (">", Compare::Gt),
        ("=", Compare::Eq),
    ] {
        if let Some(rest) = text.strip_prefix(op) {
            return bits(rest).map(make);
        }
    }
    let (negated, body) = text.strip_prefix('!').map_or((false, text), |t| (true, t));
    match body.split_once('-') {
        Some((a, b)) => {
            let (a, b) = (bits(a)?, bits(b)?);
            if a >= b {
                return Err(Fault::argument("the range is empty"));
            }
            Ok(if negated { Compare::Outside(a, b) } else { Compare::Between(a, b) })
        }
        None if negated => bits(body).map(Compare::Ne),
        None => bits(body).map(Compare::Eq),
    }
}

fn entropy(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let buffer = b.sticky().map_or_else(|| "content".to_owned(), |(_, def)| def.name.replace('.', "_"));
    let name = b.var(VarKind::Measure, &buffer);
    let mut op = Entropy { offset: 0, bytes: None, compare: Compare::Eq(0.0), name };
    let mut given = false;
    for part in v.text.split(',').map(str::trim) {
        let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let count = || value.trim().parse::<u16>().map(usize::from);
        match key {
            "bytes" => op.bytes = Some(count().map_err(|_| Fault::argument("`bytes` needs a number"))?),
            "offset" => op.offset = count().map_err(|_| Fault::argument("`offset` needs a number"))?,
            "value" => {
                op.compare = compare(value)?;
                given = true;
            }
            _ => return Err(Fault::argument(format!("`{part}` is unknown here")).help(ENTROPY.syntax)),
        }
    }
    if !given {
        return Err(Fault::argument("`value` is missing").help(ENTROPY.syntax));
    }
    b.push(Op::Custom(Box::new(op)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_known_bytes() {
        assert_eq!(bits_per_byte(b""), 0.0);
        assert_eq!(bits_per_byte(b"aaaa"), 0.0);
        assert!((bits_per_byte(b"abab") - 1.0).abs() < 1e-9);
        let all: Vec<u8> = (0..=255).collect();
        assert!((bits_per_byte(&all) - 8.0).abs() < 1e-9);
        let op = Entropy { offset: 1, bytes: Some(2), compare: compare(">= 1").unwrap(), name: VarId(0) };
        assert!(op.matches(b"aabcc", 0));
        assert!(!op.matches(b"aaacc", 0));
        assert!(!op.matches(b"", 0));
        assert_eq!(compare("!1-2").unwrap(), Compare::Outside(1.0, 2.0));
    }
}
