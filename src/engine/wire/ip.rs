//! IPv4 and IPv6 headers, their options and extension headers.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Fixed part of an IPv4 header (RFC 791 3.1), 20 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a>(&'a [u8; 20]);

impl<'a> Ipv4<'a> {
    pub const LEN: usize = 20;

    #[inline]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Ipv4)
    }

    #[inline]
    pub fn version(self) -> u8 {
        self.0[0] >> 4
    }

    /// Header length in bytes as claimed, 0..=60.
    #[inline]
    pub fn header_len(self) -> usize {
        usize::from(self.0[0] & 0x0f) * 4
    }

    #[inline]
    pub fn tos(self) -> u8 {
        self.0[1]
    }

    #[inline]
    pub fn total_len(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    #[inline]
    pub fn id(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    /// Flags and fragment offset as on the wire.
    #[inline]
    pub fn frag(self) -> u16 {
        u16::from_be_bytes([self.0[6], self.0[7]])
    }

    #[inline]
    pub fn ttl(self) -> u8 {
        self.0[8]
    }

    #[inline]
    pub fn proto(self) -> u8 {
        self.0[9]
    }

    #[inline]
    pub fn src(self) -> Ipv4Addr {
        Ipv4Addr::new(self.0[12], self.0[13], self.0[14], self.0[15])
    }

    #[inline]
    pub fn dst(self) -> Ipv4Addr {
        Ipv4Addr::new(self.0[16], self.0[17], self.0[18], self.0[19])
    }
}

/// IPv4 option numbers (IANA "IP option numbers"), whole type octet.
pub mod option {
    pub const END: u8 = 0;
    pub const NOP: u8 = 1;
    pub const RECORD_ROUTE: u8 = 7;
    pub const QUICK_START: u8 = 25;
    pub const TIMESTAMP: u8 = 68;
    pub const SECURITY: u8 = 130;
    pub const LOOSE_SOURCE_ROUTE: u8 = 131;
    pub const EXTENDED_SECURITY: u8 = 133;
    pub const COMMERCIAL_SECURITY: u8 = 134;
    pub const STREAM_ID: u8 = 136;
    pub const STRICT_SOURCE_ROUTE: u8 = 137;
    pub const ROUTER_ALERT: u8 = 148;
}

/// One option of IPv4 or TCP: kind, length octet, value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt<'a> {
    pub kind: u8,
    /// Value without kind and length.
    pub value: &'a [u8],
}

/// Why a walk over options ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptError {
    /// The kind is there, its length octet is not.
    NoLength(u8),
    /// The length octet is below 2 or reaches past the options.
    BadLength(u8),
}

/// Walks type-length-value options (RFC 791 3.1, RFC 9293 3.1): no-operations are skipped, the end of list or the first
/// error ends the walk.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    /// `area` is what follows the fixed header.
    pub fn new(area: &'a [u8]) -> Self {
        Options { rest: area }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<Opt<'a>, OptError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&kind, after) = self.rest.split_first()?;
            self.rest = after;
            match kind {
                option::END => {
                    self.rest = &[];
                    return None;
                }
                option::NOP => continue,
                _ => {}
            }
            let Some((&len, after)) = after.split_first() else {
                self.rest = &[];
                return Some(Err(OptError::NoLength(kind)));
            };
            let value_len = usize::from(len).checked_sub(2);
            let Some((value, rest)) = value_len.and_then(|n| after.split_at_checked(n)) else {
                self.rest = &[];
                return Some(Err(OptError::BadLength(kind)));
            };
            self.rest = rest;
            return Some(Ok(Opt { kind, value }));
        }
    }
}

/// Fixed IPv6 header (RFC 8200 3), 40 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a>(&'a [u8; 40]);

impl<'a> Ipv6<'a> {
    pub const LEN: usize = 40;

    #[inline]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(Ipv6)
    }

    #[inline]
    fn word(self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    pub fn version(self) -> u8 {
        self.0[0] >> 4
    }

    pub fn traffic_class(self) -> u8 {
        (self.word() >> 20) as u8
    }

    pub fn flow_label(self) -> u32 {
        self.word() & 0x000f_ffff
    }

    pub fn payload_len(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }

    pub fn next_header(self) -> u8 {
        self.0[6]
    }

    pub fn hop_limit(self) -> u8 {
        self.0[7]
    }

    pub fn src(self) -> Ipv6Addr {
        let [_, _, _, _, _, _, _, _, a @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *self.0;
        Ipv6Addr::from(a)
    }

    pub fn dst(self) -> Ipv6Addr {
        let [.., a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15] = *self.0;
        Ipv6Addr::from([a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15])
    }
}

/// First 8 bytes of an IPv6 extension header (RFC 8200 4): enough to know its kind's fields and its length.
#[derive(Clone, Copy, Debug)]
pub struct ExtHeader<'a>(&'a [u8; 8]);

impl<'a> ExtHeader<'a> {
    pub const MIN: usize = 8;

    pub fn parse(data: &'a [u8]) -> Option<Self> {
        data.first_chunk().map(ExtHeader)
    }

    pub fn next_header(self) -> u8 {
        self.0[0]
    }

    /// Length in bytes of hop-by-hop, destination and routing headers.
    pub fn len(self) -> usize {
        (usize::from(self.0[1]) + 1) * 8
    }

    pub fn is_empty(self) -> bool {
        false
    }

    /// Length in bytes of an authentication header (RFC 4302 2.2), whose fixed part alone is 12.
    pub fn auth_len(self) -> usize {
        ((usize::from(self.0[1]) + 2) * 4).max(12)
    }

    /// Reserved field of an authentication header (RFC 4302 2.3).
    pub fn auth_reserved(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    pub fn routing_type(self) -> u8 {
        self.0[2]
    }

    /// Fragment offset in bytes (RFC 8200 4.5).
    pub fn frag_offset(self) -> u32 {
        u32::from(u16::from_be_bytes([self.0[2], self.0[3]]) & 0xfff8)
    }

    pub fn more_fragments(self) -> bool {
        self.0[3] & 1 != 0
    }

    pub fn frag_reserved(self) -> u8 {
        self.0[1]
    }

    pub fn frag_id(self) -> u32 {
        u32::from_be_bytes([self.0[4], self.0[5], self.0[6], self.0[7]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_walk() {
        let area = [1, 7, 4, 9, 9, 1, 0, 99, 99];
        let all: Vec<_> = Options::new(&area).collect();
        assert_eq!(all, [Ok(Opt { kind: 7, value: &[9, 9] })]);
        assert_eq!(Options::new(&[68]).next(), Some(Err(OptError::NoLength(68))));
        assert_eq!(Options::new(&[68, 1]).next(), Some(Err(OptError::BadLength(68))));
        assert_eq!(Options::new(&[68, 4, 0]).next(), Some(Err(OptError::BadLength(68))));
        assert_eq!(Options::new(&[2, 2]).next(), Some(Ok(Opt { kind: 2, value: &[] })));
    }

    #[test]
    fn addresses_of_ipv6() {
        let mut b = [0u8; 40];
        for (i, x) in b.iter_mut().enumerate() {
            *x = i as u8;
        }
        let v = Ipv6::parse(&b).unwrap();
        assert_eq!(v.src().octets(), [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]);
        assert_eq!(v.dst().octets(), [24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39]);
    }
}
