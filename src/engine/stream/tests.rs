use super::events::event_by_name;
use super::*;
use crate::decode::{TcpFlags, TcpHeader};
use crate::types::{Cause, Counter, Counters, Direction, Timestamp};
use proptest::prelude::*;
use std::net::IpAddr;

const S: u8 = TcpFlags::SYN;
const A: u8 = TcpFlags::ACK;
const F: u8 = TcpFlags::FIN;
const R: u8 = TcpFlags::RST;
const CLIENT: u32 = 1000;
const SERVER: u32 = 5000;
use Direction::{ToClient, ToServer};

struct Bench {
    settings: Settings,
    account: Account,
    counters: Counters,
    session: TcpSession,
    inline: bool,
    resync: Option<Direction>,
    now: u64,
    /// Bytes read per direction, gaps as 0xff.
    read: [Vec<u8>; 2],
    ended: [bool; 2],
}

impl Bench {
    fn new(settings: Settings, inline: bool) -> Self {
        let ip = IpAddr::from([10, 0, 0, 1]);
        Bench {
            session: TcpSession::new(&settings, ip, ip),
            settings,
            account: Account::new(1 << 20),
            counters: Counters::default(),
            inline,
            resync: None,
            now: 0,
            read: [Vec::new(), Vec::new()],
            ended: [false; 2],
        }
    }

    fn ids() -> Self {
        Bench::new(Settings::default(), false)
    }

    fn inline() -> Self {
        Bench::new(Settings::default(), true)
    }

    /// Past the handshake.
    fn open(mut self) -> Self {
        self.open_at(CLIENT, SERVER);
        self
    }

    fn open_at(&mut self, client: u32, server: u32) {
        self.tcp(ToServer, S, client, 0, b"");
        self.tcp(ToClient, S | A, server, client.wrapping_add(1), b"");
        self.tcp(ToServer, A, client.wrapping_add(1), server.wrapping_add(1), b"");
        assert_eq!(self.session.state(), TcpState::Established);
    }

    fn tcp(&mut self, dir: Direction, flags: u8, seq: u32, ack: u32, data: &[u8]) -> SegmentOutcome {
        let h = TcpHeader { seq, ack, flags: TcpFlags(flags), window: 60_000, ..TcpHeader::default() };
        self.header(dir, &h, data)
    }

    fn header(&mut self, dir: Direction, h: &TcpHeader, data: &[u8]) -> SegmentOutcome {
        self.now += 1;
        let mut cx = SegmentCx {
            settings: &self.settings,
            account: &mut self.account,
            counters: &mut self.counters,
            ts: Timestamp::from_secs(self.now),
            inline: self.inline,
            resync: self.resync,
        };
        let out = self.session.segment(&mut cx, h, data, dir);
        self.serve();
        out
    }

    /// Client data at a stream offset.
    fn client(&mut self, offset: u32, data: &[u8]) -> SegmentOutcome {
        self.tcp(ToServer, A, (CLIENT + 1).wrapping_add(offset), SERVER + 1, data)
    }

    /// The server acknowledges so many client bytes.
    fn ack(&mut self, offset: u32) -> SegmentOutcome {
        self.tcp(ToClient, A, SERVER + 1, (CLIENT + 1).wrapping_add(offset), b"")
    }

    fn serve(&mut self) {
        for dir in Direction::BOTH {
            while self.session.has_work(dir) {
                let n = match self.session.pending(dir) {
                    Some(Chunk::Data { offset, bytes }) => {
                        assert_eq!(offset, self.read[dir as usize].len() as u64);
                        self.read[dir as usize].extend_from_slice(bytes);
                        bytes.len() as u64
                    }
                    Some(Chunk::Gap { offset, len }) => {
                        assert_eq!(offset, self.read[dir as usize].len() as u64);
                        self.read[dir as usize].extend(std::iter::repeat_n(0xff, len as usize));
                        0
                    }
                    Some(Chunk::End) => {
                        assert!(!self.ended[dir as usize]);
                        self.ended[dir as usize] = true;
                        0
                    }
                    None => 0,
                };
                self.session.consume(dir, n);
                self.session.raw_inspected(dir);
            }
        }
        self.session.trim(&mut self.account);
        assert_eq!(self.account.used(), self.session.memory());
        assert!(self.account.used() <= self.account.max());
    }

