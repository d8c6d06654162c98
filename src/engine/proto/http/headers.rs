//! Headers of one message: one arena of raw bytes, and spans into it.
//!
//! Lines are taken one by one as they end; a line that folds continues the header before it, its name too where no colon
//! has come, so the last header stays open until the next line. A header that occurs again is joined to the first with `, ` (RFC 9110 section 5.3). Bounds:
//! `count_max` headers, `REPETITIONS_MAX` joins, `FOLDS_MAX` folds of one header, `JOINED_MAX` bytes of joined values;
//! the raw block is bounded by the parser. Nothing is allocated per header.

use super::reuse;
use super::text::{is_space, is_token, split_at, trim};

/// Joins of repeated headers in one message; further ones are kept in the raw block alone.
const REPETITIONS_MAX: u32 = 64;
const FOLDS_MAX: u8 = 128;
const JOINED_MAX: usize = 256 << 10;
/// Room for so many headers is kept for the next message.
const KEPT_MAX: usize = 64;

/// Oddities of header lines, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Odd(pub u16);

impl Odd {
    pub const MISSING_COLON: u16 = 1;
    pub const EMPTY_NAME: u16 = 2;
    pub const LEADING_SPACE: u16 = 4;
    pub const SPACE_AFTER_NAME: u16 = 8;
    pub const NOT_TOKEN: u16 = 16;
    pub const REPEATED: u16 = 32;
    pub const LENGTH_DIFFERS: u16 = 64;
    pub const TOO_MANY: u16 = 128;

    pub const fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }
}

/// A place in the raw block, or in the arena of values that folding or joining rebuilt.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    at: u32,
    len: u32,
    rebuilt: bool,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    hash: u32,
    name: Span,
    value: Span,
    repeated: bool,
    folds: u8,
    has_nul: bool,
}

/// The last header, which the next line may continue.
#[derive(Clone, Copy, Debug)]
struct Open {
    header: Header,
    /// Where its first line begins in the raw block.
    at: usize,
    odd: Odd,
    /// No colon yet; a continuation that begins with a space may bring it.
    nameless: bool,
}

#[derive(Debug, Default)]
pub struct Headers {
    raw: Vec<u8>,
    rebuilt: Vec<u8>,
    list: Vec<Header>,
    open: Option<Open>,
    repetitions: u32,
}

impl Headers {
    /// As if none had come; buffers keep their room.
    pub fn empty(&mut self) {
        reuse::empty(&mut self.raw);
        reuse::empty(&mut self.rebuilt);
        self.list.clear();
        self.list.shrink_to(KEPT_MAX);
        self.open = None;
        self.repetitions = 0;
    }

