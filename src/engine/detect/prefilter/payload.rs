//! Groups of rules that look at packets and streams: by transport, direction, and port.
//!
//! Each transport and direction has a group of the rules that name no port (or too many), and one per class of ports
//! that rules name; a packet meets at most three groups: the first, its destination port's, its source port's. Ports
//! that the same rules name share a group. A flow looks its groups up once.

use super::patterns::{PatternGroup, SetBuilder};
use crate::applayer::Vocabulary;
use crate::decode::{L4, Packet};
use crate::detect::compile::{Class, Compiled};
use crate::detect::matching::MatcherError;
use crate::detect::signature::{PortSet, RuleProto, SigIdx};
use crate::types::{Direction, IpProto};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// A rule that names more ports than this is filed as if it named none; inspection refuses it by port.
const PORTS_MAX: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    Icmp,
    Sctp,
    /// IP without a transport we know.
    OtherIp,
    /// No IP header.
    NoIp,
}

impl Transport {
    const COUNT: usize = 6;
    const ALL: [Transport; Self::COUNT] =
        [Transport::Tcp, Transport::Udp, Transport::Icmp, Transport::Sctp, Transport::OtherIp, Transport::NoIp];

    pub(crate) fn of(p: &Packet<'_>) -> Transport {
        match p.l4 {
            L4::Tcp(_) => Transport::Tcp,
            L4::Udp { .. } => Transport::Udp,
            L4::Icmp4 { .. } | L4::Icmp6 { .. } => Transport::Icmp,
            L4::Sctp { .. } => Transport::Sctp,
            // The transport's own header is not there: a fragment's is in another one, a broken one's does not hold. What
            // stands in for a packet when a flow ends has no header at all, but names the flow's transport.
            L4::None | L4::Other => match p.tuple.proto {
                IpProto::TCP => Transport::Tcp,
                IpProto::UDP => Transport::Udp,
                IpProto::ICMP if p.src().is_ipv4() => Transport::Icmp,
                IpProto::ICMPV6 if p.src().is_ipv6() => Transport::Icmp,
                IpProto::SCTP => Transport::Sctp,
                _ if p.ip.is_some() => Transport::OtherIp,
                _ => Transport::NoIp,
            },
        }
    }

    fn admits(self, proto: &RuleProto, vocabulary: &Vocabulary) -> bool {
        match proto {
            RuleProto::Ip | RuleProto::Ipv4 | RuleProto::Ipv6 => self != Transport::NoIp,
            RuleProto::Tcp | RuleProto::TcpPkt | RuleProto::TcpStream => self == Transport::Tcp,
            RuleProto::Udp => self == Transport::Udp,
            RuleProto::Icmp | RuleProto::Icmpv4 | RuleProto::Icmpv6 => self == Transport::Icmp,
            RuleProto::Sctp => self == Transport::Sctp,
            RuleProto::PktHdr => true,
            RuleProto::Ether | RuleProto::Arp => true,
            RuleProto::App(id) => vocabulary
                .proto_def(*id)
                .is_none_or(|p| (self == Transport::Tcp && p.tcp) || (self == Transport::Udp && p.udp)),
            RuleProto::Unparsed(_) => false,
        }
    }
}

/// Rules of one group.
#[derive(Default)]
pub(crate) struct Group {
    pub patterns: PatternGroup,
    /// Rules without a fast pattern: inspected for every packet of the group.
    pub plain: Vec<SigIdx>,
    /// Some pattern's rule sees single packets.
    pub in_packet: bool,
    /// Some pattern's rule sees the stream.
    pub in_stream: bool,
}

#[derive(Default)]
pub(crate) struct PayloadGroups {
    groups: Vec<Group>,
    /// By transport and direction.
    any: Vec<[Option<u16>; 2]>,
    /// Port to group, sorted; by transport and direction.
    dst: Vec<[Vec<(u16, u16)>; 2]>,
    src: Vec<[Vec<(u16, u16)>; 2]>,
}

/// Group numbers of one packet.
pub(crate) type GroupList = SmallVec<[u16; 3]>;

