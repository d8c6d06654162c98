//! `outputs`: the logs that are written, with their switches.

use super::rows::{Cx, number, size, text, truth, wrong, yes};
use super::tree::{Node, Value};
use crate::config::Error;
use crate::config::outputs::written as w;
use crate::config::schema::Document;
use engine::proto::{dns, tls};

/// The entries of `outputs`, each a map of one key.
pub(super) fn apply(cx: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let mut logs = Vec::new();
    let mut once = Vec::new();
    for (name, log) in n.items().iter().flat_map(Node::entries).filter(|(_, log)| enabled(log, false)) {
        match name.as_str() {
            "eve-log" => logs.push(eve(cx, log, d, &mut once)?),
            "file-store" => only_one("file-store", log, &mut once)?,
            "fast" => d.outputs.fast = Some(text_log(log)?),
            "stats" => d.outputs.stats = Some(text_log(log)?),
            _ => {}
        }
    }
    d.outputs.eve = Some(logs);
    Ok(())
}

/// `file-store`, of version 2.
pub(super) fn file_store(_: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let Some(store) = n.items().iter().filter_map(|i| i.get("file-store")).find(|s| enabled(s, false)) else {
        return Ok(());
    };
    let to = &mut d.file_store;
    to.enabled = Some(true);
    to.dir = store.get("dir").and_then(Node::text).filter(|t| !t.trim().is_empty()).map(|t| t.trim().to_string());
    for (key, slot) in [("force-filestore", &mut to.all), ("write-fileinfo", &mut to.fileinfo)] {
        if let Some(n) = store.get(key) {
            truth(n, slot)?;
        }
    }
    Ok(())
}

/// Of some loggers a run has one at most.
fn only_one(name: &'static str, n: &Node, seen: &mut Vec<&'static str>) -> Result<(), Error> {
    if seen.contains(&name) {
        return Err(n.place.error(format!("only one `{name}` logger can be enabled")));
    }
    seen.push(name);
    Ok(())
}

/// Whether a log of this name that is enabled is one that is written here.
pub(super) fn known(name: &str) -> bool {
    matches!(name, "eve-log" | "fast" | "stats" | "file-store")
}

pub(super) fn enabled(n: &Node, unless_told: bool) -> bool {
    n.get("enabled").map_or(unless_told, |e| yes(e).unwrap_or(unless_told))
}

fn text_log(n: &Node) -> Result<w::TextLog, Error> {
    let mut to = w::TextLog::default();
    if let Some(f) = n.get("filename") {
        text(f, &mut to.file)?;
    }
    if let Some(a) = n.get("append") {
        truth(a, &mut to.append)?;
    }
    Ok(to)
}

/// Takes over truths of `n`, each by the key that Suricata writes.
fn truths(n: &Node, rows: &mut [(&str, &mut Option<bool>)]) -> Result<(), Error> {
    for (key, slot) in rows {
        // Where Suricata wants a truth, any other word counts as none.
        if let Some(v) = n.get(key).filter(|v| v.text().is_some_and(|t| !t.is_empty())) {
            **slot = Some(yes(v) == Some(true));
        }
    }
    Ok(())
}

fn eve(cx: &Cx<'_>, n: &Node, d: &mut Document, once: &mut Vec<&'static str>) -> Result<w::EveLog, Error> {
    let mut to = w::EveLog::default();
    if let Some(kind) = n.get("filetype").or_else(|| n.get("type")) {
        match kind.text() {
            Some("regular" | "file" | "") => {}
            Some("syslog" | "unix_dgram" | "unix_stream" | "redis") => cx.unsupported(kind, "outputs.eve-log.filetype"),
            _ => return Err(wrong(kind, "one of regular, syslog, unix_dgram, unix_stream, redis")),
        }
    }
    for (key, slot) in [("filename", &mut to.file), ("prefix", &mut to.prefix)] {
        if let Some(v) = n.get(key) {
            text(v, slot)?;
        }
    }
    if let Some(v) = n.get("sensor-name").or_else(|| cx.root.get("sensor-name")) {
        text(v, &mut to.sensor_name)?;
    }
    if let Some(v) = n.get("community-id-seed") {
        number(v, &mut to.community_id_seed)?;
    }
    truths(
        n,
        &mut [
            ("pcap-file", &mut to.pcap_file),
            ("suricata-version", &mut to.version),
            ("community-id", &mut to.community_id),
            ("ethernet", &mut to.ethernet),
            ("ipv6-compress", &mut to.ipv6_compress),
            ("metadata", &mut to.metadata),
        ],
    )?;
    to.xff = xff(n)?;
    let Some(types) = n.get("types") else { return Ok(to) };
    for item in types.items() {
        let empty;
        let (name, node) = match (&item.value, item.entries()) {
            (Value::Text(t), _) => {
                empty = Node::empty(item.place.clone());
                (t.as_str(), &empty)
            }
            (_, [(name, node), ..]) => (name.as_str(), node),
            _ => continue,
        };
        if !enabled(node, true) {
            continue;
        }
        match name {
            "anomaly" => only_one("anomaly", node, once)?,
            "drop" => only_one("drop", node, once)?,
            _ => {}
        }
        record_type(cx, name, node, &mut to.types, d)?;
        // Named without settings it tells of no session that takes up an earlier one; with settings it does.
        if let (Value::Text(_), Some(tls)) = (&item.value, to.types.tls.as_mut().filter(|_| name == "tls")) {
            tls.session_resumption = Some(false);
        }
    }
    Ok(to)
}

