//! One suite for every engine: the ids of a set found in a haystack, and the first place of each, are those a naive
//! search finds; each report is a true occurrence, and none comes twice.

use engine::detect::matching::{Pattern, PatternSet, Scratch};
use matcher::{Engine, compile_with};
use std::collections::{BTreeMap, BTreeSet};

/// Every occurrence: (id, end).
fn naive(patterns: &[Pattern], haystack: &[u8]) -> BTreeSet<(u32, usize)> {
    let mut out = BTreeSet::new();
    for p in patterns {
        for (i, w) in haystack.windows(p.bytes.len()).enumerate() {
            if if p.nocase { w.eq_ignore_ascii_case(&p.bytes) } else { w == p.bytes } {
                out.insert((p.id, i + p.bytes.len()));
            }
        }
    }
    out
}

/// Each id with its first end.
fn firsts(hits: &BTreeSet<(u32, usize)>) -> BTreeMap<u32, usize> {
    // Ascending, so the first of an id is its smallest: collect the other way round and let it win.
    hits.iter().rev().copied().collect()
}

/// `unique_texts`: no two patterns of one id can report the same place.
fn check(
    name: &str,
    set: &dyn PatternSet,
    scratch: &mut Scratch,
    patterns: &[Pattern],
    haystack: &[u8],
    unique_texts: bool,
) {
    let wanted = naive(patterns, haystack);
    let mut got = BTreeSet::new();
    set.scan(scratch, haystack, &mut |id, end| {
        let new = got.insert((id, end));
        assert!(new || !unique_texts, "{name}: {id} at {end} reported twice");
    });
    assert!(
        got.is_subset(&wanted),
        "{name}: reports what is not there: {:?}\n{patterns:?}\n{haystack:?}",
        got.difference(&wanted)
    );
    assert_eq!(firsts(&got), firsts(&wanted), "{name}\n{patterns:?}\n{haystack:?}");
}

fn check_all(patterns: &[Pattern], haystacks: &[Vec<u8>]) {
    let mut texts = BTreeSet::new();
    let unique = patterns.iter().all(|p| texts.insert((p.id, p.bytes.to_ascii_lowercase())));
    let mut sets: Vec<(String, Box<dyn PatternSet>, Scratch)> = Vec::new();
    for &e in Engine::ALL {
        if let Some(set) = compile_with(e, patterns).unwrap() {
            sets.push((format!("{e:?}"), set, matcher::factory().scratch().unwrap()));
        }
    }
    for (name, factory) in [("best", matcher::factory()), ("pure", matcher::pure_rust())] {
        let set = factory.compile(patterns).unwrap();
        if let Some(stored) = set.serialize() {
            sets.push((format!("{name}, stored"), factory.deserialize(&stored).unwrap(), factory.scratch().unwrap()));
        }
        sets.push((name.into(), set, factory.scratch().unwrap()));
    }
    for (name, set, scratch) in &mut sets {
        for h in haystacks {
            check(name, set.as_ref(), scratch, patterns, h, unique);
        }
    }
}

