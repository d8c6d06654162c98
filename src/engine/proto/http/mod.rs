//! HTTP/1.x and 0.9 (RFC 9110, RFC 9112, RFC 1945) as real clients and servers speak it, and as attackers bend it.
//!
//! `text`, `headers`, `uri`, `multipart`, `names` read bytes; `payload` decodes and keeps bodies and files, `charset` reads their letters; `tx` is what rules see;
//! `parser`, `request`, `response`, `block` drive a flow; `probe` tells HTTP from the rest; `tables` lists what rules may name.
//! Tolerant: what a lenient peer would read is read, and each oddity raises an event. The parser fails only where no
//! framing is left to follow: a line, header block or number of headers past its limit, or a chunk length in a request
//! that is none.

mod block;
mod charset;
mod headers;
mod keywords;
mod log;
mod multipart;
mod names;
mod parser;
mod payload;
mod probe;
mod request;
mod response;
mod reuse;
pub mod tables;
mod text;
mod tx;
mod uri;

#[cfg(test)]
mod tests;

use crate::applayer::files::Hashes;
use crate::applayer::{AppParser, ProtoDef, ProtoId};
pub use parser::HttpParser;
pub use tx::HttpTx;

pub const ID: ProtoId = ProtoId(1);

/// The registry's row.
pub const DEF: ProtoDef = ProtoDef {
    id: ID,
    name: "http",
    aliases: &["http1"],
    tcp: true,
    udp: false,
    client_first: false,
    files: true,
    probe: probe::probe,
    parser: |s| Box::new(HttpParser::new(s.http)) as Box<dyn AppParser>,
    buffers: tables::BUFFERS,
    never: tables::never,
    states: tables::STATES,
    keywords: keywords::KEYWORDS,
    events: tables::EVENTS,
    doc: "HTTP/1.x and 0.9: requests and responses with headers and bodies",
};

/// Limits and choices. Sizes in bytes, counts in entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Decoded bytes of a request body that are kept and inspected.
    pub request_body_limit: u32,
    pub response_body_limit: u32,
    /// A request line, status line, header line or chunk line; past it the parser fails.
    pub field_limit: usize,
    /// Different header names of a message.
    pub headers_max: usize,
    /// All header lines of a message.
    pub header_block_max: usize,
    pub transactions_max: usize,
    /// Past it bodies of the flow are no longer kept.
    pub held_max: usize,
    pub request_decompression: bool,
    pub response_decompression: bool,
    /// Content encodings undone one after the other.
    pub layers_max: usize,
    /// Decoded bytes from which a body may be a bomb.
    pub bomb_bytes: u64,
    /// Decoded bytes for one received that make it one.
    pub bomb_ratio: u64,
    /// Bombs in a flow after which it is no longer decompressed.
    pub bombs_max: u8,
    pub hashes: Hashes,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            request_body_limit: 100 << 10,
            response_body_limit: 100 << 10,
            field_limit: 18_000,
            headers_max: 1024,
            header_block_max: 256 << 10,
            transactions_max: 512,
            held_max: 8 << 20,
            request_decompression: true,
            response_decompression: true,
            layers_max: 2,
            bomb_bytes: 1 << 20,
            bomb_ratio: 2048,
            bombs_max: 3,
            hashes: Hashes::default(),
        }
    }
}

/// What the log shows of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// More than where, by whom and what for.
    pub extended: bool,
    /// Headers shown beside, by name (`custom`).
    pub custom: Vec<String>,
    /// Every header of requests, of responses (`dump-all-headers`).
    pub request_headers: bool,
    pub response_headers: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { extended: true, custom: Vec::new(), request_headers: false, response_headers: false }
    }
}

pub mod fuzz {
    /// Any bytes as a dialogue: parsed, read in every buffer, logged and freed.
    pub fn fuzz_target(data: &[u8]) {
        crate::proto::exercise::run(&super::DEF, data);
    }
}
