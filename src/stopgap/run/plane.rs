//! A data plane: the process that sees packets. One carries one lane; the supervisor starts it and talks to it over its
//! standard input, and outlives it.
//!
//! Threads: this one, which answers the supervisor; the workers, which never wait; one that writes the log; for the time
//! of a reload one that compiles, at a low priority. Everything that needs a privilege happens before the first
//! packet is taken.

use super::confined;
use super::crew::{Crew, Untaken};
use super::devices::{self, Opened};
use super::heart::Heart;
use super::lane;
use super::load::Load;
use super::memory::Ahead;
use super::messages::{self, Answer, Ask, Request, Say};
use super::offload::Carriage;
use super::plan::{self, Lane, Plan};
use super::record::{Recorder, Recording, Rolling};
use super::sight::{Clock, Losses, Sight};
use super::worker::{Hand, Mailbox, Outbox, Rules, Shown};
use super::writer::{Inbox, Writer, Writing};
use crate::cli::RunArgs;
use crate::console::{DONE, Failure, Outcome};
use crate::lists;
use crate::outputs::Outputs;
use crate::ruleset::{self, Loaded, Reading};
use crate::workers::{self, Tally};
use capture::xdp::{Bump, Policy, monotonic_ns};
use control::config::Config;
use control::config::run::{Overload, Run};
use engine::detect::compile::Ruleset;
use engine::detect::state::datasets::Dataset;
use engine::types::{Counter, Shed, Timestamp};
use engine::worker::{self, HostTable, Output, Shared, Worker};
use rtrb::RingBuffer;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Buffers of records between a worker and the writer.
const OUTBOX: usize = 64;
/// How often the workers' beats are looked at, and word is given to the supervisor.
const WATCH: Duration = Duration::from_millis(250);
/// A worker adopts a ruleset between two batches; one that has not by then is stuck.
const ADOPT: Duration = Duration::from_secs(10);

pub fn run(plan: &Plan<'_>, lane: usize, supervisor: UnixStream) -> Outcome {
    let lane = plan.lanes.get(lane).ok_or_else(|| Failure("no such lane".into()))?;
    let started = Instant::now();
    let ahead = Ahead::begin(plan.config.run.memory, plan.lanes.len())?;
    let loaded = load(plan.args, &plan.config)?;
    // Not before, or rules would lie in it.
    ahead.give()?;
    let plane = Plane::start(plan, lane, &loaded, supervisor.try_clone()?)?;
    let seconds = started.elapsed().as_secs_f64();
    plane.say(&Say::Ready(json!({
        "lane": lane.name(), "rules": loaded.stats.loaded, "refused": loaded.stats.refused,
        "seconds": seconds, "workers": plane.mail.len(), "capture": plane.capture, "confined": plane.confined,
    })));
    let wrong = complaints(&loaded);
    if !wrong.is_empty() {
        plane.say(&Say::Alarm(format!("{} rules were refused, the others run\n{wrong}", loaded.stats.refused)));
    }
    drop(loaded);
    plane.serve(plan.args, supervisor)
}

fn load(args: &RunArgs, config: &Config) -> Result<Loaded, Failure> {
    let reading = Reading { quiet: true, ..Reading::default() };
    ruleset::load(&plan::rule_files(args, config), config, &args.rules.settings, reading)
}

/// What is wrong with a ruleset, as text; empty where nothing is.
pub fn complaints(l: &Loaded) -> String {
    let (shown, more) = l.refusals();
    let unread = l.unread.iter().map(|u| format!("error: {u}"));
    let text: Vec<String> = unread.chain(shown).chain(more).collect();
    text.join("\n")
}

