//! Parity of inline verdicts: which flows are dropped, why and from which packet on, beside what an independent engine
//! recorded in line with the same rules, every one of them made a drop.
//!
//! A flow is (capture, protocol, its two ends). One agrees when both engines drop it for the same cause and from the same
//! packet on, or from the flow's next one after it: where a transaction is complete only with its acknowledgement, the
//! packets that tell an engine so are neighbours. Flows that were dropped for rules or parsers of protocols this engine
//! lacks are set apart and counted.

use crate::parity::{address, compared, csv_fields, rule_files, rule_protocols};
use ::engine::decode::{Decoder, Frame, Settings};
use ::engine::types::{Counters, IpProto, Limits};
use capture::Receive;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Protocols whose parsers this engine has, by the names of flow records; anything else is another engine's business.
const PARSED: [&str; 3] = ["http", "dns", "tls"];
const CAPTURES_PER_CALL: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowName {
    pub capture: String,
    pub proto: String,
    /// Address and port, the lesser end first.
    pub ends: [(String, String); 2],
}

impl FlowName {
    fn new(capture: &str, proto: &str, a: (&str, &str), b: (&str, &str)) -> Self {
        let end = |(ip, port): (&str, &str)| (address(ip), port.to_owned());
        let mut ends = [end(a), end(b)];
        ends.sort();
        FlowName { capture: capture.to_owned(), proto: proto.to_ascii_uppercase(), ends }
    }
}

/// How a flow's dropping began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Number in the capture, from 1.
    pub first: u64,
    pub reason: String,
    /// Of the rules that blocked that packet.
    pub sids: BTreeSet<u32>,
    pub packets: u64,
}

pub type Drops = BTreeMap<FlowName, Dropped>;

/// What the other engine dropped.
pub fn recorded(data: &Path) -> io::Result<Drops> {
    let file = BufReader::new(std::fs::File::open(data.join("oracle/suricata-drops.csv"))?);
    let mut drops = Drops::new();
    for line in file.lines().skip(1) {
        let f = csv_fields(&line?);
        let [capture, proto, ip_a, port_a, ip_b, port_b, first, reason, sids, packets] = f.as_slice() else { continue };
        let name = FlowName::new(capture, proto, (ip_a, port_a), (ip_b, port_b));
        let dropped = Dropped {
            first: first.parse().map_err(io::Error::other)?,
            reason: reason.clone(),
            sids: sids.split([' ', ';', ',', '|']).filter_map(|s| s.parse().ok()).collect(),
            packets: packets.parse().map_err(io::Error::other)?,
        };
        drops.insert(name, dropped);
    }
    Ok(drops)
}

/// Every rule that alerts made one that drops, in files of their own under `folder`.
pub fn dropping_rules(data: &Path, folder: &Path) -> io::Result<PathBuf> {
    let rules = folder.join("rules");
    std::fs::create_dir_all(&rules)?;
    for file in rule_files(data)? {
        let text = std::fs::read(&file)?;
        let drop = |l: &str| match l.strip_prefix("alert ") {
            Some(rest) if !l.contains("noalert") => format!("drop {rest}\n"),
            _ => format!("{l}\n"),
        };
        let text: String = String::from_utf8_lossy(&text).lines().map(drop).collect();
        std::fs::write(rules.join(file.file_name().unwrap_or_default()), text)?;
    }
    Ok(rules.join("*.rules"))
}

/// What this engine says of the same captures.
pub struct Measured {
    pub drops: Drops,
    /// The protocol of flows in which one was recognised.
    pub protocols: HashMap<FlowName, String>,
}

/// Runs the program in line over `captures`.
pub fn measure(program: &Path, data: &Path, captures: &[String], out: &Path) -> io::Result<Measured> {
    let rules = dropping_rules(data, out)?;
    let root = data.join("pcaps");
    let mut measured = Measured { drops: Drops::new(), protocols: HashMap::new() };
    for (i, chunk) in captures.chunks(CAPTURES_PER_CALL).enumerate() {
        let log = out.join(i.to_string());
        let mut run = Command::new(program);
        run.args(["replay", "--inline", "-k", "none", "--events", "alert,drop,flow", "-S"]).arg(&rules);
        run.args(["--set", "vars.address-groups.EXTERNAL_NET=any", "--classification"]);
        run.arg(data.join("rules/etopen-2024-04/classification.config"));
        run.arg("--cache").arg(out.join("cache")).arg("-l").arg(&log);
        run.arg("--").args(chunk.iter().map(|c| root.join(c)));
        let done = run.output()?;
        if !matches!(done.status.code(), Some(0 | 1)) {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(io::Error::other(format!("replay: {}: {said}", done.status)));
        }
        read(&log.join("eve.json"), &root, &mut measured)?;
    }
    Ok(measured)
}

