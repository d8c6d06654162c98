//! The one transaction of a TLS flow: both hellos, both chains, what the log and the rules ask of them.

use super::certificate::{Certificate, fingerprint};
use super::fingerprint::{ja3, ja3s, ja4, md5_hex};
use super::hello::Hello;
use super::progress::HELLO_DONE;
use super::settings::{Fingerprint, Settings};
use super::version::Version;
use super::{buffer, log};
use crate::applayer::{Buffer, BufferId, EventId, LogCx, Progress, Transaction, generic};
use crate::proto::LogSettings;
use crate::types::{Direction, FieldSink, PerDirection, Timestamp};
use smallvec::SmallVec;
use std::any::Any;
use std::cell::OnceCell;
use std::ops::Range;

/// Certificates of one chain kept.
const CHAIN_MAX: usize = 64;

/// The certificates one side sent.
#[derive(Debug, Default)]
pub struct Chain {
    der: Box<[u8]>,
    places: SmallVec<[Range<u32>; 4]>,
    pub first: Option<Certificate>,
    /// Packet time at which it was complete.
    pub at: Timestamp,
    fingerprint: OnceCell<String>,
}

impl Chain {
    /// A certificate_list without its length: certificates each led by a length of three bytes. The flag says whether
    /// all of it was read.
    pub fn read(list: &[u8], at: Timestamp) -> (Chain, bool) {
        let mut places = SmallVec::new();
        let mut c = super::hello::Cursor(list);
        let mut whole = true;
        while !c.0.is_empty() {
            let Ok(der) = c.u24().and_then(|n| c.bytes(n)) else {
                whole = false;
                break;
            };
            let end = list.len() - c.0.len();
            let place = (end - der.len()) as u32..end as u32;
            if der.is_empty() {
                continue;
            }
            if places.len() == CHAIN_MAX {
                whole = false;
                break;
            }
            places.push(place);
        }
        (Chain { der: list.into(), places, at, ..Chain::default() }, whole)
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn der(&self, index: usize) -> Option<&[u8]> {
        let place = self.places.get(index)?;
        self.der.get(place.start as usize..place.end as usize)
    }

    /// SHA-1 of the first certificate.
    pub fn fingerprint(&self) -> Option<&str> {
        let der = self.der(0)?;
        Some(self.fingerprint.get_or_init(|| fingerprint(der)))
    }

    fn memory(&self) -> usize {
        self.der.len() + self.first.as_ref().map_or(0, Certificate::memory)
    }
}

/// What has passed of a handshake, for `ssl_state`.
pub mod state {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const CLIENT_KEYX: u8 = 4;
    pub const SERVER_KEYX: u8 = 8;
    pub const UNKNOWN: u8 = 16;
    /// No rule asks for it: the client is to show its certificate, too.
    pub const CERTIFICATE_REQUEST: u8 = 32;
}

#[derive(Debug, Default)]
pub struct Side {
    /// Of the hello, before it of the records.
    pub version: Version,
    pub hello: Option<Box<Hello>>,
    pub chain: Option<Box<Chain>>,
    ja3: OnceCell<(String, String)>,
    ja4: OnceCell<String>,
}

#[derive(Debug, Default)]
pub struct TlsTransaction {
    pub(super) progress: PerDirection<Progress>,
    pub(super) client: Side,
    pub(super) server: Side,
    settings: Settings,
    /// Bits of [`state`].
    pub(super) states: u8,
    /// Each kind at most once.
    events: SmallVec<[EventId; 2]>,
}

impl TlsTransaction {
    pub(super) fn new(settings: Settings) -> Self {
        TlsTransaction { settings, ..TlsTransaction::default() }
    }

    pub fn side(&self, dir: Direction) -> &Side {
        match dir {
            Direction::ToServer => &self.client,
            Direction::ToClient => &self.server,
        }
    }

    pub(super) fn side_mut(&mut self, dir: Direction) -> &mut Side {
        match dir {
            Direction::ToServer => &mut self.client,
            Direction::ToClient => &mut self.server,
        }
    }

    pub(super) fn advance(&mut self, dir: Direction, to: Progress) {
        self.progress[dir] = self.progress[dir].max(to);
    }

    pub(super) fn raise(&mut self, event: EventId) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    /// The server took up an earlier session: it repeats the client's session id or takes its ticket, and shows no
    /// certificate.
    pub fn resumed(&self) -> bool {
        let (Some(client), Some(server)) = (&self.client.hello, &self.server.hello) else { return false };
        let same_id = !client.session_id.is_empty() && client.session_id == server.session_id;
        let certificate = self.server.chain.as_ref().is_some_and(|c| c.first.is_some());
        (same_id || client.ticket) && !certificate && !server.version.is_13()
    }

    /// JA3 is worth its record: it is wanted of every handshake, or a rule has asked for it of this one.
    pub fn ja3_shown(&self) -> bool {
        match self.settings.ja3 {
            Fingerprint::Always => true,
            Fingerprint::Never => false,
            Fingerprint::Auto => self.client.ja3.get().is_some() || self.server.ja3.get().is_some(),
        }
    }

