//! The parts of record bodies that no protocol owns, in EVE's names and order.
//!
//! Every function writes the named fields (or one object) where it is called; the caller puts them together. The order
//! of an alert: `packet`, `variables`, `tx_id`, `alert`, the protocol's object, `files`, `app_proto`, `direction`,
//! `flow_summary`. Of a drop: `packet`, `variables`, `direction`, `drop_details`, `tx_id`, `alert`. Of a transaction:
//! `packet`, `variables`, `tx_id`, its object. Of a file: `packet`, `variables`, the protocol's object, `app_proto`,
//! `fileinfo`. Addresses are written whole (IPv6 with all its digits), times as `2023-01-01T00:00:00.123456+0000`.

use super::packets::address;
use super::said::SaidOf;
use crate::applayer::files::{File, FileState};
use crate::decode::{IpHeader, L4, Packet, Tunnel, VlanStack};
use crate::types::text::Text;
use crate::types::{Counter, Counters, Direction, FieldSink, FiveTuple, IpProto, Reason, Timestamp};
use std::net::IpAddr;

/// Where a packet came from: EVE's `pkt_src`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketSource {
    Wire,
    Defrag,
    /// Inside a tunnel: see [`Tunnel`].
    GreTunnel,
    Ipv4Tunnel,
    Ipv6Tunnel,
    TeredoTunnel,
    Vxlan,
    Geneve,
    /// Made up to inspect what a stream still held when its flow ended.
    FlowTimeout,
    /// Made up to inspect a stream that its end has flushed.
    StreamFlush,
}

impl PacketSource {
    /// What a packet says of itself.
    pub fn of(p: &Packet<'_>) -> Self {
        if p.flags.reassembled {
            PacketSource::Defrag
        } else {
            match p.tunnel {
                None => PacketSource::Wire,
                Some(Tunnel::Gre) => PacketSource::GreTunnel,
                Some(Tunnel::Ipv4) => PacketSource::Ipv4Tunnel,
                Some(Tunnel::Ipv6) => PacketSource::Ipv6Tunnel,
                Some(Tunnel::Teredo) => PacketSource::TeredoTunnel,
                Some(Tunnel::Vxlan) => PacketSource::Vxlan,
                Some(Tunnel::Geneve) => PacketSource::Geneve,
            }
        }
    }

    /// Its records name the packet of the input (`pcap_cnt`): not those of packets that came out of others, nor of what
    /// a stream's end flushes.
    pub const fn numbered(self) -> bool {
        matches!(self, PacketSource::Wire)
    }

    pub const fn name(self) -> &'static str {
        match self {
            PacketSource::Wire => "wire/pcap",
            PacketSource::Defrag => "defrag",
            PacketSource::GreTunnel => "gre tunnel",
            PacketSource::Ipv4Tunnel => "ipv4 tunnel",
            PacketSource::Ipv6Tunnel => "ipv6 tunnel",
            PacketSource::TeredoTunnel => "teredo tunnel",
            PacketSource::Vxlan => "vxlan encapsulation",
            PacketSource::Geneve => "geneve encapsulation",
            PacketSource::FlowTimeout => "stream (flow timeout)",
            PacketSource::StreamFlush => "stream (detect/log)",
        }
    }
}

/// `vlan`, `src_ip`, `src_port`, `dest_ip`, `dest_port`, `proto`, `ip_v`, `icmp_type`, `icmp_code`, `pkt_src` of a
/// packet, as far as it has them. `short`: IPv6 addresses in their short form.
pub fn packet(sink: &mut dyn FieldSink, p: &Packet<'_>, source: PacketSource, short: bool) {
    let icmp = match p.l4 {
        L4::Icmp4 { kind, code, .. } | L4::Icmp6 { kind, code, .. } => Some((kind, code)),
        _ => None,
    };
    // What stands in for a packet when a flow ends has no header, but the flow's ends.
    if p.ip.is_some() || source == PacketSource::FlowTimeout {
        tuple(sink, &p.tuple, &p.vlan, icmp, Some(source), short);
    } else {
        vlan(sink, &p.vlan);
        sink.text("pkt_src", source.name());
    }
    super::sctp::sctp(sink, p);
    super::igmp::igmp(sink, p);
}

