//! An alert as one line of text: when, which rule, how bad, between whom.

use engine::record::{Kind, Malformed, Record, time_text};
use engine::types::FieldSink;

/// The line of an alert, newline included; `None` for other records.
pub fn fast_line(record: &Record<'_>) -> Option<Result<String, Malformed>> {
    if record.head.kind != Kind::Alert {
        return None;
    }
    let mut a = Alert::default();
    if let Err(e) = record.walk(&mut a) {
        return Some(Err(e));
    }
    // 2023-01-01T00:00:00.123456+0000
    let time = time_text(record.head.ts);
    let time = time.as_str();
    let part = |from: usize, to: usize| time.get(from..to).unwrap_or("");
    let when = format!("{}/{}/{}-{}", part(5, 7), part(8, 10), part(0, 4), part(11, 26));
    let action = if a.action == "blocked" { "[Drop] " } else { "" };
    let end = |ip: &str, port: Option<u64>| match port {
        // Those without ports show their type and code in their place.
        Some(p) => format!("{ip}:{p}"),
        None => format!("{ip}:0"),
    };
    let (source, target) = match a.icmp_type {
        Some(t) => (format!("{}:{t}", a.src_ip), format!("{}:{}", a.dest_ip, a.icmp_code.unwrap_or(0))),
        None => (end(&a.src_ip, a.src_port), end(&a.dest_ip, a.dest_port)),
    };
    let category = if a.category.is_empty() { "(null)" } else { &a.category };
    Some(Ok(format!(
        "{when}  {action}[**] [{}:{}:{}] {} [**] [Classification: {category}] [Priority: {}] {{{}}} {source} -> {target}\n",
        a.gid, a.sid, a.rev, a.signature, a.severity, a.proto
    )))
}

#[derive(Default)]
struct Alert {
    depth: usize,
    in_alert: bool,
    action: String,
    signature: String,
    category: String,
    gid: u64,
    sid: u64,
    rev: u64,
    severity: u64,
    proto: String,
    src_ip: String,
    dest_ip: String,
    src_port: Option<u64>,
    dest_port: Option<u64>,
    icmp_type: Option<u64>,
    icmp_code: Option<u64>,
}

/// A line must stay one line.
fn printable(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().map(|c| if c.is_control() { '.' } else { c }).collect()
}

impl FieldSink for Alert {
    fn bytes(&mut self, key: &str, value: &[u8]) {
        let slot = match (self.depth, key) {
            (0, "proto") => &mut self.proto,
            (0, "src_ip") => &mut self.src_ip,
            (0, "dest_ip") => &mut self.dest_ip,
            (1, "action") if self.in_alert => &mut self.action,
            (1, "signature") if self.in_alert => &mut self.signature,
            (1, "category") if self.in_alert => &mut self.category,
            _ => return,
        };
        *slot = printable(value);
    }

    fn uint(&mut self, key: &str, value: u64) {
        match (self.depth, key) {
            (0, "src_port") => self.src_port = Some(value),
            (0, "dest_port") => self.dest_port = Some(value),
            (0, "icmp_type") => self.icmp_type = Some(value),
            (0, "icmp_code") => self.icmp_code = Some(value),
            (1, "gid") if self.in_alert => self.gid = value,
            (1, "signature_id") if self.in_alert => self.sid = value,
            (1, "rev") if self.in_alert => self.rev = value,
            (1, "severity") if self.in_alert => self.severity = value,
            _ => {}
        }
    }

    fn int(&mut self, _: &str, _: i64) {}
    fn float(&mut self, _: &str, _: f64) {}
    fn bool(&mut self, _: &str, _: bool) {}

    fn begin_object(&mut self, key: &str) {
        if self.depth == 0 {
            self.in_alert = key == "alert";
        }
        self.depth += 1;
    }

    fn begin_array(&mut self, _: &str) {
        self.depth += 1;
    }

    fn end(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::record::{Head, Records};
    use engine::types::Timestamp;

    #[test]
    fn an_alert_is_one_line() {
        let mut records = Records::new(1 << 12);
        let ts = Timestamp::from_nanos(1_672_531_200_123_456_789);
        records.write(&Head::new(Kind::Alert, ts, 1), |s| {
            s.text("src_ip", "10.0.0.1");
            s.uint("src_port", 1024);
            s.text("dest_ip", "10.0.0.2");
            s.uint("dest_port", 80);
            s.text("proto", "TCP");
            s.begin_object("http");
            s.uint("gid", 9);
            s.end();
            s.begin_object("alert");
            s.text("action", "blocked");
            s.uint("gid", 1);
            s.uint("signature_id", 7);
            s.uint("rev", 2);
            s.text("signature", "evil\nasked");
            s.text("category", "Bad");
            s.uint("severity", 3);
            s.begin_object("metadata");
            s.uint("rev", 99);
            s.end();
            s.end();
        });
        records.write(&Head::new(Kind::Flow, ts, 1), |_| {});
        let lines: Vec<_> = records.iter().filter_map(|r| fast_line(&r)).map(Result::unwrap).collect();
        let expected = "01/01/2023-00:00:00.123456  [Drop] [**] [1:7:2] evil.asked [**] [Classification: Bad] \
                        [Priority: 3] {TCP} 10.0.0.1:1024 -> 10.0.0.2:80\n";
        assert_eq!(lines, [expected]);
    }
}