/// xorshift64*, seeded: the same cases on every machine.
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

    fn bytes(&mut self, n: usize, alphabet: &[u8]) -> Vec<u8> {
        (0..n).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

fn p(bytes: &[u8], nocase: bool, id: u32) -> Pattern {
    Pattern { bytes: bytes.to_vec(), nocase, id }
}

#[test]
fn written_cases() {
    let hay = |texts: &[&[u8]]| texts.iter().map(|t| t.to_vec()).collect::<Vec<_>>();
    // Prefixes, suffixes and infixes of each other; shared ids; the same text in both cases.
    check_all(
        &[
            p(b"abc", false, 1),
            p(b"bc", false, 2),
            p(b"ABC", true, 3),
            p(b"c", false, 4),
            p(b"abcabc", true, 5),
            p(b"bc", true, 2),
        ],
        &hay(&[b"", b"a", b"abc", b"ABC", b"aBcAbC", b"xxabcabcxx", b"abab", b"ccccc"]),
    );
    // Every byte value; bytes that a regex syntax would read.
    let all: Vec<Pattern> = (0..=255u8).map(|b| p(&[b], b % 2 == 0, u32::from(b))).collect();
    check_all(&all, &hay(&[b"\x00\xff.*[]\\$^", b"aAzZ\x80\xe4\xc4"]));
    check_all(
        &[p(b"a.c", false, 1), p(b"\\x41", false, 2), p(b"a\0b", true, 3), p(b"\n", false, 4)],
        &hay(&[b"abc a.c", b"A\\x41", b"A\0B\n"]),
    );
    // Lengths around any at which an engine may cut.
    let x = |n: usize| vec![b'x'; n];
    let lengths: Vec<Pattern> = (1..=80usize).map(|n| p(&x(n), n % 2 == 0, n as u32)).collect();
    check_all(&lengths, &[x(80), x(47), x(300), [x(48), vec![b'X'], x(60)].concat()]);
    // A long one, and one as long as the haystack.
    let long = vec![b'Q'; 2_000];
    check_all(&[p(&long, true, 9), p(b"q", false, 1)], &[long.clone(), long.to_ascii_lowercase(), long[1..].to_vec()]);
    // Case folding is for ASCII letters alone: `@` and backtick, `[` and `{` differ by the same bit.
    check_all(&[p(b"@[", true, 1), p(b"\xc4x", true, 2)], &hay(&[b"`{", b"@[", b"\xe4x", b"\xc4X"]));
    check_all(&[], &hay(&[b"", b"abc"]));
}

#[test]
fn an_empty_pattern_is_refused() {
    for factory in [matcher::factory(), matcher::pure_rust()] {
        assert!(factory.compile(&[p(b"", false, 1)]).is_err());
    }
}

#[test]
fn generated_cases() {
    let mut rng = Rng(0x5eed_0001);
    let alphabets: [&[u8]; 3] = [b"aAb", b"abcdeABCDE.-", &(0..=255).collect::<Vec<u8>>()];
    for round in 0..120 {
        let alphabet = alphabets[round % 3];
        let count = 1 + rng.below([3, 12, 90][round / 3 % 3]);
        let patterns: Vec<Pattern> = (0..count)
            .map(|i| {
                let n = 1 + rng.below(9);
                Pattern { bytes: rng.bytes(n, alphabet), nocase: rng.below(2) == 0, id: (i as u32) * 3 / 2 }
            })
            .collect();
        let mut haystacks: Vec<Vec<u8>> = Vec::new();
        for _ in 0..12 {
            let n = [0, 1, 5, 15, 16, 17, 31, 33, 64, 200, 1_460][rng.below(11)];
            let mut h = rng.bytes(n, alphabet);
            // Plant some.
            for _ in 0..3 {
                let w = &patterns[rng.below(patterns.len())].bytes;
                if w.len() <= h.len() {
                    let at = rng.below(h.len() - w.len() + 1);
                    h[at..at + w.len()].copy_from_slice(w);
                    if rng.below(2) == 0 {
                        h[at..at + w.len()].make_ascii_uppercase();
                    }
                }
            }
            haystacks.push(h);
        }
        check_all(&patterns, &haystacks);
    }
}

#[test]
fn a_large_set() {
    let mut rng = Rng(0x5eed_0002);
    let alphabet = b"abcdefghijklmnopqrstuvwxyz./-_";
    let patterns: Vec<Pattern> = (0..3_000)
        .map(|i| {
            let n = 3 + rng.below(20);
            Pattern { bytes: rng.bytes(n, alphabet), nocase: i % 3 == 0, id: i }
        })
        .collect();
    let mut haystacks = vec![rng.bytes(3_000, alphabet)];
    for i in [1usize, 500, 2_999] {
        let mut h = rng.bytes(50, alphabet);
        h.extend(patterns[i].bytes.to_ascii_uppercase());
        h.extend(&patterns[i].bytes);
        haystacks.push(h);
    }
    check_all(&patterns, &haystacks);
}

#[test]
fn one_scratch_serves_sets_made_before_and_after_it() {
    let factory = matcher::factory();
    let many = |seed: u64, n: usize| {
        let mut rng = Rng(seed);
        (0..n).map(|i| p(&rng.bytes(6, b"abcdefgh"), i % 2 == 0, i as u32)).collect::<Vec<_>>()
    };
    let small = factory.compile(&many(1, 20)).unwrap();
    let mut scratch = factory.scratch().unwrap();
    let large_patterns = many(2, 2_000);
    let large = factory.compile(&large_patterns).unwrap();
    let hay = Rng(3).bytes(4_000, b"abcdefgh");
    check("large", large.as_ref(), &mut scratch, &large_patterns, &hay, false);
    check("small", small.as_ref(), &mut scratch, &many(1, 20), &hay, false);
    // A scratch of another factory is replaced.
    let mut foreign: Scratch = Box::new(7u8);
    check("foreign", large.as_ref(), &mut foreign, &large_patterns, &hay, false);
}
