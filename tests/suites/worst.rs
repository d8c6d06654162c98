//! No packet takes so long that a worker seems not to answer: with rules made to be slow, with ET Open, with a full table
//! of flows. A stale beat that traffic can cause would open the wire to what comes behind it.
//!
//! Times are of the slower of two runs' faster, since others use the machine too; unoptimised builds have more of it.

use engine::decode::{Frame, LinkType, PortId};
use engine::detect::compile::Ruleset;
use engine::types::Timestamp;
use engine::worker::{Config, Output, Shared, Worker};
use harness::craft::{Conversation, udp, udp4};
use harness::dialogue::TimedFrame;
use harness::engine::{in_line, ruleset};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// What a packet may cost, and a batch of as many as a live worker takes, of optimised code.
const LONGEST: Duration = Duration::from_millis(20);
const LONGEST_BATCH: Duration = Duration::from_millis(80);
const BATCH: usize = 64;

fn allowed(optimised: Duration) -> Duration {
    if cfg!(debug_assertions) { optimised * 4 } else { optimised }
}

/// Neither a packet nor a batch of them takes longer.
fn holds(what: &str, rules: &Arc<Ruleset>) {
    for (batch, may) in [(1, LONGEST), (BATCH, LONGEST_BATCH)] {
        let (took, at) = longest(rules, &hard(), batch);
        eprintln!("{what}: {took:?} at most, batches of {batch}, number {at}");
        assert!(took < allowed(may), "{what}, batches of {batch}: {took:?}");
    }
}

fn clock() -> Duration {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGUN.elapsed()
}

struct Bench {
    worker: Worker,
    out: Output,
    number: u64,
}

impl Bench {
    fn new(rules: Arc<Ruleset>, config: Config) -> Self {
        let out = Output::new(config.records_max);
        let mut shared = Shared::alone(&config.limits, config.seed[0]);
        shared.clock = Some(clock);
        let mut worker = Worker::sharing(Arc::new(config), rules, shared).unwrap();
        worker.make_room();
        Bench { worker, out, number: 0 }
    }

