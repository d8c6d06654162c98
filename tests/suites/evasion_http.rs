//! HTTP that its receiver reads and a stricter or lazier reader misses, watching and in line.
//!
//! Each dialogue carries what a rule looks for, past something that might end or mislead the reading: long bodies, many
//! requests, framing that contradicts itself, methods nobody knows, headers of load balancers, other alphabets. Watching,
//! the rule must fire; in line, what completes the match must not leave.

use harness::craft::Conversation;
use harness::engine::{in_line, ruleset, ruleset_with_list, run, watching};

/// Bytes of payload in a segment.
const SEGMENT: usize = 1_400;
const URI: &str = "drop http any any -> any any (msg:\"x\"; http.uri; content:\"/etc/passwd\"; sid:1;)";
const BODY: &str = "drop http any any -> any any (msg:\"x\"; http.request_body; content:\"<script>\"; sid:1;)";
const FILE: &str = "drop http any any -> any any (msg:\"x\"; flow:to_client; file.data; content:\"<script>\"; sid:1;)";
const EXPLOIT: &[u8] = b"GET /etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n";

type Turn<'a> = (bool, &'a [u8]);

/// Plays the turns with segments of `size` bytes at most; `last`: what must not leave in line.
fn caught_in(rule: &str, size: usize, talk: &[Turn<'_>], last: &[u8]) {
    let rules = ruleset(rule).unwrap();
    let mut c = Conversation::open(42_000, 80);
    for (to_server, bytes) in talk {
        bytes.chunks(size).for_each(|part| c.send(*to_server, part));
    }
    let frames = c.close();
    assert_eq!(run(&rules, watching(), &frames, 7).sids(), [1], "watching, segments of {size}");
    let out = run(&rules, in_line(), &frames, 7);
    assert!(out.sids().contains(&1) && !out.leaked(last), "in line, segments of {size}");
    assert!(out.verdicts.iter().any(|v| !v.is_forward()), "in line, segments of {size}: none is held back");
}

fn caught(rule: &str, talk: &[Turn<'_>], last: &[u8]) {
    caught_in(rule, SEGMENT, talk, last);
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn behind_bodies_past_every_limit() {
    let padding = vec![b'a'; 300_000];
    let upload = post("", &padding);
    let download = [b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n".as_slice(), &padding].concat();
    let chunk = [format!("{:x}\r\n", padding.len()).as_bytes(), &padding, b"\r\n0\r\n\r\n"].concat();
    let chunked = [b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(), &chunk].concat();
    let ok: Turn<'_> = (false, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    caught(URI, &[(true, &upload), ok, (true, EXPLOIT)], b"/etc/passwd");
    caught(URI, &[(true, &chunked), ok, (true, EXPLOIT)], b"/etc/passwd");
    caught(URI, &[(true, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), (false, &download), (true, EXPLOIT)], b"/etc/passwd");
}

#[test]
fn the_nth_pipelined_request() {
    let many = b"GET /index.html HTTP/1.1\r\nHost: h\r\n\r\n".repeat(400);
    caught(URI, &[(true, &many), (true, EXPLOIT)], b"/etc/passwd");
    let each: Vec<Turn<'_>> = (0..300)
        .flat_map(|_| {
            let ask: Turn<'_> = (true, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            let answer: Turn<'_> = (false, b"HTTP/1.1 304 Not Modified\r\n\r\n");
            [ask, answer]
        })
        .chain([(true, EXPLOIT)])
        .collect();
    caught(URI, &each, b"/etc/passwd");
}

#[test]
fn smuggled_behind_framing_that_contradicts_itself() {
    // The length would cover the request; the chunks end before it.
    let inner = [b"0\r\n\r\n".as_slice(), EXPLOIT].concat();
    let te = post("Transfer-Encoding: chunked\r\n", &inner);
    caught(URI, &[(true, &te)], b"/etc/passwd");
    let event = "drop http any any -> any any (msg:\"x\"; app-layer-event:http.request_framing_ambiguous; sid:1;)";
    caught(event, &[(true, &te)], b"nothing of it is asked here");
    // Two lengths: the first counts, what lies behind is the next request.
    let two = [b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 60\r\n\r\na".as_slice(), EXPLOIT];
    caught(URI, &[(true, &two.concat())], b"/etc/passwd");
}

#[test]
fn methods_and_prefixes_nobody_knows() {
    let first = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    let odd = b"FOO /etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n";
    let pair = [first.as_slice(), odd].concat();
    for size in [1, 20, first.len() + 10, SEGMENT] {
        caught_in(URI, size, &[(true, &pair)], b"Host: h\r\n\r\nFOO /etc/passwd");
    }
    let text = [b"PROXY TCP4 192.0.2.1 192.0.2.2 1024 80\r\n".as_slice(), EXPLOIT].concat();
    let binary =
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x04\x00\x00\x50".as_slice(), EXPLOIT];
    for size in [3, SEGMENT] {
        caught_in(URI, size, &[(true, &text)], b"/etc/passwd HTTP");
        caught_in(URI, size, &[(true, &binary.concat())], b"/etc/passwd HTTP");
    }
    let tunnel = b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n";
    caught(URI, &[(true, tunnel), (false, b"HTTP/1.1 200 OK\r\n\r\n"), (true, EXPLOIT)], b"/etc/passwd");
}

#[test]
fn bodies_in_other_alphabets() {
    let utf16 = post("Content-Type: text/xml; charset=utf-16\r\n", &wide("<a><script></a>"));
    let utf7 = post("Content-Type: text/html; charset=utf-7\r\n", b"+ADw-script+AD4-");
    let json = post("Content-Type: application/json\r\n", br#"{"a":"\u003cscript\u003E"}"#);
    for (body, last) in [(&utf16, &wide("script>")[..]), (&utf7, b"script+AD4-"), (&json, b"script\\u003E")] {
        caught(BODY, &[(true, body)], last);
    }
    let page = wide("<html><script></html>");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", page.len());
    let answer = [head.as_bytes(), &page].concat();
    let ask: Turn<'_> = (true, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    caught(FILE, &[ask, (false, &answer)], &wide("<script>"));
}

#[test]
fn header_blocks_that_end_oddly() {
    let ask: Turn<'_> = (true, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let chunks = b"4\r\n<scr\r\n4\r\nipt>\r\n0\r\n\r\n";
    for head in [
        "HTTP/1.1 200 OK\r\nA: b\r\n\r\r\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding\r\n :\r\n chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chun\0ked\r\n\r\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n \n",
    ] {
        let answer = [head.as_bytes(), chunks].concat();
        for size in [1, 5, SEGMENT] {
            caught_in(FILE, size, &[ask, (false, &answer)], b"ipt>\r\n");
        }
    }
}

/// Names of uploads that one reader takes and another does not: each server its own, so that any of them counts.
#[test]
fn names_of_uploads_in_every_spelling() {
    let rule = "drop http any any -> any any (msg:\"x\"; file.name; content:\"evil.php\"; endswith; sid:1;)";
    let headers = [
        "Content-Disposition: form-data; name=\"f\"; filename=\"evil.php\"",
        "Content-Disposition: form-data; name=\"f\"; filename*=UTF-8''evil%2Ephp",
        "Content-Disposition: form-data; name=\"f\"; filename=\"a.txt\"; filename*=utf-8''evil.php",
        "Content-Disposition: form-data; name=\"f\"; filename*0=\"evil\"; filename*1=\".php\"",
        "Content-Disposition: form-data; name=\"f\"; filename=\"a.txt\"; filename=\"evil.php\"",
        "Content-Disposition: form-data; name=\"f\"; filename=\"evil.php\"; filename=\"a.txt\"",
        "Content-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Disposition: form-data; filename=evil.php",
        "Content-Disposition: form-data; name=\"f\"; filename=evil.php\r\nContent-Disposition: form-data; filename=a.txt",
        "Content-Disposition: form-data; name=\"f\"; filename=\"ev\\il.p\\hp\"",
        "Content-Disposition: form-data; name=\"f\"; x=\"\\\"; filename=\"evil.php\"",
        "Content-Disposition: form-data; name=\"f\";\r\n filename=\"evil.php\"",
        "Content-Disposition: form-data;\r\n\tname=\"f\";\r\n\t\tfilename = evil.php",
        "CONTENT-DISPOSITION : form-data; FILENAME=evil.php",
        "Content-Disposition: filename=\"evil.php\"; name=\"f\"",
        "Content-Disposition: form-data; name=f; filename='evil.php'",
        "Content-Disposition: form-data; name='\"'; filename=evil.php",
        "Content-Type: text/plain;\r\n x=y\r\nContent-Disposition: form-data; filename=evil.php",
    ];
    for header in headers {
        let body = format!("--B\r\n{header}\r\n\r\n<?php ?>\r\n--B--\r\n");
        let request = post("Content-Type: multipart/form-data; boundary=B\r\n", body.as_bytes());
        for size in [1, 7, SEGMENT] {
            caught_in(rule, size, &[(true, &request)], b"<?php ?>\r\n--B--\r\n");
        }
    }
}

/// Tunnels in tunnels, all asked for and granted at once: a packet follows so many, the next one goes on.
#[test]
fn a_packet_follows_so_many_tunnels() {
    let rules = ruleset("alert http any any -> any any (msg:\"x\"; http.uri; content:\"/in\"; sid:1;)").unwrap();
    for (tunnels, packet) in [(7, 7), (8, 8), (16, 9)] {
        let ask = b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n".repeat(tunnels);
        let mut c = Conversation::open(41_900, 80);
        c.send(true, &[ask.as_slice(), b"GET /in HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
        c.send(false, &b"HTTP/1.1 200 OK\r\n\r\n".repeat(tunnels));
        c.ack(true);
        let out = run(&rules, watching(), &c.close(), 1);
        let found: Vec<_> = out.of("alert").map(|e| e["pcap_cnt"].as_u64()).collect();
        assert_eq!(found, [Some(packet)], "{tunnels}");
    }
}

/// A set is asked for the buffer as a whole: what the buffer itself undoes does not hide a value, and nothing else is it.
#[test]
fn values_of_a_dataset_in_every_spelling() {
    // evil.example and .evil.example
    const LIST: &str = "ZXZpbC5leGFtcGxl\nLmV2aWwuZXhhbXBsZQ==\n";
    let rule = |options: &str| {
        let text = format!("drop http any any -> any any (msg:\"x\"; {options}; sid:1;)");
        ruleset_with_list(&text, 1, LIST).unwrap()
    };
    let set = "dataset:isset,names,type string,load names.lst";
    let host = rule(&format!("http.host; {set}"));
    let below = rule(&format!("http.host; {set},match subdomain"));
    let lower = rule(&format!("http.user_agent; to_lowercase; {set}"));
    let path = rule(&format!("http.uri; pcrexform:\"^/(.*)\"; {set}"));
    let unlisted = rule("http.user_agent; dataset:isnotset,names,type string,load names.lst");
    // As each is found by: the host, the host below a name, an agent in small letters, a path, an agent that is unlisted.
    for (value, found) in [
        ("evil.example", [true, true, true, true, false]),
        ("EVIL.Example", [true, true, true, false, true]),
        (" \tevil.example \t", [true, true, true, false, false]),
        ("evil.example:80", [true, true, false, false, true]),
        ("a.b.evil.example", [false, true, false, false, true]),
        ("notevil.example", [false, false, false, false, true]),
        ("evil%2eexample", [false, false, false, true, true]),
        ("evil.example.", [false, false, false, false, true]),
        ("evil.example\0", [false, false, false, false, true]),
        ("evil\0.example", [false, false, false, false, true]),
        ("evil.example evil.example", [false, false, false, false, true]),
    ] {
        let target = if value.contains([' ', '\0']) { "" } else { value };
        let request = format!("GET /{target} HTTP/1.1\r\nHost: {value}\r\nUser-Agent: {value}\r\n\r\n");
        for (rules, found) in [&host, &below, &lower, &path, &unlisted].into_iter().zip(found) {
            for size in [1, 3, 1_400] {
                let mut c = Conversation::open(42_000, 80);
                request.as_bytes().chunks(size).for_each(|part| c.send(true, part));
                let frames = c.close();
                let (watched, out) = (run(rules, watching(), &frames, 7), run(rules, in_line(), &frames, 7));
                let expected = vec![1; usize::from(found)];
                assert_eq!((watched.sids(), out.sids()), (expected.clone(), expected), "{value:?} by {size}");
                assert_eq!(out.verdicts.iter().all(|v| v.is_forward()), !found, "{value:?} by {size}");
            }
        }
    }
}

/// A set that somebody fills on purpose takes no more, forgets nothing, and whoever is not in it is not taken for one who is.
#[test]
fn a_dataset_that_is_filled_up() {
    let text = "alert http any any -> any any (msg:\"x\"; http.user_agent; dataset:set,seen,type string,memcap 1kb; sid:1;)\n\
        alert http any any -> any any (msg:\"x\"; http.host; dataset:isset,seen; sid:2;)\n";
    let rules = ruleset(text).unwrap();
    let mut c = Conversation::open(42_000, 80);
    let ask = |n: usize, host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: agent{n:03}\r\n\r\n");
    (0..100).for_each(|n| c.send(true, ask(n, "nobody").as_bytes()));
    for host in ["agent000", "agent008", "agent009", "agent099"] {
        c.send(true, ask(0, host).as_bytes());
    }
    let out = run(&rules, watching(), &c.close(), 7);
    let times = |sid: u64| out.sids().iter().filter(|s| **s == sid).count();
    // Each value is billed 96 bytes and its own 8.
    assert_eq!((times(1), times(2)), (9, 2));
}
