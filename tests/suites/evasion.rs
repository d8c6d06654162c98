//! In line, what an attacker sends so that the engine believes something its receiver does not.
//!
//! Each case shows the engine a segment that the receiver never takes (it dies on the way, or is refused), then sends
//! what a rule drops. Whatever the engine makes of the decoy, the bytes the rule looks for must not leave.

use harness::craft::{ACK, Conversation, FIN, PSH, RST, SYN};
use harness::engine::{Outcome, in_line, ruleset, run};

const REQUEST: &[u8] = b"GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n";
const RULE: &str = "drop http any any -> any any (msg:\"x\"; http.uri; content:\"/etc/passwd\"; sid:1;)";

fn outcome(c: &Conversation) -> Outcome {
    run(&ruleset(RULE).unwrap(), in_line(), &c.frames, 1)
}

/// `act` gets an open connection and the client's and the server's next sequence numbers.
fn held_back(act: impl FnOnce(&mut Conversation, u32, u32)) {
    let mut c = Conversation::open(41_000, 80);
    let [seq, ack] = c.seq;
    act(&mut c, seq, ack);
    let out = outcome(&c);
    assert!(!out.leaked(b"/etc/passwd"), "{:?}", out.verdicts);
}

#[test]
fn the_plain_request_is_dropped() {
    held_back(|c, seq, ack| c.segment(true, seq, ack, PSH | ACK, REQUEST));
}

#[test]
fn a_reset_that_never_arrives() {
    held_back(|c, seq, ack| {
        c.segment(true, seq, ack, RST | ACK, &[]);
        c.segment(true, seq, ack, PSH | ACK, REQUEST);
    });
}

#[test]
fn a_reset_that_never_arrives_within_the_request() {
    held_back(|c, seq, ack| {
        c.segment(true, seq, ack, PSH | ACK, b"GE");
        c.segment(false, ack, seq + 2, ACK, &[]);
        c.segment(true, seq + 2, ack, RST | ACK, &[]);
        c.segment(true, seq + 2, ack, PSH | ACK, &REQUEST[2..]);
    });
}

#[test]
fn data_out_of_order_behind_a_reset() {
    held_back(|c, seq, ack| {
        c.segment(true, seq, ack, RST | ACK, &[]);
        c.segment(true, seq + 2, ack, PSH | ACK, &REQUEST[2..]);
        c.segment(true, seq, ack, PSH | ACK, &REQUEST[..2]);
    });
}

#[test]
fn other_bytes_before_a_reset_that_never_arrives() {
    held_back(|c, seq, ack| {
        c.segment(true, seq, ack, PSH | ACK, &[b'\n'; 38]);
        c.segment(true, seq + 38, ack, RST | ACK, &[]);
        c.segment(true, seq + 38, ack, PSH | ACK, b"\n");
        c.segment(true, seq, ack, PSH | ACK, REQUEST);
    });
}

#[test]
fn a_reset_of_the_syn_that_the_server_ignores() {
    let mut c = Conversation::open(41_001, 80);
    c.frames.truncate(1);
    let [seq, ack] = c.seq;
    c.segment(true, seq - 1, 0, RST, &[]);
    c.segment(false, ack.wrapping_sub(1), seq, SYN | ACK, &[]);
    c.segment(true, seq, ack, ACK, &[]);
    c.segment(true, seq, ack, PSH | ACK, REQUEST);
    assert!(!outcome(&c).leaked(b"/etc/passwd"));
}

#[test]
fn the_same_initial_number_again_after_a_reset() {
    held_back(|c, seq, ack| {
        c.segment(true, seq, ack, PSH | ACK, b"GET / HTTP/1.1\r\n");
        c.segment(true, seq + 16, ack, RST | ACK, &[]);
        c.segment(true, seq - 1, 0, SYN, &[]);
        c.segment(false, 77, seq, SYN | ACK, &[]);
        c.segment(true, seq, 78, ACK, &[]);
        c.segment(true, seq, 78, PSH | ACK, REQUEST);
    });
}

#[test]
fn a_fin_that_never_arrives() {
    held_back(|c, seq, ack| {
        c.segment(true, seq, ack, FIN | ACK, &[]);
        c.segment(true, seq, ack, PSH | ACK, REQUEST);
    });
    held_back(|c, seq, ack| {
        c.segment(true, seq + 2, ack, FIN | ACK, &[]);
        c.segment(true, seq, ack, PSH | ACK, REQUEST);
    });
}

#[test]
fn a_fin_ahead_then_a_syn_that_the_server_refuses() {
    held_back(|c, seq, ack| {
        c.segment(true, seq + 400, ack, FIN | ACK, &[]);
        c.segment(true, seq + 9_000_000, 0, SYN, &[]);
        c.segment(true, seq, ack, PSH | ACK, REQUEST);
    });
}

#[test]
fn only_the_client_passes_here() {
    let mut c = Conversation::open(41_002, 80);
    c.frames.truncate(1);
    let [seq, ack] = c.seq;
    c.segment(true, seq, ack, ACK, &[]);
    c.segment(true, seq, ack, PSH | ACK, REQUEST);
    assert!(!outcome(&c).leaked(b"/etc/passwd"));
}

#[test]
fn a_syn_that_never_arrives_then_one_with_data() {
    let mut c = Conversation::open(41_003, 80);
    c.frames.truncate(1);
    let [seq, ack] = c.seq;
    c.segment(true, seq - 1, 0, SYN, REQUEST);
    c.segment(false, ack.wrapping_sub(1), seq + REQUEST.len() as u32, SYN | ACK, &[]);
    assert!(!outcome(&c).leaked(b"/etc/passwd"));
}

