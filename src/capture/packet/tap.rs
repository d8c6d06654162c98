//! A worker's packet sockets on mirror ports as a [`Live`] device: it watches, and sends nothing.
//!
//! Any number of ports, the two directions of a wire on two of them as well. A port's frames are divided among workers by a
//! hash that is the same for both directions and on every port. Frames of several ports come in the order of their time:
//! one waits until no other port can bring an earlier one.

use super::mend::mend;
use crate::Error;
use crate::desks::Desks;
use crate::live::{LOSSES_EVERY, Live, Stamps, Traffic, wall};
use crate::ports::Facts;
use crate::sys::tap::{Arrival, BLOCK_MS, BlockRing, Piece};
use crate::sys::{libpcap, packet};
use crate::xdp::layout::WORKERS_MAX;
use engine::decode::{Frame, LinkType, PortId};
use engine::types::Timestamp;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Mirror ports of one device.
pub const TAPS_MAX: usize = 63;
/// Frames that may wait between two workers, copied.
const HANDED_MAX: usize = 1024;
/// Buffers of handed frames that are kept.
const SPARE: usize = 64;
/// A frame older than this is not waited for any more: a block's time, and what the kernel's timer may be late.
const ORDER: Duration = Duration::from_millis(BLOCK_MS as u64 + 8);

/// What to open.
#[derive(Clone, Debug)]
pub struct Watching<'a> {
    /// Their places in this list are the frames' ports.
    pub ports: &'a [String],
    pub workers: usize,
    /// Bytes of each ring; there is one for each port and worker.
    pub ring_bytes: usize,
    /// In the language of tcpdump; the kernel drops what does not match.
    pub filter: Option<&'a str>,
}

/// Where a frame lies.
enum Memory {
    Piece(u16, Piece),
    Copy(Vec<u8>),
}

struct Held {
    memory: Memory,
    port: u16,
    link: LinkType,
    nanos: u64,
    wire_len: u32,
    /// Settled, or another worker's now.
    gone: bool,
}

/// A ring on a port, and the type of its frames.
struct Source {
    ring: BlockRing,
    link: LinkType,
    ready: Option<u64>,
}

pub struct TapDevice {
    /// By port.
    sources: Vec<Source>,
    batch: Vec<Held>,
    spare: Vec<Vec<u8>>,
    now: Stamps,
    number: u64,
    receives: u32,
    desks: Desks<Held>,
    traffic: Traffic,
}

/// What is wrong with a filter.
pub fn check_filter(filter: &str) -> Result<(), String> {
    libpcap::check(filter)
}

/// The sockets of mirror ports, a device for each worker.
pub fn watch(w: &Watching<'_>) -> Result<Vec<TapDevice>, Error> {
    let failed = |what: &str, source: io::Error| Error::Live { what: what.into(), source };
    let workers = w.workers.clamp(1, WORKERS_MAX);
    if w.ports.len() > TAPS_MAX {
        return Err(failed("mirror ports", io::Error::other(format!("at most {TAPS_MAX} can be watched by one"))));
    }
    let mut devices: Vec<TapDevice> = Vec::new();
    for _ in 0..workers {
        devices.push(TapDevice::new(workers).map_err(|e| failed("eventfd", e))?);
    }
    for name in w.ports {
        let at = |source: io::Error| failed(name, source);
        let ifindex = Facts::of(name).map_err(at)?.ifindex;
        let program = match w.filter {
            Some(f) => libpcap::compile_for(name, f).map_err(|e| at(io::Error::other(e)))?,
            None => Vec::new(),
        };
        let mut id = None;
        for d in &mut devices {
            let ring = BlockRing::open(ifindex, w.ring_bytes).map_err(at)?;
            let hardware = ring.bind((workers > 1).then_some(&mut id)).map_err(at)?;
            d.sources.push(Source { ring, link: link_type(hardware), ready: None });
        }
        // Deaf until all have joined, lest one gets what another gets too.
        let rings = devices.iter().filter_map(|d| d.sources.last());
        rings.map(|s| &s.ring).try_for_each(|r| r.begin(&program)).map_err(at)?;
    }
    Desks::join(devices.iter_mut().map(|d| &mut d.desks).collect(), HANDED_MAX);
    Ok(devices)
}

/// What a port's frames are, by its hardware (`linux/if_arp.h`).
fn link_type(hardware: u16) -> LinkType {
    const PPP: u16 = 512;
    const RAW_IP: u16 = 519;
    const IEEE80211: u16 = 801;
    const IEEE80211_RADIOTAP: u16 = 803;
    match hardware {
        // Tunnels and PPP give packets without a header of the link.
        libc::ARPHRD_NONE | RAW_IP | PPP => LinkType::RAW,
        IEEE80211 => LinkType::IEEE802_11,
        IEEE80211_RADIOTAP => LinkType::IEEE802_11_RADIOTAP,
        _ => LinkType::ETHERNET,
    }
}

