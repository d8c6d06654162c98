//! A worker thread: frames from its device through the engine and back, batch after batch.
//!
//! After each finished batch, and so at least every [`IDLE`] when nothing comes, the worker says that it lives, in the
//! row that the kernel's program looks at. It waits for nobody: records that find no room in the ring to the writer stay,
//! bounded and counted, and mail is looked at between batches.

use super::crew::{Crew, Untaken};
use super::heart::Heart;
use super::load::Load;
use super::offload::Carriage;
use super::record::Tape;
use super::sight::{Clock, Sight};
use crate::workers::{Tally, emptied};
use capture::{Live, Traffic, wall};
use engine::decode::Frame;
use engine::detect::compile::Ruleset;
use engine::types::{Shed, Timestamp, Verdict};
use engine::worker::{self, Output, Worker};
use rtrb::{Consumer, Producer};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Frames taken at once: as many as the engine fetches ahead for. None leaves before the last of its batch is inspected.
const BATCH: usize = 64;
/// The longest wait for a frame.
const IDLE: Duration = Duration::from_millis(10);
/// So long flows are ended at once, when nothing comes.
const SWEEP: Duration = Duration::from_millis(5);
/// How often counts are shown to who asks for them.
const SHOWN: Duration = Duration::from_secs(1);

/// What a worker counted, as it last showed it.
#[derive(Clone)]
pub struct Shown {
    pub tally: Tally,
    pub traffic: Traffic,
    /// Batches thrown away because they were too old to be sent.
    pub stalls: u64,
    /// Frames that were another worker's, who did not take them.
    pub untaken: u64,
    /// How often the worker began to leave inspection out.
    pub sheds: u64,
    /// Frames that were to be recorded and found no room.
    pub unrecorded: u64,
    /// Flows that the kernel carries for it.
    pub kept: u64,
}

/// A ruleset for a worker, and settings with it.
pub struct Rules {
    pub number: u64,
    pub ruleset: Arc<Ruleset>,
    pub settings: Arc<worker::Config>,
    pub untaken: Untaken,
    /// Inspection may be left out.
    pub sheds: bool,
    /// Networks are not trusted any more whose connections have gone on unseen.
    pub distrusts: bool,
    /// Under which the kernel's program does as they say.
    pub epoch: u64,
}

/// Where others leave word for a worker, and it for them.
#[derive(Default)]
pub struct Mailbox {
    /// The ruleset to run.
    rules: Mutex<Option<Rules>>,
    /// The number of the latest one there; and of the one that runs.
    sent: AtomicU64,
    taken: AtomicU64,
    pub stop: AtomicBool,
    /// The level of inspection left out.
    shed: AtomicU8,
    /// Counts are wanted at once.
    wanted: AtomicU64,
    answered: AtomicU64,
    shown: Mutex<Option<Shown>>,
    /// The processor that it was last on.
    processor: AtomicUsize,
    /// Why the worker ended before it was told to.
    pub failed: Mutex<Option<String>>,
    #[cfg(feature = "faults")]
    pub fault: super::fault::Order,
}

impl Mailbox {
    pub fn send_rules(&self, rules: Rules) {
        let number = rules.number;
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some(rules);
        self.sent.store(number, Ordering::Release);
    }

    /// The number of the ruleset that runs.
    pub fn running(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    pub fn processor(&self) -> usize {
        self.processor.load(Ordering::Relaxed)
    }

    /// How much inspection the worker leaves out.
    pub fn shed(&self) -> Shed {
        Shed::ALL.get(usize::from(self.shed.load(Ordering::Relaxed))).copied().unwrap_or_default()
    }

    /// Frames that were another worker's, who did not take them, as it last showed.
    pub fn untaken(&self) -> u64 {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |s| s.untaken)
    }

