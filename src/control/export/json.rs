//! A tree of fields as JSON text.

use data_encoding::BASE64;
use engine::types::FieldSink;

/// Appends one JSON object (without its braces) to a buffer. Text that is valid UTF-8 goes out as it is; of other text
/// every byte from 0x80 on is written `\xNN`, as EVE's readers know it. Control characters are escaped as JSON asks.
pub struct JsonWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Nothing stands before the next value at this level.
    first: bool,
    /// For each open level, whether it is an array.
    open: Vec<bool>,
}

impl<'a> JsonWriter<'a> {
    /// `first`: no field of the enclosing object has been written.
    pub fn new(out: &'a mut Vec<u8>, first: bool) -> Self {
        JsonWriter { out, first, open: Vec::new() }
    }

    fn key(&mut self, key: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        if self.open.last() != Some(&true) {
            string(self.out, key.as_bytes());
            self.out.push(b':');
        }
    }

    /// A value that needs no quotes.
    fn plain(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.extend_from_slice(value.as_bytes());
    }

    fn begin(&mut self, key: &str, array: bool) {
        self.key(key);
        self.out.push(if array { b'[' } else { b'{' });
        self.open.push(array);
        self.first = true;
    }
}

impl FieldSink for JsonWriter<'_> {
    fn bytes(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        string(self.out, value);
    }

    fn base64(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        let start = self.out.len();
        self.out.resize(start + BASE64.encode_len(value.len()), 0);
        if let Some(room) = self.out.get_mut(start..) {
            BASE64.encode_mut(value, room);
        }
        self.out.push(b'"');
    }

    fn printable(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        for &b in value {
            match b {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', b]),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b' '..=b'~' => self.out.push(b),
                _ => self.out.push(b'.'),
            }
        }
        self.out.push(b'"');
    }

    fn uint(&mut self, key: &str, value: u64) {
        self.plain(key, itoa::Buffer::new().format(value));
    }

    fn int(&mut self, key: &str, value: i64) {
        self.plain(key, itoa::Buffer::new().format(value));
    }

    fn float(&mut self, key: &str, value: f64) {
        if value.is_finite() {
            self.plain(key, &format!("{value:?}"));
        } else {
            self.plain(key, "null");
        }
    }

    fn bool(&mut self, key: &str, value: bool) {
        self.plain(key, if value { "true" } else { "false" });
    }

    fn begin_object(&mut self, key: &str) {
        self.begin(key, false);
    }

    fn begin_array(&mut self, key: &str) {
        self.begin(key, true);
    }

    fn end(&mut self) {
        if let Some(array) = self.open.pop() {
            self.out.push(if array { b']' } else { b'}' });
            self.first = false;
        }
    }
}

/// How a byte goes into a JSON string: as it is, after a backslash as this letter, or in hexadecimal.
const AS_IT_IS: u8 = 0;
const IN_HEX: u8 = 1;
/// A byte of 0x80 and above: as it is where the whole is UTF-8.
const HIGH: u8 = 2;
const FORMS: [u8; 256] = {
    let mut forms = [AS_IT_IS; 256];
    let mut b = 0;
    while b < 256 {
        forms[b] = match b as u8 {
            b @ (b'"' | b'\\') => b,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..=0x1f => IN_HEX,
            0x80.. => HIGH,
            _ => AS_IT_IS,
        };
        b += 1;
    }
    forms
};

/// `value` as a JSON string with its quotes. Most need no escape and are copied whole.
pub(super) fn string(out: &mut Vec<u8>, value: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let form = |b: u8| FORMS[usize::from(b)];
    // Known once a byte asks for it.
    let mut utf8 = None;
    let mut rest = value;
    out.reserve(value.len() + 2);
    out.push(b'"');
    while let Some(at) = rest.iter().position(|b| form(*b) != AS_IT_IS)
        && let (plain, [b, behind @ ..]) = rest.split_at(at)
    {
        let b = *b;
        out.extend_from_slice(plain);
        let (high, low) = (HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]);
        match form(b) {
            HIGH if *utf8.get_or_insert_with(|| std::str::from_utf8(value).is_ok()) => out.push(b),
            HIGH => out.extend_from_slice(&[b'\\', b'\\', b'x', high, low]),
            IN_HEX => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]),
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &[u8]) -> String {
        let mut out = Vec::new();
        string(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_escaped_as_readers_of_eve_expect() {
        assert_eq!(text(b"a\x01\x07\x1fb\"\\/\x7f"), "\"a\\u0001\\u0007\\u001fb\\\"\\\\/\x7f\"");
        assert_eq!(text("café €".as_bytes()), "\"café €\"");
        assert_eq!(text(b"bad\x80\xff\x01 caf\xc3\xa9"), r#""bad\\x80\\xff\u0001 caf\\xc3\\xa9""#);
        assert_eq!(text(b"\n\r\t\x08\x0c"), r#""\n\r\t\b\f""#);
    }

    #[test]
    fn bytes_are_shown_in_base64_and_with_dots() {
        let mut out = Vec::new();
        let mut w = JsonWriter::new(&mut out, true);
        w.base64("b", b"ab\xffc");
        w.base64("e", b"");
        w.printable("p", b"GET /\"\\\r\n\x00\t\xc3\xa9~");
        assert_eq!(String::from_utf8(out).unwrap(), r#""b":"YWL/Yw==","e":"","p":"GET /\"\\\r\n....~""#);
    }

    #[test]
    fn every_byte_string_is_valid_json() {
        for b in 0..=255u8 {
            for value in [vec![b], vec![b'a', b, 0x80], vec![0xc3, b]] {
                let t = text(&value);
                assert!(serde_json::from_str::<String>(&t).is_ok(), "{t}");
            }
        }
    }

    #[test]
    fn trees_become_objects_and_arrays() {
        let mut out = vec![b'{'];
        let mut w = JsonWriter::new(&mut out, true);
        w.begin_object("o");
        w.end();
        w.begin_array("a");
        w.uint("", 1);
        w.begin_object("");
        w.int("i", -1);
        w.float("f", 0.5);
        w.float("n", f64::NAN);
        w.end();
        w.begin_array("");
        w.end();
        w.end();
        w.bool("b", true);
        out.push(b'}');
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"o":{},"a":[1,{"i":-1,"f":0.5,"n":null},[]],"b":true}"#);
    }
}
