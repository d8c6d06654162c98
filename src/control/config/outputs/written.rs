//! `outputs` as written. A type of record is logged where its key is there; what its value leaves out has its default.

use crate::config::schema::{Overlay, section};
use crate::config::values::Size;
use serde::Deserialize;

section! {
    Outputs {
        /// Event types that are logged into `eve.json`; short for one `eve` with these types.
        events: Option<Vec<String>>,
        eve: Option<Vec<EveLog>>,
        /// A line for each alert.
        fast: Option<TextLog>,
        /// The counters as a table.
        stats: Option<TextLog>,
    }
}

section! {
    TextLog {
        /// In the log directory, unless it is an absolute path.
        file: Option<String>,
        /// What the file held before stays.
        append: Option<bool>,
    }
}

section! {
    /// One EVE log.
    EveLog {
        /// In the log directory, unless it is an absolute path.
        file: Option<String>,
        /// Stands before each line.
        prefix: Option<String>,
        /// Each record names the capture it comes from.
        pcap_file: Option<bool>,
        /// The name of this sensor, in each record.
        sensor_name: Option<String>,
        /// The version of this program, in each record.
        version: Option<bool>,
        community_id: Option<bool>,
        community_id_seed: Option<u16>,
        /// Hardware addresses.
        ethernet: Option<bool>,
        /// IPv6 addresses in their short form.
        ipv6_compress: Option<bool>,
        /// Flowbits, flowints and saved variables.
        metadata: Option<bool>,
        xff: Option<Xff>,
        types: EveTypes,
    }
}

section! {
    /// The client as a proxy names it.
    Xff {
        /// `extra-data`: in a field beside the address; `overwrite`: in its place.
        mode: Option<XffMode>,
        /// `forward`: the first address of the header counts; `reverse`: the last.
        deployment: Option<XffDeployment>,
        header: Option<String>,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum XffMode {
    ExtraData,
    Overwrite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum XffDeployment {
    Forward,
    Reverse,
}

section! {
    EveTypes {
        alert: Option<Alert>,
        anomaly: Option<Anomaly>,
        drop: Option<Drop>,
        files: Option<Files>,
        flow: Option<Flow>,
        frame: Option<Frame>,
        metadata: Option<Nothing>,
        netflow: Option<Nothing>,
        stats: Option<Stats>,
        http: Option<Http>,
        dns: Option<Dns>,
        tls: Option<Tls>,
    }
}

section! {
    /// A type without switches: `{}`.
    Nothing {}
}

section! {
    Alert {
        app_layer: Option<bool>,
        flow: Option<bool>,
        rule_metadata: Option<bool>,
        rule_raw: Option<bool>,
        rule_reference: Option<bool>,
        payload: Option<bool>,
        payload_printable: Option<bool>,
        payload_length: Option<bool>,
        payload_max: Option<Size>,
        packet: Option<bool>,
        http_body: Option<bool>,
        http_body_printable: Option<bool>,
        tagged_packets: Option<bool>,
        verdict: Option<bool>,
        xff: Option<Xff>,
    }
}

section! {
    Anomaly {
        decode: Option<bool>,
        stream: Option<bool>,
        applayer: Option<bool>,
        packet_header: Option<bool>,
    }
}

section! {
    Drop {
        alerts: Option<bool>,
        /// Each dropped packet of a flow, not only the first of each direction.
        all_of_flow: Option<bool>,
        verdict: Option<bool>,
    }
}

section! {
    Files {
        force_magic: Option<bool>,
        md5: Option<bool>,
        sha1: Option<bool>,
        sha256: Option<bool>,
    }
}

section! {
    Flow {}
}

section! {
    Frame {
        payload_max: Option<Size>,
    }
}

section! {
    Stats {
        totals: Option<bool>,
        threads: Option<bool>,
        deltas: Option<bool>,
        null_values: Option<bool>,
    }
}

section! {
    Http {
        extended: Option<bool>,
        /// Headers shown beside, by name.
        custom: Option<Vec<String>>,
        /// Every header of requests, of responses.
        request_headers: Option<bool>,
        response_headers: Option<bool>,
    }
}

section! {
    Dns {
        /// 3, or 2 for the older shape.
        version: Option<u8>,
        requests: Option<bool>,
        responses: Option<bool>,
        detailed: Option<bool>,
        grouped: Option<bool>,
        types: Option<Vec<String>>,
    }
}

section! {
    Tls {
        extended: Option<bool>,
        /// Fields by name, in place of those that `extended` chooses.
        custom: Option<Vec<String>>,
        session_resumption: Option<bool>,
    }
}
