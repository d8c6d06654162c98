//! Values with their own spelling, each checked where it stands so that an error has a place.

use super::schema::Overlay;
use engine::decode::{self, OverlapPolicy};
use engine::proto::{Encryption, Fingerprint};
use engine::stream::{OsPolicy, UrgentPolicy};
use engine::types::{Cause, ExceptionPolicy};
use serde::Deserialize;
use serde::de::{self as serde_de, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// A count or a number of bytes: `4096`, `64KiB`, `1 MiB`, `2GiB` (`kb`, `mb`, `gb` mean the same).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic() || c.is_whitespace());
        let unit = text.trim().get(digits.len()..)?.trim().to_ascii_lowercase();
        let shift = match unit.as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(1 << shift).map(Size)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Scalar::deserialize(d)?.0;
        Size::parse(&text).ok_or_else(|| {
            serde_de::Error::custom(format!("`{text}` is not a size: write a number such as 4096, 64KiB, 1MiB or 2GiB"))
        })
    }
}

/// Any scalar as its text.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a number")
            }
            fn visit_str<E: serde_de::Error>(self, v: &str) -> Result<Scalar, E> {
                Ok(Scalar(v.into()))
            }
            fn visit_u64<E: serde_de::Error>(self, v: u64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_i64<E: serde_de::Error>(self, v: i64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
        }
        d.deserialize_any(V)
    }
}

/// Text, a number, or a list of them, as the language of address and port groups writes it: `[a,b]`.
struct GroupText(String);

impl<'de> Deserialize<'de> for GroupText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = GroupText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or port group such as \"[10.0.0.0/8,!10.1.0.0/16]\", \"$HOME_NET\", any or 80")
            }
            fn visit_str<E: serde_de::Error>(self, v: &str) -> Result<GroupText, E> {
                if v.trim().is_empty() {
                    return Err(E::custom("an empty group matches nothing: write `any` or leave the key out"));
                }
                Ok(GroupText(v.into()))
            }
            fn visit_u64<E: serde_de::Error>(self, v: u64) -> Result<GroupText, E> {
                Ok(GroupText(v.to_string()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<GroupText, A::Error> {
                let mut parts = Vec::new();
                while let Some(GroupText(part)) = seq.next_element()? {
                    parts.push(part);
                }
                if parts.is_empty() {
                    return Err(serde_de::Error::custom("an empty group matches nothing: write `any`"));
                }
                Ok(GroupText(format!("[{}]", parts.join(","))))
            }
        }
        d.deserialize_any(V)
    }
}

/// Named groups of addresses or ports, in the language of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups(pub BTreeMap<String, String>);

impl Overlay for Groups {
    fn overlay(&mut self, over: Self) {
        self.0.extend(over.0);
    }
}

impl<'de> Deserialize<'de> for Groups {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Groups;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names with their groups")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Groups, A::Error> {
                let mut groups = Groups::default();
                while let Some(name) = map.next_key::<String>()? {
                    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                    if name.is_empty() || !plain {
                        let what = format!("`{name}` cannot name a group: letters, digits and _ can, without the $");
                        return Err(serde_de::Error::custom(what));
                    }
                    let GroupText(value) = map.next_value()?;
                    groups.0.insert(name, value);
                }
                Ok(groups)
            }
        }
        d.deserialize_map(V)
    }
}

/// Ports of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub decode::Ports);

impl Ports {
    /// `none`, `any`, a port, or a list with or without brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let list = match text.trim() {
            "none" => return Some(Ports(decode::Ports::None)),
            "any" => return Some(Ports(decode::Ports::Any)),
            list => list.trim_start_matches('[').trim_end_matches(']'),
        };
        let ports: Result<_, _> = list.split(',').map(|p| p.trim().parse::<u16>()).collect();
        ports.ok().map(|p| Ports(decode::Ports::List(p)))
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let GroupText(text) = GroupText::deserialize(d)?;
        let wrong = || format!("`{text}`: write none, any, a port, or a list such as [4789, 8472]");
        Ports::parse(&text).ok_or_else(|| serde_de::Error::custom(wrong()))
    }
}

