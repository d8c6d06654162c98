//! Encapsulations: GRE and what it carries, and the tunnels over UDP.

use super::context::{Cx, Entry, Then};
use super::packet::{Packet, Span, Tunnel};
use super::{events, link};
use crate::types::Counter;
use crate::wire::be16;
use crate::wire::ip::Ipv6;
use crate::wire::link::ether_type;
use crate::wire::tunnel::{Erspan, Geneve, Gre, Nsh, Vxlan};

/// GRE, version 0 (RFC 2784, RFC 2890, RFC 1701) and version 1 as PPTP uses it (RFC 2637).
pub(super) fn gre(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeGre);
    let Some(h) = data.get(at..).and_then(Gre::parse) else { return p.invalid(events::GRE_PKT_TOO_SMALL) };
    if !cx.layer(p) {
        return;
    }
    let header_len = match h.version() {
        0 => gre_v0(p, h, data.get(at..).unwrap_or(&[])),
        1 => gre_v1(p, h),
        _ => {
            p.invalid(events::GRE_WRONG_VERSION);
            None
        }
    };
    let Some(header_len) = header_len else { return };
    if header_len > data.len() - at {
        return p.invalid(match h.version() {
            0 => events::GRE_VERSION0_HDR_TOO_BIG,
            _ => events::GRE_VERSION1_HDR_TOO_BIG,
        });
    }
    let (start, at) = (at, at + header_len);
    p.payload = Span::new(at, data.len());
    let inner = |entry| Then::Inner(Tunnel::Gre, entry, Span::new(at, data.len()));
    cx.then = match h.proto() {
        ether_type::IPV4 => inner(Entry::Ipv4),
        ether_type::IPV6 => inner(Entry::Ipv6),
        // An acknowledgment of version 1 carries nothing.
        ether_type::PPP if h.version() == 1 && be16(data, start + 4) == Some(0) => Then::Done,
        ether_type::PPP => inner(Entry::Ppp),
        ether_type::BRIDGE => inner(Entry::Ethernet),
        ether_type::VLAN => inner(Entry::Vlan),
        ether_type::ARP => inner(Entry::Arp),
        ether_type::MPLS_UNICAST | ether_type::MPLS_MULTICAST => inner(Entry::Mpls),
        ether_type::ERSPAN => {
            // Without a sequence number it is type I, which has no header of its own.
            if h.sequence_present() { inner(Entry::Erspan) } else { inner(Entry::ErspanI) }
        }
        _ => Then::Done,
    };
}

/// Length of a version 0 header; `None`, with the event, when it does not hold.
fn gre_v0(p: &mut Packet<'_>, h: Gre<'_>, gre: &[u8]) -> Option<usize> {
    if h.recursion() != 0 {
        p.invalid(events::GRE_VERSION0_RECUR);
        return None;
    }
    if h.flags() != 0 {
        p.invalid(events::GRE_VERSION0_FLAGS);
        return None;
    }
    let mut len = Gre::LEN;
    if h.checksum_present() || h.routing_present() {
        len += 4;
    }
    if h.key_present() {
        len += 4;
    }
    if h.sequence_present() {
        len += 4;
    }
    if len > gre.len() {
        return Some(len);
    }
    if !h.routing_present() {
        return Some(len);
    }
    // Source route entries (RFC 1701): family, offset, length; one of family and length zero ends them.
    loop {
        let Some([f0, f1, _, entry_len]) = gre.get(len..).and_then(|d| d.first_chunk()) else {
            p.invalid(events::GRE_VERSION0_MALFORMED_SRE_HDR);
            return None;
        };
        len += 4;
        if u16::from_be_bytes([*f0, *f1]) == 0 && *entry_len == 0 {
            return Some(len);
        }
        len += usize::from(*entry_len);
        if len > gre.len() {
            p.invalid(events::GRE_VERSION0_MALFORMED_SRE_HDR);
            return None;
        }
    }
}

