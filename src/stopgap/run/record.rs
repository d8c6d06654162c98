//! `--record`: what a lane saw, in capture files that roll: each of a bounded size, the oldest deleted so that all of them
//! stay within theirs.
//!
//! Workers copy frames into buffers that a thread of its own writes. Neither waits for the other: what finds no room is
//! not recorded, and counted.

use super::plane::thread;
use crate::console::Failure;
use capture::{Outgoing, Transmit, Writer};
use engine::decode::{Frame, LinkType, PortId};
use engine::types::Timestamp;
use rtrb::{Consumer, Producer, RingBuffer};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A buffer is handed on when it holds so much, or is so old.
const BUFFER_BYTES: usize = 256 << 10;
const BUFFER_AGE: Duration = Duration::from_millis(100);
/// Buffers between a worker and the thread.
const BUFFERS: usize = 32;
/// The thread looks so often whether there is something, and tries again so long after it could not write.
const TURN: Duration = Duration::from_millis(20);
const AGAIN: Duration = Duration::from_secs(1);
/// In front of a frame in a buffer: time, wire length, captured length, link type, port.
const HEAD: usize = 8 + 4 + 4 + 4 + 2;
/// What a frame adds to a file beside its bytes, and what a file begins with, at most.
const BLOCK: u64 = 40;
const BEGINNING: u64 = 512;

/// Where, and how much.
#[derive(Clone, Debug)]
pub struct Rolling {
    pub dir: PathBuf,
    /// What files begin with.
    pub name: String,
    /// Bytes of a file, and of all of them.
    pub file: u64,
    pub total: u64,
}

/// The thread while it runs.
pub struct Recording {
    thread: JoinHandle<Result<(), Failure>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Why not everything is recorded, until somebody asks.
    why: Mutex<Option<String>>,
}

impl Recording {
    /// Why not everything is recorded, where that is news.
    pub fn news(&self) -> Option<String> {
        self.shared.why.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Writes what there is, and ends. Why the last of it could not be written.
    pub fn end(self) -> Result<(), Failure> {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.join().unwrap_or_else(|_| Err(Failure("the recorder failed".into())))
    }
}

/// A worker's end.
pub struct Tape {
    buffer: Vec<u8>,
    since: Instant,
    full: Producer<Vec<u8>>,
    spare: Consumer<Vec<u8>>,
    /// Frames that found no room.
    pub missed: u64,
}

impl Tape {
    /// Copies frames that came in.
    pub fn note(&mut self, frames: &[Frame<'_>]) {
        for f in frames {
            if self.buffer.len() + HEAD + f.data.len() > BUFFER_BYTES && !self.hand_on() {
                self.missed += 1;
                continue;
            }
            if self.buffer.is_empty() {
                self.since = Instant::now();
            }
            self.buffer.extend_from_slice(&f.ts.nanos().to_ne_bytes());
            self.buffer.extend_from_slice(&f.wire_len.to_ne_bytes());
            self.buffer.extend_from_slice(&(f.data.len() as u32).to_ne_bytes());
            self.buffer.extend_from_slice(&f.link.0.to_ne_bytes());
            self.buffer.extend_from_slice(&f.port.0.to_ne_bytes());
            self.buffer.extend_from_slice(f.data);
        }
    }

    /// Hands on what has waited for long.
    pub fn turn(&mut self) {
        if !self.buffer.is_empty() && self.since.elapsed() >= BUFFER_AGE {
            self.hand_on();
        }
    }

    /// Whether there was room.
    pub fn hand_on(&mut self) -> bool {
        if self.full.slots() == 0 {
            return false;
        }
        let spare = self.spare.pop().unwrap_or_else(|_| Vec::with_capacity(BUFFER_BYTES));
        self.full.push(std::mem::replace(&mut self.buffer, spare)).is_ok()
    }
}

/// Full buffers of a worker's, and the way back for emptied ones.
type Tapes = (Consumer<Vec<u8>>, Producer<Vec<u8>>);

/// The thread's end.
pub struct Recorder {
    rolling: Rolling,
    tapes: Vec<Tapes>,
    open: Option<(Writer, u64)>,
    number: u32,
    shared: Arc<Shared>,
}

impl Recorder {
    pub fn new(rolling: Rolling) -> Result<Recorder, Failure> {
        let dir = &rolling.dir;
        let failed = |e: std::io::Error| Failure(format!("{}: cannot make the directory: {e}", dir.display()));
        std::fs::create_dir_all(dir).map_err(failed)?;
        Ok(Recorder { rolling, tapes: Vec::new(), open: None, number: 0, shared: Arc::default() })
    }

