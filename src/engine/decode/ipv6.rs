//! IPv6 (RFC 8200): fixed header and the chain of extension headers, then the transport.

use super::context::{Cx, Entry, Fragment, Then};
use super::packet::{IpHeader, L4, Packet, Span, Tunnel};
use super::{events, icmp, transport, tunnel};
use crate::types::{Counter, FiveTuple, IpProto};
use crate::wire::ip::{ExtHeader, Ipv4, Ipv6};
use std::net::IpAddr;

/// The fragment header (RFC 8200 4.5).
const FRAGMENT: u8 = 44;

/// Mobility, host identity, shim6 (RFC 6275, 7401, 5533): walked by their length like the options headers.
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// Whether the fixed header holds; what it carries may still be odd.
pub(super) fn decode(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) -> bool {
    cx.counters.inc(Counter::DecodeIpv6);
    if !cx.layer(p) {
        return false;
    }
    let Some(h) = data.get(at..).and_then(Ipv6::parse) else {
        p.invalid(events::IPV6_PKT_TOO_SMALL);
        return false;
    };
    if h.version() != 6 {
        p.invalid(events::IPV6_WRONG_IP_VERSION);
        return false;
    }
    let body = at + Ipv6::LEN;
    let Some(granted) = data.get(..body + usize::from(h.payload_len())) else {
        p.invalid(events::IPV6_TRUNC_PKT);
        return false;
    };
    p.tuple = FiveTuple {
        src: IpAddr::V6(h.src()),
        dst: IpAddr::V6(h.dst()),
        sport: 0,
        dport: 0,
        proto: IpProto(h.next_header()),
    };
    p.payload = Span::new(body, granted.len());
    let mut walk =
        Walk { start: at, at: body, next: h.next_header(), next_at: 6, fragment: None, seen: Seen::default() };
    let whole = match h.next_header() {
        6 | 17 | 58 => true,
        _ => walk.run(p, granted),
    };
    // What a piece of a datagram carries is known when the datagram is whole.
    let proto = if walk.fragment.is_some() { IpProto(FRAGMENT) } else { IpProto(walk.next) };
    p.ip = Some(IpHeader::V6 {
        header: Span::new(at, walk.at),
        traffic_class: h.traffic_class(),
        flow_label: h.flow_label(),
        payload_len: h.payload_len(),
        hop_limit: h.hop_limit(),
        proto,
        fragmented: walk.seen.fragment,
    });
    p.tuple.proto = proto;
    p.payload = Span::new(walk.at, granted.len());
    if let Some(f) = walk.fragment {
        cx.then = Then::Fragment(f);
    } else if whole {
        by_proto(cx, p, granted, walk.at, IpProto(walk.next), walk.at > body);
    }
    true
}

/// `extended`: extension headers stand before it, where tunnels are not looked for by others; they are taken all the same
/// if they hold, since receivers take them.
fn by_proto(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize, proto: IpProto, extended: bool) {
    match proto {
        IpProto::TCP => return transport::tcp(cx, p, data, at),
        IpProto::UDP => return transport::udp(cx, p, data, at),
        IpProto::ICMPV6 => return icmp::v6(cx, p, data, at),
        IpProto::SCTP => return transport::sctp(cx, p, data, at),
        _ => {}
    }
    p.l4 = L4::Other;
    match proto {
        IpProto::IPIP => inner(cx, p, data, at, 4),
        IpProto::IPV6 if extended => {
            p.event(events::IPV6_UNKNOWN_NEXT_HEADER);
            if data.get(at).is_some_and(|b| b >> 4 == 6) {
                cx.then = Then::Inner(Tunnel::Ipv6, Entry::Ipv6, Span::new(at, data.len()));
            }
        }
        IpProto::IPV6 => inner(cx, p, data, at, 6),
        IpProto::GRE => {
            if extended {
                p.event(events::IPV6_UNKNOWN_NEXT_HEADER);
            }
            tunnel::gre(cx, p, data, at);
        }
        IpProto::ESP if data.len().saturating_sub(at) < 2 => p.invalid(events::IPV6_TRUNC_EXTHDR),
        IpProto::ESP => transport::esp(cx, p, data, at),
        IpProto::ICMP => p.event(events::IPV6_ICMPV4),
        IpProto::NONE => {
            if data.len() > at {
                p.event(events::IPV6_DATA_AFTER_NONE_HEADER);
            }
        }
        _ => p.event(events::IPV6_UNKNOWN_NEXT_HEADER),
    }
}

