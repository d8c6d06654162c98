//! Messages of rtnetlink: what the kernel says of links and addresses, and questions to it (rtnetlink(7)).
//!
//! A message and its attributes are walked in place, by lengths that are checked against what is there; what does not
//! fit ends the walk.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const HEADER: usize = 16;
const IFINFO: usize = 16;
const IFADDR: usize = 8;
const NESTED: u16 = 1 << 15;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_NUM_RX_QUEUES: u16 = 32;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_PROTO: u16 = 11;
/// The kernel made the address of the port's own accord (`IFAPROT_KERNEL_LL`; kernels from 5.18 say so).
const KERNEL_LINK_LOCAL: u8 = 2;

/// A message: its kind (`RTM_…`, `NLMSG_…`), its sequence number and what follows its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub kind: u16,
    pub seq: u32,
    pub body: &'a [u8],
}

/// The messages of one read.
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let data = std::mem::take(&mut self.0);
        let len = u32_at(data, 0)? as usize;
        let body = data.get(HEADER..len)?;
        self.0 = data.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind: u16_at(data, 4)?, seq: u32_at(data, 8)?, body })
    }
}

/// Attributes: kind and value of each.
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let data = std::mem::take(&mut self.0);
        let len = usize::from(u16_at(data, 0)?);
        let value = data.get(4..len)?;
        self.0 = data.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16_at(data, 2)? & !NESTED, value))
    }
}

/// The value of the first attribute of this kind.
pub fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    Attributes(attributes).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// The attributes behind a link's fixed part.
pub fn link_attributes(body: &[u8]) -> &[u8] {
    body.get(IFINFO..).unwrap_or_default()
}

/// Appends an attribute.
pub fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    to.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
    to.extend_from_slice(&kind.to_ne_bytes());
    to.extend_from_slice(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// Appends an attribute that holds attributes.
pub fn nested(to: &mut Vec<u8>, kind: u16, inner: &[u8]) {
    attribute(to, kind | NESTED, inner);
}

/// A request with its header.
pub fn request(kind: u16, flags: u16, seq: u32, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&flags.to_ne_bytes());
    message.extend_from_slice(&seq.to_ne_bytes());
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(body);
    message
}

/// The fixed part of a request about a link; the flags in `change` become those in `flags`.
pub fn about_link(ifindex: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for word in [ifindex, flags, change] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    body
}

/// A question after a link by its name.
pub fn link_named(name: &str) -> Vec<u8> {
    let mut body = about_link(0, 0, 0);
    let mut terminated = name.as_bytes().to_vec();
    terminated.push(0);
    attribute(&mut body, IFLA_IFNAME, &terminated);
    body
}

/// What the kernel says of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub ifindex: u32,
    /// `ARPHRD_…`; 1 is Ethernet.
    pub hardware: u16,
    /// `IFF_…`.
    pub flags: u32,
    pub name: String,
    pub mtu: u32,
    pub mac: Option<[u8; 6]>,
    /// The link it is enslaved to.
    pub master: Option<u32>,
    /// Of virtual links: `veth`, `bridge` and so on.
    pub kind: Option<String>,
    pub rx_queues: Option<u32>,
}

const IFF_UP: u32 = 1;
const IFF_PROMISC: u32 = 1 << 8;
const IFF_LOWER_UP: u32 = 1 << 16;

impl Link {
    /// Of the body of an `RTM_NEWLINK` or `RTM_DELLINK`.
    pub fn of(body: &[u8]) -> Option<Link> {
        let mut link =
            Link { hardware: u16_at(body, 2)?, ifindex: u32_at(body, 4)?, flags: u32_at(body, 8)?, ..Link::default() };
        for (kind, value) in Attributes(body.get(IFINFO..)?) {
            match kind {
                IFLA_IFNAME => link.name = text(value),
                IFLA_MTU => link.mtu = u32_at(value, 0).unwrap_or_default(),
                IFLA_ADDRESS => link.mac = value.try_into().ok(),
                IFLA_MASTER => link.master = u32_at(value, 0).filter(|m| *m != 0),
                IFLA_LINKINFO => link.kind = find(value, IFLA_INFO_KIND).map(text),
                IFLA_NUM_RX_QUEUES => link.rx_queues = u32_at(value, 0),
                _ => {}
            }
        }
        Some(link)
    }

    /// Administratively up.
    pub fn up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// The wire is there. Never so while it is administratively down.
    pub fn carrier(&self) -> bool {
        self.flags & IFF_LOWER_UP != 0
    }

    pub fn promiscuous(&self) -> bool {
        self.flags & IFF_PROMISC != 0
    }
}

/// The change of a link's flags that brings it up or down.
pub fn set_up(ifindex: u32, up: bool) -> Vec<u8> {
    about_link(ifindex, if up { IFF_UP } else { 0 }, IFF_UP)
}

