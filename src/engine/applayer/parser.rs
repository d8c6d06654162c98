//! The two traits a protocol implements, and what passes between them and the engine.

use super::frames::Frames;
use super::{BufferId, EventId, ProtoId, ProtoSet};
use crate::types::{Direction, FieldSink, FiveTuple, Timestamp};
use std::any::Any;

/// Number of a transaction within its flow, from 0, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxId(pub u64);

/// How far one direction of a transaction has come: a protocol's own ordered states, 0 is "not begun". Buffers become
/// ready at the progress their [`super::BufferDef`] names; [`Progress::DONE`] means nothing more will come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Progress(pub u8);

impl Progress {
    pub const NONE: Progress = Progress(0);
    pub const DONE: Progress = Progress(u8::MAX);
}

/// What the stream below hands to a parser.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Everything not yet consumed, in order; on UDP one datagram.
    Data(&'a [u8]),
    /// So many bytes were lost; the unconsumed bytes before them have been presented.
    Gap(u64),
    /// The direction has ended (FIN, RST, time-out); no more will come.
    Eof,
}

/// What a parser may know while parsing.
pub struct ParseCx<'a> {
    pub ts: Timestamp,
    /// Source is the client.
    pub tuple: &'a FiveTuple,
    pub inline: bool,
    /// Stream position of the first byte given.
    pub at: u64,
    /// Protocols of which somebody wants frames.
    pub frames: ProtoSet,
}

/// A parser's answer to [`Input`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// So many bytes were taken (`<= data.len()`); the rest comes again in front of new bytes.
    Consumed(usize),
    /// Nothing this direction carries from here on concerns the parser (encrypted remainder, tunnel of unknown content).
    Done,
    /// From `consumed` bytes on, both directions speak another protocol: detect anew (CONNECT, Upgrade, STARTTLS).
    Switch { consumed: usize, expect: Option<ProtoId> },
    /// The bytes are not this protocol, or beyond repair.
    Failed,
}

/// Bytes a rule can inspect.
#[derive(Clone, Copy, Debug)]
pub struct Buffer<'a> {
    pub data: &'a [u8],
    /// Position of `data[0]` in the whole buffer: non-zero where the head of a streamed body has been let go.
    pub offset: u64,
    /// Nothing will be appended.
    pub complete: bool,
}

impl<'a> Buffer<'a> {
    pub const fn whole(data: &'a [u8]) -> Self {
        Buffer { data, offset: 0, complete: true }
    }
}

/// The rest of a body that is past all that is looked at, in bytes of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadBody {
    /// Of it, those that have passed.
    pub behind: u64,
    /// Those to come, all of the body's; what follows them is a message of its own.
    pub ahead: u64,
}

/// One flow's parser. Bounded: it holds what its limits allow and fails rather than grow.
pub trait AppParser: Send {
    fn protocol(&self) -> ProtoId;

    fn parse(&mut self, cx: &ParseCx<'_>, dir: Direction, input: Input<'_>) -> Parsed;

    /// Live transactions are `first..next`, in order of their beginning.
    fn transactions(&self) -> (TxId, TxId);

    /// `None` for ids outside `transactions()` or already freed.
    fn transaction(&self, id: TxId) -> Option<&dyn Transaction>;

    fn transaction_mut(&mut self, id: TxId) -> Option<&mut dyn Transaction>;

    /// Inspected and logged to the end: its memory may go. Called in order of ids.
    fn free(&mut self, id: TxId);

    /// Events of the flow that belong to no transaction, since the last call.
    fn take_events(&mut self) -> Vec<EventId> {
        Vec::new()
    }

    /// Frames noted and still of interest; `None` of protocols without, and where nobody has asked for any.
    fn frames(&self) -> Option<&Frames> {
        None
    }

    /// Asking makes room: called only where [`ParseCx::frames`] has the protocol.
    fn frames_mut(&mut self) -> Option<&mut Frames> {
        None
    }

