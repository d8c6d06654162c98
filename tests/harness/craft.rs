//! Frames made by hand, segment by segment: Ethernet, IPv4, TCP, checksums right.
//!
//! For what real stacks never send: every cut of a stream, any order, copies that differ. Both ends are those of
//! [`crate::dialogue`]; packet time advances by a millisecond a frame.

use crate::dialogue::{CLIENT, SERVER, TimedFrame};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
/// Sequence numbers of the SYNs of client and server; the server's wraps soon.
pub const ISN: [u32; 2] = [1_000, 0xffff_fff0];

/// A TCP connection under the test's control.
pub struct Conversation {
    pub frames: Vec<TimedFrame>,
    /// Next sequence number of the client and of the server.
    pub seq: [u32; 2],
    port: u16,
    server_port: u16,
    micros: i64,
}

impl Conversation {
    /// Before any segment; the next sequence numbers are those after a handshake.
    pub fn unopened(port: u16, server_port: u16) -> Self {
        let micros = 1_700_000_000_000_000 + i64::from(port) * 1_000_000;
        Conversation { frames: Vec::new(), seq: ISN.map(|n| n.wrapping_add(1)), port, server_port, micros }
    }

    /// After its three-way handshake.
    pub fn open(port: u16, server_port: u16) -> Self {
        let mut c = Conversation { seq: ISN, ..Self::unopened(port, server_port) };
        c.segment(true, c.seq[0], 0, SYN, &[]);
        c.seq[0] += 1;
        c.segment(false, c.seq[1], c.seq[0], SYN | ACK, &[]);
        c.seq[1] = c.seq[1].wrapping_add(1);
        c.ack(true);
        c
    }

    /// One segment of the next bytes, acknowledged by the other side.
    pub fn send(&mut self, to_server: bool, bytes: &[u8]) {
        let side = usize::from(!to_server);
        self.segment(to_server, self.seq[side], self.seq[1 - side], PSH | ACK, bytes);
        self.seq[side] = self.seq[side].wrapping_add(bytes.len() as u32);
        self.ack(!to_server);
    }

    /// Everything received so far is acknowledged by one side.
    pub fn ack(&mut self, to_server: bool) {
        let side = usize::from(!to_server);
        self.segment(to_server, self.seq[side], self.seq[1 - side], ACK, &[]);
    }

    /// Both sides close.
    pub fn close(mut self) -> Vec<TimedFrame> {
        for to_server in [true, false] {
            let side = usize::from(!to_server);
            self.segment(to_server, self.seq[side], self.seq[1 - side], FIN | ACK, &[]);
            self.seq[side] = self.seq[side].wrapping_add(1);
        }
        self.ack(true);
        self.frames
    }

    /// Any segment at all; the sequence state is left alone.
    pub fn segment(&mut self, to_server: bool, seq: u32, ack: u32, flags: u8, payload: &[u8]) {
        self.odd(to_server, seq, ack, flags, payload, Odd::default());
    }

    /// A segment with what is seldom there.
    pub fn odd(&mut self, to_server: bool, seq: u32, ack: u32, flags: u8, payload: &[u8], odd: Odd<'_>) {
        let (src, dst, sport, dport) = if to_server {
            (CLIENT, SERVER, self.port, self.server_port)
        } else {
            (SERVER, CLIENT, self.server_port, self.port)
        };
        self.micros += 1_000;
        let data = tcp4_odd((src, sport), (dst, dport), seq, ack, flags, payload, to_server, &odd);
        self.frames.push(TimedFrame { micros: self.micros, to_server, data });
    }
}

/// One TCP segment between any two ends in an Ethernet frame.
pub fn tcp4(
    (src, sport): ([u8; 4], u16),
    (dst, dport): ([u8; 4], u16),
    seq: u32,
    ack: u32,
    flags: u8,
    payload: &[u8],
    to_server: bool,
) -> Vec<u8> {
    let odd = Odd::default();
    tcp4_odd((src, sport), (dst, dport), seq, ack, flags, payload, to_server, &odd)
}

