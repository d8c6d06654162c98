//! Fuzz functions that need more than one crate: the whole worker under rules, watching and in line.

use crate::craft::{Conversation, udp};
use ::engine::decode::{self, Frame, LinkType, PortId};
use ::engine::detect::compile::Ruleset;
use ::engine::detect::lang::{Context, Events, ListFiles, Reputation, manual};
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

/// What no word's example shows: hooks, frames of each protocol, lists and scores, changes of a set, variables, the log.
const MORE: &str = r#"
alert http1:request_started any any -> any any (msg:"hook"; sid:101;)
alert http1:response_line any any -> any any (msg:"hook"; http.stat_code; content:"2"; sid:102;)
alert tls:client_hello_done any any -> any any (msg:"hook"; tls.sni; content:"a"; sid:103;)
alert dns:request_complete any any -> any any (msg:"hook"; sid:104;)
drop tcp:all any any -> any any (msg:"hook"; content:"drop me"; sid:105;)
alert ip:flow_start any any -> any any (msg:"hook"; sid:106;)
alert tcp any any -> any any (msg:"frame"; frame:http1.request; content:"GET"; startswith; sid:111;)
alert tls any any -> any any (msg:"frame"; frame:tls.pdu; content:"|16 03|"; startswith; sid:112;)
alert dns any any -> any any (msg:"frame"; frame:dns.pdu; content:"|00 01|"; sid:113;)
alert ip any any -> any any (msg:"score"; iprep:any,bad,>,40; sid:121;)
alert http any any -> any any (msg:"new"; http.uri; dataset:set,paths,type string,memcap 4kb; sid:131;)
alert http any any -> any any (msg:"gone"; http.user_agent; dataset:unset,paths; sid:132;)
alert http any any -> any any (msg:"known"; http.host; to_lowercase; dataset:isset,hosts,type string,load hosts.lst,match subdomain; sid:133;)
alert http any any -> any any (msg:"context"; http.host; dataset:isset,words,type string,load hosts.json,format json,value_key h,context_key c; sid:134;)
alert http any any -> any any (msg:"score"; http.host; datarep:scores,>,3,type string,load hosts.rep; sid:135;)
alert tcp any any -> any any (msg:"end"; ip.src; dataset:set,ends,type ip,memcap 4kb; sid:136;)
alert http any any -> any any (msg:"hash"; filemd5:files.md5; sid:137;)
config http any any -> any any (http.uri; content:"/unseen"; config:logging disable, type tx, scope tx; sid:141;)
alert http any any -> any any (msg:"host"; http.method; content:"PUT"; xbits:set,put,track ip_src,expire 60; hostbits:set,put; sid:142;)
alert tcp any any -> any any (msg:"capture"; pcre:"/name=(?P<flow_name>[a-z]{1,9})/"; flowint:n,+,1; sid:143;)
"#;

/// The files that rules name: a word a line, the same with scores, as JSON, a hash.
struct Lists;

impl ListFiles for Lists {
    fn beside(&self, _: &str, name: &str) -> String {
        name.to_owned()
    }

    fn data(&self, name: &str) -> String {
        name.to_owned()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let text = match path.rsplit_once('.') {
            Some((_, "lst")) => "aA==\nYS5i\nLmI=\n",
            Some((_, "rep")) => "aA==,7\nYS5i,2\n",
            Some((_, "json")) => r#"[{"h":"h","y":[1,{"z":"w"}]},{"h":"a.b"}]"#,
            Some((_, "md5")) => "0cc175b9c0f1b6a831c399e269772661\n",
            _ => return Ok(None),
        };
        Ok(Some(text.into()))
    }
}

/// A category that the networks of the fuzzed frames score in.
fn scores() -> Reputation {
    let mut r = Reputation::default();
    r.add_categories("1,bad,Known bad\n", "categories");
    r.add_list("10.0.0.0/8,1,50\n192.0.2.0/24,1,90\n::/0,1,30\n", "scores");
    r
}

fn compiled(text: &str) -> Option<Arc<Ruleset>> {
    crate::engine::ruleset_with_lists(text, matcher::pure_rust(), Box::new(Lists), scores()).ok()
}

fn rules() -> &'static Option<Arc<Ruleset>> {
    static RULESET: OnceLock<Option<Arc<Ruleset>>> = OnceLock::new();
    RULESET.get_or_init(|| compiled(&[RULES, MORE].concat()))
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
        compiled(&[&text, MORE].concat())
    })
}

/// Conversations that reach inspection whatever their bytes, against a rule of every word. First byte: bit 0 in line, bit
/// 1 datagrams, bits 2 to 4 the server's port, bit 5 two flows that take turns. Then pieces, each led by a byte: bit 7 the
/// server's, the rest its length.
pub fn inspect(data: &[u8]) {
    let Some((&choice, mut rest)) = data.split_first() else { return };
    let port = [80, 443, 53, 8_080, 21, 25, 445, 9_000][usize::from(choice >> 2 & 7)];
    let config = if choice & 1 == 1 { crate::engine::in_line() } else { crate::engine::watching() };
    let Some(rules) = every_word_compiled() else { return };
    let mut flows: Vec<Conversation> =
        (0..=u16::from(choice >> 5 & 1)).map(|n| Conversation::open(40_000 + n, port)).collect();
    let mut frames = Vec::new();
    let mut turn = 0;
    while let Some((&lead, tail)) = rest.split_first() {
        let (piece, tail) = tail.split_at(usize::from(lead & 0x7f).min(tail.len()));
        rest = tail;
        let to_server = lead & 0x80 == 0;
        let flow = turn % flows.len();
        turn += 1;
        if choice & 2 != 0 {
            let micros = 1_700_000_000_000_000 + frames.len() as i64 * 1_000;
            frames.push(udp(to_server, 40_000 + flow as u16, port, micros, piece));
        } else {
            flows[flow].send(to_server, piece);
        }
    }
    if choice & 2 == 0 {
        frames = flows.into_iter().flat_map(Conversation::close).collect();
        // Each conversation's are in order of time already.
        frames.sort_by_key(|f| f.micros);
    }
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
        for choice in [0, 1, 32, 33] {
            let piece = [&[request.len() as u8][..], request].concat();
            inspect(&[&[choice][..], &piece, &piece].concat());
        }
    }

    /// Each of the rules beyond the words' own is reached by a dialogue of its kind.
    #[test]
    fn what_no_example_shows_takes_part() {
        let rules = compiled(MORE).unwrap();
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
        let mut c = Conversation::open(40_000, 80);
        for host in ["h", "A.B", "/p"] {
            let request = format!("PUT /p?name=abc HTTP/1.1\r\nHost: {host}\r\nUser-Agent: /p?name=abc\r\n\r\n");
            c.send(true, request.as_bytes());
            c.send(false, ok);
        }
        c.send(true, b"GET /unseen HTTP/1.1\r\nHost: h\r\n\r\n");
        let out = crate::engine::run(&rules, crate::engine::watching(), &c.close(), 7);
        let sids = out.sids();
        let missed: Vec<u64> = [101, 102, 106, 111, 121, 131, 132, 133, 134, 135, 136, 137, 142, 143]
            .into_iter()
            .filter(|sid| !sids.contains(sid))
            .collect();
        assert!(missed.is_empty(), "{missed:?}");
        assert_eq!(out.of("http").count(), 3, "one is unlogged");
    }
}
