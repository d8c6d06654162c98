//! `stopgap-bench compare`: the same capture and rules through stopgap and through a `suricata` found on PATH.
//!
//! Three modes: alerts alone, every record of both defaults, and no rules. In each, stopgap, Suricata as it is, and
//! Suricata with every protocol off that stopgap does not parse, one right after the other: on a capture of one packet,
//! so that what starting costs can be subtracted, and on the capture. The alerts of the same runs are compared, so that
//! doing less is not taken for speed; so is the number of records of each type. Loading is measured cold and from each
//! program's own cache. With several rounds the cheapest run of each kind counts.
//!
//! Suricata is a program the person has installed; nothing of it is part of this project.

use crate::report::{Row, Table};
use capture::{Outgoing, Transmit, Writer};
use engine::decode::{LinkType, PortId};
use engine::types::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use wait4::Wait4;

/// Parsed by stopgap too, in the names Suricata switches them by.
const OURS: [&str; 3] = ["http", "dns", "tls"];
/// Below this share of alert rows found a figure says nothing about speed.
const PARITY_MIN: f64 = 98.0;

#[derive(clap::Args)]
pub struct Args {
    /// The capture.
    #[arg(long, value_name = "FILE")]
    mix: PathBuf,
    /// Rule files.
    #[arg(short = 'S', required = true, num_args = 1.., value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// The program to compare with.
    #[arg(long, default_value = "suricata")]
    suricata: PathBuf,
    /// Its configuration, logging alerts alone.
    #[arg(long, value_name = "FILE")]
    suricata_config: PathBuf,
    /// Its configuration, logging every default type; without it that mode is left out.
    #[arg(long, value_name = "FILE")]
    suricata_full_config: Option<PathBuf>,
    /// Further `--set` of its configuration.
    #[arg(long, value_name = "KEY=VALUE")]
    suricata_set: Vec<String>,
    /// Default: beside this program.
    #[arg(long)]
    stopgap: Option<PathBuf>,
    /// Further `--set` of stopgap's configuration.
    #[arg(long, value_name = "KEY=VALUE")]
    stopgap_set: Vec<String>,
    /// Runs of each kind; the cheapest counts.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Differing rules to list.
    #[arg(long, default_value_t = 20)]
    list: usize,
}

/// What a run took.
#[derive(Clone, Copy)]
struct Run {
    cpu: Duration,
    memory_mib: f64,
}

/// How often each (sid, protocol, ends) was alerted on.
type Alerts = BTreeMap<(u64, String), u64>;

/// What a log held.
#[derive(Default)]
struct Seen {
    alerts: Alerts,
    records: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Alerts,
    EveryRecord,
    NoRules,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Stopgap,
    Suricata,
    Reduced,
}

impl Program {
    const ALL: [Program; 3] = [Program::Stopgap, Program::Suricata, Program::Reduced];

    const fn name(self) -> &'static str {
        match self {
            Program::Stopgap => "stopgap",
            Program::Suricata => "suricata",
            Program::Reduced => "suricata, same protocols",
        }
    }
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Mode::Alerts => "alerts",
            Mode::EveryRecord => "every record",
            Mode::NoRules => "no rules",
        }
    }
}

pub fn run(args: &Args) -> Result<Table, String> {
    let work = std::env::temp_dir().join(format!("stopgap-bench-compare-{}", std::process::id()));
    let result = Bench::new(args, &work).and_then(|b| b.all());
    let _ = std::fs::remove_dir_all(&work);
    result
}

