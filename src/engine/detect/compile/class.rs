//! What kind of rule a signature is, and everything inspection wants to know of it without looking twice.

use super::super::inspect::ops::{self, OpAux, Ops, SubOps};
use super::super::matching::MatcherFactory;
use super::super::signature::{BufferMatch, BufferOp, Content, Op, RuleProto, Signature, StateOp, TestBasis, VarScope};
use super::super::transforms_cache::{ChainId, ChainTable};
use crate::applayer::{BufferKind, Direct, ProtoId, Vocabulary, generic};
use crate::types::Direction;

/// What a rule is inspected against; decides when, and how far its action reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Decode or stream events alone.
    Event,
    /// Addresses and protocol alone: once per direction of a flow.
    IpOnly,
    /// The same with negated addresses or the like: every packet.
    LikeIpOnly,
    /// The detected protocol alone.
    Protocol,
    /// Headers and payload of one packet.
    Packet,
    /// Payload of packets and the stream.
    PacketStream,
    /// The stream (and packets that did not enter it).
    Stream,
    /// A protocol in the header and nothing of its transactions.
    App,
    /// Transactions.
    Tx,
    /// Units on the wire that a parser notes.
    Frame,
}

/// What a rule's action falls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionScope {
    Packet,
    Flow,
    /// The flow where the match was in stream or transaction, else the packet.
    FlowIfStateful,
}

impl Class {
    pub const fn scope(self) -> ActionScope {
        match self {
            Class::Event | Class::Packet => ActionScope::Packet,
            Class::IpOnly | Class::LikeIpOnly | Class::Protocol | Class::App | Class::Tx | Class::Frame => {
                ActionScope::Flow
            }
            Class::PacketStream | Class::Stream => ActionScope::FlowIfStateful,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Class::Event => "de_only",
            Class::IpOnly => "ip_only",
            Class::LikeIpOnly => "like_ip_only",
            Class::Protocol => "pd_only",
            Class::Packet => "pkt",
            Class::PacketStream => "pkt_stream",
            Class::Stream => "stream",
            Class::App => "app_layer",
            Class::Tx | Class::Frame => "app_tx",
        }
    }
}

/// Cheap refusals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Some payload check needs bytes.
    pub payload: bool,
    /// Payload checks see single packets.
    pub in_packet: bool,
    /// Payload checks see the stream.
    pub in_stream: bool,
    /// They never see a packet that is no part of it.
    pub stream_only: bool,
    /// They see packets because of what else is asked of the flow: what a packet has shown is not told of the stream too.
    pub sized: bool,
    pub state_tests: bool,
    pub state_sets: bool,
    /// Only packets with an event can match.
    pub needs_event: bool,
    /// A check changes what it asks: the rule's state is asked before it.
    pub changes: bool,
    /// A match has something to say: captures, contexts.
    pub says: bool,
}

/// Where a buffer match's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Payload,
    /// A header of the packet.
    Header,
    Tx(BufferKind),
    /// A frame in the stream.
    Frame,
    /// Run where `base64_decode` stands.
    Base64,
}

/// Beside each `BufferMatch`, by index.
pub(crate) struct BufferAux {
    pub source: Source,
    pub aux: Vec<OpAux>,
    pub base64: Vec<SubOps>,
    pub chain: ChainId,
}

/// A signature ready to inspect.
pub(crate) struct Compiled {
    pub sig: Signature,
    pub class: Class,
    pub flags: Flags,
    pub buffers: Vec<BufferAux>,
    /// The content the prefilter looks for: buffer match and op.
    pub fast: Option<(usize, usize)>,
    /// Transactions of this protocol; `ANY`: of every one.
    pub tx_proto: ProtoId,
    /// Directions its packets or transactions may have.
    pub dirs: [bool; 2],
    /// How many elements a transaction must satisfy: buffer matches, tests, and events as one.
    pub elements: u32,
}

