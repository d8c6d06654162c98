//! Addresses and ports of rule headers, and the variables they may name.
//!
//! An expression is an element, or a list in brackets of elements and lists, each possibly negated. Its meaning is set
//! algebra: what is named without a sign, less what is named with one; a list of negations alone is everything less
//! those. A variable is its text in brackets, resolved once and kept. Variables may name variables; a circle among
//! them is a fault, not a hang, and so is nesting deeper than a person would write.

use super::diagnostics::{Code, Fault};
use super::ranges::{complement, normalise, subtract};
use crate::detect::signature::{AddrSet, PortSet};
use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Lists within lists and variables within variables, together.
const NESTING_MAX: usize = 32;

/// Address and port variables, by name without the dollar sign.
#[derive(Debug, Default)]
pub struct Vars {
    addresses: HashMap<String, String>,
    ports: HashMap<String, String>,
    resolved_addresses: RefCell<HashMap<String, Result<AddrSet, Fault>>>,
    resolved_ports: RefCell<HashMap<String, Result<PortSet, Fault>>>,
}

impl Vars {
    pub fn new() -> Self {
        Vars::default()
    }

    /// Defines an address group; a later definition of the same name replaces an earlier one.
    pub fn set_address(&mut self, name: &str, expression: &str) {
        self.addresses.insert(name.to_owned(), expression.to_owned());
        self.resolved_addresses.get_mut().clear();
    }

    pub fn set_port(&mut self, name: &str, expression: &str) {
        self.ports.insert(name.to_owned(), expression.to_owned());
        self.resolved_ports.get_mut().clear();
    }

    /// The expression in a rule's header; spans of faults are ranges of `text`.
    pub fn addresses(&self, text: &str) -> Result<AddrSet, Fault> {
        let set = Parser::<Addresses> { vars: self, open: Vec::new(), kind: PhantomData }.expression(text, 0)?;
        if set.v4.is_empty() && set.v6.is_empty() {
            return Err(Fault::new(Code::AddressEmpty, format!("`{text}` leaves no address"))
                .help("a negated list needs something left over; `!any` has nothing"));
        }
        Ok(set.finish())
    }

    /// Whether an address expression, its variables expanded, holds a negation or a range.
    pub fn negates(&self, text: &str) -> bool {
        fn within(vars: &Vars, text: &str, depth: usize) -> bool {
            text.contains(['!', '-'])
                || (depth < NESTING_MAX
                    && text.split('$').skip(1).any(|rest| {
                        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                        let group = rest.get(..end).and_then(|name| vars.addresses.get(name));
                        group.is_some_and(|g| within(vars, g, depth + 1))
                    }))
        }
        within(self, text, 0)
    }

    pub fn ports(&self, text: &str) -> Result<PortSet, Fault> {
        let set = Parser::<Ports> { vars: self, open: Vec::new(), kind: PhantomData }.expression(text, 0)?;
        if set.is_empty() {
            return Err(Fault::new(Code::PortEmpty, format!("`{text}` leaves no port")));
        }
        Ok(PortSet(set))
    }

    /// Resolves every variable: faults of the configuration, before any rule is read.
    pub fn check(&self) -> Vec<(String, Fault)> {
        let mut out = Vec::new();
        for name in self.addresses.keys() {
            out.extend(self.addresses(&format!("${name}")).err().map(|f| (name.clone(), f)));
        }
        for name in self.ports.keys() {
            out.extend(self.ports(&format!("${name}")).err().map(|f| (name.clone(), f)));
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }
}

/// Both families, neither side simplified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Both {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Both {
    fn finish(self) -> AddrSet {
        if self.v4 == [(0, u32::MAX)] && self.v6 == [(0, u128::MAX)] {
            return AddrSet { any: true, v4: Vec::new(), v6: Vec::new() };
        }
        AddrSet { any: false, v4: self.v4, v6: self.v6 }
    }
}

/// What differs between addresses and ports.
trait Kind {
    type Set: Clone + Default;
    const VARIABLE: &'static str;
    /// Where the configuration holds them.
    const GROUP: &'static str;
    fn element(text: &str) -> Result<Self::Set, Fault>;
    fn union(sets: Vec<Self::Set>) -> Self::Set;
    fn invert(set: &Self::Set) -> Self::Set;
    fn subtract(a: &Self::Set, b: &Self::Set) -> Self::Set;
    fn lookup<'v>(vars: &'v Vars, name: &str) -> Option<&'v str>;
    fn cached(vars: &Vars, name: &str) -> Option<Result<Self::Set, Fault>>;
    fn keep(vars: &Vars, name: &str, set: &Result<Self::Set, Fault>);
}