    /// The block as sent.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn memory(&self) -> usize {
        self.raw.capacity() + self.rebuilt.capacity() + self.list.capacity() * size_of::<Header>()
    }

    /// Name and value, in order of first occurrence.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.list.iter().map(|h| (self.bytes(h.name), self.bytes(h.value)))
    }

    pub fn nth(&self, i: usize) -> Option<(&[u8], &[u8])> {
        self.list.get(i).map(|h| (self.bytes(h.name), self.bytes(h.value)))
    }

    /// Value by name, without case and with NUL bytes in the sent name ignored, as servers written in C read it.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let hash = hash(name);
        self.list
            .iter()
            .find(|h| {
                let n = self.bytes(h.name);
                if h.has_nul { eq_nocase_nul(n, name) } else { h.hash == hash && n.eq_ignore_ascii_case(name) }
            })
            .map(|h| self.bytes(h.value))
    }

    /// Whether a header of this name came more than once.
    pub fn repeats(&self, name: &[u8]) -> bool {
        let hash = hash(name);
        self.list.iter().any(|h| h.repeated && h.hash == hash && self.bytes(h.name).eq_ignore_ascii_case(name))
    }

    /// A header is open, so that a line that begins with white space continues it.
    pub fn continues(&self) -> bool {
        self.open.is_some()
    }

    /// Bytes between lines that belong to neither.
    pub fn skip(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
    }

    /// Takes one line with its end. `response`: apply what clients do with folding (a continuation that reads as a
    /// header is one).
    pub fn push_line(&mut self, line: &[u8], response: bool, count_max: usize) -> Odd {
        let at = self.raw.len();
        self.raw.extend_from_slice(line);
        let text = strip_eol(line, response);
        if matches!(text.first(), Some(b' ' | b'\t' | 0))
            && let Some(mut open) = self.open.take()
        {
            if self.late_colon(&mut open, at, text) {
                self.open = Some(open);
                return Odd(0);
            }
            if open.header.folds < FOLDS_MAX && !(response && reads_as_header(text)) {
                open.nameless &= text.first() == Some(&b' ');
                self.fold(&mut open.header, text);
                self.open = Some(open);
                return Odd(0);
            }
            self.open = Some(open);
        }
        let odd = self.close(count_max);
        let (name, value, colon) = match memchr::memchr(b':', text) {
            Some(i) => (text.get(..i).unwrap_or_default(), text.get(i + 1..).unwrap_or_default(), true),
            None => (&[][..], text, false),
        };
        let trimmed = trim(name);
        self.open = Some(Open {
            header: Header {
                hash: hash(trimmed),
                name: span(at, text, trimmed),
                value: span(at, text, trim(value)),
                repeated: false,
                folds: 0,
                has_nul: memchr::memchr(0, trimmed).is_some(),
            },
            at,
            odd: Odd(if colon { odd_name(name) } else { Odd::MISSING_COLON }),
            nameless: !colon,
        });
        odd
    }

    /// A name that is folded before its colon: all from its first line on up to the colon is the name.
    fn late_colon(&self, open: &mut Open, at: usize, text: &[u8]) -> bool {
        let colon = memchr::memchr(b':', text).filter(|_| open.nameless && text.first() == Some(&b' '));
        let Some(colon) = colon else { return false };
        let Some(name) = self.raw.get(open.at..at.saturating_add(colon)) else { return false };
        let trimmed = trim(name);
        open.odd = Odd(odd_name(name));
        open.nameless = false;
        open.header.hash = hash(trimmed);
        open.header.name = span(open.at, name, trimmed);
        open.header.value = span(at, text, trim(text.get(colon + 1..).unwrap_or_default()));
        open.header.has_nul = memchr::memchr(0, trimmed).is_some();
        true
    }

    /// The empty line that ends the block, or the end of the message.
    pub fn finish(&mut self, end: &[u8], count_max: usize) -> Odd {
        self.raw.extend_from_slice(end);
        self.close(count_max)
    }

    fn bytes(&self, s: Span) -> &[u8] {
        let arena = if s.rebuilt { &self.rebuilt } else { &self.raw };
        let at = s.at as usize;
        arena.get(at..at.saturating_add(s.len as usize)).unwrap_or_default()
    }

    fn fold(&mut self, h: &mut Header, text: &[u8]) {
        h.folds = h.folds.saturating_add(1);
        let Some((&first, rest)) = text.split_first() else { return };
        if self.rebuilt.len().saturating_add(h.value.len as usize).saturating_add(text.len()) > JOINED_MAX {
            return;
        }
        if !h.value.rebuilt {
            let from = h.value.at as usize;
            let to = from.saturating_add(h.value.len as usize);
            let at = self.rebuilt.len();
            if let Some(v) = self.raw.get(from..to) {
                self.rebuilt.extend_from_slice(v);
            }
            h.value = Span { at: at as u32, len: h.value.len, rebuilt: true };
        }
        if h.value.len > 0 {
            self.rebuilt.push(first);
        }
        self.rebuilt.extend_from_slice(rest);
        h.value.len = (self.rebuilt.len() - h.value.at as usize) as u32;
    }

    fn close(&mut self, count_max: usize) -> Odd {
        let Some(Open { header: mut h, odd, .. }) = self.open.take() else { return Odd(0) };
        if h.value.rebuilt {
            let v = self.bytes(h.value);
            let t = trim(v);
            let skipped = v.len() - super::text::trim_start(v).len();
            h.value = Span { at: h.value.at + skipped as u32, len: t.len() as u32, rebuilt: true };
        }
        let same = self
            .list
            .iter()
            .position(|o| o.hash == h.hash && self.bytes(o.name).eq_ignore_ascii_case(self.bytes(h.name)));
        let Some(i) = same else {
            if self.list.len() > count_max {
                return Odd(odd.0 | Odd::TOO_MANY);
            }
            self.list.push(h);
            return odd;
        };
        Odd(odd.0 | self.join(i, h).0)
    }

    fn join(&mut self, i: usize, h: Header) -> Odd {
        let Some(&old) = self.list.get(i) else { return Odd(0) };
        let mut odd = Odd(0);
        if !old.repeated {
            odd.0 |= Odd::REPEATED;
        } else if self.repetitions < REPETITIONS_MAX {
            self.repetitions += 1;
        } else {
            return odd;
        }
        let mut value = old.value;
        if self.bytes(h.name).eq_ignore_ascii_case(b"content-length") {
            let number = |s| super::text::content_length(self.bytes(s)).map(|l| l.0);
            let (a, b) = (number(old.value), number(h.value));
            if a.is_none() || a != b {
                odd.0 |= Odd::LENGTH_DIFFERS;
            }
        } else if self.rebuilt.len().saturating_add((old.value.len + h.value.len + 2) as usize) <= JOINED_MAX {
            let at = self.rebuilt.len();
            for (s, sep) in [(old.value, &b", "[..]), (h.value, b"")] {
                let from = s.at as usize;
                let to = from.saturating_add(s.len as usize);
                if s.rebuilt {
                    if to <= self.rebuilt.len() {
                        self.rebuilt.extend_from_within(from..to);
                    }
                } else if let Some(v) = self.raw.get(from..to) {
                    self.rebuilt.extend_from_slice(v);
                }
                self.rebuilt.extend_from_slice(sep);
            }
            value = Span { at: at as u32, len: (self.rebuilt.len() - at) as u32, rebuilt: true };
        }
        if let Some(old) = self.list.get_mut(i) {
            old.value = value;
            old.repeated = true;
        }
        odd
    }
}

