//! Every decode event raised by a frame of its own, and what becomes of odd packets: followed, or not.

use super::tests::{decoder, ether, frame, icmp, ip4, ip4_with, ip6, names, tag, tcp, udp};
use super::*;
use crate::types::Counters;

/// Events that no frame of a capture raises: why.
const UNSEEN: [(&str, &str); 8] = [
    ("afpacket.trunc_pkt", "a live socket's"),
    ("erspan.header_too_small", "the tunnel's packet is all there is then"),
    ("erspan.too_many_vlan_layers", "likewise"),
    ("erspan.unsupported_version", "likewise"),
    ("gre.version1_malformed_sre_hdr", "version 1 has no routing"),
    ("ipv4.opt_unknown", "other names say more"),
    ("ipv6.exthdr_dupl_eh", "nothing behind ESP can be seen"),
    ("udp.hlen_invalid", "a former name"),
];

type Row = (&'static str, LinkType, Vec<Vec<u8>>);

fn e(name: &'static str, frame: Vec<u8>) -> Row {
    (name, LinkType::ETHERNET, vec![frame])
}

fn v4(name: &'static str, proto: u8, body: &[u8]) -> Row {
    e(name, ether(0x0800, &ip4(proto, body)))
}

fn v6(name: &'static str, next: u8, body: &[u8]) -> Row {
    e(name, ether(0x86dd, &ip6(next, body)))
}

fn options(name: &'static str, area: &[u8]) -> Row {
    e(name, ether(0x0800, &ip4_with(17, 1, 0, area, &udp(1, 2, b""))))
}

fn raw(name: &'static str, link: LinkType, frame: &[u8]) -> Row {
    (name, link, vec![frame.to_vec()])
}

fn arp(name: &'static str, at: usize, to: u8) -> Row {
    let mut a = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 20]].concat();
    a[at] = to;
    e(name, ether(0x0806, &a))
}

fn links() -> Vec<Row> {
    vec![
        e("arp.pkt_too_small", ether(0x0806, &[0; 7])),
        e("arp.invalid_pkt", ether(0x0806, &[0, 1, 8, 0, 6, 4, 0, 1, 0])),
        arp("arp.invalid_hardware_size", 4, 5),
        arp("arp.invalid_protocol_size", 5, 16),
        arp("arp.unsupported_hardware", 1, 6),
        arp("arp.unsupported_opcode", 7, 5),
        arp("arp.unsupported_protocol", 2, 0x86),
        raw("chdlc.pkt_too_small", LinkType::C_HDLC, &[15, 0, 8]),
        e("dce.pkt_too_small", ether(0x8903, &[0; 15])),
        e("etag.header_too_small", ether(0x893f, &[0; 7])),
        e("etag.unknown_type", ether(0x893f, &[0, 0, 0, 0, 0, 0, 0x12, 0x34])),
        e("ethernet.pkt_too_small", vec![0; 13]),
        e("ethernet.unknown_ethertype", ether(0x4242, &[0; 50])),
        e("ieee8021ah.header_too_small", ether(0x88e7, &[0; 17])),
        raw("ipraw.invalid_ip_version", LinkType::RAW, &[0x50; 20]),
        raw("ltnull.pkt_too_small", LinkType::NULL, &[2, 0, 0]),
        raw("ltnull.unsupported_type", LinkType::NULL, &[7, 0, 0, 0]),
        e("mpls.bad_label_implicit_null", ether(0x8847, &[0, 0, 0x31, 64])),
        e("mpls.bad_label_reserved", ether(0x8847, &[0, 0, 0x51, 64])),
        e("mpls.bad_label_router_alert", ether(0x8847, &[0, 0, 0x11, 64])),
        e("mpls.header_too_small", ether(0x8847, &[0, 1, 0, 64, 0])),
        e("mpls.pkt_too_small", ether(0x8847, &[0, 1, 1, 64, 0x45])),
        e("mpls.unknown_payload_type", ether(0x8847, &[0, 1, 1, 64, 0x50, 0, 0, 0])),
        e("nsh.bad_header_length", ether(0x894f, &[0, 6, 1, 1, 0, 0, 0, 0])),
        e("nsh.header_too_small", ether(0x894f, &[0; 7])),
        e("nsh.reserved_type", ether(0x894f, &[0, 2, 0, 1, 0, 0, 0, 0, 0])),
        e("nsh.unknown_payload", ether(0x894f, &[0, 2, 2, 9, 0, 0, 0, 0, 0])),
        e("nsh.unsupported_type", ether(0x894f, &[0, 2, 3, 1, 0, 0, 0, 0, 0])),
        e("nsh.unsupported_version", ether(0x894f, &[0x40, 2, 1, 1, 0, 0, 0, 0, 0])),
        raw("ppp.ip4_pkt_too_small", LinkType::PPP, &[0xff, 3, 0, 0x21, 0x45]),
        raw("ppp.ip6_pkt_too_small", LinkType::PPP, &[0xff, 3, 0, 0x57, 0x60]),
        raw("ppp.pkt_too_small", LinkType::PPP, &[0xff, 3]),
        raw("ppp.unsup_proto", LinkType::PPP, &[0xff, 3, 0, 0x23, 0]),
        raw("ppp.vju_pkt_too_small", LinkType::PPP, &[0x2f, 0x45]),
        raw("ppp.wrong_type", LinkType::PPP, &[0xff, 3, 0x12, 0x34]),
        e("pppoe.malformed_tags", ether(0x8863, &[0x11, 9, 0, 0, 0, 9, 1, 1, 0, 0])),
        e("pppoe.pkt_too_small", ether(0x8864, &[0x11, 0, 0, 1, 0, 4])),
        e("pppoe.wrong_code", ether(0x8863, &[0x11, 3, 0, 0, 0, 0])),
        raw("sll.pkt_too_small", LinkType::LINUX_SLL, &[0; 15]),
        raw("sll2.pkt_too_small", LinkType::LINUX_SLL2, &[0; 19]),
        e("vlan.header_too_small", ether(0x8100, &[0, 1, 8])),
        e("vlan.unknown_type", ether(0x8100, &tag(1, 0x1234, b""))),
        e(
            "vlan.too_many_layers",
            ether(0x8100, &tag(1, 0x8100, &tag(2, 0x8100, &tag(3, 0x8100, &tag(4, 0x800, b""))))),
        ),
        e("vntag.header_too_small", ether(0x8926, &[0; 5])),
        e("vntag.unknown_type", ether(0x8926, &[0, 0, 0, 0, 0x12, 0x34])),
    ]
}