struct Addresses;
struct Ports;

impl Kind for Addresses {
    type Set = Both;
    const VARIABLE: &'static str = "address group";
    const GROUP: &'static str = "address-groups";

    fn element(text: &str) -> Result<Both, Fault> {
        address(text).ok_or_else(|| {
            Fault::new(Code::Address, format!("`{text}` is no address"))
                .help("an address, address/prefix, address/mask, first-last, any, or $VARIABLE")
        })
    }

    fn union(sets: Vec<Both>) -> Both {
        let mut all = Both::default();
        for s in sets {
            all.v4.extend(s.v4);
            all.v6.extend(s.v6);
        }
        Both { v4: normalise(all.v4), v6: normalise(all.v6) }
    }

    fn invert(set: &Both) -> Both {
        Both { v4: complement(&set.v4), v6: complement(&set.v6) }
    }

    fn subtract(a: &Both, b: &Both) -> Both {
        Both { v4: subtract(&a.v4, &b.v4), v6: subtract(&a.v6, &b.v6) }
    }

    fn lookup<'v>(vars: &'v Vars, name: &str) -> Option<&'v str> {
        vars.addresses.get(name).map(String::as_str)
    }

    fn cached(vars: &Vars, name: &str) -> Option<Result<Both, Fault>> {
        let set = vars.resolved_addresses.borrow().get(name).cloned()?;
        Some(set.map(|s| Both { v4: s.v4, v6: s.v6 }))
    }

    fn keep(vars: &Vars, name: &str, set: &Result<Both, Fault>) {
        let set = set.clone().map(|b| AddrSet { any: false, v4: b.v4, v6: b.v6 });
        vars.resolved_addresses.borrow_mut().insert(name.to_owned(), set);
    }
}

impl Kind for Ports {
    type Set = Vec<(u16, u16)>;
    const VARIABLE: &'static str = "port group";
    const GROUP: &'static str = "port-groups";

    fn element(text: &str) -> Result<Self::Set, Fault> {
        port(text).map(|r| vec![r]).ok_or_else(|| {
            Fault::new(Code::Port, format!("`{text}` is no port"))
                .help("a port, first:last, first:, :last, any, or $VARIABLE; 0 to 65535")
        })
    }

    fn union(sets: Vec<Self::Set>) -> Self::Set {
        normalise(sets.into_iter().flatten().collect())
    }

    fn invert(set: &Self::Set) -> Self::Set {
        complement(set)
    }

    fn subtract(a: &Self::Set, b: &Self::Set) -> Self::Set {
        subtract(a, b)
    }

    fn lookup<'v>(vars: &'v Vars, name: &str) -> Option<&'v str> {
        vars.ports.get(name).map(String::as_str)
    }

    fn cached(vars: &Vars, name: &str) -> Option<Result<Self::Set, Fault>> {
        vars.resolved_ports.borrow().get(name).cloned().map(|s| s.map(|p| p.0))
    }

    fn keep(vars: &Vars, name: &str, set: &Result<Self::Set, Fault>) {
        vars.resolved_ports.borrow_mut().insert(name.to_owned(), set.clone().map(PortSet));
    }
}

struct Parser<'v, K: Kind> {
    vars: &'v Vars,
    /// Variables being resolved, for circles.
    open: Vec<String>,
    kind: PhantomData<K>,
}

