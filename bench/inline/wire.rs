//! Frames put onto the two ends of a bed at a chosen rate, what arrives at each, and whose processor time it took.

use super::frames::Frames;
use harness::netns::{At, Bed, ENDS};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Frames of one call at most; with a rate, what is sent at once.
const BURST: usize = 64;
const PACED_BURST: usize = 16;
/// After the last frame was sent, what is under way arrives within.
const SETTLE: Duration = Duration::from_millis(300);

/// What was sent, and how much of it arrived.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub frames: u64,
    pub arrived: u64,
    pub seconds: f64,
}

impl Sent {
    pub fn rate(&self) -> f64 {
        self.frames as f64 / self.seconds.max(1e-9)
    }

    /// Share of what was sent that arrived.
    pub fn share(&self) -> f64 {
        self.arrived as f64 / self.frames.max(1) as f64
    }

    pub fn arrival_rate(&self) -> f64 {
        self.arrived as f64 / self.seconds.max(1e-9)
    }
}

/// A packet socket at each end.
pub struct Wire<'a> {
    bed: &'a Bed,
    ends: [OwnedFd; 2],
}

impl<'a> Wire<'a> {
    pub fn new(bed: &'a Bed) -> Result<Wire<'a>, String> {
        let open = |at, end: &'static str| bed.inside(at, || packet_socket(end)).map_err(|e| format!("{end}: {e}"));
        Ok(Wire { bed, ends: [open(At::Client, ENDS[0])?, open(At::Server, ENDS[1])?] })
    }

    /// Sends every frame from its side, in order; at `rate` frames a second, or as fast as it goes.
    pub fn send(&self, frames: &Frames, rate: Option<f64>) -> Result<Sent, String> {
        let before = self.arrived()?;
        let since = Instant::now();
        let sent = self.put(frames, rate, &AtomicBool::new(false));
        let seconds = since.elapsed().as_secs_f64();
        std::thread::sleep(SETTLE);
        Ok(Sent { frames: sent, arrived: self.arrived()?.saturating_sub(before), seconds })
    }

    /// The same until `stop`, not waiting for what arrives. How many were sent.
    pub fn put(&self, frames: &Frames, rate: Option<f64>, stop: &AtomicBool) -> u64 {
        let since = Instant::now();
        let mut sent = 0;
        let mut at = 0;
        while at < frames.places.len() && !stop.load(Ordering::Relaxed) {
            let left = frames.places.len() - at;
            let mut now = BURST.min(left);
            if let Some(rate) = rate {
                now = PACED_BURST.min(left);
                let due = Duration::from_secs_f64((at + now) as f64 / rate);
                if let Some(wait) = due.checked_sub(since.elapsed()) {
                    std::thread::sleep(wait);
                }
            }
            let batch = &frames.places[at..at + now];
            for run in batch.chunk_by(|a, b| a.side == b.side) {
                let parts: Vec<&[u8]> = run.iter().map(|p| frames.bytes(p)).collect();
                sent += transmit(&self.ends[run[0].side & 1], &parts);
            }
            at += now;
        }
        sent
    }

    /// Frames that have arrived at the two ends.
    fn arrived(&self) -> Result<u64, String> {
        let of = |at, end: &'static str| {
            let text = self.bed.inside(at, || std::fs::read_to_string("/proc/thread-self/net/dev"));
            let text = text.map_err(|e| format!("{end}: {e}"))?;
            let line = text.lines().find_map(|l| l.trim().strip_prefix(end)?.strip_prefix(':'));
            let packets = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
            packets.ok_or_else(|| format!("{end} has no counters"))
        };
        Ok(of(At::Client, ENDS[0])? + of(At::Server, ENDS[1])?)
    }
}

/// A socket that sends frames as they are, past any queue, and receives none.
fn packet_socket(end: &str) -> io::Result<OwnedFd> {
    // SAFETY: plain call, which opens what it returns.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let name = std::ffi::CString::new(end).unwrap_or_default();
    // SAFETY: a string with its end; a structure of plain numbers, for which zero is a value.
    let (index, mut address) =
        unsafe { (libc::if_nametoindex(name.as_ptr()), std::mem::zeroed::<libc::sockaddr_ll>()) };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index as i32;
    let (one, size) = (1i32, size_of::<libc::sockaddr_ll>() as u32);
    // SAFETY: an option of four bytes and an address of its size, both ours.
    let done = unsafe {
        let past = libc::PACKET_QDISC_BYPASS;
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_PACKET, past, (&raw const one).cast(), 4);
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

/// How many of these the kernel took; one that it does not take is skipped.
fn transmit(to: &OwnedFd, frames: &[&[u8]]) -> u64 {
    let mut parts: Vec<libc::iovec> =
        frames.iter().map(|f| libc::iovec { iov_base: f.as_ptr().cast_mut().cast(), iov_len: f.len() }).collect();
    // SAFETY: a structure of plain numbers and pointers, for which zero is a value.
    let empty = unsafe { std::mem::zeroed::<libc::mmsghdr>() };
    let mut messages: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            let mut m = empty;
            m.msg_hdr.msg_iov = part;
            m.msg_hdr.msg_iovlen = 1;
            m
        })
        .collect();
    let (mut at, mut sent) = (0, 0);
    while at < messages.len() {
        let rest = &mut messages[at..];
        // SAFETY: messages and what they point to live through the call, which only reads the frames.
        let n = unsafe { libc::sendmmsg(to.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0) };
        sent += n.max(0) as u64;
        at += n.max(1) as usize;
    }
    sent
}

/// Busy seconds of the whole machine, all processors, since some moment: what the clock says less what was idle or taken
/// by other machines. The kernel measures idling; what is busy it only samples, and misses bursts that follow a timer.
pub fn busy() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let cores = text.lines().filter(|l| l.starts_with("cpu")).count().saturating_sub(1);
    let first = text.lines().next().unwrap_or("");
    let fields: Vec<f64> = first.split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    let idle: f64 = [3, 4, 7].iter().filter_map(|i| fields.get(*i)).sum();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec as f64 + now.tv_nsec as f64 / 1e9) * cores as f64 - idle / ticks()
}

/// Seconds of processor time of a process and its children that live.
pub fn used(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything.
    let mut fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    let own = (next() + next()) as f64 / ticks();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    own + children.split_whitespace().filter_map(|c| c.parse().ok()).map(used).sum::<f64>()
}

fn ticks() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}