/// The same of a flow or of a packet made up: `t` as the record shall show it.
pub fn tuple(
    sink: &mut dyn FieldSink,
    t: &FiveTuple,
    v: &VlanStack,
    icmp: Option<(u8, u8)>,
    source: Option<PacketSource>,
    short: bool,
) {
    vlan(sink, v);
    ends(sink, t, short);
    proto(sink, t.proto);
    ip_version(sink, t.src);
    if let Some((kind, code)) = icmp {
        sink.uint("icmp_type", kind.into());
        sink.uint("icmp_code", code.into());
    }
    if let Some(source) = source {
        sink.text("pkt_src", source.name());
    }
}

/// `src_ip`, `src_port`, `dest_ip`, `dest_port`; ports where the protocol has them.
pub(super) fn ends(sink: &mut dyn FieldSink, t: &FiveTuple, short: bool) {
    let ports = matches!(t.proto, IpProto::TCP | IpProto::UDP | IpProto::SCTP);
    sink.text("src_ip", address(t.src, short).as_str());
    if ports {
        sink.uint("src_port", t.sport.into());
    }
    sink.text("dest_ip", address(t.dst, short).as_str());
    if ports {
        sink.uint("dest_port", t.dport.into());
    }
}

pub(super) fn proto(sink: &mut dyn FieldSink, p: IpProto) {
    match p.name() {
        Some(name) => sink.text("proto", name),
        None => {
            let digits = [b'0' + p.0 / 100, b'0' + p.0 / 10 % 10, b'0' + p.0 % 10];
            sink.bytes("proto", &digits);
        }
    }
}

pub(super) fn ip_version(sink: &mut dyn FieldSink, a: IpAddr) {
    sink.uint("ip_v", if a.is_ipv4() { 4 } else { 6 });
}

pub(super) fn vlan(sink: &mut dyn FieldSink, v: &VlanStack) {
    if !v.ids().is_empty() {
        sink.begin_array("vlan");
        for id in v.ids() {
            sink.uint("", (*id).into());
        }
        sink.end();
    }
}

/// Flowbits whose names begin so tell what the traffic is; they are shown apart from the others.
const TRAFFIC: [(&str, &str); 2] = [("id", "traffic/id/"), ("label", "traffic/label/")];

/// Bits and numbers a flow carries, and what rules found to say: the `metadata` and `traffic` objects, each left out when empty.
pub fn variables<'a>(
    sink: &mut dyn FieldSink,
    bits: impl Iterator<Item = &'a str> + Clone,
    ints: impl Iterator<Item = (&'a str, u32)> + Clone,
    said: &SaidOf<'_>,
) {
    let told = |b: &str| TRAFFIC.iter().any(|(_, prefix)| b.starts_with(prefix));
    let (mut plain, mut traffic) = (false, false);
    bits.clone().for_each(|b| *(if told(b) { &mut traffic } else { &mut plain }) = true);
    let numbers = ints.clone().next().is_some();
    if plain || numbers || !said.is_empty() {
        sink.begin_object("metadata");
        if plain {
            sink.begin_array("flowbits");
            bits.clone().filter(|b| !told(b)).for_each(|b| sink.text("", b));
            sink.end();
        }
        if numbers {
            sink.begin_object("flowints");
            ints.for_each(|(name, v)| sink.uint(name, v.into()));
            sink.end();
        }
        said.write(sink);
        sink.end();
    }
    if !traffic {
        return;
    }
    sink.begin_object("traffic");
    for (key, prefix) in TRAFFIC {
        let mut named = bits.clone().filter_map(|b| b.strip_prefix(prefix)).peekable();
        if named.peek().is_some() {
            sink.begin_array(key);
            named.for_each(|n| sink.text("", n));
            sink.end();
        }
    }
    sink.end();
}

