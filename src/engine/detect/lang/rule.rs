//! One rule: its header, then its options in order.

use super::builder::Builder;
use super::context::{Context, Name, Shape};
use super::diagnostics::{Code, Fault};
use super::finish;
use super::lexer::{self, Line, OptionSyntax, RuleSyntax};
use super::names::VarTable;
use crate::applayer::Direct;
use crate::detect::keywords::{self, Argument, Value};
use crate::detect::signature::{AddrSet, FlowMatch, Header, PortSet, RuleOrigin, RuleProto, Signature};
use crate::types::{Action, RejectTarget};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// A rule read to its end.
pub struct Rule {
    pub signature: Signature,
    pub warnings: Vec<Fault>,
    /// The protocol that keeps it from matching.
    pub unparsed: Option<&'static str>,
    pub proto_span: Range<usize>,
    pub sid_span: Range<usize>,
}

/// Header expressions already resolved, by their text: rulesets repeat a few thousands of times.
#[derive(Default)]
pub struct HeaderCache {
    addresses: HashMap<String, AddrSet>,
    ports: HashMap<String, PortSet>,
}

/// Expressions kept; longer ones are lists that do not repeat.
const CACHED_BYTES_MAX: usize = 64;

/// Reads a rule. An error comes with the rule's sid where it could be seen.
pub fn parse(
    line: &Line<'_>,
    file: &Arc<str>,
    cx: &Context,
    vars: &mut VarTable,
    cache: &mut HeaderCache,
) -> Result<Rule, (Fault, Option<u32>)> {
    let text = line.text.as_ref();
    let syntax = lexer::split(text).map_err(|f| (f, None))?;
    // `split` has found the text to be UTF-8.
    let text = std::str::from_utf8(text).map_err(|e| (Fault::new(Code::Encoding, e.to_string()), None))?;
    let sid = find_sid(text, &syntax);
    let number = sid.as_ref().and_then(|s| s.1);
    read(text, &syntax, line.number(), file, cx, vars, cache)
        .map(|mut rule| {
            rule.sid_span = sid.map_or(0..1, |s| s.0);
            rule
        })
        .map_err(|f| (f, number))
}

/// The sid before anything is parsed, so that every refusal can name it.
fn find_sid(text: &str, syntax: &RuleSyntax) -> Option<(Range<usize>, Option<u32>)> {
    let option = syntax.options.iter().find(|o| text.get(o.name.clone()) == Some("sid"))?;
    let value = option.value.clone()?;
    Some((value.clone(), text.get(value)?.parse().ok()))
}

fn read(
    text: &str,
    syntax: &RuleSyntax,
    number: u32,
    file: &Arc<str>,
    cx: &Context,
    vars: &mut VarTable,
    cache: &mut HeaderCache,
) -> Result<Rule, Fault> {
    requirements(text, syntax, cx)?;
    let part = |r: &Range<usize>| text.get(r.clone()).unwrap_or("");
    let action = action(part(&syntax.action)).map_err(|f| f.at(syntax.action.clone()))?;
    let header = header(text, syntax, cx, cache)?;
    let mut signature = blank(action, header);
    signature.origin = RuleOrigin { file: file.to_string(), line: number };
    signature.text = text.trim().to_owned();
    signature.both_sides = part(&syntax.arrow) == "=>";
    let mut b = Builder::new(cx, vars, signature);
    if let RuleProto::Unparsed(name) = b.sig.header.proto {
        b.unparsed = cx.unparsed(name);
    }
    if let Some((_, hook)) = part(&syntax.proto).split_once(':') {
        keywords::header_hook(&mut b, &hook.to_ascii_lowercase()).map_err(|f| f.at(syntax.proto.clone()))?;
    }
    for option in &syntax.options {
        let before = b.warnings.len();
        let whole = option.name.start..option.value.as_ref().map_or(option.name.end, |v| v.end);
        apply(text, option, &mut b).map_err(|f| f.at(whole.clone()))?;
        for w in b.warnings.iter_mut().skip(before) {
            w.span.get_or_insert(whole.clone());
        }
    }
    let whole = syntax.action.start..text.trim_end().len();
    finish::finish(&mut b).map_err(|f| f.at(whole.clone()))?;
    let unparsed = b.unparsed.map(|p| p.name);
    if let Some(name) = unparsed {
        b.sig.header.proto = RuleProto::Unparsed(name);
    }
    let (signature, mut warnings) = (b.sig, b.warnings);
    for w in &mut warnings {
        w.span.get_or_insert(whole.clone());
    }
    Ok(Rule { signature, warnings, unparsed, proto_span: syntax.proto.clone(), sid_span: 0..1 })
}

