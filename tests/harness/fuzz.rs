//! Fuzz functions that need more than one crate: the whole worker under rules, watching and in line.

use crate::craft::{Conversation, udp};
use ::engine::decode::{self, Frame, LinkType, PortId};
use ::engine::detect::compile::Ruleset;
use ::engine::detect::lang::{Context, Events, manual};
use ::engine::stream;
use ::engine::types::{Cause, ExceptionPolicy, Policies, Timestamp};
use ::engine::worker::{Config, Mode, Output, Worker};
use std::sync::{Arc, OnceLock};

/// One rule of every kind of evaluation: packet, stream, each protocol's buffers, state, address, event.
const RULES: &str = r#"
drop http any any -> any any (msg:"uri"; flow:established,to_server; http.uri; content:"/etc/passwd"; sid:1;)
alert http any any -> any any (msg:"body"; http.request_body; content:"a"; content:"b"; distance:0; within:9; pcre:"/b.{1,9}c/R"; sid:2;)
alert http any any -> any any (msg:"file"; flow:to_client; file.data; content:"MZ"; startswith; byte_jump:4,60,little; sid:3;)
alert dns any any -> any any (msg:"dns"; dns.query; content:".com"; endswith; nocase; sid:4;)
alert tls any any -> any any (msg:"tls"; tls.sni; content:"a"; sid:5;)
alert tcp any any -> any any (msg:"stream"; content:"GET"; content:"HTTP"; distance:1; flowbits:set,x; sid:6;)
alert tcp any any -> any any (msg:"bit"; flowbits:isset,x; content:"a"; sid:7;)
reject udp any any -> any 53 (msg:"udp"; content:"|00 01|"; byte_test:2,>,1,0,relative; sid:8;)
alert ip 10.0.0.0/8 any -> any any (msg:"address"; sid:9;)
alert pkthdr any any -> any any (msg:"event"; decode-event:ipv4.opt_invalid; sid:10;)
alert tcp any any -> any any (msg:"flags"; flags:S; threshold:type limit,track by_src,count 1,seconds 60; sid:11;)
"#;

fn rules() -> &'static Option<Arc<Ruleset>> {
    static RULESET: OnceLock<Option<Arc<Ruleset>>> = OnceLock::new();
    RULESET.get_or_init(|| crate::engine::ruleset_with(RULES, matcher::pure_rust()).ok())
}

/// Rule text of any bytes, against everything rules may name.
pub fn rule(data: &[u8]) {
    ::engine::detect::lang::fuzz::rule(::engine::proto::registry::vocabulary(), data);
}

/// A rule for every word of the language, from the example of its row: keywords, transforms, buffers, tests of
/// transactions, events. Each entry with the rule made of it; `None` where the word is known and not available.
fn every_word() -> Vec<(String, Option<String>)> {
    let vocabulary = ::engine::proto::registry::vocabulary();
    let events = Events { decode: decode::events::event_by_name, stream: stream::events::event_by_name };
    let cx = Context::new(vocabulary, events);
    let rule = |proto: &str, options: &str, sid: usize| {
        let sid = if options.contains("sid:") { String::new() } else { format!("sid:{sid};") };
        format!("alert {proto} any any -> any any ({options} {sid})\n")
    };
    let mut out = Vec::new();
    for e in manual(&cx) {
        let sid = 10_000 + out.len();
        let options = match (e.kind, e.name) {
            ("transform", _) => format!("file.data; {} content:\"7\";", e.example),
            (_, "base64_data") => format!("base64_decode; {}", e.example),
            _ => e.example.clone(),
        };
        let protos = e.protocol.map_or_else(|| vec!["tcp", "ip", "http", "tls", "pkthdr"], |p| vec![p]);
        let loads = |r: &String| crate::engine::ruleset_with(r, matcher::pure_rust()).is_ok();
        let made = protos.into_iter().map(|p| rule(p, &options, sid)).find(loads);
        out.push((e.name.to_owned(), made));
    }
    for p in vocabulary.protocols.iter().skip(1) {
        for e in p.events {
            let sid = 10_000 + out.len();
            let name = format!("{}.{}", p.name, e.name);
            out.push((name.clone(), Some(rule(p.name, &format!("app-layer-event:{name};"), sid))));
        }
    }
    out
}

fn every_word_compiled() -> &'static Option<Arc<Ruleset>> {
    static RULESET: OnceLock<Option<Arc<Ruleset>>> = OnceLock::new();
    RULESET.get_or_init(|| {
        let text: String = every_word().into_iter().filter_map(|(_, rule)| rule).collect();
        crate::engine::ruleset_with(&text, matcher::pure_rust()).ok()
    })
}

/// Conversations that reach inspection whatever their bytes, against a rule of every word. First byte: bit 0 in line, bit
/// 1 datagrams, bits 2 to 4 the server's port. Then pieces, each led by a byte: bit 7 the server's, the rest its length.
pub fn inspect(data: &[u8]) {
    let Some((&choice, mut rest)) = data.split_first() else { return };
    let port = [80, 443, 53, 8_080, 21, 25, 445, 9_000][usize::from(choice >> 2 & 7)];
    let config = if choice & 1 == 1 { crate::engine::in_line() } else { crate::engine::watching() };
    let Some(rules) = every_word_compiled() else { return };
    let mut c = Conversation::open(40_000, port);
    let mut frames = Vec::new();
    while let Some((&lead, tail)) = rest.split_first() {
        let (piece, tail) = tail.split_at(usize::from(lead & 0x7f).min(tail.len()));
        rest = tail;
        let to_server = lead & 0x80 == 0;
        if choice & 2 != 0 {
            let micros = 1_700_000_000_000_000 + frames.len() as i64 * 1_000;
            frames.push(udp(to_server, 40_000, port, micros, piece));
        } else {
            c.send(to_server, piece);
        }
    }
    let frames = if choice & 2 != 0 { frames } else { c.close() };
    let done = crate::engine::run(rules, config, &frames, 64);
    assert_eq!(done.counters.of(::engine::types::Counter::Panics), 0, "a panic was contained");
}

