//! `config`: what a match changes of the engine's ways with the transaction.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Code, Fault};

pub const CONFIG: Keyword = Keyword {
    name: "config",
    aliases: &[],
    kind: Kind::Action,
    argument: Argument::Plain,
    doc: "after a match the transaction is not logged",
    syntax: "logging disable, type tx, scope tx",
    example_ok: "config:logging disable, type tx, scope tx;",
    example_bad: "config:logging enable, type tx, scope tx;",
    parse: |b, v| config(b, v).map_err(|f| f.at(v.span.clone())),
};

fn config(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let (mut what, mut kind, mut scope) = (None, None, None);
    for part in v.text.split(',').map(str::trim) {
        let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let slot = match key {
            "logging" | "tracking" => {
                if value.trim() != "disable" {
                    return Err(Fault::argument(format!("`{key}` can be disabled only")).help(CONFIG.syntax));
                }
                what.replace(key)
            }
            "type" => kind.replace(value.trim()),
            "scope" => scope.replace(value.trim()),
            _ => return Err(Fault::argument(format!("`{part}` is unknown here")).help(CONFIG.syntax)),
        };
        if slot.is_some() {
            return Err(Fault::new(Code::Repeated, format!("`{key}` stands twice")));
        }
    }
    match (what, kind, scope) {
        (Some("logging"), Some("tx"), Some("tx")) => {
            b.sig.unlogged = true;
            Ok(())
        }
        (Some("logging"), Some("tx" | "flow"), Some("flow")) | (Some("tracking"), Some("flow"), Some("packet")) => {
            Err(Fault::new(Code::Unsupported, "only the logging of transactions can be changed by rules"))
        }
        _ => Err(Fault::argument("a subsystem, a type and a scope are expected").help(CONFIG.syntax)),
    }
}
