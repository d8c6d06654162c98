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

/// Answers in either direction; a request from the server's side or a response from the client's means that the flow was
/// met the wrong way round.
pub fn probe(input: &ProbeInput<'_>) -> Probe {
    let lead = input.data.iter().take(SKIP_MAX).take_while(|c| matches!(c, b'\r' | b'\n')).count();
    let data = input.data.get(lead..).unwrap_or_default();
    let request = METHODS.iter().map(|m| begins(data, m, true)).max().unwrap_or(Seen::No).max(versioned(data));
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

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    No,
    Maybe,
    Yes,
}

/// A first line `word target HTTP/1.x`, whatever the word.
fn versioned(data: &[u8]) -> Seen {
    let head = data.get(..LINE_MAX).unwrap_or(data);
    let Some(end) = memchr::memchr(b'\n', head) else { return Seen::No };
    let line = head.get(..end).unwrap_or_default().trim_ascii_end();
    let word = line.iter().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_')).count();
    let spaced = word > 0 && line.get(word) == Some(&b' ');
    match spaced && [&b" HTTP/1.1"[..], b" HTTP/1.0"].iter().any(|v| line.ends_with(v)) {
        true => Seen::Yes,
        false => Seen::No,
    }
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
