use super::check::{both, capabilities, member, port};
use super::*;
use std::process::Command;

fn facts(name: &str) -> Facts {
    Facts {
        name: name.into(),
        ifindex: 1,
        mtu: 1500,
        ethernet: true,
        up: true,
        carrier: true,
        rx_queues: 1,
        ..Facts::default()
    }
}

type Change = fn(&mut Facts);

fn feature(name: &str, fixed: bool) -> Feature {
    Feature { name: name.into(), on: true, fixed }
}

/// Everything said of a port of a pair.
fn of(f: &Facts, capture: Capture) -> Findings {
    let mut found = Findings::default();
    port(f, capture, &mut found);
    member(f, &mut found);
    found
}

#[test]
fn a_plain_port_has_nothing_against_it() {
    assert_eq!(of(&facts("eth0"), Capture::AfXdp), Findings::default());
}

#[test]
fn what_is_refused_says_how_to_mend_it() {
    let cases: [(&str, Change, &str); 5] = [
        ("enslaved", |f| f.master = Some("br0".into()), "`ip link set dev eth0 nomaster`"),
        (
            "an address",
            |f| f.addresses = vec![("10.0.0.1".parse().unwrap(), 24)],
            "`ip address del 10.0.0.1/24 dev eth0`",
        ),
        ("LRO", |f| f.features = vec![feature("rx-lro", true)], "`ethtool -K eth0 lro off`"),
        ("VLAN", |f| f.features = vec![feature("rx-vlan-hw-parse", true)], "`ethtool -K eth0 rxvlan off`"),
        ("S-VLAN", |f| f.features = vec![feature("rx-vlan-stag-hw-parse", true)], "rx-vlan-stag-hw-parse off"),
    ];
    for (what, make, mends) in cases {
        let mut f = facts("eth0");
        make(&mut f);
        let found = of(&f, Capture::AfXdp);
        assert!(found.refusals.len() == 1 && found.refusals[0].contains(mends), "{what}: {found:?}");
    }
}

#[test]
fn what_can_be_switched_off_is_not_held_against_a_port() {
    let mut f = facts("eth0");
    f.features = vec![feature("rx-lro", false), feature("rx-vlan-hw-parse", false), feature("rx-gro", false)];
    assert_eq!(of(&f, Capture::AfPacket), Findings::default());
}

#[test]
fn what_a_driver_keeps_on_though_told_is_as_what_it_cannot_switch() {
    let kept = |name: &str| {
        let facts = Facts { features: vec![feature(name, false), feature("rx-gro", true)], ..facts("eth0") };
        check_stayed(&Prepared { facts, changed: Vec::new(), stayed: vec![name.into(), "rx-gro".into()] })
    };
    for name in ["rx-lro", "rx-vlan-hw-parse"] {
        let found = kept(name);
        assert!(found.refusals.len() == 1 && found.warnings.is_empty(), "{name}: {found:?}");
    }
    let found = kept("tx-vlan-hw-insert");
    assert!(found.refusals.is_empty() && found.warnings.len() == 1, "{found:?}");
}

#[test]
fn the_rest_is_a_warning() {
    let cases: [Change; 7] = [
        |f| f.up = false,
        |f| f.carrier = false,
        |f| f.ethernet = false,
        |f| f.own_addresses = vec![("fe80::1".parse().unwrap(), 64)],
        |f| f.features = vec![feature("rx-vlan-filter", true)],
        |f| f.rings = Some(Rings { rx: 256, rx_max: 4096, tx: 256, tx_max: 4096 }),
        |f| f.driver = Some("veth".into()),
    ];
    for (i, make) in cases.iter().enumerate() {
        let mut f = facts("eth0");
        make(&mut f);
        let found = of(&f, Capture::AfXdp);
        assert!(found.refusals.is_empty() && found.warnings.len() == 1, "{i}: {found:?}");
        assert!(found.warnings[0].matches('`').count() == 2, "{i}: a command: {found:?}");
    }
}

#[test]
fn two_ports_fit_each_other() {
    let (a, mut b) = (facts("a"), facts("b"));
    b.mtu = 9000;
    b.rx_queues = 4;
    let mut found = Findings::default();
    both(&a, &b, &mut found);
    assert!(found.refusals[0].contains("`ip link set dev a mtu 9000`"), "{found:?}");
    assert!(found.warnings[0].contains("`ethtool -L b combined 1`"), "{found:?}");
}

