//! Files in flight: name, size, state, magic-free; hashes run as the bytes pass.

use crate::types::Direction;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    Open,
    Closed,
    /// Bytes were lost, or the transfer broke off.
    Truncated,
    Error,
}

/// One file of a transaction.
#[derive(Debug)]
pub struct File {
    pub name: Vec<u8>,
    pub direction: Direction,
    /// Bytes seen so far, stored or not.
    pub size: u64,
    pub state: FileState,
    /// Number within the flow, from 1.
    pub file_id: u32,
    pub tx: super::TxId,
    /// Bytes missing in the middle.
    pub gaps: bool,
    /// Lower-case hex, once the file is closed and hashing was asked for.
    pub md5: Option<String>,
    pub sha1: Option<String>,
    pub sha256: Option<String>,
    /// A `fileinfo` record has been written.
    pub logged: bool,
}
