//! Every input a fuzzer once found, and a few bytes of everything, through every fuzz function: nothing may panic.

use std::path::Path;

type Target = (&'static str, fn(&[u8]));

/// One row for each target of fuzz/Cargo.toml.
const TARGETS: &[Target] = &[
    ("classes", engine::detect::lang::fuzz::classes),
    ("compressed", capture::fuzz::fuzz_compressed),
    ("config", control::config::fuzz_target),
    ("dataset", engine::detect::lang::fuzz::dataset),
    ("decode", engine::decode::fuzz_target),
    ("defrag", engine::decode::fuzz_defrag),
    ("dns", engine::proto::dns::fuzz::fuzz_target),
    ("http", engine::proto::http::fuzz::fuzz_target),
    ("inflate", engine::applayer::inflate::fuzz::fuzz_target),
    ("inspect", harness::fuzz::inspect),
    ("mend", capture::fuzz::fuzz_mend),
    ("netlink", capture::fuzz::fuzz_netlink),
    ("pcap", capture::fuzz::fuzz_target),
    ("record", engine::record::fuzz::fuzz_target),
    ("reputation", engine::detect::lang::fuzz::reputation),
    ("rule", harness::fuzz::rule),
    ("stream", engine::stream::fuzz::fuzz_target),
    ("suricata", control::config::suricata::fuzz_target),
    ("thresholds", engine::detect::lang::fuzz::thresholds),
    ("tls", engine::proto::tls::fuzz::fuzz_target),
    ("worker", harness::fuzz::worker),
];

fn fuzz_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz"))
}

#[test]
fn the_table_has_every_target() {
    let manifest = std::fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    let mut listed: Vec<&str> =
        manifest.lines().filter_map(|l| l.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\"")).collect();
    listed.sort_unstable();
    assert_eq!(listed, TARGETS.iter().map(|t| t.0).collect::<Vec<_>>());
}

/// Protocols that no target of their own name feeds.
fn unfed<'a>(protocols: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    protocols.into_iter().filter(|p| !TARGETS.iter().any(|t| t.0 == *p)).collect()
}

#[test]
fn every_protocol_has_its_target() {
    let rows = engine::proto::registry::vocabulary().protocols.iter().skip(1).map(|p| p.name);
    assert!(unfed(rows).is_empty());
    assert_eq!(unfed(["dns", "a-row-without-one"]), ["a-row-without-one"], "such a row is refused");
}

#[test]
fn inputs_once_found_stay_harmless() {
    for (name, target) in TARGETS {
        let Ok(files) = std::fs::read_dir(fuzz_folder().join("regressions").join(name)) else { continue };
        for file in files {
            target(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}

#[test]
fn short_inputs_are_harmless() {
    for (_, target) in TARGETS {
        target(&[]);
        for byte in 0..=u8::MAX {
            for len in [1, 2, 7, 64, 300] {
                target(&vec![byte; len]);
            }
        }
    }
}