    fn sent(&self) -> &[u8] {
        &self.read[0]
    }

    fn finish(&mut self) {
        Direction::BOTH.into_iter().for_each(|d| self.session.finish(d));
        self.serve();
    }
}

#[track_caller]
fn has(out: &SegmentOutcome, name: &str) {
    let id = event_by_name(name).unwrap();
    let names: Vec<_> = out.events.iter().map(|&e| events::EVENTS[e as usize].name).collect();
    assert!(out.events.contains(&id), "{name} not among {names:?}");
}

#[test]
fn watching_delivers_what_was_acknowledged() {
    let mut b = Bench::ids().open();
    assert!(b.client(0, b"hello").stored);
    assert_eq!(b.sent(), b"");
    assert!(b.ack(5).progress.to_server);
    assert_eq!(b.sent(), b"hello");
    assert_eq!(b.session.stream_bytes(ToServer), 6);
}

#[test]
fn inline_delivers_at_once() {
    let mut b = Bench::inline().open();
    assert!(b.client(0, b"hello").progress.to_server);
    assert_eq!(b.sent(), b"hello");
}

#[test]
fn out_of_order_waits_and_a_late_piece_completes_it() {
    let mut b = Bench::inline().open();
    assert!(!b.client(5, b"world").progress.to_server);
    b.client(0, b"hello");
    assert_eq!(b.sent(), b"helloworld");
}

#[test]
fn a_hole_acknowledged_is_a_gap() {
    for mut b in [Bench::ids().open(), Bench::inline().open()] {
        b.client(0, b"ab");
        b.client(5, b"fg");
        let out = b.ack(7);
        has(&out, "reassembly_seq_gap");
        assert!(out.exceptions.contains(&Cause::StreamGap));
        assert_eq!(b.sent(), b"ab\xff\xff\xfffg");
        assert_eq!(b.counters.of(Counter::StreamGaps), 1);
    }
}

#[test]
fn a_gap_waits_for_bytes_behind_it_and_an_ack_of_the_hole() {
    let mut b = Bench::ids().open();
    b.client(0, b"ab");
    assert!(b.ack(5).events.is_empty());
    assert!(b.client(5, b"fg").events.is_empty());
    assert_eq!(b.sent(), b"ab");
    has(&b.ack(7), "reassembly_seq_gap");
    assert_eq!(b.sent(), b"ab\xff\xff\xfffg");

    let mut b = Bench::inline().open();
    b.client(0, b"ab");
    b.ack(5);
    has(&b.client(5, b"fg"), "reassembly_seq_gap");
    assert_eq!(b.sent(), b"ab\xff\xff\xfffg");
}

#[test]
fn a_keep_alive_carries_no_data() {
    for mut b in [Bench::ids().open(), Bench::inline().open()] {
        b.client(0, b"abc");
        b.ack(3);
        let out = b.client(2, b"\0");
        assert!(out.valid && out.events.is_empty() && out.rewritten.is_none());
        b.client(3, b"d");
        b.ack(4);
        assert_eq!(b.sent(), b"abcd");
    }
}

#[test]
fn handshake_packets_that_echo_no_timestamp_of_ours_are_refused() {
    let mut b = Bench::ids();
    let ts = |flags, seq, ack, timestamps| TcpHeader {
        seq,
        ack,
        flags: TcpFlags(flags),
        window: 60_000,
        timestamps: Some(timestamps),
        ..TcpHeader::default()
    };
    b.header(ToServer, &ts(S, CLIENT, 0, (900, 0)), b"");
    has(&b.header(ToClient, &ts(R | A, SERVER, CLIENT + 1, (100, 100)), b""), "pkt_invalid_timestamp");
    assert_eq!(b.session.state(), TcpState::SynSent);
    assert!(b.header(ToClient, &ts(S | A, SERVER, CLIENT + 1, (7, 900)), b"").valid);
}

