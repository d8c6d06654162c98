//! The two factories and the rule by which a set gets its engine.
//!
//! Where there is Hyperscan it takes every set: its call costs 20 to 30 ns, no more than the others' on 20 bytes, and
//! on longer haystacks it leads at every size. Without it, Teddy leads up to [`SMALL_MAX`] literals (1,460 bytes
//! against 8: 0.22 us, double array 1.3), the double array beyond. `stopgap-bench matchers` measures this.

use crate::literal::{PureSet, SmallSet};
use crate::regex::PcreRegex;
use crate::scratch::Working;
#[cfg(hyperscan_lib)]
use crate::{literal::HyperscanSet, sys};
use engine::detect::matching::{MatcherError, MatcherFactory, Pattern, PatternSet, Regex, RegexSpec, Scratch};
use std::sync::Arc;
#[cfg(hyperscan_lib)]
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(hyperscan_lib)]
use std::sync::{Mutex, PoisonError};

/// What a regex may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Backtracking steps from one start position (`match_limit` of PCRE2); all starts of one search share a budget beside.
    pub match_limit: u32,
    /// Nested backtracking points (`depth_limit` of PCRE2; its JIT code has a stack limit in its place).
    pub depth_limit: u32,
    /// Machine code for backtracking expressions, where the system allows it.
    pub jit: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { match_limit: 3_500, depth_limit: 1_500, jit: true }
    }
}

/// Sets of at most this many patterns are searched without an automaton.
const SMALL_MAX: usize = 16;

pub(crate) fn pure(options: Options) -> Arc<dyn MatcherFactory> {
    Arc::new(Pure { options })
}

pub(crate) fn best(options: Options) -> Arc<dyn MatcherFactory> {
    #[cfg(hyperscan_lib)]
    if sys::hyperscan::usable() {
        return Arc::new(Hyperscan { options, grown: Mutex::new(None), compiled: AtomicBool::new(false) });
    }
    pure(options)
}

/// Each engine by name, for the suite that holds them to the same answers and for measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Small,
    DoubleArray,
    #[cfg(hyperscan_lib)]
    Hyperscan,
}

impl Engine {
    pub const ALL: &[Engine] = &[
        Engine::Small,
        Engine::DoubleArray,
        #[cfg(hyperscan_lib)]
        Engine::Hyperscan,
    ];
}

/// A set by a named engine; `None` where that engine does not take it.
pub fn compile_with(engine: Engine, patterns: &[Pattern]) -> Result<Option<Box<dyn PatternSet>>, MatcherError> {
    check(patterns)?;
    Ok(match engine {
        Engine::Small => SmallSet::new(patterns).map(|s| Box::new(s) as _),
        Engine::DoubleArray => Some(Box::new(PureSet::new(patterns)?)),
        #[cfg(hyperscan_lib)]
        Engine::Hyperscan if patterns.is_empty() => None,
        #[cfg(hyperscan_lib)]
        Engine::Hyperscan => Some(Box::new(HyperscanSet::compile(patterns)?)),
    })
}

fn check(patterns: &[Pattern]) -> Result<(), MatcherError> {
    match patterns.iter().find(|p| p.bytes.is_empty()) {
        Some(p) => Err(MatcherError(format!("pattern {} is empty", p.id))),
        None => Ok(()),
    }
}

struct Pure {
    options: Options,
}

impl MatcherFactory for Pure {
    fn identity(&self) -> String {
        format!("pure {}", env!("CARGO_PKG_VERSION"))
    }

    fn scratch(&self) -> Result<Scratch, MatcherError> {
        Ok(Box::new(Working::default()))
    }

    fn compile(&self, patterns: &[Pattern]) -> Result<Box<dyn PatternSet>, MatcherError> {
        check(patterns)?;
        if patterns.len() <= SMALL_MAX
            && let Some(small) = SmallSet::new(patterns)
        {
            return Ok(Box::new(small));
        }
        Ok(Box::new(PureSet::new(patterns)?))
    }

    fn deserialize(&self, _bytes: &[u8]) -> Result<Box<dyn PatternSet>, MatcherError> {
        Err(MatcherError("sets of this matcher are compiled, never stored".into()))
    }

    fn regex(&self, spec: &RegexSpec) -> Result<Box<dyn Regex>, MatcherError> {
        Ok(Box::new(PcreRegex::new(spec, self.options)?))
    }
}

#[cfg(hyperscan_lib)]
struct Hyperscan {
    options: Options,
    /// Grown for every database made so far; threads get copies.
    grown: Mutex<Option<sys::hyperscan::Scratch>>,
    /// The compiler has left memory behind since its heap was last trimmed.
    compiled: AtomicBool,
}

#[cfg(hyperscan_lib)]
impl Hyperscan {
    fn admit(&self, set: HyperscanSet) -> Result<Box<dyn PatternSet>, MatcherError> {
        let mut grown = self.grown.lock().unwrap_or_else(PoisonError::into_inner);
        match grown.as_mut() {
            Some(scratch) => set.grow(scratch)?,
            None => *grown = Some(set.scratch()?),
        }
        Ok(Box::new(set))
    }
}

#[cfg(hyperscan_lib)]
impl MatcherFactory for Hyperscan {
    fn identity(&self) -> String {
        format!("{} matcher {}", sys::hyperscan::identity(), env!("CARGO_PKG_VERSION"))
    }

    fn scratch(&self) -> Result<Scratch, MatcherError> {
        // Asked for when all sets are made, and again by each worker and after a fault.
        if self.compiled.swap(false, Ordering::Relaxed) {
            sys::hyperscan::trim_heap();
        }
        let grown = self.grown.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = match grown.as_ref() {
            Some(scratch) => Some(scratch.try_clone().map_err(|e| MatcherError(e.0))?),
            None => None,
        };
        Ok(Box::new(Working::with_hyperscan(copy)))
    }

    fn compile(&self, patterns: &[Pattern]) -> Result<Box<dyn PatternSet>, MatcherError> {
        check(patterns)?;
        if patterns.is_empty() {
            return Ok(Box::new(PureSet::new(patterns)?));
        }
        self.compiled.store(true, Ordering::Relaxed);
        self.admit(HyperscanSet::compile(patterns)?)
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Box<dyn PatternSet>, MatcherError> {
        self.admit(HyperscanSet::deserialize(bytes)?)
    }

    fn regex(&self, spec: &RegexSpec) -> Result<Box<dyn Regex>, MatcherError> {
        Ok(Box::new(PcreRegex::new(spec, self.options)?))
    }
}
