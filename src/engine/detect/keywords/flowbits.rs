//! `flowbits`: bits kept with the flow.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Code, Fault, VarKind};
use crate::detect::signature::{StateOp, VarScope};

pub const FLOWBITS: Keyword = Keyword {
    name: "flowbits",
    aliases: &[],
    kind: Kind::State,
    argument: Argument::Plain,
    doc: "asks for a bit of the flow, or sets or unsets it after a match; noalert keeps the alert back",
    syntax: "<set|unset|isset|isnotset>,<name>[|<name>…] or noalert",
    example_ok: "flowbits:isset,a|b; flowbits:set,c;",
    example_bad: "flowbits:isset,a; flowbits:isnotset,a;",
    parse: |b, v| flowbits(b, v).map_err(|f| f.at(v.span.clone())),
};

fn flowbits(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let (command, names) = v.text.split_once(',').unwrap_or((v.text, ""));
    let (command, names) = (command.trim(), names.trim());
    if command == "noalert" {
        if !names.is_empty() {
            return Err(Fault::argument("`noalert` takes no name"));
        }
        b.sig.noalert = true;
        return Ok(());
    }
    let mut bits = Vec::new();
    for name in names.split('|').map(str::trim) {
        if name.is_empty() {
            return Err(Fault::argument("the name of a bit is missing").help(FLOWBITS.syntax));
        }
        if name.contains(char::is_whitespace) {
            return Err(Fault::argument(format!("a bit's name has no blanks: `{name}`")));
        }
        bits.push(b.var(VarKind::Flowbit, name));
    }
    let scope = VarScope::Flow;
    let op = match (command, bits.as_slice()) {
        ("isset", _) => StateOp::BitTest { scope, any_of: bits, negated: false },
        ("isnotset", _) => StateOp::BitTest { scope, any_of: bits, negated: true },
        ("set", [bit]) => StateOp::BitSet { scope, bit: *bit, expire: None },
        ("unset", [bit]) => StateOp::BitUnset { scope, bit: *bit },
        ("set" | "unset", _) => return Err(Fault::argument("`|` is for isset and isnotset")),
        _ => return Err(Fault::argument(format!("`{command}` is unknown here")).help(FLOWBITS.syntax)),
    };
    contradicts(b, &op)?;
    b.sig.state.push(op);
    Ok(())
}

/// The same bit asked to be set and not set.
fn contradicts(b: &Builder<'_>, op: &StateOp) -> Result<(), Fault> {
    let single = |op: &StateOp| match op {
        StateOp::BitTest { scope: VarScope::Flow, any_of, negated } if any_of.len() == 1 => {
            any_of.first().map(|v| (*v, *negated))
        }
        _ => None,
    };
    let Some((bit, negated)) = single(op) else { return Ok(()) };
    if b.sig.state.iter().filter_map(single).any(|(v, n)| v == bit && n != negated) {
        return Err(Fault::new(Code::Impossible, "the same bit is asked to be set and not set"));
    }
    Ok(())
}
