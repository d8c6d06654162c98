//! The threshold file: suppressions, thresholds and rate filters laid over rules from outside.
//!
//! A line is `suppress`, `threshold` (or `event_filter`) or `rate_filter`, then `gen_id`, `sig_id` and the kind's own
//! fields between commas; a backslash at a line's end goes on with the next. Read before or after the rules, applied to
//! them once they are all there: a suppression is added to what the rule has; a threshold for one rule replaces its own;
//! one for many rules, or a rate filter, gives way to it. gid 0 with sid 0 means every rule, sid 0 every rule of the gid.

use super::diagnostics::{Code, Diagnostic, Fault};
use super::groups::Vars;
use crate::detect::signature::{RateAction, Signature, Suppress, SuppressTrack, Threshold, ThresholdKind, Track};
use crate::types::{Action, RejectTarget};
use std::sync::Arc;

/// What a line does to the rules it names.
#[derive(Clone, Debug)]
enum Effect {
    /// No alert at all; actions and settings hold.
    Mute,
    Suppress(Arc<Suppress>),
    Threshold(Threshold),
}

#[derive(Clone, Debug)]
struct Entry {
    gid: u32,
    sid: u32,
    effect: Effect,
    /// Number and text of its first line.
    line: u32,
    source: String,
}

/// A threshold file as read.
#[derive(Clone, Debug, Default)]
pub struct ThresholdFile {
    file: Arc<str>,
    entries: Vec<Entry>,
}

/// A field: its word, its value, and where it stands in the line.
struct Field<'t> {
    key: &'t str,
    value: &'t str,
    at: usize,
}

