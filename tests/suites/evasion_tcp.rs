//! What an attacker does to TCP so that the engine reads another stream than the receiver, watching and in line.
//!
//! Watching, the rule must alert; in line, the bytes it looks for must not leave. A case that only one mode can hold says
//! why.

use engine::decode::{Decoder, Frame, LinkType, PortId};
use engine::flow::{KeySettings, Keyer};
use engine::types::{Cause, Counters, ExceptionPolicy, Limits, Timestamp};
use engine::worker::Config;
use harness::craft::{ACK, Conversation, Odd, PSH, RST, SYN, tcp4};
use harness::dialogue::TimedFrame;
use harness::engine::{in_line, ruleset, run, watching};

const URG: u8 = 0x20;
const REQUEST: &[u8] = b"GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n";
const RULE: &str = "drop http any any -> any any (msg:\"x\"; http.uri; content:\"/etc/passwd\"; sid:1;)";

fn held_back(frames: &[TimedFrame], config: Config) {
    let out = run(&ruleset(RULE).unwrap(), config, frames, 1);
    assert!(!out.leaked(b"/etc/passwd"), "{:?}", out.verdicts);
}

fn noticed(frames: &[TimedFrame], config: Config) {
    let out = run(&ruleset(&RULE.replace("drop", "alert")).unwrap(), config, frames, 1);
    assert_eq!(out.sids(), [1], "{:?}", out.events);
}

fn caught(c: &Conversation) {
    held_back(&c.frames, in_line());
    noticed(&c.frames, watching());
}

/// Client's SYN alone, and the numbers that follow it.
fn begun(port: u16) -> (Conversation, u32, u32) {
    let mut c = Conversation::open(port, 80);
    c.frames.truncate(1);
    let [seq, ack] = c.seq;
    (c, seq, ack)
}

/// A request in one segment, answered by an ACK.
fn request(c: &mut Conversation, seq: u32, ack: u32) {
    c.segment(true, seq, ack, PSH | ACK, REQUEST);
    c.segment(false, ack, seq + REQUEST.len() as u32, ACK, &[]);
    c.segment(true, seq + REQUEST.len() as u32, ack, ACK, &[]);
}

#[test]
fn a_decoy_with_a_wrong_checksum() {
    let mut c = Conversation::open(42_000, 80);
    let [seq, ack] = c.seq;
    c.odd(true, seq, ack, PSH | ACK, &[b'x'; 38], Odd { wrong_checksum: true, ..Odd::default() });
    request(&mut c, seq, ack);
    let mut config = in_line();
    config.decode.verify_checksums = true;
    held_back(&c.frames, config);
    let mut config = watching();
    config.decode.verify_checksums = true;
    noticed(&c.frames, config);
}

#[test]
fn a_request_within_a_fast_open_syn() {
    let (mut c, seq, ack) = begun(42_001);
    c.frames.clear();
    let cookie = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    c.odd(true, seq - 1, 0, SYN, REQUEST, Odd { options: &cookie, ..Odd::default() });
    let end = seq + REQUEST.len() as u32;
    c.segment(false, ack.wrapping_sub(1), end, SYN | ACK, &[]);
    c.segment(true, end, ack, ACK, &[]);
    c.segment(false, ack, end, ACK, &[]);
    caught(&c);
}

#[test]
fn a_split_handshake() {
    let (mut c, seq, ack) = begun(42_002);
    c.segment(false, ack.wrapping_sub(1), 0, SYN, &[]);
    c.segment(true, seq - 1, ack, SYN | ACK, &[]);
    c.segment(false, ack, seq, ACK, &[]);
    request(&mut c, seq, ack);
    caught(&c);
}

#[test]
fn a_split_handshake_that_begins_with_a_bare_ack() {
    let (mut c, seq, ack) = begun(42_003);
    c.segment(false, ack.wrapping_sub(40), seq, ACK, &[]);
    c.segment(false, ack.wrapping_sub(1), 0, SYN, &[]);
    c.segment(true, seq - 1, ack, SYN | ACK, &[]);
    c.segment(false, ack, seq, ACK, &[]);
    request(&mut c, seq, ack);
    caught(&c);
}

fn stamp(value: u32, echo: u32) -> [u8; 12] {
    let mut o = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0];
    o[4..8].copy_from_slice(&value.to_be_bytes());
    o[8..12].copy_from_slice(&echo.to_be_bytes());
    o
}

