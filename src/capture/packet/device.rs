//! A worker's packet sockets on both ports of a pair as a [`Live`] device.
//!
//! Workers of a pair hand frames to each other where they lie; whoever settles one gives its slot back to the kernel. What
//! is to leave waits for the end of the batch, and goes out of the rings in one call for each port.

use super::mend::{Joined, PLAIN, mend};
use crate::Error;
use crate::desks::Desks;
use crate::l2::{Action, Policy};
use crate::live::{LOSSES_EVERY, Live, Stamps, Traffic};
use crate::sys::packet::{self, Cursor, OFFLOAD_BYTES, Ring, Rings, Sender, Slot, Spread};
use crate::xdp::layout::WORKERS_MAX;
use engine::decode::{Frame, LinkType, PortId};
use engine::types::Timestamp;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// Frames that may wait between two workers.
const HANDED_MAX: usize = 2048;
/// A frame in a large buffer is handed over while no more than so many wait there, for each may hold
/// [`JOINED_BYTES`].
const HANDED_LARGE_MAX: usize = 64;
/// A buffer of more bytes is large.
const LARGE: usize = 4096;
/// The longest joined frame: an IP packet, its Ethernet header and two tags.
const JOINED_BYTES: usize = OFFLOAD_BYTES + 14 + 8 + 65_535;
/// Buffers of joined frames that are kept.
const SPARE: usize = 64;
/// Batches that are thrown away at once: far more than the rings hold.
const THROWS: usize = 512;
/// A ring that had lost frames so often in a row, and brought none, brings none any more.
const DRY_MAX: u32 = 32;
/// Frames that wait to be sent before they are sent without being told to.
const LEAVING: usize = 256;

/// What to open.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    pub ifindex: [u32; 2],
    /// Longest frame that is not joined, with its header and tags.
    pub frame_max: usize,
    pub workers: usize,
    /// Slots of each ring.
    pub ring: u32,
    /// Which worker gets a frame.
    pub spread: Spread,
    /// What becomes of frames that are no IP, where no program in the kernel has decided that.
    pub policy: Option<Policy>,
}

/// Where a frame lies.
enum Memory {
    Slot(Slot),
    Own { bytes: Vec<u8>, at: usize, len: usize },
}

/// A frame in our hands.
struct Held {
    memory: Memory,
    port: u8,
    nanos: u64,
    joined: Option<Joined>,
}

/// What comes of a ring.
#[derive(Default)]
struct Intake {
    /// Frames since the kernel was last asked what it lost.
    came: u64,
    /// How often in a row it had lost some while none came.
    dry: u32,
}

impl Intake {
    fn asked(&mut self, lost: u64) {
        self.dry = if lost > 0 && self.came == 0 { self.dry + 1 } else { 0 };
        self.came = 0;
    }
}

/// A frame that is to be sent.
struct Leaving {
    memory: Memory,
    offload: [u8; OFFLOAD_BYTES],
    /// It came in; else it is of our own making.
    came: bool,
}

/// The memory of a pair's frames, and this worker's spare buffers.
struct Store {
    rings: Arc<Rings>,
    spare: Vec<Vec<u8>>,
}

pub struct PacketDevice {
    store: Store,
    /// By port.
    cursors: Vec<Cursor>,
    senders: Vec<Sender>,
    /// `None` where it is settled.
    batch: Vec<Option<Held>>,
    /// By port.
    intakes: [Intake; 2],
    receives: u32,
    /// By port, in their order.
    leaving: [Vec<Leaving>; 2],
    policy: Option<Policy>,
    now: Stamps,
    number: u64,
    desks: Desks<Held>,
    traffic: Traffic,
}