fn inner(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize, version: u8) {
    let left = data.len().saturating_sub(at);
    let (min, small, wrong, entry) = if version == 4 {
        (Ipv4::LEN, events::IPV6_IPV4_IN_IPV6_TOO_SMALL, events::IPV6_IPV4_IN_IPV6_WRONG_VERSION, Entry::Ipv4)
    } else {
        (Ipv6::LEN, events::IPV6_IPV6_IN_IPV6_TOO_SMALL, events::IPV6_IPV6_IN_IPV6_WRONG_VERSION, Entry::Ipv6)
    };
    if left < min {
        return p.invalid(small);
    }
    if data.get(at).is_none_or(|b| b >> 4 != version) {
        return p.invalid(wrong);
    }
    cx.then = Then::Inner(Tunnel::Ipv6, entry, Span::new(at, data.len()));
}

#[derive(Default)]
struct Seen {
    hop: bool,
    routing: bool,
    fragment: bool,
    auth: bool,
    dest: u8,
}

/// The chain of extension headers (RFC 8200 4). Each is 8 bytes at least, so the datagram's length bounds the walk.
struct Walk {
    /// First byte of the fixed header.
    start: usize,
    /// The next header's first byte.
    at: usize,
    /// What it is.
    next: u8,
    /// Where that is written, from `start`.
    next_at: usize,
    fragment: Option<Fragment>,
    seen: Seen,
}

impl Walk {
    /// Walks up to the transport; false when the chain does not hold together, `fragment` set when it is a piece.
    fn run(&mut self, p: &mut Packet<'_>, data: &[u8]) -> bool {
        loop {
            let proto = self.next;
            let known = matches!(proto, 0 | 43 | 44 | 51 | 60 | MOBILITY | HIP | SHIM6);
            if !known {
                // No header that an extension header announces is shorter than this.
                let cut = self.at > self.start + Ipv6::LEN && data.len().saturating_sub(self.at) < 2;
                if cut && proto != IpProto::NONE.0 {
                    p.invalid(events::IPV6_TRUNC_EXTHDR);
                    return false;
                }
                return true;
            }
            let Some(h) = data.get(self.at..).and_then(ExtHeader::parse) else {
                p.invalid(events::IPV6_TRUNC_EXTHDR);
                return false;
            };
            let len = match proto {
                44 => 8,
                51 => h.auth_len(),
                _ => h.len(),
            };
            let Some(whole) = data.get(self.at..).and_then(|d| d.get(..len)) else {
                p.invalid(events::IPV6_TRUNC_EXTHDR);
                return false;
            };
            self.one(p, proto, h, whole);
            if proto == 44 && self.fragment_header(p, data, h) {
                return false;
            }
            self.next_at = self.at - self.start;
            self.next = h.next_header();
            self.at += len.max(ExtHeader::MIN);
        }
    }

