//! What detection needs of a matcher. Implemented outside the engine; one match suite holds all implementations to the
//! same answers.

use std::any::Any;
use std::ops::Range;

/// A literal to look for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// One byte or more.
    pub bytes: Vec<u8>,
    /// ASCII case does not matter.
    pub nocase: bool,
    /// What a match reports; several patterns may share one.
    pub id: u32,
}

/// A thread's working memory for every set of one factory.
pub type Scratch = Box<dyn Any + Send>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatcherError(pub String);

impl std::fmt::Display for MatcherError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MatcherError {}

/// An immutable set of literals.
pub trait PatternSet: Send + Sync {
    /// Reports each pattern id that occurs in `haystack`, at least once, at most once per occurrence, in any order,
    /// with the offset just past the occurrence's last byte. Of several occurrences the first is among those reported.
    fn scan(&self, scratch: &mut Scratch, haystack: &[u8], on_match: &mut dyn FnMut(u32, usize));

    /// Bytes of memory, about.
    fn memory(&self) -> usize;

    /// For the cache of compiled rulesets; `None` where compiling again is as cheap.
    fn serialize(&self) -> Option<Vec<u8>>;
}

/// One pcre of a rule, its delimiters and modifiers taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RegexSpec {
    /// The expression as written between the delimiters, bytes above 0x7f as they stand.
    pub pattern: Vec<u8>,
    pub caseless: bool,
    /// `m`
    pub multiline: bool,
    /// `s`
    pub dot_all: bool,
    /// `x`
    pub extended: bool,
    /// `A`
    pub anchored: bool,
    /// `E`: `$` matches only at the very end.
    pub dollar_end_only: bool,
    /// `G`
    pub ungreedy: bool,
    /// Captures are wanted (variables).
    pub captures: bool,
}

/// The regex gave up at its limit: neither a match nor none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitReached;

pub trait Regex: Send + Sync {
    /// The first match in `haystack`. Group 0 is the whole match; `groups` is filled only where captures were asked for.
    fn find(
        &self,
        scratch: &mut Scratch,
        haystack: &[u8],
        groups: &mut Vec<Option<Range<usize>>>,
    ) -> Result<Option<Range<usize>>, LimitReached>;

    /// Whether time is linear in the haystack by construction.
    fn linear(&self) -> bool;
}

/// A matcher library.
pub trait MatcherFactory: Send + Sync {
    /// Name and version, and what of the processor it depends on: part of the cache key.
    fn identity(&self) -> String;

    /// Working memory that serves every set and regex this factory has made so far.
    fn scratch(&self) -> Result<Scratch, MatcherError>;

    fn compile(&self, patterns: &[Pattern]) -> Result<Box<dyn PatternSet>, MatcherError>;

    /// From [`PatternSet::serialize`]; any damage is an error.
    fn deserialize(&self, bytes: &[u8]) -> Result<Box<dyn PatternSet>, MatcherError>;

    /// Compiles, or checks only and defers the costly part to first use: either way a pattern that cannot be compiled
    /// is an error here.
    fn regex(&self, spec: &RegexSpec) -> Result<Box<dyn Regex>, MatcherError>;
}
