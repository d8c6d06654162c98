//! A datagram as a map of bytes is the model; what frames show, the decoder's packets must show too.

use super::super::packet::Span;
use super::super::tests::{decoder, ether, frame, icmp, ip4_with, ip6, names, tcp, udp};
use super::super::{Decoder, LinkType, Packet, PacketList, Settings};
use super::*;
use crate::types::{Cause, IpProto};
use proptest::prelude::*;

/// One fragment of the model: offset in units of 8 bytes, what it is filled with, length, whether more follow.
#[derive(Clone, Debug)]
struct Piece {
    offset: u16,
    fill: u8,
    len: usize,
    more: bool,
}

/// The obviously right one: of each byte its value and the fragment that owns it.
fn model(policy: OverlapPolicy, pieces: &[Piece]) -> Option<Vec<u8>> {
    let mut owner: Vec<Option<usize>> = Vec::new();
    let mut total = None;
    let range = |p: &Piece| (u32::from(p.offset) * 8, u32::from(p.offset) * 8 + p.len as u32);
    for (i, p) in pieces.iter().enumerate() {
        let (start, end) = range(p);
        if owner.len() < end as usize {
            owner.resize(end as usize, None);
        }
        let before = owner.clone();
        for at in start as usize..end as usize {
            let keeps = before[at].is_some_and(|o| {
                // What is left of the owner around this byte.
                let left = before[..at].iter().rev().take_while(|x| **x == Some(o)).count();
                let right = before[at..].iter().take_while(|x| **x == Some(o)).count();
                let left = ((at - left) as u32, (at + right) as u32);
                !policy.later_wins(left, range(&pieces[o]), (start, end))
            });
            if !keeps {
                owner[at] = Some(i);
            }
        }
        if !p.more && (total.is_none() || policy == OverlapPolicy::Last) {
            total = Some(end as usize);
        }
        if let Some(total) = total
            && owner.len() >= total
            && owner[..total].iter().all(Option::is_some)
        {
            return Some(owner[..total].iter().map(|o| pieces[o.unwrap()].fill).collect());
        }
    }
    None
}

fn with_policy(policy: OverlapPolicy) -> Decoder {
    let mut settings = Settings::default();
    settings.defrag.hosts = HostPolicies::all(policy);
    Decoder::new(settings, &Limits::default())
}

fn fragment(p: &Piece) -> Vec<u8> {
    ip4_with(253, 77, p.offset | if p.more { 0x2000 } else { 0 }, &[], &vec![p.fill; p.len])
}

/// Payload of the first datagram that comes out whole.
fn reassemble(d: &mut Decoder, frames: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut counters = Counters::default();
    frames.iter().find_map(|f| {
        let mut out = PacketList::new();
        d.decode(&frame(f, LinkType::RAW, 1), 0, &mut out, &mut counters);
        assert!(out[0].1.flags.fragment && !out[0].1.flags.reassembled);
        let (_, whole) = out.get(1)?;
        assert!(whole.flags.reassembled && !whole.flags.fragment);
        Some(whole.payload().to_vec())
    })
}

fn piece() -> impl Strategy<Value = Piece> {
    (0u16..12, any::<u8>(), 1usize..5, 0usize..8, prop::bool::weighted(0.8)).prop_map(
        |(offset, fill, units, odd, more)| {
            // What starts at 0 with nothing to follow is no fragment.
            let more = more || offset == 0;
            Piece { offset, fill, len: units * 8 - if more { 0 } else { odd }, more }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model(pieces in prop::collection::vec(piece(), 1..24)) {
        for policy in OverlapPolicy::ALL {
            let mut d = with_policy(policy);
            let frames: Vec<_> = pieces.iter().map(fragment).collect();
            prop_assert_eq!(reassemble(&mut d, &frames), model(policy, &pieces), "{:?}", policy);
        }
    }
}

/// The overlaps of Novak's paper: six fragments, then what each receiver makes of them.
#[test]
fn policies_of_the_paper() {
    let p = |offset, fill, units: usize, more| Piece { offset, fill, len: units * 8, more };
    let pieces = [
        p(0, b'1', 3, true),
        p(4, b'2', 2, true),
        p(6, b'3', 3, true),
        p(1, b'4', 4, true),
        p(6, b'5', 3, true),
        p(9, b'6', 3, false),
    ];
    for (policy, expected) in [
        (OverlapPolicy::First, "111422333666"),
        (OverlapPolicy::Last, "144442555666"),
        (OverlapPolicy::Bsd, "111442333666"),
        (OverlapPolicy::BsdRight, "144422555666"),
        (OverlapPolicy::Linux, "111442555666"),
        (OverlapPolicy::Windows, "111422333666"),
        (OverlapPolicy::Solaris, "111422333666"),
    ] {
        let frames: Vec<_> = pieces.iter().map(fragment).collect();
        let whole = reassemble(&mut with_policy(policy), &frames).unwrap();
        let got: String = whole.chunks(8).map(|c| c[0] as char).collect();
        assert_eq!(got, expected, "{policy:?}");
    }
}

fn run<'a>(d: &mut Decoder, c: &mut Counters, f: &'a [u8], link: LinkType, secs: u64) -> Vec<Packet<'a>> {
    let mut out = PacketList::new();
    d.decode(&frame(f, link, secs), 0, &mut out, c);
    out.into_iter().map(|(_, p)| p).collect()
}

