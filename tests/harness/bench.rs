//! One worker that is given frames a batch at a time, with what a control plane tells it between them.

use crate::dialogue::TimedFrame;
use crate::engine::ruleset_of_epoch;
use engine::decode::Frame;
use engine::types::{Counter, Verdict};
use engine::worker::{Config, Output, Worker};
use std::sync::Arc;

pub struct Bench {
    pub worker: Worker,
    /// Of the last batch.
    pub out: Output,
    pub verdicts: Vec<Verdict>,
    /// Frames given so far.
    pub number: u64,
}

impl Bench {
    /// Rules under epoch 1.
    pub fn of(rules: &str, config: Config) -> Self {
        let out = Output::new(config.records_max);
        let rules = ruleset_of_epoch(rules, 1).unwrap();
        let worker = Worker::new(Arc::new(config), rules).unwrap();
        Bench { worker, out, verdicts: Vec::new(), number: 0 }
    }

    pub fn adopt(&mut self, rules: &str, epoch: u64) {
        self.worker.adopt(ruleset_of_epoch(rules, epoch).unwrap()).unwrap();
    }

    /// Gives the frames in one batch, and empties the list.
    pub fn give(&mut self, frames: &mut Vec<TimedFrame>) {
        let lent: Vec<Frame<'_>> = (self.number + 1..).zip(frames.iter()).map(|(number, f)| f.lent(number)).collect();
        self.worker.process(&lent, &mut self.out);
        self.number += frames.len() as u64;
        self.verdicts = self.out.frames.iter().map(|f| f.verdict).collect();
        frames.clear();
    }

    /// Records so far, as EVE has them.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let line = |r: engine::record::Record<'_>| {
            let mut line = Vec::new();
            control::export::line(&r, None, &Default::default(), &mut line).ok()?;
            serde_json::from_slice(&line).ok()
        };
        self.out.records.iter().filter_map(line).collect()
    }

    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(|v| v.is_forward())
    }

    pub fn count(&self, c: Counter) -> u64 {
        self.worker.counters().of(c)
    }
}