    /// What the flow carries from the next packet on is ciphertext: payload rules have nothing to find in it.
    fn opaque(&self) -> bool {
        false
    }

    /// It tells one transaction from the next however long they are: its flow is parsed past the reassembly depth, which
    /// would else hide whatever follows a long transaction.
    fn delimits(&self) -> bool {
        false
    }

    /// A direction is in a body of known length, of which nothing more is looked at.
    fn unread_body(&self, _dir: Direction) -> Option<UnreadBody> {
        None
    }

    /// The operator wants a flow in this state followed no more.
    fn bypass(&self) -> bool {
        false
    }

    /// Bytes held, for accounting.
    fn memory(&self) -> usize;

    fn as_any(&self) -> &dyn Any;
}

/// In which record a transaction is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPurpose {
    /// Its own.
    Own,
    Alert,
    File,
}

/// What a transaction is told that writes its object.
#[derive(Clone, Copy)]
pub struct LogCx<'a> {
    pub settings: &'a crate::proto::LogSettings,
    pub purpose: LogPurpose,
    /// Which of its own records, from 0.
    pub part: usize,
    /// Bodies too, in Base64 or as what prints of them.
    pub body: bool,
    pub body_printable: bool,
}

impl<'a> LogCx<'a> {
    pub const fn new(settings: &'a crate::proto::LogSettings, purpose: LogPurpose) -> Self {
        LogCx { settings, purpose, part: 0, body: false, body_printable: false }
    }
}

/// A request and its response, a query and its answer, a handshake: the unit rules of the protocol match within.
pub trait Transaction: Any {
    fn progress(&self, dir: Direction) -> Progress;

    /// The `index`-th instance of a buffer (index 0 alone where it is not a multi-buffer). `None`: not there (yet, or
    /// ever: `progress` tells). Normalises on first call and keeps the result.
    fn buffer(&self, id: BufferId, dir: Direction, index: usize) -> Option<Buffer<'_>>;

    fn events(&self) -> &[EventId] {
        &[]
    }

    /// The one direction a transaction of one message belongs to: packets of the other say nothing of it.
    fn one_way(&self) -> Option<Direction> {
        None
    }

    /// Where a question and its answer are transactions of their own: what both have in common.
    fn pairing(&self) -> Option<u64> {
        None
    }

    /// Records of its own that it is worth: none for a handshake cut short; alerts show its fields all the same.
    fn records(&self, _settings: &crate::proto::LogSettings) -> usize {
        1
    }

    /// Its record may be written: all it will show is there, though the transaction may go on.
    fn log_ready(&self) -> bool {
        Direction::BOTH.into_iter().all(|dir| self.progress(dir) == Progress::DONE)
    }

    /// The protocol's own name of how far a direction has come, for alerts; protocols without stages have none.
    fn progress_name(&self, _dir: Direction) -> Option<&'static str> {
        None
    }

    /// Its record carries its number beside its object (`tx_id`).
    fn numbered(&self) -> bool {
        false
    }

    /// The direction whose sender a record of it shows as its source.
    fn shown_as(&self, _settings: &crate::proto::LogSettings) -> Direction {
        Direction::ToServer
    }

    /// The client as a proxy before it or before the server names it in `header`: the first address there, or the last.
    fn proxied_for(&self, _header: &str, _first: bool) -> Option<std::net::IpAddr> {
        None
    }

    /// Writes the fields of the protocol's own object in EVE (`http`, `dns`, …) without the enclosing object.
    fn log(&self, sink: &mut dyn FieldSink, cx: &LogCx<'_>);

    /// Files that this transaction carries in `dir`, for `fileinfo` records and file keywords.
    fn files(&self, _dir: Direction) -> &[super::files::File] {
        &[]
    }

    fn files_mut(&mut self, _dir: Direction) -> &mut [super::files::File] {
        &mut []
    }

    fn as_any(&self) -> &dyn Any;
}
