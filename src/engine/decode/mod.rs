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
mod place;
mod settings;
mod transport;
mod tunnel;

pub use context::fuzz_target;
pub use defrag::{ByHost, DefragSettings, HostPolicies, OverlapPolicy, fuzz_target as fuzz_defrag};
pub use packet::{
    Bytes, DecodeEvents, EtherHeader, Frame, IpHeader, L4, LinkType, Packet, PacketFlags, PacketList, PortId, Span,
    TcpFlags, TcpHeader, Tunnel, VlanStack,
};
pub use place::Placer;
pub use settings::{Ports, Settings};
pub use transport::SCTP_CHUNKS_MAX;

use crate::types::{Cause, Counter, Counters, Limits};
use context::{Cx, Entry, Then};
use defrag::{Defrag, Outcome};

/// Packets of one frame: tunnels, and datagrams of which one completes the next, each with tunnels of its own.
const PACKETS_MAX: usize = 64;

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

    /// Other settings from the next frame on; fragments are put together as they were.
    pub fn settle(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Pushes the packets of `frame`, outermost first, each beside `index`: one at least. A frame that completes a
    /// datagram gives the fragment itself (flagged so) and then the datagram. What a tunnel carries is a packet if its
    /// first header holds; else the tunnel's own packet is all there is, and its payload is looked at.
    pub fn decode<'a>(&mut self, frame: &Frame<'a>, index: u32, out: &mut PacketList<'a>, counters: &mut Counters) {
        counters.inc(Counter::Packets);
        counters.add(Counter::Bytes, frame.data.len() as u64);
        counters.max(Counter::PacketSizeMax, frame.data.len() as u64);
        let mut layers = 0;
        let first = out.len();
        // Decoded in its place in the list: a packet is too large to move for nothing.
        out.push((index, Packet::new(frame)));
        let mut next = self.last(Entry::Link(frame.link), Bytes::Frame(frame.data), &mut layers, out, counters).next;
        while let Some((packet, entry, bytes)) = next {
            if out.len() - first >= PACKETS_MAX {
                return self.too_many(out, counters);
            }
            let tunnel = packet.tunnel.filter(|_| !packet.flags.reassembled);
            out.push((index, packet));
            let decoded = self.last(entry, bytes, &mut layers, out, counters);
            next = decoded.next;
            // Teredo is recognised by what it carries alone.
            let odd = |p: &Packet<'_>| p.tunnel == Some(Tunnel::Teredo) && p.flags.malformed;
            let sound = decoded.sound && !out.last().is_some_and(|(_, p)| odd(p));
            if !sound {
                let deep = out.pop().is_some_and(|(_, p)| p.events.contains(&events::TOO_MANY_LAYERS));
                // What cannot be decoded is not seen: the operator's policy answers for it.
                if let Some((_, outer)) = out.last_mut() {
                    outer.exceptions.push(Cause::DecodeInvalid);
                    if deep {
                        self.late(outer, events::TOO_MANY_LAYERS, counters);
                    }
                }
                continue;
            }
            let at = out.len() - 1;
            if let Some((_, outer)) = at.checked_sub(1).and_then(|i| out.get_mut(i)) {
                outer.flags.carrier = true;
            }
            if let Some(counter) = tunnel.and_then(|t| carried(t, entry)) {
                counters.inc(counter);
            }
        }
    }

    /// Decodes `bytes` into the list's last packet, which is blank yet; says what comes after it.
    #[inline(always)]
    fn last<'a>(
        &mut self,
        entry: Entry,
        bytes: Bytes<'a>,
        layers: &mut u8,
        out: &mut PacketList<'a>,
        counters: &mut Counters,
    ) -> Decoded<'a> {
        let Some((_, packet)) = out.last_mut() else { return Decoded { sound: false, next: None } };
        let mut cx = Cx::new(&self.settings, counters, *layers, self.layers_max);
        let sound = cx.run(entry, packet, bytes.as_slice());
        *layers = cx.layers;
        let mut then = cx.then;
        if let Then::Inner(..) = then {
            if cx.room() {
                *layers += 1;
            } else {
                packet.malformed(events::TOO_MANY_LAYERS);
                cx.counters.inc(Counter::DecodeTooManyLayers);
                then = Then::Done;
            }
        }
        // A packet that a tunnel or fragments do not carry after all leaves no trace of its own.
        let within = packet.flags.tunnelled || packet.flags.reassembled;
        if (packet.flags.malformed || !packet.events.is_empty()) && (sound || !within) {
            note(&mut self.event_counts, packet, counters);
        }
        let next = match then {
            Then::Done => None,
            then => self.following(then, packet, &bytes, layers, counters),
        };
        packet.bytes = bytes;
        Decoded { sound, next }
    }

    /// The packet that comes after `packet` in the list: what it carries, or the datagram it completes.
    #[inline(never)]
    fn following<'a>(
        &mut self,
        then: Then,
        packet: &mut Packet<'a>,
        bytes: &Bytes<'a>,
        layers: &mut u8,
        counters: &mut Counters,
    ) -> Option<Next<'a>> {
        match then {
            Then::Done => None,
            Then::Inner(tunnel, inner, span) => Some((inner_of(packet, tunnel), inner, part(bytes, span))),
            Then::Fragment(f) => {
                packet.flags.fragment = true;
                // A piece is no payload: rules look at the whole.
                packet.payload = Span::default();
                if packet.flags.checksum_bad {
                    // Its receiver throws it away: it must not take the place of one that is kept.
                    return None;
                }
                let key = self.defrag.key(packet, &f);
                packet.datagram = self.defrag.name(&key);
                let (had, was_malformed) = (packet.events.len(), packet.flags.malformed);
                let outcome = self.defrag.insert(key, &f, bytes.as_slice(), packet, counters);
                for &e in packet.events.iter().skip(had) {
                    count(&mut self.event_counts, e);
                }
                if packet.flags.malformed && !was_malformed {
                    counters.inc(Counter::DecodeInvalid);
                }
                match outcome {
                    Outcome::Whole(datagram, at) => {
                        // Headers in front of it were counted with its pieces.
                        *layers = 0;
                        let entry = Entry::Datagram { v6: packet.tuple.src.is_ipv6(), at };
                        Some((reassembled_of(packet), entry, Bytes::Reassembled(datagram)))
                    }
                    Outcome::Held => None,
                    Outcome::Refused => {
                        packet.exceptions.push(Cause::DefragOverlap);
                        None
                    }
                    Outcome::Full => {
                        packet.exceptions.push(Cause::DefragMemcap);
                        None
                    }
                }
            }
        }
    }

    /// A frame of more packets than are followed.
    #[cold]
    fn too_many(&mut self, out: &mut PacketList<'_>, counters: &mut Counters) {
        let Some((_, last)) = out.last_mut() else { return };
        counters.inc(Counter::DecodeTooManyLayers);
        self.late(last, events::TOO_MANY_LAYERS, counters);
    }

    /// Notes of a packet that is decoded and counted already what its contents have shown.
    fn late(&mut self, packet: &mut Packet<'_>, event: u16, counters: &mut Counters) {
        if !packet.flags.malformed {
            counters.inc(Counter::DecodeInvalid);
        }
        packet.malformed(event);
        count(&mut self.event_counts, event);
    }

    /// How often each event was raised, by its row in [`events::EVENTS`].
    pub fn event_counts(&self) -> &[u64] {
        &self.event_counts
    }

    /// The same under the names that statistics have for them.
    pub fn event_rows(counts: &[u64]) -> Vec<(String, u64)> {
        let rows = events::EVENTS.iter().zip(counts);
        // Too many layers have a counter of their own.
        let own = |e: &events::Event| e.name.contains('.');
        rows.filter(|(e, _)| own(e)).map(|(e, n)| (format!("decoder.event.{}", e.name), *n)).collect()
    }

    /// Bytes of fragments held.
    pub fn memory(&self) -> usize {
        self.defrag.memory()
    }
}

