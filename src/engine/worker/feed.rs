//! Stream to application layer: everything deliverable goes to the flow's parser, both directions, until neither moves.

use super::path::{Fate, Path};
use crate::applayer::{AppCx, Counted, Fed, Input, ParseCx};
use crate::decode::Packet;
use crate::flow::Flow;
use crate::session::Session;
use crate::stream::Chunk;
use crate::types::{Cause, Counter, Direction, FiveTuple, IpProto};

/// Rounds of both directions per packet: a parser that keeps switching protocols is stopped by it.
pub(super) const ROUNDS_MAX: usize = 8;

impl Path {
    /// Feeds what TCP has to deliver. Returns whether the flow was turned round.
    pub(super) fn feed_tcp(&mut self, flow: &mut Flow<Session>, dir: Direction, fate: &mut Fate) -> bool {
        let mut reversed = false;
        for _ in 0..ROUNDS_MAX {
            let mut again = false;
            for d in [dir.flip(), dir] {
                let fed = self.feed_direction(flow, d);
                self.count(flow, &fed, fate);
                if fed.reversed {
                    reversed = !reversed;
                    flow.core.reverse();
                    if let Some(tcp) = &mut flow.session.tcp {
                        tcp.swap();
                    }
                }
                // What one direction said may be what the other waited for.
                let waited =
                    fed.consumed > 0 && flow.session.tcp.as_ref().is_some_and(|t| t.pending(d.flip()).is_some());
                again |= fed.detected || waited;
            }
            if !again {
                break;
            }
        }
        reversed
    }

    /// Presents one direction's chunks until the parser wants more bytes or none are left.
    fn feed_direction(&mut self, flow: &mut Flow<Session>, dir: Direction) -> Fed {
        let turnable = flow.session.other.is_none();
        let Session { tcp, app, .. } = &mut flow.session;
        let Some(tcp) = tcp else { return Fed::default() };
        if !self.config.stream.depth_ends_all {
            tcp.set_deep(app.parser().map_or(app.is_looking(), |p| p.delimits()));
        }
        let mut taken = 0;
        loop {
            if app.wants_switch() {
                // The rest is the next parser's.
                return Fed { consumed: taken, ..Fed::default() };
            }
            if !app.wants(dir) {
                tcp.stop_app(dir);
                return Fed::default();
            }
            let (input, at, len) = match tcp.pending(dir) {
                None => return Fed { consumed: taken, ..Fed::default() },
                Some(Chunk::Data { bytes, offset }) => (Input::Data(bytes), offset, bytes.len() as u64),
                Some(Chunk::Gap { len, offset }) => (Input::Gap(len), offset, len),
                Some(Chunk::End) => (Input::Eof, tcp.stream_bytes(dir), 0),
            };
            let cx = AppCx { turnable, ..self.app_cx(&flow.core.tuple, at, false) };
            let fed = app.feed(&cx, dir, input);
            let all = match input {
                Input::Data(_) => fed.consumed as u64,
                Input::Gap(_) => len,
                Input::Eof => 0,
            };
            let ended = matches!(input, Input::Eof);
            // Also where nothing was taken: a gap or the end behind it comes next.
            tcp.consume(dir, all);
            taken += fed.consumed;
            if fed.consumed > 0 {
                tcp.present_again(dir.flip());
            }
            if fed.detected {
                Direction::BOTH.into_iter().for_each(|d| tcp.present_anew(d));
            }
            if fed.stop || app.failed() {
                for d in Direction::BOTH {
                    if !app.wants(d) {
                        tcp.stop_app(d);
                    }
                }
            }
            // Turned round or newly known: both directions begin anew.
            if fed.detected || fed.reversed || fed.failed || fed.stop || ended {
                return fed;
            }
        }
    }

    /// Presents one datagram. Returns whether the flow was turned round.
    pub(super) fn feed_udp(
        &mut self,
        flow: &mut Flow<Session>,
        mut dir: Direction,
        packet: &Packet<'_>,
        fate: &mut Fate,
    ) -> bool {
        let data = packet.payload();
        let mut reversed = false;
        // Once to be recognised, once to be parsed.
        for _ in 0..2 {
            if data.is_empty() || !flow.session.app.wants(dir) {
                break;
            }
            // An answer's sender is no client, whatever its words look like.
            let turnable = flow.core.packets[dir.flip()] == 0;
            let cx = AppCx { turnable, ..self.app_cx(&flow.core.tuple, 0, true) };
            let fed = flow.session.app.feed(&cx, dir, Input::Data(data));
            self.count(flow, &fed, fate);
            if fed.reversed {
                flow.core.reverse();
                dir = dir.flip();
                reversed = true;
            }
            if !fed.detected {
                break;
            }
        }
        reversed
    }

    /// A protocol that is known now, a parser that gave up.
    fn count(&mut self, flow: &mut Flow<Session>, fed: &Fed, fate: &mut Fate) {
        let udp = flow.core.tuple.proto == IpProto::UDP;
        if fed.detected {
            self.protocols.inc(flow.session.app.protocol(), udp, Counted::Flow);
        }
        if fed.failed {
            self.protocols.inc(flow.session.app.protocol(), udp, Counted::ParserError);
            self.counters.inc(Counter::AppParserErrors);
            self.exception(Cause::ApplayerError, Some(flow), fate);
        }
    }

    fn app_cx<'a>(&'a self, tuple: &'a FiveTuple, at: u64, udp: bool) -> AppCx<'a> {
        AppCx {
            vocabulary: &self.vocabulary,
            settings: &self.config.proto,
            parse: ParseCx { ts: self.now, tuple, inline: self.stream_inline, at, frames: self.frames },
            udp,
            turnable: true,
            // A datagram is presented once, so nothing of it stays pending.
            pending_max: if udp { usize::MAX } else { self.config.limits.parser_pending_max },
        }
    }
}
