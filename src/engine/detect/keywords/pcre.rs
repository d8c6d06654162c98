//! `pcre`: a regular expression in the active buffer, or in the one a letter names.
//!
//! Written `"/expression/letters[, captures]"`. Whether the expression compiles is the matcher's to say.

use super::{Argument, Keyword, Kind, Value};
use crate::applayer::BufferKind;
use crate::detect::lang::{Builder, Code, Fault, Name, Shape};
use crate::detect::matching::RegexSpec;
use crate::detect::signature::{CaptureScope, Op, Pcre, PcreCapture};

/// Captures that fill variables, per rule.
const CAPTURES_MAX: usize = 8;

pub const PCRE: Keyword = Keyword {
    name: "pcre",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::MaybeQuoted,
    doc: "a regular expression that must, or with ! must not, match the active buffer",
    syntax: "[!]\"/<expression>/[letters][, <flow|pkt|alert>:<name>…]\"",
    example_ok: r#"pcre:"/^user=(?P<flow_name>[a-z]+)/i";"#,
    example_bad: r#"pcre:"/a/q";"#,
    parse: pcre,
};

/// Letters that name a buffer, by the old modifier of the same meaning.
const BUFFER_LETTERS: [(char, &str); 12] = [
    ('U', "http_uri"),
    ('I', "http_raw_uri"),
    ('P', "http_client_body"),
    ('Q', "file_data"),
    ('H', "http_header"),
    ('D', "http_raw_header"),
    ('M', "http_method"),
    ('C', "http_cookie"),
    ('S', "http_stat_code"),
    ('Y', "http_stat_msg"),
    ('V', "http_user_agent"),
    ('W', "http_host"),
];
const RAW_HOST: (char, &str) = ('Z', "http_raw_host");

struct Parts<'t> {
    expression: &'t str,
    letters: &'t str,
    captures: &'t str,
}

