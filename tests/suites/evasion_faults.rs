//! What an attacker sends so that the engine fails, and then the exploit: on the same flow, or beside it.
//!
//! Watching, rules over packets and the stream must still find it; in line it must not leave, whether the policy drops
//! what failed or lets it go on.

use engine::detect::matching::{
    LimitReached, MatcherError, MatcherFactory, Pattern, PatternSet, Regex, RegexSpec, Scratch,
};
use engine::session::FAULTS_MAX;
use engine::types::{Cause, Counter, ExceptionPolicy};
use engine::worker::Config;
use harness::craft::Conversation;
use harness::engine::{Outcome, in_line, ruleset, ruleset_with, run, watching};
use std::ops::Range;
use std::sync::Arc;

const REQUEST: &[u8] = b"GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n";
const RULES: &str = "drop tcp any any -> any any (msg:\"raw\"; flow:established,to_server; content:\"/etc/passwd\"; sid:1;)\n\
                     drop http any any -> any any (msg:\"uri\"; http.uri; content:\"/etc/passwd\"; sid:2;)";
/// An expression that meets this fails.
const FATAL: &[u8] = b"CRASH";
const FATAL_RULE: &str =
    "\nalert tcp any any -> any any (msg:\"fault\"; content:\"CRASH\"; pcre:\"/CRA.H\\d?/\"; sid:3;)";

/// A matcher with a fault in its expressions.
struct Faulty(Arc<dyn MatcherFactory>);

struct FaultyRegex;

impl Regex for FaultyRegex {
    fn find(
        &self,
        _: &mut Scratch,
        haystack: &[u8],
        _: &mut Vec<Option<Range<usize>>>,
    ) -> Result<Option<Range<usize>>, LimitReached> {
        assert!(!haystack.windows(FATAL.len()).any(|w| w == FATAL), "a fault");
        Ok(None)
    }

    fn linear(&self) -> bool {
        true
    }
}

impl MatcherFactory for Faulty {
    fn identity(&self) -> String {
        self.0.identity()
    }

    fn scratch(&self) -> Result<Scratch, MatcherError> {
        self.0.scratch()
    }

    fn compile(&self, patterns: &[Pattern]) -> Result<Box<dyn PatternSet>, MatcherError> {
        self.0.compile(patterns)
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Box<dyn PatternSet>, MatcherError> {
        self.0.deserialize(bytes)
    }

    fn regex(&self, _: &RegexSpec) -> Result<Box<dyn Regex>, MatcherError> {
        Ok(Box::new(FaultyRegex))
    }
}

fn with(mut config: Config, cause: Cause, policy: ExceptionPolicy) -> Config {
    config.policies.set(cause, policy).unwrap();
    config
}

/// A flow on which the engine fails before the request, and the same request on another behind it.
fn crashed(action: &str, faults: usize, config: Config) -> Outcome {
    let rules = RULES.replace("drop", action) + FATAL_RULE;
    let rules = ruleset_with(&rules, Arc::new(Faulty(matcher::factory()))).unwrap();
    let mut c = Conversation::open(43_000, 80);
    (0..faults).for_each(|_| c.send(true, FATAL));
    c.send(true, REQUEST);
    let mut other = Conversation::open(43_001, 80);
    other.send(true, REQUEST);
    c.frames.append(&mut other.close());
    run(&rules, config, &c.frames, 1)
}

fn alerts_of(out: &Outcome, port: u16) -> Vec<u64> {
    let of_port = out.of("alert").filter(|e| e["src_port"] == port);
    let mut sids: Vec<u64> = of_port.filter_map(|e| e["alert"]["signature_id"].as_u64()).collect();
    sids.sort_unstable();
    sids
}

#[test]
fn a_crash_before_the_request() {
    let out = crashed("alert", 1, watching());
    assert_eq!(out.counters.of(Counter::Panics), 1);
    assert_eq!(alerts_of(&out, 43_000), [1], "the flow is blind, its packets are not");
    assert_eq!(alerts_of(&out, 43_001), [1, 2], "no other flow is touched");
    let out = crashed("drop", 1, in_line());
    assert!(!out.leaked(b"/etc/passwd"), "{:?}", out.verdicts);
    assert_eq!((alerts_of(&out, 43_000).len(), alerts_of(&out, 43_001)), (0, vec![1, 2]), "it is dropped whole");
    let out = crashed("drop", 1, with(in_line(), Cause::Panic, ExceptionPolicy::Ignore));
    assert!(!out.leaked(b"/etc/passwd"), "{:?}", out.verdicts);
    assert_eq!(alerts_of(&out, 43_000), [1]);
}

/// Failing costs time: a flow that fails again and again is left alone, and the others go on.
#[test]
fn a_crash_again_and_again() {
    let out = crashed("alert", 50, watching());
    assert_eq!(out.counters.of(Counter::Panics), u64::from(FAULTS_MAX));
    assert_eq!(alerts_of(&out, 43_001), [1, 2]);
    let out = crashed("drop", 50, in_line());
    assert_eq!(out.counters.of(Counter::Panics), 1);
    assert!(!out.leaked(b"/etc/passwd"), "{:?}", out.verdicts);
}

/// Up to its last fault a flow's packets are inspected one by one.
#[test]
fn after_its_last_crash_a_flow_is_left_alone() {
    for (faults, found) in [(3, vec![1]), (4, vec![])] {
        let out = crashed("alert", faults, watching());
        assert_eq!(alerts_of(&out, 43_000), found, "{faults}");
        assert_eq!(alerts_of(&out, 43_001), [1, 2], "{faults}");
    }
}

/// A parser that gives up takes its protocol's rules with it, and no others.
#[test]
fn a_parser_that_gives_up_before_the_request() {
    let run_with = |action: &str, config| {
        let mut c = Conversation::open(43_002, 443);
        c.send(true, &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
        c.send(true, &[0xff; 40]);
        c.send(true, REQUEST);
        run(&ruleset(&RULES.replace("drop", action)).unwrap(), config, &c.close(), 1)
    };
    let out = run_with("alert", watching());
    assert!(out.counters.of(Counter::AppParserErrors) > 0, "{:?}", out.events);
    assert_eq!(out.sids(), [1]);
    let out = run_with("drop", in_line());
    assert!(!out.leaked(b"/etc/passwd"), "{:?}", out.verdicts);
    let out = run_with("drop", with(in_line(), Cause::ApplayerError, ExceptionPolicy::Ignore));
    assert!(!out.leaked(b"/etc/passwd"), "{:?}", out.verdicts);
    assert_eq!(out.sids(), [1]);
}