fn odd_name(name: &[u8]) -> u16 {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return Odd::EMPTY_NAME };
    let mut odd = 0;
    if is_space(*first) {
        odd |= Odd::LEADING_SPACE;
    }
    if is_space(*last) {
        odd |= Odd::SPACE_AFTER_NAME;
    }
    if !trim(name).iter().all(|c| is_token(*c)) {
        odd |= Odd::NOT_TOKEN;
    }
    odd
}

fn strip_eol(line: &[u8], response: bool) -> &[u8] {
    let s = line.strip_suffix(b"\n").unwrap_or(line);
    if s.len() != line.len() || response { s.strip_suffix(b"\r").unwrap_or(s) } else { s }
}

/// ` Name :` at the beginning.
fn reads_as_header(text: &[u8]) -> bool {
    let s = super::text::trim_start(text);
    let (token, rest) = split_at(s, |c| !is_token(c));
    !token.is_empty() && super::text::trim_start(rest).first() == Some(&b':')
}

/// Where `part`, a slice of `text`, lies when `text` begins at `at` of the raw block.
fn span(at: usize, text: &[u8], part: &[u8]) -> Span {
    let offset = if part.is_empty() { 0 } else { (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize) };
    Span { at: (at + offset) as u32, len: part.len() as u32, rebuilt: false }
}

/// FNV-1a over lower case: finds repeated names among a thousand without comparing them.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |h, c| (h ^ u32::from(c.to_ascii_lowercase())).wrapping_mul(0x0100_0193))
}

