//! One's-complement sum of the Internet checksum (RFC 1071).
//!
//! RFC 1071 section 2 allows deferred carries, any byte order and any word width; the wide sum uses all three: 32-bit
//! words in the machine's order, four independent 64-bit accumulators, one fold at the end.

/// One's-complement sum of `data` as 16-bit big-endian words, an odd last byte padded with zero. Not complemented: the
/// checksum field is `!sum16(..)`, and a region that contains a right checksum sums to 0xffff (or 0 when all is zero).
#[inline]
pub fn sum16(data: &[u8]) -> u16 {
    let mut acc = [0u64; 4];
    let (blocks, rest) = data.as_chunks::<16>();
    for b in blocks {
        let (words, _) = b.as_chunks::<4>();
        for (a, w) in acc.iter_mut().zip(words) {
            *a = a.wrapping_add(u64::from(u32::from_ne_bytes(*w)));
        }
    }
    // Each accumulator gained less than 2^32 per 16 bytes: no slice that fits memory makes 64 bits overflow.
    let mut sum: u64 = 0;
    for a in acc {
        sum = sum.wrapping_add((a & 0xffff_ffff) + (a >> 32));
    }
    let (words, tail) = rest.as_chunks::<2>();
    for w in words {
        sum = sum.wrapping_add(u64::from(u16::from_ne_bytes(*w)));
    }
    if let [last] = tail {
        sum = sum.wrapping_add(u64::from(u16::from_ne_bytes([*last, 0])));
    }
    u16::from_be(fold(sum))
}

/// The twin of [`sum16`]: one word at a time, carry folded at once.
pub fn sum16_scalar(data: &[u8]) -> u16 {
    let mut sum = 0u16;
    for pair in data.chunks(2) {
        let word = match pair {
            [hi, lo] => u16::from_be_bytes([*hi, *lo]),
            [hi] => u16::from_be_bytes([*hi, 0]),
            _ => 0,
        };
        sum = add16(sum, word);
    }
    sum
}

/// One's-complement addition: the carry comes back at the low end.
#[inline]
pub const fn add16(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(carry as u16)
}

const fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_rfc_1071() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum16(&data), 0xddf2);
        assert_eq!(sum16_scalar(&data), 0xddf2);
    }

    #[test]
    fn wide_equals_scalar() {
        let mut x = 0x2545_f491_4f6c_dd1du64;
        let mut data = vec![0u8; 2048];
        for b in &mut data {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            *b = x as u8;
        }
        for len in 0..=200 {
            for start in 0..4 {
                let slice = &data[start..start + len];
                assert_eq!(sum16(slice), sum16_scalar(slice), "{start}+{len}");
            }
        }
        assert_eq!(sum16(&data), sum16_scalar(&data));
        for n in [1usize, 2, 15, 16, 17, 65_535, 1 << 20] {
            let ones = vec![0xff; n];
            assert_eq!(sum16(&ones), sum16_scalar(&ones), "{n} bytes of 0xff");
        }
        assert_eq!(sum16(&[0; 64]), 0);
    }
}
