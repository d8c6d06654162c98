//! Files that rules asked to keep, in a directory: each once, under its SHA-256.
//!
//! `ab/abcdef…` holds the content; with `fileinfo` the record of each sighting lies beside it as
//! `abcdef….<seconds>.<number>.json`. A file is written under a name of its own and moved, so that whoever looks finds it
//! whole or not at all. Failures are counted and never stop the run.

use super::eve::{self, Origin, Style};
use engine::record::{Kind, Record};
use engine::types::FieldSink;
use std::io;
use std::path::{Path, PathBuf};

/// Hexadecimal digits of a name.
const DIGITS: usize = 64;

pub struct FileStore {
    dir: PathBuf,
    fileinfo: bool,
    errors: u64,
    /// The first failure, with its file.
    first_error: Option<String>,
}

impl FileStore {
    /// Makes the directory.
    pub fn create(dir: &Path, fileinfo: bool) -> io::Result<Self> {
        std::fs::create_dir_all(dir.join("tmp"))?;
        Ok(FileStore { dir: dir.into(), fileinfo, errors: 0, first_error: None })
    }

    /// Files that could not be written.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The first failure of all, once: what traffic can cause must not fill the console.
    pub fn take_error(&mut self) -> Option<String> {
        self.first_error.take()
    }

    /// Takes the content of files and, where asked for, their records; others are none of its business.
    pub fn take(&mut self, record: &Record<'_>, origin: Option<Origin<'_>>) {
        if !matches!(record.head.kind, Kind::FileData | Kind::FileInfo) {
            return;
        }
        let mut seen = Seen::default();
        if record.walk(&mut seen).is_err() || seen.sha256.len() != DIGITS || !plain(&seen.sha256) {
            return;
        }
        let path = self.path(&seen.sha256);
        let result = match record.head.kind {
            Kind::FileData => self.content(&path, &seen),
            Kind::FileInfo if self.fileinfo && seen.stored => {
                let mut line = Vec::new();
                let name = format!("{}.{}.{}.json", seen.sha256, record.head.ts.secs(), seen.file_id);
                match eve::line(record, origin, &Style::default(), &mut line) {
                    Ok(()) => beside(&path).and_then(|()| std::fs::write(path.with_file_name(name), line)),
                    Err(_) => Err(io::Error::other("the record is not whole")),
                }
            }
            _ => Ok(()),
        };
        if let Err(e) = result {
            self.errors += 1;
            if self.errors > 1 {
                return;
            }
            self.first_error.get_or_insert_with(|| format!("{}: cannot be kept: {e}", path.display()));
        }
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(sha256.get(..2).unwrap_or_default()).join(sha256)
    }

    fn content(&self, path: &Path, seen: &Seen) -> io::Result<()> {
        if path.exists() {
            return Ok(());
        }
        beside(path)?;
        let tmp = self.dir.join("tmp").join(format!("file.{}", seen.file_id));
        std::fs::write(&tmp, &seen.data)?;
        std::fs::rename(&tmp, path)
    }
}

/// The directory a file is to lie in is there.
fn beside(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

fn plain(s: &str) -> bool {
    s.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

/// What of a record names a file.
#[derive(Default)]
struct Seen {
    sha256: String,
    file_id: u64,
    stored: bool,
    data: Vec<u8>,
}

impl FieldSink for Seen {
    fn bytes(&mut self, key: &str, value: &[u8]) {
        match key {
            "sha256" => self.sha256 = String::from_utf8_lossy(value).into_owned(),
            "data" => self.data = value.to_vec(),
            _ => {}
        }
    }
    fn uint(&mut self, key: &str, value: u64) {
        if key == "file_id" {
            self.file_id = value;
        }
    }
    fn int(&mut self, _: &str, _: i64) {}
    fn float(&mut self, _: &str, _: f64) {}
    fn bool(&mut self, key: &str, value: bool) {
        self.stored |= key == "stored" && value;
    }
    fn begin_object(&mut self, _: &str) {}
    fn begin_array(&mut self, _: &str) {}
    fn end(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::record::{Head, Records};
    use engine::types::Timestamp;

    const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn records(sha256: &str) -> Records {
        let mut r = Records::new(1 << 16);
        r.write(&Head::new(Kind::FileInfo, Timestamp::from_secs(7), 1), |s| {
            s.begin_object("fileinfo");
            s.text("sha256", sha256);
            s.bool("stored", true);
            s.uint("file_id", 3);
            s.end();
        });
        r.write(&Head::new(Kind::FileData, Timestamp::from_secs(7), 1), |s| {
            s.text("sha256", sha256);
            s.uint("file_id", 3);
            s.bytes("data", b"abc");
        });
        r
    }

    #[test]
    fn content_and_record_lie_under_the_hash() {
        let dir = std::env::temp_dir().join(format!("stopgap-store-{}", std::process::id()));
        let mut store = FileStore::create(&dir, true).unwrap();
        for _ in 0..2 {
            records(SHA).iter().for_each(|r| store.take(&r, None));
        }
        assert_eq!(std::fs::read(dir.join("ba").join(SHA)).unwrap(), b"abc");
        assert!(dir.join("ba").join(format!("{SHA}.7.3.json")).exists());
        records("../../etc/passwd").iter().for_each(|r| store.take(&r, None));
        records(&"/".repeat(64)).iter().for_each(|r| store.take(&r, None));
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
