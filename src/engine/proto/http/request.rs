//! The client's half: request line, headers, body.

use super::block::HeaderStart;
use super::multipart::Multipart;
use super::parser::{HttpParser, Line, State, Step};
use super::probe;
use super::tables::{self, event};
use super::text::{self, ChunkLine, Version, chunk_line, is_space, split_at, trim};
use super::tx::{HttpTx, Method};
use super::uri::{self, Target};
use crate::applayer::{ParseCx, Progress};
use crate::types::Direction;
use std::ops::Range;

const DIR: Direction = Direction::ToServer;
/// Longest first where one begins another.
pub const METHODS: &[&[u8]] = &[
    b"GET",
    b"PUT",
    b"POST",
    b"HEAD",
    b"TRACE",
    b"OPTIONS",
    b"CONNECT",
    b"DELETE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"CHECKOUT",
    b"UNCHECKOUT",
    b"CHECKIN",
    b"UPDATE",
    b"LABEL",
    b"REPORT",
    b"MKWORKSPACE",
    b"MKACTIVITY",
    b"MERGE",
    b"INVALID",
    b"VERSION-CONTROL",
    b"BASELINE-CONTROL",
];

fn method(word: &[u8]) -> Method {
    match word {
        b"CONNECT" => Method::Connect,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        w if METHODS.contains(&w) => Method::Other,
        _ => Method::Unknown,
    }
}

impl HttpParser {
    pub(super) fn request_step(&mut self, cx: &ParseCx<'_>, rest: &[u8]) -> Step {
        match self.req.state {
            State::Tunnel => return Step::Done,
            _ if rest.is_empty() => return Step::Wait,
            // Who means to tunnel waits; a server that refuses CONNECT answers what follows as the next request, and
            // in line that must be read before it leaves.
            State::ConnectWait if cx.inline && begins_request(rest) => {
                self.req.tx = None;
                self.req.state = State::Line;
            }
            State::ConnectWait => return Step::Wait,
            State::Proxy if rest.len() < 4 && self.req.left == 0 && self.req.ending => return Step::Done,
            State::Proxy => return self.proxy_header(rest),
            State::Identity | State::Chunk => return self.request_body(rest),
            State::After | State::UntilEof => return self.request_after(rest),
            _ => {}
        }
        if matches!(self.req.state, State::Headers | State::Trailer) {
            match self.header_start(DIR, rest) {
                None => {}
                Some(HeaderStart::Skip(n)) => return Step::Took(n),
                Some(HeaderStart::End(n)) => {
                    let whole = self.request_text(rest.get(..n).unwrap_or_default(), true);
                    return if whole { Step::Took(n) } else { Step::Fail };
                }
            }
        }
        match self.req.line(rest, false, self.cfg.field_limit) {
            Line::Partial => Step::Took(rest.len()),
            Line::TooLong if self.req.state == State::Resync => {
                self.req.held.clear();
                Step::Took(rest.len())
            }
            Line::TooLong => {
                self.too_long(DIR);
                Step::Fail
            }
            Line::Whole { line, used } => {
                let more = used < rest.len();
                if self.request_text(&line, more) { Step::Took(used) } else { Step::Fail }
            }
        }
    }

    /// A whole line in a state that wants one; `more`: bytes follow in this segment.
    fn request_text(&mut self, line: &[u8], more: bool) -> bool {
        match self.req.state {
            State::Line => self.request_line(line, more),
            State::Resync => {
                let (word, _) = split_at(line, is_space);
                if method(word) == Method::Unknown {
                    return true;
                }
                self.req.state = State::Line;
                self.request_line(line, more)
            }
            State::Headers => match self.header_line(DIR, line) {
                None => false,
                Some(false) => true,
                Some(true) => {
                    self.request_headers();
                    true
                }
            },
            State::Trailer => match self.header_line(DIR, line) {
                None => false,
                Some(end) => {
                    if let Some(tx) = self.current(DIR) {
                        tx.request.m.forget_built();
                    }
                    if end {
                        self.req.state = State::After;
                    }
                    true
                }
            },
            State::ChunkLength => self.request_chunk_length(line),
            State::ChunkEnd => {
                self.req.state = State::ChunkLength;
                true
            }
            _ => true,
        }
    }

