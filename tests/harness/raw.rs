//! A test's own end of a wire: whole frames out of an interface of a bed and in from it, whatever is in them.

use crate::netns::{At, Bed, ENDS};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// The longest frame that is received whole.
const FRAME: usize = 1 << 16;
/// Bytes of frames that may wait to be received.
const WAITING: libc::c_int = 16 << 20;
const ADDRESSES: usize = 12;

pub struct Raw {
    fd: OwnedFd,
}

impl Raw {
    /// On the end of the wire at the client or the server.
    pub fn open(bed: &Bed, at: At) -> Raw {
        let end = ENDS[usize::from(at == At::Server)];
        bed.inside(at, || Raw::on(end)).unwrap_or_else(|e| panic!("{end}: {e}"))
    }

    fn on(interface: &str) -> io::Result<Raw> {
        let name = CString::new(interface).expect("names hold no zeros");
        let every = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: plain calls; the descriptor is ours alone.
        let (fd, index) = unsafe {
            let fd = checked(libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, every.into()))?;
            (OwnedFd::from_raw_fd(fd), libc::if_nametoindex(name.as_ptr()))
        };
        let raw = Raw { fd };
        raw.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
        raw.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        raw.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, WAITING)?;
        // SAFETY: all zeros is an address; its size is told.
        unsafe {
            let mut at: libc::sockaddr_ll = std::mem::zeroed();
            at.sll_family = libc::AF_PACKET as u16;
            at.sll_protocol = every;
            at.sll_ifindex = index as i32;
            let len = size_of::<libc::sockaddr_ll>() as u32;
            checked(libc::bind(raw.fd.as_raw_fd(), (&raw const at).cast(), len))?;
        }
        Ok(raw)
    }

    fn set(&self, level: i32, option: i32, value: libc::c_int) -> io::Result<()> {
        let len = size_of::<libc::c_int>() as u32;
        // SAFETY: the option reads an integer of this size.
        unsafe { checked(libc::setsockopt(self.fd.as_raw_fd(), level, option, (&raw const value).cast(), len)) }?;
        Ok(())
    }

    /// Sends a frame from its Ethernet header on. Whether the interface took it.
    pub fn send(&self, frame: &[u8]) -> bool {
        // SAFETY: the bytes are read for this length.
        unsafe { libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) >= 0 }
    }

    /// The next frame, with the tag in it that the kernel takes out; `None` when none comes in time.
    pub fn receive(&self, wait: Duration) -> Option<Vec<u8>> {
        let mut ready = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, and one is told.
        let n = unsafe { libc::poll(&raw mut ready, 1, wait.as_millis() as i32) };
        if n == 1 { self.take().ok() } else { None }
    }

    /// The next frame that fulfils this, out of what comes in time.
    pub fn find(&self, wait: Duration, mut wanted: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
        let end = Instant::now() + wait;
        loop {
            let frame = self.receive(end.saturating_duration_since(Instant::now()))?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    fn take(&self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; FRAME];
        // Room for one message, aligned.
        let mut beside = [0u64; 16];
        let mut part = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        // SAFETY: all zeros is a header; buffers live through the call and their lengths are told. What the kernel wrote
        // beside is walked by its own macros, and is of the type that its kind says.
        let tag = unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = beside.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&beside);
            let n = libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT);
            if n < 0 {
                return Err(io::Error::last_os_error());
            }
            frame.truncate(n as usize);
            let head = libc::CMSG_FIRSTHDR(&raw const message);
            let told =
                !head.is_null() && ((*head).cmsg_level, (*head).cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA);
            told.then(|| libc::CMSG_DATA(head).cast::<libc::tpacket_auxdata>().read_unaligned())
        };
        if let Some(aux) = tag.filter(|a| a.tp_status & libc::TP_STATUS_VLAN_VALID != 0) {
            let kind = if aux.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0 { aux.tp_vlan_tpid } else { 0x8100 };
            let tag = [kind.to_be_bytes(), aux.tp_vlan_tci.to_be_bytes()].concat();
            frame.splice(ADDRESSES..ADDRESSES, tag);
        }
        Ok(frame)
    }
}

fn checked(n: libc::c_int) -> io::Result<libc::c_int> {
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n) }
}
