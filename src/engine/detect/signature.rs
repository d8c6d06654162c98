//! The compiled form of one rule: what the keywords build and what inspection reads.
//!
//! `Rule` is the text, `Signature` this. It is complete in itself (no names left to look up but buffers by id) and
//! immutable. Order inside `BufferMatch::ops` is the rule's order, which relative matching depends on.

pub use super::counting::{PortEnd, RateAction, Suppress, SuppressTrack, Threshold, ThresholdKind, Track};
use super::matching::{MatcherError, MatcherFactory, RegexSpec, Scratch};
use crate::applayer::{BufferId, Direct, EventId, Progress, ProtoId, TxTest};
use crate::decode::Packet;
use crate::stream::TcpState;
use crate::types::{Action, Direction};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Index into a ruleset's signatures, in order of evaluation (action order, then flowbit order, then priority, then as read).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SigIdx(pub u32);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleProto {
    /// Any IP packet.
    Ip,
    Ipv4,
    Ipv6,
    /// Stream and packets.
    Tcp,
    /// Single packets only.
    TcpPkt,
    /// The reassembled stream only.
    TcpStream,
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    Icmpv4,
    Icmpv6,
    Sctp,
    Igmp,
    /// Any packet, also without an IP header.
    PktHdr,
    Ether,
    Arp,
    /// A protocol with a parser.
    App(ProtoId),
    /// A protocol whose parser is not here yet: never matches.
    Unparsed(&'static str),
}

/// Closed address ranges with their sign resolved: sorted, disjoint; `any` is one flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddrSet {
    pub any: bool,
    /// Inclusive, sorted, disjoint.
    pub v4: Vec<(u32, u32)>,
    pub v6: Vec<(u128, u128)>,
}

impl AddrSet {
    pub fn contains(&self, a: IpAddr) -> bool {
        fn within<T: Ord + Copy>(ranges: &[(T, T)], x: T) -> bool {
            let i = ranges.partition_point(|r| r.1 < x);
            ranges.get(i).is_some_and(|r| r.0 <= x)
        }
        self.any
            || match a {
                IpAddr::V4(a) => within(&self.v4, u32::from(a)),
                IpAddr::V6(a) => within(&self.v6, u128::from(a)),
            }
    }
}

/// Port ranges, inclusive, sorted, disjoint; `any` is 0..=65535.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortSet(pub Vec<(u16, u16)>);

impl PortSet {
    pub fn any() -> Self {
        PortSet(vec![(0, u16::MAX)])
    }

    pub fn is_any(&self) -> bool {
        self.0 == [(0, u16::MAX)]
    }

    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|r| r.0 <= port && port <= r.1)
    }
}

#[derive(Clone, Debug)]
pub struct Header {
    pub proto: RuleProto,
    pub src: AddrSet,
    pub sport: PortSet,
    pub dst: AddrSet,
    pub dport: PortSet,
    /// `<>`: either way round.
    pub bidirectional: bool,
    /// Addresses were written with a negation or as a range: such a rule is asked of every packet.
    pub negated: bool,
}

/// The `flow` keyword.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowMatch {
    /// The rule has a `flow` keyword: it wants a flow.
    pub present: bool,
    pub direction: Option<Direction>,
    /// `established` (true), `not_established` (false).
    pub established: Option<bool>,
    pub stateless: bool,
    pub only_stream: bool,
    pub no_stream: bool,
    /// `only_frag` (true), `no_frag` (false).
    pub fragment: Option<bool>,
}

/// A number in the rule, or a variable that `byte_extract`/`byte_math` of the same rule filled (index into its slots).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Const(i64),
    Var(u8),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub bytes: Vec<u8>,
    pub nocase: bool,
    pub negated: bool,
    pub offset: Option<Value>,
    pub depth: Option<Value>,
    pub distance: Option<Value>,
    pub within: Option<Value>,
    pub startswith: bool,
    pub endswith: bool,
    /// `rawbytes`: only for the manual; the payload is always raw.
    pub rawbytes: bool,
    /// Named by `fast_pattern`.
    pub fast_pattern: Option<FastPattern>,
}

impl Content {
    pub fn is_relative(&self) -> bool {
        self.distance.is_some() || self.within.is_some()
    }
}