/// One entry of `types`.
fn record_type(cx: &Cx<'_>, name: &str, n: &Node, to: &mut w::EveTypes, d: &mut Document) -> Result<(), Error> {
    match name {
        "alert" => to.alert = Some(alert(n)?),
        "anomaly" => to.anomaly = Some(anomaly(n)?),
        "drop" => to.drop = Some(drops(n)?),
        "files" => to.files = Some(files(n)?),
        "flow" => to.flow = Some(w::Flow::default()),
        "netflow" => to.netflow = Some(w::Nothing::default()),
        "metadata" => to.metadata = Some(w::Nothing::default()),
        "frame" => {
            let mut f = w::Frame::default();
            if let Some(v) = n.get("payload-buffer-size") {
                size(v, &mut f.payload_max)?;
            }
            to.frame = Some(f);
        }
        "stats" => to.stats = stats(cx, n)?,
        "http" => to.http = Some(http(n)?),
        "dns" => to.dns = Some(dns(cx, n)?),
        "tls" => to.tls = Some(tls(cx, n, d)?),
        _ => {
            // Of protocols without a parser: nothing to log, but what is written must make sense.
            for (key, v) in n.entries().iter().filter(|(k, _)| k.ends_with("-limit") || k.ends_with("-size")) {
                size(v, &mut None).map_err(|e| Error { message: format!("{key}: {}", e.message), ..e })?;
            }
            cx.unsupported(n, &format!("outputs.eve-log.types.{name}"));
        }
    }
    Ok(())
}

fn xff(n: &Node) -> Result<Option<w::Xff>, Error> {
    let Some(x) = n.get("xff").filter(|x| enabled(x, false)) else { return Ok(None) };
    let mut to = w::Xff::default();
    let word = |key: &str| x.get(key).and_then(Node::text).unwrap_or_default().to_ascii_lowercase();
    to.mode = (word("mode") == "overwrite").then_some(w::XffMode::Overwrite);
    to.deployment = (word("deployment") == "forward").then_some(w::XffDeployment::Forward);
    if let Some(h) = x.get("header") {
        text(h, &mut to.header)?;
    }
    Ok(Some(to))
}

fn alert(n: &Node) -> Result<w::Alert, Error> {
    let mut a = w::Alert::default();
    if let Some(m) = n.get("metadata") {
        if yes(m) == Some(false) {
            (a.app_layer, a.flow, a.rule_metadata) = (Some(false), Some(false), Some(false));
        }
        truths(m, &mut [("flow", &mut a.flow), ("app-layer", &mut a.app_layer)])?;
        if let Some(r) = m.get("rule") {
            let mut rows =
                [("raw", &mut a.rule_raw), ("metadata", &mut a.rule_metadata), ("reference", &mut a.rule_reference)];
            truths(r, &mut rows)?;
        }
    }
    truths(
        n,
        &mut [
            ("payload", &mut a.payload),
            ("payload-printable", &mut a.payload_printable),
            ("payload-length", &mut a.payload_length),
            ("packet", &mut a.packet),
            ("http-body", &mut a.http_body),
            ("http-body-printable", &mut a.http_body_printable),
            ("tagged-packets", &mut a.tagged_packets),
            ("verdict", &mut a.verdict),
        ],
    )?;
    if let Some(v) = n.get("payload-buffer-size") {
        size(v, &mut a.payload_max)?;
        if a.payload_max.is_some_and(|s| s.0 == 0) {
            return Err(v.place.error("a payload of no bytes: leave `payload` off instead"));
        }
    }
    a.xff = xff(n)?;
    Ok(a)
}

fn anomaly(n: &Node) -> Result<w::Anomaly, Error> {
    let mut a = w::Anomaly::default();
    if let Some(t) = n.get("types") {
        let mut rows = [("decode", &mut a.decode), ("stream", &mut a.stream), ("applayer", &mut a.applayer)];
        truths(t, &mut rows)?;
    }
    truths(n, &mut [("packethdr", &mut a.packet_header)])?;
    Ok(a)
}

