//! One way of writing records that serves several logs, and what each of them leaves out of it.

use super::{EveLog, protocols};
use engine::proto::{LogSettings, dns, http, registry, tls};
use engine::record::{AlertSettings, Common, Kind, Settings};

impl EveLog {
    /// Fields at the top of a record that are there for another log's sake.
    pub fn hidden(&self, all: &Settings) -> Vec<(Kind, &'static str)> {
        let mut hidden = Vec::new();
        let (own, c) = (&self.settings.common, &all.common);
        for kind in Kind::ALL {
            let rows = [
                (own.metadata, c.metadata, "metadata"),
                (own.community_id.is_some(), c.community_id.is_some(), "community_id"),
                (own.ethernet, c.ethernet, "ether"),
                (own.xff.is_some(), c.xff.is_some(), "xff"),
            ];
            hidden.extend(rows.into_iter().filter(|(own, all, _)| *all && !own).map(|(.., key)| (kind, key)));
        }
        if let (Some(own), Some(a)) = (&self.settings.alert, &all.alert) {
            let rows = [
                (own.flow, a.flow, "flow"),
                (own.payload, a.payload, "payload"),
                (own.payload_printable, a.payload_printable, "payload_printable"),
                (own.payload_length, a.payload_length, "payload_length"),
                (own.packet, a.packet, "packet"),
                (own.packet, a.packet, "packet_info"),
                (own.verdict, a.verdict, "verdict"),
            ];
            hidden.extend(rows.into_iter().filter(|(own, all, _)| *all && !own).map(|(.., key)| (Kind::Alert, key)));
            if a.app_layer && !own.app_layer {
                hidden.extend(protocols().chain(["files"]).map(|key| (Kind::Alert, key)));
            }
        }
        if let (Some(own), Some(a)) = (&self.settings.drop, &all.drop) {
            let rows = [(own.alerts, a.alerts, "alert"), (own.verdict, a.verdict, "verdict")];
            hidden.extend(rows.into_iter().filter(|(own, all, _)| *all && !own).map(|(.., key)| (Kind::Drop, key)));
        }
        hidden
    }
}

/// What the engine writes so that each log finds what it wants. Alerts are always there: they are counted.
pub fn union(logs: &[EveLog]) -> (Settings, LogSettings) {
    let mut all = Settings { alert: Some(quiet_alert()), ..Settings::default() };
    all.common = Common { metadata: false, ..Common::default() };
    logs.iter().for_each(|l| widen(&mut all, &l.settings));
    let of = |name: &str| logs.iter().filter(move |l| l.has(Kind::Tx, name)).map(|l| &l.log).collect::<Vec<_>>();
    let mut shown = LogSettings::default();
    if let [first, more @ ..] = &of("http")[..] {
        shown.http = more.iter().fold(first.http.clone(), |a, b| wider_http(a, &b.http));
    }
    if let [first, more @ ..] = &of("dns")[..] {
        shown.dns = more.iter().fold(first.dns.clone(), |a, b| wider_dns(a, &b.dns));
    }
    if let [first, more @ ..] = &of("tls")[..] {
        shown.tls = more.iter().fold(first.tls, |a, b| tls::LogSettings {
            fields: a.fields.with(b.tls.fields),
            session_resumption: a.session_resumption | b.tls.session_resumption,
        });
    }
    (all, shown)
}

/// The least an alert holds.
fn quiet_alert() -> AlertSettings {
    AlertSettings { app_layer: false, flow: false, rule_metadata: false, tagged_packets: false, ..Default::default() }
}

/// Sets each switch of `to` that is set in `from`.
macro_rules! switches {
    ($to:expr, $from:expr, $($field:ident),*) => {{ $($to.$field |= $from.$field;)* }};
}

fn widen(to: &mut Settings, from: &Settings) {
    switches!(to, from, flow, netflow, metadata);
    switches!(to.common, from.common, metadata, ethernet, ipv6_compress);
    to.common.community_id = to.common.community_id.or(from.common.community_id);
    to.common.xff = to.common.xff.take().or(from.common.xff.clone());
    for p in registry::vocabulary().protocols.iter().filter(|p| from.transactions.has(p.id)) {
        to.transactions.insert(p.id);
    }
    if let (Some(a), Some(b)) = (&mut to.alert, &from.alert) {
        switches!(a, b, app_layer, flow, rule_metadata, rule_raw, rule_reference, payload, payload_printable);
        switches!(a, b, payload_length, packet, http_body, http_body_printable, tagged_packets, verdict);
        a.payload_max = a.payload_max.max(b.payload_max);
        a.xff = a.xff.take().or(b.xff.clone());
    }
    if let Some(b) = &from.drop {
        let a = to.drop.get_or_insert_with(Default::default);
        switches!(a, b, alerts, all_of_flow, verdict);
    }
    if let Some(b) = &from.anomaly {
        match &mut to.anomaly {
            Some(a) => switches!(a, b, decode, stream, applayer, packet_header),
            a => *a = Some(b.clone()),
        }
    }
    if let Some(b) = &from.files {
        let a = to.files.get_or_insert_with(Default::default);
        switches!(a, b, force_magic, md5, sha1, sha256);
    }
    to.frame = to.frame.take().or(from.frame.clone());
    if let Some(b) = &from.stats {
        match &mut to.stats {
            Some(a) => switches!(a, b, totals, threads, deltas, null_values),
            a => *a = Some(b.clone()),
        }
    }
}

fn wider_http(mut a: http::LogSettings, b: &http::LogSettings) -> http::LogSettings {
    switches!(a, b, extended, request_headers, response_headers);
    for h in &b.custom {
        if !a.custom.contains(h) {
            a.custom.push(h.clone());
        }
    }
    a
}

fn wider_dns(mut a: dns::LogSettings, b: &dns::LogSettings) -> dns::LogSettings {
    switches!(a, b, requests, responses, detailed, grouped);
    a.types = match (a.types, &b.types) {
        (Some(x), Some(y)) => Some([x, y.clone()].concat()),
        _ => None,
    };
    a
}