impl Compiled {
    pub(super) fn new(
        mut sig: Signature,
        vocabulary: &Vocabulary,
        factory: &dyn MatcherFactory,
        chains: &mut ChainTable,
    ) -> Result<Compiled, String> {
        let elements = sig.buffers.len() + sig.tx_tests.len() + usize::from(!sig.app_events.is_empty());
        if elements > 64 {
            return Err(format!("{elements} buffers and tests in one rule, at most 64 are inspected"));
        }
        let mut buffers = Vec::with_capacity(sig.buffers.len());
        for i in 0..sig.buffers.len() {
            let aux = buffer_aux(&mut sig, i, vocabulary, factory, chains)?;
            buffers.push(aux);
        }
        let class = classify(&sig, &buffers);
        let flags = flags(&sig, &buffers, class);
        let fast = fast_pattern(&sig, &buffers, class);
        let dirs = directions(&sig, &buffers);
        let tx_proto = tx_proto(&sig, &buffers);
        Ok(Compiled { sig, class, flags, buffers, fast, tx_proto, dirs, elements: elements as u32 })
    }

    pub(crate) fn ops(&self, buffer: usize) -> Option<Ops<'_>> {
        let (m, aux) = (self.sig.buffers.get(buffer)?, self.buffers.get(buffer)?);
        Some(Ops { ops: &m.ops, aux: &aux.aux, base64: &aux.base64 })
    }

    pub(crate) fn fast_content(&self) -> Option<&Content> {
        let (b, o) = self.fast?;
        content(&self.sig.buffers, b, o)
    }

    pub(crate) fn admits(&self, dir: Option<Direction>) -> bool {
        dir.is_none_or(|d| self.dirs[d as usize])
    }
}

fn content(buffers: &[BufferMatch], b: usize, o: usize) -> Option<&Content> {
    match buffers.get(b)?.ops.get(o)? {
        Op::Content(c) => Some(c),
        _ => None,
    }
}

fn buffer_aux(
    sig: &mut Signature,
    i: usize,
    vocabulary: &Vocabulary,
    factory: &dyn MatcherFactory,
    chains: &mut ChainTable,
) -> Result<BufferAux, String> {
    for t in sig.buffers.get_mut(i).into_iter().flat_map(|b| &mut b.transforms) {
        t.prepare(factory).map_err(|e| e.to_string())?;
    }
    let decodes = sig.buffers.get(i).is_some_and(|b| b.ops.iter().any(|o| matches!(o, Op::Base64Decode(_))));
    let mut base64 = Vec::new();
    if decodes {
        for b in sig.buffers.iter_mut().skip(i + 1).filter(|b| b.buffer == generic::BASE64_DATA) {
            let ops = std::mem::take(&mut b.ops);
            let aux = ops::compile(&ops, factory).map_err(|e| e.to_string())?;
            base64.push(SubOps { ops, aux });
        }
    }
    let Some(b) = sig.buffers.get(i) else { return Err("no such buffer".into()) };
    let source = match b.buffer {
        generic::PAYLOAD => Source::Payload,
        generic::BASE64_DATA => Source::Base64,
        generic::IPV4_HDR
        | generic::IPV6_HDR
        | generic::IP_SRC
        | generic::IP_DST
        | generic::TCP_HDR
        | generic::UDP_HDR
        | generic::ICMPV4_HDR
        | generic::ICMPV6_HDR
        | generic::SCTP_HDR
        | generic::SCTP_CHUNK_DATA
        | generic::IGMP_HDR
        | generic::ETHER_HDR => Source::Header,
        id => match vocabulary.buffer_def(id).map_or(BufferKind::Whole, |d| d.kind) {
            BufferKind::Frame => Source::Frame,
            kind => Source::Tx(kind),
        },
    };
    let aux = ops::compile(&b.ops, factory).map_err(|e| e.to_string())?;
    let chain = chains.intern(&b.transforms);
    Ok(BufferAux { source, aux, base64, chain })
}

