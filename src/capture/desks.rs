//! Rings between the workers of a lane, for what one of them takes in and another is to have.

use crate::sys::xsk::Bell;
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// One worker's ends of the rings.
pub struct Desks<T> {
    /// To other workers, by their number; none to ourselves.
    to: Vec<Option<Desk<T>>>,
    from: Vec<Consumer<T>>,
    /// Whose is looked at first.
    turn: usize,
    bell: Arc<Bell>,
    asleep: Arc<AtomicBool>,
}

/// What is on its way to another worker, and how to wake that one.
struct Desk<T> {
    things: Producer<T>,
    bell: Arc<Bell>,
    asleep: Arc<AtomicBool>,
    /// Something was put there since it was last rung.
    rung: bool,
}

impl<T> Desks<T> {
    /// Of one of so many workers, with no way to the others yet.
    pub fn new(workers: usize) -> io::Result<Desks<T>> {
        Ok(Desks {
            to: (0..workers).map(|_| None).collect(),
            from: Vec::new(),
            turn: 0,
            bell: Arc::new(Bell::new()?),
            asleep: Arc::new(AtomicBool::new(false)),
        })
    }

    /// Lays rings of this room from each worker to each other.
    pub fn join(mut all: Vec<&mut Desks<T>>, room: usize) {
        each_to_each(all.len(), room, |from, to, things, out| {
            let (bell, asleep) = (all[to].bell.clone(), all[to].asleep.clone());
            all[to].from.push(out);
            all[from].to[to] = Some(Desk { things, bell, asleep, rung: false });
        });
    }

    /// All of the lane.
    pub fn workers(&self) -> usize {
        self.to.len()
    }

    /// How much more the worker can be given. `None` of ourselves and of one that is not there.
    pub fn room(&self, worker: usize) -> Option<usize> {
        Some(self.to.get(worker)?.as_ref()?.things.slots())
    }

    /// Given back where there is no room.
    pub fn give(&mut self, worker: usize, thing: T) -> Result<(), T> {
        let Some(Some(desk)) = self.to.get_mut(worker) else { return Err(thing) };
        desk.things.push(thing).map_err(|PushError::Full(thing)| thing)?;
        desk.rung = true;
        Ok(())
    }

    /// How much waits to be taken.
    pub fn waiting(&self) -> usize {
        self.from.iter().map(Consumer::slots).sum()
    }

    /// Takes at most so many, of each in turn first. How many there were.
    pub fn take(&mut self, max: usize, mut each: impl FnMut(T)) -> usize {
        self.turn = (self.turn + 1) % self.from.len().max(1);
        let (later, first) = self.from.split_at_mut(self.turn);
        let mut n = 0;
        for inbox in first.iter_mut().chain(later) {
            while n < max
                && let Ok(thing) = inbox.pop()
            {
                n += 1;
                each(thing);
            }
        }
        n
    }

    /// Wakes those who were given something and sleep.
    pub fn ring(&mut self) {
        for desk in self.to.iter_mut().flatten() {
            if std::mem::take(&mut desk.rung) {
                // Either it sees what was put there before it sleeps, or we see that it sleeps.
                fence(Ordering::SeqCst);
                if desk.asleep.load(Ordering::Relaxed) {
                    desk.bell.ring();
                }
            }
        }
    }

    /// Waits, if nothing is there, and can be woken meanwhile: `wait` is given what others ring, and says whether it rang.
    pub fn sleep<E>(&self, wait: impl FnOnce(BorrowedFd<'_>) -> Result<bool, E>) -> Result<(), E> {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let done = if self.from.iter().all(Consumer::is_empty) { wait(self.bell.as_fd()) } else { Ok(false) };
        if let Ok(true) = done {
            self.bell.still();
        }
        self.asleep.store(false, Ordering::Relaxed);
        done.map(|_| ())
    }
}

/// Makes a ring from each of `n` to each other.
pub fn each_to_each<T>(n: usize, room: usize, mut lay: impl FnMut(usize, usize, Producer<T>, Consumer<T>)) {
    for from in 0..n {
        for to in (0..n).filter(|to| *to != from) {
            let (things, out) = RingBuffer::new(room);
            lay(from, to, things, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_s_things_wait_for_ever_behind_another_s() {
        let mut all: Vec<Desks<usize>> = (0..3).map(|_| Desks::new(3).unwrap()).collect();
        Desks::join(all.iter_mut().collect(), 8);
        for (from, desks) in all.iter_mut().enumerate().take(2) {
            (0..8).for_each(|_| desks.give(2, from).unwrap());
        }
        assert_eq!((all[2].waiting(), all[0].room(2), all[0].give(2, 0)), (16, Some(0), Err(0)));
        let mut came = [0; 2];
        (0..4).for_each(|_| assert_eq!(all[2].take(2, |from| came[from] += 1), 2));
        assert_eq!((came, all[2].waiting()), ([4, 4], 8));
    }
}
