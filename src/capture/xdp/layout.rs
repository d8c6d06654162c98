//! The memory that the XDP program and this side share, field for field as in `bump.bpf.c`.
//!
//! Rows that both sides write while the other reads are atomics over the map's own pages; the rest are plain values that
//! go through system calls.

use crate::named::named;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64};

pub const WORKERS_MAX: usize = 64;
pub const QUEUES_MAX: usize = 64;
/// Flows that the kernel forwards or drops by itself; the least recently used make room.
pub const FLOWS_MAX: usize = 131_072;
/// Networks that are forwarded uninspected.
pub const TRUSTED_MAX: usize = 4_096;

/// What the program asks on every frame. Times in nanoseconds of CLOCK_MONOTONIC.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Settings {
    pub stale_ns: AtomicU64,
    /// Flow entries of another epoch are void.
    pub epoch: AtomicU64,
    /// Frames a worker may have waiting.
    pub ring_limit: AtomicU32,
    pub workers: AtomicU32,
    /// 0 open, 1 closed: while the engine does not answer.
    pub fail: AtomicU32,
    /// The same before it first does.
    pub unready: AtomicU32,
    pub ready: AtomicU32,
    /// The operator's: everything through while odd; it counts its changes.
    pub bypass: AtomicU32,
    /// Frames go to packet sockets behind the program instead of AF_XDP ones.
    pub to_stack: AtomicU32,
    /// The table of trusted networks has entries.
    pub trusted: AtomicU32,
    pub ifindex: [AtomicU32; 2],
    /// 0 open, 1 closed: for what a worker has no room for.
    pub full: AtomicU32,
    zero: u32,
}

/// What a worker tells the program and the program tells of it.
#[repr(C)]
#[derive(Debug, Default)]
pub struct WorkerRow {
    /// When the worker last finished a batch.
    pub beat_ns: AtomicU64,
    /// Frames it took, or that its sockets lost.
    pub consumed: AtomicU64,
    apart: [u64; 6],
    /// Frames given to it.
    pub handed: AtomicU64,
    apart2: [u64; 7],
}

/// One direction of a flow, as its frames look where they come in.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    pub src: [u8; 16],
    pub dst: [u8; 16],
    /// In network order.
    pub sport: [u8; 2],
    pub dport: [u8; 2],
    /// Outermost first; 0 none, else 0x8000 and the identifier.
    pub vlan: [u16; 2],
    pub proto: u8,
    /// Of the pair, where the frames come in.
    pub port: u8,
    pub v6: u8,
    pub zero: u8,
}

impl FlowKey {
    pub fn new(src: (IpAddr, u16), dst: (IpAddr, u16), proto: u8, vlans: &[u16], port: u8) -> Option<Self> {
        let mut vlan = [0; 2];
        for (i, id) in vlans.iter().enumerate() {
            *vlan.get_mut(i)? = id | 0x8000;
        }
        Some(FlowKey {
            src: octets(src.0),
            dst: octets(dst.0),
            sport: src.1.to_be_bytes(),
            dport: dst.1.to_be_bytes(),
            vlan,
            proto,
            port,
            v6: src.0.is_ipv6().into(),
            zero: 0,
        })
    }
}

/// IPv4 as ::ffff:a.b.c.d.
pub fn octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    }
}

/// What the program does with a flow's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FlowAction {
    Bypass = 0,
    Drop = 1,
    /// Forwarded while they lie before a TCP sequence number.
    BypassUntil = 2,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowEntry {
    pub epoch: u64,
    /// When a frame of it last went to the engine.
    pub shown_ns: u64,
    pub frames: u64,
    pub bytes: u64,
    pub action: u32,
    pub until: u32,
}

named! {
    /// What the program counts, per port, by the names `stats` has for it. Numbers are its own.
    Count {
        Received "received" "frames that came in";
        ReceivedBytes "received_bytes" "their bytes";
        Handed "handed" "frames handed to the engine";
        LinkThrough "link.forwarded" "frames that are no IP, forwarded by policy";
        LinkDropped "link.dropped" "frames that are no IP, dropped by policy";
        UnreadyForwarded "unready.forwarded" "frames forwarded uninspected before the engine was ready";
        UnreadyDropped "unready.dropped" "frames dropped before the engine was ready";
        StaleForwarded "stale.forwarded" "frames forwarded uninspected because their worker did not answer";
        StaleDropped "stale.dropped" "frames dropped because their worker did not answer";
        FullForwarded "full.forwarded" "frames forwarded uninspected because their worker was too far behind";
        FullDropped "full.dropped" "frames dropped because their worker was too far behind";
        SocketlessForwarded "socketless.forwarded" "frames forwarded uninspected because no worker had their queue";
        SocketlessDropped "socketless.dropped" "frames dropped because no worker had their queue";
        BypassForwarded "bypass.forwarded" "frames forwarded uninspected because the operator said so";
        FlowForwarded "flow.forwarded" "frames of bypassed flows";
        FlowForwardedBytes "flow.forwarded_bytes" "their bytes";
        FlowDropped "flow.dropped" "frames of condemned flows";
        TrustedForwarded "trusted.forwarded" "frames of trusted networks";
    }
}

impl Count {
    /// Whether it tells of frames that the engine should have seen and did not.
    pub const fn opened(self) -> bool {
        matches!(
            self,
            Count::UnreadyForwarded | Count::StaleForwarded | Count::FullForwarded | Count::SocketlessForwarded
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn layouts_are_those_of_the_program() {
        assert_eq!((size_of::<Settings>(), offset_of!(Settings, ifindex)), (64, 48));
        assert_eq!((size_of::<WorkerRow>(), offset_of!(WorkerRow, handed)), (128, 64));
        assert_eq!((size_of::<FlowKey>(), size_of::<FlowEntry>()), (44, 40));
    }

    /// The names in the program's source, in order, are those here.
    #[test]
    fn counts_are_those_of_the_program() {
        let source = include_str!("bump.bpf.c");
        let list = source.split_once("enum count {").unwrap().1.split_once("COUNTS,").unwrap().0;
        let theirs: Vec<String> = list
            .split(',')
            .filter_map(|w| w.trim().strip_prefix("COUNT_"))
            .map(|w| w.replace('_', "").to_lowercase())
            .collect();
        let ours: Vec<String> = Count::ALL.iter().map(|c| format!("{c:?}").to_lowercase()).collect();
        assert_eq!(theirs, ours);
        for (i, c) in Count::ALL.iter().enumerate() {
            assert!(*c as usize == i && !c.doc().is_empty());
        }
    }
}
