//! Modifiers of the content before them: case, place, replacement.
//!
//! A content's place is either absolute (`offset`, `depth`, `startswith`) or relative to the last match (`distance`,
//! `within`), never both.

use super::{Argument, Keyword, Kind, Value, content_bytes};
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::{Content, Op, Replace, Value as Number};

/// Offsets and depths reach this far at most.
const PLACE_MAX: i64 = u16::MAX as i64;
/// Distances and withins reach this far at most, either way.
const RELATIVE_MAX: i64 = 1 << 20;

pub const NOCASE: Keyword = Keyword {
    name: "nocase",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::None,
    doc: "the content before it matches without regard to ASCII case",
    syntax: "",
    example_ok: r#"content:"abc"; nocase;"#,
    example_bad: "nocase;",
    parse: |b, _| {
        let c = b.content("nocase")?;
        if c.nocase {
            return Err(repeated("nocase"));
        }
        c.nocase = true;
        Ok(())
    },
};

pub const RAWBYTES: Keyword = Keyword {
    name: "rawbytes",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::None,
    doc: "accepted for old rules: the payload is always raw",
    syntax: "",
    example_ok: r#"content:"abc"; rawbytes;"#,
    example_bad: "rawbytes;",
    parse: |b, _| {
        if b.sticky().is_some() {
            return Err(Fault::new(Code::Conflict, "`rawbytes` is for the payload, a sticky buffer is active"));
        }
        let c = b.content("rawbytes")?;
        if c.rawbytes {
            return Err(repeated("rawbytes"));
        }
        c.rawbytes = true;
        Ok(())
    },
};

pub const OFFSET: Keyword = Keyword {
    name: "offset",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::Plain,
    doc: "the content begins at this byte of the buffer or later",
    syntax: "<bytes or variable>",
    example_ok: r#"content:"abc"; offset:3;"#,
    example_bad: r#"content:"abc"; offset:3; distance:1;"#,
    parse: offset,
};

pub const DEPTH: Keyword = Keyword {
    name: "depth",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::Plain,
    doc: "the content ends within so many bytes from its offset",
    syntax: "<bytes or variable>",
    example_ok: r#"content:"abc"; depth:3;"#,
    example_bad: r#"content:"abc"; depth:2;"#,
    parse: depth,
};

pub const DISTANCE: Keyword = Keyword {
    name: "distance",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::Plain,
    doc: "the content begins so many bytes or more after the last match",
    syntax: "<bytes, may be negative, or variable>",
    example_ok: r#"content:"abc"; content:"def"; distance:-2;"#,
    example_bad: r#"content:"abc"; depth:9; distance:1;"#,
    parse: distance,
};

pub const WITHIN: Keyword = Keyword {
    name: "within",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::Plain,
    doc: "the content ends within so many bytes after the last match",
    syntax: "<bytes or variable>",
    example_ok: r#"content:"abc"; content:"def"; within:10;"#,
    example_bad: r#"content:"abc"; content:"def"; within:2;"#,
    parse: within,
};

pub const STARTSWITH: Keyword = Keyword {
    name: "startswith",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::None,
    doc: "the buffer begins with the content",
    syntax: "",
    example_ok: r#"content:"abc"; startswith;"#,
    example_bad: r#"content:"abc"; offset:3; startswith;"#,
    parse: |b, _| {
        let c = b.content("startswith")?;
        if c.startswith || c.depth.is_some() {
            return Err(Fault::new(Code::Conflict, "`startswith` and `depth`, or twice, on one content"));
        }
        absolute(c, "startswith")?;
        if c.offset.is_some() {
            return Err(Fault::new(Code::Conflict, "`startswith` and `offset` exclude each other"));
        }
        c.startswith = true;
        Ok(())
    },
};

pub const ENDSWITH: Keyword = Keyword {
    name: "endswith",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::None,
    doc: "the buffer ends with the content",
    syntax: "",
    example_ok: r#"content:"abc"; endswith;"#,
    example_bad: "endswith;",
    parse: |b, _| {
        b.content("endswith")?.endswith = true;
        Ok(())
    },
};

pub const REPLACE: Keyword = Keyword {
    name: "replace",
    aliases: &[],
    kind: Kind::Modifier,
    argument: Argument::Quoted,
    doc: "inline: the content leaves as these bytes, as many as it has",
    syntax: "\"<text and |hex|>\"",
    example_ok: r#"content:"abc"; replace:"xyz";"#,
    example_bad: r#"content:"abc"; replace:"xy";"#,
    parse: replace,
};

