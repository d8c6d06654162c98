//! System calls and memory shared with the kernel. The one room of `capture` where `unsafe` is.

pub mod bpf;
pub mod ethtool;
pub mod host;
pub mod libpcap;
pub mod netlink;
pub mod packet;
pub mod pages;
pub mod reserve;
pub mod tap;
pub mod xsk;
