//! `dns.opcode`, `dns.rcode`, `dns.rrtype`.

use super::message::Section;
use super::rrtype::{RCODES, RRTYPES};
use super::transaction::DnsTransaction;
use crate::applayer::{Direct, Progress, Transaction, TxKeyword, TxTest};
use crate::detect::signature::IntMatch;
use crate::proto::integer::{IntListTest, int_test};
use crate::types::Direction;

const SYNTAX: &str = "[!|<|<=|>|>=]<number> | [!]<low>-<high> | &<mask>[=|!=]<number>";

pub const KEYWORDS: &[TxKeyword] = &[
    TxKeyword {
        name: "dns.opcode",
        direct: Direct::Both,
        progress: Progress(1),
        parse: |text| Ok(Box::new(Opcode(int_test(text, 255, &[])?))),
        quoted: false,
        doc: "opcode in the header's flags",
        syntax: SYNTAX,
        example_ok: "!0",
        example_bad: "256",
    },
    TxKeyword {
        name: "dns.rcode",
        direct: Direct::Both,
        progress: Progress(1),
        parse: |text| Ok(Box::new(Rcode(int_test(text, 65_535, RCODES)?))),
        quoted: false,
        doc: "response code in the header's flags, a number or a name such as NXDOMAIN",
        syntax: SYNTAX,
        example_ok: "nxdomain",
        example_bad: "nosuchcode",
    },
    TxKeyword {
        name: "dns.rrtype",
        direct: Direct::Both,
        progress: Progress(1),
        parse: |text| Ok(Box::new(Rrtype(IntListTest::parse(text, 65_535, RRTYPES)?))),
        quoted: false,
        doc: "types asked for in requests, types of the answers in responses; a number or a name such as TXT",
        syntax: "<test of a number or name>[,<index>[,<from>:<to>]] | count <test>",
        example_ok: "!AAAA,all",
        example_bad: "65536",
    },
];

fn dns(tx: &dyn Transaction, dir: Direction) -> Option<&DnsTransaction> {
    tx.as_any().downcast_ref::<DnsTransaction>().filter(|tx| tx.direction == dir)
}

#[derive(Debug)]
struct Opcode(IntMatch);

impl TxTest for Opcode {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        Some(dns(tx, dir).is_some_and(|tx| self.0.matches(u64::from(tx.message.header.opcode()))))
    }
}

#[derive(Debug)]
struct Rcode(IntMatch);

impl TxTest for Rcode {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        Some(dns(tx, dir).is_some_and(|tx| self.0.matches(u64::from(tx.message.header.rcode()))))
    }
}

#[derive(Debug)]
struct Rrtype(IntListTest);

impl TxTest for Rrtype {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        Some(dns(tx, dir).is_some_and(|tx| match dir {
            Direction::ToServer => self.0.holds(tx.message.questions.iter().map(|q| u64::from(q.rrtype))),
            Direction::ToClient => {
                self.0.holds(tx.message.records(Section::Answer).iter().map(|r| u64::from(r.rrtype)))
            }
        }))
    }
}
