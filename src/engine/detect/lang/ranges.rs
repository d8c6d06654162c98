//! Sets of numbers as sorted, disjoint, inclusive ranges: the algebra behind addresses and ports.
//!
//! Every operation keeps the invariant: sorted, disjoint, never touching (touching ranges are merged). Linear after one
//! sort, so the long address lists of blocklists cost what their length says.

/// A number with a successor.
pub trait Point: Copy + Ord {
    const MIN: Self;
    const MAX: Self;
    fn next(self) -> Option<Self>;
    fn prev(self) -> Option<Self>;
}

macro_rules! point {
    ($($t:ty)*) => {$(
        impl Point for $t {
            const MIN: Self = <$t>::MIN;
            const MAX: Self = <$t>::MAX;
            fn next(self) -> Option<Self> { self.checked_add(1) }
            fn prev(self) -> Option<Self> { self.checked_sub(1) }
        }
    )*};
}
point!(u16 u32 u128);

/// Sorts and merges.
pub fn normalise<T: Point>(mut list: Vec<(T, T)>) -> Vec<(T, T)> {
    list.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(list.len());
    for (from, to) in list {
        match out.last_mut() {
            Some(last) if last.1.next().is_none_or(|n| n >= from) => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}

/// All points not in `list`, which is normalised.
pub fn complement<T: Point>(list: &[(T, T)]) -> Vec<(T, T)> {
    let mut out = Vec::with_capacity(list.len() + 1);
    let mut from = Some(T::MIN);
    for r in list {
        if let (Some(f), Some(end)) = (from, r.0.prev())
            && f <= end
        {
            out.push((f, end));
        }
        from = r.1.next();
    }
    if let Some(f) = from {
        out.push((f, T::MAX));
    }
    out
}

/// Points in both; each list is normalised.
pub fn intersect<T: Point>(a: &[(T, T)], b: &[(T, T)]) -> Vec<(T, T)> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let from = x.0.max(y.0);
        let to = x.1.min(y.1);
        if from <= to {
            out.push((from, to));
        }
        if x.1 < y.1 { i += 1 } else { j += 1 }
    }
    out
}

/// Points of `a` not in `b`; each list is normalised.
pub fn subtract<T: Point>(a: &[(T, T)], b: &[(T, T)]) -> Vec<(T, T)> {
    if b.is_empty() { a.to_vec() } else { intersect(a, &complement(b)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(list: &[(u16, u16)]) -> Vec<bool> {
        (0..=u16::MAX).map(|x| list.iter().any(|r| r.0 <= x && x <= r.1)).collect()
    }

    fn holds(list: &[(u16, u16)]) {
        assert!(list.iter().all(|r| r.0 <= r.1));
        assert!(list.windows(2).all(|w| w[0].1 < w[1].0 && w[0].1 + 1 < w[1].0), "{list:?}");
    }

    #[test]
    fn algebra_agrees_with_a_bit_per_number() {
        let mut seed = 0x2545_f491u32;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed
        };
        for round in 0..40 {
            let mut list = |n: u32| {
                let raw: Vec<(u16, u16)> = (0..n)
                    .map(|_| {
                        let a = random() as u16;
                        let b = if random() % 3 == 0 { u16::MAX } else { a.saturating_add(random() as u16 % 900) };
                        if random() % 5 == 0 { (0, a) } else { (a, b.max(a)) }
                    })
                    .collect();
                normalise(raw)
            };
            let (a, b) = (list(round % 7), list(round % 5));
            holds(&a);
            let (ba, bb) = (bits(&a), bits(&b));
            let not = complement(&a);
            holds(&not);
            assert!(bits(&not).iter().zip(&ba).all(|(x, y)| x != y));
            let both = intersect(&a, &b);
            assert!(bits(&both).iter().zip(ba.iter().zip(&bb)).all(|(x, (p, q))| *x == (*p && *q)));
            let less = subtract(&a, &b);
            assert!(bits(&less).iter().zip(ba.iter().zip(&bb)).all(|(x, (p, q))| *x == (*p && !*q)));
        }
    }
}
