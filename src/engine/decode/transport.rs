//! TCP, UDP, SCTP, ESP and IGMP.

use super::context::{Cx, Sum};
use super::packet::{L4, Packet, Span, TcpFlags, TcpHeader};
use super::{events, tunnel};
use crate::types::Counter;
use crate::wire::be16;
use crate::wire::ip::{OptError, Options};
use crate::wire::sctp::{Broken, Chunk, Chunks};
use crate::wire::transport::{Sctp, Tcp, Udp, tcp_option};

/// More SCTP chunks in one packet, or user messages, are odd; of those past it types are not looked at.
pub const SCTP_CHUNKS_MAX: usize = 16;

const ESP_HEADER: usize = 8;
/// Subtype of the multipath option (RFC 8684, 3): a path joins a connection.
const MULTIPATH_JOIN: u8 = 1;

#[inline]
pub(super) fn tcp(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeTcp);
    let Some(segment) = data.get(at..) else { return p.invalid(events::TCP_PKT_TOO_SMALL) };
    let Some(h) = Tcp::parse(segment) else { return p.invalid(events::TCP_PKT_TOO_SMALL) };
    let header_len = h.header_len();
    if header_len > segment.len() {
        return p.invalid(events::TCP_HLEN_TOO_SMALL);
    }
    let Some(options) = segment.get(Tcp::LEN..header_len) else {
        return p.invalid(events::TCP_INVALID_OPTLEN);
    };
    let body = at + header_len;
    p.tuple.sport = h.sport();
    p.tuple.dport = h.dport();
    p.payload = Span::new(body, data.len());
    let mut t = TcpHeader {
        header: Span::new(at, body),
        seq: h.seq(),
        ack: h.ack(),
        flags: TcpFlags(h.flags()),
        window: h.window(),
        urgent: h.urgent(),
        ..TcpHeader::default()
    };
    if !options.is_empty() {
        // Two no-operations and a timestamp are what nearly every segment of a connection carries.
        match options {
            [1, 1, 8, 10, a, b, c, d, e, f, g, h] => {
                let (value, echo) = (u32::from_be_bytes([*a, *b, *c, *d]), u32::from_be_bytes([*e, *f, *g, *h]));
                t.timestamps = Some((value, echo));
            }
            _ => tcp_options(p, &mut t, options),
        }
    }
    p.l4 = L4::Tcp(t);
    cx.verify(p, segment, Sum::Under(6));
}

fn tcp_options(p: &mut Packet<'_>, t: &mut TcpHeader, area: &[u8]) {
    let mut seen = 0u64;
    for option in Options::new(area) {
        let o = match option {
            Ok(o) => o,
            // One last octet that may be padding gone wrong, and receivers pass over.
            Err(OptError::NoLength(_)) => return,
            Err(OptError::BadLength(_)) => return p.malformed(events::TCP_OPT_INVALID_LEN),
        };
        let right = match (o.kind, o.value.len()) {
            (tcp_option::MSS, n) => n == 2,
            (tcp_option::WINDOW_SCALE, n) => n == 1,
            (tcp_option::SACK_PERMITTED, n) => n == 0,
            (tcp_option::SACK, n) => n % 8 == 0 && n <= 32,
            (tcp_option::TIMESTAMPS, n) => n == 8,
            (tcp_option::MD5, n) => n == 16,
            (tcp_option::AUTHENTICATION, n) => n >= 2,
            (tcp_option::FAST_OPEN, n) => n <= 16 && n % 2 == 0,
            (tcp_option::EXPERIMENT_1 | tcp_option::EXPERIMENT_2, n) => matches!(n, 2 | 10),
            _ => true,
        };
        if !right {
            match o.kind {
                tcp_option::MD5 | tcp_option::AUTHENTICATION => p.malformed(events::TCP_OPT_INVALID_LEN),
                _ => p.event(events::TCP_OPT_INVALID_LEN),
            }
            continue;
        }
        // Fast Open has two numbers. Of an empty acknowledgment of blocks, which is common, there may be many.
        let kind = match (o.kind, o.value) {
            (tcp_option::EXPERIMENT_1 | tcp_option::EXPERIMENT_2, [0xf9, 0x89, ..]) => tcp_option::FAST_OPEN,
            (tcp_option::SACK, []) => tcp_option::NOP,
            (kind, _) => kind,
        };
        let counted = matches!(
            kind,
            tcp_option::MSS
                | tcp_option::WINDOW_SCALE
                | tcp_option::SACK_PERMITTED
                | tcp_option::SACK
                | tcp_option::TIMESTAMPS
                | tcp_option::FAST_OPEN
        );
        let bit = 1u64 << (kind & 63);
        if counted && seen & bit != 0 {
            p.event(events::TCP_OPT_DUPLICATE);
            continue;
        }
        if counted {
            seen |= bit;
        }
        match (o.kind, o.value) {
            (tcp_option::MSS, [a, b]) => t.mss = Some(u16::from_be_bytes([*a, *b])),
            (tcp_option::WINDOW_SCALE, [s]) => t.window_scale = Some((*s).min(14)),
            (tcp_option::SACK_PERMITTED, _) => t.sack_permitted = true,
            (tcp_option::TIMESTAMPS, [a, b, c, d, e, f, g, h]) => {
                let (value, echo) = (u32::from_be_bytes([*a, *b, *c, *d]), u32::from_be_bytes([*e, *f, *g, *h]));
                t.timestamps = Some((value, echo));
            }
            (tcp_option::MULTIPATH, [first, ..]) => t.joins |= first >> 4 == MULTIPATH_JOIN,
            _ if kind == tcp_option::FAST_OPEN => t.fast_open = true,
            _ => {}
        }
    }
}

