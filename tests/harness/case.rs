//! A case folder: read strictly, run in every variant, judged.
//!
//! A case is `case.yaml`, `case.rules`, `README.md`, and either `packets` (text, see [`crate::case_text`]) or
//! `input.pcap`. Everything it says is checked as it is, in batches of 1, 7 and 64 that must agree to the byte; its
//! checks on alerts also hold in the other mode and with every segment cut anew or every datagram in fragments, in order
//! and last piece first, in all those batch sizes, unless the case excludes a variant and says why. In fragments a packet
//! that was let through still is, and of one that was not the fragment that completes it is not.

use crate::case_frames::{Recut, checksums_hold, fragments, is_cuttable, is_fragmentable, recut, wrap};
use crate::case_text::{self, CaseFrame};
use crate::dialogue::TimedFrame;
use crate::engine::{Outcome, ruleset, run};
use ::engine::decode::{HostPolicies, OverlapPolicy};
use ::engine::detect::compile::Ruleset;
use ::engine::types::Verdict;
use ::engine::worker::{Config, Mode};
use capture::Receive;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Bytes of the pieces that segments are cut into.
const CUTS: [usize; 3] = [1, 5, 64];
/// Bytes of the fragments that datagrams are cut into.
const FRAGMENTS: [usize; 2] = [8, 48];
/// Records that a failure of the case as it is shows.
const SHOWN: usize = 3;
const BATCHES: [usize; 3] = [1, 7, 64];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CaseMode {
    Ids,
    Ips,
}

impl CaseMode {
    fn other(self) -> Self {
        if self == CaseMode::Ids { CaseMode::Ips } else { CaseMode::Ids }
    }
}

/// `case.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Spec {
    mode: CaseMode,
    /// Settings as `name.of.key=value`.
    #[serde(default)]
    config: Vec<String>,
    checks: Vec<Check>,
    /// `N verdict` or `N-M verdict`, packets counted from 1; verdicts are forward, drop, reject.
    #[serde(default)]
    verdicts: Vec<String>,
    /// Frames of our own that leave.
    injected: Option<usize>,
    #[serde(default)]
    leaves: Vec<Leaves>,
    #[serde(default)]
    except: Except,
}

/// How many records match.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Check {
    count: usize,
    /// Dotted fields of the record and their values; an array's element by its number; null: absent.
    r#match: BTreeMap<String, Value>,
    /// Of an alert: not checked in the variants.
    #[serde(default)]
    as_is: bool,
}

/// How many frames that left hold a text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaves {
    text: String,
    count: usize,
}

/// Why a variant is left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Except {
    other_mode: Option<String>,
    recut: Option<String>,
    reordered: Option<String>,
    fragmented: Option<String>,
}

/// What becomes of a case's frames.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Segments(Recut),
    Fragments(Recut),
}

impl Cut {
    fn name(self) -> String {
        let (what, c) = match self {
            Cut::Whole => return "whole".to_owned(),
            Cut::Segments(c) => ("cut", c),
            Cut::Fragments(c) => ("in fragments", c),
        };
        format!("{what} to {}{}", c.size, if c.reversed { " and reversed" } else { "" })
    }
}

/// A case, read.
pub struct Case {
    spec: Spec,
    rules: Arc<Ruleset>,
    frames: Vec<CaseFrame>,
    ids: Config,
    ips: Config,
}