fn classify(sig: &Signature, buffers: &[BufferAux]) -> Class {
    let any = |f: fn(&Source) -> bool| buffers.iter().any(|b| f(&b.source));
    let basis = |t: TestBasis| sig.packet_tests.iter().any(|p| p.basis() == t);
    if any(|s| matches!(s, Source::Tx(_))) || !sig.tx_tests.is_empty() || !sig.app_events.is_empty() {
        return Class::Tx;
    }
    if any(|s| *s == Source::Frame) {
        return Class::Frame;
    }
    let payload = any(|s| *s == Source::Payload);
    let header = any(|s| *s == Source::Header);
    if payload {
        return match payload_mode(sig, header) {
            (true, true) => Class::PacketStream,
            (false, true) => Class::Stream,
            _ => Class::Packet,
        };
    }
    let asked = Asked::of(sig);
    if header || basis(TestBasis::Packet) || basis(TestBasis::Flow) {
        return Class::Packet;
    }
    if basis(TestBasis::Event) {
        return if sig.state.iter().any(StateOp::is_test) || basis(TestBasis::AppProto) {
            Class::Packet
        } else {
            Class::Event
        };
    }
    if basis(TestBasis::AppProto) {
        let alone = !matches!(sig.header.proto, RuleProto::App(_)) && !asked.flow && asked.state != State::Other;
        return if alone { Class::Protocol } else { Class::Packet };
    }
    if matches!(sig.header.proto, RuleProto::App(_)) {
        let more = asked.flow || !sig.packet_tests.is_empty() || sig.state.iter().any(StateOp::is_test);
        return if more { Class::Packet } else { Class::App };
    }
    let h = &sig.header;
    let ip = matches!(
        h.proto,
        RuleProto::Ip
            | RuleProto::Ipv4
            | RuleProto::Ipv6
            | RuleProto::Tcp
            | RuleProto::Udp
            | RuleProto::Icmp
            | RuleProto::Icmpv4
            | RuleProto::Icmpv6
            | RuleProto::Sctp
            | RuleProto::Igmp
    );
    if !ip || sig.flow.present || asked.state == State::Other {
        return Class::Packet;
    }
    if h.negated { Class::LikeIpOnly } else { Class::IpOnly }
}

/// What a rule asks of the flow and of variables, as far as its kind depends on it.
struct Asked {
    /// More than a direction.
    flow: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing, bits of the flow to set, or bits of hosts: an address rule may have those.
    Light,
    Other,
}

impl Asked {
    fn of(sig: &Signature) -> Self {
        let f = &sig.flow;
        let flow = f.established.is_some() || f.stateless || f.only_stream || f.no_stream || f.fragment.is_some();
        let light = |op: &StateOp| match op {
            StateOp::BitSet { .. } => true,
            StateOp::BitTest { scope, .. } | StateOp::BitUnset { scope, .. } | StateOp::BitToggle { scope, .. } => {
                matches!(scope, VarScope::HostSrc | VarScope::HostDst | VarScope::IpPair)
            }
            StateOp::IntTest { .. } | StateOp::IntDefined { .. } | StateOp::IntAssign { .. } => false,
        };
        Asked { flow, state: if sig.state.iter().all(light) { State::Light } else { State::Other } }
    }
}

/// Whether payload checks see (packets, the stream). A rule that asks about the packet itself sees the packet; a plain
/// content rule sees the stream; one with an absolute place sees both.
fn payload_mode(sig: &Signature, header_buffers: bool) -> (bool, bool) {
    let tcp = match sig.header.proto {
        RuleProto::Tcp | RuleProto::Ip | RuleProto::Ipv4 | RuleProto::Ipv6 | RuleProto::App(_) => true,
        RuleProto::TcpStream => return (false, true),
        _ => false,
    };
    if !tcp || sig.flow.no_stream {
        return (true, false);
    }
    if sig.flow.only_stream {
        return (false, true);
    }
    let about_packet = header_buffers || sig.packet_tests.iter().any(|t| t.basis() == TestBasis::Packet);
    if about_packet {
        return (true, false);
    }
    let placed = sig
        .buffers
        .iter()
        .filter(|b| b.buffer == generic::PAYLOAD)
        .flat_map(|b| &b.ops)
        .any(|op| matches!(op, Op::Content(c) if c.offset.is_some() || c.depth.is_some() || c.startswith));
    (placed || sized(sig), true)
}

fn sized(sig: &Signature) -> bool {
    sig.packet_tests.iter().any(|t| t.basis() == TestBasis::Flow)
}

