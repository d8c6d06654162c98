//! One capture, one log: whatever the number of workers and the size of their batches.
//!
//! The rules here carry state from flow to flow and host to host, so that any packet taken out of order would show in
//! some alert. Logs and frames that left are compared byte for byte.

use harness::craft::{Conversation, checksum, ipv4, udp};
use harness::dialogue::TimedFrame;
use harness::parity::captures;
use harness::replay::{Folder, pcap, run};
use std::path::{Path, PathBuf};

const RULES: &str = r#"
alert tcp any any -> any any (msg:"sets"; flags:S; xbits:set,syn,track ip_src,expire 30; noalert; sid:1;)
alert udp any any -> any any (msg:"asks"; xbits:isset,syn,track ip_src; sid:2;)
alert tcp any any -> any any (msg:"toggles"; flow:to_server; flags:FA; xbits:toggle,fin,track ip_pair; sid:3;)
drop tcp any any -> any any (msg:"asks the pair"; flags:S; xbits:isset,fin,track ip_pair; sid:4;)
alert ip any any -> any any (msg:"by source"; threshold:type threshold,track by_src,count 10,seconds 60; sid:5;)
alert ip any any -> any any (msg:"by rule"; threshold:type both,track by_rule,count 9,seconds 5; sid:6;)
alert tcp any any -> any any (msg:"by both"; content:"a"; threshold:type limit,track by_both,count 2,seconds 10; sid:7;)
drop http any any -> any any (msg:"by target"; http.method; content:"GET"; detection_filter:track by_dst,count 1,seconds 60; sid:8;)
alert dns any any -> any any (msg:"host"; dns.query; content:"."; hostbits:toggle,dnsed; sid:9;)
alert tls any any -> any any (msg:"asks the host"; tls.sni; content:"."; hostbits:isset,dnsed,src; sid:10;)
alert http any any -> any any (msg:"at the end"; file.data; content:"e"; threshold:type threshold,track by_rule,count 2,seconds 9; sid:11;)
alert tcp any any -> any any (msg:"tags"; flags:S; threshold:type limit,track by_src,count 1,seconds 3; tag:host,5,packets,src; sid:12;)
alert tcp any any -> any any (msg:"inside"; content:"over "; threshold:type threshold,track by_rule,count 2,seconds 900; sid:13;)
"#;

/// Sets of values alone: nothing else makes workers wait for each other.
const SETS: &str = r#"
alert dns any any -> any any (msg:"a name is new"; dns.query; dataset:set,names,type string; sid:1;)
alert http any any -> any any (msg:"a name is asked"; http.host; dataset:isset,names,type string; priority:1; sid:2;)
alert http any any -> any any (msg:"a name goes"; http.host; dataset:unset,names,type string; sid:3;)
alert http any any -> any any (msg:"a body is new"; flow:to_client; file.data; dataset:set,bodies,type string; sid:4;)
"#;

const EVENTS: &str = "alert,anomaly,drop,flow,netflow,http,dns,tls,files,stats";

/// What one replay wrote: the log, and the frames that left.
fn written(
    program: &Path,
    folder: &Folder,
    (rules, files): (&str, &[PathBuf]),
    inline: bool,
    more: &[&str],
) -> [Vec<u8>; 2] {
    let out = folder.0.join("out");
    let left = folder.0.join("left.pcapng");
    let _ = std::fs::remove_dir_all(&out);
    let rules = folder.file("test.rules", rules);
    let mut args: Vec<String> = ["replay", "-k", "none", "--events", EVENTS, "-S"].map(String::from).to_vec();
    args.extend([rules.display().to_string(), "-l".into(), out.display().to_string()]);
    if inline {
        args.extend(["--inline".into(), "-w".into(), left.display().to_string()]);
    }
    args.extend(more.iter().map(|s| s.to_string()));
    args.push("--".into());
    args.extend(files.iter().map(|f| f.display().to_string()));
    let done = run(program, args).unwrap();
    assert!(matches!(done.code, Some(0 | 1)), "{}", done.stderr);
    [std::fs::read(out.join("eve.json")).unwrap(), if inline { std::fs::read(left).unwrap() } else { Vec::new() }]
}

/// The first line in which two logs differ.
fn same(what: &str, one: &[Vec<u8>; 2], other: &[Vec<u8>; 2]) {
    let lines = |log: &[u8]| String::from_utf8_lossy(log).lines().map(String::from).collect::<Vec<_>>();
    if one[0] != other[0] {
        let (a, b) = (lines(&one[0]), lines(&other[0]));
        let at = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
        panic!("{what}: line {at} of {} and {}:\n{:?}\n{:?}", a.len(), b.len(), a.get(at), b.get(at));
    }
    assert!(one[1] == other[1], "{what}: other frames left");
}

/// The frame between other hosts; `micros` moves it in time.
fn moved(mut f: TimedFrame, client: [u8; 4], server: [u8; 4], micros: i64) -> TimedFrame {
    let (src, dst) = if f.to_server { (client, server) } else { (server, client) };
    f.data[26..30].copy_from_slice(&src);
    f.data[30..34].copy_from_slice(&dst);
    f.data[24..26].copy_from_slice(&[0, 0]);
    let sum = checksum(&[&f.data[14..34]]);
    f.data[24..26].copy_from_slice(&sum.to_be_bytes());
    TimedFrame { micros, ..f }
}

