//! Messages built by hand, by rule of RFC 1035; cut, flipped and looped.

use super::*;
use crate::applayer::{AppParser, Input, ParseCx, Parsed, Probe, ProbeInput, Transaction, TxId};
use crate::proto::exercise::{CountingSink, log, visit};
use crate::types::{Direction, FiveTuple, IpProto, Timestamp};
use Direction::{ToClient, ToServer};

fn name(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in text.split('.').filter(|l| !l.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut out = vec![0x12, 0x34];
    for n in [flags].into_iter().chain(counts) {
        out.extend_from_slice(&n.to_be_bytes());
    }
    out
}

fn question(text: &str, rrtype: u16) -> Vec<u8> {
    [name(text), rrtype.to_be_bytes().to_vec(), vec![0, 1]].concat()
}

fn record(owner: &[u8], rrtype: u16, rdata: &[u8]) -> Vec<u8> {
    let fixed = [&rrtype.to_be_bytes()[..], &[0, 1, 0, 0, 1, 0x2c], &(rdata.len() as u16).to_be_bytes()].concat();
    [owner, &fixed, rdata].concat()
}

fn request(text: &str) -> Vec<u8> {
    [header(0x0100, [1, 0, 0, 0]), question(text, 1)].concat()
}

/// `www.suricata.test` is a CNAME of the name at offset 16, which has an address; with every kind of data.
fn response() -> Vec<u8> {
    let soa = [name("ns.a"), name("hostmaster.a"), (1u32..=5).flat_map(u32::to_be_bytes).collect()].concat();
    [
        header(0x8180, [1, 6, 2, 2]),
        question("www.example.test", 1),
        record(&[0xc0, 12], 5, &[0xc0, 16]),
        record(&[0xc0, 16], 1, &[192, 0, 2, 1]),
        record(&[0xc0, 16], 28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        record(&[0xc0, 12], 16, b"\x03one\x03two"),
        record(&[0xc0, 12], 15, &[&[0, 10][..], &name("mail.a")].concat()),
        record(&[0xc0, 12], 44, &[1, 2, 0xab, 0xcd]),
        record(&name("a"), 6, &soa),
        record(&name("a"), 2, &name("ns.a")),
        record(&name("_sip.a"), 33, &[&[0, 1, 0, 2, 0x13, 0xc4][..], &name("sip.a")].concat()),
        record(&[0], 41, &[0, 10, 0, 2, 9, 9]),
    ]
    .concat()
}

fn tuple(proto: IpProto, dport: u16) -> FiveTuple {
    FiveTuple { sport: 40_000, dport, proto, ..FiveTuple::default() }
}

fn feed(parser: &mut DnsParser, proto: IpProto, dir: Direction, input: Input<'_>) -> Parsed {
    let tuple = tuple(proto, 53);
    let parsed = parser.parse(
        &ParseCx { ts: Timestamp::ZERO, tuple: &tuple, inline: false, at: 0, frames: Default::default() },
        dir,
        input,
    );
    parser.invariants();
    parsed
}

fn datagram(dir: Direction, bytes: &[u8]) -> DnsParser {
    let mut parser = DnsParser::new();
    assert_eq!(feed(&mut parser, IpProto::UDP, dir, Input::Data(bytes)), Parsed::Consumed(bytes.len()));
    parser
}

fn buffers(tx: &dyn Transaction, id: BufferId, dir: Direction) -> Vec<String> {
    (0..).map_while(|i| tx.buffer(id, dir, i)).map(|b| String::from_utf8_lossy(b.data).into_owned()).collect()
}

fn prefixed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

#[test]
fn a_request_and_its_names() {
    let parser = datagram(ToServer, &request("Mail.Example.test"));
    let tx = parser.transaction(TxId(0)).unwrap();
    assert_eq!(buffers(tx, buffer::QUERY, ToServer), ["Mail.Example.test"]);
    assert_eq!(buffers(tx, buffer::QUERIES_RRNAME, ToServer), ["Mail.Example.test"]);
    assert!(buffers(tx, buffer::QUERY, ToClient).is_empty());
    assert!(tx.events().is_empty());
}

#[test]
fn a_response_and_its_names() {
    let parser = datagram(ToClient, &response());
    let tx = parser.transaction(TxId(0)).unwrap();
    assert!(buffers(tx, buffer::QUERY, ToClient).is_empty());
    assert_eq!(buffers(tx, buffer::QUERIES_RRNAME, ToClient), ["www.example.test"]);
    let answers = buffers(tx, buffer::ANSWERS_RRNAME, ToClient);
    assert_eq!(answers[..2], ["www.example.test", "example.test"]);
    assert_eq!(answers.len(), 6);
    assert_eq!(buffers(tx, buffer::AUTHORITIES_RRNAME, ToClient), ["a", "a"]);
    assert_eq!(buffers(tx, buffer::ADDITIONALS_RRNAME, ToClient), ["_sip.a", ""]);
    let all = buffers(tx, buffer::RESPONSE_RRNAME, ToClient);
    for n in ["www.example.test", "example.test", "mail.a", "ns.a", "_sip.a"] {
        assert!(all.iter().any(|a| a == n), "{n} in {all:?}");
    }
    assert!(!all.iter().any(|a| a == "sip.a" || a == "hostmaster.a"));
}

#[test]
fn the_log_of_a_response() {
    #[derive(Default)]
    struct Text(String);
    impl crate::types::FieldSink for Text {
        fn bytes(&mut self, k: &str, v: &[u8]) {
            self.0 += &format!("{k}={} ", String::from_utf8_lossy(v));
        }
        fn uint(&mut self, k: &str, v: u64) {
            self.0 += &format!("{k}={v} ");
        }
        fn int(&mut self, _: &str, _: i64) {}
        fn float(&mut self, _: &str, _: f64) {}
        fn bool(&mut self, k: &str, v: bool) {
            self.0 += &format!("{k}={v} ");
        }
        fn begin_object(&mut self, k: &str) {
            self.0 += &format!("{k}{{ ");
        }
        fn begin_array(&mut self, k: &str) {
            self.0 += &format!("{k}[ ");
        }
        fn end(&mut self) {
            self.0 += "; ";
        }
    }
    let mut sink = Text::default();
    log(datagram(ToClient, &response()).transaction(TxId(0)).unwrap(), &mut sink);
    for part in [
        "version=3 type=response tx_id=0 id=4660 flags=8180 qr=true rd=true ra=true opcode=0 rcode=NOERROR ",
        "queries[ { rrname=www.example.test rrtype=A ; ; ",
        "answers[ { rrname=www.example.test rrtype=CNAME ttl=300 rdata=example.test ; ",
        "rdata=2001:0db8:0000:0000:0000:0000:0000:0001 ",
        "rrtype=TXT ttl=300 rdata=one ; { rrname=www.example.test rrtype=TXT ttl=300 rdata=two ; ",
        "sshfp{ fingerprint=ab:cd algo=1 type=2 ; ",
        "grouped{ CNAME[ =example.test ; A[ =192.0.2.1 ; ",
        "TXT[ =one =two ; MX[ =mail.a ; ",
        "soa{ mname=ns.a rname=hostmaster.a serial=1 refresh=2 retry=3 expire=4 minimum=5 ; ",
        "srv{ priority=1 weight=2 port=5060 name=sip.a ; ",
        "opt[ { code=10 data=0909 ; ; ",
    ] {
        assert!(sink.0.contains(part), "{part}\nin {}", sink.0);
    }
}

#[test]
fn every_truncation_and_every_flip_is_survived() {
    for whole in [request("www.example.test"), response()] {
        let check = |bytes: &[u8]| {
            for dir in Direction::BOTH {
                let mut parser = DnsParser::new();
                feed(&mut parser, IpProto::UDP, dir, Input::Data(bytes));
                visit(&DEF, &mut parser, true);
                parser.invariants();
                let kept = parser.memory() - DnsParser::new().memory();
                assert!(kept <= super::parser::SPENT_MAX, "{kept}");
            }
        };
        for cut in 0..whole.len() {
            check(&whole[..cut]);
        }
        for at in 0..whole.len() {
            for flip in [1, 0x80, 0xff, 0xc0] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                check(&bytes);
            }
        }
    }
}

#[test]
fn truncated_sections_say_so() {
    let whole = response();
    let parser = datagram(ToClient, &whole[..whole.len() - 1]);
    let tx = parser.transaction(TxId(0)).unwrap();
    assert_eq!(tx.events(), [event::INVALID_ADDITIONALS]);
    assert!(buffers(tx, buffer::ADDITIONALS_RRNAME, ToClient).is_empty());
    assert_eq!(buffers(tx, buffer::AUTHORITIES_RRNAME, ToClient).len(), 2);
    let mut parser = datagram(ToClient, &whole[..60]);
    assert_eq!(parser.transactions(), (TxId(0), TxId(0)));
    assert_eq!(parser.take_events(), [event::MALFORMED_DATA]);
}

#[test]
fn events_that_nobody_takes_are_bounded() {
    let malformed = [header(0x0100, [1, 0, 0, 0]), vec![1, b'a', 0x80]].concat();
    let raised = |parser: &mut DnsParser, n: usize| {
        for _ in 0..n {
            feed(parser, IpProto::UDP, ToServer, Input::Data(&malformed));
        }
        parser.take_events().len()
    };
    let mut parser = DnsParser::new();
    assert_eq!([16, 17, 2].map(|n| raised(&mut parser, n)), [16, 16, 2]);
}

#[test]
fn compression_loops_end() {
    let owner_loop = |pointer: &[u8]| [header(0x8180, [0, 1, 0, 0]), record(pointer, 1, &[1, 2, 3, 4])].concat();
    // At itself without a label before it: nothing can follow.
    let mut parser = datagram(ToClient, &owner_loop(&[0xc0, 12]));
    assert_eq!(parser.take_events(), [event::MALFORMED_DATA]);
    // Two pointers at each other: the labels' limit ends it, and what follows is read.
    let two = [header(0x8180, [0, 2, 0, 0]), record(&[0xc0, 14, 0xc0, 12], 1, &[]), record(&[0], 1, &[])].concat();
    let _ = datagram(ToClient, &two);
    let looped = [header(0x8180, [1, 1, 0, 0]), question("a", 1), record(&[1, b'x', 0xc0, 19], 1, &[])].concat();
    let parser = datagram(ToClient, &looped);
    let tx = parser.transaction(TxId(0)).unwrap();
    assert_eq!(tx.events(), [event::NAME_TOO_LONG, event::TOO_MANY_LABELS]);
    assert!(tx.buffer(buffer::ANSWERS_RRNAME, ToClient, 0).unwrap().data.starts_with(b"x.x.x"));
    // A pointer at a pointer that points at itself.
    let chained =
        [header(0x8180, [1, 1, 0, 0]), question("a", 1), record(&[1, b'x', 0xc0, 23], 1, &[0xc0, 0x21])].concat();
    let _ = datagram(ToClient, &chained);
}

#[test]
fn a_name_in_pieces_is_the_name() {
    let pointed = |label: &str, at: u8| [&name(label)[..1 + label.len()], &[0xc0, at, 0, 1, 0, 1]].concat();
    // `evil.test` at 12; then it by pointer alone, under another label, and by a pointer at a pointer.
    let bytes = [
        header(0x0100, [4, 0, 0, 0]),
        question("evil.test", 1),
        vec![0xc0, 12, 0, 1, 0, 1],
        pointed("www", 12),
        pointed("a", 27),
    ]
    .concat();
    let parser = datagram(ToServer, &bytes);
    let tx = parser.transaction(TxId(0)).unwrap();
    assert_eq!(buffers(tx, buffer::QUERY, ToServer), ["evil.test", "evil.test", "www.evil.test", "a.evil.test"]);
}

#[test]
fn names_are_cut_at_their_limits() {
    let long = ["abcdefghij"; 120].join(".");
    let parser = datagram(ToServer, &request(&long));
    let tx = parser.transaction(TxId(0)).unwrap();
    assert_eq!(tx.events(), [event::NAME_TOO_LONG]);
    assert_eq!(tx.buffer(buffer::QUERY, ToServer, 0).unwrap().data.len(), super::name::NAME_BYTES_MAX);
    let mut parser = datagram(ToServer, &request(&["a"; 300].join(".")));
    assert_eq!(parser.take_events(), [event::MALFORMED_DATA]);
}

#[test]
fn a_message_of_pointers_stays_small() {
    // 64 KiB of records, each naming a long name by pointer, as owner and as data.
    let long = name(&["abcdefghijklmnopqrstuvwxyz"; 9].join("."));
    let mut bytes = [header(0x8180, [1, 4_000, 0, 0]), long, vec![0, 1, 0, 1]].concat();
    for i in 0..4_000u16 {
        // Different places within the name, so that each is a name of its own.
        bytes.extend(record(&[0xc0, 12 + 27 * (i % 9) as u8], 5, &[0xc0, 12 + 27 * ((i + 4) % 9) as u8]));
    }
    let parser = datagram(ToClient, &bytes);
    assert_eq!(parser.transactions(), (TxId(0), TxId(1)));
    assert!(parser.memory() < 1 << 20, "{}", parser.memory());
}

#[test]
fn flags_raise_events() {
    let with = |flags| [header(flags, [1, 0, 0, 0]), question("a", 1)].concat();
    let events = |dir, flags| datagram(dir, &with(flags)).transaction(TxId(0)).unwrap().events().to_vec();
    assert_eq!(events(ToServer, 0x0040), [event::Z_FLAG_SET]);
    assert_eq!(events(ToServer, 0x3800), [event::INVALID_OPCODE]);
    assert_eq!(events(ToClient, 0x0100), [event::NOT_RESPONSE]);
    let mut parser = datagram(ToServer, &with(0x8180));
    assert_eq!(parser.take_events(), [event::NOT_REQUEST]);
}

#[test]
fn tcp_cut_at_every_byte() {
    let stream = [prefixed(&request("one.test")), vec![0, 0], prefixed(&request("two.test"))].concat();
    for cut in 0..=stream.len() {
        let mut parser = DnsParser::new();
        let mut from = 0;
        for upto in [cut, stream.len()] {
            match feed(&mut parser, IpProto::TCP, ToServer, Input::Data(&stream[from..upto])) {
                Parsed::Consumed(n) => from += n,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(from, stream.len());
        assert_eq!(parser.transactions(), (TxId(0), TxId(2)));
        let tx = parser.transaction(TxId(1)).unwrap();
        assert_eq!(buffers(tx, buffer::QUERY, ToServer), ["two.test"]);
        parser.free(TxId(0));
        parser.free(TxId(1));
        parser.invariants();
        assert!(parser.transaction(TxId(1)).is_none());
    }
}

#[test]
fn tcp_finds_its_way_after_a_gap() {
    let mut parser = DnsParser::new();
    feed(&mut parser, IpProto::TCP, ToServer, Input::Gap(100));
    let tail = b"the rest of something unknown";
    assert_eq!(feed(&mut parser, IpProto::TCP, ToServer, Input::Data(tail)), Parsed::Consumed(tail.len()));
    let next = prefixed(&request("one.test"));
    assert_eq!(feed(&mut parser, IpProto::TCP, ToServer, Input::Data(&next)), Parsed::Consumed(next.len()));
    assert_eq!(parser.transactions(), (TxId(0), TxId(1)));
    assert_eq!(
        feed(&mut parser, IpProto::TCP, ToServer, Input::Data(b"\x00\x20nonsense nonsense nonsense nonsense")),
        Parsed::Failed
    );
}

#[test]
fn probing() {
    let probe = |proto, dport, dir, data: &[u8]| {
        let tuple = tuple(proto, dport);
        (DEF.probe)(&ProbeInput {
            dir,
            data,
            tuple: &tuple,
            udp: proto == IpProto::UDP,
            eof: false,
            settings: &crate::proto::Settings::default(),
        })
    };
    let (query, answer) = (request("www.example.test"), response());
    assert_eq!(probe(IpProto::UDP, 53, ToServer, &query), Probe::Match);
    assert_eq!(probe(IpProto::UDP, 53, ToServer, &answer), Probe::MatchReversed);
    assert_eq!(probe(IpProto::UDP, 53, ToClient, &answer), Probe::Match);
    assert_eq!(probe(IpProto::UDP, 4_000, ToServer, &query), Probe::Match);
    assert_eq!(probe(IpProto::UDP, 4_000, ToServer, &[&query[..], b"x"].concat()), Probe::No);
    assert_eq!(probe(IpProto::UDP, 53, ToServer, &[&query[..], b"x"].concat()), Probe::Match);
    for port in [137, 5_353, 5_355] {
        assert_eq!(probe(IpProto::UDP, port, ToServer, &query), Probe::No);
    }
    assert_eq!(probe(IpProto::UDP, 53, ToServer, b"\x00\x01\x02"), Probe::No);
    let stream = prefixed(&query);
    for cut in 0..stream.len() {
        let expected = if cut < 14 { Probe::More } else { Probe::Match };
        assert_eq!(probe(IpProto::TCP, 53, ToServer, &stream[..cut]), expected, "{cut}");
        if cut >= 14 {
            assert_eq!(probe(IpProto::TCP, 4_000, ToServer, &stream[..cut]), Probe::More, "{cut}");
        }
    }
    assert_eq!(probe(IpProto::TCP, 4_000, ToServer, &stream), Probe::Match);
    assert_eq!(probe(IpProto::TCP, 4_000, ToServer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Probe::No);
}

#[test]
fn keywords() {
    let test = |keyword: &str, text: &str, dir, bytes: &[u8]| {
        let row = keywords::KEYWORDS.iter().find(|k| k.name == keyword).unwrap();
        let parser = datagram(dir, bytes);
        (row.parse)(text).unwrap().matches(parser.transaction(TxId(0)).unwrap(), dir).unwrap()
    };
    assert!(test("dns.opcode", "0", ToServer, &request("a")));
    assert!(!test("dns.opcode", "!0", ToServer, &request("a")));
    assert!(test("dns.rcode", "NOERROR", ToClient, &response()));
    assert!(test("dns.rrtype", "a", ToServer, &request("a")));
    assert!(test("dns.rrtype", "TXT", ToClient, &response()));
    assert!(!test("dns.rrtype", "A,all", ToClient, &response()));
}

#[test]
fn a_flow_of_unread_messages_ends() {
    let mut parser = DnsParser::new();
    let one = request("a");
    let mut outcome = Parsed::Consumed(0);
    for _ in 0..=parser::TRANSACTIONS_MAX {
        outcome = feed(&mut parser, IpProto::UDP, ToServer, Input::Data(&one));
        if parser.transactions().1.0.is_multiple_of(512) {
            parser.invariants();
        }
    }
    assert_eq!(outcome, Parsed::Failed);
}

#[test]
fn the_fuzz_target_runs() {
    let mut data = vec![3];
    data.push(0x3f);
    data.extend(prefixed(&response()));
    fuzz::fuzz_target(&data);
    data[0] = 1;
    fuzz::fuzz_target(&data);
    let mut sink = CountingSink::default();
    log(datagram(ToClient, &response()).transaction(TxId(0)).unwrap(), &mut sink);
    assert!(sink.fields > 40 && sink.depth == 0);
}

#[test]
fn a_message_of_many_pointers_is_cut_at_the_bound_on_its_steps() {
    // One name of 120 labels, then questions that lead to it by chains of their own.
    let mut m = vec![0x12, 0x34, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    (0..120).for_each(|_| m.extend_from_slice(&[1, b'a']));
    m.extend_from_slice(&[0, 0, 1, 0, 1]);
    let mut questions = 1u16;
    while questions < 2_000 {
        m.extend_from_slice(&[2, b'q', b'0' + (questions % 10) as u8, 0xc0, 12, 0, 1, 0, 1]);
        questions += 1;
    }
    m[4..6].copy_from_slice(&questions.to_be_bytes());
    let parser = datagram(ToServer, &m);
    let tx = parser.transaction(TxId(0)).expect("the message is read to its end");
    assert!(tx.events().contains(&event::NAME_TOO_LONG), "what was cut is told");
    let first = tx.buffer(buffer::QUERY, ToServer, 0).unwrap().data.len();
    assert_eq!(first, 239);
    assert!(tx.buffer(buffer::QUERY, ToServer, 1_999).is_some());
    assert_eq!(tx.one_way(), Some(ToServer));
}

#[test]
fn the_older_shape_has_a_record_for_each_question() {
    use crate::applayer::{LogCx, LogPurpose};
    let parser = datagram(ToClient, &response());
    let tx = parser.transaction(TxId(0)).unwrap();
    let settings = |dns: LogSettings| crate::proto::LogSettings { dns, ..Default::default() };
    let fields = |dns: LogSettings| {
        let settings = settings(dns);
        let mut sink = CountingSink::default();
        tx.log(&mut sink, &LogCx::new(&settings, LogPurpose::Own));
        (tx.records(&settings), sink.fields)
    };
    let (n, all) = fields(LogSettings::default());
    let (_, without) = fields(LogSettings { grouped: false, ..LogSettings::default() });
    assert!(n == 1 && without < all);
    assert_eq!(fields(LogSettings { responses: false, ..LogSettings::default() }).0, 0);
    assert_eq!(fields(LogSettings { types: Some(vec![99]), ..LogSettings::default() }).0, 0);
    let old = LogSettings { version: 2, ..LogSettings::default() };
    assert_eq!(fields(old.clone()).0, 1);
    assert_eq!(tx.shown_as(&settings(old)), ToServer);
    assert_eq!(tx.shown_as(&settings(LogSettings::default())), ToClient);
}

#[test]
fn a_message_is_a_frame() {
    let request = response();
    let parser = datagram(ToClient, &request);
    let tx = parser.transaction(TxId(0)).unwrap();
    assert_eq!(tx.buffer(buffer::PDU, ToClient, 0).unwrap().data, request);
    assert!(tx.buffer(buffer::PDU, ToServer, 0).is_none() && tx.buffer(buffer::PDU, ToClient, 1).is_none());
}
