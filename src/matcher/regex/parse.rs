//! The part of PCRE2's syntax that a linear-time automaton can have, read into a tree.
//!
//! Only expressions that PCRE2 has compiled come here, so this parser judges meaning, not validity: whatever it does
//! not know for certain is an `Err` with the reason, and PCRE2 keeps the expression. That covers all that looks around,
//! back or into itself, possessive and atomic parts, `\K \R \X \C \p`, extended syntax, Unicode, and forms whose
//! reading differs between versions.
//!
//! Meaning taken from pcre2pattern(3) for byte mode, newline `\n`.

use super::class::{ByteSet, escape_type, posix};
use engine::detect::matching::RegexSpec;

/// Groups within groups, at most; deeper is left to PCRE2.
const DEPTH_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assertion {
    /// `^` or `\A`: the start of the haystack.
    Start,
    /// `\z`
    End,
    /// `$` and `\Z`: the end, or before a newline that ends the haystack.
    EndOrLastNewline,
    /// `^` in multiline: the start, or after a newline that does not end the haystack.
    LineStart,
    /// `$` in multiline.
    LineEnd,
    WordBoundary,
    NotWordBoundary,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Empty,
    /// One byte out of a set.
    Set(ByteSet),
    Byte(u8),
    Assert(Assertion),
    Concat(Vec<Node>),
    Alternation(Vec<Node>),
    Capture(u32, Box<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        /// `None` is without bound.
        max: Option<u32>,
        greedy: bool,
    },
}

/// The tree and how many groups it has.
pub(super) struct Parsed {
    pub root: Node,
    pub captures: u32,
}

/// Why PCRE2 must take it.
pub(super) type Why = &'static str;

#[derive(Clone, Copy)]
struct Flags {
    caseless: bool,
    multiline: bool,
    dot_all: bool,
    ungreedy: bool,
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    flags: Flags,
    dollar_end_only: bool,
    captures: u32,
    depth: usize,
    /// Between `\Q` and `\E`.
    quoting: bool,
}

