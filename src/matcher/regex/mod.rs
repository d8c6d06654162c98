//! One `pcre`: checked when the rule loads, built when first asked, by the engine that gives it PCRE's meaning.
//!
//! Loading compiles the expression once with PCRE2 (some microseconds) and drops the result: what PCRE2 refuses is
//! refused, and nothing else. Then the translation (`translate`) says whether an automaton of linear time means the
//! same; if so that is built at first use, else PCRE2 with its limits. Building late keeps the load of thousands of
//! expressions short, and most are never reached by a given network's traffic.
//!
//! Invariant: both engines give the same spans for every expression the translation accepts (`tests/translation.rs`).

mod caches;
mod class;
mod linear;
mod lower;
mod parse;
mod spend;
#[cfg(test)]
mod tests;

pub(crate) use caches::Caches;

use crate::factory::Options;
use crate::scratch::working;
use crate::sys::pcre2::{Code, Outcome, Working};
use crate::{scratch, sys};
use engine::detect::matching::{LimitReached, MatcherError, Regex, RegexSpec, Scratch};
use linear::Linear;
use std::ops::Range;
use std::sync::OnceLock;

/// Which engine an expression gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linearity {
    /// An automaton means the same.
    Linear,
    /// PCRE2 alone, and why.
    Backtracking(&'static str),
}

/// For the test of the translation and for `rules explain`.
pub fn linearity(spec: &RegexSpec) -> Linearity {
    match linear::translate(spec) {
        Ok(_) => Linearity::Linear,
        Err(why) => Linearity::Backtracking(why),
    }
}

enum Built {
    Linear(Linear),
    Backtracking(Code),
}

pub(crate) struct PcreRegex {
    spec: RegexSpec,
    options: Options,
    linear: bool,
    /// A match may be sought from a later start as if from the first.
    divisible: bool,
    built: OnceLock<Option<Built>>,
}

impl PcreRegex {
    pub(crate) fn new(spec: &RegexSpec, options: Options) -> Result<PcreRegex, MatcherError> {
        Code::compile(&spec.pattern, switches(spec), false).map_err(MatcherError)?;
        let linear = linear::translate(spec).is_ok();
        let divisible = spend::divisible(&spec.pattern);
        Ok(PcreRegex { spec: spec.clone(), options, linear, divisible, built: OnceLock::new() })
    }

    /// `None` only when memory ran out.
    fn build(&self) -> Option<Built> {
        if self.linear
            && let Some(linear) = Linear::build(&self.spec)
        {
            return Some(Built::Linear(linear));
        }
        Code::compile(&self.spec.pattern, switches(&self.spec), self.options.jit).ok().map(Built::Backtracking)
    }

    fn backtrack(
        &self,
        code: &Code,
        working: &mut scratch::Working,
        haystack: &[u8],
        groups: &mut Vec<Option<Range<usize>>>,
    ) -> Result<Option<Range<usize>>, LimitReached> {
        if working.pcre2.is_none() {
            working.pcre2 = sys::pcre2::Working::new(self.options.depth_limit);
        }
        let pcre2: &mut Working = working.pcre2.as_mut().ok_or(LimitReached)?;
        match spend::find(pcre2, code, haystack, self.options.match_limit, self.divisible) {
            Outcome::Limit => Err(LimitReached),
            Outcome::NoMatch => Ok(None),
            Outcome::Match => {
                if self.spec.captures {
                    groups.extend((0..=code.captures()).map(|i| pcre2.group(i)));
                }
                Ok(pcre2.group(0))
            }
        }
    }
}

impl Regex for PcreRegex {
    fn find(
        &self,
        scratch: &mut Scratch,
        haystack: &[u8],
        groups: &mut Vec<Option<Range<usize>>>,
    ) -> Result<Option<Range<usize>>, LimitReached> {
        groups.clear();
        let working = working(scratch);
        match self.built.get_or_init(|| self.build()) {
            None => Err(LimitReached),
            Some(Built::Linear(linear)) => Ok(linear.find(&mut working.regex, haystack, groups)),
            Some(Built::Backtracking(code)) => self.backtrack(code, working, haystack, groups),
        }
    }

    fn linear(&self) -> bool {
        match self.built.get() {
            Some(Some(Built::Backtracking(_))) => false,
            _ => self.linear,
        }
    }
}

fn switches(spec: &RegexSpec) -> sys::pcre2::Options {
    sys::pcre2::Options {
        caseless: spec.caseless,
        multiline: spec.multiline,
        dot_all: spec.dot_all,
        extended: spec.extended,
        anchored: spec.anchored,
        dollar_end_only: spec.dollar_end_only,
        ungreedy: spec.ungreedy,
    }
}
