//! Generated rules and payloads: what the prefiltered, backtracking, segment-wise inspection says against an evaluation
//! that tries every position of every content.

use crate::detect::signature::*;
use crate::detect::testkit::*;
use crate::types::Direction::ToServer;
use proptest::prelude::*;

/// Whether the contents `ops[i..]` can be satisfied, the last match ending at `cursor`: all positions are tried.
fn satisfiable(ops: &[Content], cursor: i64, data: &[u8]) -> bool {
    let Some((c, rest)) = ops.split_first() else { return true };
    let number = |v: Option<Value>| match v {
        Some(Value::Const(n)) => Some(n),
        _ => None,
    };
    let len = c.bytes.len() as i64;
    let (lo, hi) = if c.is_relative() {
        let lo = cursor + number(c.distance).unwrap_or(0);
        (lo.max(0), number(c.within).map_or(i64::MAX, |w| lo + w))
    } else if c.startswith {
        (0, len)
    } else {
        let lo = number(c.offset).unwrap_or(0);
        (lo, number(c.depth).map_or(i64::MAX, |d| lo + d))
    };
    let at = |p: i64| {
        let Some(here) = data.get(p as usize..).and_then(|d| d.get(..c.bytes.len())) else { return false };
        let same = if c.nocase { here.eq_ignore_ascii_case(&c.bytes) } else { here == c.bytes };
        same && p >= lo && p + len <= hi && (!c.endswith || p + len == data.len() as i64)
    };
    let mut places = (0..data.len() as i64).filter(|p| at(*p));
    if c.negated {
        places.next().is_none() && satisfiable(rest, cursor, data)
    } else {
        places.any(|p| satisfiable(rest, p + len, data))
    }
}

fn bytes(max: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(prop::sample::select(vec!['a', 'b', 'B', 'c']), 1..=max)
        .prop_map(|v| v.into_iter().collect())
}

#[derive(Clone, Debug)]
struct Shape {
    text: String,
    nocase: bool,
    negated: bool,
    endswith: bool,
    startswith: bool,
    place: Option<(i64, Option<i64>, bool)>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let place = prop::option::of((0i64..6, prop::option::of(0i64..8), any::<bool>()));
    (bytes(5), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1), prop::bool::weighted(0.1), place)
        .prop_map(|(text, nocase, negated, endswith, startswith, place)| Shape {
            text,
            nocase,
            negated,
            endswith,
            startswith,
            place,
        })
}

fn contents(shapes: &[Shape]) -> Vec<Content> {
    let mut out = Vec::new();
    for s in shapes {
        let mut c = content(&s.text);
        (c.nocase, c.negated, c.endswith) = (s.nocase, s.negated, s.endswith);
        let len = s.text.len() as i64;
        match s.place {
            Some((n, m, true)) => {
                c.distance = Some(Value::Const(n - 2));
                c.within = m.map(|m| Value::Const(m + len));
            }
            Some((n, m, false)) => {
                c.offset = Some(Value::Const(n));
                c.depth = m.map(|m| Value::Const(m + len));
            }
            None => c.startswith = s.startswith,
        }
        out.push(c);
    }
    out
}

fn rule(sid: u32, contents: &[Content], proto: RuleProto) -> Signature {
    let mut s = sig(sid, proto);
    s.buffers.push(payload(contents.iter().cloned().map(Op::Content).collect()));
    s
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_datagram_matches_as_trying_everything_does(
        rules in proptest::collection::vec(proptest::collection::vec(shape(), 1..4), 1..12),
        data in bytes(40),
    ) {
        let rules: Vec<_> = rules.iter().map(|r| contents(r)).collect();
        let sigs = rules.iter().enumerate().map(|(i, r)| rule(i as u32, r, RuleProto::Udp)).collect();
        let got = datagram(&compile(sigs, no_protocols()), data.as_bytes());
        let want: Vec<u32> =
            (0..).zip(&rules).filter(|(_, r)| satisfiable(r, 0, data.as_bytes())).map(|(i, _)| i).collect();
        prop_assert_eq!(got, want);
    }

    /// A rule that only wants things to be there (nothing absent, nothing at the end) matches a stream, however it is
    /// cut, exactly when it matches the whole.
    #[test]
    fn a_stream_matches_however_it_is_cut(
        rules in proptest::collection::vec(proptest::collection::vec(shape(), 1..4), 1..12),
        data in bytes(60),
        cuts in proptest::collection::vec(1usize..12, 60),
    ) {
        let mut rules: Vec<_> = rules.iter().map(|r| contents(r)).collect();
        rules.iter_mut().flatten().for_each(|c| (c.negated, c.endswith) = (false, false));
        let mut sigs: Vec<_> =
            rules.iter().enumerate().map(|(i, r)| rule(i as u32, r, RuleProto::Tcp)).collect();
        sigs.iter_mut().for_each(|s| s.header.proto = RuleProto::TcpStream);
        let rs = compile(sigs, no_protocols());
        let mut flow = TcpFlow::new(&rs);
        let mut got = Vec::new();
        let mut rest = data.as_bytes();
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            if !now.is_empty() {
                got.extend(flow.segment(ToServer, now));
            }
            rest = later;
        }
        got.sort();
        got.dedup();
        let whole = &data.as_bytes()[..data.len() - rest.len()];
        let want: Vec<u32> = (0..).zip(&rules).filter(|(_, r)| satisfiable(r, 0, whole)).map(|(i, _)| i).collect();
        prop_assert_eq!(got, want);
    }
}
