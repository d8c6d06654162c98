//! Frames that answer a rejected packet: TCP resets (RFC 9293 section 3.10.7, RFC 5961 section 3.2) and ICMP or ICMPv6
//! destination unreachable (RFC 792, RFC 1122 section 3.2.2, RFC 4443 sections 2.4 and 3.1).

use super::checksum;
use crate::decode::{Frame, IpHeader, L4, LinkType, Packet, PortId, TcpFlags};
use crate::types::{FiveTuple, IpProto, RejectTarget};
use smallvec::SmallVec;
use std::net::IpAddr;

/// A frame to send in answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The port it leaves through.
    pub port: PortId,
    pub data: Vec<u8>,
}

/// Bytes an ICMP error may have in all, IP header included (RFC 1812 section 4.3.2.3).
const ICMP4_BYTES_MAX: usize = 576;
/// And an ICMPv6 error: the least MTU (RFC 4443 section 2.4).
const ICMP6_BYTES_MAX: usize = 1280;
const TTL: u8 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Destination,
}

/// Answers to a packet of `frame` that was rejected: to its sender, its destination or both, as far as an answer is
/// possible and proper. Resets for TCP; else unreachable, by port for UDP and as prohibited for the rest.
pub fn reject(frame: &Frame<'_>, packet: &Packet<'_>, target: RejectTarget) -> SmallVec<[Reply; 2]> {
    let ends: &[End] = match target {
        RejectTarget::Source => &[End::Source],
        RejectTarget::Destination => &[End::Destination],
        RejectTarget::Both => &[End::Source, End::Destination],
    };
    ends.iter().filter_map(|end| reply(frame, packet, *end)).collect()
}

fn reply(frame: &Frame<'_>, packet: &Packet<'_>, to: End) -> Option<Reply> {
    if packet.flags.tunnelled || packet.ip.is_none() || !answerable(packet.tuple.src) || !answerable(packet.tuple.dst) {
        return None;
    }
    // Towards the source the reply runs against the packet; towards the destination with it.
    let tuple = if to == End::Source { packet.tuple.flip() } else { packet.tuple };
    let message = match &packet.l4 {
        L4::Tcp(_) => reset(packet, to, tuple)?,
        _ => unreachable_message(packet, to)?,
    };
    let mut data = link_header(frame, to)?;
    let link_len = data.len();
    ip_header(&mut data, &tuple, message.proto, message.bytes.len());
    data.extend_from_slice(&message.bytes);
    fix_pppoe_length(&mut data, link_len);
    let port = if to == End::Source { frame.port } else { PortId(frame.port.0 ^ 1) };
    Some(Reply { port, data })
}

struct Message {
    proto: IpProto,
    bytes: Vec<u8>,
}

/// Unicast and specified: an end that can be told, or told about.
fn answerable(a: IpAddr) -> bool {
    let broadcast = matches!(a, IpAddr::V4(a) if a.is_broadcast());
    !a.is_unspecified() && !a.is_multicast() && !broadcast
}

fn reset(packet: &Packet<'_>, to: End, tuple: FiveTuple) -> Option<Message> {
    let h = packet.tcp()?;
    if h.flags.has(TcpFlags::RST) {
        return None;
    }
    let acked = h.flags.has(TcpFlags::ACK);
    let (seq, ack, flags) = match (to, acked) {
        // Just where the sender expects the next byte.
        (End::Source, true) => (h.ack, 0, TcpFlags::RST),
        (End::Source, false) => {
            let syn_fin = [TcpFlags::SYN, TcpFlags::FIN].into_iter().filter(|f| h.flags.has(*f)).count();
            let len = (packet.payload.len() + syn_fin) as u32;
            (0, h.seq.wrapping_add(len), TcpFlags::RST | TcpFlags::ACK)
        }
        // In the place of the segment that does not arrive.
        (End::Destination, true) => (h.seq, h.ack, TcpFlags::RST | TcpFlags::ACK),
        (End::Destination, false) => (h.seq, 0, TcpFlags::RST),
    };
    let mut b = Vec::with_capacity(20);
    b.extend_from_slice(&tuple.sport.to_be_bytes());
    b.extend_from_slice(&tuple.dport.to_be_bytes());
    b.extend_from_slice(&seq.to_be_bytes());
    b.extend_from_slice(&ack.to_be_bytes());
    b.extend_from_slice(&[5 << 4, flags, 0, 0, 0, 0, 0, 0]);
    let sum = checksum::transport(tuple.src, tuple.dst, IpProto::TCP.0, &b);
    put16(&mut b, 16, sum);
    Some(Message { proto: IpProto::TCP, bytes: b })
}

