//! What each key of a suricata.yaml means, a row each.
//!
//! A row covers its key and all below it. Values are checked where they stand, so that an error has the place of the
//! value. Rows are applied in the order of the table, each once.

use super::tree::Node;

use super::{Imported, lists, outputs, protocols};
use crate::config::schema::{Checksums, Document, ProtoTimeouts};
use crate::config::values::{Hosts, OS_NAMES, Overlap, Ports, Size, StreamOs, Urgent, net};
use crate::config::{Error, Vars};
use engine::decode;
use engine::stream::{OsPolicy, UrgentPolicy};
use engine::types::{Cause, ExceptionPolicy};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

/// What a row may look at besides its own node.
pub(super) struct Cx<'a> {
    pub root: &'a Node,
    /// Enforcing.
    pub inline: bool,
    /// Keys found to have no meaning here by the row that read them.
    unsupported: RefCell<BTreeSet<String>>,
}

impl Cx<'_> {
    /// What `key` asks for at this place is not supported.
    pub fn unsupported(&self, _: &Node, key: &str) {
        self.unsupported.borrow_mut().insert(key.to_string());
    }
}

/// Alerts of a packet where nothing is said of them.
const ALERTS_MAX: u64 = 15;

type Apply = fn(&Cx<'_>, &Node, &mut Document) -> Result<(), Error>;

struct Row {
    /// Names joined by dots.
    key: &'static str,
    apply: Apply,
}

const fn row(key: &'static str, apply: Apply) -> Row {
    Row { key, apply }
}

/// Suricata's keys with their meaning.
const ROWS: &[Row] = &[
    // First, since the others choose over it.
    row("exception-policy", |_, n, d| {
        let all: Vec<Cause> = Cause::TABLE.iter().filter(|r| r.eve.is_some()).map(|r| r.cause).collect();
        policy(n, d, &all)
    }),
    row("vars.address-groups", |_, n, d| groups(n, &mut d.vars.address_groups.0)),
    row("vars.port-groups", |_, n, d| groups(n, &mut d.vars.port_groups.0)),
    row("classification-file", |_, n, d| text(n, &mut d.classification_file)),
    row("reference-config-file", |_, n, d| text(n, &mut d.reference_file)),
    row("threshold-file", |_, n, d| text(n, &mut d.threshold_file)),
    row("datasets", lists::datasets),
    row("reputation-categories-file", lists::reputation_categories),
    row("reputation-files", lists::reputation_files),
    row("default-reputation-path", |_, _, _| Ok(())),
    row("outputs", outputs::apply),
    row("outputs", outputs::file_store),
    row("packet-alert-max", |_, n, d| size(n, &mut d.limits.alerts_per_packet_max)),
    row("rule-files", rule_files),
    row("app-layer.protocols", protocols::switched_off),
    row("pcap-file.checksum-checks", |_, n, d| {
        d.checksums = Some(if yes(n) == Some(false) { Checksums::None } else { Checksums::All });
        Ok(())
    }),
    row("action-order", |_, n, d| {
        let words = n.items().iter().filter_map(Node::text).map(str::to_string).collect::<Vec<_>>();
        d.action_order = Some(words).filter(|w| !w.is_empty());
        Ok(())
    }),
    row("packet-alert-max", |_, n, d| size(n, &mut d.limits.alerts_per_packet_max)),
    row("stream.midstream", |_, n, d| truth(n, &mut d.stream.midstream)),
    row("stream.async-oneside", |_, n, d| truth(n, &mut d.stream.async_oneside)),
    row("stream.inline", |_, n, d| {
        // `auto` is what the engine does by itself: as it passes when enforcing.
        if n.text().is_some_and(|t| t.trim() == "auto") { Ok(()) } else { truth(n, &mut d.stream.inline) }
    }),
    row("stream.max-syn-queued", |_, n, d| number(n, &mut d.stream.syn_max)),
    row("stream.max-synack-queued", |_, n, d| number(n, &mut d.stream.synack_max)),
    row("stream.memcap-policy", |_, n, d| policy(n, d, &[Cause::StreamMemcap])),
    row("stream.midstream-policy", midstream_policy),
    row("stream.reassembly.depth", |_, n, d| {
        d.stream.reassembly.depth_ends_all = Some(true);
        size(n, &mut d.stream.reassembly.depth)
    }),
    row("stream.reassembly.raw", |_, n, d| truth(n, &mut d.stream.reassembly.raw)),
    row("stream.reassembly.memcap", |_, n, d| size(n, &mut d.limits.stream_bytes_max)),
    row("stream.reassembly.memcap-policy", |_, n, d| policy(n, d, &[Cause::StreamReassemblyMemcap])),
    row("stream.reassembly.urgent.policy", |_, n, d| {
        d.stream.urgent = Some(word(n, UrgentPolicy::parse, "drop, inline, oob, gap").map(Urgent)?);
        Ok(())
    }),
    row("stream.reassembly.urgent.oob-limit-policy", |_, n, d| {
        d.stream.urgent_limit = Some(word(n, UrgentPolicy::parse, "drop, inline, gap").map(Urgent)?);
        Ok(())
    }),
    row("stream.bypass", |_, n, d| truth(n, &mut d.stream.bypass)),
    row("stream.liberal-timestamps", |_, n, d| truth(n, &mut d.stream.liberal_timestamps)),
    row("stream.drop-invalid", |_, n, d| {
        let ignored = (Cause::StreamInvalid, ExceptionPolicy::Ignore);
        d.exception_policies.each.extend((yes(n) == Some(false)).then_some(ignored));
        Ok(())
    }),
    row("host-os-policy", host_os),
    row("defrag.memcap", |_, n, d| size(n, &mut d.limits.defrag_bytes_max)),
    row("defrag.memcap-policy", |_, n, d| policy(n, d, &[Cause::DefragMemcap])),
    row("defrag.trackers", |_, n, d| size(n, &mut d.limits.defrag_datagrams_max)),
    row("defrag.max-frags", |_, n, d| size(n, &mut d.limits.defrag_fragments_max)),
    row("defrag.timeout", |_, n, d| number(n, &mut d.defrag.timeout)),
    row("defrag.host-config", defrag_hosts),
    row("flow.memcap-policy", |_, n, d| policy(n, d, &[Cause::FlowMemcap])),
    row("flow-timeouts.default", |_, n, d| timeouts(n, &mut d.flow.timeouts.other)),
    row("flow-timeouts.tcp", |_, n, d| timeouts(n, &mut d.flow.timeouts.tcp)),
    row("flow-timeouts.udp", |_, n, d| timeouts(n, &mut d.flow.timeouts.udp)),
    row("flow-timeouts.icmp", |_, n, d| timeouts(n, &mut d.flow.timeouts.icmp)),
    row("vlan.use-for-tracking", |_, n, d| {
        truth(n, &mut d.flow.use_vlan)?;
        truth(n, &mut d.defrag.use_vlan)
    }),
    row("app-layer.error-policy", |_, n, d| policy(n, d, &[Cause::ApplayerError])),
    row("app-layer.protocols.http.libhtp.default-config.request-body-limit", |_, n, d| {
        size(n, &mut d.app_layer.http.request_body_limit)
    }),
    row("app-layer.protocols.http.libhtp.default-config.response-body-limit", |_, n, d| {
        size(n, &mut d.app_layer.http.response_body_limit)
    }),
    row("app-layer.protocols.http.libhtp.default-config.response-body-decompress-layer-limit", |_, n, d| {
        size(n, &mut d.app_layer.http.layers_max)
    }),
    row("app-layer.protocols.http.libhtp.default-config.meta-field-limit", |_, n, d| {
        size(n, &mut d.app_layer.http.field_limit)
    }),
    row("app-layer.protocols.http.libhtp.default-config.headers-limit", |_, n, d| {
        size(n, &mut d.app_layer.http.headers_max)
    }),
    row("app-layer.protocols.http.libhtp.default-config.max-tx", |_, n, d| {
        size(n, &mut d.app_layer.http.transactions_max)
    }),
    row("app-layer.protocols.http.libhtp.default-config.compression-bomb-limit", |_, n, d| {
        size(n, &mut d.app_layer.http.bomb_bytes)
    }),
    row("app-layer.protocols.http.enabled", |_, n, d| protocols::switch(n, &mut d.app_layer.http.enabled)),
    row("app-layer.protocols.dns", protocols::dns),
    row("app-layer.protocols.tls", protocols::tls),
    row("decoder.vxlan", |cx, n, d| {
        if let Some(check) = n.get("reserved-bits-check").and_then(Node::text) {
            // What it does not know, it takes for the default.
            d.decode.vxlan_strict = Some(!check.trim().eq_ignore_ascii_case("permissive"));
        }
        tunnel(cx, n, &mut d.decode.vxlan_ports)
    }),
    row("decoder.max-layers", |_, n, d| size(n, &mut d.limits.decode_layers_max)),
    row("decoder.recursion-level.use-for-tracking", |_, n, d| truth(n, &mut d.decode.use_depth)),
    row("decoder.geneve", |cx, n, d| tunnel(cx, n, &mut d.decode.geneve_ports)),
    row("decoder.teredo", |cx, n, d| tunnel(cx, n, &mut d.decode.teredo_ports)),
];

/// Rows that look into a part without covering all of it.
const OPEN: &[&str] = &["app-layer.protocols"];

/// Keys that mean nothing to a run over captures, or choose among ways of doing the same.
const IDLE: &[&str] = &[
    "suricata-version",
    "default-log-dir",
    "run-as",
    "plugins",
    "logging",
    "af-packet",
    "af-xdp",
    "dpdk",
    "pcap",
    "pfring",
    "netmap",
    "ipfw",
    "nfq",
    "nflog",
    "napatech",
    "security",
    "coredump",
    "unix-command",
    "magic-file",
    "legacy",
    "engine-analysis",
    "heartbeat",
    "threading",
    "profiling",
    "luajit",
    "mpm-algo",
    "spm-algo",
    "host-mode",
    "max-pending-packets",
    "runmode",
    "autofp-scheduler",
    "default-packet-size",
    "sensor-name",
    "pid-file",
    "default-rule-path",
    "engine",
    "vars",
    "daemon-directory",
    "umask",
    "cuda",
    "capture",
    "flow.hash-size",
    "flow.prealloc",
    "flow.managers",
    "flow.recyclers",
    "defrag.hash-size",
    "defrag.prealloc",
    "host",
    "ippair",
    "stream.prealloc-sessions",
    "stream.reassembly.segment-prealloc",
    "stream.reassembly.randomize-chunk-size",
    "stream.reassembly.randomize-chunk-range",
    "detect.profile",
    "detect.custom-values",
    "detect.sgh-mpm-context",
    "detect.sgh-mpm-caching",
    "detect.sgh-mpm-caching-path",
    "detect.prefilter",
    "detect.grouping",
    "detect.profiling",
    "app-layer.protocols.http.memcap",
    "app-layer.protocols.http.libhtp.default-config.http-body-inline",
    "app-layer.protocols.http.libhtp.default-config.request-body-minimal-inspect-size",
    "app-layer.protocols.http.libhtp.default-config.request-body-inspect-window",
    "app-layer.protocols.http.libhtp.default-config.response-body-minimal-inspect-size",
    "app-layer.protocols.http.libhtp.default-config.response-body-inspect-window",
    "app-layer.protocols.http.libhtp.default-config.randomize-inspection-sizes",
    "app-layer.protocols.http.libhtp.default-config.randomize-inspection-range",
    "app-layer.protocols.http.libhtp.default-config.decompression-time-limit",
];

/// The tree's meaning, and the keys that have none here.
pub(super) fn apply(root: &Node, inline: bool) -> Result<Imported, Error> {
    let mut document = Document::default();
    // Suricata knows the groups of its configuration and no others.
    document.vars.defaults = Some(false);
    document.limits.alerts_per_packet_max = Some(Size(ALERTS_MAX));
    let cx = Cx { root, inline, unsupported: RefCell::default() };
    for row in ROWS {
        if let Some(node) = root.at(row.key) {
            (row.apply)(&cx, node, &mut document)?;
        }
    }
    // What was said last of a cause counts.
    let said = std::mem::take(&mut document.exception_policies.each);
    for (i, (cause, policy)) in said.iter().enumerate() {
        if !said.iter().skip(i + 1).any(|(later, _)| later == cause) {
            document.exception_policies.each.push((*cause, *policy));
        }
    }
    let mut unknown = cx.unsupported.into_inner();
    unsupported(root, "", &mut unknown);
    Ok(Imported { document, unsupported: unknown.into_iter().collect() })
}

/// Names the keys that no row covers.
fn unsupported(node: &Node, path: &str, out: &mut BTreeSet<String>) {
    let covered = |key: &str| path == key || path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    if path == "outputs" {
        let logs = node.items().iter().flat_map(Node::entries);
        let others = logs.filter(|(name, log)| outputs::enabled(log, false) && !outputs::known(name));
        out.extend(others.map(|(name, _)| format!("outputs.{name}")));
        return;
    }
    if let Some(proto) = path.strip_prefix("app-layer.protocols.").filter(|p| !p.contains('.'))
        && engine::proto::registry::vocabulary().protocol(proto).is_none()
    {
        out.insert(path.to_string());
        return;
    }
    if ROWS.iter().map(|r| r.key).filter(|k| !OPEN.contains(k)).chain(IDLE.iter().copied()).any(covered) {
        return;
    }
    if !node.entries().is_empty() {
        for (key, child) in node.entries() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            unsupported(child, &path, out);
        }
    } else if node.text() != Some("") && !path.is_empty() {
        out.insert(path.to_string());
    }
}

