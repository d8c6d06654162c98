//! A client and a server in network namespaces, and a third between them where the program under test stands. Gone, with
//! all that runs in them, when dropped.

use rustix::thread::LinkNameSpaceType;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// The program's ports, client's side first.
pub const PORTS: [&str; 2] = ["port0", "port1"];

/// Which namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Client,
    Middle,
    Server,
}

/// The three namespaces.
pub struct Bed {
    prefix: String,
}

static BEDS: AtomicU32 = AtomicU32::new(0);

impl Bed {
    /// `None` where namespaces are refused.
    pub fn new() -> Option<Bed> {
        let bed = Bed::as_made()?;
        // A wire carries whole checksums.
        for (at, end) in [(At::Client, "end0"), (At::Server, "end1")] {
            bed.run(at, "ethtool", &["-K", end, "tx", "off"]);
        }
        Some(bed)
    }

    /// The same with every offload on, as interfaces of this kind are made: checksums are left to be filled in, and TCP
    /// comes in frames of up to 64 KiB.
    pub fn as_made() -> Option<Bed> {
        let bed = Bed { prefix: format!("sg{}x{}", std::process::id(), BEDS.fetch_add(1, Ordering::Relaxed)) };
        let ok =
            |args: &[&str]| Command::new("ip").args(args).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        let (c, m, s) = (bed.name(At::Client), bed.name(At::Middle), bed.name(At::Server));
        for ns in [&c, &m, &s] {
            if !ok(&["netns", "add", ns]) {
                return None;
            }
        }
        for (ns, end, addr, port) in [(&c, "end0", CLIENT, PORTS[0]), (&s, "end1", SERVER, PORTS[1])] {
            let addr = format!("{addr}/24");
            let all = ok(&["-n", ns, "link", "add", end, "type", "veth", "peer", "name", port, "netns", &m])
                && ok(&["-n", ns, "addr", "add", &addr, "dev", end])
                && ok(&["-n", ns, "link", "set", end, "up"])
                && ok(&["-n", ns, "link", "set", "lo", "up"])
                && ok(&["-n", &m, "link", "set", port, "up"]);
            if !all {
                return None;
            }
        }
        Some(bed)
    }

    /// Runs something in a thread of its own inside.
    pub fn inside<T: Send>(&self, at: At, run: impl FnOnce() -> T + Send) -> T {
        let namespace = std::fs::File::open(format!("/run/netns/{}", self.name(at))).expect("the namespace is ours");
        let enter = || {
            let kind = Some(LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).expect("namespaces were not refused");
            run()
        };
        std::thread::scope(|s| s.spawn(enter).join().expect("a thread inside panicked"))
    }

    fn name(&self, at: At) -> String {
        format!("{}{}", self.prefix, ["c", "m", "s"][at as usize])
    }

    /// A command inside, not begun. `ip netns exec` would give it another /sys.
    pub fn command(&self, at: At, program: &str) -> Command {
        let mut c = Command::new("nsenter");
        c.arg(format!("--net=/run/netns/{}", self.name(at))).arg(program);
        c
    }

    pub fn run(&self, at: At, program: &str, args: &[&str]) -> Output {
        self.command(at, program).args(args).stdin(Stdio::null()).output().expect("util-linux is installed")
    }

    /// The same in the background.
    pub fn spawn(&self, at: At, program: &str, args: &[&str]) -> Child {
        let mut c = self.command(at, program);
        c.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        c.spawn().expect("util-linux is installed")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for at in [At::Client, At::Middle, At::Server] {
            let _ = Command::new("ip").args(["netns", "del", &self.name(at)]).stderr(Stdio::null()).status();
        }
    }
}
