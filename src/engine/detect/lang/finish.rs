//! The end of a rule: what only the whole rule can tell.
//!
//! Drops buffers that modifiers emptied, deduces the direction from one-sided buffers, refuses what can never match,
//! and chooses the fast pattern.

use super::builder::Builder;
use super::diagnostics::{Code, Fault};
use super::{fast_pattern, lints};
use crate::applayer::{BufferId, BufferKind, Direct, generic};
use crate::detect::signature::{BufferMatch, Content, IntMatch, Op, RuleProto, TestBasis, Value};
use crate::types::Direction;

pub fn finish(b: &mut Builder<'_>) -> Result<(), Fault> {
    if b.sig.sid == 0 {
        return Err(Fault::new(Code::SidMissing, "the rule has no sid").help("every rule needs a number: sid:1000001;"));
    }
    b.buffer_used()?;
    drop_empty(b);
    direction(b)?;
    packet_or_stream(b)?;
    header_of(b)?;
    hooked(b)?;
    filed(b)?;
    frames_alone(b)?;
    for m in &b.sig.buffers {
        contents(b, m)?;
        sizes(b, m)?;
        absence(b, m)?;
    }
    payload_size(b)?;
    if let Some(p) = b.priority {
        b.sig.priority = p;
    }
    let events = b.sig.packet_tests.iter().any(|t| t.basis() == TestBasis::Event);
    if b.sig.header.proto == RuleProto::PktHdr && !(events && b.sig.buffers.is_empty()) {
        return Err(Fault::new(Code::Conflict, "a pkthdr rule is about a decode event and nothing of payload"));
    }
    let weak = b.cx.vocabulary;
    b.sig.fast_pattern = fast_pattern::choose(&b.sig.buffers, &weak);
    if !b.cx.options.quiet && b.unparsed.is_none() {
        lints::one(b);
    }
    Ok(())
}

/// Buffer matches without any check go; indices into them follow.
fn drop_empty(b: &mut Builder<'_>) {
    let kept: Vec<bool> = b.sig.buffers.iter().map(|m| !m.ops.is_empty() || m.absent.is_some()).collect();
    if kept.iter().all(|k| *k) {
        return;
    }
    for r in &mut b.sig.replace {
        r.buffer -= kept.iter().take(r.buffer).filter(|k| !**k).count();
    }
    let mut keep = kept.iter();
    b.sig.buffers.retain(|_| keep.next().copied().unwrap_or(true));
}

/// Buffers and keywords of one direction only give the rule that direction.
fn direction(b: &mut Builder<'_>) -> Result<(), Fault> {
    let all = || b.sig.buffers.iter().map(|m| m.direct).chain(b.sig.tx_tests.iter().map(|t| t.direct));
    let (server, client) = (all().any(|d| d == Direct::ToServer), all().any(|d| d == Direct::ToClient));
    if b.sig.both_sides {
        return both_sides(b, server && client);
    }
    if server && client {
        return Err(Fault::new(Code::Directions, "the rule looks at buffers of the request and of the response")
            .help("a rule over both sides of a transaction is written with `=>`"));
    }
    let implied = if server {
        Some(Direction::ToServer)
    } else if client {
        Some(Direction::ToClient)
    } else {
        None
    };
    if let (Some(a), Some(f)) = (implied, b.sig.flow.direction)
        && a != f
    {
        let message = format!("`flow` says {}, a buffer of the rule exists {} only", f.name(), a.name());
        return Err(Fault::new(Code::Directions, message));
    }
    b.sig.flow.direction = b.sig.flow.direction.or(implied);
    let direct = match b.sig.flow.direction {
        Some(Direction::ToServer) => Direct::ToServer,
        Some(Direction::ToClient) => Direct::ToClient,
        None => return Ok(()),
    };
    for m in b.sig.buffers.iter_mut().filter(|m| m.direct == Direct::Both) {
        m.direct = direct;
    }
    for t in b.sig.tx_tests.iter_mut().filter(|t| t.direct == Direct::Both) {
        t.direct = direct;
    }
    Ok(())
}

