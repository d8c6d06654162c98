use super::*;
use engine::types::{Cause, ExceptionPolicy};

fn config(text: &str) -> Result<Config, String> {
    parse(text, "c.yaml").and_then(|d| Config::of(&d)).map_err(|e| e.to_string())
}

fn set(s: &str) -> Result<Config, String> {
    load(None, &[s.to_string()]).map_err(|e| e.to_string())
}

#[test]
fn nothing_gives_the_defaults() {
    for text in ["", "# only words\n\n", "---\n"] {
        let c = config(text).unwrap();
        assert_eq!(c.vars, Vars::default());
        assert_eq!(c.vars.addresses["EXTERNAL_NET"], "!$HOME_NET");
        assert_eq!(c.vars.ports["FILE_DATA_PORTS"], "[$HTTP_PORTS,110,143]");
    }
}

#[test]
fn what_is_written_is_laid_over_the_defaults() {
    let c = config(
        r#"
vars:
  address-groups: {HOME_NET: [10.0.0.0/8, "!10.1.0.0/16"], MINE: any}
  port-groups: {HTTP_PORTS: [80, 8080]}
checksums: none
decode: {vxlan-ports: any, geneve-ports: [6081, 6082], teredo-ports: none}
defrag: {timeout: 30, policy: linux}
flow:
  timeouts: {tcp: {new: 5}, udp: {established: 7}}
  use-vlan: false
stream:
  midstream: true
  urgent: gap
  hosts: {linux: [10.0.0.0/8], windows: ["2001:db8::/32", 192.168.1.1]}
  reassembly: {depth: 2MiB}
limits: {flows-max: 1000, stream-bytes-max: 1 GiB}
app-layer: {http: {request-body-limit: 1MiB, sha256: true, bombs-max: 2}}
outputs: {events: [alert, drop]}
exception-policies: {stream-midstream: pass}
"#,
    )
    .unwrap();
    assert_eq!(c.vars.addresses["HOME_NET"], "[10.0.0.0/8,!10.1.0.0/16]");
    assert_eq!((&c.vars.addresses["MINE"][..], &c.vars.ports["HTTP_PORTS"][..]), ("any", "[80,8080]"));
    assert!(
        !c.decode.verify_checksums && c.decode.vxlan.has(1) && c.decode.geneve.has(6082) && !c.decode.teredo.has(3544)
    );
    assert_eq!(
        (c.flow.tcp.new.as_secs(), c.flow.tcp.established.as_secs(), c.flow.udp.established.as_secs()),
        (5, 600, 7)
    );
    assert!(c.stream.midstream && !c.flow.key.vlan && c.defrag_policy_chosen);
    assert_eq!((c.stream.depth, c.stream.policies.len()), (2 << 20, 3));
    assert_eq!((c.limits.flows_max, c.limits.stream_bytes_max, c.limits.stream_depth), (1000, 1 << 30, 2 << 20));
    let http = &c.proto.http;
    assert_eq!((http.request_body_limit, http.hashes.sha256, http.bombs_max), (1 << 20, true, 2));
    assert_eq!(c.policies(true).of(Cause::StreamMidstream), ExceptionPolicy::PassFlow);
    assert_eq!(c.policies(false).of(Cause::StreamMidstream), ExceptionPolicy::PassFlow);
    assert_eq!(c.policies(true).of(Cause::DefragMemcap), ExceptionPolicy::DropPacket);
    assert_eq!(c.policies(false).of(Cause::DefragMemcap), ExceptionPolicy::Ignore);
    assert!(c.outputs.eve[0].settings.drop.is_some() && !c.outputs.eve[0].settings.flow);
}

#[test]
fn errors_have_a_place_and_say_what_is_allowed() {
    for (text, place, words) in [
        ("stream:\n  midstraem: true\n", "c.yaml:2:3: ", &["midstraem", "midstream"][..]),
        ("stream:\n  midstream: 7\n", "c.yaml:2:14: ", &["bool"]),
        ("checksums: maybe\n", "c.yaml:1:12: ", &["maybe", "all", "none"]),
        ("limits:\n  flows-max: lots\n", "c.yaml:2:14: ", &["lots", "64KiB"]),
        (
            "exception-policies:\n  stream-gap: maybe\n",
            "c.yaml:2:3: ",
            &["maybe", "ignore, pass-packet, pass-flow, bypass, drop-packet, drop-flow, reject, rejectboth"],
        ),
        (
            "exception-policies: {defrag-memcap: bypass}\n",
            "c.yaml:1:",
            &["bypass", "ignore, pass-packet, drop-packet, reject"],
        ),
        ("exception-policies: {nonsense: drop}\n", "c.yaml:1:", &["nonsense", "stream-midstream"]),
        ("stream: {hosts: {amiga: [10.0.0.0/8]}}\n", "c.yaml:1:", &["amiga", "solaris"]),
        ("stream: {hosts: {linux: [10.0.0.0/33]}}\n", "c.yaml:1:", &["10.0.0.0/33"]),
        ("decode: {vxlan-ports: [1, 70000]}\n", "c.yaml:1:", &["70000", "none, any"]),
        ("vars: {address-groups: {$A: any}}\n", "c.yaml:1:", &["$A"]),
        ("vars:\n  port-groups:\n    A: ''\n", "c.yaml:3:8: ", &["empty group"]),
        ("a: [1\nb: 2\n", "c.yaml:", &[]),
        ("stream: {}\nstream: {}\n", "c.yaml:2:1: ", &["stream"]),
    ] {
        let e = config(text).expect_err(text);
        assert!(e.starts_with(place), "{text:?} gave {e:?}");
        for w in words {
            assert!(e.contains(w), "{e:?} does not say {w:?}");
        }
        assert!(!e.contains(" at line ") && !e.contains('\n'), "{e:?}");
    }
}

