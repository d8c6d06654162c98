//! Protocols rules may name whose traffic nothing here parses yet.
//!
//! Their rules load, so that a ruleset is checked as a whole and nobody edits rules to please us, and never match; the
//! rule language says so once per protocol. A row goes when its protocol's folder arrives.

use crate::applayer::UnparsedProto;

const fn proto(name: &'static str) -> UnparsedProto {
    UnparsedProto { name, aliases: &[], buffers: &[], modifiers: &[], keywords: &[], also: &[], files: false }
}

pub const PROTOCOLS: &[UnparsedProto] = &[
    UnparsedProto {
        keywords: &["ftpbounce", "ftp.dynamic_port", "ftp.mode", "ftp.reply_received"],
        buffers: &["ftp.command", "ftp.command_data", "ftp.reply", "ftp.completion_code"],
        ..proto("ftp")
    },
    UnparsedProto { keywords: &["ftpdata_command"], files: true, ..proto("ftp-data") },
    UnparsedProto {
        buffers: &[
            "smtp.helo",
            "smtp.mail_from",
            "smtp.rcpt_to",
            "email.from",
            "email.subject",
            "email.to",
            "email.cc",
            "email.date",
            "email.message_id",
            "email.x_mailer",
            "email.url",
            "email.received",
            "email.body_md5",
        ],
        files: true,
        ..proto("smtp")
    },
    UnparsedProto {
        buffers: &[
            "ssh.software",
            "ssh.proto",
            "ssh_proto",
            "ssh_software",
            "ssh.hassh",
            "ssh.hassh.string",
            "ssh.hassh.server",
            "ssh.hassh.server.string",
        ],
        keywords: &["ssh.softwareversion", "ssh.protoversion"],
        ..proto("ssh")
    },
    UnparsedProto {
        buffers: &[
            "smb.ntlmssp_user",
            "smb.ntlmssp_domain",
            "smb.share",
            "smb.named_pipe",
            "smb_named_pipe",
            "smb_share",
        ],
        keywords: &["smb.version"],
        files: true,
        ..proto("smb")
    },
    UnparsedProto {
        buffers: &["dcerpc.stub_data", "dce_stub_data"],
        keywords: &["dcerpc.iface", "dce_iface", "dcerpc.opnum", "dce_opnum"],
        ..proto("dcerpc")
    },
    UnparsedProto {
        buffers: &["krb5.cname", "krb5.sname", "krb5_cname", "krb5_sname"],
        keywords: &["krb5_msg_type", "krb5_err_code", "krb5.ticket_encryption", "krb5.weak_encryption"],
        ..proto("krb5")
    },
    UnparsedProto {
        buffers: &["snmp.community", "snmp.usm", "snmp.trap_oid", "snmp.trap_address"],
        keywords: &["snmp.version", "snmp.pdu_type", "snmp.trap_type"],
        ..proto("snmp")
    },
    proto("tftp"),
    UnparsedProto {
        buffers: &[
            "sip.method",
            "sip.uri",
            "sip.protocol",
            "sip.stat_code",
            "sip.stat_msg",
            "sip.request_line",
            "sip.response_line",
            "sip.from",
            "sip.to",
            "sip.via",
            "sip.user_agent",
            "sip.content_type",
            "sip.content_length",
            "sdp.session_name",
            "sdp.session_info",
            "sdp.origin",
            "sdp.uri",
            "sdp.email",
            "sdp.phone_number",
            "sdp.connection_data",
            "sdp.bandwidth",
            "sdp.time",
            "sdp.repeat_time",
            "sdp.timezone",
            "sdp.encryption_key",
            "sdp.attribute",
            "sdp.media.media",
            "sdp.media.media_info",
            "sdp.media.connection_data",
            "sdp.media.encryption_key",
        ],
        ..proto("sip")
    },
    proto("rdp"),
    UnparsedProto { keywords: &["nfs_procedure", "nfs.version"], files: true, ..proto("nfs") },
    UnparsedProto {
        buffers: &[
            "mqtt.unsubscribe.topic",
            "mqtt.subscribe.topic",
            "mqtt.publish.topic",
            "mqtt.publish.message",
            "mqtt.connect.willtopic",
            "mqtt.connect.willmessage",
            "mqtt.connect.username",
            "mqtt.connect.protocol_string",
            "mqtt.connect.password",
            "mqtt.connect.clientid",
        ],
        keywords: &[
            "mqtt.type",
            "mqtt.reason_code",
            "mqtt.connack.session_present",
            "mqtt.qos",
            "mqtt.protocol_version",
            "mqtt.flags",
            "mqtt.connect.flags",
        ],
        ..proto("mqtt")
    },
    UnparsedProto { keywords: &["modbus"], ..proto("modbus") },
    UnparsedProto {
        buffers: &["dnp3.data", "dnp3_data"],
        keywords: &["dnp3_func", "dnp3_ind", "dnp3_obj"],
        ..proto("dnp3")
    },
    UnparsedProto {
        buffers: &["enip.product_name", "enip.service_name"],
        keywords: &[
            "cip_service",
            "enip_command",
            "enip.capabilities",
            "enip.cip_attribute",
            "enip.cip_class",
            "enip.vendor_id",
            "enip.status",
            "enip.state",
            "enip.serial",
            "enip.revision",
            "enip.protocol_version",
            "enip.product_code",
            "enip.identity_status",
            "enip.device_type",
            "enip.cip_status",
            "enip.cip_instance",
            "enip.cip_extendedstatus",
        ],
        ..proto("enip")
    },
    UnparsedProto {
        buffers: &["http2.header_name"],
        keywords: &[
            "http2.frametype",
            "http2.errorcode",
            "http2.priority",
            "http2.window",
            "http2.size_update",
            "http2.settings",
        ],
        also: &["http"],
        files: true,
        ..proto("http2")
    },
    UnparsedProto {
        buffers: &["quic.version", "quic.sni", "quic.ua", "quic.cyu.string", "quic.cyu.hash"],
        ..proto("quic")
    },
    UnparsedProto {
        buffers: &["ike.nonce_payload", "ike.key_exchange_payload", "ike.vendor", "ike.init_spi", "ike.resp_spi"],
        keywords: &[
            "ike.nonce_payload_length",
            "ike.exchtype",
            "ike.chosen_sa_attribute",
            "ike.key_exchange_payload_length",
        ],
        aliases: &["ikev2"],
        ..proto("ike")
    },
    UnparsedProto { buffers: &["rfb.name"], keywords: &["rfb.sectype", "rfb.secresult"], ..proto("rfb") },
    UnparsedProto {
        buffers: &["websocket.payload"],
        keywords: &["websocket.opcode", "websocket.mask", "websocket.flags"],
        ..proto("websocket")
    },
    UnparsedProto { buffers: &["pgsql.query"], ..proto("pgsql") },
    UnparsedProto {
        buffers: &[
            "ldap.request.dn",
            "ldap.responses.dn",
            "ldap.responses.message",
            "ldap.request.attribute_type",
            "ldap.responses.attribute_type",
        ],
        keywords: &[
            "ldap.request.operation",
            "ldap.responses.operation",
            "ldap.responses.count",
            "ldap.responses.result_code",
        ],
        ..proto("ldap")
    },
    UnparsedProto { keywords: &["dhcp.leasetime", "dhcp.rebinding_time", "dhcp.renewal_time"], ..proto("dhcp") },
    UnparsedProto {
        keywords: &["ntp.version", "ntp.mode", "ntp.stratum"],
        buffers: &["ntp.reference_id"],
        ..proto("ntp")
    },
    proto("imap"),
    proto("pop3"),
    proto("telnet"),
    proto("bittorrent-dht"),
    UnparsedProto {
        buffers: &[
            "mdns.queries.rrname",
            "mdns.answers.rrname",
            "mdns.additionals.rrname",
            "mdns.authorities.rrname",
            "mdns.response.rrname",
        ],
        ..proto("mdns")
    },
    UnparsedProto {
        buffers: &[
            "llmnr.queries.rrname",
            "llmnr.answers.rrname",
            "llmnr.additionals.rrname",
            "llmnr.authorities.rrname",
            "llmnr.response.rrname",
        ],
        ..proto("llmnr")
    },
    UnparsedProto { also: &["http", "dns"], ..proto("doh2") },
    proto("irc"),
    proto("jabber"),
    proto("msn"),
    proto("radius"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::registry::vocabulary;

    #[test]
    fn names_are_unique_and_unparsed() {
        let v = vocabulary();
        let (mut seen, mut words) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        for p in PROTOCOLS {
            assert!(v.protocol(p.name).is_none(), "{} has a parser", p.name);
            assert!(seen.insert(p.name), "{}", p.name);
            for word in p.aliases.iter().chain(p.buffers).chain(p.modifiers).chain(p.keywords) {
                assert!(words.insert(word), "{word}");
                assert!(v.sticky(word).is_none() && v.modifier(word).is_none(), "{word} is parsed");
            }
        }
    }
}