    /// For a worker more.
    pub fn tape(&mut self) -> Tape {
        let (full, full_out) = RingBuffer::new(BUFFERS);
        let (spare_in, spare) = RingBuffer::new(BUFFERS);
        self.tapes.push((full_out, spare_in));
        Tape { buffer: Vec::with_capacity(BUFFER_BYTES), since: Instant::now(), full, spare, missed: 0 }
    }

    /// Writes until told to stop. What cannot be written is missing, and what comes later goes into a file of its own.
    pub fn spawn(mut self) -> std::io::Result<Recording> {
        let shared = self.shared.clone();
        let thread = thread("record", move || {
            let mut kept = true;
            loop {
                let stop = self.shared.stop.load(Ordering::Acquire);
                let done = self.turn().and_then(|any| if any { Ok(true) } else { self.flush().map(|()| false) });
                match done {
                    Ok(true) => kept = true,
                    Ok(false) if stop => return Ok(()),
                    Err(why) if stop => return Err(why),
                    Ok(false) => std::thread::sleep(TURN),
                    Err(Failure(why)) => {
                        self.open = None;
                        if std::mem::take(&mut kept) {
                            *self.shared.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                        }
                        std::thread::sleep(AGAIN);
                    }
                }
            }
        })?;
        Ok(Recording { thread, shared })
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.open.as_mut().map_or(Ok(()), |(writer, _)| Ok(writer.flush()?))
    }

    /// Writes what there is, by its time. Whether there was anything.
    fn turn(&mut self) -> Result<bool, Failure> {
        let mut buffers: Vec<(usize, Vec<u8>)> = Vec::new();
        for (i, (full, _)) in self.tapes.iter_mut().enumerate() {
            while let Ok(buffer) = full.pop() {
                buffers.push((i, buffer));
            }
        }
        let mut frames: Vec<Outgoing<'_>> = buffers.iter().flat_map(|(_, b)| Frames(b)).collect();
        frames.sort_by_key(|f| f.ts);
        frames.iter().try_for_each(|f| self.frame(f))?;
        let any = !buffers.is_empty();
        for (i, mut buffer) in buffers {
            buffer.clear();
            if let Some((_, spare)) = self.tapes.get_mut(i) {
                let _ = spare.push(buffer);
            }
        }
        Ok(any)
    }

    fn frame(&mut self, f: &Outgoing<'_>) -> Result<(), Failure> {
        let bytes = f.data.len() as u64 + BLOCK;
        let full = self.open.as_ref().is_none_or(|(_, held)| held + bytes > self.rolling.file);
        if full {
            if let Some((mut writer, _)) = self.open.take() {
                writer.flush()?;
            }
            self.make_room()?;
            let name = format!("{}.{:010}.{:06}.pcapng", self.rolling.name, f.ts.secs(), self.number);
            self.number += 1;
            self.open = Some((Writer::create(&self.rolling.dir.join(name))?, BEGINNING));
        }
        if let Some((writer, held)) = &mut self.open {
            writer.send(f)?;
            *held += bytes;
        }
        Ok(())
    }

    /// Deletes the oldest files until one more fits beside the others.
    fn make_room(&self) -> Result<(), Failure> {
        let mut files = self.files()?;
        let mut held: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        files.reverse();
        while held + self.rolling.file > self.rolling.total
            && let Some((path, bytes)) = files.pop()
        {
            match std::fs::remove_file(&path) {
                // Somebody else was first.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                done => done.map_err(|e| Failure(format!("{}: cannot be removed: {e}", path.display())))?,
            }
            held -= bytes;
        }
        Ok(())
    }

