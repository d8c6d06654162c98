//! One DNS message: header, questions and resource records (RFC 1035 section 4), read once into spans.
//!
//! The message keeps its own bytes and one arena of expanded names; records hold offsets into the two. Broken
//! questions or answers make the whole message malformed; broken authorities or additionals leave what came before
//! and a mark, since resolvers answer such messages too.

use super::name::{Malformed, Name, NameOddities, Names};
use super::rrtype::rr;
use smallvec::SmallVec;

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 12;

/// Bit 15 of the flags: a response.
pub const FLAG_QR: u16 = 0x8000;
/// The reserved bit (RFC 1035 section 4.1.1).
pub const FLAG_Z: u16 = 0x0040;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub id: u16,
    pub flags: u16,
    pub questions: u16,
    pub answers: u16,
    pub authorities: u16,
    pub additionals: u16,
}

impl Header {
    pub fn read(bytes: &[u8]) -> Option<Header> {
        Some(Header {
            id: be16(bytes, 0)?,
            flags: be16(bytes, 2)?,
            questions: be16(bytes, 4)?,
            answers: be16(bytes, 6)?,
            authorities: be16(bytes, 8)?,
            additionals: be16(bytes, 10)?,
        })
    }

    pub fn is_response(&self) -> bool {
        self.flags & FLAG_QR != 0
    }

    /// 0..=15
    pub fn opcode(&self) -> u8 {
        (self.flags >> 11 & 0xf) as u8
    }

    /// 0..=15; the extended bits of EDNS are not in the header.
    pub fn rcode(&self) -> u16 {
        self.flags & 0xf
    }

    /// Whether a message of `len` bytes can have this header at all: room for its records, a request that asks, and
    /// nothing behind a header that announces nothing.
    pub fn plausible(&self, len: usize) -> bool {
        let records = usize::from(self.questions)
            + usize::from(self.answers)
            + usize::from(self.authorities)
            + usize::from(self.additionals);
        2 * records <= len && !(records == 0 && len > HEADER_BYTES) && (self.is_response() || self.questions > 0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub name: Name,
    pub rrtype: u16,
    pub class: u16,
}

/// A resource record; offsets are into the message's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: Name,
    pub rrtype: u16,
    pub class: u16,
    /// Seconds.
    pub ttl: u32,
    rdata_at: u16,
    rdata_len: u16,
    /// The name in CNAME, NS, PTR, MX and SRV data, MNAME of SOA.
    pub target: Option<Name>,
    /// RNAME of SOA.
    pub mailbox: Option<Name>,
    /// Where the five numbers of SOA stand.
    numbers_at: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Answer,
    Authority,
    Additional,
}

#[derive(Debug)]
pub struct Message {
    pub header: Header,
    pub questions: SmallVec<[Question; 1]>,
    records: Vec<Record>,
    answers_end: usize,
    authorities_end: usize,
    pub invalid_authorities: bool,
    pub invalid_additionals: bool,
    pub oddities: NameOddities,
    /// Bytes after the last record.
    pub trailing: usize,
    bytes: Vec<u8>,
    text: Vec<u8>,
}

/// The memory of a message that is done with, for the next of its flow.
#[derive(Debug, Default)]
pub struct Spent {
    records: Vec<Record>,
    bytes: Vec<u8>,
    text: Vec<u8>,
}

impl Spent {
    pub fn memory(&self) -> usize {
        self.records.capacity() * size_of::<Record>() + self.bytes.capacity() + self.text.capacity()
    }
}

impl Message {
    /// As it was sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a whole message of at most 65,535 bytes, its header known to be plausible.
    pub fn read(bytes: &[u8]) -> Result<Message, Malformed> {
        Message::read_into(bytes, Spent::default())
    }

    pub fn into_spent(self) -> Spent {
        Spent { records: self.records, bytes: self.bytes, text: self.text }
    }

    /// The same in memory of a message before.
    pub fn read_into(bytes: &[u8], spent: Spent) -> Result<Message, Malformed> {
        let Spent { mut records, bytes: mut kept, text } = spent;
        records.clear();
        kept.clear();
        let header = Header::read(bytes).ok_or(Malformed)?;
        u16::try_from(bytes.len()).map_err(|_| Malformed)?;
        let mut reader = Reader { bytes, names: Names::new(bytes, text), at: HEADER_BYTES, records };
        let mut questions = SmallVec::new();
        for _ in 0..header.questions {
            questions.push(reader.question()?);
        }
        reader.section(header.answers)?;
        let answers_end = reader.records.len();
        let invalid_authorities = reader.tolerant_section(header.authorities).is_err();
        let authorities_end = reader.records.len();
        let invalid_additionals = !invalid_authorities && reader.tolerant_section(header.additionals).is_err();
        let Reader { names, at, records, .. } = reader;
        kept.extend_from_slice(bytes);
        Ok(Message {
            header,
            questions,
            records,
            answers_end,
            authorities_end,
            invalid_authorities,
            invalid_additionals,
            oddities: names.oddities,
            trailing: bytes.len().saturating_sub(at),
            bytes: kept,
            text: names.into_text(),
        })
    }

