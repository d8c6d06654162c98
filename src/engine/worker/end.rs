//! A flow's end: what its streams still held is delivered and inspected, its open transactions are logged, then the flow
//! itself.

use super::Output;
use super::findings::View;
use super::path::{Fate, Path, Placed};
use super::report::Subject;
use crate::decode::{Frame, IpHeader, L4, LinkType, Packet, PortId, Span, TcpFlags, TcpHeader};
use crate::flow::{EndCause, Flow, FlowState};
use crate::record::PacketSource;
use crate::session::Session;
use crate::stream::TcpSession;
use crate::types::{Direction, IpProto};

/// Gaps of a flow behind which bytes are inspected at its end.
const GAPS_MAX: usize = 64;

impl Path {
    pub(super) fn end(&mut self, flow: &mut Flow<Session>, cause: EndCause, out: &mut Output) {
        if flow.session.guess.is_some() {
            flow.session.exchange();
        }
        self.forget_other(flow);
        self.renew(flow);
        let condemned = flow.core.flags.condemned.is_some();
        if !flow.session.blind && !condemned {
            self.flush(flow, out);
        }
        if let Some(tcp) = &mut flow.session.tcp {
            tcp.release(&mut self.account);
        }
        self.unbill(&mut flow.session);
        self.carry_no_more(&mut flow.core, out);
        self.flow_ended(flow, cause, out);
    }

    /// What follows is ciphertext that nobody looks at: what the streams still hold is inspected, then the flow is let go.
    pub(super) fn leave_encrypted(&mut self, flow: &mut Flow<Session>, fate: &mut Fate, out: &mut Output) {
        if flow.core.state == FlowState::Bypassed || !flow.session.app.parser().is_some_and(|p| p.bypass()) {
            return;
        }
        for dir in Direction::BOTH {
            let packet = self.made_up(flow, dir);
            let subject = Subject { packet: &packet, source: PacketSource::StreamFlush, dir: Some(dir) };
            self.detect_in_flow(flow, subject, &[], Placed::default(), fate, out);
        }
        self.bypass(flow);
    }

    /// Ends both directions, what is left of each inspected as if by a packet of its own without payload.
    fn flush(&mut self, flow: &mut Flow<Session>, out: &mut Output) {
        let mut fate = Fate::default();
        let unread = |tcp: &TcpSession| Direction::BOTH.into_iter().any(|d| tcp.unread(d));
        if flow.session.app.parser().is_none() && !flow.session.tcp.as_deref().is_some_and(unread) {
            return;
        }
        for dir in Direction::BOTH {
            if let Some(tcp) = &mut flow.session.tcp {
                tcp.finish(dir);
            }
            if self.feed_tcp(flow, dir, &mut fate)
                && let Some(tcp) = &mut flow.session.tcp
            {
                // Turned round: the other direction has this name now.
                tcp.finish(dir);
            }
            self.step_over_gaps(flow, dir, &mut fate, out);
            let packet = self.made_up(flow, dir);
            let subject = Subject { packet: &packet, source: PacketSource::FlowTimeout, dir: Some(dir) };
            self.detect_in_flow(flow, subject, &[], Placed::default(), &mut fate, out);
        }
    }

    /// Bytes behind a gap come once both readers have had those before it.
    fn step_over_gaps(&mut self, flow: &mut Flow<Session>, dir: Direction, fate: &mut Fate, out: &mut Output) {
        for _ in 0..GAPS_MAX {
            if !flow.session.tcp.as_deref().is_some_and(|tcp| tcp.holds_behind_gap(dir)) {
                return;
            }
            let packet = self.made_up(flow, dir);
            let subject = Subject { packet: &packet, source: PacketSource::FlowTimeout, dir: Some(dir) };
            let placed = Placed::default();
            let view = View { subject, stream_events: &[], app_events: &[], placed, flow_end: false };
            if flow.core.flags.passed {
                return;
            }
            self.detect(flow, &view, fate, out);
            self.feed_tcp(flow, dir, fate);
        }
    }

    /// A packet of the flow that never was: made now, with its ends and no bytes.
    fn made_up(&self, flow: &Flow<Session>, dir: Direction) -> Packet<'static> {
        let frame = Frame {
            ts: self.now,
            number: self.number,
            link: LinkType::RAW,
            port: PortId::default(),
            data: &[],
            wire_len: 0,
        };
        let mut packet = Packet::new(&frame);
        packet.vlan = flow.core.vlan;
        packet.tuple = match dir {
            Direction::ToServer => flow.core.tuple,
            Direction::ToClient => flow.core.tuple.flip(),
        };
        let proto = packet.tuple.proto;
        packet.l4 = match proto {
            IpProto::TCP => L4::Tcp(TcpHeader { flags: TcpFlags(TcpFlags::ACK), ..TcpHeader::default() }),
            IpProto::UDP => L4::Udp { header: Span::default() },
            _ => L4::Other,
        };
        let header = Span::default();
        packet.ip = Some(if packet.tuple.src.is_ipv4() {
            IpHeader::V4 { header, tos: 0, total_len: 0, id: 0, frag: 0, ttl: 0, proto }
        } else {
            IpHeader::V6 {
                header,
                traffic_class: 0,
                flow_label: 0,
                payload_len: 0,
                hop_limit: 0,
                proto,
                fragmented: false,
            }
        });
        packet
    }
}
