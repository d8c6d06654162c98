//! Runs the built program's `replay` and reads what it wrote.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of the test's own, removed with the value.
pub struct Folder(pub PathBuf);

impl Folder {
    /// `name` must be the test's own: folders of one process and name are the same.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stopgap-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap_or_default();
        Folder(path)
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap_or_default();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a run of the program left behind.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(o: Output) -> Self {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Run { code: o.status.code(), stdout: text(&o.stdout), stderr: text(&o.stderr) }
    }
}

/// Runs `program` with `args`.
pub fn run<A: AsRef<std::ffi::OsStr>>(program: &Path, args: impl IntoIterator<Item = A>) -> std::io::Result<Run> {
    Ok(Command::new(program).args(args).output()?.into())
}

/// The events of an `eve.json`; a line that is not JSON is an error.
pub fn events(eve: &Path) -> std::io::Result<Vec<Value>> {
    std::fs::read_to_string(eve)?.lines().map(|l| serde_json::from_str(l).map_err(std::io::Error::other)).collect()
}

/// A classic pcap of Ethernet frames.
pub fn pcap(frames: &[crate::dialogue::TimedFrame]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        out.extend(word.to_le_bytes());
    }
    for f in frames {
        let len = f.data.len() as u32;
        for word in [(f.micros / 1_000_000) as u32, (f.micros % 1_000_000) as u32, len, len] {
            out.extend(word.to_le_bytes());
        }
        out.extend(&f.data);
    }
    out
}
