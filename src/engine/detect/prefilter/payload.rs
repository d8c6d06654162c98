//! Groups of rules that look at packets and streams: by transport, direction, and port.
//!
//! Each transport and direction has a group of the rules that name no port (or too many), and one per class of ports
//! that rules name; a packet meets at most three groups: the first, its destination port's, its source port's. Ports
//! that the same rules name share a group. A flow looks its groups up once.
//!
//! Watching, a byte is seen in its packet and again, once acknowledged, in the stream. So a group has a set for each,
//! and a third for patterns that rules bind to the first bytes: of the 966 rules that any TCP packet to a server meets,
//! 614 look no further than 64 bytes and 354 anywhere in the stream, but only 99 anywhere in a packet.

use super::patterns::{PatternGroup, SetBuilder, end_max};
use crate::applayer::Vocabulary;
use crate::decode::{L4, Packet};
use crate::detect::compile::{Class, Compiled};
use crate::detect::matching::MatcherError;
use crate::detect::signature::{PortSet, RuleProto, SigIdx};
use crate::types::{Direction, IpProto};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// A rule that names more ports than this is filed as if it named none; inspection refuses it by port.
const PORTS_MAX: u32 = 32;
/// Most rules that bind their pattern to a place bind it to the first bytes.
pub(crate) const HEAD: u32 = 64;

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

/// Rules of one group. A rule that sees packets and the stream has its pattern searched in both.
#[derive(Default)]
pub(crate) struct Group {
    /// Patterns that must end within [`HEAD`] bytes of packet or stream.
    pub head: PatternGroup,
    /// Patterns anywhere in a packet, of rules that see packets.
    pub packet: PatternGroup,
    /// Patterns anywhere in the stream, of rules that see it, and in packets that the stream did not take.
    pub stream: PatternGroup,
    /// Rules without a fast pattern: inspected for every packet of the group.
    pub plain: Vec<SigIdx>,
}

impl Group {
    pub(crate) fn patterns(&self) -> [&PatternGroup; 3] {
        [&self.head, &self.packet, &self.stream]
    }
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
        let (mut head, mut packet, mut stream) = (Vec::new(), Vec::new(), Vec::new());
        let mut group = Group::default();
        for idx in &list {
            let Some(c) = sigs.get(idx.0 as usize) else { continue };
            match (c.fast, c.fast_content()) {
                // Transforms move bytes, so their rules are inspected without a prefilter here.
                (Some((b, _)), Some(content)) if c.buffers.get(b).is_some_and(|a| a.chain.0 == 0) => {
                    if end_max(content, content.bytes.len()) <= HEAD {
                        head.push((*idx, content));
                        continue;
                    }
                    if c.flags.in_packet {
                        packet.push((*idx, content));
                    }
                    if c.flags.in_stream {
                        stream.push((*idx, content));
                    }
                }
                _ => group.plain.push(*idx),
            }
        }
        group.head = builder.group(&head, true)?;
        group.packet = builder.group(&packet, true)?;
        group.stream = builder.group(&stream, true)?;
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
        self.groups.iter().flat_map(|g| g.patterns()).map(|p| p.memory()).sum()
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
                    let ports = by.get(i).map_or(&[][..], |m| &m[d as usize]).iter().filter(|e| e.1 == n);
                    let ports: Vec<String> = ports.map(|e| e.0.to_string()).collect();
                    if !ports.is_empty() {
                        out.push(format!("{head} {name} {}", ports.join(",")));
                    }
                }
            }
        }
        out.join("; ")
    }

    /// All groups a rule is in.
    pub(crate) fn groups_of(&self, sig: SigIdx) -> Vec<(u16, &Group)> {
        self.groups
            .iter()
            .enumerate()
            .filter(|(_, g)| g.plain.contains(&sig) || g.patterns().iter().any(|p| p.serves(sig)))
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
