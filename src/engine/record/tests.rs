use super::*;
use crate::decode::{Frame, LinkType, Packet, PortId, VlanStack};
use crate::flow::{EndCause, FlowState};
use crate::types::{Counters, Direction, FieldSink, FiveTuple, IpProto, Timestamp};
use std::net::{IpAddr, Ipv4Addr};

/// Values as text, in order: what any exporter would see.
#[derive(Default, Clone, PartialEq, Debug)]
struct Trace(Vec<String>);

impl FieldSink for Trace {
    fn bytes(&mut self, k: &str, v: &[u8]) {
        self.0.push(format!("{k}={}", String::from_utf8_lossy(v)));
    }
    fn uint(&mut self, k: &str, v: u64) {
        self.0.push(format!("{k}={v}"));
    }
    fn int(&mut self, k: &str, v: i64) {
        self.0.push(format!("{k}={v}"));
    }
    fn float(&mut self, k: &str, v: f64) {
        self.0.push(format!("{k}={v}"));
    }
    fn bool(&mut self, k: &str, v: bool) {
        self.0.push(format!("{k}={v}"));
    }
    fn begin_object(&mut self, k: &str) {
        self.0.push(format!("{k}{{"));
    }
    fn begin_array(&mut self, k: &str) {
        self.0.push(format!("{k}["));
    }
    fn end(&mut self) {
        self.0.push("end".into());
    }
}

fn everything(s: &mut dyn FieldSink) {
    s.uint("zero", 0);
    s.uint("max", u64::MAX);
    for v in [0, 1, -1, i64::MIN, i64::MAX] {
        s.int("i", v);
    }
    s.float("f", -1.5);
    s.bool("t", true);
    s.bool("n", false);
    s.bytes("b", &[0, 255, 10]);
    s.begin_object("o");
    s.begin_array("a");
    s.text("", "é");
    s.end();
    s.end();
}

fn head() -> Head<'static> {
    Head { flow_id: Some(7), input: 3, event: "http", ..Head::new(Kind::Tx, Timestamp::from_nanos(5), 9) }
}

#[test]
fn a_record_reads_back_as_written() {
    let mut records = Records::new(1 << 16);
    assert!(records.write(&head(), everything));
    let end = Head { number: None, flow_id: None, ..Head::new(Kind::Flow, Timestamp::from_secs(1), 10) };
    assert!(records.write(&end, |_| {}));
    let all: Vec<_> = records.iter().collect();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].head, head());
    assert_eq!(all[1].head, Head { sequence: 1, ..end });
    assert_eq!((all[0].head.event_type(), all[1].head.event_type()), ("http", "flow"));
    let (mut direct, mut stored) = (Trace::default(), Trace::default());
    everything(&mut direct);
    all[0].walk(&mut stored).unwrap();
    assert_eq!(direct, stored);
    let bytes = records.take(Vec::new());
    assert_eq!(Record::all(&bytes).count(), 2);
    assert!(records.is_empty());
}

#[test]
fn a_full_buffer_loses_whole_records_and_counts_them() {
    let mut whole = Records::new(1 << 16);
    whole.write(&head(), everything);
    let one = whole.len();
    for room in 0..one {
        let mut r = Records::new(room);
        assert!(!r.write(&head(), everything));
        assert_eq!((r.len(), r.lost()), (0, 1), "room for {room} of {one}");
    }
    let mut r = Records::new(one * 2 + 1);
    assert_eq!([(); 4].map(|()| r.write(&head(), everything)), [true, true, false, false]);
    assert_eq!((r.iter().count(), r.lost()), (2, 2));
    r.clear();
    assert!(r.write(&head(), everything));
    assert_eq!(r.iter().next().unwrap().head.sequence, 4);
}

#[test]
fn unbalanced_and_bottomless_bodies_are_balanced() {
    let mut r = Records::new(1 << 16);
    r.write(&head(), |s| {
        s.end();
        for _ in 0..100 {
            s.begin_object("o");
            s.uint("u", 1);
        }
    });
    let mut t = Trace::default();
    r.iter().next().unwrap().walk(&mut t).unwrap();
    assert_eq!(t.0.iter().filter(|l| l.ends_with('{')).count(), DEPTH_MAX);
    assert_eq!(t.0.iter().filter(|l| *l == "end").count(), DEPTH_MAX);
    assert_eq!(t.0.iter().filter(|l| *l == "u=1").count(), DEPTH_MAX);
}

#[test]
fn long_keys_are_cut_between_characters() {
    let key = "é".repeat(200);
    let mut out = Vec::new();
    let mut w = BodyWriter::new(&mut out, 1 << 16);
    w.uint(&key, 1);
    assert!(w.finish());
    let mut t = Trace::default();
    walk(&out, &mut t).unwrap();
    assert_eq!(t.0, [format!("{}=1", "é".repeat(127))]);
}

#[test]
fn damaged_records_never_panic() {
    let mut r = Records::new(1 << 16);
    r.write(&head(), everything);
    let good = r.as_bytes().to_vec();
    for cut in 0..good.len() {
        fuzz::fuzz_target(&good[..cut]);
    }
    for i in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[i] ^= 1 << bit;
            fuzz::fuzz_target(&bad);
        }
    }
}