/// The port whose frame comes next, of what each has ready. None where another may yet bring an earlier one: it has
/// nothing there, and `now` is not late enough to say that it will have nothing as early.
fn first(ready: impl Iterator<Item = Option<u64>> + Clone, now: u64) -> Option<usize> {
    let (nanos, port) = ready.clone().enumerate().filter_map(|(i, t)| t.map(|t| (t, i))).min()?;
    let silent = ready.into_iter().any(|t| t.is_none());
    let late = nanos.saturating_add(ORDER.as_nanos() as u64) <= now;
    // A clock that was set back would have frames wait for as long.
    let ahead = nanos > now.saturating_add(ORDER.as_nanos() as u64);
    (!silent || late || ahead).then_some(port)
}

impl TapDevice {
    fn new(workers: usize) -> io::Result<TapDevice> {
        Ok(TapDevice {
            sources: Vec::new(),
            batch: Vec::new(),
            spare: Vec::new(),
            now: Stamps::default(),
            number: 0,
            receives: 0,
            desks: Desks::new(workers)?,
            traffic: Traffic::default(),
        })
    }

    /// Takes what has arrived. No wait. Whether frames are there that have to wait for their turn.
    fn take(&mut self, max: usize) -> bool {
        let TapDevice { sources, desks, batch, traffic, .. } = self;
        let half = max.saturating_sub(batch.len()).div_ceil(2);
        traffic.taken += desks.take(half, |held| batch.push(held)) as u64;
        let now = if sources.len() > 1 { wall().nanos() } else { 0 };
        sources.iter_mut().for_each(|s| s.ready = s.ring.ready());
        while batch.len() < max {
            let Some(port) = first(sources.iter().map(|s| s.ready), now) else {
                return sources.iter().any(|s| s.ready.is_some());
            };
            let Some(s) = sources.get_mut(port) else { break };
            if let Some(a) = s.ring.next() {
                traffic.received += 1;
                batch.push(held(&mut s.ring, a, port as u16, s.link));
            }
            s.ready = s.ring.ready();
        }
        false
    }

    fn sleep(&mut self, wait: Duration) -> Result<(), Error> {
        self.desks.sleep(|bell| {
            let mut fds = vec![(bell, libc::POLLIN)];
            fds.extend(self.sources.iter().map(|s| (s.ring.as_fd(), libc::POLLIN)));
            let broken = packet::wait(&fds, wait.as_millis().min(1_000) as i32) >> 1;
            for (i, s) in self.sources.iter().enumerate().filter(|(i, _)| broken >> i & 1 != 0) {
                // A port that went down comes up again.
                let recovered = packet::recover(s.ring.as_fd());
                recovered.map_err(|source| Error::Live { what: format!("mirror port {i}"), source })?;
            }
            Ok(true)
        })
    }

    /// Asks the kernel what it lost.
    fn ask_lost(&mut self) {
        self.traffic.lost += self.sources.iter().map(|s| packet::lost(s.ring.as_fd())).sum::<u64>();
    }

    /// Nothing comes of it: the wire has it already.
    fn settle(&mut self, i: usize) {
        if let Some(h) = self.batch.get_mut(i) {
            h.gone = true;
        }
    }

    fn clear(&mut self) {
        for held in self.batch.drain(..) {
            keep(&mut self.spare, held.memory);
        }
        self.sources.iter_mut().for_each(|s| s.ring.give_back());
    }
}

/// The frame, put right where it lies.
fn held(ring: &mut BlockRing, a: Arrival, port: u16, link: LinkType) -> Held {
    let mut piece = a.piece;
    let (room, at, len) = ring.room(&piece);
    let mut wire_len = a.wire_len;
    if let Some((to, longer, _)) = mend(room, at, len, a.tag) {
        ring.lies(&mut piece, to, longer);
        wire_len += (longer - len) as u32;
    }
    Held { memory: Memory::Piece(port, piece), port, link, nanos: a.nanos, wire_len, gone: false }
}

fn keep(spare: &mut Vec<Vec<u8>>, memory: Memory) {
    if let Memory::Copy(bytes) = memory
        && spare.len() < SPARE
    {
        spare.push(bytes);
    }
}

fn bytes<'a>(sources: &'a [Source], memory: &'a Memory) -> &'a [u8] {
    match memory {
        Memory::Piece(port, piece) => sources.get(usize::from(*port)).map_or(&[], |s| s.ring.bytes(piece)),
        Memory::Copy(bytes) => bytes,
    }
}

impl Live for TapDevice {
    fn receive(&mut self, max: usize, wait: Duration) -> Result<usize, Error> {
        self.clear();
        let waiting = self.take(max);
        if self.batch.is_empty() && !wait.is_zero() {
            if waiting {
                // They are due before anything that may come, or as good as that.
                std::thread::sleep(wait.min(Duration::from_millis(1)));
            } else {
                self.sleep(wait)?;
            }
            self.take(max);
        }
        self.receives = self.receives.wrapping_add(1);
        if self.batch.is_empty() || self.receives.is_multiple_of(LOSSES_EVERY) {
            self.ask_lost();
        }
        self.number += self.batch.len() as u64;
        for held in &mut self.batch {
            held.nanos = self.now.at(Timestamp::from_nanos(held.nanos)).nanos();
        }
        Ok(self.batch.len())
    }

