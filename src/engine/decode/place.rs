//! Which pair of addresses a frame is about: what decides whose of several workers it is.

use super::context::{Cx, Entry, Then};
use super::packet::{Bytes, Frame, L4, Packet};
use super::{Settings, inner_of, part};
use crate::types::{Counters, Limits};
use std::net::IpAddr;

/// Looks into frames without keeping anything of them. One per worker.
///
/// The pair is that of the innermost packet, or of the packet that an ICMP error quotes, so that a flow meets itself
/// whether it comes in a tunnel or not, both ways, and its fragments too. Of a fragment nothing further in is known: pieces
/// of a tunnel's packets go by the tunnel's own ends.
pub struct Placer {
    settings: Settings,
    layers_max: u8,
    /// Counted by whoever decodes the frame for good; these are nobody's.
    counters: Counters,
}

impl Placer {
    pub fn new(settings: &Settings, limits: &Limits) -> Placer {
        let layers_max = u8::try_from(limits.decode_layers_max).unwrap_or(u8::MAX);
        let settings = Settings { verify_checksums: false, ..settings.clone() };
        Placer { settings, layers_max, counters: Counters::default() }
    }

    /// `None` where the frame has no addresses. In no order.
    pub fn pair(&mut self, frame: &Frame<'_>) -> Option<(IpAddr, IpAddr)> {
        let (mut packet, mut entry) = (Packet::new(frame), Entry::Link(frame.link));
        let mut bytes = Bytes::Frame(frame.data);
        let (mut pair, mut layers) = (None, 0);
        loop {
            let mut cx = Cx::new(&self.settings, &mut self.counters, layers, self.layers_max);
            if !cx.run(entry, &mut packet, bytes.as_slice()) && pair.is_some() {
                return pair;
            }
            if packet.ip.is_some() {
                pair = Some((packet.tuple.src, packet.tuple.dst));
            }
            if let L4::Icmp4 { embedded: Some(t), .. } | L4::Icmp6 { embedded: Some(t), .. } = packet.l4 {
                pair = Some((t.src, t.dst));
            }
            let Then::Inner(tunnel, inner, span) = cx.then else { return pair };
            // Each turn takes a layer, of which there are so many.
            layers = cx.layers + 1;
            if layers >= self.layers_max {
                return pair;
            }
            bytes = part(&bytes, span);
            (packet, entry) = (inner_of(&packet, tunnel), inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::LinkType;
    use super::super::tests::{ether, frame, icmp, ip4, ip4_with, udp};
    use super::*;

    /// A packet of ours with other addresses than those that `ip4` gives, one way or the other.
    fn between(mut packet: Vec<u8>, back: bool) -> Vec<u8> {
        let ends = [[192, 0, 2, 1], [192, 0, 2, 2]];
        packet[12..16].copy_from_slice(&ends[usize::from(back)]);
        packet[16..20].copy_from_slice(&ends[usize::from(!back)]);
        packet
    }

    #[test]
    fn a_flow_meets_itself_however_it_comes() {
        let there = between(ip4(17, &udp(53, 5353, b"deep")), false);
        let back = between(ip4(17, &udp(5353, 53, b"deep")), true);
        let piece = |offset: u16| between(ip4_with(17, 9, offset, &[], &[0; 64]), false);
        let inner = ether(0x0800, &back);
        let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &inner].concat();
        let frames = [
            there.clone(),
            back.clone(),
            piece(0x2000),
            piece(8),
            ip4(4, &there),
            ip4(4, &ip4(4, &back)),
            ip4(47, &[&[0, 0, 8, 0][..], &there].concat()),
            ip4(17, &udp(9, 4789, &vxlan)),
            ip4(1, &icmp(3, 1, [0; 4], &there)),
            ip4(4, &ip4(1, &icmp(11, 0, [0; 4], &back))),
        ];
        let mut placer = Placer::new(&Settings::default(), &Limits::default());
        for (i, bytes) in frames.iter().enumerate() {
            let f = ether(0x0800, bytes);
            let (a, b) = placer.pair(&frame(&f, LinkType::ETHERNET, 1)).unwrap();
            assert_eq!((a.min(b), a.max(b)), ([192, 0, 2, 1].into(), [192, 0, 2, 2].into()), "{i}");
        }
        let arp = ether(0x0806, &[0; 28]);
        assert_eq!(placer.pair(&frame(&arp, LinkType::ETHERNET, 1)), None);
    }

    #[test]
    fn nesting_ends() {
        let mut bytes = ip4(17, &udp(1, 2, b"x"));
        (0..200).for_each(|_| bytes = ip4(4, &bytes));
        let f = ether(0x0800, &bytes);
        assert!(
            Placer::new(&Settings::default(), &Limits::default()).pair(&frame(&f, LinkType::ETHERNET, 1)).is_some()
        );
    }
}
