//! Inspection: a packet with its flow, stream and transactions in; the signatures that match out.
//!
//! [`Detector::inspect`] asks, in this order, the address rules (once per flow and direction), the rules over packet and
//! stream, the rules over transactions; each gathers candidates from the prefilter and walks them in rule order, the
//! cheapest refusal first. What a match sets (flowbits and the like) is set at once, so that later rules see it. What
//! becomes of the hits (thresholds, pass, actions) is [`Detector::settle`]'s.
//!
//! A candidate refused for want of data, state or protocol waits in the flow, bounded; one that finds no room, a pcre at
//! its limit, and a spent budget are exceptions, reported beside the hits, never a silent "no match".

pub(crate) mod bytes;
pub(crate) mod content;
pub(crate) mod frames;
mod gather;
mod header;
#[cfg(test)]
mod match_suite;
pub(crate) mod needle;
pub(crate) mod ops;
mod payload;
mod settle;
#[cfg(test)]
mod tests;
mod tx;
#[cfg(test)]
mod tx_tests;
mod vars;

pub use gather::{Captured, Context, Said};
pub use settle::{Alert, Settled};

use super::compile::{Class, Compiled, Ruleset};
use super::matching::MatcherError;
use super::prefilter::{Candidates, Transport};
use super::signature::{PacketFacts, SigIdx};
use super::state::FlowDetect;
use super::state::shared::{BitName, Hosts, Moment, Shared};
use super::transforms_cache::TransformCache;
use crate::applayer::frames::Frame;
use crate::applayer::{AppParser, EventId, ProtoId, TxId};
use crate::types::{Cause, Counter, Counters, Limits};
use content::Work;
use smallvec::SmallVec;
use std::sync::Arc;

/// Steps one rule may spend on one packet or transaction; a step is a check tried or 64 bytes searched.
const STEPS_MAX: u32 = 20_000;

/// The packet's direction of the reassembled stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamInput<'a> {
    /// Position in the stream of `bytes[0]`.
    pub offset: u64,
    /// All that is still held, the new bytes last.
    pub bytes: &'a [u8],
    /// How many of `bytes`, at its end, have not been inspected.
    pub fresh: usize,
    /// They are not the next in order but ahead of a hole, or were here before and were sent again with other words.
    pub aside: bool,
    /// Nothing will follow.
    pub ended: bool,
}

/// One packet, or the end of a flow's direction.
pub struct PacketInput<'a> {
    pub facts: PacketFacts<'a>,
    pub established: bool,
    /// The payload was taken into the stream (now or, out of order, for later).
    pub in_stream: bool,
    pub stream: Option<StreamInput<'a>>,
    pub app: Option<&'a dyn AppParser>,
    /// Events of the parser that belong to no transaction, since the last packet.
    pub app_events: &'a [EventId],
    /// The payload is ciphertext: no payload rule looks at it.
    pub opaque: bool,
    /// No packet but the flow's end in this direction: what waits is decided on what is there.
    pub flow_end: bool,
}

/// How a signature matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HitKind {
    Address,
    Packet,
    Stream,
    Tx(TxId),
    Frame(Frame),
}

/// New bytes for a match: where, and which of the signature's `replace` entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Position in the packet's payload.
    pub at: u32,
    pub entry: u8,
}

/// A signature that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub sig: SigIdx,
    pub kind: HitKind,
    pub replace: SmallVec<[Replacement; 1]>,
    /// What its alert says beside.
    pub context: Context,
    /// It came when the packet had as many as are recorded: no alert, but a drop holds.
    pub late: bool,
}

impl Hit {
    pub fn tx(&self) -> Option<TxId> {
        match self.kind {
            HitKind::Tx(id) => Some(id),
            HitKind::Frame(frame) => frame.tx,
            _ => None,
        }
    }

    pub fn frame(&self) -> Option<Frame> {
        match self.kind {
            HitKind::Frame(frame) => Some(frame),
            _ => None,
        }
    }

