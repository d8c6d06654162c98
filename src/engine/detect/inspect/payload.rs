//! Rules over single packets and the stream.
//!
//! A rule that sees the stream is asked of the stream when new bytes came; failing that, or where the packet did not enter
//! the stream, of the packet. Only bytes not scanned before are scanned, with a tail as long as the longest pattern;
//! positions (`offset`, `depth`) count from the packet's payload or from the stream's true beginning.

use super::content::{Outcome, View};
use super::header::{self, Answer};
use super::{Detector, Hit, HitKind, PacketInput, Replacement, STEPS_MAX, StreamInput};
use crate::applayer::{BufferId, generic};
use crate::decode::{IpHeader, L4, Packet, SCTP_CHUNKS_MAX, Span};
use crate::detect::compile::{Class, Compiled, Ruleset, Source};
use crate::detect::prefilter::{Hay, Transport, Views};
use crate::detect::signature::{Op, SigIdx, TestBasis};
use crate::detect::state::{FlowDetect, Parked, Wait, insert_sorted};
use crate::detect::transforms_cache::{CacheKey, ChainId};
use crate::types::{Cause, Counter, Direction};
use crate::wire::sctp::{Chunk, Chunks};
use smallvec::SmallVec;

/// How far before new bytes a rule without a fast pattern looks back in the stream.
const PLAIN_LOOKBACK: usize = 4_096;

/// The bytes of one packet as payload rules meet them.
struct Bytes<'a> {
    payload: &'a [u8],
    stream: Option<StreamInput<'a>>,
    /// New bytes came.
    fresh: bool,
    in_stream: bool,
    transport: Transport,
}

impl<'a> Bytes<'a> {
    fn of(input: &PacketInput<'a>) -> Self {
        let flags = &input.facts.packet.flags;
        // What a packet carries that is a packet itself is inspected as that one's.
        let none = input.flow_end || input.opaque || flags.carrier || flags.invalid;
        let payload = if none { &[] } else { input.facts.packet.payload() };
        let stream = input.stream.filter(|s| !s.bytes.is_empty() && !input.opaque);
        let fresh = stream.is_some_and(|s| s.fresh > 0);
        Bytes { payload, stream, fresh, in_stream: input.in_stream, transport: Transport::of(input.facts.packet) }
    }

    /// Whether the stream's new bytes are the packet's payload.
    fn same(&self) -> bool {
        let fresh = self.stream.and_then(|s| s.bytes.get(s.bytes.len().saturating_sub(s.fresh)..));
        self.in_stream && self.fresh && fresh == Some(self.payload)
    }
}

impl Detector {
    pub(super) fn packet_rules(
        &mut self,
        rs: &Ruleset,
        input: &PacketInput<'_>,
        mut flow: Option<&mut FlowDetect>,
        out: &mut Vec<Hit>,
    ) {
        let facts = &input.facts;
        let bytes = Bytes::of(input);
        let odd = !facts.packet.events.is_empty() || !facts.stream_events.is_empty();
        if odd && !input.flow_end {
            rs.events.iter().for_each(|s| self.candidates.add(*s));
        }
        self.packet_candidates(rs, input, &bytes, flow.as_deref_mut());
        let mut hint = 0;
        while let Some(idx) = self.candidates.pop(&mut hint) {
            self.counters.inc(Counter::DetectCandidates);
            let Some(c) = rs.compiled(idx) else { continue };
            self.packet_rule(c, idx, input, &bytes, flow.as_deref_mut(), out);
        }
    }

