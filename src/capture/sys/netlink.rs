//! Sockets of rtnetlink and of netfilter's queues.

use super::pages::{set_option, socket};
use crate::netlink::{Messages, error_number, request};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Room for what one read gives: the kernel's messages about a link are a few KiB.
pub const READ_BYTES: usize = 64 << 10;
/// Bytes of packets that may wait in a socket of netfilter's.
const PACKETS_BYTES: i32 = 16 << 20;
/// Messages taken at once, at most.
const MANY: usize = 64;
/// Reads of one answer.
const READS: usize = 4096;

pub struct Socket(OwnedFd);

impl Socket {
    /// One that asks; with groups (`RTMGRP_…`), one that is told as well.
    pub fn open(groups: u32) -> io::Result<Socket> {
        let socket = Socket::of(libc::NETLINK_ROUTE)?;
        let fd = socket.0.as_raw_fd();
        if groups != 0 {
            // SAFETY: a structure of plain bytes, for which zero is a value.
            let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
            address.nl_family = libc::AF_NETLINK as u16;
            address.nl_groups = groups;
            let len = size_of::<libc::sockaddr_nl>() as u32;
            // SAFETY: the address is ours and its length is passed.
            if unsafe { libc::bind(fd, (&raw const address).cast(), len) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(socket)
    }

    /// One for queues of packets.
    pub fn netfilter() -> io::Result<Socket> {
        let socket = Socket::of(libc::NETLINK_NETFILTER)?;
        set_option(socket.0.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &PACKETS_BYTES)?;
        Ok(socket)
    }

    fn of(protocol: i32) -> io::Result<Socket> {
        let socket = Socket(socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)?);
        let patience = libc::timeval { tv_sec: 5, tv_usec: 0 };
        set_option(socket.0.as_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, &patience)?;
        Ok(socket)
    }

    /// Sends one message or several.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        // SAFETY: the buffer is ours and its length is passed.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), messages.as_ptr().cast(), messages.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// What has come, a message in each of the rooms from the first on, without a wait. How many, and their lengths.
    pub fn receive_many(&self, rooms: &mut [Vec<u8>], lens: &mut [usize]) -> io::Result<usize> {
        // SAFETY: structures of plain words and pointers, for which zero is a value.
        let (mut parts, mut heads): ([libc::iovec; MANY], [libc::mmsghdr; MANY]) = unsafe { std::mem::zeroed() };
        let mut n = 0;
        for ((room, part), head) in rooms.iter_mut().zip(&mut parts).zip(&mut heads) {
            *part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            (head.msg_hdr.msg_iov, head.msg_hdr.msg_iovlen) = (part, 1);
            n += 1;
        }
        // SAFETY: `n` heads, each with a room of ours.
        let got = unsafe {
            libc::recvmmsg(self.0.as_raw_fd(), heads.as_mut_ptr(), n, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        heads.iter().take(got).zip(lens).for_each(|(h, len)| *len = h.msg_len as usize);
        Ok(got)
    }

    /// Asks, and hands each message of the answer to `each`: its kind and body.
    pub fn ask(&self, kind: u16, flags: u16, body: &[u8], mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let flags = flags | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        self.send(&request(kind, flags, 1, body))?;
        let mut room = vec![0u8; READ_BYTES];
        for _ in 0..READS {
            let got = self.read(&mut room, 0)?;
            for m in Messages(&room[..got]).filter(|m| m.seq == 1) {
                match i32::from(m.kind) {
                    libc::NLMSG_ERROR => {
                        return match error_number(m.body) {
                            Some(0) => Ok(()),
                            Some(e) => Err(io::Error::from_raw_os_error(e)),
                            None => Err(io::ErrorKind::InvalidData.into()),
                        };
                    }
                    libc::NLMSG_DONE => return Ok(()),
                    _ => each(m.kind, m.body),
                }
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    /// What has come unasked; `None` where nothing has. The error ENOBUFS says that some was lost.
    pub fn told(&self, room: &mut [u8]) -> io::Result<Option<usize>> {
        match self.read(room, libc::MSG_DONTWAIT) {
            Ok(n) => Ok(Some(n)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn read(&self, room: &mut [u8], flags: i32) -> io::Result<usize> {
        loop {
            // SAFETY: the buffer is ours and its length is passed.
            let got = unsafe {
                libc::recv(self.0.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), flags | libc::MSG_TRUNC)
            };
            if got >= 0 {
                // With MSG_TRUNC, the length that the message has, not the room it got.
                return Ok((got as usize).min(room.len()));
            }
            let e = io::Error::last_os_error();
            if e.kind() != io::ErrorKind::Interrupted {
                return Err(e);
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
