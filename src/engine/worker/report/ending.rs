//! The closing records of a flow: `flow`, and `netflow` of each direction.

use crate::flow::{EndCause, Flow};
use crate::record::{FlowEnd, FlowEndTcp, Head, Kind, flow_end, netflow_end};
use crate::session::Session;
use crate::types::{Direction, FieldSink, IpProto, Timestamp};
use crate::worker::Output;
use crate::worker::path::Path;

impl Path {
    /// The closing records of a flow.
    pub(in crate::worker) fn flow_ended(&self, flow: &Flow<Session>, cause: EndCause, out: &mut Output) {
        if !self.config.records.flow && !self.config.records.netflow {
            return;
        }
        let core = &flow.core;
        let session = &flow.session;
        let common = |sink: &mut dyn FieldSink| self.common(sink, None, Some(flow));
        let proto = self.proto_names(flow);
        let carried = core.aside.as_deref().map(|a| [a.carried.to_server, a.carried.to_client]).unwrap_or_default();
        let aside = carried.iter().any(|c| c.frames > 0).then(|| (carried.map(|c| c.frames), carried.map(|c| c.bytes)));
        let (packets, bytes) = core.volume();
        let end = FlowEnd {
            tuple: core.tuple,
            vlan: core.vlan,
            macs: core.macs.as_deref(),
            icmp: [core.icmp.to_server, core.icmp.to_client],
            app_proto: proto.map(|p| p.0),
            app_proto_per_direction: proto.map_or([None, None], |p| p.1),
            packets,
            bytes,
            aside,
            start: core.first,
            end: core.last,
            state: core.state,
            reason: cause,
            alerted: core.flags.alerted,
            action: match (core.flags.condemned, core.flags.passed) {
                (Some(_), _) => Some("drop"),
                (None, true) => Some("pass"),
                (None, false) => None,
            },
            transactions: session.earlier_transactions + session.logged.0,
            exceptions: &session.exceptions,
            common: &common,
            short: self.short(),
            app_proto_original: session.original.and_then(|id| self.vocabulary.proto_def(id)).map(|p| p.name),
            tcp: (core.tuple.proto == IpProto::TCP).then(|| flow_end_tcp(flow)),
            ttl: session.ttl,
        };
        let head = |kind, ts: Timestamp| Head {
            number: None,
            order: self.number,
            flow_id: Some(core.flow_id),
            input: core.first_port.0.into(),
            ..Head::new(kind, ts, 0)
        };
        if self.config.records.flow {
            out.records.write(&head(Kind::Flow, self.now), |sink| flow_end(sink, &end));
        }
        if self.config.records.netflow {
            for dir in Direction::BOTH {
                if let Some(body) = netflow_end(&end, dir) {
                    out.records.write(&head(Kind::Netflow, self.now), body);
                }
            }
        }
    }
}

/// What was followed of the connection; of one that was not, nothing is known, its flags neither.
fn flow_end_tcp(flow: &Flow<Session>) -> FlowEndTcp {
    let flags = &flow.core.tcp_flags;
    match flow.session.tcp.as_deref().filter(|t| t.tracked()) {
        None => FlowEndTcp { flags: [0, 0], state: None, gaps: [false, false], regions_max: [0, 0] },
        Some(t) => FlowEndTcp {
            flags: [flags.to_server, flags.to_client],
            state: Some(t.state().name()),
            gaps: Direction::BOTH.map(|d| t.gapped(d)),
            regions_max: [1, 1],
        },
    }
}
