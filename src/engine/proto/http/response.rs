//! The server's half: status line, headers, body.

use super::block::HeaderStart;
use super::names;
use super::parser::{HttpParser, Line, State, Step};
use super::tables::{self, event};
use super::text::{self, ChunkLine, Version, chunk_line, contains_nocase, is_space, split_at};
use super::tx::{HttpTx, Method};
use crate::applayer::TxId;
use crate::types::Direction;

const DIR: Direction = Direction::ToClient;

impl HttpParser {
    pub(super) fn response_step(&mut self, rest: &[u8]) -> Step {
        match self.resp.state {
            State::Tunnel => return Step::Done,
            _ if rest.is_empty() => return Step::Wait,
            State::Identity | State::Chunk => return self.response_body(rest),
            State::UntilEof => {
                self.body(DIR, rest);
                return Step::Took(rest.len());
            }
            State::After | State::ConnectWait => return self.response_after(rest),
            State::ChunkLength if self.resp.held.is_empty() => {
                let first = text::trim_start(rest).first();
                if first.is_some_and(|c| !c.is_ascii_hexdigit()) {
                    // No length line at all: what stands here is body.
                    self.event(DIR, event::INVALID_RESPONSE_CHUNK_LEN);
                    self.resp.state = State::UntilEof;
                    return Step::Took(0);
                }
            }
            _ => {}
        }
        if matches!(self.resp.state, State::Headers | State::Trailer) {
            match self.header_start(DIR, rest) {
                None => {}
                Some(HeaderStart::Skip(n)) => return Step::Took(n),
                Some(HeaderStart::End(n)) => return self.response_text(rest.get(..n).unwrap_or_default()).and_took(n),
            }
        }
        let cr_ends = matches!(self.resp.state, State::Line | State::Headers | State::Trailer | State::Resync);
        match self.resp.line(rest, cr_ends, self.cfg.field_limit) {
            Line::Partial => Step::Took(rest.len()),
            Line::TooLong if matches!(self.resp.state, State::Resync) => {
                self.resp.held.clear();
                Step::Took(rest.len())
            }
            Line::TooLong => {
                self.too_long(DIR);
                Step::Fail
            }
            Line::Whole { line, used } => self.response_text(&line).and_took(used),
        }
    }

    fn response_text(&mut self, line: &[u8]) -> Step {
        match self.resp.state {
            State::Line => return self.status_line(line),
            State::Resync if is_status_line(line) => {
                self.resp.state = State::Line;
                return self.status_line(line);
            }
            State::Headers => match self.header_line(DIR, line) {
                None => return Step::Fail,
                Some(false) => {}
                Some(true) => return self.response_headers(),
            },
            State::Trailer => match self.header_line(DIR, line) {
                None => return Step::Fail,
                Some(end) => {
                    if let Some(tx) = self.current(DIR) {
                        tx.response.m.forget_built();
                    }
                    if end {
                        self.resp.state = State::After;
                    }
                }
            },
            State::ChunkLength => {
                self.framing(DIR, line.len());
                self.response_chunk_length(line);
            }
            State::ChunkEnd => {
                self.framing(DIR, line.len());
                self.resp.state = State::ChunkLength;
            }
            _ => {}
        }
        Step::Took(0)
    }

    /// The transaction this response answers: the oldest without an answer, or one of its own.
    fn response_begin(&mut self) -> bool {
        if self.resp.tx.is_some() {
            return true;
        }
        let next = self.txs.next();
        while self.answer < next {
            let id = TxId(self.answer);
            let free = self.txs.get(id).is_some_and(|t| t.response.m.progress == crate::applayer::Progress::NONE);
            if free {
                self.resp.tx = Some(id);
                return true;
            }
            self.answer += 1;
        }
        let Some(id) = self.open() else { return false };
        self.answer = id.0;
        self.resp.tx = Some(id);
        let incomplete = !self.req.held.is_empty() && self.req.state == State::Line;
        if let Some(tx) = self.txs.get_mut(id) {
            super::request::no_request(tx);
            tx.event(if incomplete { event::REQUEST_LINE_INCOMPLETE } else { event::UNABLE_TO_MATCH_RESPONSE });
        }
        true
    }

    fn status_line(&mut self, line: &[u8]) -> Step {
        if text::chomp(line).is_empty() {
            return Step::Took(0);
        }
        if !self.response_begin() {
            return Step::Fail;
        }
        if !is_status_line(line) {
            return self.no_status_line(line);
        }
        let Some(tx) = self.current(DIR) else { return Step::Fail };
        tx.response.m.line.extend_from_slice(text::chomp(line));
        parse_line(tx);
        if tx.response.code != Some(100) {
            tx.response.m.reach(tables::LINE);
        }
        self.resp.block = 0;
        self.resp.state = State::Headers;
        Step::Took(0)
    }

    /// Text where a status line should be: body of an answer that has none.
    fn no_status_line(&mut self, line: &[u8]) -> Step {
        if text::chomp(line).len() <= 2 {
            return Step::Took(0);
        }
        let Some(tx) = self.current(DIR) else { return Step::Fail };
        let old = tx.request.m.version == Version::V09;
        if !tx.response.m.payload.begun {
            self.begin_response_body();
        }
        self.body(DIR, line);
        if old {
            self.resp.state = State::UntilEof;
        }
        Step::Took(0)
    }

