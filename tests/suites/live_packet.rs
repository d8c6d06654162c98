//! The program on a wire by packet sockets, behind its program in the kernel and without one.
//!
//! Wants root, for the namespaces; says that it skipped where it has not.

use harness::live::{Live, PATIENT, Web, get, pings, refused, stops_exploits};
use harness::netns::{At, Bed, PORTS};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::time::Duration;

/// One with every offload on: checksums are left to be filled in, TCP comes in frames of up to 64 KiB.
fn bed(test: &str) -> Option<Bed> {
    let bed = Bed::as_made();
    if bed.is_none() {
        harness::skip(test, "network namespaces are refused here");
    }
    bed
}

const HOW: [&str; 2] = ["--capture", "af-packet"];

/// A benign body arrives as it was sent, exploits do not.
fn inspects(bed: &Bed, live: &Live) {
    let web = Web::start(bed, &live.dir);
    let big = std::fs::read(live.dir.join("www/big")).unwrap();
    assert!(get(bed, "big", &[]).is_some_and(|got| got == big), "a benign body is not what was sent");
    assert!(refused(bed, "exploit", &[]));
    assert!(refused(bed, "big", &["-H", "X-Evil: 1"]));
    let asked = web.asked();
    assert!(!asked.contains("/exploit") && asked.matches("GET /big").count() == 1, "{asked}");
}

fn stats(live: &Live) -> Value {
    live.stats()["lanes"][0].clone()
}

#[test]
fn benign_requests_are_answered_and_exploits_never_arrive() {
    let Some(bed) = bed("benign_requests_are_answered_and_exploits_never_arrive") else { return };
    let mut live = Live::start(&bed, "packet", &[&HOW, PATIENT].concat());
    inspects(&bed, &live);
    assert_eq!(pings(&bed, 50, || {}), 50);
    assert!(live.said.last().unwrap().contains("AF_PACKET behind generic XDP"), "{:?}", live.said);
    let came = |s: &Value| {
        let handed = PORTS.map(|p| s["kernel"][p]["handed"].as_u64().unwrap()).iter().sum::<u64>();
        s["plane"]["received"].as_u64().unwrap() + s["plane"]["lost"].as_u64().unwrap() == handed
    };
    let s = live.settled(came);
    let (kernel, plane) = (&s["kernel"], &s["plane"]);
    let handed = ["port0", "port1"].map(|p| kernel[p]["handed"].as_u64().unwrap()).iter().sum::<u64>();
    // What leaves comes not back, and what is handed over comes once.
    assert_eq!(plane["received"].as_u64().unwrap() + plane["lost"].as_u64().unwrap(), handed, "{s}");
    assert_eq!(plane["unsent"], 0, "{s}");
    live.signal("-TERM", &[live.child.id()]);
    live.until("the kernel's program stays");
    assert!(live.child.wait().unwrap().success());
    assert_eq!(pings(&bed, 20, || {}), 20);
}

#[test]
fn killed_or_stopped_it_is_gone_around() {
    let Some(bed) = bed("killed_or_stopped_it_is_gone_around") else { return };
    let live = Live::start(&bed, "packet-stopped", &HOW);
    let answered = pings(&bed, 300, || {
        live.signal("-STOP", &live.pids());
        std::thread::sleep(Duration::from_millis(700));
        live.signal("-CONT", &live.pids());
    });
    assert!(answered >= 288, "{answered} of 300");
    let s = stats(&live);
    assert!(s["kernel"]["port0"]["stale.forwarded"].as_u64().unwrap() > 10, "{s}");
    let web = Web::start(&bed, &live.dir);
    assert!(stops_exploits(&bed));
    drop(web);
    let answered = pings(&bed, 300, || live.signal("-KILL", &live.pids()));
    assert!(answered >= 288, "{answered} of 300");
    let again = Live::start(&bed, "packet-again", &[&HOW, PATIENT].concat());
    assert!(again.said.iter().any(|l| l.contains("taken over")), "{:?}", again.said);
    inspects(&bed, &again);
}

#[test]
fn closed_it_lets_nothing_by() {
    let Some(bed) = bed("closed_it_lets_nothing_by") else { return };
    let live = Live::start(&bed, "packet-closed", &[&HOW[..], &["--fail", "closed"]].concat());
    assert!(pings(&bed, 20, || {}) >= 15);
    live.signal("-KILL", &live.pids());
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(pings(&bed, 10, || {}), 0);
}