pub(super) fn parse(spec: &RegexSpec) -> Result<Parsed, Why> {
    if spec.extended {
        return Err("extended syntax");
    }
    let flags =
        Flags { caseless: spec.caseless, multiline: spec.multiline, dot_all: spec.dot_all, ungreedy: spec.ungreedy };
    let mut p = Parser {
        text: &spec.pattern,
        at: 0,
        flags,
        dollar_end_only: spec.dollar_end_only,
        captures: 0,
        depth: 0,
        quoting: false,
    };
    let root = p.alternation()?;
    if p.at != p.text.len() {
        return Err("unbalanced parenthesis");
    }
    Ok(Parsed { root, captures: p.captures })
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or(&[])
    }

    fn next(&mut self) -> Option<u8> {
        let b = self.peek()?;
        self.at += 1;
        Some(b)
    }

    fn eat(&mut self, text: &[u8]) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Up to `)` or the end. A flag set inside holds for later branches too; the caller restores it.
    fn alternation(&mut self) -> Result<Node, Why> {
        let mut branches = vec![self.concatenation()?];
        while !self.quoting && self.eat(b"|") {
            branches.push(self.concatenation()?);
        }
        Ok(if branches.len() == 1 { branches.swap_remove(0) } else { Node::Alternation(branches) })
    }

    fn concatenation(&mut self) -> Result<Node, Why> {
        let mut nodes = Vec::new();
        while let Some(b) = self.peek() {
            if self.quoting {
                self.quoted(&mut nodes)?;
                continue;
            }
            if matches!(b, b'|' | b')') {
                break;
            }
            self.at += 1;
            if let Some(node) = self.atom(b)? {
                let node = self.quantified(node)?;
                nodes.push(node);
            }
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.swap_remove(0),
            _ => Node::Concat(nodes),
        })
    }

    /// One byte of `\Q…\E`, or its end; a quantifier after the end counts for the last byte.
    fn quoted(&mut self, nodes: &mut Vec<Node>) -> Result<(), Why> {
        if self.eat(b"\\E") {
            self.quoting = false;
            if let Some(last) = nodes.pop() {
                let node = self.quantified(last)?;
                nodes.push(node);
            }
            return Ok(());
        }
        if let Some(b) = self.next() {
            nodes.push(self.literal(b));
        }
        Ok(())
    }

    /// `None` for what is no item: a change of flags, the start of a quotation.
    fn atom(&mut self, b: u8) -> Result<Option<Node>, Why> {
        Ok(Some(match b {
            b'\\' => return self.escape(),
            b'[' => Node::Set(self.class()?),
            b'(' => return self.group(),
            b'.' if self.flags.dot_all => Node::Set(ByteSet::of(|_| true)),
            b'.' => Node::Set(ByteSet::of(|b| b != b'\n')),
            b'^' if self.flags.multiline => Node::Assert(Assertion::LineStart),
            b'^' => Node::Assert(Assertion::Start),
            b'$' if self.flags.multiline => Node::Assert(Assertion::LineEnd),
            b'$' if self.dollar_end_only => Node::Assert(Assertion::End),
            b'$' => Node::Assert(Assertion::EndOrLastNewline),
            b'*' | b'+' | b'?' => return Err("quantifier without item"),
            b'{' => {
                self.literal_brace()?;
                self.literal(b'{')
            }
            other => self.literal(other),
        }))
    }

    fn literal(&self, b: u8) -> Node {
        if self.flags.caseless && b.is_ascii_alphabetic() { Node::Set(ByteSet::one(b).folded()) } else { Node::Byte(b) }
    }

    /// A brace that opens no quantifier is itself; one that only newer versions read as a quantifier is left alone.
    fn literal_brace(&self) -> Result<(), Why> {
        let rest = self.rest();
        let inside = rest.iter().position(|&b| b == b'}').and_then(|n| rest.get(..n));
        let doubtful =
            |s: &[u8]| !s.is_empty() && s.iter().all(|b| b.is_ascii_digit() || matches!(b, b',' | b' ' | b'\t'));
        if inside.is_some_and(doubtful) { Err("brace that reads differently by version") } else { Ok(()) }
    }

    fn quantified(&mut self, node: Node) -> Result<Node, Why> {
        let Some((min, max)) = self.quantifier()? else { return Ok(node) };
        if matches!(node, Node::Assert(_)) {
            return Err("repeated assertion");
        }
        let lazy = self.eat(b"?");
        if !lazy && self.peek() == Some(b'+') {
            return Err("possessive quantifier");
        }
        if max == Some(0) {
            return Err("repeated zero times");
        }
        if self.quantifier()?.is_some() {
            return Err("quantifier of a quantifier");
        }
        Ok(Node::Repeat { node: Box::new(node), min, max, greedy: lazy == self.flags.ungreedy })
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, Why> {
        let bounds = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => return self.braces(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(bounds))
    }

    /// `{n}`, `{n,}`, `{n,m}`; else nothing is consumed.
    fn braces(&mut self) -> Result<Option<(u32, Option<u32>)>, Why> {
        let start = self.at;
        self.at += 1;
        let min = self.number();
        let bounds = match (min, self.next()) {
            (Some(n), Some(b'}')) => Some((n, Some(n))),
            (Some(n), Some(b',')) => match (self.number(), self.next()) {
                (None, Some(b'}')) => Some((n, None)),
                (Some(m), Some(b'}')) if m >= n => Some((n, Some(m))),
                _ => None,
            },
            _ => None,
        };
        if bounds.is_none() {
            self.at = start;
        }
        Ok(bounds)
    }

    fn number(&mut self) -> Option<u32> {
        let digits = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        let text = self.rest().get(..digits)?;
        let n = std::str::from_utf8(text).ok()?.parse::<u32>().ok()?;
        self.at += digits;
        (n <= 65_535).then_some(n)
    }

    fn group(&mut self) -> Result<Option<Node>, Why> {
        if self.peek() == Some(b'*') {
            return Err("verb");
        }
        let outer = self.flags;
        let mut index = None;
        if self.eat(b"?") {
            if self.eat(b":") {
            } else if let Some(close) = self.name()? {
                self.skip_name(close)?;
                index = Some(self.next_capture());
            } else if self.switches()? {
                return Ok(None);
            }
        } else {
            index = Some(self.next_capture());
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("nested too deep");
        }
        let inner = self.alternation()?;
        self.depth -= 1;
        if self.quoting || !self.eat(b")") {
            return Err("unbalanced parenthesis");
        }
        self.flags = outer;
        Ok(Some(match index {
            Some(i) => Node::Capture(i, Box::new(inner)),
            // Kept apart from its neighbours: a quantifier behind it is for the whole.
            None => Node::Concat(vec![inner]),
        }))
    }

    fn next_capture(&mut self) -> u32 {
        self.captures += 1;
        self.captures
    }

    /// After `(?`: the closing byte of a group's name, if one opens here; look-around and the rest are errors.
    fn name(&mut self) -> Result<Option<u8>, Why> {
        match self.rest() {
            [b'=' | b'!', ..] | [b'<', b'=' | b'!', ..] => Err("look-around"),
            [b'<', ..] => {
                self.at += 1;
                Ok(Some(b'>'))
            }
            [b'P', b'<', ..] => {
                self.at += 2;
                Ok(Some(b'>'))
            }
            [b'\'', ..] => {
                self.at += 1;
                Ok(Some(b'\''))
            }
            [b'P', ..] => Err("back-reference or recursion"),
            [b'>', ..] => Err("atomic group"),
            [b'|', ..] => Err("branch reset"),
            [b'#', ..] => Err("comment"),
            _ => Ok(None),
        }
    }

    fn skip_name(&mut self, close: u8) -> Result<(), Why> {
        while let Some(b) = self.next() {
            if b == close {
                return Ok(());
            }
        }
        Err("unclosed name")
    }

    /// `i-s)` (true: to the end of the enclosing group) or `i-s:` (false: a group follows).
    fn switches(&mut self) -> Result<bool, Why> {
        let mut on = true;
        loop {
            match self.next() {
                Some(b'-') if on => on = false,
                Some(b'i') => self.flags.caseless = on,
                Some(b'm') => self.flags.multiline = on,
                Some(b's') => self.flags.dot_all = on,
                Some(b'U') => self.flags.ungreedy = on,
                Some(b')') => return Ok(true),
                Some(b':') => return Ok(false),
                _ => return Err("group of a kind automata do not have"),
            }
        }
    }

    fn escape(&mut self) -> Result<Option<Node>, Why> {
        let Some(b) = self.next() else { return Err("trailing backslash") };
        if let Some(set) = escape_type(b) {
            return Ok(Some(Node::Set(set)));
        }
        Ok(Some(match b {
            b'b' => Node::Assert(Assertion::WordBoundary),
            b'B' => Node::Assert(Assertion::NotWordBoundary),
            // The search begins at the haystack's start, so `\G` is there too.
            b'A' | b'G' => Node::Assert(Assertion::Start),
            b'Z' => Node::Assert(Assertion::EndOrLastNewline),
            b'z' => Node::Assert(Assertion::End),
            b'N' if self.peek() != Some(b'{') => Node::Set(ByteSet::of(|b| b != b'\n')),
            b'1'..=b'9' => return Err("back-reference"),
            b'Q' => {
                if self.rest().starts_with(b"\\E") {
                    return Err("empty quotation");
                }
                self.quoting = true;
                return Ok(None);
            }
            _ => {
                let value = self.escaped_byte(b)?;
                self.literal(value)
            }
        }))
    }

    /// The escapes for one byte that hold inside and outside classes.
    fn escaped_byte(&mut self, b: u8) -> Result<u8, Why> {
        Ok(match b {
            b't' => 9,
            b'n' => 10,
            b'r' => 13,
            b'f' => 12,
            b'e' => 27,
            b'a' => 7,
            b'0' => self.octal(0, 2)?,
            b'x' => self.hexadecimal()?,
            b'c' => match self.next() {
                Some(c @ 0x21..=0x7e) => c.to_ascii_uppercase() ^ 0x40,
                _ => return Err("control escape"),
            },
            b if b.is_ascii_alphanumeric() => return Err("escape automata do not have"),
            b => b,
        })
    }

    /// Up to `more` further octal digits.
    fn octal(&mut self, first: u32, more: usize) -> Result<u8, Why> {
        let mut value = first;
        for _ in 0..more {
            let Some(d @ b'0'..=b'7') = self.peek() else { break };
            value = value * 8 + u32::from(d - b'0');
            self.at += 1;
        }
        u8::try_from(value).map_err(|_| "octal escape above 255")
    }

    fn hexadecimal(&mut self) -> Result<u8, Why> {
        let braces = self.eat(b"{");
        let max = if braces { 8 } else { 2 };
        let digits = self.rest().iter().take(max).take_while(|b| b.is_ascii_hexdigit()).count();
        let text = self.rest().get(..digits).and_then(|t| std::str::from_utf8(t).ok()).unwrap_or("");
        let value = u32::from_str_radix(text, 16).ok().and_then(|v| u8::try_from(v).ok());
        self.at += digits;
        if braces && !self.eat(b"}") {
            return Err("hexadecimal escape");
        }
        value.ok_or("hexadecimal escape")
    }

    /// After `[`.
    fn class(&mut self) -> Result<ByteSet, Why> {
        let negated = self.eat(b"^");
        let mut set = ByteSet::default();
        let mut first = true;
        loop {
            let b = self.next().ok_or("unclosed class")?;
            if b == b']' && !first {
                break;
            }
            first = false;
            match self.class_item(b)? {
                Item::Set(s) => {
                    if self.peek() == Some(b'-') && !self.rest().starts_with(b"-]") {
                        return Err("hyphen after a class of characters");
                    }
                    set.extend(&s);
                }
                Item::Byte(lo) => {
                    let hi = if self.peek() == Some(b'-') && !self.rest().starts_with(b"-]") {
                        self.at += 1;
                        let b = self.next().ok_or("unclosed class")?;
                        match self.class_item(b)? {
                            Item::Byte(hi) if hi >= lo => hi,
                            _ => return Err("odd range in a class"),
                        }
                    } else {
                        lo
                    };
                    (lo..=hi).for_each(|b| set.insert(b));
                }
            }
        }
        let set = if self.flags.caseless { set.folded() } else { set };
        Ok(if negated { set.negated() } else { set })
    }

    fn class_item(&mut self, b: u8) -> Result<Item, Why> {
        match b {
            b'[' if matches!(self.peek(), Some(b':' | b'.' | b'=')) => self.posix_class(),
            b'\\' => {
                let e = self.next().ok_or("unclosed class")?;
                if let Some(set) = escape_type(e) {
                    return Ok(Item::Set(set));
                }
                Ok(Item::Byte(match e {
                    b'b' => 8,
                    b'1'..=b'7' => self.octal(u32::from(e - b'0'), 2)?,
                    _ => self.escaped_byte(e)?,
                }))
            }
            b => Ok(Item::Byte(b)),
        }
    }

    /// After `[` of `[:name:]`.
    fn posix_class(&mut self) -> Result<Item, Why> {
        let (_, rest) = self.rest().split_at_checked(1).ok_or("unclosed class")?;
        let negated = rest.first() == Some(&b'^');
        let name = rest.get(usize::from(negated)..).unwrap_or(&[]);
        let length = name.iter().take_while(|b| b.is_ascii_lowercase()).count();
        let (name, after) = name.split_at(length);
        let set = posix(name, self.flags.caseless).filter(|_| after.starts_with(b":]") && self.peek() == Some(b':'));
        let set = set.ok_or("bracket in a class")?;
        self.at += 1 + usize::from(negated) + length + 2;
        Ok(Item::Set(if negated { set.negated() } else { set }))
    }
}

