//! What happens beside the action: no alert, no further looking.

use super::{Argument, Keyword, Kind};

pub const NOALERT: Keyword = Keyword {
    name: "noalert",
    aliases: &[],
    kind: Kind::Action,
    argument: Argument::None,
    doc: "the rule matches without an alert",
    syntax: "",
    example_ok: "noalert;",
    example_bad: "noalert:1;",
    parse: |b, _| {
        b.sig.noalert = true;
        Ok(())
    },
};

pub const ALERT: Keyword = Keyword {
    name: "alert",
    aliases: &[],
    kind: Kind::Action,
    argument: Argument::None,
    doc: "the rule matches with an alert, also where its action would raise none",
    syntax: "",
    example_ok: "alert;",
    example_bad: "alert:1;",
    parse: |b, _| {
        b.sig.noalert = false;
        b.sig.alerts = true;
        Ok(())
    },
};

pub const BYPASS: Keyword = Keyword {
    name: "bypass",
    aliases: &[],
    kind: Kind::Action,
    argument: Argument::None,
    doc: "after a match the flow is inspected no further",
    syntax: "",
    example_ok: "bypass;",
    example_bad: "bypass:1;",
    parse: |b, _| {
        b.sig.bypass = true;
        Ok(())
    },
};
