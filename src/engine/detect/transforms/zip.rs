//! Decompression, to a bounded size.

use super::TransformKeyword;
use crate::detect::keywords::{Argument, Value};
use crate::detect::lang::Fault;
use crate::detect::signature::Transform;
use flate2::read::{GzDecoder, ZlibDecoder};
use std::io::Read;

/// Bytes produced where nothing is said.
const SIZE_DEFAULT: u64 = 1024;
/// Bytes a rule may ask for.
const SIZE_MAX: u64 = 1 << 20;

pub const GUNZIP: TransformKeyword = TransformKeyword {
    name: "gunzip",
    aliases: &[],
    argument: Argument::Optional,
    doc: "what the buffer unpacks to as gzip (RFC 1952), to a bounded size",
    syntax: "[max-size <n>]",
    example_ok: "max-size 2048",
    example_bad: "max-size 0",
    parse: |v| parse(v, Format::Gzip),
};

pub const ZLIB_DEFLATE: TransformKeyword = TransformKeyword {
    name: "zlib_deflate",
    aliases: &[],
    argument: Argument::Optional,
    doc: "what the buffer unpacks to as zlib (RFC 1950), to a bounded size",
    syntax: "[max-size <n>]",
    example_ok: "max-size 2048",
    example_bad: "size 9",
    parse: |v| parse(v, Format::Zlib),
};

#[derive(Clone, Copy, Debug)]
enum Format {
    Gzip,
    Zlib,
}

#[derive(Debug)]
struct Unzip {
    format: Format,
    size_max: u64,
}

fn parse(v: &Value<'_>, format: Format) -> Result<Box<dyn Transform>, Fault> {
    let mut size_max = SIZE_DEFAULT;
    for part in v.text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let size = part.strip_prefix("max-size").and_then(|n| n.trim().parse().ok());
        size_max = size.filter(|n| (1..=SIZE_MAX).contains(n)).ok_or_else(|| {
            Fault::argument(format!("`{part}` is unknown here"))
                .help(format!("max-size, 1 to {SIZE_MAX}"))
                .at(v.span.clone())
        })?;
    }
    Ok(Box::new(Unzip { format, size_max }))
}

impl Transform for Unzip {
    fn identity(&self) -> String {
        format!("{:?}:{}", self.format, self.size_max)
    }

    fn apply(&self, data: &[u8], out: &mut Vec<u8>) {
        out.clear();
        // What was unpacked before an error counts; the error itself says only that there is no more.
        let _ = match self.format {
            Format::Gzip => GzDecoder::new(data).take(self.size_max).read_to_end(out),
            Format::Zlib => ZlibDecoder::new(data).take(self.size_max).read_to_end(out),
        };
    }
}
