use super::*;
use crate::detect::lang::testing::{context, load};

/// Rows without an example of what loads: a file of the operator's must be there, or the rule has one already.
const WITHOUT_EXAMPLE: &[&str] = &["datarep", "iprep", "filemd5", "filesha1", "filesha256", "sid"];

/// What is wrong with the rows of a table.
fn faults(table: &[&Keyword]) -> Vec<String> {
    let cx = context();
    let mut seen = std::collections::HashSet::new();
    let mut faults = Vec::new();
    for k in table {
        let mut fault = |what: &str| faults.push(format!("{}: {what}", k.name));
        for name in std::iter::once(&k.name).chain(k.aliases) {
            if !seen.insert(*name) {
                fault("a name that is taken");
            }
        }
        if k.doc.is_empty() || k.doc.ends_with('.') {
            fault("no sentence of documentation, or one that ends in a dot");
        }
        if k.syntax.is_empty() != (k.argument == Argument::None) {
            fault("a syntax that does not fit its argument");
        }
        let rule = |options: &str| format!("alert tcp any any -> any any ({options} sid:1;)");
        let without = WITHOUT_EXAMPLE.contains(&k.name) || k.syntax == "<not available>";
        if k.example_ok.is_empty() != without {
            fault("no example of what loads, or one that nobody expects");
        } else if !k.example_ok.is_empty() && load(&cx, &rule(k.example_ok)).signatures.len() != 1 {
            fault("its example does not load");
        } else if !k.example_ok.is_empty() && !names_it(k, k.example_ok) {
            fault("its example does without it");
        }
        let bad =
            if k.name == "sid" { "alert tcp any any -> any any (sid:0;)".to_owned() } else { rule(k.example_bad) };
        if !names_it(k, &bad) {
            fault("no example of what is refused");
        } else if !load(&cx, &bad).signatures.is_empty() {
            fault("what is to be refused loads");
        }
    }
    faults
}

/// Whether the options have the keyword among them.
fn names_it(k: &Keyword, options: &str) -> bool {
    let words = || options.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    std::iter::once(&k.name).chain(k.aliases).any(|name| words().any(|w| w == *name))
}

#[test]
fn rows_are_unique_documented_and_their_examples_true() {
    assert_eq!(faults(TABLE), Vec::<String>::new());
}

#[test]
fn a_row_that_lacks_something_is_refused() {
    let whole = || ip::TTL;
    let refused = |what: &str, row: Keyword| assert!(!faults(&[&row]).is_empty(), "{what}");
    assert!(faults(&[&whole()]).is_empty());
    assert!(!faults(&[&whole(), &whole()]).is_empty(), "twice");
    refused("no doc", Keyword { doc: "", ..whole() });
    refused("a dot", Keyword { doc: "the time to live.", ..whole() });
    refused("no syntax", Keyword { syntax: "", ..whole() });
    refused("a syntax without argument", Keyword { argument: Argument::None, ..whole() });
    refused("no example", Keyword { example_ok: "", ..whole() });
    refused("an example that does not load", Keyword { example_ok: whole().example_bad, ..whole() });
    refused("an example without it", Keyword { example_ok: "content:\"x\";", ..whole() });
    refused("nothing refused", Keyword { example_bad: "", ..whole() });
    refused("a refusal that loads", Keyword { example_bad: whole().example_ok, ..whole() });
    refused("a name that no parser knows", Keyword { name: "ttl_odd", ..whole() });
}
