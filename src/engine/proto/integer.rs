//! Tests of unsigned numbers, as many keywords of protocols write them: `5`, `!5`, `>=5`, `<5`, `2-9`, `!2-9`,
//! `&0xc0=0x80`, or a name from the keyword's own table; and of lists of numbers: `5,all`, `5,-1`, `count >3`.
//!
//! Ranges exclude both ends. Numbers are decimal, hexadecimal after `0x`, or with a unit (kb, mb, gb and their -ib
//! forms, all powers of 1024).

use crate::detect::keywords::int_match;
use crate::detect::signature::IntMatch;

/// One test of a number of at most `max`; `names` are alternatives to numbers, any case, and `!` turns one round.
pub fn int_test(text: &str, max: u64, names: &[(&str, u64)]) -> Result<IntMatch, String> {
    let text = text.trim();
    let (negated, word) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    match names.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
        Some((_, value)) => Ok(if negated { IntMatch::Ne(*value) } else { IntMatch::Eq(*value) }),
        None => int_match(text, max).map_err(|fault| fault.message),
    }
}

/// Which members of a list a test is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Any,
    All,
    AllOrAbsent,
    OrAbsent,
    /// The number of members that match.
    Times(IntMatch),
    /// From the front, or with a negative number from the back.
    At(i64),
    /// Likewise, or there is no such member.
    AtOrOut(i64),
    /// The test is of the number of members.
    Count,
}

/// A test of a list of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntListTest {
    test: IntMatch,
    which: Which,
    slice: Option<(i64, i64)>,
}

impl IntListTest {
    pub fn parse(text: &str, max: u64, names: &[(&str, u64)]) -> Result<IntListTest, String> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("count").filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric())) {
            let test = int_test(rest, u64::from(u32::MAX), &[])?;
            return Ok(IntListTest { test, which: Which::Count, slice: None });
        }
        let mut parts = text.split(',').map(str::trim);
        let test = int_test(parts.next().unwrap_or(""), max, names)?;
        let which = parts.next().map_or(Ok(Which::Any), which)?;
        let slice = parts.next().map(slice).transpose()?;
        match parts.next() {
            Some(more) => Err(format!("`{more}` is one part too many: value, index, subslice")),
            None => Ok(IntListTest { test, which, slice }),
        }
    }

    pub fn holds(&self, values: impl ExactSizeIterator<Item = u64> + Clone) -> bool {
        let (skip, take) = self.slice.map_or((0, values.len()), |(from, to)| span(from, to, values.len()));
        let mut values = values.skip(skip).take(take);
        let len = values.len();
        match self.which {
            Which::Any => values.any(|v| self.test.matches(v)),
            Which::OrAbsent => len == 0 || values.any(|v| self.test.matches(v)),
            Which::All => len > 0 && values.all(|v| self.test.matches(v)),
            Which::AllOrAbsent => values.all(|v| self.test.matches(v)),
            Which::Times(times) => times.matches(values.filter(|v| self.test.matches(*v)).count() as u64),
            Which::At(at) => position(at, len).and_then(|i| values.nth(i)).is_some_and(|v| self.test.matches(v)),
            Which::AtOrOut(at) => position(at, len).and_then(|i| values.nth(i)).is_none_or(|v| self.test.matches(v)),
            Which::Count => self.test.matches(len as u64),
        }
    }
}

/// First member and number of members of a subslice; empty where an end is out of bounds.
fn span(from: i64, to: i64, len: usize) -> (usize, usize) {
    let place = |at: i64| {
        let back = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
        if at < 0 { len.checked_sub(back) } else { Some(back).filter(|b| *b <= len) }
    };
    match (place(from), place(to)) {
        (Some(from), Some(to)) if from <= to => (from, to - from),
        _ => (0, 0),
    }
}

/// Index of the `at`-th of `len`.
fn position(at: i64, len: usize) -> Option<usize> {
    let i =
        if at < 0 { len.checked_sub(usize::try_from(at.unsigned_abs()).ok()?)? } else { usize::try_from(at).ok()? };
    Some(i).filter(|i| *i < len)
}

