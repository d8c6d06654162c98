//! Records out of the engine: EVE, one JSON object a line; and the logs in plain text.
//!
//! Any record becomes a line by walking its tree; no protocol is named here. The line's frame (`timestamp`, `flow_id`,
//! `pcap_cnt`, `event_type` before the record's own fields, `pcap_filename` after) comes from the record's head.

mod eve;
mod fast;
mod file;
mod json;
mod store;
mod table;

pub use eve::{Origin, Style, line};
pub use fast::fast_line;
pub use file::{EveFile, WriteError};
pub use json::JsonWriter;
pub use store::FileStore;
pub use table::stats_table;
