//! Memory for what packets need, found before they come.
//!
//! Flows, sessions and buffers take new memory for as long as their tables fill. The kernel finds and clears it at the
//! first touch, a millisecond and more for a huge page of a virtual machine, and packets wait: beside a load of 40,000
//! frames a second that was the slowest hundredth of them. So it is found while the rules load; beside the work it would
//! take the processor and the process's memory lock from the workers.

use super::plane::thread;
use crate::console::Failure;
use capture::Reserve;
use std::io;
use std::thread::JoinHandle;

/// Unless told, a data plane takes such a part of what the machine has to give, within these bounds: the kernel clears the
/// most of it in the time that rules take to load.
const PART: u64 = 8;
const LEAST: u64 = 64 << 20;
const MOST: u64 = 512 << 20;

pub struct Ahead(JoinHandle<io::Result<Reserve>>);

impl Ahead {
    /// Begins to find so many bytes; as many as seem right for one of so many data planes unless told.
    pub fn begin(told: Option<u64>, planes: usize) -> Result<Ahead, Failure> {
        let available = available();
        if let (Some(told), Some(available)) = (told, available)
            && told > available
        {
            return Err(Failure(format!("run.memory: {told} bytes; the machine has {available} available")));
        }
        let bytes = told.unwrap_or_else(|| automatic(available.unwrap_or(0), planes));
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(Ahead(thread("memory", move || Reserve::new(bytes))?))
    }

    /// What is asked for from here on is taken of it.
    pub fn give(self) -> Result<(), Failure> {
        let found = self.0.join().map_err(|_| Failure("finding memory panicked".into()))?;
        found.and_then(Reserve::give).map_err(|e| Failure(format!("run.memory: {e}")))
    }
}

fn automatic(available: u64, planes: usize) -> u64 {
    (available / PART / planes.max(1) as u64).clamp(LEAST, MOST)
}

/// Bytes that the machine can give without taking them from anybody.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_what_there_is_within_bounds() {
        assert_eq!(automatic(0, 1), LEAST);
        assert_eq!(automatic(2 << 30, 1), 256 << 20);
        assert_eq!(automatic(2 << 30, 2), 128 << 20);
        assert_eq!(automatic(64 << 30, 2), MOST);
        assert!(available().is_some_and(|n| n > 1 << 20));
    }

    #[test]
    fn more_than_there_is_is_refused() {
        let Err(Failure(why)) = Ahead::begin(Some(1 << 60), 1) else { panic!("an exbibyte is found") };
        assert!(why.contains("available"), "{why}");
        assert!(Ahead::begin(Some(0), 1).unwrap().give().is_ok());
    }
}
