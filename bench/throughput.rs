//! `stopgap-bench throughput`: one core's engine on a capture held in memory.
//!
//! Stages by subtraction, since the engine has no clock inside: walking the frames alone, decoding them, the worker
//! without rules (flow, stream, application layer, verdicts), with rules, and with every record written. What a stage
//! adds is its row minus the row above. The capture is read before the clock starts; `read` measures that reading.

use crate::clock::{memory, timed};
use crate::load::{factory, load};
use crate::report::{Row, Table};
use capture::Receive;
use engine::decode::{Decoder, Frame, PacketList};
use engine::detect::compile::Ruleset;
use engine::record::{self, AlertSettings};
use engine::types::{Counters, Limits};
use engine::worker::{Config, Output, Worker};
use stats_alloc::StatsAlloc;
use std::alloc::System;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    /// The capture: the reference mix, or what `mix` makes.
    #[arg(long, value_name = "FILE")]
    pub mix: PathBuf,
    /// Rule files; without them only the stages below detection are measured.
    #[arg(short = 'S', num_args = 1.., value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// Without Hyperscan.
    #[arg(long)]
    pub pure_rust: bool,
    /// Frames per batch.
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Passes over the capture; the fastest of each stage counts.
    #[arg(long, default_value_t = 1)]
    pub passes: usize,
}

/// A capture in memory: frames as places in one block.
struct Held {
    bytes: Vec<u8>,
    frames: Vec<(Frame<'static>, std::ops::Range<usize>)>,
    wire_bytes: u64,
}

impl Held {
    fn read(path: &Path) -> Result<Held, String> {
        let mut reader = capture::open(path).map_err(|e| e.to_string())?;
        let mut held = Held { bytes: Vec::new(), frames: Vec::new(), wire_bytes: 0 };
        loop {
            let mut batch = Vec::new();
            if reader.recv(&mut batch, 1_024).map_err(|e| e.to_string())? == 0 {
                return if held.frames.is_empty() { Err(format!("{}: no packets", path.display())) } else { Ok(held) };
            }
            for f in batch {
                let start = held.bytes.len();
                held.bytes.extend_from_slice(f.data);
                held.wire_bytes += u64::from(f.wire_len);
                held.frames.push((Frame { data: &[], ..f }, start..held.bytes.len()));
            }
        }
    }

    /// Calls `f` with each batch.
    fn batches(&self, size: usize, mut f: impl FnMut(&[Frame<'_>])) {
        let mut batch = Vec::with_capacity(size);
        for places in self.frames.chunks(size.max(1)) {
            batch.clear();
            batch.extend(
                places.iter().map(|(frame, at)| Frame { data: self.bytes.get(at.clone()).unwrap_or(&[]), ..*frame }),
            );
            f(&batch);
        }
    }
}

/// What one pass took.
#[derive(Clone, Copy)]
struct Pass {
    cpu: Duration,
    allocations: usize,
    bytes_allocated: usize,
    alerts: u64,
}

struct Bench<'a> {
    held: &'a Held,
    batch: usize,
    passes: usize,
    allocator: &'static StatsAlloc<System>,
}

impl Bench<'_> {
    fn best(&self, mut pass: impl FnMut(&Self) -> Result<u64, String>) -> Result<Pass, String> {
        let mut best: Option<Pass> = None;
        for _ in 0..self.passes.max(1) {
            let before = self.allocator.stats();
            let (alerts, cpu) = timed(|| pass(self));
            let after = self.allocator.stats();
            let now = Pass {
                cpu,
                allocations: after.allocations + after.reallocations - before.allocations - before.reallocations,
                bytes_allocated: after.bytes_allocated - before.bytes_allocated,
                alerts: alerts?,
            };
            if best.is_none_or(|b| now.cpu < b.cpu) {
                best = Some(now);
            }
        }
        best.ok_or_else(|| "no pass".into())
    }

    fn frames(&self) -> Result<u64, String> {
        let mut sum = 0u64;
        self.held.batches(self.batch, |batch| {
            sum += batch.iter().map(|f| u64::from(f.data.first().copied().unwrap_or(0))).sum::<u64>()
        });
        std::hint::black_box(sum);
        Ok(0)
    }

