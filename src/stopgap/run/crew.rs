//! Whose frames they are. A card divides frames among its queues as it likes; a flow is one worker's all the same: each
//! worker takes in what comes on its own queues and hands on what belongs to another, before it looks at anything.

use crate::workers::emptied;
use capture::Live;
use capture::xdp::monotonic_ns;
use engine::decode::{Frame, Placer};
use engine::flow::pair_hash;
use engine::worker::Config;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What becomes of frames that their worker does not take: forwarded, or else dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untaken {
    /// Of one that does not answer.
    pub silent: bool,
    /// Of one that has no room.
    pub full: bool,
}

pub struct Crew {
    placer: Placer,
    seed: [u64; 2],
    me: usize,
    /// When each worker last finished a batch; ours too.
    beats: Vec<Arc<AtomicU64>>,
    /// One that has not for so long is handed nothing.
    stale: Duration,
    pub policy: Untaken,
    /// Of the batch, by frame.
    owners: Vec<usize>,
    answers: Vec<bool>,
    /// Frames that their worker did not take.
    pub untaken: u64,
}

impl Crew {
    /// Worker `me` of those that the beats are of. `None` of one alone, whose everything is.
    pub fn of(
        config: &Config,
        me: usize,
        beats: Vec<Arc<AtomicU64>>,
        stale: Duration,
        policy: Untaken,
    ) -> Option<Crew> {
        let alone = beats.len() < 2;
        (!alone).then(|| Crew {
            placer: Placer::new(&config.decode, &config.limits),
            seed: config.seed,
            me,
            beats,
            stale,
            policy,
            owners: Vec::new(),
            answers: Vec::new(),
            untaken: 0,
        })
    }

    /// Hands on what is another's of the device's batch. How many frames are left in it.
    pub fn share(&mut self, device: &mut dyn Live, spare: &mut Vec<Frame<'static>>) -> usize {
        let mut frames = emptied(std::mem::take(spare));
        device.frames(&mut frames);
        self.owners.clear();
        let n = self.beats.len() as u64;
        for frame in &frames {
            // What has no addresses is of no flow.
            let pair = self.placer.pair(frame);
            self.owners.push(pair.map_or(self.me, |(a, b)| (pair_hash(self.seed, a, b) % n) as usize));
        }
        *spare = emptied(frames);
        let ours = self.owners.iter().filter(|o| **o == self.me).count();
        if ours == self.owners.len() {
            return ours;
        }
        let (now, stale) = (monotonic_ns(), u64::try_from(self.stale.as_nanos()).unwrap_or(u64::MAX));
        self.answers.clear();
        self.answers.extend(self.beats.iter().map(|b| now.saturating_sub(b.load(Ordering::Relaxed)) < stale));
        for (i, &owner) in self.owners.iter().enumerate().filter(|(_, o)| **o != self.me) {
            let answers = self.answers.get(owner).copied().unwrap_or_default();
            if answers && device.hand_over(i, owner) {
                continue;
            }
            self.untaken += 1;
            match if answers { self.policy.full } else { self.policy.silent } {
                true => device.forward(i),
                false => device.discard(i),
            }
        }
        device.leave_settled();
        // The others wait for it.
        let _ = device.flush();
        ours
    }
}
