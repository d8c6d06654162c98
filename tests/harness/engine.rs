//! The engine in process: rules as text and frames in, events and verdicts out, through the one `Worker` there is.

use crate::dialogue::TimedFrame;
use ::engine::decode::{Frame, LinkType, PortId};
use ::engine::detect::compile::{Ruleset, Settings};
use ::engine::detect::lang::{ActionOrder, Context, Events, ListFiles, Reputation, order, parse_rules};
use ::engine::detect::signature::VarId;
use ::engine::types::{Counters, Policies, Timestamp, Verdict};
use ::engine::worker::{Config, Mode, Output, Worker};
use serde_json::Value;
use std::sync::Arc;

/// Watching, taking checksums as they come, as replays of test traffic do.
pub fn watching() -> Config {
    let mut c = Config::default();
    c.decode.verify_checksums = false;
    c
}

/// Enforcing, with the defaults of that mode.
pub fn in_line() -> Config {
    Config { mode: Mode::Inline, policies: Policies::inline(), ..watching() }
}

/// Compiles rules; one that is refused fails the caller's test with its diagnostic.
pub fn ruleset(text: &str) -> Result<Arc<Ruleset>, String> {
    ruleset_with(text, matcher::factory())
}

/// The same under an epoch of the caller's choice; whatever file a rule names has `list` in it.
pub fn ruleset_with_list(text: &str, epoch: u64, list: &'static str) -> Result<Arc<Ruleset>, String> {
    compiled(text, matcher::factory(), epoch, Some(Box::new(OneList(list))), Reputation::default(), true)
}

/// The only file there is.
struct OneList(&'static str);

impl ListFiles for OneList {
    fn beside(&self, _: &str, name: &str) -> String {
        name.to_owned()
    }

    fn data(&self, name: &str) -> String {
        name.to_owned()
    }

    fn read(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.0.into()))
    }
}

/// The same as what comes after another ruleset: under an epoch of the caller's choice.
pub fn ruleset_of_epoch(text: &str, epoch: u64) -> Result<Arc<Ruleset>, String> {
    compiled(text, matcher::factory(), epoch, None, Reputation::default(), true)
}

/// Those of many rules that are not refused.
pub fn ruleset_of_what_loads(text: &str) -> Arc<Ruleset> {
    compiled(text, matcher::factory(), 1, None, Reputation::default(), false).expect("the rest loads")
}

/// The same over a matcher of the caller's choice.
pub fn ruleset_with(
    text: &str,
    factory: Arc<dyn engine::detect::matching::MatcherFactory>,
) -> Result<Arc<Ruleset>, String> {
    compiled(text, factory, 1, None, Reputation::default(), true)
}

/// The same with the files that rules name and the scores they ask for.
pub fn ruleset_with_lists(
    text: &str,
    factory: Arc<dyn engine::detect::matching::MatcherFactory>,
    files: Box<dyn ListFiles>,
    reputation: Reputation,
) -> Result<Arc<Ruleset>, String> {
    compiled(text, factory, 1, Some(files), reputation, true)
}

fn compiled(
    text: &str,
    factory: Arc<dyn engine::detect::matching::MatcherFactory>,
    epoch: u64,
    files: Option<Box<dyn ListFiles>>,
    reputation: Reputation,
    whole: bool,
) -> Result<Arc<Ruleset>, String> {
    let vocabulary = engine::proto::registry::vocabulary();
    let events =
        Events { decode: engine::decode::events::event_by_name, stream: engine::stream::events::event_by_name };
    let mut cx = Context::new(vocabulary, events);
    let vars = control::config::Vars::default();
    vars.addresses.iter().for_each(|(name, value)| cx.vars.set_address(name, value));
    vars.ports.iter().for_each(|(name, value)| cx.vars.set_port(name, value));
    cx.options.quiet = true;
    cx.files = files;
    cx.reputation = Arc::new(reputation);
    let mut read = parse_rules(text.as_bytes(), "test.rules", &cx);
    if whole && read.stats.refused > 0 {
        return Err(read.diagnostics.iter().map(|d| d.render(false)).collect());
    }
    order(&mut read.signatures, &ActionOrder::default());
    let names = (0..read.vars.len() as u32).map(|i| read.vars.name(VarId(i)).unwrap_or_default().to_string());
    let settings = Settings { epoch, var_names: names.collect() };
    let made = Ruleset::compile(read.signatures, vocabulary, factory, None, settings);
    let made = made.map_err(|e| e.to_string())?;
    match made.refused.first() {
        Some(r) if whole => Err(format!("sid {}: {}", r.sid, r.why)),
        _ => Ok(Arc::new(made.ruleset)),
    }
}

/// What a run gave.
pub struct Outcome {
    /// Every record as its EVE line.
    pub events: Vec<Value>,
    /// One for each frame.
    pub verdicts: Vec<Verdict>,
    /// Frames as they left, in order, injected ones included.
    pub left: Vec<Vec<u8>>,
    pub counters: Counters,
}

