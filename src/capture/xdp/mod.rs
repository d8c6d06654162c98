//! AF_XDP: frames by memory shared with the kernel, and the program in the kernel that keeps the wire.
//!
//! [`Bump`] is the program on a pair's two ports, which goes on without us; [`XdpDevice`] is a worker's end of it. How
//! frames pass between them and what the program decides by itself is told in `bump.bpf.c`.

mod bump;
mod device;
pub mod layout;

pub use crate::sys::bpf::{XdpMode, monotonic_ns};
pub use bump::{Bump, BumpError, FlowTable, Kept, Policies, Policy, Port, Terms};
pub use device::{Opening, XdpDevice, open};
