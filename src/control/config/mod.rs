//! Configuration: a small YAML of our own, typed to the last key, over defaults that equal Suricata's.
//!
//! `load` reads at most one file and any number of `--set a.b.c=value`; later wins. Every error names the file, the line
//! and column, and what is allowed. What comes out is plain values for the engine; nothing of YAML survives.

pub mod lists;
pub mod outputs;
mod resolve;
pub mod run;
mod schema;
mod spelled;
pub mod suricata;
mod values;

pub use resolve::{Config, FileStore, Vars};
pub use schema::{Checksums, Document};

use schema::Overlay;
use serde::Deserialize;
use std::path::Path;

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}{}: {message}", place.map(|(l, c)| format!(":{l}:{c}")).unwrap_or_default())]
pub struct Error {
    /// The file, or the `--set` as given.
    pub origin: String,
    /// Line and column, from 1, of errors in a file.
    pub place: Option<(u64, u64)>,
    pub message: String,
}

impl Error {
    /// Of a value that reads well and cannot be.
    pub(crate) fn of_value(message: String) -> Error {
        Error { origin: "configuration".into(), place: None, message }
    }
}

/// A configuration from an optional file and overrides such as `stream.midstream=true`.
pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Config, Error> {
    let mut document = Document::default();
    if let Some(path) = file {
        let origin = path.display().to_string();
        let failed = |e: std::io::Error| Error { origin: origin.clone(), place: None, message: e.to_string() };
        let bytes = std::fs::read(path).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|e| Error {
            origin: origin.clone(),
            place: None,
            message: format!("not UTF-8 text (at byte {})", e.utf8_error().valid_up_to()),
        })?;
        document.overlay(parse(&text, &origin)?);
    }
    for set in sets {
        document.overlay(override_of(set)?);
    }
    Config::of(&document)
}

/// One document of YAML.
pub fn parse(text: &str, origin: &str) -> Result<Document, Error> {
    if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#') || l.trim() == "---") {
        return Ok(Document::default());
    }
    yaml(text).map_err(|(place, message)| Error { origin: origin.into(), place, message })
}

fn yaml<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, (Option<(u64, u64)>, String)> {
    serde_saphyr::from_str(text).map_err(|e| {
        let place = e.location().map(|l| (l.line(), l.column()));
        let message = e.without_snippet().to_string();
        // The place is said once, in front.
        let message = message.split(" at line ").next().unwrap_or_default();
        let message = message.rsplit_once(": line ").map_or(message, |(m, _)| m);
        (place, message.trim_start_matches("error: ").to_string())
    })
}

/// `a.b.c=value` as a document. The value is YAML where that is plain, and text where YAML would see something else in it
/// (`!$HOME_NET`).
fn override_of(set: &str) -> Result<Document, Error> {
    let origin = format!("--set {set}");
    let wrong = |message: &str| Error { origin: origin.clone(), place: None, message: message.into() };
    let (path, value) = set.split_once('=').ok_or_else(|| wrong("write --set name.of.key=value"))?;
    let keys: Vec<&str> = path.split('.').map(str::trim).collect();
    let plain = |k: &&str| !k.is_empty() && k.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !keys.iter().all(plain) {
        return Err(wrong("the key must be names joined by dots, such as stream.midstream"));
    }
    let value = value.trim();
    let as_text =
        value.is_empty() || value.contains(['!', '$', '&', '*', '#', '%', '@', '`', '"', '\'', '{', '|', '>']);
    let value = if as_text { format!("'{}'", value.replace('\'', "''")) } else { value.to_string() };
    let mut text = String::new();
    for (depth, key) in keys.iter().enumerate() {
        if depth > 0 {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', depth));
        }
        text.push_str(key);
        text.push(':');
    }
    text.push(' ');
    text.push_str(&value);
    text.push('\n');
    yaml(&text).map_err(|(_, message)| Error { origin: origin.clone(), place: None, message })
}

/// Reads `data` as a configuration. For fuzzing.
pub fn fuzz_target(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = parse(text, "fuzz").and_then(|d| Config::of(&d));
        let _ = override_of(text);
    }
}

#[cfg(test)]
mod tests;
