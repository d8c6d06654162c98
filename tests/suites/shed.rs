//! Under load inspection is left out by levels: which flows each means, that none touches a flow's beginning, and that a
//! flow is inspected again when its level is over.

use engine::types::{Cause, Counter, ExceptionPolicy, Shed};
use engine::worker::Config;
use harness::bench::Bench;
use harness::craft::{ACK, Conversation, FIN, ISN, PSH, SYN};
use harness::engine::in_line;

const RULES: &str = "drop http any any -> any any (msg:\"x\"; http.uri; content:\"/exploit\"; sid:1;)\n";
const EXPLOIT: &[u8] = b"GET /exploit HTTP/1.1\r\nHost: h\r\n\r\n";
const PAGE: &[u8] = b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n";

/// Depth 64 KiB; whatever is odd about a stream is dropped.
fn strict() -> Config {
    let mut config = in_line();
    config.stream.depth = 64 << 10;
    for cause in [Cause::StreamMidstream, Cause::StreamGap, Cause::StreamInvalid, Cause::ApplayerError] {
        let _ = config.policies.set(cause, ExceptionPolicy::DropFlow);
    }
    config
}

/// A request and so long an answer.
fn exchange(c: &mut Conversation, body: usize) {
    c.send(true, PAGE);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n");
    let answer = [head.as_bytes(), &vec![b'a'; body]].concat();
    answer.chunks(1_400).for_each(|piece| c.send(false, piece));
}

/// A connection that has carried so much, all of it inspected.
fn spoken(b: &mut Bench, port: u16, body: usize) -> Conversation {
    let mut c = Conversation::open(port, 80);
    exchange(&mut c, body);
    b.give(&mut c.frames);
    assert!(b.passed());
    c
}

/// The exploit as the connection's next request passes.
fn exploit_passes(b: &mut Bench, c: &mut Conversation) -> bool {
    c.send(true, EXPLOIT);
    c.frames.truncate(1);
    b.give(&mut c.frames);
    b.passed()
}

#[test]
fn each_level_means_its_flows_and_no_others() {
    for (level, bulk, long, short) in [
        (Shed::Nothing, false, false, false),
        (Shed::Bulk, true, false, false),
        (Shed::Costly, true, false, false),
        (Shed::AllButBeginnings, true, true, false),
    ] {
        let mut b = Bench::of(RULES, strict());
        let mut flows = [(1, 200_000), (2, 30_000), (3, 3_000)].map(|(n, body)| spoken(&mut b, 46_000 + n, body));
        b.worker.shed(level);
        for (c, passes) in flows.iter_mut().zip([bulk, long, short]) {
            assert_eq!(exploit_passes(&mut b, c), passes, "{level:?}");
        }
        let shed = u64::from(bulk) + u64::from(long);
        assert_eq!((b.count(Counter::ShedFlows), b.count(Counter::ShedPackets)), (shed, shed));
        assert_eq!((b.count(Counter::ShedBulk), b.count(Counter::ShedRest)), (u64::from(bulk), u64::from(long)));
        // The bytes of a flow that begins under load are inspected as ever.
        let mut c = Conversation::open(46_004, 80);
        assert!(!{
            b.give(&mut c.frames);
            exploit_passes(&mut b, &mut c)
        });
    }
}

#[test]
fn flows_that_cost_much_go_before_those_that_cost_little() {
    // Asked about each packet to port 81.
    let costly: String = (0..40)
        .map(|i| {
            format!(
                "alert tcp any any -> any 81 (msg:\"x\"; flow:to_server; dsize:>0; flowbits:isset,no{i}; sid:{};)\n",
                10 + i
            )
        })
        .collect();
    let mut b = Bench::of(&[RULES, &costly].concat(), strict());
    let mut cheap = (0..4).map(|n| spoken(&mut b, 46_100 + n, 40_000)).last().unwrap();
    let mut dear = Conversation::open(46_104, 81);
    (0..200).for_each(|_| dear.send(true, &[b'x'; 120]));
    b.give(&mut dear.frames);
    for level in [Shed::Bulk, Shed::Costly] {
        b.worker.shed(level);
        dear.send(true, b"y");
        b.give(&mut dear.frames);
        cheap.send(true, PAGE);
        b.give(&mut cheap.frames);
        assert_eq!(b.count(Counter::ShedCostly), if level == Shed::Costly { 2 } else { 0 });
        assert_eq!(b.count(Counter::ShedPackets), b.count(Counter::ShedCostly));
    }
}

#[test]
fn a_flow_is_inspected_again_when_its_level_is_over() {
    for missed in [0usize, 1_400, 400_000] {
        let mut b = Bench::of(RULES, strict());
        let mut c = spoken(&mut b, 46_200, 200_000);
        b.worker.shed(Shed::AllButBeginnings);
        exchange(&mut c, missed);
        c.send(true, PAGE);
        b.give(&mut c.frames);
        assert!(b.passed());
        // In the midst of an answer.
        b.worker.shed(Shed::Nothing);
        (0..3).for_each(|_| c.send(false, &[b'z'; 1_000]));
        exchange(&mut c, 9_000);
        b.give(&mut c.frames);
        assert!(b.passed(), "{:?}", b.verdicts);
        assert!(!exploit_passes(&mut b, &mut c), "{missed}");
    }
}

#[test]
fn a_milder_level_brings_back_what_it_does_not_mean() {
    let mut b = Bench::of(RULES, strict());
    let mut long = spoken(&mut b, 46_300, 30_000);
    let mut bulk = spoken(&mut b, 46_301, 200_000);
    b.worker.shed(Shed::AllButBeginnings);
    for c in [&mut long, &mut bulk] {
        c.send(true, PAGE);
        b.give(&mut c.frames);
    }
    b.worker.shed(Shed::Bulk);
    assert!(exploit_passes(&mut b, &mut bulk));
    assert!(!exploit_passes(&mut b, &mut long));
}

#[test]
fn a_tuple_used_anew_while_its_flow_is_shed_is_another_flow() {
    for seq in [[7_000_000, 9_000_000], ISN] {
        let mut b = Bench::of(RULES, strict());
        let mut c = spoken(&mut b, 46_400, 30_000);
        b.worker.shed(Shed::AllButBeginnings);
        for to_server in [true, false] {
            let side = usize::from(!to_server);
            c.segment(to_server, c.seq[side], c.seq[1 - side], FIN | ACK, &[]);
        }
        c.seq = seq;
        c.segment(true, c.seq[0], 0, SYN, &[]);
        c.seq[0] += 1;
        c.segment(false, c.seq[1], c.seq[0], SYN | ACK, &[]);
        c.seq[1] = c.seq[1].wrapping_add(1);
        c.segment(true, c.seq[0], c.seq[1], PSH | ACK, EXPLOIT);
        b.give(&mut c.frames);
        assert!(!b.verdicts.last().unwrap().is_forward(), "{seq:?}");
        assert_eq!(b.count(Counter::FlowNew), 2, "{seq:?}");
    }
}

#[test]
fn what_was_dropped_stays_dropped() {
    let mut b = Bench::of(RULES, strict());
    let mut c = spoken(&mut b, 46_500, 30_000);
    assert!(!exploit_passes(&mut b, &mut c));
    b.worker.shed(Shed::AllButBeginnings);
    c.send(true, PAGE);
    b.give(&mut c.frames);
    assert!(b.verdicts.iter().all(|v| !v.is_forward()));
    assert_eq!(b.count(Counter::ShedPackets), 0);
}
