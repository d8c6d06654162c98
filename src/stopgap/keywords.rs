//! `stopgap keywords`: the manual of the language, from its tables.

use crate::cli::KeywordsArgs;
use crate::console::{DONE, Failure, Outcome, print};
use crate::ruleset;
use engine::detect::lang::{Entry, manual};
use owo_colors::OwoColorize;
use std::fmt::Write;

pub fn run(args: &KeywordsArgs) -> Outcome {
    let cx = ruleset::vocabulary_context();
    let entries = manual(&cx);
    let mut out = String::new();
    match &args.name {
        None => list(&entries, &mut out),
        Some(name) if name.contains(['*', '?']) => {
            let pattern = glob::Pattern::new(name).map_err(|e| Failure(format!("{name}: {e}")))?;
            let found: Vec<_> = entries.into_iter().filter(|e| pattern.matches(e.name)).collect();
            if found.is_empty() {
                return Err(Failure(format!("no keyword is like {name}")));
            }
            list(&found, &mut out);
        }
        Some(name) => match entries.iter().find(|e| e.name == name || e.aliases.contains(&name.as_str())) {
            Some(e) => one(e, &mut out),
            None => {
                let help = cx.nearest(name).map(|n| format!("; did you mean {n}?"));
                return Err(Failure(format!("no keyword is named {name}{}", help.unwrap_or_default())));
            }
        },
    }
    print(&out)?;
    Ok(DONE)
}

/// A line for each keyword, by kind.
fn list(entries: &[Entry], out: &mut String) {
    let mut kinds: Vec<&str> = Vec::new();
    for e in entries {
        if !kinds.contains(&e.kind) {
            kinds.push(e.kind);
        }
    }
    let width = entries.iter().map(|e| e.name.len()).max().unwrap_or(0);
    for kind in kinds {
        let _ = writeln!(out, "{}", kind.bold());
        for e in entries.iter().filter(|e| e.kind == kind) {
            let _ = writeln!(out, "  {:width$}  {}", e.name, e.doc);
        }
        out.push('\n');
    }
}

fn one(e: &Entry, out: &mut String) {
    let of = e.protocol.map(|p| format!(" of {p}")).unwrap_or_default();
    let _ = writeln!(out, "{} ({}{of})", e.name.bold(), e.kind);
    let _ = writeln!(out, "  {}", e.doc);
    let _ = writeln!(out, "\n  syntax   {}", e.syntax);
    if !e.example.is_empty() {
        let _ = writeln!(out, "  example  {}", e.example);
    }
    if !e.aliases.is_empty() {
        let _ = writeln!(out, "  also     {}", e.aliases.join(", "));
    }
}
