//! Values back into their spelling, so that a document can be written: what is written reads as what was read.

use super::values::{
    AfterHandshake, Causes, Fingerprints, Groups, Hosts, NetSeconds, Nets, Overlap, PortList, Ports, Size, StreamOs,
    Urgent,
};
use engine::decode::{self, OverlapPolicy};
use engine::proto::Fingerprint;
use engine::stream::{OsPolicy, UrgentPolicy};
use serde::ser::{Serialize, SerializeMap, Serializer};

fn list(ports: impl IntoIterator<Item = u16>) -> String {
    let ports: Vec<String> = ports.into_iter().map(|p| p.to_string()).collect();
    format!("[{}]", ports.join(","))
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.0)
    }
}

impl Serialize for Groups {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            decode::Ports::None => s.serialize_str("none"),
            decode::Ports::Any => s.serialize_str("any"),
            decode::Ports::List(l) => s.serialize_str(&list(l.iter().copied())),
        }
    }
}

impl Serialize for PortList {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&list(self.0.iter().copied()))
    }
}

/// The word of a table that reads as this value.
macro_rules! words {
    ($($ty:ident: $words:expr;)*) => {$(
        impl Serialize for $ty {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let found = $words.into_iter().find(|(_, v)| *v == Some(self.0)).map(|(w, _)| w);
                s.serialize_str(found.unwrap_or_default())
            }
        }
    )*};
}

words! {
    StreamOs: OsPolicy::NAMES.map(|(w, p)| (w, Some(p)));
    Overlap: ["first", "last", "bsd", "bsd-right", "linux", "windows", "solaris"].map(|w| (w, OverlapPolicy::parse(w)));
    Urgent: ["inline", "drop", "oob", "gap"].map(|w| (w, UrgentPolicy::parse(w)));
    AfterHandshake: AfterHandshake::WORDS.map(|w| (w, AfterHandshake::parse(w).map(|a| a.0)));
    Fingerprints: [("yes", Some(Fingerprint::Always)), ("no", Some(Fingerprint::Never)), ("auto", Some(Fingerprint::Auto))];
}

impl Serialize for Hosts {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        for of_one in self.0.chunk_by(|a, b| a.0 == b.0) {
            let nets: Vec<String> = of_one.iter().map(|(_, ip, prefix)| format!("{ip}/{prefix}")).collect();
            map.serialize_entry(of_one.first().map_or("", |h| h.0.as_str()), &nets)?;
        }
        map.end()
    }
}

impl Serialize for Nets {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().map(|(net, prefix)| format!("{net}/{prefix}")))
    }
}

impl Serialize for NetSeconds {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        for (ip, prefix, seconds) in &self.0 {
            map.serialize_entry(&format!("{ip}/{prefix}"), seconds)?;
        }
        map.end()
    }
}

impl Serialize for Causes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        if let Some(all) = self.all {
            map.serialize_entry("all", all.name())?;
        }
        for (cause, policy) in &self.each {
            map.serialize_entry(cause.row().name, policy.name())?;
        }
        map.end()
    }
}
