//! What the two readers of a direction see: data, gaps, the end.
//!
//! The application layer consumes at its own pace and is shown what it left only together with more; raw inspection sees
//! fresh bytes behind some it has seen. A gap is stepped over once both have had all before it. Nothing here copies
//! bytes but the step over a gap, which lets pieces change place.

use super::overlap::Range;
use super::reassembly::Reassembly;

/// What the application layer gets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Everything deliverable and not consumed, contiguous; `offset` is the stream offset of the first byte.
    Data { offset: u64, bytes: &'a [u8] },
    /// `len` bytes were never seen; what was unconsumed before them has been presented.
    Gap { offset: u64, len: u64 },
    /// Nothing more will come. Given once.
    End,
}

/// What raw stream inspection sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawView<'a> {
    /// Stream offset of `bytes[0]`.
    pub offset: u64,
    pub bytes: &'a [u8],
    /// Index in `bytes` of the first byte not inspected yet; `bytes.len()` when there is none.
    pub fresh: usize,
    /// Nothing more will come.
    pub ended: bool,
    /// So many bytes before `bytes[0]` were never seen.
    pub missing: u64,
}

impl Reassembly {
    pub(super) fn deliverable(&self, inline: bool) -> u64 {
        let end = self.end();
        if inline || self.flushed { end } else { end.min(self.acked.max(self.start)) }
    }

    /// End of the hole at `end()`, as far as it will not be filled any more: it was acknowledged with later bytes here, or
    /// nothing more will come.
    #[inline]
    pub(super) fn gap(&self) -> Option<u64> {
        let end = self.end();
        if self.held.is_empty() && self.acked <= end {
            // Nothing lies behind, and nothing more is known to have been sent.
            return None;
        }
        let first = self.held.first_key_value().map(|(&k, _)| k);
        if !self.wanted() || first == Some(end) {
            return None;
        }
        let known = match first {
            Some(f) if self.flushed => f,
            Some(f) => f.min(self.lost),
            None => self.lost_before(),
        };
        (known > end).then_some(known)
    }

    /// The same for the application layer: what lies behind a hole that nobody acknowledged never reached the receiver's.
    fn app_gap(&self) -> Option<u64> {
        let gap = self.gap()?;
        let gap = if self.flushed { gap.min(self.lost.max(self.acked)) } else { gap };
        (gap > self.end()).then_some(gap)
    }

    /// How far an ACK shows holes to be lost. A hole with nothing behind it waits, since an ACK may overtake the data it is
    /// for; so does one whose later bytes came after the ACK, until the next.
    pub(super) fn lost_before(&self) -> u64 {
        match self.held.first_key_value() {
            Some(_) => self.acked,
            None if self.fin == Some(self.acked) || self.acked >= self.bound() => self.acked.min(self.bound()),
            None => 0,
        }
    }

    /// A gap with bytes behind it that was not reported before: its length.
    pub fn note_gap(&mut self) -> Option<u64> {
        if self.held.is_empty() {
            return None;
        }
        let gap = self.gap()?;
        let from = self.end().max(self.gap_noted);
        (gap > from).then(|| {
            self.gap_noted = gap;
            gap - from
        })
    }

    pub(super) fn step_over_gap(&mut self) {
        while let Some(gap) = self.gap() {
            let end = self.end();
            let to = if self.app.wanted { gap.min(self.app.at) } else { gap };
            if to <= end || (self.raw.wanted && self.raw.at < end) {
                return;
            }
            self.buf.clear();
            self.head = 0;
            self.start = to;
            self.hole = Range { start: if self.hole.end == end { self.hole.start } else { end }, end: to };
            self.raw.at = self.raw.at.max(to);
            self.shown = self.shown.max(to);
            let lost = to.min(self.lost.max(self.acked));
            if lost > end {
                self.gap_noted = self.gap_noted.max(lost);
            }
            self.owners.release_before(to);
            if self.held.first_key_value().is_some_and(|(&k, _)| k == to) {
                self.adopt();
                return;
            }
        }
    }

    /// After a gap the first held piece becomes the buffer, with those that continue it: the bytes only change place, so
    /// what is billed covers them.
    fn adopt(&mut self) {
        let Some((at, piece)) = self.held.pop_first() else { return };
        self.held_capacity -= piece.capacity();
        let mut end = at + piece.len() as u64;
        let mut more = 0;
        for (&k, p) in &self.held {
            if k != end {
                break;
            }
            end += p.len() as u64;
            more += p.len();
        }
        self.buf = piece;
        self.head = 0;
        self.buf.reserve_exact(more);
        while let Some(entry) = self.held.first_entry()
            && *entry.key() < end
        {
            let piece = entry.remove();
            self.held_capacity -= piece.capacity();
            self.buf.extend_from_slice(&piece);
        }
    }

    pub(super) fn ended(&self, inline: bool, at: u64) -> bool {
        let fin = self.fin.is_some_and(|f| at >= f && (inline || self.flushed || self.acked >= f));
        let over = self.flushed || self.reset && self.held.is_empty();
        fin || over && at >= self.end() && self.app_gap().is_none() || (self.depth_reached && at >= self.bound())
    }

