//! Fuzz functions that need more than one crate: the whole worker under rules, watching and in line.

use ::engine::decode::{Frame, LinkType, PortId};
use ::engine::detect::compile::Ruleset;
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

/// First byte: bit 0 in line, bits 1 and 2 the link type. Then frames: two bytes of length, one of time, the bytes.
pub fn worker(data: &[u8]) {
    let Some((&choice, mut rest)) = data.split_first() else { return };
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
    #[test]
    fn its_rules_load() {
        assert!(super::rules().is_some());
    }
}
