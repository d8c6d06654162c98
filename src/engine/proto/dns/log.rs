//! The `dns` object of EVE, version 3: one shape for requests and responses, in `dns` and in `alert` records.

use super::message::{FLAG_QR, FLAG_Z, Message, Record, Section, edns_options, txt_strings};
use super::name::Name;
use super::rrtype::{RCODES, RRTYPES, name_of, rr};
use super::transaction::DnsTransaction;
use crate::types::{Direction, FieldSink};
use std::fmt::Write;

const FLAGS: [(&str, u16); 6] =
    [("qr", FLAG_QR), ("aa", 0x0400), ("tc", 0x0200), ("rd", 0x0100), ("ra", 0x0080), ("z", FLAG_Z)];

pub fn write(tx: &DnsTransaction, sink: &mut dyn FieldSink) {
    let m = &tx.message;
    sink.uint("version", 3);
    sink.text("type", if tx.direction == Direction::ToServer { "request" } else { "response" });
    sink.uint("tx_id", tx.id.0);
    sink.uint("id", u64::from(m.header.id));
    sink.text("flags", &format!("{:x}", m.header.flags));
    for (key, bit) in FLAGS {
        if m.header.flags & bit != 0 {
            sink.bool(key, true);
        }
    }
    sink.uint("opcode", u64::from(m.header.opcode()));
    name_or_number(sink, "rcode", name_of(RCODES, m.header.rcode()), m.header.rcode());
    if !m.questions.is_empty() {
        sink.begin_array("queries");
        for q in &m.questions {
            sink.begin_object("");
            sink.bytes("rrname", m.text(q.name));
            rrtype(sink, "rrtype", q.rrtype);
            truncated(sink, "rrname_truncated", q.name);
            sink.end();
        }
        sink.end();
    }
    let answers = m.records(Section::Answer);
    if !answers.is_empty() {
        records(m, "answers", answers, sink);
        sink.begin_object("grouped");
        grouped(m, answers, sink);
        sink.end();
    }
    let authorities = m.records(Section::Authority);
    if !authorities.is_empty() {
        records(m, "authorities", authorities, sink);
    }
    // An OPT record without options only says that EDNS is spoken.
    let additionals = m.records(Section::Additional);
    if additionals.iter().any(|r| !bare_opt(m, r)) {
        records(m, "additionals", additionals, sink);
    }
}

fn bare_opt(m: &Message, record: &Record) -> bool {
    record.rrtype == rr::OPT && m.rdata(record).is_empty()
}

fn records(m: &Message, key: &str, records: &[Record], sink: &mut dyn FieldSink) {
    sink.begin_array(key);
    for record in records.iter().filter(|r| key != "additionals" || !bare_opt(m, r)) {
        if record.rrtype == rr::TXT {
            // One entry for each string of the record.
            for string in txt_strings(m.rdata(record)) {
                detail(m, record, Some(string), sink);
            }
        } else {
            detail(m, record, None, sink);
        }
    }
    sink.end();
}

fn detail(m: &Message, record: &Record, txt: Option<&[u8]>, sink: &mut dyn FieldSink) {
    sink.begin_object("");
    sink.bytes("rrname", m.text(record.name));
    truncated(sink, "rrname_truncated", record.name);
    rrtype(sink, "rrtype", record.rrtype);
    sink.uint("ttl", u64::from(record.ttl));
    match record.rrtype {
        rr::SOA => soa(m, record, "soa", sink),
        rr::SSHFP => sshfp(m, record, "sshfp", sink),
        rr::SRV => srv(m, record, "srv", sink),
        rr::OPT => {
            sink.begin_array("opt");
            for (code, data) in edns_options(m.rdata(record)) {
                sink.begin_object("");
                sink.uint("code", u64::from(code));
                sink.text("data", &hex(data, ""));
                sink.end();
            }
            sink.end();
        }
        rr::TXT => sink.bytes("rdata", txt.unwrap_or(&[])),
        _ => {
            simple(m, record, "rdata", sink);
            if let Some(name) = record.target {
                truncated(sink, "rdata_truncated", name);
            }
        }
    }
    sink.end();
}