    fn packet_candidates(
        &mut self,
        rs: &Ruleset,
        input: &PacketInput<'_>,
        bytes: &Bytes<'_>,
        flow: Option<&mut FlowDetect>,
    ) {
        let p = input.facts.packet;
        let dir = input.facts.direction;
        let find = || rs.payload.find(bytes.transport, dir, p.tuple.sport, p.tuple.dport);
        let groups = match (flow, dir) {
            (Some(f), Some(d)) => {
                let i = d as usize;
                let groups = f.groups[i].unwrap_or_else(find);
                if matches!(bytes.transport, Transport::Tcp | Transport::Udp) {
                    f.groups[i] = Some(groups);
                }
                if !input.flow_end {
                    f.by_address[i].iter().for_each(|s| self.candidates.add(*s));
                }
                self.wake(rs, input, bytes, f, d);
                groups
            }
            _ => find(),
        };
        for g in groups.as_slice() {
            self.scan_group(rs, *g, input, bytes);
        }
    }

    fn scan_group(&mut self, rs: &Ruleset, g: u16, input: &PacketInput<'_>, bytes: &Bytes<'_>) {
        let Some(group) = rs.payload.of(g) else { return };
        let candidates = &mut self.candidates;
        if !input.flow_end || bytes.fresh {
            group.plain.iter().for_each(|s| candidates.add(*s));
        }
        let scratch = &mut self.work.scratch;
        let add = &mut |sig| candidates.add(sig);
        if let Some(s) = bytes.stream.filter(|_| bytes.fresh) {
            let fresh = s.bytes.len().saturating_sub(s.fresh);
            let hay = Hay { data: s.bytes, fresh, offset: s.offset };
            group.stream.scan(scratch, hay, add);
            group.placed.find(hay, Views::STREAM, &mut *add);
        }
        if !bytes.payload.is_empty() {
            let hay = Hay::whole(bytes.payload);
            group.packet.scan(scratch, hay, add);
            let views = if input.in_stream { Views::PACKET } else { Views::BOTH };
            group.placed.find(hay, views, &mut *add);
            if !input.in_stream {
                group.stream.scan(scratch, hay, add);
            }
        }
    }

    /// Makes candidates of what waited, where what it waited for may have come.
    fn wake(&mut self, rs: &Ruleset, input: &PacketInput<'_>, bytes: &Bytes<'_>, f: &mut FlowDetect, dir: Direction) {
        let version = f.vars.version();
        let Some(stream) = bytes.stream.filter(|s| !s.aside) else { return };
        let view = stream_view(&stream, input.flow_end);
        f.parked[dir as usize].retain_mut(|p| {
            let Some(c) = rs.compiled(p.sig) else { return false };
            let awake = match &mut p.wait {
                Wait::Proto => input.facts.app_proto_done || input.facts.app_proto != crate::applayer::ProtoId::ANY,
                Wait::State(v) => *v != version || bytes.fresh,
                Wait::Data(None) => bytes.fresh,
                Wait::Data(Some((b, op, upto))) => bytes.fresh && arrived(c, *b, *op, upto, view),
            };
            if awake {
                self.candidates.add(p.sig);
            }
            true
        });
    }

