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
        name: "byte_jump over what a length says",
        proto: "tcp",
        body: "flow:established,to_server; content:\"len=\"; byte_jump:1,0,relative; content:\"|3b|END\"; distance:0; within:4;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "byte_jump, then pcre where it lands",
        proto: "tcp",
        body: "flow:established,to_server; content:\"len=\"; byte_jump:1,0,relative; pcre:\"/^\\x3bEN(D)(?=$|D)/R\"; content:\"BEGIN\"; offset:4; depth:5;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "byte_jump from the beginning",
        proto: "tcp",
        body: "flow:established,to_server; content:\"BEGIN\"; byte_jump:4,0,multiplier 2; content:\"len=\"; distance:-13; within:4;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "byte_test at a place",
        proto: "tcp",
        body: "flow:established,to_server; byte_test:4,=,16,0; content:\"BEGIN\"; offset:4; depth:5; content:\"END\";",
        request: RAW,
        response: b"",
    },
    Case {
        name: "byte_extract as within",
        proto: "tcp",
        body: "flow:established,to_server; content:\"len=\"; byte_extract:1,0,n,relative; content:\"hello\"; distance:0; within:n; content:\"|3b|END\"; distance:0; within:4;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "byte_extract as distance",
        proto: "tcp",
        body: "flow:established,to_server; content:\"len=\"; byte_extract:1,0,n,relative; content:\"|3b|END\"; distance:n; within:4;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "byte_extract as offset and depth",
        proto: "tcp",
        body: "flow:established,to_server; byte_extract:1,3,n; content:\"secret\"; offset:n; depth:6;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "byte_extract compared",
        proto: "tcp",
        body: "flow:established,to_server; byte_extract:1,3,n; content:\"len=\"; byte_test:1,<,n,0,relative; content:\"hello\"; distance:1; within:5;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "a content that is not there",
        proto: "tcp",
        body: "flow:established,to_server; content:\"key=\"; content:!\"public\"; within:6; content:\"|3b|len=\"; distance:6; within:5;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "a content that is nowhere",
        proto: "tcp",
        body: "flow:established,to_server; content:\"hello|3b|\"; content:!\"FINISH\"; content:\"END\"; distance:0;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "so many bytes more",
        proto: "tcp",
        body: "flow:established,to_server; content:\"len=\"; isdataat:9,relative; content:\"hello\"; distance:1; within:5;",
        request: RAW,
        response: b"",
    },
    Case {
        name: "no byte more, in a body",
        proto: "http",
        body: "flow:established,to_server; http.request_body; content:\"end=1\"; isdataat:!1,relative;",
        request: POST,
        response: CHUNKED,
    },
    Case {
        name: "pcre /R in a path",
        proto: "http",
        body: "flow:established,to_server; http.uri; content:\"/shop/\"; pcre:\"/^cart\\.php\\?(id)=\\d/R\";",
        request: POST,
        response: CHUNKED,
    },
    Case {
        name: "pcre that refers back",
        proto: "tcp",
        body: "flow:established,to_server; content:\"key=\"; pcre:\"/^(s)ecr(?=et).*h(e)(l)\\3o/R\";",
        request: RAW,
        response: b"",
    },
    Case {
        name: "expression and number by turns",
        proto: "http",
        body: "flow:established,to_server; http.request_body; content:\"cmd=\"; pcre:\"/^run\\x3b/R\"; content:\"arg=\"; within:4; byte_test:1,>,0x60,0,relative; content:\"calc\"; within:4;",
        request: POST,
        response: CHUNKED,
    },
    Case {
        name: "a body without a word",
        proto: "http",
        body: "flow:established,to_client; file.data; content:\"hello\"; content:!\"goodbye\"; content:\"payload!\"; distance:1; within:8;",
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

impl Case {
    /// Once. A rule that holds a content to a place from the beginning looks at packets beside the stream, and may find
    /// it in both.
    fn found(&self, sids: &[u64]) -> bool {
        let places = ["offset:", "depth:", "byte_extract:1,3"].iter().any(|w| self.body.contains(w));
        sids == [1] || places && sids == [1, 1]
    }
}

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
    holds_of(what, &|_| true, frames);
}

