//! Records out of the engine: EVE, one JSON object a line.
//!
//! Any record becomes a line by walking its tree; no protocol is named here. The line's frame (`timestamp`, `flow_id`,
//! `pcap_cnt`, `event_type` before the record's own fields, `pcap_filename` after) comes from the record's head.

mod eve;
mod file;
mod json;

pub use eve::line;
pub use file::{EveFile, WriteError};
pub use json::JsonWriter;
