//! Events as anomalies.

use super::Subject;
use crate::applayer::{EventId, ProtoId, TxId};
use crate::flow::Flow;
use crate::record::{self as fields, Anomaly, AnomalyLayer, Kind};
use crate::session::Session;
use crate::worker::Output;
use crate::worker::path::Path;

impl Path {
    fn anomaly(
        &self,
        anomaly: &Anomaly<'_>,
        tx: Option<TxId>,
        subject: Subject<'_>,
        flow: Option<&Flow<Session>>,
        out: &mut Output,
    ) {
        out.records.write(&self.head(Kind::Anomaly, &subject, flow, ""), |sink| {
            self.of_packet(sink, &subject, flow);
            if let Some(tx) = tx {
                sink.uint("tx_id", tx.0);
            }
            fields::anomaly(sink, anomaly);
            let header = self.config.records.anomaly.as_ref().is_some_and(|a| a.packet_header);
            if header && matches!(anomaly.layer, AnomalyLayer::Decode | AnomalyLayer::Stream) {
                fields::bytes(sink, subject.packet, fields::HEADER_SHOWN);
            }
        });
    }

    /// Decode events of a packet as anomalies.
    pub(in crate::worker) fn decode_anomalies(
        &self,
        subject: Subject<'_>,
        flow: Option<&Flow<Session>>,
        out: &mut Output,
    ) {
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
    pub(in crate::worker) fn stream_anomalies(
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
    pub(in crate::worker) fn app_anomaly(
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
}
