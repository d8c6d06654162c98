//! What the functions of one packet share: settings, counters, the bound on headers, and what is to follow.

use super::packet::{Frame, LinkType, Packet, PortId, Span, Tunnel};
use super::settings::Settings;
use super::{Decoder, events, ipv4, ipv6, link, tunnel};
use crate::types::{Counter, Counters, Limits, Timestamp};
use crate::wire::checksum;

/// Where decoding of a packet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Link(LinkType),
    Ethernet,
    Ipv4,
    Ipv6,
    /// Put together from fragments: the IP header stands where `at` says.
    Datagram {
        v6: bool,
        at: usize,
    },
    Ppp,
    Vlan,
    Arp,
    Mpls,
    /// ERSPAN type I, which has no header of its own.
    ErspanI,
    Erspan,
}

/// A fragment as its headers tell; spans are of the packet's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    /// From the first byte of the IP header up to the fragment's data (IPv4), or up to the fragment header (IPv6).
    pub header: Span,
    /// Where in `header` the byte lies that names what follows it: patched when the fragment header goes (IPv6).
    pub next_at: u16,
    /// What the reassembled payload is.
    pub proto: u8,
    pub id: u32,
    /// In bytes.
    pub offset: u32,
    pub more: bool,
    pub data: Span,
}

/// What follows the packet just decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Then {
    #[default]
    Done,
    /// It carries another packet.
    Inner(Tunnel, Entry, Span),
    /// It is a piece of a datagram.
    Fragment(Fragment),
}

/// How a transport sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    /// The message alone (ICMP).
    Plain,
    Udp,
    /// With the pseudo-header of this protocol.
    Under(u8),
}

pub(super) struct Cx<'s> {
    pub settings: &'s Settings,
    pub counters: &'s mut Counters,
    pub layers: u8,
    layers_max: u8,
    pub then: Then,
    /// The IPv4 header's protocol field holds a connection's slot: the packet is TCP.
    pub compressed_slot: bool,
}

impl<'s> Cx<'s> {
    pub fn new(settings: &'s Settings, counters: &'s mut Counters, layers: u8, layers_max: u8) -> Self {
        Cx { settings, counters, layers, layers_max, then: Then::Done, compressed_slot: false }
    }

    /// Whether the first header holds, with those that it answers for: else there is no such packet, if it was in a
    /// tunnel.
    pub fn run(&mut self, entry: Entry, p: &mut Packet<'_>, data: &[u8]) -> bool {
        match entry {
            Entry::Link(l) => link::by_link_type(self, p, data, l),
            Entry::Ethernet => link::ethernet(self, p, data, 0),
            Entry::Ipv4 => ipv4::decode(self, p, data, 0),
            Entry::Ipv6 => ipv6::decode(self, p, data, 0),
            Entry::Datagram { v6: false, at } => ipv4::decode(self, p, data, at),
            Entry::Datagram { v6: true, at } => ipv6::decode(self, p, data, at),
            Entry::Ppp => link::ppp(self, p, data, 0),
            Entry::Vlan => link::vlan(self, p, data, 0),
            Entry::Arp => link::arp(self, p, data, 0),
            Entry::Mpls => link::mpls(self, p, data, 0),
            Entry::ErspanI => {
                self.counters.inc(Counter::DecodeErspan);
                link::ethernet(self, p, data, 0)
            }
            Entry::Erspan => tunnel::erspan(self, p, data),
        }
    }

    /// Whether one encapsulation more may begin.
    pub const fn room(&self) -> bool {
        self.layers.saturating_add(1) < self.layers_max
    }

    /// Verifies the transport checksum of the datagram that begins at `at`, where settings ask for it.
    #[inline]
    pub fn verify(&mut self, p: &mut Packet<'_>, datagram: &[u8], how: Sum) {
        if !self.settings.verify_checksums {
            p.flags.checksum_unverified = true;
            return;
        }
        let (src, dst) = (p.tuple.src, p.tuple.dst);
        let ok = match how {
            Sum::Plain => checksum::plain_ok(datagram),
            Sum::Udp => checksum::udp_ok(src, dst, datagram),
            Sum::Under(proto) => checksum::transport_ok(src, dst, proto, datagram),
        };
        if !ok {
            p.flags.checksum_bad = true;
            self.counters.inc(Counter::ChecksumInvalid);
        }
    }

