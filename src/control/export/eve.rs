//! One record as one line of EVE.

use super::json::{JsonWriter, string};
use engine::record::{Malformed, Record, time_text};
use std::io::Write;

/// Appends `record` as a line, newline included. `input` is the `pcap_filename`, as the caller of the program named it.
/// On malformed bytes nothing is appended.
pub fn line(record: &Record<'_>, input: Option<&str>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let start = out.len();
    let head = &record.head;
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(time_text(head.ts).as_str().as_bytes());
    out.push(b'"');
    // Writing to a vector cannot fail.
    if let Some(id) = head.flow_id {
        let _ = write!(out, ",\"flow_id\":{id}");
    }
    if let Some(n) = head.number {
        let _ = write!(out, ",\"pcap_cnt\":{n}");
    }
    out.extend_from_slice(b",\"event_type\":");
    string(out, head.event_type().as_bytes());
    if let Err(e) = record.walk(&mut JsonWriter::new(out, false)) {
        out.truncate(start);
        return Err(e);
    }
    if let Some(name) = input {
        out.extend_from_slice(b",\"pcap_filename\":");
        string(out, name.as_bytes());
    }
    out.extend_from_slice(b"}\n");
    Ok(())
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
        for (r, input) in records.iter().zip([Some("a \"b\".pcap"), None]) {
            line(&r, input, &mut out).unwrap();
        }
        let expected = concat!(
            r#"{"timestamp":"2023-01-01T00:00:00.123456+0000","flow_id":42,"pcap_cnt":7,"event_type":"http","#,
            r#""src_ip":"10.0.0.1","http":{"url":"/"},"pcap_filename":"a \"b\".pcap"}"#,
            "\n",
            r#"{"timestamp":"2023-01-01T00:00:00.123456+0000","event_type":"flow"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
