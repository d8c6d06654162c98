//! Traffic from a seed: conversations of known bytes, and what the way does to their packets.

use super::models::{Bounds, Ends, Named, Seen};
use harness::case_frames::{checksums_hold, fragment};
use harness::craft::{ACK, FIN, PSH, SYN, tcp4, udp4};
use harness::dialogue::TimedFrame;
use std::collections::{BTreeMap, VecDeque};

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i + 1));
        }
    }
}

/// A packet as its sender means it, before the way has it.
struct Step {
    to_server: bool,
    frame: Vec<u8>,
    kind: StepKind,
}

/// What may happen to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StepKind {
    /// Comes when it is sent, perhaps twice.
    Control,
    /// Comes in any order within its burst, perhaps twice, perhaps after a damaged copy.
    Segment,
    /// Comes once, in any order within its burst; with the last of its burst the datagram is whole.
    Fragment,
}

/// What the plan keeps of a conversation for its models.
struct Known {
    ends: Ends,
    /// Its bytes hold one.
    needle: bool,
    /// Its first and its last frame.
    frames: Option<(usize, usize)>,
}

pub struct Plan {
    pub inline: bool,
    pub short: bool,
    pub frames: Vec<TimedFrame>,
    /// Rules change before these frames.
    pub reloads: Vec<usize>,
    known: Vec<Known>,
    seen: Vec<Seen>,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (n, r) = (self.frames.len(), &self.reloads);
        write!(f, "{n} frames, inline {}, short {}, reloads before {r:?}", self.inline, self.short)
    }
}

fn ends(random: &mut Random, n: usize, proto: &'static str) -> Ends {
    let client = [10, 1, random.below(4) as u8, n as u8];
    Ends { client, server: [192, 0, 2, 1 + random.below(3) as u8], sport: 20_000 + n as u16, dport: 9_000, proto }
}

/// Bytes without a needle but where `needle` says; full of what begins like one.
fn text(random: &mut Random, len: usize, needle: Option<usize>) -> Vec<u8> {
    let words: [&[u8]; 5] = [b"need", b"le", b"-", b"xyzzy", b"needle_"];
    let mut all = Vec::new();
    while all.len() < len {
        let w = words[random.below(words.len())];
        // Never by chance.
        if !(w == b"-" && all.ends_with(b"needle")) {
            all.extend(w);
        }
    }
    if let Some(at) = needle {
        all.truncate(at);
        all.extend(b"|needle-|");
        let rest = random.below(40);
        all.extend(vec![b'.'; rest]);
    }
    all
}

/// A connection: handshake, the client's bytes in bursts of segments with answers, often a proper end.
fn connection(random: &mut Random, e: &Ends, needle: bool) -> Vec<Vec<Step>> {
    let isn = [random.next() as u32, random.next() as u32];
    let (mut c, s) = (isn[0].wrapping_add(1), isn[1].wrapping_add(1));
    let at = needle.then(|| random.below(200));
    let len = 20 + random.below(300);
    let bytes = text(random, len, at);
    let tcp = |to_server: bool, seq, ack, flags, data: &[u8]| {
        let (a, b) = ((e.client, e.sport), (e.server, e.dport));
        let (src, dst) = if to_server { (a, b) } else { (b, a) };
        tcp4(src, dst, seq, ack, flags, data, to_server)
    };
    let control = |to_server, frame| vec![Step { to_server, frame, kind: StepKind::Control }];
    let segment = |frame| Step { to_server: true, frame, kind: StepKind::Segment };
    let mut bursts = vec![
        control(true, tcp(true, isn[0], 0, SYN, b"")),
        control(false, tcp(false, isn[1], c, SYN | ACK, b"")),
        control(true, tcp(true, c, s, ACK, b"")),
    ];
    let mut sent = 0;
    while sent < bytes.len() {
        let mut burst = Vec::new();
        let from = sent;
        for _ in 0..1 + random.below(4) {
            let n = (1 + random.below(60)).min(bytes.len() - sent);
            if n == 0 {
                break;
            }
            let piece = &bytes[sent..sent + n];
            sent += n;
            burst.push(segment(tcp(true, c.wrapping_add((sent - n) as u32), s, PSH | ACK, piece)));
        }
        if random.one_in(4) {
            // A copy that covers several segments.
            let frame = tcp(true, c.wrapping_add(from as u32), s, PSH | ACK, &bytes[from..sent]);
            burst.push(segment(frame));
        }
        bursts.push(burst);
        bursts.push(control(false, tcp(false, s, c.wrapping_add(sent as u32), ACK, b"")));
    }
    c = c.wrapping_add(bytes.len() as u32);
    if !random.one_in(4) {
        bursts.push(control(true, tcp(true, c, s, FIN | ACK, b"")));
        bursts.push(control(false, tcp(false, s, c.wrapping_add(1), FIN | ACK, b"")));
        bursts.push(control(true, tcp(true, c.wrapping_add(1), s.wrapping_add(1), ACK, b"")));
    }
    bursts
}

