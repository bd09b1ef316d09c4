//! `tract`: pure Rust, in the binary, nothing to install.
//!
//! One image a thread: batches and threads inside a network make it slower.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use models::Card;
use ndarray::ArrayViewD;
use tract_onnx::prelude::{
    Datum, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, OutletId, Tensor,
    TractResult, TypedRunnableModel, tvec,
};

use super::{InferenceBackend, LoadedNetwork, Outputs, check_shape, named_outputs};
use crate::InferenceError;

/// The longest message of `tract` that is passed on, in characters.
const MAX_REASON: usize = 400;

/// Runs ONNX networks with `tract`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TractBackend;

struct TractNetwork {
    plan: Arc<TypedRunnableModel>,
    shape: [usize; 4],
    outputs: Vec<String>,
}

impl InferenceBackend for TractBackend {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn load(&self, card: &Card, weights: &[u8]) -> Result<Box<dyn LoadedNetwork>, InferenceError> {
        let not_loaded =
            |reason| InferenceError::NotLoaded { backend: "tract", network: card.title(), reason };
        let model = guarded(|| tract_onnx::onnx().model_for_read(&mut &*weights)).map_err(not_loaded)?;
        let outputs = named_outputs(card);
        let outlets = matching_outlets(card, &model, &outputs)?;
        let [batch, channels, rows, columns] = card.input.shape;
        let fact = InferenceFact::dt_shape(f32::datum_type(), tvec![batch, channels, rows, columns]);
        let plan = guarded(|| {
            model.with_input_fact(0, fact)?.with_output_outlets(&outlets)?.into_optimized()?.into_runnable()
        })
        .map_err(not_loaded)?;
        check_probabilities(card, &plan)?;
        let outputs = outputs.into_iter().map(str::to_owned).collect();
        Ok(Box::new(TractNetwork { plan, shape: card.input.shape, outputs }))
    }
}

impl LoadedNetwork for TractNetwork {
    fn run(&self, input: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError> {
        check_shape(&self.shape, &input)?;
        guarded(|| {
            let answers = self.plan.run(tvec![Tensor::from(input.to_owned()).into()])?;
            self.outputs
                .iter()
                .zip(answers)
                .map(|(name, answer)| Ok((name.clone(), answer.to_plain_array_view::<f32>()?.to_owned())))
                .collect()
        })
        .map_err(InferenceError::NotRun)
    }
}

/// Where the outputs that the card names come out; also checks that the input is the card's only one.
fn matching_outlets(
    card: &Card,
    model: &InferenceModel,
    wanted: &[&str],
) -> Result<Vec<OutletId>, InferenceError> {
    let mismatch = |what| InferenceError::CardMismatch { network: card.title(), what };
    let inputs: Vec<&str> = model.inputs.iter().map(|outlet| name_of(model, *outlet)).collect();
    if inputs != [card.input.name.as_str()] {
        return Err(mismatch(format!("it takes {inputs:?}, the card's input is {:?}", card.input.name)));
    }
    let outlet_of = |name: &&str| {
        let outlet = model.outputs.iter().find(|outlet| name_of(model, **outlet) == *name);
        outlet.copied().ok_or_else(|| {
            let present: Vec<&str> = model.outputs.iter().map(|outlet| name_of(model, *outlet)).collect();
            mismatch(format!("it gives {present:?}, the card's output {name:?} is not among them"))
        })
    };
    wanted.iter().map(outlet_of).collect()
}

fn name_of(model: &InferenceModel, outlet: OutletId) -> &str {
    model.outlet_label(outlet).unwrap_or(&model.nodes[outlet.node].name)
}

/// Whether the first output is one probability for each of the card's classes.
fn check_probabilities(card: &Card, plan: &TypedRunnableModel) -> Result<(), InferenceError> {
    let expected = [1, card.outputs.classes.len()];
    let found = plan.model().output_fact(0).map(|fact| fact.shape.as_concrete().map(<[usize]>::to_vec));
    match found {
        Ok(Some(shape)) if shape == expected => Ok(()),
        other => Err(InferenceError::CardMismatch {
            network: card.title(),
            what: format!("its probabilities have shape {other:?}, the card's classes ask for {expected:?}"),
        }),
    }
}

/// What `work` gives; an error or a panic inside `tract` becomes its message.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{error:#}").chars().take(MAX_REASON).collect()),
        Err(_) => Err("the runtime panicked".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use models::{ReferenceVectors, Registry};

    use super::*;

    #[test]
    fn tract_keeps_the_promises_of_a_backend() {
        crate::conforms(&TractBackend);
    }

    /// models/reference: probabilities of ONNX Runtime; 1e-4 is what the engines of the house may differ by.
    #[test]
    fn tract_agrees_with_onnx_runtime_on_every_network_of_the_box() {
        let registry = Registry::built_in();
        for card in registry.iter() {
            let network =
                crate::Network::load(&TractBackend, card, &registry.weights(card).unwrap()).unwrap();
            let reference = ReferenceVectors::of(card).unwrap().unwrap();
            let difference = network.self_check(&reference).unwrap();
            assert!(difference <= 1e-4, "{}: {difference}", card.name);
        }
    }

    #[test]
    fn a_card_that_names_another_output_is_told_which_there_are() {
        let registry = Registry::built_in();
        let mut card = registry.get("pneumonia28").unwrap().clone();
        let weights = registry.weights(&card).unwrap();
        card.outputs.cam = Some("heat".to_owned());
        let message = TractBackend.load(&card, &weights).err().unwrap().to_string();
        assert!(message.contains("\"heat\"") && message.contains("\"cam\""), "{message}");
    }

    #[test]
    fn a_card_with_more_classes_than_the_network_is_refused() {
        let registry = Registry::built_in();
        let mut card = registry.get("pneumonia28").unwrap().clone();
        let weights = registry.weights(&card).unwrap();
        card.outputs.classes.push("fungal".to_owned());
        let refused = TractBackend.load(&card, &weights).err().unwrap();
        assert!(matches!(refused, InferenceError::CardMismatch { .. }), "{refused}");
    }
}
