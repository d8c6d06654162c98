//! Dialogues through the parser: what rules and logs see of them, however they are cut.

use super::tables::{EVENTS, buffer};
use super::*;
use crate::applayer::files::FileState;
use crate::applayer::{BufferId, Input, ParseCx, Parsed, Probe, ProbeInput, Progress, TxId, generic};
use crate::types::Direction::{self, ToClient, ToServer};
use crate::types::{FieldSink, FiveTuple, Timestamp};

mod evasion;

struct Talk {
    parser: HttpParser,
    last: Parsed,
}

impl Talk {
    fn new() -> Talk {
        Talk { parser: HttpParser::new(Settings::default()), last: Parsed::Consumed(0) }
    }

    fn give(&mut self, dir: Direction, input: Input<'_>) -> Parsed {
        let tuple = FiveTuple::default();
        let cx =
            ParseCx { ts: Timestamp::from_secs(1), tuple: &tuple, inline: false, at: 0, frames: Default::default() };
        self.last = self.parser.parse(&cx, dir, input);
        self.last
    }

    /// In pieces, presenting again what was not taken.
    fn say(&mut self, dir: Direction, data: &[u8], piece: usize) {
        let (mut from, mut to) = (0, 0);
        while to < data.len() {
            to = (to + piece).min(data.len());
            match self.give(dir, Input::Data(&data[from..to])) {
                Parsed::Consumed(n) => from += n,
                _ => return,
            }
        }
    }

    fn of(dialogue: &[(Direction, &[u8])]) -> Talk {
        Self::cut(dialogue, usize::MAX >> 1)
    }

    fn cut(dialogue: &[(Direction, &[u8])], piece: usize) -> Talk {
        let mut t = Talk::new();
        for (dir, data) in dialogue {
            t.say(*dir, data, piece);
        }
        t
    }

    fn end(mut self) -> Talk {
        self.give(ToServer, Input::Eof);
        self.give(ToClient, Input::Eof);
        self
    }

    fn tx(&self, id: u64) -> &HttpTx {
        self.parser.transaction(TxId(id)).unwrap().as_any().downcast_ref().unwrap()
    }

    fn get(&self, id: u64, b: BufferId, dir: Direction) -> Option<String> {
        use crate::applayer::Transaction;
        self.tx(id).buffer(b, dir, 0).map(|b| String::from_utf8_lossy(b.data).into_owned())
    }

    fn req(&self, b: BufferId) -> String {
        self.get(0, b, ToServer).unwrap_or_default()
    }

    fn resp(&self, b: BufferId) -> String {
        self.get(0, b, ToClient).unwrap_or_default()
    }

    fn count(&self) -> u64 {
        let (a, b) = self.parser.transactions();
        b.0 - a.0
    }

    fn events(&self, id: u64) -> Vec<&'static str> {
        use crate::applayer::Transaction;
        self.tx(id).events().iter().map(|e| EVENTS[e.local as usize].name).collect()
    }

    /// All that can be seen, as text.
    fn picture(&self) -> String {
        use crate::applayer::Transaction;
        let (a, b) = self.parser.transactions();
        let mut out = String::new();
        for id in a.0..b.0 {
            let tx = self.tx(id);
            for dir in [ToServer, ToClient] {
                out += &format!("{id} {dir:?} {:?}\n", tx.progress(dir));
                for (i, def) in tables::BUFFERS.iter().enumerate() {
                    let b = BufferId::new(ID, i as u8);
                    for n in 0..100 {
                        let Some(x) = tx.buffer(b, dir, n) else { break };
                        out += &format!("{} {n} {}\n", def.name, x.data.escape_ascii());
                    }
                }
                for f in tx.files(dir) {
                    out += &format!("{f:?}\n");
                }
            }
            out += &format!("{:?}\n", self.events(id));
            let mut log = Log::default();
            crate::proto::exercise::log(tx, &mut log);
            out += &log.0;
        }
        out
    }
}

#[derive(Default)]
struct Log(String);

impl FieldSink for Log {
    fn bytes(&mut self, key: &str, value: &[u8]) {
        self.0 += &format!("{key}={};", value.escape_ascii());
    }
    fn uint(&mut self, key: &str, value: u64) {
        self.0 += &format!("{key}={value};");
    }
    fn int(&mut self, key: &str, value: i64) {
        self.0 += &format!("{key}={value};");
    }
    fn float(&mut self, key: &str, value: f64) {
        self.0 += &format!("{key}={value};");
    }
    fn bool(&mut self, key: &str, value: bool) {
        self.0 += &format!("{key}={value};");
    }
    fn begin_object(&mut self, key: &str) {
        self.0 += &format!("{key}{{");
    }
    fn begin_array(&mut self, key: &str) {
        self.0 += &format!("{key}[");
    }
    fn end(&mut self) {
        self.0 += "}";
    }
}

