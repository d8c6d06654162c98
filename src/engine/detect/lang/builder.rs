//! A signature in the making: what the keywords of a rule, read in order, write into.
//!
//! Holds what only matters while reading: which sticky buffer is active, which content came last, which byte variables
//! are set. Keywords append checks here and nowhere else, so the rules about buffers are kept in one place:
//! a buffer selected must be inspected; selecting the same buffer again goes on where it was left, unless it is one with
//! several instances; transforms stand directly behind their buffer; an old modifier moves the last content of the
//! payload and cannot be mixed with an active sticky buffer.

use super::context::Context;
use super::diagnostics::{Code, Fault};
use super::names::{VarKind, VarTable};
use crate::applayer::{BufferDef, BufferId, BufferKind, Direct, Progress, ProtoId, TxKeyword, UnparsedProto, generic};
use crate::detect::signature::{
    Absent, BufferMatch, Content, Header, IntMatch, Op, PacketTest, RuleProto, Signature, Transform, TxMatch, Value,
    VarId,
};

/// Byte variables of one rule.
const SLOTS_MAX: usize = 64;
/// Transforms of one buffer.
const TRANSFORMS_MAX: usize = 16;

/// The active sticky buffer.
struct Active {
    id: BufferId,
    def: &'static BufferDef,
    /// The side of the transaction it is of.
    direct: Direct,
    /// Transforms read but not yet part of a `BufferMatch`.
    pending: Vec<Box<dyn Transform>>,
    /// Its place in the signature once it is inspected.
    index: Option<usize>,
}

pub struct Builder<'a> {
    pub cx: &'a Context,
    pub sig: Signature,
    vars: &'a mut VarTable,
    pub warnings: Vec<Fault>,
    active: Option<Active>,
    /// Buffer and op of the content read last.
    last_content: Option<(usize, usize)>,
    slots: Vec<String>,
    seen: Vec<&'static str>,
    /// Protocol of the buffers and keywords so far.
    app: Option<ProtoId>,
    pub unparsed: Option<&'static UnparsedProto>,
    /// A sticky buffer of an unparsed protocol swallows what follows it.
    swallow: bool,
    /// The keyword that makes the rule one about single packets.
    pub packet_keyword: Option<&'static str>,
    pub dsize: Option<IntMatch>,
    /// `base64_decode` has been read.
    pub base64_decoded: bool,
    pub priority: Option<u8>,
    /// The rule's header names a state.
    pub header_hook: bool,
    /// A `prefilter` keyword asked for a prefilter other than by content.
    pub prefilter: bool,
}

/// A buffer without a parser behind it, for rules of unparsed protocols.
static NOWHERE: BufferDef = BufferDef {
    name: "unparsed",
    aliases: &[],
    modifiers: &[],
    direct: Direct::Both,
    kind: BufferKind::Whole,
    progress: Progress::DONE,
    lowercase: false,
    doc: "of a protocol without a parser",
};

impl<'a> Builder<'a> {
    pub fn new(cx: &'a Context, vars: &'a mut VarTable, sig: Signature) -> Self {
        Builder {
            cx,
            sig,
            vars,
            warnings: Vec::new(),
            active: None,
            last_content: None,
            slots: Vec::new(),
            seen: Vec::new(),
            app: None,
            unparsed: None,
            swallow: false,
            packet_keyword: None,
            dsize: None,
            base64_decoded: false,
            priority: None,
            prefilter: false,
            header_hook: false,
        }
    }

    pub fn header(&self) -> &Header {
        &self.sig.header
    }

    /// Errors the second time it is asked about one keyword.
    pub fn once(&mut self, keyword: &'static str) -> Result<(), Fault> {
        if self.seen.contains(&keyword) {
            return Err(Fault::new(Code::Repeated, format!("`{keyword}` may stand in a rule once only")));
        }
        self.seen.push(keyword);
        Ok(())
    }

    pub fn warn(&mut self, fault: Fault) {
        self.warnings.push(fault);
    }

    pub fn var(&mut self, kind: VarKind, name: &str) -> VarId {
        self.vars.intern(kind, name)
    }

    pub fn packet_test(&mut self, keyword: &'static str, test: impl PacketTest + 'static) {
        self.packet_keyword.get_or_insert(keyword);
        self.sig.packet_tests.push(Box::new(test));
    }

    /// A test of the flow or of detection that goes with stream and transaction rules too.
    pub fn flow_test(&mut self, test: impl PacketTest + 'static) {
        self.sig.packet_tests.push(Box::new(test));
    }

    // --- buffers ---------------------------------------------------------------------------------------------------

