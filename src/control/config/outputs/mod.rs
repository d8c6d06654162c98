//! The logs of a run: what is written ([`written`]) as what the engine and the exporters take.
//!
//! Several EVE logs may ask for different things. The engine writes records that hold what any of them asks for
//! (`union`); each log leaves out the types it does not have and the fields it does not want ([`EveLog::hidden`]).

mod union;
pub mod written;

pub use union::union;

use super::Error;
use engine::proto::{LogSettings, dns, http, registry, tls};
use engine::record::{
    AlertSettings, AnomalySettings, DropSettings, FileSettings, FrameSettings, Kind, Settings, StatsSettings, Xff,
};
use std::path::PathBuf;
use written as w;

/// Every log of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    pub eve: Vec<EveLog>,
    pub fast: Option<TextLog>,
    pub stats: Option<TextLog>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLog {
    pub file: PathBuf,
    pub append: bool,
}

/// One EVE log.
#[derive(Clone, Debug, PartialEq)]
pub struct EveLog {
    pub file: PathBuf,
    pub prefix: String,
    /// Records name their capture.
    pub pcap_file: bool,
    /// `host` of each record.
    pub sensor_name: Option<String>,
    pub version: bool,
    pub settings: Settings,
    pub log: LogSettings,
}

impl Default for EveLog {
    /// `eve.json` with every usual type.
    fn default() -> Self {
        EveLog {
            file: PathBuf::from("eve.json"),
            prefix: String::new(),
            pcap_file: true,
            sensor_name: None,
            version: false,
            settings: Settings::usual(),
            log: LogSettings::default(),
        }
    }
}

/// Types that no protocol owns.
fn general() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().filter_map(Kind::event_type).filter(|e| *e != "fileinfo").chain(["files"])
}

fn protocols() -> impl Iterator<Item = &'static str> {
    registry::vocabulary().protocols.iter().skip(1).map(|p| p.name)
}

impl EveLog {
    /// `eve.json` with these types alone. The error says which there are.
    pub fn of_events(names: &[String]) -> Result<Self, String> {
        let usual = Settings::usual();
        let mut s = Settings::default();
        for name in names.iter().map(|n| n.trim()).filter(|n| !n.is_empty()) {
            match name {
                "alert" => s.alert = usual.alert.clone(),
                "anomaly" => s.anomaly = usual.anomaly.clone(),
                "drop" => s.drop = usual.drop.clone(),
                // Configurations speak of `files`, records of `fileinfo`.
                "files" | "fileinfo" => s.files = usual.files.clone(),
                "flow" => s.flow = true,
                "frame" => s.frame = Some(FrameSettings::default()),
                // Packets that alerts mark are alerts' own.
                "packet" => {}
                "netflow" => s.netflow = true,
                "metadata" => s.metadata = true,
                "stats" => s.stats = usual.stats.clone(),
                _ => match registry::vocabulary().protocol(name) {
                    Some(p) => s.transactions.insert(p.id),
                    None => {
                        let all: Vec<_> = general().chain(protocols()).collect();
                        return Err(format!("no event type is named {name}; there are {}", all.join(", ")));
                    }
                },
            }
        }
        Ok(EveLog { settings: s, ..EveLog::default() })
    }

    /// Has records of this kind; of transactions, of the protocol of this name.
    pub fn has(&self, kind: Kind, event_type: &str) -> bool {
        let s = &self.settings;
        match kind {
            Kind::Alert => s.alert.is_some(),
            Kind::Drop => s.drop.is_some(),
            Kind::Flow => s.flow,
            Kind::Netflow => s.netflow,
            Kind::FileInfo => s.files.is_some(),
            Kind::Anomaly => s.anomaly.is_some(),
            Kind::Stats => s.stats.is_some(),
            Kind::Packet => s.alert.as_ref().is_some_and(|a| a.tagged_packets),
            Kind::Frame => s.frame.is_some(),
            Kind::Metadata => s.metadata,
            Kind::FileData => false,
            Kind::Tx => registry::vocabulary().protocol(event_type).is_some_and(|p| s.transactions.has(p.id)),
        }
    }
}

/// The logs as the engine takes them.
pub fn resolve(o: &w::Outputs) -> Result<Outputs, Error> {
    let wrong = Error::of_value;
    let eve = match (&o.eve, &o.events) {
        (Some(logs), _) => logs.iter().map(eve_log).collect::<Result<_, _>>().map_err(wrong)?,
        (None, Some(names)) => vec![EveLog::of_events(names).map_err(|m| wrong(format!("outputs.events: {m}")))?],
        (None, None) => vec![EveLog::default()],
    };
    let text = |log: &Option<w::TextLog>, file: &str| {
        log.as_ref()
            .map(|t| TextLog { file: t.file.as_deref().unwrap_or(file).into(), append: t.append.unwrap_or(false) })
    };
    Ok(Outputs { eve, fast: text(&o.fast, "fast.log"), stats: text(&o.stats, "stats.log") })
}

