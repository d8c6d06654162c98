//! Thresholds: how often a rule's match becomes an alert, and when another action takes its place.
//!
//! A count belongs to a rule and to what it tracks (source, destination, both, the rule itself, the flow). Counts by
//! address live in a bounded table, counts by flow in the flow. Windows begin with the first match and last their seconds
//! inclusively. See the guide's "Thresholding Keywords" and "Global-Thresholds" for what each kind means.

use super::signature::{PortEnd, RateAction, Threshold, ThresholdKind, Track};
use super::state::hosts::Bounded;
use crate::types::{Action, FiveTuple, Timestamp};
use std::net::IpAddr;
use std::time::Duration;

/// Different ports one count remembers; past it every further match counts as another.
const PORTS_MAX: usize = 4_096;

/// What a threshold says of one match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Alert,
    /// No alert, but the rule's action still holds.
    Silent,
    /// As if the rule had not matched.
    Nothing,
    /// An alert, and this action instead of the rule's own.
    Become(Action),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    begun: Timestamp,
    count: u32,
    started: bool,
    /// For backoff: the count that alerts next.
    next: u32,
    /// For a rate: since when the other action has held.
    changed: Option<Timestamp>,
    /// Different ports counted, sorted.
    ports: Vec<u16>,
}

/// Whose count it is: gid, sid, and the addresses tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    gid: u32,
    sid: u32,
    track: Track,
    a: Option<IpAddr>,
    b: Option<IpAddr>,
}

impl Key {
    /// `None` where the flow keeps the count. A pair is one whichever way its packets go.
    pub(crate) fn of(gid: u32, sid: u32, track: Track, tuple: &FiveTuple) -> Option<Key> {
        let (a, b) = match track {
            Track::BySrc => (Some(tuple.src), None),
            Track::ByDst => (Some(tuple.dst), None),
            Track::ByBoth => (Some(tuple.src.min(tuple.dst)), Some(tuple.src.max(tuple.dst))),
            Track::ByRule => (None, None),
            Track::ByFlow => return None,
        };
        Some(Key { gid, sid, track, a, b })
    }
}

pub(crate) type Counts = Bounded<Key, Count>;

/// Counts one match, of a packet between these ports.
pub(crate) fn rule_on(t: &Threshold, c: &mut Count, now: Timestamp, ports: (u16, u16)) -> Ruling {
    let begins = !c.started;
    c.started = true;
    match t.kind {
        ThresholdKind::Backoff { multiplier } => return backoff(t.count, multiplier, c),
        ThresholdKind::Rate { action, timeout } => return rate(t, action, timeout, begins, c, now),
        _ => {}
    }
    if !begins && within(t, c, now) {
        c.count = c.count.saturating_add(1);
    } else {
        (c.begun, c.count) = (now, 1);
        c.ports.clear();
    }
    match t.kind {
        ThresholdKind::Limit if c.count <= t.count => Ruling::Alert,
        ThresholdKind::Limit => Ruling::Silent,
        ThresholdKind::Threshold if c.count >= t.count => {
            c.count = 0;
            Ruling::Alert
        }
        ThresholdKind::Both if c.count == t.count => Ruling::Alert,
        ThresholdKind::Both if c.count > t.count => Ruling::Silent,
        ThresholdKind::DetectionFilter { unique } => {
            let counted = unique.map_or(c.count, |end| different(t, c, end, ports));
            if counted > t.count { Ruling::Alert } else { Ruling::Nothing }
        }
        _ => Ruling::Nothing,
    }
}

fn within(t: &Threshold, c: &Count, now: Timestamp) -> bool {
    now <= c.begun.saturating_add(Duration::from_secs(u64::from(t.seconds)))
}

/// How many different ports there were; `c.count` falls back to them, so that what a full list missed counts on top.
fn different(t: &Threshold, c: &mut Count, end: PortEnd, (src, dst): (u16, u16)) -> u32 {
    let port = match end {
        PortEnd::Source => src,
        PortEnd::Destination => dst,
    };
    let room = PORTS_MAX.min(t.count as usize + 1);
    match c.ports.binary_search(&port) {
        Ok(_) => c.count = c.count.saturating_sub(1),
        Err(at) if c.ports.len() < room => c.ports.insert(at, port),
        Err(_) => {}
    }
    c.count
}

fn rate(t: &Threshold, action: RateAction, timeout: u32, begins: bool, c: &mut Count, now: Timestamp) -> Ruling {
    let changed = match action {
        RateAction::Become(a) => Ruling::Become(a),
        RateAction::Keep => Ruling::Alert,
    };
    if let Some(since) = c.changed {
        if now.secs().saturating_sub(since.secs()) <= u64::from(timeout) {
            return changed;
        }
        c.changed = None;
        return Ruling::Alert;
    }
    if begins || !within(t, c, now) {
        (c.begun, c.count) = (now, 1);
        return Ruling::Alert;
    }
    c.count = c.count.saturating_add(1);
    if c.count <= t.count {
        return Ruling::Alert;
    }
    c.changed = Some(now);
    changed
}

