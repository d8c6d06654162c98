//! Frames built layer by layer, decoded, and their packets looked at; every truncation and every flipped bit of them too.

use super::context::check;
use super::*;
use crate::types::{IpProto, Timestamp};
use crate::wire::checksum;
use std::net::IpAddr;

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];

pub(super) fn ether(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    f.extend(kind.to_be_bytes());
    f.extend(body);
    f
}

pub(super) fn tag(id: u16, kind: u16, body: &[u8]) -> Vec<u8> {
    let mut f = id.to_be_bytes().to_vec();
    f.extend(kind.to_be_bytes());
    f.extend(body);
    f
}

/// An IPv4 packet with right checksums; `frag` as on the wire.
pub(super) fn ip4_with(proto: u8, id: u16, frag: u16, options: &[u8], body: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut f = vec![0x40 | (header_len / 4) as u8, 0];
    f.extend(((header_len + body.len()) as u16).to_be_bytes());
    f.extend(id.to_be_bytes());
    f.extend(frag.to_be_bytes());
    f.extend([64, proto, 0, 0]);
    f.extend(A);
    f.extend(B);
    f.extend(options);
    let sum = checksum::plain(&f).to_be_bytes();
    f[10..12].copy_from_slice(&sum);
    f.extend(body);
    f
}

pub(super) fn ip4(proto: u8, body: &[u8]) -> Vec<u8> {
    ip4_with(proto, 7, 0x4000, &[], body)
}

pub(super) fn ip6(next: u8, body: &[u8]) -> Vec<u8> {
    let mut f = vec![0x61, 0x20, 0, 5];
    f.extend((body.len() as u16).to_be_bytes());
    f.extend([next, 64]);
    f.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    f.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    f.extend(body);
    f
}

fn v4() -> (IpAddr, IpAddr) {
    (IpAddr::from(A), IpAddr::from(B))
}

pub(super) fn tcp(options: &[u8], body: &[u8]) -> Vec<u8> {
    let mut f = vec![0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2];
    f.extend([((20 + options.len()) / 4 * 16) as u8, TcpFlags::ACK | TcpFlags::PSH, 0x20, 0, 0, 0, 0, 0]);
    f.extend(options);
    f.extend(body);
    let sum = checksum::transport(v4().0, v4().1, 6, &f).to_be_bytes();
    f[16..18].copy_from_slice(&sum);
    f
}

pub(super) fn udp(sport: u16, dport: u16, body: &[u8]) -> Vec<u8> {
    let mut f = sport.to_be_bytes().to_vec();
    f.extend(dport.to_be_bytes());
    f.extend(((8 + body.len()) as u16).to_be_bytes());
    f.extend([0, 0]);
    f.extend(body);
    f
}

pub(super) fn icmp(kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut f = vec![kind, code, 0, 0];
    f.extend(rest);
    f.extend(body);
    let sum = checksum::plain(&f).to_be_bytes();
    f[2..4].copy_from_slice(&sum);
    f
}

pub(super) fn frame(data: &[u8], link: LinkType, secs: u64) -> Frame<'_> {
    Frame { ts: Timestamp::from_secs(secs), number: 1, link, port: PortId(0), data, wire_len: data.len() as u32 }
}

pub(super) fn decoder() -> Decoder {
    Decoder::new(Settings::default(), &Limits::default())
}

fn decode_as(data: &[u8], link: LinkType) -> Vec<Packet<'_>> {
    let mut out = Vec::new();
    decoder().decode(&frame(data, link, 1), 3, &mut out, &mut Counters::default());
    out.iter().for_each(|(i, p)| {
        assert_eq!(*i, 3);
        check(p);
    });
    out.into_iter().map(|(_, p)| p).collect()
}

fn decode(data: &[u8]) -> Vec<Packet<'_>> {
    decode_as(data, LinkType::ETHERNET)
}