#[test]
fn the_end_delivers_what_can_have_been_read() {
    let holed = || {
        let mut b = Bench::ids().open();
        b.client(0, b"ab");
        b.client(5, b"fg");
        b.client(10, b"kl");
        b
    };
    let mut b = holed();
    b.ack(12);
    b.finish();
    assert_eq!(b.sent(), b"ab\xff\xff\xfffg\xff\xff\xffkl");
    assert!(b.ended[0] && b.ended[1]);
    let mut b = holed();
    b.ack(4);
    b.finish();
    assert_eq!(b.sent(), b"ab\xff\xff", "the receiver never had the fifth byte");
    assert!(b.ended[0] && b.ended[1]);
    let mut b = holed();
    b.session.finish(ToServer);
    let (mut raw, mut missing) = (Vec::new(), Vec::new());
    while b.session.has_work(ToServer) {
        b.session.consume(ToServer, u64::MAX);
        let view = b.session.raw(ToServer);
        raw.extend_from_slice(&view.bytes[view.fresh..]);
        missing.push(view.missing);
        b.session.raw_inspected(ToServer);
    }
    assert_eq!(raw, b"abfgkl", "raw inspection sees what passed");
    assert_eq!(missing, [0, 3, 3], "and how much did not");
    let mut b = holed();
    b.ack(40);
    b.finish();
    assert_eq!(b.sent(), b"ab\xff\xff\xfffg\xff\xff\xffkl", "nothing shows what was lost behind the last");
}

#[test]
fn inline_rewrites_a_later_differing_copy() {
    let mut b = Bench::inline().open();
    b.client(0, b"hello");
    b.client(8, b"XYZ");
    let out = b.client(3, b"LOworxyz");
    has(&out, "reassembly_overlap_different_data");
    assert_eq!(out.rewritten.as_deref(), Some(&b"loworXYZ"[..]));
    assert_eq!(b.sent(), b"helloworXYZ");
    assert_eq!(b.counters.of(Counter::StreamRewritten), 1);
    assert!(b.client(0, b"hello").rewritten.is_none());
}

#[test]
fn watching_follows_the_receivers_policy() {
    for (policy, expect) in [(OsPolicy::Bsd, "aaaBBBaaacccDDD"), (OsPolicy::Last, "aaaBBBBBBDDDDDD")] {
        let mut b = Bench::new(Settings { policy, ..Settings::default() }, false).open();
        b.client(0, b"aaa");
        b.client(6, b"aaaccc");
        // Begins before the held segment.
        b.client(3, b"BBB");
        if policy == OsPolicy::Last {
            b.client(3, b"BBBBBB");
            b.client(9, b"DDDDDD");
        } else {
            b.client(6, b"XXX");
            b.client(12, b"DDD");
        }
        b.ack(15);
        assert_eq!(std::str::from_utf8(b.sent()).unwrap(), expect, "{policy:?}");
    }
}

#[test]
fn acknowledged_bytes_do_not_change() {
    let mut b = Bench::new(Settings { policy: OsPolicy::Last, raw_overlap: 100, ..Settings::default() }, false).open();
    b.client(0, b"good");
    b.ack(4);
    has(&b.client(0, b"evil"), "pkt_spurious_retransmission");
    assert_eq!(b.sent(), b"good");
    assert_eq!(b.session.raw(ToServer).bytes, b"good");
}

#[test]
fn states_of_an_orderly_end() {
    let mut b = Bench::ids().open();
    b.tcp(ToServer, F | A, CLIENT + 1, SERVER + 1, b"x");
    assert_eq!(b.session.state(), TcpState::CloseWait);
    b.ack(2);
    assert_eq!(b.sent(), b"x");
    assert!(b.ended[0]);
    b.tcp(ToClient, F | A, SERVER + 1, CLIENT + 3, b"");
    assert_eq!(b.session.state(), TcpState::LastAck);
    assert!(b.session.summary().reusable);
    b.tcp(ToServer, A, CLIENT + 3, SERVER + 2, b"");
    assert_eq!(b.session.state(), TcpState::Closed);
    assert!(b.ended[1] && b.session.established());
    assert_eq!(b.counters.of(Counter::StreamGaps), 0);
}