/// A rule over both sides of a transaction: something of each, nothing that leaves open of which it is.
fn both_sides(b: &Builder<'_>, both: bool) -> Result<(), Fault> {
    if let Some(f) = b.sig.flow.direction {
        let message = format!("`flow` says {}, the rule is over both directions", f.name());
        return Err(Fault::new(Code::Directions, message).help("leave the direction out of `flow`"));
    }
    if !both {
        return Err(Fault::new(Code::Directions, "`=>` without a buffer of the request and one of the response")
            .help("one direction is enough for this rule: write `->`"));
    }
    let open = b.sig.buffers.iter().find(|m| m.direct == Direct::Both);
    if let Some(m) = open {
        let name = b.cx.vocabulary.buffer_def(m.buffer).map_or("?", |d| d.name);
        return Err(Fault::new(Code::Directions, format!("`{name}` exists in both directions"))
            .help(format!("say which is meant: `{name}: to_server` or `{name}: to_client`")));
    }
    if b.sig.tx_tests.iter().any(|t| t.direct == Direct::Both) {
        return Err(Fault::new(Code::Directions, "a keyword of the rule could be about either direction"));
    }
    let kind = |i: BufferId| b.cx.vocabulary.buffer_def(i).map(|d| d.kind);
    let streamed = |m: &BufferMatch| m.direct == Direct::ToServer && kind(m.buffer) == Some(BufferKind::Streaming);
    let named = |m: &BufferMatch| m.ops.iter().any(|o| matches!(o, Op::Content(c) if c.fast_pattern.is_some()));
    if b.sig.buffers.iter().any(streamed) && b.sig.buffers.iter().any(|m| m.direct == Direct::ToClient && named(m)) {
        return Err(Fault::new(Code::Conflict, "`fast_pattern` on the response, and a body of the request")
            .help("the body has gone by when the response comes: put `fast_pattern` on the request"));
    }
    Ok(())
}

/// Buffers that are made of one packet.
const PACKET_BUFFERS: [BufferId; 10] = [
    generic::IPV4_HDR,
    generic::IPV6_HDR,
    generic::TCP_HDR,
    generic::UDP_HDR,
    generic::ICMPV4_HDR,
    generic::ICMPV6_HDR,
    generic::SCTP_HDR,
    generic::SCTP_CHUNK_DATA,
    generic::IGMP_HDR,
    generic::ETHER_HDR,
];

fn packet_or_stream(b: &Builder<'_>) -> Result<(), Fault> {
    let header = b.sig.buffers.iter().find(|m| PACKET_BUFFERS.contains(&m.buffer));
    let header = header.and_then(|m| b.cx.vocabulary.buffer_def(m.buffer)).map(|d| d.name);
    let alone = (b.sig.header.proto == RuleProto::TcpPkt).then_some("tcp-pkt");
    let Some(keyword) = b.packet_keyword.or(header).or(alone) else { return Ok(()) };
    if b.sig.header.proto == RuleProto::TcpStream || b.sig.flow.only_stream {
        return Err(Fault::new(
            Code::PacketAndStream,
            format!("`{keyword}` is about single packets, the rule about the stream alone"),
        ));
    }
    let payload = |id: BufferId| [generic::PAYLOAD, generic::BASE64_DATA].contains(&id) || PACKET_BUFFERS.contains(&id);
    let app = b.sig.buffers.iter().find(|m| !payload(m.buffer));
    if let Some(m) = app {
        let name = b.cx.vocabulary.buffer_def(m.buffer).map_or("?", |d| d.name);
        return Err(Fault::new(
            Code::PacketAndStream,
            format!("`{keyword}` is about single packets, `{name}` about a transaction"),
        )
        .help("for the size of a buffer use `bsize`"));
    }
    Ok(())
}

