//! The way of one packet from its flow to its verdict, and what a worker has besides its flow table.
//!
//! Stages in order: exceptions of decoding, flow verdicts already made, TCP session and reassembly, application layer,
//! detection, verdict, records. A stage that condemns the packet still lets the later ones see it as far as they must
//! (the stream follows what was dropped only in its bookkeeping), so that the flow's end is accounted for.

use super::feed::ROUNDS_MAX;
use super::findings::View;
use super::offload::{Porter, begins};
use super::report::Subject;
use super::resync::Window;
use super::shed::Load;
use super::{Config, Mode, Output};
use crate::action::{Edit, rewrite};
use crate::applayer::{ProtoSet, ProtocolCounts, Vocabulary};
use crate::decode::{Bytes, Frame, IpHeader, Packet};
use crate::detect::compile::Ruleset;
use crate::detect::inspect::{Alert, Detector, Hit};
use crate::detect::matching::MatcherError;
use crate::detect::signature::SigIdx;
use crate::detect::state::hosts::Bounded;
use crate::detect::state::shared::{Moment, Shared};
use crate::flow::{Flow, FlowState};
use crate::record::{Carrier, PacketSource};
use crate::session::Session;
use crate::stream::{Account, StreamEvents, TcpSession};
use crate::types::{
    Cause, Counter, Counters, Direction, ExceptionPolicy, IpProto, Reason, RejectTarget, Timestamp, Verdict,
};
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

/// A flow may hold this part of the application layer's memory even when it is short.
const APP_SHARES: usize = 4_096;

/// Withheld datagrams remembered; past it the first is forgotten.
const WITHHELD_MAX: usize = 16_384;

/// What has been decided about a packet so far.
#[derive(Debug, Default)]
pub(super) struct Fate {
    pub verdict: Verdict,
    pub sid: Option<u32>,
    /// The signature that stopped the packet.
    pub sig: Option<SigIdx>,
    /// Payload bytes to put in place, with where.
    pub edits: Vec<(usize, Vec<u8>)>,
    /// An exception's policy let the packet go uninspected.
    pub uninspected: bool,
    /// The packet completes its connection's handshake, and nothing was sent yet: what it completes is not there before it.
    pub completes: bool,
}

impl Fate {
    pub fn decide(&mut self, verdict: Verdict, sid: Option<u32>) {
        let merged = self.verdict.merge(verdict);
        if merged != self.verdict {
            self.verdict = merged;
            self.sid = sid;
        }
    }
}

/// Where a segment's payload went.
#[derive(Clone, Debug, Default)]
pub(super) struct Placed {
    /// It is represented in the stream.
    pub stored: bool,
    /// Nothing in order came with it: it lies here, ahead of a hole or beneath what differs, and is inspected there.
    pub again: Option<Range<u64>>,
}

/// Everything a worker has but its flow table.
pub(super) struct Path {
    pub config: Arc<Config>,
    pub rules: Arc<Ruleset>,
    pub vocabulary: Vocabulary,
    /// Protocols whose frames rules or records want.
    pub frames: ProtoSet,
    pub inline: bool,
    /// Streams are read as they pass.
    pub stream_inline: bool,
    pub detector: Detector,
    pub account: Account,
    /// Billed by all flows' parsers.
    app_bytes: usize,
    /// Datagrams in fragments that were not let through once whole, and when.
    withheld: Bounded<NonZeroU64, Timestamp>,
    pub counters: Counters,
    pub exceptions: [u64; Cause::COUNT],
    /// How often each stream event was raised.
    pub stream_events: Vec<u64>,
    pub protocols: ProtocolCounts,
    /// Time of the latest packet; never moves back unless paced, when it is the time of the packet at hand.
    pub now: Timestamp,
    /// Number of the packet being processed.
    pub number: u64,
    /// The outermost packet of the frame at hand, for those inside its tunnels.
    pub carrier: Option<Carrier>,
    /// Files that have left the engine.
    pub kept_files: u32,
    /// In which flows are taken up where they stand.
    pub window: Window,
    /// Carries flows that need nobody's eyes.
    pub porter: Option<Box<dyn Porter>>,
    pub load: Load,
    pub hits: Vec<Hit>,
    pub alerts: Vec<Alert>,
}