/// Length of a version 1 header; `None`, with the event, when it does not hold.
fn gre_v1(p: &mut Packet<'_>, h: Gre<'_>) -> Option<usize> {
    let wrong = if h.checksum_present() {
        Some(events::GRE_VERSION1_CHKSUM)
    } else if h.routing_present() {
        Some(events::GRE_VERSION1_ROUTE)
    } else if h.strict_source_route() {
        Some(events::GRE_VERSION1_SSR)
    } else if h.recursion() != 0 {
        Some(events::GRE_VERSION1_RECUR)
    } else if h.flags() != 0 {
        Some(events::GRE_VERSION1_FLAGS)
    } else if h.proto() != ether_type::PPP {
        Some(events::GRE_VERSION1_WRONG_PROTOCOL)
    } else if !h.key_present() {
        Some(events::GRE_VERSION1_NO_KEY)
    } else {
        None
    };
    if let Some(event) = wrong {
        p.invalid(event);
        return None;
    }
    let optional = usize::from(h.sequence_present()) + usize::from(h.ack_present());
    Some(Gre::LEN + 4 + optional * 4)
}

/// ERSPAN type II: VLAN of the mirrored frame, then the frame.
pub(super) fn erspan(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8]) -> bool {
    cx.counters.inc(Counter::DecodeErspan);
    let Some(h) = Erspan::parse(data) else {
        p.invalid(events::ERSPAN_HEADER_TOO_SMALL);
        return false;
    };
    if !cx.layer(p) {
        return false;
    }
    if h.version() != 1 {
        p.invalid(events::ERSPAN_UNSUPPORTED_VERSION);
        return false;
    }
    if h.vlan() > 0 && !p.vlan.push(h.vlan()) {
        p.invalid(events::ERSPAN_TOO_MANY_VLAN_LAYERS);
        return false;
    }
    link::ethernet(cx, p, data, Erspan::LEN)
}

/// Tunnels known by port. A datagram that does not look like one stays plain UDP.
#[inline]
pub(super) fn over_udp(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    let (sport, dport) = (p.tuple.sport, p.tuple.dport);
    let settings = cx.settings;
    if (settings.teredo.has(dport) || settings.teredo.has(sport)) && teredo(cx, p, data, at) {
        return;
    }
    if (settings.geneve.has(dport) || settings.geneve.has(sport)) && geneve(cx, p, data, at) {
        return;
    }
    if settings.vxlan.has(dport) {
        vxlan(cx, p, data, at);
    }
}

fn vxlan(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    let inner = at.saturating_add(Vxlan::LEN);
    // Whether a frame follows shows in its EtherType.
    let (Some(h), Some(kind)) = (data.get(at..).and_then(Vxlan::parse), be16(data, inner.saturating_add(12))) else {
        return;
    };
    if !cx.layer(p) || !h.vni_valid() || (cx.settings.vxlan_strict && !h.reserved_zero()) {
        return;
    }
    cx.counters.inc(Counter::DecodeVxlan);
    if carried(kind) {
        cx.then = Then::Inner(Tunnel::Vxlan, Entry::Ethernet, Span::new(inner, data.len()));
    } else {
        p.malformed(events::VXLAN_UNKNOWN_PAYLOAD_TYPE);
    }
}

/// Whether it is Geneve.
fn geneve(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) -> bool {
    let Some(h) = data.get(at..).and_then(Geneve::parse) else { return false };
    if !cx.layer(p) {
        return false;
    }
    let inner = at.saturating_add(Geneve::LEN + h.options_len());
    let options = data.get(at.saturating_add(Geneve::LEN)..inner);
    if h.version() != 0 || !h.reserved_zero() || !options.is_some_and(geneve_options_sound) {
        return false;
    }
    cx.counters.inc(Counter::DecodeGeneve);
    let entry = match h.proto() {
        ether_type::IPV4 => Entry::Ipv4,
        ether_type::IPV6 => Entry::Ipv6,
        ether_type::BRIDGE => Entry::Ethernet,
        ether_type::ARP => return true,
        _ => {
            p.malformed(events::GENEVE_UNKNOWN_PAYLOAD_TYPE);
            return true;
        }
    };
    cx.then = Then::Inner(Tunnel::Geneve, entry, Span::new(inner, data.len()));
    true
}

