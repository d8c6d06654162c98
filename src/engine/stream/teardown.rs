//! How sessions end: FIN, RST, and packets after a RST that its target ignored.

use super::events::StreamEvent;
use super::half::{seq_le, seq_lt};
use super::segment::{SegmentCx, SegmentOutcome};
use super::session::{Phase, TcpSession};
use super::validity::{ack_possible, reset_believed};
use crate::decode::{TcpFlags, TcpHeader};
use crate::types::Direction;

impl TcpSession {
    /// A FIN of a valid segment whose data ends before `seq`. A second FIN elsewhere is ignored: the first one ended
    /// the data.
    pub(super) fn take_fin(&mut self, seq: u32, dir: Direction) {
        let half = self.half.of_mut(dir);
        if half.fin.is_some() {
            return;
        }
        let offset = half.offset(seq);
        half.fin = Some(seq);
        half.advance(seq.wrapping_add(1));
        half.fin_acked = seq_lt(seq, half.last_ack);
        half.data.finish_at(u64::try_from(offset).unwrap_or(0));
        self.first_fin.get_or_insert(dir);
    }

    /// A RST in an open session or in the handshake's last step.
    pub(super) fn take_reset(
        &mut self,
        _cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        if !payload.is_empty() {
            out.event(StreamEvent::RstWithData);
        }
        let (inline, one_sided) = (self.inline, self.one_sided.is_some());
        // Who has lost packets cannot tell what number the receiver waits for.
        let lossy = Direction::BOTH.into_iter().any(|d| self.gapped(d));
        let (sender, peer) = self.half.split(dir);
        let acks = tcp.flags.has(TcpFlags::ACK) && tcp.ack != 0;
        if acks && !one_sided && !ack_possible(peer, tcp.ack) {
            return out.invalid(StreamEvent::RstInvalidAck);
        }
        if !one_sided && !lossy && !reset_believed(sender, tcp, payload.len()) {
            out.valid = false;
            return;
        }
        if acks && !one_sided && seq_le(peer.last_ack, tcp.ack) {
            peer.acknowledged(tcp.ack);
        }
        if !inline && seq_le(sender.last_ack, tcp.seq) {
            // Nothing before it will be sent again: whatever of it came is all there is.
            sender.acknowledged(tcp.seq);
        }
        self.enter_reset(dir);
    }

    /// Nothing more is expected, and what was not acknowledged waits for the flow's end. Watching, the sender's bytes end
    /// here if all of them have been had. Enforcing they do not: a target that ignored the reset reads on, and so must we.
    pub(super) fn enter_reset(&mut self, by: Direction) {
        self.before_reset = self.phase;
        self.phase = Phase::Reset(by);
        self.half.of_mut(by).data.reset = !self.inline;
    }

    /// A packet of a session that was reset. The sender of the reset going on shows that someone else sent it: the session
    /// lives on. Its target's data may have been under way; enforcing, it is inspected all the same, since a target that
    /// ignored the reset would read it.
    pub(super) fn on_reset(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        by: Direction,
        out: &mut SegmentOutcome,
    ) {
        if tcp.flags.has(TcpFlags::RST) || self.finished {
            return;
        }
        let injected = dir == by;
        if injected {
            out.event(StreamEvent::SuspectedRstInject);
        }
        let continues = self.half.of(dir).next_seq == tcp.seq && !tcp.flags.has(TcpFlags::SYN);
        let live = self.before_reset == Phase::Open && continues;
        if !live || !(injected || self.inline && !payload.is_empty()) {
            return;
        }
        self.phase = self.before_reset;
        self.half.of_mut(by).data.reset = false;
        self.take_data(cx, tcp, payload, dir, out);
    }
}
