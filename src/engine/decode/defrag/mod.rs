//! Defragmentation of IPv4 (RFC 791 3.2) and IPv6 (RFC 8200 4.5), the way the receiver would.
//!
//! Owns the datagrams under reassembly of one worker. Bounded by `Limits::defrag_datagrams_max`,
//! `Limits::defrag_bytes_max` and `Limits::defrag_fragments_max`; a datagram lives at most the configured time after its first fragment, in packet time, and
//! is given up by a queue in order of birth, swept a few at a time. A fragment that finds no room is reported, never
//! silently lost. Receivers disagree about overlapping fragments, so who wins is a policy, chosen by destination address.
//!
//! A key holds the VLAN stack, port and tunnel depth besides what the RFCs name: the same datagram may pass the box twice.
//! Knows nothing of flows.

mod datagram;
mod policy;

pub use policy::{ByHost, HostPolicies, OverlapPolicy};

use super::context::Fragment;
use super::events;
use super::packet::{Packet, PortId, VlanStack};
use crate::types::{Counter, Counters, Limits, Timestamp};
use datagram::{Added, Datagram};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::net::IpAddr;
use std::time::Duration;

/// Datagrams given up for age per fragment at most: twice what a fragment can begin, so that the queue drains.
const SWEEP: usize = 2;

/// What an operator may choose about defragmentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefragSettings {
    /// How long a datagram may wait for its fragments, from the first on; 60 s (RFC 8200 4.5).
    pub timeout: Duration,
    /// The same for some destinations.
    pub timeouts: ByHost<Option<Duration>>,
    /// Who wins an overlap, by destination. Enforcing, take [`HostPolicies::all`] of [`OverlapPolicy::First`].
    pub hosts: HostPolicies,
    /// A fragment that contradicts what is held of its datagram is refused, and so is one that is empty, or is not the last
    /// and ends within a unit of 8 bytes: set by a worker that enforces.
    pub refuse_contradictions: bool,
    /// Fragments of different VLANs belong to different datagrams.
    pub use_vlan: bool,
    /// Fragments in tunnels of different depth belong to different datagrams.
    pub use_depth: bool,
    /// Key of the table's hash: random live and logged, fixed in replay.
    pub hash_seed: u64,
}

impl Default for DefragSettings {
    fn default() -> Self {
        DefragSettings {
            timeout: Duration::from_secs(60),
            timeouts: ByHost::all(None),
            hosts: HostPolicies::all(OverlapPolicy::Windows),
            refuse_contradictions: false,
            use_vlan: true,
            use_depth: true,
            hash_seed: 0,
        }
    }
}

/// Which datagram a fragment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    /// Zero for IPv6, whose later fragments need not say what the first carries (RFC 8200 4.5).
    proto: u8,
    depth: u8,
    port: PortId,
    vlan: VlanStack,
}

impl Key {
    pub fn new(p: &Packet<'_>, f: &Fragment) -> Self {
        let proto = if p.tuple.src.is_ipv4() { f.proto } else { 0 };
        Key { src: p.tuple.src, dst: p.tuple.dst, id: f.id, proto, depth: p.depth, port: p.port, vlan: p.vlan }
    }
}

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Kept, or not needed.
    Held,
    /// It completed its datagram: the packet with the link of its first fragment, and where its IP header begins.
    Whole(Box<[u8]>, usize),
    /// No room.
    Full,
    /// It contradicts what is held, or is one that receivers differ over.
    Refused,
}

#[derive(Clone, Debug)]
struct Seeded(u64);

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut h = DefaultHasher::new();
        h.write_u64(self.0);
        h
    }
}

pub(super) struct Defrag {
    settings: DefragSettings,
    datagrams_max: usize,
    bytes_max: usize,
    fragments_max: usize,
    table: HashMap<Key, Datagram, Seeded>,
    /// In order of birth; an entry whose datagram is done or reborn (another birth) is passed over. Never longer than
    /// twice the table's bound.
    births: VecDeque<(Timestamp, u64, Key)>,
    born: u64,
    bytes: usize,
    fragments: usize,
}

impl Defrag {
    pub fn new(settings: DefragSettings, limits: &Limits) -> Self {
        let seed = settings.hash_seed;
        Defrag {
            settings,
            datagrams_max: limits.defrag_datagrams_max,
            bytes_max: limits.defrag_bytes_max,
            fragments_max: limits.defrag_fragments_max,
            table: HashMap::with_hasher(Seeded(seed)),
            births: VecDeque::new(),
            born: 0,
            bytes: 0,
            fragments: 0,
        }
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        self.bytes
    }

    /// Which datagram a fragment is of, as the settings tell datagrams apart.
    pub fn key(&self, p: &Packet<'_>, f: &Fragment) -> Key {
        let mut key = Key::new(p, f);
        if !self.settings.use_vlan {
            key.vlan = VlanStack::default();
        }
        if !self.settings.use_depth {
            key.depth = 0;
        }
        key
    }

