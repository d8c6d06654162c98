//! A window over a stream of bytes: large reads, records lent in place, offsets kept.

use std::io::{self, Read};

/// The window begins small, since many captures are, and doubles with each read up to this.
const WINDOW_MAX: usize = 1 << 20;
const WINDOW_FIRST: usize = 1 << 15;

/// Bytes `buf[start..end]` are read and not consumed; `start` is at `offset` of the stream.
pub(crate) struct Window {
    src: Box<dyn Read + Send>,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    eof: bool,
    /// A read error, given once what was read before it has been consumed.
    error: Option<io::Error>,
}

impl Window {
    pub fn new(src: Box<dyn Read + Send>) -> Self {
        Window { src, buf: Vec::new(), start: 0, end: 0, offset: 0, eof: false, error: None }
    }

    /// Position in the stream of the first unconsumed byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn bytes(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or(&[])
    }

    /// All of the buffer: ranges from [`Window::take`] point into it until the next [`Window::fill`].
    pub fn storage(&self) -> &[u8] {
        &self.buf
    }

    /// Consumes `n` bytes (which are there) and says where they lie in the storage.
    pub fn take(&mut self, n: usize) -> std::ops::Range<usize> {
        let n = n.min(self.end - self.start);
        let range = self.start..self.start + n;
        self.start += n;
        self.offset += n as u64;
        range
    }

    /// Reads until at least `want` unconsumed bytes are there, moving them to the front of the storage. `false`: the
    /// stream ended or failed first.
    pub fn fill(&mut self, want: usize) -> bool {
        if self.end - self.start >= want {
            return true;
        }
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let size = (self.buf.len() * 2).clamp(WINDOW_FIRST, WINDOW_MAX).max(want);
        if self.buf.len() < size {
            self.buf.resize(size, 0);
        }
        while self.end < want && !self.eof {
            let room = self.buf.get_mut(self.end..).unwrap_or(&mut []);
            match self.src.read(room) {
                Ok(0) => self.eof = true,
                Ok(n) => self.end += n.min(room.len()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.error = Some(e);
                    self.eof = true;
                }
            }
        }
        self.end >= want
    }

    /// Passes over `n` bytes without keeping them. `false`: the stream ended first.
    pub fn skip(&mut self, mut n: u64) -> bool {
        loop {
            let step = usize::try_from(n).unwrap_or(usize::MAX).min(self.end - self.start);
            self.take(step);
            n -= step as u64;
            if n == 0 {
                return true;
            }
            if !self.fill(1) {
                return false;
            }
        }
    }

    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
}