    /// Takes one header more; false, with its event, when there were too many.
    #[inline]
    pub fn layer(&mut self, p: &mut Packet<'_>) -> bool {
        self.layers = self.layers.saturating_add(1);
        if self.layers >= self.layers_max {
            self.counters.inc(Counter::DecodeTooManyLayers);
            p.invalid(events::TOO_MANY_LAYERS);
            return false;
        }
        true
    }
}

/// For fuzzing: the first byte picks the link type, the rest is cut into frames by 16-bit lengths; one decoder sees all.
pub fn fuzz_target(data: &[u8]) {
    const LINKS: [LinkType; 12] = [
        LinkType::ETHERNET,
        LinkType::RAW,
        LinkType::NULL,
        LinkType::LOOP,
        LinkType::PPP,
        LinkType::LINUX_SLL,
        LinkType::LINUX_SLL2,
        LinkType::IEEE802_11,
        LinkType::IEEE802_11_RADIOTAP,
        LinkType::C_HDLC,
        LinkType::IPV4,
        LinkType::IPV6,
    ];
    let Some((&first, mut rest)) = data.split_first() else { return };
    let link = LINKS.get(usize::from(first & 0x0f)).copied().unwrap_or(LinkType::ETHERNET);
    let mut settings = Settings { verify_checksums: first & 0x10 != 0, ..Settings::default() };
    if first & 0x20 != 0 {
        settings.teredo = super::Ports::Any;
    }
    let limits = Limits { defrag_datagrams_max: 8, defrag_bytes_max: 1 << 18, ..Limits::default() };
    let mut placer = super::Placer::new(&settings, &limits);
    let mut decoder = Decoder::new(settings, &limits);
    let mut counters = Counters::default();
    let mut number = 0u64;
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len) & 0x07ff).min(after.len());
        let (frame, next) = after.split_at_checked(len).unwrap_or((after, &[]));
        rest = next;
        number += 1;
        let mut out = Vec::new();
        let frame = Frame {
            ts: Timestamp::from_secs(number.wrapping_mul(u64::from(first >> 6))),
            number,
            link,
            port: PortId(0),
            data: frame,
            wire_len: frame.len() as u32,
        };
        decoder.decode(&frame, 0, &mut out, &mut counters);
        let pair = placer.pair(&frame);
        assert!(pair.is_none() || out.iter().any(|(_, p)| p.ip.is_some()));
        for (_, p) in &out {
            check(p);
        }
    }
}

/// Every span of a packet lies in its bytes, and the layers follow one another.
pub(super) fn check(p: &Packet<'_>) {
    use super::packet::{IpHeader, L4, TcpHeader};
    let len = p.bytes.as_slice().len() as u32;
    let inside = |s: Span| s.start <= s.end && s.end <= len;
    assert!(inside(p.payload), "payload {:?} of {len}", p.payload);
    let mut at = 0;
    if let Some(IpHeader::V4 { header, .. } | IpHeader::V6 { header, .. }) = p.ip {
        assert!(inside(header));
        at = header.end;
    }
    match p.l4 {
        L4::None | L4::Other => {}
        L4::Tcp(TcpHeader { header, .. })
        | L4::Udp { header }
        | L4::Icmp4 { header, .. }
        | L4::Sctp { header, .. }
        | L4::Igmp { header, .. } => {
            assert!(inside(header) && header.start >= at && header.end <= p.payload.start);
        }
        // Its second word is header to some and message to others.
        L4::Icmp6 { header, .. } => {
            assert!(inside(header) && header.start >= at && header.end <= p.payload.start + 4);
        }
    }
    assert!(p.events.len() <= events::EVENTS.len());
}
