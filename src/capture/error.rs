//! What can be wrong with a capture, said with the file and where in it.

use std::io;

/// Offsets are in bytes from the start of the capture; of the uncompressed capture where the file is compressed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    Open { path: String, source: io::Error },
    #[error("{path}: is a directory, not a capture file")]
    Directory { path: String },
    #[error("{path}: not a capture file: {what}")]
    Format { path: String, what: String },
    #[error("{path}: cut short at byte {offset}: {what}")]
    Truncated { path: String, offset: u64, what: &'static str },
    #[error("{path}: broken at byte {offset}: {what}")]
    Broken { path: String, offset: u64, what: String },
    #[error("{path}: reading failed at byte {offset}: {source}")]
    Read { path: String, offset: u64, source: io::Error },
    #[error("{path}: cannot write: {source}")]
    Write { path: String, source: io::Error },
    #[error("{path}: a classic pcap file holds one link type; this frame has {got}, the file {has}")]
    LinkType { path: String, got: u32, has: u32 },
    #[error("{what}: {source}")]
    Live { what: String, source: io::Error },
}