pub(super) fn names(p: &Packet<'_>) -> Vec<&'static str> {
    p.events.iter().map(|e| events::event(*e).unwrap().name).collect()
}

#[test]
fn plain_tcp() {
    let f = ether(0x0800, &ip4(6, &tcp(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8], b"hello")));
    let p = &decode(&f)[0];
    assert!(p.events.is_empty() && p.flags == PacketFlags::default(), "{:?} {:?}", names(p), p.flags);
    assert_eq!(p.ether.unwrap().ether_type, 0x0800);
    assert_eq!((p.tuple.sport, p.tuple.dport, p.tuple.proto), (12345, 80, IpProto::TCP));
    assert_eq!((p.src(), p.dst()), v4());
    let t = p.tcp().unwrap();
    assert_eq!((t.seq, t.ack, t.window, t.timestamps), (1, 2, 0x2000, Some((9, 8))));
    assert!(t.flags.has(TcpFlags::ACK) && !t.flags.any(TcpFlags::SYN));
    assert_eq!(p.payload(), b"hello");
    assert_eq!((p.ip_checksum_ok(), p.l4_checksum_ok()), (Some(true), Some(true)));
}

#[test]
fn padding_is_not_payload() {
    let mut f = ether(0x0800, &ip4(6, &tcp(&[], b"x")));
    f.extend([0; 40]);
    assert_eq!(decode(&f)[0].payload(), b"x");
    let mut datagram = udp(1, 2, b"abc");
    datagram.extend(b"trailer");
    let f = ether(0x0800, &ip4(17, &datagram));
    assert_eq!(decode(&f)[0].payload(), b"abc");
}

#[test]
fn tcp_options() {
    let syn = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 200];
    let f = ether(0x0800, &ip4(6, &tcp(&syn, b"")));
    let p = &decode(&f)[0];
    let t = p.tcp().unwrap();
    assert_eq!((t.mss, t.window_scale, t.sack_permitted, t.timestamps), (Some(1460), Some(14), true, Some((9, 0))));
    assert!(p.events.is_empty());
    for (options, event) in [
        (&[3, 3, 1, 3, 3, 2, 0, 0][..], "tcp.opt_duplicate"),
        (&[2, 3, 1, 0], "tcp.opt_invalid_len"),
        (&[2, 9, 1, 0], "tcp.opt_invalid_len"),
    ] {
        assert_eq!(names(&decode(&ether(0x0800, &ip4(6, &tcp(options, b""))))[0]), [event], "{options:?}");
    }
}

#[test]
fn wrong_checksums_are_flagged_only_when_asked() {
    let mut f = ether(0x0800, &ip4(6, &tcp(&[], b"hello")));
    *f.last_mut().unwrap() ^= 1;
    let p = &decode(&f)[0];
    assert!(p.flags.checksum_bad && !p.flags.invalid);
    assert_eq!(p.l4_checksum_ok(), Some(false));
    let mut out = Vec::new();
    let settings = Settings { verify_checksums: false, ..Settings::default() };
    let mut d = Decoder::new(settings, &Limits::default());
    d.decode(&frame(&f, LinkType::ETHERNET, 1), 0, &mut out, &mut Counters::default());
    assert!(!out[0].1.flags.checksum_bad);
}

#[test]
fn vlan_stacks() {
    let inner = ip4(17, &udp(1, 2, b"x"));
    let f = ether(0x88a8, &tag(100, 0x8100, &tag(200, 0x8100, &tag(300, 0x0800, &inner))));
    let p = &decode(&f)[0];
    assert_eq!(p.vlan.ids(), [100, 200, 300]);
    assert_eq!(p.payload(), b"x");
    let f = ether(0x8100, &tag(1, 0x8100, &tag(2, 0x8100, &tag(3, 0x8100, &tag(4, 0x0800, &inner)))));
    assert_eq!(names(&decode(&f)[0]), ["vlan.too_many_layers"]);
}