/// The one that has it take in every frame.
pub fn set_promiscuous(ifindex: u32) -> Vec<u8> {
    about_link(ifindex, IFF_PROMISC, IFF_PROMISC)
}

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub ifindex: u32,
    pub addr: IpAddr,
    pub prefix: u8,
    /// The kernel says that it made it.
    pub kernel: bool,
}

impl Address {
    /// Of the body of an `RTM_NEWADDR`.
    pub fn of(body: &[u8]) -> Option<Address> {
        let (prefix, ifindex) = (*body.get(1)?, u32_at(body, 4)?);
        let (mut addr, mut local, mut kernel) = (None, None, false);
        for (kind, value) in Attributes(body.get(IFADDR..)?) {
            match kind {
                IFA_ADDRESS => addr = ip(value),
                IFA_LOCAL => local = ip(value),
                IFA_PROTO => kernel = value.first() == Some(&KERNEL_LINK_LOCAL),
                _ => {}
            }
        }
        // Of a point-to-point link the first is the other end's.
        Some(Address { ifindex, addr: local.or(addr)?, prefix, kernel })
    }

    /// A link-local address that a port has without anybody having given it.
    pub fn of_itself(&self, mac: Option<[u8; 6]>) -> bool {
        let IpAddr::V6(addr) = self.addr else { return false };
        let o = addr.octets();
        let from_mac = |m: [u8; 6]| o[8..] == [m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]];
        o[0] == 0xfe && o[1] & 0xc0 == 0x80 && (self.kernel || mac.is_some_and(from_mac))
    }
}

/// The error that an `NLMSG_ERROR` tells of: 0 is none, others as in errno(3).
pub fn error_number(body: &[u8]) -> Option<i32> {
    Some((u32_at(body, 0)? as i32).checked_neg()?.max(0))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        _ => None,
    }
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..)?.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link_body() -> Vec<u8> {
        let mut body = about_link(7, IFF_UP | IFF_LOWER_UP, 0);
        body[2] = 1;
        attribute(&mut body, IFLA_IFNAME, b"eth0\0");
        attribute(&mut body, IFLA_MTU, &1500u32.to_ne_bytes());
        attribute(&mut body, IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]);
        let mut info = Vec::new();
        attribute(&mut info, IFLA_INFO_KIND, b"veth\0");
        nested(&mut body, IFLA_LINKINFO, &info);
        body
    }

    #[test]
    fn a_link_and_what_is_cut_off_it() {
        let body = link_body();
        let link = Link::of(&body).unwrap();
        assert_eq!((link.ifindex, link.name.as_str(), link.mtu), (7, "eth0", 1500));
        assert_eq!((link.mac, link.kind.as_deref(), link.master), (Some([2, 0, 0, 0, 0, 1]), Some("veth"), None));
        assert!(link.up() && link.carrier() && !link.promiscuous());
        for n in 0..body.len() {
            if let Some(part) = Link::of(&body[..n]) {
                assert!(n >= IFINFO && part.ifindex == 7);
            }
        }
    }

    #[test]
    fn messages_end_where_a_length_is_wrong() {
        let good = request(16, 0, 9, &link_body());
        let two = [good.clone(), good.clone()].concat();
        assert_eq!(Messages(&two).count(), 2);
        assert_eq!(Messages(&two).next().map(|m| (m.kind, m.seq)), Some((16, 9)));
        for wrong in [0u32, 15, u32::MAX] {
            let mut bad = two.clone();
            bad[..4].copy_from_slice(&wrong.to_ne_bytes());
            assert_eq!(Messages(&bad).count(), 0, "{wrong}");
        }
        assert_eq!(Attributes(&[3, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn link_locals_that_came_by_themselves() {
        let mac = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
        let with = |addr: &str, kernel| Address { ifindex: 1, addr: addr.parse().unwrap(), prefix: 64, kernel };
        assert!(with("fe80::11:22ff:fe33:4455", false).of_itself(Some(mac)));
        assert!(with("fe80::1234", true).of_itself(Some(mac)));
        assert!(!with("fe80::1234", false).of_itself(Some(mac)));
        assert!(!with("2001:db8::11:22ff:fe33:4455", false).of_itself(Some(mac)));
        assert!(!with("169.254.1.1", false).of_itself(Some(mac)));
    }

    #[test]
    fn errors_of_replies() {
        assert_eq!(error_number(&0i32.to_ne_bytes()), Some(0));
        assert_eq!(error_number(&(-19i32).to_ne_bytes()), Some(19));
        assert_eq!(error_number(&i32::MIN.to_ne_bytes()), None);
        assert_eq!(error_number(&[1]), None);
    }
}
