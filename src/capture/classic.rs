//! Classic pcap: headers as values (pcap-savefile(5)). Both byte orders, microseconds and nanoseconds, and the variant
//! with longer record headers that patched kernels once wrote.

use super::FRAME_BYTES_MAX;
use engine::decode::LinkType;
use engine::types::Timestamp;

pub(crate) const HEADER_LEN: usize = 24;

/// What a file header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub big_endian: bool,
    pub nanoseconds: bool,
    /// 16, or 24 in the patched variant.
    pub record_len: usize,
    pub link: LinkType,
}

/// What a record header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub ts: Timestamp,
    pub captured: usize,
    pub wire_len: u32,
}

pub(crate) fn is_magic(first: [u8; 4]) -> bool {
    magic(first).is_some()
}

/// Byte order, nanoseconds, record header length.
fn magic(first: [u8; 4]) -> Option<(bool, bool, usize)> {
    let known = |v| match v {
        0xa1b2_c3d4u32 => Some((false, 16)),
        0xa1b2_3c4d => Some((true, 16)),
        0xa1b2_cd34 => Some((false, 24)),
        _ => None,
    };
    let with = |big: bool| move |(nano, len)| (big, nano, len);
    known(u32::from_le_bytes(first)).map(with(false)).or_else(|| known(u32::from_be_bytes(first)).map(with(true)))
}

impl FileHeader {
    /// `None`: not this format.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (first, _) = bytes.split_first_chunk::<4>()?;
        let (big_endian, nanoseconds, record_len) = magic(*first)?;
        let link = u32_at(bytes, 20, big_endian)?;
        // The upper half says whether frames carry a frame check sequence.
        Some(FileHeader { big_endian, nanoseconds, record_len, link: LinkType(link & 0xffff) })
    }

    /// `bytes` holds a record header; the error says what is absurd in it.
    pub fn record(&self, bytes: &[u8]) -> Result<RecordHeader, String> {
        let field = |at| u32_at(bytes, at, self.big_endian).unwrap_or(0);
        let (secs, fraction, captured, wire_len) = (field(0), field(4), field(8), field(12));
        if captured as usize > FRAME_BYTES_MAX {
            return Err(format!("a record claims {captured} bytes, more than {FRAME_BYTES_MAX}"));
        }
        let unit = if self.nanoseconds { 1 } else { 1_000 };
        let ns = u64::from(secs) * 1_000_000_000 + u64::from(fraction) * unit;
        Ok(RecordHeader {
            ts: Timestamp::from_nanos(ns),
            captured: captured as usize,
            wire_len: wire_len.max(captured),
        })
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let b = *bytes.get(at..)?.first_chunk::<4>()?;
    Some(if big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
}

pub(crate) fn u16_at(bytes: &[u8], at: usize, big_endian: bool) -> Option<u16> {
    let b = *bytes.get(at..)?.first_chunk::<2>()?;
    Some(if big_endian { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
}
