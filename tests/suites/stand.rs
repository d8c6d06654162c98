//! What a run stands: workers that spin, panic or die, ports that lose their link, a process with nothing left to abuse.
//!
//! Faults are committed on demand by a program built with `--features faults`, which `STOPGAP_FAULTY_BIN` names. Wants root,
//! for the namespaces; says that it skipped where it lacks one of them.

use harness::live::{Live, PATIENT, RULES, Web, bed, get, pings, refused, stops_exploits};
use harness::netns::{At, Bed, PORTS};
use harness::raw::Raw;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The faulty program on a bed.
fn faulty(test: &str, more: &[&str]) -> Option<(Live, Bed)> {
    faulty_on(test, Bed::new, more)
}

fn faulty_on(test: &str, bed: impl FnOnce() -> Option<Bed>, more: &[&str]) -> Option<(Live, Bed)> {
    let Some(program) = harness::faulty() else {
        harness::skip(test, "STOPGAP_FAULTY_BIN names no program built with `--features faults`");
        return None;
    };
    let Some(bed) = bed() else {
        harness::skip(test, "network namespaces are refused here");
        return None;
    };
    Some((Live::of(&program, &bed, test, more), bed))
}

#[test]
fn a_spinning_worker_is_gone_around_and_replaced() {
    let Some((mut live, bed)) = faulty("spin", &["--set", "run.stall-seconds=1"]) else { return };
    let plane = live.pids()[1];
    let answered = pings(&bed, 300, || assert_eq!(live.ctl(&["fault", "spin"]).0, Some(0)));
    assert!(answered >= 288, "{answered} of 300");
    live.until("killed and started anew");
    live.until("inspecting after");
    assert_ne!(live.pids()[1], plane);
    let _web = Web::start(&bed, &live.dir);
    assert!(stops_exploits(&bed));
}

#[test]
fn closed_a_spinning_worker_lets_nothing_by() {
    let more = ["--fail", "closed", "--set", "run.stall-seconds=60"];
    let Some((live, bed)) = faulty("closed-spin", &more) else { return };
    assert!(pings(&bed, 20, || {}) >= 15);
    assert_eq!(live.ctl(&["fault", "spin"]).0, Some(0));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(pings(&bed, 10, || {}), 0);
}

#[test]
fn a_worker_that_dies_is_replaced() {
    for fault in ["panic", "abort"] {
        let Some((mut live, bed)) = faulty(&format!("dies-{fault}"), &[]) else { return };
        let answered = pings(&bed, 300, || {
            live.ctl(&["fault", fault]);
        });
        assert!(answered >= 288, "{fault}: {answered} of 300");
        live.until("it is started anew");
        live.until("inspecting after");
        let _web = Web::start(&bed, &live.dir);
        assert!(stops_exploits(&bed));
    }
}

#[test]
fn a_slow_batch_is_counted_and_its_frames_are_not_sent_late() {
    let Some((live, bed)) = faulty("slow", &[]) else { return };
    let answered = pings(&bed, 300, || assert_eq!(live.ctl(&["fault", "slow"]).0, Some(0)));
    assert!(answered >= 288, "{answered} of 300");
    let stats = live.stats();
    let lane = &stats["lanes"][0];
    assert!(lane["plane"]["stalls"].as_u64().unwrap() >= 1, "{lane}");
    assert!(lane["plane"]["stale"].as_u64().unwrap() > 0, "{lane}");
    assert!(lane["kernel"]["port0"]["stale.forwarded"].as_u64().unwrap() > 10, "{lane}");
}

#[test]
fn the_others_go_on_beside_a_worker_that_spins() {
    let test = "the_others_go_on_beside_a_worker_that_spins";
    let more = ["-j", "4", "--set", "run.stall-seconds=60"];
    let Some((live, bed)) = faulty_on(test, || Bed::of_queues(4), &more) else { return };
    assert_eq!(live.ctl(&["fault", "spin"]).0, Some(0));
    std::thread::sleep(Duration::from_millis(300));
    let server = harness::netns::SERVER.to_string();
    // So many that some of each worker's come on each queue, whatever the hashes.
    for i in 11..111 {
        let a = format!("10.77.0.{i}");
        bed.run(At::Client, "ip", &["addr", "add", &format!("{a}/24"), "dev", "end0"]);
        let ping = bed.run(At::Client, "ping", &["-q", "-c", "1", "-W", "1", "-I", &a, &server]);
        assert!(String::from_utf8_lossy(&ping.stdout).contains(" 1 received"), "{a}: {ping:?}");
    }
    let stats = live.stats();
    let lane = &stats["lanes"][0];
    // What was its own, but came on another's queue; and what came on its own.
    assert!(lane["plane"]["untaken"].as_u64().unwrap() > 0, "{lane}");
    assert!(lane["plane"]["engine"]["decoder.icmpv4"].as_u64().unwrap() > 0, "{lane}");
}