    fn packet_rule(
        &mut self,
        c: &Compiled,
        idx: SigIdx,
        input: &PacketInput<'_>,
        bytes: &Bytes<'_>,
        mut flow: Option<&mut FlowDetect>,
        out: &mut Vec<Hit>,
    ) {
        let dir = input.facts.direction;
        if input.flow_end && packet_fired(flow.as_deref(), dir, idx) {
            return;
        }
        if !self.just_detected && (c.class == Class::Protocol || c.sig.when_detected) {
            return;
        }
        let answer = header::matches(c, input, bytes.transport);
        let tests_hold = || {
            c.sig.packet_tests.iter().all(|t| {
                let real = !matches!(t.basis(), TestBasis::Packet | TestBasis::Event);
                (real || !input.flow_end) && t.matches(&input.facts)
            })
        };
        let aside = bytes.stream.is_some_and(|s| s.aside);
        // Nothing is decided of what waits for the bytes in order.
        let unpark = |flow: Option<&mut FlowDetect>| {
            if !aside {
                unpark(flow, dir, idx);
            }
        };
        if answer == Answer::No || !tests_hold() {
            return unpark(flow);
        }
        let state = self.state_holds(c, input, flow.as_deref(), None);
        if c.flags.changes && !(state && answer == Answer::Yes) {
            return;
        }
        if !c.flags.payload {
            if answer == Answer::Yes && state && !input.flow_end && self.headers_match(c, input, idx) {
                let said = if c.flags.says {
                    self.packet_says(c, idx, input, bytes, false, flow.as_deref_mut())
                } else {
                    None
                };
                self.hit(c, idx, HitKind::Packet, input, flow, out);
                if let (Some(h), Some(_)) = (out.last_mut(), &said) {
                    h.context = said;
                }
            }
            return;
        }
        let found = self.payload_match(c, idx, input, bytes, flow.as_deref());
        Detector::note_measured(&mut self.work, flow.as_deref_mut(), self.limits.flow_vars_max);
        let in_stream = matches!(found, Found::Stream(_));
        match found {
            Found::Stream(replace) | Found::Packet(replace) if answer == Answer::Yes && state => {
                if let (true, Some(f), Some(d)) = (in_stream && c.fast.is_none(), flow.as_deref_mut(), dir)
                    && f.stream_fired[d as usize].len() < self.limits.parked_max
                {
                    insert_sorted(&mut f.stream_fired[d as usize], idx);
                }
                let outside = c.flags.in_stream && !in_stream && (c.flags.sized || !input.in_stream);
                if let (true, Some(f), Some(d)) = (outside, flow.as_deref_mut(), dir)
                    && f.packet_fired[d as usize].len() < self.limits.parked_max
                {
                    insert_sorted(&mut f.packet_fired[d as usize], idx);
                }
                if let (true, Some(f), Some(d), Some(s)) = (aside && in_stream, flow.as_deref_mut(), dir, bytes.stream)
                {
                    let upto = s.offset.saturating_add(s.bytes.len() as u64);
                    f.fired_aside(d, idx, upto, self.limits.parked_max);
                }
                unpark(flow.as_deref_mut());
                let kind = if in_stream { HitKind::Stream } else { HitKind::Packet };
                let said = if c.flags.says {
                    self.packet_says(c, idx, input, bytes, in_stream, flow.as_deref_mut())
                } else {
                    None
                };
                self.hit(c, idx, kind, input, flow, out);
                if let Some(h) = out.last_mut() {
                    h.context = said;
                    h.replace = replace;
                }
            }
            Found::Stream(_) => {
                let version = flow.as_deref().map_or(0, |f| f.vars.version());
                let wait = if answer == Answer::Yes { Wait::State(version) } else { Wait::Proto };
                self.park(c, idx, wait, bytes, flow, dir);
            }
            Found::Later(missing) => self.park(c, idx, Wait::Data(missing), bytes, flow, dir),
            Found::Packet(_) => {}
            Found::No => unpark(flow),
        }
    }

    fn park(
        &mut self,
        c: &Compiled,
        idx: SigIdx,
        wait: Wait,
        bytes: &Bytes<'_>,
        flow: Option<&mut FlowDetect>,
        dir: Option<Direction>,
    ) {
        let (Some(f), Some(d), Some(s)) = (flow, dir, bytes.stream) else { return };
        // A rule without a fast pattern is asked again anyway.
        if c.fast.is_none() || s.ended || s.aside {
            return;
        }
        self.counters.inc(Counter::DetectParked);
        if !f.park(d, Parked { sig: idx, wait, from: s.offset }, self.limits.parked_max) {
            self.exception(Cause::ParkedOverflow, idx);
        }
    }

