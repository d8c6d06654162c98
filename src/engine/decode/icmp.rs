//! ICMP (RFC 792) and ICMPv6 (RFC 4443), and the packet an error quotes.

use super::context::{Cx, Sum};
use super::events;
use super::packet::{IpHeader, L4, Packet, Span};
use crate::types::{Counter, FiveTuple, IpProto};
use crate::wire::be16;
use crate::wire::icmp::{Icmp, v4 as t4, v6 as t6};
use crate::wire::ip::{ExtHeader, Ipv4, Ipv6};
use std::net::IpAddr;

pub(super) fn v4(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeIcmp4);
    let Some(h) = data.get(at..).and_then(Icmp::parse) else { return p.invalid(events::ICMPV4_PKT_TOO_SMALL) };
    let fixed = at + Icmp::LEN;
    let rest = data.get(fixed..).unwrap_or(&[]);
    let (kind, code) = (h.kind(), h.code());
    let (mut embedded, mut more) = (None, 0);
    match codes_v4(kind) {
        None => p.event(events::ICMPV4_UNKNOWN_TYPE),
        Some(max) if code > max => p.event(events::ICMPV4_UNKNOWN_CODE),
        Some(_) if t4::is_error(kind) => match quoted_v4(rest) {
            Quoted::Nothing if kind != t4::SOURCE_QUENCH => {}
            Quoted::Nothing | Quoted::Short => p.malformed(events::ICMPV4_IPV4_TRUNC_PKT),
            Quoted::Version => p.malformed(events::ICMPV4_IPV4_UNKNOWN_VER),
            Quoted::Tuple(t) => embedded = Some(t),
        },
        Some(_) => {}
    }
    if let Some(n) = header_more_v4(kind, data.get(at..).unwrap_or(&[])) {
        if n > rest.len() {
            p.event(events::ICMPV4_IPV4_TRUNC_PKT);
        } else {
            more = n;
        }
    }
    let id_seq = t4::has_id(kind).then(|| h.id_seq());
    p.payload = Span::new(fixed + more, data.len());
    p.l4 = L4::Icmp4 { header: Span::new(at, fixed + more), kind, code, id_seq, embedded };
    cx.verify(p, data.get(at..).unwrap_or(&[]), Sum::Plain);
}

/// Highest code of an ICMP type; `None` for types that are not in use.
const fn codes_v4(kind: u8) -> Option<u8> {
    Some(match kind {
        t4::DEST_UNREACHABLE => 15,
        t4::REDIRECT => 3,
        t4::ROUTER_ADVERT => 255,
        t4::TIME_EXCEEDED => 1,
        t4::ECHO_REPLY | t4::SOURCE_QUENCH | t4::ECHO | t4::PARAMETER_PROBLEM..=t4::ADDRESS_REPLY => 0,
        _ => return None,
    })
}

