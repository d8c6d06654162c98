//! One datagram under reassembly: which fragment owns which bytes, the header, and when it is whole.
//!
//! `pieces` are disjoint, sorted by offset and not empty; each is a window onto the fragment it came from, shared when a
//! fragment was cut in two. Bytes no piece refers to any more are freed with the last piece of their fragment. The cost
//! counts the bytes of fragments held, not the bytes of pieces shown.

use super::super::context::Fragment;
use super::policy::OverlapPolicy;
use crate::types::Timestamp;
use crate::wire::checksum;
use std::sync::Arc;
use std::time::Duration;

/// What a piece and its fragment take besides bytes.
const PIECE_COST: usize = 96;
/// What a datagram takes in the table and the queue of births.
const DATAGRAM_COST: usize = 256;
/// Pieces of one datagram: 65,535 bytes in units of 8, with room for cuts.
const PIECES_MAX: usize = 8_192 + 64;

#[derive(Clone, Debug)]
struct Piece {
    start: u32,
    end: u32,
    /// The whole fragment as it came, and where it began.
    fragment: Arc<[u8]>,
    offset: u32,
}

impl Piece {
    fn whole(&self) -> (u32, u32) {
        (self.offset, self.offset + self.fragment.len() as u32)
    }

    fn bytes(&self) -> &[u8] {
        let range = (self.start - self.offset) as usize..(self.end - self.offset) as usize;
        self.fragment.get(range).unwrap_or(&[])
    }
}

/// What [`Datagram::add`] did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    Kept {
        /// It claims bytes another fragment has claimed.
        overlap: bool,
    },
    /// No room.
    Full,
}

#[derive(Debug)]
pub(super) struct Datagram {
    policy: OverlapPolicy,
    /// When the first fragment came.
    pub born: Timestamp,
    /// Number of that birth.
    pub birth: u64,
    pieces: Vec<Piece>,
    /// Length of the payload, once the last fragment is here.
    total: Option<u32>,
    /// How long it may wait.
    pub timeout: Duration,
    /// Bytes of the fragment of offset 0 up to its IP header: the link it came by.
    front: Box<[u8]>,
    /// Header of the fragment of offset 0, and where its next-header byte is.
    header: Box<[u8]>,
    next_at: u16,
    /// What the payload is, as the fragment of offset 0 says (RFC 8200 4.5).
    proto: u8,
    held: usize,
    /// Bytes of the payload that pieces own.
    covered: usize,
}

impl Datagram {
    pub fn new(policy: OverlapPolicy, timeout: Duration, born: Timestamp, birth: u64) -> Self {
        Datagram {
            policy,
            born,
            birth,
            timeout,
            front: Box::default(),
            pieces: Vec::new(),
            total: None,
            header: Box::default(),
            next_at: 0,
            proto: 0,
            held: 0,
            covered: 0,
        }
    }

    /// Bytes this datagram is billed.
    pub fn cost(&self) -> usize {
        DATAGRAM_COST + self.front.len() + self.header.len() + self.held + self.pieces.len() * PIECE_COST
    }

    /// Whether a receiver could read the datagram in two ways with this fragment: other bytes where some are, another end,
    /// or bytes past the end.
    pub fn contradicts(&self, f: &Fragment, data: &[u8]) -> bool {
        let (start, end) = (f.offset, f.offset + data.len() as u32);
        let reach = self.pieces.last().map_or(0, |p| p.end);
        let ends = match self.total {
            Some(total) => end > total || (!f.more && end != total),
            None => !f.more && reach > end,
        };
        let from = self.pieces.partition_point(|p| p.end <= start);
        let differs = self.pieces.iter().skip(from).take_while(|p| p.start < end).any(|p| {
            let (lo, hi) = (p.start.max(start), p.end.min(end));
            let held = p.bytes().get((lo - p.start) as usize..(hi - p.start) as usize);
            held != data.get((lo - start) as usize..(hi - start) as usize)
        });
        ends || differs
    }

    /// Fragments and parts of them held.
    pub fn held(&self) -> usize {
        self.pieces.len()
    }

    /// Takes a fragment, of which only the last may be empty, if `room` is enough for it: bytes and pieces. `front` is what
    /// stands before its header.
    pub fn add(&mut self, f: &Fragment, front: &[u8], header: &[u8], data: &[u8], room: (usize, usize)) -> Added {
        let (start, end) = (f.offset, f.offset + data.len() as u32);
        let more = self.pieces_more(start, end);
        let bytes = data.len() + front.len() + header.len() + more * PIECE_COST;
        if bytes > room.0 || more > room.1.min(PIECES_MAX.saturating_sub(self.pieces.len())) {
            return Added::Full;
        }
        let first_header = self.header.is_empty();
        if start == 0 && (first_header || self.policy.later_wins((0, 8), (0, 8), (0, 8))) {
            self.front = front.into();
            self.header = header.into();
            self.next_at = f.next_at;
            self.proto = f.proto;
        }
        if !f.more && (self.total.is_none() || self.policy == OverlapPolicy::Last) {
            self.total = Some(end);
        }
        if data.is_empty() {
            return Added::Kept { overlap: false };
        }
        let new = Piece { start, end, fragment: Arc::from(data), offset: start };
        let before = self.pieces.len();
        let overlap = self.lay(new);
        debug_assert!(self.pieces.len() <= before + more);
        Added::Kept { overlap }
    }

