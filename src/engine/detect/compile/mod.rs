//! Signatures to a ruleset: classes, searchers, groups. Once per load, never on the packet path.
//!
//! A [`Ruleset`] is immutable and shared by all workers behind an `Arc`; a change of policy is another one with another
//! epoch. A rule that cannot be compiled (its regex, say) is refused by itself with the reason, never the whole set.

mod class;
mod explain;

pub use class::{ActionScope, Class};
pub use explain::{BufferExplanation, Explanation};

pub(crate) use class::{Compiled, Source};

use super::inspect::frames::FrameRules;
use super::matching::{MatcherFactory, Scratch};
use super::prefilter::{AddressRules, PayloadGroups, SetBuilder, Transport, TxGroups};
use super::signature::{SigIdx, Signature, TagScope, VarId};
use super::state::FlowDetect;
use super::state::shared::BitName;
use super::transforms_cache::ChainTable;
use crate::applayer::{ProtoSet, Vocabulary};
use crate::types::{Direction, FiveTuple, IpProto};
use std::sync::Arc;

/// Compiled pattern databases by content key; kept by someone with a disk.
pub trait DatabaseCache {
    /// What `PatternSet::serialize` gave under this key; `None` where there is none. Damage shows when it is read back,
    /// and the set is then compiled anew.
    fn load(&mut self, key: u128) -> Option<Vec<u8>>;
    fn store(&mut self, key: u128, database: &[u8]);
}

/// What beside the signatures goes into a ruleset.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From 1; another number for another ruleset.
    pub epoch: u64,
    /// Names of variables, by [`VarId`]: for records.
    pub var_names: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { epoch: 1, var_names: Vec::new() }
    }
}

/// A rule left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub gid: u32,
    pub sid: u32,
    pub file: String,
    pub line: u32,
    pub why: String,
}

/// What compiling yields.
pub struct Compilation {
    pub ruleset: Ruleset,
    pub refused: Vec<Refused>,
    /// Pattern databases built, and those the cache had.
    pub databases: (usize, usize),
}

/// An immutable set of compiled signatures.
pub struct Ruleset {
    pub(crate) epoch: u64,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) factory: Arc<dyn MatcherFactory>,
    pub(crate) sigs: Vec<Compiled>,
    pub(crate) addresses: AddressRules,
    pub(crate) payload: PayloadGroups,
    pub(crate) txs: TxGroups,
    pub(crate) frames: FrameRules,
    pub(crate) chains: ChainTable,
    /// Rules that ask for decode or stream events alone.
    pub(crate) events: Vec<SigIdx>,
    pub(crate) var_names: Vec<String>,
    /// Of the same, as the host table knows them.
    pub(crate) bit_names: Arc<[BitName]>,
    /// A rule tags hosts, so packets must be counted against tags.
    pub(crate) tags_hosts: bool,
}

impl Ruleset {
    /// Compiles `signatures`, which stand in their order of evaluation. Fails only where the matcher library itself does.
    pub fn compile(
        signatures: Vec<Signature>,
        vocabulary: Vocabulary,
        factory: Arc<dyn MatcherFactory>,
        cache: Option<&mut dyn DatabaseCache>,
        settings: Settings,
    ) -> Result<Compilation, super::matching::MatcherError> {
        let mut refused = Vec::new();
        let mut chains = ChainTable::default();
        let mut sigs = Vec::with_capacity(signatures.len());
        for sig in signatures {
            let id = (sig.gid, sig.sid, sig.origin.file.clone(), sig.origin.line);
            match Compiled::new(sig, &vocabulary, factory.as_ref(), &mut chains) {
                Ok(c) => sigs.push(c),
                Err(why) => refused.push(Refused { gid: id.0, sid: id.1, file: id.2, line: id.3, why }),
            }
        }
        let mut builder = SetBuilder::new(factory.as_ref(), cache);
        let txs = TxGroups::build(&sigs, &vocabulary, &mut builder)?;
        let (addresses, by_address) = AddressRules::build(&sigs);
        let payload = PayloadGroups::build(&sigs, &vocabulary, &by_address, &mut builder)?;
        let databases = builder.counts();
        let events =
            sigs.iter().enumerate().filter(|(_, c)| c.class == Class::Event).map(|(i, _)| SigIdx(i as u32)).collect();
        let tags_host = |c: &Compiled| c.sig.tags.iter().any(|t| t.scope != TagScope::Session);
        let ruleset = Ruleset {
            tags_hosts: sigs.iter().any(tags_host),
            bit_names: settings.var_names.iter().map(|n| BitName::new(n)).collect(),
            epoch: settings.epoch.max(1),
            vocabulary,
            factory,
            frames: FrameRules::build(&sigs, &vocabulary),
            sigs,
            addresses,
            payload,
            txs,
            chains,
            events,
            var_names: settings.var_names,
        };
        Ok(Compilation { ruleset, refused, databases })
    }

