//! Frames: units of a protocol on the wire, as places in the stream.
//!
//! A parser notes where a unit begins and, once it knows, where it ends; the bytes are not copied, they are looked at in
//! the stream while it is held. Noted are frames of the protocols that rules or records ask for, and of each direction the
//! last [`FRAMES_MAX`]; a frame goes when its last byte has been inspected.

use super::{BufferId, TxId, generic};
use crate::types::{Direction, PerDirection};
use std::collections::VecDeque;

/// Frames remembered per direction of a flow; past it the oldest go uninspected.
pub const FRAMES_MAX: usize = 1_024;

/// One unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Number within its direction of the flow, from 1.
    pub id: u64,
    /// The row that rules name it by.
    pub kind: BufferId,
    /// Stream position of its first byte.
    pub start: u64,
    /// Of the byte behind its last; `None` while it is not known.
    pub end: Option<u64>,
    pub tx: Option<TxId>,
    /// Begun or ended since the last inspection.
    pub fresh: bool,
    pub logged: bool,
}

#[derive(Debug, Default)]
struct Lane {
    frames: VecDeque<Frame>,
    given: u64,
}

/// Frames of one flow that are still of interest.
#[derive(Debug, Default)]
pub struct Frames {
    lanes: PerDirection<Lane>,
    lost: u64,
}

impl Frames {
    /// Notes a frame; with an end where that is known.
    pub fn begin(&mut self, dir: Direction, kind: BufferId, start: u64, end: Option<u64>, tx: Option<TxId>) {
        let lane = &mut self.lanes[dir];
        if lane.frames.len() >= FRAMES_MAX {
            // The frame of the whole stream stands first and stays.
            let oldest = usize::from(lane.frames.front().is_some_and(|f| f.kind == generic::FRAME_STREAM));
            lane.frames.remove(oldest);
            self.lost += 1;
        }
        lane.given += 1;
        lane.frames.push_back(Frame { id: lane.given, kind, start, end, tx, fresh: true, logged: false });
    }

    /// The whole of what a direction carries, once.
    pub fn stream(&mut self, dir: Direction, start: u64) {
        if self.lanes[dir].given == 0 {
            self.begin(dir, generic::FRAME_STREAM, start, None, None);
        }
    }

    /// The open frame of a kind, of which there is one at most.
    pub fn open(&mut self, dir: Direction, kind: BufferId) -> Option<&mut Frame> {
        self.lanes[dir].frames.iter_mut().rev().find(|f| f.kind == kind && f.end.is_none())
    }

    /// Ends the open frame of a kind.
    pub fn end(&mut self, dir: Direction, kind: BufferId, at: u64) {
        if let Some(f) = self.open(dir, kind) {
            f.end = Some(at);
            f.fresh = true;
        }
    }

    pub fn of(&self, dir: Direction) -> impl Iterator<Item = &Frame> {
        self.lanes[dir].frames.iter()
    }

    pub fn of_mut(&mut self, dir: Direction) -> impl Iterator<Item = &mut Frame> {
        self.lanes[dir].frames.iter_mut()
    }

    /// The stream has been inspected up to `upto`: what ends before is over. Returns how many frames were lost since.
    pub fn inspected(&mut self, dir: Direction, upto: u64) -> u64 {
        self.lanes[dir].frames.retain_mut(|f| {
            f.fresh = false;
            f.end.is_none_or(|end| end > upto)
        });
        std::mem::take(&mut self.lost)
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        let lanes = [&self.lanes.to_server, &self.lanes.to_client];
        lanes.iter().map(|l| l.frames.capacity() * size_of::<Frame>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applayer::ProtoId;

    const KIND: BufferId = BufferId::new(ProtoId(1), 3);
    const DIR: Direction = Direction::ToServer;

    #[test]
    fn frames_go_once_their_last_byte_was_inspected() {
        let mut f = Frames::default();
        f.stream(DIR, 0);
        f.stream(DIR, 0);
        f.begin(DIR, KIND, 0, Some(10), None);
        f.begin(DIR, KIND, 10, None, None);
        f.inspected(DIR, 9);
        assert_eq!(f.of(DIR).map(|f| f.id).collect::<Vec<_>>(), [1, 2, 3]);
        f.end(DIR, KIND, 12);
        assert!(f.of(DIR).last().is_some_and(|f| f.fresh && f.end == Some(12)));
        f.inspected(DIR, 12);
        assert_eq!(f.of(DIR).map(|f| f.id).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let mut f = Frames::default();
        f.stream(DIR, 0);
        (0..FRAMES_MAX as u64 + 5).for_each(|i| f.begin(DIR, KIND, i, Some(i + 1), None));
        assert_eq!(f.of(DIR).count(), FRAMES_MAX);
        assert_eq!(f.of(DIR).map(|f| f.id).take(2).collect::<Vec<_>>(), [1, 8]);
        assert_eq!(f.inspected(DIR, 0), 6);
    }
}
