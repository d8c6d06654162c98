//! Headers as views: bytes in, fields out, no copy, no panic.
//!
//! A view is made of a fixed-size array taken from the front of a slice, so that each field access is a constant index
//! the compiler has checked; `parse` answers `None` when the bytes are too few, and nothing else. Whether the fields make
//! sense (versions, lengths, reserved bits) is for `decode` to judge: a strange value is data. Ours, because no crate has
//! VLAN stacks, extension headers and lying lengths at this speed. Knows no packet, no flow, no event.

pub mod checksum;
pub mod icmp;
pub mod ip;
pub mod link;
pub mod sctp;
pub mod transport;
pub mod tunnel;

/// Big-endian 16-bit word at `at`.
#[inline]
pub fn be16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

/// Big-endian 32-bit word at `at`.
#[inline]
pub fn be32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?))
}