    fn response_headers(&mut self) -> Step {
        let Some(id) = self.resp.tx else { return Step::Fail };
        let Some(tx) = self.txs.get_mut(id) else {
            self.resp.state = State::UntilEof;
            return Step::Took(0);
        };
        tx.response.m.forget_built();
        let code = tx.response.code.unwrap_or(0);
        if tx.request.kind == Method::Connect && (200..300).contains(&code) {
            tx.response.m.reach(tables::HEADERS);
            self.connect_answered(true);
            self.complete(DIR, true);
            self.resp.state = State::Tunnel;
            return Step::Switch(0);
        }
        let h = &tx.response.m.headers;
        let framed = h.value(b"transfer-encoding").is_some() || h.value(b"content-length").is_some();
        if code == 101 && !framed {
            tx.response.m.reach(tables::HEADERS);
            self.complete(DIR, true);
            self.complete(Direction::ToServer, true);
            self.resp.state = State::Tunnel;
            self.req.state = State::Tunnel;
            return Step::Done;
        }
        if code == 100 && continues(tx) {
            return Step::Took(self.interim());
        }
        if tx.request.kind == Method::Connect {
            self.connect_answered(false);
        }
        if (400..500).contains(&code) {
            self.body_refused(id);
        }
        self.response_framing(id)
    }

    /// 100 Continue: the real response follows on the same transaction.
    fn interim(&mut self) -> usize {
        self.resp.state = State::Line;
        if let Some(tx) = self.current(DIR) {
            if tx.response.continue_seen {
                tx.event(event::CONTINUE_ALREADY_SEEN);
            }
            tx.response.continue_seen = true;
            tx.response.m.empty();
            tx.response.code = None;
            tx.response.status = 0..0;
            tx.response.reason = 0..0;
        }
        0
    }

    fn response_framing(&mut self, id: TxId) -> Step {
        let Some(tx) = self.txs.get_mut(id) else { return Step::Fail };
        tx.response.m.reach(tables::HEADERS);
        let (state, left) = framing(tx);
        self.resp.state = state;
        self.resp.left = left;
        if state != State::After {
            self.begin_response_body();
        }
        Step::Took(0)
    }

    fn begin_response_body(&mut self) {
        self.begin_body(DIR);
        let Some(tx) = self.current(DIR) else { return };
        tx.response.m.reach(tables::BODY);
        let disposition = tx.response.m.headers.value(b"content-disposition");
        let named = disposition.map(names::names).and_then(|n| n.into_iter().next());
        let name = named.or_else(|| {
            let mut name = tx.response.m.payload.name_buffer();
            tx.path(&mut name).then_some(name)
        });
        if let Some(name) = name {
            if name.len() > crate::applayer::files::NAME_MAX {
                tx.event(event::FILE_NAME_TOO_LONG);
            }
            tx.response.m.payload.carry_file(name);
        }
    }

    fn response_body(&mut self, rest: &[u8]) -> Step {
        let n = usize::try_from(self.resp.left).unwrap_or(usize::MAX).min(rest.len());
        self.body(DIR, rest.get(..n).unwrap_or(rest));
        self.resp.left = self.resp.left.saturating_sub(n as u64);
        if self.resp.left == 0 {
            self.resp.state = if self.resp.state == State::Chunk { State::ChunkEnd } else { State::After };
        }
        Step::Took(n)
    }

    fn response_chunk_length(&mut self, line: &[u8]) {
        match chunk_line(line) {
            ChunkLine::Blank => {}
            ChunkLine::Bad => {
                self.event(DIR, event::INVALID_RESPONSE_CHUNK_LEN);
                self.resp.state = State::UntilEof;
                self.body(DIR, line);
            }
            ChunkLine::Length { len, extension } => {
                if extension {
                    self.event(DIR, event::RESPONSE_CHUNK_EXTENSION);
                }
                self.resp.left = len;
                self.resp.state = State::Chunk;
                if len == 0 {
                    self.resp.state = State::Trailer;
                    self.resp.block = 0;
                    if let Some(tx) = self.current(DIR) {
                        tx.response.m.reach(tables::TRAILER);
                    }
                }
            }
        }
    }

    /// Bytes behind a whole response in the same segment: the next response, or more body than was announced.
    fn response_after(&mut self, rest: &[u8]) -> Step {
        let text = text::trim_start(rest);
        let begun = self.current(DIR).is_some_and(|tx| tx.response.m.payload.begun);
        if text.is_empty() && !begun {
            return Step::Took(rest.len());
        }
        let begins = |t: &[u8]| t.iter().zip(b"http").all(|(a, b)| a.eq_ignore_ascii_case(b));
        if (begins(text) && !text.is_empty()) || self.resp.tx.is_none() {
            self.complete(DIR, true);
            self.resp.state = State::Line;
            return Step::Took(0);
        }
        self.event(DIR, event::RESPONSE_BODY_UNEXPECTED);
        if !begun {
            self.begin_response_body();
        }
        let n = memchr::memchr(b'\n', rest).map_or(rest.len(), |i| i + 1);
        self.body(DIR, rest.get(..n).unwrap_or(rest));
        Step::Took(n)
    }

