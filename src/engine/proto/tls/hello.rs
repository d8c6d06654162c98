//! Client and server hello (RFC 8446 section 4.1, RFC 5246 section 7.4.1, SSL 2.0's form of RFC 5246 appendix E.2).
//!
//! A hello is read from one complete handshake message, whose size the record layer bounds, so everything kept here is
//! bounded by it. Lists are kept in the order of the wire: fingerprints depend on it.

use super::event;
use super::version::{Version, is_grease};
use crate::applayer::EventId;
use smallvec::SmallVec;

pub const EXT_SNI: u16 = 0;
const EXT_GROUPS: u16 = 10;
const EXT_POINT_FORMATS: u16 = 11;
const EXT_SIGNATURE_ALGORITHMS: u16 = 13;
pub const EXT_ALPN: u16 = 16;
const EXT_SESSION_TICKET: u16 = 35;
const EXT_EARLY_DATA: u16 = 42;
const EXT_SUPPORTED_VERSIONS: u16 = 43;

/// What either side's hello tells.
#[derive(Debug, Default)]
pub struct Hello {
    /// As written in its version field.
    pub legacy_version: Version,
    /// With the supported_versions extension taken into account.
    pub version: Version,
    pub random: Option<[u8; 32]>,
    pub session_id: SmallVec<[u8; 32]>,
    /// Offered, or the one chosen.
    pub ciphers: Vec<u16>,
    pub extensions: SmallVec<[u16; 16]>,
    pub groups: SmallVec<[u16; 8]>,
    pub point_formats: SmallVec<[u8; 4]>,
    pub signature_algorithms: SmallVec<[u16; 16]>,
    pub alpns: SmallVec<[Box<[u8]>; 2]>,
    pub sni: Option<Box<[u8]>>,
    /// A session ticket was offered.
    pub ticket: bool,
    /// Data may come before the handshake is complete.
    pub early_data: bool,
}

impl Hello {
    /// Bytes held beyond the struct, about.
    pub fn memory(&self) -> usize {
        2 * self.ciphers.capacity()
            + self.alpns.iter().map(|a| a.len() + 16).sum::<usize>()
            + self.sni.as_ref().map_or(0, |s| s.len())
            + [self.extensions.capacity(), self.groups.capacity(), self.signature_algorithms.capacity()]
                .iter()
                .sum::<usize>()
                * 2
            + self.point_formats.capacity()
            + self.session_id.capacity()
    }
}

/// A hello whose lengths contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLength;

pub type Events = SmallVec<[EventId; 2]>;

/// Takes values off the front of a message.
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], InvalidLength> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(InvalidLength)?;
        self.0 = tail;
        Ok(head)
    }

    pub fn u8(&mut self) -> Result<u8, InvalidLength> {
        let (head, tail) = self.0.split_first().ok_or(InvalidLength)?;
        self.0 = tail;
        Ok(*head)
    }

    pub fn u16(&mut self) -> Result<u16, InvalidLength> {
        let (head, tail) = self.0.split_first_chunk().ok_or(InvalidLength)?;
        self.0 = tail;
        Ok(u16::from_be_bytes(*head))
    }

    pub fn u24(&mut self) -> Result<usize, InvalidLength> {
        let (&[a, b, c], tail) = self.0.split_first_chunk().ok_or(InvalidLength)?;
        self.0 = tail;
        Ok(u32::from_be_bytes([0, a, b, c]) as usize)
    }

    /// A block led by its length in one byte.
    pub fn block8(&mut self) -> Result<&'a [u8], InvalidLength> {
        let n = self.u8()?;
        self.bytes(usize::from(n))
    }

    /// A block led by its length in two bytes.
    pub fn block16(&mut self) -> Result<&'a [u8], InvalidLength> {
        let n = self.u16()?;
        self.bytes(usize::from(n))
    }
}

/// The body of a ClientHello message.
pub fn client(body: &[u8], events: &mut Events) -> Result<Hello, InvalidLength> {
    let mut c = Cursor(body);
    let mut hello = begin(&mut c)?;
    hello.session_id = c.block8()?.into();
    let ciphers = c.block16()?;
    if ciphers.len() % 2 != 0 {
        return Err(InvalidLength);
    }
    hello.ciphers = numbers(ciphers).collect();
    c.block8()?;
    extensions(c, &mut hello, true, events)?;
    Ok(hello)
}