/// Arguments of the `fast_pattern` keyword.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FastPattern {
    /// The prefilter's match is enough: no check of the content at inspection.
    pub only: bool,
    /// `fast_pattern:offset,length`.
    pub chop: Option<(u16, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endian {
    Big,
    Little,
    /// The byte order the DCE/RPC header names.
    Dce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Bin,
    /// ASCII digits in the packet.
    String(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    Lt,
    Gt,
    Eq,
    Le,
    Ge,
    And,
    Or,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteTest {
    /// 0 with `Base::String`: as many digits as there are.
    pub bytes: Value,
    pub negated: bool,
    pub cmp: Cmp,
    /// Compared as 64 bits without sign.
    pub value: Value,
    pub offset: Value,
    pub relative: bool,
    pub endian: Endian,
    pub base: Base,
    pub bitmask: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteJump {
    pub bytes: Value,
    pub offset: Value,
    pub relative: bool,
    pub endian: Endian,
    pub base: Base,
    pub multiplier: i64,
    pub align: bool,
    pub from_beginning: bool,
    pub from_end: bool,
    pub post_offset: Value,
    pub bitmask: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteExtract {
    pub bytes: u8,
    pub offset: i64,
    pub slot: u8,
    pub relative: bool,
    pub endian: Endian,
    pub base: Base,
    pub multiplier: i64,
    /// 2 or 4.
    pub align: Option<u8>,
    pub bitmask: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MathOp {
    Add,
    Sub,
    Mul,
    Div,
    Shl,
    Shr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteMath {
    pub bytes: Value,
    pub offset: i64,
    pub op: MathOp,
    pub rvalue: Value,
    pub slot: u8,
    pub relative: bool,
    pub endian: Endian,
    pub base: Base,
    pub bitmask: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsDataAt {
    pub at: Value,
    pub relative: bool,
    pub negated: bool,
}

/// A number against bounds: `5`, `<5`, `>5`, `5<>9` (exclusive where Suricata's is), `!5`, and bit masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntMatch {
    Eq(u64),
    Ne(u64),
    Lt(u64),
    Le(u64),
    Gt(u64),
    Ge(u64),
    /// Both ends excluded.
    Between(u64, u64),
    /// Outside, both ends included in the match.
    Outside(u64, u64),
    /// `&mask == value`, or not.
    Mask {
        mask: u64,
        value: u64,
        negated: bool,
    },
}

impl IntMatch {
    pub fn matches(self, x: u64) -> bool {
        match self {
            IntMatch::Eq(v) => x == v,
            IntMatch::Ne(v) => x != v,
            IntMatch::Lt(v) => x < v,
            IntMatch::Le(v) => x <= v,
            IntMatch::Gt(v) => x > v,
            IntMatch::Ge(v) => x >= v,
            IntMatch::Between(a, b) => a < x && x < b,
            IntMatch::Outside(a, b) => x <= a || x >= b,
            IntMatch::Mask { mask, value, negated } => (x & mask == value) != negated,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pcre {
    pub regex: RegexSpec,
    pub negated: bool,
    /// `R`: from the end of the last match.
    pub relative: bool,
    /// Capture groups by number that fill a variable.
    pub captures: Vec<PcreCapture>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcreCapture {
    pub group: u16,
    pub scope: CaptureScope,
    pub name: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureScope {
    Flow,
    Packet,
    /// `alert_<name>`: recorded with the alert.
    Alert,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64Decode {
    pub bytes: Option<u32>,
    pub offset: u32,
    pub relative: bool,
}

/// One check within a buffer.
#[derive(Debug)]
pub enum Op {
    Content(Content),
    Pcre(Pcre),
    ByteTest(ByteTest),
    ByteJump(ByteJump),
    ByteExtract(ByteExtract),
    ByteMath(ByteMath),
    IsDataAt(IsDataAt),
    Bsize(IntMatch),
    Base64Decode(Base64Decode),
    /// A keyword with its own evaluation (`asn1`, `entropy`, `absent`, …), over the whole buffer and the end of the last match.
    Custom(Box<dyn BufferOp>),
}

/// A buffer check that lives with its keyword.
pub trait BufferOp: Send + Sync + std::fmt::Debug {
    /// `at` is the end of the last match in `data`.
    fn matches(&self, data: &[u8], at: usize) -> bool;

    /// Whether the answer depends on `at`.
    fn moves_with_cursor(&self) -> bool {
        true
    }

    /// Asking changes something (`dataset:set`): the rule's state is asked before.
    fn changes(&self) -> bool {
        false
    }

    /// The answer depends on what rules of other flows changed: it is asked in the order of packets.
    fn awaits_turn(&self) -> bool {
        false
    }

    /// The number the answer comes from and the answer, for a check that is measured for the flow under this name.
    fn measured(&self, _data: &[u8]) -> Option<(VarId, f64, bool)> {
        None
    }

    fn has_context(&self) -> bool {
        false
    }

    /// What an alert is to say about the buffer, and under which name.
    fn context(&self, _data: &[u8]) -> Option<(Arc<str>, Arc<serde_json::Value>)> {
        None
    }
}

/// A rewriting of a buffer before its checks (`to_lowercase`, `dotprefix`, …).
pub trait Transform: Send + Sync + std::fmt::Debug {
    /// Its keyword and arguments as normalised text: equal text is equal meaning, so results can be shared.
    fn identity(&self) -> String;

    /// Clears and fills `out`.
    fn apply(&self, data: &[u8], out: &mut Vec<u8>);

    /// Readies it with the matcher before its first use; an error refuses the rule.
    fn prepare(&mut self, _matcher: &dyn MatcherFactory) -> Result<(), MatcherError> {
        Ok(())
    }

    /// [`Transform::apply`] for who has a matcher's working memory.
    fn apply_with(&self, _scratch: &mut Scratch, data: &[u8], out: &mut Vec<u8>) {
        self.apply(data, out);
    }

    /// Whether a result can hold these bytes at all: a rule that looks for others can never match.
    fn can_hold(&self, _content: &Content) -> bool {
        true
    }
}

/// All checks a rule makes in one buffer after one set of transforms.
#[derive(Debug)]
pub struct BufferMatch {
    pub buffer: BufferId,
    pub direct: Direct,
    pub progress: Progress,
    pub transforms: Vec<Box<dyn Transform>>,
    pub ops: Vec<Op>,
    /// `absent` alone: matches where the buffer is not there. `absent: or_else` combines with the ops.
    pub absent: Option<Absent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    pub or_else: bool,
}

/// What a packet test may look at beside the packet.
pub struct PacketFacts<'a> {
    pub packet: &'a Packet<'a>,
    /// Direction within its flow, where it has one.
    pub direction: Option<Direction>,
    /// Detected protocol of each direction (to server, to client) and of the flow; `ANY` while unknown.
    pub app_proto: ProtoId,
    pub app_proto_done: bool,
    /// Bytes of each direction's stream seen so far (to server, to client), the SYN counted as one.
    pub stream_bytes: [u64; 2],
    /// Seconds since the flow's first packet.
    pub flow_age: Duration,
    /// Packets and bytes of the flow in each direction.
    pub flow_packets: [u64; 2],
    pub flow_bytes: [u64; 2],
    /// Detected protocol of each direction that has spoken; `None` while it is not decided.
    pub app_protos: [Option<ProtoId>; 2],
    /// The state of the TCP session, where there is one.
    pub tcp_state: Option<TcpState>,
    /// Checksums are looked at.
    pub checksums: bool,
    /// Stream events of this packet.
    pub stream_events: &'a [u16],
}

/// A test of packet headers or flow figures (`flags`, `dsize`, `ttl`, `stream_size`, `decode-event`, …).
pub trait PacketTest: Send + Sync + std::fmt::Debug {
    fn matches(&self, facts: &PacketFacts<'_>) -> bool;

    /// What the answer rests on; decides whether the rule's payload checks see the packet alone.
    fn basis(&self) -> TestBasis {
        TestBasis::Packet
    }
}

/// What a [`PacketTest`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestBasis {
    /// Headers of the packet (`flags`, `dsize`, `ttl`, `itype`, …): the rule's payload is the packet's, not the stream's.
    Packet,
    /// An address, protocol number or the like that holds for the whole flow (`ip_proto`, `sameip`): does not make a rule
    /// without payload checks more than an address rule.
    Address,
    /// Figures or state of the flow (`stream_size`, `flow.age`, `flow.pkts`, …): payload is seen in stream and packet.
    Flow,
    /// The detected protocol (`app-layer-protocol`): asked once per direction, when detection is done.
    AppProto,
    /// `decode-event`, `stream-event`: asked only of packets that have one.
    Event,
}

/// Where a bit or number is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VarScope {
    Flow,
    HostSrc,
    HostDst,
    /// The pair of addresses.
    IpPair,
    Tx,
}

/// Name of a bit or number, interned per ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(pub u32);

/// flowbits, xbits, hostbits, flowint, evaluated in the rule's order: tests before, settings after a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateOp {
    /// Any of the bits is set (`isset,a|b`), or with `negated` none is.
    BitTest {
        scope: VarScope,
        any_of: Vec<VarId>,
        negated: bool,
    },
    BitSet {
        scope: VarScope,
        bit: VarId,
        expire: Option<Duration>,
    },
    BitUnset {
        scope: VarScope,
        bit: VarId,
    },
    BitToggle {
        scope: VarScope,
        bit: VarId,
    },
    IntTest {
        var: VarId,
        cmp: IntCmp,
        value: IntOperand,
    },
    /// `isset` / `isnotset`.
    IntDefined {
        var: VarId,
        negated: bool,
    },
    IntAssign {
        var: VarId,
        op: IntAssign,
        value: IntOperand,
    },
}

impl StateOp {
    pub fn is_test(&self) -> bool {
        matches!(self, StateOp::BitTest { .. } | StateOp::IntTest { .. } | StateOp::IntDefined { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntCmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntAssign {
    Set,
    Add,
    Sub,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOperand {
    Const(u32),
    Var(VarId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagScope {
    Session,
    HostSrc,
    HostDst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagUnit {
    Packets,
    Seconds,
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    pub scope: TagScope,
    pub count: u32,
    pub unit: TagUnit,
}

/// A state of a protocol's transactions, by its place in [`crate::applayer::ProtoDef::states_of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    pub proto: ProtoId,
    pub dir: Direction,
    pub state: usize,
}

#[derive(Debug)]
pub struct TxMatch {
    pub proto: ProtoId,
    pub direct: Direct,
    pub progress: Progress,
    pub test: Box<dyn TxTest>,
}

/// Which end an alert's `target` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Source,
    Destination,
}

/// New bytes for a content that matched (`replace`), same length as the content: index of its buffer match and op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    pub buffer: usize,
    pub op: usize,
    pub bytes: Vec<u8>,
}

/// Where a rule's text stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleOrigin {
    pub file: String,
    /// From 1.
    pub line: u32,
}

/// One `reference` of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// `cve`, `url`, … in small letters.
    pub kind: String,
    /// As written, `2021-44228`.
    pub value: String,
    /// With what the reference configuration puts before values of the kind.
    pub address: String,
}

#[derive(Debug)]
pub struct Signature {
    pub gid: u32,
    pub sid: u32,
    pub rev: u32,
    pub msg: String,
    pub action: Action,
    pub header: Header,
    /// Short name as in `classtype`.
    pub classtype: Option<String>,
    /// The classification's description.
    pub category: String,
    /// 1 is the most severe; from `priority`, else the classification, else 3.
    pub priority: u8,
    pub references: Vec<Reference>,
    pub metadata: Vec<(String, String)>,
    /// `=>`: over both directions of a transaction; the header is the client's to the server.
    pub both_sides: bool,
    pub flow: FlowMatch,
    pub packet_tests: Vec<Box<dyn PacketTest>>,
    /// Protocol names `app-layer-protocol` asks for are packet tests too; this is for events of parsers.
    pub app_events: Vec<EventId>,
    pub tx_tests: Vec<TxMatch>,
    /// The state of a transaction the rule is hooked to (also among `tx_tests`).
    pub hook: Option<Hook>,
    pub buffers: Vec<BufferMatch>,
    /// Chosen or named fast pattern: indices into `buffers` and its `ops`; `None` where no content can serve.
    pub fast_pattern: Option<(usize, usize)>,
    pub state: Vec<StateOp>,
    pub threshold: Option<Threshold>,
    /// Of the threshold file; shared by the rules it names.
    pub suppress: Vec<Arc<Suppress>>,
    pub tags: Vec<Tag>,
    pub target: Option<Target>,
    pub noalert: bool,
    /// The `alert` keyword: a pass rule with it is recorded.
    pub alerts: bool,
    pub bypass: bool,
    /// `config:logging disable`: the transaction that matches is not logged.
    pub unlogged: bool,
    /// Asked only of the packet with which the protocol of its direction is decided (`prefilter` behind it).
    pub when_detected: bool,
    /// Files to keep after a match.
    pub keep_files: Option<KeepFiles>,
    /// Hashes of files it looks at.
    pub hashes: crate::applayer::files::Hashes,
    pub replace: Vec<Replace>,
    /// Variables of byte_extract and byte_math.
    pub slots: u8,
    pub origin: RuleOrigin,
    /// The text, for `rules explain`.
    pub text: String,
}

/// Which files `filestore` keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepFiles {
    pub direct: KeptDirection,
    /// Those of the whole flow from here on; else of the transaction.
    pub whole_flow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptDirection {
    /// That of the packet that matched.
    Match,
    ToServer,
    ToClient,
    Both,
}

impl KeptDirection {
    pub fn includes(self, matched: Direction, dir: Direction) -> bool {
        match self {
            KeptDirection::Match => matched == dir,
            KeptDirection::ToServer => dir == Direction::ToServer,
            KeptDirection::ToClient => dir == Direction::ToClient,
            KeptDirection::Both => true,
        }
    }
}

impl Signature {
    /// Lets go of the room its lists were given to grow: it will not change, and a ruleset holds tens of thousands.
    pub fn shrink(&mut self) {
        self.msg.shrink_to_fit();
        self.metadata.shrink_to_fit();
        self.references.shrink_to_fit();
        self.packet_tests.shrink_to_fit();
        self.tx_tests.shrink_to_fit();
        self.state.shrink_to_fit();
        self.buffers.shrink_to_fit();
        for b in &mut self.buffers {
            b.transforms.shrink_to_fit();
            b.ops.shrink_to_fit();
            for op in &mut b.ops {
                if let Op::Content(c) = op {
                    c.bytes.shrink_to_fit();
                }
            }
        }
    }
}

impl Signature {
    /// What every reader of a signature relies on; panics where it does not hold. For tests and fuzzing.
    pub fn check(&self) {
        let content =
            |b: usize, o: usize| matches!(self.buffers.get(b).and_then(|m| m.ops.get(o)), Some(Op::Content(_)));
        if let Some((b, o)) = self.fast_pattern {
            assert!(content(b, o), "the fast pattern is no content");
        }
        for r in &self.replace {
            assert!(content(r.buffer, r.op), "a replacement of no content");
        }
        let slot = |v: &Value| !matches!(v, Value::Var(s) if *s >= self.slots);
        for m in &self.buffers {
            assert!(!m.ops.is_empty() || m.absent.is_some(), "a buffer without checks");
            for op in &m.ops {
                let holds = match op {
                    Op::Content(c) => {
                        let place = [&c.offset, &c.depth, &c.distance, &c.within];
                        !c.bytes.is_empty() && place.into_iter().flatten().all(slot)
                    }
                    Op::ByteTest(t) => slot(&t.bytes) && slot(&t.value) && slot(&t.offset),
                    Op::ByteJump(j) => slot(&j.bytes) && slot(&j.offset) && slot(&j.post_offset),
                    Op::ByteExtract(e) => e.slot < self.slots,
                    Op::ByteMath(m) => m.slot < self.slots && slot(&m.bytes) && slot(&m.rvalue),
                    Op::IsDataAt(i) => slot(&i.at),
                    Op::Pcre(_) | Op::Bsize(_) | Op::Base64Decode(_) | Op::Custom(_) => true,
                };
                assert!(holds, "a check that reaches outside: {op:?}");
            }
        }
        let ranges = |p: &PortSet| p.0.iter().all(|r| r.0 <= r.1) && p.0.is_sorted() && !p.0.is_empty();
        assert!(ranges(&self.header.sport) && ranges(&self.header.dport), "ports out of order");
        assert!(self.sid > 0 && self.priority > 0, "numbers begin at 1");
    }
}
