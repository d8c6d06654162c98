//! Rule files to a compiled ruleset: patterns expanded, classifications found, everything that went wrong kept.

use crate::cli::SettingArgs;
use crate::console::{Failure, warning};
use crate::lists;
use control::cache::{BYTES_MAX_DEFAULT, RulesetCache};
use control::config::Config;
use engine::detect::compile::{DatabaseCache, Refused, Ruleset, Settings as CompileSettings};
use engine::detect::lang::{
    Classifications, Code, Context, Diagnostic, Events, Loader, References, Severity, Stats, ThresholdFile, order,
};
use engine::detect::signature::{Signature, VarId};
use engine::detect::state::datasets::Dataset;
use engine::record::RulesRead;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a rule kind's description comes from when no file is found.
const CLASSIFICATIONS: &str = include_str!("classification.config");
const REFERENCES: &str = include_str!("reference.config");

/// Diagnostics of rules that a run shows; `rules check` shows all.
const SHOWN_MAX: usize = 20;

/// Of the next ruleset that is compiled.
static EPOCH: AtomicU64 = AtomicU64::new(1);

/// How to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    pub disabled: bool,
    pub quiet: bool,
    /// Unknown classtypes and reference kinds refuse a rule.
    pub strict: bool,
    /// Rules may wait for what only other versions of another engine know.
    pub foreign: bool,
    /// Only the classification and reference files that are named count, not those found beside the rules.
    pub named_only: bool,
}

/// A ruleset and all there is to say about its loading.
pub struct Loaded {
    pub ruleset: Arc<Ruleset>,
    pub stats: Stats,
    pub diagnostics: Vec<Diagnostic>,
    /// Files that could not be read, patterns that matched none.
    pub unread: Vec<String>,
    /// Files that were read.
    pub files: usize,
    /// Sets that rules look up; those that are kept are written when the run is over.
    pub datasets: Vec<Arc<Dataset>>,
}

impl Loaded {
    /// Some rule or file was refused.
    pub fn incomplete(&self) -> bool {
        self.stats.refused > 0 || !self.unread.is_empty()
    }

    /// As the `stats` record tells it.
    pub fn rules_read(&self) -> RulesRead {
        let of = |n: usize| n as u64;
        let s = &self.stats;
        RulesRead { loaded: of(s.loaded), failed: of(s.refused), skipped: of(s.not_required) }
    }

    /// What is wrong with the first refused rules, and what to say of any further ones.
    pub fn refusals(&self) -> (Vec<String>, Option<String>) {
        let errors = self.diagnostics.iter().filter(|d| d.severity == Severity::Error);
        let more = errors.clone().count().saturating_sub(SHOWN_MAX);
        let shown = errors.take(SHOWN_MAX).map(|d| d.render(false).trim_end().to_string()).collect();
        let said = || format!("{more} more rules were refused: `stopgap rules check` shows them");
        (shown, (more > 0).then(said))
    }

    pub fn warnings(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Warning).count()
    }
}

/// The language with no variables: for the manual.
pub fn vocabulary_context() -> Context {
    let events =
        Events { decode: engine::decode::events::event_by_name, stream: engine::stream::events::event_by_name };
    Context::new(engine::proto::registry::vocabulary(), events)
}

