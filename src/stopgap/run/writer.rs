//! The thread of a data plane that writes its log.

use super::plane::{sum, thread};
use super::worker::{Mailbox, Shown};
use crate::console::Failure;
use crate::outputs::Outputs;
use capture::xdp::Bump;
use capture::xdp::layout::Count;
use engine::record::RulesRead;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the writer looks at.
pub struct Writing {
    pub stop: AtomicBool,
    pub rules: Mutex<RulesRead>,
    /// For the operator: that the log cannot be written, or can again.
    pub words: Mutex<Vec<String>>,
}

impl Writing {
    fn tell(&self, word: String) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).push(word);
    }
}

/// Records of a worker, and the way back for emptied buffers.
pub struct Inbox {
    pub records: rtrb::Consumer<Vec<u8>>,
    pub spare: rtrb::Producer<Vec<u8>>,
    /// Bytes that wait.
    pub unwritten: Arc<AtomicUsize>,
}

/// A buffer that has become longer is not used again.
const SPARE_MAX: usize = 1 << 20;

/// The thread that writes the log.
pub struct Writer {
    pub outputs: Outputs,
    pub inboxes: Vec<Inbox>,
    pub mail: Vec<Arc<Mailbox>>,
    pub bump: Option<Arc<Bump>>,
    pub writing: Arc<Writing>,
    pub every: Duration,
}

/// How long a record may wait in the writer's buffers.
const FLUSH: Duration = Duration::from_millis(200);

impl Writer {
    pub fn spawn(self) -> std::io::Result<JoinHandle<Result<(), Failure>>> {
        thread("log", move || self.write())
    }

    /// Until told to stop. An error where the last of it could not be written.
    fn write(mut self) -> Result<(), Failure> {
        let (mut flushed, mut counted) = (Instant::now(), Instant::now());
        let mut dirty = false;
        // Why the log cannot be written, and how much of it there was then.
        let mut failing: Option<(Failure, u64)> = None;
        loop {
            // Asked first: what came before it was set is written yet.
            let stop = self.writing.stop.load(Ordering::Acquire);
            let (mut idle, mut done) = (true, Ok(()));
            for inbox in &mut self.inboxes {
                while let Ok(bytes) = inbox.records.pop() {
                    done = done.and(self.outputs.records(&bytes));
                    (idle, dirty) = (false, true);
                    inbox.unwritten.fetch_sub(bytes.len(), Ordering::Relaxed);
                    if bytes.capacity() <= SPARE_MAX {
                        let _ = inbox.spare.push(bytes);
                    }
                }
            }
            if !self.every.is_zero() && counted.elapsed() >= self.every || stop && idle {
                done = done.and(self.stats());
                (counted, dirty) = (Instant::now(), true);
            }
            if dirty && (flushed.elapsed() >= FLUSH || stop && idle) {
                done = done.and(self.outputs.finish());
                (flushed, dirty) = (Instant::now(), false);
            }
            self.heed(done, &mut failing);
            if idle {
                if stop {
                    return failing.map_or(Ok(()), |(why, _)| Err(why));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// What cannot be written is lost, and what comes later tried again.
    fn heed(&self, done: Result<(), Failure>, failing: &mut Option<(Failure, u64)>) {
        let bytes = self.outputs.bytes();
        match (done, &failing) {
            (Err(why), before) => {
                if before.is_none() {
                    let why = &why.0;
                    self.writing.tell(format!("the log cannot be written, and what comes is missing there: {why}"));
                }
                *failing = Some((why, bytes));
            }
            (Ok(()), Some((_, then))) if bytes > *then => {
                self.writing.tell("the log is written again; what came meanwhile is missing there".into());
                *failing = None;
            }
            _ => {}
        }
    }

    fn stats(&mut self) -> Result<(), Failure> {
        let shown: Vec<Shown> = self.mail.iter().filter_map(|m| m.shown(Duration::from_millis(50))).collect();
        let Some(mut tally) = sum(&shown) else { return Ok(()) };
        tally.now = capture::wall();
        let rules = *self.writing.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let capture = self.capture(&shown);
        self.outputs.stats(&tally, &rules, capture)
    }

    /// What came of frames outside of the engine, under the names that statistics have for them.
    fn capture(&self, shown: &[Shown]) -> Vec<(String, u64)> {
        let of = |f: fn(&Shown) -> u64| shown.iter().map(f).sum::<u64>();
        let kernel = self.bump.as_ref().map_or(Vec::new(), |b| vec![b.counts(0), b.counts(1)]);
        let counted = |c: &Count| kernel.iter().filter_map(|port| port.get(*c as usize)).sum::<u64>();
        let mut all = vec![
            ("capture.kernel_packets".into(), of(|s| s.traffic.received + s.traffic.lost)),
            ("capture.kernel_drops".into(), of(|s| s.traffic.lost)),
            ("capture.forwarded".into(), of(|s| s.traffic.forwarded)),
            ("capture.unsent".into(), of(|s| s.traffic.unsent)),
            ("capture.uninjected".into(), of(|s| s.traffic.uninjected)),
            ("capture.stale".into(), of(|s| s.traffic.stale)),
            ("capture.stalls".into(), of(|s| s.stalls)),
        ];
        if !kernel.is_empty() {
            all.extend(Count::ALL.iter().map(|c| (format!("capture.program.{}", c.name()), counted(c))));
        }
        all
    }
}
