//! What a data plane keeps when it gives up the rest: its logs, the rules it may be told to read again, no capability
//! but what its capture asks for.

use super::plan::{self, Lane, Plan};
use crate::console::Failure;
use crate::ruleset::{self, Loaded};
use control::confine::{self, Capability, Keep};
use std::path::{Path, PathBuf};

/// Confines this process for good. Threads that there are already keep what they have, so this comes before them. In words,
/// what came of it.
pub fn confine(plan: &Plan<'_>, lane: &Lane, loaded: &Loaded) -> Result<String, Failure> {
    let done = confine::confine(&keep(plan, lane, loaded))
        .map_err(|e| Failure(format!("{e}; run.confine=false goes without")))?;
    Ok(done.to_string())
}

fn keep(plan: &Plan<'_>, lane: &Lane, loaded: &Loaded) -> Keep {
    let (settings, config) = (&plan.args.rules.settings, &plan.config);
    let logs = plan.log_dir.unwrap_or(Path::new(""));
    let lists = &config.lists;
    let mut write: Vec<PathBuf> = Vec::new();
    write.extend(plan.log_dir.map(Path::to_path_buf));
    write.extend(config.file_store.as_ref().map(|s| logs.join(&s.dir)));
    write.extend(plan.args.record.clone());
    write.extend(settings.cache.clone());
    write.extend(lists.data_dir.clone());
    let sets = loaded.datasets.iter().map(|s| (Path::new(&s.save), PathBuf::from(&s.load)));
    let (saved, mut read): (Vec<&Path>, Vec<PathBuf>) = sets.unzip();
    write.extend(saved.into_iter().filter(|p| !p.as_os_str().is_empty()).map(|p| confine::folder(p).to_path_buf()));
    let patterns = plan::rule_files(plan.args, config);
    let (rules, _) = ruleset::expand(&patterns);
    read.extend(patterns.iter().map(|p| fixed(p)).chain(rules));
    let named = [&settings.config, &settings.classification, &settings.reference, &config.classification_file];
    read.extend(named.into_iter().chain([&config.reference_file, &lists.threshold_file]).flatten().cloned());
    read.extend(lists.reputation_categories.iter().chain(&lists.reputation_files).cloned());
    read.extend(lists.sets.values().filter_map(|s| s.load.as_ref()).map(PathBuf::from));
    // How many processors there may be: the program counts on each by itself.
    read.push("/sys/devices/system/cpu".into());
    // A name may stand for a file elsewhere.
    let elsewhere: Vec<PathBuf> = read.iter().filter_map(|p| p.canonicalize().ok()).collect();
    read.extend(elsewhere);
    // Where a call was forgotten here, tests want to know; on a wire it is better that it fails than that the process does.
    // The kernel asks for it with each verdict.
    let capabilities = if let Lane::Queues(_) = lane { vec![Capability::CAP_NET_ADMIN] } else { Vec::new() };
    Keep { write, read, capabilities, kill: cfg!(feature = "faults") }
}

/// The part of a file pattern that stands for itself.
fn fixed(pattern: &str) -> PathBuf {
    let wild = |c: &std::path::Component<'_>| c.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let fixed: PathBuf = Path::new(pattern).components().take_while(|c| !wild(c)).collect();
    if fixed.as_os_str().is_empty() { ".".into() } else { fixed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_the_folder_it_searches() {
        for (pattern, folder) in
            [("a/b/*.rules", "a/b"), ("/etc/x?/y/*.rules", "/etc"), ("*.rules", "."), ("/a/b.rules", "/a/b.rules")]
        {
            assert_eq!(fixed(pattern), Path::new(folder), "{pattern}");
        }
    }
}
