//! Datasets as rules and configuration declare them, and the text of their files.
//!
//! A set is declared by the first who names it with its kind; whoever names it later must mean the same files. Where the
//! files lie is [`ListFiles`]'s to say: rules read beside themselves and write below the data directory only, unless the
//! operator allows more. A file is one value a line (`csv`, with a reputation behind a comma for `datarep`), or JSON:
//! an array of objects (`json`), or an object a line (`ndjson`), each holding the value under `value_key`.

use super::diagnostics::{Code, Fault};
use crate::detect::state::datasets::{DataKind, Dataset, Extra};
use crate::detect::transforms::base64;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Bytes of a set's name.
const NAME_BYTES_MAX: usize = 63;
/// Bytes of one value's context as text.
const CONTEXT_BYTES_MAX: usize = 8_192;

/// Finds and reads the files that rules name. Implemented by who has a disk.
pub trait ListFiles {
    /// The path of a file to read, named by a rule of `rule_file`.
    fn beside(&self, rule_file: &str, name: &str) -> String;

    /// The path of a file to write: `name` below the data directory, or itself where it is absolute.
    fn data(&self, name: &str) -> String;

    /// The bytes; `None` where there is no such file.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String>;
}

/// What the operator allows and presumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetSettings {
    /// Rules may name files to write.
    pub allow_write: bool,
    /// … anywhere on the disk.
    pub allow_absolute: bool,
    /// Bytes of a set for which nothing is said.
    pub memcap: usize,
    /// Hash sizes asked for: of one set, of all together. Tables here grow by themselves; the bounds hold all the same.
    pub hash_size_max: u64,
    pub hash_sizes_max: u64,
    /// Keys the tables' hashes.
    pub seed: u64,
}

impl Default for DatasetSettings {
    fn default() -> Self {
        DatasetSettings {
            allow_write: true,
            allow_absolute: false,
            memcap: 100 << 20,
            hash_size_max: 65_536,
            hash_sizes_max: 16 << 20,
            seed: 0x6461_7461,
        }
    }
}

/// How a set's file is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Csv,
    Json(JsonKeys),
    NdJson(JsonKeys),
}

/// Where JSON holds the values; paths with dots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonKeys {
    pub value: String,
    /// Of the array; empty: the whole.
    pub array: String,
    /// The value is left out of the context.
    pub remove: bool,
}

/// A set as named by a rule or the configuration.
#[derive(Clone, Debug, Default)]
pub struct Declaration<'t> {
    pub name: &'t str,
    pub kind: Option<DataKind>,
    /// Resolved paths; empty: none.
    pub load: String,
    pub save: String,
    pub memcap: Option<usize>,
    pub hash_size: Option<u64>,
    pub format: Format,
}

/// Every set of a load.
#[derive(Default)]
pub struct Datasets {
    pub settings: DatasetSettings,
    sets: Vec<Arc<Dataset>>,
    hash_sizes: u64,
}

fn fault(message: impl Into<String>) -> Fault {
    Fault::new(Code::DatasetFile, message)
}

impl Datasets {
    pub fn sets(&self) -> &[Arc<Dataset>] {
        &self.sets
    }

    pub fn find(&self, name: &str) -> Option<&Arc<Dataset>> {
        self.sets.iter().find(|s| s.name == name)
    }

