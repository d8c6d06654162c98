//! `stopgap-bench inline`: stopgap, Suricata on AF_PACKET and a plain bridge of the kernel's, each in turn between a client
//! and a server in network namespaces, doing the same work round after round.
//!
//! Client, server and what stands between them share the machine's processors: where they are few, a rate says what the
//! whole took, and only ratios within the run mean something. A program's processor time is the whole machine's busy time
//! less that of the same work over the bridge, so that neither ends nor senders count, and the kernel's part does.

mod frames;
mod scenes;
mod stand;
mod talk;
mod wire;

use crate::report::{Row, Table};
use frames::Frames;
use harness::netns::Bed;
use scenes::{Better, SCENES, Scene};
use stand::{Kit, Program};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// The capture that frames are taken from: the reference mix, or what `mix` makes.
    #[arg(long, value_name = "FILE")]
    mix: Option<PathBuf>,
    /// Rule files that both programs load.
    #[arg(short = 'S', num_args = 1.., value_name = "FILE", required = true)]
    rules: Vec<PathBuf>,
    /// The program; the one beside this one unless told.
    #[arg(long, value_name = "FILE")]
    stopgap: Option<PathBuf>,
    #[arg(long, value_name = "FILE", default_value = "suricata")]
    suricata: PathBuf,
    /// `--set` of each.
    #[arg(long, value_name = "KEY=VALUE")]
    stopgap_set: Vec<String>,
    #[arg(long, value_name = "KEY=VALUE")]
    suricata_set: Vec<String>,
    /// Rounds, in each of which every program stands once.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each timed scene.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Frames of the mix.
    #[arg(long, default_value_t = 200_000)]
    frames: usize,
    /// Frames a second where processor time and latency are measured: what every program carries without loss.
    #[arg(long, default_value_t = 40_000.0)]
    rate: f64,
    /// Queues of every port, which the sender's processor chooses among; stopgap runs a worker for each.
    #[arg(long, default_value_t = 1)]
    queues: u32,
    /// Scenes to play; all unless told.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Programs to measure; all unless told.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    programs: Vec<String>,
}

/// By scene, key and program: the value of each round.
type Values = BTreeMap<(usize, &'static str), BTreeMap<Program, Vec<f64>>>;

pub fn run(args: &Args) -> Result<Table, String> {
    let work = std::env::temp_dir().join(format!("stopgap-bench-inline-{}", std::process::id()));
    let result = measure(args, &work);
    let _ = std::fs::remove_dir_all(&work);
    result
}

fn measure(args: &Args, work: &Path) -> Result<Table, String> {
    let kit = Kit::new(args, work)?;
    let mut table = Table::new("inline", "median of the rounds; ratios above 1 are in favour of stopgap");
    let scenes: Vec<(usize, &Scene)> = SCENES.iter().enumerate().filter(|(_, s)| chosen(&args.only, s.name)).collect();
    let mut frames = match &args.mix {
        Some(path) => Some(Frames::read(path, args.frames)?),
        None => None,
    };
    let mut programs = vec![Program::Bridge, Program::Suricata, Program::Stopgap];
    programs.retain(|p| chosen(&args.programs, p.name()));
    let mut say = |k: &str, v: String| table.environment.insert(k.into(), v);
    if programs.contains(&Program::Suricata) {
        match kit.suricata() {
            Ok(version) => drop(say("suricata", version)),
            Err(e) => {
                programs.retain(|p| *p != Program::Suricata);
                say("suricata", format!("skipped: {e}"));
            }
        }
    }
    say("rounds", args.rounds.to_string());
    say("queues", args.queues.to_string());
    say("shared", "client, server and what stands between them share the cores".into());
    if let Some(f) = &frames {
        let [short, other, long] = f.left_out;
        say("frames", format!("{}; left out: {short} truncated, {other} without IP, {long} too long", f.places.len()));
    }
    let mut values = Values::new();
    let mut skipped: BTreeMap<&str, String> = BTreeMap::new();
    for round in 0..args.rounds.max(1) {
        for program in &programs {
            eprintln!("round {} of {}: {}", round + 1, args.rounds.max(1), program.name());
            let bed = Bed::of_queues(args.queues).ok_or("network namespaces are refused here")?;
            let standing = kit.stand(*program, &bed)?;
            let mut cx = scenes::Cx { args, bed: &bed, standing: &standing, frames: frames.as_mut() };
            for (n, scene) in &scenes {
                match (scene.play)(&mut cx) {
                    Ok(found) => {
                        for (key, value) in found {
                            values.entry((*n, key)).or_default().entry(*program).or_default().push(value);
                        }
                    }
                    Err(e) => drop(skipped.insert(scene.name, e)),
                }
            }
        }
    }
    for (scene, why) in skipped {
        table.environment.insert(format!("skipped {scene}"), why);
    }
    for (n, scene) in scenes {
        rows(n, scene, &programs, &mut values, &mut table);
    }
    Ok(table)
}

fn chosen(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|l| l == name)
}

/// A scene's rows: each program, then the ratios.
fn rows(n: usize, scene: &Scene, programs: &[Program], values: &mut Values, table: &mut Table) {
    scene.less_the_bridge(n, values);
    let of = |key: &'static str, program: Program| values.get(&(n, key)).and_then(|v| v.get(&program));
    for program in programs {
        let mut row = Row::new(format!("{}: {}", scene.name, program.name()));
        for key in scene.keys {
            if let Some(v) = of(key.name, *program).and_then(|v| median(v.clone())) {
                row.put(key.name, v);
            }
        }
        if !row.values.is_empty() {
            table.rows.push(row);
        }
    }
    for other in [Program::Suricata, Program::Bridge] {
        let mut row = Row::new(format!("{}: ratio to {}", scene.name, other.name()));
        for key in scene.keys {
            let (Some(ours), Some(theirs)) = (of(key.name, Program::Stopgap), of(key.name, other)) else { continue };
            if key.better == Better::Neither {
                continue;
            }
            let ratio = |(a, b): (&f64, &f64)| if key.better == Better::Less { b / a } else { a / b };
            if let Some(v) = median(ours.iter().zip(theirs).map(ratio).collect()) {
                row.put(key.name, v);
            }
        }
        if !row.values.is_empty() {
            table.rows.push(row);
        }
    }
}

/// Of what was measured; `None` where nothing was.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|v| v.is_finite());
    values.sort_by(f64::total_cmp);
    let (n, half) = (values.len(), values.len() / 2);
    let upper = *values.get(half)?;
    Some(if n % 2 == 1 { upper } else { (upper + values[half - 1]) / 2.0 })
}