struct Bench<'a> {
    args: &'a Args,
    work: &'a Path,
    /// A capture of next to nothing, all rules in one file, and none.
    one: PathBuf,
    rules: PathBuf,
    no_rules: PathBuf,
    packets: u64,
    /// Protocols that Suricata parses and stopgap does not.
    others: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args, work: &'a Path) -> Result<Self, String> {
        let failed = |e: std::io::Error| format!("{}: {e}", work.display());
        std::fs::create_dir_all(work).map_err(failed)?;
        let [one, rules, no_rules] = ["one.pcap", "all.rules", "no.rules"].map(|n| work.join(n));
        write_one_packet(&one).map_err(|e| e.to_string())?;
        let mut text = Vec::new();
        for path in &args.rules {
            text.extend(std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?);
            text.push(b'\n');
        }
        std::fs::write(&rules, text).map_err(failed)?;
        std::fs::write(&no_rules, "").map_err(failed)?;
        let others = others(&args.suricata)?;
        Ok(Bench { args, work, one, rules, no_rules, packets: count(&args.mix)?, others })
    }

    fn all(&self) -> Result<Table, String> {
        let mut table = Table::new("compare", "CPU seconds, start-up subtracted; memory in MiB");
        table.environment.insert("packets".into(), self.packets.to_string());
        table.environment.insert("switched off".into(), self.others.join(" "));
        self.loading(&mut table)?;
        let full = self.args.suricata_full_config.is_some().then_some(Mode::EveryRecord);
        for mode in [Some(Mode::Alerts), full, Some(Mode::NoRules)].into_iter().flatten() {
            self.mode(mode, &mut table)?;
        }
        Ok(table)
    }

    /// Start-up, cold and from the program's cache.
    fn loading(&self, table: &mut Table) -> Result<(), String> {
        let mut figures = Vec::new();
        for program in [Program::Stopgap, Program::Suricata] {
            let out = self.out(program, "load")?;
            let run = |cached: bool| {
                let mut c = self.command(program, Mode::Alerts, &self.one, &out);
                match (program, cached) {
                    (_, true) => self.cached(program, &mut c),
                    (Program::Stopgap, false) => {}
                    (_, false) => {
                        c.args(["--set", "detect.sgh-mpm-caching=false"]);
                    }
                }
                measure(c, program)
            };
            let cold = self.best(|| run(false))?;
            run(true)?;
            let cached = self.best(|| run(true))?;
            let mut row = Row::new(format!("load: {}", program.name()));
            row.put("cold CPU s", cold.cpu.as_secs_f64());
            row.put("cached CPU s", cached.cpu.as_secs_f64());
            table.rows.push(row);
            figures.push([cold.cpu.as_secs_f64(), cached.cpu.as_secs_f64()]);
        }
        let mut row = Row::new("load: ratio");
        for (i, key) in ["cold CPU s", "cached CPU s"].into_iter().enumerate() {
            row.put(key, figures[1][i] / figures[0][i].max(1e-6));
        }
        table.rows.push(row);
        Ok(())
    }

    fn mode(&self, mode: Mode, table: &mut Table) -> Result<(), String> {
        let mut figures: Vec<(f64, f64)> = Vec::new();
        let mut seen = Vec::new();
        let mut runs: BTreeMap<usize, (Run, Run)> = BTreeMap::new();
        for _ in 0..self.args.rounds.max(1) {
            for (i, program) in Program::ALL.into_iter().enumerate() {
                let out = self.out(program, "mix")?;
                let run = |capture: &Path| {
                    let mut c = self.command(program, mode, capture, &out);
                    self.cached(program, &mut c);
                    measure(c, program)
                };
                let start = run(&self.one)?;
                let _ = std::fs::remove_file(out.join("eve.json"));
                let whole = run(&self.args.mix)?;
                let best = runs.entry(i).or_insert((start, whole));
                best.0.cpu = best.0.cpu.min(start.cpu);
                best.1.cpu = best.1.cpu.min(whole.cpu);
            }
        }
        for (i, program) in Program::ALL.into_iter().enumerate() {
            let Some((start, whole)) = runs.get(&i) else { continue };
            let net = whole.cpu.saturating_sub(start.cpu);
            let log = read_log(&self.out(program, "mix")?.join("eve.json"))?;
            let mut row = Row::new(format!("{}: {}", mode.name(), program.name()));
            row.put("start CPU s", start.cpu.as_secs_f64());
            row.put("net CPU s", net.as_secs_f64());
            row.put("ns/packet", net.as_nanos() as f64 / self.packets as f64);
            row.put("peak MiB", whole.memory_mib);
            row.put("alerts", log.alerts.values().sum::<u64>() as f64);
            row.put("records", log.records.values().sum::<u64>() as f64);
            table.rows.push(row);
            figures.push((net.as_secs_f64(), whole.memory_mib));
            seen.push(log);
        }
        for (i, program) in [(1, Program::Suricata), (2, Program::Reduced)] {
            let (ours, theirs) = (figures[0], figures[i]);
            let mut row = Row::new(format!("{}: ratio to {}", mode.name(), program.name()));
            row.put("net CPU s", theirs.0 / ours.0.max(1e-6));
            row.put("peak MiB", ours.1 / theirs.1.max(1e-6));
            table.rows.push(row);
            if mode != Mode::NoRules {
                let list = if mode == Mode::Alerts && program == Program::Reduced { self.args.list } else { 0 };
                difference(mode, program, &seen[0].alerts, &seen[i].alerts, list, table);
            }
        }
        if mode == Mode::EveryRecord {
            records(&seen, table);
        }
        Ok(())
    }

    fn best(&self, mut run: impl FnMut() -> Result<Run, String>) -> Result<Run, String> {
        let mut best = run()?;
        for _ in 1..self.args.rounds.max(1) {
            let next = run()?;
            best = if next.cpu < best.cpu { next } else { best };
        }
        Ok(best)
    }

    fn out(&self, program: Program, what: &str) -> Result<PathBuf, String> {
        let n = Program::ALL.iter().position(|p| *p == program).unwrap_or(0);
        let out = self.work.join(format!("{what}-{n}"));
        std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
        Ok(out)
    }

    fn command(&self, program: Program, mode: Mode, capture: &Path, out: &Path) -> Command {
        let rules = if mode == Mode::NoRules { &self.no_rules } else { &self.rules };
        match program {
            Program::Stopgap => self.stopgap(mode, rules, capture, out),
            Program::Suricata => self.suricata(mode, rules, capture, out),
            Program::Reduced => {
                let mut c = self.suricata(mode, rules, capture, out);
                for p in &self.others {
                    for transport in ["", ".tcp", ".udp"] {
                        c.arg("--set").arg(format!("app-layer.protocols.{p}{transport}.enabled=no"));
                    }
                }
                c
            }
        }
    }

    /// Both with their cache of compiled databases, which is Suricata's default.
    fn cached(&self, program: Program, c: &mut Command) {
        if program == Program::Stopgap {
            c.arg("--cache").arg(self.work.join("cache"));
        }
    }

    fn stopgap(&self, mode: Mode, rules: &Path, capture: &Path, out: &Path) -> Command {
        let args = self.args;
        let beside = || std::env::current_exe().ok().map(|p| p.with_file_name("stopgap"));
        let mut c = Command::new(args.stopgap.clone().or_else(beside).unwrap_or_else(|| "stopgap".into()));
        c.arg("replay").arg("-S").arg(rules).arg("-l").arg(out).args(["-k", "none"]);
        if mode != Mode::EveryRecord {
            c.args(["--events", "alert"]);
        }
        for set in &args.stopgap_set {
            c.arg("--set").arg(set);
        }
        if let Some(file) = self.beside_rules("classification.config") {
            c.arg("--classification").arg(file);
        }
        c.arg(capture);
        c
    }

    fn suricata(&self, mode: Mode, rules: &Path, capture: &Path, out: &Path) -> Command {
        let args = self.args;
        let full = args.suricata_full_config.as_ref().filter(|_| mode == Mode::EveryRecord);
        let mut c = Command::new(&args.suricata);
        c.arg("-c").arg(full.unwrap_or(&args.suricata_config));
        c.arg("-S").arg(rules).arg("-l").arg(out).arg("-r").arg(capture);
        c.args(["-k", "none", "--runmode", "single"]);
        for set in &args.suricata_set {
            c.arg("--set").arg(set);
        }
        if let Some(file) = self.beside_rules("classification.config") {
            c.arg("--set").arg(format!("classification-file={}", file.display()));
        }
        c
    }

    fn beside_rules(&self, name: &str) -> Option<PathBuf> {
        self.args.rules.first()?.parent().map(|d| d.join(name)).filter(|p| p.is_file())
    }
}

