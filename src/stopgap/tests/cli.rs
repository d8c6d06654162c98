//! The program as a person meets it: what it prints, writes and exits with.

use capture::{OwnedFrame, Receive};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory of this test alone, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stopgap-cli-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn stopgap<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Output {
    let out = Command::new(env!("CARGO_BIN_EXE_stopgap")).args(args).stdin(Stdio::null()).output().unwrap();
    for text in [&out.stdout, &out.stderr] {
        assert!(!String::from_utf8_lossy(text).contains("panicked"), "{}", String::from_utf8_lossy(text));
    }
    out
}

macro_rules! run {
    ($($arg:expr),* $(,)?) => { stopgap(&[$(Path::new(&$arg).as_os_str().to_owned()),*]) };
}

fn code(o: &Output) -> i32 {
    o.status.code().expect("ended by a signal")
}

fn err(o: &Output) -> String {
    String::from_utf8_lossy(&o.stderr).into_owned()
}

fn out(o: &Output) -> String {
    String::from_utf8_lossy(&o.stdout).into_owned()
}

fn json(o: &Output) -> serde_json::Value {
    serde_json::from_slice(&o.stdout).unwrap_or_else(|e| panic!("{e}: {} {}", out(o), err(o)))
}

fn eve(dir: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(dir.join("eve.json")).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn of_type<'e>(records: &'e [serde_json::Value], kind: &str) -> Vec<&'e serde_json::Value> {
    records.iter().filter(|r| r["event_type"] == kind).collect()
}

fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes: Vec<u8> = parts.concat();
    let mut sum: u32 = bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// One TCP segment in Ethernet between a client and a server on port 80, with right checksums.
fn segment(client: [u8; 4], up: bool, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let server = [192, 0, 2, 80];
    let (src, dst, ports) = if up { (client, server, [4, 1, 0, 80]) } else { (server, client, [0, 80, 4, 1]) };
    let mut tcp = ports.to_vec();
    tcp.extend(seq.to_be_bytes());
    tcp.extend(ack.to_be_bytes());
    tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(payload);
    let len = (tcp.len() as u16).to_be_bytes();
    let sum = checksum(&[&src, &dst, &[0, 6], &len, &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut ip = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0];
    ip[2..4].copy_from_slice(&(20 + tcp.len() as u16).to_be_bytes());
    ip.extend(src);
    ip.extend(dst);
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &ip, &tcp].concat()
}

/// A request and its answer from handshake to end.
fn dialogue(client: [u8; 4], path: &str) -> Vec<Vec<u8>> {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    const PSH: u8 = 24;
    const FIN: u8 = 17;
    let request = format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (c, s) = (1001 + request.len() as u32, 5001 + answer.len() as u32);
    let seg = |up, seq, ack, flags, payload: &str| segment(client, up, seq, ack, flags, payload.as_bytes());
    vec![
        seg(true, 1000, 0, SYN, ""),
        seg(false, 5000, 1001, SYN | ACK, ""),
        seg(true, 1001, 5001, ACK, ""),
        seg(true, 1001, 5001, PSH, &request),
        seg(false, 5001, c, PSH, answer),
        seg(true, c, s, FIN, ""),
        seg(false, s, c + 1, FIN, ""),
        seg(true, c + 1, s + 1, ACK, ""),
    ]
}

fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let words = |w: &[u32]| w.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let mut out = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1]);
    for (i, f) in frames.iter().enumerate() {
        let len = f.len() as u32;
        // Time goes back now and then, as captures of several cards have it.
        let back = if i % 50 == 49 { 900 } else { 0 };
        out.extend(words(&[1_700_000_000 + i as u32 - back, 7, len, len]));
        out.extend(f);
    }
    out
}

/// Many clients, interleaved; every third asks for what the rules look for.
fn crowd() -> Vec<u8> {
    let all: Vec<Vec<Vec<u8>>> =
        (0..40u8).map(|i| dialogue([10, 0, i % 7, i + 1], if i % 3 == 0 { "/evil" } else { "/good" })).collect();
    let frames: Vec<Vec<u8>> = (0..8).flat_map(|step| all.iter().map(move |d| d[step].clone())).collect();
    pcap(&frames)
}