enum Item {
    Byte(u8),
    Set(ByteSet),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(pattern: &str) -> RegexSpec {
        RegexSpec { pattern: pattern.as_bytes().to_vec(), ..RegexSpec::default() }
    }

    #[test]
    fn what_is_left_to_pcre2() {
        let left = [
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<!a)",
            "(a)\\1",
            "(?P<x>a)(?P=x)",
            "a++",
            "(?>a)",
            "\\Ra",
            "a\\Kb",
            "\\X",
            "\\p{L}",
            "(*UTF)a",
            "(?|a|b)",
            "a{,3}",
            "a{0}",
            "[\\w-z]",
            "[[.a.]]",
            "\\x{100}",
            "(?#c)a",
            "(?x)a",
            "^*",
            "\\g1",
            "(?(1)a)",
            "\\C",
        ];
        for p in left {
            assert!(parse(&spec(p)).is_err(), "{p}");
        }
    }

    #[test]
    fn what_is_read() {
        let read = [
            "",
            "a|b|",
            "[]a]",
            "[^]]",
            "\\<a\\>",
            "[a&&b]",
            "[+--]",
            "[[a]",
            "[[:alpha:]_]",
            "\\x41\\x{4}",
            "\\0\\012",
            "a{x",
            "\\Qa.b\\E+",
            "(?i)a(?-i:b)",
            "(?P<n>a)",
            "(?'n'a)",
            "\\h\\v\\N",
            "[\\1\\b]",
            "a??",
            "[-a]",
            "[a-]",
            "\\cA",
        ];
        for p in read {
            assert!(parse(&spec(p)).is_ok(), "{p}: {:?}", parse(&spec(p)).err());
        }
    }

    #[test]
    fn a_flag_holds_for_later_branches_of_its_group_only() {
        let ignoring = parse(&spec("(?:a(?i)b|c)d")).unwrap().root;
        let Node::Concat(parts) = ignoring else { panic!() };
        assert_eq!(parts[1], Node::Byte(b'd'));
        let Node::Concat(group) = &parts[0] else { panic!() };
        let Node::Alternation(branches) = &group[0] else { panic!() };
        assert_eq!(branches[1], Node::Set(ByteSet::one(b'c').folded()));
    }
}
