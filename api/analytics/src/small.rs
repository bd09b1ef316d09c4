//! Small counts, which tell of persons, are hidden from whoever is not of the clinic.

/// A count below this and above zero is small.
const SMALL: i64 = 5;

/// What a caller is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The clinic's own staff: everything.
    All,
    /// Others: no small counts.
    NoSmall,
}

impl Sight {
    /// The count, or by how much one has changed, unless it is small.
    pub fn count(self, count: i64) -> Option<i64> {
        (self == Self::All || !(1..SMALL).contains(&count.abs())).then_some(count)
    }

    /// What is told of so many; of too few nothing is.
    pub fn of<T>(self, count: i64, told: T) -> Option<T> {
        self.count(count).map(|_| told)
    }

    /// The parts of a whole that may be known: where one alone is small, the smallest of the others is hidden with it,
    /// or the whole would tell it.
    pub fn parts(self, counts: &[i64]) -> Vec<Option<i64>> {
        let mut shown: Vec<Option<i64>> = counts.iter().map(|count| self.count(*count)).collect();
        if shown.iter().filter(|count| count.is_none()).count() == 1 {
            let smallest = shown.iter_mut().filter(|count| count.is_some_and(|count| count > 0)).min();
            if let Some(smallest) = smallest {
                *smallest = None;
            }
        }
        shown
    }
}

/// By how many per cent `now` is more than `before`, to a tenth, halves away from zero; `None` from nothing.
pub(crate) fn change_percent(now: i64, before: i64) -> Option<f64> {
    share_percent(now.checked_sub(before)?, before)
}

/// How many per cent `part` is of `whole`, to a tenth, halves away from zero; `None` of nothing.
pub(crate) fn share_percent(part: i64, whole: i64) -> Option<f64> {
    if whole <= 0 {
        return None;
    }
    let (twice, whole) = (i128::from(part) * 2_000, i128::from(whole));
    let tenths = (twice.abs() + whole) / (2 * whole) * twice.signum();
    Some(tenths as f64 / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_four_are_hidden_from_others_and_nothing_from_the_clinic() {
        assert_eq!([0, 1, 4, 5].map(|count| Sight::NoSmall.count(count)), [Some(0), None, None, Some(5)]);
        assert_eq!(
            [-1, -4, -5].map(|count| Sight::NoSmall.count(count)),
            [None, None, Some(-5)],
            "merged records"
        );
        assert_eq!([0, 1, 4, 5].map(|count| Sight::All.count(count)), [Some(0), Some(1), Some(4), Some(5)]);
    }

    /// 20 in all, of which 9 and 8 are shown: the third would be 3.
    #[test]
    fn one_hidden_part_is_not_told_by_the_others() {
        assert_eq!(Sight::NoSmall.parts(&[9, 3, 0, 8]), [Some(9), None, Some(0), None]);
        assert_eq!(Sight::NoSmall.parts(&[9, 3, 2, 8]), [Some(9), None, None, Some(8)]);
        assert_eq!(Sight::NoSmall.parts(&[9, 0, 8]), [Some(9), Some(0), Some(8)]);
        assert_eq!(Sight::All.parts(&[9, 3, 0, 8]), [Some(9), Some(3), Some(0), Some(8)]);
    }

    #[test]
    fn a_percentage_has_a_tenth_and_none_comes_from_nothing() {
        assert_eq!(change_percent(9, 8), Some(12.5));
        assert_eq!(change_percent(2, 3), Some(-33.3));
        assert_eq!(change_percent(0, 3), Some(-100.0));
        assert_eq!(change_percent(10_005, 10_000), Some(0.1), "0.05 away from zero");
        assert_eq!(change_percent(9_995, 10_000), Some(-0.1));
        assert_eq!(change_percent(7, 0), None);
        assert_eq!(change_percent(0, 0), None);
        assert_eq!(change_percent(7, -7), None);
        assert_eq!(share_percent(1, 3), Some(33.3));
    }
}
