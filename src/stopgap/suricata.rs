//! `stopgap suricata`: Suricata's options and configuration, for runs over captures.
//!
//! Options mean what they mean to Suricata; those about live capture and daemons are named and passed over. Exit code 0:
//! the run was made; 1: it was not.

use crate::cli::{ChecksumArg, SettingArgs, SuricataArgs};
use crate::console::{Failure, Outcome, error, note, warning};
use crate::lists;
use crate::replay::{Plan, Shape};
use crate::ruleset::{self, Loaded, Reading};
use control::config::suricata::{self, Imported};
use engine::detect::lang::Severity;
use std::path::{Path, PathBuf};

/// What Suricata's users know as EXIT_FAILURE.
const FAILED: u8 = 1;

pub fn run(args: &SuricataArgs) -> Outcome {
    match attempt(args) {
        Ok(()) => Ok(0),
        Err(Failure(text)) => {
            error(&text);
            Ok(FAILED)
        }
    }
}

fn attempt(args: &SuricataArgs) -> Result<(), Failure> {
    let imported = suricata::load(args.config.as_deref(), &args.set, args.simulate_ips)?;
    tell_unsupported(args, &imported)?;
    let mut config = imported.config()?;
    if let Some(k) = args.checksums {
        config.decode.verify_checksums = k == ChecksumArg::All;
    }
    for file in [&mut config.classification_file, &mut config.reference_file] {
        if let Some(path) = file.as_ref().filter(|p| !p.exists()) {
            note(&format!("{}: not there; what is built in applies", path.display()));
            *file = None;
        }
    }
    if let Some(dir) = &args.data_dir {
        config.lists.data_dir = Some(dir.clone());
    }
    let settings = SettingArgs::default();
    let reading = Reading {
        quiet: true,
        named_only: true,
        strict: args.strict_rule_keywords.is_some(),
        foreign: args.strict_rule_keywords.is_none(),
        ..Reading::default()
    };
    let rules = rule_files(args)?;
    let loaded = ruleset::load(&rules, &config, &settings, reading)?;
    tell_about_rules(args, &loaded)?;
    if args.test {
        note("the configuration and the rules are good");
        return Ok(());
    }
    let Some(capture) = &args.capture else {
        return Err(Failure("no capture: name one with -r (live capture is not here yet)".into()));
    };
    let captures = captures(capture)?;
    let log_dir = args.log_dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let done = Plan {
        continuous: captures.len() > 1,
        captures: &captures,
        config,
        loaded: &loaded,
        inline: args.simulate_ips,
        shape: Shape { jobs: 1, batch: usize::from(u16::MAX) },
        log_dir: Some(&log_dir),
        write: None,
    }
    .run()?;
    lists::save(&loaded.datasets);
    if done.summary.captures == 0 {
        return Err(Failure("the capture could not be read".into()));
    }
    if args.verbose > 0 {
        note(done.summary.text(Some(&log_dir), None).trim_end());
    }
    Ok(())
}

fn tell_unsupported(args: &SuricataArgs, imported: &Imported) -> Result<(), Failure> {
    if imported.unsupported.is_empty() {
        return Ok(());
    }
    let text = format!("not supported, without effect: {}", imported.unsupported.join(", "));
    if args.strict {
        return Err(Failure(text));
    }
    note(&text);
    Ok(())
}

/// Rules of the command line. `-S` alone counts where it is given; `-s` adds to what the configuration names.
fn rule_files(args: &SuricataArgs) -> Result<Vec<String>, Failure> {
    Ok(args.rules_exclusive.iter().chain(&args.rules).cloned().collect())
}

fn tell_about_rules(args: &SuricataArgs, l: &Loaded) -> Result<(), Failure> {
    for u in &l.unread {
        warning(u);
    }
    for d in l.diagnostics.iter().filter(|d| d.severity == Severity::Error) {
        note(d.render(false).trim_end());
    }
    note(&format!("{} rules loaded, {} refused", l.stats.loaded, l.stats.refused));
    if (args.init_errors_fatal || args.test) && l.stats.refused > 0 {
        return Err(Failure("some rules did not load".into()));
    }
    Ok(())
}

/// The captures behind `-r`: a file, or those of a directory in the order of their age.
fn captures(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_file() {
            files.push((meta.modified()?, entry.path()));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}
