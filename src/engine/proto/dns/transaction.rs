//! One DNS message as a transaction: its buffers by index, its events, its place in the flow.

use super::message::{Message, Record, Section};
use super::name::Name;
use super::rrtype::rr;
use super::{buffer, event, log};
use crate::applayer::{Buffer, BufferId, EventId, LogCx, Progress, Transaction, TxId};
use crate::proto::LogSettings;
use crate::types::{Direction, FieldSink};
use smallvec::SmallVec;
use std::any::Any;

#[derive(Debug)]
pub struct DnsTransaction {
    pub id: TxId,
    /// The direction the message went; the other has nothing to say.
    pub direction: Direction,
    pub(super) message: Message,
    events: SmallVec<[EventId; 2]>,
}

impl DnsTransaction {
    pub(super) fn new(id: TxId, direction: Direction, message: Message) -> Self {
        let header = message.header;
        let odd = message.oddities;
        let events = [
            (message.invalid_additionals, event::INVALID_ADDITIONALS),
            (message.invalid_authorities, event::INVALID_AUTHORITIES),
            (direction == Direction::ToClient && !header.is_response(), event::NOT_RESPONSE),
            (header.flags & super::message::FLAG_Z != 0, event::Z_FLAG_SET),
            (header.opcode() >= 7, event::INVALID_OPCODE),
            (odd.too_long, event::NAME_TOO_LONG),
            (odd.infinite_loop, event::INFINITE_LOOP),
            (odd.too_many_labels, event::TOO_MANY_LABELS),
        ];
        let events = events.into_iter().filter(|(raised, _)| *raised).map(|(_, id)| id).collect();
        DnsTransaction { id, direction, message, events }
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() - size_of::<Message>() + self.message.memory()
    }

    fn name(&self, id: BufferId, index: usize) -> Option<Name> {
        let m = &self.message;
        match id {
            buffer::QUERY if self.direction == Direction::ToServer => m.questions.get(index).map(|q| q.name),
            buffer::QUERIES_RRNAME => m.questions.get(index).map(|q| q.name),
            buffer::ANSWERS_RRNAME => m.records(Section::Answer).get(index).map(|r| r.name),
            buffer::AUTHORITIES_RRNAME => m.records(Section::Authority).get(index).map(|r| r.name),
            buffer::ADDITIONALS_RRNAME => m.records(Section::Additional).get(index).map(|r| r.name),
            buffer::RESPONSE_RRNAME if self.direction == Direction::ToClient => self.response_name(index),
            _ => None,
        }
    }

    /// Questions first, then two places for each record: its owner and the name in its data (its owner again where
    /// the data holds none, so that an index is found without a walk).
    fn response_name(&self, index: usize) -> Option<Name> {
        let m = &self.message;
        if let Some(question) = m.questions.get(index) {
            return Some(question.name);
        }
        let place = index.checked_sub(m.questions.len())?;
        let record = m.all_records().get(place / 2)?;
        Some(if place % 2 == 0 { record.name } else { data_name(record).unwrap_or(record.name) })
    }
}

/// The name in a record's data that `dns.response.rrname` shows.
fn data_name(record: &Record) -> Option<Name> {
    matches!(record.rrtype, rr::CNAME | rr::PTR | rr::MX | rr::NS | rr::SOA).then_some(record.target).flatten()
}

impl Transaction for DnsTransaction {
    fn progress(&self, _dir: Direction) -> Progress {
        Progress::DONE
    }

    fn buffer(&self, id: BufferId, dir: Direction, index: usize) -> Option<Buffer<'_>> {
        if dir != self.direction {
            return None;
        }
        if id == buffer::PDU {
            return (index == 0).then(|| Buffer::whole(self.message.bytes()));
        }
        self.name(id, index).map(|name| Buffer::whole(self.message.text(name)))
    }

    fn events(&self) -> &[EventId] {
        &self.events
    }

    fn one_way(&self) -> Option<Direction> {
        Some(self.direction)
    }

    fn pairing(&self) -> Option<u64> {
        Some(self.message.header.id.into())
    }

    fn records(&self, settings: &LogSettings) -> usize {
        log::records(self, &settings.dns)
    }

    fn shown_as(&self, settings: &LogSettings) -> Direction {
        if settings.dns.version == 2 { Direction::ToServer } else { self.direction }
    }

    fn log(&self, sink: &mut dyn FieldSink, cx: &LogCx<'_>) {
        log::write(self, sink, cx);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
