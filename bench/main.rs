//! Benchmarks: every promised number and the command that measures it (see SPEC.md).

fn main() {}