/// What an alert says of its signature.
#[derive(Clone, Copy, Debug)]
pub struct AlertFields<'a> {
    /// `blocked` instead of `allowed`: the packet was dropped or rejected by this signature.
    pub blocked: bool,
    pub gid: u32,
    pub sid: u32,
    pub rev: u32,
    pub msg: &'a str,
    pub category: &'a str,
    /// 1 is the most severe.
    pub severity: u8,
    /// (key, value) as the rule has them.
    pub metadata: &'a [(String, String)],
    /// IPv6 addresses in their short form.
    pub short: bool,
    /// The packet's ends as (attacker, target), of rules with `target`.
    pub target: Option<((IpAddr, u16), (IpAddr, u16))>,
}

/// The `alert` object; `more` writes what stands at its end.
pub fn alert(sink: &mut dyn FieldSink, a: &AlertFields<'_>, more: impl FnOnce(&mut dyn FieldSink)) {
    sink.begin_object("alert");
    sink.text("action", if a.blocked { "blocked" } else { "allowed" });
    sink.uint("gid", a.gid.into());
    sink.uint("signature_id", a.sid.into());
    sink.uint("rev", a.rev.into());
    sink.text("signature", a.msg);
    sink.text("category", a.category);
    sink.uint("severity", a.severity.into());
    if let Some((source, target)) = a.target {
        for (key, (ip, port)) in [("source", source), ("target", target)] {
            sink.begin_object(key);
            sink.text("ip", address(ip, a.short).as_str());
            if port != 0 {
                sink.uint("port", port.into());
            }
            sink.end();
        }
    }
    if !a.metadata.is_empty() {
        sink.begin_object("metadata");
        for (i, (key, _)) in a.metadata.iter().enumerate() {
            if a.metadata.iter().take(i).any(|(k, _)| k == key) {
                continue;
            }
            sink.begin_array(key);
            a.metadata.iter().rev().filter(|(k, _)| k == key).for_each(|(_, v)| sink.text("", v));
            sink.end();
        }
        sink.end();
    }
    more(sink);
    sink.end();
}

/// `app_proto`, and where they differ from it or were corrected `app_proto_ts`, `app_proto_tc`, `app_proto_orig`.
pub fn app_proto(sink: &mut dyn FieldSink, name: &str, per_direction: [Option<&str>; 2], original: Option<&str>) {
    sink.text("app_proto", name);
    for (key, value) in ["app_proto_ts", "app_proto_tc"].into_iter().zip(per_direction) {
        if let Some(v) = value.filter(|v| *v != name) {
            sink.text(key, v);
        }
    }
    if let Some(v) = original {
        sink.text("app_proto_orig", v);
    }
}

pub fn direction(sink: &mut dyn FieldSink, dir: Direction) {
    sink.text("direction", dir.name());
}

/// The `flow` object of alerts: packets and bytes to server and to client so far, the beginning, the ends.
/// `t` has the client as its source.
pub fn flow_summary(
    sink: &mut dyn FieldSink,
    packets: [u64; 2],
    bytes: [u64; 2],
    start: Timestamp,
    t: &FiveTuple,
    short: bool,
) {
    sink.begin_object("flow");
    volume(sink, packets, bytes);
    time(sink, "start", start);
    sink.text("src_ip", address(t.src, short).as_str());
    sink.text("dest_ip", address(t.dst, short).as_str());
    if matches!(t.proto, IpProto::TCP | IpProto::UDP | IpProto::SCTP) {
        sink.uint("src_port", t.sport.into());
        sink.uint("dest_port", t.dport.into());
    }
    sink.end();
}

pub(super) fn volume(sink: &mut dyn FieldSink, packets: [u64; 2], bytes: [u64; 2]) {
    sink.uint("pkts_toserver", packets[0]);
    sink.uint("pkts_toclient", packets[1]);
    sink.uint("bytes_toserver", bytes[0]);
    sink.uint("bytes_toclient", bytes[1]);
}

/// What the `drop` object needs beside the packet.
#[derive(Clone, Copy, Debug)]
pub struct DropFields {
    pub reason: Reason,
}

