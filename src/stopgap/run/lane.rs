//! One lane as the supervisor keeps it: the program in the kernel, and the life of its data plane.

use super::devices;
use super::messages::{self, Say};
use super::plan::Lane;
use super::supervisor::Event;
use crate::console::{Failure, note, warning};
use ::control::config::run::{CaptureKind, Fail, LinkAction, Overload, Run, XdpWish};
use capture::l2::{Action, Class};
use capture::ports;
use capture::xdp::layout::Count;
use capture::xdp::{Bump, BumpError, Kept, Policies, Policy, Port, Terms, XdpMode};
use serde_json::{Value, json};
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// The first wait before a data plane is started anew, and the longest.
pub const BACKOFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];
/// Openings are told at most so often.
const ALARM: Duration = Duration::from_secs(1);

/// A data plane while it lives.
pub struct Life {
    pub child: Child,
    pub to: UnixStream,
    pub since: Instant,
    /// It has last said so.
    pub alive: Instant,
    pub ready: Option<Value>,
}

/// A lane: the kernel's program on its ports, and its data plane.
pub struct LaneState {
    pub lane: Lane,
    pub bump: Option<Bump>,
    pub life: Option<Life>,
    /// How many there have been.
    pub lives: u64,
    /// When the next begins.
    pub next: Instant,
    pub wait: Duration,
    /// Frames that the kernel forwarded uninspected, as last told.
    opened: u64,
    alarmed: Instant,
}

impl LaneState {
    /// Puts the kernel's program on the lane's ports, if it has such; its data plane is still to be started.
    pub fn new(lane: &Lane, run: &Run) -> Result<LaneState, Failure> {
        let bump = match lane {
            Lane::Pair(a, b) if run.xdp == XdpWish::Off => {
                unkept(a, b, run)?;
                None
            }
            Lane::Pair(a, b) => Some(bump(a, b, run)?),
            Lane::Queues(_) => None,
            Lane::Taps(all) => {
                all.iter().try_for_each(|name| watched(name))?;
                None
            }
        };
        let now = Instant::now();
        let mut state = LaneState {
            lane: lane.clone(),
            bump,
            life: None,
            lives: 0,
            next: now,
            wait: BACKOFF[0],
            opened: 0,
            alarmed: now,
        };
        state.opened = state.opened_now();
        Ok(state)
    }

    /// Has the program do as another configuration says.
    pub fn settle(&mut self, run: &Run) -> Result<(), BumpError> {
        self.bump.as_mut().map_or(Ok(()), |b| settle(b, run))
    }

    /// Frames that the kernel forwarded uninspected, so far.
    pub fn opened_now(&self) -> u64 {
        let Some(bump) = &self.bump else { return 0 };
        let both = [bump.counts(0), bump.counts(1)];
        both.iter().flat_map(|port| Count::ALL.iter().zip(port)).filter(|(c, _)| c.opened()).map(|(_, n)| n).sum()
    }

    /// Whether the data plane inspects.
    pub fn ready(&self) -> bool {
        self.life.as_ref().is_some_and(|l| l.ready.is_some())
    }

    pub fn state(&self) -> &'static str {
        match &self.life {
            None => "not running, to be started again",
            Some(Life { ready: None, .. }) => "loading",
            Some(life) if life.alive.elapsed() > Duration::from_secs(1) => "not answering",
            Some(_) if self.bump.as_ref().is_some_and(Bump::bypassed) => "bypassed by the operator",
            Some(_) => "inspecting",
        }
    }

    /// The program's counters, by port.
    pub fn kernel(&self) -> Value {
        let Some(bump) = &self.bump else { return Value::Null };
        let port = |i: usize| -> serde_json::Map<String, Value> {
            Count::ALL.iter().zip(bump.counts(i)).map(|(c, n)| (c.name().to_string(), n.into())).collect()
        };
        json!({ bump.ports()[0].name.clone(): port(0), bump.ports()[1].name.clone(): port(1) })
    }

    /// Starts the data plane, as `lane` of the run.
    pub fn start(&mut self, lane: usize, events: SyncSender<Event>) {
        self.lives += 1;
        self.next = Instant::now() + self.wait;
        self.wait = (self.wait * 2).min(BACKOFF[1]);
        match spawn(lane, self.lives, events) {
            Ok((child, to)) => {
                let now = Instant::now();
                self.life = Some(Life { child, to, since: now, alive: now, ready: None });
            }
            Err(e) => warning(&format!("{}: the data plane cannot be started: {e}", self.lane.name())),
        }
    }

    /// Tells of frames that went by uninspected.
    pub fn alarm(&mut self) {
        if self.alarmed.elapsed() < ALARM {
            return;
        }
        self.alarmed = Instant::now();
        let now = self.opened_now();
        if now > self.opened {
            if !self.ready() {
                // Told when it inspects again, with those of until then.
                return;
            }
            warning(&format!("{}: {} frames were forwarded uninspected", self.lane.name(), now - self.opened));
        }
        self.opened = now;
    }
}

/// What was found out about ports: it is told, and may end the run.
pub fn heed(found: &ports::Findings) -> Result<(), Failure> {
    if !found.refusals.is_empty() {
        return Err(Failure(found.refusals.join("\nerror: ")));
    }
    found.warnings.iter().for_each(|w| warning(w));
    Ok(())
}

