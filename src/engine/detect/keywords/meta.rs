//! What a rule says of itself: message, numbers, class, references.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::{Reference, Target};

pub const MSG: Keyword = Keyword {
    name: "msg",
    aliases: &[],
    kind: Kind::Meta,
    argument: Argument::Quoted,
    doc: "the text of the alert",
    syntax: "\"<text>\"",
    example_ok: r#"msg:"an alert\; with a semicolon";"#,
    example_bad: "msg:bare;",
    parse: msg,
};

pub const SID: Keyword = Keyword {
    name: "sid",
    aliases: &[],
    kind: Kind::Meta,
    argument: Argument::Plain,
    doc: "the rule's number, unique within its gid",
    syntax: "<number>",
    example_ok: "",
    example_bad: "sid:0;",
    parse: |b, v| {
        b.once("sid")?;
        b.sig.sid = positive(v)?;
        Ok(())
    },
};

pub const GID: Keyword = Keyword {
    name: "gid",
    aliases: &[],
    kind: Kind::Meta,
    argument: Argument::Plain,
    doc: "the group the sid is unique in, 1 where nothing is said",
    syntax: "<number>",
    example_ok: "gid:2;",
    example_bad: "gid:x;",
    parse: |b, v| {
        b.sig.gid = number(v)?;
        Ok(())
    },
};

pub const REV: Keyword = Keyword {
    name: "rev",
    aliases: &[],
    kind: Kind::Meta,
    argument: Argument::Plain,
    doc: "the rule's revision; of two rules with one sid the higher stays",
    syntax: "<number>",
    example_ok: "rev:3;",
    example_bad: "rev:0;",
    parse: |b, v| {
        b.once("rev")?;
        b.sig.rev = positive(v)?;
        Ok(())
    },
};

pub const CLASSTYPE: Keyword = Keyword {
    name: "classtype",
    aliases: &[],
    kind: Kind::Meta,
    argument: Argument::Plain,
    doc: "the class of attack, which gives category and priority",
    syntax: "<name of the classification file>",
    example_ok: "classtype:trojan-activity;",
    example_bad: "classtype:;",
    parse: classtype,
};

pub const PRIORITY: Keyword = Keyword {
    name: "priority",
    aliases: &[],
    kind: Kind::Meta,
    argument: Argument::Plain,
    doc: "1, most severe, to 255; overrides the class's",
    syntax: "<1-255>",
    example_ok: "priority:1;",
    example_bad: "priority:0;",
    parse: |b, v| {
        let n: u8 = v.text.trim().parse().ok().filter(|n| *n > 0).ok_or_else(|| {
            Fault::argument(format!("`{}` is no priority", v.text)).help("1 to 255").at(v.span.clone())
        })?;
        b.once("priority")?;
        b.priority = Some(n);
        Ok(())
    },
};

pub const REFERENCE: Keyword = Keyword {
    name: "reference",
    aliases: &[],
    kind: Kind::Meta,
    argument: Argument::Plain,
    doc: "where to read more: a kind (cve, url, bugtraq, …) and what to look up",
    syntax: "<kind>,<value>",
    example_ok: "reference:cve,2021-44228;",
    example_bad: "reference:cve;",
    parse: reference,
};

pub const METADATA: Keyword = Keyword {
    name: "metadata",
    aliases: &[],
    kind: Kind::Meta,
    argument: Argument::Plain,
    doc: "words about the rule for those who read its alerts",
    syntax: "<key> <value>[, <key> <value>…]",
    example_ok: "metadata:created_at 2024_01_01, severity major;",
    example_bad: "metadata:;",
    parse: |b, v| {
        for part in v.text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
            b.sig.metadata.push((key.to_owned(), value.trim().to_owned()));
        }
        Ok(())
    },
};

pub const TARGET: Keyword = Keyword {
    name: "target",
    aliases: &[],
    kind: Kind::Meta,
    argument: Argument::Plain,
    doc: "which end of the connection is the victim",
    syntax: "<src_ip|dest_ip>",
    example_ok: "target:dest_ip;",
    example_bad: "target:server;",
    parse: |b, v| {
        let target = match v.text {
            "src_ip" => Target::Source,
            "dest_ip" => Target::Destination,
            _ => return Err(Fault::argument("src_ip or dest_ip is expected").at(v.span.clone())),
        };
        if b.sig.target.replace(target).is_some_and(|other| other != target) {
            return Err(Fault::new(Code::Conflict, "two targets exclude each other").at(v.span.clone()));
        }
        Ok(())
    },
};

fn number(v: &Value<'_>) -> Result<u32, Fault> {
    let digits = v.text.bytes().all(|b| b.is_ascii_digit());
    v.text
        .parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| Fault::argument(format!("`{}` is no number of 32 bits", v.text)).at(v.span.clone()))
}

fn positive(v: &Value<'_>) -> Result<u32, Fault> {
    match number(v)? {
        0 => Err(Fault::argument("numbers begin at 1").at(v.span.clone())),
        n => Ok(n),
    }
}

/// Escapes of `;`, `"`, `\` and `:` are taken off.
fn msg(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    b.once("msg")?;
    let mut out = String::with_capacity(v.text.len());
    let mut escape = false;
    for c in v.text.chars() {
        if escape {
            if !matches!(c, ';' | '"' | '\\' | ':') {
                out.push('\\');
            }
            out.push(c);
            escape = false;
        } else if c == '\\' {
            escape = true;
        } else {
            out.push(c);
        }
    }
    if escape {
        out.push('\\');
    }
    b.sig.msg = out;
    Ok(())
}

fn classtype(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let name = v.text.trim();
    if b.sig.classtype.is_some() {
        b.warn(Fault::new(Code::Ineffective, "a second `classtype`: the more severe one counts").at(v.span.clone()));
    }
    match b.cx.classes.class(name) {
        Some(class) => {
            if b.sig.classtype.is_none() || class.priority < b.sig.priority {
                b.sig.classtype = Some(class.name.clone());
                b.sig.category = class.description.clone();
                b.sig.priority = class.priority;
            }
        }
        None => {
            let fault = Fault::new(Code::UnknownClass, format!("no classification is called `{name}`"))
                .help("its priority is 3 and it has no category")
                .at(v.span.clone());
            if b.cx.options.strict {
                return Err(Fault { code: Code::Argument, ..fault });
            }
            if !b.cx.classes.is_empty() {
                b.warn(fault);
            }
            b.sig.classtype.get_or_insert_with(|| name.to_owned());
        }
    }
    Ok(())
}

fn reference(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let shape =
        || Fault::argument("a kind and a value are expected").help("reference:cve,2021-44228").at(v.span.clone());
    let (kind, value) = v.text.split_once(',').ok_or_else(shape)?;
    let (kind, value) = (kind.trim(), value.trim());
    if kind.is_empty() || value.is_empty() {
        return Err(shape());
    }
    if !b.cx.references.is_empty() && b.cx.references.prefix(kind).is_none() {
        let fault =
            Fault::new(Code::UnknownReference, format!("no reference kind is called `{kind}`")).at(v.span.clone());
        if b.cx.options.strict {
            return Err(Fault { code: Code::Argument, ..fault });
        }
        b.warn(fault);
    }
    let address = format!("{}{value}", b.cx.references.prefix(kind).unwrap_or_default());
    b.sig.references.push(Reference { kind: kind.to_ascii_lowercase(), value: value.to_owned(), address });
    Ok(())
}
