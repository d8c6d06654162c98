//! What the device could do without us: frames of flows that need nobody's eyes any more need not come up.
//!
//! Three kinds: flows that are bypassed or condemned; flows in which no rule of any stage could match any more, whatever
//! comes; and, of a flow that is inspected, the rest of a long body past all that is looked at, up to the sequence number
//! at which its message ends. While such a body goes one way, bare acknowledgements of the other need not come either.
//!
//! A notice is about one direction, as the frame at hand shows it, and a proposal: who takes it may forget the flow at any
//! time, whereupon its frames come here again and are bypassed, dropped or followed here. So a notice is repeated while
//! frames of its direction come, but not for each. Told are flows whose frames a simple reader knows by their headers: not
//! what is in tunnels or fragments, and nothing but TCP and UDP. Beginnings and ends of connections always come up.

use super::Output;
use super::path::Path;
use super::report::Subject;
use crate::decode::{LinkType, Packet, PortId, TcpFlags, VlanStack};
use crate::flow::{Carried, Flow, FlowCore, FlowState};
use crate::session::Session;
use crate::types::{Direction, FiveTuple, IpProto, PerDirection};

/// Notices of one batch; further flows are told of with a later frame.
const OFFLOADS_MAX: usize = 64;
/// Frames of a direction that may come after its notice, or after it came back, before it is told of again: those under
/// way, and those shown now and then by who took it.
const AGAIN_AFTER: u8 = 64;
/// What is left of a body must be so long to be worth a word, in bytes, and is told of so much at a time.
const BODY_BYTES: std::ops::RangeInclusive<u64> = 1 << 16..=1 << 30;
const ETHER_TYPES: [u16; 2] = [0x0800, 0x86dd];

/// What is proposed for a flow's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relief {
    /// Forward them as they come.
    Bypass,
    Drop,
    /// Forward those that end at or before this TCP sequence number. With the first that does not, the flow comes back.
    BypassUntil(u32),
}

/// One direction of a flow that needs nobody's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// As on the wire: the source is who sends these frames.
    pub tuple: FiveTuple,
    pub vlan: VlanStack,
    /// Where they come in.
    pub port: PortId,
    pub direction: Direction,
    pub relief: Relief,
    pub flow_id: u64,
    /// Of the ruleset under which it holds: void under another.
    pub epoch: u64,
}

/// Who takes the notices, asked when a flow needs us again or is over.
pub trait Porter: Send {
    /// It is carried no more. What has gone by since this was last asked.
    fn release(&mut self, flow_id: u64) -> PerDirection<Carried>;
}

impl Path {
    /// Tells of the flow in the packet's direction, if it has nothing more to gain from us. `passes`: the packet does.
    pub(super) fn offload(
        &self,
        flow: &mut Flow<Session>,
        dir: Direction,
        packet: &Packet<'_>,
        passes: bool,
        out: &mut Output,
    ) {
        if !(self.inline && self.config.offload) {
            return;
        }
        let relief = match flow.core.state {
            _ if flow.core.is_condemned() => Some(Relief::Drop),
            FlowState::Bypassed => Some(Relief::Bypass),
            _ if passes => self.bounded(flow, dir, packet).map(Relief::BypassUntil),
            _ => None,
        };
        let Some(relief) = relief else { return };
        let core = &mut flow.core;
        if !plain(packet) || packet.tuple.proto != core.tuple.proto {
            return;
        }
        let FiveTuple { sport, dport, proto, .. } = packet.tuple;
        if relief != Relief::Drop && proto == IpProto::UDP && self.config.decode.tunnels([sport, dport]) {
            // What is inside has flows of its own, which somebody looks at.
            return;
        }
        let until = if let Relief::BypassUntil(seq) = relief { Some(seq) } else { None };
        // That it was told of in part is no reason to wait.
        let more = until.is_none() && !core.aside.as_deref().is_some_and(|a| a.whole[dir]);
        let wait = &mut core.offload_wait[dir];
        if *wait > 0 && !more || out.offloads.len() >= OFFLOADS_MAX {
            *wait = wait.saturating_sub(1);
            return;
        }
        *wait = AGAIN_AFTER;
        let aside = core.aside.get_or_insert_default();
        aside.until[dir] = until;
        aside.whole[dir] = until.is_none();
        out.offloads.push(Offload {
            tuple: packet.tuple,
            vlan: packet.vlan,
            port: packet.port,
            direction: dir,
            relief,
            flow_id: core.flow_id,
            epoch: self.rules.epoch(),
        });
    }

    /// The sequence number up to which nothing in the packet's direction is looked at.
    fn bounded(&self, flow: &Flow<Session>, dir: Direction, packet: &Packet<'_>) -> Option<u32> {
        let Session { tcp, app, detect, other, blind, .. } = &flow.session;
        let tcp = tcp.as_deref()?;
        let answers = flow.core.aside.as_deref().is_some_and(|a| a.until[dir.flip()].is_some());
        if !(answers || tcp.raw_done(dir)) {
            return None;
        }
        if *blind || other.is_some() || !tcp.established() || detect.is_tagged() || self.frames.has(app.protocol()) {
            return None;
        }
        let unacknowledged = tcp.taken_but(dir)?;
        let next = tcp.sequence(dir).0;
        if answers && unacknowledged == 0 && packet.payload().is_empty() {
            return Some(next);
        }
        let body = app.parser()?.unread_body(dir)?;
        // What its receiver may yet be sent in another form must be of what nobody looks at too.
        let fits = tcp.raw_done(dir) && body.ahead >= *BODY_BYTES.start() && u64::from(unacknowledged) <= body.behind;
        fits.then(|| next.wrapping_add(body.ahead.min(*BODY_BYTES.end()) as u32))
    }