/// Makes a port ready, and tells what was done to it.
fn ready(name: &str, wishes: ports::Wishes) -> Result<Port, Failure> {
    let prepared = ports::prepare(name, &wishes);
    let prepared = prepared.map_err(|e| Failure(format!("{name}: cannot be prepared: {e}")))?;
    if !prepared.changed.is_empty() {
        note(&format!("{name}: set {}", prepared.changed.join(", ")));
    }
    prepared.stayed.iter().for_each(|s| warning(&format!("{name}: {s}")));
    Ok(prepared.facts.port())
}

/// A pair without a program, behind packet sockets.
fn unkept(a: &str, b: &str, run: &Run) -> Result<(), Failure> {
    if run.capture == CaptureKind::AfXdp {
        return Err(Failure("AF_XDP without a program in the kernel: run.xdp=off is for --capture af-packet".into()));
    }
    heed(&ports::check_pair(a, b, ports::Capture::AfPacket))?;
    for name in [a, b] {
        let port = ready(name, ports::Wishes { gro_off: true, silent: true })?;
        // One of a run before would hand us nothing. Another's is none of ours.
        if let Ok(true) = Bump::take_off(&port) {
            note(&format!("{name}: the program of an earlier run is taken off"));
        }
    }
    warning(&format!("{a}:{b}: no program in the kernel: while the engine is away, nothing is forwarded"));
    Ok(())
}

/// A mirror port.
fn watched(name: &str) -> Result<(), Failure> {
    heed(&ports::check_tap(name, ports::Capture::AfPacket))?;
    ready(name, ports::Wishes { gro_off: false, silent: false }).map(drop)
}

/// Puts the program on a pair's ports, or takes over the one that is there.
fn bump(a: &str, b: &str, run: &Run) -> Result<Bump, Failure> {
    heed(&ports::check_pair(a, b, ports::Capture::AfXdp))?;
    let wishes = ports::Wishes { gro_off: false, silent: true };
    let ports = [ready(a, wishes)?, ready(b, wishes)?];
    let terms = Terms {
        stale: run.stale,
        ring_limit: devices::ring_limit(run),
        policies: policies(run),
        to_stack: run.capture == CaptureKind::AfPacket,
    };
    let native = match run.xdp {
        XdpWish::Auto => devices::port(a)?.redirects() && devices::port(b)?.redirects(),
        wish => wish == XdpWish::Native,
    };
    let (mut bump, kept) = Bump::put_on(ports, native, &terms)?;
    if run.xdp != XdpWish::Auto && native != (bump.mode() == XdpMode::Native) {
        warning(&format!(
            "{a}:{b}: run.xdp is not what the program runs as: the driver cannot, or one of an earlier run is there, which \
             `stopgap detach {a}:{b}` takes off"
        ));
    }
    settle(&mut bump, run)?;
    let how = match kept {
        Kept::Fresh => "program attached",
        Kept::TakenOver => "program taken over",
    };
    note(&format!("{a}:{b}: {how}, {} until the rules have loaded", word(run.until_ready)));
    Ok(bump)
}

/// What the program does with frames that the engine does not get.
pub const fn policies(run: &Run) -> Policies {
    let full = match run.overload {
        Overload::Shed => policy(run.fail),
        Overload::Bypass => Policy::Open,
        Overload::Drop => Policy::Closed,
    };
    Policies { fail: policy(run.fail), unready: policy(run.until_ready), full }
}

const fn policy(f: Fail) -> Policy {
    match f {
        Fail::Open => Policy::Open,
        Fail::Closed => Policy::Closed,
    }
}

/// Tells the program what the configuration says of frames that do not reach the engine.
fn settle(bump: &mut Bump, run: &Run) -> Result<(), BumpError> {
    bump.policies(&policies(run));
    bump.trust(&run.trusted)?;
    for (class, action) in Class::ALL.iter().skip(1).zip(links(run)) {
        bump.link_policy(*class, action)?;
    }
    Ok(())
}

/// What becomes of each class of frames but IP.
pub fn links(run: &Run) -> [Action; Class::ALL.len() - 1] {
    run.link.map(|action| match action {
        LinkAction::Through => Action::Through,
        LinkAction::Drop => Action::Drop,
        LinkAction::Inspect => Action::Inspect,
    })
}

pub fn word(f: Fail) -> &'static str {
    match f {
        Fail::Open => "open",
        Fail::Closed => "closed",
    }
}

/// Starts the data plane of a lane and a thread that listens to it.
fn spawn(lane: usize, life: u64, events: SyncSender<Event>) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.args(std::env::args_os().skip(1)).arg("--data-plane").arg(lane.to_string());
    command.env(capture::NOTHING_AHEAD.0, capture::NOTHING_AHEAD.1);
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).process_group(0);
    let child = command.spawn()?;
    let mut from = BufReader::new(ours.try_clone()?);
    std::thread::Builder::new().name(format!("lane {lane}")).spawn(move || {
        while let Ok(Some(say)) = messages::receive::<Say>(&mut from) {
            if events.send(Event::Said(lane, life, say)).is_err() {
                return;
            }
        }
        let _ = events.send(Event::Ended(lane, life));
    })?;
    Ok((child, ours))
}
