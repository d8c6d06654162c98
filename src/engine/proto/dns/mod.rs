//! DNS over UDP and TCP (RFC 1035, EDNS RFC 6891).
//!
//! Every message is a transaction of its own, requests and responses alike: nothing is paired, so a flood of answers
//! to questions nobody asked costs no look-up and hides nothing. A transaction is complete when it is born and belongs
//! to one direction. Names are expanded with dots and compared as they were sent; DNS ignores case, rules say `nocase`.
//!
//! On port 53 whatever has a plausible header and parses is DNS. On other ports only a message that parses to its last
//! byte and looks ordinary is (mDNS, LLMNR and NetBIOS names share the format and are protocols of their own).

mod keywords;
mod log;
mod message;
mod name;
mod parser;
mod probe;
mod rrtype;
mod settings;
mod transaction;

#[cfg(test)]
mod tests;

pub use parser::DnsParser;
pub use settings::{LogSettings, Settings};
pub use transaction::DnsTransaction;

use crate::applayer::{BufferDef, BufferId, BufferKind, Direct, EventDef, EventId, Progress, ProtoDef, ProtoId};

/// Index in the registry.
pub const ID: ProtoId = ProtoId(2);

pub const DEF: ProtoDef = ProtoDef {
    id: ID,
    name: "dns",
    aliases: &[],
    tcp: true,
    udp: true,
    client_first: false,
    files: false,
    probe: probe::probe,
    parser: |_| Box::new(DnsParser::new()),
    buffers: BUFFERS,
    never: |_, _, _| None,
    states: [&[], &[]],
    keywords: keywords::KEYWORDS,
    events: EVENTS,
    doc: "Domain Name System, RFC 1035; every message is a transaction",
};

/// Buffers, by their place in [`BUFFERS`].
pub mod buffer {
    use super::*;

    pub const QUERY: BufferId = BufferId::new(ID, 0);
    pub const QUERIES_RRNAME: BufferId = BufferId::new(ID, 1);
    pub const ANSWERS_RRNAME: BufferId = BufferId::new(ID, 2);
    pub const AUTHORITIES_RRNAME: BufferId = BufferId::new(ID, 3);
    pub const ADDITIONALS_RRNAME: BufferId = BufferId::new(ID, 4);
    pub const RESPONSE_RRNAME: BufferId = BufferId::new(ID, 5);
    /// The message as it was sent, without the length that stands before it over TCP.
    pub const PDU: BufferId = BufferId::new(ID, 6);
}

const fn names(name: &'static str, aliases: &'static [&'static str], direct: Direct, doc: &'static str) -> BufferDef {
    BufferDef {
        name,
        aliases,
        modifiers: &[],
        direct,
        kind: BufferKind::Multi,
        progress: Progress(1),
        lowercase: false,
        doc,
    }
}

pub const BUFFERS: &[BufferDef] = &[
    names("dns.query", &["dns_query"], Direct::ToServer, "each name asked for, in requests"),
    names("dns.queries.rrname", &["dns.query.name"], Direct::Both, "each name in the question section, either way"),
    names("dns.answers.rrname", &["dns.answer.name"], Direct::Both, "owner name of each answer"),
    names("dns.authorities.rrname", &[], Direct::Both, "owner name of each authority record"),
    names("dns.additionals.rrname", &[], Direct::Both, "owner name of each additional record"),
    names(
        "dns.response.rrname",
        &[],
        Direct::ToClient,
        "every name of a response: questions, owners, and the names in CNAME, PTR, MX, NS and SOA data",
    ),
    BufferDef {
        kind: BufferKind::Whole,
        ..names("frame:dns.pdu", &[], Direct::Both, "a whole message, without the length before it over TCP")
    },
];

/// Events, by their place in [`EVENTS`].
pub mod event {
    use super::*;

    pub const MALFORMED_DATA: EventId = EventId { proto: ID, local: 0 };
    pub const NOT_REQUEST: EventId = EventId { proto: ID, local: 1 };
    pub const NOT_RESPONSE: EventId = EventId { proto: ID, local: 2 };
    pub const Z_FLAG_SET: EventId = EventId { proto: ID, local: 3 };
    pub const INVALID_OPCODE: EventId = EventId { proto: ID, local: 4 };
    pub const NAME_TOO_LONG: EventId = EventId { proto: ID, local: 5 };
    pub const INFINITE_LOOP: EventId = EventId { proto: ID, local: 6 };
    pub const TOO_MANY_LABELS: EventId = EventId { proto: ID, local: 7 };
    pub const INVALID_ADDITIONALS: EventId = EventId { proto: ID, local: 8 };
    pub const INVALID_AUTHORITIES: EventId = EventId { proto: ID, local: 9 };
}

pub const EVENTS: &[EventDef] = &[
    EventDef { name: "malformed_data", doc: "a message whose questions or answers do not parse" },
    EventDef { name: "not_request", doc: "a response where a request should be" },
    EventDef { name: "not_response", doc: "a request where a response should be" },
    EventDef { name: "z_flag_set", doc: "the reserved bit of the header is set" },
    EventDef { name: "invalid_opcode", doc: "an opcode that is not assigned (7 and above)" },
    EventDef { name: "name_too_long", doc: "a name longer than 1025 bytes, cut there" },
    EventDef { name: "infinite_loop", doc: "a compression pointer that points at itself" },
    EventDef { name: "too_many_labels", doc: "more than 255 labels and pointers in one name" },
    EventDef { name: "invalid_additionals", doc: "the additional section does not parse" },
    EventDef { name: "invalid_authorities", doc: "the authority section does not parse" },
];

/// Everything a fuzzer needs to reach: a first byte of choices, then what the wire carries.
pub mod fuzz {
    pub use super::parser::fuzz_target;
}
