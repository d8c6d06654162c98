//! The rule's header and its `flow` keyword against a packet.

use super::PacketInput;
use crate::decode::{IpHeader, Packet};
use crate::detect::compile::Compiled;
use crate::detect::prefilter::Transport;
use crate::detect::signature::{Header, RuleProto};
use crate::types::{Direction, FiveTuple, IpProto};
use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// All else fits, but the protocol is not known yet.
    Undetected,
}

const ETHER_TYPE_ARP: u16 = 0x0806;

pub(super) fn matches(c: &Compiled, input: &PacketInput<'_>, t: Transport) -> Answer {
    let facts = &input.facts;
    let h = &c.sig.header;
    // Both sides of a transaction: the header speaks of its client and its server.
    let turned = c.sig.both_sides && facts.direction == Some(Direction::ToClient);
    if !c.admits(facts.direction) || !proto(&h.proto, input, t) || !flow(c, input) || !ends(h, facts.packet, turned, t)
    {
        return Answer::No;
    }
    match h.proto {
        RuleProto::App(p) if facts.app_proto == p => Answer::Yes,
        RuleProto::App(_) if !facts.app_proto_done => Answer::Undetected,
        RuleProto::App(_) => Answer::No,
        _ => Answer::Yes,
    }
}

fn proto(p: &RuleProto, input: &PacketInput<'_>, t: Transport) -> bool {
    let packet = input.facts.packet;
    let v6 = matches!(packet.tuple.src, IpAddr::V6(_));
    match p {
        RuleProto::Ip => packet.ip.is_some(),
        RuleProto::Ipv4 => matches!(packet.ip, Some(IpHeader::V4 { .. })),
        RuleProto::Ipv6 => matches!(packet.ip, Some(IpHeader::V6 { .. })),
        RuleProto::Tcp | RuleProto::TcpPkt | RuleProto::TcpStream => t == Transport::Tcp,
        RuleProto::Udp => t == Transport::Udp,
        RuleProto::Icmp => t == Transport::Icmp,
        RuleProto::Icmpv4 => t == Transport::Icmp && !v6,
        RuleProto::Icmpv6 => t == Transport::Icmp && v6,
        RuleProto::Sctp => t == Transport::Sctp,
        RuleProto::Igmp => packet.tuple.proto == IpProto::IGMP,
        RuleProto::PktHdr => true,
        RuleProto::Ether => packet.ether.is_some(),
        RuleProto::Arp => packet.ether.is_some_and(|e| e.ether_type == ETHER_TYPE_ARP),
        RuleProto::App(_) => matches!(t, Transport::Tcp | Transport::Udp),
        RuleProto::Unparsed(_) => false,
    }
}

fn flow(c: &Compiled, input: &PacketInput<'_>) -> bool {
    let f = &c.sig.flow;
    if !f.present {
        return true;
    }
    // A direction is what a packet has only within a flow.
    let in_flow = input.facts.direction.is_some();
    if f.direction.is_some() && !in_flow {
        return false;
    }
    match f.established {
        Some(true) if !(in_flow && input.established) => return false,
        Some(false) if !in_flow || input.established => return false,
        _ => {}
    }
    match f.fragment {
        Some(wanted) => input.facts.packet.flags.reassembled == wanted,
        None => true,
    }
}

/// `turned`: the header is to be read the other way round.
fn ends(h: &Header, packet: &Packet<'_>, turned: bool, t: Transport) -> bool {
    let tuple = &packet.tuple;
    // A fragment has no ports: not the ones a rule names, nor others than those.
    let portless = packet.flags.fragment;
    let one_way = |x: &FiveTuple| {
        let ports = !matches!(t, Transport::Tcp | Transport::Udp | Transport::Sctp)
            || (portless && h.dport.is_any() && h.sport.is_any())
            || (!portless && h.dport.contains(x.dport) && h.sport.contains(x.sport));
        ports && (t == Transport::NoIp || (h.src.contains(x.src) && h.dst.contains(x.dst)))
    };
    (!turned && one_way(tuple)) || ((turned || h.bidirectional) && one_way(&tuple.flip()))
}
