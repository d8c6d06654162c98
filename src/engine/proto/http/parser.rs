//! The parser of one flow: two halves that take bytes as they come, and the transactions between them.
//!
//! Every byte is taken when it comes; a line that has not ended is held (at most `field_limit`), so a dialogue cut at any
//! byte costs and gives the same. Requests open transactions; a response goes to the oldest one without, or opens one of
//! its own. Bounds: `transactions_max` live transactions, `held_max` bytes; past the first the oldest is let go if it
//! was there before this call (then it has been inspected), else the parser fails; past the second bodies are no longer
//! kept. `request` and `response` hold the steps of each half.

use super::charset::Charset;
use super::payload::Place;
use super::probe;
use super::reuse;
use super::tables::{buffer, event};
use super::text::{self, Eol};
use super::tx::HttpTx;
use super::{ID, Settings};
use crate::applayer::frames::Frames;
use crate::applayer::inflate::{Bounds, Encoding, Inflater};
use crate::applayer::{
    AppParser, BufferId, EventId, Input, ParseCx, Parsed, Progress, ProtoId, Transaction, TxId, UnreadBody,
};
use crate::types::Direction;
use std::any::Any;
use std::borrow::Cow;
use std::collections::VecDeque;

/// Where a half stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Before a request or status line.
    #[default]
    Line,
    Headers,
    /// `left` bytes of body to come.
    Identity,
    ChunkLength,
    /// `left` bytes of chunk to come.
    Chunk,
    ChunkEnd,
    Trailer,
    /// A response body without length.
    UntilEof,
    /// The message is whole; bytes of the same segment may still be of it.
    After,
    /// CONNECT sent: what the next bytes are depends on the answer.
    ConnectWait,
    /// In the binary header of the PROXY protocol: `left` bytes of it, or its length is still to come.
    Proxy,
    /// No longer HTTP.
    Tunnel,
    /// Bytes were lost: look for the next message's line.
    Resync,
}

/// What one step of a half came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Took so many bytes, or changed state.
    Took(usize),
    /// All that can be done is done.
    Wait,
    Fail,
    Done,
    /// From here on another protocol.
    Switch(usize),
}

impl Step {
    /// The same, of so many bytes.
    pub fn and_took(self, n: usize) -> Step {
        match self {
            Step::Took(_) => Step::Took(n),
            Step::Switch(_) => Step::Switch(n),
            other => other,
        }
    }
}

#[derive(Debug, Default)]
pub struct Half {
    pub state: State,
    /// The line so far.
    pub held: Vec<u8>,
    pub left: u64,
    /// Transaction being filled.
    pub tx: Option<TxId>,
    /// Bytes of the header block at hand.
    pub block: usize,
    /// How the header line before ended.
    pub eol: Eol,
    /// The header line before was one blank: it ends the block unless another continuation follows.
    pub blank: bool,
    /// Bytes of which only further ones tell what they are; read again in front of those.
    pub undecided: Vec<u8>,
    /// No more bytes will come: what is undecided is to be decided.
    pub ending: bool,
    /// How much of the PROXY protocol's signature has been seen.
    pub proxy: u8,
}

/// A line out of `held` and new bytes.
pub enum Line<'a> {
    Whole { line: Cow<'a, [u8]>, used: usize },
    Partial,
    TooLong,
}

impl Half {
    /// Takes a line's end from `rest`; without one, holds what there is.
    pub fn line<'a>(&mut self, rest: &'a [u8], cr_ends: bool, limit: usize) -> Line<'a> {
        let Some(used) = text::line_end(&self.held, rest, cr_ends) else {
            if self.held.len().saturating_add(rest.len()) > limit {
                return Line::TooLong;
            }
            self.held.extend_from_slice(rest);
            return Line::Partial;
        };
        let end = rest.get(..used).unwrap_or(rest);
        if self.held.len().saturating_add(used) > limit {
            return Line::TooLong;
        }
        if self.held.is_empty() {
            return Line::Whole { line: Cow::Borrowed(end), used };
        }
        let mut line = std::mem::take(&mut self.held);
        line.extend_from_slice(end);
        Line::Whole { line: Cow::Owned(line), used }
    }
}

