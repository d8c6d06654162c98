//! The configuration as written: every key typed and optional, unknown keys refused.
//!
//! A file and each `--set` give one [`Document`]; later ones are laid over earlier ones, key by key.

use super::lists::Sets;
use super::outputs::written::Outputs;
use super::run::RunSection;
use super::values::{
    AfterHandshake, Causes, Fingerprints, Groups, Hosts, NetSeconds, Overlap, PortList, Ports, Size, StreamOs, Urgent,
};
use serde::Deserialize;

/// A value that another of its kind may be laid over.
pub trait Overlay {
    /// Takes over what `over` says.
    fn overlay(&mut self, over: Self);
}

impl<T> Overlay for Option<T> {
    fn overlay(&mut self, over: Self) {
        if over.is_some() {
            *self = over;
        }
    }
}

/// Nothing is said of a key.
pub(crate) fn unsaid<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A section of typed, optional keys.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub struct $name {
            $($(#[$field_meta])* #[serde(skip_serializing_if = "crate::config::schema::unsaid")] pub $field: $ty,)*
        }

        impl Overlay for $name {
            fn overlay(&mut self, over: Self) {
                let _ = &over;
                $($crate::config::schema::Overlay::overlay(&mut self.$field, over.$field);)*
            }
        }
    };
}
pub(crate) use section;

