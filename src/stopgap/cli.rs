//! The command line: every option with what it does, every command with examples.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ops::RangeInclusive;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  stopgap run --inline eth0:eth1 -S 'rules/*.rules' -l /var/log/stopgap
      a transparent IPS between two ports
  stopgap replay -S 'rules/*.rules' -l out capture.pcap
      alerts of a capture, in out/eve.json
  stopgap replay --inline -S 'rules/*.rules' -l out -w forwarded.pcapng capture.pcap
      as if on the wire: drop, reject, replace; what would have left in forwarded.pcapng
  stopgap rules check rules/*.rules
      does every rule load, and what does it cost
  stopgap rules explain 2018358 -S 'rules/*.rules'
      how one rule compiled
  stopgap keywords http.uri
      the manual of one keyword

Exit code: 0 all done; 1 done, but some input or rule was refused or cut short; 2 nothing done.";

#[derive(Parser, Debug)]
#[command(name = "stopgap", version, about = "Inline network intrusion prevention", after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run captures through the engine: alerts, and inline also verdicts
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// Stand on the wire: a transparent IPS between two ports, or a watcher of mirror ports
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Talk to a run: what it does, new rules, everything through
    #[command(after_help = CTL_EXAMPLES)]
    Ctl(CtlArgs),
    /// Take the kernel's program off a pair's ports: no more forwarding between them
    #[command(after_help = "Example:\n  stopgap detach eth0:eth1")]
    Detach(DetachArgs),
    /// Run a capture with Suricata's options and configuration
    #[command(after_help = SURICATA_EXAMPLES)]
    Suricata(crate::suricata::args::SuricataArgs),
    /// Work on configurations
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check and explain rules
    #[command(subcommand)]
    Rules(RulesCommand),
    /// The manual of the rule language
    Keywords(KeywordsArgs),
}

const REPLAY_EXAMPLES: &str = "\
Examples:
  stopgap replay -S 'rules/*.rules' -l out a.pcap b.pcapng.zst
      two captures, one ruleset, no state between them; out/eve.json names the capture in each record
  zcat big.pcap.gz | stopgap replay -S local.rules -l out -
      from standard input
  stopgap replay -S local.rules -l out -k none --set vars.address-groups.HOME_NET=any --events alert,http capture.pcap
      checksums unverified, another home network, fewer records
  stopgap replay --inline -S local.rules -w left.pcap -j 4 --json capture.pcap
      what would have left, as classic pcap; the summary as JSON";

#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// Captures: pcap or pcapng, also compressed by gzip, xz or zstd; - is standard input
    #[arg(required = true, value_name = "CAPTURE")]
    pub captures: Vec<PathBuf>,
    #[command(flatten)]
    pub rules: RuleArgs,
    /// Write eve.json into this directory, which is made if missing
    #[arg(short = 'l', long = "log-dir", value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Write the frames that leave: pcapng with interfaces port0 and port1, or classic pcap if the name ends in .pcap
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Decide as if on the wire: drop, reject and replace take effect
    #[arg(long)]
    pub inline: bool,
    /// Workers; flows are divided among them by address, and the log is the same whatever their number
    #[arg(short = 'j', long = "jobs", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Frames a worker takes at once; the log is the same whatever it is
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch: u16,
    /// Event types to log, such as alert,drop,http [default: all but netflow]
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub events: Option<Vec<String>>,
    /// Verify checksums of all packets, or of none (captures taken where the card computes them)
    #[arg(short = 'k', long = "checksums", value_name = "WHICH")]
    pub checksums: Option<ChecksumArg>,
    /// Treat the captures as one: state goes on from each to the next
    #[arg(long)]
    pub continuous: bool,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
}

const RUN_EXAMPLES: &str = "\
Examples:
  stopgap run --inline eth0:eth1 -S 'rules/*.rules' -l /var/log/stopgap
      a transparent IPS between two ports; drop, reject and replace take effect
  stopgap run --tap eth2 -S 'rules/*.rules' -l /var/log/stopgap
      watch a mirror port
  stopgap run --tap eth2 --tap eth3 --filter 'not port 2049' -S 'rules/*.rules' -l /var/log/stopgap
      the two directions of a tap, without file traffic
  iptables -I FORWARD -j NFQUEUE --queue-balance 0:3 --queue-bypass; stopgap run --nfqueue 0-3 -S 'rules/*.rules' -l DIR
      a router judges what it forwards
  stopgap run --inline eth0:eth1 --fail closed -c /etc/stopgap/gateway.yaml -l /var/log/stopgap
      while the engine does not answer, nothing passes

The kernel forwards between the ports by itself before the rules have loaded, after a crash, and when the run ends,
unless told otherwise; `stopgap detach A:B` (or --detach) ends that.";

/// A live run.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Be the wire between these two ports; may be given several times
    #[arg(long, value_name = "A:B", value_parser = crate::run::plan::pair)]
    pub inline: Vec<(String, String)>,
    /// Watch this mirror port; may be given several times
    #[arg(long, value_name = "PORT")]
    pub tap: Vec<String>,
    /// Judge what a router's rules hand to these queues: 0 or 0-3; a worker for each
    #[arg(long, value_name = "QUEUES", value_parser = crate::run::plan::queues)]
    pub nfqueue: Option<RangeInclusive<u16>>,
    /// Of mirror ports, only frames that match: an expression of tcpdump's, such as 'tcp port 80 or vlan 5'
    #[arg(long, value_name = "EXPR", requires = "tap")]
    pub filter: Option<String>,
    #[command(flatten)]
    pub rules: RuleArgs,
    /// Write eve.json into this directory, which is made if missing
    #[arg(short = 'l', long = "log-dir", value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Record what comes in, into capture files of this directory: each at most run.record-file (64MiB) long, all of them
    /// run.record-total (1GiB), the oldest going first
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Workers of each pair [default: one for each queue, at most one for each core], or of the mirror ports [default: one
    /// for each core]
    #[arg(short = 'j', long = "jobs", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// Event types to log, such as alert,drop,http [default: all but netflow]
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub events: Option<Vec<String>>,
    /// Verify checksums of all packets, or of none
    #[arg(short = 'k', long = "checksums", value_name = "WHICH")]
    pub checksums: Option<ChecksumArg>,
    /// How frames come in
    #[arg(long, value_name = "HOW")]
    pub capture: Option<CaptureArg>,
    /// What happens to frames while the engine does not answer [default: open]
    #[arg(long, value_name = "HOW")]
    pub fail: Option<FailArg>,
    /// The same before the rules have loaded [default: open]
    #[arg(long, value_name = "HOW")]
    pub until_ready: Option<FailArg>,
    /// Where `stopgap ctl` finds this run [default: /run/stopgap/control.sock]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// When the run ends, take the kernel's program off the ports: nothing is forwarded any more
    #[arg(long)]
    pub detach: bool,
    /// The data plane of one lane; only the supervisor says this
    #[arg(long, hide = true, value_name = "LANE")]
    pub data_plane: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CaptureArg {
    /// AF_XDP where it can be, else AF_PACKET
    Auto,
    AfXdp,
    AfPacket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailArg {
    /// They are forwarded uninspected
    Open,
    /// They are dropped
    Closed,
}

const CTL_EXAMPLES: &str = "\
Examples:
  stopgap ctl status
      what runs, since when, and whether the kernel forwards by itself
  stopgap ctl stats | jq .lanes
      every counter, as JSON
  stopgap ctl reload
      rules and configuration anew; returns when every worker runs them, or says what is wrong and changes nothing
  stopgap ctl bypass on eth0:eth1
      everything through uninspected, until `bypass off`

Exit code: 0 done; 1 the run refused; 2 there is no run.";

#[derive(Args, Debug)]
pub struct CtlArgs {
    /// The run's control socket [default: /run/stopgap/control.sock, else the only one of the service's in /run/stopgap]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    #[command(subcommand)]
    pub command: CtlCommand,
}

#[derive(Subcommand, Debug)]
pub enum CtlCommand {
    /// What runs, in words
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Every counter, as JSON
    Stats,
    /// Rules and configuration anew
    Reload {
        /// Take what loads, even if some rules do not
        #[arg(long)]
        partial: bool,
    },
    /// Everything through uninspected, or not any more
    Bypass {
        state: Switch,
        /// Of this pair alone
        #[arg(value_name = "A:B")]
        pair: Option<String>,
    },
    /// Have a worker go wrong
    #[cfg(feature = "faults")]
    Fault { what: crate::run::fault::Fault },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

#[derive(Args, Debug)]
pub struct DetachArgs {
    #[arg(value_name = "A:B", value_parser = crate::run::plan::pair)]
    pub pair: (String, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ChecksumArg {
    None,
    All,
}

const SURICATA_EXAMPLES: &str = "\
Examples:
  stopgap suricata -c suricata.yaml -S local.rules -r capture.pcap -l out -k none
      as `suricata` with the same options would: out/eve.json
  stopgap suricata -c suricata.yaml -S local.rules -r capture.pcap -l out --simulate-ips --set stream.midstream=true
      as if on the wire, with a key of suricata.yaml set
  stopgap suricata -T -c suricata.yaml -S local.rules
      do configuration and rules load: exit code 0 or 1";

/// Where rules and what they refer to come from.
#[derive(Args, Clone, Debug, Default)]
pub struct RuleArgs {
    /// Rule file or pattern such as 'rules/*.rules'; may be given several times
    #[arg(short = 'S', long = "rules", value_name = "FILES")]
    pub rules: Vec<String>,
    #[command(flatten)]
    pub settings: SettingArgs,
}

#[derive(Args, Clone, Debug, Default)]
pub struct SettingArgs {
    /// Configuration file (YAML)
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override a setting, such as vars.address-groups.HOME_NET=10.0.0.0/8; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// classification.config [default: found next to the rules, else built in]
    #[arg(long, value_name = "FILE")]
    pub classification: Option<PathBuf>,
    /// reference.config [default: found next to the rules, else built in]
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    /// Keep compiled pattern databases in this directory, for a faster start next time
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Write a suricata.yaml as a configuration of this program, to standard output
    #[command(after_help = "Example:\n  stopgap config import /etc/suricata/suricata.yaml > stopgap.yaml")]
    Import(ImportArgs),
}

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// suricata.yaml
    pub file: PathBuf,
    /// Set a key of it first, such as stream.midstream=true
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Subcommand, Debug)]
pub enum RulesCommand {
    /// Load rules and report what is wrong with them
    #[command(
        after_help = "Examples:\n  stopgap rules check rules/*.rules\n  stopgap rules check --json local.rules | jq .refused"
    )]
    Check(CheckArgs),
    /// Show how one rule compiled: buffers, fast pattern, groups, and what traffic pays for it
    #[command(after_help = "Example:\n  stopgap rules explain 2018358 -S 'rules/*.rules'")]
    Explain(ExplainArgs),
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Rule files or patterns
    #[arg(required = true, value_name = "FILES")]
    pub files: Vec<String>,
    #[command(flatten)]
    pub settings: SettingArgs,
    /// Read rules that are commented out too
    #[arg(long)]
    pub disabled: bool,
    /// Leave out warnings about the cost of rules
    #[arg(long)]
    pub quiet: bool,
    /// Print one JSON object: loaded, refused, warnings, diagnostics
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The rule's sid
    pub sid: u32,
    #[command(flatten)]
    pub rules: RuleArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  stopgap keywords\n  stopgap keywords byte_test\n  stopgap keywords 'http.*'")]
pub struct KeywordsArgs {
    /// A keyword, or a pattern such as 'http.*'
    pub name: Option<String>,
}
