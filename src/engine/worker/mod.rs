//! One core's engine: frames in, verdicts and records out. Nothing else processes packets.
//!
//! Owns all state of its flows and shares none; the ruleset and the configuration are immutable values. Decoding runs
//! over the whole batch, since it has no state worth the name; from the flow on each packet runs to its verdict before
//! the next begins, since packet two depends on what packet one did. A fault while a packet is processed is caught
//! there: the flow stays, blind, under its exception policy, and the worker goes on.

mod config;
mod end;
mod faults;
mod feed;
mod findings;
mod offload;
mod output;
mod path;
mod report;
mod resync;
mod shed;

use crate::applayer::ProtocolCounts;
use crate::applayer::files::Hashes;
pub use crate::detect::state::shared::{HostTable, Moment, Shared, Turn};
pub use config::{Config, KeepFiles, Mode};
pub use offload::{Offload, Porter, Relief};
pub use output::{FrameVerdict, Injected, Output};

use crate::decode::{Decoder, Frame, Packet, PacketList, Settings};
use crate::detect::compile::Ruleset;
use crate::detect::matching::MatcherError;
use crate::flow::{self, EndCause, Flow, FlowRef, FlowTable, Keyed, Keyer, Lookup};
use crate::proto;
use crate::session::Session;
use crate::types::{Cause, Counter, Counters, ExceptionPolicy, IpProto, Policies, Shed, Timestamp, Verdict};
use path::{Fate, Path};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Timer slots and flows a packet may look at to end what has timed out.
const SWEEP_BUDGET: usize = 16;
/// The same for an idle worker, in one call.
const IDLE_BUDGET: usize = 64;
/// Packets decoded, and their flows fetched, before the first of them is looked at: as many as a cache holds.
const AHEAD: usize = 64;

pub struct Worker {
    decoder: Decoder,
    flows: FlowTable<Session>,
    keyer: Keyer,
    path: Path,
    /// Flows that a packet ended by being looked up; finished before it goes on.
    ended: Vec<(Flow<Session>, EndCause)>,
    /// Flows found timed out; finished at once.
    due: Vec<FlowRef>,
    spare: PacketList<'static>,
    keys: Vec<Option<Keyed>>,
}

impl Worker {
    /// A worker that shares with nobody.
    pub fn new(config: Arc<Config>, rules: Arc<Ruleset>) -> Result<Self, MatcherError> {
        let shared = Shared::alone(&config.limits, config.seed[0]);
        Self::sharing(config, rules, shared)
    }

    /// One of several workers of an engine.
    pub fn sharing(config: Arc<Config>, rules: Arc<Ruleset>, shared: Shared) -> Result<Self, MatcherError> {
        let config = fitted(config, &rules);
        let flows = FlowTable::new(config.flow, config.seed, config.limits.flows_max);
        Ok(Worker {
            decoder: Decoder::new(config.decode.clone(), &config.limits),
            keyer: flows.keyer(),
            flows,
            path: Path::new(config, rules, shared)?,
            ended: Vec::new(),
            due: Vec::new(),
            spare: Vec::new(),
            keys: Vec::new(),
        })
    }

    /// Another ruleset from the next batch on; its epoch is another one. No flow is visited: each compares epochs on its
    /// next packet, and then forgets what the old rules left with it. On an error the old ruleset stays.
    pub fn adopt(&mut self, rules: Arc<Ruleset>) -> Result<(), MatcherError> {
        self.path.adopt(rules)
    }

    /// Other settings from the next batch on: what headers and tunnels are read, how streams and protocols are, the
    /// exception policies, how long flows may be silent. What the worker was made to measure by stays: its mode and its
    /// limits, the keys of hashes and what tells flows apart, how fragments are put together, what is recorded.
    pub fn settle(&mut self, wanted: &Config) {
        let old = &*self.path.config;
        let config = Config {
            decode: Settings { defrag: old.decode.defrag.clone(), ..wanted.decode.clone() },
            flow: flow::Settings { key: old.flow.key, ..wanted.flow },
            stream: wanted.stream.clone(),
            proto: proto::Settings { log: old.proto.log.clone(), ..wanted.proto.clone() },
            policies: wanted.policies.clone(),
            ..old.clone()
        };
        let config = fitted(Arc::new(config), &self.path.rules);
        self.decoder.settle(config.decode.clone());
        self.flows.retime(config.flow);
        self.path.config = config;
    }