/// In GRE (RFC 2784) between two tunnel ends.
fn carried(f: TimedFrame, ends: [[u8; 4]; 2]) -> TimedFrame {
    let mut payload = vec![0, 0, 8, 0];
    payload.extend(&f.data[14..]);
    let [src, dst] = if f.to_server { ends } else { [ends[1], ends[0]] };
    TimedFrame { data: ipv4(src, dst, 47, &payload, f.to_server), ..f }
}

/// Hosts in each other's way: scans, requests, look-ups, flows that stay open until time-outs end them, one flow in two
/// tunnels by turns, errors about flows of others.
fn traffic() -> Vec<TimedFrame> {
    let mut all: Vec<TimedFrame> = Vec::new();
    let mut micros = 1_700_000_000_000_000;
    for n in 0..240u16 {
        let client = [10, 0, (n % 7) as u8, 1];
        let server = [192, 0, 2, (n % 5) as u8];
        let mut c = Conversation::open(20_000 + n, if n % 2 == 0 { 80 } else { 9_000 });
        match n % 4 {
            0 => c.send(true, format!("GET /a HTTP/1.1\r\nHost: e{}.b\r\n\r\n", n / 4 % 6).as_bytes()),
            1 => c.send(true, b"banana"),
            _ => {}
        }
        if n % 12 == 0 {
            // Ends without its length having come: inspected when the flow ends.
            c.send(false, b"HTTP/1.1 200 OK\r\n\r\ne");
        }
        let frames = if n % 5 < 3 { c.close() } else { c.frames };
        for f in frames {
            micros += 700;
            all.push(moved(f, client, server, micros));
        }
        let query =
            [
                &[0, n as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, b'e', b'0' + (n / 2 % 6) as u8, 1, b'b', 0, 0, 1, 0, 1]
                    [..],
            ]
            .concat();
        micros += 300;
        all.push(moved(udp(true, 30_000 + n, 53, 0, &query), client, [9, 9, 9, 9], micros));
        // Every 40 connections time passes, so that some flows end.
        micros += if n % 40 == 39 { 90_000_000 } else { 0 };
    }
    let mut c = Conversation::open(40_000, 7_000);
    for part in ["over ", "and over ", "and over"] {
        c.send(true, part.as_bytes());
        c.send(false, part.as_bytes());
    }
    for (i, f) in c.close().into_iter().enumerate() {
        micros += 1_000;
        let f = moved(f, [172, 16, 0, 1], [172, 16, 0, 2], micros);
        let ends = [[[203, 0, 113, 1], [203, 0, 113, 2]], [[203, 0, 113, 77], [203, 0, 113, 99]]];
        all.push(carried(f, ends[i % 2]));
    }
    all
}

#[test]
fn own_traffic_gives_one_log() {
    let Some(program) = harness::program() else {
        harness::skip("own_traffic_gives_one_log", "the program is not built");
        return;
    };
    let folder = Folder::new("division");
    let file = [folder.file("traffic.pcap", pcap(&traffic()))];
    for (rules, sids) in [(RULES, &[2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13][..]), (SETS, &[1, 2, 3, 4])] {
        for inline in [false, true] {
            let one = written(&program, &folder, (rules, &file), inline, &[]);
            let text = String::from_utf8_lossy(&one[0]).into_owned();
            for sid in sids {
                assert!(text.contains(&format!("\"signature_id\":{sid},")), "rule {sid} does not take part");
            }
            for jobs in ["1", "2", "4", "7"] {
                for batch in ["1", "7", "64"] {
                    let other = written(&program, &folder, (rules, &file), inline, &["-j", jobs, "--batch", batch]);
                    same(&format!("inline {inline}, {jobs} workers, batches of {batch}"), &one, &other);
                }
            }
        }
    }
}

#[test]
fn the_captures_give_one_log() {
    let (Some(data), Some(program)) = (harness::data(), harness::program()) else {
        harness::skip("the_captures_give_one_log", "STOPGAP_DATA names no data, or the program is not built");
        return;
    };
    let folder = Folder::new("division-captures");
    let step = if std::env::var_os("STOPGAP_QUICK").is_some() { 17 } else { 3 };
    let files: Vec<PathBuf> =
        captures(&data).unwrap().iter().step_by(step).map(|f| data.join("pcaps").join(f)).collect();
    for (inline, divisions) in [
        (false, &[["-j2", "--batch=7"], ["-j4", "--batch=64"], ["-j1", "--batch=1"]][..]),
        (true, &[["-j4", "--batch=7"]]),
    ] {
        let one = written(&program, &folder, (RULES, &files), inline, &[]);
        assert!(one[0].len() > 1 << 20);
        for division in divisions {
            let other = written(&program, &folder, (RULES, &files), inline, division);
            same(&format!("inline {inline}, {division:?}"), &one, &other);
        }
    }
}