impl ThresholdFile {
    /// Reads a file's text; a line that says nothing is left out with an error that names it.
    pub fn parse(text: &str, file: &str, vars: &Vars) -> (Self, Vec<Diagnostic>) {
        let mut out = ThresholdFile { file: file.into(), entries: Vec::new() };
        let mut faults = Vec::new();
        let mut lines = text.lines().zip(1u32..);
        while let Some((first, line)) = lines.next() {
            let mut source = first.trim_end().to_owned();
            while source.ends_with('\\')
                && let Some((next, _)) = lines.next()
            {
                source.pop();
                source.push_str(next.trim_end());
            }
            let body = source.trim_start();
            if body.is_empty() || body.starts_with('#') {
                continue;
            }
            match entry(&source, vars) {
                Ok((gid, sid, effect)) => out.entries.push(Entry { gid, sid, effect, line, source }),
                Err(fault) => faults.push(out.diagnostic(fault, line, &source, None)),
            }
        }
        (out, faults)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lays the file over the rules; says which lines met none, or one that keeps its own threshold.
    pub fn apply(&self, signatures: &mut [Signature]) -> Vec<Diagnostic> {
        let mut faults = Vec::new();
        for e in &self.entries {
            let mut met = false;
            let many = e.sid == 0;
            let named = |s: &Signature| (e.gid == 0 || s.gid == e.gid) && (many || s.sid == e.sid);
            for s in signatures.iter_mut().filter(|s| named(s)) {
                met = true;
                match &e.effect {
                    Effect::Mute => s.noalert = true,
                    Effect::Suppress(list) => s.suppress.push(Arc::clone(list)),
                    Effect::Threshold(t) => {
                        let yields = many || matches!(t.kind, ThresholdKind::Rate { .. });
                        if yields && s.threshold.is_some() {
                            let message = format!("sid {} has a threshold of its own, which stays", s.sid);
                            let fault = Fault::new(Code::ThresholdRule, message);
                            faults.push(self.diagnostic(fault, e.line, &e.source, Some(s.sid)));
                        } else {
                            s.threshold = Some(*t);
                        }
                    }
                }
            }
            if !met && !many {
                let message = format!("no rule has gid {} and sid {}", e.gid, e.sid);
                let fault = Fault::new(Code::ThresholdRule, message);
                faults.push(self.diagnostic(fault, e.line, &e.source, Some(e.sid)));
            }
        }
        faults
    }

    fn diagnostic(&self, fault: Fault, line: u32, source: &str, sid: Option<u32>) -> Diagnostic {
        let start = source.len() - source.trim_start().len();
        let span = fault.span.unwrap_or(start..source.len());
        let end = span.end.min(source.len());
        Diagnostic {
            code: fault.code,
            severity: fault.code.severity(),
            file: Arc::clone(&self.file),
            line,
            span: span.start.min(end)..end,
            message: fault.message,
            help: fault.help,
            source: source.to_owned(),
            sid,
        }
    }
}

const SUPPRESS: &str = "suppress gen_id <gid>, sig_id <sid>[, track <by_src|by_dst|by_either>, ip <addresses>]";
const THRESHOLD: &str = "threshold gen_id <gid>, sig_id <sid>, type <threshold|limit|both>, \
                         track <by_src|by_dst|by_both|by_rule|by_flow>, count <n>, seconds <n>";
const RATE: &str = "rate_filter gen_id <gid>, sig_id <sid>, track <by_src|by_dst|by_both|by_rule|by_flow>, count <n>, \
                    seconds <n>, new_action <alert|drop|pass|reject>, timeout <seconds>";

fn fault(message: impl Into<String>) -> Fault {
    Fault::new(Code::ThresholdLine, message)
}

fn entry(source: &str, vars: &Vars) -> Result<(u32, u32, Effect), Fault> {
    let start = source.len() - source.trim_start().len();
    let body = source.trim_start();
    let word_end = body.find(char::is_whitespace).unwrap_or(body.len());
    let (word, _) = body.split_at_checked(word_end).unwrap_or((body, ""));
    let syntax = match word {
        "suppress" => SUPPRESS,
        "threshold" | "event_filter" => THRESHOLD,
        "rate_filter" => RATE,
        _ => {
            return Err(fault(format!("`{word}` begins no line of a threshold file"))
                .help("suppress, threshold, event_filter, rate_filter")
                .at(start..start + word.len()));
        }
    };
    let fields = fields(source, start + word_end);
    let shape = |f: Fault| f.help(syntax);
    let number = |key: &str| number(&fields, key).map_err(shape);
    let (gid, sid) = (number("gen_id")?, number("sig_id")?);
    if sid > 0 && gid == 0 {
        return Err(fault("a sig_id needs its gen_id").help("gen_id is 1 where the rule has no gid"));
    }
    let known: &[&str] = match word {
        "suppress" => &["gen_id", "sig_id", "track", "ip"],
        "rate_filter" => &["gen_id", "sig_id", "track", "count", "seconds", "new_action", "timeout"],
        _ => &["gen_id", "sig_id", "type", "track", "count", "seconds"],
    };
    for (i, f) in fields.iter().enumerate() {
        let twice = fields.iter().take(i).any(|o| o.key == f.key);
        if twice || !known.contains(&f.key) {
            let what = if twice { "stands twice" } else { "is unknown here" };
            return Err(shape(fault(format!("`{}` {what}", f.key)).at(f.at..f.at + f.key.len().max(1))));
        }
    }
    if word == "suppress" {
        return Ok((gid, sid, suppress(&fields, vars).map_err(shape)?));
    }
    let count = number("count")?;
    if count == 0 {
        return Err(fault("a count is 1 at least"));
    }
    let kind = if word == "rate_filter" {
        let action = word_of(&fields, "new_action", &NEW_ACTIONS).map_err(shape)?;
        ThresholdKind::Rate { action, timeout: number("timeout")? }
    } else {
        word_of(&fields, "type", &TYPES).map_err(shape)?
    };
    let track = word_of(&fields, "track", &TRACKS).map_err(shape)?;
    Ok((gid, sid, Effect::Threshold(Threshold { kind, track, count, seconds: number("seconds")? })))
}

const TYPES: [(&str, ThresholdKind); 3] =
    [("limit", ThresholdKind::Limit), ("both", ThresholdKind::Both), ("threshold", ThresholdKind::Threshold)];

const TRACKS: [(&str, Track); 5] = [
    ("by_src", Track::BySrc),
    ("by_dst", Track::ByDst),
    ("by_both", Track::ByBoth),
    ("by_rule", Track::ByRule),
    ("by_flow", Track::ByFlow),
];

const NEW_ACTIONS: [(&str, RateAction); 6] = [
    ("alert", RateAction::Become(Action::Alert)),
    ("drop", RateAction::Become(Action::Drop)),
    ("pass", RateAction::Become(Action::Pass)),
    ("reject", RateAction::Become(Action::Reject(RejectTarget::Source))),
    ("log", RateAction::Keep),
    ("sdrop", RateAction::Keep),
];

const SUPPRESS_TRACKS: [(&str, SuppressTrack); 3] =
    [("by_src", SuppressTrack::Source), ("by_dst", SuppressTrack::Destination), ("by_either", SuppressTrack::Either)];

fn suppress(fields: &[Field<'_>], vars: &Vars) -> Result<Effect, Fault> {
    let ip = fields.iter().find(|f| f.key == "ip");
    match (ip, fields.iter().any(|f| f.key == "track")) {
        (None, false) => Ok(Effect::Mute),
        (Some(ip), true) => {
            let track = word_of(fields, "track", &SUPPRESS_TRACKS)?;
            let span = ip.at..ip.at + ip.value.len().max(1);
            let addresses =
                vars.addresses(ip.value).map_err(|f| Fault { span: None, code: Code::ThresholdLine, ..f }.at(span))?;
            Ok(Effect::Suppress(Arc::new(Suppress { track, addresses })))
        }
        _ => Err(fault("`track` and `ip` go together")),
    }
}

/// `key value` between commas outside brackets, from `from` on.
fn fields(source: &str, from: usize) -> Vec<Field<'_>> {
    let mut out = Vec::new();
    let mut depth = 0i32;
    let mut begin = from;
    let mut push = |begin: usize, end: usize| {
        let part = source.get(begin..end).unwrap_or("");
        let trimmed = part.trim_start();
        let at = begin + part.len() - trimmed.len();
        let trimmed = trimmed.trim_end();
        let (key, value) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
        out.push(Field { key, value: value.trim_start(), at });
    };
    for (i, b) in source.bytes().enumerate().skip(from) {
        match b {
            b'[' => depth += 1,
            b']' => depth -= 1,
            b',' if depth <= 0 => {
                push(begin, i);
                begin = i + 1;
            }
            _ => {}
        }
    }
    push(begin, source.len());
    out
}

fn find<'f, 't>(fields: &'f [Field<'t>], key: &str) -> Result<&'f Field<'t>, Fault> {
    fields.iter().find(|f| f.key == key).ok_or_else(|| fault(format!("`{key}` is missing")))
}