/// The sockets of a pair, a device for each worker.
pub fn open(o: &Opening) -> Result<Vec<PacketDevice>, Error> {
    let failed = |what: &str, source: io::Error| Error::Live { what: what.into(), source };
    let workers = o.workers.clamp(1, WORKERS_MAX);
    let mut rings = Vec::new();
    for _ in 0..workers {
        for ifindex in o.ifindex {
            let ring = Ring::open(ifindex, o.ring.max(2) as usize, o.frame_max);
            rings.push(ring.map_err(|e| failed("AF_PACKET socket", e))?);
        }
    }
    // Deaf until all have joined, lest one gets what another gets too.
    for port in 0..2 {
        let mut id = None;
        for ring in rings.iter().skip(port).step_by(2) {
            let group = (workers > 1).then_some((o.spread, &mut id));
            ring.bind(group).map_err(|e| failed("AF_PACKET socket on a port", e))?;
        }
    }
    rings.iter().try_for_each(Ring::begin).map_err(|e| failed("AF_PACKET socket", e))?;
    let (rings, cursors) = Rings::of(rings);
    let rings = Arc::new(rings);
    let mut cursors = cursors.into_iter();
    let mut devices = Vec::new();
    while let (Some(a), Some(b)) = (cursors.next(), cursors.next()) {
        let senders: io::Result<Vec<Sender>> = o.ifindex.into_iter().map(Sender::open).collect();
        let senders = senders.map_err(|e| failed("AF_PACKET socket to send", e))?;
        let device = PacketDevice::new(rings.clone(), vec![a, b], senders, workers);
        let device = device.map_err(|e| failed("eventfd", e))?;
        devices.push(PacketDevice { policy: o.policy, ..device });
    }
    Desks::join(devices.iter_mut().map(|d| &mut d.desks).collect(), HANDED_MAX);
    Ok(devices)
}

impl Store {
    fn bytes<'a>(&'a self, memory: &'a Memory) -> &'a [u8] {
        match memory {
            Memory::Slot(slot) => self.rings.bytes(slot),
            Memory::Own { bytes, at, len } => bytes.get(*at..at + len).unwrap_or_default(),
        }
    }

    fn bytes_mut<'a>(&'a self, memory: &'a mut Memory) -> &'a mut [u8] {
        let (room, at, len) = match memory {
            Memory::Slot(slot) => self.rings.room(slot),
            Memory::Own { bytes, at, len } => (&mut bytes[..], *at, *len),
        };
        room.get_mut(at..at + len).unwrap_or_default()
    }

    /// The frame is this now, in its place. Whether there is room for it.
    fn write(&self, memory: &mut Memory, data: &[u8]) -> bool {
        let (room, at) = match memory {
            Memory::Slot(slot) => {
                let (room, at, _) = self.rings.room(slot);
                (room, at)
            }
            Memory::Own { bytes, at, .. } => (&mut bytes[..], *at),
        };
        let Some(to) = room.get_mut(at..at + data.len()) else { return false };
        to.copy_from_slice(data);
        match memory {
            Memory::Slot(slot) => self.rings.lies(slot, at, data.len()),
            Memory::Own { len, .. } => *len = data.len(),
        }
        true
    }

    fn release(&mut self, memory: Memory) {
        match memory {
            Memory::Slot(slot) => self.rings.give_back(slot),
            Memory::Own { bytes, .. } if self.spare.len() < SPARE => self.spare.push(bytes),
            Memory::Own { .. } => {}
        }
    }

