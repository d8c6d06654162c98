//! The vocabulary that protocols hand to the rule language: protocols, buffers, keywords, events; rows in tables.

use super::{AppParser, Progress, Transaction};
use crate::types::{Direction, FiveTuple};

/// A protocol: its index in the registry's table. 0 is "no protocol in particular".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtoId(pub u8);

impl ProtoId {
    /// Buffers every protocol shares, and packets without a protocol.
    pub const ANY: ProtoId = ProtoId(0);
}

/// A set of protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtoSet(u64);

impl ProtoSet {
    pub const ALL: ProtoSet = ProtoSet(u64::MAX);

    pub fn insert(&mut self, id: ProtoId) {
        self.0 |= Self::bit(id);
    }

    pub fn remove(&mut self, id: ProtoId) {
        self.0 &= !Self::bit(id);
    }

    pub fn has(self, id: ProtoId) -> bool {
        self.0 & Self::bit(id) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The registry's table is shorter than a word; an id past it would be in no set.
    fn bit(id: ProtoId) -> u64 {
        1u64.checked_shl(id.0.into()).unwrap_or(0)
    }
}

impl FromIterator<ProtoId> for ProtoSet {
    fn from_iter<I: IntoIterator<Item = ProtoId>>(ids: I) -> Self {
        let mut set = ProtoSet::default();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

/// A buffer: the protocol that offers it and its index in that protocol's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId {
    pub proto: ProtoId,
    pub local: u8,
}

impl BufferId {
    pub const fn new(proto: ProtoId, local: u8) -> Self {
        BufferId { proto, local }
    }
}

/// An application-layer event: likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    pub proto: ProtoId,
    pub local: u8,
}

/// Which directions a buffer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direct {
    ToServer,
    ToClient,
    /// Either; the rule's `flow` decides (both where it does not say).
    Both,
}

impl Direct {
    pub fn includes(self, dir: Direction) -> bool {
        match self {
            Direct::ToServer => dir == Direction::ToServer,
            Direct::ToClient => dir == Direction::ToClient,
            Direct::Both => true,
        }
    }
}

/// Names of buffers that are units of a protocol on the wire begin so; rules reach them by `frame`.
pub const FRAME_PREFIX: &str = "frame:";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferKind {
    /// There at once when its progress is reached.
    Whole,
    /// Grows from its progress on (bodies, files); inspected as it grows.
    Streaming,
    /// Any number of instances per transaction (`dns.query`, `tls.certs`); each is inspected by itself.
    Multi,
    /// A unit on the wire that the parser notes as a [`super::frames::Frame`]; of no transaction, inspected in the stream.
    Frame,
}

/// One inspection buffer.
pub struct BufferDef {
    /// The sticky buffer's keyword, e.g. `http.uri`.
    pub name: &'static str,
    /// Other sticky names, e.g. `dns_query` for `dns.query`.
    pub aliases: &'static [&'static str],
    /// Old content modifiers that move the preceding content here, e.g. `http_uri`.
    pub modifiers: &'static [&'static str],
    pub direct: Direct,
    pub kind: BufferKind,
    /// Ready (Whole, Multi) or begun (Streaming) once a transaction's direction is here.
    pub progress: Progress,
    /// Names compared without case anyway: the prefilter may fold them once.
    pub lowercase: bool,
    pub doc: &'static str,
}

impl BufferDef {
    /// The frame's name without its protocol; `None` for what is no frame.
    pub fn frame_name(&self) -> Option<&'static str> {
        let whole = self.name.strip_prefix(FRAME_PREFIX)?;
        Some(whole.split_once('.').map_or(whole, |(_, name)| name))
    }
}

/// One event rules can match by `app-layer-event:<proto>.<name>`.
pub struct EventDef {
    pub name: &'static str,
    pub doc: &'static str,
}

