//! Every folder of `tests/cases`, each in all its variants. `STOPGAP_CASE=word` runs those whose names hold the word.

use harness::case::Case;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn folders() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let wanted = std::env::var("STOPGAP_CASE").unwrap_or_default();
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.is_dir() && p.to_string_lossy().contains(&wanted));
    all.sort();
    all
}

#[test]
fn every_case_holds() {
    let folders = folders();
    assert!(!folders.is_empty());
    let next = Mutex::new(folders.iter());
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(folder) = next.lock().unwrap().next() else { return };
            let name = folder.file_name().unwrap().to_string_lossy();
            let failed = match Case::load(folder) {
                Ok(case) => case.failures(),
                Err(e) => vec![e],
            };
            failures.lock().unwrap().extend(failed.into_iter().map(|f| format!("{name}: {f}")));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(folders.len());
    std::thread::scope(|s| (0..threads).for_each(|_| drop(s.spawn(work))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// `<area>-<what>`, so that a listing groups by area.
#[test]
fn names_say_area_and_what() {
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        assert!(name.contains('-') && name.split('-').all(word), "{name}: not <area>-<what>");
    }
}