    /// What the packet shows to have gone by unseen, as was agreed, is passed over. A packet behind what was agreed on
    /// brings the flow back.
    pub(super) fn come_back(&mut self, flow: &mut Flow<Session>, dir: Direction, packet: &Packet<'_>) {
        let Some(until) = flow.core.aside.as_deref().map(|a| a.until) else { return };
        let (Some(tcp), Some(header)) = (flow.session.tcp.as_deref_mut(), packet.tcp()) else { return };
        let ack = header.flags.has(TcpFlags::ACK).then_some(header.ack);
        let end = header.seq.wrapping_add(packet.payload().len() as u32);
        let mut over = header.flags.any(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST);
        for (d, from, to) in [(dir, Some(header.seq), end), (dir.flip(), ack, header.ack)] {
            let (Some(until), Some(from)) = (until[d], from) else { continue };
            let behind = |seq: u32| until.wrapping_sub(seq) as i32 <= 0;
            tcp.pass_unseen(d, if behind(from) { until } else { from });
            over |= to != until && behind(to);
        }
        if over && until != PerDirection::default() {
            self.take_back(&mut flow.core);
        }
    }

    /// The device carries the flow no more.
    pub(super) fn take_back(&mut self, core: &mut FlowCore) {
        let Some(aside) = &mut core.aside else { return };
        core.offload_wait = PerDirection { to_server: AGAIN_AFTER, to_client: AGAIN_AFTER };
        (aside.until, aside.whole) = Default::default();
        let Some(porter) = &mut self.porter else { return };
        let more = porter.release(core.flow_id);
        for dir in Direction::BOTH {
            let carried = &mut aside.carried[dir];
            carried.frames = carried.frames.saturating_add(more[dir].frames);
            carried.bytes = carried.bytes.saturating_add(more[dir].bytes);
        }
    }

    /// Nobody is told of the flow, as it was, any more.
    pub(super) fn carry_no_more(&mut self, core: &mut FlowCore, out: &mut Output) {
        if core.aside.is_some() {
            out.offloads.retain(|o| o.flow_id != core.flow_id);
            self.take_back(core);
        }
    }

    /// Bypasses a flow in which no rule of any stage could match any more, whatever comes: nothing is parsed, no rule is
    /// about packets or streams of its ports or addresses, and none is half-way.
    pub(super) fn leave_unwatched(&mut self, flow: &mut Flow<Session>) {
        let Flow { core, session } = flow;
        let Session { tcp, app, detect, other, blind, .. } = session;
        if !(self.inline && self.config.offload && app.is_idle())
            || core.state != FlowState::Established
            || core.flags.judged
            || *blind
            || other.is_some()
        {
            return;
        }
        if tcp.as_deref().is_some_and(|t| Direction::BOTH.into_iter().any(|d| t.holds_behind_gap(d))) {
            return;
        }
        if core.packets.to_server == 0 || core.packets.to_client == 0 {
            return;
        }
        core.flags.judged = true;
        if self.rules.unconcerned(&core.tuple, detect) {
            core.flags.by_rules = true;
            self.bypass(flow);
        }
    }

    /// A flow that nobody looked at is looked at again: from here on, what passed meanwhile being unseen.
    pub(super) fn reopen(&mut self, flow: &mut Flow<Session>, subject: Subject<'_>, out: &mut Output) {
        self.let_pass_unseen(flow, subject, out);
        flow.core.state = if flow.core.tuple.proto == IpProto::TCP { FlowState::New } else { FlowState::Established };
        flow.core.flags.passed = false;
        flow.core.flags.by_rules = false;
    }

    /// Packets of the flow pass without being followed: what is known of it will not hold, and goes. Whenever the next one
    /// is looked at, the flow is taken up there.
    pub(super) fn let_pass_unseen(&mut self, flow: &mut Flow<Session>, subject: Subject<'_>, out: &mut Output) {
        self.transactions(flow, subject, true, out);
        // Nor of what was to be said of it by this batch.
        self.carry_no_more(&mut flow.core, out);
        self.forget_other(flow);
        let ttl = flow.session.ttl;
        let before = std::mem::replace(&mut flow.session, Session { ttl, ..Session::default() });
        flow.session.other = Some(Box::new(before));
        flow.session.follow_other();
        self.forget_other(flow);
        flow.core.flags.reopened = true;
    }
}

/// A connection begins.
pub(super) fn begins(packet: &Packet<'_>) -> bool {
    packet
        .tcp()
        .is_some_and(|t| t.flags.has(TcpFlags::SYN) && !t.flags.any(TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN))
}

/// A simple reader finds the flow by these headers, and no connection begins or ends with it.
fn plain(packet: &Packet<'_>) -> bool {
    let flags = &packet.flags;
    let alone = packet.depth == 0 && !(flags.tunnelled || flags.fragment || flags.reassembled || flags.invalid);
    let ether = packet.link == LinkType::ETHERNET && packet.ether.is_some_and(|e| ETHER_TYPES.contains(&e.ether_type));
    let middle = match packet.tcp() {
        Some(tcp) => !tcp.flags.any(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST | TcpFlags::URG),
        None => packet.tuple.proto == IpProto::UDP,
    };
    alone && ether && middle && packet.vlan.len <= 2
}
