//! One flow's DNS: datagrams or length-prefixed messages in, transactions out.

use super::event;
use super::message::{Header, Message, Spent};
use super::transaction::DnsTransaction;
use crate::applayer::{AppParser, EventId, Input, ParseCx, Parsed, ProtoId, Transaction, TxId};
use crate::types::{Direction, IpProto, PerDirection};
use std::any::Any;
use std::collections::VecDeque;

/// Messages alive at once; a flow that leaves more uninspected has failed.
pub const TRANSACTIONS_MAX: usize = 8_192;
/// Bytes of memory kept from one message for the next.
pub(super) const SPENT_MAX: usize = 4 << 10;
/// Flow events kept until they are taken.
const EVENTS_MAX: usize = 16;

#[derive(Default)]
pub struct DnsParser {
    first: u64,
    live: VecDeque<DnsTransaction>,
    events: Vec<EventId>,
    /// Bytes were lost: where the next message begins is unknown.
    lost: PerDirection<bool>,
    memory: usize,
    /// What the last message freed has left.
    spent: Spent,
}

enum Outcome {
    Taken,
    /// Not DNS by its header.
    Implausible,
    /// A body that does not parse, or a response sent as a request.
    Broken,
    Full,
}

impl DnsParser {
    pub fn new() -> Self {
        DnsParser::default()
    }

    fn message(&mut self, dir: Direction, bytes: &[u8]) -> Outcome {
        if !Header::read(bytes).is_some_and(|h| h.plausible(bytes.len())) {
            return Outcome::Implausible;
        }
        let Ok(message) = Message::read_into(bytes, std::mem::take(&mut self.spent)) else {
            self.raise(event::MALFORMED_DATA);
            return Outcome::Broken;
        };
        if dir == Direction::ToServer && message.header.is_response() {
            self.raise(event::NOT_REQUEST);
            return Outcome::Broken;
        }
        if self.live.len() >= TRANSACTIONS_MAX {
            return Outcome::Full;
        }
        let tx = DnsTransaction::new(TxId(self.next()), dir, message);
        self.memory += tx.memory();
        self.live.push_back(tx);
        Outcome::Taken
    }

    fn datagram(&mut self, dir: Direction, bytes: &[u8]) -> Parsed {
        match self.message(dir, bytes) {
            Outcome::Full => Parsed::Failed,
            Outcome::Taken | Outcome::Implausible | Outcome::Broken => Parsed::Consumed(bytes.len()),
        }
    }

    fn stream(&mut self, dir: Direction, bytes: &[u8]) -> Parsed {
        let mut consumed = 0;
        while let Some((prefix, body)) = bytes.get(consumed..).and_then(|rest| rest.split_first_chunk()) {
            let len = usize::from(u16::from_be_bytes(*prefix));
            if self.lost[dir] {
                let plausible = body.len() < super::message::HEADER_BYTES
                    || Header::read(body)
                        .is_some_and(|h| h.plausible(len) && h.is_response() == (dir == Direction::ToClient));
                if !plausible {
                    return Parsed::Consumed(bytes.len());
                }
                if body.len() < super::message::HEADER_BYTES {
                    break;
                }
                self.lost[dir] = false;
            }
            let Some(body) = body.get(..len) else { break };
            if len > 0 {
                match self.message(dir, body) {
                    Outcome::Taken => {}
                    Outcome::Implausible | Outcome::Broken | Outcome::Full => return Parsed::Failed,
                }
            }
            consumed += 2 + len;
        }
        Parsed::Consumed(consumed)
    }

    fn raise(&mut self, event: EventId) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        }
    }

    fn next(&self) -> u64 {
        self.first + self.live.len() as u64
    }

    fn index(&self, id: TxId) -> Option<usize> {
        usize::try_from(id.0.checked_sub(self.first)?).ok()
    }

    /// What must hold between calls.
    pub fn invariants(&self) {
        debug_assert!(self.live.len() <= TRANSACTIONS_MAX && self.events.len() <= EVENTS_MAX);
        debug_assert!(self.spent.memory() <= SPENT_MAX);
        debug_assert_eq!(self.memory, self.live.iter().map(DnsTransaction::memory).sum::<usize>());
        debug_assert!(self.live.iter().zip(self.first..).all(|(tx, id)| tx.id.0 == id));
    }
}

impl AppParser for DnsParser {
    fn protocol(&self) -> ProtoId {
        super::ID
    }

    fn parse(&mut self, cx: &ParseCx<'_>, dir: Direction, input: Input<'_>) -> Parsed {
        match input {
            Input::Data(bytes) if cx.tuple.proto == IpProto::UDP => self.datagram(dir, bytes),
            Input::Data(bytes) => self.stream(dir, bytes),
            Input::Gap(_) => {
                self.lost[dir] = true;
                Parsed::Consumed(0)
            }
            Input::Eof => Parsed::Consumed(0),
        }
    }

    fn transactions(&self) -> (TxId, TxId) {
        (TxId(self.first), TxId(self.next()))
    }

    fn transaction(&self, id: TxId) -> Option<&dyn Transaction> {
        self.live.get(self.index(id)?).map(|tx| tx as &dyn Transaction)
    }

    fn transaction_mut(&mut self, id: TxId) -> Option<&mut dyn Transaction> {
        let index = self.index(id)?;
        self.live.get_mut(index).map(|tx| tx as &mut dyn Transaction)
    }

    fn free(&mut self, id: TxId) {
        while self.first <= id.0 {
            let Some(tx) = self.live.pop_front() else { break };
            self.memory -= tx.memory();
            self.first += 1;
            self.spent = Some(tx.message.into_spent()).filter(|s| s.memory() <= SPENT_MAX).unwrap_or_default();
        }
    }

    fn take_events(&mut self) -> Vec<EventId> {
        std::mem::take(&mut self.events)
    }

    fn delimits(&self) -> bool {
        true
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.memory + self.spent.memory()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Bytes from outside through probe, parser, every buffer and the log: bit 0 of the first byte chooses UDP, bit 1 the
/// first direction; the rest is cut into chunks by the byte in front of each.
pub fn fuzz_target(data: &[u8]) {
    crate::proto::exercise::run(&super::DEF, data);
}
