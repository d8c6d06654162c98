//! Rules that look at transactions: by protocol and direction, within it by buffer.
//!
//! One scan per buffer and chain of transforms that some rule's fast pattern is in. Patterns pinned to the end of a
//! buffer go to the name table (whatever the chain is nothing or `dotprefix`), the rest to a pattern group. Rules
//! without a fast pattern are candidates of every transaction.

use super::names::{LEN_MIN, NameTable};
use super::patterns::{PatternGroup, SetBuilder};
use crate::applayer::{BufferId, BufferKind, Progress, ProtoId, Vocabulary};
use crate::detect::compile::{Class, Compiled, Source};
use crate::detect::matching::MatcherError;
use crate::detect::signature::{Content, SigIdx, Value};
use crate::detect::transforms_cache::ChainId;
use crate::types::Direction;
use std::collections::BTreeMap;

/// One buffer's prefilter.
pub(crate) struct TxScan {
    pub buffer: BufferId,
    pub kind: BufferKind,
    pub progress: Progress,
    pub chain: ChainId,
    /// A signature and its buffer match that hold the chain's transforms.
    pub example: (SigIdx, usize),
    pub names: NameTable,
    pub patterns: PatternGroup,
}

/// One protocol in one direction.
#[derive(Default)]
pub(crate) struct TxGroup {
    pub scans: Vec<TxScan>,
    pub plain: Vec<SigIdx>,
    /// Rules that ask for events of the parser alone.
    pub events: Vec<SigIdx>,
    /// Rules hooked to a state and without more, which hold as long as it lasts.
    pub hooked: Vec<SigIdx>,
    /// Some rule is about transactions of which nothing has come.
    pub early: bool,
}

impl TxGroup {
    pub(crate) fn is_empty(&self) -> bool {
        self.scans.is_empty() && self.plain.is_empty() && self.events.is_empty() && self.hooked.is_empty()
    }
}

#[derive(Default)]
pub(crate) struct TxGroups {
    by_proto: Vec<[TxGroup; 2]>,
}

/// A scan under construction.
struct Wanted<'a> {
    progress: Progress,
    kind: BufferKind,
    example: (SigIdx, usize),
    names: Vec<(Vec<u8>, bool, SigIdx)>,
    patterns: Vec<(SigIdx, &'a Content)>,
}

impl TxGroups {
    pub(crate) fn build(
        sigs: &[Compiled],
        vocabulary: &Vocabulary,
        builder: &mut SetBuilder<'_, '_>,
    ) -> Result<TxGroups, MatcherError> {
        let mut by_proto = Vec::new();
        for p in vocabulary.protocols {
            let mut dirs = [TxGroup::default(), TxGroup::default()];
            for d in Direction::BOTH {
                dirs[d as usize] = match p.id {
                    ProtoId::ANY => detection_events(sigs, d),
                    id => group(sigs, id, d, builder)?,
                };
            }
            by_proto.push(dirs);
        }
        Ok(TxGroups { by_proto })
    }

    pub(crate) fn of(&self, proto: ProtoId, dir: Direction) -> Option<&TxGroup> {
        self.by_proto.get(usize::from(proto.0)).map(|d| &d[dir as usize])
    }

