//! Frames made by hand, sent from one end of a wire and looked for at the other.

use crate::talk::{BENIGN, CLOSED};
use harness::case_frames;
use harness::craft::{self, ACK, Conversation, PSH};
use harness::dialogue::TimedFrame;
use harness::live::Live;
use harness::netns::{At, Bed};
use harness::raw::Raw;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// What a request asks for: harmless, and what [`RULES`] stop. Equally long, for copies that differ.
pub const WORDS: [&str; 2] = ["etc/innocents", "etc/passwords"];

pub const RULES: &str = "\
drop http any any -> any any (http.uri; content:\"/etc/passwords\"; sid:1;)\n\
drop udp any any -> any any (content:\"etc/passwords\"; sid:2;)\n\
drop icmp any any -> any any (content:\"etc/passwords\"; sid:3;)\n";

/// What a frame is to the attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Leads to it.
    Plain,
    /// Holds some of it; the receiver needs each of these.
    Decisive,
    /// Is to mislead; whether it arrives is no matter.
    Decoy,
}

pub struct Step {
    pub part: Part,
    pub to_server: bool,
    pub frame: Vec<u8>,
}

/// Steps from a port of the client's; what is asked for, and what decoys ask for.
pub type Shape = fn(u16, &str, &str) -> Vec<Step>;

pub fn request(word: &str) -> Vec<u8> {
    format!("GET /{word} HTTP/1.1\r\nHost: server.example\r\n\r\n").into_bytes()
}

/// A connection of which every frame has its part.
pub struct Script {
    pub c: Conversation,
    parts: Vec<Part>,
}

impl Script {
    pub fn open(port: u16) -> Script {
        let c = Conversation::open(port, 80);
        Script { parts: vec![Part::Plain; c.frames.len()], c }
    }

    /// What was added since is this.
    pub fn are(&mut self, part: Part) {
        self.parts.resize(self.c.frames.len(), part);
    }

    /// A segment of the client's, so many bytes after what was acknowledged.
    pub fn put(&mut self, part: Part, after: u32, bytes: &[u8]) {
        let [seq, ack] = self.c.seq;
        self.c.segment(true, seq.wrapping_add(after), ack, PSH | ACK, bytes);
        self.are(part);
    }

    pub fn steps(self) -> Vec<Step> {
        let one = |(f, part): (TimedFrame, Part)| Step { part, to_server: f.to_server, frame: f.data };
        self.c.frames.into_iter().zip(self.parts).map(one).collect()
    }
}

/// A connection with one request in a segment, and its answer.
pub fn plain(port: u16, word: &str) -> Vec<Step> {
    let mut s = Script::open(port);
    s.put(Part::Decisive, 0, &request(word));
    s.c.seq[0] += request(word).len() as u32;
    s.c.send(false, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    s.are(Part::Plain);
    s.steps()
}

/// Each step's frame become these, in this order.
pub fn each(steps: Vec<Step>, into: impl Fn(Vec<u8>) -> Vec<Vec<u8>>) -> Vec<Step> {
    let one = |s: Step| {
        let (part, to_server) = (s.part, s.to_server);
        into(s.frame).into_iter().map(move |frame| Step { part, to_server, frame })
    };
    steps.into_iter().flat_map(one).collect()
}

/// Only what is decisive becomes these.
pub fn each_decisive(steps: Vec<Step>, into: impl Fn(Vec<u8>) -> Vec<Vec<u8>>) -> Vec<Step> {
    let one = |s: Step| if s.part == Part::Decisive { each(vec![s], &into) } else { vec![s] };
    steps.into_iter().flat_map(one).collect()
}

/// The same under another time to live.
pub fn living(mut frame: Vec<u8>, hops: u8) -> Vec<u8> {
    frame[22] = hops;
    case_frames::repair_ipv4(&mut frame);
    frame
}

/// Both ends of a wire that the program stands in.
pub struct Wire {
    ends: [Raw; 2],
    marks: Cell<u32>,
}

impl Wire {
    pub fn of(bed: &Bed) -> Wire {
        Wire { ends: [At::Client, At::Server].map(|at| Raw::open(bed, at)), marks: Cell::new(0) }
    }

    /// Sends a frame; what of ours arrives at the other end before one that was sent after it.
    pub fn send(&self, to_server: bool, frame: &[u8]) -> Vec<Vec<u8>> {
        let [from, to] = if to_server { [0, 1] } else { [1, 0] };
        let (from, to) = (&self.ends[from], &self.ends[to]);
        assert!(from.send(frame), "the interface does not take a frame of {} bytes", frame.len());
        self.marks.set(self.marks.get() + 1);
        let mark = craft::udp(to_server, 9, 9, 0, format!("mark {}", self.marks.get()).as_bytes()).data;
        let end = Instant::now() + BENIGN;
        let mut arrived = Vec::new();
        // One that a busy machine had dropped is sent again.
        while Instant::now() < end {
            assert!(from.send(&mark));
            let mine = |f: &[u8]| {
                // The kernel's own frames come from other addresses.
                if f != mark && f[6..11] == [2, 0, 0, 0, 0] && !f.windows(5).any(|w| w == b"mark ") {
                    arrived.push(f.to_vec());
                }
                f == mark
            };
            if to.find(Duration::from_millis(500), mine).is_some() {
                return arrived;
            }
        }
        panic!("nothing arrives any more");
    }

    /// Takes the steps. Whether all that a harmless conversation wants arrived as it was sent, or else what did not; and
    /// how many of the decisive frames did not.
    pub fn play(&self, steps: &[Step]) -> (Result<(), String>, usize) {
        let (mut intact, mut missing) = (Ok(()), 0);
        for (n, s) in steps.iter().enumerate() {
            let arrived = self.send(s.to_server, &s.frame);
            let whole = arrived.contains(&s.frame);
            if s.part == Part::Decisive && !whole {
                missing += 1;
            }
            let alone = arrived.len() == usize::from(whole);
            if s.part != Part::Decoy && !(whole && alone) && intact.is_ok() {
                intact = Err(format!("of frame {n} arrived {arrived:02x?}, not {:02x?}", s.frame));
            }
        }
        (intact, missing)
    }
}

/// Of every shape the harmless arrives as it was sent, the harmful not whole.
pub fn hold(bed: &Bed, name: &str, how: &[&str], shapes: &[(&str, Shape)]) {
    let live = Live::with(bed, name, RULES, &[&CLOSED[..], how].concat());
    let wire = Wire::of(bed);
    let ports = Cell::new(40_000);
    let play = |shape: Shape, word: &str| {
        ports.set(ports.get() + 1);
        wire.play(&shape(ports.get(), word, WORDS[0]))
    };
    let mut wrong = Vec::new();
    for (what, shape) in shapes {
        // Nobody sends again what was dropped while a busy machine kept the worker waiting.
        let mut tries = (0..3).map(|_| play(*shape, WORDS[0]).0);
        let last = tries.find(|t| t.is_ok()).unwrap_or_else(|| play(*shape, WORDS[0]).0);
        if let Err(why) = last {
            wrong.push(format!("{what}: {why}"));
        }
        if play(*shape, WORDS[1]).1 == 0 {
            wrong.push(format!("{what}: the attack arrived whole"));
        }
    }
    assert!(wrong.is_empty(), "{:?}\n{}", live.said, wrong.join("\n"));
}