    fn decode(&self) -> Result<u64, String> {
        let mut decoder = Decoder::new(settings(false).decode, &Limits::default());
        let mut counters = Counters::default();
        self.held.batches(self.batch, |batch| {
            let mut packets: PacketList<'_> = Vec::with_capacity(batch.len());
            for (i, frame) in (0u32..).zip(batch) {
                decoder.decode(frame, i, &mut packets, &mut counters);
            }
            std::hint::black_box(&packets);
        });
        Ok(0)
    }

    fn worker(&self, rules: &Arc<Ruleset>, all_records: bool) -> Result<u64, String> {
        let config = settings(all_records);
        let mut out = Output::new(config.records_max);
        let mut worker = Worker::new(Arc::new(config), Arc::clone(rules)).map_err(|e| e.0)?;
        let mut alerts = 0u64;
        let mut spare = Vec::new();
        let mut take = |out: &mut Output| {
            spare = out.records.take(std::mem::take(&mut spare));
            alerts += engine::record::Record::all(&spare).filter(|r| r.head.event_type() == "alert").count() as u64;
        };
        self.held.batches(self.batch, |batch| {
            worker.process(batch, &mut out);
            take(&mut out);
        });
        worker.finish(&mut out);
        take(&mut out);
        Ok(alerts)
    }
}

/// As the reference runs: nothing verified, alerts alone or every record.
fn settings(all_records: bool) -> Config {
    let mut config = Config::default();
    config.decode.verify_checksums = false;
    if !all_records {
        config.records = record::Settings { alert: Some(AlertSettings::default()), ..record::Settings::default() };
    }
    config
}

pub fn run(args: &Args, allocator: &'static StatsAlloc<System>) -> Result<Table, String> {
    let (held, reading) = timed(|| Held::read(&args.mix));
    let held = held?;
    let before = memory("VmRSS");
    let bench = Bench { held: &held, batch: args.batch, passes: args.passes, allocator };
    let mut table = Table::new("throughput", "one core, CPU time; Gbit/s of the wire's bytes");
    let packets = held.frames.len() as f64;
    let mut last = 0.0;
    let mut put = |table: &mut Table, name: &str, pass: Pass| {
        let ns = pass.cpu.as_nanos() as f64 / packets;
        let mut row = Row::new(name);
        row.put("ns/packet", ns);
        row.put("added ns", (ns - last).max(0.0));
        row.put("kpackets/s", 1e6 / ns);
        row.put("Gbit/s", held.wire_bytes as f64 * 8.0 / packets / ns);
        row.put("CPU s", pass.cpu.as_secs_f64());
        row.put("allocs/packet", pass.allocations as f64 / packets);
        row.put("bytes/packet", pass.bytes_allocated as f64 / packets);
        row.put("alerts", pass.alerts as f64);
        row.put("added MiB", memory("VmHWM") - before);
        table.rows.push(row);
        last = ns;
    };
    put(&mut table, "frames", bench.best(Bench::frames)?);
    put(&mut table, "+ decode", bench.best(Bench::decode)?);
    let none = load(&[], factory(args.pure_rust), None)?.ruleset;
    put(&mut table, "+ flow, stream, app-layer", bench.best(|b| b.worker(&none, false))?);
    if !args.rules.is_empty() {
        let rules = load(&args.rules, factory(args.pure_rust), None)?.ruleset;
        put(&mut table, "+ rules", bench.best(|b| b.worker(&rules, false))?);
        put(&mut table, "+ every record", bench.best(|b| b.worker(&rules, true))?);
        table.environment.insert("rules".into(), rules.len().to_string());
    }
    table.environment.insert("packets".into(), held.frames.len().to_string());
    table.environment.insert("bytes".into(), held.wire_bytes.to_string());
    table.environment.insert("reading, ns/packet".into(), format!("{:.0}", reading.as_nanos() as f64 / packets));
    table.environment.insert("input".into(), args.mix.file_name().unwrap_or_default().to_string_lossy().into_owned());
    Ok(table)
}
