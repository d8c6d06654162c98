use super::*;
use crate::decode::{Bytes, EtherHeader, Frame, IpHeader, L4, LinkType, Packet, PortId, Span, TcpFlags, TcpHeader};
use crate::types::{FiveTuple, IpProto, RejectTarget, Timestamp};
use std::net::IpAddr;

const CLIENT4: &str = "10.0.0.1";
const SERVER4: &str = "10.0.0.2";
const CLIENT6: &str = "2001:db8::1";
const SERVER6: &str = "2001:db8::2";

fn ip(s: &str) -> IpAddr {
    s.parse().unwrap()
}

fn frame(link: LinkType, data: &[u8]) -> Frame<'_> {
    Frame { ts: Timestamp::ZERO, number: 1, link, port: PortId(0), data, wire_len: data.len() as u32 }
}

/// Link header, IP header and message, with right checksums.
fn build(link: &[u8], src: &str, dst: &str, proto: u8, message: &[u8], sum_at: Option<usize>) -> Vec<u8> {
    let (src, dst) = (ip(src), ip(dst));
    let mut message = message.to_vec();
    if let Some(at) = sum_at {
        let icmp4 = proto == 1;
        let sum = if icmp4 { checksum::plain(&message) } else { checksum::transport(src, dst, proto, &message) };
        message[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let mut out = link.to_vec();
    match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let mut h = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 63, proto, 0, 0];
            h[2..4].copy_from_slice(&(20 + message.len() as u16).to_be_bytes());
            h.extend(s.octets());
            h.extend(d.octets());
            let sum = checksum::plain(&h);
            h[10..12].copy_from_slice(&sum.to_be_bytes());
            out.extend(h);
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            out.extend([0x60, 0, 0, 0]);
            out.extend((message.len() as u16).to_be_bytes());
            out.extend([proto, 63]);
            out.extend(s.octets());
            out.extend(d.octets());
        }
        _ => panic!("mixed families"),
    }
    out.extend(message);
    out
}

fn tcp_message(flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let mut b = vec![4, 1, 0, 80];
    b.extend(seq.to_be_bytes());
    b.extend(ack.to_be_bytes());
    b.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    b.extend(payload);
    b
}

fn udp_message(payload: &[u8]) -> Vec<u8> {
    let mut b = vec![4, 1, 0, 53, 0, 8 + payload.len() as u8, 0, 0];
    b.extend(payload);
    b
}

/// A packet over `data` whose link header is `link` bytes; enough of decoding for these tests.
fn packet<'a>(f: &Frame<'a>, link: usize, src: &str, dst: &str, proto: IpProto) -> Packet<'a> {
    let mut p = Packet::new(f);
    let v4 = ip(src).is_ipv4();
    let l4 = link + if v4 { 20 } else { 40 };
    let header = Span::new(link, l4);
    p.ip = Some(if v4 {
        IpHeader::V4 { header, tos: 0, total_len: 0, id: 0, frag: 0, ttl: 63, proto }
    } else {
        let fragmented = false;
        IpHeader::V6 { header, traffic_class: 0, flow_label: 0, payload_len: 0, hop_limit: 63, proto, fragmented }
    });
    let end = f.data.len();
    let word = |at: usize| u32::from_be_bytes(f.data[at..at + 4].try_into().unwrap());
    let ports = matches!(proto, IpProto::TCP | IpProto::UDP);
    let (sport, dport) = if ports { ((word(l4) >> 16) as u16, word(l4) as u16) } else { (0, 0) };
    p.tuple = FiveTuple { src: ip(src), dst: ip(dst), sport, dport, proto };
    let (len, l4_value) = match proto {
        IpProto::TCP => {
            let flags = TcpFlags(f.data[l4 + 13]);
            let (header, seq, ack) = (Span::new(l4, l4 + 20), word(l4 + 4), word(l4 + 8));
            (20, L4::Tcp(TcpHeader { header, seq, ack, flags, ..TcpHeader::default() }))
        }
        IpProto::UDP => (8, L4::Udp { header: Span::new(l4, l4 + 8) }),
        IpProto::ICMP | IpProto::ICMPV6 => {
            let (kind, code) = (f.data[l4], f.data[l4 + 1]);
            let header = Span::new(l4, l4 + 8);
            let l4 = if v4 {
                L4::Icmp4 { header, kind, code, id_seq: None, embedded: None }
            } else {
                L4::Icmp6 { header, kind, code, id_seq: None, embedded: None }
            };
            (8, l4)
        }
        _ => (0, L4::Other),
    };
    p.l4 = l4_value;
    p.payload = Span::new(l4 + len, end);
    p.ether = (link >= 14).then_some(EtherHeader { dst: [0; 6], src: [0; 6], ether_type: 0, header: Span::default() });
    p
}

