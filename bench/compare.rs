//! `stopgap-bench compare`: the same capture and rules through stopgap and through a `suricata` found on PATH.
//!
//! Each runs three times: twice on a capture of one packet, so that the second start finds what the first left in a
//! cache (`start CPU s` and `again CPU s`), then on the capture. What that takes beyond the second start is what the
//! packets cost. stopgap runs without its cache, which is off unless asked for.
//! The alerts of the same run are compared, so that doing less is not taken for speed. Suricata is a program the
//! person has installed; nothing of it is part of this project.

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
    /// Its configuration; what it logs should match `--events`.
    #[arg(long, value_name = "FILE")]
    suricata_config: PathBuf,
    /// Further `--set` of its configuration.
    #[arg(long, value_name = "KEY=VALUE")]
    suricata_set: Vec<String>,
    /// Default: beside this program.
    #[arg(long)]
    stopgap: Option<PathBuf>,
    /// Further `--set` of stopgap's configuration.
    #[arg(long, value_name = "KEY=VALUE")]
    stopgap_set: Vec<String>,
    /// What stopgap logs.
    #[arg(long, default_value = "alert")]
    events: String,
    /// Differing rules to list.
    #[arg(long, default_value_t = 20)]
    list: usize,
}

/// What a run took.
struct Run {
    cpu: Duration,
    memory_mib: f64,
}

/// How often each (sid, protocol, ends) was alerted on.
type Alerts = BTreeMap<(u64, String), u64>;

pub fn run(args: &Args) -> Result<Table, String> {
    let work = std::env::temp_dir().join(format!("stopgap-bench-compare-{}", std::process::id()));
    let result = compare(args, &work);
    let _ = std::fs::remove_dir_all(&work);
    result
}

fn compare(args: &Args, work: &Path) -> Result<Table, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", work.display());
    std::fs::create_dir_all(work).map_err(failed)?;
    let empty = work.join("empty.pcap");
    write_one_packet(&empty).map_err(|e| e.to_string())?;
    let all = work.join("all.rules");
    let mut text = Vec::new();
    for path in &args.rules {
        text.extend(std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?);
        text.push(b'\n');
    }
    std::fs::write(&all, text).map_err(failed)?;

    let mut table = Table::new("compare", "CPU seconds, start-up subtracted; memory in MiB");
    let packets = count(&args.mix)?;
    let mut alerts = Vec::new();
    for name in ["stopgap", "suricata"] {
        let command = |capture: &Path, out: &Path| {
            if name == "stopgap" { stopgap(args, &all, capture, out) } else { suricata(args, &all, capture, out) }
        };
        let mut runs = Vec::new();
        for (capture, label) in [(empty.as_path(), "first"), (empty.as_path(), "again"), (args.mix.as_path(), "full")] {
            let out = work.join(format!("{name}-{label}"));
            std::fs::create_dir_all(&out).map_err(failed)?;
            runs.push(measure(command(capture, &out), name)?);
        }
        let net = runs[2].cpu.saturating_sub(runs[1].cpu);
        let mut row = Row::new(name);
        row.put("start CPU s", runs[0].cpu.as_secs_f64());
        row.put("again CPU s", runs[1].cpu.as_secs_f64());
        row.put("net CPU s", net.as_secs_f64());
        row.put("ns/packet", net.as_nanos() as f64 / packets as f64);
        row.put("peak MiB", runs[2].memory_mib);
        let seen = read_alerts(&work.join(format!("{name}-full/eve.json")))?;
        row.put("alerts", seen.values().sum::<u64>() as f64);
        table.rows.push(row);
        alerts.push(seen);
    }
    let ratio = |key: &str| Some(table.rows[1].value(key)? / table.rows[0].value(key)?);
    let mut row = Row::new("suricata / stopgap");
    for key in ["start CPU s", "again CPU s", "net CPU s", "ns/packet", "peak MiB", "alerts"] {
        row.put(key, ratio(key).filter(|r| r.is_finite()).unwrap_or(0.0));
    }
    table.rows.push(row);
    table.environment.insert("packets".into(), packets.to_string());
    difference(&alerts[0], &alerts[1], args.list, &mut table);
    Ok(table)
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

fn stopgap(args: &Args, rules: &Path, capture: &Path, out: &Path) -> Command {
    let beside = || std::env::current_exe().ok().map(|p| p.with_file_name("stopgap"));
    let mut c = Command::new(args.stopgap.clone().or_else(beside).unwrap_or_else(|| "stopgap".into()));
    c.arg("replay").arg("-S").arg(rules).arg("-l").arg(out).args(["-k", "none", "--events"]).arg(&args.events);
    for set in &args.stopgap_set {
        c.arg("--set").arg(set);
    }
    if let Some(file) = beside_rules(args, "classification.config") {
        c.arg("--classification").arg(file);
    }
    c.arg(capture);
    c
}

fn suricata(args: &Args, rules: &Path, capture: &Path, out: &Path) -> Command {
    let mut c = Command::new(&args.suricata);
    c.arg("-c").arg(&args.suricata_config).arg("-S").arg(rules).arg("-l").arg(out).arg("-r").arg(capture);
    c.args(["-k", "none", "--runmode", "single"]);
    for set in &args.suricata_set {
        c.arg("--set").arg(set);
    }
    if let Some(file) = beside_rules(args, "classification.config") {
        c.arg("--set").arg(format!("classification-file={}", file.display()));
    }
    c
}

fn beside_rules(args: &Args, name: &str) -> Option<PathBuf> {
    args.rules.first()?.parent().map(|d| d.join(name)).filter(|p| p.is_file())
}

fn measure(mut command: Command, name: &str) -> Result<Run, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|e| format!("{name}: {}: {e}", command.get_program().display()))?;
    let used = child.wait4().map_err(|e| format!("{name}: {e}"))?;
    // stopgap's 1: done, but some rule was refused.
    let tolerated = i32::from(name == "stopgap");
    if used.status.code().is_none_or(|c| c > tolerated) {
        return Err(format!("{name} failed ({}): {command:?}", used.status));
    }
    Ok(Run { cpu: used.rusage.utime + used.rusage.stime, memory_mib: used.rusage.maxrss as f64 / f64::from(1 << 20) })
}

fn read_alerts(path: &Path) -> Result<Alerts, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut out = Alerts::new();
    for line in text.lines() {
        let Ok(v) = serde_json::from_str::<Value>(line) else { continue };
        if v["event_type"] == "alert" {
            let sid = v["alert"]["signature_id"].as_u64().unwrap_or(0);
            let ends = format!("{} {}:{} {}:{}", v["proto"], v["src_ip"], v["src_port"], v["dest_ip"], v["dest_port"]);
            *out.entry((sid, ends.replace('"', ""))).or_default() += 1;
        }
    }
    Ok(out)
}

/// Adds found, missed and extra to the table, and lists the rules that differ most.
fn difference(ours: &Alerts, theirs: &Alerts, list: usize, table: &mut Table) {
    let found = theirs.keys().filter(|k| ours.contains_key(k)).count();
    let extra = ours.keys().filter(|k| !theirs.contains_key(k)).count();
    let mut row = Row::new("alert rows (sid, protocol, ends)");
    row.put("suricata", theirs.len() as f64);
    row.put("stopgap", ours.len() as f64);
    row.put("found %", 100.0 * found as f64 / theirs.len().max(1) as f64);
    row.put("extra %", 100.0 * extra as f64 / theirs.len().max(1) as f64);
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
