//! The body of a record: a tree of named values as tagged bytes.
//!
//! Each value is a tag byte, the key (length byte, UTF-8 bytes) and the value: unsigned and zig-zag signed integers as
//! LEB128, floats as eight little-endian bytes, byte strings with a LEB128 length; objects and arrays begin with a key
//! and close with an end tag. Bytes shown in Base64 or with dots lie here as they are: who makes text of them encodes.

use crate::types::FieldSink;

/// Objects and arrays may nest so deep; what is opened past it is left out with all it holds.
pub const DEPTH_MAX: usize = 32;

/// Bytes that are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record")]
pub struct Malformed;

#[derive(Clone, Copy)]
#[repr(u8)]
enum Tag {
    Bytes = 1,
    Uint = 2,
    Int = 3,
    Float = 4,
    True = 5,
    False = 6,
    Object = 7,
    Array = 8,
    End = 9,
    Base64 = 10,
    Printable = 11,
}

/// Writes a body at the end of `out`, never past `limit` bytes in all.
pub struct BodyWriter<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    depth: usize,
    /// Levels opened past [`DEPTH_MAX`].
    skipped: usize,
    full: bool,
}

impl<'a> BodyWriter<'a> {
    pub fn new(out: &'a mut Vec<u8>, limit: usize) -> Self {
        BodyWriter { out, limit, depth: 0, skipped: 0, full: false }
    }

    /// Closes what is still open. Says whether everything found room.
    pub fn finish(mut self) -> bool {
        self.skipped = 0;
        while self.depth > 0 && !self.full {
            self.end();
        }
        !self.full
    }

    fn put(&mut self, tag: Tag, key: &str, value: &[&[u8]]) {
        if self.full || self.skipped > 0 {
            return;
        }
        let key = cut(key, u8::MAX as usize);
        let len = 2 + key.len() + value.iter().map(|v| v.len()).sum::<usize>();
        if self.out.len().saturating_add(len) > self.limit {
            self.full = true;
            return;
        }
        self.out.push(tag as u8);
        self.out.push(key.len() as u8);
        self.out.extend_from_slice(key.as_bytes());
        for v in value {
            self.out.extend_from_slice(v);
        }
    }

    fn put_bytes(&mut self, tag: Tag, key: &str, value: &[u8]) {
        let (len, n) = leb128(value.len() as u64);
        self.put(tag, key, &[len.get(..n).unwrap_or(&[]), value]);
    }

    fn begin(&mut self, tag: Tag, key: &str) {
        if self.skipped > 0 || self.depth >= DEPTH_MAX {
            self.skipped += 1;
            return;
        }
        self.put(tag, key, &[]);
        self.depth += 1;
    }
}

impl FieldSink for BodyWriter<'_> {
    fn bytes(&mut self, key: &str, value: &[u8]) {
        self.put_bytes(Tag::Bytes, key, value);
    }

    fn base64(&mut self, key: &str, value: &[u8]) {
        self.put_bytes(Tag::Base64, key, value);
    }

    fn printable(&mut self, key: &str, value: &[u8]) {
        self.put_bytes(Tag::Printable, key, value);
    }

    fn uint(&mut self, key: &str, value: u64) {
        let (v, n) = leb128(value);
        self.put(Tag::Uint, key, &[v.get(..n).unwrap_or(&[])]);
    }

    fn int(&mut self, key: &str, value: i64) {
        let (v, n) = leb128(((value << 1) ^ (value >> 63)) as u64);
        self.put(Tag::Int, key, &[v.get(..n).unwrap_or(&[])]);
    }

    fn float(&mut self, key: &str, value: f64) {
        self.put(Tag::Float, key, &[&value.to_le_bytes()]);
    }

    fn bool(&mut self, key: &str, value: bool) {
        self.put(if value { Tag::True } else { Tag::False }, key, &[]);
    }

    fn begin_object(&mut self, key: &str) {
        self.begin(Tag::Object, key);
    }

    fn begin_array(&mut self, key: &str) {
        self.begin(Tag::Array, key);
    }

    fn end(&mut self) {
        if self.skipped > 0 {
            self.skipped -= 1;
        } else if self.depth > 0 {
            self.depth -= 1;
            if self.out.len() < self.limit {
                self.out.push(Tag::End as u8);
            } else {
                self.full = true;
            }
        }
    }
}

