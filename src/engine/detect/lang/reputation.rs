//! Reputation lists: scores of addresses and networks by category, which `iprep` asks about.
//!
//! A category file has lines `number,short name,description`; a list has lines `address or network,category,score`. A score
//! of the address itself comes before one of a network it lies in, a smaller network before a larger one. Immutable once
//! read.

use super::diagnostics::{Code, Diagnostic};
use std::collections::HashMap;
use std::net::IpAddr;

/// Categories are numbered below.
const CATEGORIES_MAX: u8 = 60;
/// The highest score.
pub const SCORE_MAX: u8 = 127;

#[derive(Debug, Default)]
pub struct Reputation {
    categories: HashMap<String, u8>,
    /// By category and address.
    hosts: HashMap<(u8, IpAddr), u8>,
    /// By category, prefix and base; addresses as IPv6 (IPv4 ones mapped).
    networks: HashMap<(u8, u8, u128), u8>,
    /// Prefixes in use, longest first.
    prefixes: Vec<u8>,
}

impl Reputation {
    /// Adds the categories of a file's text.
    pub fn add_categories(&mut self, text: &str, file: &str) -> Vec<Diagnostic> {
        each_line(text, file, "a category is `number,short name,description`, its number 0 to 59", |line| {
            let mut parts = line.splitn(3, ',').map(str::trim);
            let number = parts.next()?.parse().ok().filter(|n| *n < CATEGORIES_MAX)?;
            let name = parts.next().filter(|n| !n.is_empty())?;
            self.categories.insert(name.to_owned(), number);
            Some(())
        })
    }

    /// Adds the scores of a list's text.
    pub fn add_list(&mut self, text: &str, file: &str) -> Vec<Diagnostic> {
        let faults = each_line(text, file, "a score is `address or network,category,0 to 127`", |line| {
            let mut parts = line.split(',').map(str::trim);
            let (what, category, score) = (parts.next()?, parts.next()?, parts.next()?);
            // A line of headings.
            if what == "ip" {
                return Some(());
            }
            let category = category.parse().ok().filter(|n| *n < CATEGORIES_MAX)?;
            let score = score.parse().ok().filter(|n| *n <= SCORE_MAX)?;
            match what.split_once('/') {
                None => {
                    self.hosts.insert((category, what.parse::<IpAddr>().ok()?.to_canonical()), score);
                }
                Some((base, prefix)) => {
                    let base: IpAddr = base.parse().ok()?;
                    let bits = if base.is_ipv4() { 32 } else { 128 };
                    let prefix = prefix.parse::<u8>().ok().filter(|p| *p <= bits)? + (128 - bits);
                    self.networks.insert((category, prefix, wide(base) & mask(prefix)), score);
                    self.prefixes.push(prefix);
                }
            }
            Some(())
        });
        self.prefixes.sort_unstable_by(|a, b| b.cmp(a));
        self.prefixes.dedup();
        faults
    }

    /// The number of a category.
    pub fn category(&self, name: &str) -> Option<u8> {
        self.categories.get(name).copied()
    }

    pub fn score(&self, category: u8, address: IpAddr) -> Option<u8> {
        let address = address.to_canonical();
        if let Some(s) = self.hosts.get(&(category, address)) {
            return Some(*s);
        }
        let a = wide(address);
        // Networks of IPv6 that are larger than all of IPv4 hold none of its addresses.
        let least = if address.is_ipv4() { 96 } else { 0 };
        let mut prefixes = self.prefixes.iter().take_while(|p| **p >= least);
        prefixes.find_map(|p| self.networks.get(&(category, *p, a & mask(*p))).copied())
    }
}

fn wide(a: IpAddr) -> u128 {
    match a {
        IpAddr::V4(a) => u128::from(a.to_ipv6_mapped()),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0)
}

fn each_line(text: &str, file: &str, help: &str, mut take: impl FnMut(&str) -> Option<()>) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for (line, n) in text.lines().zip(1u32..) {
        let body = line.trim();
        if body.is_empty() || body.starts_with('#') || take(body).is_some() {
            continue;
        }
        let start = line.len() - line.trim_start().len();
        faults.push(Diagnostic {
            code: Code::ReputationLine,
            severity: Code::ReputationLine.severity(),
            file: file.into(),
            line: n,
            span: start..start + body.len(),
            message: "the line is left out".to_owned(),
            help: Some(help.to_owned()),
            source: line.to_owned(),
            sid: None,
        });
    }
    faults
}

