//! What the worker writes down: alerts, drops, transactions, files, anomalies, the ends of flows.
//!
//! Fields and their order are EVE's; `record` knows them, this room knows where their values are. Writing goes into the
//! bounded records of the output; what finds no room is counted there and never waited for. Nothing is gathered before
//! it is written: a record costs no allocation.

mod alert;
mod anomaly;
mod ending;
mod frames;

use super::Output;
use super::path::Path;
use crate::applayer::files::{File, FileState};
use crate::applayer::{Counted, LogCx, LogPurpose, Progress, ProtoId, Transaction, TxId, generic};
use crate::decode::Packet;
use crate::flow::Flow;
use crate::record::{self as fields, Head, Kind, PacketSource};
use crate::session::Session;
use crate::types::{Counter, Direction, FieldSink, FiveTuple, IpProto};
use std::ops::Range;

pub(super) use alert::{AlertInput, Ruled};

/// Live transactions of a flow whose events are looked at per packet.
const LOOKED_AT: usize = 8;

/// The packet records speak of: a real one, or a flow's end.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub packet: &'a Packet<'a>,
    pub source: PacketSource,
    pub dir: Option<Direction>,
}

impl Path {
    fn head<'a>(&self, kind: Kind, subject: &Subject<'_>, flow: Option<&Flow<Session>>, event: &'a str) -> Head<'a> {
        Head {
            number: subject.source.numbered().then_some(subject.packet.number),
            order: self.number,
            flow_id: flow.map(|f| f.core.flow_id),
            input: subject.packet.port.0.into(),
            event,
            ..Head::new(kind, subject.packet.ts, subject.packet.number)
        }
    }

