//! Files beside the rules: thresholds laid over them, datasets they ask, reputation lists.

use super::schema::{Document, Overlay};
use super::values::Size;
use engine::detect::lang::DatasetSettings;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Named sets.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(transparent)]
pub struct Sets(pub BTreeMap<String, Set>);

/// A set that is there for every rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Set {
    /// `string`, `md5`, `sha256`, `ipv4`, `ip`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Read at the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<String>,
    /// Read at the beginning and written at the end, below `data-dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memcap: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashsize: Option<Size>,
}

impl Overlay for Sets {
    fn overlay(&mut self, over: Self) {
        self.0.extend(over.0);
    }
}

/// What a run reads beside its rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lists {
    pub threshold_file: Option<PathBuf>,
    /// Where sets are kept; `None`: the current directory.
    pub data_dir: Option<PathBuf>,
    pub dataset_settings: DatasetSettings,
    pub sets: BTreeMap<String, Set>,
    pub reputation_categories: Option<PathBuf>,
    pub reputation_files: Vec<PathBuf>,
}

impl Lists {
    pub(super) fn of(d: &Document) -> Self {
        let s = &d.datasets;
        let mut settings = DatasetSettings::default();
        let put = |slot: &mut u64, v: Option<Size>| {
            if let Some(Size(v)) = v {
                *slot = v;
            }
        };
        put(&mut settings.hash_size_max, s.hash_size_max);
        put(&mut settings.hash_sizes_max, s.hash_sizes_max);
        if let Some(Size(v)) = s.memcap.filter(|s| s.0 > 0) {
            settings.memcap = usize::try_from(v).unwrap_or(usize::MAX);
        }
        settings.allow_write = s.rules_may_write.unwrap_or(settings.allow_write);
        settings.allow_absolute = s.rules_write_anywhere.unwrap_or(settings.allow_absolute);
        let path = |p: &Option<String>| p.as_ref().map(PathBuf::from);
        Lists {
            threshold_file: path(&d.threshold_file),
            data_dir: path(&d.data_dir),
            dataset_settings: settings,
            sets: s.sets.0.clone(),
            reputation_categories: path(&d.reputation.categories_file),
            reputation_files: d.reputation.files.iter().flatten().map(PathBuf::from).collect(),
        }
    }
}