#[test]
fn link_types() {
    let inner = ip4(17, &udp(5, 6, b"x"));
    let with = |head: &[u8]| [head, &inner].concat();
    let sll: Vec<u8> = [&[0u8; 14][..], &[8, 0]].concat();
    let sll2: Vec<u8> = [&[8u8, 0][..], &[0; 18]].concat();
    let wifi: Vec<u8> = [&[8u8, 2, 0, 0][..], &[7; 20], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat();
    let radiotap: Vec<u8> = [&[0u8, 0, 8, 0, 0, 0, 0, 0][..], &wifi].concat();
    for (link, data) in [
        (LinkType::RAW, with(&[])),
        (LinkType::RAW_12, with(&[])),
        (LinkType::IPV4, with(&[])),
        (LinkType::NULL, with(&[2, 0, 0, 0])),
        (LinkType::NULL, with(&[0, 0, 0, 2])),
        (LinkType::LOOP, with(&[0, 0, 0, 2])),
        (LinkType::PPP, with(&[0xff, 3, 0, 0x21])),
        (LinkType::PPP, with(&[0x21])),
        (LinkType::C_HDLC, with(&[0x0f, 0, 8, 0])),
        (LinkType::LINUX_SLL, with(&sll)),
        (LinkType::LINUX_SLL2, with(&sll2)),
        (LinkType::IEEE802_11, with(&wifi)),
        (LinkType::IEEE802_11_RADIOTAP, with(&radiotap)),
    ] {
        let p = &decode_as(&data, link)[0];
        assert_eq!((p.tuple.sport, p.payload()), (5, &b"x"[..]), "{link:?}");
        assert!(p.events.is_empty(), "{link:?}: {:?}", names(p));
    }
    for ty in [0x8847, 0x8848] {
        let f = ether(ty, &with(&[0, 1, 0, 64, 0, 2, 1, 64]));
        assert_eq!(decode(&f)[0].tuple.dport, 6, "mpls");
    }
    let f = ether(0x8864, &[&[0x11, 0, 0, 1, 0, (inner.len() + 2) as u8, 0, 0x21][..], &inner].concat());
    assert_eq!(decode(&f)[0].tuple.dport, 6, "pppoe");
    let snap = ether(36, &with(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]));
    assert_eq!(decode(&snap)[0].tuple.dport, 6, "snap");
}

#[test]
fn ipv6_extension_headers() {
    let chain = [&[60, 0, 5, 2, 0, 0, 1, 0][..], &[6, 0, 1, 4, 0, 0, 0, 0], &tcp(&[], b"hi")].concat();
    let f = ether(0x86dd, &ip6(0, &chain));
    let p = &decode(&f)[0];
    assert_eq!((p.tuple.dport, p.payload()), (80, &b"hi"[..]));
    let Some(IpHeader::V6 { header, proto, flow_label, traffic_class, fragmented, .. }) = p.ip else { panic!() };
    assert_eq!((header.len(), proto, flow_label, traffic_class, fragmented), (56, IpProto::TCP, 5, 0x12, false));
    assert_eq!(names(p), ["ipv6.zero_len_padn", "ipv6.dstopts_only_padding"]);
}

#[test]
fn ipv4_options() {
    let with = |options: &[u8]| {
        let f = ether(0x0800, &ip4_with(17, 1, 0, options, &udp(1, 2, b"x")));
        let p = &decode(&f)[0];
        assert_eq!(p.payload(), b"x", "the walk does not stop the packet");
        names(p)
    };
    assert!(with(&[7, 7, 4, 0, 0, 0, 0, 0]).is_empty());
    assert!(with(&[0x94, 4, 0, 0, 0, 0, 0, 0]).is_empty());
    assert_eq!(with(&[0x94, 4, 0, 0]), ["ipv4.opt_pad_required"]);
    assert_eq!(with(&[0x94, 4, 0, 0, 0x94, 4, 0, 0]), ["ipv4.opt_duplicate"]);
    assert_eq!(with(&[7, 7, 3, 0, 0, 0, 0, 0]), ["ipv4.opt_malformed"]);
    assert_eq!(with(&[68, 8, 9, 1, 0, 0, 0, 0]), ["ipv4.opt_malformed"]);
    assert_eq!(with(&[99, 4, 0, 0, 1, 1, 1, 0]), ["ipv4.opt_invalid"]);
    assert_eq!(with(&[1, 1, 1, 1, 1, 1, 1, 7]), ["ipv4.opt_eol_required"]);
}

#[test]
fn icmp_codes() {
    for (kind, code, event) in [
        (3, 15, None),
        (3, 16, Some("icmpv4.unknown_code")),
        (8, 1, Some("icmpv4.unknown_code")),
        (10, 0, Some("icmpv4.unknown_type")),
    ] {
        let f = ether(0x0800, &ip4(1, &icmp(kind, code, [0; 4], b"")));
        assert_eq!(names(&decode(&f)[0]), Vec::from_iter(event), "{kind}/{code}");
    }
    for (kind, code, event) in [
        (1, 7, Some("icmpv6.unknown_code")),
        (99, 0, Some("icmpv6.unassigned_type")),
        (100, 0, Some("icmpv6.experimentation_type")),
        (127, 0, Some("icmpv6.unknown_type")),
        (130, 0, Some("icmpv6.mld_message_with_invalid_hl")),
        (135, 0, None),
    ] {
        let f = ether(0x86dd, &ip6(58, &icmp(kind, code, [0; 4], &ip6(17, b""))));
        assert_eq!(names(&decode(&f)[0]), Vec::from_iter(event), "{kind}/{code}");
    }
}