/// Checks every checksum and length of an IP packet; gives source, destination, protocol, message.
fn verify(b: &[u8]) -> (IpAddr, IpAddr, u8, Vec<u8>) {
    let (src, dst, proto, message): (IpAddr, IpAddr, u8, &[u8]) = if b[0] >> 4 == 4 {
        assert_eq!(checksum::plain(&b[..20]), 0, "IPv4 header checksum");
        assert_eq!(usize::from(u16::from_be_bytes([b[2], b[3]])), b.len());
        let a = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&b[at..at + 4]).unwrap());
        (a(12), a(16), b[9], &b[20..])
    } else {
        assert_eq!(usize::from(u16::from_be_bytes([b[4], b[5]])) + 40, b.len());
        let a = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&b[at..at + 16]).unwrap());
        (a(8), a(24), b[6], &b[40..])
    };
    let sum = if proto == 1 { checksum::plain(message) } else { checksum::transport(src, dst, proto, message) };
    assert_eq!(sum, 0, "checksum of protocol {proto}");
    (src, dst, proto, message.to_vec())
}

fn word(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(b[at..at + 4].try_into().unwrap())
}

#[test]
fn rfc_1071_example() {
    assert_eq!(checksum::sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], false), 0xddf2);
    assert_eq!(checksum::sum(&[0xab], false), 0xab00);
    assert_eq!(checksum::sum(&[0xab, 0xcd], true), 0xcdab);
}

#[test]
fn resets_carry_the_numbers_their_receiver_expects() {
    const A: u8 = TcpFlags::ACK;
    for (client, server) in [(CLIENT4, SERVER4), (CLIENT6, SERVER6)] {
        let seen = |flags, payload: &[u8], target| {
            let message = tcp_message(flags, 1000, 2000, payload);
            let data = build(&[], client, server, 6, &message, Some(16));
            let f = frame(LinkType::RAW, &data);
            reject(&f, &packet(&f, 0, client, server, IpProto::TCP), target)
        };
        let both = seen(A, b"abc", RejectTarget::Both);
        let (src, dst, proto, m) = verify(&both[0].data);
        assert_eq!((src, dst, proto, both[0].port), (ip(server), ip(client), 6, PortId(0)));
        assert_eq!((word(&m, 0), word(&m, 4), word(&m, 8), m[13]), (80 << 16 | 1025, 2000, 0, TcpFlags::RST));
        let (src, dst, _, m) = verify(&both[1].data);
        assert_eq!((src, dst, both[1].port), (ip(client), ip(server), PortId(1)));
        assert_eq!((word(&m, 0), word(&m, 4), word(&m, 8), m[13]), (1025 << 16 | 80, 1000, 2000, TcpFlags::RST | A));
        // A SYN with data: both count.
        let syn = seen(TcpFlags::SYN, b"abc", RejectTarget::Source);
        let (_, _, _, m) = verify(&syn[0].data);
        assert_eq!((word(&m, 4), word(&m, 8), m[13]), (0, 1004, TcpFlags::RST | A));
        assert!(seen(TcpFlags::RST, b"", RejectTarget::Both).is_empty());
        assert!(seen(TcpFlags::RST | A, b"", RejectTarget::Both).is_empty());
    }
}

#[test]
fn ethernet_is_mirrored_with_its_tags() {
    let tagged = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x88, 0xa8, 0, 5, 0x81, 0, 0x20, 7, 8, 0];
    let data = build(&tagged, CLIENT4, SERVER4, 6, &tcp_message(TcpFlags::ACK, 1, 2, b""), Some(16));
    let f = frame(LinkType::ETHERNET, &data);
    let both = reject(&f, &packet(&f, tagged.len(), CLIENT4, SERVER4, IpProto::TCP), RejectTarget::Both);
    assert_eq!(both[0].data[..6], [2; 6]);
    assert_eq!(both[0].data[6..12], [1; 6]);
    assert_eq!(both[0].data[12..22], tagged[12..]);
    assert_eq!(both[1].data[..22], tagged);
    verify(&both[0].data[22..]);
}

