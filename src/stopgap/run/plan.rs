//! What a live run is to do, from the command line and the configuration: the same for the supervisor and for each data
//! plane it starts.

use crate::cli::{CaptureArg, FailArg, RunArgs};
use crate::console::Failure;
use crate::workers;
use capture::packet;
use control::config::Config;
use control::config::run::{CaptureKind, Fail};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Traffic that one data plane carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A bump in the wire between two ports.
    Pair(String, String),
    /// Mirror ports, watched.
    Taps(Vec<String>),
    /// Queues of a router's rules.
    Queues(RangeInclusive<u16>),
}

impl Lane {
    pub fn name(&self) -> String {
        match self {
            Lane::Pair(a, b) => format!("{a}:{b}"),
            Lane::Taps(all) => all.join(","),
            Lane::Queues(q) => format!("nfqueue {}-{}", q.start(), q.end()),
        }
    }

    /// By number, as the engine knows them.
    pub fn ports(&self) -> Vec<String> {
        match self {
            Lane::Pair(a, b) => vec![a.clone(), b.clone()],
            Lane::Taps(all) => all.clone(),
            Lane::Queues(q) => q.clone().map(|n| format!("nfqueue{n}")).collect(),
        }
    }

    /// Its workers are to say among themselves whose a frame is. Queues are filled by address.
    pub fn divides(&self) -> bool {
        !matches!(self, Lane::Queues(_))
    }

    /// The kernel goes on without an engine that is late, and what that one has then is too old.
    pub fn has_a_way_around(&self) -> bool {
        matches!(self, Lane::Pair(..))
    }

    pub fn inline(&self) -> bool {
        !matches!(self, Lane::Taps(_))
    }
}

/// `eth0:eth1`. Names of interfaces hold no colon unless they are aliases, which have no queues.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() && !b.contains(':') => Ok((a.into(), b.into())),
        _ => Err("write the two ports of the pair as A:B, such as eth0:eth1".into()),
    }
}

/// Queues of a run at most.
const QUEUES_MAX: u16 = 64;

/// `0-3`, or one queue.
pub fn queues(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(a), Ok(b)) if a <= b && b - a < QUEUES_MAX => Ok(a..=b),
        (Ok(a), Ok(b)) if a <= b => Err(format!("at most {QUEUES_MAX} queues can be served by one run")),
        _ => Err("write a queue's number, or the first and the last, such as 0-3".into()),
    }
}

pub struct Plan<'a> {
    pub args: &'a RunArgs,
    pub config: Config,
    pub lanes: Vec<Lane>,
    pub log_dir: Option<&'a Path>,
    pub control: PathBuf,
}

impl<'a> Plan<'a> {
    pub fn of(args: &'a RunArgs) -> Result<Plan<'a>, Failure> {
        let config = read(args)?;
        let mut lanes: Vec<Lane> = args.inline.iter().map(|(a, b)| Lane::Pair(a.clone(), b.clone())).collect();
        if !args.tap.is_empty() {
            lanes.push(Lane::Taps(args.tap.clone()));
        }
        lanes.extend(args.nfqueue.clone().map(Lane::Queues));
        if lanes.is_empty() {
            return Err(Failure("nothing to watch: say --inline A:B, --tap PORT or --nfqueue QUEUES".into()));
        }
        let mut ports: Vec<String> = Vec::new();
        for lane in &lanes {
            ports.extend(lane.ports());
        }
        if let Some(filter) = &args.filter {
            packet::check_filter(filter).map_err(|why| Failure(format!("--filter '{filter}': {why}")))?;
        }
        ports.sort_unstable();
        if let Some(twice) = ports.windows(2).find(|w| w[0] == w[1]) {
            return Err(Failure(format!("{}: is named twice; a port belongs to one pair or tap", twice[0])));
        }
        let control = args.control.clone().unwrap_or_else(|| config.run.control.clone());
        Ok(Plan { args, config, lanes, log_dir: args.log_dir.as_deref(), control })
    }
}

/// The configuration with the command line laid over it; read anew on reload.
pub fn read(args: &RunArgs) -> Result<Config, Failure> {
    let mut config = workers::configuration(&args.rules.settings, args.checksums, args.events.as_deref())?;
    if args.log_dir.is_none() {
        config.outputs = Default::default();
    }
    let fail = |f: FailArg| match f {
        FailArg::Open => Fail::Open,
        FailArg::Closed => Fail::Closed,
    };
    config.run.fail = args.fail.map_or(config.run.fail, fail);
    config.run.until_ready = args.until_ready.map_or(config.run.until_ready, fail);
    config.run.capture = args.capture.map_or(config.run.capture, |c| match c {
        CaptureArg::Auto => CaptureKind::Auto,
        CaptureArg::AfXdp => CaptureKind::AfXdp,
        CaptureArg::AfPacket => CaptureKind::AfPacket,
    });
    Ok(config)
}

/// Rule files: those of the command line, else the configuration's.
pub fn rule_files(args: &RunArgs, config: &Config) -> Vec<String> {
    if args.rules.rules.is_empty() { config.rule_files.clone() } else { args.rules.rules.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_two_names_and_queues_two_numbers() {
        assert_eq!(pair("eth0:eth1"), Ok(("eth0".into(), "eth1".into())));
        assert_eq!((queues("0-3"), queues("7"), queues("0-63")), (Ok(0..=3), Ok(7..=7), Ok(0..=63)));
        assert!(["3-0", "0-64", "", "-", "a", "1-", "0-99999"].iter().all(|bad| queues(bad).is_err()));
        for bad in ["eth0", "eth0:", ":eth1", "a:b:c", ""] {
            assert!(pair(bad).is_err(), "{bad}");
        }
    }
}
