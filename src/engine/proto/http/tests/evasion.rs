//! What senders bend so that a reader stricter than their receiver misses the content.

use super::*;

const CONTENT: &str = "the content that matters";

/// A response to GET whose status line is followed by `headers`, the body as given.
fn answer(headers: &str, body: &[u8], piece: usize) -> Talk {
    let response = [b"HTTP/1.1 200 OK\r\n", headers.as_bytes(), body].concat();
    let mut t = Talk::of(&[(ToServer, b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n")]);
    t.say(ToClient, &response, piece);
    t.end()
}

fn chunked() -> Vec<u8> {
    let (a, b) = CONTENT.split_at(7);
    format!("{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", a.len(), b.len()).into_bytes()
}

#[test]
fn mixed_line_ends_and_blank_lines_in_any_cut() {
    let length = format!("Content-Length: {}", CONTENT.len());
    let plain = CONTENT.as_bytes().to_vec();
    for (headers, body) in [
        ("X: y\r\n\r\r\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), chunked()),
        ("X: y\r\n\r \rTransfer-Encoding: chunked\r\n\r\n".to_owned(), chunked()),
        (format!("{length}\n\r\r\n"), plain.clone()),
        (format!("{length}\n\r\r\n\r\n"), plain.clone()),
        (format!("{length}\n\r\n"), plain.clone()),
        (format!("{length}\n \n"), plain.clone()),
        (format!("{length}\n\t\n"), plain.clone()),
        (format!("X: y\n \n more\n{length}\n\n"), plain.clone()),
        (format!("X: y\r\n \r\n{length}\r\n\r\n"), plain.clone()),
        ("Transfer-Encoding: chunked\nX: y\n \n".to_owned(), chunked()),
        (format!("X: y\r{length}\r\r"), plain.clone()),
    ] {
        for piece in [1, 2, 3, 7, 1000] {
            let t = answer(&headers, &body, piece);
            assert_eq!(t.resp(buffer::RESPONSE_BODY), CONTENT, "{headers:?} {piece}");
            assert_eq!(t.count(), 1);
        }
    }
}

#[test]
fn names_and_values_with_nul_or_folded_before_the_colon() {
    let zipped = gzip(CONTENT.as_bytes());
    for (headers, body) in [
        ("Transfer\0-encoding:chun\0ked\r\n\r\n", chunked()),
        ("Transfer-Encoding\r :chunked\r\n\r\n", chunked()),
        ("Transfer-Encoding\r\n :\r\n chunked\r\n\r\n", chunked()),
        ("Content-Encoding:gz\0ip\r\n\r\n", zipped.clone()),
        ("Content-Encoding\r\n :gzip\r\n\r\n", zipped.clone()),
        ("Content-Encoding\r\n :\r\n gzip\r\n\r\n", zipped),
    ] {
        for piece in [1, 5, 1000] {
            let t = answer(headers, &body, piece);
            assert_eq!(t.resp(buffer::RESPONSE_BODY), CONTENT, "{headers:?} {piece}");
        }
    }
}

#[test]
fn request_headers_end_where_servers_end_them() {
    for head in [
        "POST / HTTP/1.1\nHost: h\nContent-Length: 24\n \n",
        "POST / HTTP/1.1\nHost: h\nContent-Length: 24\n\r\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length\r\n :24\r\n\r\n",
    ] {
        let data = format!("{head}{CONTENT}GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
        for piece in [1, 3, 1000] {
            let t = Talk::cut(&[(ToServer, data.as_bytes())], piece);
            assert_eq!(t.req(buffer::REQUEST_BODY), CONTENT, "{head:?} {piece}");
            assert_eq!(t.get(1, buffer::URI, ToServer).as_deref(), Some("/next"), "{head:?} {piece}");
        }
    }
}

#[test]
fn a_line_end_that_never_ends_is_bounded() {
    for piece in [1, 100] {
        let dialogue: [(Direction, &[u8]); 2] = [
            (ToServer, b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n"),
            (ToClient, &[b"HTTP/1.1 200 OK\r\nA: b\r\n".as_slice(), &[b'\r'; 300], b"body"].concat()),
        ];
        let t = Talk::cut(&dialogue, piece).end();
        assert!(t.resp(buffer::RESPONSE_BODY).ends_with("body"));
    }
    let mut t =
        Talk::of(&[(ToServer, b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n"), (ToClient, b"HTTP/1.1 200 OK\r\nA: b\r\n")]);
    for _ in 0..100 {
        t.give(ToClient, Input::Data(&[b'\r'; 1000]));
    }
    assert!(t.parser.memory() < 256 << 10, "{}", t.parser.memory());
}

fn asked(data: &[u8], piece: usize) -> Talk {
    Talk::cut(&[(ToServer, data)], piece)
}

#[test]
fn a_pipelined_request_of_an_unknown_method_is_one_wherever_it_is_cut() {
    let data = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nFOO /etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n";
    for piece in 1..data.len() + 1 {
        let t = asked(data, piece);
        assert_eq!(t.get(1, buffer::URI, ToServer).as_deref(), Some("/etc/passwd"), "{piece}");
        assert_eq!(t.req(buffer::REQUEST_BODY), "", "{piece}");
    }
    let t = asked(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nFOO /etc", usize::MAX >> 1).end();
    assert_eq!((t.req(buffer::REQUEST_BODY).as_str(), t.count()), ("FOO /etc", 1));
}

#[test]
fn a_proxy_header_before_the_first_request() {
    let request = b"GET /etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n";
    let binary =
        |body: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n\x21\x11".as_slice(), &(body.len() as u16).to_be_bytes(), body].concat();
    let tuple = FiveTuple::default();
    for proxy in [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(b"\xc0\0\x02\x01\n\0\x02\x02\0\x01\0\x50"),
        binary(b""),
    ] {
        let data = [&proxy, request.as_slice()].concat();
        for n in 1..data.len() + 1 {
            let input = ProbeInput {
                dir: ToServer,
                data: &data[..n],
                tuple: &tuple,
                udp: false,
                eof: false,
                settings: &crate::proto::Settings::default(),
            };
            let want = if n < proxy.len() + 4 { Probe::More } else { Probe::Match };
            assert_eq!(super::super::probe::probe(&input), want, "{:?}", data[..n].escape_ascii().to_string());
            let t = asked(&data, n);
            assert_eq!((t.req(buffer::URI).as_str(), t.count()), ("/etc/passwd", 1), "{n}");
        }
    }
    // Later in the connection it is a request like any other.
    let t = asked(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nPROXY TCP4 HTTP/1.1\r\nHost: h\r\n\r\n", 1000);
    assert_eq!(t.count(), 2);
}

#[test]
fn bodies_in_another_alphabet_are_read_as_sent_and_as_text() {
    let wide: Vec<u8> = CONTENT.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [b"\xff\xfe".as_slice(), &wide].concat();
    let seven = b"+AHQ-he content that +AG0AYQB0AHQAZQByAHM-".to_vec();
    let escaped = br"the \u0063ontent that matters".to_vec();
    for (kind, body, event) in [
        ("text/html", wide.clone(), true),
        ("text/html; charset=utf-16", wide, true),
        ("text/plain", marked, true),
        ("text/html; charset=UTF-7", seven, true),
        ("application/json", escaped, false),
    ] {
        for piece in [1, 7, 1000] {
            let head = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
            let t = answer(&head, &body, piece);
            let text = |b| crate::applayer::Transaction::buffer(t.tx(0), b, ToClient, 1).map(|b| b.data.to_vec());
            assert_eq!(t.resp(buffer::RESPONSE_BODY), String::from_utf8_lossy(&body), "{kind}");
            for b in [buffer::RESPONSE_BODY, generic::FILE_DATA] {
                assert_eq!(text(b).as_deref(), Some(CONTENT.as_bytes()), "{kind} {piece}");
            }
            assert_eq!(t.events(0).contains(&"body_alphabet"), event, "{kind}");
        }
    }
    let t = answer("Content-Type: application/json\r\nContent-Length: 8\r\n\r\n", b"{\"a\": 1}", 3);
    assert!(crate::applayer::Transaction::buffer(t.tx(0), buffer::RESPONSE_BODY, ToClient, 1).is_none());
}

#[test]
fn framing_that_servers_read_differently_is_an_event() {
    let post = |headers: &str| {
        asked(format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n0\r\n\r\n").as_bytes(), 1000)
            .events(0)
            .contains(&"request_framing_ambiguous")
    };
    assert!(post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"));
    assert!(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"));
    assert!(post("Transfer-Encoding: xchunked\r\n"));
    assert!(!post("Transfer-Encoding: chunked\r\n"));
    assert!(!post("Content-Length: 5\r\n"));
}

#[test]
fn a_body_lost_as_a_whole_is_a_file_with_a_gap() {
    let mut t = Talk::of(&[
        (ToServer, b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n"),
        (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"),
    ]);
    t.give(ToClient, Input::Gap(12));
    let f = &crate::applayer::Transaction::files(t.tx(0), ToClient)[0];
    assert_eq!((f.size, f.state, f.gaps), (12, FileState::Truncated, true));
    // What was lost behind the body is not of it.
    let mut t = Talk::of(&[
        (ToServer, b"GET /f HTTP/1.1\r\nHost: h\r\n\r\nGET /g HTTP/1.1\r\nHost: h\r\n\r\n"),
        (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"),
    ]);
    t.give(ToClient, Input::Gap(14));
    t.say(ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 1000);
    let f = &crate::applayer::Transaction::files(t.tx(0), ToClient)[0];
    assert_eq!((f.size, f.gaps), (12, true));
    assert_eq!(t.get(1, buffer::RESPONSE_BODY, ToClient).as_deref(), Some("abc"));
}

#[test]
fn a_compressed_body_with_a_hole_shows_what_came_before() {
    let text: String = (0..4_000).map(|i| format!("{i} ")).collect();
    let zipped = gzip(text.as_bytes());
    for hole in [1, 9, zipped.len() / 2, zipped.len() - 9] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", zipped.len());
        let mut t = Talk::of(&[(ToServer, b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n"), (ToClient, head.as_bytes())]);
        t.say(ToClient, &zipped[..hole], 1_000);
        let before = t.resp(buffer::RESPONSE_BODY);
        assert!(text.starts_with(&before) && (hole < 1_000 || before.len() > 1_000), "{hole}");
        t.give(ToClient, Input::Gap(4));
        t.say(ToClient, &zipped[hole + 4..], 1_000);
        t.say(ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 1_000);
        assert_eq!(t.resp(buffer::RESPONSE_BODY), before, "{hole}");
        let f = &crate::applayer::Transaction::files(t.tx(0), ToClient)[0];
        assert_eq!((f.state, f.gaps), (FileState::Truncated, true), "{hole}");
        assert_eq!(t.tx(0).response.m.progress, Progress::DONE, "{hole}");
    }
}