const RULES: &str = "\
alert http any any -> any any (msg:\"evil asked\"; http.uri; content:\"/evil\"; sid:1; rev:3; classtype:trojan-activity;)\n\
alert tcp any any -> any any (msg:\"syn\"; flags:S; sid:2;)\n";
const DROPS: &str = "drop http any any -> any any (msg:\"evil asked\"; http.uri; content:\"/evil\"; sid:1;)\n";

fn frames_of(path: &Path) -> Vec<OwnedFrame> {
    let mut reader = capture::open(path).unwrap();
    let mut all = Vec::new();
    loop {
        let mut frames = Vec::new();
        if reader.recv(&mut frames, 100).unwrap() == 0 {
            return all;
        }
        all.extend(frames.iter().map(|f| OwnedFrame { port: f.port, ..OwnedFrame::ethernet(f.ts, f.data.to_vec()) }));
    }
}

#[test]
fn replay_writes_eve_and_sums_up() {
    let d = Dir::new("eve");
    let (rules, cap) = (d.file("a.rules", RULES), d.file("a.pcap", pcap(&dialogue([10, 0, 0, 1], "/evil"))));
    let o = run!("replay", "-S", rules, "-l", d.path("out"), "--json", cap);
    assert_eq!(code(&o), 0, "{}", err(&o));
    let s = json(&o);
    assert_eq!((s["packets"].as_u64(), s["flows"].as_u64(), s["alerts"].as_u64()), (Some(8), Some(1), Some(2)));
    assert_eq!(s["alerts_by_sid"], serde_json::json!({"1": 1, "2": 1}));
    let records = eve(&d.path("out"));
    let alerts = of_type(&records, "alert");
    let evil = alerts.iter().find(|a| a["alert"]["signature_id"] == 1).unwrap();
    assert_eq!(evil["alert"]["action"], "allowed");
    assert_eq!(evil["alert"]["rev"], 3);
    assert_eq!(evil["alert"]["category"], "A Network Trojan was detected");
    assert_eq!((&evil["src_ip"], &evil["dest_port"]), (&"10.0.0.1".into(), &80.into()));
    assert_eq!(evil["pcap_filename"], cap.to_str().unwrap());
    assert_eq!((evil["app_proto"].as_str(), evil["http"]["url"].as_str()), (Some("http"), Some("/evil")));
    for kind in ["http", "flow", "fileinfo", "stats"] {
        assert_eq!(of_type(&records, kind).len(), 1, "{kind}");
    }
    let text = out(&run!("replay", "-S", rules, cap));
    for part in ["8 packets", "2 by 2 rules", "sid 1  evil asked"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains('\x1b'), "no colour without a terminal");
}

#[test]
fn inline_drops_and_writes_what_leaves() {
    let d = Dir::new("inline");
    let frames = [dialogue([10, 0, 0, 1], "/evil"), dialogue([10, 0, 0, 2], "/good")].concat();
    let (rules, cap) = (d.file("a.rules", DROPS), d.file("a.pcap", pcap(&frames)));
    for name in ["left.pcapng", "left.pcap"] {
        let o = run!("replay", "--inline", "-S", rules, "-l", d.path("out"), "-w", d.path(name), "--json", cap);
        assert_eq!(code(&o), 0, "{}", err(&o));
        assert!(err(&o).contains("exception policies:") && err(&o).contains("stream-midstream"), "{}", err(&o));
        let left = frames_of(&d.path(name));
        assert!(!left.iter().any(|f| f.data.windows(5).any(|w| w == b"/evil")));
        assert!(left.iter().any(|f| f.data.windows(5).any(|w| w == b"/good")));
        assert!(left.len() < frames.len());
        let s = json(&o);
        assert!(s["drops_by_reason"]["rules"].as_u64() >= Some(1), "{s}");
        assert_eq!(
            left.len() as u64,
            s["verdicts"]["forwarded"].as_u64().unwrap() + s["verdicts"]["injected"].as_u64().unwrap()
        );
    }
    let records = eve(&d.path("out"));
    assert_eq!(of_type(&records, "alert")[0]["alert"]["action"], "blocked");
    let drops = of_type(&records, "drop");
    assert_eq!(drops[0]["drop"]["reason"], "rules");
    assert_eq!(drops[0]["pcap_cnt"], 4);
}

