//! Test harness: shared by the suites of this folder.
