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
    // The short form leaves out the rule's own protocol.
    let own = match b.sig.header.proto {
        RuleProto::App(p) => b.cx.vocabulary.proto_def(p),
        _ => None,
    };
    let whole = own.map(|p| format!("{FRAME_PREFIX}{}.{text}", p.name));
    let mut named = [Some(format!("{FRAME_PREFIX}{text}")), whole].into_iter().flatten();
    if let Some((id, def)) = named.find_map(|n| b.cx.vocabulary.sticky(&n)) {
        return b.select(id, def);
    }
    let proto = text.split('.').next().unwrap_or_default();
    if let Some(unparsed) = b.cx.unparsed(proto) {
        return b.select_unparsed(unparsed);
    }
    let known: Vec<&str> =
        b.cx.vocabulary.buffers().filter_map(|(_, def)| def.name.strip_prefix(FRAME_PREFIX)).collect();
    Err(Fault::new(Code::Unsupported, format!("`{text}` is not a frame that parsers here cut")).help(known.join(", ")))
}
