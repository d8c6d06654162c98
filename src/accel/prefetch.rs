//! Fetching what will be needed soon.
//!
//! A batch knows its flows before it touches them, and a flow not met for a while is not in the cache: asked for ahead,
//! the waiting of many overlaps. `unsafe` since the processor's instruction takes an address and nothing else does it.

const LINE: usize = 64;

/// Asks for every cache line of `value`. Changes nothing that a program can see.
#[inline]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let at = std::ptr::from_ref(value).cast::<i8>();
        for offset in (0..size_of::<T>()).step_by(LINE) {
            // SAFETY: every x86-64 processor has the instruction; it writes nothing and faults on no address, and these
            // lie within `value`.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, LINE);
}

#[cfg(test)]
mod tests {
    #[test]
    fn any_value_stays_as_it_is() {
        let block = [7u8; 1000];
        super::prefetch(&block);
        super::prefetch(&());
        assert_eq!(block, [7; 1000]);
    }
}
