//! Keywords of TLS that test other than bytes of a buffer: versions, states, dates, chain length, and the old exact
//! forms of subject, issuer and fingerprint.

use super::certificate::{Certificate, days};
use super::progress;
use super::transaction::{Chain, TlsTransaction, state};
use super::version::Version;
use crate::applayer::{Direct, Progress, Transaction, TxKeyword, TxTest};
use crate::detect::signature::IntMatch;
use crate::proto::integer::int_test;
use crate::types::Direction;

type Parse = fn(&str) -> Result<Box<dyn TxTest>, String>;

const fn keyword(
    name: &'static str,
    (direct, progress): (Direct, Progress),
    parse: Parse,
    doc: &'static str,
    (syntax, example_ok, example_bad): (&'static str, &'static str, &'static str),
) -> TxKeyword {
    TxKeyword { name, direct, progress, parse, quoted: false, doc, syntax, example_ok, example_bad }
}

/// One whose argument stands in double quotes.
const fn quoted(k: TxKeyword) -> TxKeyword {
    TxKeyword { quoted: true, ..k }
}

const HELLO: (Direct, Progress) = (Direct::Both, progress::HELLO);
const CERT: (Direct, Progress) = (Direct::Both, progress::CERTIFICATE);
const BEGUN: (Direct, Progress) = (Direct::Both, Progress::NONE);
const DATES: (&str, &str, &str) =
    ("[<|>]<date> | <date><><date>, a date being YYYY[-MM[-DD[THH[:MM[:SS]]]]]", ">2015-06", "2015-13");
const NO_OPTION: (&str, &str, &str) = ("no option", "", "yes");
const TEXT: &str = "[!]\"<text>\"";

pub const KEYWORDS: &[TxKeyword] = &[
    keyword(
        "tls.version",
        HELLO,
        parse_version,
        "version agreed on, drafts of 1.3 included",
        ("<1.0|1.1|1.2|1.3|0xnnnn>", "1.2", "1.4"),
    ),
    keyword(
        "ssl_version",
        HELLO,
        parse_ssl_version,
        "one of several versions",
        ("[!]<sslv2|sslv3|tls1.0|tls1.1|tls1.2|tls1.3>[,…]", "!sslv2,sslv3", "sslv4"),
    ),
    keyword(
        "ssl_state",
        BEGUN,
        parse_state,
        "messages of the handshake that have passed",
        ("[!]<client_hello|server_hello|client_keyx|server_keyx|unknown>[|…]", "client_keyx|server_keyx", "hello"),
    ),
    keyword(
        "tls.cert_chain_len",
        CERT,
        parse_chain_len,
        "certificates in the chain",
        ("[!|<|<=|>|>=]<number> | <low>-<high>", ">2", "many"),
    ),
    keyword(
        "tls_cert_notbefore",
        CERT,
        |s| dates(s, |c| c.not_before),
        "begin of the first certificate's validity",
        DATES,
    ),
    keyword("tls_cert_notafter", CERT, |s| dates(s, |c| c.not_after), "end of the first certificate's validity", DATES),
    keyword(
        "tls_cert_expired",
        CERT,
        |s| valid(s, Want::Expired),
        "the first certificate's validity has ended at packet time",
        NO_OPTION,
    ),
    keyword(
        "tls_cert_valid",
        CERT,
        |s| valid(s, Want::Valid),
        "the first certificate's validity covers packet time",
        NO_OPTION,
    ),
    quoted(keyword(
        "tls.subject",
        CERT,
        |s| text(s, Part::Subject),
        "text within the first certificate's subject",
        (TEXT, "\"CN=example.test\"", ""),
    )),
    quoted(keyword(
        "tls.issuerdn",
        CERT,
        |s| text(s, Part::Issuer),
        "text within the first certificate's issuer",
        (TEXT, "!\"CN=Example CA\"", "\"\""),
    )),
    quoted(keyword(
        "tls.fingerprint",
        CERT,
        |s| text(s, Part::Fingerprint),
        "SHA-1 of the first certificate",
        (TEXT, "!\"f3:40\"", "!"),
    )),
    keyword("tls.store", CERT, store, "keep the chain; accepted, and always true", NO_OPTION),
    keyword("tls_store", CERT, store, "the older name of tls.store", NO_OPTION),
];

fn tls(tx: &dyn Transaction) -> Option<&TlsTransaction> {
    tx.as_any().downcast_ref()
}

fn chain(tx: &dyn Transaction, dir: Direction) -> Option<&Chain> {
    tls(tx)?.side(dir).chain.as_deref()
}

/// One of several versions, or with `negated` a known one that is none of them.
#[derive(Debug)]
struct Versions {
    any_of: Vec<Version>,
    negated: bool,
}

impl TxTest for Versions {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        let version = tls(tx).map_or(Version::UNKNOWN, |tx| tx.side(dir).version);
        if version == Version::UNKNOWN {
            return Some(false);
        }
        let is = |wanted: &Version| version == *wanted || *wanted == Version::TLS13 && version.is_13();
        Some(self.any_of.iter().any(is) != self.negated)
    }
}

