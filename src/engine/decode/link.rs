//! Link types, Ethernet and the tags, labels and sessions between it and IP.

use super::context::Cx;
use super::packet::{EtherHeader, LinkType, Packet, Span};
use super::{events, ipv4, ipv6, tunnel};
use crate::types::Counter;
use crate::wire::link::{
    Dot11Data, Ethernet, MplsLabel, Pppoe, Sll, Sll2, Snap, VlanTag, ether_type, ppp as ppp_proto, radiotap_len,
};
use crate::wire::{be16, be32};

pub(super) fn by_link_type(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], link: LinkType) -> bool {
    match link {
        LinkType::ETHERNET => return ethernet(cx, p, data, 0),
        LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 | LinkType::IPV4 | LinkType::IPV6 => raw(cx, p, data, 0),
        LinkType::NULL | LinkType::LOOP => null(cx, p, data),
        LinkType::PPP => return ppp(cx, p, data, 0),
        LinkType::LINUX_SLL => sll(cx, p, data),
        LinkType::LINUX_SLL2 => sll2(cx, p, data),
        LinkType::C_HDLC => chdlc(cx, p, data),
        LinkType::IEEE802_11 => dot11(cx, p, data, 0),
        LinkType::IEEE802_11_RADIOTAP => match radiotap_len(data) {
            Some(n) if n <= data.len() => dot11(cx, p, data, n),
            _ => p.flags.invalid = true,
        },
        _ => p.payload = Span::new(0, data.len()),
    }
    true
}

/// Whether the header is there; what it carries is its own business.
#[inline]
pub(super) fn ethernet(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) -> bool {
    cx.counters.inc(Counter::DecodeEthernet);
    let Some(h) = data.get(at..).and_then(Ethernet::parse) else {
        p.invalid(events::ETHERNET_PKT_TOO_SMALL);
        return false;
    };
    if !cx.layer(p) {
        return false;
    }
    let kind = h.ether_type();
    let header = Span::new(at, at + Ethernet::LEN);
    p.ether = Some(EtherHeader { dst: h.dst(), src: h.src(), ether_type: kind, header });
    by_ether_type(cx, p, data, at + Ethernet::LEN, kind);
    true
}

/// What an EtherType announces; whether it is one that is known here.
#[inline]
pub(super) fn by_ether_type(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize, kind: u16) -> bool {
    if let Some(e) = &mut p.ether {
        e.ether_type = kind;
    }
    match kind {
        ether_type::IPV4 => ipv4::decode(cx, p, data, at),
        ether_type::IPV6 => ipv6::decode(cx, p, data, at),
        _ => return by_rarer_ether_type(cx, p, data, at, kind),
    };
    true
}

fn by_rarer_ether_type(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize, kind: u16) -> bool {
    p.payload = Span::new(at.min(data.len()), data.len());
    match kind {
        ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD => {
            vlan(cx, p, data, at);
        }
        ether_type::ARP => {
            arp(cx, p, data, at);
        }
        ether_type::PPPOE_SESSION => pppoe_session(cx, p, data, at),
        ether_type::PPPOE_DISCOVERY => pppoe_discovery(cx, p, data, at),
        ether_type::MPLS_UNICAST | ether_type::MPLS_MULTICAST => {
            mpls(cx, p, data, at);
        }
        ether_type::BACKBONE => backbone(cx, p, data, at),
        ether_type::VNTAG => vntag(cx, p, data, at),
        ether_type::ETAG => etag(cx, p, data, at),
        ether_type::DCE => {
            // Two bytes of fabric tag, then a whole Ethernet header.
            if data.len() < at.saturating_add(2 + Ethernet::LEN) {
                p.invalid(events::DCE_PKT_TOO_SMALL);
            } else {
                ethernet(cx, p, data, at + 2);
            }
        }
        ether_type::NSH => {
            tunnel::nsh(cx, p, data, at);
        }
        ..0x0600 => match data.get(at..).and_then(Snap::parse) {
            Some(s) => by_snap(cx, p, data, at + Snap::LEN, s),
            None => return unknown_ether_type(cx, p),
        },
        _ => return unknown_ether_type(cx, p),
    }
    true
}

fn unknown_ether_type(cx: &mut Cx<'_>, p: &mut Packet<'_>) -> bool {
    cx.counters.inc(Counter::DecodeUnknownEtherType);
    p.event(events::ETHERNET_UNKNOWN_ETHERTYPE);
    false
}

