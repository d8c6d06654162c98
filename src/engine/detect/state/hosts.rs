//! A bounded map that forgets what began first: what the host table is made of.
//!
//! Keyed hashing: the key is given (random live, fixed in replay), since addresses are the attacker's to choose.

use crate::types::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};

/// SipHash behind a secret prefix.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seeded(pub u64);

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut h = DefaultHasher::new();
        h.write_u64(self.0);
        h
    }
}

/// A bounded map that forgets what began first.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    map: HashMap<K, (u64, V), Seeded>,
    /// Keys in order of their beginning, with the number they began with; stale where the map's number differs.
    order: VecDeque<(u64, K)>,
    max: usize,
    next: u64,
    /// Entries that had to go.
    pub evicted: u64,
}

impl<K: Hash + Eq + Copy, V> Bounded<K, V> {
    pub(crate) fn new(max: usize, seed: u64) -> Self {
        Bounded {
            map: HashMap::with_hasher(Seeded(seed)),
            order: VecDeque::new(),
            max: max.max(1),
            next: 0,
            evicted: 0,
        }
    }

    pub(crate) fn find(&self, k: &K) -> Option<&V> {
        self.map.get(k).map(|e| &e.1)
    }

    pub(crate) fn find_mut(&mut self, k: &K) -> Option<&mut V> {
        self.map.get_mut(k).map(|e| &mut e.1)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn entry(&mut self, k: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.map.contains_key(&k) {
            self.make_room();
            self.order.push_back((self.next, k));
        }
        #[cfg(debug_assertions)]
        self.invariants();
        let next = self.next;
        let e = self.map.entry(k).or_insert_with(|| (next, make()));
        if e.0 == next {
            self.next += 1;
        }
        &mut e.1
    }

    pub(crate) fn remove(&mut self, k: &K) {
        self.map.remove(k);
    }

    fn make_room(&mut self) {
        // Removed keys leave stale rows in `order`; they are dropped from its front here and bounded by twice the size.
        while self.map.len() >= self.max || self.order.len() >= self.max.saturating_mul(2) {
            let Some((n, k)) = self.order.pop_front() else { return };
            match self.map.get(&k) {
                Some(e) if e.0 == n && self.map.len() >= self.max => {
                    self.map.remove(&k);
                    self.evicted += 1;
                }
                Some(e) if e.0 == n => self.order.push_back((n, k)),
                _ => {}
            }
        }
    }

    #[cfg(debug_assertions)]
    pub(crate) fn invariants(&self) {
        debug_assert!(self.map.len() <= self.max);
        debug_assert!(self.order.len() <= self.max.saturating_mul(2));
        debug_assert!(self.map.len() <= self.order.len());
    }
}

/// A bit with its end, if it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Until(pub Option<Timestamp>);

impl Until {
    pub(crate) fn live(self, now: Timestamp) -> bool {
        self.0.is_none_or(|t| now <= t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_first_and_counts_it() {
        let mut b = Bounded::new(3, 7);
        for i in 0..5u32 {
            *b.entry(i, || 0) += i;
            #[cfg(debug_assertions)]
            b.invariants();
        }
        assert_eq!((b.len(), b.evicted), (3, 2));
        assert_eq!((b.find(&1), b.find(&2), b.find(&4)), (None, Some(&2), Some(&4)));
        for i in 0..100u32 {
            b.entry(i % 4, || 0);
            b.remove(&(i % 4));
            #[cfg(debug_assertions)]
            b.invariants();
        }
        assert_eq!(b.find_mut(&0), None);
    }
}
