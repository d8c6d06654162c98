//! Exception policies: what happens to traffic the engine cannot see into, decided by the operator, never by accident.
//!
//! One table of causes; each row says what the policy may be, whether it falls on the packet or the whole flow, and the
//! default when enforcing. Watching only (IDS), every effective value is `ignore`.

use super::Reason;

/// What to do on lost visibility.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExceptionPolicy {
    /// Go on as if nothing happened.
    Ignore,
    /// Forward this packet without inspecting it.
    PassPacket,
    /// Forward the rest of the flow without inspecting it; it is still followed and logged.
    PassFlow,
    /// Forward the rest of the flow, and follow it no more.
    Bypass,
    /// Drop this packet.
    DropPacket,
    /// Drop this packet and the rest of the flow.
    DropFlow,
    /// The same, and answer its sender.
    Reject,
    /// The same, and answer both ends.
    RejectBoth,
}

/// Each way the engine can lose sight of traffic. Numbers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cause {
    DefragMemcap,
    FlowMemcap,
    StreamMidstream,
    StreamMemcap,
    StreamReassemblyMemcap,
    StreamInvalid,
    StreamUrgent,
    StreamGap,
    ApplayerError,
    Panic,
    PcreLimit,
    ParkedOverflow,
    InspectionBudget,
    DecodeInvalid,
    DefragOverlap,
    StreamMultipath,
}

/// One row of the table.
pub struct CauseRow {
    pub cause: Cause,
    /// The configuration key.
    pub name: &'static str,
    /// As EVE's `flow.exception_policy` names it, and its path in `stats`; `None` for causes that only this engine has a
    /// policy for.
    pub eve: Option<EveCause>,
    /// Default when enforcing.
    pub inline_default: ExceptionPolicy,
    pub allowed: &'static [ExceptionPolicy],
    /// The drop reason its drops carry.
    pub reason: Reason,
    pub doc: &'static str,
}

/// What EVE calls a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EveCause {
    pub target: &'static str,
    pub stats: &'static str,
}

use ExceptionPolicy::{Bypass, DropFlow, DropPacket, Ignore, PassFlow, PassPacket, Reject, RejectBoth};
const FLOW_VALUES: &[ExceptionPolicy] =
    &[Ignore, PassPacket, PassFlow, Bypass, DropPacket, DropFlow, Reject, RejectBoth];
const PACKET_VALUES: &[ExceptionPolicy] = &[Ignore, PassPacket, DropPacket, Reject, RejectBoth];

const fn eve(target: &'static str, stats: &'static str) -> Option<EveCause> {
    Some(EveCause { target, stats })
}

impl Cause {
    pub const COUNT: usize = 16;

