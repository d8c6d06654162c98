//! Bytes of lines: white space, tokens, numbers, and the search for a line's end across pieces.
//!
//! Knows the wire's lexical rules (RFC 9110 section 5.6, RFC 9112 section 2) as lenient servers read them, and nothing of
//! messages. All functions take any bytes and are linear in them.

use memchr::{memchr, memchr2};

/// White space as lenient servers take it: also vertical tab, form feed and bare line ends.
pub const fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

/// RFC 9110 section 5.6.2: `token` characters, with the separators of RFC 2616.
pub const fn is_token(c: u8) -> bool {
    c > 32
        && c < 127
        && !matches!(
            c,
            b'(' | b')'
                | b'<'
                | b'>'
                | b'@'
                | b','
                | b';'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'='
                | b'{'
                | b'}'
        )
}

pub fn trim_start(mut s: &[u8]) -> &[u8] {
    while let [c, rest @ ..] = s {
        if !is_space(*c) {
            break;
        }
        s = rest;
    }
    s
}

pub fn trim_end(mut s: &[u8]) -> &[u8] {
    while let [rest @ .., c] = s {
        if !is_space(*c) {
            break;
        }
        s = rest;
    }
    s
}

pub fn trim(s: &[u8]) -> &[u8] {
    trim_end(trim_start(s))
}

/// Without the line ends behind it, however many.
pub fn chomp(mut s: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n'] = s {
        s = rest;
    }
    s
}

/// Splits before the first byte for which `p` holds.
pub fn split_at(s: &[u8], p: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let n = s.iter().position(|c| p(*c)).unwrap_or(s.len());
    s.split_at_checked(n).unwrap_or((s, &[]))
}

/// Case-insensitive search.
pub fn contains_nocase(hay: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || hay.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle))
}

/// A line's end in `data`, where `held` bytes of the line came before: how much of `data` ends the line.
pub fn line_end(held: &[u8], data: &[u8], cr_ends: bool) -> Option<usize> {
    if !cr_ends {
        return memchr(b'\n', data).map(|i| i + 1);
    }
    if held.last() == Some(&b'\r') {
        return data.first().map(|c| usize::from(*c == b'\n'));
    }
    let i = memchr2(b'\n', b'\r', data)?;
    if data.get(i) == Some(&b'\n') {
        return Some(i + 1);
    }
    // A carriage return alone ends the line, but only the next byte tells that it is alone.
    data.get(i + 1).map(|c| if *c == b'\n' { i + 2 } else { i + 1 })
}

/// How the line before ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eol {
    /// There is none, or nothing more may belong to it.
    #[default]
    Done,
    Lf,
    CrLf,
}

impl Eol {
    pub fn of(line: &[u8]) -> Eol {
        match line {
            [.., b'\r', b'\n'] => Eol::CrLf,
            [.., b'\n'] => Eol::Lf,
            _ => Eol::Done,
        }
    }
}

/// What stands where a header line should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStart {
    Line,
    /// Not to be said without more bytes.
    More,
    /// So many bytes still belong to the line end before; `deformed`: as no sender means them.
    Eol {
        len: usize,
        deformed: bool,
    },
}

/// Line ends that mix carriage returns and line feeds, as lenient clients (and in part servers) read them: LF CR is one
/// end in a response; CR LF CR and more carriage returns or blanks are one unless an empty line follows; LF CR CR LF is
/// one before an empty line.
pub fn line_start(before: Eol, data: &[u8], response: bool) -> LineStart {
    let empty_line = |s: &[u8]| match s {
        [] | [b'\r'] => None,
        [b'\n', ..] | [b'\r', b'\n', ..] => Some(true),
        _ => Some(false),
    };
    match (before, data) {
        (Eol::Lf, [b'\r'] | [b'\r', b'\r']) | (Eol::CrLf, [b'\r']) if response || before == Eol::Lf => LineStart::More,
        (Eol::Lf, [b'\r', b'\r', b'\n', rest @ ..]) => match empty_line(rest) {
            None => LineStart::More,
            Some(true) => LineStart::Eol { len: 3, deformed: true },
            Some(false) => LineStart::Eol { len: 1, deformed: !response },
        },
        (Eol::Lf, [b'\r', ..]) if response => LineStart::Eol { len: 1, deformed: false },
        (Eol::CrLf, [b'\r', b'\r' | b' ' | b'\t', ..]) if response => {
            let run = data.iter().take_while(|c| matches!(c, b'\r' | b' ' | b'\t')).count();
            let end = match data.get(run) {
                None => return LineStart::More,
                Some(b'\n') => run + 1,
                Some(_) => run,
            };
            match empty_line(data.get(end..).unwrap_or_default()) {
                None => LineStart::More,
                Some(true) => LineStart::Line,
                Some(false) => LineStart::Eol { len: end, deformed: true },
            }
        }
        _ => LineStart::Line,
    }
}

/// Without NUL bytes, which readers written in C skip or stop at.
pub fn without_nul(s: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    match memchr(0, s) {
        None => s.into(),
        Some(_) => s.iter().copied().filter(|c| *c != 0).collect::<Vec<u8>>().into(),
    }
}

/// The number in a Content-Length and whether text stands before or after it: the first run of digits counts.
pub fn content_length(value: &[u8]) -> Option<(u64, bool, bool)> {
    let v = trim_start(value);
    let (lead, rest) = split_at(v, |c| c.is_ascii_digit());
    let (digits, tail) = split_at(rest, |c| !c.is_ascii_digit());
    Some((decimal(digits)?, !lead.is_empty(), !trim_start(tail).is_empty()))
}

