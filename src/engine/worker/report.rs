//! What the worker writes down: alerts, drops, transactions, files, anomalies, the ends of flows.
//!
//! Fields and their order are EVE's; `record` knows them, this file knows where their values are. Writing goes into the
//! bounded records of the output; what finds no room is counted there and never waited for.

use super::Output;
use super::path::Path;
use crate::applayer::{AppSession, EventId, ProtoId, Transaction, TxId};
use crate::decode::Packet;
use crate::flow::{EndCause, Flow};
use crate::record::{self as fields, AlertFields, Anomaly, AnomalyLayer, DropFields, PacketSource, Variables};
use crate::record::{FlowEnd, FlowEndTcp, Head, Kind, flow_end, netflow_end};
use crate::session::Session;
use crate::types::{Counter, Direction, FieldSink, Reason, Timestamp};

/// The packet records speak of: a real one, or a flow's end.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub packet: &'a Packet<'a>,
    pub source: PacketSource,
    pub dir: Option<Direction>,
}

/// One alert to write.
pub(super) struct AlertInput {
    pub sig: crate::detect::signature::SigIdx,
    pub tx: Option<TxId>,
    /// The signature's action was carried out.
    pub blocked: bool,
}

/// Names of a flow's bits and numbers, gathered once per record.
struct Names<'a> {
    bits: Vec<&'a str>,
    ints: Vec<(&'a str, u32)>,
}

impl Path {
    fn head<'a>(&self, kind: Kind, subject: &Subject<'_>, flow: Option<&Flow<Session>>, event: &'a str) -> Head<'a> {
        let made_up = matches!(subject.source, PacketSource::FlowTimeout | PacketSource::StreamFlush);
        Head {
            number: (!made_up).then_some(subject.packet.number),
            order: self.number,
            flow_id: flow.map(|f| f.core.flow_id),
            input: self.config.input,
            event,
            ..Head::new(kind, subject.packet.ts, subject.packet.number)
        }
    }

