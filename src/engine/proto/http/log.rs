//! The `http` object of EVE.
//!
//! A transaction's own record shows what its settings ask for; alerts and files always show the extended fields and never
//! header lists.

use super::LogSettings;
use super::headers::Headers;
use super::tables::buffer;
use super::text::split_at;
use super::tx::HttpTx;
use crate::applayer::{BufferId, LogCx, LogPurpose, Transaction};
use crate::types::{Direction, FieldSink};
use std::net::IpAddr;

/// Bytes of a header's name and value that a header list shows.
const NAME_MAX: usize = 255;
const VALUE_MAX: usize = 2047;

/// Writes the fields in EVE's order; those of headers that were not sent are left out.
pub fn write(tx: &HttpTx, sink: &mut dyn FieldSink, cx: &LogCx<'_>) {
    let settings = &cx.settings.http;
    let own = cx.purpose == LogPurpose::Own;
    basic(tx, sink);
    if settings.extended || !own {
        extended(tx, sink);
    }
    if own {
        header_list(sink, "request_headers", &tx.request.m.headers, settings.request_headers, settings);
        header_list(sink, "response_headers", &tx.response.m.headers, settings.response_headers, settings);
    }
}

fn basic(tx: &HttpTx, sink: &mut dyn FieldSink) {
    let (req, resp) = (&tx.request, &tx.response);
    if let Some(h) = &req.host {
        sink.bytes("hostname", h);
    }
    if let Some(p) = req.port {
        sink.uint("http_port", u64::from(p));
    }
    if let Some(u) = tx.uri_shown() {
        sink.bytes("url", u);
    }
    for (key, name) in [("http_user_agent", &b"user-agent"[..]), ("xff", b"x-forwarded-for")] {
        if let Some(v) = req.m.headers.value(name) {
            sink.bytes(key, v);
        }
    }
    if let Some(v) = resp.m.headers.value(b"content-type") {
        sink.bytes("http_content_type", split_at(v, |c| c == b';').0);
    }
    if let Some(v) = resp.m.headers.value(b"content-range") {
        content_range(v, sink);
    }
}

fn extended(tx: &HttpTx, sink: &mut dyn FieldSink) {
    let (req, resp) = (&tx.request, &tx.response);
    if let Some(v) = req.m.headers.value(b"referer") {
        sink.bytes("http_refer", v);
    }
    if let Some(v) = req.m.part(&req.method) {
        sink.bytes("http_method", v);
    }
    if let Some(v) = req.m.part(&req.m.protocol) {
        sink.bytes("protocol", v);
    }
    match (resp.code, resp.m.part(&resp.status)) {
        (Some(c), _) => sink.uint("status", u64::from(c)),
        (None, Some(s)) => sink.bytes("status_string", s),
        (None, None) => {}
    }
    if let Some(v) = resp.m.headers.value(b"location") {
        sink.bytes("redirect", v);
    }
    sink.uint("length", resp.m.payload.wire.saturating_add(resp.m.payload.framing));
}

/// The headers of one message that the settings name, or all of them.
fn header_list(sink: &mut dyn FieldSink, key: &str, headers: &Headers, all: bool, settings: &LogSettings) {
    let named = |name: &[u8]| {
        settings.custom.iter().any(|c| {
            let same = |(a, b): (u8, &u8)| a.eq_ignore_ascii_case(b) || (a == b'_' && *b == b'-');
            c.len() == name.len() && c.bytes().zip(name).all(same)
        }) && !(settings.extended && name.eq_ignore_ascii_case(b"referer"))
    };
    let mut open = false;
    for (name, value) in headers.iter().filter(|(n, _)| all || named(n)) {
        if !open {
            sink.begin_array(key);
            open = true;
        }
        sink.begin_object("");
        sink.bytes("name", name.get(..NAME_MAX).unwrap_or(name));
        sink.bytes("value", value.get(..VALUE_MAX).unwrap_or(value));
        sink.end();
    }
    if open {
        sink.end();
    }
}

