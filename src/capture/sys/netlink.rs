//! Sockets of rtnetlink.

use super::pages::{set_option, socket};
use crate::netlink::{Messages, error_number, request};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Room for what one read gives: the kernel's messages about a link are a few KiB.
pub const READ_BYTES: usize = 64 << 10;
/// Reads of one answer.
const READS: usize = 4096;

pub struct Socket(OwnedFd);

impl Socket {
    /// One that asks; with groups (`RTMGRP_…`), one that is told as well.
    pub fn open(groups: u32) -> io::Result<Socket> {
        let socket = Socket(socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?);
        let fd = socket.0.as_raw_fd();
        let patience = libc::timeval { tv_sec: 5, tv_usec: 0 };
        set_option(socket.0.as_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, &patience)?;
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

    /// Asks, and hands each message of the answer to `each`: its kind and body.
    pub fn ask(&self, kind: u16, flags: u16, body: &[u8], mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let flags = flags | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let message = request(kind, flags, 1, body);
        // SAFETY: the buffer is ours and its length is passed.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
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