    /// A buffer of at least so many bytes.
    fn buffer(&mut self, bytes: usize) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        if buffer.len() < bytes {
            buffer.resize(bytes, 0);
        }
        buffer
    }

    /// The next frame of a ring, put right. `Err`: one that is lost, for it is not there whole.
    fn next(&mut self, cursor: &mut Cursor, port: u8, losing: &mut bool) -> Option<Result<Held, ()>> {
        let arrival = cursor.take(&self.rings)?;
        *losing |= arrival.losing;
        let (mut slot, tag, nanos) = (arrival.slot, arrival.tag, arrival.nanos);
        if arrival.whole_apart {
            self.rings.give_back(slot);
            let mut bytes = self.buffer(JOINED_BYTES);
            let got = self.rings.ring(cursor).receive_whole(&mut bytes).unwrap_or(usize::MAX);
            let mended = match got {
                OFFLOAD_BYTES..=JOINED_BYTES => mend(&mut bytes, OFFLOAD_BYTES, got - OFFLOAD_BYTES, tag),
                _ => None,
            };
            let Some((at, len, joined)) = mended else {
                self.spare.push(bytes);
                return Some(Err(()));
            };
            return Some(Ok(Held { memory: Memory::Own { bytes, at, len }, port, nanos, joined }));
        }
        let (room, at, len) = self.rings.room(&mut slot);
        let mended = if arrival.cut { None } else { mend(room, at, len, tag) };
        let Some((at, len, joined)) = mended else {
            self.rings.give_back(slot);
            return Some(Err(()));
        };
        self.rings.lies(&mut slot, at, len);
        Some(Ok(Held { memory: Memory::Slot(slot), port, nanos, joined }))
    }
}

impl PacketDevice {
    fn new(rings: Arc<Rings>, cursors: Vec<Cursor>, senders: Vec<Sender>, workers: usize) -> io::Result<PacketDevice> {
        Ok(PacketDevice {
            store: Store { rings, spare: Vec::new() },
            cursors,
            senders,
            batch: Vec::new(),
            intakes: Default::default(),
            receives: 0,
            leaving: [Vec::new(), Vec::new()],
            policy: None,
            now: Stamps::default(),
            number: 0,
            desks: Desks::new(workers)?,
            traffic: Traffic::default(),
        })
    }

    /// Takes what has arrived: what others handed over, up to half of it, then the older of both ports' first. No wait.
    fn take(&mut self, max: usize) {
        let PacketDevice { store, cursors, intakes, desks, batch, leaving, policy, traffic, .. } = self;
        let half = max.saturating_sub(batch.len()).div_ceil(2);
        traffic.taken += desks.take(half, |held| batch.push(Some(held))) as u64;
        let (mut losing, mut passed) = (false, 0);
        let mut ready = [0, 1].map(|port| cursors.get(port).and_then(|c: &Cursor| c.ready(&store.rings)));
        while batch.len() + passed < max {
            let port = match ready {
                [None, None] => break,
                [Some(a), Some(b)] => usize::from(b < a),
                [a, _] => usize::from(a.is_none()),
            };
            let Some(cursor) = cursors.get_mut(port) else { break };
            intakes[port].came += 1;
            match store.next(cursor, port as u8, &mut losing) {
                Some(Ok(held)) if held.joined.is_some_and(|j| j.is_of_datagrams()) => {
                    match held.joined.and_then(|j| j.datagrams(store.bytes(&held.memory))) {
                        Some(pieces) => {
                            traffic.received += pieces.len() as u64;
                            traffic.cut += pieces.len() as u64 - 1;
                            let own = |bytes: Vec<u8>| Memory::Own { at: 0, len: bytes.len(), bytes };
                            let held =
                                |b| Some(Held { memory: own(b), port: held.port, nanos: held.nanos, joined: None });
                            batch.extend(pieces.into_iter().map(held));
                        }
                        None => traffic.lost += 1,
                    }
                    store.release(held.memory);
                }
                Some(Ok(held)) => {
                    traffic.received += 1;
                    match policy.map_or(Action::Inspect, |p| p.of(store.bytes(&held.memory))) {
                        Action::Inspect => batch.push(Some(held)),
                        Action::Drop => {
                            passed += 1;
                            traffic.discarded += 1;
                            store.release(held.memory);
                        }
                        Action::Through => {
                            passed += 1;
                            leaving[port ^ 1].push(Leaving { memory: held.memory, offload: PLAIN, came: true });
                        }
                    }
                }
                Some(Err(())) => traffic.lost += 1,
                None => {}
            }
            ready[port] = cursor.ready(&store.rings);
        }
        if losing {
            self.ask_lost();
        }
        // Nothing else waits to leave here.
        self.send(0);
        self.send(1);
    }