    /// The match rests on more than this packet.
    pub fn stream_match(&self) -> bool {
        matches!(self.kind, HitKind::Stream | HitKind::Tx(_) | HitKind::Frame(_))
    }
}

/// Visibility lost while inspecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    pub cause: Cause,
    pub sig: SigIdx,
}

/// One worker's inspection: its working memory, and its share in what is remembered of hosts.
pub struct Detector {
    work: Work,
    candidates: Candidates,
    cache: TransformCache,
    folded: Vec<u8>,
    /// By [`super::signature::VarId`].
    bit_names: Arc<[BitName]>,
    exceptions: Vec<Exception>,
    packet_vars: Vec<Captured>,
    /// The packet is the first of its direction since the protocol spoken there is decided.
    just_detected: bool,
    counters: Counters,
    limits: Limits,
    inline: bool,
    epoch: u64,
}

impl Detector {
    /// `inline`: drops are carried out.
    pub fn new(rs: &Ruleset, limits: &Limits, inline: bool, shared: Shared) -> Result<Self, MatcherError> {
        Ok(Detector {
            work: Work::new(rs.scratch()?, shared),
            candidates: Candidates::new(rs.len()),
            cache: TransformCache::default(),
            folded: Vec::with_capacity(512),
            bit_names: rs.bit_names.clone(),
            exceptions: Vec::with_capacity(16),
            packet_vars: Vec::new(),
            just_detected: false,
            counters: Counters::default(),
            limits: limits.clone(),
            inline,
            epoch: rs.epoch(),
        })
    }

    /// A new ruleset from the next packet on. What is remembered of hosts stays.
    pub fn adopt(&mut self, rs: &Ruleset) -> Result<(), MatcherError> {
        self.work = Work::new(rs.scratch()?, self.work.shared.clone());
        self.candidates = Candidates::new(rs.len());
        self.bit_names = rs.bit_names.clone();
        self.epoch = rs.epoch();
        Ok(())
    }

    /// The packet, or the flow's end, that is inspected next.
    pub fn begin(&mut self, at: Moment) {
        self.work.turn_to(at);
    }

    /// The packets from here on are another batch.
    pub const fn begin_batch(&mut self) {
        self.work.turn_to_batch();
    }

    /// What this worker has in common with others.
    pub fn shared(&self) -> &Shared {
        &self.work.shared
    }

    fn touch_hosts<R>(&mut self, touch: impl FnOnce(&mut Hosts) -> R) -> R {
        let (done, evicted) = self.work.shared.with(self.work.at, touch);
        self.counters.add(Counter::HostsEvicted, evicted);
        done
    }

    /// Adds what was counted since the last call to `total`.
    pub fn drain_counters(&mut self, total: &mut Counters) {
        total.merge(&self.counters);
        self.counters = Counters::default();
    }

    /// Rules asked about packets since the counters were drained.
    pub const fn asked(&self) -> u64 {
        self.counters.of(Counter::DetectCandidates)
    }

    /// Exceptions of the last [`Detector::inspect`].
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// Inspects one packet; appends what matched to `out` in order of evaluation. `rs` is the ruleset this detector
    /// was made for or last adopted; with another one nothing is inspected.
    pub fn inspect(
        &mut self,
        rs: &Ruleset,
        input: &PacketInput<'_>,
        mut flow: Option<&mut FlowDetect>,
        out: &mut Vec<Hit>,
    ) {
        self.exceptions.clear();
        self.packet_vars.clear();
        if rs.is_empty() || self.epoch != rs.epoch() {
            return;
        }
        if let Some(f) = flow.as_deref_mut() {
            f.renew(rs.epoch());
            if f.passed {
                return;
            }
        }
        self.cache.clear();
        self.just_detected = false;
        if let (Some(f), Some(d)) = (flow.as_deref_mut(), input.facts.direction)
            && !f.told[d as usize]
            && input.facts.app_protos[d as usize].is_some()
        {
            f.told[d as usize] = true;
            self.just_detected = true;
        }
        if !input.flow_end {
            self.address_rules(rs, input, flow.as_deref_mut(), out);
        }
        self.packet_rules(rs, input, flow.as_deref_mut(), out);
        if let (Some(f), Some(dir)) = (flow, input.facts.direction) {
            self.flow_events(rs, ProtoId::ANY, input, f, dir, out);
            if let Some(app) = input.app {
                self.flow_events(rs, app.protocol(), input, f, dir, out);
                self.frame_rules(rs, input, f, app, dir, out);
                self.tx_rules(rs, input, f, app, dir, out);
            }
        }
    }