/// A compiled test of one transaction (`urilen`, `tls.version`, `dns.opcode`, …).
pub trait TxTest: Send + Sync + std::fmt::Debug {
    /// `None`: cannot be answered yet.
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool>;

    /// Whether a direction of which no progress is made yet may match.
    fn early(&self) -> bool {
        false
    }
}

/// A keyword that tests a transaction by other than bytes of a buffer.
pub struct TxKeyword {
    pub name: &'static str,
    pub direct: Direct,
    /// When it can be answered.
    pub progress: Progress,
    /// Compiles the text after the colon; the error says what is wrong and what is allowed.
    pub parse: fn(&str) -> Result<Box<dyn TxTest>, String>,
    /// The argument stands in double quotes; else without.
    pub quoted: bool,
    pub doc: &'static str,
    /// The argument shape, for the manual: `<min><>(max)`.
    pub syntax: &'static str,
    /// An option text that must be accepted and one that must be refused, without the keyword.
    pub example_ok: &'static str,
    pub example_bad: &'static str,
}

/// First bytes of one direction of a flow.
pub struct ProbeInput<'a> {
    pub dir: Direction,
    pub data: &'a [u8],
    pub tuple: &'a FiveTuple,
    pub udp: bool,
    /// Nothing more will come in this direction.
    pub eof: bool,
    pub settings: &'a crate::proto::Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It is this protocol.
    Match,
    /// It is this protocol, and the flow's client is in truth its server (first packet seen was an answer).
    MatchReversed,
    /// Not to be said from so few bytes.
    More,
    No,
}

/// One protocol: a row of the registry.
pub struct ProtoDef {
    pub id: ProtoId,
    /// `app_proto` in EVE and the protocol in rule headers.
    pub name: &'static str,
    /// Other names rule headers use, e.g. `http1` for `http`.
    pub aliases: &'static [&'static str],
    pub tcp: bool,
    pub udp: bool,
    /// Over TCP its client has the first word, and only its client.
    pub client_first: bool,
    /// Transactions carry files.
    pub files: bool,
    pub probe: fn(&ProbeInput<'_>) -> Probe,
    /// A fresh parser for one flow.
    pub parser: fn(&crate::proto::Settings) -> Box<dyn AppParser>,
    pub buffers: &'static [BufferDef],
    /// Why bytes, in any case if so told, can never be in one of the buffers, by its place there.
    pub never: fn(u8, &[u8], bool) -> Option<&'static str>,
    /// What a transaction goes through to the server and to the client, in order: each state's name and the progress at
    /// which it is reached. Empty where a transaction is begun or complete and nothing between.
    pub states: [&'static [(Progress, &'static str)]; 2],
    pub keywords: &'static [TxKeyword],
    pub events: &'static [EventDef],
    pub doc: &'static str,
}

/// States of every protocol.
const BEGUN_OR_DONE: [&[(Progress, &str)]; 2] = [
    &[(Progress::NONE, "request_started"), (Progress::DONE, "request_complete")],
    &[(Progress::NONE, "response_started"), (Progress::DONE, "response_complete")],
];

/// Which of ordered states a progress is in.
pub fn state_at(states: &[(Progress, &str)], at: Progress) -> usize {
    states.iter().rposition(|s| s.0 <= at).unwrap_or(0)
}

impl ProtoDef {
    /// The states of one direction, in order.
    pub fn states_of(&self, dir: Direction) -> &'static [(Progress, &'static str)] {
        let own = self.states[dir as usize];
        if own.is_empty() { BEGUN_OR_DONE[dir as usize] } else { own }
    }

    /// A state by its name, or by that of the first or last one in any protocol: its direction and place in the order.
    pub fn state(&self, name: &str) -> Option<(Direction, usize)> {
        Direction::BOTH.into_iter().find_map(|dir| {
            let own = self.states_of(dir).iter().position(|s| s.1 == name);
            let general = BEGUN_OR_DONE[dir as usize].iter().position(|s| s.1 == name);
            let last = self.states_of(dir).len().saturating_sub(1);
            own.or(general.map(|n| if n == 0 { 0 } else { last })).map(|n| (dir, n))
        })
    }
}

