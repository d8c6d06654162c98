//! What decoding yields. Knows nothing of flows; a `Packet` borrows its frame and owns only reassembled datagrams.

use crate::types::{Cause, FiveTuple, IpProto, Timestamp};
use crate::wire::checksum;
use smallvec::SmallVec;
use std::net::IpAddr;

/// Link type of a capture, by its LINKTYPE_ number (tcpdump.org/linktypes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    pub const NULL: LinkType = LinkType(0);
    pub const ETHERNET: LinkType = LinkType(1);
    pub const PPP: LinkType = LinkType(9);
    pub const RAW: LinkType = LinkType(101);
    /// DLT_RAW as some systems number it, written to files before LINKTYPE_RAW.
    pub const RAW_12: LinkType = LinkType(12);
    pub const RAW_14: LinkType = LinkType(14);
    pub const IEEE802_11: LinkType = LinkType(105);
    /// Cisco HDLC.
    pub const C_HDLC: LinkType = LinkType(104);
    pub const LOOP: LinkType = LinkType(108);
    pub const LINUX_SLL: LinkType = LinkType(113);
    pub const IEEE802_11_RADIOTAP: LinkType = LinkType(127);
    pub const IPV4: LinkType = LinkType(228);
    pub const IPV6: LinkType = LinkType(229);
    pub const LINUX_SLL2: LinkType = LinkType(276);
}

/// A port of the box (0 or 1 of a pair; a TAP interface's index; 0 in a capture file without interfaces).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u16);

/// One frame as the device gives it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub ts: Timestamp,
    /// Number within the input, from 1 (EVE's `pcap_cnt`).
    pub number: u64,
    pub link: LinkType,
    pub port: PortId,
    pub data: &'a [u8],
    /// Length on the wire, at least `data.len()`; larger when the capture was cut short.
    pub wire_len: u32,
}

/// A range of a packet's bytes: `start <= end <= bytes.len()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub const fn new(start: usize, end: usize) -> Self {
        Span { start: start as u32, end: end as u32 }
    }

    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// The bytes of the range; empty when it does not fit `bytes`.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }
}

/// A packet's bytes: in its frame, or a datagram that defragmentation built.
#[derive(Clone, Debug)]
pub enum Bytes<'a> {
    Frame(&'a [u8]),
    Reassembled(Box<[u8]>),
}

impl Bytes<'_> {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Frame(b) => b,
            Bytes::Reassembled(b) => b,
        }
    }
}

/// VLAN identifiers, outermost first (802.1Q, 802.1ad); at most three are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VlanStack {
    pub ids: [u16; 3],
    pub len: u8,
}

impl VlanStack {
    pub fn ids(&self) -> &[u16] {
        self.ids.get(..self.len as usize).unwrap_or(&self.ids)
    }

