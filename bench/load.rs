//! Loading rules as `replay` does, timed by phase; and `stopgap-bench load`.

use crate::clock::{memory, timed};
use crate::report::{Row, Table};
use control::cache::RulesetCache;
use engine::detect::compile::{DatabaseCache, Ruleset, Settings};
use engine::detect::lang::{ActionOrder, Classifications, Context, Events, Loader, order};
use engine::detect::matching::MatcherFactory;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    /// Rule files.
    #[arg(short = 'S', required = true, num_args = 1.., value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// Without Hyperscan.
    #[arg(long)]
    pub pure_rust: bool,
    /// Where the cache is made; removed first. Default: a folder under the temporary one.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Also print every group of rules with its size.
    #[arg(long)]
    pub groups: bool,
}

/// A ruleset and what each phase of its loading took in CPU time.
pub struct Loaded {
    pub ruleset: Arc<Ruleset>,
    pub read: Duration,
    pub compile: Duration,
    pub refused: usize,
    /// Databases built, and those the cache had.
    pub databases: (usize, usize),
}

pub fn factory(pure_rust: bool) -> Arc<dyn MatcherFactory> {
    if pure_rust { matcher::pure_rust() } else { matcher::factory() }
}

/// No rules where `files` is empty. `HOME_NET` is the RFC 1918 ranges, `EXTERNAL_NET` any.
pub fn load(
    files: &[PathBuf],
    factory: Arc<dyn MatcherFactory>,
    cache: Option<&mut dyn DatabaseCache>,
) -> Result<Loaded, String> {
    let vocabulary = engine::proto::registry::vocabulary();
    let events =
        Events { decode: engine::decode::events::event_by_name, stream: engine::stream::events::event_by_name };
    let (source, read) = timed(|| read(files, vocabulary, events));
    let (signatures, names, refused) = source?;
    let settings = Settings { var_names: names, ..Settings::default() };
    let (compiled, compile) = timed(|| Ruleset::compile(signatures, vocabulary, factory, cache, settings));
    let compiled = compiled.map_err(|e| e.0)?;
    let refused = refused + compiled.refused.len();
    Ok(Loaded { ruleset: Arc::new(compiled.ruleset), read, compile, refused, databases: compiled.databases })
}

type Read = (Vec<engine::detect::signature::Signature>, Vec<String>, usize);

fn read(files: &[PathBuf], vocabulary: engine::applayer::Vocabulary, events: Events) -> Result<Read, String> {
    let text = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let mut cx = Context::new(vocabulary, events);
    let config =
        control::config::load(None, &["vars.address-groups.EXTERNAL_NET=any".into()]).map_err(|e| e.to_string())?;
    config.vars.addresses.iter().for_each(|(name, value)| cx.vars.set_address(name, value));
    config.vars.ports.iter().for_each(|(name, value)| cx.vars.set_port(name, value));
    cx.options.quiet = true;
    if let Some(beside) = files.first().and_then(|f| f.parent()).map(|d| d.join("classification.config"))
        && beside.is_file()
    {
        cx.classes = Classifications::parse(&String::from_utf8_lossy(&text(&beside)?), "classification.config").0;
    }
    let mut loader = Loader::new(&cx);
    for path in files {
        loader.add(&text(path)?, &path.display().to_string());
    }
    let source = loader.finish();
    let mut signatures = source.signatures;
    order(&mut signatures, &ActionOrder::default());
    let names = (0..source.vars.len() as u32)
        .map(|i| source.vars.name(engine::detect::signature::VarId(i)).unwrap_or_default().to_string());
    Ok((signatures, names.collect(), source.stats.refused))
}

pub fn run(args: &Args) -> Result<Table, String> {
    let directory = args
        .cache
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("stopgap-bench-cache-{}", std::process::id())));
    let _ = std::fs::remove_dir_all(&directory);
    let mut table = Table::new("load", "CPU seconds; memory in MiB");
    for name in ["no cache", "cache cold", "cache warm"] {
        let factory = factory(args.pure_rust);
        let mut cache = match name {
            "no cache" => None,
            _ => Some(
                RulesetCache::open(&directory, &factory.identity(), control::cache::BYTES_MAX_DEFAULT)
                    .map_err(|e| e.to_string())?,
            ),
        };
        let loaded = load(&args.rules, factory, cache.as_mut().map(|c| c as _))?;
        let mut row = Row::new(name);
        row.put("read", loaded.read.as_secs_f64());
        row.put("compile", loaded.compile.as_secs_f64());
        row.put("total", (loaded.read + loaded.compile).as_secs_f64());
        row.put("rules", loaded.ruleset.len() as f64);
        row.put("refused", loaded.refused as f64);
        row.put("built", loaded.databases.0 as f64);
        row.put("from cache", loaded.databases.1 as f64);
        row.put("databases MiB", loaded.ruleset.memory() as f64 / f64::from(1 << 20));
        row.put("resident MiB", memory("VmRSS"));
        table.rows.push(row);
        if args.groups && name == "no cache" {
            print!("{}", loaded.ruleset.summary());
        }
        for w in cache.iter().flat_map(|c| c.warnings()) {
            eprintln!("warning: {w}");
        }
    }
    if args.cache.is_none() {
        let _ = std::fs::remove_dir_all(&directory);
    }
    Ok(table)
}
