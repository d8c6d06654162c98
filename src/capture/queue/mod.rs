//! NFQUEUE: packets that a router's own rules hand over, and get back with a verdict.
//!
//! A queue is a worker's. What the rules divide among queues by addresses (`--queue-balance 0:3`, `queue to 0-3`) brings
//! both directions of a flow to one of them; fragments have been put together before. The kernel cuts what is joined, and
//! fills checksums in, before it asks. Packets of our own making leave by raw sockets, past the rules for what is
//! forwarded.
//!
//! Nothing passes without a verdict. When we are gone, the kernel drops what waits, and from then on does as its rule says
//! (`--queue-bypass`).

mod message;

use crate::Error;
use crate::live::{LOSSES_EVERY, Live, Stamps, Traffic, wall};
use crate::netlink::{Messages, request};
use crate::sys::host::RawIp;
use crate::sys::netlink::Socket;
use crate::sys::xsk;
use engine::decode::{Frame, LinkType, PortId};
use engine::types::Timestamp;
pub(crate) use message::Asked;
use message::{Answer, CONFIG, answer, begin, bind};
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

/// Packets taken at once.
const MANY: usize = 64;
/// Room for a message: a packet and the kernel's words about it.
const ROOM: usize = 66 << 10;
/// Answers of more bytes are sent before the batch ends: a socket takes no more in one go than its buffer is long, and
/// each of a batch's packets may have been rewritten.
const ANSWERS_BYTES: usize = 32 << 10;
/// Where it says so.
const QUEUES: &str = "/proc/self/net/netfilter/nfnetlink_queue";

struct Held {
    id: u32,
    /// Which of the rooms, and where in it.
    room: usize,
    at: usize,
    len: usize,
    wire_len: u32,
    ts: Timestamp,
    settled: bool,
}

pub struct QueueDevice {
    socket: Socket,
    queue: u16,
    /// Its place among the queues of the run.
    port: PortId,
    raw: Arc<RawIp>,
    losses: Arc<File>,
    rooms: Vec<Vec<u8>>,
    batch: Vec<Held>,
    answers: Vec<u8>,
    now: Stamps,
    number: u64,
    receives: u32,
    traffic: Traffic,
}

/// A device for each queue. `waiting`: packets that may wait in each, past which they are dropped or, where `fail_open`,
/// let through.
pub fn open(queues: RangeInclusive<u16>, waiting: u32, fail_open: bool) -> Result<Vec<QueueDevice>, Error> {
    let failed = |what: String, source: io::Error| Error::Live { what, source };
    let raw = Arc::new(RawIp::open().map_err(|e| failed("raw sockets".into(), e))?);
    let bound = |queue: u16| {
        let socket = Socket::netfilter()?;
        socket.ask(CONFIG, 0, &bind(queue, waiting, fail_open), |_, _| {})?;
        // Not answered: packets might come before the answer.
        socket.send(&request(CONFIG, libc::NLM_F_REQUEST as u16, 0, &begin(queue)))?;
        Ok(socket)
    };
    let bound = |queue| bound(queue).map_err(|e| failed(format!("NFQUEUE {queue}"), e));
    let sockets: Vec<Socket> = queues.clone().map(bound).collect::<Result<_, _>>()?;
    // The kernel's module came with the first of them, and its counts with it.
    let losses = Arc::new(File::open(QUEUES).map_err(|e| failed(QUEUES.into(), e))?);
    let device = |((port, queue), socket): ((u16, u16), Socket)| {
        Ok(QueueDevice {
            socket,
            queue,
            port: PortId(port),
            raw: raw.clone(),
            losses: losses.clone(),
            rooms: vec![vec![0; ROOM]; MANY],
            batch: Vec::with_capacity(MANY),
            answers: Vec::new(),
            now: Stamps::default(),
            number: 0,
            receives: 0,
            traffic: Traffic::default(),
        })
    };
    (0..).zip(queues).zip(sockets).map(device).collect()
}

impl QueueDevice {
    fn take(&mut self, max: usize) -> Result<(), Error> {
        let QueueDevice { socket, rooms, batch, traffic, .. } = self;
        let max = max.min(rooms.len());
        let mut lens = [0; MANY];
        let n = match socket.receive_many(&mut rooms[..max], &mut lens) {
            Ok(n) => n,
            // More came than the socket could keep; what became of it the kernel counts.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR)) => 0,
            Err(source) => return Err(Error::Live { what: "packets of NFQUEUE".into(), source }),
        };
        let now = wall();
        for (room, len) in lens.iter().enumerate().take(n) {
            let bytes = &rooms[room][..(*len).min(ROOM)];
            // One message a read; the kernel sends no two packets together.
            let Some(asked) = Messages(bytes).find_map(|m| Asked::of(&m)) else { continue };
            traffic.received += 1;
            let at = asked.payload.as_ptr().addr() - bytes.as_ptr().addr();
            let at = if asked.payload.is_empty() { 0 } else { at };
            batch.push(Held {
                id: asked.id,
                room,
                at,
                len: asked.payload.len(),
                wire_len: asked.len,
                ts: asked.ts.unwrap_or(now),
                settled: false,
            });
        }
        Ok(())
    }

