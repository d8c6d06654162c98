//! Digests of the buffer, as raw bytes.

use super::{Plain, TransformKeyword};
use crate::detect::keywords::Argument;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

macro_rules! digest {
    ($($id:ident $name:literal $hash:ident $doc:literal;)*) => {$(
        pub const $id: TransformKeyword = TransformKeyword {
            name: $name,
            aliases: &[],
            argument: Argument::None,
            doc: $doc,
            syntax: "",
            example_ok: "",
            example_bad: "x",
            parse: |_| Ok(Box::new(Plain { name: $name, apply: digest::<$hash>, can_hold: |c| c.bytes.len() <= <$hash as Digest>::output_size() })),
        };
    )*};
}

digest! {
    TO_MD5 "to_md5" Md5 "the 16 bytes of the buffer's MD5 digest";
    TO_SHA1 "to_sha1" Sha1 "the 20 bytes of the buffer's SHA-1 digest";
    TO_SHA256 "to_sha256" Sha256 "the 32 bytes of the buffer's SHA-256 digest";
}

fn digest<D: Digest>(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&D::digest(data));
}