#[test]
fn other_data_in_a_syn_that_never_arrives() {
    let mut c = Conversation::open(41_004, 80);
    c.frames.clear();
    let [seq, ack] = c.seq;
    c.segment(true, seq - 500, 0, SYN, b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n");
    c.segment(true, seq - 1, 0, SYN, &[]);
    c.segment(false, ack.wrapping_sub(1), seq, SYN | ACK, &[]);
    c.segment(true, seq, ack, ACK, &[]);
    c.segment(true, seq, ack, PSH | ACK, REQUEST);
    assert!(!outcome(&c).leaked(b"/etc/passwd"));
}

#[test]
fn data_in_the_answer_to_a_syn() {
    let rules = ruleset("drop tcp any any -> any any (msg:\"x\"; content:\"marker\"; sid:1;)").unwrap();
    let mut c = Conversation::open(41_005, 2_000);
    c.frames.truncate(1);
    let [seq, ack] = c.seq;
    c.segment(false, ack.wrapping_sub(1), seq, SYN | ACK, b"mar");
    c.segment(true, seq, ack.wrapping_add(3), ACK, &[]);
    c.segment(false, ack.wrapping_add(3), seq, PSH | ACK, b"ker");
    let out = run(&rules, in_line(), &c.frames, 1);
    assert!(!(out.leaked(b"mar") && out.leaked(b"ker")), "{:?}", out.verdicts);
}

#[test]
fn a_copy_that_differs_from_what_was_seen() {
    held_back(|c, seq, ack| {
        c.segment(true, seq, ack, PSH | ACK, &[b'\n'; 38]);
        c.segment(true, seq, ack, PSH | ACK, REQUEST);
    });
}

#[test]
fn a_method_that_only_the_application_knows() {
    held_back(|c, seq, ack| {
        c.segment(true, seq, ack, PSH | ACK, b"GETX /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n");
    });
}

#[test]
fn a_request_behind_a_connect_that_the_server_refuses() {
    held_back(|c, seq, ack| {
        let request = [&b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n"[..], REQUEST].concat();
        c.segment(true, seq, ack, PSH | ACK, &request);
    });
}

/// The first fragment left; the last one did not, and must not when it is sent again.
#[test]
fn the_last_fragment_again() {
    let rules = ruleset("drop udp any any -> any any (msg:\"x\"; content:\"first half, last half\"; sid:1;)").unwrap();
    let whole = harness::craft::udp(true, 5_000, 6_000, 1_700_000_000_000_000, b"....first half, last half");
    let fragment = |range: std::ops::Range<usize>, more: u8| {
        let mut f = whole.clone();
        f.data = [&whole.data[..34], &whole.data[34 + range.start..34 + range.end]].concat();
        let total = (f.data.len() - 14) as u16;
        f.data[16..18].copy_from_slice(&total.to_be_bytes());
        f.data[20..22].copy_from_slice(&[more << 5, (range.start / 8) as u8]);
        f
    };
    let end = whole.data.len() - 34;
    let (a, b) = (fragment(0..16, 1), fragment(16..end, 0));
    // Receivers disagree about which copy counts: the second must not leave.
    let mut other = a.clone();
    other.data[50 - 8..50].copy_from_slice(b"harmless");
    let out = run(&rules, in_line(), &[other, a.clone(), b.clone()], 1);
    assert!(!out.leaked(b"....firs"), "{:?}", out.verdicts);
    for batch in [1, 64] {
        let out = run(&rules, in_line(), &[a.clone(), b.clone(), b.clone()], batch);
        assert_eq!(out.sids(), [1]);
        assert!(!out.leaked(b"last half"), "{:?}", out.verdicts);
    }
}

/// A gap must not stop a stream whose protocol is still unknown.
#[test]
fn a_hole_before_the_protocol_is_known() {
    let rules = ruleset("alert tcp any any -> any any (msg:\"x\"; content:\"marker\"; sid:1;)").unwrap();
    let mut c = Conversation::open(41_006, 2_000);
    let [seq, ack] = c.seq;
    c.segment(true, seq, ack, PSH | ACK, b"G");
    c.segment(true, seq + 100, ack, PSH | ACK, b"later mar");
    c.segment(false, ack, seq + 109, ACK, &[]);
    c.segment(true, seq + 109, ack, PSH | ACK, b"ker");
    c.segment(false, ack, seq + 112, ACK, &[]);
    c.segment(true, seq + 112, ack, ACK, &[]);
    let out = run(&rules, harness::engine::watching(), &c.frames, 1);
    assert_eq!(out.sids(), [1]);
    let at = out.of("alert").next().and_then(|e| e["pcap_cnt"].as_u64());
    assert!(at.is_some_and(|n| n <= c.frames.len() as u64), "only at the flow's end: {at:?}");
}

/// Many requests in few bytes must not buy all the memory there is; those who ask for little keep theirs.
#[test]
fn requests_without_answers_are_bounded_over_all_flows() {
    let rules = ruleset(RULE).unwrap();
    let mut config = harness::engine::watching();
    config.limits.app_bytes_max = 32 << 20;
    let mut frames = Vec::new();
    let pipelined = b"GET / HTTP/1.1\r\n\r\n".repeat(70);
    for port in 0..40 {
        let mut c = Conversation::open(20_000 + port, 80);
        (0..7).for_each(|_| c.send(true, &pipelined));
        frames.extend(c.frames);
    }
    let mut modest = Conversation::open(30_000, 80);
    modest.send(true, REQUEST);
    frames.extend(modest.frames);
    let out = run(&rules, config, &frames, 64);
    let refused = out.counters.of(engine::types::Counter::AppMemcap);
    assert!((10..40).contains(&refused), "{refused}");
    assert_eq!(out.sids(), [1], "the flow that asks for little keeps its parser");
}
