//! Memory that the kernel maps for us, and descriptors that it opens for us: each owned, and given back once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

/// A mapping of our own; unmapped when dropped.
pub struct Pages {
    at: NonNull<u8>,
    bytes: usize,
}

impl Pages {
    /// Fresh memory, shared with nobody as yet.
    pub fn anonymous(bytes: usize) -> io::Result<Pages> {
        Self::map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE, -1, 0)
    }

    /// The same, of which nothing is there before it is touched.
    pub fn untouched(bytes: usize) -> io::Result<Pages> {
        Self::map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    /// What a descriptor stands for, from `offset` on. `flags`: beside MAP_SHARED.
    pub fn shared(of: BorrowedFd<'_>, offset: i64, bytes: usize, flags: i32) -> io::Result<Pages> {
        Self::map(bytes, libc::MAP_SHARED | flags, of.as_raw_fd(), offset)
    }

    fn map(bytes: usize, flags: i32, fd: i32, offset: i64) -> io::Result<Pages> {
        // SAFETY: a fresh mapping where the kernel likes; nothing else owns the range.
        let at =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, fd, offset) };
        match NonNull::new(at.cast::<u8>()) {
            Some(at) if at.as_ptr().cast() != libc::MAP_FAILED => Ok(Pages { at, bytes }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub fn at(&self) -> NonNull<u8> {
        self.at
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.bytes) };
    }
}

/// A socket, closed on exec.
pub fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain call, which opens what it returns.
    unsafe { owned(libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol)) }
}

/// Sets an option of a socket.
pub fn set_option<T>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as u32;
    // SAFETY: the value is whole and its length is passed.
    match unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const *value).cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What a call that opens a descriptor came to.
///
/// # Safety
/// `fd` is negative, or has just been opened and is nobody's.
pub(super) unsafe fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: nobody else owns it, as the caller says.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