impl Case {
    /// Reads a folder; what is wrong with it is said with its file and, where there is one, its line.
    pub fn load(folder: &Path) -> Result<Self, String> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
        };
        if read("README.md")?.trim().is_empty() {
            return Err(format!("{}/README.md is empty", folder.display()));
        }
        known_files(folder)?;
        let spec = spec(&read("case.yaml")?, &folder.join("case.yaml").display().to_string())?;
        let rules = ruleset(&read("case.rules")?).map_err(|e| format!("{}/case.rules: {e}", folder.display()))?;
        let set = control::config::load(None, &spec.config)
            .map_err(|e| format!("{}/case.yaml: config: {e}", folder.display()))?;
        let frames = frames(folder)?;
        let (ids, ips) = (worker_config(&set, CaseMode::Ids), worker_config(&set, CaseMode::Ips));
        Ok(Case { spec, rules, frames, ids, ips })
    }

    /// Runs every variant; what does not hold, one line each.
    pub fn failures(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let (first, _) = self.run(self.spec.mode, Cut::Whole, 1);
        self.judge(&first, &mut wrong);
        for batch in [7, 64] {
            let (other, _) = self.run(self.spec.mode, Cut::Whole, batch);
            if other.verdicts != first.verdicts || other.events != first.events || other.left != first.left {
                wrong.push(format!("batches of {batch}: not what single packets gave"));
            }
        }
        let mut modes = vec![(self.spec.mode, "")];
        if self.spec.except.other_mode.is_none() {
            let other = self.spec.mode.other();
            modes.push((other, if other == CaseMode::Ids { "watching, " } else { "in line, " }));
        }
        for (mode, name) in modes {
            for cut in self.cuts() {
                if matches!(cut, Cut::Whole) && mode == self.spec.mode {
                    continue;
                }
                let cut_name = cut.name();
                for batch in BATCHES {
                    let (done, pieces) = self.run(mode, cut, batch);
                    if matches!(cut, Cut::Fragments(_)) && mode == self.spec.mode {
                        let failed = verdicts_differ(&first.verdicts, &done.verdicts, &pieces);
                        wrong.extend(failed.map(|f| format!("{cut_name}, batches of {batch}: {f}")));
                    }
                    let checks = self.spec.checks.iter().filter(|c| c.everywhere());
                    let failed = checks.filter_map(|c| c.failure(&done, 0));
                    wrong.extend(failed.map(|f| format!("{name}{cut_name}, batches of {batch}: {f}")));
                }
            }
        }
        wrong
    }

    fn cuts(&self) -> Vec<Cut> {
        let mut cuts = vec![Cut::Whole];
        let fragmentable = self.frames.iter().any(|f| is_fragmentable(&f.frame.data));
        if fragmentable && self.spec.except.fragmented.is_none() {
            let each = FRAGMENTS.into_iter().flat_map(|size| [false, true].map(|reversed| Recut { size, reversed }));
            cuts.extend(each.map(Cut::Fragments));
        }
        let cuttable = self.frames.iter().any(|f| is_cuttable(&f.frame.data));
        for reversed in [false, true] {
            let except = &self.spec.except;
            let left_out = if reversed { &except.reordered } else { &except.recut };
            if cuttable && left_out.is_none() {
                cuts.extend(CUTS.map(|size| Cut::Segments(Recut { size, reversed })));
            }
        }
        cuts
    }

    /// What came of it, and into how many frames each frame went.
    fn run(&self, mode: CaseMode, cut: Cut, batch: usize) -> (Outcome, Vec<usize>) {
        let config = if mode == CaseMode::Ids { &self.ids } else { &self.ips };
        let mut frames: Vec<TimedFrame> = Vec::new();
        let mut counts = Vec::with_capacity(self.frames.len());
        for (id, f) in (1u16..).zip(&self.frames) {
            let pieces = match cut {
                Cut::Whole => vec![f.frame.clone()],
                Cut::Segments(c) => recut(&f.frame, c),
                Cut::Fragments(c) => fragments(&f.frame, c, id),
            };
            counts.push(pieces.len());
            for mut piece in pieces {
                let last = frames.last().map_or(0, |l| l.micros);
                piece.micros = piece.micros.max(last + 1);
                frames.push(wrap(piece, f.wrap));
            }
        }
        (run(&self.rules, config.clone(), &frames, batch), counts)
    }

    /// Everything the case says, of the run as it is.
    fn judge(&self, done: &Outcome, wrong: &mut Vec<String>) {
        wrong.extend(self.spec.checks.iter().filter_map(|c| c.failure(done, SHOWN)));
        for line in &self.spec.verdicts {
            wrong.extend(verdict_failures(line, &done.verdicts));
        }
        let injected = done.left.len() - done.verdicts.iter().filter(|v| v.is_forward()).count();
        if let Some(n) = self.spec.injected.filter(|n| *n != injected) {
            wrong.push(format!("injected: {injected} frames, not {n}"));
        }
        for l in &self.spec.leaves {
            let holds = |f: &&Vec<u8>| f.windows(l.text.len()).any(|w| w == l.text.as_bytes());
            let count = done.left.iter().filter(holds).count();
            if count != l.count {
                wrong.push(format!("leaves: {count} frames with {:?}, not {}", l.text, l.count));
            }
        }
        if done.left.iter().any(|f| !checksums_hold(f)) && self.frames.iter().all(|f| checksums_hold(&f.frame.data)) {
            wrong.push("a frame left with a wrong checksum".into());
        }
    }
}

