//! Frames in and out: capture files here; live devices implement the same `Device` trait.
