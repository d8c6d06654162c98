//! Alerts, drops and tagged packets.

use super::Subject;
use crate::applayer::frames::Frame;
use crate::applayer::{AppSession, LogCx, LogPurpose, TxId};
use crate::detect::inspect::{Context, Said};
use crate::detect::signature::{SigIdx, Signature, Target};
use crate::flow::Flow;
use crate::record::{self as fields, AlertFields, AlertSettings, ContextValue, DropFields, Kind, PacketSource};
use crate::session::Session;
use crate::types::{Direction, FieldSink, IpProto, Reason, Verdict};
use crate::worker::Output;
use crate::worker::path::Path;
use std::net::IpAddr;

/// One alert to write.
pub(in crate::worker) struct AlertInput {
    pub sig: SigIdx,
    pub tx: Option<TxId>,
    pub frame: Option<Frame>,
    /// The match rests on the stream or a transaction.
    pub stream_match: bool,
    /// The signature's action was carried out.
    pub blocked: bool,
    /// What the signature found to say.
    pub context: Context,
}

fn shown(said: &Said) -> ContextValue<'_> {
    match said {
        Said::Json(v) => ContextValue::Json(v),
        Said::Bytes(b) => ContextValue::Bytes(b),
    }
}

/// What rules came to over the packet that an alert speaks of.
#[derive(Clone, Copy)]
pub(in crate::worker) struct Ruled {
    pub verdict: Verdict,
    pub passed: bool,
}

impl Path {
    pub(in crate::worker) fn alert(
        &self,
        alert: &AlertInput,
        ruled: Ruled,
        subject: Subject<'_>,
        flow: Option<&Flow<Session>>,
        out: &mut Output,
    ) {
        let Some(settings) = &self.config.records.alert else { return };
        let Some(sig) = self.rules.signature(alert.sig) else { return };
        let xff = flow.and_then(|f| self.proxied_for(f, alert.tx, settings));
        let overwrite = xff.is_some_and(|(_, overwrite)| overwrite);
        out.records.write(&self.head(Kind::Alert, &subject, flow, ""), |sink| {
            match xff {
                Some((ip, true)) => self.of_packet_with(sink, ip, &subject, flow),
                _ => self.of_packet(sink, &subject, flow),
            }
            if let Some(tx) = alert.tx {
                sink.uint("tx_id", tx.0);
            }
            let xff = xff.filter(|_| !overwrite).map(|(ip, _)| ip);
            self.alert_object(sink, sig, (alert.blocked, &alert.context), settings, xff, &subject);
            if let (Some(frame), Some(flow), Some(dir)) = (&alert.frame, flow, subject.dir) {
                self.frame_object(sink, flow, dir, frame, settings.payload_max);
            }
            if let Some(carrier) = self.carrier.filter(|_| subject.packet.depth > 0) {
                fields::tunnel(sink, &carrier, subject.packet.depth, self.short());
            }
            if let Some(flow) = flow {
                self.flow_fields(sink, flow, alert, settings, &subject);
            }
            if subject.packet.ip.is_some() || subject.source == PacketSource::FlowTimeout {
                payload_fields(sink, alert, settings, &subject, flow);
            }
            if settings.packet {
                fields::bytes(sink, subject.packet, usize::MAX);
            }
            if settings.verdict {
                fields::verdict(sink, ruled.verdict, subject.packet.tuple.proto, ruled.passed);
            }
        });
    }

    fn alert_object(
        &self,
        sink: &mut dyn FieldSink,
        sig: &Signature,
        (blocked, context): (bool, &Context),
        settings: &AlertSettings,
        xff: Option<IpAddr>,
        subject: &Subject<'_>,
    ) {
        let t = &subject.packet.tuple;
        let (src, dst) = ((t.src, t.sport), (t.dst, t.dport));
        let target = sig.target.map(|t| match t {
            Target::Source => (dst, src),
            Target::Destination => (src, dst),
        });
        let alert = AlertFields {
            blocked,
            gid: sig.gid,
            sid: sig.sid,
            rev: sig.rev,
            msg: &sig.msg,
            category: &sig.category,
            severity: sig.priority,
            metadata: if settings.rule_metadata { &sig.metadata } else { &[] },
            target,
            short: self.short(),
        };
        fields::alert(sink, &alert, |sink| {
            if let Some(rows) = context {
                let rows: Vec<_> = rows.iter().map(|(name, said)| (&**name, shown(said))).collect();
                fields::context(sink, &rows);
            }
            if settings.rule_reference && !sig.references.is_empty() {
                sink.begin_array("references");
                sig.references.iter().for_each(|r| sink.text("", &r.address));
                sink.end();
            }
            if settings.rule_raw {
                sink.text("rule", &sig.text);
            }
            if let Some(ip) = xff {
                sink.text("xff", fields::ip_text(ip).as_str());
            }
        });
    }