fn pcre(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let parts = split(v.text).ok_or_else(|| {
        Fault::argument("the expression stands between slashes").help("pcre:\"/expression/i\"").at(v.span.clone())
    })?;
    let mut spec = RegexSpec { pattern: parts.expression.as_bytes().to_vec(), ..RegexSpec::default() };
    let mut relative = false;
    let mut raw = false;
    let mut buffer: Option<(char, &'static str)> = None;
    for c in parts.letters.chars() {
        match c {
            'i' => spec.caseless = true,
            'm' => spec.multiline = true,
            's' => spec.dot_all = true,
            'x' => spec.extended = true,
            'A' => spec.anchored = true,
            'E' => spec.dollar_end_only = true,
            'G' => spec.ungreedy = true,
            'R' => relative = true,
            'B' => raw = true,
            // Lifts the usual match limit elsewhere; the limit here is the matcher's.
            'O' => {}
            c => match BUFFER_LETTERS.iter().chain([&RAW_HOST]).find(|l| l.0 == c) {
                Some(l) if buffer.is_none() => buffer = Some(*l),
                Some(_) => {
                    return Err(Fault::new(Code::Conflict, "two letters name a buffer").at(v.span.clone()));
                }
                None => {
                    return Err(Fault::argument(format!("`{c}` is no letter of pcre"))
                        .help("i m s x A E G R B O, or one buffer of U I P Q H D M C S Y V W Z")
                        .at(v.span.clone()));
                }
            },
        }
    }
    if raw && buffer.is_some() {
        return Err(
            Fault::new(Code::Conflict, "`B` is for the payload, another letter names a buffer").at(v.span.clone())
        );
    }
    let captures = captures(parts.expression, parts.captures).map_err(|f| f.at(v.span.clone()))?;
    spec.captures = !captures.is_empty();
    let op = Op::Pcre(Pcre { regex: spec, negated: v.negated, relative, captures });
    place(b, v, buffer, relative, op)
}

fn place(
    b: &mut Builder<'_>,
    v: &Value<'_>,
    buffer: Option<(char, &'static str)>,
    relative: bool,
    op: Op,
) -> Result<(), Fault> {
    let Some((letter, word)) = buffer else {
        // In a sticky buffer the beginning serves for a last match.
        if relative && b.ops().is_empty() && b.sticky().is_none() {
            return Err(unanchored().at(v.span.clone()));
        }
        b.push(op);
        return Ok(());
    };
    let (id, def) = match b.cx.name(word) {
        Some(Name::Modifier(id, def) | Name::Sticky(id, def)) => (id, def),
        Some(Name::Unparsed(proto, Shape::Modifier | Shape::Sticky)) => {
            b.unparsed = Some(proto);
            b.push(op);
            return Ok(());
        }
        _ => return Err(Fault::new(Code::Unsupported, format!("no protocol here offers `{word}`"))),
    };
    if let Some((active, sticky)) = b.sticky() {
        // Response bodies and file data are one to old rules.
        let body = letter == 'Q' && sticky.kind == BufferKind::Streaming;
        if active == id || body {
            b.push(op);
            return Ok(());
        }
        return Err(Fault::new(
            Code::Conflict,
            format!("`{letter}` names `{}`, `{}` is active", def.name, sticky.name),
        )
        .help("leave the letter out behind a sticky buffer")
        .at(v.span.clone()));
    }
    let earlier = b.sig.buffers.iter().any(|m| m.buffer == id && !m.ops.is_empty());
    if relative && !earlier {
        return Err(unanchored().at(v.span.clone()));
    }
    b.push_to(id, def, op)
}

fn unanchored() -> Fault {
    Fault::new(Code::NeedsContent, "`R` needs a match before it in the same buffer")
}

/// The parts of `/expression/letters, captures`. The expression may hold slashes, and so may names of captures.
fn split(text: &str) -> Option<Parts<'_>> {
    let body = text.strip_prefix('/')?;
    let mut last = None;
    for (i, _) in body.match_indices('/') {
        let (expression, rest) = (body.get(..i)?, body.get(i + 1..)?);
        let word_end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (letters, tail) = rest.split_at_checked(word_end)?;
        let tail = tail.trim();
        let names = tail.strip_prefix(',').map(str::trim_start);
        if let Some(captures) = names.filter(|n| ["flow:", "pkt:", "alert:"].iter().any(|p| n.starts_with(p))) {
            return Some(Parts { expression, letters, captures });
        }
        if tail.is_empty() {
            last = Some(Parts { expression, letters, captures: "" });
        }
    }
    last
}

/// Groups that fill variables: named in the expression (`(?P<flow_x>…)`), or listed behind it in order.
fn captures(expression: &str, list: &str) -> Result<Vec<PcreCapture>, Fault> {
    let scope = |word: &str| match word {
        "flow" => Some(CaptureScope::Flow),
        "pkt" => Some(CaptureScope::Packet),
        "alert" => Some(CaptureScope::Alert),
        _ => None,
    };
    let groups = groups(expression);
    let mut out = Vec::new();
    for (i, name) in list.split([',', ' ']).filter(|n| !n.is_empty()).enumerate() {
        let parsed = name.split_once(':').and_then(|(s, n)| Some((scope(s)?, n)));
        let Some((scope, name)) = parsed else {
            return Err(
                Fault::argument(format!("`{name}` names no variable")).help("flow:<name>, pkt:<name> or alert:<name>")
            );
        };
        if i >= groups.len() {
            return Err(Fault::argument("more variables than groups to fill them"));
        }
        out.push(PcreCapture { group: u16::try_from(i + 1).unwrap_or(u16::MAX), scope, name: name.into() });
    }
    for (i, name) in groups.iter().enumerate() {
        let named = name.as_deref().and_then(|n| n.split_once('_')).and_then(|(s, n)| Some((scope(s)?, n)));
        if let Some((scope, name)) = named {
            out.push(PcreCapture { group: u16::try_from(i + 1).unwrap_or(u16::MAX), scope, name: name.into() });
        }
    }
    if out.len() > CAPTURES_MAX {
        return Err(Fault::argument(format!("more than {CAPTURES_MAX} captures fill variables")));
    }
    Ok(out)
}

/// The capturing groups of an expression in order, with their names.
pub fn groups(expression: &str) -> Vec<Option<String>> {
    let mut out = Vec::new();
    let mut rest = expression;
    let mut class = false;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or("");
        match c {
            '\\' => {
                let skip = rest.chars().next().map_or(0, char::len_utf8);
                rest = rest.get(skip..).unwrap_or("");
            }
            '[' if !class => {
                class = true;
                rest = rest.strip_prefix('^').unwrap_or(rest);
                rest = rest.strip_prefix(']').unwrap_or(rest);
            }
            ']' => class = false,
            '(' if !class => {
                let named = [("?P<", '>'), ("?<", '>'), ("?'", '\'')].into_iter().find_map(|(open, close)| {
                    let name = rest.strip_prefix(open)?.split(close).next()?;
                    (!name.starts_with(['=', '!'])).then(|| name.to_owned())
                });
                if named.is_some() || !rest.starts_with(['?', '*']) {
                    out.push(named);
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let p = split(r"/a\/b/c/iR").unwrap();
        assert_eq!((p.expression, p.letters, p.captures), (r"a\/b/c", "iR", ""));
        let p = split("/([a-z]+)\\/x/G, flow:ua/ubuntu/repo,pkt:b").unwrap();
        assert_eq!((p.letters, p.captures), ("G", "flow:ua/ubuntu/repo,pkt:b"));
        assert!(split("a/").is_none() && split("/a").is_none());
    }

    #[test]
    fn groups_are_counted_as_pcre_does() {
        assert_eq!(
            groups(r"(a)(?:b)(?P<flow_x>c)\((?=d)[(](?<n>e)(?<!f)"),
            [None, Some("flow_x".to_owned()), Some("n".to_owned())]
        );
        let c = captures("(?P<pkt_a>x)(y)", "").unwrap();
        assert_eq!(c, [PcreCapture { group: 1, scope: CaptureScope::Packet, name: "a".into() }]);
        assert!(captures("(a)", "flow:x,flow:y").is_err());
        assert!(captures("(a)", "host:x").is_err());
    }
}