#[test]
fn states_when_the_server_closes_first() {
    let mut b = Bench::ids().open();
    b.tcp(ToClient, F | A, SERVER + 1, CLIENT + 1, b"");
    assert_eq!(b.session.state(), TcpState::FinWait1);
    b.tcp(ToServer, A, CLIENT + 1, SERVER + 2, b"");
    assert_eq!(b.session.state(), TcpState::FinWait2);
    b.tcp(ToServer, F | A, CLIENT + 1, SERVER + 2, b"");
    assert_eq!(b.session.state(), TcpState::TimeWait);
    b.tcp(ToClient, A, SERVER + 2, CLIENT + 2, b"");
    assert_eq!(b.session.state(), TcpState::Closed);
}

#[test]
fn simultaneous_close_passes_closing() {
    let mut b = Bench::ids().open();
    b.tcp(ToClient, F | A, SERVER + 1, CLIENT + 1, b"");
    b.tcp(ToServer, F | A, CLIENT + 1, SERVER + 1, b"");
    assert_eq!(b.session.state(), TcpState::Closing);
    b.tcp(ToServer, A, CLIENT + 2, SERVER + 2, b"");
    assert_eq!(b.session.state(), TcpState::TimeWait);
}

#[test]
fn simultaneous_open() {
    let mut b = Bench::ids();
    b.tcp(ToServer, S, CLIENT, 0, b"");
    b.tcp(ToClient, S, SERVER, 0, b"");
    b.tcp(ToServer, S | A, CLIENT, SERVER + 1, b"");
    b.tcp(ToClient, S | A, SERVER, CLIENT + 1, b"");
    assert!(b.tcp(ToServer, A, CLIENT + 1, SERVER + 1, b"").valid);
    assert_eq!(b.session.state(), TcpState::Established);
    b.client(0, b"hi");
    b.ack(2);
    assert_eq!(b.sent(), b"hi");
}

#[test]
fn a_reset_ends_its_senders_direction_if_believed() {
    let mut b = Bench::ids().open();
    b.client(0, b"abc");
    b.tcp(ToClient, A, SERVER + 1, CLIENT + 1, b"xyz");
    assert!(!b.tcp(ToServer, R, CLIENT + 5000, 0, b"").valid);
    assert_eq!(b.session.state(), TcpState::Established);
    assert!(b.tcp(ToServer, R, CLIENT + 4, 0, b"").valid);
    assert_eq!(b.session.state(), TcpState::Closed);
    assert_eq!(b.sent(), b"abc");
    assert!(b.ended[0] && !b.ended[1] && b.read[1].is_empty());
    b.finish();
    assert_eq!(b.read[1], b"xyz");
    assert!(b.ended[1]);
}

#[test]
fn a_reset_behind_what_was_lost_is_believed() {
    let reset = |number| {
        let mut b = Bench::ids().open();
        b.client(5, b"fg");
        b.ack(number);
        b.tcp(ToServer, R, CLIENT + 100, 0, b"").valid
    };
    assert!(reset(7) && !reset(0));
}

#[test]
fn a_reset_whose_sender_goes_on_was_injected() {
    let mut b = Bench::ids().open();
    b.tcp(ToClient, R, SERVER + 1, 0, b"");
    assert!(b.client(0, b"under way").events.is_empty());
    assert_eq!(b.session.state(), TcpState::Closed);
    has(&b.tcp(ToClient, A, SERVER + 1, CLIENT + 1, b"still here"), "suspected_rst_inject");
    assert_eq!(b.session.state(), TcpState::Established);

    let mut b = Bench::inline().open();
    b.tcp(ToClient, R, SERVER + 1, 0, b"");
    assert!(b.client(0, b"evil").stored);
    assert_eq!(b.sent(), b"evil");
}

#[test]
fn midstream_is_lost_visibility_unless_followed() {
    let mut b = Bench::ids();
    let out = b.client(0, b"data");
    assert!(out.exceptions.contains(&Cause::StreamMidstream) && !out.stored);
    assert!(!b.session.tracked());

    let mut b = Bench::new(Settings { midstream: true, ..Settings::default() }, false);
    assert!(b.client(0, b"data").stored);
    b.ack(4);
    assert_eq!(b.sent(), b"data");
    assert!(b.session.is_midstream() && b.session.established());
}