fn unreachable_message(packet: &Packet<'_>, to: End) -> Option<Message> {
    // No error about an error, about a later fragment, or about what is not wholly there.
    let udp = match packet.l4 {
        L4::Icmp4 { kind, .. } if !matches!(kind, 0 | 8 | 13..=18) => return None,
        L4::Icmp6 { kind, .. } if !matches!(kind, 128 | 129) => return None,
        L4::Udp { .. } => true,
        _ => false,
    };
    if packet.flags.fragment || (to == End::Destination && !udp) {
        return None;
    }
    let v4 = packet.tuple.src.is_ipv4();
    let (proto, head, most) = match (v4, udp) {
        (true, true) => (IpProto::ICMP, [3, 3], ICMP4_BYTES_MAX - 28),
        (true, false) => (IpProto::ICMP, [3, 13], ICMP4_BYTES_MAX - 28),
        (false, true) => (IpProto::ICMPV6, [1, 4], ICMP6_BYTES_MAX - 48),
        (false, false) => (IpProto::ICMPV6, [1, 1], ICMP6_BYTES_MAX - 48),
    };
    let mut b = head.to_vec();
    b.extend_from_slice(&[0; 6]);
    match to {
        End::Source => b.extend_from_slice(quote(packet, most)?),
        End::Destination => b.extend_from_slice(&quote_of_answer(packet)?),
    }
    let (src, dst) = match to {
        End::Source => (packet.tuple.dst, packet.tuple.src),
        End::Destination => (packet.tuple.src, packet.tuple.dst),
    };
    let sum = if v4 { checksum::plain(&b) } else { checksum::transport(src, dst, proto.0, &b) };
    put16(&mut b, 2, sum);
    Some(Message { proto, bytes: b })
}

/// The rejected packet from its IP header on, at most `most` bytes.
fn quote<'p>(packet: &'p Packet<'_>, most: usize) -> Option<&'p [u8]> {
    let bytes = packet.bytes.as_slice();
    let start = ip_start(packet)?;
    let end = (packet.payload.end as usize).min(bytes.len()).min(start + most);
    bytes.get(start..end)
}

/// What the destination itself would have sent on this UDP flow: an error must quote a packet of whom it is sent to.
fn quote_of_answer(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let t = packet.tuple.flip();
    let mut udp = Vec::with_capacity(8);
    udp.extend_from_slice(&t.sport.to_be_bytes());
    udp.extend_from_slice(&t.dport.to_be_bytes());
    udp.extend_from_slice(&[0, 8, 0, 0]);
    let sum = checksum::transport(t.src, t.dst, IpProto::UDP.0, &udp);
    put16(&mut udp, 6, if sum == 0 { 0xffff } else { sum });
    let mut quoted = Vec::with_capacity(48);
    ip_header(&mut quoted, &t, IpProto::UDP, udp.len());
    quoted.extend_from_slice(&udp);
    Some(quoted)
}

fn ip_start(packet: &Packet<'_>) -> Option<usize> {
    match packet.ip? {
        IpHeader::V4 { header, .. } | IpHeader::V6 { header, .. } => Some(header.start as usize),
    }
}

fn ip_header(out: &mut Vec<u8>, t: &FiveTuple, proto: IpProto, payload_len: usize) {
    match (t.src, t.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let start = out.len();
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&(20 + payload_len as u16).to_be_bytes());
            // No identification, do not fragment (RFC 6864: atomic).
            out.extend_from_slice(&[0, 0, 0x40, 0, TTL, proto.0, 0, 0]);
            out.extend_from_slice(&src.octets());
            out.extend_from_slice(&dst.octets());
            let sum = checksum::plain(out.get(start..).unwrap_or(&[]));
            put16(out, start + 10, sum);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&(payload_len as u16).to_be_bytes());
            out.extend_from_slice(&[proto.0, TTL]);
            out.extend_from_slice(&src.octets());
            out.extend_from_slice(&dst.octets());
        }
        _ => {}
    }
}

const PPPOE_SESSION: u16 = 0x8864;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The frame's link header for a reply: tags kept, Ethernet addresses exchanged when it goes back. `None` for link
/// layers that cannot be mirrored (MPLS labels differ by direction; 802.11 frames need keys and a station's state).
fn link_header(frame: &Frame<'_>, to: End) -> Option<Vec<u8>> {
    let len = match frame.link {
        LinkType::ETHERNET => ethernet_len(frame.data)?,
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => 0,
        LinkType::NULL | LinkType::LOOP => 4,
        _ => return None,
    };
    let mut header = frame.data.get(..len)?.to_vec();
    if let (LinkType::ETHERNET, End::Source) = (frame.link, to) {
        let (dst, rest) = header.split_at_mut_checked(6)?;
        dst.swap_with_slice(rest.get_mut(..6)?);
    }
    Some(header)
}

fn ethernet_len(data: &[u8]) -> Option<usize> {
    let mut at = 12;
    // As many tags as decoding keeps.
    for _ in 0..4 {
        match u16_at(data, at)? {
            0x8100 | 0x88a8 | 0x9100 => at += 4,
            IPV4 | IPV6 => return Some(at + 2),
            PPPOE_SESSION => return Some(at + 2 + 8),
            _ => return None,
        }
    }
    None
}

/// PPPoE counts the bytes after its header (RFC 2516 section 4).
fn fix_pppoe_length(data: &mut [u8], link_len: usize) {
    let Some(at) = link_len.checked_sub(10) else { return };
    if link_len >= 22 && u16_at(data, at) == Some(PPPOE_SESSION) {
        let len = (data.len() - link_len + 2) as u16;
        put16(data, link_len - 4, len);
    }
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..)?.first_chunk::<2>().map(|b| u16::from_be_bytes(*b))
}

fn put16(data: &mut [u8], at: usize, v: u16) {
    if let Some(slot) = data.get_mut(at..at + 2) {
        slot.copy_from_slice(&v.to_be_bytes());
    }
}