    /// The set that is meant, made and read where it is the first of its name.
    pub fn declare(&mut self, d: &Declaration<'_>, files: &dyn ListFiles) -> Result<Arc<Dataset>, Fault> {
        if d.name.is_empty() || d.name.len() > NAME_BYTES_MAX {
            return Err(fault(format!("a dataset's name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        if let Some(set) = self.find(d.name) {
            return same(set, d).map(|()| Arc::clone(set));
        }
        let Some(kind) = d.kind else {
            return Err(fault(format!("dataset `{}` is not defined", d.name))
                .help("name its type here, or define it in the configuration"));
        };
        let size = d.hash_size.unwrap_or(4_096);
        if size > self.settings.hash_size_max || self.hash_sizes.saturating_add(size) > self.settings.hash_sizes_max {
            let (one, all) = (self.settings.hash_size_max, self.settings.hash_sizes_max);
            return Err(fault(format!("a hashsize of {size} is more than one set ({one}) or all ({all}) may have"))
                .help("hash tables grow by themselves: leave `hashsize` out"));
        }
        let set = Dataset::new(d.name, kind, &d.load, &d.save, usize::MAX, self.settings.seed);
        if !d.load.is_empty() {
            match files.read(&d.load) {
                Ok(Some(bytes)) => utf8(&bytes, &d.load).and_then(|t| fill(&set, &d.format, t)).map_err(fault)?,
                // What is kept between runs begins with nothing.
                Ok(None) if d.load == d.save => {}
                Ok(None) => return Err(fault(format!("{}: no such file", d.load))),
                Err(why) => return Err(fault(why)),
            }
        }
        set.settle(d.memcap.unwrap_or(self.settings.memcap));
        self.hash_sizes += size;
        let set = Arc::new(set);
        self.sets.push(Arc::clone(&set));
        Ok(set)
    }
}

/// Whether `d` means what `set` is.
fn same(set: &Dataset, d: &Declaration<'_>) -> Result<(), Fault> {
    let again = |what: &str| fault(format!("dataset `{}` was defined with another {what} before", d.name));
    if d.kind.is_some_and(|k| k != set.kind) {
        return Err(again("type"));
    }
    if d.load.is_empty() && d.save.is_empty() {
        return Ok(());
    }
    if d.save != set.save {
        return Err(again("file to save"));
    }
    if d.load != set.load {
        return Err(again("file to load"));
    }
    Ok(())
}

/// A file as text. Other bytes would be values that nothing equals.
fn utf8<'b>(bytes: &'b [u8], path: &str) -> Result<&'b str, String> {
    std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        format!("bytes that are no UTF-8 ({path}:{line}:{column})")
    })
}

/// Puts a file's values into a set. An error says where it is.
pub fn fill(set: &Dataset, format: &Format, text: &str) -> Result<(), String> {
    match format {
        Format::Csv => csv(set, text),
        Format::Json(keys) => json(set, keys, text),
        Format::NdJson(keys) => ndjson(set, keys, text),
    }
}

fn csv(set: &Dataset, text: &str) -> Result<(), String> {
    let mut reputed = None;
    let mut bytes = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let place = |column: usize| format!("{} ({}:{}:{})", set.name, set.load, i + 1, column + 1);
        let (data, rest) = match line.split_once(',') {
            Some((data, rest)) => (data, Some(rest)),
            None => (line, None),
        };
        if *reputed.get_or_insert(rest.is_some()) != rest.is_some() {
            return Err(format!("Cannot mix dataset and datarep values for set {}", place(0)));
        }
        bytes.clear();
        value(set.kind, data, &mut bytes).map_err(|why| format!("{why} {}", place(0)))?;
        let extra = match rest {
            None => Extra::None,
            Some(n) => {
                let n = n.trim().parse().map_err(|_| format!("invalid datarep value {}", place(data.len() + 1)))?;
                Extra::Reputation(n)
            }
        };
        set.insert(&bytes, extra);
    }
    Ok(())
}

/// A value's bytes from its text.
fn value(kind: DataKind, text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match kind {
        DataKind::Text => {
            let digits = text.trim_end_matches('=');
            let padded = text.len() - digits.len() <= 2 && text.len().is_multiple_of(4);
            base64::decode(digits.as_bytes(), base64::Mode::Rfc4648, out);
            if !padded || out.len() != digits.len() * 3 / 4 {
                return Err("bad base64 encoding");
            }
        }
        DataKind::Md5 | DataKind::Sha256 => {
            let bytes = if kind == DataKind::Md5 { 16 } else { 32 };
            let digit = |b: u8| char::from(b).to_digit(16);
            for pair in text.as_bytes().chunks(2) {
                let [a, b] = pair else { return Err("bad hash") };
                let byte = digit(*a).zip(digit(*b)).and_then(|(a, b)| u8::try_from(a << 4 | b).ok());
                out.push(byte.ok_or("bad hash")?);
            }
            if out.len() != bytes {
                return Err("bad hash");
            }
        }
        DataKind::Ipv4 => out.extend_from_slice(&text.parse::<Ipv4Addr>().map_err(|_| "bad IPv4 address")?.octets()),
        DataKind::Ip => match text.parse::<IpAddr>().map_err(|_| "bad IP address")? {
            IpAddr::V4(a) => out.extend_from_slice(&a.octets()),
            IpAddr::V6(a) => out.extend_from_slice(&a.octets()),
        },
    }
    Ok(())
}

fn parse_error(set: &Dataset, line: usize, e: &serde_json::Error) -> String {
    format!("bad JSON for dataset {} ({}:{}:{}): {e}", set.name, set.load, line + e.line(), e.column())
}

