//! Inspection that is left out when there is no time for all of it: which flows go uninspected first.
//!
//! The caller measures the load and names the level; here is decided, by what flows have shown of themselves and never by
//! a clock, which of them it means: those that buy most time for least visibility. Every level leaves a flow's first
//! [`BEGINNING_BYTES`] alone, where handshakes, requests and most exploits are. Packets of a flow that is shed are
//! forwarded and counted; the flow lives on, and when its level is over it is taken up where it stands then, as a flow of
//! which packets have passed unseen.

use super::Output;
use super::path::Path;
use super::report::Subject;
use crate::decode::Packet;
use crate::flow::Flow;
use crate::session::Session;
use crate::types::{Counter, Direction, IpProto, Shed};

/// Bytes of a flow, both ways and with headers, that are inspected under every level.
const BEGINNING_BYTES: u64 = 16 << 10;
/// What a packet costs for being one, and what each rule asked about it adds, in the same unit: about 30 ns.
const PACKET_COST: u64 = 20;
const CANDIDATE_COST: u64 = 5;
/// Flows are costly that cost so many times the mean per byte.
const COSTLY_TIMES: u128 = 2;
/// Bytes over which the mean is taken: what is older counts half, and half again.
const MEAN_BYTES: u64 = 1 << 26;

/// The level in force, and what all flows have cost of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub level: Shed,
    cost: u64,
    bytes: u64,
}

impl Path {
    /// Counts what the packet at hand has cost. `candidates`: how many rules were asked about it.
    pub(super) fn charge(&mut self, flow: &mut Flow<Session>, packet: &Packet<'_>, candidates: u64) {
        let cost = PACKET_COST + CANDIDATE_COST * candidates;
        flow.core.cost = flow.core.cost.saturating_add(cost);
        self.load.cost += cost;
        self.load.bytes += packet.bytes.as_slice().len() as u64;
        if self.load.bytes > MEAN_BYTES {
            self.load.cost /= 2;
            self.load.bytes /= 2;
        }
    }

    /// The packet goes uninspected, its flow being one of those that are shed.
    pub(super) fn shed(&mut self, flow: &mut Flow<Session>, subject: Subject<'_>, out: &mut Output) -> bool {
        if self.load.level == Shed::Nothing || flow.session.blind {
            flow.core.shed = Shed::Nothing;
            return false;
        }
        if flow.core.shed == Shed::Nothing || flow.core.shed > self.load.level {
            let level = self.shed_by(flow);
            if level == Shed::Nothing {
                flow.core.shed = level;
                return false;
            }
            if flow.core.shed == Shed::Nothing {
                self.counters.inc(Counter::ShedFlows);
                self.let_pass_unseen(flow, subject, out);
            }
            flow.core.shed = level;
        }
        self.counters.inc(Counter::ShedPackets);
        self.counters.inc(match flow.core.shed {
            Shed::Nothing | Shed::Bulk => Counter::ShedBulk,
            Shed::Costly => Counter::ShedCostly,
            Shed::AllButBeginnings => Counter::ShedRest,
        });
        flow.core.note_end_unseen();
        true
    }

    /// The mildest level that means this flow; nothing where the one in force does not.
    fn shed_by(&self, flow: &Flow<Session>) -> Shed {
        let core = &flow.core;
        let bytes = core.bytes.to_server.saturating_add(core.bytes.to_client);
        if bytes <= BEGINNING_BYTES {
            return Shed::Nothing;
        }
        let depth = self.config.stream.depth;
        let bulk = match flow.session.tcp.as_deref() {
            Some(tcp) if core.tuple.proto == IpProto::TCP => Direction::BOTH.into_iter().any(|d| tcp.depth_reached(d)),
            _ => depth > 0 && bytes > depth,
        };
        let costly = || {
            let mean = (u128::from(self.load.cost), u128::from(self.load.bytes.max(1)));
            u128::from(core.cost) * mean.1 > COSTLY_TIMES * mean.0 * u128::from(bytes)
        };
        let mildest = match self.load.level {
            _ if bulk => Shed::Bulk,
            level if level >= Shed::Costly && costly() => Shed::Costly,
            _ => Shed::AllButBeginnings,
        };
        if mildest <= self.load.level { mildest } else { Shed::Nothing }
    }
}