#[test]
fn a_jumbogram_length_hides_nothing() {
    let mut datagram = udp(1, 2, b"payload");
    datagram[4..6].copy_from_slice(&[0, 0]);
    let f = ether(0x86dd, &ip6(17, &datagram));
    let p = &decode(&f)[0];
    assert_eq!((p.payload(), names(p)), (&b"payload"[..], vec!["udp.len_invalid"]));
}

#[test]
fn icmp_errors_quote() {
    let quoted = ip4(6, &[0x12, 0x34, 0, 80, 0, 0, 0, 0]);
    let f = ether(0x0800, &ip4(1, &icmp(3, 1, [0; 4], &quoted)));
    let p = &decode(&f)[0];
    let L4::Icmp4 { kind: 3, code: 1, id_seq: None, embedded: Some(t), .. } = p.l4 else { panic!("{:?}", p.l4) };
    assert_eq!((t.sport, t.dport, t.proto), (0x1234, 80, IpProto::TCP));
    let f = ether(0x0800, &ip4(1, &icmp(8, 0, [0, 1, 0, 2], b"ping")));
    let p = &decode(&f)[0];
    assert!(matches!(p.l4, L4::Icmp4 { id_seq: Some((1, 2)), embedded: None, .. }));
    assert_eq!(p.payload(), b"ping");
}

#[test]
fn tunnels() {
    let deep = ip4(17, &udp(53, 5353, b"deep"));
    let deep6 = ip6(17, &udp(53, 5353, b"deep"));
    let deep_ether = ether(0x0800, &deep);
    let gre = |flags: [u8; 2], kind: u16, rest: &[u8]| ip4(47, &[&flags[..], &kind.to_be_bytes(), rest].concat());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("ipip", ip4(4, &deep)),
        ("6in4", ip4(41, &deep6)),
        ("4in6", ip6(4, &deep)),
        ("6in6", ip6(41, &deep6)),
        ("gre", gre([0, 0], 0x0800, &deep)),
        ("gre with key and sequence", gre([0x30, 0], 0x86dd, &[&[0; 8][..], &deep6].concat())),
        ("gre bridge", gre([0, 0], 0x6558, &deep_ether)),
        ("pptp", gre([0x30, 0x81], 0x880b, &[&[0, 9][..], &[0; 10], &[0xff, 3, 0, 0x21], &deep].concat())),
        ("erspan 1", gre([0, 0], 0x88be, &deep_ether)),
        ("erspan 2", gre([0x10, 0], 0x88be, &[&[0; 4][..], &[0x10, 5, 0, 0, 0, 0, 0, 0], &deep_ether].concat())),
        ("vxlan", ip4(17, &udp(9, 4789, &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &deep_ether].concat()))),
        ("geneve", ip4(17, &udp(9, 6081, &[&[1, 0, 0x65, 0x58, 0, 0, 1, 0][..], &[0; 4], &deep_ether].concat()))),
        ("teredo", ip4(17, &udp(9, 3544, &deep6))),
        ("teredo with origin", ip4(17, &udp(3544, 9, &[&[0; 8][..], &deep6].concat()))),
    ];
    for (name, bytes) in &cases {
        let kind = if bytes[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
        let f = ether(kind, bytes);
        let packets = decode(&f);
        assert_eq!(packets.len(), 2, "{name}: {:?}", packets.iter().map(names).collect::<Vec<_>>());
        let inner = &packets[1];
        assert_eq!((inner.tuple.sport, inner.payload()), (53, &b"deep"[..]), "{name}");
        assert!(inner.flags.tunnelled && inner.depth == 1 && !packets[0].flags.tunnelled, "{name}");
        assert!(packets.iter().all(|p| p.events.is_empty()), "{name}: {:?}", names(inner));
    }
}

#[test]
fn layers_are_bounded() {
    let mut f = ip4(17, &udp(1, 2, b"x"));
    for _ in 0..40 {
        f = ip4(4, &f);
    }
    let f = ether(0x0800, &f);
    let packets = decode(&f);
    assert!(packets.len() <= Limits::default().decode_layers_max);
    assert_eq!(names(packets.last().unwrap()), ["too_many_layers"]);
}

