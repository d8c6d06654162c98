//! Receive rings of packet sockets of the third version (<https://docs.kernel.org/networking/packet_mmap.html>): blocks of
//! as many frames as fit, told when full or when their time is out. What costs least for each frame, where some
//! milliseconds do not matter.
//!
//! Blocks are ours in the order of the ring, from the first we have not given back to the last we have begun to read.
//! Frames lie in these alone.

use super::packet::{OFFLOAD_BYTES, Spread, bind, drop_all, filter, hear, join, promiscuous, socket};
use super::pages::{Pages, set_option};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of a block; frames of up to 64 KiB have to fit, and do not leave much of one empty.
pub const BLOCK_BYTES: usize = 1 << 20;
/// After so many milliseconds a block is told that is not full.
pub const BLOCK_MS: u32 = 4;
/// The kernel's words in front of a frame.
const HEADER: usize = libc::TPACKET3_HDRLEN;

/// A frame in a block of the ring.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    block: u32,
    at: u32,
    len: u32,
}

/// What the kernel says of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub piece: Piece,
    /// Since 1970, by the kernel's clock when it came in.
    pub nanos: u64,
    pub wire_len: u32,
    /// The tag that was taken out of it: identifier and contents.
    pub tag: Option<[u16; 2]>,
}

/// A block that is being read.
#[derive(Clone, Copy)]
struct Reading {
    /// Where the next frame's header is, and how many there are.
    at: usize,
    left: u32,
}

pub struct BlockRing {
    fd: OwnedFd,
    ifindex: u32,
    pages: Pages,
    blocks: u32,
    /// The first block that is ours, how many are, and what is left of the last of them.
    first: u32,
    ours: u32,
    reading: Option<Reading>,
}

// SAFETY: the mapping is reached through the ring alone, by one thread at a time; states of blocks are atomics.
unsafe impl Send for BlockRing {}

impl BlockRing {
    /// A ring of at least so many bytes, which gets nothing before [`BlockRing::begin`].
    pub fn open(ifindex: u32, bytes: usize) -> io::Result<BlockRing> {
        let fd = socket()?;
        let packet = |name: i32, value: i32| set_option(fd.as_fd(), libc::SOL_PACKET, name, &value);
        packet(libc::PACKET_VERSION, libc::tpacket_versions::TPACKET_V3 as i32)?;
        packet(libc::PACKET_VNET_HDR, 1)?;
        packet(libc::PACKET_IGNORE_OUTGOING, 1)?;
        drop_all(fd.as_fd())?;
        let blocks = bytes.div_ceil(BLOCK_BYTES).max(2);
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK_BYTES as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: 2048,
            tp_frame_nr: (blocks * BLOCK_BYTES / 2048) as u32,
            tp_retire_blk_tov: BLOCK_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let pages = Pages::shared(fd.as_fd(), 0, blocks * BLOCK_BYTES, libc::MAP_POPULATE)?;
        Ok(BlockRing { fd, ifindex, pages, blocks: blocks as u32, first: 0, ours: 0, reading: None })
    }

    /// Binds it to its port, in promiscuous mode, still deaf; a port's sockets that are to share its frames name a group.
    /// What kind of hardware the port is (`ARPHRD_…`).
    pub fn bind(&self, group: Option<&mut Option<u16>>) -> io::Result<u16> {
        bind(self.fd.as_fd(), self.ifindex, libc::ETH_P_ALL as u16)?;
        promiscuous(self.fd.as_fd(), self.ifindex)?;
        if let Some(id) = group {
            join(self.fd.as_fd(), Spread::Hash, id)?;
        }
        Ok(self.address()?.sll_hatype)
    }

    /// From now on it gets the frames that pass the filter.
    pub fn begin(&self, program: &[libc::sock_filter]) -> io::Result<()> {
        match program {
            [] => hear(self.fd.as_fd()),
            _ => filter(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program),
        }
    }

    /// When the next frame came in, if one is there.
    pub fn ready(&mut self) -> Option<u64> {
        let (_, h) = self.head()?;
        Some(nanos(&h))
    }

    /// The next frame; it lies there until [`BlockRing::give_back`].
    pub fn next(&mut self) -> Option<Arrival> {
        let (at, h) = self.head()?;
        let block = (self.first + self.ours - 1) % self.blocks;
        let reading = self.reading.as_mut()?;
        (reading.at, reading.left) = (at + h.tp_next_offset as usize, reading.left - 1);
        let (frame, len) = (at + usize::from(h.tp_mac), h.tp_snaplen as usize);
        let inside = usize::from(h.tp_mac) >= HEADER + OFFLOAD_BYTES && frame + len <= BLOCK_BYTES;
        let (frame, len) = if inside { (frame, len) } else { (HEADER + OFFLOAD_BYTES, 0) };
        let tag = (h.tp_status & libc::TP_STATUS_VLAN_VALID != 0).then(|| {
            let named = h.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            [if named { h.hv1.tp_vlan_tpid } else { libc::ETH_P_8021Q as u16 }, h.hv1.tp_vlan_tci as u16]
        });
        let piece = Piece { block, at: frame as u32, len: len as u32 };
        Some(Arrival { piece, nanos: nanos(&h), wire_len: h.tp_len, tag })
    }

