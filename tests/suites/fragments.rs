//! Fragments and odd encapsulations: whatever way a datagram travels, the same rules match, and in line nothing that a
//! rule drops can be put together behind the box.
//!
//! Each frame of a dialogue is cut into fragments of several sizes and orders that a receiver takes as the same datagram;
//! receivers that differ over overlaps are told apart by policy; and headers that hide a datagram are stacked before it.

use engine::decode::{HostPolicies, LinkType, OverlapPolicy};
use engine::types::Counter;
use engine::worker::Config;
use harness::case_frames::fragment;
use harness::craft::{self, Conversation};
use harness::dialogue::{CLIENT, SERVER, TimedFrame};
use harness::engine::{Outcome, in_line, ruleset, run, run_link, watching};

const ETHERNET: usize = 14;

/// Sizes of fragments: a TCP header over three of them, and a few that are not.
const SIZES: [usize; 5] = [8, 16, 24, 56, 72];

#[derive(Clone, Copy, Debug)]
enum Order {
    Sent,
    Backwards,
    LastFirst,
    Doubled,
    Shuffled,
}

const ORDERS: [Order; 5] = [Order::Sent, Order::Backwards, Order::LastFirst, Order::Doubled, Order::Shuffled];

fn ordered(mut parts: Vec<Vec<u8>>, order: Order) -> Vec<Vec<u8>> {
    match order {
        Order::Sent => {}
        Order::Backwards => parts.reverse(),
        Order::LastFirst => parts.rotate_right(1),
        // The last one once: a copy of it would begin another datagram that never ends.
        Order::Doubled => {
            let last = parts.len() - 1;
            parts =
                parts.iter().enumerate().flat_map(|(i, p)| vec![p.clone(); if i == last { 1 } else { 2 }]).collect();
        }
        Order::Shuffled => {
            // A step that has no factor in common with their number reaches every one.
            let n = parts.len();
            let step = [7, 5, 3].into_iter().find(|s| !n.is_multiple_of(*s)).unwrap_or(1);
            parts = (0..n).map(|i| parts[(i * step + 1) % n].clone()).collect();
        }
    }
    parts
}

/// Every frame that is larger than `size` cut up, each datagram under an identifier of its own.
fn cut(frames: &[TimedFrame], size: usize, order: Order) -> Vec<TimedFrame> {
    let mut all = Vec::new();
    for (id, f) in (1u16..).zip(frames) {
        let mut data = f.data.clone();
        data[18..20].copy_from_slice(&id.to_be_bytes());
        let parts = fragment(&data, size);
        let parts = if parts.len() == 1 { parts } else { ordered(parts, order) };
        all.extend(parts.into_iter().map(|data| TimedFrame { data, ..f.clone() }));
    }
    all
}