/// A packet to decode: blank, where to begin, its bytes.
type Next<'a> = (Packet<'a>, Entry, Bytes<'a>);

/// What became of one packet.
struct Decoded<'a> {
    /// Its first header holds.
    sound: bool,
    next: Option<Next<'a>>,
}

/// What is counted of a tunnel when what it carries is a packet.
const fn carried(tunnel: Tunnel, entry: Entry) -> Option<Counter> {
    Some(match (tunnel, entry) {
        (Tunnel::Ipv4, Entry::Ipv4) => Counter::DecodeIp4in4,
        (Tunnel::Ipv4, Entry::Ipv6) => Counter::DecodeIp6in4,
        (Tunnel::Ipv6, Entry::Ipv4) => Counter::DecodeIp4in6,
        (Tunnel::Ipv6, Entry::Ipv6) => Counter::DecodeIp6in6,
        (Tunnel::Teredo, _) => Counter::DecodeTeredo,
        _ => return None,
    })
}

/// Counts what is odd about a packet.
#[cold]
fn note(event_counts: &mut [u64], packet: &Packet<'_>, counters: &mut Counters) {
    packet.events.iter().for_each(|e| count(event_counts, *e));
    if packet.flags.malformed {
        counters.inc(Counter::DecodeInvalid);
    }
}

fn count(event_counts: &mut [u64], event: u16) {
    if let Some(n) = event_counts.get_mut(usize::from(event)) {
        *n = n.saturating_add(1);
    }
}

/// A packet inside `outer`: same frame, nothing decoded yet.
fn inner_of<'a>(outer: &Packet<'a>, tunnel: Tunnel) -> Packet<'a> {
    let mut p = blank_like(outer);
    p.tunnel = Some(tunnel);
    p.flags.tunnelled = true;
    p.flags.truncated = outer.flags.truncated;
    p.depth = outer.depth.saturating_add(1);
    p
}

/// The datagram that `fragment` completed.
fn reassembled_of<'a>(fragment: &Packet<'a>) -> Packet<'a> {
    let mut p = blank_like(fragment);
    p.ether = fragment.ether.map(|e| EtherHeader { header: Span::default(), ..e });
    p.vlan = fragment.vlan;
    p.depth = fragment.depth;
    p.tunnel = fragment.tunnel;
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
mod odd_tests;
#[cfg(test)]
mod tests;
