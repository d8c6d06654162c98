//! Handshakes built by hand; cut, flipped and stretched.

use super::*;
use crate::applayer::{AppParser, Input, ParseCx, Parsed, Transaction, TxId, generic};
use crate::proto::exercise::{self, CountingSink, visit};
use crate::types::{FiveTuple, IpProto, Timestamp};
use Direction::{ToClient, ToServer};

fn block8(data: &[u8]) -> Vec<u8> {
    [&[data.len() as u8][..], data].concat()
}

fn block16(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u16).to_be_bytes()[..], data].concat()
}

fn block24(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32).to_be_bytes()[1..], data].concat()
}

fn record(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &block16(data)].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &block24(body)].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &block16(data)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &block16(&[&[0][..], &block16(name)].concat()))
}

fn hello_body(session: &[u8], ciphers: &[u8], extensions: &[u8]) -> Vec<u8> {
    [&[3, 3][..], &[7; 32], &block8(session), ciphers, extensions].concat()
}

fn client_hello(extensions: &[u8]) -> Vec<u8> {
    let body = hello_body(
        &[9; 32],
        &block16(&[0x1a, 0x1a, 0x13, 1, 0xc0, 0x2f]),
        &[&[1, 0][..], &block16(extensions)].concat(),
    );
    message(1, &body)
}

fn usual_extensions() -> Vec<u8> {
    [
        server_name(b"www.example.test"),
        extension(10, &block16(&[0, 29, 0, 23])),
        extension(11, &block8(&[0])),
        extension(13, &block16(&[4, 3, 8, 4])),
        extension(16, &block16(&[block8(b"h2"), block8(b"http/1.1")].concat())),
    ]
    .concat()
}

fn server_hello(session: &[u8], extensions: &[u8]) -> Vec<u8> {
    message(2, &hello_body(session, &[0xc0, 0x2f], &[&[0][..], &block16(extensions)].concat()))
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    match content.len() {
        n @ 0..=127 => [&[tag, n as u8][..], content].concat(),
        n @ 128..=255 => [&[tag, 0x81, n as u8][..], content].concat(),
        n => [&[tag, 0x82, (n >> 8) as u8, n as u8][..], content].concat(),
    }
}

fn rdn(oid: u8, value: &str) -> Vec<u8> {
    der(0x31, &der(0x30, &[der(6, &[0x55, 4, oid]), der(0x0c, value.as_bytes())].concat()))
}

fn certificate() -> Vec<u8> {
    certificate_of(&[b"example.test", b"www.example.test"])
}

/// Self-signed in form, for these host names; nobody checks the signature.
fn certificate_of(names: &[&[u8]]) -> Vec<u8> {
    let algorithm = der(0x30, &[der(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]), der(5, &[])].concat());
    let key_algorithm = der(0x30, &[der(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), der(5, &[])].concat());
    let names = der(0x30, &names.iter().map(|n| der(0x82, n)).collect::<Vec<_>>().concat());
    let extensions = der(0xa3, &der(0x30, &der(0x30, &[der(6, &[0x55, 0x1d, 0x11]), der(4, &names)].concat())));
    let tbs = [
        der(0xa0, &der(2, &[2])),
        der(2, &[0, 0x97, 0xe6]),
        algorithm.clone(),
        der(0x30, &[rdn(6, "US"), rdn(10, "Example CA")].concat()),
        der(0x30, &[der(0x17, b"160914082040Z"), der(0x17, b"261207081900Z")].concat()),
        der(0x30, &[rdn(10, "Example"), rdn(3, "example.test")].concat()),
        der(0x30, &[key_algorithm, der(3, &[0, 1, 2, 3])].concat()),
        extensions,
    ]
    .concat();
    der(0x30, &[der(0x30, &tbs), algorithm, der(3, &[0, 9, 9, 9])].concat())
}

fn chain() -> Vec<u8> {
    message(11, &block24(&[block24(&certificate()), block24(b"second")].concat()))
}

