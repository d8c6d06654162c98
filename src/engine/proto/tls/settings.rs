//! What an operator may choose about TLS: how far it is looked at, whether clients are fingerprinted, what is logged.

/// What becomes of a flow once it is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Nothing of the flow is looked at any more; its packets pass.
    Bypass,
    /// Its segments are followed, its bytes no longer inspected.
    #[default]
    TrackOnly,
    /// Its bytes are inspected as those of any stream.
    Full,
}

/// A fingerprint that costs time: made always, never, or where a rule asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fingerprint {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `encryption-handling`.
    pub encryption: Encryption,
    /// `ja3-fingerprints`.
    pub ja3: Fingerprint,
    /// `ja4-fingerprints`.
    pub ja4: Fingerprint,
}

/// Fields of the `tls` object, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields(u32);

macro_rules! fields {
    ($($konst:ident $bit:literal $name:literal;)*) => {
        impl Fields {
            $(pub const $konst: Fields = Fields(1 << $bit);)*
            /// By the names that a configuration's `custom` gives them.
            pub const NAMES: &'static [(&'static str, Fields)] = &[$(($name, Fields::$konst)),*];
        }
    };
}

fields! {
    VERSION 0 "version";
    SUBJECT 1 "subject";
    ISSUER 2 "issuer";
    SERIAL 3 "serial";
    FINGERPRINT 4 "fingerprint";
    NOT_BEFORE 5 "not_before";
    NOT_AFTER 6 "not_after";
    SNI 7 "sni";
    CERTIFICATE 8 "certificate";
    CHAIN 9 "chain";
    SESSION_RESUMED 10 "session_resumed";
    JA3 11 "ja3";
    JA3S 12 "ja3s";
    CLIENT 13 "client";
    CLIENT_CERTIFICATE 14 "client_certificate";
    CLIENT_CHAIN 15 "client_chain";
    JA4 16 "ja4";
    SUBJECT_ALT_NAME 17 "subjectaltname";
    CLIENT_ALPNS 18 "client_alpns";
    SERVER_ALPNS 19 "server_alpns";
    CLIENT_HANDSHAKE 20 "client_handshake";
    SERVER_HANDSHAKE 21 "server_handshake";
}

impl Fields {
    pub const NONE: Fields = Fields(0);
    /// Without `extended`.
    pub const BASIC: Fields = Fields(Self::SUBJECT.0 | Self::ISSUER.0 | Self::SUBJECT_ALT_NAME.0);
    /// With `extended`, and in alerts.
    pub const EXTENDED: Fields = Fields(
        Self::BASIC.0
            | Self::VERSION.0
            | Self::SERIAL.0
            | Self::FINGERPRINT.0
            | Self::NOT_BEFORE.0
            | Self::NOT_AFTER.0
            | Self::SNI.0
            | Self::JA3.0
            | Self::JA3S.0
            | Self::JA4.0
            | Self::CLIENT.0
            | Self::CLIENT_ALPNS.0
            | Self::SERVER_ALPNS.0,
    );

    pub fn named(name: &str) -> Option<Fields> {
        Self::NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, f)| *f)
    }

    pub const fn with(self, other: Fields) -> Fields {
        Fields(self.0 | other.0)
    }

    pub const fn has(self, field: Fields) -> bool {
        self.0 & field.0 != 0
    }
}

/// What the log shows of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub fields: Fields,
    /// Handshakes that take up an earlier session have a record, and say so (`session-resumption`).
    pub session_resumption: bool,
}

impl LogSettings {
    /// Of a configuration's list of fields (`custom`): names that are none come back.
    pub fn custom<'a>(names: impl IntoIterator<Item = &'a str>) -> (Fields, Vec<&'a str>) {
        let mut unknown = Vec::new();
        let mut fields = Fields::NONE;
        for name in names {
            match Fields::named(name) {
                Some(f) => fields = fields.with(f),
                None => unknown.push(name),
            }
        }
        if fields.has(Fields::CLIENT_CERTIFICATE.with(Fields::CLIENT_CHAIN)) {
            fields = fields.with(Fields::CLIENT);
        }
        (fields, unknown)
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { fields: Fields::EXTENDED, session_resumption: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_fields_are_named_and_strangers_told() {
        let (fields, unknown) = LogSettings::custom(["SNI", "client_chain", "colour"]);
        assert!(fields.has(Fields::SNI) && fields.has(Fields::CLIENT) && !fields.has(Fields::VERSION));
        assert_eq!(unknown, ["colour"]);
    }

    #[test]
    fn each_field_has_its_own_bit() {
        let all = Fields::NAMES.iter().fold(0u32, |bits, (name, f)| {
            assert_eq!(bits & f.0, 0, "{name}");
            bits | f.0
        });
        assert_eq!(all.count_ones() as usize, Fields::NAMES.len());
    }
}
