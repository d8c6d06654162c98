//! The order in which workers touch what they share: that of packets, as one worker alone would.
//!
//! Each worker says from which moment on it may still touch anything; one that reaches an access waits until all others
//! say later ones. The earliest never waits, so it always goes on; one that touches nothing shared waits for nobody.

use engine::worker::{Moment, Turn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A worker may still touch what is shared at this moment, or later.
#[derive(Default)]
struct Station {
    number: AtomicU64,
    ending: AtomicU64,
}

impl Station {
    /// Only ever forward. `ending` goes to 0 before `number` moves, so that no reader sees a moment later than it is.
    fn at(&self, m: Moment) {
        if m.number != self.number.load(Ordering::Relaxed) {
            self.ending.store(0, Ordering::Release);
            self.number.store(m.number, Ordering::Release);
        }
        self.ending.store(m.ending, Ordering::Release);
    }

    /// The moment as it is, or an earlier one.
    fn read(&self) -> Moment {
        let number = self.number.load(Ordering::Acquire);
        Moment { number, ending: self.ending.load(Ordering::Acquire) }
    }
}

/// One worker's place.
pub struct Turnstile {
    stations: Arc<[Station]>,
    mine: usize,
}

impl Turnstile {
    pub fn for_workers(n: usize) -> Vec<Arc<Turnstile>> {
        let stations: Arc<[Station]> = (0..n).map(|_| Station::default()).collect();
        (0..n).map(|mine| Arc::new(Turnstile { stations: stations.clone(), mine })).collect()
    }

    /// This worker is through with everything before `m`.
    pub fn at(&self, m: Moment) {
        if let Some(s) = self.stations.get(self.mine) {
            s.at(m);
        }
    }
}

impl Turn for Turnstile {
    fn wait(&self, m: Moment) {
        self.at(m);
        for (_, other) in self.stations.iter().enumerate().filter(|(i, _)| *i != self.mine) {
            let mut turns = 0u32;
            while other.read() <= m {
                turns = turns.saturating_add(1);
                match turns {
                    0..=64 => std::hint::spin_loop(),
                    65..=256 => std::thread::yield_now(),
                    _ => std::thread::sleep(Duration::from_micros(20)),
                }
            }
        }
    }
}

impl Drop for Turnstile {
    /// A worker that has left touches nothing any more: nobody waits for it.
    fn drop(&mut self) {
        self.at(Moment { number: u64::MAX, ending: u64::MAX });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn accesses_come_in_order_whoever_makes_them() {
        const WORKERS: u64 = 3;
        let log = Mutex::new(Vec::new());
        std::thread::scope(|s| {
            for (me, turn) in (0..WORKERS).zip(Turnstile::for_workers(WORKERS as usize)) {
                let log = &log;
                s.spawn(move || {
                    for round in 0..50u64 {
                        // Numbers 10 * round + 0..9 are dealt out; every third touches.
                        for number in (10 * round..10 * round + 10).filter(|n| n % WORKERS == me && n % 7 < 4) {
                            let at = Moment { number, ending: 0 };
                            turn.wait(at);
                            log.lock().unwrap().push(at);
                        }
                        let mark = 10 * round + 9;
                        for first in (0..4).filter(|f| (f + round) % WORKERS == me) {
                            let at = Moment { number: mark, ending: 1 + first };
                            turn.wait(at);
                            log.lock().unwrap().push(at);
                        }
                        turn.at(Moment { number: mark + 1, ending: 0 });
                    }
                });
            }
        });
        let log = log.into_inner().unwrap();
        assert!(log.len() > 400 && log.is_sorted(), "{log:?}");
    }

    #[test]
    fn one_that_left_holds_nobody_up() {
        let mut turns = Turnstile::for_workers(2);
        drop(turns.pop());
        turns[0].wait(Moment { number: 7, ending: 0 });
    }
}
