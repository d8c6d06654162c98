//! Frame to packets: link layer, tags, tunnels, IP, transport; every oddity an event.
//!
//! One frame may hold several packets (an outer GRE packet and the inner one); each is inspected, outermost first, and
//! the frame shares their strictest verdict. Packets are plain values with offsets into their bytes; nothing is copied
//! but datagrams that defragmentation put together, and what was inside of those.
//!
//! A packet is decoded by plain functions, one per header, each calling the next; the number of headers is bounded by
//! `Limits::decode_layers_max` over the whole frame, and an inner packet is a further turn of the loop in
//! [`Decoder::decode`], not a recursion. Lengths are only ever narrowed on the way in: a function sees the bytes its outer
//! header grants it and no more. Knows no flow.

mod context;
mod defrag;
pub mod events;
mod icmp;
mod ipv4;
mod ipv6;
mod link;
mod packet;
mod settings;
mod transport;
mod tunnel;

pub use context::fuzz_target;
pub use defrag::{DefragSettings, HostPolicies, OverlapPolicy, fuzz_target as fuzz_defrag};
pub use packet::{
    Bytes, DecodeEvents, EtherHeader, Frame, IpHeader, L4, LinkType, Packet, PacketFlags, PacketList, PortId, Span,
    TcpFlags, TcpHeader, VlanStack,
};
pub use settings::{Ports, Settings};

use crate::types::{Cause, Counter, Counters, Limits};
use context::{Cx, Entry, Then};
use defrag::{Defrag, Outcome};

/// Decodes frames and puts fragments together. One per worker.
pub struct Decoder {
    settings: Settings,
    layers_max: u8,
    defrag: Defrag,
    event_counts: Box<[u64]>,
}

impl Decoder {
    pub fn new(settings: Settings, limits: &Limits) -> Self {
        let defrag = Defrag::new(settings.defrag.clone(), limits);
        let layers_max = u8::try_from(limits.decode_layers_max).unwrap_or(u8::MAX);
        Decoder { settings, layers_max, defrag, event_counts: vec![0; events::EVENTS.len()].into() }
    }

    /// Pushes the packets of `frame`, outermost first, each beside `index`: one at least. A frame that completes a
    /// datagram gives the fragment itself (flagged so) and then the datagram.
    pub fn decode<'a>(&mut self, frame: &Frame<'a>, index: u32, out: &mut PacketList<'a>, counters: &mut Counters) {
        counters.inc(Counter::Packets);
        counters.add(Counter::Bytes, u64::from(frame.wire_len));
        let mut packet = Packet::new(frame);
        let mut bytes = Bytes::Frame(frame.data);
        let mut entry = Entry::Link(frame.link);
        let mut layers = 0;
        loop {
            let mut cx = Cx::new(&self.settings, counters, layers, self.layers_max);
            cx.run(entry, &mut packet, bytes.as_slice());
            layers = cx.layers;
            let next = match std::mem::take(&mut cx.then) {
                Then::Done => None,
                Then::Inner(inner, span) => Some((inner_of(&packet), inner, part(&bytes, span))),
                Then::Fragment(f) => {
                    packet.flags.fragment = true;
                    let key = defrag::Key::new(&packet, &f);
                    match self.defrag.insert(key, &f, bytes.as_slice(), &mut packet, counters) {
                        Outcome::Whole(datagram) => {
                            let v6 = packet.tuple.src.is_ipv6();
                            let entry = if v6 { Entry::Ipv6 } else { Entry::Ipv4 };
                            Some((reassembled_of(&packet), entry, Bytes::Reassembled(datagram)))
                        }
                        Outcome::Held => None,
                        Outcome::Full => {
                            packet.exceptions.push(Cause::DefragMemcap);
                            None
                        }
                    }
                }
            };
            self.close(packet, bytes, index, out, counters);
            match next {
                Some((p, e, b)) => (packet, entry, bytes) = (p, e, b),
                None => break,
            }
        }
    }

    /// How often each event was raised, by its row in [`events::EVENTS`].
    pub fn event_counts(&self) -> &[u64] {
        &self.event_counts
    }

    /// Bytes of fragments held.
    pub fn memory(&self) -> usize {
        self.defrag.memory()
    }

    fn close<'a>(
        &mut self,
        mut packet: Packet<'a>,
        bytes: Bytes<'a>,
        index: u32,
        out: &mut PacketList<'a>,
        counters: &mut Counters,
    ) {
        for &e in &packet.events {
            if let Some(n) = self.event_counts.get_mut(usize::from(e)) {
                *n = n.saturating_add(1);
            }
        }
        if packet.flags.invalid {
            counters.inc(Counter::DecodeInvalid);
        }
        packet.bytes = bytes;
        out.push((index, packet));
    }
}

/// A packet inside `outer`: same frame, nothing decoded yet.
fn inner_of<'a>(outer: &Packet<'a>) -> Packet<'a> {
    let mut p = blank_like(outer);
    p.flags.tunnelled = true;
    p.flags.truncated = outer.flags.truncated;
    p.depth = outer.depth.saturating_add(1);
    p
}

/// The datagram that `fragment` completed.
fn reassembled_of<'a>(fragment: &Packet<'a>) -> Packet<'a> {
    let mut p = blank_like(fragment);
    p.ether = fragment.ether;
    p.vlan = fragment.vlan;
    p.depth = fragment.depth;
    p.flags.tunnelled = fragment.flags.tunnelled;
    p.flags.reassembled = true;
    p
}

fn blank_like<'a>(other: &Packet<'a>) -> Packet<'a> {
    Packet::new(&Frame {
        ts: other.ts,
        number: other.number,
        link: other.link,
        port: other.port,
        data: &[],
        wire_len: 0,
    })
}

/// A part of a packet's bytes as bytes of their own: borrowed from the frame, copied out of a datagram we own.
fn part<'a>(bytes: &Bytes<'a>, span: Span) -> Bytes<'a> {
    match bytes {
        Bytes::Frame(b) => Bytes::Frame(span.of(b)),
        Bytes::Reassembled(b) => Bytes::Reassembled(span.of(b).into()),
    }
}

#[cfg(test)]
mod tests;
