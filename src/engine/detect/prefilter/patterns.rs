//! A group's literals: one multi-pattern set, with the few that do not suit one beside it.
//!
//! A pattern longer than eight bytes is cut to the eight that tell most: rare bytes, and bytes few other patterns of the
//! group share. Where they stand, the others are compared before a rule is named. Patterns of one and two bytes are searched one by one, so that a set's scan is not woken at every turn:
//! rules mostly bind them to the first bytes of their buffer, which is all that is searched then. A handful of patterns
//! is searched the same way, which is cheaper than entering a matcher.

use super::piece::Piece;
use crate::detect::compile::DatabaseCache;
use crate::detect::inspect::needle::commonness;
use crate::detect::matching::{MatcherError, MatcherFactory, Pattern, PatternSet, Scratch};
use crate::detect::signature::{Content, SigIdx, Value};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

const CUT: usize = super::piece::LEN_MAX;
/// Groups of so few patterns do without a set.
const FEW: usize = 3;
/// Patterns of so few bytes stay out of a set.
const SHORT: usize = 2;

/// A rule behind a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Goal {
    pub sig: SigIdx,
    /// The match must end at or before this position of the whole buffer; `u32::MAX`: anywhere.
    pub end_max: u32,
    /// What the content has around its piece: so many bytes before and after it, beginning here in the group's text.
    text: u32,
    before: u16,
    after: u16,
}

/// What is scanned: the end of a buffer, of which some bytes may have been scanned before.
#[derive(Clone, Copy)]
pub(crate) struct Hay<'a> {
    pub data: &'a [u8],
    /// Index in `data` of the first byte not scanned before.
    pub fresh: usize,
    /// Position in the whole buffer of `data[0]`.
    pub offset: u64,
}

impl<'a> Hay<'a> {
    /// A buffer that is all there and all new.
    pub(crate) fn whole(data: &'a [u8]) -> Self {
        Hay { data, fresh: 0, offset: 0 }
    }

    /// Index past the last byte that an occurrence bound to end by `end_max` can have.
    fn bound(&self, end_max: u32) -> usize {
        if end_max == u32::MAX {
            return self.data.len();
        }
        let upto = u64::from(end_max).saturating_sub(self.offset);
        usize::try_from(upto).unwrap_or(usize::MAX).min(self.data.len())
    }
}

/// One pattern and the rules behind it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    piece: Piece,
    nocase: bool,
    /// A range of the group's goals.
    from: u32,
    to: u32,
    /// The latest `end_max` of them.
    end_max: u32,
}

#[derive(Default)]
pub(crate) struct PatternGroup {
    set: Option<Box<dyn PatternSet>>,
    /// Patterns searched one by one: the short ones, and all where they are few.
    single: Vec<u32>,
    /// By pattern id.
    entries: Vec<Entry>,
    goals: Vec<Goal>,
    /// What contents have around their pieces.
    text: Vec<u8>,
    longest: usize,
}

impl PatternGroup {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Distinct patterns.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Its size in words, by how the patterns are searched.
    pub(crate) fn describe(&self) -> String {
        format!("{} patterns ({} one by one)", self.len(), self.single.len())
    }

    pub(crate) fn has_set(&self) -> bool {
        self.set.is_some()
    }

    pub(crate) fn memory(&self) -> usize {
        let own = self.goals.len() * size_of::<Goal>() + self.entries.len() * size_of::<Entry>() + self.text.len();
        self.set.as_ref().map_or(0, |s| s.memory()) + own
    }

    pub(crate) fn serves(&self, sig: SigIdx) -> bool {
        self.goals.iter().any(|g| g.sig == sig)
    }

    /// Bytes before fresh ones that must be scanned with them.
    pub(crate) fn tail(&self) -> usize {
        self.longest.saturating_sub(1)
    }

