//! How sessions begin: the three-way handshake, simultaneous open, Fast Open, and sessions whose beginning was missed.
//!
//! Until both ends agree several SYNs or SYN/ACKs with different numbers may be about; the numbers that count are those
//! the other end answers. Without the beginning nothing is certain, so such sessions are followed only on request.

use super::events::StreamEvent;
use super::half::{Half, WINDOW_SCALE_UNKNOWN, seq_le};
use super::segment::{SegmentCx, SegmentOutcome};
use super::session::{Phase, TcpSession, TcpState};
use super::validity::{ack_possible, echo_ok};
use crate::decode::{TcpFlags, TcpHeader};
use crate::types::{Cause, Counter, Direction};

impl TcpSession {
    /// The first segment that could begin a session.
    pub(super) fn first_segment(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        let (syn, ack) = (tcp.flags.has(TcpFlags::SYN), tcp.flags.has(TcpFlags::ACK));
        let unseen = cx.resync.is_some();
        let follow = unseen || cx.settings.midstream || cx.settings.async_oneside && syn;
        if tcp.flags.has(TcpFlags::RST) {
            if !unseen {
                out.invalid(StreamEvent::RstButNoSession);
            }
            return;
        }
        if tcp.flags.has(TcpFlags::FIN) && !unseen && (!cx.settings.midstream || payload.is_empty()) {
            out.exception(Cause::StreamMidstream);
            return out.invalid(StreamEvent::FinButNoSession);
        }
        if syn && !ack && !tcp.flags.has(TcpFlags::FIN) {
            self.phase = Phase::SynSent;
            self.syns = 1;
            cx.counters.inc(Counter::StreamSessions);
            return self.begin_client(cx, tcp, payload, dir, out);
        }
        if !ack && !tcp.flags.has(TcpFlags::FIN) {
            // It asks for nothing and answers nothing.
            return;
        }
        if !unseen {
            out.exception(Cause::StreamMidstream);
        }
        if !follow {
            return;
        }
        out.taken_up = unseen;
        cx.counters.inc(Counter::StreamSessions);
        cx.counters.inc(Counter::StreamMidstream);
        self.midstream = true;
        if syn {
            return self.begin_at_syn_ack(tcp, dir, out);
        }
        self.begin_in_the_middle(cx, tcp, payload, dir, out);
    }

    /// Takes the client's SYN, with its data if it has any (RFC 7413).
    fn begin_client(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        let (sender, _) = self.half.split(dir);
        sender.begin(tcp.seq);
        sender.syn = true;
        offer(sender, tcp, cx.ts);
        // What the server will allow is not known before it answers.
        sender.allow(sender.next_seq, u32::from(u16::MAX));
        self.fast_open = tcp.fast_open;
        self.data_of_syn(cx, tcp, payload, dir, out);
    }

    /// Data of a SYN follows the number the SYN takes.
    fn data_of_syn(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        let data = TcpHeader { seq: tcp.seq.wrapping_add(1), ..*tcp };
        self.take_payload(cx, &data, payload, dir, out);
    }

    /// The SYN was missed, the SYN/ACK was not: its sender is the server.
    fn begin_at_syn_ack(&mut self, tcp: &TcpHeader, dir: Direction, out: &mut SegmentOutcome) {
        if dir == Direction::ToServer {
            out.reversed = true;
            self.swap();
        }
        let (server, client) = self.half.split(Direction::ToClient);
        client.begin(tcp.ack.wrapping_sub(1));
        client.scale = WINDOW_SCALE_UNKNOWN;
        client.scale_offered = true;
        client.timestamps = tcp.timestamps.is_some();
        server.begin(tcp.seq);
        server.syn = true;
        offer(server, tcp, crate::types::Timestamp::ZERO);
        server.window = u32::from(tcp.window);
        settle_options(server, client);
        client.allow(tcp.ack, u32::from(tcp.window));
        server.allow(server.next_seq, u32::from(u16::MAX) << WINDOW_SCALE_UNKNOWN);
        self.phase = Phase::SynRecv;
        self.synacks = 1;
    }

