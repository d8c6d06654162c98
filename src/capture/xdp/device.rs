//! A worker's AF_XDP sockets as a [`Live`] device.
//!
//! A worker serves the same queues of both ports. All workers of a pair share one piece of memory, so that a frame leaves
//! through the other port, or is handed to another worker, where it lies. A place belongs to the worker it was first given
//! to and comes back to it, so that none runs dry.

use super::layout::{QUEUES_MAX, WORKERS_MAX};
use crate::Error;
use crate::desks::{Desks, each_to_each};
use crate::live::{LOSSES_EVERY, Live, Stamps, Traffic, wall};
use crate::sys::xsk::{self, Binding, Chunk, Socket, Spot, Umem};
use engine::decode::{Frame, LinkType, PortId};
use rtrb::{Consumer, Producer};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Frames that may wait between two workers.
const HANDED_MAX: usize = 2048;
/// A dead instance's sockets may hold a queue so long.
const BUSY_FOR: Duration = Duration::from_secs(3);

/// What to open.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    pub ifindex: [u32; 2],
    /// Longest frame either port may carry, with its header and tags.
    pub frame_max: usize,
    pub queues: usize,
    pub workers: usize,
    /// Entries of each ring, a power of two.
    pub ring: u32,
    /// Never without a copy.
    pub copy: bool,
    /// Microseconds; 0 off.
    pub busy_poll_us: u32,
}

/// Bytes in front of a frame that the kernel keeps for itself.
const HEADROOM: usize = 256;

impl Opening {
    /// Bytes of a place; `None` where a frame may be longer than one can be.
    pub fn place(&self) -> Option<usize> {
        [2048, 4096].into_iter().find(|p| self.frame_max + HEADROOM <= *p)
    }

    /// Queues and workers, as many as there can be.
    fn shape(&self) -> (usize, usize) {
        let queues = self.queues.clamp(1, QUEUES_MAX);
        (queues, self.workers.clamp(1, WORKERS_MAX).min(queues))
    }
}

/// A frame of the batch.
struct Taken {
    /// Gone once settled.
    chunk: Option<Chunk>,
    port: u8,
}

pub struct XdpDevice {
    /// By queue, both ports.
    sockets: Vec<[Socket; 2]>,
    umem: Arc<Umem>,
    free: Vec<Spot>,
    /// Which worker this is.
    worker: usize,
    /// Bytes of places that each worker has.
    share: u64,
    batch: Vec<Taken>,
    now: Stamps,
    number: u64,
    desks: Desks<(Chunk, u8)>,
    /// Free places on their way to the workers whose they are, by number, and ours on their way back.
    away: Vec<Option<Producer<Spot>>>,
    home: Vec<Consumer<Spot>>,
    /// Which socket is asked first.
    turn: usize,
    receives: u32,
    traffic: Traffic,
}

/// The sockets of a pair, a device for each worker; device `w` serves queues `w`, `w + workers`, and so on.
pub fn open(o: &Opening) -> Result<Vec<XdpDevice>, Error> {
    let failed = |what: &str, source: io::Error| Error::Live { what: what.into(), source };
    let place = o.place().ok_or_else(|| {
        failed("AF_XDP: frames of this size do not fit", io::Error::from(io::ErrorKind::InvalidInput))
    })?;
    let (queues, workers) = o.shape();
    // A socket's places are in its fill ring, in its transmit ring, and in a batch or another worker's hands.
    let per_queue = 2 * 3 * o.ring as usize;
    let (umem, mut spots) = Umem::new(queues * per_queue, place).map_err(|e| failed("memory for frames", e))?;
    let mut parts: Vec<Vec<[Socket; 2]>> = (0..workers).map(|_| Vec::new()).collect();
    let mut sockets: Vec<Socket> = Vec::new();
    for queue in 0..queues as u32 {
        for ifindex in o.ifindex {
            let b = Binding { ifindex, queue, ring: o.ring, copy: o.copy, busy_poll_us: o.busy_poll_us };
            let socket = patiently(|| Socket::bind(&umem, b, sockets.first()));
            sockets.push(socket.map_err(|e| failed(&format!("AF_XDP socket on queue {queue}"), e))?);
        }
    }
    let mut pairs = sockets.into_iter();
    let mut queue = 0;
    while let (Some(a), Some(b)) = (pairs.next(), pairs.next()) {
        parts[queue % workers].push([a, b]);
        queue += 1;
    }
    let places = spots.len() / workers;
    spots.truncate(workers * places);
    let mut devices: Vec<XdpDevice> = Vec::new();
    for (w, sockets) in parts.into_iter().enumerate().rev() {
        let device = XdpDevice::new(sockets, umem.clone(), spots.split_off(w * places), w, workers);
        devices.push(device.map_err(|e| failed("eventfd", e))?);
    }
    devices.reverse();
    join(&mut devices, o.ring as usize * 6 * queues.div_ceil(workers));
    for d in &mut devices {
        d.supply();
    }
    Ok(devices)
}

