//! `app-layer-protocol`: the protocol detected on the flow.

use super::{Argument, Keyword, Kind, Value};
use crate::applayer::ProtoId;
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::{PacketFacts, PacketTest, TestBasis};

pub const APP_LAYER_PROTOCOL: Keyword = Keyword {
    name: "app-layer-protocol",
    aliases: &[],
    kind: Kind::Flow,
    argument: Argument::Plain,
    doc: "the flow speaks, or does not speak, one of these protocols; `failed` is none of them, `unknown` not yet",
    syntax: "[!]<protocol>[|<protocol>…][,<direction|to_server|to_client|either|final|original>][,exact]",
    example_ok: "app-layer-protocol:!failed;",
    example_bad: "app-layer-protocol:nonsense;",
    parse: |b, v| app_layer_protocol(b, v).map_err(|f| f.at(v.span.clone())),
};

#[derive(Debug, Default)]
struct Detected {
    protocols: Vec<ProtoId>,
    unknown: bool,
    failed: bool,
    negated: bool,
}

impl Detected {
    fn test(&self, proto: ProtoId, done: bool) -> bool {
        if proto == ProtoId::ANY {
            return if done { self.failed != self.negated } else { self.unknown };
        }
        self.protocols.contains(&proto) != self.negated
    }
}

impl PacketTest for Detected {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        self.test(f.app_proto, f.app_proto_done)
    }

    fn basis(&self) -> TestBasis {
        TestBasis::AppProto
    }
}

fn app_layer_protocol(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let mut parts = v.text.split(',').map(str::trim);
    let list = parts.next().unwrap_or("");
    let mut mode = None;
    for part in parts {
        match part {
            "exact" => {}
            "direction" | "to_server" | "to_client" | "either" | "final" | "original" if mode.is_none() => {
                mode = Some(part)
            }
            _ => return Err(Fault::argument(format!("`{part}` is unknown here")).help(APP_LAYER_PROTOCOL.syntax)),
        }
    }
    let (negated, list) = list.strip_prefix('!').map_or((false, list), |t| (true, t.trim()));
    let mut test = Detected { negated, ..Detected::default() };
    let mut unparsed = None;
    for name in list.split('|').map(str::trim) {
        match name {
            "unknown" if negated => {
                return Err(Fault::new(Code::Conflict, "`unknown` cannot be negated"));
            }
            "unknown" => test.unknown = true,
            "failed" => test.failed = true,
            name => match (b.cx.vocabulary.protocol(name), b.cx.unparsed(name)) {
                (Some(p), _) => test.protocols.push(p.id),
                (None, Some(p)) => unparsed = Some(p),
                (None, None) => return Err(Fault::argument(format!("`{name}` is no protocol known here"))),
            },
        }
    }
    let answerable = negated || test.unknown || test.failed || !test.protocols.is_empty();
    if let (false, Some(p)) = (answerable, unparsed) {
        b.unparsed = Some(p);
    }
    b.flow_test(test);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_detection() {
        let http = ProtoId(3);
        let is = Detected { protocols: vec![http], ..Detected::default() };
        assert!(is.test(http, true) && !is.test(ProtoId(4), true) && !is.test(ProtoId::ANY, false));
        let not = Detected { protocols: vec![http], negated: true, ..Detected::default() };
        assert!(not.test(ProtoId(4), true) && !not.test(http, true));
        assert!(not.test(ProtoId::ANY, true) && !not.test(ProtoId::ANY, false));
        let failed = Detected { failed: true, ..Detected::default() };
        assert!(failed.test(ProtoId::ANY, true) && !failed.test(http, true));
        let not_failed = Detected { failed: true, negated: true, ..Detected::default() };
        assert!(not_failed.test(http, true) && !not_failed.test(ProtoId::ANY, true));
    }
}
