//! What detection remembers: of a flow ([`FlowDetect`]), of hosts ([`shared`]).
//!
//! A flow's memory is bounded: variables by `Limits::flow_vars_max`, waiting candidates by `Limits::parked_max` per
//! direction and per transaction direction, transactions by what the parser keeps alive. A flow of two packets holds
//! nothing on the heap.

pub mod datasets;
pub(crate) mod hosts;
pub mod shared;
pub(crate) mod vars;

use super::prefilter::GroupList;
use super::signature::{SigIdx, VarId};
use super::threshold::Count;
use crate::applayer::{AppParser, Progress, TxId};
use crate::types::{Direction, Timestamp};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use thin_vec::ThinVec;
use vars::FlowVars;

/// Why a candidate waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For bytes; where known, for this content of this buffer match, absent up to this position.
    Data(Option<(u8, u16, u64)>),
    /// For a variable to change from this version on; all else matched.
    State(u32),
    /// For the protocol to be detected.
    Proto,
}

/// A candidate of the stream that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parked {
    pub sig: SigIdx,
    pub wait: Wait,
    /// Start of the window when it was parked: bytes before are of no use to it.
    pub from: u64,
}

/// A rule of which some checks matched a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partial {
    pub sig: SigIdx,
    /// By element.
    pub matched: u64,
    pub missing: Option<(u8, u16, u64)>,
}

/// One direction of one transaction.
#[derive(Debug, Default)]
pub(crate) struct TxDir {
    /// Inspected to its end.
    pub done: bool,
    pub seen: bool,
    pub progress: Progress,
    pub events: u32,
    /// Scans that need not run again, by index.
    pub scanned: SmallVec<[u64; 2]>,
    /// Of scans that go on: number and instance, position or next instance.
    pub marks: SmallVec<[((u16, u16), u64); 1]>,
    pub partial: ThinVec<Partial>,
    /// Sorted.
    pub fired: ThinVec<SigIdx>,
}

#[derive(Debug, Default)]
pub(crate) struct TxState {
    pub dirs: [TxDir; 2],
    /// Bits of the transaction's own scope.
    pub bits: ThinVec<VarId>,
    /// A rule has taken it from the log.
    pub unlogged: bool,
}

impl TxState {
    /// As if nothing of the transaction had been seen; lists keep their room.
    fn emptied(mut self) -> Self {
        for d in &mut self.dirs {
            let mut old = std::mem::take(d);
            old.scanned.clear();
            old.marks.clear();
            old.partial.clear();
            old.fired.clear();
            *d = TxDir {
                scanned: old.scanned,
                marks: old.marks,
                partial: old.partial,
                fired: old.fired,
                ..TxDir::default()
            };
        }
        self.bits.clear();
        self.unlogged = false;
        self
    }
}

/// An active session tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagLeft {
    Packets(u32),
    Bytes(u64),
    Until(Timestamp),
}

impl TagLeft {
    /// Counts a packet of so many bytes; says whether it is still tagged.
    pub(crate) fn spend(&mut self, bytes: u64, now: Timestamp) -> bool {
        match self {
            TagLeft::Packets(0) => false,
            TagLeft::Packets(n) => {
                *n -= 1;
                true
            }
            TagLeft::Bytes(n) => match n.checked_sub(bytes) {
                None => false,
                Some(left) => {
                    *n = left;
                    true
                }
            },
            TagLeft::Until(t) => now <= *t,
        }
    }
}

/// Detection's memory of one flow; the session owns it.
#[derive(Debug, Default)]
pub struct FlowDetect {
    pub(crate) epoch: u64,
    /// Address rules have been asked, by direction.
    pub(crate) begun: [bool; 2],
    /// Packet rules that the flow's addresses qualify, by direction.
    pub(crate) by_address: [ThinVec<SigIdx>; 2],
    /// Payload groups of the flow's ports, by direction, once looked up.
    pub(crate) groups: [Option<GroupList>; 2],
    pub(crate) vars: FlowVars,
    pub(crate) parked: [ThinVec<Parked>; 2],
    /// Rules without a fast pattern that have matched the stream, by direction; sorted.
    pub(crate) stream_fired: [ThinVec<SigIdx>; 2],
    /// Rules over the stream that have matched a packet outside of it, by direction; sorted.
    pub(crate) packet_fired: [ThinVec<SigIdx>; 2],
    /// Rules that have matched bytes ahead of a hole, and up to where: those are not told again once they are in order.
    pub(crate) aside_fired: Vec<(Direction, SigIdx, u64)>,
    /// State of transactions `base..`.
    pub(crate) txs: VecDeque<TxState>,
    pub(crate) base: u64,
    /// Transactions below are inspected to their end, by direction.
    pub(crate) tx_from: [u64; 2],
    /// No rule looks at transactions of this flow's protocol in this direction.
    pub(crate) tx_unwatched: [bool; 2],
    /// Rules that matched a frame still of interest, with its number, by direction.
    pub(crate) frames_fired: [ThinVec<(u64, SigIdx)>; 2],
    pub(crate) counts: ThinVec<(u32, u32, Count)>,
    pub(crate) tag: Option<TagLeft>,
    pub(crate) passed: bool,
    /// Rules about the detected protocol have been asked, by direction.
    pub(crate) told: [bool; 2],
    /// Captures and measurements; few flows have any.
    said: Option<Box<FlowSaid>>,
}

