//! `flow`: direction and state of the connection, and what of it is looked at.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Code, Fault};
use crate::types::Direction;

pub const FLOW: Keyword = Keyword {
    name: "flow",
    aliases: &[],
    kind: Kind::Flow,
    argument: Argument::Plain,
    doc: "direction and state of the connection; stream or packets alone, fragments or not",
    syntax: "<to_server|to_client|from_server|from_client|established|not_established|stateless|only_stream|\
             no_stream|only_frag|no_frag>[,…]",
    example_ok: "flow:established,to_server;",
    example_bad: "flow:to_server,to_client;",
    parse: |b, v| flow(b, v).map_err(|f| f.at(v.span.clone())),
};

fn flow(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    b.once("flow")?;
    let text = v.text.to_ascii_lowercase();
    let mut words: Vec<&str> = Vec::new();
    for word in text.split(',').map(str::trim) {
        if words.contains(&word) {
            return Err(Fault::new(Code::Repeated, format!("`{word}` stands twice")));
        }
        words.push(word);
    }
    let f = &mut b.sig.flow;
    f.present = true;
    for word in words {
        match word {
            "to_server" | "from_client" => direction(&mut f.direction, Direction::ToServer)?,
            "to_client" | "from_server" => direction(&mut f.direction, Direction::ToClient)?,
            "established" => set(&mut f.established, true, word)?,
            "not_established" => set(&mut f.established, false, word)?,
            "stateless" => f.stateless = true,
            "only_stream" => f.only_stream = true,
            "no_stream" => f.no_stream = true,
            "only_frag" => set(&mut f.fragment, true, word)?,
            "no_frag" => set(&mut f.fragment, false, word)?,
            _ => return Err(Fault::argument(format!("`{word}` is unknown here")).help(FLOW.syntax)),
        }
    }
    if f.stateless && f.established.is_some() {
        return Err(Fault::new(Code::Conflict, "`stateless` goes with no state of the connection"));
    }
    if f.only_stream && f.no_stream {
        return Err(Fault::new(Code::Conflict, "`only_stream` and `no_stream` exclude each other"));
    }
    Ok(())
}

fn direction(place: &mut Option<Direction>, d: Direction) -> Result<(), Fault> {
    match place.replace(d) {
        Some(other) if other != d => Err(Fault::new(Code::Conflict, "two directions exclude each other")),
        Some(_) => Err(Fault::new(Code::Repeated, "the direction stands twice")),
        None => Ok(()),
    }
}

fn set(place: &mut Option<bool>, value: bool, word: &str) -> Result<(), Fault> {
    match place.replace(value) {
        Some(_) => Err(Fault::new(Code::Conflict, format!("`{word}` and its opposite exclude each other"))),
        None => Ok(()),
    }
}
