//! Request targets: split into parts, decoded and normalised the way the most lenient servers would.
//!
//! Two passes: [`Target::parse`] finds the parts (spans into the target) when the request line ends, and
//! [`Target::normalised`] builds `http.uri` when a rule asks. The decoding is the lenient one that rules are written
//! for: percent and `%u` decoding once, in path and query; in the path also backslash to slash, runs of separators to
//! one, UTF-8 to its nearest single byte, and dot segments removed. An invalid escape stays as sent.
//! Linear in the target, which the parser bounds.

use super::text::{decimal, split_at, trim};
use std::ops::Range;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub host: Option<Range<usize>>,
    pub port: Option<Range<usize>>,
    pub path: Option<Range<usize>>,
    pub query: Option<Range<usize>>,
    pub fragment: Option<Range<usize>>,
}

impl Target {
    /// Origin and absolute form (RFC 9112 section 3.2).
    pub fn parse(uri: &[u8]) -> Target {
        let mut t = Target::default();
        let mut at = 0;
        if let Some(after) = scheme_end(uri) {
            at = after;
            if uri.get(at..).is_some_and(|r| r.starts_with(b"//") && !r.starts_with(b"///")) {
                at = t.authority(uri, at + 2);
            }
        }
        let rest = uri.get(at..).unwrap_or_default();
        let (path, rest) = split_at(rest, |c| c == b'?' || c == b'#');
        if !path.is_empty() {
            t.path = Some(at..at + path.len());
        }
        let mut at = at + path.len();
        if rest.first() == Some(&b'?') {
            let (query, _) = split_at(rest.get(1..).unwrap_or_default(), |c| c == b'#');
            t.query = Some(at + 1..at + 1 + query.len());
            at += 1 + query.len();
        }
        if uri.get(at) == Some(&b'#') {
            t.fragment = Some(at + 1..uri.len());
        }
        t
    }

    /// Authority form, the target of CONNECT.
    pub fn parse_authority(uri: &[u8]) -> Target {
        let mut t = Target::default();
        t.authority(uri, 0);
        t
    }

    /// `[user@]host[:port]` from `at`; returns its end.
    fn authority(&mut self, uri: &[u8], at: usize) -> usize {
        let (auth, _) = split_at(uri.get(at..).unwrap_or_default(), |c| matches!(c, b'/' | b'?' | b'#'));
        let end = at + auth.len();
        let host_at = at + memchr::memrchr(b'@', auth).map_or(0, |i| i + 1);
        let (host, port) = host_port(uri.get(host_at..end).unwrap_or_default());
        let within = |r: Range<usize>| host_at + r.start..host_at + r.end;
        if !host.is_empty() {
            self.host = Some(within(host));
        }
        self.port = port.map(within);
        end
    }

    /// `http.uri`, into `out`, which is empty; nothing where the target has neither path nor query nor fragment.
    pub fn normalised(&self, uri: &[u8], out: &mut Vec<u8>) {
        out.reserve(uri.len());
        if let Some(p) = &self.path {
            normalise_path(uri.get(p.clone()).unwrap_or_default(), out);
        }
        if let Some(q) = &self.query {
            out.push(b'?');
            decode(uri.get(q.clone()).unwrap_or_default(), out);
        }
        if let Some(f) = &self.fragment {
            out.push(b'#');
            decode(uri.get(f.clone()).unwrap_or_default(), out);
        }
    }
}

/// Where the part behind `scheme:` begins. A scheme is what RFC 3986 section 3.1 says, or a colon in a query would hide
/// all before it.
fn scheme_end(uri: &[u8]) -> Option<usize> {
    let (scheme, rest) = split_at(uri, |c| !(c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.')));
    (scheme.first().is_some_and(u8::is_ascii_alphabetic) && rest.first() == Some(&b':')).then_some(scheme.len() + 1)
}

/// Host and port of `host[:port]`; the host of an IPv6 literal keeps its brackets.
pub fn host_port(s: &[u8]) -> (Range<usize>, Option<Range<usize>>) {
    let lead = s.iter().take_while(|c| **c == b' ').count();
    let body = s.get(lead..).unwrap_or_default();
    let host_len = if body.first() == Some(&b'[') {
        memchr::memchr(b']', body).map_or(body.len(), |i| i + 1)
    } else {
        memchr::memchr(b':', body).unwrap_or(body.len())
    };
    let host = body.get(..host_len).unwrap_or_default();
    let host_end = lead + trim(host).len();
    let port = (body.get(host_len) == Some(&b':')).then(|| {
        let from = lead + host_len + 1;
        let skipped = s.get(from..).unwrap_or_default().iter().take_while(|c| **c == b' ').count();
        from + skipped..from + skipped + trim(s.get(from + skipped..).unwrap_or_default()).len()
    });
    (lead..host_end, port.filter(|p| !p.is_empty()))
}

/// 1 to 65535, digits alone.
pub fn port_number(s: &[u8]) -> Option<u16> {
    decimal(s).and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0)
}

/// RFC 1123 names with underscores, or an IPv6 literal in brackets.
pub fn host_valid(h: &[u8]) -> bool {
    if h.is_empty() || h.len() > 255 {
        return false;
    }
    if let Some(inner) = h.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")) {
        return std::str::from_utf8(inner).is_ok_and(|s| s.parse::<std::net::Ipv6Addr>().is_ok());
    }
    if h.first() == Some(&b'.') || h.windows(2).any(|w| w == b"..") {
        return false;
    }
    h.split(|c| *c == b'.')
        .all(|l| l.len() <= 63 && l.iter().all(|c| matches!(c, b'_' | b'-') || (*c as char).is_alphanumeric()))
}

