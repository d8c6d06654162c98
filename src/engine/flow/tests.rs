use super::*;
use crate::decode::{Frame, IpHeader, L4, LinkType, Packet, PortId, Span, TcpFlags, TcpHeader};
use crate::types::{Direction, FiveTuple, IpProto, Reason, Timestamp};
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::IpAddr;

fn packet(number: u64, secs: u64, src: [u8; 4], sport: u16, dst: [u8; 4], dport: u16, l4: L4) -> Packet<'static> {
    let ts = Timestamp::from_secs(secs);
    let frame = Frame { ts, number, link: LinkType::ETHERNET, port: PortId(0), data: &[0; 100], wire_len: 100 };
    let proto = match l4 {
        L4::Tcp(_) => IpProto::TCP,
        L4::Icmp4 { .. } => IpProto::ICMP,
        _ => IpProto::UDP,
    };
    let mut p = Packet::new(&frame);
    let header = Span::default();
    p.ip = Some(IpHeader::V4 { header, tos: 0, total_len: 0, id: 0, frag: 0, ttl: 64, proto });
    p.tuple = FiveTuple { src: IpAddr::from(src), dst: IpAddr::from(dst), sport, dport, proto };
    p.l4 = l4;
    p
}

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];
const UDP: L4 = L4::Udp { header: Span { start: 0, end: 8 } };

fn syn(seq: u32) -> L4 {
    L4::Tcp(TcpHeader { seq, flags: TcpFlags(TcpFlags::SYN), ..TcpHeader::default() })
}

fn icmp(kind: u8, embedded: Option<FiveTuple>) -> L4 {
    L4::Icmp4 { header: Span::default(), kind, code: 0, id_seq: None, embedded }
}

fn table(max: usize) -> FlowTable<()> {
    FlowTable::new(Settings::default(), [1, 2], max)
}

/// Looks a packet up and returns the answer with what it ended.
fn look(t: &mut FlowTable<()>, p: &Packet<'_>) -> (Lookup, Vec<EndCause>) {
    let keyed = t.keyer().keyed(p).expect("has a flow");
    let mut ended = Vec::new();
    let found = t.lookup(p, &keyed, |_| (), &mut |_, cause| ended.push(cause));
    t.invariants();
    (found, ended)
}

fn new(l: Lookup) -> FlowRef {
    match l {
        Lookup::New { flow } => flow,
        other => panic!("{other:?}"),
    }
}

/// Ends what has timed out, looking at `budget` slots and flows; returns how many that was.
fn end_due(t: &mut FlowTable<()>, now: u64, budget: usize) -> usize {
    let mut due = Vec::new();
    t.sweep(Timestamp::from_secs(now), budget, &mut due);
    t.invariants();
    due.iter().for_each(|r| assert!(t.discard(*r)));
    t.invariants();
    due.len()
}

#[test]
fn both_directions_meet_and_establish() {
    let mut t = table(10);
    let f = new(look(&mut t, &packet(1, 0, A, 1000, B, 53, UDP)).0);
    assert_eq!(t.flow(f).unwrap().core.state, FlowState::New);
    let (back, _) = look(&mut t, &packet(2, 1, B, 53, A, 1000, UDP));
    assert_eq!(back, Lookup::Found { flow: f, dir: Direction::ToClient });
    let core = &t.flow(f).unwrap().core;
    assert_eq!(core.state, FlowState::Established);
    assert_eq!((core.packets.to_server, core.packets.to_client), (1, 1));
    assert_eq!(core.bytes.to_client, 100);
    assert_eq!(core.tuple.src, IpAddr::from(A));
    assert!(core.flow_id > 0 && core.flow_id < 1 << 53);
}

#[test]
fn ids_are_the_same_in_every_run_and_differ_by_seed() {
    let id = |seed| {
        let mut t: FlowTable<()> = FlowTable::new(Settings::default(), seed, 10);
        let f = new(look(&mut t, &packet(1, 0, A, 1000, B, 53, UDP)).0);
        t.flow(f).unwrap().core.flow_id
    };
    assert_eq!(id([1, 2]), id([1, 2]));
    assert_ne!(id([1, 2]), id([1, 3]));
}

