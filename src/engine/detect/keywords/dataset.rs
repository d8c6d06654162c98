//! `dataset` and `datarep`: the buffer looked up in a named set.
//!
//! The buffer as a whole is the value, after its transforms. `set` and `unset` change the set where they stand, and match
//! where that changed it. Values of JSON sets have a context, which alerts show.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Code, DataFormat, Declaration, Fault, JsonKeys, ListFiles};
use crate::detect::signature::{BufferOp, IntMatch, Op};
use crate::detect::state::datasets::{DataKind, Dataset, Extra};
use std::sync::Arc;

pub const DATASET: Keyword = Keyword {
    name: "dataset",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "whether the buffer is in a named set, or adds it to the set or takes it away",
    syntax: "<isset|isnotset|set|unset>,<name>[, type <string|md5|sha256|ipv4|ipv6|ip>][, load <file>][, save <file>]\
             [, state <file>][, memcap <size>][, hashsize <n>][, format <csv|json|ndjson>][, value_key <path>]\
             [, array_key <path>][, context_key <name>][, remove_key][, match subdomain]",
    example_ok: "file.data; dataset:set,seen,type string;",
    example_bad: "dataset:isset,seen,type string;",
    parse: |b, v| dataset(b, v).map_err(|f| f.at(v.span.clone())),
};

pub const DATAREP: Keyword = Keyword {
    name: "datarep",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Plain,
    doc: "whether the buffer is in a list with a reputation above, below or equal to a number",
    syntax: "<name>, <op>, <0-65535>[, load <file>][, type <string|md5|sha256|ipv4|ipv6|ip>][, memcap <size>]\
             [, hashsize <n>]",
    example_ok: "",
    example_bad: "file.data; datarep:list, ~, 5;",
    parse: |b, v| datarep(b, v).map_err(|f| f.at(v.span.clone())),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    IsSet,
    IsNotSet,
    Set,
    Unset,
}

#[derive(Debug)]
struct Lookup {
    set: Arc<Dataset>,
    command: Command,
    subdomain: bool,
    /// What an alert calls the value's context.
    context: Option<Arc<str>>,
}

impl Lookup {
    /// The value that is in the set: the buffer, or with `match subdomain` what is left of it from a later dot on.
    fn held<'d>(&self, data: &'d [u8]) -> Option<&'d [u8]> {
        if self.set.contains(data) {
            return Some(data);
        }
        if !self.subdomain {
            return None;
        }
        let dots = data.iter().enumerate().skip(1).filter(|(_, b)| **b == b'.');
        dots.filter_map(|(i, _)| data.get(i..)).find(|tail| self.set.contains(tail))
    }
}

impl BufferOp for Lookup {
    fn matches(&self, data: &[u8], _at: usize) -> bool {
        if data.is_empty() {
            return false;
        }
        match self.command {
            Command::IsSet => self.held(data).is_some(),
            Command::IsNotSet => self.held(data).is_none(),
            Command::Set => self.set.add(data),
            Command::Unset => self.set.remove(data),
        }
    }

    fn moves_with_cursor(&self) -> bool {
        false
    }

    fn changes(&self) -> bool {
        matches!(self.command, Command::Set | Command::Unset)
    }

    fn awaits_turn(&self) -> bool {
        self.set.is_changed_by_rules()
    }

    fn has_context(&self) -> bool {
        self.context.is_some()
    }

