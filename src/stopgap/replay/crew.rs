//! The workers of a replay: one in this thread, or several in theirs, fed and read over bounded rings.
//!
//! The log and the verdicts are the same whatever the number of workers and the size of their batches: [`Divider`] keeps
//! together what shares a flow, [`Turnstile`] brings what rules keep of hosts into the order of packets, and silent flows
//! end at the same packets, in the order they began.

use super::divide::Divider;
use super::turnstile::Turnstile;
use crate::console::Failure;
use crate::outputs::{Outputs, Part};
use crate::workers::Tally;
use engine::decode::{Frame, LinkType, PortId};
use engine::detect::compile::Ruleset;
use engine::types::Timestamp;
use engine::worker::{Config, FrameVerdict, HostTable, Injected, Moment, Output, Shared, Worker};
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Rounds in flight.
const IN_FLIGHT: usize = 8;

/// How a crew is made up.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub jobs: usize,
    /// Frames a worker takes at once.
    pub batch: usize,
}

pub struct Crew {
    hands: Hands,
    batch: usize,
    first: Option<Timestamp>,
    /// The latest time and the last number seen.
    mark: Mark,
}

/// Where in the input a round ends.
#[derive(Clone, Copy, Default)]
struct Mark {
    now: Timestamp,
    number: u64,
}

enum Hands {
    One { worker: Box<Worker>, out: Box<Output>, spare: Vec<u8> },
    Many(Box<Many>),
}

struct Many {
    members: Vec<Member>,
    divider: Divider,
    /// Rounds sent and not yet written.
    pending: usize,
}

struct Member {
    to: Producer<Job>,
    from: Consumer<Answer>,
    thread: JoinHandle<()>,
    /// Emptied jobs, for their allocations.
    spare: VecDeque<Share>,
}

/// A worker's share of a round, with its bytes.
#[derive(Default)]
struct Share {
    bytes: Vec<u8>,
    frames: Vec<Place>,
}

struct Place {
    ts: Timestamp,
    number: u64,
    link: LinkType,
    port: PortId,
    data: Range<usize>,
    wire_len: u32,
}

enum Job {
    Round(Share, Mark),
    Finish,
}

enum Answer {
    Round(Box<Done>),
    Finished { records: Vec<u8>, tally: Box<Tally> },
}

/// A share processed.
struct Done {
    share: Share,
    verdicts: Vec<FrameVerdict>,
    injected: Vec<Injected>,
    records: Vec<u8>,
    /// Of flows that ended with the round.
    endings: Vec<u8>,
}

impl Share {
    fn push(&mut self, f: &Frame<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(f.data);
        let data = start..self.bytes.len();
        self.frames.push(Place { ts: f.ts, number: f.number, link: f.link, port: f.port, data, wire_len: f.wire_len });
    }

    fn frames(&self) -> Vec<Frame<'_>> {
        let frame = |p: &Place| Frame {
            ts: p.ts,
            number: p.number,
            link: p.link,
            port: p.port,
            data: self.bytes.get(p.data.clone()).unwrap_or(&[]),
            wire_len: p.wire_len,
        };
        self.frames.iter().map(frame).collect()
    }
}

impl Crew {
    /// `divider`: what is known of the input beforehand; not asked by one worker alone.
    pub fn new(shape: Shape, config: &Arc<Config>, rules: &Arc<Ruleset>, divider: Divider) -> Result<Self, Failure> {
        let batch = shape.batch.max(1);
        let out = || Output::new(config.records_max);
        let hands = if shape.jobs <= 1 {
            let worker = Box::new(Worker::new(config.clone(), rules.clone())?);
            Hands::One { worker, out: Box::new(out()), spare: Vec::new() }
        } else {
            let hosts = Arc::new(HostTable::new(&config.limits, config.seed[0]));
            let member = |(n, turn): (usize, Arc<Turnstile>)| {
                let shared = Shared { hosts: hosts.clone(), turn: Some(turn.clone()), clock: None };
                let worker = Box::new(Worker::sharing(config.clone(), rules.clone(), shared)?);
                Hand { worker, out: out(), batch, turn }.work(n)
            };
            let members = Turnstile::for_workers(shape.jobs).into_iter().enumerate().map(member);
            Hands::Many(Box::new(Many { members: members.collect::<Result<_, _>>()?, divider, pending: 0 }))
        };
        Ok(Crew { hands, batch, first: None, mark: Mark::default() })
    }