fn flags(sig: &Signature, buffers: &[BufferAux], class: Class) -> Flags {
    let payload = buffers.iter().any(|b| b.source == Source::Payload);
    let header = buffers.iter().any(|b| b.source == Source::Header);
    let (in_packet, in_stream) = if payload { payload_mode(sig, header) } else { (false, false) };
    let decoded = buffers.iter().flat_map(|a| &a.base64).flat_map(|s| &s.ops);
    let ops: Vec<&Op> = sig.buffers.iter().flat_map(|m| &m.ops).chain(decoded).collect();
    let custom = |f: fn(&dyn BufferOp) -> bool| ops.iter().any(|o| matches!(o, Op::Custom(c) if f(c.as_ref())));
    let captures = ops.iter().any(|o| matches!(o, Op::Pcre(p) if !p.captures.is_empty()));
    Flags {
        payload,
        in_packet,
        in_stream,
        stream_only: sig.flow.only_stream,
        sized: in_packet && in_stream && sized(sig),
        state_tests: sig.state.iter().any(|s| s.is_test()),
        state_sets: sig.state.iter().any(|s| !s.is_test()),
        changes: custom(|c| c.changes()),
        says: captures || custom(|c| c.has_context()),
        needs_event: class == Class::Event || sig.packet_tests.iter().any(|t| t.basis() == TestBasis::Event),
    }
}

/// The content named by the rule where it can serve; else the longest that can, of a transaction's buffers for
/// transaction rules (their payload may have passed before the transaction begins).
fn fast_pattern(sig: &Signature, buffers: &[BufferAux], class: Class) -> Option<(usize, usize)> {
    let serves = |b: usize, c: &Content| {
        let source = buffers.get(b).map(|a| a.source);
        let or_else = sig.buffers.get(b).is_some_and(|m| m.absent.is_some());
        let here = match source {
            Some(Source::Tx(_)) => class == Class::Tx,
            Some(Source::Payload) => class != Class::Tx,
            _ => false,
        };
        here && !or_else && !c.negated && !c.bytes.is_empty()
    };
    if let Some((b, o)) = sig.fast_pattern
        && content(&sig.buffers, b, o).is_some_and(|c| serves(b, c))
    {
        return Some((b, o));
    }
    let mut best: Option<((usize, usize), (bool, usize))> = None;
    for (b, m) in sig.buffers.iter().enumerate() {
        for (o, op) in m.ops.iter().enumerate() {
            let Op::Content(c) = op else { continue };
            // Of both sides of a transaction the request comes first.
            let rank = (!sig.both_sides || m.direct == Direct::ToServer, c.bytes.len());
            if serves(b, c) && best.is_none_or(|(_, of)| rank > of) {
                best = Some(((b, o), rank));
            }
        }
    }
    best.map(|b| b.0)
}

fn directions(sig: &Signature, buffers: &[BufferAux]) -> [bool; 2] {
    if sig.both_sides {
        return [true; 2];
    }
    Direction::BOTH.map(|d| {
        sig.flow.direction.is_none_or(|f| f == d)
            && sig
                .buffers
                .iter()
                .zip(buffers)
                .all(|(m, a)| !matches!(a.source, Source::Tx(_) | Source::Frame) || includes(m.direct, d))
            && sig.tx_tests.iter().all(|t| includes(t.direct, d))
    })
}

fn includes(direct: Direct, d: Direction) -> bool {
    direct.includes(d)
}

fn tx_proto(sig: &Signature, buffers: &[BufferAux]) -> ProtoId {
    let of_buffer = sig
        .buffers
        .iter()
        .zip(buffers)
        .find(|(m, a)| matches!(a.source, Source::Tx(_) | Source::Frame) && m.buffer.proto != ProtoId::ANY)
        .map(|(m, _)| m.buffer.proto);
    of_buffer
        .or_else(|| sig.tx_tests.first().map(|t| t.proto).filter(|p| *p != ProtoId::ANY))
        .or_else(|| sig.app_events.first().map(|e| e.proto).filter(|p| *p != ProtoId::ANY))
        .unwrap_or(match sig.header.proto {
            RuleProto::App(p) => p,
            _ => ProtoId::ANY,
        })
}
