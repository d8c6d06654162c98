//! One flow's application layer: which protocol it speaks, and its parser.
//!
//! Owns detection (by content, both directions, any port) and the driving of the parser; holds no stream bytes: the
//! stream below keeps what is not consumed and presents it again. Until a protocol is known nothing is consumed, so a
//! protocol recognised by its answer still has its question parsed. Invariants: a parser exists only while a
//! protocol is known; a direction that is `done` is never fed again; work per call is one probe of each protocol or
//! one parse.

use super::take_up::TakeUp;
use super::{AppParser, EventId, Input, ParseCx, Parsed, Probe, ProbeInput, ProtoDef, ProtoId, Vocabulary, generic};
use crate::types::{Direction, PerDirection};
use smallvec::SmallVec;

/// Unrecognised bytes of one direction past which detection gives up on it.
pub(super) const DETECT_BYTES_MAX: usize = 8 * 1024;

/// What the caller does after [`AppSession::feed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Bytes taken from the front of what was presented.
    pub consumed: usize,
    /// This direction needs no more bytes, ever.
    pub stop: bool,
    /// The parser gave up: `app-layer-error` applies.
    pub failed: bool,
    /// The protocol became known with this call: feed both directions again.
    pub detected: bool,
    /// The first bytes came from the flow's server: the caller turns the flow round.
    pub reversed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Detecting,
    Known,
    Failed,
}

/// What a direction's bytes have said about its protocol so far.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    any: bool,
    /// It has sent bytes, whoever read them.
    spoke: bool,
    /// No protocol claims them.
    refused: bool,
    done: bool,
}

/// Whose some first bytes are.
pub(super) enum Claim {
    Of {
        def: &'static ProtoDef,
        /// The flow's directions have each other's names.
        reversed: bool,
    },
    /// More of them decide.
    Open,
    None,
}

/// Surroundings of a call.
pub struct AppCx<'a> {
    pub vocabulary: &'a Vocabulary,
    pub settings: &'a crate::proto::Settings,
    pub parse: ParseCx<'a>,
    pub udp: bool,
    /// The flow may be turned round: not one whose other side is known to have begun it.
    pub turnable: bool,
    /// Bytes a parser may leave unconsumed.
    pub pending_max: usize,
}

#[derive(Default)]
pub struct AppSession {
    state: State,
    parser: Option<Box<dyn AppParser>>,
    proto: ProtoId,
    seen: PerDirection<Seen>,
    /// The parser handed over: detection starts anew once its transactions are finished.
    switching: Option<Option<ProtoId>>,
    expect: Option<ProtoId>,
    /// The flow spoke another protocol before.
    switched: bool,
    /// Met in the middle, and not yet in step with what is sent.
    pub(super) taken_up: Option<Box<TakeUp>>,
    events: SmallVec<[EventId; 2]>,
}

impl AppSession {
    pub(super) fn expecting(expect: Option<ProtoId>) -> Self {
        AppSession { expect, ..AppSession::default() }
    }

    /// [`ProtoId::ANY`] while unknown.
    pub fn protocol(&self) -> ProtoId {
        self.proto
    }

    /// Nothing about the protocol will change any more.
    pub fn settled(&self) -> bool {
        self.state != State::Detecting
    }

    /// Detection ended without a protocol, or the parser gave up.
    pub fn failed(&self) -> bool {
        self.state == State::Failed
    }

    /// What records call the protocol of a flow that has none: detection has failed there. Over TCP it fails only where
    /// both sides spoke, or where one did behind another protocol; a datagram is judged by itself.
    pub fn unrecognised(&self, udp: bool) -> bool {
        let (s, c) = (self.seen.to_server.any, self.seen.to_client.any);
        self.proto == ProtoId::ANY && if udp || self.switched { s || c } else { self.failed() && s && c }
    }

    /// What `dir` alone was taken for: `ANY` for nothing known, `None` while it is not decided or has not spoken.
    pub fn protocol_in(&self, dir: Direction, udp: bool) -> Option<ProtoId> {
        let seen = &self.seen[dir];
        match self.state {
            _ if !seen.spoke => None,
            _ if seen.refused && self.proto != ProtoId::ANY => Some(ProtoId::ANY),
            State::Detecting if udp => Some(self.proto),
            State::Detecting => None,
            State::Known | State::Failed => Some(self.proto),
        }
    }

    /// `dir` was recognised as nothing while the other side's bytes named the protocol.
    pub fn unrecognised_in(&self, dir: Direction) -> bool {
        self.proto != ProtoId::ANY && self.seen[dir].any && self.seen[dir].refused
    }

