//! From the tree to regex-syntax's HIR, refusing the places where the two engines' meanings part.
//!
//! * `$` also matches before a newline that ends the haystack. An automaton can only consume that newline, so there
//!   `$` becomes `\z` or `()\n\z` with a marking group, allowed where nothing follows in the expression; the search
//!   gives the newline back when a marker took part.
//! * `^` in multiline does not match after a newline that ends the haystack; allowed where a byte must follow.
//! * A loop over something that can match empty ends differently; left to PCRE2.

use super::parse::{Assertion, Node, Parsed, Why};
use regex_syntax::hir::{Capture, Class, Hir, Look, Repetition};

/// States of the automaton before it is made deterministic, about; more is left to PCRE2.
const STATES_MAX: usize = 5_000;

/// What the search needs beside the expression.
pub(super) struct Lowered {
    pub hir: Hir,
    /// Groups of the expression, the whole match not counted; markers have the numbers above, where groups are kept.
    pub captures: u32,
    /// Numbers of the groups that mark a newline not to be counted.
    pub markers: Vec<u32>,
}

/// What follows a node within the expression.
#[derive(Clone, Copy)]
struct Follows {
    /// Nothing at all.
    nothing: bool,
    /// At least one byte.
    byte: bool,
}

struct Lowering {
    keep_captures: bool,
    next_marker: u32,
    markers: Vec<u32>,
}

pub(super) fn lower(parsed: &Parsed, keep_captures: bool) -> Result<Lowered, Why> {
    if states(&parsed.root) > STATES_MAX {
        return Err("too large for an automaton");
    }
    let captures = if keep_captures { parsed.captures } else { 0 };
    let mut l = Lowering { keep_captures, next_marker: captures + 1, markers: Vec::new() };
    let hir = l.node(&parsed.root, Follows { nothing: true, byte: false })?;
    Ok(Lowered { hir, captures, markers: l.markers })
}

impl Lowering {
    fn node(&mut self, node: &Node, follows: Follows) -> Result<Hir, Why> {
        Ok(match node {
            Node::Empty => Hir::empty(),
            Node::Byte(b) => Hir::literal(vec![*b]),
            Node::Set(set) => Hir::class(Class::Bytes(set.to_hir())),
            Node::Assert(a) => self.assertion(*a, follows)?,
            Node::Concat(nodes) => {
                let mut parts = Vec::with_capacity(nodes.len());
                let mut after = follows;
                for node in nodes.iter().rev() {
                    parts.push(self.node(node, after)?);
                    after =
                        Follows { nothing: after.nothing && is_empty(node), byte: after.byte || shortest(node) > 0 };
                }
                parts.reverse();
                Hir::concat(parts)
            }
            Node::Alternation(nodes) => {
                Hir::alternation(nodes.iter().map(|n| self.node(n, follows)).collect::<Result<_, _>>()?)
            }
            Node::Capture(index, node) => {
                let sub = self.node(node, follows)?;
                if self.keep_captures {
                    Hir::capture(Capture { index: *index, name: None, sub: Box::new(sub) })
                } else {
                    sub
                }
            }
            Node::Repeat { node, min, max, greedy } => {
                let once = *max == Some(1);
                if !once && shortest(node) == 0 {
                    return Err("loop over what can be empty");
                }
                let follows = Follows { nothing: follows.nothing && once, ..follows };
                let sub = Box::new(self.node(node, follows)?);
                Hir::repetition(Repetition { min: *min, max: *max, greedy: *greedy, sub })
            }
        })
    }

    fn assertion(&mut self, a: Assertion, follows: Follows) -> Result<Hir, Why> {
        Ok(Hir::look(match a {
            Assertion::Start => Look::Start,
            Assertion::End => Look::End,
            Assertion::LineEnd => Look::EndLF,
            Assertion::WordBoundary => Look::WordAscii,
            Assertion::NotWordBoundary => Look::WordAsciiNegate,
            Assertion::LineStart if follows.byte => Look::StartLF,
            Assertion::LineStart => return Err("line start that may be the last"),
            Assertion::EndOrLastNewline if follows.nothing => return Ok(self.end_or_last_newline()),
            Assertion::EndOrLastNewline => return Err("end of subject before the end of the expression"),
        }))
    }

    fn end_or_last_newline(&mut self) -> Hir {
        let index = self.next_marker;
        self.next_marker += 1;
        self.markers.push(index);
        let marker = Hir::capture(Capture { index, name: None, sub: Box::new(Hir::empty()) });
        let newline = Hir::concat(vec![marker, Hir::literal(vec![b'\n']), Hir::look(Look::End)]);
        Hir::alternation(vec![Hir::look(Look::End), newline])
    }
}

/// Neither consumes nor asserts.
fn is_empty(node: &Node) -> bool {
    match node {
        Node::Empty => true,
        Node::Concat(nodes) => nodes.iter().all(is_empty),
        _ => false,
    }
}

/// Bytes of the shortest match, saturating.
fn shortest(node: &Node) -> usize {
    match node {
        Node::Empty | Node::Assert(_) => 0,
        Node::Byte(_) | Node::Set(_) => 1,
        Node::Concat(nodes) => nodes.iter().map(shortest).fold(0, usize::saturating_add),
        Node::Alternation(nodes) => nodes.iter().map(shortest).min().unwrap_or(0),
        Node::Capture(_, node) => shortest(node),
        Node::Repeat { node, min, .. } => shortest(node).saturating_mul(*min as usize),
    }
}

fn states(node: &Node) -> usize {
    match node {
        Node::Empty | Node::Byte(_) | Node::Set(_) | Node::Assert(_) => 1,
        Node::Concat(nodes) | Node::Alternation(nodes) => nodes.iter().map(states).fold(1, usize::saturating_add),
        Node::Capture(_, node) => states(node).saturating_add(2),
        Node::Repeat { node, min, max, .. } => {
            let times = max.unwrap_or(*min).max(1) as usize;
            states(node).saturating_add(1).saturating_mul(times)
        }
    }
}
