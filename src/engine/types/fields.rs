//! Structured log fields: a tree of named values that a protocol writes and any exporter reads.

/// Receives the fields of a record, in order. Keys are EVE's names; text may be any bytes (an exporter escapes them).
/// `begin_*` and `end` calls nest and balance; values inside an array carry an empty key.
pub trait FieldSink {
    fn bytes(&mut self, key: &str, value: &[u8]);
    fn uint(&mut self, key: &str, value: u64);
    fn int(&mut self, key: &str, value: i64);
    fn float(&mut self, key: &str, value: f64);
    fn bool(&mut self, key: &str, value: bool);
    fn begin_object(&mut self, key: &str);
    fn begin_array(&mut self, key: &str);
    /// Closes the innermost object or array.
    fn end(&mut self);

    /// Bytes that readers see in Base64. A sink that makes text encodes them; others take them as they are.
    fn base64(&mut self, key: &str, value: &[u8]) {
        self.bytes(key, value);
    }

    /// Bytes of which readers see the characters that print, ends of lines too, and a dot for each other.
    fn printable(&mut self, key: &str, value: &[u8]) {
        self.bytes(key, value);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.bytes(key, value.as_bytes());
    }
}
