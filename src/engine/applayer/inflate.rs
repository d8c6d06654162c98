//! Decompression of bodies as they arrive: gzip, zlib, raw deflate, brotli, one in another.
//!
//! Incremental: bytes go in as they come, plain bytes go to a sink. Bounded in memory (one window per layer), in layers
//! ([`LAYERS_MAX`]) and in work: output past [`Bounds::out_max`] ends it, and so does output past [`Bounds::bomb_bytes`]
//! once it is [`Bounds::bomb_ratio`] times the input, counted over every layer, so that nested bombs cost no more than
//! plain ones. What servers get wrong is forgiven where clients forgive it: deflate with or without its zlib header, one
//! encoding under the name of another, none at all, several gzip members. A stream that breaks before anything of it was
//! decoded is held back until its bytes tell what it is, at [`HEAD_MAX`] or its end; one that breaks later ends there.
//! Knows no protocol.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};

/// Encodings undone one after the other.
pub const LAYERS_MAX: usize = 4;
const CHUNK: usize = 8 << 10;
/// Input kept while nothing has come out, to begin again with another encoding.
const HEAD_MAX: usize = 1 << 10;
/// So much of it is looked at first.
const HEAD_LOOK: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    /// What servers mean and clients expect by `deflate`: zlib where its header is there, else without one.
    Deflate,
    Zlib,
    Brotli,
}

/// What a body may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Plain bytes after which the rest is let go.
    pub out_max: u64,
    /// Plain bytes from which on the ratio counts.
    pub bomb_bytes: u64,
    pub bomb_ratio: u64,
}

/// Why a decoder gave no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Not this encoding, or broken in the middle.
    Invalid,
    Bomb,
}

/// Decoders in order: the first meets the wire.
pub struct Inflater {
    layers: Vec<Layer>,
    bounds: Bounds,
    taken: u64,
    /// Plain bytes of all layers together.
    work: u64,
    given: u64,
    ended: bool,
    trouble: Option<Trouble>,
}

impl Inflater {
    /// `encodings` in the order they are to be undone.
    pub fn new(encodings: &[Encoding], bounds: Bounds) -> Inflater {
        Inflater {
            layers: encodings.iter().take(LAYERS_MAX).map(|e| Layer::new(*e)).collect(),
            bounds,
            taken: 0,
            work: 0,
            given: 0,
            ended: false,
            trouble: None,
        }
    }

    /// Decodes `data`, handing plain bytes to `sink` as they come.
    pub fn push(&mut self, data: &[u8], sink: &mut dyn FnMut(&[u8])) {
        if self.ended {
            return;
        }
        self.taken = self.taken.saturating_add(data.len() as u64);
        self.run(0, data, sink);
    }

