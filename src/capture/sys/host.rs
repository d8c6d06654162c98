//! Small questions to the kernel that have no room of their own.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The interface's index and MTU.
pub fn interface(name: &str) -> io::Result<(u32, usize)> {
    let c = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: a terminated string.
    let index = unsafe { libc::if_nametoindex(c.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: plain call; the result is checked.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: a structure of plain bytes, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c.as_bytes().iter().take(libc::IFNAMSIZ - 1)) {
        *to = *from as libc::c_char;
    }
    // SAFETY: the request is whole and outlives the call, which fills in the MTU.
    let mtu = unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_mtu
    };
    Ok((index, mtu.max(0) as usize))
}

/// This thread runs when nothing else wants to.
pub fn idle_priority() {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: plain calls on this thread; a refusal leaves it as it was.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameter);
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
    }
}