    pub const TABLE: [CauseRow; Cause::COUNT] = [
        row(
            Cause::DefragMemcap,
            "defrag-memcap",
            eve("defrag_memcap", "exception_policy.defrag.memcap"),
            DropPacket,
            PACKET_VALUES,
            Reason::DefragMemcap,
            "a fragment found no room in the defragmenter",
        ),
        row(
            Cause::FlowMemcap,
            "flow-memcap",
            eve("flow_memcap", "exception_policy.flow.memcap"),
            DropPacket,
            PACKET_VALUES,
            Reason::FlowMemcap,
            "no room for a new flow, and none could be evicted",
        ),
        row(
            Cause::StreamMidstream,
            "stream-midstream",
            eve("stream_midstream", "exception_policy.tcp.midstream"),
            DropFlow,
            FLOW_VALUES,
            Reason::StreamMidstream,
            "a TCP session whose beginning was not seen",
        ),
        row(
            Cause::StreamMemcap,
            "stream-memcap",
            eve("stream_memcap", "exception_policy.tcp.ssn_memcap"),
            DropFlow,
            FLOW_VALUES,
            Reason::StreamMemcap,
            "no room for a TCP session",
        ),
        row(
            Cause::StreamReassemblyMemcap,
            "stream-reassembly-memcap",
            eve("stream_reassembly_memcap", "exception_policy.tcp.reassembly"),
            DropFlow,
            FLOW_VALUES,
            Reason::StreamReassembly,
            "no room for a segment's bytes",
        ),
        row(
            Cause::StreamInvalid,
            "stream-invalid",
            None,
            DropPacket,
            PACKET_VALUES,
            Reason::StreamError,
            "a segment that is not valid in its session",
        ),
        row(
            Cause::StreamUrgent,
            "stream-urgent",
            None,
            Ignore,
            PACKET_VALUES,
            Reason::StreamUrgent,
            "urgent data, which receivers disagree about",
        ),
        row(
            Cause::StreamGap,
            "stream-gap",
            None,
            Ignore,
            FLOW_VALUES,
            Reason::StreamReassembly,
            "bytes of a stream were never seen",
        ),
        row(
            Cause::ApplayerError,
            "app-layer-error",
            eve("app_layer_error", "exception_policy.app_layer.error"),
            DropFlow,
            FLOW_VALUES,
            Reason::ApplayerError,
            "an application-layer parser gave up on a flow",
        ),
        row(
            Cause::Panic,
            "panic",
            None,
            DropFlow,
            FLOW_VALUES,
            Reason::Blind,
            "the engine failed on a packet of the flow",
        ),
        row(
            Cause::PcreLimit,
            "pcre-limit",
            None,
            Ignore,
            PACKET_VALUES,
            Reason::Budget,
            "a pcre reached its match limit before it could answer",
        ),
        row(
            Cause::ParkedOverflow,
            "parked-overflow",
            None,
            Ignore,
            PACKET_VALUES,
            Reason::Budget,
            "more half-matched candidates than may wait for data",
        ),
        row(
            Cause::InspectionBudget,
            "inspection-budget",
            None,
            Ignore,
            PACKET_VALUES,
            Reason::Budget,
            "a packet asked for more inspection work than its budget",
        ),
        row(
            Cause::DecodeInvalid,
            "decode-invalid",
            None,
            Ignore,
            PACKET_VALUES,
            Reason::DecodeError,
            "a packet whose headers do not hold together",
        ),
        row(
            Cause::DefragOverlap,
            "defrag-overlap",
            None,
            DropPacket,
            PACKET_VALUES,
            Reason::DecodeError,
            "a fragment that contradicts an earlier one of its datagram, or that receivers differ over, in line",
        ),
        row(
            Cause::StreamMultipath,
            "stream-multipath",
            None,
            DropPacket,
            PACKET_VALUES,
            Reason::StreamError,
            "a SYN that joins an MPTCP connection, whose bytes its paths share out; without it the first path carries all",
        ),
    ];

    pub const fn row(self) -> &'static CauseRow {
        &Cause::TABLE[self as usize]
    }
}

#[allow(clippy::too_many_arguments)]
const fn row(
    cause: Cause,
    name: &'static str,
    eve: Option<EveCause>,
    inline_default: ExceptionPolicy,
    allowed: &'static [ExceptionPolicy],
    reason: Reason,
    doc: &'static str,
) -> CauseRow {
    CauseRow { cause, name, eve, inline_default, allowed, reason, doc }
}

impl ExceptionPolicy {
    pub const ALL: [ExceptionPolicy; 8] =
        [Ignore, PassPacket, PassFlow, Bypass, DropPacket, DropFlow, Reject, RejectBoth];

