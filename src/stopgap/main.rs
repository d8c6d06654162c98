//! The `stopgap` program: command line and wiring of capture, engine, matcher and control plane.

fn main() {}
