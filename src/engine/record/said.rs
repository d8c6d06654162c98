//! What rules found to say: values captured and measured in `metadata`, contexts in `alert.context`.

use crate::types::FieldSink;
use serde_json::Value;
use std::sync::Arc;

/// A value that an expression captured, by its variable's name.
pub type Captured = (Arc<str>, Box<[u8]>);

/// Values of a flow and of the packet at hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct SaidOf<'a> {
    pub flow: &'a [Captured],
    pub packet: &'a [Captured],
    /// Measured of the flow.
    pub entropy: &'a [(&'a str, f64)],
}

impl SaidOf<'_> {
    pub fn is_empty(&self) -> bool {
        self.flow.is_empty() && self.packet.is_empty() && self.entropy.is_empty()
    }

    /// The fields of `metadata`.
    pub fn write(&self, sink: &mut dyn FieldSink) {
        if !self.entropy.is_empty() {
            sink.begin_object("entropy");
            self.entropy.iter().for_each(|(name, x)| sink.float(name, *x));
            sink.end();
        }
        for (key, list) in [("flowvars", self.flow), ("pktvars", self.packet)] {
            if list.is_empty() {
                continue;
            }
            sink.begin_array(key);
            for (name, value) in list {
                sink.begin_object("");
                sink.text(name, &printable(value));
                sink.end();
            }
            sink.end();
        }
    }
}

/// What an alert says of a value: words from a list, or the bytes themselves.
#[derive(Clone, Copy, Debug)]
pub enum ContextValue<'a> {
    Json(&'a Value),
    Bytes(&'a [u8]),
}

/// The `context` object of an alert.
pub fn context(sink: &mut dyn FieldSink, rows: &[(&str, ContextValue<'_>)]) {
    if rows.is_empty() {
        return;
    }
    sink.begin_object("context");
    for (name, value) in rows {
        match value {
            ContextValue::Json(v) => json(sink, name, v),
            ContextValue::Bytes(b) => sink.text(name, &printable(b)),
        }
    }
    sink.end();
}

fn json(sink: &mut dyn FieldSink, key: &str, v: &Value) {
    match v {
        // A record has no nothing.
        Value::Null => {}
        Value::Bool(b) => sink.bool(key, *b),
        Value::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
            (Some(n), ..) => sink.uint(key, n),
            (_, Some(n), _) => sink.int(key, n),
            (_, _, Some(x)) => sink.float(key, x),
            _ => {}
        },
        Value::String(s) => sink.text(key, s),
        Value::Array(a) => {
            sink.begin_array(key);
            a.iter().for_each(|v| json(sink, "", v));
            sink.end();
        }
        Value::Object(o) => {
            sink.begin_object(key);
            o.iter().for_each(|(k, v)| json(sink, k, v));
            sink.end();
        }
    }
}

/// Bytes as text; what is no printable character is a dot.
fn printable(bytes: &[u8]) -> String {
    bytes.iter().map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' }).collect()
}