fn client_stream() -> Vec<u8> {
    [
        record(22, &client_hello(&usual_extensions())),
        record(22, &message(16, &[1; 66])),
        record(20, &[1]),
        record(22, &[0xee; 40]),
        record(23, &[0xdd; 30]),
    ]
    .concat()
}

fn server_stream() -> Vec<u8> {
    [
        record(22, &[server_hello(&[8; 32], &extension(16, &block16(&block8(b"h2")))), chain()].concat()),
        record(22, &[message(12, &[5; 20]), message(14, &[])].concat()),
        record(20, &[1]),
        record(22, &[0xcc; 40]),
        record(23, &[0xbb; 300]),
    ]
    .concat()
}

fn feed(parser: &mut TlsParser, dir: Direction, input: Input<'_>) -> Parsed {
    let tuple = FiveTuple { sport: 40_000, dport: 443, proto: IpProto::TCP, ..FiveTuple::default() };
    // 2017: the certificate above is valid.
    let parsed = parser.parse(
        &ParseCx {
            ts: Timestamp::from_secs(1_500_000_000),
            tuple: &tuple,
            inline: false,
            at: 0,
            frames: Default::default(),
        },
        dir,
        input,
    );
    parser.invariants();
    parsed
}

/// Both streams, each cut in two; unconsumed bytes are presented again.
fn handshake(cut: usize) -> TlsParser {
    let mut parser = TlsParser::default();
    for (dir, stream) in [(ToServer, client_stream()), (ToClient, server_stream())] {
        let mut from = 0;
        for upto in [cut.min(stream.len()), stream.len()] {
            match feed(&mut parser, dir, Input::Data(&stream[from..upto])) {
                Parsed::Consumed(n) => from += n,
                Parsed::Done => from = stream.len(),
                other => panic!("{other:?} at {cut}"),
            }
        }
    }
    parser
}

fn text(tx: &dyn Transaction, id: BufferId, dir: Direction, index: usize) -> Option<String> {
    tx.buffer(id, dir, index).map(|b| String::from_utf8_lossy(b.data).into_owned())
}

fn events(dir: Direction, bytes: &[u8]) -> (Parsed, Vec<EventId>) {
    let mut parser = TlsParser::default();
    let parsed = feed(&mut parser, dir, Input::Data(bytes));
    (parsed, parser.transaction(TxId(0)).unwrap().events().to_vec())
}

#[test]
fn everything_of_a_handshake_however_it_is_cut() {
    for cut in 0..=server_stream().len().max(client_stream().len()) {
        let parser = handshake(cut);
        let tx = parser.transaction(TxId(0)).unwrap();
        assert!(parser.opaque());
        assert!(tx.events().is_empty(), "{cut}: {:?}", tx.events());
        assert_eq!((tx.progress(ToServer), tx.progress(ToClient)), (Progress::DONE, Progress::DONE));
        let get = |id, dir| text(tx, id, dir, 0);
        assert_eq!(get(buffer::SNI, ToServer).unwrap(), "www.example.test");
        assert_eq!(get(buffer::SNI, ToClient), None);
        assert_eq!(get(buffer::CERT_SUBJECT, ToClient).unwrap(), "O=Example, CN=example.test");
        assert_eq!(get(buffer::CERT_ISSUER, ToClient).unwrap(), "C=US, O=Example CA");
        assert_eq!(get(buffer::CERT_SERIAL, ToClient).unwrap(), "00:97:E6");
        assert_eq!(get(buffer::CERT_FINGERPRINT, ToClient).unwrap().len(), 59);
        assert_eq!(get(buffer::CERT_SUBJECT, ToServer), None);
        assert_eq!(text(tx, buffer::CERTS, ToClient, 1).unwrap(), "second");
        assert_eq!(tx.buffer(buffer::CERTS, ToClient, 0).unwrap().data, certificate());
        assert_eq!(text(tx, buffer::SUBJECT_ALT_NAME, ToClient, 1).unwrap(), "www.example.test");
        assert_eq!(text(tx, buffer::ALPN, ToServer, 1).unwrap(), "http/1.1");
        assert_eq!(text(tx, buffer::ALPN, ToClient, 0).unwrap(), "h2");
        assert_eq!(get(generic::JA3_STRING, ToServer).unwrap(), "771,4865-49199,0-10-11-13-16,29-23,0");
        assert_eq!(get(generic::JA3S_STRING, ToClient).unwrap(), "771,49199,16");
        assert!(get(generic::JA4_HASH, ToServer).unwrap().starts_with("t12d0205h2_"));
        assert_eq!(tx.buffer(buffer::RANDOM_BYTES, ToServer, 0).unwrap().data, [7; 28]);
    }
}

