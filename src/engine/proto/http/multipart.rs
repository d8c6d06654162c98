//! `multipart/form-data` bodies (RFC 7578): finds the file parts as the bytes pass.
//!
//! Incremental and linear: besides the part at hand it holds one header line ([`LINE_MAX`]) or as many bytes as a
//! delimiter has. A delimiter counts at the beginning of a line, ended by LF or CRLF, as lenient servers take it.
//! Content goes to the caller; nothing of it is kept here.

use super::names::{names, parameter};
use super::text::{split_at, trim};
use memchr::memmem::Finder;

const LINE_MAX: usize = 4096;
const BOUNDARY_MAX: usize = 256;

/// What a piece of the body turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A part with a file name begins. It has one name at least, the first of them by the rules.
    Open(&'a [Vec<u8>]),
    Data(&'a [u8]),
    Close {
        empty: bool,
    },
    InvalidHeader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first delimiter, or in a part without file name.
    Skip,
    /// Behind a delimiter: `--` ends all, a line end begins a part.
    Delimiter,
    Header,
    File,
    Over,
}

pub struct Multipart {
    /// LF, two dashes and the boundary.
    finder: Finder<'static>,
    state: State,
    held: Vec<u8>,
    /// The first held byte is the line end before a part's content, not content.
    virtual_lf: bool,
    /// What the part's Content-Disposition says, lines that go on joined, one that comes again behind it; as long as a line.
    disposition: Vec<u8>,
    /// The header line before was one, so that a line may go on with it.
    disposing: bool,
    given: bool,
}

impl std::fmt::Debug for Multipart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multipart").field("state", &self.state).finish()
    }
}

impl Multipart {
    /// From a Content-Type header's value; `None` where it is no multipart type with a boundary. Any such type is read as
    /// a form: what its parts are named tells.
    pub fn from_content_type(value: &[u8]) -> Option<Multipart> {
        let (kind, _) = split_at(value, |c| c == b';' || c == b',' || c == b' ');
        if !kind.get(..10).is_some_and(|k| k.eq_ignore_ascii_case(b"multipart/")) {
            return None;
        }
        let boundary = parameter(value, b"boundary").filter(|b| !b.is_empty() && b.len() <= BOUNDARY_MAX)?;
        let needle = [b"\n--", boundary.as_slice()].concat();
        Some(Multipart {
            finder: Finder::new(&needle).into_owned(),
            state: State::Skip,
            held: vec![b'\n'],
            virtual_lf: true,
            disposition: Vec::new(),
            disposing: false,
            given: false,
        })
    }

    pub fn memory(&self) -> usize {
        self.held.capacity() + self.disposition.capacity() + self.finder.needle().len() + size_of::<Self>()
    }

    pub fn push(&mut self, data: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(data);
        let mut rest = held.as_slice();
        loop {
            let before = rest.len();
            let state = self.state;
            rest = match state {
                State::Skip | State::File => self.content(rest, sink),
                State::Delimiter => self.delimiter(rest),
                State::Header => self.header(rest, sink),
                State::Over => &[],
            };
            if rest.is_empty() || (rest.len() == before && self.state == state) {
                break;
            }
        }
        let kept = rest.len();
        held.drain(..held.len() - kept);
        self.held = held;
    }

