//! After packets have passed unseen (a start, an opening of the wire, a stall): a declared window in which flows from
//! before are taken up where they stand, and nothing is held against them for it.
//!
//! A segment that continues what is known is believed as ever. One that does not, in a flow from before the window, may
//! lie behind what passed unseen, or may be a decoy that its receiver will discard: nobody can say yet. So it begins a
//! second session of the flow, a guess, while the first goes on beside it with whatever continues that. The guess becomes
//! the flow's session when the other end answers in its terms; until then a decoy hides nothing, since what its sender
//! sends in truth still continues the first. At most one guess is kept, the latest; the end of the window ends it.
//!
//! Flows whose handshake was seen since the window opened have nothing to do with any of this.

use super::Output;
use super::path::Path;
use super::report::Subject;
use crate::applayer::{AppSession, ProtoId};
use crate::decode::{Packet, TcpFlags, TcpHeader};
use crate::flow::Flow;
use crate::session::Session;
use crate::stream::{SegmentCx, SegmentOutcome, TcpSession};
use crate::types::{Cause, Counter, Direction, Timestamp};

/// When flows are taken up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// Time of the last packet before what passed unseen.
    since: Timestamp,
    /// Time of the last packet that is in it; zero: there is none.
    until: Timestamp,
}

/// What of a flow's loss of sight is the window's, not the policies'.
const EXCUSED: [Cause; 3] = [Cause::StreamMidstream, Cause::StreamInvalid, Cause::StreamGap];

impl Path {
    /// Opens the window for packets up to `until`.
    pub const fn resync(&mut self, until: Timestamp) {
        self.window = Window { since: self.now, until };
    }

    /// The window is open, and packets of this flow may have passed before it was.
    pub fn excuses(&self, flow: &Flow<Session>, ts: Timestamp) -> bool {
        let unsure = |t: &TcpSession| !t.tracked() || t.is_midstream();
        let window = ts <= self.window.until
            && (flow.core.first <= self.window.since || flow.session.tcp.as_deref().is_none_or(unsure));
        // One that nobody looked at for a while may be another, or not, until a handshake tells.
        let begun = |t: &TcpSession| t.established() && !t.is_midstream();
        window || flow.core.flags.reopened && !flow.session.tcp.as_deref().is_some_and(begun)
    }

    /// The segment in the flow's session, or in the one of its two that it continues, which is then the session at hand.
    pub fn take_segment(
        &mut self,
        flow: &mut Flow<Session>,
        dir: Direction,
        packet: &Packet<'_>,
        header: &TcpHeader,
    ) -> SegmentOutcome {
        let excused = self.excuses(flow, packet.ts);
        if flow.session.guess.is_some() {
            flow.session.exchange();
        }
        if !excused {
            self.forget_other(flow);
            return self.believe(flow, dir, packet, header, None);
        }
        let way = ports_tell(flow, dir, packet);
        let lost = |t: &TcpSession| Direction::BOTH.map(|d| t.lost_before(d));
        let before = flow.session.tcp.as_deref().map_or([0; 2], lost);
        let mut out = self.believe(flow, dir, packet, header, Some(way));
        if out.valid && !out.ahead {
            self.continued(flow, dir, packet, header, before, &mut out);
        } else {
            self.astray(flow, dir, packet, header, &mut out);
        }
        let taken_up = out.taken_up && flow.session.guess.is_none();
        if taken_up {
            flow.session.app = AppSession::taken_up(None);
        }
        let gap = out.exceptions.contains(&Cause::StreamGap);
        let settled = flow.session.other.is_some() && !guessing(flow);
        if (taken_up || gap || settled) && !std::mem::replace(&mut flow.core.flags.resynced, true) {
            self.counters.inc(Counter::FlowResynced);
        }
        if out.exceptions.iter().any(|c| EXCUSED.contains(c)) {
            out.exceptions.retain(|c| !EXCUSED.contains(c));
            // What they are the events of.
            out.events.clear();
        }
        out
    }

    fn believe(
        &mut self,
        flow: &mut Flow<Session>,
        dir: Direction,
        packet: &Packet<'_>,
        header: &TcpHeader,
        resync: Option<Direction>,
    ) -> SegmentOutcome {
        let (settings, counters) = (&self.config.stream, &mut self.counters);
        let tuple = flow.core.tuple;
        let tcp = flow.session.tcp.get_or_insert_with(|| {
            counters.inc(Counter::StreamSessions);
            Box::new(TcpSession::new(settings, tuple.src, tuple.dst))
        });
        let inline = self.stream_inline;
        let mut cx = SegmentCx { settings, account: &mut self.account, counters, ts: packet.ts, inline, resync };
        tcp.segment(&mut cx, header, packet.payload(), dir)
    }

