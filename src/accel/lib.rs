//! Prefetch and SIMD checksum, the latter with a scalar twin that a test holds equal.
//!
//! A leaf: depends on nothing and knows no protocol but the arithmetic of one. The wide versions are safe code shaped so
//! that the compiler vectorises it; the twins are the definition.

mod checksum;
mod prefetch;

pub use checksum::{add16, sum16, sum16_scalar};
pub use prefetch::prefetch;