    /// What the flow adds to an alert.
    fn flow_fields(
        &self,
        sink: &mut dyn FieldSink,
        flow: &Flow<Session>,
        alert: &AlertInput,
        settings: &AlertSettings,
        subject: &Subject<'_>,
    ) {
        let app = &flow.session.app;
        if let Some(tx) = alert.tx {
            if settings.app_layer {
                progress_fields(sink, app, tx);
                self.transaction_object(sink, app, tx, settings);
            }
            if settings.rule_metadata {
                files(sink, app, tx, subject.dir);
            }
        }
        if let Some((name, per_direction)) = self.proto_names(flow) {
            let original = flow.session.original.and_then(|id| self.vocabulary.proto_def(id)).map(|p| p.name);
            fields::app_proto(sink, name, per_direction, original);
        }
        if let Some(dir) = subject.dir {
            fields::direction(sink, dir);
        }
        if settings.flow {
            let core = &flow.core;
            let pair = |p: &crate::types::PerDirection<u64>| [p.to_server, p.to_client];
            fields::flow_summary(sink, pair(&core.packets), pair(&core.bytes), core.first, &core.tuple, self.short());
        }
    }

    /// The protocol's own object.
    fn transaction_object(&self, sink: &mut dyn FieldSink, app: &AppSession, id: TxId, settings: &AlertSettings) {
        let Some(tx) = app.parser().and_then(|p| p.transaction(id)) else { return };
        if let Some(def) = self.vocabulary.proto_def(app.protocol()) {
            let cx = LogCx {
                body: settings.http_body,
                body_printable: settings.http_body_printable,
                ..self.log_cx(LogPurpose::Alert)
            };
            sink.begin_object(def.name);
            tx.log(sink, &cx);
            sink.end();
        }
    }

    /// The client as a proxy named it, and whether it stands for the packet's own.
    fn proxied_for(&self, flow: &Flow<Session>, tx: Option<TxId>, s: &AlertSettings) -> Option<(IpAddr, bool)> {
        let xff = s.xff.as_ref().or(self.config.records.common.xff.as_ref())?;
        let parser = flow.session.app.parser()?;
        let (first, next) = parser.transactions();
        let of = |id| parser.transaction(id)?.proxied_for(&xff.header, xff.forward);
        let ip = match tx {
            Some(id) => of(id),
            None => (first.0..next.0).map(TxId).find_map(of),
        };
        ip.map(|ip| (ip, xff.overwrite))
    }

    /// A record's ends with `ip` in place of the client's.
    fn of_packet_with(
        &self,
        sink: &mut dyn FieldSink,
        ip: IpAddr,
        subject: &Subject<'_>,
        flow: Option<&Flow<Session>>,
    ) {
        let mut t = subject.packet.tuple;
        match subject.dir {
            Some(Direction::ToClient) => t.dst = ip,
            _ => t.src = ip,
        }
        fields::tuple(sink, &t, &subject.packet.vlan, None, Some(subject.source), self.short());
        self.common(sink, Some((subject.packet, false)), flow);
    }

    /// A packet that a rule's `tag` marks.
    pub(in crate::worker) fn tagged(&self, subject: Subject<'_>, flow: Option<&Flow<Session>>, out: &mut Output) {
        let wanted = self.config.records.alert.as_ref().is_some_and(|a| a.tagged_packets);
        if !wanted || subject.source == PacketSource::FlowTimeout {
            return;
        }
        out.records.write(&self.head(Kind::Packet, &subject, flow, ""), |sink| {
            self.of_packet(sink, &subject, flow);
            fields::bytes(sink, subject.packet, usize::MAX);
        });
    }

    /// A packet in which rules saved variables.
    pub(in crate::worker) fn saved(&self, subject: Subject<'_>, flow: Option<&Flow<Session>>, out: &mut Output) {
        if self.config.records.metadata && !self.detector.packet_vars().is_empty() {
            let head = self.head(Kind::Metadata, &subject, flow, "");
            out.records.write(&head, |sink| self.of_packet(sink, &subject, flow));
        }
    }

