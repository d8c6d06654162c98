//! The link state of a pair's ports: when one loses its carrier the other is set down, so that what stands at either end
//! sees what it would see of a cable.
//!
//! Only one port of a pair is ever held down, for want of the other's carrier, and that one's own want of carrier is then
//! no news: so the two cannot keep each other down. When the carrier is back the held port is let up, and has time to find
//! its own. Somebody else who lets it up has his way until the carrier is back. What is held is let up when we end; of one
//! that was killed, the next start brings its ports up as any.

use crate::netlink::{Link, Messages, about_link, set_up};
use crate::sys::netlink::{READ_BYTES, Socket};
use crate::xdp::Port;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// A carrier that is away for less is not lost: drivers take it away for a moment when they are set up anew.
pub const PATIENCE: Duration = Duration::from_millis(100);
/// The time a port has to find its carrier after it was brought up.
pub const SETTLE: Duration = Duration::from_secs(8);

/// What a port looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Administratively.
    pub up: bool,
    pub carrier: bool,
}

/// What is to be done with a port of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Down(usize),
    Up(usize),
}

/// Of one pair: what was seen, and what follows. Knows no port; time is given to it.
#[derive(Debug)]
struct Follower {
    seen: [State; 2],
    /// Since when there has been no carrier.
    lost: [Option<Instant>; 2],
    /// Until when that is no wonder.
    settling: [Option<Instant>; 2],
    held: Option<usize>,
    /// Not before then is what is held let up, the kernel having refused.
    again: Option<Instant>,
    /// The port that somebody let up against us.
    overruled: Option<usize>,
}

impl Follower {
    fn new(seen: [State; 2], now: Instant) -> Follower {
        let lost = seen.map(|s| (!s.carrier).then_some(now));
        Follower { seen, lost, settling: [Some(now + SETTLE); 2], held: None, again: None, overruled: None }
    }

    fn saw(&mut self, end: usize, state: State, now: Instant) {
        self.seen[end] = state;
        if state.carrier {
            (self.lost[end], self.settling[end]) = (None, None);
        } else {
            self.lost[end].get_or_insert(now);
        }
        if self.held == Some(end) && state.up {
            (self.held, self.overruled) = (None, Some(end));
            self.settling[end] = Some(now + SETTLE);
        }
        if self.overruled == Some(end ^ 1) && state.carrier {
            self.overruled = None;
        }
    }

    /// What is to be done now. It is taken for done.
    fn due(&mut self, now: Instant) -> Option<Act> {
        if let Some(held) = self.held {
            if !self.seen[held ^ 1].carrier || self.again.is_some_and(|again| now < again) {
                return None;
            }
            self.held = None;
            self.settling[held] = Some(now + SETTLE);
            return Some(Act::Up(held));
        }
        for end in 0..2 {
            let other = end ^ 1;
            let lost = self.lost[end].is_some_and(|since| now.duration_since(since) >= PATIENCE);
            let settling = self.settling[end].is_some_and(|until| now < until);
            if lost && !settling && self.seen[other].carrier && self.overruled != Some(other) {
                self.held = Some(other);
                self.seen[other] = State::default();
                return Some(Act::Down(other));
            }
        }
        None
    }

    /// What was to be done could not be.
    fn failed(&mut self, act: Act, now: Instant) {
        match act {
            Act::Down(end) => (self.held, self.overruled) = (None, Some(end)),
            Act::Up(end) => (self.held, self.again) = (Some(end), Some(now + SETTLE)),
        }
    }
}

/// What happened to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Lost {
        port: String,
    },
    Back {
        port: String,
    },
    /// Set down by us, because the pair's other port lost its carrier.
    Held {
        port: String,
        because: String,
    },
    /// No longer held.
    Released {
        port: String,
    },
    /// The kernel did not do as told.
    Refused {
        port: String,
        why: String,
    },
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            News::Lost { port } => write!(f, "{port}: no link"),
            News::Back { port } => write!(f, "{port}: link is up"),
            News::Held { port, because } => write!(f, "{port}: set down, as {because} has no link"),
            News::Released { port } => write!(f, "{port}: set up again"),
            News::Refused { port, why } => write!(f, "{port}: cannot be set up or down: {why}"),
        }
    }
}