    /// Neither SYN was seen: both ends begin where they are.
    fn begin_in_the_middle(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        mut dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        if let Some(way) = cx.resync.filter(|way| *way != dir) {
            out.reversed = true;
            self.swap();
            dir = way;
        }
        let (sender, peer) = self.half.split(dir);
        sender.begin(tcp.seq.wrapping_sub(1));
        peer.begin(tcp.ack.wrapping_sub(1));
        for half in [&mut *sender, &mut *peer] {
            half.scale = WINDOW_SCALE_UNKNOWN;
            half.timestamps = tcp.timestamps.is_some();
        }
        sender.allow(sender.next_seq, u32::from(u16::MAX) << WINDOW_SCALE_UNKNOWN);
        peer.allow(peer.next_seq, u32::from(tcp.window) << WINDOW_SCALE_UNKNOWN);
        self.phase = Phase::Open;
        if cx.settings.async_oneside {
            self.one_sided = Some(dir);
        }
        self.take_data(cx, tcp, payload, dir, out);
    }

    /// The client has sent its SYN.
    pub(super) fn on_syn_sent(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        let (syn, ack) = (tcp.flags.has(TcpFlags::SYN), tcp.flags.has(TcpFlags::ACK));
        let to_client = dir == Direction::ToClient;
        if to_client && ack && !echo_ok(self.half.of(Direction::ToServer), tcp) {
            return out.invalid(StreamEvent::PktInvalidTimestamp);
        }
        if tcp.flags.has(TcpFlags::RST) {
            return self.reset_handshake(tcp, dir, out);
        }
        match (syn, ack) {
            (true, true) if self.simultaneous => self.simultaneous_syn_ack(cx, tcp, dir, out),
            (true, true) if to_client => self.take_syn_ack(cx, tcp, payload, out),
            (true, true) => out.invalid(StreamEvent::Handshake3SynackInWrongDirection),
            (true, false) if to_client => self.open_simultaneously(cx, tcp, out),
            (true, false) => self.another_syn(cx, tcp, payload, dir, out),
            (false, true) => self.ack_without_syn_ack(cx, tcp, payload, dir, out),
            (false, false) => {}
        }
    }

    /// The client tries again, perhaps with another number.
    fn another_syn(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        if tcp.seq == self.half.of(dir).isn {
            offer(self.half.of_mut(dir), tcp, cx.ts);
            self.fast_open |= tcp.fast_open;
            self.data_of_syn(cx, tcp, payload, dir, out);
            out.retransmission = true;
            return;
        }
        let spoken = self.inline && self.half.of(dir).data.end() > 0;
        // What an earlier SYN carried has been read already, and another beginning cannot be put in its place.
        if spoken {
            return out.invalid(StreamEvent::Handshake3SynFlood);
        }
        if self.syns > cx.settings.syn_max {
            out.event(StreamEvent::Handshake3SynFlood);
        }
        self.syns = self.syns.saturating_add(1);
        self.half.of_mut(dir).data.restart(cx.account);
        self.begin_client(cx, tcp, payload, dir, out);
    }

    fn take_syn_ack(&mut self, cx: &mut SegmentCx<'_>, tcp: &TcpHeader, payload: &[u8], out: &mut SegmentOutcome) {
        let (server, client) = self.half.split(Direction::ToClient);
        let with_data = client.next_seq;
        let bare = client.isn.wrapping_add(1);
        if tcp.ack != with_data && tcp.ack != bare {
            return out.invalid(StreamEvent::Handshake3SynackWithWrongAck);
        }
        server.begin(tcp.seq);
        server.syn = true;
        offer(server, tcp, cx.ts);
        server.window = u32::from(tcp.window);
        settle_options(server, client);
        if tcp.ack == bare && with_data != bare {
            // The server left the SYN's data alone; the client will send it again.
            if self.fast_open {
                out.event(StreamEvent::Handshake3SynackTfoDataIgnored);
            }
            if !self.inline {
                client.data.restart(cx.account);
            }
            let isn = client.isn;
            client.begin(isn);
        }
        client.acknowledged(tcp.ack);
        client.allow(tcp.ack, server.window);
        let window = client.window.max(u32::from(u16::MAX));
        server.allow(server.next_seq, window);
        self.phase = Phase::SynRecv;
        self.synacks = 1;
        // Some clients read it though they did not ask for Fast Open.
        if self.fast_open || self.inline {
            self.data_of_syn(cx, tcp, payload, Direction::ToClient, out);
        }
    }

