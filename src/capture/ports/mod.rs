//! Ports of this machine: what the kernel and their drivers say of them, whether two can be a bump in the wire, and what
//! has to be switched for that.
//!
//! All of it is asked of the process's own network namespace, by rtnetlink and by the ioctl of ethtool; /sys may show
//! another one's.

mod check;
mod prepare;
#[cfg(test)]
pub(crate) mod tests;

pub use crate::sys::ethtool::{Channels, Feature, Rings};
pub use check::{Capture, Findings, check_pair, check_stayed, check_tap};
pub use prepare::{Prepared, Wishes, prepare};

use crate::netlink::{Address, Link, link_named};
use crate::sys::ethtool::Ethtool;
use crate::sys::netlink::Socket;
use crate::xdp::Port;
use std::io;
use std::net::IpAddr;

/// Drivers of cards that have `ndo_xdp_xmit` (Linux 6.1). veth has it too, but delivers only to a peer that polls.
const REDIRECTING: [&str; 16] = [
    "bnxt_en",
    "ena",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "qede",
    "sfc",
    "virtio_net",
];

/// A port, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub name: String,
    pub ifindex: u32,
    pub mac: Option<[u8; 6]>,
    pub mtu: u32,
    pub ethernet: bool,
    /// Administratively.
    pub up: bool,
    /// The wire is there; never known of a port that is down.
    pub carrier: bool,
    pub promiscuous: bool,
    /// The name of the bridge, bond or the like that it belongs to.
    pub master: Option<String>,
    /// Given by somebody, with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// IPv6 link-locals that the kernel gave it by itself.
    pub own_addresses: Vec<(IpAddr, u8)>,
    /// `None` where the driver does not say, as below.
    pub driver: Option<String>,
    /// Queues that receive; at least 1.
    pub rx_queues: u32,
    pub rings: Option<Rings>,
    /// In the kernel's numbering.
    pub features: Vec<Feature>,
}

impl Facts {
    /// Asks for a port by its name. The error `ENODEV` says that there is none.
    pub fn of(name: &str) -> io::Result<Facts> {
        if name.is_empty() || name.len() >= libc::IFNAMSIZ {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        let socket = Socket::open(0)?;
        let link = link_of(&socket, &link_named(name))?;
        let ethtool = Ethtool::open()?;
        let mut facts = Facts {
            name: name.into(),
            ifindex: link.ifindex,
            mac: link.mac,
            mtu: link.mtu,
            ethernet: link.hardware == libc::ARPHRD_ETHER,
            up: link.up(),
            carrier: link.carrier(),
            promiscuous: link.promiscuous(),
            driver: ethtool.driver(name).ok().or_else(|| link.kind.clone()),
            rings: ethtool.rings(name).ok(),
            features: ethtool.features(name).unwrap_or_default(),
            ..Facts::default()
        };
        facts.rx_queues = rx_queues(&ethtool, &link).max(1);
        if let Some(master) = link.master {
            let about = crate::netlink::about_link(master, 0, 0);
            let named = link_of(&socket, &about).map(|l| l.name);
            // One in another namespace has no name here.
            facts.master = Some(named.unwrap_or_else(|_| format!("interface {master}")));
        }
        socket.ask(libc::RTM_GETADDR, libc::NLM_F_DUMP as u16, &[0; 8], |kind, body| {
            let address = (kind == libc::RTM_NEWADDR).then(|| Address::of(body)).flatten();
            let Some(a) = address.filter(|a| a.ifindex == link.ifindex) else { return };
            let to = if a.of_itself(link.mac) { &mut facts.own_addresses } else { &mut facts.addresses };
            to.push((a.addr, a.prefix));
        })?;
        Ok(facts)
    }

    /// Whether an XDP program in its driver can send frames out of another such port, and be sent some. Others run programs
    /// there too, and lose what is sent to them.
    pub fn redirects(&self) -> bool {
        self.driver.as_deref().is_some_and(|d| REDIRECTING.contains(&d))
    }

    /// As one of a pair.
    pub fn port(&self) -> Port {
        Port { name: self.name.clone(), ifindex: self.ifindex }
    }

    pub fn feature(&self, name: &str) -> Option<&Feature> {
        self.features.iter().find(|f| f.name == name)
    }

    /// Those of `names` that are on.
    pub fn on<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Feature> {
        names.iter().filter_map(|n| self.feature(n)).filter(|f| f.on)
    }
}

/// Whether a port is still the one of its name. Where that cannot be asked, it is.
pub fn is_there(port: &Port) -> bool {
    match Socket::open(0).and_then(|socket| link_of(&socket, &link_named(&port.name))) {
        Ok(link) => link.ifindex == port.ifindex,
        Err(e) => e.raw_os_error() != Some(libc::ENODEV),
    }
}

fn link_of(socket: &Socket, question: &[u8]) -> io::Result<Link> {
    let mut link = None;
    socket.ask(libc::RTM_GETLINK, 0, question, |kind, body| {
        if kind == libc::RTM_NEWLINK {
            link = Link::of(body);
        }
    })?;
    link.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}

/// Queues that receive, as the driver says; else as the kernel made room for; else as /sys shows.
fn rx_queues(ethtool: &Ethtool, link: &Link) -> u32 {
    if let Ok(c) = ethtool.channels(&link.name)
        && c.rx + c.combined > 0
    {
        return c.rx + c.combined;
    }
    link.rx_queues.unwrap_or_else(|| {
        let queues = std::fs::read_dir(format!("/sys/class/net/{}/queues", link.name));
        let rx = |e: &std::fs::DirEntry| e.file_name().to_string_lossy().starts_with("rx-");
        queues.map_or(1, |all| all.flatten().filter(rx).count() as u32)
    })
}

/// Joins segments in the card: what arrives is not what was on the wire, and longer than may leave.
pub const LRO: &[&str] = &["rx-lro"];
/// The same, done so that it can be undone.
pub const GRO: &[&str] = &["rx-gro", "rx-gro-hw", "rx-gro-list", "rx-udp-gro-forwarding"];
/// Takes tags out of received frames.
pub const VLAN_STRIP: &[&str] = &["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];
/// Puts tags into sent frames.
pub const VLAN_INSERT: &[&str] = &["tx-vlan-hw-insert", "tx-vlan-stag-hw-insert"];
/// Drops tagged frames of VLANs that nobody here has.
pub const VLAN_FILTER: &[&str] = &["rx-vlan-filter", "rx-vlan-stag-filter"];

/// What ethtool(8) calls a feature on its command line, where that is another word than the kernel's.
pub fn ethtool_word(feature: &str) -> &str {
    match feature {
        "rx-lro" => "lro",
        "rx-gro" => "gro",
        "rx-vlan-hw-parse" => "rxvlan",
        "tx-vlan-hw-insert" => "txvlan",
        other => other,
    }
}
