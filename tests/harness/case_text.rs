//! Packets of a case in text: what two hosts say to each other, line by line. `tests/cases/README.md` is its manual.
//!
//! A line that begins with a space goes on with the line before; `#` begins a comment line. Each frame comes a
//! millisecond after the one before. Errors name the line.

use crate::case_frames::{Wrap, fragment};
use crate::craft::{self, ACK, Conversation, FIN, ISN, PSH, RST, SYN};
use crate::dialogue::TimedFrame;

/// A frame of a case and what it travels in. Wrapped last, so that its segment can be cut before.
#[derive(Clone, Debug)]
pub struct CaseFrame {
    pub frame: TimedFrame,
    pub wrap: Wrap,
}

const START_MICROS: i64 = 1_700_000_000_000_000;
const STEP_MICROS: i64 = 1_000;
/// Bytes that one `*N` may make.
const REPEAT_MAX: usize = 1 << 20;

/// Reads the text; an error is its line, from 1, and what is wrong there.
pub fn parse(text: &str) -> Result<Vec<CaseFrame>, (usize, String)> {
    let mut script =
        Script { micros: START_MICROS, frames: Vec::new(), talk: Talk::None, wrap: Wrap::None, fragment: 0 };
    let mut statement: Option<(usize, String)> = None;
    for (i, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match (&mut statement, line.starts_with(' ')) {
            (Some((_, s)), true) => s.push_str(line),
            (None, true) => return Err((i + 1, "a line that goes on, but nothing before it".into())),
            (_, false) => {
                if let Some((n, s)) = statement.replace((i + 1, line.to_owned())) {
                    script.statement(&s).map_err(|e| (n, e))?;
                }
            }
        }
    }
    if let Some((n, s)) = statement {
        script.statement(&s).map_err(|e| (n, e))?;
    }
    Ok(script.frames)
}

enum Talk {
    None,
    Tcp(Conversation),
    Udp(u16, u16),
}

struct Script {
    micros: i64,
    frames: Vec<CaseFrame>,
    talk: Talk,
    wrap: Wrap,
    /// Bytes of a fragment of a datagram; 0: whole.
    fragment: usize,
}

impl Script {
    fn statement(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            ">" | "<" => self.say(word == ">", &bytes(rest)?),
            "tcp" => self.tcp(rest),
            "udp" => {
                let (client, server) = ports(rest)?;
                self.talk = Talk::Udp(client, server);
                Ok(())
            }
            "segment" => self.segment(rest),
            "skip" => self.skip(rest),
            "close" => match std::mem::replace(&mut self.talk, Talk::None) {
                Talk::Tcp(c) => {
                    self.add(c.close());
                    Ok(())
                }
                _ => Err("no TCP connection to close".into()),
            },
            "icmp" => {
                let (to_server, rest) = side(rest)?;
                let (kind, rest) = number(rest)?;
                let (code, rest) = number(rest)?;
                self.push(to_server, craft::icmp(to_server, kind, code, &bytes(rest)?));
                Ok(())
            }
            "frame" => {
                let (to_server, rest) = side(rest)?;
                self.push(to_server, bytes(rest)?);
                Ok(())
            }
            "wait" => {
                let (seconds, _) = number::<i64>(rest)?;
                self.micros += seconds.saturating_mul(1_000_000);
                Ok(())
            }
            "fragment" => {
                let (size, _) = number(rest)?;
                if size % 8 != 0 {
                    return Err("fragments are multiples of 8 bytes long".into());
                }
                self.fragment = size;
                Ok(())
            }
            "wrap" => {
                self.wrap = wrapping(rest)?;
                Ok(())
            }
            _ => Err(format!("`{word}` is not a statement")),
        }
    }

    fn tcp(&mut self, rest: &str) -> Result<(), String> {
        let open = !rest.ends_with("midstream");
        let (client, server) = ports(rest.trim_end_matches("midstream"))?;
        let make = if open { Conversation::open } else { Conversation::unopened };
        self.talk = Talk::Tcp(make(client, server));
        self.take();
        Ok(())
    }

    fn say(&mut self, to_server: bool, bytes: &[u8]) -> Result<(), String> {
        match &mut self.talk {
            Talk::Tcp(c) => {
                c.send(to_server, bytes);
                self.take();
            }
            Talk::Udp(client, server) => {
                let data = craft::udp(to_server, *client, *server, 0, bytes).data;
                self.push(to_server, data);
            }
            Talk::None => return Err("nobody talks: begin with `tcp` or `udp`".into()),
        }
        Ok(())
    }

    fn segment(&mut self, rest: &str) -> Result<(), String> {
        let (to_server, rest) = side(rest)?;
        let (seq, rest) = number::<u32>(rest)?;
        let (letters, rest) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        let flags = letters.chars().try_fold(0, |all, c| Some(all | flag(c)?));
        let flags = flags.ok_or_else(|| format!("`{letters}`: flags are letters of SAFRP"))?;
        let bytes = bytes(rest)?;
        let Talk::Tcp(c) = &mut self.talk else { return Err("a segment needs a `tcp` before".into()) };
        let us = usize::from(!to_server);
        let ack = if flags & ACK == 0 { 0 } else { c.seq[1 - us] };
        c.segment(to_server, ISN[us].wrapping_add(seq), ack, flags, &bytes);
        self.take();
        Ok(())
    }

    fn skip(&mut self, rest: &str) -> Result<(), String> {
        let (to_server, rest) = side(rest)?;
        let (count, _) = number::<u32>(rest)?;
        let Talk::Tcp(c) = &mut self.talk else { return Err("only a `tcp` has sequence numbers".into()) };
        let us = usize::from(!to_server);
        c.seq[us] = c.seq[us].wrapping_add(count);
        Ok(())
    }

    fn take(&mut self) {
        if let Talk::Tcp(c) = &mut self.talk {
            let frames = std::mem::take(&mut c.frames);
            self.add(frames);
        }
    }

    fn add(&mut self, frames: Vec<TimedFrame>) {
        frames.into_iter().for_each(|f| self.push(f.to_server, f.data));
    }

    fn push(&mut self, to_server: bool, data: Vec<u8>) {
        let parts = if self.fragment > 0 { fragment(&data, self.fragment) } else { vec![data] };
        for data in parts {
            self.micros += STEP_MICROS;
            let frame = TimedFrame { micros: self.micros, to_server, data };
            self.frames.push(CaseFrame { frame, wrap: self.wrap });
        }
    }
}

