//! Thresholds: how often a rule's match becomes an alert.
//!
//! A count belongs to a rule and to what it tracks (source, destination, both, the rule itself, the flow). Counts by
//! address live in the worker's bounded table, counts by flow in the flow. Windows begin with the first match and last
//! their seconds inclusively. See the guide's "Thresholding Keywords" for what each kind means.

use super::signature::{Threshold, ThresholdKind, Track};
use super::state::hosts::Bounded;
use crate::types::{FiveTuple, Timestamp};
use std::net::IpAddr;
use std::time::Duration;

/// What a threshold says of one match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Alert,
    /// No alert, but the rule's action still holds.
    Silent,
    /// As if the rule had not matched.
    Nothing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    begun: Timestamp,
    count: u32,
    /// For backoff: the count that alerts next; 0 before the first.
    next: u32,
}

/// Whose count it is: gid, sid, and the addresses tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    gid: u32,
    sid: u32,
    a: Option<IpAddr>,
    b: Option<IpAddr>,
}

impl Key {
    /// `None` where the flow keeps the count.
    pub(crate) fn of(gid: u32, sid: u32, track: Track, tuple: &FiveTuple) -> Option<Key> {
        let (a, b) = match track {
            Track::BySrc => (Some(tuple.src), None),
            Track::ByDst => (None, Some(tuple.dst)),
            Track::ByBoth => (Some(tuple.src), Some(tuple.dst)),
            Track::ByRule => (None, None),
            Track::ByFlow => return None,
        };
        Some(Key { gid, sid, a, b })
    }
}

pub(crate) type Counts = Bounded<Key, Count>;

/// Counts one match.
pub(crate) fn rule_on(t: &Threshold, c: &mut Count, now: Timestamp) -> Ruling {
    if let ThresholdKind::Backoff { multiplier } = t.kind {
        return backoff(t.count, multiplier, c);
    }
    let inside = c.count > 0 && now <= c.begun.saturating_add(Duration::from_secs(u64::from(t.seconds)));
    // A threshold that has just alerted counts from zero within the same window.
    let inside = inside
        || (c.count == 0 && c.next == 1 && now <= c.begun.saturating_add(Duration::from_secs(u64::from(t.seconds))));
    if inside {
        c.count = c.count.saturating_add(1);
    } else {
        *c = Count { begun: now, count: 1, next: 0 };
    }
    match t.kind {
        ThresholdKind::Limit => {
            if c.count <= t.count {
                Ruling::Alert
            } else {
                Ruling::Silent
            }
        }
        ThresholdKind::Threshold => {
            if c.count >= t.count {
                c.count = 0;
                c.next = 1;
                Ruling::Alert
            } else {
                Ruling::Nothing
            }
        }
        ThresholdKind::Both => match c.count.cmp(&t.count) {
            std::cmp::Ordering::Less => Ruling::Nothing,
            std::cmp::Ordering::Equal => Ruling::Alert,
            std::cmp::Ordering::Greater => Ruling::Silent,
        },
        ThresholdKind::DetectionFilter => {
            if c.count > t.count {
                Ruling::Alert
            } else {
                Ruling::Nothing
            }
        }
        ThresholdKind::Backoff { .. } => Ruling::Alert,
    }
}

fn backoff(first: u32, multiplier: u32, c: &mut Count) -> Ruling {
    if c.next == 0 {
        c.next = first.max(1);
    }
    c.count = c.count.saturating_add(1);
    if c.count == c.next {
        c.next = c.next.saturating_mul(multiplier.max(2));
        Ruling::Alert
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
        times
            .iter()
            .map(|s| match rule_on(&t, &mut c, Timestamp::from_secs(*s)) {
                Ruling::Alert => 'A',
                Ruling::Silent => 's',
                Ruling::Nothing => '-',
            })
            .collect()
    }

    #[test]
    fn each_kind_as_documented() {
        let t = &[0, 1, 2, 3, 4, 5, 70, 71, 72];
        assert_eq!(run(ThresholdKind::Limit, 2, 60, t), "AAssssAAs");
        assert_eq!(run(ThresholdKind::Threshold, 3, 60, t), "--A--A--A");
        assert_eq!(run(ThresholdKind::Both, 2, 60, t), "-Assss-As");
        assert_eq!(run(ThresholdKind::DetectionFilter, 2, 60, t), "--AAAA--A");
        assert_eq!(run(ThresholdKind::Backoff { multiplier: 2 }, 1, 0, t), "AAsAsssAs");
        assert_eq!(run(ThresholdKind::Limit, 1, 60, &[0, 60, 61]), "AsA", "the window's end is inside");
    }
}