    /// Processes a round. What it yields is written at once or with a later round.
    pub fn round(&mut self, frames: &[Frame<'_>], outputs: &mut Outputs) -> Result<(), Failure> {
        if self.first.is_none() {
            self.first = frames.first().map(|f| f.ts);
        }
        for f in frames {
            self.mark = Mark { now: self.mark.now.max(f.ts), number: f.number };
        }
        let mark = self.mark;
        match &mut self.hands {
            Hands::One { worker, out, spare } => {
                for frames in frames.chunks(self.batch) {
                    worker.process(frames, out);
                    *spare = out.records.take(std::mem::take(spare));
                    let part = Part { frames, verdicts: &out.frames, injected: &out.injected, records: spare };
                    outputs.round(&[part])?;
                }
                worker.advance(mark.now, mark.number, out);
                *spare = out.records.take(std::mem::take(spare));
                outputs.endings(std::slice::from_ref(spare))
            }
            Hands::Many(many) => {
                many.send(frames, mark)?;
                if many.pending >= IN_FLIGHT { many.write(outputs) } else { Ok(()) }
            }
        }
    }

    /// Writes every round still in flight.
    pub fn settle(&mut self, outputs: &mut Outputs) -> Result<(), Failure> {
        match &mut self.hands {
            Hands::One { .. } => Ok(()),
            Hands::Many(many) => {
                while many.pending > 0 {
                    many.write(outputs)?;
                }
                Ok(())
            }
        }
    }

    /// Ends every flow and gives the counts.
    pub fn finish(mut self, outputs: &mut Outputs) -> Result<Tally, Failure> {
        self.settle(outputs)?;
        let (first, now) = (self.first.unwrap_or_default(), self.mark.now);
        match self.hands {
            Hands::One { mut worker, mut out, .. } => {
                worker.finish(&mut out);
                outputs.endings(&[out.records.take(Vec::new())])?;
                Ok(Tally { first, now, ..Tally::of(&worker) })
            }
            Hands::Many(many) => Ok(Tally { first, now, ..many.finish(outputs)? }),
        }
    }
}

/// A worker in a thread of its own.
struct Hand {
    worker: Box<Worker>,
    out: Output,
    batch: usize,
    turn: Arc<Turnstile>,
}

impl Hand {
    fn work(mut self, n: usize) -> Result<Member, Failure> {
        let (to, mut jobs) = RingBuffer::<Job>::new(IN_FLIGHT + 1);
        let (mut answers, from) = RingBuffer::<Answer>::new(IN_FLIGHT + 1);
        let work = move || {
            while let Some(job) = pop(&mut jobs) {
                let answer = match job {
                    Job::Round(share, mark) => self.round(share, mark),
                    Job::Finish => self.finish(),
                };
                if !push(&mut answers, answer) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("worker {n}")).spawn(work)?;
        Ok(Member { to, from, thread, spare: VecDeque::new() })
    }

    fn round(&mut self, share: Share, mark: Mark) -> Answer {
        let Hand { worker, out, batch, turn } = self;
        let (mut verdicts, mut injected) = (Vec::with_capacity(share.frames.len()), Vec::new());
        for frames in share.frames().chunks(*batch) {
            worker.process(frames, out);
            let before = verdicts.len() as u32;
            verdicts.append(&mut out.frames);
            injected.extend(out.injected.drain(..).map(|i| Injected { after: i.after + before, ..i }));
        }
        let records = out.records.take(Vec::new());
        turn.at(Moment { number: mark.number, ending: 1 });
        worker.advance(mark.now, mark.number, out);
        let endings = out.records.take(Vec::new());
        turn.at(Moment { number: mark.number + 1, ending: 0 });
        Answer::Round(Box::new(Done { share, verdicts, injected, records, endings }))
    }

    fn finish(&mut self) -> Answer {
        self.worker.finish(&mut self.out);
        // Others may still have flows to end.
        self.turn.at(Moment { number: u64::MAX, ending: u64::MAX });
        let records = self.out.records.take(Vec::new());
        Answer::Finished { records, tally: Box::new(Tally::of(&self.worker)) }
    }
}

const STOPPED: &str = "a worker stopped";

/// Waits for room. `false`: nobody reads any more.
fn push<T>(ring: &mut Producer<T>, mut value: T) -> bool {
    let mut turns = 0;
    loop {
        if ring.is_abandoned() {
            return false;
        }
        match ring.push(value) {
            Ok(()) => return true,
            Err(PushError::Full(v)) => value = v,
        }
        wait(&mut turns);
    }
}

/// Waits for a value. `None`: nobody writes any more.
fn pop<T>(ring: &mut Consumer<T>) -> Option<T> {
    let mut turns = 0;
    loop {
        // Asked before the look, so that the last values of one who left are not missed.
        let abandoned = ring.is_abandoned();
        match ring.pop() {
            Ok(v) => return Some(v),
            Err(_) if abandoned => return None,
            Err(_) => wait(&mut turns),
        }
    }
}

/// Spins a little, then sleeps: a round is work for some hundred microseconds.
fn wait(turns: &mut u32) {
    *turns = turns.saturating_add(1);
    match *turns {
        0..=64 => std::hint::spin_loop(),
        65..=128 => std::thread::yield_now(),
        _ => std::thread::sleep(Duration::from_micros(50)),
    }
}

impl Many {
    fn send(&mut self, frames: &[Frame<'_>], mark: Mark) -> Result<(), Failure> {
        let n = self.members.len();
        let mut shares: Vec<Share> = self.members.iter_mut().map(|h| h.spare.pop_front().unwrap_or_default()).collect();
        for f in frames {
            if let Some(share) = shares.get_mut(self.divider.place(f, n)) {
                share.push(f);
            }
        }
        for (h, share) in self.members.iter_mut().zip(shares) {
            if !push(&mut h.to, Job::Round(share, mark)) {
                return Err(Failure(STOPPED.into()));
            }
        }
        self.pending += 1;
        Ok(())
    }

    /// Writes the oldest round.
    fn write(&mut self, outputs: &mut Outputs) -> Result<(), Failure> {
        let mut rounds: Vec<Done> = Vec::with_capacity(self.members.len());
        for h in &mut self.members {
            match pop(&mut h.from) {
                Some(Answer::Round(done)) => rounds.push(*done),
                _ => return Err(Failure(STOPPED.into())),
            }
        }
        self.pending -= 1;
        let frames: Vec<Vec<Frame<'_>>> = rounds.iter().map(|r| r.share.frames()).collect();
        let parts: Vec<Part<'_>> = frames
            .iter()
            .zip(&rounds)
            .map(|(frames, d)| Part { frames, verdicts: &d.verdicts, injected: &d.injected, records: &d.records })
            .collect();
        outputs.round(&parts)?;
        drop(parts);
        drop(frames);
        let endings: Vec<Vec<u8>> = rounds.iter_mut().map(|r| std::mem::take(&mut r.endings)).collect();
        outputs.endings(&endings)?;
        for (h, mut done) in self.members.iter_mut().zip(rounds) {
            done.share.bytes.clear();
            done.share.frames.clear();
            h.spare.push_back(done.share);
        }
        Ok(())
    }

    fn finish(mut self, outputs: &mut Outputs) -> Result<Tally, Failure> {
        for h in &mut self.members {
            push(&mut h.to, Job::Finish);
        }
        let mut all: Option<Tally> = None;
        let mut records = Vec::new();
        for mut h in self.members {
            let Some(Answer::Finished { records: r, tally }) = pop(&mut h.from) else {
                return Err(Failure(STOPPED.into()));
            };
            records.push(r);
            match &mut all {
                None => all = Some(*tally),
                Some(a) => a.add(&tally),
            }
            drop(h.to);
            let _ = h.thread.join();
        }
        outputs.endings(&records)?;
        all.ok_or_else(|| Failure(STOPPED.into()))
    }
}
