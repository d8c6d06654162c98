//! `rpc`: a Sun RPC call (RFC 5531, section 9) of a program, version and procedure.

use super::{Argument, Keyword, Kind};
use crate::detect::lang::Fault;
use crate::detect::signature::{PacketFacts, PacketTest};
use crate::types::IpProto;

pub const RPC: Keyword = Keyword {
    name: "rpc",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "the packet is a Sun RPC call of this program, version and procedure",
    syntax: "<program>[,<version>|*[,<procedure>|*]]",
    example_ok: "rpc:100009,*,*;",
    example_bad: "rpc:*,1,1;",
    parse: |b, v| {
        let shape =
            || Fault::argument("a program, and a version and procedure or `*`").help(RPC.syntax).at(v.span.clone());
        let mut parts = v.text.split(',').map(str::trim);
        let program = parts.next().and_then(|p| p.parse().ok()).ok_or_else(shape)?;
        let mut optional = || match parts.next() {
            None | Some("*") => Ok(None),
            Some(n) => n.parse().map(Some).map_err(|_| shape()),
        };
        let (version, procedure) = (optional()?, optional()?);
        if parts.next().is_some() {
            return Err(shape());
        }
        b.packet_test("rpc", Rpc { program, version, procedure });
        Ok(())
    },
};

#[derive(Debug)]
struct Rpc {
    program: u32,
    version: Option<u32>,
    procedure: Option<u32>,
}

impl PacketTest for Rpc {
    fn matches(&self, f: &PacketFacts<'_>) -> bool {
        let payload = f.packet.payload();
        // Over TCP a record mark of four bytes stands in front (RFC 5531, section 11).
        let skip = if f.packet.tuple.proto == IpProto::TCP { 4 } else { 0 };
        payload.get(skip..).is_some_and(|call| self.call(call))
    }
}

impl Rpc {
    fn call(&self, data: &[u8]) -> bool {
        let word = |i: usize| data.get(4 * i..4 * i + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        let (call, rpc) = (word(1), word(2));
        call == Some(0)
            && rpc == Some(2)
            && word(3) == Some(self.program)
            && self.version.is_none_or(|v| word(4) == Some(v))
            && self.procedure.is_none_or(|p| word(5) == Some(p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        let words = |w: [u32; 6]| w.iter().flat_map(|x| x.to_be_bytes()).collect::<Vec<u8>>();
        let rpc = Rpc { program: 100_000, version: None, procedure: Some(4) };
        assert!(rpc.call(&words([7, 0, 2, 100_000, 2, 4])));
        assert!(!rpc.call(&words([7, 1, 2, 100_000, 2, 4])));
        assert!(!rpc.call(&words([7, 0, 2, 100_000, 2, 5])));
        assert!(!rpc.call(&[0; 10]));
    }
}
