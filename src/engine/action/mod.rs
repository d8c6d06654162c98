//! What a verdict does to bytes: the replies of a reject, and payloads rewritten in place with their checksums.
//!
//! Pure functions from frames and packets to frames. They decide nothing: whether to reject, and what bytes to put
//! where, is said by the caller. A reply is built only where one can be right (no answer to a reset, to an ICMP error, to
//! a multicast or inside a tunnel), and rewriting keeps a wrong checksum wrong, so that the engine never vouches for a
//! packet whose receiver would have discarded it. Knows headers, no flow and no rule.

mod checksum;
mod reply;
mod rewrite;

pub use reply::{Reply, reject};
pub use rewrite::{Edit, Unrewritable, rewrite};

#[cfg(test)]
mod tests;