    pub fn parser(&self) -> Option<&dyn AppParser> {
        self.parser.as_deref()
    }

    pub fn parser_mut(&mut self) -> Option<&mut (dyn AppParser + 'static)> {
        self.parser.as_deref_mut()
    }

    /// Whether `dir` still wants bytes.
    pub fn wants(&self, dir: Direction) -> bool {
        self.state != State::Failed && !self.seen[dir].done && self.switching.is_none()
    }

    /// Nothing of this flow will ever be parsed: no protocol, no transactions.
    pub fn is_idle(&self) -> bool {
        self.state == State::Failed || (self.seen.to_server.done && self.seen.to_client.done)
    }

    /// Detection's own events and the parser's, since the last call.
    pub fn take_events(&mut self) -> SmallVec<[EventId; 2]> {
        let mut events = std::mem::take(&mut self.events);
        if let Some(p) = &mut self.parser {
            events.extend(p.take_events());
        }
        events
    }

    /// The parser asked for detection anew. The caller first ends the old transactions, then calls [`Self::switch`].
    pub fn wants_switch(&self) -> bool {
        self.switching.is_some()
    }

    pub fn switch(&mut self) {
        if let Some(expect) = self.switching.take() {
            let taken_up = self.taken_up.take().filter(|t| t.anew);
            let switched = self.switched || taken_up.is_none();
            *self = AppSession { expect, switched, taken_up: taken_up.map(|t| t.again()), ..AppSession::default() };
        }
    }

    /// Gives up on the flow's protocol; the parser goes with its transactions, the protocol's name stays.
    pub fn abandon(&mut self) {
        self.state = State::Failed;
        self.parser = None;
        self.switching = None;
    }

    /// Presents everything unconsumed of a direction. On UDP each datagram is presented once, whatever is consumed.
    pub fn feed(&mut self, cx: &AppCx<'_>, dir: Direction, input: Input<'_>) -> Fed {
        self.seen[dir].spoke |= matches!(input, Input::Data(d) if !d.is_empty());
        if !self.wants(dir) {
            let consumed = if let Input::Data(d) = input { d.len() } else { 0 };
            return Fed { consumed, stop: self.switching.is_none(), ..Fed::default() };
        }
        if self.taken_up.as_ref().is_some_and(|t| t.looking[dir]) {
            return self.look(cx, dir, input);
        }
        self.feed_on(cx, dir, input)
    }

    /// The same where the direction's bytes are followed.
    pub(super) fn feed_on(&mut self, cx: &AppCx<'_>, dir: Direction, input: Input<'_>) -> Fed {
        match self.state {
            State::Detecting => self.detect(cx, dir, input),
            State::Known => self.parse(cx, dir, input),
            State::Failed => Fed { stop: true, ..Fed::default() },
        }
    }

    fn parse(&mut self, cx: &AppCx<'_>, dir: Direction, input: Input<'_>) -> Fed {
        let Some(parser) = &mut self.parser else {
            return self.give_up(false, 0);
        };
        let len = if let Input::Data(d) = input { d.len() } else { 0 };
        if cx.parse.frames.has(self.proto)
            && let Some(frames) = parser.frames_mut()
        {
            frames.stream(dir, cx.parse.at);
        }
        match parser.parse(&cx.parse, dir, input) {
            Parsed::Consumed(n) => {
                let n = n.min(len);
                if len - n > cx.pending_max {
                    return self.give_up(true, len);
                }
                Fed { consumed: n, ..Fed::default() }
            }
            Parsed::Done => {
                self.seen[dir].done = true;
                Fed { consumed: len, stop: true, ..Fed::default() }
            }
            Parsed::Switch { consumed, expect } => {
                self.switching = Some(expect);
                Fed { consumed: consumed.min(len), ..Fed::default() }
            }
            Parsed::Failed => self.give_up(true, len),
        }
    }

    fn detect(&mut self, cx: &AppCx<'_>, dir: Direction, input: Input<'_>) -> Fed {
        let (data, eof) = match input {
            Input::Data(d) => (d, false),
            // A hole in the first bytes: nobody can say what this is.
            Input::Gap(_) => return self.refuse(cx, dir, 0),
            Input::Eof => (&[][..], true),
        };
        if data.is_empty() {
            return if eof { self.refuse(cx, dir, 0) } else { Fed::default() };
        }
        self.seen[dir].any = true;
        let more = match self.probe(cx, dir, data, eof) {
            Claim::Of { def, reversed } => return self.begin(cx, def, dir, reversed),
            Claim::Open => true,
            Claim::None => false,
        };
        if more && !cx.udp && data.len() < DETECT_BYTES_MAX {
            return Fed::default();
        }
        self.refuse(cx, dir, data.len())
    }

