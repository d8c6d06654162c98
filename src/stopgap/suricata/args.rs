//! The options of `stopgap suricata`: Suricata's own.

use crate::cli::ChecksumArg;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use std::path::PathBuf;

/// Options as Suricata has them.
#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub struct SuricataArgs {
    /// suricata.yaml
    #[arg(short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The capture, or a directory of captures
    #[arg(short = 'r', value_name = "PATH")]
    pub capture: Option<PathBuf>,
    /// Rule file, instead of those the configuration names
    #[arg(short = 'S', value_name = "FILES")]
    pub rules_exclusive: Vec<String>,
    /// Rule file, besides those the configuration names
    #[arg(short = 's', value_name = "FILES")]
    pub rules: Vec<String>,
    /// Directory of the logs [default: the current one]
    #[arg(short = 'l', value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Verify checksums of all packets, or of none
    #[arg(short = 'k', value_name = "WHICH")]
    pub checksums: Option<ChecksumArg>,
    /// Set a key of the configuration, such as stream.midstream=true or outputs.1.eve-log.enabled=no
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Decide as if on the wire
    #[arg(long, overrides_with = "simulate_ips")]
    pub simulate_ips: bool,
    /// A rule that does not load ends the program
    #[arg(long)]
    pub init_errors_fatal: bool,
    /// Refuse rules with unknown classtypes and reference kinds
    #[arg(long, value_name = "KEYWORDS", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub strict_rule_keywords: Option<String>,
    /// Stop where the configuration asks for what is not supported
    #[arg(long)]
    pub strict: bool,
    /// Directory of data sets and other state
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Only load configuration and rules
    #[arg(short = 'T')]
    pub test: bool,
    /// Say more
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Load no rules
    #[arg(long)]
    pub disable_detection: bool,
    /// Configuration laid over the rest
    #[arg(long, value_name = "FILE")]
    pub include: Vec<PathBuf>,
    /// Read the directories below the one of -r too
    #[arg(long)]
    pub pcap_file_recursive: bool,
    #[command(flatten)]
    pub idle: Idle,
}

/// What an option of Suricata's is that has no effect here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Means nothing to a run over captures: passed over.
    Without,
    /// Asks for packets of a live network.
    Live,
}

/// Options of Suricata's with their kinds, whether they take a value, and their short form.
const IDLE: &[(&str, Effect, Value, Option<char>)] = &[
    ("runmode", Effect::Without, Value::One, None),
    ("no-random", Effect::Without, Value::No, None),
    ("pcap-file-continuous", Effect::Without, Value::No, None),
    ("pcap-file-delete", Effect::Without, Value::No, None),
    ("pcap-file-buffer-size", Effect::Without, Value::One, None),
    ("pcap-buffer-size", Effect::Without, Value::One, None),
    ("disable-hashing", Effect::Without, Value::No, None),
    ("engine-analysis", Effect::Without, Value::No, None),
    ("daemon", Effect::Without, Value::No, Some('D')),
    ("bpf-file", Effect::Without, Value::One, Some('F')),
    ("pidfile", Effect::Without, Value::One, None),
    ("user", Effect::Without, Value::One, None),
    ("group", Effect::Without, Value::One, None),
    ("reject-dev", Effect::Without, Value::One, None),
    ("qa-skip-prefilter", Effect::Without, Value::No, None),
    ("plugin", Effect::Without, Value::One, None),
    ("unix-socket", Effect::Live, Value::Maybe, None),
    ("interface", Effect::Live, Value::One, Some('i')),
    ("nfqueue", Effect::Live, Value::One, Some('q')),
    ("divert", Effect::Live, Value::One, Some('d')),
    ("pcap", Effect::Live, Value::Maybe, None),
    ("af-packet", Effect::Live, Value::Maybe, None),
    ("af-xdp", Effect::Live, Value::Maybe, None),
    ("netmap", Effect::Live, Value::Maybe, None),
    ("pfring", Effect::Live, Value::Maybe, None),
    ("nflog", Effect::Live, Value::Maybe, None),
    ("dpdk", Effect::Live, Value::No, None),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    No,
    One,
    /// Behind `=`.
    Maybe,
}

/// Those of them that were given.
#[derive(Clone, Debug, Default)]
pub struct Idle {
    pub given: Vec<(&'static str, Effect)>,
}

impl Args for Idle {
    fn augment_args(cmd: Command) -> Command {
        IDLE.iter().fold(cmd, |cmd, (name, _, value, short)| {
            let arg = Arg::new(*name).long(*name).hide(true);
            let arg = match short {
                Some(c) => arg.short(*c),
                None => arg,
            };
            cmd.arg(match value {
                Value::No => arg.action(ArgAction::Count),
                Value::One => arg.action(ArgAction::Append),
                Value::Maybe => arg.action(ArgAction::Append).num_args(0..=1).require_equals(true),
            })
        })
    }

    fn augment_args_for_update(cmd: Command) -> Command {
        Self::augment_args(cmd)
    }
}

impl FromArgMatches for Idle {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = |name: &str| matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
        Ok(Idle { given: IDLE.iter().filter(|row| given(row.0)).map(|row| (row.0, row.1)).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