/// The fuzz target `reputation`: categories and scores of any bytes; a score that is found is one that can be.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut r = Reputation::default();
    let faults = [r.add_categories(&text, "fuzz"), r.add_list(&text, "fuzz")].concat();
    assert!(faults.iter().all(|d| d.span.end <= d.source.len()), "a span outside its line");
    for (category, address) in r.hosts.keys() {
        assert!(r.score(*category, *address).is_some_and(|s| s <= SCORE_MAX));
    }
    assert!(r.categories.values().all(|n| *n < CATEGORIES_MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_hosts_and_networks() {
        let mut r = Reputation::default();
        assert_eq!(r.add_categories("# c\n1,bad,Known bad\n2,worse,Known, worse\n", "c"), []);
        let list = "ip,category,score\n10.0.0.1,1,7\n10.0.0.9/8,1,1\n10.1.0.0/16,1,2\n2001:db8::/32,2,99\n";
        assert_eq!(r.add_list(list, "l"), []);
        let score = |c: &str, a: &str| r.score(r.category(c).unwrap(), a.parse().unwrap());
        assert_eq!(score("bad", "10.0.0.1"), Some(7));
        assert_eq!(score("bad", "10.0.0.2"), Some(1));
        assert_eq!(score("bad", "10.1.0.2"), Some(2));
        assert_eq!((score("worse", "10.1.0.2"), score("bad", "11.0.0.1")), (None, None));
        assert_eq!(score("worse", "2001:db8::1"), Some(99));
        assert_eq!(r.category("Bad"), None);
    }

    #[test]
    fn a_list_cut_anywhere_keeps_the_lines_before() {
        let list = "10.0.0.1,1,7\n10.1.0.0/16,1,2\n2001:db8::/32,2,99\n";
        for cut in 0..list.len() {
            let mut r = Reputation::default();
            let whole = list[..cut].matches('\n').count() as u32;
            let faults = r.add_list(&list[..cut], "l");
            assert!(faults.iter().all(|d| d.line == whole + 1), "{cut}: {faults:?}");
            let kept = (r.score(1, "10.0.0.1".parse().unwrap()), r.score(1, "10.1.2.3".parse().unwrap()));
            assert!((whole < 1 || kept.0 == Some(7)) && (whole < 2 || kept.1 == Some(2)), "{cut}: {kept:?}");
        }
    }

    /// An address is one however it is written; the networks of IPv6 hold none of IPv4.
    #[test]
    fn mapped_addresses_are_those_of_ipv4() {
        let mut r = Reputation::default();
        assert_eq!(r.add_list("::ffff:10.0.0.1,1,7\n::ffff:10.1.0.0/112,1,2\n10.2.0.1,1,3\n::/0,1,9\n", "l"), []);
        let score = |a: &str| r.score(1, a.parse().unwrap());
        for (a, b, want) in
            [("10.0.0.1", "::ffff:a00:1", 7), ("10.1.2.3", "::ffff:10.1.2.3", 2), ("10.2.0.1", "::ffff:10.2.0.1", 3)]
        {
            assert_eq!((score(a), score(b)), (Some(want), Some(want)), "{a}");
        }
        assert_eq!((score("10.9.9.9"), score("2001:db8::1")), (None, Some(9)));
    }

    #[test]
    fn bad_lines_are_named() {
        let mut r = Reputation::default();
        let lines = |f: Vec<Diagnostic>| f.iter().map(|d| d.line).collect::<Vec<_>>();
        assert_eq!(lines(r.add_categories("1,a,\n60,b,x\nx\n3,,y\n", "c")), [2, 3, 4]);
        let list = "1.2.3.4,1,128\n1.2.3.4,60,1\n1.2.3,1,1\n1.2.3.4/33,1,1\n1.2.3.4,1\n::/0,1,1\n";
        assert_eq!(lines(r.add_list(list, "l")), [1, 2, 3, 4, 5]);
    }
}