    /// Asks the kernel what it lost: when frames say so, when none come, for the last it lost have none behind them, and
    /// now and then.
    fn ask_lost(&mut self) {
        for (cursor, intake) in self.cursors.iter().zip(&mut self.intakes) {
            let lost = self.store.rings.ring(cursor).lost();
            self.traffic.lost += lost;
            intake.asked(lost);
        }
    }

    /// An error where a ring does not go on: the kernel (6.1 to this day, af_packet.c) keeps the slot of a joined frame
    /// that it has no word for, and loses all that come after it. A new ring begins anew.
    fn goes_on(&self) -> Result<(), Error> {
        match self.intakes.iter().position(|f| f.dry >= DRY_MAX) {
            None => Ok(()),
            Some(port) => Err(Error::Live {
                what: format!("port {port} of the pair"),
                source: io::Error::other("its ring loses everything"),
            }),
        }
    }

    fn sleep(&mut self, wait: Duration) -> Result<(), Error> {
        self.desks.sleep(|bell| {
            let rings: Vec<&Ring> = self.cursors.iter().map(|c| self.store.rings.ring(c)).collect();
            let mut fds = vec![(bell, libc::POLLIN)];
            fds.extend(rings.iter().map(|r| (r.as_fd(), libc::POLLIN)));
            let broken = packet::wait(&fds, wait.as_millis().min(1_000) as i32) >> 1;
            for (i, ring) in rings.into_iter().enumerate().filter(|(i, _)| broken >> i & 1 != 0) {
                // A port that went down comes up again.
                ring.recover().map_err(|source| Error::Live { what: format!("port {i} of the pair"), source })?;
            }
            Ok(true)
        })
    }

    /// What was to be sent through a port is sent.
    fn send(&mut self, port: usize) {
        let PacketDevice { store, senders, leaving, traffic, .. } = self;
        let (Some(sender), Some(leaving)) = (senders.get_mut(port), leaving.get_mut(port)) else { return };
        if leaving.is_empty() {
            return;
        }
        let frames = leaving.iter().map(|l| (&l.offload, store.bytes(&l.memory)));
        let (came, all) = (leaving.iter().filter(|l| l.came).count(), leaving.len());
        let (mut came_unsent, mut unsent) = (0, 0);
        sender.send(frames, |i| {
            unsent += 1;
            came_unsent += u64::from(leaving[i].came);
        });
        traffic.unsent += came_unsent;
        traffic.uninjected += unsent - came_unsent;
        traffic.forwarded += came as u64 - came_unsent;
        traffic.injected += (all - came) as u64 - (unsent - came_unsent);
        leaving.drain(..).for_each(|l| store.release(l.memory));
    }

    fn leave(&mut self, port: usize, leaving: Leaving) {
        if leaving.offload != PLAIN
            && let Some(sender) = self.senders.get_mut(port)
        {
            sender.take_turns();
        }
        let Some(list) = self.leaving.get_mut(port) else { return };
        list.push(leaving);
        if list.len() >= LEAVING {
            self.send(port);
        }
    }

    fn unsent(&mut self, memory: Memory) {
        self.traffic.unsent += 1;
        self.store.release(memory);
    }
}

impl Live for PacketDevice {
    fn receive(&mut self, max: usize, wait: Duration) -> Result<usize, Error> {
        let PacketDevice { batch, store, .. } = self;
        batch.drain(..).flatten().for_each(|held| store.release(held.memory));
        self.take(max);
        if self.batch.is_empty() && !wait.is_zero() {
            self.sleep(wait)?;
            self.take(max);
        }
        self.receives = self.receives.wrapping_add(1);
        if self.batch.is_empty() || self.receives.is_multiple_of(LOSSES_EVERY) {
            self.ask_lost();
            self.goes_on()?;
        }
        self.number += self.batch.len() as u64;
        for held in self.batch.iter_mut().flatten() {
            held.nanos = self.now.at(Timestamp::from_nanos(held.nanos)).nanos();
        }
        Ok(self.batch.len())
    }

