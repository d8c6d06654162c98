//! Files beside the rules on disk: where they lie, reading them into a context, writing sets at the end.

use crate::console::{Failure, warning};
use control::config::lists::{Lists, Set};
use engine::detect::lang::{Context, Declaration, Diagnostic, ListFiles, Reputation};
use engine::detect::state::datasets::{DataKind, Dataset};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Lists of rules lie beside their rule file, those that are written below the data directory.
pub struct Disk {
    data: PathBuf,
}

impl Disk {
    pub fn new(lists: &Lists) -> Self {
        Disk { data: lists.data_dir.clone().unwrap_or_default() }
    }
}

impl ListFiles for Disk {
    fn beside(&self, rule_file: &str, name: &str) -> String {
        let beside = Path::new(rule_file).parent().unwrap_or(Path::new("")).join(name);
        let path = if beside.exists() { beside } else { PathBuf::from(name) };
        path.display().to_string()
    }

    fn data(&self, name: &str) -> String {
        self.data.join(name).display().to_string()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(format!("{path}: {e}")),
        }
    }
}

/// Readies a context for rules that look values up. Lists that cannot be read end the load.
pub fn prepare(cx: &mut Context, lists: &Lists) -> Result<Vec<Diagnostic>, Failure> {
    let disk = Disk::new(lists);
    {
        let mut datasets = cx.datasets.borrow_mut();
        datasets.settings = lists.dataset_settings.clone();
        for (name, set) in &lists.sets {
            let d = declaration(name, set, &disk)?;
            datasets.declare(&d, &disk).map_err(|f| Failure(format!("dataset {name}: {}", f.message)))?;
        }
    }
    cx.files = Some(Box::new(disk));
    let mut faults = Vec::new();
    let mut reputation = Reputation::default();
    if let Some(path) = &lists.reputation_categories {
        faults.extend(reputation.add_categories(&text(path)?, &path.display().to_string()));
    }
    for path in &lists.reputation_files {
        faults.extend(reputation.add_list(&text(path)?, &path.display().to_string()));
    }
    cx.reputation = Arc::new(reputation);
    Ok(faults)
}

fn declaration<'s>(name: &'s str, set: &Set, disk: &Disk) -> Result<Declaration<'s>, Failure> {
    let kind = DataKind::by_name(&set.kind)
        .ok_or_else(|| Failure(format!("dataset {name}: `{}` is no type of values", set.kind)))?;
    let save = set.state.as_ref().map(|s| disk.data(s)).unwrap_or_default();
    let load = match &set.load {
        _ if !save.is_empty() => save.clone(),
        None => String::new(),
        // In the data directory where it is there, else as it is written.
        Some(file) => Some(disk.data(file)).filter(|p| Path::new(p).exists()).unwrap_or_else(|| file.clone()),
    };
    Ok(Declaration {
        name,
        kind: Some(kind),
        load,
        save,
        memcap: set.memcap.and_then(|m| usize::try_from(m.0).ok()).filter(|m| *m > 0),
        hash_size: set.hashsize.map(|h| h.0).filter(|h| *h > 0),
        ..Declaration::default()
    })
}

/// A file's text, whatever bytes it holds.
pub fn text(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure(format!("{}: {e}", path.display())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes every set that is kept. What cannot be written is told, the others are written all the same; and so is a set
/// that was full, whose rules did not see what found no room.
pub fn save(sets: &[Arc<Dataset>]) {
    for set in sets.iter().filter(|s| s.refused() > 0) {
        warning(&format!("dataset {}: full: {} times a value found no room (see `memcap`)", set.name, set.refused()));
    }
    for set in sets.iter().filter(|s| !s.save.is_empty()) {
        let path = Path::new(&set.save);
        // Whole or not at all: a reader may come at any time.
        let part = path.with_extension("part");
        let written = std::fs::write(&part, set.text()).and_then(|()| std::fs::rename(&part, path));
        if let Err(e) = written {
            warning(&format!("dataset {}: {}: {e}", set.name, set.save));
        }
    }
}
