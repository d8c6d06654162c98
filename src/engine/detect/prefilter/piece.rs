//! A literal of up to eight bytes, compared as one word.

use crate::detect::inspect::needle::{commonness, find_by_byte};

pub(super) const LEN_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Lower case where case does not matter; the first byte lowest.
    value: u64,
    /// The case bit of each letter whose case does not matter.
    fold: u64,
    len: u8,
    /// Index of the byte to look for.
    rare: u8,
}

impl Piece {
    /// Of one to [`LEN_MAX`] bytes; more are left out.
    pub(super) fn new(bytes: &[u8], nocase: bool) -> Self {
        let lower = |b: u8| if nocase { b.to_ascii_lowercase() } else { b };
        let case = |b: u8| if nocase && b.is_ascii_alphabetic() { 0x20 } else { 0 };
        let word =
            |f: &dyn Fn(u8) -> u8| bytes.iter().take(LEN_MAX).rev().fold(0u64, |word, b| word << 8 | u64::from(f(*b)));
        let rarest = bytes.iter().take(LEN_MAX).enumerate().min_by_key(|(_, b)| commonness(**b));
        Piece {
            value: word(&lower),
            fold: word(&case),
            len: bytes.len().min(LEN_MAX) as u8,
            rare: rarest.map_or(0, |(i, _)| i as u8),
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether `data` begins with the piece.
    pub(super) fn at(&self, data: &[u8]) -> bool {
        let word = match data.first_chunk::<LEN_MAX>() {
            Some(w) => u64::from_le_bytes(*w),
            None if data.len() < self.len() => return false,
            None => data.iter().rev().fold(0, |word, b| word << 8 | u64::from(*b)),
        };
        let mask = u64::MAX >> (64 - 8 * u32::from(self.len.clamp(1, 8)));
        (word | self.fold) & mask == self.value
    }

    /// The first occurrence in `data`.
    pub(super) fn find(&self, data: &[u8]) -> Option<usize> {
        let rare = usize::from(self.rare);
        let byte = (self.value >> (8 * rare)) as u8;
        let other = byte & !((self.fold >> (8 * rare)) as u8);
        find_by_byte(data, self.len(), rare, [byte, other], |at| self.at(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_as_a_naive_search_does() {
        let hay = b"aXbxaAaBAbabxxABab\0\xff\xffab{[@`";
        for nocase in [false, true] {
            for i in 0..hay.len() {
                for n in 1..=LEN_MAX.min(hay.len() - i) {
                    let pat = &hay[i..i + n];
                    let same = |w: &[u8]| if nocase { w.eq_ignore_ascii_case(pat) } else { w == pat };
                    for end in 0..=hay.len() {
                        let naive = hay[..end].windows(n).position(same);
                        assert_eq!(Piece::new(pat, nocase).find(&hay[..end]), naive, "{pat:?} {nocase}");
                    }
                }
            }
        }
    }
}
