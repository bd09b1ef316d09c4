//! Of what length the pieces of time are in which something is counted, and of which a span is made.
//!
//! Every place on Earth is a whole number of quarters of an hour off UTC, so that a span between two local midnights is
//! whole days of UTC and, at both ends, quarters.

use crate::period::Span;

/// Seconds of a quarter of an hour.
pub(crate) const QUARTER: i64 = 900;
/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;
/// All time is one bucket.
pub(crate) const ALL_TIME: i64 = 0;
/// The bucket is a day of birth.
pub(crate) const BIRTH: i64 = 1;
/// The day of birth of whoever has none.
pub(crate) const UNKNOWN_BIRTH: i64 = -1_000_000;

/// Buckets from `first` on and before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buckets {
    pub first: i64,
    pub end: i64,
}

/// A span as whole days and the quarters before and after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pieces {
    pub days: Buckets,
    pub before: Buckets,
    pub after: Buckets,
}

impl Pieces {
    /// The pieces of `span`.
    pub fn of(span: Span) -> Self {
        let (first_quarter, end_quarter) = (span.start.div_euclid(QUARTER), span.end.div_euclid(QUARTER));
        let first_day = (span.start + DAY - 1).div_euclid(DAY);
        let end_day = span.end.div_euclid(DAY);
        if first_day >= end_day {
            let none = Buckets { first: 0, end: 0 };
            return Self {
                days: none,
                before: Buckets { first: first_quarter, end: end_quarter },
                after: none,
            };
        }
        let quarters = DAY / QUARTER;
        Self {
            days: Buckets { first: first_day, end: end_day },
            before: Buckets { first: first_quarter, end: first_day * quarters },
            after: Buckets { first: end_day * quarters, end: end_quarter },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(pieces: &Pieces) -> i64 {
        let count = |buckets: Buckets| buckets.end - buckets.first;
        count(pieces.days) * DAY + (count(pieces.before) + count(pieces.after)) * QUARTER
    }

    #[test]
    fn the_pieces_are_the_span() {
        // 2026-11-01 to 2026-12-01 in Nepal, 5 hours and 45 minutes before UTC
        let span = Span { start: 1_793_470_500, end: 1_796_062_500 };
        let pieces = Pieces::of(span);
        assert_eq!(length(&pieces), span.end - span.start);
        assert_eq!(pieces.days.end - pieces.days.first, 29);
        assert_eq!(pieces.before.end, pieces.days.first * 96);
        assert_eq!(pieces.after.first, pieces.days.end * 96);
    }

    #[test]
    fn a_short_span_has_quarters_alone() {
        let pieces = Pieces::of(Span { start: 3 * DAY + 3_600, end: 4 * DAY + 1_800 });
        assert_eq!(length(&pieces), DAY - 1_800);
        assert_eq!(pieces.days, Buckets { first: 0, end: 0 });
        let day = Pieces::of(Span { start: 3 * DAY, end: 4 * DAY });
        assert_eq!((day.days, length(&day)), (Buckets { first: 3, end: 4 }, DAY));
    }
}