    /// Text and hash of JA3 of the client's hello, or of JA3S of the server's.
    pub fn ja3(&self, dir: Direction) -> Option<&(String, String)> {
        let side = self.side(dir);
        let wanted = self.settings.ja3 != Fingerprint::Never;
        let hello = side.hello.as_ref().filter(|h| wanted && h.random.is_some())?;
        Some(side.ja3.get_or_init(|| {
            let text = if dir == Direction::ToServer { ja3(hello) } else { ja3s(hello) };
            let hash = md5_hex(&text);
            (text, hash)
        }))
    }

    pub fn ja4(&self) -> Option<&str> {
        let hello =
            self.client.hello.as_ref().filter(|h| h.random.is_some() && self.settings.ja4 != Fingerprint::Never)?;
        Some(self.client.ja4.get_or_init(|| ja4(hello, 't')))
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let side = |s: &Side| {
            s.hello.as_ref().map_or(0, |h| size_of::<Hello>() + h.memory())
                + s.chain.as_ref().map_or(0, |c| size_of::<Chain>() + c.memory())
        };
        size_of::<Self>() + side(&self.client) + side(&self.server)
    }

    fn own(&self, id: BufferId, dir: Direction, index: usize) -> Option<&[u8]> {
        let side = self.side(dir);
        let hello = side.hello.as_deref();
        let chain = side.chain.as_deref();
        let first = chain.and_then(|c| c.first.as_ref());
        let random = hello.and_then(|h| h.random.as_ref());
        match id {
            buffer::CERTS => return chain?.der(index),
            buffer::ALPN => return hello?.alpns.get(index).map(|a| &**a),
            buffer::SUBJECT_ALT_NAME => return first?.alt_names.get(index).map(|n| &**n),
            _ if index > 0 => return None,
            _ => {}
        }
        match id {
            buffer::SNI => hello?.sni.as_deref(),
            buffer::CERT_SUBJECT => Some(&first?.subject),
            buffer::CERT_ISSUER => Some(&first?.issuer),
            buffer::CERT_SERIAL => Some(&first?.serial),
            buffer::CERT_FINGERPRINT => chain?.fingerprint().map(str::as_bytes),
            buffer::RANDOM => random.map(|r| &r[..]),
            buffer::RANDOM_TIME => random?.get(..4),
            buffer::RANDOM_BYTES => random?.get(4..),
            _ => None,
        }
    }

    fn shared(&self, id: BufferId, dir: Direction) -> Option<&str> {
        match (id, dir) {
            (generic::JA3_STRING, Direction::ToServer) | (generic::JA3S_STRING, Direction::ToClient) => {
                self.ja3(dir).map(|j| j.0.as_str())
            }
            (generic::JA3_HASH, Direction::ToServer) | (generic::JA3S_HASH, Direction::ToClient) => {
                self.ja3(dir).map(|j| j.1.as_str())
            }
            (generic::JA4_HASH, Direction::ToServer) => self.ja4(),
            _ => None,
        }
    }
}

impl Transaction for TlsTransaction {
    fn progress(&self, dir: Direction) -> Progress {
        self.progress[dir]
    }

    fn buffer(&self, id: BufferId, dir: Direction, index: usize) -> Option<Buffer<'_>> {
        let data = if id.proto == super::ID {
            self.own(id, dir, index)
        } else if index == 0 {
            self.shared(id, dir).map(str::as_bytes)
        } else {
            None
        };
        data.map(Buffer::whole)
    }

    fn events(&self) -> &[EventId] {
        &self.events
    }

    fn progress_name(&self, dir: Direction) -> Option<&'static str> {
        const NAMES: [[&str; 5]; 2] = [
            ["client_in_progress", "client_hello_done", "client_cert_done", "client_handshake_done", "client_finished"],
            ["server_in_progress", "server_hello", "server_cert_done", "server_hello_done", "server_finished"],
        ];
        let at = usize::from(self.progress[dir].0).min(4);
        NAMES.get(dir as usize).and_then(|n| n.get(at)).copied()
    }

    fn records(&self, settings: &LogSettings) -> usize {
        // What either side showed of itself, or all that a handshake shows whose certificates are hidden (TLS 1.3).
        let certificate = |s: &Side| s.chain.as_ref().is_some_and(|c| c.first.is_some());
        let worth = certificate(&self.server)
            || certificate(&self.client)
            || self.server.hello.is_some() && self.server.version.is_13()
            || settings.tls.session_resumption && self.resumed();
        usize::from(worth)
    }

    fn log_ready(&self) -> bool {
        // Once the server has shown its certificate nothing of the record changes but a client's certificate, if asked for.
        let client = self.states & state::CERTIFICATE_REQUEST == 0 || self.progress.to_server >= HELLO_DONE;
        client && self.server.chain.as_ref().is_some_and(|c| c.first.is_some())
            || Direction::BOTH.into_iter().all(|dir| self.progress(dir) == Progress::DONE)
    }

    fn log(&self, sink: &mut dyn FieldSink, cx: &LogCx<'_>) {
        log::write(self, sink, cx);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What is wrong with a chain, for events: nothing, or the event.
pub(super) fn read_first(chain: &mut Chain) -> Option<EventId> {
    match Certificate::read(chain.der(0)?) {
        Ok(certificate) => {
            chain.first = Some(certificate);
            None
        }
        Err(event) => Some(event),
    }
}