    /// An ACK, but no SYN/ACK was seen: only one direction passes here.
    fn ack_without_syn_ack(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        if self.simultaneous {
            return self.confirm_simultaneous(cx, tcp, payload, dir, out);
        }
        if !cx.settings.async_oneside || dir == Direction::ToClient {
            // Fast Open lets the client go on before it is answered.
            if self.fast_open && dir == Direction::ToServer && tcp.seq == self.half.of(dir).next_seq {
                self.take_payload(cx, tcp, payload, dir, out);
            }
            return;
        }
        let client = self.half.of_mut(dir);
        if tcp.seq != client.next_seq {
            return out.invalid(StreamEvent::Handshake3AsyncWrongSeq);
        }
        let server = self.half.of_mut(Direction::ToClient);
        server.begin(tcp.ack.wrapping_sub(1));
        server.scale = WINDOW_SCALE_UNKNOWN;
        self.one_sided = Some(dir);
        self.phase = Phase::Open;
        self.take_data(cx, tcp, payload, dir, out);
    }

    fn open_simultaneously(&mut self, cx: &SegmentCx<'_>, tcp: &TcpHeader, out: &mut SegmentOutcome) {
        let server = self.half.of_mut(Direction::ToClient);
        if self.simultaneous && server.isn != tcp.seq {
            return out.invalid(StreamEvent::Handshake4SynackWithWrongSyn);
        }
        server.begin(tcp.seq);
        server.syn = true;
        offer(server, tcp, cx.ts);
        server.allow(server.next_seq, u32::from(u16::MAX));
        self.simultaneous = true;
    }

    fn simultaneous_syn_ack(&mut self, cx: &SegmentCx<'_>, tcp: &TcpHeader, dir: Direction, out: &mut SegmentOutcome) {
        let (sender, peer) = self.half.split(dir);
        if tcp.ack != peer.isn.wrapping_add(1) {
            return out.invalid(StreamEvent::Handshake4SynackWithWrongAck);
        }
        if tcp.seq != sender.isn {
            return out.invalid(StreamEvent::Handshake4SynackWithWrongSyn);
        }
        offer(sender, tcp, cx.ts);
        sender.window = u32::from(tcp.window);
        settle_options(sender, peer);
        peer.acknowledged(tcp.ack);
        peer.allow(tcp.ack, sender.window);
        self.phase = Phase::SynRecv;
    }

    fn confirm_simultaneous(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        let (sender, peer) = self.half.split(dir);
        if tcp.seq != sender.next_seq {
            return out.invalid(StreamEvent::Handshake4WrongSeq);
        }
        if tcp.ack != peer.next_seq {
            return out.invalid(StreamEvent::Handshake4InvalidAck);
        }
        settle_options(sender, peer);
        self.phase = Phase::Open;
        self.take_data(cx, tcp, payload, dir, out);
    }

