//! What one end has sent, as an onlooker knows it: sequence space, window, timestamps and the bytes themselves.
//!
//! Sequence numbers compare modulo 2^32 (RFC 9293, 3.4) and are mapped to stream offsets relative to the highest one
//! seen, so a stream may wrap any number of times. Urgent bytes treated as out of band take a sequence number but no
//! offset; the recent ones are remembered so that a retransmission maps the same way.

use super::OsPolicy;
use super::reassembly::Reassembly;
use crate::types::Timestamp;
use smallvec::SmallVec;

/// Shift count assumed where the handshake was not seen (RFC 7323, 2.3: the largest).
pub(super) const WINDOW_SCALE_UNKNOWN: u8 = 14;
/// Out-of-band bytes remembered by sequence number, and allowed in a direction's life; past that the urgent policy for
/// the limit serves.
const OOB_RECENT: usize = 32;
const OOB_MAX: u32 = 65_536;

pub(super) const fn seq_lt(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

pub(super) const fn seq_le(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) <= 0
}

pub(super) const fn seq_max(a: u32, b: u32) -> u32 {
    if seq_lt(a, b) { b } else { a }
}

#[derive(Clone, Debug)]
pub(super) struct Half {
    /// Initial sequence number; meaningful once `syn` or after a midstream start.
    pub isn: u32,
    pub syn: bool,
    /// Its sequence numbers are known.
    pub begun: bool,
    /// The sequence number after the highest one sent, SYN and FIN counted.
    pub next_seq: u32,
    /// Stream offset of `next_seq`.
    next_offset: u64,
    /// The highest sequence number the peer has acknowledged.
    pub last_ack: u32,
    /// The highest sequence number the peer's window has allowed: `ack + window`, never moving back.
    pub right_edge: u32,
    /// The window this end last advertised for what the peer may send, scaled.
    pub window: u32,
    /// Shift of the windows this end advertises.
    pub scale: u8,
    pub scale_offered: bool,
    pub sack: bool,
    pub timestamps: bool,
    /// The timestamp of the first SYN, and the latest.
    pub ts_first: u32,
    pub ts_recent: u32,
    pub ts_recent_at: Timestamp,
    /// Sequence number of the FIN.
    pub fin: Option<u32>,
    pub fin_acked: bool,
    /// Sequence number after a byte sent into a zero window.
    pub probe: Option<u32>,
    pub urgent_bytes: u32,
    oob: SmallVec<[u32; 2]>,
    /// How the receiver of this end's data treats overlaps.
    pub policy: OsPolicy,
    pub data: Reassembly,
}

impl Half {
    pub fn new(policy: OsPolicy, depth: u64, raw: bool) -> Self {
        Half {
            isn: 0,
            syn: false,
            begun: false,
            next_seq: 0,
            next_offset: 0,
            last_ack: 0,
            right_edge: 0,
            window: 0,
            scale: 0,
            scale_offered: false,
            sack: false,
            timestamps: false,
            ts_first: 0,
            ts_recent: 0,
            ts_recent_at: Timestamp::ZERO,
            fin: None,
            fin_acked: false,
            probe: None,
            urgent_bytes: 0,
            oob: SmallVec::new(),
            policy,
            data: Reassembly::new(depth, raw),
        }
    }

    /// The end's first sequence number is `isn`, its first byte the one after.
    pub fn begin(&mut self, isn: u32) {
        self.begun = true;
        self.isn = isn;
        self.next_seq = isn.wrapping_add(1);
        self.next_offset = 0;
        self.last_ack = self.next_seq;
        self.right_edge = self.next_seq;
    }

    /// Stream offset of a sequence number within half the sequence space of the highest seen.
    pub fn offset(&self, seq: u32) -> i64 {
        let distance = i64::from(seq.wrapping_sub(self.next_seq) as i32);
        let skipped = self.oob.iter().filter(|&&q| seq_le(seq, q) && seq_lt(q, self.next_seq)).count();
        (self.next_offset as i64).saturating_add(distance).saturating_add(skipped as i64)
    }

    /// Everything before `seq` has been sent.
    pub fn advance(&mut self, seq: u32) {
        if seq_lt(self.next_seq, seq) {
            let new = u64::from(seq.wrapping_sub(self.next_seq));
            let skipped = self.oob.iter().filter(|&&q| seq_le(self.next_seq, q) && seq_lt(q, seq)).count();
            self.next_offset = self.next_offset.saturating_add(new - skipped as u64);
            self.next_seq = seq;
        }
    }

    /// The byte at `seq` is out of band. False when there have been too many of them, or its place was given away.
    pub fn out_of_band(&mut self, seq: u32) -> bool {
        if self.oob.contains(&seq) {
            return true;
        }
        if self.urgent_bytes >= OOB_MAX || seq_lt(seq, self.next_seq) {
            return false;
        }
        if self.oob.len() >= OOB_RECENT {
            if self.oob.first().is_some_and(|q| !seq_lt(*q, self.last_ack)) {
                return false;
            }
            self.oob.remove(0);
        }
        self.urgent_bytes += 1;
        self.oob.push(seq);
        true
    }

    /// Bytes from `seq` on, `len` of them, that are out of band: their indices, in order.
    pub fn out_of_band_in(&self, seq: u32, len: usize) -> SmallVec<[usize; 2]> {
        let indices = self.oob.iter().map(|q| q.wrapping_sub(seq) as usize);
        let mut found: SmallVec<[usize; 2]> = indices.filter(|&i| i < len).collect();
        found.sort_unstable();
        found
    }

    /// Everything before `ack` has been received, as far as can be known.
    pub fn acknowledged(&mut self, ack: u32) {
        self.advance(ack);
        if seq_lt(self.last_ack, ack) {
            self.last_ack = ack;
        }
        let offset = self.offset(ack);
        self.data.acknowledge(u64::try_from(offset).unwrap_or(0));
        if !self.oob.is_empty() {
            let old = self.next_seq.wrapping_sub(1 << 30);
            self.oob.retain(|q| !seq_lt(*q, old));
        }
    }

    /// The peer allows sequence numbers before `ack + window`.
    pub fn allow(&mut self, ack: u32, window: u32) {
        self.right_edge = seq_max(self.right_edge, ack.wrapping_add(window));
    }

    /// Bytes by sequence number since the SYN, SYN and FIN counted.
    pub fn sequence_bytes(&self) -> u64 {
        u64::from(self.next_seq.wrapping_sub(self.isn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_survive_the_wrap() {
        let mut h = Half::new(OsPolicy::Bsd, 0, true);
        h.begin(u32::MAX - 10);
        assert_eq!(h.offset(u32::MAX - 9), 0);
        h.advance(20);
        assert_eq!(h.offset(20), 30);
        assert_eq!(h.offset(u32::MAX), 9);
        assert_eq!(h.offset(u32::MAX - 12), -3);
    }

    #[test]
    fn an_out_of_band_byte_takes_no_offset() {
        let mut h = Half::new(OsPolicy::Bsd, 0, true);
        h.begin(0);
        h.advance(11);
        assert!(h.out_of_band(15));
        h.advance(21);
        assert_eq!(h.offset(15), 14);
        assert_eq!(h.offset(16), 14);
        assert_eq!(h.offset(21), 19);
        assert_eq!(h.offset(11), 10);
    }
}
