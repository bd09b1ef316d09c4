//! Which days are asked for, and which instants those are where the clinic lives.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use gate::Problem;

/// The longest period, in days: ten years.
const LONGEST_DAYS: i64 = 3_660;
/// In such steps the first instant of a day is looked for that the clocks have passed by.
const STEP: TimeDelta = TimeDelta::minutes(15);

/// Instants from `start` on and before `end`, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub start: i64,
    pub end: i64,
}

impl Span {
    /// Whatever comes at or after this one's end.
    pub fn after(self) -> Self {
        Self { start: self.end, end: FAR_SECONDS }
    }
}

/// 3000-01-01T00:00:00Z, a whole day: nothing is counted later.
const FAR_SECONDS: i64 = 32_503_680_000;

/// Whole days, the first and the last of them, as they are in a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    pub from: NaiveDate,
    pub to: NaiveDate,
    pub zone: Tz,
}

impl Period {
    /// The month that `day` lies in.
    pub fn month_of(day: NaiveDate, zone: Tz) -> Self {
        let from = first_of_month(day);
        Self { from, to: last_of_month(from), zone }
    }

    /// So many months, of which that of `day` is the last.
    pub fn months_until(day: NaiveDate, count: u32, zone: Tz) -> Self {
        let last = Self::month_of(day, zone);
        let from = last.from.checked_sub_months(Months::new(count.saturating_sub(1))).unwrap_or(last.from);
        Self { from, ..last }
    }

    /// What is asked for; what is left out is as in `usual`.
    ///
    /// # Errors
    ///
    /// 400 `invalid-period`: it ends before it begins, begins before 1970, ends after 2200, or is longer than ten years.
    pub fn asked(from: Option<NaiveDate>, to: Option<NaiveDate>, usual: Self) -> Result<Self, Problem> {
        let to_or_usual = to.unwrap_or_else(|| usual.to.max(from.unwrap_or(usual.to)));
        let from =
            from.unwrap_or_else(|| if to.is_some() { first_of_month(to_or_usual) } else { usual.from });
        let period = Self { from, to: to_or_usual, ..usual };
        let is_in_time =
            (1970..=2200).contains(&period.from.year()) && (1970..=2200).contains(&period.to.year());
        let days = (period.to - period.from).num_days();
        if is_in_time && (0..LONGEST_DAYS).contains(&days) {
            return Ok(period);
        }
        let detail =
            "from and to are days, from not after to, between 1970 and 2200, at most ten years apart";
        Err(Problem::bad_request("invalid-period", detail))
    }

    /// Its instants.
    pub fn span(&self) -> Span {
        let next = self.to.checked_add_days(Days::new(1)).unwrap_or(self.to);
        Span { start: begins(self.from, self.zone).timestamp(), end: begins(next, self.zone).timestamp() }
    }

    /// The period before it, with which it is compared: as many whole months, else as many days.
    pub fn before(&self) -> Self {
        let to = self.from.checked_sub_days(Days::new(1)).unwrap_or(self.from);
        let from = if self.is_of_months() {
            self.from.checked_sub_months(Months::new(self.month_count()))
        } else {
            let days = (self.to - self.from).num_days().unsigned_abs() + 1;
            self.from.checked_sub_days(Days::new(days))
        };
        Self { from: from.unwrap_or(to), to, ..*self }
    }

    /// Whether it begins and ends with months.
    pub fn is_of_months(&self) -> bool {
        self.from.day() == 1 && self.to == last_of_month(self.to)
    }

    /// Its months, in order; the first and the last as far as they belong to it.
    pub fn months(&self) -> Vec<Self> {
        let months = (0..self.month_count()).filter_map(|number| {
            let first = first_of_month(self.from).checked_add_months(Months::new(number))?;
            let (from, to) = (first.max(self.from), last_of_month(first).min(self.to));
            Some(Self { from, to, ..*self })
        });
        months.collect()
    }

    /// In how many months some of it lies.
    fn month_count(&self) -> u32 {
        let number = |day: NaiveDate| day.year() * 12 + day.month0() as i32;
        u32::try_from(number(self.to) - number(self.from) + 1).unwrap_or(1)
    }
}

/// The day that `now` is in a time zone.
pub(crate) fn today(now: DateTime<Utc>, zone: Tz) -> NaiveDate {
    now.with_timezone(&zone).date_naive()
}

