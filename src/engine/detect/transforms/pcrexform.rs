//! `pcrexform`: the first capture of an expression.

use super::TransformKeyword;
use crate::detect::keywords::{Argument, groups};
use crate::detect::lang::Fault;
use crate::detect::matching::{MatcherError, MatcherFactory, Regex, RegexSpec, Scratch};
use crate::detect::signature::Transform;

pub const PCREXFORM: TransformKeyword = TransformKeyword {
    name: "pcrexform",
    aliases: &[],
    argument: Argument::Quoted,
    doc: "what the expression's one group captures; where it does not match, the buffer as it is",
    syntax: "\"<expression with one group>\"",
    example_ok: r#""[a-z]+\s+(.*)\s+HTTP""#,
    example_bad: "\"no group\"",
    parse: |v| {
        let groups = groups(v.text).len();
        if groups != 1 {
            return Err(Fault::argument(format!("the expression has {groups} groups, one is needed"))
                .help("write groups that shall not capture as (?:…)")
                .at(v.span.clone()));
        }
        Ok(Box::new(PcreXform { expression: v.text.to_owned(), regex: None }))
    },
};

struct PcreXform {
    expression: String,
    /// `None` until it is prepared.
    regex: Option<Box<dyn Regex>>,
}

impl std::fmt::Debug for PcreXform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pcrexform:{}", self.expression)
    }
}

impl Transform for PcreXform {
    fn identity(&self) -> String {
        format!("pcrexform:{}", self.expression)
    }

    fn apply(&self, data: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(data);
    }

    fn prepare(&mut self, matcher: &dyn MatcherFactory) -> Result<(), MatcherError> {
        self.regex = Some(matcher.regex(&RegexSpec {
            pattern: self.expression.as_bytes().to_vec(),
            captures: true,
            ..RegexSpec::default()
        })?);
        Ok(())
    }

    fn apply_with(&self, scratch: &mut Scratch, data: &[u8], out: &mut Vec<u8>) {
        let mut groups = Vec::new();
        let found = self.regex.as_ref().map(|r| r.find(scratch, data, &mut groups));
        let captured = match found {
            Some(Ok(Some(_))) => groups.get(1).cloned().flatten().and_then(|r| data.get(r)),
            _ => None,
        };
        self.apply(captured.unwrap_or(data), out);
    }
}
