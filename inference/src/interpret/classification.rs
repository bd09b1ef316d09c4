//! One answer a class becomes one probability a label.

use clinical::imaging::LabelScore;
use models::{Activation, Calibration, Card, Label, Task};

use crate::{InferenceError, Outputs};

/// How far probabilities may be from 0, 1 and a sum of 1, for rounding.
const TOLERANCE: f32 = 1e-3;
/// The nearest to 0 and to 1 at which a probability still has log-odds.
const EDGE: f32 = 1e-7;

/// The card's labels in their order, with the probabilities of one frame.
///
/// A label's probability is the sum of its classes' where only one class can hold, else that of the likeliest
/// of its classes; then Platt's curve, where the card has one, sets that of the primary label right.
///
/// # Errors
///
/// [`InferenceError::NotProbabilities`].
pub(crate) fn labels(card: &Card, outputs: &Outputs, frame: u32) -> Result<Vec<LabelScore>, InferenceError> {
    let probabilities = probabilities(card, outputs)?;
    let score = |label: &Label| LabelScore {
        label: label.code.clone(),
        meaning: label.meaning.clone(),
        probability: of_label(card, label, &probabilities),
        threshold: label.threshold,
        frame,
        region: None,
    };
    Ok(card.labels.iter().map(score).collect())
}

/// One probability a class, in the card's order, once they have proved to be some.
///
/// Logits pass the card's temperature and activation; Platt's curve belongs to labels and is not in these.
///
/// # Errors
///
/// [`InferenceError::NotProbabilities`]
pub(crate) fn probabilities(card: &Card, outputs: &Outputs) -> Result<Vec<f32>, InferenceError> {
    let name = card.outputs.answer();
    let not_probabilities = || InferenceError::NotProbabilities(name.to_owned());
    let values = outputs.get(name).ok_or_else(not_probabilities)?;
    if values.len() != card.outputs.classes.len() {
        return Err(not_probabilities());
    }
    let answers: Vec<f32> = values.iter().copied().collect();
    let temperature = match card.calibration {
        Some(Calibration::Temperature(by)) => Some(by),
        _ => None,
    };
    if let (Some(_), Some(activation)) = (&card.outputs.logits, card.outputs.activation) {
        return Ok(activated(&answers, activation, temperature.unwrap_or(1.0)));
    }
    let is_one = |value: &f32| (-TOLERANCE..=1.0 + TOLERANCE).contains(value);
    let is_whole = card.task == Task::MultiLabel || (answers.iter().sum::<f32>() - 1.0).abs() <= TOLERANCE;
    if !answers.iter().all(is_one) || !is_whole {
        return Err(not_probabilities());
    }
    let Some(temperature) = temperature else { return Ok(answers) };
    Ok(match card.task {
        Task::MultiLabel => {
            let logits: Vec<f32> = answers.iter().map(|answer| log_odds(*answer)).collect();
            activated(&logits, Activation::Sigmoid, temperature)
        }
        _ => {
            let logits: Vec<f32> = answers.iter().map(|answer| answer.max(EDGE).ln()).collect();
            activated(&logits, Activation::Softmax, temperature)
        }
    })
}

/// Probabilities of raw answers, which are divided by the temperature first.
fn activated(logits: &[f32], activation: Activation, temperature: f32) -> Vec<f32> {
    let cooled = logits.iter().map(|logit| logit / temperature);
    match activation {
        Activation::Sigmoid => cooled.map(sigmoid).collect(),
        Activation::Softmax => {
            let highest = cooled.clone().fold(f32::NEG_INFINITY, f32::max);
            let parts: Vec<f32> = cooled.map(|logit| (logit - highest).exp()).collect();
            let whole: f32 = parts.iter().sum();
            parts.into_iter().map(|part| part / whole).collect()
        }
    }
}