    fn request_line(&mut self, line: &[u8], more: bool) -> bool {
        if matches!(line, b"\n" | b"\r\n") || (self.txs.next() == 0 && self.proxy_line(line)) {
            return true;
        }
        let Some(id) = self.open() else { return false };
        self.req.tx = Some(id);
        self.req.block = 0;
        let Some(tx) = self.txs.get_mut(id) else { return false };
        tx.request.m.line.extend_from_slice(text::chomp(line));
        parse_line(tx);
        tx.request.m.reach(tables::LINE);
        self.req.state = State::Headers;
        if tx.request.m.protocol.is_empty() {
            if more {
                tx.event(event::REQUEST_LINE_MISSING_PROTOCOL);
            } else {
                tx.request.m.version = Version::V09;
                self.complete(DIR, true);
                self.req.state = State::Line;
            }
        }
        true
    }

    /// What a load balancer says before the first request (PROXY protocol, both versions): no line of HTTP.
    fn proxy_line(&mut self, line: &[u8]) -> bool {
        match (self.req.proxy, line) {
            (0, b"\0\r\n") => self.req.proxy = 1,
            (1, b"QUIT\n") => {
                self.req.proxy = 2;
                self.req.state = State::Proxy;
                self.req.left = 0;
            }
            (0, l) if l.starts_with(b"PROXY ") && l.len() <= probe::PROXY_LINE_MAX => self.req.proxy = 2,
            _ => return false,
        }
        true
    }

    /// The rest of a binary PROXY header: version, family, length of two bytes, addresses.
    fn proxy_header(&mut self, rest: &[u8]) -> Step {
        if self.req.left == 0 {
            let [_, _, high, low, ..] = rest else {
                self.req.undecided = rest.to_vec();
                return Step::Took(rest.len());
            };
            self.req.left = u64::from(u16::from_be_bytes([*high, *low]));
            self.req.state = if self.req.left == 0 { State::Line } else { State::Proxy };
            return Step::Took(4);
        }
        let n = usize::try_from(self.req.left).unwrap_or(usize::MAX).min(rest.len());
        self.req.left -= n as u64;
        if self.req.left == 0 {
            self.req.state = State::Line;
        }
        Step::Took(n)
    }

    fn request_headers(&mut self) {
        let Some(tx) = self.current(DIR) else {
            self.req.state = State::After;
            return;
        };
        tx.request.m.forget_built();
        host(tx);
        authorization(tx);
        let framing = framing(tx);
        let (kind, id) = (tx.request.kind, tx.id);
        tx.request.continue_expected =
            tx.request.m.headers.value(b"expect").is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
        tx.request.m.reach(tables::HEADERS);
        if kind == Method::Connect {
            self.complete(DIR, true);
            // The answer looks it up.
            self.req.tx = Some(id);
            self.req.state = State::ConnectWait;
            return;
        }
        self.req.state = match framing {
            Framing::None => State::After,
            Framing::Length(n) => {
                self.req.left = n;
                State::Identity
            }
            Framing::Chunked => State::ChunkLength,
        };
        self.begin_body(DIR);
        if self.req.state == State::After {
            return;
        }
        if let Some(tx) = self.current(DIR) {
            tx.request.m.reach(tables::BODY);
            if matches!(kind, Method::Post | Method::Put) {
                carried(tx);
            }
        }
    }

    fn request_body(&mut self, rest: &[u8]) -> Step {
        let n = usize::try_from(self.req.left).unwrap_or(usize::MAX).min(rest.len());
        let now = rest.get(..n).unwrap_or(rest);
        self.body(DIR, now);
        self.req.left = self.req.left.saturating_sub(n as u64);
        if self.req.left == 0 {
            self.req.state = if self.req.state == State::Chunk { State::ChunkEnd } else { State::After };
        }
        Step::Took(n)
    }

