//! A transaction: one request and its response, and what rules and logs see of them.
//!
//! Owns the lines, headers and bodies; buffers are slices of those, or built once when first asked for. Lives until the
//! engine frees it. Knows nothing of the connection: `parser` fills it.

use super::headers::Headers;
use super::payload::Payload;
use super::reuse::{self, Built};
use super::tables::buffer;
use super::text::Version;
use super::uri::{self, Target};
use crate::applayer::files::File;
use crate::applayer::{Buffer, BufferId, EventId, LogCx, Progress, Transaction, TxId, generic};
use crate::types::{Direction, FieldSink};
use std::any::Any;
use std::cell::OnceCell;
use std::ops::Range;

/// Request methods that matter to framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Unknown,
    Connect,
    Head,
    Post,
    Put,
    /// Known, of no consequence to framing.
    Other,
}

/// What both messages have. Spans are into `line`.
#[derive(Debug)]
pub struct Message {
    pub progress: Progress,
    pub line: Vec<u8>,
    pub protocol: Range<usize>,
    pub version: Version,
    pub headers: Headers,
    pub payload: Payload,
    header: Built,
    names: Built,
    start: Built,
    each: OnceCell<Vec<Vec<u8>>>,
}

impl Default for Message {
    fn default() -> Self {
        Message {
            progress: Progress::NONE,
            line: Vec::new(),
            protocol: 0..0,
            version: Version::Invalid,
            headers: Headers::default(),
            payload: Payload::default(),
            header: Built::default(),
            names: Built::default(),
            start: Built::default(),
            each: OnceCell::new(),
        }
    }
}

impl Message {
    pub fn part(&self, r: &Range<usize>) -> Option<&[u8]> {
        self.line.get(r.clone()).filter(|s| !s.is_empty())
    }

    /// Headers have changed: what was built of them is stale.
    pub fn forget_built(&mut self) {
        [&mut self.header, &mut self.names, &mut self.start].into_iter().for_each(Built::forget);
        self.each = OnceCell::new();
    }

    /// As if nothing of it had come; buffers keep their room.
    pub fn empty(&mut self) {
        self.progress = Progress::NONE;
        reuse::empty(&mut self.line);
        self.protocol = 0..0;
        self.version = Version::Invalid;
        self.headers.empty();
        self.payload.empty();
        self.forget_built();
    }

    /// Raises the progress; it never falls.
    pub fn reach(&mut self, p: Progress) {
        self.progress = self.progress.max(p);
    }

    fn memory(&self) -> usize {
        let built = [&self.header, &self.names, &self.start].into_iter().map(Built::memory).sum::<usize>();
        self.line.capacity() + self.headers.memory() + self.payload.memory() + built
    }

    fn header_block(&self) -> &[u8] {
        self.header.get(|out| {
            out.reserve(self.headers.raw().len());
            for (name, value) in self.headers.iter().filter(|(n, _)| !is_cookie(n)) {
                push_header(out, name, value);
                out.extend_from_slice(b"\r\n");
            }
        })
    }

    fn names(&self) -> &[u8] {
        self.names.get(|out| {
            if !self.headers.is_empty() {
                out.extend_from_slice(b"\r\n");
                for (name, _) in self.headers.iter() {
                    out.extend_from_slice(name);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"\r\n");
            }
        })
    }

    fn start(&self) -> &[u8] {
        self.start.get(|out| {
            if self.line.is_empty() {
                return;
            }
            out.reserve(self.line.len() + self.headers.raw().len() + 4);
            out.extend_from_slice(&self.line);
            out.extend_from_slice(b"\r\n");
            for (name, value) in self.headers.iter() {
                push_header(out, name, value);
                out.extend_from_slice(b"\r\n");
            }
            if !self.headers.is_empty() {
                out.extend_from_slice(b"\r\n");
            }
        })
    }

    fn nth_header(&self, i: usize) -> Option<&[u8]> {
        let all = self.each.get_or_init(|| {
            self.headers
                .iter()
                .map(|(n, v)| {
                    let mut out = Vec::with_capacity(n.len() + v.len() + 2);
                    push_header(&mut out, n, v);
                    out
                })
                .collect()
        });
        all.get(i).map(Vec::as_slice)
    }
}

fn push_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
}

fn is_cookie(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"cookie") || name.eq_ignore_ascii_case(b"set-cookie")
}

/// What readers of the log know as the target of a request that nobody saw.
const UNSEEN_URI: &[u8] = b"/libhtp::request_uri_not_seen";

