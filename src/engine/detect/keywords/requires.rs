//! `requires`: what a rule wants of the engine that reads it. A rule whose wish is not met is left out, not refused.

use super::{Argument, Keyword, Kind};
use crate::detect::lang::{Code, Fault};

/// The version of the rule language implemented here, as its guide counts.
pub const LANGUAGE: (u32, u32, u32) = (9, 0, 0);

pub const REQUIRES: Keyword = Keyword {
    name: "requires",
    aliases: &[],
    kind: Kind::Meta,
    argument: Argument::Plain,
    doc: "the rule is for engines of this version, with these features or keywords",
    syntax: "[version <op> <version>…][, feature <name>][, keyword <name>]",
    example_ok: "requires:version >= 7.0.3 < 10;",
    example_bad: "requires:version around 7;",
    // Read before all other options; see `requires`.
    parse: |_, _| Ok(()),
};

/// `Ok` where the wishes are met; `known` says whether a word is a keyword here.
pub fn requires(text: &str, known: impl Fn(&str) -> bool) -> Result<(), Fault> {
    for part in text.split(',').map(str::trim) {
        let (what, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        match what {
            "version" => version(rest)?,
            "feature" => return Err(unmet(format!("the feature `{}` is not there", rest.trim()))),
            "keyword" => {
                let name = rest.trim();
                if !known(name) {
                    return Err(unmet(format!("the keyword `{name}` is not there")));
                }
            }
            // Of a language newer than this one.
            _ => return Err(unmet(format!("`{what}` is not known here"))),
        }
    }
    Ok(())
}

fn unmet(message: String) -> Fault {
    Fault::new(Code::Requires, format!("left out: {message}"))
}

/// Comparisons joined by blanks hold together, groups joined by `|` each suffice.
fn version(text: &str) -> Result<(), Fault> {
    let shape = || Fault::argument("a comparison and a version are expected").help("version >= 7.0.3 < 8 | >= 8.0.1");
    let mut any = false;
    for group in text.split('|') {
        let mut words = group.split_whitespace();
        let mut all = true;
        let mut compared = false;
        while let Some(op) = words.next() {
            let wanted = words.next().and_then(parse).ok_or_else(shape)?;
            all &= match op {
                ">=" => LANGUAGE >= wanted,
                ">" => LANGUAGE > wanted,
                "<=" => LANGUAGE <= wanted,
                "<" => LANGUAGE < wanted,
                _ => return Err(shape()),
            };
            compared = true;
        }
        if !compared {
            return Err(shape());
        }
        any |= all;
    }
    if any { Ok(()) } else { Err(unmet(format!("it is for version {}", text.trim()))) }
}

fn parse(text: &str) -> Option<(u32, u32, u32)> {
    let text = text.split('-').next()?;
    let mut parts = text.split('.').map(|p| p.parse::<u32>().ok());
    let major = parts.next()??;
    let minor = parts.next().unwrap_or(Some(0))?;
    let patch = parts.next().unwrap_or(Some(0))?;
    parts.next().is_none().then_some((major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert!(requires("version >= 7.0.3", |k| k == "content").is_ok());
        assert!(requires("version >= 7.0.3 < 8 | >= 8.0.0", |k| k == "content").is_ok());
        assert_eq!(requires("version >= 99", |k| k == "content").unwrap_err().code, Code::Requires);
        assert_eq!(requires("version < 9", |k| k == "content").unwrap_err().code, Code::Requires);
        assert_eq!(requires("feature teleport", |k| k == "content").unwrap_err().code, Code::Requires);
        assert!(requires("keyword content", |k| k == "content").is_ok());
        assert_eq!(requires("version ~ 7", |k| k == "content").unwrap_err().code, Code::Argument);
        assert_eq!(requires("moon full", |k| k == "content").unwrap_err().code, Code::Requires);
    }
}