/// `requires` is asked first: the rest of such a rule may be of a language newer than this one.
fn requirements(text: &str, syntax: &RuleSyntax, cx: &Context) -> Result<(), Fault> {
    for option in &syntax.options {
        if text.get(option.name.clone()) == Some("requires")
            && let Some(value) = &option.value
        {
            crate::detect::keywords::requires(text.get(value.clone()).unwrap_or(""), |k| cx.name(k).is_some())
                .map_err(|f| f.at(option.name.start..value.end))?;
        }
    }
    Ok(())
}

fn action(word: &str) -> Result<Action, Fault> {
    Ok(match word {
        "alert" => Action::Alert,
        "pass" => Action::Pass,
        "drop" => Action::Drop,
        "reject" | "rejectsrc" => Action::Reject(RejectTarget::Source),
        "rejectdst" => Action::Reject(RejectTarget::Destination),
        "rejectboth" => Action::Reject(RejectTarget::Both),
        "config" => Action::Config,
        _ => {
            return Err(Fault::new(Code::Action, format!("`{word}` is no action"))
                .help(format!("the actions are {}", lexer::ACTIONS.join(", "))));
        }
    })
}

fn header(text: &str, syntax: &RuleSyntax, cx: &Context, cache: &mut HeaderCache) -> Result<Header, Fault> {
    let part = |r: &Range<usize>| text.get(r.clone()).unwrap_or("");
    let proto = protocol(part(&syntax.proto), cx).map_err(|f| f.at(syntax.proto.clone()))?;
    let bidirectional = match part(&syntax.arrow) {
        "->" | "=>" => false,
        "<>" => true,
        other => {
            return Err(Fault::new(Code::Arrow, format!("`{other}` is no direction"))
                .help("-> from source to destination, <> for either way, => for both sides of a transaction")
                .at(syntax.arrow.clone()));
        }
    };
    let mut addresses = |r: &Range<usize>| -> Result<AddrSet, Fault> {
        let expression = part(r);
        if let Some(set) = cache.addresses.get(expression) {
            return Ok(set.clone());
        }
        let set = cx.vars.addresses(expression).map_err(|f| f.at(r.clone()))?;
        if expression.len() <= CACHED_BYTES_MAX {
            cache.addresses.insert(expression.to_owned(), set.clone());
        }
        Ok(set)
    };
    let (src, dst) = (addresses(&syntax.src)?, addresses(&syntax.dst)?);
    let mut ports = |r: &Range<usize>| -> Result<PortSet, Fault> {
        let expression = part(r);
        if let Some(set) = cache.ports.get(expression) {
            return Ok(set.clone());
        }
        let set = cx.vars.ports(expression).map_err(|f| f.at(r.clone()))?;
        if expression.len() <= CACHED_BYTES_MAX {
            cache.ports.insert(expression.to_owned(), set.clone());
        }
        Ok(set)
    };
    let (sport, dport) = (ports(&syntax.sport)?, ports(&syntax.dport)?);
    if matches!(proto, RuleProto::Ether | RuleProto::Arp) && !(sport.is_any() && dport.is_any()) {
        return Err(Fault::new(Code::Conflict, "a rule about ether or arp has no ports")
            .help("write `any` for both ports")
            .at(syntax.sport.start..syntax.dport.end));
    }
    let negated = cx.vars.negates(part(&syntax.src)) || cx.vars.negates(part(&syntax.dst));
    Ok(Header { proto, src, sport, dst, dport, bidirectional, negated })
}