struct Pair {
    ports: [Port; 2],
    follower: Follower,
}

impl Pair {
    fn seen(ask: &Socket, ports: [Port; 2], now: Instant) -> io::Result<Pair> {
        let seen = [state_of(ask, &ports[0])?, state_of(ask, &ports[1])?];
        Ok(Pair { ports, follower: Follower::new(seen, now) })
    }
}

/// Follows the links of pairs. It does nothing by itself: [`LinkFollower::turn`] has to be called every now and then.
pub struct LinkFollower {
    told: Socket,
    ask: Socket,
    pairs: Vec<Pair>,
}

impl LinkFollower {
    pub fn new(pairs: impl IntoIterator<Item = [Port; 2]>, now: Instant) -> io::Result<LinkFollower> {
        // Told first, then asked: no change in between is missed.
        let told = Socket::open(libc::RTMGRP_LINK as u32)?;
        let ask = Socket::open(0)?;
        let pairs = pairs.into_iter().map(|ports| Pair::seen(&ask, ports, now)).collect::<io::Result<_>>()?;
        Ok(LinkFollower { told, ask, pairs })
    }

    /// The pair of these names has new ports. Nothing of theirs is held down.
    pub fn renew(&mut self, ports: [Port; 2], now: Instant) -> io::Result<()> {
        let names = |ports: &[Port; 2]| ports.each_ref().map(|p| p.name.clone());
        let pair = Pair::seen(&self.ask, ports, now)?;
        match self.pairs.iter_mut().find(|p| names(&p.ports) == names(&pair.ports)) {
            Some(old) => *old = pair,
            None => self.pairs.push(pair),
        }
        Ok(())
    }

    /// Looks what has happened, without a wait, and does what follows. Calls apart by more than [`PATIENCE`] make it later.
    pub fn turn(&mut self, now: Instant) -> io::Result<Vec<News>> {
        let mut news = Vec::new();
        if self.any_told()? {
            // A message is a reason to ask, and no more: it may be older than what we did since.
            for p in &mut self.pairs {
                for end in 0..2 {
                    let state = state_of(&self.ask, &p.ports[end])?;
                    let port = p.ports[end].name.clone();
                    match (p.follower.seen[end].carrier, state.carrier) {
                        (true, false) => news.push(News::Lost { port }),
                        (false, true) => news.push(News::Back { port }),
                        _ => {}
                    }
                    p.follower.saw(end, state, now);
                }
            }
        }
        for p in &mut self.pairs {
            while let Some(act) = p.follower.due(now) {
                let (Act::Down(end) | Act::Up(end)) = act;
                let port = p.ports[end].name.clone();
                if let Err(e) = put(&self.ask, &p.ports[end], matches!(act, Act::Up(_))) {
                    p.follower.failed(act, now);
                    news.push(News::Refused { port, why: e.to_string() });
                    break;
                }
                news.push(match act {
                    Act::Down(_) => News::Held { port, because: p.ports[end ^ 1].name.clone() },
                    Act::Up(_) => News::Released { port },
                });
            }
        }
        Ok(news)
    }

    /// The ports held down.
    pub fn held(&self) -> impl Iterator<Item = &Port> {
        self.pairs.iter().filter_map(|p| p.follower.held.and_then(|end| p.ports.get(end)))
    }

    fn any_told(&self) -> io::Result<bool> {
        let mut room = [0u8; READ_BYTES];
        let mut any = false;
        loop {
            match self.told.told(&mut room) {
                Ok(None) => return Ok(any),
                Ok(Some(got)) => any |= about_any(&room[..got], |ifindex| self.watches(ifindex)),
                // More than the socket could keep.
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => any = true,
                Err(e) => return Err(e),
            }
        }
    }

