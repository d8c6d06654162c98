//! TLS and SSL up to encryption: records, handshake, certificates (RFC 8446, 5246, 4346, 2246, 6101; SSL 2.0 hellos).
//!
//! One transaction per flow, whose two directions advance by themselves: client 1 hello, 2 certificate, 3 handshake
//! done; server 1 hello, 2 certificate, 3 hello done, 4 handshake done. A direction is done with its first record of
//! application data, its end, or a closing alert; from there on its bytes are ciphertext and nobody looks at them.
//!
//! Records are taken as they come, in any cut: a message is gathered across records and segments up to a bound, a
//! record never. Odd bytes are events; what breaks the record layer itself ends the parser.

mod certificate;
mod fingerprint;
mod hello;
mod keywords;
mod log;
mod parser;
mod settings;
mod transaction;
mod version;

#[cfg(test)]
mod tests;

pub use parser::TlsParser;
pub use settings::{Encryption, Fields, Fingerprint, LogSettings, Settings};
pub use transaction::TlsTransaction;

use crate::applayer::{
    BufferDef, BufferId, BufferKind, Direct, EventDef, EventId, Probe, ProbeInput, Progress, ProtoDef, ProtoId,
};
use crate::types::Direction;

/// Index in the registry.
pub const ID: ProtoId = ProtoId(3);

pub const DEF: ProtoDef = ProtoDef {
    id: ID,
    name: "tls",
    aliases: &["ssl"],
    tcp: true,
    udp: false,
    client_first: true,
    files: false,
    probe,
    parser: |s| Box::new(TlsParser::new(s.tls)),
    buffers: BUFFERS,
    never,
    states: STATES,
    keywords: keywords::KEYWORDS,
    events: EVENTS,
    doc: "TLS and SSL, up to encryption; one transaction per flow",
};

/// Why bytes can never be in a buffer: serials and fingerprints are pairs of digits between colons.
fn never(local: u8, bytes: &[u8], _nocase: bool) -> Option<&'static str> {
    const FINGERPRINT: usize = 59;
    let colons = bytes.contains(&b':');
    if local == buffer::CERT_FINGERPRINT.local && (bytes.len() != FINGERPRINT || !colons) {
        Some("a fingerprint is 20 pairs of digits between colons")
    } else {
        (local == buffer::CERT_SERIAL.local && !colons && bytes.len() > 2).then_some("a serial number has colons")
    }
}

/// Steps of a handshake, in the direction named.
pub mod progress {
    use super::Progress;

    /// Either side's hello is complete.
    pub const HELLO: Progress = Progress(1);
    /// Either side's certificate chain is complete, or will not come.
    pub const CERTIFICATE: Progress = Progress(2);
    /// The server's last plain message; the client's handshake is done.
    pub const HELLO_DONE: Progress = Progress(3);
}

const STATES: [&[(Progress, &str)]; 2] = [
    &[
        (Progress::NONE, "client_in_progress"),
        (progress::HELLO, "client_hello_done"),
        (progress::CERTIFICATE, "client_cert_done"),
        (progress::HELLO_DONE, "client_handshake_done"),
        (Progress::DONE, "client_finished"),
    ],
    &[
        (Progress::NONE, "server_in_progress"),
        (progress::HELLO, "server_hello"),
        (progress::CERTIFICATE, "server_cert_done"),
        (progress::HELLO_DONE, "server_hello_done"),
        (Progress::DONE, "server_handshake_done"),
        (Progress::DONE, "server_finished"),
    ],
];

/// Buffers, by their place in [`BUFFERS`].
pub mod buffer {
    use super::*;

