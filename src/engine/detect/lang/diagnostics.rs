//! What is wrong with a rule, as data: a stable code, a place, a sentence, a way out.
//!
//! Diagnostics are for people and for tools alike: [`Diagnostic::render`] draws one as a compiler would, the fields make
//! its JSON. A code keeps its number and meaning for ever; new ones go to the end of their hundred. An error refuses
//! the rule it speaks of and no other; warnings and notes never do.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Note,
    Warning,
    /// The rule was refused.
    Error,
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($id:ident $code:literal $severity:ident $doc:literal;)*) => {
        /// What kind of trouble.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $doc] $id,)* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$id,)*];

            /// The stable name, such as `R0201`.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$id => $code,)* }
            }

            pub const fn severity(self) -> Severity {
                match self { $(Code::$id => Severity::$severity,)* }
            }

            pub const fn doc(self) -> &'static str {
                match self { $(Code::$id => $doc,)* }
            }
        }
    };
}

codes! {
    Syntax "R0001" Error "a line that is no rule";
    Parentheses "R0002" Error "options not enclosed in parentheses";
    Unterminated "R0003" Error "an option without its closing semicolon";
    TooLong "R0004" Error "a rule longer than the bound";
    ControlCharacter "R0005" Error "a control character in a rule";
    Encoding "R0006" Error "a rule that is not UTF-8";
    Action "R0101" Error "an unknown action";
    Protocol "R0102" Error "an unknown protocol";
    Arrow "R0103" Error "a direction other than -> or <>";
    Address "R0110" Error "a malformed address";
    AddressEmpty "R0111" Error "addresses that exclude every address";
    Variable "R0112" Error "a variable that is not defined";
    VariableCycle "R0113" Error "a variable defined by itself";
    Port "R0120" Error "a malformed port";
    PortEmpty "R0121" Error "ports that exclude every port";
    Keyword "R0201" Error "an unknown keyword";
    ArgumentMissing "R0202" Error "a keyword without its argument";
    ArgumentExtra "R0203" Error "an argument to a keyword that takes none";
    Quotes "R0204" Error "quotes missing or out of place";
    Argument "R0205" Error "an argument the keyword does not understand";
    NeedsContent "R0206" Error "a modifier with no content before it";
    Conflict "R0207" Error "keywords that exclude each other";
    Repeated "R0208" Error "a keyword that may stand once only";
    NeedsBuffer "R0209" Error "a keyword that needs a sticky buffer before it";
    EmptyBuffer "R0210" Error "a buffer selected and then not inspected";
    Modifier "R0211" Error "an old content modifier where it cannot apply";
    ByteVariable "R0212" Error "a byte variable used before it is set";
    Unsupported "R0213" Error "something of the language that is not available";
    Off "R0214" Error "a protocol or keyword that the configuration switched off";
    SidMissing "R0301" Error "a rule without sid";
    SidRepeated "R0302" Warning "the same sid twice; the higher revision stays";
    Impossible "R0303" Error "a rule that can never match";
    Directions "R0304" Error "keywords of both directions in one rule";
    Protocols "R0305" Error "keywords of two protocols in one rule";
    PacketAndStream "R0306" Error "packet keywords together with stream or transaction keywords";
    Requires "R0307" Note "a rule whose requirements are not met";
    NoFastPattern "R0401" Warning "a rule that every packet of its group pays for";
    ShortFastPattern "R0402" Warning "a fast pattern too short to be selective";
    Unparsed "R0403" Note "a protocol without a parser";
    UnknownClass "R0404" Warning "a classtype that no classification defines";
    UnknownReference "R0405" Warning "a reference kind that is not configured";
    Ineffective "R0406" Warning "a keyword without effect here";
    FlowbitUnset "R0407" Warning "a flowbit that is tested and never set";
    ClassificationLine "R0501" Warning "a malformed line of a classification file";
    ReferenceLine "R0502" Warning "a malformed line of a reference file";
    ThresholdLine "R0503" Error "a line of a threshold file that says nothing";
    ThresholdRule "R0504" Warning "a line of a threshold file about no rule, or one that has a threshold of its own";
    DatasetFile "R0505" Error "a dataset or its file that cannot be used";
    ReputationLine "R0506" Error "a malformed line of a reputation file";
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    pub file: Arc<str>,
    /// Physical line, from 1; 0 where the finding belongs to no line.
    pub line: u32,
    /// Bytes of the physical line.
    pub span: Range<usize>,
    pub message: String,
    pub help: Option<String>,
    /// The physical line itself, for showing.
    pub source: String,
    pub sid: Option<u32>,
}