fn by_snap(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize, snap: Snap<'_>) {
    // Encapsulated Ethernet (RFC 1042) and bridge-tunnel encapsulation; other organisations' protocols are their own.
    if matches!(snap.oui(), [0, 0, 0] | [0, 0, 0xf8]) && snap.ether_type() >= 0x0600 && cx.layer(p) {
        by_ether_type(cx, p, data, at, snap.ether_type());
    }
}

/// A tag more than are kept is odd, but bridges pass such frames on, and so does decoding.
pub(super) fn vlan(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) -> bool {
    match p.vlan.len {
        0 => cx.counters.inc(Counter::DecodeVlan),
        1 => cx.counters.inc(Counter::DecodeQinq),
        2 => cx.counters.inc(Counter::DecodeQinqinq),
        _ => {}
    }
    let Some(tag) = data.get(at..).and_then(VlanTag::parse) else {
        p.invalid(events::VLAN_HEADER_TOO_SMALL);
        return false;
    };
    if !cx.layer(p) {
        return false;
    }
    if !p.vlan.push(tag.id()) && !p.events.contains(&events::VLAN_TOO_MANY_LAYERS) {
        p.event(events::VLAN_TOO_MANY_LAYERS);
    }
    let known = by_ether_type(cx, p, data, at + VlanTag::LEN, tag.ether_type());
    if !known {
        p.malformed(events::VLAN_UNKNOWN_TYPE);
    }
    known
}

/// 802.1ah: service tag, then the customer's whole Ethernet frame.
fn backbone(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeBackbone);
    // Flags and service identifier, both addresses, EtherType.
    let Some(kind) = be16(data, at.saturating_add(16)) else {
        return p.invalid(events::IEEE8021AH_HEADER_TOO_SMALL);
    };
    if cx.layer(p) {
        by_ether_type(cx, p, data, at + 18, kind);
    }
}

fn vntag(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeVntag);
    let Some(kind) = be16(data, at.saturating_add(4)) else {
        return p.invalid(events::VNTAG_HEADER_TOO_SMALL);
    };
    if cx.layer(p) && !by_ether_type(cx, p, data, at + 6, kind) {
        p.malformed(events::VNTAG_UNKNOWN_TYPE);
    }
}

fn etag(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeEtag);
    let Some(kind) = be16(data, at.saturating_add(6)) else {
        return p.invalid(events::ETAG_HEADER_TOO_SMALL);
    };
    if cx.layer(p) && !by_ether_type(cx, p, data, at + 8, kind) {
        p.malformed(events::ETAG_UNKNOWN_TYPE);
    }
}

/// ARP over Ethernet for IPv4 (RFC 826): fixed fields checked, nothing kept.
pub(super) fn arp(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) -> bool {
    cx.counters.inc(Counter::DecodeArp);
    let Some(h): Option<&[u8; 8]> = data.get(at..).and_then(|d| d.first_chunk()) else {
        p.invalid(events::ARP_PKT_TOO_SMALL);
        return false;
    };
    if !cx.layer(p) {
        return false;
    }
    let [hw0, hw1, pr0, pr1, hw_len, proto_len, op0, op1] = *h;
    let wrong = if u16::from_be_bytes([hw0, hw1]) != 1 {
        events::ARP_UNSUPPORTED_HARDWARE
    } else if u16::from_be_bytes([pr0, pr1]) != ether_type::IPV4 {
        events::ARP_UNSUPPORTED_PROTOCOL
    } else if data.len() < at.saturating_add(28) {
        events::ARP_INVALID_PKT
    } else if hw_len != 6 {
        events::ARP_INVALID_HARDWARE_SIZE
    } else if proto_len != 4 {
        events::ARP_INVALID_PROTOCOL_SIZE
    } else if !matches!(u16::from_be_bytes([op0, op1]), 1..=4) {
        events::ARP_UNSUPPORTED_OPCODE
    } else {
        return true;
    };
    p.invalid(wrong);
    false
}

