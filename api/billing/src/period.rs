//! Periods of subscriptions, and what a part of one costs, to the day.

use chrono::{DateTime, Datelike, Days, Months, TimeDelta, Utc};
use clinical::money::{Money, MoneyError};

use crate::words::words;

words! {
    /// What a period is counted in.
    PeriodUnit, "plans.period_unit" {
        /// Days.
        Day = "day",
        /// Weeks.
        Week = "week",
        /// Months.
        Month = "month",
        /// Years.
        Year = "year",
    }
}

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// In what it is counted.
    pub unit: PeriodUnit,
    /// How many of them.
    pub count: u32,
}

impl Period {
    /// When a period that begins at `start` ends. A month that lacks `anchor_day` ends it on its last day, and the
    /// month after goes back to it.
    pub fn end(self, start: DateTime<Utc>, anchor_day: u32) -> DateTime<Utc> {
        let far = DateTime::<Utc>::MAX_UTC;
        match self.unit {
            PeriodUnit::Day => start.checked_add_days(Days::new(self.count.into())).unwrap_or(far),
            PeriodUnit::Week => start.checked_add_days(Days::new(u64::from(self.count) * 7)).unwrap_or(far),
            PeriodUnit::Month => on_day(start, self.count, anchor_day).unwrap_or(far),
            PeriodUnit::Year => on_day(start, self.count.saturating_mul(12), anchor_day).unwrap_or(far),
        }
    }
}

/// `months` later, on `anchor_day` or the last day that the month has before it.
fn on_day(start: DateTime<Utc>, months: u32, anchor_day: u32) -> Option<DateTime<Utc>> {
    let first = start.with_day(1)?.checked_add_months(Months::new(months))?;
    (28..=anchor_day.clamp(28, 31)).rev().find_map(|day| first.with_day(day.min(anchor_day)))
}

/// A stretch of a period, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// What is left of it, today included.
    pub left: i64,
    /// All of it.
    pub whole: i64,
}

/// What is left of the period from `start` to `end` at `now`, in whole days: the day that has begun is left.
pub fn rest(start: DateTime<Utc>, end: DateTime<Utc>, now: DateTime<Utc>) -> Rest {
    let days = |from: DateTime<Utc>, to: DateTime<Utc>| (to.date_naive() - from.date_naive()).num_days();
    let whole = days(start, end).max(1);
    Rest { left: days(now, end).clamp(0, whole), whole }
}

/// What a change from one price to another costs for the rest of a period: below zero where it gives back.
///
/// # Errors
///
/// [`MoneyError`]: the currencies differ, or a sum is too large.
pub fn proration(from: Money, to: Money, rest: Rest) -> Result<Money, MoneyError> {
    to.share(rest.left, rest.whole)?.minus(from.share(rest.left, rest.whole)?)
}

/// A period that was on hold from `paused_at` to `now` ends so much later.
pub fn extended(end: DateTime<Utc>, paused_at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    end + (now - paused_at).max(TimeDelta::zero())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}T10:00:00Z").parse().unwrap()
    }

    fn usd(minor: i64) -> Money {
        Money::new(minor, "USD".parse().unwrap())
    }

    #[test]
    fn a_month_keeps_to_its_day_where_the_month_has_it() {
        let month = Period { unit: PeriodUnit::Month, count: 1 };
        let mut start = at("2027-01-31");
        for end in ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"] {
            start = month.end(start, 31);
            assert_eq!(start, at(end));
        }
        assert_eq!(month.end(at("2026-12-15"), 15), at("2027-01-15"));
        let year = Period { unit: PeriodUnit::Year, count: 1 };
        assert_eq!(year.end(at("2028-02-29"), 29), at("2029-02-28"));
        assert_eq!(year.end(at("2031-02-28"), 29), at("2032-02-29"));
        assert_eq!(Period { unit: PeriodUnit::Week, count: 2 }.end(at("2026-11-22"), 22), at("2026-12-06"));
    }

    /// 30 days of November, 9 of them left on the 22nd: 9/30 of 20.00 are 6.00, of 10.00 they are 3.00.
    #[test]
    fn a_change_of_plan_costs_the_difference_for_the_days_that_are_left() {
        let rest = rest(at("2026-11-01"), at("2026-12-01"), at("2026-11-22"));
        assert_eq!(rest, Rest { left: 9, whole: 30 });
        assert_eq!(proration(usd(1_000), usd(2_000), rest).unwrap(), usd(300));
        assert_eq!(proration(usd(2_000), usd(1_000), rest).unwrap(), usd(-300));
        let yen = Money::new(1, "JPY".parse().unwrap());
        assert_eq!(proration(usd(1), yen, rest), Err(MoneyError::OtherCurrency));
    }

    #[test]
    fn nothing_is_left_of_a_period_that_is_over_and_all_of_one_that_begins() {
        let (start, end) = (at("2026-11-01"), at("2026-12-01"));
        assert_eq!(rest(start, end, end), Rest { left: 0, whole: 30 });
        assert_eq!(rest(start, end, start), Rest { left: 30, whole: 30 });
        assert_eq!(rest(start, end, at("2027-01-01")).left, 0);
    }

    proptest! {
        #[test]
        fn there_and_back_on_one_day_costs_nothing(a in 0..10_000_000_i64, b in 0..10_000_000_i64, left in 0..=31_i64) {
            let rest = Rest { left, whole: 31 };
            let there = proration(usd(a), usd(b), rest).unwrap();
            let back = proration(usd(b), usd(a), rest).unwrap();
            prop_assert_eq!(there.plus(back).unwrap(), usd(0));
        }

        #[test]
        fn periods_follow_one_another_without_a_gap_and_never_stand_still(day in 0..20_000_i64, count in 1..24_u32) {
            let start = DateTime::UNIX_EPOCH + TimeDelta::days(day);
            for unit in [PeriodUnit::Day, PeriodUnit::Week, PeriodUnit::Month, PeriodUnit::Year] {
                let end = Period { unit, count }.end(start, start.day());
                prop_assert!(end > start);
            }
        }
    }
}
