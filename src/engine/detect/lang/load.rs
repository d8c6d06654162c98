//! Rule files to a ruleset: the loop over lines, duplicates, counts.

use super::context::Context;
use super::diagnostics::{Code, Diagnostic, Fault, Severity};
use super::lexer::{self, Line};
use super::names::VarTable;
use super::{lints, rule};
use crate::detect::signature::Signature;
use crate::detect::state::datasets::Dataset;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a load did, in rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines that hold a rule.
    pub rules: usize,
    /// Of them, in the ruleset.
    pub loaded: usize,
    /// Of them, refused with an error.
    pub refused: usize,
    /// Of them, left out for a `requires` that is not met.
    pub not_required: usize,
    /// Of them, a second rule of a sid.
    pub repeated: usize,
    /// Warnings given.
    pub warnings: usize,
}

/// A ruleset as read: signatures in the order of the files.
#[derive(Debug, Default)]
pub struct Ruleset {
    pub signatures: Vec<Signature>,
    /// Names behind every `VarId`.
    pub vars: VarTable,
    /// Sets that rules ask or change, those of the configuration among them.
    pub datasets: Vec<Arc<Dataset>>,
    pub diagnostics: Vec<Diagnostic>,
    pub stats: Stats,
}

/// A place in a file, kept for findings made after reading.
#[derive(Clone)]
struct Place {
    file: Arc<str>,
    line: u32,
    span: std::ops::Range<usize>,
    source: String,
}

/// Reads rule files one after the other.
pub struct Loader<'c> {
    cx: &'c Context,
    set: Ruleset,
    /// Index in `set.signatures` by gid and sid.
    by_sid: HashMap<(u32, u32), usize>,
    /// Rules per unparsed protocol, and where the first one stands.
    unparsed: BTreeMap<&'static str, (usize, Place)>,
    headers: rule::HeaderCache,
}

/// One file's text; for several files use a [`Loader`].
pub fn parse_rules(text: &[u8], file: &str, cx: &Context) -> Ruleset {
    let mut loader = Loader::new(cx);
    loader.add(text, file);
    loader.finish()
}

impl<'c> Loader<'c> {
    pub fn new(cx: &'c Context) -> Self {
        Loader {
            cx,
            set: Ruleset::default(),
            by_sid: HashMap::new(),
            unparsed: BTreeMap::new(),
            headers: rule::HeaderCache::default(),
        }
    }

    /// Reads one file's text; `file` is its name in diagnostics.
    pub fn add(&mut self, text: &[u8], file: &str) {
        let file: Arc<str> = file.into();
        for line in lexer::lines(text, self.cx.options.disabled) {
            self.set.stats.rules += 1;
            self.line(&line, &file);
        }
    }

    /// What was read. Findings about the whole come last.
    pub fn finish(mut self) -> Ruleset {
        for (name, (count, place)) in std::mem::take(&mut self.unparsed) {
            let rules = if count == 1 { "1 rule needs".to_owned() } else { format!("{count} rules need") };
            let fault =
                Fault::new(Code::Unparsed, format!("{rules} {name}, which has no parser: loaded, never matching"));
            self.report(&place, fault, None);
        }
        if !self.cx.options.quiet {
            for fault in lints::whole(&self.set.signatures, &self.set.vars) {
                let place = Place { file: "".into(), line: 0, span: 0..0, source: String::new() };
                self.report(&place, fault, None);
            }
        }
        self.set.stats.loaded = self.set.signatures.len();
        self.set.datasets = self.cx.datasets.borrow().sets().to_vec();
        self.set
    }

    fn line(&mut self, line: &Line<'_>, file: &Arc<str>) {
        let parsed = rule::parse(line, file, self.cx, &mut self.set.vars, &mut self.headers);
        match parsed {
            Ok(rule) => {
                let sid = Some(rule.signature.sid);
                for fault in rule.warnings {
                    self.report_at(line, file, fault, sid);
                }
                if let Some(proto) = rule.unparsed {
                    let place = place(line, file, &rule.proto_span);
                    self.unparsed.entry(proto).or_insert((0, place)).0 += 1;
                }
                self.keep(rule.signature, line, file, rule.sid_span);
            }
            Err((fault, sid)) => {
                match fault.code {
                    Code::Requires => self.set.stats.not_required += 1,
                    _ => self.set.stats.refused += 1,
                }
                self.report_at(line, file, fault, sid);
            }
        }
    }

    /// One signature per gid and sid: the higher revision, of equal ones the first.
    fn keep(&mut self, mut sig: Signature, line: &Line<'_>, file: &Arc<str>, span: std::ops::Range<usize>) {
        sig.shrink();
        let key = (sig.gid, sig.sid);
        let Some(&at) = self.by_sid.get(&key) else {
            self.by_sid.insert(key, self.set.signatures.len());
            self.set.signatures.push(sig);
            return;
        };
        let Some(old) = self.set.signatures.get_mut(at) else { return };
        self.set.stats.repeated += 1;
        let newer = sig.rev > old.rev;
        let (kept, left) = if newer { (sig.rev, old.rev) } else { (old.rev, sig.rev) };
        let message = format!("sid {} again: revision {kept} stays, revision {left} is left out", sig.sid);
        let help = format!("the other one is {}:{}", old.origin.file, old.origin.line);
        let sid = Some(sig.sid);
        if newer {
            *old = sig;
        }
        self.report_at(line, file, Fault::new(Code::SidRepeated, message).help(help).at(span), sid);
    }

    fn report_at(&mut self, line: &Line<'_>, file: &Arc<str>, fault: Fault, sid: Option<u32>) {
        let place = place(line, file, &fault.span.clone().unwrap_or(0..1));
        self.report(&place, fault, sid);
    }

    fn report(&mut self, place: &Place, fault: Fault, sid: Option<u32>) {
        let severity = fault.code.severity();
        if severity == Severity::Warning {
            self.set.stats.warnings += 1;
        }
        self.set.diagnostics.push(Diagnostic {
            code: fault.code,
            severity,
            file: Arc::clone(&place.file),
            line: place.line,
            span: place.span.clone(),
            message: fault.message,
            help: fault.help,
            source: place.source.clone(),
            sid,
        });
    }
}

/// Where `span` of a logical line stands in its file.
fn place(line: &Line<'_>, file: &Arc<str>, span: &std::ops::Range<usize>) -> Place {
    let (number, within) = line.locate(span);
    let source = line.text.get(within.clone()).map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
    let start = span.start.saturating_sub(within.start).min(source.len());
    let end = span.end.saturating_sub(within.start).clamp(start, source.len().max(start));
    Place { file: Arc::clone(file), line: number, span: start..end, source }
}