#[test]
fn a_hello_in_records_of_one_byte() {
    let hello = client_hello(&usual_extensions());
    let stream: Vec<u8> = hello.iter().flat_map(|b| record(22, &[*b])).collect();
    let mut parser = TlsParser::default();
    assert_eq!(feed(&mut parser, ToServer, Input::Data(&stream)), Parsed::Consumed(stream.len()));
    let tx = parser.transaction(TxId(0)).unwrap();
    assert_eq!(text(tx, buffer::SNI, ToServer, 0).unwrap(), "www.example.test");
    assert!(tx.records(&crate::proto::LogSettings::default()) == 0, "a hello that nobody answered");
}

#[test]
fn every_truncation_and_every_flip_is_survived() {
    for (dir, stream) in [(ToServer, client_stream()), (ToClient, server_stream())] {
        let check = |bytes: &[u8]| {
            let mut parser = TlsParser::default();
            feed(&mut parser, dir, Input::Data(bytes));
            if !matches!(feed(&mut parser, dir, Input::Eof), Parsed::Done) {
                panic!("no end");
            }
            visit(&DEF, &mut parser, true);
        };
        for cut in 0..stream.len() {
            check(&stream[..cut]);
        }
        for at in 0..stream.len() {
            for flip in [1, 0x40, 0x80, 0xff] {
                let mut bytes = stream.clone();
                bytes[at] ^= flip;
                check(&bytes);
            }
        }
    }
}

#[test]
fn versions() {
    let supported = |list: &[u8]| record(22, &client_hello(&extension(43, &block8(list))));
    let version = |bytes: &[u8]| {
        let mut parser = TlsParser::default();
        feed(&mut parser, ToServer, Input::Data(bytes));
        parser.transaction(TxId(0)).unwrap().as_any().downcast_ref::<TlsTransaction>().unwrap().side(ToServer).version
    };
    assert_eq!(version(&supported(&[0x2a, 0x2a, 3, 4, 3, 3])), version::Version::TLS13);
    assert_eq!(version(&supported(&[0x2a, 0x2a])), version::Version::TLS12);
    let mut parser = TlsParser::default();
    feed(&mut parser, ToServer, Input::Data(&record(22, &client_hello(&[]))));
    feed(&mut parser, ToClient, Input::Data(&record(22, &server_hello(&[], &extension(43, &[3, 4])))));
    let tx = parser.transaction(TxId(0)).unwrap();
    assert!(tx.records(&crate::proto::LogSettings::default()) == 1);
    let test = |keyword: &str, option: &str, dir| {
        let row = keywords::KEYWORDS.iter().find(|k| k.name == keyword).unwrap();
        (row.parse)(option).unwrap().matches(tx, dir)
    };
    assert_eq!(test("tls.version", "1.3", ToClient), Some(true));
    assert_eq!(test("tls.version", "0x0304", ToClient), Some(true));
    assert_eq!(test("tls.version", "1.2", ToClient), Some(false));
    assert_eq!(test("ssl_version", "tls1.2,tls1.3", ToServer), Some(true));
    assert_eq!(test("ssl_version", "!tls1.3", ToClient), Some(false));
    assert_eq!(test("ssl_state", "server_hello|unknown", ToClient), Some(true));
    assert_eq!(test("ssl_state", "client_keyx", ToClient), None);
}

