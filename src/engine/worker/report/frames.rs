//! Frames in records: by themselves and in alerts.

use super::Subject;
use crate::applayer::frames::Frame;
use crate::flow::Flow;
use crate::record::Kind;
use crate::session::Session;
use crate::types::{Direction, FieldSink};
use crate::worker::Output;
use crate::worker::path::Path;

/// A frame whose end is not in sight has its record once so many bytes of it have come.
const RECORD_BYTES: u64 = 2_500;

impl Path {
    /// Records of one direction's frames that have none yet. `over`: nothing more will come.
    pub(in crate::worker) fn frame_records(
        &self,
        flow: &mut Flow<Session>,
        dir: Direction,
        over: bool,
        subject: Subject<'_>,
        out: &mut Output,
    ) {
        let Some(settings) = &self.config.records.frame else { return };
        let Some(proto) = self.vocabulary.proto_def(flow.session.app.protocol()).map(|p| p.name) else { return };
        let Some(held) = flow.session.tcp.as_ref().map(|tcp| tcp.raw(dir)) else { return };
        let held = held.offset.saturating_add(held.bytes.len() as u64);
        let due = |f: &Frame| {
            let enough = f.end.is_some_and(|e| e <= held) || held >= f.start.saturating_add(RECORD_BYTES);
            !f.logged && (over || enough)
        };
        let frames = |flow: &Flow<Session>| {
            flow.session.app.parser().and_then(|p| p.frames()?.of(dir).find(|f| due(f)).copied())
        };
        while let Some(frame) = frames(flow) {
            out.records.write(&self.head(Kind::Frame, &subject, Some(flow), ""), |sink| {
                self.of_packet(sink, &subject, Some(flow));
                sink.text("app_proto", proto);
                self.frame_object(sink, flow, dir, &frame, settings.payload_max);
            });
            let noted = flow.session.app.parser_mut().and_then(|p| p.frames_mut());
            if let Some(f) = noted.and_then(|f| f.of_mut(dir).find(|f| f.id == frame.id)) {
                f.logged = true;
            }
        }
    }

    /// The object `frame`: what it is, where, and what is held of it.
    pub(super) fn frame_object(
        &self,
        sink: &mut dyn FieldSink,
        flow: &Flow<Session>,
        dir: Direction,
        frame: &Frame,
        payload_max: usize,
    ) {
        let Some(raw) = flow.session.tcp.as_ref().map(|tcp| tcp.raw(dir)) else { return };
        let held = raw.offset.saturating_add(raw.bytes.len() as u64);
        let name = self.vocabulary.buffer_def(frame.kind).and_then(|d| d.frame_name()).unwrap_or("?");
        sink.begin_object("frame");
        sink.text("type", name);
        sink.uint("id", frame.id);
        sink.text("direction", if dir == Direction::ToServer { "toserver" } else { "toclient" });
        sink.uint("stream_offset", frame.start);
        sink.uint("length", frame.end.unwrap_or(held).saturating_sub(frame.start));
        let at = |position: u64| usize::try_from(position.saturating_sub(raw.offset)).unwrap_or(usize::MAX);
        let upto = at(frame.end.map_or(held, |e| e.min(held)));
        let bytes = raw.bytes.get(at(frame.start)..upto).unwrap_or(&[]);
        let bytes = bytes.get(..payload_max).unwrap_or(bytes);
        if !bytes.is_empty() {
            sink.base64("payload", bytes);
            sink.printable("payload_printable", bytes);
            sink.bool("complete", frame.end.is_some_and(|e| e <= held));
        }
        if let Some(tx) = frame.tx {
            sink.uint("tx_id", tx.0);
        }
        sink.end();
    }
}
