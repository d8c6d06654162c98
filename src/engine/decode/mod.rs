//! Frame to packets: link layer, tags, tunnels, IP, transport; every oddity an event.
//!
//! One frame may hold several packets (an outer GRE packet and the inner one); each is inspected, outermost first, and
//! the frame shares their strictest verdict. Packets are plain values with offsets into their bytes; nothing is copied
//! but datagrams that defragmentation put together.

mod packet;

pub use packet::{
    Bytes, DecodeEvents, EtherHeader, Frame, IpHeader, L4, LinkType, Packet, PacketFlags, PacketList, PortId, Span,
    TcpFlags, TcpHeader, VlanStack,
};
