//! Protocols: one folder each; `registry` is the only place that names them.

pub mod dns;
pub mod exercise;
pub mod http;
pub mod integer;
pub mod registry;
pub mod tls;
mod unparsed;

use crate::applayer::ProtoSet;

pub use tls::{Encryption, Fingerprint};

/// Settings of all protocols, immutable per configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub http: http::Settings,
    pub dns: dns::Settings,
    pub tls: tls::Settings,
    pub log: LogSettings,
    /// Protocols not looked for over TCP, and over UDP.
    pub off_tcp: ProtoSet,
    pub off_udp: ProtoSet,
}

impl Settings {
    pub fn off(&self, udp: bool) -> ProtoSet {
        if udp { self.off_udp } else { self.off_tcp }
    }
}

impl Settings {
    /// Hashes of files that rules ask for, besides those of the configuration.
    pub fn want_hashes(&mut self, h: crate::applayer::files::Hashes) {
        self.http.hashes = self.http.hashes.or(h);
    }
}

/// What records show of each protocol's transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    pub http: http::LogSettings,
    pub dns: dns::LogSettings,
    pub tls: tls::LogSettings,
}
