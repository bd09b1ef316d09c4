//! `tract`: pure Rust, in the binary, nothing to install.
//!
//! One image a thread: batches and threads inside a network make it slower.

use std::sync::Arc;

use models::Card;
use ndarray::ArrayViewD;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{
    Datum, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, OutletId, Tensor,
    TractResult, TypedModel, TypedRunnableModel, tvec,
};

use super::onnx_file::{self, OnnxFile};
use super::{InferenceBackend, LoadedNetwork, Outputs, bounds, check_shape, guarded};
use crate::InferenceError;

const NAME: &str = "tract";
/// As Cargo.lock has it; a test holds that.
const VERSION: &str = "0.23.9";

/// Runs ONNX networks with `tract`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TractBackend;

/// A network on tract, or one of whose operators some are our own.
pub(super) struct TractNetwork {
    plan: Arc<TypedRunnableModel>,
    shape: Vec<usize>,
    outputs: Vec<String>,
}

impl InferenceBackend for TractBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn load(&self, card: &Card, weights: &[u8]) -> Result<Box<dyn LoadedNetwork>, InferenceError> {
        let file = known(NAME, card, weights)?.whole();
        Ok(Box::new(TractNetwork::new(NAME, card, typed_model(NAME, card, file)?)?))
    }
}

/// The network in a file, all of whose operators tract knows.
///
/// # Errors
///
/// As [`InferenceBackend::load`].
pub(super) fn known<'a>(
    backend: &'static str,
    card: &Card,
    weights: &'a [u8],
) -> Result<OnnxFile<'a>, InferenceError> {
    let runtime = tract_onnx::onnx();
    let file = onnx_file::read(backend, card, weights)?;
    let operators = file.unknown_operators(|name| runtime.op_register.0.contains_key(name));
    if operators.is_empty() {
        return Ok(file);
    }
    Err(InferenceError::UnsupportedOperator { backend, network: card.title(), operators })
}

/// The graph of a network with all shapes known, as it was read.
///
/// # Errors
///
/// [`InferenceError::NotLoaded`], [`InferenceError::CardMismatch`].
pub(super) fn typed_model(
    backend: &'static str,
    card: &Card,
    file: ModelProto,
) -> Result<TypedModel, InferenceError> {
    let not_loaded = |reason| InferenceError::NotLoaded { backend, network: card.title(), reason };
    let model = guarded(|| tract_onnx::onnx().model_for_proto_model(&file)).map_err(not_loaded)?;
    drop(file);
    let outlets = matching_outlets(card, &model, &card.tensors())?;
    let fact = InferenceFact::dt_shape(f32::datum_type(), card.input.shape.as_slice());
    let typed = guarded(|| model.with_input_fact(0, fact)?.with_output_outlets(&outlets)?.into_typed());
    let typed = typed.map_err(not_loaded)?;
    bounds::check_values(&typed, card.run.memory_limit_mib).map_err(not_loaded)?;
    Ok(typed)
}

impl TractNetwork {
    /// A graph made ready to run.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotLoaded`], [`InferenceError::CardMismatch`].
    pub(super) fn new(
        backend: &'static str,
        card: &Card,
        model: TypedModel,
    ) -> Result<TractNetwork, InferenceError> {
        let not_loaded = |reason| InferenceError::NotLoaded { backend, network: card.title(), reason };
        let plan = guarded(|| model.into_optimized()?.into_runnable()).map_err(not_loaded)?;
        check_probabilities(card, &plan)?;
        let outputs = card.tensors().into_iter().map(str::to_owned).collect();
        Ok(TractNetwork { plan, shape: card.input.shape.clone(), outputs })
    }
}

impl LoadedNetwork for TractNetwork {
    fn run(&self, input: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError> {
        check_shape(&self.shape, &input)?;
        guarded(|| -> TractResult<Outputs> {
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

/// Where the outputs that the card names come out.
fn matching_outlets(
    card: &Card,
    model: &InferenceModel,
    wanted: &[&str],
) -> Result<Vec<OutletId>, InferenceError> {
    let outlet_of = |name: &&str| {
        let outlet = model.outputs.iter().find(|outlet| name_of(model, **outlet) == *name);
        outlet.copied().ok_or_else(|| {
            let present: Vec<&str> = model.outputs.iter().map(|outlet| name_of(model, *outlet)).collect();
            let what = format!("it gives {present:?}, the card's output {name:?} is not among them");
            InferenceError::CardMismatch { network: card.title(), what }
        })
    };
    wanted.iter().map(outlet_of).collect()
}

fn name_of(model: &InferenceModel, outlet: OutletId) -> &str {
    model.outlet_label(outlet).unwrap_or(&model.nodes[outlet.node].name)
}

/// Whether the first output is one probability for each of the card's classes.
fn check_probabilities(card: &Card, plan: &TypedRunnableModel) -> Result<(), InferenceError> {
    if !card.task.is_of_whole_images() {
        return Ok(());
    }
    let expected = [1, card.outputs.classes.len()];
    let fact = plan.model().output_fact(0).ok();
    let what = match fact.and_then(|fact| fact.shape.as_concrete()) {
        Some(shape) if shape == expected => return Ok(()),
        Some(shape) => format!("its probabilities have shape {shape:?}"),
        None => "the shape of its probabilities is not known before it runs".to_owned(),
    };
    let what = format!("{what}, the card's classes ask for {expected:?}");
    Err(InferenceError::CardMismatch { network: card.title(), what })
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
    fn the_version_told_is_the_one_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"tract-onnx\"\nversion = \"{VERSION}\"")));
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
