//! Flows that need nobody's eyes are told of, so that the device can bypass or drop them by itself; what they were told
//! for ends with the rules that gave the reason, and with the connection.

use engine::decode::PortId;
use engine::flow::Carried;
use engine::types::{Cause, Counter, Direction, ExceptionPolicy, PerDirection};
use engine::worker::{Config, Porter, Relief};
use harness::bench::Bench;
use harness::case_frames::fragment;
use harness::craft::{ACK, Conversation, PSH, SYN, udp};
use harness::dialogue::{CLIENT, SERVER, TimedFrame};
use harness::engine::in_line;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

const BYPASS: &str = "pass http any any -> any any (msg:\"x\"; http.uri; content:\"/trusted\"; bypass; sid:1;)\n";
const DROP: &str = "drop http any any -> any any (msg:\"x\"; http.uri; content:\"/exploit\"; sid:2;)\n";
const ALL: &str = "drop ip any any -> any any (msg:\"x\"; sid:3;)\n";
const EXPLOIT: &[u8] = b"GET /exploit HTTP/1.1\r\nHost: h\r\n\r\n";
const TRUSTED: &[u8] = b"GET /trusted HTTP/1.1\r\nHost: h\r\n\r\n";

fn offloading(text: &str) -> Bench {
    Bench::of(text, Config { offload: true, ..in_line() })
}

fn reliefs(b: &Bench) -> Vec<Relief> {
    b.out.offloads.iter().map(|n| n.relief).collect()
}

fn trusted(port: u16) -> Conversation {
    let mut c = Conversation::open(port, 80);
    c.send(true, TRUSTED);
    c
}

#[test]
fn each_direction_of_a_bypassed_flow_is_told_of_as_it_comes_in() {
    let mut b = offloading(BYPASS);
    let mut c = trusted(45_000);
    b.give(&mut c.frames);
    let ends: Vec<_> = b.out.offloads.iter().map(|n| (n.tuple.src, n.tuple.sport, n.port, n.relief, n.epoch)).collect();
    let way = |a: [u8; 4], port, n| (IpAddr::from(a), port, PortId(n), Relief::Bypass, 1);
    assert_eq!(ends, [way(CLIENT, 45_000, 0), way(SERVER, 80, 1)]);
    assert!(b.out.offloads.iter().all(|n| n.flow_id == b.out.offloads[0].flow_id && n.vlan.len == 0));
    // Those under way bring no more, and those that go on coming one now and then.
    let seq = c.seq;
    (0..64).for_each(|_| c.segment(true, seq[0], seq[1], PSH | ACK, b"more"));
    b.give(&mut c.frames);
    assert!(b.out.offloads.is_empty());
    c.segment(true, seq[0], seq[1], PSH | ACK, b"more");
    b.give(&mut c.frames);
    assert_eq!(reliefs(&b), [Relief::Bypass]);
}

#[test]
fn a_condemned_flow_is_told_of() {
    let mut b = offloading(DROP);
    let mut c = Conversation::open(45_001, 80);
    c.send(true, EXPLOIT);
    b.give(&mut c.frames);
    assert_eq!(reliefs(&b), [Relief::Drop, Relief::Drop]);
    assert_eq!(b.worker.counters().of(Counter::DropFlow), 1);
}

#[test]
fn nobody_is_told_who_did_not_ask_or_only_watches() {
    for config in [in_line(), Config { offload: true, ..harness::engine::watching() }] {
        let mut b = Bench::of(&[BYPASS, DROP].concat(), config);
        let mut c = trusted(45_002);
        c.send(true, b"more");
        b.give(&mut c.frames);
        assert!(b.out.offloads.is_empty());
    }
}

#[test]
fn the_beginning_and_the_end_of_a_connection_are_no_occasion() {
    let mut b = offloading(BYPASS);
    let mut c = trusted(45_003);
    c.frames.pop();
    c.frames.pop();
    let before = c.frames.len();
    c.seq[0] -= TRUSTED.len() as u32;
    let seq = c.seq;
    // The request's own segment ends the connection.
    c.segment(true, seq[0], seq[1], PSH | ACK | 1, TRUSTED);
    assert_eq!(c.frames.len(), before + 1);
    b.give(&mut c.frames);
    assert!(b.out.offloads.is_empty());
}