/// Lays rings from each worker to each other; `places` is what one may hold of another's.
fn join(devices: &mut [XdpDevice], places: usize) {
    Desks::join(devices.iter_mut().map(|d| &mut d.desks).collect(), HANDED_MAX);
    each_to_each(devices.len(), places, |from, to, away, home| {
        devices[to].home.push(home);
        devices[from].away[to] = Some(away);
    });
}

/// Tries again while the queue is held.
fn patiently<T>(mut bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let since = Instant::now();
    loop {
        match bind() {
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) && since.elapsed() < BUSY_FOR => {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}

impl XdpDevice {
    /// `worker` of `workers`, with its own places, of which all have equally many.
    fn new(
        sockets: Vec<[Socket; 2]>,
        umem: Arc<Umem>,
        free: Vec<Spot>,
        worker: usize,
        workers: usize,
    ) -> io::Result<XdpDevice> {
        let share = umem.bytes_of(free.len());
        Ok(XdpDevice {
            sockets,
            umem,
            free,
            worker,
            share,
            batch: Vec::new(),
            now: Stamps::default(),
            number: 0,
            desks: Desks::new(workers)?,
            away: (0..workers).map(|_| None).collect(),
            home: Vec::new(),
            turn: 0,
            receives: 0,
            traffic: Traffic::default(),
        })
    }

    /// The descriptors to put into the program's table: queue, port, socket.
    pub fn descriptors(&self) -> impl Iterator<Item = (usize, usize, BorrowedFd<'_>)> {
        let queues = (self.worker..).step_by(self.desks.workers());
        queues
            .zip(&self.sockets)
            .flat_map(|(queue, pair)| pair.iter().enumerate().map(move |(port, s)| (queue, port, s.as_fd())))
    }

    /// Whether the driver gives its frames without a copy.
    pub fn zero_copy(&self) -> bool {
        self.sockets.iter().flatten().all(Socket::zero_copy)
    }

    fn supply(&mut self) {
        for s in self.sockets.iter_mut().flatten() {
            s.reap(&mut self.free);
        }
        for home in &mut self.home {
            while let Ok(spot) = home.pop() {
                self.free.push(spot);
            }
        }
        let XdpDevice { sockets, free, worker, away, share, .. } = self;
        let home = |spot: &Spot| (spot.offset() / *share) as usize;
        if away.len() > 1 {
            // Places of other workers go home.
            for spot in free.extract_if(.., |spot| home(spot) != *worker) {
                if let Some(Some(away)) = away.get_mut(home(&spot)) {
                    // Never full: the ring has room for every place there is.
                    let _ = away.push(spot);
                }
            }
        }
        for s in sockets.iter_mut().flatten() {
            s.supply(free);
        }
    }

    /// Takes what has arrived. No wait.
    fn take(&mut self, max: usize) {
        let XdpDevice { sockets, desks, batch, traffic, turn, .. } = self;
        // Half for what others handed over, so that neither keeps the other waiting; what is left over is anybody's.
        let half = max.saturating_sub(batch.len()).div_ceil(2);
        let mut handed = |room, batch: &mut Vec<Taken>| {
            traffic.taken += desks.take(room, |(chunk, port)| batch.push(Taken { chunk: Some(chunk), port })) as u64;
        };
        handed(half, batch);
        let n = 2 * sockets.len();
        *turn = (*turn + 1) % n.max(1);
        // Each gets its share first; what others leave is theirs who have more. Fewer than `max` are all there were.
        let (mut more, mut received) = (true, 0);
        while more && batch.len() < max {
            more = false;
            for i in 0..n {
                let at = (*turn + i) % n;
                let share = max.saturating_sub(batch.len()).div_ceil(n - i);
                let Some(pair) = sockets.get_mut(at / 2) else { continue };
                let Some(socket) = pair.get_mut(at % 2) else { continue };
                let got = socket.receive(share, |chunk| {
                    batch.push(Taken { chunk: Some(chunk), port: (at % 2) as u8 });
                });
                received += got as u64;
                more |= share > 0 && got == share;
            }
        }
        handed(max.saturating_sub(batch.len()), batch);
        traffic.received += received;
    }

    fn sleep(&mut self, wait: Duration) -> Result<(), Error> {
        let done = self.desks.sleep(|bell| {
            let fds = self.sockets.iter().flatten().map(Socket::as_fd).chain([bell]);
            xsk::wait(fds, wait.as_millis().min(1_000) as i32)
        });
        done.map_err(|source| Error::Live { what: "waiting for frames".into(), source })
    }

    /// These bytes, in that place, leave. Whether they did.
    fn send_bytes(&mut self, port: usize, spot: Spot, data: &[u8]) -> bool {
        match self.umem.write(spot, data) {
            Ok(chunk) => self.send(port, chunk),
            Err(spot) => {
                self.free.push(spot);
                false
            }
        }
    }

    /// A frame that came has left, or was to.
    fn left(&mut self, sent: bool) {
        match sent {
            true => self.traffic.forwarded += 1,
            false => self.traffic.unsent += 1,
        }
    }

    fn send(&mut self, port: usize, chunk: Chunk) -> bool {
        // The first of our queues: what leaves has been received there, or by a worker that shares with us.
        let Some(pair) = self.sockets.first_mut() else { return false };
        let Some(socket) = pair.get_mut(port & 1) else { return false };
        let chunk = match socket.send(chunk) {
            Ok(()) => return true,
            Err(chunk) => chunk,
        };
        let _ = socket.kick();
        socket.reap(&mut self.free);
        match socket.send(chunk) {
            Ok(()) => true,
            Err(chunk) => {
                self.free.push(self.umem.clear(chunk));
                false
            }
        }
    }
}

impl Live for XdpDevice {
    fn receive(&mut self, max: usize, wait: Duration) -> Result<usize, Error> {
        let XdpDevice { batch, free, umem, .. } = self;
        free.extend(batch.drain(..).filter_map(|t| t.chunk).map(|c| umem.clear(c)));
        self.supply();
        self.take(max);
        if self.batch.is_empty() && !wait.is_zero() {
            self.sleep(wait)?;
            self.supply();
            self.take(max);
        }
        self.receives = self.receives.wrapping_add(1);
        if self.receives.is_multiple_of(LOSSES_EVERY) {
            self.traffic.lost = self.sockets.iter().flatten().map(Socket::lost).sum();
        }
        self.now.at(wall());
        self.number += self.batch.len() as u64;
        Ok(self.batch.len())
    }

    fn frames<'d>(&'d self, into: &mut Vec<Frame<'d>>) {
        let first = self.number - self.batch.len() as u64;
        into.extend(self.batch.iter().zip(first + 1..).map(|(t, number)| {
            let data = t.chunk.as_ref().map_or(&[][..], |c| self.umem.bytes(c));
            Frame {
                ts: self.now.now(),
                number,
                link: LinkType::ETHERNET,
                port: PortId(t.port.into()),
                data,
                wire_len: data.len() as u32,
            }
        }));
    }

    fn forward(&mut self, i: usize) {
        let Some(taken) = self.batch.get_mut(i) else { return };
        let Some(chunk) = taken.chunk.take() else { return };
        let port = usize::from(taken.port) ^ 1;
        let sent = self.send(port, chunk);
        self.left(sent);
    }

    fn replace(&mut self, i: usize, data: &[u8]) {
        let Some(taken) = self.batch.get_mut(i) else { return };
        let Some(chunk) = taken.chunk.take() else { return };
        let port = usize::from(taken.port) ^ 1;
        let spot = self.umem.clear(chunk);
        let sent = self.send_bytes(port, spot, data);
        self.left(sent);
    }

    fn discard(&mut self, i: usize) {
        if let Some(chunk) = self.batch.get_mut(i).and_then(|t| t.chunk.take()) {
            self.traffic.discarded += 1;
            self.free.push(self.umem.clear(chunk));
        }
    }

    fn hand_over(&mut self, i: usize, worker: usize) -> bool {
        let Some(taken) = self.batch.get_mut(i) else { return false };
        let Some(chunk) = taken.chunk.take() else { return true };
        match self.desks.give(worker, (chunk, taken.port)) {
            Ok(()) => {
                self.traffic.handed += 1;
                true
            }
            Err((chunk, _)) => {
                taken.chunk = Some(chunk);
                false
            }
        }
    }

    fn handed_waiting(&self) -> u64 {
        self.desks.waiting() as u64
    }

    fn leave_settled(&mut self) {
        self.batch.retain(|t| t.chunk.is_some());
    }

    fn inject(&mut self, port: PortId, data: &[u8]) {
        let spot = self.free.pop();
        match spot.is_some_and(|spot| self.send_bytes(port.0.into(), spot, data)) {
            true => self.traffic.injected += 1,
            false => self.traffic.uninjected += 1,
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.desks.ring();
        for socket in self.sockets.iter_mut().flatten() {
            socket.kick().map_err(|source| Error::Live { what: "sending".into(), source })?;
        }
        Ok(())
    }

    fn throw_away(&mut self) {
        loop {
            let XdpDevice { batch, free, umem, traffic, .. } = self;
            for chunk in batch.drain(..).filter_map(|t| t.chunk) {
                free.push(umem.clear(chunk));
                traffic.stale += 1;
            }
            self.take(4096);
            if self.batch.is_empty() {
                break;
            }
        }
        self.supply();
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices without sockets, which share memory and hand frames to each other.
    fn devices(n: usize, places: usize) -> Vec<XdpDevice> {
        let (umem, mut spots) = Umem::new(n * places, 2048).unwrap();
        let mut all: Vec<XdpDevice> = (0..n)
            .rev()
            .map(|w| XdpDevice::new(Vec::new(), umem.clone(), spots.split_off(w * places), w, n).unwrap())
            .collect();
        all.reverse();
        join(&mut all, places);
        all
    }

    /// Puts `n` frames into the batch of a device, as if they had come in on port 0.
    fn arrive(d: &mut XdpDevice, n: usize) {
        for i in 0..n {
            let spot = d.free.pop().unwrap();
            let chunk = d.umem.write(spot, &(i as u32).to_be_bytes()).unwrap();
            d.batch.push(Taken { chunk: Some(chunk), port: 0 });
        }
    }

    #[test]
    fn what_another_worker_has_no_room_for_stays_to_be_settled() {
        let mut all = devices(2, HANDED_MAX + 8);
        arrive(&mut all[0], HANDED_MAX + 1);
        for i in 0..HANDED_MAX {
            assert!(all[0].hand_over(i, 1));
        }
        assert!(!all[0].hand_over(HANDED_MAX, 1));
        assert!(!all[0].hand_over(HANDED_MAX, 0) && !all[0].hand_over(HANDED_MAX, 7));
        all[0].discard(HANDED_MAX);
        let t = all[0].traffic();
        assert_eq!((t.handed, t.discarded), (HANDED_MAX as u64, 1));
    }

    #[test]
    fn frames_arrive_where_they_lie_and_their_places_go_home() {
        let mut all = devices(2, 16);
        arrive(&mut all[0], 3);
        (0..3).for_each(|i| assert!(all[0].hand_over(i, 1)));
        assert_eq!(all[1].receive(8, Duration::ZERO).unwrap(), 3);
        let mut frames = Vec::new();
        all[1].frames(&mut frames);
        assert_eq!(frames.iter().map(|f| f.data[3]).collect::<Vec<_>>(), [0, 1, 2]);
        drop(frames);
        (0..3).for_each(|i| all[1].discard(i));
        assert_eq!((all[0].free.len(), all[1].free.len()), (13, 19));
        all[1].supply();
        all[0].supply();
        assert_eq!((all[0].free.len(), all[1].free.len()), (16, 16));
    }

    #[test]
    fn unsettled_frames_are_gone_with_the_next_batch() {
        let mut all = devices(1, 16);
        arrive(&mut all[0], 5);
        assert_eq!(all[0].receive(8, Duration::ZERO).unwrap(), 0);
        assert_eq!((all[0].free.len(), all[0].traffic().forwarded), (16, 0));
    }

    #[test]
    fn no_more_queues_and_workers_than_the_tables_hold() {
        let opening = |queues, workers| {
            let o =
                Opening { ifindex: [1, 2], frame_max: 1522, queues, workers, ring: 64, copy: false, busy_poll_us: 0 };
            o.shape()
        };
        assert_eq!(opening(1000, 1000), (QUEUES_MAX, WORKERS_MAX));
        assert_eq!([opening(0, 0), opening(4, 2), opening(1, 8)], [(1, 1), (4, 2), (1, 1)]);
    }
}
