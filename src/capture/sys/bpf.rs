//! XDP programs on interfaces, and the pages of maps.
//!
//! Programs are attached by rtnetlink, not by a link held in a file descriptor or pinned on a bpffs: such an attachment
//! is the interface's own and needs no process, mount or mount namespace to live on.

use super::netlink::Socket;
use super::pages::Pages;
use crate::netlink;
use crate::xdp::layout::{FlowEntry, FlowKey, Settings, WorkerRow};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};

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
    pages: Pages,
    rows: usize,
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
        let bytes = (rows * size_of::<T>()).next_multiple_of(4096);
        Ok(Mapped { pages: Pages::shared(map, 0, bytes, 0)?, rows, row: PhantomData })
    }

    pub fn rows(&self) -> &[T] {
        // SAFETY: the mapping holds `rows` of T and lives as long as self; T is made of atomics, valid for any bytes.
        unsafe { std::slice::from_raw_parts(self.pages.at().as_ptr().cast::<T>(), self.rows) }
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

const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_PROG_ID: u16 = 4;

/// Puts `program` on the interface in place of what is there, or takes what is there away.
pub fn attach(ifindex: u32, program: Option<BorrowedFd<'_>>, mode: XdpMode) -> io::Result<()> {
    let flags: u32 = match mode {
        XdpMode::Native => 1 << 2,
        XdpMode::Generic => 1 << 1,
    };
    let fd = program.map_or(-1, |p| p.as_raw_fd());
    let mut inner = Vec::new();
    netlink::attribute(&mut inner, IFLA_XDP_FD, &fd.to_ne_bytes());
    netlink::attribute(&mut inner, IFLA_XDP_FLAGS, &flags.to_ne_bytes());
    let mut body = netlink::about_link(ifindex, 0, 0);
    netlink::nested(&mut body, IFLA_XDP, &inner);
    Socket::open(0)?.ask(libc::RTM_SETLINK, 0, &body, |_, _| {})
}

/// What is on the interface: its mode, and the program's id.
pub fn attached(ifindex: u32) -> io::Result<Option<(XdpMode, u32)>> {
    let mut there = None;
    Socket::open(0)?.ask(libc::RTM_GETLINK, 0, &netlink::about_link(ifindex, 0, 0), |_, body| {
        let Some(xdp) = netlink::find(netlink::link_attributes(body), IFLA_XDP) else { return };
        let mode = match netlink::find(xdp, IFLA_XDP_ATTACHED).and_then(|v| v.first()) {
            Some(1) => XdpMode::Native,
            Some(2) => XdpMode::Generic,
            _ => return,
        };
        let id = netlink::find(xdp, IFLA_XDP_PROG_ID).and_then(|v| v.first_chunk()).map(|b| u32::from_ne_bytes(*b));
        there = id.map(|id| (mode, id));
    })?;
    Ok(there)
}

/// Nanoseconds of CLOCK_MONOTONIC, as the program's clock counts them.
pub fn monotonic_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
