//! The per-worker flow table: slab, index and wheel.
//!
//! Invariants: every live slot is in the index under its key's hash and in the wheel at or before its deadline; free
//! slots are in neither. A `FlowRef` to an ended flow finds nothing, since slots carry a generation. Time is packet
//! time: the table has no clock. A flow past its time-out is ended by the packet that would have continued it, swept or
//! not, so what a replay decides does not hang on when sweeps ran. When the table is full the cheapest of a few slots
//! under a moving hand goes: closed, then never answered, then idle longest; a condemned flow never, since its end would
//! lift a verdict.

use super::wheel::Wheel;
use super::{Flow, FlowCore, FlowState, Keyed, Keyer, Settings};
use crate::decode::{Packet, TcpFlags};
use crate::types::{Direction, Timestamp};
use hashbrown::HashTable;

/// Slots looked at to find one to evict.
const EVICTION_SAMPLE: usize = 32;

/// A flow's place in its table; stale once the flow has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowRef {
    index: u32,
    generation: u32,
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndCause {
    Timeout,
    /// Room was needed.
    Evicted,
    /// A new connection took its tuple.
    Reused,
    /// The input ended or the worker stopped.
    Shutdown,
}

impl EndCause {
    /// As EVE's `flow.reason` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            EndCause::Timeout => "timeout",
            EndCause::Evicted => "forced",
            EndCause::Reused => "tcp_reuse",
            EndCause::Shutdown => "shutdown",
        }
    }
}

/// The answer to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    Found {
        flow: FlowRef,
        dir: Direction,
    },
    /// The packet began a flow, always to the server; a session above may reverse it.
    New {
        flow: FlowRef,
    },
    /// The packet may not begin a flow (an ICMP error about an unknown one).
    None,
    /// No room, and nothing that may be evicted.
    Full,
}

#[derive(Debug)]
struct Slot<S> {
    generation: u32,
    hash: u64,
    flow: Option<Flow<S>>,
}

/// Slots in chunks, so that growing moves none and takes no more memory than it adds.
struct Slab<S> {
    chunks: Vec<Vec<Slot<S>>>,
}

impl<S> Slab<S> {
    const CHUNK: usize = 256;

    fn len(&self) -> usize {
        self.chunks.len().saturating_sub(1) * Self::CHUNK + self.chunks.last().map_or(0, Vec::len)
    }

    fn get(&self, index: u32) -> Option<&Slot<S>> {
        let index = index as usize;
        self.chunks.get(index / Self::CHUNK)?.get(index % Self::CHUNK)
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Slot<S>> {
        let index = index as usize;
        self.chunks.get_mut(index / Self::CHUNK)?.get_mut(index % Self::CHUNK)
    }

    /// Adds a free slot at the end.
    fn push(&mut self) -> u32 {
        let index = self.len() as u32;
        if self.chunks.last().is_none_or(|c| c.len() == Self::CHUNK) {
            self.chunks.push(Vec::with_capacity(Self::CHUNK));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(Slot { generation: 0, hash: 0, flow: None });
        }
        index
    }

    fn iter(&self) -> impl Iterator<Item = &Slot<S>> {
        self.chunks.iter().flatten()
    }
}

pub struct FlowTable<S> {
    slots: Slab<S>,
    free: Vec<u32>,
    index: HashTable<u32>,
    wheel: Wheel,
    keyer: Keyer,
    settings: Settings,
    flows_max: usize,
    hand: usize,
}

impl<S> FlowTable<S> {
    /// `seed` keys the hash and the flow ids: random live, fixed in replay.
    pub fn new(settings: Settings, seed: [u64; 2], flows_max: usize) -> Self {
        FlowTable {
            slots: Slab { chunks: Vec::new() },
            free: Vec::new(),
            index: HashTable::new(),
            wheel: Wheel::new(),
            keyer: Keyer::new(seed, settings.key),
            settings,
            flows_max: flows_max.min(u32::MAX as usize - 1),
            hand: 0,
        }
    }

    /// Other timeouts from now on; flows are told apart as they were.
    pub fn retime(&mut self, settings: Settings) {
        self.settings = Settings { key: self.settings.key, ..settings };
    }

