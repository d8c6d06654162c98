//! The host table: what is remembered of addresses over all flows, shared by the workers of one engine.
//!
//! One of the three places that workers share and may change. Bounded by `Limits::hosts_max` for each of bits, counts and
//! tags; full, the entry begun first goes (`host.evicted`). Bits are kept under a hash of their name, so they outlive the
//! ruleset whose rules set them. A worker touches the table only where a rule asks for it, never for each packet.
//!
//! Several workers see packets in no order among them. Where the same input is to give the same answers however it is
//! divided, the caller hands in a [`Turn`], which lets each [`Moment`] come only after all earlier ones; without one
//! the accesses come as they come, and what one worker has set another sees at most a batch late.

use super::TagLeft;
use super::hosts::{Bounded, Until};
use crate::detect::signature::VarId;
use crate::detect::threshold::Counts;
use crate::types::Limits;
use smallvec::SmallVec;
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When in a run a worker touches shared state: in a packet, or at the end of a flow once all packets up to a number are
/// through. Flows that end together do so in the order they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Number of the packet; [`u64::MAX`] at the end of the input.
    pub number: u64,
    /// 0 in a packet, else one more than the number of the flow's first packet.
    pub ending: u64,
}

/// From a packet's first regular expression on, after so long no other is begun for it (`pcre-limit`).
pub const REGEX_TIME: Duration = Duration::from_millis(5);
/// The same of a batch, whose packets leave together.
pub const REGEX_TIME_BATCH: Duration = Duration::from_millis(40);

/// Keeps the workers' accesses in order.
pub trait Turn: Send + Sync {
    /// Returns once no other worker is at or before a moment earlier than `at`. Called with moments that never go back.
    fn wait(&self, at: Moment);
}

/// A bit's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BitName(u64);

impl BitName {
    pub(crate) fn new(name: &str) -> Self {
        let mut h = DefaultHasher::new();
        h.write(name.as_bytes());
        BitName(h.finish())
    }

    pub(crate) fn unnamed(id: VarId) -> Self {
        BitName(u64::from(id.0))
    }
}

/// A host, or a pair of hosts in order of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostKey {
    One(IpAddr),
    Pair(IpAddr, IpAddr),
}

/// Bits of one host or pair; at most this many are kept, the oldest goes.
pub(crate) const BITS_MAX: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct HostBits(pub SmallVec<[(BitName, Until); 2]>);

impl HostBits {
    pub(crate) fn set(&mut self, name: BitName, until: Until) {
        self.0.retain(|b| b.0 != name);
        if self.0.len() >= BITS_MAX {
            self.0.remove(0);
        }
        self.0.push((name, until));
    }

    pub(crate) fn unset(&mut self, name: BitName) -> bool {
        let n = self.0.len();
        self.0.retain(|b| b.0 != name);
        self.0.len() != n
    }
}

#[derive(Debug)]
pub(crate) struct Hosts {
    pub bits: Bounded<HostKey, HostBits>,
    pub counts: Counts,
    pub tags: Bounded<IpAddr, TagLeft>,
}

impl Hosts {
    fn evicted(&mut self) -> u64 {
        let each = [&mut self.bits.evicted, &mut self.counts.evicted, &mut self.tags.evicted];
        each.into_iter().map(std::mem::take).sum()
    }
}

/// See the module.
#[derive(Debug)]
pub struct HostTable(Mutex<Hosts>);

impl HostTable {
    /// `seed` keys the hashes: random live, fixed in replay.
    pub fn new(limits: &Limits, seed: u64) -> Self {
        let seed = super::hosts::Seeded(seed).hash_one("hosts");
        HostTable(Mutex::new(Hosts {
            bits: Bounded::new(limits.hosts_max, seed),
            counts: Bounded::new(limits.hosts_max, seed.wrapping_add(1)),
            tags: Bounded::new(limits.hosts_max, seed.wrapping_add(2)),
        }))
    }
}

/// What a worker has in common with others.
#[derive(Clone)]
pub struct Shared {
    pub hosts: Arc<HostTable>,
    /// This worker's place among those that share; `None` where accesses need no order.
    pub turn: Option<Arc<dyn Turn>>,
    /// A clock that does not stop, where packets wait while one is inspected: then regular expressions share
    /// [`REGEX_TIME`] of each packet and [`REGEX_TIME_BATCH`] of each batch. Without one the answers depend on nothing but the packets.
    pub clock: Option<fn() -> Duration>,
}

impl Shared {
    /// For a worker that shares with nobody.
    pub fn alone(limits: &Limits, seed: u64) -> Self {
        Shared { hosts: Arc::new(HostTable::new(limits, seed)), turn: None, clock: None }
    }

    /// Returns once this worker's turn to touch what is shared has come.
    pub(crate) fn wait(&self, at: Moment) {
        if let Some(turn) = &self.turn {
            turn.wait(at);
        }
    }

    /// Touches the table at its moment. Returns also how many entries had to go.
    pub(crate) fn with<R>(&self, at: Moment, touch: impl FnOnce(&mut Hosts) -> R) -> (R, u64) {
        self.wait(at);
        // A worker that failed while holding it left single entries unfinished at worst.
        let mut hosts = self.hosts.0.lock().unwrap_or_else(PoisonError::into_inner);
        let done = touch(&mut hosts);
        (done, hosts.evicted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Noted(Mutex<Vec<Moment>>);

    impl Turn for Noted {
        fn wait(&self, at: Moment) {
            self.0.lock().unwrap().push(at);
        }
    }

    #[test]
    fn every_access_takes_its_turn_and_tells_what_had_to_go() {
        let limits = Limits { hosts_max: 2, ..Limits::default() };
        let noted = Arc::new(Noted(Mutex::new(Vec::new())));
        let mut one = Shared::alone(&limits, 1);
        one.turn = Some(noted.clone());
        let other = one.clone();
        let host = |n: u8| HostKey::One(IpAddr::from([10, 0, 0, n]));
        let bit = BitName::new("seen");
        let moment = |number| Moment { number, ending: 0 };
        for n in 1..=2 {
            let (_, gone) = one.with(moment(n), |h| {
                h.bits.entry(host(n as u8), HostBits::default).set(bit, Until(None));
            });
            assert_eq!(gone, 0);
        }
        let seen = |h: &mut Hosts, n| h.bits.find(&host(n)).is_some_and(|b| b.0.iter().any(|b| b.0 == bit));
        assert!(other.with(moment(3), |h| seen(h, 1)).0, "what one sets the other sees");
        let (_, gone) = other.with(moment(4), |h| {
            h.bits.entry(host(9), HostBits::default);
        });
        assert_eq!(gone, 1);
        assert!(!one.with(moment(5), |h| seen(h, 1)).0);
        assert_eq!(noted.0.lock().unwrap()[..], [1, 2, 3, 4, 5].map(moment));
    }

    #[test]
    fn a_host_keeps_so_many_bits_and_loses_the_oldest() {
        let mut bits = HostBits::default();
        for n in 0..=BITS_MAX as u32 {
            bits.set(BitName::unnamed(VarId(n)), Until(None));
        }
        assert_eq!(bits.0.len(), BITS_MAX);
        assert!(!bits.unset(BitName::unnamed(VarId(0))) && bits.unset(BitName::unnamed(VarId(1))));
    }

    #[test]
    fn ends_come_after_packets_and_before_the_next() {
        let m = |number, ending| Moment { number, ending };
        let order = [m(1, 0), m(1, 1), m(1, 7), m(2, 0), m(u64::MAX, 1)];
        assert!(order.is_sorted());
    }
}