/// Whether the options' lengths add up to theirs (RFC 8926 3.5): class, type, length of the rest in units of 4 bytes.
fn geneve_options_sound(mut options: &[u8]) -> bool {
    while let [_, _, _, len, ..] = options {
        match options.get(4 + usize::from(len & 0x1f) * 4..) {
            Some(rest) => options = rest,
            None => return false,
        }
    }
    options.is_empty()
}

/// EtherTypes a frame inside VXLAN may begin with.
const fn carried(kind: u16) -> bool {
    matches!(
        kind,
        ether_type::IPV4
            | ether_type::IPV6
            | ether_type::ARP
            | ether_type::VLAN
            | ether_type::QINQ
            | ether_type::QINQ_OLD
    )
}

/// Teredo (RFC 4380 5.1.1): authentication and origin indications are passed over, and what follows is an IPv6 packet that
/// fills the datagram exactly; anything else is not Teredo, whatever its port. Many protocols have bytes that look so
/// by chance: a hop limit of zero, or options announced in a packet too short for them, is taken for that.
fn teredo(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) -> bool {
    let mut start = at;
    if let Some([0, 1, id_len, auth_len]) = data.get(start..).and_then(|d| d.first_chunk()) {
        // Identifier, authentication value, nonce and confirmation byte.
        start += 4 + usize::from(*id_len) + usize::from(*auth_len) + 9;
    }
    if let Some([0, 0]) = data.get(start..).and_then(|d| d.first_chunk()) {
        start += 8;
    }
    let Some(h) = data.get(start..).and_then(Ipv6::parse) else { return false };
    let len = usize::from(h.payload_len());
    let fills = start + Ipv6::LEN + len == data.len();
    if h.version() != 6 || !fills || h.hop_limit() == 0 || (h.next_header() == 0 && len < 8) {
        return false;
    }
    if !cx.room() {
        p.malformed(events::TOO_MANY_LAYERS);
        return false;
    }
    cx.then = Then::Inner(Tunnel::Teredo, Entry::Ipv6, Span::new(start, data.len()));
    true
}

/// Network service header (RFC 8300).
pub(super) fn nsh(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) -> bool {
    cx.counters.inc(Counter::DecodeNsh);
    let Some(h) = data.get(at..).and_then(Nsh::parse) else {
        p.invalid(events::NSH_HEADER_TOO_SMALL);
        return false;
    };
    if !cx.layer(p) {
        return false;
    }
    if h.version() != 0 {
        p.event(events::NSH_UNSUPPORTED_VERSION);
        return true;
    }
    let len = h.header_len();
    let inner = at + len;
    let fits = inner < data.len() && (h.md_type() != 1 || len == 24) && (h.md_type() != 2 || len >= Nsh::LEN);
    match h.md_type() {
        0 | 15 if inner < data.len() => {
            p.event(events::NSH_RESERVED_TYPE);
            return true;
        }
        _ if !fits => {
            p.invalid(events::NSH_BAD_HEADER_LENGTH);
            return false;
        }
        1 | 2 => {}
        _ => {
            p.event(events::NSH_UNSUPPORTED_TYPE);
            return true;
        }
    }
    match h.next_protocol() {
        1 => super::ipv4::decode(cx, p, data, inner),
        2 => super::ipv6::decode(cx, p, data, inner),
        3 => link::ethernet(cx, p, data, inner),
        5 => link::mpls(cx, p, data, inner),
        _ => {
            p.event(events::NSH_UNKNOWN_PAYLOAD);
            true
        }
    }
}