#[test]
fn short_and_lying_headers() {
    let lying = |at: usize, to: u8| {
        let mut f = ip4(17, &udp(1, 2, b"x"));
        f[at] = to;
        ether(0x0800, &f)
    };
    for (frame, event) in [
        (vec![0; 13], "ethernet.pkt_too_small"),
        (ether(0x0800, &[0x45; 19]), "ipv4.pkt_too_small"),
        (lying(0, 0x65), "ipv4.wrong_ip_version"),
        (lying(0, 0x44), "ipv4.hlen_too_small"),
        (lying(3, 19), "ipv4.iplen_smaller_than_hlen"),
        (lying(3, 200), "ipv4.trunc_pkt"),
        (lying(25, 200), "udp.pkt_too_small"),
        (lying(25, 7), "udp.len_invalid"),
        (ether(0x86dd, &[0x60; 39]), "ipv6.pkt_too_small"),
        (ether(0x86dd, &ip6(44, &[17, 0, 0])), "ipv6.trunc_exthdr"),
        (ether(0x0800, &ip4(6, &[0; 19])), "tcp.pkt_too_small"),
        (ether(0x0800, &ip4(6, &[0; 20])), "tcp.invalid_optlen"),
        (ether(0x0800, &ip4(6, &[0xf0; 20])), "tcp.hlen_too_small"),
        (ether(0x0800, &ip4_with(17, 1, 0, &[7, 0, 0, 0, 0, 0, 0, 0], &[])), "ipv4.opt_invalid_len"),
        (ether(0x0800, &ip4(1, &[0; 7])), "icmpv4.pkt_too_small"),
        (ether(0x0800, &ip4(58, &[0; 8])), "ipv4.icmpv6"),
    ] {
        let p = &decode(&frame)[0];
        assert_eq!(names(p), [event]);
        assert!(p.flags.malformed, "{event}");
        assert!(p.flags.invalid || event == "ipv4.icmpv6", "{event}");
    }
    let f = ether(0x4242, &[0; 50]);
    assert_eq!(names(&decode(&f)[0]), ["ethernet.unknown_ethertype"]);
}

/// One frame of each kind.
fn samples() -> Vec<(LinkType, Vec<u8>)> {
    let deep = ether(0x0800, &ip4(6, &tcp(&[2, 4, 5, 180, 4, 2, 3, 3, 9, 0, 0, 0], b"deep")));
    let deep6 = ip6(0, &[&[58, 0, 5, 2, 0, 0, 1, 0][..], &icmp(128, 0, [0; 4], b"ping6")].concat());
    let record_route = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut all = vec![
        deep.clone(),
        ether(0x8100, &tag(5, 0x88a8, &tag(6, 0x0800, &ip4_with(6, 1, 0, &record_route, &tcp(&[], b"x"))))),
        ether(0x0800, &ip4(17, &udp(9, 4789, &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &deep].concat()))),
        ether(0x0800, &ip4(17, &udp(9, 6081, &[&[1, 0, 0x65, 0x58, 0, 0, 1, 0][..], &[0; 4], &deep].concat()))),
        ether(0x0800, &ip4(17, &udp(9, 3544, &deep6))),
        ether(0x0800, &ip4(47, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 0, 0x10, 5, 0, 0, 0, 0, 0, 0][..], &deep].concat())),
        ether(
            0x0800,
            &ip4(47, &[&[0x40, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0][..], &deep6].concat()),
        ),
        ether(
            0x0800,
            &ip4(
                132,
                &[0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ),
        ),
        ether(0x0800, &ip4(2, &[0x22, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 224, 0, 0, 1, 10, 0, 0, 9])),
        ether(0x86dd, &ip6(44, &[&[17, 0, 0, 1, 0, 0, 0, 9][..], &[0x55; 16]].concat())),
        ether(0x86dd, &ip6(58, &icmp(1, 0, [0; 4], &deep6))),
        ether(0x86dd, &ip6(43, &[&[51, 2, 0, 0][..], &[0; 20], &[17, 4, 0, 0], &[0; 20], &udp(1, 2, b"z")].concat())),
        ether(0x8847, &[&[0, 1, 1, 64, 0, 0, 0, 0][..], &deep].concat()),
        ether(0x8863, &[0x11, 9, 0, 0, 0, 8, 1, 1, 0, 0, 1, 3, 0, 0]),
        ether(0x0806, &[&[0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 20]].concat()),
        ether(0x88e7, &[&[0u8; 16][..], &[8, 0], &ip4(17, &udp(1, 2, b"ah"))].concat()),
        ether(0x8926, &[&[0u8, 0, 0, 0, 8, 0][..], &ip4(17, &udp(1, 2, b"vn"))].concat()),
        ether(0x894f, &[&[0u8, 6, 1, 3][..], &[0; 20], &deep].concat()),
    ];
    let mut with_link: Vec<(LinkType, Vec<u8>)> = all.drain(..).map(|f| (LinkType::ETHERNET, f)).collect();
    with_link.push((LinkType::PPP, [&[0xff, 3, 0, 0x57][..], &deep6].concat()));
    with_link.push((
        LinkType::IEEE802_11,
        [&[0x88u8, 3, 0, 0][..], &[7; 28], &[0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd], &deep6].concat(),
    ));
    with_link
}

