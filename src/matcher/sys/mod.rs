//! The two C libraries behind safe types: all `unsafe` of this crate is here.
//!
//! Safe code will not do because both libraries are C. Each wrapper owns what the library allocated and frees it once,
//! hands the library only pointers into live slices with their true lengths, and gives no pointer away. What the
//! wrappers do not know: rules, ids, caching, when to compile.

#[cfg(hyperscan_lib)]
pub(crate) mod hyperscan;
pub(crate) mod pcre2;
