//! Rule files to logical lines, logical lines to words and options, all as ranges of their text.
//!
//! A logical line is one physical line, or several joined by a backslash at their end; where each physical line begins
//! is kept, so a fault is shown where a person sees it. Nothing is copied but joined lines, and no byte is interpreted
//! beyond what delimits: quotes, brackets, escapes, semicolons.

use super::diagnostics::{Code, Fault};
use std::borrow::Cow;
use std::ops::Range;

/// Bytes of one rule at most; the longest rules of address lists have some 20,000.
pub const RULE_BYTES_MAX: usize = 256 << 10;

/// One logical line.
#[derive(Debug)]
pub struct Line<'a> {
    pub text: Cow<'a, [u8]>,
    /// Offset in `text` at which each physical line begins, with its number; at least one.
    starts: Vec<(usize, u32)>,
    /// A rule commented out.
    pub disabled: bool,
}

impl Line<'_> {
    /// Number of the first physical line.
    pub fn number(&self) -> u32 {
        self.starts.first().map_or(0, |s| s.1)
    }

    /// The physical line that holds `span`: number, its range of `text`.
    pub fn locate(&self, span: &Range<usize>) -> (u32, Range<usize>) {
        let i = self.starts.partition_point(|s| s.0 <= span.start).saturating_sub(1);
        let (from, number) = self.starts.get(i).copied().unwrap_or((0, 0));
        let to = self.starts.get(i + 1).map_or(self.text.len(), |s| s.0);
        (number, from..to)
    }
}

/// Actions a rule can begin with, to tell a rule commented out from prose.
pub const ACTIONS: [&str; 8] = ["alert", "pass", "drop", "reject", "rejectsrc", "rejectdst", "rejectboth", "config"];

/// The lines of a file that hold rules; those commented out only with `disabled`.
pub fn lines(text: &[u8], disabled: bool) -> impl Iterator<Item = Line<'_>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut rest = Some(text);
    let mut number = 0u32;
    std::iter::from_fn(move || {
        loop {
            let line = logical_line(&mut rest, &mut number)?;
            if let Some(line) = rule_line(line, disabled) {
                return Some(line);
            }
        }
    })
}

fn physical_line<'a>(rest: &mut Option<&'a [u8]>, number: &mut u32) -> Option<&'a [u8]> {
    let all = (*rest)?;
    *number = number.saturating_add(1);
    let line = match all.iter().position(|b| *b == b'\n').and_then(|i| all.split_at_checked(i)) {
        Some((line, tail)) => {
            *rest = tail.get(1..);
            line
        }
        None => {
            *rest = None;
            all
        }
    };
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn logical_line<'a>(rest: &mut Option<&'a [u8]>, number: &mut u32) -> Option<Line<'a>> {
    let first = physical_line(rest, number)?;
    let mut starts = vec![(0, *number)];
    let Some(head) = first.strip_suffix(b"\\") else {
        return Some(Line { text: Cow::Borrowed(first), starts, disabled: false });
    };
    let mut joined = head.to_vec();
    while let Some(next) = physical_line(rest, number) {
        starts.push((joined.len(), *number));
        match next.strip_suffix(b"\\") {
            Some(part) => joined.extend_from_slice(part),
            None => {
                joined.extend_from_slice(next);
                break;
            }
        }
    }
    Some(Line { text: Cow::Owned(joined), starts, disabled: false })
}

