//! Messages of nfnetlink_queue (`linux/netfilter/nfnetlink_queue.h`): packets that the kernel asks about, and answers.

use crate::netlink::{Attributes, HEADER, Message, attribute};
use engine::types::Timestamp;

/// `NFNL_SUBSYS_QUEUE`, the upper half of a message's kind.
const SUBSYSTEM: u16 = 3 << 8;
const PACKET: u16 = SUBSYSTEM;
const VERDICT: u16 = SUBSYSTEM | 1;
pub const CONFIG: u16 = SUBSYSTEM | 2;
/// Bytes of `struct nfgenmsg`: family, version, the queue's number in network order.
const GENERIC: usize = 4;

const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

/// Copies all of a packet.
const COPY_PACKET: u8 = 2;
const BIND: u8 = 1;
/// Of a packet what fits into an attribute.
pub const COPY_BYTES: u32 = 0xffff;

/// A packet that waits for its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Its number, for the answer.
    pub id: u32,
    /// From its IP header on.
    pub payload: &'a [u8],
    /// Its length where more than that.
    pub len: u32,
    /// When it came in, where the kernel noted that.
    pub ts: Option<Timestamp>,
}

impl<'a> Asked<'a> {
    /// `None` of a message that is about something else.
    pub fn of(m: &Message<'a>) -> Option<Asked<'a>> {
        if m.kind != PACKET {
            return None;
        }
        let (mut id, mut asked) = (None, Asked { id: 0, payload: &[], len: 0, ts: None });
        for (kind, value) in Attributes(m.body.get(GENERIC..)?) {
            match i32::from(kind) {
                libc::NFQA_PACKET_HDR => id = number(value, 0),
                libc::NFQA_PAYLOAD => asked.payload = value,
                libc::NFQA_CAP_LEN => asked.len = number(value, 0)?,
                libc::NFQA_TIMESTAMP => asked.ts = time(value),
                _ => {}
            }
        }
        asked.id = id?;
        asked.len = asked.len.max(asked.payload.len() as u32);
        Some(asked)
    }
}

fn number(value: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(value.get(at..at + 4)?.try_into().ok()?))
}

/// Seconds and microseconds.
fn time(value: &[u8]) -> Option<Timestamp> {
    let (secs, rest) = value.split_first_chunk::<8>()?;
    let micros = u64::from_be_bytes(rest.first_chunk::<8>().copied()?);
    let nanos = u64::from_be_bytes(*secs).checked_mul(1_000_000_000)?.checked_add(micros.checked_mul(1_000)?)?;
    Some(Timestamp::from_nanos(nanos))
}

/// What is to become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    Accept,
    /// In this form.
    Replace(&'a [u8]),
    Drop,
}

/// Appends an answer; several may be sent at once. Asks for no word that it arrived.
pub fn answer(to: &mut Vec<u8>, queue: u16, id: u32, answer: Answer<'_>) {
    let begin = to.len();
    to.extend_from_slice(&[0; HEADER]);
    to.extend_from_slice(&generic(queue));
    let verdict = if answer == Answer::Drop { NF_DROP } else { NF_ACCEPT };
    let mut header = [0; 8];
    header[..4].copy_from_slice(&verdict.to_be_bytes());
    header[4..].copy_from_slice(&id.to_be_bytes());
    attribute(to, libc::NFQA_VERDICT_HDR as u16, &header);
    if let Answer::Replace(data) = answer {
        attribute(to, libc::NFQA_PAYLOAD as u16, data);
    }
    let len = (to.len() - begin) as u32;
    let head = to[begin..].first_chunk_mut::<8>();
    if let Some(head) = head {
        head[..4].copy_from_slice(&len.to_ne_bytes());
        head[4..6].copy_from_slice(&VERDICT.to_ne_bytes());
        head[6..].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    }
}

fn generic(queue: u16) -> [u8; GENERIC] {
    let [high, low] = queue.to_be_bytes();
    [libc::AF_UNSPEC as u8, 0, high, low]
}