#[test]
fn a_syn_ack_first_makes_its_sender_the_server() {
    let mut b = Bench::new(Settings { midstream: true, ..Settings::default() }, false);
    let out = b.tcp(ToServer, S | A, SERVER, CLIENT + 1, b"");
    assert!(out.reversed);
    b.tcp(ToServer, A, CLIENT + 1, SERVER + 1, b"");
    b.client(0, b"data");
    b.ack(4);
    assert_eq!(b.sent(), b"data");
}

#[test]
fn of_many_syns_the_last_counts() {
    let mut b = Bench::inline();
    for i in 0..14 {
        let out = b.tcp(ToServer, S, CLIENT + i * 1000, 0, b"");
        assert!(out.valid, "scanners try again and again");
        if i < 11 {
            assert!(out.events.is_empty());
        } else {
            has(&out, "3whs_syn_flood");
        }
    }
    b.tcp(ToClient, S | A, SERVER, CLIENT + 13_001, b"");
    b.tcp(ToServer, A, CLIENT + 13_001, SERVER + 1, b"data");
    assert_eq!(b.sent(), b"data");
}

#[test]
fn one_sided_sessions_deliver_on_request() {
    let mut b = Bench::new(Settings { async_oneside: true, ..Settings::default() }, false);
    b.tcp(ToServer, S, CLIENT, 0, b"");
    b.tcp(ToServer, A, CLIENT + 1, SERVER + 1, b"");
    assert!(b.session.established() && b.session.unseen() == Some(Direction::ToClient));
    b.client(0, b"one");
    b.tcp(ToServer, A, CLIENT + 4, SERVER + 900, b"two");
    assert_eq!(b.sent(), b"onetwo", "each as it comes");
}

#[test]
fn segments_a_receiver_would_discard_change_nothing() {
    let mut b = Bench::ids().open();
    has(&b.client(200_000, b"far"), "est_packet_out_of_window");
    let ahead = b.tcp(ToServer, A, CLIENT + 1, SERVER + 100_000, b"x");
    has(&ahead, "est_invalid_ack");
    has(&ahead, "pkt_invalid_ack");
    has(&b.tcp(ToServer, S, CLIENT, 0, b""), "est_syn_resend");
    has(&b.tcp(ToServer, S, CLIENT + 7, 0, b""), "est_syn_resend_diff_seq");
    has(&b.tcp(ToClient, S, CLIENT, 0, b""), "est_syn_toclient");
    assert_eq!(b.counters.of(Counter::StreamInvalid), 5);
    b.client(0, b"ok");
    b.ack(2);
    assert_eq!(b.sent(), b"ok");
}

#[test]
fn old_timestamps_are_refused() {
    let mut b = Bench::ids();
    let ts = |flags, seq, ack, v| TcpHeader {
        seq,
        ack,
        flags: TcpFlags(flags),
        window: 60_000,
        timestamps: Some((v, 0)),
        ..TcpHeader::default()
    };
    b.header(ToServer, &ts(S, CLIENT, 0, 100), b"");
    b.header(ToClient, &ts(S | A, SERVER, CLIENT + 1, 100), b"");
    b.header(ToServer, &ts(A, CLIENT + 1, SERVER + 1, 105), b"");
    let out = b.header(ToServer, &ts(A, CLIENT + 1, SERVER + 1, 50), b"evil");
    has(&out, "pkt_invalid_timestamp");
    assert!(out.exceptions.contains(&Cause::StreamInvalid));
    assert!(b.header(ToServer, &ts(A, CLIENT + 1, SERVER + 1, 106), b"good").stored);
    b.ack(4);
    b.finish();
    assert_eq!(b.sent(), b"good");
}

