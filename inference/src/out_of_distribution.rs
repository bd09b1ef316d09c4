//! Images unlike those that a network learned from.

use models::{Card, OutOfDistributionRule};

use crate::{InferenceError, Outputs};

/// Why the image is too unlike the network's own, in words, or `None` where it is not, or where the card has no rule.
///
/// # Errors
///
/// [`InferenceError::NotFinite`] for a distance that is missing or no number: it is never taken for a short one.
pub(crate) fn objection(card: &Card, outputs: &Outputs) -> Result<Option<String>, InferenceError> {
    let Some(OutOfDistributionRule { output, threshold, .. }) = &card.out_of_distribution else {
        return Ok(None);
    };
    let distance = outputs.get(output).filter(|values| values.len() == 1).and_then(|values| values.first());
    match distance {
        Some(distance) if distance.is_finite() && *distance >= 0.0 => {
            let times = distance / threshold;
            Ok((times > 1.0).then(|| {
                format!(
                    "the image is unlike those the network learned from: its distance is {times:.2} times the limit"
                )
            }))
        }
        _ => Err(InferenceError::NotFinite(output.clone())),
    }
}

#[cfg(test)]
mod tests {
    use models::Registry;
    use ndarray::{ArrayD, IxDyn};

    use super::*;

    /// The card of the box, with this limit.
    fn card(threshold: f32) -> Card {
        let mut card = Registry::built_in().get("pneumonia224").unwrap().clone();
        card.out_of_distribution.as_mut().unwrap().threshold = threshold;
        card
    }

    fn at(distances: &[f32]) -> Outputs {
        let values = ArrayD::from_shape_vec(IxDyn(&[1, distances.len()]), distances.to_vec()).unwrap();
        Outputs::from([("distance".to_owned(), values)])
    }

    #[test]
    fn an_image_beyond_the_limit_is_told_by_how_much() {
        assert_eq!(objection(&card(10.0), &at(&[10.0])), Ok(None), "the limit itself is near enough");
        let reason = objection(&card(10.0), &at(&[31.0])).unwrap().unwrap();
        assert_eq!(
            reason,
            "the image is unlike those the network learned from: its distance is 3.10 times the limit"
        );
    }

    #[test]
    fn a_distance_that_is_no_number_is_an_error_and_never_near() {
        for wrong in
            [at(&[f32::NAN]), at(&[f32::INFINITY]), at(&[-1.0]), at(&[]), at(&[1.0, 2.0]), Outputs::new()]
        {
            let refused = objection(&card(10.0), &wrong);
            assert_eq!(refused, Err(InferenceError::NotFinite("distance".to_owned())));
        }
    }

    #[test]
    fn a_card_without_a_rule_lets_every_image_in() {
        let card = Card { out_of_distribution: None, ..card(1.0) };
        assert_eq!(objection(&card, &Outputs::new()), Ok(None));
    }
}
