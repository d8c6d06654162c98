//! The configuration as the engine takes it: defaults with the document laid over them.

use super::Error;
use super::lists::Lists;
use super::outputs::{self, Outputs};
use super::run::Run;
use super::schema::{Checksums, Document, ProtoTimeouts};
use super::values::{Causes, Hosts, Size};
use engine::applayer::files::Hashes;
use engine::decode::{HostPolicies, OverlapPolicy};
use engine::detect::lang::ActionOrder;
use engine::proto::registry;
use engine::stream::{OsPolicy, PolicyNet, UrgentPolicy};
use engine::types::{Cause, ExceptionPolicy, Limits, Policies};
use engine::{decode, flow, proto, stream};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Groups that rules name by `$NAME`, as text of the rule language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vars {
    pub addresses: BTreeMap<String, String>,
    pub ports: BTreeMap<String, String>,
}

impl Default for Vars {
    fn default() -> Self {
        let of = |rows: &[(&str, &str)]| rows.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Vars {
            addresses: of(&[
                ("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"),
                ("EXTERNAL_NET", "!$HOME_NET"),
                ("HTTP_SERVERS", "$HOME_NET"),
                ("SMTP_SERVERS", "$HOME_NET"),
                ("SQL_SERVERS", "$HOME_NET"),
                ("DNS_SERVERS", "$HOME_NET"),
                ("TELNET_SERVERS", "$HOME_NET"),
                ("AIM_SERVERS", "$EXTERNAL_NET"),
                ("DC_SERVERS", "$HOME_NET"),
                ("DNP3_SERVER", "$HOME_NET"),
                ("DNP3_CLIENT", "$HOME_NET"),
                ("MODBUS_CLIENT", "$HOME_NET"),
                ("MODBUS_SERVER", "$HOME_NET"),
                ("ENIP_CLIENT", "$HOME_NET"),
                ("ENIP_SERVER", "$HOME_NET"),
            ]),
            ports: of(&[
                ("HTTP_PORTS", "80"),
                ("SHELLCODE_PORTS", "!80"),
                ("ORACLE_PORTS", "1521"),
                ("SSH_PORTS", "22"),
                ("DNP3_PORTS", "20000"),
                ("MODBUS_PORTS", "502"),
                ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
                ("FTP_PORTS", "21"),
                ("GENEVE_PORTS", "6081"),
                ("VXLAN_PORTS", "4789"),
                ("TEREDO_PORTS", "3544"),
                ("SIP_PORTS", "[5060,5061]"),
            ]),
        }
    }
}

/// Where files are kept, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStore {
    /// Relative to the log directory.
    pub dir: PathBuf,
    pub all: bool,
    pub fileinfo: bool,
}

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub vars: Vars,
    pub decode: decode::Settings,
    pub flow: flow::Settings,
    pub stream: stream::Settings,
    pub proto: proto::Settings,
    pub limits: Limits,
    /// The defrag overlap policy was chosen, not defaulted: it stands when enforcing too.
    pub defrag_policy_chosen: bool,
    /// Somebody said what becomes of TLS past its handshake.
    pub encryption_chosen: bool,
    pub classification_file: Option<PathBuf>,
    pub reference_file: Option<PathBuf>,
    pub lists: Lists,
    /// Rule files of a run that names none.
    pub rule_files: Vec<String>,
    /// Words of rules that are switched off, each with how.
    pub off: Vec<(String, String)>,
    pub outputs: Outputs,
    pub file_store: Option<FileStore>,
    pub action_order: ActionOrder,
    pub run: Run,
    causes: Causes,
}

