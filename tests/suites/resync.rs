//! Packets passed unseen, and a window was declared: connections from before are taken up where they stand, none is
//! dropped for what is missing, and what they say next is inspected as ever.
//!
//! What the engine is shown of a connection is a part of it; the parts left out have reached the other end all the same,
//! as they do while the kernel forwards on its own.

use engine::types::{Cause, Counter, Counters, ExceptionPolicy, Timestamp, Verdict};
use engine::worker::{Config, Output, Worker};
use harness::craft::{ACK, Conversation, FIN, PSH, RST, SYN};
use harness::dialogue::TimedFrame;
use harness::engine::{in_line, ruleset};
use std::net::Ipv4Addr;
use std::sync::Arc;

const RULES: &str = "drop http any any -> any any (msg:\"x\"; flow:established,to_server; http.uri; content:\"/exploit\"; sid:1;)\n\
    drop dns any any -> any any (msg:\"x\"; dns.query; content:\"exploit\"; sid:2;)\n";
const EXPLOIT: &[u8] = b"GET /exploit HTTP/1.1\r\nHost: h\r\n\r\n";
const BENIGN: &[u8] = b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// Long enough for every conversation here.
const WINDOW: i64 = 60_000_000;

/// What became of the frames that were shown.
struct Seen {
    left: Vec<(TimedFrame, Verdict)>,
    events: Vec<serde_json::Value>,
    counters: Counters,
}

impl Seen {
    fn all_passed(&self) -> bool {
        self.left.iter().all(|(_, v)| v.is_forward())
    }

    fn leaked(&self, what: &[u8]) -> bool {
        let has = |f: &TimedFrame| f.data.windows(what.len()).any(|w| w == what);
        self.left.iter().any(|(f, v)| v.is_forward() && has(f))
    }

    fn resynced(&self) -> u64 {
        self.counters.of(Counter::FlowResynced)
    }

    fn sids(&self) -> Vec<u64> {
        self.events.iter().filter_map(|e| e["alert"]["signature_id"].as_u64()).collect()
    }
}

/// Whose packets pass before the window, and after it has opened; times are the frames' own.
#[derive(Default)]
struct Parts {
    before: Vec<TimedFrame>,
    after: Vec<TimedFrame>,
}

/// Shows the engine both parts, a window opened between them that is open so many microseconds.
fn show(parts: &Parts, config: Config, window: Option<i64>) -> Seen {
    let mut out = Output::new(config.records_max);
    let mut worker = Worker::new(Arc::new(config), ruleset(RULES).unwrap()).unwrap();
    let mut left = Vec::new();
    let mut number = 0;
    let mut give = |worker: &mut Worker, frames: &[TimedFrame], out: &mut Output| {
        for f in frames {
            number += 1;
            let frame = f.lent(number);
            worker.process(&[frame], out);
            left.push((f.clone(), out.frames[0].verdict));
        }
    };
    give(&mut worker, &parts.before, &mut out);
    if let (Some(window), Some(first)) = (window, parts.after.first()) {
        worker.resync(Timestamp::from_micros((first.micros + window).unsigned_abs()));
    }
    give(&mut worker, &parts.after, &mut out);
    worker.finish(&mut out);
    let line = |r: engine::record::Record<'_>| {
        let mut line = Vec::new();
        control::export::line(&r, None, &Default::default(), &mut line).ok()?;
        serde_json::from_slice(&line).ok()
    };
    let events = out.records.iter().filter_map(line).collect();
    Seen { left, events, counters: worker.counters().clone() }
}

/// A connection whose frames so far are not shown.
fn unseen(c: &mut Conversation) {
    c.frames.clear();
}

/// The connection's frames so far were shown; those from here on come after the gap.
fn cut(c: &mut Conversation) -> Vec<TimedFrame> {
    std::mem::take(&mut c.frames)
}