fn ndjson(set: &Dataset, keys: &JsonKeys, text: &str) -> Result<(), String> {
    let mut found = text.trim().is_empty();
    for (i, line) in text.lines().enumerate().filter(|l| !l.1.trim().is_empty()) {
        let object = serde_json::from_str(line).map_err(|e| parse_error(set, i, &e))?;
        found |= element(set, keys, object).map_err(|why| format!("{why} ({}:{}:1)", set.load, i + 1))?;
    }
    some(set, keys, found)
}

fn json(set: &Dataset, keys: &JsonKeys, text: &str) -> Result<(), String> {
    let mut whole: serde_json::Value = serde_json::from_str(text).map_err(|e| parse_error(set, 0, &e))?;
    let place = |why: &str| format!("dataset {}: {why} in {}", set.name, set.load);
    let array = match at(&mut whole, &keys.array) {
        Some(serde_json::Value::Array(a)) => std::mem::take(a),
        _ if keys.array.is_empty() => return Err(place("no array")),
        _ => return Err(place(&format!("no array `{}`", keys.array))),
    };
    let mut found = false;
    for (i, object) in array.into_iter().enumerate() {
        found |= element(set, keys, object).map_err(|why| format!("{why} ({}, element {})", set.load, i + 1))?;
    }
    some(set, keys, found)
}

fn some(set: &Dataset, keys: &JsonKeys, found: bool) -> Result<(), String> {
    if found {
        return Ok(());
    }
    Err(format!("No valid entries for key '{}' found in the file '{}'", keys.value, set.load))
}

/// One object; says whether it held a value.
fn element(set: &Dataset, keys: &JsonKeys, mut object: serde_json::Value) -> Result<bool, String> {
    let Some(node) = at(&mut object, &keys.value) else { return Ok(false) };
    let text = node.as_str().ok_or("failed to get value because it is not a string")?.to_owned();
    let mut bytes = Vec::new();
    match set.kind {
        // JSON holds text as it is.
        DataKind::Text => bytes.extend_from_slice(text.as_bytes()),
        kind => value(kind, &text, &mut bytes)?,
    }
    if keys.remove {
        let (above, last) = keys.value.rsplit_once('.').unwrap_or(("", &keys.value));
        if let Some(o) = at(&mut object, above).and_then(|v| v.as_object_mut()) {
            o.remove(last);
        }
    }
    if object.to_string().len() > CONTEXT_BYTES_MAX {
        return Err(format!("the context of a value has more than {CONTEXT_BYTES_MAX} bytes"));
    }
    set.insert(&bytes, Extra::Context(Arc::new(object)));
    Ok(true)
}

/// What stands under a path of keys.
fn at<'v>(v: &'v mut serde_json::Value, path: &str) -> Option<&'v mut serde_json::Value> {
    if path.is_empty() {
        return Some(v);
    }
    path.split('.').try_fold(v, |v, key| v.get_mut(key))
}