    /// Says who takes [`Output::offloads`]; without one nobody is asked what became of them.
    pub fn set_porter(&mut self, porter: Box<dyn Porter>) {
        self.path.porter = Some(porter);
    }

    /// Packets have passed unseen since the last batch, or before the first (a start, a restart, an opening of the wire):
    /// up to the packet time `until`, flows from before are taken up where they stand, each from its next transaction on,
    /// and no exception policy holds it against them that something is missing.
    pub const fn resync(&mut self, until: Timestamp) {
        self.path.resync(until);
    }

    /// How much inspection is left out from the next batch on, because there is no time for all of it. The caller measures
    /// the load, with a hysteresis of its own.
    pub const fn shed(&mut self, level: Shed) {
        self.path.load.level = level;
    }

    /// Takes a batch through every stage. `out.frames` holds one verdict per frame afterwards.
    pub fn process(&mut self, frames: &[Frame<'_>], out: &mut Output) {
        out.begin(frames.len());
        self.path.detector.begin_batch();
        for (base, part) in (0u32..).step_by(AHEAD).zip(frames.chunks(AHEAD)) {
            self.part(base, part, out);
        }
        self.path.count_verdicts(out);
        self.path.gather_counters();
        self.path.count_lost(out);
    }

    /// What has no state is done for all of the part first; `base`: its place in the batch.
    fn part(&mut self, base: u32, frames: &[Frame<'_>], out: &mut Output) {
        let mut packets = recycled(std::mem::take(&mut self.spare));
        for (index, frame) in (base..).zip(frames) {
            self.decoder.decode(frame, index, &mut packets, &mut self.path.counters);
        }
        let keys = self.look_ahead(&packets);
        let mut datagram = None;
        for ((index, packet), keyed) in packets.iter().zip(&keys) {
            let Some(frame) = frames.get((*index - base) as usize) else { continue };
            let fate = self.packet(packet, keyed.as_ref(), out);
            self.path.apply(fate, frame, *index, packet, out);
            datagram = packet.datagram.map(|d| (*index, d)).or(datagram.filter(|(i, _)| i == index));
            if let Some((_, d)) = datagram.filter(|_| !packet.flags.fragment) {
                self.path.note_datagram(d, *index, out);
            }
        }
        self.keys = keys;
        self.spare = recycled(packets);
    }

    /// The packets' keys; what their flows hold is on its way into the cache.
    fn look_ahead(&mut self, packets: &PacketList<'_>) -> Vec<Option<Keyed>> {
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        keys.extend(packets.iter().map(|(_, p)| self.keyer.keyed(p)));
        for k in keys.iter().flatten() {
            self.flows.fetch_ahead(k.hash);
        }
        for k in keys.iter().flatten() {
            self.flows.likely(k.hash).filter_map(|f| f.session.tcp.as_deref()).for_each(accel::prefetch);
        }
        keys
    }

    /// Ends every flow that is silent for longer than its time-out at `now`, as if packet `number` had been processed.
    /// With [`Config::paced`] this is the only sweep, so that several workers told the same end the same flows then.
    pub fn advance(&mut self, now: Timestamp, number: u64, out: &mut Output) {
        out.begin(0);
        self.path.now = self.path.now.max(now);
        self.path.number = number;
        self.flows.sweep(self.path.now, usize::MAX, &mut self.due);
        self.finish_in_order(EndCause::Timeout, number, out);
        self.path.gather_counters();
        self.path.count_lost(out);
    }

    /// The same a few flows at a time, for who must not be away for long. Whether none is left that is due.
    pub fn advance_some(&mut self, now: Timestamp, out: &mut Output) -> bool {
        out.begin(0);
        self.path.now = self.path.now.max(now);
        let all = self.flows.sweep(self.path.now, IDLE_BUDGET, &mut self.due);
        self.finish_due(out);
        self.path.gather_counters();
        self.path.count_lost(out);
        all
    }

    /// Takes the memory of as many flows' places as there may be at once, so that no packet has to wait for that.
    pub fn make_room(&mut self) {
        self.flows.make_room();
    }

    /// The input has ended: every flow ends, with what its streams still held inspected.
    pub fn finish(&mut self, out: &mut Output) {
        out.begin(0);
        self.due.extend(self.flows.refs());
        self.finish_in_order(EndCause::Shutdown, u64::MAX, out);
        self.path.gather_counters();
        self.path.count_lost(out);
    }

    /// The `stats` record of this worker alone; `uptime` in seconds.
    pub fn counters(&self) -> &Counters {
        &self.path.counters
    }

    /// How often each exception was met, by [`Cause`].
    pub fn exceptions(&self) -> &[u64; Cause::COUNT] {
        &self.path.exceptions
    }

    /// How often each decode event was raised.
    pub fn decode_events(&self) -> &[u64] {
        self.decoder.event_counts()
    }

    /// How often each stream event was raised.
    pub fn stream_events(&self) -> &[u64] {
        &self.path.stream_events
    }

    /// How much of each protocol passed.
    pub fn protocols(&self) -> &ProtocolCounts {
        &self.path.protocols
    }

    /// What is done about each exception.
    pub fn policies(&self) -> &Policies {
        &self.path.config.policies
    }

    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Time of the latest packet.
    pub fn now(&self) -> Timestamp {
        self.path.now
    }

    fn packet(&mut self, packet: &Packet<'_>, keyed: Option<&Keyed>, out: &mut Output) -> Fate {
        self.path.begin(packet);
        if !self.path.config.paced {
            self.flows.sweep(self.path.now, SWEEP_BUDGET, &mut self.due);
            self.finish_due(out);
        }
        let ended = &mut self.ended;
        let looked_up = keyed.map(|keyed| {
            self.flows.lookup(packet, keyed, |_| Session::default(), &mut |flow, cause| ended.push((flow, cause)))
        });
        if !self.ended.is_empty() {
            self.finish_ended(out);
        }
        match looked_up {
            None | Some(Lookup::None) => self.path.without_flow(packet, out),
            Some(Lookup::Full) => {
                self.path.counters.inc(Counter::FlowMemcap);
                let mut fate = Fate::default();
                self.path.exception(Cause::FlowMemcap, None, &mut fate);
                fate
            }
            Some(Lookup::New { flow }) => {
                self.count_new(packet);
                self.in_flow(flow, crate::types::Direction::ToServer, packet, out)
            }
            Some(Lookup::Found { flow, dir }) => self.in_flow(flow, dir, packet, out),
        }
    }

    fn in_flow(&mut self, at: FlowRef, dir: crate::types::Direction, packet: &Packet<'_>, out: &mut Output) -> Fate {
        let Some(flow) = self.flows.flow_mut(at) else { return Fate::default() };
        let before = flow.core.state;
        let alone = flow.session.blind;
        let path = &mut self.path;
        let fate = match catch_unwind(AssertUnwindSafe(|| path.in_flow(flow, dir, packet, out))) {
            Ok(fate) => fate,
            Err(_) if alone => self.path.fault(flow),
            Err(_) => {
                let mut fate = self.path.fault(flow);
                // What was too much may lie in the packets before this one.
                let path = &mut self.path;
                match catch_unwind(AssertUnwindSafe(|| path.by_itself(flow, dir, packet, &mut fate, out))) {
                    Ok(()) => fate,
                    Err(_) => self.path.fault(flow),
                }
            }
        };
        if flow.core.state != before {
            self.flows.settle(at);
        }
        fate
    }

    /// Finishes the flows that are due after packet `number`, in the order they began, whatever the table's.
    fn finish_in_order(&mut self, cause: EndCause, number: u64, out: &mut Output) {
        let mut due = std::mem::take(&mut self.due);
        let begun = |r: FlowRef| self.flows.flow(r).map(|f| (f.core.first_packet, f.core.flow_id));
        due.sort_by_cached_key(|r| begun(*r));
        for r in &due {
            let first = self.flows.flow(*r).map_or(0, |f| f.core.first_packet);
            self.path.detector.begin(Moment { number, ending: first.saturating_add(1) });
            self.finish_at(*r, cause, out);
        }
        due.clear();
        self.due = due;
    }

    /// Finishes the flows that are due, in the order they were found.
    fn finish_due(&mut self, out: &mut Output) {
        let mut due = std::mem::take(&mut self.due);
        for r in due.drain(..) {
            self.finish_at(r, EndCause::Timeout, out);
        }
        self.due = due;
    }

    fn finish_ended(&mut self, out: &mut Output) {
        let mut ended = std::mem::take(&mut self.ended);
        for (flow, cause) in &mut ended {
            self.path.finish(flow, *cause, out);
        }
        ended.clear();
        self.ended = ended;
    }

    fn finish_at(&mut self, r: FlowRef, cause: EndCause, out: &mut Output) {
        if let Some(flow) = self.flows.flow_mut(r) {
            self.path.finish(flow, cause, out);
        }
        self.flows.discard(r);
    }

    fn count_new(&mut self, packet: &Packet<'_>) {
        let counters = &mut self.path.counters;
        counters.inc(Counter::FlowNew);
        match packet.tuple.proto {
            IpProto::TCP => counters.inc(Counter::FlowTcp),
            IpProto::UDP => counters.inc(Counter::FlowUdp),
            IpProto::ICMP | IpProto::ICMPV6 => counters.inc(Counter::FlowIcmp),
            _ => {}
        }
    }
}

/// A configuration as workers use it: one part follows from another, and from the rules.
fn fitted(mut config: Arc<Config>, rules: &Ruleset) -> Arc<Config> {
    let c = Arc::make_mut(&mut config);
    if !matches!(c.policies.of(Cause::StreamMidstream), ExceptionPolicy::Ignore | ExceptionPolicy::PassFlow) {
        // Sessions that are turned away are not taken up.
        c.stream.midstream = false;
    }
    let logged = c.records.files.as_ref().map(|f| Hashes { md5: f.md5, sha1: f.sha1, sha256: f.sha256 });
    let hashes = rules.hashes().or(logged.unwrap_or_default());
    if hashes != Default::default() {
        c.proto.want_hashes(hashes);
    }
    c.stream.segments_max = c.limits.stream_segments_max;
    c.decode.defrag.refuse_contradictions |= c.mode == Mode::Inline;
    config
}

/// An emptied list that keeps its allocation while the borrow it names changes.
// `filter` would keep the old borrow in the type.
#[allow(clippy::unnecessary_filter_map)]
fn recycled<'b>(mut packets: PacketList<'_>) -> PacketList<'b> {
    packets.clear();
    packets.into_iter().filter_map(|_| None).collect()
}

