//! Memory that is there before it is needed.
//!
//! A page that is touched for the first time is found and cleared by the kernel meanwhile, which takes milliseconds for a
//! huge one on a virtual machine, and packets would wait.

use super::pages::Pages;
use std::ffi::c_void;
use std::io;
use std::mem::ManuallyDrop;

/// What the allocator takes at a time, and how it wants it aligned.
const SEGMENT: usize = 32 << 20;

/// Environment of a process that gives it memory: else it first uses what it has reserved by itself, which is not touched.
pub const NOTHING_AHEAD: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "0");

/// Touched memory that nobody uses yet. Never unmapped.
pub struct Reserve {
    start: usize,
    bytes: usize,
}

impl Reserve {
    /// So many bytes, rounded down to whole segments of 32 MiB, in huge pages where the kernel has them. Takes the time to
    /// clear them.
    pub fn new(bytes: usize) -> io::Result<Reserve> {
        let bytes = bytes / SEGMENT * SEGMENT;
        if bytes == 0 {
            return Ok(Reserve { start: 0, bytes });
        }
        let pages = ManuallyDrop::new(Pages::untouched(bytes.saturating_add(SEGMENT))?);
        let start = (pages.at().as_ptr() as usize).next_multiple_of(SEGMENT);
        for advice in [libc::MADV_HUGEPAGE, libc::MADV_POPULATE_WRITE] {
            // SAFETY: within the mapping; what the kernel does not know of it refuses, and pages are then found later.
            unsafe { libc::madvise(start as *mut c_void, bytes, advice) };
        }
        Ok(Reserve { start, bytes })
    }

    /// The allocator uses it before it asks the kernel for more, and does not give it back.
    pub fn give(self) -> io::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        let (committed, pinned, zero, node, alone) = (true, true, true, -1, false);
        // SAFETY: aligned, mapped for good, of zeros, and from here on nobody's but the allocator's.
        let taken = unsafe {
            let (start, none) = (self.start as *const c_void, std::ptr::null_mut());
            libmimalloc_sys::mi_manage_os_memory_ex(start, self.bytes, committed, pinned, zero, node, alone, none)
        };
        if taken { Ok(()) } else { Err(io::Error::other("the allocator does not take memory that it is given")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_segments_are_given_and_less_than_one_is_nothing() {
        assert_eq!(Reserve::new(SEGMENT - 1).unwrap().bytes, 0);
        let r = Reserve::new(2 * SEGMENT + 5).unwrap();
        assert_eq!((r.bytes, r.start % SEGMENT), (2 * SEGMENT, 0));
        r.give().unwrap();
    }
}
