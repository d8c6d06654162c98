//! All checks of one rule in one buffer: contents, pcre, byte tests, in the rule's order, with backtracking.
//!
//! Positions count from the start of the whole buffer or stream, also where its head has been let go (`View::offset`).
//! A content whose later relative checks fail is tried at its next occurrence. Failing says two things beside: whether
//! more bytes could change it (`later`), and whether an earlier check's next occurrence could (`stop`: no): the second
//! keeps a chain of unbounded relative contents linear. What is left (bounded windows within bounded windows) is paid
//! from a budget of steps, and an empty budget is an exception, not an answer.
//!
//! `later` may say yes where the truth is no; never the other way.

use super::bytes;
use super::gather::{Gathered, Said};
use super::ops::{OpAux, Ops};
use crate::detect::matching::{LimitReached, Scratch};
use crate::detect::signature::{BufferOp, CaptureScope, Content, Op, Pcre, Value, VarId};
use crate::detect::state::shared::{Moment, REGEX_TIME, REGEX_TIME_BATCH, Shared};
use crate::types::Cause;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes to inspect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub data: &'a [u8],
    /// Position of `data[0]`.
    pub offset: u64,
    /// More bytes may follow.
    pub more: bool,
    /// Checks of the end (`endswith`, `bsize`, `isdataat:!`) wait for it while `more`.
    pub end_waits: bool,
}

impl<'a> View<'a> {
    pub(crate) const fn whole(data: &'a [u8]) -> Self {
        View { data, offset: 0, more: false, end_waits: false }
    }

    /// Position just past the last byte.
    pub(crate) fn end(&self) -> i64 {
        position(self.offset).saturating_add(self.data.len() as i64)
    }

    fn start(&self) -> i64 {
        position(self.offset)
    }

    /// The bytes of `lo..hi`, clipped to what is here.
    pub(crate) fn slice(&self, lo: i64, hi: i64) -> &'a [u8] {
        let from = usize::try_from(lo.saturating_sub(self.start())).unwrap_or(0);
        let to = usize::try_from(hi.saturating_sub(self.start())).unwrap_or(0).min(self.data.len());
        self.data.get(from..to).unwrap_or(&[])
    }
}

fn position(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// What came of a rule's checks in one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Match,
    /// Not, and more of this buffer will not change it.
    No,
    /// Not yet.
    Later,
    /// Neither: a limit was reached.
    Limit(Cause),
}

/// What a rule carries from one buffer to its next, and what inspection may spend.
pub(crate) struct Work {
    pub scratch: Scratch,
    /// Variables of byte_extract and byte_math.
    pub slots: SmallVec<[i64; 4]>,
    /// Steps left for this rule.
    pub steps: u32,
    groups: Vec<Option<Range<usize>>>,
    /// Result of `base64_decode`.
    decoded: Vec<u8>,
    /// Position of each content by op, where the rule replaces.
    pub found: SmallVec<[i64; 4]>,
    pub want_found: bool,
    /// Index of the absolute, unbounded content whose absence made the last answer `Later`, and how far it was sought.
    pub missing: Option<(u16, u64)>,
    /// How far the last match of a rule's buffer depends on bytes: the end of its farthest content, or of all that is
    /// here where other checks took part.
    pub reach: i64,
    /// A rule of contents alone matches only where one of them ends past this position; 0: wherever.
    pub min_reach: i64,
    /// Numbers that checks came to, by the name they are kept under.
    pub measured: SmallVec<[(VarId, f64); 1]>,
    /// Where what a match says is gathered; `None` while it is not asked for.
    pub gathered: Option<Gathered>,
    /// What this worker has in common with others.
    pub shared: Shared,
    /// The packet or flow end at hand.
    pub at: Moment,
    /// When the packet's first regular expression was begun, and the batch's.
    regex_since: Option<Duration>,
    regex_since_batch: Option<Duration>,
    /// How many checks failed at the end of what is here; `missing` says all only where it is one.
    open_ends: u32,
}