/// What is held of either body, where an alert is to show it.
pub fn bodies(tx: &HttpTx, sink: &mut dyn FieldSink, cx: &LogCx<'_>) {
    const KEYS: [(Direction, BufferId, &str, &str); 2] = [
        (Direction::ToServer, buffer::REQUEST_BODY, "http_request_body", "http_request_body_printable"),
        (Direction::ToClient, buffer::RESPONSE_BODY, "http_response_body", "http_response_body_printable"),
    ];
    if !(cx.body || cx.body_printable) {
        return;
    }
    for (dir, id, key, printable) in KEYS {
        let Some(body) = tx.buffer(id, dir, 0).filter(|b| !b.data.is_empty()) else { continue };
        if cx.body_printable {
            sink.printable(printable, body.data);
        }
        if cx.body {
            sink.base64(key, body.data);
        }
    }
}

/// The first or last address in a header that lists those a request came by, with or without ports.
pub fn proxied_for(tx: &HttpTx, header: &str, first: bool) -> Option<IpAddr> {
    let value = tx.request.m.headers.value(header.to_ascii_lowercase().as_bytes())?;
    let text = std::str::from_utf8(value).ok()?;
    let one = if first { text.split(',').next() } else { text.rsplit(',').next() }?.trim();
    let bare = one.strip_prefix('[').and_then(|v6| v6.split(']').next());
    let unported = || one.rsplit_once(':').map(|(ip, _)| ip);
    [bare, Some(one), unported()].into_iter().flatten().find_map(|ip| ip.parse().ok())
}

/// `bytes start-end/size`, each of which may be missing or `*` (RFC 9110 section 14.4).
pub fn parse_content_range(v: &[u8]) -> Option<(Option<u64>, Option<u64>, Option<u64>)> {
    let rest = super::text::trim(v).strip_prefix(b"bytes ")?;
    let (range, size) = split_at(super::text::trim(rest), |c| c == b'/');
    let size = super::text::decimal(size.get(1..)?);
    if range == b"*" {
        return Some((None, None, size));
    }
    let (start, end) = split_at(range, |c| c == b'-');
    Some((Some(super::text::decimal(start)?), Some(super::text::decimal(end.get(1..)?)?), size))
}

fn content_range(v: &[u8], sink: &mut dyn FieldSink) {
    sink.begin_object("content_range");
    sink.bytes("raw", v);
    if let Some((start, end, size)) = parse_content_range(v) {
        for (key, n) in [("start", start), ("end", end), ("size", size)] {
            if let Some(n) = n {
                sink.uint(key, n);
            }
        }
    }
    sink.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the byte strings written.
    #[derive(Default)]
    struct Lengths(Vec<usize>);

    impl FieldSink for Lengths {
        fn bytes(&mut self, _: &str, value: &[u8]) {
            self.0.push(value.len());
        }
        fn uint(&mut self, _: &str, _: u64) {}
        fn int(&mut self, _: &str, _: i64) {}
        fn float(&mut self, _: &str, _: f64) {}
        fn bool(&mut self, _: &str, _: bool) {}
        fn begin_object(&mut self, _: &str) {}
        fn begin_array(&mut self, _: &str) {}
        fn end(&mut self) {}
    }

    #[test]
    fn names_and_values_of_a_header_list_are_cut() {
        for (name, value, shown) in [(255, 2_047, [255, 2_047]), (256, 2_048, [255, 2_047])] {
            let line = [&vec![b'n'; name][..], b": ", &vec![b'v'; value], b"\r\n"].concat();
            let mut headers = Headers::default();
            let _ = (headers.push_line(&line, false, 1_024), headers.finish(b"\r\n", 1_024));
            let mut sink = Lengths::default();
            header_list(&mut sink, "request_headers", &headers, true, &LogSettings::default());
            assert_eq!(sink.0, shown);
        }
    }
}
