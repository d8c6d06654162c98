//! `flowint`: numbers kept with the flow.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Fault, VarKind};
use crate::detect::signature::{IntAssign, IntCmp, IntOperand, StateOp};

pub const FLOWINT: Keyword = Keyword {
    name: "flowint",
    aliases: &[],
    kind: Kind::State,
    argument: Argument::Plain,
    doc: "sets, adds to, subtracts from or compares a number of the flow, or asks whether it is there",
    syntax: "<name>,<=|+|-|<|>|<=|>=|==|!=>,<number or name> or <name>,<isset|notset>",
    example_ok: "flowint:count,+,1; flowint:count,>,5;",
    example_bad: "flowint:count,%,1;",
    parse: |b, v| flowint(b, v).map_err(|f| f.at(v.span.clone())),
};

fn flowint(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let mut parts = v.text.splitn(3, ',').map(str::trim);
    let (name, op, value) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next());
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(Fault::argument("a name without blanks is expected first").help(FLOWINT.syntax));
    }
    let var = b.var(VarKind::Flowint, name);
    let state = match (op, value) {
        ("isset", None) => StateOp::IntDefined { var, negated: false },
        ("notset" | "isnotset", None) => StateOp::IntDefined { var, negated: true },
        (_, None) => return Err(Fault::argument("a number or a name is expected last").help(FLOWINT.syntax)),
        (op, Some(text)) => {
            let value = match text.parse::<u32>() {
                Ok(n) => IntOperand::Const(n),
                Err(_) if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                    return Err(Fault::argument(format!("`{text}` is no number of 32 bits without sign")));
                }
                Err(_) => IntOperand::Var(b.var(VarKind::Flowint, text)),
            };
            let test = |cmp| StateOp::IntTest { var, cmp, value };
            let assign = |op| StateOp::IntAssign { var, op, value };
            match op {
                "=" => assign(IntAssign::Set),
                "+" => assign(IntAssign::Add),
                "-" => assign(IntAssign::Sub),
                "<" => test(IntCmp::Lt),
                ">" => test(IntCmp::Gt),
                "<=" => test(IntCmp::Le),
                ">=" => test(IntCmp::Ge),
                "==" => test(IntCmp::Eq),
                "!=" => test(IntCmp::Ne),
                _ => return Err(Fault::argument(format!("`{op}` is no operator")).help(FLOWINT.syntax)),
            }
        }
    };
    b.sig.state.push(state);
    Ok(())
}
