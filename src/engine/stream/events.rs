//! What can be odd about TCP: one row each, by the names the `stream-event` keyword uses.

/// A row of the table: its name without `stream.`, and the sentence that documents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEventRow {
    pub name: &'static str,
    pub doc: &'static str,
}

macro_rules! events {
    ($($id:ident $name:literal $doc:literal;)*) => {
        /// An oddity of one segment; its number is its row in [`EVENTS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum StreamEvent { $(#[doc = $doc] $id,)* }

        /// Every event, in numeric order. Append only.
        pub const EVENTS: &[StreamEventRow] = &[$(StreamEventRow { name: $name, doc: $doc },)*];
    };
}

events! {
    Handshake3AckInWrongDir "3whs_ack_in_wrong_dir" "an ACK of the handshake came from the server";
    Handshake3AsyncWrongSeq "3whs_async_wrong_seq" "a one-sided session goes on with another sequence number";
    Handshake3RightSeqWrongAckEvasion "3whs_right_seq_wrong_ack_evasion" "the handshake's ACK has the right sequence number and a wrong acknowledgement";
    Handshake3SynackInWrongDirection "3whs_synack_in_wrong_direction" "a SYN/ACK from the client that sent the SYN";
    Handshake3SynackResendWithDiffAck "3whs_synack_resend_with_diff_ack" "a repeated SYN/ACK acknowledges something else";
    Handshake3SynackResendWithDiffSeq "3whs_synack_resend_with_diff_seq" "a repeated SYN/ACK has another sequence number";
    Handshake3SynackToserverOnSynRecv "3whs_synack_toserver_on_syn_recv" "a SYN/ACK from the client after the server's";
    Handshake3SynackWithWrongAck "3whs_synack_with_wrong_ack" "a SYN/ACK acknowledges no SYN that was sent";
    Handshake3SynackFlood "3whs_synack_flood" "more different SYN/ACKs than a session may have";
    Handshake3SynackTfoDataIgnored "3whs_synack_tfo_data_ignored" "a SYN/ACK acknowledges the SYN but not its Fast Open data";
    Handshake3SynResendDiffSeqOnSynRecv "3whs_syn_resend_diff_seq_on_syn_recv" "a SYN with another sequence number after the SYN/ACK";
    Handshake3SynToclientOnSynRecv "3whs_syn_toclient_on_syn_recv" "a SYN from the server after its SYN/ACK";
    Handshake3SynFlood "3whs_syn_flood" "more different SYNs than a session may have";
    Handshake3WrongSeqWrongAck "3whs_wrong_seq_wrong_ack" "the handshake's ACK has wrong numbers";
    Handshake3AckDataInject "3whs_ack_data_inject" "server data before the handshake is complete, as an injector would send it";
    Handshake4SynackWithWrongAck "4whs_synack_with_wrong_ack" "in a simultaneous open, a SYN/ACK acknowledges something else";
    Handshake4SynackWithWrongSyn "4whs_synack_with_wrong_syn" "in a simultaneous open, a SYN/ACK repeats another SYN";
    Handshake4WrongSeq "4whs_wrong_seq" "in a simultaneous open, an ACK has a wrong sequence number";
    Handshake4InvalidAck "4whs_invalid_ack" "in a simultaneous open, an ACK acknowledges something else";
    ClosewaitAckOutOfWindow "closewait_ack_out_of_window" "CLOSE_WAIT: a segment lies outside the window";
    ClosewaitFinOutOfWindow "closewait_fin_out_of_window" "CLOSE_WAIT: a FIN lies outside the window";
    ClosewaitPktBeforeLastAck "closewait_pkt_before_last_ack" "CLOSE_WAIT: a segment lies before what was acknowledged";
    ClosewaitInvalidAck "closewait_invalid_ack" "CLOSE_WAIT: an ACK acknowledges what was never sent";
    ClosingAckWrongSeq "closing_ack_wrong_seq" "CLOSING: a segment has a wrong sequence number";
    ClosingInvalidAck "closing_invalid_ack" "CLOSING: an ACK acknowledges what was never sent";
    EstPacketOutOfWindow "est_packet_out_of_window" "ESTABLISHED: a segment lies outside the window";
    EstPktBeforeLastAck "est_pkt_before_last_ack" "ESTABLISHED: a segment lies before what was acknowledged";
    EstSynackResend "est_synack_resend" "ESTABLISHED: the SYN/ACK again";
    EstSynackResendWithDiffAck "est_synack_resend_with_diff_ack" "ESTABLISHED: a SYN/ACK that acknowledges something else";
    EstSynackResendWithDiffSeq "est_synack_resend_with_diff_seq" "ESTABLISHED: a SYN/ACK with another sequence number";
    EstSynackToserver "est_synack_toserver" "ESTABLISHED: a SYN/ACK from the client";
    EstSynResend "est_syn_resend" "ESTABLISHED: the SYN again";
    EstSynResendDiffSeq "est_syn_resend_diff_seq" "ESTABLISHED: a SYN with another sequence number";
    EstSynToclient "est_syn_toclient" "ESTABLISHED: a SYN from the server";
    EstInvalidAck "est_invalid_ack" "ESTABLISHED: an ACK acknowledges what was never sent";
    EstAckZwpData "est_ack_zwp_data" "an ACK of a zero-window probe's byte";
    FinInvalidAck "fin_invalid_ack" "a FIN acknowledges what was never sent";
    Fin1AckWrongSeq "fin1_ack_wrong_seq" "FIN_WAIT1: a segment has a wrong sequence number";
    Fin1FinWrongSeq "fin1_fin_wrong_seq" "FIN_WAIT1: a FIN has a wrong sequence number";
    Fin1InvalidAck "fin1_invalid_ack" "FIN_WAIT1: an ACK acknowledges what was never sent";
    Fin2AckWrongSeq "fin2_ack_wrong_seq" "FIN_WAIT2: a segment has a wrong sequence number";
    Fin2FinWrongSeq "fin2_fin_wrong_seq" "FIN_WAIT2: a FIN has a wrong sequence number";
    Fin2InvalidAck "fin2_invalid_ack" "FIN_WAIT2: an ACK acknowledges what was never sent";
    FinButNoSession "fin_but_no_session" "a FIN outside any session";
    FinOutOfWindow "fin_out_of_window" "a FIN lies outside the window";
    FinSyn "fin_syn" "SYN and FIN in one segment";
    LastackAckWrongSeq "lastack_ack_wrong_seq" "LAST_ACK: a segment has a wrong sequence number";
    LastackInvalidAck "lastack_invalid_ack" "LAST_ACK: an ACK acknowledges what was never sent";
    RstButNoSession "rst_but_no_session" "a RST outside any session";
    TimewaitAckWrongSeq "timewait_ack_wrong_seq" "TIME_WAIT: a segment has a wrong sequence number";
    TimewaitInvalidAck "timewait_invalid_ack" "TIME_WAIT: an ACK acknowledges what was never sent";
    ShutdownSynResend "shutdown_syn_resend" "a SYN while the session closes";
    PktInvalidTimestamp "pkt_invalid_timestamp" "a timestamp older than one already seen (RFC 7323, PAWS)";
    PktInvalidAck "pkt_invalid_ack" "an acknowledgement of what was never sent";
    PktBrokenAck "pkt_broken_ack" "an acknowledgement number without the ACK flag";
    RstInvalidAck "rst_invalid_ack" "a RST acknowledges what was never sent";
    RstWithData "rst_with_data" "a RST carries data";
    PktRetransmission "pkt_retransmission" "a segment was sent before";
    PktSpuriousRetransmission "pkt_spurious_retransmission" "a segment was sent before and had been acknowledged";
    PktBadWindowUpdate "pkt_bad_window_update" "a window shrinks in a segment that fits nowhere";
    SuspectedRstInject "suspected_rst_inject" "its target ignored a RST";
    WrongThread "wrong_thread" "packets of one flow reached two workers";
    ReassemblySegmentBeforeBaseSeq "reassembly_segment_before_base_seq" "a segment lies before all that is held";
    ReassemblyNoSegment "reassembly_no_segment" "a segment found no room to be described";
    ReassemblySeqGap "reassembly_seq_gap" "bytes of the stream were never seen";
    ReassemblyOverlapDifferentData "reassembly_overlap_different_data" "two copies of the same bytes differ";
    ReassemblyDepthReached "reassembly_depth_reached" "the stream is longer than is reassembled";
    ReassemblyInsertMemcap "reassembly_insert_memcap" "a segment's bytes found no room";
    ReassemblyInsertLimit "reassembly_insert_limit" "more out-of-order segments than a direction may hold";
    ReassemblyInsertInvalid "reassembly_insert_invalid" "a segment that cannot be placed";
    ReassemblyUrgentOobLimitReached "reassembly_urgent_oob_limit_reached" "more urgent bytes than a direction may have";
    MultipathJoin "multipath_join" "a SYN joins a connection over another path (MPTCP, RFC 8684)";
}

