//! What supervisor, data planes and `stopgap ctl` say to each other: one JSON object a line.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, BufRead, Write};

/// A line is at most so long; a longer one ends the conversation.
pub const LINE_MAX: u64 = 8 << 20;

/// What an operator may ask of a run, and the supervisor of a data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "command")]
pub enum Ask {
    Status,
    Stats,
    /// Rules and configuration anew. `partial`: take what loads even if some of it does not.
    Reload {
        partial: bool,
    },
    /// Everything through uninspected, of one pair or of all.
    Bypass {
        on: bool,
        pair: Option<String>,
    },
    /// Flush what is open and end.
    Stop,
    /// Go wrong.
    #[cfg(feature = "faults")]
    Fault {
        what: super::fault::Fault,
    },
}

/// To a data plane.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub ask: Ask,
}

/// The answer to an `Ask`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Done(Value),
    Failed(String),
}

/// From a data plane.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Say {
    /// Every worker takes frames.
    Ready(Value),
    /// Every worker has finished a batch lately.
    Alive,
    Answer {
        id: u64,
        answer: Answer,
    },
    /// For the operator's eyes.
    Alarm(String),
}

pub fn send<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::from)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// The next message; `None` when the other side is gone.
pub fn receive<T: for<'de> Deserialize<'de>>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    io::Read::take(&mut *from, LINE_MAX).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return if line.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
    }
    serde_json::from_slice(&line).map(Some).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn messages_survive_the_way() {
        let mut bytes = Vec::new();
        let asks = [Ask::Stats, Ask::Reload { partial: true }, Ask::Bypass { on: true, pair: Some("a:b".into()) }];
        for ask in &asks {
            send(&mut bytes, ask).unwrap();
        }
        let mut from = BufReader::new(&bytes[..]);
        for ask in asks {
            assert_eq!(receive::<Ask>(&mut from).unwrap(), Some(ask));
        }
        assert_eq!(receive::<Ask>(&mut from).unwrap(), None);
        for broken in ["{\"command\":\"stats\"}", "{}\n", "stats\n", "\u{0}\n"] {
            assert!(receive::<Ask>(&mut BufReader::new(broken.as_bytes())).is_err(), "{broken:?}");
        }
    }
}