    /// The first session goes on. That its receiver has acknowledged what it lacks shows the guess to be right; that it
    /// lacks nothing, and has all the guess has, that there was nothing to guess.
    fn continued(
        &mut self,
        flow: &mut Flow<Session>,
        dir: Direction,
        packet: &Packet<'_>,
        header: &TcpHeader,
        before: [u64; 2],
        out: &mut SegmentOutcome,
    ) {
        let Session { tcp: Some(tcp), other: Some(other), .. } = &flow.session else { return };
        let (Some(way), Some(guessed)) = (other.guess, other.tcp.as_deref()) else { return };
        let lost = before.get(way as usize).is_some_and(|b| *b < tcp.lost_before(way));
        let caught_up = !tcp.holds_behind_gap(way) && tcp.has_all_of(guessed, way);
        if lost {
            flow.session.exchange();
            flow.session.guess = None;
            *out = self.believe(flow, dir, packet, header, Some(dir));
        } else if caught_up {
            self.forget_other(flow);
        }
    }

    /// The segment does not continue the first session: it is the guess's, or begins another.
    fn astray(
        &mut self,
        flow: &mut Flow<Session>,
        dir: Direction,
        packet: &Packet<'_>,
        header: &TcpHeader,
        out: &mut SegmentOutcome,
    ) {
        let flags = header.flags;
        if flow.session.other.is_some() {
            let refused = !out.valid;
            flow.session.exchange();
            let guess = self.believe(flow, dir, packet, header, Some(dir));
            if guess.valid && !guess.ahead {
                *out = guess;
                if refused && flow.session.guess == Some(dir.flip()) {
                    // Its receiver answers in its terms, which mean nothing in the first's.
                    flow.session.guess = None;
                }
                return;
            }
            flow.session.exchange();
        }
        let backwards = flags.has(TcpFlags::SYN | TcpFlags::ACK) && dir == Direction::ToServer;
        if flags.has(TcpFlags::RST) || backwards || !flags.any(TcpFlags::SYN | TcpFlags::ACK) {
            // Its receiver knows whether it means anything. Nothing follows from it here.
            return;
        }
        self.forget_other(flow);
        let spoken = Some(flow.session.app.protocol()).filter(|p| *p != ProtoId::ANY);
        let mut guess = Session { guess: Some(dir), ttl: flow.session.ttl, ..Session::default() };
        if !flags.has(TcpFlags::SYN) {
            guess.app = AppSession::taken_up(spoken);
        }
        flow.session.other = Some(Box::new(guess));
        flow.session.exchange();
        *out = self.believe(flow, dir, packet, header, Some(dir));
    }

    /// Drops the session that is not at hand.
    pub fn forget_other(&mut self, flow: &mut Flow<Session>) {
        let Some(mut other) = flow.session.other.take() else { return };
        self.unbill(&mut other);
        if let Some(tcp) = &mut other.tcp {
            tcp.release(&mut self.account);
        }
    }

    /// The first session, where the guess has taken its place: what it had begun is logged, and the rest goes with it.
    pub fn let_go_of_first(&mut self, flow: &mut Flow<Session>, subject: Subject<'_>, out: &mut Output) {
        if flow.session.other.is_none() || guessing(flow) {
            return;
        }
        flow.session.exchange();
        self.transactions(flow, subject, true, out);
        flow.session.exchange();
        flow.session.follow_other();
        self.forget_other(flow);
    }
}

/// One of the flow's two sessions is a guess yet.
fn guessing(flow: &Flow<Session>) -> bool {
    flow.session.guess.is_some() || flow.session.other.as_ref().is_some_and(|o| o.guess.is_some())
}

/// Which way a segment goes when nobody saw the flow's beginning: services have the lower port.
fn ports_tell(flow: &Flow<Session>, dir: Direction, packet: &Packet<'_>) -> Direction {
    let begun = flow.core.flags.reopened || flow.session.tcp.as_deref().is_some_and(TcpSession::tracked);
    match packet.tuple.sport < packet.tuple.dport {
        _ if begun => dir,
        true => Direction::ToClient,
        false => Direction::ToServer,
    }
}
