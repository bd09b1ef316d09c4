//! What networks answer is the same everywhere.

use inference::{BlockedBackend, InferenceBackend, Isa, LoadedNetwork, conforms};
use models::{Card, Precision, ReferenceVectors, Registry};
use ndarray::{ArrayD, IxDyn};

use super::onnx::{Attribute, Graph, Kind, by_mean, sums_of_neighbours};
use super::{all, card, load, onnxruntime, openvino};

fn loaded(backend: &dyn InferenceBackend, card: &Card, file: &[u8]) -> Box<dyn LoadedNetwork> {
    backend.load(card, file).unwrap_or_else(|error| panic!("{}: {error}", backend.name()))
}

/// Values of 0 to 1 that look like noise, the same each time.
fn noise(shape: &[usize]) -> ArrayD<f32> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    ArrayD::from_shape_fn(IxDyn(shape), |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    })
}

#[track_caller]
fn near(found: &ArrayD<f32>, expected: &ArrayD<f32>, allowed: f32, backend: &dyn InferenceBackend) {
    assert_eq!(found.shape(), expected.shape(), "{}", backend.name());
    let worst = found.iter().zip(expected).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
    assert!(worst <= allowed, "{}: {worst} apart", backend.name());
}

#[test]
fn every_backend_keeps_the_promises() {
    for backend in all() {
        conforms(backend.as_ref());
    }
}

/// models/reference: probabilities by ONNX Runtime's Python binding; 1e-4 is what backends may differ by.
#[test]
fn every_network_of_the_box_answers_by_its_reference_vectors_on_every_backend() {
    let registry = Registry::built_in();
    for backend in all() {
        for card in registry.iter() {
            let network = load(backend.as_ref(), card, &registry.weights(card).unwrap());
            let difference = network.self_check(&ReferenceVectors::of(card).unwrap().unwrap()).unwrap();
            assert!(difference <= 1e-4, "{} on {}: {difference}", card.name, backend.name());
            assert_eq!(network.precision(), Precision::F32);
        }
    }
}

/// The issue: bf16 within 5e-3, on a processor that lists it, for a card that allows it.
#[test]
fn in_bf16_networks_answer_nearly_so_where_processor_and_card_allow_it() {
    let mut backends: Vec<Box<dyn InferenceBackend>> = Vec::new();
    match (openvino().has_bf16(), openvino().in_bf16()) {
        (true, backend) => backends.push(Box::new(backend.unwrap())),
        (false, refused) => assert!(refused.unwrap_err().to_string().contains("bf16")),
    }
    match (Isa::best().has_bf16(), BlockedBackend::default().in_bf16()) {
        (true, backend) => backends.push(Box::new(backend.unwrap())),
        (false, refused) => assert!(refused.unwrap_err().to_string().contains("bf16")),
    }
    // slow, and the same everywhere
    let portable = BlockedBackend::default().with_isa(Isa::Portable).unwrap().in_bf16();
    backends.push(Box::new(portable.unwrap()));
    let registry = Registry::built_in();
    for (backend, card) in
        backends.iter().flat_map(|backend| registry.iter().map(move |card| (backend, card)))
    {
        let weights = registry.weights(card).unwrap();
        let mut card = card.clone();
        for (precision, expected) in
            [(vec![Precision::F32], Precision::F32), (vec![Precision::F32, Precision::Bf16], Precision::Bf16)]
        {
            card.run.precision = precision;
            let network = load(backend.as_ref(), &card, &weights);
            assert_eq!(network.precision(), expected);
            let difference = network.self_check(&ReferenceVectors::of(&card).unwrap().unwrap()).unwrap();
            let allowed = if expected == Precision::F32 { 1e-4 } else { 5e-3 };
            assert!(difference <= allowed, "{} in {expected:?}: {difference}", card.name);
        }
    }
}