    fn context(&self, data: &[u8]) -> Option<(Arc<str>, Arc<serde_json::Value>)> {
        let key = self.context.clone()?;
        match self.set.extra(self.held(data)?)? {
            Extra::Context(v) => Some((key, v)),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Reputed {
    set: Arc<Dataset>,
    test: IntMatch,
}

impl BufferOp for Reputed {
    fn matches(&self, data: &[u8], _at: usize) -> bool {
        matches!(self.set.extra(data), Some(Extra::Reputation(n)) if self.test.matches(n.into()))
    }

    fn moves_with_cursor(&self) -> bool {
        false
    }

    fn awaits_turn(&self) -> bool {
        self.set.is_changed_by_rules()
    }
}

/// Options both keywords have.
#[derive(Default)]
struct Options<'t> {
    kind: Option<DataKind>,
    load: Option<&'t str>,
    save: Option<&'t str>,
    state: Option<&'t str>,
    memcap: Option<usize>,
    hash_size: Option<u64>,
}

impl<'t> Options<'t> {
    /// Takes an option that is known; says whether it was.
    fn take(&mut self, key: &str, value: &'t str) -> Result<bool, Fault> {
        let twice = match key {
            "type" => {
                let kind = DataKind::by_name(value);
                self.kind = Some(kind.ok_or_else(|| Fault::argument(format!("`{value}` is no type of values")))?);
                false
            }
            "load" => self.load.replace(value).is_some(),
            "save" => self.save.replace(value).is_some(),
            "state" => self.state.replace(value).is_some(),
            "memcap" => {
                let n = size(value).and_then(|n| usize::try_from(n).ok());
                self.memcap = Some(n.ok_or_else(|| Fault::argument(format!("`{value}` is no size")))?);
                false
            }
            "hashsize" => {
                self.hash_size = Some(size(value).ok_or_else(|| Fault::argument(format!("`{value}` is no size")))?);
                false
            }
            _ => return Ok(false),
        };
        if twice {
            return Err(Fault::new(Code::Repeated, format!("`{key}` stands twice")));
        }
        Ok(true)
    }

    fn declare(self, b: &mut Builder<'_>, name: &str, format: DataFormat) -> Result<Arc<Dataset>, Fault> {
        if self.state.is_some() && (self.load.is_some() || self.save.is_some()) {
            return Err(Fault::new(Code::Conflict, "`state` is both `load` and `save`: it goes with neither"));
        }
        let nowhere: &dyn ListFiles = &Nowhere;
        let files = b.cx.files.as_deref().unwrap_or(nowhere);
        let mut datasets = b.cx.datasets.borrow_mut();
        let writable = |name: &str| {
            let s = &datasets.settings;
            let path = std::path::Path::new(name);
            let climbs = path.components().any(|c| c == std::path::Component::ParentDir);
            if !s.allow_write {
                Err(Fault::argument("rules may not write files").help("see datasets.rules.allow-write"))
            } else if !s.allow_absolute && (path.is_absolute() || climbs) {
                Err(Fault::argument(format!("`{name}` leads out of the data directory"))
                    .help("see datasets.rules.allow-absolute-filenames"))
            } else {
                Ok(files.data(name))
            }
        };
        let save = self.state.or(self.save).map(writable).transpose()?.unwrap_or_default();
        let load = match (self.state, self.load) {
            (Some(_), _) => save.clone(),
            (None, Some(name)) => files.beside(&b.sig.origin.file, name),
            (None, None) => String::new(),
        };
        let d = Declaration {
            name,
            kind: self.kind,
            load,
            save,
            memcap: self.memcap.filter(|n| *n > 0),
            hash_size: self.hash_size.filter(|n| *n > 0),
            format,
        };
        datasets.declare(&d, files)
    }
}

/// Where nobody has a disk.
struct Nowhere;

impl ListFiles for Nowhere {
    fn beside(&self, _: &str, name: &str) -> String {
        name.to_owned()
    }

    fn data(&self, name: &str) -> String {
        name.to_owned()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        Err(format!("{path}: lists are not read here"))
    }
}

/// `1024`, `10kb`, `100MB`, `1gb`.
pub fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let scale = match lower.get(digits.len()..)?.trim() {
        "" | "b" => 0,
        "kb" | "kib" | "k" => 10,
        "mb" | "mib" | "m" => 20,
        "gb" | "gib" | "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << scale)
}

/// `key value` of a part between commas.
fn pair(part: &str) -> (&str, &str) {
    let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
    (key, value.trim())
}

fn sticky(b: &Builder<'_>) -> Result<(), Fault> {
    if b.sticky().is_some() {
        return Ok(());
    }
    Err(Fault::new(Code::NeedsBuffer, "a list is asked about a sticky buffer").help("select one before it"))
}

fn set_name<'t>(text: Option<&'t str>, syntax: &'static str) -> Result<&'t str, Fault> {
    text.map(str::trim)
        .filter(|t| !t.is_empty() && !t.contains(char::is_whitespace))
        .ok_or_else(|| Fault::argument("the name of a set is expected, without blanks").help(syntax))
}

fn dataset(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    sticky(b)?;
    let mut parts = v.text.split(',').map(str::trim);
    let command = match parts.next().unwrap_or("") {
        "isset" => Command::IsSet,
        "isnotset" => Command::IsNotSet,
        "set" => Command::Set,
        "unset" => Command::Unset,
        other => return Err(Fault::argument(format!("`{other}` is unknown here")).help(DATASET.syntax)),
    };
    let name = set_name(parts.next(), DATASET.syntax)?;
    let mut options = Options::default();
    let (mut format, mut keys, mut context, mut subdomain) = ("csv", JsonKeys::default(), None, false);
    for part in parts.filter(|p| !p.is_empty()) {
        let (key, value) = pair(part);
        match (key, value) {
            ("remove_key", "") => keys.remove = true,
            (_, "") => return Err(Fault::argument(format!("`{key}` needs a value")).help(DATASET.syntax)),
            ("match", "subdomain") => subdomain = true,
            ("format", "csv" | "json" | "ndjson") => format = value,
            ("value_key", _) => value.clone_into(&mut keys.value),
            ("array_key", _) => value.clone_into(&mut keys.array),
            ("context_key", _) if value.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') => {
                context = Some(Arc::from(value));
            }
            _ if options.take(key, value)? => {}
            _ => return Err(Fault::argument(format!("`{part}` is unknown here")).help(DATASET.syntax)),
        }
    }
    let changes = matches!(command, Command::Set | Command::Unset);
    if subdomain && (changes || options.kind != Some(DataKind::Text)) {
        return Err(Fault::new(Code::Conflict, "`match subdomain` goes with isset and isnotset, and type string"));
    }
    let json = format != "csv";
    if json {
        if changes || options.save.is_some() || options.state.is_some() {
            return Err(Fault::new(Code::Conflict, "a set of JSON is asked only, neither changed nor saved"));
        }
        if context.is_none() || keys.value.is_empty() {
            return Err(Fault::argument("a set of JSON needs `context_key` and `value_key`").help(DATASET.syntax));
        }
    }
    let format = match format {
        "json" => DataFormat::Json(keys),
        "ndjson" => DataFormat::NdJson(JsonKeys { array: String::new(), ..keys }),
        _ => DataFormat::Csv,
    };
    let set = options.declare(b, name, format)?;
    if changes {
        set.rules_change_it();
    }
    let context = context.filter(|_| json && command == Command::IsSet);
    b.push(Op::Custom(Box::new(Lookup { set, command, subdomain, context })));
    Ok(())
}

fn datarep(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    sticky(b)?;
    let mut parts = v.text.split(',').map(str::trim);
    let name = set_name(parts.next(), DATAREP.syntax)?;
    let op = parts.next().unwrap_or("");
    let n = parts.next().unwrap_or("").parse::<u16>();
    let n = n.map_err(|_| Fault::argument("a reputation of 0 to 65535 is expected").help(DATAREP.syntax))?;
    let n = u64::from(n);
    let test = match op {
        "<" => IntMatch::Lt(n),
        ">" => IntMatch::Gt(n),
        "==" | "=" => IntMatch::Eq(n),
        "<=" => IntMatch::Le(n),
        ">=" => IntMatch::Ge(n),
        "!=" => IntMatch::Ne(n),
        _ => return Err(Fault::argument(format!("`{op}` compares nothing")).help("one of < > ==")),
    };
    let mut options = Options::default();
    for part in parts.filter(|p| !p.is_empty()) {
        let (key, value) = pair(part);
        let known = !value.is_empty() && !matches!(key, "save" | "state") && options.take(key, value)?;
        if !known {
            return Err(Fault::argument(format!("`{part}` is unknown here")).help(DATAREP.syntax));
        }
    }
    if options.load.is_some() && options.kind.is_none() {
        return Err(Fault::argument("`load` needs a `type`").help(DATAREP.syntax));
    }
    let set = options.declare(b, name, DataFormat::Csv)?;
    b.push(Op::Custom(Box::new(Reputed { set, test })));
    Ok(())
}
