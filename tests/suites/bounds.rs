//! Constants that bound what input may make the program hold or do, beside the `Limits` of suite `limits`.
//!
//! One row for each constant named `…_MAX…` of the engine, the configuration, the captures and the matcher, found by
//! reading the sources: one without a row fails here, and so does a row whose constant or test is gone.

use harness::craft::{Conversation, udp};
use harness::engine::{ruleset, run, watching};
use std::path::{Path, PathBuf};

/// How a bound is shown to hold.
enum Shown {
    /// By a test beside the code: its file and name.
    By(&'static str, &'static str),
    /// A rule of this measure loads, one of a measure more is refused.
    Rule(fn(usize) -> String, usize),
    /// By filling it here.
    Here(fn()),
    /// It chooses between ways of the same answer, or sizes memory that is kept; what the answers are compared by.
    SameAnswer(&'static str),
}

use Shown::{By, Here, Rule, SameAnswer};

type Row = (&'static str, &'static str, Shown);

/// A rule with these options.
fn with(options: &str) -> String {
    format!("alert tcp any any -> any any (msg:\"x\"; {options} sid:1;)\n")
}

const EVASION: &str = "src/engine/proto/http/tests/evasion.rs";
const DNS: &str = "src/engine/proto/dns/tests.rs";
const INFLATE: &str = "src/engine/applayer/inflate.rs";
const SESSION: &str = "src/engine/session.rs";
const ODD: &str = "src/engine/decode/odd_tests.rs";
const HTTP_LOG: &str = "src/engine/proto/http/log.rs";
const TLS: &str = "src/engine/proto/tls/tests.rs";

const NO_ROOM: &str = "what_another_worker_has_no_room_for_stays_to_be_settled";
const SHAPE: &str = "no_more_queues_and_workers_than_the_tables_hold";

const ROWS: &[Row] = &[
    (
        "src/capture/blocks.rs",
        "WINDOW_MAX",
        By("src/capture/tests.rs", "an_unknown_block_longer_than_the_window_is_skipped"),
    ),
    ("src/capture/lib.rs", "FRAME_BYTES_MAX", Here(a_record_too_long)),
    ("src/capture/lib.rs", "BLOCK_BYTES_MAX", Here(a_block_too_long)),
    ("src/capture/ng.rs", "INTERFACES_MAX", Here(too_many_interfaces)),
    ("src/capture/open.rs", "XZ_MEMORY_MAX", By("src/capture/tests.rs", "an_xz_window_too_large_is_refused")),
    ("src/capture/open.rs", "ZSTD_WINDOW_MAX", By("src/capture/tests.rs", "a_zstd_window_too_large_is_refused")),
    ("src/capture/packet/device.rs", "HANDED_MAX", By("src/capture/packet/device.rs", NO_ROOM)),
    (
        "src/capture/packet/mend.rs",
        "DATAGRAMS_MAX",
        By("src/capture/packet/mend.rs", "joined_datagrams_are_cut_as_they_were"),
    ),
    (
        "src/capture/packet/device.rs",
        "DRY_MAX",
        By("src/capture/packet/device.rs", "a_ring_that_only_loses_is_given_up"),
    ),
    ("src/capture/packet/device.rs", "HANDED_LARGE_MAX", By("src/capture/packet/device.rs", NO_ROOM)),
    ("src/capture/packet/tap.rs", "HANDED_MAX", By("src/capture/packet/tap.rs", NO_ROOM)),
    (
        "src/capture/packet/tap.rs",
        "TAPS_MAX",
        By("src/capture/packet/tap.rs", "more_ports_than_can_be_waited_for_are_refused"),
    ),
    ("src/capture/xdp/device.rs", "HANDED_MAX", By("src/capture/xdp/device.rs", NO_ROOM)),
    ("src/capture/xdp/layout.rs", "FLOWS_MAX", By("src/capture/xdp/bump.rs", "the_least_recent_flows_make_room")),
    (
        "src/capture/xdp/layout.rs",
        "TRUSTED_MAX",
        By("src/capture/xdp/bump.rs", "too_many_trusted_networks_are_refused_and_change_nothing"),
    ),
    ("src/capture/xdp/layout.rs", "QUEUES_MAX", By("src/capture/xdp/device.rs", SHAPE)),
    ("src/capture/xdp/layout.rs", "WORKERS_MAX", By("src/capture/xdp/device.rs", SHAPE)),
    (
        "src/control/config/suricata/mod.rs",
        "INCLUDES_MAX",
        By("src/control/config/suricata/tests.rs", "includes_are_laid_under_what_follows"),
    ),
    ("src/control/config/suricata/rows.rs", "ALERTS_MAX", Here(alerts_of_a_packet_by_default)),
    (
        "src/control/config/suricata/tree.rs",
        "NODES_MAX",
        By("src/control/config/suricata/tests.rs", "absurd_documents_end"),
    ),
    ("src/control/config/suricata/tree.rs", "INDEX_MAX", Here(a_list_position_too_far)),
    (
        "src/control/cache/mod.rs",
        "BYTES_MAX_DEFAULT",
        By("src/control/cache/tests.rs", "the_sum_is_bounded_and_the_oldest_goes"),
    ),
    (
        "src/engine/action/reply.rs",
        "ICMP4_BYTES_MAX",
        By("src/engine/action/tests.rs", "unreachable_quotes_what_its_receiver_sent"),
    ),
    (
        "src/engine/action/reply.rs",
        "ICMP6_BYTES_MAX",
        By("src/engine/action/tests.rs", "unreachable_quotes_what_its_receiver_sent"),
    ),
    (
        "src/engine/applayer/files.rs",
        "NAME_MAX",
        By("src/engine/applayer/files.rs", "a_file_with_a_hole_is_known_by_the_bytes_that_came"),
    ),
    ("src/engine/applayer/files.rs", "KEPT_MAX", By("src/engine/applayer/files.rs", "what_rules_asked_to_keep")),
    (
        "src/engine/applayer/frames.rs",
        "FRAMES_MAX",
        By("src/engine/applayer/frames.rs", "the_oldest_go_where_there_are_too_many"),
    ),
    (INFLATE, "LAYERS_MAX", By(INFLATE, "so_many_layers_are_undone")),
    (INFLATE, "HEAD_MAX", By(INFLATE, "what_breaks_late_is_not_begun_again")),
    (SESSION, "SILENCED_MAX", By(SESSION, "an_answer_goes_with_its_question_and_the_oldest_is_forgotten")),
    (
        "src/engine/applayer/session.rs",
        "DETECT_BYTES_MAX",
        By("src/engine/applayer/session.rs", "gives_up_when_both_refuse_or_one_is_long"),
    ),
    (
        "src/engine/applayer/take_up.rs",
        "RESTARTS_MAX",
        By("tests/suites/resync.rs", "what_looked_like_a_request_and_was_none_is_no_error_so_many_times"),
    ),
    (
        "src/engine/decode/defrag/datagram.rs",
        "PIECES_MAX",
        By("src/engine/decode/defrag/tests.rs", "pieces_of_a_datagram_are_bounded"),
    ),
    ("src/engine/decode/mod.rs", "PACKETS_MAX", By(ODD, "a_chain_of_datagrams_in_datagrams_ends")),
    ("src/engine/decode/packet.rs", "EVENTS_MAX", By(ODD, "events_repeat_and_are_bounded")),
    ("src/engine/decode/transport.rs", "SCTP_CHUNKS_MAX", By(ODD, "transports")),
    (
        "src/engine/detect/inspect/gather.rs",
        "CAPTURE_BYTES_MAX",
        By("src/engine/detect/inspect/gather.rs", "a_capture_is_cut"),
    ),
    ("src/engine/detect/inspect/gather.rs", "PACKET_VARS_MAX", Here(too_many_captures)),
    (
        "src/engine/detect/inspect/mod.rs",
        "STEPS_MAX",
        By("src/engine/detect/inspect/tests.rs", "work_is_bounded_and_running_out_is_an_exception"),
    ),
    ("src/engine/detect/inspect/tx.rs", "INSTANCES_MAX", Here(too_many_instances)),
    (
        "src/engine/detect/keywords/asn1.rs",
        "ELEMENTS_MAX",
        By("src/engine/detect/keywords/asn1.rs", "deep_and_long_input_ends"),
    ),
    (
        "src/engine/detect/keywords/asn1.rs",
        "DEPTH_MAX",
        By("src/engine/detect/keywords/asn1.rs", "deep_and_long_input_ends"),
    ),
    (
        "src/engine/detect/keywords/base64.rs",
        "BYTES_MAX",
        Rule(|n| with(&format!("base64_decode:bytes {n}; base64_data; content:\"x\";")), 65_535),
    ),
    (
        "src/engine/detect/keywords/content_bytes.rs",
        "CONTENT_BYTES_MAX",
        Rule(|n| with(&format!("content:\"{}\";", "a".repeat(n))), 65_535),
    ),
    (
        "src/engine/detect/keywords/hash_lists.rs",
        "ENTRIES_MAX",
        By("src/engine/detect/keywords/hash_lists.rs", "a_list_too_long_is_refused"),
    ),
    ("src/engine/detect/keywords/isdataat.rs", "AT_MAX", Rule(|n| with(&format!("isdataat:{n};")), 65_535)),
    (
        "src/engine/detect/keywords/modifiers.rs",
        "PLACE_MAX",
        Rule(|n| with(&format!("content:\"x\"; offset:{n};")), 65_535),
    ),
    (
        "src/engine/detect/keywords/modifiers.rs",
        "RELATIVE_MAX",
        Rule(|n| with(&format!("content:\"x\"; content:\"y\"; distance:{n};")), 1 << 20),
    ),
    ("src/engine/detect/keywords/pcre.rs", "CAPTURES_MAX", Rule(captures, 8)),
    ("src/engine/detect/keywords/vlan.rs", "ID_MAX", Rule(|n| with(&format!("vlan.id:{n};")), 4_095)),
    (
        "src/engine/detect/lang/builder.rs",
        "SLOTS_MAX",
        Rule(|n| with(&(0..n).map(|i| format!("byte_extract:1,0,v{i};")).collect::<String>()), 64),
    ),
    (
        "src/engine/detect/lang/builder.rs",
        "TRANSFORMS_MAX",
        Rule(|n| with(&format!("file.data; {} content:\"x\";", "to_lowercase;".repeat(n))), 16),
    ),
    (
        "src/engine/detect/lang/context.rs",
        "LENGTH_MAX",
        By("src/engine/detect/lang/context.rs", "nothing_is_near_a_long_word"),
    ),
    (
        "src/engine/detect/lang/datasets.rs",
        "NAME_BYTES_MAX",
        Rule(|n| with(&format!("file.data; dataset:set,{},type string;", "n".repeat(n))), 63),
    ),
    (
        "src/engine/detect/lang/datasets.rs",
        "CONTEXT_BYTES_MAX",
        By("src/engine/detect/lang/datasets.rs", "a_context_too_long_is_refused"),
    ),
    ("src/engine/detect/lang/groups.rs", "NESTING_MAX", Rule(nested, 32)),
    (
        "src/engine/detect/lang/lexer.rs",
        "RULE_BYTES_MAX",
        By("src/engine/detect/lang/tests.rs", "long_rules_cost_what_they_are_long"),
    ),
    (
        "src/engine/detect/lang/reputation.rs",
        "CATEGORIES_MAX",
        By("src/engine/detect/lang/reputation.rs", "bad_lines_are_named"),
    ),
    (
        "src/engine/detect/lang/reputation.rs",
        "SCORE_MAX",
        By("src/engine/detect/lang/reputation.rs", "bad_lines_are_named"),
    ),
    ("src/engine/detect/lang/rule.rs", "CACHED_BYTES_MAX", SameAnswer("longer lists are read anew for each rule")),
    ("src/engine/detect/prefilter/addresses.rs", "V4_MAX", SameAnswer("overlapping_lists_as_a_walk_would_find_them")),
    ("src/engine/detect/prefilter/addresses.rs", "V6_MAX", SameAnswer("overlapping_lists_as_a_walk_would_find_them")),
    ("src/engine/detect/prefilter/payload.rs", "PORTS_MAX", SameAnswer("the match suites over every kind of rule")),
    ("src/engine/detect/prefilter/piece.rs", "LEN_MAX", SameAnswer("finds_as_a_naive_search_does")),
    (
        "src/engine/detect/state/shared.rs",
        "BITS_MAX",
        By("src/engine/detect/state/shared.rs", "a_host_keeps_so_many_bits_and_loses_the_oldest"),
    ),
    (
        "src/engine/detect/threshold.rs",
        "PORTS_MAX",
        By("src/engine/detect/threshold.rs", "ports_remembered_are_bounded"),
    ),
    (
        "src/engine/detect/transforms/xor.rs",
        "KEY_MAX",
        Rule(|n| with(&format!("file.data; xor:\"{}\"; content:\"x\";", "a5".repeat(n))), 64),
    ),
    (
        "src/engine/detect/transforms/zip.rs",
        "SIZE_MAX",
        Rule(|n| with(&format!("file.data; gunzip:max-size {n}; content:\"x\";")), 1 << 20),
    ),
    (
        "src/engine/detect/transforms_cache.rs",
        "ENTRIES_MAX",
        SameAnswer("a buffer that is not kept is transformed again"),
    ),
    ("src/engine/flow/macs.rs", "MACS_MAX", By("src/engine/flow/macs.rs", "ends_are_told_apart_and_bounded")),
    ("src/engine/proto/dns/name.rs", "NAME_BYTES_MAX", By(DNS, "names_are_cut_at_their_limits")),
    ("src/engine/proto/dns/name.rs", "NAME_STEPS_MAX", By(DNS, "names_are_cut_at_their_limits")),
    (
        "src/engine/proto/dns/name.rs",
        "MESSAGE_STEPS_MAX",
        By(DNS, "a_message_of_many_pointers_is_cut_at_the_bound_on_its_steps"),
    ),
    ("src/engine/proto/dns/name.rs", "MESSAGE_TEXT_MAX", By(DNS, "a_message_of_pointers_stays_small")),
    ("src/engine/proto/dns/parser.rs", "TRANSACTIONS_MAX", By(DNS, "a_flow_of_unread_messages_ends")),
    ("src/engine/proto/dns/parser.rs", "SPENT_MAX", By(DNS, "every_truncation_and_every_flip_is_survived")),
    ("src/engine/proto/dns/parser.rs", "EVENTS_MAX", By(DNS, "events_that_nobody_takes_are_bounded")),
    ("src/engine/proto/http/block.rs", "LINE_START_MAX", By(EVASION, "a_line_end_that_never_ends_is_bounded")),
    (
        "src/engine/proto/http/charset.rs",
        "CARRY_MAX",
        By("src/engine/proto/http/charset.rs", "alphabets_in_any_pieces"),
    ),
    ("src/engine/proto/http/headers.rs", "REPETITIONS_MAX", By("src/engine/proto/http/headers.rs", "bounds_hold")),
    ("src/engine/proto/http/headers.rs", "FOLDS_MAX", By("src/engine/proto/http/headers.rs", "a_line_folds_so_often")),
    ("src/engine/proto/http/headers.rs", "JOINED_MAX", By("src/engine/proto/http/headers.rs", "bounds_hold")),
    ("src/engine/proto/http/headers.rs", "KEPT_MAX", SameAnswer("a larger buffer is not kept for the next exchange")),
    ("src/engine/proto/http/reuse.rs", "CAPACITY_MAX", SameAnswer("a larger buffer is not kept for the next exchange")),
    ("src/engine/proto/http/reuse.rs", "SPARE_MAX", SameAnswer("further buffers are not kept for the next exchange")),
    (HTTP_LOG, "NAME_MAX", By(HTTP_LOG, "names_and_values_of_a_header_list_are_cut")),
    (HTTP_LOG, "VALUE_MAX", By(HTTP_LOG, "names_and_values_of_a_header_list_are_cut")),
    (
        "src/engine/proto/http/multipart.rs",
        "LINE_MAX",
        By("src/engine/proto/http/multipart.rs", "long_lines_are_bounded"),
    ),
    ("src/engine/proto/http/multipart.rs", "BOUNDARY_MAX", Here(a_boundary_too_long)),
    (
        "src/engine/proto/http/names.rs",
        "NAMES_MAX",
        By("src/engine/proto/http/names.rs", "every_name_that_a_reader_takes"),
    ),
    ("src/engine/proto/http/payload.rs", "FILES_MAX", Here(too_many_files)),
    ("src/engine/proto/http/probe.rs", "SKIP_MAX", Here(too_many_blank_lines)),
    ("src/engine/proto/http/probe.rs", "LINE_MAX", Here(a_request_line_too_long)),
    ("src/engine/proto/http/probe.rs", "PROXY_LINE_MAX", Here(a_proxy_line_too_long)),
    ("src/engine/proto/tls/certificate.rs", "ALT_NAMES_MAX", By(TLS, "names_of_a_certificate_are_bounded")),
    ("src/engine/proto/tls/parser.rs", "HANDSHAKE_BYTES_MAX", By(TLS, "an_oversized_message_is_skipped")),
    ("src/engine/proto/tls/parser.rs", "RECORD_BYTES_MAX", By(TLS, "a_record_is_so_long_and_no_longer")),
    ("src/engine/proto/tls/transaction.rs", "CHAIN_MAX", By(TLS, "a_chain_is_bounded_and_an_event_says_so")),
    (
        "src/engine/record/tree.rs",
        "DEPTH_MAX",
        By("src/engine/record/tests.rs", "unbalanced_and_bottomless_bodies_are_balanced"),
    ),
    (SESSION, "FAULTS_MAX", By("tests/suites/evasion_faults.rs", "after_its_last_crash_a_flow_is_left_alone")),
    (
        "src/engine/stream/account.rs",
        "SPARE_MAX",
        By("src/engine/stream/account.rs", "buffers_come_back_empty_and_only_so_many_are_kept"),
    ),
    ("src/engine/stream/half.rs", "OOB_MAX", By("src/engine/stream/tests.rs", "urgent_bytes_out_of_band_are_bounded")),
    ("src/engine/worker/end.rs", "GAPS_MAX", By("tests/suites/evasion_tcp.rs", "holes_at_the_end_of_a_flow")),
    ("src/engine/worker/feed.rs", "ROUNDS_MAX", By("tests/suites/evasion_http.rs", "a_packet_follows_so_many_tunnels")),
    (
        "src/engine/worker/offload.rs",
        "OFFLOADS_MAX",
        By("tests/suites/offload.rs", "a_batch_tells_of_so_many_and_the_next_of_others"),
    ),
    (
        "src/engine/worker/path.rs",
        "WITHHELD_MAX",
        By("tests/suites/fragments.rs", "so_many_withheld_datagrams_are_remembered"),
    ),
    ("src/matcher/factory.rs", "SMALL_MAX", SameAnswer("tests/match_suite.rs: every engine as a naive search")),
    ("src/matcher/literal/small.rs", "TEXTS_MAX", SameAnswer("tests/match_suite.rs: every engine as a naive search")),
    ("src/matcher/regex/caches.rs", "BYTES_MAX", By("src/matcher/regex/caches.rs", "the_sum_of_all_caches_is_bounded")),
    (
        "src/matcher/regex/linear.rs",
        "NFA_BYTES_MAX",
        SameAnswer("past it PCRE2 serves: expressions_of_real_rules_mean_the_same"),
    ),
    (
        "src/matcher/regex/lower.rs",
        "STATES_MAX",
        SameAnswer("past it PCRE2 serves: expressions_of_real_rules_mean_the_same"),
    ),
    (
        "src/matcher/regex/parse.rs",
        "DEPTH_MAX",
        SameAnswer("past it PCRE2 serves: expressions_of_real_rules_mean_the_same"),
    ),
    ("src/matcher/scratch.rs", "FOLDED_KEPT_MAX", SameAnswer("a larger buffer is let go after its search")),
    ("src/matcher/sys/pcre2.rs", "JIT_STACK_MAX", By("src/matcher/regex/tests.rs", "a_limit_that_bites_is_reported")),
];

fn captures(n: usize) -> String {
    let groups: String = (0..n).map(|i| format!("(?P<flow_v{i}>a)")).collect();
    with(&format!("content:\"a\"; pcre:\"/{groups}/\";"))
}

/// The address itself is the innermost level.
fn nested(n: usize) -> String {
    format!("alert tcp {}10.0.0.1{} any -> any any (msg:\"x\"; sid:1;)\n", "[".repeat(n - 1), "]".repeat(n - 1))
}

/// What comes of reading a capture: frames, and the error that ended it.
fn read(bytes: Vec<u8>) -> (usize, Option<String>) {
    use capture::Receive;
    let mut reader = match capture::open_stream("made", Box::new(std::io::Cursor::new(bytes))) {
        Ok(r) => r,
        Err(e) => return (0, Some(e.to_string())),
    };
    let mut n = 0;
    loop {
        let mut frames = Vec::new();
        match reader.recv(&mut frames, 64) {
            Ok(0) => return (n, None),
            Ok(k) => n += k,
            Err(e) => return (n, Some(e.to_string())),
        }
    }
}

/// A record header's lengths beyond a frame's: the capture ends there.
fn a_record_too_long() {
    for (len, fine) in [(capture::FRAME_BYTES_MAX, true), (capture::FRAME_BYTES_MAX + 1, false)] {
        let mut bytes = Vec::new();
        for word in [0xa1b2_c3d4u32, 4 << 16 | 2, 0, 0, 1 << 20, 101, 0, 0, len as u32, len as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(vec![0x45; len]);
        let (n, error) = read(bytes);
        assert_eq!((n, error.is_none()), (usize::from(fine), fine), "{len}: {error:?}");
    }
}

/// A pcapng section header and blocks behind it.
fn section(blocks: impl IntoIterator<Item = (u32, Vec<u8>)>) -> Vec<u8> {
    let head = [&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let mut all = Vec::new();
    for (kind, body) in std::iter::once((0x0a0d_0d0au32, head)).chain(blocks) {
        let len = (body.len() as u32 + 12).to_le_bytes();
        all.extend([&kind.to_le_bytes()[..], &len, &body, &len].concat());
    }
    all
}

const INTERFACE: [u8; 8] = [101, 0, 0, 0, 0, 0, 0, 0];

fn a_block_too_long() {
    let body = |extra: usize| [&INTERFACE[..], &vec![0; extra]].concat();
    assert_eq!(read(section([(1, body(400))])), (0, None));
    let (_, error) = read(section([(1, body(capture::BLOCK_BYTES_MAX))]));
    assert!(error.is_some_and(|e| e.contains("block")));
}

fn too_many_interfaces() {
    let of = |n: usize| section((0..n).map(|_| (1, INTERFACE.to_vec())));
    assert_eq!(read(of(65_535)), (0, None));
    assert!(read(of(65_536)).1.is_some());
}

/// How often a rule over HTTP matches what a client sends.
fn matches(options: &str, request: &[u8]) -> usize {
    let rules = ruleset(&format!("alert http any any -> any any (msg:\"x\"; {options} sid:1;)\n")).unwrap();
    let mut c = Conversation::open(40_000, 9_999);
    request.chunks(1_400).for_each(|piece| c.send(true, piece));
    run(&rules, watching(), &c.close(), 7).sids().len()
}

/// Of a form whose parts have such names; the boundary is so long.
fn form(boundary: usize, names: impl Iterator<Item = String>) -> Vec<u8> {
    let boundary = "b".repeat(boundary);
    let part =
        |name| format!("--{boundary}\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\nx\r\n");
    let body = names.map(part).collect::<String>() + &format!("--{boundary}--\r\n");
    let head = "POST /f HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=";
    format!("{head}{boundary}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The body is one file without a name then.
fn a_boundary_too_long() {
    for (len, found) in [(256, 1), (257, 0)] {
        let request = form(len, std::iter::once("a.txt".to_owned()));
        assert_eq!(matches("file.name; content:\"a.txt\";", &request), found, "{len}");
    }
}

/// Further ones are not told apart.
fn too_many_files() {
    for (n, found) in [(256, 1), (257, 0)] {
        let names = (1..n).map(|i| format!("{i}.txt")).chain(std::iter::once("last.txt".to_owned()));
        assert_eq!(matches("file.name; content:\"last.txt\";", &form(9, names)), found, "{n}");
    }
}

/// What comes behind more of them, or in a longer line of no known method, is not taken for HTTP.
fn too_many_blank_lines() {
    for (n, found) in [(4, 1), (5, 0)] {
        let request = ["\n".repeat(n), "GET /f HTTP/1.1\r\nHost: h\r\n\r\n".to_owned()].concat();
        assert_eq!(matches("http.uri; content:\"/f\";", request.as_bytes()), found, "{n}");
    }
}

fn a_request_line_too_long() {
    for (len, found) in [(2_048, 1), (2_049, 0)] {
        let line = |pad: usize| format!("ODDLY /f{} HTTP/1.1\r\n", "x".repeat(pad));
        let request = line(len - line(0).len()) + "Host: h\r\n\r\n";
        assert_eq!(matches("http.uri; content:\"/f\";", request.as_bytes()), found, "{len}");
    }
}

/// Neither is what comes behind a longer line of a load balancer's.
fn a_proxy_line_too_long() {
    for (len, found) in [(108, 1), (109, 0)] {
        let line = |pad: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(pad));
        let request = line(len - line(0).len()) + "GET /f HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(matches("http.uri; content:\"/f\";", request.as_bytes()), found, "{len}");
    }
}

/// What the first alert on a datagram says of the variables that the rules fill.
fn variables(rules: &str, payload: &[u8]) -> Vec<(String, String)> {
    let frame = udp(true, 40_000, 9_999, 1_700_000_000_000_000, payload);
    let outcome = run(&ruleset(rules).unwrap(), watching(), &[frame], 1);
    let alert = outcome.of("alert").next().unwrap();
    let vars = alert["metadata"]["pktvars"].as_array().unwrap();
    let pairs = vars.iter().flat_map(|v| v.as_object().unwrap());
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// Further ones of the packet are not kept.
fn too_many_captures() {
    let rule = |sid: usize, groups: String| {
        format!("alert udp any any -> any any (msg:\"x\"; content:\"a\"; pcre:\"/{groups}/\"; sid:{sid};)\n")
    };
    let eight: String = (0..8).map(|i| format!("(?P<pkt_v{i}>a)")).collect();
    for (single, kept) in [(7, 63), (8, 64), (9, 64)] {
        let rules =
            (1..8).map(|i| rule(i, eight.clone())).chain((0..single).map(|i| rule(10 + i, "(?P<pkt_v>a)".to_owned())));
        assert_eq!(variables(&rules.collect::<String>(), b"aaaaaaaa").len(), kept);
    }
}

fn a_list_position_too_far() {
    let set = |i: usize| {
        let sets = ["outputs.0.fast.enabled=no".to_owned(), format!("outputs.{i}.fast.enabled=no")];
        control::config::suricata::load(None, &[], &sets, false).map(drop)
    };
    assert!(set(1_023).is_ok());
    assert!(set(1_024).unwrap_err().to_string().contains("past"));
}

/// A default, for configurations that do not say.
fn alerts_of_a_packet_by_default() {
    let of = |sets: &[String]| {
        let imported = control::config::suricata::load(None, &[], sets, false).unwrap();
        imported.config().unwrap().limits.alerts_per_packet_max
    };
    assert_eq!((of(&[]), of(&["packet-alert-max=20".to_owned()])), (15, 20));
}

/// A question behind so many others of its message is not inspected.
fn too_many_instances() {
    let rules = ruleset("alert dns any any -> any any (msg:\"x\"; dns.query; content:\"last\"; sid:1;)").unwrap();
    for (n, found) in [(1_024usize, 1), (1_025, 0)] {
        let mut message = vec![0, 1, 1, 0];
        message.extend((n as u16).to_be_bytes());
        message.extend([0; 6]);
        (1..n).for_each(|_| message.extend([1, b'a', 0, 0, 1, 0, 1]));
        message.extend([&[4][..], b"last", &[0, 0, 1, 0, 1]].concat());
        let frame = udp(true, 40_000, 53, 1_700_000_000_000_000, &message);
        assert_eq!(run(&rules, watching(), &[frame], 1).sids().len(), found, "{n}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            out.push(path);
        }
    }
}

/// Every constant of such a name, with its file.
fn constants() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for room in ["engine", "control", "capture", "matcher"] {
        sources(&root().join("src").join(room), &mut files);
    }
    let mut all = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for line in code.lines() {
            let Some((before, after)) = line.split_once("const ") else { continue };
            let Some((name, _)) = after.split_once(':') else { continue };
            let declared = before.trim_start().is_empty() || before.trim_start().starts_with("pub");
            if declared && (name.starts_with("MAX_") || name.ends_with("_MAX") || name.contains("_MAX_")) {
                let file = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                all.push((file, name.to_owned()));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn every_bound_has_its_row() {
    let found = constants();
    assert!(found.len() > 50);
    let mut rows: Vec<(String, String)> = ROWS.iter().map(|r| (r.0.to_owned(), r.1.to_owned())).collect();
    rows.sort();
    let lacking: Vec<_> = found.iter().filter(|c| !rows.contains(c)).collect();
    assert!(lacking.is_empty(), "bounds without a row, so that nothing shows what they do: {lacking:?}");
    let gone: Vec<_> = rows.iter().filter(|c| !found.contains(c)).collect();
    assert!(gone.is_empty(), "rows of bounds that are gone: {gone:?}");
}

#[test]
fn every_bound_holds_as_its_row_says() {
    for (file, name, shown) in ROWS {
        match shown {
            By(path, test) => {
                let text = std::fs::read_to_string(root().join(path)).unwrap();
                assert!(text.contains(&format!("fn {test}(")), "{file} {name}: {path} has no test {test}");
            }
            Rule(rule, at) => {
                ruleset(&rule(*at)).unwrap_or_else(|e| panic!("{file} {name}: {at} is refused: {e:.600}"));
                assert!(ruleset(&rule(at + 1)).is_err(), "{file} {name}: more than {at} loads");
            }
            Here(fill) => fill(),
            SameAnswer(why) => assert!(!why.is_empty(), "{file} {name}"),
        }
    }
}
