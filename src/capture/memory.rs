//! A device in memory: frames given beforehand come in, what is sent is kept. For tests and for traffic made in process.

use super::{Error, Outgoing, Receive, Transmit};
use engine::decode::{Frame, LinkType, PortId};
use engine::types::Timestamp;

/// A frame with its own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedFrame {
    pub ts: Timestamp,
    pub link: LinkType,
    pub port: PortId,
    pub data: Vec<u8>,
    pub wire_len: u32,
    /// Of sent frames.
    pub comment: Option<String>,
}

impl OwnedFrame {
    /// An Ethernet frame on port 0.
    pub fn ethernet(ts: Timestamp, data: Vec<u8>) -> Self {
        let wire_len = data.len() as u32;
        OwnedFrame { ts, link: LinkType::ETHERNET, port: PortId(0), data, wire_len, comment: None }
    }
}

/// Both halves of a device in memory.
#[derive(Debug, Default)]
pub struct Memory {
    incoming: Vec<OwnedFrame>,
    next: usize,
    /// What was sent, in order.
    pub sent: Vec<OwnedFrame>,
}

impl Memory {
    pub fn new(incoming: Vec<OwnedFrame>) -> Self {
        Memory { incoming, next: 0, sent: Vec::new() }
    }
}

impl Receive for Memory {
    fn recv<'d>(&'d mut self, frames: &mut Vec<Frame<'d>>, max: usize) -> Result<usize, Error> {
        let first = self.next;
        let batch = self.incoming.iter().skip(first).take(max);
        frames.extend(batch.zip(first as u64 + 1..).map(|(f, number)| Frame {
            ts: f.ts,
            number,
            link: f.link,
            port: f.port,
            data: &f.data,
            wire_len: f.wire_len,
        }));
        let given = max.min(self.incoming.len() - first);
        self.next += given;
        Ok(given)
    }
}

impl Transmit for Memory {
    fn send(&mut self, f: &Outgoing<'_>) -> Result<(), Error> {
        self.sent.push(OwnedFrame {
            ts: f.ts,
            link: f.link,
            port: f.port,
            data: f.data.to_vec(),
            wire_len: f.wire_len,
            comment: f.comment.map(str::to_string),
        });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
