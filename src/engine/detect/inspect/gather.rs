//! What a match says beside that it is one: captures of expressions, and contexts of values found in lists.
//!
//! Gathered once a rule has matched, by going over its buffers again: rules that say something are few, and their hits
//! rarer still, so that nothing is carried along while candidates wait. What belongs to the flow is kept there, what
//! belongs to the packet until the next one, the rest goes with the alert.

use super::{Detector, content};
use crate::detect::compile::Compiled;
use crate::detect::signature::CaptureScope;
use crate::detect::state::FlowDetect;
use std::sync::Arc;

/// Bytes kept of one capture.
const CAPTURE_BYTES_MAX: usize = 4_096;
/// Captures of one packet.
const PACKET_VARS_MAX: usize = 64;

/// A named value.
pub type Captured = (Arc<str>, Box<[u8]>);

/// Something an alert says under its `context`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Json(Arc<serde_json::Value>),
    Bytes(Box<[u8]>),
}

/// All of it, by name.
pub type Context = Option<Arc<[(Arc<str>, Said)]>>;

/// What one pass over a rule's buffers finds to say.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub captures: Vec<(CaptureScope, Captured)>,
    pub contexts: Vec<(Arc<str>, Said)>,
}

impl Gathered {
    /// Bytes of a capture, cut to the bound.
    pub(crate) fn cut(bytes: &[u8]) -> &[u8] {
        bytes.get(..CAPTURE_BYTES_MAX).unwrap_or(bytes)
    }
}

impl Detector {
    /// Variables of the packet inspected last.
    pub fn packet_vars(&self) -> &[Captured] {
        &self.packet_vars
    }

    /// What went over since [`content::Work::gathered`] was set: to the flow, the packet and the alert.
    pub(super) fn gathered(&mut self, flow: Option<&mut FlowDetect>) -> Context {
        let gathered = self.work.gathered.take()?;
        let mut said = gathered.contexts;
        let mut flow = flow;
        for (scope, (name, value)) in gathered.captures {
            match (scope, flow.as_deref_mut()) {
                (CaptureScope::Alert, _) => said.push((name, Said::Bytes(value))),
                (CaptureScope::Flow, Some(f)) => f.capture(name, value, self.limits.flow_vars_max),
                (CaptureScope::Flow, None) => {}
                (CaptureScope::Packet, _) if self.packet_vars.len() < PACKET_VARS_MAX => {
                    self.packet_vars.push((name, value));
                }
                (CaptureScope::Packet, _) => {}
            }
        }
        (!said.is_empty()).then(|| said.into())
    }

    /// Readies the next pass to gather.
    pub(super) fn gather(&mut self, c: &Compiled) {
        self.work.begin(c.sig.slots, false, super::STEPS_MAX);
        self.work.gathered = Some(Gathered::default());
    }

    /// Keeps what checks measured, whether the rule matched or not.
    pub(super) fn note_measured(work: &mut content::Work, flow: Option<&mut FlowDetect>, max: usize) {
        if let (false, Some(f)) = (work.measured.is_empty(), flow) {
            work.measured.drain(..).for_each(|(var, x)| f.measure(var, x, max));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_cut() {
        assert_eq!([4_096, 4_097].map(|n| Gathered::cut(&vec![b'a'; n]).len()), [4_096, 4_096]);
    }
}
