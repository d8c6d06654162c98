//! A few literals, searched without an automaton: one by a vectorised substring search, several by Teddy (packed
//! fingerprints of their first bytes).
//!
//! Teddy reports the leftmost candidate only, so every literal is compared at each place it names and the search goes
//! on one byte later; a set is refused (`None`) where that could be slow: more than [`TEXTS_MAX`] texts.

use super::{Reports, Text, distinct};
use crate::scratch::working;
use aho_corasick::packed::{Config, MatchKind, Searcher};
use engine::detect::matching::{Pattern, PatternSet, Scratch};
use memchr::memmem::Finder;

/// Texts of a set, at most.
const TEXTS_MAX: usize = 16;

enum Search {
    One(Finder<'static>),
    Packed(Searcher),
}

pub(crate) struct SmallSet {
    search: Search,
    texts: Vec<Text>,
    reports: Reports,
    fold: bool,
}

impl SmallSet {
    pub(crate) fn new(patterns: &[Pattern]) -> Option<SmallSet> {
        let (texts, reports) = distinct(patterns);
        if texts.is_empty() || texts.len() > TEXTS_MAX {
            return None;
        }
        let fold = texts.iter().any(|t| t.nocase);
        let key = |t: &Text| if fold { t.bytes.to_ascii_lowercase() } else { t.bytes.clone() };
        let search = match texts.as_slice() {
            [one] => Search::One(Finder::new(&key(one)).into_owned()),
            many => {
                let mut builder = Config::new().match_kind(MatchKind::LeftmostFirst).builder();
                builder.extend(many.iter().map(key));
                Search::Packed(builder.build()?)
            }
        };
        Some(SmallSet { search, texts, reports, fold })
    }

    fn search(&self, read: &[u8], haystack: &[u8], on_match: &mut dyn FnMut(u32, usize)) {
        let mut at = 0;
        loop {
            let found = match &self.search {
                Search::One(f) => read.get(at..).and_then(|r| f.find(r)).map(|i| at + i),
                Search::Packed(s) => {
                    if at >= read.len() {
                        return;
                    }
                    s.find_in(read, aho_corasick::Span::from(at..read.len())).map(|m| m.start())
                }
            };
            let Some(start) = found else { return };
            for (i, t) in self.texts.iter().enumerate() {
                let from = if t.nocase { read } else { haystack };
                if from.get(start..).is_some_and(|h| h.starts_with(&t.bytes)) {
                    for &id in self.reports.of(i) {
                        on_match(id, start + t.bytes.len());
                    }
                }
            }
            at = start + 1;
        }
    }
}

impl PatternSet for SmallSet {
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
        let search = match &self.search {
            Search::One(f) => f.needle().len(),
            Search::Packed(s) => s.memory_usage(),
        };
        search + self.texts.iter().map(|t| size_of::<Text>() + t.bytes.len()).sum::<usize>() + self.reports.memory()
    }

    fn serialize(&self) -> Option<Vec<u8>> {
        None
    }
}