    /// Files of this lane, also of runs before, the oldest first, with their sizes.
    fn files(&self) -> Result<Vec<(PathBuf, u64)>, Failure> {
        let ours = |path: &Path| {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let rest = name.strip_prefix(&self.rolling.name).and_then(|r| r.strip_suffix(".pcapng"));
            // Nothing but a time and a number: `eth0.5` may be the name of another lane.
            let words: Vec<&str> = rest.unwrap_or_default().split('.').collect();
            let number = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_digit());
            matches!(words[..], ["", secs, n] if number(secs) && number(n))
        };
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.rolling.dir)?.flatten() {
            let path = entry.path();
            if ours(&path) {
                all.push((path, entry.metadata().map_or(0, |m| m.len())));
            }
        }
        all.sort();
        Ok(all)
    }
}

/// The frames of a buffer.
struct Frames<'a>(&'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = Outgoing<'a>;

    fn next(&mut self) -> Option<Outgoing<'a>> {
        let (head, rest) = self.0.split_first_chunk::<HEAD>()?;
        let word = |at: usize| head.get(at..at + 4).map_or(0, |w| u32::from_ne_bytes([w[0], w[1], w[2], w[3]]));
        let (data, rest) = rest.split_at_checked(word(12) as usize)?;
        self.0 = rest;
        let nanos = head.first_chunk::<8>().map_or(0, |n| u64::from_ne_bytes(*n));
        let port = PortId(u16::from_ne_bytes([head[20], head[21]]));
        let (ts, link) = (Timestamp::from_nanos(nanos), LinkType(word(16)));
        Some(Outgoing { ts, port, link, data, wire_len: word(8), comment: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_roll_and_the_oldest_go() {
        let dir = std::env::temp_dir().join(format!("stopgap-record-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let rolling = Rolling { dir: dir.clone(), name: "a-b".into(), file: 10_000, total: 30_000 };
        let mut r = Recorder::new(rolling).unwrap();
        let others = ["a-b.notes", "a-b.5.0000000001.000000.pcapng", "a-b.1.pcapng"].map(|n| dir.join(n));
        others.iter().for_each(|o| std::fs::write(o, "not ours").unwrap());
        let (mut early, mut late) = (r.tape(), r.tape());
        let data = [7; 960];
        let frame = |n: u64, port: u16| Frame {
            ts: Timestamp::from_nanos(1_000_000_000 * n),
            number: n,
            link: LinkType::ETHERNET,
            port: PortId(port),
            data: &data,
            wire_len: 2_000,
        };
        for n in 0..100 {
            late.note(&[frame(2 * n + 1, 1)]);
            early.note(&[frame(2 * n, 0)]);
        }
        assert!(late.hand_on() && early.hand_on() && r.turn().unwrap() && !r.turn().unwrap());
        r.open.take().unwrap().0.flush().unwrap();
        let files = r.files().unwrap();
        let held: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        assert!(files.len() == 3 && held <= 30_000, "{files:?}");
        let mut times = Vec::new();
        for (path, _) in &files {
            let mut reader = capture::open(path).unwrap();
            let mut frames = Vec::new();
            capture::Receive::recv(&mut reader, &mut frames, 1_000).unwrap();
            for f in frames {
                assert_eq!((f.data, f.wire_len, u64::from(f.port.0)), (&data[..], 2_000, f.ts.secs() % 2));
                times.push(f.ts.secs());
            }
        }
        assert!(times.is_sorted() && times.last() == Some(&199) && times.len() >= 20, "{times:?}");
        assert!(others.iter().all(|o| o.exists()));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn nobody_waits_for_a_slow_disk() {
        let dir = std::env::temp_dir().join(format!("stopgap-record-slow-{}", std::process::id()));
        let rolling = Rolling { dir: dir.clone(), name: "a".into(), file: 1 << 20, total: 1 << 24 };
        let mut tape = Recorder::new(rolling).unwrap().tape();
        let data = [0; 65_000];
        let (ts, link, port) = (Timestamp::ZERO, LinkType::ETHERNET, PortId(0));
        let frame = Frame { ts, number: 1, link, port, data: &data, wire_len: 65_000 };
        for _ in 0..1_000 {
            tape.note(&[frame]);
        }
        assert!(tape.missed > 0 && tape.buffer.len() <= BUFFER_BYTES);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
