//! SIMD checksum and byte scans, each with a scalar twin that a test holds equal.
