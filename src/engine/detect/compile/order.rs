//! Order of evaluation: by action (pass, drop, reject, alert), then rules that set variables before those that ask for
//! them before those without, then priority, then as read.

use crate::detect::signature::{Signature, StateOp, VarScope};
use crate::types::Action;

pub(super) fn sorted(mut signatures: Vec<Signature>) -> Vec<Signature> {
    signatures.sort_by_cached_key(|s| {
        (
            action_rank(s.action),
            state_rank(s, |op| matches!(op, StateOp::BitTest { scope: VarScope::Flow, .. } | StateOp::BitSet { scope: VarScope::Flow, .. } | StateOp::BitUnset { scope: VarScope::Flow, .. } | StateOp::BitToggle { scope: VarScope::Flow, .. })),
            state_rank(s, |op| matches!(op, StateOp::IntTest { .. } | StateOp::IntDefined { .. } | StateOp::IntAssign { .. })),
            state_rank(s, |op| matches!(op, StateOp::BitTest { scope, .. } | StateOp::BitSet { scope, .. } | StateOp::BitUnset { scope, .. } | StateOp::BitToggle { scope, .. } if *scope != VarScope::Flow)),
            s.priority,
        )
    });
    signatures
}

fn action_rank(a: Action) -> u8 {
    match a {
        Action::Config => 0,
        Action::Pass => 1,
        Action::Drop => 2,
        Action::Reject(_) => 3,
        Action::Alert => 4,
    }
}

/// Setters first, then those that set and ask, then those that ask, then the rest.
fn state_rank(s: &Signature, of_kind: impl Fn(&StateOp) -> bool) -> u8 {
    let tests = s.state.iter().any(|op| of_kind(op) && op.is_test());
    let sets = s.state.iter().any(|op| of_kind(op) && !op.is_test());
    match (sets, tests) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}