    /// Address rules: once per flow and direction, or for each packet without a flow. Packet rules that the addresses
    /// call up are remembered by the flow.
    fn address_rules(
        &mut self,
        rs: &Ruleset,
        input: &PacketInput<'_>,
        flow: Option<&mut FlowDetect>,
        out: &mut Vec<Hit>,
    ) {
        let p = input.facts.packet;
        if p.ip.is_none() || rs.addresses.is_empty() {
            return;
        }
        match (flow, input.facts.direction) {
            (Some(f), Some(dir)) => {
                let d = dir as usize;
                if f.begun[d] {
                    return;
                }
                f.begun[d] = true;
                let mut found = SmallVec::<[SigIdx; 8]>::new();
                rs.addresses.find(p.src(), p.dst(), |s| found.push(s));
                found.sort_unstable();
                found.dedup();
                for idx in found {
                    let Some(c) = rs.compiled(idx) else { continue };
                    if c.class != Class::IpOnly {
                        f.by_address[d].push(idx);
                    } else if self.address_rule(c, input, Some(&mut *f)) {
                        self.hit(c, idx, HitKind::Address, input, Some(&mut *f), out);
                    }
                }
            }
            _ => {
                let mut found = SmallVec::<[SigIdx; 8]>::new();
                rs.addresses.find(p.src(), p.dst(), |s| found.push(s));
                found.sort_unstable();
                found.dedup();
                for idx in found {
                    let Some(c) = rs.compiled(idx) else { continue };
                    if c.class != Class::IpOnly {
                        self.candidates.add(idx);
                    } else if self.address_rule(c, input, None) {
                        self.hit(c, idx, HitKind::Address, input, None, out);
                    }
                }
            }
        }
    }

    fn address_rule(&mut self, c: &Compiled, input: &PacketInput<'_>, flow: Option<&mut FlowDetect>) -> bool {
        header::matches(c, input, Transport::of(input.facts.packet)) == header::Answer::Yes
            && c.sig.packet_tests.iter().all(|t| t.matches(&input.facts))
            && self.state_holds(c, input, flow.as_deref(), None)
    }

    /// Records a match and carries out what it sets.
    fn hit(
        &mut self,
        c: &Compiled,
        idx: SigIdx,
        kind: HitKind,
        input: &PacketInput<'_>,
        mut flow: Option<&mut FlowDetect>,
        out: &mut Vec<Hit>,
    ) {
        if let (true, HitKind::Tx(id), Some(f)) = (c.sig.unlogged, kind, flow.as_deref_mut())
            && let Some(t) = f.tx_at_mut(id)
        {
            t.unlogged = true;
        }
        if c.flags.state_sets {
            let tx = match kind {
                HitKind::Tx(id) => Some(id),
                _ => None,
            };
            self.state_set(c, input, flow, tx);
        }
        out.push(Hit { sig: idx, kind, replace: SmallVec::new(), context: None, late: false });
    }

    fn exception(&mut self, cause: Cause, sig: SigIdx) {
        let counter = match cause {
            Cause::PcreLimit => Some(Counter::DetectPcreLimit),
            Cause::ParkedOverflow => Some(Counter::DetectParkedOverflow),
            Cause::InspectionBudget => Some(Counter::DetectBudget),
            _ => None,
        };
        if let Some(c) = counter {
            self.counters.inc(c);
        }
        // One packet cannot make this list long: past the bound they are counted alone.
        if self.exceptions.len() < 64 {
            self.exceptions.push(Exception { cause, sig });
        }
    }
}

const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Ruleset>();
    sent::<Detector>();
    sent::<FlowDetect>();
};
