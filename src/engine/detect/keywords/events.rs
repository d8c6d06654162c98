//! Events of decoding, of the stream and of parsers.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::{PacketFacts, PacketTest, TestBasis};

pub const DECODE_EVENT: Keyword = Keyword {
    name: "decode-event",
    aliases: &["engine-event"],
    kind: Kind::Event,
    argument: Argument::Plain,
    doc: "decoding the packet's headers met this oddity",
    syntax: "<layer>.<event>",
    example_ok: "decode-event:ipv4.pkt_too_small;",
    example_bad: "decode-event:no.such_event;",
    parse: |b, v| {
        // Events of the stream may be named here too.
        if let Some(name) = v.text.strip_prefix("stream.") {
            return stream(b, v, name);
        }
        let number = (b.cx.events.decode)(v.text).ok_or_else(|| unknown(v, "decoding"))?;
        b.flow_test(DecodeEvent(number));
        Ok(())
    },
};

pub const STREAM_EVENT: Keyword = Keyword {
    name: "stream-event",
    aliases: &[],
    kind: Kind::Event,
    argument: Argument::Plain,
    doc: "following the TCP session met this oddity",
    syntax: "<event>",
    example_ok: "stream-event:pkt_invalid_ack;",
    example_bad: "stream-event:no_such_event;",
    parse: |b, v| stream(b, v, v.text),
};

pub const APP_LAYER_EVENT: Keyword = Keyword {
    name: "app-layer-event",
    aliases: &[],
    kind: Kind::Event,
    argument: Argument::Plain,
    doc: "a parser, or the detection of protocols, met this oddity",
    syntax: "<protocol>.<event>",
    example_ok: "app-layer-event:applayer_mismatch_protocol_both_directions;",
    example_bad: "app-layer-event:no.such_event;",
    parse: |b, v| {
        if let Some(id) = b.cx.app_event(v.text) {
            b.bind(id.proto)?;
            b.sig.app_events.push(id);
            return Ok(());
        }
        match v.text.split_once('.').and_then(|(proto, _)| b.cx.unparsed(proto)) {
            Some(proto) => {
                b.unparsed = Some(proto);
                Ok(())
            }
            // Events come and go with versions: a rule that waits for one of another version is no mistake of the rule.
            None if b.cx.options.foreign => {
                Err(Fault::new(Code::Requires, format!("left out: `{}` is no event of this version", v.text))
                    .at(v.span.clone()))
            }
            None => Err(unknown(v, "parsing")),
        }
    },
};

fn stream(b: &mut Builder<'_>, v: &Value<'_>, name: &str) -> Result<(), Fault> {
    let number = (b.cx.events.stream)(name).ok_or_else(|| unknown(v, "the stream"))?;
    b.flow_test(StreamEvent(number));
    Ok(())
}

fn unknown(v: &Value<'_>, of: &str) -> Fault {
    Fault::argument(format!("no event of {of} is called `{}`", v.text)).at(v.span.clone())
}

#[derive(Debug)]
struct DecodeEvent(u16);

impl PacketTest for DecodeEvent {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        f.packet.events.contains(&self.0)
    }

    fn basis(&self) -> TestBasis {
        TestBasis::Event
    }
}

#[derive(Debug)]
struct StreamEvent(u16);

impl PacketTest for StreamEvent {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        f.stream_events.contains(&self.0)
    }

    fn basis(&self) -> TestBasis {
        TestBasis::Event
    }
}
