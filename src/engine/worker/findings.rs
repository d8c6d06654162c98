//! Detection within the worker: what it is told of a packet, and what its findings do to verdict, flow and records.
//!
//! Packets with and without a flow take the same steps; only what is known of them differs. The lists of hits and alerts
//! go out with the findings and come back when those are concluded, so that no packet allocates them anew.

use super::Output;
use super::path::{Fate, Path, Placed};
use super::report::{AlertInput, Ruled, Subject};
use crate::applayer::TxId;
use crate::detect::compile::Ruleset;
use crate::detect::inspect::{Alert, Hit, PacketInput, Settled, StreamInput};
use crate::detect::signature::{PacketFacts, RuleProto, SigIdx};
use crate::detect::state::FlowDetect;
use crate::flow::{Flow, FlowState};
use crate::session::Session;
use crate::stream::TcpState;
use crate::types::{Counter, Direction, IpProto, Reason};

/// What inspection of one packet found.
struct Found {
    settled: Settled,
    hits: Vec<Hit>,
    alerts: Vec<Alert>,
}

/// What detection is told of a packet beside its flow.
pub(super) struct View<'a> {
    pub subject: Subject<'a>,
    pub stream_events: &'a [u16],
    pub app_events: &'a [crate::applayer::EventId],
    pub placed: Placed,
    pub flow_end: bool,
}

fn facts<'a>(subject: Subject<'a>, stream_events: &'a [u16]) -> PacketFacts<'a> {
    PacketFacts {
        packet: subject.packet,
        direction: subject.dir,
        app_proto: Default::default(),
        app_proto_done: false,
        stream_bytes: [0; 2],
        flow_age: Default::default(),
        flow_packets: [0; 2],
        flow_bytes: [0; 2],
        app_protos: [None; 2],
        tcp_state: None,
        checksums: true,
        stream_events,
    }
}

impl Path {
    /// Inspects a packet of no flow.
    pub(super) fn detect_alone(&mut self, subject: Subject<'_>, fate: &mut Fate, out: &mut Output) {
        let facts = PacketFacts { checksums: self.config.decode.checksums_told(), ..facts(subject, &[]) };
        let input = PacketInput {
            facts,
            established: false,
            in_stream: false,
            stream: None,
            app: None,
            app_events: &[],
            opaque: false,
            flow_end: false,
        };
        let found = self.inspect(&input, None);
        self.conclude(found, None, subject, fate, out);
    }

    pub(super) fn detect(&mut self, flow: &mut Flow<Session>, view: &View<'_>, fate: &mut Fate, out: &mut Output) {
        let found = (!self.rules.is_empty()).then(|| self.ask(flow, view, fate));
        let Session { tcp, app, opaque, .. } = &mut flow.session;
        if let Some(tcp) = tcp {
            // What was the packet's alone is there for what follows it, but not found twice.
            tcp.raw_inspected(view.subject.dir.unwrap_or(Direction::ToServer));
        }
        *opaque = app.parser().is_some_and(|p| p.opaque());
        if let Some(found) = found {
            self.conclude(found, Some(flow), view.subject, fate, out);
        }
        if self.frames.has(flow.session.app.protocol()) {
            self.frames_seen(flow, view, out);
        }
    }

    /// What the rules find in what a packet of `flow` brought.
    fn ask(&mut self, flow: &mut Flow<Session>, view: &View<'_>, fate: &Fate) -> Found {
        let subject = view.subject;
        let dir = subject.dir.unwrap_or(Direction::ToServer);
        let core = &flow.core;
        let Session { tcp, app, detect, opaque, .. } = &mut flow.session;
        let mut facts = facts(subject, view.stream_events);
        facts.app_proto = app.protocol();
        facts.app_proto_done = app.settled();
        let udp = core.tuple.proto == IpProto::UDP;
        facts.app_protos = Direction::BOTH.map(|d| app.protocol_in(d, udp));
        facts.checksums = self.config.decode.checksums_told();
        facts.flow_age = core.age();
        (facts.flow_packets, facts.flow_bytes) = core.volume();
        let (mut established, mut stream) = (core.state == FlowState::Established, None);
        let mut in_stream = view.placed.stored;
        if let Some(tcp) = tcp.as_deref() {
            // The SYN counts as a byte, as it does in sequence numbers.
            let begun = |d| match tcp.state() {
                TcpState::None => false,
                TcpState::SynSent => d == Direction::ToServer,
                _ => true,
            };
            facts.stream_bytes = Direction::BOTH.map(|d| tcp.stream_bytes(d) + u64::from(begun(d)));
            established = tcp.established() && !fate.completes;
            facts.tcp_state = Some(tcp.state());
            if tcp.is_followed() {
                let again = view.placed.again.as_ref().map(|at| tcp.around(dir, at));
                // In pieces, it is inspected as a packet of its own.
                in_stream &= !matches!(again, Some(None));
                let (aside, raw) = match again.flatten() {
                    Some(raw) => (true, raw),
                    None => (false, tcp.raw(dir)),
                };
                let fresh = raw.bytes.len().saturating_sub(raw.fresh);
                stream = Some(StreamInput { offset: raw.offset, bytes: raw.bytes, fresh, aside, ended: raw.ended });
            }
        }
        let input = PacketInput {
            facts,
            established,
            in_stream: in_stream && stream.is_some(),
            stream,
            app: app.parser(),
            app_events: view.app_events,
            opaque: *opaque,
            flow_end: view.flow_end,
        };
        self.inspect(&input, Some(detect))
    }