    /// Keeps the id if there is room; says whether there was.
    pub fn push(&mut self, id: u16) -> bool {
        match self.ids.get_mut(self.len as usize) {
            Some(slot) => {
                *slot = id;
                self.len += 1;
                true
            }
            None => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtherHeader {
    pub dst: [u8; 6],
    pub src: [u8; 6],
    /// EtherType after all tags.
    pub ether_type: u16,
    /// Where it stands in the packet's bytes; empty where it is in others.
    pub header: Span,
}

impl EtherHeader {
    /// The same the other way round.
    pub const fn turned(self) -> Self {
        EtherHeader { dst: self.src, src: self.dst, ..self }
    }
}

/// The network header rules can ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpHeader {
    V4 {
        /// Header with options.
        header: Span,
        tos: u8,
        total_len: u16,
        id: u16,
        /// Flags and fragment offset as on the wire: RF 0x8000, DF 0x4000, MF 0x2000, offset in 8-byte units below.
        frag: u16,
        ttl: u8,
        proto: IpProto,
    },
    V6 {
        /// Fixed header and extension headers.
        header: Span,
        traffic_class: u8,
        flow_label: u32,
        payload_len: u16,
        hop_limit: u8,
        /// Protocol after the extension headers.
        proto: IpProto,
        /// Whether a fragment header was walked.
        fragmented: bool,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;

    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }

    pub const fn any(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
}

/// TCP header fields and the options the engine uses (RFC 9293, RFC 7323, RFC 2018).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpHeader {
    /// Header with options.
    pub header: Span,
    pub seq: u32,
    pub ack: u32,
    pub flags: TcpFlags,
    pub window: u16,
    pub urgent: u16,
    pub mss: Option<u16>,
    /// Shift count as sent, 0..=14 after clamping.
    pub window_scale: Option<u8>,
    pub sack_permitted: bool,
    /// TSval, TSecr.
    pub timestamps: Option<(u32, u32)>,
    /// Fast Open cookie option present (RFC 7413).
    pub fast_open: bool,
    /// The segment is of a path that joins an MPTCP connection (RFC 8684, 3.2).
    pub joins: bool,
}

/// The transport layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L4 {
    #[default]
    None,
    Tcp(TcpHeader),
    Udp {
        header: Span,
    },
    Icmp4 {
        header: Span,
        kind: u8,
        code: u8,
        /// Identifier and sequence of the kinds that carry them (echo, timestamp, information, mask).
        id_seq: Option<(u16, u16)>,
        /// The packet an error quotes: its tuple, where enough of it is there.
        embedded: Option<FiveTuple>,
    },
    Icmp6 {
        header: Span,
        kind: u8,
        code: u8,
        id_seq: Option<(u16, u16)>,
        embedded: Option<FiveTuple>,
    },
    Sctp {
        header: Span,
        vtag: u32,
        /// From the first chunk to the datagram's end.
        chunks: Span,
        /// How many there are.
        count: u16,
    },
    Igmp {
        /// With the sources and records of version 3.
        header: Span,
        kind: u8,
    },
    /// GRE, ESP, AH and others inspected as bytes only.
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketFlags {
    /// Headers do not hold together: not a packet its receiver would take.
    pub invalid: bool,
    /// A header is not as its standard wants it, though a receiver may take the packet: counted as invalid, and followed.
    /// What is `invalid` is malformed too.
    pub malformed: bool,
    /// What it carries is a packet of its own, here after it: its payload is inspected there.
    pub carrier: bool,
    /// Network or transport checksum verified and wrong.
    pub checksum_bad: bool,
    /// Settings ask for no verification.
    pub checksum_unverified: bool,
    /// A fragment not yet whole: no flow, no payload inspection.
    pub fragment: bool,
    /// Put together from fragments.
    pub reassembled: bool,
    /// Inside a tunnel of another packet of the same frame.
    pub tunnelled: bool,
    /// The capture holds fewer bytes than the headers claim (snap length).
    pub truncated: bool,
}

/// What a packet came out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// GRE, and ERSPAN within it.
    Gre,
    /// IPv4 or IPv6 right after an IPv4 header.
    Ipv4,
    /// IPv4 or IPv6 right after an IPv6 header.
    Ipv6,
    Teredo,
    Vxlan,
    Geneve,
}

/// Decode events seen in a packet, in the order met: rows of the event table of `decode`.
pub type DecodeEvents = SmallVec<[u16; 4]>;

/// Events noted of one packet.
pub const EVENTS_MAX: usize = 15;

/// One decoded packet.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    pub ts: Timestamp,
    pub number: u64,
    pub port: PortId,
    pub link: LinkType,
    /// All bytes of this packet, from its link header (outermost) or its IP header (inner, reassembled).
    pub bytes: Bytes<'a>,
    pub wire_len: u32,
    pub ether: Option<EtherHeader>,
    pub vlan: VlanStack,
    pub ip: Option<IpHeader>,
    pub tuple: FiveTuple,
    pub l4: L4,
    /// Transport payload; what follows the IP header where there is no known transport.
    pub payload: Span,
    pub flags: PacketFlags,
    /// Tunnels this packet is inside of, 0 for the outermost: part of flow and defrag keys.
    pub depth: u8,
    /// The innermost of them.
    pub tunnel: Option<Tunnel>,
    /// Of a fragment, which datagram it is of: a keyed hash, never zero.
    pub datagram: Option<std::num::NonZeroU64>,
    pub events: DecodeEvents,
    /// Sight lost while decoding (a fragment that found no room), for the exception policies.
    pub exceptions: SmallVec<[Cause; 2]>,
}