fn number(fields: &[Field<'_>], key: &str) -> Result<u32, Fault> {
    let f = find(fields, key)?;
    let digits = !f.value.is_empty() && f.value.bytes().all(|b| b.is_ascii_digit());
    let span = f.at..f.at + key.len() + 1 + f.value.len();
    f.value.parse().ok().filter(|_| digits).ok_or_else(|| fault(format!("`{key}` needs a number")).at(span))
}

fn word_of<T: Copy>(fields: &[Field<'_>], key: &str, words: &[(&str, T)]) -> Result<T, Fault> {
    let f = find(fields, key)?;
    let span = f.at..f.at + key.len() + 1 + f.value.len();
    let found = words.iter().find(|w| w.0 == f.value);
    found.map(|w| w.1).ok_or_else(|| fault(format!("`{}` is no `{key}`", f.value)).at(span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::signature::RuleProto;
    use crate::detect::testkit::sig;

    fn read(text: &str) -> (ThresholdFile, Vec<Diagnostic>) {
        let mut vars = Vars::new();
        vars.set_address("HOME_NET", "10.0.0.0/8");
        ThresholdFile::parse(text, "threshold.config", &vars)
    }

    #[test]
    fn every_kind_of_line() {
        let text = "# comment\n\
            suppress gen_id 1, sig_id 5\n\
            suppress gen_id 1, sig_id 6, track by_src, ip [192.168.0.0/16,$HOME_NET]\n\
            event_filter gen_id 1, sig_id 7, type limit, track by_both, count 3, seconds 60\n\
            \trate_filter gen_id 1, sig_id 8, track by_rule, \\\n  count 100, seconds 60, new_action drop, timeout 30\n\
            suppress gen_id 0, sig_id 0, track by_either, ip 1.2.3.4\n";
        let (file, faults) = read(text);
        assert_eq!((file.len(), faults), (5, vec![]));
        let mut sigs: Vec<Signature> = (5..=9).map(|sid| sig(sid, RuleProto::Ip)).collect();
        assert_eq!(file.apply(&mut sigs), []);
        let [five, six, seven, eight, nine] = &sigs[..] else { unreachable!() };
        assert!(five.noalert && !six.noalert);
        let ip = |t: &str| t.parse().unwrap();
        assert!(six.suppress[0].withholds(ip("10.1.1.1"), ip("9.9.9.9")));
        assert!(!six.suppress[0].withholds(ip("9.9.9.9"), ip("10.1.1.1")));
        assert!(nine.suppress[0].withholds(ip("9.9.9.9"), ip("1.2.3.4")));
        let limit = Threshold { kind: ThresholdKind::Limit, track: Track::ByBoth, count: 3, seconds: 60 };
        assert_eq!(seven.threshold, Some(limit));
        let kind = ThresholdKind::Rate { action: RateAction::Become(Action::Drop), timeout: 30 };
        assert_eq!(eight.threshold, Some(Threshold { kind, track: Track::ByRule, count: 100, seconds: 60 }));
    }

    /// A last line that is cut may still say something; the lines before it say what they said.
    #[test]
    fn a_file_cut_anywhere_keeps_the_lines_before() {
        let text = "suppress gen_id 1, sig_id 5\n\
            suppress gen_id 1, sig_id 6, track by_src, ip [192.168.0.0/16,$HOME_NET]\n\
            rate_filter gen_id 1, sig_id 8, track by_rule, \\\n  count 1, seconds 6, new_action drop, timeout 3\n\
            suppress gen_id 0, sig_id 0, track by_either, ip 1.2.3.4\n";
        let begins: Vec<usize> = read(text).0.entries.iter().map(|e| e.line as usize - 1).collect();
        assert_eq!(begins, [0, 1, 2, 4]);
        for cut in 0..text.len() {
            let (file, faults) = read(&text[..cut]);
            let whole = text[..cut].matches('\n').count();
            let before = [1, 2, 4, 5].iter().filter(|end| **end <= whole).count();
            assert!((before..=before + 1).contains(&(file.len() + faults.len())), "{cut}: {faults:?}");
            assert!(file.len() >= before, "{cut}: {faults:?}");
        }
    }

    #[test]
    fn bad_lines_are_named() {
        for (line, column) in [
            ("supress gen_id 1, sig_id 5", 1),
            ("suppress gen_id x, sig_id 5", 10),
            ("suppress gen_id 1, sig_id 5, track by_src", 1),
            ("suppress gen_id 1, sig_id 5, track by_src, ip 300.1.1.1", 44),
            ("suppress gen_id 1, sig_id 5, track by_rule, ip 1.1.1.1", 30),
            ("suppress gen_id 0, sig_id 5", 1),
            ("threshold gen_id 1, sig_id 5, type limit, track by_src, count 0, seconds 1", 1),
            ("threshold gen_id 1, sig_id 5, type often, track by_src, count 1, seconds 1", 31),
            ("threshold gen_id 1, sig_id 5, type limit, track by_src, count 1", 1),
            ("threshold gen_id 1, sig_id 5, type limit, track by_src, count 1, count 1, seconds 1", 66),
            ("  rate_filter gen_id 1, sig_id 5, track by_src, count 1, seconds 1, new_action kill, timeout 1", 69),
            ("threshold gen_id 1, sig_id 5, type limit, track by_src, count 1, seconds 1, timeout 4", 77),
        ] {
            let (file, faults) = read(&format!("\n{line}\n"));
            assert_eq!((file.len(), faults.len()), (0, 1), "{line}");
            assert_eq!((faults[0].line, faults[0].column()), (2, column), "{line}: {}", faults[0].message);
        }
    }

    #[test]
    fn a_rules_own_threshold_gives_way_to_one_for_it_alone() {
        let own = Threshold { kind: ThresholdKind::Both, track: Track::BySrc, count: 9, seconds: 9 };
        let lay = |text: &str| {
            let mut s = sig(5, RuleProto::Ip);
            s.threshold = Some(own);
            let faults = read(text).0.apply(std::slice::from_mut(&mut s)).len();
            (s.threshold == Some(own), faults)
        };
        let limit = "type limit, track by_src, count 1, seconds 1";
        assert_eq!(lay(&format!("threshold gen_id 1, sig_id 5, {limit}")), (false, 0));
        assert_eq!(lay(&format!("threshold gen_id 1, sig_id 0, {limit}")), (true, 1));
        assert_eq!(lay(&format!("threshold gen_id 1, sig_id 6, {limit}")), (true, 1));
        let rate = "track by_src, count 1, seconds 1, new_action drop, timeout 1";
        assert_eq!(lay(&format!("rate_filter gen_id 1, sig_id 5, {rate}")), (true, 1));
    }
}
