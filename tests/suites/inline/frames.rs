//! What traffic is wrapped in, and what is no IP: it arrives as it was sent, tags and all, and attacks within it do not.

use crate::wire::{self, Part, Script, Shape, Step, Wire};
use Part::Decisive;
use harness::case_frames::{self, Wrap};
use harness::craft;
use harness::dialogue::TimedFrame;
use harness::live::{Live, bed};
use harness::netns::{At, Bed, ENDS, PORTS};

/// Hop-by-hop options, destination options, fragment (RFC 8200); TCP.
const HOPS: u8 = 0;
const OPTIONS: u8 = 60;
const FRAGMENT: u8 = 44;
const TCP: u8 = 6;

/// Ethernet and IPv6, before extensions.
const ETHERNET: usize = 14;
const IPV6: usize = 40;

/// The conversation inside this.
fn wrapped(port: u16, word: &str, wrap: Wrap) -> Vec<Step> {
    let step = |s: Step| {
        let frame = TimedFrame { micros: 0, to_server: s.to_server, data: s.frame };
        Step { frame: directed(case_frames::wrap(frame, wrap).data, s.to_server), ..s }
    };
    wire::plain(port, word).into_iter().map(step).collect()
}

/// A tunnel's frame the other way, where it is one of the server's.
fn directed(mut frame: Vec<u8>, to_server: bool) -> Vec<u8> {
    let tunnel = frame[12..14] == [8, 0] && matches!(frame[23], 17 | 47);
    if tunnel && !to_server {
        let (to, from) = (frame[..6].to_vec(), frame[6..12].to_vec());
        frame[..12].copy_from_slice(&[from, to].concat());
        let (src, dst) = (frame[26..30].to_vec(), frame[30..34].to_vec());
        frame[26..34].copy_from_slice(&[dst, src].concat());
    }
    frame
}