/// The packets of a batch, in order; the frame's index in the batch beside each.
pub type PacketList<'a> = Vec<(u32, Packet<'a>)>;

impl<'a> Packet<'a> {
    pub fn new(frame: &Frame<'a>) -> Self {
        Packet {
            ts: frame.ts,
            number: frame.number,
            port: frame.port,
            link: frame.link,
            bytes: Bytes::Frame(frame.data),
            wire_len: frame.wire_len,
            ether: None,
            vlan: VlanStack::default(),
            ip: None,
            tuple: FiveTuple::default(),
            l4: L4::None,
            payload: Span::default(),
            flags: PacketFlags { truncated: frame.wire_len as usize > frame.data.len(), ..PacketFlags::default() },
            depth: 0,
            tunnel: None,
            datagram: None,
            events: DecodeEvents::new(),
            exceptions: SmallVec::new(),
        }
    }

    pub fn payload(&self) -> &[u8] {
        self.payload.of(self.bytes.as_slice())
    }

    pub fn src(&self) -> IpAddr {
        self.tuple.src
    }

    pub fn dst(&self) -> IpAddr {
        self.tuple.dst
    }

    pub fn tcp(&self) -> Option<&TcpHeader> {
        match &self.l4 {
            L4::Tcp(h) => Some(h),
            _ => None,
        }
    }

    /// Whether the IPv4 header's checksum is right; `None` without an IPv4 header. Computed on each call.
    pub fn ip_checksum_ok(&self) -> Option<bool> {
        match self.ip {
            Some(IpHeader::V4 { header, .. }) => Some(checksum::plain_ok(header.of(self.bytes.as_slice()))),
            _ => None,
        }
    }

    /// Whether the checksum of TCP, UDP, ICMP, ICMPv6 or IGMP is right; `None` for other transports and for a datagram that is
    /// not all there. Computed on each call.
    pub fn l4_checksum_ok(&self) -> Option<bool> {
        let header = match self.l4 {
            L4::Tcp(TcpHeader { header, .. })
            | L4::Udp { header }
            | L4::Icmp4 { header, .. }
            | L4::Icmp6 { header, .. }
            | L4::Igmp { header, .. } => header,
            _ => return None,
        };
        let segment = Span { start: header.start, end: self.payload.end }.of(self.bytes.as_slice());
        let FiveTuple { src, dst, proto, .. } = self.tuple;
        Some(match self.l4 {
            L4::Udp { .. } => checksum::udp_ok(src, dst, segment),
            L4::Icmp4 { .. } | L4::Igmp { .. } => checksum::plain_ok(segment),
            _ => checksum::transport_ok(src, dst, proto.0, segment),
        })
    }

    /// Notes an odd thing, each time it is met; past the bound it is not noted.
    pub(super) fn event(&mut self, event: u16) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        }
    }

    /// Notes a thing that no standard allows, in a packet that receivers take all the same.
    pub(super) fn malformed(&mut self, event: u16) {
        self.event(event);
        self.flags.malformed = true;
    }

    /// Notes a thing that makes the packet one its receiver would not take.
    pub(super) fn invalid(&mut self, event: u16) {
        self.malformed(event);
        self.flags.invalid = true;
    }
}
