//! What a flow carries above the flow layer: its TCP session, its application layer, what detection remembers of it.
//!
//! Lives in the flow table's slot and goes with the flow. Owns no verdict: a condemned or passed flow says so in its
//! core. A session that is `blind` has lost its state to a fault and is never fed again; the flow lives on to its end
//! under the exception policy, since ending it early would make the fault an evasion. Where the policy lets its packets
//! go, each is still inspected by itself, until [`FAULTS_MAX`] faults show that even that is too much.

use crate::applayer::{AppSession, ProtoId, Transaction, TxId};
use crate::detect::state::FlowDetect;
use crate::stream::TcpSession;
use crate::types::{Cause, Direction, ExceptionPolicy, PerDirection};
use thin_vec::ThinVec;

/// Faults of one flow after which its packets are not inspected any more.
pub const FAULTS_MAX: u8 = 4;

/// Questions taken from the log whose answers are awaited; past it the oldest answer is logged.
const SILENCED_MAX: usize = 64;

/// Questions that a rule has taken from the log, by what their answers share with them; the oldest first.
#[derive(Default)]
pub struct Silenced(ThinVec<u64>);

impl Silenced {
    /// Whether a transaction stays out of the log: because a rule says so, or as the answer to one of which a rule did.
    pub fn silences(&mut self, tx: &dyn Transaction, unlogged: bool) -> bool {
        match (tx.pairing(), tx.one_way()) {
            (Some(pairing), Some(Direction::ToServer)) if unlogged => {
                if self.0.len() >= SILENCED_MAX {
                    self.0.remove(0);
                }
                self.0.push(pairing);
                true
            }
            (Some(pairing), Some(Direction::ToClient)) if !unlogged => {
                let found = self.0.iter().position(|p| *p == pairing);
                found.map(|at| self.0.remove(at)).is_some()
            }
            _ => unlogged,
        }
    }
}

#[derive(Default)]
pub struct Session {
    /// Of TCP flows, from their first segment on.
    pub tcp: Option<Box<TcpSession>>,
    pub app: AppSession,
    pub detect: FlowDetect,
    /// Transactions before this one have been logged.
    pub logged: TxId,
    /// Transactions before this one have their record, which may come before their end.
    pub recorded: TxId,
    /// Transactions before this one have a record of each of their files, to server and to client.
    pub filed: PerDirection<TxId>,
    pub silenced: Silenced,
    /// How many events of a transaction not yet logged have their record.
    pub told: ThinVec<(TxId, u16)>,
    /// Transactions of protocols the flow spoke before it switched.
    pub earlier_transactions: u64,
    /// Bytes of parser and transactions that the worker has billed.
    pub app_bytes: usize,
    /// Exceptions the flow met, with what the policy said; for its closing record.
    pub exceptions: ThinVec<(Cause, ExceptionPolicy)>,
    /// Least and most TTL or hop limit, to server and to client.
    pub ttl: [(u8, u8); 2],
    /// The protocol spoken before the flow switched to another.
    pub original: Option<ProtoId>,
    /// A drop of the condemned flow has been told.
    pub drop_told: PerDirection<bool>,
    /// Files that rules asked to keep.
    pub keep: crate::applayer::files::Keep,
    pub blind: bool,
    /// Faults of the flow.
    pub faults: u8,
    /// While it is not known which of two the flow's ends mean: the session that is not at hand.
    pub other: Option<Box<Session>>,
    /// This one is a guess: it began with a segment of this direction that did not continue the other.
    pub guess: Option<Direction>,
    /// Ciphertext as of an earlier packet: see [`crate::applayer::AppParser::opaque`].
    pub opaque: bool,
}

impl Session {
    /// Everything but the marks of its faults and its exceptions is gone.
    pub fn blinded(&mut self) {
        let exceptions = std::mem::take(&mut self.exceptions);
        *self = Session { blind: true, faults: self.faults.saturating_add(1), exceptions, ..Session::default() };
    }

    /// It has failed so often that its packets are not looked at any more: a fault costs more than an inspection.
    pub const fn given_up(&self) -> bool {
        self.faults >= FAULTS_MAX
    }

    /// Bytes that the parser holds, and detection for its transactions.
    pub fn app_memory(&self) -> usize {
        self.app.parser().map_or(0, |p| p.memory().saturating_add(self.detect.tx_memory()))
    }

    /// The other session is at hand from now on.
    pub fn exchange(&mut self) {
        if let Some(mut other) = self.other.take() {
            std::mem::swap(self, &mut other);
            self.other = Some(other);
        }
    }

    /// Goes on from where the other session ended, as far as that is not in the bytes.
    pub fn follow_other(&mut self) {
        if let Some(other) = &mut self.other {
            self.earlier_transactions += other.earlier_transactions + other.logged.0;
            self.exceptions = std::mem::take(&mut other.exceptions);
            self.drop_told = other.drop_told;
            self.original = other.original;
        }
    }

    /// The next protocol's transactions count from 0 again.
    pub fn protocol_switched(&mut self) {
        self.earlier_transactions += self.logged.0;
        self.logged = TxId::default();
        self.recorded = TxId::default();
        self.filed = PerDirection::default();
        self.told.clear();
        self.silenced = Silenced::default();
    }

    /// Notes an exception once per cause. What every imperfect stream meets is worth a word only where a policy acted.
    pub fn note(&mut self, cause: Cause, policy: ExceptionPolicy) {
        let common = matches!(cause, Cause::StreamInvalid | Cause::StreamGap);
        if (common || cause.row().eve.is_none()) && policy == ExceptionPolicy::Ignore {
            return;
        }
        if !self.exceptions.iter().any(|(c, _)| *c == cause) {
            self.exceptions.push((cause, policy));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applayer::{Buffer, BufferId, LogCx, Progress};
    use crate::types::FieldSink;

    struct Message(u64, Direction);

    impl Transaction for Message {
        fn progress(&self, _: Direction) -> Progress {
            Progress::DONE
        }
        fn buffer(&self, _: BufferId, _: Direction, _: usize) -> Option<Buffer<'_>> {
            None
        }
        fn pairing(&self) -> Option<u64> {
            Some(self.0)
        }
        fn one_way(&self) -> Option<Direction> {
            Some(self.1)
        }
        fn log(&self, _: &mut dyn FieldSink, _: &LogCx<'_>) {}
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    }

    #[test]
    fn an_answer_goes_with_its_question_and_the_oldest_is_forgotten() {
        let (ask, answer) = (|n| Message(n, Direction::ToServer), |n| Message(n, Direction::ToClient));
        let mut s = Silenced::default();
        assert!(!s.silences(&ask(1), false) && !s.silences(&answer(1), false));
        (0..=SILENCED_MAX as u64).for_each(|n| assert!(s.silences(&ask(n), true)));
        assert!(!s.silences(&answer(0), false), "there was no room for it");
        assert!(s.silences(&answer(1), false) && !s.silences(&answer(1), false));
    }
}
