//! The `http` object of EVE.

use super::text::split_at;
use super::tx::HttpTx;
use crate::types::FieldSink;

/// Writes the fields in EVE's order; those of headers that were not sent are left out.
pub fn write(tx: &HttpTx, sink: &mut dyn FieldSink) {
    let (req, resp) = (&tx.request, &tx.response);
    if let Some(h) = &req.host {
        sink.bytes("hostname", h);
    }
    if let Some(p) = req.port {
        sink.uint("http_port", u64::from(p));
    }
    if let Some(u) = tx.uri_raw() {
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
