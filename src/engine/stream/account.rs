//! How many bytes all streams of one worker hold, against one bound; and the buffers that ended streams left for the
//! next, so that a short connection costs the allocator nothing.

/// Capacity of the smallest buffer kept; each class is twice the one before.
pub(super) const SPARE_MIN: usize = 512;
const CLASSES: usize = 5;
/// Buffers kept of each class: 3.9 MiB over all, which no stream is billed for.
const SPARE_MAX: usize = 256;

/// Bytes held and their bound. Holders reserve before they grow and release when they let go.
#[derive(Clone, Debug)]
pub struct Account {
    used: usize,
    max: usize,
    spare: [Vec<Vec<u8>>; CLASSES],
}

impl Account {
    /// `max` in bytes; 0 allows nothing.
    pub const fn new(max: usize) -> Self {
        Account { used: 0, max, spare: [const { Vec::new() }; CLASSES] }
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

    /// An empty buffer of this capacity at least.
    pub(super) fn buffer(&mut self, capacity: usize) -> Vec<u8> {
        let spare = class(capacity).and_then(|c| self.spare.get_mut(c)?.pop());
        spare.unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// Keeps a buffer that is done with, where it is of a size that others ask for.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        let list = class(buffer.capacity()).and_then(|c| self.spare.get_mut(c));
        if let Some(list) = list.filter(|l| l.len() < SPARE_MAX) {
            buffer.clear();
            list.push(buffer);
        }
    }
}

/// The class of buffers of exactly this capacity.
fn class(capacity: usize) -> Option<usize> {
    (0..CLASSES).find(|c| SPARE_MIN << c == capacity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_only_so_many_are_kept() {
        let mut a = Account::new(0);
        let mut b = a.buffer(SPARE_MIN);
        b.extend_from_slice(b"left over");
        let at = b.as_ptr();
        a.give_back(b);
        let again = a.buffer(SPARE_MIN);
        assert!(again.is_empty() && again.as_ptr() == at);
        a.give_back(Vec::with_capacity(SPARE_MIN + 1));
        assert!(a.spare.iter().all(Vec::is_empty), "no other size is kept");
        (0..=SPARE_MAX).for_each(|_| a.give_back(Vec::with_capacity(SPARE_MIN * 2)));
        assert_eq!(a.spare[1].len(), SPARE_MAX);
    }
}
