//! A backend that answers at once: by rule, or what it is told to.

use models::Card;
use ndarray::{ArrayD, ArrayViewD, IxDyn};

use super::{InferenceBackend, LoadedNetwork, Outputs, check_shape};
use crate::InferenceError;

/// Answers without a network, so that its callers can be tested alone.
///
/// By rule, the first class gets `1 - brightness`, where brightness is the
/// input's mean held to 0 to 1, and the others share the rest. No image is far from those it learned from.
#[derive(Debug, Clone, Default)]
pub struct FakeBackend {
    answer: Option<Vec<f32>>,
}

impl FakeBackend {
    /// Answers by the rule.
    pub fn by_brightness() -> Self {
        Self::default()
    }

    /// Gives these probabilities to every image, fit or not.
    pub fn answering(probabilities: Vec<f32>) -> Self {
        Self { answer: Some(probabilities) }
    }
}

struct FakeNetwork {
    shape: Vec<usize>,
    output: String,
    distance: Option<String>,
    class_count: usize,
    answer: Option<Vec<f32>>,
}

impl InferenceBackend for FakeBackend {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn version(&self) -> String {
        "0".to_owned()
    }

    fn load(&self, card: &Card, weights: &[u8]) -> Result<Box<dyn LoadedNetwork>, InferenceError> {
        card.verify_weights(weights).map_err(|error| InferenceError::NotLoaded {
            backend: "fake",
            network: card.title(),
            reason: error.to_string(),
        })?;
        Ok(Box::new(FakeNetwork {
            shape: card.input.shape.clone(),
            output: card.outputs.answer().to_owned(),
            distance: card.out_of_distribution.as_ref().map(|rule| rule.output.clone()),
            class_count: card.outputs.classes.len(),
            answer: self.answer.clone(),
        }))
    }
}

impl LoadedNetwork for FakeNetwork {
    fn run(&self, input: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError> {
        check_shape(&self.shape, &input)?;
        let answer = self.answer.clone().unwrap_or_else(|| {
            let brightness = input.mean().unwrap_or(0.0).clamp(0.0, 1.0);
            let share = brightness / (self.class_count - 1) as f32;
            let mut answer = vec![share; self.class_count];
            answer[0] = 1.0 - brightness;
            answer
        });
        let shape = IxDyn(&[1, answer.len()]);
        let answer = ArrayD::from_shape_vec(shape, answer)
            .map_err(|error| InferenceError::NotRun(error.to_string()))?;
        let near = |name: &String| (name.clone(), ArrayD::zeros(IxDyn(&[1, 1])));
        Ok(self.distance.iter().map(near).chain([(self.output.clone(), answer)]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fake_keeps_the_promises_of_a_backend() {
        crate::conforms(&FakeBackend::by_brightness());
    }
}