#[derive(Debug, Default)]
pub struct Request {
    pub m: Message,
    /// Spans of `m.line`.
    pub method: Range<usize>,
    pub uri: Range<usize>,
    pub kind: Method,
    /// Spans of the target.
    pub target: Target,
    /// Lower case, without port.
    pub host: Option<Vec<u8>>,
    pub port: Option<u16>,
    pub continue_expected: bool,
    normalised: Built,
    /// What hosts of earlier requests left.
    pub(super) spare_host: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Response {
    pub m: Message,
    pub status: Range<usize>,
    pub reason: Range<usize>,
    pub code: Option<u16>,
    pub continue_seen: bool,
}

#[derive(Debug)]
pub struct HttpTx {
    pub id: TxId,
    pub request: Request,
    pub response: Response,
    events: Vec<EventId>,
    seen: u128,
    /// Bytes last accounted for.
    pub accounted: usize,
}

impl HttpTx {
    pub fn new(id: TxId) -> HttpTx {
        HttpTx {
            id,
            request: Request::default(),
            response: Response::default(),
            events: Vec::new(),
            seen: 0,
            accounted: 0,
        }
    }

    /// As if nothing of it had come; buffers keep their room.
    pub fn empty(&mut self) {
        let r = &mut self.request;
        r.m.empty();
        (r.method, r.uri, r.kind, r.target) = (0..0, 0..0, Method::default(), Target::default());
        r.spare_host = r.host.take().unwrap_or(std::mem::take(&mut r.spare_host));
        reuse::empty(&mut r.spare_host);
        (r.port, r.continue_expected) = (None, false);
        r.normalised.forget();
        let r = &mut self.response;
        r.m.empty();
        (r.status, r.reason, r.code, r.continue_seen) = (0..0, 0..0, None, false);
        self.events.clear();
        self.seen = 0;
        self.accounted = 0;
    }

    /// Each event once.
    pub fn event(&mut self, e: EventId) {
        let bit = 1u128.checked_shl(u32::from(e.local)).unwrap_or(0);
        if self.seen & bit == 0 {
            self.seen |= bit;
            self.events.push(e);
        }
    }

    pub fn has_event(&self, e: EventId) -> bool {
        self.events.contains(&e)
    }

    pub fn message(&self, dir: Direction) -> &Message {
        match dir {
            Direction::ToServer => &self.request.m,
            Direction::ToClient => &self.response.m,
        }
    }

    pub fn message_mut(&mut self, dir: Direction) -> &mut Message {
        match dir {
            Direction::ToServer => &mut self.request.m,
            Direction::ToClient => &mut self.response.m,
        }
    }

    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.request.m.memory()
            + self.response.m.memory()
            + self.request.host.as_ref().map_or(0, Vec::capacity)
            + self.request.spare_host.capacity()
            + self.request.normalised.memory()
    }

    /// The request target as sent.
    pub fn uri_raw(&self) -> Option<&[u8]> {
        self.request.m.part(&self.request.uri)
    }

    /// `http.uri`.
    pub fn uri(&self) -> Option<&[u8]> {
        let uri = self.request.normalised.get(|out| {
            if let Some(u) = self.uri_raw() {
                self.request.target.normalised(u, out);
            }
        });
        (!uri.is_empty()).then_some(uri)
    }

    /// The target that records show: as sent, or what stands for that of a request nobody saw.
    pub fn uri_shown(&self) -> Option<&[u8]> {
        self.uri_raw().or(self.unseen().then_some(UNSEEN_URI))
    }

    /// The transaction began with its response.
    fn unseen(&self) -> bool {
        self.request.m.line.is_empty() && self.request.m.progress == Progress::DONE
    }

    /// Appends the path files are named after, if there is one.
    pub fn path(&self, out: &mut Vec<u8>) -> bool {
        if self.unseen() {
            out.extend_from_slice(UNSEEN_URI);
            return true;
        }
        let path = self.uri_raw().zip(self.request.target.path.clone()).and_then(|(uri, path)| uri.get(path));
        if let Some(path) = path {
            uri::normalise_path(path, out);
        }
        path.is_some()
    }

    fn host_raw(&self) -> Option<&[u8]> {
        match &self.request.target.host {
            Some(_) => self.request.host.as_deref(),
            None => self.request.m.headers.value(b"host"),
        }
    }

