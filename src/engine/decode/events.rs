//! The decode events: one row each, named as rules name them in `decode-event`.
//!
//! Row numbers are what packets carry; they are stable within a build only. Rules also write a leading `decoder.`, as in
//! the names of the statistics: both are found.

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What `decode-event` takes.
    pub name: &'static str,
    /// When it is raised.
    pub doc: &'static str,
}

macro_rules! events {
    ($($id:ident $name:literal $doc:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u16)]
        enum Row { $($id,)* }

        $(#[doc = $doc] pub const $id: u16 = Row::$id as u16;)*

        /// Every event, by number.
        pub const EVENTS: &[Event] = &[$(Event { name: $name, doc: $doc },)*];
    };
}

events! {
    AFPACKET_TRUNC_PKT "afpacket.trunc_pkt" "the capture socket cut the frame short";
    ARP_INVALID_HARDWARE_SIZE "arp.invalid_hardware_size" "ARP hardware address length is not that of its hardware type";
    ARP_INVALID_PKT "arp.invalid_pkt" "ARP packet does not hold together";
    ARP_INVALID_PROTOCOL_SIZE "arp.invalid_protocol_size" "ARP protocol address length is not 4";
    ARP_PKT_TOO_SMALL "arp.pkt_too_small" "bytes end inside the ARP packet";
    ARP_UNSUPPORTED_HARDWARE "arp.unsupported_hardware" "ARP hardware type is not Ethernet";
    ARP_UNSUPPORTED_OPCODE "arp.unsupported_opcode" "ARP operation is not one of the assigned ones";
    ARP_UNSUPPORTED_PROTOCOL "arp.unsupported_protocol" "ARP protocol type is not IPv4";
    CHDLC_PKT_TOO_SMALL "chdlc.pkt_too_small" "bytes end inside the Cisco HDLC header";
    DCE_PKT_TOO_SMALL "dce.pkt_too_small" "bytes end inside the data centre ethernet header";
    ERSPAN_HEADER_TOO_SMALL "erspan.header_too_small" "bytes end inside the ERSPAN header";
    ERSPAN_TOO_MANY_VLAN_LAYERS "erspan.too_many_vlan_layers" "the VLAN of ERSPAN finds no room in the stack";
    ERSPAN_UNSUPPORTED_VERSION "erspan.unsupported_version" "ERSPAN version is not type II";
    ESP_PKT_TOO_SMALL "esp.pkt_too_small" "bytes end inside the ESP header";
    ETAG_HEADER_TOO_SMALL "etag.header_too_small" "bytes end inside the 802.1BR tag";
    ETAG_UNKNOWN_TYPE "etag.unknown_type" "EtherType after the 802.1BR tag is not known";
    ETHERNET_PKT_TOO_SMALL "ethernet.pkt_too_small" "bytes end inside the Ethernet header";
    ETHERNET_UNKNOWN_ETHERTYPE "ethernet.unknown_ethertype" "EtherType is not known";
    GENEVE_UNKNOWN_PAYLOAD_TYPE "geneve.unknown_payload_type" "protocol inside Geneve is not known";
    GRE_PKT_TOO_SMALL "gre.pkt_too_small" "bytes end inside the GRE header";
    GRE_VERSION0_FLAGS "gre.version0_flags" "GRE version 0 with reserved flags set";
    GRE_VERSION0_HDR_TOO_BIG "gre.version0_hdr_too_big" "GRE version 0 header claims more bytes than there are";
    GRE_VERSION0_MALFORMED_SRE_HDR "gre.version0_malformed_sre_hdr" "source route entry of GRE version 0 does not hold together";
    GRE_VERSION0_RECUR "gre.version0_recur" "GRE version 0 with recursion control";
    GRE_VERSION1_CHKSUM "gre.version1_chksum" "GRE version 1 with a checksum, which it does not have";
    GRE_VERSION1_FLAGS "gre.version1_flags" "GRE version 1 with reserved flags set";
    GRE_VERSION1_HDR_TOO_BIG "gre.version1_hdr_too_big" "GRE version 1 header claims more bytes than there are";
    GRE_VERSION1_MALFORMED_SRE_HDR "gre.version1_malformed_sre_hdr" "source route entry of GRE version 1 does not hold together";
    GRE_VERSION1_NO_KEY "gre.version1_no_key" "GRE version 1 without the key it must have";
    GRE_VERSION1_RECUR "gre.version1_recur" "GRE version 1 with recursion control";
    GRE_VERSION1_ROUTE "gre.version1_route" "GRE version 1 with routing, which it does not have";
    GRE_VERSION1_SSR "gre.version1_ssr" "GRE version 1 with strict source routing";
    GRE_VERSION1_WRONG_PROTOCOL "gre.version1_wrong_protocol" "GRE version 1 that does not carry PPP";
    GRE_WRONG_VERSION "gre.wrong_version" "GRE version above 1";
    ICMPV4_IPV4_TRUNC_PKT "icmpv4.ipv4_trunc_pkt" "packet quoted by an ICMP error is cut inside its headers";
    ICMPV4_IPV4_UNKNOWN_VER "icmpv4.ipv4_unknown_ver" "packet quoted by an ICMP error is not IPv4";
    ICMPV4_PKT_TOO_SMALL "icmpv4.pkt_too_small" "bytes end inside the ICMP header";
    ICMPV4_UNKNOWN_CODE "icmpv4.unknown_code" "ICMP code is not assigned for its type";
    ICMPV4_UNKNOWN_TYPE "icmpv4.unknown_type" "ICMP type is not assigned";
    ICMPV6_EXPERIMENTATION_TYPE "icmpv6.experimentation_type" "ICMPv6 type for private experimentation";
    ICMPV6_IPV6_TRUNC_PKT "icmpv6.ipv6_trunc_pkt" "packet quoted by an ICMPv6 error is cut inside its headers";
    ICMPV6_IPV6_UNKNOWN_VERSION "icmpv6.ipv6_unknown_version" "packet quoted by an ICMPv6 error is not IPv6";
    ICMPV6_MLD_MESSAGE_WITH_INVALID_HL "icmpv6.mld_message_with_invalid_hl" "multicast listener message with a hop limit other than 1";
    ICMPV6_PKT_TOO_SMALL "icmpv6.pkt_too_small" "bytes end inside the ICMPv6 header";
    ICMPV6_UNASSIGNED_TYPE "icmpv6.unassigned_type" "ICMPv6 type is not assigned";
    ICMPV6_UNKNOWN_CODE "icmpv6.unknown_code" "ICMPv6 code is not assigned for its type";
    ICMPV6_UNKNOWN_TYPE "icmpv6.unknown_type" "ICMPv6 type is assigned but not known here";
    IEEE8021AH_HEADER_TOO_SMALL "ieee8021ah.header_too_small" "bytes end inside the 802.1ah tag";
    IGMP_MALFORMED "igmp.malformed" "IGMP message does not hold together";
    IGMP_PKT_TOO_SMALL "igmp.pkt_too_small" "bytes end inside the IGMP message";
    IGMP_V3_PKT_TOO_SMALL "igmp.v3_pkt_too_small" "bytes end inside the IGMPv3 message";
    IPRAW_INVALID_IP_VERSION "ipraw.invalid_ip_version" "raw IP frame with a version other than 4 or 6";
    IPV4_FRAG_IGNORED "ipv4.frag_ignored" "fragment not taken for want of room";
    IPV4_FRAG_OVERLAP "ipv4.frag_overlap" "IPv4 fragment overlaps bytes of another";
    IPV4_FRAG_PKT_TOO_LARGE "ipv4.frag_pkt_too_large" "IPv4 fragments reach past 65,535 bytes";
    IPV4_HLEN_TOO_SMALL "ipv4.hlen_too_small" "IPv4 header length below 20";
    IPV4_ICMPV6 "ipv4.icmpv6" "ICMPv6 inside IPv4";
    IPV4_IPLEN_SMALLER_THAN_HLEN "ipv4.iplen_smaller_than_hlen" "IPv4 total length below its header length";
    IPV4_OPT_DUPLICATE "ipv4.opt_duplicate" "IPv4 option given twice";
    IPV4_OPT_EOL_REQUIRED "ipv4.opt_eol_required" "IPv4 option list wants an end of list";
    IPV4_OPT_INVALID "ipv4.opt_invalid" "IPv4 option is not valid";
    IPV4_OPT_INVALID_LEN "ipv4.opt_invalid_len" "IPv4 option length is not valid for its kind";
    IPV4_OPT_MALFORMED "ipv4.opt_malformed" "value of an IPv4 option does not hold together";
    IPV4_OPT_PAD_REQUIRED "ipv4.opt_pad_required" "IPv4 options want padding";
    IPV4_OPT_UNKNOWN "ipv4.opt_unknown" "IPv4 option is not known";
    IPV4_PKT_TOO_SMALL "ipv4.pkt_too_small" "bytes end inside the IPv4 header";
    IPV4_TRUNC_PKT "ipv4.trunc_pkt" "IPv4 total length claims more bytes than there are";
    IPV4_UNKNOWN_PROTOCOL "ipv4.unknown_protocol" "protocol inside IPv4 is not known";
    IPV4_WRONG_IP_VERSION "ipv4.wrong_ip_version" "version of an IPv4 header is not 4";
    IPV6_DATA_AFTER_NONE_HEADER "ipv6.data_after_none_header" "bytes follow the \"no next header\"";
    IPV6_DSTOPTS_ONLY_PADDING "ipv6.dstopts_only_padding" "destination options hold padding alone";
    IPV6_DSTOPTS_UNKNOWN_OPT "ipv6.dstopts_unknown_opt" "destination option is not known";
    IPV6_EXTHDR_AH_RES_NOT_NULL "ipv6.exthdr_ah_res_not_null" "reserved field of an authentication header is not zero";
    IPV6_EXTHDR_DUPL_AH "ipv6.exthdr_dupl_ah" "second authentication header";
    IPV6_EXTHDR_DUPL_DH "ipv6.exthdr_dupl_dh" "third destination options header";
    IPV6_EXTHDR_DUPL_EH "ipv6.exthdr_dupl_eh" "second ESP header";
    IPV6_EXTHDR_DUPL_FH "ipv6.exthdr_dupl_fh" "second fragment header";
    IPV6_EXTHDR_DUPL_HH "ipv6.exthdr_dupl_hh" "second hop-by-hop options header";
    IPV6_EXTHDR_DUPL_RH "ipv6.exthdr_dupl_rh" "second routing header";
    IPV6_EXTHDR_INVALID_OPTLEN "ipv6.exthdr_invalid_optlen" "option of an extension header does not fit it";
    IPV6_EXTHDR_USELESS_FH "ipv6.exthdr_useless_fh" "fragment header of a packet that is whole";
    IPV6_FH_NON_ZERO_RESERVED_FIELD "ipv6.fh_non_zero_reserved_field" "reserved field of a fragment header is not zero";
    IPV6_FRAG_IGNORED "ipv6.frag_ignored" "fragment not taken for want of room";
    IPV6_FRAG_INVALID_LENGTH "ipv6.frag_invalid_length" "length of a fragment that is not the last is no multiple of 8";
    IPV6_FRAG_OVERLAP "ipv6.frag_overlap" "IPv6 fragment overlaps bytes of another";
    IPV6_FRAG_PKT_TOO_LARGE "ipv6.frag_pkt_too_large" "IPv6 fragments reach past 65,535 bytes";
    IPV6_HOPOPTS_ONLY_PADDING "ipv6.hopopts_only_padding" "hop-by-hop options hold padding alone";
    IPV6_HOPOPTS_UNKNOWN_OPT "ipv6.hopopts_unknown_opt" "hop-by-hop option is not known";
    IPV6_ICMPV4 "ipv6.icmpv4" "ICMPv4 inside IPv6";
    IPV6_IPV4_IN_IPV6_TOO_SMALL "ipv6.ipv4_in_ipv6_too_small" "bytes end inside an IPv4 header carried by IPv6";
    IPV6_IPV4_IN_IPV6_WRONG_VERSION "ipv6.ipv4_in_ipv6_wrong_version" "packet carried by IPv6 as IPv4 is not";
    IPV6_IPV6_IN_IPV6_TOO_SMALL "ipv6.ipv6_in_ipv6_too_small" "bytes end inside an IPv6 header carried by IPv6";
    IPV6_IPV6_IN_IPV6_WRONG_VERSION "ipv6.ipv6_in_ipv6_wrong_version" "packet carried by IPv6 as IPv6 is not";
    IPV6_PKT_TOO_SMALL "ipv6.pkt_too_small" "bytes end inside the IPv6 header";
    IPV6_RH_TYPE_0 "ipv6.rh_type_0" "routing header of type 0, deprecated by RFC 5095";
    IPV6_TRUNC_EXTHDR "ipv6.trunc_exthdr" "bytes end inside an extension header";
    IPV6_TRUNC_PKT "ipv6.trunc_pkt" "IPv6 payload length claims more bytes than there are";
    IPV6_UNKNOWN_NEXT_HEADER "ipv6.unknown_next_header" "next header is not known, or not at this place";
    IPV6_WRONG_IP_VERSION "ipv6.wrong_ip_version" "version of an IPv6 header is not 6";
    IPV6_ZERO_LEN_PADN "ipv6.zero_len_padn" "PadN option of length zero";
    LTNULL_PKT_TOO_SMALL "ltnull.pkt_too_small" "bytes end inside the null/loopback header";
    LTNULL_UNSUPPORTED_TYPE "ltnull.unsupported_type" "address family of a null/loopback frame is not known";
    MPLS_BAD_LABEL_IMPLICIT_NULL "mpls.bad_label_implicit_null" "MPLS implicit null label on the wire";
    MPLS_BAD_LABEL_RESERVED "mpls.bad_label_reserved" "MPLS label is reserved";
    MPLS_BAD_LABEL_ROUTER_ALERT "mpls.bad_label_router_alert" "MPLS router alert label at the bottom of the stack";
    MPLS_HEADER_TOO_SMALL "mpls.header_too_small" "bytes end inside the MPLS label stack";
    MPLS_PKT_TOO_SMALL "mpls.pkt_too_small" "bytes end right after the MPLS label stack";
    MPLS_UNKNOWN_PAYLOAD_TYPE "mpls.unknown_payload_type" "what MPLS carries is not known";
    NSH_BAD_HEADER_LENGTH "nsh.bad_header_length" "NSH header length does not fit its kind";
    NSH_HEADER_TOO_SMALL "nsh.header_too_small" "bytes end inside the NSH header";
    NSH_RESERVED_TYPE "nsh.reserved_type" "NSH metadata type is reserved";
    NSH_UNKNOWN_PAYLOAD "nsh.unknown_payload" "protocol inside NSH is not known";
    NSH_UNSUPPORTED_TYPE "nsh.unsupported_type" "NSH metadata type is not known";
    NSH_UNSUPPORTED_VERSION "nsh.unsupported_version" "NSH version is not 0";
    PPP_IP4_PKT_TOO_SMALL "ppp.ip4_pkt_too_small" "bytes end inside an IPv4 header carried by PPP";
    PPP_IP6_PKT_TOO_SMALL "ppp.ip6_pkt_too_small" "bytes end inside an IPv6 header carried by PPP";
    PPP_PKT_TOO_SMALL "ppp.pkt_too_small" "bytes end inside the PPP header";
    PPP_UNSUP_PROTO "ppp.unsup_proto" "PPP protocol is assigned but not inspected";
    PPP_VJU_PKT_TOO_SMALL "ppp.vju_pkt_too_small" "bytes end inside a Van Jacobson uncompressed packet";
    PPP_WRONG_TYPE "ppp.wrong_type" "PPP protocol is not assigned";
    PPPOE_MALFORMED_TAGS "pppoe.malformed_tags" "PPPoE discovery tags do not hold together";
    PPPOE_PKT_TOO_SMALL "pppoe.pkt_too_small" "bytes end inside the PPPoE header";
    PPPOE_WRONG_CODE "pppoe.wrong_code" "PPPoE discovery code is not known";
    SCTP_CHUNK_LEN_INVALID "sctp.chunk_len_invalid" "SCTP chunk length is below 4 or past the packet";
    SCTP_CHUNK_TOO_SMALL "sctp.chunk_too_small" "bytes end inside an SCTP chunk header";
    SCTP_DATA_WITH_ZERO_VTAG "sctp.data_with_zero_vtag" "SCTP data under a verification tag of zero";
    SCTP_INIT_CHUNK_BUNDLED "sctp.init_chunk_bundled" "SCTP INIT together with other chunks";
    SCTP_INIT_WITH_NON_ZERO_VTAG "sctp.init_with_non_zero_vtag" "SCTP INIT under a verification tag other than zero";
    SCTP_PKT_TOO_SMALL "sctp.pkt_too_small" "bytes end inside the SCTP header";
    SCTP_TOO_MANY_CHUNKS "sctp.too_many_chunks" "more SCTP chunks than are walked";
    SCTP_TOO_MANY_DATA_CHUNKS "sctp.too_many_data_chunks" "more SCTP data chunks than are walked";
    SLL_PKT_TOO_SMALL "sll.pkt_too_small" "bytes end inside the Linux cooked header";
    SLL2_PKT_TOO_SMALL "sll2.pkt_too_small" "bytes end inside the Linux cooked header, version 2";
    TCP_HLEN_TOO_SMALL "tcp.hlen_too_small" "TCP header length below 20";
    TCP_INVALID_OPTLEN "tcp.invalid_optlen" "TCP header claims more bytes than there are";
    TCP_OPT_DUPLICATE "tcp.opt_duplicate" "TCP option given twice";
    TCP_OPT_INVALID_LEN "tcp.opt_invalid_len" "TCP option length is not valid for its kind";
    TCP_PKT_TOO_SMALL "tcp.pkt_too_small" "bytes end inside the TCP header";
    UDP_HLEN_INVALID "udp.hlen_invalid" "former name of udp.len_invalid, known to old rules and never raised";
    UDP_HLEN_TOO_SMALL "udp.hlen_too_small" "bytes end inside the UDP header";
    UDP_LEN_INVALID "udp.len_invalid" "UDP length is not that of its packet";
    UDP_PKT_TOO_SMALL "udp.pkt_too_small" "UDP length is more than there are bytes";
    VLAN_HEADER_TOO_SMALL "vlan.header_too_small" "bytes end inside the VLAN tag";
    VLAN_TOO_MANY_LAYERS "vlan.too_many_layers" "more VLAN tags than are kept";
    VLAN_UNKNOWN_TYPE "vlan.unknown_type" "EtherType after the VLAN tag is not known";
    VNTAG_HEADER_TOO_SMALL "vntag.header_too_small" "bytes end inside the VN-Tag";
    VNTAG_UNKNOWN_TYPE "vntag.unknown_type" "EtherType after the VN-Tag is not known";
    VXLAN_UNKNOWN_PAYLOAD_TYPE "vxlan.unknown_payload_type" "frame inside VXLAN is not known";
    TOO_MANY_LAYERS "too_many_layers" "more encapsulations than are decoded";
}

/// The number of the event that a rule calls `name`.
pub fn event_by_name(name: &str) -> Option<u16> {
    let name = name.strip_prefix("decoder.").unwrap_or(name);
    EVENTS.iter().position(|e| e.name == name).and_then(|i| u16::try_from(i).ok())
}

/// The row of event number `event`.
pub fn event(event: u16) -> Option<&'static Event> {
    EVENTS.get(usize::from(event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_documented_and_found() {
        for (i, e) in EVENTS.iter().enumerate() {
            assert!(!e.doc.is_empty(), "{}", e.name);
            assert_eq!(event_by_name(e.name), Some(i as u16), "{} twice", e.name);
            assert_eq!(event(i as u16), Some(e));
        }
        assert_eq!(event_by_name("decoder.ipv4.trunc_pkt"), Some(IPV4_TRUNC_PKT));
        assert_eq!(event_by_name("ipv4.nothing"), None);
        assert_eq!(event(u16::MAX), None);
    }
}
