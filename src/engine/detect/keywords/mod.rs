//! The keywords of the rule language that belong to no protocol: one row each, one file per keyword or close family.
//!
//! A row says how the keyword is written, what it means, gives an example that loads and one that does not, and names
//! the function that reads it into a `lang::Builder`. Tests of packets live beside their keyword. A buffer is not a
//! keyword here: it is a row of its protocol.

mod absent;
mod actions;
mod asn1;
mod base64;
mod bsize;
mod byte_extract;
mod byte_jump;
mod byte_math;
mod byte_options;
mod byte_test;
mod checksum;
mod config;
mod content;
mod content_bytes;
mod dataset;
mod dsize;
mod entropy;
mod events;
mod fast_pattern;
mod files;
mod flow;
mod flow_figures;
mod flowbits;
mod flowint;
mod frame;
mod hash_lists;
mod icmp;
mod integers;
mod ip;
mod iprep;
mod isdataat;
mod meta;
mod modifiers;
mod pcre;
mod protocol;
mod requires;
mod rpc;
mod sctp;
mod states;
mod tag;
mod tcp;
mod threshold;
mod unavailable;
mod vlan;
mod xbits;

use super::lang::{Builder, Fault};
use std::ops::Range;

pub use content_bytes::content_bytes;
pub use dataset::size;
pub use integers::{int_match, number};
pub use pcre::groups;
pub use requires::requires;
pub use states::header_hook;

/// How a keyword's argument is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    None,
    /// With or without, never in quotes.
    Optional,
    /// Needed, never in quotes.
    Plain,
    /// The same, and the keyword itself says whether it is needed.
    Bare,
    /// Needed, in double quotes, a `!` before them negates.
    Quoted,
    /// The same, and the quotes may be missing.
    MaybeQuoted,
    /// Anything at all.
    Any,
}

/// What a keyword is about, for the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Meta,
    Payload,
    Modifier,
    Header,
    Flow,
    State,
    Threshold,
    Event,
    File,
    Action,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Meta => "meta",
            Kind::Payload => "payload",
            Kind::Modifier => "content modifier",
            Kind::Header => "header",
            Kind::Flow => "flow",
            Kind::State => "state",
            Kind::Threshold => "threshold",
            Kind::Event => "event",
            Kind::File => "file",
            Kind::Action => "action",
        }
    }
}

/// An option's argument.
#[derive(Clone, Debug)]
pub struct Value<'t> {
    /// Without quotes, sign and blanks around it.
    pub text: &'t str,
    /// A `!` stood before the quotes.
    pub negated: bool,
    /// Where `text` stands in the rule.
    pub span: Range<usize>,
    pub given: bool,
}

/// One keyword.
pub struct Keyword {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    pub argument: Argument,
    /// One sentence.
    pub doc: &'static str,
    /// The argument's shape; empty where there is none.
    pub syntax: &'static str,
    /// Options that load in a rule about tcp, the keyword among them.
    pub example_ok: &'static str,
    /// Options that are refused on account of the keyword.
    pub example_bad: &'static str,
    pub parse: for<'b, 'a, 'v> fn(&'b mut Builder<'a>, &Value<'v>) -> Result<(), Fault>,
}

/// Every keyword, by family.
pub const TABLE: &[&Keyword] = &[
    // meta
    &meta::MSG,
    &meta::SID,
    &meta::GID,
    &meta::REV,
    &meta::CLASSTYPE,
    &meta::PRIORITY,
    &meta::REFERENCE,
    &meta::METADATA,
    &meta::TARGET,
    &requires::REQUIRES,
    // content and its modifiers
    &content::CONTENT,
    &content::URICONTENT,
    &modifiers::NOCASE,
    &modifiers::RAWBYTES,
    &modifiers::OFFSET,
    &modifiers::DEPTH,
    &modifiers::DISTANCE,
    &modifiers::WITHIN,
    &modifiers::STARTSWITH,
    &modifiers::ENDSWITH,
    &modifiers::REPLACE,
    &fast_pattern::FAST_PATTERN,
    &fast_pattern::PREFILTER,
    // payload
    &pcre::PCRE,
    &byte_test::BYTE_TEST,
    &byte_jump::BYTE_JUMP,
    &byte_extract::BYTE_EXTRACT,
    &byte_math::BYTE_MATH,
    &isdataat::ISDATAAT,
    &absent::ABSENT,
    &bsize::BSIZE,
    &dsize::DSIZE,
    &base64::BASE64_DECODE,
    &entropy::ENTROPY,
    &asn1::ASN1,
    &dataset::DATASET,
    &dataset::DATAREP,
    &rpc::RPC,
    // headers
    &ip::TTL,
    &ip::TOS,
    &ip::ID,
    &ip::IP_PROTO,
    &ip::SAMEIP,
    &iprep::IPREP,
    &ip::IPOPTS,
    &ip::FRAGBITS,
    &ip::FRAGOFFSET,
    &tcp::FLAGS,
    &tcp::SEQ,
    &tcp::ACK,
    &tcp::WINDOW,
    &tcp::MSS,
    &tcp::WSCALE,
    &icmp::ITYPE,
    &icmp::ICODE,
    &icmp::ICMP_ID,
    &icmp::ICMP_SEQ,
    &icmp::ICMPV6_MTU,
    &icmp::IGMP_TYPE,
    &sctp::VTAG,
    &sctp::CHUNK_COUNT,
    &sctp::CHUNK_TYPE,
    &vlan::VLAN_ID,
    &vlan::VLAN_LAYERS,
    &checksum::IPV4,
    &checksum::TCPV4,
    &checksum::TCPV6,
    &checksum::UDPV4,
    &checksum::UDPV6,
    &checksum::ICMPV4,
    &checksum::ICMPV6,
    &checksum::IGMP,
    &tcp::SESSION,
    // flow
    &flow::FLOW,
    &flow_figures::STREAM_SIZE,
    &flow_figures::AGE,
    &flow_figures::PKTS,
    &flow_figures::BYTES,
    &flow_figures::PKTS_TOSERVER,
    &flow_figures::PKTS_TOCLIENT,
    &flow_figures::BYTES_TOSERVER,
    &flow_figures::BYTES_TOCLIENT,
    // state
    &flowbits::FLOWBITS,
    &flowint::FLOWINT,
    &xbits::XBITS,
    &xbits::HOSTBITS,
    // thresholds
    &threshold::THRESHOLD,
    &threshold::DETECTION_FILTER,
    &tag::TAG,
    // events and protocols
    &events::DECODE_EVENT,
    &events::STREAM_EVENT,
    &events::APP_LAYER_EVENT,
    &protocol::APP_LAYER_PROTOCOL,
    &states::APP_LAYER_STATE,
    // files
    &files::FILENAME,
    &files::FILEEXT,
    &files::FILESIZE,
    &files::FILEMAGIC,
    &files::FILESTORE,
    &hash_lists::FILEMD5,
    &hash_lists::FILESHA1,
    &hash_lists::FILESHA256,
    // actions
    &actions::NOALERT,
    &actions::ALERT,
    &actions::BYPASS,
    &config::CONFIG,
    // known, and refused with a reason
    &unavailable::GEOIP,
    &unavailable::LUA,
    &frame::FRAME,
    &unavailable::ELEPHANT,
];

#[cfg(test)]
mod tests;
