//! Groups of rules that look at packets and streams: by transport, direction, and port.
//!
//! Each transport and direction has a group of the rules that name no port (or too many), and one per class of ports
//! that rules name; a packet meets at most three groups: the first, its destination port's, its source port's. Ports
//! that the same rules name share a group. A flow looks its groups up once.
//!
//! Watching, a byte is seen in its packet and again, once acknowledged, in the stream. So a group has a set for each,
//! and beside them a table of patterns that rules bind to one place: of the 966 rules that any TCP packet to a server
//! meets, 600 look at one place alone and 360 anywhere in the stream, but only 105 anywhere in a packet.

use super::patterns::{PatternGroup, SetBuilder};
use super::places::{Places, Views};
use crate::applayer::Vocabulary;
use crate::decode::{L4, Packet};
use crate::detect::compile::{Class, Compiled};
use crate::detect::matching::MatcherError;
use crate::detect::signature::{PortSet, RuleProto, SigIdx};
use crate::types::{Direction, IpProto};
use std::collections::BTreeMap;

/// A rule that names more ports than this is filed as if it named none; inspection refuses it by port.
const PORTS_MAX: u32 = 32;
/// Ports that carry most of what a network carries. Their rules stand in one group with those of any port, so that a
/// packet enters one matcher and not two; for each port that rules name, memory would pay for it.
const BUSY: [u16; 5] = [25, 53, 80, 443, 445];

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
            L4::Igmp { .. } => Transport::OtherIp,
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
            RuleProto::Igmp => self == Transport::OtherIp,
            RuleProto::PktHdr => true,
            RuleProto::Ether | RuleProto::Arp => true,
            RuleProto::App(id) => vocabulary
                .proto_def(*id)
                .is_none_or(|p| (self == Transport::Tcp && p.tcp) || (self == Transport::Udp && p.udp)),
            RuleProto::Unparsed(_) => false,
        }
    }
}

/// Rules of one group. A rule that sees packets and the stream has its pattern searched in both.
#[derive(Default)]
pub(crate) struct Group {
    /// Patterns that can stand in one place alone, of packet or stream.
    pub placed: Places,
    /// Patterns anywhere in a packet, of rules that see packets.
    pub packet: PatternGroup,
    /// Patterns anywhere in the stream, of rules that see it, and in packets that the stream did not take.
    pub stream: PatternGroup,
    /// Rules without a fast pattern: inspected for every packet of the group.
    pub plain: Vec<SigIdx>,
}

impl Group {
    /// The sets, in packets and in the stream.
    pub(crate) fn sets(&self) -> [&PatternGroup; 2] {
        [&self.packet, &self.stream]
    }

    fn serves(&self, sig: SigIdx) -> bool {
        self.plain.contains(&sig) || self.placed.serves(sig) || self.sets().iter().any(|p| p.serves(sig))
    }

    fn memory(&self) -> usize {
        self.placed.memory() + self.sets().iter().map(|p| p.memory()).sum::<usize>()
    }
}

#[derive(Default)]
pub(crate) struct PayloadGroups {
    groups: Vec<Group>,
    /// By transport and direction.
    any: Vec<[Option<u16>; 2]>,
    /// Sorted by port; by transport and direction.
    dst: Vec<[Vec<OfPort>; 2]>,
    src: Vec<[Vec<OfPort>; 2]>,
}

/// The group of a port.
#[derive(Clone, Copy)]
struct OfPort {
    port: u16,
    group: u16,
    /// The rules of any port are in it too.
    whole: bool,
}

/// Group numbers of one packet: three of each direction at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GroupList {
    groups: [u16; 6],
    len: u8,
}

impl GroupList {
    fn push(&mut self, group: u16) {
        if let Some(slot) = self.groups.get_mut(usize::from(self.len)) {
            *slot = group;
            self.len += 1;
        }
    }

