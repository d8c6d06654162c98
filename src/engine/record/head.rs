//! The fixed part of a record, and how it lies in bytes.
//!
//! Layout, little-endian: body length u32, kind u8, flags u8, length of the event name u8, zero u8, timestamp u64,
//! order u64, number u64, flow u64, input u32, sequence u32, then the event name and the body.

use super::tree::Malformed;
use crate::types::Timestamp;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    Alert = 1,
    Drop = 2,
    Flow = 3,
    Netflow = 4,
    /// A transaction of a protocol; the head's `event` names it.
    Tx = 5,
    FileInfo = 6,
    Anomaly = 7,
    Stats = 8,
    /// A packet that a rule's `tag` marks.
    Packet = 9,
    /// A unit of a protocol on the wire.
    Frame = 10,
    /// A packet in which a rule saved variables.
    Metadata = 11,
    /// The content of a file that is to be kept; no line of the log.
    FileData = 12,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::Alert,
        Kind::Drop,
        Kind::Flow,
        Kind::Netflow,
        Kind::Tx,
        Kind::FileInfo,
        Kind::Anomaly,
        Kind::Stats,
        Kind::Packet,
        Kind::Frame,
        Kind::Metadata,
        Kind::FileData,
    ];

    /// EVE's `event_type`; a transaction's is the name of its protocol.
    pub const fn event_type(self) -> Option<&'static str> {
        Some(match self {
            Kind::Alert => "alert",
            Kind::Drop => "drop",
            Kind::Flow => "flow",
            Kind::Netflow => "netflow",
            Kind::Tx | Kind::FileData => return None,
            Kind::FileInfo => "fileinfo",
            Kind::Anomaly => "anomaly",
            Kind::Stats => "stats",
            Kind::Packet => "packet",
            Kind::Frame => "frame",
            Kind::Metadata => "metadata",
        })
    }

    fn from_code(code: u8) -> Option<Self> {
        Kind::ALL.into_iter().find(|k| *k as u8 == code)
    }
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    pub kind: Kind,
    pub ts: Timestamp,
    /// Number of the packet the record is about (EVE's `pcap_cnt`); none for what no packet of the input caused
    /// (a flow's end, a datagram put together from fragments).
    pub number: Option<u64>,
    /// Number of the packet being processed when the record was written: the order between workers.
    pub order: u64,
    pub flow_id: Option<u64>,
    /// The port that the packet came in on, of a flow its first packet (EVE's `in_iface`).
    pub input: u32,
    /// Order among the records of one worker with equal `order`; given by [`super::Records`].
    pub sequence: u32,
    /// A transaction's protocol (`http`, `dns`, …): its `event_type`. Empty for other kinds. At most 255 bytes.
    pub event: &'a str,
}

pub(super) const HEAD_LEN: usize = 48;
const HAS_NUMBER: u8 = 1;
const HAS_FLOW: u8 = 2;

impl<'a> Head<'a> {
    pub fn new(kind: Kind, ts: Timestamp, number: u64) -> Self {
        Head { kind, ts, number: Some(number), order: number, flow_id: None, input: 0, sequence: 0, event: "" }
    }

    /// The record's `event_type`.
    pub fn event_type(&self) -> &'a str {
        self.kind.event_type().unwrap_or(self.event)
    }

    /// The bytes before the event name; the body's length is filled in when it is known.
    pub(super) fn encode(&self) -> [u8; HEAD_LEN] {
        let mut b = [0u8; HEAD_LEN];
        let flags =
            if self.number.is_some() { HAS_NUMBER } else { 0 } | if self.flow_id.is_some() { HAS_FLOW } else { 0 };
        let name_len = u8::try_from(self.event.len()).unwrap_or(0);
        let words = [
            u64::from_le_bytes([0, 0, 0, 0, self.kind as u8, flags, name_len, 0]),
            self.ts.nanos(),
            self.order,
            self.number.unwrap_or(0),
            self.flow_id.unwrap_or(0),
            u64::from(self.input) | u64::from(self.sequence) << 32,
        ];
        for (slot, word) in b.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        b
    }

    /// The head at the front of `bytes`, the body's length, and what follows the event name.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<(Self, usize, &'a [u8]), Malformed> {
        let mut at = Cursor(bytes);
        let body_len = u32::from_le_bytes(at.take()?);
        let [kind, flags, name_len, _] = at.take()?;
        let ts = Timestamp::from_nanos(u64::from_le_bytes(at.take()?));
        let order = u64::from_le_bytes(at.take()?);
        let number = u64::from_le_bytes(at.take()?);
        let flow = u64::from_le_bytes(at.take()?);
        let input = u32::from_le_bytes(at.take()?);
        let sequence = u32::from_le_bytes(at.take()?);
        let (name, rest) = at.0.split_at_checked(name_len as usize).ok_or(Malformed)?;
        let head = Head {
            kind: Kind::from_code(kind).ok_or(Malformed)?,
            ts,
            number: (flags & HAS_NUMBER != 0).then_some(number),
            order,
            flow_id: (flags & HAS_FLOW != 0).then_some(flow),
            input,
            sequence,
            event: std::str::from_utf8(name).map_err(|_| Malformed)?,
        };
        Ok((head, body_len as usize, rest))
    }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }
}
