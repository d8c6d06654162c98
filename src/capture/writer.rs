//! Capture files as a [`Transmit`]: pcapng with an interface for each port, or classic pcap with all ports in one.
//!
//! Nanosecond timestamps in both. Interfaces are described when the first frame of a port and link type leaves, but
//! port0 and port1 always, so that a file in which nothing left through a port says so.

use super::ng::{BYTE_ORDER, ENHANCED_PACKET, INTERFACE, SECTION};
use super::{Error, Outgoing, Transmit};
use engine::decode::{LinkType, PortId};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Pcap,
    Pcapng,
}

impl Format {
    /// A name ending in `.pcap` asks for classic pcap; any other gives pcapng.
    pub fn of(path: &Path) -> Self {
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pcap")) { Format::Pcap } else { Format::Pcapng }
    }
}

/// Writes one capture file.
pub struct Writer {
    path: String,
    out: BufWriter<Box<dyn Write + Send>>,
    format: Format,
    /// Interfaces described so far, by their number.
    interfaces: Vec<(PortId, LinkType)>,
}

impl Writer {
    /// Creates the file, or takes standard output for `-`. An existing file is overwritten.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        if name == "-" {
            return Ok(Writer::to("standard output", Box::new(io::stdout()), Format::Pcapng));
        }
        if path.is_dir() {
            return Err(Error::Directory { path: name });
        }
        let file = File::create(path).map_err(|source| Error::Open { path: name.clone(), source })?;
        Ok(Writer::to(&name, Box::new(file), Format::of(path)))
    }

    /// Writes to any stream; `name` is for messages.
    pub fn to(name: &str, out: Box<dyn Write + Send>, format: Format) -> Self {
        Writer { path: name.into(), out: BufWriter::with_capacity(1 << 18, out), format, interfaces: Vec::new() }
    }

    fn write(&mut self, f: &Outgoing<'_>) -> Result<(), Error> {
        if self.interfaces.is_empty() {
            self.begin(f.link).map_err(|source| self.failed(source))?;
        }
        let (number, described) = match self.format {
            Format::Pcap => {
                if let Some((_, has)) = self.interfaces.first().copied().filter(|(_, has)| *has != f.link) {
                    return Err(Error::LinkType { path: self.path.clone(), got: f.link.0, has: has.0 });
                }
                (0, Ok(()))
            }
            Format::Pcapng => match self.interfaces.iter().position(|i| *i == (f.port, f.link)) {
                Some(i) => (i, Ok(())),
                None => (self.interfaces.len(), self.describe(f.port, f.link)),
            },
        };
        let written = described.and_then(|()| match self.format {
            Format::Pcap => self.record(f),
            Format::Pcapng => self.packet_block(number as u32, f),
        });
        written.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write { path: self.path.clone(), source }
    }

    fn begin(&mut self, link: LinkType) -> io::Result<()> {
        match self.format {
            Format::Pcap => {
                self.interfaces.push((PortId(0), link));
                for word in [0xa1b2_3c4du32, 4 << 16 | 2, 0, 0, super::FRAME_BYTES_MAX as u32, link.0] {
                    self.out.write_all(&word.to_le_bytes())?;
                }
                Ok(())
            }
            Format::Pcapng => {
                let mut body = Vec::new();
                body.extend_from_slice(&BYTE_ORDER.to_le_bytes());
                body.extend_from_slice(&[1, 0, 0, 0]);
                body.extend_from_slice(&u64::MAX.to_le_bytes());
                self.block(SECTION, &body)?;
                self.describe(PortId(0), link)?;
                self.describe(PortId(1), link)
            }
        }
    }

    fn describe(&mut self, port: PortId, link: LinkType) -> io::Result<()> {
        self.interfaces.push((port, link));
        let mut body = Vec::new();
        body.extend_from_slice(&(link.0 as u16).to_le_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&(super::FRAME_BYTES_MAX as u32).to_le_bytes());
        option(&mut body, 2, format!("port{}", port.0).as_bytes());
        option(&mut body, 9, &[9]);
        option(&mut body, 0, &[]);
        self.block(INTERFACE, &body)
    }

    fn packet_block(&mut self, interface: u32, f: &Outgoing<'_>) -> io::Result<()> {
        let ns = f.ts.nanos();
        let mut body = Vec::with_capacity(f.data.len() + 96);
        let captured = f.data.len() as u32;
        for word in [interface, (ns >> 32) as u32, ns as u32, captured, f.wire_len.max(captured)] {
            body.extend_from_slice(&word.to_le_bytes());
        }
        body.extend_from_slice(f.data);
        pad(&mut body);
        if let Some(comment) = f.comment {
            option(&mut body, 1, comment.as_bytes());
            option(&mut body, 0, &[]);
        }
        self.block(ENHANCED_PACKET, &body)
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let len = (body.len() as u32 + 12).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&len)?;
        self.out.write_all(body)?;
        self.out.write_all(&len)
    }

    fn record(&mut self, f: &Outgoing<'_>) -> io::Result<()> {
        let captured = f.data.len() as u32;
        let nanos = (f.ts.nanos() % 1_000_000_000) as u32;
        for word in [f.ts.secs() as u32, nanos, captured, f.wire_len.max(captured)] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(f.data)
    }
}

impl Transmit for Writer {
    fn send(&mut self, frame: &Outgoing<'_>) -> Result<(), Error> {
        self.write(frame)
    }

    /// Also writes the header of a file that nothing was sent to.
    fn flush(&mut self) -> Result<(), Error> {
        let begun = if self.interfaces.is_empty() { self.begin(LinkType::ETHERNET) } else { Ok(()) };
        begun.and_then(|()| self.out.flush()).map_err(|source| self.failed(source))
    }
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..value.len().min(4_096)).unwrap_or(&[]);
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}
