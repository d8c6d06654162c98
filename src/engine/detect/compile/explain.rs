//! How a rule compiled, for people.

use super::{Class, Compiled, Ruleset, Source};
use crate::detect::prefilter::Transport;
use crate::detect::signature::{Op, RuleProto, SigIdx};
use crate::types::Direction;
use std::fmt::Write;

/// One buffer match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferExplanation {
    pub name: String,
    pub transforms: String,
    /// Checks in it.
    pub checks: usize,
}

/// How one rule compiled and what traffic pays for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub sid: u32,
    /// As in Suricata's engine analysis.
    pub class: &'static str,
    pub directions: Vec<&'static str>,
    pub buffers: Vec<BufferExplanation>,
    /// The content the prefilter looks for, printable, `|hex|` elsewhere; and its buffer.
    pub fast_pattern: Option<(String, String)>,
    /// Where it is looked for: one line per group, with its size.
    pub groups: Vec<String>,
    /// Who pays for the rule, and what.
    pub cost: String,
}

pub(super) fn explain(rs: &Ruleset, i: SigIdx) -> Option<Explanation> {
    let c = rs.compiled(i)?;
    let name = |b: usize| {
        let id = c.sig.buffers.get(b)?.buffer;
        Some(rs.vocabulary.buffer_def(id).map_or_else(|| format!("{id:?}"), |d| d.name.to_string()))
    };
    let buffers = c
        .buffers
        .iter()
        .enumerate()
        .map(|(b, aux)| BufferExplanation {
            name: name(b).unwrap_or_default(),
            transforms: rs.chains.name(aux.chain).to_string(),
            checks: c.sig.buffers.get(b).map_or(0, |m| m.ops.len()) + usize::from(aux.source == Source::Base64),
        })
        .collect();
    let fast_pattern = c.fast.and_then(|(b, _)| Some((printable(&c.fast_content()?.bytes), name(b)?)));
    Some(Explanation {
        sid: c.sig.sid,
        class: c.class.name(),
        directions: Direction::BOTH.into_iter().filter(|d| c.dirs[*d as usize]).map(Direction::name).collect(),
        buffers,
        fast_pattern,
        groups: groups(rs, i, c),
        cost: cost(c),
    })
}

/// All groups with their sizes, a line each.
pub(super) fn summary(rs: &Ruleset) -> String {
    let mut out = String::new();
    for (n, g) in rs.payload.all() {
        let (whose, plain) = (rs.payload.whose(n as u16), g.plain.len());
        let placed = g.placed.len();
        let [packet, stream] = g.sets().map(|p| p.describe());
        let _ = writeln!(
            out,
            "payload group {n} ({whose}): {plain} rules without; {placed} patterns of one place; packet: {packet}; \
             stream: {stream}"
        );
    }
    for (proto, dir, g) in rs.txs.groups().filter(|(_, _, g)| !g.is_empty()) {
        let name = rs.vocabulary.proto_def(proto).map_or("?", |p| p.name);
        let _ = writeln!(
            out,
            "{name} {}: {} rules without fast pattern, {} on events",
            dir.name(),
            g.plain.len(),
            g.events.len()
        );
        for s in &g.scans {
            let buffer = rs.vocabulary.buffer_def(s.buffer).map_or("?", |d| d.name);
            let chain = rs.chains.name(s.chain);
            let _ = writeln!(out, "  {buffer} {chain}: {} pinned, {}", s.names.len(), s.patterns.describe());
        }
    }
    let _ = writeln!(
        out,
        "{} rules on events of packets, {} address rules without a short list",
        rs.events.len(),
        rs.addresses.wide()
    );
    out
}

