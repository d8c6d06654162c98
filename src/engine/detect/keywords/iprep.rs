//! `iprep`: the reputation of the packet's addresses.

use super::{Argument, Keyword, Kind, Value};
use crate::detect::lang::{Builder, Fault, Reputation, SCORE_MAX};
use crate::detect::signature::{IntMatch, PacketFacts, PacketTest, TestBasis};
use std::net::IpAddr;
use std::sync::Arc;

pub const IPREP: Keyword = Keyword {
    name: "iprep",
    aliases: &[],
    kind: Kind::Header,
    argument: Argument::Plain,
    doc: "whether an address is in a reputation category, or its score there",
    syntax: "<any|src|dst|both>,<category>,<op>,<0-127> or <any|src|dst|both>,<category>,<isset|isnotset>",
    example_ok: "",
    example_bad: "iprep:src,unknown,>,10;",
    parse: |b, v| iprep(b, v).map_err(|f| f.at(v.span.clone())),
};

#[derive(Clone, Copy, Debug)]
enum Side {
    Any,
    Source,
    Destination,
    Both,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    Score(IntMatch),
    NotSet,
}

struct Asked {
    lists: Arc<Reputation>,
    category: u8,
    side: Side,
    wanted: Wanted,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "iprep {:?} category {} {:?}", self.side, self.category, self.wanted)
    }
}

impl Asked {
    fn holds(&self, a: IpAddr) -> bool {
        let score = self.lists.score(self.category, a);
        match self.wanted {
            Wanted::NotSet => score.is_none(),
            Wanted::Score(test) => score.is_some_and(|s| test.matches(s.into())),
        }
    }
}

impl PacketTest for Asked {
    fn matches(&self, facts: &PacketFacts<'_>) -> bool {
        let (src, dst) = (facts.packet.src(), facts.packet.dst());
        match self.side {
            Side::Any => self.holds(src) || self.holds(dst),
            Side::Source => self.holds(src),
            Side::Destination => self.holds(dst),
            Side::Both => self.holds(src) && self.holds(dst),
        }
    }

    fn basis(&self) -> TestBasis {
        TestBasis::Address
    }
}

fn iprep(b: &mut Builder<'_>, v: &Value<'_>) -> Result<(), Fault> {
    let shape = || Fault::argument("a side, a category and what is wanted of it").help(IPREP.syntax);
    let mut parts = v.text.split(',').map(str::trim);
    let side = match parts.next().unwrap_or("") {
        "any" => Side::Any,
        "src" => Side::Source,
        "dst" => Side::Destination,
        "both" => Side::Both,
        _ => return Err(shape()),
    };
    let name = parts.next().ok_or_else(shape)?;
    let op = parts.next().ok_or_else(shape)?;
    let score = parts.next();
    if parts.next().is_some() {
        return Err(shape());
    }
    let wanted = match (op, score) {
        ("isset", None) => Wanted::Score(IntMatch::Ge(0)),
        ("isnotset", None) => Wanted::NotSet,
        (_, Some(n)) => {
            let n: u64 = n.parse().ok().filter(|n| *n <= u64::from(SCORE_MAX)).ok_or_else(shape)?;
            Wanted::Score(match op {
                "<" => IntMatch::Lt(n),
                "<=" => IntMatch::Le(n),
                ">" => IntMatch::Gt(n),
                ">=" => IntMatch::Ge(n),
                "=" | "==" => IntMatch::Eq(n),
                "!=" => IntMatch::Ne(n),
                _ => return Err(shape()),
            })
        }
        _ => return Err(shape()),
    };
    let lists = Arc::clone(&b.cx.reputation);
    let Some(category) = lists.category(name) else {
        return Err(Fault::argument(format!("no reputation category is called `{name}`"))
            .help("categories come from the reputation categories file of the configuration"));
    };
    b.flow_test(Asked { lists, category, side, wanted });
    Ok(())
}