    fn frames<'d>(&'d self, into: &mut Vec<Frame<'d>>) {
        let first = self.number - self.batch.len() as u64;
        into.extend(self.batch.iter().zip(first + 1..).map(|(held, number)| {
            let (data, ts, port) = held.as_ref().map_or((&[][..], self.now.now(), 0), |h| {
                (self.store.bytes(&h.memory), Timestamp::from_nanos(h.nanos), h.port)
            });
            Frame { ts, number, link: LinkType::ETHERNET, port: PortId(port.into()), data, wire_len: data.len() as u32 }
        }));
    }

    fn forward(&mut self, i: usize) {
        let Some(Held { mut memory, port, joined, .. }) = self.batch.get_mut(i).and_then(Option::take) else { return };
        let offload = match joined {
            None => Some(PLAIN),
            Some(joined) => joined.ready(self.store.bytes_mut(&mut memory)),
        };
        let Some(offload) = offload else { return self.unsent(memory) };
        self.leave(usize::from(port) ^ 1, Leaving { memory, offload, came: true });
    }

    fn replace(&mut self, i: usize, data: &[u8]) {
        let Some(held) = self.batch.get_mut(i).and_then(Option::take) else { return };
        let (mut memory, port) = (held.memory, usize::from(held.port) ^ 1);
        // One that cannot be cut as before leaves as it is, if the port lets a frame be so long.
        let joined = held.joined.filter(|j| j.fits(self.store.bytes(&memory), data));
        let written = self.store.write(&mut memory, data);
        let offload = joined.map_or(Some(PLAIN), |j| j.ready(self.store.bytes_mut(&mut memory)));
        match offload.filter(|_| written) {
            None => self.unsent(memory),
            Some(offload) => self.leave(port, Leaving { memory, offload, came: true }),
        }
    }

    fn discard(&mut self, i: usize) {
        if let Some(held) = self.batch.get_mut(i).and_then(Option::take) {
            self.traffic.discarded += 1;
            self.store.release(held.memory);
        }
    }

    fn hand_over(&mut self, i: usize, worker: usize) -> bool {
        let Some(room) = self.desks.room(worker) else { return false };
        let Some(place) = self.batch.get_mut(i) else { return false };
        let Some(held) = place.take() else { return true };
        let large = matches!(&held.memory, Memory::Own { bytes, .. } if bytes.len() > LARGE);
        if large && HANDED_MAX - room > HANDED_LARGE_MAX {
            *place = Some(held);
            return false;
        }
        match self.desks.give(worker, held) {
            Ok(()) => {
                self.traffic.handed += 1;
                true
            }
            Err(held) => {
                *place = Some(held);
                false
            }
        }
    }

    fn handed_waiting(&self) -> u64 {
        self.desks.waiting() as u64
    }

    fn leave_settled(&mut self) {
        self.batch.retain(Option::is_some);
    }

    fn inject(&mut self, port: PortId, data: &[u8]) {
        if port.0 > 1 {
            return;
        }
        let mut bytes = self.store.buffer(data.len());
        if let Some(to) = bytes.get_mut(..data.len()) {
            to.copy_from_slice(data);
        }
        let memory = Memory::Own { bytes, at: 0, len: data.len() };
        self.leave(port.0.into(), Leaving { memory, offload: PLAIN, came: false });
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.desks.ring();
        self.send(0);
        self.send(1);
        Ok(())
    }

    fn throw_away(&mut self) {
        // What came is counted as such, and as thrown away; so is what is left of the batch.
        for _ in 0..THROWS {
            let PacketDevice { batch, store, traffic, .. } = self;
            for held in batch.drain(..).flatten() {
                traffic.stale += 1;
                store.release(held.memory);
            }
            self.take(LEAVING);
            if self.batch.is_empty() {
                break;
            }
        }
        self.ask_lost();
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices without sockets, which hand frames to each other.
    fn devices(n: usize) -> Vec<PacketDevice> {
        let rings = Arc::new(Rings::of(Vec::new()).0);
        let device = |_| PacketDevice::new(rings.clone(), Vec::new(), Vec::new(), n).unwrap();
        let mut all: Vec<PacketDevice> = (0..n).map(device).collect();
        Desks::join(all.iter_mut().map(|d| &mut d.desks).collect(), HANDED_MAX);
        all
    }

    /// Puts `n` frames into the batch of a device, as if they had come in on port 0, in buffers of so many bytes.
    fn arrive(d: &mut PacketDevice, n: usize, bytes: usize) {
        for i in 0..n {
            let memory = Memory::Own { bytes: vec![i as u8; bytes], at: 2, len: 50 };
            d.batch.push(Some(Held { memory, port: 0, nanos: i as u64, joined: None }));
        }
    }

    #[test]
    fn what_another_worker_has_no_room_for_stays_to_be_settled() {
        for (bytes, room) in [(60, HANDED_MAX), (JOINED_BYTES, HANDED_LARGE_MAX + 1)] {
            let mut all = devices(2);
            arrive(&mut all[0], room + 1, bytes);
            assert!((0..room).all(|i| all[0].hand_over(i, 1)));
            assert!(!all[0].hand_over(room, 1) && !all[0].hand_over(room, 0) && !all[0].hand_over(room, 7));
            all[0].discard(room);
            let t = all[0].traffic();
            assert_eq!((t.handed, t.discarded), (room as u64, 1));
        }
    }

    #[test]
    fn frames_arrive_as_they_were_and_unsettled_ones_are_gone() {
        let mut all = devices(2);
        arrive(&mut all[0], 3, 60);
        (0..3).for_each(|i| assert!(all[0].hand_over(i, 1)));
        assert_eq!(all[1].receive(8, Duration::ZERO).unwrap(), 3);
        let mut frames = Vec::new();
        all[1].frames(&mut frames);
        assert_eq!(frames.iter().map(|f| (f.data.len(), f.data[0])).collect::<Vec<_>>(), [(50, 0), (50, 1), (50, 2)]);
        assert_eq!(frames.iter().map(|f| f.number).collect::<Vec<_>>(), [1, 2, 3]);
        drop(frames);
        assert_eq!(all[1].receive(8, Duration::ZERO).unwrap(), 0);
        assert_eq!((all[1].store.spare.len(), all[1].traffic().taken), (3, 3));
    }

    #[test]
    fn a_ring_that_only_loses_is_given_up() {
        let mut all = devices(1);
        for (lost, came, goes_on) in [(5, 1, true), (0, 0, true), (5, 0, false), (0, 1, true)] {
            for _ in 0..DRY_MAX {
                assert!(all[0].goes_on().is_ok() || goes_on, "not before");
                all[0].intakes[1].came = came;
                all[0].intakes[1].asked(lost);
            }
            assert_eq!(all[0].goes_on().is_ok(), goes_on, "{lost} {came}");
        }
    }

    #[test]
    fn what_is_thrown_away_is_counted() {
        let mut all = devices(2);
        arrive(&mut all[0], 3, 60);
        (0..3).for_each(|i| assert!(all[0].hand_over(i, 1)));
        arrive(&mut all[1], 2, 60);
        all[1].throw_away();
        let t = all[1].traffic();
        assert_eq!((t.stale, t.taken, all[1].batch.len()), (5, 3, 0));
    }

    #[test]
    fn spare_buffers_are_few() {
        let mut all = devices(1);
        arrive(&mut all[0], SPARE + 9, 60);
        (0..SPARE + 9).for_each(|i| all[0].discard(i));
        assert_eq!(all[0].store.spare.len(), SPARE);
    }
}