/// MPLS label stack (RFC 3032): what it carries shows in its first nibble only.
pub(super) fn mpls(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) -> bool {
    cx.counters.inc(Counter::DecodeMpls);
    if !cx.layer(p) {
        return false;
    }
    let mut at = at;
    let label = loop {
        let Some(l) = data.get(at..).and_then(MplsLabel::parse) else {
            p.invalid(events::MPLS_HEADER_TOO_SMALL);
            return false;
        };
        at += MplsLabel::LEN;
        if l.bottom() {
            break l.label();
        }
    };
    p.payload = Span::new(at, data.len());
    match label {
        0 => return ipv4::decode(cx, p, data, at),
        1 => p.event(events::MPLS_BAD_LABEL_ROUTER_ALERT),
        2 => return ipv6::decode(cx, p, data, at),
        3 => p.event(events::MPLS_BAD_LABEL_IMPLICIT_NULL),
        4..=14 => p.event(events::MPLS_BAD_LABEL_RESERVED),
        _ if data.len() - at < 4 => {
            p.invalid(events::MPLS_PKT_TOO_SMALL);
            return false;
        }
        _ => match data.get(at).map_or(0, |b| b >> 4) {
            4 => {
                ipv4::decode(cx, p, data, at);
            }
            6 => {
                ipv6::decode(cx, p, data, at);
            }
            // A pseudowire control word (RFC 4385) before Ethernet.
            0 => {
                ethernet(cx, p, data, at + 4);
            }
            _ => p.malformed(events::MPLS_UNKNOWN_PAYLOAD_TYPE),
        },
    }
    true
}

/// PPPoE (RFC 2516): the length field is not held against the bytes, since IP's own total length says where the packet
/// ends; but nothing is taken from a session packet that claims to carry nothing.
fn pppoe_session(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodePppoe);
    let header = data.get(at..).and_then(Pppoe::parse);
    let (Some(h), Some(first)) = (header, data.get(at.saturating_add(Pppoe::LEN))) else {
        return p.invalid(events::PPPOE_PKT_TOO_SMALL);
    };
    if h.payload_len() == 0 {
        return;
    }
    if first & 1 == 0 && data.len() < at + Pppoe::LEN + 2 {
        return p.invalid(events::PPPOE_PKT_TOO_SMALL);
    }
    ppp_body(cx, p, data, at + Pppoe::LEN, Within::Session);
}

/// PPPoE discovery (RFC 2516 5): codes and tags checked.
fn pppoe_discovery(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodePppoe);
    let Some(h) = data.get(at..).and_then(Pppoe::parse) else {
        return p.invalid(events::PPPOE_PKT_TOO_SMALL);
    };
    // PADI, PADO, PADR, PADS, PADT.
    if !matches!(h.code(), 0x09 | 0x07 | 0x19 | 0x65 | 0xa7) {
        return p.invalid(events::PPPOE_WRONG_CODE);
    }
    let start = at + Pppoe::LEN;
    let len = usize::from(h.payload_len());
    // Tags are not walked: nothing rests on them but the discovery itself.
    if data.len() - start < len {
        p.invalid(events::PPPOE_MALFORMED_TAGS);
    }
}

/// PPP, with or without address and control bytes (RFC 1662 3.1).
pub(super) fn ppp(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) -> bool {
    cx.counters.inc(Counter::DecodePpp);
    let skip = if data.get(at) == Some(&0xff) { 2 } else { 0 };
    let begins = at + skip;
    let needed = match data.get(begins) {
        Some(b) if b & 1 == 1 => 1,
        Some(_) => 2,
        None => usize::MAX,
    };
    if data.len().saturating_sub(begins) < needed {
        p.invalid(events::PPP_PKT_TOO_SMALL);
        return false;
    }
    cx.layer(p) && ppp_body(cx, p, data, begins, Within::Link)
}

/// Where a PPP protocol field was met: PPPoE and PPP itself differ in what they find odd.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Session,
    Link,
}

