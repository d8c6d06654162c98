//! Patterns that can stand in one place alone: a look at that place answers for all of them.
//!
//! Most rules that bind a content to a place bind it to exactly one, mostly the first byte: of the 605 such rules that a
//! TCP packet to a server meets, 600 do. For each place a filter over the two bytes found there turns nearly everything
//! away; what passes is looked up by its first bytes, as many as a class of patterns has, up to eight, and compared.

use super::piece::{LEN_MAX, Piece};
use crate::detect::signature::{Content, SigIdx, Value};
use std::collections::BTreeMap;

/// Shorter patterns would wake the filter too often.
const LEN_MIN: usize = 2;

/// Where a rule's pattern counts: a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Views(u8);

impl Views {
    pub(crate) const PACKET: Views = Views(1);
    pub(crate) const STREAM: Views = Views(2);
    pub(crate) const BOTH: Views = Views(3);

    pub(crate) const fn of(packet: bool, stream: bool) -> Views {
        Views(packet as u8 | (stream as u8) << 1)
    }

    pub(super) const fn meets(self, other: Views) -> bool {
        self.0 & other.0 != 0
    }
}

#[derive(Debug)]
struct Entry {
    piece: Piece,
    /// What follows the piece.
    rest: Box<[u8]>,
    nocase: bool,
    goals: Box<[(SigIdx, Views)]>,
}

impl Entry {
    /// Whether `data`, which begins in the pattern's place, is not known to be something else.
    fn fits(&self, data: &[u8]) -> bool {
        self.piece.at(data)
            && data.get(LEN_MAX..LEN_MAX + self.rest.len()).is_none_or(|d| match self.nocase {
                true => d.eq_ignore_ascii_case(&self.rest),
                false => d == &*self.rest,
            })
    }
}

/// Entries of one length of piece, sorted by key: their first bytes, in lower case.
#[derive(Debug)]
struct Class {
    len: usize,
    /// Of each entry; apart from them, since a search looks at nothing else.
    keys: Box<[u64]>,
    entries: Box<[Entry]>,
}

#[derive(Debug)]
struct Place {
    position: u64,
    /// Bits under the hash of the first two bytes; a power of two of words.
    filter: Box<[u64]>,
    classes: Box<[Class]>,
}

impl Place {
    fn passes(&self, first: u16) -> bool {
        let bit = mix(first) as usize;
        self.filter.get((bit / 64) & (self.filter.len() - 1)).is_some_and(|w| (w >> (bit % 64)) & 1 == 1)
    }
}

/// A group's patterns of one place each.
#[derive(Debug, Default)]
pub(crate) struct Places(Box<[Place]>);

impl Places {
    /// The place of a content that has only one, where the table takes it.
    pub(crate) fn place(c: &Content) -> Option<u32> {
        let start = match (c.startswith, c.offset) {
            (true, _) | (false, None) => 0,
            (false, Some(Value::Const(o))) => u32::try_from(o).ok()?,
            _ => return None,
        };
        let last = super::patterns::end_max(c, 0);
        (last == start && c.bytes.len() >= LEN_MIN).then_some(start)
    }

