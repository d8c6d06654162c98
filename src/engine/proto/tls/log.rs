//! The `tls` object of EVE: the fields chosen, in EVE's order.

use super::certificate::{Certificate, date};
use super::settings::Fields;
use super::transaction::{Chain, Side, TlsTransaction};
use super::version::{Version, is_grease};
use crate::applayer::{LogCx, LogPurpose};
use crate::types::{Direction, FieldSink};

pub fn write(tx: &TlsTransaction, sink: &mut dyn FieldSink, cx: &LogCx<'_>) {
    let settings = cx.settings.tls;
    let (fields, resumption) = match cx.purpose {
        LogPurpose::Own => (settings.fields, settings.session_resumption),
        LogPurpose::Alert | LogPurpose::File => (Fields::EXTENDED, false),
    };
    let chain = tx.server.chain.as_deref();
    match chain.and_then(|c| c.first.as_ref()) {
        Some(certificate) => names(certificate, fields, sink),
        None if resumption && tx.resumed() => sink.bool("session_resumed", true),
        None => {}
    }
    if let Some(chain) = chain {
        identity(chain, fields, sink);
    }
    if let Some(sni) = tx.client.hello.as_ref().and_then(|h| h.sni.as_deref())
        && fields.has(Fields::SNI)
    {
        sink.bytes("sni", sni);
    }
    if fields.has(Fields::VERSION) {
        let agreed = Some(tx.server.version).filter(|v| *v != Version::UNKNOWN).unwrap_or(tx.client.version);
        sink.text("version", &agreed.name());
    }
    if let Some(chain) = chain {
        validity(chain, fields, sink);
        certificates(chain, fields.has(Fields::CERTIFICATE), fields.has(Fields::CHAIN), sink);
    }
    fingerprints(tx, fields, sink);
    for (key, field, side) in
        [("client_alpns", Fields::CLIENT_ALPNS, &tx.client), ("server_alpns", Fields::SERVER_ALPNS, &tx.server)]
    {
        let alpns = side.hello.as_ref().map_or(&[][..], |h| &h.alpns);
        if fields.has(field) && !alpns.is_empty() {
            sink.begin_array(key);
            alpns.iter().for_each(|name| sink.bytes("", name));
            sink.end();
        }
    }
    handshakes(tx, fields, sink);
    if fields.has(Fields::CLIENT) {
        client_certificate(&tx.client, fields, sink);
    }
}

fn names(certificate: &Certificate, fields: Fields, sink: &mut dyn FieldSink) {
    if fields.has(Fields::SUBJECT) {
        sink.bytes("subject", &certificate.subject);
    }
    if fields.has(Fields::ISSUER) {
        sink.bytes("issuerdn", &certificate.issuer);
    }
    if fields.has(Fields::SUBJECT_ALT_NAME) && !certificate.alt_names.is_empty() {
        sink.begin_array("subjectaltname");
        certificate.alt_names.iter().for_each(|name| sink.bytes("", name));
        sink.end();
    }
}

fn identity(chain: &Chain, fields: Fields, sink: &mut dyn FieldSink) {
    if let Some(certificate) = &chain.first
        && fields.has(Fields::SERIAL)
    {
        sink.bytes("serial", &certificate.serial);
    }
    if let Some(fingerprint) = chain.fingerprint()
        && fields.has(Fields::FINGERPRINT)
    {
        sink.text("fingerprint", fingerprint);
    }
}

fn validity(chain: &Chain, fields: Fields, sink: &mut dyn FieldSink) {
    let Some(certificate) = &chain.first else { return };
    if fields.has(Fields::NOT_BEFORE) {
        sink.text("notbefore", &date(certificate.not_before));
    }
    if fields.has(Fields::NOT_AFTER) {
        sink.text("notafter", &date(certificate.not_after));
    }
}

/// The first certificate, and all of the chain, as they were sent.
fn certificates(chain: &Chain, first: bool, all: bool, sink: &mut dyn FieldSink) {
    if let Some(der) = chain.der(0)
        && first
    {
        sink.base64("certificate", der);
    }
    if all && chain.len() > 0 {
        sink.begin_array("chain");
        (0..chain.len()).filter_map(|i| chain.der(i)).for_each(|der| sink.base64("", der));
        sink.end();
    }
}

fn fingerprints(tx: &TlsTransaction, fields: Fields, sink: &mut dyn FieldSink) {
    for (key, field, dir) in [("ja3", Fields::JA3, Direction::ToServer), ("ja3s", Fields::JA3S, Direction::ToClient)] {
        if !fields.has(field) || !tx.ja3_shown() {
            continue;
        }
        if let Some((text, hash)) = tx.ja3(dir) {
            sink.begin_object(key);
            sink.text("hash", hash);
            sink.text("string", text);
            sink.end();
        }
    }
    if fields.has(Fields::JA4)
        && let Some(ja4) = tx.ja4()
    {
        sink.text("ja4", ja4);
    }
}

/// What either hello offered, by number, without the values that only fill the lists.
fn handshakes(tx: &TlsTransaction, fields: Fields, sink: &mut dyn FieldSink) {
    for (key, field, side) in [
        ("client_handshake", Fields::CLIENT_HANDSHAKE, &tx.client),
        ("server_handshake", Fields::SERVER_HANDSHAKE, &tx.server),
    ] {
        let Some(hello) = side.hello.as_deref().filter(|_| fields.has(field)) else { continue };
        let server = field == Fields::SERVER_HANDSHAKE;
        sink.begin_object(key);
        sink.text("version", &side.version.name());
        let mut list = |key, values: &[u16]| {
            if values.iter().any(|v| !is_grease(*v)) {
                sink.begin_array(key);
                values.iter().filter(|v| !is_grease(**v)).for_each(|v| sink.uint("", u64::from(*v)));
                sink.end();
            }
        };
        if !server {
            list("ciphers", &hello.ciphers);
        }
        list("exts", &hello.extensions);
        if server {
            let cipher = hello.ciphers.first().filter(|c| !is_grease(**c));
            sink.uint("cipher", cipher.map_or(0, |c| u64::from(*c)));
        } else {
            list("sig_algs", &hello.signature_algorithms);
        }
        sink.end();
    }
}

fn client_certificate(client: &Side, fields: Fields, sink: &mut dyn FieldSink) {
    let Some(chain) = client.chain.as_deref() else { return };
    let Some(certificate) = &chain.first else { return };
    sink.begin_object("client");
    sink.bytes("subject", &certificate.subject);
    sink.bytes("issuerdn", &certificate.issuer);
    if let Some(fingerprint) = chain.fingerprint() {
        sink.text("fingerprint", fingerprint);
    }
    sink.bytes("serial", &certificate.serial);
    validity(chain, Fields::EXTENDED, sink);
    certificates(chain, fields.has(Fields::CLIENT_CERTIFICATE), fields.has(Fields::CLIENT_CHAIN), sink);
    sink.end();
}