fn backoff(first: u32, multiplier: u32, c: &mut Count) -> Ruling {
    let begins = c.count == 0;
    if begins {
        c.next = first.max(1);
    }
    if c.count == u32::MAX {
        return Ruling::Silent;
    }
    c.count += 1;
    if c.count == c.next {
        c.next = c.next.saturating_mul(multiplier.max(2));
        Ruling::Alert
    } else if begins {
        Ruling::Nothing
    } else {
        Ruling::Silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: ThresholdKind, count: u32, seconds: u32, times: &[u64]) -> String {
        let t = Threshold { kind, track: Track::BySrc, count, seconds };
        let mut c = Count::default();
        times.iter().map(|s| letter(rule_on(&t, &mut c, Timestamp::from_secs(*s), (1, 2)))).collect()
    }

    fn letter(r: Ruling) -> char {
        match r {
            Ruling::Alert => 'A',
            Ruling::Silent => 's',
            Ruling::Nothing => '-',
            Ruling::Become(_) => 'B',
        }
    }

    #[test]
    fn each_kind_as_documented() {
        let t = &[0, 1, 2, 3, 4, 5, 70, 71, 72];
        assert_eq!(run(ThresholdKind::Limit, 2, 60, t), "AAssssAAs");
        assert_eq!(run(ThresholdKind::Threshold, 3, 60, t), "--A--A--A");
        assert_eq!(run(ThresholdKind::Both, 2, 60, t), "-Assss-As");
        assert_eq!(run(ThresholdKind::DetectionFilter { unique: None }, 2, 60, t), "--AAAA--A");
        assert_eq!(run(ThresholdKind::Backoff { multiplier: 2 }, 1, 0, t), "AAsAsssAs");
        assert_eq!(run(ThresholdKind::Backoff { multiplier: 2 }, 2, 0, t), "-AsAsssAs");
        assert_eq!(run(ThresholdKind::Limit, 1, 60, &[0, 60, 61]), "AsA", "the window's end is inside");
    }

    #[test]
    fn a_rate_changes_the_action_for_a_time() {
        let kind = ThresholdKind::Rate { action: RateAction::Become(Action::Drop), timeout: 10 };
        // Two within a minute are let be, the third changes the action; it holds ten seconds from there.
        assert_eq!(run(kind, 2, 60, &[0, 1, 2, 3, 12, 13, 14, 100]), "AABBBABA");
        assert_eq!(run(kind, 2, 5, &[0, 6, 12, 18]), "AAAA", "never two in the time");
        let kind = ThresholdKind::Rate { action: RateAction::Keep, timeout: 10 };
        assert_eq!(run(kind, 1, 60, &[0, 1, 2]), "AAA");
    }

    #[test]
    fn different_ports_are_counted_once() {
        let kind = ThresholdKind::DetectionFilter { unique: Some(PortEnd::Source) };
        let t = Threshold { kind, track: Track::BySrc, count: 2, seconds: 60 };
        let mut c = Count::default();
        let ports = [7, 7, 8, 8, 7, 9, 9, 10];
        let got: String =
            ports.iter().map(|p| letter(rule_on(&t, &mut c, Timestamp::from_secs(1), (*p, 80)))).collect();
        assert_eq!(got, "-----AAA");
        assert!(c.ports.len() <= 3);
        // A new window begins with its own first port.
        assert_eq!(letter(rule_on(&t, &mut c, Timestamp::from_secs(90), (9, 80))), '-');
        assert_eq!(c.ports, [9]);
    }

    #[test]
    fn ports_remembered_are_bounded() {
        let kind = ThresholdKind::DetectionFilter { unique: Some(PortEnd::Destination) };
        let t = Threshold { kind, track: Track::BySrc, count: 60_000, seconds: 60 };
        let mut c = Count::default();
        for p in 0..10_000 {
            rule_on(&t, &mut c, Timestamp::from_secs(1), (1, p));
        }
        assert_eq!(c.ports.len(), PORTS_MAX);
    }

    #[test]
    fn a_pair_is_the_same_both_ways() {
        let tuple = |src: &str, dst: &str| FiveTuple {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            sport: 1,
            dport: 2,
            proto: crate::types::IpProto::TCP,
        };
        let key = |t| Key::of(1, 1, Track::ByBoth, &t);
        assert_eq!(key(tuple("10.0.0.1", "10.0.0.2")), key(tuple("10.0.0.2", "10.0.0.1")));
        let src = |t| Key::of(1, 1, Track::BySrc, &t);
        assert_ne!(src(tuple("10.0.0.1", "10.0.0.2")), src(tuple("10.0.0.2", "10.0.0.1")));
    }
}
