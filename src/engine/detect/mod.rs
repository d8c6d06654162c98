//! Detection: the rule language, what it compiles to, and matching.
//!
//! `rule` text -> [`signature::Signature`] (keywords) -> groups and pattern sets (compile) -> candidates (prefilter)
//! -> full inspection (inspect) -> hits. Knows protocols only through `applayer::Vocabulary`, and matchers only through
//! the traits of [`matching`]; never names either.

pub mod compile;
pub mod counting;
pub mod inspect;
pub mod keywords;
pub mod lang;
pub mod matching;
mod prefilter;
pub mod signature;
pub mod state;
#[cfg(test)]
pub(crate) mod testkit;
mod threshold;
pub mod transforms;
mod transforms_cache;
