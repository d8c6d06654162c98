//! Internet checksums of the headers that carry one: IPv4, TCP, UDP, ICMP, ICMPv6, and CRC32c of SCTP is not among them.
//!
//! Each `*_ok` function answers whether the region holds together; the others compute the field for packets we build.

use accel::{add16, sum16};
use std::net::IpAddr;

/// Sum of the pseudo-header: addresses, protocol, length of the segment (RFC 9293 3.1, RFC 8200 8.1).
pub fn pseudo(src: IpAddr, dst: IpAddr, proto: u8, len: u32) -> u16 {
    let addresses = match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => add16(sum16(&s.octets()), sum16(&d.octets())),
        (s, d) => add16(sum16(&octets16(s)), sum16(&octets16(d))),
    };
    let len = add16((len >> 16) as u16, len as u16);
    add16(add16(addresses, u16::from(proto)), len)
}

fn octets16(a: IpAddr) -> [u8; 16] {
    match a {
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    }
}

/// Whether an IPv4 header (with options), an ICMP or an IGMP message sums to all ones (RFC 1071).
pub fn plain_ok(region: &[u8]) -> bool {
    sum16(region) == 0xffff
}

/// Whether a TCP segment or an ICMPv6 message is right under its pseudo-header.
pub fn transport_ok(src: IpAddr, dst: IpAddr, proto: u8, segment: &[u8]) -> bool {
    add16(pseudo(src, dst, proto, segment.len() as u32), sum16(segment)) == 0xffff
}

/// Whether a UDP datagram is right; over IPv4 a zero field means that its sender computed none (RFC 768).
pub fn udp_ok(src: IpAddr, dst: IpAddr, datagram: &[u8]) -> bool {
    let none = matches!(datagram.get(6..8), Some([0, 0]));
    (none && src.is_ipv4()) || transport_ok(src, dst, 17, datagram)
}

/// The checksum field of a region whose field is zero.
pub fn plain(region: &[u8]) -> u16 {
    !sum16(region)
}

/// The checksum field of a segment whose field is zero. UDP sends 0xffff where this is zero (RFC 768).
pub fn transport(src: IpAddr, dst: IpAddr, proto: u8, segment: &[u8]) -> u16 {
    !add16(pseudo(src, dst, proto, segment.len() as u32), sum16(segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn known_header_and_datagram() {
        // Header of the worked example in RFC 791 style, checksum 0xb861.
        let mut h = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        assert_eq!(plain(&h), 0xb861);
        h[10..12].copy_from_slice(&0xb861u16.to_be_bytes());
        assert!(plain_ok(&h));
        h[3] ^= 1;
        assert!(!plain_ok(&h));

        let (s, d) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));
        let mut u = [0, 53, 0x30, 0x39, 0, 9, 0, 0, b'x'];
        assert!(udp_ok(s, d, &u), "no checksum sent");
        let sum = transport(s, d, 17, &u);
        u[6..8].copy_from_slice(&sum.to_be_bytes());
        assert!(udp_ok(s, d, &u));
        u[8] = b'y';
        assert!(!udp_ok(s, d, &u));
    }
}
