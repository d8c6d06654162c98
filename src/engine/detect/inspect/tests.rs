//! Rules against packets and streams, end to end with a matcher that is obviously right.

use super::HitKind;
use crate::detect::signature::*;
use crate::detect::testkit::*;
use crate::types::Direction::{ToClient, ToServer};
use crate::types::{Action, Cause, Counter, Counters, Limits, Verdict};
use std::time::Duration;

const FLOW: VarScope = VarScope::Flow;

fn set(bit: u32) -> StateOp {
    StateOp::BitSet { scope: FLOW, bit: VarId(bit), expire: None }
}

fn isset(bit: u32) -> StateOp {
    StateOp::BitTest { scope: FLOW, any_of: vec![VarId(bit)], negated: false }
}

fn with(mut s: Signature, f: impl FnOnce(&mut Signature)) -> Signature {
    f(&mut s);
    s
}

fn relative(text: &str, distance: i64, within: Option<i64>) -> Op {
    let mut c = content(text);
    c.distance = Some(Value::Const(distance));
    c.within = within.map(Value::Const);
    Op::Content(c)
}

#[test]
fn a_content_split_anywhere_still_matches() {
    let s = tcp(1, vec![literal("needle-in-the-hay"), relative("end", 1, Some(10))]);
    let rs = compile(vec![s, tcp(2, vec![literal("hay")]), tcp(3, vec![literal("nope")])], no_protocols());
    let data = b"xxneedle-in-the-hay..end..";
    for cut in 1..data.len() {
        let mut f = TcpFlow::new(&rs);
        let mut got = f.segment(ToServer, &data[..cut]);
        got.extend(f.segment(ToServer, &data[cut..]));
        got.sort();
        assert_eq!(got, [1, 2], "cut at {cut}");
    }
    let mut f = TcpFlow::new(&rs);
    let mut got: Vec<u32> = data.iter().flat_map(|b| f.segment(ToServer, &[*b])).collect();
    got.sort();
    assert_eq!(got, [1, 2]);
}

#[test]
fn a_placed_content_sees_packet_and_stream_a_plain_one_the_stream() {
    let placed = with(tcp(1, vec![literal("GET ")]), |s| {
        if let Op::Content(c) = &mut s.buffers[0].ops[0] {
            c.depth = Some(Value::Const(4));
        }
    });
    let rs = compile(vec![placed, tcp(2, vec![literal("ab")])], no_protocols());
    let mut f = TcpFlow::new(&rs);
    assert_eq!(f.segment(ToServer, b"GET "), [1], "the stream's beginning");
    assert_eq!(f.segment(ToServer, b"xGET "), [] as [u32; 0]);
    assert_eq!(f.hits(ToServer, b"GET a")[0].kind, HitKind::Packet, "a packet's beginning");
    assert_eq!(f.hits(ToServer, b"b")[0].kind, HitKind::Stream, "across segments");
    assert_eq!(f.segment(ToClient, b"b"), [] as [u32; 0]);
}

#[test]
fn what_a_candidate_lacks_may_come_later_once() {
    let rs = compile(vec![tcp(1, vec![literal("first-part"), literal("second")])], no_protocols());
    let mut f = TcpFlow::new(&rs);
    assert_eq!(f.segment(ToServer, b"..first-part.."), [] as [u32; 0]);
    for _ in 0..20 {
        assert_eq!(f.segment(ToServer, b"nothing"), [] as [u32; 0]);
    }
    assert_eq!(f.flow.keep_from(ToServer), Some(0));
    assert_eq!(f.segment(ToServer, b"sec"), [] as [u32; 0]);
    assert_eq!(f.segment(ToServer, b"ond"), [1]);
    assert_eq!(f.flow.keep_from(ToServer), None);
    assert_eq!(f.segment(ToServer, b"second"), [] as [u32; 0]);
}

#[test]
fn more_waiting_candidates_than_may_wait_is_an_exception() {
    let max = Limits::default().parked_max as u32;
    let waits =
        |i| with(tcp(i, vec![literal("common"), literal(&format!("rare{i:03}"))]), |s| s.fast_pattern = Some((0, 0)));
    let sigs = (0..=max).map(waits).collect();
    let mut f = TcpFlow::new(&compile(sigs, no_protocols()));
    assert_eq!(f.segment(ToServer, b"common"), [] as [u32; 0]);
    assert_eq!(f.detector.exceptions().iter().map(|e| e.cause).collect::<Vec<_>>(), [Cause::ParkedOverflow]);
    assert_eq!(f.segment(ToServer, format!("rare{max:03}rare000").as_bytes()), [max], "the oldest had to go");
    let mut c = Counters::default();
    f.detector.drain_counters(&mut c);
    assert_eq!((c.of(Counter::DetectParkedOverflow), c.of(Counter::DetectParked)), (1, u64::from(max) + 1));
}

