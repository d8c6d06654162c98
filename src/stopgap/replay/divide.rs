//! Which worker a frame goes to.
//!
//! Both directions of a flow, its fragments, and every flow that shares a frame with it must meet on one worker. Frames
//! are divided by a keyed hash of their pair of addresses, so that nobody outside can aim at one worker with addresses of
//! their choice; what one pair sends is one worker's. Pairs that occur in one frame (a tunnel and what it carries, an
//! error and the packet it quotes) are joined and divided as one. A capture that can be read twice is learned from first
//! ([`Divider::learn`]), so that a join is known before the first of its frames is placed; of one that cannot, only what
//! came before is known, and flows of one pair that move between several tunnels may come apart.

use engine::decode::{Decoder, Frame, L4, Packet};
use engine::flow::pair_hash;
use engine::types::Counters;
use engine::worker::Config;
use std::collections::HashMap;
use std::net::IpAddr;

/// Pairs that may be joined; further ones are divided by themselves.
const JOINED_MAX: usize = 1 << 20;

type Pair = (IpAddr, IpAddr);

pub struct Divider {
    decoder: Decoder,
    counters: Counters,
    seed: [u64; 2],
    /// Sets of joined pairs: each names another of its set, the last one itself.
    joined: HashMap<Pair, Pair>,
}

impl Divider {
    pub fn new(config: &Config) -> Self {
        let mut settings = config.decode.clone();
        settings.verify_checksums = false;
        Divider {
            decoder: Decoder::new(settings, &config.limits),
            counters: Counters::default(),
            seed: config.seed,
            joined: HashMap::new(),
        }
    }

    /// Notes which pairs belong together.
    pub fn learn(&mut self, frame: &Frame<'_>) {
        self.pair(frame);
    }

    /// Forgets half-read datagrams: the capture begins again.
    pub fn rewind(&mut self, config: &Config) {
        let joined = std::mem::take(&mut self.joined);
        *self = Divider { joined, ..Divider::new(config) };
    }

    /// The worker of `n`.
    pub fn place(&mut self, frame: &Frame<'_>, n: usize) -> usize {
        self.pair(frame).map_or(0, |p| (pair_hash(self.seed, p.0, p.1) % n as u64) as usize)
    }

    /// The pair that stands for all of the frame's; `None` where it has no addresses.
    fn pair(&mut self, frame: &Frame<'_>) -> Option<Pair> {
        let mut packets = Vec::new();
        self.decoder.decode(frame, 0, &mut packets, &mut self.counters);
        let mut all = packets.iter().filter(|(_, p)| p.ip.is_some()).flat_map(|(_, p)| pairs(p));
        let first = all.next()?;
        let mut root = self.root(first);
        for pair in all {
            let other = self.root(pair);
            if other != root && self.joined.len() + 2 <= JOINED_MAX {
                // The lesser stands for both, so that the order of joins does not matter.
                let (low, high) = (root.min(other), root.max(other));
                self.joined.insert(high, low);
                self.joined.entry(low).or_insert(low);
                root = low;
            }
        }
        Some(root)
    }

    fn root(&mut self, pair: Pair) -> Pair {
        let mut root = pair;
        while let Some(next) = self.joined.get(&root).filter(|n| **n != root) {
            root = *next;
        }
        // Shortens the way for the next time.
        let mut at = pair;
        while at != root {
            let Some(next) = self.joined.insert(at, root) else { break };
            at = next;
        }
        root
    }
}

/// The packet's own pair, and that of the packet it quotes.
fn pairs(p: &Packet<'_>) -> impl Iterator<Item = Pair> {
    let quoted = match p.l4 {
        L4::Icmp4 { embedded, .. } | L4::Icmp6 { embedded, .. } => embedded,
        _ => None,
    };
    let own = (p.tuple.src, p.tuple.dst);
    [Some(own), quoted.map(|t| (t.src, t.dst))].into_iter().flatten().map(|(a, b)| (a.min(b), a.max(b)))
}
