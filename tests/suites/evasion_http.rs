//! HTTP that its receiver reads and a stricter or lazier reader misses, watching and in line.
//!
//! Each dialogue carries what a rule looks for, past something that might end or mislead the reading: long bodies, many
//! requests, framing that contradicts itself, methods nobody knows, headers of load balancers, other alphabets. Watching,
//! the rule must fire; in line, what completes the match must not leave.

use harness::craft::Conversation;
use harness::engine::{in_line, ruleset, run, watching};

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
