//! A range of days and a range of times as one stretch of time.

use super::{Condition, Key};

/// The keys that are matched together.
const PAIRS: [(Key, Key); 2] = [
    (Key::StudyDate, Key::StudyTime),
    (Key::PerformedProcedureStepStartDate, Key::PerformedProcedureStepStartTime),
];

/// Turns a range of days and a range of times into one stretch, from the first time of the first day to the last time
/// of the last day. `ranges` are the keys whose values are ranges: a single time stays what it is, on any of the days.
///
/// An open end stays open, and what has no time counts as begun with its day.
///
/// Source: DICOM PS3.4, section C.2.2.2.5.3.
pub fn combine_date_and_time(conditions: &mut [(Key, Condition)], ranges: &[Key]) {
    for (date, time) in PAIRS {
        if !(ranges.contains(&date) && ranges.contains(&time)) {
            continue;
        }
        let only = |key: Key| {
            let mut places = conditions.iter().enumerate().filter(|(_, (it, _))| *it == key);
            places.next().filter(|_| places.next().is_none()).map(|(place, _)| place)
        };
        let (Some(days), Some(times)) = (only(date), only(time)) else { continue };
        let (Condition::Days { from, to }, Condition::Times { from: earliest, to: latest }) =
            (&conditions[days].1, &conditions[times].1)
        else {
            continue;
        };
        let moment = |day: &Option<String>, time: &Option<String>, rest: &str| {
            day.as_ref().map(|day| format!("{day}{}", time.as_deref().unwrap_or(rest)))
        };
        let stretch =
            Condition::Moments { from: moment(from, earliest, "000000"), to: moment(to, latest, "235959") };
        // the days stay, before it: they lead along an index
        conditions[times] = (date, stretch);
        if times < days {
            conditions.swap(times, days);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn combined(days: (&str, &str), times: (&str, &str), ranges: &[Key]) -> Vec<(Key, Condition)> {
        let mut conditions = vec![
            (Key::StudyDate, Condition::Days { from: text(days.0), to: text(days.1) }),
            (Key::StudyTime, Condition::Times { from: text(times.0), to: text(times.1) }),
        ];
        combine_date_and_time(&mut conditions, ranges);
        conditions
    }

    /// The example of PS3.4, C.2.2.2.5.3: July 5, 10:00 to July 7, 18:00.
    #[test]
    fn a_range_of_days_and_one_of_times_are_one_stretch() {
        let both = [Key::StudyDate, Key::StudyTime];
        let stretch = |days, times| combined(days, times, &both)[1].clone();
        let of =
            |from: &str, to: &str| (Key::StudyDate, Condition::Moments { from: text(from), to: text(to) });
        let days = ("20060705", "20060707");
        assert_eq!(stretch(days, ("100000", "180000")), of("20060705100000", "20060707180000"));
        assert_eq!(stretch(("20060705", ""), ("100000", "180000")), of("20060705100000", ""));
        assert_eq!(stretch(days, ("100000", "")), of("20060705100000", "20060707235959"));
        let mut turned =
            vec![(Key::StudyTime, Condition::Times { from: text("100000"), to: text("180000") })];
        turned.push((Key::StudyDate, Condition::Days { from: text(days.0), to: text(days.1) }));
        combine_date_and_time(&mut turned, &both);
        assert!(matches!(turned[0], (Key::StudyDate, Condition::Days { .. })), "what leads along an index");
        let single = combined(days, ("100000", "105959"), &[Key::StudyDate]);
        assert!(matches!(single[1], (Key::StudyTime, Condition::Times { .. })));
    }
}