    /// Candidates to hits, hits to what they come to; in lists that are handed back by [`Path::conclude`].
    fn inspect(&mut self, input: &PacketInput<'_>, mut detect: Option<&mut FlowDetect>) -> Found {
        let (mut hits, mut alerts) = (std::mem::take(&mut self.hits), std::mem::take(&mut self.alerts));
        hits.clear();
        alerts.clear();
        self.detector.inspect(&self.rules, input, detect.as_deref_mut(), &mut hits);
        let settled = self.detector.settle(&self.rules, &input.facts, detect, &mut hits, &mut alerts);
        Found { settled, hits, alerts }
    }

    /// Alerts to records, actions to the verdict.
    fn conclude(
        &mut self,
        Found { settled, hits, alerts }: Found,
        mut flow: Option<&mut Flow<Session>>,
        subject: Subject<'_>,
        fate: &mut Fate,
        out: &mut Output,
    ) {
        // A pass rule leaves no hit and no alert, and must not go unheard.
        let nothing = settled == Settled::default() && self.detector.exceptions().is_empty();
        if nothing && hits.is_empty() && alerts.is_empty() {
            (self.hits, self.alerts) = (hits, alerts);
            return;
        }
        let sid_of = |rules: &Ruleset, s| rules.signature(s).map(|s| s.sid);
        let blocker = alerts.iter().find(|a| a.blocked).and_then(|a| sid_of(&self.rules, a.sig));
        fate.decide(settled.verdict, blocker);
        fate.sig = fate.sig.or(settled.blocker);
        if let Some(flow) = flow.as_deref_mut() {
            flow.core.flags.passed |= settled.flow_pass;
            if settled.flow_drop {
                flow.core.flags.condemned.get_or_insert(Reason::FlowDrop);
            }
            flow.core.flags.alerted |= !alerts.is_empty();
            if settled.bypass {
                flow.core.flags.by_rules |= flow.core.state != FlowState::Bypassed;
                self.bypass(flow);
            }
        }
        if self.inline {
            self.replacements(&hits, fate);
        }
        if self.config.keep_files.is_some()
            && let Some(flow) = flow.as_deref_mut()
        {
            self.keep_files(&hits, flow, subject);
        }
        for i in 0..self.detector.exceptions().len() {
            if let Some(e) = self.detector.exceptions().get(i).copied() {
                self.exception(e.cause, flow.as_deref_mut(), fate);
            }
        }
        for a in &alerts {
            let tx = a.tx.or_else(|| self.datagram_of(a.sig, flow.as_deref()?));
            let context = hits.get(a.hit).and_then(|h| h.context.clone());
            let frame = hits.get(a.hit).and_then(Hit::frame);
            let input = AlertInput { sig: a.sig, tx, frame, stream_match: a.stream_match, blocked: a.blocked, context };
            let ruled = Ruled { verdict: fate.verdict, passed: settled.pass };
            self.alert(&input, ruled, subject, flow.as_deref(), out);
        }
        self.saved(subject, flow.as_deref(), out);
        if settled.tagged {
            self.tagged(subject, flow.as_deref(), out);
        }
        (self.hits, self.alerts) = (hits, alerts);
    }

    /// Records of frames that have ended or grown long enough, and farewell to those that were inspected to their end.
    fn frames_seen(&mut self, flow: &mut Flow<Session>, view: &View<'_>, out: &mut Output) {
        let dir = view.subject.dir.unwrap_or(Direction::ToServer);
        let Some(raw) = flow.session.tcp.as_ref().map(|tcp| tcp.raw(dir)) else { return };
        let upto = raw.offset.saturating_add(raw.bytes.len() as u64);
        if self.config.records.frame.is_some() {
            self.frame_records(flow, dir, raw.ended || view.flow_end, view.subject, out);
        }
        if let Some(frames) = flow.session.app.parser_mut().and_then(|p| p.frames_mut()) {
            let lost = frames.inspected(dir, upto);
            self.counters.add(Counter::AppFramesLost, lost);
        }
    }

    /// A rule of a protocol that matched a datagram as such means the message in it: the newest.
    fn datagram_of(&self, sig: SigIdx, flow: &Flow<Session>) -> Option<TxId> {
        if flow.core.tuple.proto != IpProto::UDP
            || !matches!(self.rules.signature(sig)?.header.proto, RuleProto::App(_))
        {
            return None;
        }
        let (first, next) = flow.session.app.parser()?.transactions();
        next.0.checked_sub(1).map(TxId).filter(|id| *id >= first)
    }

    /// Files that rules ask to keep; those of a rule about packets are the flow's.
    fn keep_files(&self, hits: &[Hit], flow: &mut Flow<Session>, subject: Subject<'_>) {
        let matched = subject.dir.unwrap_or(Direction::ToServer);
        for hit in hits {
            let Some(keep) = self.rules.signature(hit.sig).and_then(|s| s.keep_files) else { continue };
            for dir in Direction::BOTH.into_iter().filter(|d| keep.direct.includes(matched, *d)) {
                match hit.tx().filter(|_| !keep.whole_flow) {
                    Some(id) => flow.session.keep.transaction(id, dir),
                    None => flow.session.keep.flow(dir),
                }
            }
        }
    }

    /// What `replace` rules put into the payload.
    fn replacements(&self, hits: &[Hit], fate: &mut Fate) {
        for hit in hits {
            let Some(sig) = self.rules.signature(hit.sig) else { continue };
            for r in &hit.replace {
                if let Some(entry) = sig.replace.get(r.entry as usize) {
                    fate.edits.push((r.at as usize, entry.bytes.clone()));
                    fate.sid = fate.sid.or(Some(sig.sid));
                }
            }
        }
    }
}
