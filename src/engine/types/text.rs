//! Short text without allocation: numbers, addresses and times as records show them.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// At most `N` bytes of ASCII; what does not fit is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Text::new()
    }
}

impl<const N: usize> Text<N> {
    pub const fn new() -> Self {
        Text { bytes: [0; N], len: 0 }
    }

    /// Bytes past ASCII are none of this type's.
    pub fn push(&mut self, b: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = b & 0x7f;
            self.len += 1;
        }
    }

    /// `n` in decimal with at least `width` digits.
    pub fn decimal(&mut self, n: u64, width: u32) {
        let mut digits = [b'0'; 20];
        let (mut left, mut count) = (n, 0);
        for slot in digits.iter_mut().rev() {
            *slot += (left % 10) as u8;
            left /= 10;
            count += 1;
            if left == 0 {
                break;
            }
        }
        let shown = count.max(width.min(20) as usize);
        digits.iter().skip(20 - shown).for_each(|d| self.push(*d));
    }

    /// `n` in small hexadecimal letters with at least `width` digits.
    pub fn hex(&mut self, n: u64, width: u32) {
        let digits = (16 - n.leading_zeros() / 4).max(width).max(1);
        for place in (0..digits).rev() {
            let digit = n.checked_shr(4 * place).unwrap_or(0) & 0xf;
            self.push(if digit < 10 { b'0' + digit as u8 } else { b'a' + digit as u8 - 10 });
        }
    }

    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
    }
}

/// An address as EVE writes it: IPv6 with all eight groups of four digits.
pub fn ip_text(a: IpAddr) -> Text<39> {
    match a {
        IpAddr::V4(a) => v4(a),
        IpAddr::V6(a) => v6(a),
    }
}

fn v4(a: Ipv4Addr) -> Text<39> {
    let mut t = Text::new();
    for (i, o) in a.octets().into_iter().enumerate() {
        if i > 0 {
            t.push(b'.');
        }
        t.decimal(o.into(), 1);
    }
    t
}

fn v6(a: Ipv6Addr) -> Text<39> {
    let mut t = Text::new();
    for (i, s) in a.segments().into_iter().enumerate() {
        if i > 0 {
            t.push(b':');
        }
        t.hex(s.into(), 4);
    }
    t
}

/// An address in its short form: IPv6 with its longest run of zero groups left out (RFC 5952).
pub fn ip_text_short(a: IpAddr) -> Text<39> {
    let mut t = Text::new();
    // Text takes what fits and never fails.
    let _ = write!(t, "{a}");
    t
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        s.bytes().for_each(|b| self.push(b));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_short() {
        let cases = [
            "2001:db8::1",
            "::",
            "::1",
            "1::",
            "fe80::1:0:0:2",
            "1:0:2:3:4:5:6:7",
            "2001:db8:0:1:1:1:1:1",
            "10.0.0.1",
            "1:2:3:4:5:6:7:8",
            "0:0:1::",
        ];
        for case in cases {
            let a: IpAddr = case.parse().unwrap();
            assert_eq!(ip_text_short(a).as_str(), a.to_string(), "{case}");
        }
    }

    #[test]
    fn numbers_have_their_width() {
        let mut t = Text::<20>::new();
        t.hex(0, 1);
        t.push(b' ');
        t.hex(0x8180, 1);
        t.push(b' ');
        t.hex(0xa, 4);
        t.push(b' ');
        t.decimal(7, 3);
        assert_eq!(t.as_str(), "0 8180 000a 007");
        for (n, width, text) in [(0, 1, "0"), (0, 0, "0"), (1_234, 2, "1234"), (u64::MAX, 1, "18446744073709551615")] {
            let mut t = Text::<40>::new();
            t.decimal(n, width);
            assert_eq!(t.as_str(), text);
        }
        t.hex(u64::MAX, 1);
        assert_eq!(t.as_str().len(), 20);
    }
}