fn repeated(word: &str) -> Fault {
    Fault::new(Code::Repeated, format!("`{word}` twice on one content"))
}

fn absolute(c: &Content, word: &str) -> Result<(), Fault> {
    if c.is_relative() {
        return Err(Fault::new(
            Code::Conflict,
            format!("`{word}` is absolute, `distance` and `within` are relative: a content has one or the other"),
        ));
    }
    Ok(())
}

fn relative(c: &Content, word: &str) -> Result<(), Fault> {
    if c.offset.is_some() || c.depth.is_some() || c.startswith {
        return Err(Fault::new(
            Code::Conflict,
            format!(
                "`{word}` is relative, `offset`, `depth` and `startswith` are absolute: a content has one or the other"
            ),
        ));
    }
    Ok(())
}

fn offset(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let n = b.value(v.text, 0..=PLACE_MAX).map_err(|f| f.at(v.span.clone()))?;
    let c = b.content("offset")?;
    if c.startswith {
        return Err(Fault::new(Code::Conflict, "`startswith` and `offset` exclude each other"));
    }
    if c.offset.is_some() {
        return Err(repeated("offset"));
    }
    absolute(c, "offset")?;
    c.offset = Some(n);
    Ok(())
}

fn depth(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let n = b.value(v.text, 0..=PLACE_MAX).map_err(|f| f.at(v.span.clone()))?;
    let c = b.content("depth")?;
    if c.depth.is_some() || c.startswith {
        return Err(Fault::new(Code::Repeated, "`depth` twice, or with `startswith`, on one content"));
    }
    absolute(c, "depth")?;
    if let Number::Const(d) = n
        && usize::try_from(d).unwrap_or(0) < c.bytes.len()
    {
        return Err(Fault::new(
            Code::Impossible,
            format!("depth {d} is less than the content's {} bytes", c.bytes.len()),
        )
        .at(v.span.clone()));
    }
    c.depth = Some(n);
    Ok(())
}

fn distance(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let n = b.value(v.text, -RELATIVE_MAX..=RELATIVE_MAX).map_err(|f| f.at(v.span.clone()))?;
    let c = b.content("distance")?;
    if c.distance.is_some() {
        return Err(repeated("distance"));
    }
    relative(c, "distance")?;
    c.distance = Some(n);
    Ok(())
}

fn within(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let n = b.value(v.text, -RELATIVE_MAX..=RELATIVE_MAX).map_err(|f| f.at(v.span.clone()))?;
    let c = b.content("within")?;
    if c.within.is_some() {
        return Err(repeated("within"));
    }
    relative(c, "within")?;
    if let Number::Const(w) = n
        && usize::try_from(w).unwrap_or(0) < c.bytes.len()
    {
        return Err(Fault::new(
            Code::Impossible,
            format!("within {w} is less than the content's {} bytes", c.bytes.len()),
        )
        .at(v.span.clone()));
    }
    c.within = Some(n);
    Ok(())
}

fn replace(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    if v.negated {
        return Err(Fault::argument("a replacement cannot be negated").at(v.span.clone()));
    }
    let bytes = content_bytes(v.text).map_err(|f| f.at(v.span.clone()))?;
    if b.sticky().is_some() {
        return Err(Fault::new(Code::Conflict, "`replace` is for the payload of packets, a sticky buffer is active"));
    }
    let c = b.content("replace")?;
    if c.negated {
        return Err(Fault::new(Code::Conflict, "a negated content has nothing to replace"));
    }
    if c.bytes.len() != bytes.len() {
        let message = format!("{} bytes cannot replace {}", bytes.len(), c.bytes.len());
        return Err(Fault::argument(message).help("a replacement has exactly as many bytes").at(v.span.clone()));
    }
    let Some((buffer, op)) = b.last_content() else { return Ok(()) };
    let payload = b.sig.buffers.get(buffer).is_some_and(|m| m.buffer == crate::applayer::generic::PAYLOAD);
    if !payload || !matches!(b.sig.buffers.get(buffer).and_then(|m| m.ops.get(op)), Some(Op::Content(_))) {
        return Err(Fault::new(Code::Conflict, "`replace` is for contents of the payload"));
    }
    b.packet_keyword.get_or_insert("replace");
    b.sig.replace.push(Replace { buffer, op, bytes });
    Ok(())
}
