//! Captures in; the log, the forwarded frames and a summary out: `stopgap replay`, and the way `stopgap suricata` runs too.
//!
//! Each capture gets workers of its own, unless they are to be one. Whatever the number of workers, what is written comes
//! in the order of packets: frames go out in rounds, and a round is written when every worker has answered it.

mod crew;
mod divide;
mod progress;
mod summary;
mod turnstile;

use crate::cli::ReplayArgs;
use crate::console::{DONE, Failure, Outcome, PARTLY, error, note, print, warning};
use crate::outputs::Outputs;
use crate::ruleset::{self, Loaded, Reading};
use crate::workers::{self, emptied};
use capture::{Reader, Receive};
use control::config::Config;
use crew::Crew;
pub use crew::Shape;
use divide::Divider;
use engine::decode::Frame;
use engine::detect::compile::Ruleset;
use engine::record::RulesRead;
use engine::types::Cause;
use engine::worker;
use progress::Progress;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
pub use summary::Summary;

/// Frames of a round.
const ROUND: usize = 512;

pub fn run(args: &ReplayArgs) -> Outcome {
    let settings = &args.rules.settings;
    let config = workers::configuration(settings, args.checksums, args.events.as_deref())?;
    let loaded = ruleset::load(&args.rules.rules, &config, settings, Reading { quiet: true, ..Reading::default() })?;
    tell_about_rules(&loaded);
    if args.inline {
        tell_policies(&config);
    }
    let done = Plan {
        captures: &args.captures,
        config,
        loaded: &loaded,
        inline: args.inline,
        shape: Shape { jobs: args.jobs.into(), batch: args.batch.into() },
        continuous: args.continuous,
        log_dir: args.log_dir.as_deref(),
        write: args.write.as_deref(),
    }
    .run()?;
    crate::lists::save(&loaded.datasets);
    if done.summary.captures == 0 {
        return Err(Failure("no capture could be read".into()));
    }
    let text = if args.json {
        format!("{}\n", done.summary.json())
    } else {
        done.summary.text(args.log_dir.as_deref(), args.write.as_deref())
    };
    print(&text)?;
    let partly = loaded.incomplete() || done.summary.cut_short > 0 || done.lost > 0;
    Ok(if partly { PARTLY } else { DONE })
}

/// All that a run over captures needs, whichever command asks for it.
pub struct Plan<'a> {
    pub captures: &'a [PathBuf],
    pub config: Config,
    pub loaded: &'a Loaded,
    pub inline: bool,
    pub shape: Shape,
    /// The captures are one: state goes on from each to the next.
    pub continuous: bool,
    pub log_dir: Option<&'a Path>,
    pub write: Option<&'a Path>,
}

/// What a run came to.
pub struct Ran {
    pub summary: Summary,
    /// Records that could not be written as lines.
    pub lost: u64,
}

impl Plan<'_> {
    pub fn run(mut self) -> Result<Ran, Failure> {
        if self.log_dir.is_none() {
            self.config.outputs = Default::default();
        }
        let mut outputs = Outputs::open(self.log_dir, self.write, &self.config)?;
        let mut replay = Replay {
            told: worker::Config { paced: true, ..workers::told(&self.config, self.inline) },
            shape: self.shape,
            ruleset: self.loaded.ruleset.clone(),
            rules_read: self.loaded.rules_read(),
            summary: Summary::default(),
        };
        let started = Instant::now();
        let written = if self.continuous {
            replay.continuous(self.captures, &mut outputs)
        } else {
            self.captures.iter().try_for_each(|path| replay.one(path, &mut outputs))
        };
        let finished = outputs.finish();
        written.and(finished)?;
        replay.summary.elapsed = started.elapsed();
        replay.summary.take(&outputs);
        Ok(Ran { summary: replay.summary, lost: outputs.lost() })
    }
}

fn tell_about_rules(l: &Loaded) {
    for u in &l.unread {
        error(u);
    }
    let (shown, more) = l.refusals();
    shown.iter().for_each(|d| note(d));
    if let Some(more) = more {
        warning(&more);
    }
}

