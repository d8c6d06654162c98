//! A fault of the engine on a flow: what it knew of the flow is gone, and its packets are inspected one by one.

use super::Output;
use super::findings::View;
use super::path::{Fate, Path, Placed};
use super::report::Subject;
use crate::decode::Packet;
use crate::detect::inspect::Detector;
use crate::flow::Flow;
use crate::record::PacketSource;
use crate::session::Session;
use crate::types::{Cause, Counter, Direction};

impl Path {
    /// A packet of `flow` was more than the engine could bear: the flow goes on blind, under its policy.
    pub fn fault(&mut self, flow: &mut Flow<Session>) -> Fate {
        self.counters.inc(Counter::Panics);
        if let Some(mut tcp) = flow.session.tcp.take() {
            tcp.release(&mut self.account);
        }
        self.unbill(&mut flow.session);
        self.forget_other(flow);
        flow.session.blinded();
        flow.core.flags.pinned = true;
        self.gather_counters();
        // Its scratch may be half written.
        let shared = self.detector.shared().clone();
        if let Ok(fresh) = Detector::new(&self.rules, &self.config.limits, self.inline, shared) {
            self.detector = fresh;
        }
        let mut fate = Fate::default();
        self.exception(Cause::Panic, Some(flow), &mut fate);
        fate
    }

    /// Inspects a packet of a flow that has lost its state, where it may go on.
    pub fn by_itself(
        &mut self,
        flow: &mut Flow<Session>,
        dir: Direction,
        packet: &Packet<'_>,
        fate: &mut Fate,
        out: &mut Output,
    ) {
        if !fate.verdict.is_forward() || fate.uninspected || flow.session.given_up() || flow.core.flags.passed {
            return;
        }
        let subject = Subject { packet, source: PacketSource::of(packet), dir: Some(dir) };
        let placed = Placed::default();
        self.detect(flow, &View { subject, stream_events: &[], app_events: &[], placed, flow_end: false }, fate, out);
    }
}
