//! The record layer and the handshake of one flow.
//!
//! Bytes are consumed as they come: only a record's five header bytes, and a handshake message that spans records or
//! segments, are kept. So work is linear in the bytes however they are cut, and what is held is one handshake message
//! per direction, of at most [`HANDSHAKE_BYTES_MAX`]; a longer one is skipped with an event.

use super::hello::{self, Cursor, Hello, InvalidLength};
use super::progress;
use super::settings::{Encryption, Settings};
use super::transaction::{Chain, TlsTransaction, read_first, state};
use super::version::Version;
use super::{buffer, event};
use crate::applayer::frames::Frames;
use crate::applayer::{AppParser, EventId, Input, ParseCx, Parsed, Progress, ProtoId, Transaction, TxId};
use crate::types::{Direction, PerDirection, Timestamp};
use smallvec::SmallVec;
use std::any::Any;

/// Longest handshake message that is read; OpenSSL's default for a chain is 100 kB.
pub const HANDSHAKE_BYTES_MAX: usize = 512 << 10;
/// Longest record: 2^14 bytes of content, 2048 of overhead in the most generous version (RFC 5246 section 6.2.3).
const RECORD_BYTES_MAX: u16 = (1 << 14) + 2_048;
const RECORD_HEADER_BYTES: usize = 5;

mod kind {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const APPLICATION_DATA: u8 = 23;
    pub const HEARTBEAT: u8 = 24;
}

/// A record whose header has been read.
#[derive(Clone, Copy, Debug)]
struct Record {
    kind: u8,
    len: u16,
    left: u16,
    /// First bytes of an alert or heartbeat.
    head: [u8; 3],
    head_len: u8,
}

#[derive(Debug, Default)]
struct Lane {
    record: Option<Record>,
    /// A handshake message in the making, header included.
    message: Vec<u8>,
    /// Bytes of an oversized message still to come.
    skip: usize,
    /// Records so far spoke TLS: SSL 2.0 is out of the question.
    tls: bool,
    /// What follows of the handshake is ciphertext.
    ciphered: bool,
    /// Application data has begun; records are followed for their frames alone.
    sealed: bool,
    done: bool,
}

#[derive(Debug)]
pub struct TlsParser {
    settings: Settings,
    tx: Option<Box<TlsTransaction>>,
    lanes: PerDirection<Lane>,
    /// The server asked for the client's certificate.
    certificate_requested: bool,
    /// An encrypted heartbeat on its way: who sent it, how long its record was.
    heartbeat: Option<(Direction, u16)>,
    now: Timestamp,
    /// Application data has been seen.
    opaque: bool,
    /// Made for flows of which somebody wants frames.
    frames: Option<Box<Frames>>,
}

/// The record layer cannot go on.
struct Broken;

impl TlsParser {
    pub fn new(settings: Settings) -> Self {
        TlsParser {
            settings,
            tx: Some(Box::new(TlsTransaction::new(settings))),
            lanes: PerDirection::default(),
            certificate_requested: false,
            heartbeat: None,
            now: Timestamp::ZERO,
            opaque: false,
            frames: None,
        }
    }

    /// What must hold between calls.
    pub fn invariants(&self) {
        for dir in Direction::BOTH {
            let lane = &self.lanes[dir];
            debug_assert!(lane.message.len() <= HANDSHAKE_BYTES_MAX + 4);
            debug_assert!(lane.record.is_none_or(|r| r.left > 0 && r.left <= r.len && r.len <= RECORD_BYTES_MAX));
            debug_assert!(lane.skip == 0 || lane.message.is_empty());
        }
    }

    fn raise(&mut self, event: EventId) {
        if let Some(tx) = &mut self.tx {
            tx.raise(event);
        }
    }

    fn advance(&mut self, dir: Direction, to: Progress) {
        if let Some(tx) = &mut self.tx {
            tx.advance(dir, to);
        }
    }

    fn end(&mut self, dir: Direction) -> Parsed {
        self.lanes[dir] = Lane { done: true, ..Lane::default() };
        self.advance(dir, Progress::DONE);
        Parsed::Done
    }

    fn end_both(&mut self) {
        for dir in Direction::BOTH {
            self.advance(dir, Progress::DONE);
        }
    }