fn dialogue() -> Vec<TimedFrame> {
    let mut c = Conversation::open(43_000, 80);
    c.send(true, b"POST /a/../etc/passwd HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello=world");
    c.send(false, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    c.close()
}

const RULES: [&str; 3] = [
    "http any any -> any any (msg:\"x\"; flow:established,to_server; http.uri; content:\"/etc/passwd\"; sid:1;)",
    "tcp any any -> any any (msg:\"x\"; flow:established,to_server; content:\"hello=\"; content:\"world\"; distance:0; sid:1;)",
    "tcp any any -> any 80 (msg:\"x\"; dsize:>60; content:\"POST\"; depth:4; sid:1;)",
];

/// Alerts without what tells packets apart.
fn alerted(out: &Outcome) -> Vec<(u64, String)> {
    let one = |e: &serde_json::Value| Some((e["alert"]["signature_id"].as_u64()?, e["src_ip"].to_string()));
    out.of("alert").filter_map(one).collect()
}

#[test]
fn any_cut_in_any_order_matches_as_the_whole_does() {
    let whole = dialogue();
    for rule in RULES {
        let alert = ruleset(&format!("alert {rule}")).unwrap();
        let drop = ruleset(&format!("drop {rule}")).unwrap();
        for config in [watching as fn() -> Config, in_line] {
            let expected = alerted(&run(&alert, config(), &whole, 7));
            assert!(!expected.is_empty(), "{rule}");
            for (size, order) in SIZES.into_iter().flat_map(|s| ORDERS.map(|o| (s, o))) {
                let pieces = cut(&whole, size, order);
                assert!(pieces.len() > whole.len());
                let got = alerted(&run(&alert, config(), &pieces, 7));
                assert_eq!(got, expected, "{rule}: {size}, {order:?}");
                let done = run(&drop, in_line(), &pieces, 7);
                assert_eq!(alerted(&done), expected, "{rule}: {size}, {order:?}, dropping");
                let frames = pieces.iter().zip(&done.verdicts);
                let left: Vec<TimedFrame> = frames.filter(|(_, v)| v.is_forward()).map(|(f, _)| f.clone()).collect();
                assert!(alerted(&run(&alert, watching(), &left, 7)).is_empty(), "{rule}: {size}, {order:?}: it left");
            }
        }
    }
}

#[test]
fn batches_do_not_matter_to_fragments() {
    let pieces = cut(&dialogue(), 24, Order::Backwards);
    let rules = ruleset(&format!("drop {}", RULES[0])).unwrap();
    let one = run(&rules, in_line(), &pieces, 1);
    for batch in [7, 64] {
        let other = run(&rules, in_line(), &pieces, batch);
        assert_eq!((&one.verdicts, &one.events), (&other.verdicts, &other.events));
    }
}

fn udp_frame(payload: &[u8]) -> Vec<u8> {
    craft::udp(true, 40_000, 9_000, 0, payload).data
}

fn timed(frames: Vec<Vec<u8>>) -> Vec<TimedFrame> {
    let one = |(i, data)| TimedFrame { micros: 1_700_000_000_000_000 + i as i64, to_server: true, data };
    frames.into_iter().enumerate().map(one).collect()
}

const MARKED: &str = "udp any any -> any any (msg:\"x\"; content:\"EVIL-EVIL\"; sid:1;)";

/// Two copies of the middle fragment of a datagram, one harmless: which of them a receiver keeps is its policy.
fn overlapping(evil_first: bool) -> Vec<Vec<u8>> {
    let with = |middle: &[u8; 16]| fragment(&udp_frame(&[&[b'a'; 16][..], middle, &[b'z'; 16]].concat()), 8);
    let (evil, good) = (with(b"EVIL-EVILxxxxxxx"), with(b"good-good-good-g"));
    let (first, second) = if evil_first { (&evil, &good) } else { (&good, &evil) };
    // Header and padding, the marked 16 bytes twice, the rest.
    [&evil[..3], &first[3..5], &second[3..5], &evil[5..]].concat()
}

#[test]
fn overlaps_are_read_as_the_receiver_reads_them() {
    let rules = ruleset(&format!("alert {MARKED}")).unwrap();
    for policy in OverlapPolicy::ALL {
        let later_wins = matches!(policy, OverlapPolicy::Last | OverlapPolicy::Linux | OverlapPolicy::BsdRight);
        for evil_first in [true, false] {
            let mut config = watching();
            config.decode.defrag.hosts = HostPolicies::all(policy);
            let out = run(&rules, config, &timed(overlapping(evil_first)), 1);
            assert_eq!(out.sids().len(), usize::from(evil_first != later_wins), "{policy:?}, evil first {evil_first}");
        }
    }
}

#[test]
fn in_line_a_contradicted_datagram_does_not_pass() {
    let rules = ruleset(&format!("drop {MARKED}")).unwrap();
    for evil_first in [true, false] {
        let frames = timed(overlapping(evil_first));
        let done = run(&rules, in_line(), &frames, 1);
        let left: Vec<TimedFrame> =
            frames.iter().zip(&done.verdicts).filter(|(_, v)| v.is_forward()).map(|(f, _)| f.clone()).collect();
        for policy in OverlapPolicy::ALL {
            let mut config = watching();
            config.decode.defrag.hosts = HostPolicies::all(policy);
            let read = run(&ruleset(&format!("alert {MARKED}")).unwrap(), config, &left, 1);
            assert!(read.sids().is_empty(), "{policy:?} reads it, evil first {evil_first}");
        }
    }
}

#[test]
fn a_fragment_whose_header_checksum_is_wrong_takes_no_place() {
    let whole = udp_frame(b"........EVIL-EVIL.......");
    let mut parts = fragment(&whole, 8);
    let mut decoy = parts[2].clone();
    decoy[ETHERNET + 20..].fill(b'-');
    decoy[ETHERNET + 10] ^= 0x55;
    parts.insert(2, decoy);
    let rules = ruleset(&format!("alert {MARKED}")).unwrap();
    for base in [watching as fn() -> Config, in_line] {
        let mut config = base();
        config.decode.verify_checksums = true;
        assert_eq!(run(&rules, config, &timed(parts.clone()), 1).sids(), [1]);
    }
}

#[test]
fn what_was_withheld_cannot_be_completed_by_another_copy() {
    let rules = ruleset(&format!("drop {MARKED}")).unwrap();
    let parts = fragment(&udp_frame(b"........EVIL-EVIL......."), 8);
    let last = parts[parts.len() - 1].clone();
    let frames = timed([parts.clone(), vec![last]].concat());
    let done = run(&rules, in_line(), &frames, 1);
    assert_eq!(done.verdicts.iter().filter(|v| !v.is_forward()).count(), 2, "{:?}", done.verdicts);
}

/// The one withheld first is forgotten for the one past the bound.
#[test]
fn so_many_withheld_datagrams_are_remembered() {
    const REMEMBERED: u16 = 16_384;
    let rules = ruleset(&format!("drop {MARKED}")).unwrap();
    let parts_of = |id: u16| {
        let mut whole = udp_frame(b"EVIL-EVIL");
        whole[18..20].copy_from_slice(&id.to_be_bytes());
        fragment(&whole, 16)
    };
    let again = |id: u16| parts_of(id).pop();
    let mut frames: Vec<_> = (1..=REMEMBERED).flat_map(parts_of).chain(again(1)).collect();
    let full = frames.len();
    frames.extend(parts_of(REMEMBERED + 1).into_iter().chain(again(1)).chain(again(2)));
    let mut config = in_line();
    config.records.drop = None;
    let done = run(&rules, config, &timed(frames), 64);
    let left: Vec<bool> = done.verdicts.iter().map(|v| v.is_forward()).collect();
    let (before, behind) = left.split_at(full);
    assert!(before.chunks(2).all(|pair| pair == [true, false] || pair == [false]), "one is not remembered");
    assert_eq!(behind, [true, false, true, false]);
}

fn ipv6(next: u8, body: &[u8]) -> Vec<u8> {
    let address = |n: u8| [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[n]].concat();
    let len = (body.len() as u16).to_be_bytes();
    [&[0x60, 0, 0, 0, len[0], len[1], next, 64][..], &address(1), &address(2), body].concat()
}

/// The marked datagram over either family, in fragments of 8 bytes.
fn families() -> [Vec<Vec<u8>>; 2] {
    let datagram = udp6();
    let pieces = datagram.len().div_ceil(8);
    let one = |(i, part): (usize, &[u8])| {
        let offset = ((i as u16 * 8) | u16::from(i + 1 < pieces)).to_be_bytes();
        ether(0x86dd, &ipv6(44, &[&[17, 0, offset[0], offset[1], 0, 0, 0, 9][..], part].concat()))
    };
    let mut v4 = udp_frame(b"EVIL-EVIL");
    v4[40..42].fill(0);
    [fragment(&v4, 8), datagram.chunks(8).enumerate().map(one).collect()]
}

/// A fragment of which the capture, or the wire, has less than its header says: a hole until it comes whole.
#[test]
fn a_fragment_that_is_cut_short_takes_no_place() {
    let drop = ruleset(&format!("drop {MARKED}")).unwrap();
    for (v6, parts) in families().into_iter().enumerate() {
        let event = ["ipv4.trunc_pkt", "ipv6.trunc_pkt"][v6];
        let odd =
            ruleset(&format!("alert pkthdr any any -> any any (msg:\"x\"; decode-event:{event}; sid:2;)")).unwrap();
        for (nth, config) in (0..parts.len()).flat_map(|n| [(n, watching()), (n, in_line())]) {
            let bodies = ETHERNET + [20, 48][v6];
            for len in bodies..parts[nth].len() {
                let mut frames = parts.clone();
                frames[nth].truncate(len);
                assert_eq!(run(&odd, config.clone(), &timed(frames.clone()), 1).sids(), [2], "{event}: {nth}, {len}");
                assert!(run(&drop, config.clone(), &timed(frames.clone()), 1).sids().is_empty(), "{nth}, {len}");
                frames.push(parts[nth].clone());
                let done = run(&drop, config.clone(), &timed(frames), 1);
                assert_eq!(done.sids(), [1], "{event}: {nth}, {len}, then whole");
                let withheld = done.verdicts.last().is_some_and(|v| !v.is_forward());
                assert_eq!(withheld, config.mode == engine::worker::Mode::Inline);
            }
        }
    }
}

/// What a frame holds behind the length that its header gives is padding, whatever it says.
#[test]
fn bytes_behind_a_fragment_are_no_part_of_it() {
    let alert = ruleset(&format!("alert {MARKED}")).unwrap();
    let padded = |parts: &[Vec<u8>], with: &[u8]| parts.iter().map(|p| [p, with].concat()).collect();
    for config in [watching as fn() -> Config, in_line] {
        for parts in families() {
            assert_eq!(run(&alert, config(), &timed(padded(&parts, b"........")), 1).sids(), [1]);
        }
        let harmless = fragment(&udp_frame(&[b'.'; 40]), 8);
        assert!(run(&alert, config(), &timed(padded(&harmless, b"EVIL-EVIL")), 1).sids().is_empty());
    }
}

/// Nothing is read of it, nothing of it is kept past its time, and the next of its number begins anew.
#[test]
fn a_datagram_whose_last_fragment_never_comes() {
    let alert = ruleset(&format!("alert {MARKED}")).unwrap();
    for config in [watching as fn() -> Config, in_line] {
        for parts in families() {
            let (last, before) = parts.split_last().unwrap();
            let begun = timed(before.to_vec());
            assert!(run(&alert, config(), &begun, 1).sids().is_empty());
            let mut all = begun.clone();
            let late = |data: &Vec<u8>| TimedFrame {
                micros: begun[0].micros + 61_000_000,
                to_server: true,
                data: data.clone(),
            };
            all.push(late(last));
            let out = run(&alert, config(), &all, 1);
            assert_eq!((out.sids(), out.counters.of(Counter::DefragTimeout)), (vec![], 1));
            all.extend(before.iter().map(late));
            assert_eq!(run(&alert, config(), &all, 1).sids(), [1]);
        }
    }
}

/// BSD takes an empty fragment for the end of a datagram, others do not. In line none of them sees it.
#[test]
fn an_empty_last_fragment() {
    let alert = ruleset(&format!("alert {MARKED}")).unwrap();
    let head = ETHERNET + 20;
    let whole = udp_frame(b"EVIL-EVIL.......");
    let parts = fragment(&[&whole[..], &[0; 8]].concat(), 8);
    let mut frames = parts.clone();
    let last = frames.last_mut().unwrap();
    last.truncate(head);
    last[17] = 20;
    last[24..26].fill(0);
    let sum = craft::checksum(&[&last[ETHERNET..head]]);
    last[24..26].copy_from_slice(&sum.to_be_bytes());
    for policy in OverlapPolicy::ALL {
        let mut config = watching();
        config.decode.defrag.hosts = HostPolicies::all(policy);
        let ends = matches!(policy, OverlapPolicy::Bsd | OverlapPolicy::BsdRight);
        assert_eq!(run(&alert, config, &timed(frames.clone()), 1).sids().len(), usize::from(ends), "{policy:?}");
    }
    let done = run(&alert, in_line(), &timed(frames), 1);
    assert_eq!(done.verdicts.iter().map(|v| v.is_forward()).collect::<Vec<_>>(), [true, true, true, false]);
}

/// Before the last, fragments are of whole units of 8 bytes. Linux cuts one that is not; in line it does not pass.
#[test]
fn a_fragment_that_ends_within_a_unit() {
    let alert = ruleset(&format!("alert {MARKED}")).unwrap();
    let mut frames = fragment(&udp_frame(b"EVIL-EVILxxxxxxxyyyyyyyy"), 16);
    let first = &mut frames[0];
    first.extend(b".....");
    first[17] = 20 + 21;
    first[24..26].fill(0);
    let sum = craft::checksum(&[&first[ETHERNET..ETHERNET + 20]]);
    first[24..26].copy_from_slice(&sum.to_be_bytes());
    let mut config = watching();
    config.decode.defrag.hosts = HostPolicies::all(OverlapPolicy::Linux);
    assert_eq!(run(&alert, config, &timed(frames.clone()), 1).sids(), [1]);
    let done = run(&alert, in_line(), &timed(frames), 1);
    assert_eq!(done.verdicts.iter().map(|v| v.is_forward()).collect::<Vec<_>>(), [false, true]);
}

fn ether(kind: u16, body: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &kind.to_be_bytes(), body].concat()
}