/// Live transactions, ids running.
#[derive(Debug, Default)]
pub struct Txs {
    first: u64,
    list: VecDeque<Option<Box<HttpTx>>>,
}

impl Txs {
    pub fn next(&self) -> u64 {
        self.first.saturating_add(self.list.len() as u64)
    }

    pub fn get(&self, id: TxId) -> Option<&HttpTx> {
        self.list.get(usize::try_from(id.0.checked_sub(self.first)?).ok()?)?.as_deref()
    }

    pub fn get_mut(&mut self, id: TxId) -> Option<&mut HttpTx> {
        self.list.get_mut(usize::try_from(id.0.checked_sub(self.first)?).ok()?)?.as_deref_mut()
    }

    /// Returns the bytes that were accounted to it.
    fn free(&mut self, id: TxId) -> usize {
        let slot =
            id.0.checked_sub(self.first).and_then(|i| usize::try_from(i).ok()).and_then(|i| self.list.get_mut(i));
        let freed = slot.and_then(Option::take).map_or(0, |tx| {
            let accounted = tx.accounted;
            reuse::give_back(tx);
            accounted
        });
        while matches!(self.list.front(), Some(None)) {
            self.list.pop_front();
            self.first += 1;
        }
        freed
    }
}

#[derive(Debug)]
pub struct HttpParser {
    pub(super) cfg: Settings,
    pub(super) txs: Txs,
    pub(super) req: Half,
    pub(super) resp: Half,
    /// The oldest transaction that may still want a response.
    pub(super) answer: u64,
    pub(super) next_file: u32,
    pub(super) bombs: u8,
    /// Transactions from here on were opened in this call.
    fresh: u64,
    held: usize,
    /// Made for flows of which somebody wants frames.
    frames: Option<Box<Frames>>,
}

impl HttpParser {
    pub fn new(cfg: Settings) -> HttpParser {
        HttpParser {
            cfg,
            txs: Txs::default(),
            req: Half::default(),
            resp: Half::default(),
            answer: 0,
            next_file: 0,
            bombs: 0,
            fresh: 0,
            held: 0,
            frames: None,
        }
    }

    pub(super) fn half(&mut self, dir: Direction) -> &mut Half {
        match dir {
            Direction::ToServer => &mut self.req,
            Direction::ToClient => &mut self.resp,
        }
    }

    pub(super) fn current(&mut self, dir: Direction) -> Option<&mut HttpTx> {
        let id = self.half(dir).tx?;
        self.txs.get_mut(id)
    }

    pub(super) fn event(&mut self, dir: Direction, e: EventId) {
        if let Some(tx) = self.current(dir) {
            tx.event(e);
        }
    }

    /// Opens a transaction; `None` where there is no room for it.
    pub(super) fn open(&mut self) -> Option<TxId> {
        if self.txs.list.len() >= self.cfg.transactions_max {
            if self.txs.first >= self.fresh {
                return None;
            }
            let oldest = TxId(self.txs.first);
            for half in [&mut self.req, &mut self.resp] {
                if half.tx == Some(oldest) {
                    half.tx = None;
                }
            }
            self.held -= self.txs.free(oldest).min(self.held);
        }
        let id = TxId(self.txs.next());
        self.txs.list.push_back(Some(reuse::transaction(id)));
        Some(id)
    }

    fn place(&self, dir: Direction, tx: TxId) -> Place {
        Place { tx, direction: dir, hashes: self.cfg.hashes }
    }

    /// Gives bytes of a body to the transaction at hand.
    pub(super) fn body(&mut self, dir: Direction, data: &[u8]) {
        let Some(id) = self.half(dir).tx else { return };
        let place = self.place(dir, id);
        let Some(tx) = self.txs.get_mut(id) else { return };
        let mut events = Vec::new();
        let payload = &mut tx.message_mut(dir).payload;
        let bombs = payload.bombs;
        payload.push(data, place, &mut self.next_file, &mut events);
        let more = payload.bombs.saturating_sub(bombs);
        for e in events {
            tx.event(e);
        }
        self.bombs = self.bombs.saturating_add(more);
        if more > 0 && self.bombs >= self.cfg.bombs_max {
            tx.event(event::COMPRESSION_BOMB_LIMIT_REACHED);
        }
    }

