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
        EveFile { path: path.into(), style, file, buffer: Vec::with_capacity(BUFFER), lines: 0, malformed: 0 }
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

    /// Everything written is in the file.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.drain()?;
        self.file.flush().map_err(|source| WriteError { path: self.path.clone(), source })
    }

    fn drain(&mut self) -> Result<(), WriteError> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|source| WriteError { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::record::{Head, Kind, Records};
    use engine::types::Timestamp;

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
