//! Word to the service manager: sd_notify(3), datagrams to the socket that `NOTIFY_SOCKET` names.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'a> {
    /// Start-up is over.
    Ready,
    /// Rules and configuration are read anew; [`State::Ready`] ends it.
    Reloading,
    Stopping,
    /// All is well: to be said more often than [`Service::watchdog`].
    Watchdog,
    /// A line for `systemctl status`.
    Status(&'a str),
}

/// A service manager that wants to be told, or none.
#[derive(Debug, Default)]
pub struct Service {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Service {
    /// The one that started this process, by what it left in the environment.
    pub fn of_environment() -> io::Result<Service> {
        let of = |name| std::env::var(name).ok();
        Service::of(of("NOTIFY_SOCKET").as_deref(), of("WATCHDOG_USEC").as_deref(), of("WATCHDOG_PID").as_deref())
    }

    /// `usec` and `pid`: within what time the watchdog wants to hear, and from whom.
    pub fn of(socket: Option<&str>, usec: Option<&str>, pid: Option<&str>) -> io::Result<Service> {
        let Some(socket) = socket.filter(|s| !s.is_empty()) else { return Ok(Service::default()) };
        let to = match socket.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(socket)?,
        };
        let datagrams = UnixDatagram::unbound()?;
        // A manager that does not read must not hold us.
        datagrams.set_nonblocking(true)?;
        let ours = pid.is_none_or(|p| p.parse() == Ok(std::process::id()));
        let usec = usec.and_then(|u| u.parse().ok()).filter(|u| ours && *u > 0);
        Ok(Service { to: Some((datagrams, to)), watchdog: usec.map(Duration::from_micros) })
    }

    /// Within what time it wants to hear that all is well, or it takes us for stuck.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Says it. `monotonic_ns` is the time of CLOCK_MONOTONIC, which a reload's begin is dated by.
    pub fn say(&self, state: State<'_>, monotonic_ns: u64) -> io::Result<()> {
        let Some((datagrams, to)) = &self.to else { return Ok(()) };
        let text = match state {
            State::Ready => "READY=1".into(),
            State::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns / 1_000),
            State::Stopping => "STOPPING=1".into(),
            State::Watchdog => "WATCHDOG=1".into(),
            // A line break would begin another field.
            State::Status(line) => format!("STATUS={}", line.replace(['\n', '\r'], " ")),
        };
        datagrams.send_to_addr(text.as_bytes(), to).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(at: &UnixDatagram) -> String {
        let mut room = [0u8; 256];
        let n = at.recv(&mut room).unwrap();
        String::from_utf8_lossy(&room[..n]).into_owned()
    }

    #[test]
    fn says_its_words_to_both_kinds_of_socket() {
        let path = std::env::temp_dir().join(format!("stopgap-notify-{}", std::process::id()));
        let abstract_name = format!("stopgap-notify-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
        for (at, name) in [(by_path, path.display().to_string()), (by_name, format!("@{abstract_name}"))] {
            at.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let s = Service::of(Some(&name), Some("2000000"), None).unwrap();
            assert_eq!(s.watchdog(), Some(Duration::from_secs(2)));
            for (state, text) in [
                (State::Ready, "READY=1"),
                (State::Reloading, "RELOADING=1\nMONOTONIC_USEC=5"),
                (State::Stopping, "STOPPING=1"),
                (State::Watchdog, "WATCHDOG=1"),
                (State::Status("a:b\nREADY=1"), "STATUS=a:b READY=1"),
            ] {
                s.say(state, 5_999).unwrap();
                assert_eq!(received(&at), text);
            }
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        for socket in [None, Some("")] {
            let s = Service::of(socket, Some("1000"), None).unwrap();
            assert_eq!(s.watchdog(), None);
            s.say(State::Ready, 0).unwrap();
        }
    }

    #[test]
    fn a_watchdog_of_another_process_is_none_of_ours() {
        let of = |usec, pid| Service::of(Some("@nobody"), usec, pid).unwrap().watchdog();
        let own = std::process::id().to_string();
        assert_eq!(of(Some("1000"), Some(&own)), Some(Duration::from_millis(1)));
        assert_eq!(of(Some("1000"), Some("1")), None);
        assert_eq!(of(Some("soon"), None), None);
        assert_eq!(of(Some("0"), None), None);
    }
}