impl Work {
    /// The packet or flow end that is inspected next.
    pub(crate) const fn turn_to(&mut self, at: Moment) {
        self.at = at;
        self.regex_since = None;
    }

    /// The packets from here on are another batch.
    pub(crate) const fn turn_to_batch(&mut self) {
        self.regex_since_batch = None;
    }

    /// So long has gone to the packet's regular expressions that what waits behind it must not wait for more.
    fn is_late(&mut self) -> bool {
        let Some(clock) = self.shared.clock else { return false };
        let now = clock();
        let batch = now.saturating_sub(*self.regex_since_batch.get_or_insert(now));
        now.saturating_sub(*self.regex_since.get_or_insert(now)) >= REGEX_TIME || batch >= REGEX_TIME_BATCH
    }

    pub(crate) fn new(scratch: Scratch, shared: Shared) -> Self {
        Work {
            scratch,
            slots: SmallVec::new(),
            steps: 0,
            groups: Vec::new(),
            decoded: Vec::new(),
            found: SmallVec::new(),
            want_found: false,
            missing: None,
            reach: 0,
            min_reach: 0,
            measured: SmallVec::new(),
            regex_since_batch: None,
            regex_since: None,
            gathered: None,
            shared,
            at: Moment::default(),
            open_ends: 0,
        }
    }

    /// Readies it for the next rule.
    pub(crate) fn begin(&mut self, slots: u8, want_found: bool, steps: u32) {
        self.slots.clear();
        self.slots.resize(usize::from(slots), 0);
        self.steps = steps;
        self.want_found = want_found;
        self.missing = None;
        self.reach = 0;
        self.min_reach = 0;
        self.open_ends = 0;
    }
}

enum Step {
    Match,
    Fail { later: bool, stop: bool },
    Limit(Cause),
}

const FAIL: Step = Step::Fail { later: false, stop: false };

/// Runs all of `ops` over `view`.
pub(crate) fn inspect(ops: &Ops<'_>, view: View<'_>, work: &mut Work) -> Outcome {
    work.missing = None;
    work.open_ends = 0;
    if work.want_found {
        work.found.clear();
        work.found.resize(ops.ops.len(), -1);
    }
    let contents_alone = ops.ops.iter().all(|op| matches!(op, Op::Content(_)));
    let min_reach = if contents_alone { work.min_reach } else { 0 };
    let mut run = Run { ops, view, work, min_reach, path: 0 };
    match run.from(0, 0) {
        Step::Match => {
            let reach = if contents_alone { run.path } else { view.end() };
            work.reach = work.reach.max(reach);
            Outcome::Match
        }
        Step::Fail { later: true, .. } if view.more => Outcome::Later,
        Step::Fail { .. } => Outcome::No,
        Step::Limit(c) => Outcome::Limit(c),
    }
}

struct Run<'r, 'o, 'd> {
    ops: &'r Ops<'o>,
    view: View<'d>,
    work: &'r mut Work,
    min_reach: i64,
    /// The farthest end of the contents matched so far.
    path: i64,
}

/// A content's bounds: `lo..hi`, and whether `hi` is the end of what is here rather than the rule's.
struct Bounds {
    lo: i64,
    hi: i64,
    open: bool,
}