#[inline]
pub(super) fn udp(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeUdp);
    let Some(h) = data.get(at..).and_then(Udp::parse) else { return p.invalid(events::UDP_HLEN_TOO_SMALL) };
    let (len, left) = (usize::from(h.len()), data.len() - at);
    if len > left {
        return p.invalid(events::UDP_PKT_TOO_SMALL);
    }
    let mut end = at + len;
    if len < Udp::LEN {
        // Over IPv6 a length of zero is that of a jumbogram (RFC 2675 4), and receivers take what is there.
        if len > 0 || p.tuple.src.is_ipv4() {
            return p.invalid(events::UDP_LEN_INVALID);
        }
        p.malformed(events::UDP_LEN_INVALID);
        end = data.len();
    }
    p.tuple.sport = h.sport();
    p.tuple.dport = h.dport();
    p.l4 = L4::Udp { header: Span::new(at, at + Udp::LEN) };
    p.payload = Span::new(at + Udp::LEN, end);
    cx.verify(p, data.get(at..end).unwrap_or(&[]), Sum::Udp);
    tunnel::over_udp(cx, p, data.get(..end).unwrap_or(data), at + Udp::LEN);
}

pub(super) fn sctp(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeSctp);
    let Some(h) = data.get(at..).and_then(Sctp::parse) else { return p.invalid(events::SCTP_PKT_TOO_SMALL) };
    let body = at + Sctp::LEN;
    p.tuple.sport = h.sport();
    p.tuple.dport = h.dport();
    let chunks = Span::new(body, data.len());
    let walked = sctp_chunks(p, data.get(body..).unwrap_or(&[]), h.vtag());
    if !walked.sound {
        return p.flags.invalid = true;
    }
    p.l4 = L4::Sctp { header: Span::new(at, body), vtag: h.vtag(), chunks, count: walked.count };
    // A rule's payload is the first user message; `chunks` has all of them.
    p.payload = walked.data.map_or(Span::new(data.len(), data.len()), |(from, to)| Span::new(body + from, body + to));
    for (seen, counter) in [
        (walked.init, Counter::SctpInit),
        (walked.init_ack, Counter::SctpInitAck),
        (walked.any_data, Counter::SctpData),
        (walked.abort, Counter::SctpAbort),
        (walked.shutdown, Counter::SctpShutdown),
    ] {
        cx.counters.add(counter, u64::from(seen));
    }
}

/// What a walk over SCTP chunks saw.
#[derive(Default)]
struct Walked {
    /// A receiver finds something in it.
    sound: bool,
    count: u16,
    init: bool,
    init_ack: bool,
    any_data: bool,
    abort: bool,
    shutdown: bool,
    /// The first user message, from the first chunk on.
    data: Option<(usize, usize)>,
}

