//! IPv4 (RFC 791): header, options, and what its protocol field announces.

use super::context::{Cx, Entry, Fragment, Then};
use super::packet::{IpHeader, L4, Packet, Span};
use super::{events, icmp, transport, tunnel};
use crate::types::{Counter, FiveTuple, IpProto};
use crate::wire::checksum;
use crate::wire::ip::{Ipv4, Ipv6, option};
use std::net::IpAddr;

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

#[inline]
pub(super) fn decode(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeIpv4);
    if !cx.layer(p) {
        return;
    }
    let Some((h, granted, body)) = header(p, data, at) else { return };
    let frag = h.frag();
    let proto = IpProto(h.proto());
    p.tuple = FiveTuple { src: IpAddr::V4(h.src()), dst: IpAddr::V4(h.dst()), sport: 0, dport: 0, proto };
    p.ip = Some(IpHeader::V4 {
        header: Span::new(at, body),
        tos: h.tos(),
        total_len: h.total_len(),
        id: h.id(),
        frag,
        ttl: h.ttl(),
        proto,
    });
    p.payload = Span::new(body, granted.len());
    if body > at + Ipv4::LEN {
        options(p, granted.get(at + Ipv4::LEN..body).unwrap_or(&[]));
    }
    if cx.settings.verify_checksums && !checksum::plain_ok(granted.get(at..body).unwrap_or(&[])) {
        p.flags.checksum_bad = true;
        cx.counters.inc(Counter::ChecksumInvalid);
    }
    if frag & (MORE_FRAGMENTS | OFFSET) != 0 {
        cx.then = Then::Fragment(Fragment {
            header: Span::new(at, body),
            next_at: 9,
            proto: proto.0,
            id: u32::from(h.id()),
            offset: u32::from(frag & OFFSET) * 8,
            more: frag & MORE_FRAGMENTS != 0,
            data: p.payload,
        });
        return;
    }
    by_proto(cx, p, granted, body, proto);
}

/// The header with the bytes it grants and where its payload begins; `None`, with the event, when it does not hold.
#[inline]
fn header<'d>(p: &mut Packet<'_>, data: &'d [u8], at: usize) -> Option<(Ipv4<'d>, &'d [u8], usize)> {
    let Some(h) = data.get(at..).and_then(Ipv4::parse) else {
        p.invalid(events::IPV4_PKT_TOO_SMALL);
        return None;
    };
    if h.version() != 4 {
        p.invalid(events::IPV4_WRONG_IP_VERSION);
        return None;
    }
    let (header_len, total) = (h.header_len(), usize::from(h.total_len()));
    if header_len < Ipv4::LEN {
        p.invalid(events::IPV4_HLEN_TOO_SMALL);
        return None;
    }
    if total < header_len {
        p.invalid(events::IPV4_IPLEN_SMALLER_THAN_HLEN);
        return None;
    }
    let Some(granted) = data.get(..at + total) else {
        p.invalid(events::IPV4_TRUNC_PKT);
        return None;
    };
    Some((h, granted, at + header_len))
}

#[inline]
fn by_proto(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize, proto: IpProto) {
    match proto {
        IpProto::TCP => transport::tcp(cx, p, data, at),
        IpProto::UDP => transport::udp(cx, p, data, at),
        IpProto::ICMP => icmp::v4(cx, p, data, at),
        _ => by_rarer_proto(cx, p, data, at, proto),
    }
}

fn by_rarer_proto(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize, proto: IpProto) {
    p.l4 = L4::Other;
    match proto {
        IpProto::SCTP => transport::sctp(cx, p, data, at),
        IpProto::GRE => tunnel::gre(cx, p, data, at),
        IpProto::ESP => transport::esp(cx, p, data, at),
        IpProto(2) => transport::igmp(cx, p, data, at),
        IpProto::IPV6 => {
            if data.len().saturating_sub(at) >= Ipv6::LEN {
                cx.counters.inc(Counter::DecodeIp6in4);
                cx.then = Then::Inner(Entry::Ipv6, Span::new(at, data.len()));
            }
        }
        IpProto::IPIP => {
            if data.len().saturating_sub(at) >= Ipv4::LEN {
                cx.counters.inc(Counter::DecodeIp4in4);
                cx.then = Then::Inner(Entry::Ipv4, Span::new(at, data.len()));
            }
        }
        IpProto::ICMPV6 => p.invalid(events::IPV4_ICMPV6),
        IpProto::AH => {}
        _ => p.event(events::IPV4_UNKNOWN_PROTOCOL),
    }
}

