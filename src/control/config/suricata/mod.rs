//! suricata.yaml read into the native configuration: one meaning, two ways to write it.
//!
//! The text becomes a [`tree`], `include` files and `--set` laid over it; [`rows`] says for each key what it means as a
//! native [`Document`]; from there on nothing of Suricata is left. A key without a row is not supported and told once by
//! its group; a key that means nothing here (live capture, threads) has a row of its own kind that says so.

mod lists;
mod outputs;
mod protocols;
mod rows;
mod tree;

use super::values::{Overlap, Ports};
use super::{Config, Document, Error};
use engine::decode;
use std::path::{Path, PathBuf};
use tree::{Node, Value};

/// Files that `include` may open in all.
const INCLUDES_MAX: usize = 64;

/// A suricata.yaml with its meaning.
#[derive(Clone, Debug)]
pub struct Imported {
    pub document: Document,
    /// Keys that have no meaning in this engine, with where they were written.
    pub unsupported: Vec<String>,
}

impl Imported {
    pub fn config(&self) -> Result<Config, Error> {
        Config::of(&self.document)
    }

    /// The native configuration with the same meaning; keys that have none are comments at its end.
    pub fn native(&self) -> Result<String, Error> {
        let failed = |e: &dyn std::fmt::Display| Error { origin: "import".into(), place: None, message: e.to_string() };
        let mut text = serde_saphyr::to_string(&self.document).map_err(|e| failed(&e))?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if !self.unsupported.is_empty() {
            text.push_str("\n# Without a counterpart here:\n");
        }
        for key in &self.unsupported {
            text.push_str(&format!("#   {}\n", key.replace(['\n', '\r'], " ")));
        }
        Ok(text)
    }
}

/// Reads an optional suricata.yaml, with `--set` assignments laid over it. What some keys may say and mean depends on
/// whether the run enforces (`inline`).
/// `includes` are files laid over the first.
pub fn load(file: Option<&Path>, includes: &[PathBuf], sets: &[String], inline: bool) -> Result<Imported, Error> {
    let mut root = match file {
        Some(path) => read(path, &mut 0)?,
        None => tree::parse("", "defaults")?,
    };
    for path in includes {
        let over = read(path, &mut 0)?;
        match (&mut root.value, over.value) {
            (Value::Map(to), Value::Map(more)) => to.extend(more),
            (to, more) => *to = more,
        }
    }
    for set in sets {
        root.set(set)?;
    }
    let mut imported = rows::apply(&root, inline)?;
    // What is taken there when nothing is said.
    let document = &mut imported.document;
    document.decode.teredo_ports.get_or_insert(Ports(decode::Ports::Any));
    document.defrag.policy.get_or_insert(Overlap(decode::OverlapPolicy::Bsd));
    if file.is_none() {
        imported.document.vars.defaults = None;
    }
    Ok(imported)
}

/// A file with what it includes. `include` takes a name or a list of names, relative to the file that says so.
fn read(path: &Path, opened: &mut usize) -> Result<Node, Error> {
    let origin = path.display().to_string();
    let failed = |message: String| Error { origin: origin.clone(), place: None, message };
    *opened += 1;
    if *opened > INCLUDES_MAX {
        return Err(failed(format!("more than {INCLUDES_MAX} files by way of include: does one include itself?")));
    }
    let bytes = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|e| failed(format!("not UTF-8 text (at byte {})", e.utf8_error().valid_up_to())))?;
    let mut root = tree::parse(&text, &origin)?;
    let Value::Map(entries) = &mut root.value else { return Ok(root) };
    let mut whole = Vec::with_capacity(entries.len());
    for (key, node) in std::mem::take(entries) {
        if key != "include" {
            whole.push((key, node));
            continue;
        }
        let names = node.text().into_iter().chain(node.items().iter().filter_map(Node::text));
        for name in names.filter(|n| !n.is_empty()) {
            let beside = path.parent().unwrap_or(Path::new("")).join(name);
            let place = &node.place;
            let included = read(&beside, opened).map_err(|e| match e.place {
                None => place.error(format!("include {}: {}", e.origin, e.message)),
                Some(_) => e,
            })?;
            if let Value::Map(more) = included.value {
                whole.extend(more);
            }
        }
    }
    root.value = Value::Map(whole);
    Ok(root)
}

/// Reads `data` as a suricata.yaml, its first line as a `--set`. For fuzzing.
pub fn fuzz_target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(mut root) = tree::parse(text, "fuzz") {
        let _ = root.set(text.lines().next().unwrap_or_default());
        let _ = rows::apply(&root, true).and_then(|i| i.config());
    }
}

#[cfg(test)]
mod tests;
