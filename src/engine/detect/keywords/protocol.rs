//! `app-layer-protocol`: the protocol detected on the flow.

use super::{Argument, Keyword, Kind, Value};
use crate::applayer::ProtoId;
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::{PacketFacts, PacketTest, TestBasis};
use crate::types::Direction;

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
    of: Of,
}

/// Whose protocol is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Of {
    /// Of the packet's direction.
    #[default]
    Packet,
    Direction(Direction),
    Either,
    Flow,
}

impl Detected {
    /// `None`: not decided yet.
    fn test(&self, proto: Option<ProtoId>) -> bool {
        match proto {
            None => self.unknown,
            Some(p) if p == ProtoId::ANY => self.failed != self.negated,
            Some(p) => self.protocols.contains(&p) != self.negated,
        }
    }
}

impl PacketTest for Detected {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        let flow = if f.app_proto == ProtoId::ANY && !f.app_proto_done { None } else { Some(f.app_proto) };
        let of = |d: Direction| f.app_protos[d as usize];
        match (self.of, f.direction) {
            (Of::Packet, Some(d)) => self.test(of(d)),
            (Of::Direction(d), Some(_)) => self.test(of(d)),
            (Of::Either, Some(_)) if self.negated => {
                let known: Vec<_> = Direction::BOTH.into_iter().filter_map(of).collect();
                !known.is_empty() && known.into_iter().all(|p| self.test(Some(p)))
            }
            (Of::Either, Some(_)) => Direction::BOTH.into_iter().any(|d| self.test(of(d))),
            (Of::Flow, Some(_)) => self.test(flow),
            (_, None) => false,
        }
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
    let of = match mode {
        None | Some("direction") => Of::Packet,
        Some("to_server") => Of::Direction(Direction::ToServer),
        Some("to_client") => Of::Direction(Direction::ToClient),
        Some("either") => Of::Either,
        Some(_) => Of::Flow,
    };
    let mut test = Detected { negated, of, ..Detected::default() };
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
        assert!(is.test(Some(http)) && !is.test(Some(ProtoId(4))) && !is.test(None));
        let not = Detected { protocols: vec![http], negated: true, ..Detected::default() };
        assert!(not.test(Some(ProtoId(4))) && !not.test(Some(http)));
        assert!(not.test(Some(ProtoId::ANY)) && !not.test(None));
        let failed = Detected { failed: true, ..Detected::default() };
        assert!(failed.test(Some(ProtoId::ANY)) && !failed.test(Some(http)));
        let not_failed = Detected { failed: true, negated: true, ..Detected::default() };
        assert!(not_failed.test(Some(http)) && !not_failed.test(Some(ProtoId::ANY)));
    }
}
