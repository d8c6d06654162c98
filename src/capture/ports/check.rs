//! What stands against a port or a pair of them, each with the command that mends it.

use super::{Facts, Feature, GRO, LRO, Prepared, VLAN_FILTER, VLAN_INSERT, VLAN_STRIP, ethtool_word};

/// How frames are to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    AfXdp,
    AfPacket,
}

/// One sentence each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// With any of these, no run.
    pub refusals: Vec<String>,
    pub warnings: Vec<String>,
}

impl Findings {
    fn refuse(&mut self, text: String) {
        self.refusals.push(text);
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }
}

const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_ADMIN: u32 = 21;

/// Rings shorter than this lose frames while a worker is at a long batch.
const RING_MIN: u32 = 512;

/// Whether two ports can be a pair. Nothing is changed; what `prepare` can switch off is not held against them.
pub fn check_pair(a: &str, b: &str, capture: Capture) -> Findings {
    let mut found = Findings::default();
    capabilities(own_capabilities(), capture, &mut found);
    if a == b {
        found.refuse(format!("{a}:{b}: a pair is two ports; name another one than {a}"));
        return found;
    }
    let facts = [asked(a, &mut found), asked(b, &mut found)];
    if let [Some(a), Some(b)] = &facts
        && a.ifindex == b.ifindex
    {
        found.refuse(format!("{}:{}: both are the same port, by two names; name another one", a.name, b.name));
        return found;
    }
    for f in facts.iter().flatten() {
        port(f, capture, &mut found);
        member(f, &mut found);
    }
    if let [Some(a), Some(b)] = &facts {
        both(a, b, &mut found);
    }
    found
}

/// Whether a port can be watched. Its addresses are its own business.
pub fn check_tap(name: &str, capture: Capture) -> Findings {
    let mut found = Findings::default();
    capabilities(own_capabilities(), capture, &mut found);
    if let Some(f) = asked(name, &mut found) {
        port(&f, capture, &mut found);
    }
    found
}

/// What `prepare` told a driver to switch off, and it kept on.
pub fn check_stayed(p: &Prepared) -> Findings {
    let mut found = Findings::default();
    switches(&p.facts, |x| !x.fixed && p.stayed.contains(&x.name), &mut found);
    found
}

fn asked(name: &str, found: &mut Findings) -> Option<Facts> {
    match Facts::of(name) {
        Ok(f) => Some(f),
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => {
            found.refuse(format!("{name}: there is no such port here; `ip -br link` lists those there are"));
            None
        }
        Err(e) => {
            found.refuse(format!("{name}: cannot be asked about: {e}; `ip -d link show dev {name}` may tell why"));
            None
        }
    }
}

/// What stands against a port, whatever it is for.
pub(super) fn port(f: &Facts, capture: Capture, found: &mut Findings) {
    let n = &f.name;
    switches(f, |x| x.fixed && (capture == Capture::AfPacket || !GRO.contains(&x.name.as_str())), found);
    if !f.up {
        found.warn(format!("{n}: is down and is brought up; `ip link set dev {n} up`"));
    } else if !f.carrier {
        found.warn(format!("{n}: has no link; see to its cable or to the other end: `ip link show dev {n}`"));
    }
    if !f.ethernet {
        found.warn(format!("{n}: is no Ethernet port; `ip -d link show dev {n}` shows what it is"));
    }
    if let Some(r) = f.rings
        && r.rx_max > r.rx
        && r.rx < RING_MIN
    {
        let more = r.rx_max.min(4096);
        found
            .warn(format!("{n}: its receive rings hold {} frames of {more} or more; `ethtool -G {n} rx {more}`", r.rx));
    }
    if f.driver.as_deref() == Some("veth") {
        found.warn(format!(
            "{n}: is virtual: its other end sends TCP without checksums, and frames longer than the MTU, unless it is \
             told not to; `ethtool -K PEER tx off tso off gso off txvlan off` there"
        ));
    }
}