/// Ports by number: one, or a list with commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortList(pub Vec<u16>);

impl PortList {
    pub fn parse(text: &str) -> Option<PortList> {
        let list = text.trim().trim_start_matches('[').trim_end_matches(']');
        list.split(',').map(|p| p.trim().parse().ok()).collect::<Option<_>>().map(PortList)
    }
}

impl<'de> Deserialize<'de> for PortList {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let GroupText(text) = GroupText::deserialize(d)?;
        PortList::parse(&text)
            .ok_or_else(|| serde_de::Error::custom(format!("`{text}`: write a port, or a list such as [53, 5300]")))
    }
}

/// What becomes of a flow once it is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterHandshake(pub Encryption);

impl AfterHandshake {
    pub const WORDS: [&'static str; 3] = ["bypass", "track-only", "full"];

    pub fn parse(word: &str) -> Option<AfterHandshake> {
        let choices = [Encryption::Bypass, Encryption::TrackOnly, Encryption::Full];
        Self::WORDS.iter().zip(choices).find(|(w, _)| **w == word).map(|(_, e)| AfterHandshake(e))
    }
}

impl<'de> Deserialize<'de> for AfterHandshake {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        word(d, AfterHandshake::parse, &AfterHandshake::WORDS)
    }
}

/// Whether fingerprints are made: `yes`, `no`, or where a rule asks for them (`auto`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprints(pub Fingerprint);

impl Fingerprints {
    pub fn parse(word: &str) -> Option<Fingerprints> {
        Some(Fingerprints(match word.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => Fingerprint::Always,
            "no" | "false" | "off" | "0" => Fingerprint::Never,
            "auto" => Fingerprint::Auto,
            _ => return None,
        }))
    }
}

impl<'de> Deserialize<'de> for Fingerprints {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        word(d, Fingerprints::parse, &["yes", "no", "auto"])
    }
}

/// A word out of a table.
fn word<'de, D: Deserializer<'de>, T>(
    d: D,
    parse: impl Fn(&str) -> Option<T>,
    allowed: &[&str],
) -> Result<T, D::Error> {
    let text = Scalar::deserialize(d)?.0;
    parse(&text).ok_or_else(|| serde_de::Error::custom(format!("`{text}` is not one of {}", allowed.join(", "))))
}

pub const OS_NAMES: [&str; 14] = [
    "bsd",
    "bsd-right",
    "first",
    "hpux10",
    "hpux11",
    "irix",
    "last",
    "linux",
    "macos",
    "old-linux",
    "solaris",
    "vista",
    "windows",
    "windows2k3",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOs(pub OsPolicy);

impl<'de> Deserialize<'de> for StreamOs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        word(d, OsPolicy::parse, &OS_NAMES).map(StreamOs)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap(pub OverlapPolicy);

impl<'de> Deserialize<'de> for Overlap {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        word(d, OverlapPolicy::parse, &OS_NAMES).map(Overlap)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Urgent(pub UrgentPolicy);

impl<'de> Deserialize<'de> for Urgent {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        word(d, UrgentPolicy::parse, &["inline", "drop", "oob", "gap"]).map(Urgent)
    }
}

/// Operating systems with the address ranges they run on, as in `linux: [10.0.0.0/8, "2001:db8::/32"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(pub Vec<(String, IpAddr, u8)>);

impl Overlay for Hosts {
    fn overlay(&mut self, over: Self) {
        self.0.extend(over.0);
    }
}

impl<'de> Deserialize<'de> for Hosts {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Hosts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("operating systems with their address ranges")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Hosts, A::Error> {
                let mut hosts = Vec::new();
                while let Some(os) = map.next_key::<String>()? {
                    if !OS_NAMES.contains(&os.as_str()) {
                        let what = format!("`{os}` is not one of {}", OS_NAMES.join(", "));
                        return Err(serde_de::Error::custom(what));
                    }
                    for Net(net, prefix) in map.next_value::<Vec<Net>>()? {
                        hosts.push((os.clone(), net, prefix));
                    }
                }
                Ok(Hosts(hosts))
            }
        }
        d.deserialize_map(V)
    }
}

