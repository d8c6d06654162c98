//! One direction's bytes: in order in one buffer, out of order beside it.
//!
//! Offsets count the direction's data bytes from 0 and never wrap. `buf[head..]` holds `start..end`, contiguous; `held`
//! holds later pieces, disjoint, all at or past `end`. An in-order segment costs one copy to the back of the buffer;
//! what both readers and the receiver have taken leaves at the front, and a full buffer is compacted where that wins a
//! quarter of it, so the copying is amortised and a steady stream allocates nothing. Everything held is billed to the
//! worker's account by capacity.
//!
//! A hole becomes a gap when the receiver acknowledges past it or the session ends: then the bytes will never be seen.
//! The buffer steps over a gap once both readers have had all before it.

use super::account::SPARE_MIN;
use super::overlap::Range;
use super::owners::Owners;
use super::{Account, OsPolicy};
use std::collections::BTreeMap;

/// Bookkeeping billed for each out-of-order piece beside its bytes.
const PIECE_OVERHEAD: usize = 64;
/// An emptied buffer keeps up to this capacity for the bytes to come.
const KEEP_CAPACITY: usize = 16 << 10;

/// The conditions of one insertion.
pub(super) struct InsertCx<'a> {
    pub account: &'a mut Account,
    pub inline: bool,
    pub policy: OsPolicy,
    pub segments_max: usize,
}

/// What became of a segment's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inserted {
    /// The bytes are represented in the stream.
    pub stored: bool,
    /// Some of them were not here before.
    pub fresh: bool,
    pub overlap: bool,
    /// Some overlapped byte differs.
    pub differs: bool,
    pub memcap: bool,
    pub limit: bool,
    /// The segment is the first to reach past the depth.
    pub depth: bool,
    /// All of it lies before what is held.
    pub before: bool,
    /// Some of it lies past the FIN.
    pub past_end: bool,
}

/// A reader's place: the offset of the next byte it wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    pub at: u64,
    pub wanted: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Reassembly {
    pub(super) buf: Vec<u8>,
    pub(super) head: usize,
    pub(super) start: u64,
    pub(super) held: BTreeMap<u64, Vec<u8>>,
    pub(super) held_capacity: usize,
    pub(super) owners: Owners,
    pub(super) billed: usize,
    pub(super) acked: u64,
    /// Holes before this will not be filled.
    pub(super) lost: u64,
    pub(super) fin: Option<u64>,
    /// The sender has reset the session.
    pub(super) reset: bool,
    pub(super) flushed: bool,
    /// Raw inspection ends here, and the application layer too unless it is `deep`.
    pub(super) depth: u64,
    pub(super) depth_reached: bool,
    /// The application layer goes on past the depth.
    pub(super) deep: bool,
    pub(super) app: Reader,
    /// The application layer has been shown everything before this.
    pub(super) shown: u64,
    pub(super) raw: Reader,
    pub(super) end_given: bool,
    pub(super) gap_noted: u64,
    /// The gap last stepped over; empty before.
    pub(super) hole: Range,
}

impl Reassembly {
    /// `depth` in bytes, 0 for no bound.
    pub fn new(depth: u64, raw: bool) -> Self {
        Reassembly {
            buf: Vec::new(),
            head: 0,
            start: 0,
            held: BTreeMap::new(),
            held_capacity: 0,
            owners: Owners::default(),
            billed: 0,
            acked: 0,
            lost: 0,
            fin: None,
            reset: false,
            flushed: false,
            depth: if depth == 0 { u64::MAX } else { depth },
            depth_reached: false,
            deep: false,
            app: Reader { at: 0, wanted: true },
            shown: 0,
            raw: Reader { at: 0, wanted: raw },
            end_given: false,
            gap_noted: 0,
            hole: Range { start: 0, end: 0 },
        }
    }

    /// Offset past the last contiguous byte.
    pub fn end(&self) -> u64 {
        self.start + (self.buf.len() - self.head) as u64
    }

    pub const fn depth_reached(&self) -> bool {
        self.depth_reached
    }

    pub const fn memory(&self) -> usize {
        self.billed
    }

    /// Offset of the first byte still held.
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The application layer goes on past the depth, or does not.
    pub const fn set_deep(&mut self, deep: bool) {
        self.deep = deep;
    }

    /// Offset from which on nothing is kept.
    pub(super) const fn bound(&self) -> u64 {
        if self.deep && self.app.wanted { u64::MAX } else { self.depth }
    }

    pub fn set_depth(&mut self, depth: u64) {
        self.depth = if depth == 0 { u64::MAX } else { depth.max(self.end()) };
    }

    pub(super) const fn wanted(&self) -> bool {
        self.app.wanted || self.raw.wanted
    }

