//! The names that a Content-Disposition gives a file (RFC 6266, RFC 7578): the one its rules choose, and those that
//! other readers take.
//!
//! Readers disagree about a name given twice, about escapes (Windows paths are sent unescaped), about `filename*`
//! (RFC 8187) and names in parts (RFC 2231). An upload is known by each of them, so that none hides another.

use super::text::{split_at, trim, trim_start};

/// Names of one file; further ones are not looked at.
pub const NAMES_MAX: usize = 6;

/// A value's parameters: each key with what stands behind its equals sign, up to the value's end. The type that comes
/// before them may be missing, which readers do not mind.
struct Parameters<'a> {
    rest: &'a [u8],
    begun: bool,
    /// What quotes a semicolon.
    quotes: &'static [u8],
}

impl<'a> Parameters<'a> {
    const fn of(rest: &'a [u8], quotes: &'static [u8]) -> Self {
        Parameters { rest, begun: false, quotes }
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if std::mem::replace(&mut self.begun, true) {
                // To the next semicolon outside quotes.
                let mut quote = None;
                let end = self.rest.iter().position(|c| {
                    match quote {
                        Some(q) if q == *c => quote = None,
                        None if self.quotes.contains(c) => quote = Some(*c),
                        _ => {}
                    }
                    *c == b';' && quote.is_none()
                })?;
                self.rest = self.rest.get(end + 1..).unwrap_or_default();
            }
            self.rest = trim_start(self.rest);
            let (key, after) = split_at(self.rest, |c| c == b'=' || c == b';');
            if after.first() == Some(&b'=') {
                return Some((trim(key), trim_start(after.get(1..).unwrap_or_default())));
            }
        }
    }
}

/// What is written, its quotes undone; and of escapes all, or those of a quote and a backslash alone.
fn written(text: &[u8], all: bool) -> Vec<u8> {
    let Some(inner) = text.strip_prefix(b"\"") else {
        return trim(split_at(text, |c| c == b';').0).to_vec();
    };
    let mut out = Vec::new();
    let mut bytes = inner.iter();
    while let Some(&c) = bytes.next() {
        match c {
            b'"' => break,
            b'\\' if all || matches!(bytes.as_slice().first(), Some(b'"' | b'\\')) => out.extend(bytes.next()),
            _ => out.push(c),
        }
    }
    out
}

/// Behind the charset and the language that an extended value begins with, percent-encoded bytes decoded.
fn extended(text: &[u8]) -> Vec<u8> {
    let text = written(text, false);
    let mut fields = text.splitn(3, |c| *c == b'\'');
    let (first, rest) = (fields.next().unwrap_or_default(), fields.nth(1));
    decoded(rest.unwrap_or(first))
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&c, after)) = rest.split_first() {
        let byte = match after {
            [a, b, ..] if c == b'%' => digit(*a).zip(digit(*b)).map(|(a, b)| a << 4 | b),
            _ => None,
        };
        out.push(byte.unwrap_or(c));
        rest = after.get(if byte.is_some() { 2.. } else { 0.. }).unwrap_or_default();
    }
    out
}

/// A parameter of a header value such as `form-data; filename="a.txt"`: quotes and escapes undone.
pub fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    Parameters::of(value, b"\"").find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, text)| written(text, false))
}

/// Every name of the file, none twice, the one by the rules first; at most [`NAMES_MAX`].
pub fn names(value: &[u8]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut others = Vec::new();
    let mut joined = Vec::new();
    for (key, text) in Parameters::of(value, b"\"").take(4 * NAMES_MAX) {
        let Some(after) = key.get(..8).filter(|k| k.eq_ignore_ascii_case(b"filename")).and(key.get(8..)) else {
            continue;
        };
        match after {
            b"" => {
                names.push(written(text, false));
                others.push(written(text, true));
            }
            b"*" => others.push(extended(text)),
            [b'*', number @ .., b'*'] if number.iter().all(u8::is_ascii_digit) => joined.extend(extended(text)),
            [b'*', number @ ..] if number.iter().all(u8::is_ascii_digit) => joined.extend(written(text, false)),
            _ => {}
        }
    }
    // To PHP an apostrophe is a quote, too.
    if value.contains(&b'\'') {
        let quoted = Parameters::of(value, b"\"'").take(4 * NAMES_MAX);
        for (_, text) in quoted.filter(|(key, _)| key.eq_ignore_ascii_case(b"filename")) {
            let inner = text.strip_prefix(b"'").map(|inner| split_at(inner, |c| c == b'\'').0.to_vec());
            others.push(inner.unwrap_or_else(|| written(text, false)));
        }
    }
    names.push(joined);
    names.append(&mut others);
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for name in names {
        if !name.is_empty() && !kept.contains(&name) && kept.len() < NAMES_MAX {
            kept.push(name);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        assert_eq!(parameter(b"x; a=1; filename=b c ; d", b"filename"), Some(b"b c".to_vec()));
        assert_eq!(parameter(b"x; filename=\"C:\\dir\\f\"", b"filename"), Some(b"C:\\dir\\f".to_vec()));
        assert_eq!(parameter(b"x; y=\"; filename=z\"", b"filename"), None);
        assert_eq!(parameter(b" filename=b c; d", b"filename"), Some(b"b c".to_vec()));
        assert_eq!(parameter(b"x filename=b", b"filename"), None);
    }

    #[test]
    fn every_name_that_a_reader_takes() {
        let of = |value: &str| -> Vec<String> {
            names(value.as_bytes()).iter().map(|n| String::from_utf8_lossy(n).into_owned()).collect()
        };
        assert_eq!(of("form-data; name=\"f\"; filename=\"a.txt\""), ["a.txt"]);
        assert_eq!(of("form-data; filename=a.txt; FileName=b.php"), ["a.txt", "b.php"]);
        assert_eq!(of("form-data; filename*=UTF-8''b%2ephp"), ["b.php"]);
        assert_eq!(of("form-data; filename*=utf-8'en'b%zz.php; filename=a.txt"), ["a.txt", "b%zz.php"]);
        assert_eq!(of("form-data; filename*=b.php"), ["b.php"]);
        assert_eq!(of("form-data; filename*0=\"b\"; filename*1*=''%2ephp"), ["b.php"]);
        assert_eq!(of("form-data; filename=\"b\\.p\\hp\""), ["b\\.p\\hp", "b.php"]);
        assert_eq!(of("form-data; filename=\"a\\\"; filename=\\\"b\""), ["a\"; filename=\"b", "\\\"b\""]);
        assert_eq!(of("form-data; filename = \"a\" ; x"), ["a"]);
        assert_eq!(of("filename=\"a\"; name=f"), ["a"]);
        assert_eq!(of("form-data; filename='b.php'; x"), ["'b.php'", "b.php"]);
        assert_eq!(of("form-data; name='\"'; filename=b.php"), ["b.php"]);
        assert_eq!(of("form-data; name=it's; filename=b.php"), ["b.php"]);
        assert_eq!(of("form-data; filename=\"\"; filenames=x; filename*x=y"), [""; 0]);
        let many: String = (0..90).map(|i| format!("; filename={i}")).collect();
        assert_eq!(names(many.as_bytes()).len(), NAMES_MAX);
    }
}