#[test]
fn overrides_are_typed_like_the_file() {
    assert!(set("stream.midstream=true").unwrap().stream.midstream);
    assert_eq!(set("vars.address-groups.EXTERNAL_NET=any").unwrap().vars.addresses["EXTERNAL_NET"], "any");
    let c = set("vars.address-groups.HOME_NET=[10.0.0.0/8,!10.1.0.0/16]").unwrap();
    assert_eq!(c.vars.addresses["HOME_NET"], "[10.0.0.0/8,!10.1.0.0/16]");
    assert_eq!(set("vars.address-groups.A=!$HOME_NET").unwrap().vars.addresses["A"], "!$HOME_NET");
    assert_eq!(set("vars.address-groups.A=2001:db8::/32").unwrap().vars.addresses["A"], "2001:db8::/32");
    assert_eq!(set("vars.address-groups.A=[fe80::/10, 10.0.0.1]").unwrap().vars.addresses["A"], "[fe80::/10,10.0.0.1]");
    assert_eq!(set("vars.port-groups.A=1024:65535").unwrap().vars.ports["A"], "1024:65535");
    for (s, words) in [
        ("stream.midstream=7", "bool"),
        ("stream.midstraem=true", "midstream"),
        ("stream.midstream", "name.of.key=value"),
        ("stream..x=1", "joined by dots"),
        ("=1", "joined by dots"),
        ("stream: {midstream=1", "joined by dots"),
    ] {
        let e = set(s).expect_err(s);
        assert!(e.starts_with(&format!("--set {s}: ")) && e.contains(words), "{e}");
    }
    let both = ["stream.reassembly.depth=1".to_string(), "stream.reassembly.depth=2".to_string()];
    assert_eq!(load(None, &both).unwrap().stream.depth, 2);
}

#[test]
fn a_missing_file_a_directory_and_bytes_that_are_no_text() {
    let say = |p: &Path| load(Some(p), &[]).unwrap_err().to_string();
    assert!(say(Path::new("/no/such.yaml")).starts_with("/no/such.yaml: No such file"));
    assert!(say(&std::env::temp_dir()).contains("directory"));
    let path = std::env::temp_dir().join(format!("stopgap-config-{}.yaml", std::process::id()));
    std::fs::write(&path, b"a: \xff").unwrap();
    assert!(say(&path).contains("not UTF-8 text (at byte 3)"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_document_cut_anywhere_is_read_or_refused_with_its_place() {
    let whole = "vars:\n  address-groups: {HOME_NET: [10.0.0.0/8, \"!10.1.0.0/16\"]}\nchecksums: none\n\
        decode: {vxlan-ports: any, geneve-ports: [6081, 6082]}\nlimits: {flows-max: 1000}\n";
    for cut in 0..whole.len() {
        if let Err(why) = config(&whole[..cut]) {
            assert!(why.starts_with("c.yaml"), "{cut}: {why}");
        }
    }
}

#[test]
fn absurd_documents_end() {
    let deep = "[".repeat(100_000);
    let bomb = format!("a: &a [x,x]\n{}", (0..20).map(|i| format!("b{i}: &b{i} [*a,*a]\n")).collect::<String>());
    for text in [&deep[..], &bomb, "\u{0}", "stream: &x {hosts: *x}", "? {}\n: 1"] {
        assert!(config(text).is_err());
        fuzz_target(text.as_bytes());
    }
}

/// What is put before people loads, and says no more than there is.
#[test]
fn the_sample_configurations_load() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples");
    let mut loaded = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let c = load(Some(&path), &[]).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(c.rule_files, ["/etc/stopgap/rules/*.rules"]);
            assert!(c.stream.midstream && c.vars.addresses["HOME_NET"] != Vars::default().addresses["HOME_NET"]);
            assert!(path.with_extension("env").exists(), "{}", path.display());
            loaded += 1;
        }
    }
    assert_eq!(loaded, 3);
}
