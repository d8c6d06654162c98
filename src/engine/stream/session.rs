//! A TCP session as an onlooker follows it, and what the layers above ask of it.
//!
//! Invariants: offsets a reader has been shown never change; `End` is given a parser once per direction; bytes held are
//! billed to the account until `release`. The session must not know protocols, rules or verdicts.
//!
//! The shared state names follow RFC 9293 from the server's chair once data flows, the way EVE's `tcp.state` reads: a FIN
//! by the client makes CLOSE_WAIT, one by the server FIN_WAIT1. Past the handshake the state is derived from which FINs
//! were sent and acknowledged, so it cannot contradict them.

use super::half::{Half, seq_le};
use super::{Account, Chunk, RawView, Settings};
use crate::flow::{FlowState, TcpSummary};
use crate::types::{Direction, PerDirection};
use std::net::IpAddr;
use std::ops::Range;

/// Where a session is (RFC 9293, 3.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcpState {
    /// Nothing that begins a session was seen.
    #[default]
    None,
    SynSent,
    SynRecv,
    Established,
    FinWait1,
    FinWait2,
    TimeWait,
    LastAck,
    CloseWait,
    Closing,
    Closed,
}

impl TcpState {
    /// As EVE's `tcp.state` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            TcpState::None => "none",
            TcpState::SynSent => "syn_sent",
            TcpState::SynRecv => "syn_recv",
            TcpState::Established => "established",
            TcpState::FinWait1 => "fin_wait1",
            TcpState::FinWait2 => "fin_wait2",
            TcpState::TimeWait => "time_wait",
            TcpState::LastAck => "last_ack",
            TcpState::CloseWait => "close_wait",
            TcpState::Closing => "closing",
            TcpState::Closed => "closed",
        }
    }

    /// The flow's state while its session is in this one.
    pub const fn flow_state(self) -> FlowState {
        match self {
            TcpState::None | TcpState::SynSent | TcpState::SynRecv => FlowState::New,
            TcpState::LastAck | TcpState::TimeWait | TcpState::Closed => FlowState::Closed,
            _ => FlowState::Established,
        }
    }
}

/// The life of a session up to its FINs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    None,
    SynSent,
    SynRecv,
    Open,
    /// Ended by a reset from this side.
    Reset(Direction),
}

#[derive(Clone, Debug)]
pub struct TcpSession {
    /// Indexed by the direction the data travels: `to_server` is what the client sends.
    pub(super) half: Pair,
    pub(super) phase: Phase,
    /// Phase before a reset, should its target ignore it.
    pub(super) before_reset: Phase,
    /// Who sent the first FIN.
    pub(super) first_fin: Option<Direction>,
    pub(super) inline: bool,
    pub(super) midstream: bool,
    /// Only this direction is seen.
    pub(super) one_sided: Option<Direction>,
    /// Both ends sent a SYN before either answered.
    pub(super) simultaneous: bool,
    /// The client's ACK of the SYN/ACK was seen.
    pub(super) confirmed: bool,
    pub(super) fast_open: bool,
    pub(super) syns: u8,
    pub(super) synacks: u8,
    pub(super) finished: bool,
    raw_overlap: usize,
    /// Only the invariants ask for it.
    #[cfg(any(test, debug_assertions))]
    segments_max: usize,
}

/// Two halves, by direction.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    to_server: Half,
    to_client: Half,
}