/// The first instant of a day. Where the clocks pass midnight by, it is the first one that the day has; where they show
/// it twice, the earlier.
fn begins(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let mut local = day.and_time(NaiveTime::MIN);
    // A day and a half: Samoa and Kwajalein have each left out a whole one.
    for _ in 0..144 {
        if let Some(instant) = zone.from_local_datetime(&local).earliest() {
            return instant.to_utc();
        }
        local += STEP;
    }
    day.and_time(NaiveTime::MIN).and_utc()
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

fn last_of_month(day: NaiveDate) -> NaiveDate {
    let next = first_of_month(day).checked_add_months(Months::new(1));
    next.and_then(|next| next.pred_opt()).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn period(from: &str, to: &str, zone: Tz) -> Period {
        Period { from: day(from), to: day(to), zone }
    }

    fn hours(period: &Period) -> i64 {
        let span = period.span();
        (span.end - span.start) / 3_600
    }

    /// Directive 2000/84/EC: summer time begins on the last Sunday of March and ends on the last Sunday of October.
    #[test]
    fn a_day_on_which_the_clocks_change_has_23_or_25_hours() {
        let zone = Tz::Europe__Berlin;
        assert_eq!(hours(&period("2026-03-29", "2026-03-29", zone)), 23);
        assert_eq!(hours(&period("2026-10-25", "2026-10-25", zone)), 25);
        assert_eq!(hours(&period("2026-03-28", "2026-03-28", zone)), 24);
        let whole_year = period("2026-01-01", "2026-12-31", zone);
        assert_eq!(hours(&whole_year), 365 * 24);
    }

    /// In Beirut the clocks go from 00:00 to 01:00 (tz database, rule Lebanon).
    #[test]
    fn a_day_without_a_midnight_begins_when_it_begins() {
        let one = period("2026-03-29", "2026-03-29", Tz::Asia__Beirut);
        assert_eq!(begins(one.from, one.zone).to_rfc3339(), "2026-03-28T22:00:00+00:00");
        assert_eq!(hours(&one), 23);
    }

    /// Samoa had no 30 December 2011 (tz database, Pacific/Apia).
    #[test]
    fn a_day_that_a_place_has_left_out_is_empty() {
        assert_eq!(hours(&period("2011-12-30", "2011-12-30", Tz::Pacific__Apia)), 0);
        assert_eq!(hours(&period("2011-12-29", "2011-12-31", Tz::Pacific__Apia)), 48);
    }

    #[test]
    fn the_same_instant_lies_in_two_months_of_two_places() {
        let now = "2026-12-31T23:30:00Z".parse::<DateTime<Utc>>().unwrap();
        assert_eq!(today(now, Tz::UTC), day("2026-12-31"));
        assert_eq!(today(now, Tz::Asia__Kolkata), day("2027-01-01"));
        let new_year = Period::month_of(today(now, Tz::Asia__Kolkata), Tz::Asia__Kolkata);
        assert_eq!(
            new_year.span().start,
            "2026-12-31T18:30:00Z".parse::<DateTime<Utc>>().unwrap().timestamp()
        );
    }

    #[test]
    fn months_are_compared_with_months_and_days_with_days() {
        let zone = Tz::UTC;
        assert_eq!(
            period("2024-03-01", "2024-03-31", zone).before(),
            period("2024-02-01", "2024-02-29", zone)
        );
        assert_eq!(
            period("2026-01-01", "2026-03-31", zone).before(),
            period("2025-10-01", "2025-12-31", zone)
        );
        assert_eq!(
            period("2026-03-02", "2026-03-11", zone).before(),
            period("2026-02-20", "2026-03-01", zone)
        );
    }

    #[test]
    fn a_period_falls_into_its_months() {
        let zone = Tz::UTC;
        let months = period("2025-11-15", "2026-02-03", zone).months();
        assert_eq!(months.len(), 4);
        assert_eq!(months[0], period("2025-11-15", "2025-11-30", zone));
        assert_eq!(months[1], period("2025-12-01", "2025-12-31", zone));
        assert_eq!(months[3], period("2026-02-01", "2026-02-03", zone));
        assert_eq!(
            Period::months_until(day("2026-01-31"), 12, zone),
            period("2025-02-01", "2026-01-31", zone)
        );
    }

    #[test]
    fn what_is_left_out_is_as_usual_and_nonsense_is_refused() {
        let usual = Period::month_of(day("2026-11-22"), Tz::UTC);
        let asked = |from: Option<&str>, to: Option<&str>| Period::asked(from.map(day), to.map(day), usual);
        assert_eq!(asked(None, None).unwrap(), usual);
        assert_eq!(asked(Some("2026-11-10"), None).unwrap(), period("2026-11-10", "2026-11-30", Tz::UTC));
        assert_eq!(asked(Some("2026-12-05"), None).unwrap(), period("2026-12-05", "2026-12-05", Tz::UTC));
        assert_eq!(asked(None, Some("2026-02-10")).unwrap(), period("2026-02-01", "2026-02-10", Tz::UTC));
        for (from, to) in
            [("2026-02-02", "2026-02-01"), ("1969-12-31", "1970-01-01"), ("2010-01-01", "2026-01-01")]
        {
            assert_eq!(asked(Some(from), Some(to)).unwrap_err().code(), "invalid-period");
        }
    }
}
