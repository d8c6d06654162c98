//! Files in flight: name, size, state, magic-free; hashes run as the bytes pass.
//!
//! A protocol keeps its files in the transaction that carries them, one [`Tracker`] each; the content itself belongs to
//! the protocol's bodies. Bounded: a file is a few hundred bytes whatever it carries, its name [`NAME_MAX`].

use crate::types::Direction;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// Bytes of a name that are kept.
pub const NAME_MAX: usize = 4096;

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
    /// Its content leaves the engine under this number.
    pub stored: Option<u32>,
}

/// Which hashes are computed: none unless asked for, since they cost more than the parsing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    pub md5: bool,
    pub sha1: bool,
    pub sha256: bool,
}

impl Hashes {
    pub fn or(self, o: Hashes) -> Hashes {
        Hashes { md5: self.md5 || o.md5, sha1: self.sha1 || o.sha1, sha256: self.sha256 || o.sha256 }
    }
}

/// Transactions whose files a rule asked to keep, per flow; past it the whole flow's are kept.
const KEPT_MAX: usize = 64;

/// Whose files a flow's rules asked to keep.
#[derive(Debug, Default)]
pub struct Keep {
    /// To server, to client.
    all: [bool; 2],
    txs: Vec<(super::TxId, Direction)>,
}

impl Keep {
    pub fn flow(&mut self, dir: Direction) {
        self.all[dir as usize] = true;
    }

    pub fn transaction(&mut self, id: super::TxId, dir: Direction) {
        if self.asks(id, dir) {
            return;
        }
        if self.txs.len() < KEPT_MAX {
            self.txs.push((id, dir));
        } else {
            self.flow(dir);
        }
    }

    pub fn asks(&self, id: super::TxId, dir: Direction) -> bool {
        self.all[dir as usize] || self.txs.contains(&(id, dir))
    }

    /// Transactions before `id` are over.
    pub fn forget_before(&mut self, id: super::TxId) {
        self.txs.retain(|(t, _)| *t >= id);
    }
}

/// Follows an open file.
#[derive(Default)]
pub struct Tracker {
    /// Where any are asked for.
    running: Option<Box<Running>>,
}

/// The running hashes of a file.
struct Running {
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
}

impl Tracker {
    /// A file begins; `name` may be longer than is kept.
    pub fn open(
        mut name: Vec<u8>,
        direction: Direction,
        file_id: u32,
        tx: super::TxId,
        hashes: Hashes,
    ) -> (File, Tracker) {
        name.truncate(NAME_MAX);
        let file = File {
            name,
            direction,
            size: 0,
            state: FileState::Open,
            file_id,
            tx,
            gaps: false,
            md5: None,
            sha1: None,
            sha256: None,
            logged: false,
            stored: None,
        };
        let running = (hashes != Hashes::default()).then(|| {
            Box::new(Running {
                md5: hashes.md5.then(Md5::new),
                sha1: hashes.sha1.then(Sha1::new),
                sha256: hashes.sha256.then(Sha256::new),
            })
        });
        (file, Tracker { running })
    }

    pub fn push(&mut self, file: &mut File, data: &[u8]) {
        file.size = file.size.saturating_add(data.len() as u64);
        let Some(running) = &mut self.running else { return };
        if let Some(h) = &mut running.md5 {
            h.update(data);
        }
        if let Some(h) = &mut running.sha1 {
            h.update(data);
        }
        if let Some(h) = &mut running.sha256 {
            h.update(data);
        }
    }

    /// Bytes were lost.
    pub fn gap(&mut self, file: &mut File, len: u64) {
        file.size = file.size.saturating_add(len);
        file.gaps = true;
    }

    /// The file has ended. Hashes are given only of whole files; the SHA-256, under which files are kept, of the bytes
    /// that came of others too.
    pub fn close(self, file: &mut File, state: FileState) {
        file.state = if file.gaps && state == FileState::Closed { FileState::Truncated } else { state };
        let Some(running) = self.running else { return };
        if file.state == FileState::Closed {
            file.md5 = running.md5.map(|h| hex(&h.finalize()));
            file.sha1 = running.sha1.map(|h| hex(&h.finalize()));
        }
        file.sha256 = running.sha256.map(|h| hex(&h.finalize()));
    }
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tracker")
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|n| DIGITS.get(usize::from(n))).map(|c| *c as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applayer::TxId;

    const ALL: Hashes = Hashes { md5: true, sha1: true, sha256: true };

    #[test]
    fn hashes_of_a_whole_file() {
        let (mut f, mut t) = Tracker::open(b"a".to_vec(), Direction::ToClient, 1, TxId(0), ALL);
        t.push(&mut f, b"ab");
        t.push(&mut f, b"c");
        t.close(&mut f, FileState::Closed);
        assert_eq!((f.size, f.state), (3, FileState::Closed));
        assert_eq!(f.md5.as_deref(), Some("900150983cd24fb0d6963f7d28e17f72"));
        assert_eq!(f.sha1.as_deref(), Some("a9993e364706816aba3e25717850c26c9cd0d89d"));
        assert_eq!(f.sha256.as_deref(), Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    }

    #[test]
    fn what_rules_asked_to_keep() {
        let mut k = Keep::default();
        k.transaction(TxId(3), Direction::ToClient);
        assert!(k.asks(TxId(3), Direction::ToClient) && !k.asks(TxId(3), Direction::ToServer));
        k.forget_before(TxId(4));
        assert!(!k.asks(TxId(3), Direction::ToClient));
        for i in 0..=KEPT_MAX as u64 {
            k.transaction(TxId(i), Direction::ToServer);
        }
        assert!(k.txs.len() <= KEPT_MAX && k.asks(TxId(9999), Direction::ToServer));
    }

    #[test]
    fn the_head_of_a_file_has_its_sha256_alone() {
        let (mut f, mut t) = Tracker::open(b"a".to_vec(), Direction::ToClient, 1, TxId(0), ALL);
        t.push(&mut f, b"abc");
        t.close(&mut f, FileState::Truncated);
        assert_eq!((f.md5.is_none(), f.sha1.is_none(), f.sha256.is_some()), (true, true, true));
    }

    #[test]
    fn a_file_with_a_hole_is_known_by_the_bytes_that_came() {
        let (mut f, mut t) = Tracker::open(vec![b'n'; 9000], Direction::ToClient, 1, TxId(0), ALL);
        t.push(&mut f, b"ab");
        t.gap(&mut f, 10);
        t.push(&mut f, b"c");
        t.close(&mut f, FileState::Closed);
        assert_eq!((f.size, f.state, f.md5, f.name.len()), (13, FileState::Truncated, None, NAME_MAX));
        assert_eq!(f.sha256.as_deref(), Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    }
}
