//! Names and sizes of files in flight.

use super::{Argument, Keyword, Kind, Value, content_bytes, int_match};
use crate::applayer::files::FileState;
use crate::applayer::{Direct, Progress, ProtoId, Transaction, TxTest, generic};
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::{Content, IntMatch, KeepFiles, KeptDirection, Op, TxMatch};
use crate::types::Direction;

pub const FILENAME: Keyword = Keyword {
    name: "filename",
    aliases: &[],
    kind: Kind::File,
    argument: Argument::Any,
    doc: "a file's name holds this text, without regard to case; without argument the file.name buffer",
    syntax: "[!]\"<text>\"",
    example_ok: r#"filename:"secret";"#,
    example_bad: r#"filename:"|0|";"#,
    parse: |b, v| {
        if v.given {
            return name(b, v, v.text, false);
        }
        match b.cx.vocabulary.buffer_def(generic::FILE_NAME) {
            Some(def) => b.select(generic::FILE_NAME, def),
            None => Err(Fault::new(Code::Unsupported, "no protocol here carries files")),
        }
    },
};

/// The direction in front of an argument, where there is one.
fn side(text: &str) -> (Direct, &str) {
    for (word, direct) in [("to_server", Direct::ToServer), ("to_client", Direct::ToClient)] {
        if let Some(rest) = text.strip_prefix(word).and_then(|r| r.trim_start().strip_prefix(',')) {
            return (direct, rest.trim());
        }
    }
    (Direct::Both, text)
}

pub const FILEEXT: Keyword = Keyword {
    name: "fileext",
    aliases: &[],
    kind: Kind::File,
    argument: Argument::MaybeQuoted,
    doc: "a file's name ends with a dot and this text, without regard to case",
    syntax: "[!]\"<text>\"",
    example_ok: r#"fileext:"exe";"#,
    example_bad: r#"fileext:"|0|";"#,
    parse: |b, v| name(b, v, &format!(".{}", v.text), true),
};

pub const FILESIZE: Keyword = Keyword {
    name: "filesize",
    aliases: &[],
    kind: Kind::File,
    argument: Argument::Plain,
    doc: "a file of the transaction has so many bytes",
    syntax: "[<to_server|to_client>,]<number or range, 64 bits>",
    example_ok: "filesize:>10kb;",
    example_bad: "filesize:big;",
    parse: |b, v| {
        let (direct, text) = side(v.text);
        let test = int_match(text, u64::MAX).map_err(|f| f.at(v.span.clone()))?;
        b.sig.tx_tests.push(TxMatch {
            proto: ProtoId::ANY,
            direct,
            progress: Progress::NONE,
            test: Box::new(FileSize(test)),
        });
        Ok(())
    },
};

pub const FILEMAGIC: Keyword = Keyword {
    name: "filemagic",
    aliases: &["file.magic"],
    kind: Kind::File,
    argument: Argument::Any,
    doc: "accepted, never met: files are not classified by their first bytes, so a rule that asks never matches",
    syntax: "[!]\"<text>\"",
    example_ok: r#"filemagic:"executable";"#,
    example_bad: r#"filemagic:"executable;"#,
    parse: |b, v| {
        never(b, v, "filemagic", "files are not classified by content");
        Ok(())
    },
};

pub const FILESTORE: Keyword = Keyword {
    name: "filestore",
    aliases: &[],
    kind: Kind::File,
    argument: Argument::Any,
    doc: "after a match the files of the transaction, or of the flow, are kept where the configuration has a file store",
    syntax: "[<request|to_server|response|to_client|both>[,<file|tx|ssn|flow>]]",
    example_ok: "filestore:both,flow;",
    example_bad: "filestore:sideways;",
    parse: |b, v| {
        b.sig.keep_files = Some(kept(v.text).map_err(|f| f.at(v.span.clone()))?);
        b.sig.tx_tests.push(TxMatch {
            proto: ProtoId::ANY,
            direct: Direct::Both,
            progress: Progress::NONE,
            test: Box::new(AnyFile),
        });
        Ok(())
    },
};

/// Which direction's files, and of what.
fn kept(text: &str) -> Result<KeepFiles, Fault> {
    let (direct, scope) = text.split_once(',').unwrap_or((text, ""));
    let direct = match direct.trim() {
        "" => KeptDirection::Match,
        "request" | "to_server" => KeptDirection::ToServer,
        "response" | "to_client" => KeptDirection::ToClient,
        "both" => KeptDirection::Both,
        other => return Err(Fault::argument(format!("`{other}` is no direction")).help(FILESTORE.syntax)),
    };
    let whole_flow = match scope.trim() {
        "" | "file" | "tx" => false,
        "ssn" | "flow" => true,
        other => return Err(Fault::argument(format!("`{other}` is no scope")).help(FILESTORE.syntax)),
    };
    Ok(KeepFiles { direct, whole_flow })
}

/// The transaction carries a file.
#[derive(Debug)]
struct AnyFile;

impl TxTest for AnyFile {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        if tx.files(dir).is_empty() && tx.progress(dir) != Progress::DONE {
            None
        } else {
            Some(!tx.files(dir).is_empty())
        }
    }
}

/// The rule loads with a warning and matches nothing: what it asks cannot be known, and to take it for true would alert
/// on any file.
fn never(b: &mut Builder<'_>, v: &Value<'_>, word: &str, why: &str) {
    let mut fault = Fault::new(Code::Ineffective, format!("`{word}` is never met: {why}"));
    if v.given {
        fault = fault.at(v.span.clone());
    }
    b.warn(fault);
    b.sig.tx_tests.push(TxMatch {
        proto: ProtoId::ANY,
        direct: Direct::Both,
        progress: Progress::NONE,
        test: Box::new(Never),
    });
}

#[derive(Debug)]
struct Never;

impl TxTest for Never {
    fn matches(&self, _: &dyn Transaction, _: Direction) -> Option<bool> {
        Some(false)
    }
}

fn name(b: &mut Builder<'_>, v: &Value<'_>, text: &str, ends: bool) -> Result<(), Fault> {
    let bytes = content_bytes(text).map_err(|f| f.at(v.span.clone()))?;
    let Some(def) = b.cx.vocabulary.buffer_def(generic::FILE_NAME) else {
        return Err(Fault::new(Code::Unsupported, "no protocol here carries files"));
    };
    let content = Content {
        bytes,
        nocase: true,
        negated: v.negated,
        offset: None,
        depth: None,
        distance: None,
        within: None,
        startswith: false,
        endswith: ends,
        rawbytes: false,
        fast_pattern: None,
    };
    b.push_to(generic::FILE_NAME, def, Op::Content(content))
}

#[derive(Debug)]
struct FileSize(IntMatch);

impl TxTest for FileSize {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        let files = tx.files(dir);
        let grown_enough =
            |size: u64| matches!(self.0, IntMatch::Gt(v) if size > v) || matches!(self.0, IntMatch::Ge(v) if size >= v);
        let mut open = files.is_empty() && tx.progress(dir) != Progress::DONE;
        for f in files {
            match f.state {
                FileState::Open if grown_enough(f.size) => return Some(true),
                FileState::Open => open = true,
                _ if self.0.matches(f.size) => return Some(true),
                _ => {}
            }
        }
        if open { None } else { Some(false) }
    }
}
