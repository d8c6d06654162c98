//! The translation test: for every expression the translation accepts, the automaton and PCRE2 give the same spans
//! and groups on haystacks derived from the expression and then damaged.
//!
//! The expressions: written ones for each known difference, generated ones, and every `pcre` of the rules under
//! `STOPGAP_DATA`. `STOPGAP_TRANSLATION_INPUTS` sets the haystacks per expression (default 24).

use super::class::ByteSet;
use super::linear::Linear;
use super::parse::{Node, parse};
use super::{PcreRegex, switches};
use crate::factory::Options;
use crate::scratch::Working;
use crate::sys::pcre2::{self, Code, Outcome};
use engine::detect::matching::{Regex, RegexSpec, Scratch};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

type Groups = Option<Vec<Option<Range<usize>>>>;

fn spec(pattern: &[u8], switches: &str) -> RegexSpec {
    let on = |c| switches.contains(c);
    RegexSpec {
        pattern: pattern.to_vec(),
        caseless: on('i'),
        multiline: on('m'),
        dot_all: on('s'),
        extended: on('x'),
        anchored: on('A'),
        dollar_end_only: on('E'),
        ungreedy: on('G'),
        captures: true,
    }
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// Bytes on which engines are apt to differ.
const ODD: &[u8] = b"\n\n\r\x0b\x0c\x85\xa0\0\xff\xe4 _aAzZ09-.\"<>&";

fn member(set: &ByteSet, rng: &mut Rng) -> Option<u8> {
    let odd = rng.pick(ODD);
    if rng.below(3) == 0 && set.contains(odd) {
        return Some(odd);
    }
    let start = rng.below(256) as u8;
    (0..=255u8).map(|i| start.wrapping_add(i)).find(|&b| set.contains(b))
}

/// A text the expression likes, but for its assertions.
fn derive(node: &Node, rng: &mut Rng, out: &mut Vec<u8>) {
    if out.len() > 600 {
        return;
    }
    match node {
        Node::Empty | Node::Assert(_) => {}
        Node::Byte(b) => out.push(*b),
        Node::Set(s) => out.extend(member(s, rng)),
        Node::Concat(nodes) => nodes.iter().for_each(|n| derive(n, rng, out)),
        Node::Alternation(nodes) => derive(&nodes[rng.below(nodes.len())], rng, out),
        Node::Capture(_, n) => derive(n, rng, out),
        Node::Repeat { node, min, max, .. } => {
            let top = max.unwrap_or(u32::MAX).min(min.saturating_add(3));
            let times = min + rng.below((top - min + 1) as usize) as u32;
            (0..times).for_each(|_| derive(node, rng, out));
        }
    }
}

fn haystack(root: &Node, rng: &mut Rng) -> Vec<u8> {
    let mut h = Vec::new();
    if rng.below(3) == 0 {
        (0..rng.below(6)).for_each(|_| h.push(rng.pick(ODD)));
    }
    for _ in 0..1 + rng.below(2) {
        derive(root, rng, &mut h);
    }
    for _ in 0..rng.below(4) {
        let at = rng.below(h.len() + 1);
        match rng.below(4) {
            0 if at < h.len() => {
                h.remove(at);
            }
            1 => h.insert(at, rng.pick(ODD)),
            2 if at < h.len() => h[at] = rng.pick(ODD),
            _ if at < h.len() && h[at].is_ascii_alphabetic() => h[at] ^= 0x20,
            _ => {}
        }
    }
    if rng.below(3) == 0 {
        h.push(b'\n');
    }
    h
}

struct Bench {
    scratch: Working,
    pcre2: pcre2::Working,
    inputs: usize,
}

enum Verdict {
    Agreed,
    /// PCRE2 gave up at limits far above those of production.
    Undecided,
    Left(&'static str),
    Refused(String),
}

impl Bench {
    fn new() -> Bench {
        let inputs = std::env::var("STOPGAP_TRANSLATION_INPUTS").ok().and_then(|v| v.parse().ok()).unwrap_or(24);
        Bench { scratch: Working::default(), pcre2: pcre2::Working::new(100_000).unwrap(), inputs }
    }

    fn reference(&mut self, code: &Code, haystack: &[u8]) -> Option<Groups> {
        match self.pcre2.find(code, haystack, 0..haystack.len() + 1, 2_000_000) {
            Outcome::Limit => None,
            Outcome::NoMatch => Some(None),
            Outcome::Match => Some(Some((0..=code.captures()).map(|i| self.pcre2.group(i)).collect())),
        }
    }

    fn check(&mut self, spec: &RegexSpec, rng: &mut Rng, more: &[&[u8]]) -> Verdict {
        let code = match Code::compile(&spec.pattern, switches(spec), true) {
            Ok(code) => code,
            Err(e) => return Verdict::Refused(e),
        };
        if let Err(why) = super::linear::translate(spec) {
            return Verdict::Left(why);
        }
        let root = parse(spec).unwrap().root;
        let full = Linear::build(spec).expect("what is translated can be built");
        let plain = RegexSpec { captures: false, ..spec.clone() };
        let plain = Linear::build(&plain).unwrap();
        let mut hays: Vec<Vec<u8>> = more.iter().map(|h| h.to_vec()).collect();
        hays.extend((0..self.inputs).map(|_| haystack(&root, rng)));
        hays.extend([b"".to_vec(), b"\n".to_vec()]);
        let mut undecided = false;
        for h in &hays {
            let Some(wanted) = self.reference(&code, h) else {
                undecided = true;
                continue;
            };
            let mut groups = Vec::new();
            let span = full.find(&mut self.scratch.regex, h, &mut groups);
            let got: Groups = span.clone().map(|_| groups.clone());
            let show = || {
                format!("/{}/ {:?} on {:?}", spec.pattern.escape_ascii(), switches(spec), h.escape_ascii().to_string())
            };
            assert_eq!(got, wanted, "groups: {}", show());
            groups.clear();
            let again = plain.find(&mut self.scratch.regex, h, &mut groups);
            assert!(groups.is_empty());
            assert_eq!(again, wanted.and_then(|g| g[0].clone()), "span: {}", show());
            assert_eq!(again, span, "{}", show());
        }
        if undecided { Verdict::Undecided } else { Verdict::Agreed }
    }
}

type Case = (&'static [u8], &'static str, &'static [&'static [u8]]);

/// Each line names a difference that a translation could get wrong: pattern, switches, haystacks of its own.
const WRITTEN: &[Case] = &[
    (b"\\<a\\>", "", &[b"a <a>"]),
    (b"[a&&b]+", "", &[b"&b", b"a&&"]),
    (b"[+--/]x[a-]", "", &[b".x-", b"-xa"]),
    (b"[a~~b]", "", &[b"~"]),
    (b"[[a]+", "", &[b"[[a"]),
    (b"[]a]+", "", &[b"]a"]),
    (b"[^]a]+", "", &[b"]ab]"]),
    (b"a$", "", &[b"a", b"a\n", b"a\n\n", b"ba\nx", b"a\r\n"]),
    (b"a\\Z", "m", &[b"a\n", b"a\nb"]),
    (b"a\\s*$", "", &[b"a\n", b"a \n", b"a\n\n"]),
    (b"(a|\\n)*?$", "", &[b"a\n", b"\n", b"aa\n\n"]),
    (b"(a.*$|b)", "s", &[b"a\n", b"ab\n"]),
    (b"a(?:$|&)", "", &[b"a\n", b"a&", b"a&\n"]),
    (b"(a$)", "", &[b"a\n"]),
    (b"(?:a$)?", "", &[b"a\n", b"b"]),
    (b"a$", "E", &[b"a\n", b"a"]),
    (b"a$", "m", &[b"a\nb", b"a\n"]),
    (b"a$", "mE", &[b"a\nb", b"a\n"]),
    (b"^a", "m", &[b"b\na", b"\na", b"a"]),
    (b"^[^b]", "m", &[b"b\n", b"b\n\n"]),
    (b"\\Aa\\z", "", &[b"a", b"a\n"]),
    (b"\\Ga", "", &[b"ba", b"a"]),
    (b"a.c", "", &[b"a\nc", b"a\rc", b"a\x85c"]),
    (b"a.c", "s", &[b"a\nc"]),
    (b"a\\Nc", "s", &[b"a\nc", b"abc"]),
    (b"\\s+", "", &[b"\x0b", b"\x85", b"\xa0", b" \t\r\n\x0c"]),
    (b"\\S+", "", &[b"\x0bx", b"\xa0"]),
    (b"\\h+\\v", "", &[b"\xa0\t\x85", b" \n"]),
    (b"\\H\\V", "", &[b"\x85\xa0ab"]),
    (b"\\w+\\b\\W", "", &[b"\xe4a\xe4", b"a_0 "]),
    (b"\\Ba\\B", "", &[b"aaa", b"\xe4a"]),
    (b"\\d+", "", &[b"\xb2\x32"]),
    (b"caf\xe9", "i", &[b"CAF\xe9", b"caf\xc9"]),
    (b"[^a-z]+", "i", &[b"ABC", b"1\xe9"]),
    (b"[[:upper:]]+", "i", &[b"abC"]),
    (b"[[:^upper:]]+", "i", &[b"ab1"]),
    (b"[[:alpha:][:digit:]_.-]+", "", &[b"aZ0_.-"]),
    (b"[[:punct:]]+[[:space:]][[:print:]][[:graph:]]", "", &[b"!~\x0b a", b"/ \x7f"]),
    (b"[\\d\\-x]+", "", &[b"1-x"]),
    (b"[\\x00-\\x1f\\x7f-\\xff]", "", &[b"\x80", b" "]),
    (b"[\\b\\e\\a\\f]", "", &[b"\x08", b"b"]),
    (b"\\x4\\x{41}\\x{0d}", "", &[b"\x04A\r"]),
    (b"\\0\\01\\012", "", &[b"\0\x01\n"]),
    (b"[\\1\\101]", "", &[b"A", b"\x01", b"1"]),
    (b"\\cA\\c[", "", &[b"\x01\x1b"]),
    (b"a{2}b{1,}c{0,2}", "", &[b"aabcc"]),
    (b"a{x", "", &[b"a{x"]),
    (b"a{}", "", &[b"a{}"]),
    (b"\\Qa.b|(\\E+c", "", &[b"a.b|((c"]),
    (b"\\Qa+", "", &[b"a+"]),
    (b"a(?i)b|c", "", &[b"C", b"aB", b"AB"]),
    (b"(a(?i)b|c)d", "", &[b"Cd", b"CD"]),
    (b"(?i:a)b(?s).(?-s).", "", &[b"Ab\n\n", b"Ab\nx"]),
    (b"(?U)a+b?", "", &[b"aab"]),
    (b"a+?b??c", "G", &[b"aabc"]),
    (b"a+", "G", &[b"aaa"]),
    (b"a|ab|abc", "", &[b"abc"]),
    (b"(a|ab)(c|bcd)(d*)", "", &[b"abcd"]),
    (b"(?:(a)|b)+", "", &[b"ab", b"ba"]),
    (b"((a)|(b))+", "", &[b"aba"]),
    (b"(a?)(ab)?", "", &[b"ab"]),
    (b"|a", "", &[b"a"]),
    (b"(?P<n>a)(?<m>b)(?'o'c)", "", &[b"abc"]),
    (b"abc", "A", &[b"xabc", b"abc"]),
    (b"#a b", "", &[b"#a b"]),
    (b"", "", &[b"abc"]),
];

#[test]
fn written_expressions_mean_the_same() {
    let (mut bench, mut rng) = (Bench::new(), Rng(0x7a11));
    for (pattern, switches, hays) in WRITTEN {
        match bench.check(&spec(pattern, switches), &mut rng, hays) {
            Verdict::Agreed => {}
            Verdict::Undecided => panic!("limit: {}", pattern.escape_ascii()),
            Verdict::Left(why) => panic!("left to PCRE2: {}: {why}", pattern.escape_ascii()),
            Verdict::Refused(e) => panic!("refused: {}: {e}", pattern.escape_ascii()),
        }
    }
}

/// Random expressions from the pieces in which engines differ.
#[test]
fn generated_expressions_mean_the_same() {
    const PIECES: &[&str] = &[
        "a", "b", "A", "\\n", ".", "$", "^", "\\b", "\\B", "\\s", "\\w", "[^a]", "[ab\\n]", "(?i)", "(?m)", "(?-m)",
        "(?s)", "\\Z", "\\z", "\\A", "\\x0a", "x",
    ];
    const QUANTIFIERS: &[&str] = &["", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?"];
    fn expression(rng: &mut Rng, depth: usize, out: &mut String) {
        for _ in 0..1 + rng.below(4) {
            if depth > 0 && rng.below(4) == 0 {
                out.push_str(rng.pick(&["(", "(?:"]));
                expression(rng, depth - 1, out);
                out.push(')');
                out.push_str(rng.pick(QUANTIFIERS));
            } else {
                let piece = rng.pick(PIECES);
                out.push_str(piece);
                if !matches!(piece, "$" | "^" | "\\b" | "\\B" | "\\Z" | "\\z" | "\\A") && !piece.starts_with("(?") {
                    out.push_str(rng.pick(QUANTIFIERS));
                }
            }
            if rng.below(6) == 0 {
                out.push('|');
            }
        }
    }
    let (mut bench, mut rng) = (Bench::new(), Rng(0x7a12));
    let mut agreed = 0;
    for _ in 0..1_500 {
        let mut text = String::new();
        expression(&mut rng, 2, &mut text);
        let switches = rng.pick(&["", "", "i", "m", "s", "G", "A", "E", "ims"]);
        agreed += usize::from(matches!(bench.check(&spec(text.as_bytes(), switches), &mut rng, &[]), Verdict::Agreed));
    }
    assert!(agreed > 600, "only {agreed} of the generated expressions were translated");
}

fn rule_expressions() -> Option<Vec<(Vec<u8>, String)>> {
    let root = std::env::var_os("STOPGAP_DATA")?;
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(std::path::Path::new(&root).join("rules/etopen-2024-04")).ok()? {
        let path = entry.ok()?.path();
        if path.extension().is_none_or(|e| e != "rules") {
            continue;
        }
        let text = std::fs::read(path).ok()?;
        let mut rest = &text[..];
        while let Some(at) = memchr::memmem::find(rest, b"pcre:") {
            rest = &rest[at + 5..];
            let value = rest.trim_ascii_start();
            let value = value.strip_prefix(b"!").unwrap_or(value).trim_ascii_start();
            let Some(value) = value.strip_prefix(b"\"/") else { continue };
            let mut end = 0;
            while end < value.len() && value[end] != b'"' {
                end += 1 + usize::from(value[end] == b'\\');
            }
            let Some(value) = value.get(..end) else { continue };
            if let Some(slash) = value.iter().rposition(|&b| b == b'/') {
                found.insert((value[..slash].to_vec(), String::from_utf8_lossy(&value[slash + 1..]).into_owned()));
            }
        }
    }
    Some(found.into_iter().collect())
}

#[test]
fn expressions_of_real_rules_mean_the_same() {
    let Some(expressions) = rule_expressions() else {
        eprintln!("skipped: STOPGAP_DATA names no rules");
        return;
    };
    let (mut bench, mut rng) = (Bench::new(), Rng(0x7a13));
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut agreed, mut undecided, mut refused) = (0, 0, Vec::new());
    for (pattern, switches) in &expressions {
        match bench.check(&spec(pattern, switches), &mut rng, &[]) {
            Verdict::Agreed => agreed += 1,
            Verdict::Undecided => undecided += 1,
            Verdict::Left(why) => *left.entry(why).or_default() += 1,
            Verdict::Refused(e) => refused.push(format!("/{}/: {e}", pattern.escape_ascii())),
        }
    }
    let all = expressions.len();
    eprintln!("{all} expressions: {agreed} the same in linear time, {undecided} undecided, left to PCRE2: {left:#?}");
    eprintln!("refused by PCRE2: {refused:#?}");
    assert!(all > 3_000);
    assert!(agreed * 100 >= all * 85, "{agreed} of {all}");
    assert!(undecided * 100 <= all);
}

#[test]
fn a_limit_that_bites_is_reported() {
    let regex = PcreRegex::new(&spec(b"(?=a)(a+)+\\1[bc]", ""), Options::default()).unwrap();
    assert!(!regex.linear());
    let mut scratch: Scratch = Box::<Working>::default();
    let mut groups = Vec::new();
    let hay = vec![b'a'; 200];
    assert!(regex.find(&mut scratch, &hay, &mut groups).is_err());
    assert_eq!(regex.find(&mut scratch, b"xaab", &mut groups), Ok(Some(1..4)));
    let no_jit = PcreRegex::new(&spec(b"(a+)+\\1[bc]", ""), Options { jit: false, ..Options::default() }).unwrap();
    assert!(no_jit.find(&mut scratch, &hay, &mut groups).is_err());
}

#[test]
fn what_pcre2_refuses_is_refused_with_its_words() {
    for (bad, word) in [("(a", "parenthesis"), ("[a", "terminating ]"), ("a**", "quantifier"), ("\\", "end of pattern")]
    {
        let e = PcreRegex::new(&spec(bad.as_bytes(), ""), Options::default()).err().unwrap();
        assert!(e.0.contains(word), "{bad}: {}", e.0);
    }
}

#[test]
fn groups_come_only_where_asked_for() {
    let mut scratch: Scratch = Box::<Working>::default();
    let mut groups = vec![Some(0..9)];
    for pattern in ["(a)(b)?", "(?=a)(a)(b)?"] {
        let wanted = spec(pattern.as_bytes(), "");
        let with = PcreRegex::new(&wanted, Options::default()).unwrap();
        assert_eq!(with.find(&mut scratch, b"xa", &mut groups), Ok(Some(1..2)));
        assert_eq!(groups, [Some(1..2), Some(1..2), None]);
        let without = PcreRegex::new(&RegexSpec { captures: false, ..wanted }, Options::default()).unwrap();
        assert_eq!(without.find(&mut scratch, b"xa", &mut groups), Ok(Some(1..2)));
        assert!(groups.is_empty());
    }
}

/// Dear at every start, though never more than one start may take: the product is what is bounded.
#[test]
fn all_starts_share_a_budget() {
    let mut scratch: Scratch = Box::<Working>::default();
    let mut groups = Vec::new();
    for jit in [true, false] {
        let options = Options { jit, ..Options::default() };
        let regex = PcreRegex::new(&spec(b"(?=(a))(?:a|aa){8}[xy]\\1", ""), options).unwrap();
        assert!(!regex.linear());
        assert_eq!(regex.find(&mut scratch, &[b'a'; 1_000], &mut groups), Ok(None));
        let begun = std::time::Instant::now();
        assert!(regex.find(&mut scratch, &vec![b'a'; 1_000_000], &mut groups).is_err());
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}

/// One start may take all its steps, also in a long buffer, and the first match is found, whatever the passes.
#[test]
fn a_dear_start_among_cheap_ones_has_its_steps() {
    let mut scratch: Scratch = Box::<Working>::default();
    let mut groups = Vec::new();
    let regex = PcreRegex::new(&spec(b"(?=x)x(?:a|b)*(?<!c)\\d", ""), Options::default()).unwrap();
    assert!(!regex.linear());
    let mut hay = vec![b'.'; 150_000];
    let dear = [&b"x"[..], &b"ab".repeat(400), b"1"].concat();
    for at in [1_000, 70_000, 149_000] {
        hay[at..at + dear.len()].copy_from_slice(&dear);
    }
    assert_eq!(regex.find(&mut scratch, &hay, &mut groups), Ok(Some(1_000..1_000 + dear.len())));
    hay[1_000] = b'.';
    assert_eq!(regex.find(&mut scratch, &hay, &mut groups), Ok(Some(70_000..70_000 + dear.len())));
    // More than a start alone may take stays a limit.
    let long = [&b"x"[..], &b"ab".repeat(20_000), b"c"].concat();
    assert!(regex.find(&mut scratch, &long, &mut groups).is_err());
    // What begins where the search did is not sought from elsewhere.
    let regex = PcreRegex::new(&spec(b"\\G(?=a)a(?!b)", ""), Options::default()).unwrap();
    assert_eq!(regex.find(&mut scratch, b"xxxxa", &mut groups), Ok(None));
}