    /// The server has answered with its SYN/ACK.
    pub(super) fn on_syn_recv(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        let (syn, ack) = (tcp.flags.has(TcpFlags::SYN), tcp.flags.has(TcpFlags::ACK));
        let to_client = dir == Direction::ToClient;
        if tcp.flags.has(TcpFlags::RST) {
            return self.take_reset(cx, tcp, payload, dir, out);
        }
        match (syn, ack) {
            (true, true) if self.simultaneous => self.simultaneous_syn_ack(cx, tcp, dir, out),
            (true, true) if to_client => self.another_syn_ack(cx, tcp, out),
            (true, true) => out.invalid(StreamEvent::Handshake3SynackToserverOnSynRecv),
            (true, false) if to_client => out.invalid(StreamEvent::Handshake3SynToclientOnSynRecv),
            (true, false) if tcp.seq == self.half.of(dir).isn => {
                self.data_of_syn(cx, tcp, payload, dir, out);
                out.retransmission = true;
            }
            (true, false) => out.invalid(StreamEvent::Handshake3SynResendDiffSeqOnSynRecv),
            (false, true) if to_client && !self.simultaneous => self.server_speaks_first(cx, tcp, payload, out),
            (false, true) => self.complete(cx, tcp, payload, dir, out),
            (false, false) => {}
        }
    }

    /// The SYN/ACK again; one with other numbers replaces the first until the client has answered one of them.
    fn another_syn_ack(&mut self, cx: &mut SegmentCx<'_>, tcp: &TcpHeader, out: &mut SegmentOutcome) {
        let (server, client) = self.half.split(Direction::ToClient);
        if tcp.ack != client.next_seq && tcp.ack != client.last_ack {
            return out.invalid(StreamEvent::Handshake3SynackResendWithDiffAck);
        }
        if tcp.seq == server.isn {
            out.retransmission = true;
            return;
        }
        out.event(StreamEvent::Handshake3SynackResendWithDiffSeq);
        if self.synacks >= cx.settings.synack_max {
            return out.invalid(StreamEvent::Handshake3SynackFlood);
        }
        self.synacks += 1;
        server.data.restart(cx.account);
        server.begin(tcp.seq);
        offer(server, tcp, cx.ts);
        server.window = u32::from(tcp.window);
        settle_options(server, client);
        client.allow(tcp.ack, server.window);
        server.allow(server.next_seq, client.window.max(u32::from(u16::MAX)));
    }

    /// The client's ACK completes the handshake.
    fn complete(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        dir: Direction,
        out: &mut SegmentOutcome,
    ) {
        let (sender, peer) = self.half.split(dir);
        let first_data = sender.isn.wrapping_add(1);
        let seq_ok = seq_le(first_data, tcp.seq) && seq_le(tcp.seq, sender.right_edge);
        let ack_ok = ack_possible(peer, tcp.ack) && tcp.ack != peer.isn;
        if seq_ok && !ack_ok {
            let evasion = StreamEvent::Handshake3RightSeqWrongAckEvasion;
            return out.invalid(if self.simultaneous { StreamEvent::Handshake4InvalidAck } else { evasion });
        }
        if !seq_ok {
            let wrong = StreamEvent::Handshake3WrongSeqWrongAck;
            return out.invalid(if self.simultaneous { StreamEvent::Handshake4WrongSeq } else { wrong });
        }
        self.confirmed = true;
        self.phase = Phase::Open;
        self.take_data(cx, tcp, payload, dir, out);
        if !out.valid {
            self.phase = Phase::SynRecv;
        }
    }

    /// The server goes on before the client's ACK was seen: that ACK was missed, the client used Fast Open, or someone
    /// injects data.
    fn server_speaks_first(
        &mut self,
        cx: &mut SegmentCx<'_>,
        tcp: &TcpHeader,
        payload: &[u8],
        out: &mut SegmentOutcome,
    ) {
        let dir = Direction::ToClient;
        let (server, client) = self.half.split(dir);
        if tcp.seq != server.next_seq || !ack_possible(client, tcp.ack) {
            return out.invalid(StreamEvent::Handshake3WrongSeqWrongAck);
        }
        if self.inline && !payload.is_empty() && !self.fast_open && !self.midstream {
            return out.invalid(StreamEvent::Handshake3AckDataInject);
        }
        if !self.fast_open && !self.midstream && payload.is_empty() && tcp.ack == client.last_ack {
            return out.invalid(StreamEvent::Handshake3AckInWrongDir);
        }
        if cx.settings.async_oneside && self.midstream {
            self.one_sided = Some(dir);
        }
        self.phase = Phase::Open;
        self.take_data(cx, tcp, payload, dir, out);
        if !out.valid {
            self.phase = Phase::SynRecv;
            self.one_sided = None;
        }
    }