    /// Counts bytes between chunks.
    pub(super) fn framing(&mut self, dir: Direction, len: usize) {
        if let Some(tx) = self.current(dir) {
            let payload = &mut tx.message_mut(dir).payload;
            payload.framing = payload.framing.saturating_add(len as u64);
        }
    }

    /// Opens the body of the message at hand, decoding what its Content-Encoding names.
    pub(super) fn begin_body(&mut self, dir: Direction) {
        let (limit, decode) = match dir {
            Direction::ToServer => (self.cfg.request_body_limit, self.cfg.request_decompression),
            Direction::ToClient => (self.cfg.response_body_limit, self.cfg.response_decompression),
        };
        // 0 is no limit but that of the flow.
        let limit = if limit == 0 { usize::MAX } else { limit as usize };
        let limit = limit.min(self.cfg.held_max.saturating_sub(self.held));
        let bounds = Bounds {
            out_max: (limit as u64).saturating_add(1),
            bomb_bytes: self.cfg.bomb_bytes,
            bomb_ratio: self.cfg.bomb_ratio,
        };
        let (decode, layers) = (decode && self.bombs < self.cfg.bombs_max, self.cfg.layers_max);
        let Some(tx) = self.current(dir) else { return };
        let m = tx.message_mut(dir);
        let mut events = Vec::new();
        let encodings = match m.headers.value(b"content-encoding") {
            Some(v) if decode => encodings(&text::without_nul(v), layers, &mut events),
            _ => Vec::new(),
        };
        let inflater = (!encodings.is_empty()).then(|| Inflater::new(&encodings, bounds));
        let charset = m.headers.value(b"content-type").and_then(Charset::named);
        m.payload.begin(limit, inflater, charset);
        for e in events {
            tx.event(e);
        }
    }

    /// The message at hand is over; `whole` by its own framing.
    pub(super) fn complete(&mut self, dir: Direction, whole: bool) {
        let Some(id) = self.half(dir).tx.take() else { return };
        let place = self.place(dir, id);
        let Some(tx) = self.txs.get_mut(id) else { return };
        let mut events = Vec::new();
        tx.message_mut(dir).payload.finish(whole, place, &mut self.next_file, &mut events);
        for e in events {
            tx.event(e);
        }
        tx.message_mut(dir).reach(Progress::DONE);
        self.account(id);
    }

    fn account(&mut self, id: TxId) {
        if let Some(tx) = self.txs.get_mut(id) {
            let now = tx.memory();
            self.held = self.held.saturating_sub(tx.accounted).saturating_add(now);
            tx.accounted = now;
        }
    }

    fn data(&mut self, cx: &ParseCx<'_>, dir: Direction, data: &[u8]) -> Parsed {
        let half = self.half(dir);
        if cx.inline && half.state == State::Resync && probe::begins_message(dir, data) {
            // Read as they come, segments begin here, and messages with them: what was held is the rest of another.
            half.held.clear();
        }
        let mut joined = std::mem::take(&mut self.half(dir).undecided);
        if joined.is_empty() {
            return self.bytes(cx, dir, data, cx.at);
        }
        let before = joined.len();
        joined.extend_from_slice(data);
        match self.bytes(cx, dir, &joined, cx.at.saturating_sub(before as u64)) {
            Parsed::Consumed(n) => Parsed::Consumed(n.saturating_sub(before)),
            Parsed::Switch { consumed, expect } => Parsed::Switch { consumed: consumed.saturating_sub(before), expect },
            other => other,
        }
    }

