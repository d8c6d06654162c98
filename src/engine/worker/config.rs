//! What a worker is told at its beginning: immutable, shared, changed only by a new one under a new epoch.

use crate::types::{Limits, Policies};
use crate::{decode, flow, proto, record, stream};

/// Watching or enforcing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is held back: streams are read as their receiver acknowledged them.
    #[default]
    Ids,
    /// Each segment is inspected with all it completes before it leaves.
    Inline,
}

/// Which files leave the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepFiles {
    /// All, not only those a rule asks for.
    pub all: bool,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub mode: Mode,
    pub decode: decode::Settings,
    pub flow: flow::Settings,
    pub stream: stream::Settings,
    pub proto: proto::Settings,
    pub limits: Limits,
    pub policies: Policies,
    /// Files leave the engine, for who keeps them.
    pub keep_files: Option<KeepFiles>,
    pub records: record::Settings,
    /// Keys the hashes: random live, fixed in replay.
    pub seed: [u64; 2],
    /// Somebody takes word of flows that are bypassed or condemned ([`super::Output::offloads`]), and flows in which
    /// nothing can match any more are bypassed.
    pub offload: bool,
    /// The caller says when silent flows end ([`super::Worker::advance`]); else packets do, a few at a time.
    pub paced: bool,
    /// Bytes of records held until taken.
    pub records_max: usize,
}

impl Default for Config {
    /// Watching, with every default, under the fixed seed of replay.
    fn default() -> Self {
        Config {
            mode: Mode::Ids,
            decode: decode::Settings::default(),
            flow: flow::Settings::default(),
            stream: stream::Settings::default(),
            proto: proto::Settings::default(),
            limits: Limits::default(),
            policies: Policies::ids(),
            keep_files: None,
            records: record::Settings::usual(),
            seed: [0x7374_6f70, 0x6761_7073],
            offload: false,
            paced: false,
            records_max: 64 << 20,
        }
    }
}