/// Buffers of [`ProtoId::ANY`].
pub mod generic {
    use super::{BufferDef, BufferId, BufferKind, Direct, EventDef, EventId, ProtoId};
    use crate::applayer::Progress;

    /// Payload of the packet, and for stream rules the reassembled stream.
    pub const PAYLOAD: BufferId = BufferId::new(ProtoId::ANY, 0);
    /// Content of files in flight, whatever protocol carries them; for HTTP the response body.
    pub const FILE_DATA: BufferId = BufferId::new(ProtoId::ANY, 1);
    pub const IPV4_HDR: BufferId = BufferId::new(ProtoId::ANY, 2);
    pub const IPV6_HDR: BufferId = BufferId::new(ProtoId::ANY, 3);
    pub const TCP_HDR: BufferId = BufferId::new(ProtoId::ANY, 4);
    pub const UDP_HDR: BufferId = BufferId::new(ProtoId::ANY, 5);
    pub const ICMPV4_HDR: BufferId = BufferId::new(ProtoId::ANY, 6);
    pub const ICMPV6_HDR: BufferId = BufferId::new(ProtoId::ANY, 7);
    /// Result of the signature's last `base64_decode`.
    pub const BASE64_DATA: BufferId = BufferId::new(ProtoId::ANY, 8);
    /// MD5 of the client's handshake parameters, of TLS and QUIC.
    pub const JA3_HASH: BufferId = BufferId::new(ProtoId::ANY, 9);
    pub const JA3_STRING: BufferId = BufferId::new(ProtoId::ANY, 10);
    pub const JA3S_HASH: BufferId = BufferId::new(ProtoId::ANY, 11);
    pub const JA3S_STRING: BufferId = BufferId::new(ProtoId::ANY, 12);
    pub const JA4_HASH: BufferId = BufferId::new(ProtoId::ANY, 13);
    pub const FILE_NAME: BufferId = BufferId::new(ProtoId::ANY, 14);
    /// The packet's addresses, as their 4 or 16 bytes.
    pub const IP_SRC: BufferId = BufferId::new(ProtoId::ANY, 15);
    pub const IP_DST: BufferId = BufferId::new(ProtoId::ANY, 16);
    /// SCTP header and chunks.
    pub const SCTP_HDR: BufferId = BufferId::new(ProtoId::ANY, 17);
    /// Each user message of an SCTP packet.
    pub const SCTP_CHUNK_DATA: BufferId = BufferId::new(ProtoId::ANY, 18);
    /// All that a direction of a recognised protocol carries.
    pub const FRAME_STREAM: BufferId = BufferId::new(ProtoId::ANY, 19);
    /// IGMP message, with the sources and records of version 3.
    pub const IGMP_HDR: BufferId = BufferId::new(ProtoId::ANY, 20);
    /// Addresses and EtherType, 14 bytes.
    pub const ETHER_HDR: BufferId = BufferId::new(ProtoId::ANY, 21);

    /// The server spoke first where the client should have.
    pub const EVENT_WRONG_DIRECTION_FIRST_DATA: EventId = EventId { proto: ProtoId::ANY, local: 1 };
    /// Only one direction's bytes name the protocol.
    pub const EVENT_DETECT_ONLY_ONE_DIRECTION: EventId = EventId { proto: ProtoId::ANY, local: 2 };

    const fn event(name: &'static str, doc: &'static str) -> EventDef {
        EventDef { name, doc }
    }

