//! `byte_test`: a number in the buffer compared.

use super::byte_options::ByteOptions;
use super::{Argument, Keyword, Kind, Value, integers};
use crate::detect::lang::{Builder, Fault};
use crate::detect::signature::{ByteTest, Cmp, Op, Value as Number};

pub const BYTE_TEST: Keyword = Keyword {
    name: "byte_test",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "a number of so many bytes at a place compares so with a value",
    syntax: "<bytes>,[!]<op>,<value>,<offset>[,relative][,big|little|dce][,string[,hex|dec|oct]][,bitmask <mask>]",
    example_ok: r#"content:"a"; byte_test:4,>,1000,2,relative,little;"#,
    example_bad: "byte_test:9,=,1,0;",
    parse: |b, v| byte_test(b, v).map_err(|f| f.at(v.span.clone())),
};

fn byte_test(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let mut parts = v.text.split(',').map(str::trim);
    let mut next = |what: &str| {
        parts.next().ok_or_else(|| Fault::argument(format!("the {what} is missing")).help(BYTE_TEST.syntax))
    };
    let (bytes, op, value, offset) = (next("number of bytes")?, next("operator")?, next("value")?, next("offset")?);
    let mut options = ByteOptions::default();
    for part in parts {
        if !options.take(part)? {
            return Err(Fault::argument(format!("`{part}` is unknown here")).help(BYTE_TEST.syntax));
        }
    }
    let (negated, op) = match op.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, op),
    };
    let cmp = match op {
        "<" => Cmp::Lt,
        ">" => Cmp::Gt,
        "=" => Cmp::Eq,
        "" if negated => Cmp::Eq,
        "<=" => Cmp::Le,
        ">=" => Cmp::Ge,
        "&" => Cmp::And,
        "^" => Cmp::Or,
        _ => return Err(Fault::argument(format!("`{op}` is no operator")).help("[!] < > = <= >= & ^")),
    };
    let test = ByteTest {
        bytes: b.value(bytes, options.bytes_min()..=options.bytes_max())?,
        negated,
        cmp,
        value: match integers::unsigned(value) {
            // Values are compared as 64 bits without sign.
            Some(n) => Number::Const(n.cast_signed()),
            None => b.value(value, i64::MIN..=i64::MAX)?,
        },
        offset: b.value(offset, i64::from(i32::MIN)..=i64::from(i32::MAX))?,
        relative: options.relative,
        endian: options.endian(),
        base: options.base()?,
        bitmask: options.bitmask,
    };
    b.push(Op::ByteTest(test));
    Ok(())
}
