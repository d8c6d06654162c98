//! `isdataat`: whether the buffer reaches so far.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{IsDataAt, Op};

/// Farthest byte asked for.
const AT_MAX: i64 = u16::MAX as i64;

pub const ISDATAAT: Keyword = Keyword {
    name: "isdataat",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "there is, or with ! is not, a byte at this place, relative to the last match if so asked",
    syntax: "[!]<bytes or variable>[,relative]",
    example_ok: r#"content:"abc"; isdataat:!100,relative;"#,
    example_bad: "isdataat:70000;",
    parse: isdataat,
};

fn isdataat(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let (negated, text) = match v.text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, v.text),
    };
    let mut parts = text.split(',').map(str::trim);
    let at = b.value(parts.next().unwrap_or(""), 0..=AT_MAX).map_err(|f| f.at(v.span.clone()))?;
    let mut relative = false;
    for part in parts {
        match part {
            "relative" => relative = true,
            "rawbytes" => {}
            other => {
                return Err(Fault::argument(format!("`{other}` is unknown here")).help("relative").at(v.span.clone()));
            }
        }
    }
    b.push(Op::IsDataAt(IsDataAt { at, relative, negated }));
    Ok(())
}