    /// A short name of a datagram, for those who remember what became of it.
    pub fn name(&self, key: &Key) -> Option<std::num::NonZeroU64> {
        std::num::NonZeroU64::new(self.table.hasher().hash_one(key) | 1)
    }

    /// Takes one fragment of `p`, whose bytes are `bytes`; its events go to `p`.
    pub fn insert(
        &mut self,
        key: Key,
        f: &Fragment,
        bytes: &[u8],
        p: &mut Packet<'_>,
        counters: &mut Counters,
    ) -> Outcome {
        let v6 = key.src.is_ipv6();
        counters.inc(if v6 { Counter::DefragFragments6 } else { Counter::DefragFragments });
        self.expire(p.ts, counters);
        let outcome = self.take(key, f, bytes, p, counters);
        counters.set(Counter::DefragMemory, self.bytes as u64);
        self.invariants();
        outcome
    }

    fn take(&mut self, key: Key, f: &Fragment, bytes: &[u8], p: &mut Packet<'_>, counters: &mut Counters) -> Outcome {
        let v6 = key.src.is_ipv6();
        let (header, mut data) = (f.header.of(bytes), f.data.of(bytes));
        let front = bytes.get(..f.header.start as usize).unwrap_or(&[]);
        let policy = self.settings.hosts.of(key.dst);
        let odd = if f.more && !v6 { data.len() % 8 } else { 0 };
        if self.settings.refuse_contradictions && (odd > 0 || data.is_empty()) {
            // No sender makes such, and receivers differ over them: one takes it, one cuts it, one forgets the datagram.
            p.event(if v6 { events::IPV6_FRAG_IGNORED } else { events::IPV4_FRAG_IGNORED });
            return Outcome::Refused;
        }
        if policy == OverlapPolicy::Linux {
            data = data.get(..data.len() - odd).unwrap_or(data);
        }
        if !self.acceptable(f, header.len(), data.len(), policy, p) {
            return Outcome::Held;
        }
        if self.table.get(&key).is_some_and(|d| p.ts.since(d.born) > d.timeout) {
            counters.inc(Counter::DefragReuse);
            self.remove(&key);
        }
        if !self.table.contains_key(&key) && !self.begin(key, p.ts) {
            counters.inc(Counter::DefragMemcap);
            return Outcome::Full;
        }
        let ignored = if v6 { events::IPV6_FRAG_IGNORED } else { events::IPV4_FRAG_IGNORED };
        if self.fragments >= self.fragments_max {
            counters.inc(Counter::DefragNoFragments);
            p.event(ignored);
            return Outcome::Full;
        }
        let room = (self.bytes_max.saturating_sub(self.bytes), self.fragments_max.saturating_sub(self.fragments));
        let Some(d) = self.table.get_mut(&key) else { return Outcome::Full };
        if self.settings.refuse_contradictions && d.contradicts(f, data) {
            p.event(if v6 { events::IPV6_FRAG_OVERLAP } else { events::IPV4_FRAG_OVERLAP });
            return Outcome::Refused;
        }
        let before = (d.cost(), d.held());
        let added = d.add(f, front, header, data, room);
        self.bytes = (self.bytes + d.cost()).saturating_sub(before.0);
        self.fragments = (self.fragments + d.held()).saturating_sub(before.1);
        match added {
            Added::Full => {
                counters.inc(Counter::DefragMemcap);
                p.event(ignored);
                Outcome::Full
            }
            Added::Kept { overlap } => {
                if overlap {
                    p.event(if v6 { events::IPV6_FRAG_OVERLAP } else { events::IPV4_FRAG_OVERLAP });
                }
                match d.whole(v6) {
                    Some((datagram, at)) => {
                        counters.inc(if v6 { Counter::DefragReassembled6 } else { Counter::DefragReassembled });
                        self.remove(&key);
                        Outcome::Whole(datagram, at)
                    }
                    None => Outcome::Held,
                }
            }
        }
    }

    /// Whether the fragment could be part of any datagram; events where not.
    fn acceptable(
        &self,
        f: &Fragment,
        header_len: usize,
        data_len: usize,
        policy: OverlapPolicy,
        p: &mut Packet<'_>,
    ) -> bool {
        let v6 = p.tuple.src.is_ipv6();
        let fixed = if v6 { 40 } else { 0 };
        let end = f.offset as usize + data_len + header_len.saturating_sub(fixed);
        if end > usize::from(u16::MAX) {
            p.event(if v6 { events::IPV6_FRAG_PKT_TOO_LARGE } else { events::IPV4_FRAG_PKT_TOO_LARGE });
            return false;
        }
        // A fragment that is not the last and ends off an 8-byte boundary is thrown away by receivers (RFC 8200 4.5).
        let off_boundary = v6 && f.more && !data_len.is_multiple_of(8);
        // An empty last one says where the datagram ends, to BSD's receivers.
        let ends = !f.more && matches!(policy, OverlapPolicy::Bsd | OverlapPolicy::BsdRight);
        !off_boundary && (data_len > 0 || ends)
    }