/// Gives every value of `body` to `sink`, in order. On malformed bytes what came before has been given and the levels
/// still open are closed, so a sink always sees balanced calls.
pub fn walk(body: &[u8], sink: &mut dyn FieldSink) -> Result<(), Malformed> {
    let mut depth = 0usize;
    let result = walk_values(body, sink, &mut depth);
    for _ in 0..depth {
        sink.end();
    }
    if depth > 0 { Err(Malformed) } else { result }
}

fn walk_values(mut body: &[u8], sink: &mut dyn FieldSink, depth: &mut usize) -> Result<(), Malformed> {
    while let Some((&tag, rest)) = body.split_first() {
        body = rest;
        if tag == Tag::End as u8 {
            *depth = depth.checked_sub(1).ok_or(Malformed)?;
            sink.end();
            continue;
        }
        let (&key_len, rest) = body.split_first().ok_or(Malformed)?;
        let (key, rest) = rest.split_at_checked(key_len as usize).ok_or(Malformed)?;
        let key = std::str::from_utf8(key).map_err(|_| Malformed)?;
        body = value(tag, key, rest, sink, depth)?;
    }
    Ok(())
}

fn value<'a>(
    tag: u8,
    key: &str,
    body: &'a [u8],
    sink: &mut dyn FieldSink,
    depth: &mut usize,
) -> Result<&'a [u8], Malformed> {
    const BYTES: u8 = Tag::Bytes as u8;
    const BASE64: u8 = Tag::Base64 as u8;
    const PRINTABLE: u8 = Tag::Printable as u8;
    const UINT: u8 = Tag::Uint as u8;
    const INT: u8 = Tag::Int as u8;
    const FLOAT: u8 = Tag::Float as u8;
    const TRUE: u8 = Tag::True as u8;
    const FALSE: u8 = Tag::False as u8;
    const OBJECT: u8 = Tag::Object as u8;
    const ARRAY: u8 = Tag::Array as u8;
    Ok(match tag {
        BYTES | BASE64 | PRINTABLE => {
            let (len, rest) = read_leb128(body)?;
            let len = usize::try_from(len).map_err(|_| Malformed)?;
            let (v, rest) = rest.split_at_checked(len).ok_or(Malformed)?;
            match tag {
                BASE64 => sink.base64(key, v),
                PRINTABLE => sink.printable(key, v),
                _ => sink.bytes(key, v),
            }
            rest
        }
        UINT => {
            let (v, rest) = read_leb128(body)?;
            sink.uint(key, v);
            rest
        }
        INT => {
            let (v, rest) = read_leb128(body)?;
            sink.int(key, (v >> 1) as i64 ^ -((v & 1) as i64));
            rest
        }
        FLOAT => {
            let (v, rest) = body.split_first_chunk::<8>().ok_or(Malformed)?;
            sink.float(key, f64::from_le_bytes(*v));
            rest
        }
        TRUE | FALSE => {
            sink.bool(key, tag == TRUE);
            body
        }
        OBJECT | ARRAY => {
            if *depth >= DEPTH_MAX {
                return Err(Malformed);
            }
            *depth += 1;
            if tag == OBJECT {
                sink.begin_object(key)
            } else {
                sink.begin_array(key)
            }
            body
        }
        _ => return Err(Malformed),
    })
}

fn leb128(mut v: u64) -> ([u8; 10], usize) {
    let mut out = [0u8; 10];
    let mut n = 0;
    for slot in &mut out {
        n += 1;
        *slot = (v & 0x7f) as u8;
        v >>= 7;
        if v == 0 {
            break;
        }
        *slot |= 0x80;
    }
    (out, n)
}

fn read_leb128(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let mut v = 0u64;
    for (i, b) in bytes.iter().enumerate().take(10) {
        let part = u64::from(b & 0x7f);
        if i == 9 && part > 1 {
            return Err(Malformed);
        }
        v |= part << (7 * i);
        if b & 0x80 == 0 {
            return Ok((v, bytes.get(i + 1..).unwrap_or(&[])));
        }
    }
    Err(Malformed)
}

/// The longest prefix of at most `max` bytes that ends between characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}
