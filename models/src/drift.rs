//! How far answers have moved since a network began to run.

/// Bins of one width over 0.0 to 1.0.
const BINS: usize = 10;
/// The fewest answers on each side: below it the index says more of chance than of the answers.
pub const LEAST_FOR_DRIFT: usize = 50;

/// The population stability index of probabilities against earlier ones: `sum (now - then) ln (now / then)` over the
/// shares of ten bins of one width; `None` where either are fewer than [`LEAST_FOR_DRIFT`].
///
/// Half a count is added to each bin, so that an empty one is no infinity. By custom, below 0.1 nothing has changed,
/// and from 0.25 on somebody should look.
///
/// Source: Siddiqi, Credit Risk Scorecards (2006), chapter 9.
pub fn stability_index(then: &[f64], now: &[f64]) -> Option<f64> {
    if then.len() < LEAST_FOR_DRIFT || now.len() < LEAST_FOR_DRIFT {
        return None;
    }
    let apart = |(then, now): (f64, f64)| (now - then) * (now / then).ln();
    Some(shares(then).into_iter().zip(shares(now)).map(apart).sum())
}

fn shares(probabilities: &[f64]) -> [f64; BINS] {
    let mut counts = [0.5; BINS];
    for probability in probabilities {
        counts[((probability * BINS as f64) as usize).min(BINS - 1)] += 1.0;
    }
    let whole = probabilities.len() as f64 + 0.5 * BINS as f64;
    counts.map(|count| count / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 95 answers and half a count in each bin are 100. Shares of 0.955 and 0.005 in the two bins change
    /// places: 2 (0.95) ln 191 = 9.979...
    #[test]
    fn answers_that_change_sides_are_far_from_what_they_were() {
        let (low, high) = ([0.05; 95], [0.95; 95]);
        let found = stability_index(&low, &high).unwrap();
        assert!((found - 1.9 * 191.0_f64.ln()).abs() < 1e-9, "{found}");
        assert_eq!(stability_index(&low, &low), Some(0.0));
    }

    /// By hand, with 45 answers in each of two bins and 10 half counts in all: 95 equal 45.5 and 45.5, then 65.5 and
    /// 25.5 of 95: (20/95) (ln(65.5/45.5) - ln(25.5/45.5)) = 0.1986...
    #[test]
    fn a_shift_of_twenty_in_ninety_lies_between_a_change_and_none() {
        let of = |low: usize| [vec![0.25; low], vec![0.75; 90 - low]].concat();
        let found = stability_index(&of(45), &of(65)).unwrap();
        assert!((found - 20.0 / 95.0 * (65.5_f64 / 25.5).ln()).abs() < 1e-9, "{found}");
        assert!((0.1..0.25).contains(&found));
    }

    #[test]
    fn of_few_answers_nothing_is_said() {
        assert_eq!(stability_index(&[0.5; 49], &[0.5; 500]), None);
        assert_eq!(stability_index(&[0.5; 500], &[0.5; 49]), None);
        assert!(stability_index(&[1.0; 50], &[0.0; 50]).is_some(), "the edges have their bins");
    }
}