    /// The first trouble met, once.
    pub fn take_trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    /// Nothing more will come out.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        self.layers.iter().map(Layer::memory).sum::<usize>() + size_of::<Self>()
    }

    fn end(&mut self, why: Trouble) {
        self.ended = true;
        self.layers = Vec::new();
        self.trouble.get_or_insert(why);
    }

    /// Depth is bounded by [`LAYERS_MAX`].
    fn run(&mut self, depth: usize, data: &[u8], sink: &mut dyn FnMut(&[u8])) {
        if depth >= self.layers.len() {
            if depth > 0 || !self.ended {
                let room = self.bounds.out_max.saturating_sub(self.given).min(data.len() as u64) as usize;
                if let Some(d) = data.get(..room).filter(|d| !d.is_empty()) {
                    sink(d);
                }
                self.given = self.given.saturating_add(room as u64);
                if self.given >= self.bounds.out_max {
                    self.ended = true;
                }
            }
            return;
        }
        let mut input = data;
        let mut out = [0u8; CHUNK];
        // Each round takes input, gives output or changes state; a layer that does none of it has had its fill.
        while !self.ended {
            let Some(layer) = self.layers.get_mut(depth) else { return };
            let step = layer.step(&mut input, &mut out);
            let plain = out.get(..step.given).unwrap_or_default();
            if !plain.is_empty() {
                self.work = self.work.saturating_add(plain.len() as u64);
                self.run(depth + 1, plain, sink);
                if self.ended {
                    return;
                }
                let ratio = self.taken.saturating_mul(self.bounds.bomb_ratio);
                if self.work > self.bounds.bomb_bytes && self.work > ratio {
                    return self.end(Trouble::Bomb);
                }
            }
            match step.state {
                StepState::More => {}
                StepState::Hungry => return,
                StepState::Broken => {
                    self.trouble.get_or_insert(Trouble::Invalid);
                    let Some(layer) = self.layers.get_mut(depth) else { return };
                    if !layer.retry() {
                        self.ended = true;
                        return;
                    }
                }
            }
        }
    }

    /// No more will come: gives what was held back.
    pub fn finish(&mut self, sink: &mut dyn FnMut(&[u8])) {
        self.settle(sink);
        self.ended = true;
    }

    /// Bytes are missing here: gives what was held back. What follows cannot be decoded without them, but where nothing was
    /// encoded after all it goes on.
    pub fn gap(&mut self, sink: &mut dyn FnMut(&[u8])) {
        self.settle(sink);
        if !self.layers.iter().all(|l| matches!(l.codec, Codec::Through)) {
            self.ended = true;
            self.layers = Vec::new();
        }
    }

    fn settle(&mut self, sink: &mut dyn FnMut(&[u8])) {
        for depth in 0..self.layers.len() {
            if let Some(layer) = self.layers.get_mut(depth).filter(|l| matches!(l.codec, Codec::Trial)) {
                layer.decide(true);
                self.run(depth, &[], sink);
            }
        }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("layers", &self.layers.len()).field("taken", &self.taken).finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StepState {
    More,
    Hungry,
    Broken,
}

struct Step {
    given: usize,
    state: StepState,
}

struct Layer {
    codec: Codec,
    /// Input since the beginning while nothing has come out.
    head: Vec<u8>,
    /// Bytes of the head to feed again.
    again: Vec<u8>,
    given: bool,
}

enum Codec {
    Gzip(GzipHeader, Box<Decompress>),
    Flate(Box<Decompress>),
    /// Zlib or without a header: its first two bytes tell, of which this is the first.
    EitherFlate(Option<u8>),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    /// The end of a gzip member: its trailer, and maybe another member.
    GzipTrailer(usize),
    /// Not what it was called: its head is gathered to find out what it is.
    Trial,
    /// No encoding known: as sent.
    Through,
    /// Ended; the rest is no part of it.
    Over,
}

impl Layer {
    fn new(named: Encoding) -> Layer {
        Layer { codec: Codec::new(named), head: Vec::new(), again: Vec::new(), given: false }
    }

    fn memory(&self) -> usize {
        let codec = match &self.codec {
            Codec::Gzip(..) | Codec::Flate(_) => 48 << 10,
            Codec::Brotli(s) => (s.ringbuffer_size.max(0) as usize).saturating_add(32 << 10),
            Codec::EitherFlate(_) | Codec::GzipTrailer(_) | Codec::Trial | Codec::Through | Codec::Over => 0,
        };
        codec + self.head.capacity() + self.again.capacity()
    }

    /// Takes from `input` and writes to `out`.
    fn step(&mut self, input: &mut &[u8], out: &mut [u8]) -> Step {
        if !self.again.is_empty() {
            let mut again = std::mem::take(&mut self.again);
            let mut rest = again.as_slice();
            let mut step = self.codec.step(&mut rest, out);
            let used = again.len() - rest.len();
            again.drain(..used);
            if step.state == StepState::Hungry {
                // Hungry for more than the bytes fed again: go on with the new ones.
                step.state = StepState::More;
                again = Vec::new();
            }
            self.again = again;
            self.given |= step.given > 0;
            return step;
        }
        if matches!(self.codec, Codec::Trial) {
            let room = HEAD_MAX.saturating_sub(self.head.len()).min(input.len());
            let (now, later) = input.split_at_checked(room).unwrap_or((input, &[]));
            let before = self.head.len();
            self.head.extend_from_slice(now);
            *input = later;
            // Looked at each time it has doubled.
            let len = self.head.len();
            let looked = len >= HEAD_LOOK && before.next_power_of_two() < len.next_power_of_two();
            if len < HEAD_MAX
                && !(looked && Self::known().iter().all(|(codec, _)| tried(codec(), &self.head).is_never()))
            {
                return Step { given: 0, state: StepState::Hungry };
            }
            self.decide(false);
            return Step { given: 0, state: StepState::More };
        }
        let before = *input;
        let step = self.codec.step(input, out);
        if step.given > 0 && !self.given {
            self.given = true;
            self.head = Vec::new();
        } else if !self.given {
            if step.state == StepState::Broken {
                // Nothing of this input has been used: it is read again as something else.
                *input = before;
                return step;
            }
            let used = before.len() - input.len();
            let room = (HEAD_MAX + 1).saturating_sub(self.head.len()).min(used);
            self.head.extend_from_slice(before.get(..room).unwrap_or_default());
        }
        step
    }

    /// After a failure: `false` when the stream has ended for good.
    fn retry(&mut self) -> bool {
        if self.given || self.head.len() > HEAD_MAX {
            return false;
        }
        self.codec = Codec::Trial;
        true
    }

    /// What a head may be, and whether a mark at its beginning tells.
    const fn known() -> [(fn() -> Codec, bool); 3] {
        [(|| Codec::new(Encoding::Gzip), true), (|| Codec::new(Encoding::Zlib), true), (Codec::raw, false)]
    }

    /// Finds out what the head is: the first encoding that decodes it, else none. `whole`: there is no more than the head.
    fn decide(&mut self, whole: bool) {
        let head = std::mem::take(&mut self.head);
        let found = Self::known().into_iter().find(|(codec, marked)| match tried(codec(), &head) {
            Tried::Never => false,
            Tried::Ends => true,
            // Almost any text begins like deflate, which nothing marks: where there is no more it must end.
            Tried::GoesOn { given } => given > 0 && (*marked || !whole),
        });
        self.codec = found.map_or(Codec::Through, |(codec, _)| codec());
        self.given = true;
        self.again = head;
    }
}

/// What decoding a head shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// No stream of this encoding begins so.
    Never,
    /// It is a whole stream, with little or nothing behind it.
    Ends,
    /// It wants more; so much came out.
    GoesOn { given: usize },
}

