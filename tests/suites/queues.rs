//! A router that hands what it forwards to the program's queues: what is harmless passes, also in pieces, what is harmful
//! does not, and while the program is away the rule says what happens.
//!
//! Wants root and iptables' NFQUEUE target; says that it skipped where it lacks one of them.

use harness::live::{Live, Web, bed, get, pings, refused};
use harness::netns::{At, Bed, ENDS, PORTS, SERVER};
use std::io::{BufRead, BufReader};
use std::time::Duration;

const RULES: &str = "\
drop http any any -> any any (msg:\"exploit\"; http.uri; content:\"/exploit\"; sid:1;)\n\
reject tcp any any -> any 80 (msg:\"header\"; flow:established,to_server; content:\"X-Evil|3a|\"; sid:2;)\n\
alert http any any -> any any (msg:\"in other words\"; http.uri; content:\"/replaceme\"; sid:3;)\n\
alert tcp any any -> any 80 (msg:\"in other words\"; flow:to_server; content:\"/replaceme\"; replace:\"/bigbigbig\"; sid:4;)\n";

/// A bed whose middle is a router that asks four queues.
fn routed(test: &str) -> Option<Bed> {
    let bed = bed(test)?;
    let run = |at: At, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        bed.run(at, words[0], &words[1..]).status.success()
    };
    for (at, line) in [
        (At::Client, "ip addr flush dev end0"),
        (At::Client, "ip addr add 10.78.0.1/24 dev end0"),
        (At::Client, "ip route add default via 10.78.0.254"),
        (At::Server, "ip route add default via 10.77.0.254"),
        (At::Middle, "ip addr add 10.78.0.254/24 dev port0"),
        (At::Middle, "ip addr add 10.77.0.254/24 dev port1"),
        (At::Middle, "sysctl -q -w net.ipv4.ip_forward=1"),
    ] {
        assert!(run(at, line), "{line}");
    }
    if !run(At::Middle, "iptables -I FORWARD -j NFQUEUE --queue-balance 0:3 --queue-bypass") {
        harness::skip(test, "iptables has no NFQUEUE target here");
        return None;
    }
    Some(bed)
}

#[test]
fn a_router_asks_and_is_answered() {
    let Some(bed) = routed("a_router_asks_and_is_answered") else { return };
    let mut live = Live::on(&["--nfqueue", "0-3"], &bed, "queues", RULES, &[]);
    let web = Web::start(&bed, &live.dir);
    let big = std::fs::read(live.dir.join("www/big")).unwrap();
    std::fs::write(live.dir.join("www/bigbigbig"), "as told").unwrap();
    for i in 1..9 {
        let a = format!("10.78.0.{i}");
        bed.run(At::Client, "ip", &["addr", "replace", &format!("{a}/24"), "dev", "end0"]);
        assert!(get(&bed, "big", &["--interface", &a]).is_some_and(|got| got == big), "{a}");
        assert!(refused(&bed, "exploit", &["--interface", &a]), "{a}");
    }
    // Refused at once, not when patience ends.
    let since = std::time::Instant::now();
    assert_eq!(get(&bed, "big", &["-H", "X-Evil: 1", "-m", "9"]), None);
    assert!(since.elapsed().as_secs() < 5);
    assert_eq!(get(&bed, "replaceme", &[]).as_deref(), Some(&b"as told"[..]));
    let ping = bed.run(At::Client, "ping", &["-q", "-c", "3", "-i", "0.1", "-s", "5000", &SERVER.to_string()]);
    assert!(ping.status.success());
    let asked = web.asked();
    assert!(!asked.contains("exploit") && !asked.contains("replaceme"), "{asked}");
    let stats = live.stats();
    let plane = &stats["lanes"][0]["plane"];
    let of = |key: &str| plane[key].as_u64().unwrap();
    assert_eq!((of("workers"), of("lost"), of("unsent"), of("untaken")), (4, 0, 0, 0), "{plane}");
    assert_eq!(of("received"), of("forwarded") + of("dropped"), "{plane}");
    assert!(of("dropped") > 0 && of("injected") > 0 && plane["inline"] == true, "{plane}");
    assert_eq!(plane["engine"]["tcp.midstream_pickups"], 0, "both directions are one worker's: {plane}");
    // While nobody listens, the rule lets everything by; listened to again, nothing harmful.
    let answered = pings(&bed, 200, || live.signal("-KILL", &live.pids()));
    assert!(answered >= 190, "{answered} of 200");
    assert_eq!(get(&bed, "exploit", &[]).as_deref(), Some(&b"the secret"[..]));
    live = Live::on(&["--nfqueue", "0-3"], &bed, "queues-again", RULES, &[]);
    assert!(refused(&bed, "exploit", &[]));
    let (_, status) = live.ctl(&["status"]);
    assert!(status.contains("nfqueue 0-3") && status.contains("capabilities CAP_NET_ADMIN"), "{status}");
}

/// Says `ready`, then how many of 16 datagrams came rewritten.
const SINK: &str = "\
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
s.bind(('', 9000))
s.settimeout(5)
print('ready', flush=True)
n = 0
try:
    for _ in range(16): n += s.recv(65535).startswith(b'bigbigbig')
except TimeoutError: pass
print(n, flush=True)
";

const SOURCE: &str = "\
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(16): s.sendto(b'replaceme' + bytes(60000), ('10.77.0.2', 9000))
";

#[test]
fn a_batch_of_long_packets_is_rewritten_whole() {
    let Some(bed) = routed("a_batch_of_long_packets_is_rewritten_whole") else { return };
    for (at, port) in [(At::Client, ENDS[0]), (At::Server, ENDS[1]), (At::Middle, PORTS[0]), (At::Middle, PORTS[1])] {
        assert!(bed.run(at, "ip", &["link", "set", port, "mtu", "65535"]).status.success());
    }
    let rules = "alert udp any any -> any 9000 (content:\"replaceme\"; replace:\"bigbigbig\"; sid:1;)\n";
    let live = Live::on(&["--nfqueue", "0-3"], &bed, "queues-long", rules, &[]);
    let mut sink = bed.spawn(At::Server, "python3", &["-c", SINK]);
    let mut said = BufReader::new(sink.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(said.next().as_deref(), Some("ready"));
    // All of them wait when it comes back.
    let plane = &live.pids()[1..2];
    live.signal("-STOP", plane);
    assert!(bed.run(At::Client, "python3", &["-c", SOURCE]).status.success());
    std::thread::sleep(Duration::from_millis(100));
    live.signal("-CONT", plane);
    assert_eq!(said.next().as_deref(), Some("16"));
    assert_eq!(live.pids()[1..2], *plane, "the same that was stopped");
    sink.wait().unwrap();
    // The longest that the kernel shows whole, and one that nobody can look into to its end.
    let server = SERVER.to_string();
    let ping =
        |bytes: &str| bed.run(At::Client, "ping", &["-c", "1", "-W", "1", "-s", bytes, &server]).status.success();
    assert!(ping("65503") && !ping("65504"));
}