/// What a message's header has beyond its first 8 bytes: three times (RFC 792), the addresses of routers (RFC 1256 3.1).
fn header_more_v4(kind: u8, message: &[u8]) -> Option<usize> {
    match kind {
        t4::TIMESTAMP | t4::TIMESTAMP_REPLY => Some(12),
        t4::ROUTER_ADVERT => match message {
            [_, _, _, _, count, words, ..] => Some(usize::from(*count) * usize::from(*words) * 4),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn v6(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeIcmp6);
    let Some(h) = data.get(at..).and_then(Icmp::parse) else { return p.invalid(events::ICMPV6_PKT_TOO_SMALL) };
    let fixed = at + Icmp::LEN;
    let (kind, code) = (h.kind(), h.code());
    let known = kind_v6(p, kind, code);
    let mut embedded = None;
    if known && t6::is_error(kind) {
        match quoted_v6(data.get(fixed..).unwrap_or(&[])) {
            Quoted::Tuple(t) => embedded = Some(t),
            Quoted::Nothing | Quoted::Short => p.malformed(events::ICMPV6_IPV6_TRUNC_PKT),
            Quoted::Version => p.malformed(events::ICMPV6_IPV6_UNKNOWN_VERSION),
        }
    }
    let id_seq = t6::has_id(kind).then(|| h.id_seq());
    // Of errors and echoes the second word is header; of all others it is the message's own (RFC 4443 2.1).
    let body = if known && (t6::is_error(kind) || t6::has_id(kind)) { fixed } else { at + Icmp::COMMON };
    p.payload = Span::new(body, data.len());
    p.l4 = L4::Icmp6 { header: Span::new(at, fixed), kind, code, id_seq, embedded };
    cx.verify(p, data.get(at..).unwrap_or(&[]), Sum::Under(58));
}

/// Events of type and code (IANA "ICMPv6 parameters"); whether both are known.
fn kind_v6(p: &mut Packet<'_>, kind: u8, code: u8) -> bool {
    let odd_type = match kind {
        0 | 127 => Some(events::ICMPV6_UNKNOWN_TYPE),
        100 | 101 | 200 | 201 => Some(events::ICMPV6_EXPERIMENTATION_TYPE),
        5..=99 | 102..=126 | 160..=199 | 202..=255 => Some(events::ICMPV6_UNASSIGNED_TYPE),
        _ => None,
    };
    if let Some(event) = odd_type {
        p.event(event);
        return false;
    }
    let unknown = match kind {
        t6::DEST_UNREACHABLE => code > 6,
        t6::TIME_EXCEEDED => code > 1,
        t6::PARAMETER_PROBLEM | t6::NODE_QUERY | t6::NODE_REPLY => code > 2,
        // Command, result, and the reset of sequence numbers (RFC 2894 4.1).
        t6::ROUTER_RENUMBERING => (3..=254).contains(&code),
        // Mobility's fast handovers (RFC 5568).
        150..=153 => false,
        // RPL control messages (RFC 6550 6).
        155 => code & 0x7f > if code < 128 { 3 } else { 4 },
        _ => code > 0,
    };
    if unknown {
        p.event(events::ICMPV6_UNKNOWN_CODE);
    }
    if matches!(kind, t6::MLD_QUERY..=t6::MLD_DONE) && !matches!(p.ip, Some(IpHeader::V6 { hop_limit: 1, .. })) {
        p.event(events::ICMPV6_MLD_MESSAGE_WITH_INVALID_HL);
    }
    !unknown
}

enum Quoted {
    Tuple(FiveTuple),
    Nothing,
    Short,
    Version,
}

/// The IPv4 header an error quotes, with the ports behind it where they are there.
fn quoted_v4(quote: &[u8]) -> Quoted {
    if quote.is_empty() {
        return Quoted::Nothing;
    }
    let Some(h) = Ipv4::parse(quote) else { return Quoted::Short };
    if h.version() != 4 {
        return Quoted::Version;
    }
    let proto = IpProto(h.proto());
    // A later fragment has no ports, only bytes that look like some.
    let ports_at = if h.frag() & 0x1fff == 0 { h.header_len() } else { usize::MAX };
    Quoted::Tuple(quoted_tuple(quote, ports_at, IpAddr::V4(h.src()), IpAddr::V4(h.dst()), proto))
}

/// The IPv6 header an error quotes; extension headers are walked while they are there.
fn quoted_v6(quote: &[u8]) -> Quoted {
    let Some(h) = Ipv6::parse(quote) else { return Quoted::Short };
    if h.version() != 6 {
        return Quoted::Version;
    }
    let (mut at, mut next) = (Ipv6::LEN, h.next_header());
    while matches!(next, 0 | 43 | 44 | 60) {
        let Some(e) = quote.get(at..).and_then(ExtHeader::parse) else { break };
        if next == 44 && e.frag_offset() != 0 {
            at = usize::MAX;
        }
        at = at.saturating_add(if next == 44 { 8 } else { e.len() });
        next = e.next_header();
    }
    Quoted::Tuple(quoted_tuple(quote, at, IpAddr::V6(h.src()), IpAddr::V6(h.dst()), IpProto(next)))
}

fn quoted_tuple(quote: &[u8], ports_at: usize, src: IpAddr, dst: IpAddr, proto: IpProto) -> FiveTuple {
    let (mut sport, mut dport) = (0, 0);
    if matches!(proto, IpProto::TCP | IpProto::UDP | IpProto::SCTP)
        && let (Some(s), Some(d)) = (be16(quote, ports_at), be16(quote, ports_at.saturating_add(2)))
    {
        (sport, dport) = (s, d);
    }
    FiveTuple { src, dst, sport, dport, proto }
}
