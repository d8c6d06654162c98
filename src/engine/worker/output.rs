//! What a batch yields: a verdict for each frame, frames of our own, records, and which flows need us no more.

use super::offload::Offload;
use crate::decode::PortId;
use crate::record::Records;
use crate::types::Verdict;

/// The fate of one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameVerdict {
    pub verdict: Verdict,
    /// What leaves in the frame's place (`replace`, overlap normalisation), where it is forwarded.
    pub rewritten: Option<Box<[u8]>>,
    /// The rule that dropped, rejected or rewrote it.
    pub sid: Option<u32>,
}

/// A frame we built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Index in the batch of the frame that caused it: it leaves after that frame's verdict.
    pub after: u32,
    /// Leaves through this port.
    pub port: PortId,
    pub data: Vec<u8>,
    pub sid: Option<u32>,
}

/// Results of [`super::Worker::process`]; reused from batch to batch.
pub struct Output {
    /// One for each frame of the batch, in order.
    pub frames: Vec<FrameVerdict>,
    pub injected: Vec<Injected>,
    pub records: Records,
    /// Flows that the device may bypass or drop by itself from the next frame on.
    pub offloads: Vec<Offload>,
}

impl Output {
    /// Holds at most `records_max` bytes of records until they are taken.
    pub fn new(records_max: usize) -> Self {
        Output { frames: Vec::new(), injected: Vec::new(), records: Records::new(records_max), offloads: Vec::new() }
    }

    /// Forgets the last batch's verdicts and frames; records stay until taken.
    pub fn begin(&mut self, frames: usize) {
        self.frames.clear();
        self.frames.resize_with(frames, FrameVerdict::default);
        self.injected.clear();
        self.offloads.clear();
    }
}
