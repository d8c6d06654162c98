//! Every bound of the engine in one place: its name, its default, what happens when it bites.
//!
//! Per worker unless the line says otherwise. A bound that bites raises the counter named beside it. Each has a row in
//! `tests/suites/limits.rs`, which fills it and looks at counter and victim; a field without a row fails there.

/// Sizes in bytes, counts in entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows in the table; past it the cheapest flow by state is evicted (`flow.evicted`).
    pub flows_max: usize,
    /// Datagrams under reassembly; past it `defrag-memcap`.
    pub defrag_datagrams_max: usize,
    /// Bytes of fragments held; past it `defrag-memcap`.
    pub defrag_bytes_max: usize,
    /// Fragments held; past it `defrag-memcap` (`defrag.max_frags_reached`).
    pub defrag_fragments_max: usize,
    /// Bytes of TCP segments held; past it `stream-reassembly-memcap`.
    pub stream_bytes_max: usize,
    /// Out-of-order segments held per direction of a flow; past it the flow takes `stream-reassembly-memcap`.
    pub stream_segments_max: usize,
    /// Bytes of a direction that are reassembled (`stream.reassembly.depth`); 0 is no bound.
    pub stream_depth: u64,
    /// Bytes an application-layer parser may ask to see at once; past it the parser has failed.
    pub parser_pending_max: usize,
    /// Bytes held by application-layer parsers and by detection for their transactions. Past half of it a flow that holds
    /// more than a 4,096th, past the whole any that asks for more, loses its parser (`app_layer.memcap`) and takes
    /// `app-layer-error`.
    pub app_bytes_max: usize,
    /// Candidates parked per flow direction or transaction; past it `parked-overflow`.
    pub parked_max: usize,
    /// Encapsulations in one frame, outermost included.
    pub decode_layers_max: usize,
    /// Entries of the host table (xbits, by-host thresholds).
    pub hosts_max: usize,
    /// Bit and integer variables held by one flow.
    pub flow_vars_max: usize,
    /// Alerts recorded per packet.
    pub alerts_per_packet_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            flows_max: 1 << 18,
            defrag_datagrams_max: 65_535,
            defrag_bytes_max: 32 << 20,
            defrag_fragments_max: 65_535,
            stream_bytes_max: 256 << 20,
            stream_segments_max: 2_048,
            stream_depth: 1 << 20,
            parser_pending_max: 256 << 10,
            app_bytes_max: 256 << 20,
            parked_max: 16,
            decode_layers_max: 16,
            hosts_max: 1 << 16,
            flow_vars_max: 256,
            alerts_per_packet_max: 64,
        }
    }
}
