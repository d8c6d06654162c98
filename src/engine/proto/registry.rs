//! The table of protocols.

use crate::applayer::Vocabulary;

/// What rules may name.
pub fn vocabulary() -> Vocabulary {
    Vocabulary { protocols: &[], unparsed: &[], unparsed_buffers: &[] }
}
