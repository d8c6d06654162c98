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
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// The first wait before a data plane is started anew, and the longest.
pub const BACKOFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];
/// Openings are told at most so often.
const ALARM: Duration = Duration::from_secs(1);
/// So often the ports are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// A data plane while it lives.
pub struct Life {
    pub child: Child,
    pub to: UnixStream,
    pub since: Instant,
    /// It has last said so.
    pub alive: Instant,
    pub ready: Option<Value>,
}

/// What is to be known until a port is back.
pub struct Gone {
    /// The operator had everything through.
    bypassed: bool,
    /// Why it is not yet, as last told.
    why: String,
}

/// A lane: the kernel's program on its ports, and its data plane.
pub struct LaneState {
    pub lane: Lane,
    /// Of a pair.
    pub ports: Option<[Port; 2]>,
    pub bump: Option<Bump>,
    /// That the ports are ours.
    held: Vec<UnixListener>,
    pub life: Option<Life>,
    /// Where a port is gone.
    pub gone: Option<Gone>,
    /// How many there have been.
    pub lives: u64,
    /// When the next begins.
    pub next: Instant,
    pub wait: Duration,
    /// Frames that the kernel forwarded uninspected, as last told.
    opened: u64,
    alarmed: Instant,
    looked: Instant,
}

impl LaneState {
    /// Puts the kernel's program on the lane's ports, if it has such; its data plane is still to be started.
    pub fn new(lane: &Lane, run: &Run) -> Result<LaneState, Failure> {
        let (mut ports, mut bump, mut held) = (None, None, Vec::new());
        match lane {
            Lane::Pair(a, b) => {
                let alone = run.xdp == XdpWish::Off;
                if alone && run.capture == CaptureKind::AfXdp {
                    let no = "AF_XDP without a program in the kernel: run.xdp=off is for --capture af-packet";
                    return Err(Failure(no.into()));
                }
                let capture = if alone { ports::Capture::AfPacket } else { ports::Capture::AfXdp };
                heed(&ports::check_pair(a, b, capture))?;
                let pair = [devices::port(a)?.port(), devices::port(b)?.port()];
                held = pair.iter().map(hold).collect::<Result<_, _>>()?;
                let wishes = ports::Wishes { gro_off: alone, silent: true };
                pair.iter().try_for_each(|p| ready(&p.name, wishes))?;
                match alone {
                    true => unkept(&pair)?,
                    false => bump = Some(put_on(&pair, run)?),
                }
                ports = Some(pair);
            }
            Lane::Queues(_) => {}
            Lane::Taps(all) => all.iter().try_for_each(|name| watched(name))?,
        }
        let now = Instant::now();
        let mut state = LaneState {
            lane: lane.clone(),
            ports,
            bump,
            held,
            life: None,
            gone: None,
            lives: 0,
            next: now,
            wait: BACKOFF[0],
            opened: 0,
            alarmed: now,
            looked: now,
        };
        state.opened = state.opened_now();
        Ok(state)
    }

    /// We go away: what holds while nobody inspects holds at once, not when the beats have become stale.
    pub fn leave(&self) {
        self.bump.iter().for_each(Bump::unready);
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
            _ if self.gone.is_some() => "without a port",
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

    /// Looks now and then whether the ports are still there, and whether those that were gone are back. Whether they are.
    pub fn look(&mut self, run: &Run) -> bool {
        let Some(ports) = self.ports.as_ref().filter(|_| self.looked.elapsed() > LOOK) else { return false };
        self.looked = Instant::now();
        let name = self.lane.name();
        if self.gone.is_none() && !ports.iter().all(ports::is_there) {
            warning(&format!("{name}: a port is gone; one of its name is taken as soon as it is there"));
            self.gone = Some(Gone { bypassed: self.bump.as_ref().is_some_and(Bump::bypassed), why: String::new() });
            if let Some(life) = &mut self.life {
                let _ = life.child.kill();
            }
            // With it what it carried: the program is a port's, and the sockets were of its queues.
            self.bump = None;
            self.held.clear();
        }
        let Some(gone) = self.gone.as_mut().filter(|_| self.life.is_none()) else { return false };
        match LaneState::new(&self.lane, run) {
            Ok(state) => {
                note(&format!("{name}: its ports are back"));
                state.bump.iter().for_each(|b| b.bypass(gone.bypassed));
                *self = LaneState { lives: self.lives, ..state };
                true
            }
            Err(Failure(why)) => {
                if why != gone.why {
                    warning(&format!("{name}: not taken up yet: {why}"));
                    gone.why = why;
                }
                false
            }
        }
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

/// Holds a port against other runs, until dropped. The kernel keeps such names, and forgets them with whoever had them.
fn hold(port: &Port) -> Result<UnixListener, Failure> {
    let name = format!("stopgap/port/{}", port.ifindex);
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?).map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            let n = &port.name;
            Failure(format!("{n}: another run has it; end that one first, or ask it: `stopgap ctl status`"))
        }
        _ => Failure(format!("{}: cannot be held: {e}", port.name)),
    })
}

/// Makes a port ready, and tells what was done to it.
fn ready(name: &str, wishes: ports::Wishes) -> Result<(), Failure> {
    let prepared = ports::prepare(name, &wishes);
    let prepared = prepared.map_err(|e| Failure(format!("{name}: cannot be prepared: {e}")))?;
    if !prepared.changed.is_empty() {
        note(&format!("{name}: set {}", prepared.changed.join(", ")));
    }
    // What the driver said it could and did not do.
    heed(&ports::check_stayed(&prepared))
}

/// A pair without a program, behind packet sockets.
fn unkept(pair: &[Port; 2]) -> Result<(), Failure> {
    for port in pair {
        // One of a run before would hand us nothing. Another's is none of ours.
        if let Ok(true) = Bump::take_off(port) {
            note(&format!("{}: the program of an earlier run is taken off", port.name));
        }
    }
    let [a, b] = pair.each_ref().map(|p| &p.name);
    warning(&format!("{a}:{b}: no program in the kernel: while the engine is away, nothing is forwarded"));
    Ok(())
}

/// A mirror port.
fn watched(name: &str) -> Result<(), Failure> {
    heed(&ports::check_tap(name, ports::Capture::AfPacket))?;
    ready(name, ports::Wishes { gro_off: false, silent: false })
}

/// Puts the program on a pair's ports, or takes over the one that is there.
fn put_on(pair: &[Port; 2], run: &Run) -> Result<Bump, Failure> {
    let [a, b] = pair.each_ref().map(|p| &p.name);
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
    let (mut bump, kept) = Bump::put_on(pair.clone(), native, &terms)?;
    if run.xdp != XdpWish::Auto && native != (bump.mode() == XdpMode::Native) {
        warning(&format!(
            "{a}:{b}: run.xdp is not what the program runs as: the driver cannot, or one of an earlier run is there, which \
             `stopgap detach {a}:{b}` takes off"
        ));
    }
    if let Err(e) = settle(&mut bump, run) {
        bump.unready();
        return Err(e.into());
    }
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