    /// Begins a datagram; false when there is no room for one.
    fn begin(&mut self, key: Key, ts: Timestamp) -> bool {
        if self.table.len() >= self.datagrams_max {
            return false;
        }
        let policy = self.settings.hosts.of(key.dst);
        let timeout = self.settings.timeouts.of(key.dst).unwrap_or(self.settings.timeout);
        self.born = self.born.wrapping_add(1);
        if self.births.len() >= self.datagrams_max.saturating_mul(2).max(64) {
            let table = &self.table;
            self.births.retain(|(_, birth, key)| table.get(key).is_some_and(|d| d.birth == *birth));
        }
        self.births.push_back((ts, self.born, key));
        let d = Datagram::new(policy, timeout, ts, self.born);
        self.bytes += d.cost();
        self.table.insert(key, d);
        true
    }

    /// Gives up the oldest datagrams that are out of time.
    fn expire(&mut self, now: Timestamp, counters: &mut Counters) {
        let mut given_up = 0;
        while let Some(&(born, birth, key)) = self.births.front() {
            // One that may wait for long holds up those behind it, which are looked at when their fragments come.
            if let Some(d) = self.table.get(&key).filter(|d| d.birth == birth) {
                if given_up == SWEEP || now.since(born) <= d.timeout {
                    break;
                }
                given_up += 1;
                counters.inc(Counter::DefragTimeout);
                self.remove(&key);
            }
            self.births.pop_front();
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(d) = self.table.remove(key) {
            self.bytes = self.bytes.saturating_sub(d.cost());
            self.fragments = self.fragments.saturating_sub(d.held());
        }
    }

    /// What holds after every call: bytes add up, bounds hold, every datagram has its birth in the queue.
    #[cfg(debug_assertions)]
    fn invariants(&self) {
        debug_assert!(self.table.len() <= self.datagrams_max);
        // Looking at every datagram is for small tables: the tests'.
        if self.table.len() > 16 {
            return;
        }
        debug_assert_eq!(self.bytes, self.table.values().map(Datagram::cost).sum::<usize>());
        debug_assert_eq!(self.fragments, self.table.values().map(Datagram::held).sum::<usize>());
        for d in self.table.values() {
            d.invariants();
            debug_assert!(self.births.iter().any(|(_, birth, _)| *birth == d.birth));
        }
    }

    #[cfg(not(debug_assertions))]
    fn invariants(&self) {}
}

/// For fuzzing: the first byte chooses a policy and, from 14 and 28 on, IPv6 and in line; then each 8 bytes are a fragment
/// of one of four datagrams: which, offset, length, more, time, what it is filled with.
pub fn fuzz_target(data: &[u8]) {
    use super::{Decoder, Frame, LinkType, Settings};
    let Some((&first, rest)) = data.split_first() else { return };
    let policies = OverlapPolicy::ALL;
    let policy = policies.get(usize::from(first) % policies.len()).copied().unwrap_or(OverlapPolicy::First);
    let mut settings = Settings { verify_checksums: false, ..Settings::default() };
    settings.defrag.hosts = HostPolicies::all(policy);
    let (v6, inline) = ((first / 14) & 1 == 1, (first / 28) & 1 == 1);
    settings.defrag.refuse_contradictions = inline;
    let limits = Limits { defrag_datagrams_max: 3, defrag_bytes_max: 1 << 16, ..Limits::default() };
    let mut decoder = Decoder::new(settings, &limits);
    let mut counters = Counters::default();
    let mut now = 0u64;
    for op in rest.chunks_exact(8) {
        let [id, off_hi, off_lo, len_hi, len_lo, more, wait, fill] = *op else { return };
        let len = usize::from(u16::from_be_bytes([len_hi, len_lo]) & 0x07ff);
        now = now.saturating_add(u64::from(wait));
        let mut frame = if v6 {
            let (plen, [hi, lo]) = ((len as u16 + 8).to_be_bytes(), [off_hi, (off_lo & 0xf8) | (more & 1)]);
            let mut f = vec![0x60, 0, 0, 0, plen[0], plen[1], 44, 64];
            f.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].repeat(2));
            f.extend([17, 0, hi, lo, 0, 0, 0, id & 3]);
            f
        } else {
            let total = (20 + len as u16).to_be_bytes();
            let mut f = vec![0x45, 0, total[0], total[1], 0, id & 3, (off_hi & 0x1f) | ((more & 1) << 5), off_lo];
            f.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            f
        };
        frame.extend(std::iter::repeat_n(fill, len));
        let mut out = Vec::new();
        let frame = Frame {
            ts: Timestamp::from_secs(now),
            number: 1,
            link: LinkType::RAW,
            port: PortId(0),
            data: &frame,
            wire_len: frame.len() as u32,
        };
        decoder.decode(&frame, 0, &mut out, &mut counters);
        for (_, p) in &out {
            super::context::check(p);
        }
        assert!(decoder.memory() <= (1 << 16) + 4096);
    }
}

#[cfg(test)]
mod tests;
