//! A thread's working memory: one type for all engines, so that any set or regex of any factory can use any scratch.
//!
//! Invariant: a scratch never holds results, only memory, so replacing or clearing it changes no answer.

use crate::regex::Caches;
use crate::sys;
use engine::detect::matching::Scratch;

/// Folded copies above this many bytes are not kept for the next scan.
const FOLDED_KEPT_MAX: usize = 256 << 10;

#[derive(Default)]
pub(crate) struct Working {
    #[cfg(hyperscan_lib)]
    pub hyperscan: Option<sys::hyperscan::Scratch>,
    pub pcre2: Option<sys::pcre2::Working>,
    pub regex: Caches,
    folded: Vec<u8>,
}

impl Working {
    #[cfg(hyperscan_lib)]
    pub(crate) fn with_hyperscan(hyperscan: Option<sys::hyperscan::Scratch>) -> Working {
        Working { hyperscan, ..Working::default() }
    }

    /// The haystack in lower case, in memory of this scratch. Give it back by [`Working::keep`].
    pub(crate) fn folded(&mut self, haystack: &[u8]) -> Vec<u8> {
        let mut copy = std::mem::take(&mut self.folded);
        copy.clear();
        copy.extend(haystack.iter().map(u8::to_ascii_lowercase));
        copy
    }

    pub(crate) fn keep(&mut self, copy: Vec<u8>) {
        if copy.capacity() <= FOLDED_KEPT_MAX {
            self.folded = copy;
        }
    }
}

/// The scratch as ours; a foreign one is replaced by a fresh one.
pub(crate) fn working(scratch: &mut Scratch) -> &mut Working {
    if !scratch.is::<Working>() {
        *scratch = Box::new(Working::default());
    }
    match scratch.downcast_mut::<Working>() {
        Some(w) => w,
        None => unreachable!("just made"),
    }
}
