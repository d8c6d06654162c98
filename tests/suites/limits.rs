//! Every field of `Limits`, filled: the counter named beside it counts, and the one it says must go is gone.
//!
//! One row a field, found by reading the struct itself: a limit without a row fails here. Each row's traffic runs twice,
//! under a bound that it fills and under the default, where the counter must stay at 0 and nobody may be missing.

use engine::types::Counter;
use engine::worker::Config;
use harness::case_frames::fragment;
use harness::craft::{ACK, Conversation, PSH, icmp, ipv4, udp, udp4};
use harness::dialogue::TimedFrame;
use harness::engine::{in_line, ruleset, run, watching};

/// What tells that the bound was met.
enum Told {
    Counter(Counter),
    /// No counter: bytes past it are not looked at, which is what the bound is for.
    OnlyUnseen,
}

struct Row {
    field: &'static str,
    tighten: fn(&mut Config),
    rules: &'static str,
    traffic: fn() -> Vec<TimedFrame>,
    told: Told,
    /// Sids that alert under the default, in order, and under the bound: the difference is the victim.
    free: &'static [u64],
    bound: &'static [u64],
    inline: bool,
}

const UDP: &str = "alert udp any any -> any any (msg:\"x\"; content:\"hello\"; sid:1;)";

fn start(n: i64) -> i64 {
    1_700_000_000_000_000 + n * 1_000
}

fn datagrams(n: u16) -> Vec<TimedFrame> {
    (0..n).map(|i| udp(true, 40_000 + i, 9_000, start(i.into()), b"hello")).collect()
}

/// Datagrams in two fragments, all first pieces before all second ones.
fn fragments(n: u16) -> Vec<TimedFrame> {
    let mut pieces: [Vec<Vec<u8>>; 2] = Default::default();
    for id in 0..n {
        let mut whole = udp4(([10, 0, 0, 1], 1_000 + id), ([10, 0, 0, 2], 9_000), b"0123456789hello!!", true);
        whole[18..20].copy_from_slice(&(id + 1).to_be_bytes());
        for (list, piece) in pieces.iter_mut().zip(fragment(&whole, 16)) {
            list.push(piece);
        }
    }
    let frames = pieces.concat().into_iter().enumerate();
    frames.map(|(i, data)| TimedFrame { micros: start(i as i64), to_server: true, data }).collect()
}

/// A hole first, then so many pieces behind it, then what fills it.
fn behind_a_hole(pieces: u32) -> Vec<TimedFrame> {
    let mut c = Conversation::open(40_000, 9_000);
    let [seq, ack] = c.seq;
    for i in (0..pieces).rev() {
        c.segment(true, seq + 10 + 20 * i, ack, PSH | ACK, b"hello---");
    }
    for i in 0..pieces {
        c.segment(true, seq + 18 + 20 * i, ack, PSH | ACK, b"............");
    }
    c.segment(true, seq, ack, PSH | ACK, b"0123456789");
    c.seq[0] = seq + 10 + 20 * pieces;
    c.ack(false);
    c.close()
}

fn said(pieces: &[&[u8]], port: u16) -> Vec<TimedFrame> {
    let mut c = Conversation::open(40_000, port);
    pieces.iter().for_each(|p| c.send(true, p));
    c.close()
}

fn requests(n: usize) -> Vec<TimedFrame> {
    let one = b"GET /hello HTTP/1.1\r\nHost: a\r\nUser-Agent: somebody with a name\r\n\r\n";
    said(&vec![&one[..]; n], 80)
}

/// IPv4 in IPv4, so many times, around an echo request.
fn nested(n: usize) -> Vec<TimedFrame> {
    let mut data = icmp(true, 8, 0, b"hello");
    for _ in 0..n {
        data = ipv4([10, 0, 0, 1], [10, 0, 0, 2], 4, &data[14..], true);
    }
    vec![TimedFrame { micros: start(0), to_server: true, data }]
}

