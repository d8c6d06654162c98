//! One segment against its session: is it valid, what is odd, where do its bytes go.
//!
//! Validity is what the receiver would think (RFC 9293, 3.10; RFC 7323 for timestamps): a segment outside the window,
//! with an impossible acknowledgement or an old timestamp will be discarded there, so it must not be believed here. A
//! segment that is not valid changes nothing. The handshake and the ends of sessions have files of their own.

use super::events::StreamEvent;
use super::half::{WINDOW_SCALE_UNKNOWN, seq_le, seq_lt};
use super::reassembly::{InsertCx, Inserted};
use super::session::{Phase, TcpSession};
use super::validity::{
    ack_possible, bad_window_update, before_last_ack_event, in_window, invalid_ack_event, out_of_window_event,
    remember_timestamp, retransmission_events, timestamp_ok, urgent_bytes,
};
use super::{Account, Settings};
use crate::decode::{TcpFlags, TcpHeader};
use crate::types::{Cause, Counter, Counters, Direction, PerDirection, Timestamp};
use smallvec::SmallVec;
use std::ops::Range;

/// Stream events of one segment: rows of [`super::events::EVENTS`].
pub type StreamEvents = SmallVec<[u16; 4]>;

/// What a segment is taken in under.
pub struct SegmentCx<'a> {
    pub settings: &'a Settings,
    pub account: &'a mut Account,
    pub counters: &'a mut Counters,
    pub ts: Timestamp,
    /// Enforcing: deliver at once, and rewrite copies that differ. Fixed for a session's life by its first segment.
    pub inline: bool,
    /// Packets have passed unseen: what is met midstream is followed, and that is no loss of sight. The way the segment
    /// goes as far as its ports tell, where nothing else does.
    pub resync: Option<Direction>,
}

/// What became of a segment.
#[derive(Clone, Debug, Default)]
pub struct SegmentOutcome {
    /// Its receiver would take it, or nothing can be said against it.
    pub valid: bool,
    pub events: StreamEvents,
    /// Sight was lost, in these ways.
    pub exceptions: SmallVec<[Cause; 2]>,
    /// The payload is represented in the stream: whoever inspects that need not inspect the packet's payload.
    pub stored: bool,
    /// Reading as it passes: where in the stream the payload lies, from its first byte to behind its last, if any of it is
    /// new or must leave otherwise than it came.
    pub at: Option<Range<u64>>,
    /// Enforcing: bytes before the payload's have not come, and nobody has acknowledged them.
    pub ahead: bool,
    /// The session was taken up midstream because packets had passed unseen.
    pub taken_up: bool,
    /// All or part of the payload had been sent before.
    pub retransmission: bool,
    /// In line: the payload as it must leave.
    pub rewritten: Option<Vec<u8>>,
    /// The urgent policy says `drop`.
    pub drop: bool,
    /// The session was begun by its server's segment: the caller reverses the flow and flips its direction.
    pub reversed: bool,
    /// Directions with something new for a reader.
    pub progress: PerDirection<bool>,
    /// It is settled where the payload belongs.
    pub(super) placed: bool,
}

impl SegmentOutcome {
    pub(super) fn event(&mut self, e: StreamEvent) {
        if !self.events.contains(&(e as u16)) {
            self.events.push(e as u16);
        }
    }

    pub(super) fn exception(&mut self, c: Cause) {
        if !self.exceptions.contains(&c) {
            self.exceptions.push(c);
        }
    }

    pub(super) fn invalid(&mut self, e: StreamEvent) {
        self.event(e);
        self.valid = false;
    }
}

impl TcpSession {
    /// Takes one segment in. `dir` is the way the packet goes; checksums have been seen to.
    pub fn segment(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
    ) -> SegmentOutcome {
        let mut out = SegmentOutcome { valid: true, ..SegmentOutcome::default() };
        if self.phase == Phase::None {
            self.inline = cx.inline;
        }
        if !tcp.flags.has(TcpFlags::ACK) && tcp.ack != 0 {
            out.event(StreamEvent::PktBrokenAck);
        }
        if tcp.joins && tcp.flags.has(TcpFlags::SYN) && !tcp.flags.has(TcpFlags::ACK) {
            out.event(StreamEvent::MultipathJoin);
            out.exception(Cause::StreamMultipath);
        }
        if tcp.flags.has(TcpFlags::SYN | TcpFlags::FIN) && self.phase != Phase::None {
            out.event(StreamEvent::FinSyn);
        }
        match self.phase {
            Phase::None => self.first_segment(cx, tcp, payload, dir, &mut out),
            Phase::SynSent => self.on_syn_sent(cx, tcp, payload, dir, &mut out),
            Phase::SynRecv => self.on_syn_recv(cx, tcp, payload, dir, &mut out),
            Phase::Open => self.on_open(cx, tcp, payload, dir, &mut out),
            Phase::Reset(by) => self.on_reset(cx, tcp, payload, dir, by, &mut out),
        }
        let midstream = out.exceptions.contains(&Cause::StreamMidstream);
        if self.inline && !(out.placed || midstream || payload.is_empty() || tcp.flags.has(TcpFlags::RST)) {
            // Bytes that no state has a place for must not pass unread.
            out.valid = false;
        }
        if !out.valid {
            cx.counters.inc(Counter::StreamInvalid);
            out.exception(Cause::StreamInvalid);
        }
        self.note_gaps(cx, &mut out);
        out.progress = self.progress();
        self.check();
        out
    }

