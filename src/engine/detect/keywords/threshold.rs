//! `threshold` and `detection_filter`: how often a rule alerts.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Code, Fault};
use crate::detect::signature::{PortEnd, RuleProto, Threshold, ThresholdKind, Track};

pub const THRESHOLD: Keyword = Keyword {
    name: "threshold",
    aliases: &[],
    kind: Kind::Threshold,
    argument: Argument::Plain,
    doc: "of so many matches within a time, which ones alert",
    syntax: "type <threshold|limit|both|backoff>, track <by_src|by_dst|by_both|by_rule|by_flow>, count <n>, \
             <seconds <n>|multiplier <n>>",
    example_ok: "threshold:type limit, track by_src, count 1, seconds 60;",
    example_bad: "threshold:type limit, track by_src, count 1;",
    parse: |b, v| threshold(b, v).map_err(|f| f.at(v.span.clone())),
};

pub const DETECTION_FILTER: Keyword = Keyword {
    name: "detection_filter",
    aliases: &[],
    kind: Kind::Threshold,
    argument: Argument::Plain,
    doc: "the rule matches only after so many matches within a time",
    syntax: "track <by_src|by_dst|by_flow>, count <n>, seconds <n>[, unique_on <src_port|dst_port>]",
    example_ok: "detection_filter:track by_src, count 15, seconds 2;",
    example_bad: "detection_filter:count 15, seconds 2;",
    parse: |b, v| detection_filter(b, v).map_err(|f| f.at(v.span.clone())),
};

#[derive(Default)]
struct Parts<'t> {
    kind: Option<&'t str>,
    track: Option<Track>,
    count: Option<u32>,
    seconds: Option<u32>,
    multiplier: Option<u32>,
    unique: Option<PortEnd>,
}

fn parts<'t>(text: &'t str, syntax: &'static str) -> Result<Parts<'t>, Fault> {
    let mut p = Parts::default();
    for part in text.split(',').map(str::trim) {
        let unknown = || Fault::argument(format!("`{part}` is unknown here")).help(syntax);
        let (key, value) = part.split_once(char::is_whitespace).ok_or_else(unknown)?;
        let value = value.trim();
        let number = || value.parse::<u32>().map_err(|_| Fault::argument(format!("`{key}` needs a number")));
        let repeated = match key {
            "type" => p.kind.replace(value).is_some(),
            "track" => {
                let track = match value {
                    "by_src" => Track::BySrc,
                    "by_dst" => Track::ByDst,
                    "by_both" => Track::ByBoth,
                    "by_rule" => Track::ByRule,
                    "by_flow" => Track::ByFlow,
                    _ => return Err(Fault::argument(format!("`{value}` cannot be tracked")).help(syntax)),
                };
                p.track.replace(track).is_some()
            }
            "count" => p.count.replace(number()?).is_some(),
            "seconds" => p.seconds.replace(number()?).is_some(),
            "multiplier" => p.multiplier.replace(number()?).is_some(),
            "unique_on" => {
                let end = match value {
                    "src_port" => PortEnd::Source,
                    "dst_port" => PortEnd::Destination,
                    _ => return Err(Fault::argument(format!("`{value}` is no port of a packet")).help(syntax)),
                };
                p.unique.replace(end).is_some()
            }
            _ => return Err(unknown()),
        };
        if repeated {
            return Err(Fault::new(Code::Repeated, format!("`{key}` stands twice")));
        }
    }
    Ok(p)
}

fn missing(what: &str, syntax: &'static str) -> Fault {
    Fault::argument(format!("`{what}` is missing")).help(syntax)
}

fn keep(b: &mut Builder<'_>, t: Threshold) -> Result<(), Fault> {
    if t.count == 0 {
        return Err(Fault::argument("a count is 1 at least"));
    }
    if b.sig.threshold.is_some() {
        return Err(Fault::new(Code::Repeated, "a rule has one `threshold` or one `detection_filter`"));
    }
    b.sig.threshold = Some(t);
    Ok(())
}

fn threshold(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let p = parts(v.text, THRESHOLD.syntax)?;
    let track = p.track.ok_or_else(|| missing("track", THRESHOLD.syntax))?;
    let count = p.count.ok_or_else(|| missing("count", THRESHOLD.syntax))?;
    if p.unique.is_some() {
        return Err(Fault::argument("`unique_on` is for `detection_filter`").help(THRESHOLD.syntax));
    }
    let kind = match p.kind.ok_or_else(|| missing("type", THRESHOLD.syntax))? {
        "threshold" => ThresholdKind::Threshold,
        "limit" => ThresholdKind::Limit,
        "both" => ThresholdKind::Both,
        "backoff" => {
            if track != Track::ByFlow {
                return Err(Fault::new(Code::Conflict, "`backoff` goes with `track by_flow` only"));
            }
            let multiplier = p.multiplier.ok_or_else(|| missing("multiplier", THRESHOLD.syntax))?;
            if !(2..65_536).contains(&multiplier) || !(1..65_536).contains(&count) {
                return Err(Fault::argument("`backoff` takes a count of 1 to 65535 and a multiplier of 2 to 65535"));
            }
            if p.seconds.is_some() {
                return Err(Fault::new(Code::Conflict, "`backoff` counts without regard to time: no `seconds`"));
            }
            ThresholdKind::Backoff { multiplier }
        }
        other => return Err(Fault::argument(format!("`{other}` is no type of threshold")).help(THRESHOLD.syntax)),
    };
    let seconds = match (kind, p.seconds) {
        (ThresholdKind::Backoff { .. }, _) => 0,
        (_, Some(s)) => s,
        (_, None) => return Err(missing("seconds", THRESHOLD.syntax)),
    };
    keep(b, Threshold { kind, track, count, seconds })
}

fn detection_filter(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let p = parts(v.text, DETECTION_FILTER.syntax)?;
    if p.kind.is_some() || p.multiplier.is_some() {
        return Err(Fault::argument("`type` and `multiplier` are for `threshold`").help(DETECTION_FILTER.syntax));
    }
    let ported = !matches!(
        b.header().proto,
        RuleProto::Ip
            | RuleProto::Ipv4
            | RuleProto::Ipv6
            | RuleProto::Icmp
            | RuleProto::Icmpv4
            | RuleProto::Icmpv6
            | RuleProto::Igmp
            | RuleProto::PktHdr
            | RuleProto::Ether
            | RuleProto::Arp
    );
    if p.unique.is_some() && !ported {
        return Err(Fault::new(Code::Conflict, "`unique_on` needs a rule about a protocol with ports")
            .help("tcp, udp, sctp, or a protocol upon them"));
    }
    if matches!(p.track, Some(Track::ByBoth | Track::ByRule)) {
        return Err(Fault::argument("a filter tracks a source, a destination or a flow").help(DETECTION_FILTER.syntax));
    }
    if p.seconds == Some(0) {
        return Err(Fault::argument("a time is 1 second at least"));
    }
    keep(
        b,
        Threshold {
            kind: ThresholdKind::DetectionFilter { unique: p.unique },
            track: p.track.ok_or_else(|| missing("track", DETECTION_FILTER.syntax))?,
            count: p.count.ok_or_else(|| missing("count", DETECTION_FILTER.syntax))?,
            seconds: p.seconds.ok_or_else(|| missing("seconds", DETECTION_FILTER.syntax))?,
        },
    )
}
