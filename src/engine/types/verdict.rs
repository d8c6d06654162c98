//! What becomes of a packet, and why: one verdict, one reason.

use super::Counter;

/// Whom a reject answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectTarget {
    /// The packet's sender (`reject`, `rejectsrc`).
    Source,
    /// The packet's destination (`rejectdst`).
    Destination,
    /// Both ends (`rejectboth`).
    Both,
}

/// A rule's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    Pass,
    Alert,
    Drop,
    Reject(RejectTarget),
    /// `config` rules change how a flow or transaction is treated and never alert.
    Config,
}

/// Why a packet was not forwarded as it came. Numbers are stable: never reused, new ones at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// A rule with action drop matched this packet or its transaction.
    Rules = 1,
    /// A rule with action reject matched.
    Reject = 2,
    /// The flow was condemned by an earlier packet.
    FlowDrop = 3,
    /// A drop rule whose threshold or rate filter turned it into a drop.
    Threshold = 4,
    /// The packet is not valid at its decode layer and the exception policy says drop.
    DecodeError = 5,
    /// The fragment could not be tracked.
    DefragMemcap = 6,
    /// No room for a new flow.
    FlowMemcap = 7,
    /// The flow began before we saw it.
    StreamMidstream = 8,
    /// No room for a TCP session.
    StreamMemcap = 9,
    /// No room for segments.
    StreamReassembly = 10,
    /// Not a valid segment of its session.
    StreamError = 11,
    /// The segment's checksum is wrong, so its receiver will discard it.
    Checksum = 12,
    /// An application-layer parser gave up on the flow.
    ApplayerError = 13,
    /// Urgent data that receivers disagree about.
    StreamUrgent = 14,
    /// Inner packet of a tunnel was dropped, and its carrier with it.
    InnerPacket = 15,
    /// The engine failed on this flow before; it goes on blind under its exception policy.
    Blind = 16,
    /// A work budget (pcre limit, parked candidates, …) ran out.
    Budget = 17,
    /// The flow was condemned by an exception policy on an earlier packet.
    ExceptionFlowDrop = 18,
}

impl Reason {
    pub const ALL: [Reason; 18] = [
        Reason::Rules,
        Reason::Reject,
        Reason::FlowDrop,
        Reason::Threshold,
        Reason::DecodeError,
        Reason::DefragMemcap,
        Reason::FlowMemcap,
        Reason::StreamMidstream,
        Reason::StreamMemcap,
        Reason::StreamReassembly,
        Reason::StreamError,
        Reason::Checksum,
        Reason::ApplayerError,
        Reason::StreamUrgent,
        Reason::InnerPacket,
        Reason::Blind,
        Reason::Budget,
        Reason::ExceptionFlowDrop,
    ];

    /// What counts packets dropped for it.
    pub const fn counter(self) -> Counter {
        match self {
            Reason::Rules | Reason::Reject => Counter::DropRules,
            Reason::FlowDrop => Counter::DropFlow,
            Reason::Threshold => Counter::DropThreshold,
            Reason::DecodeError => Counter::DropDecodeError,
            Reason::DefragMemcap => Counter::DropDefragMemcap,
            Reason::FlowMemcap => Counter::DropFlowMemcap,
            Reason::StreamMidstream => Counter::DropMidstream,
            Reason::StreamMemcap => Counter::DropStreamMemcap,
            Reason::StreamReassembly => Counter::DropReassembly,
            Reason::StreamError => Counter::DropStreamError,
            Reason::Checksum => Counter::DropChecksum,
            Reason::ApplayerError => Counter::DropApplayerError,
            Reason::StreamUrgent => Counter::DropUrgent,
            Reason::InnerPacket => Counter::DropInner,
            Reason::Blind => Counter::DropBlind,
            Reason::Budget => Counter::DropBudget,
            Reason::ExceptionFlowDrop => Counter::DropFlowByPolicy,
        }
    }

    /// The word EVE's `drop.reason` carries.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Rules => "rules",
            Reason::Reject => "rules",
            Reason::FlowDrop => "flow drop",
            Reason::Threshold => "threshold detection_filter",
            Reason::DecodeError => "decode error",
            Reason::DefragMemcap => "defrag memcap",
            Reason::FlowMemcap => "flow memcap",
            Reason::StreamMidstream => "stream midstream",
            Reason::StreamMemcap => "stream memcap",
            Reason::StreamReassembly => "stream reassembly",
            Reason::StreamError => "stream error",
            Reason::Checksum => "checksum",
            Reason::ApplayerError => "applayer error",
            Reason::StreamUrgent => "stream urgent",
            Reason::InnerPacket => "tunnel packet drop",
            Reason::Blind => "blind",
            Reason::Budget => "budget",
            Reason::ExceptionFlowDrop => "exception policy flow drop",
        }
    }
}

/// The fate of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Leaves as it came (or as rewritten by normalisation or `replace`).
    #[default]
    Forward,
    /// Does not leave.
    Drop(Reason),
    /// Does not leave, and the named ends get a reset or an ICMP unreachable.
    Reject(Reason, RejectTarget),
}

impl Verdict {
    pub const fn is_forward(self) -> bool {
        matches!(self, Verdict::Forward)
    }

    pub const fn reason(self) -> Option<Reason> {
        match self {
            Verdict::Forward => None,
            Verdict::Drop(r) | Verdict::Reject(r, _) => Some(r),
        }
    }

    /// The stricter of two verdicts; of two equally strict ones the first stands, so each packet keeps one reason.
    pub fn merge(self, other: Verdict) -> Verdict {
        if other.rank() > self.rank() { other } else { self }
    }

    const fn rank(self) -> u8 {
        match self {
            Verdict::Forward => 0,
            Verdict::Drop(_) => 1,
            Verdict::Reject(..) => 2,
        }
    }
}