#[test]
fn the_same_log_whatever_the_workers() {
    let d = Dir::new("jobs");
    let (rules, cap) =
        (d.file("a.rules", [RULES, DROPS.replace("sid:1", "sid:3").as_str()].concat()), d.file("a.pcap", crowd()));
    let log = |jobs: &str, n: usize| {
        let (dir, left) = (d.path(&format!("out{jobs}-{n}")), d.path(&format!("left{jobs}-{n}.pcapng")));
        let o = run!("replay", "--inline", "-S", rules, "-l", dir, "-w", left, "-j", jobs, cap);
        assert_eq!(code(&o), 0, "{}", err(&o));
        (std::fs::read_to_string(dir.join("eve.json")).unwrap(), std::fs::read(left).unwrap())
    };
    let one = log("1", 0);
    assert!(one.0.lines().count() > 100);
    for (jobs, n) in [("1", 1), ("2", 0), ("5", 0)] {
        let other = log(jobs, n);
        assert!(one.1 == other.1, "frames of -j {jobs}");
        for (a, b) in one.0.lines().zip(other.0.lines()) {
            assert_eq!(a, b, "-j {jobs}");
        }
        assert_eq!(one.0.len(), other.0.len());
    }
}

#[test]
fn captures_share_rules_and_nothing_else_unless_continuous() {
    let d = Dir::new("several");
    let whole = dialogue([10, 0, 0, 1], "/evil");
    let rules = d.file("a.rules", RULES);
    let (a, b) = (d.file("a.pcap", pcap(&whole[..3])), d.file("b.pcap", pcap(&whole[3..])));
    let alerts = |extra: &[&str]| {
        let dir = d.path("out");
        let mut args: Vec<std::ffi::OsString> = ["replay", "-S"].map(Into::into).to_vec();
        args.extend([rules.clone().into(), "-l".into(), dir.clone().into(), a.clone().into(), b.clone().into()]);
        args.extend(extra.iter().map(Into::into));
        assert_eq!(code(&stopgap(&args)), 0);
        let records = eve(&dir);
        let evil = records.iter().find(|r| r["alert"]["signature_id"] == 1).cloned();
        evil.map(|r| (r["pcap_filename"].as_str().unwrap().to_string(), r["pcap_cnt"].as_u64().unwrap()))
    };
    assert_eq!(alerts(&[]), None);
    let (name, number) = alerts(&["--continuous"]).unwrap();
    assert_eq!(name, b.to_str().unwrap());
    assert!((1..=5).contains(&number), "{number}");
}