#[test]
fn echo_meets_reply_and_errors_join_the_flow_they_speak_of() {
    let mut t = table(10);
    let ping = new(look(&mut t, &packet(1, 0, A, 0, B, 0, icmp(8, None))).0);
    let (pong, _) = look(&mut t, &packet(2, 0, B, 0, A, 0, icmp(0, None)));
    assert_eq!(pong, Lookup::Found { flow: ping, dir: Direction::ToClient });
    assert_eq!(t.flow(ping).unwrap().core.icmp.to_client, Some((0, 0)));

    let sent = packet(3, 0, A, 4000, B, 9, UDP);
    let udp = new(look(&mut t, &sent).0);
    let (error, _) = look(&mut t, &packet(4, 0, B, 0, A, 0, icmp(3, Some(sent.tuple))));
    assert_eq!(error, Lookup::Found { flow: udp, dir: Direction::ToClient });
    // A router on the way reports just as well, and neither makes an answer.
    let (hop, _) = look(&mut t, &packet(4, 0, [10, 9, 9, 9], 0, A, 0, icmp(11, Some(sent.tuple))));
    assert_eq!(hop, Lookup::Found { flow: udp, dir: Direction::ToClient });
    assert_eq!(t.flow(udp).unwrap().core.state, FlowState::New);
    let stranger = FiveTuple { sport: 4001, ..sent.tuple };
    let (none, _) = look(&mut t, &packet(5, 0, B, 0, A, 0, icmp(3, Some(stranger))));
    assert_eq!(none, Lookup::None);
    assert_eq!(t.len(), 2);
}

#[test]
fn vlan_and_port_pair_part_flows_unless_switched_off() {
    let mut p = packet(1, 0, A, 1, B, 2, UDP);
    let mut q = p.clone();
    q.vlan.push(7);
    q.port = PortId(2);
    let keyer = |vlan, port_pair| Keyer::new([0, 0], KeySettings { vlan, port_pair, depth: vlan });
    assert_ne!(keyer(true, false).keyed(&p), keyer(true, false).keyed(&q));
    assert_ne!(keyer(false, true).keyed(&p), keyer(false, true).keyed(&q));
    assert_eq!(keyer(false, false).keyed(&p), keyer(false, false).keyed(&q));
    let deep = Packet { depth: 1, ..p.clone() };
    assert_ne!(keyer(true, false).keyed(&p), keyer(true, false).keyed(&deep));
    assert_eq!(keyer(false, false).keyed(&p), keyer(false, false).keyed(&deep));
    p.flags.fragment = true;
    assert_eq!(keyer(true, true).keyed(&p), None);
}

#[test]
fn a_syn_on_a_finished_session_begins_anew() {
    let mut t = table(10);
    let f = new(look(&mut t, &packet(1, 0, A, 1000, B, 80, syn(5))).0);
    assert!(matches!(look(&mut t, &packet(2, 0, A, 1000, B, 80, syn(9))).0, Lookup::Found { .. }));
    let core = &mut t.flow_mut(f).unwrap().core;
    core.tcp = TcpSummary { reusable: true, client_isn: Some(5) };
    assert!(matches!(look(&mut t, &packet(3, 0, A, 1000, B, 80, syn(5))).0, Lookup::Found { .. }));
    let (again, ended) = look(&mut t, &packet(4, 0, A, 1000, B, 80, syn(9)));
    assert_ne!(new(again), f);
    assert_eq!(ended, [EndCause::Reused]);
    assert!(t.flow(f).is_none());
    // Nothing of this one was followed: any SYN begins anew, from the other side too, whatever its number.
    let stray = TcpHeader { flags: TcpFlags(TcpFlags::ACK), ..TcpHeader::default() };
    let g = new(look(&mut t, &packet(5, 0, A, 2000, B, 80, L4::Tcp(stray))).0);
    t.flow_mut(g).unwrap().core.tcp = TcpSummary { reusable: true, client_isn: None };
    assert_eq!(look(&mut t, &packet(6, 0, B, 80, A, 2000, syn(0))).1, [EndCause::Reused]);
}

#[test]
fn time_outs_follow_state_whether_swept_or_not() {
    let mut t = table(10);
    let f = new(look(&mut t, &packet(1, 100, A, 1000, B, 80, syn(5))).0);
    t.flow_mut(f).unwrap().core.state = FlowState::Established;
    t.settle(f);
    assert_eq!(end_due(&mut t, 690, usize::MAX), 0);
    t.flow_mut(f).unwrap().core.state = FlowState::Closed;
    t.settle(f);
    assert_eq!(end_due(&mut t, 692, usize::MAX), 1);
    assert!(t.is_empty());

    new(look(&mut t, &packet(2, 700, A, 5, B, 53, UDP)).0);
    let (l, ended) = look(&mut t, &packet(3, 731, A, 5, B, 53, UDP));
    new(l);
    assert_eq!(ended, [EndCause::Timeout]);
}

#[test]
fn a_sweep_takes_small_steps() {
    let mut t = table(1000);
    for i in 0..100 {
        look(&mut t, &packet(1, 0, A, i, B, 53, UDP));
    }
    let mut done = 0;
    let mut rounds = 0;
    while done < 100 {
        done += end_due(&mut t, 40, 16);
        rounds += 1;
        assert!(rounds < 20);
    }
    assert!(rounds >= 8);
}