    /// Of contents with one place each.
    pub(crate) fn build(wanted: &[(SigIdx, &Content, Views)]) -> Places {
        type Pattern<'a> = (usize, u64, &'a [u8], bool);
        let mut places: BTreeMap<u32, BTreeMap<Pattern<'_>, Vec<(SigIdx, Views)>>> = BTreeMap::new();
        for (sig, c, views) in wanted {
            let Some(at) = Self::place(c) else { continue };
            let len = c.bytes.len().min(LEN_MAX);
            let pattern = (len, key(&c.bytes, len), c.bytes.as_slice(), c.nocase);
            places.entry(at).or_default().entry(pattern).or_default().push((*sig, *views));
        }
        let place = |(position, patterns): (u32, BTreeMap<Pattern<'_>, Vec<(SigIdx, Views)>>)| {
            let mut filter = vec![0u64; (patterns.len() / 4).next_power_of_two()].into_boxed_slice();
            let mut classes: Vec<(usize, Vec<u64>, Vec<Entry>)> = Vec::new();
            for ((len, key, bytes, nocase), goals) in patterns {
                let (bit, words) = (mix(key as u16) as usize, filter.len());
                if let Some(w) = filter.get_mut((bit / 64) & (words - 1)) {
                    *w |= 1 << (bit % 64);
                }
                let rest = bytes.get(LEN_MAX..).unwrap_or(&[]).into();
                let entry = Entry { piece: Piece::new(bytes, nocase), rest, nocase, goals: goals.into() };
                match classes.last_mut().filter(|c| c.0 == len) {
                    Some((_, keys, entries)) => {
                        keys.push(key);
                        entries.push(entry);
                    }
                    None => classes.push((len, vec![key], vec![entry])),
                }
            }
            let class = |(len, keys, entries): (usize, Vec<u64>, Vec<Entry>)| Class {
                len,
                keys: keys.into(),
                entries: entries.into(),
            };
            let classes = classes.into_iter().map(class).collect();
            Place { position: position.into(), filter, classes }
        };
        Places(places.into_iter().map(place).collect())
    }

    /// Distinct patterns.
    pub(crate) fn len(&self) -> usize {
        self.entries().count()
    }

    pub(crate) fn serves(&self, sig: SigIdx) -> bool {
        self.entries().any(|e| e.goals.iter().any(|g| g.0 == sig))
    }

    pub(crate) fn memory(&self) -> usize {
        let entry = |e: &Entry| size_of::<(Entry, u64)>() + e.rest.len() + size_of_val(&*e.goals);
        self.entries().map(entry).sum::<usize>() + self.0.iter().map(|p| size_of_val(&*p.filter)).sum::<usize>()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flat_map(|p| &p.classes).flat_map(|c| &c.entries)
    }

    /// Names the rules that `views` concern and whose pattern, or its first eight bytes where the rest is not there yet,
    /// ends among the fresh bytes of `hay`.
    pub(crate) fn find(&self, hay: super::Hay<'_>, views: Views, mut f: impl FnMut(SigIdx)) {
        for place in &self.0 {
            let Some(from) = place.position.checked_sub(hay.offset) else { continue };
            let Some(data) = usize::try_from(from).ok().and_then(|from| hay.data.get(from..)) else { return };
            let Some(first) = data.first_chunk::<2>() else { return };
            if place.passes(u16::from_le_bytes(first.map(|b| b.to_ascii_lowercase()))) {
                place.look(data, hay.fresh.saturating_sub(from as usize), views, &mut f);
            }
        }
    }
}

impl Place {
    /// `data` begins at the place; its first `known` bytes are not fresh.
    #[cold]
    fn look(&self, data: &[u8], known: usize, views: Views, f: &mut impl FnMut(SigIdx)) {
        for class in self.classes.iter().filter(|c| c.len <= data.len() && c.len > known) {
            let key = key(data, class.len);
            let from = class.keys.partition_point(|k| *k < key);
            let same = class.keys.iter().skip(from).take_while(|k| **k == key).count();
            let entries = class.entries.get(from..from + same).unwrap_or(&[]);
            for e in entries.iter().filter(|e| e.fits(data)) {
                e.goals.iter().filter(|g| g.1.meets(views)).for_each(|g| f(g.0));
            }
        }
    }
}

/// The first `len` bytes, at most eight, in lower case; the first lowest.
fn key(bytes: &[u8], len: usize) -> u64 {
    bytes.iter().take(len).rev().fold(0, |word, b| word << 8 | u64::from(b.to_ascii_lowercase()))
}