impl Config {
    /// Defaults with `d` laid over them.
    pub fn of(d: &Document) -> Result<Self, Error> {
        let mut c = Config::default();
        if d.vars.defaults == Some(false) {
            c.vars = Vars { addresses: BTreeMap::new(), ports: BTreeMap::new() };
        }
        c.vars.addresses.extend(d.vars.address_groups.0.clone());
        c.vars.ports.extend(d.vars.port_groups.0.clone());
        c.limits = limits(d)?;
        c.decode = decoding(d, &mut c.defrag_policy_chosen);
        c.flow = flows(d);
        c.stream = streams(d, &c.limits);
        c.limits.stream_depth = c.stream.depth;
        c.proto = protocols(d);
        c.encryption_chosen = d.app_layer.tls.encryption.is_some();
        c.classification_file = d.classification_file.as_ref().map(PathBuf::from);
        c.reference_file = d.reference_file.as_ref().map(PathBuf::from);
        c.lists = Lists::of(d);
        c.outputs = outputs::resolve(&d.outputs)?;
        c.file_store = file_store(d);
        if c.file_store.is_some() {
            // A file's name in the store.
            c.proto.want_hashes(Hashes { sha256: true, ..Hashes::default() });
        }
        c.rule_files = d.rules.files.clone().unwrap_or_default();
        c.off = switched_off(d, &c.proto);
        c.causes = d.exception_policies.clone();
        c.run = Run::of(&d.run)?;
        if let Some(words) = &d.action_order {
            c.action_order = ActionOrder::from_words(words.iter().map(String::as_str))
                .map_err(|why| Error::of_value(format!("action-order: {why}")))?;
        }
        Ok(c)
    }

    /// The effective policy of every cause, watching or enforcing. Watching, nothing is withheld: what was chosen holds
    /// as far as it spares work.
    pub fn policies(&self, inline: bool) -> Policies {
        let mut p = if inline { Policies::inline() } else { Policies::ids() };
        if self.stream.midstream {
            // Whoever asks for such sessions to be followed does not want them dropped for it.
            let _ = p.set(Cause::StreamMidstream, ExceptionPolicy::Ignore);
        }
        let all = self.causes.all.into_iter().flat_map(|all| Cause::TABLE.iter().map(move |r| (r.cause, all)));
        for (cause, policy) in all.chain(self.causes.each.iter().copied()) {
            // `all` sets those that may take it.
            if let Some(policy) = policy.for_cause(cause) {
                let effective = if policy.withholds() && !inline { ExceptionPolicy::Ignore } else { policy };
                let _ = p.set(cause, effective);
            }
        }
        p
    }
}

fn file_store(d: &Document) -> Option<FileStore> {
    let s = &d.file_store;
    s.enabled.unwrap_or(false).then(|| FileStore {
        dir: s.dir.as_deref().unwrap_or("filestore").into(),
        all: s.all.unwrap_or(false),
        fileinfo: s.fileinfo.unwrap_or(false),
    })
}

/// What rules cannot ask for: protocols that are off on every transport, fingerprints that are not made.
fn switched_off(d: &Document, s: &proto::Settings) -> Vec<(String, String)> {
    let why = "the configuration switches it off";
    let mut off: Vec<String> = d.app_layer.off.clone().unwrap_or_default();
    for p in proto::registry::vocabulary().protocols.iter().skip(1) {
        if (!p.tcp || s.off_tcp.has(p.id)) && (!p.udp || s.off_udp.has(p.id)) {
            off.push(p.name.to_string());
        }
    }
    if s.tls.ja3 == proto::Fingerprint::Never {
        off.extend(["ja3", "ja3s", "ja3_hash", "ja3_string"].map(str::to_string));
    }
    if s.tls.ja4 == proto::Fingerprint::Never {
        off.push("ja4".to_string());
    }
    off.into_iter().map(|word| (word, why.to_string())).collect()
}

/// Takes over what is said.
pub(super) fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(v) = value {
        *slot = v;
    }
}