#[test]
fn keywords_of_certificates() {
    let parser = handshake(0);
    let tx = parser.transaction(TxId(0)).unwrap();
    let test = |keyword: &str, option: &str| {
        let row = keywords::KEYWORDS.iter().find(|k| k.name == keyword).unwrap();
        (row.parse)(option).unwrap().matches(tx, ToClient).unwrap()
    };
    assert!(test("tls.cert_chain_len", "2") && !test("tls.cert_chain_len", ">2"));
    assert!(test("tls_cert_notbefore", "2016-09-14<>2016-09-15") && test("tls_cert_notbefore", "2016-09-14T08:20:40"));
    assert!(test("tls_cert_notafter", ">2025") && !test("tls_cert_notafter", "<2025-12-31"));
    assert!(test("tls_cert_valid", "") && !test("tls_cert_expired", ""));
    assert!(test("tls.subject", "\"CN=example.test\"") && !test("tls.subject", "!\"CN=example.test\""));
    assert!(test("tls.issuerdn", "Example CA") && !test("tls.issuerdn", "example ca"));
    assert!(!test("tls.fingerprint", "\"00:11\"") && test("tls.fingerprint", "!\"00:11\""));
    let own = text(tx, buffer::CERT_FINGERPRINT, ToClient, 0).unwrap().to_uppercase();
    assert!(test("tls.fingerprint", &format!("\"{own}\"")));
}

#[test]
fn a_resumed_session_says_so() {
    let mut parser = TlsParser::default();
    feed(&mut parser, ToServer, Input::Data(&record(22, &client_hello(&[]))));
    feed(&mut parser, ToClient, Input::Data(&record(22, &server_hello(&[9; 32], &[]))));
    let tx = parser.transaction(TxId(0)).unwrap();
    assert!(tx.records(&crate::proto::LogSettings::default()) == 1);
    assert!(tx.as_any().downcast_ref::<TlsTransaction>().unwrap().resumed());
}

#[test]
fn ssl_2() {
    let body = [&[1, 3, 0, 0, 6, 0, 0, 0, 16][..], &[0, 0, 4, 1, 0, 0x80], &[5; 16]].concat();
    let hello = [&[0x80, body.len() as u8][..], &body].concat();
    for cut in 0..hello.len() {
        let mut parser = TlsParser::default();
        assert_eq!(feed(&mut parser, ToServer, Input::Data(&hello[..cut])), Parsed::Consumed(0), "{cut}");
        assert_eq!(feed(&mut parser, ToServer, Input::Data(&hello)), Parsed::Consumed(hello.len()));
        let tx = parser.transaction(TxId(0)).unwrap();
        assert_eq!(tx.progress(ToServer), progress::HELLO);
        // Its bigger sister answers in TLS.
        feed(&mut parser, ToClient, Input::Data(&record(22, &[server_hello(&[], &[]), chain()].concat())));
        assert!(parser.transaction(TxId(0)).unwrap().records(&crate::proto::LogSettings::default()) == 1);
    }
    assert_eq!(events(ToServer, &[0x80, 3, 0, 0, 1]).1, [event::ERROR_MESSAGE]);
    assert_eq!(events(ToServer, &[0x80, 3, 99, 0, 1]), (Parsed::Failed, vec![event::INVALID_SSLV2_HEADER]));
}

