//! The order in which signatures are evaluated.
//!
//! By action as the operator orders actions, then rules that set a bit or number before those that ask for it, then by
//! priority, then as read. Stable, so equal rules keep their files' order.

use crate::detect::signature::{Signature, StateOp, VarScope};
use crate::types::Action;

/// Actions in order of evaluation; `config` rules always come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionOrder([ActionKind; 4]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActionKind {
    Pass,
    Drop,
    Reject,
    Alert,
}

impl Default for ActionOrder {
    fn default() -> Self {
        ActionOrder([ActionKind::Pass, ActionKind::Drop, ActionKind::Reject, ActionKind::Alert])
    }
}

impl ActionOrder {
    /// From the four words in the operator's order; each must be there once.
    pub fn from_words<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Self, String> {
        let mut order = Vec::with_capacity(4);
        for word in words {
            let kind = match word {
                "pass" => ActionKind::Pass,
                "drop" => ActionKind::Drop,
                "reject" => ActionKind::Reject,
                "alert" => ActionKind::Alert,
                _ => return Err(format!("`{word}` is no action that can be ordered")),
            };
            if order.contains(&kind) {
                return Err(format!("`{word}` stands twice"));
            }
            order.push(kind);
        }
        let all: [ActionKind; 4] =
            order.try_into().map_err(|_| "pass, drop, reject and alert are all to be named".to_owned())?;
        Ok(ActionOrder(all))
    }

    fn rank(&self, action: Action) -> usize {
        let kind = match action {
            Action::Pass => ActionKind::Pass,
            Action::Drop => ActionKind::Drop,
            Action::Reject(_) => ActionKind::Reject,
            Action::Alert => ActionKind::Alert,
            Action::Config => return self.0.len(),
        };
        self.0.iter().position(|k| *k == kind).unwrap_or(self.0.len())
    }
}

/// Sorts into order of evaluation.
pub fn order(signatures: &mut [Signature], actions: &ActionOrder) {
    signatures.sort_by_cached_key(|s| {
        let bits = |flow: bool| bit_rank(s, |scope| (scope == VarScope::Flow) == flow);
        (actions.rank(s.action), bits(true), int_rank(s), bits(false), s.priority)
    });
}

/// Setting alone first, then setting and asking, then asking alone, then neither.
fn bit_rank(s: &Signature, of: impl Fn(VarScope) -> bool) -> u8 {
    let (mut writes, mut reads) = (false, false);
    for op in &s.state {
        match op {
            StateOp::BitTest { scope, .. } if of(*scope) => reads = true,
            StateOp::BitSet { scope, .. } | StateOp::BitUnset { scope, .. } | StateOp::BitToggle { scope, .. }
                if of(*scope) =>
            {
                writes = true;
            }
            _ => {}
        }
    }
    rank(writes, reads)
}

fn int_rank(s: &Signature) -> u8 {
    let writes = s.state.iter().any(|o| matches!(o, StateOp::IntAssign { .. }));
    let reads = s.state.iter().any(|o| matches!(o, StateOp::IntTest { .. } | StateOp::IntDefined { .. }));
    rank(writes, reads)
}

fn rank(writes: bool, reads: bool) -> u8 {
    match (writes, reads) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}
