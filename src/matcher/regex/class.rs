//! Sets of bytes: PCRE2's classes in the C locale without UTF, as bitmaps of 256.
//!
//! Source: pcre2pattern(3), "Generic character types" and "POSIX character classes".

use regex_syntax::hir::{ClassBytes, ClassBytesRange};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) fn of(f: impl Fn(u8) -> bool) -> ByteSet {
        let mut s = ByteSet::default();
        (0..=255u8).filter(|&b| f(b)).for_each(|b| s.insert(b));
        s
    }

    pub(super) fn one(b: u8) -> ByteSet {
        let mut s = ByteSet::default();
        s.insert(b);
        s
    }

    pub(super) fn insert(&mut self, b: u8) {
        self.0[usize::from(b >> 6)] |= 1 << (b & 63);
    }

    pub(super) fn contains(&self, b: u8) -> bool {
        self.0[usize::from(b >> 6)] >> (b & 63) & 1 == 1
    }

    pub(super) fn extend(&mut self, other: &ByteSet) {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a |= b);
    }

    pub(super) fn negated(self) -> ByteSet {
        ByteSet(self.0.map(|w| !w))
    }

    /// With the other case of each ASCII letter.
    pub(super) fn folded(self) -> ByteSet {
        ByteSet::of(|b| self.contains(b) || (b.is_ascii_alphabetic() && self.contains(b ^ 0x20)))
    }

    pub(super) fn to_hir(self) -> ClassBytes {
        let mut class = ClassBytes::empty();
        let mut b = 0usize;
        while b < 256 {
            if !self.contains(b as u8) {
                b += 1;
                continue;
            }
            let start = b;
            while b < 255 && self.contains(b as u8 + 1) {
                b += 1;
            }
            class.push(ClassBytesRange::new(start as u8, b as u8));
            b += 1;
        }
        class
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | 9..=13)
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// The set of `\d`, `\H` and so on; `None` where the letter is no character type.
pub(super) fn escape_type(letter: u8) -> Option<ByteSet> {
    let set = match letter.to_ascii_lowercase() {
        b'd' => ByteSet::of(|b| b.is_ascii_digit()),
        b's' => ByteSet::of(is_space),
        b'w' => ByteSet::of(is_word),
        b'h' => ByteSet::of(|b| matches!(b, 9 | b' ' | 0xa0)),
        b'v' => ByteSet::of(|b| matches!(b, 10..=13 | 0x85)),
        _ => return None,
    };
    Some(if letter.is_ascii_uppercase() { set.negated() } else { set })
}

/// The set of `[:name:]`. Caseless, `upper` and `lower` are `alpha`.
pub(super) fn posix(name: &[u8], caseless: bool) -> Option<ByteSet> {
    let name = if caseless && matches!(name, b"upper" | b"lower") { b"alpha" } else { name };
    Some(match name {
        b"alpha" => ByteSet::of(|b| b.is_ascii_alphabetic()),
        b"lower" => ByteSet::of(|b| b.is_ascii_lowercase()),
        b"upper" => ByteSet::of(|b| b.is_ascii_uppercase()),
        b"alnum" => ByteSet::of(|b| b.is_ascii_alphanumeric()),
        b"ascii" => ByteSet::of(|b| b.is_ascii()),
        b"blank" => ByteSet::of(|b| matches!(b, b' ' | b'\t')),
        b"cntrl" => ByteSet::of(|b| b.is_ascii_control()),
        b"digit" => ByteSet::of(|b| b.is_ascii_digit()),
        b"graph" => ByteSet::of(|b| b.is_ascii_graphic()),
        b"print" => ByteSet::of(|b| b.is_ascii_graphic() || b == b' '),
        b"punct" => ByteSet::of(|b| b.is_ascii_punctuation()),
        b"space" => ByteSet::of(is_space),
        b"word" => ByteSet::of(is_word),
        b"xdigit" => ByteSet::of(|b| b.is_ascii_hexdigit()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_set() {
        let set = ByteSet::of(|b| b < 3 || b == 9 || b > 250);
        let ranges: Vec<(u8, u8)> = set.to_hir().ranges().iter().map(|r| (r.start(), r.end())).collect();
        assert_eq!(ranges, [(0, 2), (9, 9), (251, 255)]);
        assert_eq!(set.negated().to_hir().ranges().len(), 2);
        assert!(ByteSet::default().to_hir().ranges().is_empty());
    }

    #[test]
    fn folding_touches_letters_only() {
        let set = ByteSet::of(|b| matches!(b, b'a' | b'Z' | b'1' | 0xe4)).folded();
        let all: Vec<u8> = (0..=255).filter(|&b| set.contains(b)).collect();
        assert_eq!(all, [b'1', b'A', b'Z', b'a', b'z', 0xe4]);
    }
}
