//! States of transactions: `app-layer-state`, and the hook behind the protocol of a rule's header.

use super::{Argument, Keyword, Kind, Value};
use crate::applayer::{Direct, Progress, ProtoId, Transaction, TxTest};
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::{Hook, PacketFacts, PacketTest, RuleProto, TxMatch};
use crate::types::Direction;

pub const APP_LAYER_STATE: Keyword = Keyword {
    name: "app-layer-state",
    aliases: &[],
    kind: Kind::Flow,
    argument: Argument::Plain,
    doc: "a transaction has come to this state of its protocol, is short of it, or is past it",
    syntax: "[<|>]<state>",
    example_ok: "http.uri; content:\"x\"; app-layer-state:>request_started;",
    example_bad: "http.uri; content:\"x\"; app-layer-state:no_such_state;",
    parse: |b, v| app_layer_state(b, v).map_err(|f| f.at(v.span.clone())),
};

fn app_layer_state(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let own = match b.sig.header.proto {
        RuleProto::App(p) => Some(p),
        RuleProto::Unparsed(_) => return Ok(()),
        _ => b.app(),
    };
    let Some(proto) = own else {
        return Err(Fault::new(Code::Protocols, "`app-layer-state` in a rule about no protocol")
            .help("name the protocol in the rule's header"));
    };
    let (order, name) = match v.text.as_bytes().first() {
        Some(b'<') => (Order::Before, &v.text[1..]),
        Some(b'>') => (Order::Past, &v.text[1..]),
        _ => return hook(b, proto, v.text),
    };
    let (dir, state) = find(b, proto, name)?;
    push(b, proto, dir, state, order)
}

/// Hooks a rule to a state of its protocol.
fn hook(b: &mut Builder<'_>, proto: ProtoId, name: &str) -> Result<(), Fault> {
    let (dir, state) = find(b, proto, name)?;
    b.sig.hook = Some(Hook { proto, dir, state });
    push(b, proto, dir, state, Order::Reached)
}

/// What stands behind the colon of the protocol in a rule's header.
pub fn header_hook(b: &mut Builder<'_>, name: &str) -> Result<(), Fault> {
    match (&b.sig.header.proto, name) {
        (RuleProto::Unparsed(_), _) => Ok(()),
        (RuleProto::App(p), _) => {
            let proto = *p;
            b.header_hook = true;
            hook(b, proto, name)
        }
        (_, "flow_start") => {
            b.packet_test("flow_start", Packets { first: true });
            Ok(())
        }
        // Nothing is decided between these places here: a rule of theirs sees every packet.
        (_, "all" | "pre_flow" | "pre_stream") => {
            b.packet_test("all", Packets { first: false });
            Ok(())
        }
        _ => Err(Fault::new(Code::Protocol, format!("`{name}` is no place in the way of a packet"))
            .help("flow_start, pre_flow, pre_stream, all")),
    }
}

fn find(b: &Builder<'_>, proto: ProtoId, name: &str) -> Result<(Direction, usize), Fault> {
    let Some(def) = b.cx.vocabulary.proto_def(proto) else { return Err(Fault::argument("no such protocol")) };
    def.state(name).ok_or_else(|| {
        let known = Direction::BOTH.into_iter().flat_map(|d| def.states_of(d)).map(|s| s.1);
        let known: Vec<&str> = known.collect();
        Fault::new(Code::Unsupported, format!("`{name}` is no state of {}", def.name)).help(known.join(", "))
    })
}

fn push(b: &mut Builder<'_>, proto: ProtoId, dir: Direction, state: usize, order: Order) -> Result<(), Fault> {
    b.bind(proto)?;
    let states = b.cx.vocabulary.proto_def(proto).map_or(&[][..], |d| d.states_of(dir));
    let direct = if dir == Direction::ToServer { Direct::ToServer } else { Direct::ToClient };
    let test = Box::new(State { states, dir, state, order });
    b.sig.tx_tests.push(TxMatch { proto, direct, progress: Progress::NONE, test });
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Before,
    Reached,
    Past,
}

#[derive(Debug)]
struct State {
    states: &'static [(Progress, &'static str)],
    dir: Direction,
    state: usize,
    order: Order,
}

impl TxTest for State {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        if dir != self.dir {
            return Some(false);
        }
        let now = crate::applayer::state_at(self.states, tx.progress(dir));
        match self.order {
            Order::Before => Some(now < self.state),
            Order::Reached => (now >= self.state).then_some(true),
            Order::Past => (now > self.state).then_some(true),
        }
    }

    fn early(&self) -> bool {
        self.order == Order::Before || self.order == Order::Reached && self.state == 0
    }
}

#[derive(Debug)]
struct Packets {
    /// The first of the flow in its direction alone.
    first: bool,
}

impl PacketTest for Packets {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        !self.first || f.direction.is_some_and(|d| f.flow_packets[d as usize] == 1)
    }
}
