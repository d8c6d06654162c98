//! IPv4 (RFC 791): header, options, and what its protocol field announces.

use super::context::{Cx, Entry, Fragment, Then};
use super::packet::{IpHeader, L4, Packet, Span, Tunnel};
use super::{events, icmp, transport, tunnel};
use crate::types::{Counter, FiveTuple, IpProto};
use crate::wire::checksum;
use crate::wire::ip::{Ipv4, option};
use smallvec::SmallVec;
use std::net::IpAddr;

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// Whether the header holds; what it carries may still be odd.
#[inline]
pub(super) fn decode(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) -> bool {
    cx.counters.inc(Counter::DecodeIpv4);
    if !cx.layer(p) {
        return false;
    }
    let Some((h, granted, body)) = header(p, data, at) else { return false };
    if body > at + Ipv4::LEN && !options(p, granted.get(at + Ipv4::LEN..body).unwrap_or(&[])) {
        return false;
    }
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
    p.flags.checksum_unverified = !cx.settings.verify_checksums;
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
        return true;
    }
    by_proto(cx, p, granted, body, proto);
    true
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
        IpProto::IGMP => transport::igmp(cx, p, data, at),
        IpProto::IPV6 => cx.then = Then::Inner(Tunnel::Ipv4, Entry::Ipv6, Span::new(at, data.len())),
        IpProto::IPIP => cx.then = Then::Inner(Tunnel::Ipv4, Entry::Ipv4, Span::new(at, data.len())),
        IpProto::ICMPV6 => p.malformed(events::IPV4_ICMPV6),
        // Van Jacobson's uncompressed TCP has the connection's slot where the protocol was (RFC 1144 3.2.2).
        IpProto::HOPOPT if cx.compressed_slot => {
            p.tuple.proto = IpProto::TCP;
            transport::tcp(cx, p, data, at);
        }
        IpProto::HOPOPT => {}
        _ => p.event(events::IPV4_UNKNOWN_PROTOCOL),
    }
}

/// Walks the options: each length against its kind, values against their own pointers, none twice. An odd option does not
/// end the walk unless the next one cannot be found: then the packet is not one to go on with, and the answer is false.
fn options(p: &mut Packet<'_>, area: &[u8]) -> bool {
    if !area.len().is_multiple_of(8) {
        p.event(events::IPV4_OPT_PAD_REQUIRED);
    }
    let mut seen: SmallVec<[u8; 8]> = SmallVec::new();
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
            p.event(events::IPV4_OPT_EOL_REQUIRED);
            return true;
        };
        let Some((whole, next)) = (len >= 2).then(|| rest.split_at_checked(usize::from(len))).flatten() else {
            p.invalid(events::IPV4_OPT_INVALID_LEN);
            return false;
        };
        rest = next;
        if seen.contains(&kind) {
            p.event(events::IPV4_OPT_DUPLICATE);
            continue;
        }
        match one_option(kind, whole) {
            Some(events::IPV4_OPT_INVALID) => p.event(events::IPV4_OPT_INVALID),
            Some(e) => p.malformed(e),
            None => seen.push(kind),
        }
    }
    true
}

/// What is wrong with one option, kind and length octets included.
fn one_option(kind: u8, whole: &[u8]) -> Option<u16> {
    let len = whole.len();
    let long_enough = match kind {
        option::STREAM_ID | option::ROUTER_ALERT => len == 4,
        option::QUICK_START => len >= 8,
        option::COMMERCIAL_SECURITY => len >= 10,
        option::TIMESTAMP => len >= 5,
        option::SECURITY
        | option::EXTENDED_SECURITY
        | option::RECORD_ROUTE
        | option::LOOSE_SOURCE_ROUTE
        | option::STRICT_SOURCE_ROUTE => len >= 3,
        _ => return Some(events::IPV4_OPT_INVALID),
    };
    if !long_enough {
        return Some(events::IPV4_OPT_INVALID_LEN);
    }
    let sound = match kind {
        option::RECORD_ROUTE | option::LOOSE_SOURCE_ROUTE | option::STRICT_SOURCE_ROUTE => {
            whole.get(2).is_some_and(|pointer| points_at_slot(*pointer, 4, 4, len))
        }
        option::TIMESTAMP => timestamp_sound(whole),
        option::COMMERCIAL_SECURITY => cipso_sound(whole.get(6..).unwrap_or(&[])),
        _ => true,
    };
    (!sound).then_some(events::IPV4_OPT_MALFORMED)
}

/// Whether a pointer, counted from 1, is on the boundary of a slot and at most just past the option (RFC 791 3.1).
const fn points_at_slot(pointer: u8, first: u8, slot: u8, len: usize) -> bool {
    pointer >= first && (pointer - first).is_multiple_of(slot) && pointer as usize <= len + 1
}

/// Timestamp: slots of 4 bytes, or of 8 where addresses are recorded too (flags 1 and 3).
fn timestamp_sound(whole: &[u8]) -> bool {
    let [_, _, pointer, overflow_flag, ..] = *whole else { return false };
    let slot = if matches!(overflow_flag & 0x0f, 1 | 3) { 8 } else { 4 };
    points_at_slot(pointer, 5, slot, whole.len())
}

/// Commercial security (CIPSO, draft-ietf-cipso-ipsecurity): tags of known kinds whose lengths add up.
fn cipso_sound(mut tags: &[u8]) -> bool {
    while let [kind, rest @ ..] = tags {
        let &[len, alignment, ..] = rest else { return false };
        let known = match kind {
            1 | 2 | 5 | 6 => alignment == 0,
            7 => true,
            _ => false,
        };
        if !known || len < 4 {
            return false;
        }
        match tags.get(usize::from(len)..) {
            Some(next) => tags = next,
            None => return false,
        }
    }
    true
}