fn gzip(d: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    e.write_all(d).unwrap();
    e.finish().unwrap()
}

fn zlib(d: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut e = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    e.write_all(d).unwrap();
    e.finish().unwrap()
}

const PLAIN: &[(Direction, &[u8])] = &[
    (
        ToServer,
        b"GET /a//b/../c.php?x=%41 HTTP/1.1\r\nHost: Example.COM:8080\r\nUser-Agent: ua/1 \r\nCookie: k=v\r\n\
Accept: */*\r\nAccept-Encoding: gzip\r\nAccept-Language: en\r\nReferer: http://r/\r\nConnection: close\r\nX: 1\r\nx: 2\r\n\r\n",
    ),
    (
        ToClient,
        b"HTTP/1.1 404 Not Found\r\nServer: s\r\nContent-Type: text/html; charset=x\r\nContent-Length: 5\r\n\
Set-Cookie: a=b\r\nLocation: /z\r\n\r\nhello",
    ),
];

#[test]
fn buffers_of_a_plain_exchange() {
    let t = Talk::of(PLAIN);
    assert_eq!(t.count(), 1);
    for (b, want) in [
        (buffer::METHOD, "GET"),
        (buffer::URI, "/a/c.php?x=A"),
        (buffer::URI_RAW, "/a//b/../c.php?x=%41"),
        (buffer::REQUEST_LINE, "GET /a//b/../c.php?x=%41 HTTP/1.1"),
        (buffer::PROTOCOL, "HTTP/1.1"),
        (buffer::USER_AGENT, "ua/1"),
        (buffer::HOST, "example.com"),
        (buffer::HOST_RAW, "Example.COM:8080"),
        (buffer::COOKIE, "k=v"),
        (buffer::ACCEPT, "*/*"),
        (buffer::ACCEPT_ENC, "gzip"),
        (buffer::ACCEPT_LANG, "en"),
        (buffer::REFERER, "http://r/"),
        (buffer::CONNECTION, "close"),
        (
            buffer::HEADER,
            "Host: Example.COM:8080\r\nUser-Agent: ua/1\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\
Accept-Language: en\r\nReferer: http://r/\r\nConnection: close\r\nX: 1, 2\r\n",
        ),
        (
            buffer::HEADER_NAMES,
            "\r\nHost\r\nUser-Agent\r\nCookie\r\nAccept\r\nAccept-Encoding\r\nAccept-Language\r\nReferer\r\nConnection\r\nX\r\n\r\n",
        ),
        (buffer::REQUEST_HEADER, "Host: Example.COM:8080"),
        (buffer::REQUEST_BODY, ""),
        (buffer::STAT_CODE, ""),
    ] {
        assert_eq!(t.req(b), want);
    }
    assert!(t.req(buffer::HEADER_RAW).ends_with("X: 1\r\nx: 2\r\n\r\n"));
    for (b, want) in [
        (buffer::STAT_CODE, "404"),
        (buffer::STAT_MSG, "Not Found"),
        (buffer::RESPONSE_LINE, "HTTP/1.1 404 Not Found"),
        (buffer::PROTOCOL, "HTTP/1.1"),
        (buffer::SERVER, "s"),
        (buffer::LOCATION, "/z"),
        (buffer::COOKIE, "a=b"),
        (buffer::CONTENT_TYPE, "text/html; charset=x"),
        (buffer::CONTENT_LEN, "5"),
        (buffer::RESPONSE_BODY, "hello"),
        (generic::FILE_DATA, "hello"),
        (generic::FILE_NAME, "/a/c.php"),
        (buffer::HEADER, "Server: s\r\nContent-Type: text/html; charset=x\r\nContent-Length: 5\r\nLocation: /z\r\n"),
        (buffer::METHOD, ""),
    ] {
        assert_eq!(t.resp(b), want);
    }
    assert_eq!(t.events(0), ["request_header_repetition"]);
    let mut log = Log::default();
    crate::proto::exercise::log(t.tx(0), &mut log);
    assert_eq!(
        log.0,
        "hostname=example.com;http_port=8080;url=/a//b/../c.php?x=%41;http_user_agent=ua/1;http_content_type=text/html;\
http_refer=http://r/;http_method=GET;protocol=HTTP/1.1;status=404;redirect=/z;length=5;"
    );
}