/// The effective policy of every cause: what happens to traffic that cannot be seen into is never a surprise.
fn tell_policies(config: &Config) {
    let policies = config.policies(true);
    note("exception policies:");
    for row in &Cause::TABLE {
        note(&format!("  {:<24} {:<7} {}", row.name, policies.of(row.cause).name(), row.doc));
    }
}

struct Replay {
    told: worker::Config,
    shape: Shape,
    ruleset: Arc<Ruleset>,
    rules_read: RulesRead,
    summary: Summary,
}

impl Replay {
    fn crew(&self, paths: &[PathBuf]) -> Result<Crew, Failure> {
        let config = Arc::new(self.told.clone());
        let divider = self.divider(&config, paths);
        Crew::new(self.shape, &config, &self.ruleset, divider)
    }

    /// Several workers are told beforehand what must meet, where the captures can be read twice.
    fn divider(&self, config: &worker::Config, paths: &[PathBuf]) -> Divider {
        let mut divider = Divider::new(config);
        if self.shape.jobs <= 1 {
            return divider;
        }
        for path in paths.iter().filter(|p| p.is_file()) {
            // What is wrong with it is told when it is replayed.
            let Ok(mut reader) = capture::open(path) else { continue };
            loop {
                let mut frames: Vec<Frame<'_>> = Vec::with_capacity(ROUND);
                if reader.recv(&mut frames, ROUND).is_ok_and(|n| n > 0) {
                    frames.iter().for_each(|f| divider.learn(f));
                } else {
                    break;
                }
            }
        }
        divider.rewind(config);
        divider
    }

    /// A capture that cannot be opened is told and passed over.
    fn open(&mut self, path: &Path) -> Option<Reader> {
        capture::open(path).map_err(|e| self.cut(&e)).ok()
    }

    fn cut(&mut self, e: &dyn std::error::Error) {
        error(&e.to_string());
        self.summary.cut_short += 1;
    }

    fn one(&mut self, path: &Path, outputs: &mut Outputs) -> Result<(), Failure> {
        let Some(reader) = self.open(path) else { return Ok(()) };
        let mut crew = self.crew(&[path.to_path_buf()])?;
        outputs.begin_input(path, 0);
        let fed = self.feed(path, reader, &mut crew, outputs, 0);
        let ended = self.end(crew, outputs);
        fed.and(ended)
    }

    fn continuous(&mut self, captures: &[PathBuf], outputs: &mut Outputs) -> Result<(), Failure> {
        let mut crew = self.crew(captures)?;
        let mut base = 0;
        for path in captures {
            let Some(reader) = self.open(path) else { continue };
            outputs.begin_input(path, base);
            self.feed(path, reader, &mut crew, outputs, base)?;
            base = self.summary.packets;
        }
        self.end(crew, outputs)
    }

    /// Takes every frame of a capture through the crew. Numbers go on from `base`.
    fn feed(
        &mut self,
        path: &Path,
        mut reader: Reader,
        crew: &mut Crew,
        outputs: &mut Outputs,
        base: u64,
    ) -> Result<(), Failure> {
        self.summary.captures += 1;
        let mut progress = Progress::new(path);
        let mut spare = Vec::with_capacity(ROUND);
        loop {
            let at = reader.position();
            let mut frames: Vec<Frame<'_>> = emptied(spare);
            match reader.recv(&mut frames, ROUND) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) => {
                    progress.end();
                    self.cut(&e);
                    break;
                }
            }
            self.summary.packets += frames.len() as u64;
            for f in &mut frames {
                f.number += base;
                self.summary.bytes += u64::from(f.wire_len);
            }
            crew.round(&frames, outputs)?;
            progress.tick(at, self.summary.packets);
            spare = emptied(frames);
        }
        progress.end();
        crew.settle(outputs)
    }

    fn end(&mut self, crew: Crew, outputs: &mut Outputs) -> Result<(), Failure> {
        let tally = crew.finish(outputs)?;
        outputs.stats(&tally, &self.rules_read, Vec::new())?;
        self.summary.add(&tally);
        Ok(())
    }
}
