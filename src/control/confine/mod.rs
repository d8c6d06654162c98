//! Taking from a process what it does not need any more, for good: a data plane after its set-up looks at hostile bytes,
//! and whoever comes to run code in it shall find nothing to go on with.
//!
//! In this order: capabilities, files (landlock), system calls (seccomp). The first two reach the thread that calls and
//! those it starts later, so it is called before workers start; the filter of
//! system calls reaches every thread there is. None of it can be undone.

mod syscalls;
#[cfg(test)]
mod tests;

pub use caps::Capability;

use caps::CapSet;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope, path_beneath_rules,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, TargetArch};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use syscalls::{Row, When};

/// What a process keeps.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// Folders below which it may read and write: the log's, the file store's, the cache's.
    pub write: Vec<PathBuf>,
    /// Files and folders it may read: rules, configuration. Of a file its folder is meant, as a new version of it is
    /// another file by the same name.
    pub read: Vec<PathBuf>,
    /// Of those it has. [`Capability::CAP_DAC_OVERRIDE`] is what reads rules and writes logs that belong to others.
    pub capabilities: Vec<Capability>,
    /// A call that is not allowed ends the process, instead of failing with EPERM.
    pub kill: bool,
}

/// How much of the file rules the kernel keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    Confined,
    /// This kernel knows some of what was asked for.
    Partly,
    /// It has no landlock, or it is switched off.
    Free,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    pub files: Files,
    /// Threads that ran before, which keep their capabilities and their files.
    pub others: usize,
    pub capabilities: Vec<Capability>,
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.capabilities.as_slice() {
            [] => write!(f, "no capabilities")?,
            kept => {
                let names: Vec<String> = kept.iter().map(ToString::to_string).collect();
                write!(f, "capabilities {}", names.join(" "))?;
            }
        }
        write!(f, ", system calls filtered, ")?;
        match self.files {
            Files::Confined => write!(f, "files confined"),
            Files::Partly => write!(f, "files confined as far as this kernel can"),
            Files::Free => write!(f, "files not confined, as this kernel has no landlock"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error("giving up capabilities: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    #[error("confining files: {0}")]
    Files(#[from] landlock::RulesetError),
    #[error("filtering system calls: {0}")]
    Calls(#[from] seccompiler::Error),
    #[error("filtering system calls: {0}")]
    Filter(#[from] seccompiler::BackendError),
}

/// Gives up all that is not kept.
pub fn confine(keep: &Keep) -> Result<Confined, ConfineError> {
    let filters = [unknown(libc::SYS_clone3)?, allowed(&syscalls::table(std::process::id()), keep.kill)?];
    let others = std::fs::read_dir("/proc/self/task").map_or(0, |all| all.count().saturating_sub(1));
    let capabilities = capabilities(&keep.capabilities)?;
    let files = files(keep)?;
    for filter in &filters {
        seccompiler::apply_filter_all_threads(filter)?;
    }
    Ok(Confined { files, others, capabilities })
}

/// Keeps of our capabilities those listed, and can never have others again.
fn capabilities(keep: &[Capability]) -> Result<Vec<Capability>, ConfineError> {
    let have = caps::read(None, CapSet::Permitted)?;
    let kept: HashSet<Capability> = keep.iter().copied().filter(|c| have.contains(c)).collect();
    if have.contains(&Capability::CAP_SETPCAP) {
        for c in caps::read(None, CapSet::Bounding)?.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *c)?;
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::set(None, CapSet::Inheritable, &HashSet::new())?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    let mut kept: Vec<Capability> = kept.into_iter().collect();
    kept.sort_by_key(|c| c.index());
    Ok(kept)
}

/// The newest rules of landlock that are asked for; an older kernel keeps those it knows.
const RULES: ABI = ABI::V6;

fn files(keep: &Keep) -> Result<Files, ConfineError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?
        .add_rules(path_beneath_rules(
            keep.read.iter().map(|p| folder(p)),
            AccessFs::from_read(RULES) & !AccessFs::Execute,
        ))?
        .add_rules(path_beneath_rules(&keep.write, AccessFs::from_all(RULES) & !AccessFs::Execute))?;
    Ok(match ruleset.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Files::Confined,
        RulesetStatus::PartiallyEnforced => Files::Partly,
        RulesetStatus::NotEnforced => Files::Free,
    })
}

/// The folder of a file; a folder itself. A file in the root is meant alone.
pub fn folder(path: &Path) -> &Path {
    let parent = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    match parent {
        Some(parent) if parent != Path::new("/") && !path.is_dir() => parent,
        _ => path,
    }
}

/// A filter under which these calls work, with the arguments they may have, and others do not.
fn allowed(rows: &[Row], kill: bool) -> Result<BpfProgram, ConfineError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for row in rows {
        let conditions: &[syscalls::Condition] = match &row.when {
            When::Always => &[],
            When::AnyOf(all) => all,
        };
        let chain = rules.entry(row.number).or_default();
        for (argument, width, how, value) in conditions {
            let one = SeccompCondition::new(*argument, width.clone(), how.clone(), *value)?;
            chain.push(SeccompRule::new(vec![one])?);
        }
    }
    let otherwise = if kill { SeccompAction::KillProcess } else { SeccompAction::Errno(libc::EPERM as u32) };
    Ok(SeccompFilter::new(rules, otherwise, SeccompAction::Allow, arch()?)?.try_into()?)
}

/// A filter under which a call is answered as by a kernel that lacks it.
fn unknown(number: libc::c_long) -> Result<BpfProgram, ConfineError> {
    let rules = BTreeMap::from([(number, Vec::new())]);
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, unknown, arch()?)?.try_into()?)
}

fn arch() -> Result<TargetArch, ConfineError> {
    Ok(TargetArch::try_from(std::env::consts::ARCH)?)
}
