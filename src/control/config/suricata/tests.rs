use super::*;
use engine::record::Kind;

fn import(text: &str, sets: &[&str]) -> Result<Imported, String> {
    let mut root = tree::parse(text, "s.yaml").map_err(|e| e.to_string())?;
    for s in sets {
        root.set(s).map_err(|e| e.to_string())?;
    }
    rows::apply(&root, false).map_err(|e| e.to_string())
}

fn config(text: &str, sets: &[&str]) -> Config {
    import(text, sets).unwrap().config().unwrap()
}

const SAMPLE: &str = r#"%YAML 1.1
---
vars:
  address-groups:
    HOME_NET: "[10.0.0.0/8]"
    MY_SERVERS: [10.1.1.1, 10.1.1.2]
  port-groups:
    VXLAN_PORTS: "[4789, 8472]"
outputs:
  - fast: {enabled: no}
  - eve-log:
      enabled: yes
      types:
        - alert
        - anomaly:
            enabled: no
        - files:
            force-magic: no
        - dns:
        - smtp
stream:
  midstream: off
  reassembly:
    depth: 1mb
    memcap: 256 MiB
host-os-policy:
  windows: [0.0.0.0/0]
  linux: [10.0.0.0/8]
decoder:
  vxlan: {enabled: true, ports: $VXLAN_PORTS}
  teredo: {enabled: no}
defrag:
  max_frags: 65535
af-packet:
  - interface: eth0
"#;

#[test]
fn keys_have_their_meaning() {
    let c = config(SAMPLE, &[]);
    assert_eq!(c.vars.addresses["HOME_NET"], "[10.0.0.0/8]");
    assert_eq!(c.vars.addresses["MY_SERVERS"], "[10.1.1.1,10.1.1.2]");
    let log = &c.outputs.eve[0];
    let has = |kind, name| log.has(kind, name);
    assert!(has(Kind::Alert, "") && has(Kind::FileInfo, "") && has(Kind::Tx, "dns") && !has(Kind::Anomaly, ""));
    assert!(!log.pcap_file && c.outputs.fast.is_none());
    assert!(!c.stream.midstream && c.decode.vxlan.has(8472) && !c.decode.teredo.has(3544));
    assert_eq!((c.stream.depth, c.limits.stream_bytes_max), (1 << 20, 256 << 20));
    assert_eq!(c.stream.policy, engine::stream::OsPolicy::Windows);
    assert_eq!(c.stream.policies.len(), 1);
}

#[test]
fn assignments_reach_into_lists_and_make_what_is_missing() {
    let sets = [
        "stream.midstream=true",
        "outputs.1.eve-log.types.1.anomaly.enabled=yes",
        "outputs.1.eve-log.types.0.alert.payload=yes",
        "app-layer.protocols.http.libhtp.default-config.response-body-limit=3000",
    ];
    let c = config(SAMPLE, &sets);
    assert!(c.stream.midstream);
    let s = &c.outputs.eve[0].settings;
    assert!(s.anomaly.is_some() && s.alert.as_ref().unwrap().payload);
    assert_eq!(c.proto.http.response_body_limit, 3000);
    let wrong = |set: &str| import(SAMPLE, &[set]).unwrap_err();
    assert!(wrong("stream").contains("name.of.key=value"));
    assert!(wrong("outputs.fast.enabled=no").contains("use its number"));
    assert!(wrong("outputs.5000.x=1").contains("1024"));
    assert_eq!(wrong("stream.midstream=maybe"), "--set stream.midstream=maybe: `maybe` is not yes or no");
}

#[test]
fn errors_have_a_place() {
    let say = |text: &str| import(text, &[]).unwrap_err();
    assert_eq!(say("stream:\n  midstream: maybe\n"), "s.yaml:2:14: `maybe` is not yes or no");
    assert!(say("vars:\n  address-groups:\n    A: []\n").starts_with("s.yaml:3:8: A is empty"));
    assert!(say("a: [1\nb: 2").starts_with("s.yaml:"));
    assert!(say("stream: {memcap-policy: drop-all}").contains("drop-flow"));
}

