//! A thread's caches of lazy DFAs, one per expression it has used.
//!
//! Invariant: their measured sum stays near [`BYTES_MAX`]: past it all are dropped and begin anew, which costs time and
//! changes no answer. Measuring is done now and then, since a cache grows slowly and asking each time would cost more
//! than a short search.

use regex_automata::meta::{Cache, Regex};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Bytes of all caches of a thread.
const BYTES_MAX: usize = 32 << 20;
/// Searches between two measurements.
const SEARCHES_BETWEEN: u32 = 4_096;

pub(crate) struct Caches {
    caches: HashMap<u64, Cache, BuildHasherDefault<IdHasher>>,
    searches: u32,
    bytes_max: usize,
}

impl Default for Caches {
    fn default() -> Self {
        Caches { caches: HashMap::default(), searches: 0, bytes_max: BYTES_MAX }
    }
}

impl Caches {
    /// The cache of the regex with this id.
    pub(super) fn of(&mut self, id: u64, regex: &Regex) -> &mut Cache {
        self.searches += 1;
        if self.searches >= SEARCHES_BETWEEN {
            self.searches = 0;
            if self.memory() > self.bytes_max {
                self.caches.clear();
            }
        }
        self.caches.entry(id).or_insert_with(|| regex.create_cache())
    }

    fn memory(&self) -> usize {
        self.caches.values().map(|c| size_of::<Cache>() + c.memory_usage()).sum()
    }
}

/// Ids count upwards: a multiplication spreads them well enough.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_all_caches_is_bounded() {
        let regexes: Vec<Regex> =
            (0..40).map(|i| Regex::new(&format!("[a-y]*b[a-y]{{{}}}[0-9]", 5 + i % 9)).unwrap()).collect();
        let mut caches = Caches { bytes_max: 64 << 10, ..Caches::default() };
        let coin = |i: u32| i.wrapping_mul(2_654_435_761) >> 31 == 0;
        let hay: Vec<u8> = (0..2_000u32).map(|i| if coin(i) { b'a' } else { b'b' }).collect();
        let round = |caches: &mut Caches| {
            for (id, r) in (0u64..).zip(&regexes) {
                r.search_with(caches.of(id, r), &regex_automata::Input::new(&hay));
            }
        };
        round(&mut caches);
        let full = caches.memory();
        assert!(full > 64 << 10, "the test fills the caches: {full}");
        caches.searches = SEARCHES_BETWEEN;
        caches.of(0, &regexes[0]);
        assert!(caches.memory() < full / 4, "{} of {full}", caches.memory());
        round(&mut caches);
        assert_eq!(caches.memory(), full, "they begin anew and grow as before");
    }
}