/// Characters of a source line shown at most.
const WINDOW: usize = 100;

impl Diagnostic {
    /// From 1, in bytes.
    pub fn column(&self) -> usize {
        self.span.start + 1
    }

    /// As rustc would show it; ends with a newline.
    pub fn render(&self, colour: bool) -> String {
        let paint =
            |text: &str, code: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
        let tone = match self.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;36",
        };
        let mut out = String::new();
        let title = paint(&format!("{}[{}]", self.severity.name(), self.code.name()), tone);
        let _ = writeln!(out, "{title}: {}", printable(&self.message));
        if self.line > 0 {
            let margin = " ".repeat(self.line.to_string().len());
            let bar = paint("|", "1;34");
            let _ = writeln!(
                out,
                "{margin}{} {}:{}:{}",
                paint("-->", "1;34"),
                printable(&self.file),
                self.line,
                self.column()
            );
            let (shown, at, width) = window(&self.source, &self.span);
            let _ = writeln!(out, "{margin} {bar}");
            let _ = writeln!(out, "{} {bar} {shown}", paint(&self.line.to_string(), "1;34"));
            let _ = writeln!(out, "{margin} {bar} {}{}", " ".repeat(at), paint(&"^".repeat(width), tone));
            if let Some(help) = &self.help {
                let _ = writeln!(out, "{margin} {} help: {}", paint("=", "1;34"), printable(help));
            }
        } else if let Some(help) = &self.help {
            let _ = writeln!(out, "  {} help: {}", paint("=", "1;34"), printable(help));
        }
        out
    }
}

/// Control characters made visible, so that a rule file cannot steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

/// The part of a long line around `span`, where the carets begin in it, and how many there are.
fn window(source: &str, span: &Range<usize>) -> (String, usize, usize) {
    let chars: Vec<char> = printable(source).chars().collect();
    let to_char = |byte: usize| source.char_indices().take_while(|(i, _)| *i < byte).count();
    let start = to_char(span.start).min(chars.len());
    let end = to_char(span.end).clamp(start, chars.len());
    let mut from = 0;
    if chars.len() > WINDOW && start > WINDOW / 3 {
        from = start - WINDOW / 3;
    }
    let to = (from + WINDOW).min(chars.len());
    let mut shown = String::new();
    let mut at = start - from;
    if from > 0 {
        shown.push('…');
        at += 1;
    }
    shown.extend(chars.iter().take(to).skip(from));
    if to < chars.len() {
        shown.push('…');
    }
    let width = end.min(to).saturating_sub(start).max(1);
    (shown.trim_end().to_owned(), at, width)
}

/// A finding not yet tied to a file and line: what keyword parsers return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: Code,
    pub message: String,
    pub help: Option<String>,
    /// Bytes of the rule text; the whole option where `None`.
    pub span: Option<Range<usize>>,
}

impl Fault {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Fault { code, message: message.into(), help: None, span: None }
    }

    /// An argument that is not understood.
    pub fn argument(message: impl Into<String>) -> Self {
        Fault::new(Code::Argument, message)
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span.get_or_insert(span);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_documented() {
        for (i, c) in Code::ALL.iter().enumerate() {
            assert!(!c.doc().is_empty());
            assert!(!Code::ALL[..i].iter().any(|o| o.name() == c.name()), "{}", c.name());
        }
    }

    #[test]
    fn long_lines_are_shown_around_their_fault() {
        let source = format!("{}BAD{}", "x".repeat(500), "y".repeat(500));
        let (shown, at, width) = window(&source, &(500..503));
        assert_eq!(width, 3);
        let caret: String = shown.chars().skip(at).take(3).collect();
        assert_eq!(caret, "BAD");
        assert!(shown.chars().count() <= WINDOW + 2);
    }

    #[test]
    fn terminals_are_not_steered() {
        let d = Diagnostic {
            code: Code::Syntax,
            severity: Severity::Error,
            file: "a\x1b[2J".into(),
            line: 1,
            span: 0..1,
            message: "m\x07".into(),
            help: None,
            source: "\x1b[31mx".into(),
            sid: None,
        };
        assert!(!d.render(false).contains('\x1b'));
    }
}
