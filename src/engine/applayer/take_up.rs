//! The application layer of a flow met in the middle: where its next message begins is looked for, in each direction by
//! itself.
//!
//! Senders begin a message in a segment of its own, so each segment's first bytes are shown to the probes, and what no
//! protocol claims is the rest of something nobody saw the beginning of: it is passed over. Until a transaction has been
//! followed from its beginning to its end, a parser that fails shows that it was started in the wrong place. A direction
//! holds at most [`DETECT_BYTES_MAX`] bytes that more bytes must decide, and a segment is probed twice at most.

use super::session::{AppCx, AppSession, Claim, DETECT_BYTES_MAX, Fed};
use super::{Input, ParseCx, ProtoId};
use crate::types::{Direction, PerDirection};

/// New beginnings of a flow's application layer; past it the flow is followed without.
pub(super) const RESTARTS_MAX: u8 = 16;

#[derive(Debug)]
pub(super) struct TakeUp {
    /// The next message's beginning has not come.
    pub looking: PerDirection<bool>,
    /// Bytes shown already and left, since more must come to tell what they are.
    left: PerDirection<usize>,
    restarts: u8,
    /// The parser failed: everything is looked at anew.
    pub anew: bool,
}

impl TakeUp {
    fn begin() -> Self {
        let looking = PerDirection { to_server: true, to_client: true };
        TakeUp { looking, left: PerDirection::default(), restarts: 0, anew: false }
    }

    /// Whether to look once more.
    pub const fn try_again(&mut self) -> bool {
        self.anew = self.restarts < RESTARTS_MAX;
        self.restarts += self.anew as u8;
        self.anew
    }

    pub fn again(&self) -> Box<Self> {
        Box::new(TakeUp { restarts: self.restarts, ..TakeUp::begin() })
    }

    fn reverse(&mut self) {
        std::mem::swap(&mut self.looking.to_server, &mut self.looking.to_client);
        std::mem::swap(&mut self.left.to_server, &mut self.left.to_client);
    }
}

impl AppSession {
    /// Of a flow whose bytes so far were not all seen; it may be known what it speaks.
    pub fn taken_up(expect: Option<ProtoId>) -> Self {
        let mut app = AppSession::expecting(expect);
        app.taken_up = Some(Box::new(TakeUp::begin()));
        app
    }

    /// Some beginning is still looked for.
    pub fn is_looking(&self) -> bool {
        self.taken_up.as_ref().is_some_and(|t| t.looking.to_server || t.looking.to_client)
    }

    /// The switch asked for is to a new beginning, not to another protocol.
    pub fn begins_anew(&self) -> bool {
        self.taken_up.as_ref().is_some_and(|t| t.anew)
    }

    /// A transaction was followed from its beginning to its end: the flow is as good as one seen whole.
    pub fn in_step(&mut self) {
        if !self.is_looking() {
            self.taken_up = None;
        }
    }

    /// Looks for a message's beginning in a direction's bytes.
    pub(super) fn look(&mut self, cx: &AppCx<'_>, dir: Direction, input: Input<'_>) -> Fed {
        let Some(taken_up) = &mut self.taken_up else { return Fed::default() };
        let left = std::mem::take(&mut taken_up.left[dir]);
        let data = match input {
            Input::Data(data) => data,
            // What comes behind it is looked at all the same.
            Input::Gap(_) => return Fed::default(),
            Input::Eof => {
                taken_up.looking[dir] = false;
                return self.feed_on(cx, dir, input);
            }
        };
        // What was left may have been an end: then the new bytes are a beginning of their own.
        let starts = if left > 0 && left < data.len() { [Some(0), Some(left)] } else { [Some(0), None] };
        for at in starts.into_iter().flatten() {
            let piece = data.get(at..).unwrap_or_default();
            match self.probe(cx, dir, piece, false) {
                Claim::Of { def, reversed } => {
                    if let Some(taken_up) = &mut self.taken_up {
                        taken_up.looking[dir] = false;
                        if reversed {
                            taken_up.reverse();
                        }
                    }
                    let fed = match self.settled() {
                        false => self.begin(cx, def, dir, reversed),
                        true => {
                            let parse = ParseCx { at: cx.parse.at.saturating_add(at as u64), ..cx.parse };
                            self.feed_on(&AppCx { parse, ..*cx }, dir, Input::Data(piece))
                        }
                    };
                    return Fed { consumed: fed.consumed.saturating_add(at), ..fed };
                }
                Claim::Open if piece.len() < DETECT_BYTES_MAX => {
                    if let Some(taken_up) = &mut self.taken_up {
                        taken_up.left[dir] = piece.len();
                    }
                    return Fed { consumed: at, ..Fed::default() };
                }
                Claim::Open | Claim::None => {}
            }
        }
        Fed { consumed: data.len(), ..Fed::default() }
    }
}
