//! The bytes a quoted content stands for: text, `\` before `;`, `:`, `"` and `\`, hexadecimal between bars.

use crate::detect::lang::Fault;

/// Bytes of one content at most.
const CONTENT_BYTES_MAX: usize = u16::MAX as usize;

pub fn content_bytes(text: &str) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(text.len());
    let mut hex = false;
    let mut high: Option<u8> = None;
    let mut escape = false;
    for b in text.bytes() {
        if b == b'|' && !escape {
            if high.is_some() {
                return Err(Fault::argument("half a byte before `|`").help("two digits make a byte: |0d 0a|"));
            }
            hex = !hex;
        } else if hex {
            match ((b as char).to_digit(16).and_then(|d| u8::try_from(d).ok()), high) {
                (Some(d), None) => high = Some(d),
                (Some(d), Some(h)) => {
                    out.push(h << 4 | d);
                    high = None;
                }
                (None, _) if b == b' ' || b == b',' => {}
                (None, _) => {
                    return Err(Fault::argument(format!("`{}` is no hexadecimal digit", b as char))
                        .help("between bars stand bytes in hexadecimal; a bar as text is |7c|"));
                }
            }
        } else if escape {
            if !matches!(b, b':' | b';' | b'\\' | b'"') {
                return Err(Fault::argument(format!("`\\{}` is no escape", b as char))
                    .help("escaped are only \\; \\: \\\" and \\\\"));
            }
            out.push(b);
            escape = false;
        } else if b == b'\\' {
            escape = true;
        } else if b == b'"' {
            return Err(Fault::argument("a quote within the string").help("write \\\" or |22|"));
        } else {
            out.push(b);
        }
    }
    if hex {
        return Err(Fault::argument("hexadecimal is not closed by `|`"));
    }
    if escape {
        return Err(Fault::argument("the string ends with a lone backslash"));
    }
    if out.is_empty() {
        return Err(Fault::argument("the string stands for no byte"));
    }
    if out.len() > CONTENT_BYTES_MAX {
        return Err(Fault::argument(format!("the string has more than {CONTENT_BYTES_MAX} bytes")));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_hexadecimal() {
        assert_eq!(content_bytes("a|0d 0A|b|7c|").unwrap(), b"a\r\nb|");
        assert_eq!(content_bytes(r#"\;\:\"\\"#).unwrap(), br#";:"\"#);
        assert_eq!(content_bytes("|00,01|").unwrap(), [0, 1]);
        for bad in ["|0|", "|0g|", "|00", "a\"b", r"\n", r"a\", "||", ""] {
            assert!(content_bytes(bad).is_err(), "{bad}");
        }
    }
}