#[test]
fn odd_records() {
    assert_eq!(events(ToServer, &[33, 3, 3, 0, 1, 0]).1, [event::INVALID_RECORD_TYPE]);
    assert_eq!(events(ToServer, &[22, 3, 9, 0, 1, 0]).1, [event::INVALID_RECORD_VERSION]);
    assert_eq!(events(ToServer, &[22, 3, 3, 0, 0]).1, [event::INVALID_RECORD_LENGTH]);
    assert_eq!(events(ToServer, &[22, 3, 3, 0x50, 0]).1, [event::INVALID_RECORD_LENGTH]);
    assert_eq!(events(ToServer, &record(22, &message(77, b"x"))).1, [event::INVALID_HANDSHAKE_MESSAGE]);
    assert_eq!(events(ToClient, &record(21, &[9, 9])).1, [event::INVALID_ALERT]);
    assert_eq!(events(ToClient, &record(21, &[2, 40])), (Parsed::Consumed(7), vec![]));
    let broken = record(22, &message(1, &[3, 3, 0]));
    assert_eq!(
        events(ToServer, &broken),
        (Parsed::Failed, vec![event::HANDSHAKE_INVALID_LENGTH, event::INVALID_HANDSHAKE_MESSAGE])
    );
}

#[test]
fn heartbeats() {
    assert_eq!(events(ToServer, &record(24, &[1, 0, 1, 0xaa])).1, [event::OVERFLOW_HEARTBEAT]);
    assert_eq!(events(ToServer, &record(24, &[7, 0, 1])).1, [event::INVALID_HEARTBEAT]);
    let ordinary = [&[1, 0, 4][..], &[0; 20]].concat();
    assert_eq!(events(ToServer, &record(24, &ordinary)).1, []);
    let mut parser = TlsParser::default();
    let hello = record(22, &client_hello(&[]));
    feed(&mut parser, ToServer, Input::Data(&[hello, record(20, &[1])].concat()));
    feed(&mut parser, ToClient, Input::Data(&[record(22, &server_hello(&[], &[])), record(20, &[1])].concat()));
    feed(&mut parser, ToServer, Input::Data(&record(24, &[0; 40])));
    feed(&mut parser, ToClient, Input::Data(&record(24, &[0; 4_000])));
    assert_eq!(parser.transaction(TxId(0)).unwrap().events(), [event::DATALEAK_HEARTBEAT]);
}

#[test]
fn odd_server_names() {
    let of = |extensions: &[u8]| events(ToServer, &record(22, &client_hello(extensions))).1;
    assert_eq!(of(&[server_name(b"a"), server_name(b"b")].concat()), [event::MULTIPLE_SNI_EXTENSIONS]);
    assert_eq!(of(&extension(0, &block16(&[1, 0, 1, b'a']))), [event::INVALID_SNI_TYPE]);
    assert_eq!(of(&extension(0, &block16(&[0, 0, 9, b'a']))), [event::INVALID_SNI_LENGTH]);
    assert_eq!(of(&extension(0, &[0, 9, 0, 0, 1, b'a'])), [event::INVALID_SNI_LENGTH]);
}

#[test]
fn broken_certificates_are_events() {
    let with = |list: &[u8]| events(ToClient, &record(22, &message(11, &block24(list))));
    let (parsed, raised) = with(&block24(b"not a certificate"));
    assert!(matches!(parsed, Parsed::Consumed(_)));
    assert_eq!(raised, [event::INVALID_CERTIFICATE, event::INVALID_HANDSHAKE_MESSAGE]);
    let whole = certificate();
    for cut in 1..whole.len() {
        let (parsed, raised) = with(&block24(&whole[..cut]));
        assert!(matches!(parsed, Parsed::Consumed(_)) && raised.len() == 2, "{cut} {raised:?}");
    }
    assert_eq!(with(&[0, 0, 9, 1]).1, [event::INVALID_CERTIFICATE, event::INVALID_HANDSHAKE_MESSAGE]);
}

#[test]
fn an_oversized_message_is_skipped() {
    let huge = message(11, &vec![0; parser::HANDSHAKE_BYTES_MAX + 1]);
    let mut stream: Vec<u8> = huge.chunks(16_000).flat_map(|c| record(22, c)).collect();
    stream.extend(record(22, &server_hello(&[], &[])));
    let mut parser = TlsParser::default();
    let mut pending = Vec::new();
    for piece in stream.chunks(1_000) {
        pending.extend_from_slice(piece);
        let Parsed::Consumed(n) = feed(&mut parser, ToClient, Input::Data(&pending)) else { panic!() };
        pending.drain(..n);
        assert!(parser.memory() < 4 * parser::HANDSHAKE_BYTES_MAX);
    }
    let tx = parser.transaction(TxId(0)).unwrap();
    assert_eq!(tx.events(), [event::HANDSHAKE_INVALID_LENGTH]);
    assert_eq!(tx.progress(ToClient), progress::HELLO);
}