    fn request_buffer(&self, id: BufferId, index: usize) -> Option<&[u8]> {
        let r = &self.request;
        match id {
            buffer::URI => self.uri(),
            buffer::URI_RAW => self.uri_raw(),
            buffer::METHOD => r.m.part(&r.method),
            buffer::REQUEST_LINE => Some(&r.m.line),
            buffer::USER_AGENT => r.m.headers.value(b"user-agent"),
            buffer::HOST => r.host.as_deref(),
            buffer::HOST_RAW => self.host_raw(),
            buffer::ACCEPT => r.m.headers.value(b"accept"),
            buffer::ACCEPT_ENC => r.m.headers.value(b"accept-encoding"),
            buffer::ACCEPT_LANG => r.m.headers.value(b"accept-language"),
            buffer::REFERER => r.m.headers.value(b"referer"),
            buffer::COOKIE => r.m.headers.value(b"cookie"),
            buffer::REQUEST_HEADER => r.m.nth_header(index),
            _ => None,
        }
    }

    fn response_buffer(&self, id: BufferId, index: usize) -> Option<&[u8]> {
        let r = &self.response;
        match id {
            buffer::STAT_CODE => r.m.part(&r.status),
            buffer::STAT_MSG => r.m.part(&r.reason),
            buffer::RESPONSE_LINE => Some(&r.m.line),
            buffer::SERVER => r.m.headers.value(b"server"),
            buffer::LOCATION => r.m.headers.value(b"location"),
            buffer::COOKIE => r.m.headers.value(b"set-cookie"),
            buffer::RESPONSE_HEADER => r.m.nth_header(index),
            _ => None,
        }
    }

    fn shared_buffer(m: &Message, id: BufferId) -> Option<&[u8]> {
        match id {
            buffer::PROTOCOL => m.part(&m.protocol),
            buffer::HEADER => Some(m.header_block()),
            buffer::HEADER_RAW => Some(m.headers.raw()),
            buffer::HEADER_NAMES => Some(m.names()),
            buffer::START => Some(m.start()),
            buffer::CONNECTION => m.headers.value(b"connection"),
            buffer::CONTENT_TYPE => m.headers.value(b"content-type"),
            buffer::CONTENT_LEN => m.headers.value(b"content-length"),
            _ => None,
        }
    }
}

impl Transaction for HttpTx {
    fn progress(&self, dir: Direction) -> Progress {
        self.message(dir).progress
    }

    fn buffer(&self, id: BufferId, dir: Direction, index: usize) -> Option<Buffer<'_>> {
        let m = self.message(dir);
        match (id, dir) {
            (generic::FILE_NAME, _) => return m.payload.file_name(index).map(Buffer::whole),
            (generic::FILE_DATA, Direction::ToServer) => return m.payload.file(index),
            (generic::FILE_DATA | buffer::RESPONSE_BODY, Direction::ToClient)
            | (buffer::REQUEST_BODY, Direction::ToServer) => return m.payload.instance(index),
            _ if index > 0 && !matches!(id, buffer::REQUEST_HEADER | buffer::RESPONSE_HEADER) => return None,
            _ => {}
        }
        // The line comes with progress 1, headers with 2: before that there is nothing to see.
        let own = match dir {
            Direction::ToServer => self.request_buffer(id, index),
            Direction::ToClient => self.response_buffer(id, index),
        };
        own.or_else(|| Self::shared_buffer(m, id)).filter(|b| !b.is_empty()).map(Buffer::whole)
    }

    fn events(&self) -> &[EventId] {
        &self.events
    }

    fn numbered(&self) -> bool {
        true
    }

    fn progress_name(&self, dir: Direction) -> Option<&'static str> {
        // Named is the part being received: the line is done once the headers are awaited.
        const NAMES: [[&str; 6]; 2] = [
            [
                "request_started",
                "request_headers",
                "request_body",
                "request_body",
                "request_trailer",
                "request_complete",
            ],
            [
                "response_started",
                "response_headers",
                "response_body",
                "response_body",
                "response_trailer",
                "response_complete",
            ],
        ];
        let at = usize::from(self.message(dir).progress.0).min(5);
        NAMES.get(dir as usize).and_then(|n| n.get(at)).copied()
    }

    fn proxied_for(&self, header: &str, first: bool) -> Option<std::net::IpAddr> {
        super::log::proxied_for(self, header, first)
    }

    fn log(&self, sink: &mut dyn FieldSink, cx: &LogCx<'_>) {
        super::log::write(self, sink, cx);
        super::log::bodies(self, sink, cx);
    }

    fn files(&self, dir: Direction) -> &[File] {
        &self.message(dir).payload.files
    }

    fn files_mut(&mut self, dir: Direction) -> &mut [File] {
        &mut self.message_mut(dir).payload.files
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