    fn request_chunk_length(&mut self, line: &[u8]) -> bool {
        match chunk_line(line) {
            ChunkLine::Blank => true,
            ChunkLine::Bad => {
                self.event(DIR, event::INVALID_REQUEST_CHUNK_LEN);
                false
            }
            ChunkLine::Length { len, extension } => {
                if extension {
                    self.event(DIR, event::REQUEST_CHUNK_EXTENSION);
                }
                self.req.left = len;
                self.req.state = State::Chunk;
                if len == 0 {
                    self.req.state = State::Trailer;
                    self.req.block = 0;
                    if let Some(tx) = self.current(DIR) {
                        tx.request.m.reach(tables::TRAILER);
                    }
                }
                true
            }
        }
    }

    /// Bytes behind a whole request in the same segment: the next request, or more body than it announced.
    fn request_after(&mut self, rest: &[u8]) -> Step {
        let has_body = self.current(DIR).is_some_and(|tx| tx.request.m.payload.wire > 0);
        let text = text::trim_start(rest);
        if text.is_empty() {
            if has_body {
                self.body(DIR, rest);
            }
            return Step::Took(rest.len());
        }
        let (word, after) = split_at(text, is_space);
        let known = method(word) != Method::Unknown
            || (after.is_empty() && METHODS.iter().any(|m| m.starts_with(word)))
            || probe::versioned(text);
        let more_body = self.current(DIR).is_some_and(|tx| tx.has_event(event::REQUEST_BODY_UNEXPECTED));
        if !known
            && !more_body
            && !self.req.ending
            && probe::may_be_versioned(text)
            && rest.len() < self.cfg.field_limit
        {
            // A request of a method that only its whole line tells: a server sees it whole, however it is cut.
            self.req.undecided = rest.to_vec();
            return Step::Took(rest.len());
        }
        if known || self.req.tx.is_none() {
            self.complete(DIR, true);
            self.req.state = State::Line;
            return Step::Took(0);
        }
        self.event(DIR, event::REQUEST_BODY_UNEXPECTED);
        let n = memchr::memchr(b'\n', rest).map_or(rest.len(), |i| i + 1);
        self.body(DIR, rest.get(..n).unwrap_or(rest));
        if let Some(tx) = self.current(DIR) {
            tx.request.m.reach(tables::BODY);
        }
        Step::Took(n)
    }

    pub(super) fn request_eof(&mut self) {
        let held = std::mem::take(&mut self.req.held);
        if !held.is_empty() && matches!(self.req.state, State::Line | State::Headers | State::Trailer) {
            self.request_text(&held, false);
        }
        if self.req.state == State::Headers {
            let count = self.cfg.headers_max;
            if let Some(tx) = self.current(DIR) {
                let odd = tx.request.m.headers.finish(b"", count);
                self.odd_headers(DIR, odd);
            }
            if let Some(tx) = self.current(DIR) {
                host(tx);
                tx.request.m.forget_built();
                tx.request.m.reach(tables::HEADERS);
            }
        }
        self.complete(DIR, matches!(self.req.state, State::After | State::Line | State::ConnectWait));
    }

    /// The answer to CONNECT has come: `true` when the tunnel stands.
    pub(super) fn connect_answered(&mut self, accepted: bool) {
        if self.req.state == State::ConnectWait {
            self.req.tx = None;
            self.req.state = if accepted { State::Tunnel } else { State::Line };
        }
    }

    /// The server has refused a body that was only announced.
    pub(super) fn body_refused(&mut self, tx: crate::applayer::TxId) {
        let untouched = self.txs.get(tx).is_some_and(|t| t.request.continue_expected && t.request.m.payload.wire == 0);
        if untouched && self.req.tx == Some(tx) && matches!(self.req.state, State::Identity | State::ChunkLength) {
            self.complete(DIR, true);
            self.req.state = State::Line;
        }
    }
}

fn begins_request(data: &[u8]) -> bool {
    let (word, after) = split_at(text::trim_start(data), is_space);
    !after.is_empty() && method(word) != Method::Unknown
}