/// The `drop` object: header fields of the dropped packet, and the reason.
pub fn drop_details(sink: &mut dyn FieldSink, p: &Packet<'_>, d: DropFields) {
    sink.begin_object("drop");
    match p.ip {
        Some(IpHeader::V4 { total_len, tos, ttl, id, .. }) => {
            sink.uint("len", total_len.into());
            sink.uint("tos", tos.into());
            sink.uint("ttl", ttl.into());
            sink.uint("ipid", id.into());
        }
        Some(IpHeader::V6 { payload_len, traffic_class, hop_limit, flow_label, .. }) => {
            sink.uint("len", payload_len.into());
            sink.uint("tc", traffic_class.into());
            sink.uint("hoplimit", hop_limit.into());
            sink.uint("flowlbl", flow_label.into());
        }
        None => {}
    }
    match &p.l4 {
        L4::Tcp(h) => {
            use crate::decode::TcpFlags as F;
            sink.uint("tcpseq", h.seq.into());
            sink.uint("tcpack", h.ack.into());
            sink.uint("tcpwin", h.window.into());
            for (name, bit) in
                [("syn", F::SYN), ("ack", F::ACK), ("psh", F::PSH), ("rst", F::RST), ("urg", F::URG), ("fin", F::FIN)]
            {
                sink.bool(name, h.flags.has(bit));
            }
            let reserved = h.header.of(p.bytes.as_slice()).get(12).map_or(0, |b| b & 0x0f);
            sink.uint("tcpres", reserved.into());
            sink.uint("tcpurgp", h.urgent.into());
        }
        L4::Udp { header } => {
            let len =
                header.of(p.bytes.as_slice()).get(4..6).map_or(0, |b| b.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
            sink.uint("udplen", len);
        }
        L4::Icmp4 { id_seq: Some((id, seq)), .. } | L4::Icmp6 { id_seq: Some((id, seq)), .. } => {
            sink.uint("icmp_id", (*id).into());
            sink.uint("icmp_seq", (*seq).into());
        }
        _ => {}
    }
    sink.text("reason", d.reason.name());
    sink.end();
}

/// Which part of the engine found an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnomalyLayer {
    /// A decode event.
    Decode,
    /// A stream event.
    Stream,
    /// An event of a protocol's parser.
    Parser,
    /// An event of protocol detection.
    Detect,
}

/// What the `anomaly` object says.
#[derive(Clone, Copy, Debug)]
pub struct Anomaly<'a> {
    pub layer: AnomalyLayer,
    /// The event by the name rules use.
    pub event: &'a str,
    /// The protocol of a parser's event.
    pub app_proto: Option<&'a str>,
}

/// Protocols whose events EVE writes in capitals; rules name all in small letters.
const SHOUTING: [&str; 3] = ["http", "tls", "smtp"];

/// The `anomaly` object.
pub fn anomaly(sink: &mut dyn FieldSink, a: &Anomaly<'_>) {
    sink.begin_object("anomaly");
    if let Some(name) = a.app_proto {
        sink.text("app_proto", name);
    }
    let (kind, layer) = match a.layer {
        AnomalyLayer::Decode => ("decode", None),
        AnomalyLayer::Stream => ("stream", None),
        AnomalyLayer::Parser => ("applayer", Some("proto_parser")),
        AnomalyLayer::Detect => ("applayer", Some("proto_detect")),
    };
    sink.text("type", kind);
    match a.layer {
        AnomalyLayer::Decode => sink.text("event", &format!("decoder.{}", a.event)),
        AnomalyLayer::Stream => sink.text("event", &format!("stream.{}", a.event)),
        AnomalyLayer::Parser if !SHOUTING.contains(&a.app_proto.unwrap_or("")) => sink.text("event", a.event),
        AnomalyLayer::Parser | AnomalyLayer::Detect => sink.text("event", &a.event.to_ascii_uppercase()),
    }
    if let Some(layer) = layer {
        sink.text("layer", layer);
    }
    sink.end();
}