    pub(super) fn response_eof(&mut self) {
        let held = std::mem::take(&mut self.resp.held);
        if !held.is_empty() && matches!(self.resp.state, State::Line | State::Headers | State::Trailer) {
            self.response_text(&held);
        }
        if self.resp.state == State::Headers {
            let count = self.cfg.headers_max;
            if let Some(tx) = self.current(DIR) {
                let odd = tx.response.m.headers.finish(b"", count);
                tx.response.m.forget_built();
                tx.response.m.reach(tables::HEADERS);
                self.odd_headers(DIR, odd);
            }
        }
        self.complete(DIR, matches!(self.resp.state, State::After | State::Line | State::UntilEof));
    }
}

/// Begins with `HTTP`, after white space or NUL bytes.
fn is_status_line(line: &[u8]) -> bool {
    let (_, text) = split_at(line, |c| !is_space(c) && c != 0);
    text.get(..4).is_some_and(|t| t.eq_ignore_ascii_case(b"http"))
}

fn parse_line(tx: &mut HttpTx) {
    let line = std::mem::take(&mut tx.response.m.line);
    let (lead, rest) = split_at(&line, |c| !is_space(c) && c != 0);
    let (protocol, rest2) = split_at(rest, is_space);
    let at = lead.len();
    tx.response.m.protocol = at..at + protocol.len();
    let (version, odd) = text::version(protocol);
    tx.response.m.version = version;
    if odd {
        tx.event(event::PROTOCOL_EXTRA_DATA);
    }
    let status_at = line.len() - text::trim_start(rest2).len();
    let (status, rest3) = split_at(text::trim_start(rest2), is_space);
    tx.response.status = status_at..status_at + status.len();
    let reason = text::trim_start(rest3);
    let reason_at = line.len() - reason.len();
    tx.response.reason = reason_at..reason_at + text::chomp(reason).len();
    tx.response.code = text::decimal(status).and_then(|c| u16::try_from(c).ok()).filter(|c| (100..1000).contains(c));
    if version == Version::Invalid {
        tx.event(event::RESPONSE_INVALID_PROTOCOL);
        tx.event(event::RESPONSE_LINE_INVALID_PROTOCOL);
    }
    if tx.response.code.is_none() {
        tx.event(event::RESPONSE_INVALID_STATUS);
        tx.event(event::RESPONSE_LINE_INVALID_STATUS);
    }
    tx.response.m.line = line;
}

/// A 100 without a body of its own.
fn continues(tx: &HttpTx) -> bool {
    let h = &tx.response.m.headers;
    h.value(b"transfer-encoding").is_none()
        && h.value(b"content-length").and_then(text::content_length).is_none_or(|l| l.0 == 0)
}

/// RFC 9112 section 6.3, with what contradicts it reported and resolved the way clients do.
fn framing(tx: &mut HttpTx) -> (State, u64) {
    let code = tx.response.code.unwrap_or(0);
    let h = &tx.response.m.headers;
    let te = h.value(b"transfer-encoding").map(|v| text::without_nul(v).into_owned());
    let cl = h.value(b"content-length").map(text::content_length);
    if tx.request.kind == Method::Head {
        return (State::After, 0);
    }
    if (100..200).contains(&code) || code == 204 || code == 304 {
        if te.is_none() && cl.is_none() {
            return (State::After, 0);
        }
        // A length that is only told, as 304 may, is no body yet.
        if te.is_none() && code == 304 {
            return (State::After, 0);
        }
        if code == 101 {
            tx.event(event::SWITCHING_PROTO_WITH_CL);
        }
        tx.event(event::RESPONSE_BODY_UNEXPECTED);
    }
    if let Some(te) = te {
        if contains_nocase(&te, b"chunked") {
            if !te.eq_ignore_ascii_case(b"chunked") {
                tx.event(event::RESPONSE_ABNORMAL_TE);
            }
            if tx.response.m.version < Version::V11 {
                tx.event(event::RESPONSE_CHUNKED_OLD_PROTO);
            }
            return (State::ChunkLength, 0);
        }
        tx.event(event::INVALID_TE_RESPONSE);
    }
    match cl {
        Some(Some((n, before, behind))) => {
            if before {
                tx.event(event::CL_EXTRA_DATA_START);
            }
            if behind {
                tx.event(event::CL_EXTRA_DATA_END);
            }
            (if n == 0 { State::After } else { State::Identity }, n)
        }
        Some(None) => {
            tx.event(event::INVALID_CL_RESPONSE);
            (State::UntilEof, 0)
        }
        None => {
            let ranges = tx
                .response
                .m
                .headers
                .value(b"content-type")
                .is_some_and(|v| contains_nocase(v, b"multipart/byteranges"));
            if ranges {
                tx.event(event::RESPONSE_MULTIPART_BYTERANGES);
            }
            (State::UntilEof, 0)
        }
    }
}
