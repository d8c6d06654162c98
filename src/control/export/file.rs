//! The EVE log file: buffered, its failures said with the file's name.

use super::eve::{self, Origin, Style};
use engine::record::Record;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const BUFFER: usize = 1 << 18;

/// The log could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot write: {source}", path.display())]
pub struct WriteError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// An open EVE log.
pub struct EveFile {
    path: PathBuf,
    style: Style,
    file: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    lines: u64,
    malformed: u64,
    bytes: u64,
    /// The file ends within a line, of which the rest is lost.
    torn: bool,
}

impl EveFile {
    /// Creates `path`, or empties it, or goes on at its end.
    pub fn create(path: &Path, style: Style, append: bool) -> Result<Self, WriteError> {
        match File::options().create(true).write(true).append(append).truncate(!append).open(path) {
            Ok(file) => Ok(EveFile::to(path, style, Box::new(file))),
            Err(source) => Err(WriteError { path: path.into(), source }),
        }
    }

    /// Writes to any stream; `path` is for messages.
    pub fn to(path: &Path, style: Style, file: Box<dyn Write + Send>) -> Self {
        EveFile {
            path: path.into(),
            style,
            file,
            buffer: Vec::with_capacity(BUFFER),
            lines: 0,
            malformed: 0,
            bytes: 0,
            torn: false,
        }
    }

    pub fn write(&mut self, record: &Record<'_>, origin: Option<Origin<'_>>) -> Result<(), WriteError> {
        match eve::line(record, origin, &self.style, &mut self.buffer) {
            Ok(()) => self.lines += 1,
            Err(_) => self.malformed += 1,
        }
        if self.buffer.len() >= BUFFER / 2 { self.drain() } else { Ok(()) }
    }

    /// Lines written so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Records that were not whole and left no line.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Bytes that are in the file by now.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Everything written is in the file.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.drain()?;
        self.file.flush().map_err(|source| WriteError { path: self.path.clone(), source })
    }

    /// What cannot be written is lost; lines that come later are whole again.
    fn drain(&mut self) -> Result<(), WriteError> {
        if self.torn && !self.buffer.is_empty() {
            self.buffer.insert(0, b'\n');
        }
        let mut rest = &self.buffer[..];
        let written = loop {
            if rest.is_empty() {
                break Ok(());
            }
            match self.file.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        let done = self.buffer.len() - rest.len();
        self.bytes += done as u64;
        if let Some(last) = self.buffer.get(..done).and_then(<[u8]>::last) {
            self.torn = *last != b'\n';
        }
        self.buffer.clear();
        written.map_err(|source| WriteError { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::record::{Head, Kind, Records};
    use engine::types::Timestamp;

    /// Takes so many bytes, then none until there is room again.
    struct Disk(std::sync::Arc<std::sync::Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (held, room) = &mut *self.0.lock().unwrap();
            let n = bytes.len().min(*room);
            held.extend(&bytes[..n]);
            *room -= n;
            if n == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(n) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_whole_after_a_disk_was_full() {
        let disk = std::sync::Arc::new(std::sync::Mutex::new((Vec::new(), 20)));
        let mut log = EveFile::to(Path::new("x"), Style::default(), Box::new(Disk(disk.clone())));
        let mut records = Records::new(1 << 12);
        records.write(&Head::new(Kind::Stats, Timestamp::ZERO, 1), |_| {});
        let record = records.iter().next().unwrap();
        for (room, ends) in [(0, false), (0, false), (1 << 20, false), (1 << 20, true)] {
            log.write(&record, None).unwrap();
            assert_eq!(log.flush().is_ok(), ends);
            disk.lock().unwrap().1 = room;
        }
        let text = String::from_utf8(disk.lock().unwrap().0.clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let whole = |l: &&&str| serde_json::from_str::<serde_json::Value>(l).is_ok();
        assert_eq!(lines.iter().filter(whole).count(), 1, "{text}");
    }

    #[test]
    fn a_full_disk_is_said_with_the_file() {
        let path = Path::new("/dev/full");
        let Ok(mut log) = EveFile::create(path, Style::default(), false) else { return };
        let mut records = Records::new(1 << 12);
        records.write(&Head::new(Kind::Stats, Timestamp::ZERO, 1), |_| {});
        log.write(&records.iter().next().unwrap(), None).unwrap();
        let e = log.flush().unwrap_err().to_string();
        assert!(e.starts_with("/dev/full: cannot write: "), "{e}");
        assert_eq!(log.lines(), 1);
    }

    #[test]
    fn a_directory_is_refused() {
        assert!(EveFile::create(&std::env::temp_dir(), Style::default(), false).is_err());
    }
}
