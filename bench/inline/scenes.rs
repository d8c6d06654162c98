//! What is done over a program that stands between the two ends, and what of it is measured.

use super::frames::Frames;
use super::stand::{BYPASS_PORT, Program, Standing};
use super::wire::{Sent, Wire, busy, used};
use super::{Args, Values, talk};
use harness::netns::{At, Bed, SERVER};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Cx<'a> {
    pub args: &'a Args,
    pub bed: &'a Bed,
    pub standing: &'a Standing,
    pub frames: Option<&'a mut Frames>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
    Neither,
}

pub struct Key {
    pub name: &'static str,
    pub better: Better,
}

const fn more(name: &'static str) -> Key {
    Key { name, better: Better::More }
}

const fn less(name: &'static str) -> Key {
    Key { name, better: Better::Less }
}

const fn shown(name: &'static str) -> Key {
    Key { name, better: Better::Neither }
}

pub type Found = Result<Vec<(&'static str, f64)>, String>;

pub struct Scene {
    pub name: &'static str,
    pub keys: &'static [Key],
    pub play: fn(&mut Cx<'_>) -> Found,
}

pub const SCENES: [Scene; 9] = [
    Scene { name: "bulk TCP", keys: &[more(MBIT), more(PER_CPU_MB), more(PER_OWN_MB)], play: bulk },
    Scene { name: "bulk TCP bypassed", keys: &[more(MBIT), more(PER_CPU_MB), more(PER_OWN_MB)], play: bulk_bypassed },
    Scene {
        name: "mix",
        keys: &[
            more(PER_CPU),
            more(PER_TASKS),
            more(PER_OWN),
            shown(BUSY),
            shown(SHARE),
            more(LOSSLESS),
            more(SATURATED),
        ],
        play: mix,
    },
    Scene {
        name: "latency beside the mix",
        keys: &[shown(talk::P50), shown(talk::P99), less(ADDED_P50), less(ADDED_P99), shown(talk::LOST)],
        play: talk::latency,
    },
    Scene {
        name: "connections of 1 KB",
        keys: &[more(talk::REQUESTS), shown(talk::ANSWERED)],
        play: talk::connections,
    },
    Scene { name: "HTTP 1 KB", keys: &[more(talk::REQUESTS)], play: |cx| talk::http(cx, "1k") },
    Scene { name: "HTTP 16 KB", keys: &[more(talk::REQUESTS)], play: |cx| talk::http(cx, "16k") },
    Scene { name: "HTTP 64 KB", keys: &[more(talk::REQUESTS)], play: |cx| talk::http(cx, "64k") },
    Scene {
        name: "HTTP in a SYN flood",
        keys: &[more(talk::REQUESTS), more(talk::ANSWERED), shown(talk::FLOOD)],
        play: talk::flood,
    },
];

const MBIT: &str = "Mbit/s";
/// Megabytes for each second of processor time: the machine's beyond the bridge's, and the program's own.
const PER_CPU_MB: &str = "MB/CPU s";
const PER_OWN_MB: &str = "MB/own CPU s";
/// The same in frames.
const PER_CPU: &str = "frames/CPU s";
const PER_OWN: &str = "frames/own CPU s";
/// The same by the time of the sender and the program alone, which other work on the machine does not add to.
const PER_TASKS: &str = "frames/task CPU s";
/// Beyond the bridge's in the same round.
const ADDED_P50: &str = "added p50 us";
const ADDED_P99: &str = "added p99 us";
/// The machine's busy time, in processors.
const BUSY: &str = "busy CPUs";
const LOSSLESS: &str = "lossless/s";
const SATURATED: &str = "saturated/s";
/// Of what was sent slowly; the rest was dropped by decision.
const SHARE: &str = "arrived %";
/// Not shown: busy seconds of the machine for each frame or megabyte.
const COST: &str = "cost";
const TASK_COST: &str = "task cost";

/// What is counted beyond the bridge: shown as, taken from, and as how many a second of it.
const BEYOND: [(&str, &str, bool); 5] = [
    (PER_CPU, COST, true),
    (PER_TASKS, TASK_COST, true),
    (PER_CPU_MB, COST, true),
    (ADDED_P50, talk::P50, false),
    (ADDED_P99, talk::P99, false),
];

impl Scene {
    /// What a program cost or took beyond the bridge in the same round.
    pub fn less_the_bridge(&self, n: usize, values: &mut Values) {
        for (key, of, rate) in BEYOND {
            let Some(took) = values.get(&(n, of)).filter(|_| self.keys.iter().any(|k| k.name == key)).cloned() else {
                continue;
            };
            let Some(bridge) = took.get(&Program::Bridge) else { continue };
            for program in [Program::Suricata, Program::Stopgap] {
                let Some(took) = took.get(&program) else { continue };
                let beyond = took.iter().zip(bridge).map(|(t, base)| t - base);
                // A bridge that was the busier one says nothing.
                let each = beyond.map(|b| match (rate, b > 0.0) {
                    (true, true) => 1.0 / b,
                    (true, false) => f64::NAN,
                    (false, _) => b,
                });
                values.entry((n, key)).or_default().insert(program, each.collect());
            }
        }
    }
}

fn bulk(cx: &mut Cx<'_>) -> Found {
    iperf(cx, 5201)
}

fn bulk_bypassed(cx: &mut Cx<'_>) -> Found {
    iperf(cx, BYPASS_PORT)
}

/// A child that is ended when dropped.
pub struct Ending(pub Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a tool is there.
pub fn tool(name: &str) -> Result<(), String> {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.map(drop).map_err(|_| format!("no {name} here"))
}

fn iperf(cx: &mut Cx<'_>, port: u16) -> Found {
    tool("iperf3")?;
    let (port, seconds, server) = (port.to_string(), cx.args.seconds.to_string(), SERVER.to_string());
    let _server = Ending(cx.bed.spawn(At::Server, "iperf3", &["-s", "-1", "-p", &port]));
    std::thread::sleep(Duration::from_millis(300));
    let clocks = Clocks::start(cx);
    let out = cx.bed.run(At::Client, "timeout", &["30", "iperf3", "-c", &server, "-p", &port, "-t", &seconds, "-J"]);
    let (busy, own) = clocks.stop(cx);
    let v: serde_json::Value = serde_json::from_slice(&out.stdout).map_err(|e| format!("iperf3: {e}"))?;
    let sum = &v["end"]["sum_received"];
    let (Some(rate), Some(bytes)) = (sum["bits_per_second"].as_f64(), sum["bytes"].as_f64()) else {
        return Err(format!("iperf3: {}", v["error"]));
    };
    let megabytes = bytes / 1e6;
    let mut found = vec![(MBIT, rate / 1e6), (COST, busy / megabytes)];
    if own > 0.0 {
        found.push((PER_OWN_MB, megabytes / own));
    }
    Ok(found)
}

/// Processor time of the machine and of the program while something goes on.
struct Clocks {
    busy: f64,
    own: f64,
}

impl Clocks {
    fn start(cx: &Cx<'_>) -> Clocks {
        Clocks { busy: busy(), own: cx.standing.used() }
    }

    fn stop(&self, cx: &Cx<'_>) -> (f64, f64) {
        (busy() - self.busy, cx.standing.used() - self.own)
    }
}

/// The highest rate without loss is looked for in steps of so many times, and then so often halfway between the last two.
const STEP: f64 = 1.25;
const HALVINGS: u32 = 2;
/// Of what arrives when sent slowly, so much may be missing for a rate to count as lossless.
const LOSS_MAX: f64 = 0.001;
/// A rate that loses is tried again so often: the machine has hiccups that are nobody's.
const TRIES: usize = 3;

/// The mix at a rate that everybody carries, for the processor time; then faster and faster; then as fast as it goes.
fn mix(cx: &mut Cx<'_>) -> Found {
    let (rate, standing) = (cx.args.rate, cx.standing);
    let wire = Wire::new(cx.bed)?;
    let Some(frames) = cx.frames.as_deref_mut() else { return Err("no --mix".into()) };
    let (clocks, sender) = (Clocks { busy: busy(), own: standing.used() }, used(std::process::id()));
    let mut pass = |rate: Option<f64>| -> Result<Sent, String> {
        frames.renew();
        wire.send(frames, rate)
    };
    let slow = pass(Some(rate))?;
    let (busy, own) = (busy() - clocks.busy, standing.used() - clocks.own);
    // The program is a child of ours.
    let tasks = used(std::process::id()) - sender;
    let n = slow.frames as f64;
    let mut found =
        vec![(COST, busy / n), (TASK_COST, tasks / n), (BUSY, busy / slow.seconds), (SHARE, 100.0 * slow.share())];
    if own > 0.0 {
        found.push((PER_OWN, n / own));
    }
    let mut carried = |rate: f64| -> Result<Option<f64>, String> {
        for _ in 0..TRIES {
            let sent = pass(Some(rate))?;
            if sent.share() >= slow.share() * (1.0 - LOSS_MAX) {
                return Ok(Some(sent.rate()));
            }
        }
        Ok(None)
    };
    let (mut lossless, mut next) = (slow.rate(), rate);
    while lossless > next * 0.9 {
        next *= STEP;
        let Some(went) = carried(next)? else { break };
        // Less than was asked for: the sender is what cannot.
        lossless = lossless.max(went);
    }
    for _ in 0..HALVINGS {
        let between = (lossless * next).sqrt();
        match carried(between)? {
            Some(went) => lossless = lossless.max(went),
            None => next = between,
        }
    }
    found.push((LOSSLESS, lossless));
    found.push((SATURATED, pass(None)?.arrival_rate()));
    Ok(found)
}