    fn payload_match(
        &mut self,
        c: &Compiled,
        idx: SigIdx,
        input: &PacketInput<'_>,
        bytes: &Bytes<'_>,
        flow: Option<&FlowDetect>,
    ) -> Found {
        let mut later = Found::No;
        let parked =
            flow.zip(input.facts.direction).is_some_and(|(f, d)| f.parked[d as usize].iter().any(|p| p.sig == idx));
        if let Some(s) = bytes.stream.filter(|_| c.flags.in_stream && (bytes.fresh || parked)) {
            let plain = c.fast.is_none();
            let fired = plain
                && flow
                    .zip(input.facts.direction)
                    .is_some_and(|(f, d)| f.stream_fired[d as usize].binary_search(&idx).is_ok());
            let fired = fired || c.flags.sized && packet_fired(flow, input.facts.direction, idx);
            let mut view = stream_view(&s, input.flow_end);
            if plain {
                let skip = s.bytes.len().saturating_sub(s.fresh.saturating_add(PLAIN_LOOKBACK));
                view.data = view.data.get(skip..).unwrap_or(&[]);
                view.offset = view.offset.saturating_add(skip as u64);
            }
            // Where in the stream the packet's payload begins, for `replace`.
            let mut fresh = s.fresh as i64;
            let payload_at = if !c.sig.replace.is_empty() && bytes.same() {
                view.end() - bytes.payload.len() as i64
            } else {
                i64::MAX
            };
            let told = flow.zip(input.facts.direction).filter(|_| !s.aside).map_or(0, |(f, d)| f.aside_until(d, idx));
            fresh = fresh.min(view.end() - told as i64);
            let fired = fired || fresh <= 0 && s.fresh > 0;
            if !fired {
                let once = told == 0 && (plain || parked && !s.aside);
                match self.stream_match(c, idx, input, view, payload_at, if once { 0 } else { fresh }) {
                    (Outcome::Match, replace, _) => return Found::Stream(replace),
                    (Outcome::Later, _, missing) => later = Found::Later(missing),
                    _ => {}
                }
            }
        }
        if !bytes.payload.is_empty()
            && (c.flags.in_packet || !input.in_stream && !c.flags.stream_only)
            && let (Outcome::Match, replace, _) = self.buffers_match(c, idx, input, View::whole(bytes.payload), 0, 0)
        {
            return Found::Packet(replace);
        }
        later
    }

    /// What old bytes alone satisfy has matched when they were new, so a match must reach into the last `fresh` bytes
    /// (0: need not).
    fn stream_match(
        &mut self,
        c: &Compiled,
        idx: SigIdx,
        input: &PacketInput<'_>,
        view: View<'_>,
        payload_at: i64,
        fresh: i64,
    ) -> (Outcome, Replacements, Missing) {
        let found = self.buffers_match(c, idx, input, view, payload_at, 0);
        let one_payload = c.buffers.iter().filter(|a| a.source == Source::Payload).count() == 1;
        let old = view.end() - fresh;
        if found.0 == Outcome::Match && fresh > 0 && old > 0 && one_payload && self.work.reach <= old {
            let again = self.buffers_match(c, idx, input, view, payload_at, old);
            // Waiting would only find the old match again.
            return if again.0 == Outcome::Later { (Outcome::No, again.1, None) } else { again };
        }
        found
    }

    /// All payload and header buffers of a rule, the payload being `view`.
    fn buffers_match(
        &mut self,
        c: &Compiled,
        idx: SigIdx,
        input: &PacketInput<'_>,
        view: View<'_>,
        payload_at: i64,
        min_reach: i64,
    ) -> (Outcome, Replacements, Missing) {
        self.work.begin(c.sig.slots, !c.sig.replace.is_empty(), STEPS_MAX);
        self.work.min_reach = min_reach;
        let mut replace = Replacements::new();
        let mut waits: Option<Missing> = None;
        for (i, aux) in c.buffers.iter().enumerate() {
            let outcome = match aux.source {
                Source::Payload => self.buffer_match(c, i, generic::PAYLOAD, view),
                Source::Header => {
                    let id = c.sig.buffers.get(i).map_or(generic::PAYLOAD, |m| m.buffer);
                    match header_bytes(input.facts.packet, id) {
                        _ if input.flow_end => Outcome::No,
                        Some(data) => self.buffer_match(c, i, id, View::whole(data)),
                        None if id == generic::SCTP_CHUNK_DATA => self.any_message(c, i, input),
                        None => Outcome::No,
                    }
                }
                Source::Base64 | Source::Tx(_) | Source::Frame => continue,
            };
            match outcome {
                Outcome::Match => replacements(c, i, &self.work.found, payload_at, &mut replace),
                Outcome::No => return (Outcome::No, replace, None),
                Outcome::Later => {
                    let m = self.work.missing.take().map(|(op, upto)| (i as u8, op, upto));
                    waits = Some(if waits.is_none() { m } else { None });
                }
                Outcome::Limit(cause) => {
                    self.exception(cause, idx);
                    return (Outcome::No, replace, None);
                }
            }
        }
        match waits {
            Some(missing) => (Outcome::Later, replace, missing),
            None => (Outcome::Match, replace, None),
        }
    }

