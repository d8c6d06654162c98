//! A worker's beat: what the kernel's program and the data plane's own watch look at.

use capture::xdp::layout::WorkerRow;
use capture::xdp::{Bump, monotonic_ns};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub struct Heart {
    /// When the last batch was finished, for our own watch.
    last: Arc<AtomicU64>,
    /// The pair's program, and which worker this is there.
    bump: Option<(Arc<Bump>, usize)>,
    /// Frames that had been handed over before our time.
    before: u64,
}

impl Heart {
    pub fn new(last: Arc<AtomicU64>, bump: Option<(Arc<Bump>, usize)>) -> Self {
        Heart { last, bump, before: 0 }
    }

    /// The first beat: whatever was handed to one before us is not waiting any more.
    pub fn begin(&mut self) {
        self.before = self.row().map_or(0, |row| row.handed.load(Ordering::Relaxed));
        self.beat(0);
    }

    /// A batch is finished. `taken`: frames that came in or were lost on their way to us, ever.
    pub fn beat(&mut self, taken: u64) {
        if let Some(row) = self.row() {
            row.consumed.store(self.before + taken, Ordering::Relaxed);
        }
        self.stamp();
    }

    /// So many frames waited for this batch to be finished that the kernel's program went on without us.
    pub fn overrun(&self) -> bool {
        self.bump.as_ref().is_some_and(|(b, n)| b.is_overrun(*n))
    }

    fn row(&self) -> Option<&WorkerRow> {
        self.bump.as_ref().and_then(|(b, n)| b.worker(*n))
    }

    fn stamp(&self) {
        let now = monotonic_ns();
        self.last.store(now, Ordering::Release);
        if let Some(row) = self.row() {
            row.beat_ns.store(now, Ordering::Release);
        }
    }

    /// Since the last beat.
    pub fn since(&self) -> Duration {
        Duration::from_nanos(monotonic_ns().saturating_sub(self.last.load(Ordering::Relaxed)))
    }
}