    /// `from`: the stream position of the first byte.
    fn data(&mut self, dir: Direction, bytes: &[u8], from: u64) -> Result<Parsed, Broken> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some(record) = self.lanes[dir].record {
                let (chunk, tail) = rest.split_at(rest.len().min(usize::from(record.left)));
                rest = tail;
                self.content(dir, chunk)?;
                continue;
            }
            if !self.lanes[dir].tls && rest.first().is_some_and(|b| b & 0xc0 != 0) {
                let at = from.saturating_add((bytes.len() - rest.len()) as u64);
                match self.ssl2(dir, rest, at)? {
                    Some(0) => break,
                    Some(n) => rest = rest.get(n..).unwrap_or(&[]),
                    None => return Ok(self.end(dir)),
                }
                continue;
            }
            let Some((header, tail)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() else { break };
            if self.lanes[dir].sealed && !sound(header) {
                return Ok(self.end(dir));
            }
            let record = self.header(dir, *header)?;
            self.frame(dir, record, from.saturating_add((bytes.len() - rest.len()) as u64));
            if record.kind == kind::APPLICATION_DATA && !self.early_data(dir) {
                self.opaque = self.settings.encryption != Encryption::Full;
                if self.frames.is_none() {
                    return Ok(self.end(dir));
                }
                // Only the records' places are still of interest.
                self.lanes[dir] = Lane { tls: true, ciphered: true, sealed: true, ..Lane::default() };
                self.advance(dir, Progress::DONE);
            }
            rest = tail;
            self.lanes[dir].record = Some(record).filter(|r| r.left > 0);
        }
        Ok(Parsed::Consumed(bytes.len() - rest.len()))
    }

    /// Notes a record's frames, if anybody wants to know.
    fn frame(&mut self, dir: Direction, record: Record, at: u64) {
        let Some(frames) = &mut self.frames else { return };
        let content = at.saturating_add(RECORD_HEADER_BYTES as u64);
        let end = content.saturating_add(record.len.into());
        frames.begin(dir, buffer::FRAME_HDR, at, Some(content), None);
        frames.begin(dir, buffer::FRAME_PDU, at, Some(end), None);
        if record.len == 0 {
            return;
        }
        frames.begin(dir, buffer::FRAME_DATA, content, Some(end), None);
        match record.kind {
            kind::ALERT => frames.begin(dir, buffer::FRAME_ALERT, content, Some(end), None),
            kind::HEARTBEAT => frames.begin(dir, buffer::FRAME_HEARTBEAT, content, Some(end), None),
            _ => {}
        }
    }

    /// Application data before the server has answered (RFC 8446 section 2.3).
    fn early_data(&self, dir: Direction) -> bool {
        let Some(tx) = &self.tx else { return false };
        dir == Direction::ToServer
            && tx.server.hello.is_none()
            && tx.client.hello.as_ref().is_some_and(|h| h.early_data)
    }

    fn header(&mut self, dir: Direction, bytes: [u8; RECORD_HEADER_BYTES]) -> Result<Record, Broken> {
        let [kind, major, minor, len0, len1] = bytes;
        let version = Version(u16::from_be_bytes([major, minor]));
        let len = u16::from_be_bytes([len0, len1]);
        let known = (kind::CHANGE_CIPHER_SPEC..=kind::HEARTBEAT).contains(&kind);
        let event = if !known {
            event::INVALID_RECORD_TYPE
        } else if !version.valid() || version == Version::SSL2 {
            event::INVALID_RECORD_VERSION
        } else if len > RECORD_BYTES_MAX || (len == 0 && kind != kind::APPLICATION_DATA) {
            event::INVALID_RECORD_LENGTH
        } else {
            self.lanes[dir].tls = true;
            if let Some(side) = self.tx.as_mut().map(|tx| tx.side_mut(dir)).filter(|side| side.hello.is_none()) {
                side.version = version;
            }
            return Ok(Record { kind, len, left: len, head: [0; 3], head_len: 0 });
        };
        self.raise(event);
        Err(Broken)
    }

    /// Bytes of the current record, as many as there are.
    fn content(&mut self, dir: Direction, chunk: &[u8]) -> Result<(), Broken> {
        let lane = &mut self.lanes[dir];
        let Some(record) = &mut lane.record else { return Ok(()) };
        record.left = record.left.saturating_sub(u16::try_from(chunk.len()).unwrap_or(u16::MAX));
        if matches!(record.kind, kind::ALERT | kind::HEARTBEAT) {
            for byte in chunk {
                let Some(slot) = record.head.get_mut(usize::from(record.head_len)) else { break };
                *slot = *byte;
                record.head_len += 1;
            }
        }
        let record = *record;
        if record.left == 0 {
            lane.record = None;
        }
        if record.kind == kind::HANDSHAKE && !lane.ciphered {
            self.handshake(dir, chunk)?;
        } else if record.left == 0 {
            match record.kind {
                kind::CHANGE_CIPHER_SPEC => self.change_cipher_spec(dir),
                kind::ALERT => self.alert(dir, record),
                kind::HEARTBEAT => self.heartbeat(dir, record),
                _ => {}
            }
        }
        Ok(())
    }

    fn change_cipher_spec(&mut self, dir: Direction) {
        let Some(tx) = &self.tx else { return };
        // Before any hello it changes nothing; after a retry request the client's second hello is still plain, and the
        // first has told all.
        if tx.side(dir).hello.is_some() || tx.states & state::CLIENT_KEYX != 0 {
            self.lanes[dir].ciphered = true;
            self.lanes[dir].message = Vec::new();
            self.lanes[dir].skip = 0;
            self.advance(dir, progress::HELLO_DONE);
        }
    }

    fn alert(&mut self, dir: Direction, record: Record) {
        if self.lanes[dir].ciphered {
            return;
        }
        let [level, description, _] = record.head;
        if record.len < 2 || !matches!(level, 1 | 2) {
            self.raise(event::INVALID_ALERT);
        } else if level == 2 || description == 0 {
            self.end_both();
        }
    }

    /// RFC 6520. A plain one shows its lengths; of an encrypted one only the record's size tells that an answer is
    /// longer than its question.
    fn heartbeat(&mut self, dir: Direction, record: Record) {
        if self.lanes[dir].ciphered {
            match self.heartbeat.take() {
                Some((asked, len)) if asked != dir => {
                    if record.len > len {
                        self.raise(event::DATALEAK_HEARTBEAT);
                    }
                }
                _ => self.heartbeat = Some((dir, record.len)),
            }
            return;
        }
        let [message, len0, len1] = record.head;
        let payload = u32::from(u16::from_be_bytes([len0, len1]));
        if record.len < 3 || !matches!(message, 1 | 2) {
            self.raise(event::INVALID_HEARTBEAT);
        } else if payload + 3 + 16 > u32::from(record.len) {
            self.raise(event::OVERFLOW_HEARTBEAT);
        }
    }

    /// Plain handshake bytes: whole messages are read where they lie, others gathered.
    fn handshake(&mut self, dir: Direction, mut chunk: &[u8]) -> Result<(), Broken> {
        while !chunk.is_empty() && !self.lanes[dir].ciphered {
            let lane = &mut self.lanes[dir];
            if lane.skip > 0 {
                let n = lane.skip.min(chunk.len());
                lane.skip -= n;
                chunk = chunk.get(n..).unwrap_or(&[]);
                continue;
            }
            let whole = if lane.message.is_empty() { whole_message(chunk) } else { None };
            if let Some((kind, body, tail)) = whole {
                self.message(dir, kind, body)?;
                chunk = tail;
                continue;
            }
            let wanted = 4 + announced(&lane.message).unwrap_or(0);
            let (part, tail) = chunk.split_at(chunk.len().min(wanted - lane.message.len()));
            lane.message.extend_from_slice(part);
            chunk = tail;
            let Some(len) = announced(&lane.message) else { continue };
            if len > HANDSHAKE_BYTES_MAX {
                lane.message = Vec::new();
                lane.skip = len;
                self.raise(event::HANDSHAKE_INVALID_LENGTH);
            } else if lane.message.len() == 4 + len {
                let message = std::mem::take(&mut lane.message);
                if let Some((kind, body, _)) = whole_message(&message) {
                    self.message(dir, kind, body)?;
                }
            }
        }
        Ok(())
    }

    /// One complete handshake message (RFC 8446 section 4, RFC 5246 section 7.4).
    fn message(&mut self, dir: Direction, kind: u8, body: &[u8]) -> Result<(), Broken> {
        let now = self.now;
        let Some(tx) = &mut self.tx else { return Ok(()) };
        match kind {
            1 if dir == Direction::ToServer => {
                tx.states |= state::CLIENT_HELLO;
                let mut events = SmallVec::new();
                let read = hello::client(body, &mut events);
                self.hello(dir, read, &events)?;
            }
            2 if dir == Direction::ToClient => {
                tx.states |= state::SERVER_HELLO;
                let mut events = SmallVec::new();
                let read = hello::server(body, &mut events);
                self.hello(dir, read, &events)?;
            }
            11 => self.certificate(dir, body, now)?,
            12 => tx.states |= state::SERVER_KEYX,
            13 => {
                self.certificate_requested = true;
                if let Some(tx) = &mut self.tx {
                    tx.states |= state::CERTIFICATE_REQUEST;
                }
            }
            14 => {
                tx.advance(dir, progress::HELLO_DONE);
            }
            16 => {
                tx.states |= state::CLIENT_KEYX;
                tx.advance(dir, progress::CERTIFICATE);
            }
            // Requests, tickets, hello verification, end of early data, encrypted extensions, verification, finished,
            // status, supplemental data, key update, compressed certificate, next protocol, message hash.
            0 | 1..=8 | 15 | 20..=25 | 67 | 254 => {}
            _ => {
                self.raise(event::INVALID_HANDSHAKE_MESSAGE);
                return Err(Broken);
            }
        }
        Ok(())
    }

    fn hello(&mut self, dir: Direction, read: Result<Hello, InvalidLength>, events: &[EventId]) -> Result<(), Broken> {
        let Some(tx) = &mut self.tx else { return Ok(()) };
        events.iter().for_each(|e| tx.raise(*e));
        let Ok(hello) = read else {
            tx.raise(event::HANDSHAKE_INVALID_LENGTH);
            tx.raise(event::INVALID_HANDSHAKE_MESSAGE);
            return Err(Broken);
        };
        let side = tx.side_mut(dir);
        if side.hello.is_none() {
            side.version = hello.version;
            side.hello = Some(Box::new(hello));
        }
        tx.advance(dir, progress::HELLO);
        Ok(())
    }

    fn certificate(&mut self, dir: Direction, body: &[u8], now: Timestamp) -> Result<(), Broken> {
        let Some(tx) = &mut self.tx else { return Ok(()) };
        let mut c = Cursor(body);
        let Ok(list) = c.u24().and_then(|n| c.bytes(n)) else {
            tx.raise(event::INVALID_CERTIFICATE);
            tx.raise(event::INVALID_HANDSHAKE_MESSAGE);
            return Err(Broken);
        };
        if tx.side(dir).chain.is_none() && !list.is_empty() {
            let (mut chain, whole) = Chain::read(list, now);
            let broken = if whole { None } else { Some(event::INVALID_CERTIFICATE) };
            for event in broken.into_iter().chain(read_first(&mut chain)) {
                tx.raise(event);
                tx.raise(event::INVALID_HANDSHAKE_MESSAGE);
            }
            tx.side_mut(dir).chain = Some(Box::new(chain));
        }
        tx.advance(dir, progress::CERTIFICATE);
        Ok(())
    }

    /// An SSL 2.0 record at the front (its first byte has bit 7 set, or bit 6 for the longer header). How many bytes it
    /// took, 0 where it is not complete; `None` where what follows is encrypted.
    fn ssl2(&mut self, dir: Direction, bytes: &[u8], at: u64) -> Result<Option<usize>, Broken> {
        let Some((&[a, b], body)) = bytes.split_first_chunk() else { return Ok(Some(0)) };
        let (header, len) = if a & 0x80 != 0 {
            (2, usize::from(u16::from_be_bytes([a & 0x7f, b])))
        } else {
            (3, usize::from(u16::from_be_bytes([a & 0x3f, b])))
        };
        let Some(&kind) = body.get(header - 2) else { return Ok(Some(0)) };
        if len == 0 || kind > 8 {
            self.raise(event::INVALID_SSLV2_HEADER);
            return Err(Broken);
        }
        let Some(body) = bytes.get(header..).and_then(|b| b.get(..len)) else { return Ok(Some(0)) };
        if let Some(frames) = &mut self.frames {
            let content = at.saturating_add(header as u64);
            frames.begin(dir, buffer::FRAME_SSL2_HDR, at, Some(content), None);
            frames.begin(dir, buffer::FRAME_SSL2_PDU, at, Some(content.saturating_add(len as u64)), None);
        }
        let body = body.get(1..).unwrap_or(&[]);
        let Some(tx) = &mut self.tx else { return Ok(None) };
        tx.side_mut(dir).version = Version::SSL2;
        match (kind, dir) {
            (0, _) => tx.raise(event::ERROR_MESSAGE),
            (1, Direction::ToServer) => {
                let Ok(hello) = hello::client_v2(body) else {
                    tx.raise(event::INVALID_SSLV2_HEADER);
                    return Err(Broken);
                };
                tx.states |= state::CLIENT_HELLO;
                if tx.client.hello.is_none() {
                    // The form is old, the version asked for need not be.
                    tx.client.version = hello.version;
                    tx.client.hello = Some(Box::new(hello));
                }
                tx.advance(dir, progress::HELLO);
            }
            (2, Direction::ToServer) => {
                tx.states |= state::CLIENT_KEYX;
                return Ok(None);
            }
            (4, Direction::ToClient) => {
                tx.states |= state::SERVER_HELLO;
                tx.advance(dir, progress::HELLO_DONE);
            }
            (5 | 6, Direction::ToClient) | (3, Direction::ToServer) => return Ok(None),
            _ => tx.raise(event::INVALID_SSL_RECORD),
        }
        Ok(Some(header + len))
    }
}

