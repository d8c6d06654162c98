//! Payload bytes changed in a frame: `replace`, and overlaps brought back to the bytes first accepted.
//!
//! Checksums follow by difference (RFC 1624), so a right one stays right and a wrong one wrong, and nothing outside the
//! edits need be there (a capture may have cut the packet). A transport checksum that moves with its payload leaves every
//! sum around it unchanged, so the headers of a tunnel stay right by themselves.

use super::checksum;
use crate::decode::{Bytes, L4, Packet};
use crate::types::IpProto;

/// New bytes for a part of a packet's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    /// Offset in the packet's payload.
    pub at: usize,
    /// As many bytes as they replace.
    pub bytes: &'a [u8],
}

/// Why a packet cannot be rewritten. Its frame is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrewritable {
    #[error("the payload was put together from fragments")]
    Reassembled,
    #[error("an edit reaches outside of the payload")]
    Outside,
    #[error("the transport's checksum cannot be repaired")]
    Checksum,
}

/// Applies `edits` in order to `packet`, a packet of `frame`. `out` is what leaves in the frame's place: taken over if an
/// earlier packet of the frame was rewritten, copied from the frame otherwise.
pub fn rewrite(
    out: &mut Option<Box<[u8]>>,
    frame: &[u8],
    packet: &Packet<'_>,
    edits: &[Edit<'_>],
) -> Result<(), Unrewritable> {
    let base = place(frame, packet)?;
    let payload = base + packet.payload.start as usize..base + packet.payload.end as usize;
    let inside = |e: &Edit<'_>| e.at.checked_add(e.bytes.len()).is_some_and(|end| end <= payload.len());
    if payload.end > frame.len() || !edits.iter().all(inside) {
        return Err(Unrewritable::Outside);
    }
    let sum = checksum_place(packet)?;
    let current = out.as_deref().filter(|o| o.len() == frame.len()).unwrap_or(frame);
    // A zero checksum of UDP over IPv4 means none (RFC 768).
    let unsummed = sum.is_some_and(|s| s.zero_is_none && read16(current, base + s.field) == Some(0));
    if packet.flags.tunnelled && (unsummed || sum.is_none()) {
        return Err(Unrewritable::Checksum);
    }
    let mut bytes: Box<[u8]> = current.into();
    for e in edits {
        let start = payload.start + e.at;
        let Some(slot) = bytes.get_mut(start..start + e.bytes.len()) else { continue };
        let odd = sum.is_some_and(|s| (start - base - s.message) % 2 == 1);
        let (before, after) = (checksum::sum(slot, odd), checksum::sum(e.bytes, odd));
        slot.copy_from_slice(e.bytes);
        if let (Some(s), false) = (sum, unsummed) {
            update(&mut bytes, base + s.field, s.zero_is_none, before, after);
        }
    }
    *out = Some(bytes);
    Ok(())
}

/// Where the packet's bytes begin in its frame.
fn place(frame: &[u8], packet: &Packet<'_>) -> Result<usize, Unrewritable> {
    let Bytes::Frame(bytes) = &packet.bytes else { return Err(Unrewritable::Reassembled) };
    let at = (bytes.as_ptr() as usize).checked_sub(frame.as_ptr() as usize).ok_or(Unrewritable::Outside)?;
    if at.checked_add(bytes.len()).is_none_or(|end| end > frame.len()) {
        return Err(Unrewritable::Outside);
    }
    Ok(at)
}

#[derive(Clone, Copy)]
struct SumPlace {
    /// Offset of the checksum field in the packet.
    field: usize,
    /// Offset of the message it covers.
    message: usize,
    zero_is_none: bool,
}

fn checksum_place(packet: &Packet<'_>) -> Result<Option<SumPlace>, Unrewritable> {
    let at = |header: crate::decode::Span, field, zero_is_none| {
        let message = header.start as usize;
        Ok(Some(SumPlace { field: message + field, message, zero_is_none }))
    };
    match packet.l4 {
        L4::Tcp(h) => at(h.header, 16, false),
        L4::Udp { header } => at(header, 6, packet.tuple.src.is_ipv4()),
        L4::Icmp4 { header, .. } | L4::Icmp6 { header, .. } | L4::Igmp { header, .. } => at(header, 2, false),
        L4::Sctp { .. } => Err(Unrewritable::Checksum),
        L4::None | L4::Other if packet.tuple.proto == IpProto::AH => Err(Unrewritable::Checksum),
        L4::None | L4::Other => Ok(None),
    }
}

fn update(bytes: &mut [u8], at: usize, never_zero: bool, before: u16, after: u16) {
    let Some(slot) = bytes.get_mut(at..at + 2) else { return };
    let Some(old) = slot.first_chunk::<2>().map(|b| u16::from_be_bytes(*b)) else { return };
    let new = checksum::updated(old, before, after);
    slot.copy_from_slice(&if never_zero && new == 0 { 0xffff } else { new }.to_be_bytes());
}

fn read16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|b| u16::from_be_bytes(*b))
}