/// A benign exchange passes, and the exploit as the next request does not.
fn lives_and_is_inspected(before: Vec<TimedFrame>, mut c: Conversation, what: &str) {
    c.send(true, BENIGN);
    c.send(false, ANSWER);
    let benign = Parts { before: before.clone(), after: c.frames.clone() };
    let seen = show(&benign, in_line(), Some(WINDOW));
    assert!(seen.all_passed(), "{what}: {:?}", seen.left.iter().map(|l| l.1).collect::<Vec<_>>());
    assert_eq!(seen.resynced(), 1, "{what}");
    c.send(true, EXPLOIT);
    let seen = show(&Parts { before, after: c.frames }, in_line(), Some(WINDOW));
    assert!(!seen.leaked(b"/exploit"), "{what}");
    assert!(seen.sids().contains(&1), "{what}");
    let alert = seen.events.iter().find(|e| e["event_type"] == "alert").unwrap();
    assert_eq!(alert["src_ip"], Ipv4Addr::from(harness::dialogue::CLIENT).to_string(), "{what}");
    assert_eq!(alert["direction"], "to_server", "{what}");
}

/// The exploit is the first thing that is shown.
fn next_is_inspected(before: Vec<TimedFrame>, mut c: Conversation, what: &str) {
    c.send(true, EXPLOIT);
    let seen = show(&Parts { before, after: c.frames }, in_line(), Some(WINDOW));
    assert!(!seen.leaked(b"/exploit"), "{what}");
}

/// A connection of some age: so many bytes have gone each way.
fn aged(port: u16, to_server: usize, to_client: usize) -> Conversation {
    let mut c = Conversation::open(port, 80);
    for (way, n) in [(true, to_server), (false, to_client)] {
        vec![b'b'; n].chunks(1_400).for_each(|piece| c.send(way, piece));
    }
    c
}

#[test]
fn a_connection_from_before_is_taken_up_whoever_speaks_first() {
    let middles: [(&str, bool, Vec<u8>); 8] = [
        ("nothing", true, Vec::new()),
        ("the client in a body", true, vec![b'x'; 30_000]),
        ("the client at a body's end", true, b"&last=1".to_vec()),
        ("the client, as if it were a method", true, b"PO".to_vec()),
        ("the server in a body", false, vec![b'<'; 30_000]),
        ("the server at a body's end", false, b"</html>\n".to_vec()),
        ("the server in a header", false, b"ver: x\r\nContent-Length: 3\r\n\r\nabc".to_vec()),
        ("the server with an answer", false, ANSWER.to_vec()),
    ];
    for (n, (what, to_server, bytes)) in (0..).zip(middles) {
        for connection in [lives_and_is_inspected, next_is_inspected] {
            let mut c = aged(43_000 + n, 700, 9_000);
            unseen(&mut c);
            bytes.chunks(1_400).for_each(|piece| c.send(to_server, piece));
            connection(Vec::new(), c, what);
        }
    }
}

#[test]
fn a_bare_acknowledgement_of_either_side_comes_first() {
    for to_server in [true, false] {
        for server_port in [80, 8_080, 60_000] {
            let mut c = Conversation::open(40_100, server_port);
            unseen(&mut c);
            c.ack(to_server);
            lives_and_is_inspected(Vec::new(), c, "ACK");
        }
    }
}

#[test]
fn a_body_longer_than_any_depth_ends_and_the_next_request_is_found() {
    for to_server in [true, false] {
        let mut c = aged(40_200, 100, 100);
        unseen(&mut c);
        vec![b'y'; 3 << 20].chunks(1_400).for_each(|piece| c.send(to_server, piece));
        lives_and_is_inspected(Vec::new(), c, "3 MiB");
    }
}