    fn log_cx(&self, purpose: LogPurpose) -> LogCx<'_> {
        LogCx::new(&self.config.proto.log, purpose)
    }

    /// IPv6 addresses are written in their short form.
    fn short(&self) -> bool {
        self.config.records.common.ipv6_compress
    }

    /// Where and whence of a record about a packet, and what records of every kind hold.
    fn of_packet(&self, sink: &mut dyn FieldSink, subject: &Subject<'_>, flow: Option<&Flow<Session>>) {
        fields::packet(sink, subject.packet, subject.source, self.short());
        self.common(sink, Some((subject.packet, false)), flow);
    }

    /// The same of a record about a flow, with `ends` as it shall show them.
    fn of_flow(&self, sink: &mut dyn FieldSink, ends: &FiveTuple, subject: &Subject<'_>, flow: &Flow<Session>) {
        fields::tuple(sink, ends, &flow.core.vlan, None, Some(subject.source), self.short());
        let to_server = *ends == flow.core.tuple;
        let turned = subject.dir.is_some_and(|d| (d == Direction::ToServer) != to_server);
        self.common(sink, Some((subject.packet, turned)), Some(flow));
    }

    /// What records of every kind hold: hardware addresses, the flow's identity, its bits and numbers. `packet` with
    /// whether the record shows its ends the other way round.
    fn common(&self, sink: &mut dyn FieldSink, packet: Option<(&Packet<'_>, bool)>, flow: Option<&Flow<Session>>) {
        let common = &self.config.records.common;
        if common.ethernet
            && let Some((packet, turned)) = packet
        {
            // What stands in for a packet came by the way of the flow's first.
            let stand_in = || flow.and_then(|f| f.core.macs.as_deref()?.first());
            if let Some(e) = packet.ether.map(|e| if turned { e.turned() } else { e }).or_else(stand_in) {
                let header = e.header.of(packet.bytes.as_slice());
                let outer = header.last_chunk::<2>().map(|b| u16::from_be_bytes(*b));
                fields::ethernet(sink, &e, outer);
            }
        }
        let vars = if packet.is_some() { self.detector.packet_vars() } else { &[] };
        let Some(flow) = flow else {
            if common.metadata && !vars.is_empty() {
                let said = fields::SaidOf { packet: vars, ..Default::default() };
                fields::variables(sink, std::iter::empty(), std::iter::empty(), &said);
            }
            return;
        };
        if let Some(seed) = common.community_id {
            let icmp = [flow.core.icmp.to_server, flow.core.icmp.to_client];
            sink.text("community_id", fields::community_id(seed, &flow.core.tuple, icmp).as_str());
        }
        // Variables of an earlier ruleset have names this one does not know.
        if common.metadata && flow.core.epoch == self.rules.epoch() {
            let detect = &flow.session.detect;
            let bits = detect.bits().iter().filter_map(|v| self.rules.var_name(*v));
            let ints = detect.ints().iter().filter_map(|(v, n)| Some((self.rules.var_name(*v)?, *n)));
            let measured = detect.measured().iter().filter_map(|(v, x)| Some((self.rules.var_name(*v)?, *x)));
            let entropy: Vec<_> = measured.collect();
            let said = fields::SaidOf { flow: detect.captured(), packet: vars, entropy: &entropy };
            fields::variables(sink, bits, ints, &said);
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
        let unseen = unseen(flow);
        self.transaction_events(flow, first.max(flow.session.logged)..next, subject, out);
        self.transaction_records(flow, first..next, subject, last, out);
        for dir in Direction::BOTH {
            if last || subject.dir == Some(dir) || unseen == Some(dir) {
                self.transaction_files(flow, dir, first..next, subject, last, out);
            } else {
                pass_fileless(flow, dir, first..next);
            }
        }
        let udp = flow.core.tuple.proto == IpProto::UDP;
        let Session { app, detect, logged, recorded, filed, told, keep, .. } = &mut flow.session;
        let protocol = app.protocol();
        let Some(parser) = app.parser_mut() else { return };
        let ready = if last { next } else { (*recorded).min(filed.to_server).min(filed.to_client) };
        // Let go by the parser before they had their record: it needed the room.
        self.counters.add(Counter::AppTxOverflow, first.0.saturating_sub(logged.0));
        let mut id = (*logged).max(first);
        while id < ready && (last || parser.transaction(id).is_none_or(|tx| done(tx, unseen))) {
            self.counters.inc(Counter::AppTransactions);
            self.protocols.inc(protocol, udp, Counted::Transaction);
            id = TxId(id.0 + 1);
        }
        let followed = id > *logged && !last;
        *logged = id;
        told.retain(|(tx, _)| *tx >= id);
        keep.forget_before(id);
        let free = if last { next } else { detect.free_before(parser, unseen).min(id) };
        (first.0..free.0).for_each(|i| parser.free(TxId(i)));
        if followed {
            app.in_step();
        }
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
        let unseen = unseen(flow);
        let mut id = flow.session.recorded.max(live.start);
        while id < live.end {
            if let Some(tx) = flow.session.app.parser().and_then(|p| p.transaction(id)) {
                if !last && !done(tx, unseen) && !tx.log_ready() {
                    break;
                }
                let unlogged = flow.session.detect.unlogged(id);
                let silent = flow.session.silenced.silences(tx, unlogged);
                if !silent {
                    self.transaction_record(flow, tx, id, subject, out);
                }
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
        for part in 0..tx.records(cx.settings) {
            out.records.write(&self.head(Kind::Tx, &subject, Some(flow), def.name), |sink| {
                self.of_flow(sink, &ends, &subject, flow);
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
        &mut self,
        flow: &mut Flow<Session>,
        dir: Direction,
        live: Range<TxId>,
        subject: Subject<'_>,
        last: bool,
        out: &mut Output,
    ) {
        let mut id = flow.session.filed[dir].max(live.start);
        while id < live.end {
            if flow.session.app.parser().and_then(|p| p.transaction(id)).is_none() {
                id = TxId(id.0 + 1);
                continue;
            }
            self.number_files(flow, id, dir);
            let Some(tx) = flow.session.app.parser().and_then(|p| p.transaction(id)) else { break };
            let due = |f: &&File| !f.logged && (last || f.state != FileState::Open);
            for (i, file) in tx.files(dir).iter().enumerate().filter(|(_, f)| due(f) && f.stored.is_some()) {
                let content = tx.buffer(generic::FILE_DATA, dir, i).map_or(&[][..], |b| b.data);
                self.file_content(flow, file, content, subject, out);
            }
            for file in tx.files(dir).iter().filter(due) {
                self.file_record(flow, tx, file, dir, subject, out);
            }
            let over = last || tx.progress(dir) == Progress::DONE || unseen(flow) == Some(dir);
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

    /// Numbers the files of a transaction's direction that are to leave the engine.
    fn number_files(&mut self, flow: &mut Flow<Session>, id: TxId, dir: Direction) {
        if !self.config.keep_files.is_some_and(|k| k.all || flow.session.keep.asks(id, dir)) {
            return;
        }
        let Some(tx) = flow.session.app.parser_mut().and_then(|p| p.transaction_mut(id)) else { return };
        for file in tx.files_mut(dir).iter_mut().filter(|f| !f.logged && f.stored.is_none() && f.sha256.is_some()) {
            self.kept_files = self.kept_files.saturating_add(1);
            file.stored = Some(self.kept_files);
            self.counters.inc(Counter::FileStoreKept);
        }
    }

    /// What is held of a file's content, for who keeps it.
    fn file_content(&self, flow: &Flow<Session>, file: &File, content: &[u8], subject: Subject<'_>, out: &mut Output) {
        out.records.write(&self.head(Kind::FileData, &subject, Some(flow), ""), |sink| {
            sink.text("sha256", file.sha256.as_deref().unwrap_or_default());
            sink.uint("file_id", u64::from(file.stored.unwrap_or_default()));
            sink.bytes("data", content);
        });
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
        // Who keeps the file may want its record, though no log does.
        if self.config.records.files.is_none() && file.stored.is_none() {
            return;
        }
        out.records.write(&self.head(Kind::FileInfo, &subject, Some(flow), ""), |sink| {
            let t = if dir == Direction::ToServer { flow.core.tuple } else { flow.core.tuple.flip() };
            self.of_flow(sink, &t, &subject, flow);
            sink.begin_object(def.name);
            tx.log(sink, &self.log_cx(LogPurpose::File));
            sink.end();
            fields::app_proto(sink, def.name, [None, None], None);
            fields::fileinfo(sink, "fileinfo", file);
        });
    }
}

/// The direction of a flow of which nothing passes here.
fn unseen(flow: &Flow<Session>) -> Option<Direction> {
    flow.session.tcp.as_deref()?.unseen()
}

/// Nothing more will come of it, `unseen` being a direction of which nothing passes here.
fn done(tx: &dyn Transaction, unseen: Option<Direction>) -> bool {
    Direction::BOTH.into_iter().all(|d| unseen == Some(d) || tx.progress(d) == Progress::DONE)
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
