//! From an address to the rules that list it.
//!
//! Rules whose header lists few addresses and that look at no bytes (reputation lists, mostly) are found by one binary
//! search when a flow begins, instead of being tested one by one. A rule is filed under whichever end lists fewer;
//! inspection still checks its whole header.

use crate::detect::compile::{Class, Compiled};
use crate::detect::signature::{AddrSet, SigIdx};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A set of more IPv4 addresses than this is not a list; likewise one with an IPv6 range wider than a /32.
const V4_MAX: u64 = 1 << 22;
const V6_MAX: u128 = 1 << 96;

/// Disjoint intervals, each with the rules that list it.
#[derive(Debug)]
struct Table<T> {
    /// First address of each interval; an interval ends before the next begins.
    starts: Vec<T>,
    /// Rules of each interval: a range of `rules`.
    spans: Vec<(u32, u32)>,
    rules: Vec<SigIdx>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { starts: Vec::new(), spans: Vec::new(), rules: Vec::new() }
    }
}

impl<T: Ord + Copy> Table<T> {
    /// `next`: the address after; `None` at the very last.
    fn build(ranges: &[(T, T, SigIdx)], next: fn(T) -> Option<T>) -> Self {
        // Where rules begin and cease to list.
        let mut edges: BTreeMap<T, (Vec<SigIdx>, Vec<SigIdx>)> = BTreeMap::new();
        for (lo, hi, sig) in ranges {
            edges.entry(*lo).or_default().0.push(*sig);
            if let Some(after) = next(*hi) {
                edges.entry(after).or_default().1.push(*sig);
            }
        }
        let mut table = Table::default();
        let mut live: BTreeMap<SigIdx, u32> = BTreeMap::new();
        for (at, (begin, end)) in edges {
            for s in end {
                if let Some(n) = live.get_mut(&s) {
                    *n -= 1;
                    if *n == 0 {
                        live.remove(&s);
                    }
                }
            }
            for s in begin {
                *live.entry(s).or_default() += 1;
            }
            let from = table.rules.len() as u32;
            table.rules.extend(live.keys());
            table.starts.push(at);
            table.spans.push((from, table.rules.len() as u32));
        }
        table
    }

    fn find(&self, x: T) -> &[SigIdx] {
        let i = self.starts.partition_point(|s| *s <= x);
        let Some((from, to)) = i.checked_sub(1).and_then(|i| self.spans.get(i)) else { return &[] };
        self.rules.get(*from as usize..*to as usize).unwrap_or(&[])
    }
}

#[derive(Debug, Default)]
struct Side {
    v4: Table<u32>,
    v6: Table<u128>,
}

impl Side {
    fn find(&self, a: IpAddr) -> &[SigIdx] {
        match a {
            IpAddr::V4(a) => self.v4.find(u32::from(a)),
            IpAddr::V6(a) => self.v6.find(u128::from(a)),
        }
    }
}

/// All rules that addresses alone can call up.
#[derive(Debug, Default)]
pub(crate) struct AddressRules {
    src: Side,
    dst: Side,
    /// Address rules without a short list: asked of every new flow.
    wide: Vec<SigIdx>,
}

impl AddressRules {
    /// Also says which rules it serves, by index.
    pub(crate) fn build(sigs: &[Compiled]) -> (AddressRules, Vec<bool>) {
        let mut served = vec![false; sigs.len()];
        let mut by_src = Vec::new();
        let mut by_dst = Vec::new();
        let mut wide = Vec::new();
        for (i, c) in sigs.iter().enumerate() {
            let idx = SigIdx(i as u32);
            let packet = matches!(c.class, Class::Packet) && !c.flags.payload && !c.flags.needs_event;
            if c.class != Class::IpOnly && !packet {
                continue;
            }
            let h = &c.sig.header;
            let short = match (size(&h.src), size(&h.dst)) {
                _ if h.bidirectional => None,
                (Some(s), Some(d)) => Some(if s <= d { (&h.src, true) } else { (&h.dst, false) }),
                (Some(_), None) => Some((&h.src, true)),
                (None, Some(_)) => Some((&h.dst, false)),
                (None, None) => None,
            };
            match short {
                Some((set, src)) => {
                    served[i] = true;
                    if src { &mut by_src } else { &mut by_dst }.push((set, idx));
                }
                None if c.class == Class::IpOnly => {
                    served[i] = true;
                    wide.push(idx);
                }
                None => {}
            }
        }
        (AddressRules { src: side(&by_src), dst: side(&by_dst), wide }, served)
    }

    /// Calls `f` for each rule that a packet between these two could match; a rule at most once per end.
    pub(crate) fn find(&self, src: IpAddr, dst: IpAddr, mut f: impl FnMut(SigIdx)) {
        let rules = self.src.find(src).iter().chain(self.dst.find(dst)).chain(&self.wide);
        rules.for_each(|s| f(*s));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wide.is_empty()
            && self.src.v4.starts.is_empty()
            && self.dst.v4.starts.is_empty()
            && self.src.v6.starts.is_empty()
            && self.dst.v6.starts.is_empty()
    }

    /// Rules every new flow is asked about one by one.
    pub(crate) fn wide(&self) -> usize {
        self.wide.len()
    }
}

fn side(list: &[(&AddrSet, SigIdx)]) -> Side {
    let v4: Vec<_> = list.iter().flat_map(|(a, s)| a.v4.iter().map(|r| (r.0, r.1, *s))).collect();
    let v6: Vec<_> = list.iter().flat_map(|(a, s)| a.v6.iter().map(|r| (r.0, r.1, *s))).collect();
    Side { v4: Table::build(&v4, |x| x.checked_add(1)), v6: Table::build(&v6, |x| x.checked_add(1)) }
}

/// Addresses in a list; `None` where it is no list.
fn size(a: &AddrSet) -> Option<u64> {
    if a.any || a.v6.iter().any(|r| r.1 - r.0 >= V6_MAX) {
        return None;
    }
    let n: u64 = a.v4.iter().map(|r| u64::from(r.1 - r.0) + 1).sum();
    (n <= V4_MAX).then_some(n + a.v6.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_lists_as_a_walk_would_find_them() {
        let ranges = [
            (10u32, 20, SigIdx(1)),
            (15, 15, SigIdx(2)),
            (16, 30, SigIdx(3)),
            (0, u32::MAX, SigIdx(4)),
            (20, 25, SigIdx(1)),
        ];
        let t = Table::build(&ranges, |x| x.checked_add(1));
        for x in (0..40).chain([u32::MAX]) {
            let mut want: Vec<_> = ranges.iter().filter(|r| r.0 <= x && x <= r.1).map(|r| r.2).collect();
            want.sort();
            want.dedup();
            assert_eq!(t.find(x), want, "{x}");
        }
    }
}