fn of_label(card: &Card, label: &Label, probabilities: &[f32]) -> f32 {
    let of_class = |class: &String| {
        let index = card.outputs.classes.iter().position(|known| known == class);
        index.and_then(|index| probabilities.get(index)).copied().unwrap_or(0.0)
    };
    let classes = label.sum_of.iter().map(of_class);
    let probability = match card.task {
        Task::MultiLabel => classes.fold(0.0, f32::max),
        _ => classes.sum::<f32>(),
    }
    .clamp(0.0, 1.0);
    match card.calibration {
        // It was fitted on what physicians say of that label.
        Some(Calibration::Platt(by)) if label.code == card.texts.label => {
            sigmoid(-(by.a * log_odds(probability) + by.b))
        }
        _ => probability,
    }
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// The logarithm of how much likelier yes is than no; bounded where one of them is certain.
fn log_odds(probability: f32) -> f32 {
    let probability = probability.clamp(EDGE, 1.0 - EDGE);
    (probability / (1.0 - probability)).ln()
}

#[cfg(test)]
mod tests {
    use models::{Platt, Registry};
    use ndarray::{ArrayD, IxDyn};

    use super::*;

    fn card() -> Card {
        Registry::built_in().get("pneumonia224").unwrap().clone()
    }

    /// The same network, giving raw answers.
    fn raw(task: Task, activation: Activation) -> Card {
        let mut card = Card { task, ..card() };
        card.outputs.logits = card.outputs.probabilities.take();
        card.outputs.activation = Some(activation);
        card
    }

    fn scores_of(card: &Card, answers: &[f32]) -> Result<Vec<LabelScore>, InferenceError> {
        let values = ArrayD::from_shape_vec(IxDyn(&[1, answers.len()]), answers.to_vec()).unwrap();
        labels(card, &Outputs::from([("probabilities".to_owned(), values)]), 7)
    }

    fn scores(answers: &[f32]) -> Result<Vec<LabelScore>, InferenceError> {
        scores_of(&card(), answers)
    }

    fn probabilities_of(card: &Card, answers: &[f32]) -> Vec<f32> {
        scores_of(card, answers).unwrap().iter().map(|score| score.probability).collect()
    }

    fn near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let is_near = found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-5);
        assert!(is_near, "{found:?} is not {expected:?}");
    }

    /// models/cards/pneumonia224.toml: pneumonia is bacterial or viral, positive from 0.5 on.
    #[test]
    fn a_label_is_the_sum_of_its_classes() {
        let scores = scores(&[0.4, 0.35, 0.25]).unwrap();
        let codes: Vec<&str> = scores.iter().map(|score| score.label.as_str()).collect();
        assert_eq!(codes, ["pneumonia", "pneumonia-bacterial", "pneumonia-viral"]);
        assert!((scores[0].probability - 0.6).abs() < 1e-6);
        assert!(scores[0].is_positive());
        assert!(scores[1..].iter().all(|hint| !hint.is_positive()), "a hint is never positive");
        assert!(scores.iter().all(|score| score.frame == 7));
    }

    /// By hand: softmax of ln 1, ln 2, ln 5 is 1/8, 2/8, 5/8; at temperature 2 the parts are their square roots.
    #[test]
    fn logits_become_probabilities_by_softmax_and_temperature() {
        let mut card = raw(Task::Classification, Activation::Softmax);
        let logits = [1.0_f32.ln(), 2.0_f32.ln(), 5.0_f32.ln()];
        near(&probabilities_of(&card, &logits), &[0.875, 0.25, 0.625]);
        card.calibration = Some(Calibration::Temperature(2.0));
        let whole = 1.0 + 2.0_f32.sqrt() + 5.0_f32.sqrt();
        let expected = [1.0 - 1.0 / whole, 2.0_f32.sqrt() / whole, 5.0_f32.sqrt() / whole];
        near(&probabilities_of(&card, &logits), &expected);
        let large = [1000.0, 0.0, -1000.0];
        assert_eq!(probabilities_of(&card, &large)[0], 0.0, "no overflow");
    }

    /// A temperature means the same for a network that has its softmax inside.
    #[test]
    fn probabilities_bear_a_temperature_too() {
        let card = Card { calibration: Some(Calibration::Temperature(2.0)), ..card() };
        let whole = 1.0 + 2.0_f32.sqrt() + 5.0_f32.sqrt();
        near(
            &probabilities_of(&card, &[0.125, 0.25, 0.625])[1..],
            &[2.0_f32.sqrt() / whole, 5.0_f32.sqrt() / whole],
        );
    }

    /// By hand: sigmoid(ln 3) is 3/4, sigmoid(0) 1/2, sigmoid(-ln 4) 1/5; more than one may hold at once.
    #[test]
    fn of_a_multi_label_network_each_class_stands_for_itself() {
        let card = raw(Task::MultiLabel, Activation::Sigmoid);
        near(&probabilities_of(&card, &[0.0, 3.0_f32.ln(), -(4.0_f32.ln())]), &[0.75, 0.75, 0.2]);
        let ready = Card { task: Task::MultiLabel, ..super::tests::card() };
        near(&probabilities_of(&ready, &[0.9, 0.8, 0.7]), &[0.8, 0.8, 0.7]);
        assert!(scores_of(&ready, &[0.9, 1.8, 0.7]).is_err());
    }

    /// Platt (1999): 1 / (1 + exp(a f + b)). With a = -1, b = 0 nothing changes; by hand, f = ln 3, a = -2, b = 0
    /// gives odds of 9.
    #[test]
    fn platts_curve_sets_the_primary_labels_probability_right_and_no_others() {
        let with = |a, b| Card { calibration: Some(Calibration::Platt(Platt { a, b })), ..card() };
        near(&probabilities_of(&with(-1.0, 0.0), &[0.25, 0.45, 0.3]), &[0.75, 0.45, 0.3]);
        near(&probabilities_of(&with(-2.0, 0.0), &[0.25, 0.45, 0.3]), &[0.9, 0.45, 0.3]);
        near(&probabilities_of(&with(-1.0, 3.0_f32.ln()), &[0.25, 0.5, 0.25]), &[0.5, 0.5, 0.25]);
        for certain in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] {
            let found = probabilities_of(&with(-2.0, 0.5), &certain);
            assert!(found.iter().all(|value| (0.0..=1.0).contains(value)), "{found:?}");
        }
    }

    #[test]
    fn what_are_no_probabilities_is_an_error() {
        for bad in [vec![0.9, 0.9, 0.9], vec![-0.5, 0.5, 1.0], vec![0.5, 0.5], vec![]] {
            let refused = scores(&bad);
            assert_eq!(refused, Err(InferenceError::NotProbabilities("probabilities".to_owned())), "{bad:?}");
        }
    }
}