fn eq_nocase_nul(sent: &[u8], name: &[u8]) -> bool {
    let mut n = name.iter();
    sent.iter().filter(|c| **c != 0).all(|c| n.next().is_some_and(|m| m.eq_ignore_ascii_case(c))) && n.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&[u8]], response: bool) -> (Headers, u16) {
        let mut h = Headers::default();
        let mut odd = 0;
        for l in lines {
            odd |= h.push_line(l, response, 1024).0;
        }
        odd |= h.finish(b"\r\n", 1024).0;
        (h, odd)
    }

    #[test]
    fn plain() {
        let (h, odd) = parse(&[b"Host: a \r\n", b"User-Agent:b\n"], false);
        assert_eq!(odd, 0);
        assert_eq!(h.value(b"host"), Some(&b"a"[..]));
        assert_eq!(h.value(b"USER-AGENT"), Some(&b"b"[..]));
        assert_eq!(h.raw(), b"Host: a \r\nUser-Agent:b\n\r\n");
    }

    #[test]
    fn folding_and_joining() {
        let (h, odd) = parse(&[b"A: 1\r\n", b"\t2\r\n", b" 3\r\n", b"B: x\r\n", b"a: 4\r\n", b"A: 5\r\n"], false);
        assert_eq!(h.value(b"a"), Some(&b"1\t2 3, 4, 5"[..]));
        assert_eq!(odd, Odd::REPEATED);
        assert_eq!(h.len(), 2);
    }

    #[test]
    fn a_continuation_that_reads_as_header_is_one_in_responses_only() {
        let lines: &[&[u8]] = &[b"A: 1\r\n", b" B: 2\r\n"];
        let (h, odd) = parse(lines, true);
        assert_eq!(h.value(b"b"), Some(&b"2"[..]));
        assert_eq!(odd, Odd::LEADING_SPACE);
        let (h, odd) = parse(lines, false);
        assert_eq!(h.value(b"a"), Some(&b"1 B: 2"[..]));
        assert_eq!(odd, 0);
    }

    #[test]
    fn a_name_folded_before_its_colon() {
        for lines in [
            &[&b"Transfer-Encoding\r\n"[..], b" :\r\n", b" chunked\r\n"][..],
            &[b"Transfer-Encoding\r\n", b" \r\n", b" : chunked\r\n"],
            &[b"Transfer-Encoding\n", b" :chunked\n"],
        ] {
            for response in [false, true] {
                let (h, odd) = parse(lines, response);
                assert_eq!(h.value(b"transfer-encoding"), Some(&b"chunked"[..]));
                assert_eq!((h.len(), odd), (1, Odd::SPACE_AFTER_NAME));
            }
        }
        // A tab does not continue a name.
        let (h, odd) = parse(&[b"Host\r\n", b"\t: x\r\n"], false);
        assert_eq!((h.value(b"host"), odd), (None, Odd::MISSING_COLON));
        let (h, odd) = parse(&[b"stray\r\n", b" Host: x\r\n"], true);
        assert_eq!((h.value(b"host"), odd), (None, Odd::NOT_TOKEN));
    }

    #[test]
    fn odd_names() {
        assert_eq!(parse(&[b"no colon here\r\n"], false).1, Odd::MISSING_COLON);
        assert_eq!(parse(&[b": x\r\n"], false).1, Odd::EMPTY_NAME);
        assert_eq!(parse(&[b"A : x\r\n"], false).1, Odd::SPACE_AFTER_NAME);
        assert_eq!(parse(&[b"A(b): x\r\n"], false).1, Odd::NOT_TOKEN);
        assert_eq!(parse(&[b" A: x\r\n"], false).1, Odd::LEADING_SPACE);
        let (h, _) = parse(&[b"H\0ost: x\r\n"], false);
        assert_eq!(h.value(b"host"), Some(&b"x"[..]));
    }

    #[test]
    fn content_length_is_not_joined() {
        let (h, odd) = parse(&[b"Content-Length: 5\r\n", b"Content-Length: 6\r\n"], false);
        assert_eq!(h.value(b"content-length"), Some(&b"5"[..]));
        assert_eq!(odd, Odd::REPEATED | Odd::LENGTH_DIFFERS);
        assert_eq!(parse(&[b"Content-Length: 5\r\n", b"Content-Length: 5\r\n"], false).1, Odd::REPEATED);
    }

    #[test]
    fn a_line_folds_so_often() {
        for response in [false, true] {
            for (folds, len, odd) in [(128, 1, 0), (129, 2, Odd::MISSING_COLON)] {
                let lines: Vec<&[u8]> =
                    std::iter::once(&b"A: x\r\n"[..]).chain((0..folds).map(|_| &b" y\r\n"[..])).collect();
                let (h, seen) = parse(&lines, response);
                assert_eq!((h.len(), seen), (len, odd), "{folds}");
                assert_eq!(h.value(b"a").map(<[u8]>::to_vec), Some(format!("x{}", " y".repeat(128)).into_bytes()));
                assert_eq!(h.nth(1), (len == 2).then_some((&b""[..], &b"y"[..])));
            }
        }
    }

    #[test]
    fn bounds_hold() {
        let mut h = Headers::default();
        for _ in 0..5000 {
            h.push_line(&[b"A: ".to_vec(), vec![b'x'; 4000], b"\r\n".to_vec()].concat(), false, 1024);
        }
        assert!(h.rebuilt.len() <= JOINED_MAX);
        let mut h = Headers::default();
        let odd = (0..2000).fold(0, |o, i| o | h.push_line(format!("h{i}: x\r\n").as_bytes(), false, 1024).0);
        assert_eq!(odd, Odd::TOO_MANY);
        assert_eq!(h.len(), 1025);
    }
}
