//! Leaf vocabulary of the engine: time, direction, addresses, verdicts, reasons, exceptions, limits, counters.
//!
//! Owns names and small values that every layer shares; knows no layer. Tables here are append-only: a number once
//! given to a reason, an exception or a counter is never reused, since logs and dashboards outlive releases.

mod counters;
mod direction;
mod exception;
mod fields;
mod limits;
mod protocols;
mod shed;
pub mod text;
mod time;
mod tuple;
mod verdict;

pub use counters::{Counter, Counters};
pub use direction::{Direction, PerDirection};
pub use exception::{Cause, EveCause, ExceptionPolicy, Policies};
pub use fields::FieldSink;
pub use limits::Limits;
pub use shed::Shed;
pub use time::Timestamp;
pub use tuple::{FiveTuple, IpProto};
pub use verdict::{Action, Reason, RejectTarget, Verdict};
