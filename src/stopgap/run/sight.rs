//! What passed unseen: a lane's workers tell each other, and each takes up the connections of before where they stand.
//!
//! The kernel goes on without a worker that is too slow by time or by backlog, and nobody tells it so; before the first
//! frame of a run everything has passed unseen. From then on, for so long as the run is told (`run.resync-seconds`), the
//! engine holds nothing against a connection of before ([`engine::worker::Worker::resync`]).

use engine::types::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often sight was lost, by all workers of a lane: a flow's frames may have come to any of them.
pub type Losses = Arc<AtomicU64>;

/// A worker's share of it.
pub struct Sight {
    lost: Losses,
    /// How many of them this worker has acted on.
    seen: u64,
    /// How long connections are taken up after one. Zero: never.
    window: Duration,
}

impl Sight {
    /// Of a worker that has seen nothing yet.
    pub fn new(lost: Losses, window: Duration) -> Self {
        // One more than anybody has told of: the beginning.
        Sight { seen: u64::MAX, lost, window }
    }

    /// Frames went by unseen.
    pub fn lose(&self) {
        self.lost.fetch_add(1, Ordering::AcqRel);
    }

    /// Until when connections are taken up, where sight was lost since this was last asked.
    /// `now`: of the packet at hand, whatever the clock says.
    pub fn lost_until(&mut self, now: Timestamp) -> Option<Timestamp> {
        let lost = self.lost.load(Ordering::Acquire);
        if std::mem::replace(&mut self.seen, lost) == lost || self.window.is_zero() {
            return None;
        }
        Some(now.saturating_add(self.window))
    }
}

/// So far ahead at once is no clock that runs, but one that was set.
const STEP: Duration = Duration::from_secs(1);

/// How far packets' time is ahead of the machine's own, which nobody sets.
#[derive(Debug, Default)]
pub struct Clock {
    ahead: Duration,
}

impl Clock {
    /// Whether packets' time has been set ahead since this was last asked. `since`: by a clock that nobody sets.
    pub fn is_set_ahead(&mut self, now: Timestamp, since: Duration) -> bool {
        let ahead = now.since(Timestamp::ZERO).saturating_sub(since);
        let before = std::mem::replace(&mut self.ahead, ahead);
        before > Duration::ZERO && ahead > before.saturating_add(STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_hears_of_each_loss_once() {
        let lost = Losses::default();
        let second = Duration::from_secs(1);
        let [mut a, mut b] = [Sight::new(lost.clone(), second), Sight::new(lost.clone(), second)];
        let mut never = Sight::new(lost, Duration::ZERO);
        let (now, then) = (Timestamp::from_secs(5), Some(Timestamp::from_secs(6)));
        assert_eq!((a.lost_until(now), a.lost_until(now), b.lost_until(now)), (then, None, then));
        b.lose();
        b.lose();
        assert_eq!((a.lost_until(now), a.lost_until(now), b.lost_until(now)), (then, None, then));
        assert_eq!(never.lost_until(now), None);
    }

    #[test]
    fn a_clock_that_is_set_ahead_is_told_from_one_that_runs() {
        let mut c = Clock::default();
        let mut at = |wall: u64, own: u64| c.is_set_ahead(Timestamp::from_secs(wall), Duration::from_secs(own));
        assert!(!at(1_000_000, 10), "nothing is known before the first time");
        assert!(!at(1_000_001, 11));
        assert!(!at(1_003_602, 3_612), "an hour of silence");
        assert!(at(1_005_000, 3_613));
        assert!(!at(1_005_001, 3_614));
        // Set back: packets' time is the slower until the clock has caught up.
        assert!(!at(1_005_001, 3_700) && !at(1_005_001, 5_000) && !at(1_005_002, 5_001));
    }
}
