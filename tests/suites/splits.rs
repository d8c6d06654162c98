//! The match suite over segments: however a stream is cut, ordered or copied, the same rules match, and in line nothing
//! that completes a match leaves.

use engine::worker::Config;
use harness::craft::{ACK, Conversation, PSH};
use harness::dialogue::TimedFrame;
use harness::engine::{in_line, ruleset, run, watching};

/// A rule body, what the client sends, what the server answers.
struct Case {
    name: &'static str,
    proto: &'static str,
    body: &'static str,
    request: &'static [u8],
    response: &'static [u8],
}

const POST: &[u8] = b"POST /shop/%63art.php?id=7 HTTP/1.1\r\nHost: Shop.Example\r\nUser-Agent: evil-agent/1.0\r\nContent-Type: text/plain\r\nContent-Length: 22\r\n\r\ncmd=run;arg=calc;end=1";
const CHUNKED: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n9\r\n payload!\r\n0\r\n\r\n";
const RAW: &[u8] = b"\x00\x00\x00\x10BEGIN...key=secret;len=\x05hello;END";

const CASES: &[Case] = &[
    Case {
        name: "two contents of a stream",
        proto: "tcp",
        body: "flow:established,to_server; content:\"BEGIN\"; content:\"secret\"; distance:0; within:20;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "a number in the stream",
        proto: "tcp",
        body: "flow:established,to_server; content:\"len=\"; byte_test:1,=,5,0,relative; content:\"hello\"; distance:1; within:5;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "pcre after content",
        proto: "tcp",
        body: "flow:established,to_server; content:\"key=\"; pcre:\"/^[a-z]{6}\\x3blen/R\";",
        request: RAW,
        response: b"",
    },
    Case {
        name: "a normalised path",
        proto: "http",
        body: "flow:established,to_server; http.uri; content:\"/shop/cart.php\"; content:\"id=7\"; distance:0;",
        request: POST,
        response: CHUNKED,
    },
    Case {
        name: "buffers of one request",
        proto: "http",
        body: "flow:established,to_server; http.method; content:\"POST\"; http.host; content:\"shop.example\"; endswith; http.user_agent; content:\"evil-agent\"; http.request_body; content:\"arg=calc\";",
        request: POST,
        response: CHUNKED,
    },
    Case {
        name: "a body over chunks",
        proto: "http",
        body: "flow:established,to_client; file.data; content:\"hello pay\"; content:\"load!\"; distance:0;",
        request: POST,
        response: CHUNKED,
    },
    Case {
        name: "headers of the answer",
        proto: "http",
        body: "flow:established,to_client; http.stat_code; content:\"200\"; http.server; content:\"nginx\"; bsize:5;",
        request: POST,
        response: CHUNKED,
    },
    Case {
        name: "case folded",
        proto: "tcp",
        body: "flow:established,to_server; content:\"SeCrEt\"; nocase;",
        request: RAW,
        response: b"",
    },
];

fn rule(action: &str, case: &Case) -> String {
    format!("{action} {} any any -> any any (msg:\"{}\"; {} sid:1;)\n", case.proto, case.name, case.body)
}

/// The case's dialogue with each side's bytes cut where `cut` says.
fn dialogue(case: &Case, cut: &dyn Fn(&[u8]) -> Vec<Vec<u8>>) -> Vec<TimedFrame> {
    let mut c = Conversation::open(40_000, 80);
    for piece in cut(case.request) {
        c.send(true, &piece);
    }
    for piece in cut(case.response) {
        c.send(false, &piece);
    }
    c.close()
}