impl Run<'_, '_, '_> {
    /// Op `i` and all after it, the last match ending at `cursor`.
    fn from(&mut self, i: usize, cursor: i64) -> Step {
        let (Some(op), Some(aux)) = (self.ops.ops.get(i), self.ops.aux.get(i)) else {
            return if self.path > self.min_reach || self.min_reach == 0 { Step::Match } else { FAIL };
        };
        if self.work.steps == 0 {
            return Step::Limit(Cause::InspectionBudget);
        }
        self.work.steps -= 1;
        match (op, aux) {
            (Op::Content(c), OpAux::Content { needle, retry, .. }) => {
                if c.negated {
                    return if self.content_absent(c, needle, cursor) { self.from(i + 1, cursor) } else { FAIL };
                }
                self.content(i, c, needle, *retry, cursor)
            }
            (Op::Pcre(p), OpAux::Regex { regex, restart, .. }) => self.pcre(i, p, regex.as_ref(), *restart, cursor),
            (Op::ByteTest(t), _) => match bytes::test(t, self.view, cursor, &self.work.slots) {
                Some(true) => self.from(i + 1, cursor),
                Some(false) => FAIL,
                None => self.short(),
            },
            (Op::ByteJump(j), _) => match bytes::jump(j, self.view, cursor, &self.work.slots) {
                Some(to) => unordered(self.from(i + 1, to)),
                None => self.short(),
            },
            (Op::ByteExtract(e), _) => match bytes::extract(e, self.view, cursor) {
                Some((value, to)) => self.with_slot(i, e.slot, value, to),
                None => self.short(),
            },
            (Op::ByteMath(m), _) => match bytes::math(m, self.view, cursor, &self.work.slots) {
                Some((value, to)) => self.with_slot(i, m.slot, value, to),
                None => self.short(),
            },
            (Op::IsDataAt(d), _) => {
                let at = value(d.at, &self.work.slots);
                let there =
                    if d.relative { cursor.saturating_add(at) <= self.view.end() } else { at < self.view.end() };
                match (there, d.negated) {
                    (true, false) => self.from(i + 1, cursor),
                    (false, true) if self.view.more && self.view.end_waits => self.short(),
                    (false, true) => self.from(i + 1, cursor),
                    (false, false) => self.short(),
                    (true, true) => FAIL,
                }
            }
            (Op::Bsize(m), _) => {
                if self.view.more && self.view.end_waits {
                    return self.short();
                }
                if m.matches(self.view.end().max(0) as u64) { self.from(i + 1, cursor) } else { self.short() }
            }
            (Op::Base64Decode(d), _) => self.base64(i, d, cursor),
            (Op::Custom(c), _) => {
                if self.view.more && self.view.end_waits {
                    return self.short();
                }
                let at = usize::try_from(cursor - self.view.start()).unwrap_or(0).min(self.view.data.len());
                if self.holds(c.as_ref(), at) { self.from(i + 1, cursor) } else { self.short() }
            }
            _ => FAIL,
        }
    }

    fn holds(&mut self, c: &dyn BufferOp, at: usize) -> bool {
        let data = self.view.data;
        if c.awaits_turn() {
            self.work.shared.wait(self.work.at);
        }
        if let Some(g) = &mut self.work.gathered {
            g.contexts.extend(c.context(data).map(|(name, v)| (name, Said::Json(v))));
            // It has matched once, and changed what it changes.
            if c.changes() {
                return true;
            }
        }
        match c.measured(data) {
            None => c.matches(data, at),
            Some((name, x, holds)) => {
                self.work.measured.push((name, x));
                holds
            }
        }
    }

    /// Failed at the end of what is here.
    fn short(&mut self) -> Step {
        self.open_end(None);
        Step::Fail { later: true, stop: false }
    }

    /// Notes a failure that more bytes could mend; `sole` is the content that would have to be among them.
    fn open_end(&mut self, sole: Option<usize>) {
        if !self.view.more {
            return;
        }
        self.work.missing = match sole {
            Some(i) if self.work.open_ends == 0 => Some((i as u16, self.view.end().max(0) as u64)),
            _ => None,
        };
        self.work.open_ends = self.work.open_ends.saturating_add(1);
    }

    fn with_slot(&mut self, i: usize, slot: u8, value: i64, cursor: i64) -> Step {
        if let Some(s) = self.work.slots.get_mut(usize::from(slot)) {
            *s = value;
        }
        self.from(i + 1, cursor)
    }

    fn bounds(&self, c: &Content, len: i64, cursor: i64) -> Bounds {
        let v = |x: Option<Value>| x.map(|x| value(x, &self.work.slots));
        let end = self.view.end();
        let (lo, hi) = if c.is_relative() {
            let lo = cursor.saturating_add(v(c.distance).unwrap_or(0));
            (lo.max(0), v(c.within).map(|w| lo.saturating_add(w)))
        } else if c.startswith {
            (0, Some(len))
        } else {
            let lo = v(c.offset).unwrap_or(0).max(0);
            (lo, v(c.depth).map(|d| lo.saturating_add(d)))
        };
        let lo = if c.endswith && !(self.view.more && self.view.end_waits) { lo.max(end - len) } else { lo };
        match hi {
            Some(hi) if hi <= end => Bounds { lo, hi, open: false },
            _ => Bounds { lo, hi: end, open: true },
        }
    }

    fn content_absent(&mut self, c: &Content, needle: &super::needle::Needle, cursor: i64) -> bool {
        let b = self.bounds(c, needle.len() as i64, cursor);
        let lo = b.lo.max(self.view.start());
        let hay = self.view.slice(lo, b.hi);
        self.charge(hay.len());
        match needle.find(hay) {
            None => true,
            Some(p) if c.endswith => lo + (p + needle.len()) as i64 != self.view.end(),
            Some(_) => false,
        }
    }

    fn content(&mut self, i: usize, c: &Content, needle: &super::needle::Needle, retry: bool, cursor: i64) -> Step {
        let len = needle.len() as i64;
        if c.endswith && self.view.more && self.view.end_waits {
            return self.short();
        }
        let b = self.bounds(c, len, cursor);
        let mut later = b.open;
        // With variables an earlier match may also move the bounds here or further on: nothing follows from absence.
        let stop = self.work.slots.is_empty() && self.min_reach == 0 && (!c.is_relative() || c.within.is_none());
        let mut lo = b.lo.max(self.view.start());
        let mut first = true;
        loop {
            let hay = self.view.slice(lo, b.hi);
            if self.work.steps == 0 {
                return Step::Limit(Cause::InspectionBudget);
            }
            let Some(p) = needle.find(hay) else {
                self.charge(hay.len());
                if b.open {
                    self.open_end((first && stop && !c.endswith).then_some(i));
                }
                return Step::Fail { later, stop };
            };
            self.charge(p);
            first = false;
            let at = lo + p as i64;
            if c.endswith && at + len != self.view.end() {
                lo = at + 1;
                continue;
            }
            if let Some(f) = self.work.found.get_mut(i) {
                *f = at;
            }
            let path = self.path;
            self.path = path.max(at + len);
            match self.from(i + 1, at + len) {
                Step::Fail { later: more, stop: s } => {
                    self.path = path;
                    later |= more;
                    if !(retry || self.min_reach > 0) || s {
                        return Step::Fail { later, stop: stop && s };
                    }
                }
                done => return done,
            }
            lo = at + 1;
        }
    }

    /// Searching is work too: a step per 64 bytes.
    fn charge(&mut self, bytes: usize) {
        let steps = u32::try_from(bytes / 64).unwrap_or(u32::MAX);
        self.work.steps = self.work.steps.saturating_sub(steps);
    }

    fn pcre(
        &mut self,
        i: usize,
        p: &Pcre,
        regex: &dyn crate::detect::matching::Regex,
        restart: bool,
        cursor: i64,
    ) -> Step {
        let mut lo = if p.relative { cursor } else { self.view.start() };
        lo = lo.max(self.view.start());
        let mut later = true;
        loop {
            let hay = self.view.slice(lo, self.view.end());
            self.charge(hay.len());
            if self.work.is_late() {
                return Step::Limit(Cause::PcreLimit);
            }
            let mut groups = std::mem::take(&mut self.work.groups);
            groups.clear();
            let found = regex.find(&mut self.work.scratch, hay, &mut groups);
            self.work.groups = groups;
            match found {
                Err(LimitReached) => return Step::Limit(Cause::PcreLimit),
                Ok(None) if p.negated => return self.from(i + 1, cursor),
                Ok(None) => {
                    self.open_end(None);
                    return Step::Fail { later, stop: false };
                }
                Ok(Some(_)) if p.negated => return FAIL,
                Ok(Some(m)) => match self.captured(i, p, hay, lo + m.end as i64) {
                    Step::Fail { later: more, .. } if restart => {
                        later |= more;
                        if self.work.steps == 0 {
                            return Step::Limit(Cause::InspectionBudget);
                        }
                        lo = lo + m.start as i64 + 1;
                        if lo > self.view.end() {
                            return Step::Fail { later, stop: false };
                        }
                    }
                    done => return unordered(done),
                },
            }
        }
    }

    /// What comes after an expression that matched, and where that holds, what its groups captured.
    fn captured(&mut self, i: usize, p: &Pcre, hay: &[u8], to: i64) -> Step {
        if p.captures.is_empty() || self.work.gathered.is_none() {
            return self.from(i + 1, to);
        }
        let group = |n: u16| {
            let range = self.work.groups.get(usize::from(n)).cloned().flatten();
            range.and_then(|r| hay.get(r))
        };
        let mut found = Vec::with_capacity(p.captures.len());
        let mut captures = p.captures.iter().peekable();
        while let Some(c) = captures.next() {
            let Some(bytes) = group(c.group) else { continue };
            // Of a packet a pair called `key` and `value` names its own variable.
            let (name, bytes) = match captures.peek() {
                Some(v) if c.scope == CaptureScope::Packet && &*c.name == "key" && &*v.name == "value" => {
                    let value = group(v.group).unwrap_or(&[]);
                    captures.next();
                    (Arc::from(String::from_utf8_lossy(Gathered::cut(bytes))), value)
                }
                _ => (Arc::clone(&c.name), bytes),
            };
            found.push((c.scope, (name, Gathered::cut(bytes).into())));
        }
        let step = self.from(i + 1, to);
        if let (Step::Match, Some(g)) = (&step, &mut self.work.gathered) {
            g.captures.extend(found);
        }
        step
    }

    fn base64(&mut self, i: usize, d: &crate::detect::signature::Base64Decode, cursor: i64) -> Step {
        let from = if d.relative { cursor } else { 0 }.saturating_add(i64::from(d.offset));
        let mut hay = self.view.slice(from.max(self.view.start()), self.view.end());
        if let Some(n) = d.bytes {
            hay = hay.get(..n as usize).unwrap_or(hay);
        }
        let mut decoded = std::mem::take(&mut self.work.decoded);
        bytes::base64(hay, &mut decoded);
        self.charge(hay.len());
        let mut result = if decoded.is_empty() { self.short() } else { Step::Match };
        for sub in self.ops.base64 {
            if !matches!(result, Step::Match) {
                break;
            }
            let ops = sub.ops();
            let view = View::whole(&decoded);
            result = Run { ops: &ops, view, work: self.work, min_reach: 0, path: 0 }.from(0, 0);
        }
        self.work.decoded = decoded;
        match result {
            Step::Match => self.from(i + 1, cursor),
            Step::Fail { .. } => self.short(),
            limit => limit,
        }
    }
}

/// After a check whose end does not move forward with its beginning, a failure says nothing of other beginnings.
fn unordered(step: Step) -> Step {
    match step {
        Step::Fail { later, .. } => Step::Fail { later, stop: false },
        done => done,
    }
}

/// A constant, or what an earlier check of the rule filled in.
pub(crate) fn value(v: Value, slots: &[i64]) -> i64 {
    match v {
        Value::Const(c) => c,
        Value::Var(s) => slots.get(usize::from(s)).copied().unwrap_or(0),
    }
}
