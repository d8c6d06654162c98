//! The program on a wire: a real client and a real server, each in a namespace of its own, and the program between them.
//!
//! Wants root, for the namespaces; says that it skipped where it has not.

use harness::kept::{ATTACKS, KEPT, Keeper, keeping, resynced, stopped};
use harness::live::{Live, PATIENT, Web, bed, get, pings, refused, stops_exploits};
use harness::netns::{At, Bed, PORTS, SERVER};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn benign_requests_are_answered_and_exploits_never_arrive() {
    let Some(bed) = bed("benign_requests_are_answered_and_exploits_never_arrive") else { return };
    let mut live = Live::start(&bed, "benign", PATIENT);
    let web = Web::start(&bed, &live.dir);
    let big = std::fs::read(live.dir.join("www/big")).unwrap();
    assert!(get(&bed, "big", &[]).is_some_and(|got| got == big), "a benign body is not what was sent");
    assert!(refused(&bed, "exploit", &[]));
    assert!(refused(&bed, "big", &["-H", "X-Evil: 1"]));
    // Cut so that no segment holds the whole of it.
    let script = format!(
        "import socket,time\ns=socket.create_connection(('{SERVER}',80));s.setsockopt(6,1,1)\n\
         [(s.send(bytes([b])),time.sleep(.002)) for b in b'GET /exploit HTTP/1.0\\r\\n\\r\\n']"
    );
    bed.run(At::Client, "timeout", &["2", "python3", "-c", &script]);
    assert!(get(&bed, "big", &[]).is_some_and(|got| got == big));
    let asked = web.asked();
    assert!(!asked.contains("/exploit") && asked.matches("GET /big").count() == 2, "{asked}");
    let (code, status) = live.ctl(&["status"]);
    assert!(code == Some(0) && status.contains("inspecting"), "{status}");
    live.signal("-TERM", &[live.child.id()]);
    live.until("the kernel's program stays");
    assert!(live.child.wait().unwrap().success());
    let eve = std::fs::read_to_string(live.dir.join("eve.json")).unwrap();
    for sid in [1, 2] {
        assert!(eve.lines().any(|l| l.contains("\"in_iface\":\"port0\",\"event_type\":\"alert\"")
            && l.contains(&format!("\"signature_id\":{sid},"))));
    }
    let stats = eve.lines().rfind(|l| l.contains("\"event_type\":\"stats\"")).unwrap();
    let stats: serde_json::Value = serde_json::from_str(stats).unwrap();
    let capture = &stats["stats"]["capture"];
    assert!(capture["kernel_packets"].as_u64().unwrap() > 100, "{capture}");
    assert!(capture["program"]["handed"].as_u64() >= capture["kernel_packets"].as_u64(), "{capture}");
    // The kernel goes on by itself, until it is told not to.
    assert_eq!(pings(&bed, 20, || {}), 20);
    let program = harness::program().unwrap();
    let out = bed.run(At::Middle, program.to_str().unwrap(), &["detach", &PORTS.join(":")]);
    assert!(out.status.success());
    assert_eq!(pings(&bed, 5, || {}), 0);
}

#[test]
fn killed_it_leaves_the_wire_and_a_start_takes_it_over() {
    let Some(bed) = bed("killed_it_leaves_the_wire_and_a_start_takes_it_over") else { return };
    let live = Live::start(&bed, "killed", &[]);
    let answered = pings(&bed, 300, || live.signal("-KILL", &live.pids()));
    assert!(answered >= 290, "{answered} of 300");
    let again = Live::start(&bed, "killed-again", PATIENT);
    assert!(again.said.iter().any(|l| l.contains("taken over")), "{:?}", again.said);
    let web = Web::start(&bed, &again.dir);
    assert!(refused(&bed, "exploit", &[]));
    assert!(!web.asked().contains("/exploit"));
}

