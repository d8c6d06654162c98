//! Protocol versions on the wire (RFC 6101, 2246, 4346, 5246, 8446 and the drafts of TLS 1.3).

/// As in records and hellos; 0 is "not known yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    pub const UNKNOWN: Version = Version(0);
    pub const SSL2: Version = Version(0x0002);
    pub const SSL3: Version = Version(0x0300);
    pub const TLS10: Version = Version(0x0301);
    pub const TLS11: Version = Version(0x0302);
    pub const TLS12: Version = Version(0x0303);
    pub const TLS13: Version = Version(0x0304);

    /// Any draft of TLS 1.3 before the sixteenth: they used the final number in the server's hello, which TLS 1.3 itself
    /// names in an extension only.
    pub const TLS13_EARLY_DRAFT: Version = Version(0x7f00);

    /// A draft of TLS 1.3 (0x7fnn), or the one a large site used in its place.
    pub fn is_draft(self) -> bool {
        self.0 >> 8 == 0x7f || self.0 == 0xfb1a
    }

    /// TLS 1.3, its drafts included.
    pub fn is_13(self) -> bool {
        self == Version::TLS13 || self.is_draft()
    }

    /// One that a record may carry.
    pub fn valid(self) -> bool {
        (Version::SSL3..=Version::TLS13).contains(&self) || self.is_draft() || self == Version::SSL2
    }

    /// As EVE shows it.
    pub fn name(self) -> String {
        match self {
            Version::UNKNOWN => "UNDETERMINED".into(),
            Version::SSL2 => "SSLv2".into(),
            Version::SSL3 => "SSLv3".into(),
            Version::TLS10 => "TLSv1".into(),
            Version::TLS11 => "TLS 1.1".into(),
            Version::TLS12 => "TLS 1.2".into(),
            Version::TLS13 => "TLS 1.3".into(),
            Version(0xfb1a) => "TLS 1.3 draft-26-fb".into(),
            Version(v @ 0x7f10..=0x7fff) => format!("TLS 1.3 draft-{}", v & 0xff),
            Version(0x7f00..0x7f10) => "TLS 1.3 draft-<16".into(),
            Version(v) => v.to_string(),
        }
    }

    /// The two characters of JA4.
    pub fn ja4(self) -> &'static str {
        match self {
            Version::TLS13 => "13",
            Version::TLS12 => "12",
            Version::TLS11 => "11",
            Version::TLS10 => "10",
            Version::SSL3 => "s3",
            Version::SSL2 => "s2",
            _ => "00",
        }
    }
}

/// Reserved values that clients sprinkle over their lists (RFC 8701): 0x?a?a with equal bytes.
pub fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(Version(0x0301).name(), "TLSv1");
        assert_eq!(Version(0x7f1c).name(), "TLS 1.3 draft-28");
        assert_eq!(Version(0x7f0e).name(), "TLS 1.3 draft-<16");
        assert!(Version(0x7f12).valid() && Version(0x0304).valid() && !Version(0x0305).valid() && !Version(0).valid());
        assert!(is_grease(0x1a1a) && is_grease(0xfafa) && !is_grease(0x1a2a) && !is_grease(0x1301));
    }
}
