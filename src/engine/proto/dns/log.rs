//! The `dns` object of EVE: version 3 has one shape for requests and responses, in `dns` and in `alert` records; version
//! 2 is the older one, for those whose readers still expect it.

use super::message::{FLAG_QR, FLAG_Z, Message, Question, Record, Section, edns_options, txt_strings};
use super::name::Name;
use super::rrtype::{RCODES, RRTYPES, name_of, rr};
use super::settings::LogSettings;
use super::transaction::DnsTransaction;
use crate::applayer::{LogCx, LogPurpose};
use crate::types::text::{Text, ip_text};
use crate::types::{Direction, FieldSink};
use std::fmt::Write;

const FLAGS: [(&str, u16); 6] =
    [("qr", FLAG_QR), ("aa", 0x0400), ("tc", 0x0200), ("rd", 0x0100), ("ra", 0x0080), ("z", FLAG_Z)];

/// Records of its own that a message is worth: of requests in the older shape one for each question that is logged.
pub fn records(tx: &DnsTransaction, s: &LogSettings) -> usize {
    let chosen = tx.message.questions.iter().filter(|q| s.shows(q.rrtype)).count();
    match tx.direction {
        Direction::ToServer if !s.requests => 0,
        Direction::ToClient if !s.responses => 0,
        Direction::ToServer if s.version == 2 => chosen,
        _ => chosen.min(1),
    }
}

pub fn write(tx: &DnsTransaction, sink: &mut dyn FieldSink, cx: &LogCx<'_>) {
    match cx.purpose {
        LogPurpose::Own if cx.settings.dns.version == 2 => match tx.direction {
            Direction::ToServer => question(tx, sink, &cx.settings.dns, cx.part),
            Direction::ToClient => answer(tx, sink, &cx.settings.dns),
        },
        LogPurpose::Own => message(tx, sink, &cx.settings.dns),
        LogPurpose::Alert | LogPurpose::File => message(tx, sink, &IN_ALERTS),
    }
}

/// Alerts show all of a message, answers one by one.
const IN_ALERTS: LogSettings =
    LogSettings { version: 3, requests: true, responses: true, detailed: true, grouped: false, types: None };

fn message(tx: &DnsTransaction, sink: &mut dyn FieldSink, s: &LogSettings) {
    let m = &tx.message;
    sink.uint("version", 3);
    sink.text("type", if tx.direction == Direction::ToServer { "request" } else { "response" });
    sink.uint("tx_id", tx.id.0);
    sink.uint("id", u64::from(m.header.id));
    flags(m, sink);
    name_or_number(sink, "rcode", name_of(RCODES, m.header.rcode()), m.header.rcode());
    if !m.questions.is_empty() {
        sink.begin_array("queries");
        for q in m.questions.iter().filter(|q| s.shows(q.rrtype)) {
            sink.begin_object("");
            asked(m, q, sink);
            sink.end();
        }
        sink.end();
    }
    answers(m, sink, s);
    further(m, sink);
}

/// The older shape of a request: the `part`-th question that is logged.
fn question(tx: &DnsTransaction, sink: &mut dyn FieldSink, s: &LogSettings, part: usize) {
    let m = &tx.message;
    sink.uint("version", 2);
    let Some(q) = m.questions.iter().filter(|q| s.shows(q.rrtype)).nth(part) else { return };
    sink.text("type", "query");
    sink.uint("id", u64::from(m.header.id));
    asked(m, q, sink);
    sink.uint("tx_id", tx.id.0);
    if m.header.flags & FLAG_Z != 0 {
        sink.bool("z", true);
    }
    sink.uint("opcode", u64::from(m.header.opcode()));
}

/// The older shape of a response.
fn answer(tx: &DnsTransaction, sink: &mut dyn FieldSink, s: &LogSettings) {
    let m = &tx.message;
    sink.uint("version", 2);
    sink.text("type", "answer");
    sink.uint("id", u64::from(m.header.id));
    flags(m, sink);
    if let Some(q) = m.questions.first() {
        asked(m, q, sink);
    }
    name_or_number(sink, "rcode", name_of(RCODES, m.header.rcode()), m.header.rcode());
    answers(m, sink, s);
    further(m, sink);
}

/// The header's second word, its bits that are set, and the opcode.
fn flags(m: &Message, sink: &mut dyn FieldSink) {
    let mut word = Text::<4>::new();
    word.hex(m.header.flags.into(), 1);
    sink.text("flags", word.as_str());
    for (key, bit) in FLAGS {
        if m.header.flags & bit != 0 {
            sink.bool(key, true);
        }
    }
    sink.uint("opcode", u64::from(m.header.opcode()));
}

fn asked(m: &Message, q: &Question, sink: &mut dyn FieldSink) {
    sink.bytes("rrname", m.text(q.name));
    rrtype(sink, "rrtype", q.rrtype);
    truncated(sink, "rrname_truncated", q.name);
}

fn answers(m: &Message, sink: &mut dyn FieldSink, s: &LogSettings) {
    let answers = m.records(Section::Answer);
    if answers.is_empty() {
        return;
    }
    if s.detailed {
        records_of(m, "answers", answers, sink);
    }
    if s.grouped {
        sink.begin_object("grouped");
        grouped(m, answers, sink);
        sink.end();
    }
}

fn further(m: &Message, sink: &mut dyn FieldSink) {
    let authorities = m.records(Section::Authority);
    if !authorities.is_empty() {
        records_of(m, "authorities", authorities, sink);
    }
    // An OPT record without options only says that EDNS is spoken.
    let additionals = m.records(Section::Additional);
    if additionals.iter().any(|r| !bare_opt(m, r)) {
        records_of(m, "additionals", additionals, sink);
    }
}

fn bare_opt(m: &Message, record: &Record) -> bool {
    record.rrtype == rr::OPT && m.rdata(record).is_empty()
}

fn records_of(m: &Message, key: &str, records: &[Record], sink: &mut dyn FieldSink) {
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
        rr::A | rr::AAAA => sink.text(key, address(m.rdata(record)).as_str()),
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
        None => {
            let mut t = Text::<5>::new();
            t.decimal(number.into(), 1);
            sink.text(key, t.as_str());
        }
    }
}

/// IPv6 in full; nothing where the length is neither 4 nor 16.
fn address(data: &[u8]) -> Text<39> {
    match (data.try_into().ok(), data.try_into().ok()) {
        (Some::<[u8; 4]>(v4), _) => ip_text(v4.into()),
        (None, Some::<[u8; 16]>(v6)) => ip_text(v6.into()),
        (None, None) => Text::new(),
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
