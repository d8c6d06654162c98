//! AF_XDP sockets: memory shared with the kernel, and the four rings of each socket
//! (<https://docs.kernel.org/networking/af_xdp.html>).
//!
//! A piece of the shared memory is either the kernel's (in a fill or transmit ring) or ours, as a [`Chunk`] with a frame
//! in it or as a free [`Spot`]. Neither can be copied, so no two hands ever reach the same bytes.

use super::pages::{Pages, owned, set_option, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A free place for a frame, by its offset in the memory.
#[derive(Debug)]
pub struct Spot(u64);

impl Spot {
    pub const fn offset(&self) -> u64 {
        self.0
    }
}

/// A frame in the memory.
#[derive(Debug)]
pub struct Chunk {
    addr: u64,
    len: u32,
}

/// Memory for frames, of places of equal size.
pub struct Umem {
    pages: Pages,
    place: u64,
}

// SAFETY: bytes are reached through Chunk and Spot alone, each of which exists once.
unsafe impl Send for Umem {}
// SAFETY: as above.
unsafe impl Sync for Umem {}

impl Umem {
    /// `place`: bytes of each, 2048 or 4096. The places come with it.
    pub fn new(places: usize, place: usize) -> io::Result<(Arc<Umem>, Vec<Spot>)> {
        let umem = Umem { pages: Pages::anonymous(places * place)?, place: place as u64 };
        Ok((Arc::new(umem), (0..places as u64).map(|i| Spot(i * place as u64)).collect()))
    }

    /// Of so many places.
    pub const fn bytes_of(&self, places: usize) -> u64 {
        places as u64 * self.place
    }

    pub fn bytes<'a>(&'a self, chunk: &'a Chunk) -> &'a [u8] {
        let (at, len) = (chunk.addr as usize, chunk.len as usize);
        assert!(at + len <= self.pages.bytes());
        // SAFETY: in bounds as asserted; the chunk is ours until it is given away, and it is borrowed meanwhile.
        unsafe { std::slice::from_raw_parts(self.pages.at().as_ptr().add(at), len) }
    }

    /// A frame of these bytes; the place back where they are more than it holds.
    pub fn write(&self, spot: Spot, data: &[u8]) -> Result<Chunk, Spot> {
        let at = spot.0 as usize;
        if data.len() as u64 > self.place || at + data.len() > self.pages.bytes() {
            return Err(spot);
        }
        // SAFETY: in bounds as checked; the spot is ours and nobody else's.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.pages.at().as_ptr().add(at), data.len()) };
        Ok(Chunk { addr: spot.0, len: data.len() as u32 })
    }

    /// The frame is done with.
    pub fn clear(&self, chunk: Chunk) -> Spot {
        self.spot_of(chunk.addr)
    }

    /// The place that an address lies in, which is ours again.
    const fn spot_of(&self, addr: u64) -> Spot {
        Spot(addr - addr % self.place)
    }
}

/// A ring shared with the kernel; one side of it is ours.
struct Ring {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<u8>,
    size: u32,
    /// Our side's count, and the kernel's as last read.
    ours: u32,
    theirs: u32,
    /// What all of these point into.
    _pages: Pages,
}

// SAFETY: a ring is used through &mut by one thread; what it shares with the kernel it reaches through atomics.
unsafe impl Send for Ring {}

impl Ring {
    fn map(
        fd: BorrowedFd<'_>,
        page: i64,
        offsets: &libc::xdp_ring_offset,
        size: u32,
        entry: usize,
    ) -> io::Result<Ring> {
        let bytes = offsets.desc as usize + size as usize * entry;
        let pages = Pages::shared(fd, page, bytes, libc::MAP_POPULATE)?;
        let map = pages.at();
        // SAFETY: the kernel's offsets lie in the mapping it gave, and the counters are aligned words.
        unsafe {
            Ok(Ring {
                producer: map.add(offsets.producer as usize).cast(),
                consumer: map.add(offsets.consumer as usize).cast(),
                flags: map.add(offsets.flags as usize).cast(),
                entries: map.add(offsets.desc as usize),
                size,
                ours: 0,
                theirs: 0,
                _pages: pages,
            })
        }
    }

    fn word(at: &NonNull<AtomicU32>) -> &AtomicU32 {
        // SAFETY: a word of the mapping, which lives as long as the ring.
        unsafe { at.as_ref() }
    }

    /// Entries we may write, as producer.
    fn room(&mut self) -> u32 {
        if self.ours.wrapping_sub(self.theirs) == self.size {
            self.theirs = Self::word(&self.consumer).load(Ordering::Acquire);
        }
        self.size - self.ours.wrapping_sub(self.theirs)
    }

    /// Entries we may read, as consumer: all there are where they are fewer than are wanted.
    fn ready(&mut self, wanted: u32) -> u32 {
        if self.theirs.wrapping_sub(self.ours) < wanted {
            self.theirs = Self::word(&self.producer).load(Ordering::Acquire);
        }
        self.theirs.wrapping_sub(self.ours)
    }

    fn entry<T>(&self, n: u32) -> *mut T {
        let i = (n & (self.size - 1)) as usize;
        // SAFETY: below size, so inside the mapping; entries are T's, as the ring was mapped.
        unsafe { self.entries.as_ptr().cast::<T>().add(i) }
    }

    fn produced(&self) {
        Self::word(&self.producer).store(self.ours, Ordering::Release);
    }

    fn consumed(&self) {
        Self::word(&self.consumer).store(self.ours, Ordering::Release);
    }

    fn wants_wakeup(&self) -> bool {
        Self::word(&self.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// How a socket is to be bound.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    pub ifindex: u32,
    pub queue: u32,
    /// Entries of each ring, a power of two.
    pub ring: u32,
    /// Never without a copy, even where the driver could.
    pub copy: bool,
    /// Microseconds a receive call may poll the driver; 0 off.
    pub busy_poll_us: u32,
}

pub struct Socket {
    fd: OwnedFd,
    receive: Ring,
    transmit: Ring,
    fill: Ring,
    done: Ring,
    /// Not sent yet, as we know.
    pending: bool,
    // Last: the rings and the descriptor go before the memory they name.
    umem: Arc<Umem>,
}

impl Socket {
    /// A socket on a queue, sharing the memory, which `first` registered if there is one.
    pub fn bind(umem: &Arc<Umem>, b: Binding, first: Option<&Socket>) -> io::Result<Socket> {
        let fd = socket(libc::AF_XDP, libc::SOCK_RAW, 0)?;
        if first.is_none() {
            let register = libc::xdp_umem_reg {
                addr: umem.pages.at().as_ptr() as u64,
                len: umem.pages.bytes() as u64,
                chunk_size: umem.place as u32,
                headroom: 0,
                flags: 0,
                tx_metadata_len: 0,
            };
            // Kernels before 6.8 know the structure without its last word.
            option(fd.as_fd(), libc::XDP_UMEM_REG, &register).or_else(|_| {
                // SAFETY: as in `option`; a shorter length of the same structure.
                set(fd.as_fd(), libc::XDP_UMEM_REG, (&raw const register).cast(), 28)
            })?;
        }
        for ring in [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING] {
            option(fd.as_fd(), ring, &b.ring)?;
        }
        if b.busy_poll_us > 0 {
            for (name, value) in
                [(libc::SO_PREFER_BUSY_POLL, 1), (libc::SO_BUSY_POLL, b.busy_poll_us), (libc::SO_BUSY_POLL_BUDGET, 64)]
            {
                set_option(fd.as_fd(), libc::SOL_SOCKET, name, &value)?;
            }
        }
        // A call may send a whole ring where the kernel can be told so (6.17); it is called again where not.
        const XDP_TX_BUDGET: i32 = 9;
        let _ = option(fd.as_fd(), XDP_TX_BUDGET, &b.ring);
        let offsets = offsets(fd.as_fd())?;
        let desc = size_of::<libc::xdp_desc>();
        let map = |page, o, entry| Ring::map(fd.as_fd(), page, o, b.ring, entry);
        let (fill_page, done_page) = (libc::XDP_UMEM_PGOFF_FILL_RING, libc::XDP_UMEM_PGOFF_COMPLETION_RING);
        let receive = map(libc::XDP_PGOFF_RX_RING, &offsets.rx, desc)?;
        let transmit = map(libc::XDP_PGOFF_TX_RING, &offsets.tx, desc)?;
        let fill = map(fill_page as i64, &offsets.fr, 8)?;
        let done = map(done_page as i64, &offsets.cr, 8)?;
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            // One that shares takes over how the first was bound.
            sxdp_flags: match (first, b.copy) {
                (Some(_), _) => libc::XDP_SHARED_UMEM,
                (None, true) => libc::XDP_USE_NEED_WAKEUP | libc::XDP_COPY,
                (None, false) => libc::XDP_USE_NEED_WAKEUP,
            },
            sxdp_ifindex: b.ifindex,
            sxdp_queue_id: b.queue,
            sxdp_shared_umem_fd: first.map_or(0, |f| f.fd.as_raw_fd() as u32),
        };
        // SAFETY: the address is a whole sockaddr_xdp.
        let bound =
            unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_xdp>() as u32) };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Socket { fd, receive, transmit, fill, done, pending: false, umem: umem.clone() })
    }

    /// Whether frames reach us without a copy.
    pub fn zero_copy(&self) -> bool {
        let mut options = libc::xdp_options { flags: 0 };
        get(self.fd.as_fd(), libc::XDP_OPTIONS, &mut options).is_ok() && options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0
    }

    /// Appends at most `max` frames that have arrived.
    pub fn receive(&mut self, max: usize, mut each: impl FnMut(Chunk)) -> usize {
        let n = self.receive.ready(max as u32).min(max as u32);
        for _ in 0..n {
            // SAFETY: an entry that the kernel has produced and we have not consumed.
            let d = unsafe { self.receive.entry::<libc::xdp_desc>(self.receive.ours).read() };
            self.receive.ours = self.receive.ours.wrapping_add(1);
            each(Chunk { addr: d.addr, len: d.len });
        }
        if n > 0 {
            self.receive.consumed();
        }
        n as usize
    }

    /// Gives the kernel places for further frames, as many as it takes.
    pub fn supply(&mut self, free: &mut Vec<Spot>) {
        let n = (self.fill.room() as usize).min(free.len());
        for spot in free.drain(free.len() - n..) {
            // SAFETY: an entry of the room we have as producer.
            unsafe { self.fill.entry::<u64>(self.fill.ours).write(spot.0) };
            self.fill.ours = self.fill.ours.wrapping_add(1);
        }
        if n > 0 {
            self.fill.produced();
        }
    }

    /// Puts a frame into the transmit ring; gives it back where that is full.
    pub fn send(&mut self, chunk: Chunk) -> Result<(), Chunk> {
        if self.transmit.room() == 0 {
            return Err(chunk);
        }
        let d = libc::xdp_desc { addr: chunk.addr, len: chunk.len, options: 0 };
        // SAFETY: an entry of the room we have as producer.
        unsafe { self.transmit.entry::<libc::xdp_desc>(self.transmit.ours).write(d) };
        self.transmit.ours = self.transmit.ours.wrapping_add(1);
        self.pending = true;
        Ok(())
    }

    /// Takes back the places of frames that have been sent.
    pub fn reap(&mut self, free: &mut Vec<Spot>) {
        let n = self.done.ready(1);
        for _ in 0..n {
            // SAFETY: an entry that the kernel has produced and we have not consumed.
            let addr = unsafe { self.done.entry::<u64>(self.done.ours).read() };
            self.done.ours = self.done.ours.wrapping_add(1);
            free.push(self.umem.spot_of(addr));
        }
        if n > 0 {
            self.done.consumed();
        }
    }

    /// Has the kernel send what is in the transmit ring. Whether all of it is on its way.
    pub fn kick(&mut self) -> io::Result<bool> {
        if !self.pending {
            return Ok(true);
        }
        self.transmit.produced();
        for _ in 0..TRIES {
            if self.transmit.wants_wakeup() {
                // SAFETY: no buffer; the descriptor is ours.
                let sent = unsafe {
                    libc::sendto(self.fd.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
                };
                if sent < 0 {
                    let e = io::Error::last_os_error();
                    match e.raw_os_error() {
                        // Out of its memory or the driver's room for now: later is soon enough.
                        Some(libc::EBUSY | libc::ENOBUFS) => return Ok(false),
                        // A call sends so many and says so.
                        Some(libc::EAGAIN) => {}
                        // The port is down: what was to leave stays until it is up.
                        Some(libc::ENETDOWN) => return Ok(false),
                        _ => return Err(e),
                    }
                }
            }
            if Ring::word(&self.transmit.consumer).load(Ordering::Acquire) == self.transmit.ours {
                self.pending = false;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Frames lost before they reached us: for want of places or room in the ring, or too long for a place.
    pub fn lost(&self) -> u64 {
        let mut s = libc::xdp_statistics {
            rx_dropped: 0,
            rx_invalid_descs: 0,
            tx_invalid_descs: 0,
            rx_ring_full: 0,
            rx_fill_ring_empty_descs: 0,
            tx_ring_empty_descs: 0,
        };
        match get(self.fd.as_fd(), libc::XDP_STATISTICS, &mut s) {
            Ok(()) => s.rx_dropped + s.rx_ring_full,
            Err(_) => 0,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Calls to have a full ring sent at 32 frames a call.
const TRIES: usize = 256;

fn option<T>(fd: BorrowedFd<'_>, name: i32, value: &T) -> io::Result<()> {
    set_option(fd, libc::SOL_XDP, name, value)
}

fn set(fd: BorrowedFd<'_>, name: i32, value: *const libc::c_void, len: usize) -> io::Result<()> {
    // SAFETY: callers pass a value of at least `len` bytes.
    match unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_XDP, name, value, len as u32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn get<T>(fd: BorrowedFd<'_>, name: i32, value: &mut T) -> io::Result<()> {
    let mut len = size_of::<T>() as u32;
    // SAFETY: the kernel writes at most `len` bytes into a T of plain numbers.
    let got = unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_XDP, name, (&raw mut *value).cast(), &mut len) };
    if got == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn offsets(fd: BorrowedFd<'_>) -> io::Result<libc::xdp_mmap_offsets> {
    // SAFETY: a structure of plain numbers, for which zero is a value.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
    get(fd, libc::XDP_MMAP_OFFSETS, &mut offsets)?;
    Ok(offsets)
}

/// Waits until a descriptor can be read, at most so long. Whether the last of them can.
pub fn wait<'f>(fds: impl Iterator<Item = BorrowedFd<'f>>, timeout_ms: i32) -> io::Result<bool> {
    let mut set = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; 2 * crate::xdp::layout::QUEUES_MAX + 1];
    let n = set.iter_mut().zip(fds).map(|(p, fd)| p.fd = fd.as_raw_fd()).count();
    // SAFETY: the array holds `n` entries.
    if unsafe { libc::poll(set.as_mut_ptr(), n as u64, timeout_ms) } < 0 {
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
    Ok(set.get(n.wrapping_sub(1)).is_some_and(|last| last.revents != 0))
}

/// A bell that one thread rings to end another's wait.
pub struct Bell(OwnedFd);

impl Bell {
    pub fn new() -> io::Result<Bell> {
        // SAFETY: plain call, which opens what it returns.
        unsafe { owned(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)) }.map(Bell)
    }

    pub fn ring(&self) {
        let one = 1u64;
        // SAFETY: eight bytes of ours. A full counter has been rung already.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    pub fn still(&self) {
        let mut n = 0u64;
        // SAFETY: eight bytes of ours.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut n).cast(), 8) };
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
