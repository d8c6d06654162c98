//! What a replay came to, for people and for machines.

use crate::outputs::Outputs;
use crate::workers::Tally;
use engine::types::{Cause, Counter};
use owo_colors::OwoColorize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Alerts listed for people; JSON has all.
const SIDS_SHOWN: usize = 20;

#[derive(Debug, Default)]
pub struct Summary {
    pub captures: usize,
    /// Captures that could not be opened or not be read to their end.
    pub cut_short: usize,
    pub packets: u64,
    /// On the wire.
    pub bytes: u64,
    pub elapsed: Duration,
    flows: u64,
    /// Totals of the verdict counters, by name.
    verdicts: BTreeMap<&'static str, u64>,
    exceptions: BTreeMap<&'static str, u64>,
    records_lost: u64,
    panics: u64,
    alerts: Vec<(u64, u64, String)>,
    drops: BTreeMap<&'static str, u64>,
}

const VERDICTS: [(Counter, &str); 5] = [
    (Counter::Forwarded, "forwarded"),
    (Counter::Dropped, "dropped"),
    (Counter::Rejected, "rejected"),
    (Counter::Replaced, "rewritten"),
    (Counter::Injected, "injected"),
];

impl Summary {
    /// Adds what the workers of one capture counted.
    pub fn add(&mut self, t: &Tally) {
        self.flows += t.counters.of(Counter::FlowNew);
        self.records_lost += t.records_lost();
        self.panics += t.counters.of(Counter::Panics);
        for (counter, name) in VERDICTS {
            *self.verdicts.entry(name).or_default() += t.counters.of(counter);
        }
        for (row, n) in Cause::TABLE.iter().zip(t.exceptions).filter(|(_, n)| *n > 0) {
            *self.exceptions.entry(row.name).or_default() += n;
        }
    }

    /// Takes over what was counted while writing.
    pub fn take(&mut self, outputs: &Outputs) {
        self.alerts = outputs.alerts.iter().map(|(sid, (n, msg))| (*sid, *n, msg.clone())).collect();
        self.alerts.sort_by_key(|(sid, n, _)| (std::cmp::Reverse(*n), *sid));
        self.drops = outputs.drops.clone();
    }

    pub fn text(&self, log_dir: Option<&Path>, write: Option<&Path>) -> String {
        let mut o = String::new();
        let seconds = self.elapsed.as_secs_f64().max(1e-6);
        let (packets, bytes) = (grouped(self.packets), size(self.bytes));
        let captures = if self.captures == 1 { "1 capture".into() } else { format!("{} captures", self.captures) };
        let _ = writeln!(
            o,
            "{}  {packets} packets, {bytes}, {} flows of {captures}",
            "read      ".bold(),
            grouped(self.flows)
        );
        let rate = self.packets as f64 / seconds;
        let gbit = self.bytes as f64 * 8.0 / 1e9 / seconds;
        let memory = peak_memory().map(|m| format!(", {} of memory at most", size(m))).unwrap_or_default();
        let _ = writeln!(
            o,
            "{}  {seconds:.2} s, {} packets/s, {gbit:.3} Gbit/s{memory}",
            "took      ".bold(),
            grouped(rate as u64)
        );
        let total: u64 = self.alerts.iter().map(|a| a.1).sum();
        let _ = writeln!(o, "{}  {} by {} rules", "alerts    ".bold(), grouped(total), self.alerts.len());
        for (sid, n, msg) in self.alerts.iter().take(SIDS_SHOWN) {
            let _ = writeln!(o, "  {n:>8}  sid {sid}  {}", printable(msg));
        }
        if self.alerts.len() > SIDS_SHOWN {
            let _ = writeln!(o, "            and {} more rules", self.alerts.len() - SIDS_SHOWN);
        }
        self.table(&mut o, "verdicts  ", &self.verdicts);
        self.table(&mut o, "drops     ", &self.drops);
        self.table(&mut o, "exceptions", &self.exceptions);
        if self.records_lost > 0 {
            let _ = writeln!(o, "{}  {} records found no room", "lost      ".bold(), self.records_lost);
        }
        if let Some(dir) = log_dir {
            let _ = writeln!(o, "{}  {}", "log       ".bold(), dir.join("eve.json").display());
        }
        if let Some(file) = write {
            let _ = writeln!(o, "{}  {}", "frames    ".bold(), file.display());
        }
        o
    }

    fn table(&self, o: &mut String, title: &str, rows: &BTreeMap<&'static str, u64>) {
        let rows: Vec<String> =
            rows.iter().filter(|(_, n)| **n > 0).map(|(k, n)| format!("{} {k}", grouped(*n))).collect();
        if !rows.is_empty() {
            let _ = writeln!(o, "{}  {}", title.bold(), rows.join(", "));
        }
    }

    pub fn json(&self) -> serde_json::Value {
        let seconds = self.elapsed.as_secs_f64();
        serde_json::json!({
            "captures": self.captures,
            "cut_short": self.cut_short,
            "packets": self.packets,
            "bytes": self.bytes,
            "flows": self.flows,
            "alerts": self.alerts.iter().map(|a| a.1).sum::<u64>(),
            "alerts_by_sid": self.alerts.iter().map(|(sid, n, _)| (sid.to_string(), (*n).into())).collect::<serde_json::Map<_, _>>(),
            "verdicts": self.verdicts,
            "drops_by_reason": self.drops,
            "exceptions": self.exceptions,
            "records_lost": self.records_lost,
            "panics": self.panics,
            "seconds": seconds,
            "packets_per_second": self.packets as f64 / seconds.max(1e-6),
            "peak_memory_bytes": peak_memory(),
        })
    }
}

/// Most memory the process ever had resident.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|k| k * 1024)
}

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

fn size(bytes: u64) -> String {
    let b = bytes as f64;
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{:.0} kB", b / 1e3),
        10_000_000..=9_999_999_999 => format!("{:.0} MB", b / 1e6),
        _ => format!("{:.1} GB", b / 1e9),
    }
}

/// Rule files may hold anything: nothing of it steers the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_people() {
        assert_eq!(["0", "12", "123", "1,234", "1,234,567"], [0, 12, 123, 1_234, 1_234_567].map(grouped)[..]);
        assert_eq!(["9999 bytes", "10 kB", "12 MB"], [9_999, 10_000, 12_000_000].map(size)[..]);
        assert_eq!(printable("a\u{1b}[2J"), "a\u{fffd}[2J");
        if cfg!(target_os = "linux") {
            assert!(peak_memory().unwrap() > 1 << 16);
        }
    }
}
