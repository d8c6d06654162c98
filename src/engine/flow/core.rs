//! What the flow layer knows of one flow.

use super::FlowKey;
use super::macs::Macs;
use crate::decode::{L4, Packet, PortId, TcpFlags, VlanStack};
use crate::types::{Direction, FiveTuple, IpProto, PerDirection, Reason, Shed, Timestamp};
use std::time::Duration;

/// Where a flow is in its life. TCP flows follow their session; others are established once seen both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowState {
    #[default]
    New,
    Established,
    Closed,
    /// Left to the fast path; only time-outs concern it here.
    Bypassed,
}

impl FlowState {
    /// As EVE's `flow.state` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            FlowState::New => "new",
            FlowState::Established => "established",
            FlowState::Closed => "closed",
            FlowState::Bypassed => "bypassed",
        }
    }
}

/// What the TCP session above tells the flow layer after each segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSummary {
    /// The session is over, or about to be: a SYN with another initial sequence number begins a new flow.
    pub reusable: bool,
    /// The client's initial sequence number, where its SYN was seen.
    pub client_isn: Option<u32>,
}

/// Frames, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub frames: u64,
    pub bytes: u64,
}

/// What the device does of a flow by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// It forwards TCP segments that end at or before this sequence number.
    pub until: PerDirection<Option<u32>>,
    /// It forwards or drops all.
    pub whole: PerDirection<bool>,
    /// What it has forwarded or dropped, as far as it has told.
    pub carried: PerDirection<Carried>,
}

/// Marks that outlive a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowFlags {
    /// Every further packet is dropped, for this reason.
    pub condemned: Option<Reason>,
    /// An alert was raised on it.
    pub alerted: bool,
    pub no_payload_inspection: bool,
    pub no_packet_inspection: bool,
    /// A pass rule took the flow.
    pub passed: bool,
    /// Client and server were exchanged after the first packet.
    pub reversed: bool,
    /// Bypassed since the rules of the day had nothing for it.
    pub by_rules: bool,
    /// It was asked whether they have.
    pub judged: bool,
    /// Followed anew after it had been bypassed.
    pub reopened: bool,
    /// Packets of it passed unseen, and it was taken up where it stood.
    pub resynced: bool,
    /// Must not be evicted to make room, as condemned flows are not: its end would lift a verdict.
    pub pinned: bool,
}

#[derive(Clone, Debug)]
pub struct FlowCore {
    pub key: FlowKey,
    /// Client to server.
    pub tuple: FiveTuple,
    /// 53 bits, never zero; the same in every replay of a capture under one seed.
    pub flow_id: u64,
    /// Number and port of the first packet.
    pub first_packet: u64,
    pub first_port: PortId,
    pub first: Timestamp,
    /// Time of the latest packet; never moves back.
    pub last: Timestamp,
    pub state: FlowState,
    pub packets: PerDirection<u64>,
    /// Bytes captured, link headers included.
    pub bytes: PerDirection<u64>,
    /// Every TCP flag seen, or-ed.
    pub tcp_flags: PerDirection<u8>,
    pub tcp: TcpSummary,
    /// Type and code of the first ICMP message each way.
    pub icmp: PerDirection<Option<(u8, u8)>>,
    pub vlan: VlanStack,
    /// Hardware addresses, where they are asked for.
    pub macs: Option<Box<Macs>>,
    pub flags: FlowFlags,
    /// Epoch of the ruleset the flow's state was made under.
    pub epoch: u64,
    /// What its packets have cost, in the worker's unit.
    pub cost: u64,
    /// The level of load under which its packets go uninspected now.
    pub shed: Shed,
    /// Of one that the device was told it may carry by itself.
    pub aside: Option<Box<Aside>>,
    /// Packets to come before the device is told of the flow again, to server and to client.
    pub offload_wait: PerDirection<u8>,
    /// The client is the key's lesser end.
    pub(super) client_is_lesser: bool,
    /// The server has spoken.
    answered: bool,
}

/// A flow and what the layers above keep of it.
#[derive(Clone, Debug)]
pub struct Flow<S> {
    pub core: FlowCore,
    pub session: S,
}

