//! `byte_math`: a number of the buffer, an operation, a result under a name.

use super::byte_options::ByteOptions;
use super::{Argument, Keyword, Kind, Value, number};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{Base, ByteMath, MathOp, Op, Value as Number};

pub const BYTE_MATH: Keyword = Keyword {
    name: "byte_math",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "keeps the result of an operation on a number of the buffer as a variable of the rule",
    syntax: "bytes <n>, offset <n>, oper <+|-|*|/|<<|>>>, rvalue <n or variable>, result <name>[, relative]\
             [, endian <big|little|dce>][, string <hex|dec|oct>][, dce][, bitmask <mask>]",
    example_ok: r#"byte_math:bytes 1, offset 0, oper +, rvalue 3, result total; content:"a"; offset:total;"#,
    example_bad: "byte_math:bytes 1, offset 0, oper %, rvalue 3, result total;",
    parse: |b, v| byte_math(b, v).map_err(|f| f.at(v.span.clone())),
};

fn byte_math(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let mut options = ByteOptions::default();
    let (mut bytes, mut offset, mut oper, mut rvalue, mut result) = (None, None, None, None, None);
    for part in v.text.split(',').map(str::trim) {
        let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let place = match key {
            "bytes" => &mut bytes,
            "offset" => &mut offset,
            "oper" => &mut oper,
            "rvalue" => &mut rvalue,
            "result" => &mut result,
            _ if options.take(part)? => continue,
            _ => return Err(Fault::argument(format!("`{part}` is unknown here")).help(BYTE_MATH.syntax)),
        };
        if place.replace(value.trim()).is_some() {
            return Err(Fault::argument(format!("`{key}` stands twice")));
        }
    }
    let need = |value: Option<&'_ str>, key: &str| {
        value.map(str::to_owned).ok_or_else(|| Fault::argument(format!("`{key}` is missing")).help(BYTE_MATH.syntax))
    };
    let op = match need(oper, "oper")?.as_str() {
        "+" => MathOp::Add,
        "-" => MathOp::Sub,
        "*" => MathOp::Mul,
        "/" => MathOp::Div,
        "<<" => MathOp::Shl,
        ">>" => MathOp::Shr,
        other => return Err(Fault::argument(format!("`{other}` is no operation")).help("+ - * / << >>")),
    };
    let base = options.base()?;
    let bytes_max = if base == Base::Bin { 8 } else { 10 };
    let offset_text = need(offset, "offset")?;
    let math = ByteMath {
        bytes: b.value(&need(bytes, "bytes")?, 1..=bytes_max)?,
        offset: number(&offset_text)
            .filter(|n| (-65535..=65535).contains(n))
            .ok_or_else(|| Fault::argument(format!("`{offset_text}` is no offset")))?,
        op,
        rvalue: b.value(&need(rvalue, "rvalue")?, 0..=i64::from(u32::MAX))?,
        slot: b.set_slot(&need(result, "result")?)?,
        relative: options.relative,
        endian: options.endian(),
        base,
        bitmask: options.bitmask,
    };
    let shift = matches!(math.op, MathOp::Shl | MathOp::Shr);
    if shift && matches!(math.bytes, Number::Const(n) if n > 4) {
        return Err(Fault::argument("shifted are 1 to 4 bytes"));
    }
    b.push(Op::ByteMath(math));
    Ok(())
}