fn tunnels() -> Vec<Row> {
    let gre = |name, bytes: &[u8]| v4(name, 47, bytes);
    let deep = (0..40).fold(udp(1, 2, b"x"), |inner, _| ip4(4, &inner));
    vec![
        v4("geneve.unknown_payload_type", 17, &udp(1, 6081, &[0, 0, 0x12, 0x34, 0, 0, 1, 0])),
        gre("gre.pkt_too_small", &[0; 3]),
        gre("gre.version0_flags", &[0, 8, 8, 0]),
        gre("gre.version0_hdr_too_big", &[0x20, 0, 8, 0]),
        gre("gre.version0_malformed_sre_hdr", &[0x40, 0, 8, 0, 0, 0, 0, 0, 0]),
        gre("gre.version0_recur", &[1, 0, 8, 0]),
        gre("gre.version1_chksum", &[0x80, 1, 0x88, 0x0b]),
        gre("gre.version1_flags", &[0x20, 9, 0x88, 0x0b]),
        gre("gre.version1_hdr_too_big", &[0x20, 1, 0x88, 0x0b]),
        gre("gre.version1_no_key", &[0, 1, 0x88, 0x0b]),
        gre("gre.version1_recur", &[0x21, 1, 0x88, 0x0b]),
        gre("gre.version1_route", &[0x60, 1, 0x88, 0x0b]),
        gre("gre.version1_ssr", &[0x28, 1, 0x88, 0x0b]),
        gre("gre.version1_wrong_protocol", &[0x20, 1, 8, 0]),
        gre("gre.wrong_version", &[0, 2, 8, 0]),
        v4(
            "vxlan.unknown_payload_type",
            17,
            &udp(1, 4789, &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &ether(0x1234, b"")].concat()),
        ),
        e("too_many_layers", ether(0x0800, &deep)),
    ]
}