#[test]
fn a_flowbit_set_later_wakes_what_waited_for_it() {
    let asks = with(tcp(1, vec![literal("asks")]), |s| s.state.push(isset(7)));
    let sets = with(tcp(2, vec![literal("sets")]), |s| s.state.push(set(7)));
    let rs = compile(vec![sets, asks], no_protocols());
    let mut f = TcpFlow::new(&rs);
    assert_eq!(f.segment(ToServer, b"asks"), [] as [u32; 0]);
    assert_eq!(f.segment(ToServer, b"...."), [] as [u32; 0]);
    assert_eq!(f.segment(ToServer, b"sets"), [2, 1]);
    assert_eq!(f.segment(ToServer, b"...."), [] as [u32; 0]);
    let mut f = TcpFlow::new(&rs);
    assert_eq!(f.segment(ToServer, b"sets, then asks"), [2, 1], "a setter stands before who asks");
    assert_eq!(f.flow.bits(), [VarId(7)]);
}

#[test]
fn a_pcre_at_its_limit_is_an_exception() {
    let rs = compile(vec![tcp(9, vec![literal("abc"), Op::Pcre(pcre("LIMIT"))])], no_protocols());
    let mut f = TcpFlow::new(&rs);
    assert_eq!(f.segment(ToServer, b"abc"), [] as [u32; 0]);
    let e = f.detector.exceptions();
    assert_eq!((e.len(), e[0].cause, e[0].sig), (1, Cause::PcreLimit, SigIdx(0)));
    assert_eq!(f.segment(ToServer, b"..."), [] as [u32; 0]);
}

#[test]
fn work_is_bounded_and_running_out_is_an_exception() {
    // Windows within windows: every `a` can begin, every `a` can go on, nothing ends.
    let chain = (0..8).map(|_| relative("a", 0, Some(200))).chain([relative("zz", 0, Some(2))]).collect();
    let mut f = TcpFlow::new(&compile(vec![tcp(1, chain)], no_protocols()));
    let mut data = vec![b'a'; 4_000];
    data.extend(b"zy zz");
    assert_eq!(f.segment(ToServer, &data), [] as [u32; 0]);
    assert_eq!(f.detector.exceptions()[0].cause, Cause::InspectionBudget);
}

#[test]
fn backtracking_tries_later_occurrences() {
    let ops = || vec![literal("ab"), relative("cd", 0, Some(2)), relative("ef", 1, None)];
    let rs = compile(vec![with(sig(1, RuleProto::Udp), |s| s.buffers.push(payload(ops())))], no_protocols());
    assert_eq!(datagram(&rs, b"ab..abcd..abcd!ef"), [1]);
    assert_eq!(datagram(&rs, b"ab..abcdef"), [] as [u32; 0]);
}

#[test]
fn byte_tests_jumps_and_variables_work_together() {
    let extract = ByteExtract {
        bytes: 1,
        offset: 0,
        slot: 0,
        relative: true,
        endian: Endian::Big,
        base: Base::Bin,
        multiplier: 1,
        align: None,
        bitmask: None,
    };
    let mut end = content("END");
    end.distance = Some(Value::Var(0));
    end.within = Some(Value::Const(3));
    let s = with(sig(1, RuleProto::Udp), |s| {
        s.slots = 1;
        s.buffers.push(payload(vec![literal("LEN"), Op::ByteExtract(extract), Op::Content(end)]));
    });
    let rs = compile(vec![s], no_protocols());
    assert_eq!(datagram(&rs, b"LEN\x02xxEND"), [1]);
    assert_eq!(datagram(&rs, b"LEN\x03xxEND"), [] as [u32; 0]);
    assert_eq!(datagram(&rs, b"LEN\x03xxEND LEN\x01xEND"), [1], "the second one holds");
    assert_eq!(datagram(&rs, b"LEN"), [] as [u32; 0]);
}

#[test]
fn base64_is_decoded_where_it_stands() {
    let s = with(sig(1, RuleProto::Udp), |s| {
        let decode = Base64Decode { bytes: None, offset: 0, relative: true };
        s.buffers.push(payload(vec![literal("Basic "), Op::Base64Decode(decode)]));
        s.buffers.push(buffer(crate::applayer::generic::BASE64_DATA, 0, vec![literal("admin:")]));
    });
    let rs = compile(vec![s], no_protocols());
    assert_eq!(datagram(&rs, b"Authorization: Basic YWRtaW46cHc="), [1]);
    assert_eq!(datagram(&rs, b"Authorization: Basic dXNlcjpwdw=="), [] as [u32; 0]);
}