/// What a segment may have besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odd<'a> {
    pub urgent: u16,
    /// Padded with zeros to whole words.
    pub options: &'a [u8],
    pub wrong_checksum: bool,
}

/// The same with what is seldom there.
#[allow(clippy::too_many_arguments)]
pub fn tcp4_odd(
    (src, sport): ([u8; 4], u16),
    (dst, dport): ([u8; 4], u16),
    seq: u32,
    ack: u32,
    flags: u8,
    payload: &[u8],
    to_server: bool,
    odd: &Odd<'_>,
) -> Vec<u8> {
    let words = odd.options.len().div_ceil(4);
    let mut tcp = Vec::with_capacity(60 + payload.len());
    tcp.extend(sport.to_be_bytes());
    tcp.extend(dport.to_be_bytes());
    tcp.extend(seq.to_be_bytes());
    tcp.extend(ack.to_be_bytes());
    tcp.extend([(5 + words as u8) << 4, flags, 0xff, 0xff, 0, 0]);
    tcp.extend(odd.urgent.to_be_bytes());
    tcp.extend(odd.options);
    tcp.resize(20 + 4 * words, 0);
    tcp.extend(payload);
    let sum = checksum(&[&pseudo(src, dst, 6, tcp.len()), &tcp]) ^ u16::from(odd.wrong_checksum);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    ipv4(src, dst, 6, &tcp, to_server)
}

/// One UDP datagram in an Ethernet frame.
pub fn udp(to_server: bool, port: u16, server_port: u16, micros: i64, payload: &[u8]) -> TimedFrame {
    let (src, dst, sport, dport) =
        if to_server { (CLIENT, SERVER, port, server_port) } else { (SERVER, CLIENT, server_port, port) };
    TimedFrame { micros, to_server, data: udp4((src, sport), (dst, dport), payload, to_server) }
}

/// One UDP datagram between any two ends in an Ethernet frame.
pub fn udp4((src, sport): ([u8; 4], u16), (dst, dport): ([u8; 4], u16), payload: &[u8], to_server: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + payload.len());
    bytes.extend(sport.to_be_bytes());
    bytes.extend(dport.to_be_bytes());
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    let sum = checksum(&[&pseudo(src, dst, 17, bytes.len()), &bytes]);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    ipv4(src, dst, 17, &bytes, to_server)
}

/// An ICMP message (RFC 792) with its four bytes after the checksum zero.
pub fn icmp(to_server: bool, kind: u8, code: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0, 0, 0, 0, 0];
    bytes.extend(payload);
    let sum = checksum(&[&bytes]);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    let (src, dst) = if to_server { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    ipv4(src, dst, 1, &bytes, to_server)
}

/// An IPv4 packet in an Ethernet frame.
pub fn ipv4(src: [u8; 4], dst: [u8; 4], proto: u8, payload: &[u8], to_server: bool) -> Vec<u8> {
    let (a, b) = if to_server { (1, 2) } else { (2, 1) };
    let mut frame = vec![2, 0, 0, 0, 0, b, 2, 0, 0, 0, 0, a, 8, 0];
    let total = 20 + payload.len() as u16;
    let mut header = vec![0x45, 0];
    header.extend(total.to_be_bytes());
    header.extend([0, 1, 0x40, 0, 64, proto, 0, 0]);
    header.extend(src);
    header.extend(dst);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(header);
    frame.extend(payload);
    frame
}

/// The pseudo-header of TCP and UDP over IPv4.
pub fn pseudo(src: [u8; 4], dst: [u8; 4], proto: u8, len: usize) -> Vec<u8> {
    let mut p = Vec::with_capacity(12);
    p.extend(src);
    p.extend(dst);
    p.extend([0, proto]);
    p.extend((len as u16).to_be_bytes());
    p
}

/// The Internet checksum, RFC 1071, over parts of even length but the last.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
