//! Real clients and real servers: what one sends is what the other gets, over IPv4 and IPv6.

use crate::talk::CLOSED;
use harness::live::{Live, bed};
use harness::netns::{At, Bed, SERVER, SERVER6};
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(SERVER), IpAddr::V6(SERVER6)];

/// A server in its namespace, its output beside its files. Ended when dropped.
pub struct Server(Child);

impl Server {
    /// Begun, and waited for until it listens on this port.
    pub fn start(bed: &Bed, dir: &Path, port: u16, program: &str, args: &[&str]) -> Server {
        let said = dir.join(format!("{port}.log"));
        let log = std::fs::File::create(&said).unwrap();
        let mut c = bed.command(At::Server, program);
        c.args(args).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Server(c.spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(20);
        while !ADDRESSES.iter().all(|a| bed.inside(At::Server, || TcpStream::connect((*a, port))).is_ok()) {
            let ended = server.0.try_wait().unwrap();
            let text = std::fs::read_to_string(&said).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < end, "{program} does not listen: {ended:?}\n{text}");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bed where these programs are to be had; says what is missing otherwise.
pub fn bed_with(test: &str, programs: &[&str]) -> Option<Bed> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders: Vec<&Path> = path.split(':').chain(["/usr/sbin", "/sbin"]).map(Path::new).collect();
    match programs.iter().find(|p| !folders.iter().any(|f| f.join(p).is_file())) {
        Some(missing) => {
            harness::skip(test, &format!("{missing} is not installed"));
            None
        }
        None => bed(test),
    }
}

/// Bytes that no compression makes shorter.
fn random(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ n as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(n.div_ceil(8)).flatten().collect();
    bytes.truncate(n);
    bytes
}

/// What the program said, which must have succeeded.
pub fn run(bed: &Bed, at: At, program: &str, args: &[&str]) -> String {
    let out = bed.run(at, "timeout", &[&["30", program], args].concat());
    let (text, wrong) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{program} {args:?}: {}\n{text}\n{wrong}", out.status);
    text.into_owned()
}

/// Serves `www` of the folder at 80, takes what is put there, compresses text, logs a line a request.
pub fn nginx(bed: &Bed, dir: &Path) -> Server {
    std::fs::create_dir_all(dir.join("www")).unwrap();
    let d = dir.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.iter().map(|t| format!("{t}_temp_path {d}/{t};")).collect();
    let conf = format!(
        "user root; worker_processes 1; daemon off; pid {d}/pid; error_log {d}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log {d}/access.log; {temporary} keepalive_requests 1000000;\n\
         gzip on; gzip_min_length 100; gzip_types *; client_max_body_size 64m;\n\
         server {{ listen 80; listen [::]:80; root {d}/www; dav_methods PUT; }} }}\n"
    );
    std::fs::write(dir.join("nginx.conf"), conf).unwrap();
    Server::start(bed, dir, 80, "nginx", &["-c", dir.join("nginx.conf").to_str().unwrap()])
}

fn url(a: IpAddr, path: &str) -> String {
    format!("http://{}/{path}", std::net::SocketAddr::new(a, 80))
}

pub fn path(p: &Path) -> &str {
    p.to_str().unwrap()
}

#[test]
fn files_go_up_and_down_the_web_as_they_are() {
    let Some(bed) = bed_with("files_go_up_and_down_the_web_as_they_are", &["nginx", "curl"]) else { return };
    let live = Live::start(&bed, "web", &CLOSED);
    let _server = nginx(&bed, &live.dir);
    let www = live.dir.join("www");
    let (whole, text) = (random(3_000_000), "words that repeat themselves, ".repeat(40_000));
    let (up, down) = (live.dir.join("up"), live.dir.join("down"));
    std::fs::write(&up, &whole).unwrap();
    std::fs::write(www.join("text"), &text).unwrap();
    std::fs::write(www.join("exploit"), "the secret").unwrap();
    for (n, a) in ADDRESSES.into_iter().enumerate() {
        let curl = |args: &[&str]| run(&bed, At::Client, "curl", &[&["-gsSf", "--no-progress-meter"], args].concat());
        // With a length, and in chunks.
        for (kind, more) in [("length", &[][..]), ("chunks", &["-H", "Transfer-Encoding: chunked"])] {
            let name = format!("{kind}{n}");
            curl(&[&["-T", path(&up), &url(a, &name)], more].concat());
            assert!(std::fs::read(www.join(&name)).unwrap() == whole, "{a}: put by {kind}");
            curl(&["-o", path(&down), &url(a, &name)]);
            assert!(std::fs::read(&down).unwrap() == whole, "{a}: got");
        }
        curl(&["--compressed", "-o", path(&down), &url(a, "text")]);
        assert!(std::fs::read(&down).unwrap() == text.as_bytes(), "{a}: compressed");
        // One connection for all of them.
        let u = url(a, &format!("length{n}"));
        let many =
            curl(&["-w", "%{num_connects} ", "-o", "/dev/null", &u, "-o", "/dev/null", &u, "-o", path(&down), &u]);
        assert_eq!(many, "1 0 0 ");
        assert!(std::fs::read(&down).unwrap() == whole, "{a}: kept");
        let out = bed.run(At::Client, "curl", &["-gsS", "-m", "1", &url(a, "exploit")]);
        assert!(!out.status.success(), "{a}");
    }
    let asked = std::fs::read_to_string(live.dir.join("access.log")).unwrap();
    assert!(!asked.contains("exploit") && asked.matches("PUT ").count() == 4, "{asked}");
}

#[test]
fn every_request_of_many_is_answered() {
    let Some(bed) = bed_with("every_request_of_many_is_answered", &["nginx", "wrk"]) else { return };
    let live = Live::start(&bed, "many", &[]);
    let _server = nginx(&bed, &live.dir);
    std::fs::write(live.dir.join("www/page"), random(4_000)).unwrap();
    for a in ADDRESSES {
        let log = live.dir.join("access.log");
        let lines = || std::fs::read_to_string(&log).unwrap().lines().count();
        let before = lines();
        let said = run(&bed, At::Client, "wrk", &["-t1", "-c8", "-d2s", &url(a, "page")]);
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
        let answered = said.split(" requests in").next().and_then(|t| t.rsplit(' ').next());
        let answered: usize = answered.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("wrk said {said}"));
        // An answer goes before the line that tells of it. Each connection may have had a request on the way when the time
        // was up, of which a line is written when it is seen to be gone.
        std::thread::sleep(Duration::from_secs(1));
        let served = lines() - before;
        assert!(answered > 100 && (answered..=answered + 8).contains(&served), "{a}: {served} served, {said}");
    }
}

#[test]
fn bulk_goes_both_ways() {
    let Some(bed) = bed_with("bulk_goes_both_ways", &["iperf3"]) else { return };
    let live = Live::start(&bed, "bulk", &[]);
    let _server = Server::start(&bed, &live.dir, 5201, "iperf3", &["-s"]);
    for a in ADDRESSES {
        for way in
            [&["-n", "60M"][..], &["-n", "60M", "-R"], &["-n", "60M", "-P", "4"], &["-n", "4M", "-u", "-b", "40M"]]
        {
            let said = run(&bed, At::Client, "iperf3", &[&["-J", "-c", &a.to_string()], way].concat());
            let said: serde_json::Value = serde_json::from_str(&said).unwrap();
            let end = &said["end"];
            assert!(said["error"].is_null(), "{a} {way:?}: {said}");
            if way.contains(&"-u") {
                // A busy machine may keep the worker waiting.
                assert!(end["sum"]["lost_percent"].as_f64().unwrap() < 5.0, "{a}: {end}");
            } else {
                // What is on the way at the end is not counted, and buffers of four streams hold most of it.
                let received = end["sum_received"]["bytes"].as_u64().unwrap();
                assert!(received >= 6_000_000, "{a} {way:?}: {end}");
            }
        }
    }
}

#[test]
fn files_are_copied_over_ssh() {
    let needed = ["sshd", "ssh", "scp", "ssh-keygen", "unshare"];
    let Some(bed) = bed_with("files_are_copied_over_ssh", &needed) else { return };
    let live = Live::start(&bed, "ssh", &[]);
    let d = live.dir.display();
    for key in ["host", "own"] {
        run(&bed, At::Client, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", path(&live.dir.join(key))]);
    }
    let conf = format!(
        "HostKey {d}/host\nPidFile none\nAuthorizedKeysFile {d}/own.pub\nStrictModes no\nUsePAM no\n\
         PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
    );
    std::fs::write(live.dir.join("sshd.conf"), conf).unwrap();
    // Of the folders that it insists on it sees its own.
    let sshd = format!(
        "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec \"$(PATH=$PATH:/usr/sbin command -v sshd)\" \
         -D -e -f {d}/sshd.conf"
    );
    let _server = Server::start(&bed, &live.dir, 22, "unshare", &["-m", "sh", "-c", &sshd]);
    let whole = random(2_000_000);
    let from = live.dir.join("from");
    std::fs::write(&from, &whole).unwrap();
    let key = live.dir.join("own");
    let known = format!("UserKnownHostsFile={d}/known");
    let how = ["-F", "none", "-B", "-i", path(&key), "-o", "StrictHostKeyChecking=no", "-o", &known];
    for (n, a) in ADDRESSES.into_iter().enumerate() {
        let (there, back) = (live.dir.join(format!("there{n}")), live.dir.join(format!("back{n}")));
        let far = format!("root@[{a}]:{}", there.display());
        run(&bed, At::Client, "scp", &[&how[..], &[path(&from), &far]].concat());
        assert!(std::fs::read(&there).unwrap() == whole, "{a}: there");
        run(&bed, At::Client, "scp", &[&how[..], &[&far, path(&back)]].concat());
        assert!(std::fs::read(&back).unwrap() == whole, "{a}: back");
    }
}

#[test]
fn names_are_resolved() {
    let Some(bed) = bed_with("names_are_resolved", &["dnsmasq", "dig"]) else { return };
    let rules = "drop dns any any -> any any (dns.query; content:\"evil\"; sid:1;)\n";
    let live = Live::with(&bed, "dns", rules, &CLOSED);
    let long = "t".repeat(250);
    let mut args: Vec<String> = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"]
        .into_iter()
        .chain([
            "--user=root",
            "--pid-file=",
            "--address=/fine.example/198.51.100.7",
            "--address=/fine.example/2001:db8::7",
        ])
        .chain(["--address=/evil.example/198.51.100.8"])
        .map(str::to_owned)
        .collect();
    args.extend((0..5).map(|i| format!("--txt-record=text.example,{i}{long}")));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let _server = Server::start(&bed, &live.dir, 53, "dnsmasq", &args);
    for a in ADDRESSES {
        let at = format!("@{a}");
        let dig = |args: &[&str]| run(&bed, At::Client, "dig", &[&[at.as_str(), "+short"], args].concat());
        for how in ["+notcp", "+tcp"] {
            assert_eq!(dig(&[how, "fine.example", "A"]), "198.51.100.7\n");
            assert_eq!(dig(&[how, "fine.example", "AAAA"]), "2001:db8::7\n");
        }
        // In one datagram, and cut short there and asked for again over TCP.
        for room in ["+bufsize=4096", "+bufsize=512"] {
            let text = dig(&[room, "text.example", "TXT"]);
            assert!((0..5).all(|i| text.contains(&format!("{i}{long}"))), "{text}");
        }
        for how in ["+notcp", "+tcp"] {
            let out = bed.run(At::Client, "dig", &[&at, "+short", how, "+time=1", "+tries=1", "evil.example"]);
            assert!(!String::from_utf8_lossy(&out.stdout).contains("198.51.100.8"), "{a} {how}: {out:?}");
        }
    }
}

#[test]
fn files_are_put_on_a_share_and_got_from_it() {
    let test = "files_are_put_on_a_share_and_got_from_it";
    let Some(bed) = bed_with(test, &["smbd", "smbclient"]) else { return };
    let live = Live::start(&bed, "smb", &[]);
    let d = live.dir.display();
    let own: Vec<PathBuf> = ["share", "var"].map(|f| live.dir.join(f)).into();
    own.iter().for_each(|f| std::fs::create_dir_all(f).unwrap());
    let folders = ["private dir", "lock directory", "state directory", "cache directory", "pid directory"];
    let folders: String = folders.iter().map(|f| format!("{f} = {d}/var\n")).collect();
    let conf = format!(
        "[global]\n{folders}ncalrpc dir = {d}/var/ncalrpc\nlog file = {d}/smb.log\nmap to guest = bad user\n\
         guest account = root\nserver role = standalone\ndisable spoolss = yes\nload printers = no\n\
         [s]\npath = {d}/share\nguest ok = yes\nread only = no\n"
    );
    let file = live.dir.join("smb.conf");
    std::fs::write(&file, conf).unwrap();
    let _server = Server::start(&bed, &live.dir, 445, "smbd", &["-F", "--no-process-group", "-s", path(&file)]);
    let whole = random(2_000_000);
    let (from, back) = (live.dir.join("from"), live.dir.join("back"));
    std::fs::write(&from, &whole).unwrap();
    for (n, a) in ADDRESSES.into_iter().enumerate() {
        let told = format!("put {} f{n}; get f{n} {}", from.display(), back.display());
        let (address, service) = (a.to_string(), "//server/s".to_owned());
        run(&bed, At::Client, "smbclient", &["-N", "-s", path(&file), "-I", &address, &service, "-c", &told]);
        assert!(std::fs::read(own[0].join(format!("f{n}"))).unwrap() == whole, "{a}: put");
        assert!(std::fs::read(&back).unwrap() == whole, "{a}: got");
        std::fs::remove_file(&back).unwrap();
    }
}
