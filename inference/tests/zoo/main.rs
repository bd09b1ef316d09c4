//! Networks as clinics use them, at their full size and with made weights: our kernels beside ONNX Runtime and tract.
//!
//! The issue's: within 1e-4 of the largest answer of either, with every set of instructions, by Winograd and by plain sums.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up should fail")]

mod light;
mod made;
mod numbers;

use std::path::PathBuf;

use inference::{BlockedBackend, InferenceBackend, Isa, OnnxRuntimeBackend, TractBackend, bare_card};
use models::Card;
use ndarray::{ArrayD, IxDyn};
use prost::Message;
use tract_onnx::pb;

/// The largest difference, as a share of the largest answer.
const ALLOWED: f32 = 1e-4;

/// Python's `site-packages`, which hold ONNX Runtime and ONNX itself.
fn packages() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests have no Config")]
    let told = std::env::var("MEDILINK_TEST_ONNXRUNTIME");
    told.expect("MEDILINK_TEST_ONNXRUNTIME is not set: run the tests by ./test").into()
}

/// The first answer to an image.
fn answer(backend: &dyn InferenceBackend, card: &Card, file: &[u8]) -> ArrayD<f32> {
    let image = ArrayD::from_shape_vec(
        IxDyn(&card.input.shape),
        (0..card.input.shape.iter().product())
            .map(|it: usize| (it * 7919 % 2003) as f32 / 1001.0 - 1.0)
            .collect(),
    );
    let network = backend.load(card, file).unwrap_or_else(|error| panic!("{}: {error}", backend.name()));
    if let Some(coverage) = network.coverage() {
        assert!(coverage.share() > 0.99, "{coverage:?}");
    }
    network.run(image.unwrap().view()).unwrap().remove(card.outputs.answer()).unwrap()
}

#[track_caller]
fn near(got: &ArrayD<f32>, wanted: &ArrayD<f32>, what: &str) {
    assert_eq!(got.shape(), wanted.shape(), "{what}");
    let largest = wanted.iter().fold(0.0_f32, |largest, it| largest.max(it.abs()));
    // No maximum: that leaves out what is no number.
    let are_near = got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() <= ALLOWED * largest);
    assert!(largest > 0.0 && are_near, "{what}: {got} for {wanted}");
}

fn agrees_everywhere(name: &str, model: &pb::ModelProto) {
    let file = model.encode_to_vec();
    let card = bare_card(&file).unwrap();
    let onnxruntime = answer(&OnnxRuntimeBackend::open(Some(&packages()), 1).unwrap(), &card, &file);
    let tract = answer(&TractBackend, &card, &file);
    near(&tract, &onnxruntime, &format!("{name} on tract beside ONNX Runtime"));
    let present: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.is_present()).collect();
    assert!(present.contains(&Isa::Portable));
    for isa in present {
        let backend = BlockedBackend::default().with_isa(isa).unwrap();
        for (way, backend) in [("as it is fastest", backend.clone()), ("exact", backend.exact())] {
            let ours = answer(&backend, &card, &file);
            near(&ours, &onnxruntime, &format!("{name} on {isa}, {way}, beside ONNX Runtime"));
            near(&ours, &tract, &format!("{name} on {isa}, {way}, beside tract"));
        }
    }
}

#[test]
fn the_nine_light_networks_of_onnx_answer_as_elsewhere() {
    for name in light::NAMES {
        agrees_everywhere(name, &light::network(&packages(), name));
    }
}

#[test]
fn classifiers_answer_as_elsewhere() {
    agrees_everywhere("densenet121", &made::densenet121());
    agrees_everywhere("resnet18", &made::resnet18());
    agrees_everywhere("resnet50", &made::resnet50());
    agrees_everywhere("efficientnet-b0", &made::efficientnet_b0());
    agrees_everywhere("a volume's classifier", &made::of_volumes());
}

#[test]
fn networks_that_go_down_and_up_again_answer_as_elsewhere() {
    agrees_everywhere("unet of 24 to 192 channels", &made::unet(24));
    agrees_everywhere("unet of 64 to 512 channels", &made::unet(64));
}

#[test]
fn networks_as_nnunet_plans_them_answer_as_elsewhere() {
    agrees_everywhere("nnU-Net-like", &made::nnunet(2, 256, 32, 5));
    agrees_everywhere("nnU-Net-like, of volumes", &made::nnunet(3, 64, 16, 4));
}