/// Alerts come before the drop record of their packet.
fn read(eve: &Path, root: &Path, into: &mut Measured) -> io::Result<()> {
    let mut blocking: HashMap<(FlowName, u64), BTreeSet<u32>> = HashMap::new();
    for line in BufReader::new(std::fs::File::open(eve)?).lines() {
        let event: Value = serde_json::from_str(&line?).map_err(io::Error::other)?;
        let Some(name) = name_of(&event, root) else { continue };
        let number = event["pcap_cnt"].as_u64().unwrap_or(0);
        match event["event_type"].as_str() {
            Some("alert") if event["alert"]["action"] == "blocked" => {
                let sid = event["alert"]["signature_id"].as_u64().and_then(|s| u32::try_from(s).ok());
                blocking.entry((name, number)).or_default().extend(sid);
            }
            Some("drop") => {
                let sids = blocking.remove(&(name.clone(), number)).unwrap_or_default();
                let reason = event["drop"]["reason"].as_str().unwrap_or_default().to_owned();
                let first = Dropped { first: number, reason, sids, packets: 0 };
                into.drops.entry(name).or_insert(first).packets += 1;
            }
            Some("flow") => {
                if let Some(proto) = event["app_proto"].as_str() {
                    into.protocols.insert(name, proto.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn name_of(event: &Value, root: &Path) -> Option<FlowName> {
    let text = |key: &str| match &event[key] {
        Value::String(s) => s.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let capture = Path::new(event["pcap_filename"].as_str()?).strip_prefix(root).ok()?.to_str()?.to_owned();
    let (src, dst) = ((text("src_ip"), text("src_port")), (text("dest_ip"), text("dest_port")));
    Some(FlowName::new(&capture, &text("proto"), (&src.0, &src.1), (&dst.0, &dst.1)))
}

/// How one flow was judged differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Dropped there, not here.
    Missed,
    /// Dropped here, not there.
    Extra,
    /// Dropped for another cause.
    Cause,
    /// From a packet on that is neither the same nor the flow's next.
    Packet,
}

/// The figures, and what differs.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// Flows that either engine dropped, those set apart left out.
    pub flows: usize,
    pub agreed: usize,
    /// Of those that agree, from the very same packet on.
    pub same_packet: usize,
    /// Flows of protocols this engine lacks.
    pub apart: usize,
    pub differences: Vec<(Difference, FlowName, Option<Dropped>, Option<Dropped>)>,
}

impl Verdicts {
    pub fn share(&self) -> f64 {
        if self.flows == 0 { 0.0 } else { self.agreed as f64 / self.flows as f64 }
    }
}

/// Lays what was recorded beside what was measured.
pub fn compare(data: &Path, expected: &Drops, got: &Measured) -> io::Result<Verdicts> {
    let protocols = rule_protocols(data)?;
    let mut verdicts = Verdicts::default();
    let mut orders = HashMap::new();
    for name in expected.keys().chain(got.drops.keys()).collect::<BTreeSet<_>>() {
        let (theirs, ours) = (expected.get(name), got.drops.get(name));
        if theirs.is_some_and(|d| is_apart(d, got.protocols.get(name), &protocols)) {
            verdicts.apart += 1;
            continue;
        }
        verdicts.flows += 1;
        let difference = match (theirs, ours) {
            (Some(theirs), Some(ours)) if !same_cause(theirs, ours) => Difference::Cause,
            (Some(theirs), Some(ours)) if theirs.first == ours.first => {
                verdicts.agreed += 1;
                verdicts.same_packet += 1;
                continue;
            }
            (Some(theirs), Some(ours)) => {
                let order = match orders.get(&name.capture) {
                    Some(order) => order,
                    None => orders.entry(name.capture.clone()).or_insert(packet_orders(data, &name.capture)?),
                };
                if neighbours(order.get(name), theirs.first, ours.first) {
                    verdicts.agreed += 1;
                    continue;
                }
                Difference::Packet
            }
            (Some(_), None) => Difference::Missed,
            (None, _) => Difference::Extra,
        };
        verdicts.differences.push((difference, name.clone(), theirs.cloned(), ours.cloned()));
    }
    Ok(verdicts)
}

fn is_apart(theirs: &Dropped, proto: Option<&String>, protocols: &HashMap<u32, String>) -> bool {
    let parsed = proto.is_some_and(|p| PARSED.contains(&p.as_str()));
    let foreign_parser = theirs.reason == "applayer error" && !parsed;
    foreign_parser || !theirs.sids.is_empty() && !theirs.sids.iter().any(|s| compared(protocols, *s))
}

/// A rule whose threshold withholds the alert drops all the same and is named by nobody.
fn same_cause(a: &Dropped, b: &Dropped) -> bool {
    let unnamed = a.sids.is_empty() || b.sids.is_empty();
    a.reason == b.reason && (unnamed || !a.sids.is_disjoint(&b.sids))
}

/// Whether `ours` is the flow's next packet after `theirs`.
fn neighbours(order: Option<&Vec<u64>>, theirs: u64, ours: u64) -> bool {
    let Some(order) = order else { return false };
    order.iter().find(|n| **n > theirs) == Some(&ours)
}

/// The packets of each flow of a capture, by number.
fn packet_orders(data: &Path, capture: &str) -> io::Result<HashMap<FlowName, Vec<u64>>> {
    let mut orders: HashMap<FlowName, Vec<u64>> = HashMap::new();
    let mut reader = capture::open(&data.join("pcaps").join(capture)).map_err(io::Error::other)?;
    let mut decoder = Decoder::new(Settings { verify_checksums: false, ..Settings::default() }, &Limits::default());
    let mut counters = Counters::default();
    loop {
        let mut frames: Vec<Frame<'_>> = Vec::new();
        match reader.recv(&mut frames, 64) {
            // A capture cut short ends where it ends.
            Ok(0) | Err(_) => return Ok(orders),
            Ok(_) => {}
        }
        let mut packets = Vec::new();
        for (i, frame) in (0u32..).zip(&frames) {
            decoder.decode(frame, i, &mut packets, &mut counters);
        }
        for (_, p) in &packets {
            let t = &p.tuple;
            let (a, b) = (t.src.to_string(), t.dst.to_string());
            let (ap, bp) = match t.proto {
                IpProto::TCP | IpProto::UDP => (t.sport.to_string(), t.dport.to_string()),
                _ => Default::default(),
            };
            let proto = match t.proto {
                IpProto::TCP => "TCP",
                IpProto::UDP => "UDP",
                _ => continue,
            };
            orders.entry(FlowName::new(capture, proto, (&a, &ap), (&b, &bp))).or_default().push(p.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(first: u64, reason: &str, sids: &[u32]) -> Dropped {
        Dropped { first, reason: reason.into(), sids: sids.iter().copied().collect(), packets: 1 }
    }

    #[test]
    fn a_flow_has_one_name_both_ways() {
        let a = FlowName::new("c", "tcp", ("10.0.0.1", "80"), ("10.0.0.2", "99"));
        assert_eq!(a, FlowName::new("c", "TCP", ("10.0.0.2", "99"), ("10.0.0.1", "80")));
        assert_ne!(a, FlowName::new("c", "TCP", ("10.0.0.2", "80"), ("10.0.0.1", "99")));
    }

    #[test]
    fn causes_agree_by_reason_and_a_common_rule() {
        assert!(same_cause(&dropped(1, "rules", &[1, 2]), &dropped(9, "rules", &[2])));
        assert!(!same_cause(&dropped(1, "rules", &[1]), &dropped(1, "rules", &[2])));
        assert!(same_cause(&dropped(1, "stream error", &[]), &dropped(1, "stream error", &[])));
        assert!(!same_cause(&dropped(1, "stream error", &[]), &dropped(1, "rules", &[1])));
    }

    #[test]
    fn only_the_very_next_packet_is_a_neighbour() {
        let order = vec![3, 8, 9];
        assert!(neighbours(Some(&order), 3, 8));
        assert!(!neighbours(Some(&order), 3, 9));
        assert!(!neighbours(Some(&order), 8, 3));
    }

    #[test]
    fn other_engines_protocols_are_set_apart() {
        let protocols = HashMap::from([(1, "smb".to_owned()), (2, "http".to_owned())]);
        assert!(is_apart(&dropped(1, "rules", &[1]), None, &protocols));
        assert!(!is_apart(&dropped(1, "rules", &[1, 2]), None, &protocols));
        assert!(is_apart(&dropped(1, "applayer error", &[]), None, &protocols));
        assert!(!is_apart(&dropped(1, "applayer error", &[]), Some(&"http".to_owned()), &protocols));
        assert!(!is_apart(&dropped(1, "stream error", &[]), None, &protocols));
    }
}
