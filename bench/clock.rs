//! CPU time, memory and machine of this process.

use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::time::Duration;

/// CPU time of this process so far, all threads.
pub fn cpu() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec.max(0) as u64, t.tv_nsec.max(0) as u32)
}

/// Runs `f` and says how much CPU time it took.
pub fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let start = cpu();
    let value = f();
    (value, cpu().saturating_sub(start))
}

/// A field of /proc/self/status, in MiB (`VmRSS`, `VmHWM`); 0 where there is none.
pub fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

pub fn environment() -> BTreeMap<String, String> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|p| p.1.trim().to_string()));
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let profile = if cfg!(debug_assertions) { "debug: figures mean nothing" } else { "release" };
    BTreeMap::from([
        ("processor".into(), model.unwrap_or_else(|| "unknown".into())),
        ("cores".into(), cores.to_string()),
        ("build".into(), profile.into()),
        ("matcher".into(), matcher::factory().identity()),
    ])
}