    pub const SNI: BufferId = BufferId::new(ID, 0);
    pub const CERT_SUBJECT: BufferId = BufferId::new(ID, 1);
    pub const CERT_ISSUER: BufferId = BufferId::new(ID, 2);
    pub const CERT_SERIAL: BufferId = BufferId::new(ID, 3);
    pub const CERT_FINGERPRINT: BufferId = BufferId::new(ID, 4);
    pub const CERTS: BufferId = BufferId::new(ID, 5);
    pub const RANDOM: BufferId = BufferId::new(ID, 6);
    pub const RANDOM_TIME: BufferId = BufferId::new(ID, 7);
    pub const RANDOM_BYTES: BufferId = BufferId::new(ID, 8);
    pub const ALPN: BufferId = BufferId::new(ID, 9);
    pub const SUBJECT_ALT_NAME: BufferId = BufferId::new(ID, 10);
    pub const FRAME_PDU: BufferId = BufferId::new(ID, 11);
    pub const FRAME_HDR: BufferId = BufferId::new(ID, 12);
    pub const FRAME_DATA: BufferId = BufferId::new(ID, 13);
    pub const FRAME_ALERT: BufferId = BufferId::new(ID, 14);
    pub const FRAME_HEARTBEAT: BufferId = BufferId::new(ID, 15);
    pub const FRAME_SSL2_HDR: BufferId = BufferId::new(ID, 16);
    pub const FRAME_SSL2_PDU: BufferId = BufferId::new(ID, 17);
}

const fn def(
    name: &'static str,
    aliases: &'static [&'static str],
    direct: Direct,
    progress: Progress,
    doc: &'static str,
) -> BufferDef {
    BufferDef { name, aliases, modifiers: &[], direct, kind: BufferKind::Whole, progress, lowercase: false, doc }
}

const fn frame(name: &'static str, doc: &'static str) -> BufferDef {
    BufferDef { kind: BufferKind::Frame, ..def(name, &[], Direct::Both, Progress(1), doc) }
}

const fn multi(def: BufferDef) -> BufferDef {
    BufferDef { kind: BufferKind::Multi, ..def }
}

const HELLO: Progress = progress::HELLO;
const CERT: Progress = progress::CERTIFICATE;

pub const BUFFERS: &[BufferDef] = &[
    def("tls.sni", &["tls_sni"], Direct::ToServer, HELLO, "the server name the client asks for"),
    def("tls.cert_subject", &["tls_cert_subject"], Direct::Both, CERT, "subject of the first certificate"),
    def("tls.cert_issuer", &["tls_cert_issuer"], Direct::Both, CERT, "issuer of the first certificate"),
    def("tls.cert_serial", &["tls_cert_serial"], Direct::Both, CERT, "serial number of the first certificate, 0C:1D:…"),
    def(
        "tls.cert_fingerprint",
        &["tls_cert_fingerprint"],
        Direct::Both,
        CERT,
        "SHA-1 of the first certificate, lower case, 0c:1d:…",
    ),
    multi(def("tls.certs", &[], Direct::Both, CERT, "DER of each certificate of the chain")),
    def("tls.random", &[], Direct::Both, HELLO, "the 32 random bytes of a hello"),
    def("tls.random_time", &[], Direct::Both, HELLO, "the first 4 random bytes of a hello"),
    def("tls.random_bytes", &[], Direct::Both, HELLO, "the last 28 random bytes of a hello"),
    multi(def("tls.alpn", &[], Direct::Both, HELLO, "each application protocol offered, or the one chosen")),
    multi(def("tls.subjectaltname", &[], Direct::ToClient, CERT, "each alternative name of the first certificate")),
    frame("frame:tls.pdu", "a record with its header"),
    frame("frame:tls.hdr", "the header of a record"),
    frame("frame:tls.data", "the content of a record"),
    frame("frame:tls.alert", "the content of an alert record"),
    frame("frame:tls.heartbeat", "the content of a heartbeat record"),
    frame("frame:tls.ssl2.hdr", "the header of an SSL 2.0 record"),
    frame("frame:tls.ssl2.pdu", "an SSL 2.0 record with its header"),
];

macro_rules! events {
    ($($konst:ident, $name:literal, $doc:literal;)*) => {
        /// Events, by their place in [`EVENTS`].
        pub mod event {
            use super::{EventId, ID};
            #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
            enum Place { $($konst),* }
            $(pub const $konst: EventId = EventId { proto: ID, local: Place::$konst as u8 };)*
        }
        pub const EVENTS: &[EventDef] = &[$(EventDef { name: $name, doc: $doc }),*];
    };
}

