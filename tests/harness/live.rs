//! The program at work between a client and a server, and what tests of it ask.

use crate::netns::{At, Bed, PORTS, SERVER};
use crate::{program, skip};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What it runs with unless the test writes others.
pub const RULES: &str = "\
drop http any any -> any any (msg:\"exploit\"; http.uri; content:\"/exploit\"; sid:1;)\n\
drop tcp any any -> any 80 (msg:\"header\"; flow:established,to_server; content:\"X-Evil|3a|\"; sid:2;)\n";

/// However busy the machine, nothing goes by uninspected: the kernel does not go on without workers that are late for want
/// of a processor, and what finds no room is dropped and comes again.
pub const PATIENT: &[&str] = &["--set", "run.stale-ms=5000", "--set", "run.overload=drop"];

/// The program between the ports of a bed. Ended when dropped; its folder is gone with the bed.
pub struct Live {
    program: PathBuf,
    pub child: Child,
    pub dir: PathBuf,
    lines: std::sync::mpsc::Receiver<String>,
    /// What it has said.
    pub said: Vec<String>,
}

impl Live {
    /// Runs it and waits until it inspects.
    pub fn start(bed: &Bed, test: &str, more: &[&str]) -> Live {
        Live::with(bed, test, RULES, more)
    }

    /// The same with these rules.
    pub fn with(bed: &Bed, test: &str, rules: &str, more: &[&str]) -> Live {
        Live::on(&["--inline", &PORTS.join(":")], bed, test, rules, more)
    }

    /// The same on other traffic than the wire's.
    pub fn on(lanes: &[&str], bed: &Bed, test: &str, rules: &str, more: &[&str]) -> Live {
        let program = program().expect("the program is built before the tests run");
        Live::ruled(&program, lanes, bed, test, rules, more)
    }

    /// The same of a program that is named. It runs with [`RULES`], which lie in its folder as `x.rules`.
    pub fn of(program: &Path, bed: &Bed, test: &str, more: &[&str]) -> Live {
        Live::ruled(program, &["--inline", &PORTS.join(":")], bed, test, RULES, more)
    }

    fn ruled(program: &Path, lanes: &[&str], bed: &Bed, test: &str, rules: &str, more: &[&str]) -> Live {
        let dir = bed.dir().join(test);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("x.rules"), rules).unwrap();
        let mut c = bed.command(At::Middle, program.to_str().unwrap());
        c.arg("run").args(lanes).arg("-S").arg(dir.join("x.rules")).arg("-l").arg(&dir);
        c.arg("--control").arg(dir.join("sock")).args(more);
        let mut child = c.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        let (to, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || err.lines().map_while(Result::ok).try_for_each(|l| to.send(l)));
        let mut live = Live { program: program.into(), child, dir, lines, said: Vec::new() };
        live.until("inspecting after");
        live
    }

    /// Waits for a line with this in it.
    pub fn until(&mut self, what: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(what) => return self.said.push(line),
                Ok(line) => self.said.push(line),
                Err(_) => panic!("it never said `{what}`, but:\n{}", self.said.join("\n")),
            }
        }
    }

    /// What it has said since it was last waited for.
    pub fn heard(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// `stopgap ctl`: its exit code, and all it said.
    pub fn ctl(&self, args: &[&str]) -> (Option<i32>, String) {
        let out = Command::new(&self.program)
            .args(["ctl", "--control"])
            .arg(self.dir.join("sock"))
            .args(args)
            .output()
            .unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Every counter.
    pub fn stats(&self) -> serde_json::Value {
        let (code, text) = self.ctl(&["stats"]);
        assert_eq!(code, Some(0), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The first pair's counters once this holds of them, or what they are when patience ends: what is on its way is counted
    /// where it comes from and not yet where it goes.
    pub fn settled(&self, holds: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let lane = self.stats()["lanes"][0].clone();
            if holds(&lane) || Instant::now() > end {
                return lane;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The processes: supervisor and data plane.
    pub fn pids(&self) -> Vec<u32> {
        let mine = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{mine}/task/{mine}/children")).unwrap_or_default();
        std::iter::once(mine).chain(children.split_whitespace().filter_map(|p| p.parse().ok())).collect()
    }

    /// `-KILL`, `-STOP` and so on.
    pub fn signal(&self, which: &str, pids: &[u32]) {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        assert!(Command::new("kill").arg(which).args(pids).status().unwrap().success());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let pids = self.pids();
        for which in ["-CONT", "-KILL"] {
            let pids = pids.iter().map(u32::to_string);
            let _ = Command::new("kill").arg(which).args(pids).stderr(Stdio::null()).status();
        }
        let _ = self.child.wait();
    }
}

/// Says that the test skipped where there can be none.
pub fn bed(test: &str) -> Option<Bed> {
    let bed = Bed::new();
    if bed.is_none() {
        skip(test, "network namespaces are refused here");
    }
    bed
}

/// A web server inside, which tells every request line it was asked.
pub struct Web {
    pub child: Child,
    log: PathBuf,
}

impl Web {
    /// Serves the folder `www` below `dir`, with a `big` body and an `exploit` in it.
    pub fn start(bed: &Bed, dir: &Path) -> Web {
        let www = dir.join("www");
        std::fs::create_dir_all(&www).unwrap();
        std::fs::write(www.join("exploit"), "the secret").unwrap();
        let body: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        std::fs::write(www.join("big"), body).unwrap();
        let log = dir.join("access.log");
        let mut c = bed.command(At::Server, "python3");
        c.args(["-m", "http.server", "--bind", &SERVER.to_string(), "--directory"]).arg(&www).arg("80");
        c.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let web = Web { child: c.spawn().unwrap(), log };
        for _ in 0..100 {
            let out =
                bed.run(At::Server, "curl", &["-sS", "-m", "1", "-o", "/dev/null", &format!("http://{SERVER}/up")]);
            if out.status.success() {
                return web;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the web server does not answer");
    }

    /// Its log.
    pub fn asked(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body that the server answered the client with.
pub fn get(bed: &Bed, path: &str, more: &[&str]) -> Option<Vec<u8>> {
    let url = format!("http://{SERVER}/{path}");
    let out = bed.run(At::Client, "curl", &[&["-sS", "-m", "10", url.as_str()], more].concat());
    out.status.success().then_some(out.stdout)
}

/// Whether the server's answer does not come.
pub fn refused(bed: &Bed, path: &str, more: &[&str]) -> bool {
    get(bed, path, &[&["-m", "1"], more].concat()).is_none()
}

/// Whether exploits are stopped by one that is not [`PATIENT`]: a machine that keeps it waiting lets one by, not each.
pub fn stops_exploits(bed: &Bed) -> bool {
    (0..3).any(|_| refused(bed, "exploit", &[]))
}

/// How many of `n` pings 10 ms apart were answered, with something done at the third of them.
pub fn pings(bed: &Bed, n: u32, act: impl FnOnce()) -> u32 {
    let (count, server) = (n.to_string(), SERVER.to_string());
    let mut ping = bed.spawn(At::Client, "ping", &["-q", "-i", "0.01", "-W", "1", "-c", &count, &server]);
    std::thread::sleep(Duration::from_millis(u64::from(n) * 10 / 3));
    act();
    let mut text = String::new();
    ping.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let _ = ping.wait();
    let received = text.split(" received").next().and_then(|t| t.rsplit(' ').next()).and_then(|t| t.parse().ok());
    received.unwrap_or_else(|| panic!("ping said: {text}"))
}