impl PayloadGroups {
    /// `by_address`: rules that the address table serves.
    pub(crate) fn build(
        sigs: &[Compiled],
        vocabulary: &Vocabulary,
        by_address: &[bool],
        builder: &mut SetBuilder<'_, '_>,
    ) -> Result<PayloadGroups, MatcherError> {
        let mut all = PayloadGroups::default();
        let mut shared: BTreeMap<Vec<SigIdx>, u16> = BTreeMap::new();
        for t in Transport::ALL {
            let mut any = [None, None];
            let mut dst = [Vec::new(), Vec::new()];
            let mut src = [Vec::new(), Vec::new()];
            for d in Direction::BOTH {
                let mut filed = Filed::default();
                for (i, c) in sigs.iter().enumerate() {
                    let here = c.dirs[d as usize] && t.admits(&c.sig.header.proto, vocabulary);
                    let mine = !matches!(c.class, Class::Tx | Class::Event | Class::IpOnly)
                        && by_address.get(i) != Some(&true);
                    if here && mine {
                        filed.file(SigIdx(i as u32), c);
                    }
                }
                any[d as usize] = all.group(filed.any, sigs, &mut shared, builder)?;
                for (ports, out) in [(filed.dst, &mut dst), (filed.src, &mut src)] {
                    for (port, list) in ports {
                        if let Some(g) = all.group(list, sigs, &mut shared, builder)? {
                            out[d as usize].push((port, g));
                        }
                    }
                }
            }
            all.any.push(any);
            all.dst.push(dst);
            all.src.push(src);
        }
        Ok(all)
    }

    fn group(
        &mut self,
        list: Vec<SigIdx>,
        sigs: &[Compiled],
        shared: &mut BTreeMap<Vec<SigIdx>, u16>,
        builder: &mut SetBuilder<'_, '_>,
    ) -> Result<Option<u16>, MatcherError> {
        if list.is_empty() {
            return Ok(None);
        }
        if let Some(g) = shared.get(&list) {
            return Ok(Some(*g));
        }
        let mut wanted = Vec::new();
        let mut group = Group::default();
        for idx in &list {
            let Some(c) = sigs.get(idx.0 as usize) else { continue };
            match (c.fast, c.fast_content()) {
                // Transforms move bytes, so their rules are inspected without a prefilter here.
                (Some((b, _)), Some(content)) if c.buffers.get(b).is_some_and(|a| a.chain.0 == 0) => {
                    wanted.push((*idx, content));
                    group.in_packet |= c.flags.in_packet;
                    group.in_stream |= c.flags.in_stream;
                }
                _ => group.plain.push(*idx),
            }
        }
        group.patterns = builder.group(&wanted, true)?;
        let Ok(n) = u16::try_from(self.groups.len()) else {
            return Err(MatcherError("more than 65,535 groups of payload rules".into()));
        };
        self.groups.push(group);
        shared.insert(list, n);
        Ok(Some(n))
    }

    pub(crate) fn of(&self, n: u16) -> Option<&Group> {
        self.groups.get(usize::from(n))
    }

    /// The groups of a packet; without a direction those of both.
    pub(crate) fn find(&self, t: Transport, dir: Option<Direction>, sport: u16, dport: u16, out: &mut GroupList) {
        out.clear();
        let i = t as usize;
        for d in Direction::BOTH.into_iter().filter(|d| dir.is_none_or(|x| x == *d)) {
            let any = self.any.get(i).and_then(|a| a[d as usize]);
            let dst = self.dst.get(i).and_then(|m| by_port(&m[d as usize], dport));
            let src = self.src.get(i).and_then(|m| by_port(&m[d as usize], sport));
            for g in [any, dst, src].into_iter().flatten() {
                if !out.contains(&g) {
                    out.push(g);
                }
            }
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.groups.iter().map(|g| g.patterns.memory()).sum()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &Group)> {
        self.groups.iter().enumerate()
    }

    /// All groups a rule is in.
    pub(crate) fn groups_of(&self, sig: SigIdx) -> Vec<(u16, &Group)> {
        self.groups
            .iter()
            .enumerate()
            .filter(|(_, g)| g.plain.contains(&sig) || g.patterns.serves(sig))
            .map(|(i, g)| (i as u16, g))
            .collect()
    }
}

fn by_port(map: &[(u16, u16)], port: u16) -> Option<u16> {
    map.binary_search_by_key(&port, |e| e.0).ok().and_then(|i| map.get(i)).map(|e| e.1)
}

/// Rules on their way into groups.
#[derive(Default)]
struct Filed {
    any: Vec<SigIdx>,
    dst: BTreeMap<u16, Vec<SigIdx>>,
    src: BTreeMap<u16, Vec<SigIdx>>,
}

impl Filed {
    fn file(&mut self, idx: SigIdx, c: &Compiled) {
        let h = &c.sig.header;
        let (ports, by) = match (narrow(&h.dport), narrow(&h.sport)) {
            _ if h.bidirectional => return self.any.push(idx),
            (true, _) => (&h.dport, &mut self.dst),
            (false, true) => (&h.sport, &mut self.src),
            (false, false) => return self.any.push(idx),
        };
        for (lo, hi) in &ports.0 {
            for port in *lo..=*hi {
                by.entry(port).or_default().push(idx);
            }
        }
    }
}

fn narrow(p: &PortSet) -> bool {
    p.0.iter().map(|r| u32::from(r.1.saturating_sub(r.0)) + 1).sum::<u32>() <= PORTS_MAX
}