/// By hand: softmax over `mean * weights + offsets`.
#[test]
fn a_made_classifier_answers_what_a_hand_reckons() {
    let image = noise(&[1, 1, 9, 7]);
    let mean = image.mean().unwrap();
    let (one, two) = ((2.0 * mean + 0.25).exp(), (0.5 - mean).exp());
    let expected =
        ArrayD::from_shape_vec(IxDyn(&[1, 2]), vec![one / (one + two), two / (one + two)]).unwrap();
    for sides in [[1, 1, 9, 7], [0, 1, 0, 0]] {
        let file = by_mean(sides, [2.0, -1.0], [0.25, 0.5]).file();
        for backend in all() {
            let network = loaded(backend.as_ref(), &card(&[1, 1, 9, 7]), &file);
            near(&network.run(image.view()).unwrap()["probabilities"], &expected, 1e-5, backend.as_ref());
        }
    }
}

/// By hand: the sum over the 27 voxels around each, and its sigmoid.
#[test]
fn a_made_volume_network_answers_what_a_hand_reckons() {
    let volume = noise(&[1, 1, 5, 6, 7]);
    let expected = ArrayD::from_shape_fn(IxDyn(&[1, 1, 5, 6, 7]), |at| {
        let mut sum = 0.0;
        for (slice, row, column) in (0..27).map(|it| (at[2] + it / 9, at[3] + it / 3 % 3, at[4] + it % 3)) {
            // Counted from one voxel outside.
            if (1..=5).contains(&slice) && (1..=6).contains(&row) && (1..=7).contains(&column) {
                sum += volume[[0, 0, slice - 1, row - 1, column - 1]];
            }
        }
        1.0 / (1.0 + (-sum).exp())
    });
    let mut card = card(&[1, 1, 5, 6, 7]);
    card.task = models::Task::Segmentation3d;
    card.outputs.probabilities = None;
    card.outputs.mask = Some("mask".to_owned());
    let file = sums_of_neighbours([5, 6, 7]).file();
    for backend in all() {
        let network = loaded(backend.as_ref(), &card, &file);
        near(&network.run(volume.view()).unwrap()["mask"], &expected, 1e-5, backend.as_ref());
    }
}

/// Down and up again with a short cut, as segmentation networks go; ONNX Runtime is the measure.
#[test]
fn a_made_segmentation_network_answers_the_same_everywhere() {
    let pads = || Attribute::Ints("pads", vec![1; 4]);
    let kernel: Vec<f32> = noise(&[2, 1, 3, 3]).iter().map(|value| value - 0.5).collect();
    let last: Vec<f32> = noise(&[1, 4, 1, 1]).iter().map(|value| value - 0.4).collect();
    let file = Graph::default()
        .input("image", Kind::Float, &[1, 1, 16, 12])
        .floats("kernel", &[2, 1, 3, 3], &kernel)
        .floats("last", &[1, 4, 1, 1], &last)
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Conv", &["image", "kernel"], &["seen"], &[pads()])
        .node("Relu", &["seen"], &["lit"], &[])
        .node(
            "MaxPool",
            &["lit"],
            &["small"],
            &[Attribute::Ints("kernel_shape", vec![2, 2]), Attribute::Ints("strides", vec![2, 2])],
        )
        .node(
            "Resize",
            &["small", "", "scales"],
            &["large"],
            &[
                Attribute::Text("mode", "nearest"),
                Attribute::Text("coordinate_transformation_mode", "asymmetric"),
                Attribute::Text("nearest_mode", "floor"),
            ],
        )
        .node("Concat", &["lit", "large"], &["both"], &[Attribute::Int("axis", 1)])
        .node("Conv", &["both", "last"], &["raw"], &[])
        .node("Sigmoid", &["raw"], &["mask"], &[])
        .output("mask", Kind::Float, &[1, 1, 16, 12])
        .output("large", Kind::Float, &[1, 2, 16, 12])
        .file();
    let mut card = card(&[1, 1, 16, 12]);
    card.task = models::Task::Segmentation;
    card.outputs.probabilities = None;
    card.outputs.mask = Some("mask".to_owned());
    card.outputs.cam = Some("large".to_owned());
    let image = noise(&[1, 1, 16, 12]);
    let expected = loaded(&onnxruntime(), &card, &file).run(image.view()).unwrap();
    for backend in all() {
        let outputs = loaded(backend.as_ref(), &card, &file).run(image.view()).unwrap();
        assert_eq!(outputs.keys().collect::<Vec<_>>(), ["large", "mask"]);
        for (name, found) in &outputs {
            near(found, &expected[name], 1e-4, backend.as_ref());
        }
    }
}
