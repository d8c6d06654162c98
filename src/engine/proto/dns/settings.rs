//! What an operator may choose about the log of DNS.

use super::rrtype::{RRTYPES, name_of};

/// Ports of servers, on which whatever has a plausible header is taken for DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `detection-ports` over TCP.
    pub tcp_ports: Vec<u16>,
    /// The same over UDP.
    pub udp_ports: Vec<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { tcp_ports: vec![53], udp_ports: vec![53] }
    }
}

/// What the log shows of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// 3: one record a message. 2: the older shape, one record for each question of a request.
    pub version: u8,
    pub requests: bool,
    pub responses: bool,
    /// An entry for each answer (`formats: [detailed]`).
    pub detailed: bool,
    /// Answers by type (`formats: [grouped]`).
    pub grouped: bool,
    /// Types of a message's questions that are logged; all where none is named. See [`LogSettings::types_named`].
    pub types: Option<Vec<u16>>,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { version: 3, requests: true, responses: true, detailed: true, grouped: true, types: None }
    }
}

impl LogSettings {
    /// Questions of this type are logged: one without a name only where nothing of a message is left out.
    pub(super) fn shows(&self, rrtype: u16) -> bool {
        match &self.types {
            Some(types) => types.contains(&rrtype),
            None => {
                self.requests && self.responses && self.detailed && self.grouped || name_of(RRTYPES, rrtype).is_some()
            }
        }
    }

    /// Numbers of the types named, in any case; names that are none come back.
    pub fn types_named<'a>(names: impl IntoIterator<Item = &'a str>) -> (Vec<u16>, Vec<&'a str>) {
        let (mut types, mut unknown) = (Vec::new(), Vec::new());
        for name in names {
            match RRTYPES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
                Some((_, number)) => types.push(u16::try_from(*number).unwrap_or(u16::MAX)),
                None => unknown.push(name),
            }
        }
        (types, unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_and_strangers_told() {
        assert_eq!(LogSettings::types_named(["a", "Txt", "b"]), (vec![1, 16], vec!["b"]));
    }
}
