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
    /// Forward without inspecting this packet's payload (packet scope) or the rest of the flow (flow scope).
    Pass,
    /// Like pass, and stop tracking the flow's payload at all.
    Bypass,
    Drop,
    Reject,
}

/// How far a policy's answer reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Packet,
    Flow,
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
}

/// One row of the table.
pub struct CauseRow {
    pub cause: Cause,
    /// The configuration key.
    pub name: &'static str,
    pub scope: Scope,
    /// Default when enforcing.
    pub inline_default: ExceptionPolicy,
    pub allowed: &'static [ExceptionPolicy],
    /// The drop reason its drops carry.
    pub reason: Reason,
    pub doc: &'static str,
}

use ExceptionPolicy::{Bypass, Drop, Ignore, Pass, Reject};
const FLOW_VALUES: &[ExceptionPolicy] = &[Ignore, Pass, Bypass, Drop, Reject];
const PACKET_VALUES: &[ExceptionPolicy] = &[Ignore, Pass, Drop, Reject];

impl Cause {
    pub const COUNT: usize = 15;

    pub const TABLE: [CauseRow; Cause::COUNT] = [
        row(
            Cause::DefragMemcap,
            "defrag-memcap",
            Scope::Packet,
            Drop,
            PACKET_VALUES,
            Reason::DefragMemcap,
            "a fragment found no room in the defragmenter",
        ),
        row(
            Cause::FlowMemcap,
            "flow-memcap",
            Scope::Packet,
            Drop,
            PACKET_VALUES,
            Reason::FlowMemcap,
            "no room for a new flow, and none could be evicted",
        ),
        row(
            Cause::StreamMidstream,
            "stream-midstream",
            Scope::Flow,
            Drop,
            FLOW_VALUES,
            Reason::StreamMidstream,
            "a TCP session whose beginning was not seen",
        ),
        row(
            Cause::StreamMemcap,
            "stream-memcap",
            Scope::Flow,
            Drop,
            FLOW_VALUES,
            Reason::StreamMemcap,
            "no room for a TCP session",
        ),
        row(
            Cause::StreamReassemblyMemcap,
            "stream-reassembly-memcap",
            Scope::Flow,
            Drop,
            FLOW_VALUES,
            Reason::StreamReassembly,
            "no room for a segment's bytes",
        ),
        row(
            Cause::StreamInvalid,
            "stream-invalid",
            Scope::Packet,
            Drop,
            PACKET_VALUES,
            Reason::StreamError,
            "a segment that is not valid in its session",
        ),
        row(
            Cause::StreamUrgent,
            "stream-urgent",
            Scope::Packet,
            Ignore,
            PACKET_VALUES,
            Reason::StreamUrgent,
            "urgent data, which receivers disagree about",
        ),
        row(
            Cause::StreamGap,
            "stream-gap",
            Scope::Flow,
            Ignore,
            FLOW_VALUES,
            Reason::StreamReassembly,
            "bytes of a stream were never seen",
        ),
        row(
            Cause::ApplayerError,
            "app-layer-error",
            Scope::Flow,
            Drop,
            FLOW_VALUES,
            Reason::ApplayerError,
            "an application-layer parser gave up on a flow",
        ),
        row(
            Cause::Panic,
            "panic",
            Scope::Flow,
            Drop,
            FLOW_VALUES,
            Reason::Blind,
            "the engine failed on a packet of the flow",
        ),
        row(
            Cause::PcreLimit,
            "pcre-limit",
            Scope::Packet,
            Ignore,
            PACKET_VALUES,
            Reason::Budget,
            "a pcre reached its match limit before it could answer",
        ),
        row(
            Cause::ParkedOverflow,
            "parked-overflow",
            Scope::Packet,
            Ignore,
            PACKET_VALUES,
            Reason::Budget,
            "more half-matched candidates than may wait for data",
        ),
        row(
            Cause::InspectionBudget,
            "inspection-budget",
            Scope::Packet,
            Ignore,
            PACKET_VALUES,
            Reason::Budget,
            "a packet asked for more inspection work than its budget",
        ),
        row(
            Cause::DecodeInvalid,
            "decode-invalid",
            Scope::Packet,
            Ignore,
            PACKET_VALUES,
            Reason::DecodeError,
            "a packet whose headers do not hold together",
        ),
        row(
            Cause::DefragOverlap,
            "defrag-overlap",
            Scope::Packet,
            Drop,
            PACKET_VALUES,
            Reason::DecodeError,
            "a fragment that contradicts an earlier one of its datagram, in line",
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
    scope: Scope,
    inline_default: ExceptionPolicy,
    allowed: &'static [ExceptionPolicy],
    reason: Reason,
    doc: &'static str,
) -> CauseRow {
    CauseRow { cause, name, scope, inline_default, allowed, reason, doc }
}

impl ExceptionPolicy {
    pub const fn name(self) -> &'static str {
        match self {
            Ignore => "ignore",
            Pass => "pass",
            Bypass => "bypass",
            Drop => "drop",
            Reject => "reject",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Ignore, Pass, Bypass, Drop, Reject].into_iter().find(|p| p.name() == word)
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

    /// Errors with the allowed words when `policy` is not one that `cause` may take.
    pub fn set(&mut self, cause: Cause, policy: ExceptionPolicy) -> Result<(), &'static [ExceptionPolicy]> {
        let row = cause.row();
        if !row.allowed.contains(&policy) {
            return Err(row.allowed);
        }
        self.0[cause as usize] = policy;
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
}
