//! What a frame is before anybody asks for IP: its class, by which policy lets it through, drops it or has it inspected
//! (`run.link`). The XDP program in `bump.bpf.c` decides the same by the same numbers; this is for ways without it.

use crate::named::named;

/// What becomes of a class of frames. Numbers as in the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Forwarded unseen.
    #[default]
    Through = 0,
    Drop = 1,
    /// Decoded by the engine.
    Inspect = 2,
}

named! {
    /// Classes of frames, by their names in `run.link`, but for [`Class::Ip`], which is always inspected. Numbers as in the
    /// program.
    Class {
        Ip "ip" "IPv4, IPv6, and what may carry them: more tags than are looked through, tags of other kinds, 802.2 SNAP";
        Arp "arp" "ARP and RARP";
        Lldp "lldp" "the link layer discovery protocol";
        Slow "slow" "IEEE 802.3 slow protocols: LACP and its kin";
        Stp "stp" "frames to the bridges' group address: spanning trees";
        Eapol "eapol" "IEEE 802.1X: who may use the port";
        Ptp "ptp" "the precision time protocol on Ethernet";
        Pause "pause" "MAC control: pause and priority flow control";
        Mpls "mpls" "MPLS, which may carry IP";
        Pppoe "pppoe" "PPP over Ethernet, which may carry IP";
        Llc "llc" "other frames with a length instead of an EtherType";
        Unknown "unknown" "any other EtherType";
    }
}

/// The Ethernet header: two addresses and an EtherType.
const HEADER: usize = 14;
/// Tags that are looked through.
const TAGS: usize = 2;
/// A smaller value is a length (IEEE 802.3).
const ETHERTYPES_FROM: u16 = 1536;
const BRIDGES: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0];

const C_TAG: u16 = 0x8100;
const S_TAG: u16 = 0x88a8;

/// The EtherType behind the tags, of which at most so many are looked through, and where what it names begins.
pub(crate) fn behind_tags(frame: &[u8], most: usize) -> Option<(u16, usize)> {
    let (mut kind, mut at) = (u16_at(frame, HEADER - 2)?, HEADER);
    for _ in 0..most {
        match (kind, u16_at(frame, at + 2)) {
            (C_TAG | S_TAG, Some(inner)) => (kind, at) = (inner, at + 4),
            _ => break,
        }
    }
    Some((kind, at))
}

/// The class of an Ethernet frame; `None` of one that is shorter than its header, which nobody forwards.
pub fn class_of(frame: &[u8]) -> Option<Class> {
    let (kind, at) = behind_tags(frame, TAGS)?;
    Some(match kind {
        0x0800 | 0x86dd | C_TAG | S_TAG => Class::Ip,
        // Old QinQ, 802.1ah, VN-Tag, 802.1BR, FabricPath, NSH.
        0x9100 | 0x88e7 | 0x8926 | 0x893f | 0x8903 | 0x894f => Class::Ip,
        0x0806 | 0x8035 => Class::Arp,
        0x88cc => Class::Lldp,
        0x8809 => Class::Slow,
        0x888e => Class::Eapol,
        0x88f7 => Class::Ptp,
        0x8808 => Class::Pause,
        0x8847 | 0x8848 => Class::Mpls,
        0x8863 | 0x8864 => Class::Pppoe,
        length if length < ETHERTYPES_FROM && is_snap(frame.get(at..).unwrap_or_default()) => Class::Ip,
        length if length < ETHERTYPES_FROM && frame.starts_with(&BRIDGES) => Class::Stp,
        length if length < ETHERTYPES_FROM => Class::Llc,
        _ => Class::Unknown,
    })
}

/// 802.2 SNAP with an EtherType (RFC 1042, or the bridge tunnel's), which hosts take IP from.
fn is_snap(llc: &[u8]) -> bool {
    matches!(llc, [0xaa, 0xaa, 3, 0, 0, 0 | 0xf8, _, _, ..])
}

/// The policy: an action for each class but [`Class::Ip`], in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy(pub [Action; Class::ALL.len() - 1]);

impl Policy {
    /// What becomes of the frame.
    pub fn of(&self, frame: &[u8]) -> Action {
        match class_of(frame) {
            None => Action::Drop,
            Some(Class::Ip) => Action::Inspect,
            Some(class) => self.0[class as usize - 1],
        }
    }
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with these EtherTypes, each but the last behind a tag.
    fn frame(to: [u8; 6], kinds: &[u16]) -> Vec<u8> {
        let mut f = [&to[..], &[2, 0, 0, 0, 0, 1]].concat();
        for (i, kind) in kinds.iter().enumerate() {
            if i > 0 {
                f.extend([0, 7]);
            }
            f.extend(kind.to_be_bytes());
        }
        f.extend([0; 46]);
        f
    }

