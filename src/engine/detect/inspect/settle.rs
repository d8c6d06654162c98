//! From hits to alerts and one verdict: thresholds, suppression, pass, drop, reject, tags.

use super::{Detector, Hit};
use crate::applayer::TxId;
use crate::detect::compile::{ActionScope, Compiled, Ruleset};
use crate::detect::signature::{PacketFacts, SigIdx, Tag, TagScope, TagUnit};
use crate::detect::state::{FlowDetect, TagLeft};
use crate::detect::threshold::{self, Count, Key, Ruling};
use crate::types::{Action, Counter, Reason, Verdict};
use std::time::Duration;

/// An alert to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    pub sig: SigIdx,
    pub tx: Option<TxId>,
    /// The match rests on the stream or a transaction.
    pub stream_match: bool,
    /// The rule's action stops the packet (only inline).
    pub blocked: bool,
    /// Which of the packet's hits it is.
    pub hit: usize,
}

/// What the hits of one packet come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Of this packet; `Forward` where nothing is enforced.
    pub verdict: Verdict,
    /// What rules would have done, enforced or not.
    pub intended: Verdict,
    /// The rest of the flow shares `verdict`.
    pub flow_drop: bool,
    /// A pass rule matched this packet.
    pub pass: bool,
    /// … and lets the rest of the flow go uninspected.
    pub flow_pass: bool,
    /// A rule asks that the flow be bypassed.
    pub bypass: bool,
    /// The first rule that stops the packet, whether it alerts or not.
    pub blocker: Option<SigIdx>,
    /// The packet belongs to a tagged flow or host.
    pub tagged: bool,
}

impl Detector {
    /// Settles the hits of one packet: orders them, counts thresholds, appends the alerts to record to `alerts`, and
    /// says what becomes of packet and flow. Call it for every packet inspected, also without hits (tags count packets).
    pub fn settle(
        &mut self,
        rs: &Ruleset,
        facts: &PacketFacts<'_>,
        mut flow: Option<&mut FlowDetect>,
        hits: &mut Vec<Hit>,
        alerts: &mut Vec<Alert>,
    ) -> Settled {
        let tagged = self.spend_tags(rs.tags_hosts, facts, flow.as_deref_mut());
        let mut settled = Settled { tagged, ..Settled::default() };
        if hits.is_empty() {
            return settled;
        }
        let max = self.limits.alerts_per_packet_max;
        hits.iter_mut().skip(max).for_each(|h| h.late = true);
        let what = |h: &Hit| (h.sig, h.tx(), h.frame().map(|f| f.id));
        hits.sort_by_key(what);
        hits.dedup_by_key(|h| what(h));
        let already = alerts.len();
        let mut kept = hits.len();
        for (i, h) in hits.iter().enumerate() {
            let Some(c) = rs.compiled(h.sig) else { continue };
            if h.late {
                self.counters.inc(Counter::DetectAlertsOverflow);
                if matches!(c.sig.action, Action::Drop | Action::Reject(_)) {
                    self.act(c.sig.action, stateful(c, h, flow.is_some()), &mut settled);
                }
                continue;
            }
            let ruling = self.ruling(c, facts, flow.as_deref_mut(), h.sig);
            let action = match ruling {
                Ruling::Nothing => continue,
                Ruling::Become(a) => a,
                Ruling::Alert | Ruling::Silent => c.sig.action,
            };
            let stateful = stateful(c, h, flow.is_some());
            settled.bypass |= c.sig.bypass;
            let passes = action == Action::Pass;
            if passes {
                settled.pass = true;
                settled.flow_pass |= stateful;
                if let (true, Some(f)) = (stateful, flow.as_deref_mut()) {
                    f.passed = true;
                }
                kept = if c.sig.alerts { i + 1 } else { i };
            }
            let blocked = self.act(action, stateful, &mut settled);
            settled.blocker = settled.blocker.or(blocked.then_some(h.sig));
            let silent = ruling == Ruling::Silent || c.sig.noalert || (passes && !c.sig.alerts);
            if silent || action == Action::Config {
                self.counters.add(Counter::DetectAlertsSuppressed, u64::from(ruling == Ruling::Silent));
            } else if alerts.len() - already >= max {
                self.counters.inc(Counter::DetectAlertsOverflow);
            } else {
                self.counters.inc(Counter::DetectAlerts);
                alerts.push(Alert { sig: h.sig, tx: h.tx(), stream_match: h.stream_match(), blocked, hit: i });
                for tag in &c.sig.tags {
                    self.tag(*tag, facts, flow.as_deref_mut());
                }
            }
            if passes {
                break;
            }
        }
        // What a pass rule stood before has not happened.
        hits.truncate(kept);
        settled
    }

