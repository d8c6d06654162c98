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
