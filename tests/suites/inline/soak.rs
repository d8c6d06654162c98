//! As much as the machine gives, with all that disturbs at once: nothing leaks, nothing stalls, every frame is accounted
//! for.
//!
//! `STOPGAP_SOAK_SECONDS` says for how long; then nothing else may run on the machine, or the worker is found late.

use crate::programs::{bed_with, nginx, run};
use harness::case_frames::{Wrap, fragment, wrap};
use harness::craft::{self, ACK, Conversation, PSH, RST};
use harness::live::{Live, RULES};
use harness::netns::{At, Bed, SERVER};
use harness::raw::Raw;
use serde_json::Value;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A machine that is busy with other tests keeps the worker waiting; frames then wait with it.
const BUSY: [&str; 2] = ["--set", "run.stale-ms=5000"];
/// Tables that fill within seconds, and nothing taken beforehand, so that nothing may grow after that.
const SMALL: [&str; 4] = ["--set", "limits.flows-max=2000", "--set", "run.memory=0"];

/// Unless told otherwise.
const SECONDS: u64 = 15;

/// So many sizes are told at most.
const SIZES_TOLD: usize = 60;

/// KiB that supervisor and data plane have in memory.
fn resident(live: &Live) -> u64 {
    let of = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    live.pids().iter().map(of).sum()
}

fn number(v: &Value, key: &str) -> u64 {
    v[key].as_u64().unwrap_or_else(|| panic!("no {key} in {v}"))
}

/// Every frame is somewhere: the kernel's program forwarded it, dropped it or handed it over, by reason; what it handed
/// over came in or was lost on the way; what came in was forwarded, dropped, thrown away or could not be sent.
fn add_up(lane: &Value) {
    let (mut received, mut elsewhere, mut handed) = (0, 0, 0);
    for port in lane["kernel"].as_object().unwrap().values() {
        received += number(port, "received");
        handed += number(port, "handed");
        let reasons =
            port.as_object().unwrap().iter().filter(|(k, _)| k.ends_with(".forwarded") || k.ends_with(".dropped"));
        elsewhere += reasons.map(|(_, n)| n.as_u64().unwrap()).sum::<u64>();
    }
    let plane = &lane["plane"];
    let of = |key| number(plane, key);
    assert_eq!(received, elsewhere + handed, "the kernel's program: {lane:#}");
    assert_eq!(handed, of("received") + of("lost"), "from it to the workers: {lane:#}");
    assert_eq!(of("received"), of("forwarded") + of("dropped") + of("stale") + of("unsent"), "the workers: {lane:#}");
}

/// The stats once nothing moves any more.
fn settled(live: &Live) -> Value {
    let end = Instant::now() + Duration::from_secs(10);
    let received = |v: &Value| {
        let ports = v["lanes"][0]["kernel"].as_object().unwrap().values().map(|p| number(p, "received")).sum::<u64>();
        (ports, number(&v["lanes"][0]["plane"], "received"))
    };
    let mut last = live.stats();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = live.stats();
        if received(&now) == received(&last) || Instant::now() > end {
            return now;
        }
        last = now;
    }
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// Conversations to take frames from: requests, fragments, tags, tunnels, resets.
fn models() -> Vec<(bool, Vec<u8>)> {
    let mut all = Vec::new();
    for (port, how) in
        [(80, Wrap::None), (80, Wrap::Vlan(7)), (80, Wrap::QinQ(8, 7)), (80, Wrap::Gre), (80, Wrap::Vxlan(9))]
    {
        let mut c = Conversation::open(42_000, port);
        c.send(true, b"GET /exploit HTTP/1.1\r\nHost: a\r\nCookie: b=c\r\n\r\n");
        c.send(false, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n");
        all.extend(c.close().into_iter().map(|f| (f.to_server, wrap(f, how).data)));
    }
    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04evil\x07example\0\0\x01\0\x01";
    let datagram = craft::udp(true, 43_000, 53, 0, question).data;
    all.extend(fragment(&datagram, 16).into_iter().map(|f| (true, f)));
    all.push((true, datagram));
    all.push((true, craft::icmp(true, 8, 0, &[1; 40])));
    let (a, b) = (([10, 77, 0, 1], 44_000), (SERVER.octets(), 80));
    all.push((true, craft::tcp4(a, b, 5, 6, RST, &[], true)));
    all.push((false, craft::tcp4(b, a, 5, 6, PSH | ACK, &[9; 200], false)));
    all
}

/// Sends them in any order from both sides, most with bytes changed, cut short or with a length that is wrong, and other
/// addresses and ports, until told to stop. How many were sent.
fn disturb(bed: &Bed, stop: &AtomicBool) -> u64 {
    let ends = [At::Client, At::Server].map(|at| Raw::open(bed, at));
    let (models, mut dice, mut sent) = (models(), Dice(5), 0);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..16 {
            let (to_server, mut frame) = models[dice.below(models.len())].clone();
            for _ in 0..dice.below(4) {
                // The hardware addresses stay those of nobody.
                let at = 12 + dice.below(frame.len() - 12);
                frame[at] = dice.below(256) as u8;
            }
            if dice.below(8) == 0 {
                frame.truncate(14 + dice.below(frame.len() - 14));
            }
            sent += u64::from(ends[usize::from(!to_server)].send(&frame));
        }
        std::thread::sleep(Duration::from_millis(4));
    }
    sent
}

