//! What an operator may choose about decoding.

use super::defrag::DefragSettings;
use smallvec::SmallVec;

/// UDP ports a tunnel is looked for on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The tunnel is not decoded.
    None,
    /// Every datagram is tried, by the shape of its bytes.
    Any,
    List(SmallVec<[u16; 4]>),
}

impl Ports {
    pub fn one(port: u16) -> Self {
        Ports::List(SmallVec::from_slice(&[port]))
    }

    #[inline]
    pub fn has(&self, port: u16) -> bool {
        match self {
            Ports::None => false,
            Ports::Any => true,
            Ports::List(l) => l.contains(&port),
        }
    }
}

/// Decoder settings of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Verify network and transport checksums (`-k`); a wrong one is `flags.checksum_bad`, a counter, never an event.
    pub verify_checksums: bool,
    /// Let rules ask whether checksums are right even where they are not verified.
    pub ask_checksums: bool,
    /// Destination port of VXLAN, 4789 unless told (RFC 7348 5).
    pub vxlan: Ports,
    /// Take only VXLAN headers whose reserved bits are zero.
    pub vxlan_strict: bool,
    /// Destination port of Geneve, 6081 unless told (RFC 8926 3.3).
    pub geneve: Ports,
    /// Either port of Teredo, 3544 unless told (RFC 4380).
    pub teredo: Ports,
    pub defrag: DefragSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            verify_checksums: true,
            ask_checksums: false,
            vxlan: Ports::one(4789),
            vxlan_strict: true,
            geneve: Ports::one(6081),
            teredo: Ports::one(3544),
            defrag: DefragSettings::default(),
        }
    }
}

impl Settings {
    /// Whether datagrams between these ports may carry packets of others.
    pub fn tunnels(&self, ports: [u16; 2]) -> bool {
        let has = |p: &Ports| ports.iter().any(|n| p.has(*n));
        has(&self.vxlan) || has(&self.geneve) || has(&self.teredo)
    }

    /// Whether rules are told what checksums are, not that all are right.
    pub const fn checksums_told(&self) -> bool {
        self.verify_checksums || self.ask_checksums
    }
}