fn parse_version(option: &str) -> Result<Box<dyn TxTest>, String> {
    let option = option.trim().trim_matches('"');
    let version = match option {
        "1.0" => Version::TLS10,
        "1.1" => Version::TLS11,
        "1.2" => Version::TLS12,
        "1.3" => Version::TLS13,
        _ => option
            .strip_prefix("0x")
            .and_then(|hex| u16::from_str_radix(hex, 16).ok())
            .map(Version)
            .ok_or_else(|| format!("`{option}` is not a version: 1.0, 1.1, 1.2, 1.3 or 0x and four digits"))?,
    };
    Ok(Box::new(Versions { any_of: vec![version], negated: false }))
}

fn parse_ssl_version(option: &str) -> Result<Box<dyn TxTest>, String> {
    let option = option.trim();
    let (negated, list) = option.strip_prefix('!').map_or((false, option), |rest| (true, rest));
    let one = |word: &str| {
        let word = word.trim().trim_start_matches('!');
        Ok(match word.to_ascii_lowercase().as_str() {
            "sslv2" => Version::SSL2,
            "sslv3" => Version::SSL3,
            "tls1.0" => Version::TLS10,
            "tls1.1" => Version::TLS11,
            "tls1.2" => Version::TLS12,
            "tls1.3" => Version::TLS13,
            _ => return Err(format!("`{word}` is not a version: sslv2, sslv3, tls1.0, tls1.1, tls1.2 or tls1.3")),
        })
    };
    let any_of = list.split(',').map(one).collect::<Result<Vec<_>, String>>()?;
    Ok(Box::new(Versions { any_of, negated }))
}

#[derive(Debug)]
struct States {
    any_of: u8,
    negated: bool,
}

impl TxTest for States {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        let Some(tx) = tls(tx) else { return Some(false) };
        if tx.states & self.any_of != 0 {
            return Some(!self.negated);
        }
        if self.negated && tx.states != 0 {
            return Some(true);
        }
        (tx.progress[dir] == Progress::DONE).then_some(false)
    }
}

fn parse_state(option: &str) -> Result<Box<dyn TxTest>, String> {
    let option = option.trim();
    let (negated, list) = option.strip_prefix('!').map_or((false, option), |rest| (true, rest));
    let mut any_of = 0;
    for word in list.split(['|', ',']).map(str::trim) {
        any_of |= match word {
            "client_hello" => state::CLIENT_HELLO,
            "server_hello" => state::SERVER_HELLO,
            "client_keyx" => state::CLIENT_KEYX,
            "server_keyx" => state::SERVER_KEYX,
            "unknown" => state::UNKNOWN,
            _ => {
                return Err(format!(
                    "`{word}` is not a state: client_hello, server_hello, client_keyx, server_keyx or unknown"
                ));
            }
        };
    }
    Ok(Box::new(States { any_of, negated }))
}

#[derive(Debug)]
struct ChainLen(IntMatch);

impl TxTest for ChainLen {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        Some(chain(tx, dir).is_some_and(|c| self.0.matches(c.len() as u64)))
    }
}

fn parse_chain_len(option: &str) -> Result<Box<dyn TxTest>, String> {
    Ok(Box::new(ChainLen(int_test(option, u64::from(u32::MAX), &[])?)))
}

#[derive(Debug)]
struct Dates {
    test: DateTest,
    of: fn(&Certificate) -> i64,
}

#[derive(Debug)]
enum DateTest {
    At(i64),
    Before(i64),
    After(i64),
    Between(i64, i64),
}

impl TxTest for Dates {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        let Some(first) = chain(tx, dir).and_then(|c| c.first.as_ref()) else { return Some(false) };
        let date = (self.of)(first);
        Some(match self.test {
            DateTest::At(at) => date == at,
            DateTest::Before(at) => date <= at,
            DateTest::After(at) => date >= at,
            DateTest::Between(from, to) => from <= date && date <= to,
        })
    }
}

