//! A wheel of one-second slots: which flows may have timed out.
//!
//! Owns one intrusive list per second and nothing else; the links lie in an array beside the slab, indexed by slot
//! number. A flow is placed at the earliest second it could time out and looked at again when that second has passed,
//! so a packet moves nothing. Deadlines beyond the wheel's span wait in its last slot and are placed anew from there.
//! Invariant: every placed index is in exactly one list, and `prev`/`next` agree.

const SLOTS: u64 = 4096;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
    /// Second under which the entry is placed; `u64::MAX` when it is not.
    second: u64,
}

const UNPLACED: Link = Link { prev: NONE, next: NONE, second: u64::MAX };

#[derive(Debug)]
pub(super) struct Wheel {
    heads: Vec<u32>,
    links: Vec<Link>,
    /// Every second before this one has been swept.
    cursor: u64,
    begun: bool,
}

impl Wheel {
    pub fn new() -> Self {
        Wheel { heads: vec![NONE; SLOTS as usize], links: Vec::new(), cursor: 0, begun: false }
    }

    /// Seconds before this one hold nothing.
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Room for so many entries.
    pub fn reserve(&mut self, entries: usize) {
        self.links.reserve(entries.saturating_sub(self.links.len()));
    }

    /// Places `index` under `second`, moving it there when it is placed elsewhere.
    pub fn place(&mut self, index: u32, second: u64, now: u64) {
        if !self.begun {
            self.begun = true;
            self.cursor = now;
        }
        let second = second.clamp(self.cursor, self.cursor.saturating_add(SLOTS - 1));
        self.remove(index);
        if self.links.len() <= index as usize {
            self.links.resize(index as usize + 1, UNPLACED);
        }
        let head = self.head(second);
        if let Some(l) = self.links.get_mut(index as usize) {
            *l = Link { prev: NONE, next: head, second };
        }
        if let Some(l) = self.links.get_mut(head as usize) {
            l.prev = index;
        }
        self.set_head(second, index);
    }

    /// The second `index` is placed under.
    pub fn placed(&self, index: u32) -> Option<u64> {
        self.links.get(index as usize).map(|l| l.second).filter(|s| *s != u64::MAX)
    }

    pub fn remove(&mut self, index: u32) {
        let Some(slot) = self.links.get_mut(index as usize) else { return };
        let link = std::mem::replace(slot, UNPLACED);
        if link.second == u64::MAX {
            return;
        }
        match self.links.get_mut(link.prev as usize) {
            Some(p) => p.next = link.next,
            None => self.set_head(link.second, link.next),
        }
        if let Some(n) = self.links.get_mut(link.next as usize) {
            n.prev = link.prev;
        }
    }

    /// Takes one entry whose second is not after `now`, stepping over empty slots; each step costs one of `budget`.
    /// `None` when the wheel stands at `now` with nothing left there, or the budget is spent. The second of `now` itself
    /// is looked at since entries of the past are placed under it, whose clock went back.
    pub fn pop_due(&mut self, now: u64, budget: &mut usize) -> Option<u32> {
        if self.begun && now.saturating_sub(self.cursor) > 2 * SLOTS {
            // The clock jumped: one whole turn looks at everything.
            self.jump(now - SLOTS);
        }
        while self.begun && self.cursor <= now && *budget > 0 {
            *budget -= 1;
            let head = self.head(self.cursor);
            if head != NONE {
                self.remove(head);
                return Some(head);
            }
            if self.cursor == now {
                break;
            }
            self.cursor += 1;
        }
        None
    }

    /// Moves the cursor to `to`; entries keep their lists, which the next turn reaches.
    fn jump(&mut self, to: u64) {
        self.cursor = to;
        for l in &mut self.links {
            if l.second != u64::MAX {
                // Same list, a second of the coming turn.
                let ahead = (l.second % SLOTS + SLOTS - to % SLOTS) % SLOTS;
                l.second = to + ahead;
            }
        }
    }

    fn head(&self, second: u64) -> u32 {
        self.heads.get((second % SLOTS) as usize).copied().unwrap_or(NONE)
    }

    fn set_head(&mut self, second: u64, index: u32) {
        if let Some(h) = self.heads.get_mut((second % SLOTS) as usize) {
            *h = index;
        }
    }

    /// Every list is well linked; returns how many entries are placed.
    #[cfg(any(test, debug_assertions))]
    pub fn check(&self) -> usize {
        let mut seen = 0;
        for (slot, &head) in self.heads.iter().enumerate() {
            let (mut prev, mut at) = (NONE, head);
            while let Some(l) = self.links.get(at as usize) {
                debug_assert!(l.prev == prev && l.second % SLOTS == slot as u64);
                debug_assert!(l.second >= self.cursor && l.second < self.cursor + SLOTS);
                seen += 1;
                (prev, at) = (at, l.next);
            }
            debug_assert!(at == NONE);
        }
        seen
    }
}
