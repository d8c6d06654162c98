//! What workers are told and what they counted, whoever drives them.

use crate::cli::{ChecksumArg, SettingArgs};
use crate::console::Failure;
use control::config::outputs::{EveLog, union};
use control::config::{self, Config};
use engine::applayer::ProtocolCounts;
use engine::decode::{Frame, HostPolicies, OverlapPolicy};
use engine::proto;
use engine::types::{Cause, Counter, Counters, Policies, Timestamp};
use engine::worker::{self, Worker};

/// The configuration, with what every command that runs workers may say of it laid over.
pub fn configuration(
    settings: &SettingArgs,
    checksums: Option<ChecksumArg>,
    events: Option<&[String]>,
) -> Result<Config, Failure> {
    let mut config = config::load(settings.config.as_deref(), &settings.set)?;
    if let Some(k) = checksums {
        config.decode.verify_checksums = k == ChecksumArg::All;
    }
    if let Some(names) = events {
        config.outputs.eve = vec![EveLog::of_events(names).map_err(Failure)?];
    }
    Ok(config)
}

/// What each worker is told, from a configuration.
pub fn told(c: &Config, inline: bool) -> worker::Config {
    let (records, shown) = union(&c.outputs.eve);
    let mut decode = c.decode.clone();
    if inline && !c.defrag_policy_chosen {
        // What the receiver may see is what was inspected.
        decode.defrag.hosts = HostPolicies::all(OverlapPolicy::First);
    }
    worker::Config {
        mode: if inline { worker::Mode::Inline } else { worker::Mode::Ids },
        decode,
        flow: c.flow,
        stream: c.stream.clone(),
        proto: proto::Settings { log: shown, ..c.proto.clone() },
        limits: c.limits.clone(),
        policies: c.policies(inline),
        keep_files: c.file_store.as_ref().map(|s| worker::KeepFiles { all: s.all }),
        records,
        ..worker::Config::default()
    }
}

/// The same where the kernel can carry flows, if `can`: what is encrypted is its, unless somebody said otherwise.
pub fn offloading(told: &mut worker::Config, c: &Config, can: bool) {
    told.offload = can;
    if can && !c.encryption_chosen {
        told.proto.tls.encryption = proto::Encryption::Bypass;
    }
}

/// The list without its frames, its memory kept while the borrow it names changes.
// `filter` would keep the old borrow in the type.
#[allow(clippy::unnecessary_filter_map)]
pub fn emptied<'b>(mut frames: Vec<Frame<'_>>) -> Vec<Frame<'b>> {
    frames.clear();
    frames.into_iter().filter_map(|_| None).collect()
}

/// What workers counted.
#[derive(Clone, Debug)]
pub struct Tally {
    pub counters: Counters,
    /// By row of the decode events.
    pub decode_events: Vec<u64>,
    pub stream_events: Vec<u64>,
    pub protocols: ProtocolCounts,
    pub exceptions: [u64; Cause::COUNT],
    pub policies: Policies,
    pub first: Timestamp,
    pub now: Timestamp,
}

impl Tally {
    /// Records the engine found no room for.
    pub fn records_lost(&self) -> u64 {
        self.counters.of(Counter::RecordsLost)
    }

    /// Of one worker, so far.
    pub fn of(w: &Worker) -> Tally {
        let decode_events = w.decode_events().to_vec();
        Tally {
            counters: w.counters().clone(),
            decode_events,
            stream_events: w.stream_events().to_vec(),
            protocols: w.protocols().clone(),
            exceptions: *w.exceptions(),
            policies: w.policies().clone(),
            first: Timestamp::ZERO,
            now: w.now(),
        }
    }

    /// The sum over workers.
    pub fn add(&mut self, other: &Tally) {
        self.counters.merge(&other.counters);
        self.decode_events.iter_mut().zip(&other.decode_events).for_each(|(a, b)| *a += b);
        self.stream_events.iter_mut().zip(&other.stream_events).for_each(|(a, b)| *a += b);
        self.protocols.merge(&other.protocols);
        for (a, b) in self.exceptions.iter_mut().zip(other.exceptions) {
            *a += b;
        }
        self.now = self.now.max(other.now);
    }
}