#[test]
fn stopped_it_is_gone_around_and_then_works_again() {
    let Some(bed) = bed("stopped_it_is_gone_around_and_then_works_again") else { return };
    let mut live = Live::start(&bed, "stopped", &[]);
    let answered = pings(&bed, 300, || {
        live.signal("-STOP", &live.pids());
        std::thread::sleep(Duration::from_millis(700));
        live.signal("-CONT", &live.pids());
    });
    assert!(answered >= 288, "{answered} of 300");
    live.until("frames were forwarded uninspected");
    let stats = live.stats();
    let kernel = &stats["lanes"][0]["kernel"];
    assert!(kernel["port0"]["stale.forwarded"].as_u64().unwrap() > 10, "{kernel}");
    let _web = Web::start(&bed, &live.dir);
    assert!(stops_exploits(&bed));
}

#[test]
fn a_connection_silent_for_longer_than_the_window_is_left_to_the_policy() {
    let Some(bed) = bed("a_connection_silent_for_longer_than_the_window_is_left_to_the_policy") else { return };
    let live = Live::start(&bed, "window", PATIENT);
    let _web = keeping(&bed, &live.dir);
    let mut keeper = Keeper::start(&bed);
    live.signal("-KILL", &live.pids());
    let again = Live::start(&bed, "window-again", &[PATIENT, &["--set", "run.resync-seconds=1"]].concat());
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(keeper.attack(), 0);
    let stats = again.stats();
    assert_ne!(stats["lanes"][0]["plane"]["engine"]["ips.drop_reason.stream_midstream"], 0, "{stats}");
}

#[test]
fn open_connections_live_through_a_restart_and_are_inspected_after() {
    let Some(bed) = bed("open_connections_live_through_a_restart_and_are_inspected_after") else { return };
    let live = Live::start(&bed, "kept", &["--set", "run.stall-seconds=30"]);
    let _web = keeping(&bed, &live.dir);
    let mut keeper = Keeper::start(&bed);
    // The kernel carries a round of requests that the engine never sees.
    live.signal("-STOP", &live.pids());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(keeper.ask(), KEPT);
    live.signal("-CONT", &live.pids());
    std::thread::sleep(Duration::from_millis(300));
    // A machine that keeps the worker waiting carries some by itself once more.
    let mut taken_up = 0;
    for _ in 0..3 {
        assert_eq!(keeper.ask(), KEPT);
        taken_up = resynced(&live);
        if taken_up >= KEPT as u64 {
            break;
        }
    }
    assert!(taken_up >= KEPT as u64, "{taken_up}");
    live.signal("-KILL", &live.pids());
    let again = Live::start(&bed, "kept-again", PATIENT);
    assert_eq!(keeper.ask(), KEPT);
    assert_eq!(resynced(&again), KEPT as u64);
    assert_eq!(keeper.attack(), 0);
    assert_eq!(stopped(&again), ATTACKS);
}

#[test]
fn a_data_plane_that_does_not_answer_is_started_anew() {
    let Some(bed) = bed("a_data_plane_that_does_not_answer_is_started_anew") else { return };
    let mut live = Live::start(&bed, "anew", &["--set", "run.stall-seconds=1"]);
    let plane = live.pids()[1];
    let answered = pings(&bed, 200, || live.signal("-STOP", &[plane]));
    live.until("killed and started anew");
    live.until("inspecting after");
    assert!(answered >= 188, "{answered} of 200");
    assert_ne!(live.pids()[1], plane);
}

#[test]
fn closed_it_lets_nothing_by() {
    let Some(bed) = bed("closed_it_lets_nothing_by") else { return };
    for signal in ["-STOP", "-KILL"] {
        let live = Live::start(&bed, signal, &["--fail", "closed"]);
        assert!(pings(&bed, 20, || {}) >= 15);
        live.signal(signal, &live.pids());
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(pings(&bed, 10, || {}), 0, "{signal}");
    }
}

/// A run whose data plane cannot be had. What it said, and how many of ten pings were answered while it tried.
fn futile(bed: &Bed, test: &str, policies: &[&str]) -> (String, u32) {
    let no_folder = bed.dir().join(test);
    std::fs::write(&no_folder, "").unwrap();
    let mut c = bed.command(At::Middle, harness::program().unwrap().to_str().unwrap());
    c.args(["run", "--inline", &PORTS.join(":"), "-l"]).arg(&no_folder).args(policies);
    c.arg("--control").arg(bed.dir().join("futile.sock")).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = c.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut said: Vec<String> = lines.by_ref().take_while(|l| !l.contains("until the rules have loaded")).collect();
    let answered = pings(bed, 10, || {});
    said.extend(lines);
    assert_eq!(child.wait().unwrap().code(), Some(2), "{said:?}");
    (said.join("\n"), answered)
}

