//! Drives any protocol's parser with bytes from a fuzzer the way the engine would: probing, growing input presented
//! again until consumed, gaps, both directions, every buffer, event and log field, freeing in order.
//!
//! Checks the contract as it goes and panics where a parser breaks it; only fuzz targets and tests call it.

use crate::applayer::{
    AppParser, BufferId, BufferKind, Input, LogCx, LogPurpose, ParseCx, Parsed, ProbeInput, ProtoDef, ProtoId,
    ProtoSet, Transaction, TxId, generic,
};
use crate::types::{Direction, FieldSink, FiveTuple, IpProto, PerDirection, Timestamp};

/// Counts nesting and bytes.
#[derive(Default)]
pub struct CountingSink {
    pub depth: i64,
    pub bytes: usize,
    pub fields: usize,
}

impl FieldSink for CountingSink {
    fn bytes(&mut self, key: &str, value: &[u8]) {
        self.fields += 1;
        self.bytes += key.len() + value.len();
    }
    fn uint(&mut self, _: &str, _: u64) {
        self.fields += 1;
    }
    fn int(&mut self, _: &str, _: i64) {
        self.fields += 1;
    }
    fn float(&mut self, _: &str, _: f64) {
        self.fields += 1;
    }
    fn bool(&mut self, _: &str, _: bool) {
        self.fields += 1;
    }
    fn begin_object(&mut self, _: &str) {
        self.depth += 1;
    }
    fn begin_array(&mut self, _: &str) {
        self.depth += 1;
    }
    fn end(&mut self) {
        self.depth -= 1;
        assert!(self.depth >= 0, "end without begin");
    }
}

/// Bit 0 of the first byte: UDP (where the protocol has it); bit 1: the client speaks second. Then chunks, each led by
/// a byte: bit 7 the direction changes, bit 6 a gap comes first, bits 0 to 5 the length.
pub fn run(def: &ProtoDef, data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let udp = (choice & 1 != 0 && def.udp) || !def.tcp;
    let mut dir = if choice & 2 == 0 { Direction::ToServer } else { Direction::ToClient };
    let dport = if choice & 4 == 0 { 53 } else { 4_443 };
    let proto = if udp { IpProto::UDP } else { IpProto::TCP };
    let tuple = FiveTuple { sport: 40_000, dport, proto, ..FiveTuple::default() };
    let mut cx = ParseCx {
        ts: Timestamp::from_secs(1),
        tuple: &tuple,
        inline: choice & 8 != 0,
        at: 0,
        frames: if choice & 16 != 0 { ProtoSet::ALL } else { ProtoSet::default() },
    };
    let settings = crate::proto::Settings::default();
    let mut parser = (def.parser)(&settings);
    let mut pending: PerDirection<Vec<u8>> = PerDirection::default();
    let mut over: PerDirection<bool> = PerDirection::default();
    let mut taken_of: PerDirection<u64> = PerDirection::default();
    while let Some((lead, tail)) = rest.split_first() {
        if lead & 0x80 != 0 {
            dir = dir.flip();
        }
        let len = if lead & 0x3f == 0x3f { tail.len() } else { usize::from(lead & 0x3f) };
        let (chunk, tail) = tail.split_at_checked(len).unwrap_or((tail, &[]));
        rest = tail;
        if over[dir] {
            continue;
        }
        cx.at = taken_of[dir];
        if lead & 0x40 != 0 {
            pending[dir].clear();
            over[dir] = !matches!(parser.parse(&cx, dir, Input::Gap(7)), Parsed::Consumed(_));
        }
        pending[dir].extend_from_slice(chunk);
        let _ =
            (def.probe)(&ProbeInput { dir, data: &pending[dir], tuple: &tuple, udp, eof: false, settings: &settings });
        match parser.parse(&cx, dir, Input::Data(&pending[dir])) {
            Parsed::Consumed(n) => {
                assert!(n <= pending[dir].len(), "consumed more than there was");
                let taken = if udp { pending[dir].len() } else { n };
                pending[dir].drain(..taken);
                taken_of[dir] += taken as u64;
            }
            Parsed::Done | Parsed::Switch { .. } | Parsed::Failed => over[dir] = true,
        }
        if let Some(frames) = parser.frames_mut() {
            frames.inspected(dir, taken_of[dir]);
        }
        visit(def, parser.as_mut(), lead & 1 == 0);
    }
    for dir in Direction::BOTH {
        if !over[dir] {
            let _ = parser.parse(&cx, dir, Input::Eof);
        }
    }
    visit(def, parser.as_mut(), true);
}

/// Shows a transaction as its own record does, with every setting's default.
pub fn log(tx: &dyn Transaction, sink: &mut dyn FieldSink) {
    tx.log(sink, &LogCx::new(&crate::proto::LogSettings::default(), LogPurpose::Own));
}

/// Asks every live transaction everything, then frees all of them or none.
pub fn visit(def: &ProtoDef, parser: &mut dyn AppParser, free: bool) {
    let (first, next) = parser.transactions();
    for id in (first.0..next.0).map(TxId) {
        let tx = parser.transaction(id);
        assert!(tx.is_some(), "a live transaction is missing");
        let Some(tx) = tx else { continue };
        for dir in Direction::BOTH {
            for (local, buffer) in def.buffers.iter().enumerate() {
                ask(tx, dir, BufferId::new(def.id, local as u8), buffer.kind);
            }
            for (local, buffer) in generic::BUFFERS.iter().enumerate() {
                ask(tx, dir, BufferId::new(ProtoId::ANY, local as u8), buffer.kind);
            }
            let _ = (tx.progress(dir), tx.files(dir));
        }
        let mut sink = CountingSink::default();
        log(tx, &mut sink);
        assert_eq!(sink.depth, 0, "unbalanced log");
    }
    let _ = parser.take_events();
    if free {
        for id in (first.0..next.0).map(TxId) {
            parser.free(id);
        }
    }
    assert!(parser.memory() < 64 << 20, "a flow holds {} bytes", parser.memory());
}

fn ask(tx: &dyn Transaction, dir: Direction, buffer: BufferId, kind: BufferKind) {
    let mut index = 0;
    while let Some(found) = tx.buffer(buffer, dir, index) {
        std::hint::black_box(found.data.len());
        index += 1;
        assert!(index < 1 << 20, "a multi-buffer without end");
        if kind != BufferKind::Multi {
            break;
        }
    }
}