    /// The header of the next frame and where it is, in the block that is read last.
    fn head(&mut self) -> Option<(usize, libc::tpacket3_hdr)> {
        if self.reading.is_none_or(|r| r.left == 0) {
            self.reading = None;
            if self.ours == self.blocks {
                return None;
            }
            let block = (self.first + self.ours) % self.blocks;
            if self.state(block).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return None;
            }
            self.ours += 1;
            // SAFETY: the kernel has given the block to us, and writes to it no more.
            let d = unsafe { self.block(block).cast::<libc::tpacket_block_desc>().read() };
            // SAFETY: all of the union is this structure of plain numbers.
            let h = unsafe { d.hdr.bh1 };
            self.reading = Some(Reading { at: h.offset_to_first_pkt as usize, left: h.num_pkts });
        }
        let reading = self.reading.filter(|r| r.left > 0)?;
        let block = (self.first + self.ours - 1) % self.blocks;
        if reading.at + size_of::<libc::tpacket3_hdr>() > BLOCK_BYTES {
            self.reading = None;
            return None;
        }
        // SAFETY: inside a block that is ours; the header is of plain numbers, and read unaligned if need be.
        let h = unsafe { self.block(block).add(reading.at).cast::<libc::tpacket3_hdr>().read_unaligned() };
        Some((reading.at, h))
    }

    /// All blocks that have been read to their end are the kernel's again; no frame of theirs is there any more.
    pub fn give_back(&mut self) {
        let reading = u32::from(self.reading.is_some_and(|r| r.left > 0));
        while self.ours > reading {
            self.state(self.first).store(libc::TP_STATUS_KERNEL, Ordering::Release);
            (self.first, self.ours) = ((self.first + 1) % self.blocks, self.ours - 1);
        }
        if reading == 0 {
            self.reading = None;
        }
    }

    /// The frame's bytes; none where its block is not ours any more.
    pub fn bytes(&self, piece: &Piece) -> &[u8] {
        let (at, len) = (piece.at as usize, piece.len as usize);
        if !self.is_ours(piece.block) || at + len > BLOCK_BYTES {
            return &[];
        }
        // SAFETY: inside a block that is ours, and stays so while we are borrowed.
        unsafe { std::slice::from_raw_parts(self.block(piece.block).as_ptr().add(at), len) }
    }

    /// The frame with what is in front of it behind the kernel's words; where it lies therein.
    pub fn room(&mut self, piece: &Piece) -> (&mut [u8], usize, usize) {
        let (at, len) = (piece.at as usize, piece.len as usize);
        let front = at.min(ROOM);
        if !self.is_ours(piece.block) || at + len > BLOCK_BYTES {
            return (&mut [], 0, 0);
        }
        // SAFETY: inside a block that is ours, and borrowed for itself as long as we are.
        let room =
            unsafe { std::slice::from_raw_parts_mut(self.block(piece.block).as_ptr().add(at - front), front + len) };
        (room, front, len)
    }

    /// The frame of [`BlockRing::room`] lies there in it now.
    pub fn lies(&self, piece: &mut Piece, at: usize, len: usize) {
        piece.at = (piece.at as usize + at - (piece.at as usize).min(ROOM)) as u32;
        piece.len = len as u32;
    }

    fn is_ours(&self, block: u32) -> bool {
        block < self.blocks && (block + self.blocks - self.first) % self.blocks < self.ours
    }

    fn block(&self, block: u32) -> NonNull<u8> {
        assert!(block < self.blocks);
        // SAFETY: a block of the mapping.
        unsafe { self.pages.at().add(block as usize * BLOCK_BYTES) }
    }

    fn state(&self, block: u32) -> &AtomicU32 {
        let d = self.block(block).cast::<libc::tpacket_block_desc>().as_ptr();
        // SAFETY: a word of the block's header, which the kernel, too, reads and writes as one.
        unsafe { AtomicU32::from_ptr(&raw mut (*d).hdr.bh1.block_status) }
    }

    fn address(&self) -> io::Result<libc::sockaddr_ll> {
        // SAFETY: a structure of plain bytes, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut len = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: the kernel writes at most `len` bytes into an address of ours.
        match unsafe { libc::getsockname(self.fd.as_raw_fd(), (&raw mut address).cast(), &mut len) } {
            0 => Ok(address),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Bytes in front of a frame that may be written to: the offload header, which has been read by then, is in them, and the
/// kernel's words are not.
const ROOM: usize = OFFLOAD_BYTES;

fn nanos(h: &libc::tpacket3_hdr) -> u64 {
    u64::from(h.tp_sec) * 1_000_000_000 + u64::from(h.tp_nsec)
}

impl AsFd for BlockRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