/// The marked datagram, bare: IPv4 and UDP.
fn bare() -> Vec<u8> {
    udp_frame(b"EVIL-EVIL")[ETHERNET..].to_vec()
}

fn udp6() -> Vec<u8> {
    [&[0x9c, 0x40, 0x23, 0x28, 0, 17, 0, 0][..], b"EVIL-EVIL"].concat()
}

/// The marked datagram behind headers that are walked, each with a name.
fn hidden() -> Vec<(&'static str, Vec<u8>)> {
    let tag = |kind: u16, id: u8, body: &[u8]| [&[0, id][..], &kind.to_be_bytes(), body].concat();
    let pad = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let chain = [&pad(60)[..], &pad(43), &[60, 0, 2, 0, 0, 0, 0, 0], &pad(51), &[44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]];
    let atomic = [17, 0, 0, 0, 0, 0, 0, 9];
    let gre =
        |inner: &[u8]| craft::ipv4(CLIENT, SERVER, 47, &[&[0, 0, 8, 0][..], inner].concat(), true)[ETHERNET..].to_vec();
    let ipip = |inner: &[u8]| craft::ipv4(CLIENT, SERVER, 4, inner, true)[ETHERNET..].to_vec();
    let deep = (0..5).fold(bare(), |inner, _| ipip(&inner));
    let vxlan = udp_in(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &ether(0x0800, &bare())].concat());
    vec![
        ("IPv6", ether(0x86dd, &ipv6(17, &udp6()))),
        ("extension headers", ether(0x86dd, &ipv6(0, &[&chain.concat()[..], &atomic, &udp6()].concat()))),
        ("an atomic fragment", ether(0x86dd, &ipv6(44, &[&atomic[..], &udp6()].concat()))),
        ("many destination headers", ether(0x86dd, &ipv6(60, &[&pad(60).repeat(30)[..], &pad(17), &udp6()].concat()))),
        ("LLC and SNAP", ether(0x40, &[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &bare()].concat())),
        ("three tags", ether(0x88a8, &tag(0x8100, 1, &tag(0x8100, 2, &tag(0x0800, 3, &bare()))))),
        (
            "five tags",
            ether(0x88a8, &tag(0x8100, 1, &tag(0x8100, 2, &tag(0x8100, 3, &tag(0x8100, 4, &tag(0x0800, 5, &bare())))))),
        ),
        ("MPLS", ether(0x8847, &[&[0, 1, 0, 64, 0, 1, 1, 64][..], &bare()].concat())),
        ("PPPoE", ether(0x8864, &[&[0x11, 0, 0, 1, 0, 39, 0, 0x21][..], &bare()].concat())),
        ("802.1ah", ether(0x88e7, &[&[0; 16][..], &[8, 0], &bare()].concat())),
        ("VN-Tag", ether(0x8926, &[&[0, 0, 0, 0, 8, 0][..], &bare()].concat())),
        ("GRE in GRE", ether(0x0800, &gre(&gre(&bare())))),
        ("five tunnels", ether(0x0800, &deep)),
        ("VXLAN", vxlan),
        ("Teredo", udp_in(3544, &ipv6(17, &udp6()))),
        ("6in4", craft::ipv4(CLIENT, SERVER, 41, &ipv6(17, &udp6()), true)),
        ("4in6", ether(0x86dd, &ipv6(4, &bare()))),
        ("GRE behind an extension header", ether(0x86dd, &ipv6(60, &[&pad(47)[..], &[0, 0, 8, 0], &bare()].concat()))),
        ("IPv6 behind an extension header", ether(0x86dd, &ipv6(60, &[&pad(41)[..], &ipv6(17, &udp6())].concat()))),
        (
            "a jumbogram's length",
            ether(0x86dd, &ipv6(17, &[&[0x9c, 0x40, 0x23, 0x28, 0, 0, 0, 0][..], b"EVIL-EVIL"].concat())),
        ),
    ]
}

