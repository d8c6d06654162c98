//! Mirror ports: what passes between a client and a server by a bridge is seen, each direction on a port of its own or one
//! of them alone, and nothing is done to it.
//!
//! Wants root, for the namespaces; says that it skipped where it has not.

use harness::case_frames::{Wrap, wrap};
use harness::craft::Conversation;
use harness::live::{Live, RULES, Web, bed, get};
use harness::netns::{At, Bed, PORTS, SERVER};
use harness::raw::Raw;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A bed whose ports are joined by the kernel's bridge; what comes in on each can be watched there.
fn bridged(test: &str) -> Option<Bed> {
    joined(bed(test)?)
}

fn joined(bed: Bed) -> Option<Bed> {
    let ip = |args: &[&str]| assert!(bed.run(At::Middle, "ip", args).status.success(), "{args:?}");
    ip(&["link", "add", "bridge", "type", "bridge"]);
    PORTS.iter().for_each(|p| ip(&["link", "set", p, "master", "bridge"]));
    ip(&["link", "set", "bridge", "up"]);
    Some(bed)
}

/// Records of a type, once there are as many.
fn records(live: &Live, kind: &str, wanted: usize) -> Vec<Value> {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let text = std::fs::read_to_string(live.dir.join("eve.json")).unwrap_or_default();
        let all = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let all: Vec<Value> = all.filter(|r| r["event_type"] == kind).collect();
        if all.len() >= wanted || Instant::now() > end {
            return all;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn two_ports_with_a_direction_each_are_one_wire() {
    let Some(bed) = bridged("two_ports_with_a_direction_each_are_one_wire") else { return };
    let taps = ["--tap", PORTS[0], "--tap", PORTS[1]];
    for jobs in ["1", "3"] {
        let mut live = Live::on(&taps, &bed, &format!("taps{jobs}"), RULES, &["-j", jobs]);
        let web = Web::start(&bed, &live.dir);
        let big = std::fs::read(live.dir.join("www/big")).unwrap();
        for i in 11..17 {
            let a = format!("10.77.0.{i}");
            bed.run(At::Client, "ip", &["addr", "replace", &format!("{a}/24"), "dev", "end0"]);
            assert!(get(&bed, "big", &["--interface", &a]).is_some_and(|got| got == big), "{a}");
            // Seen, and no more than that.
            let secret = get(&bed, "exploit", &["--interface", &a]);
            assert_eq!(secret.as_deref(), Some(&b"the secret"[..]), "{a}");
        }
        assert_eq!(web.asked().matches("GET /exploit").count(), 6);
        let alerts = records(&live, "alert", 6);
        assert_eq!(alerts.len(), 6, "{alerts:?}");
        for a in &alerts {
            assert_eq!((&a["in_iface"], &a["alert"]["action"]), (&"port0".into(), &"allowed".into()), "{a}");
        }
        let stats = live.stats();
        let plane = &stats["lanes"][0]["plane"];
        let of = |key: &str| plane[key].as_u64().unwrap();
        assert_eq!((of("lost"), of("untaken"), of("stalls")), (0, 0, 0), "{plane}");
        assert_eq!((of("handed"), of("handed") > 0), (of("taken"), jobs != "1"), "{plane}");
        assert!(of("received") > 1_000 && plane["inline"] == false, "{plane}");
        live.signal("-TERM", &[live.child.id()]);
        assert!(live.child.wait().unwrap().success());
        // Whole conversations: an answer of the server's in every flow.
        let answers = records(&live, "http", 12);
        assert!(answers.iter().filter(|r| r["http"]["status"] == 200).count() >= 12, "{answers:?}");
    }
}

#[test]
fn one_direction_is_better_than_none() {
    let Some(bed) = bridged("one_direction_is_better_than_none") else { return };
    let live = Live::on(&["--tap", PORTS[0]], &bed, "oneside", RULES, &["--set", "stream.async-oneside=true"]);
    let _web = Web::start(&bed, &live.dir);
    assert!(get(&bed, "exploit", &[]).is_some());
    assert_eq!(records(&live, "alert", 1).len(), 1);
}

#[test]
fn a_filter_leaves_frames_out() {
    let Some(bed) = bridged("a_filter_leaves_frames_out") else { return };
    let taps = ["--tap", PORTS[0], "--tap", PORTS[1]];
    let live = Live::on(&taps, &bed, "filter", RULES, &["--filter", "not tcp port 80", "-j", "2"]);
    let _web = Web::start(&bed, &live.dir);
    assert!(get(&bed, "exploit", &[]).is_some());
    assert!(bed.run(At::Client, "ping", &["-q", "-c", "3", "-i", "0.1", &SERVER.to_string()]).status.success());
    std::thread::sleep(Duration::from_millis(500));
    let stats = live.stats();
    let engine = &stats["lanes"][0]["plane"]["engine"];
    assert_eq!(engine["decoder.tcp"], 0, "{engine}");
    assert_eq!(engine["decoder.icmpv4"], 6, "{engine}");
    drop(live);
    let program = harness::program().unwrap();
    let out = bed.run(At::Middle, program.to_str().unwrap(), &["run", "--tap", PORTS[0], "--filter", "tcp porto 80"]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && text.contains("--filter 'tcp porto 80'"), "{text}");
}

/// A harmful request and its answer, in tags, from both ends of the wire.
fn tagged(bed: &Bed, port: u16, tags: Wrap) {
    let ends = [Raw::open(bed, At::Client), Raw::open(bed, At::Server)];
    let mut c = Conversation::open(port, 80);
    c.send(true, b"GET /exploit HTTP/1.1\r\nHost: x\r\n\r\n");
    c.send(false, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for f in c.close() {
        let end = &ends[usize::from(!f.to_server)];
        assert!(end.send(&wrap(f, tags).data));
    }
}

#[test]
fn tags_are_seen_and_can_be_asked_for() {
    let Some(bed) = bridged("tags_are_seen_and_can_be_asked_for") else { return };
    let taps = ["--tap", PORTS[0], "--tap", PORTS[1], "-j", "3"];
    for (test, filter, wanted) in
        [("tags", &[][..], &[vec![5], vec![7, 8]][..]), ("tags5", &["--filter", "vlan 5"], &[vec![5]])]
    {
        let recorded = bed.dir().join(test).join("recorded");
        let record = ["--record", recorded.to_str().unwrap()];
        let mut live = Live::on(&taps, &bed, test, RULES, &[filter, &record].concat());
        tagged(&bed, 4001, Wrap::QinQ(7, 8));
        tagged(&bed, 4002, Wrap::Vlan(5));
        records(&live, "alert", wanted.len());
        live.signal("-TERM", &[live.child.id()]);
        assert!(live.child.wait().unwrap().success());
        for kind in ["alert", "http"] {
            let mut seen: Vec<Vec<u64>> = records(&live, kind, wanted.len())
                .iter()
                .map(|r| r["vlan"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect())
                .collect();
            seen.sort();
            assert_eq!(seen, wanted, "{test}: {kind}");
        }
        let files: Vec<_> = std::fs::read_dir(&recorded).unwrap().map(|e| e.unwrap().path()).collect();
        let bytes: Vec<u8> = files.iter().flat_map(|f| std::fs::read(f).unwrap()).collect();
        let exploits = bytes.windows(12).filter(|w| w == b"GET /exploit").count();
        assert_eq!((files.len(), exploits), (1, wanted.len()), "{test}: what was asked for is recorded");
        let whole = records(&live, "http", wanted.len()).iter().all(|r| r["http"]["status"] == 200);
        assert!(whole, "{test}: each direction came by a port of its own");
    }
}

#[test]
fn joined_frames_are_seen_and_a_stalled_engine_is_replaced() {
    let Some(bed) = Bed::as_made().and_then(joined) else {
        return harness::skip(
            "joined_frames_are_seen_and_a_stalled_engine_is_replaced",
            "network namespaces are refused here",
        );
    };
    let taps = ["--tap", PORTS[0], "--tap", PORTS[1]];
    let mut live = Live::on(&taps, &bed, "stalled", RULES, &["-j", "2", "--set", "run.stall-seconds=1"]);
    let _web = Web::start(&bed, &live.dir);
    assert!(get(&bed, "exploit", &[]).is_some());
    assert_eq!(records(&live, "alert", 1).len(), 1);
    let plane = live.pids()[1];
    live.signal("-STOP", &[plane]);
    live.until("killed and started anew");
    live.until("inspecting after");
    assert_ne!(live.pids()[1], plane);
    let big = std::fs::read(live.dir.join("www/big")).unwrap();
    assert!(get(&bed, "big", &[]).is_some_and(|got| got == big));
    assert!(get(&bed, "exploit", &[]).is_some());
    assert_eq!(records(&live, "alert", 2).len(), 2);
    let stats = live.stats();
    let plane = &stats["lanes"][0]["plane"];
    assert_eq!((&plane["lost"], &plane["engine"]["decoder.invalid"]), (&0.into(), &0.into()), "{plane}");
}
