//! A frame as it was, or will be, on the wire: what the kernel took out of it or left undone is put right before anybody
//! looks at it.
//!
//! A tag that the kernel keeps beside the frame goes back into it. A checksum that is left to the card is filled in. A
//! joined frame (TCP segments that a neighbour on the same machine leaves to the card to cut, or that the kernel joined)
//! is inspected whole, and leaves whole with the word how to cut it, so that the segments on the wire are the sender's.
//! Joined datagrams are none of a stream, and are cut before they are inspected, each for itself.

use crate::l2::behind_tags;
use crate::sys::packet::OFFLOAD_BYTES;
use accel::{add16, sum16};

/// The offload header of a frame that needs nothing done.
pub const PLAIN: [u8; OFFLOAD_BYTES] = [0; OFFLOAD_BYTES];

/// Flag: the checksum is to be filled in.
const NEEDS_CHECKSUM: u8 = 1;
/// Kinds of joined frames, without the flag for ECN.
const ECN: u8 = 0x80;
const TCP4: u8 = 1;
const TCP6: u8 = 4;
const UDP: u8 = 5;
/// As many datagrams as a sender may have joined (UDP_MAX_SEGMENTS in the kernel, which joins no more either).
const DATAGRAMS_MAX: usize = 128;
/// Bytes of a header of UDP, and of one of IPv6.
const UDP_BYTES: usize = 8;
const IPV6_BYTES: usize = 40;
/// The checksum's place in a header of UDP, and in one of SCTP, where it is of another kind.
const UDP_CHECKSUM: usize = 6;
const SCTP_CHECKSUM: usize = 8;

/// How a joined frame is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    kind: u8,
    /// Payload of each piece.
    size: u16,
    /// Where the transport header begins, and the checksum in it; both in bytes.
    start: u16,
    checksum: u16,
    /// What stands in the checksum's place when a frame is to be cut: the sum of the pseudo-header.
    pseudo: u16,
}

impl Joined {
    /// The offload header for the frame, which is made ready to be cut; `None` where it is not of that shape any more.
    pub fn ready(&self, frame: &mut [u8]) -> Option<[u8; OFFLOAD_BYTES]> {
        let start = usize::from(self.start);
        let header = match self.kind & !ECN {
            TCP4 | TCP6 => usize::from(frame.get(start + 12)? >> 4) * 4,
            _ => UDP_BYTES,
        };
        let headers = start + header;
        if headers >= frame.len() {
            return None;
        }
        put16(frame, start + usize::from(self.checksum), self.pseudo)?;
        let [h, s, b, c] = [headers as u16, self.size, self.start, self.checksum].map(u16::to_ne_bytes);
        Some([NEEDS_CHECKSUM, self.kind, h[0], h[1], s[0], s[1], b[0], b[1], c[0], c[1]])
    }

    /// Whether the frame is datagrams, each of which is to be looked at for itself.
    pub fn is_of_datagrams(&self) -> bool {
        self.kind & !ECN == UDP
    }

    /// The datagrams that the frame is cut into, as on the wire; `None` where it is not of that shape.
    pub fn datagrams(&self, frame: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (kind, ip) = behind_tags(frame, usize::MAX)?;
        let start = usize::from(self.start);
        let (headers, payload) = frame.split_at_checked(start + UDP_BYTES)?;
        let v4 = headers.get(ip)? >> 4 == 4;
        // Who and to whom, which the checksum covers too.
        let addresses = if v4 { ip + 12..ip + 20 } else { ip + 8..ip + IPV6_BYTES };
        let size = usize::from(self.size);
        let is_ip = matches!(kind, 0x0800 | 0x86dd);
        if !is_ip || payload.is_empty() || start < addresses.end || size.saturating_mul(DATAGRAMS_MAX) < payload.len() {
            return None;
        }
        let identity = u16::from_be_bytes(*headers.get(ip + 4..)?.first_chunk()?);
        let cut = |(i, part): (u16, &[u8])| {
            let mut f = [headers, part].concat();
            let (all, udp) = (u16::try_from(f.len() - ip).ok()?, u16::try_from(f.len() - start).ok()?);
            if v4 {
                put16(&mut f, ip + 2, all)?;
                put16(&mut f, ip + 4, identity.wrapping_add(i))?;
                put16(&mut f, ip + 10, 0)?;
                let sum = !sum16(f.get(ip..start)?);
                put16(&mut f, ip + 10, sum)?;
            } else {
                put16(&mut f, ip + 4, all - IPV6_BYTES as u16)?;
            }
            put16(&mut f, start + 4, udp)?;
            let pseudo = add16(sum16(f.get(addresses.clone())?), add16(17, udp));
            put16(&mut f, start + UDP_CHECKSUM, pseudo)?;
            fill(&mut f, start, UDP_CHECKSUM)?;
            Some(f)
        };
        (0..).zip(payload.chunks(size)).map(cut).collect()
    }

