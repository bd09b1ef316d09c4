//! What events add up to, before it is written.

use std::collections::BTreeMap;

use clinical::id::ClinicId;
use clinical::person::Sex;

use crate::bucket::{ALL_TIME, BIRTH, DAY, QUARTER, UNKNOWN_BIRTH};

/// No event adds more than this to a sum, so that no sum of theirs runs over.
const MOST: i64 = 1_000_000_000_000_000;

/// One line of the counts, but its amount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub clinic: ClinicId,
    pub metric: &'static str,
    pub grain: i64,
    pub bucket: i64,
    pub dimension: String,
}

/// Amounts by their lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally(BTreeMap<Line, i64>);

impl Tally {
    /// Adds `amount` of `metric` at an instant, in seconds since 1970.
    pub fn add(&mut self, clinic: ClinicId, metric: &'static str, dimension: &str, at: i64, amount: i64) {
        for (grain, bucket) in [(ALL_TIME, 0), (DAY, at.div_euclid(DAY)), (QUARTER, at.div_euclid(QUARTER))] {
            self.put(Line { clinic, metric, grain, bucket, dimension: dimension.to_owned() }, amount);
        }
    }

    /// Adds `amount` persons of a sex and a day of birth, counted from 1970.
    pub fn add_person(&mut self, clinic: ClinicId, sex: Sex, born: Option<i64>, amount: i64) {
        let bucket = born.unwrap_or(UNKNOWN_BIRTH);
        let dimension = sex.as_str().to_owned();
        self.put(Line { clinic, metric: "born", grain: BIRTH, bucket, dimension }, amount);
    }

    fn put(&mut self, line: Line, amount: i64) {
        let sum = self.0.entry(line).or_default();
        *sum = sum.saturating_add(amount.clamp(-MOST, MOST));
    }

    /// The lines that change anything, in one order everywhere.
    pub fn lines(&self) -> impl Iterator<Item = (&Line, i64)> {
        self.0.iter().map(|(line, amount)| (line, *amount)).filter(|(_, amount)| *amount != 0)
    }
}
