//! `stopgap rules`: check and explain.

use crate::cli::{CheckArgs, ExplainArgs};
use crate::console::{DONE, Failure, NOTHING, Outcome, PARTLY, error, print};
use crate::ruleset::{self, Loaded, Reading};
use control::config;
use engine::detect::lang::{Diagnostic, Severity};
use owo_colors::OwoColorize;
use std::fmt::Write;
use std::io::IsTerminal;

pub fn check(args: &CheckArgs) -> Outcome {
    let s = &args.settings;
    let config = config::load(s.config.as_deref(), &s.set)?;
    let reading = Reading { disabled: args.disabled, quiet: args.quiet, ..Reading::default() };
    let loaded = ruleset::load(&args.files, &config, s, reading)?;
    for u in &loaded.unread {
        error(u);
    }
    if args.json {
        print(&format!("{}\n", json(&loaded)))?;
    } else {
        print(&report(&loaded))?;
    }
    Ok(if loaded.incomplete() { PARTLY } else { DONE })
}

/// Diagnostics as a compiler shows them, and the counts.
fn report(l: &Loaded) -> String {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = String::new();
    for d in &l.diagnostics {
        out.push_str(&d.render(colour));
        out.push('\n');
    }
    let (s, warnings) = (&l.stats, l.warnings());
    let _ = write!(out, "{} rules of {} files: {} loaded, {} refused", s.rules, l.files, s.loaded, s.refused);
    for (n, what) in
        [(s.not_required, "left out by their requirements"), (s.repeated, "repeated"), (warnings, "warnings")]
    {
        if n > 0 {
            let _ = write!(out, ", {n} {what}");
        }
    }
    out.push('\n');
    out
}

fn json(l: &Loaded) -> serde_json::Value {
    serde_json::json!({
        "rules": l.stats.rules,
        "files": l.files,
        "loaded": l.stats.loaded,
        "refused": l.stats.refused,
        "warnings": l.warnings(),
        "not_required": l.stats.not_required,
        "repeated": l.stats.repeated,
        "unread": l.unread,
        "diagnostics": l.diagnostics.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn finding(d: &Diagnostic) -> serde_json::Value {
    serde_json::json!({
        "code": d.code.name(),
        "severity": d.severity.name(),
        "file": &*d.file,
        "line": d.line,
        "column": d.column(),
        "length": d.span.len(),
        "sid": d.sid,
        "message": d.message,
        "help": d.help,
    })
}

pub fn explain(args: &ExplainArgs) -> Outcome {
    let s = &args.rules.settings;
    if args.rules.rules.is_empty() {
        return Err(Failure("which rules? name them with -S 'rules/*.rules'".into()));
    }
    let config = config::load(s.config.as_deref(), &s.set)?;
    let loaded = ruleset::load(&args.rules.rules, &config, s, Reading::default())?;
    for u in &loaded.unread {
        error(u);
    }
    let about = |d: &&Diagnostic| d.sid == Some(args.sid);
    let Some(e) = loaded.ruleset.explain(args.sid) else {
        let refusals: String = loaded.diagnostics.iter().filter(about).map(|d| d.render(false)).collect();
        print(&refusals)?;
        let why = if refusals.is_empty() { "no rule has it" } else { "its rule was refused" };
        error(&format!("sid {}: {why}", args.sid));
        return Ok(NOTHING);
    };
    let mut out = String::new();
    if let Some(sig) = loaded.ruleset.find(args.sid).and_then(|i| loaded.ruleset.signature(i)) {
        let _ = writeln!(out, "{} {}", format!("sid {}", e.sid).bold(), sig.msg);
        let _ = writeln!(out, "{}:{}\n\n{}\n", sig.origin.file, sig.origin.line, sig.text);
    }
    let _ = writeln!(out, "{}      {}", "class".bold(), e.class);
    let _ = writeln!(out, "{}  {}", "direction".bold(), e.directions.join(", "));
    for b in &e.buffers {
        let chain = if b.transforms.is_empty() { String::new() } else { format!(" after {}", b.transforms) };
        let checks = if b.checks == 1 { "1 check".to_string() } else { format!("{} checks", b.checks) };
        let _ = writeln!(out, "{}     {}{chain}: {checks}", "buffer".bold(), b.name);
    }
    match &e.fast_pattern {
        Some((pattern, buffer)) => {
            let _ = writeln!(out, "{}       \"{pattern}\" in {buffer}", "fast".bold());
        }
        None => {
            let _ = writeln!(out, "{}       no pattern", "fast".bold());
        }
    }
    for g in &e.groups {
        let _ = writeln!(out, "{}      {g}", "group".bold());
    }
    let _ = writeln!(out, "{}       {}", "cost".bold(), e.cost);
    for d in loaded.diagnostics.iter().filter(about).filter(|d| d.severity != Severity::Error) {
        let _ = write!(out, "\n{}", d.render(false));
    }
    print(&out)?;
    Ok(if loaded.unread.is_empty() { DONE } else { PARTLY })
}