impl FlowCore {
    pub(super) fn new(key: FlowKey, flow_id: u64, client_is_lesser: bool, packet: &Packet<'_>) -> Self {
        FlowCore {
            key,
            tuple: packet.tuple,
            flow_id,
            first_packet: packet.number,
            first_port: packet.port,
            first: packet.ts,
            last: packet.ts,
            state: FlowState::New,
            packets: PerDirection::default(),
            bytes: PerDirection::default(),
            tcp_flags: PerDirection::default(),
            tcp: TcpSummary::default(),
            icmp: PerDirection::default(),
            vlan: packet.vlan,
            macs: None,
            flags: FlowFlags::default(),
            epoch: 0,
            cost: 0,
            shed: Shed::Nothing,
            aside: None,
            offload_wait: PerDirection::default(),
            client_is_lesser,
            answered: false,
        }
    }

    pub(super) fn direction(&self, from_lesser: bool) -> Direction {
        if self.key.is_loop() || from_lesser == self.client_is_lesser {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }

    /// Counts a packet; a flow that is not TCP is established once both ends have spoken.
    pub(super) fn count(&mut self, packet: &Packet<'_>, dir: Direction) {
        self.last = self.last.max(packet.ts);
        self.packets[dir] = self.packets[dir].saturating_add(1);
        self.bytes[dir] = self.bytes[dir].saturating_add(packet.bytes.as_slice().len() as u64);
        match &packet.l4 {
            L4::Tcp(h) => self.tcp_flags[dir] |= h.flags.0,
            L4::Icmp4 { kind, code, .. } | L4::Icmp6 { kind, code, .. } => {
                self.icmp[dir].get_or_insert((*kind, *code));
            }
            _ => {}
        }
        // An ICMP error about the flow is no answer to it.
        let own = packet.tuple.proto == self.tuple.proto;
        self.answered |= own && dir == Direction::ToClient;
        if self.answered && self.state == FlowState::New && self.tuple.proto != IpProto::TCP {
            self.state = FlowState::Established;
        }
    }

    /// Client and server change places: the first packet seen was the server's.
    pub fn reverse(&mut self) {
        self.client_is_lesser = !self.client_is_lesser;
        self.tuple = self.tuple.flip();
        self.packets = swap(self.packets);
        self.bytes = swap(self.bytes);
        self.tcp_flags = swap(self.tcp_flags);
        self.offload_wait = swap(self.offload_wait);
        if let Some(aside) = &mut self.aside {
            aside.until = swap(aside.until);
            aside.whole = swap(aside.whole);
            aside.carried = swap(aside.carried);
        }
        self.icmp = swap(self.icmp);
        if let Some(macs) = &mut self.macs {
            macs.reverse();
        }
        self.flags.reversed = !self.flags.reversed;
    }

    /// Packets and bytes to server and to client, also those that the device carried.
    pub fn volume(&self) -> ([u64; 2], [u64; 2]) {
        let (p, b) = (&self.packets, &self.bytes);
        let carried = self.aside.as_deref().map(|a| a.carried).unwrap_or_default();
        let sum = |seen: u64, carried: u64| seen.saturating_add(carried);
        (
            [sum(p.to_server, carried.to_server.frames), sum(p.to_client, carried.to_client.frames)],
            [sum(b.to_server, carried.to_server.bytes), sum(b.to_client, carried.to_client.bytes)],
        )
    }

    /// Time since the first packet.
    pub fn age(&self) -> Duration {
        self.last.since(self.first)
    }

    /// A connection of which only flags are looked at any more has ended by them.
    pub(super) fn ended_by_flags(&self) -> bool {
        let (c, s) = (TcpFlags(self.tcp_flags.to_server), TcpFlags(self.tcp_flags.to_client));
        c.has(TcpFlags::RST) || s.has(TcpFlags::RST) || c.has(TcpFlags::FIN) && s.has(TcpFlags::FIN)
    }

    /// Its segments are not followed: whether the connection is over is told by their flags alone.
    pub fn note_end_unseen(&mut self) {
        if self.tuple.proto == IpProto::TCP && self.ended_by_flags() {
            self.state = FlowState::Closed;
            // A SYN that looks like the one before is another connection's all the same.
            self.tcp = TcpSummary { reusable: true, client_isn: None };
        }
    }

    pub fn is_condemned(&self) -> bool {
        self.flags.condemned.is_some()
    }
}

fn swap<T>(p: PerDirection<T>) -> PerDirection<T> {
    PerDirection { to_server: p.to_client, to_client: p.to_server }
}