#[test]
fn a_decoy_with_an_old_timestamp() {
    let (mut c, seq, ack) = begun(42_004);
    c.frames.clear();
    let end = seq + REQUEST.len() as u32;
    let with = |value, echo, f: &mut dyn FnMut(Odd<'_>)| {
        let options = stamp(value, echo);
        f(Odd { options: &options, ..Odd::default() });
    };
    with(5_000, 0, &mut |o| c.odd(true, seq - 1, 0, SYN, &[], o));
    with(9_000, 5_000, &mut |o| c.odd(false, ack.wrapping_sub(1), seq, SYN | ACK, &[], o));
    with(5_001, 9_000, &mut |o| c.odd(true, seq, ack, ACK, &[], o));
    with(100, 9_000, &mut |o| c.odd(true, seq, ack, PSH | ACK, &[b'x'; 38], o));
    with(5_002, 9_000, &mut |o| c.odd(true, seq, ack, PSH | ACK, REQUEST, o));
    with(9_001, 5_002, &mut |o| c.odd(false, ack, end, ACK, &[], o));
    with(5_003, 9_001, &mut |o| c.odd(true, end, ack, ACK, &[], o));
    caught(&c);
}

/// Receivers take the urgent byte out of the stream (RFC 6093, 3.1): what is left is the request.
#[test]
fn an_urgent_byte_within_the_request() {
    let mut c = Conversation::open(42_005, 80);
    let [seq, ack] = c.seq;
    let sent = b"GET /etc/paXsswd HTTP/1.1\r\nHost: x\r\n\r\n";
    c.odd(true, seq, ack, PSH | ACK | URG, sent, Odd { urgent: 12, ..Odd::default() });
    let end = seq + sent.len() as u32;
    c.segment(false, ack, end, ACK, &[]);
    c.segment(true, end, ack, ACK, &[]);
    noticed(&c.frames, watching());
    let out = run(&ruleset(RULE).unwrap(), in_line(), &c.frames, 1);
    assert!(!out.leaked(b"paXsswd"), "{:?}", out.verdicts);
}

/// Only bytes after the loss can be told; a rule over the stream finds them.
#[test]
fn acknowledgement_of_bytes_that_never_passed_here() {
    let rules = "alert tcp any any -> any any (msg:\"x\"; content:\"/etc/passwd\"; sid:1;)";
    let mut c = Conversation::open(42_006, 80);
    let [seq, ack] = c.seq;
    c.segment(true, seq, ack, PSH | ACK, b"POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\n");
    c.segment(true, seq + 600, ack, PSH | ACK, b"GET /etc/");
    c.segment(false, ack, seq + 609, ACK, &[]);
    c.segment(true, seq + 609, ack, PSH | ACK, b"passwd HTTP/1.1\r\n\r\n");
    c.segment(false, ack, seq + 628, ACK, &[]);
    c.segment(true, seq + 628, ack, ACK, &[]);
    let out = run(&ruleset(rules).unwrap(), watching(), &c.frames, 1);
    assert_eq!(out.sids(), [1]);
}

/// A reset with a number the receiver does not wait for.
#[test]
fn a_reset_that_is_not_believed() {
    let mut c = Conversation::open(42_007, 80);
    let [seq, ack] = c.seq;
    c.segment(true, seq + 5_000, ack, RST, &[]);
    request(&mut c, seq, ack);
    caught(&c);
}

/// What finds no room is not forwarded: the receiver would keep it, and the rest would complete it.
#[test]
fn a_later_segment_that_finds_no_room() {
    let mut c = Conversation::open(42_008, 80);
    let [seq, ack] = c.seq;
    c.segment(true, seq + 9, ack, PSH | ACK, &REQUEST[9..]);
    c.segment(true, seq, ack, PSH | ACK, &REQUEST[..9]);
    let mut config = in_line();
    config.limits.stream_bytes_max = 16;
    let out = run(&ruleset(RULE).unwrap(), config, &c.frames, 1);
    assert!(!out.leaked(b"passwd"), "{:?}", out.verdicts);
    assert!(out.counters.of(engine::types::Counter::StreamMemcap) > 0);
}