/// Splits the request line into method, target and protocol.
fn parse_line(tx: &mut HttpTx) {
    let line = std::mem::take(&mut tx.request.m.line);
    let text = text::trim_start(&line);
    let lead = line.len() - text.len();
    if lead > 0 {
        tx.event(event::REQUEST_LINE_LEADING_WHITESPACE);
    }
    let (word, after) = split_at(text, is_space);
    tx.request.kind = method(word);
    tx.request.method = lead..lead + word.len();
    let rest = text::trim_start(after);
    let gap = after.get(..after.len() - rest.len()).unwrap_or_default();
    if gap.iter().any(|c| *c != b' ') {
        tx.event(event::METHOD_DELIM_NON_COMPLIANT);
    }
    let unknown = tx.request.kind == Method::Unknown;
    let at = line.len() - rest.len();
    let rest = trim(rest);
    if rest.is_empty() {
        if unknown {
            tx.event(event::REQUEST_LINE_UNKNOWN_METHOD);
        }
        tx.request.m.line = line;
        return;
    }
    let (uri, protocol) = split_target(tx, rest);
    let within = |r: Range<usize>| at + r.start..at + r.end;
    let target = rest.get(uri.clone()).unwrap_or_default();
    let version_text = rest.get(protocol.clone()).unwrap_or_default();
    tx.request.target =
        if tx.request.kind == Method::Connect { Target::parse_authority(target) } else { Target::parse(target) };
    if tx.request.target.host.clone().is_some_and(|h| !uri::host_valid(target.get(h).unwrap_or_default())) {
        tx.event(event::REQUEST_URI_HOST_INVALID);
    }
    if let Some(p) = &tx.request.target.port {
        tx.request.port = uri::port_number(target.get(p.clone()).unwrap_or_default());
        if tx.request.port.is_none() {
            tx.event(event::REQUEST_URI_HOST_INVALID);
        }
    }
    if version_text.is_empty() {
        if unknown {
            tx.event(event::REQUEST_LINE_UNKNOWN_METHOD_NO_PROTOCOL);
        }
    } else {
        let (version, odd) = text::version(version_text);
        tx.request.m.version = version;
        if odd {
            tx.event(event::PROTOCOL_EXTRA_DATA);
        }
        if unknown && version == Version::Invalid {
            tx.event(event::REQUEST_LINE_UNKNOWN_METHOD_INVALID_PROTOCOL);
        }
    }
    tx.request.uri = within(uri);
    tx.request.m.protocol = within(protocol);
    tx.request.m.line = line;
}

/// Target and protocol of what follows the method. Targets with spaces are taken whole: the last space counts.
fn split_target(tx: &mut HttpTx, rest: &[u8]) -> (Range<usize>, Range<usize>) {
    let cut = |at: Option<usize>| match at {
        Some(i) => {
            let uri = text::trim_end(rest.get(..i).unwrap_or_default()).len();
            let tail = text::trim_start(rest.get(i + 1..).unwrap_or_default()).len();
            (0..uri, rest.len() - tail..rest.len())
        }
        None => (0..rest.len(), rest.len()..rest.len()),
    };
    let (uri, protocol) = cut(memchr::memrchr(b' ', rest));
    let odd = rest.get(uri.clone()).unwrap_or_default().iter().any(|c| is_space(*c) && *c != b' ');
    if odd {
        tx.event(event::URI_DELIM_NON_COMPLIANT);
        if protocol.is_empty() {
            return cut(rest.iter().rposition(|c| is_space(*c)));
        }
    }
    (uri, protocol)
}