#[test]
fn a_pair_goes_on_while_another_is_started_anew() {
    let Some(bed) = bed("a_pair_goes_on_while_another_is_started_anew") else { return };
    for name in ["x", "y"] {
        bed.run(At::Middle, "ip", &["link", "add", name, "type", "veth", "peer", "name", &format!("{name}-end")]);
        bed.run(At::Middle, "ip", &["link", "set", name, "up"]);
    }
    let mut live = Live::start(&bed, "pairs", &[&["--inline", "x:y"], PATIENT].concat());
    live.until("inspecting after");
    let before = live.pids();
    assert_eq!(before.len(), 3);
    let answered = pings(&bed, 200, || live.signal("-KILL", &before[2..]));
    live.until("x:y: inspecting after");
    assert_eq!(answered, 200);
    assert_eq!(live.pids()[..2], before[..2]);
}

#[test]
fn a_port_that_comes_back_is_taken_up_again() {
    let Some(bed) = bed("a_port_that_comes_back_is_taken_up_again") else { return };
    let ip = |args: &str| assert!(bed.run(At::Middle, "ip", &args.split(' ').collect::<Vec<_>>()).status.success());
    ip("link add x type veth peer name x-end");
    ip("link add y type veth peer name y-end");
    let mut live = Live::start(&bed, "back", &[&["--inline", "x:y"], PATIENT].concat());
    live.until("inspecting after");
    for _ in 0..2 {
        ip("link del x");
        live.until("x:y: a port is gone");
        assert_eq!(pings(&bed, 50, || {}), 50, "the other pair goes on");
        let (_, status) = live.ctl(&["status"]);
        assert!(status.contains("without a port"), "{status}");
        ip("link add x type veth peer name x-end");
        live.until("x:y: inspecting after");
    }
    assert_eq!(live.pids().len(), 3);
}

/// Whether an end of the bed sees its link.
fn carrier(bed: &Bed, at: At, end: &str) -> bool {
    let out = bed.run(at, "ip", &["-o", "link", "show", end]);
    String::from_utf8_lossy(&out.stdout).contains("LOWER_UP")
}

#[test]
fn the_links_of_a_pair_are_one_link() {
    let Some(bed) = bed("the_links_of_a_pair_are_one_link") else { return };
    let mut live = Live::start(&bed, "links", PATIENT);
    // A port that was just brought up may take its time.
    std::thread::sleep(capture::links::SETTLE);
    bed.run(At::Client, "ip", &["link", "set", "end0", "down"]);
    live.until("port1: set down, as port0 has no link");
    assert!(!carrier(&bed, At::Server, "end1"));
    bed.run(At::Client, "ip", &["link", "set", "end0", "up"]);
    live.until("port1: set up again");
    let since = Instant::now();
    while !carrier(&bed, At::Server, "end1") {
        assert!(since.elapsed() < Duration::from_secs(5), "the server's end does not see its link again");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(pings(&bed, 50, || {}) >= 40);
    let web = Web::start(&bed, &live.dir);
    assert!(refused(&bed, "exploit", &[]));
    assert!(!web.asked().contains("/exploit"));
}

#[test]
fn a_data_plane_keeps_nothing_it_does_not_need() {
    let Some(bed) = bed("a_data_plane_keeps_nothing_it_does_not_need") else { return };
    let live = Live::start(&bed, "confined", &[]);
    let status = |field: &str| {
        let text = std::fs::read_to_string(format!("/proc/{}/status", live.pids()[1])).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix(field)).unwrap_or_default();
        line.trim_start_matches(':').trim().to_string()
    };
    assert_eq!(status("CapEff"), "0000000000000000");
    assert_eq!(status("CapBnd"), "0000000000000000");
    assert_eq!((status("NoNewPrivs"), status("Seccomp")), ("1".into(), "2".into()));
    let (_, said) = live.ctl(&["status"]);
    assert!(said.contains("no capabilities, system calls filtered"), "{said}");
    // It still reads rules and writes its log.
    assert_eq!(live.ctl(&["reload"]).0, Some(0));
}

