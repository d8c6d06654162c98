//! How much inspection is left out under load.

/// Levels, each of which includes those before it. What it means for a flow is said in the worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shed {
    /// Everything is inspected.
    #[default]
    Nothing,
    /// Flows past their reassembly depth go uninspected: the most bytes for the least that is still looked for.
    Bulk,
    /// So do those that cost much more for each byte than others do.
    Costly,
    /// Only the first 16 KiB of each flow are inspected.
    AllButBeginnings,
}

impl Shed {
    pub const ALL: [Shed; 4] = [Shed::Nothing, Shed::Bulk, Shed::Costly, Shed::AllButBeginnings];

    /// As counters and logs call it.
    pub const fn name(self) -> &'static str {
        match self {
            Shed::Nothing => "nothing",
            Shed::Bulk => "bulk",
            Shed::Costly => "costly",
            Shed::AllButBeginnings => "all-but-beginnings",
        }
    }
}
