//! The inline mix: frames of a capture as they would cross a wire between clients and servers.
//!
//! Truncated frames and those without IP are left out. TCP segments longer than a frame of 1,514 bytes are cut into such,
//! longer datagrams left out. Each frame belongs to its flow's client's or server's side; both sides have one Ethernet
//! address each, so that a bridge learns where they are and no host's own stack answers. Checksums are made right.

use capture::Receive;
use engine::decode::LinkType;
use engine::wire::checksum;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

/// The longest frame without tags: Ethernet's header and 1,500 bytes.
pub const FRAME_MAX: usize = 1514;
const ADDRESSES: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 10], [2, 0, 0, 0, 0, 11]];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A frame by its place in the bytes of all.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    start: usize,
    len: usize,
    /// Where the IP header begins.
    ip: usize,
    /// 0: the client sends it; 1: the server.
    pub side: usize,
}

#[derive(Default)]
pub struct Frames {
    bytes: Vec<u8>,
    pub places: Vec<Place>,
    /// Left out: truncated, without IP, too long.
    pub left_out: [u64; 3],
    /// What the second byte of every address is changed by just now.
    shift: u8,
    sides: HashMap<Key, IpAddr>,
}

/// Both ends, the lower first, and the protocol.
type Key = ((IpAddr, u16), (IpAddr, u16), u8);

impl Frames {
    /// At most `max` frames, in the order of the capture.
    pub fn read(path: &Path, max: usize) -> Result<Frames, String> {
        let mut reader = capture::open(path).map_err(|e| e.to_string())?;
        let mut all = Frames::default();
        while all.places.len() < max {
            let mut batch = Vec::new();
            if reader.recv(&mut batch, 1_024).map_err(|e| e.to_string())? == 0 {
                break;
            }
            for f in batch.iter().filter(|f| f.link == LinkType::ETHERNET) {
                all.add(f.data, f.wire_len as usize);
            }
        }
        all.places.truncate(max);
        match all.places.is_empty() {
            true => Err(format!("{}: no frames to send", path.display())),
            false => Ok(all),
        }
    }