/// What rules found to say of a flow.
#[derive(Debug, Default)]
struct FlowSaid {
    captured: Vec<(Arc<str>, Box<[u8]>)>,
    measured: Vec<(VarId, f64)>,
}

impl FlowDetect {
    pub fn new() -> Self {
        Self::default()
    }

    /// Something of the flow is remembered for packets to come.
    pub(crate) fn is_waiting(&self) -> bool {
        let lists = self.by_address.iter().any(|l| !l.is_empty()) || self.parked.iter().any(|l| !l.is_empty());
        lists || self.tag.is_some()
    }

    /// Packets to come are logged for a rule's sake.
    pub(crate) const fn is_tagged(&self) -> bool {
        self.tag.is_some()
    }

    /// Rules about addresses have been asked in both directions.
    pub(crate) fn is_asked(&self) -> bool {
        self.begun == [true; 2]
    }

    /// A pass rule has let the whole flow go: nothing more is inspected.
    pub fn passed(&self) -> bool {
        self.passed
    }

    /// Flow bits set, by interned name (`Ruleset::var_name`).
    pub fn bits(&self) -> &[VarId] {
        self.vars.bits()
    }

    /// Flow integers set.
    pub fn ints(&self) -> &[(VarId, u32)] {
        self.vars.ints()
    }

    /// Values that expressions captured, by name, in the order of their first.
    pub fn captured(&self) -> &[(Arc<str>, Box<[u8]>)] {
        self.said.as_ref().map_or(&[], |s| &s.captured)
    }

    /// Numbers that checks measured, by interned name.
    pub fn measured(&self) -> &[(VarId, f64)] {
        self.said.as_ref().map_or(&[], |s| &s.measured)
    }

    /// Keeps a capture; a later one of its name takes its place, one past the bound is lost.
    pub(crate) fn capture(&mut self, name: Arc<str>, value: Box<[u8]>, max: usize) {
        let said = self.said.get_or_insert_default();
        if let Some(c) = said.captured.iter_mut().find(|c| c.0 == name) {
            c.1 = value;
        } else if said.captured.len() < max {
            said.captured.push((name, value));
        }
    }

    pub(crate) fn measure(&mut self, name: VarId, x: f64, max: usize) {
        let said = self.said.get_or_insert_default();
        if let Some(m) = said.measured.iter_mut().find(|m| m.0 == name) {
            m.1 = x;
        } else if said.measured.len() < max {
            said.measured.push((name, x));
        }
    }

    /// The flow speaks another protocol from here on: what was known of the old one's transactions is forgotten, and
    /// numbers begin again.
    pub fn protocol_switched(&mut self) {
        self.txs.clear();
        self.base = 0;
        self.tx_from = [0; 2];
        self.tx_unwatched = [false; 2];
        self.frames_fired = Default::default();
    }

    /// The lowest stream position that a waiting candidate of `dir` still looks at; `None` where nothing waits. The
    /// stream may let go of what lies before.
    pub fn keep_from(&self, dir: Direction) -> Option<u64> {
        self.parked[dir as usize].iter().map(|p| p.from).min()
    }

    /// The first transaction that must be kept: all before it are finished by the protocol and inspected, both ways.
    /// `unseen` is a direction that is waited for in vain.
    pub fn free_before(&self, app: &dyn AppParser, unseen: Option<Direction>) -> TxId {
        let (first, next) = app.transactions();
        let mut id = first;
        while id < next {
            let Some(tx) = app.transaction(id) else {
                id = TxId(id.0 + 1);
                continue;
            };
            let done = |d: Direction| {
                unseen == Some(d)
                    || tx.one_way().is_some_and(|way| way != d)
                    || tx.progress(d) == Progress::DONE && (self.tx_unwatched[d as usize] || self.inspected(id, d))
            };
            if !Direction::BOTH.into_iter().all(done) {
                break;
            }
            id = TxId(id.0 + 1);
        }
        id
    }

    /// Whether one direction of a transaction has been inspected to its end.
    pub fn inspected(&self, id: TxId, dir: Direction) -> bool {
        if self.tx_unwatched[dir as usize] || id.0 < self.tx_from[dir as usize] {
            return true;
        }
        let i = id.0.checked_sub(self.base).and_then(|i| usize::try_from(i).ok());
        match i {
            Some(i) => self.txs.get(i).is_some_and(|t| t.dirs[dir as usize].done),
            None => true,
        }
    }

    /// A rule has taken the transaction from the log.
    pub fn unlogged(&self, id: TxId) -> bool {
        self.tx_at(id).is_some_and(|t| t.unlogged)
    }

    /// Bytes held for transactions, what they hold elsewhere not counted.
    pub fn tx_memory(&self) -> usize {
        self.txs.capacity() * size_of::<TxState>()
    }