    fn names<'a>(&'a self, flow: Option<&Flow<Session>>) -> Names<'a> {
        let Some(flow) = flow else { return Names { bits: Vec::new(), ints: Vec::new() } };
        let detect = &flow.session.detect;
        Names {
            bits: detect.bits().iter().filter_map(|v| self.rules.var_name(*v)).collect(),
            ints: detect.ints().iter().filter_map(|(v, n)| Some((self.rules.var_name(*v)?, *n))).collect(),
        }
    }

    fn proto_name(&self, app: &AppSession) -> Option<&'static str> {
        match app.protocol() {
            ProtoId::ANY if app.failed() => Some("failed"),
            ProtoId::ANY => None,
            id => self.vocabulary.proto_def(id).map(|d| d.name),
        }
    }

    pub(super) fn alert(
        &self,
        alert: &AlertInput,
        subject: Subject<'_>,
        flow: Option<&Flow<Session>>,
        out: &mut Output,
    ) {
        if !self.config.records.alert {
            return;
        }
        let Some(sig) = self.rules.signature(alert.sig) else { return };
        let t = &subject.packet.tuple;
        let (src, dst) = ((t.src, t.sport), (t.dst, t.dport));
        let target = sig.target.map(|t| match t {
            crate::detect::signature::Target::Source => (dst, src),
            crate::detect::signature::Target::Destination => (src, dst),
        });
        let names = self.names(flow);
        out.records.write(&self.head(Kind::Alert, &subject, flow, ""), |sink| {
            fields::packet(sink, subject.packet, subject.source);
            Variables { flowbits: &names.bits, flowints: &names.ints }.write(sink);
            if let Some(tx) = alert.tx {
                sink.uint("tx_id", tx.0);
            }
            fields::alert(
                sink,
                &AlertFields {
                    blocked: alert.blocked,
                    gid: sig.gid,
                    sid: sig.sid,
                    rev: sig.rev,
                    msg: &sig.msg,
                    category: &sig.category,
                    severity: sig.priority,
                    metadata: &sig.metadata,
                    target,
                },
            );
            let Some(flow) = flow else { return };
            if let Some(tx) = alert.tx {
                self.transaction_fields(sink, &flow.session.app, tx, subject.dir);
            }
            if let Some(name) = self.proto_name(&flow.session.app) {
                fields::app_proto(sink, name, [None, None], None);
            }
            if let Some(dir) = subject.dir {
                fields::direction(sink, dir);
            }
            let core = &flow.core;
            let pair = |p: &crate::types::PerDirection<u64>| [p.to_server, p.to_client];
            fields::flow_summary(sink, pair(&core.packets), pair(&core.bytes), core.first, &core.tuple);
        });
    }

    /// The protocol's own object, and the files of the direction.
    fn transaction_fields(&self, sink: &mut dyn FieldSink, app: &AppSession, id: TxId, dir: Option<Direction>) {
        let Some(tx) = app.parser().and_then(|p| p.transaction(id)) else { return };
        if let Some(def) = self.vocabulary.proto_def(app.protocol()) {
            sink.begin_object(def.name);
            tx.log(sink);
            sink.end();
        }
        let files = dir.map_or(&[][..], |d| tx.files(d));
        if !files.is_empty() {
            sink.begin_array("files");
            files.iter().for_each(|f| fields::fileinfo(sink, "", f));
            sink.end();
        }
    }

    pub(super) fn dropped(&self, reason: Reason, subject: Subject<'_>, flow: Option<&Flow<Session>>, out: &mut Output) {
        if !self.config.records.drop || !self.inline {
            return;
        }
        out.records.write(&self.head(Kind::Drop, &subject, flow, ""), |sink| {
            fields::packet(sink, subject.packet, subject.source);
            if let Some(dir) = subject.dir {
                fields::direction(sink, dir);
            }
            fields::drop_details(sink, subject.packet, DropFields { reason });
        });
    }

    pub(super) fn anomaly(
        &self,
        layer: AnomalyLayer,
        event: &str,
        app_proto: Option<&str>,
        subject: Subject<'_>,
        flow: Option<&Flow<Session>>,
        out: &mut Output,
    ) {
        if !self.config.records.anomaly {
            return;
        }
        out.records.write(&self.head(Kind::Anomaly, &subject, flow, ""), |sink| {
            fields::packet(sink, subject.packet, subject.source);
            fields::anomaly(sink, &Anomaly { layer, event, app_proto });
        });
    }

    /// Decode events of a packet as anomalies.
    pub(super) fn decode_anomalies(&self, subject: Subject<'_>, flow: Option<&Flow<Session>>, out: &mut Output) {
        for &e in &subject.packet.events {
            if let Some(row) = crate::decode::events::EVENTS.get(e as usize) {
                self.anomaly(AnomalyLayer::Decode, row.name, None, subject, flow, out);
            }
        }
    }

    /// An application-layer event by its table's name.
    pub(super) fn app_anomaly(&self, e: EventId, subject: Subject<'_>, flow: &Flow<Session>, out: &mut Output) {
        let Some(proto) = self.vocabulary.proto_def(e.proto) else { return };
        let Some(event) = proto.events.get(e.local as usize) else { return };
        let (layer, name) = match e.proto {
            ProtoId::ANY => (AnomalyLayer::Detect, None),
            _ => (AnomalyLayer::Parser, Some(proto.name)),
        };
        self.anomaly(layer, event.name, name, subject, Some(flow), out);
    }

    /// Logs what is finished, oldest first, and lets go of what is logged and inspected. `last`: the flow ends, so all
    /// of it is finished.
    pub(super) fn transactions(
        &mut self,
        flow: &mut Flow<Session>,
        subject: Subject<'_>,
        last: bool,
        out: &mut Output,
    ) {
        let Some(parser) = flow.session.app.parser() else { return };
        let (first, next) = parser.transactions();
        let mut id = flow.session.logged.max(first);
        while id < next {
            let finished = parser.transaction(id).is_none_or(|tx| {
                Direction::BOTH.into_iter().all(|d| tx.progress(d) == crate::applayer::Progress::DONE)
            });
            if !finished && !last {
                break;
            }
            if id >= flow.session.recorded {
                self.transaction_record(flow, id, subject, out);
            }
            self.transaction(flow, id, subject, out);
            self.counters.inc(Counter::AppTransactions);
            id = TxId(id.0 + 1);
        }
        let early = id < next && id >= flow.session.recorded && parser.transaction(id).is_some_and(|tx| tx.log_ready());
        if early {
            self.transaction_record(flow, id, subject, out);
        }
        let Session { app, detect, logged, recorded, .. } = &mut flow.session;
        *logged = id;
        *recorded = if early { TxId(id.0 + 1) } else { id.max(*recorded) };
        let Some(parser) = app.parser_mut() else { return };
        let free = if last { next } else { detect.free_before(parser).min(id) };
        (first.0..free.0).for_each(|i| parser.free(TxId(i)));
    }

    fn transaction(&self, flow: &Flow<Session>, id: TxId, subject: Subject<'_>, out: &mut Output) {
        let app = &flow.session.app;
        let Some(tx) = app.parser().and_then(|p| p.transaction(id)) else { return };
        for e in tx.events() {
            self.app_anomaly(*e, subject, flow, out);
        }
        self.transaction_files(flow, tx, subject, out);
    }

    fn transaction_record(&self, flow: &Flow<Session>, id: TxId, subject: Subject<'_>, out: &mut Output) {
        let app = &flow.session.app;
        let Some(tx) = app.parser().and_then(|p| p.transaction(id)) else { return };
        let Some(def) = self.vocabulary.proto_def(app.protocol()) else { return };
        // Whatever direction the last packet went, the record shows the sender of what it tells.
        let client_first = tx.shown_as() == Direction::ToServer;
        let ends = if client_first { flow.core.tuple } else { flow.core.tuple.flip() };
        let shown = |sink: &mut dyn FieldSink| {
            fields::tuple(sink, &ends, &flow.core.vlan, None, Some(subject.source));
        };
        if self.config.records.transactions && tx.loggable() {
            out.records.write(&self.head(Kind::Tx, &subject, Some(flow), def.name), |sink| {
                shown(sink);
                sink.uint("tx_id", id.0);
                sink.begin_object(def.name);
                tx.log(sink);
                sink.end();
            });
        }
    }

    fn transaction_files(&self, flow: &Flow<Session>, tx: &dyn Transaction, subject: Subject<'_>, out: &mut Output) {
        let Some(def) = self.vocabulary.proto_def(flow.session.app.protocol()) else { return };
        if !self.config.records.files {
            return;
        }
        for dir in Direction::BOTH {
            for file in tx.files(dir) {
                out.records.write(&self.head(Kind::FileInfo, &subject, Some(flow), ""), |sink| {
                    let t = if dir == Direction::ToServer { flow.core.tuple } else { flow.core.tuple.flip() };
                    fields::tuple(sink, &t, &flow.core.vlan, None, Some(subject.source));
                    sink.begin_object(def.name);
                    tx.log(sink);
                    sink.end();
                    fields::app_proto(sink, def.name, [None, None], None);
                    fields::fileinfo(sink, "fileinfo", file);
                });
            }
        }
    }

    /// The closing records of a flow.
    pub(super) fn flow_ended(&self, flow: &Flow<Session>, cause: EndCause, out: &mut Output) {
        if !self.config.records.flow && !self.config.records.netflow {
            return;
        }
        let core = &flow.core;
        let session = &flow.session;
        let names = self.names(Some(flow));
        let pair = |p: &crate::types::PerDirection<u64>| [p.to_server, p.to_client];
        let end = FlowEnd {
            tuple: core.tuple,
            vlan: core.vlan,
            icmp: [core.icmp.to_server, core.icmp.to_client],
            app_proto: self.proto_name(&session.app),
            app_proto_per_direction: [None, None],
            packets: pair(&core.packets),
            bytes: pair(&core.bytes),
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
            variables: Variables { flowbits: &names.bits, flowints: &names.ints },
            tcp: session.tcp.as_deref().map(|t| FlowEndTcp {
                flags: [core.tcp_flags.to_server, core.tcp_flags.to_client],
                state: Some(t.state().name()),
                gaps: [false, false],
                regions_max: [1, 1],
            }),
            ttl: session.ttl,
        };
        let head = |kind, ts: Timestamp| Head {
            number: None,
            order: self.number,
            flow_id: Some(core.flow_id),
            input: self.config.input,
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