/// An IPv4 frame's TCP segment over IPv6, behind such extensions.
fn over_ipv6(frame: &[u8], extensions: &[u8]) -> Vec<u8> {
    let mut tcp = frame[34..].to_vec();
    let address = |last: u8| [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[last]].concat();
    let addresses = [address(frame[11]), address(frame[5])].concat();
    tcp[16..18].fill(0);
    let tail = [&(tcp.len() as u32).to_be_bytes()[..], &[0, 0, 0, TCP]].concat();
    let sum = craft::checksum(&[&addresses, &tail, &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let kinds: Vec<u8> = extensions.iter().copied().chain([TCP]).collect();
    // Each of eight bytes, padded (PadN).
    let headers = kinds[1..].iter().flat_map(|next| [*next, 0, 1, 4, 0, 0, 0, 0]);
    let payload: Vec<u8> = headers.chain(tcp).collect();
    ipv6(&frame[..12], &addresses, kinds[0], &payload)
}

fn ipv6(macs: &[u8], addresses: &[u8], next: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    [macs, &[0x86, 0xdd, 0x60, 0, 0, 0], &len, &[next, 64], addresses, payload].concat()
}

/// An IPv6 frame's payload in fragments of so many bytes, a multiple of eight.
fn fragments6(frame: &[u8], id: u16, size: usize) -> Vec<Vec<u8>> {
    let (macs, next, addresses) = (&frame[..12], frame[20], &frame[22..54]);
    let payload = &frame[ETHERNET + IPV6..];
    let one = |(i, part): (usize, &[u8])| {
        let more = u16::from((i + 1) * size < payload.len());
        let place = (i * size) as u16 | more;
        let header = [&[next, 0][..], &place.to_be_bytes(), &[0, 0], &id.to_be_bytes()].concat();
        ipv6(macs, addresses, FRAGMENT, &[&header, part].concat())
    };
    payload.chunks(size).enumerate().map(one).collect()
}

fn on_ipv6(port: u16, word: &str, extensions: &[u8]) -> Vec<Step> {
    wire::each(wire::plain(port, word), |f| vec![over_ipv6(&f, extensions)])
}

fn in_fragments6(port: u16, word: &str, size: usize, backwards: bool) -> Vec<Step> {
    wire::each_decisive(on_ipv6(port, word, &[]), |f| {
        let mut all = fragments6(&f, port, size);
        if backwards {
            all.reverse();
        }
        all
    })
}

/// A packet in another (RFC 2003, RFC 2473, RFC 4213).
fn in_ipv4(frame: &[u8], to_server: bool) -> Vec<u8> {
    let proto = if frame[12..14] == [8, 0] { 4 } else { 41 };
    let ends = [[192, 0, 2, 1], [192, 0, 2, 2]];
    let [src, dst] = if to_server { ends } else { [ends[1], ends[0]] };
    craft::ipv4(src, dst, proto, &frame[ETHERNET..], to_server)
}

fn one_way(frame: Vec<u8>) -> Vec<Step> {
    vec![Step { part: Decisive, to_server: true, frame }]
}

/// Behind these tags.
fn behind(port: u16, word: &str, tags: &[u8]) -> Vec<Step> {
    wire::each(wire::plain(port, word), |f| vec![[&f[..12], tags, &f[12..]].concat()])
}

const SHAPES: &[(&str, Shape)] = &[
    ("as it is", |p, w, _| wire::plain(p, w)),
    ("VLAN", |p, w, _| wrapped(p, w, Wrap::Vlan(5))),
    ("VLAN of a priority", |p, w, _| wrapped(p, w, Wrap::Vlan(0xb005))),
    ("QinQ", |p, w, _| wrapped(p, w, Wrap::QinQ(7, 8))),
    ("QinQ of old", |p, w, _| behind(p, w, &[0x91, 0, 0, 9])),
    ("three tags", |p, w, _| behind(p, w, &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 0x81, 0, 0x60, 0])),
    ("802.2 SNAP", |p, w, _| {
        wire::each(wire::plain(p, w), |f| {
            let length = (f.len() - 14 + 8) as u16;
            vec![[&f[..12], &length.to_be_bytes(), &[0xaa, 0xaa, 3, 0, 0, 0], &f[12..]].concat()]
        })
    }),
    ("GRE", |p, w, _| wrapped(p, w, Wrap::Gre)),
    ("VXLAN", |p, w, _| wrapped(p, w, Wrap::Vxlan(77))),
    ("IPv4 in IPv4", |p, w, _| {
        let tunnel = |s: Step| Step { frame: in_ipv4(&s.frame, s.to_server), ..s };
        wire::plain(p, w).into_iter().map(tunnel).collect()
    }),
    ("IPv6 in IPv4", |p, w, _| {
        let tunnel = |s: Step| Step { frame: in_ipv4(&s.frame, s.to_server), ..s };
        on_ipv6(p, w, &[]).into_iter().map(tunnel).collect()
    }),
    ("a trailer behind the packet", |p, w, _| {
        wire::each(wire::plain(p, w), |f| vec![[&f[..], b"what no header tells of"].concat()])
    }),
    ("IPv6", |p, w, _| on_ipv6(p, w, &[])),
    ("IPv6 in a VLAN", |p, w, _| {
        wire::each(on_ipv6(p, w, &[]), |f| vec![[&f[..12], &[0x81, 0, 0, 9], &f[12..]].concat()])
    }),
    ("IPv6 with options", |p, w, _| on_ipv6(p, w, &[HOPS])),
    ("IPv6 with options of both kinds", |p, w, _| on_ipv6(p, w, &[HOPS, OPTIONS, OPTIONS])),
    ("IPv6 in fragments", |p, w, _| in_fragments6(p, w, 24, false)),
    ("IPv6 in fragments, backwards", |p, w, _| in_fragments6(p, w, 16, true)),
    ("IPv6 in one fragment", |p, w, _| in_fragments6(p, w, 1024, false)),
    ("UDP", |p, w, _| one_way(craft::udp(true, p, 5353, 0, format!("name={w};").as_bytes()).data)),
    ("ICMP", |_, w, _| one_way(craft::icmp(true, 8, 0, format!("data {w} data").as_bytes()))),
];

#[test]
fn wrapped_attacks_are_found() {
    let Some(bed) = bed("wrapped_attacks_are_found") else { return };
    for how in ["af-xdp", "af-packet"] {
        wire::hold(&bed, how, &["--capture", how], SHAPES);
    }
}

/// EtherTypes and lengths of what is no IP, and where it goes to.
const NO_IP: [(&str, [u8; 6], [u8; 2]); 9] = [
    ("ARP", [0xff; 6], [8, 6]),
    ("LLDP", [1, 0x80, 0xc2, 0, 0, 0x0e], [0x88, 0xcc]),
    ("LACP", [1, 0x80, 0xc2, 0, 0, 2], [0x88, 9]),
    ("STP", [1, 0x80, 0xc2, 0, 0, 0], [0, 38]),
    ("EAPOL", [1, 0x80, 0xc2, 0, 0, 3], [0x88, 0x8e]),
    ("PTP", [1, 0x1b, 0x19, 0, 0, 0], [0x88, 0xf7]),
    ("pause", [1, 0x80, 0xc2, 0, 0, 1], [0x88, 8]),
    ("IPX", [0xff; 6], [0, 200]),
    ("nothing that is known", [2, 0, 0, 0, 0, 2], [0x88, 0xb5]),
];

#[test]
fn what_is_no_ip_goes_through() {
    let Some(bed) = bed("what_is_no_ip_goes_through") else { return };
    for how in ["af-xdp", "af-packet"] {
        let _live = Live::with(&bed, how, wire::RULES, &["--capture", how]);
        let wire = Wire::of(&bed);
        for (name, to, kind) in NO_IP {
            for tag in [&[][..], &[0x81, 0, 0, 3], &[0x88, 0xa8, 0, 3, 0x81, 0, 0, 4]] {
                let body: Vec<u8> = (0..200).collect();
                let frame = [&to, &[2, 0, 0, 0, 0, 1][..], tag, &kind, &body].concat();
                for to_server in [true, false] {
                    let arrived = wire.send(to_server, &frame);
                    assert!(arrived == [frame.clone()], "{how}: {name}, {tag:02x?}: {arrived:02x?}");
                }
            }
        }
    }
}

fn of_mtu(bed: &Bed, mtu: &str) {
    for (at, port) in [(At::Client, ENDS[0]), (At::Server, ENDS[1]), (At::Middle, PORTS[0]), (At::Middle, PORTS[1])] {
        assert!(bed.run(at, "ip", &["link", "set", port, "mtu", mtu]).status.success());
    }
}

/// A request of one segment as long as this.
fn long(port: u16, word: &str, len: usize) -> Vec<Step> {
    let (head, tail) = (format!("GET /{word} HTTP/1.1\r\nHost: x\r\nX-Long: "), "\r\n\r\n");
    let mut s = Script::open(port);
    s.put(Decisive, 0, format!("{head}{}{tail}", "l".repeat(len - head.len() - tail.len())).as_bytes());
    s.steps()
}

#[test]
fn long_frames_are_inspected_whole() {
    let Some(bed) = bed("long_frames_are_inspected_whole") else { return };
    of_mtu(&bed, "3000");
    wire::hold(&bed, "3000", &["--capture", "af-xdp"], &[("3000", |p, w, _| long(p, w, 2_960))]);
    of_mtu(&bed, "9000");
    wire::hold(&bed, "9000", &[], &[("9000", |p, w, _| long(p, w, 8_960))]);
    // What was asked for by name and cannot be is refused.
    let (program, sock) = (harness::program().unwrap(), bed.dir().join("sock"));
    let (program, sock, pair) = (program.to_str().unwrap(), sock.to_str().unwrap(), PORTS.join(":"));
    let args = ["20", program, "run", "--inline", &pair, "--capture", "af-xdp", "--control", sock];
    let out = bed.run(At::Middle, "timeout", &args);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && said.contains("do not fit"), "{said}");
}
