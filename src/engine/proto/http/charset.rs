//! Bodies in another alphabet than rules are written in: UTF-16, UTF-32, UTF-7, and the escapes of JSON.
//!
//! What such a body says is offered to rules beside the body as sent, as a second instance of the same buffer, so that
//! a content written in ASCII matches either way. Which alphabet it is, the Content-Type or the body's first bytes tell
//! (the byte order mark, or ASCII with zeros between), as browsers decide it. Incremental: at most [`CARRY_MAX`] bytes
//! are carried from one piece to the next. What is not well-formed becomes `?` or stays as sent; never an error.

use super::text::{contains_nocase, split_at};

/// The longest thing that may be cut: a surrogate pair of UTF-16, an escaped one of JSON.
const CARRY_MAX: usize = 12;
/// First bytes needed to tell an alphabet.
pub const SNIFF: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    Utf16 {
        big: bool,
    },
    Utf32 {
        big: bool,
    },
    Utf7,
    /// `\uXXXX` and `\/` in text that is otherwise as it is.
    JsonEscapes,
}

impl Charset {
    /// What a Content-Type says; `None` where the bytes are to be looked at, or all is plain.
    pub fn named(content_type: &[u8]) -> Option<Charset> {
        let has = |w: &[u8]| contains_nocase(content_type, w);
        if let Some(name) = super::names::parameter(content_type, b"charset") {
            let is = |names: &[&[u8]]| names.iter().any(|n| name.eq_ignore_ascii_case(n));
            if is(&[b"utf-16le", b"utf-16", b"unicode", b"ucs-2", b"iso-10646-ucs-2", b"utf16"]) {
                return Some(Charset::Utf16 { big: false });
            }
            if is(&[b"utf-16be", b"unicodefffe"]) {
                return Some(Charset::Utf16 { big: true });
            }
            if is(&[b"utf-32", b"utf-32le"]) {
                return Some(Charset::Utf32 { big: false });
            }
            if is(&[b"utf-32be"]) {
                return Some(Charset::Utf32 { big: true });
            }
            if is(&[b"utf-7", b"unicode-1-1-utf-7", b"csunicode11utf7"]) {
                return Some(Charset::Utf7);
            }
        }
        let (kind, _) = split_at(content_type, |c| c == b';');
        (has(b"json") && contains_nocase(kind, b"json")).then_some(Charset::JsonEscapes)
    }

    /// What the first bytes say: a mark of byte order goes before any name.
    pub fn sniffed(head: &[u8]) -> Option<Charset> {
        match head {
            [0xff, 0xfe, 0, 0, ..] => Some(Charset::Utf32 { big: false }),
            [0, 0, 0xfe, 0xff, ..] => Some(Charset::Utf32 { big: true }),
            [0xff, 0xfe, ..] => Some(Charset::Utf16 { big: false }),
            [0xfe, 0xff, ..] => Some(Charset::Utf16 { big: true }),
            [a, 0, b, 0, ..] if ascii_text(*a) && ascii_text(*b) => Some(Charset::Utf16 { big: false }),
            [0, a, 0, b, ..] if ascii_text(*a) && ascii_text(*b) => Some(Charset::Utf16 { big: true }),
            [b'+', b'/', b'v', b'8' | b'9' | b'+' | b'/', ..] => Some(Charset::Utf7),
            _ => None,
        }
    }
}

fn ascii_text(c: u8) -> bool {
    matches!(c, b'\t' | b'\n' | b'\r' | b' '..=b'~')
}

impl Charset {
    /// Whether the bytes from `from` on give a reader of plain ASCII anything to miss.
    pub fn differs(self, data: &[u8], from: usize) -> bool {
        // An escape may begin with the last byte seen before.
        let fresh = data.get(from.saturating_sub(1)..).unwrap_or_default();
        self != Charset::JsonEscapes
            || memchr::memchr_iter(b'\\', fresh).any(|i| matches!(fresh.get(i + 1), Some(b'u' | b'/')))
    }
}