    /// Places `data` at `offset` (negative: before the stream's beginning). `patch` receives the index in `data` and the
    /// bytes that must replace it there, in line, where an earlier copy differs.
    pub fn insert(
        &mut self,
        cx: &mut InsertCx<'_>,
        offset: i64,
        data: &[u8],
        patch: &mut dyn FnMut(usize, &[u8]),
    ) -> Inserted {
        let mut done = Inserted::default();
        if !self.wanted() {
            return done;
        }
        let begin = i128::from(offset);
        let stop = begin + data.len() as i128;
        let limit = self.bound().min(self.fin.unwrap_or(u64::MAX));
        let past = stop > i128::from(self.depth);
        done.depth = past && !self.depth_reached;
        self.depth_reached |= past;
        let from = begin.max(i128::from(self.start));
        let to = stop.min(i128::from(limit));
        done.before = stop <= i128::from(self.start);
        done.past_end = self.fin.is_some_and(|f| stop > i128::from(f));
        done.stored = done.before;
        let (Ok(from), Ok(to)) = (u64::try_from(from), u64::try_from(to)) else { return done };
        if from >= to {
            return done;
        }
        let skip = (i128::from(from) - begin) as usize;
        let data = data.get(skip..skip + (to - from) as usize).unwrap_or(&[]);
        let mut shifted = |at: usize, bytes: &[u8]| patch(skip + at, bytes);
        self.place(cx, Range { start: from, end: to }, data, &mut shifted, &mut done);
        // What raw inspection will not see is the packet's alone.
        done.stored &= from < self.depth;
        done
    }

    fn place(
        &mut self,
        cx: &mut InsertCx<'_>,
        seg: Range,
        data: &[u8],
        patch: &mut dyn FnMut(usize, &[u8]),
        done: &mut Inserted,
    ) {
        let in_order = seg.start == self.end() && self.held.is_empty();
        if in_order {
            done.stored = self.append(cx.account, data);
            done.fresh = true;
            done.memcap = !done.stored;
        } else {
            self.compare(cx, seg, data, patch, done);
            self.fill(cx, seg, data, done);
            self.absorb(cx.account);
            if cx.inline {
                // Nothing waits for an ACK here: what this segment shows to be lost is lost.
                self.lost = self.lost.max(self.lost_before());
            }
        }
        // First and Last need no owners; nor does the inline rule.
        if !cx.inline && done.stored && cx.policy != OsPolicy::First && seg.end > self.acked {
            self.own(cx, seg, in_order);
        }
        self.rebill(cx.account);
    }

    /// Compares `data` with the copies already here; in line they are patched into the segment, watching the policy
    /// decides which copy stays.
    fn compare(
        &mut self,
        cx: &mut InsertCx<'_>,
        seg: Range,
        data: &[u8],
        patch: &mut dyn FnMut(usize, &[u8]),
        done: &mut Inserted,
    ) {
        let end = self.end();
        let live = self.buf.get(self.head..).unwrap_or(&[]);
        let mut differing = |at: u64, ours: &[u8]| {
            let lo = at.max(seg.start);
            let hi = (at + ours.len() as u64).min(seg.end);
            if lo >= hi {
                return;
            }
            done.overlap = true;
            let ours = ours.get((lo - at) as usize..(hi - at) as usize).unwrap_or(&[]);
            let index = (lo - seg.start) as usize;
            if data.get(index..index + ours.len()) != Some(ours) {
                done.differs = true;
                if cx.inline {
                    patch(index, ours);
                }
            }
        };
        if seg.start < end {
            differing(self.start, live);
        }
        let from = self.first_overlapping(seg.start);
        for (&at, piece) in self.held.range(from..seg.end) {
            differing(at, piece);
        }
        if done.overlap && !cx.inline {
            for won in self.owners.claim(seg, cx.policy, owners_max(cx)) {
                self.overwrite(won, seg, data);
            }
        }
    }

    /// Key of the held piece that covers `offset`, or `offset` itself.
    fn first_overlapping(&self, offset: u64) -> u64 {
        match self.held.range(..offset).next_back() {
            Some((&at, piece)) if at + piece.len() as u64 > offset => at,
            _ => offset,
        }
    }

