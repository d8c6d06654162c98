//! Alert parity: our alerts over the shared captures beside those an independent engine recorded with the same rules.
//!
//! A row is (capture, sid, protocol, source, source port, destination, destination port), counts left out. Only rules
//! of the protocols this engine parses are compared. Two figures: of all rows, how many are found and how many are
//! extra; and the mean over (capture, sid) pairs of the share found, so that a few busy rules do not decide.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Header protocols of the rules that are compared.
const PROTOCOLS: [&str; 10] = ["tcp", "udp", "ip", "icmp", "tcp-pkt", "tcp-stream", "pkthdr", "http", "dns", "tls"];
/// Captures per call of the program: keeps the argument list below the kernel's bound.
const CAPTURES_PER_CALL: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub capture: String,
    pub sid: u32,
    pub proto: String,
    pub src: String,
    pub sport: String,
    pub dst: String,
    pub dport: String,
}

pub type Rows = BTreeSet<Row>;

/// The rule files of the data, sorted.
pub fn rule_files(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(data.join("rules/etopen-2024-04"))?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "rules"))
        .collect();
    files.sort();
    Ok(files)
}

/// Header protocol of each enabled rule, by sid.
pub fn rule_protocols(data: &Path) -> io::Result<HashMap<u32, String>> {
    let mut protocols = HashMap::new();
    for file in rule_files(data)? {
        let text = std::fs::read(file)?;
        for line in String::from_utf8_lossy(&text).lines().filter(|l| !l.starts_with('#')) {
            let (Some(proto), Some(at)) = (line.split_whitespace().nth(1), line.find("sid:")) else { continue };
            let sid = line[at + 4..].trim_start().split(';').next().and_then(|s| s.trim().parse().ok());
            if let Some(sid) = sid {
                protocols.insert(sid, proto.to_owned());
            }
        }
    }
    Ok(protocols)
}

/// Fields of a CSV line with quoted fields.
pub(crate) fn csv_fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(c),
        }
    }
    fields.push(field);
    fields
}

/// Every capture's path under `pcaps/`.
pub fn captures(data: &Path) -> io::Result<Vec<String>> {
    Ok(manifest(data)?.into_iter().map(|(path, _)| path).collect())
}

/// The captures whose alerts were recorded: those of the manifest's `dev` part. An alert in another is not extra, since
/// nobody looked.
pub fn recorded_captures(data: &Path) -> io::Result<Vec<String>> {
    Ok(manifest(data)?.into_iter().filter(|(_, part)| part == "dev").map(|(path, _)| path).collect())
}

/// Path and part of each capture: the manifest's first and third column.
fn manifest(data: &Path) -> io::Result<Vec<(String, String)>> {
    let file = BufReader::new(std::fs::File::open(data.join("pcaps/manifest.csv"))?);
    let row = |line: io::Result<String>| {
        let mut fields = csv_fields(&line?).into_iter();
        Ok((fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default()))
    };
    file.lines().skip(1).map(row).collect()
}

/// What the other engine said, for rules of the compared protocols.
pub fn oracle(data: &Path) -> io::Result<Rows> {
    let protocols = rule_protocols(data)?;
    let file = BufReader::new(std::fs::File::open(data.join("pcaps/suricata-alerts.csv"))?);
    let mut rows = Rows::new();
    for line in file.lines().skip(1) {
        let f = csv_fields(&line?);
        let [capture, sid, proto, src, sport, dst, dport, ..] = f.as_slice() else { continue };
        let Ok(sid) = sid.parse() else { continue };
        if compared(&protocols, sid) {
            rows.insert(Row {
                capture: capture.clone(),
                sid,
                proto: proto.clone(),
                src: address(src),
                sport: sport.clone(),
                dst: address(dst),
                dport: dport.clone(),
            });
        }
    }
    Ok(rows)
}

pub(crate) fn compared(protocols: &HashMap<u32, String>, sid: u32) -> bool {
    protocols.get(&sid).is_some_and(|p| PROTOCOLS.contains(&p.as_str()))
}

/// One spelling of an address: engines differ in how they shorten IPv6.
pub(crate) fn address(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_owned(), |a| a.to_string())
}

