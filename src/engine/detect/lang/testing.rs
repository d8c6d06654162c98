//! What tests of rules share: a context with the usual variables, a loader of one text.

use super::{Context, Events, Ruleset, parse_rules};
#[cfg(test)]
use crate::proto::registry::vocabulary;

/// Variables as sample configurations have them; and every event.
pub fn context() -> Context {
    let mut cx = Context::new(vocabulary(), Events::default());
    cx.vars.set_address("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]");
    cx.vars.set_address("EXTERNAL_NET", "!$HOME_NET");
    for name in [
        "HTTP_SERVERS",
        "SMTP_SERVERS",
        "SQL_SERVERS",
        "DNS_SERVERS",
        "TELNET_SERVERS",
        "AIM_SERVERS",
        "DC_SERVERS",
        "DNP3_SERVER",
        "DNP3_CLIENT",
        "MODBUS_CLIENT",
        "MODBUS_SERVER",
        "ENIP_CLIENT",
        "ENIP_SERVER",
    ] {
        cx.vars.set_address(name, "$HOME_NET");
    }
    for (name, ports) in [
        ("HTTP_PORTS", "80"),
        ("SHELLCODE_PORTS", "!80"),
        ("ORACLE_PORTS", "1521"),
        ("SSH_PORTS", "22"),
        ("DNP3_PORTS", "20000"),
        ("MODBUS_PORTS", "502"),
        ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
        ("FTP_PORTS", "21"),
        ("GENEVE_PORTS", "6081"),
        ("VXLAN_PORTS", "4789"),
        ("TEREDO_PORTS", "3544"),
    ] {
        cx.vars.set_port(name, ports);
    }
    cx
}

pub fn load(cx: &Context, text: &str) -> Ruleset {
    parse_rules(text.as_bytes(), "test.rules", cx)
}
