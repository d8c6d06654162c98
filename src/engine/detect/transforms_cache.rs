//! Chains of transforms, interned by meaning, and their results for the packet or transaction at hand.
//!
//! Rules write the same few chains (`dotprefix`, `to_lowercase`, …) thousands of times: each chain is applied once per
//! buffer, however many rules look at the result. Results live until the next packet or transaction; their memory stays.

use super::matching::Scratch;
use super::signature::Transform;
use crate::applayer::BufferId;
use std::collections::HashMap;

/// 0 is the empty chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChainId(pub u16);

impl ChainId {
    pub(crate) const NONE: ChainId = ChainId(0);
}

/// Chains by their normalised text.
#[derive(Debug, Default)]
pub(crate) struct ChainTable {
    ids: HashMap<String, ChainId>,
    names: Vec<String>,
}

impl ChainTable {
    pub(crate) fn intern(&mut self, chain: &[Box<dyn Transform>]) -> ChainId {
        if chain.is_empty() {
            return ChainId::NONE;
        }
        let text = chain.iter().map(|t| t.identity()).collect::<Vec<_>>().join("; ");
        if let Some(id) = self.ids.get(&text) {
            return *id;
        }
        self.names.push(text.clone());
        let id = ChainId(u16::try_from(self.names.len()).unwrap_or(u16::MAX));
        self.ids.insert(text, id);
        id
    }

    pub(crate) fn name(&self, id: ChainId) -> &str {
        usize::from(id.0).checked_sub(1).and_then(|i| self.names.get(i)).map_or("", String::as_str)
    }
}

/// What a cached result is the result of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheKey {
    pub buffer: BufferId,
    pub chain: ChainId,
    pub index: u32,
    /// Length of the source: a growing buffer's older result is another.
    pub len: usize,
    pub offset: u64,
}

#[derive(Debug, Default)]
pub(crate) struct TransformCache {
    entries: Vec<(CacheKey, Vec<u8>)>,
    live: usize,
    spare: Vec<u8>,
}

/// Results kept at once; past it the newest slot is used again.
const ENTRIES_MAX: usize = 64;

impl TransformCache {
    pub(crate) fn clear(&mut self) {
        self.live = 0;
    }

    /// The result of `chain` over `data`.
    pub(crate) fn apply(
        &mut self,
        key: CacheKey,
        chain: &[Box<dyn Transform>],
        data: &[u8],
        scratch: &mut Scratch,
    ) -> &[u8] {
        let found = self.entries.iter().take(self.live).position(|e| e.0 == key);
        let i = match found {
            Some(i) => i,
            None => self.fill(key, chain, data, scratch),
        };
        self.entries.get(i).map_or(&[], |e| &e.1)
    }

    fn fill(&mut self, key: CacheKey, chain: &[Box<dyn Transform>], data: &[u8], scratch: &mut Scratch) -> usize {
        let i = self.live.min(ENTRIES_MAX - 1);
        if i >= self.entries.len() {
            self.entries.push((key, Vec::new()));
        }
        self.live = i + 1;
        let Some((k, out)) = self.entries.get_mut(i) else { return 0 };
        *k = key;
        let mut source: &[u8] = data;
        let mut spare = std::mem::take(&mut self.spare);
        for (n, t) in chain.iter().enumerate() {
            out.clear();
            t.apply_with(scratch, source, out);
            if n + 1 < chain.len() {
                std::mem::swap(out, &mut spare);
                source = &spare;
            }
        }
        self.spare = spare;
        i
    }
}
