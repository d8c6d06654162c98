//! Tables of numbered names: what the kernel's program and this side both count by.

/// An enum numbered from 0 in the order of its rows, each with its name for people and a sentence.
macro_rules! named {
    ($(#[$meta:meta])* $table:ident { $($row:ident $word:literal $doc:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $table { $(#[doc = $doc] $row),* }

        impl $table {
            pub const ALL: &[$table] = &[$($table::$row),*];

            /// As people write and read it.
            pub const fn name(self) -> &'static str {
                match self { $($table::$row => $word),* }
            }

            pub const fn doc(self) -> &'static str {
                match self { $($table::$row => $doc),* }
            }
        }
    };
}
pub(crate) use named;
