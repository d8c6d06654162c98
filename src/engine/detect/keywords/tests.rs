use super::*;
use crate::detect::lang::testing::{context, load};

#[test]
fn rows_are_unique_documented_and_their_examples_true() {
    let cx = context();
    let mut seen = std::collections::HashSet::new();
    for k in TABLE {
        for name in std::iter::once(&k.name).chain(k.aliases) {
            assert!(seen.insert(*name), "{name} twice");
        }
        assert!(!k.doc.is_empty() && !k.doc.ends_with('.'), "{}", k.name);
        assert_eq!(k.syntax.is_empty(), k.argument == Argument::None, "{}", k.name);
        let rule = |options: &str| format!("alert tcp any any -> any any ({options} sid:1;)");
        if !k.example_ok.is_empty() {
            let set = load(&cx, &rule(k.example_ok));
            let shown: Vec<_> = set.diagnostics.iter().map(|d| d.render(false)).collect();
            assert_eq!(set.signatures.len(), 1, "{}: {} {shown:?}", k.name, k.example_ok);
        }
        let bad =
            if k.name == "sid" { "alert tcp any any -> any any (sid:0;)".to_owned() } else { rule(k.example_bad) };
        assert!(load(&cx, &bad).signatures.is_empty(), "{} is not refused: {}", k.name, k.example_bad);
    }
}
