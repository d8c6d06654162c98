//! The control plane: configuration, export of records, rule packages, what a process may do. Never on the packet path.
//!
//! Hands immutable values to workers and takes records from them; never reaches into one. Whatever a person got wrong is
//! said with the file, the place and what would be right.

pub mod cache;
pub mod config;
pub mod confine;
pub mod export;
pub mod service;