/// Address ranges, each with seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetSeconds(pub Vec<(IpAddr, u8, u32)>);

impl Overlay for NetSeconds {
    fn overlay(&mut self, over: Self) {
        self.0.extend(over.0);
    }
}

impl<'de> Deserialize<'de> for NetSeconds {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = NetSeconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("address ranges with seconds")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NetSeconds, A::Error> {
                let mut all = Vec::new();
                while let Some((Net(net, prefix), seconds)) = map.next_entry::<Net, u32>()? {
                    all.push((net, prefix, seconds));
                }
                Ok(NetSeconds(all))
            }
        }
        d.deserialize_map(V)
    }
}

/// Address ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nets(pub Vec<(IpAddr, u8)>);

impl<'de> Deserialize<'de> for Nets {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let all = Vec::<Net>::deserialize(d)?;
        Ok(Nets(all.into_iter().map(|Net(net, prefix)| (net, prefix)).collect()))
    }
}

struct Net(IpAddr, u8);

impl<'de> Deserialize<'de> for Net {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Scalar::deserialize(d)?.0;
        let wrong = || serde_de::Error::custom(format!("`{text}` is not an address range such as 10.0.0.0/8"));
        net(&text).map(|(ip, prefix)| Net(ip, prefix)).ok_or_else(wrong)
    }
}

/// An address with an optional prefix.
pub fn net(text: &str) -> Option<(IpAddr, u8)> {
    let (net, prefix) = text.split_once('/').map_or((text, None), |(n, p)| (n, Some(p)));
    let net: IpAddr = net.parse().ok()?;
    let most = if net.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Ok(most), str::parse::<u8>).ok()?;
    (prefix <= most).then_some((net, prefix))
}

/// Exception policies chosen by name of their cause; `all` sets every cause that may take the value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    pub all: Option<ExceptionPolicy>,
    pub each: Vec<(Cause, ExceptionPolicy)>,
}

impl Overlay for Causes {
    fn overlay(&mut self, over: Self) {
        if over.all.is_some() {
            *self = Causes { all: over.all, each: Vec::new() };
        }
        self.each.extend(over.each);
    }
}

impl<'de> Deserialize<'de> for Causes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Causes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("causes with their policies, as in `stream-midstream: pass`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Causes, A::Error> {
                let mut causes = Causes::default();
                while let Some(name) = map.next_key::<String>()? {
                    let row = Cause::TABLE.iter().find(|r| r.name == name);
                    if row.is_none() && name != "all" {
                        let names: Vec<_> = Cause::TABLE.iter().map(|r| r.name).collect();
                        let what = format!("`{name}` is not a cause; there are all, {}", names.join(", "));
                        return Err(serde_de::Error::custom(what));
                    }
                    use ExceptionPolicy as E;
                    let allowed = row.map_or(&E::ALL[..], |r| r.allowed);
                    let Scalar(value) = map.next_value()?;
                    let chosen = E::parse(&value).and_then(|p| row.map_or(Some(p), |r| p.for_cause(r.cause)));
                    let policy = chosen.ok_or_else(|| {
                        let words: Vec<_> = allowed.iter().map(|p| p.name()).collect();
                        serde_de::Error::custom(format!(
                            "`{value}` is not a policy of {name}; allowed: {}",
                            words.join(", ")
                        ))
                    })?;
                    match row {
                        Some(r) => causes.each.push((r.cause, policy)),
                        None => causes.all = Some(policy),
                    }
                }
                Ok(causes)
            }
        }
        d.deserialize_map(V)
    }
}