fn udp_in(port: u16, payload: &[u8]) -> Vec<u8> {
    craft::udp(true, 40_001, port, 0, payload).data
}

#[test]
fn headers_before_a_datagram_do_not_hide_it() {
    let alert = ruleset(&format!("alert {MARKED}")).unwrap();
    let drop = ruleset(&format!("drop {MARKED}")).unwrap();
    for (what, frame) in hidden() {
        let frames = timed(vec![frame]);
        assert_eq!(run(&alert, watching(), &frames, 1).sids(), [1], "{what}");
        let done = run(&drop, in_line(), &frames, 1);
        assert!(done.sids() == [1] && !done.leaked(b"EVIL-EVIL"), "{what}");
    }
}

#[test]
fn every_truncation_of_them_is_survived_and_nothing_matches_by_chance() {
    let alert = ruleset(&format!("alert {MARKED}")).unwrap();
    for (what, frame) in hidden() {
        let frames = timed((0..frame.len()).map(|n| frame[..n].to_vec()).collect());
        let out = run(&alert, watching(), &frames, 7);
        let whole = out.of("alert").filter(|e| e["pkt_src"] == "wire/pcap").count();
        assert_eq!((out.verdicts.len(), whole), (frames.len(), 0), "{what}");
    }
}

#[test]
fn past_the_bound_on_layers_the_operator_decides() {
    let ipip = |inner: &[u8]| craft::ipv4(CLIENT, SERVER, 4, inner, true)[ETHERNET..].to_vec();
    let deep = ether(0x0800, &(0..30).fold(bare(), |inner, _| ipip(&inner)));
    let rules = ruleset("alert pkthdr any any -> any any (msg:\"x\"; decode-event:too_many_layers; sid:2;)").unwrap();
    let out = run(&rules, watching(), &timed(vec![deep.clone()]), 1);
    assert_eq!((out.sids(), out.counters.of(Counter::DecodeTooManyLayers)), (vec![2], 1));
    let mut config = in_line();
    let drop = engine::types::ExceptionPolicy::DropPacket;
    config.policies.set(engine::types::Cause::DecodeInvalid, drop).unwrap();
    let out = run(&rules, config, &timed(vec![deep]), 1);
    assert!(!out.verdicts[0].is_forward());
}