#[test]
fn until_it_inspects_one_policy_holds_and_once_it_has_given_up_the_other() {
    let Some(bed) = bed("until_it_inspects_one_policy_holds") else { return };
    let (said, answered) = futile(&bed, "open", &["--until-ready", "closed", "--fail", "open"]);
    assert!(answered == 0 && said.contains("program stays, open"), "{answered}: {said}");
    assert_eq!(pings(&bed, 10, || {}), 10);
    let (said, answered) = futile(&bed, "closed", &["--until-ready", "open", "--fail", "closed"]);
    assert!(answered == 10 && said.contains("program stays, closed"), "{answered}: {said}");
    assert_eq!(pings(&bed, 10, || {}), 0);
}

#[test]
fn told_so_it_takes_its_program_along() {
    let Some(bed) = bed("told_so_it_takes_its_program_along") else { return };
    let mut live = Live::start(&bed, "detaching", &["--detach"]);
    assert_eq!(pings(&bed, 5, || {}), 5);
    live.signal("-TERM", &[live.child.id()]);
    live.until("detached");
    assert!(live.child.wait().unwrap().success());
    assert_eq!(pings(&bed, 5, || {}), 0);
}

#[test]
fn a_second_run_on_its_ports_is_refused() {
    let Some(bed) = bed("a_second_run_on_its_ports_is_refused") else { return };
    let live = Live::start(&bed, "first", PATIENT);
    let _web = Web::start(&bed, &live.dir);
    let program = harness::program().unwrap();
    let control = bed.dir().join("second.sock");
    for more in [&[][..], &["--set", "run.xdp=off"]] {
        let args = ["run", "--inline", &PORTS.join(":"), "--control", control.to_str().unwrap()];
        let out = bed.run(At::Middle, program.to_str().unwrap(), &[&args, more].concat());
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(2) && text.contains("port0: another run has it"), "{text}");
        assert!(refused(&bed, "exploit", &[]));
        assert!(get(&bed, "big", &[]).is_some());
    }
}

#[test]
fn reloads_lose_nothing_and_bad_rules_change_nothing() {
    let Some(bed) = bed("reloads_lose_nothing_and_bad_rules_change_nothing") else { return };
    let live = Live::start(&bed, "reload", PATIENT);
    let web = Web::start(&bed, &live.dir);
    let rules = live.dir.join("x.rules");
    let answered = pings(&bed, 200, || {
        for i in 0..10 {
            let mut f = std::fs::File::options().append(true).open(&rules).unwrap();
            writeln!(f, "drop http any any -> any any (msg:\"n\"; http.uri; content:\"/new{i}\"; sid:{};)", 10 + i)
                .unwrap();
            let (code, said) = live.ctl(&["reload"]);
            assert!(code == Some(0) && said.contains(&format!("{} rules", 3 + i)), "{said}");
        }
    });
    assert_eq!(answered, 200);
    assert!(refused(&bed, "new9", &[]));
    std::fs::write(&rules, "drop http any any -> any any (msg:\"bad\"; contentt:\"x\"; sid:1;)\n").unwrap();
    let (code, said) = live.ctl(&["reload"]);
    assert!(code == Some(1) && said.contains("x.rules:1:") && said.contains("nothing was changed"), "{said}");
    assert!(refused(&bed, "new9", &[]));
    assert!(!web.asked().contains("/new9"));
}

#[test]
fn the_operator_has_everything_through() {
    let Some(bed) = bed("the_operator_has_everything_through") else { return };
    let live = Live::start(&bed, "bypass", PATIENT);
    let _web = Web::start(&bed, &live.dir);
    assert!(refused(&bed, "exploit", &[]));
    assert_eq!(live.ctl(&["bypass", "on"]).0, Some(0));
    assert_eq!(get(&bed, "exploit", &[]).as_deref(), Some(&b"the secret"[..]));
    assert_eq!(live.ctl(&["bypass", "off"]).0, Some(0));
    assert!(refused(&bed, "exploit", &[]));
    assert_eq!(live.ctl(&["bypass", "on", "a:b"]).0, Some(1));
}