const ROWS: &[Row] = &[
    Row {
        field: "flows_max",
        tighten: |c| c.limits.flows_max = 2,
        rules: UDP,
        traffic: || datagrams(4),
        told: Told::Counter(Counter::FlowEvicted),
        free: &[1, 1, 1, 1],
        bound: &[1, 1, 1, 1],
        inline: false,
    },
    Row {
        field: "defrag_datagrams_max",
        tighten: |c| c.limits.defrag_datagrams_max = 1,
        rules: UDP,
        traffic: || fragments(3),
        told: Told::Counter(Counter::DefragMemcap),
        free: &[1, 1, 1],
        bound: &[1],
        inline: false,
    },
    Row {
        field: "defrag_bytes_max",
        tighten: |c| c.limits.defrag_bytes_max = 100,
        rules: UDP,
        traffic: || fragments(3),
        told: Told::Counter(Counter::DefragMemcap),
        free: &[1, 1, 1],
        bound: &[],
        inline: false,
    },
    Row {
        field: "defrag_fragments_max",
        tighten: |c| c.limits.defrag_fragments_max = 1,
        rules: UDP,
        traffic: || fragments(3),
        told: Told::Counter(Counter::DefragNoFragments),
        free: &[1, 1, 1],
        bound: &[],
        inline: false,
    },
    Row {
        field: "stream_bytes_max",
        tighten: |c| c.limits.stream_bytes_max = 30,
        rules: "alert tcp any any -> any any (msg:\"x\"; flow:established; content:\"hello---....\"; sid:1;)",
        traffic: || behind_a_hole(3),
        told: Told::Counter(Counter::StreamMemcap),
        free: &[1],
        bound: &[],
        inline: false,
    },
    Row {
        field: "stream_segments_max",
        tighten: |c| c.limits.stream_segments_max = 1,
        rules: "alert tcp any any -> any any (msg:\"x\"; flow:established; content:\"789hello\"; sid:1;)",
        traffic: || behind_a_hole(3),
        told: Told::Counter(Counter::StreamMemcap),
        free: &[1],
        bound: &[],
        inline: false,
    },
    Row {
        field: "stream_depth",
        tighten: |c| c.limits.stream_depth = 16,
        rules: "alert tcp any any -> any any (msg:\"x\"; flow:established; content:\"3456hello\"; sid:1;)",
        traffic: || said(&[b"0123456789", b"0123456789", b"0123456", b"hello"], 9_000),
        told: Told::OnlyUnseen,
        free: &[1],
        bound: &[],
        inline: false,
    },
    Row {
        field: "parser_pending_max",
        tighten: |c| c.limits.parser_pending_max = 64,
        rules: "alert dns any any -> any any (msg:\"x\"; dns.query; content:\"hello\"; sid:1;)",
        traffic: a_question_in_pieces,
        told: Told::Counter(Counter::AppParserErrors),
        free: &[1],
        bound: &[],
        inline: false,
    },
    Row {
        field: "app_bytes_max",
        tighten: |c| c.limits.app_bytes_max = 2_000,
        rules: "alert http any any -> any any (msg:\"x\"; http.uri; content:\"hello\"; sid:1;)",
        traffic: || requests(8),
        told: Told::Counter(Counter::AppMemcap),
        free: &[1, 1, 1, 1, 1, 1, 1, 1],
        bound: &[1],
        inline: true,
    },
    Row {
        field: "http: transactions_max",
        tighten: |c| c.proto.http.transactions_max = 2,
        rules: "alert http any any -> any any (msg:\"x\"; http.uri; content:\"hello\"; sid:1;)",
        traffic: || requests(8),
        told: Told::Counter(Counter::AppTxOverflow),
        free: &[1, 1, 1, 1, 1, 1, 1, 1],
        bound: &[1, 1, 1, 1, 1, 1, 1, 1],
        inline: true,
    },
    Row {
        field: "parked_max",
        tighten: |c| c.limits.parked_max = 1,
        rules: "alert tcp any any -> any any (msg:\"x\"; flow:established; content:\"hello\"; fast_pattern; content:\"later\"; distance:9; sid:1;)\n\
                alert tcp any any -> any any (msg:\"y\"; flow:established; content:\"hello\"; fast_pattern; content:\"LATER\"; distance:9; sid:2;)\n",
        traffic: || said(&[b"hello", b"then more than nine bytes", b"later LATER"], 9_000),
        told: Told::Counter(Counter::DetectParkedOverflow),
        free: &[1, 2],
        bound: &[2],
        inline: true,
    },
    Row {
        field: "decode_layers_max",
        tighten: |c| c.limits.decode_layers_max = 3,
        rules: "alert icmp any any -> any any (msg:\"x\"; content:\"hello\"; sid:1;)",
        traffic: || nested(3),
        told: Told::Counter(Counter::DecodeTooManyLayers),
        free: &[1],
        bound: &[],
        inline: false,
    },
    Row {
        field: "hosts_max",
        tighten: |c| c.limits.hosts_max = 1,
        rules: "alert udp any any -> any any (msg:\"x\"; content:\"one\"; xbits:set,seen,track ip_src; noalert; sid:1;)\n\
                alert udp any any -> any any (msg:\"y\"; content:\"two\"; xbits:isset,seen,track ip_src; sid:2;)\n",
        traffic: || {
            let from = |n: u8, at, what: &[u8]| TimedFrame {
                micros: start(at),
                to_server: true,
                data: udp4(([10, 0, 0, n], 1_000), ([10, 9, 9, 9], 9_000), what, true),
            };
            vec![from(1, 0, b"one"), from(2, 1, b"one"), from(1, 2, b"two"), from(2, 3, b"two")]
        },
        told: Told::Counter(Counter::HostsEvicted),
        free: &[2, 2],
        bound: &[2],
        inline: false,
    },
    Row {
        field: "flow_vars_max",
        tighten: |c| c.limits.flow_vars_max = 1,
        rules: "alert udp any any -> any any (msg:\"x\"; content:\"hello\"; flowbits:set,a; noalert; sid:1;)\n\
                alert udp any any -> any any (msg:\"y\"; content:\"hello\"; flowbits:set,b; noalert; sid:2;)\n\
                alert udp any any -> any any (msg:\"z\"; content:\"then\"; flowbits:isset,a; sid:3;)\n\
                alert udp any any -> any any (msg:\"z\"; content:\"then\"; flowbits:isset,b; sid:4;)\n",
        traffic: || {
            let mut all = datagrams(1);
            all.push(udp(true, 40_000, 9_000, start(5), b"then"));
            all
        },
        told: Told::Counter(Counter::FlowVarsFull),
        free: &[3, 4],
        bound: &[3],
        inline: false,
    },
    Row {
        field: "alerts_per_packet_max",
        tighten: |c| c.limits.alerts_per_packet_max = 1,
        rules: "alert udp any any -> any any (msg:\"x\"; content:\"hello\"; sid:1;)\n\
                alert udp any any -> any any (msg:\"y\"; content:\"hell\"; sid:2;)\n",
        traffic: || datagrams(1),
        told: Told::Counter(Counter::DetectAlertsOverflow),
        free: &[1, 2],
        bound: &[1],
        inline: false,
    },
];

