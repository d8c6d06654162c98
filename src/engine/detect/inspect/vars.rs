//! flowbits, xbits, hostbits, flowints: tests before a match, settings after it.

use super::{Detector, PacketInput};
use crate::applayer::TxId;
use crate::detect::compile::Compiled;
use crate::detect::signature::{IntOperand, StateOp, VarId, VarScope};
use crate::detect::state::FlowDetect;
use crate::detect::state::hosts::Until;
use crate::detect::state::shared::{BITS_MAX, BitName, HostBits, HostKey};
use crate::detect::state::vars::compare;
use crate::types::Counter;

fn key(scope: VarScope, input: &PacketInput<'_>) -> Option<HostKey> {
    let t = &input.facts.packet.tuple;
    match scope {
        VarScope::HostSrc => Some(HostKey::One(t.src)),
        VarScope::HostDst => Some(HostKey::One(t.dst)),
        VarScope::IpPair => Some(HostKey::Pair(t.src.min(t.dst), t.src.max(t.dst))),
        VarScope::Flow | VarScope::Tx => None,
    }
}

impl Detector {
    /// All of a rule's tests hold.
    pub(super) fn state_holds(
        &self,
        c: &Compiled,
        input: &PacketInput<'_>,
        flow: Option<&FlowDetect>,
        tx: Option<TxId>,
    ) -> bool {
        !c.flags.state_tests || c.sig.state.iter().filter(|s| s.is_test()).all(|s| self.test(s, input, flow, tx))
    }

    fn test(&self, op: &StateOp, input: &PacketInput<'_>, flow: Option<&FlowDetect>, tx: Option<TxId>) -> bool {
        match op {
            StateOp::BitTest { scope, any_of, negated } => {
                any_of.iter().any(|b| self.bit(*scope, *b, input, flow, tx)) != *negated
            }
            StateOp::IntTest { var, cmp, value } => {
                let Some(f) = flow else { return false };
                let Some(b) = operand(*value, f) else { return false };
                f.vars.int(*var).is_some_and(|a| compare(a, *cmp, b))
            }
            StateOp::IntDefined { var, negated } => flow.is_some_and(|f| f.vars.int(*var).is_some() != *negated),
            _ => true,
        }
    }

    fn bit(
        &self,
        scope: VarScope,
        bit: VarId,
        input: &PacketInput<'_>,
        flow: Option<&FlowDetect>,
        tx: Option<TxId>,
    ) -> bool {
        match (scope, key(scope, input)) {
            (VarScope::Flow, _) => flow.is_some_and(|f| f.vars.bit(bit)),
            (VarScope::Tx, _) => {
                let state = flow.zip(tx).and_then(|(f, id)| f.tx_at(id));
                state.is_some_and(|t| t.bits.contains(&bit))
            }
            (_, Some(k)) => {
                let now = input.facts.packet.ts;
                let name = self.bit_name(bit);
                let live = |h: &HostBits| h.0.iter().any(|b| b.0 == name && b.1.live(now));
                self.work.shared.with(self.work.at, |h| h.bits.find(&k).is_some_and(live)).0
            }
            (_, None) => false,
        }
    }

    fn bit_name(&self, bit: VarId) -> BitName {
        self.bit_names.get(bit.0 as usize).copied().unwrap_or_else(|| BitName::unnamed(bit))
    }

    /// Carries out all of a rule's settings.
    pub(super) fn state_set(
        &mut self,
        c: &Compiled,
        input: &PacketInput<'_>,
        mut flow: Option<&mut FlowDetect>,
        tx: Option<TxId>,
    ) {
        let now = input.facts.packet.ts;
        let max = self.limits.flow_vars_max;
        for op in c.sig.state.iter().filter(|s| !s.is_test()) {
            match op {
                StateOp::BitSet { scope, bit, expire } => {
                    let until = Until(expire.map(|e| now.saturating_add(e)));
                    self.write(*scope, *bit, Write::Set(until), input, flow.as_deref_mut(), tx);
                }
                StateOp::BitUnset { scope, bit } => {
                    self.write(*scope, *bit, Write::Unset, input, flow.as_deref_mut(), tx);
                }
                StateOp::BitToggle { scope, bit } => {
                    let on = self.bit(*scope, *bit, input, flow.as_deref(), tx);
                    let w = if on { Write::Unset } else { Write::Set(Until(None)) };
                    self.write(*scope, *bit, w, input, flow.as_deref_mut(), tx);
                }
                StateOp::IntAssign { var, op, value } => {
                    if let Some(f) = flow.as_deref_mut()
                        && let Some(v) = operand(*value, f)
                    {
                        let kept = f.vars.assign(*var, *op, v, max);
                        self.counters.add(Counter::FlowVarsFull, u64::from(!kept));
                    }
                }
                _ => {}
            }
        }
        #[cfg(debug_assertions)]
        if let Some(f) = flow {
            f.vars.invariants();
        }
    }

    fn write(
        &mut self,
        scope: VarScope,
        bit: VarId,
        w: Write,
        input: &PacketInput<'_>,
        flow: Option<&mut FlowDetect>,
        tx: Option<TxId>,
    ) {
        match (scope, flow) {
            (VarScope::Flow, Some(f)) => match w {
                Write::Set(_) => {
                    let kept = f.vars.set(bit, self.limits.flow_vars_max);
                    self.counters.add(Counter::FlowVarsFull, u64::from(!kept));
                }
                Write::Unset => f.vars.unset(bit),
            },
            (VarScope::Tx, Some(f)) => {
                if let Some(t) = tx.and_then(|id| f.tx_at_mut(id)) {
                    t.bits.retain(|b| *b != bit);
                    if matches!(w, Write::Set(_)) && t.bits.len() < BITS_MAX {
                        t.bits.push(bit);
                    }
                }
            }
            _ => {
                let Some(k) = key(scope, input) else { return };
                let name = self.bit_name(bit);
                self.touch_hosts(|hosts| match w {
                    Write::Set(until) => hosts.bits.entry(k, HostBits::default).set(name, until),
                    Write::Unset => {
                        if hosts.bits.find_mut(&k).is_some_and(|h| h.unset(name) && h.0.is_empty()) {
                            hosts.bits.remove(&k);
                        }
                    }
                });
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Write {
    Set(Until),
    Unset,
}

fn operand(o: IntOperand, f: &FlowDetect) -> Option<u32> {
    match o {
        IntOperand::Const(c) => Some(c),
        IntOperand::Var(v) => f.vars.int(v),
    }
}