struct Plane {
    to: UnixStream,
    mail: Vec<Arc<Mailbox>>,
    beats: Vec<Arc<AtomicU64>>,
    workers: Vec<JoinHandle<()>>,
    writer: Option<JoinHandle<Result<(), Failure>>>,
    recording: Option<Recording>,
    writing: Arc<Writing>,
    bump: Option<Arc<Bump>>,
    /// The word for how frames come in.
    capture: String,
    /// What it gave up, in words.
    confined: String,
    /// That the workers run; held here too, so that it is not on a worker's time that it is freed.
    ruleset: Arc<Ruleset>,
    /// Sets that its rules look up and change.
    datasets: Vec<Arc<Dataset>>,
    /// Its number.
    number: u64,
    /// Reloads asked for, in order, and whether there is one under way.
    reloads: VecDeque<(u64, bool)>,
    compiling: bool,
    /// How much inspection is left out, as last told.
    shed: Shed,
    /// Frames that workers did not take of each other, as last told.
    untaken: u64,
    stall: Duration,
    inline: bool,
    /// The kernel's program carries flows.
    offload: bool,
}

impl Plane {
    fn start(plan: &Plan<'_>, lane: &Lane, loaded: &Loaded, to: UnixStream) -> Result<Plane, Failure> {
        let mut recorder = recorder(plan, lane)?;
        let outputs = Outputs::live(plan.log_dir, &plan.config, lane.ports())?;
        let opened = devices::open(plan, lane)?;
        let carriages = carriages(plan, &opened)?;
        let confined = match plan.config.run.confine {
            true => confined::confine(plan, lane, loaded)?,
            false => "not confined".into(),
        };
        let seed = seed();
        let offload = carriages.iter().all(Option::is_some);
        let mut told = worker::Config { seed, ..told(&plan.config, lane.inline(), offload) };
        // The two directions of a flow may come on any two mirror ports, or queues.
        told.flow.key.port_pair &= matches!(lane, Lane::Pair(..));
        let told = Arc::new(told);
        let hosts = Arc::new(HostTable::new(&told.limits, seed[0]));
        let writing = Arc::new(Writing {
            stop: AtomicBool::new(false),
            rules: Mutex::new(loaded.rules_read()),
            words: Mutex::default(),
        });
        let lost = Losses::default();
        let (mut hands, mut inboxes, mut mail, mut beats) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in &opened.devices {
            beats.push(Arc::new(AtomicU64::new(monotonic_ns())));
        }
        let policy = untaken(&plan.config.run);
        // What only we have is never too late.
        let stale = if lane.has_a_way_around() { plan.config.run.stale } else { Duration::MAX };
        let devices = opened.devices.into_iter().zip(carriages).zip(&beats);
        for (n, ((device, carriage), beat)) in devices.enumerate() {
            let shared = Shared { hosts: hosts.clone(), turn: None, clock: Some(clock) };
            let mut worker = Worker::sharing(told.clone(), loaded.ruleset.clone(), shared)?;
            worker.make_room();
            if let Some(carriage) = &carriage {
                worker.set_porter(carriage.porter());
            }
            let (records, records_out) = RingBuffer::new(OUTBOX);
            let (spare_in, spare) = RingBuffer::new(OUTBOX);
            let unwritten = Arc::new(AtomicUsize::new(0));
            inboxes.push(Inbox { records: records_out, spare: spare_in, unwritten: unwritten.clone() });
            let letters = Arc::new(Mailbox::default());
            mail.push(letters.clone());
            hands.push(Hand {
                worker,
                device,
                out: Output::new(told.records_max),
                crew: Some(beats.clone())
                    .filter(|_| lane.divides())
                    .and_then(|beats| Crew::of(&told, n, beats, stale, policy)),
                heart: Heart::new(beat.clone(), opened.bump.clone().map(|b| (b, n))),
                sight: Sight::new(lost.clone(), plan.config.run.resync),
                clock: Clock::default(),
                carriage,
                mail: letters,
                load: (plan.config.run.overload == Overload::Shed).then(Load::new),
                sheds: 0,
                outbox: Outbox { records, spare, unwritten, most: told.records_max },
                tape: recorder.as_mut().map(Recorder::tape),
                stale,
                first: Timestamp::ZERO,
                stalls: 0,
            });
        }
        let every = plan.config.run.stats;
        let writer =
            Writer { outputs, inboxes, mail: mail.clone(), bump: opened.bump.clone(), writing: writing.clone(), every }
                .spawn()?;
        let recording = recorder.map(Recorder::spawn).transpose()?;
        let hands = hands.into_iter().enumerate();
        let workers = hands.map(|(n, h)| thread(&format!("worker {n}"), move || h.work())).collect::<Result<_, _>>()?;
        if let Some(bump) = &opened.bump {
            bump.ready(true);
        }
        Ok(Plane {
            to,
            mail,
            beats,
            workers,
            writer: Some(writer),
            recording,
            writing,
            bump: opened.bump,
            capture: opened.capture,
            confined,
            ruleset: loaded.ruleset.clone(),
            datasets: loaded.datasets.clone(),
            number: 0,
            reloads: VecDeque::new(),
            compiling: false,
            shed: Shed::Nothing,
            untaken: 0,
            stall: plan.config.run.stall,
            inline: lane.inline(),
            offload,
        })
    }

