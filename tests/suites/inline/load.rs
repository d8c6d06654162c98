//! Under load nothing is lost: not by reloads in a row, which leave no memory behind either, and not by a worker that is
//! kept from its work; and no more than the wire's own pause where the program dies, is stopped or spins.
//!
//! `STOPGAP_RELOADS` and `STOPGAP_PINGS` say how many; the rules of third parties are among them where `STOPGAP_DATA` is
//! set.

use crate::programs::{Server, bed_with, run};
use harness::kept::{ATTACKS, KEPT, Keeper, keeping, resynced, stopped};
use harness::live::{Live, PATIENT, RULES, Web, get, pings, refused};
use harness::netns::{At, Bed, ENDS, SERVER};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Unless told otherwise.
const RELOADS: usize = 10;
/// Of the measured maximum.
const LOAD: f64 = 0.3;
/// From this one on memory is flat.
const WARM: usize = 3;
const GROWTH_MAX: f64 = 1.05;
/// Pings 10 ms apart while something happens, unless told otherwise.
const PINGS: u32 = 300;
/// Of the measured maximum, where the program dies under it.
const HIGH_LOAD: f64 = 0.8;
/// Pings that a dying program, and one that no longer works but is there, may cost.
const DEAD_MAX: u32 = 10;
const STUCK_MAX: u32 = 12;
/// An answer to a ping may be on its way when the pings end.
const ON_THE_WAY: usize = 3;
/// The engine gets every packet.
const ALL: [&str; 2] = ["--set", "run.offload=false"];
/// And what a machine that is busy with other tests keeps waiting is not too old to be sent.
const WAITING: [&str; 4] = [ALL[0], ALL[1], "--set", "run.stale-ms=8000"];

/// A rule that is another one each time.
fn changed(n: usize) -> String {
    format!("drop http any any -> any any (msg:\"changed\"; http.uri; content:\"/changed{n}\"; sid:9000001;)\n")
}

/// Rules of third parties, as they are.
fn third_parties() -> String {
    let Some(folder) = harness::data().map(|d| d.join("rules/etopen-2024-04")) else { return String::new() };
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let files: BTreeSet<_> = files.filter(|p| p.extension().is_some_and(|e| e == "rules")).collect();
    files.iter().map(|p| String::from_utf8_lossy(&std::fs::read(p).unwrap()).into_owned() + "\n").collect()
}

/// Resident memory of the data plane in KiB.
fn resident(live: &Live) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", live.pids()[1])).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Packets that the ends have counted: sent by the client, received by the server, and the other way.
fn counted(bed: &Bed) -> [u64; 4] {
    let of = |at: At, end: &str, key: &str| -> u64 {
        let out = run(bed, at, "ip", &["-s", "-j", "link", "show", "dev", end]);
        let said: serde_json::Value = serde_json::from_str(&out).unwrap();
        said[0]["stats64"][key]["packets"].as_u64().unwrap()
    };
    let [client, server] = ENDS;
    [(At::Client, client, "tx"), (At::Server, server, "rx"), (At::Server, server, "tx"), (At::Client, client, "rx")]
        .map(|(at, end, key)| of(at, end, key))
}

