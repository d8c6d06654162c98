//! `xbits` and `hostbits`: bits kept with addresses, over many flows.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Code, Fault, VarKind};
use crate::detect::signature::{StateOp, VarScope};
use std::time::Duration;

pub const XBITS: Keyword = Keyword {
    name: "xbits",
    aliases: &[],
    kind: Kind::State,
    argument: Argument::Plain,
    doc: "asks for a bit of an address or a pair of addresses, or sets, unsets or toggles it after a match",
    syntax: "<set|unset|toggle|isset|isnotset>,<name>,track <ip_src|ip_dst|ip_pair>[,expire <seconds>]",
    example_ok: "xbits:set,bad,track ip_src,expire 3600;",
    example_bad: "xbits:set,bad,track nobody;",
    parse: |b, v| xbits(b, v).map_err(|f| f.at(v.span.clone())),
};

pub const HOSTBITS: Keyword = Keyword {
    name: "hostbits",
    aliases: &[],
    kind: Kind::State,
    argument: Argument::Plain,
    doc: "the same for one address, in the older way of writing",
    syntax: "<set|unset|toggle|isset|isnotset>,<name>[,<src|dst>]",
    example_ok: "hostbits:isset,bad,src;",
    example_bad: "hostbits:isset;",
    parse: |b, v| hostbits(b, v).map_err(|f| f.at(v.span.clone())),
};

fn name<'t>(text: Option<&'t str>, syntax: &str) -> Result<&'t str, Fault> {
    match text {
        Some(t) if !t.is_empty() && !t.contains(char::is_whitespace) => Ok(t),
        _ => Err(Fault::argument("a name without blanks is expected").help(syntax)),
    }
}

fn op(
    b: &mut Builder<'_>,
    command: &str,
    name: &str,
    scope: VarScope,
    expire: Option<Duration>,
    syntax: &str,
) -> Result<(), Fault> {
    let bit = b.var(VarKind::Xbit, name);
    let op = match command {
        "isset" => StateOp::BitTest { scope, any_of: vec![bit], negated: false },
        "isnotset" => StateOp::BitTest { scope, any_of: vec![bit], negated: true },
        "set" => StateOp::BitSet { scope, bit, expire },
        "unset" => StateOp::BitUnset { scope, bit },
        "toggle" => StateOp::BitToggle { scope, bit },
        _ => return Err(Fault::argument(format!("`{command}` is unknown here")).help(syntax)),
    };
    b.sig.state.push(op);
    Ok(())
}

fn xbits(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let mut parts = v.text.split(',').map(str::trim);
    let command = parts.next().unwrap_or("");
    if command == "noalert" && parts.next().is_none() {
        b.sig.noalert = true;
        return Ok(());
    }
    let name = name(parts.next(), XBITS.syntax)?;
    let mut scope = None;
    let mut expire = None;
    for part in parts {
        let mut words = part.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("track"), Some(track), None) => {
                scope = Some(match track {
                    "ip_src" => VarScope::HostSrc,
                    "ip_dst" => VarScope::HostDst,
                    "ip_pair" => VarScope::IpPair,
                    "tx" if matches!(command, "set" | "isset") => VarScope::Tx,
                    "tx" => return Err(Fault::new(Code::Conflict, "bits of a transaction can be set and asked only")),
                    _ => return Err(Fault::argument(format!("`{track}` cannot be tracked")).help(XBITS.syntax)),
                });
            }
            (Some("expire"), Some(seconds), None) => {
                let n: u32 = seconds.parse().map_err(|_| Fault::argument("`expire` needs seconds"))?;
                if n == 0 {
                    return Err(Fault::argument("`expire` needs a second at least"));
                }
                expire = Some(Duration::from_secs(u64::from(n)));
            }
            _ => return Err(Fault::argument(format!("`{part}` is unknown here")).help(XBITS.syntax)),
        }
    }
    let scope = scope.ok_or_else(|| Fault::argument("`track` is missing").help(XBITS.syntax))?;
    op(b, command, name, scope, expire, XBITS.syntax)
}

fn hostbits(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let mut parts = v.text.split(',').map(str::trim);
    let command = parts.next().unwrap_or("");
    if command == "noalert" && parts.next().is_none() {
        b.sig.noalert = true;
        return Ok(());
    }
    let name = name(parts.next(), HOSTBITS.syntax)?;
    let scope = match parts.next() {
        None | Some("src") => VarScope::HostSrc,
        Some("dst") => VarScope::HostDst,
        Some(other) => return Err(Fault::argument(format!("`{other}` is unknown here")).help(HOSTBITS.syntax)),
    };
    if parts.next().is_some() {
        return Err(Fault::argument("too many parts").help(HOSTBITS.syntax));
    }
    op(b, command, name, scope, None, HOSTBITS.syntax)
}