/// Takes hold of a queue that nobody has; `max` packets may wait in it, past which they are dropped, or let through where
/// `fail_open`.
pub fn bind(queue: u16, max: u32, fail_open: bool) -> Vec<u8> {
    let mut body = generic(queue).to_vec();
    attribute(&mut body, libc::NFQA_CFG_CMD as u16, &[BIND, 0, 0, 0]);
    attribute(&mut body, libc::NFQA_CFG_QUEUE_MAXLEN as u16, &max.to_be_bytes());
    let flags = libc::NFQA_CFG_F_FAIL_OPEN as u32;
    attribute(&mut body, libc::NFQA_CFG_MASK as u16, &flags.to_be_bytes());
    attribute(&mut body, libc::NFQA_CFG_FLAGS as u16, &if fail_open { flags } else { 0 }.to_be_bytes());
    body
}

/// From now on its packets are to come, whole.
pub fn begin(queue: u16) -> Vec<u8> {
    let mut body = generic(queue).to_vec();
    let mut value = [0; 5];
    value[..4].copy_from_slice(&COPY_BYTES.to_be_bytes());
    value[4] = COPY_PACKET;
    attribute(&mut body, libc::NFQA_CFG_PARAMS as u16, &value);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Messages, request};

    fn asked(attributes: &[(i32, &[u8])]) -> Vec<u8> {
        let mut body = generic(3).to_vec();
        attributes.iter().for_each(|(kind, value)| attribute(&mut body, *kind as u16, value));
        request(PACKET, 0, 0, &body)
    }

    #[test]
    fn packets_are_read() {
        let header = [0, 0, 1, 2, 8, 0, 1];
        let time = [[0, 0, 0, 0, 0, 0, 0, 5], [0, 0, 0, 0, 0, 0, 0, 7]].concat();
        let bytes = asked(&[
            (libc::NFQA_PACKET_HDR, &header),
            (libc::NFQA_TIMESTAMP, &time),
            (libc::NFQA_CAP_LEN, &[0, 1, 0, 1]),
            (libc::NFQA_PAYLOAD, b"packet"),
        ]);
        let m = Messages(&bytes).next().unwrap();
        let ts = Some(Timestamp::from_nanos(5_000_007_000));
        assert_eq!(Asked::of(&m), Some(Asked { id: 258, payload: b"packet", len: 65_537, ts }));
        for len in 0..bytes.len() {
            let mut short = bytes[..len].to_vec();
            if let Some(word) = short.first_chunk_mut::<4>() {
                *word = (len as u32).to_ne_bytes();
            }
            Messages(&short).for_each(|m| assert!(Asked::of(&m).is_none_or(|a| a.payload.len() <= 6)));
        }
        let bytes = asked(&[(libc::NFQA_PAYLOAD, b"packet")]);
        assert_eq!(Asked::of(&Messages(&bytes).next().unwrap()), None, "nothing to answer to");
    }

    #[test]
    fn answers_follow_one_another() {
        let mut to = Vec::new();
        answer(&mut to, 3, 9, Answer::Accept);
        answer(&mut to, 3, 10, Answer::Drop);
        answer(&mut to, 3, 11, Answer::Replace(b"other"));
        let all: Vec<_> = Messages(&to).collect();
        assert_eq!(all.len(), 3);
        for (m, (verdict, id)) in all.iter().zip([(1u32, 9u32), (0, 10), (1, 11)]) {
            assert_eq!((m.kind, &m.body[..4]), (VERDICT, &[0, 0, 0, 3][..]));
            let header = [verdict.to_be_bytes(), id.to_be_bytes()].concat();
            let attributes: Vec<_> = Attributes(&m.body[4..]).collect();
            assert_eq!(attributes[0], (2, &header[..]));
            assert_eq!(attributes.get(1).map(|a| a.1), (id == 11).then_some(&b"other"[..]));
        }
    }
}