/// The same since then, once nothing is on its way: what one end sent the other has received, or never will.
fn carried(bed: &Bed, before: [u64; 4]) -> [u64; 4] {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let now = counted(bed);
        let since: [u64; 4] = std::array::from_fn(|i| now[i] - before[i]);
        if (since[0] == since[1] && since[2] == since[3]) || Instant::now() > end {
            return since;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs until it is interrupted, its output in a file.
fn background(bed: &Bed, to: &Path, program: &str, args: &[&str]) -> Child {
    let out = std::fs::File::create(to).unwrap();
    let mut c = bed.command(At::Client, program);
    c.args(args).stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
    c.spawn().unwrap()
}

fn interrupt(mut child: Child) {
    let _ = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    let _ = child.wait();
}

/// Bits a second that TCP gets through.
fn maximum(bed: &Bed) -> f64 {
    let measure = || -> Result<f64, String> {
        let said = run(bed, At::Client, "iperf3", &["-J", "-t", "2", "-c", &SERVER.to_string()]);
        let value: serde_json::Value = serde_json::from_str(&said).unwrap();
        value["end"]["sum_received"]["bits_per_second"].as_f64().ok_or(said)
    };
    // Its server resets a client that comes before it is done with another.
    let again = |_| {
        std::thread::sleep(Duration::from_secs(1));
        measure()
    };
    measure().or_else(again).or_else(again).unwrap_or_else(|said| panic!("iperf3 said {said}"))
}

/// Datagrams at so many bits a second until it is interrupted.
fn flood(bed: &Bed, to: &Path, rate: f64) -> Child {
    let (rate, server) = (format!("{rate:.0}"), SERVER.to_string());
    background(bed, to, "iperf3", &["-u", "-b", &rate, "-l", "1400", "-t", "86400", "-c", &server])
}

/// How many pings there were, and which of them were not answered, the very last apart.
fn unanswered(said: &Path) -> (usize, Vec<usize>) {
    let said = std::fs::read_to_string(said).unwrap();
    let seen: BTreeSet<usize> =
        said.lines().filter_map(|l| l.split_once("icmp_seq=")?.1.split(' ').next()?.parse().ok()).collect();
    let sent = said.split(" packets transmitted").next().and_then(|t| t.rsplit(['\n', ' ']).next()).unwrap();
    let sent: usize = sent.parse().unwrap_or_else(|_| panic!("ping said {said}"));
    (sent, (1..=sent.saturating_sub(ON_THE_WAY)).filter(|n| !seen.contains(n)).collect())
}

#[test]
fn reloads_in_a_row_lose_nothing_and_leave_nothing() {
    let needed = ["iperf3", "ping"];
    let Some(bed) = bed_with("reloads_in_a_row_lose_nothing_and_leave_nothing", &needed) else { return };
    let few = if std::env::var_os("STOPGAP_QUICK").is_some() { WARM } else { RELOADS };
    let told = std::env::var("STOPGAP_RELOADS").ok().and_then(|n| n.parse().ok());
    // Who says how many has the machine to themselves.
    let (reloads, settings) = told.map_or((few, &WAITING[..]), |n| (n, &ALL[..]));
    let rules = format!("{}{RULES}", third_parties());
    let live = Live::with(&bed, "reloads", &format!("{rules}{}", changed(0)), settings);
    let file = live.dir.join("x.rules");
    let _server = Server::start(&bed, &live.dir, 5201, "iperf3", &["-s"]);
    let load = maximum(&bed) * LOAD;
    std::thread::sleep(Duration::from_millis(300));
    let before = counted(&bed);
    let (pings, loads) = (live.dir.join("pings"), live.dir.join("loads"));
    let server = SERVER.to_string();
    let ping = background(&bed, &pings, "ping", &["-i", "0.01", &server]);
    let flood = flood(&bed, &loads, load);
    let mut memory = Vec::new();
    let mut slowest = Duration::ZERO;
    for n in 1..=reloads {
        let mut f = std::fs::File::create(&file).unwrap();
        f.write_all(rules.as_bytes()).unwrap();
        f.write_all(changed(n).as_bytes()).unwrap();
        let began = Instant::now();
        let (code, said) = live.ctl(&["reload"]);
        assert_eq!(code, Some(0), "{said}");
        slowest = slowest.max(began.elapsed());
        // What the rules before held is given back.
        std::thread::sleep(Duration::from_millis(200));
        memory.push(resident(&live));
    }
    interrupt(flood);
    std::thread::sleep(Duration::from_millis(300));
    interrupt(ping);
    let [sent, received, answers, got] = carried(&bed, before);
    let (_, stats) = live.ctl(&["stats"]);
    let (n, lost) = unanswered(&pings);
    println!(
        "{reloads} reloads of {} rules, the slowest {:.2} s, at {:.0} Mbit/s: {n} pings, {} lost; {sent} packets sent, {received} \
         received, {answers} back, {got} received; resident KiB {memory:?}",
        rules.lines().filter(|l| l.contains("sid:") && !l.starts_with('#')).count() + 1,
        slowest.as_secs_f64(),
        load / 1e6,
        lost.len(),
    );
    assert!(lost.is_empty() && (sent, answers) == (received, got), "{lost:?}, {stats}");
    assert!(sent > 1_000, "{stats}");
    // A reading says where the allocator is between two rulesets; what is left behind shows in many.
    let (early, late) = memory.get(WARM - 1..).map_or((&[][..], &[][..]), |m| m.split_at(m.len() / 2));
    let mean = |of: &[u64]| of.iter().sum::<u64>() as f64 / of.len().max(1) as f64;
    assert!(early.is_empty() || mean(late) <= mean(early) * GROWTH_MAX, "resident memory grows: {memory:?}");
}

#[test]
fn a_worker_kept_from_its_work_loses_nothing() {
    let Some(bed) = bed_with("a_worker_kept_from_its_work_loses_nothing", &["iperf3"]) else { return };
    // Nor does the supervisor mind.
    let live = Live::start(&bed, "kept", &[&WAITING[..], &["--set", "run.stall-seconds=60"]].concat());
    let _server = Server::start(&bed, &live.dir, 5201, "iperf3", &["-s"]);
    std::thread::sleep(Duration::from_millis(300));
    let before = counted(&bed);
    let flood = flood(&bed, &live.dir.join("loads"), 200e6);
    let plane = live.pids()[1];
    // More than the ring holds comes each time.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(400));
        live.signal("-STOP", &[plane]);
        std::thread::sleep(Duration::from_millis(700));
        live.signal("-CONT", &[plane]);
    }
    std::thread::sleep(Duration::from_millis(400));
    interrupt(flood);
    let [sent, received, answers, got] = carried(&bed, before);
    let lane = live.settled(|l| l["plane"]["received"] == l["plane"]["forwarded"]);
    let (kernel, plane) = (&lane["kernel"]["port0"], &lane["plane"]);
    assert_eq!((sent, answers), (received, got), "{kernel} {plane}");
    let of = |key: &str| plane[key].as_u64().unwrap();
    assert_eq!((of("lost"), of("stale"), of("unsent"), of("received")), (0, 0, 0, of("forwarded")), "{plane}");
    assert!(kernel["full.forwarded"].as_u64().unwrap() > 1_000, "{kernel}");
}

#[test]
fn inspection_that_load_leaves_out_comes_back() {
    let Some(bed) = bed_with("inspection_that_load_leaves_out_comes_back", &["iperf3", "curl"]) else { return };
    let live = Live::start(
        &bed,
        "shed",
        &[&WAITING[..], &["--set", "run.stall-seconds=60", "--set", "run.ring=32768"]].concat(),
    );
    let _web = Web::start(&bed, &live.dir);
    let _server = Server::start(&bed, &live.dir, 5201, "iperf3", &["-s"]);
    std::thread::sleep(Duration::from_millis(300));
    let flood = flood(&bed, &live.dir.join("loads"), 120e6);
    let plane = live.pids()[1];
    std::thread::sleep(Duration::from_millis(400));
    // What comes meanwhile waits: more than half of what may, which takes longer to have behind it than a burst.
    live.signal("-STOP", &[plane]);
    std::thread::sleep(Duration::from_millis(1_500));
    live.signal("-CONT", &[plane]);
    let lane = live.settled(|l| l["plane"]["shedding"] != "nothing");
    assert_ne!(lane["plane"]["shedding"], "nothing", "{lane}");
    // Beginnings are inspected all the same, and benign ones live.
    assert!(refused(&bed, "exploit", &[]), "{}", live.stats());
    assert_eq!(get(&bed, "big", &[]).map(|b| b.len()), Some(300_000));
    let end = Instant::now() + Duration::from_secs(20);
    let lane = loop {
        let lane = live.settled(|l| l["plane"]["shedding"] == "nothing");
        if lane["plane"]["shedding"] == "nothing" || Instant::now() > end {
            break lane;
        }
    };
    interrupt(flood);
    let plane = &lane["plane"];
    assert_eq!(plane["shedding"], "nothing", "{lane}");
    assert!(plane["sheds"].as_u64() > Some(0) && plane["engine"]["shed.bulk"].as_u64() > Some(0), "{lane}");
}

/// TCP at so many bits a second until it is interrupted.
fn stream(bed: &Bed, to: &Path, rate: f64) -> Child {
    let (rate, server) = (format!("{rate:.0}"), SERVER.to_string());
    background(bed, to, "iperf3", &["-b", &rate, "-t", "86400", "-c", &server])
}

#[test]
fn at_high_load_too_the_wire_survives_whatever_happens() {
    let test = "at_high_load_too_the_wire_survives_whatever_happens";
    let Some(program) = harness::faulty() else {
        return harness::skip(test, "STOPGAP_FAULTY_BIN names no program built with `--features faults`");
    };
    let Some(bed) = bed_with(test, &["iperf3", "ping"]) else { return };
    let n = std::env::var("STOPGAP_PINGS").map_or(PINGS, |v| v.parse().expect("a number of pings"));
    let settings = ["--set", "run.offload=false", "--set", "run.stall-seconds=60"];
    let start = |name: &str, more: &[&str]| Live::of(&program, &bed, name, &[&settings, more].concat());
    let first = start("unhurt", &[]);
    let _server = Server::start(&bed, bed.dir(), 5201, "iperf3", &["-s"]);
    let _web = keeping(&bed, bed.dir());
    let load = maximum(&bed) * HIGH_LOAD;
    std::thread::sleep(Duration::from_millis(300));
    let loads = stream(&bed, &bed.dir().join("loads"), load);
    drop(first);
    for (what, most) in [("killed", DEAD_MAX), ("stopped", STUCK_MAX), ("spinning", STUCK_MAX)] {
        let live = start(what, &[]);
        let mut keeper = Keeper::start(&bed);
        let answered = pings(&bed, n, || match what {
            "killed" => live.signal("-KILL", &live.pids()),
            "stopped" => live.signal("-STOP", &live.pids()),
            _ => assert_eq!(live.ctl(&["fault", "spin"]).0, Some(0)),
        });
        println!("{what} at {:.0} Mbit/s: {} of {n} pings lost", load / 1e6, n - answered);
        assert!(n - answered <= most, "{what}: {answered} of {n}");
        assert_eq!(keeper.ask(), KEPT, "{what}: the kernel goes on");
        drop(live);
        let again = start(&format!("after-{what}"), PATIENT);
        assert_eq!(keeper.ask(), KEPT, "{what}: started anew");
        assert!(resynced(&again) >= KEPT as u64, "{what}");
        assert_eq!(keeper.attack(), 0, "{what}");
        // And what clients before this one, long gone, still have their hosts send.
        assert!(stopped(&again) >= ATTACKS, "{what}");
    }
    interrupt(loads);
}