    /// No rules at all.
    pub fn empty(vocabulary: Vocabulary, factory: Arc<dyn MatcherFactory>) -> Self {
        Ruleset {
            epoch: 1,
            vocabulary,
            factory,
            sigs: Vec::new(),
            addresses: AddressRules::default(),
            payload: PayloadGroups::default(),
            txs: TxGroups::default(),
            frames: FrameRules::default(),
            chains: ChainTable::default(),
            events: Vec::new(),
            var_names: Vec::new(),
            bit_names: Arc::new([]),
            tags_hosts: false,
        }
    }

    /// The name of a bit or number.
    pub fn var_name(&self, v: VarId) -> Option<&str> {
        self.var_names.get(v.0 as usize).map(String::as_str)
    }

    /// No rule is about packets or streams of the flow, by its ports and, as far as `known` tells, by its addresses; and
    /// none is half-way.
    pub(crate) fn unconcerned(&self, client_first: &FiveTuple, known: &FlowDetect) -> bool {
        let transport = match client_first.proto {
            IpProto::TCP => Transport::Tcp,
            IpProto::UDP => Transport::Udp,
            _ => return false,
        };
        let none = |d: Direction| {
            let t = if d == Direction::ToServer { *client_first } else { client_first.flip() };
            self.payload.find(transport, Some(d), t.sport, t.dport).as_slice().is_empty()
        };
        let asked = self.addresses.is_empty() || known.is_asked();
        let nothing = self.events.is_empty() && !self.tags_hosts && asked && !known.is_waiting();
        nothing && Direction::BOTH.into_iter().all(none)
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn len(&self) -> usize {
        self.sigs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sigs.is_empty()
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// `None` for an index of another ruleset.
    pub fn signature(&self, idx: SigIdx) -> Option<&Signature> {
        self.sigs.get(idx.0 as usize).map(|c| &c.sig)
    }

    pub fn class(&self, idx: SigIdx) -> Option<Class> {
        self.sigs.get(idx.0 as usize).map(|c| c.class)
    }

    /// Protocols that some rule wants frames of.
    pub fn framed(&self) -> ProtoSet {
        self.frames.protocols()
    }

    /// Hashes of files that some rule looks at.
    pub fn hashes(&self) -> crate::applayer::files::Hashes {
        self.signatures().fold(Default::default(), |h: crate::applayer::files::Hashes, (_, s)| h.or(s.hashes))
    }

    pub fn signatures(&self) -> impl Iterator<Item = (SigIdx, &Signature)> {
        self.sigs.iter().enumerate().map(|(i, c)| (SigIdx(i as u32), &c.sig))
    }

    /// The first signature with this sid.
    pub fn find(&self, sid: u32) -> Option<SigIdx> {
        self.sigs.iter().position(|c| c.sig.sid == sid).map(|i| SigIdx(i as u32))
    }

    /// Bytes of pattern databases, about.
    pub fn memory(&self) -> usize {
        self.payload.memory() + self.txs.memory()
    }

    /// How a rule compiled and what each packet pays for it.
    pub fn explain(&self, sid: u32) -> Option<Explanation> {
        self.find(sid).and_then(|i| explain::explain(self, i))
    }

    /// All groups with their sizes, a line each.
    pub fn summary(&self) -> String {
        explain::summary(self)
    }

    pub(crate) fn compiled(&self, idx: SigIdx) -> Option<&Compiled> {
        self.sigs.get(idx.0 as usize)
    }

    pub(crate) fn scratch(&self) -> Result<Scratch, super::matching::MatcherError> {
        self.factory.scratch()
    }
}