    /// The answer for a packet of the batch, if it has none yet.
    fn settle(&mut self, i: usize, what: Answer<'_>) -> bool {
        let Some(h) = self.batch.get_mut(i).filter(|h| !h.settled) else { return false };
        h.settled = true;
        answer(&mut self.answers, self.queue, h.id, what);
        if self.answers.len() > ANSWERS_BYTES {
            // What cannot be sent now is sent at the batch's end.
            let _ = self.send();
        }
        true
    }

    /// Sends the answers there are; those that cannot be sent stay.
    fn send(&mut self) -> io::Result<()> {
        if !self.answers.is_empty() {
            self.socket.send(&self.answers)?;
            self.answers.clear();
        }
        Ok(())
    }

    /// What the kernel dropped of this queue, for want of room in it or on the way here.
    fn lost(&self) -> Option<u64> {
        let mut room = [0; 4096];
        let n = self.losses.read_at(&mut room, 0).ok()?;
        dropped(std::str::from_utf8(room.get(..n)?).ok()?, self.queue)
    }
}

/// Of the kernel's table: queue, port, packets that wait, how much is copied (two columns), packets dropped for want of
/// room, and those that found none in the socket.
fn dropped(table: &str, queue: u16) -> Option<u64> {
    let mut rows = table.lines().map(|l| l.split_ascii_whitespace().map(|w| w.parse::<u64>().unwrap_or_default()));
    rows.find_map(|mut row| (row.next() == Some(queue.into())).then(|| row.skip(4).take(2).sum()))
}

impl Live for QueueDevice {
    fn receive(&mut self, max: usize, wait: Duration) -> Result<usize, Error> {
        // What nobody settled is dropped.
        (0..self.batch.len()).for_each(|i| self.discard(i));
        self.flush()?;
        self.batch.clear();
        self.take(max)?;
        if self.batch.is_empty() && !wait.is_zero() {
            let done = xsk::wait(std::iter::once(self.socket.as_fd()), wait.as_millis().min(1_000) as i32);
            done.map_err(|source| Error::Live { what: "waiting for packets".into(), source })?;
            self.take(max)?;
        }
        self.receives = self.receives.wrapping_add(1);
        if self.receives.is_multiple_of(LOSSES_EVERY) {
            self.traffic.lost = self.lost().unwrap_or(self.traffic.lost);
        }
        self.number += self.batch.len() as u64;
        for h in &mut self.batch {
            h.ts = self.now.at(h.ts);
        }
        Ok(self.batch.len())
    }

    fn frames<'d>(&'d self, into: &mut Vec<Frame<'d>>) {
        let first = self.number - self.batch.len() as u64;
        into.extend(self.batch.iter().zip(first + 1..).map(|(h, number)| {
            let data = self.rooms[h.room].get(h.at..h.at + h.len).unwrap_or_default();
            Frame { ts: h.ts, number, link: LinkType::RAW, port: self.port, data, wire_len: h.wire_len }
        }));
    }

    fn forward(&mut self, i: usize) {
        if self.batch.get(i).is_some_and(|h| h.wire_len as usize > h.len) {
            // Longer than the kernel can show: nobody has looked at its end.
            return self.discard(i);
        }
        self.traffic.forwarded += u64::from(self.settle(i, Answer::Accept));
    }

    fn replace(&mut self, i: usize, data: &[u8]) {
        self.traffic.forwarded += u64::from(self.settle(i, Answer::Replace(data)));
    }

    fn discard(&mut self, i: usize) {
        self.traffic.discarded += u64::from(self.settle(i, Answer::Drop));
    }

    /// A packet's verdict goes by the socket it came by.
    fn hand_over(&mut self, _: usize, _: usize) -> bool {
        false
    }

    fn leave_settled(&mut self) {
        self.batch.retain(|h| !h.settled);
    }

    fn inject(&mut self, _: PortId, data: &[u8]) {
        match self.raw.send(data) {
            Ok(()) => self.traffic.injected += 1,
            Err(_) => self.traffic.uninjected += 1,
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.send().map_err(|source| Error::Live { what: "verdicts of NFQUEUE".into(), source })
    }

    fn throw_away(&mut self) {
        self.traffic.stale += self.batch.iter().filter(|h| !h.settled).count() as u64;
        for i in 0..self.batch.len() {
            self.settle(i, Answer::Drop);
        }
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_from_the_kernel_s_table() {
        let table =
            "    0  12345     2 2 65531     3     4       99  1\n    7  -4096     0 2 65531    10    20        1  1\n";
        assert_eq!((dropped(table, 0), dropped(table, 7), dropped(table, 1)), (Some(7), Some(30), None));
        assert_eq!((dropped("", 0), dropped("0 1", 0), dropped("x\n\n", 0)), (None, Some(0), Some(0)));
    }
}