    /// Looks at one header that is all there.
    fn one(&mut self, p: &mut Packet<'_>, proto: u8, h: ExtHeader<'_>, whole: &[u8]) {
        match proto {
            0 => {
                if std::mem::replace(&mut self.seen.hop, true) {
                    return p.event(events::IPV6_EXTHDR_DUPL_HH);
                }
                let (unknown, padding) = (events::IPV6_HOPOPTS_UNKNOWN_OPT, events::IPV6_HOPOPTS_ONLY_PADDING);
                options(p, whole.get(2..).unwrap_or(&[]), unknown, padding);
            }
            60 => {
                self.seen.dest = self.seen.dest.saturating_add(1);
                if self.seen.dest > 2 {
                    return p.event(events::IPV6_EXTHDR_DUPL_DH);
                }
                let (unknown, padding) = (events::IPV6_DSTOPTS_UNKNOWN_OPT, events::IPV6_DSTOPTS_ONLY_PADDING);
                options(p, whole.get(2..).unwrap_or(&[]), unknown, padding);
            }
            43 => {
                if std::mem::replace(&mut self.seen.routing, true) {
                    return p.event(events::IPV6_EXTHDR_DUPL_RH);
                }
                if h.routing_type() == 0 {
                    p.event(events::IPV6_RH_TYPE_0);
                }
            }
            44 if std::mem::replace(&mut self.seen.fragment, true) => p.event(events::IPV6_EXTHDR_DUPL_FH),
            51 => {
                if h.auth_reserved() != 0 {
                    p.event(events::IPV6_EXTHDR_AH_RES_NOT_NULL);
                }
                if std::mem::replace(&mut self.seen.auth, true) {
                    p.event(events::IPV6_EXTHDR_DUPL_AH);
                }
            }
            _ => {}
        }
    }

    /// Whether the packet is a fragment, which is then noted. A fragment header of offset 0 without more to come is that
    /// of a whole packet, an atomic fragment (RFC 6946), and is passed over.
    fn fragment_header(&mut self, p: &mut Packet<'_>, data: &[u8], h: ExtHeader<'_>) -> bool {
        if h.frag_reserved() != 0 {
            p.event(events::IPV6_FH_NON_ZERO_RESERVED_FIELD);
        }
        if h.frag_offset() == 0 && !h.more_fragments() {
            if !p.events.contains(&events::IPV6_EXTHDR_DUPL_FH) {
                p.event(events::IPV6_EXTHDR_USELESS_FH);
            }
            return false;
        }
        let begins = self.at + ExtHeader::MIN;
        if h.more_fragments() && !data.len().saturating_sub(begins).is_multiple_of(8) {
            p.event(events::IPV6_FRAG_INVALID_LENGTH);
        }
        self.fragment = Some(Fragment {
            header: Span::new(self.start, self.at),
            next_at: self.next_at as u16,
            proto: h.next_header(),
            id: h.frag_id(),
            offset: h.frag_offset(),
            more: h.more_fragments(),
            data: Span::new(begins, data.len()),
        });
        self.next = h.next_header();
        self.at = begins;
        true
    }
}

/// Options of hop-by-hop and destination headers (RFC 8200 4.2).
fn options(p: &mut Packet<'_>, mut area: &[u8], unknown: u16, only_padding: u16) {
    let (mut padding, mut other) = (false, false);
    while let [kind, rest @ ..] = area {
        if *kind == 0 {
            padding = true;
            area = rest;
            continue;
        }
        let split = rest.split_first().and_then(|(len, value)| Some((*len, value.get(usize::from(*len)..)?)));
        let Some((len, next)) = split else {
            p.malformed(events::IPV6_EXTHDR_INVALID_OPTLEN);
            break;
        };
        // Router alert, jumbo payload, home address: lengths are fixed.
        let short = matches!((*kind, len), (0x05, 0..2) | (0xc2, 0..4)) || (*kind == 0xc9 && len < 16);
        match *kind {
            _ if short => {
                p.malformed(events::IPV6_EXTHDR_INVALID_OPTLEN);
                break;
            }
            1 => {
                padding = true;
                if len == 0 {
                    p.event(events::IPV6_ZERO_LEN_PADN);
                }
            }
            0xc2 => {}
            0x05 | 0xc9 => other = true,
            _ => {
                other = true;
                p.event(unknown);
            }
        }
        area = next;
    }
    if padding && !other {
        p.event(only_padding);
    }
}