/// A header that packets of the rule's protocol have.
fn header_of(b: &Builder<'_>) -> Result<(), Fault> {
    use crate::detect::signature::RuleProto as P;
    let proto = &b.sig.header.proto;
    let any = matches!(proto, P::Ip | P::Ipv4 | P::Ipv6 | P::PktHdr | P::Ether | P::Arp);
    let app = |udp: bool| match proto {
        P::App(p) => b.cx.vocabulary.proto_def(*p).is_none_or(|d| if udp { d.udp } else { d.tcp }),
        P::Unparsed(_) => true,
        _ => false,
    };
    for m in &b.sig.buffers {
        let fits = match m.buffer {
            generic::TCP_HDR => matches!(proto, P::Tcp | P::TcpPkt | P::TcpStream) || app(false),
            generic::UDP_HDR => matches!(proto, P::Udp) || app(true),
            generic::ICMPV4_HDR => matches!(proto, P::Icmp | P::Icmpv4),
            generic::ICMPV6_HDR => matches!(proto, P::Icmp | P::Icmpv6),
            generic::IGMP_HDR => matches!(proto, P::Igmp),
            _ => true,
        };
        if !(fits || any) {
            let name = b.cx.vocabulary.buffer_def(m.buffer).map_or("?", |d| d.name);
            return Err(Fault::new(Code::Protocols, format!("no packet the rule is about has a `{name}`")));
        }
    }
    Ok(())
}

/// A rule about files is about a protocol that carries them.
fn filed(b: &Builder<'_>) -> Result<(), Fault> {
    let buffer = |m: &BufferMatch| [generic::FILE_DATA, generic::FILE_NAME].contains(&m.buffer);
    if b.sig.keep_files.is_none() && !b.sig.buffers.iter().any(buffer) {
        return Ok(());
    }
    let (name, files) = match b.sig.header.proto {
        RuleProto::App(p) => b.cx.vocabulary.proto_def(p).map_or(("", true), |d| (d.name, d.files)),
        RuleProto::Unparsed(name) => (name, b.cx.unparsed(name).is_none_or(|u| u.files)),
        _ => return Ok(()),
    };
    if files { Ok(()) } else { Err(Fault::new(Code::Protocols, format!("{name} carries no files"))) }
}

/// A rule hooked to a state by its header looks at what that state completes.
fn hooked(b: &Builder<'_>) -> Result<(), Fault> {
    let Some(h) = b.sig.hook.as_ref().filter(|_| b.header_hook) else { return Ok(()) };
    for m in b.sig.buffers.iter().filter(|m| m.buffer.proto == h.proto) {
        let Some(def) = b.cx.vocabulary.buffer_def(m.buffer).filter(|d| d.kind != BufferKind::Frame) else { continue };
        if usize::from(def.progress.0) != h.state {
            return Err(Fault::new(Code::Conflict, format!("`{}` is of another state than the rule's", def.name))
                .help("hook the rule to the state that the buffer is complete in"));
        }
    }
    Ok(())
}

/// A rule about a frame looks at nothing of other reach.
fn frames_alone(b: &Builder<'_>) -> Result<(), Fault> {
    let framed = |id: BufferId| b.cx.vocabulary.buffer_def(id).is_some_and(|d| d.kind == BufferKind::Frame);
    let Some(frame) = b.sig.buffers.iter().find(|m| framed(m.buffer)) else { return Ok(()) };
    let other = |m: &BufferMatch| m.buffer != frame.buffer && m.buffer != generic::BASE64_DATA;
    if b.sig.buffers.iter().any(other) || !b.sig.tx_tests.is_empty() || !b.sig.app_events.is_empty() {
        let name = b.cx.vocabulary.buffer_def(frame.buffer).map_or("?", |d| d.name);
        return Err(Fault::new(Code::Conflict, format!("`{name}` beside other buffers"))
            .help("a rule looks at frames of one kind, or at transactions, or at the payload"));
    }
    Ok(())
}