#[test]
fn it_is_chosen_where_frames_are_too_long_for_the_other_way() {
    let Some(bed) = bed("it_is_chosen_where_frames_are_too_long_for_the_other_way") else { return };
    for (at, port) in [(At::Client, "end0"), (At::Server, "end1"), (At::Middle, PORTS[0]), (At::Middle, PORTS[1])] {
        assert!(bed.run(at, "ip", &["link", "set", port, "mtu", "9000"]).status.success());
    }
    let live = Live::start(&bed, "packet-jumbo", PATIENT);
    let ready = live.said.last().unwrap();
    assert!(ready.contains("AF_PACKET") && ready.contains("no AF_XDP: ") && ready.contains("do not fit"), "{ready}");
    inspects(&bed, &live);
    let server = harness::netns::SERVER.to_string();
    let whole = bed.run(At::Client, "ping", &["-c", "3", "-i", "0.1", "-M", "do", "-s", "8900", &server]);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stdout));
}

#[test]
fn without_a_program_in_the_kernel_nothing_passes_uninspected() {
    let Some(bed) = bed("without_a_program_in_the_kernel_nothing_passes_uninspected") else { return };
    let before = Live::start(&bed, "packet-before", &[]);
    before.signal("-KILL", &before.pids());
    let off = ["--set", "run.xdp=off", "--set", "run.link.unknown=drop"];
    let live = Live::start(&bed, "packet-alone", &[&off, PATIENT].concat());
    let said = live.said.join("\n");
    assert!(said.contains("of an earlier run is taken off") && said.contains("nothing is forwarded"), "{said}");
    inspects(&bed, &live);
    assert_eq!(pings(&bed, 20, || {}), 20);
    // No port of this machine's answers for it.
    bed.run(At::Middle, "ip", &["address", "add", "10.77.0.9/32", "dev", "lo"]);
    bed.run(At::Client, "ping", &["-c", "1", "-W", "1", "10.77.0.9"]);
    let seen = bed.run(At::Client, "ip", &["neighbour", "show", "10.77.0.9"]).stdout;
    assert!(!String::from_utf8_lossy(&seen).contains("lladdr"), "{}", String::from_utf8_lossy(&seen));
    let s = stats(&live);
    let of = |key: &str| s["plane"][key].as_u64().unwrap();
    assert!(s["kernel"].is_null() && of("received") == of("forwarded") + of("dropped"), "{s}");
    live.signal("-KILL", &live.pids());
    assert_eq!(pings(&bed, 10, || {}), 0);
    // It needs the other way's program.
    let program = harness::program().unwrap();
    let out = bed.run(
        At::Middle,
        program.to_str().unwrap(),
        &[
            "run",
            "--inline",
            &PORTS.join(":"),
            "--capture",
            "af-xdp",
            "--set",
            "run.xdp=off",
            "--control",
            live.dir.join("sock").to_str().unwrap(),
        ],
    );
    assert_eq!(out.status.code(), Some(2));
}

/// A neighbour of this machine leaves datagrams joined. Each is looked at for itself, as its receiver does.
#[test]
fn joined_datagrams_are_inspected_each_for_itself() {
    const SEND: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_UDP, 103, 100)
s.sendto(b''.join(w.ljust(100, b'.') for w in (b'first', b'evil', b'third', b'last'))[:-50], (sys.argv[1], 5300))
";
    const RECEIVE: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 5300))
print('bound', flush=True)
s.settimeout(2)
try:
    while True: print(*(lambda d: (d.strip(b'.').decode(), len(d)))(s.recv(9000)), flush=True)
except socket.timeout: pass
";
    let Some(bed) = bed("joined_datagrams_are_inspected_each_for_itself") else { return };
    let rule = "drop udp any any -> any 5300 (content:\"evil\"; depth:4; sid:1;)\n";
    let live = Live::with(&bed, "datagrams", rule, &[&HOW, PATIENT].concat());
    let server = harness::netns::SERVER.to_string();
    let mut receiver = bed.spawn(At::Server, "python3", &["-c", RECEIVE, &server]);
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("bound"));
    let sent = bed.run(At::Client, "python3", &["-c", SEND, &server]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    assert_eq!(lines.collect::<Vec<_>>(), ["first 100", "third 100", "last 50"]);
    receiver.wait().unwrap();
    let s = stats(&live);
    let of = |key: &str| s["plane"][key].as_u64().unwrap();
    assert_eq!((of("cut"), of("dropped"), of("lost"), of("unsent")), (3, 1, 0, 0), "{s}");
}
