//! AF_PACKET: frames by packet sockets, which every driver has.
//!
//! Between two ports ([`PacketDevice`]) a frame is lent out of the ring that the kernel received it into, and sent out of it.
//! The ring is of the second version, where each frame is told at once; the third waits for its block's time-out, half a
//! millisecond of latency. Frames of the port's other peers on this machine may come joined, up to 64 KiB each: they leave
//! joined, cut by the card or the kernel as late as can be. Longer than a slot, they come by the socket's queue instead.
//!
//! Mirror ports ([`TapDevice`]) are only watched, and there the third version it is.

mod device;
mod mend;
mod tap;

pub use crate::sys::packet::Spread;
pub(crate) use mend::mend;

pub use device::{Opening, PacketDevice, open};
pub use tap::{TAPS_MAX, TapDevice, Watching, check_filter, watch};
