//! The program as people meet it: dialogues replayed, verdicts kept, bad input named.

use harness::dialogue::{Exchange, TimedFrame, play};
use harness::replay::{Folder, Run, events, pcap, run};
use std::path::{Path, PathBuf};

const START: i64 = 1_700_000_000_000_000;

fn program(test: &str) -> Option<PathBuf> {
    let program = harness::program();
    if program.is_none() {
        harness::skip(test, "the program is not built");
    }
    program
}

fn exchange(request: &str, response: &str) -> Exchange {
    Exchange { request: request.as_bytes().to_vec(), response: response.as_bytes().to_vec() }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok";
const BENIGN: &str = "GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: test\r\n\r\n";
const ATTACK: &str = "GET /cgi/../../etc/passwd?x=1 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: test\r\n\r\n";
const RULE: &str = "http any any -> any any (msg:\"attack\"; flow:established,to_server; http.uri; content:\"/etc/passwd\"; classtype:attempted-admin; sid:1; rev:3;)\n";

fn dialogue() -> Vec<TimedFrame> {
    let mut frames = play(&[exchange(BENIGN, OK)], 40_000, START, &|_| false);
    frames.extend(play(&[exchange(BENIGN, OK), exchange(ATTACK, OK)], 40_001, START + 1_000_000, &|_| false));
    frames.extend(play(&[exchange(BENIGN, OK)], 40_002, START + 2_000_000, &|_| false));
    frames
}

fn replay(program: &Path, folder: &Folder, rule: &str, more: &[&str]) -> Run {
    let rules = folder.file("test.rules", rule);
    let capture = folder.file("test.pcap", pcap(&dialogue()));
    let out = folder.0.join("out");
    let mut args: Vec<String> = ["replay", "-S"].map(String::from).to_vec();
    args.extend([rules, PathBuf::from("-l"), out].map(|p| p.display().to_string()));
    args.extend(more.iter().map(|s| s.to_string()));
    args.push(capture.display().to_string());
    run(program, args).unwrap()
}

#[test]
fn an_attack_is_alerted_once_with_its_request() {
    let Some(program) = program("an_attack_is_alerted_once_with_its_request") else { return };
    let folder = Folder::new("alert");
    let done = replay(&program, &folder, &format!("alert {RULE}"), &[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let events = events(&folder.0.join("out/eve.json")).unwrap();
    let alerts: Vec<_> = events.iter().filter(|e| e["event_type"] == "alert").collect();
    assert_eq!(alerts.len(), 1);
    let a = alerts[0];
    assert_eq!((&a["src_ip"], &a["dest_port"]), (&"198.51.100.20".into(), &80.into()));
    assert_eq!((&a["alert"]["signature_id"], &a["alert"]["rev"]), (&1.into(), &3.into()));
    assert_eq!(a["alert"]["action"], "allowed");
    assert_eq!(a["alert"]["category"], "Attempted Administrator Privilege Gain");
    assert_eq!(a["app_proto"], "http");
    assert_eq!(a["http"]["http_method"], "GET");
    assert_eq!(events.iter().filter(|e| e["event_type"] == "http").count(), 4);
    assert_eq!(events.iter().filter(|e| e["event_type"] == "flow").count(), 3);
}

#[test]
fn inline_the_attack_does_not_leave_and_the_rest_does() {
    let Some(program) = program("inline_the_attack_does_not_leave_and_the_rest_does") else { return };
    let folder = Folder::new("inline");
    let left = folder.0.join("left.pcap").display().to_string();
    let done = replay(&program, &folder, &format!("drop {RULE}"), &["--inline", "-w", &left]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let bytes = std::fs::read(&left).unwrap();
    let holds = |needle: &str| bytes.windows(needle.len()).any(|w| w == needle.as_bytes());
    assert!(!holds("etc/passwd"), "the attack left");
    assert!(holds("GET /index.html"));
    let events = events(&folder.0.join("out/eve.json")).unwrap();
    let alert = events.iter().find(|e| e["event_type"] == "alert").unwrap();
    assert_eq!(alert["alert"]["action"], "blocked");
    let drops: Vec<_> = events.iter().filter(|e| e["event_type"] == "drop").collect();
    assert!(!drops.is_empty() && drops[0]["pcap_cnt"] == alert["pcap_cnt"], "{drops:?}");
    assert_eq!(drops[0]["drop"]["reason"], "rules");
    // The other two connections are whole.
    let benign = bytes.windows(8).filter(|w| w == b"HTTP/1.1").count();
    assert!(benign >= 6, "{benign}");
}

#[test]
fn a_reject_answers_both_ends() {
    let Some(program) = program("a_reject_answers_both_ends") else { return };
    let folder = Folder::new("reject");
    let left = folder.0.join("left.pcapng").display().to_string();
    let done = replay(&program, &folder, &format!("rejectboth {RULE}"), &["--inline", "-w", &left]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let bytes = std::fs::read(&left).unwrap();
    assert!(!bytes.windows(10).any(|w| w == b"etc/passwd"));
    let frames = folder.0.join("again");
    let again = run(&program, ["replay", "-l", frames.to_str().unwrap(), &left]).unwrap();
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(bytes.windows(5).any(|w| w == b"sid 1"), "no comment names the sid");
}

#[test]
fn the_same_capture_gives_the_same_log() {
    let Some(program) = program("the_same_capture_gives_the_same_log") else { return };
    let folder = Folder::new("same");
    let mut logs = Vec::new();
    for workers in ["1", "1", "3"] {
        let _ = std::fs::remove_dir_all(folder.0.join("out"));
        let done = replay(&program, &folder, &format!("alert {RULE}"), &["-j", workers, "--events", "alert,http,flow"]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        logs.push(std::fs::read(folder.0.join("out/eve.json")).unwrap());
    }
    assert_eq!(logs[0], logs[1]);
    assert_eq!(logs[0], logs[2]);
}

#[test]
fn a_refused_rule_is_named_and_the_rest_goes_on() {
    let Some(program) = program("a_refused_rule_is_named_and_the_rest_goes_on") else { return };
    let folder = Folder::new("refused");
    let rules = format!("alert {RULE}alert tcp any any -> any any (msg:\"x\"; nosuchkeyword; sid:2;)\n");
    let done = replay(&program, &folder, &rules, &[]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("nosuchkeyword") && done.stderr.contains("test.rules:2"), "{}", done.stderr);
    let events = events(&folder.0.join("out/eve.json")).unwrap();
    assert_eq!(events.iter().filter(|e| e["event_type"] == "alert").count(), 1);
}

#[test]
fn bad_input_is_named_and_the_exit_code_tells() {
    let Some(program) = program("bad_input_is_named_and_the_exit_code_tells") else { return };
    let folder = Folder::new("bad");
    let good = folder.file("good.pcap", pcap(&dialogue()));
    let whole = std::fs::read(&good).unwrap();
    let cut = folder.file("cut.pcap", &whole[..whole.len() - 7]);
    let junk = folder.file("junk.pcap", b"this is no capture at all, not by any measure");
    let rules = folder.file("r.rules", format!("alert {RULE}"));
    let out = folder.0.join("out");
    let [good, cut, junk, rules, out_text] = [&good, &cut, &junk, &rules, &out].map(|p| p.to_str().unwrap());
    let folder_text = folder.0.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 8] = [
        (&["replay", "-S", rules, "-l", out_text, cut], 1, "cut.pcap"),
        (&["replay", "-S", rules, "-l", out_text, good, "/nowhere/x.pcap"], 1, "/nowhere/x.pcap"),
        (&["replay", "-S", rules, "-l", out_text, "/nowhere/x.pcap"], 2, "/nowhere/x.pcap"),
        (&["replay", "-S", rules, "-l", out_text, folder_text], 2, "directory"),
        (&["replay", "-S", rules, "-l", out_text, junk], 2, "junk.pcap"),
        (&["replay", "-S", "/nowhere/*.rules", "-l", out_text, good], 2, "/nowhere/*.rules"),
        (&["replay", "-S", rules, "-l", rules, good], 2, "r.rules"),
        (&["replay", "--no-such-option"], 2, "--no-such-option"),
    ];
    for (args, code, named) in cases {
        let done = run(&program, args).unwrap();
        assert_eq!(done.code, Some(code), "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(named), "{args:?}: {}", done.stderr);
        assert!(!done.stderr.contains("panicked"), "{args:?}: {}", done.stderr);
    }
}

#[test]
fn a_full_disk_is_said() {
    let Some(program) = program("a_full_disk_is_said") else { return };
    if !Path::new("/dev/full").exists() {
        return harness::skip("a_full_disk_is_said", "there is no /dev/full");
    }
    let folder = Folder::new("full");
    let capture = folder.file("good.pcap", pcap(&dialogue()));
    let out = folder.0.join("out");
    std::fs::create_dir_all(&out).unwrap();
    std::os::unix::fs::symlink("/dev/full", out.join("eve.json")).unwrap();
    let done = run(&program, ["replay", "-l", out.to_str().unwrap(), capture.to_str().unwrap()]).unwrap();
    assert!(matches!(done.code, Some(1 | 2)), "{:?} {}", done.code, done.stderr);
    assert!(done.stderr.contains("eve.json") && done.stderr.to_lowercase().contains("space"), "{}", done.stderr);
}

/// A class of frames that is no IP is a key of the configuration, and stands there where the kernel's program has it.
#[test]
fn every_class_of_frames_has_its_key() {
    use capture::l2::Class;
    use control::config::run::{LinkAction, Run};
    for (i, class) in Class::ALL[1..].iter().enumerate() {
        let mut expected = Run::default();
        expected.link[i] = LinkAction::Drop;
        let set = format!("run.link.{}=drop", class.name());
        assert_eq!(control::config::load(None, &[set]).unwrap().run, expected, "{class:?}");
    }
}
