//! A set in a Hyperscan database, and its stored form.
//!
//! Each text is reported once per scan, at its first end, which the trait allows ("at least once"): a one-byte pattern
//! on a page of text would otherwise call back a thousand times.
//!
//! Of a text longer than [`CUT`] the library gets the last bytes alone, reports each place, and the rest is compared
//! here: its compile time grows with the square of a literal's length (20 s for 2,000 bytes).
//!
//! Stored form, little-endian: `SGHS`, version (1 byte), longest text (4), number of starts (4), starts (4 each),
//! number of ids (4), ids (4 each), number of cut texts (4), each with its length (4), case (1) and bytes, length of
//! the database (8), database, CRC-32 of all before it (4).

use super::{Reports, Text, distinct};
use crate::scratch::working;
use crate::sys::hyperscan as sys;
use engine::detect::matching::{MatcherError, Pattern, PatternSet, Scratch};

const MAGIC: &[u8; 4] = b"SGHS";
const VERSION: u8 = 1;
/// Bytes of a literal the library gets, at most.
const CUT: usize = 48;
/// The library takes lengths of 32 bits; longer haystacks are scanned in windows of this many bytes.
const WINDOW: usize = 1 << 30;

pub(crate) struct HyperscanSet {
    database: sys::Database,
    reports: Reports,
    /// The texts that were cut, the last in the order of `reports`.
    cut: Vec<Text>,
    /// Index of the first of them.
    cut_from: usize,
    /// Bytes of the longest text.
    longest: usize,
}

impl HyperscanSet {
    /// Of one pattern or more, none empty.
    pub(crate) fn compile(patterns: &[Pattern]) -> Result<HyperscanSet, MatcherError> {
        let (texts, reports) = distinct(patterns);
        let is_cut = |t: &Text| t.bytes.len() > CUT;
        let (texts, reports) = reports.sorted_by(texts, is_cut);
        let cut_from = texts.partition_point(|t| !is_cut(t));
        let literals: Vec<sys::Literal<'_>> = (0u32..)
            .zip(&texts)
            .map(|(id, t)| {
                let tail = t.bytes.split_at_checked(t.bytes.len().saturating_sub(CUT)).map_or(&t.bytes[..], |s| s.1);
                sys::Literal { bytes: tail, nocase: t.nocase, once: !is_cut(t), id }
            })
            .collect();
        let database = sys::Database::compile(&literals).map_err(|e| MatcherError(e.0))?;
        let longest = texts.iter().map(|t| t.bytes.len()).max().unwrap_or(0);
        let cut = texts.get(cut_from..).unwrap_or(&[]).to_vec();
        Ok(HyperscanSet { database, reports, cut, cut_from, longest })
    }

    pub(crate) fn deserialize(bytes: &[u8]) -> Result<HyperscanSet, MatcherError> {
        let damaged = || MatcherError("stored set is damaged".into());
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(damaged());
        }
        let mut r = Reader(body);
        if r.take(4) != Some(MAGIC) || r.take(1) != Some(&[VERSION]) {
            return Err(MatcherError("not a stored set of this version".into()));
        }
        let longest = r.u32().ok_or_else(damaged)? as usize;
        let starts = r.list().ok_or_else(damaged)?;
        let ids = r.list().ok_or_else(damaged)?;
        let sound = starts.windows(2).all(|w| w[0] <= w[1]) && starts.last().is_some_and(|&l| l as usize == ids.len());
        let cut = r.texts().ok_or_else(damaged)?;
        let cut_from = starts.len().checked_sub(1 + cut.len()).ok_or_else(damaged)?;
        let length = r.u64().ok_or_else(damaged)?;
        if !sound || usize::try_from(length).ok() != Some(r.0.len()) {
            return Err(damaged());
        }
        let database = sys::Database::deserialize(r.0).map_err(|e| MatcherError(e.0))?;
        Ok(HyperscanSet { database, reports: Reports { starts, ids }, cut, cut_from, longest })
    }

    pub(crate) fn scratch(&self) -> Result<sys::Scratch, MatcherError> {
        sys::Scratch::new(&self.database).map_err(|e| MatcherError(e.0))
    }

    pub(crate) fn grow(&self, scratch: &mut sys::Scratch) -> Result<(), MatcherError> {
        scratch.grow(&self.database).map_err(|e| MatcherError(e.0))
    }

    /// Whether a text that ends at `end` is there with the bytes the library did not get.
    fn is_whole(&self, text: usize, haystack: &[u8], end: usize) -> bool {
        let Some(t) = text.checked_sub(self.cut_from).and_then(|i| self.cut.get(i)) else { return true };
        let start = end.checked_sub(t.bytes.len());
        start
            .and_then(|s| haystack.get(s..end))
            .is_some_and(|h| if t.nocase { h.eq_ignore_ascii_case(&t.bytes) } else { h == t.bytes })
    }

    fn scan_with(
        &self,
        scratch: &mut sys::Scratch,
        haystack: &[u8],
        on_match: &mut dyn FnMut(u32, usize),
    ) -> Result<(), sys::HsError> {
        let overlap = self.longest.saturating_sub(1).min(WINDOW / 2);
        let mut at = 0;
        loop {
            let end = haystack.len().min(at + WINDOW);
            let mut report = |text: u32, to: usize| {
                // What ends inside the overlap was reported by the window before.
                if (at == 0 || to > overlap) && self.is_whole(text as usize, haystack, at + to) {
                    for &id in self.reports.of(text as usize) {
                        on_match(id, at + to);
                    }
                }
            };
            self.database.scan(scratch, &haystack[at..end], &mut report)?;
            if end == haystack.len() {
                return Ok(());
            }
            at = end - overlap;
        }
    }
}

