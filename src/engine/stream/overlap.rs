//! Which copy of a byte a receiver keeps when segments overlap.
//!
//! Facts from Novak and Sturges, "Target-Based TCP Stream Reassembly" (2007), and the operating systems named there.
//! A policy looks at where the new segment begins and ends against the segment that owns the byte so far.

use super::OsPolicy;

/// A segment's range of stream offsets, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub start: u64,
    pub end: u64,
}

/// Whether `new` takes the bytes it shares with `old`.
pub(super) const fn new_wins(policy: OsPolicy, new: Range, old: Range) -> bool {
    use OsPolicy::*;
    let before = new.start < old.start;
    let same_start = new.start == old.start;
    match policy {
        First | Vista => false,
        Last => true,
        Bsd | Hpux10 | Irix | Windows | Windows2k3 | MacOs => before,
        OldLinux => before || (same_start && new.end == old.end),
        Linux => before || (same_start && new.end > old.end),
        // A new segment that reaches the old one's end takes it; the same start and a longer tail does not.
        Solaris | Hpux11 => {
            if same_start {
                new.end == old.end
            } else {
                new.end >= old.end
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Range = Range { start: 10, end: 20 };

    fn row(policy: OsPolicy) -> Vec<bool> {
        // Before and within, before and past, before to the same end, same start shorter, same, same start longer,
        // inside, after to the same end, after and past.
        [(5, 15), (5, 25), (5, 20), (10, 15), (10, 20), (10, 25), (12, 18), (12, 20), (12, 25)]
            .iter()
            .map(|&(start, end)| new_wins(policy, Range { start, end }, OLD))
            .collect()
    }

    #[test]
    fn policies_follow_the_paper() {
        let (t, f) = (true, false);
        assert_eq!(row(OsPolicy::First), [f; 9]);
        assert_eq!(row(OsPolicy::Vista), [f; 9]);
        assert_eq!(row(OsPolicy::Last), [t; 9]);
        for p in [OsPolicy::Bsd, OsPolicy::Windows, OsPolicy::Windows2k3, OsPolicy::MacOs, OsPolicy::Irix] {
            assert_eq!(row(p), [t, t, t, f, f, f, f, f, f], "{p:?}");
        }
        assert_eq!(row(OsPolicy::Linux), [t, t, t, f, f, t, f, f, f]);
        assert_eq!(row(OsPolicy::OldLinux), [t, t, t, f, t, f, f, f, f]);
        assert_eq!(row(OsPolicy::Solaris), [f, t, t, f, t, f, f, t, t]);
    }
}
