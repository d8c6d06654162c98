//! A published ruleset of 35,000 rules: what of it loads, and how fast.

use super::testing::context;
use super::{Classifications, Loader, References, Ruleset, Severity};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn folder() -> Option<PathBuf> {
    let found = std::env::var_os("STOPGAP_DATA").map(|d| PathBuf::from(d).join("rules/etopen-2024-04"));
    if found.is_none() {
        println!("skipped: STOPGAP_DATA is not set");
    }
    found
}

fn read(disabled: bool) -> Option<(Ruleset, std::time::Duration)> {
    let folder = folder()?;
    let mut cx = context();
    cx.options.disabled = disabled;
    let text = std::fs::read_to_string(folder.join("classification.config")).unwrap();
    let (classes, faults) = Classifications::parse(&text, "classification.config");
    assert!(faults.is_empty(), "{faults:?}");
    cx.classes = classes;
    cx.references = References::default();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "rules"));
    files.sort();
    let texts: Vec<_> = files.iter().map(|f| (f.display().to_string(), std::fs::read(f).unwrap())).collect();
    let begin = std::time::Instant::now();
    let mut loader = Loader::new(&cx);
    for (name, text) in &texts {
        loader.add(text, name);
    }
    let set = loader.finish();
    Some((set, begin.elapsed()))
}

fn report(set: &Ruleset) {
    set.signatures.iter().for_each(|s| s.check());
    let mut by_code: BTreeMap<_, usize> = BTreeMap::new();
    for d in &set.diagnostics {
        *by_code.entry((d.code.name(), d.severity.name())).or_default() += 1;
    }
    println!("{:?} {by_code:?}", set.stats);
    for d in set.diagnostics.iter().filter(|d| d.severity == Severity::Error).take(60) {
        println!("{}", d.render(false));
    }
}

#[test]
fn every_enabled_rule_loads() {
    let Some((set, took)) = read(false) else { return };
    report(&set);
    println!("read in {took:?}");
    assert_eq!(set.stats.rules, 24_827);
    assert_eq!(set.stats.refused, 0);
    assert_eq!(set.stats.loaded, 24_827);
}

#[test]
fn next_to_every_disabled_rule_loads() {
    let Some((set, _)) = read(true) else { return };
    report(&set);
    let disabled = set.stats.rules - 24_827;
    assert_eq!(disabled, 10_023);
    assert!(set.stats.refused * 1000 <= disabled * 5, "{} refused", set.stats.refused);
}
