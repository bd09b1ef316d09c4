//! How long steps of a study took: classes of seconds, in which they are counted beside their sum.

use serde::Serialize;
use utoipa::ToSchema;

use crate::counts::Sums;
use crate::small::Sight;

/// Up to so many seconds, each with the name of its class; what takes longer has a class of its own.
const CLASSES: [(i64, &str); 6] =
    [(60, "1m"), (600, "10m"), (3_600, "1h"), (14_400, "4h"), (86_400, "24h"), (604_800, "7d")];
/// The class of what takes longer than all of them.
const LONGER: &str = "longer";

/// The class of a time.
pub(crate) fn class(seconds: i64) -> &'static str {
    CLASSES.iter().find(|(most, _)| seconds <= *most).map_or(LONGER, |(_, name)| name)
}

/// A step of a study whose time is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// From its receipt to the first reading.
    Found,
    /// From there to the first word of a physician.
    Reviewed,
    /// From its receipt to that word.
    Closed,
}

impl Step {
    /// The metric of how often it was done, by class.
    pub fn count(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Reviewed => "reviewed",
            Self::Closed => "closed",
        }
    }

    /// The metric of the sum of its seconds.
    pub fn seconds(self) -> &'static str {
        match self {
            Self::Found => "found_seconds",
            Self::Reviewed => "reviewed_seconds",
            Self::Closed => "closed_seconds",
        }
    }
}

/// How long a step took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TurnaroundView {
    /// So many studies went this far; `null`: too few to be shown.
    pub count: Option<i64>,
    /// How long it took on average, rounded down; `null` where there is none.
    pub mean_seconds: Option<i64>,
    /// How many of them took how long.
    pub within: Vec<WithinView>,
}

/// How many took longer than the class before, and at most as long as this one says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WithinView {
    /// At most so many seconds; `null`: longer than all before.
    pub up_to_seconds: Option<i64>,
    /// So many; `null`: too few to be shown.
    pub count: Option<i64>,
}

impl TurnaroundView {
    /// The step's part of the sums.
    pub(crate) fn of(sums: &Sums, step: Step, sight: Sight) -> Self {
        let count = sums.of(step.count());
        let classes = CLASSES.iter().map(|(most, name)| (Some(*most), *name)).chain([(None, LONGER)]);
        let (bounds, counts): (Vec<_>, Vec<_>) =
            classes.map(|(most, name)| (most, sums.of_kind(step.count(), name))).unzip();
        let shown = sight.count(count);
        let within = bounds.into_iter().zip(sight.parts(&counts));
        Self {
            count: shown,
            mean_seconds: shown.filter(|count| *count > 0).map(|count| sums.of(step.seconds()) / count),
            within: within.map(|(up_to_seconds, count)| WithinView { up_to_seconds, count }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_on_the_bound_of_a_class_is_in_it() {
        assert_eq!((class(0), class(60), class(61)), ("1m", "1m", "10m"));
        assert_eq!((class(604_800), class(604_801)), ("7d", "longer"));
    }
}
