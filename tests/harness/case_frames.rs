//! What is done to a case's frames before they run: segments cut anew and put out of order, datagrams in fragments,
//! frames inside tunnels and tags.
//!
//! Everything works on Ethernet frames of IPv4 without options or tags; other frames pass unchanged.

use crate::craft::{self, FIN, PSH, RST, SYN};
use crate::dialogue::{CLIENT, SERVER, TimedFrame};

const ETHERNET: usize = 14;
const IPV4: usize = 20;

/// What a frame is put into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wrap {
    #[default]
    None,
    /// One 802.1Q tag.
    Vlan(u16),
    /// An 802.1ad tag outside an 802.1Q tag.
    QinQ(u16, u16),
    /// GRE version 0 (RFC 2784) over IPv4.
    Gre,
    /// VXLAN (RFC 7348) to port 4789.
    Vxlan(u32),
}

/// How segments are cut anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recut {
    /// Bytes of a piece at most.
    pub size: usize,
    /// The pieces of a segment come last first.
    pub reversed: bool,
}

/// Where the TCP payload of a frame begins and ends; `None` for everything that is not cut.
fn tcp_payload(frame: &[u8]) -> Option<(usize, usize)> {
    let whole = frame.get(12..14)? == [8, 0] && *frame.get(ETHERNET)? == 0x45 && *frame.get(ETHERNET + 9)? == 6;
    let unfragmented = u16::from_be_bytes([*frame.get(20)?, *frame.get(21)?]) & 0x3fff == 0;
    let end = ETHERNET + usize::from(u16::from_be_bytes([*frame.get(16)?, *frame.get(17)?]));
    let start = ETHERNET + IPV4 + usize::from(*frame.get(ETHERNET + IPV4 + 12)? >> 4) * 4;
    let flags = *frame.get(ETHERNET + IPV4 + 13)?;
    (whole && unfragmented && flags & (SYN | RST) == 0 && start < end && end <= frame.len()).then_some((start, end))
}

/// Whether a frame is of TCP over IPv4 with something to cut.
pub fn is_cuttable(frame: &[u8]) -> bool {
    tcp_payload(frame).is_some()
}

/// The frame as segments of at most `recut.size` bytes; packet time within it moves by a microsecond a piece.
pub fn recut(frame: &TimedFrame, recut: Recut) -> Vec<TimedFrame> {
    let Some((start, end)) = tcp_payload(&frame.data) else { return vec![frame.clone()] };
    let (head, payload) = (&frame.data[..start], &frame.data[start..end]);
    let count = payload.len().div_ceil(recut.size);
    let mut pieces: Vec<Vec<u8>> =
        (0..count).map(|i| piece(head, payload, i * recut.size, recut.size, i + 1 == count)).collect();
    if recut.reversed {
        pieces.reverse();
    }
    let timed = |(i, data)| TimedFrame { micros: frame.micros + i as i64, to_server: frame.to_server, data };
    pieces.into_iter().enumerate().map(timed).collect()
}