#[test]
fn every_truncation_and_flipped_bit_decodes() {
    for (link, sample) in samples() {
        let mut d = decoder();
        let mut counters = Counters::default();
        let mut run = |data: &[u8]| {
            let mut out = Vec::new();
            d.decode(&frame(data, link, 1), 0, &mut out, &mut counters);
            assert!(!out.is_empty());
            out.iter().for_each(|(_, p)| check(p));
        };
        for n in 0..=sample.len() {
            run(&sample[..n]);
        }
        for bit in 0..sample.len() * 8 {
            let mut f = sample.clone();
            f[bit / 8] ^= 1 << (bit % 8);
            run(&f);
        }
    }
}

#[test]
fn fuzz_targets_take_anything() {
    let mut seed = 1u64;
    for round in 0..200 {
        let bytes: Vec<u8> = (0..round * 9)
            .map(|_| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (seed >> 33) as u8
            })
            .collect();
        fuzz_target(&bytes);
        fuzz_defrag(&bytes);
    }
}

/// Length on the wire and bytes.
type Captured<'a> = (u32, &'a [u8]);

/// A classic pcap's link type and frames; `None` for other formats.
fn read_pcap(bytes: &[u8]) -> Option<(LinkType, Vec<Captured<'_>>)> {
    let big = match bytes.first_chunk::<4>()? {
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => false,
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => true,
        _ => return None,
    };
    let word = |at: usize| {
        let b = *bytes.get(at..)?.first_chunk()?;
        Some(if big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    };
    let (link, mut at, mut frames) = (LinkType(word(20)? & 0xffff), 24, Vec::new());
    while let (Some(len), Some(wire)) = (word(at + 8), word(at + 12)) {
        let Some(data) = bytes.get(at + 16..at + 16 + len as usize) else { break };
        frames.push((wire.max(len), data));
        at += 16 + len as usize;
    }
    Some((link, frames))
}

#[test]
fn every_capture_decodes_also_damaged() {
    let Some(root) = std::env::var_os("STOPGAP_DATA") else {
        eprintln!("skipped: STOPGAP_DATA is not set");
        return;
    };
    let (mut folders, mut files) = (vec![std::path::PathBuf::from(root)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "pcap") {
                files.push(path);
            }
        }
    }
    let (mut d, mut counters, mut seed) = (decoder(), Counters::default(), 1u64);
    let (mut out, mut number) = (Vec::new(), 0);
    for path in &files {
        let bytes = std::fs::read(path).unwrap();
        let Some((link, frames)) = read_pcap(&bytes) else { continue };
        // A bounded part of the large captures: what they repeat is not what this test is for.
        for (wire_len, data) in frames.into_iter().take(2_000) {
            number += 1;
            let mut run = |data: &[u8]| {
                let frame =
                    Frame { ts: Timestamp::from_secs(number / 1_000), number, link, port: PortId(0), data, wire_len };
                let mut out = Vec::new();
                d.decode(&frame, 0, &mut out, &mut counters);
                out.iter().for_each(|(_, p)| check(p));
                out.len()
            };
            out.push(run(data));
            let mut damaged = data.to_vec();
            for _ in 0..2 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let head = damaged.len().min(96);
                if let Some(b) = damaged.get_mut((seed >> 40) as usize % head.max(1)) {
                    *b ^= 1 << (seed >> 37 & 7);
                }
            }
            run(&damaged);
            run(&data[..(seed >> 33) as usize % (data.len() + 1)]);
        }
    }
    assert!(number > 0 && out.iter().all(|n| *n > 0));
    eprintln!("{number} frames of {} captures", files.len());
}
