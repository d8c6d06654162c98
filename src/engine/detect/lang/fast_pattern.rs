//! Which content a rule is found by.
//!
//! The one named by `fast_pattern`; else, among positive contents, those of the best class of buffers (weak ones such
//! as a request's method last, then the payload, then the rest), of them the longest, of equally long ones the one of
//! most and rarest different bytes. A negated content is found by nothing, nor is one of a buffer that may be absent or
//! that decoding makes on the way.

use crate::applayer::{Vocabulary, generic};
use crate::detect::signature::{BufferMatch, Content, Op};

/// Index of the buffer match and of the op in it.
pub fn choose(buffers: &[BufferMatch], vocabulary: &Vocabulary) -> Option<(usize, usize)> {
    let mut best: Option<(Rank, (usize, usize))> = None;
    for (i, m) in buffers.iter().enumerate() {
        if m.absent.is_some() || m.buffer == generic::BASE64_DATA {
            continue;
        }
        for (j, op) in m.ops.iter().enumerate() {
            let Op::Content(c) = op else { continue };
            if c.negated {
                continue;
            }
            let rank = Rank {
                named: c.fast_pattern.is_some(),
                class: class(m, vocabulary),
                len: c.bytes.len(),
                strength: strength(&c.bytes),
            };
            if best.as_ref().is_none_or(|(r, _)| rank > *r) {
                best = Some((rank, (i, j)));
            }
        }
    }
    best.map(|b| b.1)
}

/// Compared field by field in this order; the larger is the better.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    named: bool,
    class: u8,
    len: usize,
    strength: u32,
}

fn class(m: &BufferMatch, v: &Vocabulary) -> u8 {
    if m.buffer == generic::PAYLOAD {
        return 1;
    }
    match v.buffer_def(m.buffer) {
        Some(d) if v.weak_buffers.contains(&d.name) => 0,
        _ => 2,
    }
}

/// How selective bytes are: new ones count by how rare their kind is in traffic, repeated ones little.
pub fn strength(bytes: &[u8]) -> u32 {
    let mut seen = [false; 256];
    let mut sum = 0;
    for b in bytes {
        let Some(seen) = seen.get_mut(usize::from(*b)) else { continue };
        sum += if *seen {
            1
        } else {
            match *b {
                0 | 1 | 0xff => 1,
                b if b.is_ascii_alphabetic() => 3,
                b if b.is_ascii_graphic() || b == b' ' => 4,
                _ => 6,
            }
        };
        *seen = true;
    }
    sum
}

/// The bytes the prefilter looks for: all of the content, or the part `fast_pattern:offset,length` names.
pub fn searched(c: &Content) -> &[u8] {
    let chop = c.fast_pattern.and_then(|f| f.chop);
    match chop {
        Some((offset, len)) => {
            let (from, to) = (usize::from(offset), usize::from(offset) + usize::from(len));
            c.bytes.get(from..to).unwrap_or(&c.bytes)
        }
        None => &c.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_zeroes_are_weak() {
        assert!(strength(b"abcd") > strength(b"aaaa"));
        assert!(strength(b"\x90\x31") > strength(b"\x00\x00"));
    }
}
