//! The shared captures through the program: parity with recorded alerts, robustness against damaged input, verdicts that
//! hold. Each test skips without `STOPGAP_DATA`.

use harness::parity::{Rows, captures, compare, measure, oracle, recorded_captures};
use harness::replay::{Folder, events, run};
use harness::verdicts::{self, dropping_rules};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Resident memory of a replay of any of these captures, in bytes: rules, tables and the limits' share of streams.
const MEMORY_MAX: u64 = 1 << 30;

fn ready(test: &str) -> Option<(PathBuf, PathBuf)> {
    match (harness::data(), harness::program()) {
        (Some(data), Some(program)) => Some((data, program)),
        (None, _) => {
            harness::skip(test, "STOPGAP_DATA names no data");
            None
        }
        (_, None) => {
            harness::skip(test, "the program is not built");
            None
        }
    }
}

fn alerting(expected: &Rows) -> Vec<String> {
    let set: BTreeSet<&String> = expected.iter().map(|r| &r.capture).collect();
    set.into_iter().cloned().collect()
}

/// Promises of bench/SPEC.md: at least 90 % of rows, at most 5 % extra, at least 85 % of pairs.
#[test]
fn alerts_agree_with_the_recorded_ones() {
    let Some((data, program)) = ready("alerts_agree_with_the_recorded_ones") else { return };
    let folder = Folder::new("parity");
    let expected = oracle(&data).unwrap();
    // Those without an alert too: one there is extra.
    let files = recorded_captures(&data).unwrap();
    let got = measure(&program, &data, &files, &[], &folder.0).unwrap();
    let p = compare(&expected, &got);
    println!("rows {} found {} extra {} pairs {:.4}", p.expected, p.found, p.extra, p.pairs_mean);
    assert!(p.found_share() >= 0.90, "found {:.4}", p.found_share());
    assert!(p.extra_share() <= 0.05, "extra {:.4}", p.extra_share());
    assert!(p.pairs_mean >= 0.85, "pairs {:.4}", p.pairs_mean);
}

/// In line, data is read as it comes and not as it is acknowledged; few alerts may depend on that.
#[test]
fn in_line_the_same_alerts_come() {
    let Some((data, program)) = ready("in_line_the_same_alerts_come") else { return };
    let folder = Folder::new("inline-parity");
    let expected = oracle(&data).unwrap();
    let files = alerting(&expected);
    let watching = measure(&program, &data, &files, &[], &folder.0.join("ids")).unwrap();
    // Traffic whose beginning was not seen is watched too, not dropped, so that both see the same.
    let same = ["--inline", "--set", "exception-policies.stream-midstream=ignore"];
    let in_line = measure(&program, &data, &files, &same, &folder.0.join("ips")).unwrap();
    let p = compare(&watching, &in_line);
    println!("watching {} in line {} found {} extra {}", watching.len(), in_line.len(), p.found, p.extra);
    for (sid, (missed, extra, row)) in &p.by_sid {
        println!("sid {sid}: missed {missed} extra {extra}, {row:?}");
    }
    assert!(p.found_share() >= 0.99 && p.extra_share() <= 0.01);
}

/// Of the flows of this engine's protocols at least 97 % are dropped alike.
#[test]
fn verdicts_agree_with_the_recorded_ones() {
    let Some((data, program)) = ready("verdicts_agree_with_the_recorded_ones") else { return };
    let folder = Folder::new("verdicts");
    let expected = verdicts::recorded(&data).unwrap();
    let files = alerting(&oracle(&data).unwrap());
    let got = verdicts::measure(&program, &data, &files, &folder.0).unwrap();
    let v = verdicts::compare(&data, &expected, &got).unwrap();
    println!("flows {} agree {} same packet {} apart {}", v.flows, v.agreed, v.same_packet, v.apart);
    assert!(v.flows > 6_000, "{}", v.flows);
    assert!(v.share() >= 0.97, "{:.4}", v.share());
}

