//! Rules over transactions, in the packet's direction.
//!
//! Each buffer is scanned once (a growing one: its new bytes; a multi-buffer: its new instances). A rule of which some
//! checks matched and others cannot be answered yet is kept with the transaction and asked again when it has moved on;
//! a rule matches a transaction's direction once.

use super::content::{Outcome, View};
use super::header::{self, Answer};
use super::payload::arrived;
use super::{Detector, Hit, HitKind, PacketInput, STEPS_MAX};
use crate::applayer::{AppParser, Buffer, BufferKind, Direct, Progress, ProtoId, Transaction, TxId, state_at};
use crate::detect::compile::{Compiled, Ruleset, Source};
use crate::detect::prefilter::{Hay, Transport, TxGroup};
use crate::detect::signature::SigIdx;
use crate::detect::state::{FlowDetect, Partial, TxDir, insert_sorted};
use crate::detect::transforms_cache::{CacheKey, ChainId};
use crate::types::{Cause, Counter, Direction};

/// Instances of a multi-buffer inspected per transaction and direction.
const INSTANCES_MAX: u64 = 1_024;

/// The transaction at hand.
#[derive(Clone, Copy)]
struct At<'a> {
    tx: &'a dyn Transaction,
    id: TxId,
    dir: Direction,
    progress: Progress,
    flow_end: bool,
    /// The packet adds to this direction.
    arrived: bool,
}

impl At<'_> {
    /// The side of the transaction that an element of a rule over both looks at.
    fn side_of(self, c: &Compiled, e: usize) -> Self {
        let direct = match c.sig.buffers.get(e) {
            Some(m) => Some(m.direct),
            None => c.sig.tx_tests.get(e - c.sig.buffers.len()).map(|t| t.direct),
        };
        let dir = match direct {
            Some(Direct::ToServer) => Direction::ToServer,
            Some(Direct::ToClient) => Direction::ToClient,
            _ => return self,
        };
        At { dir, progress: self.tx.progress(dir), ..self }
    }
}

/// What came of asking a rule.
enum Asked {
    Hit,
    Dead,
    /// So far matched, and what it waits for where that is one content.
    Wait {
        matched: u64,
        missing: Missing,
        streaming: bool,
    },
}

type Missing = Option<(u8, u16, u64)>;

impl Detector {
    pub(super) fn tx_rules(
        &mut self,
        rs: &Ruleset,
        input: &PacketInput<'_>,
        f: &mut FlowDetect,
        app: &dyn AppParser,
        dir: Direction,
        out: &mut Vec<Hit>,
    ) {
        let d = dir as usize;
        let Some(group) = rs.txs.of(app.protocol(), dir).filter(|g| !g.is_empty()) else {
            f.tx_unwatched[d] = true;
            return;
        };
        f.tx_unwatched[d] = false;
        let (first, next) = app.transactions();
        let arrived = input.stream.is_none_or(|s| s.fresh > 0);
        let mut id = TxId(first.0.max(f.tx_from[d]));
        let mut contiguous = true;
        while id < next {
            if let Some(tx) = app.transaction(id) {
                let progress = tx.progress(dir);
                let at = At { tx, id, dir, progress, flow_end: input.flow_end, arrived };
                self.one_tx(rs, group, input, f, first, at, out);
            }
            contiguous &= f.tx_at(id).is_none_or(|t| t.dirs[d].done);
            if contiguous && f.tx_at(id).is_some() {
                f.tx_from[d] = id.0 + 1;
            }
            id = TxId(id.0 + 1);
        }
    }

