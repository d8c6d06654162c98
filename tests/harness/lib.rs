//! What the suites share: where the data and the program are, and the measures that more than one suite takes.
//!
//! Data of third parties is found through `STOPGAP_DATA` alone, the program through `STOPGAP_BIN` or beside the test's
//! own target folder. A test that lacks one of them says so through [`skip`], in one form that the closing table reads.

pub mod bench;
pub mod case;
pub mod case_frames;
pub mod case_text;
pub mod craft;
pub mod dialogue;
pub mod engine;
pub mod fuzz;
pub mod kept;
pub mod live;
pub mod netns;
pub mod parity;
pub mod raw;
pub mod replay;
pub mod verdicts;

use std::path::PathBuf;

/// The folder of the shared data, where there is one.
pub fn data() -> Option<PathBuf> {
    std::env::var_os("STOPGAP_DATA").map(PathBuf::from).filter(|p| p.is_dir())
}

/// The built program: `STOPGAP_BIN`, else `target/release/stopgap`, else `target/debug/stopgap`.
pub fn program() -> Option<PathBuf> {
    if let Some(p) = std::env::var_os("STOPGAP_BIN") {
        return Some(PathBuf::from(p)).filter(|p| p.is_file());
    }
    let target = PathBuf::from(
        std::env::var_os("CARGO_TARGET_DIR")
            .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../target").into()),
    );
    ["release/stopgap", "debug/stopgap"].iter().map(|p| target.join(p)).find(|p| p.is_file())
}

/// The program built with `--features faults`: `STOPGAP_FAULTY_BIN`.
pub fn faulty() -> Option<PathBuf> {
    std::env::var_os("STOPGAP_FAULTY_BIN").map(PathBuf::from).filter(|p| p.is_file())
}

/// Says that a test did not run and why, on its output and in the file `STOPGAP_SKIPS` names for the closing table.
pub fn skip(test: &str, reason: &str) {
    println!("SKIPPED {test}: {reason}");
    let Some(path) = std::env::var_os("STOPGAP_SKIPS") else { return };
    // A table that cannot be written must not fail the test that asked for it.
    if let Ok(mut f) = std::fs::OpenOptions::new().create(true).append(true).open(path) {
        let _ = std::io::Write::write_all(&mut f, format!("{test}: {reason}\n").as_bytes());
    }
}