impl Default for TlsParser {
    fn default() -> Self {
        TlsParser::new(Settings::default())
    }
}

/// Whether a record's header is one: known type, a version of TLS, a length within bounds.
fn sound(&[kind, major, _, len0, len1]: &[u8; RECORD_HEADER_BYTES]) -> bool {
    let len = u16::from_be_bytes([len0, len1]);
    (kind::CHANGE_CIPHER_SPEC..=kind::HEARTBEAT).contains(&kind) && major == 3 && (1..=RECORD_BYTES_MAX).contains(&len)
}

/// Length of a message's body, once its header is there.
fn announced(message: &[u8]) -> Option<usize> {
    Cursor(message.get(1..)?).u24().ok()
}

/// Type, body, and what follows.
fn whole_message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let mut c = Cursor(bytes);
    let kind = c.u8().ok()?;
    let len = c.u24().ok()?;
    let body = c.bytes(len).ok()?;
    Some((kind, body, c.0))
}

impl AppParser for TlsParser {
    fn protocol(&self) -> ProtoId {
        super::ID
    }

    fn parse(&mut self, cx: &ParseCx<'_>, dir: Direction, input: Input<'_>) -> Parsed {
        self.now = cx.ts;
        if self.lanes[dir].done {
            return Parsed::Done;
        }
        match input {
            Input::Data(bytes) => match self.data(dir, bytes, cx.at) {
                Ok(parsed) => parsed,
                Err(Broken) => {
                    self.end_both();
                    Parsed::Failed
                }
            },
            // A hole in ciphertext would not matter, but then this direction would be done: the handshake is lost.
            Input::Gap(_) if self.lanes[dir].sealed => self.end(dir),
            Input::Gap(_) => {
                self.end_both();
                Parsed::Failed
            }
            Input::Eof => self.end(dir),
        }
    }