#[test]
fn a_clock_that_jumps_finds_every_flow() {
    let mut t = table(1000);
    for i in 0..50 {
        look(&mut t, &packet(1, u64::from(i), A, i, B, 53, UDP));
    }
    assert_eq!(end_due(&mut t, 10_000_000, usize::MAX), 50);
}

#[test]
fn a_full_table_ends_the_cheapest_and_never_a_condemned_flow() {
    let mut t = table(3);
    let flows: Vec<_> = (0..3).map(|i| new(look(&mut t, &packet(1, 0, A, i, B, 80, syn(1))).0)).collect();
    t.flow_mut(flows[0]).unwrap().core.flags.condemned = Some(Reason::Rules);
    t.flow_mut(flows[1]).unwrap().core.state = FlowState::Established;
    let (l, ended) = look(&mut t, &packet(2, 1, A, 10, B, 80, syn(1)));
    let fresh = new(l);
    assert_eq!(ended, [EndCause::Evicted]);
    assert!(t.flow(flows[2]).is_none() && t.flow(flows[1]).is_some());
    for f in [flows[1], fresh] {
        t.flow_mut(f).unwrap().core.flags.pinned = true;
    }
    assert_eq!(look(&mut t, &packet(3, 1, A, 11, B, 80, syn(1))).0, Lookup::Full);
}

#[test]
fn reversal_exchanges_the_ends() {
    let mut t = table(3);
    let f = new(look(&mut t, &packet(1, 0, A, 80, B, 1000, UDP)).0);
    t.flow_mut(f).unwrap().core.reverse();
    let core = &t.flow(f).unwrap().core;
    assert_eq!((core.tuple.dport, core.packets.to_client), (80, 1));
    assert!(core.flags.reversed);
    let (l, _) = look(&mut t, &packet(2, 0, A, 80, B, 1000, UDP));
    assert_eq!(l, Lookup::Found { flow: f, dir: Direction::ToClient });
}

#[test]
fn what_is_discarded_is_found_no_more() {
    let mut t = table(10);
    let flows: Vec<_> = (0..3).map(|i| new(look(&mut t, &packet(1, 0, A, i, B, 53, UDP)).0)).collect();
    assert_eq!(t.refs().collect::<Vec<_>>(), flows);
    assert!(t.discard(flows[1]) && !t.discard(flows[1]));
    t.invariants();
    assert!(t.flow(flows[1]).is_none());
    assert_eq!(t.refs().collect::<Vec<_>>(), [flows[0], flows[2]]);
    let again = new(look(&mut t, &packet(2, 0, A, 1, B, 53, UDP)).0);
    assert!(again != flows[1] && !t.discard(flows[1]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    /// Against a map that keeps the last time of every flow: same flows found, same ones ended.
    #[test]
    fn table_agrees_with_a_map(steps in prop::collection::vec((0u16..12, any::<bool>(), 0u64..25, any::<bool>()), 1..200)) {
        let mut t = table(1000);
        let mut model: HashMap<u16, (u64, bool, bool)> = HashMap::new();
        let mut now = 1_000;
        for (n, (port, back, wait, sweep)) in steps.into_iter().enumerate() {
            now += wait;
            let p = if back {
                packet(n as u64, now, B, 53, A, port + 1, UDP)
            } else {
                packet(n as u64, now, A, port + 1, B, 53, UDP)
            };
            let alive = model.get(&port).is_some_and(|(last, a, b)| {
                now - last <= if *a && *b { 300 } else { 30 }
            });
            if !alive {
                model.remove(&port);
            }
            let (l, _) = look(&mut t, &p);
            prop_assert_eq!(matches!(l, Lookup::Found { .. }), alive);
            let e = model.entry(port).or_insert((now, false, false));
            *e = (now, e.1 | back, e.2 | !back);
            if sweep {
                end_due(&mut t, now, 7);
            }
        }
        let mut swept = end_due(&mut t, now + 1000, usize::MAX);
        swept += t.len();
        prop_assert!(t.is_empty() && swept >= 1);
    }
}

/// Whoever knows how frames are divided under one key, as all do who read a replay's, knows nothing of another's.
#[test]
fn addresses_chosen_for_one_worker_spread_under_another_key() {
    let target = IpAddr::from([10, 0, 0, 1]);
    let source = |n: u32| IpAddr::from(n.to_be_bytes());
    let worker = |seed, n| (pair_hash(seed, source(n), target) % 4) as usize;
    let chosen: Vec<u32> = (0..40_000).filter(|n| worker([1, 2], *n) == 0).take(4_000).collect();
    assert_eq!(chosen.len(), 4_000);
    let mut shares = [0; 4];
    chosen.iter().for_each(|n| shares[worker([3, 4], *n)] += 1);
    assert!(shares.iter().all(|s| (850..1_150).contains(s)), "{shares:?}");
    assert_eq!(pair_hash([1, 2], target, source(9)), pair_hash([1, 2], source(9), target));
}