    fn on_open(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        if tcp.flags.has(TcpFlags::RST) {
            return self.take_reset(cx, tcp, payload, dir, out);
        }
        if tcp.flags.has(TcpFlags::SYN) {
            return self.late_syn(tcp, dir, out);
        }
        self.take_data(cx, tcp, payload, dir, out);
    }

    /// A segment of an open session: data, ACK, FIN.
    pub(super) fn take_data(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        let state = self.state();
        self.see_other_side(tcp, dir);
        let one_sided = self.one_sided.is_some();
        let (sender, peer) = self.half.split(dir);
        let end = tcp.seq.wrapping_add(payload.len() as u32);
        let past = end.wrapping_add(u32::from(tcp.flags.has(TcpFlags::FIN)));
        if !timestamp_ok(sender, peer, tcp, cx.ts, cx.settings.liberal_timestamps) {
            return out.invalid(StreamEvent::PktInvalidTimestamp);
        }
        let ack = tcp.flags.has(TcpFlags::ACK).then_some(tcp.ack);
        if !one_sided && ack.is_some_and(|a| !ack_possible(peer, a)) {
            out.event(StreamEvent::PktInvalidAck);
            return out.invalid(invalid_ack_event(state, tcp));
        }
        if !one_sided && bad_window_update(sender, peer, tcp, payload) {
            return out.invalid(StreamEvent::PktBadWindowUpdate);
        }
        let keep_alive = payload.len() <= 1 && tcp.seq == sender.next_seq.wrapping_sub(1) && sender.fin.is_none();
        if one_sided {
            sender.right_edge = end.wrapping_add(1 << 20);
        } else if seq_lt(past, sender.last_ack) && payload.is_empty() && !keep_alive {
            return out.invalid(before_last_ack_event(state));
        } else if !in_window(sender, peer, tcp, payload.len()) {
            return out.invalid(out_of_window_event(state, tcp));
        }
        remember_timestamp(sender, peer, tcp, cx.ts);
        self.take_ack(tcp, dir, out);
        if keep_alive && !payload.is_empty() && seq_le(end, self.half.of(dir).last_ack) {
            // The probe's byte is filler that its receiver discards (RFC 9293, 3.8.4).
            out.retransmission = true;
            out.placed = true;
            return;
        }
        self.take_payload(cx, tcp, payload, dir, out);
        if tcp.flags.has(TcpFlags::FIN) && !out.drop {
            self.take_fin(tcp.seq.wrapping_add(payload.len() as u32), dir);
        }
        if one_sided {
            // Nobody acknowledges here what passes: it counts as received.
            let sender = self.half.of_mut(dir);
            sender.acknowledged(sender.next_seq);
        }
    }

    /// The session was one-sided, and here is the other side after all: it begins where it is now.
    fn see_other_side(&mut self, tcp: &TcpHeader, dir: Direction) {
        if self.one_sided.is_some_and(|seen| seen != dir) {
            self.one_sided = None;
            let (sender, peer) = self.half.split(dir);
            if !sender.begun {
                sender.begin(tcp.seq.wrapping_sub(1));
            }
            sender.scale = sender.scale.max(WINDOW_SCALE_UNKNOWN);
            peer.scale = peer.scale.max(WINDOW_SCALE_UNKNOWN);
            sender.allow(tcp.seq, u32::from(u16::MAX) << WINDOW_SCALE_UNKNOWN);
            peer.allow(peer.next_seq, u32::from(tcp.window) << WINDOW_SCALE_UNKNOWN);
        }
    }

    /// The acknowledgement and window of a valid segment.
    fn take_ack(&mut self, tcp: &TcpHeader, dir: Direction, out: &mut SegmentOutcome) {
        let (sender, peer) = self.half.split(dir);
        sender.window = u32::from(tcp.window) << sender.scale;
        if !tcp.flags.has(TcpFlags::ACK) || self.one_sided.is_some() {
            return;
        }
        if peer.probe == Some(tcp.ack) {
            out.event(StreamEvent::EstAckZwpData);
        }
        if !seq_lt(tcp.ack, peer.last_ack) {
            peer.probe = None;
            peer.acknowledged(tcp.ack);
            peer.fin_acked |= peer.fin.is_some_and(|f| seq_lt(f, tcp.ack));
        }
        peer.allow(tcp.ack, sender.window);
    }

