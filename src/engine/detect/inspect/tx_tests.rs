//! Rules over transactions, with a protocol whose transactions a test sets by hand.

use super::{Detector, HitKind, PacketInput};
use crate::applayer::{
    AppParser, Buffer, BufferDef, BufferId, BufferKind, Direct, EventId, Input, LogCx, ParseCx, Parsed, Probe,
    Progress, ProtoDef, ProtoId, Transaction, TxId, TxTest, Vocabulary, generic,
};
use crate::detect::compile::Ruleset;
use crate::detect::signature::*;
use crate::detect::state::FlowDetect;
use crate::detect::state::shared::Shared;
use crate::detect::testkit::*;
use crate::types::Direction::{self, ToClient, ToServer};
use crate::types::{FieldSink, Limits};
use std::any::Any;
use std::sync::Arc;

const ID: ProtoId = ProtoId(1);
const NAME: BufferId = BufferId::new(ID, 0);
const LIST: BufferId = BufferId::new(ID, 1);
const BODY: BufferId = BufferId::new(ID, 2);

const fn row(name: &'static str, kind: BufferKind, progress: u8) -> BufferDef {
    BufferDef {
        name,
        aliases: &[],
        modifiers: &[],
        direct: Direct::Both,
        kind,
        progress: Progress(progress),
        lowercase: false,
        doc: "",
    }
}

const fn proto(id: ProtoId, name: &'static str, buffers: &'static [BufferDef]) -> ProtoDef {
    ProtoDef {
        id,
        name,
        aliases: &[],
        tcp: true,
        udp: true,
        client_first: false,
        probe: |_| Probe::No,
        parser: |_| Box::new(Mock::default()),
        buffers,
        never: |_, _, _| None,
        files: true,
        states: [&[], &[]],
        keywords: &[],
        events: &[],
        doc: "",
    }
}

static BUFFERS: [BufferDef; 3] =
    [row("m.name", BufferKind::Whole, 1), row("m.list", BufferKind::Multi, 1), row("m.body", BufferKind::Streaming, 2)];
static PROTOCOLS: [ProtoDef; 2] = [proto(ProtoId::ANY, "any", generic::BUFFERS), proto(ID, "mock", &BUFFERS)];

fn vocabulary() -> Vocabulary {
    Vocabulary { protocols: &PROTOCOLS, unparsed: &[], weak_buffers: &[] }
}

#[derive(Default)]
struct MockTx {
    progress: [u8; 2],
    name: Option<Vec<u8>>,
    list: Vec<Vec<u8>>,
    body: Vec<u8>,
    body_offset: u64,
    events: Vec<EventId>,
}

#[derive(Default)]
struct Mock {
    txs: Vec<MockTx>,
}

