//! The supervisor: the kernel's program, the control socket, and the data planes' lives.
//!
//! One loop over events: what data planes say, what operators ask, signals, and a tick. A data plane that ends, or says
//! nothing for as long as `run.stall-seconds`, is started anew, later and later while it keeps failing; meanwhile the
//! kernel forwards or drops as `--fail` says, and other lanes go on.

use super::lane::{BACKOFF, LaneState, word};
use super::messages::{self, Answer, Ask, Request, Say};
use super::plan::Plan;
use super::{control, ctl};
use crate::console::{DONE, Failure, Outcome, note, warning};
use ::control::config::run::Run;
use ::control::service::{Service, State};
use capture::links::LinkFollower;
use capture::xdp::{Bump, monotonic_ns};
use serde_json::{Value, json};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(100);
/// A data plane may load rules for so long before it is taken for stuck.
const LOADING: Duration = Duration::from_secs(600);
/// It may take so long to end when told to.
const ENDING: Duration = Duration::from_secs(10);
/// One that has closed its end may take so long to be gone.
const CLOSED: Duration = Duration::from_secs(1);
/// Its exit code when it cannot do what it was told.
const REFUSED: i32 = 2;
/// So many are started before the first that inspects, for what an instance just killed still holds.
const TRIES: u64 = 6;
pub enum Event {
    Signal(i32),
    Asked(Ask, SyncSender<Answer>),
    /// From the data plane of a lane, in its nth life.
    Said(usize, u64, Say),
    Ended(usize, u64),
}

/// A question that data planes are working on.
struct Job {
    ask: Ask,
    waiting: Vec<(usize, u64)>,
    answers: Vec<(String, Answer)>,
    reply: SyncSender<Answer>,
}

struct Supervisor<'a> {
    plan: &'a Plan<'a>,
    /// As the latest reload has it.
    run: Run,
    lanes: Vec<LaneState>,
    jobs: Vec<Job>,
    next_id: u64,
    events: SyncSender<Event>,
    started: Instant,
    ending: bool,
    service: Service,
    told_ready: bool,
    links: Option<LinkFollower>,
}

pub fn run(plan: &Plan<'_>) -> Outcome {
    let (events, inbox) = mpsc::sync_channel(256);
    let socket = control::Socket::bind(&plan.control)?;
    signals(events.clone())?;
    let mut s = Supervisor {
        plan,
        run: plan.config.run.clone(),
        lanes: Vec::new(),
        jobs: Vec::new(),
        next_id: 0,
        events,
        started: Instant::now(),
        ending: false,
        service: Service::of_environment()?,
        told_ready: false,
        links: None,
    };
    let done = s.begin(&socket).and_then(|()| s.go(&inbox));
    if done.is_err() {
        s.lanes.iter().for_each(LaneState::leave);
        s.told_left();
    }
    drop(socket);
    done.map(|()| DONE)
}

fn signals(events: SyncSender<Event>) -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