impl Tried {
    const fn is_never(self) -> bool {
        matches!(self, Tried::Never)
    }
}

fn tried(mut codec: Codec, head: &[u8]) -> Tried {
    let mut rest = head;
    let mut out = [0u8; CHUNK];
    let mut given = 0usize;
    // The work is that of one piece of input: a head expands no further than deflate can.
    loop {
        let step = codec.step(&mut rest, &mut out);
        given = given.saturating_add(step.given);
        match (step.state, &codec) {
            (StepState::Broken, _) => return Tried::Never,
            (_, Codec::Over | Codec::GzipTrailer(_)) if given > 0 && rest.len() <= 8 => return Tried::Ends,
            (_, Codec::Over | Codec::GzipTrailer(_)) => return Tried::Never,
            (StepState::Hungry, _) => return Tried::GoesOn { given },
            (StepState::More, _) => {}
        }
    }
}

impl Codec {
    fn new(e: Encoding) -> Codec {
        match e {
            Encoding::Gzip => Codec::Gzip(GzipHeader::default(), Box::new(Decompress::new(false))),
            Encoding::Deflate => Codec::EitherFlate(None),
            Encoding::Zlib => Codec::Flate(Box::new(Decompress::new(true))),
            // Strict: a window of at most 16 MiB (RFC 7932 9.1), no "large window" of up to 1 GiB.
            Encoding::Brotli => Codec::Brotli(Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
        }
    }

    /// Deflate without a header.
    fn raw() -> Codec {
        Codec::Flate(Box::new(Decompress::new(false)))
    }

    fn step(&mut self, input: &mut &[u8], out: &mut [u8]) -> Step {
        let hungry = Step { given: 0, state: StepState::Hungry };
        match self {
            Codec::Gzip(header, d) => {
                if !header.done() {
                    if input.is_empty() {
                        return hungry;
                    }
                    return match header.push(input) {
                        Ok(()) => Step { given: 0, state: StepState::More },
                        Err(()) => Step { given: 0, state: StepState::Broken },
                    };
                }
                let (step, ended) = flate(d, input, out);
                if ended {
                    *self = Codec::GzipTrailer(8);
                }
                step
            }
            Codec::Flate(d) => {
                let (step, ended) = flate(d, input, out);
                if ended {
                    *self = Codec::Over;
                }
                step
            }
            Codec::EitherFlate(first) => {
                let Some((&byte, rest)) = input.split_first() else { return hungry };
                let Some(first) = *first else {
                    *first = Some(byte);
                    *input = rest;
                    return Step { given: 0, state: StepState::More };
                };
                let mut d = Box::new(Decompress::new(is_zlib(first, byte)));
                let (step, _) = flate(&mut d, &mut &[first][..], out);
                *self = Codec::Flate(d);
                // One byte is too little for output: it is broken or wants more.
                Step { state: if step.state == StepState::Broken { step.state } else { StepState::More }, ..step }
            }
            Codec::Brotli(state) => {
                let (step, ended) = brotli(state, input, out);
                if ended {
                    *self = Codec::Over;
                }
                step
            }
            Codec::GzipTrailer(left) => {
                let n = (*left).min(input.len());
                *input = input.get(n..).unwrap_or_default();
                *left -= n;
                if *left > 0 || input.is_empty() {
                    return hungry;
                }
                *self = if input.first() == Some(&0x1f) { Codec::new(Encoding::Gzip) } else { Codec::Over };
                Step { given: 0, state: StepState::More }
            }
            Codec::Through => {
                let n = input.len().min(out.len());
                let (now, rest) = input.split_at_checked(n).unwrap_or((&[], &[]));
                if let Some(o) = out.get_mut(..n) {
                    o.copy_from_slice(now);
                }
                *input = rest;
                Step { given: n, state: if n == 0 { StepState::Hungry } else { StepState::More } }
            }
            Codec::Over | Codec::Trial => {
                *input = &[];
                hungry
            }
        }
    }
}

/// A zlib header: deflate with a window of at most 32 KiB, checked (RFC 1950 2.2).
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x8f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

fn flate(d: &mut Decompress, input: &mut &[u8], out: &mut [u8]) -> (Step, bool) {
    let (before_in, before_out) = (d.total_in(), d.total_out());
    let status = d.decompress(input, out, FlushDecompress::None);
    let used = (d.total_in() - before_in) as usize;
    let given = (d.total_out() - before_out) as usize;
    *input = input.get(used..).unwrap_or_default();
    match status {
        Ok(Status::StreamEnd) => (Step { given, state: StepState::More }, true),
        Ok(_) if used == 0 && given == 0 => (Step { given, state: StepState::Hungry }, false),
        Ok(_) => (Step { given, state: StepState::More }, false),
        Err(_) => (Step { given, state: StepState::Broken }, false),
    }
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

fn brotli(state: &mut Brotli, input: &mut &[u8], out: &mut [u8]) -> (Step, bool) {
    let (mut avail_in, mut at_in) = (input.len(), 0);
    let (mut avail_out, mut at_out, mut total) = (out.len(), 0, 0);
    let r =
        BrotliDecompressStream(&mut avail_in, &mut at_in, input, &mut avail_out, &mut at_out, out, &mut total, state);
    *input = input.get(at_in..).unwrap_or_default();
    match r {
        BrotliResult::ResultSuccess => (Step { given: at_out, state: StepState::More }, true),
        BrotliResult::NeedsMoreOutput => (Step { given: at_out, state: StepState::More }, false),
        BrotliResult::NeedsMoreInput => (Step { given: at_out, state: StepState::Hungry }, false),
        BrotliResult::ResultFailure => (Step { given: at_out, state: StepState::Broken }, false),
    }
}

/// RFC 1952 section 2.3, byte by byte; the optional fields are skipped, however long they are: nothing of them is kept, and
/// clients take names of any length.
#[derive(Clone, Copy, Debug, Default)]
struct GzipHeader {
    seen: usize,
    field: GzipField,
    flags: u8,
    /// Bytes left of the current field, or what has been read of its length.
    left: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum GzipField {
    #[default]
    Fixed,
    ExtraLen,
    Extra,
    Name,
    Comment,
    Crc,
    Done,
}

impl GzipHeader {
    fn done(&self) -> bool {
        self.field == GzipField::Done
    }

    fn push(&mut self, input: &mut &[u8]) -> Result<(), ()> {
        while let Some((&c, rest)) = input.split_first() {
            if self.done() {
                return Ok(());
            }
            *input = rest;
            self.byte(c)?;
        }
        Ok(())
    }

    fn byte(&mut self, c: u8) -> Result<(), ()> {
        let n = self.seen;
        self.seen = n.saturating_add(1);
        match self.field {
            GzipField::Fixed => match n {
                0 if c != 0x1f => return Err(()),
                1 if c != 0x8b => return Err(()),
                2 if c != 8 => return Err(()),
                3 => self.flags = c,
                9 => self.enter(GzipField::ExtraLen),
                _ => {}
            },
            GzipField::ExtraLen => {
                // `left` counts the two bytes in its upper half.
                let (count, value) = (self.left >> 16, self.left & 0xffff);
                if count == 0 {
                    self.left = 1 << 16 | usize::from(c);
                } else {
                    self.left = value | usize::from(c) << 8;
                    self.field = GzipField::Extra;
                    if self.left == 0 {
                        self.enter(GzipField::Name);
                    }
                }
            }
            GzipField::Extra => {
                self.left = self.left.saturating_sub(1);
                if self.left == 0 {
                    self.enter(GzipField::Name);
                }
            }
            GzipField::Name if c == 0 => self.enter(GzipField::Comment),
            GzipField::Comment if c == 0 => self.enter(GzipField::Crc),
            GzipField::Crc => {
                self.left = self.left.saturating_sub(1);
                if self.left == 0 {
                    self.field = GzipField::Done;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The first field from `from` on that the flags announce.
    fn enter(&mut self, from: GzipField) {
        const ORDER: [(GzipField, u8); 4] =
            [(GzipField::ExtraLen, 4), (GzipField::Name, 8), (GzipField::Comment, 16), (GzipField::Crc, 2)];
        let skip = ORDER.iter().position(|o| o.0 == from).unwrap_or(ORDER.len());
        let next = ORDER.iter().skip(skip).find(|o| self.flags & o.1 != 0).map_or(GzipField::Done, |o| o.0);
        self.left = if next == GzipField::Crc { 2 } else { 0 };
        self.field = next;
    }
}

pub mod fuzz {
    use super::{Bounds, Encoding, Inflater};

    /// Any bytes, in pieces, the last of them behind a hole where bit 7 of the second byte says so, through any encodings:
    /// bounded and without panic.
    pub fn fuzz_target(data: &[u8]) {
        let Some((&[kind, piece], body)) = data.split_first_chunk::<2>() else { return };
        let all = [Encoding::Gzip, Encoding::Deflate, Encoding::Zlib, Encoding::Brotli];
        let chosen: Vec<Encoding> =
            (0..=(kind >> 6)).filter_map(|i| all.get(usize::from(kind >> (2 * i) & 3)).copied()).collect();
        let bounds = Bounds { out_max: 1 << 20, bomb_bytes: 1 << 16, bomb_ratio: 64 };
        let mut inflater = Inflater::new(&chosen, bounds);
        let mut given = 0u64;
        let mut parts = body.chunks(usize::from(piece & 0x7f).max(1)).peekable();
        while let Some(part) = parts.next() {
            if piece & 0x80 != 0 && parts.peek().is_none() {
                inflater.gap(&mut |p| given += p.len() as u64);
            }
            inflater.push(part, &mut |p| given += p.len() as u64);
            // A window a layer, of 16 MiB at most (RFC 7932 9.1), and what it takes to decode into it.
            assert!(inflater.memory() <= chosen.len() * ((16 << 20) + (64 << 10)));
        }
        inflater.finish(&mut |p| given += p.len() as u64);
        assert!(given <= bounds.out_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    const WIDE: Bounds = Bounds { out_max: 1 << 24, bomb_bytes: 1 << 20, bomb_ratio: 2048 };

    fn gzip(d: &[u8]) -> Vec<u8> {
        let mut e = GzEncoder::new(Vec::new(), Compression::best());
        e.write_all(d).unwrap();
        e.finish().unwrap()
    }

    fn deflate(d: &[u8]) -> Vec<u8> {
        let mut e = DeflateEncoder::new(Vec::new(), Compression::best());
        e.write_all(d).unwrap();
        e.finish().unwrap()
    }

    fn zlib(d: &[u8]) -> Vec<u8> {
        let mut e = ZlibEncoder::new(Vec::new(), Compression::best());
        e.write_all(d).unwrap();
        e.finish().unwrap()
    }

    fn run(e: &[Encoding], data: &[u8], piece: usize, bounds: Bounds) -> (Vec<u8>, Option<Trouble>) {
        let mut i = Inflater::new(e, bounds);
        let mut out = Vec::new();
        for p in data.chunks(piece) {
            i.push(p, &mut |b| out.extend_from_slice(b));
        }
        i.finish(&mut |b| out.extend_from_slice(b));
        (out, i.take_trouble())
    }

    fn text() -> Vec<u8> {
        (0..3000).flat_map(|i| format!("line {i} of the text\n").into_bytes()).collect()
    }

    #[test]
    fn each_encoding_in_any_pieces() {
        let t = text();
        for (e, c) in [
            (Encoding::Gzip, gzip(&t)),
            (Encoding::Deflate, deflate(&t)),
            (Encoding::Deflate, zlib(&t)),
            (Encoding::Zlib, zlib(&t)),
        ] {
            for piece in [1, 7, 1460, c.len()] {
                assert_eq!(run(&[e], &c, piece, WIDE), (t.clone(), None), "{e:?} {piece}");
            }
        }
        // RFC 7932: an uncompressed meta-block of "hi" and an empty last one.
        let b: &[u8] = &[0x0b, 0x00, 0x80, b'h', 0x03];
        assert_eq!(run(&[Encoding::Brotli], b, 1, WIDE).0, b"h");
    }

    #[test]
    fn around_a_gap() {
        let with_gap = |data: &[u8], at: usize| {
            let mut i = Inflater::new(&[Encoding::Gzip], WIDE);
            let mut out = Vec::new();
            i.push(&data[..at], &mut |b| out.extend_from_slice(b));
            i.gap(&mut |b| out.extend_from_slice(b));
            i.push(&data[at + 10..], &mut |b| out.extend_from_slice(b));
            i.finish(&mut |b| out.extend_from_slice(b));
            out
        };
        let t = text();
        let out = with_gap(&gzip(&t), 2_000);
        assert!(out.len() > 2_000 && t.starts_with(&out) && out.len() < t.len());
        // Named gzip, and not it.
        for at in [5, 500, 1_023, 1_024, 2_000] {
            assert!(with_gap(&t, at) == [&t[..at], &t[at + 10..]].concat(), "{at}");
        }
    }

    /// What has come out is there, whatever is missing: the end of the data, a trailer, a part of the header.
    #[test]
    fn cut_short_gives_what_came() {
        let t = text();
        for (e, c) in [(Encoding::Gzip, gzip(&t)), (Encoding::Deflate, deflate(&t)), (Encoding::Deflate, zlib(&t))] {
            let mut before = 0;
            for len in (0..40).chain((40..c.len() - 12).step_by(97)).chain(c.len() - 12..c.len()) {
                let cut = c.get(..len).unwrap();
                let (out, trouble) = run(&[e], cut, cut.len().max(1), WIDE);
                assert!(t.starts_with(&out) && out.len() >= before && trouble.is_none(), "{e:?} {len}");
                assert_eq!(run(&[e], cut, 1, WIDE), (out.clone(), None), "{e:?} {len}");
                before = out.len();
            }
            // Deflate ends with its last byte, behind which gzip and zlib have a checksum.
            assert!(before == t.len() || (before > t.len() - 300 && c == deflate(&t)), "{e:?} {before}");
        }
    }

    /// RFC 7932: a window of 64 KiB, an uncompressed meta-block of 1,000 bytes, of which some come.
    #[test]
    fn brotli_cut_short() {
        let body: Vec<u8> = (0..1_000u32).map(|i| b'a' + (i % 26) as u8).collect();
        let header = ((999u32 << 4) | (1 << 20)).to_le_bytes();
        for len in [1, 50, 999] {
            let c = [&header[..3], &body[..len]].concat();
            for piece in [1, 7, 1_003] {
                assert_eq!(run(&[Encoding::Brotli], &c, piece, WIDE), (body[..len].to_vec(), None), "{len} {piece}");
            }
        }
    }

    /// The mark of gzip and of zlib tells them, and how they go on does not matter.
    #[test]
    fn cut_short_under_a_wrong_name() {
        let t = text();
        let names = [Encoding::Gzip, Encoding::Deflate, Encoding::Zlib];
        for (e, c) in names.into_iter().flat_map(|e| [(e, gzip(&t)), (e, zlib(&t))]) {
            for (len, piece) in [(200, 1), (200, 200), (900, 100), (2_000, 2_000)] {
                let (out, _) = run(&[e], c.get(..len).unwrap(), piece, WIDE);
                assert!(out.len() > 100 && t.starts_with(&out), "{e:?} {len} {piece}");
            }
        }
    }

    /// A stored block without a header, whose first two bytes are those of a zlib header.
    #[test]
    fn deflate_that_looks_like_zlib() {
        let body = vec![b'x'; 0x019c];
        let mut c = vec![0x78, 0x9c, 0x01, 0x63, 0xfe];
        c.extend_from_slice(&body);
        c.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
        for piece in [1, 2, 50, c.len()] {
            assert_eq!(run(&[Encoding::Deflate], &c, piece, WIDE), (body.clone(), Some(Trouble::Invalid)), "{piece}");
        }
    }

    #[test]
    fn wrong_names_are_forgiven() {
        let t = text();
        let names = [Encoding::Gzip, Encoding::Deflate, Encoding::Zlib, Encoding::Brotli];
        for c in [gzip(&t), zlib(&t)] {
            for e in names {
                for piece in [1, 100, c.len()] {
                    assert!(run(&[e], &c, piece, WIDE).0 == t, "{e:?} {piece}");
                }
            }
        }
        for e in names {
            let (out, trouble) = run(&[e], b"<html>no compression at all</html>", 5, WIDE);
            assert_eq!((out.as_slice(), trouble), (&b"<html>no compression at all</html>"[..], Some(Trouble::Invalid)));
        }
    }

    #[test]
    fn nested_members_and_header_fields() {
        let t = text();
        let nested = gzip(&deflate(&t));
        assert_eq!(run(&[Encoding::Gzip, Encoding::Deflate], &nested, 33, WIDE), (t.clone(), None));
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(run(&[Encoding::Gzip], &two, 3, WIDE).0, b"one two");
        let mut fields = b"\x1f\x8b\x08\x1e\0\0\0\0\0\0\x03\0abcname\0comment\0cc".to_vec();
        fields.extend(deflate(b"body"));
        for piece in [1, 5, 100] {
            assert_eq!(run(&[Encoding::Gzip], &fields, piece, WIDE), (b"body".to_vec(), None));
        }
    }

    #[test]
    fn so_many_layers_are_undone() {
        let mut c = text();
        for n in 1..=5 {
            c = gzip(&c);
            let out = run(&vec![Encoding::Gzip; n], &c, 1460, WIDE);
            let expected = if n <= 4 { text() } else { gzip(&text()) };
            assert!(out == (expected, None), "{n}");
        }
    }

    /// Bare deflate under the name of gzip: what could be an encoding is held back, and then is one.
    #[test]
    fn what_is_no_encoding_is_held_back_so_long() {
        let (t, mut i) = (text(), Inflater::new(&[Encoding::Gzip], WIDE));
        let c = deflate(&t);
        let mut out = Vec::new();
        for (len, held) in [(1_023, true), (1_024, false)] {
            let fed = if held { 0 } else { 1_023 };
            i.push(&c[fed..len], &mut |b| out.extend_from_slice(b));
            assert_eq!(out.is_empty(), held, "{len}");
        }
        assert!(t.starts_with(&out));
    }

    /// What can be no encoding is not held back: in line, its bytes would leave before they were looked at.
    #[test]
    fn plain_text_is_not_held_back() {
        for e in [Encoding::Gzip, Encoding::Deflate, Encoding::Zlib] {
            let t = b"<html><body>no compression at all</body></html>";
            for piece in [1, 10, t.len()] {
                let mut i = Inflater::new(&[e], WIDE);
                let mut out = Vec::new();
                for part in t.chunks(piece) {
                    i.push(part, &mut |b| out.extend_from_slice(b));
                }
                assert_eq!(out, t, "{e:?} {piece}");
            }
        }
    }

    /// A gzip header of so many bytes.
    fn header(len: usize) -> Vec<u8> {
        let name = "n".repeat(len - 11);
        [b"\x1f\x8b\x08\x08\0\0\0\0\0\0", name.as_bytes(), b"\0"].concat()
    }

    #[test]
    fn what_breaks_late_is_not_begun_again() {
        for (len, again) in [(1_024, true), (1_025, false)] {
            // No block is of this kind.
            let c = [header(len), vec![7; 100]].concat();
            for piece in [1, 100, c.len()] {
                let expected = if again { c.clone() } else { Vec::new() };
                assert!(run(&[Encoding::Gzip], &c, piece, WIDE) == (expected, Some(Trouble::Invalid)), "{len} {piece}");
            }
        }
    }

    #[test]
    fn a_header_of_any_length_is_skipped() {
        let mut i = Inflater::new(&[Encoding::Gzip], WIDE);
        i.push(&header(1 << 20), &mut |_| panic!());
        assert!(i.memory() < 64 << 10);
        let mut out = Vec::new();
        i.push(&deflate(b"body"), &mut |b| out.extend_from_slice(b));
        assert_eq!((out.as_slice(), i.take_trouble()), (&b"body"[..], None));
    }

    #[test]
    fn broken_in_the_middle_keeps_what_came() {
        // A stored block of "abc", then a block of a kind that does not exist.
        let mut c = b"\x1f\x8b\x08\0\0\0\0\0\0\0\0\x03\0\xfc\xffabc\x07".to_vec();
        c.extend_from_slice(&[0; 100]);
        for piece in [1, 9, 1000] {
            assert_eq!(run(&[Encoding::Gzip], &c, piece, WIDE), (b"abc".to_vec(), Some(Trouble::Invalid)), "{piece}");
        }
    }

    #[test]
    fn bombs_end() {
        let bomb = gzip(&gzip(&vec![0; 16 << 20]));
        let (out, trouble) = run(&[Encoding::Gzip, Encoding::Gzip], &bomb, 100, WIDE);
        assert_eq!(trouble, Some(Trouble::Bomb));
        assert!(out.len() <= 2 << 20, "{}", out.len());
        let plain = gzip(&vec![0; 8 << 20]);
        let small = Bounds { out_max: 1000, ..WIDE };
        assert_eq!(run(&[Encoding::Gzip], &plain, 100, small), (vec![0; 1000], None));
    }

    #[test]
    fn fuzz_smoke() {
        let t = text();
        for kind in 0..=255u8 {
            for c in [gzip(&t), deflate(&t), zlib(&t), t.clone()] {
                fuzz::fuzz_target(&[&[kind, 200], c.get(..600).unwrap_or(&c)].concat());
            }
        }
    }
}
