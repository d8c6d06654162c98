//! Which event types are logged.

use engine::record::{Kind, Settings};

/// A choice of `event_type`s.
#[derive(Clone, Debug)]
pub struct Events {
    chosen: Vec<String>,
}

/// Types that no protocol owns.
fn general() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().filter_map(Kind::event_type)
}

fn protocols() -> impl Iterator<Item = &'static str> {
    engine::proto::registry::vocabulary().protocols.iter().skip(1).map(|p| p.name)
}

impl Events {
    /// The types named, or every one but `netflow`. The error says which there are.
    pub fn of(wanted: Option<&[String]>) -> Result<Self, String> {
        let Some(wanted) = wanted else {
            let chosen = general().filter(|e| *e != "netflow").chain(protocols()).map(str::to_string).collect();
            return Ok(Events { chosen });
        };
        let mut chosen = Vec::new();
        for name in wanted.iter().map(|w| w.trim()).filter(|w| !w.is_empty()) {
            // Configurations speak of `files`, records of `fileinfo`.
            let name = if name == "files" { "fileinfo" } else { name };
            if !general().chain(protocols()).any(|e| e == name) {
                let all: Vec<_> = general().chain(protocols()).collect();
                return Err(format!("no event type is named {name}; there are {}", all.join(", ")));
            }
            chosen.push(name.to_string());
        }
        Ok(Events { chosen })
    }

    /// What the engine need write at all, where `logged` anything is. Alerts are counted even where they are not logged.
    pub fn settings(&self, logged: bool) -> Settings {
        let has = |name| logged && self.has(name);
        let usual = Settings::usual();
        let chosen = engine::proto::registry::vocabulary().protocols.iter().skip(1).filter(|p| has(p.name));
        Settings {
            drop: usual.drop.filter(|_| has("drop")),
            flow: has("flow"),
            netflow: has("netflow"),
            transactions: chosen.map(|p| p.id).collect(),
            files: usual.files.filter(|_| has("fileinfo")),
            anomaly: usual.anomaly.filter(|_| has("anomaly")),
            stats: usual.stats.filter(|_| has("stats")),
            ..usual
        }
    }

    pub fn has(&self, event_type: &str) -> bool {
        self.chosen.iter().any(|c| c == event_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let all = Events::of(None).unwrap();
        assert!(all.has("alert") && all.has("http") && all.has("stats") && !all.has("netflow"));
        let some = Events::of(Some(&["drop".into(), " files".into()])).unwrap();
        assert!(some.has("drop") && some.has("fileinfo") && !some.has("alert"));
        assert!(Events::of(Some(&["alarm".into()])).unwrap_err().contains("alert"));
    }
}