    const HOST: [u8; 6] = [2, 0, 0, 0, 0, 2];

    #[test]
    fn each_class_bare_and_tagged() {
        let cases = [
            (0x0800, Class::Ip),
            (0x86dd, Class::Ip),
            (0x0806, Class::Arp),
            (0x8035, Class::Arp),
            (0x88cc, Class::Lldp),
            (0x8809, Class::Slow),
            (0x888e, Class::Eapol),
            (0x88f7, Class::Ptp),
            (0x8808, Class::Pause),
            (0x8847, Class::Mpls),
            (0x8848, Class::Mpls),
            (0x8863, Class::Pppoe),
            (0x8864, Class::Pppoe),
            (0x0026, Class::Llc),
            (0x05ff, Class::Llc),
            (0x0600, Class::Unknown),
            (0x88b5, Class::Unknown),
            (0x9100, Class::Ip),
            (0x88e7, Class::Ip),
            (0x8926, Class::Ip),
            (0x893f, Class::Ip),
            (0x8903, Class::Ip),
            (0x894f, Class::Ip),
        ];
        for (kind, class) in cases {
            for kinds in [&[kind][..], &[C_TAG, kind], &[S_TAG, C_TAG, kind]] {
                assert_eq!(class_of(&frame(HOST, kinds)), Some(class), "{kinds:04x?}");
            }
        }
        assert_eq!(class_of(&frame(BRIDGES, &[0x0026])), Some(Class::Stp));
        assert_eq!(class_of(&frame(BRIDGES, &[C_TAG, 0x0026])), Some(Class::Stp));
        assert_eq!(class_of(&frame(BRIDGES, &[0x0806])), Some(Class::Arp), "the EtherType comes first");
    }

    #[test]
    fn ip_behind_snap_is_ip() {
        for kinds in [&[0x0030][..], &[C_TAG, 0x0030]] {
            let mut f = frame(HOST, kinds);
            let at = f.len() - 46;
            for (llc, class) in [
                ([0xaa, 0xaa, 3, 0, 0, 0, 8, 0], Class::Ip),
                ([0xaa, 0xaa, 3, 0, 0, 0xf8, 8, 0], Class::Ip),
                ([0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b], Class::Llc),
                ([0x42, 0x42, 3, 0, 0, 0, 0, 0], Class::Llc),
            ] {
                f[at..at + 8].copy_from_slice(&llc);
                assert_eq!(class_of(&f), Some(class), "{llc:02x?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_told_is_inspected() {
        assert_eq!(class_of(&frame(HOST, &[S_TAG, C_TAG, C_TAG, 0x0806])), Some(Class::Ip), "a third tag");
        let cut = frame(HOST, &[C_TAG, 0x0806]);
        assert_eq!(class_of(&cut[..17]), Some(Class::Ip), "a tag that ends early");
        assert_eq!(class_of(&cut[..13]), None);
    }

    #[test]
    fn a_policy_answers_for_each() {
        let mut policy = Policy::default();
        policy.0[Class::Lldp as usize - 1] = Action::Drop;
        policy.0[Class::Unknown as usize - 1] = Action::Inspect;
        for (kind, action) in
            [(0x0800, Action::Inspect), (0x0806, Action::Through), (0x88cc, Action::Drop), (0x88b5, Action::Inspect)]
        {
            assert_eq!(policy.of(&frame(HOST, &[kind])), action, "{kind:04x}");
        }
        assert_eq!(policy.of(&[]), Action::Drop);
    }

    /// The names in the program's source, in order, are those here.
    #[test]
    fn numbers_are_those_of_the_program() {
        let source = include_str!("xdp/bump.bpf.c");
        let names = |after: &str, prefix: &str| -> Vec<String> {
            let list = source.split_once(after).unwrap().1.split_once('}').unwrap().0;
            let names = list.split([',', '{']).filter_map(|w| w.trim().strip_prefix(prefix));
            names.map(|w| w.split(' ').next().unwrap().to_lowercase()).collect()
        };
        let classes: Vec<String> = Class::ALL.iter().map(|c| c.name().to_owned()).collect();
        assert_eq!(names("enum link_class", "LINK_"), classes);
        let actions = [Action::Through, Action::Drop, Action::Inspect].map(|a| format!("{a:?}").to_lowercase());
        assert_eq!(names("enum l2_action", "L2_"), actions);
        assert!(Class::ALL.iter().enumerate().all(|(i, c)| *c as usize == i && !c.doc().is_empty()));
    }
}