/// A body's text as UTF-8, made as the body comes.
#[derive(Debug)]
pub struct Recoder {
    charset: Charset,
    carry: Vec<u8>,
    /// UTF-7: bits of Base64 gathered, and how many; `None` outside of it.
    base64: Option<(u32, u8)>,
    /// A run of Base64 has had a digit.
    run: bool,
    /// A first half of a surrogate pair.
    high: Option<u32>,
}

impl Recoder {
    pub fn new(charset: Charset) -> Recoder {
        Recoder { charset, carry: Vec::new(), base64: None, run: false, high: None }
    }

    pub fn push(&mut self, data: &[u8], out: &mut Vec<u8>) {
        match self.charset {
            Charset::Utf7 => data.iter().for_each(|c| self.utf7(*c, out)),
            Charset::JsonEscapes => self.json(data, out),
            Charset::Utf16 { big } => self.units(data, 2, big, out),
            Charset::Utf32 { big } => self.units(data, 4, big, out),
        }
    }

    fn units(&mut self, data: &[u8], width: usize, big: bool, out: &mut Vec<u8>) {
        let joined = [std::mem::take(&mut self.carry).as_slice(), data].concat();
        let mut units = joined.chunks_exact(width);
        for unit in &mut units {
            let fold = |n: u32, c: &u8| n << 8 | u32::from(*c);
            let code = if big { unit.iter().fold(0, fold) } else { unit.iter().rev().fold(0, fold) };
            if width == 2 { self.utf16(code, out) } else { push_char(code, out) }
        }
        self.carry = units.remainder().to_vec();
    }

    fn utf16(&mut self, code: u32, out: &mut Vec<u8>) {
        match (self.high.take(), code) {
            (Some(h), 0xdc00..=0xdfff) => push_char(0x1_0000 + ((h - 0xd800) << 10) + (code - 0xdc00), out),
            (Some(_), _) => {
                out.push(b'?');
                self.utf16(code, out);
            }
            (None, 0xd800..=0xdbff) => self.high = Some(code),
            (None, _) => push_char(code, out),
        }
    }