/// Walks the options: each length against its kind, values against their own pointers, none twice.
fn options(p: &mut Packet<'_>, area: &[u8]) {
    let mut seen = [0u64; 4];
    let mut rest = area;
    while let Some((&kind, after)) = rest.split_first() {
        match kind {
            option::END => break,
            option::NOP => {
                rest = after;
                continue;
            }
            _ => {}
        }
        let Some(&len) = after.first() else {
            return p.event(events::IPV4_OPT_INVALID_LEN);
        };
        let Some((whole, next)) = (len >= 2).then(|| rest.split_at_checked(usize::from(len))).flatten() else {
            return p.event(events::IPV4_OPT_INVALID_LEN);
        };
        rest = next;
        if let Some(word) = seen.get_mut(usize::from(kind >> 6)) {
            let bit = 1u64 << (kind & 63);
            if *word & bit != 0 {
                p.event(events::IPV4_OPT_DUPLICATE);
                continue;
            }
            *word |= bit;
        }
        if let Some(e) = one_option(kind, whole) {
            p.event(e);
        }
    }
}

/// What is wrong with one option, kind and length octets included.
fn one_option(kind: u8, whole: &[u8]) -> Option<u16> {
    let len = whole.len();
    match kind {
        option::SECURITY if len != 11 => Some(events::IPV4_OPT_INVALID_LEN),
        option::STREAM_ID if len != 4 => Some(events::IPV4_OPT_INVALID_LEN),
        option::ROUTER_ALERT if len != 4 => Some(events::IPV4_OPT_INVALID_LEN),
        option::QUICK_START if len < 8 => Some(events::IPV4_OPT_INVALID_LEN),
        option::EXTENDED_SECURITY
        | option::SECURITY
        | option::STREAM_ID
        | option::ROUTER_ALERT
        | option::QUICK_START => None,
        option::RECORD_ROUTE | option::LOOSE_SOURCE_ROUTE | option::STRICT_SOURCE_ROUTE => route_option(whole),
        option::TIMESTAMP => timestamp_option(whole),
        option::COMMERCIAL_SECURITY => cipso_option(whole),
        _ => Some(events::IPV4_OPT_INVALID),
    }
}

/// Record and source route (RFC 791 3.1): a pointer of 4 or more, on a slot boundary, at most one past the slots.
fn route_option(whole: &[u8]) -> Option<u16> {
    let [_, len, pointer, ..] = *whole else { return Some(events::IPV4_OPT_INVALID_LEN) };
    if len < 3 || (len - 3) % 4 != 0 {
        return Some(events::IPV4_OPT_INVALID_LEN);
    }
    (pointer < 4 || pointer % 4 != 0 || pointer > len.saturating_add(1)).then_some(events::IPV4_OPT_MALFORMED)
}

/// Timestamp (RFC 791 3.1): slots of 4 bytes (flag 0) or 8 (flags 1 and 3).
fn timestamp_option(whole: &[u8]) -> Option<u16> {
    let [_, len, pointer, overflow_flag, ..] = *whole else { return Some(events::IPV4_OPT_INVALID_LEN) };
    let slot = match overflow_flag & 0x0f {
        0 => 4,
        1 | 3 => 8,
        _ => return Some(events::IPV4_OPT_MALFORMED),
    };
    let bad = pointer < 5 || (pointer - 5) % slot != 0 || pointer > len.saturating_add(1);
    bad.then_some(events::IPV4_OPT_MALFORMED)
}

/// Commercial security (CIPSO, draft-ietf-cipso-ipsecurity): a domain, then tags whose lengths add up.
fn cipso_option(whole: &[u8]) -> Option<u16> {
    let mut tags = whole.get(6..)?;
    while let [kind, rest @ ..] = tags {
        let Some(&len) = rest.first() else { return Some(events::IPV4_OPT_MALFORMED) };
        if len < 4 || matches!(kind, 3 | 4) {
            return Some(events::IPV4_OPT_MALFORMED);
        }
        match tags.get(usize::from(len)..) {
            Some(next) => tags = next,
            None => return Some(events::IPV4_OPT_MALFORMED),
        }
    }
    None
}
