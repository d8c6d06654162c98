//! What rules and logs want of the first certificate of a chain.
//!
//! The certificate is read as X.509 v3 DER; one that does not parse is an event that says which part is broken, and the
//! chain's bytes stay there for `tls.certs` and the fingerprint.

use super::event;
use crate::applayer::EventId;
use sha1::{Digest, Sha1};
use std::fmt::Write;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Names of one certificate shown; real ones have some hundred at most.
const ALT_NAMES_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub struct Certificate {
    /// `C=US, O=Example, CN=example.test`
    pub subject: Box<[u8]>,
    pub issuer: Box<[u8]>,
    /// `0C:00:99`
    pub serial: Box<[u8]>,
    /// Seconds since 1970, possibly before.
    pub not_before: i64,
    pub not_after: i64,
    pub alt_names: Vec<Box<[u8]>>,
}

impl Certificate {
    pub fn read(der: &[u8]) -> Result<Certificate, EventId> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|e| broken_part(&e))?;
        let alt_names = match cert.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().take(ALT_NAMES_MAX).map(alt_name).collect(),
            _ => Vec::new(),
        };
        Ok(Certificate {
            subject: cert.subject().to_string().into_bytes().into(),
            issuer: cert.issuer().to_string().into_bytes().into(),
            serial: hex(cert.raw_serial(), true).into_bytes().into(),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            alt_names,
        })
    }

    /// Bytes held beyond the struct.
    pub fn memory(&self) -> usize {
        self.subject.len()
            + self.issuer.len()
            + self.serial.len()
            + self.alt_names.iter().map(|n| n.len() + 16).sum::<usize>()
    }
}

/// SHA-1 of the DER, `90:86:a4:…`.
pub fn fingerprint(der: &[u8]) -> String {
    hex(&Sha1::digest(der), false)
}

/// `2016-09-14T08:20:40` of seconds since 1970 (proleptic Gregorian calendar, UTC).
pub fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01, in eras of 400 years, so that leap days come last.
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Days since 1970-01-01 of a civil date; month and day are in range.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn alt_name(name: &GeneralName<'_>) -> Box<[u8]> {
    let text = match name {
        GeneralName::DNSName(s) | GeneralName::URI(s) => (*s).to_string(),
        GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
        other => other.to_string(),
    };
    text.into_bytes().into()
}

fn broken_part(error: &x509_parser::nom::Err<X509Error>) -> EventId {
    use x509_parser::nom::Err;
    match error {
        Err::Incomplete(_) => event::CERTIFICATE_INVALID_LENGTH,
        Err::Error(e) | Err::Failure(e) => match e {
            X509Error::InvalidVersion => event::CERTIFICATE_INVALID_VERSION,
            X509Error::InvalidSerial => event::CERTIFICATE_INVALID_SERIAL,
            X509Error::InvalidAlgorithmIdentifier => event::CERTIFICATE_INVALID_ALGORITHM,
            X509Error::InvalidX509Name => event::CERTIFICATE_INVALID_NAME,
            X509Error::InvalidDate => event::CERTIFICATE_INVALID_DATE,
            X509Error::InvalidExtensions => event::CERTIFICATE_INVALID_EXTENSIONS,
            X509Error::Der(_) => event::CERTIFICATE_INVALID_DER,
            _ => event::INVALID_CERTIFICATE,
        },
    }
}

fn hex(bytes: &[u8], upper: bool) -> String {
    let mut text = String::with_capacity(3 * bytes.len());
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 {
            text.push(':');
        }
        let _ = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01T00:00:00");
        assert_eq!(date(1_473_841_240), "2016-09-14T08:20:40");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(date(-1), "1969-12-31T23:59:59");
        for day in (-800_000..800_000).step_by(97) {
            let text = date(day * 86_400);
            let part = |r: std::ops::Range<usize>| text[r].parse::<i64>().unwrap();
            if text.len() == 19 && !text.starts_with('-') {
                assert_eq!(days(part(0..4), part(5..7), part(8..10)), day, "{text}");
            }
        }
    }

    #[test]
    fn rubbish_is_an_event() {
        assert!(Certificate::read(b"").is_err());
        assert_eq!(Certificate::read(b"not a certificate").unwrap_err(), event::INVALID_CERTIFICATE);
    }
}