/// The first frame whose pieces did not fare as it did whole.
fn verdicts_differ(whole: &[Verdict], pieces: &[Verdict], counts: &[usize]) -> Option<String> {
    let mut rest = pieces;
    for (i, (v, n)) in whole.iter().zip(counts).enumerate() {
        let (of_it, after) = rest.split_at(*n);
        rest = after;
        let (all, last) = (of_it.iter().all(|v| v.is_forward()), of_it.last().is_some_and(|v| v.is_forward()));
        if (v.is_forward() && !all) || (!v.is_forward() && last) {
            return Some(format!("packet {}: {v:?} whole, its pieces {of_it:?}", i + 1));
        }
    }
    None
}

impl Check {
    /// Whether it holds in every variant: a check of alerts that does not say otherwise.
    fn everywhere(&self) -> bool {
        !self.as_is && self.r#match.get("event_type").is_some_and(|v| v == "alert")
    }

    /// What does not hold, with the first `shown` records of the kind.
    fn failure(&self, done: &Outcome, shown: usize) -> Option<String> {
        let holds = |e: &&Value| self.r#match.iter().all(|(name, value)| field(e, name) == value);
        let count = done.events.iter().filter(holds).count();
        if count == self.count {
            return None;
        }
        let of_kind = |e: &&Value| self.r#match.get("event_type").is_none_or(|k| e["event_type"] == *k);
        let near: String = done.events.iter().filter(of_kind).take(shown).map(|e| format!("\n      {e}")).collect();
        let wanted: Vec<String> = self.r#match.iter().map(|(k, v)| format!("{k}: {v}")).collect();
        Some(format!("{count} records with {{{}}}, not {}{near}", wanted.join(", "), self.count))
    }
}

fn field<'a>(event: &'a Value, name: &str) -> &'a Value {
    name.split('.').fold(event, |v, part| match part.parse::<usize>() {
        Ok(i) if v.is_array() => &v[i],
        _ => &v[part],
    })
}

fn verdict_failures(line: &str, verdicts: &[Verdict]) -> Vec<String> {
    let malformed = || vec![format!("verdicts: `{line}` is not `N verdict` or `N-M verdict`")];
    let Some((range, want)) = line.split_once(' ') else { return malformed() };
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    let (Ok(from), Ok(to)) = (from.parse::<usize>(), to.parse::<usize>()) else { return malformed() };
    if from == 0 || from > to || to > verdicts.len() || !["forward", "drop", "reject"].contains(&want) {
        return vec![format!("verdicts: `{line}`: there are {} packets; forward, drop, reject", verdicts.len())];
    }
    let name = |v: &Verdict| match v {
        Verdict::Forward => "forward",
        Verdict::Drop(_) => "drop",
        Verdict::Reject(..) => "reject",
    };
    let differ = verdicts.iter().enumerate().take(to).skip(from - 1).filter(|(_, v)| name(v) != want);
    differ.map(|(i, v)| format!("packet {}: {v:?}, not {want}", i + 1)).collect()
}

