//! Hours in which a person wants to be left alone, by the clock on their wall.

use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

/// No clock is set forward by more.
const LONGEST_JUMP_MINUTES: i64 = 26 * 60;

/// From one time of the day to another, across midnight where the second is the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// The first quiet moment.
    pub start: NaiveTime,
    /// The first that is quiet no more.
    pub end: NaiveTime,
    /// Whose clock.
    pub zone: Tz,
}

impl QuietHours {
    /// Whether it is quiet: by what the clock on the wall shows, also in the hour that it shows twice.
    pub fn hold(&self, at: DateTime<Utc>) -> bool {
        let shown = at.with_timezone(&self.zone).time();
        let shown = shown.with_nanosecond(0).unwrap_or(shown);
        if self.start <= self.end {
            self.start <= shown && shown < self.end
        } else {
            shown >= self.start || shown < self.end
        }
    }

    /// The first moment from `at` on that is not quiet; `at` itself where it is not.
    ///
    /// Where the clock is set forward over the end, quiet ends with the jump; where it is set back over the end, the
    /// hour that comes twice is quiet twice.
    pub fn end_of(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let mut now = at;
        // Twice where the hour of the end comes twice; a third look would find the clock running backwards.
        for _ in 0..4 {
            if self.start == self.end || !self.hold(now) {
                return now;
            }
            let Some(end) = self.next_end(now) else { return now };
            now = end;
        }
        now
    }

    /// The next moment behind `at` at which the clock shows the end, or has jumped over it.
    fn next_end(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = at.with_timezone(&self.zone).date_naive();
        let days = [today, today.checked_add_days(Days::new(1))?, today.checked_add_days(Days::new(2))?];
        days.into_iter().flat_map(|day| shows(self.zone, day, self.end)).find(|end| *end > at)
    }
}

/// The moments at which the clock shows `time` on `day`, in order: one, two, or where it jumps over it, the first
/// behind the jump.
pub(crate) fn shows(zone: Tz, day: NaiveDate, time: NaiveTime) -> Vec<DateTime<Utc>> {
    match zone.from_local_datetime(&day.and_time(time)) {
        LocalResult::Single(at) => vec![at.to_utc()],
        LocalResult::Ambiguous(first, second) => vec![first.to_utc(), second.to_utc()],
        LocalResult::None => {
            // Clocks jump at full minutes.
            let later =
                (1..=LONGEST_JUMP_MINUTES).map(|minutes| day.and_time(time) + TimeDelta::minutes(minutes));
            let whole = |at: chrono::NaiveDateTime| at.with_second(0).unwrap_or(at);
            let behind = later.map(whole).find_map(|local| zone.from_local_datetime(&local).earliest());
            behind.map(|at| at.to_utc()).into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(start: &str, end: &str, zone: Tz) -> QuietHours {
        QuietHours { start: start.parse().unwrap(), end: end.parse().unwrap(), zone }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_night_ends_in_the_morning_of_the_persons_own_day() {
        let night = hours("22:00:00", "07:00:00", chrono_tz::Europe::Berlin);
        assert_eq!(night.end_of(at("2026-01-10T21:30:00Z")), at("2026-01-11T06:00:00Z"), "22:30 there");
        assert_eq!(
            night.end_of(at("2026-01-10T20:30:00Z")),
            at("2026-01-10T20:30:00Z"),
            "21:30 is not quiet"
        );
        assert_eq!(night.end_of(at("2026-07-10T04:59:59Z")), at("2026-07-10T05:00:00Z"), "summer time");
        let nap = hours("13:00:00", "15:00:00", chrono_tz::Asia::Kolkata);
        assert_eq!(nap.end_of(at("2026-01-10T08:00:00Z")), at("2026-01-10T09:30:00Z"));
    }

    /// On 2026-03-29 at 01:00 UTC Berlin's clocks jump from 02:00 to 03:00 (tz database).
    #[test]
    fn an_end_that_the_clock_jumps_over_is_the_jump() {
        let night = hours("22:00:00", "02:30:00", chrono_tz::Europe::Berlin);
        assert_eq!(night.end_of(at("2026-03-29T00:30:00Z")), at("2026-03-29T01:00:00Z"));
        let day = hours("22:00:00", "07:00:00", chrono_tz::Europe::Berlin);
        assert_eq!(day.end_of(at("2026-03-28T21:00:00Z")), at("2026-03-29T05:00:00Z"), "a night of 8 hours");
    }

    /// On 2026-10-25 at 01:00 UTC they go back from 03:00 to 02:00.
    #[test]
    fn an_hour_that_comes_twice_is_quiet_twice() {
        let night = hours("22:00:00", "02:30:00", chrono_tz::Europe::Berlin);
        assert_eq!(night.end_of(at("2026-10-24T23:00:00Z")), at("2026-10-25T00:30:00Z"), "the first 02:30");
        assert_eq!(night.end_of(at("2026-10-25T01:10:00Z")), at("2026-10-25T01:30:00Z"), "02:10 once more");
        let day = hours("22:00:00", "07:00:00", chrono_tz::Europe::Berlin);
        assert_eq!(day.end_of(at("2026-10-24T20:00:00Z")), at("2026-10-25T06:00:00Z"), "a night of 10 hours");
    }

    /// Lord Howe's clocks move by half an hour, and Samoa left out the 30th of December 2011 (tz database).
    #[test]
    fn odd_zones_have_their_mornings_too() {
        let lord_howe = hours("22:00:00", "02:15:00", chrono_tz::Australia::Lord_Howe);
        assert_eq!(lord_howe.end_of(at("2026-10-03T15:00:00Z")), at("2026-10-03T15:30:00Z"));
        let samoa = hours("22:00:00", "07:00:00", chrono_tz::Pacific::Apia);
        assert_eq!(samoa.end_of(at("2011-12-30T09:00:00Z")), at("2011-12-30T17:00:00Z"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
        #[test]
        fn until_the_end_it_is_quiet_and_at_the_end_it_is_not(
            minute in 29_400_000_i64..30_500_000,
            start in 0_u32..1_440,
            end in 0_u32..1_440,
            zone in 0_usize..6,
        ) {
            prop_assume!(start != end);
            let zones = [
                chrono_tz::Europe::Berlin, chrono_tz::America::New_York, chrono_tz::Australia::Lord_Howe,
                chrono_tz::Asia::Kolkata, chrono_tz::America::Santiago, chrono_tz::UTC,
            ];
            let time = |minutes: u32| NaiveTime::from_hms_opt(minutes / 60, minutes % 60, 0).unwrap();
            let quiet = QuietHours { start: time(start), end: time(end), zone: zones[zone] };
            let now = DateTime::from_timestamp(minute * 60, 0).unwrap();
            let over = quiet.end_of(now);
            prop_assert!(over >= now && over - now <= TimeDelta::hours(27));
            prop_assert!(!quiet.hold(over), "{quiet:?} at {over}");
            let mut before = now;
            while before < over {
                prop_assert!(quiet.hold(before), "{quiet:?} at {before}");
                before += TimeDelta::minutes(1);
            }
        }
    }
}
