//! A worker's load, and how much inspection it leaves out for that.
//!
//! What waits in its rings is the measure. A quarter of what may wait, for [`RISE`] on end, is one level more; less than an
//! eighth, for [`FALL`] on end, one less: a burst that a worker soon has behind it changes nothing, and levels do not come
//! and go with each batch. What the levels mean is the engine's ([`engine::types::Shed`]).

use engine::types::Shed;
use std::time::Duration;

/// So long a quarter or more has to wait for a level more.
const RISE: Duration = Duration::from_millis(10);
/// So long less than an eighth has to wait for a level less.
const FALL: Duration = Duration::from_secs(1);

/// Frames that wait, and that may.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub frames: u64,
    pub may: u64,
}

pub struct Load {
    level: Shed,
    /// Since when much has waited, or little; of what waits neither much nor little, never.
    much: Option<Duration>,
    little: Option<Duration>,
}

impl Load {
    pub const fn new() -> Load {
        Load { level: Shed::Nothing, much: None, little: None }
    }

    /// The level from now on, where it is another. `now`: of a clock that does not stop.
    pub fn saw(&mut self, w: Waiting, now: Duration) -> Option<Shed> {
        let much = w.frames.saturating_mul(4) >= w.may;
        let little = w.frames.saturating_mul(8) < w.may;
        self.much = much.then(|| self.much.unwrap_or(now));
        self.little = little.then(|| self.little.unwrap_or(now));
        let lasted = |since: Option<Duration>, long: Duration| since.is_some_and(|s| now.saturating_sub(s) >= long);
        let at = self.level as usize;
        let next = if lasted(self.much, RISE) {
            self.much = Some(now);
            at + 1
        } else if lasted(self.little, FALL) {
            self.little = Some(now);
            at.saturating_sub(1)
        } else {
            return None;
        };
        let next = *Shed::ALL.get(next)?;
        if next == self.level {
            return None;
        }
        self.level = next;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(l: &mut Load, frames: u64, ms: u64) -> Option<Shed> {
        l.saw(Waiting { frames, may: 800 }, Duration::from_millis(ms))
    }

    #[test]
    fn levels_rise_while_much_waits_and_fall_slowly() {
        let mut l = Load::new();
        assert_eq!(saw(&mut l, 200, 0), None);
        assert_eq!(saw(&mut l, 200, 9), None, "a burst");
        assert_eq!(saw(&mut l, 199, 10), None);
        assert_eq!(saw(&mut l, 800, 11), None);
        assert_eq!(saw(&mut l, 800, 21), Some(Shed::Bulk));
        assert_eq!(saw(&mut l, 800, 25), None);
        assert_eq!(saw(&mut l, 800, 31), Some(Shed::Costly));
        assert_eq!(saw(&mut l, 800, 41), Some(Shed::AllButBeginnings));
        assert_eq!(saw(&mut l, 800, 5_000), None, "there is no more to leave out");
        // Neither much nor little: it stays.
        assert_eq!(saw(&mut l, 150, 9_000), None);
        assert_eq!(saw(&mut l, 99, 10_000), None);
        assert_eq!(saw(&mut l, 0, 10_999), None);
        assert_eq!(saw(&mut l, 0, 11_000), Some(Shed::Costly));
        assert_eq!(saw(&mut l, 100, 11_500), None, "not on end");
        assert_eq!(saw(&mut l, 0, 12_000), None);
        assert_eq!(saw(&mut l, 0, 13_000), Some(Shed::Bulk));
        assert_eq!(saw(&mut l, 0, 14_000), Some(Shed::Nothing));
        assert_eq!(saw(&mut l, 0, 20_000), None);
    }
}