fn frames_wanted(config: &Config, rules: &Ruleset) -> ProtoSet {
    if config.records.frame.is_some() { ProtoSet::ALL } else { rules.framed() }
}

impl Path {
    pub fn new(config: Arc<Config>, rules: Arc<Ruleset>, shared: Shared) -> Result<Self, MatcherError> {
        let inline = config.mode == Mode::Inline;
        let vocabulary = *rules.vocabulary();
        Ok(Path {
            vocabulary,
            frames: frames_wanted(&config, &rules),
            detector: Detector::new(&rules, &config.limits, inline, shared)?,
            account: Account::new(config.limits.stream_bytes_max),
            app_bytes: 0,
            withheld: Bounded::new(WITHHELD_MAX, config.seed[1]),
            rules,
            inline,
            stream_inline: inline || config.stream.inline,
            config,
            counters: Counters::default(),
            exceptions: [0; Cause::COUNT],
            stream_events: vec![0; crate::stream::events::EVENTS.len()],
            protocols: ProtocolCounts::new(vocabulary.protocols.len()),
            now: Timestamp::ZERO,
            number: 0,
            carrier: None,
            kept_files: 0,
            window: Window::default(),
            porter: None,
            load: Load::default(),
            hits: Vec::new(),
            alerts: Vec::new(),
        })
    }

    /// Another ruleset; the flows find out by its epoch.
    pub fn adopt(&mut self, rules: Arc<Ruleset>) -> Result<(), MatcherError> {
        self.detector.adopt(&rules)?;
        let hashes = rules.hashes();
        if hashes != Default::default() {
            Arc::make_mut(&mut self.config).proto.want_hashes(hashes);
        }
        self.vocabulary = *rules.vocabulary();
        self.frames = frames_wanted(&self.config, &rules);
        self.rules = rules;
        Ok(())
    }

    /// What rules of another epoch left with the flow is let go: candidates that wait, what matched, variables, and a
    /// pass, which the new rules might not give. A drop stands: a flow that was stopped does not go on.
    pub fn renew(&self, flow: &mut Flow<Session>) {
        let epoch = self.rules.epoch();
        if flow.core.epoch == epoch {
            return;
        }
        if flow.session.detect.passed() && flow.core.state != FlowState::Bypassed {
            flow.core.flags.passed = false;
        }
        flow.core.epoch = epoch;
        flow.core.flags.judged = false;
        flow.core.offload_wait = Default::default();
        flow.session.detect.renew(epoch);
        if let Some(other) = &mut flow.session.other {
            other.detect.renew(epoch);
        }
    }

    /// Takes over what detection has counted; done once a batch.
    pub fn gather_counters(&mut self) {
        self.detector.drain_counters(&mut self.counters);
    }

    pub fn begin(&mut self, packet: &Packet<'_>) {
        // Other workers' packets must not show in this one's time, where several are to agree.
        self.now = if self.config.paced { packet.ts } else { self.now.max(packet.ts) };
        self.number = packet.number;
        self.detector.begin(Moment { number: packet.number, ending: 0 });
        if packet.depth == 0 {
            let source = PacketSource::of(packet);
            self.carrier = Some(Carrier { tuple: packet.tuple, source, number: packet.number });
        }
    }

    /// What fragments made whole did not leave: its other fragments have, so that none may be sent again, in another form
    /// perhaps, to complete it there.
    pub fn note_datagram(&mut self, datagram: NonZeroU64, index: u32, out: &Output) {
        if out.frames.get(index as usize).is_some_and(|f| !f.verdict.is_forward()) {
            let now = self.now;
            *self.withheld.entry(datagram, || now) = now;
        }
    }

