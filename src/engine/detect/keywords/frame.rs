//! `frame`: a unit of a protocol on the wire as a buffer.

use super::{Argument, Keyword, Kind, Value};
use crate::applayer::FRAME_PREFIX;
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::RuleProto;

pub const FRAME: Keyword = Keyword {
    name: "frame",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "what follows looks into a unit of the protocol as it was on the wire",
    syntax: "[<protocol>.]<frame>",
    example_ok: "frame:dns.pdu; content:\"|01 00|\"; offset:2;",
    example_bad: "frame:no.such;",
    parse: |b, v| frame(b, v).map_err(|f| f.at(v.span.clone())),
};

fn frame(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let text = v.text.trim().to_ascii_lowercase();
    let vocabulary = b.cx.vocabulary;
    let transport = b.sig.header.proto.clone();
    let (own, tcp, udp) = match &transport {
        RuleProto::App(p) => (Some(*p), true, true),
        RuleProto::Unparsed(_) => (None, true, true),
        RuleProto::Tcp | RuleProto::TcpStream => (None, true, false),
        RuleProto::Udp => (None, false, true),
        RuleProto::Ip | RuleProto::Ipv4 | RuleProto::Ipv6 => (None, true, true),
        _ => (None, false, false),
    };
    if let Some((proto, id, def)) = vocabulary.frame(&text, own) {
        let carried = vocabulary.proto_def(proto).is_some_and(|p| p.tcp && tcp || p.udp && udp);
        if !carried {
            return Err(Fault::new(Code::Protocols, format!("packets of this rule carry no `{text}`")));
        }
        if id.proto != proto {
            // The frame is of no protocol in particular, so the rule is.
            b.bind(proto)?;
            b.sig.header.proto = RuleProto::App(proto);
        }
        return b.select(id, def);
    }
    let proto = text.split('.').next().unwrap_or_default();
    let unparsed = b.cx.unparsed(proto).or(match transport {
        RuleProto::Unparsed(name) => b.cx.unparsed(name),
        _ => None,
    });
    if let Some(unparsed) = unparsed {
        return b.select_unparsed(unparsed);
    }
    let known: Vec<&str> = vocabulary.buffers().filter_map(|(_, def)| def.name.strip_prefix(FRAME_PREFIX)).collect();
    Err(Fault::new(Code::Unsupported, format!("`{text}` is not a frame that parsers here cut")).help(known.join(", ")))
}