/// A DNS question over TCP (RFC 1035 4.2.2), longer than 64 bytes, in pieces of 20.
fn a_question_in_pieces() -> Vec<TimedFrame> {
    let label = |text: &[u8]| [&[text.len() as u8][..], text].concat();
    let name = [label(b"hello"), label(&[b'a'; 60]), label(b"example"), vec![0]].concat();
    let message = [&[0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &name, &[0, 1, 0, 1]].concat();
    let all = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    said(&all.chunks(20).collect::<Vec<_>>(), 53)
}

#[test]
fn every_limit_has_its_row() {
    let source =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../src/engine/types/limits.rs")).unwrap();
    let fields: Vec<&str> =
        source.lines().filter_map(|l| l.strip_prefix("    pub ")?.split_once(':').map(|(name, _)| name)).collect();
    assert!(fields.len() > 10);
    for f in &fields {
        assert!(ROWS.iter().any(|r| r.field == *f), "Limits::{f} has no row here: nothing shows what it does");
    }
    // What a protocol's settings bound is named with its protocol.
    for r in ROWS.iter().filter(|r| !r.field.contains(':')) {
        assert!(fields.contains(&r.field), "{}: no such limit", r.field);
    }
}

#[test]
fn every_limit_bites_as_it_says() {
    for row in ROWS {
        let rules = ruleset(row.rules).unwrap();
        let config = || -> Config { if row.inline { in_line() } else { watching() } };
        let free = run(&rules, config(), &(row.traffic)(), 1);
        let mut tight = config();
        // Filled, not forbidden: what sight is lost stays an exception, whatever is done about it.
        tight.policies = engine::types::Policies::ids();
        (row.tighten)(&mut tight);
        // As the configuration hands it on.
        tight.stream.depth = tight.limits.stream_depth;
        let bound = run(&rules, tight, &(row.traffic)(), 1);
        assert_eq!(free.sids(), row.free, "{}: by default", row.field);
        assert_eq!(bound.sids(), row.bound, "{}: filled", row.field);
        if let Told::Counter(c) = row.told {
            assert_eq!(free.counters.of(c), 0, "{}: {} by default", row.field, c.name());
            assert!(bound.counters.of(c) > 0, "{}: {} does not tell", row.field, c.name());
        } else {
            assert_ne!(row.free, row.bound, "{}: a row that shows nothing", row.field);
        }
    }
}