fn mix(first: u16) -> u16 {
    (u32::from(first).wrapping_mul(0x9e37_79b1) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::super::Hay;
    use super::*;
    use crate::detect::testkit::content;

    fn at(s: &str, offset: i64) -> Content {
        let depth = s.len() as i64;
        Content { offset: Some(Value::Const(offset)), depth: Some(Value::Const(depth)), ..content(s) }
    }

    #[test]
    fn only_one_place_is_a_place() {
        assert_eq!(Places::place(&at("ab", 7)), Some(7));
        assert_eq!(Places::place(&Content { startswith: true, ..content("abc") }), Some(0));
        assert_eq!(Places::place(&Content { depth: Some(Value::Const(3)), ..content("abc") }), Some(0));
        assert_eq!(Places::place(&Content { depth: Some(Value::Const(4)), ..content("abc") }), None);
        assert_eq!(Places::place(&Content { offset: Some(Value::Const(4)), ..content("abc") }), None);
        assert_eq!(Places::place(&Content { distance: Some(Value::Const(0)), ..content("abc") }), None);
        assert_eq!(Places::place(&at("a", 0)), None);
    }

    #[test]
    fn every_cut_of_a_stream_names_what_stands_in_its_place() {
        let nocase = |s: &str, o| Content { nocase: true, ..at(s, o) };
        let list = [
            at("GE", 0),
            at("GET /a.b", 0),
            at("GET /a.bcd", 0),
            at("GET /a.bce", 0),
            nocase("get /A.BCD", 0),
            at("get", 0),
            at("/a", 4),
            nocase("BC", 7),
            at("cdefghijklmnop", 8),
            at("zz", 8),
        ];
        let stream = b"GET /a.bcdefghijklmnopq";
        let wanted: Vec<_> = (0u32..).zip(&list).map(|(i, c)| (SigIdx(i), c, Views::BOTH)).collect();
        let table = Places::build(&wanted);
        assert_eq!(table.len(), list.len());
        for end in 0..=stream.len() {
            for fresh in 0..end {
                for offset in 0..=fresh.min(3) {
                    let hay = Hay { data: &stream[offset..end], fresh: fresh - offset, offset: offset as u64 };
                    let mut got = Vec::new();
                    table.find(hay, Views::STREAM, |s| got.push(s.0));
                    got.sort_unstable();
                    let due = |c: &Content| {
                        let from = Places::place(c).unwrap() as usize;
                        let piece = from + c.bytes.len().min(LEN_MAX);
                        let there = &stream[from..end.clamp(from, from + c.bytes.len())];
                        let head = &c.bytes[..there.len()];
                        let same = if c.nocase { there.eq_ignore_ascii_case(head) } else { there == head };
                        from >= offset && piece <= end && piece > fresh && same
                    };
                    let want: Vec<u32> = (0u32..).zip(&list).filter(|(_, c)| due(c)).map(|(i, _)| i).collect();
                    // Of a content that goes on past what is there, the first eight bytes speak.
                    let early = |i: &u32| list[*i as usize].bytes.len() > LEN_MAX;
                    assert!(want.iter().all(|i| got.contains(i)), "{end} {fresh} {offset}: {got:?} {want:?}");
                    assert!(
                        got.iter().all(|i| want.contains(i) || early(i)),
                        "{end} {fresh} {offset}: {got:?} {want:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_rule_is_named_in_its_views_alone() {
        let c = at("abc", 0);
        let table = Places::build(&[(SigIdx(1), &c, Views::PACKET), (SigIdx(2), &c, Views::BOTH)]);
        let ask = |views| {
            let mut got = Vec::new();
            table.find(Hay::whole(b"abcd"), views, |s| got.push(s.0));
            got
        };
        assert_eq!((ask(Views::PACKET), ask(Views::STREAM), ask(Views::BOTH)), (vec![1, 2], vec![2], vec![1, 2]));
        assert!(table.serves(SigIdx(2)) && !table.serves(SigIdx(3)) && table.memory() > 0);
    }
}