impl Pair {
    pub const fn of(&self, dir: Direction) -> &Half {
        match dir {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    pub const fn of_mut(&mut self, dir: Direction) -> &mut Half {
        match dir {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// The sender of a segment in `dir`, and its peer.
    pub const fn split(&mut self, dir: Direction) -> (&mut Half, &mut Half) {
        match dir {
            Direction::ToServer => (&mut self.to_server, &mut self.to_client),
            Direction::ToClient => (&mut self.to_client, &mut self.to_server),
        }
    }
}

impl TcpSession {
    /// A session that has seen nothing yet. The ends' addresses decide their overlap policies.
    pub fn new(settings: &Settings, client: IpAddr, server: IpAddr) -> Self {
        let half = |receiver| Half::new(settings.policy_of(receiver), settings.depth, settings.raw);
        TcpSession {
            half: Pair { to_server: half(server), to_client: half(client) },
            phase: Phase::None,
            before_reset: Phase::None,
            first_fin: None,
            inline: false,
            midstream: false,
            one_sided: None,
            simultaneous: false,
            confirmed: false,
            fast_open: false,
            syns: 0,
            synacks: 0,
            finished: false,
            raw_overlap: settings.raw_overlap,
            #[cfg(any(test, debug_assertions))]
            segments_max: settings.segments_max,
        }
    }

    pub fn state(&self) -> TcpState {
        match self.phase {
            Phase::None => TcpState::None,
            Phase::SynSent => TcpState::SynSent,
            Phase::SynRecv => TcpState::SynRecv,
            Phase::Reset(_) => TcpState::Closed,
            Phase::Open => self.open_state(),
        }
    }

    fn open_state(&self) -> TcpState {
        let (client, server) = (self.half.of(Direction::ToServer), self.half.of(Direction::ToClient));
        let (c_fin, s_fin) = (client.fin.is_some(), server.fin.is_some());
        match self.first_fin {
            None => TcpState::Established,
            Some(Direction::ToServer) if !s_fin => TcpState::CloseWait,
            Some(Direction::ToServer) if server.fin_acked => TcpState::Closed,
            Some(Direction::ToServer) => TcpState::LastAck,
            Some(Direction::ToClient) if !c_fin && server.fin_acked => TcpState::FinWait2,
            Some(Direction::ToClient) if !c_fin => TcpState::FinWait1,
            Some(Direction::ToClient) if !server.fin_acked => TcpState::Closing,
            Some(Direction::ToClient) if client.fin_acked => TcpState::Closed,
            Some(Direction::ToClient) => TcpState::TimeWait,
        }
    }

    /// The handshake is complete (or was assumed), whatever has closed since: what `flow:established` asks.
    pub const fn established(&self) -> bool {
        match self.phase {
            Phase::Open => true,
            Phase::Reset(_) => matches!(self.before_reset, Phase::Open),
            _ => false,
        }
    }

    /// What is held is what the receiver reads: not so for data of a plain SYN, whose fate its answer decides. Such data
    /// is the packet's alone until the session opens.
    pub const fn is_followed(&self) -> bool {
        self.established() || self.fast_open
    }

    /// A session is followed at all: not so for one whose beginning was not seen, unless midstream is on.
    pub const fn tracked(&self) -> bool {
        !matches!(self.phase, Phase::None)
    }

    /// The beginning was not seen.
    pub const fn is_midstream(&self) -> bool {
        self.midstream
    }

    /// The direction of which nothing passes here, where only the other is seen.
    pub fn unseen(&self) -> Option<Direction> {
        self.one_sided.map(Direction::flip)
    }

    /// The client's SYN was seen.
    pub const fn client_syn_seen(&self) -> bool {
        self.half.of(Direction::ToServer).syn
    }

    /// What the flow layer needs to know after each segment.
    pub fn summary(&self) -> TcpSummary {
        use TcpState::{CloseWait, Closed, Closing, LastAck, None, TimeWait};
        let state = self.state();
        // The client alone decides that these begin, by a FIN its server may never have taken; enforcing, the server's
        // side must have closed too before a SYN may end what is known of the session.
        let half_closed = matches!(state, CloseWait | Closing) && !self.inline;
        // After a reset the same number may begin another session, which must not pass as the rest of this one.
        let reset = self.inline && matches!(self.phase, Phase::Reset(_));
        TcpSummary {
            reusable: half_closed || matches!(state, None | TimeWait | LastAck | Closed),
            client_isn: (self.client_syn_seen() && !reset).then_some(self.half.of(Direction::ToServer).isn),
        }
    }

    /// What the application layer gets next. Data comes again, longer, once more has become deliverable; bytes shown and
    /// not consumed do not keep a gap or the end away.
    pub fn pending(&self, dir: Direction) -> Option<Chunk<'_>> {
        self.half.of(dir).data.pending(self.inline)
    }

    /// Answers `pending`: so many bytes of data were taken, or (whatever `n` is) the gap or the end was.
    pub fn consume(&mut self, dir: Direction, n: u64) {
        let inline = self.inline;
        self.half.of_mut(dir).data.consume(inline, n);
        self.check();
    }

    /// What was shown and not consumed is pending again (what the parser waited for has come).
    pub fn present_again(&mut self, dir: Direction) {
        self.half.of_mut(dir).data.present_again();
    }

    /// The same, and the end after it: another parser takes over.
    pub fn present_anew(&mut self, dir: Direction) {
        self.half.of_mut(dir).data.present_anew();
    }

    /// The stream for raw inspection: fresh bytes with some already inspected before them. After a gap the view begins
    /// behind it.
    pub fn raw(&self, dir: Direction) -> RawView<'_> {
        self.half.of(dir).data.raw(self.inline, self.raw_overlap)
    }

    /// The stream around a segment's bytes ([`super::SegmentOutcome::at`]), wherever they lie, all of them fresh. `None`
    /// where they lie in pieces that do not adjoin.
    pub fn around(&self, dir: Direction, at: &Range<u64>) -> Option<RawView<'_>> {
        self.half.of(dir).data.around(at, self.raw_overlap)
    }

    /// All that `raw` shows has been inspected.
    pub fn raw_inspected(&mut self, dir: Direction) {
        let inline = self.inline;
        self.half.of_mut(dir).data.raw_inspected(inline);
        self.check();
    }

    /// `pending` or `raw` has something new. A gap is stepped over only when both readers have had all before it, so
    /// callers serve both until this is false.
    pub fn has_work(&self, dir: Direction) -> bool {
        self.half.of(dir).data.has_work(self.inline)
    }

    /// The application layer wants no more of this direction.
    pub fn stop_app(&mut self, dir: Direction) {
        self.half.of_mut(dir).data.stop_app();
    }

    /// Raw inspection wants no more of this direction.
    pub fn stop_raw(&mut self, dir: Direction) {
        self.half.of_mut(dir).data.stop_raw();
    }

    /// The application layer of either direction goes on past the depth, because it tells one transaction from the next
    /// however long they are; raw inspection ends there all the same.
    pub const fn set_deep(&mut self, deep: bool) {
        self.half.of_mut(Direction::ToServer).data.set_deep(deep);
        self.half.of_mut(Direction::ToClient).data.set_deep(deep);
    }

    /// Changes how many bytes of a direction are reassembled; 0 is no bound.
    pub fn set_depth(&mut self, dir: Direction, depth: u64) {
        self.half.of_mut(dir).data.set_depth(depth);
    }

    /// A reader has not had all of the direction, or not its end.
    pub fn unread(&self, dir: Direction) -> bool {
        self.half.of(dir).data.unread()
    }

    /// Later bytes are here that wait behind a hole.
    pub fn holds_behind_gap(&self, dir: Direction) -> bool {
        let data = &self.half.of(dir).data;
        data.wanted() && !data.held.is_empty()
    }

    /// The direction's bytes before `seq` went by unseen, as was agreed: they are no loss. What its receiver allows by now
    /// is not known.
    pub fn pass_unseen(&mut self, dir: Direction, seq: u32) {
        let (sender, peer) = self.half.split(dir);
        if seq_le(seq, sender.next_seq) {
            return;
        }
        sender.advance(seq);
        sender.allow(seq, u32::from(u16::MAX) << peer.scale);
        let offset = u64::try_from(sender.offset(seq)).unwrap_or(0);
        sender.data.pass_unseen(offset);
    }

    /// Every byte of the direction that was seen has been consumed; so many have not been acknowledged.
    pub fn taken_but(&self, dir: Direction) -> Option<u32> {
        let half = self.half.of(dir);
        let unheld = half.data.held.is_empty() && half.data.gap().is_none() && half.fin.is_none();
        let taken = !half.data.app.wanted || half.data.app.at == half.data.end();
        (unheld && taken).then(|| half.next_seq.wrapping_sub(half.last_ack))
    }

    /// Raw inspection has had all of the direction that it may see.
    pub const fn raw_done(&self, dir: Direction) -> bool {
        let data = &self.half.of(dir).data;
        !data.raw.wanted || data.raw.at >= data.depth
    }

    /// Offset before which all that was lost of the direction has been noted.
    pub const fn lost_before(&self, dir: Direction) -> u64 {
        self.half.of(dir).data.gap_noted
    }

    /// Every byte that `other` has of a direction has passed here.
    pub fn has_all_of(&self, other: &TcpSession, dir: Direction) -> bool {
        seq_le(other.half.of(dir).next_seq, self.half.of(dir).next_seq)
    }

    /// Bytes of the direction were lost for good.
    pub const fn gapped(&self, dir: Direction) -> bool {
        self.half.of(dir).data.gap_noted > 0
    }

    /// The direction is longer than is reassembled: its end is the depth, not the sender's.
    pub const fn depth_reached(&self, dir: Direction) -> bool {
        self.half.of(dir).data.depth_reached()
    }

    /// Lets go of what is acknowledged and has been had by both readers. Call after each packet.
    pub fn trim(&mut self, account: &mut Account) {
        let overlap = self.raw_overlap;
        for dir in Direction::BOTH {
            self.half.of_mut(dir).data.trim(account, overlap);
        }
        self.check();
    }

    /// The flow is ending: everything held of a direction becomes deliverable, then its end.
    pub fn finish(&mut self, dir: Direction) {
        self.finished = true;
        self.half.of_mut(dir).data.flush();
    }

    /// Returns every byte to the account. The session must not be fed afterwards.
    pub fn release(&mut self, account: &mut Account) {
        for dir in Direction::BOTH {
            let data = &mut self.half.of_mut(dir).data;
            data.stop_app();
            data.stop_raw();
            data.release(account);
        }
    }

    /// Bytes of a direction by sequence numbers since its SYN, SYN and FIN counted: what `stream_size` compares.
    pub fn stream_bytes(&self, dir: Direction) -> u64 {
        match self.phase {
            Phase::None => 0,
            _ => self.half.of(dir).sequence_bytes(),
        }
    }

    /// Offset past the last contiguous byte of a direction.
    pub fn contiguous(&self, dir: Direction) -> u64 {
        self.half.of(dir).data.end()
    }

    /// Sequence numbers and window for a reset on behalf of the sender in `dir`: its next sequence number and the
    /// highest of its peer.
    pub const fn sequence(&self, dir: Direction) -> (u32, u32) {
        (self.half.of(dir).next_seq, self.half.of(dir.flip()).next_seq)
    }

    /// Bytes held, as billed to the account.
    pub fn memory(&self) -> usize {
        Direction::BOTH.into_iter().map(|d| self.half.of(d).data.memory()).sum()
    }

    /// Client and server change places.
    pub fn swap(&mut self) {
        let Pair { to_server, to_client } = &mut self.half;
        std::mem::swap(to_server, to_client);
        self.first_fin = self.first_fin.map(Direction::flip);
        self.one_sided = self.one_sided.map(Direction::flip);
    }

    pub(super) fn check(&self) {
        #[cfg(any(test, debug_assertions))]
        self.invariants();
    }

    /// Holds after every call.
    #[cfg(any(test, debug_assertions))]
    pub fn invariants(&self) {
        for dir in Direction::BOTH {
            self.half.of(dir).data.invariants(self.segments_max);
        }
        debug_assert!(self.first_fin.is_none_or(|d| self.half.of(d).fin.is_some()));
    }

    /// What is new in either direction.
    pub(super) fn progress(&self) -> PerDirection<bool> {
        PerDirection { to_server: self.has_work(Direction::ToServer), to_client: self.has_work(Direction::ToClient) }
    }
}