/// Each case must alert once, watching and in line, and enforcing its end must not leave.
fn holds(what: &str, frames: &dyn Fn(&Case) -> Vec<TimedFrame>) {
    for case in CASES {
        let frames = frames(case);
        let alert = ruleset(&rule("alert", case)).unwrap();
        for (mode, config) in [("watching", watching as fn() -> Config), ("in line", in_line)] {
            let done = run(&alert, config(), &frames, 7);
            assert_eq!(done.sids(), [1], "{}, {what}, {mode}", case.name);
        }
        let drop = ruleset(&rule("drop", case)).unwrap();
        let done = run(&drop, in_line(), &frames, 7);
        assert_eq!(done.sids(), [1], "{}, {what}, dropping", case.name);
        // What left, watched as its receiver would read it, does not hold the match. What only a flow's end shows (a
        // request never finished, bytes behind a hole) no receiver has acted on.
        let left: Vec<TimedFrame> =
            frames.iter().zip(&done.verdicts).filter(|(_, v)| v.is_forward()).map(|(f, _)| f.clone()).collect();
        let read = run(&alert, watching(), &left, 7);
        assert!(
            read.of("alert").all(|e| e["pkt_src"] == "stream (flow timeout)"),
            "{}, {what}: the match left",
            case.name
        );
        let first = done.verdicts.iter().position(|v| !v.is_forward());
        let alert_at = done.of("alert").next().unwrap()["pcap_cnt"].as_u64().unwrap();
        assert_eq!(first.map(|i| i as u64 + 1), Some(alert_at), "{}, {what}: what completes the match left", case.name);
    }
}

#[test]
fn whole() {
    holds("whole", &|case| dialogue(case, &|b| vec![b.to_vec()]));
}

#[test]
fn cut_in_two_at_every_byte() {
    let longest = CASES.iter().map(|c| c.request.len().max(c.response.len())).max().unwrap();
    let step = if std::env::var_os("STOPGAP_QUICK").is_some() { 5 } else { 1 };
    for at in (1..longest).step_by(step) {
        let cut = |b: &[u8]| if at < b.len() { vec![b[..at].to_vec(), b[at..].to_vec()] } else { vec![b.to_vec()] };
        holds(&format!("cut at {at}"), &|case| dialogue(case, &cut));
    }
}

#[test]
fn byte_by_byte() {
    holds("byte by byte", &|case| dialogue(case, &|b| b.iter().map(|x| vec![*x]).collect()));
}

/// Pieces of 1, 2, 3, … bytes sent last first: nothing is in order until the first comes.
#[test]
fn backwards() {
    holds("backwards", &|case| {
        let mut c = Conversation::open(40_000, 80);
        for (to_server, bytes) in [(true, case.request), (false, case.response)] {
            let side = usize::from(!to_server);
            let mut pieces = Vec::new();
            let (mut at, mut len) = (0, 3);
            while at < bytes.len() {
                let end = (at + len).min(bytes.len());
                pieces.push((at, &bytes[at..end]));
                (at, len) = (end, len + 1);
            }
            let (seq, ack) = (c.seq[side], c.seq[1 - side]);
            for (at, piece) in pieces.iter().rev() {
                c.segment(to_server, seq.wrapping_add(*at as u32), ack, PSH | ACK, piece);
            }
            c.seq[side] = seq.wrapping_add(bytes.len() as u32);
            c.ack(!to_server);
        }
        c.close()
    });
}

/// Every piece is sent twice, the copy overlapping what came before by half.
#[test]
fn with_retransmissions() {
    holds("with retransmissions", &|case| {
        let mut c = Conversation::open(40_000, 80);
        for (to_server, bytes) in [(true, case.request), (false, case.response)] {
            let side = usize::from(!to_server);
            for piece in bytes.chunks(10) {
                let (seq, ack) = (c.seq[side], c.seq[1 - side]);
                c.send(to_server, piece);
                c.segment(to_server, seq, ack, PSH | ACK, &piece[..piece.len().div_ceil(2)]);
            }
        }
        c.close()
    });
}

/// A bit set by one segment and asked by a later one.
#[test]
fn a_bit_between_segments() {
    let rules = ruleset(
        "alert tcp any any -> any any (msg:\"set\"; flow:established; content:\"one\"; flowbits:set,seen; noalert; sid:1;)\n\
         alert tcp any any -> any any (msg:\"asked\"; flow:established; flowbits:isset,seen; content:\"two\"; sid:2;)\n",
    )
    .unwrap();
    let mut c = Conversation::open(40_000, 99);
    c.send(true, b"one");
    c.send(true, b"then two");
    let frames = c.close();
    for config in [watching(), in_line()] {
        assert_eq!(run(&rules, config, &frames, 1).sids(), [2]);
    }
}