/// The fuzz target `dataset`: the first byte says how the rest is to be read; what was read can be written and read again.
pub fn fuzz(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let kinds = [DataKind::Text, DataKind::Md5, DataKind::Sha256, DataKind::Ipv4, DataKind::Ip];
    let Some(kind) = kinds.get(usize::from(how >> 3) % kinds.len()).copied() else { return };
    let keys =
        JsonKeys { value: "a.b".into(), array: if how & 4 > 0 { "c".into() } else { String::new() }, remove: true };
    let format = match how & 3 {
        0 => Format::Csv,
        1 => Format::Json(keys),
        _ => Format::NdJson(keys),
    };
    let text = String::from_utf8_lossy(rest);
    let set = Dataset::new("fuzz", kind, "fuzz.lst", "", 1 << 20, 1);
    if fill(&set, &format, &text).is_err() || format != Format::Csv {
        return;
    }
    let again = Dataset::new("again", kind, "again.lst", "", 1 << 20, 1);
    assert!(fill(&again, &Format::Csv, &set.text()).is_ok(), "what was written cannot be read");
    assert_eq!(again.text(), set.text());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct Disk<'t>(HashMap<&'static str, &'t [u8]>);

    impl ListFiles for Disk<'_> {
        fn beside(&self, _: &str, name: &str) -> String {
            name.to_owned()
        }
        fn data(&self, name: &str) -> String {
            name.to_owned()
        }
        fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
            Ok(self.0.get(path).map(|t| t.to_vec()))
        }
    }

    fn read(kind: DataKind, format: Format, text: impl AsRef<[u8]>) -> Result<Arc<Dataset>, String> {
        let text = text.as_ref();
        let d = Declaration { name: "s", kind: Some(kind), load: "f".into(), format, ..Declaration::default() };
        Datasets::default().declare(&d, &Disk(HashMap::from([("f", text)]))).map_err(|f| f.message)
    }

    #[test]
    fn values_a_line() {
        let s = read(DataKind::Text, Format::Csv, "Zm9v\n\nZm8=\r\n").unwrap();
        assert!(s.contains(b"foo") && s.contains(b"fo") && s.len() == 2);
        let s = read(DataKind::Text, Format::Csv, "Zm9v,3\nZm8=,65535\n").unwrap();
        assert_eq!(s.extra(b"fo"), Some(Extra::Reputation(65_535)));
        let s = read(DataKind::Ip, Format::Csv, "10.0.0.1\n::ffff:10.0.0.2\n4::5\n").unwrap();
        assert!(s.contains(&[10, 0, 0, 1]) && s.contains(&[10, 0, 0, 2]) && s.len() == 3);
    }

    #[test]
    fn bad_files_say_where() {
        for (kind, text, want) in [
            (DataKind::Text, "Zm9v\nZm;9\n", "bad base64 encoding s (f:2:1)"),
            (DataKind::Text, "Zm9\n", "bad base64 encoding s (f:1:1)"),
            (DataKind::Text, "Zm9v,-1\n", "invalid datarep value s (f:1:6)"),
            (DataKind::Text, "Zm9v,65536\n", "invalid datarep value s (f:1:6)"),
            (DataKind::Text, "Zm9v,1\nZm9v\n", "Cannot mix dataset and datarep values for set s (f:2:1)"),
            (DataKind::Md5, "abc\n", "bad hash s (f:1:1)"),
            (DataKind::Ipv4, "::1\n", "bad IPv4 address s (f:1:1)"),
            (DataKind::Ip, "1.2.3\n", "bad IP address s (f:1:1)"),
        ] {
            assert_eq!(read(kind, Format::Csv, text).unwrap_err(), want);
        }
    }

    fn keys(value: &str, array: &str) -> JsonKeys {
        JsonKeys { value: value.into(), array: array.into(), remove: false }
    }

    /// A file cut anywhere gives the values before the cut, or says at which line it is wrong.
    #[test]
    fn cut_anywhere() {
        let md5 = format!("{}\n{}\n{}\n", "07".repeat(16), "a8".repeat(16), "b9".repeat(16));
        let files = [
            (DataKind::Text, Format::Csv, "Zm9v\nZm9vYmFy\nZm8=\n"),
            (DataKind::Text, Format::Csv, "Zm9v,7\nZm9vYmFy,65535\nZm8=,1\n"),
            (DataKind::Md5, Format::Csv, &md5),
            (DataKind::Ipv4, Format::Csv, "10.0.0.1\n192.168.100.200\n8.8.8.8\n"),
            (DataKind::Ip, Format::Csv, "10.0.0.1\n2001:db8::1\n::ffff:8.8.8.8\n"),
            (
                DataKind::Text,
                Format::NdJson(keys("h", "")),
                "{\"h\":\"\u{e9}\"}\n{\"h\":\"b\",\"y\":[1]}\n{\"h\":\"c\"}\n",
            ),
            (DataKind::Text, Format::Json(keys("h", "")), "[{\"h\":\"\u{e9}\"},\n{\"h\":\"b\"},\n{\"h\":\"c\"}]\n"),
        ];
        for (kind, format, text) in files {
            let lines = read(kind, format.clone(), text).unwrap().text();
            let lines: Vec<&str> = lines.lines().collect();
            assert_eq!(lines.len(), 3);
            for cut in 0..text.len() {
                let part = &text.as_bytes()[..cut];
                let whole = part.iter().filter(|b| **b == b'\n').count();
                match read(kind, format.clone(), part) {
                    Ok(set) => {
                        let got = set.text();
                        let got: Vec<&str> = got.lines().collect();
                        // The last one is what is left of it.
                        assert!(got.len() <= whole + 1 && (got.len() == 3 || got.len() >= whole), "{cut}: {got:?}");
                        assert_eq!(got[..whole.min(got.len())], lines[..whole.min(got.len())], "{cut}");
                    }
                    Err(why) => {
                        let line = part.iter().filter(|b| **b == b'\n').count() + 1;
                        let nothing = part.is_empty() || !matches!(format, Format::Csv);
                        let said = why.contains(&format!("(f:{line}:")) || (nothing && why.contains("f:"));
                        assert!(said, "{cut}: {why}");
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        for format in [Format::Csv, Format::NdJson(keys("h", "")), Format::Json(keys("h", ""))] {
            let why = read(DataKind::Text, format, b"[\n{\"h\":\"caf\xe9\"}]").unwrap_err();
            assert_eq!(why, "bytes that are no UTF-8 (f:2:10)");
        }
        assert!(read(DataKind::Text, Format::Csv, b"Zm9v\n\0\n").unwrap_err().contains("(f:2:1)"));
    }

    #[test]
    fn json_gives_context() {
        let text = r#"{"a":{"b":[{"h":{"n":"x.org"},"y":1},{"h":{"n":"y.org"},"y":2},{"other":1}]}}"#;
        let s = read(DataKind::Text, Format::Json(keys("h.n", "a.b")), text).unwrap();
        let Some(Extra::Context(v)) = s.extra(b"y.org") else { panic!("no context") };
        assert_eq!(v.to_string(), r#"{"h":{"n":"y.org"},"y":2}"#);
        let lines = "{\"h\":\"a\",\"y\":1}\n\n{\"h\":\"a\",\"y\":2}\n";
        let remove = JsonKeys { remove: true, ..keys("h", "") };
        let s = read(DataKind::Text, Format::NdJson(remove), lines).unwrap();
        let Some(Extra::Context(v)) = s.extra(b"a") else { panic!("no context") };
        assert_eq!(v.to_string(), r#"{"y":1}"#, "the first of a value stays");
    }

    #[test]
    fn a_context_too_long_is_refused() {
        let with = |len: usize| {
            let text = format!("{{\"h\":\"a\",\"y\":\"{}\"}}", "y".repeat(len - 16));
            assert_eq!(text.len(), len);
            let array = format!("[{text}]");
            (
                read(DataKind::Text, Format::NdJson(keys("h", "")), text),
                read(DataKind::Text, Format::Json(keys("h", "")), array),
            )
        };
        let (lines, array) = with(8_192);
        assert_eq!((lines.unwrap().len(), array.unwrap().len()), (1, 1));
        let (lines, array) = with(8_193);
        for why in [lines.unwrap_err(), array.unwrap_err()] {
            assert!(why.contains("more than 8192 bytes"), "{why}");
        }
    }

    #[test]
    fn bad_json_says_where() {
        for (format, text, want) in [
            (Format::Json(keys("h", "")), "{}", "no array"),
            (Format::Json(keys("h", "a")), "[]", "no array `a`"),
            (Format::Json(keys("h", "")), "[{\"k\":1}]", "No valid entries for key 'h'"),
            (Format::Json(keys("h", "")), "[\n{]", "(f:2:2)"),
            (Format::NdJson(keys("h", "")), "{\"h\":\"a\"}\n{\"h\":true}", "not a string (f:2:1)"),
            (Format::NdJson(keys("h", "")), "{\"h\":\"a\"}\n{\"h", "(f:2:3)"),
        ] {
            let got = read(DataKind::Text, format, text).unwrap_err();
            assert!(got.contains(want), "{got}");
        }
    }

    #[test]
    fn a_set_is_one_thing() {
        let disk = Disk(HashMap::from([("f", &b"Zm9v\n"[..])]));
        let mut sets = Datasets::default();
        let d = Declaration { name: "s", kind: Some(DataKind::Text), load: "f".into(), ..Declaration::default() };
        let first = sets.declare(&d, &disk).unwrap();
        let named = Declaration { name: "s", ..Declaration::default() };
        assert!(Arc::ptr_eq(&first, &sets.declare(&named, &disk).unwrap()));
        let other = Declaration { kind: Some(DataKind::Md5), ..d.clone() };
        assert!(sets.declare(&other, &disk).is_err());
        let other = Declaration { load: "g".into(), ..d.clone() };
        assert!(sets.declare(&other, &disk).is_err());
        let unknown = Declaration { name: "t", ..Declaration::default() };
        assert!(sets.declare(&unknown, &disk).unwrap_err().message.contains("not defined"));
        let kept = Declaration { name: "k", load: "new".into(), save: "new".into(), ..d.clone() };
        assert!(sets.declare(&kept, &disk).is_ok(), "a state may begin with nothing");
        let lost = Declaration { name: "l", load: "new".into(), ..d.clone() };
        assert!(sets.declare(&lost, &disk).is_err());
        let big = Declaration { name: "b", hash_size: Some(1 << 40), ..d };
        assert!(sets.declare(&big, &disk).is_err());
    }
}