    pub(crate) fn as_slice(&self) -> &[u16] {
        self.groups.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl PayloadGroups {
    /// `by_address`: rules that the address table serves.
    pub(crate) fn build(
        sigs: &[Compiled],
        vocabulary: &Vocabulary,
        by_address: &[bool],
        builder: &mut SetBuilder<'_, '_>,
    ) -> Result<PayloadGroups, MatcherError> {
        let mut all = PayloadGroups::default();
        let mut shared = BTreeMap::new();
        for t in Transport::ALL {
            let mut any = [None, None];
            let mut dst = [Vec::new(), Vec::new()];
            let mut src = [Vec::new(), Vec::new()];
            for d in Direction::BOTH {
                let mut filed = Filed::default();
                for (i, c) in sigs.iter().enumerate() {
                    let here = c.dirs[d as usize] && t.admits(&c.sig.header.proto, vocabulary);
                    let mine = !matches!(c.class, Class::Tx | Class::Frame | Class::Event | Class::IpOnly)
                        && by_address.get(i) != Some(&true);
                    if here && mine {
                        filed.file(SigIdx(i as u32), c);
                    }
                }
                // A server's port is where clients send to, and what servers send from.
                let served = if d == Direction::ToServer { &mut filed.dst } else { &mut filed.src };
                for port in BUSY {
                    if let Some(list) = served.get_mut(&port) {
                        list.extend_from_slice(&filed.any);
                        list.sort_unstable();
                    }
                }
                any[d as usize] = all.group(t, filed.any, sigs, &mut shared, builder)?;
                let sides =
                    [(filed.dst, &mut dst, d == Direction::ToServer), (filed.src, &mut src, d == Direction::ToClient)];
                for (ports, out, server) in sides {
                    for (port, list) in ports {
                        if let Some(group) = all.group(t, list, sigs, &mut shared, builder)? {
                            out[d as usize].push(OfPort { port, group, whole: server && BUSY.contains(&port) });
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
        transport: Transport,
        list: Vec<SigIdx>,
        sigs: &[Compiled],
        shared: &mut BTreeMap<(bool, Vec<SigIdx>), u16>,
        builder: &mut SetBuilder<'_, '_>,
    ) -> Result<Option<u16>, MatcherError> {
        if list.is_empty() {
            return Ok(None);
        }
        // Without a stream all is seen in the packet.
        let streams = transport == Transport::Tcp;
        let key = (streams, list);
        if let Some(g) = shared.get(&key) {
            return Ok(Some(*g));
        }
        let (mut placed, mut packet, mut stream) = (Vec::new(), Vec::new(), Vec::new());
        let mut group = Group::default();
        for idx in &key.1 {
            let Some(c) = sigs.get(idx.0 as usize) else { continue };
            let views = if streams { Views::of(c.flags.in_packet, c.flags.in_stream) } else { Views::PACKET };
            match (c.fast, c.fast_content()) {
                // Transforms move bytes, so their rules are inspected without a prefilter here.
                (Some((b, _)), Some(content)) if c.buffers.get(b).is_some_and(|a| a.chain.0 == 0) => {
                    if Places::place(content).is_some() {
                        placed.push((*idx, content, views));
                        continue;
                    }
                    if views.meets(Views::PACKET) {
                        packet.push((*idx, content));
                    }
                    if views.meets(Views::STREAM) {
                        stream.push((*idx, content));
                    }
                }
                _ => group.plain.push(*idx),
            }
        }
        group.placed = Places::build(&placed);
        group.packet = builder.group(&packet, true)?;
        group.stream = builder.group(&stream, true)?;
        let Ok(n) = u16::try_from(self.groups.len()) else {
            return Err(MatcherError("more than 65,535 groups of payload rules".into()));
        };
        self.groups.push(group);
        shared.insert(key, n);
        Ok(Some(n))
    }

    pub(crate) fn of(&self, n: u16) -> Option<&Group> {
        self.groups.get(usize::from(n))
    }

    /// The groups of a packet; without a direction those of both.
    pub(crate) fn find(&self, t: Transport, dir: Option<Direction>, sport: u16, dport: u16) -> GroupList {
        let mut out = GroupList::default();
        let i = t as usize;
        for d in Direction::BOTH.into_iter().filter(|d| dir.is_none_or(|x| x == *d)) {
            let dst = self.dst.get(i).and_then(|m| by_port(&m[d as usize], dport));
            let src = self.src.get(i).and_then(|m| by_port(&m[d as usize], sport));
            let whole = [dst, src].iter().flatten().any(|g| g.whole);
            let any = self.any.get(i).and_then(|a| a[d as usize]).filter(|_| !whole);
            for g in [any, dst.map(|g| g.group), src.map(|g| g.group)].into_iter().flatten() {
                if !out.as_slice().contains(&g) {
                    out.push(g);
                }
            }
        }
        out
    }

    pub(crate) fn memory(&self) -> usize {
        self.groups.iter().map(Group::memory).sum()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &Group)> {
        self.groups.iter().enumerate()
    }

    /// Which packets a group is for, in words: transports, directions, ports.
    pub(crate) fn whose(&self, n: u16) -> String {
        let mut out = Vec::new();
        for (i, t) in Transport::ALL.iter().enumerate() {
            for d in Direction::BOTH {
                let head = format!("{t:?} {}", d.name());
                if self.any.get(i).is_some_and(|a| a[d as usize] == Some(n)) {
                    out.push(format!("{head} any port"));
                }
                for (name, by) in [("dst", &self.dst), ("src", &self.src)] {
                    let mine = by.get(i).map_or(&[][..], |m| &m[d as usize]).iter().filter(|e| e.group == n);
                    let ports: Vec<String> = mine.clone().map(|e| e.port.to_string()).collect();
                    if !ports.is_empty() {
                        let any = if mine.clone().any(|e| e.whole) { " and any" } else { "" };
                        out.push(format!("{head} {name} {}{any}", ports.join(",")));
                    }
                }
            }
        }
        out.join("; ")
    }

    /// All groups a rule is in.
    pub(crate) fn groups_of(&self, sig: SigIdx) -> Vec<(u16, &Group)> {
        self.groups.iter().enumerate().filter(|(_, g)| g.serves(sig)).map(|(i, g)| (i as u16, g)).collect()
    }
}

fn by_port(map: &[OfPort], port: u16) -> Option<OfPort> {
    map.binary_search_by_key(&port, |e| e.port).ok().and_then(|i| map.get(i)).copied()
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
