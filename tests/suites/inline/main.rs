//! Benign traffic of real programs arrives as it was sent, and attacks do not: what reaches the server is asked of the
//! server.
//!
//! Wants root, for the namespaces, and the programs it names; says that it skipped where something is missing.

mod attacks;
mod evasions;
mod frames;
mod load;
mod programs;
mod soak;
mod talk;
mod wire;