#[test]
fn what_finds_no_room_goes_as_told() {
    let server = harness::netns::SERVER.to_string();
    for (how, counted) in [("bypass", "full.forwarded"), ("drop", "full.dropped")] {
        let Some(bed) = bed("what_finds_no_room_goes_as_told") else { return };
        let overload = format!("run.overload={how}");
        let live = Live::start(&bed, how, &[PATIENT, &["--set", "run.ring=64", "--set", &overload]].concat());
        // All at once, so that they cannot but queue.
        let ping = ["-q", "-l", "3000", "-c", "3000", "-s", "1200", "-W", "1", &server];
        let said = String::from_utf8(bed.run(At::Client, "ping", &ping).stdout).unwrap();
        let stats = live.stats();
        let kernel = &stats["lanes"][0]["kernel"];
        let of = |name: &str| ["port0", "port1"].iter().map(|p| kernel[p][name].as_u64().unwrap()).sum::<u64>();
        assert!(of(counted) > 0, "{how}: {said} {kernel}");
        assert_eq!(of("full.forwarded") + of("full.dropped"), of(counted), "{how}: {kernel}");
        assert_eq!(said.contains(" 3000 received"), how == "bypass", "{how}: {said} {kernel}");
    }
}

#[test]
fn a_service_manager_hears_when_it_inspects_that_it_lives_and_that_it_ends() {
    let Some(bed) = bed("a_service_manager_hears_when_it_inspects") else { return };
    let (socket, rules) = (bed.dir().join("notify"), bed.dir().join("x.rules"));
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    std::fs::write(&rules, RULES).unwrap();
    let mut c = bed.command(At::Middle, harness::program().unwrap().to_str().unwrap());
    c.args(["run", "--inline", &PORTS.join(":"), "-S"]).arg(rules).arg("--control").arg(bed.dir().join("sock"));
    let mut child = c.env("NOTIFY_SOCKET", &socket).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = Vec::new();
    let mut hear = |what: &str| {
        let mut room = [0; 256];
        while said.last().is_none_or(|last| last != what) {
            let n = manager.recv(&mut room).unwrap_or_else(|e| panic!("{what}: {e}, {said:?}"));
            said.push(String::from_utf8_lossy(&room[..n]).into_owned());
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    hear("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn in_the_driver_and_polled_it_does_the_same() {
    for (setting, shows) in [("run.xdp=native", "native XDP"), ("run.busy-poll-us=50", "AF_XDP")] {
        let Some(bed) = bed("in_the_driver_and_polled_it_does_the_same") else { return };
        for (at, end) in [(At::Client, "end0"), (At::Server, "end1")] {
            // A virtual port's driver delivers only to a peer that polls.
            assert!(bed.run(at, "ethtool", &["-K", end, "gro", "on"]).status.success());
        }
        let live = Live::start(&bed, "way", &[&["--set", setting], PATIENT].concat());
        assert!(live.said.last().unwrap().contains(shows), "{setting}: {:?}", live.said);
        let _web = Web::start(&bed, &live.dir);
        assert_eq!(get(&bed, "big", &[]).map(|b| b.len()), Some(300_000), "{setting}");
        assert!(refused(&bed, "exploit", &[]), "{setting}");
        let stats = live.stats();
        assert!(stats["lanes"][0]["plane"]["forwarded"].as_u64() > Some(10), "{setting}: {stats}");
    }
}

#[test]
fn frames_that_are_no_ip_go_as_told() {
    let lldp = [&[1, 0x80, 0xc2, 0, 0, 0xe, 2, 0, 0, 0, 0, 1, 0x88, 0xcc][..], &[0; 46]].concat();
    for (action, counted) in [("through", "link.forwarded"), ("drop", "link.dropped"), ("inspect", "handed")] {
        let Some(bed) = bed("frames_that_are_no_ip_go_as_told") else { return };
        let setting = format!("run.link.lldp={action}");
        let live = Live::start(&bed, action, &[&["--set", &setting], PATIENT].concat());
        let of = |lane: &serde_json::Value| lane["kernel"]["port0"][counted].as_u64().unwrap();
        let before = of(&live.stats()["lanes"][0]);
        let (client, server) = (Raw::open(&bed, At::Client), Raw::open(&bed, At::Server));
        (0..20).for_each(|_| assert!(client.send(&lldp)));
        let lane = live.settled(|lane| of(lane) >= before + 20);
        assert!(of(&lane) >= before + 20, "{action}: {lane}");
        let next = || server.find(Duration::from_millis(500), |f| f[12..14] == [0x88, 0xcc]);
        let arrived = std::iter::from_fn(next).count();
        assert_eq!(arrived, if action == "drop" { 0 } else { 20 }, "{action}: {lane}");
    }
}
