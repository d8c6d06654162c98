//! Frames in and out: capture files and live devices.
//!
//! A device is a pair of halves, [`Receive`] and [`Transmit`]: frames are lent out of the receiving half's memory, so
//! verdicts go to the other half while they are still borrowed. Knows the engine's types and nothing else of it: no
//! flow, no rule, no record. Whatever a file holds, memory is bounded by [`FRAME_BYTES_MAX`] and [`BLOCK_BYTES_MAX`],
//! nothing panics, and what could be read is given before the error that says where reading ended.

mod blocks;
mod classic;
mod desks;
mod error;
pub mod fuzz;
pub mod l2;
pub mod links;
mod live;
mod memory;
mod named;
mod netlink;
mod ng;
mod open;
pub mod packet;
pub mod ports;
pub mod queue;
mod reader;
mod sys;
mod writer;
pub mod xdp;

pub use error::Error;
pub use live::{Live, Traffic, wall};
pub use memory::{Memory, OwnedFrame};
pub use open::{Compression, open, open_stream};
pub use reader::Reader;
pub use sys::host::{keep_off, low_priority, processor};
pub use sys::reserve::{NOTHING_AHEAD, Reserve};
pub use writer::{Format, Writer};

use engine::decode::{Frame, LinkType, PortId};
use engine::types::Timestamp;

/// Captured bytes of one frame; a file that claims more is broken. libpcap's own bound.
pub const FRAME_BYTES_MAX: usize = 262_144;

/// A pcapng block that is read (longer ones of unknown kinds are skipped unread).
pub const BLOCK_BYTES_MAX: usize = 1 << 20;

/// The half that frames come from.
pub trait Receive {
    /// Appends at most `max` frames to `frames`; they live until the next call. `Ok(0)`: nothing more will come.
    /// An error comes after every frame before it has been given, and ends the input.
    fn recv<'d>(&'d mut self, frames: &mut Vec<Frame<'d>>, max: usize) -> Result<usize, Error>;
}

/// A frame to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    pub ts: Timestamp,
    /// The port it leaves through.
    pub port: PortId,
    pub link: LinkType,
    pub data: &'a [u8],
    /// Length on the wire, at least `data.len()`.
    pub wire_len: u32,
    /// Why it is not what came in (`sid 1 rewritten`); only formats with comments keep it.
    pub comment: Option<&'a str>,
}

/// The half that frames leave through.
pub trait Transmit {
    fn send(&mut self, frame: &Outgoing<'_>) -> Result<(), Error>;

    /// Everything sent is on its way (on disk).
    fn flush(&mut self) -> Result<(), Error>;
}

#[cfg(test)]
mod tests;
