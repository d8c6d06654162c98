//! How much of each protocol passed, by the transport that carried it.

use super::{ProtoId, Vocabulary};

/// What is counted of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counted {
    /// Flows that were recognised.
    Flow,
    /// Transactions that were followed to their end, or to their flow's.
    Transaction,
    /// Flows on which the parser gave up.
    ParserError,
}

/// A worker's own counts: by protocol, over TCP and UDP, by what is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtocolCounts(Vec<[[u64; 3]; 2]>);

impl ProtocolCounts {
    /// Of so many protocols.
    pub fn new(protocols: usize) -> Self {
        ProtocolCounts(vec![[[0; 3]; 2]; protocols])
    }

    pub fn inc(&mut self, protocol: ProtoId, udp: bool, what: Counted) {
        if let Some(of) = self.0.get_mut(usize::from(protocol.0)) {
            of[usize::from(udp)][what as usize] += 1;
        }
    }

    /// Adds every count of `other`.
    pub fn merge(&mut self, other: &ProtocolCounts) {
        self.0.resize(self.0.len().max(other.0.len()), [[0; 3]; 2]);
        for (a, b) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        }
    }

    /// Each count under its path in `stats`. A protocol that both transports carry has its name with each of them.
    pub fn rows(&self, vocabulary: &Vocabulary) -> Vec<(String, u64)> {
        let mut rows = Vec::new();
        for what in [Counted::Flow, Counted::Transaction, Counted::ParserError] {
            for (def, counts) in vocabulary.protocols.iter().zip(&self.0) {
                for (udp, n) in [def.tcp, def.udp].into_iter().zip(counts).enumerate().filter(|(_, (on, _))| *on) {
                    let transport = if !(def.tcp && def.udp) {
                        ""
                    } else if udp == 1 {
                        "_udp"
                    } else {
                        "_tcp"
                    };
                    let name = def.name;
                    let path = match what {
                        Counted::Flow => format!("app_layer.flow.{name}{transport}"),
                        Counted::Transaction => format!("app_layer.tx.{name}{transport}"),
                        Counted::ParserError => format!("app_layer.error.{name}{transport}.parser"),
                    };
                    rows.push((path, n.1[what as usize]));
                }
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_protocol_and_transport() {
        let vocabulary = crate::proto::registry::vocabulary();
        let id = |name: &str| vocabulary.protocols.iter().find(|p| p.name == name).unwrap().id;
        let mut one = ProtocolCounts::new(vocabulary.protocols.len());
        one.inc(id("http"), false, Counted::Flow);
        one.inc(id("dns"), true, Counted::Transaction);
        one.inc(ProtoId(200), true, Counted::Flow);
        let mut both = ProtocolCounts::default();
        both.merge(&one);
        both.merge(&one);
        both.inc(id("tls"), false, Counted::ParserError);
        let rows = both.rows(&vocabulary);
        let of = |path: &str| rows.iter().find(|(p, _)| p == path).map(|(_, n)| *n);
        assert_eq!((of("app_layer.flow.http"), of("app_layer.flow.http_tcp")), (Some(2), None));
        assert_eq!((of("app_layer.tx.dns_udp"), of("app_layer.tx.dns_tcp")), (Some(2), Some(0)));
        assert_eq!((of("app_layer.error.tls.parser"), of("app_layer.flow.any")), (Some(1), None));
    }
}