/// How often each was raised, of those that were, under the names that statistics have for them.
pub fn event_rows(counts: &[u64]) -> Vec<(String, u64)> {
    let raised = EVENTS.iter().zip(counts).filter(|(_, n)| **n > 0);
    raised.map(|(e, n)| (format!("stream.{}", e.name), *n)).collect()
}

/// Other spellings that rules use.
const ALIASES: &[(&str, StreamEvent)] = &[
    ("3whs_synack_resend_with_different_ack", StreamEvent::Handshake3SynackResendWithDiffAck),
    ("est_synack_resend_with_different_ack", StreamEvent::EstSynackResendWithDiffAck),
];

/// The number of an event by its name, with or without `stream.` in front.
pub fn event_by_name(name: &str) -> Option<u16> {
    let name = name.strip_prefix("stream.").unwrap_or(name);
    if let Some((_, e)) = ALIASES.iter().find(|(n, _)| *n == name) {
        return Some(*e as u16);
    }
    (0u16..).zip(EVENTS).find(|(_, r)| r.name == name).map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (i, r) in EVENTS.iter().enumerate() {
            assert_eq!(event_by_name(r.name), Some(i as u16));
            assert!(!r.doc.is_empty());
        }
        assert_eq!(event_by_name("stream.est_syn_resend"), Some(StreamEvent::EstSynResend as u16));
        assert_eq!(event_by_name("no_such_event"), None);
    }
}
