//! Packet sockets and the receive rings they share with the kernel
//! (packet(7), <https://docs.kernel.org/networking/packet_mmap.html>), of the second version: a slot for each frame,
//! told as soon as it is there.
//!
//! A slot is the kernel's, or ours as a [`Slot`], which cannot be copied, so that no two hands ever reach the same bytes.
//! While it is ours its word of state says so, in a bit that the kernel does not know: neither a second turn around the
//! ring nor the kernel takes it before it is given back.

use super::pages::{Pages, set_option, socket as open_socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Of a slot's state: it is ours.
const HELD: u32 = 1 << 20;
/// The kernel's words in front of a frame: its own structure and an address.
const HEADER: usize = libc::TPACKET2_HDRLEN;
/// What the kernel may leave between its header and the frame.
const HEADROOM: usize = 64;
/// A header of virtio in front of each frame, received and sent: what an offload left to be done
/// (`struct virtio_net_hdr` of `linux/virtio_net.h`).
pub const OFFLOAD_BYTES: usize = 10;
/// Bytes that the kernel allocates in one piece.
const BLOCK: usize = 1 << 17;
/// Bytes of frames that may wait apart from the ring: two hundred of 64 KiB.
const WHOLE_BYTES: i32 = 16 << 20;

/// Which of a port's sockets gets a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// By a hash of its tuple, the same both ways.
    Hash,
    /// By the queue it came in on, modulo the sockets, as the XDP program counts them.
    Queue,
}

/// A frame in a slot of a ring.
#[derive(Debug)]
pub struct Slot {
    ring: u32,
    index: u32,
    /// Where the frame begins in the slot, and its bytes.
    at: u32,
    len: u32,
}

/// What the kernel says of a frame.
#[derive(Debug)]
pub struct Arrival {
    pub slot: Slot,
    /// Since 1970, by the kernel's clock when it came in.
    pub nanos: u64,
    /// The tag that was taken out of it: identifier and contents.
    pub tag: Option<[u16; 2]>,
    /// The slot was too short for it: all of it is the next of [`Ring::receive_whole`].
    pub whole_apart: bool,
    /// It was too long, and there was no room apart either.
    pub cut: bool,
    /// The kernel has lost frames since it was last asked.
    pub losing: bool,
}

/// A receiving socket with its ring.
pub struct Ring {
    fd: OwnedFd,
    ifindex: u32,
    pages: Pages,
    slots: u32,
    /// Bytes of a slot, a power of two.
    slot: usize,
}

