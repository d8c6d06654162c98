//! Counters as a table of text, a line each, those that are zero left out.

use engine::record::{Kind, Malformed, Record, time_text};
use engine::types::FieldSink;
use std::fmt::Write;

/// The table of a `stats` record; `None` for other records.
pub fn stats_table(record: &Record<'_>) -> Option<Result<String, Malformed>> {
    if record.head.kind != Kind::Stats {
        return None;
    }
    let mut rows = Rows { path: Vec::new(), rows: Vec::new(), uptime: 0 };
    if let Err(e) = record.walk(&mut rows) {
        return Some(Err(e));
    }
    let time = time_text(record.head.ts);
    let time = time.as_str();
    let part = |from: usize, to: usize| time.get(from..to).unwrap_or("");
    let (up, rule) = (rows.uptime, "-".repeat(90));
    let mut out = String::new();
    let _ = writeln!(out, "{rule}");
    let _ = writeln!(
        out,
        "Date: {}/{}/{} -- {} (uptime: {}d, {:02}h {:02}m {:02}s)",
        part(5, 7).trim_start_matches('0'),
        part(8, 10).trim_start_matches('0'),
        part(0, 4),
        part(11, 19),
        up / 86_400,
        up / 3_600 % 24,
        up / 60 % 60,
        up % 60
    );
    let _ = writeln!(out, "{rule}\n{:<45} | {:<25} | Value\n{rule}", "Counter", "TM Name");
    for (name, value) in rows.rows {
        let _ = writeln!(out, "{name:<45} | {:<25} | {value}", "Total");
    }
    Some(Ok(out))
}

struct Rows {
    /// Keys of the open objects; the outermost is `stats`.
    path: Vec<String>,
    rows: Vec<(String, u64)>,
    uptime: u64,
}

impl FieldSink for Rows {
    fn uint(&mut self, key: &str, value: u64) {
        let names: Vec<&str> = self.path.iter().skip(1).map(String::as_str).chain([key]).collect();
        if names == ["uptime"] {
            self.uptime = value;
        } else if value > 0 && !self.path.is_empty() && !names.contains(&"") {
            self.rows.push((names.join("."), value));
        }
    }

    fn bytes(&mut self, _: &str, _: &[u8]) {}
    fn int(&mut self, _: &str, _: i64) {}
    fn float(&mut self, _: &str, _: f64) {}
    fn bool(&mut self, _: &str, _: bool) {}

    fn begin_object(&mut self, key: &str) {
        self.path.push(key.to_string());
    }

    fn begin_array(&mut self, key: &str) {
        self.path.push(key.to_string());
    }

    fn end(&mut self) {
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::record::{Head, Records};
    use engine::types::Timestamp;

    #[test]
    fn counters_are_a_table() {
        let mut records = Records::new(1 << 12);
        records.write(&Head::new(Kind::Stats, Timestamp::from_secs(90_061), 1), |s| {
            s.begin_object("stats");
            s.uint("uptime", 90_061);
            s.begin_object("tcp");
            s.uint("syn", 3);
            s.uint("rst", 0);
            s.end();
            s.end();
        });
        let table = stats_table(&records.iter().next().unwrap()).unwrap().unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[1], "Date: 1/2/1970 -- 01:01:01 (uptime: 1d, 01h 01m 01s)");
        assert_eq!(lines[5], format!("{:<45} | {:<25} | 3", "tcp.syn", "Total"));
        assert_eq!(lines.len(), 6);
    }
}