    /// Whether a frame rewritten to `new` may be cut in the same way: the pseudo-header is what it was.
    pub fn fits(&self, old: &[u8], new: &[u8]) -> bool {
        let start = usize::from(self.start);
        old.len() == new.len() && old.get(..start) == new.get(..start)
    }
}

/// Puts a frame right that lies at `at` in `room`, with its offload header in front of it. Where it begins then, how long
/// it is, and how it is to be cut if it is a joined one.
pub fn mend(room: &mut [u8], at: usize, len: usize, tag: Option<[u16; 2]>) -> Option<(usize, usize, Option<Joined>)> {
    let offload: [u8; OFFLOAD_BYTES] = room.get(at.checked_sub(OFFLOAD_BYTES)?..at)?.try_into().ok()?;
    let (mut at, mut len, mut start) = (at, len, usize::from(ne16(&offload, 6)));
    room.get(at..at + len)?;
    if let Some([kind, contents]) = tag
        && len >= 12
    {
        // The addresses make room: the offload header has been read.
        room.copy_within(at..at + 12, at - 4);
        (at, len, start) = (at - 4, len + 4, start + 4);
        let tag = (u32::from(kind) << 16 | u32::from(contents)).to_be_bytes();
        room.get_mut(at + 12..at + 16)?.copy_from_slice(&tag);
    }
    let frame = room.get_mut(at..at + len)?;
    let checksum = usize::from(ne16(&offload, 8));
    if offload[0] & NEEDS_CHECKSUM == 0 {
        return Some((at, len, None));
    }
    let (kind, size) = (offload[1], ne16(&offload, 4));
    let pseudo = fill(frame, start, checksum);
    let joined = match pseudo {
        Some(pseudo) if kind & !ECN != 0 => {
            Some(Joined { kind, size, start: start as u16, checksum: checksum as u16, pseudo })
        }
        _ => None,
    };
    Some((at, len, joined))
}

/// Fills in the checksum of what lies from `start` on; it stands at `place` from there, where the sum of the
/// pseudo-header is. What stood there.
fn fill(frame: &mut [u8], start: usize, place: usize) -> Option<u16> {
    let covered = frame.get(start..)?;
    let stood = u16::from_be_bytes(*covered.get(place..)?.first_chunk()?);
    if place == SCTP_CHECKSUM {
        let (before, after) = (covered.get(..place)?, covered.get(place + 4..)?);
        let sum = !crc32c(crc32c(crc32c(!0, before), &[0; 4]), after);
        frame.get_mut(start + place..start + place + 4)?.copy_from_slice(&sum.to_le_bytes());
        return Some(stood);
    }
    let sum = match !sum16(covered) {
        // Zero would say that there is none.
        0 if place == UDP_CHECKSUM => 0xffff,
        sum => sum,
    };
    put16(frame, start + place, sum)?;
    Some(stood)
}

fn put16(frame: &mut [u8], at: usize, value: u16) -> Option<()> {
    frame.get_mut(at..at + 2)?.copy_from_slice(&value.to_be_bytes());
    Some(())
}

fn ne16(data: &[u8; OFFLOAD_BYTES], at: usize) -> u16 {
    u16::from_ne_bytes([data[at], data[at + 1]])
}

/// CRC-32C, reflected, without the complements at its ends (RFC 9260, appendix A).
fn crc32c(mut crc: u32, data: &[u8]) -> u32 {
    for byte in data {
        crc = CRC32C[usize::from(crc as u8 ^ byte)] ^ crc >> 8;
    }
    crc
}