/// How the connection goes on, unseen.
type Missing = (&'static str, usize, usize);

const HOLES: [Missing; 9] = [
    ("one byte to the server", 1, 0),
    ("one byte to the client", 0, 1),
    ("a few each way", 70, 300),
    ("to the server", 5_000, 0),
    ("to the client", 0, 5_000),
    ("each way", 40_000, 50_000),
    ("past the window to the server", 3_000_000, 0),
    ("past the window to the client", 0, 3_000_000),
    ("past both windows", 3_000_000, 4_000_000),
];

#[test]
fn a_known_connection_goes_on_behind_what_passed_unseen() {
    for (what, to_server, to_client) in HOLES {
        for connection in [lives_and_is_inspected, next_is_inspected] {
            let mut c = Conversation::open(40_300, 80);
            c.send(true, BENIGN);
            c.send(false, ANSWER);
            let before = cut(&mut c);
            c.seq[0] = c.seq[0].wrapping_add(to_server as u32);
            c.seq[1] = c.seq[1].wrapping_add(to_client as u32);
            connection(before, c, what);
        }
    }
}

#[test]
fn a_known_connection_was_in_a_body_when_it_went_unseen() {
    for (what, to_server, to_client) in HOLES {
        let mut c = Conversation::open(40_400, 80);
        c.send(true, b"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n");
        c.send(true, &[b'u'; 1_400]);
        let before = cut(&mut c);
        c.seq[0] = c.seq[0].wrapping_add(to_server as u32);
        c.seq[1] = c.seq[1].wrapping_add(to_client as u32);
        // The rest of the body, and the answer.
        c.send(true, &[b'v'; 1_000]);
        c.send(false, ANSWER);
        let seen = show(&Parts { before, after: c.frames.clone() }, in_line(), Some(WINDOW));
        assert!(seen.all_passed(), "{what}");
    }
}

#[test]
fn a_handshake_half_of_which_passed_unseen() {
    for connection in [lives_and_is_inspected, next_is_inspected] {
        let mut c = Conversation::open(40_500, 80);
        c.frames.truncate(1);
        let before = cut(&mut c);
        connection(before, c, "handshake");
    }
}

#[test]
fn a_server_answers_what_passed_unseen_behind_the_handshake() {
    for connection in [lives_and_is_inspected, next_is_inspected] {
        let mut c = Conversation::open(40_510, 80);
        c.frames.truncate(2);
        let before = cut(&mut c);
        c.seq[0] = c.seq[0].wrapping_add(BENIGN.len() as u32);
        c.send(false, ANSWER);
        connection(before, c, "answer");
    }
}

#[test]
fn data_before_its_handshake_is_complete_goes_by_the_policy() {
    for (policy, drops) in [(ExceptionPolicy::DropPacket, true), (ExceptionPolicy::Ignore, false)] {
        let mut c = Conversation::open(40_520, 80);
        c.frames.truncate(2);
        c.send(false, ANSWER);
        let mut config = in_line();
        config.policies.set(Cause::StreamInvalid, policy).unwrap();
        let seen = show(&Parts { before: c.frames, ..Parts::default() }, config, None);
        assert_eq!(!seen.all_passed(), drops, "{policy:?}");
    }
}

#[test]
fn a_tuple_used_anew_while_nobody_looked() {
    let mut c = Conversation::open(40_600, 80);
    c.send(true, BENIGN);
    c.send(false, ANSWER);
    let before = cut(&mut c);
    c.seq = [900_000_000, 1_900_000_000];
    c.segment(true, c.seq[0], 0, SYN, &[]);
    c.seq[0] += 1;
    c.segment(false, c.seq[1], c.seq[0], SYN | ACK, &[]);
    c.seq[1] += 1;
    c.ack(true);
    lives_and_is_inspected(before, c, "SYN");
}

#[test]
fn the_end_of_a_connection_passes() {
    for (flags, to_server) in [(FIN | ACK, true), (FIN | ACK, false), (RST, true), (RST | ACK, false)] {
        for known in [true, false] {
            let mut c = Conversation::open(40_700, 80);
            let before = if known { cut(&mut c) } else { Vec::new() };
            unseen(&mut c);
            c.seq = [c.seq[0] + 9_000, c.seq[1].wrapping_add(700_000)];
            let side = usize::from(!to_server);
            c.segment(to_server, c.seq[side], c.seq[1 - side], flags, &[]);
            if flags & RST == 0 {
                c.seq[side] = c.seq[side].wrapping_add(1);
                c.ack(!to_server);
            }
            let seen = show(&Parts { before, after: c.frames }, in_line(), Some(WINDOW));
            assert!(seen.all_passed(), "{flags:x} {to_server} {known}");
        }
    }
}

/// Every policy that could stop such a connection does.
fn strict() -> Config {
    let mut config = in_line();
    for cause in [Cause::StreamMidstream, Cause::StreamGap, Cause::StreamInvalid, Cause::ApplayerError] {
        let _ = config.policies.set(cause, ExceptionPolicy::DropFlow);
    }
    config
}

#[test]
fn no_policy_is_held_against_it_in_the_window_and_all_are_after_it() {
    let behind = |to_server: usize, to_client: usize| {
        let mut c = Conversation::open(40_800, 80);
        c.send(true, BENIGN);
        let before = cut(&mut c);
        c.seq = [c.seq[0].wrapping_add(to_server as u32), c.seq[1].wrapping_add(to_client as u32)];
        c.send(false, ANSWER);
        c.send(true, BENIGN);
        Parts { before, after: c.frames }
    };
    let mut c = aged(40_801, 10, 10);
    unseen(&mut c);
    c.send(true, BENIGN);
    let midstream = Parts { before: Vec::new(), after: c.frames };
    for parts in [behind(3_000_000, 3_000_000), behind(3_000_000, 0), midstream] {
        assert!(show(&parts, strict(), Some(WINDOW)).all_passed());
        // Long closed.
        let seen = show(&parts, strict(), Some(-1_000_000));
        assert!(!seen.leaked(BENIGN) || !seen.all_passed());
        assert_eq!(seen.resynced(), 0);
        // Never opened.
        assert!(!show(&parts, strict(), None).all_passed());
    }
}

#[test]
fn a_connection_begun_in_the_window_is_judged_as_ever() {
    let mut c = Conversation::open(40_900, 80);
    c.send(true, BENIGN);
    // Outside the server's window.
    c.segment(true, c.seq[0].wrapping_add(9_000_000), c.seq[1], PSH | ACK, b"decoy");
    let seen = show(&Parts { before: Vec::new(), after: c.frames }, in_line(), Some(WINDOW));
    assert!(!seen.left.last().unwrap().1.is_forward());
    assert_eq!(seen.resynced(), 0);
}

#[test]
fn a_decoy_hides_nothing_of_what_its_sender_sends() {
    for known in [true, false] {
        for decoy in [&b"POST /decoy HTTP/1.1\r\nHost: h\r\n\r\n"[..], b"x", b"HTTP/1.1 200 OK\r\n\r\n"] {
            for (ahead, acked) in [(2_000, 0), (9_000_000, 0), (9_000_000, 5_000_000), (0x8000_0000, 77)] {
                let mut c = Conversation::open(41_000, 80);
                let before = if known { cut(&mut c) } else { Vec::new() };
                unseen(&mut c);
                c.send(true, BENIGN);
                c.send(false, ANSWER);
                let (seq, ack) = (c.seq[0], c.seq[1]);
                let (one, two) = EXPLOIT.split_at(8);
                c.segment(true, seq, ack, PSH | ACK, one);
                c.segment(true, seq.wrapping_add(ahead), ack.wrapping_add(acked), PSH | ACK, decoy);
                c.segment(true, seq.wrapping_add(8), ack, PSH | ACK, two);
                let seen = show(&Parts { before, after: c.frames }, in_line(), Some(WINDOW));
                assert!(
                    !seen.leaked(two),
                    "{known} {ahead} {acked}: {:?}",
                    seen.left.iter().map(|l| l.1).collect::<Vec<_>>()
                );
                assert!(seen.sids().contains(&1));
            }
        }
    }
}

#[test]
fn pieces_in_the_wrong_order_are_put_in_order() {
    let mut c = Conversation::open(41_100, 80);
    c.send(true, BENIGN);
    c.send(false, ANSWER);
    let before = cut(&mut c);
    let (seq, ack) = (c.seq[0], c.seq[1]);
    let (one, two) = EXPLOIT.split_at(8);
    c.segment(true, seq.wrapping_add(8), ack, PSH | ACK, two);
    c.segment(true, seq, ack, PSH | ACK, one);
    let seen = show(&Parts { before, after: c.frames }, in_line(), Some(WINDOW));
    assert!(!seen.leaked(one), "{:?}", seen.left.iter().map(|l| l.1).collect::<Vec<_>>());
}

/// A body in which so many segments look like requests that no server could read, then the exploit.
fn misread(times: usize) -> Seen {
    let mut c = aged(41_200, 500, 500);
    unseen(&mut c);
    for _ in 0..times {
        c.send(true, b"GET / HTTP/1.1\r\n");
        c.send(true, &[b'z'; 60_000]);
    }
    c.send(true, EXPLOIT);
    show(&Parts { before: Vec::new(), after: c.frames }, strict(), Some(WINDOW))
}

#[test]
fn what_looked_like_a_request_and_was_none_is_no_error_so_many_times() {
    let seen = misread(16);
    assert!(!seen.leaked(b"/exploit"));
    assert!(seen.left.iter().rev().skip(2).all(|(_, v)| v.is_forward()));
    assert_eq!(seen.counters.of(Counter::AppParserErrors), 0);
    // Past that it is followed without its application layer, and is not stopped for it either.
    assert!(misread(17).all_passed());
}

fn dns(name: &str) -> Vec<u8> {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8];
    message.extend(name.as_bytes());
    message.extend([0, 0, 1, 0, 1]);
    [&(message.len() as u16).to_be_bytes()[..], &message].concat()
}