    fn watches(&self, ifindex: u32) -> bool {
        self.pairs.iter().flat_map(|p| &p.ports).any(|port| port.ifindex == ifindex)
    }
}

impl Drop for LinkFollower {
    fn drop(&mut self) {
        for port in self.held() {
            // Nobody is left to be told.
            let _ = put(&self.ask, port, true);
        }
    }
}

/// Whether one of the messages is about a watched link.
pub(crate) fn about_any(data: &[u8], watched: impl Fn(u32) -> bool) -> bool {
    let links = Messages(data).filter(|m| m.kind == libc::RTM_NEWLINK || m.kind == libc::RTM_DELLINK);
    links.filter_map(|m| Link::of(m.body)).any(|l| watched(l.ifindex))
}

fn put(ask: &Socket, port: &Port, up: bool) -> io::Result<()> {
    ask.ask(libc::RTM_NEWLINK, 0, &set_up(port.ifindex, up), |_, _| {})
}

/// One that is gone has no carrier.
fn state_of(ask: &Socket, port: &Port) -> io::Result<State> {
    let mut state = State::default();
    let asked = ask.ask(libc::RTM_GETLINK, 0, &about_link(port.ifindex, 0, 0), |_, body| {
        if let Some(link) = Link::of(body) {
            state = State { up: link.up(), carrier: link.carrier() };
        }
    });
    match asked {
        Err(e) if e.raw_os_error() != Some(libc::ENODEV) => Err(e),
        _ => Ok(state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::tests::{inside, ip, is_inside};
    use crate::ports::{Facts, Wishes, prepare};

    const ON: State = State { up: true, carrier: true };
    const NO_CARRIER: State = State { up: true, carrier: false };
    const DOWN: State = State { up: false, carrier: false };

    fn at(from: Instant, ms: u64) -> Instant {
        from + Duration::from_millis(ms)
    }

    #[test]
    fn one_follows_the_other_and_comes_back() {
        let t = Instant::now();
        let mut f = Follower::new([ON, ON], t);
        f.saw(0, ON, t);
        f.saw(1, ON, t);
        f.saw(0, NO_CARRIER, at(t, 10));
        assert_eq!(f.due(at(t, 50)), None, "a moment is no loss");
        assert_eq!(f.due(at(t, 110)), Some(Act::Down(1)));
        // That we set it down takes its carrier away, which is no reason to set the first down as well.
        f.saw(1, DOWN, at(t, 111));
        for ms in [200, 1_000, 100_000] {
            assert_eq!(f.due(at(t, ms)), None);
        }
        f.saw(0, ON, at(t, 100_001));
        assert_eq!(f.due(at(t, 100_001)), Some(Act::Up(1)));
        // It takes its time to find its carrier.
        f.saw(1, NO_CARRIER, at(t, 100_002));
        assert_eq!(f.due(at(t, 107_000)), None);
        f.saw(1, ON, at(t, 107_500));
        assert_eq!(f.due(at(t, 200_000)), None);
    }

    #[test]
    fn one_whose_wire_went_away_while_it_was_held() {
        let t = Instant::now();
        let mut f = Follower::new([ON, ON], t);
        f.saw(0, NO_CARRIER, t);
        f.saw(1, ON, t);
        assert_eq!(f.due(at(t, 9_000)), Some(Act::Down(1)));
        f.saw(1, DOWN, at(t, 9_001));
        f.saw(0, ON, at(t, 9_100));
        assert_eq!(f.due(at(t, 9_100)), Some(Act::Up(1)));
        f.saw(1, NO_CARRIER, at(t, 9_101));
        assert_eq!(f.due(at(t, 17_099)), None);
        assert_eq!(f.due(at(t, 17_100)), Some(Act::Down(0)));
        f.saw(0, DOWN, at(t, 17_101));
        f.saw(1, ON, at(t, 20_000));
        assert_eq!(f.due(at(t, 20_000)), Some(Act::Up(0)));
    }

    #[test]
    fn both_lost_holds_none() {
        let t = Instant::now();
        let mut f = Follower::new([NO_CARRIER, NO_CARRIER], t);
        assert_eq!(f.due(at(t, 100_000)), None);
        f.saw(0, ON, at(t, 100_000));
        assert_eq!(f.due(at(t, 100_001)), Some(Act::Down(0)));
    }

    #[test]
    fn somebody_else_has_his_way() {
        let t = Instant::now();
        let mut f = Follower::new([ON, ON], t);
        f.saw(0, ON, t);
        f.saw(1, ON, t);
        f.saw(0, NO_CARRIER, t);
        assert_eq!(f.due(at(t, 200)), Some(Act::Down(1)));
        f.saw(1, ON, at(t, 300));
        assert_eq!(f.due(at(t, 90_000)), None);
        f.saw(0, ON, at(t, 90_001));
        f.saw(0, NO_CARRIER, at(t, 90_002));
        assert_eq!(f.due(at(t, 90_200)), Some(Act::Down(1)), "the next loss is followed again");
        f.failed(Act::Down(1), at(t, 90_200));
        f.saw(1, ON, at(t, 90_201));
        assert_eq!(f.due(at(t, 99_000)), None, "what the kernel refused is not tried on and on");
    }

    /// Whatever is seen in whatever order: never are both held, and none stays held when the other has its carrier.
    #[test]
    fn no_order_of_events_locks_both_out() {
        let t = Instant::now();
        for seed in 0..2_000u64 {
            let mut f = Follower::new([ON, ON], t);
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let (mut wire, mut up) = ([true, true], [true, true]);
            let mut ms = 0;
            for step in 0..60 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                // In the end both wires are there, and time passes.
                let calm = step >= 40;
                if calm {
                    wire = [true, true];
                } else {
                    wire[(random & 1) as usize] = random & 2 != 0;
                }
                ms += if calm { 5_000 } else { random >> 8 & 0x1fff };
                for end in 0..2 {
                    f.saw(end, State { up: up[end], carrier: up[end] && wire[end] }, at(t, ms));
                }
                while let Some(act) = f.due(at(t, ms)) {
                    let (Act::Down(end) | Act::Up(end)) = act;
                    up[end] = matches!(act, Act::Up(_));
                }
                assert!(up[0] || up[1], "{seed}");
            }
            assert_eq!((up, f.held), ([true, true], None), "{seed}");
        }
    }

    fn until(l: &mut LinkFollower, all: &mut Vec<News>, what: impl Fn(&[News]) -> bool) {
        let since = Instant::now();
        while !what(all) {
            assert!(since.elapsed() < Duration::from_secs(20), "{all:?}");
            all.extend(l.turn(Instant::now()).unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_pair_of_virtual_ports() {
        if !is_inside() {
            inside("links::tests::a_pair_of_virtual_ports");
            return;
        }
        ip("link add name c type veth peer name a");
        ip("link add name s type veth peer name b");
        ip("link set dev c up");
        ip("link set dev s up");
        let ports = ["a", "b"].map(|name| {
            let done = prepare(name, &Wishes { gro_off: false, silent: true }).unwrap();
            Port { name: name.into(), ifindex: done.facts.ifindex }
        });
        let mut l = LinkFollower::new([ports], Instant::now()).unwrap();
        let mut news = Vec::new();
        ip("link set dev c down");
        until(&mut l, &mut news, |n| n.contains(&News::Held { port: "b".into(), because: "a".into() }));
        assert!(news.contains(&News::Lost { port: "a".into() }));
        assert!(!Facts::of("s").unwrap().carrier, "the server's end sees it");
        assert_eq!(l.held().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["b"]);
        ip("link set dev c up");
        until(&mut l, &mut news, |n| n.contains(&News::Back { port: "b".into() }));
        assert!(Facts::of("s").unwrap().carrier);
        ip("link set dev s down");
        until(&mut l, &mut news, |n| n.contains(&News::Held { port: "a".into(), because: "b".into() }));
        drop(l);
        assert!(Facts::of("a").unwrap().up, "let up when we end");
    }
}
