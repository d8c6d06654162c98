//! A set in an automaton of pure Rust: Aho-Corasick (DFA or contiguous NFA by size) or, for large sets, a double array.
//!
//! Where any pattern ignores case, the automaton holds all of them in lower case and reads a folded copy of the
//! haystack; patterns that do mind case are then compared with the original bytes. Folding a copy costs less than the
//! wider automaton that a case-insensitive build would make.

use super::{Reports, distinct};
use crate::scratch::working;
use aho_corasick::automaton::OverlappingState;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use daachorse::DoubleArrayAhoCorasick;
use engine::detect::matching::{MatcherError, Pattern, PatternSet, Scratch};
use std::collections::HashMap;

/// Bytes of patterns up to which a full DFA is built (it takes up to 1 KiB per byte).
const DFA_BYTES_MAX: usize = 1 << 10;
/// Distinct keys from which the double array is faster.
const DOUBLE_ARRAY_MIN: usize = 2_000;

enum Automaton {
    AhoCorasick(AhoCorasick),
    DoubleArray(DoubleArrayAhoCorasick<u32>),
}

/// One text behind a key of the automaton.
struct Variant {
    /// The original bytes, where the haystack must have them in this case.
    exact: Option<Box<[u8]>>,
    /// Index of the text in the reports.
    text: u32,
}

pub(crate) struct PureSet {
    /// `None` for the empty set.
    automaton: Option<Automaton>,
    /// By key of the automaton.
    variants: Vec<Vec<Variant>>,
    reports: Reports,
    fold: bool,
}

struct Keys {
    bytes: Vec<Vec<u8>>,
    variants: Vec<Vec<Variant>>,
    reports: Reports,
    fold: bool,
}

impl PureSet {
    /// By the engine that suits the size.
    pub(crate) fn new(patterns: &[Pattern]) -> Result<PureSet, MatcherError> {
        let keys = keys(patterns);
        if keys.bytes.len() >= DOUBLE_ARRAY_MIN { Self::with_double_array(keys) } else { Self::with_aho_corasick(keys) }
    }

    pub(crate) fn aho_corasick(patterns: &[Pattern]) -> Result<PureSet, MatcherError> {
        Self::with_aho_corasick(keys(patterns))
    }

    pub(crate) fn double_array(patterns: &[Pattern]) -> Result<PureSet, MatcherError> {
        Self::with_double_array(keys(patterns))
    }

    fn with_aho_corasick(keys: Keys) -> Result<PureSet, MatcherError> {
        let bytes: usize = keys.bytes.iter().map(Vec::len).sum();
        let kind = if bytes <= DFA_BYTES_MAX { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let automaton = AhoCorasick::builder()
            .kind(Some(kind))
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(&keys.bytes)
            .map_err(|e| MatcherError(e.to_string()))?;
        Ok(Self::assemble(Automaton::AhoCorasick(automaton), keys))
    }

    fn with_double_array(keys: Keys) -> Result<PureSet, MatcherError> {
        if keys.bytes.is_empty() {
            return Self::with_aho_corasick(keys);
        }
        let automaton = DoubleArrayAhoCorasick::new(&keys.bytes).map_err(|e| MatcherError(e.to_string()))?;
        Ok(Self::assemble(Automaton::DoubleArray(automaton), keys))
    }

    fn assemble(automaton: Automaton, keys: Keys) -> PureSet {
        let automaton = (!keys.bytes.is_empty()).then_some(automaton);
        PureSet { automaton, variants: keys.variants, reports: keys.reports, fold: keys.fold }
    }

    fn report(&self, key: usize, end: usize, haystack: &[u8], on_match: &mut dyn FnMut(u32, usize)) {
        for v in self.variants.get(key).map_or(&[][..], Vec::as_slice) {
            let wanted = match &v.exact {
                Some(exact) => haystack.get(..end).is_some_and(|h| h.ends_with(exact)),
                None => true,
            };
            if wanted {
                for &id in self.reports.of(v.text as usize) {
                    on_match(id, end);
                }
            }
        }
    }

    fn search(&self, read: &[u8], haystack: &[u8], on_match: &mut dyn FnMut(u32, usize)) {
        match &self.automaton {
            None => {}
            Some(Automaton::DoubleArray(a)) => {
                for m in a.find_overlapping_iter(read) {
                    self.report(m.value() as usize, m.end(), haystack, on_match);
                }
            }
            Some(Automaton::AhoCorasick(a)) => {
                let input = Input::new(read);
                let mut state = OverlappingState::start();
                loop {
                    a.find_overlapping(input.clone(), &mut state);
                    let Some(m) = state.get_match() else { break };
                    self.report(m.pattern().as_usize(), m.end(), haystack, on_match);
                }
            }
        }
    }
}

impl PatternSet for PureSet {
    fn scan(&self, scratch: &mut Scratch, haystack: &[u8], on_match: &mut dyn FnMut(u32, usize)) {
        if !self.fold {
            return self.search(haystack, haystack, on_match);
        }
        let working = working(scratch);
        let copy = working.folded(haystack);
        self.search(&copy, haystack, on_match);
        working.keep(copy);
    }

    fn memory(&self) -> usize {
        let automaton = match &self.automaton {
            None => 0,
            Some(Automaton::AhoCorasick(a)) => a.memory_usage(),
            Some(Automaton::DoubleArray(a)) => a.heap_bytes(),
        };
        let exact = |v: &Variant| size_of::<Variant>() + v.exact.as_ref().map_or(0, |e| e.len());
        let variants: usize = self.variants.iter().flatten().map(exact).sum();
        automaton + variants + self.variants.capacity() * size_of::<Vec<Variant>>() + self.reports.memory()
    }

    /// Building these takes less time than reading them back.
    fn serialize(&self) -> Option<Vec<u8>> {
        None
    }
}

fn keys(patterns: &[Pattern]) -> Keys {
    let (texts, reports) = distinct(patterns);
    let fold = texts.iter().any(|t| t.nocase);
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::with_capacity(texts.len());
    let mut keys = Keys { bytes: Vec::new(), variants: Vec::new(), reports, fold };
    for (text, t) in (0u32..).zip(texts) {
        let lower = if fold { t.bytes.to_ascii_lowercase() } else { t.bytes.clone() };
        let minds = fold && !t.nocase && t.bytes.iter().any(u8::is_ascii_alphabetic);
        let variant = Variant { exact: minds.then(|| t.bytes.into_boxed_slice()), text };
        let key = *seen.entry(lower).or_insert_with_key(|lower| {
            keys.bytes.push(lower.clone());
            keys.variants.push(Vec::new());
            keys.bytes.len() - 1
        });
        keys.variants[key].push(variant);
    }
    keys
}