    /// Events of protocol detection itself (`app-layer-event:<name>`).
    pub const EVENTS: &[EventDef] = &[
        event("applayer_mismatch_protocol_both_directions", "each direction speaks another protocol"),
        event("applayer_wrong_direction_first_data", "the server spoke first where the client should have"),
        event("applayer_detect_protocol_only_one_direction", "only one direction's bytes name the protocol"),
        event("applayer_proto_detection_skipped", "the protocol was decided without looking at the bytes"),
        event("applayer_no_tls_after_starttls", "no TLS followed where it was announced"),
        event("applayer_unexpected_protocol", "another protocol than announced"),
    ];

    const fn def(
        name: &'static str,
        aliases: &'static [&'static str],
        direct: Direct,
        kind: BufferKind,
        doc: &'static str,
    ) -> BufferDef {
        BufferDef { name, aliases, modifiers: &[], direct, kind, progress: Progress(1), lowercase: false, doc }
    }

    /// Why bytes can never be in a buffer: hashes are whole.
    pub fn never(local: u8, bytes: &[u8], _nocase: bool) -> Option<&'static str> {
        const HASH: usize = 32;
        let hash = local == JA3_HASH.local || local == JA3S_HASH.local;
        (hash && bytes.len() != HASH).then_some("the hash has 32 digits")
    }

    pub const BUFFERS: &[BufferDef] = &[
        def("pkt_data", &[], Direct::Both, BufferKind::Whole, "payload of the packet or the reassembled stream"),
        def("file.data", &["file_data"], Direct::Both, BufferKind::Streaming, "content of a file in flight"),
        def("ipv4.hdr", &[], Direct::Both, BufferKind::Whole, "IPv4 header with options"),
        def("ipv6.hdr", &[], Direct::Both, BufferKind::Whole, "IPv6 header with extension headers"),
        def("tcp.hdr", &[], Direct::Both, BufferKind::Whole, "TCP header with options"),
        def("udp.hdr", &[], Direct::Both, BufferKind::Whole, "UDP header"),
        def("icmpv4.hdr", &[], Direct::Both, BufferKind::Whole, "ICMP header"),
        def("icmpv6.hdr", &[], Direct::Both, BufferKind::Whole, "ICMPv6 header"),
        def("base64_data", &[], Direct::Both, BufferKind::Whole, "what base64_decode produced"),
        def("ja3.hash", &["ja3_hash"], Direct::ToServer, BufferKind::Whole, "JA3 hash of the client hello"),
        def("ja3.string", &["ja3_string"], Direct::ToServer, BufferKind::Whole, "JA3 text of the client hello"),
        def("ja3s.hash", &["ja3s_hash"], Direct::ToClient, BufferKind::Whole, "JA3S hash of the server hello"),
        def("ja3s.string", &["ja3s_string"], Direct::ToClient, BufferKind::Whole, "JA3S text of the server hello"),
        def("ja4.hash", &["ja4_hash"], Direct::ToServer, BufferKind::Whole, "JA4 fingerprint of the client hello"),
        def("file.name", &["filename"], Direct::Both, BufferKind::Multi, "name of a file in flight"),
        def("ip.src", &["ip_src"], Direct::Both, BufferKind::Whole, "source address of the packet, as bytes"),
        def("ip.dst", &["ip_dst"], Direct::Both, BufferKind::Whole, "destination address of the packet, as bytes"),
        def("sctp.hdr", &[], Direct::Both, BufferKind::Whole, "SCTP header with all chunks"),
        def("sctp.chunk_data", &[], Direct::Both, BufferKind::Multi, "user message of each SCTP data chunk"),
        def("frame:stream", &[], Direct::Both, BufferKind::Frame, "all that a direction of the protocol carries"),
        def(
            "igmp.hdr",
            &[],
            Direct::Both,
            BufferKind::Whole,
            "IGMP message, with the sources and records of version 3",
        ),
        def("ether.hdr", &[], Direct::Both, BufferKind::Whole, "Ethernet header, without tags"),
    ];
}