#[test]
fn dns_over_tcp_goes_on_with_its_next_message() {
    for known in [true, false] {
        let mut c = Conversation::open(41_300, 53);
        c.send(true, &dns("before"));
        let before = if known { cut(&mut c) } else { Vec::new() };
        unseen(&mut c);
        c.seq = [c.seq[0] + 100, c.seq[1].wrapping_add(200)];
        c.send(true, b"est of a name\0\0\x01\0\x01");
        c.send(true, &dns("benign"));
        let benign = Parts { before: before.clone(), after: c.frames.clone() };
        assert!(show(&benign, strict(), Some(WINDOW)).all_passed());
        c.send(true, &dns("exploit"));
        let seen = show(&Parts { before, after: c.frames }, in_line(), Some(WINDOW));
        assert!(!seen.leaked(b"exploit"));
        assert_eq!(seen.sids(), [2]);
    }
}

#[test]
fn ciphertext_goes_on() {
    let record = |n: usize| [&[23, 3, 3][..], &(n as u16).to_be_bytes(), &vec![0x5a; n]].concat();
    for known in [true, false] {
        for first in [true, false] {
            let mut c = Conversation::open(41_400, 443);
            c.send(true, &record(300));
            let before = if known { cut(&mut c) } else { Vec::new() };
            unseen(&mut c);
            c.seq = [c.seq[0] + 1_000, c.seq[1].wrapping_add(2_000)];
            for n in 0..8 {
                c.send(first == (n % 2 == 0), &record(900)[(n % 3) * 70..]);
            }
            assert!(show(&Parts { before, after: c.frames }, strict(), Some(WINDOW)).all_passed(), "{known} {first}");
        }
    }
}

