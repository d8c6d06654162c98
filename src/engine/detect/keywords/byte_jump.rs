//! `byte_jump`: go on as far as a number in the buffer says.

use super::byte_options::ByteOptions;
use super::{Argument, Keyword, Kind, Value, number};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{ByteJump, Op, Value as Number};

pub const BYTE_JUMP: Keyword = Keyword {
    name: "byte_jump",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "what is relative to the last match goes on so far ahead as a number of the buffer says",
    syntax: "<bytes>,<offset>[,relative][,multiplier <n>][,big|little|dce][,string[,hex|dec|oct]][,align]\
             [,from_beginning|from_end][,post_offset <n>][,bitmask <mask>]",
    example_ok: r#"content:"a"; byte_jump:2,0,relative,multiplier 2,post_offset -1; content:"b"; distance:0;"#,
    example_bad: "byte_jump:2,0,from_end,from_beginning;",
    parse: |b, v| byte_jump(b, v).map_err(|f| f.at(v.span.clone())),
};

fn byte_jump(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let mut parts = v.text.split(',').map(str::trim);
    let missing = |what: &str| Fault::argument(format!("the {what} is missing")).help(BYTE_JUMP.syntax);
    let bytes = parts.next().ok_or_else(|| missing("number of bytes"))?;
    let offset = parts.next().ok_or_else(|| missing("offset"))?;
    let mut options = ByteOptions::default();
    let (mut align, mut from_beginning, mut from_end) = (false, false, false);
    let mut multiplier = 1;
    let mut post_offset = Number::Const(0);
    for part in parts {
        match part {
            "align" => align = true,
            "from_beginning" => from_beginning = true,
            "from_end" => from_end = true,
            part => match part.split_once(char::is_whitespace) {
                Some(("multiplier", n)) => {
                    multiplier = number(n)
                        .filter(|n| (1..=65535).contains(n))
                        .ok_or_else(|| Fault::argument("a multiplier is 1 to 65535"))?;
                }
                Some(("post_offset", n)) => post_offset = b.value(n.trim(), -65535..=65535)?,
                _ if options.take(part)? => {}
                _ => return Err(Fault::argument(format!("`{part}` is unknown here")).help(BYTE_JUMP.syntax)),
            },
        }
    }
    if from_beginning && from_end {
        return Err(Fault::argument("`from_beginning` and `from_end` exclude each other"));
    }
    let jump = ByteJump {
        bytes: b.value(bytes, 0..=options.bytes_max())?,
        offset: b.value(offset, -65535..=65535)?,
        relative: options.relative,
        endian: options.endian(),
        base: options.base()?,
        multiplier,
        align,
        from_beginning,
        from_end,
        post_offset,
        bitmask: options.bitmask,
    };
    b.push(Op::ByteJump(jump));
    Ok(())
}