/// A protocol rules may name that has no parser: known by name alone.
#[derive(Clone, Copy, Debug)]
pub struct UnparsedProto {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// Sticky buffers.
    pub buffers: &'static [&'static str],
    /// Old content modifiers.
    pub modifiers: &'static [&'static str],
    /// Keywords with arguments of their own.
    pub keywords: &'static [&'static str],
    /// Protocols with a parser whose buffers its rules may name too.
    pub also: &'static [&'static str],
    pub files: bool,
}

/// Everything the rule language may name, in one value the registry builds.
#[derive(Clone, Copy)]
pub struct Vocabulary {
    /// Protocols with a parser; index is the id, 0 is a row for [`ProtoId::ANY`] whose buffers are the generic ones.
    pub protocols: &'static [ProtoDef],
    /// Protocols rules may name that have no parser yet: their rules load and never match.
    pub unparsed: &'static [UnparsedProto],
    /// Buffers of few different values (`http.method`): poor places for a fast pattern, taken when nothing better is there.
    pub weak_buffers: &'static [&'static str],
}

impl Vocabulary {
    pub const EMPTY: Vocabulary = Vocabulary { protocols: &[], unparsed: &[], weak_buffers: &[] };

    pub fn protocol(&self, name: &str) -> Option<&'static ProtoDef> {
        self.protocols.iter().find(|p| p.id != ProtoId::ANY && (p.name == name || p.aliases.contains(&name)))
    }

    pub fn proto_def(&self, id: ProtoId) -> Option<&'static ProtoDef> {
        self.protocols.get(id.0 as usize)
    }

    pub fn buffer_def(&self, id: BufferId) -> Option<&'static BufferDef> {
        self.proto_def(id.proto)?.buffers.get(id.local as usize)
    }

    /// All buffers with their ids.
    pub fn buffers(&self) -> impl Iterator<Item = (BufferId, &'static BufferDef)> + use<> {
        self.protocols
            .iter()
            .flat_map(|p| p.buffers.iter().enumerate().map(move |(i, b)| (BufferId::new(p.id, i as u8), b)))
    }

    /// A sticky buffer by its name or alias.
    pub fn sticky(&self, name: &str) -> Option<(BufferId, &'static BufferDef)> {
        self.buffers().find(|(_, b)| b.name == name || b.aliases.contains(&name))
    }

    /// A frame by its name in rules, `<protocol>.<frame>`, or `<frame>` of the protocol `own`: whose it is with it.
    pub fn frame(&self, text: &str, own: Option<ProtoId>) -> Option<(ProtoId, BufferId, &'static BufferDef)> {
        let named = text.split_once('.').and_then(|(p, rest)| Some((self.protocol(p)?, rest)));
        let (proto, name) = match (named, own) {
            (Some(found), _) => found,
            (None, Some(own)) => (self.proto_def(own)?, text),
            (None, None) => return None,
        };
        if name == "stream" && proto.tcp {
            return Some((proto.id, generic::FRAME_STREAM, self.buffer_def(generic::FRAME_STREAM)?));
        }
        let at = proto.buffers.iter().position(|b| b.frame_name() == Some(name))?;
        Some((proto.id, BufferId::new(proto.id, at as u8), proto.buffers.get(at)?))
    }

    /// A buffer by an old content modifier's name.
    pub fn modifier(&self, name: &str) -> Option<(BufferId, &'static BufferDef)> {
        self.buffers().find(|(_, b)| b.modifiers.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_a_set() {
        let mut set: ProtoSet = [ProtoId(1), ProtoId(3)].into_iter().collect();
        assert!(set.has(ProtoId(1)) && !set.has(ProtoId(2)) && set.has(ProtoId(3)));
        set.remove(ProtoId(1));
        assert!(!set.has(ProtoId(1)) && !set.is_empty());
        assert!(!ProtoSet::default().has(ProtoId(200)) && ProtoSet::ALL.has(ProtoId(63)));
    }
}
