//! A worker's beat: what the kernel's program and the data plane's own watch look at.

use super::load::Waiting;
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
    account: Account,
    /// Of the operator's bypass, as last seen.
    turns: u32,
}

/// Which frames that were handed over are not waiting any more.
#[derive(Default)]
struct Account {
    /// Those that did not come in here, as it was when all that were there last came: of before our time, late, or lost on
    /// the way without a word or before the word reached us.
    missing: u64,
    /// Handed over by the time that frames were last asked for.
    handed: u64,
}

impl Account {
    /// `taken`: frames that came in or are known to be lost, ever. `all`: when last asked for, all that were there came.
    /// `handed`: over by now; no more than that can be accounted for.
    fn consumed(&mut self, taken: u64, all: bool, handed: u64) -> u64 {
        let missing = if all { self.handed } else { handed }.saturating_sub(taken);
        self.missing = if all { missing } else { missing.min(self.missing) };
        self.missing + taken
    }
}

impl Heart {
    pub fn new(last: Arc<AtomicU64>, bump: Option<(Arc<Bump>, usize)>) -> Self {
        Heart { last, bump, account: Account::default(), turns: 0 }
    }

    /// The first beat: whatever was handed to one before us is not waiting any more.
    pub fn begin(&mut self) {
        self.look();
        self.beat(0, true);
    }

    /// Frames are about to be asked for.
    pub fn look(&mut self) {
        self.account.handed = self.row().map_or(0, |row| row.handed.load(Ordering::Relaxed));
    }

    /// A batch is finished. `taken`: frames that came in or were lost on their way to us, ever; `all`: there were no more.
    pub fn beat(&mut self, taken: u64, all: bool) {
        let handed = self.row().map_or(0, |row| row.handed.load(Ordering::Relaxed));
        let consumed = self.account.consumed(taken, all, handed);
        if let Some(row) = self.row() {
            row.consumed.store(consumed, Ordering::Relaxed);
        }
        self.stamp();
    }

    /// So many frames waited for this batch to be finished that the kernel's program went on without us.
    pub fn overrun(&self) -> bool {
        self.bump.as_ref().is_some_and(|(b, n)| b.is_overrun(*n))
    }

    /// The operator has everything through, past us, or has had since this was last asked.
    pub fn bypassed(&mut self) -> bool {
        let turns = self.bump.as_ref().map_or(0, |(b, _)| b.bypass_turns());
        std::mem::replace(&mut self.turns, turns) != turns || turns % 2 == 1
    }

    /// Frames that wait, where the kernel's program counts them.
    pub fn waiting(&self) -> Option<Waiting> {
        let (frames, may) = self.bump.as_ref().map(|(b, n)| b.waiting(*n))?;
        Some(Waiting { frames, may })
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

    /// When it last beat, by the clock that beats are measured by.
    pub fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }

    /// Since the last beat.
    pub fn since(&self) -> Duration {
        Duration::from_nanos(monotonic_ns().saturating_sub(self.last.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_on_the_way_does_not_wait_for_ever() {
        let mut a = Account { missing: 0, handed: 100 };
        assert_eq!(a.consumed(0, true, 100), 100, "of before our time");
        a.handed = 160;
        assert_eq!(a.consumed(50, false, 160), 150, "more may be there");
        assert_eq!(a.consumed(50, true, 160), 160, "ten never came");
        // They were lost, of which word comes now, or were only late.
        assert_eq!(a.consumed(60, false, 160), 160);
        a.handed = 180;
        assert_eq!(a.consumed(70, true, 180), 180);
        a.handed = 200;
        assert_eq!(a.consumed(100, true, 200), 200, "none is missing but those of before our time");
        assert_eq!(a.consumed(110, false, 400), 210, "the rest waits");
    }
}