// SAFETY: slots are reached through Slot alone, each of which exists once, and their states through atomics.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    /// A ring of at least `slots` slots for frames of up to `frame` bytes, which gets nothing before [`Ring::begin`].
    pub fn open(ifindex: u32, slots: usize, frame: usize) -> io::Result<Ring> {
        let fd = socket()?;
        let packet = |name: i32, value: i32| set_option(fd.as_fd(), libc::SOL_PACKET, name, &value);
        packet(libc::PACKET_VERSION, libc::tpacket_versions::TPACKET_V2 as i32)?;
        packet(libc::PACKET_VNET_HDR, 1)?;
        // Frames that do not fit come whole by another way, as many as fit there.
        packet(libc::PACKET_COPY_THRESH, 1)?;
        packet(libc::PACKET_IGNORE_OUTGOING, 1)?;
        set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &WHOLE_BYTES)?;
        drop_all(fd.as_fd())?;
        let slot = (HEADER + HEADROOM + frame).next_power_of_two();
        let block = BLOCK.max(slot);
        let slots = slots.next_multiple_of(block / slot);
        let request = libc::tpacket_req {
            tp_block_size: block as u32,
            tp_block_nr: (slots * slot / block) as u32,
            tp_frame_size: slot as u32,
            tp_frame_nr: slots as u32,
        };
        set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let pages = Pages::shared(fd.as_fd(), 0, slots * slot, libc::MAP_POPULATE)?;
        Ok(Ring { fd, ifindex, pages, slots: slots as u32, slot })
    }

    /// Binds it to its port, in promiscuous mode, still deaf; a port's sockets that are to share its frames name a group.
    pub fn bind(&self, group: Option<(Spread, &mut Option<u16>)>) -> io::Result<()> {
        bind(self.fd.as_fd(), self.ifindex, libc::ETH_P_ALL as u16)?;
        promiscuous(self.fd.as_fd(), self.ifindex)?;
        group.map_or(Ok(()), |(spread, id)| join(self.fd.as_fd(), spread, id))
    }

    /// From now on it gets frames.
    pub fn begin(&self) -> io::Result<()> {
        hear(self.fd.as_fd())
    }

    /// The next frame that came too long for its slot, behind its offload header; its whole length, which is more than
    /// the room where the room did not do.
    pub fn receive_whole(&self, room: &mut [u8]) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        let mut receive = || {
            // SAFETY: the room is ours and its length is passed.
            let got = unsafe { libc::recv(self.fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), flags) };
            usize::try_from(got).map_err(|_| io::Error::last_os_error())
        };
        // An error is the port's, told once, and takes no frame away; without another try each would come one too late.
        match receive() {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => receive(),
            done => done,
        }
    }

    /// Frames lost since this was last asked: the ring was full, or they were of a kind that cannot be described.
    pub fn lost(&self) -> u64 {
        lost(self.fd.as_fd())
    }

    /// Clears an error of the socket's. The error ENODEV says that its port is no more.
    pub fn recover(&self) -> io::Result<()> {
        recover(self.fd.as_fd())
    }

    fn header(&self, index: u32) -> NonNull<libc::tpacket2_hdr> {
        assert!(index < self.slots);
        // SAFETY: a slot inside the mapping; slots are aligned by their size.
        unsafe { self.pages.at().add(index as usize * self.slot).cast() }
    }

    fn state(&self, index: u32) -> &AtomicU32 {
        // SAFETY: the first word of a slot's header, which the kernel, too, reads and writes as one.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.header(index).as_ptr()).tp_status) }
    }

    /// Bytes of a slot that is ours; `at` counts from its begin.
    fn place(&self, index: u32, at: usize, len: usize) -> NonNull<u8> {
        assert!(index < self.slots && at >= HEADER && at + len <= self.slot);
        // SAFETY: in bounds as asserted.
        unsafe { self.pages.at().add(index as usize * self.slot + at) }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The rings of a pair: slots of any of them can be read, and given back, by whoever holds them.
pub struct Rings(Vec<Ring>);

/// The reader of one of the rings.
pub struct Cursor {
    ring: u32,
    next: u32,
}

impl Rings {
    /// The rings, and the cursor of each.
    pub fn of(rings: Vec<Ring>) -> (Rings, Vec<Cursor>) {
        let cursors = (0..rings.len() as u32).map(|ring| Cursor { ring, next: 0 }).collect();
        (Rings(rings), cursors)
    }

    pub fn ring(&self, cursor: &Cursor) -> &Ring {
        &self.0[cursor.ring as usize]
    }

    pub fn bytes<'a>(&'a self, slot: &'a Slot) -> &'a [u8] {
        let len = slot.len as usize;
        let at = self.0[slot.ring as usize].place(slot.index, slot.at as usize, len);
        // SAFETY: in bounds; the slot is ours until it is given back, and it is borrowed meanwhile.
        unsafe { std::slice::from_raw_parts(at.as_ptr(), len) }
    }

    /// All of the slot behind the kernel's header, and where the frame lies in it.
    pub fn room<'a>(&'a self, slot: &'a mut Slot) -> (&'a mut [u8], usize, usize) {
        let ring = &self.0[slot.ring as usize];
        let len = ring.slot - HEADER;
        let at = ring.place(slot.index, HEADER, len);
        // SAFETY: in bounds; the slot is ours and nobody else's, and it is borrowed for itself meanwhile.
        let room = unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), len) };
        (room, slot.at as usize - HEADER, slot.len as usize)
    }

    /// The frame lies there in the slot's room now.
    pub fn lies(&self, slot: &mut Slot, at: usize, len: usize) {
        self.0[slot.ring as usize].place(slot.index, HEADER + at, len);
        (slot.at, slot.len) = ((HEADER + at) as u32, len as u32);
    }

    /// The kernel may fill it again.
    pub fn give_back(&self, slot: Slot) {
        self.0[slot.ring as usize].state(slot.index).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

impl Cursor {
    /// When the next frame came in, if there is one.
    pub fn ready(&self, rings: &Rings) -> Option<u64> {
        let ring = rings.ring(self);
        if ring.state(self.next).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the kernel has given the slot to us, and writes to it no more.
        let h = unsafe { ring.header(self.next).read() };
        Some(nanos(h.tp_sec, h.tp_nsec))
    }

    /// Takes the next frame.
    pub fn take(&mut self, rings: &Rings) -> Option<Arrival> {
        let ring = rings.ring(self);
        let state = ring.state(self.next);
        let status = state.load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: as in `ready`.
        let h = unsafe { ring.header(self.next).read() };
        state.store(HELD, Ordering::Relaxed);
        let index = self.next;
        self.next = (index + 1) % ring.slots;
        let (at, len) = (usize::from(h.tp_mac), h.tp_snaplen as usize);
        // One whose offload header, too, lies in the slot; the kernel makes no other.
        let inside = at >= HEADER + OFFLOAD_BYTES && at + len <= ring.slot;
        let (at, len) = if inside { (at, len) } else { (HEADER + OFFLOAD_BYTES, 0) };
        let tag = (status & libc::TP_STATUS_VLAN_VALID != 0).then(|| {
            let named = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            [if named { h.tp_vlan_tpid } else { libc::ETH_P_8021Q as u16 }, h.tp_vlan_tci]
        });
        let whole_apart = status & libc::TP_STATUS_COPY != 0;
        Some(Arrival {
            slot: Slot { ring: self.ring, index, at: at as u32, len: len as u32 },
            nanos: nanos(h.tp_sec, h.tp_nsec),
            tag,
            whole_apart,
            cut: !whole_apart && h.tp_len as usize > len,
            losing: status & libc::TP_STATUS_LOSING != 0,
        })
    }
}

fn nanos(secs: u32, nanos: u32) -> u64 {
    u64::from(secs) * 1_000_000_000 + u64::from(nanos)
}

/// Sends through a port.
pub struct Sender {
    /// Past the port's queueing discipline, to its driver.
    straight: OwnedFd,
    /// Through the discipline, which cuts up joined frames where the driver cannot.
    in_turn: OwnedFd,
    /// Joined frames have come.
    turns: bool,
    pieces: Vec<[libc::iovec; 2]>,
    messages: Vec<libc::mmsghdr>,
}

// SAFETY: what the lists point to is used in the call that filled them, and never after it.
unsafe impl Send for Sender {}

/// Bytes of frames that may be on their way in the kernel.
const SENDING_BYTES: i32 = 8 << 20;
/// How long a full socket is waited for, in milliseconds.
const PATIENCE_MS: i32 = 2;

impl Sender {
    pub fn open(ifindex: u32) -> io::Result<Sender> {
        let open = |straight: bool| -> io::Result<OwnedFd> {
            let fd = socket()?;
            set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1i32)?;
            set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &i32::from(straight))?;
            set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SENDING_BYTES)?;
            // Of no protocol: it receives nothing.
            bind(fd.as_fd(), ifindex, 0)?;
            Ok(fd)
        };
        let (straight, in_turn) = (open(true)?, open(false)?);
        Ok(Sender { straight, in_turn, turns: false, pieces: Vec::new(), messages: Vec::new() })
    }

    /// From now on frames go through the queueing discipline: all of them, so that none overtakes another.
    pub fn take_turns(&mut self) {
        self.turns = true;
    }

    /// Sends frames in their order, each behind its offload header. `refused` hears of those that did not go.
    pub fn send<'a>(
        &mut self,
        frames: impl Iterator<Item = (&'a [u8; OFFLOAD_BYTES], &'a [u8])>,
        mut refused: impl FnMut(usize),
    ) {
        self.pieces.clear();
        self.messages.clear();
        let piece = |data: &[u8]| libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        self.pieces.extend(frames.map(|(offload, data)| [piece(offload), piece(data)]));
        self.messages.extend(self.pieces.iter_mut().map(|pieces| {
            // SAFETY: a structure of plain numbers and pointers, for which zero is a value.
            let mut m: libc::mmsghdr = unsafe { std::mem::zeroed() };
            m.msg_hdr.msg_iov = pieces.as_mut_ptr();
            m.msg_hdr.msg_iovlen = 2;
            m
        }));
        let fd = if self.turns { self.in_turn.as_fd() } else { self.straight.as_fd() };
        let (mut at, mut patient) = (0, true);
        while let Some(rest) = self.messages.get_mut(at..).filter(|r| !r.is_empty()) {
            // SAFETY: the messages point to their pieces, and these to frames that outlive this call, which reads them.
            let n = unsafe { libc::sendmmsg(fd.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, libc::MSG_DONTWAIT) };
            if n > 0 {
                at += n as usize;
                continue;
            }
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) if std::mem::take(&mut patient) => {
                    wait(&[(fd, libc::POLLOUT)], PATIENCE_MS);
                }
                // Nothing goes: the port is down or no more, or as full as it was.
                Some(libc::EAGAIN | libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => {
                    return (at..self.messages.len()).for_each(refused);
                }
                // The driver had no room, or the frame is longer than the port's MTU lets it be: the next may go.
                _ => {
                    refused(at);
                    at += 1;
                }
            }
        }
    }
}

