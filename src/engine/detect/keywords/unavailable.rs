//! Keywords of the language that need something this engine does not have: known, so that the refusal can say why.

use super::{Argument, Keyword, Kind};
use crate::detect::lang::{Code, Fault};

macro_rules! unavailable {
    ($($id:ident $name:literal [$($alias:literal),*] $kind:ident $doc:literal $why:literal;)*) => {$(
        pub const $id: Keyword = Keyword {
            name: $name,
            aliases: &[$($alias),*],
            kind: Kind::$kind,
            argument: Argument::Any,
            doc: $doc,
            syntax: "<not available>",
            example_ok: "",
            example_bad: concat!($name, ":x;"),
            parse: |_, _| Err(Fault::new(Code::Unsupported, concat!("`", $name, "` is not available: ", $why))),
        };
    )*};
}

unavailable! {
    GEOIP "geoip" [] Header "the country of an address; refused" "there is no table of countries";
    LUA "lua" ["luajit"] Payload "a script that decides; refused" "scripts are not run on packets";
    ELEPHANT "flow.elephant" [] Flow "whether the flow is very large; refused" "rates of flows are not measured";
}
