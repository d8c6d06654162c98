//! How long a silent flow is kept, by protocol and state.

use super::{FlowCore, FlowState};
use crate::types::IpProto;
use std::time::Duration;

/// Time-outs of one protocol, each counted from the flow's last packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtoTimeouts {
    pub new: Duration,
    pub established: Duration,
    pub closed: Duration,
    pub bypassed: Duration,
}

impl ProtoTimeouts {
    /// Whole seconds for each state.
    pub const fn secs(new: u64, established: u64, closed: u64, bypassed: u64) -> Self {
        ProtoTimeouts {
            new: Duration::from_secs(new),
            established: Duration::from_secs(established),
            closed: Duration::from_secs(closed),
            bypassed: Duration::from_secs(bypassed),
        }
    }

    const fn of(&self, state: FlowState) -> Duration {
        match state {
            FlowState::New => self.new,
            FlowState::Established => self.established,
            FlowState::Closed => self.closed,
            FlowState::Bypassed => self.bypassed,
        }
    }
}

/// Time-outs of every protocol, and what the key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub tcp: ProtoTimeouts,
    pub udp: ProtoTimeouts,
    /// ICMP and ICMPv6.
    pub icmp: ProtoTimeouts,
    /// Every other protocol.
    pub other: ProtoTimeouts,
    pub key: super::KeySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            tcp: ProtoTimeouts::secs(60, 600, 60, 100),
            udp: ProtoTimeouts::secs(30, 300, 30, 100),
            icmp: ProtoTimeouts::secs(30, 300, 30, 100),
            other: ProtoTimeouts::secs(30, 300, 30, 100),
            key: super::KeySettings::default(),
        }
    }
}

impl Settings {
    /// How long `core` may stay silent in its present state.
    pub fn timeout(&self, core: &FlowCore) -> Duration {
        let by_proto = match core.tuple.proto {
            IpProto::TCP => &self.tcp,
            IpProto::UDP => &self.udp,
            IpProto::ICMP | IpProto::ICMPV6 => &self.icmp,
            _ => &self.other,
        };
        by_proto.of(core.state)
    }
}
