//! Datasets: named sets of values that rules ask and change, shared by all workers.
//!
//! A set that rules change is asked and changed in the order of packets where workers take turns (see `shared`).
//!
//! A set has one kind of value and a bound in bytes; a value that finds no room is not added, and that is counted. A value
//! may carry a reputation or a context, the words about it that an alert shows. Addresses of either family are one kind:
//! an IPv4 address is its IPv6-mapped form. Reading and writing files is whose who has a disk: a set knows only their
//! names, and can write itself out as text, in the order its values came.

use super::hosts::Seeded;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes an entry is billed beside its value.
const ENTRY_BYTES: usize = 96;

/// What a set's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    Text,
    Md5,
    Sha256,
    Ipv4,
    /// Either family.
    Ip,
}

impl DataKind {
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "string" => DataKind::Text,
            "md5" => DataKind::Md5,
            "sha256" => DataKind::Sha256,
            "ipv4" => DataKind::Ipv4,
            "ip" | "ipv6" => DataKind::Ip,
            _ => return None,
        })
    }

    /// The key that bytes of a buffer look up; `None`: they can be no value of this kind.
    fn key<'d>(self, data: &'d [u8], wide: &'d mut [u8; 16]) -> Option<&'d [u8]> {
        match (self, data.len()) {
            (_, 0) => None,
            (DataKind::Text, _) | (DataKind::Md5, 16) | (DataKind::Sha256, 32) | (DataKind::Ipv4, 4) => Some(data),
            (DataKind::Ip, 16) => Some(data),
            (DataKind::Ip, 4) => {
                let [a, b, c, d]: [u8; 4] = data.try_into().ok()?;
                *wide = Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().octets();
                Some(wide)
            }
            _ => None,
        }
    }
}

/// What is known of a value beside that it is there.
#[derive(Clone, Debug, PartialEq)]
pub enum Extra {
    None,
    Reputation(u16),
    Context(Arc<serde_json::Value>),
}

#[derive(Debug)]
struct Entry {
    /// Order of arrival.
    number: u64,
    extra: Extra,
}

#[derive(Debug)]
struct Table {
    map: HashMap<Box<[u8]>, Entry, Seeded>,
    bytes: usize,
    /// Bytes its values may take.
    bytes_max: usize,
    next: u64,
    refused: u64,
}

/// One set.
#[derive(Debug)]
pub struct Dataset {
    pub name: String,
    pub kind: DataKind,
    /// Where it was read from; empty: nowhere.
    pub load: String,
    /// Where it is written at the end; empty: nowhere.
    pub save: String,
    /// Some rule adds values or takes them away.
    changed_by_rules: AtomicBool,
    table: RwLock<Table>,
}

