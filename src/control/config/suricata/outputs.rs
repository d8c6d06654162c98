//! `outputs`: the logs that are written.

use super::rows::{Cx, yes};
use super::tree::Node;
use crate::config::Error;
use crate::config::schema::Document;
use engine::record::Kind;

/// The entries of `outputs`. Of several `eve-log`s the first that is enabled counts.
pub(super) fn apply(_: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let eve = n.items().iter().filter_map(|i| i.get("eve-log")).find(|e| enabled(e, false));
    d.outputs.events = Some(eve.map(types).unwrap_or_default());
    Ok(())
}

fn enabled(n: &Node, unless_told: bool) -> bool {
    n.get("enabled").map_or(unless_told, |e| yes(e).unwrap_or(unless_told))
}

/// The event types of an `eve-log` that this engine can write.
fn types(eve: &Node) -> Vec<String> {
    let mut chosen = Vec::new();
    let Some(types) = eve.get("types") else { return chosen };
    let known: Vec<&str> = Kind::ALL
        .into_iter()
        .filter_map(Kind::event_type)
        .chain(engine::proto::registry::vocabulary().protocols.iter().skip(1).map(|p| p.name))
        .collect();
    let plain = types.items().iter().filter_map(Node::text).map(|t| (t, true));
    let named = types.items().iter().flat_map(Node::entries).map(|(k, n)| (k.as_str(), enabled(n, true)));
    for (name, enabled) in plain.chain(named) {
        let event = if name == "files" { "fileinfo" } else { name };
        if enabled && known.contains(&event) && !chosen.iter().any(|c| c == event) {
            chosen.push(event.to_string());
        }
    }
    chosen
}