/// Which host the request is for, from the target first, then from Host.
fn host(tx: &mut HttpTx) {
    let mut host = std::mem::take(&mut tx.request.spare_host);
    let line = tx.uri_raw().unwrap_or_default();
    let target = tx.request.target.host.clone().and_then(|h| line.get(h));
    if let Some(h) = target {
        uri::decode(h, &mut host);
        host.make_ascii_lowercase();
        host.truncate(host.iter().rposition(|c| *c != b'.').map_or(0, |last| last + 1));
    }
    let in_target = target.is_some();
    let mut odd = [None; 2];
    let mut named = in_target;
    match tx.request.m.headers.value(b"host") {
        None => odd[0] = (tx.request.m.version >= Version::V11).then_some(event::MISSING_HOST_HEADER),
        Some(value) => {
            let (authority, stray) = split_at(value, |c| matches!(c, b'/' | b'?' | b'#'));
            let (name, port) = uri::host_port(authority);
            let colon = authority.get(name.end..).is_some_and(|r| !r.is_empty());
            let name = authority.get(name).unwrap_or_default();
            let port = port.map(|p| uri::port_number(authority.get(p).unwrap_or_default()));
            let invalid = !uri::host_valid(name) || (colon && port.flatten().is_none()) || !stray.is_empty();
            odd[0] = (!name.is_empty() && invalid).then_some(event::REQUEST_HEADER_HOST_INVALID);
            if in_target {
                let ports_differ = matches!((tx.request.port, port), (Some(a), Some(b)) if b != Some(a));
                let differs = !host.eq_ignore_ascii_case(name) || ports_differ;
                odd[1] = differs.then_some(event::HOST_HEADER_AMBIGUOUS);
            } else {
                named = !name.is_empty();
                host.extend(name.iter().map(u8::to_ascii_lowercase));
                tx.request.port = port.flatten();
            }
        }
    }
    odd.into_iter().flatten().for_each(|e| tx.event(e));
    match named {
        true => tx.request.host = Some(host),
        false => tx.request.spare_host = host,
    }
}

/// Schemes other than the three that are decoded anywhere are reported.
fn authorization(tx: &mut HttpTx) {
    let Some(v) = tx.request.m.headers.value(b"authorization") else { return };
    let known = [&b"basic"[..], b"digest", b"bearer"];
    if !known.iter().any(|k| v.get(..k.len()).is_some_and(|h| h.eq_ignore_ascii_case(k))) {
        tx.event(event::REQUEST_AUTH_UNRECOGNIZED);
    }
}

enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// RFC 9112 section 6.3, with what contradicts it reported and resolved the way servers do.
fn framing(tx: &mut HttpTx) -> Framing {
    let h = &tx.request.m.headers;
    let te = h.value(b"transfer-encoding").map(|v| text::contains_nocase(&text::without_nul(v), b"chunked"));
    let cl = h.value(b"content-length").map(text::content_length);
    if te.is_some()
        && (cl.is_some()
            || h.repeats(b"transfer-encoding")
            || !h.value(b"transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case(b"chunked")))
    {
        tx.event(event::REQUEST_FRAMING_AMBIGUOUS);
    }
    match te {
        Some(true) => {
            if tx.request.m.version < Version::V11 {
                tx.event(event::INVALID_TE_REQUEST);
            }
            return Framing::Chunked;
        }
        Some(false) => tx.event(event::INVALID_TE_REQUEST),
        None => {}
    }
    match cl {
        None => Framing::None,
        Some(None) => {
            tx.event(event::INVALID_CL_REQUEST);
            Framing::None
        }
        Some(Some((n, before, behind))) => {
            if before {
                tx.event(event::CL_EXTRA_DATA_START);
            }
            if behind {
                tx.event(event::CL_EXTRA_DATA_END);
            }
            if n == 0 { Framing::None } else { Framing::Length(n) }
        }
    }
}

/// What file the body of a POST or PUT is.
fn carried(tx: &mut HttpTx) {
    let form = tx.request.m.headers.value(b"content-type").and_then(Multipart::from_content_type);
    match form {
        Some(f) if tx.request.kind == Method::Post => tx.request.m.payload.carry_form(f),
        _ => {
            let mut name = tx.request.m.payload.name_buffer();
            if !tx.path(&mut name) {
                return;
            }
            if name.len() > crate::applayer::files::NAME_MAX {
                tx.event(event::FILE_NAME_TOO_LONG);
            }
            tx.request.m.payload.carry_file(name);
        }
    }
}

/// A transaction that begins with its response has no request to wait for.
pub(super) fn no_request(tx: &mut HttpTx) {
    tx.request.m.reach(Progress::DONE);
}
