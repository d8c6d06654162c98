//! Application layer, protocol-agnostic: what a parser is, what a transaction offers, how protocols are detected.
//!
//! A protocol is a row ([`ProtoDef`]) that `proto::registry` names; everything else meets it through [`AppParser`] and
//! [`Transaction`]. Buffers are asked for by [`BufferId`] and normalised only when asked. This layer knows no concrete
//! protocol and no rule.

mod counts;
pub mod files;
pub mod frames;
pub mod inflate;
mod parser;
mod session;
mod take_up;
mod vocabulary;

pub use counts::{Counted, ProtocolCounts};
pub use parser::{
    AppParser, Buffer, Input, LogCx, LogPurpose, ParseCx, Parsed, Progress, Transaction, TxId, UnreadBody,
};
pub use session::{AppCx, AppSession, Fed};
pub use vocabulary::{
    BufferDef, BufferId, BufferKind, Direct, EventDef, EventId, FRAME_PREFIX, Probe, ProbeInput, ProtoDef, ProtoId,
    ProtoSet, TxKeyword, TxTest, UnparsedProto, Vocabulary, generic, state_at,
};