/// Segments of a few connections near and far from where they are, windows opened and closed between them.
#[test]
fn whatever_comes_in_a_window_is_borne() {
    let mut state = 7u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let said =
        [EXPLOIT, BENIGN, ANSWER, b"", b"x", b"POST / HTTP/1.1\r\nContent-Length: 90\r\n\r\n", &[0x16, 3, 1, 0, 9, 1]];
    for _ in 0..60 {
        let mut c = Conversation::open(44_000, 80);
        let (seq, ack) = (c.seq[0], c.seq[1]);
        for _ in 0..80 {
            let far = [0, 0, 34, 200, 70_000, 0x7000_0000, 0xffff_fff0];
            let jump =
                |below: &mut dyn FnMut(u64) -> u64| u32::wrapping_add(far[below(7) as usize], below(3) as u32 * 34);
            let (a, b) = (seq.wrapping_add(jump(&mut below)), ack.wrapping_add(jump(&mut below)));
            let flags = [ACK, PSH | ACK, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, PSH][below(16).min(7) as usize];
            let payload = said[below(said.len() as u64) as usize];
            match below(2) {
                0 => c.segment(true, a, b, flags, payload),
                _ => c.segment(false, b, a, flags, payload),
            }
        }
        let frames = cut(&mut c);
        let at = below(frames.len() as u64) as usize;
        let parts = Parts { before: frames[..at].to_vec(), after: frames[at..].to_vec() };
        let window = [-1, 20_000, WINDOW][below(3) as usize];
        let seen = show(&parts, in_line(), Some(window));
        assert_eq!(seen.counters.of(Counter::Panics), 0);
        assert_eq!(
            seen.counters.of(Counter::FlowNew),
            seen.events.iter().filter(|e| e["event_type"] == "flow").count() as u64
        );
    }
}
