//! `content`: bytes to look for in the active buffer. `uricontent`: its old form for the URI.

use super::{Argument, Keyword, Kind, Value, content_bytes};
use crate::detect::lang::{Builder, Code, Fault, Name};
use crate::detect::signature::{Content, Op};

pub const CONTENT: Keyword = Keyword {
    name: "content",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Quoted,
    doc: "bytes that must, or with ! must not, occur in the active buffer",
    syntax: "[!]\"<text and |hex|>\"",
    example_ok: r#"content:"GET |0d 0a|";"#,
    example_bad: r#"content:"|0|";"#,
    parse: |b, v| {
        let content = plain(v)?;
        b.push(Op::Content(content));
        Ok(())
    },
};

pub const URICONTENT: Keyword = Keyword {
    name: "uricontent",
    aliases: &[],
    kind: Kind::Payload,
    argument: Argument::Quoted,
    doc: "old form of content in the normalised URI",
    syntax: "[!]\"<text and |hex|>\"",
    example_ok: r#"uricontent:"/cmd.exe"; nocase;"#,
    example_bad: r#"uricontent:"|0|";"#,
    parse: uricontent,
};

fn plain(v: &Value<'_>) -> Result<Content, Fault> {
    let bytes = content_bytes(v.text).map_err(|f| f.at(v.span.clone()))?;
    Ok(Content {
        bytes,
        nocase: false,
        negated: v.negated,
        offset: None,
        depth: None,
        distance: None,
        within: None,
        startswith: false,
        endswith: false,
        rawbytes: false,
        fast_pattern: None,
    })
}

fn uricontent(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let content = plain(v)?;
    if let Some((_, sticky)) = b.sticky() {
        return Err(Fault::new(Code::Modifier, format!("`uricontent` while `{}` is active", sticky.name))
            .help("use content behind the sticky buffer of the URI"));
    }
    match b.cx.name("http_uri") {
        Some(Name::Modifier(id, def)) => b.push_to(id, def, Op::Content(content)),
        Some(Name::Unparsed(proto, _)) => {
            b.unparsed = Some(proto);
            b.push(Op::Content(content));
            Ok(())
        }
        _ => Err(Fault::new(Code::Unsupported, "no protocol here offers a URI")),
    }
}