/// What stands against a port by those of its features that stay on.
fn switches(f: &Facts, stays: impl Fn(&Feature) -> bool, found: &mut Findings) {
    let n = &f.name;
    let command = |feature: &str| format!("`ethtool -K {n} {} off`", ethtool_word(feature));
    for x in f.on(LRO).filter(|x| stays(x)) {
        found.refuse(format!(
            "{n}: its driver keeps LRO on, so that frames come in joined and too long to leave; {} on a driver that lets it",
            command(&x.name)
        ));
    }
    for x in f.on(VLAN_STRIP).filter(|x| stays(x)) {
        found.refuse(format!(
            "{n}: its driver takes VLAN tags out of frames and cannot be told not to ({}); {} on a driver that lets it",
            x.name,
            command(&x.name)
        ));
    }
    for x in f.on(VLAN_INSERT).chain(f.on(VLAN_FILTER)).filter(|x| stays(x)) {
        found.warn(format!("{n}: {} stays on; see that tagged frames pass; {}", x.name, command(&x.name)));
    }
    for x in f.on(GRO).filter(|x| stays(x)) {
        found.warn(format!("{n}: {} stays on: frames come in joined; {}", x.name, command(&x.name)));
    }
}

/// What stands against a port as one of a pair.
pub(super) fn member(f: &Facts, found: &mut Findings) {
    let n = &f.name;
    if let Some(master) = &f.master {
        found.refuse(format!("{n}: belongs to {master}, which takes its frames; `ip link set dev {n} nomaster`"));
    }
    for (addr, prefix) in &f.addresses {
        found.refuse(format!(
            "{n}: has the address {addr}/{prefix}, and a port of a pair is no host; `ip address del {addr}/{prefix} dev {n}`"
        ));
    }
    for (addr, prefix) in &f.own_addresses {
        found.warn(format!(
            "{n}: the kernel gave it {addr}/{prefix}, and it may speak on the wire by itself; \
             `sysctl -w net.ipv6.conf.{n}.disable_ipv6=1`"
        ));
    }
}

/// What stands against two ports together.
pub(super) fn both(a: &Facts, b: &Facts, found: &mut Findings) {
    if a.mtu != b.mtu {
        let less = if a.mtu < b.mtu { a } else { b };
        let more = a.mtu.max(b.mtu);
        found.refuse(format!(
            "{}:{}: their MTUs are {} and {}, so that frames get lost one way; `ip link set dev {} mtu {more}`",
            a.name, b.name, a.mtu, b.mtu, less.name
        ));
    }
    if a.rx_queues != b.rx_queues {
        let (more, least) = if a.rx_queues > b.rx_queues { (a, b.rx_queues) } else { (b, a.rx_queues) };
        found.warn(format!(
            "{}:{}: receive on {} and {} queues; `ethtool -L {} combined {least}` makes them alike",
            a.name, b.name, a.rx_queues, b.rx_queues, more.name
        ));
    }
}

/// What we may do, as a bit for each capability; `None` where the kernel does not tell.
fn own_capabilities() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

pub(super) fn capabilities(own: Option<u64>, capture: Capture, found: &mut Findings) {
    let Some(own) = own else {
        found.warn("what this process may do is not known; `grep Cap /proc/self/status`".into());
        return;
    };
    let mut needed = vec![(CAP_NET_ADMIN, "CAP_NET_ADMIN"), (CAP_NET_RAW, "CAP_NET_RAW")];
    if capture == Capture::AfXdp {
        // CAP_BPF would do for a program of our own, not for finding that of an instance before us.
        needed.push((CAP_SYS_ADMIN, "CAP_SYS_ADMIN"));
    }
    let has = |bit: u32| own >> bit & 1 != 0;
    let missing: Vec<&str> = needed.iter().filter(|(bit, _)| !has(*bit)).map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        let all = missing.join(" and ");
        let unit = missing.join(" ");
        found.refuse(format!("{all} missing; run as root, or with `AmbientCapabilities={unit}` in the unit"));
    }
    if capture == Capture::AfXdp && !has(CAP_IPC_LOCK) {
        found.warn("CAP_IPC_LOCK missing, which large rings may need; `ulimit -l unlimited` does as well".into());
    }
}