/// Answers by type, types in the order of their first answer.
fn grouped(m: &Message, answers: &[Record], sink: &mut dyn FieldSink) {
    let mut types: Vec<u16> = Vec::new();
    for record in answers.iter().filter(|r| groups(r.rrtype)) {
        if !types.contains(&record.rrtype) {
            types.push(record.rrtype);
        }
    }
    for kind in types {
        sink.begin_array(name_of(RRTYPES, kind).unwrap_or(""));
        for record in answers.iter().filter(|r| r.rrtype == kind) {
            match kind {
                rr::TXT => txt_strings(m.rdata(record)).for_each(|s| sink.bytes("", s)),
                rr::SOA => soa(m, record, "", sink),
                rr::SSHFP => sshfp(m, record, "", sink),
                rr::SRV => srv(m, record, "", sink),
                _ => simple(m, record, "", sink),
            }
        }
        sink.end();
    }
}

/// Types whose data is shown: ten, so the list of types in [`grouped`] stays short whatever a message holds.
fn groups(rrtype: u16) -> bool {
    matches!(
        rrtype,
        rr::A | rr::AAAA | rr::CNAME | rr::MX | rr::NS | rr::PTR | rr::TXT | rr::NULL | rr::SOA | rr::SSHFP | rr::SRV
    )
}

/// Data that is one value.
fn simple(m: &Message, record: &Record, key: &str, sink: &mut dyn FieldSink) {
    match record.rrtype {
        rr::A | rr::AAAA => sink.text(key, &address(m.rdata(record))),
        rr::NULL => sink.bytes(key, m.rdata(record)),
        rr::CNAME | rr::MX | rr::NS | rr::PTR => sink.bytes(key, record.target.map_or(&[], |name| m.text(name))),
        _ => {}
    }
}

fn soa(m: &Message, record: &Record, key: &str, sink: &mut dyn FieldSink) {
    sink.begin_object(key);
    let (primary, mailbox) = (record.target.unwrap_or_default(), record.mailbox.unwrap_or_default());
    sink.bytes("mname", m.text(primary));
    truncated(sink, "mname_truncated", primary);
    sink.bytes("rname", m.text(mailbox));
    truncated(sink, "rname_truncated", mailbox);
    for (key, value) in ["serial", "refresh", "retry", "expire", "minimum"].iter().zip(m.soa_numbers(record)) {
        sink.uint(key, u64::from(value));
    }
    sink.end();
}

fn sshfp(m: &Message, record: &Record, key: &str, sink: &mut dyn FieldSink) {
    if let [algo, kind, fingerprint @ ..] = m.rdata(record) {
        sink.begin_object(key);
        sink.text("fingerprint", &hex(fingerprint, ":"));
        sink.uint("algo", u64::from(*algo));
        sink.uint("type", u64::from(*kind));
        sink.end();
    }
}

fn srv(m: &Message, record: &Record, key: &str, sink: &mut dyn FieldSink) {
    if let [p0, p1, w0, w1, port0, port1, ..] = *m.rdata(record) {
        sink.begin_object(key);
        sink.uint("priority", u64::from(u16::from_be_bytes([p0, p1])));
        sink.uint("weight", u64::from(u16::from_be_bytes([w0, w1])));
        sink.uint("port", u64::from(u16::from_be_bytes([port0, port1])));
        sink.bytes("name", record.target.map_or(&[], |name| m.text(name)));
        sink.end();
    }
}

fn truncated(sink: &mut dyn FieldSink, key: &str, name: Name) {
    if name.truncated {
        sink.bool(key, true);
    }
}

fn rrtype(sink: &mut dyn FieldSink, key: &str, number: u16) {
    name_or_number(sink, key, name_of(RRTYPES, number), number);
}

fn name_or_number(sink: &mut dyn FieldSink, key: &str, name: Option<&str>, number: u16) {
    match name {
        Some(name) => sink.text(key, name),
        None => sink.text(key, &number.to_string()),
    }
}

/// IPv6 in full, two bytes to a group; nothing where the length is neither 4 nor 16.
fn address(data: &[u8]) -> String {
    match data {
        [a, b, c, d] => format!("{a}.{b}.{c}.{d}"),
        _ if data.len() == 16 => {
            let mut text = String::with_capacity(39);
            for (i, byte) in data.iter().enumerate() {
                if i > 0 && i % 2 == 0 {
                    text.push(':');
                }
                let _ = write!(text, "{byte:02x}");
            }
            text
        }
        _ => String::new(),
    }
}

fn hex(data: &[u8], separator: &str) -> String {
    let mut text = String::with_capacity(data.len() * (2 + separator.len()));
    for (i, byte) in data.iter().enumerate() {
        if i > 0 {
            text.push_str(separator);
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}