fn limits(d: &Document) -> Result<Limits, Error> {
    let mut l = Limits::default();
    let s = &d.limits;
    let rows = [
        ("flows-max", &mut l.flows_max, s.flows_max),
        ("defrag-datagrams-max", &mut l.defrag_datagrams_max, s.defrag_datagrams_max),
        ("defrag-bytes-max", &mut l.defrag_bytes_max, s.defrag_bytes_max),
        ("defrag-fragments-max", &mut l.defrag_fragments_max, s.defrag_fragments_max),
        ("stream-bytes-max", &mut l.stream_bytes_max, s.stream_bytes_max),
        ("stream-segments-max", &mut l.stream_segments_max, s.stream_segments_max),
        ("parser-pending-max", &mut l.parser_pending_max, s.parser_pending_max),
        ("app-bytes-max", &mut l.app_bytes_max, s.app_bytes_max),
        ("parked-max", &mut l.parked_max, s.parked_max),
        ("decode-layers-max", &mut l.decode_layers_max, s.decode_layers_max),
        ("hosts-max", &mut l.hosts_max, s.hosts_max),
        ("flow-vars-max", &mut l.flow_vars_max, s.flow_vars_max),
        ("alerts-per-packet-max", &mut l.alerts_per_packet_max, s.alerts_per_packet_max),
    ];
    for (name, slot, value) in rows {
        let Some(Size(v)) = value else { continue };
        *slot = usize::try_from(v)
            .ok()
            .filter(|v| (1..=1 << 40).contains(v))
            .ok_or_else(|| Error::of_value(format!("limits.{name}: {v} is outside of 1 to {}", 1u64 << 40)))?;
    }
    Ok(l)
}

fn decoding(d: &Document, policy_chosen: &mut bool) -> decode::Settings {
    let mut s = decode::Settings::default();
    set(&mut s.verify_checksums, d.checksums.map(|c| c == Checksums::All));
    set(&mut s.vxlan, d.decode.vxlan_ports.clone().map(|p| p.0));
    set(&mut s.vxlan_strict, d.decode.vxlan_strict);
    set(&mut s.geneve, d.decode.geneve_ports.clone().map(|p| p.0));
    set(&mut s.teredo, d.decode.teredo_ports.clone().map(|p| p.0));
    set(&mut s.defrag.timeout, d.defrag.timeout.map(|t| Duration::from_secs(t.into())));
    set(&mut s.defrag.use_vlan, d.defrag.use_vlan);
    set(&mut s.defrag.use_depth, d.decode.use_depth);
    for (net, prefix, seconds) in &d.defrag.timeouts.0 {
        s.defrag.timeouts.add(*net, *prefix, Some(Duration::from_secs((*seconds).into())));
    }
    if let Some(p) = d.defrag.policy {
        s.defrag.hosts = HostPolicies::all(p.0);
    }
    let Hosts(hosts) = &d.defrag.hosts;
    for (os, net, prefix) in hosts {
        if let Some(policy) = OverlapPolicy::parse(os) {
            s.defrag.hosts.add(*net, *prefix, policy);
        }
    }
    *policy_chosen = d.defrag.policy.is_some() || !hosts.is_empty();
    s
}

fn flows(d: &Document) -> flow::Settings {
    let mut s = flow::Settings::default();
    let t = &d.flow.timeouts;
    for (to, from) in [(&mut s.tcp, &t.tcp), (&mut s.udp, &t.udp), (&mut s.icmp, &t.icmp), (&mut s.other, &t.other)] {
        timeouts(to, from);
    }
    set(&mut s.key.vlan, d.flow.use_vlan);
    set(&mut s.key.depth, d.decode.use_depth);
    set(&mut s.key.port_pair, d.flow.use_port_pair);
    s
}

fn timeouts(to: &mut flow::ProtoTimeouts, from: &ProtoTimeouts) {
    let secs = |v: Option<u32>| v.map(|v| Duration::from_secs(v.into()));
    set(&mut to.new, secs(from.new));
    set(&mut to.established, secs(from.established));
    set(&mut to.closed, secs(from.closed));
    set(&mut to.bypassed, secs(from.bypassed));
}