    fn frames<'d>(&'d self, into: &mut Vec<Frame<'d>>) {
        let first = self.number - self.batch.len() as u64;
        into.extend(self.batch.iter().zip(first + 1..).map(|(h, number)| {
            let data = bytes(&self.sources, &h.memory);
            let wire_len = h.wire_len.max(data.len() as u32);
            Frame { ts: Timestamp::from_nanos(h.nanos), number, link: h.link, port: PortId(h.port), data, wire_len }
        }));
    }

    /// Nothing is sent or kept back here: the wire has it already.
    fn forward(&mut self, i: usize) {
        self.settle(i);
    }

    fn replace(&mut self, i: usize, _: &[u8]) {
        self.settle(i);
    }

    fn discard(&mut self, i: usize) {
        self.settle(i);
    }

    fn hand_over(&mut self, i: usize, worker: usize) -> bool {
        if self.desks.room(worker).is_none_or(|room| room == 0) {
            return false;
        }
        let Some(h) = self.batch.get_mut(i) else { return false };
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(bytes(&self.sources, &h.memory));
        h.gone = true;
        let handed = Held { memory: Memory::Copy(copy), gone: false, ..*h };
        self.traffic.handed += 1;
        self.desks.give(worker, handed).is_ok()
    }

    fn leave_settled(&mut self) {
        let TapDevice { batch, spare, .. } = self;
        batch.extract_if(.., |h| h.gone).for_each(|h| keep(spare, h.memory));
    }

    fn inject(&mut self, _: PortId, _: &[u8]) {}

    fn flush(&mut self) -> Result<(), Error> {
        self.desks.ring();
        Ok(())
    }

    /// The batch alone: what is only watched does not grow old.
    fn throw_away(&mut self) {
        self.traffic.stale += self.batch.len() as u64;
        self.clear();
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_several_ports_come_by_their_time() {
        let ms = |n: u64| Some(n * 1_000_000);
        let of = |ready: &[Option<u64>], now: u64| first(ready.iter().copied(), now * 1_000_000);
        assert_eq!(of(&[], 0), None);
        assert_eq!(of(&[None], 1_000), None);
        assert_eq!(of(&[ms(1_000)], 0), Some(0), "the only one waits for nobody");
        assert_eq!(of(&[ms(1_000), ms(999)], 1_000), Some(1));
        assert_eq!(of(&[ms(1_000), ms(1_000)], 1_000), Some(0));
        assert_eq!(of(&[ms(1_000), None], 1_005), None, "the other may have an earlier one");
        assert_eq!(of(&[ms(1_000), None], 1_013), Some(0));
        assert_eq!(of(&[None, ms(9_000)], 1_000), Some(1), "the clock was set back");
    }

    #[test]
    fn filters_are_checked() {
        assert_eq!(check_filter("tcp port 80 or vlan 5"), Ok(()));
        let why = check_filter("tcp porto 80").unwrap_err();
        assert!(why.contains("syntax error") || why.contains("porto"), "{why}");
        assert!(check_filter("tcp\0").is_err());
    }

    #[test]
    fn more_ports_than_can_be_waited_for_are_refused() {
        let ports = vec!["lo".to_owned(); TAPS_MAX + 1];
        let w = Watching { ports: &ports, workers: 1, ring_bytes: 0, filter: None };
        assert!(watch(&w).is_err_and(|e| e.to_string().contains("at most 63")));
    }

    #[test]
    fn what_another_worker_has_no_room_for_stays_to_be_settled() {
        let (mut d, mut other) = (TapDevice::new(2).unwrap(), TapDevice::new(2).unwrap());
        Desks::join(vec![&mut d.desks, &mut other.desks], HANDED_MAX);
        let memory = Memory::Copy(vec![7; 60]);
        d.batch.push(Held { memory, port: 3, link: LinkType::ETHERNET, nanos: 5, wire_len: 90, gone: false });
        assert!((0..HANDED_MAX).all(|_| d.hand_over(0, 1)));
        assert!(!d.hand_over(0, 1) && !d.hand_over(0, 0) && !d.hand_over(0, 2) && !d.hand_over(1, 1));
        assert_eq!(d.traffic().handed, HANDED_MAX as u64);
        let mut taken = Vec::new();
        assert_eq!(other.desks.take(1, |h| taken.push(h)), 1);
        let h = taken.pop().unwrap();
        assert!((h.port, h.wire_len) == (3, 90) && matches!(h.memory, Memory::Copy(c) if c == [7; 60]));
    }
}