    /// Counts no older than this call, or the last ones where the worker does not answer in time.
    pub fn shown(&self, within: Duration) -> Option<Shown> {
        let number = self.wanted.fetch_add(1, Ordering::AcqRel) + 1;
        let since = Instant::now();
        while self.answered.load(Ordering::Acquire) < number && since.elapsed() < within {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Records on their way to the writer, and emptied buffers back.
pub struct Outbox {
    pub records: Producer<Vec<u8>>,
    pub spare: Consumer<Vec<u8>>,
    /// Bytes that the writer has not written yet; from `most` on it is given no more.
    pub unwritten: Arc<AtomicUsize>,
    pub most: usize,
}

impl Outbox {
    /// Hands on what there is, where there is room.
    fn send(&mut self, out: &mut Output) {
        if out.records.is_empty() || self.records.slots() == 0 || self.unwritten.load(Ordering::Relaxed) >= self.most {
            return;
        }
        let spare = self.spare.pop().unwrap_or_default();
        let records = out.records.take(spare);
        self.unwritten.fetch_add(records.len(), Ordering::Relaxed);
        // There is room, and nobody else puts anything there.
        let _ = self.records.push(records);
    }
}

pub struct Hand {
    pub worker: Worker,
    pub device: Box<dyn Live>,
    pub out: Output,
    pub heart: Heart,
    /// The other workers of the pair, if there are any.
    pub crew: Option<Crew>,
    pub sight: Sight,
    pub clock: Clock,
    /// Where the kernel may carry flows.
    pub carriage: Option<Carriage>,
    pub mail: Arc<Mailbox>,
    pub outbox: Outbox,
    pub tape: Option<Tape>,
    /// Where inspection may be left out.
    pub load: Option<Load>,
    /// How often that has begun.
    pub sheds: u64,
    /// A batch older than this is not sent.
    pub stale: Duration,
    pub first: Timestamp,
    pub stalls: u64,
}

impl Hand {
    /// Works until told to stop, then ends every flow.
    pub fn work(mut self) {
        let mut spare: Vec<Frame<'static>> = Vec::with_capacity(BATCH);
        let mut shown = Instant::now();
        self.heart.begin();
        while !self.mail.stop.load(Ordering::Relaxed) {
            self.heart.look();
            let received = match self.device.receive(BATCH, IDLE) {
                Ok(n) => n,
                Err(e) => {
                    *self.mail.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.to_string());
                    break;
                }
            };
            if self.heart.bypassed() {
                self.sight.lose();
            }
            if self.heart.since() > self.stale {
                // The kernel has gone on without us; what lies here is older than what it has sent since.
                self.stalled();
                continue;
            }
            let ours = self.share(received, &mut spare);
            if ours > 0 {
                spare = self.batch(spare);
            } else if received == 0 {
                self.end_silent();
            }
            self.outbox.send(&mut self.out);
            if let Some(tape) = &mut self.tape {
                tape.turn();
            }
            if self.heart.since() > self.stale {
                // Kept from work while it sent: what has come since lies as long.
                self.stalled();
            } else {
                self.beat(received < BATCH);
            }
            self.measure();
            #[cfg(feature = "faults")]
            self.mail.fault.obey();
            self.mail(&mut shown);
        }
        self.worker.finish(&mut self.out);
        if let Some(tape) = &mut self.tape {
            tape.hand_on();
        }
        self.show();
        // The writer takes what is left before it ends.
        let until = Instant::now() + SHOWN;
        while !self.out.records.is_empty() && Instant::now() < until {
            self.outbox.send(&mut self.out);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends flows that have been silent for too long: those that there is time for, the rest when it is idle again.
    fn end_silent(&mut self) {
        let since = Instant::now();
        while !self.worker.advance_some(wall(), &mut self.out) && since.elapsed() < SWEEP {}
    }

    /// Whether inspection may be left out from now on.
    fn shedding(&mut self, may: bool) {
        if self.load.is_some() != may {
            self.load = may.then(Load::new);
            self.shed(Shed::Nothing);
        }
    }

    fn shed(&mut self, level: Shed) {
        self.worker.shed(level);
        self.mail.shed.store(level as u8, Ordering::Relaxed);
    }

    /// Leaves inspection out, or no more, as the load is. Right after a beat.
    fn measure(&mut self) {
        let Some(load) = &mut self.load else { return };
        let Some(mut waiting) = self.heart.waiting() else { return };
        waiting.frames += self.device.handed_waiting();
        if let Some(level) = load.saw(waiting, self.heart.last()) {
            self.sheds += u64::from(self.mail.shed() == Shed::Nothing);
            self.shed(level);
        }
    }

    /// Hands on what is another worker's. How many frames are left.
    fn share(&mut self, received: usize, spare: &mut Vec<Frame<'static>>) -> usize {
        let Some(crew) = self.crew.as_mut().filter(|_| received > 0) else { return received };
        let before = crew.untaken;
        let ours = crew.share(&mut *self.device, spare);
        if crew.untaken > before {
            self.sight.lose();
        }
        ours
    }

    fn batch(&mut self, spare: Vec<Frame<'static>>) -> Vec<Frame<'static>> {
        let mut frames = emptied(spare);
        self.device.frames(&mut frames);
        if self.first == Timestamp::ZERO {
            self.first = frames.first().map_or(Timestamp::ZERO, |f| f.ts);
        }
        let now = frames.last().map_or_else(wall, |f| f.ts);
        if self.clock.is_set_ahead(now, self.heart.last()) {
            // Every flow would be over by its time: what is known of connections ends, they do not.
            self.sight.lose();
        }
        // Connections of which something passed unseen are taken up where they stand.
        if let Some(until) = self.sight.lost_until(now) {
            self.worker.resync(until);
        }
        if let Some(tape) = &mut self.tape {
            tape.note(&frames);
        }
        self.worker.process(&frames, &mut self.out);
        let spare = emptied(frames);
        if self.heart.since() > self.stale {
            self.stalled();
            return spare;
        }
        self.settle();
        spare
    }

    /// What has arrived is too old to be sent, and the kernel has gone on without us: what is known of connections may no
    /// longer hold.
    fn stalled(&mut self) {
        self.stalls += 1;
        self.sight.lose();
        self.device.throw_away();
        self.beat(true);
    }

    /// `all`: nothing more was there to be taken.
    fn beat(&mut self, all: bool) {
        if self.heart.overrun() {
            self.sight.lose();
        }
        let t = self.device.traffic();
        self.heart.beat(t.received - t.cut + t.lost, all);
    }

    /// Verdicts, then frames of our own, each after the one that caused it.
    fn settle(&mut self) {
        let mut injected = self.out.injected.iter().peekable();
        for (i, v) in self.out.frames.iter().enumerate() {
            match (&v.verdict, &v.rewritten) {
                (Verdict::Forward, None) => self.device.forward(i),
                (Verdict::Forward, Some(data)) => self.device.replace(i, data),
                _ => self.device.discard(i),
            }
            while let Some(x) = injected.next_if(|x| x.after as usize <= i) {
                self.device.inject(x.port, &x.data);
            }
        }
        // What cannot be sent now is sent with the next batch.
        let _ = self.device.flush();
        if let Some(carriage) = &self.carriage {
            carriage.take(&self.out.offloads);
        }
    }

    fn mail(&mut self, shown: &mut Instant) {
        let sent = self.mail.sent.load(Ordering::Acquire);
        if sent != self.mail.running() {
            let rules = self.mail.rules.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(rules) = rules
                && self.worker.adopt(rules.ruleset).is_ok()
            {
                self.worker.settle(&rules.settings);
                if let Some(crew) = &mut self.crew {
                    crew.policy = rules.untaken;
                }
                if let Some(carriage) = &mut self.carriage {
                    carriage.renew(rules.epoch);
                }
                if rules.distrusts {
                    self.sight.lose();
                }
                self.shedding(rules.sheds);
                self.mail.taken.store(rules.number, Ordering::Release);
            }
        }
        if self.mail.wanted.load(Ordering::Acquire) != self.mail.answered.load(Ordering::Relaxed)
            || shown.elapsed() >= SHOWN
        {
            self.show();
            *shown = Instant::now();
        }
    }

    fn show(&mut self) {
        let wanted = self.mail.wanted.load(Ordering::Acquire);
        let tally = Tally { first: self.first, ..Tally::of(&self.worker) };
        let shown = Shown {
            tally,
            traffic: self.device.traffic(),
            stalls: self.stalls,
            untaken: self.crew.as_ref().map_or(0, |c| c.untaken),
            unrecorded: self.tape.as_ref().map_or(0, |t| t.missed),
            sheds: self.sheds,
            kept: self.carriage.as_ref().map_or(0, Carriage::flows),
        };
        self.mail.processor.store(capture::processor(), Ordering::Relaxed);
        if let Ok(mut slot) = self.mail.shown.try_lock() {
            *slot = Some(shown);
            self.mail.answered.store(wanted, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::record::{Head, Kind};

    #[test]
    fn what_a_writer_has_not_written_is_bounded_and_what_is_lost_counted() {
        const MOST: usize = 8_192;
        let (records, mut theirs) = rtrb::RingBuffer::new(1_024);
        let (_written, spare) = rtrb::RingBuffer::new(1_024);
        let mut outbox = Outbox { records, spare, unwritten: Arc::default(), most: MOST };
        let mut out = Output::new(MOST);
        let mut record = |outbox: &mut Outbox, n: u64| {
            out.records.write(&Head::new(Kind::Drop, Timestamp::from_micros(n), n), |_| {});
            outbox.send(&mut out);
            (out.records.len(), out.records.lost())
        };
        let (mut waiting, mut lost) = (0, 0);
        for n in 0..2_000 {
            (waiting, lost) = record(&mut outbox, n);
        }
        let given = outbox.unwritten.load(Ordering::Relaxed);
        assert!((MOST..2 * MOST).contains(&given), "{given}");
        assert!(waiting <= MOST && lost > 0, "{waiting} {lost}");
        // The writer has caught up: the rest is handed on at once, and nothing more is lost.
        while let Ok(bytes) = theirs.pop() {
            outbox.unwritten.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
        record(&mut outbox, 2_000);
        assert_eq!(record(&mut outbox, 2_001).0, 0);
    }
}