impl PatternSet for HyperscanSet {
    fn scan(&self, scratch: &mut Scratch, haystack: &[u8], on_match: &mut dyn FnMut(u32, usize)) {
        let working = working(scratch);
        if working.hyperscan.is_none() {
            working.hyperscan = self.scratch().ok();
        }
        // Only memory that cannot be had ends here; a scan that looked at nothing must not pass for one that found
        // nothing.
        let done = match working.hyperscan.as_mut() {
            Some(hs) => self.scan_with(hs, haystack, on_match),
            None => Err(sys::HsError("no scratch".into())),
        };
        if let Err(e) = done {
            panic!("hyperscan could not scan: {}", e.0);
        }
    }

    fn memory(&self) -> usize {
        self.database.size() + self.reports.memory()
    }

    fn serialize(&self) -> Option<Vec<u8>> {
        let database = self.database.serialize().ok()?;
        let mut out = Vec::with_capacity(database.len() + 32 + self.reports.memory());
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&u32::try_from(self.longest).ok()?.to_le_bytes());
        for list in [&self.reports.starts, &self.reports.ids] {
            out.extend_from_slice(&u32::try_from(list.len()).ok()?.to_le_bytes());
            out.extend(list.iter().flat_map(|x| x.to_le_bytes()));
        }
        out.extend_from_slice(&u32::try_from(self.cut.len()).ok()?.to_le_bytes());
        for t in &self.cut {
            out.extend_from_slice(&u32::try_from(t.bytes.len()).ok()?.to_le_bytes());
            out.push(u8::from(t.nocase));
            out.extend_from_slice(&t.bytes);
        }
        out.extend_from_slice(&(database.len() as u64).to_le_bytes());
        out.extend_from_slice(&database);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        Some(out)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn texts(&mut self) -> Option<Vec<Text>> {
        let n = self.u32()?;
        let mut out = Vec::new();
        for _ in 0..n {
            let length = self.u32()? as usize;
            let nocase = self.take(1)? != [0];
            out.push(Text { bytes: self.take(length)?.to_vec(), nocase });
        }
        Some(out)
    }

    fn list(&mut self) -> Option<Vec<u32>> {
        let n = self.u32()? as usize;
        let bytes = self.take(n.checked_mul(4)?)?;
        Some(bytes.as_chunks::<4>().0.iter().map(|c| u32::from_le_bytes(*c)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> HyperscanSet {
        let p = |bytes: &[u8], nocase, id| Pattern { bytes: bytes.to_vec(), nocase, id };
        let long = [b'x'; CUT + 9];
        HyperscanSet::compile(&[p(&long, true, 6), p(b"abc", false, 7), p(b"ABC", true, 8), p(b"\x00\xff", false, 9)])
            .unwrap()
    }

    fn hits(set: &HyperscanSet, haystack: &[u8]) -> Vec<(u32, usize)> {
        let mut scratch: Scratch = Box::<crate::scratch::Working>::default();
        let mut out = Vec::new();
        set.scan(&mut scratch, haystack, &mut |id, end| out.push((id, end)));
        out.sort_unstable();
        out
    }

    #[test]
    fn stored_set_answers_alike() {
        let a = set();
        let b = HyperscanSet::deserialize(&a.serialize().unwrap()).unwrap();
        for hay in [&b"xxabcxABC\x00\xff"[..], b"", b"aBc"] {
            assert_eq!(hits(&a, hay), hits(&b, hay));
        }
        assert_eq!(hits(&a, b"xxabcxABC\x00\xff"), [(7, 5), (8, 5), (9, 11)]);
    }

    #[test]
    fn a_cut_text_is_compared_whole() {
        let set = set();
        let mut hay = vec![b'X'; CUT + 8];
        assert!(hits(&set, &hay).is_empty());
        hay.push(b'x');
        assert_eq!(hits(&set, &hay), [(6, CUT + 9)]);
        hay[3] = b'y';
        hay.extend([b'x'; 4]);
        assert_eq!(hits(&set, &hay), [(6, CUT + 13)]);
        hay[4] = b'y';
        assert!(hits(&set, &hay).is_empty());
        let stored = HyperscanSet::deserialize(&set.serialize().unwrap()).unwrap();
        assert!(hits(&stored, &hay).is_empty());
    }

    #[test]
    fn every_damage_is_an_error() {
        let stored = set().serialize().unwrap();
        for at in 0..stored.len() {
            let mut bad = stored.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(HyperscanSet::deserialize(&bad).is_err(), "byte {at}");
        }
        for length in 0..stored.len() {
            assert!(HyperscanSet::deserialize(&stored[..length]).is_err(), "length {length}");
        }
        let longer = [&stored[..], b"\0"].concat();
        assert!(HyperscanSet::deserialize(&longer).is_err());
    }

    #[test]
    fn a_panic_of_the_caller_comes_back_to_him() {
        let set = set();
        let mut scratch: Scratch = Box::<crate::scratch::Working>::default();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            set.scan(&mut scratch, b"abc", &mut |_, _| panic!("mine"));
        }));
        assert!(caught.is_err());
        let mut n = 0;
        set.scan(&mut scratch, b"abc", &mut |_, _| n += 1);
        assert_eq!(n, 2, "the scratch serves on");
    }
}
