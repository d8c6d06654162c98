//! Arbitrary segments against one session, for the fuzzer: nothing may panic, memory stays within its account, and what
//! readers are shown stays consistent.

use super::{Account, Chunk, SegmentCx, Settings, TcpSession};
use crate::decode::{TcpFlags, TcpHeader};
use crate::types::{Counters, Direction, Timestamp};
use std::net::{IpAddr, Ipv4Addr};

/// Reads `data` as a list of segments: 16 bytes of header each, then up to 255 bytes of payload.
pub fn fuzz_target(data: &[u8]) {
    let Some((&mode, mut rest)) = data.split_first() else { return };
    let settings = Settings {
        midstream: mode & 2 != 0,
        async_oneside: mode & 4 != 0,
        policy: super::OsPolicy::NAMES.get(usize::from(mode >> 4)).map_or_else(Default::default, |(_, p)| *p),
        depth: 1 << 16,
        segments_max: 32,
        raw_overlap: 64,
        ..Settings::default()
    };
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (mut account, mut counters) = (Account::new(1 << 17), Counters::default());
    let mut session = TcpSession::new(&settings, address, address);
    let mut ts = 0u64;
    let mut readers = [Reader::default(), Reader::default()];
    while let Some((head, tail)) = rest.split_first_chunk::<16>() {
        let (tcp, dir, len) = header(head);
        let (payload, tail) = tail.split_at(len.min(tail.len()));
        rest = tail;
        ts += u64::from(head[15]);
        if head[15] & 0xf0 == 0xf0 {
            session.pass_unseen(dir, tcp.seq);
        }
        let mut cx = SegmentCx {
            settings: &settings,
            account: &mut account,
            counters: &mut counters,
            ts: Timestamp::from_micros(ts),
            inline: mode & 1 != 0,
            resync: (mode & 8 != 0).then_some(dir),
        };
        let out = session.segment(&mut cx, &tcp, payload, dir);
        debug_assert!(out.rewritten.is_none_or(|r| r.len() == payload.len()));
        if let Some(view) = out.at.as_ref().and_then(|at| session.around(dir, at)) {
            debug_assert!(view.fresh <= view.bytes.len());
        }
        if out.reversed {
            readers.swap(0, 1);
        }
        for (d, r) in Direction::BOTH.into_iter().zip(&mut readers) {
            r.read(&mut session, d, head[14]);
        }
        session.trim(&mut account);
        debug_assert!(account.used() <= account.max() && session.memory() == account.used());
    }
    Direction::BOTH.into_iter().for_each(|d| session.finish(d));
    for (d, r) in Direction::BOTH.into_iter().zip(&mut readers) {
        r.read(&mut session, d, 0);
    }
    session.release(&mut account);
    debug_assert!(account.used() == 0);
}

/// Sequence numbers near a few bases, so that segments meet; bits of the first byte choose direction and window.
fn header(h: &[u8; 16]) -> (TcpHeader, Direction, usize) {
    let base = |b: u8| if b & 1 == 0 { 1000u32 } else { u32::MAX - 500 };
    let word = |a: u8, b: u8| u32::from(u16::from_be_bytes([a, b]));
    let tcp = TcpHeader {
        flags: TcpFlags(h[1]),
        seq: base(h[0] >> 1).wrapping_add(word(h[2], h[3])),
        ack: base(h[0] >> 2).wrapping_add(word(h[4], h[5])),
        window: u16::from_be_bytes([h[6], h[7]]),
        urgent: u16::from(h[8]),
        window_scale: (h[0] & 8 != 0).then_some(h[9] % 15),
        timestamps: (h[0] & 16 != 0).then(|| (word(h[10], h[11]), 0)),
        fast_open: h[0] & 32 != 0,
        ..TcpHeader::default()
    };
    let dir = if h[0] & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
    (tcp, dir, usize::from(h[12]))
}

/// Holds what it is shown against what came before.
#[derive(Default)]
struct Reader {
    at: u64,
    ended: bool,
}

impl Reader {
    fn read(&mut self, session: &mut TcpSession, dir: Direction, appetite: u8) {
        let mut turns = 0;
        while session.has_work(dir) {
            turns += 1;
            debug_assert!(turns < 10_000);
            let take = match session.pending(dir) {
                Some(Chunk::Data { bytes, .. }) => (bytes.len() as u64).saturating_sub(u64::from(appetite & 7)),
                Some(Chunk::Gap { offset, len }) => {
                    debug_assert!(len > 0 && offset + len > self.at);
                    self.at = offset + len;
                    0
                }
                Some(Chunk::End) => {
                    debug_assert!(!self.ended);
                    self.ended = true;
                    0
                }
                None => 0,
            };
            session.consume(dir, take);
            let view = session.raw(dir);
            debug_assert!(view.fresh <= view.bytes.len());
            session.raw_inspected(dir);
        }
    }
}

#[cfg(test)]
mod tests {
    /// A little of what the fuzzer does, each time the tests run.
    #[test]
    fn whatever_comes_is_borne() {
        let mut state = 11u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        for _ in 0..3_000 {
            let len = 40 * usize::from(byte());
            // Flags as connections have them, more often than not.
            let mut data: Vec<u8> = (0..len).map(|_| byte()).collect();
            for head in data.get_mut(1..).unwrap_or_default().chunks_mut(40) {
                if let (Some(flags), true) = (head.get_mut(1), byte() < 200) {
                    *flags = [2, 0x12, 0x10, 0x18, 0x18, 0x11][usize::from(byte()) % 6];
                }
                if let (Some(high), true) = (head.get_mut(2), byte() < 200) {
                    *high &= 1;
                }
            }
            super::fuzz_target(&data);
        }
    }
}
