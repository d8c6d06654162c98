//! Whether first bytes are DNS.

use super::message::{FLAG_Z, HEADER_BYTES, Header, Message, Section};
use super::rrtype::{RRTYPES, name_of, rr};
use crate::applayer::{Probe, ProbeInput};
use crate::types::Direction;

/// Protocols that share the format: NetBIOS names, mDNS, LLMNR.
const OTHER_PROTOCOLS: [u16; 3] = [137, 5353, 5355];

pub fn probe(input: &ProbeInput<'_>) -> Probe {
    let ports = [input.tuple.sport, input.tuple.dport];
    let (tcp, udp) = (&input.settings.dns.tcp_ports, &input.settings.dns.udp_ports);
    let usual = ports.iter().any(|p| if input.udp { udp } else { tcp }.contains(p));
    if !usual && ports.iter().any(|p| OTHER_PROTOCOLS.contains(p)) {
        return Probe::No;
    }
    let (data, len) = if input.udp {
        (input.data, input.data.len())
    } else {
        match input.data.split_first_chunk() {
            None if input.eof => return Probe::No,
            None => return Probe::More,
            Some((prefix, data)) => (data, usize::from(u16::from_be_bytes(*prefix))),
        }
    };
    let Some(header) = Header::read(data.get(..len.min(data.len())).unwrap_or(&[])) else {
        return if input.udp || input.eof || len < HEADER_BYTES { Probe::No } else { Probe::More };
    };
    if !header.plausible(len) || !(usual || ordinary_header(&header)) {
        return Probe::No;
    }
    match data.get(..len) {
        None if usual => {}
        None if input.eof => return Probe::No,
        None => return Probe::More,
        Some(data) => match Message::read(data) {
            Ok(message) if usual || ordinary(&message) => {}
            _ => return Probe::No,
        },
    }
    if header.is_response() == (input.dir == Direction::ToClient) { Probe::Match } else { Probe::MatchReversed }
}

/// What strangers on odd ports must show before they are believed: a standard query or its answer.
fn ordinary_header(header: &Header) -> bool {
    let request = !header.is_response();
    header.opcode() == 0
        && header.flags & FLAG_Z == 0
        && header.questions == 1
        && (!request || (header.answers == 0 && header.authorities == 0 && header.additionals <= 2))
        && (!request || header.flags & 0x0680 == 0)
        && (!request || header.rcode() == 0)
}

fn ordinary(message: &Message) -> bool {
    let odd = message.oddities;
    let names_ok = !odd.infinite_loop && !odd.too_long && !odd.too_many_labels;
    let sections_ok = !message.invalid_authorities && !message.invalid_additionals && message.trailing == 0;
    let question_ok = message.questions.iter().all(|q| {
        let text = message.text(q.name);
        matches!(q.class, 1 | 3 | 4 | 255)
            && name_of(RRTYPES, q.rrtype).is_some()
            && text.len() <= 254
            && text.iter().all(u8::is_ascii_graphic)
    });
    let edns_only = message.header.is_response()
        || message.records(Section::Additional).iter().all(|r| matches!(r.rrtype, rr::OPT) || r.rrtype == 250);
    names_ok && sections_ok && question_ok && edns_only
}