/// One escape at the start of `s` (which begins with `%`): the byte it means and its length.
fn escape(s: &[u8]) -> Option<(u8, usize)> {
    let hex = |i: usize| s.get(i).and_then(|c| (*c as char).to_digit(16)).map(|d| d as u8);
    if matches!(s.get(1), Some(b'u' | b'U')) {
        let (hi, lo) = (hex(2)? << 4 | hex(3)?, hex(4)? << 4 | hex(5)?);
        return Some((if hi == 0 { lo } else { best_fit(u32::from(hi) << 8 | u32::from(lo)) }, 6));
    }
    Some((hex(1)? << 4 | hex(2)?, 3))
}

/// Percent decoding without more; used for queries and hosts.
pub fn decode(mut s: &[u8], out: &mut Vec<u8>) {
    while let Some(i) = memchr::memchr(b'%', s) {
        let (plain, rest) = s.split_at_checked(i).unwrap_or((s, &[]));
        out.extend_from_slice(plain);
        let (byte, len) = escape(rest).unwrap_or((b'%', 1));
        out.push(byte);
        s = rest.get(len..).unwrap_or_default();
    }
    out.extend_from_slice(s);
}

/// The path alone, as files are named after it, into `out`, which is empty.
pub fn normalise_path(path: &[u8], out: &mut Vec<u8>) {
    out.reserve(path.len());
    let mut s = path;
    while let Some(&c) = s.first() {
        let (byte, len) = if c == b'%' { escape(s).unwrap_or((b'%', 1)) } else { (c, 1) };
        let byte = if byte == b'\\' { b'/' } else { byte };
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
        s = s.get(len..).unwrap_or_default();
    }
    if out.iter().any(|c| *c >= 0x80) {
        *out = utf8_to_bytes(out);
    }
    if out.first() == Some(&b'.') || out.windows(2).any(|w| w == b"/.") {
        *out = remove_dot_segments(out);
    }
}

/// Each well-formed UTF-8 sequence (overlong ones too, which is how they evade) becomes its nearest byte; the rest stays.
fn utf8_to_bytes(s: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(s.len());
    let mut i = 0;
    while let Some(&c) = s.get(i) {
        let (len, head) = match c {
            0xc0..=0xdf => (2, u32::from(c & 0x1f)),
            0xe0..=0xef => (3, u32::from(c & 0x0f)),
            0xf0..=0xf7 => (4, u32::from(c & 0x07)),
            _ => (1, 0),
        };
        let tail = s.get(i + 1..i + len).unwrap_or_default();
        if len == 1 || tail.len() + 1 != len || !tail.iter().all(|t| t & 0xc0 == 0x80) {
            out.push(c);
            i += 1;
            continue;
        }
        let code = tail.iter().fold(head, |n, t| n << 6 | u32::from(t & 0x3f));
        out.push(if code < 0x100 { code as u8 } else { best_fit(code) });
        i += len;
    }
    out
}

/// RFC 3986 section 5.2.4, on a path that may not begin with a slash; a dot segment at the end leaves no slash.
fn remove_dot_segments(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let body = if rooted { path.get(1..).unwrap_or_default() } else { path };
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut slash = rooted;
    for part in body.split(|c| *c == b'/') {
        match part {
            b"." => {}
            b".." => {
                // The segment before it goes, slash and all.
                slash |= !out.is_empty();
                out.truncate(memchr::memrchr(b'/', &out).unwrap_or(0));
            }
            _ => {
                if slash || !out.is_empty() {
                    out.push(b'/');
                }
                out.extend_from_slice(part);
            }
        }
    }
    if out.is_empty() && rooted {
        out.push(b'/');
    }
    out
}