#[test]
fn more_later_segments_than_are_held() {
    let mut c = Conversation::open(42_009, 80);
    let [seq, ack] = c.seq;
    for i in (1..REQUEST.len()).rev().step_by(2) {
        c.segment(true, seq + i as u32, ack, PSH | ACK, &REQUEST[i..i + 1]);
    }
    request(&mut c, seq, ack);
    let mut config = in_line();
    config.stream.segments_max = 4;
    held_back(&c.frames, config);
}

/// An MPTCP connection shares its bytes out over its paths, so that none carries the exploit whole. In line the second
/// path is refused, and the first carries all; where it is not, what it carries alone is found.
#[test]
fn a_multipath_subflow() {
    let (mut c, seq, ack) = begun(42_010);
    c.frames.clear();
    let join = [30, 12, 0x10, 1, 1, 2, 3, 4, 5, 6, 7, 8];
    c.odd(true, seq - 1, 0, SYN, &[], Odd { options: &join, ..Odd::default() });
    let answer = [30, 16, 0x10, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    c.odd(false, ack.wrapping_sub(1), seq, SYN | ACK, &[], Odd { options: &answer, ..Odd::default() });
    c.segment(true, seq, ack, ACK, &[]);
    request(&mut c, seq, ack);
    caught(&c);
    let event = "alert tcp any any -> any any (msg:\"x\"; stream-event:multipath_join; sid:2;)";
    let out = run(&ruleset(event).unwrap(), in_line(), &c.frames, 1);
    assert_eq!((out.sids().as_slice(), out.verdicts[0].is_forward()), ([2].as_slice(), false));
    let mut config = in_line();
    config.policies.set(Cause::StreamMultipath, ExceptionPolicy::Ignore).unwrap();
    let out = run(&ruleset(event).unwrap(), config.clone(), &c.frames, 1);
    assert_eq!((out.sids().as_slice(), out.verdicts[0].is_forward()), ([2].as_slice(), true));
    held_back(&c.frames, config);
    let out = run(&ruleset(event).unwrap(), watching(), &c.frames, 1);
    assert_eq!((out.sids().as_slice(), out.verdicts[0].is_forward()), ([2].as_slice(), true));
}

/// What begins such a connection is not refused: its first path.
#[test]
fn a_connection_that_could_be_multipath() {
    let (mut c, seq, ack) = begun(42_021);
    c.frames.clear();
    c.odd(true, seq - 1, 0, SYN, &[], Odd { options: &[30, 4, 0x01, 0x81], ..Odd::default() });
    c.segment(false, ack.wrapping_sub(1), seq, SYN | ACK, &[]);
    c.segment(true, seq, ack, ACK, &[]);
    let out = run(&ruleset(RULE).unwrap(), in_line(), &c.frames, 1);
    assert!(out.verdicts.iter().all(|v| v.is_forward()), "{:?}", out.verdicts);
    request(&mut c, seq, ack);
    caught(&c);
}

/// In line what goes on after the flow's time-out has no known beginning. Watching it is lost, as it is to others.
#[test]
fn idle_past_the_time_out_and_then_finish() {
    let mut c = Conversation::open(42_011, 80);
    let [seq, ack] = c.seq;
    c.segment(true, seq, ack, PSH | ACK, &REQUEST[..9]);
    let mut late = Conversation::open(42_011, 80);
    late.frames.clear();
    late.segment(true, seq + 9, ack, PSH | ACK, &REQUEST[9..]);
    late.frames.iter_mut().for_each(|f| f.micros += 700_000_000);
    c.frames.append(&mut late.frames);
    let out = run(&ruleset(RULE).unwrap(), in_line(), &c.frames, 1);
    assert!(!out.leaked(b"passwd"), "{:?}", out.verdicts);
}

#[test]
fn a_flood_that_evicts_the_flow() {
    let mut c = Conversation::open(42_012, 80);
    let [seq, ack] = c.seq;
    c.segment(true, seq, ack, PSH | ACK, &REQUEST[..9]);
    for port in 1_000..1_400 {
        let other = Conversation::open(port, 80);
        c.frames.extend(other.frames);
    }
    c.segment(true, seq + 9, ack, PSH | ACK, &REQUEST[9..]);
    let mut config = in_line();
    config.limits.flows_max = 64;
    let out = run(&ruleset(RULE).unwrap(), config, &c.frames, 1);
    assert!(out.counters.of(engine::types::Counter::FlowNew) >= 400);
    assert!(!out.leaked(b"passwd"), "{:?}", out.verdicts);
}

/// A direction longer than is reassembled, all of it before the request.
fn behind_a_long_body() -> Conversation {
    let mut c = Conversation::open(42_013, 80);
    c.send(true, b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n");
    for _ in 0..40 {
        c.send(true, &[b'a'; 1000]);
        c.ack(false);
    }
    c.send(false, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    c.ack(true);
    c.send(true, REQUEST);
    c.ack(false);
    c.ack(true);
    c
}

#[test]
fn behind_a_long_transaction_of_the_same_connection() {
    let c = behind_a_long_body();
    for depth in [4_096, 20_000, 0] {
        let mut config = in_line();
        config.stream.depth = depth;
        held_back(&c.frames, config);
        let mut config = watching();
        config.stream.depth = depth;
        noticed(&c.frames, config);
    }
}

/// An operator may want the depth to end it all.
#[test]
fn a_depth_that_ends_all() {
    let mut config = watching();
    (config.stream.depth, config.stream.depth_ends_all) = (4_096, true);
    let rules = ruleset(&RULE.replace("drop", "alert")).unwrap();
    assert_eq!(run(&rules, config, &behind_a_long_body().frames, 1).sids(), [] as [u64; 0]);
}

#[test]
fn the_thousandth_pipelined_request() {
    let mut c = Conversation::open(42_014, 80);
    for _ in 0..100 {
        c.send(true, &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10));
        c.ack(false);
    }
    c.send(true, REQUEST);
    c.ack(false);
    c.ack(true);
    let mut config = in_line();
    config.stream.depth = 4_096;
    held_back(&c.frames, config);
    let mut config = watching();
    config.stream.depth = 4_096;
    noticed(&c.frames, config);
}

const RAW: &str = "drop tcp any any -> any any (msg:\"x\"; content:\"/etc/passwd\"; sid:1;)";

fn caught_by(rule: &str, c: &Conversation, needle: &[u8]) {
    let out = run(&ruleset(rule).unwrap(), in_line(), &c.frames, 1);
    assert!(!out.leaked(needle), "{:?}", out.verdicts);
    let out = run(&ruleset(&rule.replace("drop", "alert")).unwrap(), watching(), &c.frames, 1);
    assert_eq!(out.sids(), [1], "{:?}", out.events);
}

/// Whole in one segment, whose predecessor comes later or never.
#[test]
fn an_exploit_ahead_of_a_hole() {
    let mut c = Conversation::open(42_015, 80);
    let [seq, ack] = c.seq;
    c.segment(true, seq + 100, ack, PSH | ACK, REQUEST);
    caught_by(RAW, &c, b"passwd");
    c.segment(true, seq, ack, PSH | ACK, &[b'x'; 100]);
    c.segment(false, ack, seq + 100 + REQUEST.len() as u32, ACK, &[]);
    c.ack(true);
    caught_by(RAW, &c, b"passwd");
}

/// A byte of it came before, so that what is held of it lies in pieces.
#[test]
fn an_exploit_ahead_of_a_hole_in_pieces() {
    let mut c = Conversation::open(42_016, 80);
    let [seq, ack] = c.seq;
    c.segment(true, seq + 108, ack, PSH | ACK, &REQUEST[8..9]);
    c.segment(true, seq + 100, ack, PSH | ACK, REQUEST);
    caught_by(RAW, &c, b"passwd");
}

/// The first half is held ahead of the hole, the second continues it there.
#[test]
fn an_exploit_over_segments_ahead_of_a_hole() {
    let mut c = Conversation::open(42_017, 80);
    let [seq, ack] = c.seq;
    c.segment(true, seq + 100, ack, PSH | ACK, &REQUEST[..9]);
    c.segment(true, seq + 109, ack, PSH | ACK, &REQUEST[9..]);
    caught_by(RAW, &c, b"passwd");
}

/// What waits for the rest of the stream in order is not decided by bytes ahead of a hole.
#[test]
fn a_decoy_ahead_of_a_hole_while_a_rule_waits() {
    let rule = "drop tcp any any -> any any (msg:\"x\"; content:\"first half\"; content:\"other half\"; distance:2; \
                within:10; sid:1;)";
    let mut c = Conversation::open(42_018, 80);
    let [seq, ack] = c.seq;
    c.segment(true, seq, ack, PSH | ACK, b"the first half");
    c.segment(true, seq + 30, ack, PSH | ACK, b"the first half and nothing else");
    c.segment(true, seq + 14, ack, PSH | ACK, b"--other half----");
    c.segment(false, ack, seq + 61, ACK, &[]);
    caught_by(rule, &c, b"other");
}

/// In line a rule that only alerts tells of such bytes when they pass, and not again when the hole is filled.
#[test]
fn ahead_of_a_hole_is_told_once() {
    let mut c = Conversation::open(42_019, 80);
    let [seq, ack] = c.seq;
    c.segment(true, seq + 100, ack, PSH | ACK, REQUEST);
    c.segment(true, seq, ack, PSH | ACK, &[b'x'; 100]);
    c.segment(true, seq + 100 + REQUEST.len() as u32, ack, PSH | ACK, b"GET /etc/passwd again");
    let out = run(&ruleset(&RAW.replace("drop", "alert")).unwrap(), in_line(), &c.frames, 1);
    assert_eq!(out.sids(), [1, 1]);
    let numbers: Vec<_> = out.of("alert").map(|e| e["pcap_cnt"].as_u64()).collect();
    assert_eq!(numbers, [Some(4), Some(6)]);
}

/// Tuples chosen for one place of the flow table by someone who knows its key find no exploit hidden behind them, and
/// under a key that nobody knows they spread.
#[test]
fn traffic_aimed_at_one_place_of_the_flow_table() {
    let seeds = [watching().seed, [0x0123_4567, 0x89ab_cdef]];
    let keyers = seeds.map(|seed| Keyer::new(seed, KeySettings::default()));
    let place = |keyer: &Keyer, frame: &[u8]| {
        let mut decoder = Decoder::new(watching().decode, &Limits::default());
        let (mut packets, mut counters) = (Vec::new(), Counters::default());
        let port = PortId(0);
        let (ts, wire_len) = (Timestamp::ZERO, frame.len() as u32);
        let frame = Frame { ts, number: 1, link: LinkType::ETHERNET, port, data: frame, wire_len };
        decoder.decode(&frame, 0, &mut packets, &mut counters);
        packets.first().and_then(|(_, p)| keyer.keyed(p)).map_or(0, |k| k.hash & 0xff)
    };
    let syn = |n: u16| tcp4(([198, 51, 100, 9], n), ([10, 77, 0, 10], 80), 7, 0, SYN, &[], true);
    let aimed: Vec<Vec<u8>> = (1..u16::MAX).map(syn).filter(|f| place(&keyers[0], f) == 0).collect();
    assert!(aimed.len() > 200, "{}", aimed.len());
    let elsewhere: std::collections::BTreeSet<u64> = aimed.iter().map(|f| place(&keyers[1], f)).collect();
    assert!(elsewhere.len() > 100, "{}", elsewhere.len());
    let mut c = Conversation::open(42_020, 80);
    let [seq, ack] = c.seq;
    let at = c.frames.last().map_or(0, |f| f.micros);
    c.frames.extend(aimed.into_iter().map(|data| TimedFrame { micros: at, to_server: true, data }));
    request(&mut c, seq, ack);
    caught(&c);
}

/// Bytes that were never acknowledged, with holes between them, are read when their flow ends: behind so many holes.
#[test]
fn holes_at_the_end_of_a_flow() {
    let rule = "alert tcp any any -> any any (msg:\"x\"; content:\"last\"; sid:1;)";
    let rules = ruleset(rule).unwrap();
    for (holes, found) in [(64, vec![1]), (65, vec![])] {
        let mut c = Conversation::open(42_090, 80);
        let [mut seq, ack] = c.seq;
        let head = b"POST /f HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nbody";
        c.segment(true, seq, ack, PSH | ACK, head);
        seq += head.len() as u32;
        for hole in 1..=holes {
            let piece: &[u8] = if hole == holes { b"last" } else { b"more" };
            c.segment(true, seq + 1, ack, PSH | ACK, piece);
            seq += 1 + piece.len() as u32;
        }
        assert_eq!(run(&rules, watching(), &c.frames, 1).sids(), found, "{holes}");
    }
}
