//! What records tell of a packet beside its ends: its bytes, its addresses on the link, the tunnel it came out of, what
//! became of it, and the flow's identity as other tools count it.

use super::fields::PacketSource;
use crate::decode::{EtherHeader, LinkType, Packet};
use crate::types::text::{Text, ip_text, ip_text_short};
use crate::types::{FieldSink, FiveTuple, IpProto, RejectTarget, Verdict};
use data_encoding::BASE64;
use sha1::{Digest, Sha1};
use std::net::IpAddr;

/// Bytes shown of the header of a packet with an anomaly.
pub const HEADER_SHOWN: usize = 32;

/// `packet` and `packet_info`: at most `max` bytes and how they begin.
pub fn bytes(sink: &mut dyn FieldSink, p: &Packet<'_>, max: usize) {
    let bytes = p.bytes.as_slice();
    sink.base64("packet", bytes.get(..max).unwrap_or(bytes));
    let (number, name) = link(if p.depth > 0 { LinkType::RAW } else { p.link });
    sink.begin_object("packet_info");
    sink.uint("linktype", number.into());
    if let Some(name) = name {
        sink.text("linktype_name", name);
    }
    sink.end();
}

/// Number and name of a link type as libpcap has them in memory, where raw IP is another number than in files.
fn link(l: LinkType) -> (u32, Option<&'static str>) {
    let name = match l {
        LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 => return (12, Some("RAW")),
        LinkType::NULL => "NULL",
        LinkType::ETHERNET => "EN10MB",
        LinkType::PPP => "PPP",
        LinkType::IEEE802_11 => "IEEE802_11",
        LinkType::IEEE802_11_RADIOTAP => "IEEE802_11_RADIO",
        LinkType::C_HDLC => "C_HDLC",
        LinkType::LOOP => "LOOP",
        LinkType::LINUX_SLL => "LINUX_SLL",
        LinkType::LINUX_SLL2 => "LINUX_SLL2",
        LinkType::IPV4 => "IPv4",
        LinkType::IPV6 => "IPv6",
        _ => return (l.0, None),
    };
    (l.0, Some(name))
}

/// The outermost packet of one that came out of a tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Carrier {
    pub tuple: FiveTuple,
    pub source: PacketSource,
    pub number: u64,
}

/// The `tunnel` object.
pub fn tunnel(sink: &mut dyn FieldSink, c: &Carrier, depth: u8, short: bool) {
    let t = &c.tuple;
    sink.begin_object("tunnel");
    sink.text("src_ip", address(t.src, short).as_str());
    sink.uint("src_port", t.sport.into());
    sink.text("dest_ip", address(t.dst, short).as_str());
    sink.uint("dest_port", t.dport.into());
    super::fields::proto(sink, t.proto);
    sink.uint("depth", depth.into());
    sink.uint("pcap_cnt", c.number);
    sink.text("pkt_src", c.source.name());
    sink.end();
}

/// The `ether` object of one packet. `outer`: the type its Ethernet header names, a tag's where there are tags.
pub fn ethernet(sink: &mut dyn FieldSink, e: &EtherHeader, outer: Option<u16>) {
    sink.begin_object("ether");
    if let Some(kind) = outer {
        sink.uint("ether_type", kind.into());
    }
    sink.text("src_mac", mac(&e.src).as_str());
    sink.text("dest_mac", mac(&e.dst).as_str());
    sink.end();
}

pub(super) fn mac(a: &[u8; 6]) -> Text<17> {
    let mut t = Text::new();
    for (i, b) in a.iter().enumerate() {
        if i > 0 {
            t.push(b':');
        }
        t.hex((*b).into(), 2);
    }
    t
}

/// An address, whole or in its short form.
pub(super) fn address(a: IpAddr, short: bool) -> Text<39> {
    if short { ip_text_short(a) } else { ip_text(a) }
}

/// The `verdict` object: what became of the packet, whoever decided it. `passed`: a pass rule let it go.
pub fn verdict(sink: &mut dyn FieldSink, v: Verdict, proto: IpProto, passed: bool) {
    sink.begin_object("verdict");
    match v {
        Verdict::Forward => sink.text("action", if passed { "pass" } else { "alert" }),
        Verdict::Drop(_) => sink.text("action", "drop"),
        Verdict::Reject(_, target) => {
            sink.text("action", "drop");
            let whom = match target {
                RejectTarget::Source => "to_client",
                RejectTarget::Destination => "to_server",
                RejectTarget::Both => "both",
            };
            sink.text("reject_target", whom);
            sink.begin_array("reject");
            match proto {
                IpProto::TCP => sink.text("", "tcp-reset"),
                IpProto::UDP | IpProto::ICMP | IpProto::ICMPV6 => sink.text("", "icmp-prohib"),
                _ => {}
            }
            sink.end();
        }
    }
    sink.end();
}

/// Identity of a flow that other tools compute alike (Community ID, version 1): the hash of its ends in order, so that
/// both directions have one. `icmp` are the types asked and answered with, in place of ports.
pub fn community_id(seed: u16, t: &FiveTuple, icmp: [Option<(u8, u8)>; 2]) -> Text<30> {
    let ports = match t.proto {
        IpProto::ICMP | IpProto::ICMPV6 => icmp.map(|m| m.map_or(0, |(kind, _)| u16::from(kind))),
        _ => [t.sport, t.dport],
    };
    let (mut a, mut b) = ((t.src, ports[0]), (t.dst, ports[1]));
    if a > b {
        (a, b) = (b, a);
    }
    let mut h = Sha1::new();
    h.update(seed.to_be_bytes());
    for (ip, _) in [a, b] {
        match ip {
            IpAddr::V4(ip) => h.update(ip.octets()),
            IpAddr::V6(ip) => h.update(ip.octets()),
        }
    }
    h.update([t.proto.0, 0]);
    h.update(a.1.to_be_bytes());
    h.update(b.1.to_be_bytes());
    let mut digits = [0u8; 28];
    BASE64.encode_mut(&h.finalize(), &mut digits);
    let mut text = Text::new();
    b"1:".iter().chain(&digits).for_each(|c| text.push(*c));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(src: &str, sport: u16, dst: &str, dport: u16, proto: IpProto) -> FiveTuple {
        FiveTuple { src: src.parse().unwrap(), dst: dst.parse().unwrap(), sport, dport, proto }
    }

    #[test]
    fn community_ids_of_the_specification() {
        // The example of the specification's README, both ways.
        let t = tuple("128.232.110.120", 34_855, "66.35.250.204", 80, IpProto::TCP);
        let expected = "1:LQU9qZlK+B5F3KDmev6m5PMibrg=";
        assert_eq!(community_id(0, &t, [None, None]).as_str(), expected);
        assert_eq!(community_id(0, &t.flip(), [None, None]).as_str(), expected);
        assert_ne!(community_id(1, &t, [None, None]).as_str(), expected);
    }

    #[test]
    fn link_types_have_their_memory_numbers() {
        assert_eq!(link(LinkType::RAW), (12, Some("RAW")));
        assert_eq!(link(LinkType::ETHERNET), (1, Some("EN10MB")));
        assert_eq!(link(LinkType(250)), (250, None));
    }

    #[test]
    fn hardware_addresses() {
        assert_eq!(mac(&[0, 0x1b, 2, 0xff, 0x10, 9]).as_str(), "00:1b:02:ff:10:09");
    }
}
