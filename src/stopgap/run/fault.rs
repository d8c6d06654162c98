//! Faults on demand, for tests of what happens then. Programs that are given to users are built without.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU8, Ordering};

/// What goes wrong in the first worker of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It computes for ever.
    Spin = 1,
    /// Its thread panics outside of the engine.
    Panic,
    /// It takes half a second for nothing, once.
    Slow,
    /// Its process ends at once, as by a fault of memory.
    Abort,
}

/// The fault that a worker is to commit next.
#[derive(Debug, Default)]
pub struct Order(AtomicU8);

impl Order {
    pub fn give(&self, fault: Fault) {
        self.0.store(fault as u8, Ordering::Release);
    }

    /// Commits what was ordered.
    pub fn obey(&self) {
        let ordered = self.0.swap(0, Ordering::Acquire);
        match Fault::value_variants().iter().find(|f| **f as u8 == ordered) {
            Some(Fault::Spin) => loop {
                std::hint::spin_loop();
            },
            Some(Fault::Panic) => panic!("as ordered"),
            Some(Fault::Slow) => std::thread::sleep(std::time::Duration::from_millis(500)),
            Some(Fault::Abort) => std::process::abort(),
            None => {}
        }
    }
}