    /// As configurations write it.
    pub const fn name(self) -> &'static str {
        match self {
            Ignore => "ignore",
            PassPacket => "pass-packet",
            PassFlow => "pass-flow",
            Bypass => "bypass",
            DropPacket => "drop-packet",
            DropFlow => "drop-flow",
            Reject => "reject",
            RejectBoth => "rejectboth",
        }
    }

    /// As EVE writes it.
    pub const fn eve_name(self) -> &'static str {
        match self {
            PassPacket => "pass_packet",
            PassFlow => "pass_flow",
            DropPacket => "drop_packet",
            DropFlow => "drop_flow",
            RejectBoth => "reject_both",
            Ignore | Bypass | Reject => self.name(),
        }
    }

    /// `pass` and `drop` alone mean the flow, where there is one.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "pass" => Some(PassFlow),
            "drop" => Some(DropFlow),
            _ => Self::ALL.into_iter().find(|p| p.name() == word),
        }
    }

    /// What it comes to for `cause`: of a flow's policy the packet's, where the cause concerns packets only. `None` where
    /// the cause may not take it.
    pub fn for_cause(self, cause: Cause) -> Option<Self> {
        let allowed = cause.row().allowed;
        let narrow = match self {
            PassFlow => PassPacket,
            DropFlow => DropPacket,
            other => other,
        };
        [self, narrow].into_iter().find(|p| allowed.contains(p))
    }

    /// Keeps packets from leaving.
    pub const fn withholds(self) -> bool {
        matches!(self, DropPacket | DropFlow | Reject | RejectBoth)
    }
}

/// The effective policy of every cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies([ExceptionPolicy; Cause::COUNT]);

impl Policies {
    /// Watching only: nothing is enforced.
    pub const fn ids() -> Self {
        Policies([Ignore; Cause::COUNT])
    }

    /// The table's defaults for enforcing.
    pub fn inline() -> Self {
        let mut p = [Ignore; Cause::COUNT];
        for r in &Cause::TABLE {
            p[r.cause as usize] = r.inline_default;
        }
        Policies(p)
    }

    pub const fn of(&self, cause: Cause) -> ExceptionPolicy {
        self.0[cause as usize]
    }

    /// How often each policy was applied, by its path in `stats`: a row for each cause whose policy does anything.
    pub fn stats(&self, met: &[u64; Cause::COUNT]) -> Vec<(String, u64)> {
        let row = |r: &CauseRow| {
            let (eve, policy) = (r.eve?, self.of(r.cause));
            let path = format!("{}.{}", eve.stats, policy.eve_name());
            (policy != Ignore).then_some((path, met[r.cause as usize]))
        };
        Cause::TABLE.iter().filter_map(row).collect()
    }

    /// Errors with the allowed words when `policy` is not one that `cause` may take.
    pub fn set(&mut self, cause: Cause, policy: ExceptionPolicy) -> Result<(), &'static [ExceptionPolicy]> {
        self.0[cause as usize] = policy.for_cause(cause).ok_or(cause.row().allowed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_order_and_names_are_unique() {
        for (i, r) in Cause::TABLE.iter().enumerate() {
            assert_eq!(r.cause as usize, i);
            assert!(r.allowed.contains(&r.inline_default), "{}", r.name);
            assert!(!r.doc.is_empty());
            assert!(!Cause::TABLE[..i].iter().any(|o| o.name == r.name));
        }
    }

    #[test]
    fn a_policy_narrows_to_what_its_cause_may_take() {
        assert_eq!(ExceptionPolicy::parse("drop"), Some(DropFlow));
        assert_eq!(DropFlow.for_cause(Cause::DefragMemcap), Some(DropPacket));
        assert_eq!(DropFlow.for_cause(Cause::StreamMidstream), Some(DropFlow));
        assert_eq!(Bypass.for_cause(Cause::DefragMemcap), None);
        for p in ExceptionPolicy::ALL {
            assert_eq!(ExceptionPolicy::parse(p.name()), Some(p));
        }
    }

    #[test]
    fn stats_name_what_was_applied() {
        let mut met = [0; Cause::COUNT];
        met[Cause::StreamMidstream as usize] = 3;
        let rows = Policies::inline().stats(&met);
        assert!(rows.contains(&("exception_policy.tcp.midstream.drop_flow".into(), 3)));
        assert!(rows.contains(&("exception_policy.tcp.reassembly.drop_flow".into(), 0)));
        assert!(Policies::ids().stats(&met).is_empty());
    }
}
