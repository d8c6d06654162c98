//! Flows: which packets belong together, for how long, and who began.
//!
//! Owns the per-worker flow table: symmetric keys, direction, packet and byte counts, state, time-outs in packet time,
//! eviction by state, identity (`flow_id`). Knows nothing of streams, parsers or rules: what they keep of a flow is the
//! table's type parameter and travels with the slot.
//!
//! A lookup is one hash probe and one slot; time-outs are a wheel of one-second slots swept in small steps, so no
//! packet pays for other flows. Flows live in a slab that only grows to its bound and reuses slots, so a short flow
//! allocates nothing. Keys are hashed with SipHash-1-3 under a caller's seed: random live, fixed in replay, so nobody
//! outside can aim at one bucket and a replay decides as the live run did.

mod core;
mod key;
mod macs;
mod table;
mod timeouts;
mod wheel;

pub use self::core::{Aside, Carried, Flow, FlowCore, FlowFlags, FlowState, TcpSummary};
pub use key::{FlowKey, KeySettings, Keyed, Keyer, pair_hash};
pub use macs::{MACS_MAX, Macs};
pub use table::{EndCause, FlowRef, FlowTable, Lookup};
pub use timeouts::{ProtoTimeouts, Settings};

#[cfg(test)]
mod tests;