/// All digits, within 64 bits.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, c| {
        let d = c.is_ascii_digit().then(|| u64::from(c - b'0'))?;
        n.checked_mul(10)?.checked_add(d)
    })
}

/// What a chunk's length line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkLine {
    /// White space alone: look at the next line.
    Blank,
    Length {
        len: u64,
        extension: bool,
    },
    Bad,
}

/// RFC 9112 section 7.1, with white space around the number. Lengths past 31 bits are refused: no peer means them.
pub fn chunk_line(line: &[u8]) -> ChunkLine {
    let s = trim_start(line);
    if s.is_empty() {
        return ChunkLine::Blank;
    }
    let (digits, rest) = split_at(s, |c| !c.is_ascii_hexdigit());
    if digits.is_empty() {
        return ChunkLine::Bad;
    }
    let len = digits.iter().try_fold(0u64, |n, c| {
        let d = (*c as char).to_digit(16)?;
        let n = n.checked_mul(16)?.checked_add(u64::from(d))?;
        (n <= i32::MAX as u64).then_some(n)
    });
    match len {
        Some(len) => ChunkLine::Length { len, extension: memchr(b';', rest).is_some() },
        None => ChunkLine::Bad,
    }
}

/// Version of a protocol text such as `HTTP/1.1`, ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Invalid,
    V09,
    V10,
    V11,
}

/// Reads a protocol; the flag says that it has white space or zeros no sender puts there.
pub fn version(text: &[u8]) -> (Version, bool) {
    let s = trim_start(text);
    let Some((name, rest)) = s.split_at_checked(4) else { return (Version::Invalid, false) };
    if !name.eq_ignore_ascii_case(b"HTTP") {
        return (Version::Invalid, false);
    }
    let slash = trim_start(rest);
    let [b'/', number @ ..] = slash else { return (Version::Invalid, false) };
    let (zeros, digits) = split_at(number, |c| !(is_space(c) || c == b'0'));
    let odd = slash.len() != rest.len() || !zeros.is_empty();
    let v = match trim_end(digits) {
        b".9" => Version::V09,
        b"1.0" => Version::V10,
        b"1.1" => Version::V11,
        _ => return (Version::Invalid, false),
    };
    // `0.9` is written with its zero.
    (v, odd && !(v == Version::V09 && zeros == b"0" && slash.len() == rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_lf_and_in_responses_at_cr() {
        assert_eq!(line_end(b"", b"ab\r\ncd", false), Some(4));
        assert_eq!(line_end(b"", b"ab\rcd", false), None);
        assert_eq!(line_end(b"", b"ab\rcd", true), Some(3));
        assert_eq!(line_end(b"", b"ab\r\ncd", true), Some(4));
        assert_eq!(line_end(b"", b"ab\r", true), None);
        assert_eq!(line_end(b"ab\r", b"\ncd", true), Some(1));
        assert_eq!(line_end(b"ab\r", b"cd", true), Some(0));
    }

    #[test]
    fn mixed_line_ends() {
        let eol = |len, deformed| LineStart::Eol { len, deformed };
        for (before, data, response, want) in [
            (Eol::CrLf, &b"A: b"[..], true, LineStart::Line),
            (Eol::CrLf, b"\r\nbody", true, LineStart::Line),
            (Eol::CrLf, b"\r", true, LineStart::More),
            (Eol::CrLf, b"\rbody", true, LineStart::Line),
            (Eol::CrLf, b"\r\r\nA: b", true, eol(3, true)),
            (Eol::CrLf, b"\r \rA: b", true, eol(3, true)),
            (Eol::CrLf, b"\r\r\n\r\nbody", true, LineStart::Line),
            (Eol::CrLf, b"\r\r\n", true, LineStart::More),
            (Eol::CrLf, b"\r\r\nA: b", false, LineStart::Line),
            (Eol::CrLf, b"\r", false, LineStart::Line),
            (Eol::Lf, b"\r\nbody", true, eol(1, false)),
            (Eol::Lf, b"\r\nbody", false, LineStart::Line),
            (Eol::Lf, b"\r\r\nbody", false, eol(1, true)),
            (Eol::Lf, b"\r\r\n\r\nbody", false, eol(3, true)),
            (Eol::Lf, b"\r\r\n\nbody", true, eol(3, true)),
            (Eol::Lf, b"\r\r\n\r", true, LineStart::More),
            (Eol::Done, b"\r\r\n", true, LineStart::Line),
        ] {
            assert_eq!(line_start(before, data, response), want, "{data:?} {response}");
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(content_length(b" 12 "), Some((12, false, false)));
        assert_eq!(content_length(b"x12y"), Some((12, true, true)));
        assert_eq!(content_length(b"-"), None);
        assert_eq!(content_length(b"99999999999999999999999"), None);
        assert_eq!(chunk_line(b" 1a;x=y\r\n"), ChunkLine::Length { len: 26, extension: true });
        assert_eq!(chunk_line(b"\r\n"), ChunkLine::Blank);
        assert_eq!(chunk_line(b"xyz\r\n"), ChunkLine::Bad);
        assert_eq!(chunk_line(b"ffffffffffffffffffff\n"), ChunkLine::Bad);
    }

    #[test]
    fn versions() {
        assert_eq!(version(b"HTTP/1.1"), (Version::V11, false));
        assert_eq!(version(b"http/01.0"), (Version::V10, true));
        assert_eq!(version(b"HTTP/0.9"), (Version::V09, false));
        assert_eq!(version(b"HTTP/1.2"), (Version::Invalid, false));
        assert_eq!(version(b"HT"), (Version::Invalid, false));
    }
}
