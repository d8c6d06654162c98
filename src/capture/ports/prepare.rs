//! Switching a port to what a bump in the wire or a tap needs.

use super::{Facts, GRO, LRO, VLAN_FILTER, VLAN_INSERT, VLAN_STRIP};
use crate::netlink::{set_promiscuous, set_up};
use crate::sys::ethtool::Ethtool;
use crate::sys::netlink::Socket;
use std::io;

/// What else is to be switched, beside what always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// GRO off: frames come through the stack (AF_PACKET), where they would be joined before we see them. With XDP in a
    /// virtual port's driver it must stay on, or nothing is delivered.
    pub gro_off: bool,
    /// The port says and hears nothing of its own: IPv6 off on it, so that it neither gives itself an address nor announces
    /// one; IPv4 deaf, so that what comes through the stack to packet sockets is not routed or answered by this machine.
    pub silent: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The port as it is afterwards.
    pub facts: Facts,
    /// What was switched, in words.
    pub changed: Vec<String>,
    /// Features that were to go off and stayed on.
    pub stayed: Vec<String>,
}

/// Turns off what joins frames and takes tags out, has the port take in every frame, and brings it up. These outlive the
/// process, as the kernel's own forwarding needs them.
pub fn prepare(name: &str, wishes: &Wishes) -> io::Result<Prepared> {
    let before = Facts::of(name)?;
    let mut changed = Vec::new();
    let gro = if wishes.gro_off { GRO } else { &[] };
    let groups = [LRO, VLAN_STRIP, VLAN_INSERT, VLAN_FILTER, gro];
    let unwanted: Vec<&str> = groups.concat();
    let switchable = before.features.iter().enumerate().filter(|(_, f)| f.on && !f.fixed);
    let off: Vec<usize> = switchable.filter(|(_, f)| unwanted.contains(&f.name.as_str())).map(|(i, _)| i).collect();
    if !off.is_empty() {
        // A driver may refuse what it says it can; that is seen below.
        let _ = Ethtool::open()?.switch_off(name, &off, before.features.len());
    }
    if wishes.silent {
        changed.extend(silence(name).map(String::from));
    }
    let socket = Socket::open(0)?;
    if !before.promiscuous {
        socket.ask(libc::RTM_NEWLINK, 0, &set_promiscuous(before.ifindex), |_, _| {})?;
        changed.push("promiscuous".into());
    }
    if !before.up {
        socket.ask(libc::RTM_NEWLINK, 0, &set_up(before.ifindex, true), |_, _| {})?;
        changed.push("up".into());
    }
    let facts = Facts::of(name)?;
    let off = before.on(&unwanted).filter(|f| facts.feature(&f.name).is_some_and(|f| !f.on));
    changed.extend(off.map(|f| format!("{} off", f.name)));
    let stayed = facts.on(&unwanted).map(|f| f.name.clone()).collect();
    Ok(Prepared { facts, changed, stayed })
}

/// Switches IPv6 off on a port, and has IPv4 answer no ARP, take nothing of no route's and route nothing. What was
/// switched. /proc/sys/net is that of the namespace of who opens it.
fn silence(name: &str) -> impl Iterator<Item = &'static str> {
    // A name holds no slash, or there would be no such port; a dot is a dot here.
    let set = |key: &str, value: &str| {
        let path = format!("/proc/sys/net/{}", key.replace('*', name));
        match std::fs::read_to_string(&path) {
            // Where /proc is read-only the port keeps its voice, of which `check_pair` warns.
            Ok(v) if v.trim() != value => std::fs::write(&path, value).is_ok(),
            // A kernel without it has nothing to switch off.
            _ => false,
        }
    };
    let six = set("ipv6/conf/*/disable_ipv6", "1");
    let four = [("forwarding", "0"), ("rp_filter", "1"), ("arp_ignore", "8")];
    let four = four.map(|(key, value)| set(&format!("ipv4/conf/*/{key}"), value)).contains(&true);
    [six.then_some("IPv6 off"), four.then_some("IPv4 deaf")].into_iter().flatten()
}