/// Takes over each value that is written.
macro_rules! take {
    ($to:expr, $from:expr, $($field:ident),*) => {
        $(if let Some(v) = &$from.$field { $to.$field = v.clone(); })*
    };
}

fn eve_log(l: &w::EveLog) -> Result<EveLog, String> {
    let mut s = Settings::default();
    take!(s.common, l, ethernet, ipv6_compress, metadata);
    if l.community_id == Some(true) {
        s.common.community_id = Some(l.community_id_seed.unwrap_or(0));
    }
    s.common.xff = l.xff.as_ref().map(xff);
    let t = &l.types;
    s.alert = t.alert.as_ref().map(|a| {
        let mut to = AlertSettings { xff: a.xff.as_ref().map(xff), ..Default::default() };
        take!(to, a, app_layer, flow, rule_metadata, rule_raw, rule_reference, payload, payload_printable);
        take!(to, a, payload_length, packet, http_body, http_body_printable, tagged_packets, verdict);
        to.payload_max = a.payload_max.map_or(to.payload_max, |s| usize::try_from(s.0).unwrap_or(usize::MAX));
        to
    });
    s.drop = t.drop.as_ref().map(|d| {
        let mut to = DropSettings::default();
        take!(to, d, alerts, all_of_flow, verdict);
        to
    });
    s.anomaly = t.anomaly.as_ref().map(|a| {
        let mut to = AnomalySettings::default();
        take!(to, a, decode, stream, applayer, packet_header);
        to
    });
    s.files = t.files.as_ref().map(|f| {
        let mut to = FileSettings::default();
        take!(to, f, force_magic, md5, sha1, sha256);
        to
    });
    s.frame = t.frame.as_ref().map(|f| {
        let mut to = FrameSettings::default();
        to.payload_max = f.payload_max.map_or(to.payload_max, |s| usize::try_from(s.0).unwrap_or(usize::MAX));
        to
    });
    s.stats = t.stats.as_ref().map(|f| {
        let mut to = StatsSettings::default();
        take!(to, f, totals, threads, deltas, null_values);
        to
    });
    s.flow = t.flow.is_some();
    s.netflow = t.netflow.is_some();
    s.metadata = t.metadata.is_some();
    let logged = [("http", t.http.is_some()), ("dns", t.dns.is_some()), ("tls", t.tls.is_some())];
    let named = logged.into_iter().filter(|(_, on)| *on);
    s.transactions = named.filter_map(|(name, _)| registry::vocabulary().protocol(name)).map(|p| p.id).collect();
    Ok(EveLog {
        file: l.file.as_deref().unwrap_or("eve.json").into(),
        prefix: l.prefix.clone().unwrap_or_default(),
        pcap_file: l.pcap_file.unwrap_or(false),
        sensor_name: l.sensor_name.clone(),
        version: l.version.unwrap_or(false),
        settings: s,
        log: shown(t)?,
    })
}

fn xff(x: &w::Xff) -> Xff {
    let mut to = Xff {
        overwrite: x.mode == Some(w::XffMode::Overwrite),
        forward: x.deployment == Some(w::XffDeployment::Forward),
        ..Default::default()
    };
    take!(to, x, header);
    to
}

/// What the protocols' objects show.
fn shown(t: &w::EveTypes) -> Result<LogSettings, String> {
    let mut s = LogSettings::default();
    if let Some(h) = &t.http {
        s.http = http::LogSettings { extended: false, ..s.http };
        take!(s.http, h, extended, custom, request_headers, response_headers);
    }
    if let Some(d) = &t.dns {
        take!(s.dns, d, version, requests, responses, detailed, grouped);
        if let Some(names) = &d.types {
            let (types, unknown) = dns::LogSettings::types_named(names.iter().map(String::as_str));
            if let Some(name) = unknown.first() {
                return Err(format!("outputs.eve.types.dns.types: no record type is named {name}"));
            }
            s.dns.types = Some(types);
        }
    }
    if let Some(l) = &t.tls {
        s.tls.fields = if l.extended == Some(true) { tls::Fields::EXTENDED } else { tls::Fields::BASIC };
        take!(s.tls, l, session_resumption);
        if let Some(names) = &l.custom {
            let (fields, unknown) = tls::LogSettings::custom(names.iter().map(String::as_str));
            if let Some(name) = unknown.first() {
                return Err(format!("outputs.eve.types.tls.custom: no field is named {name}"));
            }
            s.tls.fields = fields;
        }
    }
    Ok(s)
}

#[cfg(test)]
mod tests;