    /// The body has ended, whole or not.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Item<'_>)) {
        if self.state == State::File {
            let held = std::mem::take(&mut self.held);
            self.emit(&held, sink);
            sink(Item::Close { empty: !self.given });
        }
        self.state = State::Over;
    }

    fn emit(&mut self, content: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let mut c = content;
        if self.virtual_lf && !c.is_empty() {
            c = c.get(1..).unwrap_or_default();
            self.virtual_lf = false;
        }
        if self.state == State::File && !c.is_empty() {
            self.given = true;
            sink(Item::Data(c));
        }
    }

    fn content<'a>(&mut self, rest: &'a [u8], sink: &mut dyn FnMut(Item<'_>)) -> &'a [u8] {
        if let Some(i) = self.finder.find(rest) {
            let (content, after) = rest.split_at_checked(i).unwrap_or((rest, &[]));
            // The carriage return before the delimiter belongs to it, but not one that is the line end of the headers.
            let own = content.strip_suffix(b"\r").unwrap_or(content);
            if !(self.virtual_lf && i == 0) {
                self.emit(own, sink);
            }
            if self.state == State::File {
                sink(Item::Close { empty: !self.given });
            }
            self.state = State::Delimiter;
            return after.get(self.finder.needle().len()..).unwrap_or_default();
        }
        let keep = (self.finder.needle().len() + 1).min(rest.len());
        let (now, later) = rest.split_at_checked(rest.len() - keep).unwrap_or((&[], rest));
        self.emit(now, sink);
        later
    }

    fn delimiter<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        match rest {
            [b'-', b'-', ..] => {
                self.state = State::Over;
                &[]
            }
            [] | [b'-'] => rest,
            _ => match memchr::memchr(b'\n', rest) {
                Some(i) => {
                    self.state = State::Header;
                    self.disposition.clear();
                    self.disposing = false;
                    rest.get(i + 1..).unwrap_or_default()
                }
                None if rest.len() > LINE_MAX => {
                    self.state = State::Over;
                    &[]
                }
                None => rest,
            },
        }
    }

    fn header<'a>(&mut self, rest: &'a [u8], sink: &mut dyn FnMut(Item<'_>)) -> &'a [u8] {
        let Some(i) = memchr::memchr(b'\n', rest) else {
            if rest.len() > LINE_MAX {
                sink(Item::InvalidHeader);
                self.state = State::Skip;
                self.virtual_lf = false;
            }
            return rest;
        };
        let line = trim(rest.get(..i).unwrap_or_default());
        if line.is_empty() {
            // The line end stays: the delimiter may follow at once.
            self.virtual_lf = true;
            self.given = false;
            self.state = State::Skip;
            let names = names(&self.disposition);
            if !names.is_empty() {
                sink(Item::Open(&names));
                self.state = State::File;
            }
            return rest.get(i..).unwrap_or_default();
        }
        let goes_on = matches!(rest.first(), Some(b' ' | b'\t'));
        let (name, value) = split_at(line, |c| c == b':');
        if goes_on {
            self.dispose(b' ', line);
        } else if value.is_empty() {
            self.disposing = false;
            sink(Item::InvalidHeader);
        } else {
            self.disposing = trim(name).eq_ignore_ascii_case(b"content-disposition");
            self.dispose(b';', value.get(1..).unwrap_or_default());
        }
        rest.get(i + 1..).unwrap_or_default()
    }

    /// More of a Content-Disposition; `joint` between it and what was there.
    fn dispose(&mut self, joint: u8, text: &[u8]) {
        if self.disposing {
            if !self.disposition.is_empty() {
                self.disposition.push(joint);
            }
            let room = LINE_MAX.saturating_sub(self.disposition.len());
            self.disposition.extend(text.iter().take(room));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Files = Vec<(Vec<u8>, Vec<u8>)>;

    fn parse(body: &[u8], piece: usize) -> (Files, usize, usize) {
        let mut m = Multipart::from_content_type(b"multipart/form-data; boundary=\"XX\"").unwrap();
        let (mut files, mut closed, mut bad) = (Files::new(), 0, 0);
        let mut sink = |i: Item<'_>| match i {
            Item::Open(n) => files.push((n[0].clone(), Vec::new())),
            Item::Data(d) => files.last_mut().unwrap().1.extend_from_slice(d),
            Item::Close { .. } => closed += 1,
            Item::InvalidHeader => bad += 1,
        };
        for p in body.chunks(piece) {
            m.push(p, &mut sink);
        }
        m.finish(&mut sink);
        (files, closed, bad)
    }

    const BODY: &[u8] = b"preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--XX\r\n\
Content-Disposition: form-data; name=\"f\"; filename=\"a;b.txt\"\r\nContent-Type: text/plain\r\n\r\nline\r\n--X\r\n\r\n--XX\r\n\
content-disposition: form-data; filename=plain\n\n--XX--\r\nafter";

    #[test]
    fn files_in_any_pieces() {
        let want = vec![(b"a;b.txt".to_vec(), b"line\r\n--X\r\n".to_vec()), (b"plain".to_vec(), vec![])];
        for piece in 1..BODY.len() {
            assert_eq!(parse(BODY, piece), (want.clone(), 2, 0), "{piece}");
        }
    }

    #[test]
    fn boundary_first_and_cut_off() {
        let body = b"--XX\r\nno colon\r\nContent-Disposition: x; filename=\"q\\\"r\"\r\n\r\nabc";
        for piece in [1, 2, 1000] {
            assert_eq!(parse(body, piece), (vec![(b"q\"r".to_vec(), b"abc".to_vec())], 1, 1));
        }
    }

    #[test]
    fn types_without_a_boundary() {
        assert!(Multipart::from_content_type(b"text/plain; boundary=x").is_none());
        assert!(Multipart::from_content_type(b"multipart/form-data").is_none());
    }

    #[test]
    fn long_lines_are_bounded() {
        let mut m = Multipart::from_content_type(b"multipart/form-data; boundary=XX").unwrap();
        m.push(b"--XX\r\n", &mut |_| {});
        for _ in 0..100 {
            m.push(&[b'a'; 1000], &mut |_| {});
            assert!(m.held.len() <= LINE_MAX + 1000);
        }
    }
}
