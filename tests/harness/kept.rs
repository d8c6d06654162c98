//! Connections that stay open: a server that keeps them, and a client that asks on each of them whenever it is told to.

use crate::live::{Live, Web};
use crate::netns::{At, Bed, SERVER};
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// Connections of a [`Keeper`].
pub const KEPT: usize = 100;
/// As many of them ask for the exploit in the end.
pub const ATTACKS: usize = 4;

/// Asks on each connection, waits for the word on standard input, asks again; at last for the exploit.
const CLIENT: &str = "\
import http.client, sys
cs = [http.client.HTTPConnection(sys.argv[1], 80, timeout=20) for _ in range(int(sys.argv[2]))]
def asked(path, cs):
    n = 0
    for c in cs:
        c.auto_open = 0
        try:
            c.request('GET', path)
            r = c.getresponse()
            r.read()
            n += r.status == 200
        except (OSError, http.client.HTTPException):
            # One is enough to tell, and each takes its time.
            if path == '/kept': break
    return n
for c in cs:
    c.connect()
print(asked('/kept', cs), flush=True)
for line in sys.stdin:
    print(asked('/kept', cs), flush=True)
cs = cs[:int(sys.argv[3])]
for c in cs:
    if c.sock: c.sock.settimeout(1)
print(asked('/exploit', cs), flush=True)
";

const SERVE: &str = "\
import http.server, socketserver, sys, os
os.chdir(sys.argv[2])
class H(http.server.SimpleHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
class S(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True
S((sys.argv[1], 80), H).serve_forever()
";

/// A web server as [`Web::start`]'s that keeps connections open.
pub fn keeping(bed: &Bed, dir: &Path) -> Web {
    let mut web = Web::start(bed, dir);
    let _ = web.child.kill();
    let _ = web.child.wait();
    std::fs::write(dir.join("www/kept"), "k".repeat(20_000)).unwrap();
    let mut c = bed.command(At::Server, "python3");
    c.args(["-c", SERVE, &SERVER.to_string()]).arg(dir.join("www")).stdin(Stdio::null()).stderr(Stdio::null());
    web.child = c.spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while bed.inside(At::Server, || TcpStream::connect((SERVER, 80))).is_err() {
        assert!(Instant::now() < end, "the web server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    web
}

/// The client.
pub struct Keeper {
    child: Child,
    to: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Keeper {
    /// Has had an answer on each connection.
    pub fn start(bed: &Bed) -> Keeper {
        let mut c = bed.command(At::Client, "python3");
        c.args(["-c", CLIENT, &SERVER.to_string(), &KEPT.to_string(), &ATTACKS.to_string()]);
        let mut child = c.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut keeper = Keeper { to: child.stdin.take(), answers, child };
        assert_eq!(keeper.answered(), KEPT);
        keeper
    }

    /// Asks on each connection; how many had their answer.
    pub fn ask(&mut self) -> usize {
        writeln!(self.to.as_mut().unwrap()).unwrap();
        self.answered()
    }

    /// Asks for the exploit, which is the last that is asked for.
    pub fn attack(&mut self) -> usize {
        self.to = None;
        self.answered()
    }

    fn answered(&mut self) -> usize {
        self.answers.next().unwrap().unwrap().parse().unwrap()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connections that were taken up where they stood, once all are; a connection's last acknowledgement, which settles what
/// it is, may come after its answer.
pub fn resynced(live: &Live) -> u64 {
    let of = |lane: &serde_json::Value| lane["plane"]["engine"]["flow.resynced"].as_u64().unwrap();
    of(&live.settled(|lane| of(lane) >= KEPT as u64))
}

/// Connections on which the log says that the exploit was stopped.
pub fn stopped(live: &Live) -> usize {
    let eve = std::fs::read_to_string(live.dir.join("eve.json")).unwrap();
    let alerts = eve.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    let ours = alerts.filter(|r| r["event_type"] == "alert" && r["alert"]["signature_id"] == 1);
    ours.map(|r| r["src_port"].as_u64()).collect::<std::collections::BTreeSet<_>>().len()
}
