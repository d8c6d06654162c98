//! A group's literals: one multi-pattern set, with the few that do not suit one beside it.
//!
//! A pattern longer than eight bytes is cut to the eight that tell most: rare bytes, and bytes few other patterns of the
//! group share. Patterns of one and two bytes are looked up in a bitmap, so that a set's scan is not woken at every turn;
//! a handful of patterns is searched one by one, which is cheaper than entering a matcher.

use crate::detect::compile::DatabaseCache;
use crate::detect::inspect::needle::{Needle, commonness};
use crate::detect::matching::{MatcherError, MatcherFactory, Pattern, PatternSet, Scratch};
use crate::detect::signature::{Content, SigIdx, Value};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

const CUT: usize = 8;
/// Groups of so few patterns do without a set.
const FEW: usize = 3;

/// A rule behind a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Goal {
    pub sig: SigIdx,
    /// The match must end at or before this position of the whole buffer; `u32::MAX`: anywhere.
    pub end_max: u32,
}

impl Goal {
    /// Whether a match may end at this position of the whole buffer.
    pub(crate) fn suits(&self, end: u64) -> bool {
        self.end_max == u32::MAX || end <= u64::from(self.end_max)
    }
}

/// One- and two-byte patterns.
struct Short {
    /// By first byte: patterns that begin with it.
    first: Vec<u8>,
    list: Vec<(Needle, u32)>,
}

#[derive(Default)]
pub(crate) struct PatternGroup {
    set: Option<Box<dyn PatternSet>>,
    few: Vec<(Needle, u32)>,
    short: Option<Box<Short>>,
    /// Per pattern id: its length and its goals, a range of `goals`.
    spans: Vec<(u16, u32, u32)>,
    goals: Vec<Goal>,
    longest: usize,
}

impl PatternGroup {
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Distinct patterns.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn has_set(&self) -> bool {
        self.set.is_some()
    }

    pub(crate) fn memory(&self) -> usize {
        self.set.as_ref().map_or(0, |s| s.memory()) + self.goals.len() * size_of::<Goal>()
    }

    pub(crate) fn serves(&self, sig: SigIdx) -> bool {
        self.goals.iter().any(|g| g.sig == sig)
    }

    /// Bytes before fresh ones that must be scanned with them.
    pub(crate) fn tail(&self) -> usize {
        self.longest.saturating_sub(1)
    }

    /// Scans `data`; reports the goals of each match that ends past `fresh` (an index into `data`), with where it begins
    /// and ends in `data`. Whether the end suits a goal's `end_max` is the caller's to say.
    pub(crate) fn scan(
        &self,
        scratch: &mut Scratch,
        data: &[u8],
        fresh: usize,
        f: &mut dyn FnMut(&Goal, usize, usize),
    ) {
        if self.spans.is_empty() || data.len() <= fresh {
            return;
        }
        let from = fresh.saturating_sub(self.tail());
        let Some(hay) = data.get(from..) else { return };
        let mut report = |id: u32, end: usize| {
            let end = from + end;
            let Some((len, a, b)) = self.spans.get(id as usize) else { return };
            if end <= fresh {
                return;
            }
            let start = end.saturating_sub(usize::from(*len));
            for g in self.goals.get(*a as usize..*b as usize).unwrap_or(&[]) {
                f(g, start, end);
            }
        };
        if let Some(set) = &self.set {
            set.scan(scratch, hay, &mut report);
        }
        for (needle, id) in &self.few {
            each(needle, hay, |end| report(*id, end));
        }
        if let Some(short) = &self.short {
            short.scan(hay, &mut report);
        }
    }
}

/// Every occurrence's end.
fn each(needle: &Needle, hay: &[u8], mut f: impl FnMut(usize)) {
    let mut at = 0;
    while let Some(p) = hay.get(at..).and_then(|h| needle.find(h)) {
        f(at + p + needle.len());
        at += p + 1;
    }
}

impl Short {
    fn scan(&self, hay: &[u8], report: &mut dyn FnMut(u32, usize)) {
        for (i, b) in hay.iter().enumerate() {
            if self.first.get(usize::from(*b)).is_none_or(|n| *n == 0) {
                continue;
            }
            let here = hay.get(i..).unwrap_or(&[]);
            for (needle, id) in &self.list {
                if needle.at(here) {
                    report(*id, i + needle.len());
                }
            }
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
        for (sig, c) in wanted {
            let at = cut(&c.bytes, &grams);
            let piece = c.bytes.get(at..).map(|b| b.get(..CUT).unwrap_or(b)).unwrap_or(&[]);
            let bytes = if c.nocase { piece.to_ascii_lowercase() } else { piece.to_vec() };
            let goal = Goal { sig: *sig, end_max: if placed { end_max(c, at + bytes.len()) } else { u32::MAX } };
            merged.entry((bytes, c.nocase)).or_default().push(goal);
        }
        let mut list: Vec<_> = merged.into_iter().collect();
        list.sort();
        let mut g = PatternGroup::default();
        let mut patterns = Vec::new();
        let mut short = Vec::new();
        for (id, ((bytes, nocase), mut goals)) in list.into_iter().enumerate() {
            goals.sort();
            goals.dedup();
            let from = g.goals.len() as u32;
            g.goals.extend(goals);
            g.spans.push((bytes.len() as u16, from, g.goals.len() as u32));
            g.longest = g.longest.max(bytes.len());
            match bytes.len() {
                1 | 2 => short.push((Needle::new(&bytes, nocase), bytes, nocase, id as u32)),
                _ => patterns.push(Pattern { bytes, nocase, id: id as u32 }),
            }
        }
        g.short = short_set(short);
        if patterns.len() <= FEW {
            g.few = patterns.into_iter().map(|p| (Needle::new(&p.bytes, p.nocase), p.id)).collect();
        } else {
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

fn short_set(list: Vec<(Needle, Vec<u8>, bool, u32)>) -> Option<Box<Short>> {
    if list.is_empty() {
        return None;
    }
    let mut first = vec![0u8; 256];
    let mut out = Vec::new();
    for (needle, bytes, nocase, id) in list {
        let b = bytes.first().copied().unwrap_or(0);
        for b in [b, if nocase { b.to_ascii_uppercase() } else { b }] {
            if let Some(n) = first.get_mut(usize::from(b)) {
                *n = 1;
            }
        }
        out.push((needle, id));
    }
    Some(Box::new(Short { first, list: out }))
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
fn end_max(c: &Content, upto: usize) -> u32 {
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
