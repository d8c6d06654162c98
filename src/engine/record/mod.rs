//! Records: what the engine has to say, typed and in binary form, in a buffer of bytes that the caller gives.
//!
//! A record is a fixed [`Head`] (kind, time, packet number, flow, input, order) and a body: a tree of named values
//! written through [`crate::types::FieldSink`]. The body of the common part of every record, of alerts, drops, flows and
//! anomalies is written by the functions of `fields`, in EVE's names and order; a protocol writes its own object through
//! the same sink, so whoever exports a record never names a protocol.
//!
//! Invariants: a record is whole or absent (one that finds no room is rolled back and counted); objects and arrays in a
//! stored body balance and nest at most [`DEPTH_MAX`] deep; reading back a body never fails on what was written here and
//! never panics on anything else.
//!
//! Why bytes and not values: a worker's thread writes a record by hand in some tens of nanoseconds and without
//! allocation; formatting and escaping happen on another thread.

mod fields;
mod flows;
pub mod fuzz;
mod head;
mod igmp;
mod packets;
mod said;
mod sctp;
mod settings;
mod store;
mod tree;

pub use crate::types::text::ip_text;
pub use fields::{
    AlertFields, Anomaly, AnomalyLayer, DropFields, PacketSource, RulesRead, alert, anomaly, app_proto, direction,
    drop_details, fileinfo, flow_summary, packet, stats, time_text, tuple, variables,
};
pub use flows::{FlowEnd, FlowEndTcp, flow_end, netflow_end};
pub use head::{Head, Kind};
pub use packets::{Carrier, HEADER_SHOWN, bytes, community_id, ethernet, tunnel, verdict};
pub use said::{Captured, ContextValue, SaidOf, context};
pub use settings::{
    AlertSettings, AnomalySettings, Common, DropSettings, FileSettings, FrameSettings, Protocols, Settings,
    StatsSettings, Xff,
};
pub use store::{Record, Records};
pub use tree::{BodyWriter, DEPTH_MAX, Malformed, walk};

#[cfg(test)]
mod tests;
