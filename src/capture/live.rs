//! Live devices: a worker's frames in from the wire, verdicts out to it.
//!
//! A device lends the frames of one batch out of the memory the kernel wrote them to; each is settled by its place in the
//! batch, so that one that goes on as it came is never copied. Frames that nobody settled are dropped with the next batch:
//! silence never forwards. One device belongs to one worker thread; several workers of a port pair hand frames to each
//! other by [`Live::hand_over`].

use super::Error;
use engine::decode::{Frame, PortId};
use engine::types::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a device did, in frames, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Taken in from the wire.
    pub received: u64,
    /// How many more those are than the kernel gave: of joined datagrams that were cut.
    pub cut: u64,
    /// Sent, as they came or rewritten.
    pub forwarded: u64,
    /// Settled as dropped.
    pub discarded: u64,
    /// Sent of our own making.
    pub injected: u64,
    /// Lost before we saw them: no room in a ring of the kernel's.
    pub lost: u64,
    /// Of those received, not sent for want of room to send, or because the kernel refused.
    pub unsent: u64,
    /// Of our own making, not sent either.
    pub uninjected: u64,
    /// Handed to other workers and taken from them.
    pub handed: u64,
    pub taken: u64,
    /// Old frames thrown away after a stall.
    pub stale: u64,
}

/// Now, as frames are stamped.
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(since.as_nanos() as u64)
}

/// The time of a device's packets, which never goes back. Where the machine's clock is set back it goes on, at half the
/// pace until that has caught up, so that what waits for its time still has it come; a time far ahead of the clock is
/// nobody's.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    now: Timestamp,
    /// As last given.
    last: Timestamp,
}

/// How often the kernel is asked what it lost while frames come, in batches.
pub(crate) const LOSSES_EVERY: u32 = 64;
/// No frame is stamped so far ahead of the machine's clock.
const AHEAD: Duration = Duration::from_secs(60);

impl Stamps {
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The time of a frame that is stamped so.
    pub fn at(&mut self, stamp: Timestamp) -> Timestamp {
        let far = stamp > self.now.saturating_add(AHEAD);
        self.take(if far { stamp.min(wall().saturating_add(AHEAD)) } else { stamp })
    }

    fn take(&mut self, stamp: Timestamp) -> Timestamp {
        let passed = stamp.since(self.last);
        self.last = stamp;
        self.now = stamp.max(self.now.saturating_add(if stamp < self.now { passed / 2 } else { Duration::ZERO }));
        self.now
    }
}

/// A device of one worker.
pub trait Live: Send {
    /// Takes in a batch of at most `max` frames, waiting up to `wait` where there is none. Frames of the batch before are
    /// gone. `Ok(0)` is silence, not the end: a live device ends with an error alone.
    fn receive(&mut self, max: usize, wait: Duration) -> Result<usize, Error>;

    /// Appends the batch's frames, in the order they came.
    fn frames<'d>(&'d self, into: &mut Vec<Frame<'d>>);

    /// Frame `i` of the batch leaves through the other port as it came.
    fn forward(&mut self, i: usize);

    /// `data` leaves in its place.
    fn replace(&mut self, i: usize, data: &[u8]);

    /// It does not leave.
    fn discard(&mut self, i: usize);

    /// Another worker of the pair gets it, with the next flush. `false`: that worker has no room, settle it otherwise.
    fn hand_over(&mut self, i: usize, worker: usize) -> bool;

    /// Frames that others handed over and that wait here.
    fn handed_waiting(&self) -> u64 {
        0
    }

    /// Frames that are settled or handed over leave the batch; the others move up.
    fn leave_settled(&mut self);

    /// A frame of our own leaves through `port`, after what was settled before.
    fn inject(&mut self, port: PortId, data: &[u8]);

    /// What was settled is on its way.
    fn flush(&mut self) -> Result<(), Error>;

    /// Throws away all that has arrived unread: after a stall it is too old to be sent.
    fn throw_away(&mut self);

    /// Asked after every batch: no system call. What the kernel lost may be a few batches old.
    fn traffic(&self) -> Traffic;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_time_goes_on_when_the_clock_is_set_back() {
        let mut s = Stamps::default();
        let mut at = |secs: u64| s.take(Timestamp::from_secs(secs)).secs();
        assert_eq!((at(10_000), at(10_001), at(10_001)), (10_000, 10_001, 10_001));
        // An hour back: half as fast until it has caught up.
        assert_eq!((at(6_400), at(6_402), at(6_500)), (10_001, 10_002, 10_051));
        assert_eq!((at(8_500), at(11_000), at(12_400), at(12_401)), (11_051, 12_301, 12_400, 12_401));
        assert_eq!(at(20_000), 20_000);
    }

    #[test]
    fn no_frame_is_stamped_far_ahead_of_the_clock() {
        let mut s = Stamps::default();
        let now = s.at(wall());
        assert!(s.at(Timestamp::from_secs(u64::from(u32::MAX))) <= now.saturating_add(2 * AHEAD));
        assert!(s.now() >= now);
    }
}
