//! The linear-time engine: regex-automata's meta regex (lazy DFA, one-pass, bounded backtracker, PikeVM by need) over
//! the translated expression.
//!
//! Memory is bounded on both ends: the compiled automaton by [`NFA_BYTES_MAX`], a thread's lazy DFA by
//! [`DFA_CACHE_BYTES`] and all of a thread's together by [`super::Caches`]. A full lazy DFA starts over, and where that
//! happens too often the meta engine goes on without it, still in linear time.

use super::caches::Caches;
use super::lower::{Lowered, lower};
use super::parse::{Why, parse};
use engine::detect::matching::RegexSpec;
use regex_automata::meta::{Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input, MatchKind};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one compiled automaton.
const NFA_BYTES_MAX: usize = 2 << 20;
/// Bytes of one lazy DFA's cache, per thread and direction.
const DFA_CACHE_BYTES: usize = 512 << 10;

pub(super) struct Linear {
    regex: Regex,
    /// Unlike that of any other in this process: the key of its caches.
    id: u64,
    anchored: Anchored,
    captures: u32,
    keep_captures: bool,
    markers: Vec<u32>,
}

pub(super) fn translate(spec: &RegexSpec) -> Result<Lowered, Why> {
    lower(&parse(spec)?, spec.captures)
}

impl Linear {
    /// `None` where the expression has no such form or it grows too large.
    pub(super) fn build(spec: &RegexSpec) -> Option<Linear> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let lowered = translate(spec).ok()?;
        let groups = spec.captures || !lowered.markers.is_empty();
        let config = Config::new()
            .match_kind(MatchKind::LeftmostFirst)
            .utf8_empty(false)
            .nfa_size_limit(Some(NFA_BYTES_MAX))
            .onepass_size_limit(Some(64 << 10))
            .hybrid_cache_capacity(DFA_CACHE_BYTES)
            .which_captures(if groups { WhichCaptures::All } else { WhichCaptures::Implicit });
        let regex = Regex::builder().configure(config).build_from_hir(&lowered.hir).ok()?;
        Some(Linear {
            regex,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            anchored: if spec.anchored { Anchored::Yes } else { Anchored::No },
            captures: lowered.captures,
            keep_captures: spec.captures,
            markers: lowered.markers,
        })
    }

    /// Fills `groups` where captures are kept.
    pub(super) fn find(
        &self,
        caches: &mut Caches,
        haystack: &[u8],
        groups: &mut Vec<Option<Range<usize>>>,
    ) -> Option<Range<usize>> {
        let cache = caches.of(self.id, &self.regex);
        let input = Input::new(haystack).anchored(self.anchored);
        let found = self.regex.search_with(cache, &input)?;
        // Only here may the newline that ends the haystack be counted wrongly.
        let ends_on_newline = found.end() == haystack.len() && haystack.last() == Some(&b'\n');
        let mark = ends_on_newline && !self.markers.is_empty();
        if !mark && !self.keep_captures {
            return Some(found.range());
        }
        let mut captures: Captures = self.regex.create_captures();
        let input = Input::new(haystack).range(found.start()..haystack.len()).anchored(Anchored::Yes);
        self.regex.search_captures_with(cache, &input, &mut captures);
        let group = |i: u32| captures.get_group(i as usize).map(|s| s.range());
        let mut span = found.range();
        if mark && self.markers.iter().any(|&m| group(m).is_some()) {
            span.end -= 1;
        }
        if self.keep_captures {
            let end = span.end;
            // A group around a `$` has the newline inside as well.
            let clip = |r: Range<usize>| r.start.min(end)..r.end.min(end);
            groups.extend((0..=self.captures).map(|i| group(i).map(clip)));
        }
        Some(span)
    }
}
