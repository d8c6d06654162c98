//! The rule language: text in, signatures and diagnostics out.
//!
//! A [`Loader`] reads rule files one after the other against a [`Context`] and ends as a [`Ruleset`]. What a rule may
//! say is in tables: keywords in `detect::keywords`, transforms in `detect::transforms`, buffers and the rest in the
//! protocols' rows. A rule that cannot be understood, or that could never match, is refused with a diagnostic and the
//! next one is read; nothing a file holds stops a load. Knows no matcher: whether a pcre compiles is asked when the
//! ruleset is compiled.
//!
//! Semantics are Suricata's as its user guide gives them; where it refuses a combination, so does this.

mod builder;
mod config;
mod context;
mod datasets;
mod diagnostics;
mod fast_pattern;
mod finish;
mod groups;
mod lexer;
mod lints;
mod load;
mod manual;
mod names;
mod order;
mod ranges;
mod reputation;
mod rule;
mod thresholds;

pub use builder::Builder;
pub use config::{Class, Classifications, References};
pub use context::{Context, EventLookup, Events, Name, Options, Shape};
pub use datasets::{DatasetSettings, Datasets, Declaration, Format as DataFormat, JsonKeys, ListFiles};
pub use diagnostics::{Code, Diagnostic, Fault, Severity};
pub use groups::Vars;
pub use lexer::RULE_BYTES_MAX;
pub use load::{Loader, Ruleset, Stats, parse_rules};
pub use manual::{Entry, manual};
pub use names::{VarKind, VarTable};
pub use order::{ActionOrder, order};
pub use reputation::{Reputation, SCORE_MAX};
pub use thresholds::ThresholdFile;

/// The fuzz target `rule`.
pub mod fuzz {
    use super::{Context, Events, Loader, Severity, order};
    use crate::applayer::Vocabulary;

    /// The file of a dataset, of any bytes.
    pub use super::datasets::fuzz as dataset;

    /// Reputation lists of any bytes.
    pub use super::reputation::fuzz as reputation;

    /// A threshold file of any bytes: entries and diagnostics, each within its line.
    pub fn thresholds(data: &[u8]) {
        let mut vars = super::Vars::new();
        vars.set_address("HOME_NET", "10.0.0.0/8");
        let (file, faults) = super::ThresholdFile::parse(&String::from_utf8_lossy(data), "fuzz.config", &vars);
        for d in &faults {
            assert!(d.span.end <= d.source.len(), "a span outside its line");
            let _ = d.render(false);
        }
        for d in file.apply(&mut []) {
            assert_eq!(d.severity, Severity::Warning);
        }
    }

    /// Classifications and references of any bytes; each fault within its line.
    pub fn classes(data: &[u8]) {
        let text = String::from_utf8_lossy(data);
        let (classes, faults) = super::Classifications::parse(&text, "fuzz.config");
        let (references, more) = super::References::parse(&text, "fuzz.config");
        assert!(faults.iter().chain(&more).all(|d| d.span.end <= d.source.len()), "a span outside its line");
        let lines = text.lines().count();
        assert!(faults.len() <= lines && more.len() <= lines && classes.len() <= lines);
        let _ = (references.prefix("cve"), classes.class("a"));
    }

    /// Rule text of any bytes: loads, or is refused with a diagnostic that can be shown; what loads holds together.
    pub fn rule(vocabulary: Vocabulary, data: &[u8]) {
        let mut cx = Context::new(vocabulary, Events::default());
        cx.vars.set_address("HOME_NET", "[10.0.0.0/8,192.168.0.0/16]");
        cx.vars.set_address("EXTERNAL_NET", "!$HOME_NET");
        cx.vars.set_port("HTTP_PORTS", "80");
        cx.options.disabled = true;
        let mut reputation = super::Reputation::default();
        reputation.add_categories("1,bad,Known bad", "fuzz");
        cx.reputation = std::sync::Arc::new(reputation);
        let mut loader = Loader::new(&cx);
        loader.add(data, "fuzz.rules");
        let mut set = loader.finish();
        let stats = set.stats;
        assert_eq!(stats.rules, stats.loaded + stats.refused + stats.not_required + stats.repeated, "rules lost");
        let errors = set.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        assert_eq!(errors, stats.refused, "a refusal without a word");
        for d in &set.diagnostics {
            assert!(d.span.end <= d.source.len() || d.line == 0, "a span outside its line");
            let _ = (d.render(true), d.column());
        }
        for s in &set.signatures {
            s.check();
        }
        order(&mut set.signatures, &super::ActionOrder::default());
    }
}

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
