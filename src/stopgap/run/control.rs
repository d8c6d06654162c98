//! The control socket: where `stopgap ctl` asks, one question a connection.

use super::messages::{self, Answer, Ask};
use super::supervisor::Event;
use crate::console::Failure;
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;

/// Conversations at a time; one more is refused.
const CONVERSATIONS_MAX: usize = 16;
/// Whoever connects says what they want within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest an answer may take: a reload compiles.
const ANSWER: Duration = Duration::from_secs(900);

/// The socket's name; gone when this is dropped.
pub struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Refuses where a run answers there already.
    pub fn bind(path: &Path) -> Result<Socket, Failure> {
        let failed = |e: std::io::Error| Failure(format!("{}: cannot be the control socket: {e}", path.display()));
        if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        if UnixStream::connect(path).is_ok() {
            let at = path.display();
            return Err(Failure(format!("{at}: a run answers there already; give this one its own --control PATH")));
        }
        // Left behind by one that died.
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Socket { path: path.into(), listener })
    }

    pub fn listen(&self, events: SyncSender<Event>) -> Result<(), Failure> {
        let listener = self.listener.try_clone()?;
        let open = Arc::new(AtomicUsize::new(0));
        std::thread::Builder::new().name("control".into()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if open.fetch_add(1, Ordering::Relaxed) >= CONVERSATIONS_MAX {
                    open.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (events, left) = (events.clone(), open.clone());
                let talk = std::thread::Builder::new().name("ctl".into()).spawn(move || {
                    let _ = talk(stream, &events);
                    left.fetch_sub(1, Ordering::Relaxed);
                });
                if talk.is_err() {
                    open.fetch_sub(1, Ordering::Relaxed);
                }
            }
        })?;
        Ok(())
    }
}

fn talk(mut stream: UnixStream, events: &SyncSender<Event>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let ask = messages::receive::<Ask>(&mut BufReader::new(stream.try_clone()?));
    let answer = match ask {
        Ok(None) => return Ok(()),
        Err(e) => Answer::Failed(format!("not understood: {e}")),
        Ok(Some(ask)) => {
            let (reply, answer) = mpsc::sync_channel(1);
            let gone = || Answer::Failed("the run is ending".into());
            match events.send(Event::Asked(ask, reply)) {
                Ok(()) => answer.recv_timeout(ANSWER).unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            }
        }
    };
    messages::send(&mut stream, &answer)
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
