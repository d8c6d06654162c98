//! Keywords that test a transaction by number: `urilen`.

use super::tx::HttpTx;
use crate::applayer::{Direct, Transaction, TxKeyword, TxTest};
use crate::detect::signature::IntMatch;
use crate::proto::integer::int_test;
use crate::types::Direction;

pub const KEYWORDS: &[TxKeyword] = &[TxKeyword {
    name: "urilen",
    direct: Direct::ToServer,
    progress: super::tables::LINE,
    parse: |text| UriLen::parse(text).map(|t| Box::new(t) as Box<dyn TxTest>),
    quoted: false,
    doc: "Length of the request target: normalised, or as sent with `raw`.",
    syntax: "[<|>]<length> | <min><><max> [,norm|raw]",
    example_ok: "5<>20,raw",
    example_bad: "5<>x",
}];

#[derive(Debug, PartialEq, Eq)]
struct UriLen {
    len: IntMatch,
    raw: bool,
}

impl UriLen {
    fn parse(text: &str) -> Result<UriLen, String> {
        let (range, kind) = text.split_once(',').unwrap_or((text, ""));
        let raw = match kind.trim() {
            "" | "norm" => false,
            "raw" => true,
            other => return Err(format!("`{other}` is neither `norm` nor `raw`")),
        };
        let len = int_test(range, u64::from(u16::MAX), &[])?;
        Ok(UriLen { len, raw })
    }
}

impl TxTest for UriLen {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        if dir != Direction::ToServer {
            return Some(false);
        }
        let tx = tx.as_any().downcast_ref::<HttpTx>()?;
        if tx.request.m.progress < super::tables::LINE {
            return None;
        }
        let uri = if self.raw { tx.uri_raw() } else { tx.uri() };
        Some(uri.is_some_and(|u| self.len.matches(u.len() as u64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urilen_forms() {
        for (text, len, raw) in [
            ("5", IntMatch::Eq(5), false),
            ("<5", IntMatch::Lt(5), false),
            (">5,norm", IntMatch::Gt(5), false),
            (" 5 <> 10 , raw", IntMatch::Between(5, 10), true),
            ("!7", IntMatch::Ne(7), false),
        ] {
            assert_eq!(UriLen::parse(text), Ok(UriLen { len, raw }), "{text}");
        }
        for bad in ["", "x", "5<>x", "10<>5", "5,cooked", "-1"] {
            assert!(UriLen::parse(bad).is_err(), "{bad}");
        }
        assert!((KEYWORDS[0].parse)(KEYWORDS[0].example_ok).is_ok());
        assert!((KEYWORDS[0].parse)(KEYWORDS[0].example_bad).is_err());
    }
}
