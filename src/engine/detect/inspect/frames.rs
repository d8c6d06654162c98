//! Rules over frames: units of a protocol on the wire, looked at in the stream.
//!
//! Few rules are about frames, so they have no prefilter: where the flow's protocol has some, each is asked of every frame
//! that new bytes reached or that has begun or ended, over what is still held of it. A match counts once a frame.

use super::content::{Outcome, View};
use super::header::{self, Answer};
use super::{Detector, Hit, HitKind, PacketInput, STEPS_MAX, StreamInput};
use crate::applayer::frames::Frame;
use crate::applayer::{AppParser, BufferId, ProtoId, ProtoSet, Vocabulary};
use crate::detect::compile::{Class, Compiled, Ruleset, Source};
use crate::detect::prefilter::Transport;
use crate::detect::signature::SigIdx;
use crate::detect::state::FlowDetect;
use crate::types::{Counter, Direction};

/// Rules about frames, by protocol and direction, each with the kind of frame it is about.
#[derive(Default)]
pub(crate) struct FrameRules {
    by_proto: Vec<[Vec<(BufferId, SigIdx)>; 2]>,
}

impl FrameRules {
    pub(crate) fn build(sigs: &[Compiled], vocabulary: &Vocabulary) -> Self {
        let mut by_proto: Vec<[Vec<_>; 2]> = vocabulary.protocols.iter().map(|_| Default::default()).collect();
        for (i, c) in sigs.iter().enumerate().filter(|(_, c)| c.class == Class::Frame) {
            let framed = c.sig.buffers.iter().zip(&c.buffers).find(|(_, a)| a.source == Source::Frame);
            let Some(lists) = by_proto.get_mut(usize::from(c.tx_proto.0)) else { continue };
            let Some((m, _)) = framed else { continue };
            for d in Direction::BOTH.into_iter().filter(|d| c.dirs[*d as usize]) {
                lists[d as usize].push((m.buffer, SigIdx(i as u32)));
            }
        }
        FrameRules { by_proto }
    }

    /// Protocols that rules want frames of.
    pub(crate) fn protocols(&self) -> ProtoSet {
        let some = self.by_proto.iter().enumerate().filter(|(_, d)| d.iter().any(|l| !l.is_empty()));
        some.map(|(i, _)| ProtoId(i as u8)).collect()
    }

    fn of(&self, proto: ProtoId, dir: Direction) -> &[(BufferId, SigIdx)] {
        self.by_proto.get(usize::from(proto.0)).map_or(&[], |d| &d[dir as usize])
    }
}

/// What is held of a frame; `None` where nothing of it was ever seen or is still to come.
fn view<'a>(frame: &Frame, s: &StreamInput<'a>, flow_end: bool) -> Option<View<'a>> {
    let held = s.offset.saturating_add(s.bytes.len() as u64);
    let end = frame.end.map_or(held, |e| e.min(held));
    let from = frame.start.max(s.offset);
    let at = |position: u64| usize::try_from(position.saturating_sub(s.offset)).ok();
    let data = s.bytes.get(at(from)?..at(end)?).filter(|d| !d.is_empty())?;
    let whole = frame.end.is_some_and(|e| e <= held) || s.ended || flow_end;
    Some(View { data, offset: from - frame.start, more: !whole, end_waits: true })
}

impl Detector {
    pub(super) fn frame_rules(
        &mut self,
        rs: &Ruleset,
        input: &PacketInput<'_>,
        f: &mut FlowDetect,
        app: &dyn AppParser,
        dir: Direction,
        out: &mut Vec<Hit>,
    ) {
        let rules = rs.frames.of(app.protocol(), dir);
        let (false, Some(frames), Some(s)) = (rules.is_empty(), app.frames(), input.stream) else { return };
        let seen = s.offset.saturating_add(s.bytes.len().saturating_sub(s.fresh) as u64);
        let over = s.ended || input.flow_end;
        if let Some(first) = frames.of(dir).next() {
            // The stream's own frame stands first for good; the others' numbers rise.
            let first = frames.of(dir).nth(1).map_or(first.id, |f| f.id);
            f.frames_fired[dir as usize].retain(|(id, _)| *id >= first || *id == 1);
        }
        for frame in frames.of(dir) {
            let news = frame.fresh || over || frame.end.is_none_or(|e| e > seen);
            let Some(view) = view(frame, &s, input.flow_end).filter(|_| news) else { continue };
            self.cache.clear();
            for (_, idx) in rules.iter().filter(|(kind, _)| *kind == frame.kind) {
                let fired = f.frames_fired[dir as usize].contains(&(frame.id, *idx));
                if let Some(c) = rs.compiled(*idx).filter(|_| !fired) {
                    self.counters.inc(Counter::DetectCandidates);
                    self.frame_rule(c, *idx, input, f, (dir, frame, view), out);
                }
            }
        }
    }

    fn frame_rule(
        &mut self,
        c: &Compiled,
        idx: SigIdx,
        input: &PacketInput<'_>,
        f: &mut FlowDetect,
        (dir, frame, view): (Direction, &Frame, View<'_>),
        out: &mut Vec<Hit>,
    ) {
        let here = header::matches(c, input, Transport::of(input.facts.packet)) == Answer::Yes
            && c.sig.packet_tests.iter().all(|t| t.matches(&input.facts))
            && self.state_holds(c, input, Some(&*f), None);
        if !here {
            return;
        }
        self.work.begin(c.sig.slots, false, STEPS_MAX);
        for (i, aux) in c.buffers.iter().enumerate() {
            let Some(m) = c.sig.buffers.get(i).filter(|_| aux.source == Source::Frame) else { continue };
            match self.indexed_match(c, i, m.buffer, 0, view) {
                Outcome::Match => {}
                Outcome::No | Outcome::Later => return,
                Outcome::Limit(cause) => return self.exception(cause, idx),
            }
        }
        let fired = &mut f.frames_fired[dir as usize];
        if fired.len() >= self.limits.parked_max.max(1) {
            fired.remove(0);
        }
        fired.push((frame.id, idx));
        self.hit(c, idx, HitKind::Frame(*frame), input, Some(f), out);
    }
}