    /// Names the rules whose pattern has an occurrence that ends among the fresh bytes, where it may serve them.
    pub(crate) fn scan(&self, scratch: &mut Scratch, hay: Hay<'_>, f: &mut dyn FnMut(SigIdx)) {
        if self.entries.is_empty() || hay.data.len() <= hay.fresh {
            return;
        }
        for id in &self.single {
            self.search(*id, &hay, f);
        }
        let Some(set) = &self.set else { return };
        let from = hay.fresh.saturating_sub(self.tail());
        let Some(data) = hay.data.get(from..) else { return };
        set.scan(scratch, data, &mut |id, end| {
            let end = from + end;
            if end <= hay.fresh {
                // A set need not report what follows the first occurrence, and this one was seen before.
                self.search(id, &hay, f);
            } else if let Some(e) = self.entries.get(id as usize) {
                self.report(e, &hay, end, f);
            }
        });
    }

    /// Names the rules that an occurrence of a pattern among the fresh bytes may serve, this one or one behind it.
    fn report(&self, e: &Entry, hay: &Hay<'_>, end: usize, f: &mut dyn FnMut(SigIdx)) {
        let goals = self.goals.get(e.from as usize..e.to as usize).unwrap_or(&[]);
        goals.iter().filter(|g| self.stands(e, g, hay, end)).for_each(|g| f(g.sig));
    }

    /// Whether the whole of a content stands, as far as it can be seen, where its piece does: at `end`, or further on.
    fn stands(&self, e: &Entry, g: &Goal, hay: &Hay<'_>, mut end: usize) -> bool {
        let bound = hay.bound(g.end_max);
        if g.before == 0 && g.after == 0 {
            return end <= bound;
        }
        let from = g.text as usize;
        let text = self.text.get(from..from + usize::from(g.before) + usize::from(g.after)).unwrap_or(&[]);
        let (before, after) = text.split_at_checked(g.before.into()).unwrap_or_default();
        let same = |a: &[u8], b: &[u8]| if e.nocase { a.eq_ignore_ascii_case(b) } else { a == b };
        while end <= bound {
            let (seen, coming) = hay.data.split_at(end);
            let seen = seen.get(..end - e.piece.len()).unwrap_or(&[]);
            let (n, m) = (before.len().min(seen.len()), after.len().min(coming.len()));
            let fits = same(seen.get(seen.len() - n..).unwrap_or(&[]), before.get(before.len() - n..).unwrap_or(&[]))
                && same(coming.get(..m).unwrap_or(&[]), after.get(..m).unwrap_or(&[]));
            if fits {
                return true;
            }
            let next = end - e.piece.len() + 1;
            match hay.data.get(next..bound).and_then(|d| e.piece.find(d)) {
                Some(at) => end = next + at + e.piece.len(),
                None => return false,
            }
        }
        false
    }

    fn search(&self, id: u32, hay: &Hay<'_>, f: &mut dyn FnMut(SigIdx)) {
        let Some(e) = self.entries.get(id as usize) else { return };
        let len = e.piece.len();
        let from = (hay.fresh + 1).saturating_sub(len);
        if let Some(at) = hay.data.get(from..hay.bound(e.end_max)).and_then(|d| e.piece.find(d)) {
            self.report(e, hay, from + at + len, f);
        }
    }
}

/// Builds groups, with the matcher library and what it built before.
pub(crate) struct SetBuilder<'a, 'c> {
    factory: &'a dyn MatcherFactory,
    cache: Option<&'c mut (dyn DatabaseCache + 'c)>,
    identity: String,
    built: usize,
    loaded: usize,
}