#[test]
fn times_and_addresses() {
    let t = |s: u64, us: u64| time_text(Timestamp::from_nanos(s * 1_000_000_000 + us * 1000)).as_str().to_string();
    assert_eq!(t(0, 0), "1970-01-01T00:00:00.000000+0000");
    assert_eq!(t(951_782_399, 999_999), "2000-02-28T23:59:59.999999+0000");
    assert_eq!(t(951_782_400, 1), "2000-02-29T00:00:00.000001+0000");
    assert_eq!(t(1_381_844_050, 222_515), "2013-10-15T13:34:10.222515+0000");
    assert_eq!(t(4_107_542_399, 0), "2100-02-28T23:59:59.000000+0000");
    assert_eq!(t(4_107_542_400, 0), "2100-03-01T00:00:00.000000+0000");
    assert!(time_text(Timestamp::from_nanos(u64::MAX)).as_str().starts_with("2554-07-21T"));
    let ip = |s: &str| ip_text(s.parse::<IpAddr>().unwrap()).as_str().to_string();
    assert_eq!(ip("10.0.255.1"), "10.0.255.1");
    assert_eq!(ip("2a00::10a"), "2a00:0000:0000:0000:0000:0000:0000:010a");
}

fn tuple_of(proto: IpProto) -> FiveTuple {
    FiveTuple {
        src: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        dst: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
        sport: 1025,
        dport: 80,
        proto,
    }
}

#[test]
fn tuple_has_ports_only_where_the_protocol_does() {
    let mut vlan = VlanStack::default();
    vlan.push(421);
    vlan.push(785);
    let mut t = Trace::default();
    tuple(&mut t, &tuple_of(IpProto::TCP), &vlan, None, Some(PacketSource::Wire), false);
    let expected = "vlan[ =421 =785 end src_ip=10.0.0.1 src_port=1025 dest_ip=10.0.0.2 dest_port=80 proto=TCP ip_v=4 pkt_src=wire/pcap";
    assert_eq!(t.0.join(" "), expected);
    let mut t = Trace::default();
    tuple(&mut t, &tuple_of(IpProto(254)), &VlanStack::default(), Some((8, 0)), None, false);
    assert_eq!(t.0.join(" "), "src_ip=10.0.0.1 dest_ip=10.0.0.2 proto=254 ip_v=4 icmp_type=8 icmp_code=0");
}

#[test]
fn an_ethernet_header_is_shown_with_the_type_it_names() {
    let e = crate::decode::EtherHeader { dst: [2; 6], src: [1; 6], ether_type: 0x0800, header: Default::default() };
    let mut t = Trace::default();
    ethernet(&mut t, &e, Some(0x8100));
    let shown = ["ether{", "ether_type=33024", "src_mac=01:01:01:01:01:01", "dest_mac=02:02:02:02:02:02", "end"];
    assert_eq!(t.0, shown);
    let mut t = Trace::default();
    ethernet(&mut t, &e, None);
    assert!(!t.0.iter().any(|s| s.starts_with("ether_type")), "of what stands in for a packet nothing is known");
}

#[test]
fn a_packet_without_ip_has_no_addresses() {
    let frame =
        Frame { ts: Timestamp::ZERO, number: 1, link: LinkType::ETHERNET, port: PortId(0), data: &[], wire_len: 0 };
    let mut t = Trace::default();
    packet(&mut t, &Packet::new(&frame), PacketSource::Wire, false);
    assert_eq!(t.0.join(" "), "pkt_src=wire/pcap");
}

