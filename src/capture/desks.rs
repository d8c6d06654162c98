//! Rings between the workers of a lane, for what one of them takes in and another is to have.

use crate::sys::xsk::Bell;
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One worker's ends of the rings.
pub struct Desks<T> {
    /// To other workers, by their number; none to ourselves.
    to: Vec<Option<Desk<T>>>,
    from: Vec<Consumer<T>>,
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

    /// Takes at most so many. How many there were.
    pub fn take(&mut self, max: usize, mut each: impl FnMut(T)) -> usize {
        let mut n = 0;
        for inbox in &mut self.from {
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
            if std::mem::take(&mut desk.rung) && desk.asleep.load(Ordering::SeqCst) {
                desk.bell.ring();
            }
        }
    }

    /// Waits, if nothing is there, and can be woken meanwhile: `wait` is given what others ring, and says whether it rang.
    pub fn sleep<E>(&self, wait: impl FnOnce(BorrowedFd<'_>) -> Result<bool, E>) -> Result<(), E> {
        self.asleep.store(true, Ordering::SeqCst);
        let done = if self.from.iter().all(Consumer::is_empty) { wait(self.bell.as_fd()) } else { Ok(false) };
        if let Ok(true) = done {
            self.bell.still();
        }
        self.asleep.store(false, Ordering::SeqCst);
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
