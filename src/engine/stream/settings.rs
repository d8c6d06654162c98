//! What the operator decides about TCP.

use std::net::IpAddr;

/// How a receiver treats overlapping segments, urgent data and resets, by its operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OsPolicy {
    #[default]
    Bsd,
    Windows,
    Windows2k3,
    Vista,
    OldLinux,
    Linux,
    Solaris,
    Hpux10,
    Hpux11,
    Irix,
    MacOs,
    First,
    Last,
}

impl OsPolicy {
    /// Policies by the names configurations use.
    pub const NAMES: [(&'static str, OsPolicy); 15] = [
        ("bsd", OsPolicy::Bsd),
        ("bsd-right", OsPolicy::Bsd),
        ("windows", OsPolicy::Windows),
        ("windows2k3", OsPolicy::Windows2k3),
        ("vista", OsPolicy::Vista),
        ("old-linux", OsPolicy::OldLinux),
        ("old_linux", OsPolicy::OldLinux),
        ("linux", OsPolicy::Linux),
        ("solaris", OsPolicy::Solaris),
        ("hpux10", OsPolicy::Hpux10),
        ("hpux11", OsPolicy::Hpux11),
        ("irix", OsPolicy::Irix),
        ("macos", OsPolicy::MacOs),
        ("first", OsPolicy::First),
        ("last", OsPolicy::Last),
    ];

    pub fn parse(word: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(word)).map(|(_, p)| *p)
    }
}

/// What becomes of urgent data, which receivers disagree about (RFC 6093).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UrgentPolicy {
    /// The urgent pointer is ignored.
    Inline,
    /// The segment is dropped before it reaches the stream.
    Drop,
    /// The last urgent byte is out of band: it takes a sequence number but no place in the stream (RFC 6093, 3.1).
    #[default]
    OutOfBand,
    /// The last urgent byte is left out and leaves a gap.
    Gap,
}

impl UrgentPolicy {
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "inline" => UrgentPolicy::Inline,
            "drop" => UrgentPolicy::Drop,
            "oob" => UrgentPolicy::OutOfBand,
            "gap" => UrgentPolicy::Gap,
            _ => return None,
        })
    }
}

/// Receivers in `net`/`prefix` follow `policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyNet {
    pub net: IpAddr,
    pub prefix: u8,
    pub policy: OsPolicy,
}

impl PolicyNet {
    fn contains(&self, ip: IpAddr) -> bool {
        let (a, b, bits) = match (self.net, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()) << 96, u128::from(b.to_bits()) << 96, 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let len = u32::from(self.prefix.min(bits));
        len == 0 || (a ^ b) >> (128 - len) == 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Follow sessions whose beginning was not seen.
    pub midstream: bool,
    /// Follow sessions of which only one direction is seen.
    pub async_oneside: bool,
    /// Read streams as they pass, not as their receiver acknowledged them, also where nothing is held back. Enforcing, it
    /// is always so.
    pub inline: bool,
    pub urgent: UrgentPolicy,
    /// What replaces `OutOfBand` once a direction has had 65,536 such bytes; not `OutOfBand` itself.
    pub urgent_limit: UrgentPolicy,
    /// Policy of receivers that `policies` does not name; the longest prefix in `policies` decides.
    pub policy: OsPolicy,
    pub policies: Vec<PolicyNet>,
    /// Bytes of a direction that are reassembled; 0 is no bound.
    pub depth: u64,
    /// The depth ends every application layer; else those that tell transactions apart go on past it.
    pub depth_ends_all: bool,
    /// Out-of-order pieces held per direction.
    pub segments_max: usize,
    /// Bytes already inspected that a raw view reaches back over.
    pub raw_overlap: usize,
    /// Raw stream inspection is wanted at all.
    pub raw: bool,
    /// A session that reached the depth is followed no more.
    pub bypass: bool,
    /// Timestamps one older than the latest are taken, as Linux takes them, and a SYN/ACK may have one unasked.
    pub liberal_timestamps: bool,
    /// Different SYNs a client may send after its first before one is answered; more have the event `3whs_syn_flood`, and
    /// the last one counts.
    pub syn_max: u8,
    /// Different SYN/ACKs a server may send before one is answered; past it `3whs_synack_flood`.
    pub synack_max: u8,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = crate::types::Limits::default();
        Settings {
            midstream: false,
            async_oneside: false,
            inline: false,
            urgent: UrgentPolicy::OutOfBand,
            urgent_limit: UrgentPolicy::Drop,
            policy: OsPolicy::Bsd,
            policies: Vec::new(),
            depth: limits.stream_depth,
            depth_ends_all: false,
            segments_max: limits.stream_segments_max,
            raw_overlap: 4096,
            raw: true,
            bypass: false,
            liberal_timestamps: false,
            syn_max: 10,
            synack_max: 5,
        }
    }
}

impl Settings {
    /// The policy of a receiver.
    pub fn policy_of(&self, receiver: IpAddr) -> OsPolicy {
        self.policies.iter().filter(|n| n.contains(receiver)).max_by_key(|n| n.prefix).map_or(self.policy, |n| n.policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_prefix_decides() {
        let net = |a: [u8; 4], prefix, policy| PolicyNet { net: IpAddr::from(a), prefix, policy };
        let s = Settings {
            policies: vec![net([10, 0, 0, 0], 8, OsPolicy::Linux), net([10, 1, 0, 0], 16, OsPolicy::Solaris)],
            ..Settings::default()
        };
        assert_eq!(s.policy_of(IpAddr::from([10, 1, 2, 3])), OsPolicy::Solaris);
        assert_eq!(s.policy_of(IpAddr::from([10, 2, 2, 3])), OsPolicy::Linux);
        assert_eq!(s.policy_of(IpAddr::from([11, 2, 2, 3])), OsPolicy::Bsd);
        assert_eq!(OsPolicy::parse("hpux11"), Some(OsPolicy::Hpux11));
    }
}