events! {
    INVALID_SSLV2_HEADER, "invalid_sslv2_header", "an SSL 2.0 record whose header makes no sense";
    INVALID_TLS_HEADER, "invalid_tls_header", "a record header that makes no sense";
    INVALID_RECORD_VERSION, "invalid_record_version", "a record of no known version";
    INVALID_RECORD_TYPE, "invalid_record_type", "a record of no known type";
    INVALID_RECORD_LENGTH, "invalid_record_length", "a record that is empty or longer than allowed";
    INVALID_HANDSHAKE_MESSAGE, "invalid_handshake_message", "a handshake message that does not parse";
    HEARTBEAT, "heartbeat_message", "a heartbeat";
    INVALID_HEARTBEAT, "invalid_heartbeat_message", "a heartbeat of no known type, or too short";
    OVERFLOW_HEARTBEAT, "overflow_heartbeat_message", "a heartbeat that claims more bytes than its record has";
    DATALEAK_HEARTBEAT, "dataleak_heartbeat_mismatch", "an encrypted heartbeat answered by a longer one";
    HANDSHAKE_INVALID_LENGTH, "handshake_invalid_length", "lengths in a handshake message contradict each other";
    MULTIPLE_SNI_EXTENSIONS, "multiple_sni_extensions", "more than one server name extension";
    INVALID_SNI_TYPE, "invalid_sni_type", "a server name that is not a host name";
    INVALID_SNI_LENGTH, "invalid_sni_length", "a server name whose lengths contradict each other";
    TOO_MANY_RECORDS, "too_many_records_in_packet", "more records than the bytes could hold";
    INVALID_ALERT, "invalid_alert_message", "an alert with an unknown level, or cut short";
    INVALID_CERTIFICATE, "invalid_certificate", "a certificate chain or certificate that does not parse";
    CERTIFICATE_INVALID_LENGTH, "certificate_invalid_length", "a certificate cut short";
    CERTIFICATE_INVALID_VERSION, "certificate_invalid_version", "a certificate whose version does not parse";
    CERTIFICATE_INVALID_SERIAL, "certificate_invalid_serial", "a certificate whose serial number does not parse";
    CERTIFICATE_INVALID_ALGORITHM, "certificate_invalid_algorithmidentifier", "a certificate whose algorithm does not parse";
    CERTIFICATE_INVALID_NAME, "certificate_invalid_x509name", "a certificate with a name that does not parse";
    CERTIFICATE_INVALID_DATE, "certificate_invalid_date", "a certificate with a date that does not parse";
    CERTIFICATE_INVALID_EXTENSIONS, "certificate_invalid_extensions", "a certificate whose extensions do not parse";
    CERTIFICATE_INVALID_DER, "certificate_invalid_der", "a certificate that is not DER";
    CERTIFICATE_INVALID_SUBJECT, "certificate_invalid_subject", "a certificate without a usable subject";
    CERTIFICATE_INVALID_ISSUER, "certificate_invalid_issuer", "a certificate without a usable issuer";
    CERTIFICATE_INVALID_VALIDITY, "certificate_invalid_validity", "a certificate without a usable validity";
    ERROR_MESSAGE, "error_message_encountered", "an SSL 2.0 error message";
    INVALID_SSL_RECORD, "invalid_ssl_record", "traffic that fits no record";
}

/// Records as either side begins with them: a handshake of a known version; from the server also an alert or
/// application data (the flow may be seen from its middle); an SSL 2.0 client hello.
fn probe(input: &ProbeInput<'_>) -> Probe {
    let first: &[u8] = match input.dir {
        Direction::ToServer => &[0x16],
        Direction::ToClient => &[0x15, 0x16, 0x17],
    };
    let more = if input.eof { Probe::No } else { Probe::More };
    match *input.data {
        [] => more,
        [a, ref rest @ ..] if first.contains(&a) => match *rest {
            [] => more,
            [3] => more,
            [3, minor, ..] if minor <= 3 => Probe::Match,
            _ => Probe::No,
        },
        [a, ref rest @ ..] if a & 0x80 != 0 && input.dir == Direction::ToServer => match *rest {
            [] | [_] | [_, 1] | [_, 1, 0 | 3] => more,
            [_, 1, 0, 2, ..] => Probe::Match,
            [_, 1, 3, minor, ..] if minor <= 3 => Probe::Match,
            _ => Probe::No,
        },
        _ => Probe::No,
    }
}

/// Everything a fuzzer needs to reach: a first byte of choices, then what the wire carries.
pub mod fuzz {
    pub use super::parser::fuzz_target;
}
