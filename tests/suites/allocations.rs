//! After warm-up a packet of an established flow allocates nothing: the promise of the hot path, counted.
//!
//! Every kind of flow runs with rules over its bytes, in both modes; the first part of it warms the worker up, the rest
//! is counted, records being taken between batches into a block that is handed back. One test alone, since the
//! allocator's counts are the whole process's.

use engine::decode::Frame;
use engine::record::{AlertSettings, Settings};
use engine::worker::{Config, Output, Worker};
use harness::craft::{Conversation, udp};
use harness::dialogue::TimedFrame;
use harness::engine::{in_line, ruleset, watching};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HTTP_EXCHANGES: usize = 300;

/// Of each kind that a large ruleset has: patterns in packets, at their beginning, in the stream and in every buffer,
/// pinned names, hashes, addresses, ports, regular expressions, variables, thresholds.
const RULES: &str = r#"
alert tcp any any -> any any (msg:"stream"; flow:established; content:"never in there"; sid:1;)
alert tcp any any -> any any (msg:"stream b"; flow:established; content:"needle"; content:"haystack"; within:20; sid:2;)
alert tcp any any -> any any (msg:"stream c"; content:"two needles"; pcre:"/two\s+needles\d/"; sid:3;)
alert tcp any any -> any any (msg:"stream d"; flow:to_client; content:"four"; content:"five"; distance:4; sid:4;)
alert tcp any any -> any any (msg:"begin"; content:"|00 01|"; depth:2; content:"|05|"; distance:2; within:1; sid:5;)
alert tcp any any -> any any (msg:"sized"; dsize:>1400; content:"nowhere at all"; sid:6;)
alert tcp any any -> any 7777 (msg:"port"; content:"segment"; content:!"segment"; sid:7;)
alert udp any any -> any any (msg:"udp"; content:"datagram"; content:"unseen"; sid:8;)
alert udp any any -> any any (msg:"udp b"; content:"|ff|"; offset:3; depth:1; sid:9;)
alert udp any any -> any any (msg:"udp c"; content:"seldom met"; sid:10;)
alert udp any any -> any any (msg:"udp d"; content:"rarely met"; sid:11;)
alert http any any -> any any (msg:"uri"; http.uri; content:"/etc/passwd"; sid:20;)
alert http any any -> any any (msg:"uri b"; http.uri; content:"/object"; pcre:"/object\/x[0-9]+/U"; sid:21;)
alert http any any -> any any (msg:"host"; http.host; content:"evil.example"; endswith; sid:22;)
alert http any any -> any any (msg:"agent"; http.user_agent; content:"curl"; content:"wget"; sid:23;)
alert http any any -> any any (msg:"file"; flow:to_client; file.data; content:"MZ"; content:"PE"; distance:0; sid:24;)
alert http any any -> any any (msg:"file b"; flow:to_client; file.data; content:"nothing of it"; sid:25;)
alert http any any -> any any (msg:"header"; http.header; content:"x-strange"; nocase; sid:26;)
alert dns any any -> any any (msg:"name"; dns.query; content:"evil.example"; nocase; endswith; sid:30;)
alert dns any any -> any any (msg:"dotted"; dns.query; dotprefix; content:".bad.example"; endswith; sid:31;)
alert tls any any -> any any (msg:"sni"; tls.sni; content:"evil.example"; endswith; sid:40;)
alert tls any any -> any any (msg:"subject"; flow:to_client; tls.cert_subject; content:"CN=evil"; sid:41;)
alert tcp 192.0.2.0/24 any -> any any (msg:"list"; sid:50;)
alert tcp any any -> any any (msg:"bit"; flow:established; content:"bit set"; flowbits:set,seen; noalert; sid:60;)
alert tcp any any -> any any (msg:"bit asked"; flowbits:isset,seen; content:"bit asked"; sid:61;)
"#;

/// No record but alerts, of which there are none.
fn quiet(config: Config) -> Config {
    let records = Settings { alert: Some(AlertSettings::default()), ..Settings::default() };
    Config { records, ..config }
}

/// Text without any rule's match, some of it like one.
fn text(n: usize, len: usize) -> Vec<u8> {
    let line = format!("segment {n}: a needle far from any stack of hay, with numbers {}. ", n * 7919);
    line.bytes().cycle().take(len).collect()
}

fn raw_tcp() -> Vec<TimedFrame> {
    let mut c = Conversation::open(4_000, 7_777);
    for n in 0..400 {
        c.send(n % 3 == 0, &text(n, 60 + n * 37 % 1_300));
    }
    c.frames
}