    /// Carries out drop and reject; says whether the packet is stopped.
    fn act(&self, action: Action, stateful: bool, settled: &mut Settled) -> bool {
        let verdict = match action {
            Action::Drop => Verdict::Drop(Reason::Rules),
            Action::Reject(target) => Verdict::Reject(Reason::Reject, target),
            Action::Alert | Action::Pass | Action::Config => return false,
        };
        settled.intended = settled.intended.merge(verdict);
        if self.inline {
            settled.verdict = settled.verdict.merge(verdict);
            settled.flow_drop |= stateful;
        }
        self.inline
    }

    /// Suppressions come before counts: what is withheld is not counted. Packets without addresses are neither.
    fn ruling(&mut self, c: &Compiled, facts: &PacketFacts<'_>, flow: Option<&mut FlowDetect>, idx: SigIdx) -> Ruling {
        let sig = &c.sig;
        let tuple = &facts.packet.tuple;
        if facts.packet.ip.is_none() && facts.direction.is_none() {
            return Ruling::Alert;
        }
        if sig.suppress.iter().any(|s| s.withholds(tuple.src, tuple.dst)) {
            return Ruling::Silent;
        }
        let Some(t) = &sig.threshold else { return Ruling::Alert };
        let (now, ports) = (facts.packet.ts, (tuple.sport, tuple.dport));
        match (Key::of(sig.gid, sig.sid, t.track, tuple), flow) {
            (Some(k), _) => {
                self.touch_hosts(|hosts| threshold::rule_on(t, hosts.counts.entry(k, Count::default), now, ports))
            }
            (None, Some(f)) => threshold::rule_on(t, flow_count(f, idx, self.limits.flow_vars_max), now, ports),
            // Counted by flow, and there is none.
            (None, None) => Ruling::Nothing,
        }
    }

    fn tag(&mut self, tag: Tag, facts: &PacketFacts<'_>, flow: Option<&mut FlowDetect>) {
        let p = facts.packet;
        let left = match tag.unit {
            // The packet at hand is the first of them; its alert tells of it.
            TagUnit::Packets => TagLeft::Packets(tag.count.saturating_sub(1)),
            TagUnit::Bytes => TagLeft::Bytes(u64::from(tag.count).saturating_sub(u64::from(p.wire_len))),
            TagUnit::Seconds => TagLeft::Until(p.ts.saturating_add(Duration::from_secs(u64::from(tag.count)))),
        };
        let host = match (tag.scope, flow) {
            (TagScope::Session, Some(f)) => {
                f.tag = Some(left);
                return;
            }
            (TagScope::Session, None) => return,
            (TagScope::HostSrc, _) => p.src(),
            (TagScope::HostDst, _) => p.dst(),
        };
        self.touch_hosts(|hosts| *hosts.tags.entry(host, || left) = left);
    }

    /// Counts this packet against the tags it falls under; says whether there is any.
    fn spend_tags(&mut self, of_hosts: bool, facts: &PacketFacts<'_>, flow: Option<&mut FlowDetect>) -> bool {
        let p = facts.packet;
        let (bytes, now) = (u64::from(p.wire_len), p.ts);
        let mut tagged = false;
        if let Some(f) = flow
            && let Some(left) = &mut f.tag
        {
            tagged = left.spend(bytes, now);
            if !tagged {
                f.tag = None;
            }
        }
        if of_hosts {
            tagged |= self.touch_hosts(|hosts| {
                let mut any = false;
                for a in [p.src(), p.dst()] {
                    match hosts.tags.find_mut(&a).map(|left| left.spend(bytes, now)) {
                        Some(true) => any = true,
                        Some(false) => hosts.tags.remove(&a),
                        None => {}
                    }
                }
                any
            });
        }
        tagged
    }
}

/// Whether the action of a match falls on the whole flow.
fn stateful(c: &Compiled, h: &Hit, in_flow: bool) -> bool {
    match c.class.scope() {
        ActionScope::Flow => in_flow,
        ActionScope::FlowIfStateful => h.stream_match(),
        ActionScope::Packet => false,
    }
}

/// The flow's own count for a rule; past the bound the oldest is started anew for it.
fn flow_count(f: &mut FlowDetect, idx: SigIdx, max: usize) -> &mut Count {
    let at = match f.counts.iter().position(|c| c.0 == idx.0) {
        Some(i) => i,
        None if f.counts.len() < max.max(1) => {
            f.counts.push((idx.0, 0, Count::default()));
            f.counts.len() - 1
        }
        None => {
            f.counts.rotate_left(1);
            let last = f.counts.len() - 1;
            f.counts[last] = (idx.0, 0, Count::default());
            last
        }
    };
    &mut f.counts[at].2
}
