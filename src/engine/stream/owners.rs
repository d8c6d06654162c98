//! Which segment each unacknowledged byte came from, for the overlap policies that ask.
//!
//! Disjoint ranges in order, each naming the whole segment that owns it. In-order traffic pushes at the back and
//! acknowledgements pop at the front; only contradicting overlaps rebuild the list. Bounded: past the bound a byte has no
//! recorded owner, and then its first copy stays. Acknowledged bytes have no owner either: the receiver has them.

use super::OsPolicy;
use super::overlap::{Range, new_wins};
use smallvec::SmallVec;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug)]
struct Owner {
    bytes: Range,
    segment: Range,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Owners(VecDeque<Owner>);

impl Owners {
    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Owner>()
    }

    /// Memory one more entry may add.
    pub fn growth(&self, more: usize) -> usize {
        let need = self.0.len() + more;
        if need <= self.0.capacity() { 0 } else { need.saturating_mul(2).max(8) * size_of::<Owner>() }
    }

    /// Bytes not owned so far now belong to `segment`.
    pub fn add(&mut self, bytes: Range, segment: Range, max: usize) {
        if self.0.len() >= max {
            return;
        }
        let owner = Owner { bytes, segment };
        match self.0.back() {
            Some(last) if bytes.start < last.bytes.start => {
                let at = self.0.partition_point(|o| o.bytes.start < bytes.start);
                self.0.insert(at, owner);
            }
            _ => self.0.push_back(owner),
        }
    }

    /// Those of `bytes` that nobody owns now belong to `segment`.
    pub fn add_uncovered(&mut self, bytes: Range, segment: Range, max: usize) {
        let mut holes: SmallVec<[Range; 4]> = SmallVec::new();
        let mut at = bytes.start;
        let first = self.0.partition_point(|o| o.bytes.end <= bytes.start);
        for o in self.0.iter().skip(first).take_while(|o| o.bytes.start < bytes.end) {
            if at < o.bytes.start {
                holes.push(Range { start: at, end: o.bytes.start });
            }
            at = o.bytes.end;
        }
        if at < bytes.end {
            holes.push(Range { start: at, end: bytes.end });
        }
        for hole in holes {
            self.add(hole, segment, max);
        }
    }

    /// Hands to `segment` what it takes from earlier owners under `policy`, and returns those ranges.
    pub fn claim(&mut self, segment: Range, policy: OsPolicy, max: usize) -> SmallVec<[Range; 4]> {
        let mut won = SmallVec::new();
        let first = self.0.partition_point(|o| o.bytes.end <= segment.start);
        for o in self.0.iter().skip(first).take_while(|o| o.bytes.start < segment.end) {
            if new_wins(policy, segment, o.segment) {
                let start = o.bytes.start.max(segment.start);
                won.push(Range { start, end: o.bytes.end.min(segment.end) });
            }
        }
        if !won.is_empty() {
            self.reassign(segment, &won, max);
        }
        won
    }

    /// Bytes before `offset` are acknowledged: nobody can take them any more.
    pub fn release_before(&mut self, offset: u64) {
        while let Some(o) = self.0.front_mut() {
            if o.bytes.end > offset {
                o.bytes.start = o.bytes.start.max(offset);
                break;
            }
            self.0.pop_front();
        }
        if self.0.is_empty() && self.0.capacity() > 64 {
            self.0 = VecDeque::new();
        }
    }

    pub fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    fn reassign(&mut self, segment: Range, won: &[Range], max: usize) {
        let mut out = VecDeque::with_capacity(self.0.len() + 2);
        // Each range was won from one owner, in their order.
        let mut won = won.iter().peekable();
        for o in &self.0 {
            let Some(w) = won.next_if(|w| w.start < o.bytes.end && o.bytes.start < w.end) else {
                out.push_back(*o);
                continue;
            };
            let parts = [
                (Range { start: o.bytes.start, end: w.start }, o.segment),
                (*w, segment),
                (Range { start: w.end, end: o.bytes.end }, o.segment),
            ];
            out.extend(parts.iter().filter(|(b, _)| b.start < b.end).map(|&(bytes, segment)| Owner { bytes, segment }));
        }
        out.truncate(max);
        self.0 = out;
    }

    #[cfg(any(test, debug_assertions))]
    pub fn invariants(&self) {
        let mut at = 0;
        for o in &self.0 {
            debug_assert!(o.bytes.start >= at && o.bytes.start < o.bytes.end);
            at = o.bytes.end;
        }
    }
}