    /// Rules that ask for parser events alone, on events that belong to no transaction.
    pub(super) fn flow_events(
        &mut self,
        rs: &Ruleset,
        proto: ProtoId,
        input: &PacketInput<'_>,
        f: &mut FlowDetect,
        dir: Direction,
        out: &mut Vec<Hit>,
    ) {
        let Some(group) = rs.txs.of(proto, dir).filter(|_| !input.app_events.is_empty()) else { return };
        let transport = Transport::of(input.facts.packet);
        for idx in &group.events {
            let Some(c) = rs.compiled(*idx) else { continue };
            let here = c.sig.app_events.iter().all(|e| input.app_events.contains(e))
                && header::matches(c, input, transport) == Answer::Yes
                && c.sig.packet_tests.iter().all(|t| t.matches(&input.facts))
                && self.state_holds(c, input, Some(&*f), None);
            if here {
                self.hit(c, *idx, HitKind::Stream, input, Some(&mut *f), out);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn one_tx(
        &mut self,
        rs: &Ruleset,
        group: &TxGroup,
        input: &PacketInput<'_>,
        f: &mut FlowDetect,
        first: TxId,
        at: At<'_>,
        out: &mut Vec<Hit>,
    ) {
        let d = at.dir as usize;
        let events = at.tx.events().len() as u32;
        let Some(state) = f.tx(first, at.id) else { return };
        if at.tx.one_way().is_some_and(|way| way != at.dir) {
            state.dirs[d].done = true;
            return;
        }
        let early = group.early && at.arrived;
        if state.dirs[d].done || (at.progress == Progress::NONE && events == state.dirs[d].events && !early) {
            return;
        }
        let mut s = std::mem::take(&mut state.dirs[d]);
        let changed = !s.seen || at.progress != s.progress || events != s.events || at.flow_end;
        self.cache.clear();
        self.scan_tx(rs, group, at, &mut s);
        if changed {
            group.plain.iter().for_each(|i| self.candidates.add(*i));
            if events > 0 {
                group.events.iter().for_each(|i| self.candidates.add(*i));
            }
        }
        self.wake_partial(rs, at, changed, &mut s);
        if at.arrived || changed {
            self.hooked(rs, group, input, f, at, &s, out);
        }
        let mut hint = 0;
        while let Some(idx) = self.candidates.pop(&mut hint) {
            self.counters.inc(Counter::DetectCandidates);
            if let Some(c) = rs.compiled(idx)
                && s.fired.binary_search(&idx).is_err()
            {
                self.tx_rule(c, idx, input, f, at, &mut s, out);
            }
        }
        s.seen = true;
        s.progress = at.progress;
        s.events = events;
        if at.progress == Progress::DONE {
            s.done = true;
            s.partial.clear();
        }
        if let Some(state) = f.tx_at_mut(at.id) {
            state.dirs[d] = s;
        }
    }

    /// Rules about a state alone: of each state that the transaction is in or has passed since it was looked at last.
    #[allow(clippy::too_many_arguments)]
    fn hooked(
        &mut self,
        rs: &Ruleset,
        group: &TxGroup,
        input: &PacketInput<'_>,
        f: &mut FlowDetect,
        at: At<'_>,
        s: &TxDir,
        out: &mut Vec<Hit>,
    ) {
        for idx in &group.hooked {
            let Some((c, hook)) = rs.compiled(*idx).and_then(|c| Some((c, c.sig.hook?))) else { continue };
            let states = rs.vocabulary().proto_def(hook.proto).map_or(&[][..], |p| p.states_of(at.dir));
            let (before, now) = (state_at(states, s.progress), state_at(states, at.progress));
            if (before..=now).contains(&hook.state) && matches!(self.ask(c, *idx, input, f, at, 0), Asked::Hit) {
                self.hit(c, *idx, HitKind::Tx(at.id), input, Some(&mut *f), out);
            }
        }
    }

    fn scan_tx(&mut self, rs: &Ruleset, group: &TxGroup, at: At<'_>, s: &mut TxDir) {
        for (n, scan) in group.scans.iter().enumerate() {
            if at.progress < scan.progress || has_bit(&s.scanned, n) {
                continue;
            }
            match scan.kind {
                BufferKind::Whole => match at.tx.buffer(scan.buffer, at.dir, 0) {
                    Some(b) => {
                        self.scan_buffer(rs, group, n, 0, b, 0);
                        set_bit(&mut s.scanned, n);
                    }
                    None if at.progress > scan.progress => set_bit(&mut s.scanned, n),
                    None => {}
                },
                BufferKind::Multi => {
                    let from = mark(s, n, 0);
                    let mut i = from;
                    while i < INSTANCES_MAX
                        && let Some(b) = at.tx.buffer(scan.buffer, at.dir, i as usize)
                    {
                        self.scan_buffer(rs, group, n, i as u32, b, 0);
                        i += 1;
                    }
                    set_mark(s, n, 0, from, i);
                }
                BufferKind::Streaming => self.scan_growing(rs, group, n, at, s),
                BufferKind::Frame => {}
            }
        }
    }

    /// New bytes of each instance (a message may carry several files).
    fn scan_growing(&mut self, rs: &Ruleset, group: &TxGroup, n: usize, at: At<'_>, s: &mut TxDir) {
        let Some(id) = group.scans.get(n).map(|s| s.buffer) else { return };
        let mut i = 0;
        while u64::from(i) < INSTANCES_MAX
            && let Some(b) = at.tx.buffer(id, at.dir, usize::from(i))
        {
            let seen = mark(s, n, i);
            let end = b.offset.saturating_add(b.data.len() as u64);
            if end > seen {
                let fresh = usize::try_from(seen.saturating_sub(b.offset)).unwrap_or(0);
                self.scan_buffer(rs, group, n, u32::from(i), b, fresh);
                set_mark(s, n, i, seen, end);
            }
            i += 1;
        }
    }

    fn scan_buffer(&mut self, rs: &Ruleset, group: &TxGroup, n: usize, index: u32, b: Buffer<'_>, fresh: usize) {
        let Some(scan) = group.scans.get(n) else { return };
        let candidates = &mut self.candidates;
        if scan.names.len() > 0 {
            scan.names.find(b.data, &mut self.folded, |sigs| sigs.iter().for_each(|s| candidates.add(*s)));
        }
        if scan.patterns.is_empty() {
            return;
        }
        let (mut data, mut from) = (b.data, fresh);
        if scan.chain != ChainId::NONE {
            let (sig, i) = scan.example;
            let Some(m) = rs.compiled(sig).and_then(|c| c.sig.buffers.get(i)) else { return };
            let key = CacheKey { buffer: scan.buffer, chain: scan.chain, index, len: b.data.len(), offset: b.offset };
            data = self.cache.apply(key, &m.transforms, b.data, &mut self.work.scratch);
            from = 0;
        }
        let hay = Hay { data, fresh: from, offset: b.offset };
        scan.patterns.scan(&mut self.work.scratch, hay, &mut |sig| candidates.add(sig));
    }

    fn wake_partial(&mut self, rs: &Ruleset, at: At<'_>, changed: bool, s: &mut TxDir) {
        for p in &mut s.partial {
            let awake = match &mut p.missing {
                _ if changed => true,
                None => true,
                Some((b, op, upto)) => rs.compiled(p.sig).is_some_and(|c| {
                    let id = c.sig.buffers.get(usize::from(*b)).map(|m| m.buffer);
                    match id.and_then(|id| at.tx.buffer(id, at.dir, 0)) {
                        Some(buf) => arrived(c, *b, *op, upto, view(buf, at)),
                        None => true,
                    }
                }),
            };
            if awake {
                self.candidates.add(p.sig);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn tx_rule(
        &mut self,
        c: &Compiled,
        idx: SigIdx,
        input: &PacketInput<'_>,
        f: &mut FlowDetect,
        at: At<'_>,
        s: &mut TxDir,
        out: &mut Vec<Hit>,
    ) {
        let known = s.partial.iter().position(|p| p.sig == idx);
        let matched = known.and_then(|i| s.partial.get(i)).map_or(0, |p| p.matched);
        let asked = self.ask(c, idx, input, f, at, matched);
        Detector::note_measured(&mut self.work, Some(&mut *f), self.limits.flow_vars_max);
        if let (true, Asked::Wait { matched, .. }) = (c.sig.both_sides, &asked) {
            remember_both(f, at, idx, *matched, self.limits.parked_max);
        }
        match asked {
            Asked::Hit => {
                s.partial.retain(|p| p.sig != idx);
                if c.sig.both_sides
                    && let Some(t) = f.tx_at_mut(at.id)
                {
                    let other = &mut t.dirs[at.dir.flip() as usize];
                    other.partial.retain(|p| p.sig != idx);
                    insert_sorted(&mut other.fired, idx);
                }
                // An event belongs to the transaction, not to one of its directions.
                let other = f.tx_at(at.id).map(|t| &t.dirs[at.dir.flip() as usize].fired);
                let again = !c.sig.app_events.is_empty() && other.is_some_and(|l| l.binary_search(&idx).is_ok());
                insert_sorted(&mut s.fired, idx);
                if !again {
                    let said = if c.flags.says { self.tx_says(c, input, at, f) } else { None };
                    self.hit(c, idx, HitKind::Tx(at.id), input, Some(&mut *f), out);
                    if let (Some(h), Some(_)) = (out.last_mut(), &said) {
                        h.context = said;
                    }
                }
            }
            Asked::Dead => s.partial.retain(|p| p.sig != idx),
            Asked::Wait { matched, missing, streaming } => match known.and_then(|i| s.partial.get_mut(i)) {
                Some(p) => (p.matched, p.missing) = (matched, missing),
                // A rule without a fast pattern is asked again with every progress anyway.
                None if c.fast.is_none() && matched == 0 && !streaming => {}
                None => {
                    self.counters.inc(Counter::DetectParked);
                    if s.partial.len() >= self.limits.parked_max.max(1) {
                        s.partial.remove(0);
                        self.exception(Cause::ParkedOverflow, idx);
                    }
                    s.partial.push(Partial { sig: idx, matched, missing });
                }
            },
        }
    }

    /// What a match of a transaction says.
    fn tx_says(
        &mut self,
        c: &Compiled,
        input: &PacketInput<'_>,
        at: At<'_>,
        f: &mut FlowDetect,
    ) -> super::gather::Context {
        self.gather(c);
        for e in 0..c.buffers.len() {
            self.element(c, e, input, at);
        }
        self.gathered(Some(f))
    }

    /// Asks all elements of a rule that have not matched yet, the prefiltered buffer first.
    fn ask(
        &mut self,
        c: &Compiled,
        idx: SigIdx,
        input: &PacketInput<'_>,
        f: &FlowDetect,
        at: At<'_>,
        before: u64,
    ) -> Asked {
        // Addresses and direction do not change; what was accepted once stays so.
        if before == 0 && header::matches(c, input, Transport::of(input.facts.packet)) != Answer::Yes {
            return Asked::Dead;
        }
        if !c.sig.packet_tests.iter().all(|t| t.matches(&input.facts)) {
            return Asked::Wait { matched: before, missing: None, streaming: false };
        }
        if c.flags.changes && !self.state_holds(c, input, Some(f), Some(at.id)) {
            return Asked::Wait { matched: before, missing: None, streaming: false };
        }
        self.work.begin(c.sig.slots, false, STEPS_MAX);
        // Variables pass from one buffer to the next, so their rules are asked as a whole.
        let mut matched = if c.sig.slots > 0 { 0 } else { before };
        let (mut waits, mut missing, mut streaming) = (0u32, None, false);
        let buffers = c.sig.buffers.len();
        let fast = c.fast.map(|x| x.0);
        let rest = (buffers..c.elements as usize).chain((0..buffers).filter(|i| Some(*i) != fast));
        for e in fast.into_iter().chain(rest) {
            if matched & (1 << e) != 0 {
                continue;
            }
            match self.element(c, e, input, at) {
                Outcome::Match => matched |= 1 << e,
                Outcome::No => return Asked::Dead,
                Outcome::Later => {
                    waits += 1;
                    missing = self.work.missing.take().map(|(op, upto)| (e as u8, op, upto));
                    streaming |= c.buffers.get(e).is_some_and(|a| a.source == Source::Tx(BufferKind::Streaming));
                }
                Outcome::Limit(cause) => {
                    self.exception(cause, idx);
                    return Asked::Dead;
                }
            }
        }
        if waits > 0 {
            return Asked::Wait { matched, missing: missing.filter(|_| waits == 1), streaming };
        }
        if self.state_holds(c, input, Some(f), Some(at.id)) {
            Asked::Hit
        } else {
            Asked::Wait { matched, missing: None, streaming: false }
        }
    }

    fn element(&mut self, c: &Compiled, e: usize, input: &PacketInput<'_>, at: At<'_>) -> Outcome {
        let at = if c.sig.both_sides { at.side_of(c, e) } else { at };
        if let Some(aux) = c.buffers.get(e) {
            return match aux.source {
                Source::Base64 => Outcome::Match,
                Source::Frame => Outcome::No,
                Source::Payload | Source::Header => self.packet_element(c, e, input),
                Source::Tx(kind) => self.tx_buffer(c, e, kind, at),
            };
        }
        if let Some(t) = c.sig.tx_tests.get(e - c.buffers.len()) {
            if at.progress < t.progress {
                return Outcome::Later;
            }
            return match t.test.matches(at.tx, at.dir) {
                Some(true) => Outcome::Match,
                Some(false) => Outcome::No,
                None if at.progress == Progress::DONE => Outcome::No,
                None => Outcome::Later,
            };
        }
        let events = at.tx.events();
        if c.sig.app_events.iter().all(|e| events.contains(e)) {
            Outcome::Match
        } else if at.progress == Progress::DONE {
            Outcome::No
        } else {
            Outcome::Later
        }
    }

    /// A payload or header check of a transaction rule: on the stream, or the packet where there is none.
    fn packet_element(&mut self, c: &Compiled, e: usize, input: &PacketInput<'_>) -> Outcome {
        let Some(id) = c.sig.buffers.get(e).map(|m| m.buffer) else { return Outcome::No };
        let outcome = match (super::payload::header_bytes(input.facts.packet, id), input.stream) {
            (Some(h), _) => self.buffer_match(c, e, id, View::whole(h)),
            (None, Some(s)) if !s.bytes.is_empty() => {
                self.buffer_match(c, e, id, super::payload::stream_view(&s, true))
            }
            _ => self.buffer_match(c, e, id, View::whole(input.facts.packet.payload())),
        };
        match outcome {
            Outcome::No => Outcome::Later,
            o => o,
        }
    }

    fn tx_buffer(&mut self, c: &Compiled, e: usize, kind: BufferKind, at: At<'_>) -> Outcome {
        let Some(m) = c.sig.buffers.get(e) else { return Outcome::No };
        if at.progress < m.progress {
            return Outcome::Later;
        }
        let must_lack = m.absent.is_some_and(|a| !a.or_else);
        // Nothing of it can come any more.
        let past = match kind {
            BufferKind::Streaming => at.progress == Progress::DONE,
            BufferKind::Whole | BufferKind::Multi | BufferKind::Frame => {
                at.progress > m.progress || at.progress == Progress::DONE
            }
        };
        let mut instances = 0;
        let mut later = false;
        while instances < INSTANCES_MAX
            && let Some(b) = at.tx.buffer(m.buffer, at.dir, instances as usize)
        {
            if must_lack {
                return Outcome::No;
            }
            match self.indexed_match(c, e, m.buffer, instances as u32, view(b, at)) {
                Outcome::No => {}
                Outcome::Later => later = true,
                done => return done,
            }
            instances += 1;
            if instances > 1 {
                // What is missing was noted of one instance only.
                self.work.missing = None;
            }
            if kind == BufferKind::Whole {
                return if later { Outcome::Later } else { Outcome::No };
            }
        }
        match (instances, m.absent.is_some()) {
            // An absent buffer is known to be so at its own progress; of a body only when the message is over.
            (0, true) if past || kind == BufferKind::Whole => Outcome::Match,
            _ if past && !later => Outcome::No,
            _ => Outcome::Later,
        }
    }
}

/// What matched of a rule over both sides of a transaction is known to the other side too.
fn remember_both(f: &mut FlowDetect, at: At<'_>, sig: SigIdx, matched: u64, max: usize) {
    let Some(t) = f.tx_at_mut(at.id) else { return };
    let other = &mut t.dirs[at.dir.flip() as usize];
    if let Some(p) = other.partial.iter_mut().find(|p| p.sig == sig) {
        (p.matched, p.missing) = (p.matched | matched, None);
    } else if matched != 0 && other.partial.len() < max {
        other.partial.push(Partial { sig, matched, missing: None });
    }
}

fn view<'a>(b: Buffer<'a>, at: At<'_>) -> View<'a> {
    let more = !b.complete && at.progress != Progress::DONE && !at.flow_end;
    View { data: b.data, offset: b.offset, more, end_waits: true }
}

fn has_bit(bits: &[u64], n: usize) -> bool {
    bits.get(n / 64).is_some_and(|w| w & 1 << (n % 64) != 0)
}

fn set_bit(bits: &mut smallvec::SmallVec<[u64; 2]>, n: usize) {
    if bits.len() <= n / 64 {
        bits.resize(n / 64 + 1, 0);
    }
    if let Some(w) = bits.get_mut(n / 64) {
        *w |= 1 << (n % 64);
    }
}

fn mark(s: &TxDir, n: usize, instance: u16) -> u64 {
    s.marks.iter().find(|m| m.0 == (n as u16, instance)).map_or(0, |m| m.1)
}

fn set_mark(s: &mut TxDir, n: usize, instance: u16, old: u64, new: u64) {
    if old == new {
        return;
    }
    match s.marks.iter_mut().find(|m| m.0 == (n as u16, instance)) {
        Some(m) => m.1 = new,
        None => s.marks.push(((n as u16, instance), new)),
    }
}
