//! Fuzz entries: any bytes as a capture file, or as the kernel's messages about links.

use super::netlink::{Address, Attributes, Link, Messages, error_number};
use super::{FRAME_BYTES_MAX, Reader, Receive, open_stream};
use std::io::Cursor;

/// Reads `data` as an uncompressed capture to its end; small batches and large give the same.
pub fn fuzz_target(data: &[u8]) {
    let small = read(Reader::new("fuzz", Box::new(Cursor::new(data.to_vec()))).ok(), 1);
    let large = read(Reader::new("fuzz", Box::new(Cursor::new(data.to_vec()))).ok(), 64);
    assert_eq!(small, large);
}

/// Reads `data` with whatever compression it claims.
pub fn fuzz_compressed(data: &[u8]) {
    read(open_stream("fuzz", Box::new(Cursor::new(data.to_vec()))).ok(), 64);
}

/// Reads `data` as messages of rtnetlink or of a queue, and each as whatever it may be.
pub fn fuzz_netlink(data: &[u8]) {
    let mut walked = 0;
    for m in Messages(data) {
        walked += m.body.len();
        let _ = (Address::of(m.body), error_number(m.body));
        assert!(
            super::queue::Asked::of(&m)
                .is_none_or(|a| a.payload.len() < m.body.len() && a.len as usize >= a.payload.len())
        );
        if let Some(link) = Link::of(m.body) {
            assert!(link.name.len() <= 3 * m.body.len());
        }
        Attributes(m.body).for_each(|(_, value)| assert!(value.len() < m.body.len()));
    }
    assert!(walked <= data.len());
    super::links::about_any(data, |ifindex| ifindex == 1);
}

/// Puts a frame right that the kernel gave with an offload header and perhaps a tag beside it; what is at its front says
/// which. It stays where it ends, and what is in front of it stays as it was.
pub fn fuzz_mend(data: &[u8]) {
    const FRONT: usize = 16;
    let Some(([tagged, front, a, b, c, d], rest)) = data.split_first_chunk() else { return };
    let at = usize::from(*front) % 32;
    let tag = (tagged & 1 != 0).then(|| [u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d])]);
    let mut room = [&[0xee; FRONT][..], rest].concat();
    let Some(len) = room.len().checked_sub(FRONT + at) else { return };
    let Some((begin, long, joined)) = super::packet::mend(&mut room, FRONT + at, len, tag) else { return };
    assert_eq!(begin + long, FRONT + at + len);
    if at >= 14 {
        assert_eq!(room[..FRONT], [0xee; FRONT]);
    }
    if let Some(joined) = joined {
        let whole = room[begin..].to_vec();
        assert!(joined.fits(&whole, &whole));
        if let Some(pieces) = joined.datagrams(&whole) {
            assert!(!pieces.is_empty() && pieces.iter().all(|p| p.len() <= whole.len()));
        }
        let _ = joined.ready(&mut room[begin..]);
        assert_eq!(room.len(), begin + long);
    }
}

/// Frames, a sum over them, and whether the end was clean; at most 100,000 frames.
fn read(reader: Option<Reader>, max: usize) -> Option<(usize, u64, bool)> {
    let mut reader = reader?;
    let (mut count, mut sum) = (0, 0u64);
    let mut clean = true;
    while count < 100_000 {
        let mut frames = Vec::new();
        match reader.recv(&mut frames, max) {
            Ok(0) => break,
            Ok(n) => count += n,
            Err(_) => {
                clean = false;
                break;
            }
        }
        for f in &frames {
            assert!(f.data.len() <= FRAME_BYTES_MAX && f.wire_len as usize >= f.data.len());
            let bytes = f.data.iter().fold(0u64, |s, b| s.wrapping_mul(31).wrapping_add(u64::from(*b)));
            sum = sum.wrapping_mul(31).wrapping_add(bytes ^ f.ts.nanos() ^ f.number);
        }
    }
    Some((count, sum, clean))
}
