//! A progress bar where a person looks, and nothing elsewhere.

use crate::console::attended;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::Path;
use std::time::{Duration, Instant};

/// Redrawn at most so often.
const EVERY: Duration = Duration::from_millis(200);

pub struct Progress {
    bar: Option<ProgressBar>,
    drawn: Instant,
}

impl Progress {
    pub fn new(path: &Path) -> Self {
        let bar = attended().then(|| {
            let length = std::fs::metadata(path).ok().filter(|m| m.is_file() && !compressed(path)).map(|m| m.len());
            let (bar, shape) = match length {
                Some(n) => (ProgressBar::new(n), "{wide_bar} {bytes}/{total_bytes} {msg} {eta}"),
                None => (ProgressBar::no_length(), "{spinner} {bytes} {msg} {elapsed}"),
            };
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
            if let Ok(style) = ProgressStyle::with_template(shape) {
                bar.set_style(style);
            }
            bar
        });
        Progress { bar, drawn: Instant::now() }
    }

    /// `position` is in bytes of the uncompressed capture.
    pub fn tick(&mut self, position: u64, packets: u64) {
        if let Some(bar) = &self.bar
            && self.drawn.elapsed() >= EVERY
        {
            self.drawn = Instant::now();
            bar.set_position(position);
            bar.set_message(format!("{packets} packets"));
        }
    }

    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Its length says nothing of the capture's.
fn compressed(path: &Path) -> bool {
    use std::io::Read;
    let mut first = [0; 6];
    let read = std::fs::File::open(path).and_then(|mut f| f.read(&mut first)).unwrap_or(0);
    capture::Compression::of(first.get(..read).unwrap_or(&[])) != capture::Compression::None
}
