//! Bits and numbers of one flow: flowbits and flowints. Small sorted lists, bounded; a variable past the bound is not set.

use crate::detect::signature::{IntAssign, IntCmp, VarId};
use thin_vec::ThinVec;

#[derive(Clone, Debug, Default)]
pub(crate) struct FlowVars {
    /// Sorted.
    bits: ThinVec<VarId>,
    /// Sorted by name.
    ints: ThinVec<(VarId, u32)>,
    /// Moves on with every change, so that what waits for a variable knows when to look again.
    version: u32,
}

impl FlowVars {
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn bit(&self, id: VarId) -> bool {
        self.bits.binary_search(&id).is_ok()
    }

    /// Says whether there was room.
    pub(crate) fn set(&mut self, id: VarId, max: usize) -> bool {
        if let Err(at) = self.bits.binary_search(&id) {
            if self.bits.len() + self.ints.len() >= max {
                return false;
            }
            self.bits.insert(at, id);
            self.version = self.version.wrapping_add(1);
        }
        true
    }

    pub(crate) fn unset(&mut self, id: VarId) {
        if let Ok(at) = self.bits.binary_search(&id) {
            self.bits.remove(at);
            self.version = self.version.wrapping_add(1);
        }
    }

    pub(crate) fn bits(&self) -> &[VarId] {
        &self.bits
    }

    pub(crate) fn ints(&self) -> &[(VarId, u32)] {
        &self.ints
    }

    pub(crate) fn int(&self, id: VarId) -> Option<u32> {
        self.ints.binary_search_by_key(&id, |e| e.0).ok().and_then(|i| self.ints.get(i)).map(|e| e.1)
    }

    pub(crate) fn assign(&mut self, id: VarId, op: IntAssign, operand: u32, max: usize) -> bool {
        self.version = self.version.wrapping_add(1);
        match self.ints.binary_search_by_key(&id, |e| e.0) {
            Ok(i) => {
                if let Some(e) = self.ints.get_mut(i) {
                    e.1 = match op {
                        IntAssign::Set => operand,
                        IntAssign::Add => e.1.wrapping_add(operand),
                        IntAssign::Sub => e.1.wrapping_sub(operand),
                    };
                }
                true
            }
            Err(_) if self.bits.len() + self.ints.len() >= max => false,
            Err(at) => {
                // An unset number counts from zero; what would go below stays there.
                let v = if op == IntAssign::Sub { 0 } else { operand };
                self.ints.insert(at, (id, v));
                true
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = FlowVars { version: self.version.wrapping_add(1), ..FlowVars::default() };
    }

    #[cfg(debug_assertions)]
    pub(crate) fn invariants(&self) {
        debug_assert!(self.bits.windows(2).all(|w| w[0] < w[1]));
        debug_assert!(self.ints.windows(2).all(|w| w[0].0 < w[1].0));
    }
}

pub(crate) fn compare(a: u32, cmp: IntCmp, b: u32) -> bool {
    match cmp {
        IntCmp::Eq => a == b,
        IntCmp::Ne => a != b,
        IntCmp::Lt => a < b,
        IntCmp::Le => a <= b,
        IntCmp::Gt => a > b,
        IntCmp::Ge => a >= b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_sorted() {
        let mut v = FlowVars::default();
        assert!(v.set(VarId(5), 3) && v.set(VarId(1), 3));
        assert!(v.assign(VarId(9), IntAssign::Add, 2, 3));
        assert!(!v.set(VarId(7), 3), "full");
        assert!(v.set(VarId(5), 3), "already there");
        assert!(v.assign(VarId(9), IntAssign::Sub, 1, 3));
        assert_eq!((v.int(VarId(9)), v.bit(VarId(1)), v.bit(VarId(7))), (Some(1), true, false));
        v.unset(VarId(1));
        assert!(!v.bit(VarId(1)));
        #[cfg(debug_assertions)]
        v.invariants();
    }
}
