//! Where a worker's records wait for their reader: one run of bytes, bounded; a record that finds no room is lost and
//! counted, never waited for.

use super::head::{HEAD_LEN, Head};
use super::tree::{BodyWriter, Malformed, walk};
use crate::types::FieldSink;

/// Records of one worker since they were last taken.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    capacity: usize,
    lost: u64,
    next_sequence: u32,
}

impl Records {
    /// Holds at most `capacity` bytes of records; a single one may be as large. Memory is taken as it is needed.
    pub fn new(capacity: usize) -> Self {
        Records { bytes: Vec::new(), capacity: capacity.min(u32::MAX as usize), lost: 0, next_sequence: 0 }
    }

    /// Writes a record whose fields `body` gives. `false` (and counted as lost): no room; nothing of it is kept.
    /// The head's `sequence` is set here.
    pub fn write(&mut self, head: &Head<'_>, body: impl FnOnce(&mut dyn FieldSink)) -> bool {
        let start = self.bytes.len();
        let event = if head.event.len() > u8::MAX as usize { "" } else { head.event };
        let head = Head { sequence: self.next_sequence, event, ..*head };
        self.next_sequence = self.next_sequence.wrapping_add(1);
        if start + HEAD_LEN + event.len() > self.capacity {
            self.lost += 1;
            return false;
        }
        self.bytes.extend_from_slice(&head.encode());
        self.bytes.extend_from_slice(event.as_bytes());
        let body_start = self.bytes.len();
        let mut writer = BodyWriter::new(&mut self.bytes, self.capacity);
        body(&mut writer);
        if !writer.finish() {
            self.bytes.truncate(start);
            self.lost += 1;
            return false;
        }
        let body_len = (self.bytes.len() - body_start) as u32;
        if let Some(slot) = self.bytes.get_mut(start..start + 4) {
            slot.copy_from_slice(&body_len.to_le_bytes());
        }
        self.invariants();
        true
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Records lost for want of room since this was last taken.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        Record::all(&self.bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Takes the records out, leaving an empty buffer; `spare`'s allocation is used for what comes next.
    pub fn take(&mut self, mut spare: Vec<u8>) -> Vec<u8> {
        spare.clear();
        std::mem::replace(&mut self.bytes, spare)
    }

    /// Panics when the buffer is not a row of whole records within its capacity. Only in debug builds.
    pub fn invariants(&self) {
        debug_assert!(self.bytes.len() <= self.capacity);
        #[cfg(debug_assertions)]
        if self.bytes.len() < 4096 {
            debug_assert_eq!(self.iter().map(|r| r.size).sum::<usize>(), self.bytes.len());
        }
    }
}

/// One record in place.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub head: Head<'a>,
    body: &'a [u8],
    /// Only the invariants ask for it.
    #[cfg(any(test, debug_assertions))]
    size: usize,
}

impl<'a> Record<'a> {
    /// The first record of `bytes` and what follows it.
    pub fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (head, body_len, rest) = Head::decode(bytes)?;
        let (body, rest) = rest.split_at_checked(body_len).ok_or(Malformed)?;
        let record = Record {
            head,
            body,
            #[cfg(any(test, debug_assertions))]
            size: bytes.len() - rest.len(),
        };
        Ok((record, rest))
    }

    /// Every record of `bytes` up to the first malformed one.
    pub fn all(mut bytes: &'a [u8]) -> impl Iterator<Item = Record<'a>> {
        std::iter::from_fn(move || {
            let (record, rest) = Record::read(bytes).ok()?;
            bytes = rest;
            Some(record)
        })
    }

    /// The same record with its packet numbered from `base` on: captures that are one input are numbered each from 1.
    pub fn renumbered(mut self, base: u64) -> Self {
        self.head.number = self.head.number.map(|n| n.checked_sub(base).unwrap_or(n));
        self
    }

    /// Gives the fields to `sink`, in the order they were written.
    pub fn walk(&self, sink: &mut dyn FieldSink) -> Result<(), Malformed> {
        walk(self.body, sink)
    }
}
