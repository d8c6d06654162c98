//! XDP programs on interfaces, and the pages of maps.
//!
//! Programs are attached by rtnetlink, not by a link held in a file descriptor or pinned on a bpffs: such an attachment
//! is the interface's own and needs no process, mount or mount namespace to live on.

use crate::xdp::layout::{FlowEntry, FlowKey, Settings, WorkerRow};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

// SAFETY: plain bytes without padding or pointers (the test of layouts holds their sizes), copied to and from the kernel.
unsafe impl aya::Pod for FlowKey {}
// SAFETY: as above.
unsafe impl aya::Pod for FlowEntry {}

/// Values that may lie in memory that the kernel writes to: atomics and padding alone.
pub trait InMap {}
impl InMap for Settings {}
impl InMap for WorkerRow {}

/// The rows of a memory-mapped array map.
pub struct Mapped<T: InMap> {
    at: NonNull<u8>,
    rows: usize,
    bytes: usize,
    row: PhantomData<T>,
}

// SAFETY: the pages are shared with the kernel anyway; rows are reached through atomics alone.
unsafe impl<T: InMap> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: InMap> Sync for Mapped<T> {}

impl<T: InMap> Mapped<T> {
    /// `rows`: of the map, each of T's size rounded up to eight bytes.
    pub fn new(map: BorrowedFd<'_>, rows: usize) -> io::Result<Self> {
        assert!(size_of::<T>().is_multiple_of(8));
        let page = 4096;
        let bytes = (rows * size_of::<T>()).div_ceil(page) * page;
        // SAFETY: a fresh shared mapping of the map's pages; nothing else owns the address range.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(at.cast::<u8>()) {
            Some(at) if at.as_ptr().cast() != libc::MAP_FAILED => Ok(Mapped { at, rows, bytes, row: PhantomData }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub fn rows(&self) -> &[T] {
        // SAFETY: the mapping holds `rows` of T and lives as long as self; T is made of atomics, valid for any bytes.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr().cast::<T>(), self.rows) }
    }
}

impl<T: InMap> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.bytes) };
    }
}

/// How a program runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the kernel's generic path, on any driver.
    Generic,
}

const NLMSG: usize = 16;
const IFINFO: usize = 16;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_PROG_ID: u16 = 4;
const NESTED: u16 = 1 << 15;

/// Puts `program` on the interface in place of what is there, or takes what is there away.
pub fn attach(ifindex: u32, program: Option<BorrowedFd<'_>>, mode: XdpMode) -> io::Result<()> {
    let flags: u32 = match mode {
        XdpMode::Native => 1 << 2,
        XdpMode::Generic => 1 << 1,
    };
    let fd = program.map_or(-1, |p| p.as_raw_fd());
    let mut inner = Vec::new();
    attribute(&mut inner, IFLA_XDP_FD, &fd.to_ne_bytes());
    attribute(&mut inner, IFLA_XDP_FLAGS, &flags.to_ne_bytes());
    let mut attributes = Vec::new();
    attribute(&mut attributes, IFLA_XDP | NESTED, &inner);
    let reply = ask(libc::RTM_SETLINK, libc::NLM_F_ACK as u16, ifindex, &attributes)?;
    error_of(&reply)
}

/// What is on the interface: its mode, and the program's id.
pub fn attached(ifindex: u32) -> io::Result<Option<(XdpMode, u32)>> {
    let reply = ask(libc::RTM_GETLINK, 0, ifindex, &[])?;
    error_of(&reply)?;
    let Some(attributes) = reply.get(NLMSG + IFINFO..) else { return Ok(None) };
    let Some(xdp) = find(attributes, IFLA_XDP) else { return Ok(None) };
    let mode = match find(xdp, IFLA_XDP_ATTACHED).and_then(|v| v.first()) {
        Some(1) => XdpMode::Native,
        Some(2) => XdpMode::Generic,
        _ => return Ok(None),
    };
    let id = find(xdp, IFLA_XDP_PROG_ID).and_then(|v| v.first_chunk()).map(|b| u32::from_ne_bytes(*b));
    Ok(id.map(|id| (mode, id)))
}

fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    to.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
    to.extend_from_slice(&kind.to_ne_bytes());
    to.extend_from_slice(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// The value of the first attribute of this kind.
fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    while let Some(([a, b, c, d], _)) = attributes.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*a, *b]));
        let value = attributes.get(4..len)?;
        if u16::from_ne_bytes([*c, *d]) & !NESTED == kind {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// One request of rtnetlink about an interface, and its first answer.
fn ask(kind: u16, flags: u16, ifindex: u32, attributes: &[u8]) -> io::Result<Vec<u8>> {
    // SAFETY: plain call; the result is checked.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut message = Vec::with_capacity(NLMSG + IFINFO + attributes.len());
    message.extend_from_slice(&((NLMSG + IFINFO + attributes.len()) as u32).to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&ifindex.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(attributes);
    // SAFETY: the buffer is ours and its length is passed.
    let sent = unsafe { libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut reply = vec![0u8; 32 << 10];
    // SAFETY: as above.
    let got = unsafe { libc::recv(socket.as_raw_fd(), reply.as_mut_ptr().cast(), reply.len(), 0) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    reply.truncate(got as usize);
    Ok(reply)
}

/// The error that a reply tells of.
fn error_of(reply: &[u8]) -> io::Result<()> {
    let kind = reply.get(4..6).map(|b| u16::from_ne_bytes([b[0], b[1]]));
    if kind != Some(libc::NLMSG_ERROR as u16) {
        return Ok(());
    }
    match reply.get(NLMSG..).and_then(|b| b.first_chunk()).map(|b| i32::from_ne_bytes(*b)) {
        Some(0) => Ok(()),
        Some(e) => Err(io::Error::from_raw_os_error(-e)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Nanoseconds of CLOCK_MONOTONIC, as the program's clock counts them.
pub fn monotonic_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is ours and outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
