//! The `tls` object of EVE.

use super::certificate::{Certificate, date};
use super::transaction::{Chain, TlsTransaction};
use super::version::Version;
use crate::types::{Direction, FieldSink};

pub fn write(tx: &TlsTransaction, sink: &mut dyn FieldSink) {
    let chain = tx.server.chain.as_deref();
    let first = chain.and_then(|c| c.first.as_ref());
    if let Some(certificate) = first {
        sink.bytes("subject", &certificate.subject);
        sink.bytes("issuerdn", &certificate.issuer);
        if !certificate.alt_names.is_empty() {
            sink.begin_array("subjectaltname");
            certificate.alt_names.iter().for_each(|name| sink.bytes("", name));
            sink.end();
        }
    } else if tx.resumed() {
        sink.bool("session_resumed", true);
    }
    if let Some(certificate) = first {
        sink.bytes("serial", &certificate.serial);
    }
    if let Some(fingerprint) = chain.and_then(Chain::fingerprint) {
        sink.text("fingerprint", fingerprint);
    }
    if let Some(sni) = tx.client.hello.as_ref().and_then(|h| h.sni.as_deref()) {
        sink.bytes("sni", sni);
    }
    let agreed = Some(tx.server.version).filter(|v| *v != Version::UNKNOWN).unwrap_or(tx.client.version);
    sink.text("version", &agreed.name());
    if let Some(certificate) = first {
        validity(certificate, sink);
    }
    for (key, dir) in [("ja3", Direction::ToServer), ("ja3s", Direction::ToClient)] {
        if !tx.ja3_asked() {
            break;
        }
        if let Some((text, hash)) = tx.ja3(dir) {
            sink.begin_object(key);
            sink.text("hash", hash);
            sink.text("string", text);
            sink.end();
        }
    }
    if let Some(ja4) = tx.ja4() {
        sink.text("ja4", ja4);
    }
    for (key, side) in [("client_alpns", &tx.client), ("server_alpns", &tx.server)] {
        let alpns = side.hello.as_ref().map_or(&[][..], |h| &h.alpns);
        if !alpns.is_empty() {
            sink.begin_array(key);
            alpns.iter().for_each(|name| sink.bytes("", name));
            sink.end();
        }
    }
    client_certificate(tx, sink);
}

fn client_certificate(tx: &TlsTransaction, sink: &mut dyn FieldSink) {
    let Some(chain) = tx.client.chain.as_deref() else { return };
    let Some(certificate) = &chain.first else { return };
    sink.begin_object("client");
    sink.bytes("subject", &certificate.subject);
    sink.bytes("issuerdn", &certificate.issuer);
    if let Some(fingerprint) = chain.fingerprint() {
        sink.text("fingerprint", fingerprint);
    }
    sink.bytes("serial", &certificate.serial);
    validity(certificate, sink);
    sink.end();
}

fn validity(certificate: &Certificate, sink: &mut dyn FieldSink) {
    sink.text("notbefore", &date(certificate.not_before));
    sink.text("notafter", &date(certificate.not_after));
}