#[test]
fn connections_that_were_let_through_live_on_when_they_are_inspected_again() {
    let Some(bed) = bed("connections_that_were_let_through_live_on") else { return };
    let file = bed.dir().join("trust.yaml");
    let trust = |networks: &str| std::fs::write(&file, format!("run:\n  trusted: [{networks}]\n")).unwrap();
    trust("");
    let settings = ["-c", file.to_str().unwrap(), "--set", "run.resync-seconds=8"];
    let live = Live::start(&bed, "through", &[&settings, PATIENT].concat());
    let _web = keeping(&bed, &live.dir);
    let of = |lane: &Value| lane["plane"]["engine"]["flow.resynced"].as_u64().unwrap();
    for (n, way) in (1..).zip(["bypass", "trusted"]) {
        // What was before is not looked for any more.
        std::thread::sleep(Duration::from_secs(9));
        let through = |word: &str, networks: &str| match way {
            "bypass" => assert_eq!(live.ctl(&["bypass", word]).0, Some(0)),
            _ => {
                trust(networks);
                assert_eq!(live.ctl(&["reload"]).0, Some(0));
            }
        };
        through("on", "10.77.0.0/24");
        let mut keeper = Keeper::start(&bed);
        assert_eq!(of(&live.stats()["lanes"][0]), (n - 1) * KEPT as u64, "{way}: nothing comes up");
        through("off", "");
        assert_eq!(keeper.ask(), KEPT, "{way}");
        assert_eq!(of(&live.settled(|lane| of(lane) >= n * KEPT as u64)), n * KEPT as u64, "{way}");
        assert_eq!(keeper.attack(), 0, "{way}");
    }
}

#[test]
fn a_hang_up_is_a_reload() {
    let Some(bed) = bed("a_hang_up_is_a_reload") else { return };
    let mut live = Live::start(&bed, "hang-up", PATIENT);
    let _web = Web::start(&bed, &live.dir);
    assert!(get(&bed, "big", &[]).is_some());
    let rule = "drop http any any -> any any (msg:\"big\"; http.uri; content:\"/big\"; sid:3;)\n";
    std::fs::write(live.dir.join("x.rules"), rule).unwrap();
    live.signal("-HUP", &[live.child.id()]);
    live.until("reload: 1 rules");
    assert!(refused(&bed, "big", &[]));
    let (_, status) = live.ctl(&["status", "--json"]);
    assert!(status.contains("\"rules\":1,"), "{status}");
}