    fn utf7(&mut self, c: u8, out: &mut Vec<u8>) {
        let Some((bits, count)) = self.base64 else {
            match c {
                b'+' => (self.base64, self.run) = (Some((0, 0)), false),
                _ => out.push(c),
            }
            return;
        };
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => {
                self.base64 = None;
                // `+-` is a plus sign; the dash that ends a run is no text.
                match (c, self.run) {
                    (b'-', false) => out.push(b'+'),
                    (b'-', true) => {}
                    _ => out.push(c),
                }
                return;
            }
        };
        let (bits, count) = (bits << 6 | u32::from(digit), count + 6);
        self.base64 = Some(if count < 16 {
            (bits, count)
        } else {
            let left = count - 16;
            self.utf16(bits >> left & 0xffff, out);
            (bits & ((1 << left) - 1), left)
        });
        self.run = true;
    }

    fn json(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let joined = [std::mem::take(&mut self.carry).as_slice(), data].concat();
        let mut rest = joined.as_slice();
        while let Some(i) = memchr::memchr(b'\\', rest) {
            let (plain, escape) = rest.split_at_checked(i).unwrap_or((rest, &[]));
            out.extend_from_slice(plain);
            let taken = match unescape(escape) {
                Escape::More if escape.len() < CARRY_MAX => {
                    self.carry = escape.to_vec();
                    return;
                }
                Escape::More | Escape::None => {
                    let len = escape.len().min(2);
                    out.extend_from_slice(escape.get(..len).unwrap_or_default());
                    len
                }
                Escape::Char(code, len) => {
                    push_char(code, out);
                    len
                }
            };
            rest = escape.get(taken..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
    }
}

enum Escape {
    /// Cut off.
    More,
    /// None that stands for another character here.
    None,
    Char(u32, usize),
}

/// One escape of JSON (RFC 8259 section 7); quotes and control characters stay escaped, or the text would change its
/// structure.
fn unescape(s: &[u8]) -> Escape {
    let hex = |from: usize| -> Option<Option<u32>> {
        let digits = s.get(from..from + 4)?;
        Some(digits.iter().try_fold(0, |n, c| Some(n << 4 | (*c as char).to_digit(16)?)))
    };
    match s.get(1) {
        None => Escape::More,
        Some(b'/') => Escape::Char(u32::from(b'/'), 2),
        Some(b'u') => match hex(2) {
            None => Escape::More,
            Some(None) => Escape::None,
            Some(Some(high @ 0xd800..=0xdbff)) => match (s.get(6), s.get(7), hex(8)) {
                (Some(b'\\'), Some(b'u'), Some(Some(low @ 0xdc00..=0xdfff))) => {
                    Escape::Char(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)
                }
                (None, ..) | (Some(b'\\'), None, _) | (Some(b'\\'), Some(b'u'), None) => Escape::More,
                _ => Escape::Char(u32::from(b'?'), 6),
            },
            Some(Some(code)) => Escape::Char(code, 6),
        },
        Some(_) => Escape::None,
    }
}

fn push_char(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some('\u{feff}') => {}
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.push(b'?'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(charset: Charset, data: &[u8], piece: usize) -> String {
        let mut r = Recoder::new(charset);
        let mut out = Vec::new();
        for p in data.chunks(piece) {
            r.push(p, &mut out);
            assert!(r.carry.len() <= CARRY_MAX);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn alphabets_in_any_pieces() {
        let text = "<script>é😀</script>";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let wide: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for piece in 1..9 {
            assert_eq!(read(Charset::Utf16 { big: false }, &le, piece), text);
            assert_eq!(read(Charset::Utf16 { big: true }, &be, piece), text);
            assert_eq!(read(Charset::Utf32 { big: false }, &wide, piece), text);
            let seven = b"+ADw-script+AD4-1 +- 1 +AGEAYgBj d+AAA-";
            assert_eq!(read(Charset::Utf7, seven, piece), "<script>1 + 1 abc d\0");
            let json = br#"{"a":"\u003cscript\u003E\ud83d\ude00 \"q\" \n a\/b \uzz"}"#;
            assert_eq!(read(Charset::JsonEscapes, json, piece), "{\"a\":\"<script>😀 \\\"q\\\" \\n a/b \\uzz\"}");
        }
    }

    #[test]
    fn names_and_first_bytes() {
        assert_eq!(Charset::named(b"text/html; charset=UTF-16"), Some(Charset::Utf16 { big: false }));
        assert_eq!(Charset::named(b"text/html; charset=\"utf-7\""), Some(Charset::Utf7));
        assert_eq!(Charset::named(b"application/problem+json"), Some(Charset::JsonEscapes));
        assert_eq!(Charset::named(b"text/html; charset=utf-8"), None);
        assert_eq!(Charset::sniffed(b"<\0h\0"), Some(Charset::Utf16 { big: false }));
        assert_eq!(Charset::sniffed(b"\0<\0h"), Some(Charset::Utf16 { big: true }));
        assert_eq!(Charset::sniffed(b"\xff\xfe<\0"), Some(Charset::Utf16 { big: false }));
        assert_eq!(Charset::sniffed(b"MZ\x90\0"), None);
        assert_eq!(Charset::sniffed(b"<htm"), None);
    }

    #[test]
    fn broken_halves() {
        assert_eq!(read(Charset::Utf16 { big: true }, &[0xd8, 0, 0, b'a'], 4), "?a");
        assert_eq!(read(Charset::Utf32 { big: true }, &[1, 2, 3, 4], 4), "?");
        assert_eq!(read(Charset::JsonEscapes, br"\ud800x", 1), "?x");
    }
}