    fn transactions(&self) -> (TxId, TxId) {
        (TxId(u64::from(self.tx.is_none())), TxId(1))
    }

    fn transaction(&self, id: TxId) -> Option<&dyn Transaction> {
        self.tx.as_deref().filter(|_| id == TxId(0)).map(|tx| tx as &dyn Transaction)
    }

    fn transaction_mut(&mut self, id: TxId) -> Option<&mut dyn Transaction> {
        self.tx.as_deref_mut().filter(|_| id == TxId(0)).map(|tx| tx as &mut dyn Transaction)
    }

    fn free(&mut self, _: TxId) {
        self.tx = None;
    }

    fn opaque(&self) -> bool {
        self.opaque
    }

    fn bypass(&self) -> bool {
        self.opaque && self.settings.encryption == Encryption::Bypass
    }

    fn frames(&self) -> Option<&Frames> {
        self.frames.as_deref()
    }

    fn frames_mut(&mut self) -> Option<&mut Frames> {
        Some(self.frames.get_or_insert_default())
    }

    fn memory(&self) -> usize {
        let lanes = self.lanes.to_server.message.capacity() + self.lanes.to_client.message.capacity();
        size_of::<Self>()
            + lanes
            + self.tx.as_ref().map_or(0, |tx| tx.memory())
            + self.frames.as_ref().map_or(0, |f| f.memory())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Bytes from outside through probe, parser, every buffer and the log; see [`crate::proto::exercise`].
pub fn fuzz_target(data: &[u8]) {
    crate::proto::exercise::run(&super::DEF, data);
}