impl Outcome {
    /// The sids alerted, in order.
    pub fn sids(&self) -> Vec<u64> {
        self.of("alert").filter_map(|e| e["alert"]["signature_id"].as_u64()).collect()
    }

    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |e| e["event_type"] == kind)
    }

    /// Whether `needle` is in a frame that left.
    pub fn leaked(&self, needle: &[u8]) -> bool {
        self.left.iter().any(|f| f.windows(needle.len()).any(|w| w == needle))
    }
}

/// Runs Ethernet frames through a fresh worker in batches of `batch`.
pub fn run(rules: &Arc<Ruleset>, config: Config, frames: &[TimedFrame], batch: usize) -> Outcome {
    run_link(rules, config, frames, batch, LinkType::ETHERNET)
}

pub fn run_link(rules: &Arc<Ruleset>, config: Config, frames: &[TimedFrame], batch: usize, link: LinkType) -> Outcome {
    let mut out = Output::new(config.records_max);
    let mut outcome =
        Outcome { events: Vec::new(), verdicts: Vec::new(), left: Vec::new(), counters: Counters::default() };
    let Ok(mut worker) = Worker::new(Arc::new(config), Arc::clone(rules)) else { return outcome };
    let frame = |(i, f): (usize, &'_ TimedFrame)| (i as u64 + 1, f.micros.unsigned_abs(), f.to_server);
    let numbered: Vec<_> = frames.iter().enumerate().map(frame).collect();
    for (chunk, heads) in frames.chunks(batch).zip(numbered.chunks(batch)) {
        let lent: Vec<Frame<'_>> = chunk
            .iter()
            .zip(heads)
            .map(|(f, (number, micros, to_server))| Frame {
                ts: Timestamp::from_micros(*micros),
                number: *number,
                link,
                port: PortId(u16::from(!*to_server)),
                data: &f.data,
                wire_len: f.data.len() as u32,
            })
            .collect();
        worker.process(&lent, &mut out);
        for (i, (f, v)) in lent.iter().zip(&out.frames).enumerate() {
            outcome.verdicts.push(v.verdict);
            if v.verdict.is_forward() {
                outcome.left.push(v.rewritten.as_deref().unwrap_or(f.data).to_vec());
            }
            outcome.left.extend(out.injected.iter().filter(|n| n.after as usize == i).map(|n| n.data.clone()));
        }
    }
    worker.finish(&mut out);
    outcome.counters = worker.counters().clone();
    outcome.events = out.records.iter().filter_map(|r| event(&r)).collect();
    outcome
}

fn event(record: &engine::record::Record<'_>) -> Option<Value> {
    let mut line = Vec::new();
    control::export::line(record, None, &Default::default(), &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::{Exchange, play};

    fn frames() -> Vec<TimedFrame> {
        let request = b"GET /a/../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
        play(&[Exchange { request, response }], 40_000, 1_700_000_000_000_000, &|_| false)
    }

    const RULE: &str =
        "http any any -> any any (msg:\"x\"; flow:established,to_server; http.uri; content:\"/etc/passwd\"; sid:7;)";

    #[test]
    fn watching_alerts_and_forwards() {
        let rules = ruleset(&format!("alert {RULE}")).unwrap();
        let done = run(&rules, watching(), &frames(), 1);
        assert_eq!(done.sids(), [7]);
        assert!(done.verdicts.iter().all(|v| v.is_forward()));
        assert_eq!(done.of("http").count(), 1);
        assert_eq!(done.of("flow").count(), 1);
    }

    #[test]
    fn enforcing_nothing_of_the_match_leaves() {
        let rules = ruleset(&format!("drop {RULE}")).unwrap();
        let done = run(&rules, in_line(), &frames(), 1);
        assert_eq!(done.sids(), [7]);
        assert!(!done.leaked(b"passwd"));
    }

    #[test]
    fn the_last_word_of_a_server_is_inspected_at_the_flows_end() {
        let mut cut = frames();
        let answer = cut.iter().position(|f| f.data.windows(6).any(|w| w == b"200 OK")).unwrap();
        cut.truncate(answer + 1);
        let text = "alert http any any -> any any (flow:to_client; http.stat_code; content:\"200\"; sid:8;)";
        let done = run(&ruleset(text).unwrap(), watching(), &cut, 1);
        assert_eq!(done.sids(), [8]);
    }

    #[test]
    fn batches_do_not_matter() {
        let rules = ruleset(&format!("drop {RULE}")).unwrap();
        let one = run(&rules, in_line(), &frames(), 1);
        for batch in [7, 64] {
            let other = run(&rules, in_line(), &frames(), batch);
            assert_eq!(one.verdicts, other.verdicts);
            assert_eq!(one.events, other.events);
        }
    }
}
