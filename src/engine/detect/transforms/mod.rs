//! Transforms: rewritings of a buffer before it is inspected, one row each.
//!
//! Every transform is a pure function of the buffer's bytes and writes to a buffer it is handed, so that the result can
//! be shared by all rules that ask for the same one.

pub(crate) mod base64;
mod hash;
mod header;
mod pcrexform;
mod slice;
mod text;
mod unavailable;
mod url;
mod xor;
mod zip;

use super::keywords::{Argument, Value};
use super::lang::Fault;
use super::signature::{Content, Transform};

pub use base64::{Mode as Base64Mode, decode as base64_decode};

/// One transform keyword.
pub struct TransformKeyword {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub argument: Argument,
    /// One sentence.
    pub doc: &'static str,
    /// The argument's shape; empty where there is none.
    pub syntax: &'static str,
    /// An argument that is accepted and one that is refused.
    pub example_ok: &'static str,
    pub example_bad: &'static str,
    pub parse: for<'v> fn(&Value<'v>) -> Result<Box<dyn Transform>, Fault>,
}

pub const TABLE: &[&TransformKeyword] = &[
    &text::TO_LOWERCASE,
    &text::TO_UPPERCASE,
    &text::STRIP_WHITESPACE,
    &text::COMPRESS_WHITESPACE,
    &text::DOTPREFIX,
    &header::HEADER_LOWERCASE,
    &header::STRIP_PSEUDO_HEADERS,
    &url::URL_DECODE,
    &xor::XOR,
    &slice::SUBSLICE,
    &base64::FROM_BASE64,
    &hash::TO_MD5,
    &hash::TO_SHA1,
    &hash::TO_SHA256,
    &zip::GUNZIP,
    &zip::ZLIB_DEFLATE,
    &pcrexform::PCREXFORM,
    &unavailable::LUAXFORM,
    &unavailable::DOMAIN,
    &unavailable::TLD,
];

/// A transform without arguments: its name and its function.
#[derive(Clone, Copy)]
struct Plain {
    name: &'static str,
    apply: fn(&[u8], &mut Vec<u8>),
    can_hold: fn(&Content) -> bool,
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Transform for Plain {
    fn identity(&self) -> String {
        self.name.to_owned()
    }

    fn apply(&self, data: &[u8], out: &mut Vec<u8>) {
        out.clear();
        (self.apply)(data, out);
    }

    fn can_hold(&self, content: &Content) -> bool {
        (self.can_hold)(content)
    }
}

#[cfg(test)]
mod tests;
