//! Is it HTTP? A request begins with a known method and white space, or has a first line that ends in a version: servers
//! hand methods they do not know to what they run. A response begins with `HTTP/` and a version.

use super::request::METHODS;
use crate::applayer::{Probe, ProbeInput};
use crate::types::Direction;

const VERSIONS: &[&[u8]] = &[b"HTTP/0.9", b"HTTP/1.0", b"HTTP/1.1"];
/// Line ends before the first request, which servers skip.
const SKIP_MAX: usize = 4;
/// Bytes of a first line that is looked at for its version.
const LINE_MAX: usize = 2048;
/// The longest line of the PROXY protocol's first version.
pub const PROXY_LINE_MAX: usize = 108;

/// Answers in either direction; a request from the server's side or a response from the client's means that the flow was
/// met the wrong way round.
pub fn probe(input: &ProbeInput<'_>) -> Probe {
    let Some(data) = behind_proxy(input.data).filter(|d| !d.is_empty() || input.data.is_empty()) else {
        return if input.eof { Probe::No } else { Probe::More };
    };
    let lead = data.iter().take(SKIP_MAX).take_while(|c| matches!(c, b'\r' | b'\n')).count();
    let data = data.get(lead..).unwrap_or_default();
    let named = METHODS.iter().map(|m| begins(data, m, true)).max().unwrap_or(Seen::No);
    let request = if versioned(data) { Seen::Yes } else { named };
    let response = VERSIONS.iter().map(|v| begins(data, v, false)).max().unwrap_or(Seen::No);
    let (own, other) = match input.dir {
        Direction::ToServer => (request, response),
        Direction::ToClient => (response, request),
    };
    match (own, other) {
        (Seen::Yes, _) => Probe::Match,
        (_, Seen::Yes) => Probe::MatchReversed,
        (Seen::Maybe, _) | (_, Seen::Maybe) if !input.eof => Probe::More,
        _ => Probe::No,
    }
}

/// Whether a message of the direction certainly begins here.
pub fn begins_message(dir: Direction, data: &[u8]) -> bool {
    match dir {
        Direction::ToServer => METHODS.iter().any(|m| begins(data, m, true) == Seen::Yes) || versioned(data),
        Direction::ToClient => VERSIONS.iter().any(|v| begins(data, v, false) == Seen::Yes),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    No,
    Maybe,
    Yes,
}

/// Begins with a whole line `word target HTTP/1.x`, whatever the word.
pub fn versioned(data: &[u8]) -> bool {
    let head = data.get(..LINE_MAX).unwrap_or(data);
    let Some(end) = memchr::memchr(b'\n', head) else { return false };
    let line = head.get(..end).unwrap_or_default().trim_ascii_end();
    let word = word(line);
    word > 0 && line.get(word) == Some(&b' ') && [&b" HTTP/1.1"[..], b" HTTP/1.0"].iter().any(|v| line.ends_with(v))
}

/// Is the beginning of such a line, or may be.
pub fn may_be_versioned(data: &[u8]) -> bool {
    let word = word(data);
    word > 0
        && memchr::memchr(b'\n', data).is_none()
        && data.len() < LINE_MAX
        && matches!(data.get(word), Some(b' ') | None)
        && data.get(word + 1).is_none_or(|c| matches!(c, b'/' | b'*') || c.is_ascii_alphabetic())
}

fn word(line: &[u8]) -> usize {
    line.iter().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_')).count()
}

/// What follows the header of the PROXY protocol, which a load balancer puts before the client's bytes; `None`: more of it
/// is to come.
fn behind_proxy(data: &[u8]) -> Option<&[u8]> {
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    let same = |mark: &[u8]| data.iter().zip(mark).all(|(a, b)| a == b);
    if same(SIGNATURE) {
        let [high, low] = *data.get(SIGNATURE.len() + 2..SIGNATURE.len() + 4)? else { return None };
        return data.get(SIGNATURE.len() + 4 + usize::from(u16::from_be_bytes([high, low]))..);
    }
    if same(b"PROXY ") {
        let end = memchr::memchr(b'\n', data.get(..PROXY_LINE_MAX).unwrap_or(data));
        return match end {
            Some(i) => data.get(i + 1..),
            None if data.len() < PROXY_LINE_MAX => None,
            None => Some(data),
        };
    }
    Some(data)
}

fn begins(data: &[u8], word: &[u8], then_space: bool) -> Seen {
    if !data.iter().zip(word).all(|(a, b)| a.eq_ignore_ascii_case(b)) {
        return Seen::No;
    }
    match data.get(word.len()) {
        _ if data.len() < word.len() => Seen::Maybe,
        None if then_space => Seen::Maybe,
        Some(c) if then_space && !matches!(c, b' ' | b'\t') => Seen::No,
        _ => Seen::Yes,
    }
}