/// The body of a ServerHello message. Early drafts of TLS 1.3 left out the session id and the compression method.
pub fn server(body: &[u8], events: &mut Events) -> Result<Hello, InvalidLength> {
    let mut c = Cursor(body);
    let mut hello = begin(&mut c)?;
    let short = hello.legacy_version.is_13();
    if hello.legacy_version == Version::TLS13 {
        hello.version = Version::TLS13_EARLY_DRAFT;
    }
    if !short {
        hello.session_id = c.block8()?.into();
    }
    hello.ciphers = vec![c.u16()?];
    if !short {
        c.u8()?;
    }
    extensions(c, &mut hello, false, events)?;
    Ok(hello)
}

/// The body of an SSL 2.0 CLIENT-HELLO, behind its type byte: version, three lengths, then cipher specs (three bytes
/// each), session id and challenge.
pub fn client_v2(body: &[u8]) -> Result<Hello, InvalidLength> {
    let mut c = Cursor(body);
    let version = Version(c.u16()?);
    let (specs, session, challenge) = (c.u16()?, c.u16()?, c.u16()?);
    let specs = c.bytes(usize::from(specs))?;
    let session_id = c.bytes(usize::from(session))?.into();
    c.bytes(usize::from(challenge))?;
    // Specs that begin with a zero byte are TLS cipher suites.
    let ciphers = specs.chunks_exact(3).filter_map(|s| match *s {
        [0, a, b] => Some(u16::from_be_bytes([a, b])),
        _ => None,
    });
    Ok(Hello { legacy_version: version, version, session_id, ciphers: ciphers.collect(), ..Hello::default() })
}

fn begin(c: &mut Cursor<'_>) -> Result<Hello, InvalidLength> {
    let version = Version(c.u16()?);
    let random = c.bytes(32)?.first_chunk().copied();
    Ok(Hello { legacy_version: version, version, random, ..Hello::default() })
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).filter_map(|b| b.first_chunk()).map(|b| u16::from_be_bytes(*b))
}

fn extensions(mut c: Cursor<'_>, hello: &mut Hello, client: bool, events: &mut Events) -> Result<(), InvalidLength> {
    if c.0.is_empty() {
        return Ok(());
    }
    let mut c = Cursor(c.block16()?);
    let mut sni_seen = false;
    while !c.0.is_empty() {
        let (kind, data) = (c.u16()?, c.block16()?);
        hello.extensions.push(kind);
        match kind {
            EXT_SNI if client => {
                if std::mem::replace(&mut sni_seen, true) {
                    events.push(event::MULTIPLE_SNI_EXTENSIONS);
                } else {
                    hello.sni = sni(data, events);
                }
            }
            // Only the client's lists are asked for, and early drafts let servers send them empty.
            EXT_GROUPS if client => hello.groups.extend(numbers(Cursor(data).block16()?)),
            EXT_POINT_FORMATS if client => hello.point_formats.extend_from_slice(Cursor(data).block8()?),
            EXT_SIGNATURE_ALGORITHMS if client => hello.signature_algorithms.extend(numbers(Cursor(data).block16()?)),
            EXT_ALPN => {
                let mut names = Cursor(Cursor(data).block16()?);
                while !names.0.is_empty() {
                    hello.alpns.push(names.block8()?.into());
                }
            }
            EXT_SESSION_TICKET => hello.ticket = !data.is_empty(),
            EXT_EARLY_DATA => hello.early_data = true,
            EXT_SUPPORTED_VERSIONS if client => {
                let best = numbers(Cursor(data).block8()?).filter(|v| !is_grease(*v)).map(Version).find(|v| v.valid());
                hello.version = best.unwrap_or(hello.version);
            }
            EXT_SUPPORTED_VERSIONS => hello.version = Version(Cursor(data).u16()?),
            _ => {}
        }
    }
    Ok(())
}

/// The first name of a server_name extension (RFC 6066 section 3).
fn sni(data: &[u8], events: &mut Events) -> Option<Box<[u8]>> {
    let mut c = Cursor(data);
    let list = c.block16().ok().filter(|_| c.0.is_empty());
    let Some(list) = list else {
        if !data.is_empty() {
            events.push(event::INVALID_SNI_LENGTH);
        }
        return None;
    };
    let mut list = Cursor(list);
    match list.u8() {
        Ok(0) => {}
        Ok(_) => {
            events.push(event::INVALID_SNI_TYPE);
            return None;
        }
        Err(_) => {
            events.push(event::INVALID_SNI_LENGTH);
            return None;
        }
    }
    match list.block16() {
        Ok(name) if !name.is_empty() => Some(name.into()),
        _ => {
            events.push(event::INVALID_SNI_LENGTH);
            None
        }
    }
}