/// Reads and compiles. Fails where there is nothing to go on with: files were named and none could be read, a named
/// classification file is missing, the matcher itself fails.
pub fn load(patterns: &[String], config: &Config, args: &SettingArgs, reading: Reading) -> Result<Loaded, Failure> {
    let (paths, mut unread) = expand(patterns);
    let mut cx = vocabulary_context();
    for (name, value) in &config.vars.addresses {
        cx.vars.set_address(name, value);
    }
    for (name, value) in &config.vars.ports {
        cx.vars.set_port(name, value);
    }
    cx.options.disabled = reading.disabled;
    cx.options.quiet = reading.quiet;
    cx.options.strict = reading.strict;
    cx.options.foreign = reading.foreign;
    cx.options.off = config.off.clone();
    let mut diagnostics = lists::prepare(&mut cx, &config.lists)?;
    let beside = paths.first().and_then(|p| p.parent()).filter(|_| !reading.named_only);
    let wanted = args.classification.as_deref().or(config.classification_file.as_deref());
    let (text, name) = companion(wanted, beside, "classification.config", CLASSIFICATIONS)?;
    let (classes, faults) = Classifications::parse(&text, &name);
    (cx.classes, diagnostics) = (classes, [diagnostics, faults].concat());
    let wanted = args.reference.as_deref().or(config.reference_file.as_deref());
    let (text, name) = companion(wanted, beside, "reference.config", REFERENCES)?;
    let (references, faults) = References::parse(&text, &name);
    (cx.references, diagnostics) = (references, [diagnostics, faults].concat());
    if let Some((name, fault)) = cx.vars.check().into_iter().next() {
        return Err(Failure(format!("variable {name}: {}", fault.message)));
    }
    let mut loader = Loader::new(&cx);
    let mut files = 0;
    for path in &paths {
        match read(path) {
            Ok(bytes) => {
                files += 1;
                loader.add(&bytes, &path.display().to_string());
            }
            Err(why) => unread.push(why),
        }
    }
    if files == 0 && !unread.is_empty() {
        return Err(Failure(unread.join("\nerror: ")));
    }
    let source = loader.finish();
    let mut stats = source.stats;
    diagnostics.extend(source.diagnostics);
    let mut signatures = source.signatures;
    if let Some(path) = &config.lists.threshold_file {
        match thresholds(path, &cx, &mut signatures) {
            Ok(faults) => diagnostics.extend(faults),
            Err(Failure(why)) => unread.push(why),
        }
    }
    order(&mut signatures, &config.action_order);
    let names = (0..source.vars.len() as u32).map(|i| source.vars.name(VarId(i)).unwrap_or_default().to_string());
    // What flows remember of one ruleset is nothing to the next.
    let epoch = EPOCH.fetch_add(1, Ordering::Relaxed);
    let settings = CompileSettings { var_names: names.collect(), epoch };
    let factory = matcher::factory();
    let mut cache = args.cache.as_deref().and_then(|dir| open_cache(dir, &factory.identity()));
    let held = cache.as_mut().map(|c| c as &mut dyn DatabaseCache);
    let compiled = Ruleset::compile(signatures, cx.vocabulary, factory, held, settings)?;
    for w in cache.iter().flat_map(RulesetCache::warnings) {
        warning(w);
    }
    for r in &compiled.refused {
        stats.refused += 1;
        stats.loaded = stats.loaded.saturating_sub(1);
        diagnostics.push(uncompiled(r));
    }
    Ok(Loaded { ruleset: Arc::new(compiled.ruleset), stats, diagnostics, unread, files, datasets: source.datasets })
}

/// Lays what a threshold file says over the signatures; says what is wrong with it.
fn thresholds(path: &Path, cx: &Context, signatures: &mut [Signature]) -> Result<Vec<Diagnostic>, Failure> {
    let text = lists::text(path)?;
    let (file, mut faults) = ThresholdFile::parse(&text, &path.display().to_string(), &cx.vars);
    faults.extend(file.apply(signatures));
    Ok(faults)
}

/// A cache that cannot be used is a warning: rules load without it, only slower.
fn open_cache(dir: &Path, identity: &str) -> Option<RulesetCache> {
    RulesetCache::open(dir, identity, BYTES_MAX_DEFAULT).map_err(|e| warning(&e.to_string())).ok()
}

/// Files named by patterns, in order, each once; and what named none.
pub fn expand(patterns: &[String]) -> (Vec<PathBuf>, Vec<String>) {
    let (mut paths, mut unread, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for pattern in patterns {
        // A file by that very name comes before a pattern.
        if Path::new(pattern).exists() || !pattern.contains(['*', '?', '[']) {
            if seen.insert(PathBuf::from(pattern)) {
                paths.push(PathBuf::from(pattern));
            }
            continue;
        }
        match glob::glob(pattern) {
            Ok(found) => {
                let before = seen.len();
                let mut any = false;
                for path in found.flatten() {
                    any = true;
                    if seen.insert(path.clone()) {
                        paths.push(path);
                    }
                }
                if !any && before == seen.len() {
                    unread.push(format!("{pattern}: no file matches"));
                }
            }
            Err(e) => unread.push(format!("{pattern}: not a file pattern: {e}")),
        }
    }
    (paths, unread)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    if path.is_dir() {
        let name = path.display();
        return Err(format!("{name}: is a directory; write '{name}/*.rules' for the rule files in it"));
    }
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The text of a file beside the rules: the one asked for, the one found, or the one built in.
fn companion(
    wanted: Option<&Path>,
    beside: Option<&Path>,
    name: &str,
    built_in: &str,
) -> Result<(String, String), Failure> {
    let found = beside.map(|d| d.join(name)).filter(|p| p.is_file());
    match wanted.or(found.as_deref()) {
        Some(path) => {
            let bytes = read(path).map_err(Failure)?;
            Ok((String::from_utf8_lossy(&bytes).into_owned(), path.display().to_string()))
        }
        None => Ok((built_in.to_string(), format!("built-in {name}"))),
    }
}

fn uncompiled(r: &Refused) -> Diagnostic {
    let text = std::fs::read(&r.file).unwrap_or_default();
    let line = text.split(|b| *b == b'\n').nth(r.line.saturating_sub(1) as usize).unwrap_or_default();
    let source = String::from_utf8_lossy(line).into_owned();
    Diagnostic {
        code: Code::Unsupported,
        severity: Severity::Error,
        file: r.file.as_str().into(),
        line: r.line,
        span: 0..source.len(),
        message: r.why.clone(),
        help: None,
        source,
        sid: Some(r.sid),
    }
}