impl<K: Kind> Parser<'_, K> {
    /// One expression, possibly negated.
    fn expression(&mut self, text: &str, depth: usize) -> Result<K::Set, Fault> {
        let trimmed = text.trim();
        match trimmed.strip_prefix('!') {
            Some(rest) => Ok(K::invert(&self.term(rest.trim_start(), depth)?)),
            None => self.term(trimmed, depth),
        }
    }

    fn term(&mut self, text: &str, depth: usize) -> Result<K::Set, Fault> {
        if depth >= NESTING_MAX {
            return Err(Fault::new(Code::Syntax, format!("lists nest deeper than {NESTING_MAX}")));
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner
                .strip_suffix(']')
                .ok_or_else(|| Fault::new(Code::Syntax, "a list is not closed").help("each `[` needs its `]`"))?;
            return self.list(inner, depth + 1);
        }
        if let Some(name) = text.strip_prefix('$') {
            return self.variable(name, depth + 1);
        }
        // A list in the open is taken as one in brackets.
        if text.contains(',') {
            return self.list(text, depth + 1);
        }
        K::element(text)
    }

    fn list(&mut self, inner: &str, depth: usize) -> Result<K::Set, Fault> {
        let mut plain = Vec::new();
        let mut negated = Vec::new();
        for part in split_list(inner)? {
            let part = part.trim();
            if part.is_empty() {
                return Err(Fault::new(Code::Syntax, "a list has an empty place"));
            }
            match part.strip_prefix('!') {
                Some(rest) => negated.push(self.term(rest.trim_start(), depth)?),
                None => plain.push(self.term(part, depth)?),
            }
        }
        let negated = K::union(negated);
        if plain.is_empty() {
            return Ok(K::invert(&negated));
        }
        Ok(K::subtract(&K::union(plain), &negated))
    }

    fn variable(&mut self, name: &str, depth: usize) -> Result<K::Set, Fault> {
        if let Some(set) = K::cached(self.vars, name) {
            return set;
        }
        let Some(text) = K::lookup(self.vars, name) else {
            return Err(Fault::new(Code::Variable, format!("no {} is called `{name}`", K::VARIABLE))
                .help(format!("define it in the configuration, or by --set vars.{}.{name}=…", K::GROUP)));
        };
        if self.open.iter().any(|o| o == name) {
            return Err(Fault::new(Code::VariableCycle, format!("`${name}` is defined by itself"))
                .help(format!("the circle is ${} -> ${name}", self.open.join(" -> $"))));
        }
        self.open.push(name.to_owned());
        let set = self.expression(text, depth);
        self.open.pop();
        if !matches!(&set, Err(f) if f.code == Code::VariableCycle) {
            K::keep(self.vars, name, &set);
        }
        set
    }
}

/// Parts between commas outside brackets.
fn split_list(text: &str) -> Result<Vec<&str>, Fault> {
    let mut parts = Vec::new();
    let mut depth = 0i32;
    let mut from = 0;
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'[' => depth += 1,
            b']' => {
                depth -= 1;
                if depth < 0 {
                    return Err(Fault::new(Code::Syntax, "a list has a `]` too many"));
                }
            }
            b',' if depth == 0 => {
                parts.push(text.get(from..i).unwrap_or(""));
                from = i + 1;
            }
            _ => {}
        }
    }
    if depth != 0 {
        return Err(Fault::new(Code::Syntax, "a list is not closed").help("each `[` needs its `]`"));
    }
    parts.push(text.get(from..).unwrap_or(""));
    Ok(parts)
}

fn v4(from: Ipv4Addr, to: Ipv4Addr) -> Option<Both> {
    let r = (u32::from(from), u32::from(to));
    (r.0 <= r.1).then(|| Both { v4: vec![r], v6: Vec::new() })
}

fn v6(from: Ipv6Addr, to: Ipv6Addr) -> Option<Both> {
    let r = (u128::from(from), u128::from(to));
    (r.0 <= r.1).then(|| Both { v4: Vec::new(), v6: vec![r] })
}

fn address(text: &str) -> Option<Both> {
    if text.eq_ignore_ascii_case("any") {
        return Some(Both { v4: vec![(0, u32::MAX)], v6: vec![(0, u128::MAX)] });
    }
    if let Some((base, mask)) = text.split_once('/') {
        return match base.trim().parse().ok()? {
            IpAddr::V4(a) => {
                let mask = match mask.trim().parse::<Ipv4Addr>() {
                    Ok(m) => u32::from(m),
                    Err(_) => prefix(mask, 32).map(|p| u32::MAX.checked_shl(32 - p).unwrap_or(0))?,
                };
                // A mask with holes has no meaning as a range.
                if mask.leading_ones() + mask.trailing_zeros() < 32 {
                    return None;
                }
                let from = u32::from(a) & mask;
                v4(from.into(), (from | !mask).into())
            }
            IpAddr::V6(a) => {
                let mask = prefix(mask, 128).map(|p| u128::MAX.checked_shl(128 - p).unwrap_or(0))?;
                let from = u128::from(a) & mask;
                v6(from.into(), (from | !mask).into())
            }
        };
    }
    if let Some((from, to)) = text.split_once('-') {
        return match (from.trim().parse().ok()?, to.trim().parse().ok()?) {
            (IpAddr::V4(a), IpAddr::V4(b)) => v4(a, b),
            (IpAddr::V6(a), IpAddr::V6(b)) => v6(a, b),
            _ => None,
        };
    }
    match text.parse().ok()? {
        IpAddr::V4(a) => v4(a, a),
        IpAddr::V6(a) => v6(a, a),
    }
}

fn prefix(text: &str, max: u32) -> Option<u32> {
    text.trim().parse().ok().filter(|p| *p <= max)
}