/// The single byte that old servers make of a character past Latin-1: its base letter or ASCII twin, else `?`.
fn best_fit(code: u32) -> u8 {
    match code {
        0..=0xff => code as u8,
        // Full-width forms of ASCII.
        0xff01..=0xff5e => (code - 0xff01) as u8 + 0x21,
        0x0100..=0x017f => LATIN_A.get((code - 0x100) as usize).copied().unwrap_or(b'?'),
        0x2000..=0x2006 | 0x3000 => b' ',
        0x2010 | 0x2011 | 0x2212 | 0x02cd => b'-',
        0x2018 | 0x2019 | 0x02b9 | 0x02bc | 0x02c8 | 0x2032 | 0x2035 => b'\'',
        0x201c | 0x201d | 0x02ba | 0x030e | 0x2033 | 0x2036 => b'"',
        0x2044 | 0x2215 => b'/',
        0x2216 => b'\\',
        0x2223 | 0x01c0 => b'|',
        0x2217 => b'*',
        0x2236 | 0x0589 => b':',
        0x2329 | 0x3008 | 0x2039 => b'<',
        0x232a | 0x3009 | 0x203a => b'>',
        0x01c3 => b'!',
        0x0303 | 0x223c => b'~',
        0x0302 | 0x02c4 | 0x02c6 | 0x2303 => b'^',
        0x0300 | 0x02cb => b'`',
        0x0331 | 0x0332 => b'_',
        0x301a => b'[',
        0x301b => b']',
        0x2070 | 0x2080 => b'0',
        0x2074..=0x2079 => (code - 0x2074) as u8 + b'4',
        0x2081..=0x2089 => (code - 0x2081) as u8 + b'1',
        _ => b'?',
    }
}

/// Base letters of Latin Extended-A, from U+0100.
const LATIN_A: &[u8; 128] = b"AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIi??JjKk?LlLlLl\
??LlNnNnNn???OoOoOo??RrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZz?";

#[cfg(test)]
mod tests {
    use super::*;

    fn norm(uri: &str) -> String {
        let (u, mut out) = (uri.as_bytes(), Vec::new());
        Target::parse(u).normalised(u, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn parts() {
        let u = b"http://u:p@Host.Example:8080/a/b?c=d#e";
        let t = Target::parse(u);
        assert_eq!(&u[t.host.unwrap()], b"Host.Example");
        assert_eq!(&u[t.port.unwrap()], b"8080");
        assert_eq!(&u[t.path.unwrap()], b"/a/b");
        assert_eq!(&u[t.query.unwrap()], b"c=d");
        assert_eq!(&u[t.fragment.unwrap()], b"e");
        let u = b"[::1]:443";
        let t = Target::parse_authority(u);
        assert_eq!((&u[t.host.unwrap()], &u[t.port.unwrap()]), (&b"[::1]"[..], &b"443"[..]));
        assert_eq!(Target::parse(b"/x:y@z").host, None);
        assert_eq!(norm("index.php?u=http://a/b"), "index.php?u=http://a/b");
    }

    #[test]
    fn paths() {
        for (sent, want) in [
            ("/index.html", "/index.html"),
            ("//index.html", "/index.html"),
            ("/a/./b/../c", "/a/c"),
            ("/a/b/..", "/a"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/%2e%2e/%2e%2e/etc", "/etc"),
            ("/a%2fb", "/a/b"),
            ("/a\\b", "/a/b"),
            ("/a%5Cb", "/a/b"),
            ("/%u002e%u002E/x", "/x"),
            ("/%uFF0Fx", "/x"),
            ("/a%c0%afx", "/a/x"),
            ("/%2541", "/%41"),
            ("/%zz%4", "/%zz%4"),
            ("/a%00b", "/a\0b"),
            ("/a?b=%41%2f..//%5c", "/a?b=A/..//\\"),
            ("/a?b=c+d", "/a?b=c+d"),
            ("/a#%41", "/a#A"),
            ("http://h/x", "/x"),
            ("./a", "a"),
            ("a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/", "/a/b/"),
            ("/.hidden/..x/...", "/.hidden/..x/..."),
            ("/", "/"),
        ] {
            assert_eq!(norm(sent), want, "{sent}");
        }
        assert_eq!(norm("http://h"), "");
    }

    #[test]
    fn latin_a_letters() {
        assert_eq!(best_fit(0x100), b'A');
        assert_eq!(best_fit(0x131), b'i');
        assert_eq!(best_fit(0x141), b'L');
        assert_eq!(best_fit(0x17e), b'z');
        assert_eq!(best_fit(0x160), b'S');
    }

    #[test]
    fn hosts() {
        assert!(host_valid(b"a-b.example"));
        assert!(host_valid(b"[::1]"));
        assert!(
            !host_valid(b".a")
                && !host_valid(b"a..b")
                && !host_valid(b"a b")
                && !host_valid(b"[x]")
                && !host_valid(b"")
        );
        assert_eq!(host_port(b"a:80"), (0..1, Some(2..4)));
        assert_eq!(host_port(b"a:"), (0..1, None));
        assert_eq!(port_number(b"0"), None);
        assert_eq!(port_number(b"65536"), None);
    }
}
