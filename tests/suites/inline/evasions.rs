//! What is done to segments and packets so that the engine reads another stream than the server: whatever it reads, the
//! server does not get the attack whole.

use crate::wire::{self, Part, Script, Shape, Step};
use Part::{Decisive, Decoy};
use harness::case_frames::{self, Recut};
use harness::craft::{ACK, Odd, PSH, RST};
use harness::dialogue::TimedFrame;
use harness::live::bed;

/// A request in pieces of this size.
fn pieces(port: u16, word: &str, size: usize) -> Vec<Step> {
    let cut = |data| {
        let whole = TimedFrame { micros: 0, to_server: true, data };
        case_frames::recut(&whole, Recut { size, reversed: false }).into_iter().map(|f| f.data).collect()
    };
    wire::each_decisive(wire::plain(port, word), cut)
}

/// The decisive ones in another order; all else stays.
fn reordered(steps: Vec<Step>, order: impl Fn(Vec<Step>) -> Vec<Step>) -> Vec<Step> {
    let first = steps.iter().position(|s| s.part == Decisive).unwrap();
    let (decisive, rest): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|s| s.part == Decisive);
    let mut rest = rest.into_iter();
    let before: Vec<Step> = rest.by_ref().take(first).collect();
    before.into_iter().chain(order(decisive)).chain(rest).collect()
}

fn backwards(mut steps: Vec<Step>) -> Vec<Step> {
    steps.reverse();
    steps
}

fn odd_ones_first(steps: Vec<Step>) -> Vec<Step> {
    let (even, mut odd): (Vec<_>, Vec<_>) = steps.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    odd.extend(even);
    odd.into_iter().map(|(_, s)| s).collect()
}

/// A decoy made by this, then the request.
fn misled(port: u16, word: &str, decoy: impl Fn(&mut Script)) -> Vec<Step> {
    let mut s = Script::open(port);
    decoy(&mut s);
    s.are(Decoy);
    s.put(Decisive, 0, &wire::request(word));
    s.steps()
}

/// The request's segment in fragments of so many bytes.
fn in_fragments(port: u16, word: &str, size: usize) -> Vec<Step> {
    wire::each_decisive(wire::plain(port, word), |mut f| {
        f[18..20].copy_from_slice(&port.to_be_bytes());
        case_frames::fragment(&f, size)
    })
}

/// The same, with one of another word beside its second fragment, where they differ: so many places after it.
fn with_another(port: u16, [word, other]: [&str; 2], after: usize) -> Vec<Step> {
    let [mut real, other] = [word, other].map(|w| in_fragments(port, w, 24));
    let second = real.iter().position(|s| s.part == Decisive).unwrap() + 1;
    let decoy = other.into_iter().nth(second).unwrap();
    if decoy.frame != real[second].frame {
        real.insert(second + after, Step { part: Decoy, ..decoy });
    }
    real
}

const SHAPES: &[(&str, Shape)] = &[
    ("segments in order", |p, w, _| pieces(p, w, 7)),
    ("segments backwards", |p, w, _| reordered(pieces(p, w, 7), backwards)),
    ("bytes, the odd ones first", |p, w, _| reordered(pieces(p, w, 1), odd_ones_first)),
    ("a copy that differs came first", |p, w, d| misled(p, w, |s| s.put(Decoy, 0, &wire::request(d)))),
    ("a copy of its middle that differs", |p, w, d| {
        let (real, other) = (wire::request(w), wire::request(d));
        let mut s = Script::open(p);
        s.put(Decisive, 0, &real[..9]);
        s.put(Decoy, 5, &other[5..12]);
        s.put(Decisive, 9, &real[9..]);
        s.steps()
    }),
    ("copies that differ behind a hole", |p, w, d| {
        let (real, other) = (wire::request(w), wire::request(d));
        let mut s = Script::open(p);
        s.put(Decisive, 8, &real[8..]);
        s.put(Decoy, 8, &other[8..]);
        s.put(Decisive, 0, &real[..8]);
        s.steps()
    }),
    ("copies that differ behind a hole, the harmless first", |p, w, d| {
        let (real, other) = (wire::request(w), wire::request(d));
        let mut s = Script::open(p);
        s.put(Decoy, 8, &other[8..]);
        s.put(Decisive, 8, &real[8..]);
        s.put(Decisive, 0, &real[..8]);
        s.steps()
    }),
    ("a decoy of a wrong checksum", |p, w, d| {
        misled(p, w, |s| {
            let [seq, ack] = s.c.seq;
            let odd = Odd { wrong_checksum: true, ..Odd::default() };
            s.c.odd(true, seq, ack, PSH | ACK, &wire::request(d), odd);
        })
    }),
    ("a decoy that dies on the way", |p, w, d| {
        misled(p, w, |s| {
            s.put(Decoy, 0, &wire::request(d));
            let last = s.c.frames.last_mut().unwrap();
            last.data = wire::living(last.data.clone(), 1);
        })
    }),
    ("a decoy out of the window", |p, w, d| misled(p, w, |s| s.put(Decoy, 1 << 24, &wire::request(d)))),
    ("a reset out of the window", |p, w, _| {
        misled(p, w, |s| {
            let [seq, ack] = s.c.seq;
            s.c.segment(true, seq.wrapping_add(1 << 24), ack, RST | ACK, &[]);
        })
    }),
    ("a reset of a wrong checksum", |p, w, _| {
        misled(p, w, |s| {
            let [seq, ack] = s.c.seq;
            s.c.odd(true, seq, ack, RST | ACK, &[], Odd { wrong_checksum: true, ..Odd::default() });
        })
    }),
    ("fragments in order", |p, w, _| in_fragments(p, w, 24)),
    ("fragments backwards", |p, w, _| reordered(in_fragments(p, w, 24), backwards)),
    ("fragments of eight bytes, the odd ones first", |p, w, _| reordered(in_fragments(p, w, 8), odd_ones_first)),
    ("fragments of which one came before and differs", |p, w, d| with_another(p, [w, d], 0)),
    ("fragments of which one comes again and differs", |p, w, d| with_another(p, [w, d], 1)),
];

#[test]
fn evasions_are_in_vain() {
    let Some(bed) = bed("evasions_are_in_vain") else { return };
    for how in ["af-xdp", "af-packet"] {
        wire::hold(&bed, how, &["--capture", how], SHAPES);
    }
}