#[test]
fn ports_that_cannot_be_a_pair_are_refused() {
    let Some(bed) = bed("ports_that_cannot_be_a_pair_are_refused") else { return };
    let program = harness::program().unwrap();
    let program = program.to_str().unwrap();
    for (at, pair, said) in
        [(At::Middle, "port0:none", "none"), (At::Middle, "port0:port0", "twice"), (At::Client, "end0:lo", "address")]
    {
        let control = bed.dir().join("sock");
        let out = bed.run(at, program, &["run", "--inline", pair, "--control", control.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{pair}: {text}");
        assert!(text.contains(said), "{pair}: {text}");
    }
}

/// Set in a process that holds a bed until it is killed.
const HELD: &str = "STOPGAP_BED_HELD";
/// A name of a bed whose test is no more: process numbers do not go so far.
const ORPHAN: &str = "sg4194999x0c";

#[test]
fn killed_the_test_leaves_nothing() {
    let name = "killed_the_test_leaves_nothing";
    let Some(bed) = bed(name) else { return };
    if std::env::var_os(HELD).is_some() {
        let live = Live::start(&bed, "held", &[]);
        let _web = Web::start(&bed, &live.dir);
        println!("held {} {:?}", bed.dir().display(), live.pids());
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    assert!(Command::new("ip").args(["netns", "add", ORPHAN]).status().unwrap().success());
    let mut c = Command::new(std::env::current_exe().unwrap());
    c.args(["--exact", name, "--nocapture"]).env(HELD, "1").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut test = c.spawn().unwrap();
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines().map_while(Result::ok);
    let held = lines.find_map(|l| Some(l.split_once("held ")?.1.to_owned())).expect("it holds a bed");
    let (dir, pids) = held.split_once(' ').unwrap();
    let pids = pids.trim_matches(['[', ']']).split(", ").map(|p| Path::new("/proc").join(p));
    let left: Vec<PathBuf> = pids.chain([Path::new(dir).to_owned()]).collect();
    let spaces = || std::fs::read_dir("/run/netns").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let prefix = dir.rsplit('-').next().unwrap();
    assert!(left.len() >= 3 && left.iter().all(|p| p.exists()), "{left:?}");
    assert!(spaces().filter(|n| n.starts_with(prefix)).count() == 3 && !spaces().any(|n| n == ORPHAN));
    test.kill().unwrap();
    test.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while left.iter().any(|p| p.exists()) || spaces().any(|n| n.starts_with(prefix)) {
        assert!(Instant::now() < end, "{left:?}, {:?}", spaces().collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What one worker's queue brings of another's flows is that one's.
#[test]
fn flows_are_one_worker_s_whatever_queue_they_come_on() {
    let test = "flows_are_one_worker_s_whatever_queue_they_come_on";
    let Some(bed) = Bed::of_queues(4) else { return harness::skip(test, "network namespaces are refused here") };
    let live = Live::start(&bed, "queues", &[&["-j", "4"], PATIENT].concat());
    let web = Web::start(&bed, &live.dir);
    let big = std::fs::read(live.dir.join("www/big")).unwrap();
    let addresses: Vec<String> = (11..19).map(|i| format!("10.77.0.{i}")).collect();
    for a in &addresses {
        bed.run(At::Client, "ip", &["addr", "add", &format!("{a}/24"), "dev", "end0"]);
        assert!(get(&bed, "big", &["--interface", a]).is_some_and(|got| got == big), "{a}");
        assert!(refused(&bed, "exploit", &["--interface", a]));
        // In pieces both ways, and back.
        let ping =
            bed.run(At::Client, "ping", &["-q", "-c", "2", "-i", "0.1", "-s", "5000", "-I", a, &SERVER.to_string()]);
        assert!(ping.status.success(), "{a}");
    }
    assert!(!web.asked().contains("/exploit"));
    let of = |lane: &Value, key: &str| lane["plane"][key].as_u64().unwrap();
    let accounted = |l: &Value| of(l, "received") == of(l, "forwarded") + of(l, "dropped") + of(l, "stale");
    let lane = live.settled(|l| of(l, "handed") == of(l, "taken") && accounted(l));
    let (plane, of) = (&lane["plane"], |key: &str| of(&lane, key));
    assert_eq!((of("workers"), of("untaken"), of("stalls"), of("lost")), (4, 0, 0, 0), "{plane}");
    assert!(of("handed") > 500, "{plane}");
    assert_eq!(of("handed"), of("taken"), "{plane}");
    assert!(accounted(&lane), "{plane}");
    let engine = |key: &str| plane["engine"][key].as_u64().unwrap();
    assert_eq!((engine("tcp.midstream_pickups"), engine("defrag.ipv4.reassembled")), (0, 32), "{plane}");
}

#[test]
fn what_rules_learned_outlives_a_reload_and_the_run() {
    let Some(bed) = bed("what_rules_learned_outlives_a_reload_and_the_run") else { return };
    let data = std::env::temp_dir().join(format!("stopgap-live-data-{}", std::process::id()));
    std::fs::create_dir_all(&data).unwrap();
    let mut live =
        Live::start(&bed, "learned", &[&["--set", &format!("data-dir={}", data.display())], PATIENT].concat());
    let rule = |sid| {
        format!("alert http any any -> any any (http.uri; dataset:set,seen,type string,state seen; sid:{sid};)\n")
    };
    std::fs::write(live.dir.join("x.rules"), rule(1)).unwrap();
    assert_eq!(live.ctl(&["reload"]).0, Some(0));
    let _web = Web::start(&bed, &live.dir);
    assert!(get(&bed, "big", &[]).is_some());
    std::fs::write(live.dir.join("x.rules"), rule(2)).unwrap();
    assert_eq!(live.ctl(&["reload"]).0, Some(0));
    assert!(get(&bed, "exploit", &[]).is_some());
    live.signal("-TERM", &[live.child.id()]);
    assert!(live.child.wait().unwrap().success());
    // Base64 of /big and /exploit.
    assert_eq!(std::fs::read_to_string(data.join("seen")).unwrap(), "L2JpZw==\nL2V4cGxvaXQ=\n");
    std::fs::remove_dir_all(&data).unwrap();
}

#[test]
fn a_reload_takes_the_configuration_too() {
    let Some(bed) = bed("a_reload_takes_the_configuration_too") else { return };
    let file = std::env::temp_dir().join(format!("stopgap-live-{}.yaml", std::process::id()));
    std::fs::write(&file, "run:\n  fail: open\n").unwrap();
    let live = Live::start(&bed, "configured", &[&["-c", file.to_str().unwrap()], PATIENT].concat());
    let _web = Web::start(&bed, &live.dir);
    assert!(refused(&bed, "exploit", &[]));
    std::fs::write(&file, "run:\n  fail: closed\n  trusted: [10.77.0.1/32]\n").unwrap();
    assert_eq!(live.ctl(&["reload"]).0, Some(0));
    assert_eq!(get(&bed, "exploit", &[]).as_deref(), Some(&b"the secret"[..]));
    let (_, status) = live.ctl(&["status", "--json"]);
    assert!(status.contains("\"fail\":\"closed\""), "{status}");
    std::fs::write(&file, "run:\n  fail: closed\n  trusted: [10.77.0.1/33]\n").unwrap();
    let (code, said) = live.ctl(&["reload"]);
    assert!(code == Some(1) && said.contains(":3:"), "{said}");
    std::fs::write(&file, "run:\n  fail: closed\n").unwrap();
    assert_eq!(live.ctl(&["reload"]).0, Some(0));
    assert!(refused(&bed, "exploit", &[]));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_disk_that_is_full_ends_no_inspection() {
    let Some(bed) = bed("a_disk_that_is_full_ends_no_inspection") else { return };
    let dir = bed.dir().join("full");
    std::fs::create_dir_all(&dir).unwrap();
    std::os::unix::fs::symlink("/dev/full", dir.join("eve.json")).unwrap();
    let mut live = Live::start(&bed, "full", &[PATIENT, &["--set", "run.stats-seconds=1"]].concat());
    let _web = Web::start(&bed, &live.dir);
    live.until("the log cannot be written");
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(refused(&bed, "exploit", &[]));
    assert!(get(&bed, "big", &[]).is_some());
    assert!(live.heard().iter().all(|l| !l.contains("the log")), "it is told once");
    live.signal("-TERM", &[live.child.id()]);
    live.until("the log is incomplete");
}

#[test]
fn what_came_in_is_recorded_and_can_be_replayed() {
    let Some(bed) = bed("what_came_in_is_recorded_and_can_be_replayed") else { return };
    let dir = bed.dir().join("recorded");
    let mut live = Live::start(&bed, "record", &[&["--record", dir.to_str().unwrap()], PATIENT].concat());
    let _web = Web::start(&bed, &live.dir);
    assert!(get(&bed, "big", &[]).is_some());
    assert!(refused(&bed, "exploit", &[]));
    live.signal("-TERM", &[live.child.id()]);
    assert!(live.child.wait().unwrap().success());
    let files: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let mut replay = Command::new(harness::program().unwrap());
    replay.args(["replay", "-S"]).arg(live.dir.join("x.rules")).arg("-l").arg(dir.join("out")).args(&files);
    assert!(replay.output().unwrap().status.success());
    let eve = std::fs::read_to_string(dir.join("out/eve.json")).unwrap();
    let has = |all: &[&str]| eve.lines().any(|l| all.iter().all(|a| l.contains(a)));
    assert!(has(&["\"event_type\":\"alert\"", "\"signature_id\":1,"]) && has(&["\"url\":\"/big\"", "\"status\":200"]));
}