fn drops(n: &Node) -> Result<w::Drop, Error> {
    let mut to = w::Drop::default();
    truths(n, &mut [("alerts", &mut to.alerts), ("verdict", &mut to.verdict)])?;
    if let Some(f) = n.get("flows").and_then(Node::text) {
        to.all_of_flow = Some(!f.eq_ignore_ascii_case("start"));
    }
    Ok(to)
}

fn files(n: &Node) -> Result<w::Files, Error> {
    let mut to = w::Files::default();
    truths(n, &mut [("force-magic", &mut to.force_magic), ("force-md5", &mut to.md5)])?;
    let hashes = n.get("force-hash").map(|h| h.items().iter().chain(h.text().map(|_| h)).filter_map(Node::text));
    for hash in hashes.into_iter().flatten() {
        match hash.trim().to_ascii_lowercase().as_str() {
            "md5" => to.md5 = Some(true),
            "sha1" => to.sha1 = Some(true),
            "sha256" => to.sha256 = Some(true),
            _ => {}
        }
    }
    Ok(to)
}

fn stats(cx: &Cx<'_>, n: &Node) -> Result<Option<w::Stats>, Error> {
    if cx.root.at("stats.enabled").and_then(yes) == Some(false) {
        return Err(n.place.error("`stats` is logged here, and `stats.enabled` is no"));
    }
    let mut to = w::Stats::default();
    truths(
        n,
        &mut [
            ("totals", &mut to.totals),
            ("threads", &mut to.threads),
            ("deltas", &mut to.deltas),
            ("null-values", &mut to.null_values),
        ],
    )?;
    if to.totals == Some(false) && to.threads == Some(false) {
        return Err(n.place.error("`totals` and `threads` are both off: nothing would be logged"));
    }
    Ok(Some(to))
}

fn names(n: Option<&Node>) -> Option<Vec<String>> {
    n.map(|n| n.items().iter().filter_map(Node::text).map(str::to_string).collect())
}

fn http(n: &Node) -> Result<w::Http, Error> {
    let mut to = w::Http { custom: names(n.get("custom")), ..w::Http::default() };
    truths(n, &mut [("extended", &mut to.extended)])?;
    if let Some(which) = n.get("dump-all-headers").and_then(Node::text) {
        to.request_headers = Some(matches!(which, "both" | "request"));
        to.response_headers = Some(matches!(which, "both" | "response"));
    }
    Ok(to)
}

fn dns(cx: &Cx<'_>, n: &Node) -> Result<w::Dns, Error> {
    let mut to = w::Dns::default();
    truths(n, &mut [("requests", &mut to.requests), ("responses", &mut to.responses)])?;
    if let Some(v) = n.get("version") {
        number(v, &mut to.version)?;
        if !matches!(to.version, None | Some(2 | 3)) {
            return Err(wrong(v, "2 or 3"));
        }
    }
    if to.version.is_none() {
        // The way to ask every log for the older shape.
        let asked = std::env::var("SURICATA_EVE_DNS_VERSION").ok().and_then(|v| v.parse().ok());
        to.version = asked.filter(|v| matches!(v, 2 | 3));
    }
    if let Some(formats) = names(n.get("formats")).filter(|f| !f.is_empty()) {
        let has = |name: &str| Some(formats.iter().any(|f| f.eq_ignore_ascii_case(name)));
        (to.detailed, to.grouped) = (has("detailed"), has("grouped"));
    }
    if let Some(types) = names(n.get("types")) {
        let (_, unknown) = dns::LogSettings::types_named(types.iter().map(String::as_str));
        for name in &unknown {
            cx.unsupported(n, &format!("outputs.eve-log.types.dns.types: {name}"));
        }
        to.types = Some(types.iter().filter(|t| !unknown.contains(&t.as_str())).cloned().collect());
    }
    Ok(to)
}

fn tls(cx: &Cx<'_>, n: &Node, _: &mut Document) -> Result<w::Tls, Error> {
    let mut to = w::Tls::default();
    truths(n, &mut [("extended", &mut to.extended), ("session-resumption", &mut to.session_resumption)])?;
    if let Some(fields) = names(n.get("custom")) {
        let (_, unknown) = tls::LogSettings::custom(fields.iter().map(String::as_str));
        for name in &unknown {
            cx.unsupported(n, &format!("outputs.eve-log.types.tls.custom: {name}"));
        }
        to.custom = Some(fields.iter().filter(|f| !unknown.contains(&f.as_str())).cloned().collect());
    }
    Ok(to)
}