#[test]
fn window_scale_counts_when_both_offer_it() {
    let mut b = Bench::ids();
    let h = |flags, seq, ack, scale| TcpHeader {
        seq,
        ack,
        flags: TcpFlags(flags),
        window: 1000,
        window_scale: scale,
        ..TcpHeader::default()
    };
    b.header(ToServer, &h(S, CLIENT, 0, Some(7)), b"");
    b.header(ToClient, &h(S | A, SERVER, CLIENT + 1, Some(7)), b"");
    b.header(ToServer, &h(A, CLIENT + 1, SERVER + 1, None), b"");
    b.header(ToClient, &h(A, SERVER + 1, CLIENT + 1, None), b"");
    assert!(b.client(100_000, b"within 128000").valid);
    assert!(!b.client(130_000, b"beyond").valid);
}

#[test]
fn fast_open_data_counts_from_the_syn() {
    let mut b = Bench::ids();
    let syn = TcpHeader { seq: CLIENT, flags: TcpFlags(S), window: 1000, fast_open: true, ..TcpHeader::default() };
    assert!(b.header(ToServer, &syn, b"GET /").stored);
    b.tcp(ToClient, S | A, SERVER, CLIENT + 6, b"");
    assert_eq!(b.sent(), b"GET /");

    let mut b = Bench::ids();
    b.header(ToServer, &syn, b"GET /");
    has(&b.tcp(ToClient, S | A, SERVER, CLIENT + 1, b""), "3whs_synack_tfo_data_ignored");
    b.client(0, b"GET /again");
    b.ack(10);
    assert_eq!(b.sent(), b"GET /again");
}

#[test]
fn urgent_byte_by_policy() {
    for (urgent, expect) in [
        (UrgentPolicy::OutOfBand, &b"abde"[..]),
        (UrgentPolicy::Inline, b"abcde"),
        (UrgentPolicy::Gap, b"ab\xffde"),
        (UrgentPolicy::Drop, b""),
    ] {
        let mut b = Bench::new(Settings { urgent, ..Settings::default() }, false).open();
        let h = TcpHeader {
            seq: CLIENT + 1,
            ack: SERVER + 1,
            flags: TcpFlags(A | TcpFlags::URG),
            window: 1000,
            urgent: 3,
            ..TcpHeader::default()
        };
        let out = b.header(ToServer, &h, b"abcde");
        assert_eq!(out.drop, urgent == UrgentPolicy::Drop);
        assert!(out.exceptions.contains(&Cause::StreamUrgent));
        if !out.drop {
            b.client(5, b"");
            b.ack(5);
        }
        assert_eq!(b.sent(), expect, "{urgent:?}");
    }
}

#[test]
fn urgent_bytes_out_of_band_are_bounded() {
    let settings = Settings { urgent_limit: UrgentPolicy::Inline, ..Settings::default() };
    let mut b = Bench::new(settings, false).open();
    let urgent = |n: u32| TcpHeader {
        seq: CLIENT + 1 + 2 * n,
        ack: SERVER + 1,
        flags: TcpFlags(A | TcpFlags::URG),
        window: 60_000,
        urgent: 2,
        ..TcpHeader::default()
    };
    let full = 65_536;
    for n in 0..full {
        assert!(b.header(ToServer, &urgent(n), b"ab").events.is_empty(), "{n}");
        b.ack(2 * n + 2);
    }
    assert_eq!(b.sent(), vec![b'a'; full as usize]);
    has(&b.header(ToServer, &urgent(full), b"ab"), "reassembly_urgent_oob_limit_reached");
    b.ack(2 * full + 2);
    assert!(b.sent().ends_with(b"aab"), "past it the other policy serves");
    b.settings.urgent_limit = UrgentPolicy::Drop;
    assert!(b.header(ToServer, &urgent(full + 1), b"ab").drop);
}

#[test]
fn a_retransmission_over_an_urgent_byte_maps_the_same() {
    let mut b = Bench::inline().open();
    let h = TcpHeader {
        seq: CLIENT + 1,
        ack: SERVER + 1,
        flags: TcpFlags(A | TcpFlags::URG),
        window: 1000,
        urgent: 3,
        ..TcpHeader::default()
    };
    b.header(ToServer, &h, b"abcde");
    let out = b.client(0, b"abcdefg");
    assert!(out.rewritten.is_none());
    assert_eq!(b.sent(), b"abdefg");
}

