//! Flows that the kernel carries by itself, on a real wire: a long body goes by without us and what follows it on its
//! connection does not; other rules, and a connection of the same ports, end what was agreed on.
//!
//! Wants root, for the namespaces; says that it skipped where it has not.

use harness::live::{Live, PATIENT, RULES, bed};
use harness::netns::{At, Bed, PORTS, SERVER};
use serde_json::Value;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

const TRUSTED: &str = "pass http any any -> any any (msg:\"t\"; http.uri; content:\"/trusted\"; bypass; sid:3;)\n";
const BODY: u64 = 60_000_000;

/// Keeps connections open, answers every path, `/huge` at length, and takes bodies.
const SERVE: &str = "\
import http.server, socketserver, sys
piece = bytes(range(256)) * 1000
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self):
        left = int(self.headers.get('Content-Length', 0))
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        n = int(sys.argv[3]) if self.path == '/huge' else 2
        self.send_response(200)
        self.send_header('Content-Length', str(n))
        self.end_headers()
        while n:
            n -= self.wfile.write(piece[:min(n, len(piece))])
    do_GET = do_POST = answer
    def log_message(self, *a):
        with open(sys.argv[2], 'a') as f:
            f.write(self.path + '\\n')
class S(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
S((sys.argv[1], 80), H).serve_forever()
";

/// One connection from a port of its own, and what is to be done on it, a line each: a path to ask for, `post` and how
/// much, or `anew`.
const ASK: &str = "\
import http.client, socket, struct, sys
def opened():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('', int(sys.argv[2])))
    s.settimeout(10)
    s.connect((sys.argv[1], 80))
    c = http.client.HTTPConnection(sys.argv[1], 80)
    c.auto_open = 0
    c.sock = s
    return c
c = opened()
for line in sys.stdin:
    what = line.split()
    try:
        if what[0] == 'anew':
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            c.close()
            c = opened()
            print('opened', flush=True)
            continue
        if what[0] == 'post':
            c.request('POST', '/up', b'u' * int(what[1]))
        else:
            c.request('GET', what[0])
        print(len(c.getresponse().read()), flush=True)
    except (OSError, http.client.HTTPException) as e:
        print('nothing', flush=True)
";

struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    fn start(bed: &Bed, dir: &Path) -> Server {
        let log = dir.join("asked.log");
        std::fs::write(&log, "").unwrap();
        let mut c = bed.command(At::Server, "python3");
        c.args(["-c", SERVE, &SERVER.to_string()]).arg(&log).arg(BODY.to_string());
        let child = c.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(700));
        Server { child, log }
    }

    fn was_asked_for(&self, path: &str) -> bool {
        std::fs::read_to_string(&self.log).unwrap().lines().any(|l| l == path)
    }
}

struct Client {
    child: Child,
    to: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(bed: &Bed, port: u16) -> Client {
        let mut c = bed.command(At::Client, "python3");
        c.args(["-c", ASK, &SERVER.to_string(), &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = c.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Client { to: child.stdin.take().unwrap(), answers, child }
    }

    fn ask(&mut self, what: &str) -> String {
        writeln!(self.to, "{what}").unwrap();
        self.answers.next().unwrap().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stats(live: &Live) -> Value {
    live.stats()["lanes"][0].clone()
}

/// Frames that the kernel forwarded by itself as ones of flows it carries, or what else it counts, at either port.
fn kernel(live: &Live, what: &str) -> u64 {
    let stats = stats(live);
    PORTS.iter().map(|p| stats["kernel"][p][what].as_u64().unwrap()).sum()
}

fn end(live: &mut Live) -> Vec<Value> {
    live.signal("-TERM", &[live.child.id()]);
    live.child.wait().unwrap();
    let eve = std::fs::read_to_string(live.dir.join("eve.json")).unwrap();
    eve.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn a_long_body_goes_by_and_the_exploit_behind_it_does_not() {
    let Some(bed) = bed("a_long_body_goes_by_and_the_exploit_behind_it_does_not") else { return };
    for (port, what, answer) in [(5_555, "/huge", BODY), (5_556, "post 60000000", 2)] {
        let mut live = Live::start(&bed, what.trim_start_matches('/').split(' ').next().unwrap(), PATIENT);
        let server = Server::start(&bed, &live.dir);
        let mut client = Client::start(&bed, port);
        let before = kernel(&live, "flow.forwarded_bytes");
        assert_eq!(client.ask(what), answer.to_string());
        let carried = kernel(&live, "flow.forwarded_bytes") - before;
        assert!(carried > BODY / 2, "{what}: {carried}");
        assert_eq!(client.ask("/benign"), "2");
        assert_eq!(client.ask("/exploit"), "nothing");
        assert!(server.was_asked_for("/benign") && !server.was_asked_for("/exploit"), "{what}");
        // It is the kernel that drops what is sent again.
        std::thread::sleep(Duration::from_millis(1_500));
        let stats = stats(&live);
        assert!(kernel(&live, "flow.dropped") > 0 && stats["plane"]["kept_flows"] != 0, "{what}: {stats}");
        drop((client, server));
        let events = end(&mut live);
        let flow = events.iter().find(|e| e["event_type"] == "flow" && e["src_port"] == port).unwrap();
        let bytes = |e: &Value| e["bytes_toserver"].as_u64().unwrap() + e["bytes_toclient"].as_u64().unwrap();
        assert!(bytes(&flow["flow"]["bypassed"]) > BODY / 2 && bytes(&flow["flow"]) > BODY, "{what}: {flow}");
        assert!(events.iter().any(|e| e["alert"]["signature_id"] == 1));
    }
}

#[test]
fn nothing_is_carried_that_is_not_to_be() {
    let Some(bed) = bed("nothing_is_carried_that_is_not_to_be") else { return };
    let live = Live::start(&bed, "off", &[PATIENT, &["--set", "run.offload=false"]].concat());
    let _server = Server::start(&bed, &live.dir);
    let mut client = Client::start(&bed, 5_555);
    assert_eq!(client.ask("/huge"), BODY.to_string());
    assert_eq!(client.ask("/exploit"), "nothing");
    assert_eq!((kernel(&live, "flow.forwarded"), kernel(&live, "flow.dropped")), (0, 0));
}

#[test]
fn other_rules_and_a_tuple_used_anew_end_a_bypass() {
    let Some(bed) = bed("other_rules_and_a_tuple_used_anew_end_a_bypass") else { return };
    for anew in [true, false] {
        let live = Live::with(&bed, if anew { "anew" } else { "rules" }, &[RULES, TRUSTED].concat(), PATIENT);
        let server = Server::start(&bed, &live.dir);
        let mut client = Client::start(&bed, if anew { 5_555 } else { 5_556 });
        assert_eq!(client.ask("/trusted"), "2");
        // Whatever it says now.
        assert_eq!(client.ask("/exploit"), "2");
        assert_eq!(client.ask("/huge"), BODY.to_string());
        assert!(kernel(&live, "flow.forwarded") > 0 && stats(&live)["plane"]["kept_flows"] == 1);
        std::fs::remove_file(&server.log).unwrap();
        match anew {
            true => assert_eq!(client.ask("anew"), "opened"),
            false => {
                std::fs::write(live.dir.join("x.rules"), RULES).unwrap();
                assert_eq!(live.ctl(&["reload"]).0, Some(0));
            }
        }
        assert_eq!(client.ask("/benign"), "2");
        assert_eq!(client.ask("/exploit"), "nothing");
        assert!(server.was_asked_for("/benign") && !server.was_asked_for("/exploit"));
    }
}
