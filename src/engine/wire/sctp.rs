//! SCTP chunks: what follows the common header (RFC 9260 3.2).

/// One chunk, all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    pub kind: u8,
    /// Where it begins, from the first chunk.
    pub at: usize,
    /// Header and value, without padding.
    pub whole: &'a [u8],
}

/// What ends a walk before the bytes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The bytes end inside a chunk's header.
    Header,
    /// The length is below the header's or past the bytes.
    Length,
}

impl<'a> Chunk<'a> {
    /// Type, flags, length.
    pub const HEADER: usize = 4;
    /// Of user data: transmission sequence number, stream and protocol besides (RFC 9260 3.3.1).
    pub const DATA_HEADER: usize = 16;
    pub const DATA: u8 = 0;
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN: u8 = 7;

    /// The user's message, of a chunk that carries one.
    pub fn message(self) -> Option<&'a [u8]> {
        if self.kind == Self::DATA { self.whole.get(Self::DATA_HEADER..) } else { None }
    }
}

/// Walks chunks, each padded to four bytes. The walk ends with the bytes or the first error.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Chunks<'a> {
    pub fn new(all: &'a [u8]) -> Self {
        Chunks { all, at: 0 }
    }

    /// What is there, errors passed over.
    pub fn sound(all: &'a [u8]) -> impl Iterator<Item = Chunk<'a>> {
        Chunks::new(all).filter_map(Result::ok)
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.all.get(self.at..).filter(|r| !r.is_empty())?;
        let at = std::mem::replace(&mut self.at, usize::MAX);
        let Some(&[kind, _, hi, lo]) = rest.first_chunk() else { return Some(Err(Broken::Header)) };
        let len = usize::from(u16::from_be_bytes([hi, lo]));
        let whole = rest.get(..len).filter(|_| len >= Chunk::HEADER);
        let Some(whole) = whole else { return Some(Err(Broken::Length)) };
        self.at = at + len.next_multiple_of(4);
        Some(Ok(Chunk { kind, at, whole }))
    }
}

/// Names of chunk types as rules and records write them (IANA "SCTP chunk types").
const NAMES: [(u8, &str); 16] = [
    (0, "data"),
    (1, "init"),
    (2, "init_ack"),
    (3, "sack"),
    (4, "heartbeat"),
    (5, "hb_ack"),
    (6, "abort"),
    (7, "shutdown"),
    (8, "shutdown_ack"),
    (9, "error"),
    (10, "cookie_echo"),
    (11, "cookie_ack"),
    (12, "ecne"),
    (13, "cwr"),
    (14, "shutdown_complete"),
    (192, "forward_tsn"),
];

/// The number of a chunk type's name in small letters.
pub fn kind_by_name(name: &str) -> Option<u8> {
    NAMES.iter().find(|(_, n)| *n == name).map(|(kind, _)| *kind)
}

pub fn kind_name(kind: u8) -> Option<&'static str> {
    NAMES.iter().find(|(k, _)| *k == kind).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_walk_to_the_first_error() {
        let data = [0, 3, 0, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'm', 0, 0, 0, 7, 0, 0, 4, 9, 0, 0, 3];
        let all: Vec<_> = Chunks::new(&data).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].unwrap().message(), Some(&b"m"[..]));
        assert_eq!((all[1].unwrap().kind, all[1].unwrap().at), (Chunk::SHUTDOWN, 20));
        assert_eq!(all[2], Err(Broken::Length));
        assert_eq!(Chunks::new(&data[..22]).last(), Some(Err(Broken::Header)));
        assert_eq!(Chunks::sound(&data).count(), 2);
    }

    #[test]
    fn names_and_numbers_agree() {
        for (kind, name) in NAMES {
            assert_eq!((kind_by_name(name), kind_name(kind)), (Some(kind), Some(name)));
        }
        assert_eq!((kind_by_name("hello"), kind_name(77)), (None, None));
    }
}