#[test]
fn a_record_is_so_long_and_no_longer() {
    let of = |len: usize| record(22, &message(4, &vec![0; len - 4]));
    assert_eq!(events(ToClient, &of(18_432)), (Parsed::Consumed(18_437), vec![]));
    assert_eq!(events(ToClient, &of(18_433)), (Parsed::Failed, vec![event::INVALID_RECORD_LENGTH]));
    // Behind the handshake only the records' places are followed.
    for (len, parsed) in [(18_432u16, Parsed::Consumed(11)), (18_433, Parsed::Done)] {
        let mut parser = TlsParser::default();
        parser.frames_mut();
        let next = [&[23, 3, 3][..], &len.to_be_bytes()].concat();
        assert_eq!(feed(&mut parser, ToServer, Input::Data(&[record(23, b"x"), next].concat())), parsed, "{len}");
    }
}

#[test]
fn names_of_a_certificate_are_bounded() {
    for (n, shown) in [(4_096, 4_096), (4_097, 4_096)] {
        let read = certificate::Certificate::read(&certificate_of(&vec![&b"a"[..]; n])).unwrap();
        assert_eq!(read.alt_names.len(), shown, "{n}");
    }
}

#[test]
fn a_chain_is_bounded_and_an_event_says_so() {
    let more = [event::INVALID_CERTIFICATE, event::INVALID_HANDSHAKE_MESSAGE];
    for (n, raised) in [(64, &[][..]), (65, &more)] {
        let list = [vec![block24(&certificate())], vec![block24(b"x"); n - 1]].concat().concat();
        let mut parser = TlsParser::default();
        feed(&mut parser, ToClient, Input::Data(&record(22, &message(11, &block24(&list)))));
        let tx = parser.transaction(TxId(0)).unwrap();
        let shown = (0..).take_while(|i| tx.buffer(buffer::CERTS, ToClient, *i).is_some()).count();
        assert_eq!((shown, tx.events()), (64, raised), "{n}");
    }
}

#[test]
fn an_event_is_kept_once() {
    let mut tx = transaction::TlsTransaction::default();
    for local in (0..EVENTS.len()).chain(0..EVENTS.len()) {
        tx.raise(EventId { proto: ID, local: local as u8 });
    }
    assert_eq!(tx.events().len(), EVENTS.len());
}

#[test]
fn a_gap_ends_the_handshake() {
    let mut parser = TlsParser::default();
    feed(&mut parser, ToServer, Input::Data(&record(22, &client_hello(&[]))));
    assert_eq!(feed(&mut parser, ToServer, Input::Gap(10)), Parsed::Failed);
    assert_eq!(parser.transaction(TxId(0)).unwrap().progress(ToClient), Progress::DONE);
}

#[test]
fn probing() {
    let tuple = FiveTuple { dport: 8_443, proto: IpProto::TCP, ..FiveTuple::default() };
    let probe = |dir, data: &[u8]| {
        (DEF.probe)(&ProbeInput {
            dir,
            data,
            tuple: &tuple,
            udp: false,
            eof: false,
            settings: &crate::proto::Settings::default(),
        })
    };
    assert_eq!(probe(ToServer, &client_stream()), Probe::Match);
    assert_eq!(probe(ToClient, &server_stream()), Probe::Match);
    assert_eq!(probe(ToServer, &[22, 3]), Probe::More);
    assert_eq!(probe(ToServer, &[22, 4]), Probe::No);
    assert_eq!(probe(ToServer, &[23, 3, 3]), Probe::No);
    assert_eq!(probe(ToClient, &[23, 3, 3]), Probe::Match);
    assert_eq!(probe(ToServer, &[0x80, 40, 1, 3, 0, 0]), Probe::Match);
    assert_eq!(probe(ToServer, &[0x80, 40, 1]), Probe::More);
    assert_eq!(probe(ToServer, &[0x80, 40, 2]), Probe::No);
    assert_eq!(probe(ToServer, b"GET / HTTP/1.1"), Probe::No);
}

