//! pcapng blocks (draft-ietf-opsawg-pcapng): sections of either byte order, interfaces with their own link type and
//! clock, enhanced, simple and obsolete packet blocks. Every other block is passed over.

use super::classic::{u16_at, u32_at};
use super::{BLOCK_BYTES_MAX, FRAME_BYTES_MAX};
use engine::decode::LinkType;
use engine::types::Timestamp;
use std::ops::Range;

pub(crate) const SECTION: u32 = 0x0a0d_0d0a;
pub(crate) const INTERFACE: u32 = 1;
pub(crate) const OBSOLETE_PACKET: u32 = 2;
pub(crate) const SIMPLE_PACKET: u32 = 3;
pub(crate) const ENHANCED_PACKET: u32 = 6;
pub(crate) const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Interfaces kept of one section; packets of later ones end the reading.
const INTERFACES_MAX: usize = 65_535;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interface {
    link: LinkType,
    /// Ticks per second are 10^n or, with the flag, 2^n.
    resolution: u8,
    /// Seconds to add to every timestamp.
    offset_secs: i64,
    snap_len: u32,
}

/// State of the section being read.
#[derive(Debug, Default)]
pub(crate) struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
}

/// The head of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHead {
    pub kind: u32,
    /// Of the whole block, a multiple of four.
    pub len: usize,
}

/// A packet of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockPacket {
    pub ts: Timestamp,
    pub interface: u16,
    pub link: LinkType,
    /// Where its bytes lie in the block.
    pub data: Range<usize>,
    pub wire_len: u32,
}

impl Section {
    /// Reads the first twelve bytes of a block; a section header sets the byte order.
    pub fn head(&mut self, bytes: &[u8]) -> Result<BlockHead, String> {
        let kind = u32_at(bytes, 0, self.big_endian).unwrap_or(0);
        if kind == SECTION {
            let (order_le, order_be) = (u32_at(bytes, 8, false), u32_at(bytes, 8, true));
            self.big_endian = match (order_le, order_be) {
                (Some(BYTE_ORDER), _) => false,
                (_, Some(BYTE_ORDER)) => true,
                _ => return Err("a section header without its byte order mark".into()),
            };
            self.interfaces.clear();
        }
        let len = u32_at(bytes, 4, self.big_endian).unwrap_or(0) as usize;
        if len < 12 || !len.is_multiple_of(4) {
            return Err(format!("a block of kind {kind:#x} claims a length of {len} bytes"));
        }
        Ok(BlockHead { kind, len })
    }

    /// Whether the block must be read; others are skipped. The error says that it must be but is absurdly long.
    pub fn wanted(head: BlockHead) -> Result<bool, String> {
        let wanted = matches!(head.kind, SECTION | INTERFACE | OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET);
        if wanted && head.len > BLOCK_BYTES_MAX {
            return Err(format!(
                "a block of kind {} claims {} bytes, more than {BLOCK_BYTES_MAX}",
                head.kind, head.len
            ));
        }
        Ok(wanted)
    }

    /// Takes in a whole block; a packet block yields its packet.
    pub fn block(&mut self, head: BlockHead, block: &[u8]) -> Result<Option<BlockPacket>, String> {
        if u32_at(block, head.len.saturating_sub(4), self.big_endian) != Some(head.len as u32) {
            return Err("the two lengths of a block differ".into());
        }
        match head.kind {
            SECTION => {
                let major = u16_at(block, 12, self.big_endian).unwrap_or(0);
                if major != 1 {
                    return Err(format!("pcapng version {major}, only 1 is known"));
                }
                Ok(None)
            }
            INTERFACE => self.interface(block).map(|()| None),
            ENHANCED_PACKET => self.timed_packet(block, u32_at(block, 8, self.big_endian)).map(Some),
            OBSOLETE_PACKET => self.timed_packet(block, u16_at(block, 8, self.big_endian).map(u32::from)).map(Some),
            SIMPLE_PACKET => self.simple_packet(block).map(Some),
            _ => Ok(None),
        }
    }

