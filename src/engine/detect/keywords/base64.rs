//! `base64_decode`: decodes a part of the active buffer, for `base64_data` behind it.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{Base64Decode, Op};

/// Encoded bytes decoded at most.
const BYTES_MAX: u32 = u16::MAX as u32;

pub const BASE64_DECODE: Keyword = Keyword {
    name: "base64_decode",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Optional,
    doc: "decodes base64 of the active buffer for the base64_data buffer",
    syntax: "[bytes <n>][, offset <n>][, relative]",
    example_ok: r#"content:"x"; base64_decode:bytes 8, offset 1, relative; base64_data; content:"test";"#,
    example_bad: "base64_decode:bytes 0;",
    parse: |b, v| base64_decode(b, v).map_err(|f| f.at(v.span.clone())),
};

fn base64_decode(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let mut decode = Base64Decode { bytes: None, offset: 0, relative: false };
    for part in v.text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let mut words = part.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("relative"), None, None) => decode.relative = true,
            (Some("bytes"), Some(n), None) => {
                let n = n.parse().ok().filter(|n| (1..=BYTES_MAX).contains(n));
                decode.bytes =
                    Some(n.ok_or_else(|| Fault::argument(format!("1 to {BYTES_MAX} bytes can be decoded")))?);
            }
            (Some("offset"), Some(n), None) => {
                let n = n.parse().ok().filter(|n| *n <= BYTES_MAX);
                decode.offset = n.ok_or_else(|| Fault::argument(format!("an offset is 0 to {BYTES_MAX}")))?;
            }
            _ => return Err(Fault::argument(format!("`{part}` is unknown here")).help(BASE64_DECODE.syntax)),
        }
    }
    b.push(Op::Base64Decode(decode));
    b.base64_decoded = true;
    Ok(())
}
