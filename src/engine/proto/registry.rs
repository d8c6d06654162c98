//! The table of protocols: the only place that names them. A protocol's id is its place here.

use super::{dns, http, tls, unparsed};
use crate::applayer::{Probe, ProtoDef, ProtoId, Vocabulary, generic};

/// Buffers and events of every protocol and of detection itself; claims no flow.
const ANY: ProtoDef = ProtoDef {
    id: ProtoId::ANY,
    name: "any",
    aliases: &[],
    tcp: false,
    udp: false,
    client_first: false,
    files: true,
    probe: |_| Probe::No,
    parser: dns::DEF.parser,
    buffers: generic::BUFFERS,
    never: generic::never,
    states: [&[], &[]],
    keywords: &[],
    events: generic::EVENTS,
    doc: "what every protocol shares",
};

static PROTOCOLS: [ProtoDef; 4] = [ANY, http::DEF, dns::DEF, tls::DEF];

/// Buffers whose values are few and repeat in nearly every transaction.
const WEAK_BUFFERS: &[&str] = &["http.method", "http.stat_code", "http.stat_msg"];

/// What rules may name.
pub fn vocabulary() -> Vocabulary {
    Vocabulary { protocols: &PROTOCOLS, unparsed: unparsed::PROTOCOLS, weak_buffers: WEAK_BUFFERS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_row_is_its_id_and_its_tables_are_documented() {
        let mut names = HashSet::new();
        for (i, p) in PROTOCOLS.iter().enumerate() {
            assert_eq!(usize::from(p.id.0), i, "{}", p.name);
            for name in [&[p.name], p.aliases].concat() {
                assert!(names.insert(name), "{name} twice");
            }
            assert!(!p.doc.is_empty(), "{}", p.name);
            for dir in crate::types::Direction::BOTH {
                let states = p.states_of(dir);
                assert!(states.is_sorted_by_key(|s| s.0) && states.len() > 1, "{}: states out of order", p.name);
                assert_eq!(states.first().map(|s| s.0), Some(crate::applayer::Progress::NONE), "{}", p.name);
            }
            let mut events = HashSet::new();
            for e in p.events {
                assert!(events.insert(e.name) && !e.doc.is_empty(), "{}.{}", p.name, e.name);
            }
        }
        let mut names = HashSet::new();
        for (_, b) in vocabulary().buffers() {
            assert!(!b.doc.is_empty(), "{}", b.name);
            for name in [&[b.name], b.aliases].concat() {
                assert!(names.insert(name), "{name} twice");
            }
        }
        for k in PROTOCOLS.iter().flat_map(|p| p.keywords) {
            assert!(names.insert(k.name), "{} twice", k.name);
            assert!(!k.doc.is_empty() && !k.syntax.is_empty(), "{}", k.name);
            assert!((k.parse)(k.example_ok).is_ok(), "{}: {}", k.name, k.example_ok);
            assert!((k.parse)(k.example_bad).is_err(), "{}: {}", k.name, k.example_bad);
        }
    }
}