#[test]
fn any_cut_gives_the_same() {
    let zipped = gzip(b"the plain text of the answer, the plain text of the answer");
    let chunked = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n".to_vec(),
        format!("{:x};ext\r\n", 10).into_bytes(),
        zipped[..10].to_vec(),
        format!("\r\n{:x}\r\n", zipped.len() - 10).into_bytes(),
        zipped[10..].to_vec(),
        b"\r\n0\r\nTrailer: t\r\n\r\n".to_vec(),
    ]
    .concat();
    let form = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.exe\"\r\n\r\nMZ content\r\n--B\r\n\
Content-Disposition: form-data\r\n\r\nv\r\n--B--\r\n";
    let post = format!(
        "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\nContent-Type: multipart/form-data; boundary=B\r\n\r\n{form}",
        form.len()
    );
    let dialogue: &[(Direction, &[u8])] = &[
        PLAIN[0],
        PLAIN[1],
        (ToServer, post.as_bytes()),
        (ToClient, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (ToClient, &chunked),
        (ToServer, b"HEAD / HTTP/1.0\r\nHost: h\r\n folded\r\n\r\nGET /n HTTP/1.1\nHost: h\n\n"),
        (
            ToClient,
            b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 204 No\n\nHTTP/1.1 200 lonely\r\n\r\nto the end",
        ),
    ];
    let whole = Talk::of(dialogue).end();
    assert_eq!(whole.count(), 5);
    let want = whole.picture();
    assert!(want.contains("the plain text of the answer, the plain text of the answer"), "{want}");
    assert!(want.contains("MZ content") && want.contains("x.exe"), "{want}");
    for piece in 1..200 {
        assert_eq!(Talk::cut(dialogue, piece).end().picture(), want, "pieces of {piece}");
    }
}

#[test]
fn probing() {
    let tuple = FiveTuple::default();
    let p = |dir, data: &[u8]| {
        super::probe::probe(&ProbeInput {
            dir,
            data,
            tuple: &tuple,
            udp: false,
            eof: false,
            settings: &crate::proto::Settings::default(),
        })
    };
    assert_eq!(p(ToServer, b"GET / HTTP/1.1\r\n"), Probe::Match);
    assert_eq!(p(ToServer, b"\r\npropfind /"), Probe::Match);
    assert_eq!(p(ToServer, b"GE"), Probe::More);
    assert_eq!(p(ToServer, b"GETX /"), Probe::No);
    assert_eq!(p(ToServer, b"GETX / HTTP/1.1\r\n"), Probe::Match);
    assert_eq!(p(ToServer, b"PLAY rtsp://x/ RTSP/1.0\r\n"), Probe::No);
    assert_eq!(p(ToServer, b"PRI * HTTP/2.0"), Probe::No);
    assert_eq!(p(ToServer, b"PRI * HTTP/2.0\r\n\r\nSM\r\n"), Probe::No);
    assert_eq!(p(ToClient, b"HTTP/1.1 200"), Probe::Match);
    assert_eq!(p(ToClient, b"HTTP/2.0 200"), Probe::No);
    assert_eq!(p(ToServer, b"HTTP/1.0 200"), Probe::MatchReversed);
    assert_eq!(p(ToClient, b"POST\t/"), Probe::MatchReversed);
    assert_eq!(p(ToServer, b"\x16\x03\x01"), Probe::No);
}

