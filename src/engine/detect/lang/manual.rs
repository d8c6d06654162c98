//! The manual of the language, from the tables themselves.

use super::context::Context;
use crate::applayer::{BufferId, ProtoId, Vocabulary};
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
            example: format!("{}; content:\"{}\";", b.name, sample(cx.vocabulary, id)),
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

/// Text that can be in a buffer: a word, a hash, or a fingerprint.
fn sample(vocabulary: Vocabulary, buffer: BufferId) -> &'static str {
    const SAMPLES: [&str; 3] =
        ["x", "e7d705a3286e19ea42f587b344ee6865", "4f:a0:63:11:9c:d8:27:be:50:e1:7a:06:c3:8d:f4:19:b2:6e:05:97"];
    let can = |text: &&str| {
        let proto = vocabulary.proto_def(buffer.proto);
        proto.is_none_or(|p| (p.never)(buffer.local, text.as_bytes(), false).is_none())
    };
    SAMPLES.into_iter().find(can).unwrap_or_default()
}

fn written(name: &str, argument: &str) -> String {
    if argument.is_empty() { format!("{name};") } else { format!("{name}:{argument};") }
}