fn ip() -> Vec<Row> {
    let lying = |name, at: usize, to: u8| {
        let mut f = ip4(17, &udp(1, 2, b"x"));
        f[at] = to;
        e(name, ether(0x0800, &f))
    };
    let piece = |frag: u16| ether(0x0800, &ip4_with(17, 9, frag, &[], &[0; 16]));
    let piece6 = |frag: u16| {
        let [hi, lo] = frag.to_be_bytes();
        ether(0x86dd, &ip6(44, &[&[17, 0, hi, lo, 0, 0, 0, 7][..], &[0; 16]].concat()))
    };
    let pieces = |name, frames: Vec<Vec<u8>>| (name, LinkType::ETHERNET, frames);
    let hop = |name, area: [u8; 6]| v6(name, 0, &[&[59, 0][..], &area].concat());
    let dest = |name, area: [u8; 6]| v6(name, 60, &[&[59, 0][..], &area].concat());
    let pad = [1, 4, 0, 0, 0, 0];
    let chain = |name, kind: u8, times: usize| {
        let one = |next| [&[next, 0][..], &pad].concat();
        let mut body = one(59);
        (1..times).for_each(|_| body = [one(kind), body.clone()].concat());
        v6(name, kind, &body)
    };
    vec![
        pieces("ipv4.frag_overlap", vec![piece(0x2000), piece(0x2001)]),
        pieces("ipv4.frag_pkt_too_large", vec![piece(0x3fff)]),
        lying("ipv4.hlen_too_small", 0, 0x44),
        v4("ipv4.icmpv6", 58, &[0; 8]),
        lying("ipv4.iplen_smaller_than_hlen", 3, 19),
        options("ipv4.opt_duplicate", &[0x94, 4, 0, 0, 0x94, 4, 0, 0]),
        options("ipv4.opt_eol_required", &[1, 1, 1, 1, 1, 1, 1, 7]),
        options("ipv4.opt_invalid", &[99, 4, 0, 0, 1, 1, 1, 0]),
        options("ipv4.opt_invalid_len", &[7, 0, 0, 0, 0, 0, 0, 0]),
        options("ipv4.opt_malformed", &[7, 7, 3, 0, 0, 0, 0, 0]),
        options("ipv4.opt_pad_required", &[0x94, 4, 0, 0]),
        e("ipv4.pkt_too_small", ether(0x0800, &[0x45; 19])),
        lying("ipv4.trunc_pkt", 3, 200),
        v4("ipv4.unknown_protocol", 99, b""),
        lying("ipv4.wrong_ip_version", 0, 0x65),
        v6("ipv6.data_after_none_header", 59, b"x"),
        dest("ipv6.dstopts_only_padding", pad),
        dest("ipv6.dstopts_unknown_opt", [0x1e, 4, 0, 0, 0, 0]),
        v6("ipv6.exthdr_ah_res_not_null", 51, &[59, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        v6(
            "ipv6.exthdr_dupl_ah",
            51,
            &[[51, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [59, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
        ),
        chain("ipv6.exthdr_dupl_dh", 60, 3),
        v6("ipv6.exthdr_dupl_fh", 44, &[44, 0, 0, 0, 0, 0, 0, 1, 59, 0, 0, 0, 0, 0, 0, 2]),
        chain("ipv6.exthdr_dupl_hh", 0, 2),
        v6("ipv6.exthdr_dupl_rh", 43, &[43, 0, 2, 0, 0, 0, 0, 0, 59, 0, 2, 0, 0, 0, 0, 0]),
        hop("ipv6.exthdr_invalid_optlen", [1, 9, 0, 0, 0, 0]),
        v6("ipv6.exthdr_useless_fh", 44, &[59, 0, 0, 0, 0, 0, 0, 1]),
        v6("ipv6.fh_non_zero_reserved_field", 44, &[59, 7, 0, 0, 0, 0, 0, 1]),
        v6("ipv6.frag_invalid_length", 44, &[17, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0]),
        pieces("ipv6.frag_overlap", vec![piece6(1), piece6(9)]),
        pieces("ipv6.frag_pkt_too_large", vec![piece6(0xfff9)]),
        hop("ipv6.hopopts_only_padding", pad),
        hop("ipv6.hopopts_unknown_opt", [0x1e, 4, 0, 0, 0, 0]),
        v6("ipv6.icmpv4", 1, &icmp(8, 0, [0; 4], b"")),
        v6("ipv6.ipv4_in_ipv6_too_small", 4, &[0x45; 19]),
        v6("ipv6.ipv4_in_ipv6_wrong_version", 4, &[0x65; 20]),
        v6("ipv6.ipv6_in_ipv6_too_small", 41, &[0x60; 39]),
        v6("ipv6.ipv6_in_ipv6_wrong_version", 41, &[0x45; 40]),
        e("ipv6.pkt_too_small", ether(0x86dd, &[0x60; 39])),
        v6("ipv6.rh_type_0", 43, &[59, 0, 0, 0, 0, 0, 0, 0]),
        v6("ipv6.trunc_exthdr", 0, &[59, 1, 0, 0, 0, 0, 0, 0]),
        e("ipv6.trunc_pkt", ether(0x86dd, &ip6(17, &[0; 9])[..48])),
        v6("ipv6.unknown_next_header", 99, b"xx"),
        e("ipv6.wrong_ip_version", ether(0x86dd, &[0x45; 40])),
        hop("ipv6.zero_len_padn", [1, 0, 1, 2, 0, 0]),
    ]
}

fn transports() -> Vec<Row> {
    let sctp =
        |name, vtag: u8, chunks: &[u8]| v4(name, 132, &[&[0, 1, 0, 2, 0, 0, 0, vtag, 0, 0, 0, 0][..], chunks].concat());
    let data = [0, 3, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let with = |options: &[u8]| ether(0x0800, &ip4(6, &tcp(options, b"")));
    let mld = ether(0x86dd, &ip6(58, &icmp(130, 0, [0; 4], b"")));
    vec![
        v4("esp.pkt_too_small", 50, &[0; 7]),
        v4("icmpv4.ipv4_trunc_pkt", 1, &icmp(3, 1, [0; 4], &[0x45; 19])),
        v4("icmpv4.ipv4_unknown_ver", 1, &icmp(3, 1, [0; 4], &[0x65; 20])),
        v4("icmpv4.pkt_too_small", 1, &[0; 7]),
        v4("icmpv4.unknown_code", 1, &icmp(8, 1, [0; 4], b"")),
        v4("icmpv4.unknown_type", 1, &icmp(99, 0, [0; 4], b"")),
        v6("icmpv6.experimentation_type", 58, &icmp(100, 0, [0; 4], b"")),
        v6("icmpv6.ipv6_trunc_pkt", 58, &icmp(1, 0, [0; 4], &[0x60; 39])),
        v6("icmpv6.ipv6_unknown_version", 58, &icmp(1, 0, [0; 4], &[0x45; 40])),
        e("icmpv6.mld_message_with_invalid_hl", mld),
        v6("icmpv6.pkt_too_small", 58, &[0; 7]),
        v6("icmpv6.unassigned_type", 58, &icmp(99, 0, [0; 4], b"")),
        v6("icmpv6.unknown_code", 58, &icmp(128, 1, [0; 4], b"")),
        v6("icmpv6.unknown_type", 58, &icmp(127, 0, [0; 4], b"")),
        v4("igmp.malformed", 2, &[0x22, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 9, 224, 0, 0, 1]),
        v4("igmp.pkt_too_small", 2, &[0; 7]),
        v4("igmp.v3_pkt_too_small", 2, &[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]),
        sctp("sctp.chunk_len_invalid", 7, &[0, 0, 0, 3]),
        sctp("sctp.chunk_too_small", 7, &[0, 0, 0]),
        sctp("sctp.data_with_zero_vtag", 0, &data),
        sctp("sctp.init_chunk_bundled", 0, &[1, 0, 0, 4, 7, 0, 0, 4]),
        sctp("sctp.init_with_non_zero_vtag", 7, &[1, 0, 0, 4]),
        v4("sctp.pkt_too_small", 132, &[0; 11]),
        sctp("sctp.too_many_chunks", 7, &[7, 0, 0, 4].repeat(SCTP_CHUNKS_MAX + 1)),
        sctp("sctp.too_many_data_chunks", 7, &data.repeat(SCTP_CHUNKS_MAX + 1)),
        v4("tcp.hlen_too_small", 6, &[0xf0; 20]),
        v4("tcp.invalid_optlen", 6, &[0; 20]),
        e("tcp.opt_duplicate", with(&[3, 3, 1, 3, 3, 1, 0, 0])),
        e("tcp.opt_invalid_len", with(&[3, 9, 1, 0])),
        v4("tcp.pkt_too_small", 6, &[0; 19]),
        v4("udp.hlen_too_small", 17, &[0; 7]),
        v4("udp.len_invalid", 17, &[0, 1, 0, 2, 0, 7, 0, 0]),
        v4("udp.pkt_too_small", 17, &[0, 1, 0, 2, 0, 9, 0, 0]),
    ]
}

/// Fragments past what is held.
fn ignored(v6: bool) -> Vec<&'static str> {
    let limits = Limits { defrag_fragments_max: 1, ..Limits::default() };
    let mut d = Decoder::new(Settings::default(), &limits);
    let mut last = Vec::new();
    for at in [8u8, 24] {
        let f = match v6 {
            false => ip4_with(17, 9, 0x2000 | u16::from(at / 8), &[], &[0; 8]),
            true => ip6(44, &[&[17, 0, 0, at | 1, 0, 0, 0, 7][..], &[0; 8]].concat()),
        };
        let mut out = PacketList::new();
        d.decode(&frame(&f, LinkType::RAW, 1), 0, &mut out, &mut Counters::default());
        last = names(&out[0].1);
        assert_eq!(out[0].1.exceptions.is_empty(), at == 8);
    }
    last
}

#[test]
fn every_event_is_raised_by_a_frame_of_its_own() {
    let rows: Vec<Row> = [links(), tunnels(), ip(), transports()].concat();
    for (name, link, frames) in &rows {
        let (mut d, mut c, mut seen) = (decoder(), Counters::default(), Vec::new());
        for f in frames {
            let mut out = PacketList::new();
            d.decode(&frame(f, *link, 1), 0, &mut out, &mut c);
            seen.extend(out.iter().flat_map(|(_, p)| names(p)));
        }
        assert!(seen.contains(name), "{name}: {seen:?}");
        let row = usize::from(events::event_by_name(name).unwrap());
        assert!(d.event_counts()[row] > 0, "{name} is not counted");
    }
    assert_eq!(ignored(false), ["ipv4.frag_ignored"]);
    assert_eq!(ignored(true), ["ipv6.frag_ignored"]);
    for event in events::EVENTS {
        let shown = rows.iter().any(|(name, ..)| *name == event.name);
        let unseen = UNSEEN.iter().any(|(name, _)| *name == event.name);
        assert!(shown != unseen || event.name.ends_with("frag_ignored"), "{}", event.name);
    }
}

fn decode<'a>(f: &'a [u8], link: LinkType) -> Vec<Packet<'a>> {
    let mut out = PacketList::new();
    decoder().decode(&frame(f, link, 1), 0, &mut out, &mut Counters::default());
    out.into_iter().map(|(_, p)| p).collect()
}

#[test]
fn malformed_is_followed_invalid_is_not() {
    let option = ether(0x0800, &ip4(6, &tcp(&[3, 9, 1, 0], b"data")));
    let p = &decode(&option, LinkType::ETHERNET)[0];
    assert!(p.flags.malformed && !p.flags.invalid && p.tcp().is_some() && p.payload() == b"data");
    let short = ether(0x0800, &ip4(6, &[0; 19]));
    let p = &decode(&short, LinkType::ETHERNET)[0];
    assert!(p.flags.malformed && p.flags.invalid && p.tcp().is_none() && p.ip.is_some());
    // A header whose options cannot be walked is none at all.
    let broken = ether(0x0800, &ip4_with(6, 1, 0, &[7, 0, 0, 0], &tcp(&[], b"")));
    assert!(decode(&broken, LinkType::ETHERNET)[0].ip.is_none());
}

#[test]
fn events_repeat_and_are_bounded() {
    let twice = ether(0x0800, &ip4_with(17, 1, 0, &[0x82, 2, 0x82, 2, 0, 0, 0, 0], &udp(1, 2, b"")));
    assert_eq!(names(&decode(&twice, LinkType::ETHERNET)[0]), ["ipv4.opt_invalid_len"; 2]);
    let area: Vec<u8> = [1, 0].repeat(30);
    let many = ether(0x86dd, &ip6(0, &[&[59, 7, 0, 0][..], &area].concat()));
    assert_eq!(decode(&many, LinkType::ETHERNET)[0].events.len(), super::packet::EVENTS_MAX);
}

#[test]
fn what_a_tunnel_does_not_carry_after_all_stays_its_payload() {
    let gre = ether(0x0800, &ip4(47, &[&[0, 0, 8, 0][..], &[0x65; 30]].concat()));
    let packets = decode(&gre, LinkType::ETHERNET);
    assert_eq!(packets.len(), 1);
    assert!(!packets[0].flags.carrier && packets[0].exceptions[..] == [Cause::DecodeInvalid]);
    assert_eq!(packets[0].payload(), [0x65; 30]);
    let sound = ether(0x0800, &ip4(47, &[&[0, 0, 8, 0][..], &ip4(17, &udp(1, 2, b"x"))].concat()));
    let packets = decode(&sound, LinkType::ETHERNET);
    assert!(packets.len() == 2 && packets[0].flags.carrier && !packets[1].flags.carrier);
}

#[test]
fn tags_past_the_third_do_not_hide_a_packet() {
    let inner = ip4(17, &udp(7, 8, b"deep"));
    let f = ether(0x88a8, &tag(1, 0x8100, &tag(2, 0x8100, &tag(3, 0x8100, &tag(4, 0x8100, &tag(5, 0x0800, &inner))))));
    let p = &decode(&f, LinkType::ETHERNET)[0];
    assert_eq!((p.vlan.ids(), p.payload()), (&[1, 2, 3][..], &b"deep"[..]));
    assert_eq!(names(p), ["vlan.too_many_layers"]);
}

#[test]
fn sctp_payload_is_its_first_message() {
    let data = |m: &[u8]| [&[0, 3, 0, (16 + m.len()) as u8][..], &[0; 12], m].concat();
    let header = [0, 1, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0];
    let f = ip4(132, &[&header[..], &[7, 0, 0, 4], &data(b"one!"), &data(b"two!")].concat());
    let p = &decode(&f, LinkType::RAW)[0];
    let L4::Sctp { vtag: 7, count: 3, chunks, .. } = p.l4 else { panic!("{:?}", p.l4) };
    assert_eq!((p.payload(), chunks.len()), (&b"one!"[..], 44));
    // What follows a sound chunk and is broken does not take it away: receivers keep it.
    let f = ip4(132, &[&header[..], &data(b"kept"), &[0, 0, 0, 1]].concat());
    let p = &decode(&f, LinkType::RAW)[0];
    assert_eq!((p.payload(), p.flags.invalid), (&b"kept"[..], false));
}

#[test]
fn a_datagram_keeps_the_link_it_came_by() {
    let segment = tcp(&[], &[0x55; 40]);
    let link = |frag: u16, body: &[u8]| ether(0x8100, &tag(9, 0x0800, &ip4_with(6, 3, frag, &[], body)));
    let (first, last) = (link(0x2000, &segment[..24]), link(3, &segment[24..]));
    let (mut d, mut c) = (decoder(), Counters::default());
    let mut out = PacketList::new();
    d.decode(&frame(&last, LinkType::ETHERNET, 1), 0, &mut out, &mut c);
    d.decode(&frame(&first, LinkType::ETHERNET, 1), 1, &mut out, &mut c);
    let whole = &out[2].1;
    assert_eq!(whole.bytes.as_slice()[..18], first[..18]);
    assert_eq!((whole.payload(), whole.vlan.ids(), whole.l4_checksum_ok()), (&[0x55; 40][..], &[9][..], Some(true)));
    assert!(out[1].1.flags.carrier, "inspected as the datagram, not twice");
}

#[test]
fn a_chain_of_datagrams_in_datagrams_ends() {
    // Each datagram holds a fragment that completes the next.
    let mut settings = Settings::default();
    settings.defrag.use_depth = false;
    let (mut d, mut c) = (Decoder::new(settings, &Limits::default()), Counters::default());
    let mut inner = ip4(17, &udp(1, 2, b"x"));
    for id in 0..200u16 {
        let (head, tail) = inner.split_at(16);
        let first = ip4_with(4, id, 0x2000, &[], head);
        d.decode(&frame(&first, LinkType::RAW, 1), 0, &mut PacketList::new(), &mut c);
        inner = ip4_with(4, id, 2, &[], tail);
    }
    let mut out = PacketList::new();
    d.decode(&frame(&inner, LinkType::RAW, 1), 0, &mut out, &mut c);
    assert_eq!(out.len(), PACKETS_MAX);
    assert_eq!(names(&out.last().unwrap().1), ["too_many_layers"]);
}
