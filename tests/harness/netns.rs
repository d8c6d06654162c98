//! A client and a server in network namespaces, and a third between them where the program under test stands. Gone, with
//! all that runs in them and the bed's folder, when dropped, and when the test is killed.

use rustix::thread::LinkNameSpaceType;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
pub const SERVER6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);

/// The program's ports, client's side first.
pub const PORTS: [&str; 2] = ["port0", "port1"];

/// The interfaces of client and server.
pub const ENDS: [&str; 2] = ["end0", "end1"];

/// Which namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Client,
    Middle,
    Server,
}

/// The three namespaces, and a folder.
pub struct Bed {
    prefix: String,
    dir: PathBuf,
    /// Clears all away when its standard input ends, and so whatever becomes of us.
    janitor: Child,
}

/// Waits for the end of its standard input, then clears away: a folder, and namespaces with what runs there.
const JANITOR: &str =
    "cat >/dev/null; dir=$1; shift; for n; do ip netns pids \"$n\" | xargs -r kill -9; ip netns del \"$n\"; done
    rm -rf \"$dir\"";

/// What the names of a bed's namespaces end in, client's first.
const PARTS: [&str; 3] = ["c", "m", "s"];

static BEDS: AtomicU32 = AtomicU32::new(0);

impl Bed {
    /// `None` where namespaces are refused.
    pub fn new() -> Option<Bed> {
        Bed::of_queues(1)
    }

    /// The same with so many queues at every end, which the kernel divides connections among.
    pub fn of_queues(queues: u32) -> Option<Bed> {
        let bed = Bed::made(queues)?;
        // A wire carries whole checksums.
        for (at, end) in [(At::Client, "end0"), (At::Server, "end1")] {
            bed.run(at, "ethtool", &["-K", end, "tx", "off"]);
        }
        Some(bed)
    }

    /// The same with every offload on, as interfaces of this kind are made: checksums are left to be filled in, and TCP
    /// comes in frames of up to 64 KiB.
    pub fn as_made() -> Option<Bed> {
        Bed::made(1)
    }

    fn made(queues: u32) -> Option<Bed> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        let queues = queues.to_string();
        let many = ["numtxqueues", &queues, "numrxqueues", &queues];
        let bed = Bed::named(format!("sg{}x{}", std::process::id(), BEDS.fetch_add(1, Ordering::Relaxed)))?;
        let ok =
            |args: &[&str]| Command::new("ip").args(args).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        let (c, m, s) = (bed.name(At::Client), bed.name(At::Middle), bed.name(At::Server));
        for ns in [&c, &m, &s] {
            if !ok(&["netns", "add", ns]) {
                return None;
            }
        }
        let ends = [(&c, ENDS[0], CLIENT, CLIENT6, PORTS[0]), (&s, ENDS[1], SERVER, SERVER6, PORTS[1])];
        for (ns, end, addr, addr6, port) in ends {
            let (addr, addr6) = (format!("{addr}/24"), format!("{addr6}/64"));
            let link = [&["-n", ns, "link", "add", end], &many[..], &["type", "veth", "peer", "name", port], &many];
            let all = ok(&[&link.concat()[..], &["netns", &m]].concat())
                && ok(&["-n", ns, "addr", "add", &addr, "dev", end])
                && ok(&["-n", ns, "addr", "add", &addr6, "dev", end, "nodad"])
                && ok(&["-n", ns, "link", "set", end, "up"])
                && ok(&["-n", ns, "link", "set", "lo", "up"])
                && ok(&["-n", &m, "link", "set", port, "up"]);
            if !all {
                return None;
            }
        }
        Some(bed)
    }

    /// With its janitor, and nothing made yet that is to be cleared away.
    fn named(prefix: String) -> Option<Bed> {
        let dir = std::env::temp_dir().join(format!("stopgap-{prefix}"));
        // A session of its own: what is sent to the test's whole group does not reach it.
        let mut c = Command::new("setsid");
        c.args(["sh", "-c", JANITOR, "janitor"]).arg(&dir).args(PARTS.map(|part| format!("{prefix}{part}")));
        c.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let bed = Bed { prefix, dir, janitor: c.spawn().ok()? };
        std::fs::create_dir_all(&bed.dir).ok()?;
        Some(bed)
    }

    /// A folder for what the bed's programs read and write.
    pub fn dir(&self) -> &Path {
        &self.dir
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
        format!("{}{}", self.prefix, PARTS[at as usize])
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
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

/// Removes the beds whose test is no more, and whose janitor is neither.
fn sweep() {
    let names = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = names.filter_map(|e| e.file_name().into_string().ok());
    let left = |name: &String| {
        let pid = name.strip_prefix("sg").and_then(|rest| rest.split_once('x')).map(|(pid, _)| pid);
        pid.is_some_and(|p| p.parse::<u32>().is_ok() && !Path::new("/proc").join(p).exists())
    };
    let mut beds: Vec<String> =
        names.filter(left).filter_map(|n| Some(n.strip_suffix(['c', 'm', 's'])?.to_owned())).collect();
    beds.sort_unstable();
    beds.dedup();
    // Made and dropped again.
    beds.into_iter().for_each(|prefix| drop(Bed::named(prefix)));
}
