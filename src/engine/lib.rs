//! The data plane: frames and time in, verdicts and records out.
//!
//! Sans-IO: no clock, socket, thread or file inside. The caller brings bytes and a timestamp, so a replay of a capture
//! decides exactly as the live run did. Nothing here may panic on outside bytes; odd traffic is an event that rules can
//! match, lost visibility is an exception that the operator's policy answers, and only people's mistakes are errors.
//!
//! Layering (each may use those to its left, held by a test):
//! `types <- wire <- decode <- flow <- stream <- applayer <- detect <- proto <- session <- worker`;
//! `action` and `record` rest on the vocabulary on the left and are called by `worker` alone.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable))]

pub mod action;
pub mod applayer;
pub mod decode;
pub mod detect;
pub mod flow;
pub mod proto;
pub mod record;
pub mod session;
pub mod stream;
pub mod types;
pub mod wire;
pub mod worker;