    fn say(&self, message: &Say) {
        // One that is gone is noticed where it is listened to.
        let _ = messages::send(&mut &self.to, message);
    }

    /// Answers the supervisor until it says stop or is gone.
    fn serve(mut self, args: &RunArgs, supervisor: UnixStream) -> Outcome {
        let (events, inbox) = mpsc::sync_channel(16);
        let requests = events.clone();
        thread("ears", move || {
            let mut from = BufReader::new(supervisor);
            while let Ok(Some(request)) = messages::receive::<Request>(&mut from) {
                if requests.send(Event::Request(request)).is_err() {
                    return;
                }
            }
            let _ = requests.send(Event::Gone);
        })?;
        loop {
            match inbox.recv_timeout(WATCH) {
                Ok(Event::Request(Request { id, ask })) => match ask {
                    Ask::Stop => {
                        self.finish();
                        self.say(&Say::Answer { id, answer: Answer::Done(Value::Null) });
                        return Ok(DONE);
                    }
                    Ask::Reload { partial } => {
                        self.reloads.push_back((id, partial));
                        self.compile(args, &events);
                    }
                    Ask::Stats | Ask::Status => {
                        let answer = Answer::Done(self.stats());
                        self.say(&Say::Answer { id, answer });
                    }
                    #[cfg(feature = "faults")]
                    Ask::Fault { what } => {
                        // One is enough: the others show what it does to them.
                        self.mail.first().into_iter().for_each(|m| m.fault.give(what));
                        self.say(&Say::Answer { id, answer: Answer::Done(Value::Null) });
                    }
                    Ask::Bypass { .. } => {
                        let answer = Answer::Failed("the supervisor does that".into());
                        self.say(&Say::Answer { id, answer });
                    }
                },
                Ok(Event::Compiled { id, result }) => {
                    let answer = result.and_then(|c| self.adopt(*c));
                    let answer = answer.map_or_else(Answer::Failed, Answer::Done);
                    self.say(&Say::Answer { id, answer });
                    self.compiling = false;
                    self.compile(args, &events);
                }
                Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => {
                    // Nobody is there to end us if a worker does not, and the next run wants its queues.
                    thread("end", || {
                        std::thread::sleep(ADOPT);
                        std::process::exit(1);
                    })?;
                    self.finish();
                    return Ok(DONE);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.watch()?;
        }
    }

    /// Says that we live, if every worker does.
    fn watch(&mut self) -> Result<(), Failure> {
        let now = monotonic_ns();
        let since = |b: &Arc<AtomicU64>| Duration::from_nanos(now.saturating_sub(b.load(Ordering::Acquire)));
        if self.beats.iter().all(|b| since(b) < self.stall) {
            self.say(&Say::Alive);
        }
        for m in &self.mail {
            if let Some(why) = m.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(Failure(why));
            }
        }
        let untaken = self.mail.iter().map(|m| m.untaken()).sum::<u64>();
        if untaken > self.untaken {
            let n = untaken - self.untaken;
            self.say(&Say::Alarm(format!("{n} frames were not taken by the worker whose they are, and not inspected")));
            self.untaken = untaken;
        }
        let shed = self.mail.iter().map(|m| m.shed()).max().unwrap_or_default();
        if shed != self.shed {
            self.say(&Say::Alarm(match shed {
                Shed::Nothing => "there is time to inspect everything again".into(),
                level => format!("more comes than there is time for: inspection is left out ({})", level.name()),
            }));
            self.shed = shed;
        }
        if self.workers.iter().any(JoinHandle::is_finished) {
            return Err(Failure("a worker has ended".into()));
        }
        if let Some(why) = self.recording.as_ref().and_then(Recording::news) {
            self.unrecorded(&why);
        }
        let words = std::mem::take(&mut *self.writing.words.lock().unwrap_or_else(PoisonError::into_inner));
        words.into_iter().for_each(|word| self.say(&Say::Alarm(word)));
        Ok(())
    }

    /// Compiles for the next reload that was asked for, one after the other, in a thread of its own, whose end comes back as
    /// an event.
    fn compile(&mut self, args: &RunArgs, events: &mpsc::SyncSender<Event>) {
        let Some((id, partial)) = (!self.compiling).then(|| self.reloads.pop_front()).flatten() else { return };
        let (args, events) = (args.clone(), events.clone());
        let workers: Vec<usize> = self.mail.iter().map(|m| m.processor()).collect();
        let spawned = thread("compile", move || {
            capture::low_priority();
            capture::keep_off(&workers);
            let result = (|| {
                let config = plan::read(&args).map_err(|Failure(why)| why)?;
                let loaded = load(&args, &config).map_err(|Failure(why)| why)?;
                let wrong = complaints(&loaded);
                if !wrong.is_empty() && !partial {
                    return Err(format!("{wrong}\nnothing was changed"));
                }
                Ok(Box::new((loaded, config)))
            })();
            let _ = events.send(Event::Compiled { id, result });
        });
        self.compiling = spawned.is_ok();
        if let Err(e) = spawned {
            let answer = Answer::Failed(format!("no thread to compile in: {e}"));
            self.say(&Say::Answer { id, answer });
        }
    }

    /// Has every worker run the new ruleset.
    fn adopt(&mut self, (loaded, config): (Loaded, Config)) -> Result<Value, String> {
        for set in loaded.datasets.iter().filter(|s| s.is_changed_by_rules()) {
            let before = self.datasets.iter().find(|b| b.name == set.name);
            before.into_iter().for_each(|b| set.take_over(b));
        }
        self.number += 1;
        // What the old rules had the kernel do is void, and what they yet decide is void when it comes.
        let epoch = self.bump.as_ref().map_or(0, |b| b.new_epoch());
        let settings = Arc::new(told(&config, self.inline, self.offload));
        let run = &config.run;
        let untaken = untaken(run);
        let distrusts = self.bump.as_ref().is_some_and(|b| b.distrusts(&run.trusted));
        for m in &self.mail {
            let (number, sheds) = (self.number, run.overload == Overload::Shed);
            let (ruleset, settings) = (loaded.ruleset.clone(), settings.clone());
            m.send_rules(Rules { number, ruleset, settings, untaken, sheds, distrusts, epoch });
        }
        let until = Instant::now() + ADOPT;
        while self.mail.iter().any(|m| m.running() != self.number) {
            if Instant::now() > until {
                return Err("a worker did not take the new ruleset in time".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.ruleset = loaded.ruleset.clone();
        self.datasets = loaded.datasets.clone();
        *self.writing.rules.lock().unwrap_or_else(PoisonError::into_inner) = loaded.rules_read();
        Ok(json!({
            "rules": loaded.stats.loaded,
            "refused": loaded.stats.refused,
            "complaints": complaints(&loaded),
        }))
    }

    fn stats(&self) -> Value {
        let shown: Vec<Shown> = self.mail.iter().filter_map(|m| m.shown(WATCH)).collect();
        let of = |f: fn(&Shown) -> u64| shown.iter().map(f).sum::<u64>();
        let engine = sum(&shown)
            .map(|t| Counter::ALL.iter().map(|c| (c.name().to_string(), t.counters.of(*c).into())).collect());
        let engine: serde_json::Map<String, Value> = engine.unwrap_or_default();
        json!({
            "capture": self.capture,
            "inline": self.inline,
            "workers": self.mail.len(),
            "ruleset": self.number,
            "received": of(|s| s.traffic.received),
            "cut": of(|s| s.traffic.cut),
            "forwarded": of(|s| s.traffic.forwarded),
            "dropped": of(|s| s.traffic.discarded),
            "injected": of(|s| s.traffic.injected),
            "lost": of(|s| s.traffic.lost),
            "unsent": of(|s| s.traffic.unsent),
            "uninjected": of(|s| s.traffic.uninjected),
            "handed": of(|s| s.traffic.handed),
            "taken": of(|s| s.traffic.taken),
            "stale": of(|s| s.traffic.stale),
            "stalls": of(|s| s.stalls),
            "untaken": of(|s| s.untaken),
            "unrecorded": of(|s| s.unrecorded),
            "shedding": self.shed.name(),
            "sheds": of(|s| s.sheds),
            "kept_flows": of(|s| s.kept),
            "engine": engine,
        })
    }

    /// Ends the recording.
    fn end_recording(&mut self) {
        if let Some(Err(Failure(why))) = self.recording.take().map(Recording::end) {
            self.unrecorded(&why);
        }
    }

    fn unrecorded(&self, why: &str) {
        self.say(&Say::Alarm(format!("not everything is recorded: {why}")));
    }

    /// Every flow ends, and everything is in the log.
    fn finish(&mut self) {
        for m in &self.mail {
            m.stop.store(true, Ordering::Relaxed);
        }
        for w in self.workers.drain(..) {
            let _ = w.join();
        }
        lists::save(&self.datasets);
        self.end_recording();
        self.writing.stop.store(true, Ordering::Release);
        if let Some(Ok(Err(Failure(why)))) = self.writer.take().map(JoinHandle::join) {
            self.say(&Say::Alarm(format!("the log is incomplete: {why}")));
        }
    }
}

/// What is to record the lane, if that is asked for.
fn recorder(plan: &Plan<'_>, lane: &Lane) -> Result<Option<Recorder>, Failure> {
    let Some(dir) = &plan.args.record else { return Ok(None) };
    let name = lane.name().replace([':', ' ', ',', '/'], "-");
    let (file, total) = (plan.config.run.record_file, plan.config.run.record_total);
    Recorder::new(Rolling { dir: dir.clone(), name, file, total }).map(Some)
}

/// What workers are told.
fn told(config: &Config, inline: bool, offload: bool) -> worker::Config {
    let mut told = workers::told(config, inline);
    workers::offloading(&mut told, config, offload);
    told
}

/// What becomes of frames that their worker does not take, as the kernel's program does with such.
fn untaken(run: &Run) -> Untaken {
    let policies = lane::policies(run);
    Untaken { silent: policies.fail == Policy::Open, full: policies.full == Policy::Open }
}

/// What workers measure by how long others' packets wait.
fn clock() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

/// For each worker its hold on the kernel's table of flows, where there is one and it is wished. What an instance before
/// us had entered there is void: nobody knows those flows any more.
fn carriages(plan: &Plan<'_>, opened: &Opened) -> Result<Vec<Option<Carriage>>, Failure> {
    let bump = opened.bump.as_ref().filter(|_| plan.config.run.offload);
    if let Some(bump) = &opened.bump {
        bump.new_epoch();
    }
    opened.devices.iter().map(|_| Ok(bump.map(|b| Carriage::new(b)).transpose()?)).collect()
}

enum Event {
    Request(Request),
    Compiled {
        id: u64,
        result: Result<Box<(Loaded, Config)>, String>,
    },
    /// The supervisor is no more.
    Gone,
}

pub fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.into()).spawn(work)
}

pub fn sum(shown: &[Shown]) -> Option<Tally> {
    let (first, rest) = shown.split_first()?;
    let mut all = first.tally.clone();
    rest.iter().for_each(|s| all.add(&s.tally));
    Some(all)
}

/// Keys of the hashes, which nobody outside knows.
fn seed() -> [u64; 2] {
    use std::hash::{BuildHasher, RandomState};
    [RandomState::new().hash_one(0u8), RandomState::new().hash_one(1u8)]
}
