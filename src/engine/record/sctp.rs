//! The `sctp` object of records about SCTP packets.

use crate::decode::{L4, Packet, SCTP_CHUNKS_MAX};
use crate::types::FieldSink;
use crate::wire::sctp::{Chunk, Chunks, kind_name};

/// Verification tag, number of chunks, the types of the first ones, and which telling ones are there.
pub fn sctp(sink: &mut dyn FieldSink, p: &Packet<'_>) {
    let L4::Sctp { vtag, chunks, count, .. } = &p.l4 else { return };
    let area = chunks.of(p.bytes.as_slice());
    sink.begin_object("sctp");
    sink.uint("vtag", (*vtag).into());
    sink.uint("chunk_cnt", (*count).into());
    sink.begin_array("chunk_types");
    for c in Chunks::sound(area).take(SCTP_CHUNKS_MAX) {
        match kind_name(c.kind) {
            Some(name) => sink.text("", name),
            None => sink.text("", &format!("unknown({})", c.kind)),
        }
    }
    sink.end();
    let has = |kind| Chunks::sound(area).any(|c| c.kind == kind);
    sink.bool("has_init", has(Chunk::INIT));
    sink.bool("has_init_ack", has(Chunk::INIT_ACK));
    sink.bool("has_data", has(Chunk::DATA));
    sink.bool("has_abort", has(Chunk::ABORT));
    sink.end();
}