#[test]
fn capabilities_are_asked_for_by_name() {
    let said = |own, capture| {
        let mut found = Findings::default();
        capabilities(own, capture, &mut found);
        found
    };
    assert_eq!(said(Some(u64::MAX), Capture::AfXdp), Findings::default());
    let none = said(Some(0), Capture::AfXdp);
    assert!(none.refusals[0].starts_with("CAP_NET_ADMIN and CAP_NET_RAW and CAP_SYS_ADMIN missing"), "{none:?}");
    assert_eq!(said(Some(1 << 12 | 1 << 13), Capture::AfPacket), Findings::default());
    assert!(said(None, Capture::AfXdp).refusals.is_empty());
}

const INSIDE: &str = "STOPGAP_TEST_INSIDE";

/// Runs this binary's test `name` alone in a network namespace that ends with it, `None` where none may be made.
pub(crate) fn inside(name: &str) -> Option<()> {
    if Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|s| s.success()) {
        let done = Command::new("timeout")
            .args(["60", "unshare", "--net"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
        return Some(());
    }
    eprintln!("skipped: {name} wants a network namespace, which needs root");
    None
}

pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

pub(crate) fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}

#[test]
fn a_bare_veth_pair() {
    if !is_inside() {
        inside("ports::tests::a_bare_veth_pair");
        return;
    }
    ip("link add name a type veth peer name b");
    ip("link add name c type veth peer name d");
    ip("link add name br0 type bridge");
    ip("link set dev b up");
    ip("link set dev d up");
    for capture in [Capture::AfXdp, Capture::AfPacket] {
        let found = check_pair("a", "c", capture);
        assert_eq!(found.refusals, Vec::<String>::new());
    }
    let wishes = Wishes { gro_off: true, silent: true };
    for name in ["a", "c"] {
        let done = prepare(name, &wishes).unwrap();
        assert_eq!(done.stayed, Vec::<String>::new());
        for word in ["promiscuous", "up", "rx-vlan-hw-parse off", "IPv6 off", "IPv4 deaf"] {
            assert!(done.changed.iter().any(|c| c == word), "{word}: {:?}", done.changed);
        }
        let f = &done.facts;
        assert!(f.up && f.promiscuous && f.ethernet && f.mac.is_some());
        assert_eq!((f.driver.as_deref(), f.mtu, f.rx_queues), (Some("veth"), 1500, 1));
        assert_eq!(f.own_addresses, []);
        let again = prepare(name, &wishes).unwrap();
        assert_eq!(again.changed, Vec::<String>::new());
    }
    assert!(Facts::of("a").unwrap().carrier);
    // Its link-local came by itself; an address that somebody gave is another thing.
    let wait = std::time::Instant::now();
    while Facts::of("b").unwrap().own_addresses.is_empty() && wait.elapsed().as_secs() < 5 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!((Facts::of("b").unwrap().addresses, Facts::of("b").unwrap().own_addresses.len()), (vec![], 1));
    ip("address add 192.0.2.1/24 dev b");
    ip("address add fe80::77/64 dev b");
    assert_eq!(Facts::of("b").unwrap().addresses.len(), 2);
    ip("link set dev c mtu 1400");
    let found = check_pair("a", "c", Capture::AfXdp);
    assert_eq!(
        found.refusals,
        ["a:c: their MTUs are 1500 and 1400, so that frames get lost one way; `ip link set dev c mtu 1500`"]
    );
    ip("link set dev d master br0");
    let refusals = |a, b| check_pair(a, b, Capture::AfXdp).refusals;
    assert!(refusals("a", "d").iter().any(|r| r.starts_with("d: belongs to br0")));
    assert!(refusals("a", "a")[0].contains("two ports"));
    assert!(refusals("a", "nothing")[0].starts_with("nothing: there is no such port"));
    assert!(refusals("a", "a-name-that-is-too-long-to-be-one")[0].contains("no such port"));
    assert!(check_tap("b", Capture::AfPacket).refusals.is_empty());
}

#[test]
fn a_program_goes_into_drivers_that_are_known_to_forward_from_there() {
    let driven = |d: Option<&str>| Facts { driver: d.map(Into::into), ..facts("eth0") }.redirects();
    assert_eq!([None, Some("veth"), Some("ice"), Some("virtio_net")].map(driven), [false, false, true, true]);
}