    pub fn records(&self, section: Section) -> &[Record] {
        let range = match section {
            Section::Answer => 0..self.answers_end,
            Section::Authority => self.answers_end..self.authorities_end,
            Section::Additional => self.authorities_end..self.records.len(),
        };
        self.records.get(range).unwrap_or(&[])
    }

    /// Every record in the order of the message.
    pub fn all_records(&self) -> &[Record] {
        &self.records
    }

    pub fn text(&self, name: Name) -> &[u8] {
        name.text(&self.text)
    }

    pub fn rdata(&self, record: &Record) -> &[u8] {
        let at = usize::from(record.rdata_at);
        self.bytes.get(at..at + usize::from(record.rdata_len)).unwrap_or(&[])
    }

    /// Serial, refresh, retry, expire and minimum of an SOA record.
    pub fn soa_numbers(&self, record: &Record) -> [u32; 5] {
        let at = usize::from(record.numbers_at);
        std::array::from_fn(|i| be32(&self.bytes, at + 4 * i).unwrap_or(0))
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        size_of::<Message>()
            + self.bytes.capacity()
            + self.text.capacity()
            + self.records.capacity() * size_of::<Record>()
            + if self.questions.spilled() { self.questions.capacity() * size_of::<Question>() } else { 0 }
    }
}

/// The character strings of TXT data (RFC 1035 section 3.3.14).
pub fn txt_strings(mut rdata: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = rdata.split_first()?;
        let (string, rest) = rest.split_at_checked(usize::from(*len))?;
        rdata = rest;
        Some(string)
    })
}

/// Code and data of each EDNS option (RFC 6891 section 6.1.2).
pub fn edns_options(mut rdata: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let code = be16(rdata, 0)?;
        let len = usize::from(be16(rdata, 2)?);
        let (data, rest) = rdata.get(4..)?.split_at_checked(len)?;
        rdata = rest;
        Some((code, data))
    })
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

struct Reader<'m> {
    bytes: &'m [u8],
    names: Names<'m>,
    at: usize,
    records: Vec<Record>,
}

impl Reader<'_> {
    fn be16(&mut self) -> Result<u16, Malformed> {
        let value = be16(self.bytes, self.at).ok_or(Malformed)?;
        self.at += 2;
        Ok(value)
    }

    fn be32(&mut self) -> Result<u32, Malformed> {
        let value = be32(self.bytes, self.at).ok_or(Malformed)?;
        self.at += 4;
        Ok(value)
    }

    fn name(&mut self) -> Result<Name, Malformed> {
        let (name, at) = self.names.read(self.at, self.bytes.len())?;
        self.at = at;
        Ok(name)
    }

    fn question(&mut self) -> Result<Question, Malformed> {
        Ok(Question { name: self.name()?, rrtype: self.be16()?, class: self.be16()? })
    }

    fn section(&mut self, count: u16) -> Result<(), Malformed> {
        for _ in 0..count {
            let record = self.record()?;
            self.records.push(record);
        }
        Ok(())
    }

    /// A section that leaves no record behind where one of it is broken.
    fn tolerant_section(&mut self, count: u16) -> Result<(), Malformed> {
        let (at, before) = (self.at, self.records.len());
        self.section(count).inspect_err(|_| {
            self.at = at;
            self.records.truncate(before);
        })
    }

    fn record(&mut self) -> Result<Record, Malformed> {
        let name = self.name()?;
        let (rrtype, class, ttl, len) = (self.be16()?, self.be16()?, self.be32()?, self.be16()?);
        let end = self.at + usize::from(len);
        if end > self.bytes.len() {
            return Err(Malformed);
        }
        let rdata_at = u16::try_from(self.at).map_err(|_| Malformed)?;
        let mut record =
            Record { name, rrtype, class, ttl, rdata_at, rdata_len: len, target: None, mailbox: None, numbers_at: 0 };
        self.rdata(&mut record, end)?;
        self.at = end;
        Ok(record)
    }

    fn rdata(&mut self, record: &mut Record, end: usize) -> Result<(), Malformed> {
        let (at, len) = (self.at, end - self.at);
        let data = self.bytes.get(at..end).ok_or(Malformed)?;
        match record.rrtype {
            rr::CNAME | rr::NS | rr::PTR => record.target = Some(self.names.read(at, end)?.0),
            rr::MX if len >= 2 => record.target = Some(self.names.read(at + 2, end)?.0),
            rr::SRV if len >= 6 => record.target = Some(self.names.read(at + 6, end)?.0),
            rr::MX | rr::SRV => return Err(Malformed),
            rr::SOA => {
                let (primary, next) = self.names.read(at, end)?;
                let (mailbox, numbers) = self.names.read(next, end)?;
                if numbers + 20 > end {
                    return Err(Malformed);
                }
                record.target = Some(primary);
                record.mailbox = Some(mailbox);
                record.numbers_at = u16::try_from(numbers).map_err(|_| Malformed)?;
            }
            rr::TXT if txt_strings(data).map(|s| s.len() + 1).sum::<usize>() != len => return Err(Malformed),
            rr::SSHFP if len < 2 => return Err(Malformed),
            rr::OPT if edns_options(data).map(|(_, d)| d.len() + 4).sum::<usize>() != len => return Err(Malformed),
            _ => {}
        }
        Ok(())
    }
}
