//! What HTTP offers to rules: buffers, events and progress numbers, each one row.
//!
//! The position of a row is its id, so rows are only ever appended. Names are the rule language's own; a test holds the
//! constants to the rows.

use super::ID;
use crate::applayer::{BufferDef, BufferId, BufferKind, Direct, EventDef, EventId, Progress};

/// Request or status line parsed.
pub const LINE: Progress = Progress(1);
/// All headers parsed.
pub const HEADERS: Progress = Progress(2);
/// Body begun.
pub const BODY: Progress = Progress(3);
/// Trailing headers of a chunked body begun.
pub const TRAILER: Progress = Progress(4);

/// A part is reached when the one before it is over: bytes of a line are not yet told from no bytes.
pub const STATES: [&[(Progress, &str)]; 2] = [
    &[
        (Progress::NONE, "request_started"),
        (LINE, "request_line"),
        (LINE, "request_headers"),
        (HEADERS, "request_body"),
        (TRAILER, "request_trailer"),
        (Progress::DONE, "request_complete"),
    ],
    &[
        (Progress::NONE, "response_started"),
        (LINE, "response_line"),
        (LINE, "response_headers"),
        (HEADERS, "response_body"),
        (TRAILER, "response_trailer"),
        (Progress::DONE, "response_complete"),
    ],
];

macro_rules! buffers {
    ($($id:ident $name:literal [$($alias:literal)*] [$($modifier:literal)*] $direct:ident $kind:ident $progress:expr, $lower:literal, $doc:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u8)]
        enum B { $($id,)* }

        /// Ids of the rows of [`BUFFERS`].
        pub mod buffer {
            use super::{BufferId, B, ID};
            $(#[doc = $doc] pub const $id: BufferId = BufferId::new(ID, B::$id as u8);)*
        }

        pub const BUFFERS: &[BufferDef] = &[$(BufferDef {
            name: $name,
            aliases: &[$($alias),*],
            modifiers: &[$($modifier),*],
            direct: Direct::$direct,
            kind: BufferKind::$kind,
            progress: $progress,
            lowercase: $lower,
            doc: $doc,
        },)*];
    };
}

buffers! {
    URI "http.uri" [] ["http_uri"] ToServer Whole LINE, false, "request target, percent-decoded and its path normalised, without scheme and host";
    URI_RAW "http.uri.raw" [] ["http_raw_uri"] ToServer Whole LINE, false, "request target as sent";
    METHOD "http.method" [] ["http_method"] ToServer Whole LINE, false, "request method as sent";
    REQUEST_LINE "http.request_line" ["http_request_line"] [] ToServer Whole LINE, false, "request line without its line end";
    PROTOCOL "http.protocol" ["http_protocol"] [] Both Whole LINE, false, "protocol and version of the request or status line";
    HEADER "http.header" [] ["http_header"] Both Whole HEADERS, false, "headers as `Name: value` lines, folding undone, repeated names joined, cookies left out";
    HEADER_RAW "http.header.raw" [] ["http_raw_header"] Both Whole HEADERS, false, "header block as sent, with the empty line that ends it";
    HEADER_NAMES "http.header_names" ["http_header_names"] [] Both Whole HEADERS, false, "names of the headers in order, a line each, between empty lines";
    USER_AGENT "http.user_agent" [] ["http_user_agent"] ToServer Whole HEADERS, false, "value of User-Agent";
    HOST "http.host" [] ["http_host"] ToServer Whole HEADERS, true, "host of the target or of the Host header, lower case, without port";
    HOST_RAW "http.host.raw" [] ["http_raw_host"] ToServer Whole HEADERS, false, "host of the target, or else value of the Host header as sent";
    COOKIE "http.cookie" [] ["http_cookie"] Both Whole HEADERS, false, "value of Cookie or Set-Cookie";
    ACCEPT "http.accept" ["http_accept"] [] ToServer Whole HEADERS, false, "value of Accept";
    ACCEPT_ENC "http.accept_enc" ["http_accept_enc"] [] ToServer Whole HEADERS, false, "value of Accept-Encoding";
    ACCEPT_LANG "http.accept_lang" ["http_accept_lang"] [] ToServer Whole HEADERS, false, "value of Accept-Language";
    REFERER "http.referer" ["http_referer"] [] ToServer Whole HEADERS, false, "value of Referer";
    CONNECTION "http.connection" ["http_connection"] [] Both Whole HEADERS, false, "value of Connection";
    CONTENT_TYPE "http.content_type" ["http_content_type"] [] Both Whole HEADERS, false, "value of Content-Type";
    CONTENT_LEN "http.content_len" ["http_content_len"] [] Both Whole HEADERS, false, "value of Content-Length";
    START "http.start" ["http_start"] [] Both Whole HEADERS, false, "request or status line and the headers, one line each, and an empty line";
    REQUEST_HEADER "http.request_header" ["http_request_header"] [] ToServer Multi HEADERS, false, "each request header by itself as `Name: value`";
    RESPONSE_HEADER "http.response_header" ["http_response_header"] [] ToClient Multi HEADERS, false, "each response header by itself as `Name: value`";
    STAT_CODE "http.stat_code" [] ["http_stat_code"] ToClient Whole LINE, false, "status code as sent";
    STAT_MSG "http.stat_msg" [] ["http_stat_msg"] ToClient Whole LINE, false, "reason phrase of the status line";
    RESPONSE_LINE "http.response_line" ["http_response_line"] [] ToClient Whole LINE, false, "status line without its line end";
    SERVER "http.server" ["http_server"] [] ToClient Whole HEADERS, false, "value of Server";
    LOCATION "http.location" ["http_location"] [] ToClient Whole HEADERS, false, "value of Location";
    REQUEST_BODY "http.request_body" [] ["http_client_body"] ToServer Streaming BODY, false, "request body, unchunked and decompressed";
    RESPONSE_BODY "http.response_body" [] ["http_server_body"] ToClient Streaming BODY, false, "response body, unchunked and decompressed";
    FRAME_REQUEST "frame:http1.request" [] [] ToServer Frame LINE, false, "a request from its first byte to the last of its body, as sent";
    FRAME_RESPONSE "frame:http1.response" [] [] ToClient Frame LINE, false, "a response from its first byte to the last of its body, as sent";
}

