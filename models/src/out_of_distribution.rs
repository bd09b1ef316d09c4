//! How far an image may be from those a network learned from.
//!
//! The network reckons the distance itself, by statistics that its weights hold, so that their SHA-256 is
//! the statistics' too. The card says at which distance it abstains, and what that was measured to do.

use serde::{Deserialize, Serialize};

use crate::Task;
use crate::check::{CardError, ensure};

/// What kind of distance a network gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistanceMethod {
    /// From the mean of the images it learned from, in standard deviations along each direction of their covariance.
    Mahalanobis,
}

/// What a rule did on some images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistanceMeasured {
    /// The data, in words.
    pub data: String,
    /// How many images.
    pub images: u32,
    /// Share of them that the network abstains on, 0.0 to 1.0.
    pub abstained: f32,
    /// Its 95 % confidence interval.
    pub abstained_ci95: Option<[f32; 2]>,
    /// How well the distance tells them from images that the network is for: area under the receiver
    /// operating characteristic.
    pub auroc: Option<f32>,
}

/// When an image is too unlike those a network learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutOfDistributionRule {
    /// What kind of distance.
    pub method: DistanceMethod,
    /// The tensor with the distance, `[1, 1]`, by its name in the ONNX graph.
    pub output: String,
    /// Beyond it the network abstains; above 0.
    pub threshold: f32,
    /// The images that the statistics and the threshold come from, in words.
    pub fitted_on: String,
    /// Whether an image that says no age is judged by its distance instead of being ineligible.
    #[serde(default)]
    pub stands_in_for_age: bool,
    /// What the rule was measured to do.
    #[serde(default)]
    pub measured: Vec<DistanceMeasured>,
}

impl OutOfDistributionRule {
    /// Refuses a rule that no distance could be held against, and one that nobody would ask.
    pub(crate) fn check(&self, task: Task) -> Result<(), CardError> {
        ensure(
            task != Task::Segmentation3d,
            "out_of_distribution",
            "is for networks that take images: a volume is seen in parts, and has no distance as a whole",
        )?;
        ensure(
            (1..=256).contains(&self.output.len()),
            "out_of_distribution.output",
            "must be the name of a tensor",
        )?;
        ensure(
            self.threshold.is_finite() && self.threshold > 0.0,
            "out_of_distribution.threshold",
            "must be a number above 0",
        )?;
        let share = |value: f32| (0.0..=1.0).contains(&value);
        ensure(
            self.measured.iter().all(|measured| {
                share(measured.abstained)
                    && measured.auroc.is_none_or(share)
                    && measured
                        .abstained_ci95
                        .is_none_or(|[low, high]| share(low) && share(high) && low <= high)
            }),
            "out_of_distribution.measured",
            "must be shares of 0.0 to 1.0",
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::{Card, Registry};

    const CARD: &str = include_str!("../cards/pneumonia224.toml");

    #[test]
    fn every_network_of_the_box_knows_how_far_is_too_far() {
        for card in Registry::built_in().iter() {
            let rule = card.out_of_distribution.as_ref().unwrap_or_else(|| panic!("{}", card.name));
            assert!(card.tensors().contains(&rule.output.as_str()), "the backends give it out");
            assert!(!rule.measured.is_empty(), "{} says what its rule does", card.name);
        }
    }

    #[test]
    fn a_rule_that_means_nothing_is_refused_with_its_key() {
        let line =
            CARD.lines().find(|line| line.starts_with("threshold = ") && !line.contains("0.5")).unwrap();
        for (to, key) in [
            ("threshold = 0.0", "out_of_distribution.threshold must be"),
            ("threshold = nan", "out_of_distribution.threshold must be"),
            ("limit = 7.0", "unknown field"),
        ] {
            let message = Card::parse(&CARD.replacen(line, to, 1)).unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
        let nameless = CARD.replacen("output = \"distance\"", "output = \"\"", 1);
        assert!(Card::parse(&nameless).unwrap_err().to_string().contains("out_of_distribution.output"));
    }
}