/// Has those who wait for it stop, also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Connections that end in a reset in the middle of an answer.
fn break_off(bed: &Bed, stop: &AtomicBool) {
    let script = "import socket,struct,sys\nwhile True:\n \
        s=socket.create_connection((sys.argv[1],80),2);s.setsockopt(socket.SOL_SOCKET,socket.SO_LINGER,struct.pack('ii',1,0))\n \
        s.send(b'GET /big HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n');s.recv(2000);s.close()";
    while !stop.load(Ordering::Relaxed) {
        // One that fails to connect begins again.
        let server = SERVER.to_string();
        let _ = bed.run(At::Client, "timeout", &["1", "python3", "-c", script, &server]);
    }
}

/// Reloads, each with another rule, while any of these runs; after each what is resident. What the run has to say is said
/// with its time.
fn reload(live: &Live, load: &mut [Child]) -> Vec<u64> {
    let (since, mut sizes) = (Instant::now(), Vec::new());
    while load.iter_mut().any(|c| c.try_wait().unwrap().is_none()) {
        renew(live, sizes.len() as u64);
        sizes.push(resident(live));
        live.heard().iter().for_each(|line| println!("after {:.0} s: {line}", since.elapsed().as_secs_f64()));
        std::thread::sleep(Duration::from_millis(700));
    }
    sizes
}

fn renew(live: &Live, n: u64) {
    let rule = format!("drop http any any -> any any (http.uri; content:\"/new{n}\"; sid:77;)\n");
    std::fs::write(live.dir.join("x.rules"), format!("{RULES}{rule}")).unwrap();
    let (code, said) = live.ctl(&["reload"]);
    assert_eq!(code, Some(0), "{said}\n{}", live.heard().join("\n"));
}

fn quiet(bed: &Bed, at: At, program: &str, args: &[&str]) -> Child {
    bed.command(at, program).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn soak() {
    let Some(bed) = bed_with("soak", &["nginx", "wrk"]) else { return };
    let told = std::env::var("STOPGAP_SOAK_SECONDS").ok().map(|v| v.parse::<u64>().expect("a number of seconds"));
    let (seconds, busy) = (told.unwrap_or(SECONDS), told.map_or(&BUSY[..], |_| &[]));
    let live = Live::with(&bed, "soak", RULES, &[busy, &SMALL].concat());
    let www = live.dir.join("www");
    std::fs::create_dir_all(&www).unwrap();
    std::fs::write(www.join("small"), "x".repeat(1_000)).unwrap();
    std::fs::write(www.join("big"), "x".repeat(300_000)).unwrap();
    let _nginx = nginx(&bed, &live.dir);
    let (stop, url) = (AtomicBool::new(false), format!("http://{SERVER}/"));
    let length = format!("-d{seconds}s");
    let (sent, sizes) = std::thread::scope(|s| {
        let _ends = Ends(&stop);
        let noise = s.spawn(|| disturb(&bed, &stop));
        s.spawn(|| break_off(&bed, &stop));
        let mut loads = ["small", "big"]
            .map(|what| quiet(&bed, At::Client, "wrk", &["-t1", "-c8", &length, &format!("{url}{what}")]));
        let sizes = reload(&live, &mut loads);
        stop.store(true, Ordering::Relaxed);
        for load in loads {
            let out = load.wait_with_output().unwrap();
            let words = String::from_utf8_lossy(&out.stdout).into_owned();
            assert!(out.status.success() && !words.contains("Non-2xx") && !words.contains(" 0 requests"), "{words}");
        }
        (noise.join().unwrap(), sizes)
    });
    let stats = settled(&live);
    let lane = &stats["lanes"][0];
    println!("{sent} frames of noise; {}; resident KiB after {} reloads, some of them:", lane["kernel"], sizes.len());
    println!("{:?}", sizes.iter().step_by(sizes.len().div_ceil(SIZES_TOLD).max(1)).collect::<Vec<_>>());
    assert!(sent > 100 * seconds && sizes.len() > 2, "{sent} frames, {} reloads", sizes.len());
    assert_eq!(lane["state"], "inspecting");
    add_up(lane);
    // Tables fill for a while; then nothing grows.
    let (half, last) = (&sizes[sizes.len() / 2], &sizes[sizes.len() - 1]);
    assert!(*last <= half + half / 10, "{half} KiB became {last}");
    assert_eq!((number(lane, "restarts"), number(&lane["plane"], "stalls")), (0, 0), "{lane:#}");
    run(&bed, At::Client, "curl", &["-sSf", "-o", "/dev/null", &format!("{url}small")]);
}