fn dates(option: &str, of: fn(&Certificate) -> i64) -> Result<Box<dyn TxTest>, String> {
    let option = option.trim().trim_matches('"').trim();
    let test = if let Some(rest) = option.strip_prefix('<') {
        DateTest::Before(date(rest)?)
    } else if let Some(rest) = option.strip_prefix('>') {
        DateTest::After(date(rest)?)
    } else if let Some((from, to)) = option.split_once("<>") {
        let (from, to) = (date(from)?, date(to)?);
        if from >= to {
            return Err(format!("`{option}` ends before it begins"));
        }
        DateTest::Between(from, to)
    } else {
        DateTest::At(date(option)?)
    };
    Ok(Box::new(Dates { test, of }))
}

/// Seconds since 1970 of a date whose parts may be left out from the right.
fn date(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let wrong = || format!("`{text}` is not a date such as 2015, 2015-06, 2015-06-30 or 2015-06-30T12:00:00");
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let number = |s: &str, digits: usize| {
        s.parse::<i64>().ok().filter(|_| s.len() == digits && s.bytes().all(|b| b.is_ascii_digit())).ok_or_else(wrong)
    };
    let mut parts = day.split('-');
    let year = number(parts.next().unwrap_or(""), 4)?;
    let month = parts.next().map_or(Ok(1), |s| number(s, 2))?;
    let day = parts.next().map_or(Ok(1), |s| number(s, 2))?;
    let mut clock = time.split(':');
    let hour = number(clock.next().unwrap_or(""), 2)?;
    let minute = clock.next().map_or(Ok(0), |s| number(s, 2))?;
    let second = clock.next().map_or(Ok(0), |s| number(s, 2))?;
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if parts.next().is_some() || clock.next().is_some() || !in_range {
        return Err(wrong());
    }
    Ok(days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Expired,
    Valid,
}

#[derive(Debug)]
struct Validity(Want);

impl TxTest for Validity {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        let Some(chain) = chain(tx, dir) else { return Some(false) };
        let Some(first) = &chain.first else { return Some(false) };
        let now = i64::try_from(chain.at.secs()).unwrap_or(i64::MAX);
        Some(match self.0 {
            Want::Expired => first.not_after < now,
            Want::Valid => first.not_before <= now && now <= first.not_after,
        })
    }
}

fn valid(option: &str, want: Want) -> Result<Box<dyn TxTest>, String> {
    no_option(option)?;
    Ok(Box::new(Validity(want)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Subject,
    Issuer,
    Fingerprint,
}

#[derive(Debug)]
struct Contains {
    part: Part,
    text: Vec<u8>,
    negated: bool,
}

impl TxTest for Contains {
    fn matches(&self, tx: &dyn Transaction, dir: Direction) -> Option<bool> {
        let Some(chain) = chain(tx, dir) else { return Some(false) };
        let found = match (self.part, &chain.first) {
            (Part::Subject, Some(first)) => contains(&first.subject, &self.text),
            (Part::Issuer, Some(first)) => contains(&first.issuer, &self.text),
            (Part::Fingerprint, _) => chain.fingerprint().is_some_and(|f| f.as_bytes() == self.text),
            (_, None) => return Some(false),
        };
        Some(found != self.negated)
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

fn text(option: &str, part: Part) -> Result<Box<dyn TxTest>, String> {
    let option = option.trim();
    let (negated, rest) = option.strip_prefix('!').map_or((false, option), |rest| (true, rest.trim_start()));
    let rest = rest.strip_prefix('"').and_then(|r| r.strip_suffix('"')).unwrap_or(rest);
    if rest.is_empty() {
        return Err("there is no text to look for".into());
    }
    let mut text = rest.as_bytes().to_vec();
    if part == Part::Fingerprint {
        text.make_ascii_lowercase();
    }
    Ok(Box::new(Contains { part, text, negated }))
}

#[derive(Debug)]
struct Always;

impl TxTest for Always {
    fn matches(&self, _: &dyn Transaction, _: Direction) -> Option<bool> {
        Some(true)
    }
}

fn store(option: &str) -> Result<Box<dyn TxTest>, String> {
    no_option(option)?;
    Ok(Box::new(Always))
}

fn no_option(option: &str) -> Result<(), String> {
    if option.trim().is_empty() { Ok(()) } else { Err(format!("`{option}`: this keyword takes no option")) }
}