    /// The first segments of `n` connections that nobody goes on with, each from another host and port.
    pub fn of_syns(n: u32) -> Frames {
        let mut all = Frames::default();
        for i in 0..n {
            let mut f = vec![0; 12];
            f.extend([8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, TCP, 0, 0, 10]);
            // Each step is coprime to what it goes around.
            f.extend(&(i.wrapping_mul(7_919) & 0xff_ffff).to_be_bytes()[1..]);
            f.extend([10, 77, 0, 3]);
            f.extend((1024 + (i * 31 % 60_000) as u16).to_be_bytes());
            f.extend([0, 80]);
            f.extend(i.wrapping_mul(2_654_435_761).to_be_bytes());
            f.extend([0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
            all.add(&f, f.len());
        }
        all
    }

    pub fn bytes(&self, place: &Place) -> &[u8] {
        self.bytes.get(place.start..place.start + place.len).unwrap_or_default()
    }

    fn add(&mut self, data: &[u8], wire_len: usize) {
        if data.len() < wire_len {
            self.left_out[0] += 1;
            return;
        }
        let mut ip = 14;
        while matches!(data.get(ip - 2..ip), Some([0x81, 0] | [0x88, 0xa8])) {
            ip += 4;
        }
        let Some(header) = Header::of(data, ip) else {
            self.left_out[1] += 1;
            return;
        };
        // Padding behind the datagram goes.
        let Some(data) = data.get(..ip + header.total).filter(|d| d.len() >= header.payload) else {
            self.left_out[0] += 1;
            return;
        };
        let side = self.side(data, &header);
        let room = FRAME_MAX + ip - 14;
        if data.len() <= room {
            self.push(data.to_vec(), &header, side);
            return;
        }
        match header.tcp(data) {
            Some(body) if !header.fragment => self.cut(data, &header, body, room, side),
            _ => self.left_out[2] += 1,
        }
    }

    /// A segment that an offload had joined, in frames of at most `room` bytes.
    fn cut(&mut self, data: &[u8], header: &Header, body: usize, room: usize, side: usize) {
        let (head, rest) = data.split_at(body);
        let pieces = rest.chunks(room.saturating_sub(body).max(1));
        let last = pieces.len() - 1;
        let mut done = 0u32;
        for (i, piece) in pieces.enumerate() {
            let mut frame = [head, piece].concat();
            let seq = &mut frame[header.payload + 4..header.payload + 8];
            let was = u32::from_be_bytes([seq[0], seq[1], seq[2], seq[3]]);
            seq.copy_from_slice(&was.wrapping_add(done).to_be_bytes());
            if i < last {
                // FIN and PSH are the last one's.
                frame[header.payload + 13] &= !0x09;
            }
            done = done.wrapping_add(piece.len() as u32);
            let total = frame.len() - header.at;
            match header.v4 {
                true => frame[header.at + 2..header.at + 4].copy_from_slice(&(total as u16).to_be_bytes()),
                false => frame[header.at + 4..header.at + 6].copy_from_slice(&((total - 40) as u16).to_be_bytes()),
            }
            self.push(frame, &Header { total, ..*header }, side);
        }
    }

    fn push(&mut self, mut frame: Vec<u8>, header: &Header, side: usize) {
        frame[..6].copy_from_slice(&ADDRESSES[side ^ 1]);
        frame[6..12].copy_from_slice(&ADDRESSES[side]);
        header.repair(&mut frame);
        self.places.push(Place { start: self.bytes.len(), len: frame.len(), ip: header.at, side });
        self.bytes.append(&mut frame);
    }

    /// Whose the frame is: who spoke first in its flow is the client, unless it answers.
    fn side(&mut self, data: &[u8], header: &Header) -> usize {
        let (src, dst) = header.addresses(data);
        let (from, to) = if header.fragment { (0, 0) } else { header.ports(data) };
        let flags = header.tcp(data).and_then(|_| data.get(header.payload + 13)).copied().unwrap_or(0);
        let answers = match flags & 0x12 {
            0x12 => true,
            0x02 => false,
            _ => from < 1024 && to >= 1024,
        };
        let client = if answers { dst } else { src };
        let (a, b) = ((src, from), (dst, to));
        let flow = (a.min(b), a.max(b), header.proto);
        // Fragments and messages without ports go the way of what else these two say.
        let pair = ((src.min(dst), 0), (src.max(dst), 0), 0);
        let of_pair = *self.sides.entry(pair).or_insert(client);
        let client = match (from, to) {
            (0, 0) => of_pair,
            _ => *self.sides.entry(flow).or_insert(client),
        };
        usize::from(client != src)
    }

    /// Makes every flow a new one: changes the second byte of every address, as `mix` does between its rounds.
    pub fn renew(&mut self) {
        let next = self.shift.wrapping_add(4);
        let change = self.shift ^ next;
        self.shift = next;
        for p in &self.places {
            if let Some(frame) = self.bytes.get_mut(p.start..p.start + p.len)
                && let Some(header) = Header::of(frame, p.ip)
            {
                header.change(frame, change);
            }
        }
    }
}

/// Where things are in a frame's IP header, the outermost.
#[derive(Clone, Copy)]
struct Header {
    at: usize,
    v4: bool,
    proto: u8,
    /// Bytes from the header on.
    total: usize,
    /// Where the payload begins, in the frame.
    payload: usize,
    fragment: bool,
    /// Not the first of its datagram.
    later: bool,
}

impl Header {
    fn of(data: &[u8], at: usize) -> Option<Header> {
        let h = data.get(at..)?;
        let kind = data.get(at - 2..at)?;
        let word = |i: usize| Some(usize::from(u16::from_be_bytes([*h.get(i)?, *h.get(i + 1)?])));
        match (kind, h.first()? >> 4) {
            ([8, 0], 4) => {
                let length = usize::from(h[0] & 15) * 4;
                let (total, frag) = (word(2)?, word(6)?);
                let whole = length >= 20 && h.len() >= length && total >= length;
                let (fragment, later) = (frag & 0x3fff != 0, frag & 0x1fff != 0);
                let proto = *h.get(9)?;
                whole.then_some(Header { at, v4: true, proto, total, payload: at + length, fragment, later })
            }
            ([0x86, 0xdd], 6) => {
                let (total, proto) = (40 + word(4)?, *h.get(6)?);
                let fragment = proto == 44;
                (h.len() >= 40).then_some(Header {
                    at,
                    v4: false,
                    proto,
                    total,
                    payload: at + 40,
                    fragment,
                    later: fragment,
                })
            }
            _ => None,
        }
    }

    /// Where the two addresses begin, and how long one is.
    const fn places(&self) -> ([usize; 2], usize) {
        if self.v4 { ([self.at + 12, self.at + 16], 4) } else { ([self.at + 8, self.at + 24], 16) }
    }

    fn addresses(&self, data: &[u8]) -> (IpAddr, IpAddr) {
        let ([a, b], n) = self.places();
        let one = |at: usize| match data.get(at..at + n) {
            Some(&[a, b, c, d]) => IpAddr::from([a, b, c, d]),
            Some(long) => IpAddr::from(<[u8; 16]>::try_from(long).unwrap_or_default()),
            None => IpAddr::from([0; 4]),
        };
        (one(a), one(b))
    }

    fn ports(&self, data: &[u8]) -> (u16, u16) {
        match data.get(self.payload..self.payload + 4) {
            Some(&[a, b, c, d]) if matches!(self.proto, TCP | UDP) => {
                (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            }
            _ => (0, 0),
        }
    }

    /// Where the data of a TCP segment begins.
    fn tcp(&self, data: &[u8]) -> Option<usize> {
        let length = usize::from(data.get(self.payload + 12)? >> 4) * 4;
        let body = self.payload + length;
        (self.proto == TCP && !self.later && length >= 20 && body <= data.len()).then_some(body)
    }

    /// Where the checksum of the transport lies.
    fn sum(&self, data: &[u8]) -> Option<usize> {
        match self.proto {
            TCP => Some(self.payload + 16),
            UDP => Some(self.payload + 6),
            _ => None,
        }
        .filter(|at| !self.later && at + 2 <= data.len())
    }

    fn repair(&self, frame: &mut [u8]) {
        if self.v4 {
            frame[self.at + 10..self.at + 12].fill(0);
            let sum = checksum::plain(&frame[self.at..self.payload]);
            frame[self.at + 10..self.at + 12].copy_from_slice(&sum.to_be_bytes());
        }
        let Some(at) = self.sum(frame).filter(|_| !self.fragment) else { return };
        if self.proto == UDP && frame[at..at + 2] == [0, 0] {
            return;
        }
        frame[at..at + 2].fill(0);
        let (src, dst) = self.addresses(frame);
        let sum = match checksum::transport(src, dst, self.proto, &frame[self.payload..]) {
            0 if self.proto == UDP => 0xffff,
            sum => sum,
        };
        frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// Changes the second byte of both addresses, but of those for many, and carries the checksums along (RFC 1624).
    fn change(&self, frame: &mut [u8], by: u8) {
        let sum = self.sum(frame).filter(|at| self.proto != UDP || frame[*at..*at + 2] != [0, 0]);
        let own = self.v4.then_some(self.at + 10);
        let many = if self.v4 { 224 } else { 0xfe };
        for at in self.places().0 {
            let old = u16::from_be_bytes([frame[at], frame[at + 1]]);
            if frame[at] >= many {
                continue;
            }
            frame[at + 1] ^= by;
            let new = u16::from_be_bytes([frame[at], frame[at + 1]]);
            for place in [own, sum].into_iter().flatten() {
                let field = u16::from_be_bytes([frame[place], frame[place + 1]]);
                let mut s = u32::from(!field) + u32::from(!old) + u32::from(new);
                s = (s & 0xffff) + (s >> 16);
                s = (s & 0xffff) + (s >> 16);
                frame[place..place + 2].copy_from_slice(&(!(s as u16)).to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(src: [u8; 4], dst: [u8; 4], ports: [u16; 2], flags: u8, body: &[u8]) -> Vec<u8> {
        let mut f = vec![9u8; 12];
        f.extend([0x81, 0, 0, 7, 8, 0, 0x45, 0]);
        f.extend((40 + body.len() as u16).to_be_bytes());
        f.extend([0, 1, 0, 0, 64, TCP, 0, 0]);
        f.extend(src);
        f.extend(dst);
        f.extend(ports.map(u16::to_be_bytes).concat());
        f.extend([0, 0, 0, 100, 0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        f.extend(body);
        f
    }

    fn right(f: &[u8]) {
        let h = Header::of(f, 18).unwrap();
        assert!(checksum::plain_ok(&f[18..38]));
        let (src, dst) = h.addresses(f);
        assert!(checksum::transport_ok(src, dst, TCP, &f[38..]));
    }

    #[test]
    fn long_segments_are_cut_and_add_up() {
        let (c, s) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let body: Vec<u8> = (0..4000u32).map(|i| i as u8).collect();
        let mut all = Frames::default();
        let syn_ack = segment(s, c, [80, 4000], 0x12, &[]);
        all.add(&syn_ack, syn_ack.len());
        let long = segment(c, s, [4000, 80], 0x19, &body);
        all.add(&long, long.len());
        all.add(&long[..100], long.len());
        assert_eq!((all.places.len(), all.left_out), (4, [1, 0, 0]));
        assert_eq!(all.places.iter().map(|p| p.side).collect::<Vec<_>>(), [1, 0, 0, 0]);
        let mut put: Vec<u8> = Vec::new();
        for (i, p) in all.places.iter().enumerate().skip(1) {
            let f = all.bytes(p);
            assert!(f.len() <= FRAME_MAX + 4);
            right(f);
            assert_eq!(u32::from_be_bytes(f[42..46].try_into().unwrap()), 100 + put.len() as u32);
            assert_eq!(f[51], if i == 3 { 0x19 } else { 0x10 });
            put.extend(&f[58..]);
        }
        assert_eq!(put, body);
    }

    #[test]
    fn a_flood_is_of_first_segments_from_the_client() {
        let all = Frames::of_syns(1000);
        assert_eq!((all.places.len(), all.left_out), (1000, [0; 3]));
        for p in &all.places {
            let f = all.bytes(p);
            let h = Header::of(f, 14).unwrap();
            let (src, dst) = h.addresses(f);
            assert!(p.side == 0 && checksum::plain_ok(&f[14..34]));
            assert!(checksum::transport_ok(src, dst, TCP, &f[34..]) && f[47] == 2);
        }
    }

    #[test]
    fn renewed_flows_keep_their_checksums() {
        let mut all = Frames::default();
        let f = segment([10, 0, 0, 1], [239, 0, 0, 2], [4000, 80], 0x02, b"abc");
        all.add(&f, f.len());
        for _ in 0..300 {
            all.renew();
            let f = all.bytes(&all.places[0]);
            right(f);
            assert_eq!((f[31] == 0, f[35]), (all.shift == 0, 0));
        }
    }

    #[test]
    fn damaged_frames_are_left_out_or_sent_as_they_are() {
        let whole = segment([10, 0, 0, 1], [10, 0, 0, 2], [4000, 80], 0x02, b"abc");
        let mut all = Frames::default();
        for n in 0..whole.len() {
            all.add(&whole[..n], n);
            for bit in 0..8 {
                let mut f = whole.clone();
                f[n] ^= 1 << bit;
                all.add(&f, f.len());
            }
        }
        all.renew();
        assert!(all.places.iter().all(|p| p.side < 2));
    }
}