    /// What a match of a packet or of the stream says.
    fn packet_says(
        &mut self,
        c: &Compiled,
        idx: SigIdx,
        input: &PacketInput<'_>,
        bytes: &Bytes<'_>,
        in_stream: bool,
        flow: Option<&mut FlowDetect>,
    ) -> super::gather::Context {
        let view = match bytes.stream.filter(|_| in_stream) {
            Some(s) => stream_view(&s, input.flow_end),
            None => View::whole(bytes.payload),
        };
        self.gather(c);
        self.buffers_match(c, idx, input, view, 0, 0);
        self.gathered(flow)
    }

    /// One buffer match over each user message of an SCTP packet.
    fn any_message(&mut self, c: &Compiled, i: usize, input: &PacketInput<'_>) -> Outcome {
        let packet = input.facts.packet;
        let L4::Sctp { chunks, .. } = &packet.l4 else { return Outcome::No };
        let messages = Chunks::sound(chunks.of(packet.bytes.as_slice())).filter_map(Chunk::message);
        for (index, message) in (0u32..).zip(messages.take(SCTP_CHUNKS_MAX)) {
            match self.indexed_match(c, i, generic::SCTP_CHUNK_DATA, index, View::whole(message)) {
                Outcome::No | Outcome::Later => {}
                found => return found,
            }
        }
        Outcome::No
    }

    /// The header buffers of a rule without payload checks.
    fn headers_match(&mut self, c: &Compiled, input: &PacketInput<'_>, idx: SigIdx) -> bool {
        c.buffers.is_empty() || self.buffers_match(c, idx, input, View::whole(&[]), 0, 0).0 == Outcome::Match
    }

    /// One buffer match over one buffer, its transforms applied.
    pub(super) fn buffer_match(&mut self, c: &Compiled, i: usize, id: BufferId, view: View<'_>) -> Outcome {
        self.indexed_match(c, i, id, 0, view)
    }

    pub(super) fn indexed_match(
        &mut self,
        c: &Compiled,
        i: usize,
        id: BufferId,
        index: u32,
        view: View<'_>,
    ) -> Outcome {
        let (Some(ops), Some(m), Some(aux)) = (c.ops(i), c.sig.buffers.get(i), c.buffers.get(i)) else {
            return Outcome::No;
        };
        if aux.chain == ChainId::NONE {
            return super::content::inspect(&ops, view, &mut self.work);
        }
        let key = CacheKey { buffer: id, chain: aux.chain, index, len: view.data.len(), offset: view.offset };
        let data = self.cache.apply(key, &m.transforms, view.data, &mut self.work.scratch);
        // What a transform makes of a part is not a part of what it makes of the whole.
        let view = View { data, offset: 0, more: view.more, end_waits: view.end_waits };
        super::content::inspect(&ops, view, &mut self.work)
    }
}

type Replacements = SmallVec<[Replacement; 1]>;
/// Buffer match, op, and the position up to which its content is absent.
type Missing = Option<(u8, u16, u64)>;

enum Found {
    Stream(Replacements),
    Packet(Replacements),
    Later(Missing),
    No,
}

pub(super) fn stream_view<'a>(s: &StreamInput<'a>, flow_end: bool) -> View<'a> {
    View { data: s.bytes, offset: s.offset, more: !(s.ended || flow_end), end_waits: false }
}

