//! Sets of literals: what all engines share, and one file per engine.
//!
//! Patterns with the same text are one literal to the engine and a list of ids to the caller ([`Reports`]), so that a
//! ruleset that asks for the same bytes a hundred times costs one search and one callback.

#[cfg(hyperscan_lib)]
mod hyperscan;
mod pure;
mod small;

#[cfg(hyperscan_lib)]
pub(crate) use hyperscan::HyperscanSet;
pub(crate) use pure::PureSet;
pub(crate) use small::SmallSet;

use engine::detect::matching::Pattern;
use std::collections::HashMap;

/// A literal no other of its set equals. With `nocase` the bytes are in lower case and at least one is a letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Text {
    pub bytes: Vec<u8>,
    pub nocase: bool,
}

/// Which ids each text of a set reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reports {
    /// One more than there are texts; ascending; the last is `ids.len()`.
    starts: Vec<u32>,
    ids: Vec<u32>,
}

impl Reports {
    pub(crate) fn of(&self, text: usize) -> &[u32] {
        match (self.starts.get(text), self.starts.get(text + 1)) {
            (Some(&a), Some(&b)) => self.ids.get(a as usize..b as usize).unwrap_or(&[]),
            _ => &[],
        }
    }

    pub(crate) fn memory(&self) -> usize {
        (self.starts.capacity() + self.ids.capacity()) * size_of::<u32>()
    }

    /// Stably reordered, texts of which `last` is true behind the others.
    #[cfg(hyperscan_lib)]
    fn sorted_by(&self, texts: Vec<Text>, last: impl Fn(&Text) -> bool) -> (Vec<Text>, Reports) {
        let mut pairs: Vec<(Text, Vec<u32>)> =
            texts.into_iter().enumerate().map(|(i, t)| (t, self.of(i).to_vec())).collect();
        pairs.sort_by_key(|p| last(&p.0));
        let (texts, lists): (Vec<Text>, Vec<Vec<u32>>) = pairs.into_iter().unzip();
        (texts, Reports::from_lists(&lists))
    }

    fn from_lists(lists: &[Vec<u32>]) -> Reports {
        let mut r = Reports { starts: Vec::with_capacity(lists.len() + 1), ids: Vec::new() };
        r.starts.push(0);
        for list in lists {
            r.ids.extend_from_slice(list);
            r.starts.push(r.ids.len() as u32);
        }
        r
    }
}

/// Merges patterns with the same text, in order of first appearance; ids of a text are sorted and unique.
pub(crate) fn distinct(patterns: &[Pattern]) -> (Vec<Text>, Reports) {
    let mut seen: HashMap<Text, usize> = HashMap::with_capacity(patterns.len());
    let mut texts: Vec<Text> = Vec::new();
    let mut lists: Vec<Vec<u32>> = Vec::new();
    for p in patterns {
        let nocase = p.nocase && p.bytes.iter().any(u8::is_ascii_alphabetic);
        let bytes = if nocase { p.bytes.to_ascii_lowercase() } else { p.bytes.clone() };
        let text = Text { bytes, nocase };
        let i = *seen.entry(text).or_insert_with_key(|text| {
            texts.push(text.clone());
            lists.push(Vec::new());
            texts.len() - 1
        });
        lists[i].push(p.id);
    }
    for list in &mut lists {
        list.sort_unstable();
        list.dedup();
    }
    let reports = Reports::from_lists(&lists);
    (texts, reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_merge() {
        let p = |bytes: &[u8], nocase, id| Pattern { bytes: bytes.to_vec(), nocase, id };
        let (texts, reports) = distinct(&[
            p(b"Ab", true, 5),
            p(b"aB", true, 2),
            p(b"aB", false, 3),
            p(b"12", true, 4),
            p(b"12", false, 4),
        ]);
        assert_eq!(texts.len(), 3);
        assert_eq!(texts[0], Text { bytes: b"ab".to_vec(), nocase: true });
        assert_eq!(texts[2], Text { bytes: b"12".to_vec(), nocase: false });
        assert_eq!((reports.of(0), reports.of(1), reports.of(2)), (&[2, 5][..], &[3][..], &[4][..]));
        assert!(reports.of(3).is_empty());
    }
}