    /// `from`: the stream position of the first byte.
    fn bytes(&mut self, cx: &ParseCx<'_>, dir: Direction, data: &[u8], from: u64) -> Parsed {
        self.fresh = self.txs.next();
        let mut at = 0usize;
        let parsed = loop {
            let rest = data.get(at..).unwrap_or_default();
            self.frame(dir, from.saturating_add(at as u64), !rest.is_empty());
            let step = match dir {
                Direction::ToServer => self.request_step(cx, rest),
                Direction::ToClient => self.response_step(rest),
            };
            match step {
                Step::Took(n) => at = at.saturating_add(n).min(data.len()),
                Step::Wait => break Parsed::Consumed(at),
                Step::Done => break Parsed::Done,
                Step::Switch(n) => {
                    break Parsed::Switch { consumed: at.saturating_add(n).min(data.len()), expect: None };
                }
                Step::Fail => {
                    self.complete(Direction::ToServer, false);
                    self.complete(Direction::ToClient, false);
                    break Parsed::Failed;
                }
            }
        };
        if self.half(dir).state == State::After && self.half(dir).undecided.is_empty() {
            self.complete(dir, true);
            self.half(dir).state = State::Line;
        }
        for id in [self.req.tx, self.resp.tx].into_iter().flatten() {
            self.account(id);
        }
        parsed
    }

    /// Follows where messages begin and end, if anybody wants to know: `at` bytes of the stream have been taken.
    fn frame(&mut self, dir: Direction, at: u64, more: bool) {
        let (state, held, tx) = (self.half(dir).state, self.half(dir).held.is_empty(), self.half(dir).tx);
        let Some(frames) = &mut self.frames else { return };
        let kind = frame_of(dir);
        match frames.open(dir, kind) {
            Some(f) => {
                f.tx = f.tx.or(tx);
                // Its transaction is over, or all that its framing counts has come.
                let over = matches!(state, State::After | State::ConnectWait | State::Tunnel | State::Resync)
                    || f.tx.is_some() && tx.is_none();
                if over {
                    frames.end(dir, kind, at);
                }
            }
            None if state == State::Line && held && more => frames.begin(dir, kind, at, None, None),
            None => {}
        }
    }

    /// Bytes that were lost. Those of a body are passed over, since its framing tells how many they are; what lies behind
    /// the message is not known, so the next one is looked for.
    fn gap(&mut self, dir: Direction, len: u64, at: u64) -> Parsed {
        let half = self.half(dir);
        let (left, in_body) = match half.state {
            State::Tunnel => return Parsed::Done,
            State::Identity | State::Chunk => (half.left, true),
            State::UntilEof => (u64::MAX, true),
            _ => (0, false),
        };
        let now = len.min(left);
        if let (true, Some(id)) = (in_body, half.tx) {
            let place = self.place(dir, id);
            if let Some(tx) = self.txs.get_mut(id) {
                let mut events = Vec::new();
                tx.message_mut(dir).payload.gap(now, place, &mut self.next_file, &mut events);
                events.into_iter().for_each(|e| tx.event(e));
            }
        }
        let half = self.half(dir);
        let identity = half.state == State::Identity;
        if in_body && half.state != State::UntilEof {
            half.left -= now;
            if half.left == 0 {
                half.state = if identity { State::After } else { State::ChunkEnd };
            }
        }
        let over = now < len || self.half(dir).state == State::After;
        if let Some(frames) = self.frames.as_mut().filter(|_| over) {
            frames.end(dir, frame_of(dir), at.saturating_add(now));
        }
        if self.half(dir).state == State::After {
            self.complete(dir, true);
            self.half(dir).state = State::Line;
        }
        if now == len {
            return Parsed::Consumed(0);
        }
        self.event(dir, event::INVALID_GAP);
        self.complete(dir, false);
        *self.half(dir) = Half { state: State::Resync, ..Half::default() };
        Parsed::Consumed(0)
    }

    fn eof(&mut self, cx: &ParseCx<'_>, dir: Direction) -> Parsed {
        let undecided = std::mem::take(&mut self.half(dir).undecided);
        if !undecided.is_empty() {
            self.half(dir).eol = Eol::Done;
            self.half(dir).ending = true;
            self.bytes(cx, dir, &undecided, cx.at.saturating_sub(undecided.len() as u64));
        }
        self.fresh = self.txs.next();
        if let Some(frames) = &mut self.frames {
            frames.end(dir, frame_of(dir), cx.at);
        }
        match dir {
            Direction::ToServer => self.request_eof(),
            Direction::ToClient => self.response_eof(),
        }
        let half = self.half(dir);
        half.held = Vec::new();
        half.state = State::Tunnel;
        if dir == Direction::ToClient {
            // No answer will come to any of them.
            for tx in self.txs.list.iter_mut().flatten() {
                tx.response.m.reach(Progress::DONE);
            }
        }
        Parsed::Consumed(0)
    }
}