#[test]
fn tcp_in_fragments_any_order() {
    let segment = tcp(&[], b"a payload longer than one fragment");
    let cut = |from: usize, to: usize, more: u16| {
        ip4_with(6, 9, (from / 8) as u16 | more, &[], &segment[from..to.min(segment.len())])
    };
    let frames: Vec<_> =
        [cut(40, 99, 0), cut(0, 24, 0x2000), cut(24, 40, 0x2000)].iter().map(|f| ether(0x0800, f)).collect();
    let (mut d, mut c) = (decoder(), Counters::default());
    assert_eq!(run(&mut d, &mut c, &frames[0], LinkType::ETHERNET, 1).len(), 1);
    assert_eq!(run(&mut d, &mut c, &frames[1], LinkType::ETHERNET, 1).len(), 1);
    let got = run(&mut d, &mut c, &frames[2], LinkType::ETHERNET, 1);
    let whole = &got[1];
    assert_eq!((whole.tuple.dport, whole.tuple.proto), (80, IpProto::TCP));
    assert_eq!(whole.payload(), b"a payload longer than one fragment");
    assert_eq!((whole.ip_checksum_ok(), whole.l4_checksum_ok()), (Some(true), Some(true)));
    assert!(whole.ether.is_some() && whole.events.is_empty());
    assert_eq!((d.memory(), c.of(Counter::DefragReassembled), c.of(Counter::DefragFragments)), (0, 1, 3));
}

#[test]
fn ipv6_fragments_and_atomic_ones() {
    let datagram = udp(53, 5353, b"0123456789abcdef");
    let head = |offset: u16, more: bool| {
        let mut h = vec![17, 0];
        h.extend((offset | u16::from(more)).to_be_bytes());
        h.extend([0, 0, 0, 5]);
        h
    };
    // A destination header before the fragment header stays, and names what follows.
    let before = [44, 0, 1, 4, 0, 0, 0, 0];
    let first = ip6(60, &[&before[..], &head(0, true), &datagram[..16]].concat());
    let last = ip6(60, &[&before[..], &head(16, false), &datagram[16..]].concat());
    let (mut d, mut c) = (decoder(), Counters::default());
    assert_eq!(run(&mut d, &mut c, &last, LinkType::RAW, 1).len(), 1);
    let got = run(&mut d, &mut c, &first, LinkType::RAW, 1);
    assert_eq!((got[1].tuple.sport, got[1].payload()), (53, &b"0123456789abcdef"[..]));

    let atomic = ip6(44, &[&head(0, false)[..], &datagram].concat());
    let got = run(&mut d, &mut c, &atomic, LinkType::RAW, 1);
    assert_eq!((got.len(), names(&got[0])), (1, vec!["ipv6.exthdr_useless_fh"]));
    assert_eq!(got[0].payload(), b"0123456789abcdef");
    assert!(!got[0].flags.fragment);
}

#[test]
fn a_tunnel_inside_fragments() {
    let inner = ip4_with(1, 1, 0, &[], &icmp(8, 0, [0, 1, 0, 2], b"deep inside"));
    let frames = [ip4_with(4, 3, 0x2000, &[], &inner[..24]), ip4_with(4, 3, 3, &[], &inner[24..])];
    let (mut d, mut c) = (decoder(), Counters::default());
    run(&mut d, &mut c, &frames[0], LinkType::RAW, 1);
    let got = run(&mut d, &mut c, &frames[1], LinkType::RAW, 1);
    assert_eq!(got.len(), 3, "fragment, datagram, what it carries");
    assert_eq!((got[2].payload(), got[2].depth), (&b"deep inside"[..], 1));
}

#[test]
fn overlaps_and_too_large_raise_events() {
    let (mut d, mut c) = (decoder(), Counters::default());
    let p = |offset, units: usize| fragment(&Piece { offset, fill: 1, len: units * 8, more: true });
    assert!(run(&mut d, &mut c, &p(0, 2), LinkType::RAW, 1)[0].events.is_empty());
    assert_eq!(names(&run(&mut d, &mut c, &p(1, 2), LinkType::RAW, 1)[0]), ["ipv4.frag_overlap"]);
    let got = run(&mut d, &mut c, &p(8190, 4), LinkType::RAW, 1)[0].events.clone();
    assert_eq!(got[..], [events::IPV4_FRAG_PKT_TOO_LARGE]);
}

