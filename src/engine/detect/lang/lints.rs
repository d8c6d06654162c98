//! Advice on rules that load: what they cost, what they will never do.

use super::builder::Builder;
use super::diagnostics::{Code, Fault};
use super::fast_pattern;
use super::names::{VarKind, VarTable};
use crate::detect::signature::{Op, PortSet, Signature, StateOp, VarScope};
use std::collections::HashSet;

/// Fast patterns this short select next to nothing.
const SHORT: usize = 2;

/// Advice about one rule.
pub fn one(b: &mut Builder<'_>) {
    let s = &b.sig;
    let any_ports = |a: &PortSet, b: &PortSet| a.is_any() && b.is_any();
    match s.fast_pattern {
        None if pays(s) && any_ports(&s.header.sport, &s.header.dport) && !b.prefilter => {
            b.warn(
                Fault::new(
                    Code::NoFastPattern,
                    "no content to find this rule by: it is inspected on every packet of any port",
                )
                .help("a content that must be there, or a port, spares the rest of the traffic"),
            );
        }
        Some((i, j)) => {
            let op = s.buffers.get(i).and_then(|m| m.ops.get(j));
            let Some(Op::Content(c)) = op else { return };
            let payload = s.buffers.get(i).is_some_and(|m| m.buffer == crate::applayer::generic::PAYLOAD);
            let len = fast_pattern::searched(c).len();
            if payload && len <= SHORT && any_ports(&s.header.sport, &s.header.dport) {
                b.warn(
                    Fault::new(Code::ShortFastPattern, format!("the fast pattern has {len} byte(s) and any port"))
                        .help("a longer content, or a port, spares the rest of the traffic"),
                );
            }
        }
        None => {}
    }
}

/// Whether a rule without a fast pattern asks anything of payload: address lists and header tests are cheap.
fn pays(s: &Signature) -> bool {
    s.buffers.iter().any(|m| m.absent.is_none())
}

/// Advice that needs the whole ruleset.
pub fn whole(signatures: &[Signature], vars: &VarTable) -> Vec<Fault> {
    let mut set = HashSet::new();
    let mut tested = Vec::new();
    for s in signatures {
        for op in &s.state {
            match op {
                StateOp::BitSet { scope: VarScope::Flow, bit, .. }
                | StateOp::BitToggle { scope: VarScope::Flow, bit } => {
                    set.insert(*bit);
                }
                StateOp::BitTest { scope: VarScope::Flow, any_of, negated: false } => {
                    tested.extend(any_of.iter().map(|v| (*v, s.sid)));
                }
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    let mut told = HashSet::new();
    for (bit, sid) in tested {
        if !set.contains(&bit) && told.insert(bit) && vars.kind(bit) == Some(VarKind::Flowbit) {
            let name = vars.name(bit).unwrap_or("?");
            out.push(Fault::new(
                Code::FlowbitUnset,
                format!("flowbit `{name}` is tested by sid {sid} and set by no rule loaded"),
            ));
        }
    }
    out
}