#[test]
fn what_a_simple_reader_does_not_know_is_not_told_of() {
    let whole = udp(true, 45_004, 5_000, 1_700_000_000_000_000, &[7; 90]);
    let mut b = offloading(ALL);
    b.give(&mut vec![whole.clone()]);
    assert_eq!(reliefs(&b), [Relief::Drop]);
    let mut b = offloading(ALL);
    let pieces = fragment(&whole.data, 48);
    let mut frames: Vec<_> = pieces.into_iter().map(|data| TimedFrame { data, ..whole.clone() }).collect();
    b.give(&mut frames);
    assert!(b.verdicts.iter().any(|v| !v.is_forward()));
    assert!(b.out.offloads.is_empty());
    // Tagged once it is told of, with its tag; tagged three times it is not.
    for (tags, expected) in [(1usize, 1), (2, 1), (3, 0)] {
        let mut b = offloading(BYPASS);
        let mut c = trusted(45_005);
        for f in &mut c.frames {
            for id in 0..tags {
                f.data.splice(12..12, [0x81, 0, 0, 7 + id as u8]);
            }
        }
        c.frames.pop();
        b.give(&mut c.frames);
        assert_eq!(b.out.offloads.len(), expected, "{tags}");
        assert!(b.out.offloads.iter().all(|n| n.vlan.ids().len() == tags && n.vlan.ids().contains(&7)));
    }
}

/// A conversation that no protocol claims.
fn unknown(port: u16, server_port: u16) -> Conversation {
    let mut c = Conversation::open(port, server_port);
    c.send(true, b"\x00\x01something of its own");
    c.send(false, b"\x00\x02and the answer");
    c.send(true, b"\x00\x03more");
    c
}