fn streams(d: &Document, limits: &Limits) -> stream::Settings {
    let mut s = stream::Settings { segments_max: limits.stream_segments_max, ..stream::Settings::default() };
    set(&mut s.midstream, d.stream.midstream);
    set(&mut s.async_oneside, d.stream.async_oneside);
    set(&mut s.inline, d.stream.inline);
    set(&mut s.urgent, d.stream.urgent.map(|u| u.0));
    set(&mut s.urgent_limit, d.stream.urgent_limit.map(|u| u.0).filter(|u| *u != UrgentPolicy::OutOfBand));
    set(&mut s.bypass, d.stream.bypass);
    set(&mut s.liberal_timestamps, d.stream.liberal_timestamps);
    set(&mut s.policy, d.stream.policy.map(|p| p.0));
    set(&mut s.depth, d.stream.reassembly.depth.map(|s| s.0));
    set(&mut s.depth_ends_all, d.stream.reassembly.depth_ends_all);
    set(&mut s.raw, d.stream.reassembly.raw);
    set(&mut s.syn_max, d.stream.syn_max);
    set(&mut s.synack_max, d.stream.synack_max);
    let Hosts(hosts) = &d.stream.hosts;
    for (os, net, prefix) in hosts {
        if let Some(policy) = OsPolicy::parse(os) {
            s.policies.push(PolicyNet { net: *net, prefix: *prefix, policy });
        }
    }
    s
}

/// DNS and TLS, and what is not looked for.
fn dns_and_tls(d: &Document, s: &mut proto::Settings) {
    let a = &d.app_layer;
    set(&mut s.dns.tcp_ports, a.dns.tcp_ports.clone().map(|p| p.0));
    set(&mut s.dns.udp_ports, a.dns.udp_ports.clone().map(|p| p.0));
    set(&mut s.tls.encryption, a.tls.encryption.map(|e| e.0));
    set(&mut s.tls.ja3, a.tls.ja3.map(|f| f.0));
    set(&mut s.tls.ja4, a.tls.ja4.map(|f| f.0));
    let vocabulary = registry::vocabulary();
    let off = |name: &str, on: Option<bool>| vocabulary.protocol(name).filter(|_| on == Some(false)).map(|p| p.id);
    let tcp = [off("http", a.http.enabled), off("dns", a.dns.tcp), off("tls", a.tls.enabled)];
    s.off_tcp = tcp.into_iter().flatten().collect();
    s.off_udp = off("dns", a.dns.udp).into_iter().collect();
}

fn protocols(d: &Document) -> proto::Settings {
    let mut s = proto::Settings::default();
    dns_and_tls(d, &mut s);
    let (to, from) = (&mut s.http, &d.app_layer.http);
    let small = |v: Option<Size>| v.map(|Size(v)| u32::try_from(v).unwrap_or(u32::MAX));
    let count = |v: Option<Size>| v.map(|Size(v)| usize::try_from(v).unwrap_or(usize::MAX));
    set(&mut to.request_body_limit, small(from.request_body_limit));
    set(&mut to.response_body_limit, small(from.response_body_limit));
    set(&mut to.field_limit, count(from.field_limit));
    set(&mut to.headers_max, count(from.headers_max));
    set(&mut to.header_block_max, count(from.header_block_max));
    set(&mut to.transactions_max, count(from.transactions_max));
    set(&mut to.held_max, count(from.held_max));
    set(&mut to.request_decompression, from.request_decompression);
    set(&mut to.response_decompression, from.response_decompression);
    set(&mut to.layers_max, count(from.layers_max));
    set(&mut to.bomb_bytes, from.bomb_bytes.map(|s| s.0));
    set(&mut to.bomb_ratio, from.bomb_ratio.map(|s| s.0));
    set(&mut to.bombs_max, from.bombs_max);
    set(&mut to.hashes.md5, from.md5);
    set(&mut to.hashes.sha1, from.sha1);
    set(&mut to.hashes.sha256, from.sha256);
    s
}