/// Everything that a person may set and an attacker may lean on, from three bytes.
fn configured(config: &mut Config, [a, b, c]: [u8; 3]) {
    let names = stream::OsPolicy::NAMES;
    config.stream.policy = names.get(usize::from(a & 15)).map_or(config.stream.policy, |(_, p)| *p);
    config.decode.defrag.hosts = decode::HostPolicies::all(decode::OverlapPolicy::ALL[usize::from(a >> 4) % 7]);
    config.stream.async_oneside = b & 1 != 0;
    config.stream.raw_overlap = usize::from(b & 6) * 32;
    config.stream.depth = if b & 8 != 0 { 512 } else { config.stream.depth };
    let limits = &mut config.limits;
    if b & 16 != 0 {
        limits.flows_max = 2;
        limits.hosts_max = 1;
        limits.parked_max = 1;
    }
    if b & 32 != 0 {
        limits.stream_bytes_max = 2_000;
        limits.stream_segments_max = 4;
        limits.app_bytes_max = 2_000;
    }
    if b & 64 != 0 {
        limits.defrag_bytes_max = 200;
        limits.defrag_datagrams_max = 1;
        limits.decode_layers_max = 3;
    }
    if b & 128 != 0 {
        limits.parser_pending_max = 64;
        limits.flow_vars_max = 1;
        limits.alerts_per_packet_max = 1;
    }
    // One cause under another policy.
    let row = &Cause::TABLE[usize::from(c >> 3) % Cause::COUNT];
    let policy = ExceptionPolicy::ALL[usize::from(c & 7)];
    // What a cause does not allow stays as it was.
    let _ = config.policies.set(row.cause, policy);
}

/// First byte: bit 0 in line, bits 1 and 2 the link type, 3 checksums, 4 midstream; three bytes of configuration. Then
/// frames: two bytes of length, one of time, the bytes.
pub fn worker(data: &[u8]) {
    let Some((&[choice, a, b, c], mut rest)) = data.split_first_chunk::<4>() else { return };
    let links = [LinkType::ETHERNET, LinkType::RAW, LinkType::LINUX_SLL, LinkType::NULL];
    let link = links[usize::from(choice >> 1 & 3)];
    let inline = choice & 1 == 1;
    let mut config = Config::default();
    if inline {
        config.mode = Mode::Inline;
        config.policies = Policies::inline();
    }
    config.decode.verify_checksums = choice & 8 != 0;
    config.stream.midstream = choice & 16 != 0;
    if config.stream.midstream {
        let _ = config.policies.set(Cause::StreamMidstream, ExceptionPolicy::Ignore);
    }
    config.limits.flows_max = 64;
    config.limits.stream_bytes_max = 1 << 20;
    configured(&mut config, [a, b, c]);
    let records_max = 1 << 20;
    let Some(rules) = rules() else { return };
    let Ok(mut worker) = Worker::new(Arc::new(config), Arc::clone(rules)) else { return };
    let mut out = Output::new(records_max);
    let (mut number, mut ts) = (0, Timestamp::from_secs(1_700_000_000).nanos());
    while let [a, b, gap, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*a, *b])).min(tail.len());
        let (frame, tail) = tail.split_at(len);
        rest = tail;
        number += 1;
        // Squared, so that some gaps pass time-outs.
        ts += u64::from(*gap).pow(2) * 10_000_000;
        let frame = Frame {
            ts: Timestamp::from_nanos(ts),
            number,
            link,
            port: PortId(u16::from(*gap & 1)),
            data: frame,
            wire_len: len as u32,
        };
        worker.process(&[frame], &mut out);
        assert_eq!(worker.counters().of(engine::types::Counter::Panics), 0, "a panic was contained");
    }
    worker.finish(&mut out);
    assert_eq!(worker.counters().of(engine::types::Counter::Panics), 0, "a panic was contained");
    for record in out.records.iter() {
        let mut line = Vec::new();
        assert!(control::export::line(&record, None, &Default::default(), &mut line).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_rules_load() {
        assert!(rules().is_some());
    }

    /// The generated target reaches every word whose row says that it is available.
    #[test]
    fn every_word_takes_part() {
        let unavailable: Vec<_> = every_word().into_iter().filter(|(_, r)| r.is_none()).map(|(name, _)| name).collect();
        let cx = Context::new(::engine::proto::registry::vocabulary(), Events::default());
        for e in manual(&cx).iter().filter(|e| unavailable.iter().any(|u| u == e.name)) {
            let refused = e.example.is_empty() || e.syntax.contains("<not available>");
            assert!(refused, "{}: no rule of its example loads: {}", e.name, e.example);
        }
        assert!(every_word_compiled().is_some());
    }

    #[test]
    fn a_dialogue_of_bytes_reaches_the_rules() {
        let request = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
        let input = [&[0, request.len() as u8][..], request].concat();
        inspect(&input);
    }
}