fn which(text: &str) -> Result<Which, String> {
    let index = |s: &str| s.trim().parse::<i64>().map_err(|_| format!("`{s}` is not an index"));
    Ok(match text {
        "any" => Which::Any,
        "all" => Which::All,
        "all_or_absent" => Which::AllOrAbsent,
        "or_absent" => Which::OrAbsent,
        _ => {
            if let Some(rest) = text.strip_prefix("oob_or") {
                Which::AtOrOut(index(rest)?)
            } else if let Some(rest) = text.strip_prefix("nb") {
                Which::Times(int_test(rest, u64::from(u32::MAX), &[])?)
            } else {
                Which::At(index(text)?)
            }
        }
    })
}

fn slice(text: &str) -> Result<(i64, i64), String> {
    let wrong = || format!("`{text}` is not a subslice such as 2:4 or -4:-1");
    let (from, to) = text.split_once(':').ok_or_else(wrong)?;
    Ok((from.trim().parse().map_err(|_| wrong())?, to.trim().parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_one_number() {
        let p = |s| int_test(s, 255, &[("text", 1)]).unwrap();
        for (text, yes, no) in [
            ("19", 19, 18),
            ("=0x13", 19, 18),
            ("!0x14", 19, 20),
            ("!=20", 19, 20),
            (">21", 22, 21),
            (">=21", 21, 20),
            ("<22", 21, 22),
            ("<=22", 22, 23),
            ("19-22", 20, 22),
            ("19<>22", 21, 19),
            ("!19-22", 22, 20),
            ("&0xc0=0x80", 0xbf, 0xc0),
            ("&0xc0!=0", 0x40, 0x3f),
            ("TEXT", 1, 2),
            ("!text", 2, 1),
            (" 7 ", 7, 8),
        ] {
            assert!(p(text).matches(yes), "{text} {yes}");
            assert!(!p(text).matches(no), "{text} {no}");
        }
        for text in ["", "256", "x", "1-2", "5-1", "&0xc0=2", "&3", "1kb", "-", "0x", "99999999999999999999"] {
            assert!(int_test(text, 255, &[]).is_err(), "{text}");
        }
        assert_eq!(int_test("2kb", u64::MAX, &[]), Ok(IntMatch::Eq(2048)));
    }

    #[test]
    fn tests_of_lists() {
        let holds = |s: &str, v: &[u64]| IntListTest::parse(s, 65_535, &[("A", 1)]).unwrap().holds(v.iter().copied());
        assert!(holds("a", &[5, 1]) && !holds("a", &[]) && !holds("a", &[2]));
        assert!(holds("a,all", &[1, 1]) && !holds("a,all", &[1, 2]) && !holds("a,all", &[]));
        assert!(holds("a,all_or_absent", &[]) && holds("a,or_absent", &[]) && !holds("a,or_absent", &[2]));
        assert!(holds("a,nb>1", &[1, 2, 1]) && !holds("a,nb>1", &[1, 2]));
        assert!(holds("a,0", &[1, 2]) && holds("a,-1", &[2, 1]) && !holds("a,1", &[1]) && !holds("a,-2", &[1]));
        assert!(holds("a,oob_or 3", &[2]) && !holds("a,oob_or 0", &[2]));
        assert!(holds("count >1", &[9, 9]) && !holds("count 1", &[]));
        let six = [1, 2, 3, 4, 5, 6];
        for (slice, in_it) in
            [("2:4", vec![3, 4]), ("-4:-1", vec![3, 4, 5]), ("3:-1", vec![4, 5]), ("-4:4", vec![3, 4])]
        {
            for n in 1..=7 {
                assert_eq!(holds(&format!("{n},any,{slice}"), &six), in_it.contains(&n), "{slice} {n}");
            }
        }
        assert!(!holds("1,any,0:9", &six));
        assert!(IntListTest::parse("1,sometimes", 9, &[]).is_err());
        assert!(IntListTest::parse("1,any,1:2,3", 9, &[]).is_err());
    }
}