    pub fn select(&mut self, id: BufferId, def: &'static BufferDef) -> Result<(), Fault> {
        self.swallow = false;
        if id == generic::PAYLOAD {
            self.buffer_used()?;
            self.active = None;
            return Ok(());
        }
        self.leave_buffer()?;
        if id == generic::BASE64_DATA && !self.base64_decoded {
            return Err(Fault::new(Code::NeedsBuffer, "`base64_data` needs `base64_decode` before it"));
        }
        self.bind(id.proto)?;
        self.active = Some(Active { id, def, direct: def.direct, pending: Vec::new(), index: None });
        Ok(())
    }

    /// A buffer of both directions, of one of them.
    pub fn select_side(&mut self, id: BufferId, def: &'static BufferDef, side: Direct) -> Result<(), Fault> {
        if def.direct != Direct::Both && def.direct != side {
            let message = format!("`{}` exists in the other direction only", def.name);
            return Err(Fault::new(Code::Directions, message));
        }
        self.select(id, def)?;
        if let Some(a) = &mut self.active {
            a.direct = side;
        }
        Ok(())
    }

    pub fn select_unparsed(&mut self, proto: &'static UnparsedProto) -> Result<(), Fault> {
        self.leave_buffer()?;
        self.unparsed = Some(proto);
        self.swallow = true;
        self.active = None;
        Ok(())
    }

    /// Whether the active buffer was inspected; asked when it is left and at the end of the rule.
    pub fn leave_buffer(&self) -> Result<(), Fault> {
        let Some(a) = &self.active else { return Ok(()) };
        if a.id == generic::BASE64_DATA && a.index.is_some() {
            return Err(Fault::new(Code::Conflict, "no other buffer can follow `base64_data`"));
        }
        self.buffer_used()
    }

    pub fn buffer_used(&self) -> Result<(), Fault> {
        match &self.active {
            Some(a) if a.index.is_none() => {
                let what = if a.pending.is_empty() { "" } else { " after its transforms" };
                Err(Fault::new(Code::EmptyBuffer, format!("`{}` is selected and not inspected{what}", a.def.name))
                    .help("a sticky buffer is followed by content, pcre, bsize or another check of it"))
            }
            _ => Ok(()),
        }
    }

    /// A buffer's protocol must go with the rule's and with those before.
    pub fn bind(&mut self, proto: ProtoId) -> Result<(), Fault> {
        if proto == ProtoId::ANY {
            return Ok(());
        }
        let name = |p: ProtoId| self.cx.vocabulary.proto_def(p).map_or("?", |d| d.name);
        let clash = match self.sig.header.proto {
            RuleProto::App(p) if p != proto => Some(p),
            RuleProto::Unparsed(of) if !self.cx.unparsed(of).is_some_and(|u| u.also.contains(&name(proto))) => {
                return Err(Fault::new(
                    Code::Protocols,
                    format!("a rule about {of} cannot look at a buffer of {}", name(proto)),
                ));
            }
            _ => self.app.filter(|p| *p != proto),
        };
        if let Some(other) = clash {
            let (a, b) = (name(other), name(proto));
            return Err(Fault::new(Code::Protocols, format!("a rule about {a} cannot look at a buffer of {b}")));
        }
        self.app = Some(proto);
        Ok(())
    }

    pub fn app(&self) -> Option<ProtoId> {
        self.app
    }

    /// The sticky buffer in effect, `None` for the payload.
    pub fn sticky(&self) -> Option<(BufferId, &'static BufferDef)> {
        if self.swallow {
            return Some((BufferId::new(ProtoId::ANY, u8::MAX), &NOWHERE));
        }
        self.active.as_ref().map(|a| (a.id, a.def))
    }

    pub fn transform(&mut self, t: Box<dyn Transform>) -> Result<(), Fault> {
        if self.swallow {
            return Ok(());
        }
        let Some(a) = &mut self.active else {
            return Err(Fault::new(Code::NeedsBuffer, "a transform needs a sticky buffer before it"));
        };
        if let Some(i) = a.index {
            if self.sig.buffers.get(i).is_some_and(|b| !b.transforms.is_empty()) {
                return Err(Fault::new(Code::NeedsBuffer, "transforms stand directly behind their sticky buffer"));
            }
            a.index = None;
        }
        if a.pending.len() >= TRANSFORMS_MAX {
            return Err(Fault::argument(format!("more than {TRANSFORMS_MAX} transforms of one buffer")));
        }
        a.pending.push(t);
        Ok(())
    }

