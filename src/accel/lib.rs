//! SIMD checksum and byte scans, each with a scalar twin that a test holds equal.
//!
//! A leaf: depends on nothing and knows no protocol but the arithmetic of one. The wide versions are safe code shaped so
//! that the compiler vectorises it; the twins are the definition.

mod checksum;

pub use checksum::{add16, sum16, sum16_scalar};