#[test]
fn a_flow_in_which_nothing_can_match_is_let_go() {
    let mut b = offloading(DROP);
    b.give(&mut unknown(45_006, 7_000).frames);
    assert_eq!(reliefs(&b), [Relief::Bypass, Relief::Bypass]);
    assert_eq!(b.worker.counters().of(Counter::BypassedFlows), 1);
    // Not one of a protocol, nor where somebody has a rule about the port, the addresses, any packet or any event.
    for more in [
        "alert tcp any any -> any 7000 (msg:\"x\"; content:\"abc\"; sid:9;)\n",
        "alert tcp any 7000 -> any any (msg:\"x\"; content:\"abc\"; sid:9;)\n",
        "alert tcp any any -> any any (msg:\"x\"; flags:R; sid:9;)\n",
        "alert ip any any -> 10.77.0.10 any (msg:\"x\"; dsize:9; sid:9;)\n",
        "alert tcp any any -> any any (msg:\"x\"; stream-event:est_packet_out_of_window; sid:9;)\n",
    ] {
        let mut b = offloading(&[DROP, more].concat());
        b.give(&mut unknown(45_007, 7_000).frames);
        assert!(b.out.offloads.is_empty(), "{more}");
    }
    let mut b = offloading(DROP);
    let mut c = Conversation::open(45_008, 80);
    c.send(true, b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
    c.send(false, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    b.give(&mut c.frames);
    assert!(b.out.offloads.is_empty());
}

#[test]
fn what_may_carry_packets_of_others_is_not_let_go() {
    for (port, carried) in [(7_000, true), (4_789, false), (6_081, false), (3_544, false)] {
        let mut b = offloading(DROP);
        let talk = |to_server, n: i64| udp(to_server, 45_009, port, 1_700_000_000_000_000 + n, &[7; 90]);
        b.give(&mut (0..6).map(|n| talk(n % 2 == 0, n)).collect());
        assert_eq!(b.out.offloads.is_empty(), !carried, "{port}");
    }
}

#[test]
fn other_rules_end_a_bypass_that_rules_gave() {
    let mut b = offloading(BYPASS);
    let mut c = trusted(45_009);
    b.give(&mut c.frames);
    c.send(true, EXPLOIT);
    b.give(&mut c.frames);
    assert!(b.verdicts.iter().all(|v| v.is_forward()));
    // The same rules again: told anew, under their epoch.
    b.adopt(&[BYPASS, DROP].concat(), 2);
    c.send(false, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    c.send(true, TRUSTED);
    b.give(&mut c.frames);
    assert!(b.verdicts.iter().all(|v| v.is_forward()));
    assert!(!b.out.offloads.is_empty() && b.out.offloads.iter().all(|n| n.epoch == 2));
    // Segments that nobody saw go by in between.
    c.seq = [c.seq[0] + 90_000, c.seq[1].wrapping_add(1_000_000)];
    b.adopt(DROP, 3);
    c.send(false, &[b'x'; 900]);
    c.send(true, b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
    b.give(&mut c.frames);
    assert!(b.verdicts.iter().all(|v| v.is_forward()), "{:?}", b.verdicts);
    assert!(b.out.offloads.is_empty());
    c.send(true, EXPLOIT);
    b.give(&mut c.frames);
    assert!(!b.verdicts[0].is_forward());
    assert_eq!(reliefs(&b), [Relief::Drop, Relief::Drop]);
}

#[test]
fn a_tuple_used_anew_is_another_flow() {
    for flags in [1u8, 4] {
        let mut b = offloading(&[BYPASS, DROP].concat());
        let mut c = trusted(45_010);
        b.give(&mut c.frames);
        let seq = c.seq;
        c.segment(true, seq[0], seq[1], flags | ACK, &[]);
        c.segment(false, seq[1], seq[0] + 1, 1 | ACK, &[]);
        b.give(&mut c.frames);
        anew(&mut c);
        c.send(true, EXPLOIT);
        b.give(&mut c.frames);
        assert!(!b.verdicts[3].is_forward(), "{:?}", b.verdicts);
    }
}

/// A SYN of the client's, and what follows of it.
fn anew(c: &mut Conversation) {
    syn(c);
    answered(c);
}

fn syn(c: &mut Conversation) {
    c.seq = [5_000_000, 77];
    c.segment(true, c.seq[0], 0, SYN, &[]);
    c.seq[0] += 1;
}

fn answered(c: &mut Conversation) {
    c.segment(false, c.seq[1], c.seq[0], SYN | ACK, &[]);
    c.seq[1] += 1;
    c.ack(true);
}

#[test]
fn a_tuple_used_anew_of_which_no_end_was_seen_is_looked_at() {
    let mut b = offloading(&[BYPASS, DROP].concat());
    let mut c = trusted(45_011);
    b.give(&mut c.frames);
    anew(&mut c);
    c.send(true, EXPLOIT);
    b.give(&mut c.frames);
    assert!(b.verdicts[..3].iter().all(|v| v.is_forward()) && !b.verdicts[3].is_forward(), "{:?}", b.verdicts);
}

#[test]
fn nobody_is_told_of_what_a_syn_of_the_same_batch_ends() {
    let mut b = offloading(&[BYPASS, DROP].concat());
    let mut c = Conversation::open(45_013, 80);
    let seq = c.seq;
    c.segment(false, seq[1], seq[0], 1 | ACK, &[]);
    b.give(&mut c.frames);
    c.send(true, TRUSTED);
    c.frames.truncate(1);
    syn(&mut c);
    b.give(&mut c.frames);
    assert!(b.passed() && b.out.offloads.is_empty(), "{:?} {:?}", b.verdicts, reliefs(&b));
    answered(&mut c);
    c.send(true, EXPLOIT);
    b.give(&mut c.frames);
    assert!(!b.verdicts[2].is_forward(), "{:?}", b.verdicts);
}

#[test]
fn a_syn_that_nobody_answers_ends_no_connection() {
    let mut b = offloading(&[BYPASS, DROP].concat());
    let mut c = trusted(45_012);
    b.give(&mut c.frames);
    let seq = c.seq;
    c.segment(true, 5_000_000, 0, SYN, &[]);
    c.seq = seq;
    c.send(true, b"more of what was trusted");
    c.send(false, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    c.send(true, b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
    b.give(&mut c.frames);
    assert!(b.passed(), "{:?}", b.verdicts);
    // It is looked at from now on, and not trusted for what it was.
    c.send(true, EXPLOIT);
    b.give(&mut c.frames);
    assert!(!b.verdicts[0].is_forward());
}

/// What a device has carried of one flow: remembers who was released.
#[derive(Clone, Default)]
struct Shoulders(Arc<Mutex<Vec<u64>>>);

impl Porter for Shoulders {
    fn release(&mut self, flow_id: u64) -> PerDirection<Carried> {
        self.0.lock().unwrap().push(flow_id);
        PerDirection { to_server: Carried { frames: 1, bytes: 60 }, to_client: Carried { frames: 10, bytes: 9_000 } }
    }
}

/// Raw rules see 64 KiB of a direction.
fn shallow(text: &str) -> Bench {
    let mut config = Config { offload: true, ..in_line() };
    config.stream.depth = 64 << 10;
    for cause in [Cause::StreamMidstream, Cause::StreamGap, Cause::StreamInvalid, Cause::ApplayerError] {
        let _ = config.policies.set(cause, ExceptionPolicy::DropFlow);
    }
    Bench::of(text, config)
}

/// A request, and the beginning of a long answer to it.
fn download(port: u16, body: u32) -> Conversation {
    let mut c = Conversation::open(port, 80);
    c.send(true, b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    c.send(false, format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n").as_bytes());
    c
}

const BODY: u32 = 4_000_000;

/// The conversation with so much of the body sent; where the body ends.
fn into_the_body(b: &mut Bench, port: u16, sent: u32) -> (Conversation, u32) {
    let mut c = download(port, BODY);
    let end = c.seq[1].wrapping_add(BODY);
    for _ in 0..sent / 1_000 {
        c.send(false, &[b'z'; 1_000]);
    }
    b.give(&mut c.frames);
    assert!(b.passed(), "{:?}", b.verdicts);
    (c, end)
}

#[test]
fn a_long_body_is_told_of_up_to_its_end_and_acknowledgements_with_it() {
    let mut b = shallow(DROP);
    let (mut c, end) = into_the_body(&mut b, 45_020, 60_000);
    assert!(b.out.offloads.is_empty());
    for _ in 0..200 {
        c.send(false, &[b'z'; 1_000]);
    }
    b.give(&mut c.frames);
    assert_eq!(reliefs(&b)[..2], [Relief::BypassUntil(end), Relief::BypassUntil(c.seq[0])]);
    assert!(b.out.offloads[0].direction == Direction::ToClient && b.out.offloads[1].direction == Direction::ToServer);
    // Neither while rules may log its packets, nor of what is too short to be worth it.
    let tag =
        "alert http any any -> any any (msg:\"x\"; http.uri; content:\"/big\"; tag:session,100000,packets; sid:8;)\n";
    let mut b = shallow(&[DROP, tag].concat());
    into_the_body(&mut b, 45_021, 400_000);
    assert!(b.out.offloads.is_empty());
    let mut b = shallow(DROP);
    into_the_body(&mut b, 45_022, BODY - 60_000);
    assert!(!b.out.offloads.is_empty());
    let mut b = shallow(DROP);
    let mut c = download(45_023, 130_000);
    (0..130).for_each(|_| {
        c.send(false, &[b'z'; 1_000]);
    });
    b.give(&mut c.frames);
    assert!(b.out.offloads.is_empty());
}

#[test]
fn what_its_receiver_has_not_acknowledged_is_not_let_go() {
    let mut config = Config { offload: true, ..in_line() };
    config.stream.depth = 8 << 10;
    config.proto.http.response_body_limit = 8 << 10;
    let mut b = Bench::of(DROP, config);
    let mut c = download(45_024, BODY);
    c.frames.pop();
    b.give(&mut c.frames);
    // The head of the answer might be sent anew, in another form.
    (0..40).for_each(|_| c.send(false, &[b'z'; 1_000]));
    c.frames.retain(|f| !f.to_server);
    b.give(&mut c.frames);
    assert!(b.passed() && b.out.offloads.is_empty());
    c.ack(true);
    c.send(false, &[b'z'; 1_000]);
    b.give(&mut c.frames);
    assert!(matches!(reliefs(&b)[..], [Relief::BypassUntil(_), Relief::BypassUntil(_)]));
}

#[test]
fn behind_a_body_that_went_by_unseen_the_next_message_is_inspected() {
    // How much of the body comes up again before its end, and what the first frame behind it brings.
    for (again, straddles) in [(0, false), (0, true), (3_000, false), (3_000, true)] {
        for first in ["request", "answer", "ack"] {
            let mut b = shallow(DROP);
            let shoulders = Shoulders::default();
            b.worker.set_porter(Box::new(shoulders.clone()));
            let (mut c, end) = into_the_body(&mut b, 45_030, 300_000);
            assert!(!b.out.offloads.is_empty());
            c.seq[1] = end.wrapping_sub(again);
            (0..again / 1_000).for_each(|_| c.send(false, &[b'z'; 1_000]));
            c.seq[1] = end;
            let answer = b"HTTP/1.1 204 No\r\n\r\n";
            match (first, straddles) {
                ("answer", false) => {
                    // Out of turn, but behind the body.
                    c.send(false, answer);
                }
                ("answer", true) => {
                    c.seq[1] = end.wrapping_sub(500);
                    c.send(false, &[&[b'z'; 500][..], answer].concat());
                }
                ("ack", _) => c.ack(true),
                _ => {}
            }
            c.send(true, b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
            b.give(&mut c.frames);
            assert!(b.passed(), "{again} {straddles} {first}: {:?}", b.verdicts);
            c.send(false, answer);
            c.send(true, EXPLOIT);
            b.give(&mut c.frames);
            assert!(!b.verdicts.last().unwrap().is_forward(), "{again} {straddles} {first}");
            assert_eq!(b.count(Counter::AppParserErrors), 0);
            assert_eq!(shoulders.0.lock().unwrap().len(), 1);
            b.worker.finish(&mut b.out);
            let events = b.events();
            let flow = events.iter().find(|e| e["event_type"] == "flow").unwrap();
            assert_eq!(flow["flow"]["bypassed"]["pkts_toclient"], 20, "{flow}");
            assert_eq!(flow["flow"]["bypass"], "capture");
            assert!(flow["flow"]["bytes_toclient"].as_u64().unwrap() > 318_000, "{flow}");
            assert!(events.iter().any(|e| e["event_type"] == "http" && e["http"]["length"] == BODY), "{events:?}");
            assert!(events.iter().any(|e| e["alert"]["signature_id"] == 2));
        }
    }
}

#[test]
fn what_went_by_counts_for_rules_about_the_whole_flow() {
    // More than came up, and less than went by in all.
    let heavy = "drop tcp any any -> any 80 (msg:\"x\"; dsize:>0; flow.bytes_toclient:>320000; sid:7;)\n";
    for carried in [true, false] {
        let mut b = shallow(heavy);
        if carried {
            b.worker.set_porter(Box::new(Shoulders::default()));
        }
        let (mut c, end) = into_the_body(&mut b, 45_035, 300_000);
        c.seq[1] = end;
        c.send(true, b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
        b.give(&mut c.frames);
        assert_eq!(b.passed(), !carried, "{:?}", b.verdicts);
    }
}

#[test]
fn an_upload_is_let_go_and_the_next_request_is_inspected() {
    let mut b = shallow(DROP);
    let mut c = Conversation::open(45_040, 80);
    c.send(true, format!("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY}\r\n\r\n").as_bytes());
    let end = c.seq[0].wrapping_add(BODY - 300_000);
    (0..300).for_each(|_| {
        c.send(true, &[b'u'; 1_000]);
    });
    let end = end.wrapping_add(300_000);
    b.give(&mut c.frames);
    assert_eq!(reliefs(&b)[0], Relief::BypassUntil(end));
    c.seq[0] = end.wrapping_sub(7);
    c.send(true, &[b"uuuuuuu", EXPLOIT].concat());
    b.give(&mut c.frames);
    assert!(!b.verdicts[0].is_forward());
    assert_eq!(b.worker.counters().of(Counter::StreamGaps), 0);
}

#[test]
fn other_rules_see_the_rest_of_a_flow_whose_body_is_carried() {
    let mut b = shallow(BYPASS);
    let (mut c, end) = into_the_body(&mut b, 45_041, 300_000);
    b.adopt(DROP, 2);
    c.seq[1] = end.wrapping_sub(1_000_000);
    (0..100).for_each(|_| {
        c.send(false, &[b'z'; 1_000]);
    });
    b.give(&mut c.frames);
    assert!(b.passed() && b.out.offloads.iter().any(|o| o.epoch == 2), "{:?}", b.out.offloads);
    c.seq[1] = end;
    c.send(true, EXPLOIT);
    b.give(&mut c.frames);
    assert!(!b.verdicts[0].is_forward());
}

#[test]
fn a_batch_tells_of_so_many_and_the_next_of_others() {
    let mut b = offloading(ALL);
    let datagrams =
        |n: u16| (0..n).map(|i| udp(true, 20_000 + i, 5_000, 1_700_000_000_000_000, b"bad")).collect::<Vec<_>>();
    b.give(&mut datagrams(100));
    assert_eq!(b.out.offloads.len(), 64);
    b.give(&mut datagrams(100));
    assert_eq!(b.out.offloads.len(), 36);
}