#[test]
fn request_lines() {
    let line = |l: &str| Talk::of(&[(ToServer, format!("{l}\r\nHost: h\r\n\r\n").as_bytes())]);
    for (text, uri, protocol, event) in [
        ("GET  /a  HTTP/1.1", "/a", "HTTP/1.1", None),
        ("GET /a b c HTTP/1.1", "/a b c", "HTTP/1.1", None),
        ("GET\t/a HTTP/1.1", "/a", "HTTP/1.1", Some("method_delim_non_compliant")),
        ("GET /a\tHTTP/1.1", "/a", "HTTP/1.1", Some("uri_delim_non_compliant")),
        (" GET /a HTTP/1.1", "/a", "HTTP/1.1", Some("request_line_leading_whitespace")),
        ("GET /a", "/a", "", Some("request_line_missing_protocol")),
        ("XYZ /a FOO", "/a", "FOO", Some("request_line_unknown_method_invalid_protocol")),
        ("GET /a HTTP /1.1", "/a HTTP", "/1.1", None),
    ] {
        let t = line(text);
        assert_eq!((t.req(buffer::URI_RAW).as_str(), t.req(buffer::PROTOCOL).as_str()), (uri, protocol), "{text}");
        assert_eq!(t.events(0), event.into_iter().collect::<Vec<_>>(), "{text}");
    }
    let t = Talk::of(&[(ToServer, b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")]);
    assert_eq!(t.req(buffer::METHOD), "GET");
}

#[test]
fn hosts() {
    let ask =
        |target: &str, host: &str| Talk::of(&[(ToServer, format!("GET {target} HTTP/1.1\r\n{host}\r\n").as_bytes())]);
    let t = ask("http://U.example:81/p?q", "Host: u.example:81\r\n");
    assert_eq!((t.req(buffer::HOST), t.req(buffer::URI)), ("u.example".into(), "/p?q".into()));
    assert_eq!(t.req(buffer::HOST_RAW), "u.example");
    assert!(t.events(0).is_empty());
    assert_eq!(ask("http://a/", "Host: b\r\n").events(0), ["host_header_ambiguous"]);
    assert_eq!(ask("/", "").events(0), ["missing_host_header"]);
    assert_eq!(ask("/", "Host: a b\r\n").events(0), ["request_header_host_invalid"]);
    assert_eq!(ask("/", "Host: a:x\r\n").events(0), ["request_header_host_invalid"]);
    assert_eq!(ask("/", "Authorization: NTLM x\r\nHost: a\r\n").events(0), ["request_auth_unrecognized"]);
    assert!(ask("/", "Authorization: Basic dTpw\r\nHost: a\r\n").events(0).is_empty());
}

#[test]
fn bodies_and_framing_conflicts() {
    let post = |headers: &str, body: &str| {
        Talk::of(&[(ToServer, format!("POST /p HTTP/1.1\r\nHost: h\r\n{headers}\r\n{body}").as_bytes())])
    };
    let t = post("Content-Length: 3\r\nContent-Length: 5\r\n", "abcde");
    assert!(t.events(0).contains(&"duplicate_content_length_field_in_request"));
    let t = post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "2\nab\n3;x=y\r\ncde\r\n0\r\n\r\n");
    assert_eq!(t.req(buffer::REQUEST_BODY), "abcde");
    assert_eq!(t.events(0), ["request_framing_ambiguous", "request_chunk_extension"]);
    let t = post("Transfer-Encoding: gzip\r\nContent-Length: 3\r\n", "abc");
    assert_eq!(t.req(buffer::REQUEST_BODY), "abc");
    assert_eq!(t.events(0), ["request_framing_ambiguous", "invalid_transfer_encoding_value_in_request"]);
    let t = post("Content-Length: x\r\n", "");
    assert_eq!(t.events(0), ["invalid_content_length_field_in_request"]);
    let t = post("Transfer-Encoding: chunked\r\n", "zz\r\n");
    assert_eq!((t.last, t.events(0)), (Parsed::Failed, vec!["invalid_request_chunk_len"]));
    let t = Talk::of(&[(ToServer, b"GET / HTTP/1.1\r\nHost: h\r\n\r\nunexpected\nbytes")]);
    assert_eq!((t.req(buffer::REQUEST_BODY).as_str(), t.count()), ("unexpected\nbytes", 1));
    assert_eq!(t.events(0), ["request_body_unexpected"]);
}

#[test]
fn response_bodies() {
    let answer = |head: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n");
        let answer = [head.as_bytes(), body].concat();
        Talk::of(&[(ToServer, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), (ToClient, &answer)]).end()
    };
    let text = b"some text, some text, some text";
    for (ce, body) in [
        ("Content-Encoding: gzip\r\n", gzip(text)),
        ("Content-Encoding: x-gzip\r\n", gzip(text)),
        ("Content-Encoding: gzip, gzip\r\n", gzip(&gzip(text))),
        ("Content-Encoding: deflate\r\n", gzip(text)),
        ("Content-Encoding: deflate\r\n", zlib(text)),
        ("Content-Encoding: identity\r\n", text.to_vec()),
        ("Content-Encoding: gzip\r\n", text.to_vec()),
    ] {
        let t = answer(ce, &body);
        assert_eq!(t.resp(buffer::RESPONSE_BODY).as_bytes(), text, "{ce}");
        let f = &t.tx(0).response.m.payload.files[0];
        assert_eq!((f.size, f.state), (text.len() as u64, FileState::Closed));
        assert!(f.sha256.is_none(), "nobody asked for it");
    }
    assert!(answer("Content-Encoding: gzip, gzip, gzip\r\n", b"").events(0).contains(&"too_many_encoding_layers"));
    assert!(answer("Content-Encoding: lzma\r\n", b"x").events(0).contains(&"lzma_decompression_disabled"));
    let t = answer("Transfer-Encoding: chunked\r\n", b"not a length");
    assert_eq!(t.resp(buffer::RESPONSE_BODY), "not a length");
    assert_eq!(t.events(0), ["invalid_response_chunk_len"]);
    let t = answer("Content-Length: 10\r\n", b"short");
    assert_eq!(t.tx(0).response.m.payload.files[0].state, FileState::Truncated);
    let t = answer("Content-Length: 2\r\n", b"longer");
    assert_eq!(t.resp(buffer::RESPONSE_BODY), "longer");
    assert_eq!(t.events(0), ["response_body_unexpected"]);
    let t = answer("Content-Disposition: attachment; filename=\"n.exe\"\r\n", b"MZ");
    assert_eq!(t.resp(generic::FILE_NAME), "n.exe");
}

/// However an encoded body is cut short and framed, what came of it is inspected, and being short is no event of decoding.
#[test]
fn encoded_bodies_cut_short() {
    let text: Vec<u8> = (0..400).flat_map(|i| format!("line {i}; ").into_bytes()).collect();
    for (name, body) in [("gzip", gzip(&text)), ("deflate", zlib(&text)), ("deflate", zlib(&text)[2..].to_vec())] {
        for len in [3, 9, 12, 200, 600, body.len() - 5, body.len() - 1] {
            let cut = &body[..len];
            let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\n");
            let chunk =
                [format!("Transfer-Encoding: chunked\r\n\r\n{len:x}\r\n").as_bytes(), cut, b"\r\n0\r\n\r\n"].concat();
            let framed = |length: usize| [format!("Content-Length: {length}\r\n\r\n").as_bytes(), cut].concat();
            for rest in [framed(len), framed(body.len()), [b"\r\n", cut].concat(), chunk] {
                let answer = [head.as_bytes(), &rest].concat();
                let t = Talk::of(&[(ToServer, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), (ToClient, &answer)]).end();
                let seen = t.resp(buffer::RESPONSE_BODY);
                assert!(text.starts_with(seen.as_bytes()) && seen.len() >= len - len.min(100), "{name} {len}: {seen}");
                assert!(t.events(0).is_empty(), "{name} {len}: {:?}", t.events(0));
            }
        }
    }
}

#[test]
fn limits_of_bodies_and_bombs() {
    let body = vec![b'a'; 300 << 10];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let ask: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let t = Talk::of(&[(ToServer, ask), (ToClient, head.as_bytes()), (ToClient, &body)]);
    assert_eq!(t.resp(buffer::RESPONSE_BODY).len(), 100 << 10);
    let f = &t.tx(0).response.m.payload.files[0];
    assert_eq!((f.size, f.state), (100 << 10, FileState::Truncated));
    assert_eq!(t.tx(0).response.m.payload.wire, 300 << 10);
    assert!(t.parser.memory() < 400 << 10);

    let bomb = gzip(&gzip(&vec![0; 16 << 20]));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
    let cfg = Settings { response_body_limit: 32 << 20, held_max: 64 << 20, ..Settings::default() };
    let mut t = Talk { parser: HttpParser::new(cfg), last: Parsed::Done };
    t.say(ToServer, ask, 1000);
    t.say(ToClient, head.as_bytes(), 1000);
    t.say(ToClient, &bomb, 1000);
    assert_eq!(t.events(0), ["compression_bomb"]);
}

#[test]
fn interim_and_bodiless_responses() {
    let t = Talk::of(&[
        (ToServer, b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
        (ToClient, b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n"),
        (ToServer, b"body"),
        (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ]);
    assert_eq!((t.count(), t.resp(buffer::STAT_CODE), t.resp(buffer::RESPONSE_BODY)), (1, "200".into(), "ok".into()));
    let t = Talk::of(&[
        (ToServer, b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
        (ToClient, b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
        (ToServer, b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"),
    ]);
    assert_eq!(t.get(1, buffer::URI, ToServer).as_deref(), Some("/next"));
    let t = Talk::of(&[
        (ToServer, b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"),
        (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nHTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n"),
    ]);
    assert_eq!(t.get(1, buffer::STAT_CODE, ToClient).as_deref(), Some("304"));
    assert_eq!(t.tx(1).response.m.progress, Progress::DONE);
}

#[test]
fn tunnels_end_the_parser() {
    let connect: &[u8] = b"CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n\r\n";
    let mut t = Talk::of(&[(ToServer, connect)]);
    assert_eq!(t.req(buffer::HOST), "h.example");
    assert_eq!(t.give(ToServer, Input::Data(b"\x16\x03")), Parsed::Consumed(0));
    let ok = b"HTTP/1.1 200 OK\r\n\r\n\x16\x03";
    assert_eq!(t.give(ToClient, Input::Data(ok)), Parsed::Switch { consumed: ok.len() - 2, expect: None });
    assert_eq!(t.tx(0).response.m.progress, Progress::DONE);

    let mut t = Talk::of(&[(ToServer, connect), (ToClient, b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")]);
    assert_eq!(t.last, Parsed::Consumed(38));
    t.say(ToServer, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 99);
    assert_eq!(t.count(), 2);

    let mut t = Talk::of(&[(ToServer, b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n")]);
    let r = t.give(ToClient, Input::Data(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x00"));
    assert_eq!(r, Parsed::Done);
    assert_eq!(t.give(ToServer, Input::Data(b"\x81\x00")), Parsed::Done);
}

#[test]
fn responses_without_requests_and_the_other_way() {
    let t = Talk::of(&[(ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), PLAIN[0], PLAIN[1]]);
    assert_eq!(t.events(0), ["unable_to_match_response_to_request"]);
    assert_eq!(t.tx(0).request.m.progress, Progress::DONE);
    let (mut name, first) = (Vec::new(), t.tx(0));
    assert!(first.path(&mut name) && first.uri_shown() == Some(&name) && first.uri_raw().is_none());
    assert_eq!(t.tx(1).uri_shown(), t.tx(1).uri_raw());
    assert_eq!(t.get(1, buffer::STAT_CODE, ToClient).as_deref(), Some("404"));
    let t = Talk::of(&[PLAIN[0]]).end();
    assert_eq!(t.tx(0).response.m.progress, Progress::DONE);
    let t = Talk::of(&[(ToServer, b"GET /unfinished"), (ToClient, b"HTTP/1.1 200 OK\r\n\r\n")]);
    assert_eq!(t.events(0), ["request_line_incomplete"]);
    assert_eq!(Talk::of(&[(ToServer, b"GET /un")]).end().req(buffer::URI), "/un");
}

#[test]
fn version_nine() {
    let t =
        Talk::of(&[(ToServer, b"GET /old\r\n"), (ToClient, b"<html>raw answer</html>\n"), (ToClient, b"more")]).end();
    assert_eq!(t.count(), 1);
    assert_eq!(t.resp(buffer::RESPONSE_BODY), "<html>raw answer</html>\nmore");
}

#[test]
fn gaps() {
    let mut t = Talk::of(&[PLAIN[0], (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")]);
    assert_eq!(t.give(ToClient, Input::Gap(5)), Parsed::Consumed(0));
    t.say(ToClient, b"hij", 9);
    assert_eq!(t.tx(0).response.m.progress, Progress::DONE);
    let f = &t.tx(0).response.m.payload.files[0];
    assert_eq!((f.gaps, f.size, f.state), (true, 10, FileState::Truncated));

    // An encoded body ends there; one that only says that it is encoded goes on, with what had been held back of it.
    let text: Vec<u8> = (0..400).flat_map(|i| format!("line {i}; ").into_bytes()).collect();
    for (body, whole) in [(gzip(&text), false), (text.clone(), true)] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut t = Talk::of(&[PLAIN[0], (ToClient, head.as_bytes()), (ToClient, &body[..500])]);
        t.give(ToClient, Input::Gap(100));
        t.say(ToClient, &body[600..], 99);
        let seen = t.resp(buffer::RESPONSE_BODY).into_bytes();
        let expected = if whole { [&text[..500], &text[600..]].concat() } else { text[..seen.len()].to_vec() };
        assert!(seen == expected && seen.len() > 500, "{}", seen.escape_ascii());
        assert_eq!((t.tx(0).response.m.progress, t.tx(0).response.m.payload.files[0].gaps), (Progress::DONE, true));
    }

    let mut t = Talk::of(&[(ToServer, b"GET /a HTTP/1.1\r\nHo")]);
    t.give(ToServer, Input::Gap(20));
    t.say(ToServer, b"rest of a header\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", 99);
    assert_eq!(t.events(0), ["invalid_gap"]);
    assert_eq!(t.get(1, buffer::URI, ToServer).as_deref(), Some("/b"));
}

#[test]
fn bounds() {
    let mut t = Talk::new();
    t.say(ToServer, &[b"GET /".to_vec(), vec![b'a'; 20_000]].concat(), 1460);
    assert_eq!((t.last, t.events(0)), (Parsed::Failed, vec!["request_field_too_long"]));

    let many: Vec<u8> = (0..3000).flat_map(|i| format!("GET /{i} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()).collect();
    let mut t = Talk::new();
    t.say(ToServer, &many, 1460);
    assert!(matches!(t.last, Parsed::Consumed(_)));
    assert_eq!(t.count(), 512);
    assert!(t.parser.memory() < 2 << 20, "{}", t.parser.memory());
    assert_eq!(Talk::of(&[(ToServer, &many)]).last, Parsed::Failed);

    let mut t = Talk::new();
    t.say(ToServer, b"GET / HTTP/1.1\r\n", 99);
    let header = [b"A: ".to_vec(), vec![b'x'; 9000], b"\r\n".to_vec()].concat();
    for _ in 0..100 {
        t.say(ToServer, &header, 1460);
    }
    assert_eq!(t.last, Parsed::Failed);

    let mut t = Talk::new();
    for i in 0..200 {
        let post = format!("POST /{i} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
        t.say(ToServer, &[post.into_bytes(), vec![b'x'; 100_000]].concat(), 1460);
    }
    assert!(t.parser.memory() < 12 << 20, "{}", t.parser.memory());
}

#[test]
fn freeing_returns_memory() {
    let mut t = Talk::of(PLAIN);
    let before = t.parser.memory();
    crate::applayer::AppParser::free(&mut t.parser, TxId(0));
    assert!(t.parser.memory() < before);
    assert_eq!(t.count(), 0);
    assert!(t.parser.transaction(TxId(0)).is_none());
    t.say(ToServer, PLAIN[0].1, 1000);
    assert_eq!(t.parser.transactions(), (TxId(1), TxId(2)));
}

#[test]
fn odd_headers_and_line_ends() {
    let t = Talk::of(&[(ToServer, b"GET / HTTP/1.1\nHost: h\nno colon\nA(b): c\nB : d\n\n")]);
    assert_eq!(
        t.events(0),
        ["request_field_missing_colon", "request_header_invalid", "request_invalid_lws_after_name"]
    );
    let t = Talk::of(&[PLAIN[0], (ToClient, b"HTTP/1.1 200 OK\rA: b\rContent-Length: 1\r\rx")]);
    assert_eq!(
        (t.resp(buffer::HEADER).as_str(), t.resp(buffer::RESPONSE_BODY).as_str()),
        ("A: b\r\nContent-Length: 1\r\n", "x")
    );
    let t = Talk::of(&[PLAIN[0], (ToClient, b"HTTP/7.x abc\r\nContent-Length: 0\r\n\r\n")]);
    assert!(t.events(0).contains(&"response_invalid_protocol") && t.events(0).contains(&"response_invalid_status"));
}

#[test]
fn uploads() {
    let t = Talk::of(&[(ToServer, b"PUT /f%2ebin HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\ndata")]);
    assert_eq!((t.req(generic::FILE_NAME), t.req(generic::FILE_DATA)), ("/f.bin".into(), "data".into()));
    let body = "--B\r\nContent-Disposition: form-data; filename=a\r\n\r\nAA\r\n--B\r\nContent-Disposition: form-data; filename=b\r\n\r\nBB\r\n--B--";
    let post = format!(
        "POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let t = Talk::of(&[(ToServer, post.as_bytes())]);
    use crate::applayer::Transaction;
    let second = t.tx(0).buffer(generic::FILE_DATA, ToServer, 1).unwrap();
    assert_eq!((second.data, second.complete), (&b"BB"[..], true));
    assert_eq!(t.tx(0).files(ToServer).iter().map(|f| f.file_id).collect::<Vec<_>>(), [1, 2]);
}

/// A form with two files, and what is lost of it: within a file, over its end, within a part's header.
#[test]
fn holes_in_uploads() {
    use crate::applayer::Transaction;
    let body = "--B\r\nContent-Disposition: form-data; filename=a\r\n\r\nAAAAAAAAAA\r\n--B\r\nContent-Disposition: \
                form-data; filename=b\r\n\r\nBBBB\r\n--B--\r\n";
    let head = format!(
        "POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let find = |what: &str| body.find(what).unwrap();
    for (from, to, files) in [
        (find("AAAAA") + 3, find("AAAAA") + 7, &[("a", "AAAAAA", true), ("b", "BBBB", false)][..]),
        (find("AAAAA") + 3, find("filename=b"), &[("a", "AAAfilename=b\r\n\r\nBBBB", true)]),
        (
            find("\n--B\r\nContent-Disposition: form-data; filename=b") + 27,
            find("filename=b"),
            &[("a", "AAAAAAAAAA", false), ("b", "BBBB", false)],
        ),
        (body.len() - 9, body.len(), &[("a", "AAAAAAAAAA", false), ("b", "BBBB", true)]),
    ] {
        let mut t = Talk::of(&[(ToServer, head.as_bytes()), (ToServer, &body.as_bytes()[..from])]);
        t.give(ToServer, Input::Gap((to - from) as u64));
        t.say(ToServer, &body.as_bytes()[to..], 7);
        t.say(ToServer, b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n", 99);
        let tx = t.tx(0);
        let seen: Vec<_> = (0..tx.files(ToServer).len())
            .map(|i| {
                let f = &tx.files(ToServer)[i];
                let data = tx.buffer(generic::FILE_DATA, ToServer, i).unwrap().data;
                (String::from_utf8_lossy(&f.name).into_owned(), String::from_utf8_lossy(data).into_owned(), f.gaps)
            })
            .collect();
        let seen: Vec<(&str, &str, bool)> = seen.iter().map(|(n, d, g)| (n.as_str(), d.as_str(), *g)).collect();
        assert_eq!(seen, files, "{from}..{to}");
        assert_eq!(
            (tx.request.m.progress, t.get(1, buffer::URI, ToServer).as_deref()),
            (Progress::DONE, Some("/next"))
        );
    }
}

#[test]
fn every_truncation_and_every_flip_is_survived() {
    let form = b"--B\r\nContent-Disposition: form-data; filename=\"a\"\r\n\r\nAA\r\n--B--";
    let post =
        b"POST /a%2fb?c=d HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: ";
    let ask = [&post[..], format!("{}\r\n\r\n", form.len()).as_bytes(), form, b"GET / HTTP/1.1\r\n\r\n"].concat();
    let body = gzip(b"some text, some text, some text");
    let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\nX: y\r\n z\r\n\r\n";
    let chunk = format!("{:x};a=b\r\n", body.len());
    let answer = [&head[..], chunk.as_bytes(), &body, b"\r\n0\r\nT: u\r\n\r\n"].concat();
    let check = |ask: &[u8], answer: &[u8]| {
        let mut t = Talk::of(&[(ToServer, ask), (ToClient, answer)]).end();
        assert!(matches!(t.last, Parsed::Done | Parsed::Consumed(_) | Parsed::Failed), "{:?}", t.last);
        crate::proto::exercise::visit(&DEF, &mut t.parser, true);
    };
    for cut in 0..ask.len() {
        check(&ask[..cut], &answer);
    }
    for cut in 0..answer.len() {
        check(&ask, &answer[..cut]);
    }
    for (at, flip) in (0..ask.len() + answer.len()).flat_map(|at| [1, 0x20, 0x80, 0xff].map(|f| (at, f))) {
        let mut both = [&ask[..], &answer].concat();
        both[at] ^= flip;
        let (ask, answer) = both.split_at(ask.len());
        check(ask, answer);
    }
}

#[test]
fn fuzz_smoke() {
    let mut seed = 1u64;
    let text = [PLAIN[0].1, PLAIN[1].1, b"0\r\n\r\n"].concat();
    for _ in 0..300 {
        let mut data: Vec<u8> = Vec::new();
        for _ in 0..40 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let r = (seed >> 33) as usize;
            data.push(r as u8);
            let at = r % text.len();
            data.extend_from_slice(&text[at..(at + (r >> 8) % 70).min(text.len())]);
        }
        fuzz::fuzz_target(&data);
    }
}
