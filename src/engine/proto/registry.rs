//! The table of protocols.

use super::unparsed;
use crate::applayer::Vocabulary;

/// Buffers whose values are few and repeat in nearly every transaction.
const WEAK_BUFFERS: &[&str] = &["http.method", "http.stat_code", "http.stat_msg"];

/// What rules may name.
pub fn vocabulary() -> Vocabulary {
    Vocabulary { protocols: &[], unparsed: unparsed::PROTOCOLS, weak_buffers: WEAK_BUFFERS }
}
