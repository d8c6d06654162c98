//! The records of a flow's end: `flow`, and `netflow` (one per direction).

use super::fields::{app_proto, ends, ip_version, proto, time, vlan, volume};
use super::packets::mac;
use crate::decode::VlanStack;
use crate::flow::{EndCause, FlowState, Macs};
use crate::types::{Cause, Direction, ExceptionPolicy, FieldSink, FiveTuple, IpProto, Timestamp};

/// The TCP part of a flow's end.
#[derive(Clone, Copy, Debug)]
pub struct FlowEndTcp {
    /// Flags seen, to server and to client.
    pub flags: [u8; 2],
    /// Name of the session's state (`established`, `fin_wait1`, `closed`, …), where there was a session.
    pub state: Option<&'static str>,
    /// Gaps, to server and to client.
    pub gaps: [bool; 2],
    /// Most separate runs of bytes held at once, to server and to client.
    pub regions_max: [u32; 2],
}

/// All a flow record says.
#[derive(Clone, Copy)]
pub struct FlowEnd<'a> {
    /// Source is the client.
    pub tuple: FiveTuple,
    pub vlan: VlanStack,
    /// Hardware addresses of client and server.
    pub macs: Option<&'a Macs>,
    /// Type and code of the first ICMP packet in each direction.
    pub icmp: [Option<(u8, u8)>; 2],
    /// Name of the detected protocol, `failed` where detection gave up; none where there was nothing to detect.
    pub app_proto: Option<&'a str>,
    pub app_proto_per_direction: [Option<&'a str>; 2],
    /// Those that went by unseen counted.
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    /// Of these, the packets and bytes that the device forwarded or dropped by itself, where it did any.
    pub aside: Option<([u64; 2], [u64; 2])>,
    pub start: Timestamp,
    /// Time of the last packet.
    pub end: Timestamp,
    pub state: FlowState,
    pub reason: EndCause,
    pub alerted: bool,
    /// `drop`, `pass`, `reject`: what was decided over the flow as a whole.
    pub action: Option<&'static str>,
    /// Transactions seen.
    pub transactions: u64,
    pub exceptions: &'a [(Cause, ExceptionPolicy)],
    /// Writes what records of every kind hold of a flow (bits, numbers, identity).
    pub common: &'a dyn Fn(&mut dyn FieldSink),
    /// IPv6 addresses in their short form.
    pub short: bool,
    /// The protocol the flow spoke before it switched.
    pub app_proto_original: Option<&'a str>,
    pub tcp: Option<FlowEndTcp>,
    /// TTL or hop limit, least and most, in each direction (netflow).
    pub ttl: [(u8, u8); 2],
}

/// The body of a `flow` record.
pub fn flow_end(sink: &mut dyn FieldSink, f: &FlowEnd<'_>) {
    common(sink, &f.tuple, f);
    if let Some(name) = f.app_proto {
        app_proto(sink, name, f.app_proto_per_direction, f.app_proto_original);
    }
    sink.begin_object("flow");
    volume(sink, f.packets, f.bytes);
    if let Some((packets, bytes)) = f.aside {
        sink.begin_object("bypassed");
        volume(sink, packets, bytes);
        sink.end();
        sink.text("bypass", "capture");
    }
    time(sink, "start", f.start);
    time(sink, "end", f.end);
    sink.uint("age", age(f));
    sink.text("state", f.state.name());
    sink.text("reason", f.reason.name());
    sink.bool("alerted", f.alerted);
    if let Some(action) = f.action {
        sink.text("action", action);
    }
    if f.transactions > 0 {
        sink.uint("tx_cnt", f.transactions);
    }
    if !f.exceptions.is_empty() {
        sink.begin_array("exception_policy");
        for (cause, policy) in f.exceptions {
            sink.begin_object("");
            match cause.row().eve {
                Some(eve) => sink.text("target", eve.target),
                None => sink.bytes("target", &underscored(cause.row().name)),
            }
            sink.text("policy", policy.eve_name());
            sink.end();
        }
        sink.end();
    }
    sink.end();
    macs(sink, f, Direction::ToServer);
    (f.common)(sink);
    if let Some(tcp) = &f.tcp {
        tcp_end(sink, tcp);
    }
}