impl<'a, 'c> SetBuilder<'a, 'c> {
    pub(crate) fn new(factory: &'a dyn MatcherFactory, cache: Option<&'c mut (dyn DatabaseCache + 'c)>) -> Self {
        SetBuilder { identity: factory.identity(), factory, cache, built: 0, loaded: 0 }
    }

    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.built, self.loaded)
    }

    /// `wanted`: each rule's fast pattern. `placed`: positions in the buffer are the rule's own (no dot in front, say).
    pub(crate) fn group(&mut self, wanted: &[(SigIdx, &Content)], placed: bool) -> Result<PatternGroup, MatcherError> {
        let grams = gram_counts(wanted);
        let mut merged: HashMap<(Vec<u8>, bool), Vec<Goal>> = HashMap::new();
        let mut text = Vec::new();
        for (sig, c) in wanted {
            let at = cut(&c.bytes, &grams);
            let piece = c.bytes.get(at..).map(|b| b.get(..CUT).unwrap_or(b)).unwrap_or(&[]);
            let bytes = if c.nocase { piece.to_ascii_lowercase() } else { piece.to_vec() };
            let end_max = if placed { end_max(c, at + bytes.len()) } else { u32::MAX };
            let (before, after) = (c.bytes.get(..at).unwrap_or(&[]), c.bytes.get(at + bytes.len()..).unwrap_or(&[]));
            let len = |part: &[u8]| u16::try_from(part.len()).unwrap_or(0);
            let goal = Goal { sig: *sig, end_max, text: text.len() as u32, before: len(before), after: len(after) };
            text.extend_from_slice(before);
            text.extend_from_slice(after);
            merged.entry((bytes, c.nocase)).or_default().push(goal);
        }
        let mut list: Vec<_> = merged.into_iter().collect();
        list.sort();
        text.shrink_to_fit();
        let mut g = PatternGroup { text, ..PatternGroup::default() };
        let long = list.iter().filter(|((bytes, _), _)| bytes.len() > SHORT).count();
        let mut patterns = Vec::new();
        for (id, ((bytes, nocase), mut goals)) in (0u32..).zip(list) {
            goals.sort();
            goals.dedup();
            let from = g.goals.len() as u32;
            let end_max = goals.iter().map(|g| g.end_max).max().unwrap_or(0);
            g.goals.extend(goals);
            let to = g.goals.len() as u32;
            g.entries.push(Entry { piece: Piece::new(&bytes, nocase), nocase, from, to, end_max });
            g.longest = g.longest.max(bytes.len());
            if bytes.len() <= SHORT || long <= FEW {
                g.single.push(id);
            } else {
                patterns.push(Pattern { bytes, nocase, id });
            }
        }
        if !patterns.is_empty() {
            g.set = Some(self.compile(&patterns)?);
        }
        Ok(g)
    }

    fn compile(&mut self, patterns: &[Pattern]) -> Result<Box<dyn PatternSet>, MatcherError> {
        let key = content_key(&self.identity, patterns);
        if let Some(cache) = &mut self.cache
            && let Some(bytes) = cache.load(key)
            && let Ok(set) = self.factory.deserialize(&bytes)
        {
            self.loaded += 1;
            return Ok(set);
        }
        let set = self.factory.compile(patterns)?;
        self.built += 1;
        if let Some(cache) = &mut self.cache
            && let Some(bytes) = set.serialize()
        {
            cache.store(key, &bytes);
        }
        Ok(set)
    }
}

/// Two independent 64-bit hashes of library and patterns.
fn content_key(identity: &str, patterns: &[Pattern]) -> u128 {
    let half = |salt: u64| {
        let mut h = DefaultHasher::new();
        (salt, identity, patterns).hash(&mut h);
        u128::from(h.finish())
    };
    half(1) << 64 | half(2)
}

/// How many patterns of the group share eight bytes.
fn gram_counts(wanted: &[(SigIdx, &Content)]) -> HashMap<[u8; CUT], u32> {
    let mut grams = HashMap::new();
    for (_, c) in wanted.iter().filter(|(_, c)| c.bytes.len() > CUT) {
        for w in c.bytes.windows(CUT) {
            if let Ok(w) = <[u8; CUT]>::try_from(w) {
                *grams.entry(w).or_insert(0u32) += 1;
            }
        }
    }
    grams
}

/// Where the telling bytes of a pattern begin.
fn cut(bytes: &[u8], grams: &HashMap<[u8; CUT], u32>) -> usize {
    if bytes.len() <= CUT {
        return 0;
    }
    let cost = |w: &[u8]| {
        let common: u32 = w.iter().map(|b| u32::from(commonness(*b))).sum();
        let distinct = (1..w.len()).filter(|i| w.get(*i) != w.first()).count() as u32;
        let shared = <[u8; CUT]>::try_from(w).ok().and_then(|w| grams.get(&w).copied()).unwrap_or(1);
        common + (32 - shared.leading_zeros()) * 150 + 800u32.saturating_sub(distinct * 100)
    };
    bytes.windows(CUT).enumerate().min_by_key(|(_, w)| cost(w)).map_or(0, |(i, _)| i)
}

