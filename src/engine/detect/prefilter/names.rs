//! Patterns pinned to the end of a name, by hash: any number of rules costs a handful of probes.
//!
//! A pattern is filed under the hash of its last bytes, as many as the largest length class it fills. A name is folded
//! once, hashed once from its end towards its beginning, and probed at each class in use; what is found there is verified.
//! `endswith` is a suffix of bytes, not of labels, so no label is looked for. A name is searched with a dot in front, at
//! which only patterns of `dotprefix` rules may begin.

use crate::detect::signature::SigIdx;
use std::collections::HashMap;

/// Lengths of the hashed tails. A name is probed at most once for each.
const CLASSES: [usize; 12] = [3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 21, 28];
/// Shorter patterns are left to the pattern set.
pub(crate) const LEN_MIN: usize = CLASSES[0];

#[derive(Debug)]
struct Entry {
    /// Lower case; verified against the folded name.
    pattern: Box<[u8]>,
    sigs: Vec<SigIdx>,
    /// May begin at the dot in front of the name.
    dotted: bool,
}

#[derive(Debug, Default)]
pub(crate) struct NameTable {
    /// Open addressing, a power of two: (hash, entries' range), hash 0 is free.
    slots: Vec<(u64, u32, u32)>,
    /// Sorted by hash.
    entries: Vec<Entry>,
    /// Whether a class has any entry.
    used: [bool; CLASSES.len()],
    longest: usize,
}

const K: u64 = 0x9e37_79b9_7f4a_7c15;

fn step(h: u64, b: u8) -> u64 {
    (h ^ u64::from(b)).wrapping_mul(K).rotate_left(29)
}

/// Distinguishes lengths, and keeps clear of 0.
fn finish(h: u64, class: usize) -> u64 {
    (h ^ (class as u64).wrapping_mul(K)).wrapping_mul(K) | 1
}

fn tail_hash(bytes: &[u8], len: usize, class: usize) -> u64 {
    finish(bytes.iter().rev().take(len).fold(K, |h, b| step(h, *b)), class)
}

impl NameTable {
    /// `patterns`: bytes, whether the rule sees the name with a dot in front, its rule.
    pub(crate) fn build(patterns: &[(Vec<u8>, bool, SigIdx)]) -> NameTable {
        let mut merged: HashMap<(Box<[u8]>, bool), Vec<SigIdx>> = HashMap::new();
        for (p, dotted, sig) in patterns {
            merged.entry((p.to_ascii_lowercase().into(), *dotted)).or_default().push(*sig);
        }
        let mut table = NameTable::default();
        let mut hashed: Vec<(u64, Entry)> = Vec::with_capacity(merged.len());
        for ((pattern, dotted), mut sigs) in merged {
            sigs.sort();
            let Some(class) = CLASSES.iter().rposition(|len| *len <= pattern.len()) else { continue };
            table.used[class] = true;
            table.longest = table.longest.max(pattern.len());
            hashed.push((tail_hash(&pattern, CLASSES[class], class), Entry { pattern, sigs, dotted }));
        }
        hashed.sort_by(|a, b| (a.0, &a.1.pattern, a.1.dotted).cmp(&(b.0, &b.1.pattern, b.1.dotted)));
        let size = (hashed.len() * 2).next_power_of_two().max(8);
        table.slots = vec![(0, 0, 0); size];
        let mut i = 0;
        while i < hashed.len() {
            let hash = hashed[i].0;
            let n = hashed[i..].iter().take_while(|e| e.0 == hash).count();
            let mut at = hash as usize & (size - 1);
            while table.slots[at].0 != 0 {
                at = (at + 1) & (size - 1);
            }
            table.slots[at] = (hash, i as u32, (i + n) as u32);
            i += n;
        }
        table.entries = hashed.into_iter().map(|e| e.1).collect();
        table
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn serves(&self, sig: SigIdx) -> bool {
        self.entries.iter().any(|e| e.sigs.contains(&sig))
    }

    /// Calls `f` with the rules of each pattern that `name` ends with. `folded` is working memory.
    pub(crate) fn find(&self, name: &[u8], folded: &mut Vec<u8>, mut f: impl FnMut(&[SigIdx])) {
        // Only the tail that the longest pattern could reach matters.
        let from = name.len().saturating_sub(self.longest);
        folded.clear();
        folded.push(if from == 0 { b'.' } else { 0 });
        folded.extend(name.get(from..).unwrap_or(&[]).iter().map(u8::to_ascii_lowercase));
        let mut h = K;
        let mut hashed = 0;
        let mut tail = folded.iter().rev();
        for (class, len) in CLASSES.iter().enumerate() {
            while hashed < *len {
                let Some(b) = tail.next() else { return };
                h = step(h, *b);
                hashed += 1;
            }
            if self.used[class] {
                self.probe(finish(h, class), folded, from == 0, &mut f);
            }
        }
    }

    fn probe(&self, hash: u64, folded: &[u8], dot: bool, f: &mut impl FnMut(&[SigIdx])) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some((h, from, to)) = self.slots.get(at) {
            if *h == 0 {
                return;
            }
            if *h == hash {
                for e in self.entries.get(*from as usize..*to as usize).unwrap_or(&[]) {
                    let room = folded.len() - usize::from(!(dot && e.dotted));
                    if e.pattern.len() <= room && folded.ends_with(&e.pattern) {
                        f(&e.sigs);
                    }
                }
                return;
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(t: &NameTable, name: &str) -> Vec<u32> {
        let mut got = Vec::new();
        t.find(name.as_bytes(), &mut Vec::new(), |s| got.extend(s.iter().map(|s| s.0)));
        got.sort();
        got
    }

    #[test]
    fn a_suffix_of_bytes_with_or_without_a_dot() {
        let p = |s: &str, d, i| (s.as_bytes().to_vec(), d, SigIdx(i));
        let t = NameTable::build(&[
            p("urbanvillager.xyz", false, 1),
            p(".evil.com", true, 2),
            p(".evil.com", false, 3),
            p("com", false, 4),
            p("a-very-long-pattern-of-more-than-28.example.org", true, 5),
            p("EVIL.com", false, 6),
        ]);
        assert_eq!(ask(&t, "xUrbanvillager.xyz"), [1]);
        assert_eq!(ask(&t, "evil.com"), [2, 4, 6]);
        assert_eq!(ask(&t, "www.evil.com"), [2, 3, 4, 6]);
        assert_eq!(ask(&t, "devil.com"), [4, 6]);
        assert_eq!(ask(&t, "x.a-very-long-pattern-of-more-than-28.example.org"), [5]);
        assert_eq!(ask(&t, "a-very-long-pattern-of-more-than-28.example.org"), [5]);
        assert_eq!(ask(&t, "-very-long-pattern-of-more-than-28.example.org"), [] as [u32; 0]);
        assert_eq!(ask(&t, ""), [] as [u32; 0]);
        assert_eq!(ask(&t, "om"), [] as [u32; 0]);
    }
}