#[test]
fn events_checksums_and_settings() {
    let d = Dir::new("options");
    let mut frames = dialogue([10, 0, 0, 1], "/evil");
    // The request's checksum becomes wrong: its receiver would discard it.
    frames[3][50] ^= 1;
    let (rules, cap) = (d.file("a.rules", RULES), d.file("a.pcap", pcap(&frames)));
    let kinds = |extra: &[&str]| {
        let dir = d.path("out");
        let mut args: Vec<std::ffi::OsString> = ["replay", "-S"].map(Into::into).to_vec();
        args.extend([rules.clone().into(), "-l".into(), dir.clone().into(), cap.clone().into()]);
        args.extend(extra.iter().map(Into::into));
        let o = stopgap(&args);
        assert_eq!(code(&o), 0, "{}", err(&o));
        eve(&dir).iter().map(|r| r["event_type"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&["-k", "none", "--events", "http,drop"]), ["http"]);
    assert_eq!(kinds(&["-k", "all", "--events", "alert"]), ["alert"]);
    assert_eq!(kinds(&["-k", "none", "--events", "alert"]), ["alert", "alert"]);
    // The request, then each direction as a whole and the response.
    assert_eq!(kinds(&["-k", "none", "--events", "frame"]), ["frame"; 4]);
    assert_eq!(kinds(&["--events", "netflow"]), ["netflow", "netflow"]);
    assert_eq!(
        kinds(&["--set", "checksums=none", "--set", "outputs.events=[flow, netflow]", "--events", "flow"]),
        ["flow"]
    );
    let config = d.file("c.yaml", "checksums: none\noutputs: {events: [alert]}\n");
    assert_eq!(kinds(&["-c", config.to_str().unwrap()]), ["alert", "alert"]);
}

#[test]
fn standard_input_and_compression() {
    let d = Dir::new("stdin");
    let rules = d.file("a.rules", RULES);
    let mut child = Command::new(env!("CARGO_BIN_EXE_stopgap"))
        .args(["replay", "--json", "-S", rules.to_str().unwrap(), "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&pcap(&dialogue([10, 0, 0, 1], "/evil"))).unwrap();
    let o = child.wait_with_output().unwrap();
    assert_eq!((code(&o), json(&o)["alerts"].as_u64()), (0, Some(2)));
}

#[test]
fn trouble_is_named_and_the_rest_is_done() {
    let d = Dir::new("trouble");
    let (rules, good) = (d.file("a.rules", RULES), pcap(&dialogue([10, 0, 0, 1], "/evil")));
    let cap = d.file("a.pcap", &good);
    let cut = d.file("cut.pcap", &good[..good.len() - 3]);
    let missing = d.path("missing.pcap");
    let replay = |args: &[&Path]| {
        let mut all: Vec<std::ffi::OsString> = ["replay", "--json", "-S"].map(Into::into).to_vec();
        all.push(rules.clone().into());
        all.extend(args.iter().map(|p| p.as_os_str().to_owned()));
        stopgap(&all)
    };
    for (args, expected, says) in [
        (vec![cap.as_path(), &missing], 1, "missing.pcap: No such file"),
        (vec![&missing], 2, "missing.pcap: No such file"),
        (vec![&cut], 1, "cut.pcap: cut short at byte"),
        (vec![&d.0], 2, "is a directory, not a capture file"),
        (vec![&rules], 2, "neither pcap nor pcapng"),
        (vec![&cap, Path::new("-S"), Path::new("/no/*.rules")], 1, "/no/*.rules: no file matches"),
        (vec![&cap, Path::new("-l"), &rules], 2, "cannot make the directory"),
        (vec![&cap, Path::new("-w"), Path::new("/no/where.pcap")], 2, "/no/where.pcap: No such file"),
        (vec![&cap, Path::new("-w"), Path::new("/dev/full")], 2, "/dev/full: cannot write: No space left"),
        (vec![&cap, Path::new("--events"), Path::new("alarm")], 2, "no event type is named alarm"),
        (vec![&cap, Path::new("--set"), Path::new("stream.midstraem=true")], 2, "midstream"),
        (vec![&cap, Path::new("-c"), Path::new("/no/c.yaml")], 2, "/no/c.yaml: No such file"),
        (vec![&cap, Path::new("--classification"), Path::new("/no/c")], 2, "/no/c: No such file"),
        (vec![&cap, Path::new("--nonsense")], 2, "--nonsense"),
        (vec![&cap, Path::new("-j"), Path::new("0")], 2, "1..=256"),
        (vec![], 2, "CAPTURE"),
    ] {
        let o = replay(&args);
        assert_eq!(code(&o), expected, "{args:?}: {}", err(&o));
        assert!(err(&o).contains(says), "{args:?}: {}", err(&o));
        if expected == 1 {
            assert!(json(&o)["packets"].as_u64() >= Some(7), "what could be done was: {}", out(&o));
        }
    }
    let o = run!("replay", "-S", "/no/*.rules", cap);
    assert_eq!((code(&o), err(&o).contains("no file matches")), (2, true), "{}", err(&o));
}

#[test]
fn rules_check_reports_like_a_compiler() {
    let d = Dir::new("check");
    let good = d.file("good.rules", RULES);
    let o = run!("rules", "check", good);
    assert_eq!(code(&o), 0, "{}", out(&o));
    assert!(out(&o).contains("2 rules of 1 files: 2 loaded, 0 refused"), "{}", out(&o));
    let bad = d.file("bad.rules", format!("{RULES}alert tcp any any -> any any (msg:\"x\"; contant:\"y\"; sid:9;)\nalert tcp any any -> any any (msg:\"p\"; content:\"a\"; pcre:\"/(/\"; sid:10;)\n"));
    let o = run!("rules", "check", bad);
    assert_eq!(code(&o), 1);
    let shown = format!("{}:3:", bad.display());
    assert!(out(&o).contains(&shown) && out(&o).contains("contant") && out(&o).contains('^'), "{}", out(&o));
    let o = run!("rules", "check", "--json", bad);
    let j = json(&o);
    assert_eq!((code(&o), j["loaded"].as_u64(), j["refused"].as_u64()), (1, Some(2), Some(2)));
    assert!(j["warnings"].is_u64());
    let errors: Vec<_> = j["diagnostics"].as_array().unwrap().iter().filter(|d| d["severity"] == "error").collect();
    assert_eq!((errors[0]["line"].as_u64(), errors[0]["sid"].as_u64()), (Some(3), Some(9)));
    assert_eq!(errors[1]["line"].as_u64(), Some(4));
    let o = run!("rules", "check", "/no/such.rules");
    assert_eq!((code(&o), err(&o).contains("/no/such.rules: No such file")), (2, true));
    let o = run!("rules", "check", d.0);
    assert_eq!((code(&o), err(&o).contains("is a directory")), (2, true));
    let empty = d.file("empty.rules", "");
    assert_eq!(code(&run!("rules", "check", empty)), 0);
}

#[test]
fn rules_explain_and_keywords() {
    let d = Dir::new("explain");
    let rules = d.file("a.rules", RULES);
    let o = run!("rules", "explain", "1", "-S", rules);
    assert_eq!(code(&o), 0, "{}", err(&o));
    for part in ["evil asked", "http.uri", "/evil", "cost"] {
        assert!(out(&o).contains(part), "{part}: {}", out(&o));
    }
    let o = run!("rules", "explain", "77", "-S", rules);
    assert_eq!((code(&o), err(&o).contains("sid 77: no rule has it")), (2, true), "{}", err(&o));
    assert!(out(&run!("keywords")).lines().count() > 60);
    assert!(out(&run!("keywords", "byte_test")).contains("syntax"));
    assert!(out(&run!("keywords", "http.*")).contains("http.uri"));
    let o = run!("keywords", "contant");
    assert_eq!((code(&o), err(&o).contains("did you mean content?")), (2, true), "{}", err(&o));
}

#[test]
fn help_teaches_and_a_closed_pipe_is_quiet() {
    for args in [&["--help"][..], &["replay", "--help"], &["rules", "check", "--help"]] {
        let o = stopgap(args);
        assert!(code(&o) == 0 && out(&o).contains("Example"), "{}", out(&o));
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_stopgap"))
        .arg("keywords")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let o = child.wait_with_output().unwrap();
    assert!(err(&o).is_empty(), "{}", err(&o));
}

#[test]
fn a_cache_serves_the_second_time() {
    let d = Dir::new("cache");
    let (rules, cap) = (d.file("a.rules", RULES), d.file("a.pcap", pcap(&dialogue([10, 0, 0, 1], "/evil"))));
    for _ in 0..2 {
        let o = run!("replay", "--json", "--cache", d.path("cache"), "-S", rules, cap);
        assert_eq!((code(&o), json(&o)["alerts"].as_u64(), err(&o)), (0, Some(2), String::new()));
    }
}

const SURICATA_YAML: &str = "\
%YAML 1.1
---
vars: {address-groups: {HOME_NET: any}}
outputs:
  - fast: {enabled: no}
  - eve-log: {enabled: yes, types: [alert, {flow: }, {http: {enabled: no}}]}
classification-file: /no/such/classification.config
af-packet: [{interface: eth0}]
";

#[test]
fn a_suricata_configuration_is_imported() {
    let d = Dir::new("import");
    let (conf, rules) = (d.file("suricata.yaml", SURICATA_YAML), d.file("a.rules", RULES));
    let cap = d.file("a.pcap", pcap(&dialogue([10, 0, 0, 1], "/evil")));
    let o = run!("config", "import", conf);
    assert_eq!(code(&o), 0, "{}", err(&o));
    let text = out(&o).replace("/no/such/classification.config", "");
    let native: String =
        text.lines().filter(|l| !l.starts_with("classification-file")).flat_map(|l| [l, "\n"]).collect();
    let native = d.file("stopgap.yaml", native);
    assert_eq!(code(&run!("replay", "-c", native, "-S", rules, "-l", d.path("native"), cap)), 0);
    assert_eq!(code(&run!("suricata", "-c", conf, "-S", rules, "-l", d.path("suricata"), "-r", cap)), 0);
    assert_eq!(eve(&d.path("native")), eve(&d.path("suricata")));
    assert_eq!(code(&run!("config", "import", "/no/such.yaml")), 2);
}

#[test]
fn suricata_takes_its_options_and_its_configuration() {
    let d = Dir::new("suricata");
    let (conf, rules) = (d.file("suricata.yaml", SURICATA_YAML), d.file("a.rules", RULES));
    let cap = d.file("a.pcap", pcap(&dialogue([10, 0, 0, 1], "/evil")));
    let set = "outputs.1.eve-log.types.2.http.enabled=yes";
    let o = run!("suricata", "-c", conf, "-S", rules, "-r", cap, "-l", d.path("out"), "-k", "none", "--runmode=single");
    assert_eq!(code(&o), 0, "{}", err(&o));
    let records = eve(&d.path("out"));
    let count = |records: &[serde_json::Value], kind| of_type(records, kind).len();
    assert_eq!((count(&records, "alert"), count(&records, "flow"), count(&records, "http")), (2, 1, 0));
    let o = run!("suricata", "-c", conf, "-r", cap, "-l", d.path("out"), "--set", set, "--strict-rule-keywords");
    assert_eq!(code(&o), 0, "{}", err(&o));
    let records = eve(&d.path("out"));
    assert_eq!((count(&records, "alert"), count(&records, "http")), (0, 1));
    let bad = d.file("bad.rules", "alert tcp any any -> any any (contant:\"x\"; sid:9;)\n");
    let o = run!("suricata", "-c", conf, "-S", bad, "-r", cap, "-l", d.path("none"), "--init-errors-fatal");
    assert_eq!((code(&o), d.path("none").exists()), (1, false));
    assert!(err(&o).contains("did you mean `content`"), "{}", err(&o));
    assert_eq!(code(&run!("suricata", "-T", "-c", conf, "-S", bad)), 1);
    assert_eq!(code(&run!("suricata", "-T", "-c", conf, "-S", rules)), 0);
    let o = run!("suricata", "-c", conf, "--set", "stream.midstream=perhaps", "-r", cap, "-l", d.path("out"));
    assert_eq!((code(&o), err(&o).contains("`perhaps` is not yes or no")), (1, true), "{}", err(&o));
}

#[test]
fn rules_are_told_of_checksums_that_the_engine_passes_over() {
    let d = Dir::new("told");
    let mut frames = dialogue([198, 51, 100, 1], "/");
    frames[3][51] ^= 1;
    let cap = d.file("c.pcap", pcap(&frames));
    let rules = d.file(
        "a.rules",
        "alert tcp any any -> any any (tcpv4-csum:invalid; sid:1;)\n\
         alert http any any -> any any (http.method; content:\"GET\"; sid:2;)\n",
    );
    let conf = d.file("suricata.yaml", SURICATA_YAML);
    let alerts = |more: &[&str]| {
        let mut args: Vec<&std::ffi::OsStr> = ["suricata", "-k", "none", "-c"].map(AsRef::as_ref).into();
        let out = d.path("out");
        let _ = std::fs::remove_dir_all(&out);
        args.extend([conf.as_ref(), "-S".as_ref(), rules.as_os_str(), "-r".as_ref(), cap.as_ref()]);
        args.extend(["-l".as_ref(), out.as_os_str()]);
        args.extend(more.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
        assert_eq!(code(&stopgap(&args)), 0);
        let ids = |r: &serde_json::Value| r["alert"]["signature_id"].as_u64();
        eve(&out).iter().filter_map(ids).collect::<Vec<_>>()
    };
    assert_eq!(alerts(&[]), [1, 2]);
    assert_eq!(alerts(&["--set", "pcap-file.checksum-checks=no"]), [2], "rules are told that all are right");
}

#[test]
fn files_are_kept_where_a_rule_asks_and_found_by_their_hash() {
    const OK: &str = "2689367b205c16ce32ed4200942b8b8b1e262dfc70d9bc9fbc77c49699a4f1df";
    let d = Dir::new("files");
    d.file("known.md5", "# seen before\n444bcb3a3fcf8389296c49467f27e1d6  ok.txt\n");
    let cap = d.file("a.pcap", pcap(&dialogue([10, 0, 0, 1], "/file")));
    let conf = d.file("suricata.yaml", "%YAML 1.1\n---\noutputs:\n  - eve-log: {enabled: yes, types: [alert, files]}\n  - file-store: {version: 2, enabled: yes, write-fileinfo: yes}\n");
    let rules = |text: &str| d.file("a.rules", text);
    let stored = |dir: &str| d.path(dir).join("filestore").join(&OK[..2]).join(OK);
    let ask = "alert http any any -> any any (msg:\"known\"; filemd5:known.md5; filestore; sid:1;)\n";
    let o = run!("suricata", "-c", conf, "-S", rules(ask), "-r", cap, "-l", d.path("out"));
    assert_eq!(code(&o), 0, "{}", err(&o));
    assert_eq!(std::fs::read(stored("out")).unwrap(), b"ok");
    let records = eve(&d.path("out"));
    assert_eq!(of_type(&records, "alert").len(), 1);
    let info = &of_type(&records, "fileinfo")[0]["fileinfo"];
    assert_eq!((&info["stored"], &info["file_id"], &info["sha256"]), (&true.into(), &1.into(), &OK.into()));
    let beside = std::fs::read_dir(stored("out").parent().unwrap()).unwrap().count();
    assert_eq!(beside, 2, "the content and its record");
    // Another list, and no store: nothing is kept.
    d.file("known.md5", "00000000000000000000000000000000\n");
    let o = run!("suricata", "-c", conf, "-S", rules(ask), "-r", cap, "-l", d.path("none"));
    assert_eq!((code(&o), stored("none").exists()), (0, false), "{}", err(&o));
    assert_eq!(of_type(&eve(&d.path("none")), "alert").len(), 0);
    d.file("known.md5", "no hash\n");
    let o = run!("suricata", "-T", "-c", conf, "-S", rules(ask));
    assert!(code(&o) == 1 && err(&o).contains("known.md5:1: a hash of 32"), "{}", err(&o));
}

#[test]
fn lists_beside_the_rules_are_asked_and_kept() {
    let d = Dir::new("lists");
    let conf = d.file("suricata.yaml", SURICATA_YAML);
    let cap = d.file("a.pcap", pcap(&dialogue([10, 0, 0, 1], "/evil")));
    let run = |rules: &str, more: &[&str]| {
        let rules = d.file("a.rules", rules);
        let (conf, cap, out) = (conf.display().to_string(), cap.display().to_string(), d.path("out"));
        let (rules, out, data) = (rules.display().to_string(), out.display().to_string(), d.path("data"));
        let data = format!("--data-dir={}", data.display());
        let mut args =
            vec!["suricata", "-c", &conf, "-S", &rules, "-r", &cap, "-l", &out, &data, "--init-errors-fatal"];
        args.extend(more);
        let o = stopgap(&args);
        let records = if code(&o) == 0 { eve(&d.path("out")) } else { Vec::new() };
        let mut sids: Vec<u64> =
            of_type(&records, "alert").iter().filter_map(|a| a["alert"]["signature_id"].as_u64()).collect();
        sids.sort_unstable();
        sids.dedup();
        (code(&o), sids, err(&o), records)
    };
    std::fs::create_dir_all(d.path("data")).unwrap();
    d.file("hosts.lst", "d3d3LmV4YW1wbGUuY29t\n");
    d.file("hosts.json", r#"[{"host": "www.example.com", "seen": {"year": 2005, "by": ["a"]}}]"#);
    d.file("hosts.rep", "d3d3LmV4YW1wbGUuY29t,200\n");
    let rules = "alert http any any -> any any (http.host; dataset:isset,hosts,type string,load hosts.lst; sid:1;)\n\
        alert http any any -> any any (http.host; dataset:isnotset,hosts; sid:2;)\n\
        alert http any any -> any any (http.host; dataset:isset,words,type string,load hosts.json,format json,\
        value_key host,context_key known,remove_key; sid:3;)\n\
        alert http any any -> any any (http.host; datarep:rep,>,100,load hosts.rep,type string; sid:4;)\n\
        alert http any any -> any any (http.host; datarep:rep,>,200; sid:5;)\n\
        alert http any any -> any any (http.uri; dataset:set,paths,type string,state paths.lst; sid:6;)\n\
        alert tcp any any -> any any (ip.src; dataset:set,ends,type ip,save ends.lst; sid:7;)\n";
    let (ended, sids, said, records) = run(rules, &[]);
    assert_eq!((ended, sids), (0, vec![1, 3, 4, 6, 7]), "{said}");
    let context = |a: &&&serde_json::Value| a["alert"]["signature_id"] == 3;
    let alerts = of_type(&records, "alert");
    let known = &alerts.iter().find(context).unwrap()["alert"]["context"]["known"];
    assert_eq!(*known, serde_json::json!({"seen": {"year": 2005, "by": ["a"]}}));
    let kept = |name: &str| std::fs::read_to_string(d.path("data").join(name)).unwrap();
    assert_eq!((kept("paths.lst"), kept("ends.lst")), ("L2V2aWw=\n".into(), "10.0.0.1\n192.0.2.80\n".into()));
    // What is kept is there the next time.
    assert_eq!(run(rules, &[]).1, [1, 3, 4, 7]);
    for (bad, why) in [
        ("dataset:set,a,type string,state ../a.lst", "leads out of the data directory"),
        ("dataset:isset,a,type string,load none.lst", "no such file"),
        ("dataset:isset,a,type md5,load hosts.lst", "bad hash"),
    ] {
        let (ended, _, said, _) = run(&format!("alert http any any -> any any (http.uri; {bad}; sid:1;)\n"), &[]);
        assert_eq!((ended, said.contains(why)), (1, true), "{bad}: {said}");
    }
    let full = "alert http any any -> any any (http.uri; dataset:set,few,type string,memcap 1; sid:1;)\n";
    let (ended, sids, said, _) = run(full, &[]);
    assert_eq!((ended, sids), (0, vec![]), "{said}");
    assert!(said.contains("dataset few: full: 1 times a value found no room"), "{said}");
    let file = |name, text: &str| d.file(name, text).display().to_string();
    let thresholds =
        file("t.config", "suppress gen_id 1, sig_id 1, track by_src, ip 10.0.0.0/8\nsuppress gen_id 1, sig_id 3\n");
    let categories = file("c.txt", "1,bad,Known bad\n");
    let scores = file("s.list", "10.0.0.0/24,1,50\n");
    let set = |key: &str, value: &str| format!("--set={key}={value}");
    let more = [
        set("threshold-file", &thresholds),
        set("reputation-categories-file", &categories),
        set("reputation-files", &scores),
    ];
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let rules = "alert tcp 10.0.0.1 any -> any any (sid:1;)\nalert tcp any any -> 10.0.0.1 any (sid:2;)\n\
        alert tcp any any -> any any (sid:3;)\nalert ip any any -> any any (iprep:src,bad,>,40; sid:4;)\n\
        alert ip any any -> any any (iprep:any,bad,>,60; sid:5;)\n";
    let (ended, sids, said, _) = run(rules, &more);
    assert_eq!((ended, sids), (0, vec![2, 4]), "{said}");
    let broken = file("t.config", "suppress gen_id 1, sig_id 1, track by_src, ip 10.0.0\n");
    let (_, _, said, _) = run(rules, &[&set("threshold-file", &broken)]);
    assert!(said.contains("t.config:1:"), "{said}");
}