#[test]
fn alert_groups_metadata_newest_first() {
    let m = |k: &str, v: &str| (k.to_string(), v.to_string());
    let metadata = [m("a", "b"), m("created_at", "2020"), m("a", "c")];
    let src = (IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let mut t = Trace::default();
    alert(
        &mut t,
        &AlertFields {
            blocked: true,
            gid: 1,
            sid: 2,
            rev: 3,
            msg: "m",
            category: "",
            severity: 3,
            metadata: &metadata,
            target: Some((src, src)),
            short: false,
        },
        |sink| sink.text("rule", "r"),
    );
    assert_eq!(
        t.0.join(" "),
        "alert{ action=blocked gid=1 signature_id=2 rev=3 signature=m category= severity=3 \
         source{ ip=127.0.0.1 end target{ ip=127.0.0.1 end \
         metadata{ a[ =c =b end created_at[ =2020 end end rule=r end"
    );
}

#[test]
fn a_flow_ends_as_eve_says_it() {
    let end = FlowEnd {
        tuple: tuple_of(IpProto::TCP),
        vlan: VlanStack::default(),
        macs: None,
        icmp: [None, None],
        app_proto: Some("http"),
        app_proto_per_direction: [Some("http"), Some("failed")],
        packets: [14, 0],
        bytes: [1675, 0],
        aside: Some(([4, 0], [400, 0])),
        start: Timestamp::from_secs(10),
        end: Timestamp::from_secs(17),
        state: FlowState::Closed,
        reason: EndCause::Shutdown,
        alerted: true,
        action: Some("drop"),
        transactions: 1,
        exceptions: &[(crate::types::Cause::StreamMidstream, crate::types::ExceptionPolicy::Ignore)],
        common: &|sink| {
            variables(
                sink,
                ["x", "traffic/id/y", "traffic/label/z"].into_iter(),
                [("n", 1)].into_iter(),
                &SaidOf::default(),
            )
        },
        short: false,
        app_proto_original: Some("smtp"),
        tcp: Some(FlowEndTcp { flags: [0x1b, 0x12], state: Some("closed"), gaps: [false, true], regions_max: [1, 2] }),
        ttl: [(64, 64), (0, 0)],
    };
    let mut t = Trace::default();
    flow_end(&mut t, &end);
    assert_eq!(
        t.0.join(" "),
        "src_ip=10.0.0.1 src_port=1025 dest_ip=10.0.0.2 dest_port=80 ip_v=4 proto=TCP app_proto=http app_proto_tc=failed app_proto_orig=smtp \
         flow{ pkts_toserver=14 pkts_toclient=0 bytes_toserver=1675 bytes_toclient=0 \
         bypassed{ pkts_toserver=4 pkts_toclient=0 bytes_toserver=400 bytes_toclient=0 end bypass=capture \
         start=1970-01-01T00:00:10.000000+0000 end=1970-01-01T00:00:17.000000+0000 age=7 state=closed reason=shutdown \
         alerted=true action=drop tx_cnt=1 exception_policy[ { target=stream_midstream policy=ignore end end end \
         metadata{ flowbits[ =x end flowints{ n=1 end end traffic{ id[ =y end label[ =z end end \
         tcp{ tcp_flags=1b tcp_flags_ts=1b tcp_flags_tc=12 syn=true fin=true psh=true ack=true state=closed tc_gap=true \
         ts_max_regions=1 tc_max_regions=2 end"
    );
    assert!(netflow_end(&end, Direction::ToClient).is_none());
    let mut t = Trace::default();
    netflow_end(&end, Direction::ToServer).unwrap()(&mut t);
    assert!(t.0.join(" ").contains("netflow{ pkts=14 bytes=1675"), "{:?}", t.0);
}

#[test]
fn anomalies_are_named_as_their_layer_is() {
    let named = |layer, event, app_proto| {
        let mut t = Trace::default();
        anomaly(&mut t, &Anomaly { layer, event, app_proto });
        t.0.join(" ")
    };
    assert_eq!(
        named(AnomalyLayer::Decode, "ipv4.trunc_pkt", None),
        "anomaly{ type=decode event=decoder.ipv4.trunc_pkt end"
    );
    assert_eq!(
        named(AnomalyLayer::Parser, "invalid_gap", Some("http")),
        "anomaly{ app_proto=http type=applayer event=INVALID_GAP layer=proto_parser end"
    );
    assert!(named(AnomalyLayer::Parser, "unsolicited_response", Some("dns")).contains("event=unsolicited_response "));
    assert!(named(AnomalyLayer::Detect, "e", Some("dns")).contains("event=E layer=proto_detect"));
}

#[test]
fn a_packet_says_which_tunnel_it_left() {
    let frame =
        Frame { ts: Timestamp::ZERO, number: 1, link: LinkType::ETHERNET, port: PortId(0), data: &[], wire_len: 0 };
    let mut p = Packet::new(&frame);
    let of = |p: &Packet<'_>| (PacketSource::of(p).name(), PacketSource::of(p).numbered());
    assert_eq!(of(&p), ("wire/pcap", true));
    p.tunnel = Some(crate::decode::Tunnel::Geneve);
    assert_eq!(of(&p), ("geneve encapsulation", false));
    p.flags.reassembled = true;
    assert_eq!(of(&p), ("defrag", false));
}

#[test]
fn stats_nest_by_path_without_repeating_a_key() {
    let mut c = Counters::default();
    c.add(crate::types::Counter::Packets, 5);
    let mut t = Trace::default();
    let rules = RulesRead { loaded: 7, failed: 1, skipped: 2 };
    stats(&mut t, &c, &[], &rules, 2, true);
    assert_eq!(t.0[..4], ["stats{", "uptime=2", "decoder{", "pkts=5"]);
    let mut open: Vec<&String> = t.0.iter().filter(|l| l.ends_with('{')).collect();
    let n = open.len();
    open.sort();
    open.dedup();
    assert_eq!(open.len(), n);
    let leaves = t.0.iter().filter(|l| l.contains('=')).count();
    assert_eq!(leaves, crate::types::Counter::COUNT + 1 + 4);
    let mut t = Trace::default();
    stats(&mut t, &c, &[], &rules, 2, false);
    let counted = ["stats{", "uptime=2", "decoder{", "pkts=5", "end"];
    let read = ["detect{", "engines[", "{", "id=0", "rules_loaded=7", "rules_failed=1", "rules_skipped=2"];
    assert_eq!(t.0, [&counted[..], &read, &["end"; 4]].concat());
}