    /// What makes keys for [`FlowTable::lookup`]; cheap to copy, so a batch can be hashed ahead.
    pub const fn keyer(&self) -> Keyer {
        self.keyer
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Asks the processor for what a look-up under this hash will touch.
    pub fn fetch_ahead(&self, hash: u64) {
        self.index.iter_hash(hash).filter_map(|i| self.slots.get(*i)).for_each(accel::prefetch);
    }

    /// Flows that a look-up under this hash may find: few, mostly one.
    pub fn likely(&self, hash: u64) -> impl Iterator<Item = &Flow<S>> {
        let slots = self.index.iter_hash(hash).filter_map(|i| self.slots.get(*i));
        slots.filter(move |s| s.hash == hash).filter_map(|s| s.flow.as_ref())
    }

    /// The packet's flow, begun if need be, with the packet counted. `make` builds the session of a new flow; `ended`
    /// receives flows that this packet ended (timed out, reused tuple, evicted for room).
    pub fn lookup(
        &mut self,
        packet: &Packet<'_>,
        keyed: &Keyed,
        make: impl FnOnce(&FlowCore) -> S,
        ended: &mut dyn FnMut(Flow<S>, EndCause),
    ) -> Lookup {
        if let Some(index) = self.find(keyed) {
            match self.stale(index, packet) {
                None => return self.found(index, packet, keyed),
                Some(cause) => self.end(index, cause, ended),
            }
        }
        if !keyed.may_begin {
            return Lookup::None;
        }
        if self.len() >= self.flows_max && !self.evict(packet.ts, ended) {
            return Lookup::Full;
        }
        self.begin(packet, keyed, make)
    }

    pub fn flow(&self, r: FlowRef) -> Option<&Flow<S>> {
        self.slots.get(r.index).filter(|s| s.generation == r.generation)?.flow.as_ref()
    }

    pub fn flow_mut(&mut self, r: FlowRef) -> Option<&mut Flow<S>> {
        self.slots.get_mut(r.index).filter(|s| s.generation == r.generation)?.flow.as_mut()
    }

    /// Tells the table that the flow's state changed (a TCP session closed): its deadline may now be nearer.
    pub fn settle(&mut self, r: FlowRef) {
        let Some(core) = self.flow(r).map(|f| &f.core) else { return };
        let (deadline, now) = (self.deadline(core), core.last.secs());
        if self.wheel.placed(r.index).is_none_or(|placed| deadline < placed) {
            self.wheel.place(r.index, deadline, now);
        }
    }

    /// Adds to `due` the flows silent for longer than their time-out, looking at no more than `budget` slots and flows.
    /// They stay until they are discarded: a flow is too large to be moved out for its end. Whether all was looked at.
    pub fn sweep(&mut self, now: Timestamp, mut budget: usize, due: &mut Vec<FlowRef>) -> bool {
        while let Some(index) = self.wheel.pop_due(now.secs(), &mut budget) {
            let Some(slot) = self.slots.get(index) else { continue };
            let Some(core) = slot.flow.as_ref().map(|f| &f.core) else { continue };
            let at = if self.timed_out(core, now) {
                due.push(FlowRef { index, generation: slot.generation });
                now.secs() + 1
            } else {
                self.deadline(core).max(self.wheel.cursor() + 1)
            };
            self.wheel.place(index, at, now.secs());
        }
        budget > 0
    }

    /// Room for as many flows as there may be: none is put in order again for the sake of one more.
    pub fn make_room(&mut self) {
        let slots = &self.slots;
        let more = self.flows_max.saturating_sub(self.index.len());
        self.index.reserve(more, |&i| slots.get(i).map_or(0, |s| s.hash));
        self.wheel.reserve(self.flows_max);
        self.free.reserve(self.flows_max.saturating_sub(self.free.len()));
    }

    /// Every live flow, in slot order.
    pub fn refs(&self) -> impl Iterator<Item = FlowRef> {
        let live = (0u32..).zip(self.slots.iter()).filter(|(_, s)| s.flow.is_some());
        live.map(|(index, s)| FlowRef { index, generation: s.generation })
    }

    /// The same, to look at.
    pub fn iter(&self) -> impl Iterator<Item = &Flow<S>> {
        self.slots.iter().filter_map(|s| s.flow.as_ref())
    }

    /// Lets go of one flow, where it lies; `false` when it has ended already.
    pub fn discard(&mut self, r: FlowRef) -> bool {
        let live = self.flow(r).is_some();
        if live {
            self.unfile(r.index);
            if let Some(slot) = self.slots.get_mut(r.index) {
                slot.flow = None;
            }
        }
        live
    }

    fn find(&self, keyed: &Keyed) -> Option<u32> {
        let slots = &self.slots;
        let same = |&i: &u32| {
            slots
                .get(i)
                .is_some_and(|s| s.hash == keyed.hash && s.flow.as_ref().is_some_and(|f| f.core.key == keyed.key))
        };
        self.index.find(keyed.hash, same).copied()
    }

    fn found(&mut self, index: u32, packet: &Packet<'_>, keyed: &Keyed) -> Lookup {
        let Some(slot) = self.slots.get_mut(index) else { return Lookup::None };
        let flow = FlowRef { index, generation: slot.generation };
        let Some(f) = slot.flow.as_mut() else { return Lookup::None };
        let dir = f.core.direction(keyed.from_lesser);
        f.core.count(packet, dir);
        Lookup::Found { flow, dir }
    }

    /// Whether `packet` cannot continue the flow, and why.
    fn stale(&self, index: u32, packet: &Packet<'_>) -> Option<EndCause> {
        let core = self.core_at(index)?;
        if self.timed_out(core, packet.ts) {
            return Some(EndCause::Timeout);
        }
        let tcp = packet.tcp()?;
        let syn = tcp.flags.has(TcpFlags::SYN) && !tcp.flags.any(TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN);
        let over = core.tcp.reusable || core.state == FlowState::Bypassed && core.ended_by_flags();
        (syn && over && core.tcp.client_isn != Some(tcp.seq)).then_some(EndCause::Reused)
    }

    fn begin(&mut self, packet: &Packet<'_>, keyed: &Keyed, make: impl FnOnce(&FlowCore) -> S) -> Lookup {
        let id = self.keyer.flow_id(&keyed.key, packet.number);
        let mut core = FlowCore::new(keyed.key, id, keyed.from_lesser, packet);
        core.count(packet, Direction::ToServer);
        let session = make(&core);
        let deadline = self.deadline(&core);
        let index = self.free.pop().unwrap_or_else(|| self.slots.push());
        let Some(slot) = self.slots.get_mut(index) else { return Lookup::Full };
        slot.hash = keyed.hash;
        slot.flow = Some(Flow { core, session });
        let flow = FlowRef { index, generation: slot.generation };
        let slots = &self.slots;
        let rehash = |&i: &u32| slots.get(i).map_or(0, |s| s.hash);
        self.index.insert_unique(keyed.hash, index, rehash);
        self.wheel.place(index, deadline, packet.ts.secs());
        Lookup::New { flow }
    }

    /// Makes room for one flow; false when nothing under the hand may go.
    fn evict(&mut self, now: Timestamp, ended: &mut dyn FnMut(Flow<S>, EndCause)) -> bool {
        let mut victim: Option<((u8, u64), u32)> = None;
        for _ in 0..EVICTION_SAMPLE.min(self.slots.len()) {
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            let Some(core) = self.core_at(self.hand as u32) else { continue };
            let Some(rank) = cheapness(core, now) else { continue };
            if victim.is_none_or(|(best, _)| rank < best) {
                victim = Some((rank, self.hand as u32));
            }
        }
        let Some((_, index)) = victim else { return false };
        self.end(index, EndCause::Evicted, ended);
        true
    }

    fn end(&mut self, index: u32, cause: EndCause, ended: &mut dyn FnMut(Flow<S>, EndCause)) {
        if let Some(flow) = self.take(index) {
            ended(flow, cause);
        }
    }

    fn take(&mut self, index: u32) -> Option<Flow<S>> {
        let flow = self.slots.get_mut(index)?.flow.take()?;
        self.unfile(index);
        Some(flow)
    }

    /// The slot is free: no reference, index or wheel leads to it.
    fn unfile(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.generation = slot.generation.wrapping_add(1);
        if let Ok(entry) = self.index.find_entry(slot.hash, |&i| i == index) {
            entry.remove();
        }
        self.wheel.remove(index);
        self.free.push(index);
    }

    fn core_at(&self, index: u32) -> Option<&FlowCore> {
        self.slots.get(index)?.flow.as_ref().map(|f| &f.core)
    }

    /// The first whole second in which the flow can be found timed out.
    fn deadline(&self, core: &FlowCore) -> u64 {
        core.last.saturating_add(self.settings.timeout(core)).secs()
    }

    fn timed_out(&self, core: &FlowCore, now: Timestamp) -> bool {
        now.since(core.last) > self.settings.timeout(core)
    }

    /// Index, slab, free list and wheel agree. Linear: called by tests, and by debug builds on small tables.
    #[cfg(any(test, debug_assertions))]
    pub fn invariants(&self) {
        let live = self.slots.iter().filter(|s| s.flow.is_some()).count();
        debug_assert_eq!(live, self.index.len());
        debug_assert_eq!(live + self.free.len(), self.slots.len());
        debug_assert_eq!(live, self.wheel.check());
        debug_assert!(live <= self.flows_max);
        for (i, s) in (0u32..).zip(self.slots.iter()) {
            let Some(f) = &s.flow else { continue };
            debug_assert!(self.index.find(s.hash, |&x| x == i).is_some());
            debug_assert!(f.core.first <= f.core.last && f.core.flow_id > 0 && f.core.flow_id < 1 << 53);
        }
    }
}

/// Order of eviction, least first; `None` for flows that must stay.
fn cheapness(core: &FlowCore, now: Timestamp) -> Option<(u8, u64)> {
    if core.is_condemned() || core.flags.pinned {
        return None;
    }
    let class = match core.state {
        FlowState::Closed => 0,
        FlowState::New => 1,
        FlowState::Bypassed | FlowState::Established => 2,
    };
    let idle = u64::try_from(now.since(core.last).as_nanos()).unwrap_or(u64::MAX);
    Some((class, u64::MAX - idle))
}
