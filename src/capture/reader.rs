//! A capture file of either format as a [`Receive`].
//!
//! Records are found in a large window over the stream and lent in place; a batch ends where the window would have to
//! move. An error is kept back until the frames before it have been given.

use super::blocks::Window;
use super::classic::{self, FileHeader};
use super::ng::Section;
use super::{Error, Receive};
use engine::decode::{Frame, LinkType, PortId};
use engine::types::Timestamp;
use std::io::Read;
use std::ops::Range;

/// Reads one capture.
pub struct Reader {
    path: String,
    window: Window,
    format: Format,
    /// Frames given so far.
    count: u64,
    found: Vec<Found>,
    /// What ends the input, given once the frames before it are.
    ending: Option<Error>,
    ended: bool,
}

enum Format {
    Classic(FileHeader),
    Ng(Section),
}

/// A frame found in the window.
struct Found {
    ts: Timestamp,
    link: LinkType,
    port: PortId,
    data: Range<usize>,
    wire_len: u32,
}

/// Why no further record was found in the window as it stands.
enum Stop {
    /// So many bytes are needed from where the window stands.
    Need(usize),
    Skip(u64),
    Broken(String),
}

impl Reader {
    /// Reads the file's header from `src`, which is uncompressed. `path` is for messages.
    pub fn new(path: &str, src: Box<dyn Read + Send>) -> Result<Self, Error> {
        let mut window = Window::new(src);
        let refused = |what: &str| Error::Format { path: path.into(), what: what.into() };
        let whole = window.fill(classic::HEADER_LEN);
        if let (false, Some(source)) = (whole, window.take_error()) {
            return Err(Error::Read { path: path.into(), offset: window.bytes().len() as u64, source });
        }
        let bytes = window.bytes();
        let Some((first, _)) = bytes.split_first_chunk::<4>() else {
            return Err(refused(if bytes.is_empty() { "the file is empty" } else { "the file is too short" }));
        };
        let format = if classic::is_magic(*first) {
            let Some(header) = FileHeader::parse(bytes) else {
                return Err(refused("the pcap file header is cut short"));
            };
            window.take(classic::HEADER_LEN);
            Format::Classic(header)
        } else if *first == super::ng::SECTION.to_le_bytes() {
            Format::Ng(Section::default())
        } else {
            return Err(refused("it begins like neither pcap nor pcapng"));
        };
        Ok(Reader { path: path.into(), window, format, count: 0, found: Vec::new(), ending: None, ended: false })
    }

    /// Bytes of the uncompressed capture consumed so far.
    pub fn position(&self) -> u64 {
        self.window.offset()
    }

    /// Finds up to `max` records; the window moves only before the first of them.
    fn find(&mut self, max: usize) {
        self.found.clear();
        while self.found.len() < max && !self.ended {
            let step = match &mut self.format {
                Format::Classic(header) => next_classic(header, &mut self.window),
                Format::Ng(section) => next_ng(section, &mut self.window),
            };
            match step {
                Ok(Some(found)) => self.found.push(found),
                Ok(None) => {}
                // The window may not move while frames of it are lent.
                Err(Stop::Need(_) | Stop::Skip(_)) if !self.found.is_empty() => return,
                Err(Stop::Need(n)) => {
                    if !self.window.fill(n) {
                        self.end_of_stream("the record is incomplete");
                    }
                }
                Err(Stop::Skip(n)) => {
                    if !self.window.skip(n) {
                        self.end_of_stream("the block is incomplete");
                    }
                }
                Err(Stop::Broken(what)) => {
                    let offset = self.window.offset();
                    self.finish(Some(Error::Broken { path: self.path.clone(), offset, what }));
                }
            }
        }
    }

    fn end_of_stream(&mut self, what: &'static str) {
        let offset = self.window.offset() + self.window.bytes().len() as u64;
        let path = self.path.clone();
        let error = match self.window.take_error() {
            Some(source) => Some(Error::Read { path, offset, source }),
            None if self.window.bytes().is_empty() && what == "the record is incomplete" => None,
            None => Some(Error::Truncated { path, offset, what }),
        };
        self.finish(error);
    }

    fn finish(&mut self, error: Option<Error>) {
        self.ending = error;
        self.ended = true;
    }
}

impl Receive for Reader {
    fn recv<'d>(&'d mut self, frames: &mut Vec<Frame<'d>>, max: usize) -> Result<usize, Error> {
        self.find(max);
        if self.found.is_empty() {
            return self.ending.take().map_or(Ok(0), Err);
        }
        let first = self.count;
        self.count += self.found.len() as u64;
        let storage = self.window.storage();
        frames.extend(self.found.iter().zip(first + 1..).map(|(f, number)| Frame {
            ts: f.ts,
            number,
            link: f.link,
            port: f.port,
            data: storage.get(f.data.clone()).unwrap_or(&[]),
            wire_len: f.wire_len,
        }));
        Ok(self.found.len())
    }
}

fn next_classic(header: &FileHeader, window: &mut Window) -> Result<Option<Found>, Stop> {
    let bytes = window.bytes();
    if bytes.len() < header.record_len {
        return Err(Stop::Need(header.record_len));
    }
    let record = header.record(bytes).map_err(Stop::Broken)?;
    let whole = header.record_len + record.captured;
    if bytes.len() < whole {
        return Err(Stop::Need(whole));
    }
    let range = window.take(whole);
    Ok(Some(Found {
        ts: record.ts,
        link: header.link,
        port: PortId(0),
        data: range.start + header.record_len..range.end,
        wire_len: record.wire_len,
    }))
}

fn next_ng(section: &mut Section, window: &mut Window) -> Result<Option<Found>, Stop> {
    let bytes = window.bytes();
    if bytes.len() < 12 {
        return Err(Stop::Need(12));
    }
    let head = section.head(bytes).map_err(Stop::Broken)?;
    if !Section::wanted(head).map_err(Stop::Broken)? {
        if bytes.len() < head.len {
            return Err(Stop::Skip(head.len as u64));
        }
        window.take(head.len);
        return Ok(None);
    }
    let Some(block) = bytes.get(..head.len) else { return Err(Stop::Need(head.len)) };
    let packet = section.block(head, block).map_err(Stop::Broken)?;
    let at = window.take(head.len).start;
    Ok(packet.map(|p| Found {
        ts: p.ts,
        link: p.link,
        port: PortId(p.interface),
        data: at + p.data.start..at + p.data.end,
        wire_len: p.wire_len,
    }))
}
