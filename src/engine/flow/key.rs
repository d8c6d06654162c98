//! The identity of a flow, the same seen from either end, and its keyed hash.
//!
//! The key holds the innermost addresses, ports and protocol, the VLAN stack, the depth of tunnels and the port pair of
//! the box (a routed flow may cross the box twice; each is switchable). ICMP has no ports: a request type and its reply type take their place,
//! so echo and echo reply meet in one flow. An ICMP (v4) error that quotes the packet it answers belongs to that
//! packet's flow and never begins one of its own.

use crate::decode::{L4, Packet};
use crate::types::{FiveTuple, IpProto};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::net::IpAddr;

/// What tells flows apart besides addresses, ports and protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// Equal tuples on different VLAN stacks are different flows.
    pub vlan: bool,
    /// Equal tuples on different port pairs (ports 0 and 1, 2 and 3, …) are different flows.
    pub port_pair: bool,
    /// Equal tuples in tunnels of different depth are different flows.
    pub depth: bool,
}

impl Default for KeySettings {
    fn default() -> Self {
        KeySettings { vlan: true, port_pair: true, depth: true }
    }
}

/// A flow's identity: both ends in a fixed order, so that both directions give the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The lesser end, then the greater.
    addrs: [[u8; 16]; 2],
    ports: [u16; 2],
    vlan: [u16; 3],
    pair: u16,
    proto: u8,
    v6: bool,
    depth: u8,
}

/// A packet's key with its hash, made ahead of the lookup so that a batch can be hashed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    pub key: FlowKey,
    pub hash: u64,
    /// The packet's source is the key's lesser end.
    pub from_lesser: bool,
    /// The packet may begin a flow; an ICMP error may not.
    pub may_begin: bool,
}

/// Makes keys and hashes under one seed.
#[derive(Clone, Copy, Debug)]
pub struct Keyer {
    seed: [u64; 2],
    settings: KeySettings,
}

impl Keyer {
    /// `seed` is random live and fixed in replay.
    pub const fn new(seed: [u64; 2], settings: KeySettings) -> Self {
        Keyer { seed, settings }
    }

    /// `None` for packets that belong to no flow: no IP, a fragment not yet whole, headers that do not hold together,
    /// protocols followed as single packets.
    pub fn keyed(&self, packet: &Packet<'_>) -> Option<Keyed> {
        packet.ip.as_ref()?;
        if packet.flags.fragment || packet.flags.invalid {
            return None;
        }
        let t = &packet.tuple;
        let (tuple, may_begin) = match &packet.l4 {
            L4::Tcp(_) | L4::Udp { .. } | L4::Sctp { .. } => (*t, true),
            L4::Icmp4 { kind, embedded, .. } if icmp4_is_error(*kind) => (quoted(t, *embedded)?, false),
            L4::Icmp4 { kind, code, .. } => (icmp_tuple(t, *kind, *code, icmp4_counterpart(*kind)), true),
            L4::Icmp6 { kind, code, .. } => (icmp_tuple(t, *kind, *code, icmp6_counterpart(*kind)), true),
            L4::Igmp { .. } => return None,
            L4::Other | L4::None => match t.proto {
                IpProto::ESP | IpProto::IPV6 | IpProto::IPIP => (FiveTuple { sport: 0, dport: 0, ..*t }, true),
                _ => return None,
            },
        };
        let (mut key, mut from_lesser) = FlowKey::new(&tuple);
        if !may_begin {
            // An error goes back to the sender of the packet it quotes, whoever on the way sends it.
            from_lesser = !from_lesser;
        }
        if self.settings.vlan {
            key.vlan = packet.vlan.ids;
        }
        if self.settings.depth {
            key.depth = packet.depth;
        }
        if self.settings.port_pair {
            key.pair = packet.port.0 >> 1;
        }
        Some(Keyed { hash: self.hash(&key), key, from_lesser, may_begin })
    }

    fn hash(&self, key: &FlowKey) -> u64 {
        self.hasher().hash(&key.bytes())
    }

    /// 53 bits, never zero (a JSON number holds it exactly), from the seed, the key and the flow's first packet number.
    pub(super) fn flow_id(&self, key: &FlowKey, first_packet: u64) -> u64 {
        let mut h = self.hasher();
        h.write(&key.bytes());
        h.write_u64(first_packet);
        (h.finish() >> 11).max(1)
    }

    fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.seed[0], self.seed[1])
    }
}

impl FlowKey {
    /// The key of a tuple without VLAN and port pair, and whether the tuple's source is its lesser end.
    fn new(t: &FiveTuple) -> (FlowKey, bool) {
        let (src, v6) = addr_bytes(t.src);
        let (dst, _) = addr_bytes(t.dst);
        let from_lesser = (src, t.sport) <= (dst, t.dport);
        let (addrs, ports) =
            if from_lesser { ([src, dst], [t.sport, t.dport]) } else { ([dst, src], [t.dport, t.sport]) };
        (FlowKey { addrs, ports, vlan: [0; 3], pair: 0, proto: t.proto.0, v6, depth: 0 }, from_lesser)
    }

    /// Both ends are the same address and port: direction cannot be told.
    pub(super) fn is_loop(&self) -> bool {
        self.addrs[0] == self.addrs[1] && self.ports[0] == self.ports[1]
    }

    /// All of it in one piece, which hashes faster than its parts.
    fn bytes(&self) -> [u8; 48] {
        let ports = u64::from(self.ports[0]) << 48 | u64::from(self.ports[1]) << 32;
        let ports = ports | u64::from(self.pair) << 16 | u64::from(self.proto) << 8 | u64::from(self.v6);
        let vlan = u64::from(self.depth) << 48
            | u64::from(self.vlan[0]) << 32
            | u64::from(self.vlan[1]) << 16
            | u64::from(self.vlan[2]);
        let mut all = [0; 48];
        all[..16].copy_from_slice(&self.addrs[0]);
        all[16..32].copy_from_slice(&self.addrs[1]);
        all[32..40].copy_from_slice(&ports.to_le_bytes());
        all[40..].copy_from_slice(&vlan.to_le_bytes());
        all
    }
}

/// Hash of a pair of addresses under `seed`, the same both ways: what divides frames among workers. Keyed, so that nobody
/// outside can choose addresses that meet on one.
pub fn pair_hash(seed: [u64; 2], a: IpAddr, b: IpAddr) -> u64 {
    let mut h = SipHasher13::new_with_keys(seed[0], seed[1]);
    for ip in [a.min(b), a.max(b)] {
        let (bytes, v6) = addr_bytes(ip);
        h.write(&bytes);
        h.write_u8(v6.into());
    }
    h.finish()
}

fn addr_bytes(a: IpAddr) -> ([u8; 16], bool) {
    match a {
        IpAddr::V4(v4) => {
            let mut b = [0; 16];
            b[..4].copy_from_slice(&v4.octets());
            (b, false)
        }
        IpAddr::V6(v6) => (v6.octets(), true),
    }
}

/// The flow an error speaks of: the quoted packet's, where enough was quoted; else none.
fn quoted(outer: &FiveTuple, embedded: Option<FiveTuple>) -> Option<FiveTuple> {
    let e = embedded?;
    let same_family = e.src.is_ipv4() == outer.src.is_ipv4();
    (same_family && matches!(e.proto, IpProto::TCP | IpProto::UDP | IpProto::SCTP)).then_some(e)
}

fn icmp_tuple(t: &FiveTuple, kind: u8, code: u8, counterpart: Option<u8>) -> FiveTuple {
    // Kinds without a reply keep their code, in a range no counterpart uses.
    let dport = counterpart.map_or(0x100 | u16::from(code), u16::from);
    FiveTuple { sport: u16::from(kind), dport, ..*t }
}

/// Destination unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792).
const fn icmp4_is_error(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// Request and reply kinds: echo, router solicitation/advertisement, timestamp, information, mask (RFC 792, 950, 1256).
const fn icmp4_counterpart(kind: u8) -> Option<u8> {
    Some(match kind {
        0 => 8,
        8 => 0,
        10 => 9,
        9 => 10,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        17 => 18,
        18 => 17,
        _ => return None,
    })
}

/// Echo, multicast listener, router and neighbour discovery, node information (RFC 4443, 2710, 4861, 4620).
const fn icmp6_counterpart(kind: u8) -> Option<u8> {
    Some(match kind {
        128 => 129,
        129 => 128,
        133 => 134,
        134 => 133,
        135 => 136,
        136 => 135,
        139 => 140,
        140 => 139,
        144 => 145,
        145 => 144,
        _ => return None,
    })
}