    /// Whether `packet` is a fragment of a datagram that was withheld as long ago as its receiver may remember.
    fn of_withheld(&self, packet: &Packet<'_>) -> bool {
        let timeout = self.config.decode.defrag.timeout;
        let since = packet.datagram.and_then(|d| self.withheld.find(&d));
        since.is_some_and(|since| self.now.since(*since) <= timeout)
    }

    /// A packet that belongs to no flow: fragments, headers that do not hold together, protocols without flows.
    pub fn without_flow(&mut self, packet: &Packet<'_>, out: &mut Output) -> Fate {
        let mut fate = Fate::default();
        let subject = Subject { packet, source: PacketSource::of(packet), dir: None };
        self.decode_exceptions(packet, None, &mut fate);
        if self.of_withheld(packet) {
            fate.decide(Verdict::Drop(Reason::FlowDrop), None);
        }
        if !fate.uninspected {
            self.detect_alone(subject, &mut fate, out);
        }
        self.decode_anomalies(subject, None, out);
        self.close(&fate, subject, None, out);
        fate
    }

    pub fn in_flow(
        &mut self,
        flow: &mut Flow<Session>,
        mut dir: Direction,
        packet: &Packet<'_>,
        out: &mut Output,
    ) -> Fate {
        let mut fate = Fate::default();
        let subject = |dir| Subject { packet, source: PacketSource::of(packet), dir: Some(dir) };
        let fresh_rules = flow.core.epoch != self.rules.epoch();
        self.renew(flow);
        if fresh_rules && flow.core.flags.by_rules {
            self.reopen(flow, subject(dir), out);
        }
        note_ttl(&mut flow.session, dir, packet);
        if self.config.records.common.ethernet
            && let Some(ether) = &packet.ether
        {
            flow.core.macs.get_or_insert_default().note(ether, dir);
        }
        if let Some(reason) = flow.core.flags.condemned {
            let by_rule = reason == Reason::FlowDrop;
            let reason = if by_rule { Reason::FlowDrop } else { Reason::ExceptionFlowDrop };
            fate.verdict = Verdict::Drop(reason);
            self.dropped(fate.verdict, None, subject(dir), Some(flow), out);
            self.offload(flow, dir, packet, false, out);
            return fate;
        }
        if flow.core.state == FlowState::Bypassed && begins(packet) {
            // Nobody knows whether the ports are used anew before their other end has answered: both are followed.
            self.reopen(flow, subject(dir), out);
        }
        if flow.core.state == FlowState::Bypassed {
            self.counters.inc(Counter::BypassedPackets);
            self.counters.add(Counter::BypassedBytes, packet.bytes.as_slice().len() as u64);
            self.offload(flow, dir, packet, true, out);
            return fate;
        }
        if self.shed(flow, subject(dir), out) {
            return fate;
        }
        let asked = self.detector.asked();
        if flow.session.blind {
            self.exception(Cause::Panic, Some(flow), &mut fate);
            self.by_itself(flow, dir, packet, &mut fate, out);
            self.close(&fate, subject(dir), Some(flow), out);
            return fate;
        }
        self.decode_exceptions(packet, Some(flow), &mut fate);
        let mut events = StreamEvents::new();
        let mut placed = Placed::default();
        // A receiver discards what fails its checksum: the stream may not believe it. A datagram stands for itself and
        // hides no other, so it is read all the same: captures of a sender's own side have sums not yet filled in.
        let believed = !packet.flags.checksum_bad || packet.tuple.proto == IpProto::UDP;
        if believed {
            self.come_back(flow, dir, packet);
        }
        if believed && !flow.core.flags.no_payload_inspection {
            let turned = match packet.tuple.proto {
                IpProto::TCP => self.segment(flow, &mut dir, packet, &mut events, &mut placed, &mut fate),
                IpProto::UDP => self.feed_udp(flow, dir, packet, &mut fate),
                _ => false,
            };
            if turned {
                dir = dir.flip();
            }
        }
        // What is inspected is what leaves.
        let mut patched = None;
        let rewritten = rewritten(packet, &fate.edits, &mut patched);
        let packet = rewritten.as_ref().unwrap_or(packet);
        let subject = |dir| Subject { packet, source: PacketSource::of(packet), dir: Some(dir) };
        self.detect_in_flow(flow, subject(dir), &events, placed, &mut fate, out);
        self.let_go_of_first(flow, subject(dir), out);
        self.leave_encrypted(flow, &mut fate, out);
        self.leave_unwatched(flow);
        self.bill(flow, subject(dir), &mut fate, out);
        self.decode_anomalies(subject(dir), Some(flow), out);
        self.stream_anomalies(&events, subject(dir), flow, out);
        self.close(&fate, subject(dir), Some(flow), out);
        self.offload(flow, dir, packet, fate.verdict.is_forward(), out);
        self.charge(flow, packet, self.detector.asked().saturating_sub(asked));
        fate
    }

