use super::*;
use crate::config::{Config, parse};

fn outputs(text: &str) -> Result<Outputs, String> {
    parse(text, "c.yaml").and_then(|d| Config::of(&d)).map(|c| c.outputs).map_err(|e| e.to_string())
}

#[test]
fn events_are_short_for_a_log() {
    let of = |text: &str| outputs(text).unwrap();
    let all = of("");
    let log = &all.eve[0];
    assert!(log.has(Kind::Alert, "") && log.has(Kind::Tx, "http") && !log.has(Kind::Netflow, ""));
    let some = of("outputs: {events: [drop, files, dns]}");
    let log = &some.eve[0];
    assert!(log.has(Kind::Drop, "") && log.has(Kind::FileInfo, "") && log.has(Kind::Tx, "dns"));
    assert!(!log.has(Kind::Alert, "") && !log.has(Kind::Tx, "http"));
    let e = outputs("outputs: {events: [alarm]}").unwrap_err();
    assert!(e.contains("alarm") && e.contains("alert"), "{e}");
    assert!(of("outputs: {eve: []}").eve.is_empty());
}

#[test]
fn what_is_written_of_a_log_lies_over_its_defaults() {
    let o = outputs(
        r#"
outputs:
  eve:
    - file: a.json
      community-id: true
      community-id-seed: 7
      xff: {mode: overwrite, deployment: forward}
      types:
        alert: {payload: true, payload-max: 1KiB, rule-metadata: false}
        tls: {custom: [sni, client_chain]}
        dns: {version: 2, responses: false, types: [a, AAAA]}
        http: {extended: true, custom: [Accept]}
        flow: {}
  fast: {file: /tmp/fast.log, append: true}
"#,
    )
    .unwrap();
    let log = &o.eve[0];
    assert_eq!((log.settings.common.community_id, log.pcap_file), (Some(7), false));
    let x = log.settings.common.xff.as_ref().unwrap();
    assert!(x.overwrite && x.forward && x.header == "X-Forwarded-For");
    let a = log.settings.alert.as_ref().unwrap();
    assert!(a.payload && !a.rule_metadata && a.tagged_packets && a.payload_max == 1024);
    assert!(log.log.tls.fields.has(tls::Fields::CLIENT) && !log.log.tls.fields.has(tls::Fields::SUBJECT));
    assert_eq!(
        (log.log.dns.version, log.log.dns.responses, log.log.dns.types.as_deref()),
        (2, false, Some(&[1, 28][..]))
    );
    assert!(log.log.http.extended && log.log.http.custom == ["Accept"]);
    assert_eq!(o.fast, Some(TextLog { file: "/tmp/fast.log".into(), append: true }));
    for (text, part) in [
        ("outputs: {eve: [{types: {dns: {types: [zz]}}}]}", "zz"),
        ("outputs: {eve: [{types: {tls: {custom: [colour]}}}]}", "colour"),
        ("outputs: {eve: [{types: {colour: {}}}]}", "colour"),
    ] {
        let e = outputs(text).unwrap_err();
        assert!(e.contains(part), "{e}");
    }
}

#[test]
fn the_union_serves_every_log_and_each_hides_the_rest() {
    let o = outputs(
        "outputs: {eve: [{types: {alert: {payload: true}, http: {}}}, {community-id: true, types: {alert: {verdict: true, app-layer: false}, dns: {}}}]}",
    )
    .unwrap();
    let (all, _) = union(&o.eve);
    let a = all.alert.as_ref().unwrap();
    assert!(a.payload && a.verdict && a.app_layer && !a.packet && all.drop.is_none());
    assert!(o.eve[0].hidden(&all).contains(&(Kind::Alert, "verdict")));
    assert!(o.eve[0].hidden(&all).contains(&(Kind::Tx, "community_id")));
    let second = o.eve[1].hidden(&all);
    assert!(second.contains(&(Kind::Alert, "payload")) && second.contains(&(Kind::Alert, "http")));
    assert!(!second.contains(&(Kind::Alert, "verdict")));
    assert!(union(&o.eve[..1]).0.alert.is_some() && o.eve[0].hidden(&union(&o.eve[..1]).0).is_empty());
    let (none, _) = union(&[]);
    assert!(none.alert.is_some() && !none.flow && none.transactions.is_empty());
}