/// A file as an object: `key` is `fileinfo` in a record of its own and empty in the array `files` of an alert.
pub fn fileinfo(sink: &mut dyn FieldSink, key: &str, f: &File) {
    sink.begin_object(key);
    sink.bytes("filename", &f.name);
    sink.bool("gaps", f.gaps);
    let state = match f.state {
        FileState::Open => "UNKNOWN",
        FileState::Closed => "CLOSED",
        FileState::Truncated => "TRUNCATED",
        FileState::Error => "ERROR",
    };
    sink.text("state", state);
    for (key, hash) in [("md5", &f.md5), ("sha1", &f.sha1), ("sha256", &f.sha256)] {
        if let Some(h) = hash {
            sink.text(key, h);
        }
    }
    sink.bool("stored", f.stored.is_some());
    if let Some(id) = f.stored {
        sink.uint("file_id", u64::from(id));
    }
    sink.uint("size", f.size);
    sink.uint("tx_id", f.tx.0);
    sink.end();
}

/// What became of the rules that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RulesRead {
    pub loaded: u64,
    /// Refused with an error.
    pub failed: u64,
    /// Left out for a `requires` that is not met.
    pub skipped: u64,
}

/// The `stats` object: every counter under its path, `more` beside them, those that are zero where `null_values`, what
/// became of the rules, and `uptime` in seconds of packet time.
pub fn stats(
    sink: &mut dyn FieldSink,
    c: &Counters,
    more: &[(String, u64)],
    rules: &RulesRead,
    uptime: u64,
    null_values: bool,
) {
    sink.begin_object("stats");
    sink.uint("uptime", uptime);
    let counted = Counter::ALL.iter().map(|k| (k.name(), c.of(*k)));
    let all = counted.chain(more.iter().map(|(name, n)| (name.as_str(), *n)));
    let (detect, rows): (Vec<_>, Vec<_>) =
        all.filter(|(_, n)| null_values || *n > 0).partition(|(path, _)| path.starts_with(DETECT));
    nested(sink, &rows);
    sink.begin_object("detect");
    engines(sink, rules);
    let below: Vec<(&str, u64)> =
        detect.iter().filter_map(|(path, n)| path.strip_prefix(DETECT).map(|rest| (rest, *n))).collect();
    nested(sink, &below);
    sink.end();
    sink.end();
}

/// Where the counters of detection are, beside its rules.
const DETECT: &str = "detect.";

/// A ruleset is one engine, as EVE counts them.
fn engines(sink: &mut dyn FieldSink, rules: &RulesRead) {
    sink.begin_array("engines");
    sink.begin_object("");
    sink.uint("id", 0);
    sink.uint("rules_loaded", rules.loaded);
    sink.uint("rules_failed", rules.failed);
    sink.uint("rules_skipped", rules.skipped);
    sink.end();
    sink.end();
}

/// Rows of dotted paths as nested objects, each path's parts in order of first appearance.
fn nested(sink: &mut dyn FieldSink, rows: &[(&str, u64)]) {
    for (i, (path, value)) in rows.iter().enumerate() {
        let Some((part, _)) = path.split_once('.') else {
            sink.uint(path, *value);
            continue;
        };
        let belongs = |p: &str| p.split_once('.').is_some_and(|(q, _)| q == part);
        if rows.iter().take(i).any(|(p, _)| belongs(p)) {
            continue;
        }
        let below: Vec<(&str, u64)> = rows
            .iter()
            .filter(|(p, _)| belongs(p))
            .filter_map(|(p, v)| p.split_once('.').map(|(_, rest)| (rest, *v)))
            .collect();
        sink.begin_object(part);
        nested(sink, &below);
        sink.end();
    }
}

/// A time as EVE writes it, UTC: `2023-01-01T00:00:00.123456+0000`.
pub fn time_text(ts: Timestamp) -> Text<40> {
    let (days, second) = (ts.secs() / 86_400, ts.secs() % 86_400);
    // Days since 0000-03-01 in eras of 400 years: leap days fall at the end of each counted year.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let mut t = Text::new();
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (of_year - (153 * shifted + 2) / 5 + 1, 2, b'T'),
        (second / 3_600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, b'.'),
        (u64::from(ts.subsec_micros()), 6, b'+'),
    ];
    for (n, width, then) in parts {
        t.decimal(n, width);
        t.push(then);
    }
    t.decimal(0, 4);
    t
}

pub(super) fn time(sink: &mut dyn FieldSink, key: &str, ts: Timestamp) {
    sink.text(key, time_text(ts).as_str());
}
