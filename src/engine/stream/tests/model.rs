//! Reassembly against a map from offset to byte and owner.

use super::super::overlap::{Range, new_wins};
use super::*;

/// Every byte with the segment that owns it; acknowledged ones are fixed.
#[derive(Default)]
struct Model {
    bytes: std::collections::BTreeMap<u64, (u8, Range)>,
    acked: u64,
}

impl Model {
    fn segment(&mut self, policy: Option<OsPolicy>, at: u64, data: &[u8]) {
        let new = Range { start: at, end: at + data.len() as u64 };
        for (o, &byte) in (at..).zip(data) {
            let wins = match self.bytes.get(&o) {
                None => o >= self.acked,
                Some((_, old)) => o >= self.acked && policy.is_some_and(|p| new_wins(p, new, *old)),
            };
            if wins {
                self.bytes.insert(o, (byte, new));
            }
        }
    }

    fn stream(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (&o, &(byte, _)) in &self.bytes {
            out.resize(o as usize, 0xff);
            out.push(byte);
        }
        out
    }
}

fn policies() -> impl Strategy<Value = OsPolicy> {
    prop::sample::select(OsPolicy::NAMES.iter().map(|(_, p)| *p).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Overlaps with other bytes, in any order, under every policy, over the sequence wrap.
    #[test]
    fn delivered_equals_the_model(
        policy in policies(),
        inline in any::<bool>(),
        isn in prop::sample::select(vec![1000u32, u32::MAX - 20, 0x7fff_fff0]),
        steps in prop::collection::vec((0u32..60, 1usize..20, any::<u8>(), 0u8..4), 1..40),
    ) {
        let mut b = Bench::new(Settings { policy, ..Settings::default() }, inline);
        b.open_at(isn, SERVER);
        let mut model = Model::default();
        let mut top = 0;
        for (at, len, fill, what) in steps {
            if what == 0 {
                // Acknowledge what is contiguous, as a receiver does.
                let end = b.session.contiguous(ToServer);
                b.tcp(ToClient, A, SERVER + 1, isn.wrapping_add(1).wrapping_add(end as u32), b"");
                model.acked = model.acked.max(end);
                continue;
            }
            let data: Vec<u8> = (0..len as u8).map(|i| (fill ^ i) & 0x7f).collect();
            let seq = isn.wrapping_add(1).wrapping_add(at);
            let before = b.session.contiguous(ToServer);
            let out = b.tcp(ToServer, A, seq, SERVER + 1, &data);
            prop_assert!(out.valid);
            model.segment((!inline).then_some(policy), u64::from(at), &data);
            top = top.max(at + len as u32);
            if inline {
                // What leaves agrees with the stream wherever it is still held.
                let leaves = out.rewritten.unwrap_or(data);
                for (o, byte) in (u64::from(at)..).zip(leaves) {
                    if o >= model.acked {
                        prop_assert_eq!(byte, model.bytes[&o].0);
                    }
                }
                prop_assert!(b.session.contiguous(ToServer) >= before);
            }
        }
        // Of what lies behind a hole only what was acknowledged is delivered.
        b.tcp(ToClient, A, SERVER + 1, isn.wrapping_add(1).wrapping_add(top), b"");
        b.finish();
        prop_assert_eq!(b.sent(), &model.stream()[..]);
        prop_assert!(b.ended[0]);
        b.session.release(&mut b.account);
        prop_assert_eq!(b.account.used(), 0);
    }

    /// Any cut, order and repetition of the same bytes gives the same bytes, in both modes.
    #[test]
    fn cuts_and_order_do_not_matter(
        inline in any::<bool>(),
        text in prop::collection::vec(0u8..0x7f, 1..3000),
        cuts in prop::collection::vec((0usize..3000, 1usize..400), 0..60),
    ) {
        let mut b = Bench::new(Settings { raw_overlap: 16, ..Settings::default() }, inline).open();
        for (from, len) in cuts {
            let from = from.min(text.len() - 1);
            let piece = &text[from..(from + len).min(text.len())];
            let out = b.client(from as u32, piece);
            prop_assert!(out.valid && out.rewritten.is_none());
        }
        for (i, piece) in text.chunks(97).enumerate() {
            b.client(i as u32 * 97, piece);
        }
        b.ack(text.len() as u32);
        prop_assert_eq!(b.sent(), &text[..]);
        prop_assert_eq!(b.counters.of(Counter::StreamOverlapDiff), 0);
        prop_assert_eq!(b.counters.of(Counter::StreamGaps), 0);
    }

    /// Arbitrary segments keep every invariant and every bound.
    #[test]
    fn anything_goes_in(data in prop::collection::vec(any::<u8>(), 0..2000)) {
        fuzz::fuzz_target(&data);
    }
}