/// Suricata's words for a truth.
pub(super) fn yes(n: &Node) -> Option<bool> {
    let t = n.text()?.trim();
    let is = |words: &[&str]| words.iter().any(|w| t.eq_ignore_ascii_case(w));
    if is(&["yes", "true", "on", "1"]) {
        Some(true)
    } else if is(&["no", "false", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

pub(super) fn wrong(n: &Node, what: impl Display) -> Error {
    let value = n.text().map_or_else(|| "a list or a map".to_string(), |t| format!("`{t}`"));
    n.place.error(format!("{value} is not {what}"))
}

/// Nothing was written after the key.
fn blank(n: &Node) -> bool {
    n.text().is_some_and(|t| t.trim().is_empty())
}

pub(super) fn truth(n: &Node, slot: &mut Option<bool>) -> Result<(), Error> {
    if !blank(n) {
        *slot = Some(yes(n).ok_or_else(|| wrong(n, "yes or no"))?);
    }
    Ok(())
}

pub(super) fn text(n: &Node, slot: &mut Option<String>) -> Result<(), Error> {
    if !blank(n) {
        *slot = Some(n.text().ok_or_else(|| wrong(n, "a text"))?.to_string());
    }
    Ok(())
}

pub(super) fn number<T: TryFrom<u64>>(n: &Node, slot: &mut Option<T>) -> Result<(), Error> {
    if !blank(n) {
        let v = n.text().and_then(|t| t.trim().parse::<u64>().ok()).and_then(|v| T::try_from(v).ok());
        *slot = Some(v.ok_or_else(|| wrong(n, "a number that fits here"))?);
    }
    Ok(())
}

pub(super) fn size(n: &Node, slot: &mut Option<Size>) -> Result<(), Error> {
    if !blank(n) {
        let v = n.text().and_then(Size::parse);
        *slot = Some(v.ok_or_else(|| wrong(n, "a size such as 4096, 64 KiB, 1mb"))?);
    }
    Ok(())
}

fn word<T>(n: &Node, parse: impl Fn(&str) -> Option<T>, allowed: &str) -> Result<T, Error> {
    n.text().and_then(|t| parse(t.trim())).ok_or_else(|| wrong(n, format!("one of {allowed}")))
}

fn groups(n: &Node, to: &mut std::collections::BTreeMap<String, String>) -> Result<(), Error> {
    for (name, value) in n.entries() {
        let text = match value.text() {
            Some(t) => t.to_string(),
            None => {
                let parts: Vec<&str> = value.items().iter().filter_map(Node::text).collect();
                format!("[{}]", parts.join(","))
            }
        };
        if text.trim().is_empty() || text == "[]" {
            return Err(value.place.error(format!("{name} is empty: write `any`, or leave the key out")));
        }
        to.insert(name.clone(), text);
    }
    Ok(())
}

fn timeouts(n: &Node, to: &mut ProtoTimeouts) -> Result<(), Error> {
    let slots = [
        ("new", &mut to.new),
        ("established", &mut to.established),
        ("closed", &mut to.closed),
        ("bypassed", &mut to.bypassed),
    ];
    for (key, slot) in slots {
        if let Some(n) = n.get(key) {
            number(n, slot)?;
        }
    }
    Ok(())
}

/// A policy of some causes. `auto` leaves what the engine does by itself.
fn policy(n: &Node, d: &mut Document, causes: &[Cause]) -> Result<(), Error> {
    let value = n.text().unwrap_or_default().trim();
    let policy = match value {
        "" | "auto" => return Ok(()),
        word => match ExceptionPolicy::ALL.into_iter().find(|p| p.name() == word) {
            Some(policy) => policy,
            None => {
                let words: Vec<&str> = ExceptionPolicy::ALL.iter().map(|p| p.name()).collect();
                return Err(wrong(n, format!("one of auto, {}", words.join(", "))));
            }
        },
    };
    for cause in causes {
        // A flow cannot be bypassed over what concerns single packets.
        let policy = policy.for_cause(*cause).unwrap_or(ExceptionPolicy::Ignore);
        d.exception_policies.each.push((*cause, policy));
    }
    Ok(())
}

/// Names are beside `default-rule-path`, unless they are absolute.
fn rule_files(cx: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let base = cx.root.get("default-rule-path").and_then(Node::text).unwrap_or_default();
    let names = n.items().iter().filter_map(Node::text).filter(|t| !t.is_empty());
    let files = names.map(|name| std::path::Path::new(base).join(name).display().to_string()).collect();
    d.rules.files = Some(files);
    Ok(())
}

/// A flow whose beginning was not seen has no packet to judge it by, and one that is followed on purpose cannot be dropped
/// for it.
fn midstream_policy(cx: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let value = n.text().unwrap_or_default().trim();
    if matches!(value, "pass-packet" | "drop-packet") {
        return Err(wrong(n, "a policy of flows: pass-flow, drop-flow, bypass, reject, ignore or auto"));
    }
    if d.stream.midstream == Some(true) && !matches!(value, "" | "auto" | "ignore" | "pass-flow") {
        return Err(wrong(n, "a policy for stream.midstream, which is on: pass-flow, ignore or auto"));
    }
    if value == "drop-flow" && !cx.inline {
        return Err(wrong(n, "a policy of a run that only watches: pass-flow, bypass, reject, ignore or auto"));
    }
    policy(n, d, &[Cause::StreamMidstream])
}

fn host_os(_: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    for (os, nets) in n.entries() {
        let os = if os == "old-solaris" { "solaris" } else { os };
        let stream = OsPolicy::parse(os)
            .ok_or_else(|| nets.place.error(format!("`{os}` is not one of {}", OS_NAMES.join(", "))))?;
        for item in nets.items().iter().chain(nets.text().filter(|t| !t.trim().is_empty()).map(|_| nets)) {
            let (ip, prefix) = item
                .text()
                .and_then(|t| net(t.trim()))
                .ok_or_else(|| wrong(item, "an address range such as 10.0.0.0/8"))?;
            let entry = |h: &mut Hosts| h.0.push((os.to_string(), ip, prefix));
            if prefix == 0 && ip.is_ipv4() {
                d.stream.policy.get_or_insert(StreamOs(stream));
                if let Some(p) = decode::OverlapPolicy::parse(os) {
                    d.defrag.policy.get_or_insert(Overlap(p));
                }
            } else {
                entry(&mut d.stream.hosts);
                entry(&mut d.defrag.hosts);
            }
        }
    }
    Ok(())
}

/// Seconds that datagrams of some destinations may wait, each entry under a name of its own.
fn defrag_hosts(_: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let listed = n.items().iter().flat_map(Node::entries);
    for (_, host) in listed.chain(n.entries()) {
        let (Some(timeout), Some(address)) = (host.get("timeout"), host.get("address")) else { continue };
        let mut seconds = None;
        number::<u32>(timeout, &mut seconds)?;
        for item in address.items().iter().chain(address.text().map(|_| address)) {
            let (ip, prefix) = item
                .text()
                .and_then(|t| net(t.trim()))
                .ok_or_else(|| wrong(item, "an address range such as 10.0.0.0/8"))?;
            d.defrag.timeouts.0.extend(seconds.map(|s| (ip, prefix, s)));
        }
    }
    Ok(())
}

/// `enabled` and `ports` of a tunnel; `$NAME` is a group of `vars.port-groups`.
fn tunnel(cx: &Cx<'_>, n: &Node, slot: &mut Option<Ports>) -> Result<(), Error> {
    if n.get("enabled").and_then(yes) == Some(false) {
        *slot = Some(Ports(decode::Ports::None));
        return Ok(());
    }
    let Some(ports) = n.get("ports") else { return Ok(()) };
    let listed = ports.items().iter().filter_map(Node::text).collect::<Vec<_>>().join(",");
    let mut written = ports.text().map_or(listed, str::to_string);
    if let Some(name) = written.trim().strip_prefix('$') {
        let group = cx.root.at("vars.port-groups").and_then(|g| g.get(name));
        written = match group.and_then(Node::text) {
            Some(t) => t.to_string(),
            None => Vars::default().ports.get(name).cloned().unwrap_or_default(),
        };
    }
    if !written.trim().is_empty() {
        *slot =
            Some(Ports::parse(&written).ok_or_else(|| wrong(ports, "any, a port, or a list such as [4789, 8472]"))?);
    }
    Ok(())
}
