//! Every backend that is there, held to the same promises: `./test` names the libraries of the wheels.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up should fail")]

#[path = "../../../tests/support/onnx.rs"]
#[expect(dead_code, reason = "what only tests of the whole program need")]
mod onnx;

mod agreement;
mod refusals;

use std::path::PathBuf;

use inference::{
    BlockedBackend, InferenceBackend, Network, OnnxRuntimeBackend, OpenvinoBackend, TractBackend,
};
use models::{Card, Precision, Registry};

/// Images at a time.
const THREADS: usize = 2;

/// A folder that `./test` names.
fn folder(name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests have no Config")]
    let told = std::env::var(name);
    told.unwrap_or_else(|_| panic!("{name} is not set: run the tests by ./test")).into()
}

fn onnxruntime() -> OnnxRuntimeBackend {
    OnnxRuntimeBackend::open(Some(&folder("MEDILINK_TEST_ONNXRUNTIME")), THREADS).unwrap()
}

fn openvino() -> OpenvinoBackend {
    OpenvinoBackend::open(Some(&folder("MEDILINK_TEST_OPENVINO")), THREADS).unwrap()
}

fn all() -> Vec<Box<dyn InferenceBackend>> {
    vec![
        Box::new(BlockedBackend::default()),
        Box::new(TractBackend),
        Box::new(onnxruntime()),
        Box::new(openvino()),
    ]
}

/// A card for a network that a test makes: two classes by one image of this shape.
fn card(shape: &[usize]) -> Card {
    let mut card = Registry::built_in().get("pneumonia28").unwrap().clone();
    card.name = "made".to_owned();
    card.input.name = "image".to_owned();
    card.input.shape = shape.to_vec();
    card.input.value_range = [0.0, 1.0];
    (card.input.mean, card.input.std) = (None, None);
    card.outputs.classes = vec!["no".to_owned(), "yes".to_owned()];
    card.outputs.probabilities = Some("probabilities".to_owned());
    (card.outputs.logits, card.outputs.activation, card.calibration) = (None, None, None);
    (card.outputs.cam, card.outputs.embedding, card.outputs.features) = (None, None, None);
    card.out_of_distribution = None;
    card.run.precision = vec![Precision::F32];
    card
}

fn load(backend: &dyn InferenceBackend, card: &Card, file: &[u8]) -> Network {
    Network::load(backend, card, file).unwrap_or_else(|error| panic!("{}: {error}", backend.name()))
}