fn protocol(word: &str, cx: &Context) -> Result<RuleProto, Fault> {
    let lower = word.to_ascii_lowercase();
    // A hook behind it is read with the options.
    let name = lower.split_once(':').map_or(lower.as_str(), |(name, _)| name);
    Ok(match name {
        "ip" | "any" => RuleProto::Ip,
        "ipv4" | "ip4" => RuleProto::Ipv4,
        "ipv6" | "ip6" => RuleProto::Ipv6,
        "tcp" => RuleProto::Tcp,
        "tcp-pkt" => RuleProto::TcpPkt,
        "tcp-stream" => RuleProto::TcpStream,
        "udp" => RuleProto::Udp,
        "icmp" => RuleProto::Icmp,
        "icmpv4" => RuleProto::Icmpv4,
        "icmpv6" => RuleProto::Icmpv6,
        "sctp" => RuleProto::Sctp,
        "igmp" => RuleProto::Igmp,
        "pkthdr" => RuleProto::PktHdr,
        "ether" => RuleProto::Ether,
        "arp" => RuleProto::Arp,
        name => {
            if let Some(why) = cx.options.refuses(name) {
                return Err(Fault::new(Code::Off, format!("`{word}` cannot match: {why}")));
            }
            if let Some(p) = cx.vocabulary.protocol(name) {
                return Ok(RuleProto::App(p.id));
            }
            if let Some(p) = cx.unparsed(name) {
                return Ok(RuleProto::Unparsed(p.name));
            }
            let fault = Fault::new(Code::Protocol, format!("`{word}` is no protocol known here"));
            let known = ["tcp", "udp", "icmp", "ip", "tcp-pkt", "tcp-stream", "sctp", "igmp", "pkthdr", "ether", "arp"];
            let all = known.into_iter().chain(cx.vocabulary.protocols.iter().map(|p| p.name));
            let all = all.chain(cx.vocabulary.unparsed.iter().map(|p| p.name));
            return Err(match super::context::nearest(name, all) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault,
            });
        }
    })
}

/// Applies one option.
fn apply(text: &str, option: &OptionSyntax, b: &mut Builder<'_>) -> Result<(), Fault> {
    let word = text.get(option.name.clone()).unwrap_or("");
    if let Some(why) = b.cx.options.refuses(word) {
        return Err(Fault::new(Code::Off, format!("`{word}` cannot match: {why}")).at(option.name.clone()));
    }
    let Some(name) = b.cx.name(word) else {
        let fault = Fault::new(Code::Keyword, format!("`{word}` is no keyword")).at(option.name.clone());
        return Err(match b.cx.nearest(word) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault.help("`stopgap keywords` lists all"),
        });
    };
    let none = || match &option.value {
        None => Ok(()),
        Some(v) => Err(Fault::new(Code::ArgumentExtra, format!("`{word}` takes no argument")).at(v.clone())),
    };
    match name {
        Name::Own(row) => {
            let value = argument(text, option, word, row.argument)?;
            (row.parse)(b, &value)
        }
        Name::Transform(row) => {
            let value = argument(text, option, word, row.argument)?;
            let transform = (row.parse)(&value)?;
            b.transform(transform)
        }
        Name::Sticky(id, def) => match option.value.as_ref().and_then(|v| text.get(v.clone())) {
            Some("to_server") => b.select_side(id, def, Direct::ToServer),
            Some("to_client") => b.select_side(id, def, Direct::ToClient),
            _ => {
                none()?;
                b.select(id, def)
            }
        },
        Name::Modifier(id, def) => {
            none()?;
            b.modify(word, id, def)
        }
        Name::Tx(proto, row) => {
            let value = argument(text, option, word, if row.quoted { Argument::Quoted } else { Argument::Bare })?;
            let negated = if value.negated { format!("!{}", value.text) } else { value.text.to_owned() };
            b.tx_test(proto, row, &negated)
        }
        Name::Unparsed(proto, Shape::Sticky) => {
            none()?;
            b.select_unparsed(proto)
        }
        Name::Unparsed(proto, Shape::Modifier) => {
            none()?;
            b.modify_unparsed(word, proto)
        }
        Name::Unparsed(proto, Shape::Keyword) => {
            b.unparsed = Some(proto);
            Ok(())
        }
    }
}