/// Each content by itself, its modifiers all read.
fn contents(b: &Builder<'_>, m: &BufferMatch) -> Result<(), Fault> {
    let mut before: Option<&Content> = None;
    for op in &m.ops {
        let Op::Content(c) = op else { continue };
        let placed = c.is_relative() || c.offset.is_some() || c.depth.is_some();
        if c.negated && placed && c.fast_pattern.is_some() {
            return Err(Fault::new(Code::Conflict, "`fast_pattern` on a negated content with a place"));
        }
        let only = |c: &Content| c.fast_pattern.is_some_and(|f| f.only);
        if placed && only(c) || c.is_relative() && before.is_some_and(only) {
            return Err(Fault::new(Code::Conflict, "nothing has a place by a content that is `fast_pattern:only`"));
        }
        before = Some(c);
        let never = b.cx.vocabulary.proto_def(m.buffer.proto).map(|p| p.never);
        if let Some(why) =
            never.filter(|_| m.transforms.is_empty()).and_then(|never| never(m.buffer.local, &c.bytes, c.nocase))
        {
            return Err(Fault::new(Code::Impossible, why));
        }
        let name = b.cx.vocabulary.buffer_def(m.buffer).map_or("?", |d| d.name);
        if let Some(t) = m.transforms.last().filter(|t| !c.negated && !t.can_hold(c)) {
            let message = format!("no result of `{}` on `{name}` can hold this content", t.identity());
            return Err(Fault::new(Code::Impossible, message));
        }
    }
    Ok(())
}

/// The largest number that can match.
fn upper(m: IntMatch) -> Option<u64> {
    match m {
        IntMatch::Eq(v) | IntMatch::Le(v) => Some(v),
        IntMatch::Lt(v) => v.checked_sub(1),
        IntMatch::Between(_, v) => v.checked_sub(1),
        _ => None,
    }
}

/// Bytes a positive content needs from the beginning of its buffer at least.
fn reach(c: &Content) -> u64 {
    let offset = match c.offset {
        Some(Value::Const(n)) => u64::try_from(n).unwrap_or(0),
        _ => 0,
    };
    offset.saturating_add(c.bytes.len() as u64)
}

/// `bsize` against the contents of its buffer.
fn sizes(b: &Builder<'_>, m: &BufferMatch) -> Result<(), Fault> {
    let bound = m.ops.iter().filter_map(|o| if let Op::Bsize(i) = o { upper(*i) } else { None }).min();
    let Some(bound) = bound else { return Ok(()) };
    for op in &m.ops {
        if let Op::Content(c) = op
            && reach(c) > bound
        {
            let name = b.cx.vocabulary.buffer_def(m.buffer).map_or("the payload", |d| d.name);
            let message = format!("a content needs {} bytes of `{name}`, `bsize` allows {bound}", reach(c));
            return Err(Fault::new(Code::Impossible, message));
        }
    }
    Ok(())
}

/// `dsize` against the contents of the payload: each needs its reach, a chain its sum.
fn payload_size(b: &Builder<'_>) -> Result<(), Fault> {
    let Some(bound) = b.dsize.and_then(upper) else { return Ok(()) };
    for m in b.sig.buffers.iter().filter(|m| m.buffer == generic::PAYLOAD) {
        let mut chain = 0u64;
        for op in &m.ops {
            let Op::Content(c) = op else { continue };
            if c.negated {
                continue;
            }
            let distance = match c.distance {
                Some(Value::Const(n)) => n,
                _ => 0,
            };
            chain = if c.is_relative() {
                chain
                    .saturating_add_signed(distance.min(0))
                    .saturating_add(c.bytes.len() as u64)
                    .saturating_add(u64::try_from(distance).unwrap_or(0))
            } else {
                reach(c)
            };
            if chain > bound && !(c.is_relative() && distance < 0) {
                let message = format!("the contents need {chain} bytes of payload, `dsize` allows {bound}");
                return Err(Fault::new(Code::Impossible, message));
            }
        }
    }
    Ok(())
}

fn absence(b: &Builder<'_>, m: &BufferMatch) -> Result<(), Fault> {
    let Some(absent) = m.absent else { return Ok(()) };
    let name = b.cx.vocabulary.buffer_def(m.buffer).map_or("?", |d| d.name);
    match (absent.or_else, m.ops.is_empty()) {
        (false, false) => Err(Fault::new(Code::Conflict, format!("`{name}` is both absent and inspected"))
            .help("`absent: or_else` lets the checks apply where the buffer is there")),
        (true, true) => {
            Err(Fault::new(Code::Conflict, format!("`absent: or_else` on `{name}` needs a check to fall back on")))
        }
        _ => Ok(()),
    }
}