#[test]
fn address_rules_match_once_per_direction_of_a_flow() {
    let listed = |sid, lo: u32, hi: u32| {
        with(sig(sid, RuleProto::Ip), |s| s.header.src = AddrSet { any: false, v4: vec![(lo, hi)], v6: vec![] })
    };
    let client = u32::from_be_bytes(CLIENT);
    let server = u32::from_be_bytes(SERVER);
    let packet_rule = with(listed(5, client, client), |s| {
        s.header.proto = RuleProto::Tcp;
        s.header.negated = true;
    });
    let ported = with(listed(7, client, client), |s| s.header.dport = PortSet(vec![(80, 80)]));
    let sigs = vec![
        listed(1, client, client),
        listed(2, server - 1, server + 1),
        listed(3, 1, 2),
        sig(4, RuleProto::Udp),
        packet_rule,
        with(sig(6, RuleProto::Tcp), |s| s.action = Action::Alert),
        ported,
    ];
    let rs = compile(sigs, no_protocols());
    let mut f = TcpFlow::new(&rs);
    assert_eq!(f.segment(ToServer, b"x"), [1, 6, 7, 5]);
    assert_eq!(f.segment(ToServer, b"x"), [5], "a negated address makes it a rule over packets");
    assert_eq!(f.segment(ToClient, b"x"), [2, 6]);
    assert_eq!(f.segment(ToClient, b"x"), [] as [u32; 0]);
    assert_eq!(datagram(&rs, b"x"), [1, 4, 7]);
}

#[test]
fn ports_direction_and_flow_state_refuse() {
    let on = |sid, port, dir| {
        with(tcp(sid, vec![literal("data")]), |s| {
            s.header.dport = PortSet(vec![(port, port)]);
            s.flow = FlowMatch { present: true, direction: dir, established: Some(true), ..FlowMatch::default() };
        })
    };
    let rs = compile(
        vec![on(1, 80, Some(ToServer)), on(2, 81, Some(ToServer)), on(3, 80, Some(ToClient)), on(4, 40_000, None)],
        no_protocols(),
    );
    let mut f = TcpFlow::new(&rs);
    assert_eq!(f.segment(ToServer, b"data"), [1]);
    assert_eq!(f.segment(ToClient, b"data"), [4]);
    assert_eq!(datagram(&rs, b"data"), [] as [u32; 0]);
}

#[test]
fn short_patterns_and_rules_without_any_still_match() {
    let mut negated = content("no");
    negated.negated = true;
    let sigs = vec![
        tcp(1, vec![literal("Q")]),
        tcp(2, vec![literal("zz")]),
        tcp(3, vec![Op::Content(negated)]),
        tcp(4, vec![Op::Pcre(pcre("pcre"))]),
    ];
    let rs = compile(sigs, no_protocols());
    let mut f = TcpFlow::new(&rs);
    assert_eq!(f.segment(ToServer, b"noQz"), [1]);
    assert_eq!(f.segment(ToServer, b"z pc"), [2]);
    assert_eq!(f.segment(ToServer, b"re"), [4]);
    assert_eq!(f.segment(ToServer, b".."), [] as [u32; 0], "a rule without fast pattern matches a direction once");
    assert_eq!(TcpFlow::new(&rs).segment(ToServer, b"yes"), [3]);
}

#[test]
fn a_rule_whose_regex_does_not_compile_is_refused_alone() {
    let sigs = vec![tcp(1, vec![Op::Pcre(pcre("("))]), tcp(2, vec![literal("fine")])];
    let c = crate::detect::compile::Ruleset::compile(
        sigs,
        no_protocols(),
        std::sync::Arc::new(Naive),
        None,
        crate::detect::compile::Settings::default(),
    )
    .unwrap();
    assert_eq!((c.refused.len(), c.refused[0].sid, c.refused[0].why.as_str()), (1, 1, "unbalanced"));
    assert_eq!(c.ruleset.len(), 1);
}