#[test]
fn depth_ends_a_direction() {
    let mut b = Bench::new(Settings { depth: 4, ..Settings::default() }, true).open();
    has(&b.client(0, b"abcdef"), "reassembly_depth_reached");
    assert_eq!(b.sent(), b"abcd");
    assert!(b.ended[0] && b.session.depth_reached(ToServer));
    assert!(!b.client(6, b"gh").stored);
    b.ack(8);
    assert_eq!(b.counters.of(Counter::StreamGaps), 0);
}

#[test]
fn memcap_refuses_and_says_so() {
    let mut b = Bench::ids();
    b.account = Account::new(8192);
    b.open_at(CLIENT, SERVER);
    let out = b.client(0, &[b'x'; 9000]);
    assert!(out.exceptions.contains(&Cause::StreamReassemblyMemcap) && !out.stored);
    has(&out, "reassembly_insert_memcap");
    assert!(b.client(0, &[b'x'; 1000]).stored);
}

#[test]
fn out_of_order_pieces_are_bounded() {
    let mut b = Bench::new(Settings { segments_max: 10, ..Settings::default() }, true).open();
    for i in 1..=10 {
        assert!(b.client(i * 2, b"x").stored);
    }
    has(&b.client(50, b"x"), "reassembly_insert_limit");
    assert!(b.client(0, b"abc").stored);
}

#[test]
fn stopped_readers_hold_no_bytes() {
    let mut b = Bench::ids().open();
    b.client(0, &[b'x'; 5000]);
    assert!(b.session.memory() > 5000);
    b.session.stop_app(ToServer);
    b.session.stop_raw(ToServer);
    b.session.trim(&mut b.account);
    assert_eq!(b.session.memory(), 0);
    assert!(!b.client(5000, b"more").stored);
    b.ack(6000);
    assert_eq!(b.counters.of(Counter::StreamGaps), 0);
}

#[test]
fn unconsumed_bytes_come_again_only_with_more() {
    let mut b = Bench::inline();
    b.tcp(ToServer, S, CLIENT, 0, b"");
    b.tcp(ToClient, S | A, SERVER, CLIENT + 1, b"");
    let mut cx = SegmentCx {
        settings: &b.settings,
        account: &mut b.account,
        counters: &mut b.counters,
        ts: Timestamp::ZERO,
        inline: true,
        resync: None,
    };
    let h = |seq| TcpHeader { seq, ack: SERVER + 1, flags: TcpFlags(A), window: 9, ..TcpHeader::default() };
    let s = &mut b.session;
    s.segment(&mut cx, &h(CLIENT + 1), b"abc", ToServer);
    s.consume(ToServer, 1);
    assert_eq!(s.pending(ToServer), None);
    s.present_again(ToServer);
    assert_eq!(s.pending(ToServer), Some(Chunk::Data { offset: 1, bytes: b"bc" }));
    s.consume(ToServer, 0);
    s.segment(&mut cx, &h(CLIENT + 4), b"d", ToServer);
    assert_eq!(s.pending(ToServer), Some(Chunk::Data { offset: 1, bytes: b"bcd" }));
    s.consume(ToServer, 0);
    s.finish(ToServer);
    assert_eq!(s.pending(ToServer), Some(Chunk::End));
}

#[test]
fn raw_views_reach_back_over_inspected_bytes() {
    let mut b = Bench::new(Settings { raw_overlap: 4, ..Settings::default() }, true).open();
    b.client(0, b"0123456789");
    b.ack(10);
    let view = b.session.raw(ToServer);
    assert_eq!((view.offset, view.bytes, view.fresh), (6, &b"6789"[..], 4));
}

#[test]
fn tiny_out_of_order_segments_take_linear_time() {
    let mut b = Bench::new(Settings { depth: 0, ..Settings::default() }, true).open();
    let big = vec![b'x'; 1400];
    for i in 0..2000u32 {
        b.client(2 + (2000 - i) * 2, b"x");
    }
    for i in 0..2000u32 {
        b.client(2 + (i % 20), &big);
    }
    assert!(b.account.used() < 1 << 20);
}
mod model;
