//! One probability a class becomes one a label.

use clinical::imaging::LabelScore;
use models::Card;
use ndarray::ArrayD;

use crate::{InferenceError, Outputs};

/// How far probabilities may be from 0, 1 and a sum of 1, for rounding.
const TOLERANCE: f32 = 1e-3;

/// The card's labels in their order, with the probabilities of one frame.
///
/// A label's probability is the sum of its classes'; calibration is part of the network.
///
/// # Errors
///
/// [`InferenceError::NotFinite`] for any output with NaN or an infinity, [`InferenceError::NotProbabilities`].
pub(crate) fn labels(card: &Card, outputs: &Outputs, frame: u32) -> Result<Vec<LabelScore>, InferenceError> {
    for (name, values) in outputs {
        if !values.iter().all(|value| value.is_finite()) {
            return Err(InferenceError::NotFinite(name.clone()));
        }
    }
    let probabilities = probabilities(card, outputs)?;
    let of_class = |class: &String| {
        let index = card.outputs.classes.iter().position(|known| known == class);
        index.and_then(|index| probabilities.iter().nth(index)).copied().unwrap_or(0.0)
    };
    let score = |label: &models::Label| LabelScore {
        label: label.code.clone(),
        meaning: label.meaning.clone(),
        probability: label.sum_of.iter().map(of_class).sum::<f32>().clamp(0.0, 1.0),
        threshold: label.threshold,
        frame,
        region: None,
    };
    Ok(card.labels.iter().map(score).collect())
}

/// The network's probabilities, once they have proved to be some.
pub(crate) fn probabilities<'a>(
    card: &Card,
    outputs: &'a Outputs,
) -> Result<&'a ArrayD<f32>, InferenceError> {
    let name = &card.outputs.probabilities;
    let not_probabilities = || InferenceError::NotProbabilities(name.clone());
    let values = outputs.get(name).ok_or_else(not_probabilities)?;
    let is_one = |value: &f32| (-TOLERANCE..=1.0 + TOLERANCE).contains(value);
    let holds = values.len() == card.outputs.classes.len()
        && values.iter().all(is_one)
        && (values.sum() - 1.0).abs() <= TOLERANCE;
    if holds { Ok(values) } else { Err(not_probabilities()) }
}

#[cfg(test)]
mod tests {
    use models::Registry;
    use ndarray::IxDyn;

    use super::*;

    fn scores(probabilities: &[f32]) -> Result<Vec<LabelScore>, InferenceError> {
        let registry = Registry::built_in();
        let values =
            ArrayD::from_shape_vec(IxDyn(&[1, probabilities.len()]), probabilities.to_vec()).unwrap();
        let outputs = Outputs::from([("probabilities".to_owned(), values)]);
        labels(registry.get("pneumonia224").unwrap(), &outputs, 7)
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

    #[test]
    fn what_is_not_finite_is_an_error() {
        for bad in [f32::NAN, f32::INFINITY] {
            assert_eq!(scores(&[bad, 0.5, 0.5]), Err(InferenceError::NotFinite("probabilities".to_owned())));
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
