//! Compiled pattern databases on disk, so that a ruleset loads in a fraction of the time the second time.
//!
//! One file per database, named by a hash of its key, our version and the matcher's identity (library, version,
//! processor): whatever differs misses. A database is machine tables that a scan follows unchecked, so a file is only
//! believed if the directory and the file are the user's own and no one else's to write (file mode 0600, no links), and
//! if its checksum over name and content holds. One that is refused or broken is rebuilt by whoever asked; the person
//! is told once.
//!
//! Invariants: a file appears under its name complete or not at all (written aside, renamed); the files' sum is at most
//! the bound after every store (oldest use first to go). Nothing here fails a load: a cache that cannot serve is a
//! warning and a miss.

#[cfg(test)]
mod tests;

use engine::detect::compile::DatabaseCache;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of all files together, unless the caller says otherwise.
pub const BYTES_MAX_DEFAULT: u64 = 256 << 20;

/// Magic, length of the content (8 bytes, little-endian), SHA-256 of name and content, content.
const MAGIC: &[u8; 8] = b"SGCACHE1";
const HEADER: usize = 8 + 8 + 32;
const SUFFIX: &str = ".set";
const ASIDE: &str = ".aside";

/// A directory that cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cache directory {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("cache directory {}: {why}", path.display())]
    Refused { path: PathBuf, why: &'static str },
}

pub struct RulesetCache {
    directory: PathBuf,
    /// What a name depends on beside the key.
    identity: String,
    bytes_max: u64,
    /// Sum of the files, kept while storing.
    bytes: u64,
    warnings: Vec<String>,
    /// Files refused or broken so far.
    rejected: usize,
    /// Writing failed once: no further attempt.
    read_only: bool,
}

/// Why a file was not believed.
enum Miss {
    Absent,
    Rejected(String),
}

impl RulesetCache {
    /// Makes the directory (mode 0700) where it is missing. `identity` is the matcher factory's.
    pub fn open(directory: &Path, identity: &str, bytes_max: u64) -> Result<RulesetCache, Error> {
        let io = |source| Error::Io { path: directory.into(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
        let meta = std::fs::metadata(directory).map_err(io)?;
        let refused = |why| Error::Refused { path: directory.into(), why };
        if meta.uid() != own_uid() {
            return Err(refused("belongs to another user"));
        }
        if meta.mode() & 0o022 != 0 {
            return Err(refused("others may write to it; `chmod go-w` it"));
        }
        let mut cache = RulesetCache {
            directory: directory.into(),
            identity: format!("{} {identity}", env!("CARGO_PKG_VERSION")),
            bytes_max,
            bytes: 0,
            warnings: Vec::new(),
            rejected: 0,
            read_only: false,
        };
        cache.bytes = cache.trim();
        Ok(cache)
    }

    /// What the person should hear, at most one line for files not believed and one for files not written.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Files that were there and not believed.
    pub fn rejected(&self) -> usize {
        self.rejected
    }

    fn name(&self, key: u128) -> String {
        let digest = Sha256::new().chain_update(key.to_le_bytes()).chain_update(self.identity.as_bytes()).finalize();
        let hex: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
        hex + SUFFIX
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Miss> {
        let reject = |why: &str| Miss::Rejected(why.into());
        let path = self.directory.join(name);
        let open = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32)
            .open(&path);
        let mut file = match open {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Miss::Absent),
            Err(e) => return Err(Miss::Rejected(e.to_string())),
        };
        let meta = file.metadata().map_err(|e| Miss::Rejected(e.to_string()))?;
        if let Some(why) = distrust(&meta) {
            return Err(reject(why));
        }
        if meta.len() > self.bytes_max.saturating_add(HEADER as u64) {
            return Err(reject("larger than the cache may be"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
        let limit = meta.len().saturating_add(1);
        io::Read::by_ref(&mut file).take(limit).read_to_end(&mut bytes).map_err(|e| Miss::Rejected(e.to_string()))?;
        check(name, &bytes).map_err(reject)?;
        // Used now: among the last to be removed. Failing to say so is no harm.
        let _ = file.set_modified(SystemTime::now());
        Ok(bytes.split_off(HEADER))
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let aside = self.directory.join(format!("{name}.{}{ASIDE}", std::process::id()));
        let written = (|| {
            // One left by a run that was killed may bear our process number.
            let _ = std::fs::remove_file(&aside);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
            file.write_all(MAGIC)?;
            file.write_all(&(content.len() as u64).to_le_bytes())?;
            file.write_all(&digest(name, content))?;
            file.write_all(content)?;
            std::fs::rename(&aside, self.directory.join(name))
        })();
        if written.is_err() {
            let _ = std::fs::remove_file(&aside);
        }
        written
    }

    /// Removes the files used longest ago until the rest fit; returns their sum.
    fn trim(&self) -> u64 {
        let mut files: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let ours = name.to_str().is_some_and(|n| n.ends_with(SUFFIX) || n.ends_with(ASIDE));
            if ours
                && let Ok(meta) = entry.metadata()
                && meta.is_file()
            {
                files.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path(), meta.len()));
            }
        }
        files.sort();
        let mut sum: u64 = files.iter().map(|f| f.2).sum();
        for (_, path, length) in files {
            if sum <= self.bytes_max {
                break;
            }
            if std::fs::remove_file(&path).is_ok() {
                sum -= length;
            }
        }
        sum
    }

    fn reject(&mut self, name: &str, why: &str) {
        self.rejected += 1;
        if self.rejected == 1 {
            let path = self.directory.join(name);
            self.warnings.push(format!("{}: {why}; it and any like it are compiled anew", path.display()));
        }
    }
}

impl DatabaseCache for RulesetCache {
    fn load(&mut self, key: u128) -> Option<Vec<u8>> {
        let name = self.name(key);
        match self.read(&name) {
            Ok(content) => Some(content),
            Err(Miss::Absent) => None,
            Err(Miss::Rejected(why)) => {
                self.reject(&name, &why);
                None
            }
        }
    }

    fn store(&mut self, key: u128, database: &[u8]) {
        let length = (database.len() + HEADER) as u64;
        if self.read_only || length > self.bytes_max {
            return;
        }
        let name = self.name(key);
        if let Err(e) = self.write(&name, database) {
            self.read_only = true;
            self.warnings
                .push(format!("cache directory {}: {e}; compiled rules are not kept", self.directory.display()));
            return;
        }
        // A file that was replaced is counted twice until the sum is taken anew, which can only be too early.
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > self.bytes_max {
            self.bytes = self.trim();
        }
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn distrust(meta: &Metadata) -> Option<&'static str> {
    if !meta.is_file() {
        Some("not a plain file")
    } else if meta.uid() != own_uid() {
        Some("belongs to another user")
    } else if meta.mode() & 0o777 != 0o600 {
        Some("its mode is not 0600")
    } else {
        None
    }
}

fn check(name: &str, bytes: &[u8]) -> Result<(), &'static str> {
    let (header, content) = bytes.split_at_checked(HEADER).ok_or("broken: shorter than its header")?;
    let rest = header.strip_prefix(MAGIC).ok_or("broken: not a file of this cache")?;
    let (length, sum) = rest.split_first_chunk::<8>().ok_or("broken: shorter than its header")?;
    if u64::from_le_bytes(*length) != content.len() as u64 {
        return Err("broken: not of the length it says");
    }
    if sum != digest(name, content) { Err("broken: checksum") } else { Ok(()) }
}

/// Over the name too: a file under another's name is broken.
fn digest(name: &str, content: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(name.as_bytes()).chain_update(content).finalize().into()
}
