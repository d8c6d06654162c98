//! Datasets and reputation lists.

use super::rows::{Cx, size, text, truth, wrong};
use super::tree::Node;
use crate::config::Error;
use crate::config::lists::Set;
use crate::config::schema::Document;
use std::path::Path;

/// Keys below `datasets` that are no sets.
const OWN: [&str; 4] = ["defaults", "limits", "rules", "enabled"];

pub(super) fn datasets(_: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let to = &mut d.datasets;
    if let Some(n) = n.at("rules.allow-write") {
        truth(n, &mut to.rules_may_write)?;
    }
    if let Some(n) = n.at("rules.allow-absolute-filenames") {
        truth(n, &mut to.rules_write_anywhere)?;
    }
    for (key, slot) in [
        ("defaults.memcap", &mut to.memcap),
        ("limits.single-hashsize", &mut to.hash_size_max),
        ("limits.total-hashsizes", &mut to.hash_sizes_max),
    ] {
        if let Some(n) = n.at(key) {
            size(n, slot)?;
        }
    }
    for (name, n) in n.entries().iter().filter(|(k, _)| !OWN.contains(&k.as_str())) {
        let Some(kind) = n.get("type") else { continue };
        let mut set = Set { kind: kind.text().unwrap_or_default().trim().to_string(), ..Set::default() };
        for (key, slot) in [("load", &mut set.load), ("state", &mut set.state)] {
            if let Some(n) = n.get(key) {
                text(n, slot)?;
            }
        }
        for (key, slot) in [("memcap", &mut set.memcap), ("hashsize", &mut set.hashsize)] {
            if let Some(n) = n.get(key) {
                size(n, slot)?;
            }
        }
        if !matches!(set.kind.as_str(), "string" | "md5" | "sha256" | "ipv4" | "ip") {
            return Err(wrong(kind, "one of string, md5, sha256, ipv4, ip"));
        }
        to.sets.0.insert(name.clone(), set);
    }
    Ok(())
}

pub(super) fn reputation_categories(_: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    text(n, &mut d.reputation.categories_file)
}

/// Names are relative to `default-reputation-path`.
pub(super) fn reputation_files(cx: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let base = cx.root.at("default-reputation-path").and_then(Node::text).unwrap_or("");
    let named = n.items().iter().chain(n.entries().iter().map(|(_, n)| n)).filter_map(Node::text).chain(n.text());
    let files = named.map(str::trim).filter(|t| !t.is_empty());
    let files: Vec<String> = files.map(|f| Path::new(base).join(f).display().to_string()).collect();
    d.reputation.files = Some(files);
    Ok(())
}