    pub(crate) fn memory(&self) -> usize {
        self.by_proto.iter().flatten().flat_map(|g| &g.scans).map(|s| s.patterns.memory()).sum()
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (ProtoId, Direction, &TxGroup)> {
        self.by_proto
            .iter()
            .enumerate()
            .flat_map(|(p, d)| Direction::BOTH.into_iter().map(move |dir| (ProtoId(p as u8), dir, &d[dir as usize])))
    }
}

fn events_alone(c: &Compiled) -> bool {
    c.class == Class::Tx && c.sig.buffers.is_empty() && c.sig.tx_tests.is_empty()
}

fn hooked_alone(c: &Compiled) -> bool {
    c.sig.hook.is_some() && c.sig.buffers.is_empty() && c.sig.tx_tests.len() == 1 && c.sig.app_events.is_empty()
}

/// Rules that ask for events of protocol detection, which no parser raises.
fn detection_events(sigs: &[Compiled], dir: Direction) -> TxGroup {
    let mine = |c: &Compiled| events_alone(c) && c.tx_proto == ProtoId::ANY && c.dirs[dir as usize];
    let events = sigs.iter().enumerate().filter(|(_, c)| mine(c)).map(|(i, _)| SigIdx(i as u32)).collect();
    TxGroup { events, ..TxGroup::default() }
}

fn group(
    sigs: &[Compiled],
    proto: ProtoId,
    dir: Direction,
    builder: &mut SetBuilder<'_, '_>,
) -> Result<TxGroup, MatcherError> {
    let mut out = TxGroup::default();
    let mut wanted: BTreeMap<(BufferId, ChainId), Wanted<'_>> = BTreeMap::new();
    for (i, c) in sigs.iter().enumerate() {
        let mine = c.class == Class::Tx
            && c.dirs[dir as usize]
            && (c.tx_proto == proto || c.tx_proto == ProtoId::ANY)
            && !matches!(c.sig.header.proto, crate::detect::signature::RuleProto::Unparsed(_));
        if !mine {
            continue;
        }
        let idx = SigIdx(i as u32);
        out.early |= c.sig.tx_tests.iter().any(|t| t.test.early());
        match (c.fast, c.fast_content()) {
            // Its other side is asked where this one has matched.
            (Some((b, _)), Some(_))
                if c.sig.both_sides && c.sig.buffers.get(b).is_some_and(|m| !m.direct.includes(dir)) => {}
            (Some((b, _)), Some(content)) => file(&mut wanted, idx, c, b, content),
            _ if events_alone(c) && c.tx_proto == ProtoId::ANY => {}
            _ if events_alone(c) => out.events.push(idx),
            _ if hooked_alone(c) => out.hooked.push(idx),
            _ => out.plain.push(idx),
        }
    }
    for ((buffer, chain), w) in wanted {
        out.scans.push(TxScan {
            buffer,
            kind: w.kind,
            progress: w.progress,
            chain,
            example: w.example,
            names: NameTable::build(&w.names),
            patterns: builder.group(&w.patterns, chain == ChainId::NONE)?,
        });
    }
    Ok(out)
}

fn file<'a>(
    wanted: &mut BTreeMap<(BufferId, ChainId), Wanted<'a>>,
    idx: SigIdx,
    c: &Compiled,
    b: usize,
    content: &'a Content,
) {
    let (Some(m), Some(aux)) = (c.sig.buffers.get(b), c.buffers.get(b)) else { return };
    let Source::Tx(kind) = aux.source else { return };
    let dotted = matches!(m.transforms.as_slice(), [t] if t.identity() == "dotprefix");
    let named = kind != BufferKind::Streaming
        && pinned_to_end(content, m)
        && content.bytes.len() >= LEN_MIN
        && (dotted || m.transforms.is_empty());
    let chain = if named { ChainId::NONE } else { aux.chain };
    let w = wanted.entry((m.buffer, chain)).or_insert_with(|| Wanted {
        progress: m.progress,
        kind,
        example: (idx, b),
        names: Vec::new(),
        patterns: Vec::new(),
    });
    w.progress = w.progress.min(m.progress);
    if named {
        w.names.push((content.bytes.clone(), dotted, idx));
    } else {
        w.patterns.push((idx, content));
    }
}

/// Whether the content can only be the end of its buffer.
fn pinned_to_end(c: &Content, m: &crate::detect::signature::BufferMatch) -> bool {
    use crate::detect::signature::{IntMatch, Op};
    let exact = m.ops.iter().any(|op| matches!(op, Op::Bsize(IntMatch::Eq(n)) if *n == c.bytes.len() as u64));
    let relative_var = [c.distance, c.within].iter().flatten().any(|v| matches!(v, Value::Var(_)));
    !relative_var && (c.endswith || exact)
}