/// Blank lines and comments away; a rule behind `#` with `disabled`.
fn rule_line(mut line: Line<'_>, disabled: bool) -> Option<Line<'_>> {
    let text = line.text.as_ref();
    let at = text.iter().position(|b| !b.is_ascii_whitespace())?;
    if text.get(at) != Some(&b'#') {
        return Some(line);
    }
    if !disabled {
        return None;
    }
    let begin = text.iter().position(|b| !b.is_ascii_whitespace() && *b != b'#')?;
    let body = text.get(begin..)?;
    let word = body.split(|b| b.is_ascii_whitespace()).next()?;
    let is_action = ACTIONS.iter().any(|a| a.as_bytes() == word);
    if !is_action || !body.contains(&b'(') || !body.trim_ascii_end().ends_with(b")") {
        return None;
    }
    // The comment mark becomes blanks, so that columns stay those of the file.
    let owned = line.text.to_mut();
    for b in owned.iter_mut().take(begin) {
        *b = b' ';
    }
    line.disabled = true;
    Some(line)
}

/// A rule taken apart: every part a range of the rule's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSyntax {
    pub action: Range<usize>,
    pub proto: Range<usize>,
    pub src: Range<usize>,
    pub sport: Range<usize>,
    pub arrow: Range<usize>,
    pub dst: Range<usize>,
    pub dport: Range<usize>,
    pub options: Vec<OptionSyntax>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionSyntax {
    pub name: Range<usize>,
    /// After the colon, without blanks around it; `None` without a colon or with nothing after it.
    pub value: Option<Range<usize>>,
}

/// Takes one rule apart.
pub fn split(text: &[u8]) -> Result<RuleSyntax, Fault> {
    if text.len() > RULE_BYTES_MAX {
        return Err(Fault::new(
            Code::TooLong,
            format!("the rule has {} bytes, more than {RULE_BYTES_MAX}", text.len()),
        )
        .at(0..1));
    }
    if let Some(at) = text.iter().position(|b| *b < 0x20 && *b != b'\t') {
        return Err(Fault::new(Code::ControlCharacter, "the rule holds a control character")
            .at(at..at + 1)
            .help("write the byte in hexadecimal between bars, such as |0d|"));
    }
    if let Err(e) = std::str::from_utf8(text) {
        return Err(Fault::new(Code::Encoding, "the rule is not UTF-8")
            .at(e.valid_up_to()..e.valid_up_to() + 1)
            .help("write bytes above 0x7f in hexadecimal between bars, such as |e9|"));
    }
    let mut at = 0;
    let mut word = |what: &str| -> Result<Range<usize>, Fault> {
        let w = header_word(text, at);
        if w.is_empty() {
            let end = w.end.min(text.len());
            return Err(Fault::new(Code::Syntax, format!("the rule ends before its {what}"))
                .at(end.saturating_sub(1)..end.max(1))
                .help("a rule is `action protocol source port -> destination port (options)`"));
        }
        at = w.end;
        Ok(w)
    };
    let action = word("action")?;
    let proto = word("protocol")?;
    let src = word("source address")?;
    let sport = word("source port")?;
    let arrow = word("direction")?;
    let dst = word("destination address")?;
    let dport = word("destination port")?;
    let options = options(text, at)?;
    Ok(RuleSyntax { action, proto, src, sport, arrow, dst, dport, options })
}

/// The next word of a header: up to a blank or `(`, blanks within brackets kept.
fn header_word(text: &[u8], from: usize) -> Range<usize> {
    let tail = text.get(from..).unwrap_or(&[]);
    let start = from + tail.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(tail.len());
    let mut depth = 0i32;
    for (i, b) in text.iter().enumerate().skip(start) {
        match b {
            b'[' => depth += 1,
            b']' => depth -= 1,
            b'(' => return start..i,
            b if b.is_ascii_whitespace() && depth <= 0 => return start..i,
            _ => {}
        }
    }
    start..text.len()
}

fn options(text: &[u8], from: usize) -> Result<Vec<OptionSyntax>, Fault> {
    let tail = text.get(from..).unwrap_or(&[]);
    let start = from + tail.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(tail.len());
    if text.get(start) != Some(&b'(') {
        return Err(Fault::new(Code::Parentheses, "options in parentheses are expected after the header")
            .at(start.min(text.len().saturating_sub(1))..start.max(1))
            .help("a rule is `action protocol source port -> destination port (options)`"));
    }
    let end = text.trim_ascii_end().len();
    if end <= start + 1 || text.get(end - 1) != Some(&b')') {
        return Err(
            Fault::new(Code::Parentheses, "the options are not closed by a parenthesis").at(end.saturating_sub(1)..end)
        );
    }
    let end = end - 1;
    let mut list = Vec::with_capacity(16);
    let mut at = start + 1;
    let word = |at: usize| text.get(at..end)?.iter().position(|b| !b.is_ascii_whitespace());
    while let Some(skip) = word(at) {
        at += skip;
        let stop = option_end(text, at, end)?;
        if stop > at {
            list.push(option(text, at..stop));
        }
        at = stop + 1;
    }
    Ok(list)
}

/// Where the semicolon of the option that begins at `at` stands. An escaped one does not end it.
fn option_end(text: &[u8], at: usize, end: usize) -> Result<usize, Fault> {
    let mut from = at;
    while let Some(i) = text.get(from..end).and_then(|t| t.iter().position(|b| *b == b';')) {
        let here = from + i;
        if here > at && text.get(here - 1) == Some(&b'\\') {
            from = here + 1;
        } else {
            return Ok(here);
        }
    }
    Err(Fault::new(Code::Unterminated, "the option does not end with a semicolon")
        .at(at..end)
        .help("each option ends with `;`, the last one too; a semicolon within a string is written `\\;` or |3b|"))
}

fn option(text: &[u8], range: Range<usize>) -> OptionSyntax {
    let body = text.get(range.clone()).unwrap_or(&[]);
    let colon = body.iter().position(|b| *b == b':');
    let name_end = range.start + colon.unwrap_or(body.len());
    let name = trim(text, range.start..name_end);
    let value = colon.map(|c| trim(text, range.start + c + 1..range.end)).filter(|v| !v.is_empty());
    OptionSyntax { name, value }
}

/// `range` without the blanks at its ends.
fn trim(text: &[u8], range: Range<usize>) -> Range<usize> {
    let Some(body) = text.get(range.clone()) else { return range };
    let left = body.len() - body.trim_ascii_start().len();
    if left == body.len() {
        return range.end..range.end;
    }
    range.start + left..range.end - (body.len() - body.trim_ascii_end().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show<'a>(text: &'a str, r: &Range<usize>) -> &'a str {
        &text[r.clone()]
    }

    #[test]
    fn a_rule_is_taken_apart() {
        let text =
            r#"alert tcp [1.2.3.4, !5.6.7.8] any -> $HOME_NET [80,443] (msg:"a\; b"; content : "x" ;nocase; sid:1;)"#;
        let rule = split(text.as_bytes()).unwrap();
        assert_eq!(show(text, &rule.src), "[1.2.3.4, !5.6.7.8]");
        assert_eq!(show(text, &rule.dport), "[80,443]");
        let options: Vec<_> =
            rule.options.iter().map(|o| (show(text, &o.name), o.value.as_ref().map(|v| show(text, v)))).collect();
        assert_eq!(
            options,
            [("msg", Some(r#""a\; b""#)), ("content", Some(r#""x""#)), ("nocase", None), ("sid", Some("1"))]
        );
    }

    #[test]
    fn lines_join_and_comments_go() {
        let text =
            b"\xef\xbb\xbf# words (not a rule)\r\n\r\nalert a \\\r\n  b\r\n#alert tcp any any -> any any (sid:1;)\nx";
        let all: Vec<_> = lines(text, false).map(|l| (l.number(), l.text.into_owned())).collect();
        assert_eq!(all, [(3, b"alert a   b".to_vec()), (6, b"x".to_vec())]);
        let all: Vec<_> = lines(text, true).map(|l| (l.number(), l.disabled)).collect();
        assert_eq!(all, [(3, false), (5, true), (6, false)]);
    }

    #[test]
    fn a_place_is_shown_in_its_physical_line() {
        let line = lines(b"one \\\ntwo \\\nthree", false).next().unwrap();
        assert_eq!(line.locate(&(0..1)), (1, 0..4));
        assert_eq!(line.locate(&(5..6)), (2, 4..8));
        assert_eq!(line.locate(&(9..12)), (3, 8..13));
    }

    #[test]
    fn faults_of_form() {
        for (text, code) in [
            ("alert tcp any any -> any any", Code::Parentheses),
            ("alert tcp any any", Code::Syntax),
            ("alert tcp any any -> any any (sid:1;", Code::Parentheses),
            ("alert tcp any any -> any any (sid:1)", Code::Unterminated),
            ("alert tcp any any -> any any (msg:\"\u{1}\"; sid:1;)", Code::ControlCharacter),
            ("alert tcp any any -> any any (msg:\"a\\;)", Code::Unterminated),
        ] {
            assert_eq!(split(text.as_bytes()).unwrap_err().code, code, "{text}");
        }
        assert_eq!(split(b"alert tcp any any -> any any (msg:\"\xff\"; sid:1;)").unwrap_err().code, Code::Encoding);
    }
}