impl Supervisor<'_> {
    /// Puts the program on every pair, and listens to operators and links.
    fn begin(&mut self, socket: &control::Socket) -> Result<(), Failure> {
        for lane in &self.plan.lanes {
            self.lanes.push(LaneState::new(lane, &self.run)?);
        }
        socket.listen(self.events.clone())?;
        if self.run.follow_links {
            let pairs = self.lanes.iter().filter_map(|l| l.ports.clone());
            self.links = Some(LinkFollower::new(pairs, Instant::now())?);
        }
        Ok(())
    }

    fn go(&mut self, inbox: &Receiver<Event>) -> Result<(), Failure> {
        let mut ticked = Instant::now();
        loop {
            match inbox.recv_timeout(TICK) {
                Ok(Event::Signal(signal_hook::consts::SIGHUP)) => self.hang_up(),
                Ok(Event::Signal(_)) => return self.end(inbox),
                Ok(Event::Asked(ask, reply)) => self.asked(ask, reply),
                Ok(Event::Said(lane, life, say)) => self.said(lane, life, say),
                Ok(Event::Ended(lane, life)) => self.ended(lane, life)?,
                Err(_) => {}
            }
            let since = ticked.elapsed();
            if since >= TICK {
                // Asleep ourselves, we have heard nobody: they get their time anew.
                let slept = since > TICK * 10;
                self.tick(slept);
                ticked = Instant::now();
            }
        }
    }

    fn tick(&mut self, slept: bool) {
        let stall = self.run.stall;
        for i in 0..self.lanes.len() {
            let lane = &mut self.lanes[i];
            let name = lane.lane.name();
            if lane.look(&self.run)
                && let (Some(links), Some(ports)) = (&mut self.links, &lane.ports)
                && let Err(e) = links.renew(ports.clone(), Instant::now())
            {
                warning(&format!("{name}: its links are not followed any more: {e}"));
            }
            match &mut lane.life {
                None if lane.gone.is_none() && Instant::now() >= lane.next => lane.start(i, self.events.clone()),
                None => {}
                Some(life) => {
                    if slept {
                        life.alive = Instant::now();
                    }
                    let patience = if life.ready.is_some() { stall } else { LOADING };
                    if life.alive.elapsed() > patience {
                        warning(&format!("{name}: the data plane does not answer; it is killed and started anew"));
                        let _ = life.child.kill();
                        life.alive = Instant::now();
                    } else if life.since.elapsed() > BACKOFF[1] * 4 {
                        lane.wait = BACKOFF[0];
                    }
                }
            }
            self.lanes[i].alarm();
        }
        if !self.told_ready && self.lanes.iter().all(LaneState::ready) {
            self.told_ready = true;
            self.tell(State::Ready);
        }
        self.tell(State::Watchdog);
        self.follow();
    }

    /// The links of each pair are one link.
    fn follow(&mut self) {
        match self.links.as_mut().map(|l| l.turn(Instant::now())) {
            Some(Ok(news)) => news.iter().for_each(|n| warning(&n.to_string())),
            Some(Err(e)) => {
                warning(&format!("links are not followed any more: {e}"));
                self.links = None;
            }
            None => {}
        }
    }

    /// A service manager that cannot be told now is told with the next tick.
    fn tell(&self, state: State<'_>) {
        let _ = self.service.say(state, monotonic_ns());
    }

    fn said(&mut self, i: usize, life: u64, say: Say) {
        let Some(lane) = self.lanes.get_mut(i).filter(|l| l.lives == life) else { return };
        let name = lane.lane.name();
        let Some(life) = &mut lane.life else { return };
        life.alive = Instant::now();
        match say {
            Say::Alive => {}
            Say::Ready(value) => {
                let of = |key: &str| value.get(key).map_or(String::new(), ToString::to_string);
                note(&format!(
                    "{name}: inspecting after {:.2} s, {} rules, {} workers, {}",
                    value.get("seconds").and_then(Value::as_f64).unwrap_or_default(),
                    of("rules"),
                    of("workers"),
                    value.get("capture").and_then(Value::as_str).unwrap_or_default(),
                ));
                life.ready = Some(value);
            }
            Say::Alarm(text) => warning(&format!("{name}: {text}")),
            Say::Answer { id, answer } => self.answered(i, id, answer),
        }
    }

    /// A data plane's process has ended. An error where it says that none will ever inspect.
    fn ended(&mut self, i: usize, life: u64) -> Result<(), Failure> {
        let Some(lane) = self.lanes.get_mut(i).filter(|l| l.lives == life) else { return Ok(()) };
        if let Some(mut life) = lane.life.take() {
            let status = last_word(&mut life.child);
            let refused = status.as_ref().is_ok_and(|s| s.code() == Some(REFUSED));
            let how = status.map_or_else(|e| e.to_string(), |s| s.to_string());
            if refused && lane.lives >= TRIES && !self.told_ready && !self.ending {
                return Err(Failure(format!("{}: the data plane cannot be had, as it says above", lane.lane.name())));
            }
            if !self.ending {
                let then = if lane.gone.is_some() { "with its port" } else { "it is started anew" };
                warning(&format!("{}: the data plane ended ({how}); {then}", lane.lane.name()));
                lane.next = lane.next.max(Instant::now());
            }
        }
        let open: Vec<u64> =
            self.jobs.iter().flat_map(|j| &j.waiting).filter(|(l, _)| *l == i).map(|(_, id)| *id).collect();
        for id in open {
            self.answered(i, id, Answer::Failed("the data plane ended".into()));
        }
        Ok(())
    }

    fn asked(&mut self, ask: Ask, reply: SyncSender<Answer>) {
        match ask {
            Ask::Status => {
                let _ = reply.send(Answer::Done(self.status()));
            }
            Ask::Bypass { on, pair } => {
                let _ = reply.send(self.bypass(on, pair.as_deref()));
            }
            Ask::Stop => {
                let _ = reply.send(Answer::Failed("end the run by a signal".into()));
            }
            Ask::Stats | Ask::Reload { .. } => self.put(ask, reply),
            #[cfg(feature = "faults")]
            Ask::Fault { .. } => self.put(ask, reply),
        }
    }

    /// Hands a question to every data plane.
    fn put(&mut self, ask: Ask, reply: SyncSender<Answer>) {
        let mut job = Job { ask: ask.clone(), waiting: Vec::new(), answers: Vec::new(), reply };
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            let name = lane.lane.name();
            match lane.life.as_mut().filter(|l| l.ready.is_some()) {
                Some(life) => {
                    self.next_id += 1;
                    let request = Request { id: self.next_id, ask: ask.clone() };
                    match messages::send(&mut life.to, &request) {
                        Ok(()) => job.waiting.push((i, self.next_id)),
                        Err(e) => job.answers.push((name, Answer::Failed(e.to_string()))),
                    }
                }
                None => job.answers.push((name, Answer::Failed(format!("the data plane is {}", lane.state())))),
            }
        }
        self.jobs.push(job);
        self.settle();
    }

    fn answered(&mut self, lane: usize, id: u64, answer: Answer) {
        let name = self.lanes.get(lane).map(|l| l.lane.name()).unwrap_or_default();
        if let Some(job) = self.jobs.iter_mut().find(|j| j.waiting.contains(&(lane, id))) {
            job.waiting.retain(|w| *w != (lane, id));
            job.answers.push((name, answer));
        }
        self.settle();
    }

    /// Answers the questions that all data planes have answered.
    fn settle(&mut self) {
        let (done, open): (Vec<Job>, Vec<Job>) =
            std::mem::take(&mut self.jobs).into_iter().partition(|j| j.waiting.is_empty());
        self.jobs = open;
        for job in done {
            let answer = match job.ask {
                Ask::Reload { .. } => self.reloaded(&job.answers),
                _ => self.stats(&job.answers),
            };
            let _ = job.reply.send(answer);
        }
    }

    fn reloaded(&mut self, answers: &[(String, Answer)]) -> Answer {
        let failed: Vec<String> = answers
            .iter()
            .filter_map(|(name, a)| match a {
                Answer::Failed(why) => Some(format!("{name}: the rules were not taken\n{why}")),
                Answer::Done(_) => None,
            })
            .collect();
        if !failed.is_empty() {
            return Answer::Failed(failed.join("\n"));
        }
        // The data planes have read it too: it holds.
        if let Err(Failure(why)) = self.settle_lanes() {
            return Answer::Failed(format!("the rules run, but not the rest of the configuration: {why}"));
        }
        let lanes: serde_json::Map<String, Value> = answers
            .iter()
            .filter_map(|(name, a)| match a {
                Answer::Done(v) => Some((name.clone(), v.clone())),
                Answer::Failed(_) => None,
            })
            .collect();
        for lane in &mut self.lanes {
            let told = lanes.get(&lane.lane.name()).and_then(|v| v.get("rules"));
            if let (Some(ready), Some(rules)) = (lane.life.as_mut().and_then(|l| l.ready.as_mut()), told) {
                ready["rules"] = rules.clone();
            }
        }
        let rules = lanes.values().filter_map(|v| v.get("rules")).filter_map(Value::as_u64).max().unwrap_or_default();
        Answer::Done(json!({ "said": format!("{rules} rules run on every worker"), "lanes": lanes }))
    }

    fn settle_lanes(&mut self) -> Result<(), Failure> {
        self.run = super::plan::read(self.plan.args)?.run;
        for lane in &mut self.lanes {
            lane.settle(&self.run)?;
        }
        Ok(())
    }

    fn stats(&self, answers: &[(String, Answer)]) -> Answer {
        let lane = |l: &LaneState| {
            let name = l.lane.name();
            let plane = answers.iter().find(|(n, _)| *n == name).map(|(_, a)| match a {
                Answer::Done(v) => v.clone(),
                Answer::Failed(why) => json!({ "unavailable": why }),
            });
            json!({
                "name": name,
                "state": l.state(),
                "restarts": l.lives.saturating_sub(1),
                "kernel": l.kernel(),
                "plane": plane,
            })
        };
        Answer::Done(json!({
            "uptime": self.started.elapsed().as_secs(),
            "lanes": self.lanes.iter().map(lane).collect::<Vec<_>>(),
        }))
    }

    fn status(&self) -> Value {
        let lane = |l: &LaneState| {
            let of = |key: &str| l.life.as_ref().and_then(|x| x.ready.as_ref()).and_then(|v| v.get(key)).cloned();
            json!({
                "name": l.lane.name(),
                "state": l.state(),
                "pid": l.life.as_ref().map(|x| x.child.id()),
                "capture": of("capture"),
                "workers": of("workers"),
                "confined": of("confined"),
                "rules": of("rules"),
                "restarts": l.lives.saturating_sub(1),
                "fail": word(self.run.fail),
                "bypass": l.bump.as_ref().is_some_and(Bump::bypassed),
                "uninspected": l.opened_now(),
            })
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime": self.started.elapsed().as_secs(),
            "lanes": self.lanes.iter().map(lane).collect::<Vec<_>>(),
        })
    }

    fn bypass(&mut self, on: bool, pair: Option<&str>) -> Answer {
        let meant = self.lanes.iter().filter(|l| pair.is_none_or(|p| p == l.lane.name()));
        let pairs: Vec<(String, &Bump)> = meant.filter_map(|l| Some((l.lane.name(), l.bump.as_ref()?))).collect();
        if pairs.is_empty() {
            let why = "there is no such pair, or none with the kernel's program on its ports (`stopgap ctl status`)";
            return Answer::Failed(why.into());
        }
        pairs.iter().for_each(|(_, b)| b.bypass(on));
        let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        let what = if on { "everything passes uninspected" } else { "inspected again" };
        let said = format!("{}: {what}", names.join(", "));
        note(&said);
        Answer::Done(json!({ "said": said }))
    }

    /// SIGHUP: what came of it is told where the run's own words go.
    fn hang_up(&mut self) {
        let (reply, answer) = mpsc::sync_channel(1);
        self.put(Ask::Reload { partial: false }, reply);
        let told = std::thread::Builder::new().name("reload".into()).spawn(move || match answer.recv() {
            Ok(Answer::Done(v)) => note(&format!("reload: {}", ctl::said(&v))),
            Ok(Answer::Failed(why)) => warning(&format!("reload: {why}")),
            Err(_) => {}
        });
        if let Err(e) = told {
            warning(&format!("reload: {e}"));
        }
    }

    /// Ends every data plane. The program stays, unless it is to go.
    fn end(&mut self, inbox: &Receiver<Event>) -> Result<(), Failure> {
        self.ending = true;
        self.tell(State::Stopping);
        for lane in &mut self.lanes {
            lane.leave();
            if let Some(life) = &mut lane.life {
                let _ = messages::send(&mut life.to, &Request { id: 0, ask: Ask::Stop });
            }
        }
        let until = Instant::now() + ENDING;
        while self.lanes.iter().any(|l| l.life.is_some()) && Instant::now() < until {
            match inbox.recv_timeout(TICK) {
                Ok(Event::Ended(lane, life)) => self.ended(lane, life)?,
                Ok(Event::Said(lane, life, say)) => self.said(lane, life, say),
                _ => {}
            }
        }
        for lane in &mut self.lanes {
            if let Some(life) = &mut lane.life {
                let _ = life.child.kill();
                let _ = life.child.wait();
            }
            if let Some(bump) = lane.bump.as_ref().filter(|_| self.plan.args.detach) {
                for port in bump.ports() {
                    Bump::take_off(port)?;
                }
                note(&format!("{}: detached", lane.lane.name()));
            }
        }
        if !self.plan.args.detach {
            self.told_left();
        }
        Ok(())
    }

    /// Tells what the kernel does without us.
    fn told_left(&self) {
        for lane in self.lanes.iter().filter(|l| l.bump.is_some()) {
            let (name, fail) = (lane.lane.name(), word(self.run.fail));
            note(&format!("{name}: the kernel's program stays, {fail}; `stopgap detach {name}` takes it off"));
        }
    }
}

/// How a child that has closed its end ended; one that lives on all the same is killed.
fn last_word(child: &mut Child) -> std::io::Result<ExitStatus> {
    let since = Instant::now();
    while since.elapsed() < CLOSED {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    child.wait()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn a_child_that_has_closed_its_end_is_gone_soon() {
        let word = |program: &str, arg: &str| last_word(&mut Command::new(program).arg(arg).spawn().unwrap()).unwrap();
        assert!(word("sleep", "0.1").success());
        let since = Instant::now();
        assert_eq!(word("sleep", "60").signal(), Some(9));
        assert!(since.elapsed() < 10 * CLOSED);
    }
}
