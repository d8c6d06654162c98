//! `tag`: what is recorded after an alert.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::{Tag, TagScope, TagUnit};

/// Packets recorded where nothing is said.
const PACKETS_DEFAULT: u32 = 256;

pub const TAG: Keyword = Keyword {
    name: "tag",
    aliases: &[],
    kind: Kind::Action,
    argument: Argument::Plain,
    doc: "records so much of the session or host after the alert",
    syntax: "<session|host>[,<count>,<packets|seconds|bytes>[,<src|dst>]]",
    example_ok: "tag:session,5,packets;",
    example_bad: "tag:session,5;",
    parse: |b, v| tag(b, v).map_err(|f| f.at(v.span.clone())),
};

fn tag(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let shape = || Fault::argument("a scope, and a count with its unit").help(TAG.syntax);
    let parts: Vec<&str> = v.text.split(',').map(str::trim).collect();
    let mut scope = match parts.first() {
        Some(&"session") => TagScope::Session,
        Some(&"host") => TagScope::HostDst,
        _ => return Err(shape()),
    };
    let (count, unit) = match (parts.get(1), parts.get(2)) {
        (None, _) => (PACKETS_DEFAULT, TagUnit::Packets),
        (Some(n), unit) => {
            let count = n.parse().ok().filter(|n| *n > 0).ok_or_else(shape)?;
            let unit = match unit {
                Some(&"packets") => TagUnit::Packets,
                Some(&"seconds") => TagUnit::Seconds,
                Some(&"bytes") => TagUnit::Bytes,
                _ => return Err(shape()),
            };
            (count, unit)
        }
    };
    match (parts.get(3), scope) {
        (None, _) => {}
        (Some(&"src"), TagScope::HostDst) => scope = TagScope::HostSrc,
        (Some(&"dst"), TagScope::HostDst) => {}
        (Some(&("src" | "dst")), TagScope::Session) => {
            b.warn(Fault::new(Code::Ineffective, "a side has no effect on `session`").at(v.span.clone()));
        }
        _ => return Err(shape()),
    }
    if parts.len() > 4 {
        return Err(shape());
    }
    b.sig.tags.push(Tag { scope, count, unit });
    Ok(())
}
