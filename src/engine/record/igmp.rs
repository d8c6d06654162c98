//! The `igmp` object of a packet, or `rgmp` (RFC 3488).

use crate::decode::{IpHeader, L4, Packet};
use crate::types::FieldSink;
use std::net::{IpAddr, Ipv4Addr};

/// Where RGMP messages go, with a time to live of 1.
const RGMP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 25));
/// The version where the type belongs to none.
const UNKNOWN: u64 = 255;

pub(super) fn igmp(sink: &mut dyn FieldSink, p: &Packet<'_>) {
    let L4::Igmp { header, kind } = p.l4 else { return };
    let bytes = header.of(p.bytes.as_slice());
    let ttl = match p.ip {
        Some(IpHeader::V4 { header, .. }) => header.of(p.bytes.as_slice()).get(8).copied(),
        _ => None,
    };
    let rgmp = p.tuple.dst == RGMP && ttl == Some(1) && bytes.len() == 8 && p.payload().is_empty();
    sink.begin_object(if rgmp { "rgmp" } else { "igmp" });
    sink.uint("type", kind.into());
    if !rgmp {
        sink.uint("version", version(kind, bytes));
    }
    sink.end();
}

/// By type (RFC 3376 4); of queries by length and time (RFC 3376 7.1).
fn version(kind: u8, message: &[u8]) -> u64 {
    match (kind, message.get(1)) {
        (0x11, _) if message.len() >= 12 => 3,
        (0x11, Some(0)) | (0x12, _) => 1,
        (0x11 | 0x16 | 0x17, _) => 2,
        (0x22, _) => 3,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_messages() {
        let query = |time| [0x11, time, 0, 0, 0, 0, 0, 0];
        assert_eq!([version(0x11, &query(0)), version(0x11, &query(100)), version(0x11, &[0x11; 12])], [1, 2, 3]);
        assert_eq!([0x12, 0x16, 0x17, 0x22, 0x13].map(|k| version(k, &[k; 8])), [1, 2, 2, 3, UNKNOWN]);
    }
}
