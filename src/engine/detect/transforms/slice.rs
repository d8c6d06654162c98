//! A part of the buffer.

use super::TransformKeyword;
use crate::detect::keywords::{Argument, Value, number};
use crate::detect::lang::Fault;
use crate::detect::signature::Transform;

pub const SUBSLICE: TransformKeyword = TransformKeyword {
    name: "subslice",
    aliases: &[],
    argument: Argument::Plain,
    doc: "the bytes from an offset on, so many of them; negative numbers count from the end",
    syntax: "<offset>[,<bytes>][,truncate]",
    example_ok: "2,4,truncate",
    example_bad: "x",
    parse: |v| parse(v).map_err(|f| f.help(SUBSLICE.syntax).at(v.span.clone())),
};

#[derive(Debug)]
struct Subslice {
    offset: i64,
    bytes: Option<i64>,
    truncate: bool,
}

fn parse(v: &Value<'_>) -> Result<Box<dyn Transform>, Fault> {
    let mut parts = v.text.split(',').map(str::trim).peekable();
    let mut count = |what: &str| match parts.peek().copied() {
        None | Some("truncate") => Ok(None),
        Some(text) => {
            parts.next();
            let n = number(text).filter(|n| n.abs() <= 65535);
            n.map(Some).ok_or_else(|| Fault::argument(format!("`{text}` is no {what}")))
        }
    };
    let offset = count("offset")?.ok_or_else(|| Fault::argument("the offset is missing"))?;
    let bytes = count("number of bytes")?;
    if bytes == Some(0) {
        return Err(Fault::argument("no bytes would be left"));
    }
    let truncate = match (parts.next(), parts.next()) {
        (None, _) => false,
        (Some("truncate"), None) => true,
        _ => return Err(Fault::argument("too many parts")),
    };
    Ok(Box::new(Subslice { offset, bytes, truncate }))
}

impl Subslice {
    fn range(&self, len: usize) -> Option<std::ops::Range<usize>> {
        let len = i64::try_from(len).ok()?;
        let clip = |x: i64| if self.truncate { Some(x.clamp(0, len)) } else { (0..=len).contains(&x).then_some(x) };
        let from = clip(if self.offset < 0 { len + self.offset } else { self.offset })?;
        let to = match self.bytes {
            None => len,
            Some(n) if n < 0 => clip(len + n)?,
            Some(n) => clip(from + n)?,
        };
        (from <= to).then(|| Some(usize::try_from(from).ok()?..usize::try_from(to).ok()?)).flatten()
    }
}

impl Transform for Subslice {
    fn identity(&self) -> String {
        format!("subslice:{},{:?},{}", self.offset, self.bytes, self.truncate)
    }

    fn apply(&self, data: &[u8], out: &mut Vec<u8>) {
        out.clear();
        if let Some(part) = self.range(data.len()).and_then(|r| data.get(r)) {
            out.extend_from_slice(part);
        }
    }
}