/// Protocols that this Suricata parses and stopgap does not.
pub fn others(suricata: &Path) -> Result<Vec<String>, String> {
    let listed = Command::new(suricata).arg("--list-app-layer-protos").stderr(Stdio::null()).output();
    let listed = listed.map_err(|e| format!("{}: {e}", suricata.display()))?.stdout;
    let protocol = |l: &&str| !l.is_empty() && !l.starts_with('=') && !OURS.contains(l);
    Ok(String::from_utf8_lossy(&listed).lines().map(str::trim).filter(protocol).map(String::from).collect())
}

/// Next to nothing: Suricata does not start on a capture without any packet.
fn write_one_packet(path: &Path) -> Result<(), capture::Error> {
    let mut frame = [0u8; 60];
    frame[..6].fill(0xff);
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    let mut writer = Writer::create(path)?;
    writer.send(&Outgoing {
        ts: Timestamp::from_secs(1_700_000_000),
        port: PortId(0),
        link: LinkType::ETHERNET,
        data: &frame,
        wire_len: frame.len() as u32,
        comment: None,
    })?;
    writer.flush()
}

fn count(path: &Path) -> Result<u64, String> {
    use capture::Receive;
    let mut reader = capture::open(path).map_err(|e| e.to_string())?;
    let mut n = 0;
    loop {
        match reader.recv(&mut Vec::new(), 4_096).map_err(|e| e.to_string())? {
            0 => return Ok(n),
            more => n += more as u64,
        }
    }
}