#[test]
fn pppoe_counts_the_reply_and_mpls_gets_none() {
    let pppoe = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x88, 0x64, 0x11, 0, 0, 9, 0xff, 0xff, 0, 0x21];
    let data = build(&pppoe, CLIENT4, SERVER4, 6, &tcp_message(TcpFlags::ACK, 1, 2, b"long payload"), Some(16));
    let f = frame(LinkType::ETHERNET, &data);
    let replies = reject(&f, &packet(&f, pppoe.len(), CLIENT4, SERVER4, IpProto::TCP), RejectTarget::Source);
    assert_eq!(replies[0].data[14..22], [0x11, 0, 0, 9, 0, 42, 0, 0x21]);
    verify(&replies[0].data[22..]);
    let mpls = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x88, 0x47, 0, 0, 0x11, 64];
    let data = build(&mpls, CLIENT4, SERVER4, 6, &tcp_message(TcpFlags::ACK, 1, 2, b""), Some(16));
    let f = frame(LinkType::ETHERNET, &data);
    assert!(reject(&f, &packet(&f, mpls.len(), CLIENT4, SERVER4, IpProto::TCP), RejectTarget::Both).is_empty());
}

#[test]
fn unreachable_quotes_what_its_receiver_sent() {
    for (client, server, kind, code, most) in [(CLIENT4, SERVER4, 3, 3, 576), (CLIENT6, SERVER6, 1, 4, 1280)] {
        let mut message = udp_message(b"query");
        message.extend([7; 1400]);
        let data = build(&[], client, server, 17, &message, Some(6));
        let f = frame(LinkType::RAW, &data);
        let both = reject(&f, &packet(&f, 0, client, server, IpProto::UDP), RejectTarget::Both);
        let (src, dst, _, m) = verify(&both[0].data);
        assert_eq!((src, dst), (ip(server), ip(client)));
        assert_eq!((m[0], m[1], word(&m, 4)), (kind, code, 0));
        assert_eq!(both[0].data.len(), most);
        assert_eq!(m[8..], data[..m.len() - 8]);
        let (src, dst, _, m) = verify(&both[1].data);
        assert_eq!((src, dst, m[0], m[1]), (ip(client), ip(server), kind, code));
        let (src, dst, proto, udp) = verify(&m[8..]);
        assert_eq!((src, dst, proto), (ip(server), ip(client), 17));
        assert_eq!(word(&udp, 0), 53 << 16 | 1025);
    }
}

