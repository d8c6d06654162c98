//! `byte_extract`: a number of the buffer kept under a name, for later keywords of the rule.

use super::byte_options::ByteOptions;
use super::{Argument, Keyword, Kind, Value, number};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{Base, ByteExtract, Op};

pub const BYTE_EXTRACT: Keyword = Keyword {
    name: "byte_extract",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "keeps a number of the buffer as a variable of the rule",
    syntax: "<bytes>,<offset>,<name>[,relative][,multiplier <n>][,big|little|dce][,string[,hex|dec|oct]][,align <2|4>]",
    example_ok: r#"byte_extract:1,0,len; content:"a"; offset:len;"#,
    example_bad: "byte_extract:9,0,len;",
    parse: |b, v| byte_extract(b, v).map_err(|f| f.at(v.span.clone())),
};

/// Digits a text number of 64 bits can have.
fn bytes_max(base: Base) -> i64 {
    match base {
        Base::Bin => 8,
        Base::String(16) => 14,
        Base::String(8) => 23,
        Base::String(_) => 20,
    }
}

fn byte_extract(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let mut parts = v.text.split(',').map(str::trim);
    let mut next = |what: &str| {
        parts.next().ok_or_else(|| Fault::argument(format!("the {what} is missing")).help(BYTE_EXTRACT.syntax))
    };
    let (bytes, offset, name) = (next("number of bytes")?, next("offset")?, next("name")?);
    let mut options = ByteOptions::default();
    let mut multiplier = 1;
    let mut align = None;
    for part in parts {
        match part.split_once(char::is_whitespace) {
            Some(("multiplier", n)) => {
                multiplier = number(n)
                    .filter(|n| (1..=65535).contains(n))
                    .ok_or_else(|| Fault::argument("a multiplier is 1 to 65535"))?;
            }
            Some(("align", n)) => {
                align = Some(match n.trim() {
                    "2" => 2,
                    "4" => 4,
                    _ => return Err(Fault::argument("alignment is to 2 or 4 bytes")),
                });
            }
            _ if options.take(part)? => {}
            _ => return Err(Fault::argument(format!("`{part}` is unknown here")).help(BYTE_EXTRACT.syntax)),
        }
    }
    let base = options.base()?;
    if base != Base::Bin && options.endian.is_some() {
        return Err(Fault::argument("digits have no byte order"));
    }
    let bytes = number(bytes)
        .filter(|n| (1..=bytes_max(base)).contains(n))
        .and_then(|n| u8::try_from(n).ok())
        .ok_or_else(|| Fault::argument(format!("1 to {} bytes make a number here", bytes_max(base))))?;
    let offset = number(offset)
        .filter(|n| (-65535..=65535).contains(n))
        .ok_or_else(|| Fault::argument(format!("`{offset}` is no offset")))?;
    let slot = b.set_slot(name)?;
    b.push(Op::ByteExtract(ByteExtract {
        bytes,
        offset,
        slot,
        relative: options.relative,
        endian: options.endian(),
        base,
        multiplier,
        align,
        bitmask: options.bitmask,
    }));
    Ok(())
}
