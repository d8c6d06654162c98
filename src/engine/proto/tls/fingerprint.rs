//! JA3, JA3S (MD5 of the decimal values of a hello) and JA4 (FoxIO's TLS client fingerprint, BSD part of the
//! specification).

use super::hello::{EXT_ALPN, EXT_SNI, Hello};
use super::version::is_grease;
use md5::{Digest, Md5};
use sha2::Sha256;
use std::fmt::Write;

/// `version,ciphers,extensions,groups,point formats`, lists joined by dashes, reserved values left out.
pub fn ja3(hello: &Hello) -> String {
    let mut text = String::with_capacity(256);
    let _ = write!(text, "{},", hello.legacy_version.0);
    join(&mut text, hello.ciphers.iter().copied());
    text.push(',');
    join(&mut text, hello.extensions.iter().copied());
    text.push(',');
    join(&mut text, hello.groups.iter().copied());
    text.push(',');
    join(&mut text, hello.point_formats.iter().map(|f| u16::from(*f)));
    text
}

/// `version,cipher,extensions` of the server's hello.
pub fn ja3s(hello: &Hello) -> String {
    let mut text = String::with_capacity(64);
    let _ = write!(text, "{},", hello.legacy_version.0);
    join(&mut text, hello.ciphers.iter().copied());
    text.push(',');
    join(&mut text, hello.extensions.iter().copied());
    text
}

/// Lower-case hexadecimal MD5.
pub fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

/// What was spoken, counted and hashed: `t13d1516h2_8daaf6152771_e5627efa2ab1`. `transport` is `t` over TCP, `q` over
/// QUIC.
pub fn ja4(hello: &Hello, transport: char) -> String {
    let mut ciphers: Vec<u16> = hello.ciphers.iter().copied().filter(|c| !is_grease(*c)).collect();
    let mut extensions: Vec<u16> = hello.extensions.iter().copied().filter(|e| !is_grease(*e)).collect();
    let (first, last) = alpn_ends(hello.alpns.first().map_or(&[], |a| a));
    let mut text = String::with_capacity(36);
    let _ = write!(
        text,
        "{transport}{}{}{:02}{:02}{first}{last}_",
        // Drafts have no letters of their own.
        if hello.version.is_draft() { hello.legacy_version } else { hello.version }.ja4(),
        if hello.sni.is_some() || hello.extensions.contains(&EXT_SNI) { 'd' } else { 'i' },
        ciphers.len().min(99),
        extensions.len().min(99),
    );
    ciphers.sort_unstable();
    text.push_str(&short_hash(&hex_list(&ciphers)));
    extensions.retain(|e| *e != EXT_SNI && *e != EXT_ALPN);
    extensions.sort_unstable();
    let mut list = hex_list(&extensions);
    let algorithms: Vec<u16> = hello.signature_algorithms.iter().copied().filter(|a| !is_grease(*a)).collect();
    // The separator stands even where nothing is on either side of it, as rules' hashes of such hellos have it.
    list.push('_');
    list.push_str(&hex_list(&algorithms));
    text.push('_');
    text.push_str(&short_hash(&list));
    text
}

/// First and last character of the first protocol name; of its hexadecimal form where either is not alphanumeric.
fn alpn_ends(name: &[u8]) -> (char, char) {
    match (name.first(), name.last()) {
        (Some(first), Some(last)) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() => {
            (char::from(*first), char::from(*last))
        }
        (Some(first), Some(last)) => {
            let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
            (digit(first >> 4), digit(last & 0xf))
        }
        _ => ('0', '0'),
    }
}

fn join(text: &mut String, values: impl Iterator<Item = u16>) {
    for (i, value) in values.filter(|v| !is_grease(*v)).enumerate() {
        if i > 0 {
            text.push('-');
        }
        let _ = write!(text, "{value}");
    }
}

fn hex_list(values: &[u16]) -> String {
    let mut text = String::with_capacity(values.len() * 5);
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        let _ = write!(text, "{value:04x}");
    }
    text
}

/// The first twelve digits of the list's SHA-256.
fn short_hash(list: &str) -> String {
    hex(Sha256::digest(list.as_bytes()).get(..6).unwrap_or(&[]))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::version::Version;
    use super::*;

    #[test]
    fn ja3_of_the_paper() {
        // The example in the description of JA3: lists in order, empty fields kept.
        let hello = Hello {
            legacy_version: Version(769),
            ciphers: vec![47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
            extensions: [0, 10, 11].as_slice().into(),
            groups: [23, 24, 25].as_slice().into(),
            point_formats: [0].as_slice().into(),
            ..Hello::default()
        };
        let text = ja3(&hello);
        assert_eq!(text, "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0");
        assert_eq!(md5_hex(&text), "ada70206e40642a3e4461f35503241d5");
        let bare = Hello {
            legacy_version: Version(769),
            ciphers: vec![4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99],
            ..Hello::default()
        };
        assert_eq!(ja3(&bare), "769,4-5-10-9-100-98-3-6-19-18-99,,,");
        assert_eq!(md5_hex(&ja3(&bare)), "de350869b8c85de67a350c8d186f11e6");
    }

    #[test]
    fn ja4_of_the_specification() {
        let hello = Hello {
            legacy_version: Version::TLS12,
            version: Version::TLS13,
            ciphers: vec![
                0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
                0x009d, 0x002f, 0x0035,
            ],
            extensions: [
                0x2a2a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
                0xff01, 0x000b, 0x000a, 0x0015, 0x3a3a,
            ]
            .as_slice()
            .into(),
            signature_algorithms: [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601].as_slice().into(),
            alpns: [Box::from(&b"h2"[..])].into_iter().collect(),
            sni: Some(Box::from(&b"a"[..])),
            ..Hello::default()
        };
        assert_eq!(ja4(&hello, 't'), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        let old = Hello { extensions: [0x000b, 0x000a, 0x0023, 0x000f].as_slice().into(), ..Hello::default() };
        assert_eq!(ja4(&old, 't'), "t00i000400_e3b0c44298fc_e190e6f68b9b");
        assert_eq!(ja4(&Hello::default(), 't'), "t00i000000_e3b0c44298fc_d2e2adf7177b");
    }
}