/// From the protocol field on, which is one byte or two (RFC 1661 2) and is all there.
fn ppp_body(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize, within: Within) -> bool {
    let (proto, used) = match data.get(at..) {
        // An odd first byte is a whole compressed protocol field.
        Some([b, ..]) if b & 1 == 1 => (u16::from(*b), 1),
        Some([hi, lo, ..]) => (u16::from_be_bytes([*hi, *lo]), 2),
        _ => return false,
    };
    let compressed = used == 1 && within == Within::Link;
    let at = at + used;
    let left = data.len().saturating_sub(at);
    p.payload = Span::new(at, data.len());
    let small = match proto {
        ppp_proto::IPV4 if left < 20 && compressed => Some(events::PPP_VJU_PKT_TOO_SMALL),
        ppp_proto::IPV4 if left < 20 => Some(events::PPP_IP4_PKT_TOO_SMALL),
        ppp_proto::VJ_UNCOMPRESSED if left < 20 => Some(events::PPP_VJU_PKT_TOO_SMALL),
        ppp_proto::IPV6 if left < 40 => Some(events::PPP_IP6_PKT_TOO_SMALL),
        _ => None,
    };
    if let Some(event) = small {
        p.invalid(event);
        return false;
    }
    match proto {
        ppp_proto::IPV4 => return ipv4::decode(cx, p, data, at),
        ppp_proto::IPV6 => return ipv6::decode(cx, p, data, at),
        ppp_proto::VJ_UNCOMPRESSED if data.get(at).is_some_and(|b| b >> 4 == 4) => {
            cx.compressed_slot = true;
            return ipv4::decode(cx, p, data, at);
        }
        ppp_proto::VJ_UNCOMPRESSED => return false,
        _ if compressed => p.event(events::PPP_UNSUP_PROTO),
        _ if ppp_proto::control(proto) => {}
        _ if ppp_proto::network(proto) => p.event(events::PPP_UNSUP_PROTO),
        _ => p.invalid(events::PPP_WRONG_TYPE),
    }
    true
}

/// IP without a link header: the version decides.
pub(super) fn raw(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeRaw);
    if data.len().saturating_sub(at) < 20 {
        return p.invalid(events::IPV4_PKT_TOO_SMALL);
    }
    match data.get(at).map(|b| b >> 4) {
        Some(4) => {
            ipv4::decode(cx, p, data, at);
        }
        Some(6) => {
            ipv6::decode(cx, p, data, at);
        }
        _ => p.event(events::IPRAW_INVALID_IP_VERSION),
    }
}

/// BSD loopback: four bytes of address family, in the byte order of whoever captured (NULL) or network order (LOOP).
fn null(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8]) {
    cx.counters.inc(Counter::DecodeNull);
    let Some(family) = be32(data, 0) else { return p.invalid(events::LTNULL_PKT_TOO_SMALL) };
    let family = if family > 0xffff { family.swap_bytes() } else { family };
    p.payload = Span::new(4, data.len());
    match family {
        2 => {
            ipv4::decode(cx, p, data, 4);
        }
        // AF_INET6 of Linux, Windows, NetBSD and OpenBSD, Solaris, FreeBSD, macOS.
        10 | 23 | 24 | 26 | 28 | 30 => {
            ipv6::decode(cx, p, data, 4);
        }
        _ => p.event(events::LTNULL_UNSUPPORTED_TYPE),
    }
}

fn sll(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8]) {
    cx.counters.inc(Counter::DecodeSll);
    let Some(h) = Sll::parse(data) else { return p.invalid(events::SLL_PKT_TOO_SMALL) };
    if cx.layer(p) {
        by_ether_type(cx, p, data, Sll::LEN, h.ether_type());
    }
}

fn sll2(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8]) {
    cx.counters.inc(Counter::DecodeSll2);
    let Some(h) = Sll2::parse(data) else { return p.invalid(events::SLL2_PKT_TOO_SMALL) };
    if cx.layer(p) {
        by_ether_type(cx, p, data, Sll2::LEN, h.ether_type());
    }
}

/// Cisco HDLC: address, control, EtherType.
fn chdlc(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8]) {
    cx.counters.inc(Counter::DecodeChdlc);
    let Some(kind) = be16(data, 2) else { return p.invalid(events::CHDLC_PKT_TOO_SMALL) };
    if cx.layer(p) {
        by_ether_type(cx, p, data, 4, kind);
    }
}

/// 802.11: unencrypted data frames with LLC/SNAP; all else is bytes.
fn dot11(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeIeee80211);
    p.payload = Span::new(at.min(data.len()), data.len());
    let Some(h) = data.get(at..).and_then(Dot11Data::parse) else { return };
    let at = at.saturating_add(h.header_len);
    if let Some(snap) = data.get(at..).and_then(Snap::parse)
        && cx.layer(p)
    {
        let (ether_type, header) = (snap.ether_type(), Span::default());
        p.ether = Some(EtherHeader { dst: h.dst, src: h.src, ether_type, header });
        by_snap(cx, p, data, at + Snap::LEN, snap);
    }
}
