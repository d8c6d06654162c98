//! What is written down, and how much of it: the switches of the EVE log as one typed value.
//!
//! A kind of record is written where its field is `Some`; the value says what it holds. The fields of a protocol's own
//! object are that protocol's settings (`proto::Settings`); what frames a line (file names, version) is the exporter's.
//! Defaults are those of an EVE log that names its types and no switch.

pub use crate::applayer::ProtoSet as Protocols;

/// Every kind of record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub common: Common,
    pub alert: Option<AlertSettings>,
    pub drop: Option<DropSettings>,
    pub anomaly: Option<AnomalySettings>,
    /// Protocols whose transactions have records of their own.
    pub transactions: Protocols,
    pub files: Option<FileSettings>,
    pub flow: bool,
    pub netflow: bool,
    pub frame: Option<FrameSettings>,
    pub stats: Option<StatsSettings>,
    /// Records of packets in which a rule saved a variable.
    pub metadata: bool,
}

impl Settings {
    /// Every kind with its defaults, but `netflow`, `frame` and `metadata`, which one asks for; of drops every one, since
    /// a replay is asked what became of each packet.
    pub fn usual() -> Self {
        Settings {
            common: Common::default(),
            alert: Some(AlertSettings::default()),
            drop: Some(DropSettings { all_of_flow: true, ..DropSettings::default() }),
            anomaly: Some(AnomalySettings::default()),
            transactions: Protocols::ALL,
            files: Some(FileSettings::default()),
            flow: true,
            netflow: false,
            frame: None,
            stats: Some(StatsSettings::default()),
            metadata: false,
        }
    }
}

/// What records of every kind hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// Flowbits, flowints and saved variables (`metadata`).
    pub metadata: bool,
    /// Adds `community_id`, from this seed.
    pub community_id: Option<u16>,
    /// Adds `ether` with the hardware addresses.
    pub ethernet: bool,
    /// IPv6 addresses in their short form (RFC 5952).
    pub ipv6_compress: bool,
    pub xff: Option<Xff>,
}

impl Default for Common {
    fn default() -> Self {
        Common { metadata: true, community_id: None, ethernet: false, ipv6_compress: false, xff: None }
    }
}

/// The client as a proxy names it, of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xff {
    /// In place of the address of the packet; else in a field `xff` beside it.
    pub overwrite: bool,
    /// The proxy stands before clients: the first address of the header counts. Else the last.
    pub forward: bool,
    /// Name of the header, compared without case.
    pub header: String,
}

impl Default for Xff {
    fn default() -> Self {
        Xff { overwrite: false, forward: false, header: "X-Forwarded-For".into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    /// The protocol's object (`metadata.app-layer`).
    pub app_layer: bool,
    /// The `flow` object (`metadata.flow`).
    pub flow: bool,
    /// The rule's `metadata` (`metadata.rule.metadata`).
    pub rule_metadata: bool,
    /// The rule's text (`metadata.rule.raw`).
    pub rule_raw: bool,
    /// The rule's references (`metadata.rule.reference`).
    pub rule_reference: bool,
    /// Payload in Base64.
    pub payload: bool,
    /// Payload with dots for what does not print.
    pub payload_printable: bool,
    pub payload_length: bool,
    /// Bytes of payload shown (`payload-buffer-size`).
    pub payload_max: usize,
    /// The packet in Base64, with its link type.
    pub packet: bool,
    pub http_body: bool,
    pub http_body_printable: bool,
    /// Records of packets that a rule's `tag` marks.
    pub tagged_packets: bool,
    pub verdict: bool,
    /// In place of [`Common::xff`].
    pub xff: Option<Xff>,
}

impl Default for AlertSettings {
    fn default() -> Self {
        AlertSettings {
            app_layer: true,
            flow: true,
            rule_metadata: true,
            rule_raw: false,
            rule_reference: false,
            payload: false,
            payload_printable: false,
            payload_length: false,
            payload_max: 4 << 10,
            packet: false,
            http_body: false,
            http_body_printable: false,
            tagged_packets: true,
            verdict: false,
            xff: None,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropSettings {
    /// The rule that dropped it.
    pub alerts: bool,
    /// Of a flow's dropped packets each, not only the first of each direction (`flows: all`).
    pub all_of_flow: bool,
    pub verdict: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnomalySettings {
    pub decode: bool,
    pub stream: bool,
    pub applayer: bool,
    /// Adds the packet's header in Base64 (`packethdr`).
    pub packet_header: bool,
}

impl Default for AnomalySettings {
    /// Imperfect captures are full of events of decoding and of streams.
    fn default() -> Self {
        AnomalySettings { decode: false, stream: false, applayer: true, packet_header: false }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSettings {
    pub force_magic: bool,
    /// Hashes made of every file (`force-hash`).
    pub md5: bool,
    pub sha1: bool,
    pub sha256: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameSettings {
    /// Bytes of a frame's payload shown.
    pub payload_max: usize,
}

impl Default for FrameSettings {
    fn default() -> Self {
        FrameSettings { payload_max: 4 << 10 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsSettings {
    pub totals: bool,
    pub threads: bool,
    pub deltas: bool,
    /// Counters that are zero, too.
    pub null_values: bool,
}

impl Default for StatsSettings {
    fn default() -> Self {
        StatsSettings { totals: true, threads: false, deltas: false, null_values: true }
    }
}
