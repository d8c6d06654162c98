//! Tests of unsigned numbers, as many keywords of protocols write them: `5`, `!5`, `>=5`, `<5`, `2-9`, `!2-9`,
//! `&0xc0=0x80`, or a name from the keyword's own table; and of lists of numbers: `5,all`, `5,-1`, `count >3`.
//!
//! Ranges exclude both ends. Numbers are decimal, hexadecimal after `0x`, or with a unit (kb, mb, gb and their -ib
//! forms, all powers of 1024).

/// A test of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntTest {
    Eq(u64),
    Ne(u64),
    Lt(u64),
    Le(u64),
    Gt(u64),
    Ge(u64),
    /// Strictly between.
    Between(u64, u64),
    NotBetween(u64, u64),
    /// `value & .0 == .1`
    Mask(u64, u64),
    NotMask(u64, u64),
}

impl IntTest {
    /// Parses one test of a number of at most `max`; `names` are alternatives to numbers, any case.
    pub fn parse(text: &str, max: u64, names: &[(&str, u64)]) -> Result<IntTest, String> {
        let text = text.trim();
        let number = |s: &str| number(s, max);
        if let Some(rest) = text.strip_prefix('&') {
            let (mask, value, negated) = match (rest.split_once("!="), rest.split_once('=')) {
                (Some((m, v)), _) => (m, v, true),
                (None, Some((m, v))) => (m, v, false),
                (None, None) => return Err(format!("`{text}` has no `=` after its mask")),
            };
            let (mask, value) = (number(mask)?, number(value)?);
            if value & !mask != 0 {
                return Err(format!("`{text}` can never match: the value has bits outside the mask"));
            }
            return Ok(if negated { IntTest::NotMask(mask, value) } else { IntTest::Mask(mask, value) });
        }
        for (sign, make) in [(">=", IntTest::Ge as fn(u64) -> IntTest), ("<=", IntTest::Le), (">", IntTest::Gt)] {
            if let Some(rest) = text.strip_prefix(sign) {
                return number(rest).map(make);
            }
        }
        if let Some(rest) = text.strip_prefix('<') {
            return number(rest).map(IntTest::Lt);
        }
        let (negated, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let rest = rest.strip_prefix('=').unwrap_or(rest).trim();
        if let Some((_, value)) = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(rest)) {
            return Ok(if negated { IntTest::Ne(*value) } else { IntTest::Eq(*value) });
        }
        if let Some((low, high)) = rest.split_once("<>").or_else(|| rest.split_once('-')) {
            let (low, high) = (number(low)?, number(high)?);
            if high <= low || high - low == 1 {
                return Err(format!("`{rest}` holds no number: ranges exclude both ends"));
            }
            return Ok(if negated { IntTest::NotBetween(low, high) } else { IntTest::Between(low, high) });
        }
        number(rest).map(if negated { IntTest::Ne } else { IntTest::Eq })
    }

    pub fn holds(self, value: u64) -> bool {
        match self {
            IntTest::Eq(n) => value == n,
            IntTest::Ne(n) => value != n,
            IntTest::Lt(n) => value < n,
            IntTest::Le(n) => value <= n,
            IntTest::Gt(n) => value > n,
            IntTest::Ge(n) => value >= n,
            IntTest::Between(low, high) => low < value && value < high,
            IntTest::NotBetween(low, high) => !(low < value && value < high),
            IntTest::Mask(mask, want) => value & mask == want,
            IntTest::NotMask(mask, want) => value & mask != want,
        }
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
    Times(IntTest),
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
    test: IntTest,
    which: Which,
    slice: Option<(i64, i64)>,
}

impl IntListTest {
    pub fn parse(text: &str, max: u64, names: &[(&str, u64)]) -> Result<IntListTest, String> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("count").filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric())) {
            let test = IntTest::parse(rest, u64::from(u32::MAX), &[])?;
            return Ok(IntListTest { test, which: Which::Count, slice: None });
        }
        let mut parts = text.split(',').map(str::trim);
        let test = IntTest::parse(parts.next().unwrap_or(""), max, names)?;
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
            Which::Any => values.any(|v| self.test.holds(v)),
            Which::OrAbsent => len == 0 || values.any(|v| self.test.holds(v)),
            Which::All => len > 0 && values.all(|v| self.test.holds(v)),
            Which::AllOrAbsent => values.all(|v| self.test.holds(v)),
            Which::Times(times) => times.holds(values.filter(|v| self.test.holds(*v)).count() as u64),
            Which::At(at) => position(at, len).and_then(|i| values.nth(i)).is_some_and(|v| self.test.holds(v)),
            Which::AtOrOut(at) => position(at, len).and_then(|i| values.nth(i)).is_none_or(|v| self.test.holds(v)),
            Which::Count => self.test.holds(len as u64),
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
                Which::Times(IntTest::parse(rest, u64::from(u32::MAX), &[])?)
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

fn number(text: &str, max: u64) -> Result<u64, String> {
    let text = text.trim();
    let wrong = || format!("`{text}` is not a number");
    let value = if let Some(hex) = text.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).map_err(|_| wrong())?
    } else {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (digits, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "" => 1,
            "kb" | "kib" => 1 << 10,
            "mb" | "mib" => 1 << 20,
            "gb" | "gib" => 1 << 30,
            _ => return Err(wrong()),
        };
        let value: u64 = digits.parse().map_err(|_| wrong())?;
        value.checked_mul(unit).ok_or_else(wrong)?
    };
    if value > max { Err(format!("`{text}` is more than {max}, the largest value there can be")) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_one_number() {
        let p = |s| IntTest::parse(s, 255, &[("text", 1)]).unwrap();
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
            assert!(p(text).holds(yes), "{text} {yes}");
            assert!(!p(text).holds(no), "{text} {no}");
        }
        for text in ["", "256", "x", "1-2", "5-1", "&0xc0=2", "&3", "1kb", "-", "0x", "99999999999999999999"] {
            assert!(IntTest::parse(text, 255, &[]).is_err(), "{text}");
        }
        assert_eq!(IntTest::parse("2kb", u64::MAX, &[]), Ok(IntTest::Eq(2048)));
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
