//! The header block of either half: where its lines begin and end, and what is odd about them.
//!
//! A line is taken as soon as it ends. Only where line ends are mixed do the next bytes decide what they were; those are
//! kept aside ([`LINE_START_MAX`] at most) and read again in front of what follows, so that any cut gives the same.

use super::headers::Odd;
use super::parser::HttpParser;
use super::tables::event;
use super::text::{self, Eol, LineStart};
use crate::types::Direction;

/// Bytes of mixed line ends that are waited for.
const LINE_START_MAX: usize = 256;

/// What stands where a header line should begin.
pub enum HeaderStart {
    /// So many new bytes are no line.
    Skip(usize),
    /// The header block has ended, with so many bytes.
    End(usize),
}

impl HttpParser {
    /// Raises events for the oddities of header lines.
    pub(super) fn odd_headers(&mut self, dir: Direction, odd: Odd) {
        if odd == Odd(0) {
            return;
        }
        let Some(tx) = self.current(dir) else { return };
        for (bit, request, response) in [
            (Odd::MISSING_COLON, event::REQUEST_FIELD_MISSING_COLON, event::RESPONSE_FIELD_MISSING_COLON),
            (Odd::EMPTY_NAME, event::REQUEST_INVALID_EMPTY_NAME, event::RESPONSE_INVALID_EMPTY_NAME),
            (Odd::LEADING_SPACE, event::INVALID_REQUEST_FIELD_FOLDING, event::INVALID_RESPONSE_FIELD_FOLDING),
            (Odd::SPACE_AFTER_NAME, event::REQUEST_INVALID_LWS_AFTER_NAME, event::RESPONSE_INVALID_LWS_AFTER_NAME),
            (Odd::NOT_TOKEN, event::REQUEST_HEADER_INVALID, event::RESPONSE_HEADER_INVALID),
            (Odd::NOT_TOKEN, event::REQUEST_HEADER_INVALID, event::RESPONSE_HEADER_NAME_NOT_TOKEN),
            (Odd::REPEATED, event::REQUEST_HEADER_REPETITION, event::RESPONSE_HEADER_REPETITION),
            (Odd::LENGTH_DIFFERS, event::DUPLICATE_CL_REQUEST, event::DUPLICATE_CL_RESPONSE),
            (Odd::TOO_MANY, event::REQUEST_TOO_MANY_HEADERS, event::RESPONSE_TOO_MANY_HEADERS),
        ] {
            if odd.has(bit) {
                tx.event(if dir == Direction::ToServer { request } else { response });
            }
        }
    }

    /// What stands at the beginning of a header line before a line is looked for: the rest of a mixed line end, or what
    /// follows a blank line. `None`: a line.
    pub(super) fn header_start(&mut self, dir: Direction, rest: &[u8]) -> Option<HeaderStart> {
        let half = self.half(dir);
        if half.blank {
            half.blank = false;
            return match rest.first() {
                Some(b' ' | b'\t' | 0) => None,
                Some(b'\n') => Some(HeaderStart::End(1)),
                Some(b'\r') if dir == Direction::ToClient => Some(HeaderStart::End(1)),
                _ => Some(HeaderStart::End(0)),
            };
        }
        if half.eol == Eol::Done || !half.held.is_empty() || rest.first() != Some(&b'\r') {
            return None;
        }
        let start = text::line_start(half.eol, rest, dir == Direction::ToClient);
        if start == LineStart::More && rest.len() < LINE_START_MAX {
            half.undecided = rest.to_vec();
            return Some(HeaderStart::Skip(rest.len()));
        }
        half.eol = Eol::Done;
        let LineStart::Eol { len, deformed } = start else { return None };
        half.block = half.block.saturating_add(len);
        if let Some(tx) = self.current(dir) {
            tx.message_mut(dir).headers.skip(rest.get(..len).unwrap_or_default());
            if deformed && dir == Direction::ToClient {
                tx.event(event::DEFORMED_EOL);
            }
        }
        Some(HeaderStart::Skip(len))
    }

    /// One line of a header block: `Some(true)` at its end, `None` when the parser must give up.
    pub(super) fn header_line(&mut self, dir: Direction, line: &[u8]) -> Option<bool> {
        let response = dir == Direction::ToClient;
        let end = matches!(line, b"\r\n" | b"\n" | b"") || (response && line == b"\r");
        let (count, block_max) = (self.cfg.headers_max, self.cfg.header_block_max);
        let half = self.half(dir);
        half.eol = if end { Eol::Done } else { Eol::of(line) };
        half.block = half.block.saturating_add(line.len());
        if half.block > block_max {
            self.too_long(dir);
            return None;
        }
        let Some(tx) = self.current(dir) else { return Some(end) };
        let blank =
            matches!(line, [b' ' | b'\t' | 0, b'\n']) || (response && matches!(line, [b' ' | b'\t' | 0, b'\r']));
        let blank = blank && tx.message_mut(dir).headers.continues();
        self.half(dir).blank = blank;
        let Some(tx) = self.current(dir) else { return Some(end) };
        let headers = &mut tx.message_mut(dir).headers;
        let odd = if end { headers.finish(line, count) } else { headers.push_line(line, response, count) };
        self.odd_headers(dir, odd);
        if odd.has(Odd::TOO_MANY) { None } else { Some(end) }
    }

    pub(super) fn too_long(&mut self, dir: Direction) {
        let e = match dir {
            Direction::ToServer => event::REQUEST_FIELD_TOO_LONG,
            Direction::ToClient => event::RESPONSE_FIELD_TOO_LONG,
        };
        if self.half(dir).tx.is_none() {
            // Nothing to say it of: the line itself never ended.
            let tx = self.open();
            self.half(dir).tx = tx;
        }
        self.event(dir, e);
    }
}
