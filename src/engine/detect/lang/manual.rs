//! The manual of the language, from the tables themselves.

use super::context::Context;
use crate::applayer::ProtoId;
use crate::detect::{keywords, transforms};

/// One word of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: &'static str,
    pub aliases: Vec<&'static str>,
    /// `payload`, `sticky buffer`, `transform`, …
    pub kind: &'static str,
    /// The protocol it belongs to; none for what every protocol shares.
    pub protocol: Option<&'static str>,
    pub syntax: String,
    pub doc: &'static str,
    pub example: String,
}

/// Every word rules may use, sorted by name.
pub fn manual(cx: &Context) -> Vec<Entry> {
    let mut out: Vec<Entry> = keywords::TABLE
        .iter()
        .map(|k| Entry {
            name: k.name,
            aliases: k.aliases.to_vec(),
            kind: k.kind.name(),
            protocol: None,
            syntax: written(k.name, k.syntax),
            doc: k.doc,
            example: k.example_ok.to_owned(),
        })
        .collect();
    out.extend(transforms::TABLE.iter().map(|t| Entry {
        name: t.name,
        aliases: t.aliases.to_vec(),
        kind: "transform",
        protocol: None,
        syntax: written(t.name, t.syntax),
        doc: t.doc,
        example: written(t.name, t.example_ok),
    }));
    let protocol = |id: ProtoId| cx.vocabulary.proto_def(id).filter(|_| id != ProtoId::ANY).map(|p| p.name);
    for (id, b) in cx.vocabulary.buffers() {
        let mut aliases = b.aliases.to_vec();
        aliases.extend(b.modifiers);
        out.push(Entry {
            name: b.name,
            aliases,
            kind: "sticky buffer",
            protocol: protocol(id.proto),
            syntax: format!("{};", b.name),
            doc: b.doc,
            example: format!("{}; content:\"x\";", b.name),
        });
    }
    for p in cx.vocabulary.protocols {
        out.extend(p.keywords.iter().map(|k| Entry {
            name: k.name,
            aliases: Vec::new(),
            kind: "transaction",
            protocol: Some(p.name),
            syntax: written(k.name, k.syntax),
            doc: k.doc,
            example: written(k.name, k.example_ok),
        }));
    }
    out.sort_by_key(|e| e.name);
    out
}

fn written(name: &str, argument: &str) -> String {
    if argument.is_empty() { format!("{name};") } else { format!("{name}:{argument};") }
}