    /// A RST while only the SYN is known: from the server it must acknowledge it (RFC 9293, 3.10.7.3); from the client it
    /// can have nothing to acknowledge and follows the SYN.
    fn reset_handshake(&mut self, tcp: &TcpHeader, dir: Direction, out: &mut SegmentOutcome) {
        let acks = tcp.flags.has(TcpFlags::ACK);
        let (sender, peer) = self.half.split(dir);
        match dir {
            Direction::ToServer if acks && tcp.ack != 0 && !peer.begun => out.invalid(StreamEvent::RstInvalidAck),
            // Whether the server, which may have answered already, believes it is not known: nothing ends.
            Direction::ToServer => out.valid = tcp.seq == sender.next_seq,
            // One that answers a segment which the client refused carries that segment's numbers, not the SYN's.
            Direction::ToClient
                if acks && seq_le(peer.isn.wrapping_add(1), tcp.ack) && seq_le(tcp.ack, peer.next_seq) =>
            {
                self.enter_reset(dir);
            }
            Direction::ToClient => out.invalid(StreamEvent::RstInvalidAck),
        }
    }

    /// A SYN or SYN/ACK in an open session changes nothing, but it is odd.
    pub(super) fn late_syn(&mut self, tcp: &TcpHeader, dir: Direction, out: &mut SegmentOutcome) {
        let (sender, peer) = self.half.split(dir);
        let (same_seq, same_ack) = (tcp.seq == sender.isn, tcp.ack == peer.isn.wrapping_add(1));
        let (ack, to_client) = (tcp.flags.has(TcpFlags::ACK), dir == Direction::ToClient);
        if self.state() != TcpState::Established {
            return out.invalid(StreamEvent::ShutdownSynResend);
        }
        match (ack, to_client) {
            (true, false) => out.invalid(StreamEvent::EstSynackToserver),
            (true, true) if !same_ack => out.invalid(StreamEvent::EstSynackResendWithDiffAck),
            (true, true) if !same_seq => out.invalid(StreamEvent::EstSynackResendWithDiffSeq),
            // The client's ACK was lost behind us: the server has every right to ask again.
            (true, true) if self.half.of(dir).next_seq == tcp.seq.wrapping_add(1) => out.retransmission = true,
            (true, true) => out.invalid(StreamEvent::EstSynackResend),
            (false, true) => out.invalid(StreamEvent::EstSynToclient),
            (false, false) if !same_seq => out.invalid(StreamEvent::EstSynResendDiffSeq),
            (false, false) => out.invalid(StreamEvent::EstSynResend),
        }
    }
}

/// What a SYN or SYN/ACK offers.
fn offer(half: &mut Half, tcp: &TcpHeader, now: crate::types::Timestamp) {
    half.scale = tcp.window_scale.unwrap_or(0).min(WINDOW_SCALE_UNKNOWN);
    half.scale_offered = tcp.window_scale.is_some();
    half.sack = tcp.sack_permitted;
    half.window = u32::from(tcp.window);
    half.timestamps = tcp.timestamps.is_some();
    if let Some((value, _)) = tcp.timestamps {
        if half.ts_first == 0 {
            half.ts_first = value;
        }
        half.ts_recent = value;
        half.ts_recent_at = now;
    }
}

/// An option holds only if both ends offered it (RFC 7323, 1.3).
fn settle_options(a: &mut Half, b: &mut Half) {
    if !(a.scale_offered && b.scale_offered) {
        a.scale = 0;
        b.scale = 0;
    }
    let timestamps = a.timestamps && b.timestamps;
    a.timestamps = timestamps;
    b.timestamps = timestamps;
}
