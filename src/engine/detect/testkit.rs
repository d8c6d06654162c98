//! For tests of detection: an obviously right matcher, signatures by hand, packets, a protocol of named buffers.

use super::compile::{Compilation, Ruleset, Settings};
use super::inspect::{Detector, Hit, HitKind, PacketInput, Settled, StreamInput};
use super::matching::{LimitReached, MatcherError, MatcherFactory, Pattern, PatternSet, Regex, RegexSpec, Scratch};
use super::signature::*;
use super::state::FlowDetect;
use super::state::shared::Shared;
use crate::applayer::{BufferId, Direct, Progress, ProtoId, Vocabulary, generic};
use crate::decode::{Frame, IpHeader, L4, LinkType, Packet, PortId, Span, TcpHeader};
use crate::types::{Action, Direction, FiveTuple, IpProto, Limits, Timestamp};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Searches pattern by pattern; tells the first occurrence alone, which is all that may be relied on.
pub(crate) struct Naive;

struct NaiveSet(Vec<Pattern>);

impl PatternSet for NaiveSet {
    fn scan(&self, _: &mut Scratch, hay: &[u8], on_match: &mut dyn FnMut(u32, usize)) {
        for p in &self.0 {
            let same = |w: &[u8]| if p.nocase { w.eq_ignore_ascii_case(&p.bytes) } else { w == p.bytes };
            if let Some(i) = hay.windows(p.bytes.len()).position(same) {
                on_match(p.id, i + p.bytes.len());
            }
        }
    }

    fn memory(&self) -> usize {
        0
    }

    fn serialize(&self) -> Option<Vec<u8>> {
        None
    }
}

/// A literal; `LIMIT` gives up.
struct NaiveRegex(RegexSpec);

impl Regex for NaiveRegex {
    fn find(
        &self,
        _: &mut Scratch,
        hay: &[u8],
        _: &mut Vec<Option<Range<usize>>>,
    ) -> Result<Option<Range<usize>>, LimitReached> {
        if self.0.pattern == b"LIMIT" {
            return Err(LimitReached);
        }
        let n = self.0.pattern.len();
        Ok(hay.windows(n).position(|w| w == self.0.pattern).map(|i| i..i + n))
    }

    fn linear(&self) -> bool {
        true
    }
}

impl MatcherFactory for Naive {
    fn identity(&self) -> String {
        "naive".into()
    }

    fn scratch(&self) -> Result<Scratch, MatcherError> {
        Ok(Box::new(()))
    }

    fn compile(&self, patterns: &[Pattern]) -> Result<Box<dyn PatternSet>, MatcherError> {
        Ok(Box::new(NaiveSet(patterns.to_vec())))
    }

    fn deserialize(&self, _: &[u8]) -> Result<Box<dyn PatternSet>, MatcherError> {
        Err(MatcherError("not kept".into()))
    }

    fn regex(&self, spec: &RegexSpec) -> Result<Box<dyn Regex>, MatcherError> {
        if spec.pattern == b"(" {
            return Err(MatcherError("unbalanced".into()));
        }
        Ok(Box::new(NaiveRegex(spec.clone())))
    }
}

pub(crate) fn sig(sid: u32, proto: RuleProto) -> Signature {
    let any = || AddrSet { any: true, ..AddrSet::default() };
    Signature {
        gid: 1,
        sid,
        rev: 1,
        msg: String::new(),
        action: Action::Alert,
        header: Header {
            proto,
            src: any(),
            sport: PortSet::any(),
            dst: any(),
            dport: PortSet::any(),
            bidirectional: false,
            negated: false,
        },
        classtype: None,
        category: String::new(),
        priority: 3,
        references: vec![],
        metadata: vec![],
        both_sides: false,
        flow: FlowMatch::default(),
        packet_tests: vec![],
        app_events: vec![],
        tx_tests: vec![],
        hook: None,
        buffers: vec![],
        fast_pattern: None,
        state: vec![],
        threshold: None,
        suppress: Vec::new(),
        tags: Vec::new(),
        target: None,
        noalert: false,
        alerts: false,
        bypass: false,
        unlogged: false,
        when_detected: false,
        keep_files: None,
        hashes: Default::default(),
        replace: vec![],
        slots: 0,
        origin: RuleOrigin::default(),
        text: String::new(),
    }
}

pub(crate) fn content(bytes: &str) -> Content {
    Content {
        bytes: bytes.as_bytes().to_vec(),
        nocase: false,
        negated: false,
        offset: None,
        depth: None,
        distance: None,
        within: None,
        startswith: false,
        endswith: false,
        rawbytes: false,
        fast_pattern: None,
    }
}

pub(crate) fn pcre(text: &str) -> Pcre {
    Pcre {
        regex: RegexSpec { pattern: text.as_bytes().to_vec(), ..RegexSpec::default() },
        negated: false,
        relative: false,
        captures: vec![],
    }
}

pub(crate) fn buffer(id: BufferId, progress: u8, ops: Vec<Op>) -> BufferMatch {
    BufferMatch {
        buffer: id,
        direct: Direct::Both,
        progress: Progress(progress),
        transforms: vec![],
        ops,
        absent: None,
    }
}

pub(crate) fn payload(ops: Vec<Op>) -> BufferMatch {
    buffer(generic::PAYLOAD, 0, ops)
}

/// A TCP rule with these payload checks.
pub(crate) fn tcp(sid: u32, ops: Vec<Op>) -> Signature {
    let mut s = sig(sid, RuleProto::Tcp);
    s.buffers.push(payload(ops));
    s
}