    /// The TCP stages. Returns whether the flow was turned round after `dir` was last set.
    fn segment(
        &mut self,
        flow: &mut Flow<Session>,
        dir: &mut Direction,
        packet: &Packet<'_>,
        events: &mut StreamEvents,
        placed: &mut Placed,
        fate: &mut Fate,
    ) -> bool {
        let Some(header) = packet.tcp() else { return false };
        let before = flow.session.tcp.as_deref().is_some_and(TcpSession::established);
        let outcome = self.take_segment(flow, *dir, packet, header);
        let Some(tcp) = flow.session.tcp.as_deref() else { return false };
        let silent = |t: &TcpSession| Direction::BOTH.into_iter().all(|d| t.raw(d).bytes.is_empty());
        fate.completes = !before && tcp.established() && silent(tcp);
        flow.core.tcp = tcp.summary();
        if flow.core.state != FlowState::Bypassed {
            flow.core.state = tcp.state().flow_state();
        }
        if outcome.reversed {
            flow.core.reverse();
            *dir = dir.flip();
        }
        let raw = tcp.raw(*dir);
        let again = outcome.at.filter(|_| raw.fresh == raw.bytes.len());
        *placed = Placed { stored: outcome.stored, again };
        events.extend_from_slice(&outcome.events);
        for e in &outcome.events {
            if let Some(n) = self.stream_events.get_mut(usize::from(*e)) {
                *n += 1;
            }
        }
        for cause in outcome.exceptions {
            self.exception(cause, Some(flow), fate);
        }
        if outcome.drop && self.inline {
            fate.decide(Verdict::Drop(Reason::StreamError), None);
        }
        if let Some(bytes) = outcome.rewritten.filter(|_| self.inline) {
            fate.edits.push((0, bytes));
        }
        let turned = self.feed_tcp(flow, *dir, fate);
        let deep = self.config.stream.bypass
            && flow.session.tcp.as_ref().is_some_and(|t| Direction::BOTH.into_iter().any(|d| t.depth_reached(d)));
        if deep {
            self.bypass(flow);
        }
        turned
    }