#[test]
fn midstream_policies_fit_the_run() {
    let say = |midstream: &str, policy: &str, inline| {
        let text = format!("stream: {{midstream-policy: {policy}, midstream: {midstream}}}\n");
        let root = tree::parse(&text, "s.yaml").unwrap();
        rows::apply(&root, inline).map(|_| ()).map_err(|e| e.to_string())
    };
    for ok in ["pass-flow", "ignore", "auto"] {
        assert!(say("yes", ok, true).is_ok() && say("no", ok, false).is_ok());
    }
    assert!(say("no", "drop-flow", true).is_ok() && say("no", "bypass", false).is_ok());
    for (midstream, policy, inline) in [
        ("no", "drop-packet", true),
        ("no", "pass-packet", false),
        ("yes", "drop-flow", true),
        ("no", "drop-flow", false),
    ] {
        let e = say(midstream, policy, inline).unwrap_err();
        assert!(e.starts_with("s.yaml:1:28: `") && e.contains("pass-flow"), "{e}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let i = import("stream: {midstream: yes, frobnicate: 1}\nnew-thing: {a: 1, b: }\naf-packet: [x]\n", &[]).unwrap();
    assert_eq!(i.unsupported, ["new-thing.a", "stream.frobnicate"]);
}

#[test]
fn includes_are_laid_under_what_follows() {
    let dir = std::env::temp_dir().join(format!("stopgap-include-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    let main = dir.join("main.yaml");
    std::fs::write(&main, "%YAML 1.1\n---\ninclude: sub/a.yaml\nstream: {midstream: yes}\n").unwrap();
    std::fs::write(dir.join("sub/a.yaml"), "stream: {async-oneside: yes}\nvars: {address-groups: {A: any}}\n").unwrap();
    let c = load(Some(&main), &[], &[], false).unwrap().config().unwrap();
    assert!(c.stream.midstream && !c.stream.async_oneside && c.vars.addresses["A"] == "any");
    std::fs::write(dir.join("sub/a.yaml"), "include: ../main.yaml\n").unwrap();
    assert!(load(Some(&main), &[], &[], false).unwrap_err().to_string().contains("include itself"));
    std::fs::write(dir.join("sub/a.yaml"), "include: none.yaml\n").unwrap();
    assert!(load(Some(&main), &[], &[], false).unwrap_err().to_string().contains("none.yaml"));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_document_cut_anywhere_is_read_or_refused_with_its_place() {
    for cut in 0..SAMPLE.len() {
        if let Err(why) = import(&SAMPLE[..cut], &[]) {
            assert!(why.starts_with("s.yaml"), "{cut}: {why}");
        }
    }
}

#[test]
fn absurd_documents_end() {
    let deep = "[".repeat(100_000);
    let bomb = format!("a: &a [x,x]\n{}", (0..40).map(|i| format!("b{i}: &a [*a,*a]\n")).collect::<String>());
    for text in [&deep[..], &bomb, "\u{0}", "a: &x [*x]", "? {}\n: 1"] {
        assert!(import(text, &[]).is_err(), "{}", &text[..text.len().min(20)]);
        fuzz_target(text.as_bytes());
    }
}

#[test]
fn protocols_have_their_switches_and_ports() {
    let settings = |yaml: &str| {
        let root = tree::parse(yaml, "t").unwrap();
        rows::apply(&root, false).unwrap().config().unwrap().proto
    };
    let dns = engine::proto::registry::vocabulary().protocol("dns").unwrap().id;
    let off = |yaml: &str| {
        let s = settings(yaml);
        (s.off_tcp.has(dns), s.off_udp.has(dns))
    };
    let with = |dns: &str| format!("app-layer:\n  protocols:\n    dns:\n{dns}");
    assert_eq!(off(&with("      enabled: no\n")), (true, true));
    assert_eq!(off(&with("      enabled: no\n      udp: {enabled: yes}\n")), (true, false));
    assert_eq!(off(&with("      enabled: yes\n      tcp: {enabled: no}\n")), (true, false));
    assert_eq!(off(&with("      tcp: {enabled: detection-only}\n")), (false, false));
    let s = settings(&with("      tcp: {detection-ports: {dp: \"53, 1053\"}}\n"));
    assert_eq!((s.dns.tcp_ports, s.dns.udp_ports), (vec![53, 1053], vec![53]));
    let tls = "app-layer:\n  protocols:\n    tls:\n      ja3-fingerprints: yes\n      encryption-handling: full\n";
    let s = settings(tls);
    assert_eq!(s.tls.ja3, engine::proto::Fingerprint::Always);
    assert_eq!(s.tls.encryption, engine::proto::Encryption::Full);
    let root = tree::parse(&tls.replace("full", "half"), "t").unwrap();
    assert!(rows::apply(&root, false).unwrap_err().to_string().contains("track-only"));
}

#[test]
fn the_native_configuration_means_the_same() {
    let more = "exception-policy: auto\ndefrag-x: 1\nstream2: [1]\n";
    let sets = [
        "stream.midstream-policy=pass-flow",
        "stream.reassembly.urgent.policy=gap",
        "app-layer.protocols.tls.ja3-fingerprints=yes",
        "app-layer.protocols.dns.tcp.detection-ports.dp=53, 5353",
        "outputs.1.eve-log.community-id=yes",
        "outputs.1.eve-log.types.0.alert.payload=yes",
        "outputs.1.eve-log.types.5.netflow=",
    ];
    let i = import(&format!("{SAMPLE}{more}"), &sets).unwrap();
    let text = i.native().unwrap();
    let read = crate::config::parse(&text, "native").map_err(|e| format!("{e}\n{text}")).unwrap();
    assert_eq!(read, i.document, "{text}");
    let debug = |d: &Document| format!("{:?}", Config::of(d).unwrap());
    assert_eq!(debug(&read), debug(&i.document));
    assert!(text.contains("\n# Without a counterpart here:\n") && text.contains("#   defrag-x\n"), "{text}");
}