const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    const TCP_CHECKSUM: usize = 16;
    /// Bytes in front of a frame in the rooms here.
    const AT: usize = 20;

    /// A room with a frame in it and, in front of it, an offload header.
    fn room(frame: &[u8], offload: [u8; OFFLOAD_BYTES]) -> Vec<u8> {
        [&vec![0xee; AT - OFFLOAD_BYTES][..], &offload, frame].concat()
    }

    /// TCP over IPv4 with so much payload; in the checksum's place stands the sum of the pseudo-header.
    fn tcp(payload: usize) -> Vec<u8> {
        let total = (40 + payload) as u16;
        let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        f.extend(total.to_be_bytes());
        f.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let pseudo = add16(sum16(&f[26..34]), 6 + total - 20);
        f.extend([4, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 1, 0]);
        f.extend(pseudo.to_be_bytes());
        f.extend([0, 0]);
        f.extend((0..payload).map(|i| i as u8));
        f
    }

    fn offload(kind: u8, size: u16) -> [u8; OFFLOAD_BYTES] {
        let [s, b, c] = [size, 34, TCP_CHECKSUM as u16].map(u16::to_ne_bytes);
        [NEEDS_CHECKSUM, kind, 0, 0, s[0], s[1], b[0], b[1], c[0], c[1]]
    }

    /// The segment with its pseudo-header sums to 0xffff if its checksum is right.
    fn right(frame: &[u8], ip: usize) -> bool {
        let total = u16::from_be_bytes([frame[ip + 2], frame[ip + 3]]);
        let pseudo = add16(sum16(&frame[ip + 12..ip + 20]), 6 + total - 20);
        add16(pseudo, sum16(&frame[ip + 20..])) == 0xffff
    }

    #[test]
    fn a_checksum_left_to_the_card_is_filled_in() {
        let frame = tcp(101);
        assert!(!right(&frame, 14));
        let mut r = room(&frame, offload(0, 0));
        assert_eq!(mend(&mut r, AT, frame.len(), None), Some((AT, frame.len(), None)));
        assert!(right(&r[AT..], 14));
        assert_eq!(r[..AT - OFFLOAD_BYTES], [0xee; AT - OFFLOAD_BYTES]);
    }

    #[test]
    fn joined_datagrams_are_cut_as_they_were() {
        // Of 250 bytes, joined in hundreds; once tagged, once over IPv6.
        let payload: Vec<u8> = (0..250).map(|i| i as u8).collect();
        let udp = [&[4, 0, 0, 53][..], &258u16.to_be_bytes(), &[0, 0], &payload].concat();
        let head = |tags: &[u8], kind: [u8; 2]| [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], tags, &kind].concat();
        let v4 = [0x45, 0, 1, 22, 0xff, 0xff, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let mut v6 = [0; IPV6_BYTES];
        (v6[0], v6[5], v6[6], v6[7], v6[8], v6[23], v6[24], v6[39]) = (0x60, 2, 17, 64, 0xfd, 1, 0xfd, 2);
        for (front, ip) in [
            (head(&[], [8, 0]), &v4[..]),
            (head(&[0x81, 0, 0, 7], [8, 0]), &v4[..]),
            (head(&[], [0x86, 0xdd]), &v6[..]),
        ] {
            let (at, start) = (front.len(), front.len() + ip.len());
            let frame = [&front[..], ip, &udp].concat();
            let joined = Joined { kind: UDP, size: 100, start: start as u16, checksum: 6, pseudo: 0 };
            assert!(joined.is_of_datagrams());
            let pieces = joined.datagrams(&frame).unwrap();
            let of = |p: &Vec<u8>| p[start + 8..].to_vec();
            assert_eq!(pieces.iter().flat_map(of).collect::<Vec<_>>(), payload);
            assert_eq!(pieces.iter().map(|p| p.len() - start - 8).collect::<Vec<_>>(), [100, 100, 50]);
            for (i, p) in pieces.iter().enumerate() {
                let word = |at: usize| usize::from(u16::from_be_bytes([p[at], p[at + 1]]));
                assert_eq!(word(start + 4), p.len() - start);
                let addresses = match ip.len() {
                    20 => {
                        assert_eq!((word(at + 2), sum16(&p[at..start])), (p.len() - at, 0xffff));
                        assert_eq!(word(at + 4), (0xffff + i) & 0xffff);
                        at + 12..start
                    }
                    _ => {
                        assert_eq!(word(at + 4), p.len() - start);
                        at + 8..start
                    }
                };
                let pseudo = add16(sum16(&p[addresses]), add16(17, word(start + 4) as u16));
                assert_eq!(add16(pseudo, sum16(&p[start..])), 0xffff);
            }
            for len in 0..frame.len() {
                let _ = joined.datagrams(&frame[..len]);
            }
            for (size, pieces) in [(0, None), (1, None), (2, Some(125))] {
                assert_eq!(Joined { size, ..joined }.datagrams(&frame).map(|p| p.len()), pieces);
            }
        }
    }

    #[test]
    fn a_tag_goes_back_to_its_place() {
        let frame = tcp(30);
        for kind in [0x8100u16, 0x88a8] {
            let mut r = room(&frame, offload(0, 0));
            let got = mend(&mut r, AT, frame.len(), Some([kind, 0x6123]));
            assert_eq!(got, Some((AT - 4, frame.len() + 4, None)));
            let tagged = &r[AT - 4..];
            assert_eq!(tagged[..12], frame[..12]);
            assert_eq!(tagged[12..16], [&kind.to_be_bytes()[..], &[0x61, 0x23]].concat());
            assert_eq!(tagged[16..38], frame[12..34]);
            assert!(right(tagged, 18));
        }
    }

    #[test]
    fn a_joined_frame_is_right_to_read_and_ready_to_cut() {
        let frame = tcp(4000);
        let mut r = room(&frame, offload(TCP4 | ECN, 1448));
        let (at, len, joined) = mend(&mut r, AT, frame.len(), Some([0x8100, 7])).unwrap();
        let joined = joined.unwrap();
        let whole = r[at..at + len].to_vec();
        assert!(right(&whole, 18));
        let header = joined.ready(&mut r[at..at + len]).unwrap();
        assert_eq!(r[at + 18 + 36..at + 18 + 38], frame[50..52], "the sum of the pseudo-header is back");
        let words: Vec<u16> = header[2..].as_chunks::<2>().0.iter().map(|w| u16::from_ne_bytes(*w)).collect();
        assert_eq!((&header[..2], &words[..]), (&[NEEDS_CHECKSUM, TCP4 | ECN][..], &[58, 1448, 38, 16][..]));
        let mut other = whole.clone();
        other[100] ^= 1;
        assert!(joined.fits(&whole, &other));
        other[20] ^= 1;
        assert!(!joined.fits(&whole, &other) && !joined.fits(&whole, &whole[1..]));
    }

    #[test]
    fn a_checksum_of_udp_is_never_zero() {
        // The words sum to zero with the pseudo-header's.
        let mut f = vec![0u8; 34];
        f.extend([0xff, 0xfe, 0, 1, 0, 0, 0, 0]);
        assert_eq!(fill(&mut f, 34, UDP_CHECKSUM), Some(0));
        assert_eq!(f[40..], [0xff, 0xff]);
    }

    #[test]
    fn a_checksum_of_sctp_is_a_crc() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        let mut f = vec![7u8; 34];
        f.extend(*b"1234\0\0\0\0");
        f.extend([0; 4]);
        f.extend(*b"rest");
        assert_eq!(fill(&mut f, 34, SCTP_CHECKSUM), Some(0));
        let mut plain = f[34..].to_vec();
        plain[8..12].fill(0);
        assert_eq!(f[42..46], (!crc32c(!0, &plain)).to_le_bytes());
    }

    #[test]
    fn headers_that_lie_change_nothing_else() {
        let frame = tcp(20);
        for lie in [[0xff; OFFLOAD_BYTES], [1, 1, 0, 0, 0, 0, 0xff, 0xff, 0, 0], [1, 1, 0, 0, 0, 0, 70, 0, 8, 0]] {
            for len in 0..frame.len() {
                let mut r = room(&frame[..len], lie);
                let got = mend(&mut r, AT, len, Some([0x8100, 7]));
                assert!(got.is_some_and(|(at, n, _)| at + n == AT + len), "{len}");
            }
        }
        assert_eq!(mend(&mut [0; 8], 4, 4, None), None);
        assert_eq!(mend(&mut [0; 18], 10, 9, None), None);
    }
}
