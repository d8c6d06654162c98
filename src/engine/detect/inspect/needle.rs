//! Finding one literal: the rarest byte by memchr, the rest by comparison.
//!
//! Candidates are few and their buffers small, so what counts is a cheap start and a small footprint (a ruleset holds
//! some 100,000 of these); a searcher with tables of its own would cost more to fetch than it saves.

/// How to search for one content.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    /// Lower case where `nocase`.
    bytes: Box<[u8]>,
    nocase: bool,
    /// Index of the byte to look for first.
    rare: usize,
}

/// A rough rank of how often a byte is met in protocols' traffic: 0 rare, 255 everywhere.
pub(crate) fn commonness(b: u8) -> u8 {
    match b {
        0 => 255,
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' => 240,
        b's' | b'r' | b'/' | b'.' | b'l' | b'c' | b'd' | b'=' | b'-' => 220,
        b'p' | b'm' | b'u' | b'h' | b':' | b'\r' | b'\n' | b'0' | b'1' => 200,
        b'a'..=b'z' | b'2'..=b'9' => 150,
        0xff | 0x01 => 140,
        b'A'..=b'Z' => 120,
        0x20..=0x7e => 90,
        0x02..=0x1f => 80,
        _ => 40,
    }
}

impl Needle {
    pub(crate) fn new(bytes: &[u8], nocase: bool) -> Self {
        let bytes: Box<[u8]> =
            if nocase { bytes.iter().map(u8::to_ascii_lowercase).collect() } else { bytes.iter().copied().collect() };
        let rare = bytes.iter().enumerate().min_by_key(|(_, b)| commonness(**b)).map_or(0, |(i, _)| i);
        Needle { bytes, nocase, rare }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether `data` begins with the needle.
    pub(crate) fn at(&self, data: &[u8]) -> bool {
        let Some(head) = data.get(..self.bytes.len()) else { return false };
        if self.nocase {
            head.iter().zip(self.bytes.iter()).all(|(a, b)| a.to_ascii_lowercase() == *b)
        } else {
            *head == *self.bytes
        }
    }

    /// The first occurrence in `data`.
    pub(crate) fn find(&self, data: &[u8]) -> Option<usize> {
        let Some(&rare) = self.bytes.get(self.rare) else { return Some(0) };
        let upper = if self.nocase { rare.to_ascii_uppercase() } else { rare };
        find_by_byte(data, self.bytes.len(), self.rare, [rare, upper], |at| self.at(at))
    }
}

/// The first place in `data` where `len` bytes are left, one of `either` lies `rare` bytes further and what begins there
/// `matches`; `rare < len`.
#[inline]
pub(crate) fn find_by_byte(
    data: &[u8],
    len: usize,
    rare: usize,
    either: [u8; 2],
    matches: impl Fn(&[u8]) -> bool,
) -> Option<usize> {
    let last = data.len().checked_sub(len)?;
    let [byte, other] = either;
    let mut from = 0;
    while from <= last {
        let hay = data.get(from + rare..=last + rare)?;
        let hit = if other == byte { memchr::memchr(byte, hay) } else { memchr::memchr2(byte, other, hay) };
        let start = from + hit?;
        if matches(data.get(start..)?) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_as_a_naive_search_does() {
        let hay = b"aXbxaAaBAbabxxABab\0\xff\xffab";
        for nocase in [false, true] {
            for (i, _) in hay.iter().enumerate() {
                for n in 1..=4.min(hay.len() - i) {
                    let pat = &hay[i..i + n];
                    let naive =
                        hay.windows(n).position(|w| if nocase { w.eq_ignore_ascii_case(pat) } else { w == pat });
                    assert_eq!(Needle::new(pat, nocase).find(hay), naive);
                }
            }
        }
        assert_eq!(Needle::new(b"abc", false).find(b"ab"), None);
    }
}