#[test]
fn the_log_and_the_fuzz_target() {
    let mut parser = handshake(0);
    let mut sink = CountingSink::default();
    exercise::log(parser.transaction(TxId(0)).unwrap(), &mut sink);
    let without = sink.fields;
    let tx = parser.transaction(TxId(0)).unwrap();
    assert!(tx.buffer(generic::JA3_HASH, ToServer, 0).is_some());
    sink = CountingSink::default();
    exercise::log(tx, &mut sink);
    assert!(without < sink.fields, "JA3 is logged once a rule has asked for it");
    assert!(sink.depth == 0 && sink.fields >= 17, "{}", sink.fields);
    visit(&DEF, &mut parser, true);
    assert_eq!(parser.transactions(), (TxId(1), TxId(1)));
    exercise::run(&DEF, &[&[0, 0x3f][..], &client_stream()].concat());
    exercise::run(&DEF, &[&[2, 0x3f][..], &server_stream()].concat());
    fuzz::fuzz_target(&[]);
}

#[test]
fn a_record_waits_for_the_certificate_the_client_was_asked_for() {
    use super::transaction::{Chain, state};
    let mut tx = TlsTransaction::default();
    let chain = || {
        let mut chain = Chain::default();
        chain.first = Some(Default::default());
        chain
    };
    tx.server.chain = Some(Box::new(chain()));
    assert!(tx.log_ready(), "nothing more will change");
    tx.states |= state::CERTIFICATE_REQUEST;
    assert!(!tx.log_ready());
    tx.client.chain = Some(Box::new(chain()));
    assert!(!tx.log_ready(), "the handshake may still fail");
    tx.advance(ToServer, progress::HELLO_DONE);
    assert!(tx.log_ready());
}

#[test]
fn fields_are_those_chosen() {
    use crate::applayer::{LogCx, LogPurpose};
    let mut tx = TlsTransaction::new(Settings { ja3: Fingerprint::Always, ..Settings::default() });
    let hello = hello::Hello {
        random: Some([7; 32]),
        sni: Some(Box::from(&b"a.test"[..])),
        ciphers: vec![0x0a0a, 0x1301],
        extensions: [0u16].into_iter().collect(),
        ..hello::Hello::default()
    };
    tx.client.hello = Some(Box::new(hello));
    let fields = |fields: Fields, purpose| {
        let tls = LogSettings { fields, session_resumption: true };
        let settings = crate::proto::LogSettings { tls, ..Default::default() };
        let mut sink = CountingSink::default();
        tx.log(&mut sink, &LogCx::new(&settings, purpose));
        assert_eq!(sink.depth, 0);
        sink.fields
    };
    assert_eq!(fields(Fields::NONE, LogPurpose::Own), 0);
    assert_eq!(fields(Fields::SNI, LogPurpose::Own), 1);
    assert_eq!(fields(Fields::JA3, LogPurpose::Own), 2);
    // Version, one cipher, one extension: fillers are left out.
    assert_eq!(fields(Fields::CLIENT_HANDSHAKE, LogPurpose::Own), 3);
    assert_eq!(fields(Fields::NONE, LogPurpose::Alert), fields(Fields::EXTENDED, LogPurpose::Own));
    let never =
        TlsTransaction::new(Settings { ja3: Fingerprint::Never, ja4: Fingerprint::Never, ..Settings::default() });
    assert!(never.ja3(ToServer).is_none() && never.ja4().is_none());
}
