//! One record as one line of EVE.

use super::json::{JsonWriter, string};
use engine::record::{Kind, Malformed, Record, time_text};
use engine::types::FieldSink;
use std::io::Write;

/// What a log puts around a record's own fields, and leaves out of them.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// Before the line.
    pub prefix: String,
    /// `host`.
    pub sensor_name: Option<String>,
    /// The program and its version, in `suricata_version`, where readers look for it.
    pub version: Option<String>,
    /// Fields at the top of records of a kind that are not this log's.
    pub hidden: Vec<(Kind, &'static str)>,
}

/// Where a record's packets came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// A capture, as the caller of the program named it (`pcap_filename`).
    Capture(&'a str),
    /// A port of this machine (`in_iface`).
    Interface(&'a str),
}

/// Appends `record` as a line, newline included.
/// On malformed bytes nothing is appended.
pub fn line(
    record: &Record<'_>,
    origin: Option<Origin<'_>>,
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let start = out.len();
    let head = &record.head;
    out.extend_from_slice(style.prefix.as_bytes());
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(time_text(head.ts).as_str().as_bytes());
    out.push(b'"');
    // Writing to a vector cannot fail.
    if let Some(id) = head.flow_id {
        let _ = write!(out, ",\"flow_id\":{id}");
    }
    if let Some(Origin::Interface(name)) = origin {
        out.extend_from_slice(b",\"in_iface\":");
        string(out, name.as_bytes());
    }
    if let Some(n) = head.number {
        let _ = write!(out, ",\"pcap_cnt\":{n}");
    }
    out.extend_from_slice(b",\"event_type\":");
    string(out, head.event_type().as_bytes());
    let hides = style.hidden.iter().any(|(k, _)| *k == head.kind);
    let mut writer = JsonWriter::new(out, false);
    let walked = if hides {
        record.walk(&mut Without { to: writer, kind: head.kind, hidden: &style.hidden, depth: 0, from: None })
    } else {
        record.walk(&mut writer)
    };
    if let Err(e) = walked {
        out.truncate(start);
        return Err(e);
    }
    let capture = match origin {
        Some(Origin::Capture(name)) => Some(name),
        _ => None,
    };
    let ends = [("suricata_version", style.version.as_deref()), ("host", style.sensor_name.as_deref())];
    for (key, value) in ends.into_iter().chain([("pcap_filename", capture)]) {
        if let Some(value) = value {
            let _ = write!(out, ",\"{key}\":");
            string(out, value.as_bytes());
        }
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Passes on what is not hidden.
struct Without<'a, S> {
    to: S,
    kind: Kind,
    hidden: &'a [(Kind, &'static str)],
    depth: usize,
    /// The depth at which what is being left out began.
    from: Option<usize>,
}

impl<S: FieldSink> Without<'_, S> {
    fn shows(&self, key: &str) -> bool {
        self.from.is_none() && (self.depth > 0 || !self.hidden.iter().any(|(k, h)| *k == self.kind && *h == key))
    }

    fn begin(&mut self, key: &str, array: bool) {
        if self.shows(key) {
            if array { self.to.begin_array(key) } else { self.to.begin_object(key) }
        } else if self.from.is_none() {
            self.from = Some(self.depth);
        }
        self.depth += 1;
    }
}

/// A value passed on where its key shows.
macro_rules! pass {
    ($($name:ident: $ty:ty;)*) => {
        $(fn $name(&mut self, key: &str, value: $ty) {
            if self.shows(key) {
                self.to.$name(key, value);
            }
        })*
    };
}

impl<S: FieldSink> FieldSink for Without<'_, S> {
    pass! { bytes: &[u8]; uint: u64; int: i64; float: f64; bool: bool; base64: &[u8]; printable: &[u8]; }

    fn begin_object(&mut self, key: &str) {
        self.begin(key, false);
    }

    fn begin_array(&mut self, key: &str) {
        self.begin(key, true);
    }

    fn end(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        match self.from {
            None => self.to.end(),
            Some(depth) if depth == self.depth => self.from = None,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::record::{Head, Kind, Records};
    use engine::types::Timestamp;

    #[test]
    fn head_fields_frame_the_record() {
        let mut records = Records::new(1 << 12);
        let ts = Timestamp::from_nanos(1_672_531_200_123_456_789);
        let head = Head { flow_id: Some(42), event: "http", ..Head::new(Kind::Tx, ts, 7) };
        records.write(&head, |s| {
            s.text("src_ip", "10.0.0.1");
            s.begin_object("http");
            s.text("url", "/");
            s.end();
        });
        records.write(&Head { number: None, ..Head::new(Kind::Flow, ts, 8) }, |_| {});
        let mut out = Vec::new();
        let origins = [Some(Origin::Capture("a \"b\".pcap")), Some(Origin::Interface("eth0"))];
        for (r, origin) in records.iter().zip(origins) {
            line(&r, origin, &Style::default(), &mut out).unwrap();
        }
        let expected = concat!(
            r#"{"timestamp":"2023-01-01T00:00:00.123456+0000","flow_id":42,"pcap_cnt":7,"event_type":"http","#,
            r#""src_ip":"10.0.0.1","http":{"url":"/"},"pcap_filename":"a \"b\".pcap"}"#,
            "\n",
            r#"{"timestamp":"2023-01-01T00:00:00.123456+0000","in_iface":"eth0","event_type":"flow"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_log_frames_its_lines_and_leaves_out_what_is_not_its_own() {
        let mut records = Records::new(1 << 12);
        records.write(&Head::new(Kind::Alert, Timestamp::ZERO, 1), |s| {
            s.text("payload", "x");
            s.begin_object("http");
            s.begin_array("list");
            s.uint("", 1);
            s.end();
            s.end();
            s.begin_object("alert");
            s.text("payload", "kept");
            s.end();
        });
        let style = Style {
            prefix: "@cee: ".into(),
            sensor_name: Some("s1".into()),
            version: Some("1".into()),
            hidden: vec![(Kind::Alert, "payload"), (Kind::Alert, "http"), (Kind::Flow, "alert")],
        };
        let mut out = Vec::new();
        line(&records.iter().next().unwrap(), None, &style, &mut out).unwrap();
        let expected = concat!(
            r#"@cee: {"timestamp":"1970-01-01T00:00:00.000000+0000","pcap_cnt":1,"event_type":"alert","#,
            r#""alert":{"payload":"kept"},"suricata_version":"1","host":"s1"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