/// … of those cases that are meant.
fn holds_of(what: &str, meant: &dyn Fn(&Case) -> bool, frames: &dyn Fn(&Case) -> Vec<TimedFrame>) {
    for case in CASES.iter().filter(|c| meant(c)) {
        let frames = frames(case);
        let alert = ruleset(&rule("alert", case)).unwrap();
        for (mode, config) in [("watching", watching as fn() -> Config), ("in line", in_line)] {
            let done = run(&alert, config(), &frames, 7);
            assert!(case.found(&done.sids()), "{}, {what}, {mode}: {:?}", case.name, done.sids());
        }
        let drop = ruleset(&rule("drop", case)).unwrap();
        let done = run(&drop, in_line(), &frames, 7);
        assert!(case.found(&done.sids()), "{}, {what}, dropping: {:?}", case.name, done.sids());
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

/// Every rule over a raw stream, cut at two places, so that a middle piece holds anything from a byte to nearly all.
#[test]
fn cut_in_three() {
    let steps = if std::env::var_os("STOPGAP_QUICK").is_some() { (5, 7) } else { (2, 3) };
    for first in (1..RAW.len()).step_by(steps.0) {
        for second in (first + 1..RAW.len()).step_by(steps.1) {
            let cut = |b: &[u8]| vec![b[..first].to_vec(), b[first..second].to_vec(), b[second..].to_vec()];
            holds_of(&format!("cut at {first} and {second}"), &|c| c.request == RAW, &|case| {
                let mut c = Conversation::open(40_000, 80);
                cut(case.request).iter().for_each(|piece| c.send(true, piece));
                c.close()
            });
        }
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

/// A bit set by some segment and asked by the same or a later one, wherever the stream is cut; set in a packet, in the
/// stream or by a transaction.
#[test]
fn a_bit_between_any_two_segments() {
    let rows: [(&str, &[u8], &[u8]); 3] = [
        (
            "alert tcp any any -> any any (msg:\"set\"; flow:established,to_server; content:\"one\"; flowbits:set,seen; noalert; sid:1;)\n\
             alert tcp any any -> any any (msg:\"asked\"; flow:established,to_server; flowbits:isset,seen; content:\"two\"; sid:2;)\n",
            b"first one, and then two, after",
            b"",
        ),
        (
            "alert http any any -> any any (msg:\"set\"; http.uri; content:\"cart.php\"; flowbits:set,seen; noalert; sid:1;)\n\
             alert http any any -> any any (msg:\"asked\"; flow:to_client; flowbits:isset,seen; file.data; content:\"payload!\"; sid:2;)\n",
            POST,
            CHUNKED,
        ),
        (
            "alert tcp any any -> any any (msg:\"set\"; flow:established,to_server; content:\"POST\"; depth:4; flowbits:set,seen; noalert; sid:1;)\n\
             alert http any any -> any any (msg:\"asked\"; flow:to_server; flowbits:isset,seen; http.request_body; content:\"arg=calc\"; sid:2;)\n",
            POST,
            CHUNKED,
        ),
    ];
    for (text, request, response) in rows {
        let alert = ruleset(text).unwrap();
        let drop = ruleset(&text.replacen(
            "alert http any any -> any any (msg:\"asked",
            "drop http any any -> any any (msg:\"asked",
            1,
        ))
        .unwrap();
        for at in 1..request.len().max(response.len()) {
            let mut c = Conversation::open(40_000, 80);
            for (to_server, bytes) in [(true, request), (false, response)] {
                let (head, tail) = bytes.split_at(at.min(bytes.len()));
                [head, tail].into_iter().filter(|p| !p.is_empty()).for_each(|p| c.send(to_server, p));
            }
            let frames = c.close();
            for (rules, config) in [(&alert, watching()), (&alert, in_line()), (&drop, in_line())] {
                assert_eq!(run(rules, config, &frames, 1).sids(), [2], "cut at {at}: {text}");
            }
        }
    }
}
