//! How sure a figure is: intervals of 95 %.

use serde::Serialize;

/// So often a sample is drawn again for a bootstrap.
const RESAMPLES: usize = 1_000;
/// The quantile of the normal distribution for 95 % (two-sided).
const Z: f64 = 1.959_963_984_540_054;

/// A figure with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure itself.
    pub value: f64,
    /// The lower end of the interval of 95 %.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The share `right` of `of`, with Wilson's interval (Wilson, J Am Stat Assoc 1927; 22:209); `None` of nothing.
pub fn share(right: usize, of: usize) -> Option<Estimate> {
    if of == 0 {
        return None;
    }
    let (n, p) = (of as f64, right as f64 / of as f64);
    let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some(Estimate { value: p, low: (centre - half).max(0.0), high: (centre + half).min(1.0) })
}

/// What `statistic` says of `count` cases, with the percentiles 2.5 and 97.5 of samples drawn from them again
/// (Efron, Ann Stat 1979; 7:1); `None` of nothing. The same cases give the same interval.
pub fn bootstrap(
    count: usize,
    statistic: impl Fn(&mut dyn Iterator<Item = usize>) -> f64,
) -> Option<Estimate> {
    if count == 0 {
        return None;
    }
    let value = statistic(&mut (0..count));
    let mut random = Random::new(0x6D65_6469);
    let mut drawn: Vec<f64> = (0..RESAMPLES)
        .map(|_| statistic(&mut (0..count).map(|_| random.below(count)).collect::<Vec<_>>().into_iter()))
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| drawn[((RESAMPLES - 1) as f64 * share).round() as usize];
    Some(Estimate { value, low: at(0.025), high: at(0.975) })
}

/// The mean of `values`, with a bootstrap interval; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<Estimate> {
    bootstrap(values.len(), |cases| {
        let (sum, count) = cases.fold((0.0, 0.0), |(sum, count), case| (sum + values[case], count + 1.0));
        sum / count
    })
}

/// Numbers that look random and are the same for a seed on every machine: SplitMix64 (Steele et al., OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Those of one seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to 1.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.share() * end as f64) as usize).min(end.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe, Stat Med 1998; 17:857, table I: 81 of 263, method 3, gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
    #[test]
    fn wilsons_interval_is_the_published_one() {
        let seen = share(81, 263).unwrap();
        assert!((seen.low - 0.2553).abs() < 5e-5 && (seen.high - 0.3662).abs() < 5e-5, "{seen:?}");
        let none = share(0, 20).unwrap();
        assert!(none.low.abs() < 1e-12 && (none.high - 0.1611).abs() < 5e-5, "{none:?}");
        assert_eq!(share(0, 0), None);
    }

    /// The normal interval of a mean of 1,000 throws of a fair coin is 0.5 ± 1.96 · 0.5 / √1000 = 0.5 ± 0.031.
    #[test]
    fn a_bootstrap_comes_near_the_normal_interval_and_repeats() {
        let throws: Vec<f64> = (0..1_000).map(|at| f64::from(at % 2)).collect();
        let seen = mean(&throws).unwrap();
        assert!((seen.value - 0.5).abs() < 1e-12);
        assert!((seen.low - 0.469).abs() < 0.006 && (seen.high - 0.531).abs() < 0.006, "{seen:?}");
        assert_eq!(mean(&throws), Some(seen));
    }

    /// The first numbers of the published algorithm for the seed 1234567.
    #[test]
    fn the_random_numbers_are_those_of_splitmix64() {
        let mut random = Random::new(1_234_567);
        let drawn = [random.bits(), random.bits(), random.bits()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