/// What a packet has shown is not told again of the stream that its bytes end up in.
fn packet_fired(flow: Option<&FlowDetect>, dir: Option<Direction>, idx: SigIdx) -> bool {
    flow.zip(dir).is_some_and(|(f, d)| f.packet_fired[d as usize].binary_search(&idx).is_ok())
}

fn unpark(flow: Option<&mut FlowDetect>, dir: Option<Direction>, idx: SigIdx) {
    if let (Some(f), Some(d)) = (flow, dir)
        && !f.parked[d as usize].is_empty()
    {
        f.unpark(d, idx);
    }
}

/// Whether the content a candidate misses is among bytes past `upto`, which moves on.
pub(super) fn arrived(c: &Compiled, b: u8, op: u16, upto: &mut u64, view: View<'_>) -> bool {
    let aux = c.buffers.get(usize::from(b)).and_then(|a| a.aux.get(usize::from(op)));
    let chained = c.buffers.get(usize::from(b)).is_some_and(|a| a.chain != ChainId::NONE);
    let Some(super::ops::OpAux::Content { needle, .. }) = aux else { return true };
    if chained {
        return true;
    }
    let from = i64::try_from(*upto).unwrap_or(i64::MAX).saturating_sub(needle.len() as i64 - 1);
    let from = from.max(i64::try_from(view.offset).unwrap_or(i64::MAX));
    let found = needle.find(view.slice(from, view.end())).is_some();
    *upto = view.end().max(0) as u64;
    found
}

fn replacements(c: &Compiled, i: usize, found: &[i64], payload_at: i64, out: &mut Replacements) {
    for (entry, r) in c.sig.replace.iter().enumerate().filter(|(_, r)| r.buffer == i) {
        let is_content =
            c.sig.buffers.get(i).and_then(|b| b.ops.get(r.op)).is_some_and(|o| matches!(o, Op::Content(_)));
        let at = found.get(r.op).copied().filter(|at| is_content && *at >= 0).and_then(|at| at.checked_sub(payload_at));
        if let Some(at) = at.and_then(|at| u32::try_from(at).ok()) {
            out.push(Replacement { at, entry: entry as u8 });
        }
    }
}

pub(super) fn header_bytes<'a>(p: &'a Packet<'_>, id: BufferId) -> Option<&'a [u8]> {
    let addresses = match (id, &p.ip) {
        (generic::IP_SRC, Some(IpHeader::V4 { header, .. })) => Some((*header, 12..16)),
        (generic::IP_DST, Some(IpHeader::V4 { header, .. })) => Some((*header, 16..20)),
        (generic::IP_SRC, Some(IpHeader::V6 { header, .. })) => Some((*header, 8..24)),
        (generic::IP_DST, Some(IpHeader::V6 { header, .. })) => Some((*header, 24..40)),
        _ => None,
    };
    if let Some((header, range)) = addresses {
        return header.of(p.bytes.as_slice()).get(range);
    }
    let span = match (id, &p.ip, &p.l4) {
        (generic::ETHER_HDR, ..) => p.ether.map(|e| e.header).filter(|h| !h.is_empty())?,
        (generic::IPV4_HDR, Some(IpHeader::V4 { header, .. }), _) => *header,
        (generic::IPV6_HDR, Some(IpHeader::V6 { header, .. }), _) => *header,
        (generic::TCP_HDR, _, L4::Tcp(h)) => h.header,
        (generic::UDP_HDR, _, L4::Udp { header }) => *header,
        (generic::ICMPV4_HDR, _, L4::Icmp4 { header, .. }) => *header,
        (generic::ICMPV6_HDR, _, L4::Icmp6 { header, .. }) => *header,
        (generic::IGMP_HDR, _, L4::Igmp { header, .. }) => *header,
        (generic::SCTP_HDR, _, L4::Sctp { header, chunks, .. }) => Span { start: header.start, end: chunks.end },
        _ => return None,
    };
    Some(span.of(p.bytes.as_slice()))
}
