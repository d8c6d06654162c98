//! Thresholds and suppressions as rules and threshold files write them.
//!
//! Values alone: what they come to for a match is `threshold`'s, reading them `keywords::threshold`'s and `lang`'s.

use super::signature::AddrSet;
use crate::types::Action;
use std::net::IpAddr;

/// Whose occurrences a threshold counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    BySrc,
    ByDst,
    ByBoth,
    ByRule,
    ByFlow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdKind {
    /// Every `count`-th within the time.
    Threshold,
    /// The first `count` within the time.
    Limit,
    /// Once per time, after `count`.
    Both,
    /// `detection_filter`: all after the first `count` within the time; before it the rule does not match.
    DetectionFilter {
        /// Different ports are counted instead of matches.
        unique: Option<PortEnd>,
    },
    Backoff {
        multiplier: u32,
    },
    /// `rate_filter`: after `count` within the time the rule has another action, for `timeout` seconds.
    Rate {
        action: RateAction,
        timeout: u32,
    },
}

/// Which port of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortEnd {
    Source,
    Destination,
}

/// What a `rate_filter` makes of a rule's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateAction {
    Become(Action),
    /// `log` and `sdrop`: read, and without effect.
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    pub kind: ThresholdKind,
    pub track: Track,
    pub count: u32,
    pub seconds: u32,
}

/// Withholds a rule's alerts for some addresses; its action and settings still hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppress {
    /// Which end must be in `addresses`.
    pub track: SuppressTrack,
    pub addresses: AddrSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuppressTrack {
    Source,
    Destination,
    Either,
}

impl Suppress {
    pub fn withholds(&self, src: IpAddr, dst: IpAddr) -> bool {
        match self.track {
            SuppressTrack::Source => self.addresses.contains(src),
            SuppressTrack::Destination => self.addresses.contains(dst),
            SuppressTrack::Either => self.addresses.contains(src) || self.addresses.contains(dst),
        }
    }
}