/// The option's value in the shape its keyword wants: sign and quotes off.
fn argument<'t>(text: &'t str, option: &OptionSyntax, word: &str, shape: Argument) -> Result<Value<'t>, Fault> {
    let span = option.value.clone().unwrap_or(option.name.end..option.name.end);
    let raw = text.get(span.clone()).unwrap_or("");
    match shape {
        Argument::None if !raw.is_empty() => {
            return Err(Fault::new(Code::ArgumentExtra, format!("`{word}` takes no argument")).at(span));
        }
        Argument::None | Argument::Optional | Argument::Bare | Argument::Any if raw.is_empty() => {
            return Ok(Value { text: "", negated: false, span, given: false });
        }
        _ if raw.is_empty() => {
            return Err(
                Fault::new(Code::ArgumentMissing, format!("`{word}` needs an argument")).at(option.name.clone())
            );
        }
        _ => {}
    }
    let (negated, body) = match raw.strip_prefix('!') {
        Some(rest)
            if matches!(shape, Argument::Quoted | Argument::MaybeQuoted)
                || (shape == Argument::Any && rest.trim_start().starts_with('"')) =>
        {
            (true, rest.trim_start())
        }
        _ => (false, raw),
    };
    let start = span.end - body.len();
    let quoted = body.starts_with('"');
    if shape == Argument::Quoted && !quoted {
        return Err(
            Fault::new(Code::Quotes, format!("the argument of `{word}` stands in double quotes")).at(start..span.end)
        );
    }
    if !quoted {
        return Ok(Value { text: body, negated, span: start..span.end, given: true });
    }
    if matches!(shape, Argument::Plain | Argument::Optional | Argument::Bare) {
        return Err(
            Fault::new(Code::Quotes, format!("the argument of `{word}` stands without quotes")).at(start..span.end)
        );
    }
    let inner = body.strip_prefix('"').and_then(|t| t.strip_suffix('"')).ok_or_else(|| {
        Fault::new(Code::Quotes, "a quoted argument does not end with its quote")
            .help("perhaps a `;` is missing before the next option, or one within the string needs a backslash")
            .at(start..span.end)
    })?;
    if inner.is_empty() {
        return Err(Fault::argument(format!("the argument of `{word}` is empty")).at(start..span.end));
    }
    Ok(Value { text: inner, negated, span: start + 1..span.end - 1, given: true })
}

/// A signature that says nothing yet.
fn blank(action: Action, header: Header) -> Signature {
    Signature {
        gid: 1,
        sid: 0,
        rev: 0,
        msg: String::new(),
        action,
        header,
        classtype: None,
        category: String::new(),
        priority: 3,
        references: Vec::new(),
        metadata: Vec::new(),
        both_sides: false,
        flow: FlowMatch::default(),
        packet_tests: Vec::new(),
        app_events: Vec::new(),
        tx_tests: Vec::new(),
        hook: None,
        buffers: Vec::new(),
        fast_pattern: None,
        state: Vec::new(),
        threshold: None,
        suppress: Vec::new(),
        tags: Vec::new(),
        target: None,
        noalert: false,
        alerts: false,
        bypass: false,
        unlogged: false,
        when_detected: false,
        keep_files: None,
        hashes: Default::default(),
        replace: Vec::new(),
        slots: 0,
        origin: RuleOrigin::default(),
        text: String::new(),
    }
}