fn piece(head: &[u8], payload: &[u8], at: usize, size: usize, last: bool) -> Vec<u8> {
    let bytes = &payload[at..(at + size).min(payload.len())];
    let mut frame = [head, bytes].concat();
    let tcp = ETHERNET + IPV4;
    let seq = u32::from_be_bytes([frame[tcp + 4], frame[tcp + 5], frame[tcp + 6], frame[tcp + 7]]);
    frame[tcp + 4..tcp + 8].copy_from_slice(&seq.wrapping_add(at as u32).to_be_bytes());
    if !last {
        frame[tcp + 13] &= !(FIN | PSH);
    }
    let total = (frame.len() - ETHERNET) as u16;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    repair_ipv4(&mut frame);
    frame[tcp + 16..tcp + 18].fill(0);
    let sum = craft::checksum(&[&pseudo_of(&frame), &frame[tcp..]]);
    frame[tcp + 16..tcp + 18].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// Its header checksum made right.
pub fn repair_ipv4(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = craft::checksum(&[&frame[ETHERNET..ETHERNET + IPV4]]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

fn pseudo_of(frame: &[u8]) -> Vec<u8> {
    let word = |at: usize| [frame[at], frame[at + 1], frame[at + 2], frame[at + 3]];
    craft::pseudo(word(26), word(30), frame[23], frame.len() - ETHERNET - IPV4)
}

/// Whether the checksums of a TCP segment over plain IPv4 are right; of other frames, true.
pub fn checksums_hold(frame: &[u8]) -> bool {
    let plain = frame.len() >= ETHERNET + IPV4 + 20
        && frame[12..15] == [8, 0, 0x45]
        && frame[23] == 6
        && u16::from_be_bytes([frame[20], frame[21]]) & 0x3fff == 0;
    if !plain {
        return true;
    }
    let end = ETHERNET + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let Some(frame) = frame.get(..end) else { return false };
    craft::checksum(&[&frame[ETHERNET..ETHERNET + IPV4]]) == 0
        && craft::checksum(&[&pseudo_of(frame), &frame[ETHERNET + IPV4..]]) == 0
}

/// The IPv4 packet of a frame in fragments of at most `size` bytes, a multiple of 8.
pub fn fragment(data: &[u8], size: usize) -> Vec<Vec<u8>> {
    let payload = &data[ETHERNET + IPV4..];
    let count = payload.len().div_ceil(size);
    let one = |(i, part): (usize, &[u8])| {
        let mut frame = [&data[..ETHERNET + IPV4], part].concat();
        let total = (IPV4 + part.len()) as u16;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        let more = if i + 1 < count { 0x2000 } else { 0 };
        let offset = (i * size / 8) as u16 | more;
        frame[20..22].copy_from_slice(&offset.to_be_bytes());
        repair_ipv4(&mut frame);
        frame
    };
    payload.chunks(size).enumerate().map(one).collect()
}

/// Whether a frame is of IPv4 without options, whole, with more than fits the smallest fragment.
pub fn is_fragmentable(frame: &[u8]) -> bool {
    frame.len() > ETHERNET + IPV4
        && frame[12..15] == [8, 0, 0x45]
        && u16::from_be_bytes([frame[20], frame[21]]) & 0x3fff == 0
        && (ETHERNET + IPV4 + 9..=frame.len()).contains(&datagram_end(frame))
}

/// Where the datagram ends and padding begins.
fn datagram_end(frame: &[u8]) -> usize {
    ETHERNET + usize::from(u16::from_be_bytes([frame[16], frame[17]]))
}

/// The frame as fragments of at most `cut.size` bytes, the datagram under an identifier of its own.
pub fn fragments(frame: &TimedFrame, cut: Recut, id: u16) -> Vec<TimedFrame> {
    if !is_fragmentable(&frame.data) {
        return vec![frame.clone()];
    }
    let mut data = frame.data[..datagram_end(&frame.data)].to_vec();
    data[18..20].copy_from_slice(&id.to_be_bytes());
    repair_ipv4(&mut data);
    let mut pieces = fragment(&data, cut.size);
    if cut.reversed {
        pieces.reverse();
    }
    pieces.into_iter().map(|data| TimedFrame { data, ..frame.clone() }).collect()
}

/// The frame inside its tags or its tunnel.
pub fn wrap(frame: TimedFrame, wrap: Wrap) -> TimedFrame {
    let tag = |kind: u16, id: u16| [kind.to_be_bytes(), id.to_be_bytes()].concat();
    let (macs, rest) = frame.data.split_at(12);
    let data = match wrap {
        Wrap::None => return frame,
        Wrap::Vlan(id) => [macs, &tag(0x8100, id), rest].concat(),
        Wrap::QinQ(outer, inner) => [macs, &tag(0x88a8, outer), &tag(0x8100, inner), rest].concat(),
        Wrap::Gre => craft::ipv4(CLIENT, SERVER, 47, &[&[0, 0, 8, 0], &rest[2..]].concat(), true),
        Wrap::Vxlan(vni) => {
            let header = [0x0800_0000_u32.to_be_bytes(), (vni << 8).to_be_bytes()].concat();
            craft::udp(true, 49_152, 4789, 0, &[&header[..], &frame.data].concat()).data
        }
    };
    TimedFrame { data, ..frame }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::Conversation;

    #[test]
    fn pieces_hold_the_segment_and_their_checksums() {
        let mut c = Conversation::open(40_000, 80);
        c.send(true, b"abcdefgh");
        let frame = &c.frames[3];
        let cut = recut(frame, Recut { size: 3, reversed: true });
        assert_eq!(cut.len(), 3);
        assert!(cut[0].data.ends_with(b"gh") && cut[2].data.ends_with(b"abc"));
        assert!(cut.iter().all(|f| checksums_hold(&f.data)));
        assert_eq!(recut(frame, Recut { size: 100, reversed: false }), std::slice::from_ref(frame));
        let mut broken = frame.data.clone();
        *broken.last_mut().unwrap() ^= 1;
        assert!(!checksums_hold(&broken));
    }

    #[test]
    fn fragments_hold_the_datagram() {
        let whole = craft::udp(true, 1, 2, 0, &[7; 30]).data;
        let parts = fragment(&whole, 16);
        let bytes: Vec<u8> = parts.iter().flat_map(|p| p[34..].to_vec()).collect();
        assert_eq!((parts.len(), &bytes[..]), (3, &whole[34..]));
    }
}
