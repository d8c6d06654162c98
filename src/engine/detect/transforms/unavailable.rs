//! Transforms of the language that need something this engine does not have.

use super::TransformKeyword;
use crate::detect::keywords::Argument;
use crate::detect::lang::{Code, Fault};

macro_rules! unavailable {
    ($($id:ident $name:literal $doc:literal $why:literal;)*) => {$(
        pub const $id: TransformKeyword = TransformKeyword {
            name: $name,
            aliases: &[],
            argument: Argument::Any,
            doc: $doc,
            syntax: "<not available>",
            example_ok: "",
            example_bad: "",
            parse: |_| Err(Fault::new(Code::Unsupported, concat!("`", $name, "` is not available: ", $why))),
        };
    )*};
}

unavailable! {
    LUAXFORM "luaxform" "what a script makes of the buffer; refused" "scripts are not run on packets";
    DOMAIN "domain" "the registrable domain of a name; refused" "there is no list of public suffixes";
    TLD "tld" "the public suffix of a name; refused" "there is no list of public suffixes";
}