/// Where the piece that ends `upto` bytes into the content must end at the latest.
pub(super) fn end_max(c: &Content, upto: usize) -> u32 {
    if c.is_relative() {
        return u32::MAX;
    }
    let len = c.bytes.len() as i64;
    let last = if c.startswith {
        len
    } else {
        match (c.offset, c.depth) {
            (None, Some(Value::Const(d))) => d,
            (Some(Value::Const(o)), Some(Value::Const(d))) => o.saturating_add(d),
            _ => return u32::MAX,
        }
    };
    u32::try_from(last.saturating_sub(len).saturating_add(upto as i64).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testkit::{Naive, content};

    /// The rules of `list` whose content ends in `fresh..` of a stream, in its place.
    fn naive(list: &[Content], stream: &[u8], fresh: usize) -> Vec<u32> {
        let hit = |c: &Content| {
            let n = c.bytes.len();
            let same = |w: &[u8]| if c.nocase { w.eq_ignore_ascii_case(&c.bytes) } else { w == c.bytes };
            let ends = stream.windows(n).enumerate().filter(|(_, w)| same(w)).map(|(i, _)| i + n);
            ends.into_iter().any(|end| end > fresh && end as u64 <= u64::from(end_max(c, n)))
        };
        (0u32..).zip(list).filter(|(_, c)| hit(c)).map(|(i, _)| i).collect()
    }

    #[test]
    fn every_cut_of_a_stream_names_what_a_walk_would() {
        let plain = content;
        let placed = |s: &str, depth| Content { depth: Some(Value::Const(depth)), ..plain(s) };
        let nocase = |s: &str| Content { nocase: true, ..plain(s) };
        let many = [
            plain("a"),
            plain("ab"),
            placed("ab", 6),
            placed("b", 3),
            plain("aba"),
            plain("abab"),
            nocase("BaB"),
            nocase("abABa"),
            placed("aba", 5),
            plain("xyz"),
            plain("ababaxyzabA"),
            nocase("BAXYZABab"),
            plain("abaxyzabb"),
            placed("abaxyzabAB", 12),
            placed("abaxyzabAB", 11),
        ];
        let stream = b"abaxyzababaxyzabABabxyz";
        for list in [&many[..], &many[..5], &many[6..9]] {
            let wanted: Vec<_> = (0u32..).map(SigIdx).zip(list).collect();
            let group = SetBuilder::new(&Naive, None).group(&wanted, true).unwrap();
            let scan = |data: &[u8], fresh, offset| {
                let mut got = Vec::new();
                let hay = Hay { data, fresh, offset };
                group.scan(&mut (Box::new(()) as Scratch), hay, &mut |s| got.push(s.0));
                got.sort_unstable();
                got.dedup();
                got
            };
            // A longer content is named when its piece is there, whether the rest is yet or not.
            let short = |ids: &[u32]| -> Vec<u32> {
                ids.iter().copied().filter(|i| list[*i as usize].bytes.len() <= CUT).collect()
            };
            assert_eq!(scan(stream, 0, 0), naive(list, stream, 0));
            for fresh in 0..stream.len() {
                for offset in 0..=fresh.saturating_sub(group.tail()) {
                    let got = scan(&stream[offset..], fresh - offset, offset as u64);
                    assert_eq!(short(&got), short(&naive(list, stream, fresh)), "{fresh} {offset}");
                    let earlier = scan(&stream[..fresh], 0, 0);
                    let both = |i: &u32| got.contains(i) || earlier.contains(i);
                    assert!(naive(list, stream, 0).iter().all(both), "{fresh} {offset}: {earlier:?} {got:?}");
                }
            }
        }
    }
}