/// The body of a `netflow` record of one direction; `None` for a direction without packets.
pub fn netflow_end(f: &FlowEnd<'_>, dir: Direction) -> Option<impl FnOnce(&mut dyn FieldSink)> {
    let i = dir as usize;
    let packets = f.packets.get(i).copied().unwrap_or(0);
    (packets > 0).then_some(move |sink: &mut dyn FieldSink| {
        let t = if dir == Direction::ToServer { f.tuple } else { f.tuple.flip() };
        vlan(sink, &f.vlan);
        ends(sink, &t, f.short);
        proto(sink, t.proto);
        if matches!(t.proto, IpProto::ICMP | IpProto::ICMPV6) {
            let (kind, code) = f.icmp.get(i).copied().flatten().unwrap_or_default();
            sink.uint("icmp_type", kind.into());
            sink.uint("icmp_code", code.into());
        }
        let own = f.app_proto_per_direction.get(i).copied().flatten();
        sink.text("app_proto", own.or(f.app_proto).unwrap_or("unknown"));
        sink.begin_object("netflow");
        sink.uint("pkts", packets);
        sink.uint("bytes", f.bytes.get(i).copied().unwrap_or(0));
        time(sink, "start", f.start);
        time(sink, "end", f.end);
        sink.uint("age", age(f));
        let (ttl_min, ttl_max) = f.ttl.get(i).copied().unwrap_or_default();
        sink.uint("min_ttl", ttl_min.into());
        sink.uint("max_ttl", ttl_max.into());
        if f.transactions > 0 {
            sink.uint("tx_cnt", f.transactions);
        }
        sink.end();
        macs(sink, f, dir);
        (f.common)(sink);
        if let Some(tcp) = &f.tcp {
            let flags = tcp.flags.get(i).copied().unwrap_or(0);
            sink.begin_object("tcp");
            sink.bytes("tcp_flags", &hex(flags));
            flag_names(sink, flags);
            sink.end();
        }
    })
}

/// The `ether` object, as seen by who sends in `dir`.
fn macs(sink: &mut dyn FieldSink, f: &FlowEnd<'_>, dir: Direction) {
    let Some(macs) = f.macs else { return };
    sink.begin_object("ether");
    for (key, dir) in [("dest_macs", dir.flip()), ("src_macs", dir)] {
        sink.begin_array(key);
        macs.from(dir).iter().for_each(|a| sink.text("", mac(a).as_str()));
        sink.end();
    }
    sink.end();
}

/// Seconds on the clock from the first packet to the last: 0.9 to 1.1 is one.
fn age(f: &FlowEnd<'_>) -> u64 {
    f.end.secs().saturating_sub(f.start.secs())
}

fn common(sink: &mut dyn FieldSink, t: &FiveTuple, f: &FlowEnd<'_>) {
    vlan(sink, &f.vlan);
    ends(sink, t, f.short);
    ip_version(sink, t.src);
    proto(sink, t.proto);
    // An error about a flow of another protocol counts to it, but says nothing of its own type.
    if !matches!(t.proto, IpProto::ICMP | IpProto::ICMPV6) {
        return;
    }
    let names = [("icmp_type", "icmp_code"), ("response_icmp_type", "response_icmp_code")];
    for ((kind_key, code_key), icmp) in names.into_iter().zip(f.icmp) {
        if let Some((kind, code)) = icmp {
            sink.uint(kind_key, kind.into());
            sink.uint(code_key, code.into());
        }
    }
}

fn tcp_end(sink: &mut dyn FieldSink, tcp: &FlowEndTcp) {
    let all = tcp.flags[0] | tcp.flags[1];
    sink.begin_object("tcp");
    sink.bytes("tcp_flags", &hex(all));
    sink.bytes("tcp_flags_ts", &hex(tcp.flags[0]));
    sink.bytes("tcp_flags_tc", &hex(tcp.flags[1]));
    flag_names(sink, all);
    if let Some(state) = tcp.state {
        sink.text("state", state);
        for (key, gap) in ["ts_gap", "tc_gap"].into_iter().zip(tcp.gaps) {
            if gap {
                sink.bool(key, true);
            }
        }
        sink.uint("ts_max_regions", tcp.regions_max[0].into());
        sink.uint("tc_max_regions", tcp.regions_max[1].into());
    }
    sink.end();
}

fn flag_names(sink: &mut dyn FieldSink, flags: u8) {
    const NAMES: [(&str, u8); 8] = [
        ("syn", 0x02),
        ("fin", 0x01),
        ("rst", 0x04),
        ("psh", 0x08),
        ("ack", 0x10),
        ("urg", 0x20),
        ("ecn", 0x40),
        ("cwr", 0x80),
    ];
    for (name, bit) in NAMES {
        if flags & bit != 0 {
            sink.bool(name, true);
        }
    }
}

fn hex(b: u8) -> [u8; 2] {
    [b >> 4, b & 0xf].map(|d| if d < 10 { b'0' + d } else { b'a' + d - 10 })
}

fn underscored(name: &str) -> Vec<u8> {
    name.bytes().map(|b| if b == b'-' { b'_' } else { b }).collect()
}
