//! What compiling adds to each op: searchers, regexes, and whether a failure further on is worth another try here.

use super::needle::Needle;
use crate::detect::matching::{MatcherError, MatcherFactory, Regex};
use crate::detect::signature::Op;

/// Beside each [`Op`], by index.
pub(crate) enum OpAux {
    Content {
        needle: Needle,
        retry: bool,
    },
    /// `restart`: a later match may be sought from within the haystack without changing what the expression means.
    Regex {
        regex: Box<dyn Regex>,
        restart: bool,
    },
    None,
}

/// The compiled checks of one `BufferMatch` that follow a `base64_decode`.
pub(crate) struct SubOps {
    pub ops: Vec<Op>,
    pub aux: Vec<OpAux>,
}

impl SubOps {
    pub(crate) fn ops(&self) -> Ops<'_> {
        Ops { ops: &self.ops, aux: &self.aux, base64: &[] }
    }
}

/// Everything [`super::content::inspect`] needs of one buffer's checks.
#[derive(Clone, Copy)]
pub(crate) struct Ops<'a> {
    pub ops: &'a [Op],
    pub aux: &'a [OpAux],
    /// Run on what `base64_decode` yields.
    pub base64: &'a [SubOps],
}

pub(crate) fn compile(ops: &[Op], factory: &dyn MatcherFactory) -> Result<Vec<OpAux>, MatcherError> {
    ops.iter()
        .enumerate()
        .map(|(i, op)| {
            let retry = || depends_on_cursor(ops.get(i + 1..).unwrap_or(&[]));
            Ok(match op {
                Op::Content(c) => {
                    OpAux::Content { needle: Needle::new(&c.bytes, c.nocase), retry: !c.negated && retry() }
                }
                Op::Pcre(p) => {
                    let floats = !p.regex.anchored && !p.regex.pattern.contains(&b'^') && !looks_back(&p.regex.pattern);
                    OpAux::Regex { regex: factory.regex(&p.regex)?, restart: !p.negated && floats && retry() }
                }
                _ => OpAux::None,
            })
        })
        .collect()
}

/// Word boundaries, look-behind, `\A`, `\G`, `\K`: what stands before the haystack would matter.
fn looks_back(pattern: &[u8]) -> bool {
    pattern.windows(3).any(|w| w == b"(?<")
        || pattern.windows(2).any(|w| matches!(w, [b'\\', b'b' | b'B' | b'A' | b'G' | b'K']))
}

/// Whether any of `ops` is measured from the end of the last match before them.
fn depends_on_cursor(ops: &[Op]) -> bool {
    for op in ops {
        match op {
            Op::Content(c) if c.is_relative() => return true,
            Op::Content(c) if !c.negated => return false,
            Op::Pcre(p) if p.relative => return true,
            Op::Pcre(p) if !p.negated => return false,
            Op::ByteTest(t) if t.relative => return true,
            Op::ByteJump(j) => return j.relative,
            Op::ByteExtract(e) => return e.relative,
            Op::ByteMath(m) => return m.relative,
            Op::IsDataAt(d) if d.relative => return true,
            Op::Base64Decode(d) if d.relative => return true,
            Op::Custom(c) if c.moves_with_cursor() => return true,
            _ => {}
        }
    }
    false
}
