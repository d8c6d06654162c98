//! Benchmarks: every promised number and the command that measures it (SPEC.md), results recorded in `results/`.
//!
//! Owns: making a mix of captures, timing the engine's stages on it, loading, allocations, memory, the matchers alone,
//! and a run side by side with a `suricata` found on PATH. Times are CPU times of the process, so that a busy machine
//! disturbs them less; take ratios within one run, never figures of two machines.

mod clock;
mod compare;
mod inline;
mod literals;
mod load;
mod mix;
mod report;
mod throughput;

use clap::{Parser, Subcommand};
use report::Table;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Parser)]
#[command(about = "Measures stopgap; SPEC.md says which number comes from where.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Also write the result as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long, global = true)]
    machine: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Interleave the captures under STOPGAP_DATA into one file.
    Mix(mix::Args),
    /// Packets/s, Gbit/s per core, ns per packet by stage, allocations per packet, resident memory.
    Throughput(throughput::Args),
    /// CPU time of loading rules, without and with the cache of compiled databases.
    Load(load::Args),
    /// Every multi-pattern engine on literals of real rules.
    Matchers,
    /// The same capture and rules through stopgap and Suricata: CPU time net of start-up, and their alerts.
    Compare(compare::Args),
    /// Live between two ports beside Suricata on AF_PACKET and a bridge: rates, processor time, latency.
    Inline(inline::Args),
}

/// The folder of shared data, or why there is none.
fn data() -> Result<PathBuf, String> {
    std::env::var_os("STOPGAP_DATA").map(PathBuf::from).ok_or_else(|| "STOPGAP_DATA names no folder of data".into())
}

fn run(command: &Command) -> Result<Table, String> {
    match command {
        Command::Mix(args) => mix::run(args, &data()?),
        Command::Throughput(args) => throughput::run(args, ALLOCATOR),
        Command::Load(args) => load::run(args),
        Command::Matchers => literals::run(&data()?),
        Command::Compare(args) => compare::run(args),
        Command::Inline(args) => inline::run(args),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut table = match run(&cli.command) {
        Ok(table) => table,
        Err(e) => {
            eprintln!("error: {e}");
            return ExitCode::from(2);
        }
    };
    table.environment.extend(clock::environment());
    let json = serde_json::to_string_pretty(&table).unwrap_or_default();
    if cli.machine {
        println!("{json}")
    } else {
        table.print()
    }
    match cli.json.map(|path| (std::fs::write(&path, json + "\n"), path)) {
        Some((Err(e), path)) => {
            eprintln!("error: {}: {e}", path.display());
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
