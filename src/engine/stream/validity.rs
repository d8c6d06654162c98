//! Would the receiver take this segment? Pure questions about one segment and two halves.
//!
//! Windows and acknowledgements by RFC 9293 (3.4, 3.10.7.4), timestamps by RFC 7323 (5), resets by RFC 5961 and what
//! receivers do instead. A capture may miss packets, so where the receiver would know exactly, the widest state it can be
//! in decides. Also the names an oddity has in each state.

use super::events::StreamEvent;
use super::half::{Half, seq_le, seq_lt};
use super::segment::SegmentOutcome;
use super::session::TcpState;
use super::{OsPolicy, Settings, UrgentPolicy};
use crate::decode::{TcpFlags, TcpHeader};
use crate::types::{Cause, Timestamp};
use smallvec::SmallVec;
use std::time::Duration;

/// A timestamp may seem to go back after this long without one (RFC 7323, 5.5).
const PAWS_IDLE: Duration = Duration::from_secs(24 * 24 * 3600);

/// Whether the peer can have sent what is acknowledged: all it sent that was seen, or that its window allowed.
pub(super) fn ack_possible(peer: &Half, ack: u32) -> bool {
    let sent = seq_le(ack, peer.next_seq) || seq_le(ack, peer.right_edge);
    sent && seq_lt(peer.isn.wrapping_sub(1), ack)
}

/// Whether any of the segment lies where its receiver looks: not past what it allowed. A probe into a zero window is let
/// through, since the receiver answers it.
pub(super) fn in_window(sender: &Half, peer: &Half, tcp: &TcpHeader, len: usize) -> bool {
    let end = tcp.seq.wrapping_add(len as u32);
    let edge = if seq_lt(sender.right_edge, sender.next_seq) { sender.next_seq } else { sender.right_edge };
    let probe = peer.window == 0 && len <= 1 && tcp.seq == sender.next_seq;
    // Further back than any window reaches is as far off as past the edge.
    let recent = seq_lt(sender.last_ack.wrapping_sub(1 << 30), end);
    (seq_le(end, edge) || probe) && recent
}

/// PAWS: a segment older than one its receiver has seen (RFC 7323, 5.3).
pub(super) fn timestamp_ok(sender: &Half, peer: &Half, tcp: &TcpHeader, now: Timestamp, liberal: bool) -> bool {
    if !(sender.timestamps && peer.timestamps) {
        return true;
    }
    let slack = u32::from(liberal || sender.policy == OsPolicy::Linux);
    match tcp.timestamps {
        Some((value, _)) if sender.ts_recent != 0 && seq_lt(value.wrapping_add(slack), sender.ts_recent) => {
            now.since(sender.ts_recent_at) > PAWS_IDLE
        }
        _ => true,
    }
}

/// Records a timestamp that a receiver would (RFC 7323, 4.3: of a segment at or before what was acknowledged).
pub(super) fn remember_timestamp(sender: &mut Half, peer: &Half, tcp: &TcpHeader, now: Timestamp) {
    if let Some((value, _)) = tcp.timestamps
        && sender.timestamps
        && peer.timestamps
        && (sender.ts_recent == 0 || !seq_lt(value, sender.ts_recent))
        && seq_le(tcp.seq, sender.next_seq)
    {
        sender.ts_recent = value;
        sender.ts_recent_at = now;
    }
}

/// A bare ACK that lies ahead of both ends and shrinks the window by more than it carries: it fits no history.
pub(super) fn bad_window_update(sender: &Half, peer: &Half, tcp: &TcpHeader, payload: &[u8]) -> bool {
    let bare = tcp.flags.has(TcpFlags::ACK) && !tcp.flags.any(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST);
    let window = u32::from(tcp.window) << sender.scale;
    let shrinks = window < sender.window && (sender.window - window) as usize > payload.len();
    bare && shrinks && seq_lt(peer.next_seq, tcp.ack) && seq_lt(sender.next_seq, tcp.seq)
}

/// Whether the receiver believes a reset in an open session.
pub(super) fn reset_believed(sender: &Half, tcp: &TcpHeader, len: usize) -> bool {
    let end = tcp.seq.wrapping_add(len as u32);
    match sender.policy {
        OsPolicy::Hpux11 => seq_le(sender.next_seq, tcp.seq),
        OsPolicy::Linux | OsPolicy::OldLinux | OsPolicy::Solaris => {
            let edge = if seq_lt(sender.right_edge, sender.next_seq) { sender.next_seq } else { sender.right_edge };
            seq_le(sender.last_ack, end) && seq_le(tcp.seq, edge)
        }
        // One that crossed the sender's FIN carries the FIN's own number.
        _ => tcp.seq == sender.next_seq || sender.fin == Some(tcp.seq),
    }
}