#[test]
fn datagrams_time_out_in_packet_time() {
    let (mut d, mut c) = (decoder(), Counters::default());
    let first = fragment(&Piece { offset: 0, fill: 1, len: 16, more: true });
    let last = fragment(&Piece { offset: 2, fill: 2, len: 8, more: false });
    run(&mut d, &mut c, &first, LinkType::RAW, 100);
    assert_eq!(run(&mut d, &mut c, &last, LinkType::RAW, 161).len(), 1, "the first is gone");
    assert_eq!(c.of(Counter::DefragTimeout), 1);
    assert_eq!(run(&mut d, &mut c, &first, LinkType::RAW, 221).len(), 2);
}

#[test]
fn a_full_table_is_an_exception_and_drains() {
    let limits = Limits { defrag_datagrams_max: 4, defrag_bytes_max: 1 << 20, ..Limits::default() };
    let mut d = Decoder::new(Settings::default(), &limits);
    let mut c = Counters::default();
    let of = |id: u16| ip4_with(253, id, 0x2000, &[], &[0; 64]);
    for id in 0..4 {
        assert!(run(&mut d, &mut c, &of(id), LinkType::RAW, 1)[0].exceptions.is_empty());
    }
    let f = of(4);
    let got = run(&mut d, &mut c, &f, LinkType::RAW, 1);
    assert_eq!(got[0].exceptions[..], [Cause::DefragMemcap]);
    assert_eq!(c.of(Counter::DefragMemcap), 1);
    assert!(run(&mut d, &mut c, &f, LinkType::RAW, 62)[0].exceptions.is_empty(), "room after time-out");

    let limits = Limits { defrag_bytes_max: 2_000, ..Limits::default() };
    let mut d = Decoder::new(Settings::default(), &limits);
    let full = (0..40).any(|i| {
        let f = fragment(&Piece { offset: i * 16, fill: 1, len: 64, more: true });
        let got = run(&mut d, &mut c, &f, LinkType::RAW, 1);
        assert!(d.memory() <= 2_000);
        !got[0].exceptions.is_empty()
    });
    assert!(full);
}

#[test]
fn datagrams_of_different_vlans_do_not_mix() {
    let (mut d, mut c) = (decoder(), Counters::default());
    let tagged = |id: u8, p: &Piece| ether(0x8100, &[&[0, id, 8, 0][..], &fragment(p)].concat());
    let first = tagged(1, &Piece { offset: 0, fill: 1, len: 16, more: true });
    let last = Piece { offset: 2, fill: 2, len: 8, more: false };
    run(&mut d, &mut c, &first, LinkType::ETHERNET, 1);
    assert_eq!(run(&mut d, &mut c, &tagged(2, &last), LinkType::ETHERNET, 1).len(), 1);
    assert_eq!(run(&mut d, &mut c, &tagged(1, &last), LinkType::ETHERNET, 1).len(), 2);
}

/// Lays ones over what a datagram holds.
fn lay(d: &mut Datagram, offset: u32, len: u32) -> Added {
    let none = Span::default();
    let f = Fragment { header: none, next_at: 0, proto: 17, id: 1, offset, more: true, data: none };
    d.add(&f, &[], &[], &vec![1; len as usize], (usize::MAX, usize::MAX))
}

#[test]
fn pieces_of_a_datagram_are_bounded() {
    let of = |policy| Datagram::new(policy, Duration::from_secs(60), Timestamp::ZERO, 1);
    // Each byte laid over a long fragment cuts it once more.
    let mut d = of(OverlapPolicy::Last);
    assert_eq!(lay(&mut d, 0, 65_528), Added::Kept { overlap: false });
    let kept = (0..8_191).take_while(|i| lay(&mut d, i * 8, 1) != Added::Full).count();
    assert_eq!((kept, d.held()), (4_128, 8_256));
    d.invariants();
    // A long fragment over single bytes is cut to what lies between them.
    for (n, fits, held) in [(4_127, true, 8_253), (4_128, false, 4_128)] {
        let mut d = of(OverlapPolicy::First);
        (0..n).for_each(|i| assert_eq!(lay(&mut d, i * 8, 1), Added::Kept { overlap: false }));
        assert_eq!((lay(&mut d, 0, n * 8 - 7) != Added::Full, d.held()), (fits, held), "{n}");
        d.invariants();
    }
}

#[test]
fn what_fills_gaps_keeps_to_the_bounds_of_all_datagrams() {
    // Six single bytes with five gaps: eleven pieces, for which seven more are reckoned.
    for (max, fits) in [(13, true), (12, false)] {
        let limits = Limits { defrag_fragments_max: max, ..Limits::default() };
        let mut settings = Settings::default();
        settings.defrag.hosts = HostPolicies::all(OverlapPolicy::First);
        let (mut d, mut c) = (Decoder::new(settings, &limits), Counters::default());
        let of = |offset, len| fragment(&Piece { offset, fill: 1, len, more: true });
        for i in 0..6 {
            assert!(run(&mut d, &mut c, &of(i, 1), LinkType::RAW, 1)[0].exceptions.is_empty());
        }
        let long = of(0, 41);
        assert_eq!(run(&mut d, &mut c, &long, LinkType::RAW, 1)[0].exceptions.is_empty(), fits, "{max}");
    }
}