fn frame_of(dir: Direction) -> BufferId {
    match dir {
        Direction::ToServer => buffer::FRAME_REQUEST,
        Direction::ToClient => buffer::FRAME_RESPONSE,
    }
}

/// What Content-Encoding asks to undo, first to be undone first (the header lists them in the order they were applied).
fn encodings(value: &[u8], layers_max: usize, events: &mut Vec<EventId>) -> Vec<Encoding> {
    let mut out = Vec::new();
    let mut layers = 0;
    let tokens = || value.split(|c| matches!(c, b',' | b' ' | b'\t' | 0)).filter(|t| !t.is_empty());
    let single = tokens().nth(1).is_none();
    for t in tokens() {
        layers += 1;
        if layers > layers_max {
            events.push(event::TOO_MANY_ENCODING_LAYERS);
            break;
        }
        let is = |names: &[&[u8]]| names.iter().any(|n| t.eq_ignore_ascii_case(n));
        let found = if is(&[b"gzip", b"x-gzip"]) {
            Some(Encoding::Gzip)
        } else if is(&[b"deflate", b"x-deflate"]) {
            Some(Encoding::Deflate)
        } else if is(&[b"br"]) {
            Some(Encoding::Brotli)
        } else if is(&[b"lzma"]) {
            events.push(event::LZMA_DECOMPRESSION_DISABLED);
            None
        } else if is(&[b"none", b"identity", b"inflate"]) {
            None
        } else {
            events.push(event::ABNORMAL_CE_HEADER);
            // Clients that look for the word anywhere find it here.
            [(&b"gzip"[..], Encoding::Gzip), (b"deflate", Encoding::Deflate)]
                .into_iter()
                .find(|(w, _)| text::contains_nocase(t, w))
                .map(|(_, e)| e)
        };
        if single && found.is_some() {
            return found.into_iter().collect();
        }
        out.extend(found);
    }
    out.reverse();
    out
}

impl AppParser for HttpParser {
    fn protocol(&self) -> ProtoId {
        ID
    }

    fn parse(&mut self, cx: &ParseCx<'_>, dir: Direction, input: Input<'_>) -> Parsed {
        match input {
            Input::Data(d) => self.data(cx, dir, d),
            Input::Gap(n) => self.gap(dir, n, cx.at),
            Input::Eof => self.eof(cx, dir),
        }
    }

    fn transactions(&self) -> (TxId, TxId) {
        (TxId(self.txs.first), TxId(self.txs.next()))
    }

    fn transaction(&self, id: TxId) -> Option<&dyn Transaction> {
        self.txs.get(id).map(|t| t as &dyn Transaction)
    }

    fn transaction_mut(&mut self, id: TxId) -> Option<&mut dyn Transaction> {
        self.txs.get_mut(id).map(|t| t as &mut dyn Transaction)
    }

    fn free(&mut self, id: TxId) {
        self.held = self.held.saturating_sub(self.txs.free(id));
    }

    fn frames(&self) -> Option<&Frames> {
        self.frames.as_deref()
    }

    fn frames_mut(&mut self) -> Option<&mut Frames> {
        Some(self.frames.get_or_insert_default())
    }

    fn delimits(&self) -> bool {
        true
    }

    fn unread_body(&self, dir: Direction) -> Option<UnreadBody> {
        let half = match dir {
            Direction::ToServer => &self.req,
            Direction::ToClient => &self.resp,
        };
        let payload = &self.txs.get(half.tx?)?.message(dir).payload;
        let plain = half.state == State::Identity && half.left > 0 && half.undecided.is_empty();
        plain.then(|| payload.past()).flatten().map(|behind| UnreadBody { behind, ahead: half.left })
    }

    fn memory(&self) -> usize {
        let frames = self.frames.as_ref().map_or(0, |f| f.memory());
        size_of::<Self>() + self.held + self.req.held.capacity() + self.resp.held.capacity() + frames
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
