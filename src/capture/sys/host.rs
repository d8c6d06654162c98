//! Small requests to the kernel that have no room of their own.

use super::pages::{set_option, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A nice value that leaves a tenth of a contended core.
const LOW: libc::c_int = 10;

/// This thread gives way to others. Not to all of them for ever: what it holds of the kernel's (the lock of the process's
/// memory above all) its neighbours wait for, packets with them, and a thread of the idle class holds it for seconds on
/// a machine whose cores are all taken.
pub fn low_priority() {
    // SAFETY: a plain call on this thread; a refusal leaves it as it was.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, LOW);
    }
}

/// The processor that this thread is on.
pub fn processor() -> usize {
    // SAFETY: a plain call.
    usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or_default()
}

/// This thread, and those it starts, keep off these processors, where it may be on others.
pub fn keep_off(processors: &[usize]) {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the set is bits, for which zero is a value; the kernel fills and reads as much as it is told there is, and
    // only bits that are in it are cleared.
    unsafe {
        let mut set = std::mem::zeroed::<libc::cpu_set_t>();
        if libc::sched_getaffinity(0, size, &raw mut set) != 0 {
            return;
        }
        processors.iter().filter(|p| **p < 8 * size).for_each(|p| libc::CPU_CLR(*p, &mut set));
        if libc::CPU_COUNT(&set) > 0 {
            libc::sched_setaffinity(0, size, &raw const set);
        }
    }
}

/// Sends IP packets whose headers are ready.
pub struct RawIp {
    v4: OwnedFd,
    v6: OwnedFd,
}

impl RawIp {
    pub fn open() -> io::Result<RawIp> {
        let v4 = socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
        let v6 = socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
        set_option(v6.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_HDRINCL, &1i32)?;
        Ok(RawIp { v4, v6 })
    }

    /// By the route to its destination.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let short = || io::Error::from(io::ErrorKind::InvalidInput);
        if packet.first().is_some_and(|b| b >> 4 == 6) {
            // SAFETY: a structure of plain bytes, for which zero is a value.
            let mut to: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            to.sin6_family = libc::AF_INET6 as u16;
            to.sin6_addr.s6_addr.copy_from_slice(packet.get(24..40).ok_or_else(short)?);
            send_to(&self.v6, packet, &to)
        } else {
            // SAFETY: as above.
            let mut to: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            to.sin_family = libc::AF_INET as u16;
            let addr: [u8; 4] = packet.get(16..20).and_then(|a| a.try_into().ok()).ok_or_else(short)?;
            to.sin_addr.s_addr = u32::from_ne_bytes(addr);
            send_to(&self.v4, packet, &to)
        }
    }
}

/// `T` is an address of the socket's family.
fn send_to<T>(fd: &OwnedFd, packet: &[u8], to: &T) -> io::Result<()> {
    let (at, len, flags) = (packet.as_ptr().cast(), packet.len(), libc::MSG_DONTWAIT);
    // SAFETY: packet and address are ours and their lengths are passed.
    let sent = unsafe { libc::sendto(fd.as_raw_fd(), at, len, flags, (&raw const *to).cast(), size_of::<T>() as u32) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn off_a_processor_a_thread_is_on_others_if_there_are_any() {
        let allowed = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:").map(|l| l.trim().to_owned())).unwrap()
        };
        std::thread::spawn(move || {
            let before = allowed();
            super::keep_off(&(0..1024).collect::<Vec<_>>());
            assert_eq!(allowed(), before, "there is no other");
            let here = super::processor();
            super::keep_off(&[here, 100_000]);
            let alone = std::thread::available_parallelism().unwrap().get() == 1 && allowed() == before;
            assert!(alone || super::processor() != here && allowed() != before, "{before}, {}", allowed());
        })
        .join()
        .unwrap();
    }

    /// Policy 0 is the ordinary one: what a thread of the idle class holds, the others wait for (proc(5), fields 19 and 41).
    #[test]
    fn low_is_not_idle() {
        let told = std::thread::spawn(|| {
            super::low_priority();
            std::fs::read_to_string("/proc/thread-self/stat").unwrap()
        });
        let stat = told.join().unwrap();
        // The name, field 2, is in brackets and may hold anything.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        assert_eq!((fields[19 - 3], fields[41 - 3]), ("10", "0"), "{stat}");
    }
}
