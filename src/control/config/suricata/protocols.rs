//! `app-layer.protocols`: DNS and TLS. A setting of a transport counts before that of the protocol, but for ports.

use super::rows::{Cx, truth, wrong, yes};
use super::tree::Node;
use crate::config::Error;
use crate::config::schema::Document;
use crate::config::values::{AfterHandshake, Fingerprints, PortList};

pub(super) fn dns(_: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let to = &mut d.app_layer.dns;
    for (transport, on, ports) in [("tcp", &mut to.tcp, &mut to.tcp_ports), ("udp", &mut to.udp, &mut to.udp_ports)] {
        let own = n.get(transport);
        for node in [Some(n), own].into_iter().flatten().filter_map(|n| n.get("enabled")) {
            switch(node, on)?;
        }
        if let Some(list) = [Some(n), own].into_iter().flatten().find_map(|n| n.get("detection-ports")?.get("dp")) {
            *ports = Some(list.text().and_then(PortList::parse).ok_or_else(|| wrong(list, "ports such as 53, 5300"))?);
        }
    }
    Ok(())
}

pub(super) fn tls(_: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let to = &mut d.app_layer.tls;
    if let Some(on) = n.get("enabled") {
        switch(on, &mut to.enabled)?;
    }
    if let Some(n) = n.get("encryption-handling").or_else(|| n.get("encrypt-handling")) {
        let parsed = n.text().and_then(|t| AfterHandshake::parse(t.trim()));
        to.encryption = Some(parsed.ok_or_else(|| wrong(n, "one of bypass, track-only, full"))?);
    }
    for (key, slot) in [("ja3-fingerprints", &mut to.ja3), ("ja4-fingerprints", &mut to.ja4)] {
        if let Some(n) = n.get(key) {
            let parsed = n.text().and_then(|t| Fingerprints::parse(t.trim()));
            *slot = Some(parsed.ok_or_else(|| wrong(n, "yes, no or auto"))?);
        }
    }
    Ok(())
}

/// `yes`, `no`, or a protocol that is only to be named: which this engine does by parsing it.
pub(super) fn switch(n: &Node, slot: &mut Option<bool>) -> Result<(), Error> {
    if yes(n).is_none() && n.text().is_some_and(|t| t.trim() == "detection-only") {
        *slot = Some(true);
        return Ok(());
    }
    truth(n, slot)
}

/// Protocols that are off unless the configuration switches them on.
const OFF_UNLESS_TOLD: &[&str] = &["dnp3", "modbus"];

/// Protocols without a parser: whether rules may name them.
pub(super) fn switched_off(_: &Cx<'_>, n: &Node, d: &mut Document) -> Result<(), Error> {
    let v = engine::proto::registry::vocabulary();
    let mut off = Vec::new();
    for p in v.unparsed {
        let node = n.get(p.name);
        let by_transport = |t: &str| node.and_then(|n| n.get(t)).and_then(|n| n.get("enabled")).and_then(yes);
        let told = node.and_then(|n| n.get("enabled"));
        let on = match told.and_then(|t| yes(t).or_else(|| t.text().map(|t| t.trim() == "detection-only"))) {
            Some(on) => on || by_transport("tcp") == Some(true) || by_transport("udp") == Some(true),
            None => !OFF_UNLESS_TOLD.contains(&p.name),
        };
        if !on {
            off.push(p.name.to_string());
        }
    }
    if n.get("ssh").and_then(|s| s.get("hassh")).and_then(yes) == Some(false) {
        off.push("ssh.hassh".to_string());
    }
    d.app_layer.off = Some(off).filter(|o| !o.is_empty());
    Ok(())
}