    /// Detection, the records it gives rise to, and what the flow may let go of afterwards.
    pub fn detect_in_flow(
        &mut self,
        flow: &mut Flow<Session>,
        subject: Subject<'_>,
        events: &[u16],
        mut placed: Placed,
        fate: &mut Fate,
        out: &mut Output,
    ) {
        let last = matches!(subject.source, PacketSource::FlowTimeout);
        // A parser that hands over leaves the rest of the bytes to the next: go round until none does.
        for _ in 0..ROUNDS_MAX {
            let app_events = flow.session.app.take_events();
            if !fate.uninspected && !flow.core.flags.passed {
                let seen = Placed { again: placed.again.take(), ..placed };
                let view =
                    View { subject, stream_events: events, app_events: &app_events, placed: seen, flow_end: last };
                self.detect(flow, &view, fate, out);
            }
            for e in app_events {
                self.app_anomaly(e, None, subject, flow, out);
            }
            let switch = flow.session.app.wants_switch();
            // At a flow's end both directions are inspected, the client's last: nothing is let go before.
            let over = last && subject.dir != Some(Direction::ToServer);
            self.transactions(flow, subject, over || switch, out);
            if !switch {
                break;
            }
            self.switch(flow, subject.dir.unwrap_or(Direction::ToServer), fate);
        }
        if let Some(tcp) = &mut flow.session.tcp {
            tcp.trim(&mut self.account);
        }
    }

    /// The old protocol's transactions are done with; the new one's bytes are fed.
    fn switch(&mut self, flow: &mut Flow<Session>, dir: Direction, fate: &mut Fate) {
        if !flow.session.app.begins_anew() {
            flow.session.original = Some(flow.session.app.protocol());
        }
        flow.session.protocol_switched();
        flow.session.detect.protocol_switched();
        flow.session.app.switch();
        if let Some(tcp) = &mut flow.session.tcp {
            // The old parser was shown them, the new one was not.
            Direction::BOTH.into_iter().for_each(|d| tcp.present_anew(d));
        }
        self.feed_tcp(flow, dir, fate);
    }

    /// Bills what the flow's parser holds now. Short of room, those that hold much lose theirs before those that hold
    /// little: many requests in few bytes must not buy all the memory there is.
    fn bill(&mut self, flow: &mut Flow<Session>, subject: Subject<'_>, fate: &mut Fate, out: &mut Output) {
        if flow.session.opaque && flow.session.app_bytes > 0 {
            // Behind a handshake parsers only count.
            return;
        }
        let now = flow.session.app_memory();
        let before = std::mem::replace(&mut flow.session.app_bytes, now);
        self.app_bytes = self.app_bytes.saturating_sub(before).saturating_add(now);
        let max = self.config.limits.app_bytes_max;
        let much = now > max / APP_SHARES && self.app_bytes > max / 2;
        if now <= before || !(much || self.app_bytes > max) {
            return;
        }
        self.counters.inc(Counter::AppMemcap);
        self.transactions(flow, subject, true, out);
        self.unbill(&mut flow.session);
        flow.session.app.abandon();
        flow.session.detect.protocol_switched();
        if let Some(tcp) = &mut flow.session.tcp {
            Direction::BOTH.into_iter().for_each(|d| tcp.stop_app(d));
        }
        self.exception(Cause::ApplayerError, Some(flow), fate);
    }

    /// The flow's parser is no more.
    pub fn unbill(&mut self, session: &mut Session) {
        self.app_bytes = self.app_bytes.saturating_sub(std::mem::take(&mut session.app_bytes));
    }

    fn decode_exceptions(&mut self, packet: &Packet<'_>, mut flow: Option<&mut Flow<Session>>, fate: &mut Fate) {
        for cause in packet.exceptions.iter().copied() {
            self.exception(cause, flow.as_deref_mut(), fate);
        }
        if packet.flags.invalid {
            self.exception(Cause::DecodeInvalid, flow, fate);
        }
    }