    /// Pieces that a fragment of these bytes can add: where it meets others, one for each gap between them, and one at
    /// either end, of it or cut from what it meets there.
    fn pieces_more(&self, start: u32, end: u32) -> usize {
        let from = self.pieces.partition_point(|p| p.end <= start);
        let to = self.pieces.partition_point(|p| p.start < end);
        match self.pieces.get(from..to) {
            Some([first, rest @ ..]) => {
                let gaps = rest.iter().scan(first.end, |at, p| Some(std::mem::replace(at, p.end) < p.start));
                2 + gaps.filter(|gap| *gap).count()
            }
            _ => 1,
        }
    }

    /// Lays a fragment over the pieces: of each byte the policy says who owns it. Says whether any was shared.
    fn lay(&mut self, new: Piece) -> bool {
        let from = self.pieces.partition_point(|p| p.end <= new.start);
        let to = self.pieces.partition_point(|p| p.start < new.end);
        self.held += new.fragment.len();
        self.covered += (new.end - new.start) as usize;
        if from == to {
            self.pieces.insert(from, new);
            return false;
        }
        let old: Vec<Piece> = self.pieces.drain(from..to).collect();
        let mut laid: Vec<Piece> = Vec::with_capacity(old.len() * 2 + 1);
        let mut at = new.start;
        let piece_of = |p: &Piece, start: u32, end: u32| Piece { start, end, ..p.clone() };
        for p in &old {
            if p.start < new.start {
                laid.push(piece_of(p, p.start, new.start));
            }
            if p.start > at {
                push(&mut laid, piece_of(&new, at, p.start));
            }
            let (shared_start, shared_end) = (p.start.max(new.start), p.end.min(new.end));
            self.covered = self.covered.saturating_sub((shared_end - shared_start) as usize);
            let owner = if self.policy.later_wins((p.start, p.end), p.whole(), new.whole()) { &new } else { p };
            push(&mut laid, piece_of(owner, shared_start, shared_end));
            if p.end > new.end {
                push(&mut laid, piece_of(p, new.end, p.end));
            }
            at = shared_end;
        }
        if at < new.end {
            push(&mut laid, piece_of(&new, at, new.end));
        }
        self.pieces.splice(from..from, laid);
        self.release(old, new);
        true
    }

    /// Takes from the bill the fragments of which no piece is left.
    fn release(&mut self, old: Vec<Piece>, new: Piece) {
        for p in old.into_iter().chain([new]) {
            if Arc::strong_count(&p.fragment) == 1 {
                self.held = self.held.saturating_sub(p.fragment.len());
            }
        }
    }

    /// The packet, if every byte is here, and where its IP header begins: link and header of the first fragment, its
    /// lengths and flags those of a whole packet.
    pub fn whole(&self, v6: bool) -> Option<(Box<[u8]>, usize)> {
        let total = self.total?;
        if self.header.is_empty() || self.covered < total as usize || self.pieces.first()?.start != 0 {
            return None;
        }
        let mut at = 0;
        for p in &self.pieces {
            if p.start != at {
                break;
            }
            at = p.end;
        }
        if at < total {
            return None;
        }
        let at = self.front.len();
        let len = at + self.header.len() + total as usize;
        let mut packet = Vec::with_capacity(len);
        packet.extend_from_slice(&self.front);
        packet.extend_from_slice(&self.header);
        for p in &self.pieces {
            let left = len.saturating_sub(packet.len());
            let bytes = p.bytes();
            packet.extend_from_slice(bytes.get(..left).unwrap_or(bytes));
        }
        let ip = packet.get_mut(at..)?;
        if v6 {
            self.finish_v6(ip);
        } else {
            finish_v4(ip, self.header.len());
        }
        Some((packet.into(), at))
    }

    fn finish_v6(&self, packet: &mut [u8]) {
        let len = (packet.len().saturating_sub(40) as u16).to_be_bytes();
        if let Some(field) = packet.get_mut(4..6) {
            field.copy_from_slice(&len);
        }
        if let Some(next) = packet.get_mut(usize::from(self.next_at)) {
            *next = self.proto;
        }
    }

    #[cfg(debug_assertions)]
    pub fn invariants(&self) {
        debug_assert!(self.pieces.windows(2).all(|w| w[0].end <= w[1].start));
        debug_assert!(self.pieces.iter().all(|p| {
            let (start, end) = p.whole();
            p.start < p.end && start <= p.start && p.end <= end
        }));
        let covered: usize = self.pieces.iter().map(|p| p.bytes().len()).sum();
        debug_assert_eq!(self.covered, covered);
        let mut fragments: Vec<_> = self.pieces.iter().map(|p| (Arc::as_ptr(&p.fragment).cast::<u8>(), p)).collect();
        fragments.sort_by_key(|(at, _)| *at);
        fragments.dedup_by_key(|(at, _)| *at);
        debug_assert_eq!(self.held, fragments.iter().map(|(_, p)| p.fragment.len()).sum::<usize>());
        debug_assert!(self.pieces.len() <= PIECES_MAX);
    }
}

/// Adds a piece, joined to the one before it when both are of one fragment and touch.
fn push(pieces: &mut Vec<Piece>, p: Piece) {
    match pieces.last_mut() {
        Some(last) if last.end == p.start && Arc::ptr_eq(&last.fragment, &p.fragment) => last.end = p.end,
        _ => pieces.push(p),
    }
}

/// Total length, no fragment bits, checksum.
fn finish_v4(packet: &mut [u8], header_len: usize) {
    let total = (packet.len() as u16).to_be_bytes();
    let Some(header) = packet.get_mut(..header_len) else { return };
    for (range, value) in [(2..4, total), (6..8, [0, 0]), (10..12, [0, 0])] {
        if let Some(field) = header.get_mut(range) {
            field.copy_from_slice(&value);
        }
    }
    let sum = checksum::plain(header).to_be_bytes();
    if let Some(field) = header.get_mut(10..12) {
        field.copy_from_slice(&sum);
    }
}