    /// Where the next check goes, made if need be.
    fn target(&mut self) -> usize {
        let Some(a) = &mut self.active else {
            return place(&mut self.sig.buffers, generic::PAYLOAD, &NOWHERE_PAYLOAD, Direct::Both, Vec::new());
        };
        if let Some(i) = a.index {
            return i;
        }
        let i = place(&mut self.sig.buffers, a.id, a.def, a.direct, std::mem::take(&mut a.pending));
        a.index = Some(i);
        i
    }

    /// Appends a check to the active buffer; without a sticky one, a check that goes on from where the last content
    /// matched belongs to that content's buffer, wherever an old modifier has moved it.
    pub fn push(&mut self, op: Op) {
        let relative = match &op {
            Op::ByteTest(t) => t.relative,
            Op::ByteJump(j) => j.relative,
            Op::ByteExtract(e) => e.relative,
            Op::ByteMath(m) => m.relative,
            Op::IsDataAt(i) => i.relative,
            _ => false,
        };
        let i = match self.last_content {
            Some((i, _)) if relative && self.active.is_none() && !self.swallow => i,
            _ => self.target(),
        };
        self.push_at(i, op);
    }

    /// Appends a check to a named buffer, whatever is active (`pcre` with a buffer letter).
    pub fn push_to(&mut self, id: BufferId, def: &'static BufferDef, op: Op) -> Result<(), Fault> {
        self.bind(id.proto)?;
        let i = place(&mut self.sig.buffers, id, def, def.direct, Vec::new());
        self.push_at(i, op);
        Ok(())
    }

    fn push_at(&mut self, i: usize, op: Op) {
        let Some(b) = self.sig.buffers.get_mut(i) else { return };
        if matches!(op, Op::Content(_)) {
            self.last_content = Some((i, b.ops.len()));
        }
        b.ops.push(op);
    }

    /// Checks of the active buffer so far, in order.
    pub fn ops(&self) -> &[Op] {
        let i = match &self.active {
            None => self.sig.buffers.iter().position(|b| b.buffer == generic::PAYLOAD && b.transforms.is_empty()),
            Some(a) => a.index,
        };
        i.and_then(|i| self.sig.buffers.get(i)).map_or(&[], |b| &b.ops)
    }

    pub fn absent(&mut self, absent: Absent) -> Result<(), Fault> {
        if self.swallow {
            return Ok(());
        }
        if self.active.is_none() {
            return Err(Fault::new(Code::NeedsBuffer, "`absent` needs a sticky buffer before it"));
        }
        if !self.ops().is_empty() {
            return Err(Fault::new(Code::Conflict, "`absent` stands directly behind its buffer"));
        }
        let i = self.target();
        if let Some(b) = self.sig.buffers.get_mut(i) {
            b.absent = Some(absent);
        }
        Ok(())
    }

    // --- contents --------------------------------------------------------------------------------------------------

    /// The content a modifier speaks of.
    pub fn content(&mut self, modifier: &str) -> Result<&mut Content, Fault> {
        let fault = || Fault::new(Code::NeedsContent, format!("`{modifier}` needs a content before it"));
        let (i, j) = self.last_content.ok_or_else(fault)?;
        match self.sig.buffers.get_mut(i).and_then(|b| b.ops.get_mut(j)) {
            Some(Op::Content(c)) => Ok(c),
            _ => Err(fault()),
        }
    }

    pub fn last_content(&self) -> Option<(usize, usize)> {
        self.last_content
    }

    /// What stands before the last content in its buffer.
    pub fn ops_before_content(&self) -> &[Op] {
        let Some((i, j)) = self.last_content else { return &[] };
        self.sig.buffers.get(i).and_then(|b| b.ops.get(..j)).unwrap_or(&[])
    }

    /// An old modifier: moves the last content of the payload into its buffer.
    pub fn modify(&mut self, word: &str, id: BufferId, def: &'static BufferDef) -> Result<(), Fault> {
        if let Some((_, sticky)) = self.sticky() {
            return Err(Fault::new(Code::Modifier, format!("`{word}` while `{}` is active", sticky.name)).help(
                format!("select the buffer by `{}` before the content instead, or reset by `pkt_data`", def.name),
            ));
        }
        self.bind(id.proto)?;
        let op = self.take_payload_content(word)?;
        let i = place(&mut self.sig.buffers, id, def, def.direct, Vec::new());
        self.push_at(i, op);
        Ok(())
    }

    pub fn modify_unparsed(&mut self, word: &str, proto: &'static UnparsedProto) -> Result<(), Fault> {
        self.unparsed = Some(proto);
        self.take_payload_content(word).map(drop)
    }