    /// Puts the segment's copy over the bytes of `won`, all of which are here.
    fn overwrite(&mut self, won: Range, seg: Range, data: &[u8]) {
        let start = self.start;
        let copy = |at: u64, ours: &mut [u8]| {
            let lo = at.max(won.start);
            let hi = (at + ours.len() as u64).min(won.end);
            if lo >= hi {
                return;
            }
            let theirs = data.get((lo - seg.start) as usize..(hi - seg.start) as usize);
            let ours = ours.get_mut((lo - at) as usize..(hi - at) as usize);
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                ours.copy_from_slice(theirs);
            }
        };
        copy(start, self.buf.get_mut(self.head..).unwrap_or(&mut []));
        let from = match self.held.range(..won.start).next_back() {
            Some((&at, piece)) if at + piece.len() as u64 > won.start => at,
            _ => won.start,
        };
        for (&at, piece) in self.held.range_mut(from..won.end) {
            copy(at, piece);
        }
    }

    /// Stores the parts of the segment that no copy covers yet.
    fn fill(&mut self, cx: &mut InsertCx<'_>, seg: Range, data: &[u8], done: &mut Inserted) {
        let mut at = seg.start.max(self.end());
        done.stored = true;
        while at < seg.end {
            let from = self.first_overlapping(at);
            let next = self.held.range(from..seg.end).next().map(|(&k, p)| (k, k + p.len() as u64));
            let (stop, resume) = next.map_or((seg.end, seg.end), |(k, e)| (k.max(at), e));
            if at < stop {
                done.fresh = true;
                let part = data.get((at - seg.start) as usize..(stop - seg.start) as usize).unwrap_or(&[]);
                if at == self.end() {
                    if !self.append(cx.account, part) {
                        done.memcap = true;
                    }
                } else {
                    self.hold(cx, at, part, done);
                }
                if done.memcap || done.limit {
                    done.stored = false;
                    return;
                }
            }
            at = resume;
        }
    }

    /// Keeps an out-of-order part, behind its predecessor when it continues that one.
    fn hold(&mut self, cx: &mut InsertCx<'_>, at: u64, part: &[u8], done: &mut Inserted) {
        if let Some((&k, piece)) = self.held.range_mut(..at).next_back()
            && k + piece.len() as u64 == at
        {
            let before = piece.capacity();
            let need = piece.len() + part.len();
            let target = if need > before { need.saturating_add(need / 2) } else { before };
            if !cx.account.reserve(target - before) {
                done.memcap = true;
                return;
            }
            piece.reserve_exact(target - piece.len());
            piece.extend_from_slice(part);
            let grown = piece.capacity() - before;
            self.held_capacity += grown;
            self.billed += target - before;
            return;
        }
        if self.held.len() >= cx.segments_max {
            done.limit = true;
        } else if !cx.account.reserve(part.len() + PIECE_OVERHEAD) {
            done.memcap = true;
        } else {
            self.billed += part.len() + PIECE_OVERHEAD;
            self.held_capacity += part.len();
            self.held.insert(at, part.to_vec());
        }
    }

    /// Moves held pieces that have become contiguous into the buffer.
    fn absorb(&mut self, account: &mut Account) {
        while let Some(entry) = self.held.first_entry() {
            if *entry.key() > self.start + (self.buf.len() - self.head) as u64 {
                break;
            }
            let (at, piece) = entry.remove_entry();
            self.held_capacity -= piece.capacity();
            self.rebill(account);
            if !self.append(account, &piece) {
                // No room to move it: it stays where it is until there is; its bytes were billed a moment ago.
                self.held_capacity += piece.capacity();
                self.held.insert(at, piece);
                self.rebill(account);
                break;
            }
        }
    }

    /// Adds contiguous bytes at the back, compacting or growing the buffer as needed.
    fn append(&mut self, account: &mut Account, data: &[u8]) -> bool {
        let need = self.buf.len() + data.len();
        if need > self.buf.capacity() {
            let need = self.buf.len() - self.head + data.len();
            // A quarter of the buffer is won at least, so a byte moves three times at most before it goes.
            if need <= self.buf.capacity() / 4 * 3 {
                self.compact();
            } else if !self.grow(account, need) {
                return false;
            }
        }
        self.buf.extend_from_slice(data);
        true
    }

    fn compact(&mut self) {
        self.buf.copy_within(self.head.., 0);
        self.buf.truncate(self.buf.len() - self.head);
        self.head = 0;
    }

    fn grow(&mut self, account: &mut Account, need: usize) -> bool {
        // Most streams are one short message: only one that went on is given room for more.
        let more = if self.buf.capacity() == 0 { 0 } else { need / 3 };
        let generous = (need + more).next_power_of_two().max(SPARE_MIN);
        for target in [generous, need] {
            // Old and new exist side by side while the bytes move; the old one is released at the end.
            if account.reserve(target) {
                let mut bigger = account.buffer(target);
                bigger.extend_from_slice(self.buf.get(self.head..).unwrap_or(&[]));
                account.give_back(std::mem::replace(&mut self.buf, bigger));
                self.head = 0;
                self.billed += target;
                self.rebill(account);
                return true;
            }
        }
        false
    }

    fn own(&mut self, cx: &mut InsertCx<'_>, seg: Range, in_order: bool) {
        let max = owners_max(cx);
        let bytes = Range { start: seg.start.max(self.acked), end: seg.end };
        let room = self.owners.growth(2);
        if !cx.account.reserve(room) {
            return;
        }
        self.billed += room;
        if in_order {
            self.owners.add(bytes, seg, max);
        } else {
            self.owners.add_uncovered(bytes, seg, max);
        }
    }

    /// Brings the account in line with what is held now.
    fn rebill(&mut self, account: &mut Account) {
        let now = self.buf.capacity() + self.held_capacity + self.held.len() * PIECE_OVERHEAD + self.owners.memory();
        if now <= self.billed {
            account.release(self.billed - now);
        } else if !account.reserve(now - self.billed) {
            // Only owner lists can outgrow their estimate; without them the first copy stays.
            self.owners.clear();
            return self.rebill(account);
        }
        self.billed = now;
    }

    /// The receiver has everything before `offset`.
    pub fn acknowledge(&mut self, offset: u64) {
        let offset = offset.min(self.fin.unwrap_or(u64::MAX));
        if offset > self.acked {
            self.acked = offset;
            self.owners.release_before(offset);
        }
        self.lost = self.lost.max(self.lost_before());
        self.step_over_gap();
    }

    /// What has not come of the bytes before `offset` never will, and nobody misses it.
    pub fn pass_unseen(&mut self, offset: u64) {
        self.lost = self.lost.max(offset);
        self.gap_noted = self.gap_noted.max(offset);
    }

    /// The direction's data ends at `offset`.
    pub fn finish_at(&mut self, offset: u64) {
        self.fin.get_or_insert(offset.max(self.end()));
    }

    /// Nothing more will come: all that is held becomes deliverable.
    pub fn flush(&mut self) {
        self.flushed = true;
        self.step_over_gap();
    }

    /// Forgets all bytes as if none had come (data in a SYN that was not taken).
    pub fn restart(&mut self, account: &mut Account) {
        let (depth, raw, app, deep) = (self.depth, self.raw.wanted, self.app.wanted, self.deep);
        self.release(account);
        *self = Reassembly::new(depth, raw);
        self.depth = depth;
        self.app.wanted = app;
        self.deep = deep;
    }

    /// Lets go of bytes that nobody needs any more; `overlap` inspected bytes are kept for raw views.
    pub fn trim(&mut self, account: &mut Account, overlap: usize) {
        if !self.wanted() {
            return self.release(account);
        }
        self.absorb(account);
        let mut keep = self.end();
        if self.app.wanted {
            keep = keep.min(self.app.at);
        }
        if self.raw.wanted {
            let overlap = if account.is_tight() { 0 } else { overlap as u64 };
            keep = keep.min(self.raw.at.saturating_sub(overlap));
        }
        if !self.flushed {
            keep = keep.min(self.acked);
        }
        let go = keep.saturating_sub(self.start);
        self.head += go as usize;
        self.start += go;
        if self.head == self.buf.len() {
            self.buf.clear();
            self.head = 0;
        }
        let live = self.buf.len() - self.head;
        if self.buf.capacity() > KEEP_CAPACITY && self.buf.capacity() / 8 > live {
            self.compact();
            self.buf.shrink_to(live.max(KEEP_CAPACITY / 4));
        }
        self.rebill(account);
    }

    /// Lets go of everything held.
    pub fn release(&mut self, account: &mut Account) {
        self.start = self.end();
        account.give_back(std::mem::take(&mut self.buf));
        self.head = 0;
        self.held.clear();
        self.held_capacity = 0;
        self.owners.clear();
        self.rebill(account);
    }

    #[cfg(any(test, debug_assertions))]
    pub fn invariants(&self, cx_segments_max: usize) {
        debug_assert!(self.head <= self.buf.len());
        let mut at = self.end();
        let mut capacity = 0;
        for (&k, piece) in &self.held {
            debug_assert!(k >= at && !piece.is_empty());
            at = k + piece.len() as u64;
            capacity += piece.capacity();
        }
        debug_assert_eq!(capacity, self.held_capacity);
        debug_assert!(self.held.len() <= cx_segments_max);
        debug_assert!(!self.app.wanted || self.app.at >= self.start);
        debug_assert!(!self.raw.wanted || self.raw.at >= self.start);
        self.owners.invariants();
    }
}

/// Bound of the owner list: in-order segments awaiting their ACK, and out-of-order ones.
const fn owners_max(cx: &InsertCx<'_>) -> usize {
    cx.segments_max.saturating_mul(2)
}