#[test]
fn pass_stops_what_stands_after_it_and_the_flow() {
    let pass = with(tcp(1, vec![literal("good")]), |s| s.action = Action::Pass);
    let drop = with(tcp(2, vec![literal("bad")]), |s| s.action = Action::Drop);
    let rs = compile(vec![pass, drop, tcp(3, vec![literal("bad")])], no_protocols());
    let mut f = TcpFlow::new(&rs);
    let (s, alerts) = f.settled(ToServer, b"good, bad");
    assert_eq!((s.verdict, s.pass, s.flow_pass, alerts.len()), (Verdict::Forward, true, true, 0));
    assert!(f.flow.passed());
    assert_eq!(f.segment(ToServer, b"bad"), [] as [u32; 0]);
    let mut f = TcpFlow::new(&rs);
    let (s, alerts) = f.settled(ToServer, b"bad");
    assert!(!s.verdict.is_forward() && s.flow_drop);
    assert_eq!(alerts, [(2, true), (3, false)]);
}

#[test]
fn thresholds_count_by_whom_they_track() {
    let limited = |sid, track| {
        with(tcp(sid, vec![literal("hit")]), |s| {
            s.threshold = Some(Threshold { kind: ThresholdKind::Limit, track, count: 1, seconds: 60 });
        })
    };
    let filter = with(tcp(4, vec![literal("hit")]), |s| {
        let kind = ThresholdKind::DetectionFilter { unique: None };
        s.threshold = Some(Threshold { kind, track: Track::ByRule, count: 2, seconds: 60 });
        s.action = Action::Drop;
    });
    let quiet = with(tcp(5, vec![literal("hit")]), |s| s.noalert = true);
    let sigs = vec![limited(1, Track::BySrc), limited(2, Track::ByFlow), filter, quiet];
    let mut f = TcpFlow::new(&compile(sigs, no_protocols()));
    let alerts = |x: (super::Settled, Vec<(u32, bool)>)| x.1.iter().map(|a| a.0).collect::<Vec<_>>();
    assert_eq!(alerts(f.settled(ToServer, b"hit")), [1, 2]);
    let second = f.settled(ToServer, b"hit");
    assert!(second.0.verdict.is_forward(), "before its count a detection filter has not matched");
    assert_eq!(alerts(second), [] as [u32; 0]);
    assert_eq!(alerts(f.settled(ToServer, b"hit")), [4]);
    assert_eq!(alerts(f.settled(ToClient, b"hit")), [1, 4], "another source");
    f.seconds = 61;
    assert_eq!(alerts(f.settled(ToServer, b"hit")), [1, 2]);
}

#[test]
fn host_bits_end_with_their_time_and_tags_with_their_count() {
    let scope = VarScope::HostSrc;
    let expire = Some(Duration::from_secs(10));
    let sets = with(tcp(1, vec![literal("sets")]), |s| {
        s.state.push(StateOp::BitSet { scope, bit: VarId(1), expire });
        s.tags = vec![Tag { scope: TagScope::Session, count: 3, unit: TagUnit::Packets }];
    });
    let asks = with(tcp(2, vec![literal("asks")]), |s| {
        s.state.push(StateOp::BitTest { scope, any_of: vec![VarId(1)], negated: false });
    });
    let mut f = TcpFlow::new(&compile(vec![sets, asks], no_protocols()));
    assert!(!f.settled(ToServer, b"sets").0.tagged);
    assert_eq!(f.segment(ToServer, b"asks"), [2]);
    let tagged: Vec<bool> = (0..3).map(|_| f.settled(ToServer, b"-").0.tagged).collect();
    assert_eq!(tagged, [true, true, false]);
    f.seconds = 11;
    assert_eq!(f.segment(ToServer, b"asks"), [] as [u32; 0]);
}

#[test]
fn replace_names_the_place_in_the_payload() {
    let s = with(tcp(1, vec![literal("evil")]), |s| {
        s.replace.push(Replace { buffer: 0, op: 0, bytes: b"good".to_vec() });
    });
    let mut f = TcpFlow::new(&compile(vec![s], no_protocols()));
    f.segment(ToServer, b"before ");
    let hits = f.hits(ToServer, b"x evil");
    assert_eq!(hits[0].replace.as_slice(), [super::Replacement { at: 2, entry: 0 }]);
}

#[test]
fn explain_says_how_a_rule_is_found() {
    let rs = compile(vec![tcp(1, vec![literal("a|b"), literal("longer")]), sig(2, RuleProto::Ip)], no_protocols());
    let e = rs.explain(1).unwrap();
    assert_eq!((e.class, e.fast_pattern.unwrap().0.as_str()), ("stream", "longer"));
    assert!(e.groups[0].contains("by fast pattern"), "{:?}", e.groups);
    assert_eq!(rs.explain(2).unwrap().class, "ip_only");
    assert!(rs.explain(3).is_none() && rs.summary().contains("payload group 0"));
}