    /// Sight was lost: counts it and does what the operator's policy says.
    pub fn exception(&mut self, cause: Cause, flow: Option<&mut Flow<Session>>, fate: &mut Fate) {
        if let Some(n) = self.exceptions.get_mut(cause as usize) {
            *n += 1;
        }
        let policy = self.config.policies.of(cause);
        let row = cause.row();
        match policy {
            ExceptionPolicy::Ignore => {}
            ExceptionPolicy::PassPacket | ExceptionPolicy::PassFlow | ExceptionPolicy::Bypass => {
                fate.uninspected = true;
            }
            ExceptionPolicy::DropPacket | ExceptionPolicy::DropFlow => {
                fate.decide(Verdict::Drop(row.reason), None);
            }
            ExceptionPolicy::Reject => fate.decide(Verdict::Reject(row.reason, RejectTarget::Source), None),
            ExceptionPolicy::RejectBoth => fate.decide(Verdict::Reject(row.reason, RejectTarget::Both), None),
        }
        // What is lost from sight altogether is not inspected; an odd segment has events that rules may name.
        fate.uninspected |= policy.withholds() && row.eve.is_some();
        let Some(flow) = flow else { return };
        flow.session.note(cause, policy);
        match policy {
            ExceptionPolicy::Ignore | ExceptionPolicy::PassPacket | ExceptionPolicy::DropPacket => {}
            ExceptionPolicy::PassFlow => flow.core.flags.passed = true,
            ExceptionPolicy::Bypass => {
                flow.core.flags.passed = true;
                self.bypass(flow);
            }
            ExceptionPolicy::DropFlow | ExceptionPolicy::Reject | ExceptionPolicy::RejectBoth => {
                // A cause that concerns single packets may be answered to those alone.
                if row.allowed.contains(&ExceptionPolicy::DropFlow) {
                    flow.core.flags.condemned.get_or_insert(row.reason);
                }
            }
        }
    }

    /// The flow is followed no more from its next packet on.
    pub fn bypass(&mut self, flow: &mut Flow<Session>) {
        if flow.core.state != FlowState::Bypassed {
            self.counters.inc(Counter::BypassedFlows);
            flow.core.state = FlowState::Bypassed;
        }
    }

    /// The drop record, where the packet is dropped.
    fn close(&self, fate: &Fate, subject: Subject<'_>, flow: Option<&mut Flow<Session>>, out: &mut Output) {
        if !fate.verdict.is_forward() {
            self.dropped(fate.verdict, fate.sig, subject, flow, out);
        }
    }

    /// Puts a packet's edits into its frame. One that cannot be rewritten must not leave as it came.
    pub fn rewrite(&mut self, fate: &Fate, frame: &Frame<'_>, index: u32, packet: &Packet<'_>, out: &mut Output) {
        if fate.edits.is_empty() {
            return;
        }
        let edits: Vec<Edit<'_>> = fate.edits.iter().map(|(at, bytes)| Edit { at: *at, bytes }).collect();
        let Some(slot) = out.frames.get_mut(index as usize) else { return };
        if rewrite(&mut slot.rewritten, frame.data, packet, &edits).is_err() {
            slot.verdict = slot.verdict.merge(Verdict::Drop(Reason::StreamError));
        }
    }
}

/// The packet as its overlaps with earlier bytes let it leave, where they change it; its bytes are held by `patched`.
fn rewritten<'p>(
    packet: &Packet<'p>,
    edits: &[(usize, Vec<u8>)],
    patched: &'p mut Option<Box<[u8]>>,
) -> Option<Packet<'p>> {
    if edits.is_empty() {
        return None;
    }
    let edits: Vec<Edit<'_>> = edits.iter().map(|(at, bytes)| Edit { at: *at, bytes }).collect();
    rewrite(patched, packet.bytes.as_slice(), packet, &edits).ok()?;
    Some(Packet { bytes: Bytes::Frame(patched.as_deref()?), ..packet.clone() })
}

fn note_ttl(session: &mut Session, dir: Direction, packet: &Packet<'_>) {
    let ttl = match packet.ip {
        Some(IpHeader::V4 { ttl, .. }) => ttl,
        Some(IpHeader::V6 { hop_limit, .. }) => hop_limit,
        None => return,
    };
    let Some(seen) = session.ttl.get_mut(dir as usize) else { return };
    *seen = if seen.1 == 0 { (ttl, ttl) } else { (seen.0.min(ttl), seen.1.max(ttl)) };
}