/// Walks the chunks for their events (RFC 9260 3.2, 6.10, 8.5.1).
fn sctp_chunks(p: &mut Packet<'_>, all: &[u8], vtag: u32) -> Walked {
    let mut w = Walked { sound: true, ..Walked::default() };
    let mut messages = 0usize;
    for chunk in Chunks::new(all) {
        let c = match chunk {
            Ok(c) => c,
            Err(broken) => {
                p.malformed(match broken {
                    Broken::Header => events::SCTP_CHUNK_TOO_SMALL,
                    Broken::Length => events::SCTP_CHUNK_LEN_INVALID,
                });
                w.sound = w.count > 0;
                break;
            }
        };
        let nth = usize::from(w.count);
        w.count = w.count.saturating_add(1);
        if nth == SCTP_CHUNKS_MAX {
            p.event(events::SCTP_TOO_MANY_CHUNKS);
        }
        match c.kind {
            Chunk::INIT => {
                w.init = true;
                if vtag != 0 {
                    p.event(events::SCTP_INIT_WITH_NON_ZERO_VTAG);
                }
            }
            Chunk::INIT_ACK => w.init_ack = true,
            Chunk::ABORT => w.abort = true,
            Chunk::SHUTDOWN => w.shutdown |= nth < SCTP_CHUNKS_MAX,
            Chunk::DATA => {
                w.any_data = true;
                if c.message().is_some() {
                    w.data.get_or_insert((c.at + Chunk::DATA_HEADER, c.at + c.whole.len()));
                    messages += 1;
                    if messages > SCTP_CHUNKS_MAX {
                        p.event(events::SCTP_TOO_MANY_DATA_CHUNKS);
                    }
                }
                if vtag == 0 {
                    p.event(events::SCTP_DATA_WITH_ZERO_VTAG);
                }
            }
            _ => {}
        }
    }
    if (w.init || w.init_ack) && w.count > 1 {
        p.event(events::SCTP_INIT_CHUNK_BUNDLED);
    }
    w
}

/// ESP (RFC 4303): identifier and sequence number, then ciphertext.
pub(super) fn esp(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeEsp);
    if !cx.layer(p) {
        return;
    }
    if data.len().saturating_sub(at) < ESP_HEADER {
        return p.invalid(events::ESP_PKT_TOO_SMALL);
    }
    p.payload = Span::new(at + ESP_HEADER, data.len());
}

/// IGMP (RFC 2236, RFC 3376): length, sources of a version 3 query, group records of a version 3 report.
pub(super) fn igmp(cx: &mut Cx<'_>, p: &mut Packet<'_>, data: &[u8], at: usize) {
    cx.counters.inc(Counter::DecodeIgmp);
    const QUERY: u8 = 0x11;
    const REPORT_V3: u8 = 0x22;
    let message = data.get(at..).unwrap_or(&[]);
    if message.len() < 8 {
        return p.invalid(events::IGMP_PKT_TOO_SMALL);
    }
    let kind = message.first().copied().unwrap_or(0);
    let mut header = 8;
    match kind {
        QUERY if message.len() >= 12 => {
            header = 12 + usize::from(be16(message, 10).unwrap_or(0)) * 4;
            if header > usize::from(u16::MAX) {
                return p.invalid(events::IGMP_MALFORMED);
            } else if header > message.len() {
                return p.invalid(events::IGMP_V3_PKT_TOO_SMALL);
            }
        }
        REPORT_V3 => {
            let mut rest = message.get(8..).unwrap_or(&[]);
            for _ in 0..be16(message, 6).unwrap_or(0) {
                let (true, Some(sources), Some(aux)) = (rest.len() >= 8, be16(rest, 2), rest.get(1)) else {
                    return p.invalid(events::IGMP_V3_PKT_TOO_SMALL);
                };
                let len = 8 + usize::from(sources) * 4 + usize::from(*aux) * 4;
                match rest.get(len..) {
                    Some(next) => rest = next,
                    None => return p.invalid(events::IGMP_MALFORMED),
                }
            }
            header = message.len() - rest.len();
        }
        _ => {}
    }
    p.payload = Span::new(at + header, data.len());
    p.l4 = L4::Igmp { header: Span::new(at, at + header), kind };
}