pub(crate) fn literal(bytes: &str) -> Op {
    Op::Content(content(bytes))
}

pub(crate) fn no_protocols() -> Vocabulary {
    Vocabulary { protocols: &[], unparsed: &[], weak_buffers: &[] }
}

pub(crate) fn compile(sigs: Vec<Signature>, vocabulary: Vocabulary) -> Arc<Ruleset> {
    let Compilation { ruleset, refused, .. } =
        Ruleset::compile(sigs, vocabulary, Arc::new(Naive), None, Settings::default()).unwrap();
    assert_eq!(refused, []);
    Arc::new(ruleset)
}

pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 1];
pub(crate) const SERVER: [u8; 4] = [192, 0, 2, 7];

pub(crate) fn packet<'a>(data: &'a [u8], dir: Direction, seconds: u64, udp: bool) -> Packet<'a> {
    let frame = Frame {
        ts: Timestamp::from_secs(seconds),
        number: 1,
        link: LinkType::RAW,
        port: PortId(0),
        data,
        wire_len: data.len() as u32,
    };
    let mut p = Packet::new(&frame);
    let proto = if udp { IpProto::UDP } else { IpProto::TCP };
    let t = FiveTuple { src: CLIENT.into(), dst: SERVER.into(), sport: 40_000, dport: 80, proto };
    p.tuple = if dir == Direction::ToServer { t } else { t.flip() };
    p.ip = Some(IpHeader::V4 { header: Span::default(), tos: 0, total_len: 0, id: 0, frag: 0, ttl: 64, proto });
    p.l4 = if udp { L4::Udp { header: Span::default() } } else { L4::Tcp(TcpHeader::default()) };
    p.payload = Span::new(0, data.len());
    p
}

pub(crate) fn facts<'a>(p: &'a Packet<'a>, dir: Option<Direction>, app: ProtoId) -> PacketFacts<'a> {
    PacketFacts {
        packet: p,
        direction: dir,
        app_proto: app,
        app_proto_done: true,
        stream_bytes: [0, 0],
        flow_age: Duration::ZERO,
        flow_packets: [1, 0],
        flow_bytes: [0, 0],
        app_protos: [(app != ProtoId::ANY).then_some(app); 2],
        tcp_state: None,
        checksums: true,
        stream_events: &[],
    }
}

/// A TCP flow, fed segment by segment; the whole stream stays in the window.
pub(crate) struct TcpFlow {
    pub rs: Arc<Ruleset>,
    pub detector: Detector,
    pub flow: FlowDetect,
    streams: [Vec<u8>; 2],
    pub seconds: u64,
}

impl TcpFlow {
    pub(crate) fn new(rs: &Arc<Ruleset>) -> Self {
        TcpFlow {
            rs: rs.clone(),
            detector: Detector::new(rs, &Limits::default(), true, Shared::alone(&Limits::default(), 7)).unwrap(),
            flow: FlowDetect::new(),
            streams: [vec![], vec![]],
            seconds: 0,
        }
    }

    /// Sids that match on this segment, sorted.
    pub(crate) fn segment(&mut self, dir: Direction, data: &[u8]) -> Vec<u32> {
        self.hits(dir, data).iter().map(|h| self.rs.signature(h.sig).unwrap().sid).collect()
    }

    /// Inspects and settles: alerts as sid and whether they block.
    pub(crate) fn settled(&mut self, dir: Direction, data: &[u8]) -> (Settled, Vec<(u32, bool)>) {
        let mut hits = self.hits(dir, data);
        let p = packet(data, dir, self.seconds, false);
        let facts = facts(&p, Some(dir), ProtoId::ANY);
        let mut alerts = Vec::new();
        let settled = self.detector.settle(&self.rs, &facts, Some(&mut self.flow), &mut hits, &mut alerts);
        (settled, alerts.iter().map(|a| (self.rs.signature(a.sig).unwrap().sid, a.blocked)).collect())
    }

    pub(crate) fn hits(&mut self, dir: Direction, data: &[u8]) -> Vec<Hit> {
        self.streams[dir as usize].extend_from_slice(data);
        let p = packet(data, dir, self.seconds, false);
        let input = PacketInput {
            facts: facts(&p, Some(dir), ProtoId::ANY),
            established: true,
            in_stream: true,
            stream: Some(StreamInput {
                offset: 0,
                bytes: &self.streams[dir as usize],
                fresh: data.len(),
                aside: false,
                ended: false,
            }),
            app: None,
            app_events: &[],
            opaque: false,
            flow_end: false,
        };
        let mut out = Vec::new();
        self.detector.inspect(&self.rs, &input, Some(&mut self.flow), &mut out);
        out
    }
}

/// Sids that match one datagram outside any flow.
pub(crate) fn datagram(rs: &Arc<Ruleset>, data: &[u8]) -> Vec<u32> {
    let p = packet(data, Direction::ToServer, 0, true);
    let mut out = Vec::new();
    let input = PacketInput {
        facts: facts(&p, None, ProtoId::ANY),
        established: false,
        in_stream: false,
        stream: None,
        app: None,
        app_events: &[],
        opaque: false,
        flow_end: false,
    };
    Detector::new(rs, &Limits::default(), false, Shared::alone(&Limits::default(), 7))
        .unwrap()
        .inspect(rs, &input, None, &mut out);
    assert!(out.iter().all(|h| h.kind != HitKind::Stream));
    out.iter().map(|h| rs.signature(h.sig).unwrap().sid).collect()
}