/// Waits for the first of these events. Which descriptors are in error.
pub fn wait(fds: &[(BorrowedFd<'_>, i16)], timeout_ms: i32) -> u64 {
    let mut set = [libc::pollfd { fd: -1, events: 0, revents: 0 }; 64];
    for (p, (fd, events)) in set.iter_mut().zip(fds.iter()) {
        (p.fd, p.events) = (fd.as_raw_fd(), *events);
    }
    let n = fds.len().min(set.len());
    // SAFETY: the array holds `n` entries. A signal ends the wait early, which does no harm.
    let got = unsafe { libc::poll(set.as_mut_ptr(), n as u64, timeout_ms) };
    if got <= 0 {
        return 0;
    }
    let broken = |p: &libc::pollfd| p.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0;
    set.iter().take(n).enumerate().filter(|(_, p)| broken(p)).fold(0, |all, (i, _)| all | 1 << i)
}

/// A packet socket that is bound to nothing yet.
pub fn socket() -> io::Result<OwnedFd> {
    open_socket(libc::AF_PACKET, libc::SOCK_RAW, 0)
}

/// Binds it to a port and an EtherType.
pub fn bind(fd: BorrowedFd<'_>, ifindex: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: a structure of plain bytes, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = ifindex as i32;
    let len = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: the address is ours and its length is passed.
    match unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The port takes in every frame for as long as the socket lives.
pub fn promiscuous(fd: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    let member = libc::packet_mreq {
        mr_ifindex: ifindex as i32,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &member)
}

/// Joins the group of this number, or makes one and tells its number.
pub fn join(fd: BorrowedFd<'_>, spread: Spread, id: &mut Option<u16>) -> io::Result<()> {
    let kind = match spread {
        Spread::Hash => libc::PACKET_FANOUT_HASH,
        Spread::Queue => libc::PACKET_FANOUT_CBPF,
    };
    // A group has a word of its own on what this machine sends, whatever its sockets were told.
    let flags =
        libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING | if id.is_none() { libc::PACKET_FANOUT_FLAG_UNIQUEID } else { 0 };
    let mut word = u32::from(id.unwrap_or(0)) | (kind | flags) << 16;
    set_option(fd, libc::SOL_PACKET, libc::PACKET_FANOUT, &word)?;
    let mut len = 4u32;
    // SAFETY: the kernel writes four bytes into a number.
    let got = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_FANOUT, (&raw mut word).cast(), &mut len)
    };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    if id.replace(word as u16).is_none() && spread == Spread::Queue {
        // The queue's number, which the kernel counts from 1 and gives as 0 where it does not know it.
        const QUEUE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_QUEUE) as u32;
        let program = [
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, QUEUE),
            op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0),
            op(libc::BPF_ALU | libc::BPF_SUB | libc::BPF_K, 0, 1),
            op(libc::BPF_RET | libc::BPF_A, 0, 0),
        ];
        filter(fd, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &program)?;
    }
    Ok(())
}