#[test]
fn fragments_in_a_tunnel_and_a_tunnel_in_fragments() {
    let alert = ruleset(&format!("alert {MARKED}")).unwrap();
    let inner = fragment(&udp_frame(b"......EVIL-EVIL......"), 16);
    let gre = |f: &Vec<u8>| craft::ipv4(CLIENT, SERVER, 47, &[&[0, 0, 8, 0][..], &f[ETHERNET..]].concat(), true);
    let tunnelled: Vec<Vec<u8>> = inner.iter().map(gre).collect();
    assert_eq!(run(&alert, watching(), &timed(tunnelled.clone()), 1).sids(), [1]);
    // Each tunnel packet in fragments of its own.
    let twice = tunnelled.iter().enumerate().flat_map(|(i, f)| {
        let mut f = f.clone();
        f[18..20].copy_from_slice(&(100 + i as u16).to_be_bytes());
        fragment(&f, 8)
    });
    assert_eq!(run(&alert, watching(), &timed(twice.collect()), 1).sids(), [1]);
}

#[test]
fn raw_ip_frames_are_read_too() {
    let alert = ruleset(&format!("alert {MARKED}")).unwrap();
    let out = run_link(&alert, watching(), &timed(vec![bare()]), 1, LinkType::RAW);
    assert_eq!(out.sids(), [1]);
}
