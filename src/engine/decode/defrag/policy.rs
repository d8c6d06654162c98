//! Who wins when fragments overlap, and which host follows which rule.
//!
//! After Novak, "Target-Based Fragmentation Reassembly" (Sourcefire, 2005), whose names these are. Each byte belongs to
//! one fragment at a time, and a later fragment takes over what it shares with an earlier one or leaves it. BSD and Linux
//! hold fragments as cut by those that came since and compare with what is left (Stevens, TCP/IP Illustrated vol. 2, 10.6);
//! so do the rules here, but for the one that favours what comes later, which goes by the fragment as it came.

use std::net::IpAddr;

/// A receiver's rule for bytes that two fragments claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverlapPolicy {
    /// The fragment that came first. What an enforcing box lets a receiver see.
    First,
    /// The fragment that came last.
    Last,
    /// The earlier one, unless the later one begins before it.
    Bsd,
    /// The later one, unless it begins before the earlier one.
    BsdRight,
    /// The earlier one only if it begins before the later one.
    Linux,
    /// The earlier one, unless the later one begins before it and ends after it.
    Windows,
    /// The earlier one, unless the later one begins before it and covers it whole.
    Solaris,
}

impl OverlapPolicy {
    pub const ALL: [OverlapPolicy; 7] = [
        OverlapPolicy::First,
        OverlapPolicy::Last,
        OverlapPolicy::Bsd,
        OverlapPolicy::BsdRight,
        OverlapPolicy::Linux,
        OverlapPolicy::Windows,
        OverlapPolicy::Solaris,
    ];

    /// By a policy's own name or that of an operating system as `host-os-policy` names them.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "first" | "hpux11" | "macos" | "old-solaris" => OverlapPolicy::First,
            "last" => OverlapPolicy::Last,
            "bsd" | "irix" | "hpux10" => OverlapPolicy::Bsd,
            "bsd-right" => OverlapPolicy::BsdRight,
            "linux" | "old-linux" => OverlapPolicy::Linux,
            "windows" | "vista" | "windows2k3" => OverlapPolicy::Windows,
            "solaris" => OverlapPolicy::Solaris,
            _ => return None,
        })
    }

    /// Whether the later fragment takes the bytes it shares with the earlier one, of which `left` is left of what `came`.
    /// All as (first byte, past the last).
    #[inline]
    pub(super) const fn later_wins(self, left: (u32, u32), came: (u32, u32), later: (u32, u32)) -> bool {
        match self {
            OverlapPolicy::First => false,
            OverlapPolicy::Last => true,
            OverlapPolicy::Bsd => later.0 < left.0,
            OverlapPolicy::BsdRight => later.0 >= came.0,
            OverlapPolicy::Linux => later.0 <= left.0,
            OverlapPolicy::Windows => later.0 < left.0 && later.1 > left.1,
            OverlapPolicy::Solaris => later.0 < left.0 && later.1 >= left.1,
        }
    }
}

/// What holds for a host: the longest prefix that holds its address decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHost<T> {
    default: T,
    /// Longest first: address, prefix length, what holds there.
    nets: Vec<(IpAddr, u8, T)>,
}

/// Policy by destination address.
pub type HostPolicies = ByHost<OverlapPolicy>;

impl<T: Copy> ByHost<T> {
    /// One for every host.
    pub const fn all(default: T) -> Self {
        ByHost { default, nets: Vec::new() }
    }

    /// Adds a network; `prefix` is in bits, past the address's width it is the whole address.
    pub fn add(&mut self, net: IpAddr, prefix: u8, value: T) {
        let at = self.nets.partition_point(|(_, p, _)| *p >= prefix);
        self.nets.insert(at, (net, prefix, value));
    }

    pub fn of(&self, host: IpAddr) -> T {
        let found = self.nets.iter().find(|(net, prefix, _)| within(host, *net, *prefix));
        found.map_or(self.default, |(_, _, value)| *value)
    }
}

fn within(host: IpAddr, net: IpAddr, prefix: u8) -> bool {
    match (host, net) {
        (IpAddr::V4(h), IpAddr::V4(n)) => {
            let differ = h.to_bits() ^ n.to_bits();
            differ.checked_shr(32u32.saturating_sub(u32::from(prefix))).unwrap_or(0) == 0
        }
        (IpAddr::V6(h), IpAddr::V6(n)) => {
            let differ = h.to_bits() ^ n.to_bits();
            differ.checked_shr(128u32.saturating_sub(u32::from(prefix))).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_prefix_decides() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        let mut h = HostPolicies::all(OverlapPolicy::First);
        h.add(ip("10.0.0.0"), 8, OverlapPolicy::Linux);
        h.add(ip("10.1.2.3"), 32, OverlapPolicy::Solaris);
        h.add(ip("10.1.0.0"), 16, OverlapPolicy::Bsd);
        h.add(ip("2001:db8::"), 32, OverlapPolicy::Last);
        assert_eq!(h.of(ip("10.1.2.3")), OverlapPolicy::Solaris);
        assert_eq!(h.of(ip("10.1.2.4")), OverlapPolicy::Bsd);
        assert_eq!(h.of(ip("10.9.2.4")), OverlapPolicy::Linux);
        assert_eq!(h.of(ip("11.9.2.4")), OverlapPolicy::First);
        assert_eq!(h.of(ip("2001:db8:1::1")), OverlapPolicy::Last);
        assert_eq!(h.of(ip("2001:db9::1")), OverlapPolicy::First);
        h.add(ip("0.0.0.0"), 0, OverlapPolicy::Windows);
        assert_eq!(h.of(ip("11.9.2.4")), OverlapPolicy::Windows);
    }

    #[test]
    fn every_policy_has_a_name() {
        for name in ["first", "last", "bsd", "bsd-right", "linux", "windows", "solaris"] {
            assert!(OverlapPolicy::parse(name).is_some(), "{name}");
        }
        assert_eq!(OverlapPolicy::parse("beos"), None);
    }
}
