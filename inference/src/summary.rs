//! An outcome in words for people.

use clinical::imaging::{LabelScore, Outcome};
use models::Card;

/// The sentences and the one number that go with an outcome; all absent where the network abstained.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// What was seen, by the card's text.
    pub findings: Option<String>,
    /// What to do next, by the card's text.
    pub recommendations: Option<String>,
    /// How sure the network is of its call on the card's primary label, in percent, 0.0 to 100.0.
    ///
    /// The label's probability where the label is present, and what is missing to 1 where it is not.
    pub confidence: Option<f64>,
}

impl Summary {
    /// The summary of an outcome of the network with this card.
    pub fn of(card: &Card, outcome: &Outcome) -> Self {
        let Outcome::Scored(scores) = outcome else { return Self::default() };
        let Some(score) = scores.iter().find(|score| score.label == card.texts.label) else {
            return Self::default();
        };
        let probability = f64::from(score.probability);
        let (text, sureness) = if score.is_positive() {
            (&card.texts.positive, probability)
        } else {
            (&card.texts.negative, 1.0 - probability)
        };
        let say = |sentence: &str| Some(sentence.replace("{percent}", &percent(score)));
        Self {
            findings: say(&text.findings),
            recommendations: say(&text.recommendations),
            confidence: Some((sureness * 1000.0).round() / 10.0),
        }
    }
}

/// A probability as people should read it: no network is ever wholly sure.
fn percent(score: &LabelScore) -> String {
    match (score.probability * 100.0).round() {
        percent if percent < 1.0 => "less than 1".to_owned(),
        percent if percent > 99.0 => "more than 99".to_owned(),
        percent => format!("{percent:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use clinical::imaging::{Abstention, AbstentionCode};
    use models::Registry;

    use super::*;

    fn summary(probability: f32) -> Summary {
        let registry = Registry::built_in();
        let card = registry.get("pneumonia224").unwrap();
        let score = LabelScore {
            label: "pneumonia".to_owned(),
            meaning: "Signs of pneumonia".to_owned(),
            probability,
            threshold: Some(0.5),
            frame: 0,
            region: None,
        };
        Summary::of(card, &Outcome::Scored(vec![score]))
    }

    #[test]
    fn the_confidence_is_that_of_the_call_and_not_of_the_label() {
        assert_eq!(summary(0.91).confidence, Some(91.0));
        assert_eq!(summary(0.07).confidence, Some(93.0));
        assert_eq!(summary(0.5).confidence, Some(50.0), "at the threshold the label counts as present");
    }

    #[test]
    fn the_sentences_follow_the_call_and_leave_the_decision_to_a_physician() {
        let (present, absent) = (summary(0.91), summary(0.07));
        assert!(present.findings.as_ref().unwrap().contains("fit pneumonia (probability 91 %)"));
        assert!(
            absent
                .findings
                .as_ref()
                .unwrap()
                .contains("no signs of pneumonia (probability of pneumonia 7 %)")
        );
        for summary in [present, absent] {
            assert!(summary.recommendations.unwrap().contains("physician"));
        }
    }

    #[test]
    fn no_sentence_is_wholly_sure() {
        assert!(summary(1.0).findings.unwrap().contains("more than 99 %"));
        assert!(summary(0.0).findings.unwrap().contains("less than 1 %"));
    }

    #[test]
    fn an_abstention_says_nothing_of_what_it_did_not_look_at() {
        let registry = Registry::built_in();
        let abstention = Abstention { code: AbstentionCode::NotEligible, reason: "age".to_owned() };
        let summary = Summary::of(registry.get("pneumonia224").unwrap(), &Outcome::Abstained(abstention));
        assert_eq!(summary, Summary::default());
    }
}
