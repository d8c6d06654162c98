//! VLAN tags of the frame.

use super::integers::int_match;
use super::{Argument, Keyword, Kind};
use crate::detect::lang::Fault;
use crate::detect::signature::{IntMatch, PacketFacts, PacketTest};

/// The largest identifier (IEEE 802.1Q, 9.6).
const ID_MAX: u64 = 4095;

pub const VLAN_ID: Keyword = Keyword {
    name: "vlan.id",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "identifier of any, all, or one of the frame's VLAN tags, outermost first",
    syntax: "<number or range, 12 bits>[,<any|all|layer, from the end where negative>]",
    example_ok: "vlan.id:300,0;",
    example_bad: "vlan.id:4096;",
    parse: |b, v| {
        let (test, layer) = v.text.split_once(',').unwrap_or((v.text, "any"));
        let test = int_match(test, ID_MAX).map_err(|f| f.at(v.span.clone()))?;
        let layer = match layer.trim() {
            "any" => Layer::Any,
            "all" => Layer::All,
            n => match n.parse::<i8>() {
                Ok(n) if (-3..=2).contains(&n) => Layer::At(n),
                _ => return Err(Fault::argument("a layer is any, all, or -3 to 2").at(v.span.clone())),
            },
        };
        b.packet_test("vlan.id", VlanId { test, layer });
        Ok(())
    },
};

pub const VLAN_LAYERS: Keyword = Keyword {
    name: "vlan.layers",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "how many VLAN tags the frame has",
    syntax: "<number or range, 0 to 3>",
    example_ok: "vlan.layers:>1;",
    example_bad: "vlan.layers:4;",
    parse: |b, v| {
        let test = int_match(v.text, 3).map_err(|f| f.at(v.span.clone()))?;
        b.packet_test("vlan.layers", VlanLayers(test));
        Ok(())
    },
};

#[derive(Clone, Copy, Debug)]
enum Layer {
    Any,
    All,
    At(i8),
}

#[derive(Debug)]
struct VlanId {
    test: IntMatch,
    layer: Layer,
}

impl VlanId {
    fn test(&self, ids: &[u16]) -> bool {
        let one = |id: &u16| self.test.matches(u64::from(*id));
        match self.layer {
            Layer::Any => ids.iter().any(one),
            Layer::All => !ids.is_empty() && ids.iter().all(one),
            Layer::At(n) => {
                let back = usize::from(n.unsigned_abs());
                let at = if n < 0 { ids.len().checked_sub(back) } else { Some(back) };
                at.and_then(|i| ids.get(i)).is_some_and(one)
            }
        }
    }
}

impl PacketTest for VlanId {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        self.test(f.packet.vlan.ids())
    }
}

#[derive(Debug)]
struct VlanLayers(IntMatch);

impl PacketTest for VlanLayers {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        self.0.matches(u64::from(f.packet.vlan.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers() {
        let v = |layer| VlanId { test: IntMatch::Eq(123), layer };
        assert!(v(Layer::Any).test(&[666, 123]) && !v(Layer::All).test(&[666, 123]));
        assert!(v(Layer::At(1)).test(&[666, 123]) && v(Layer::At(-1)).test(&[666, 123]));
        assert!(v(Layer::At(-2)).test(&[123, 666]) && !v(Layer::At(-3)).test(&[123, 666]));
        assert!(!v(Layer::All).test(&[]));
    }
}
