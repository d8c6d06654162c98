//! The Internet checksum (RFC 1071), whole and by difference (RFC 1624).

use std::net::IpAddr;

/// Ones' complement sum of `data` as big-endian words; `odd` when its first byte is the low half of a word.
pub(super) fn sum(data: &[u8], odd: bool) -> u16 {
    let mut total = 0u64;
    for (i, b) in data.iter().enumerate() {
        let high = (i % 2 == 0) != odd;
        total += u64::from(*b) << if high { 8 } else { 0 };
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

pub(super) const fn add(a: u16, b: u16) -> u16 {
    let (s, carry) = a.overflowing_add(b);
    s + carry as u16
}

/// Checksum of a message on its own (IPv4 header, ICMP).
pub(super) fn plain(data: &[u8]) -> u16 {
    !sum(data, false)
}

/// Checksum of a transport message under its pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub(super) fn transport(src: IpAddr, dst: IpAddr, proto: u8, message: &[u8]) -> u16 {
    let addresses = [src, dst].map(|a| match a {
        IpAddr::V4(a) => sum(&a.octets(), false),
        IpAddr::V6(a) => sum(&a.octets(), false),
    });
    let len = message.len() as u32;
    let parts = [(len >> 16) as u16, len as u16, u16::from(proto), sum(message, false)];
    !addresses.into_iter().chain(parts).fold(0, add)
}

/// The checksum that was `old` once bytes summing to `before` have become bytes summing to `after`.
pub(super) const fn updated(old: u16, before: u16, after: u16) -> u16 {
    !add(add(!old, !before), after)
}
