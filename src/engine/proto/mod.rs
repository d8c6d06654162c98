//! Protocols: one folder each; `registry` is the only place that names them.

pub mod dns;
pub mod exercise;
pub mod http;
pub mod integer;
pub mod registry;
pub mod tls;
mod unparsed;

/// Settings of all protocols, immutable per configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub http: http::Settings,
    pub tls: tls::Settings,
    pub log: LogSettings,
}

/// What records show of each protocol's transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    pub http: http::LogSettings,
    pub dns: dns::LogSettings,
    pub tls: tls::LogSettings,
}