impl Path {
    fn finish(&mut self, flow: &mut Flow<Session>, cause: EndCause, out: &mut Output) {
        match cause {
            EndCause::Timeout => self.counters.inc(Counter::FlowTimeout),
            EndCause::Evicted => self.counters.inc(Counter::FlowEvicted),
            EndCause::Reused | EndCause::Shutdown => {}
        }
        if catch_unwind(AssertUnwindSafe(|| self.end(flow, cause, out))).is_err() {
            self.fault(flow);
        }
    }

    /// Settles a packet's verdict into its frame's: the strictest of the frame's packets, one reason, one sid.
    fn apply(&mut self, fate: Fate, frame: &Frame<'_>, index: u32, packet: &Packet<'_>, out: &mut Output) {
        self.rewrite(&fate, frame, index, packet, out);
        if let Verdict::Reject(_, target) = fate.verdict {
            for reply in crate::action::reject(frame, packet, target) {
                self.counters.inc(Counter::Injected);
                out.injected.push(Injected { after: index, port: reply.port, data: reply.data, sid: fate.sid });
            }
        }
        if let Some(reason) = fate.verdict.reason() {
            self.counters.inc(reason.counter());
        }
        let Some(slot) = out.frames.get_mut(index as usize) else { return };
        let merged = slot.verdict.merge(fate.verdict);
        if merged != slot.verdict || slot.sid.is_none() && slot.rewritten.is_some() {
            slot.sid = fate.sid;
        }
        slot.verdict = merged;
    }

    fn count_lost(&mut self, out: &mut Output) {
        self.counters.add(Counter::RecordsLost, out.records.take_lost());
    }

    fn count_verdicts(&mut self, out: &Output) {
        for f in &out.frames {
            self.counters.inc(match f.verdict {
                Verdict::Forward if f.rewritten.is_some() => Counter::Replaced,
                Verdict::Forward => Counter::Forwarded,
                Verdict::Drop(_) => Counter::Dropped,
                Verdict::Reject(..) => Counter::Rejected,
            });
        }
    }
}