/// Every rule a drop: each alert's packet is dropped, none is found only after its packet left.
#[test]
fn nothing_that_completes_a_match_leaves() {
    let Some((data, program)) = ready("nothing_that_completes_a_match_leaves") else { return };
    let folder = Folder::new("drops");
    let rules = dropping_rules(&data, &folder.0).unwrap();
    let mut args: Vec<String> =
        ["replay", "--inline", "-k", "none", "--events", "alert,drop"].map(String::from).to_vec();
    for set in ["vars.address-groups.EXTERNAL_NET=any", "exception-policies.stream-midstream=ignore"] {
        args.extend(["--set".into(), set.into()]);
    }
    args.extend(["-S".into(), rules.display().to_string()]);
    args.extend([
        "--classification".into(),
        data.join("rules/etopen-2024-04/classification.config").display().to_string(),
    ]);
    args.extend(["-l".into(), folder.0.display().to_string(), "--".into()]);
    args.extend(alerting(&oracle(&data).unwrap()).iter().map(|f| data.join("pcaps").join(f).display().to_string()));
    let done = run(&program, args).unwrap();
    assert!(matches!(done.code, Some(0 | 1)), "{}", done.stderr);
    let events = events(&folder.0.join("eve.json")).unwrap();
    // The packets of a tunnel have no number of their own: capture, time and ends name a packet.
    let place = |e: &serde_json::Value| {
        ["pcap_filename", "timestamp", "src_ip", "src_port", "dest_ip", "dest_port"].map(|k| e[k].to_string())
    };
    let of = |kind: &'static str| events.iter().filter(move |e| e["event_type"] == kind);
    let dropped: BTreeSet<_> = of("drop").map(place).collect();
    assert!(of("alert").count() > 8_000);
    for alert in of("alert") {
        let late = alert["pkt_src"].as_str().is_none_or(|s| s.contains("timeout"));
        assert!(!late && dropped.contains(&place(alert)), "left: {alert}");
    }
}

#[test]
fn damaged_captures_are_survived() {
    let Some((data, program)) = ready("damaged_captures_are_survived") else { return };
    let folder = Folder::new("damaged");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let files = captures(&data).unwrap();
    let step = if std::env::var_os("STOPGAP_QUICK").is_some() { 97 } else { 7 };
    let mut damaged = Vec::new();
    for (i, file) in files.iter().enumerate().step_by(step) {
        let Ok(mut bytes) = std::fs::read(data.join("pcaps").join(file)) else { continue };
        if bytes.len() > 2_000_000 || bytes.len() < 64 {
            continue;
        }
        let cut = bytes.len() - random.below(bytes.len() / 2);
        damaged.push(folder.file(&format!("{i}-cut.pcap"), &bytes[..cut]));
        // The file header stays, so that the damage reaches the packets.
        for _ in 0..bytes.len() / 200 + 1 {
            let at = 24 + random.below(bytes.len() - 24);
            bytes[at] ^= 1 << random.below(8);
        }
        damaged.push(folder.file(&format!("{i}-flipped.pcap"), &bytes));
    }
    survives(&program, &data, &folder.0, &damaged, &[]);
    survives(&program, &data, &folder.0, &damaged, &["--inline"]);
}

#[test]
fn every_capture_is_survived() {
    let Some((data, program)) = ready("every_capture_is_survived") else { return };
    let folder = Folder::new("every");
    let files: Vec<PathBuf> = captures(&data).unwrap().iter().map(|f| data.join("pcaps").join(f)).collect();
    survives(&program, &data, &folder.0, &files, &["--inline"]);
}

/// Replays all files, and checks that nothing panicked, inside or out, and memory stayed in bounds.
fn survives(program: &Path, data: &Path, out: &Path, files: &[PathBuf], more: &[&str]) {
    for chunk in files.chunks(1_000) {
        let mut args: Vec<String> = ["replay", "--json", "-k", "none", "-S"].map(String::from).to_vec();
        args.push(data.join("rules/etopen-2024-04/*.rules").display().to_string());
        args.extend(["-l".into(), out.join("log").display().to_string()]);
        args.extend(["--cache".into(), out.join("cache").display().to_string()]);
        args.extend(more.iter().map(|s| s.to_string()));
        args.push("--".into());
        args.extend(chunk.iter().map(|f| f.display().to_string()));
        let done = run(program, args).unwrap();
        assert!(matches!(done.code, Some(0 | 1)), "{:?}: {}", done.code, done.stderr);
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        let summary: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!(summary["panics"].as_u64(), Some(0), "{summary}");
        let memory = summary["peak_memory_bytes"].as_u64().unwrap();
        assert!(memory <= MEMORY_MAX, "{memory}");
    }
}

/// SplitMix64: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}
