use super::*;
use crate::detect::lang::testing::{context, load};
use std::io::Write;

fn value(text: &str) -> Value<'_> {
    Value { text, negated: false, span: 0..text.len(), given: !text.is_empty() }
}

fn run(name: &str, argument: &str, data: &[u8]) -> Vec<u8> {
    let row = TABLE.iter().find(|t| t.name == name).unwrap();
    let transform = (row.parse)(&value(argument)).unwrap();
    let mut out = b"old".to_vec();
    transform.apply(data, &mut out);
    out
}

/// What is wrong with the rows of a table.
fn faults(table: &[&TransformKeyword]) -> Vec<String> {
    let cx = context();
    let mut seen = std::collections::HashSet::new();
    let mut faults = Vec::new();
    for t in table {
        let mut fault = |what: &str| faults.push(format!("{}: {what}", t.name));
        for name in std::iter::once(&t.name).chain(t.aliases) {
            if !seen.insert(*name) {
                fault("a name that is taken");
            }
        }
        if t.doc.is_empty() || t.doc.ends_with('.') {
            fault("no sentence of documentation, or one that ends in a dot");
        }
        if t.syntax.is_empty() != (t.argument == Argument::None) {
            fault("a syntax that does not fit its argument");
        }
        let rule = |argument: &str| {
            let colon = if argument.is_empty() { "" } else { ":" };
            format!("alert tcp any any -> any any (file.data; {}{colon}{argument}; content:\"7\"; sid:1;)", t.name)
        };
        if t.syntax == "<not available>" {
            if !load(&cx, &rule("")).signatures.is_empty() {
                fault("it is said not to be there, and loads");
            }
            continue;
        }
        let loaded = load(&cx, &rule(t.example_ok)).signatures;
        if loaded.first().and_then(|s| s.buffers.first()).map(|b| b.transforms.len()) != Some(1) {
            fault("its example does not load");
        }
        if !load(&cx, &rule(t.example_bad)).signatures.is_empty() {
            fault("what is to be refused loads");
        }
    }
    faults
}

#[test]
fn rows_are_unique_documented_and_their_examples_true() {
    assert_eq!(faults(TABLE), Vec::<String>::new());
}

#[test]
fn a_row_that_lacks_something_is_refused() {
    let whole = || xor::XOR;
    let refused = |what: &str, row: TransformKeyword| assert!(!faults(&[&row]).is_empty(), "{what}");
    assert!(faults(&[&whole()]).is_empty());
    assert!(!faults(&[&whole(), &whole()]).is_empty(), "twice");
    refused("no doc", TransformKeyword { doc: "", ..whole() });
    refused("a dot", TransformKeyword { doc: "turned by a key.", ..whole() });
    refused("no syntax", TransformKeyword { syntax: "", ..whole() });
    refused("no example", TransformKeyword { example_ok: "", ..whole() });
    refused("a refusal that loads", TransformKeyword { example_bad: whole().example_ok, ..whole() });
    refused("a name that no parser knows", TransformKeyword { name: "xor_twice", ..whole() });
}

#[test]
fn text() {
    assert_eq!(run("to_lowercase", "", b"AbC\xc4"), b"abc\xc4");
    assert_eq!(run("to_uppercase", "", b"AbC"), b"ABC");
    assert_eq!(run("strip_whitespace", "", b" a\t\nb\x0b"), b"ab");
    assert_eq!(run("compress_whitespace", "", b"a \t\nb  c"), b"a b c");
    assert_eq!(run("dotprefix", "", b"x.com"), b".x.com");
    assert_eq!(run("header_lowercase", "", b"Host: A\r\nUser-Agent: B\r\n"), b"host: A\r\nuser-agent: B\r\n");
    assert_eq!(run("strip_pseudo_headers", "", b":path\r\nhost\r\n:x"), b"host\r\n");
    assert_eq!(run("url_decode", "", b"a%20b+c%zz%4"), b"a b c%zz%4");
}

#[test]
fn keys_slices_and_codes() {
    assert_eq!(run("xor", "0102", b"\x00\x00\x00"), [1, 2, 1]);
    assert_eq!(run("xor", "offset 1,extract 1 0", b"\x05\x06\x05"), [5, 3, 0]);
    assert_eq!(run("xor", "extract 4 9", b"ab"), b"ab");
    assert_eq!(run("subslice", "1,2", b"abcd"), b"bc");
    assert_eq!(run("subslice", "1,9", b"abcd"), b"");
    assert_eq!(run("subslice", "1,9,truncate", b"abcd"), b"bcd");
    assert_eq!(run("subslice", "-2", b"abcd"), b"cd");
    assert_eq!(run("subslice", "0,-1", b"abcd"), b"abc");
    assert_eq!(run("from_base64", "offset 6", b"/?arg=dGhpc2lzYXRlc3QK"), b"thisisatest\n");
}

#[test]
fn digests() {
    assert_eq!(run("to_md5", "", b"").len(), 16);
    assert_eq!(run("to_sha1", "", b"abc")[..4], [0xa9, 0x99, 0x3e, 0x36]);
    assert_eq!(run("to_sha256", "", b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
}

#[test]
fn unpacking_is_bounded() {
    let mut z = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    z.write_all(&[b'a'; 100_000]).unwrap();
    let packed = z.finish().unwrap();
    assert_eq!(run("gunzip", "", &packed).len(), 1024);
    assert_eq!(run("gunzip", "max-size 5", &packed), b"aaaaa");
    assert_eq!(run("gunzip", "", b"nonsense"), b"");
    let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    z.write_all(b"hello").unwrap();
    assert_eq!(run("zlib_deflate", "", &z.finish().unwrap()), b"hello");
}