/// Why bytes, in any case if `nocase`, can never be in a buffer.
pub fn never(local: u8, bytes: &[u8], nocase: bool) -> Option<&'static str> {
    let blank = |b: Option<&u8>| b.is_some_and(|b| matches!(b, b' ' | b'\t'));
    match B::HOST as u8 == local {
        true if nocase => Some("hosts are in lower case: without `nocase`"),
        true if bytes.iter().any(u8::is_ascii_uppercase) => Some("hosts are in lower case"),
        false if B::METHOD as u8 == local && (blank(bytes.first()) || blank(bytes.last())) => {
            Some("a method has no blanks at its ends")
        }
        _ => None,
    }
}

macro_rules! events {
    ($($id:ident $name:literal $doc:literal;)*) => {
        #[allow(non_camel_case_types, clippy::enum_variant_names, clippy::upper_case_acronyms)]
        #[repr(u8)]
        enum E { $($id,)* }

        /// Ids of the rows of [`EVENTS`].
        pub mod event {
            use super::{EventId, E, ID};
            $(#[doc = $doc] pub const $id: EventId = EventId { proto: ID, local: E::$id as u8 };)*
        }

        pub const EVENTS: &[EventDef] = &[$(EventDef { name: $name, doc: $doc },)*];
    };
}

events! {
    UNKNOWN_ERROR "unknown_error" "an oddity without a name of its own";
    GZIP_DECOMPRESSION_FAILED "gzip_decompression_failed" "a compressed body could not be decoded";
    REQUEST_FIELD_MISSING_COLON "request_field_missing_colon" "a request header line without a colon";
    RESPONSE_FIELD_MISSING_COLON "response_field_missing_colon" "a response header line without a colon";
    INVALID_REQUEST_CHUNK_LEN "invalid_request_chunk_len" "a chunk of a request body whose length is not hexadecimal";
    INVALID_RESPONSE_CHUNK_LEN "invalid_response_chunk_len" "a chunk of a response body whose length is not hexadecimal";
    INVALID_TE_REQUEST "invalid_transfer_encoding_value_in_request" "Transfer-Encoding of a request that is not chunked, or in HTTP/1.0";
    INVALID_TE_RESPONSE "invalid_transfer_encoding_value_in_response" "Transfer-Encoding of a response that is not known";
    INVALID_CL_REQUEST "invalid_content_length_field_in_request" "Content-Length of a request that is no number";
    INVALID_CL_RESPONSE "invalid_content_length_field_in_response" "Content-Length of a response that is no number";
    DUPLICATE_CL_REQUEST "duplicate_content_length_field_in_request" "two Content-Length of a request that differ";
    DUPLICATE_CL_RESPONSE "duplicate_content_length_field_in_response" "two Content-Length of a response that differ";
    CONTINUE_ALREADY_SEEN "100_continue_already_seen" "a second 100 Continue for one request";
    UNABLE_TO_MATCH_RESPONSE "unable_to_match_response_to_request" "a response without a request";
    INVALID_SERVER_PORT "invalid_server_port_in_request" "a port in the request that is no port";
    INVALID_AUTHORITY_PORT "invalid_authority_port" "a port in the target of CONNECT that is no port";
    REQUEST_HEADER_INVALID "request_header_invalid" "a request header name with characters no name has";
    RESPONSE_HEADER_INVALID "response_header_invalid" "a response header name with characters no name has";
    MISSING_HOST_HEADER "missing_host_header" "an HTTP/1.1 request without Host";
    HOST_HEADER_AMBIGUOUS "host_header_ambiguous" "the host of the target and the Host header differ";
    INVALID_REQUEST_FIELD_FOLDING "invalid_request_field_folding" "a request header that begins with white space and continues nothing";
    INVALID_RESPONSE_FIELD_FOLDING "invalid_response_field_folding" "a response header that begins with white space and continues nothing";
    REQUEST_FIELD_TOO_LONG "request_field_too_long" "a request line or header past the limit";
    RESPONSE_FIELD_TOO_LONG "response_field_too_long" "a status line or response header past the limit";
    REQUEST_LINE_INVALID "request_line_invalid" "a request line that cannot be understood";
    REQUEST_BODY_UNEXPECTED "request_body_unexpected" "bytes after a request that are no request";
    RESPONSE_BODY_UNEXPECTED "response_body_unexpected" "bytes after a response, or a body where none may be";
    PORT_MISMATCH "request_server_port_tcp_port_mismatch" "the port in the request is not the port it was sent to";
    REQUEST_URI_HOST_INVALID "request_uri_host_invalid" "the host in the target is no host name";
    REQUEST_HEADER_HOST_INVALID "request_header_host_invalid" "the Host header is no host name";
    REQUEST_AUTH_UNRECOGNIZED "request_auth_unrecognized" "an Authorization of an unknown scheme";
    REQUEST_HEADER_REPETITION "request_header_repetition" "a request header that occurs twice";
    RESPONSE_HEADER_REPETITION "response_header_repetition" "a response header that occurs twice";
    DOUBLE_ENCODED_URI "double_encoded_uri" "a target that decodes twice";
    URI_DELIM_NON_COMPLIANT "uri_delim_non_compliant" "white space other than a space in or after the target";
    METHOD_DELIM_NON_COMPLIANT "method_delim_non_compliant" "white space other than a space after the method";
    REQUEST_LINE_LEADING_WHITESPACE "request_line_leading_whitespace" "white space before the method";
    TOO_MANY_ENCODING_LAYERS "too_many_encoding_layers" "more content encodings than are undone";
    REQUEST_TOO_MANY_LZMA_LAYERS "request_too_many_lzma_layers" "lzma within lzma in a request";
    RESPONSE_TOO_MANY_LZMA_LAYERS "response_too_many_lzma_layers" "lzma within lzma in a response";
    ABNORMAL_CE_HEADER "abnormal_ce_header" "a Content-Encoding no server sends";
    RESPONSE_MULTIPART_BYTERANGES "response_multipart_byteranges" "a multipart/byteranges response without length";
    RESPONSE_ABNORMAL_TE "response_abnormal_transfer_encoding" "chunked among other text in Transfer-Encoding of a response";
    RESPONSE_CHUNKED_OLD_PROTO "response_chunked_old_proto" "chunked in a response before HTTP/1.1";
    RESPONSE_INVALID_PROTOCOL "response_invalid_protocol" "a status line with an unknown protocol";
    RESPONSE_INVALID_STATUS "response_invalid_status" "a status line without a status from 100 to 999";
    REQUEST_LINE_INCOMPLETE "request_line_incomplete" "a response before the request line was complete";
    PROTOCOL_EXTRA_DATA "protocol_contains_extra_data" "white space or zeros within the protocol";
    CL_EXTRA_DATA_START "content_length_extra_data_start" "text before the number of Content-Length";
    CL_EXTRA_DATA_END "content_length_extra_data_end" "text after the number of Content-Length";
    SWITCHING_PROTO_WITH_CL "switching_proto_with_content_length" "101 with a body";
    DEFORMED_EOL "deformed_eol" "mixed line ends in a response";
    REQUEST_LINE_UNKNOWN_METHOD "request_line_unknown_method" "a request line of one unknown word";
    REQUEST_LINE_UNKNOWN_METHOD_NO_PROTOCOL "request_line_unknown_method_no_protocol" "an unknown method and no protocol";
    REQUEST_LINE_UNKNOWN_METHOD_INVALID_PROTOCOL "request_line_unknown_method_invalid_protocol" "an unknown method and an unknown protocol";
    REQUEST_LINE_MISSING_PROTOCOL "request_line_missing_protocol" "a request line without protocol that headers follow";
    RESPONSE_LINE_INVALID_PROTOCOL "response_line_invalid_protocol" "a status line with an unknown protocol";
    RESPONSE_LINE_INVALID_STATUS "response_line_invalid_response_status" "a status line without a status from 100 to 999";
    RESPONSE_INVALID_EMPTY_NAME "response_invalid_empty_name" "a response header without a name";
    REQUEST_INVALID_EMPTY_NAME "request_invalid_empty_name" "a request header without a name";
    RESPONSE_INVALID_LWS_AFTER_NAME "response_invalid_lws_after_name" "white space before the colon of a response header";
    RESPONSE_HEADER_NAME_NOT_TOKEN "response_header_name_not_token" "a response header name with characters no name has";
    REQUEST_INVALID_LWS_AFTER_NAME "request_invalid_lws_after_name" "white space before the colon of a request header";
    LZMA_DECOMPRESSION_DISABLED "lzma_decompression_disabled" "an lzma body, which is not decoded";
    INVALID_CONTENT_ENCODING "invalid_content_encoding" "a content encoding that is not known";
    INVALID_GAP "invalid_gap" "bytes lost where the parser cannot go on without them";
    REQUEST_CHUNK_EXTENSION "request_chunk_extension" "a chunk extension in a request";
    RESPONSE_CHUNK_EXTENSION "response_chunk_extension" "a chunk extension in a response";
    LZMA_MEMLIMIT_REACHED "lzma_memlimit_reached" "an lzma body that wants more memory than allowed";
    COMPRESSION_BOMB "compression_bomb" "a body that decompresses to far more than a body does";
    COMPRESSION_BOMB_LIMIT_REACHED "compression_bomb_limit_reached" "so many of those that nothing more is decompressed in the flow";
    REQUEST_TOO_MANY_HEADERS "request_too_many_headers" "more request headers than the limit";
    RESPONSE_TOO_MANY_HEADERS "response_too_many_headers" "more response headers than the limit";
    MULTIPART_GENERIC_ERROR "multipart_generic_error" "a multipart body that does not hold together";
    MULTIPART_NO_FILEDATA "multipart_no_filedata" "a file part without content";
    MULTIPART_INVALID_HEADER "multipart_invalid_header" "a part's header that cannot be understood";
    TOO_MANY_WARNINGS "too_many_warnings" "more oddities in one transaction than are kept";
    RANGE_INVALID "range_invalid" "a Content-Range that contradicts itself";
    FILE_NAME_TOO_LONG "file_name_too_long" "a file name past the limit";
    FAILED_PROTOCOL_CHANGE "failed_protocol_change" "an upgrade that could not be followed";
    REQUEST_FRAMING_AMBIGUOUS "request_framing_ambiguous" "Transfer-Encoding beside Content-Length, twice, or of other text than chunked: servers differ on where the request ends";
    BODY_ALPHABET "body_alphabet" "a body in UTF-7, UTF-16 or UTF-32, which rules see as sent and as UTF-8";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_documented() {
        for (i, b) in BUFFERS.iter().enumerate() {
            assert!(!b.doc.is_empty());
            let names = |b: &BufferDef| {
                std::iter::once(b.name)
                    .chain(b.aliases.iter().copied())
                    .chain(b.modifiers.iter().copied())
                    .collect::<Vec<_>>()
            };
            for n in names(b) {
                assert!(!BUFFERS[..i].iter().any(|o| names(o).contains(&n)), "{n}");
            }
        }
        for (i, e) in EVENTS.iter().enumerate() {
            assert!(!e.doc.is_empty());
            assert!(!EVENTS[..i].iter().any(|o| o.name == e.name), "{}", e.name);
        }
    }

    #[test]
    fn ids_are_positions() {
        assert_eq!(BUFFERS[buffer::URI.local as usize].name, "http.uri");
        assert_eq!(BUFFERS[buffer::RESPONSE_BODY.local as usize].name, "http.response_body");
        assert_eq!(EVENTS[event::FAILED_PROTOCOL_CHANGE.local as usize].name, "failed_protocol_change");
        assert_eq!(EVENTS[event::PORT_MISMATCH.local as usize].name, "request_server_port_tcp_port_mismatch");
    }
}