    fn take_payload_content(&mut self, word: &str) -> Result<Op, Fault> {
        let fault = || Fault::new(Code::NeedsContent, format!("`{word}` needs a content before it"));
        let i = self.sig.buffers.iter().position(|b| b.buffer == generic::PAYLOAD && b.transforms.is_empty());
        let i = i.ok_or_else(fault)?;
        let ops = &mut self.sig.buffers.get_mut(i).ok_or_else(fault)?.ops;
        let j = ops.iter().rposition(|o| matches!(o, Op::Content(_))).ok_or_else(fault)?;
        if self.sig.replace.iter().any(|r| (r.buffer, r.op) == (i, j)) {
            return Err(Fault::new(Code::Conflict, format!("`{word}` cannot apply to a content that is replaced")));
        }
        if matches!(ops.get(j), Some(Op::Content(c)) if c.rawbytes) {
            return Err(Fault::new(Code::Conflict, format!("`{word}` and `rawbytes` exclude each other")));
        }
        Ok(ops.remove(j))
    }

    // --- transactions ----------------------------------------------------------------------------------------------

    pub fn tx_test(&mut self, proto: ProtoId, row: &'static TxKeyword, text: &str) -> Result<(), Fault> {
        self.bind(proto)?;
        let test = (row.parse)(text)
            .map_err(|e| Fault::argument(e).help(format!("`{}` is written {}:{}", row.name, row.name, row.syntax)))?;
        self.sig.tx_tests.push(TxMatch { proto, direct: row.direct, progress: row.progress, test });
        Ok(())
    }

    // --- byte variables --------------------------------------------------------------------------------------------

    /// The slot of a variable that `byte_extract` or `byte_math` sets; a second setting reuses the slot.
    pub fn set_slot(&mut self, name: &str) -> Result<u8, Fault> {
        let valid = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.' || b == b'-');
        if !valid {
            return Err(Fault::argument(format!("`{name}` cannot be the name of a variable"))
                .help("a name begins with a letter and goes on with letters, digits, `_`, `.` or `-`"));
        }
        let i = match self.slots.iter().position(|s| s == name) {
            Some(i) => i,
            None if self.slots.len() >= SLOTS_MAX => {
                return Err(Fault::argument(format!("more than {SLOTS_MAX} byte variables in one rule")));
            }
            None => {
                self.slots.push(name.to_owned());
                self.slots.len() - 1
            }
        };
        self.sig.slots = u8::try_from(self.slots.len()).unwrap_or(u8::MAX);
        u8::try_from(i).map_err(|_| Fault::argument("too many byte variables"))
    }

    /// A number within `range`, or a variable set before.
    pub fn value(&self, text: &str, range: std::ops::RangeInclusive<i64>) -> Result<Value, Fault> {
        let looks_numeric = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
        if looks_numeric {
            let n = crate::detect::keywords::number(text)
                .ok_or_else(|| Fault::argument(format!("`{text}` is no number")))?;
            if !range.contains(&n) {
                return Err(Fault::argument(format!("{n} is not within {} to {}", range.start(), range.end())));
            }
            return Ok(Value::Const(n));
        }
        match self.slots.iter().position(|s| s == text).and_then(|i| u8::try_from(i).ok()) {
            Some(i) => Ok(Value::Var(i)),
            None => Err(Fault::new(Code::ByteVariable, format!("no byte variable `{text}` is set before"))
                .help("a variable comes from `byte_extract` or `byte_math` earlier in the rule")),
        }
    }
}

static NOWHERE_PAYLOAD: BufferDef = BufferDef {
    name: "pkt_data",
    aliases: &[],
    modifiers: &[],
    direct: Direct::Both,
    kind: BufferKind::Whole,
    progress: Progress(1),
    lowercase: false,
    doc: "payload",
};

/// The buffer match for `id` after `transforms`: one already there, unless instances are several, or a new one.
fn place(
    buffers: &mut Vec<BufferMatch>,
    id: BufferId,
    def: &'static BufferDef,
    direct: Direct,
    transforms: Vec<Box<dyn Transform>>,
) -> usize {
    let same = |b: &BufferMatch| {
        b.buffer == id
            && b.direct == direct
            && b.transforms.len() == transforms.len()
            && b.transforms.iter().zip(&transforms).all(|(x, y)| x.identity() == y.identity())
    };
    let found = buffers.iter().position(same);
    // Each selection of a buffer with several instances may mean another one of them.
    let several = def.kind == BufferKind::Multi || id == generic::FILE_DATA;
    if let Some(i) = found.filter(|_| !several) {
        return i;
    }
    buffers.push(BufferMatch { buffer: id, direct, progress: def.progress, transforms, ops: Vec::new(), absent: None });
    buffers.len() - 1
}