    /// Puts the payload where it belongs, urgent bytes by policy.
    pub(super) fn take_payload(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        if payload.is_empty() {
            return;
        }
        out.placed = true;
        let state = self.state();
        let (sender, peer) = self.half.split(dir);
        let end = tcp.seq.wrapping_add(payload.len() as u32);
        out.retransmission = seq_le(end, sender.next_seq);
        if out.retransmission {
            retransmission_events(state, sender, end, out);
        }
        if peer.window == 0 && payload.len() == 1 && tcp.seq == sender.next_seq {
            sender.probe = Some(end);
        }
        let skips = urgent_bytes(cx.settings, sender, tcp, payload.len(), out);
        if out.drop {
            return;
        }
        sender.advance(end);
        let mut done = Inserted::default();
        let mut from = 0;
        for at in skips.into_iter().chain([payload.len()]) {
            let seq = tcp.seq.wrapping_add(from as u32);
            if from < at {
                self.store(cx, seq, payload, from..at, dir, &mut done, out);
            }
            from = at + 1;
        }
        self.report(cx, &done, out);
    }

    /// Stores one range of the payload; in line, notes where it must be rewritten.
    #[allow(clippy::too_many_arguments)]
    fn store(
        &mut self,
        cx: &mut SegmentCx<'_>,
        seq: u32,
        payload: &[u8],
        range: Range<usize>,
        dir: Direction,
        done: &mut Inserted,
        out: &mut SegmentOutcome,
    ) {
        let inline = self.inline;
        let half = self.half.of_mut(dir);
        let offset = half.offset(seq);
        let segments_max = cx.settings.segments_max;
        let mut icx = InsertCx { account: cx.account, inline, policy: half.policy, segments_max };
        let base = range.start;
        let bytes = payload.get(range).unwrap_or(&[]);
        let rewritten = &mut out.rewritten;
        let mut patch = |at: usize, ours: &[u8]| {
            let leaves = rewritten.get_or_insert_with(|| payload.to_vec());
            if let Some(slot) = leaves.get_mut(base + at..base + at + ours.len()) {
                slot.copy_from_slice(ours);
            }
        };
        let beyond = u64::try_from(offset).is_ok_and(|o| o > half.data.end());
        let one = half.data.insert(&mut icx, offset, bytes, &mut patch);
        out.ahead |= inline && beyond && half.data.gap().is_none();
        let news = one.stored && (one.fresh || out.rewritten.is_some());
        if let (true, Ok(from)) = (inline && news, u64::try_from(offset)) {
            let begin = out.at.as_ref().map_or(from, |at| at.start);
            out.at = Some(begin..from + bytes.len() as u64);
        }
        done.stored |= one.stored;
        done.overlap |= one.overlap;
        done.differs |= one.differs;
        done.memcap |= one.memcap;
        done.limit |= one.limit;
        done.depth |= one.depth;
        done.before |= one.before;
        done.past_end |= one.past_end;
    }

    fn report(&self, cx: &mut SegmentCx<'_>, done: &Inserted, out: &mut SegmentOutcome) {
        out.stored = done.stored;
        if done.before && !out.retransmission {
            out.event(StreamEvent::ReassemblySegmentBeforeBaseSeq);
        }
        if done.overlap {
            cx.counters.inc(Counter::StreamOverlaps);
        }
        if done.differs {
            cx.counters.inc(Counter::StreamOverlapDiff);
            out.event(StreamEvent::ReassemblyOverlapDifferentData);
        }
        if out.rewritten.is_some() {
            cx.counters.inc(Counter::StreamRewritten);
        }
        if done.depth {
            out.event(StreamEvent::ReassemblyDepthReached);
        }
        if self.inline && done.past_end {
            // Nobody has read it here; a receiver that never took the FIN would.
            out.valid = false;
        }
        if done.memcap || done.limit {
            cx.counters.inc(Counter::StreamMemcap);
            out.exception(Cause::StreamReassemblyMemcap);
            let limit = StreamEvent::ReassemblyInsertLimit;
            out.event(if done.limit { limit } else { StreamEvent::ReassemblyInsertMemcap });
        }
    }

    fn note_gaps(&mut self, cx: &mut SegmentCx<'_>, out: &mut SegmentOutcome) {
        for dir in Direction::BOTH {
            if self.half.of_mut(dir).data.note_gap().is_some() {
                cx.counters.inc(Counter::StreamGaps);
                out.exception(Cause::StreamGap);
                if !matches!(self.phase, Phase::Reset(_)) {
                    out.event(StreamEvent::ReassemblySeqGap);
                }
            }
        }
    }
}
