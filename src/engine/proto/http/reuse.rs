//! What transactions leave to those that come after: buffers, and whole transactions.
//!
//! An exchange takes a dozen buffers of some hundred bytes each. They are emptied instead of dropped, and a few
//! transactions wait in the worker's thread for the next request, of whatever connection, so that once warm an exchange
//! allocates nothing.

use super::tx::HttpTx;
use crate::applayer::TxId;
use std::cell::{Cell, OnceCell, RefCell};

/// Transactions a thread keeps.
const SPARE_MAX: usize = 32;
/// A larger buffer is dropped: with a dozen of them each, what waits is 3 MiB at most.
const CAPACITY_MAX: usize = 8 << 10;

thread_local! {
    // A transaction lives in its box, here as in its parser.
    #[allow(clippy::vec_box)]
    static SPARE: RefCell<Vec<Box<HttpTx>>> = const { RefCell::new(Vec::new()) };
}

/// A transaction that has seen nothing yet.
pub fn transaction(id: TxId) -> Box<HttpTx> {
    match SPARE.with_borrow_mut(Vec::pop) {
        Some(mut tx) => {
            tx.id = id;
            tx
        }
        None => Box::new(HttpTx::new(id)),
    }
}

/// The transaction is done with.
pub fn give_back(mut tx: Box<HttpTx>) {
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_MAX {
            tx.empty();
            spare.push(tx);
        }
    });
}

/// Empties a buffer, which keeps its room.
pub fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(CAPACITY_MAX);
}

/// Bytes built when first asked for.
#[derive(Default)]
pub struct Built {
    bytes: OnceCell<Vec<u8>>,
    /// What they are built in.
    spare: Cell<Vec<u8>>,
}

impl Built {
    /// `build` is given an empty buffer.
    pub fn get(&self, build: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        self.bytes.get_or_init(|| {
            let mut out = self.spare.take();
            build(&mut out);
            out
        })
    }

    /// What they were built of has changed.
    pub fn forget(&mut self) {
        if let Some(mut bytes) = self.bytes.take() {
            empty(&mut bytes);
            self.spare.set(bytes);
        }
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        let spare = self.spare.take();
        let memory = spare.capacity() + self.bytes.get().map_or(0, Vec::capacity);
        self.spare.set(spare);
        memory
    }
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.bytes.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_comes_back_as_new() {
        let mut tx = transaction(TxId(7));
        tx.request.m.line.extend_from_slice(b"GET / HTTP/1.1");
        tx.request.host = Some(b"example.org".to_vec());
        tx.request.m.headers.push_line(b"A: b\r\n", false, 10);
        tx.response.code = Some(200);
        tx.event(super::super::tables::event::INVALID_GAP);
        let line = tx.request.m.line.as_ptr();
        give_back(tx);
        let again = transaction(TxId(8));
        assert_eq!(again.request.m.line.as_ptr(), line);
        let (had, fresh) = (format!("{again:?}"), format!("{:?}", HttpTx::new(TxId(8))));
        assert_eq!(had, fresh);
    }

    #[test]
    fn what_waits_is_bounded() {
        (0..100).for_each(|i| give_back(Box::new(HttpTx::new(TxId(i)))));
        SPARE.with_borrow(|s| assert_eq!(s.len(), SPARE_MAX));
        let mut big = Vec::with_capacity(1 << 20);
        empty(&mut big);
        assert!(big.capacity() <= CAPACITY_MAX);
    }

    #[test]
    fn built_once_until_forgotten() {
        let mut b = Built::default();
        assert_eq!(b.get(|out| out.push(1)), [1]);
        assert_eq!(b.get(|out| out.push(2)), [1]);
        b.forget();
        assert!(b.memory() > 0);
        assert_eq!(b.get(|out| out.push(3)), [3]);
    }
}
