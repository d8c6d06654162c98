//! What is said about every kind of wrong rule, word for word.
//!
//! `UPDATE_GOLDEN=1` writes the expected text anew; read the difference before keeping it.

use super::testing::{context, load};
use super::{Classifications, Code, References, Severity};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

fn set() -> super::Ruleset {
    let mut cx = context();
    cx.vars.set_address("LOOP", "[1.1.1.1,$POOL]");
    cx.vars.set_address("POOL", "$LOOP");
    cx.options.off = vec![("modbus".into(), "the configuration switches it off".into())];
    cx.classes = Classifications::parse("config classification: misc,Misc,3", "c").0;
    cx.references = References::parse("config reference: cve http://x/", "r").0;
    load(&cx, include_str!("testdata/diagnostics.rules"))
}

#[test]
fn diagnostics_read_as_expected() {
    let set = set();
    let mut text = String::new();
    for d in &set.diagnostics {
        let _ = writeln!(text, "{}", d.render(false));
    }
    let _ = writeln!(text, "{:?}", set.stats);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("detect/lang/testdata/diagnostics.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (i, (a, b)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(a, b, "line {}", i + 1);
    }
    assert_eq!(text.lines().count(), expected.lines().count());
}

#[test]
fn most_codes_have_their_example() {
    let seen: BTreeSet<Code> = set().diagnostics.iter().map(|d| d.code).collect();
    // Of files other than rules, or hard to write in one that people read.
    let elsewhere = [
        Code::TooLong,
        Code::ControlCharacter,
        Code::Encoding,
        Code::ClassificationLine,
        Code::ReferenceLine,
        Code::ThresholdLine,
        Code::ThresholdRule,
        Code::DatasetFile,
        Code::ReputationLine,
    ];
    let missing: Vec<_> = Code::ALL.iter().filter(|c| !seen.contains(c) && !elsewhere.contains(c)).collect();
    assert_eq!(missing, [&Code::NeedsBuffer], "a buffer-less bsize is in the keyword table");
    assert!(set().diagnostics.iter().all(|d| d.severity == d.code.severity()));
    assert!(set().diagnostics.iter().any(|d| d.severity == Severity::Note));
}
