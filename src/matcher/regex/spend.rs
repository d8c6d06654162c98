//! What one search with PCRE2 may spend over all the positions it begins at.
//!
//! PCRE2's own limit is for each start, and a buffer has as many starts as bytes: an expression that is dear at every
//! start would cost their product. Here all starts share a budget. The first pass gives each start an equal part of it;
//! where that is too little for some, their stretch is divided, its pieces get more, and so on up to the limit of a start
//! alone. So one dear start among many cheap ones has all its steps, and a buffer dear everywhere ends at the budget.
//! What is spent is counted as if every start took all it may: the answer depends on nothing but expression and bytes.

use crate::sys::pcre2::{Code, Outcome, Working};
use std::ops::Range;

/// Steps of one pass over a buffer's starts.
const PASS_STEPS: u64 = 1 << 22;
/// Steps of all passes of a search.
const SEARCH_STEPS: u64 = 4 * PASS_STEPS;
/// Fewer are given to no start.
const START_STEPS_MIN: u64 = 16;
/// A stretch that was given too little is divided into so many, each start with so many times the steps.
const PIECES: usize = 8;

/// Whether a search may begin anew at a later start. Not where the expression says where it began (`\G`) or forbids
/// other starts (verbs in `(*`).
pub(super) fn divisible(pattern: &[u8]) -> bool {
    !pattern.windows(2).any(|w| w == b"\\G" || w == b"(*")
}

/// The first match. `limit`: steps from one start.
pub(super) fn find(pcre2: &mut Working, code: &Code, haystack: &[u8], limit: u32, divisible: bool) -> Outcome {
    let all = 0..haystack.len() + 1;
    if code.anchored() {
        return pcre2.find(code, haystack, all, limit);
    }
    let limit = u64::from(limit);
    let first = (PASS_STEPS / all.len() as u64).max(START_STEPS_MIN).min(limit);
    let mut left = SEARCH_STEPS;
    // Stretches to search, the earliest last, each with its starts' steps.
    let mut todo: Vec<(Range<usize>, u64)> = Vec::new();
    let mut next = Some((all, first));
    while let Some((starts, steps)) = next {
        let price = steps.saturating_mul(starts.len() as u64);
        if price > left {
            return Outcome::Limit;
        }
        left -= price;
        match pcre2.find(code, haystack, starts.clone(), steps as u32) {
            Outcome::Match => return Outcome::Match,
            Outcome::NoMatch => {}
            Outcome::Limit if steps >= limit || !divisible => return Outcome::Limit,
            Outcome::Limit => {
                let each = starts.len().div_ceil(PIECES);
                let more = (steps * PIECES as u64).min(limit);
                let pieces = starts.clone().step_by(each).map(|at| (at..(at + each).min(starts.end), more));
                let held = todo.len();
                todo.extend(pieces);
                todo.get_mut(held..).into_iter().for_each(<[_]>::reverse);
            }
        }
        next = todo.pop();
    }
    Outcome::NoMatch
}