    /// How long a batch takes.
    fn give(&mut self, batch: &[TimedFrame]) -> Duration {
        let frame = |(f, number): (&'_ TimedFrame, u64)| (f.micros.unsigned_abs(), number, f.to_server);
        let heads: Vec<_> = batch.iter().zip(self.number + 1..).map(frame).collect();
        let frames: Vec<Frame<'_>> = batch
            .iter()
            .zip(heads)
            .map(|(f, (micros, number, to_server))| Frame {
                ts: Timestamp::from_micros(micros),
                number,
                link: LinkType::ETHERNET,
                port: PortId(u16::from(!to_server)),
                data: &f.data,
                wire_len: f.data.len() as u32,
            })
            .collect();
        self.number += batch.len() as u64;
        let since = Instant::now();
        self.worker.process(&frames, &mut self.out);
        let took = since.elapsed();
        self.out.records.take(Vec::new());
        took
    }
}

/// The longest that any batch of so many frames takes, each in the faster of two runs.
fn longest(rules: &Arc<Ruleset>, frames: &[TimedFrame], batch: usize) -> (Duration, usize) {
    let run = || {
        let mut b = Bench::new(rules.clone(), in_line());
        frames.chunks(batch).map(|f| b.give(f)).collect::<Vec<_>>()
    };
    let (a, b) = (run(), run());
    let best = a.into_iter().zip(b).map(|(a, b)| a.min(b));
    best.zip(0..).max().unwrap()
}

/// Rules that only regular expressions decide, each of them slow on what follows it.
fn nasty() -> String {
    let slow = [
        "/(a+)+$/",
        "/(a|aa)+$/",
        "/(a*)*b/",
        "/^(([a-z])+.)+[A-Z]([a-z])+$/",
        "/(.*a){20}/",
        "/(x+x+)+y/",
        "/[ab]*a[ab]{500}c/",
        "/(\\w+\\s?)*=(a|b|[^c]){200}!/",
        "/(?=(a+))a*b\\1/",
        "/((a{1,30}){1,30}){1,30}b/",
        "/.*.*.*=.*b.*!x/",
        "/(a?){30}a{30}/",
    ];
    let rule = |(i, p): (usize, &&str)| {
        format!(
            "alert tcp any any -> any any (msg:\"x\"; flow:established; pcre:\"{p}\"; sid:{};)\n\
             alert http any any -> any any (msg:\"x\"; http.uri; pcre:\"{p}\"; sid:{};)\n\
             alert http any any -> any any (msg:\"x\"; http.request_body; pcre:\"{p}\"; sid:{};)\n\
             alert udp any any -> any any (msg:\"x\"; content:\"a\"; pcre:\"{p}\"; content:\"a\"; distance:0; content:\"!\"; distance:3; sid:{};)\n\
             alert tcp any any -> any any (msg:\"x\"; content:\"a\"; content:\"a\"; distance:1; content:\"a\"; within:9; pcre:\"{p}R\"; sid:{};)\n",
            100 + i,
            200 + i,
            300 + i,
            400 + i,
            500 + i
        )
    };
    slow.iter().enumerate().map(rule).collect()
}

/// What they are slow on, and much of it, in frames as large as a port may have.
fn hard() -> Vec<TimedFrame> {
    let bytes: [Vec<u8>; 5] = [
        vec![b'a'; 64_000],
        vec![b'x'; 64_000],
        b"a=b;".repeat(16_000),
        b"aA1 ".repeat(16_000),
        (0..64_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
    ];
    let mut frames = Vec::new();
    for (n, b) in (0..).zip(&bytes) {
        for (m, mss) in [(0, 1_460), (1, 3_700)] {
            let port = 47_000 + n * 10 + m;
            let mut c = Conversation::open(port, 80);
            let uri =
                String::from_utf8_lossy(b.get(..8_000).unwrap()).replace(|c: char| !c.is_ascii_alphanumeric(), "a");
            c.send(true, format!("GET /{uri} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
            c.send(true, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 64000\r\n\r\n");
            b.chunks(mss).for_each(|piece| c.send(true, piece));
            let mut raw = Conversation::open(port + 500, 7_000);
            b.chunks(mss).for_each(|piece| raw.send(true, piece));
            frames.extend(c.frames);
            frames.extend(raw.frames);
            frames.push(udp(true, port, 53, 1_700_000_000_000_000, b.get(..mss).unwrap()));
        }
    }
    frames
}

#[test]
fn rules_made_to_be_slow() {
    holds("rules made to be slow", &ruleset(&nasty()).unwrap());
}

#[test]
fn et_open_and_rules_made_to_be_slow() {
    let Some(data) = harness::data() else {
        return harness::skip("et_open_and_rules_made_to_be_slow", "STOPGAP_DATA is not set");
    };
    let text: String = harness::parity::rule_files(&data)
        .unwrap()
        .iter()
        .filter_map(|f| std::fs::read(f).ok())
        .map(|b| String::from_utf8_lossy(&b).into_owned())
        .collect();
    let mut rules = nasty();
    rules.push_str(&text);
    holds("ET Open's and those", &harness::engine::ruleset_of_what_loads(&rules));
}

#[test]
fn a_table_of_flows_fills_and_empties_without_a_pause() {
    let config = in_line();
    let flows = config.limits.flows_max as u32;
    let mut b =
        Bench::new(ruleset("alert udp any any -> any any (msg:\"x\"; content:\"never\"; sid:1;)\n").unwrap(), config);
    let mut frame = TimedFrame { micros: 1_700_000_000_000_000, to_server: true, data: Vec::new() };
    let mut pauses = Vec::new();
    // Past what there is room for.
    for i in 0..flows + 1_000 {
        let [_, a, b_, c] = i.to_be_bytes();
        frame.data = udp4(([10, a, b_, c], 5_000), ([192, 0, 2, 1], 5_001), b"what is no message", true);
        frame.micros += 1;
        pauses.push(b.give(std::slice::from_ref(&frame)));
    }
    assert!(b.worker.flows() as u32 >= flows - 1_000, "{}", b.worker.flows());
    let filled = pauses.iter().max().copied().unwrap();
    pauses.clear();
    let later = Timestamp::from_micros(frame.micros.unsigned_abs() + 3_600_000_000);
    loop {
        let since = Instant::now();
        let all = b.worker.advance_some(later, &mut b.out);
        pauses.push(since.elapsed());
        b.out.records.take(Vec::new());
        if all {
            break;
        }
    }
    let emptied = pauses.iter().max().copied().unwrap();
    eprintln!("the longest of {flows} flows: {filled:?} to begin one, {emptied:?} to end some, {} times", pauses.len());
    assert_eq!(b.worker.flows(), 0);
    assert!(filled < allowed(LONGEST) && emptied < allowed(LONGEST), "{filled:?} {emptied:?}");
}