impl Dataset {
    pub fn new(name: &str, kind: DataKind, load: &str, save: &str, bytes_max: usize, seed: u64) -> Self {
        let map = HashMap::with_hasher(Seeded(seed));
        Dataset {
            name: name.to_owned(),
            kind,
            load: load.to_owned(),
            save: save.to_owned(),
            changed_by_rules: AtomicBool::new(false),
            table: RwLock::new(Table { map, bytes: 0, bytes_max, next: 0, refused: 0 }),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read from its file stays, whatever its size; from here on `bytes_max` holds for what is added.
    pub fn settle(&self, bytes_max: usize) {
        let mut t = self.write();
        t.bytes_max = bytes_max.max(t.bytes);
    }

    /// A rule was loaded that changes the set. What asks it from now on does so in the order of packets.
    pub fn rules_change_it(&self) {
        self.changed_by_rules.store(true, Ordering::Relaxed);
    }

    pub fn is_changed_by_rules(&self) -> bool {
        self.changed_by_rules.load(Ordering::Relaxed)
    }

    pub fn len(&self) -> usize {
        self.read().map.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values that found no room.
    pub fn refused(&self) -> u64 {
        self.read().refused
    }

    pub fn contains(&self, data: &[u8]) -> bool {
        let mut wide = [0; 16];
        self.kind.key(data, &mut wide).is_some_and(|k| self.read().map.contains_key(k))
    }

    /// What is known of a value that is there.
    pub fn extra(&self, data: &[u8]) -> Option<Extra> {
        let mut wide = [0; 16];
        let key = self.kind.key(data, &mut wide)?;
        self.read().map.get(key).map(|e| e.extra.clone())
    }

    /// Adds a value; says whether it is new.
    pub fn add(&self, data: &[u8]) -> bool {
        self.insert(data, Extra::None)
    }

    /// Adds a value with what is known of it, unless it is there already.
    pub fn insert(&self, data: &[u8], extra: Extra) -> bool {
        let mut wide = [0; 16];
        self.kind.key(data, &mut wide).is_some_and(|key| self.put(key, extra))
    }

    /// What rules put into the set of this name before a reload is not forgotten. Values of other kinds are.
    pub fn take_over(&self, before: &Dataset) {
        if before.kind != self.kind {
            return;
        }
        let mut all: Vec<(u64, Box<[u8]>, Extra)> =
            before.read().map.iter().map(|(k, e)| (e.number, k.clone(), e.extra.clone())).collect();
        all.sort_unstable_by_key(|(number, ..)| *number);
        for (_, key, extra) in all {
            self.put(&key, extra);
        }
    }

    fn put(&self, key: &[u8], extra: Extra) -> bool {
        if self.read().map.contains_key(key) {
            return false;
        }
        let mut t = self.write();
        let bytes = key.len().saturating_add(ENTRY_BYTES).saturating_add(match &extra {
            Extra::Context(v) => weight(v),
            _ => 0,
        });
        if t.bytes.saturating_add(bytes) > t.bytes_max {
            t.refused += 1;
            return false;
        }
        let number = t.next;
        // Another worker may have been quicker.
        if t.map.contains_key(key) {
            return false;
        }
        t.map.insert(key.into(), Entry { number, extra });
        t.bytes += bytes;
        t.next += 1;
        true
    }

    /// Takes a value away; says whether it was there.
    pub fn remove(&self, data: &[u8]) -> bool {
        let mut wide = [0; 16];
        let Some(key) = self.kind.key(data, &mut wide) else { return false };
        let mut t = self.write();
        let Some(e) = t.map.remove(key) else { return false };
        let context = if let Extra::Context(v) = &e.extra { weight(v) } else { 0 };
        t.bytes = t.bytes.saturating_sub(key.len() + ENTRY_BYTES + context);
        true
    }

    /// The set as its file has it: a value a line, with its reputation where it has one.
    pub fn text(&self) -> String {
        let t = self.read();
        let mut rows: Vec<(&[u8], &Entry)> = t.map.iter().map(|(k, e)| (k.as_ref(), e)).collect();
        rows.sort_unstable_by_key(|r| r.1.number);
        let mut out = String::new();
        for (key, e) in rows {
            written(self.kind, key, &mut out);
            if let Extra::Reputation(n) = e.extra {
                let _ = write!(out, ",{n}");
            }
            out.push('\n');
        }
        out
    }

    /// What must always hold; for tests.
    #[cfg(test)]
    fn invariants(&self) {
        let t = self.read();
        assert!(t.bytes <= t.bytes_max);
        assert_eq!(t.map.is_empty(), t.bytes == 0);
    }
}

/// Bytes a context holds, about.
fn weight(v: &serde_json::Value) -> usize {
    32 + match v {
        serde_json::Value::String(s) => s.len(),
        serde_json::Value::Array(a) => a.iter().map(weight).sum(),
        serde_json::Value::Object(o) => o.iter().map(|(k, v)| k.len() + weight(v)).sum(),
        _ => 0,
    }
}

fn written(kind: DataKind, key: &[u8], out: &mut String) {
    match kind {
        DataKind::Text => base64(key, out),
        DataKind::Md5 | DataKind::Sha256 => key.iter().for_each(|b| {
            let _ = write!(out, "{b:02x}");
        }),
        DataKind::Ipv4 => {
            if let Ok(k) = <[u8; 4]>::try_from(key) {
                let _ = write!(out, "{}", Ipv4Addr::from(k));
            }
        }
        DataKind::Ip => {
            if let Ok(k) = <[u8; 16]>::try_from(key) {
                let a = Ipv6Addr::from(k);
                match a.to_ipv4_mapped() {
                    Some(a) => {
                        let _ = write!(out, "{a}");
                    }
                    None => a.segments().iter().enumerate().for_each(|(i, s)| {
                        let _ = write!(out, "{}{s:04x}", if i > 0 { ":" } else { "" });
                    }),
                }
            }
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4, padded.
fn base64(data: &[u8], out: &mut String) {
    for group in data.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = ALPHABET.get((bits >> (18 - 6 * i) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if i > group.len() { '=' } else { char::from(digit) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kind: DataKind, bytes_max: usize) -> Dataset {
        Dataset::new("s", kind, "", "", bytes_max, 1)
    }

    #[test]
    fn values_come_and_go() {
        let s = set(DataKind::Text, 1 << 20);
        assert!(s.add(b"b") && s.add(b"a") && !s.add(b"a") && !s.add(b""));
        assert!(s.contains(b"a") && !s.contains(b"c") && !s.contains(b""));
        assert_eq!(s.text(), "Yg==\nYQ==\n");
        assert!(s.remove(b"b") && !s.remove(b"b"));
        s.invariants();
        assert!(s.remove(b"a") && s.is_empty());
        s.invariants();
    }

    #[test]
    fn what_rules_learned_outlives_them() {
        let (old, new) = (set(DataKind::Ip, 1 << 20), set(DataKind::Ip, 1 << 20));
        assert!(old.add(&[10, 0, 0, 1]) && old.insert(&[10, 0, 0, 2], Extra::Reputation(7)) && new.add(&[10, 0, 0, 1]));
        new.take_over(&old);
        new.invariants();
        assert_eq!(
            (new.text().as_str(), new.extra(&[10, 0, 0, 2])),
            ("10.0.0.1\n10.0.0.2,7\n", Some(Extra::Reputation(7)))
        );
        let other = set(DataKind::Text, 1 << 20);
        other.take_over(&old);
        assert!(other.is_empty());
    }

    #[test]
    fn a_full_set_takes_nothing_more() {
        let s = set(DataKind::Text, 1_000);
        for i in 0..100u32 {
            s.add(&i.to_be_bytes());
            s.invariants();
        }
        assert_eq!((s.len(), s.refused()), (10, 90));
        assert!(s.remove(&0u32.to_be_bytes()) && s.add(b"abcd"));
    }

    #[test]
    fn kinds_take_what_is_theirs() {
        let s = set(DataKind::Md5, 1 << 20);
        assert!(!s.add(b"short") && s.add(&[7; 16]));
        assert_eq!(s.text(), format!("{}\n", "07".repeat(16)));
        let s = set(DataKind::Ip, 1 << 20);
        assert!(s.add(&[10, 0, 0, 1]));
        assert!(s.contains(&Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets()));
        assert!(s.add(&"4:5::6".parse::<Ipv6Addr>().unwrap().octets()));
        assert_eq!(s.text(), "10.0.0.1\n0004:0005:0000:0000:0000:0000:0000:0006\n");
        let s = set(DataKind::Ipv4, 1 << 20);
        assert!(!s.add(&[0; 16]) && s.add(&[1, 2, 3, 4]));
        assert!(s.insert(&[1, 2, 3, 5], Extra::Reputation(7)));
        assert_eq!(s.text(), "1.2.3.4\n1.2.3.5,7\n");
        assert_eq!(s.extra(&[1, 2, 3, 5]), Some(Extra::Reputation(7)));
    }

    #[test]
    fn text_is_written_in_base64() {
        let mut out = String::new();
        for (data, want) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            out.clear();
            base64(data.as_bytes(), &mut out);
            assert_eq!(out, want);
        }
    }
}
