//! Counters: one row each, with the sentence that documents it. Workers own a plain array; nothing is shared.

macro_rules! counters {
    ($($id:ident $name:literal $doc:literal;)*) => {
        /// What is counted. The name is the path in EVE's `stats` record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Counter { $(#[doc = $doc] $id,)* }

        impl Counter {
            pub const ALL: &'static [Counter] = &[$(Counter::$id,)*];
            pub const COUNT: usize = Counter::ALL.len();

            pub const fn name(self) -> &'static str {
                match self { $(Counter::$id => $name,)* }
            }

            pub const fn doc(self) -> &'static str {
                match self { $(Counter::$id => $doc,)* }
            }
        }
    };
}

counters! {
    Packets "decoder.pkts" "frames received";
    Bytes "decoder.bytes" "bytes of frames received, as far as captured";
    DecodeInvalid "decoder.invalid" "packets whose headers did not hold together";
    DecodeEthernet "decoder.ethernet" "Ethernet headers decoded";
    DecodeIpv4 "decoder.ipv4" "IPv4 headers decoded";
    DecodeIpv6 "decoder.ipv6" "IPv6 headers decoded";
    DecodeTcp "decoder.tcp" "TCP segments decoded";
    DecodeUdp "decoder.udp" "UDP datagrams decoded";
    DecodeSctp "decoder.sctp" "SCTP packets decoded";
    DecodeEsp "decoder.esp" "ESP packets decoded";
    DecodeIcmp4 "decoder.icmpv4" "ICMP messages decoded";
    DecodeIcmp6 "decoder.icmpv6" "ICMPv6 messages decoded";
    DecodeIgmp "decoder.igmp" "IGMP messages decoded";
    DecodeArp "decoder.arp" "ARP packets decoded";
    DecodeRaw "decoder.raw" "frames of raw IP";
    DecodeNull "decoder.null" "null/loopback frames";
    DecodeSll "decoder.sll" "Linux cooked frames";
    DecodeSll2 "decoder.sll2" "Linux cooked frames, version 2";
    DecodeChdlc "decoder.chdlc" "Cisco HDLC frames";
    DecodeIeee80211 "decoder.ieee80211" "802.11 frames";
    DecodePpp "decoder.ppp" "PPP headers decoded";
    DecodePppoe "decoder.pppoe" "PPPoE headers decoded";
    DecodeVlan "decoder.vlan" "frames with a VLAN tag";
    DecodeQinq "decoder.vlan_qinq" "frames with a second VLAN tag";
    DecodeQinqinq "decoder.vlan_qinqinq" "frames with a third VLAN tag";
    DecodeVntag "decoder.vntag" "frames with a VN-Tag";
    DecodeEtag "decoder.etag" "frames with an 802.1BR tag";
    DecodeBackbone "decoder.ieee8021ah" "frames with an 802.1ah tag";
    DecodeMpls "decoder.mpls" "MPLS label stacks decoded";
    DecodeNsh "decoder.nsh" "network service headers decoded";
    DecodeGre "decoder.gre" "GRE headers decoded";
    DecodeErspan "decoder.erspan" "ERSPAN headers decoded";
    DecodeVxlan "decoder.vxlan" "VXLAN headers decoded";
    DecodeGeneve "decoder.geneve" "Geneve headers decoded";
    DecodeTeredo "decoder.teredo" "Teredo datagrams decoded";
    DecodeIp4in4 "decoder.ipv4_in_ipv4" "IPv4 packets inside IPv4";
    DecodeIp6in4 "decoder.ipv6_in_ipv4" "IPv6 packets inside IPv4";
    DecodeIp4in6 "decoder.ipv4_in_ipv6" "IPv4 packets inside IPv6";
    DecodeIp6in6 "decoder.ipv6_in_ipv6" "IPv6 packets inside IPv6";
    DecodeUnknownEtherType "decoder.unknown_ethertype" "frames whose EtherType is not known";
    PacketSizeMax "decoder.max_pkt_size" "bytes of the largest frame";
    SctpInit "sctp.init" "SCTP packets with an INIT chunk";
    SctpInitAck "sctp.init_ack" "SCTP packets with an INIT ACK chunk";
    SctpData "sctp.data" "SCTP packets with a DATA chunk";
    SctpAbort "sctp.abort" "SCTP packets with an ABORT chunk";
    SctpShutdown "sctp.shutdown" "SCTP packets with a SHUTDOWN chunk";
    DecodeTooManyLayers "decoder.too_many_layers" "packets with more layers than are decoded";
    ChecksumInvalid "decoder.checksum_invalid" "packets whose checksum was wrong, where checked";
    DefragFragments "defrag.ipv4.fragments" "IPv4 fragments seen";
    DefragReassembled "defrag.ipv4.reassembled" "IPv4 datagrams put together";
    DefragFragments6 "defrag.ipv6.fragments" "IPv6 fragments seen";
    DefragReassembled6 "defrag.ipv6.reassembled" "IPv6 datagrams put together";
    DefragMemcap "defrag.max_trackers_reached" "fragments that found no room";
    DefragNoFragments "defrag.max_frags_reached" "fragments past the number that is held";
    DefragReuse "defrag.tracker_soft_reuse" "datagrams begun anew, the one before having waited too long";
    DefragTimeout "defrag.wrk.tracker_timeout" "datagrams given up for want of fragments";
    DefragMemory "defrag.memuse" "bytes of fragments held";
    FlowNew "flow.total" "flows begun";
    FlowTcp "flow.tcp" "TCP flows begun";
    FlowUdp "flow.udp" "UDP flows begun";
    FlowIcmp "flow.icmpv4" "ICMP and ICMPv6 flows begun";
    FlowEvicted "flow.evicted" "flows ended early to make room";
    FlowMemcap "flow.memcap" "packets that found no room for their flow";
    FlowTimeout "flow.timeout" "flows ended by time-out";
    FlowResynced "flow.resynced" "flows taken up where they stood, packets of theirs having passed unseen";
    StreamSessions "tcp.sessions" "TCP sessions tracked";
    StreamMidstream "tcp.midstream_pickups" "TCP sessions whose beginning was not seen";
    StreamGaps "tcp.reassembly_gap" "gaps that will not be filled";
    StreamOverlaps "tcp.overlap" "segments overlapping bytes already held";
    StreamOverlapDiff "tcp.overlap_diff_data" "overlaps whose bytes differ";
    StreamRewritten "tcp.rewritten" "segments rewritten to the bytes first accepted";
    StreamMemcap "tcp.segment_memcap_drop" "segments that found no room";
    StreamInvalid "tcp.invalid" "segments not valid in their session";
    AppParserErrors "app_layer.errors" "flows an application-layer parser gave up on";
    AppTransactions "app_layer.transactions" "transactions followed to their end";
    AppMemcap "app_layer.memcap" "flows that lost their parser for want of room";
    AppTxOverflow "app_layer.tx_overflow" "transactions closed unfinished to make room";
    AppFramesLost "app_layer.frames_lost" "frames that went uninspected to make room";
    FileStoreErrors "file_store.fs_errors" "files that could not be kept for an error of the file system";
    FileStoreKept "file_store.kept" "files handed out to be kept";
    DetectCandidates "detect.candidates" "signatures the prefilter asked to inspect";
    DetectAlerts "detect.alert" "alerts raised";
    DetectAlertsSuppressed "detect.alerts_suppressed" "alerts withheld by a threshold";
    DetectAlertsOverflow "detect.alert_queue_overflow" "alerts past the bound of one packet";
    DetectParked "detect.parked" "candidates parked for want of data or state";
    DetectParkedOverflow "detect.parked_overflow" "candidates that found no room to wait";
    DetectPcreLimit "detect.pcre_limit" "pcre evaluations ended by their match limit";
    DetectBudget "detect.budget" "rules whose inspection spent its budget of work";
    FlowVarsFull "detect.flow_vars_full" "bits and integers of flows that found no room";
    HostsEvicted "host.evicted" "host entries evicted to make room";
    Forwarded "ips.accepted" "frames forwarded";
    Dropped "ips.blocked" "frames dropped";
    Rejected "ips.rejected" "frames rejected";
    Replaced "ips.replaced" "frames forwarded rewritten";
    Injected "ips.injected" "frames we built and sent";
    DropDecodeError "ips.drop_reason.decode_error" "packets dropped: their headers do not hold together";
    DropDefragMemcap "ips.drop_reason.defrag_memcap" "packets dropped: no room in the defragmenter";
    DropFlowMemcap "ips.drop_reason.flow_memcap" "packets dropped: no room for their flow";
    DropFlow "ips.drop_reason.flow_drop" "packets dropped: a rule dropped their flow";
    DropFlowByPolicy "ips.drop_reason.exception_policy_flow_drop" "packets dropped: an exception policy dropped their flow";
    DropStreamError "ips.drop_reason.stream_error" "packets dropped: not valid in their session";
    DropStreamMemcap "ips.drop_reason.stream_memcap" "packets dropped: no room for their session";
    DropMidstream "ips.drop_reason.stream_midstream" "packets dropped: their session's beginning was not seen";
    DropUrgent "ips.drop_reason.stream_urgent" "packets dropped: urgent data";
    DropReassembly "ips.drop_reason.stream_reassembly" "packets dropped: no room for their bytes";
    DropApplayerError "ips.drop_reason.applayer_error" "packets dropped: a parser gave up on their flow";
    DropRules "ips.drop_reason.rules" "packets dropped or rejected by a rule";
    DropThreshold "ips.drop_reason.threshold_detection_filter" "packets dropped by a rate filter";
    DropInner "ips.drop_reason.tunnel_packet_drop" "packets dropped: a packet inside them was";
    DropChecksum "ips.drop_reason.checksum" "packets dropped: their checksum is wrong";
    DropBlind "ips.drop_reason.blind" "packets dropped: the engine failed on their flow";
    DropBudget "ips.drop_reason.budget" "packets dropped: inspecting them took more work than is allowed";
    BypassedPackets "flow_bypassed.local_pkts" "packets of flows that are followed no more";
    BypassedBytes "flow_bypassed.local_bytes" "their bytes";
    BypassedFlows "flow.bypassed" "flows that began to be bypassed";
    ShedPackets "shed.pkts" "packets forwarded uninspected for want of time";
    ShedBulk "shed.bulk" "of these, of flows past their depth";
    ShedCostly "shed.costly" "of these, of flows that cost more than others";
    ShedRest "shed.all_but_beginnings" "of these, of other flows behind their first bytes";
    ShedFlows "flow.shed" "flows that began to be shed";
    RecordsLost "output.records_lost" "records that found no room in the ring";
    Panics "engine.panics" "packets the engine failed on";
}