    fn interface(&mut self, block: &[u8]) -> Result<(), String> {
        if self.interfaces.len() >= INTERFACES_MAX {
            return Err("more interfaces than a file may have".into());
        }
        let be = self.big_endian;
        let link = u16_at(block, 8, be).ok_or("an interface description too short")?;
        let snap_len = u32_at(block, 12, be).ok_or("an interface description too short")?;
        let mut it = Interface { link: LinkType(link.into()), resolution: 6, offset_secs: 0, snap_len };
        let mut at = 16;
        let end = block.len().saturating_sub(4);
        while at + 4 <= end {
            let (Some(code), Some(len)) = (u16_at(block, at, be), u16_at(block, at + 2, be)) else { break };
            let value = block.get(at + 4..at + 4 + len as usize).unwrap_or(&[]);
            match (code, value) {
                (0, _) => break,
                (9, [resolution]) => it.resolution = *resolution,
                (14, v) => {
                    if let Some(v) = v.first_chunk::<8>() {
                        it.offset_secs = if be { i64::from_be_bytes(*v) } else { i64::from_le_bytes(*v) };
                    }
                }
                _ => {}
            }
            at += 4 + (len as usize).next_multiple_of(4);
        }
        self.interfaces.push(it);
        Ok(())
    }

    fn timed_packet(&self, block: &[u8], interface: Option<u32>) -> Result<BlockPacket, String> {
        const SHORT: &str = "a packet block too short";
        let be = self.big_endian;
        let interface = interface.ok_or(SHORT)?;
        let it = self.known(interface)?;
        let (high, low) = (u32_at(block, 12, be).ok_or(SHORT)?, u32_at(block, 16, be).ok_or(SHORT)?);
        let captured = u32_at(block, 20, be).ok_or(SHORT)?;
        let wire_len = u32_at(block, 24, be).ok_or(SHORT)?;
        let data = Self::data(block, 28, captured)?;
        let ts = it.time(u64::from(high) << 32 | u64::from(low));
        Ok(BlockPacket { ts, interface: interface as u16, link: it.link, data, wire_len: wire_len.max(captured) })
    }

    fn simple_packet(&self, block: &[u8]) -> Result<BlockPacket, String> {
        let it = self.known(0)?;
        let wire_len = u32_at(block, 8, self.big_endian).ok_or("a packet block too short")?;
        let room = block.len().saturating_sub(16) as u32;
        let snap = if it.snap_len == 0 { u32::MAX } else { it.snap_len };
        let data = Self::data(block, 12, wire_len.min(snap).min(room))?;
        let wire_len = wire_len.max(data.len() as u32);
        Ok(BlockPacket { ts: Timestamp::ZERO, interface: 0, link: it.link, data, wire_len })
    }

    fn data(block: &[u8], at: usize, captured: u32) -> Result<Range<usize>, String> {
        let captured = captured as usize;
        if captured > FRAME_BYTES_MAX {
            return Err(format!("a packet claims {captured} bytes, more than {FRAME_BYTES_MAX}"));
        }
        let range = at..at + captured;
        if range.end > block.len().saturating_sub(4) {
            return Err("a packet longer than its block".into());
        }
        Ok(range)
    }

    fn known(&self, interface: u32) -> Result<&Interface, String> {
        self.interfaces
            .get(interface as usize)
            .ok_or_else(|| format!("a packet of interface {interface}, which nothing describes"))
    }
}

impl Interface {
    fn time(&self, ticks: u64) -> Timestamp {
        const NANOS: u128 = 1_000_000_000;
        let ticks = u128::from(ticks);
        let exponent = u32::from(self.resolution & 0x7f);
        let ns = if self.resolution & 0x80 != 0 {
            (ticks * NANOS).checked_shr(exponent).unwrap_or(0)
        } else {
            10u128.checked_pow(exponent).map_or(0, |per_second| ticks * NANOS / per_second)
        };
        let ns = i128::try_from(ns).unwrap_or(i128::MAX).saturating_add(i128::from(self.offset_secs) * 1_000_000_000);
        Timestamp::from_nanos(u64::try_from(ns.max(0)).unwrap_or(u64::MAX))
    }
}