fn measure(mut command: Command, program: Program) -> Result<Run, String> {
    let name = program.name();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|e| format!("{name}: {}: {e}", command.get_program().display()))?;
    let used = child.wait4().map_err(|e| format!("{name}: {e}"))?;
    // stopgap's 1: done, but some rule was refused.
    let tolerated = i32::from(program == Program::Stopgap);
    if used.status.code().is_none_or(|c| c > tolerated) {
        return Err(format!("{name} failed ({}): {command:?}", used.status));
    }
    Ok(Run { cpu: used.rusage.utime + used.rusage.stime, memory_mib: used.rusage.maxrss as f64 / f64::from(1 << 20) })
}

fn read_log(path: &Path) -> Result<Seen, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut out = Seen::default();
    for line in text.lines() {
        let Ok(v) = serde_json::from_str::<Value>(line) else { continue };
        let kind = v["event_type"].as_str().unwrap_or("?");
        *out.records.entry(kind.into()).or_default() += 1;
        if kind == "alert" {
            let sid = v["alert"]["signature_id"].as_u64().unwrap_or(0);
            let ends = format!("{} {}:{} {}:{}", v["proto"], v["src_ip"], v["src_port"], v["dest_ip"], v["dest_port"]);
            *out.alerts.entry((sid, ends.replace('"', ""))).or_default() += 1;
        }
    }
    Ok(out)
}

/// Records of each type, side by side.
fn records(seen: &[Seen], table: &mut Table) {
    let mut kinds: Vec<&String> = seen.iter().flat_map(|s| s.records.keys()).collect();
    kinds.sort();
    kinds.dedup();
    for kind in kinds {
        let mut row = Row::new(format!("records: {kind}"));
        for (program, s) in Program::ALL.into_iter().zip(seen) {
            row.put(program.name(), s.records.get(kind).copied().unwrap_or(0) as f64);
        }
        table.rows.push(row);
    }
}

/// Adds found, missed and extra to the table, and lists the rules that differ most.
fn difference(mode: Mode, program: Program, ours: &Alerts, theirs: &Alerts, list: usize, table: &mut Table) {
    let found = theirs.keys().filter(|k| ours.contains_key(k)).count();
    let extra = ours.keys().filter(|k| !theirs.contains_key(k)).count();
    let percent = |n: usize| 100.0 * n as f64 / theirs.len().max(1) as f64;
    let verdict = if percent(found) < PARITY_MIN { ": NO RESULT" } else { "" };
    let mut row = Row::new(format!("{}: alert rows of {}{verdict}", mode.name(), program.name()));
    row.put("theirs", theirs.len() as f64);
    row.put("stopgap", ours.len() as f64);
    row.put("found %", percent(found));
    row.put("extra %", percent(extra));
    table.rows.push(row);
    let mut by_sid: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    theirs.keys().filter(|k| !ours.contains_key(k)).for_each(|k| by_sid.entry(k.0).or_default().0 += 1);
    ours.keys().filter(|k| !theirs.contains_key(k)).for_each(|k| by_sid.entry(k.0).or_default().1 += 1);
    let mut worst: Vec<_> = by_sid.into_iter().collect();
    worst.sort_by_key(|(_, (missed, extra))| std::cmp::Reverse(missed + extra));
    for (sid, (missed, extra)) in worst.into_iter().take(list) {
        let mut row = Row::new(format!("sid {sid}"));
        row.put("missed", missed as f64);
        row.put("extra", extra as f64);
        table.rows.push(row);
    }
}
