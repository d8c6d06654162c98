//! Fuzz entry: any bytes as a row of records.

use super::Record;
use crate::types::FieldSink;

#[derive(Default)]
struct Balance {
    depth: usize,
    values: usize,
}

impl FieldSink for Balance {
    fn bytes(&mut self, _: &str, _: &[u8]) {
        self.values += 1;
    }
    fn uint(&mut self, _: &str, _: u64) {
        self.values += 1;
    }
    fn int(&mut self, _: &str, _: i64) {
        self.values += 1;
    }
    fn float(&mut self, _: &str, _: f64) {
        self.values += 1;
    }
    fn bool(&mut self, _: &str, _: bool) {
        self.values += 1;
    }
    fn begin_object(&mut self, _: &str) {
        self.depth += 1;
    }
    fn begin_array(&mut self, _: &str) {
        self.depth += 1;
    }
    fn end(&mut self) {
        self.depth -= 1;
    }
}

/// Reads `data` as records; the sink's calls must balance whatever the bytes say.
pub fn fuzz_target(data: &[u8]) {
    let mut b = Balance::default();
    for record in Record::all(data) {
        let _ = record.walk(&mut b);
        assert_eq!(b.depth, 0);
    }
    let _ = super::walk(data, &mut b);
    assert_eq!(b.depth, 0);
}
