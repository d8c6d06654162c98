//! How many bytes all streams of one worker hold, against one bound.

/// Bytes held and their bound. Holders reserve before they grow and release when they let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    used: usize,
    max: usize,
}

impl Account {
    /// `max` in bytes; 0 allows nothing.
    pub const fn new(max: usize) -> Self {
        Account { used: 0, max }
    }

    pub const fn used(&self) -> usize {
        self.used
    }

    pub const fn max(&self) -> usize {
        self.max
    }

    /// Takes `bytes` if they fit.
    pub const fn reserve(&mut self, bytes: usize) -> bool {
        match self.used.checked_add(bytes) {
            Some(sum) if sum <= self.max => {
                self.used = sum;
                true
            }
            _ => false,
        }
    }

    pub const fn release(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.used);
        self.used = self.used.saturating_sub(bytes);
    }

    /// Three quarters are taken: holders should keep only what they must.
    pub const fn is_tight(&self) -> bool {
        self.used > self.max / 4 * 3
    }
}