section! {
    /// A whole configuration.
    Document {
        vars: Vars,
        decode: Decode,
        defrag: Defrag,
        flow: Flow,
        stream: Stream,
        app_layer: AppLayer,
        rules: Rules,
        limits: LimitsSection,
        outputs: Outputs,
        file_store: FileStore,
        /// In which order rules of different actions count: pass, drop, reject, alert unless told.
        action_order: Option<Vec<String>>,
        /// What happens to traffic the engine cannot see into, by cause.
        exception_policies: Causes,
        /// Whether packets with wrong checksums count as what their receiver would discard.
        checksums: Option<Checksums>,
        /// Names and priorities of `classtype`.
        classification_file: Option<String>,
        /// Prefixes of `reference`.
        reference_file: Option<String>,
        /// Suppressions, thresholds and rate filters laid over the rules.
        threshold_file: Option<String>,
        /// Where rules may keep what they learn.
        data_dir: Option<String>,
        datasets: Datasets,
        reputation: Reputation,
        run: RunSection,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksums {
    /// Verify; a wrong one makes the packet invalid.
    All,
    /// Never look.
    None,
}

section! {
    /// Variables of rules.
    Vars {
        /// The groups that are there without being written (`HOME_NET`, …).
        defaults: Option<bool>,
        address_groups: Groups,
        port_groups: Groups,
    }
}

section! {
    /// Sets of values that rules look up.
    Datasets {
        /// Rules may name files to write (`save`, `state`), …
        rules_may_write: Option<bool>,
        /// … also outside of `data-dir`.
        rules_write_anywhere: Option<bool>,
        /// Bytes of a set for which nothing is said.
        memcap: Option<Size>,
        hash_size_max: Option<Size>,
        hash_sizes_max: Option<Size>,
        sets: Sets,
    }
}

section! {
    /// Scores of addresses that `iprep` asks about.
    Reputation {
        categories_file: Option<String>,
        files: Option<Vec<String>>,
    }
}

section! {
    Decode {
        /// UDP ports of tunnels: `none`, `any`, a port or a list.
        vxlan_ports: Option<Ports>,
        vxlan_strict: Option<bool>,
        geneve_ports: Option<Ports>,
        teredo_ports: Option<Ports>,
        /// Equal tuples in tunnels of different depth are different flows and datagrams.
        use_depth: Option<bool>,
    }
}

section! {
    Defrag {
        /// Overlap policies of receivers, by address range.
        hosts: Hosts,
        /// Seconds a datagram waits for its fragments.
        timeout: Option<u32>,
        /// Overlap policy of receivers that `hosts` does not name.
        policy: Option<Overlap>,
        use_vlan: Option<bool>,
        /// Seconds for some destinations, by address range.
        timeouts: NetSeconds,
    }
}

section! {
    Flow {
        timeouts: Timeouts,
        /// Equal tuples on different VLANs are different flows.
        use_vlan: Option<bool>,
        /// Equal tuples on different port pairs are different flows.
        use_port_pair: Option<bool>,
    }
}

section! {
    /// Seconds a silent flow is kept.
    Timeouts {
        tcp: ProtoTimeouts,
        udp: ProtoTimeouts,
        icmp: ProtoTimeouts,
        other: ProtoTimeouts,
    }
}

section! {
    ProtoTimeouts {
        new: Option<u32>,
        established: Option<u32>,
        closed: Option<u32>,
        bypassed: Option<u32>,
    }
}

section! {
    Stream {
        /// Operating systems of receivers, by address range.
        hosts: Hosts,
        reassembly: Reassembly,
        /// Follow sessions whose beginning was not seen.
        midstream: Option<bool>,
        /// Follow sessions of which one direction alone is seen.
        async_oneside: Option<bool>,
        /// Read streams as they pass, not as they were acknowledged; always so when enforcing.
        inline: Option<bool>,
        urgent: Option<Urgent>,
        /// What urgent bytes are once a direction has had more of them than are remembered.
        urgent_limit: Option<Urgent>,
        /// Operating system of receivers that `hosts` does not name.
        policy: Option<StreamOs>,
        /// A session that reached the depth is followed no more.
        bypass: Option<bool>,
        /// Timestamps one older than the latest are taken.
        liberal_timestamps: Option<bool>,
        /// Different SYNs a client may send before one is answered.
        syn_max: Option<u8>,
        synack_max: Option<u8>,
    }
}

section! {
    Reassembly {
        /// Bytes of a direction that are reassembled; 0 is no bound.
        depth: Option<Size>,
        /// The depth ends every application layer; else those that tell transactions apart go on past it.
        depth_ends_all: Option<bool>,
        /// Rules without a buffer see the reassembled stream.
        raw: Option<bool>,
    }
}

section! {
    AppLayer {
        http: Http,
        dns: Dns,
        tls: Tls,
        /// Protocols without a parser, and keywords, that are off: rules that name one are refused.
        off: Option<Vec<String>>,
    }
}

section! {
    /// Rules of a run that names none.
    Rules {
        /// Files or patterns.
        files: Option<Vec<String>>,
    }
}

section! {
    /// DNS, over either transport.
    Dns {
        /// Looked for at all.
        tcp: Option<bool>,
        udp: Option<bool>,
        /// Ports on which whatever has a plausible header is taken for it.
        tcp_ports: Option<PortList>,
        udp_ports: Option<PortList>,
    }
}

section! {
    /// TLS and SSL.
    Tls {
        /// Looked for at all.
        enabled: Option<bool>,
        /// What becomes of a flow once it is encrypted.
        encryption: Option<AfterHandshake>,
        /// Whether clients and servers are fingerprinted.
        ja3: Option<Fingerprints>,
        ja4: Option<Fingerprints>,
    }
}

section! {
    /// HTTP/1.
    Http {
        /// Looked for at all.
        enabled: Option<bool>,
        /// Decoded bytes of a body that are kept and inspected.
        request_body_limit: Option<Size>,
        response_body_limit: Option<Size>,
        /// Bytes of one request, status, header or chunk line.
        field_limit: Option<Size>,
        /// Different header names of a message.
        headers_max: Option<Size>,
        header_block_max: Option<Size>,
        transactions_max: Option<Size>,
        /// Body bytes a flow may hold.
        held_max: Option<Size>,
        request_decompression: Option<bool>,
        response_decompression: Option<bool>,
        /// Content encodings undone one after the other.
        layers_max: Option<Size>,
        /// Decoded bytes from which a body may be a bomb, and how many of them for one received make it one.
        bomb_bytes: Option<Size>,
        bomb_ratio: Option<Size>,
        bombs_max: Option<u8>,
        /// Hashes of files.
        md5: Option<bool>,
        sha1: Option<bool>,
        sha256: Option<bool>,
    }
}

section! {
    /// Bounds of one worker.
    LimitsSection {
        flows_max: Option<Size>,
        defrag_datagrams_max: Option<Size>,
        defrag_bytes_max: Option<Size>,
        defrag_fragments_max: Option<Size>,
        stream_bytes_max: Option<Size>,
        stream_segments_max: Option<Size>,
        parser_pending_max: Option<Size>,
        app_bytes_max: Option<Size>,
        parked_max: Option<Size>,
        decode_layers_max: Option<Size>,
        hosts_max: Option<Size>,
        flow_vars_max: Option<Size>,
        alerts_per_packet_max: Option<Size>,
    }
}

section! {
    /// Where files are kept.
    FileStore {
        enabled: Option<bool>,
        /// Relative to the log directory; `filestore` unless told.
        dir: Option<String>,
        /// Every file, not only those a rule asks for.
        all: Option<bool>,
        /// The record of each file beside it.
        fileinfo: Option<bool>,
    }
}