/// Runs the program over `captures` and collects its alerts. `extra` are further options (`--inline`, …).
pub fn measure(program: &Path, data: &Path, captures: &[String], extra: &[&str], out: &Path) -> io::Result<Rows> {
    let protocols = rule_protocols(data)?;
    let root = data.join("pcaps");
    let mut rows = Rows::new();
    for (i, chunk) in captures.chunks(CAPTURES_PER_CALL).enumerate() {
        let log = out.join(i.to_string());
        let mut run = Command::new(program);
        run.arg("replay").arg("-S").arg(data.join("rules/etopen-2024-04/*.rules")).arg("-l").arg(&log);
        run.args(["-k", "none", "--events", "alert", "--set", "vars.address-groups.EXTERNAL_NET=any"]);
        run.arg("--cache").arg(out.join("cache")).args(extra);
        run.arg("--").args(chunk.iter().map(|c| root.join(c)));
        let done = run.output()?;
        // 1: some capture was cut short, which many of these are.
        if !matches!(done.status.code(), Some(0 | 1)) {
            return Err(io::Error::other(format!(
                "replay: {}: {}",
                done.status,
                String::from_utf8_lossy(&done.stderr)
            )));
        }
        for line in BufReader::new(std::fs::File::open(log.join("eve.json"))?).lines() {
            let event: Value = serde_json::from_str(&line?).map_err(io::Error::other)?;
            if let Some(row) = row(&event, &root).filter(|r| compared(&protocols, r.sid)) {
                rows.insert(row);
            }
        }
    }
    Ok(rows)
}

fn row(event: &Value, root: &Path) -> Option<Row> {
    if event["event_type"] != "alert" {
        return None;
    }
    let text = |key: &str| match &event[key] {
        Value::String(s) => s.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let capture = Path::new(event["pcap_filename"].as_str()?).strip_prefix(root).ok()?;
    Some(Row {
        capture: capture.to_str()?.to_owned(),
        sid: event["alert"]["signature_id"].as_u64()?.try_into().ok()?,
        proto: text("proto"),
        src: address(&text("src_ip")),
        sport: text("src_port"),
        dst: address(&text("dest_ip")),
        dport: text("dest_port"),
    })
}

/// The two figures, and what differs.
#[derive(Debug)]
pub struct Parity {
    pub expected: usize,
    pub found: usize,
    pub extra: usize,
    /// (capture, sid) pairs expected, and the mean share of their rows found.
    pub pairs: usize,
    pub pairs_mean: f64,
    /// Rows missed and extra, by sid: (missed, extra, an example).
    pub by_sid: BTreeMap<u32, (usize, usize, Row)>,
}

impl Parity {
    pub fn found_share(&self) -> f64 {
        share(self.found, self.expected)
    }

    pub fn extra_share(&self) -> f64 {
        share(self.extra, self.expected)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

pub fn compare(expected: &Rows, got: &Rows) -> Parity {
    let mut pairs: BTreeMap<(&str, u32), (usize, usize)> = BTreeMap::new();
    let mut by_sid: BTreeMap<u32, (usize, usize, Row)> = BTreeMap::new();
    for r in expected {
        let (found, all) = pairs.entry((&r.capture, r.sid)).or_default();
        *all += 1;
        if got.contains(r) {
            *found += 1;
        } else {
            by_sid.entry(r.sid).or_insert((0, 0, r.clone())).0 += 1;
        }
    }
    for r in got.difference(expected) {
        by_sid.entry(r.sid).or_insert((0, 0, r.clone())).1 += 1;
    }
    let sum: f64 = pairs.values().map(|(f, a)| share(*f, *a)).sum();
    Parity {
        expected: expected.len(),
        found: expected.intersection(got).count(),
        extra: got.difference(expected).count(),
        pairs: pairs.len(),
        pairs_mean: if pairs.is_empty() { 0.0 } else { sum / pairs.len() as f64 },
        by_sid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(capture: &str, sid: u32, sport: &str) -> Row {
        let s = String::new;
        Row { capture: capture.into(), sid, proto: s(), src: s(), sport: sport.into(), dst: s(), dport: s() }
    }

    #[test]
    fn counts_rows_and_pairs() {
        let expected = Rows::from([row("a", 1, "1"), row("a", 1, "2"), row("b", 2, "1")]);
        let got = Rows::from([row("a", 1, "1"), row("b", 2, "1"), row("c", 3, "1")]);
        let p = compare(&expected, &got);
        assert_eq!((p.expected, p.found, p.extra, p.pairs), (3, 2, 1, 2));
        assert!((p.pairs_mean - 0.75).abs() < 1e-9);
        assert_eq!(p.by_sid.len(), 2);
    }

    #[test]
    fn quoted_fields_keep_their_commas() {
        assert_eq!(csv_fields("a,\"b,c\",d"), ["a", "b,c", "d"]);
    }
}
