//! Lists of files by their hash: `filemd5`, `filesha1`, `filesha256`.
//!
//! A list has one hash a line in hexadecimal; what follows it on the line, empty lines and lines that begin with `#` count
//! for nothing. A file is looked up when it has ended and was seen whole. Lists are read when rules are loaded, beside the
//! file of the rule, and bounded by [`ENTRIES_MAX`].

use super::{Argument, Keyword, Kind, Value};
use crate::applayer::files::{File, FileState, Hashes};
use crate::applayer::{Direct, Progress, ProtoId, Transaction, TxTest};
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::TxMatch;
use crate::types::Direction;
use std::collections::HashSet;

/// Hashes of one list.
const ENTRIES_MAX: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha1,
    Sha256,
}

impl Hash {
    /// Digits in hexadecimal.
    fn digits(self) -> usize {
        match self {
            Hash::Md5 => 32,
            Hash::Sha1 => 40,
            Hash::Sha256 => 64,
        }
    }

    fn of(self, f: &File) -> Option<&str> {
        match self {
            Hash::Md5 => f.md5.as_deref(),
            Hash::Sha1 => f.sha1.as_deref(),
            Hash::Sha256 => f.sha256.as_deref(),
        }
    }
}

macro_rules! lists {
    ($($id:ident $name:literal $hash:ident $what:literal;)*) => {$(
        pub const $id: Keyword = Keyword {
            name: $name,
            aliases: &[],
            kind: Kind::File,
            argument: Argument::Any,
            doc: concat!("a whole file's ", $what, " is in a list, or with `!` is not"),
            syntax: "[!]<file of hashes, one a line>",
            example_ok: "",
            example_bad: concat!($name, ":;"),
            parse: |b, v| list(b, v, Hash::$hash).map_err(|f| f.at(v.span.clone())),
        };
    )*};
}

lists! {
    FILEMD5 "filemd5" Md5 "MD5";
    FILESHA1 "filesha1" Sha1 "SHA-1";
    FILESHA256 "filesha256" Sha256 "SHA-256";
}

fn list(b: &mut Builder<'_>, v: &Value<'_>, hash: Hash) -> Result<(), Fault> {
    let text = v.text.trim();
    let (negated, name) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (v.negated, text),
    };
    if name.is_empty() {
        return Err(Fault::argument("the name of a file of hashes is expected"));
    }
    let unread = |why: String| Fault::new(Code::Unsupported, format!("the list cannot be used: {why}"));
    let files = b.cx.files.as_deref().ok_or_else(|| unread("files are not read here".into()))?;
    let path = files.beside(&b.sig.origin.file, name);
    let bytes = files.read(&path).map_err(unread)?.ok_or_else(|| unread(format!("{path}: no such file")))?;
    let hashes = parse(&bytes, hash.digits(), ENTRIES_MAX)
        .map_err(|(line, why)| Fault::argument(format!("{path}:{line}: {why}")))?;
    let wanted = Hashes { md5: hash == Hash::Md5, sha1: hash == Hash::Sha1, sha256: hash == Hash::Sha256 };
    b.sig.hashes = b.sig.hashes.or(wanted);
    b.sig.tx_tests.push(TxMatch {
        proto: ProtoId::ANY,
        direct: Direct::Both,
        progress: Progress::NONE,
        test: Box::new(HashList { hash, negated, hashes }),
    });
    Ok(())
}

/// The hashes of a list, `max` at most; an error with its line.
fn parse(bytes: &[u8], digits: usize, max: usize) -> Result<HashSet<Box<[u8]>>, (usize, String)> {
    let mut set = HashSet::new();
    for (i, line) in bytes.split(|c| *c == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let word = line.split(|c| !c.is_ascii_hexdigit()).next().unwrap_or_default();
        if word.len() != digits {
            return Err((i + 1, format!("a hash of {digits} hexadecimal digits is expected")));
        }
        set.insert(word.to_ascii_lowercase().into());
        if set.len() > max {
            return Err((i + 1, format!("more than {max} hashes")));
        }
    }
    Ok(set)
}

#[derive(Debug)]
struct HashList {
    hash: Hash,
    negated: bool,
    hashes: HashSet<Box<[u8]>>,
}

impl TxTest for HashList {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        let files = tx.files(dir);
        let found = |f: &File| {
            f.state == FileState::Closed
                && self.hash.of(f).is_some_and(|h| self.hashes.contains(h.as_bytes()) != self.negated)
        };
        if files.iter().any(found) {
            return Some(true);
        }
        let open = files.iter().any(|f| f.state == FileState::Open);
        if open || tx.progress(dir) != Progress::DONE { None } else { Some(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_hashes() {
        let text = b"# a list\n900150983CD24FB0d6963f7d28e17f72  abc.bin\r\n\n0123456789abcdef0123456789abcdef\n";
        let set = parse(text, 32, 2).unwrap();
        assert_eq!(set.len(), 2);
        assert!(set.contains(&b"900150983cd24fb0d6963f7d28e17f72"[..]));
        assert_eq!(parse(b"#\nabc", 32, 2), Err((2, "a hash of 32 hexadecimal digits is expected".into())));
        assert!(parse(text, 64, 2).is_err());
    }

    #[test]
    fn a_list_too_long_is_refused() {
        let list = |n: u32| (0..n).map(|i| format!("{i:032x}\n")).collect::<String>();
        assert_eq!(parse(list(5).as_bytes(), 32, 5).unwrap().len(), 5);
        assert_eq!(parse(list(6).as_bytes(), 32, 5), Err((6, "more than 5 hashes".into())));
        // What is there already is no further one.
        assert_eq!(parse((list(5) + &list(5)).as_bytes(), 32, 5).unwrap().len(), 5);
    }
}
