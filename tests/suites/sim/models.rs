//! The models: what should have been seen, said so simply that it can only be right.

use harness::case_frames::checksums_hold;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Ends of a packet as records name them: source, its port, destination, its port, protocol.
pub type Named = (String, u64, String, u64, String);

/// A connection's or a datagram's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ends {
    pub client: [u8; 4],
    pub server: [u8; 4],
    pub sport: u16,
    pub dport: u16,
    pub proto: &'static str,
}

impl Ends {
    pub fn named(&self) -> Named {
        named(self.client, self.sport, self.server, self.dport, self.proto)
    }
}

fn named(src: [u8; 4], sport: u16, dst: [u8; 4], dport: u16, proto: &str) -> Named {
    let text = |a: [u8; 4]| Ipv4Addr::from(a).to_string();
    (text(src), sport.into(), text(dst), dport.into(), proto.into())
}

/// A frame as the flow table should see it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub ends: Ends,
    pub micros: i64,
    /// It is a packet of its flow; a fragment that completes nothing is none.
    pub packet: bool,
}

/// How often a needle must be found, at least and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub least: usize,
    pub most: usize,
}

/// A flow is its ends, until they are silent for longer than any time-out.
#[derive(Default)]
pub struct FlowModel {
    /// When last seen; packets of each flow so far.
    ends: BTreeMap<Ends, (i64, Vec<u64>)>,
    pub packets: u64,
}

impl FlowModel {
    const SILENCE: i64 = 700_000_000;

    pub fn packet(&mut self, p: &Seen) {
        self.packets += 1;
        let (last, counts) = self.ends.entry(p.ends).or_insert((i64::MIN / 2, Vec::new()));
        if p.micros - *last > Self::SILENCE {
            counts.push(0);
        }
        *last = p.micros;
        if let Some(n) = counts.last_mut() {
            *n += 1;
        }
    }

    /// Of each pair of ends, how many packets its flows had.
    pub fn flows(&self) -> BTreeMap<Named, Vec<u64>> {
        let sorted = |counts: &Vec<u64>| {
            let mut all = counts.clone();
            all.sort_unstable();
            all
        };
        self.ends.iter().map(|(e, (_, counts))| (e.named(), sorted(counts))).collect()
    }
}

/// What receivers make of frames: of each sender the bytes in order from the first, the first copy of each byte counting,
/// damaged segments discarded; of datagrams those whose every fragment came.
pub fn receiver_reads(frames: &[Vec<u8>]) -> Vec<(Named, Vec<u8>)> {
    let mut streams: BTreeMap<(Named, u32), BTreeMap<u32, u8>> = BTreeMap::new();
    let mut begun: BTreeMap<Named, u32> = BTreeMap::new();
    let mut datagrams: BTreeMap<_, BTreeMap<usize, Vec<u8>>> = BTreeMap::new();
    let mut all = Vec::new();
    for f in frames.iter().filter(|f| checksums_hold(f)) {
        let total = 14 + usize::from(u16::from_be_bytes([f[16], f[17]]));
        let (src, dst) = ([f[26], f[27], f[28], f[29]], [f[30], f[31], f[32], f[33]]);
        let payload = &f[34..total];
        match f[23] {
            6 => {
                let port = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
                let seq = u32::from_be_bytes([payload[4], payload[5], payload[6], payload[7]]);
                let who = named(src, port(0), dst, port(2), "TCP");
                if payload[13] & 2 != 0 {
                    begun.insert(who, seq.wrapping_add(1));
                } else if let Some(base) = begun.get(&who) {
                    let stream = streams.entry((who, *base)).or_default();
                    for (i, b) in (0u32..).zip(&payload[usize::from(payload[12] >> 4) * 4..]) {
                        stream.entry(seq.wrapping_sub(*base).wrapping_add(i)).or_insert(*b);
                    }
                }
            }
            17 => {
                let field = u16::from_be_bytes([f[20], f[21]]);
                let id = u16::from_be_bytes([f[18], f[19]]);
                let parts = datagrams.entry((src, dst, id)).or_default();
                parts.insert(usize::from(field & 0x1fff) * 8, payload.to_vec());
                let mut whole: Vec<u8> = Vec::new();
                for (at, part) in parts.iter() {
                    if *at == whole.len() {
                        whole.extend(part);
                    }
                }
                if whole.len() >= 8 && whole.len() == usize::from(u16::from_be_bytes([whole[4], whole[5]])) {
                    let port = |at: usize| u16::from_be_bytes([whole[at], whole[at + 1]]);
                    all.push((named(src, port(0), dst, port(2), "UDP"), whole[8..].to_vec()));
                }
            }
            _ => {}
        }
    }
    let in_order =
        |s: BTreeMap<u32, u8>| (0u32..).zip(s).take_while(|(i, (at, _))| i == at).map(|(_, (_, b))| b).collect();
    all.extend(streams.into_iter().map(|((who, _), s)| (who, in_order(s))));
    all
}

#[test]
fn the_models_are_right_about_what_is_known() {
    let ends = Ends { client: [1; 4], server: [2; 4], sport: 1, dport: 2, proto: "UDP" };
    let mut m = FlowModel::default();
    for micros in [0, 5, 800_000_000, 800_000_001, 800_000_002] {
        m.packet(&Seen { ends, micros, packet: true });
    }
    assert_eq!(m.flows()[&ends.named()], [2, 3]);
    let whole = harness::craft::udp4(([1; 4], 1), ([2; 4], 2), b"0123456789abcdef", true);
    let mut parts = harness::case_frames::fragment(&whole, 8);
    parts.swap(0, 2);
    assert_eq!(receiver_reads(&parts), [(ends.named(), b"0123456789abcdef".to_vec())]);
    parts.pop();
    assert!(receiver_reads(&parts[1..]).is_empty());
}