/// Indices of payload bytes that take no place in the stream, by the urgent policy; sets `drop` where it says so.
pub(super) fn urgent_bytes(
    settings: &Settings,
    sender: &mut Half,
    tcp: &TcpHeader,
    len: usize,
    out: &mut SegmentOutcome,
) -> SmallVec<[usize; 2]> {
    let mut skip = sender.out_of_band_in(tcp.seq, len);
    if !tcp.flags.has(TcpFlags::URG) || tcp.urgent == 0 {
        return skip;
    }
    out.exception(Cause::StreamUrgent);
    // The pointer counts from the sequence number to the byte after the last urgent one (RFC 6093, 3.1).
    let at = usize::from(tcp.urgent) - 1;
    let mut policy = settings.urgent;
    if at < len && policy == UrgentPolicy::OutOfBand && !sender.out_of_band(tcp.seq.wrapping_add(at as u32)) {
        out.event(StreamEvent::ReassemblyUrgentOobLimitReached);
        policy = settings.urgent_limit;
    }
    match policy {
        UrgentPolicy::Drop => out.drop = true,
        UrgentPolicy::OutOfBand => skip = sender.out_of_band_in(tcp.seq, len),
        UrgentPolicy::Gap if at < len && !skip.contains(&at) => {
            skip.push(at);
            skip.sort_unstable();
        }
        UrgentPolicy::Gap | UrgentPolicy::Inline => {}
    }
    skip
}

/// The event of an impossible acknowledgement.
pub(super) fn invalid_ack_event(state: TcpState, tcp: &TcpHeader) -> StreamEvent {
    if tcp.flags.has(TcpFlags::FIN) && state == TcpState::Established {
        return StreamEvent::FinInvalidAck;
    }
    match state {
        TcpState::CloseWait => StreamEvent::ClosewaitInvalidAck,
        TcpState::Closing => StreamEvent::ClosingInvalidAck,
        TcpState::FinWait1 => StreamEvent::Fin1InvalidAck,
        TcpState::FinWait2 => StreamEvent::Fin2InvalidAck,
        TcpState::LastAck => StreamEvent::LastackInvalidAck,
        TcpState::TimeWait => StreamEvent::TimewaitInvalidAck,
        _ => StreamEvent::EstInvalidAck,
    }
}

/// The event of a segment outside the window.
pub(super) fn out_of_window_event(state: TcpState, tcp: &TcpHeader) -> StreamEvent {
    let fin = tcp.flags.has(TcpFlags::FIN);
    match state {
        TcpState::CloseWait if fin => StreamEvent::ClosewaitFinOutOfWindow,
        TcpState::CloseWait => StreamEvent::ClosewaitAckOutOfWindow,
        TcpState::Closing => StreamEvent::ClosingAckWrongSeq,
        TcpState::FinWait1 if fin => StreamEvent::Fin1FinWrongSeq,
        TcpState::FinWait1 => StreamEvent::Fin1AckWrongSeq,
        TcpState::FinWait2 if fin => StreamEvent::Fin2FinWrongSeq,
        TcpState::FinWait2 => StreamEvent::Fin2AckWrongSeq,
        TcpState::LastAck => StreamEvent::LastackAckWrongSeq,
        TcpState::TimeWait => StreamEvent::TimewaitAckWrongSeq,
        _ if fin => StreamEvent::FinOutOfWindow,
        _ => StreamEvent::EstPacketOutOfWindow,
    }
}

/// The event of a segment that lies wholly before what its receiver acknowledged.
pub(super) fn before_last_ack_event(state: TcpState) -> StreamEvent {
    match state {
        TcpState::CloseWait => StreamEvent::ClosewaitPktBeforeLastAck,
        TcpState::FinWait1 => StreamEvent::Fin1AckWrongSeq,
        TcpState::FinWait2 => StreamEvent::Fin2AckWrongSeq,
        TcpState::Closing => StreamEvent::ClosingAckWrongSeq,
        TcpState::LastAck => StreamEvent::LastackAckWrongSeq,
        TcpState::TimeWait => StreamEvent::TimewaitAckWrongSeq,
        _ => StreamEvent::EstPktBeforeLastAck,
    }
}

/// The events of a segment all of which was sent before. While a session is open and nothing was acknowledged it is
/// commonplace and has none.
pub(super) fn retransmission_events(state: TcpState, sender: &Half, end: u32, out: &mut SegmentOutcome) {
    if seq_le(end, sender.last_ack) {
        out.event(StreamEvent::PktSpuriousRetransmission);
        let held = u64::try_from(sender.offset(end)).is_ok_and(|o| o > sender.data.start());
        if held && seq_lt(end, sender.last_ack) {
            out.event(before_last_ack_event(state));
        }
    }
    if state > TcpState::Established {
        out.event(StreamEvent::PktRetransmission);
    }
}

/// Whether a segment from the server echoes a timestamp the client sent (RFC 7323, 3.2); zero is no echo.
pub(super) fn echo_ok(client: &Half, tcp: &TcpHeader) -> bool {
    match tcp.timestamps {
        Some((_, echo)) if client.timestamps && echo != 0 => {
            seq_le(client.ts_first, echo) && seq_le(echo, client.ts_recent)
        }
        _ => true,
    }
}
