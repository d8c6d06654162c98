//! TCP streams: segments in, in-order bytes out.
//!
//! Owns the TCP session (RFC 9293) as an onlooker can know it, reassembly of both directions, the overlap policies, the
//! inline rule (the first accepted byte wins, a later differing copy is rewritten to it), stream events and the account
//! of bytes held. Knows the flow layer's vocabulary and packet headers; knows nothing of protocols, rules or verdicts:
//! odd traffic becomes an event, lost visibility an exception cause, and the layers above decide.
//!
//! Two consumers read each direction, at their own pace: the application layer (`pending`/`consume`) and raw stream
//! inspection (`raw`/`raw_inspected`). Bytes are kept until both have had them and the receiver has acknowledged them.
//! Watching, bytes become deliverable once acknowledged, since only then is it known which copy the receiver took; in
//! line, at once, since what leaves is made to agree with what was inspected.

mod account;
pub mod events;
pub mod fuzz;
mod half;
mod handshake;
mod overlap;
mod owners;
mod reading;
mod reassembly;
mod segment;
mod session;
mod settings;
mod teardown;
mod validity;

pub use account::Account;
pub use reading::{Chunk, RawView};
pub use segment::{SegmentCx, SegmentOutcome, StreamEvents};
pub use session::{TcpSession, TcpState};
pub use settings::{OsPolicy, PolicyNet, Settings, UrgentPolicy};

#[cfg(test)]
mod tests;