#[test]
fn other_protocols_are_prohibited_and_errors_unanswered() {
    let answered = |src, dst, proto: IpProto, message: &[u8], sum| {
        let data = build(&[], src, dst, proto.0, message, sum);
        let f = frame(LinkType::RAW, &data);
        reject(&f, &packet(&f, 0, src, dst, proto), RejectTarget::Both)
            .into_iter()
            .map(|r| verify(&r.data).3[..2].to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(answered(CLIENT4, SERVER4, IpProto::GRE, &[0; 8], None), [[3, 13]]);
    assert_eq!(answered(CLIENT6, SERVER6, IpProto::ESP, &[0; 8], None), [[1, 1]]);
    assert_eq!(answered(CLIENT4, SERVER4, IpProto::ICMP, &[8, 0, 0, 0, 0, 0, 0, 0], Some(2)), [[3, 13]]);
    assert_eq!(answered(CLIENT6, SERVER6, IpProto::ICMPV6, &[128, 0, 0, 0, 0, 0, 0, 0], Some(2)), [[1, 1]]);
    for none in [
        answered(CLIENT4, SERVER4, IpProto::ICMP, &[3, 3, 0, 0, 0, 0, 0, 0], Some(2)),
        answered(CLIENT6, SERVER6, IpProto::ICMPV6, &[1, 4, 0, 0, 0, 0, 0, 0], Some(2)),
        answered(CLIENT6, SERVER6, IpProto::ICMPV6, &[135, 0, 0, 0, 0, 0, 0, 0], Some(2)),
        answered(CLIENT4, "224.0.0.251", IpProto::UDP, &udp_message(b""), Some(6)),
        answered(CLIENT4, "255.255.255.255", IpProto::UDP, &udp_message(b""), Some(6)),
        answered("0.0.0.0", SERVER4, IpProto::UDP, &udp_message(b""), Some(6)),
        answered(CLIENT6, "ff02::fb", IpProto::UDP, &udp_message(b""), Some(6)),
    ] {
        assert!(none.is_empty(), "{none:?}");
    }
}

#[test]
fn no_reply_into_a_tunnel_or_for_a_later_fragment() {
    let data = build(&[], CLIENT4, SERVER4, 17, &udp_message(b""), Some(6));
    let f = frame(LinkType::RAW, &data);
    for set in [|p: &mut Packet<'_>| p.flags.tunnelled = true, |p: &mut Packet<'_>| p.flags.fragment = true] {
        let mut p = packet(&f, 0, CLIENT4, SERVER4, IpProto::UDP);
        set(&mut p);
        assert!(reject(&f, &p, RejectTarget::Both).is_empty());
    }
}

#[test]
fn rewritten_payloads_keep_right_checksums_right() {
    let link = [0; 14];
    for (client, server) in [(CLIENT4, SERVER4), (CLIENT6, SERVER6)] {
        for (proto, message, sum_at) in [
            (IpProto::TCP, tcp_message(TcpFlags::ACK, 1, 2, b"GET /evil HTTP/1.1"), 16),
            (IpProto::UDP, udp_message(b"GET /evil HTTP/1.1"), 6),
        ] {
            let data = build(&link, client, server, proto.0, &message, Some(sum_at));
            let f = frame(LinkType::ETHERNET, &data);
            let p = packet(&f, link.len(), client, server, proto);
            for at in 0..14 {
                let edits = [Edit { at, bytes: b"good" }, Edit { at: at + 2, bytes: b"x" }, Edit { at: 0, bytes: b"" }];
                let mut out = None;
                rewrite(&mut out, &data, &p, &edits).unwrap();
                let new = out.unwrap();
                let (_, _, _, m) = verify(&new[14..]);
                let mut expected = p.payload().to_vec();
                expected[at..at + 4].copy_from_slice(b"goxd");
                assert_eq!(m[m.len() - expected.len()..], expected);
                assert_eq!(new[..14], link);
            }
        }
    }
}

#[test]
fn a_wrong_checksum_stays_wrong_and_an_absent_one_absent() {
    let data = build(&[], CLIENT4, SERVER4, 17, &udp_message(b"abcd"), None);
    let f = frame(LinkType::RAW, &data);
    let mut out = None;
    rewrite(&mut out, &data, &packet(&f, 0, CLIENT4, SERVER4, IpProto::UDP), &[Edit { at: 1, bytes: b"Z" }]).unwrap();
    assert_eq!(out.unwrap()[26..], [0, 0, b'a', b'Z', b'c', b'd']);
    let mut data = build(&[], CLIENT4, SERVER4, 6, &tcp_message(0, 1, 2, b"abcd"), Some(16));
    data[36] ^= 1;
    let f = frame(LinkType::RAW, &data);
    let mut out = None;
    rewrite(&mut out, &data, &packet(&f, 0, CLIENT4, SERVER4, IpProto::TCP), &[Edit { at: 1, bytes: b"Z" }]).unwrap();
    let message = out.unwrap()[20..].to_vec();
    assert_ne!(checksum::transport(ip(CLIENT4), ip(SERVER4), 6, &message), 0);
}

#[test]
fn what_cannot_be_rewritten_says_so() {
    let data = build(&[], CLIENT4, SERVER4, 6, &tcp_message(0, 1, 2, b"abcd"), Some(16));
    let f = frame(LinkType::RAW, &data);
    let p = packet(&f, 0, CLIENT4, SERVER4, IpProto::TCP);
    let mut out = None;
    for at in [1, 4, usize::MAX] {
        assert_eq!(rewrite(&mut out, &data, &p, &[Edit { at, bytes: b"wxyz" }]), Err(Unrewritable::Outside));
    }
    let mut whole = p.clone();
    whole.bytes = Bytes::Reassembled(data.clone().into());
    assert_eq!(rewrite(&mut out, &data, &whole, &[]), Err(Unrewritable::Reassembled));
    let other = data.clone();
    assert_eq!(rewrite(&mut out, &other, &p, &[]), Err(Unrewritable::Outside));
    let mut sctp = p.clone();
    sctp.l4 = L4::Sctp { header: Span::new(20, 32), vtag: 0, chunks: Span::new(32, 32), count: 0 };
    assert_eq!(rewrite(&mut out, &data, &sctp, &[]), Err(Unrewritable::Checksum));
    assert_eq!(out, None);
}

#[test]
fn edits_in_a_tunnel_leave_the_outer_checksum_right() {
    let mut inner = build(&[], CLIENT4, SERVER4, 6, &tcp_message(TcpFlags::ACK, 1, 2, b"evil!"), Some(16));
    // An odd number of bytes before the inner packet: its words straddle those of the outer sum.
    let mut carrier = udp_message(&[0]);
    carrier.append(&mut inner);
    let data = build(&[], CLIENT6, SERVER6, 17, &carrier, Some(6));
    let f = frame(LinkType::RAW, &data);
    let inner_frame = frame(LinkType::RAW, &data[40 + 9..]);
    let mut p = packet(&inner_frame, 0, CLIENT4, SERVER4, IpProto::TCP);
    p.flags.tunnelled = true;
    let mut out = None;
    rewrite(&mut out, f.data, &p, &[Edit { at: 1, bytes: b"XYZ" }]).unwrap();
    let new = out.unwrap();
    let (_, _, _, m) = verify(&new);
    let (_, _, _, tcp) = verify(&m[9..]);
    assert_eq!(tcp[20..], *b"eXYZ!");
}