    /// Whose bytes these are, as far as the protocols can tell.
    pub(super) fn probe(&self, cx: &AppCx<'_>, dir: Direction, data: &[u8], eof: bool) -> Claim {
        let mut more = false;
        for def in self.candidates(cx) {
            match (def.probe)(&ProbeInput { dir, data, tuple: cx.parse.tuple, udp: cx.udp, eof, settings: cx.settings })
            {
                Probe::Match => return Claim::Of { def, reversed: false },
                Probe::MatchReversed if cx.turnable => return Claim::Of { def, reversed: true },
                Probe::More => more = true,
                Probe::MatchReversed | Probe::No => {}
            }
        }
        if more { Claim::Open } else { Claim::None }
    }

    /// Protocols to probe: the expected one alone where a parser named it, all of the transport otherwise.
    fn candidates<'a>(&self, cx: &AppCx<'a>) -> impl Iterator<Item = &'static ProtoDef> + use<'a> {
        let known = (self.state == State::Known).then_some(self.proto);
        let (udp, expect, off) = (cx.udp, known.or(self.expect), cx.settings.off(cx.udp));
        cx.vocabulary.protocols.iter().filter(move |p| {
            p.id != ProtoId::ANY
                && !off.has(p.id)
                && (if udp { p.udp } else { p.tcp })
                && expect.is_none_or(|e| e == p.id)
        })
    }

    pub(super) fn begin(&mut self, cx: &AppCx<'_>, def: &ProtoDef, dir: Direction, reversed: bool) -> Fed {
        self.state = State::Known;
        self.proto = def.id;
        self.parser = Some((def.parser)(cx.settings));
        if reversed {
            // Directions are renamed, and with them what is known of each.
            std::mem::swap(&mut self.seen.to_server, &mut self.seen.to_client);
        }
        let first = if reversed { dir.flip() } else { dir };
        // Of what is met in the middle nobody knows who spoke first.
        let whole = self.taken_up.is_none();
        if whole && def.client_first && first == Direction::ToClient && !self.seen.to_server.any && !reversed {
            self.events.push(generic::EVENT_WRONG_DIRECTION_FIRST_DATA);
        } else if whole && !cx.udp && self.seen[dir.flip()].refused {
            self.events.push(generic::EVENT_DETECT_ONLY_ONE_DIRECTION);
        }
        Fed { detected: true, reversed, ..Fed::default() }
    }

    /// No protocol claims this direction's bytes: wait for the other side to speak, or give up when it has.
    fn refuse(&mut self, cx: &AppCx<'_>, dir: Direction, held: usize) -> Fed {
        self.seen[dir].refused = true;
        let other = self.seen[dir.flip()];
        if other.refused || cx.udp && other.any || held >= DETECT_BYTES_MAX {
            return self.give_up(false, 0);
        }
        Fed::default()
    }

    /// Nothing more comes of the protocol. What was met in the middle may have been misread: it is looked at anew, behind
    /// the `len` bytes presented, and if it fails again and again it was no failure of its ends.
    fn give_up(&mut self, mut failed: bool, len: usize) -> Fed {
        if let Some(taken_up) = self.taken_up.as_mut().filter(|_| failed) {
            if taken_up.try_again() {
                self.switching = Some(self.expect);
                return Fed { consumed: len, ..Fed::default() };
            }
            failed = false;
        }
        self.state = State::Failed;
        Fed { stop: true, failed, ..Fed::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;
    use crate::types::{FiveTuple, Timestamp};

    struct Lines(Vec<String>);

    impl AppParser for Lines {
        fn protocol(&self) -> ProtoId {
            ProtoId(1)
        }
        fn parse(&mut self, _: &ParseCx<'_>, _: Direction, input: Input<'_>) -> Parsed {
            let Input::Data(d) = input else { return Parsed::Consumed(0) };
            if d.starts_with(b"BAD") {
                return Parsed::Failed;
            }
            match d.iter().position(|&b| b == b'\n') {
                Some(n) => {
                    self.0.push(String::from_utf8_lossy(&d[..n]).into_owned());
                    Parsed::Consumed(n + 1)
                }
                None => Parsed::Consumed(0),
            }
        }
        fn transactions(&self) -> (TxId, TxId) {
            (TxId(0), TxId(0))
        }
        fn transaction(&self, _: TxId) -> Option<&dyn Transaction> {
            None
        }
        fn transaction_mut(&mut self, _: TxId) -> Option<&mut dyn Transaction> {
            None
        }
        fn free(&mut self, _: TxId) {}
        fn memory(&self) -> usize {
            0
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    }

    fn probe(p: &ProbeInput<'_>) -> Probe {
        match p.data {
            d if d.starts_with(b"HI") && p.dir == Direction::ToServer => Probe::Match,
            d if d.starts_with(b"YO") => {
                if p.dir == Direction::ToServer {
                    Probe::MatchReversed
                } else {
                    Probe::Match
                }
            }
            d if b"HI".starts_with(d) || b"YO".starts_with(d) => Probe::More,
            _ => Probe::No,
        }
    }

    const fn row(id: u8, name: &'static str, probe: fn(&ProbeInput<'_>) -> Probe) -> ProtoDef {
        ProtoDef {
            id: ProtoId(id),
            name,
            aliases: &[],
            tcp: true,
            udp: true,
            client_first: true,
            probe,
            parser: |_| Box::new(Lines(Vec::new())),
            buffers: &[],
            never: |_, _, _| None,
            files: true,
            states: [&[], &[]],
            keywords: &[],
            events: &[],
            doc: "test",
        }
    }

    static ROWS: [ProtoDef; 2] = [row(0, "any", |_| Probe::No), row(1, "lines", probe)];

    fn with(udp: bool, f: impl FnOnce(&AppCx<'_>)) {
        let vocabulary = Vocabulary { protocols: &ROWS, ..Vocabulary::EMPTY };
        let (settings, tuple) = (crate::proto::Settings::default(), FiveTuple::default());
        let parse = ParseCx { ts: Timestamp::ZERO, tuple: &tuple, inline: false, at: 0, frames: Default::default() };
        f(&AppCx { vocabulary: &vocabulary, settings: &settings, parse, udp, turnable: true, pending_max: 64 });
    }

    #[test]
    fn waits_for_enough_bytes_then_parses_them_all() {
        with(false, |cx| {
            let mut s = AppSession::default();
            assert_eq!(s.feed(cx, Direction::ToServer, Input::Data(b"H")), Fed::default());
            assert!(s.feed(cx, Direction::ToServer, Input::Data(b"HI\n")).detected);
            assert_eq!(s.feed(cx, Direction::ToServer, Input::Data(b"HI\n")).consumed, 3);
            assert_eq!(s.protocol(), ProtoId(1));
        });
    }

    #[test]
    fn an_answer_names_the_protocol_of_an_unknown_question() {
        with(false, |cx| {
            let mut s = AppSession::default();
            assert_eq!(s.feed(cx, Direction::ToServer, Input::Data(b"odd")), Fed::default());
            assert!(s.wants(Direction::ToServer));
            assert!(s.feed(cx, Direction::ToClient, Input::Data(b"YO")).detected);
            assert_eq!(s.take_events().as_slice(), [generic::EVENT_DETECT_ONLY_ONE_DIRECTION]);
        });
    }

    #[test]
    fn gives_up_when_both_refuse_or_one_is_long() {
        with(false, |cx| {
            let mut s = AppSession::default();
            s.feed(cx, Direction::ToServer, Input::Data(b"odd"));
            assert!(s.feed(cx, Direction::ToClient, Input::Data(b"odd")).stop);
            assert!(s.failed());
            let mut s = AppSession::default();
            assert!(s.feed(cx, Direction::ToServer, Input::Data(&[0; DETECT_BYTES_MAX])).stop);
        });
    }

    #[test]
    fn a_first_packet_from_the_server_turns_the_flow() {
        with(true, |cx| {
            let mut s = AppSession::default();
            assert!(s.feed(cx, Direction::ToServer, Input::Data(b"YO")).reversed);
        });
    }

    #[test]
    fn a_parser_that_hoards_has_failed() {
        with(false, |cx| {
            let mut s = AppSession::default();
            s.feed(cx, Direction::ToServer, Input::Data(b"HI"));
            assert_eq!(s.feed(cx, Direction::ToServer, Input::Data(&[b'x'; 64])), Fed::default());
            assert!(s.feed(cx, Direction::ToServer, Input::Data(&[b'x'; 65])).failed);
        });
    }
}