/// From now on the socket gets nothing.
pub fn drop_all(fd: BorrowedFd<'_>) -> io::Result<()> {
    filter(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &[op(libc::BPF_RET | libc::BPF_K, 0, 0)])
}

/// From now on it gets everything.
pub fn hear(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0i32)
}

/// Frames that the kernel lost since this was last asked.
pub fn lost(fd: BorrowedFd<'_>) -> u64 {
    let mut s = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut len = size_of::<libc::tpacket_stats_v3>() as u32;
    let to = (&raw mut s).cast();
    // SAFETY: the kernel writes at most `len` bytes into a structure of plain numbers, the second version fewer.
    let got = unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, to, &mut len) };
    if got == 0 { s.tp_drops.into() } else { 0 }
}

/// Clears an error of the socket's. The error ENODEV says that the port it was bound to is no more.
pub fn recover(fd: BorrowedFd<'_>) -> io::Result<()> {
    let (mut e, mut len) = (0i32, 4u32);
    let to = (&raw mut e).cast();
    // SAFETY: the kernel writes four bytes into a number.
    unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, to, &mut len) };
    // SAFETY: a structure of plain bytes, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: the kernel writes at most `len` bytes into an address of ours.
    if unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &mut len) } < 0 {
        return Err(io::Error::last_os_error());
    }
    if address.sll_ifindex > 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENODEV)) }
}

fn op(code: u32, jt: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf: 0, k }
}

/// Gives a socket a program of the classic BPF.
pub fn filter(fd: BorrowedFd<'_>, level: i32, name: i32, program: &[libc::sock_filter]) -> io::Result<()> {
    let p = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    set_option(fd, level, name, &p)
}
