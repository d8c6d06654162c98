//! `stopgap suricata`: Suricata's options and configuration, for runs over captures.
//!
//! Options mean what they mean to Suricata; those about live capture and daemons are named and passed over. Exit code 0:
//! the run was made; 1: it was not.

pub mod args;

use crate::cli::{ChecksumArg, ImportArgs, SettingArgs};
use crate::console::{DONE, Failure, Outcome, error, note, print, warning};
use crate::lists;
use crate::replay::{Plan, Shape};
use crate::ruleset::{self, Loaded, Reading};
use args::{Effect, SuricataArgs};
use control::config::suricata::{self, Imported};
use engine::detect::lang::{Code, Severity};
use std::path::{Path, PathBuf};

/// The configuration of a run that names none.
const CONFIG_DEFAULT: &str = "/etc/suricata/suricata.yaml";
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

/// `stopgap config import`.
pub fn import(args: &ImportArgs) -> Outcome {
    let imported = suricata::load(Some(&args.file), &[], &args.set, true)?;
    imported.config()?;
    print(&imported.native()?)?;
    Ok(DONE)
}

fn attempt(args: &SuricataArgs) -> Result<(), Failure> {
    tell_idle(args)?;
    let usual = Path::new(CONFIG_DEFAULT);
    let config = args.config.as_deref().or(Some(usual).filter(|p| p.exists()));
    let imported = suricata::load(config, &args.include, &args.set, args.simulate_ips)?;
    tell_unsupported(args, &imported)?;
    let mut config = imported.config()?;
    if let Some(k) = args.checksums {
        // The option is about what the engine does with a packet; what rules are told, the configuration says.
        config.decode.ask_checksums = config.decode.verify_checksums;
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
    let rules = rule_files(args, &config.rule_files);
    let loaded = ruleset::load(&rules, &config, &settings, reading)?;
    tell_about_rules(args, &loaded)?;
    if args.test {
        note("the configuration and the rules are good");
        return Ok(());
    }
    let Some(capture) = &args.capture else {
        return Err(Failure("no capture: name one with -r (live capture is not here yet)".into()));
    };
    let captures = captures(capture, args.pcap_file_recursive)?;
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

fn tell_idle(args: &SuricataArgs) -> Result<(), Failure> {
    for (name, effect) in &args.idle.given {
        match effect {
            Effect::Live => {
                return Err(Failure(format!("--{name}: live capture is not here yet; name a capture with -r")));
            }
            Effect::Without if matches!(*name, "runmode" | "no-random") => {}
            Effect::Without => note(&format!("--{name} has no effect here")),
        }
    }
    Ok(())
}

fn tell_unsupported(args: &SuricataArgs, imported: &Imported) -> Result<(), Failure> {
    const PROTOCOLS: &str = "app-layer.protocols.";
    let (protocols, keys): (Vec<&String>, Vec<&String>) =
        imported.unsupported.iter().partition(|k| k.strip_prefix(PROTOCOLS).is_some_and(|p| !p.contains('.')));
    if args.strict && !keys.is_empty() {
        let keys: Vec<&str> = keys.iter().map(|k| k.as_str()).collect();
        return Err(Failure(format!("not supported: {}", keys.join(", "))));
    }
    let list = |keys: &[&String]| keys.iter().map(|k| k.trim_start_matches(PROTOCOLS)).collect::<Vec<_>>().join(", ");
    if !keys.is_empty() {
        note(&format!("not supported, without effect: {}", list(&keys)));
    }
    if !protocols.is_empty() && args.verbose > 0 {
        note(&format!("protocols without a parser here: {}", list(&protocols)));
    }
    Ok(())
}

/// `-S` alone counts where it is given; `-s` adds to what the configuration names. Files of the configuration that are
/// not there are no fault: there are simply fewer rules.
fn rule_files(args: &SuricataArgs, configured: &[String]) -> Vec<String> {
    if args.disable_detection {
        return Vec::new();
    }
    if !args.rules_exclusive.is_empty() {
        return args.rules_exclusive.clone();
    }
    let there = |f: &&String| {
        f.contains(['*', '?', '[']) && glob::glob(f).is_ok_and(|mut g| g.next().is_some())
            || Path::new(f.as_str()).exists()
    };
    for missing in configured.iter().filter(|f| !there(f)) {
        note(&format!("{missing}: no rule file matches"));
    }
    configured.iter().filter(there).chain(&args.rules).cloned().collect()
}

fn tell_about_rules(args: &SuricataArgs, l: &Loaded) -> Result<(), Failure> {
    for u in &l.unread {
        warning(u);
    }
    for d in l.diagnostics.iter().filter(|d| d.severity == Severity::Error) {
        note(d.render(false).trim_end());
    }
    note(&format!("{} rules loaded, {} refused, {} left out", l.stats.loaded, l.stats.refused, l.stats.not_required));
    // Lines of the files beside the rules are passed over in a run, and a fault in a test.
    let beside = |d: &&engine::detect::lang::Diagnostic| {
        matches!(d.code, Code::ClassificationLine | Code::ReferenceLine | Code::ThresholdLine)
    };
    if args.test
        && let Some(d) = l.diagnostics.iter().find(beside)
    {
        return Err(Failure(format!("{}:{}: {}", d.file, d.line, d.message)));
    }
    if (args.init_errors_fatal || args.test) && l.stats.refused > 0 {
        return Err(Failure("some rules did not load".into()));
    }
    Ok(())
}

/// The captures behind `-r`: a file, or those of a directory in the order of their age.
fn captures(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    let mut directories = vec![path.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_file() {
                files.push((meta.modified()?, entry.path()));
            } else if meta.is_dir() && recursive {
                directories.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}