/// A worker's own counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters([u64; Counter::COUNT]);

impl Default for Counters {
    fn default() -> Self {
        Counters([0; Counter::COUNT])
    }
}

impl Counters {
    pub fn add(&mut self, c: Counter, n: u64) {
        self.0[c as usize] = self.0[c as usize].wrapping_add(n);
    }

    pub fn inc(&mut self, c: Counter) {
        self.add(c, 1);
    }

    /// Gives a count that is a state its value.
    pub fn set(&mut self, c: Counter, n: u64) {
        self.0[c as usize] = n;
    }

    /// Raises a count that is a largest value.
    pub fn max(&mut self, c: Counter, n: u64) {
        self.0[c as usize] = self.0[c as usize].max(n);
    }

    pub const fn of(&self, c: Counter) -> u64 {
        self.0[c as usize]
    }

    /// Adds every count of `other`: the sum over workers, of a largest value the larger.
    pub fn merge(&mut self, other: &Counters) {
        let largest = self.of(Counter::PacketSizeMax).max(other.of(Counter::PacketSizeMax));
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a = a.wrapping_add(*b);
        }
        self.0[Counter::PacketSizeMax as usize] = largest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_documented() {
        for (i, c) in Counter::ALL.iter().enumerate() {
            assert!(!c.doc().is_empty());
            assert!(!Counter::ALL[..i].iter().any(|o| o.name() == c.name()), "{}", c.name());
        }
    }
}