fn port(text: &str) -> Option<(u16, u16)> {
    if text.eq_ignore_ascii_case("any") {
        return Some((0, u16::MAX));
    }
    let number = |t: &str| t.trim().parse::<u16>().ok();
    match text.split_once(':') {
        Some((from, to)) => {
            let a = if from.trim().is_empty() { 0 } else { number(from)? };
            let b = if to.trim().is_empty() { u16::MAX } else { number(to)? };
            (a <= b).then_some((a, b))
        }
        None => number(text).map(|p| (p, p)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> Vars {
        let mut v = Vars::new();
        v.set_address("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]");
        v.set_address("EXTERNAL_NET", "!$HOME_NET");
        v.set_address("NESTED", "[$HOME_NET,!10.1.0.0/16]");
        v.set_address("A", "$B");
        v.set_address("B", "[1.1.1.1,$A]");
        v.set_port("HTTP_PORTS", "80");
        v.set_port("WEB", "[$HTTP_PORTS,443,8000:8100,!8080]");
        v
    }

    fn has(set: &AddrSet, a: &str) -> bool {
        set.contains(a.parse().unwrap())
    }

    #[test]
    fn addresses_are_set_algebra() {
        let v = vars();
        let s = v.addresses("[10.0.0.0/8,!10.1.0.0/16]").unwrap();
        assert!(has(&s, "10.2.0.1") && !has(&s, "10.1.0.1") && !has(&s, "11.0.0.0") && !has(&s, "::1"));
        let s = v.addresses("!$HOME_NET").unwrap();
        assert!(has(&s, "8.8.8.8") && !has(&s, "10.0.0.1") && has(&s, "2001:db8::1"));
        assert_eq!(s, v.addresses("$EXTERNAL_NET").unwrap());
        let s = v.addresses("$NESTED").unwrap();
        assert!(has(&s, "192.168.1.1") && !has(&s, "10.1.2.3"));
        let s = v.addresses("![$HOME_NET,!10.1.0.0/16]").unwrap();
        assert!(has(&s, "10.1.2.3") && !has(&s, "10.2.2.3"));
        let s = v.addresses("1.2.3.4-1.2.3.9").unwrap();
        assert!(has(&s, "1.2.3.9") && !has(&s, "1.2.3.10"));
        let s = v.addresses("2001:db8::/32").unwrap();
        assert!(has(&s, "2001:db8:ffff::") && !has(&s, "2001:db9::"));
        assert!(v.addresses("any").unwrap().any);
        assert!(v.addresses("[$HOME_NET,!$HOME_NET,any]").is_ok_and(|s| !s.any));
        assert!(has(&v.addresses("10.0.0.0/255.0.0.0").unwrap(), "10.255.0.1"));
        assert!(has(&v.addresses("0.0.0.0/0").unwrap(), "1.1.1.1"));
    }

    #[test]
    fn bad_addresses() {
        let v = vars();
        for (text, code) in [
            ("!any", Code::AddressEmpty),
            ("[1.1.1.1,!1.1.1.1]", Code::AddressEmpty),
            ("$NOPE", Code::Variable),
            ("$A", Code::VariableCycle),
            ("1.2.3", Code::Address),
            ("1.2.3.4/33", Code::Address),
            ("1.2.3.4/255.0.255.0", Code::Address),
            ("9.9.9.9-1.1.1.1", Code::Address),
            ("[1.1.1.1", Code::Syntax),
            ("[1.1.1.1,]", Code::Syntax),
            ("[1.1.1.1]]", Code::Syntax),
        ] {
            assert_eq!(v.addresses(text).unwrap_err().code, code, "{text}");
        }
        let deep = format!("{}any{}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(v.addresses(&deep).unwrap_err().code, Code::Syntax);
    }

    #[test]
    fn ports_too() {
        let v = vars();
        let p = v.ports("$WEB").unwrap();
        assert_eq!(p.0, [(80, 80), (443, 443), (8000, 8079), (8081, 8100)]);
        assert_eq!(v.ports("!80").unwrap().0, [(0, 79), (81, u16::MAX)]);
        assert_eq!(v.ports("1024:").unwrap().0, [(1024, u16::MAX)]);
        assert_eq!(v.ports(":1024").unwrap().0, [(0, 1024)]);
        assert!(v.ports("[!80,!443]").unwrap().contains(81));
        assert!(v.ports("any").unwrap().is_any());
        for (text, code) in
            [("!any", Code::PortEmpty), ("65536", Code::Port), ("9:8", Code::Port), ("x", Code::Port), ("", Code::Port)]
        {
            assert_eq!(v.ports(text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn the_configuration_is_checked_by_itself() {
        let faults = vars().check();
        assert_eq!(faults.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    }
}
