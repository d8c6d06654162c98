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
    pub fn lost_until(&mut self, now: impl FnOnce() -> Timestamp) -> Option<Timestamp> {
        let lost = self.lost.load(Ordering::Acquire);
        if std::mem::replace(&mut self.seen, lost) == lost || self.window.is_zero() {
            return None;
        }
        Some(now().saturating_add(self.window))
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
        assert_eq!((a.lost_until(|| now), a.lost_until(|| now), b.lost_until(|| now)), (then, None, then));
        b.lose();
        b.lose();
        assert_eq!((a.lost_until(|| now), a.lost_until(|| now), b.lost_until(|| now)), (then, None, then));
        assert_eq!(never.lost_until(|| now), None);
    }
}