fn known_files(folder: &Path) -> Result<(), String> {
    let wrong = |what: String| Err(format!("{}: {what}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let name = entry.map_err(|e| e.to_string())?.file_name();
        let known = ["README.md", "case.yaml", "case.rules", "packets", "input.pcap"];
        if !known.iter().any(|k| name == **k) {
            return wrong(format!("{} is no file of a case ({})", name.display(), known.join(", ")));
        }
    }
    match (folder.join("packets").exists(), folder.join("input.pcap").exists()) {
        (true, true) => wrong("packets and input.pcap: one of them".into()),
        (false, false) => wrong("neither packets nor input.pcap".into()),
        _ => Ok(()),
    }
}

fn spec(text: &str, path: &str) -> Result<Spec, String> {
    let spec: Spec = serde_saphyr::from_str(text).map_err(|e| {
        let place = e.location().map(|l| format!(":{}:{}", l.line(), l.column())).unwrap_or_default();
        format!("{path}{place}: {}", e.without_snippet())
    })?;
    if spec.checks.is_empty() {
        return Err(format!("{path}: a case without checks tests nothing"));
    }
    let reasons = [&spec.except.other_mode, &spec.except.recut, &spec.except.reordered, &spec.except.fragmented];
    if reasons.into_iter().flatten().any(|why| why.trim().is_empty()) {
        return Err(format!("{path}: except: a variant is left out without a reason"));
    }
    Ok(spec)
}

fn frames(folder: &Path) -> Result<Vec<CaseFrame>, String> {
    let path = folder.join("packets");
    if path.exists() {
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        return case_text::parse(&text).map_err(|(line, e)| format!("{}:{line}: {e}", path.display()));
    }
    let failed = |e: capture::Error| e.to_string();
    let mut reader = capture::open(&folder.join("input.pcap")).map_err(failed)?;
    let mut all: Vec<CaseFrame> = Vec::new();
    loop {
        let mut lent = Vec::new();
        if reader.recv(&mut lent, 64).map_err(failed)? == 0 {
            return Ok(all);
        }
        all.extend(lent.iter().map(|f| {
            let micros = (f.ts.nanos() / 1_000).cast_signed();
            let frame = TimedFrame { micros, to_server: true, data: f.data.to_vec() };
            CaseFrame { frame, wrap: Default::default() }
        }));
    }
}

fn worker_config(set: &control::config::Config, mode: CaseMode) -> Config {
    let in_line = mode == CaseMode::Ips;
    let mut decode = set.decode.clone();
    if in_line && !set.defrag_policy_chosen {
        decode.defrag.hosts = HostPolicies::all(OverlapPolicy::First);
    }
    Config {
        mode: if in_line { Mode::Inline } else { Mode::Ids },
        decode,
        flow: set.flow,
        stream: set.stream.clone(),
        proto: set.proto.clone(),
        limits: set.limits.clone(),
        policies: set.policies(in_line),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Folder;

    const YAML: &str = "mode: ids\nchecks:\n- count: 1\n  match: {event_type: alert, alert.signature_id: 1}\n";
    const RULE: &str = "alert tcp any any -> any any (msg:\"x\"; content:\"evil\"; sid:1;)\n";
    const PACKETS: &str = "tcp 40000 > 80\n> \"evil\"\nclose\n";

    fn folder(name: &str, yaml: &str, packets: &str) -> Folder {
        let f = Folder::new(&format!("case-{name}"));
        f.file("README.md", "What it is.");
        f.file("case.yaml", yaml);
        f.file("case.rules", RULE);
        f.file("packets", packets);
        f
    }

    #[test]
    fn a_case_holds_or_says_what_does_not() {
        let f = folder("holds", YAML, PACKETS);
        assert_eq!(Case::load(&f.0).unwrap().failures(), [""; 0]);
        let f = folder("fails", &YAML.replace("count: 1", "count: 2"), PACKETS);
        let failures = Case::load(&f.0).unwrap().failures();
        assert!(failures[0].starts_with("1 records with {alert.signature_id: 1, "), "{failures:?}");
        assert!(failures.iter().any(|l| l.starts_with("in line, cut to 1 and reversed, batches of 7: ")));
    }

    #[test]
    fn a_broken_case_is_refused_with_its_place() {
        let refused = |name: &str, yaml: &str, packets: &str, word: &str| {
            let f = folder(name, yaml, packets);
            let error = Case::load(&f.0).err().unwrap_or_default();
            assert!(error.contains(word), "{name}: {error:?}");
        };
        refused("key", &format!("{YAML}colour: red\n"), PACKETS, "case.yaml:5:1: ");
        refused("checks", "mode: ids\nchecks: []\n", PACKETS, "without checks");
        refused("setting", &format!("{YAML}config: [stream.colour=red]\n"), PACKETS, "stream.colour");
        refused("packets", YAML, "tcp 1 > 2\nhello\n", "packets:2: ");
        let f = folder("readme", YAML, PACKETS);
        std::fs::remove_file(f.0.join("README.md")).unwrap();
        assert!(Case::load(&f.0).err().unwrap().contains("README.md"));
    }
}