/// A datagram, whole or in fragments.
fn datagram(random: &mut Random, e: &Ends, needle: bool, id: u16) -> Vec<Vec<Step>> {
    let at = needle.then(|| random.below(60));
    let len = 30 + random.below(200);
    let bytes = text(random, len, at);
    let mut frame = udp4((e.client, e.sport), (e.server, e.dport), &bytes, true);
    frame[18..20].copy_from_slice(&id.to_be_bytes());
    let parts = if random.one_in(3) { vec![frame] } else { fragment(&frame, 8 * (1 + random.below(6))) };
    vec![parts.into_iter().map(|frame| Step { to_server: true, frame, kind: StepKind::Fragment }).collect()]
}

impl Plan {
    pub fn new(random: &mut Random) -> Self {
        let mut plan = Plan {
            inline: random.one_in(2),
            short: random.one_in(3),
            frames: Vec::new(),
            reloads: Vec::new(),
            known: Vec::new(),
            seen: Vec::new(),
        };
        let mut micros = 1_700_000_000_000_000;
        // Waves with silence between them in which every flow times out; ends come again in the next.
        for wave in 0..1 + random.below(3) {
            plan.wave(random, wave, &mut micros);
            micros += 4_000_000_000;
        }
        let n = plan.frames.len();
        plan.reloads = (0..random.below(4)).map(|_| 1 + random.below(n - 1)).collect();
        plan.reloads.sort_unstable();
        plan.reloads.dedup();
        plan
    }

    fn wave(&mut self, random: &mut Random, wave: usize, micros: &mut i64) {
        let mut lanes: Vec<(usize, VecDeque<Vec<Step>>)> = Vec::new();
        for n in 0..3 + random.below(25) {
            let tcp = !random.one_in(3);
            let (needle, e) = (random.one_in(2), ends(random, n, if tcp { "TCP" } else { "UDP" }));
            let bursts = if tcp {
                connection(random, &e, needle)
            } else {
                datagram(random, &e, needle, (wave * 1_000 + n) as u16)
            };
            self.known.push(Known { ends: e, needle, frames: None });
            lanes.push((self.known.len() - 1, bursts.into()));
        }
        while !lanes.is_empty() {
            let lane = random.below(lanes.len());
            let Some(mut burst) = lanes[lane].1.pop_front() else {
                lanes.swap_remove(lane);
                continue;
            };
            if burst.iter().all(|s| s.kind != StepKind::Control) {
                random.shuffle(&mut burst);
            }
            let who = lanes[lane].0;
            self.burst(random, who, burst, micros);
        }
    }

    fn burst(&mut self, random: &mut Random, who: usize, burst: Vec<Step>, micros: &mut i64) {
        let mut missing = burst.len();
        for s in burst {
            missing -= 1;
            if s.kind == StepKind::Segment && random.one_in(15) {
                // One damaged on its way comes first; no receiver takes it.
                let mut frame = s.frame.clone();
                frame[54..].iter_mut().for_each(|b| *b ^= 0x20);
                frame[54] ^= 1;
                if !checksums_hold(&frame) {
                    self.push(random, who, s.to_server, frame, micros, true);
                }
            }
            let again = s.kind != StepKind::Fragment && random.one_in(12);
            for _ in 0..1 + usize::from(again) {
                let packet = s.kind != StepKind::Fragment || missing == 0;
                self.push(random, who, s.to_server, s.frame.clone(), micros, packet);
            }
        }
    }

    fn push(
        &mut self,
        random: &mut Random,
        who: usize,
        to_server: bool,
        data: Vec<u8>,
        micros: &mut i64,
        packet: bool,
    ) {
        *micros += 1 + random.below(50_000) as i64;
        let at = self.frames.len();
        let known = &mut self.known[who];
        known.frames = Some((known.frames.map_or(at, |f| f.0), at));
        self.seen.push(Seen { ends: known.ends, micros: *micros, packet });
        self.frames.push(TimedFrame { micros: *micros, to_server, data });
    }

    /// What the flow table is shown.
    pub fn packets(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(|s| s.packet)
    }

    /// Who sent needles, and how many of them must be found: all but those of flows that the rules changed under. Watching,
    /// what was not acknowledged is read when a flow ends, so there any later change counts.
    pub fn needles(&self) -> BTreeMap<Named, Bounds> {
        let mut all: BTreeMap<Named, Bounds> = BTreeMap::new();
        for k in self.known.iter().filter(|k| k.needle) {
            let (first, last) = k.frames.unwrap_or_default();
            let last = if self.inline { last } else { usize::MAX };
            let bounds = all.entry(k.ends.named()).or_default();
            let changed = self.reloads.iter().any(|r| first < *r && *r <= last);
            // New rules do not know what old ones found in the bytes that are still held.
            bounds.most += if changed { 2 } else { 1 };
            bounds.least += usize::from(!changed);
        }
        all
    }
}