impl AppParser for Mock {
    fn protocol(&self) -> ProtoId {
        ID
    }
    fn parse(&mut self, _: &ParseCx<'_>, _: Direction, _: Input<'_>) -> Parsed {
        Parsed::Done
    }
    fn transactions(&self) -> (TxId, TxId) {
        (TxId(0), TxId(self.txs.len() as u64))
    }
    fn transaction(&self, id: TxId) -> Option<&dyn Transaction> {
        self.txs.get(id.0 as usize).map(|t| t as &dyn Transaction)
    }
    fn transaction_mut(&mut self, id: TxId) -> Option<&mut dyn Transaction> {
        self.txs.get_mut(id.0 as usize).map(|t| t as &mut dyn Transaction)
    }
    fn free(&mut self, _: TxId) {}
    fn memory(&self) -> usize {
        0
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Transaction for MockTx {
    fn progress(&self, dir: Direction) -> Progress {
        Progress(self.progress[dir as usize])
    }
    fn buffer(&self, id: BufferId, _: Direction, index: usize) -> Option<Buffer<'_>> {
        match id {
            NAME if index == 0 => self.name.as_deref().map(Buffer::whole),
            LIST => self.list.get(index).map(|l| Buffer::whole(l)),
            BODY if index == 0 && !self.body.is_empty() => {
                Some(Buffer { data: &self.body, offset: self.body_offset, complete: false })
            }
            _ => None,
        }
    }
    fn events(&self) -> &[EventId] {
        &self.events
    }
    fn log(&self, _: &mut dyn FieldSink, _: &LogCx<'_>) {}
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Flow {
    rs: Arc<Ruleset>,
    detector: Detector,
    flow: FlowDetect,
    app: Mock,
}

impl Flow {
    fn new(sigs: Vec<Signature>) -> Self {
        let rs = compile(sigs, vocabulary());
        let detector = Detector::new(&rs, &Limits::default(), true, Shared::alone(&Limits::default(), 7)).unwrap();
        Flow { rs, detector, flow: FlowDetect::new(), app: Mock { txs: vec![MockTx::default()] } }
    }

    /// Inspects a packet of `dir`: sids and transactions that match.
    fn packet(&mut self, dir: Direction) -> Vec<(u32, u64)> {
        let p = packet(b"raw", dir, 0, false);
        let input = PacketInput {
            facts: facts(&p, Some(dir), ID),
            established: true,
            opaque: false,
            in_stream: true,
            stream: None,
            app: Some(&self.app),
            app_events: &[],
            flow_end: false,
        };
        let mut out = Vec::new();
        self.detector.inspect(&self.rs, &input, Some(&mut self.flow), &mut out);
        let tx = |k| match k {
            HitKind::Tx(id) => id.0,
            _ => 999,
        };
        out.iter().map(|h| (self.rs.signature(h.sig).unwrap().sid, tx(h.kind))).collect()
    }
}

fn on(sid: u32, buffers: Vec<BufferMatch>) -> Signature {
    let mut s = sig(sid, RuleProto::App(ID));
    s.buffers = buffers;
    s
}

fn ends(text: &str) -> Op {
    let mut c = content(text);
    c.endswith = true;
    Op::Content(c)
}

const NOTHING: [(u32, u64); 0] = [];

#[test]
fn names_by_hash_match_once_per_transaction() {
    let mut f = Flow::new(vec![
        on(1, vec![buffer(NAME, 1, vec![ends(".evil.com")])]),
        on(2, vec![buffer(NAME, 1, vec![literal("www")])]),
        on(3, vec![buffer(NAME, 1, vec![ends("other.com")])]),
    ]);
    assert_eq!(f.packet(ToServer), NOTHING, "not begun");
    f.app.txs[0].name = Some(b"www.evil.com".to_vec());
    f.app.txs[0].progress[0] = 1;
    assert_eq!(f.packet(ToServer), [(1, 0), (2, 0)]);
    f.app.txs[0].progress[0] = 255;
    assert_eq!(f.packet(ToServer), NOTHING);
    f.app.txs.push(MockTx { progress: [255, 0], name: Some(b"x.evil.com".to_vec()), ..MockTx::default() });
    assert_eq!(f.packet(ToServer), [(1, 1)]);
}

#[test]
fn buffers_of_different_progress_are_remembered() {
    let mut s = on(1, vec![buffer(NAME, 1, vec![literal("upload")]), buffer(BODY, 2, vec![literal("payload-end")])]);
    s.fast_pattern = Some((0, 0));
    let mut f = Flow::new(vec![s]);
    f.app.txs[0].name = Some(b"upload".to_vec());
    f.app.txs[0].progress[0] = 1;
    assert_eq!(f.packet(ToServer), NOTHING);
    f.app.txs[0].progress[0] = 2;
    for piece in [&b"some payload-"[..], b"more", b" pay", b"load-"] {
        f.app.txs[0].body.extend_from_slice(piece);
        assert_eq!(f.packet(ToServer), NOTHING);
    }
    // The head of the body has been let go.
    f.app.txs[0].body.drain(..10);
    f.app.txs[0].body_offset = 10;
    f.app.txs[0].body.extend_from_slice(b"end");
    assert_eq!(f.packet(ToServer), [(1, 0)]);
    assert_eq!(f.packet(ToServer), NOTHING);
}

#[test]
fn a_growing_body_is_scanned_across_its_pieces() {
    let mut placed = content("at-begin");
    placed.startswith = true;
    let mut f = Flow::new(vec![
        on(1, vec![buffer(BODY, 2, vec![literal("split-pattern")])]),
        on(2, vec![buffer(BODY, 2, vec![ends("split-pattern!")])]),
        on(3, vec![buffer(BODY, 2, vec![Op::Content(placed)])]),
    ]);
    f.app.txs[0].progress[1] = 2;
    let mut got = Vec::new();
    for b in b"at-begin..split-pattern!" {
        f.app.txs[0].body.push(*b);
        got.extend(f.packet(ToClient));
    }
    assert_eq!(got, [(3, 0), (1, 0)]);
    f.app.txs[0].progress[1] = 255;
    assert_eq!(f.packet(ToClient), [(2, 0)], "the end is known only now");
}

#[test]
fn each_instance_of_a_multi_buffer_is_inspected_by_itself() {
    let both = vec![literal("one"), literal("two")];
    let mut f = Flow::new(vec![on(1, vec![buffer(LIST, 1, both)]), on(2, vec![buffer(LIST, 1, vec![ends("three")])])]);
    f.app.txs[0].list = vec![b"one".to_vec(), b"two".to_vec()];
    f.app.txs[0].progress[0] = 1;
    assert_eq!(f.packet(ToServer), NOTHING);
    f.app.txs[0].list.push(b"two and one".to_vec());
    f.app.txs[0].list.push(b"three".to_vec());
    assert_eq!(f.packet(ToServer), [(1, 0), (2, 0)]);
}

#[test]
fn absence_is_known_when_its_time_has_passed() {
    let mut name = buffer(NAME, 1, vec![]);
    name.absent = Some(Absent { or_else: false });
    let mut body = buffer(BODY, 2, vec![]);
    body.absent = Some(Absent { or_else: false });
    let mut other = content("other");
    other.negated = true;
    let mut either = buffer(NAME, 1, vec![Op::Content(other.clone())]);
    either.absent = Some(Absent { or_else: true });
    let only_negated = on(4, vec![buffer(NAME, 1, vec![Op::Content(other)])]);
    let sigs =
        || vec![on(1, vec![buffer_copy(&name)]), on(2, vec![buffer_copy(&body)]), on(3, vec![buffer_copy(&either)])];
    let mut f = Flow::new(sigs().into_iter().chain([only_negated]).collect());
    f.app.txs[0].progress[0] = 2;
    assert_eq!(f.packet(ToServer), [(1, 0), (3, 0)], "a negated content wants its buffer");
    f.app.txs[0].progress[0] = 255;
    assert_eq!(f.packet(ToServer), [(2, 0)]);
    let mut f = Flow::new(sigs());
    f.app.txs[0].name = Some(b"this other".to_vec());
    f.app.txs[0].progress[0] = 255;
    assert_eq!(f.packet(ToServer), [(2, 0)]);
}

fn buffer_copy(b: &BufferMatch) -> BufferMatch {
    let ops = b
        .ops
        .iter()
        .map(|o| match o {
            Op::Content(c) => Op::Content(c.clone()),
            _ => literal("?"),
        })
        .collect();
    BufferMatch { absent: b.absent, ..buffer(b.buffer, b.progress.0, ops) }
}

#[derive(Debug)]
struct LongName;

impl TxTest for LongName {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        tx.buffer(NAME, dir, 0).map(|b| b.data.len() > 5)
    }
}

#[test]
fn tests_events_flow_and_state_combine() {
    let event = EventId { proto: ID, local: 3 };
    let test = || TxMatch { proto: ID, direct: Direct::Both, progress: Progress(1), test: Box::new(LongName) };
    let mut tested = on(1, vec![]);
    tested.tx_tests.push(test());
    let mut raised = sig(2, RuleProto::App(ID));
    raised.app_events.push(event);
    let mut to_client = on(3, vec![buffer(NAME, 1, vec![literal("name")])]);
    to_client.flow = FlowMatch { present: true, direction: Some(ToClient), ..FlowMatch::default() };
    let mut asks = on(4, vec![buffer(NAME, 1, vec![literal("name")])]);
    asks.state.push(StateOp::BitTest { scope: VarScope::Flow, any_of: vec![VarId(1)], negated: false });
    let mut sets = on(5, vec![buffer(BODY, 2, vec![literal("set")])]);
    sets.state.push(StateOp::BitSet { scope: VarScope::Flow, bit: VarId(1), expire: None });
    let mut f = Flow::new(vec![sets, asks, tested, raised, to_client]);
    f.app.txs[0].name = Some(b"a long name".to_vec());
    f.app.txs[0].progress = [1, 1];
    f.app.txs[0].events.push(event);
    assert_eq!(f.packet(ToServer), [(1, 0), (2, 0)]);
    assert_eq!(f.packet(ToClient), [(1, 0), (3, 0)], "an event matches once");
    f.app.txs[0].progress = [2, 1];
    f.app.txs[0].body = b"set".to_vec();
    assert_eq!(f.packet(ToServer), [(5, 0), (4, 0)], "who asked before it was set has waited");
}

#[test]
fn what_is_inspected_to_its_end_may_be_freed() {
    let mut f = Flow::new(vec![on(1, vec![buffer(NAME, 1, vec![literal("x")])])]);
    f.app.txs.push(MockTx { progress: [255, 1], ..MockTx::default() });
    f.app.txs[0].progress = [255, 255];
    f.packet(ToServer);
    assert_eq!(f.flow.free_before(&f.app, None), TxId(0), "the answer is not inspected");
    assert_eq!(f.flow.free_before(&f.app, Some(Direction::ToClient)), TxId(2), "the answer goes another way");
    f.packet(ToClient);
    assert_eq!(f.flow.free_before(&f.app, None), TxId(1));
    f.app.txs[1].progress = [255, 255];
    f.packet(ToClient);
    assert_eq!(f.flow.free_before(&f.app, None), TxId(2));
    let mut f = Flow::new(vec![tcp(1, vec![literal("raw only")])]);
    f.app.txs[0].progress = [255, 255];
    f.packet(ToServer);
    f.packet(ToClient);
    assert_eq!(f.flow.free_before(&f.app, None), TxId(1), "nobody looks at transactions");
}
