//! The figures over all cases.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::interval::{bootstrap, mean, share};
use super::{Estimate, Outcome, UrgencyClass};

/// Bins of the calibration error.
const BINS: usize = 15;

/// The figures over all cases; `None` where the rows do not tell what it takes.
///
/// As JSON each figure is a number under its name, and `NAME_ci95` its interval, `[low, high]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// So many cases.
    pub cases: usize,
    /// So many of them have a diagnosis that the knowledge knows.
    pub covered: usize,
    /// The right condition is the first.
    pub gtpa1: Option<Estimate>,
    /// … is among the first three.
    pub gtpa3: Option<Estimate>,
    /// … is among the first five.
    pub gtpa5: Option<Estimate>,
    /// One of the same category is the first.
    pub gtpa1_by_category: Option<Estimate>,
    /// … is among the first three.
    pub gtpa3_by_category: Option<Estimate>,
    /// Mean F1 against the given differentials.
    pub ddf1: Option<Estimate>,
    /// Mean length of the interactions.
    pub interaction_length: Option<Estimate>,
    /// Expected calibration error.
    pub ece: Option<Estimate>,
    /// The urgency is of the given class.
    pub urgency_right: Option<Estimate>,
    /// … or more urgent.
    pub urgency_safe: Option<Estimate>,
    /// Emergencies that were told as one.
    pub emergencies_caught: Option<Estimate>,
}

impl Summary {
    /// Those of `outcomes`.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let among = |first: usize, rank: fn(&Outcome) -> Option<usize>| {
            let right = outcomes.iter().filter(|it| rank(it).is_some_and(|rank| rank <= first)).count();
            share(right, outcomes.len())
        };
        let by_name = |outcome: &Outcome| outcome.rank;
        let by_category = |outcome: &Outcome| outcome.rank_by_category;
        let numbers =
            |of: fn(&Outcome) -> Option<f64>| mean(&outcomes.iter().filter_map(of).collect::<Vec<_>>());
        let urgencies: Vec<(UrgencyClass, UrgencyClass)> =
            outcomes.iter().filter_map(|it| Some((it.urgency_wanted?, it.urgency.into()))).collect();
        let of_urgency = |holds: fn(&(UrgencyClass, UrgencyClass)) -> bool| {
            share(urgencies.iter().filter(|pair| holds(pair)).count(), urgencies.len())
        };
        let emergencies = || urgencies.iter().filter(|(wanted, _)| *wanted == UrgencyClass::Emergency);
        Self {
            cases: outcomes.len(),
            covered: outcomes.iter().filter(|it| it.is_covered).count(),
            gtpa1: among(1, by_name),
            gtpa3: among(3, by_name),
            gtpa5: among(5, by_name),
            gtpa1_by_category: among(1, by_category),
            gtpa3_by_category: among(3, by_category),
            ddf1: numbers(|it| it.ddf1),
            interaction_length: numbers(|it| it.interaction_length.map(|length| length as f64)),
            ece: calibration_error(outcomes),
            urgency_right: of_urgency(|(wanted, told)| wanted == told),
            urgency_safe: of_urgency(|(wanted, told)| told >= wanted),
            emergencies_caught: share(
                emergencies().filter(|(_, told)| *told == UrgencyClass::Emergency).count(),
                emergencies().count(),
            ),
        }
    }
}

/// How far the first condition's probability is from the share of right ones, weighted over bins (Guo et al., ICML 2017).
fn calibration_error(outcomes: &[Outcome]) -> Option<Estimate> {
    let tops: Vec<(f64, f64)> = outcomes
        .iter()
        .map(|it| {
            let probability = it.differential.first().map_or(0.0, |first| f64::from(first.probability));
            (probability, if it.rank == Some(1) { 1.0 } else { 0.0 })
        })
        .collect();
    bootstrap(tops.len(), |cases| {
        let mut bins = [(0.0, 0.0); BINS];
        let mut count = 0.0;
        for case in cases {
            let (probability, right) = tops[case];
            // PS: a bin holds its upper end, as in the published code.
            let bin = ((probability * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            bins[bin].0 += probability;
            bins[bin].1 += right;
            count += 1.0;
        }
        bins.iter().map(|(said, right): &(f64, f64)| (said - right).abs()).sum::<f64>() / count
    })
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("cases", &self.cases)?;
        map.serialize_entry("covered", &self.covered)?;
        for (name, figure) in self.figures() {
            map.serialize_entry(name, &figure.map(|it| it.value))?;
            if let Some(figure) = figure {
                map.serialize_entry(&format!("{name}_ci95"), &[figure.low, figure.high])?;
            }
        }
        map.end()
    }
}

impl Summary {
    /// Every figure by its name.
    pub fn figures(&self) -> [(&'static str, Option<Estimate>); 11] {
        [
            ("gtpa1", self.gtpa1),
            ("gtpa3", self.gtpa3),
            ("gtpa5", self.gtpa5),
            ("gtpa1_by_category", self.gtpa1_by_category),
            ("gtpa3_by_category", self.gtpa3_by_category),
            ("ddf1", self.ddf1),
            ("interaction_length", self.interaction_length),
            ("ece", self.ece),
            ("urgency_right", self.urgency_right),
            ("urgency_safe", self.urgency_safe),
            ("emergencies_caught", self.emergencies_caught),
        ]
    }
}

#[cfg(test)]
mod tests {
    use clinical::decision::Urgency;

    use super::super::Ranked;
    use super::*;

    fn outcome(probability: f32, rank: Option<usize>, wanted: UrgencyClass, urgency: Urgency) -> Outcome {
        Outcome {
            case: 1,
            diagnosis: "x".into(),
            is_covered: true,
            rank,
            rank_by_category: rank,
            differential: vec![Ranked { condition: "x".into(), probability }],
            none_of_these: 0.0,
            ddf1: None,
            interaction_length: None,
            urgency_wanted: Some(wanted),
            urgency,
            unmatched: Vec::new(),
        }
    }

    /// By hand: four cases said to be 0.9 and three of them right are off by 0.15.
    #[test]
    fn the_figures_are_those_of_a_hand_count() {
        let cases = [
            outcome(0.9, Some(1), UrgencyClass::Emergency, Urgency::EmergencyAmbulance),
            outcome(0.9, Some(1), UrgencyClass::Emergency, Urgency::Consultation),
            outcome(0.9, Some(1), UrgencyClass::SelfCare, Urgency::Consultation),
            outcome(0.9, Some(3), UrgencyClass::NonEmergency, Urgency::Within24Hours),
        ];
        let summary = Summary::of(&cases);
        let value = |figure: Option<Estimate>| figure.unwrap().value;
        assert_eq!((value(summary.gtpa1), value(summary.gtpa3)), (0.75, 1.0));
        assert!((value(summary.ece) - 0.15).abs() < 1e-6);
        assert_eq!((value(summary.urgency_right), value(summary.urgency_safe)), (0.5, 0.75));
        assert_eq!(value(summary.emergencies_caught), 0.5);
        assert_eq!(summary.ddf1, None);
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["gtpa1"], 0.75);
        assert_eq!(json["ddf1"], serde_json::Value::Null);
        assert_eq!(json["gtpa1_ci95"].as_array().unwrap().len(), 2);
    }
}