fn tls() -> Vec<TimedFrame> {
    let mut c = Conversation::open(4_001, 443);
    let handshake = |kind: u8, body: &[u8]| {
        let mut m = vec![22, 3, 3, 0, 0, kind, 0, 0, body.len() as u8];
        m.extend_from_slice(body);
        m[4] = body.len() as u8 + 4;
        m
    };
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    let sni = b"\0\0\0\x10\0\x0e\0\0\x0bexample.org";
    hello.extend([0, sni.len() as u8 + 1]);
    hello.extend([0, 0, 0, sni.len() as u8 - 3]);
    hello.extend(&sni[4..]);
    c.send(true, &handshake(1, &hello));
    let mut answer = vec![3, 3];
    answer.extend([9; 32]);
    answer.extend([0, 0x13, 0x01, 0]);
    c.send(false, &handshake(2, &answer));
    c.send(false, &[20, 3, 3, 0, 1, 1]);
    c.send(true, &[20, 3, 3, 0, 1, 1]);
    for n in 0..400usize {
        let len = 100 + n * 61 % 1_200;
        let mut record = vec![23, 3, 3, (len >> 8) as u8, len as u8];
        record.extend((0..len).map(|i| (i * 31 + n * 17) as u8));
        c.send(n % 4 == 0, &record);
    }
    c.frames
}

fn request(n: usize) -> Vec<u8> {
    format!("GET /object/{n}?q={n} HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.{n}\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

/// One long answer.
fn http_body() -> Vec<TimedFrame> {
    let mut c = Conversation::open(4_002, 80);
    c.send(true, &request(0));
    c.send(false, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 400000\r\n\r\n");
    for n in 0..280 {
        c.send(false, &text(n, 1_400));
    }
    c.frames
}

fn http_requests() -> Vec<TimedFrame> {
    let mut c = Conversation::open(4_003, 80);
    for n in 0..HTTP_EXCHANGES {
        c.send(true, &request(n));
        let body = text(n, 300);
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        c.send(false, &[head.as_bytes(), &body].concat());
    }
    c.frames
}

fn raw_udp() -> Vec<TimedFrame> {
    let micros = |n: usize| 1_700_000_000_000_000 + n as i64 * 1_000;
    (0..600).map(|n| udp(n % 2 == 0, 4_004, 9_999, micros(n), &text(n, 40 + n * 13 % 1_200))).collect()
}

fn dns() -> Vec<TimedFrame> {
    let mut frames = Vec::new();
    for n in 0..300u16 {
        let mut name = Vec::new();
        for label in [format!("host{n}"), "example".into(), "org".into()] {
            name.push(label.len() as u8);
            name.extend(label.bytes());
        }
        name.push(0);
        let head = |flags: u16, answers: u16| [n, flags, 1, answers, 0, 0].map(u16::to_be_bytes).concat();
        let question = [&name[..], &[0, 1, 0, 1]].concat();
        let answer = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &[192, 0, 2, n as u8]].concat();
        let at = 1_700_000_000_000_000 + i64::from(n) * 2_000;
        frames.push(udp(true, 4_005, 53, at, &[head(0x0100, 0), question.clone()].concat()));
        frames.push(udp(false, 4_005, 53, at + 1_000, &[head(0x8180, 1), question, answer].concat()));
    }
    frames
}

/// Runs all frames, the first `warm` of them uncounted; allocations and re-allocations of the rest, and alerts.
fn count(config: Config, frames: &[TimedFrame], warm: usize) -> (usize, usize) {
    let rules = ruleset(RULES).expect("the rules are sound");
    let mut out = Output::new(1 << 20);
    let mut worker = Worker::new(Arc::new(config), rules).expect("a worker");
    let lent: Vec<Frame<'_>> = (1u64..).zip(frames).map(|(number, f)| f.lent(number)).collect();
    let calls = || {
        let s = ALLOCATOR.stats();
        s.allocations + s.reallocations
    };
    let (mut before, mut alerts, mut seen) = (calls(), 0, 0);
    let mut records = Vec::with_capacity(1 << 16);
    for batch in lent.chunks(20) {
        if seen <= warm {
            before = calls();
        }
        worker.process(batch, &mut out);
        records = out.records.take(records);
        alerts += engine::record::Record::all(&records).count();
        seen += batch.len();
    }
    (calls() - before, alerts)
}

#[test]
fn an_established_flow_allocates_nothing() {
    let kinds = [
        ("tcp without a protocol", raw_tcp()),
        ("tls", tls()),
        ("http, one long body", http_body()),
        ("udp without a protocol", raw_udp()),
        ("dns", dns()),
        ("http, many requests", http_requests()),
    ];
    let mut failed = Vec::new();
    for (mode, config) in [("watching", quiet(watching())), ("in line", quiet(in_line()))] {
        for (name, frames) in &kinds {
            let warm = frames.len() / 2;
            let (calls, records) = count(config.clone(), frames, warm);
            assert_eq!(records, 0, "{mode}, {name}: a record would hide what it costs");
            if calls > 0 {
                failed.push(format!("{mode}, {name}: {calls} in {} packets", frames.len() - warm));
            }
        }
    }
    assert!(failed.is_empty(), "allocations after warm-up: {failed:?}");
}