fn groups(rs: &Ruleset, i: SigIdx, c: &Compiled) -> Vec<String> {
    let mut out = Vec::new();
    for (n, g) in rs.payload.groups_of(i) {
        let kind = if g.plain.contains(&i) { "without fast pattern" } else { "by fast pattern" };
        let at = ["packet", "stream"].into_iter().zip(g.sets()).filter(|(_, p)| p.serves(i));
        let mut sets: String = at.map(|(name, p)| format!("{} patterns in the {name}, ", p.len())).collect();
        if g.placed.serves(i) {
            let _ = write!(sets, "{} patterns of one place, ", g.placed.len());
        }
        out.push(format!("payload group {n} ({kind}): {sets}{} rules without", g.plain.len()));
    }
    for (proto, dir, g) in rs.txs.groups() {
        let proto = rs.vocabulary.proto_def(proto).map_or("?", |p| p.name);
        if g.plain.contains(&i) {
            out.push(format!("every {proto} transaction {}: {} rules without fast pattern", dir.name(), g.plain.len()));
        }
        if g.hooked.contains(&i) {
            out.push(format!("{proto} transactions {} in their states: {} rules", dir.name(), g.hooked.len()));
        }
        if g.events.contains(&i) {
            out.push(format!("{proto} transactions {} with events: {} rules", dir.name(), g.events.len()));
        }
        for s in &g.scans {
            let buffer = rs.vocabulary.buffer_def(s.buffer).map_or("?", |d| d.name);
            if s.names.serves(i) {
                out.push(format!("{proto} {} {buffer}: hash of {} pinned patterns", dir.name(), s.names.len()));
            }
            if s.patterns.serves(i) {
                let set = if s.patterns.has_set() { "one set" } else { "one by one" };
                out.push(format!("{proto} {} {buffer}: {} patterns, {set}", dir.name(), s.patterns.len()));
            }
        }
    }
    if c.class == Class::IpOnly {
        out.push(format!("address table; {} address rules without a short list", rs.addresses.wide()));
    } else if c.class == Class::Event {
        out.push(format!("packets with a decode or stream event: {} rules", rs.events.len()));
    } else if c.class == Class::Frame {
        out.push("frames of its kind, one by one".into());
    } else if out.is_empty() && matches!(c.sig.header.proto, RuleProto::Unparsed(_)) {
        out.push("none: its protocol has no parser".into());
    } else if out.is_empty() {
        out.push(format!("address table, for packets of {:?} flows between its addresses", Transport::Tcp));
    }
    out
}

fn cost(c: &Compiled) -> String {
    let first = match (c.class, c.fast.is_some()) {
        (Class::IpOnly, _) => "a share of one search per flow direction",
        (Class::Event, _) => "one check per packet with an event",
        (Class::Frame, _) => "one inspection per frame and packet that adds to it",
        (Class::Tx, true) => "a share of one search per transaction buffer",
        (Class::Tx, false) => "one inspection per transaction progress",
        (_, true) => "a share of the search of each payload byte",
        (_, false) => "one inspection per packet of its group",
    };
    let checks: usize = c.sig.buffers.iter().map(|b| b.ops.len()).sum();
    let backtracking = c
        .buffers
        .iter()
        .zip(&c.sig.buffers)
        .flat_map(|(a, m)| a.aux.iter().zip(&m.ops))
        .filter(|(a, op)| match (a, op) {
            (crate::detect::inspect::ops::OpAux::Regex { regex, .. }, Op::Pcre(_)) => !regex.linear(),
            _ => false,
        })
        .count();
    let mut s = format!("{first}; a candidate pays up to {checks} checks");
    if backtracking > 0 {
        let _ = write!(s, ", {backtracking} of them a backtracking pcre under its match limit");
    }
    s
}

fn printable(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut hex = false;
    for b in bytes {
        let plain = (0x20..0x7f).contains(b) && !b"|\";:\\".contains(b);
        if plain == hex {
            out.push('|');
            hex = !hex;
        } else if hex {
            out.push(' ');
        }
        if plain {
            out.push(char::from(*b));
        } else {
            let _ = write!(out, "{b:02X}");
        }
    }
    if hex {
        out.push('|');
    }
    out
}