    pub fn pending(&self, inline: bool) -> Option<Chunk<'_>> {
        if !self.app.wanted {
            return None;
        }
        let (limit, end) = (self.deliverable(inline), self.end());
        if self.app.at < limit && self.shown < limit {
            let from = self.head + (self.app.at - self.start) as usize;
            let to = self.head + (limit - self.start) as usize;
            return Some(Chunk::Data { offset: self.app.at, bytes: self.buf.get(from..to).unwrap_or(&[]) });
        }
        if limit == end
            && self.app.at <= end
            && let Some(gap) = self.app_gap()
        {
            return Some(Chunk::Gap { offset: end, len: gap - end });
        }
        // Bytes shown and left unconsumed do not keep the end away.
        let at = if self.shown >= limit { self.app.at.max(limit) } else { self.app.at };
        (!self.end_given && self.ended(inline, at)).then_some(Chunk::End)
    }

    /// Takes `n` bytes of what `pending` gives; a gap or the end is taken whole, whatever `n` is.
    pub fn consume(&mut self, inline: bool, n: u64) {
        match self.pending(inline) {
            Some(Chunk::Data { bytes, .. }) => {
                let len = bytes.len() as u64;
                self.app.at += n.min(len);
                self.shown = self.deliverable(inline);
            }
            Some(Chunk::Gap { offset, len }) => {
                self.app.at = offset + len;
                self.step_over_gap();
            }
            Some(Chunk::End) => {
                self.end_given = true;
                // What is held behind a hole is raw inspection's alone.
                self.app.wanted &= !self.flushed || self.held.is_empty();
                self.step_over_gap();
            }
            None => {}
        }
    }

    /// What was shown and not consumed is to be presented again.
    pub fn present_again(&mut self) {
        self.shown = self.shown.min(self.app.at);
    }

    /// The same, to one who has seen nothing, the end included.
    pub fn present_anew(&mut self) {
        self.present_again();
        self.end_given = false;
    }

    pub fn raw(&self, inline: bool, overlap: usize) -> RawView<'_> {
        let limit = self.raw_limit(inline);
        let from = self.raw.at.saturating_sub(overlap as u64).max(self.start).min(limit);
        let ended = self.held.is_empty() && self.ended(inline, limit) || (self.depth_reached && limit >= self.depth);
        let at = self.raw.at.clamp(from, limit);
        let (lo, hi) = (self.head + (from - self.start) as usize, self.head + (limit - self.start) as usize);
        let bytes = if self.raw.wanted { self.buf.get(lo..hi).unwrap_or(&[]) } else { &[] };
        let missing = if self.hole.end == from { self.hole.end - self.hole.start } else { 0 };
        RawView { offset: from, bytes, fresh: ((at - from) as usize).min(bytes.len()), ended, missing }
    }

    /// What is held of `at`, with what adjoins before it: all of `at` fresh. Empty when it is gone already, `None` where its
    /// parts lie in pieces.
    pub fn around(&self, at: &std::ops::Range<u64>, overlap: usize) -> Option<RawView<'_>> {
        let view = |offset, bytes, fresh| RawView { offset, bytes, fresh, ended: false, missing: 0 };
        let to = at.end.min(self.depth);
        if !self.raw.wanted || to <= self.start {
            return Some(view(to, &[], 0));
        }
        let (start, held) = if at.start < self.end() {
            (self.start, self.buf.get(self.head..)?)
        } else {
            self.held.range(..=at.start).next_back().map(|(&k, piece)| (k, &piece[..]))?
        };
        let from = at.start.saturating_sub(overlap as u64).max(start);
        let bytes = held.get((from - start) as usize..to.checked_sub(start)? as usize)?;
        Some(view(from, bytes, (at.start.max(start) - from) as usize))
    }

    /// How far raw inspection may see: at most to the depth.
    fn raw_limit(&self, inline: bool) -> u64 {
        self.deliverable(inline).min(self.depth.max(self.start))
    }

    pub fn raw_inspected(&mut self, inline: bool) {
        self.raw.at = self.raw.at.max(self.raw_limit(inline));
        // Past the depth only the application layer reads on.
        self.raw.wanted &= !(self.deep && self.raw.at >= self.depth);
        self.step_over_gap();
    }

    pub fn has_work(&self, inline: bool) -> bool {
        let raw = self.raw.wanted && self.raw.at < self.raw_limit(inline);
        raw || self.pending(inline).is_some()
    }

    pub fn unread(&self) -> bool {
        let app = self.app.wanted && !self.end_given;
        app || self.raw.wanted && self.raw.at < self.end() || self.wanted() && !self.held.is_empty()
    }

    pub fn stop_app(&mut self) {
        self.app.wanted = false;
        self.step_over_gap();
    }

    pub fn stop_raw(&mut self) {
        self.raw.wanted = false;
        self.step_over_gap();
    }
}
