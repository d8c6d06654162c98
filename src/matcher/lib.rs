//! Multi-pattern and regular-expression engines behind the traits of `engine::detect::matching`.
//!
//! Owns: the choice of engine for a set of literals (Hyperscan, a small vectorised search, a double-array
//! automaton), the translation of `pcre` into linear-time automata where the meaning is the same, PCRE2 where it is not,
//! and a thread's working memory for all of them. Must not know: rules, buffers, groups, files, the clock.
//!
//! Invariants: every engine reports the same set of ids for the same input as a naive search would (`tests/`), and a
//! regex gives the spans PCRE2 gives. `unsafe` is in `sys` alone.
#![deny(unsafe_code)]

mod factory;
mod literal;
mod regex;
mod scratch;
#[allow(unsafe_code)]
mod sys;

use engine::detect::matching::MatcherFactory;
use std::sync::Arc;

pub use factory::Options;
#[doc(hidden)]
pub use factory::{Engine, compile_with};
#[doc(hidden)]
pub use regex::{Linearity, linearity};

/// The best matcher this build and processor have: Hyperscan with its companions, else pure Rust.
pub fn factory() -> Arc<dyn MatcherFactory> {
    factory::best(Options::default())
}

/// [`factory()`] with limits of one's own.
pub fn factory_with(options: Options) -> Arc<dyn MatcherFactory> {
    factory::best(options)
}

/// Without Hyperscan. `pcre` still uses PCRE2 where a linear-time automaton cannot serve.
pub fn pure_rust() -> Arc<dyn MatcherFactory> {
    factory::pure(Options::default())
}