fn flag(letter: char) -> Option<u8> {
    [('S', SYN), ('A', ACK), ('F', FIN), ('R', RST), ('P', PSH)].iter().find(|(l, _)| *l == letter).map(|(_, f)| *f)
}

fn side(rest: &str) -> Result<(bool, &str), String> {
    let rest = rest.trim_start();
    match rest.split_at_checked(1) {
        Some((">", rest)) => Ok((true, rest)),
        Some(("<", rest)) => Ok((false, rest)),
        _ => Err("`>` (from the client) or `<` (from the server) is missing".into()),
    }
}

fn number<T: std::str::FromStr>(rest: &str) -> Result<(T, &str), String> {
    let rest = rest.trim_start();
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok((word.parse().map_err(|_| format!("`{word}` is not a number that fits here"))?, rest))
}

fn ports(rest: &str) -> Result<(u16, u16), String> {
    let (client, server) = rest.split_once('>').ok_or("write CLIENT-PORT > SERVER-PORT")?;
    Ok((number(client)?.0, number(server)?.0))
}

fn wrapping(rest: &str) -> Result<Wrap, String> {
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok(match word {
        "none" => Wrap::None,
        "gre" => Wrap::Gre,
        "vlan" => Wrap::Vlan(number(rest)?.0),
        "vxlan" => Wrap::Vxlan(number(rest)?.0),
        "qinq" => {
            let (outer, rest) = number(rest)?;
            Wrap::QinQ(outer, number(rest)?.0)
        }
        _ => return Err(format!("`{word}`: wraps are none, vlan, qinq, gre and vxlan")),
    })
}

/// Strings with escapes and hex between bars, one after the other; a string or bars with `*N` are said N times.
fn bytes(mut rest: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    loop {
        rest = rest.trim_start();
        let (part, after) = match rest.as_bytes().first() {
            None => return Ok(out),
            Some(b'"') => quoted(&rest[1..])?,
            Some(b'|') => {
                let (hex, after) = rest[1..].split_once('|').ok_or("`|` is not closed")?;
                (hexadecimal(hex)?, after)
            }
            Some(_) => return Err(format!("bytes are \"text\" or |hex|, not `{rest}`")),
        };
        let (times, after) = match after.strip_prefix('*') {
            Some(after) => number::<usize>(after)?,
            None => (1, after),
        };
        if part.len().saturating_mul(times) > REPEAT_MAX {
            return Err(format!("*{times} makes more than {REPEAT_MAX} bytes"));
        }
        out.extend(part.repeat(times));
        rest = after;
    }
}

fn quoted(rest: &str) -> Result<(Vec<u8>, &str), String> {
    let mut out = Vec::new();
    let mut chars = rest.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &rest[i + 1..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('r') => out.push(b'\r'),
                Some('n') => out.push(b'\n'),
                Some('t') => out.push(b'\t'),
                Some(c @ ('\\' | '"')) => out.push(c as u8),
                Some('x') => {
                    let hex = rest.get(i + 2..i + 4).ok_or("\\x wants two digits")?;
                    out.extend(hexadecimal(hex)?);
                    chars.nth(1);
                }
                _ => return Err("escapes are \\r \\n \\t \\\\ \\\" and \\xNN".into()),
            },
            c => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("`\"` is not closed".into())
}

fn hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let pair = |p: &[u8]| {
        let s = std::str::from_utf8(p).ok().filter(|s| s.len() == 2)?;
        u8::from_str_radix(s, 16).ok()
    };
    digits.chunks(2).map(pair).collect::<Option<_>>().ok_or_else(|| format!("`{text}` is not pairs of hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_in_text() {
        let frames = parse("# hello\ntcp 40000 > 80\n> \"a\\r\\n\\x41\" |42 43|\n  \"d\"*3\nclose\n").unwrap();
        assert_eq!(frames.len(), 3 + 2 + 3);
        assert!(frames[3].frame.data.ends_with(b"a\r\nABCddd"));
        assert!(frames.windows(2).all(|w| w[0].frame.micros < w[1].frame.micros));
    }

    #[test]
    fn errors_name_their_line() {
        for (text, line, word) in [
            ("tcp 1 > 2\n> \"open\n", 2, "not closed"),
            ("\n> \"a\"\n", 2, "nobody talks"),
            ("udp 1 > 70000\n", 1, "70000"),
            ("tcp 1 > 2\nsegment > 1 X \"a\"\n", 2, "SAFRP"),
            ("udp 1 > 2\n> |0|\n", 2, "hex"),
            ("talk\n", 1, "talk"),
            ("wrap box\n", 1, "box"),
        ] {
            let (at, message) = parse(text).unwrap_err();
            assert!(at == line && message.contains(word), "{text:?}: {at}: {message}");
        }
    }
}
