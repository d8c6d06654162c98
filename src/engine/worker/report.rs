//! What the worker writes down: alerts, drops, transactions, files, anomalies, the ends of flows.
//!
//! Fields and their order are EVE's; `record` knows them, this file knows where their values are. Writing goes into the
//! bounded records of the output; what finds no room is counted there and never waited for.

use super::Output;
use super::path::Path;
use crate::applayer::files::{File, FileState};
use crate::applayer::{AppSession, EventId, LogCx, LogPurpose, Progress, ProtoId, Transaction, TxId};
use crate::decode::Packet;
use crate::flow::{EndCause, Flow};
use crate::record::{self as fields, AlertFields, Anomaly, AnomalyLayer, DropFields, PacketSource, Variables};
use crate::record::{FlowEnd, FlowEndTcp, Head, Kind, flow_end, netflow_end};
use crate::session::Session;
use crate::types::{Counter, Direction, FieldSink, IpProto, Reason, Timestamp};
use std::ops::Range;

/// Live transactions of a flow whose events are looked at per packet.
const LOOKED_AT: usize = 8;

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
        Head {
            number: subject.source.numbered().then_some(subject.packet.number),
            order: self.number,
            flow_id: flow.map(|f| f.core.flow_id),
            input: self.config.input,
            event,
            ..Head::new(kind, subject.packet.ts, subject.packet.number)
        }
    }

    fn log_cx(&self, purpose: LogPurpose) -> LogCx<'_> {
        LogCx { settings: &self.config.proto.log, purpose, part: 0 }
    }

    fn names<'a>(&'a self, flow: Option<&Flow<Session>>) -> Names<'a> {
        // Variables of an earlier ruleset have names this one does not know.
        let Some(flow) = flow.filter(|f| f.core.epoch == self.rules.epoch()) else {
            return Names { bits: Vec::new(), ints: Vec::new() };
        };
        let detect = &flow.session.detect;
        Names {
            bits: detect.bits().iter().filter_map(|v| self.rules.var_name(*v)).collect(),
            ints: detect.ints().iter().filter_map(|(v, n)| Some((self.rules.var_name(*v)?, *n))).collect(),
        }
    }

    /// Name of the flow's protocol, and what each direction alone was taken for where that differs.
    fn proto_names(&self, flow: &Flow<Session>) -> Option<(&'static str, [Option<&'static str>; 2])> {
        let app = &flow.session.app;
        let name = match app.protocol() {
            ProtoId::ANY if app.unrecognised(flow.core.tuple.proto == IpProto::UDP) => "failed",
            ProtoId::ANY => return None,
            id => self.vocabulary.proto_def(id)?.name,
        };
        Some((name, Direction::BOTH.map(|d| app.unrecognised_in(d).then_some("failed"))))
    }

    pub(super) fn alert(
        &self,
        alert: &AlertInput,
        subject: Subject<'_>,
        flow: Option<&Flow<Session>>,
        out: &mut Output,
    ) {
        if self.config.records.alert.is_none() {
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
                progress_fields(sink, &flow.session.app, tx);
                self.transaction_fields(sink, &flow.session.app, tx, subject.dir);
            }
            if let Some((name, per_direction)) = self.proto_names(flow) {
                fields::app_proto(sink, name, per_direction, None);
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
            tx.log(sink, &self.log_cx(LogPurpose::Alert));
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
        if self.config.records.drop.is_none() || !self.inline {
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

    fn anomaly(
        &self,
        anomaly: &Anomaly<'_>,
        tx: Option<TxId>,
        subject: Subject<'_>,
        flow: Option<&Flow<Session>>,
        out: &mut Output,
    ) {
        let names = self.names(flow);
        out.records.write(&self.head(Kind::Anomaly, &subject, flow, ""), |sink| {
            fields::packet(sink, subject.packet, subject.source);
            Variables { flowbits: &names.bits, flowints: &names.ints }.write(sink);
            if let Some(tx) = tx {
                sink.uint("tx_id", tx.0);
            }
            fields::anomaly(sink, anomaly);
        });
    }

    /// Decode events of a packet as anomalies.
    pub(super) fn decode_anomalies(&self, subject: Subject<'_>, flow: Option<&Flow<Session>>, out: &mut Output) {
        if self.config.records.anomaly.as_ref().is_none_or(|a| !a.decode) {
            return;
        }
        for &e in &subject.packet.events {
            if let Some(row) = crate::decode::events::EVENTS.get(e as usize) {
                let anomaly = Anomaly { layer: AnomalyLayer::Decode, event: row.name, app_proto: None };
                self.anomaly(&anomaly, None, subject, flow, out);
            }
        }
    }

    /// Events of a segment as anomalies.
    pub(super) fn stream_anomalies(
        &self,
        events: &[u16],
        subject: Subject<'_>,
        flow: &Flow<Session>,
        out: &mut Output,
    ) {
        if self.config.records.anomaly.as_ref().is_none_or(|a| !a.stream) {
            return;
        }
        for &e in events {
            if let Some(row) = crate::stream::events::EVENTS.get(e as usize) {
                let anomaly = Anomaly { layer: AnomalyLayer::Stream, event: row.name, app_proto: None };
                self.anomaly(&anomaly, None, subject, Some(flow), out);
            }
        }
    }

    /// An application-layer event by its table's name, of a transaction or of the flow.
    pub(super) fn app_anomaly(
        &self,
        e: EventId,
        tx: Option<TxId>,
        subject: Subject<'_>,
        flow: &Flow<Session>,
        out: &mut Output,
    ) {
        if self.config.records.anomaly.as_ref().is_none_or(|a| !a.applayer) {
            return;
        }
        let Some(event) = self.vocabulary.proto_def(e.proto).and_then(|p| p.events.get(e.local as usize)) else {
            return;
        };
        let proto = self.vocabulary.proto_def(flow.session.app.protocol()).map(|p| p.name);
        let layer = if e.proto == ProtoId::ANY { AnomalyLayer::Detect } else { AnomalyLayer::Parser };
        self.anomaly(&Anomaly { layer, event: event.name, app_proto: proto }, tx, subject, Some(flow), out);
    }

    /// Logs what is ready, oldest first, and lets go of what is logged and inspected. `last`: the flow ends, so all of it
    /// is ready.
    pub(super) fn transactions(
        &mut self,
        flow: &mut Flow<Session>,
        subject: Subject<'_>,
        last: bool,
        out: &mut Output,
    ) {
        let Some(parser) = flow.session.app.parser() else { return };
        let (first, next) = parser.transactions();
        self.transaction_events(flow, first.max(flow.session.logged)..next, subject, out);
        self.transaction_records(flow, first..next, subject, last, out);
        for dir in Direction::BOTH {
            if last || subject.dir == Some(dir) {
                self.transaction_files(flow, dir, first..next, subject, last, out);
            } else {
                pass_fileless(flow, dir, first..next);
            }
        }
        let Session { app, detect, logged, recorded, filed, told, .. } = &mut flow.session;
        let Some(parser) = app.parser_mut() else { return };
        let ready = if last { next } else { (*recorded).min(filed.to_server).min(filed.to_client) };
        let mut id = (*logged).max(first);
        while id < ready && (last || parser.transaction(id).is_none_or(done)) {
            self.counters.inc(Counter::AppTransactions);
            id = TxId(id.0 + 1);
        }
        *logged = id;
        told.retain(|(tx, _)| *tx >= id);
        let free = if last { next } else { detect.free_before(parser).min(id) };
        (first.0..free.0).for_each(|i| parser.free(TxId(i)));
    }

    /// Events raised since the last packet, of the oldest transactions: others follow when they are the oldest.
    fn transaction_events(&self, flow: &mut Flow<Session>, live: Range<TxId>, subject: Subject<'_>, out: &mut Output) {
        for id in (live.start.0..live.end.0).take(LOOKED_AT).map(TxId) {
            let events = |flow: &Flow<Session>, i: usize| {
                flow.session.app.parser().and_then(|p| p.transaction(id)?.events().get(i).copied())
            };
            let told = flow.session.told.iter().find(|(tx, _)| *tx == id).map_or(0, |(_, n)| usize::from(*n));
            let mut n = told;
            while let Some(e) = events(flow, n) {
                self.app_anomaly(e, Some(id), subject, flow, out);
                n += 1;
            }
            if n > told {
                flow.session.told.retain(|(tx, _)| *tx != id);
                flow.session.told.push((id, u16::try_from(n).unwrap_or(u16::MAX)));
            }
        }
    }

    fn transaction_records(
        &self,
        flow: &mut Flow<Session>,
        live: Range<TxId>,
        subject: Subject<'_>,
        last: bool,
        out: &mut Output,
    ) {
        let mut id = flow.session.recorded.max(live.start);
        while id < live.end {
            if let Some(tx) = flow.session.app.parser().and_then(|p| p.transaction(id)) {
                if !last && !done(tx) && !tx.log_ready() {
                    break;
                }
                self.transaction_record(flow, tx, id, subject, out);
            }
            id = TxId(id.0 + 1);
        }
        flow.session.recorded = id;
    }

    fn transaction_record(
        &self,
        flow: &Flow<Session>,
        tx: &dyn Transaction,
        id: TxId,
        subject: Subject<'_>,
        out: &mut Output,
    ) {
        let Some(def) = self.vocabulary.proto_def(flow.session.app.protocol()) else { return };
        if !self.config.records.transactions.has(def.id) {
            return;
        }
        let cx = self.log_cx(LogPurpose::Own);
        // Whatever direction the last packet went, the record shows the sender of what it tells.
        let client_first = tx.shown_as(cx.settings) == Direction::ToServer;
        let ends = if client_first { flow.core.tuple } else { flow.core.tuple.flip() };
        let names = self.names(Some(flow));
        for part in 0..tx.records(cx.settings) {
            out.records.write(&self.head(Kind::Tx, &subject, Some(flow), def.name), |sink| {
                fields::tuple(sink, &ends, &flow.core.vlan, None, Some(subject.source));
                Variables { flowbits: &names.bits, flowints: &names.ints }.write(sink);
                if tx.numbered() {
                    sink.uint("tx_id", id.0);
                }
                sink.begin_object(def.name);
                tx.log(sink, &LogCx { part, ..cx });
                sink.end();
            });
        }
    }

    /// Records of the files of one direction that have ended, in a packet of that direction.
    fn transaction_files(
        &self,
        flow: &mut Flow<Session>,
        dir: Direction,
        live: Range<TxId>,
        subject: Subject<'_>,
        last: bool,
        out: &mut Output,
    ) {
        let mut id = flow.session.filed[dir].max(live.start);
        while id < live.end {
            let session = &flow.session;
            let Some(tx) = session.app.parser().and_then(|p| p.transaction(id)) else {
                id = TxId(id.0 + 1);
                continue;
            };
            let due = |f: &&File| !f.logged && (last || f.state != FileState::Open);
            for file in tx.files(dir).iter().filter(due) {
                self.file_record(flow, tx, file, dir, subject, out);
            }
            let over = last || tx.progress(dir) == Progress::DONE;
            if let Some(tx) = flow.session.app.parser_mut().and_then(|p| p.transaction_mut(id)) {
                tx.files_mut(dir).iter_mut().for_each(|f| f.logged |= last || f.state != FileState::Open);
            }
            if !over {
                break;
            }
            id = TxId(id.0 + 1);
        }
        flow.session.filed[dir] = id;
    }

    fn file_record(
        &self,
        flow: &Flow<Session>,
        tx: &dyn Transaction,
        file: &File,
        dir: Direction,
        subject: Subject<'_>,
        out: &mut Output,
    ) {
        let Some(def) = self.vocabulary.proto_def(flow.session.app.protocol()) else { return };
        if self.config.records.files.is_none() {
            return;
        }
        let names = self.names(Some(flow));
        out.records.write(&self.head(Kind::FileInfo, &subject, Some(flow), ""), |sink| {
            let t = if dir == Direction::ToServer { flow.core.tuple } else { flow.core.tuple.flip() };
            fields::tuple(sink, &t, &flow.core.vlan, None, Some(subject.source));
            Variables { flowbits: &names.bits, flowints: &names.ints }.write(sink);
            sink.begin_object(def.name);
            tx.log(sink, &self.log_cx(LogPurpose::File));
            sink.end();
            fields::app_proto(sink, def.name, [None, None], None);
            fields::fileinfo(sink, "fileinfo", file);
        });
    }

    /// The closing records of a flow.
    pub(super) fn flow_ended(&self, flow: &Flow<Session>, cause: EndCause, out: &mut Output) {
        if !self.config.records.flow && !self.config.records.netflow {
            return;
        }
        let core = &flow.core;
        let session = &flow.session;
        let names = self.names(Some(flow));
        let proto = self.proto_names(flow);
        let pair = |p: &crate::types::PerDirection<u64>| [p.to_server, p.to_client];
        let end = FlowEnd {
            tuple: core.tuple,
            vlan: core.vlan,
            icmp: [core.icmp.to_server, core.icmp.to_client],
            app_proto: proto.map(|p| p.0),
            app_proto_per_direction: proto.map_or([None, None], |p| p.1),
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
            tcp: (core.tuple.proto == IpProto::TCP).then(|| flow_end_tcp(flow)),
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

/// `ts_progress` and `tc_progress`: how far the transaction had come.
fn progress_fields(sink: &mut dyn FieldSink, app: &AppSession, id: TxId) {
    let Some(tx) = app.parser().and_then(|p| p.transaction(id)) else { return };
    for (key, dir) in ["ts_progress", "tc_progress"].into_iter().zip(Direction::BOTH) {
        if let Some(name) = tx.progress_name(dir) {
            sink.text(key, name);
        }
    }
}

/// Nothing more will come of it.
fn done(tx: &dyn Transaction) -> bool {
    Direction::BOTH.into_iter().all(|d| tx.progress(d) == Progress::DONE)
}

/// Moves past transactions that are over in `dir` and have no files there: they wait for no packet.
fn pass_fileless(flow: &mut Flow<Session>, dir: Direction, live: Range<TxId>) {
    let Session { app, filed, .. } = &mut flow.session;
    let mut id = filed[dir].max(live.start);
    let over = |tx: &dyn Transaction| tx.progress(dir) == Progress::DONE && tx.files(dir).iter().all(|f| f.logged);
    while id < live.end && app.parser().and_then(|p| p.transaction(id)).is_none_or(over) {
        id = TxId(id.0 + 1);
    }
    filed[dir] = id;
}
