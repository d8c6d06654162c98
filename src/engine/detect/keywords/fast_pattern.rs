//! `fast_pattern`: the content the rule is to be found by. `prefilter`: accepted, the choice of prefilters is ours.

use super::{Argument, Keyword, Kind, Value};
use crate::applayer::generic;
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::{FastPattern, Op, TestBasis};

pub const FAST_PATTERN: Keyword = Keyword {
    name: "fast_pattern",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::Optional,
    doc: "the content before it is the one the rule is found by",
    syntax: "[only | <offset>,<length>]",
    example_ok: r#"content:"abcdef"; fast_pattern:1,3;"#,
    example_bad: r#"content:"abcdef"; fast_pattern:4,3;"#,
    parse: fast_pattern,
};

pub const PREFILTER: Keyword = Keyword {
    name: "prefilter",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::None,
    doc: "the keyword before it is to be the rule's prefilter: a content as by fast_pattern, else as the engine groups rules",
    syntax: "",
    example_ok: r#"tcp.flags:S; prefilter;"#,
    example_bad: "prefilter;",
    parse: |b, _| {
        let s = &b.sig;
        let nothing = s.packet_tests.is_empty() && s.tx_tests.is_empty() && s.state.is_empty() && s.buffers.is_empty();
        if nothing && b.last_content().is_none() {
            return Err(Fault::new(Code::NeedsContent, "`prefilter` needs a keyword before it"));
        }
        b.sig.when_detected |= b.sig.packet_tests.last().is_some_and(|t| t.basis() == TestBasis::AppProto);
        b.prefilter = true;
        Ok(())
    },
};

fn fast_pattern(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let named =
        b.sig.buffers.iter().flat_map(|m| &m.ops).any(|o| matches!(o, Op::Content(c) if c.fast_pattern.is_some()));
    let place = b.last_content().and_then(|(i, _)| b.sig.buffers.get(i));
    if place.is_some_and(|m| m.buffer == generic::BASE64_DATA) {
        return Err(Fault::new(Code::Conflict, "`fast_pattern` cannot be on decoded data"));
    }
    if place.is_some_and(|m| m.absent.is_some()) {
        return Err(Fault::new(Code::Conflict, "`fast_pattern` cannot be on a buffer that may be absent"));
    }
    let c = b.content("fast_pattern")?;
    if named {
        return Err(Fault::new(Code::Repeated, "`fast_pattern` may be on one content of a rule only"));
    }
    let placed = c.is_relative() || c.offset.is_some() || c.depth.is_some();
    if c.negated && placed {
        return Err(Fault::new(Code::Conflict, "`fast_pattern` on a negated content with a place"));
    }
    let mut chosen = FastPattern::default();
    if v.text == "only" {
        if c.negated || placed {
            return Err(Fault::new(Code::Conflict, "`fast_pattern:only` is for contents without sign and place"));
        }
        chosen.only = true;
    } else if v.given {
        let shape = || Fault::argument("`only`, or an offset and a length, are expected").at(v.span.clone());
        let (offset, length) = v.text.split_once(',').ok_or_else(shape)?;
        let offset: u16 = offset.trim().parse().map_err(|_| shape())?;
        let length: u16 = length.trim().parse().map_err(|_| shape())?;
        if length == 0 || usize::from(offset) + usize::from(length) > c.bytes.len() {
            let message = format!("{length} bytes from {offset} are not within the content's {}", c.bytes.len());
            return Err(Fault::argument(message).at(v.span.clone()));
        }
        chosen.chop = Some((offset, length));
    }
    c.fast_pattern = Some(chosen);
    Ok(())
}