    /// A packet that does not leave. `rule`: the signature that says so.
    pub(in crate::worker) fn dropped(
        &self,
        verdict: Verdict,
        rule: Option<SigIdx>,
        subject: Subject<'_>,
        mut flow: Option<&mut Flow<Session>>,
        out: &mut Output,
    ) {
        let Some(settings) = self.config.records.drop.as_ref().filter(|_| self.inline) else { return };
        let Some(reason) = verdict.reason() else { return };
        // Flushed streams leave no packet to drop.
        if subject.source == PacketSource::FlowTimeout {
            return;
        }
        if let Some(flow) = flow.as_deref_mut().filter(|_| !settings.all_of_flow)
            && !first_drop(flow, subject.dir, reason)
        {
            return;
        }
        let flow = flow.as_deref();
        out.records.write(&self.head(Kind::Drop, &subject, flow, ""), |sink| {
            self.of_packet(sink, &subject, flow);
            if let Some(dir) = subject.dir {
                fields::direction(sink, dir);
            }
            fields::drop_details(sink, subject.packet, DropFields { reason });
            if settings.verdict {
                fields::verdict(sink, verdict, subject.packet.tuple.proto, false);
            }
            if let Some(sig) = rule.filter(|_| settings.alerts).and_then(|sig| self.rules.signature(sig)) {
                let bare = AlertSettings { rule_metadata: false, ..AlertSettings::default() };
                self.alert_object(sink, sig, (true, &None), &bare, None, &subject);
            }
        });
    }
}

/// Whether a drop is to be told where only the first of each direction of a condemned flow is, and what rules drop.
fn first_drop(flow: &mut Flow<Session>, dir: Option<Direction>, reason: Reason) -> bool {
    let condemned = flow.core.flags.condemned.is_some();
    let told = &mut flow.session.drop_told[dir.unwrap_or(Direction::ToServer)];
    let first = condemned && !*told;
    *told |= condemned;
    first || matches!(reason, Reason::Rules | Reason::Reject | Reason::Threshold)
}

/// The files of the transaction in the alert's direction.
fn files(sink: &mut dyn FieldSink, app: &AppSession, id: TxId, dir: Option<Direction>) {
    let Some(tx) = app.parser().and_then(|p| p.transaction(id)) else { return };
    let files = dir.map_or(&[][..], |d| tx.files(d));
    if !files.is_empty() {
        sink.begin_array("files");
        files.iter().for_each(|f| fields::fileinfo(sink, "", f));
        sink.end();
    }
}

/// The bytes the match rests on: what is held of the stream, else the packet's own.
fn payload_fields(
    sink: &mut dyn FieldSink,
    alert: &AlertInput,
    s: &AlertSettings,
    subject: &Subject<'_>,
    flow: Option<&Flow<Session>>,
) {
    if !(s.payload || s.payload_printable || s.payload_length) {
        return;
    }
    let stream = alert.stream_match && subject.packet.tuple.proto == IpProto::TCP;
    let held = flow.and_then(|f| f.session.tcp.as_deref()).zip(subject.dir).filter(|_| stream);
    let held = held.map(|(tcp, dir)| tcp.raw(dir)).filter(|raw| !raw.bytes.is_empty());
    let head = |bytes: &'_ [u8]| bytes.len().min(s.payload_max);
    let bytes = held.map_or(subject.packet.payload(), |raw| raw.bytes);
    let bytes = bytes.get(..head(bytes)).unwrap_or(&[]);
    let marked = held.filter(|raw| raw.missing > 0).map(|raw| gap_marked(raw.missing, bytes));
    let bytes = marked.as_deref().map_or(bytes, |m| m.get(..head(m)).unwrap_or(&[]));
    if s.payload {
        sink.base64("payload", bytes);
    }
    if s.payload_length {
        sink.uint("payload_length", bytes.len() as u64);
    }
    if s.payload_printable {
        sink.printable("payload_printable", bytes);
    }
    sink.uint("stream", stream.into());
}

/// Bytes behind a gap, which is written as readers know it.
fn gap_marked(missing: u64, bytes: &[u8]) -> Vec<u8> {
    [format!("[{missing} bytes missing]").as_bytes(), bytes].concat()
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