    /// A rule has matched bytes ahead of a hole, which end at `upto`. At most `max` rules are remembered.
    pub(crate) fn fired_aside(&mut self, dir: Direction, sig: SigIdx, upto: u64, max: usize) {
        let room = self.aside_fired.len() < max;
        match self.aside_fired.iter_mut().find(|(d, s, _)| (*d, *s) == (dir, sig)) {
            Some((_, _, end)) => *end = upto.max(*end),
            None if room => self.aside_fired.push((dir, sig, upto)),
            None => {}
        }
    }

    /// Up to where a rule has matched ahead of a hole.
    pub(crate) fn aside_until(&self, dir: Direction, sig: SigIdx) -> u64 {
        self.aside_fired.iter().find(|(d, s, _)| (*d, *s) == (dir, sig)).map_or(0, |(_, _, end)| *end)
    }

    /// A new ruleset: what was known by its signatures' numbers is forgotten, variables stay.
    pub(crate) fn renew(&mut self, epoch: u64) {
        if self.epoch == epoch {
            return;
        }
        let vars = std::mem::take(&mut self.vars);
        let (base, tx_from) = (self.base, self.tx_from);
        let first = self.epoch == 0;
        *self = FlowDetect { epoch, vars, base, tx_from, ..FlowDetect::default() };
        if !first {
            // Names are interned per ruleset, so old numbers would mean other variables.
            self.vars.clear();
        }
    }

    /// Forgets transactions before `first`, and makes sure there is room for `id`.
    pub(crate) fn tx(&mut self, first: TxId, id: TxId) -> Option<&mut TxState> {
        let mut spare = None;
        while self.base < first.0 {
            spare = self.txs.pop_front().or(spare);
            if self.txs.is_empty() {
                self.base = first.0;
                break;
            }
            self.base += 1;
        }
        let i = usize::try_from(id.0.checked_sub(self.base)?).ok()?;
        // A parser numbers without gaps and keeps a bounded number alive, so this grows by that bound at most.
        while self.txs.len() <= i {
            if self.txs.len() >= 1 << 16 {
                return None;
            }
            // Most flows have one.
            if self.txs.is_empty() {
                self.txs.reserve_exact(1);
            }
            self.txs.push_back(spare.take().map_or_else(TxState::default, TxState::emptied));
        }
        self.txs.get_mut(i)
    }

    pub(crate) fn tx_at(&self, id: TxId) -> Option<&TxState> {
        self.txs.get(usize::try_from(id.0.checked_sub(self.base)?).ok()?)
    }

    pub(crate) fn tx_at_mut(&mut self, id: TxId) -> Option<&mut TxState> {
        self.txs.get_mut(usize::try_from(id.0.checked_sub(self.base)?).ok()?)
    }

    /// Parks a candidate, or, where it is parked already, renews why it waits. When full the oldest goes: `false`.
    pub(crate) fn park(&mut self, dir: Direction, p: Parked, max: usize) -> bool {
        let list = &mut self.parked[dir as usize];
        if let Some(old) = list.iter_mut().find(|o| o.sig == p.sig) {
            old.wait = p.wait;
            return true;
        }
        let room = list.len() < max.max(1);
        if !room {
            list.remove(0);
        }
        list.push(p);
        room
    }

    pub(crate) fn unpark(&mut self, dir: Direction, sig: SigIdx) {
        self.parked[dir as usize].retain(|p| p.sig != sig);
    }
}

/// Adds to a sorted short list; `false` when it was there.
pub(crate) fn insert_sorted(list: &mut ThinVec<SigIdx>, sig: SigIdx) -> bool {
    match list.binary_search(&sig) {
        Ok(_) => false,
        Err(at) => {
            list.insert(at, sig);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parking_is_bounded_and_forgets_the_oldest() {
        let mut f = FlowDetect::new();
        let p = |sig, from| Parked { sig: SigIdx(sig), wait: Wait::Proto, from };
        let d = Direction::ToServer;
        assert!(f.park(d, p(1, 10), 2) && f.park(d, p(2, 5), 2) && f.park(d, p(1, 99), 2));
        assert_eq!(f.keep_from(d), Some(5));
        assert!(!f.park(d, p(3, 20), 2));
        assert_eq!(f.parked[0].iter().map(|p| p.sig.0).collect::<Vec<_>>(), [2, 3]);
        f.unpark(d, SigIdx(2));
        assert_eq!((f.keep_from(d), f.keep_from(d.flip())), (Some(20), None));
    }

    #[test]
    fn transactions_slide() {
        let mut f = FlowDetect::new();
        f.tx(TxId(0), TxId(2)).unwrap().dirs[0].done = true;
        assert_eq!(f.txs.len(), 3);
        assert!(f.inspected(TxId(2), Direction::ToServer) && !f.inspected(TxId(1), Direction::ToServer));
        f.tx(TxId(2), TxId(2)).unwrap();
        assert_eq!((f.base, f.txs.len()), (2, 1));
        assert!(f.tx(TxId(2), TxId(1)).is_none());
        f.tx(TxId(900_000), TxId(900_000)).unwrap();
        assert_eq!((f.base, f.txs.len()), (900_000, 1));
    }
}
