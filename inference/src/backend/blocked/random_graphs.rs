//! Small networks made of whatever may follow whatever: our answer beside tract's and ONNX Runtime's.

mod maker;

use kernels::Isa;
use models::Precision;
use ndarray::ArrayD;
use prost::Message;
use tract_onnx::pb;
use tract_onnx::prelude::*;

use super::cut::Cut;
use super::given::Given;
use super::packing::Packing;
use super::plan::Way;
use super::{BlockedBackend, Coverage};
use crate::backend::Outputs;
use crate::{InferenceBackend, OnnxRuntimeBackend, TractBackend, bare_card};
use maker::{Attribute, Maker, tensor_info};

fn typed(model: &pb::ModelProto) -> TypedModel {
    tract_onnx::onnx().model_for_proto_model(model).unwrap().into_typed().unwrap()
}

fn answers(model: TypedModel, input: &Tensor) -> Vec<Vec<f32>> {
    let plan = model.into_optimized().unwrap().into_runnable().unwrap();
    let answers = plan.run(tvec![input.clone().into()]).unwrap();
    answers.iter().map(|it| it.to_plain_array_view::<f32>().unwrap().iter().copied().collect()).collect()
}

fn cut(backend: &BlockedBackend, model: &mut TypedModel, is_exact: bool) -> TractResult<Coverage> {
    let way = Way { isa: backend.isa, is_exact, precision: Precision::F32 };
    let cut = Cut { way, workers: &backend.workers, packing: &mut Packing::Here };
    cut.regions(model, Given::default())
}

/// 1e-4 of the largest number is what the engines of the house may differ by.
#[track_caller]
fn near(got: &[f32], wanted: &[f32], seed: u64) {
    let largest = wanted.iter().fold(1e-3_f32, |largest, it| largest.max(it.abs()));
    for (got, wanted) in got.iter().zip(wanted) {
        let is_close = (got - wanted).abs() <= 1e-4 * largest;
        assert!(is_close, "seed {seed}: {got} instead of {wanted} of {largest}");
    }
    assert_eq!(got.len(), wanted.len(), "seed {seed}");
}

/// Our kernels by every set of instructions that this processor has; the portable one is everybody's.
fn every_isa() -> Vec<BlockedBackend> {
    let present = Isa::ALL.into_iter().filter(|isa| isa.is_present());
    present.map(|isa| BlockedBackend::default().with_isa(isa).unwrap()).collect()
}

#[test]
fn a_thousand_small_networks_answer_as_on_tract() {
    let mut covered = 0;
    for seed in 1..=1000 {
        let (model, numbers, sides) = Maker::new(seed).graph();
        let input = Tensor::from_shape(&sides, &numbers).unwrap();
        let wanted = answers(typed(&model), &input);
        for (number, backend) in every_isa().into_iter().enumerate() {
            let mut ours = typed(&model);
            let coverage = cut(&backend, &mut ours, seed % 3 == 0).unwrap();
            covered += usize::from(number == 0 && coverage.share() > 0.0);
            let got = answers(ours, &input);
            assert_eq!(got.len(), wanted.len());
            got.iter().zip(&wanted).for_each(|(got, wanted)| near(got, wanted, seed));
        }
    }
    assert!(covered > 700, "{covered} of 1000 have regions");
}

/// The same networks as files, whose large weights are never tensors of tract's.
#[test]
fn a_thousand_small_networks_answer_as_on_onnx_runtime() {
    #[expect(clippy::disallowed_methods, reason = "tests have no Config")]
    let library = std::env::var("MEDILINK_TEST_ONNXRUNTIME");
    let library = library.expect("MEDILINK_TEST_ONNXRUNTIME is not set: run the tests by ./test");
    let onnxruntime = OnnxRuntimeBackend::open(Some(library.as_ref()), 1).unwrap();
    let ours = every_isa();
    let mut compared = 0;
    for seed in 1..=1000 {
        let (model, numbers, sides) = Maker::new(seed).graph();
        let names: Vec<String> =
            model.graph.iter().flat_map(|it| &it.output).map(|it| it.name.clone()).collect();
        let file = model.encode_to_vec();
        let mut card = bare_card(&file).unwrap();
        (card.outputs.cam, card.outputs.scores) = (names.get(1).cloned(), names.get(2).cloned());
        card.run.exact = seed % 3 == 0;
        let image = ArrayD::from_shape_vec(sides, numbers).unwrap();
        let got: Vec<Outputs> =
            ours.iter().map(|it| it.load(&card, &file).unwrap().run(image.view()).unwrap()).collect();
        let wanted = onnxruntime.load(&card, &file).and_then(|network| network.run(image.view()));
        let wanted = match wanted {
            Ok(wanted) => wanted,
            // its LRN takes no even number of channels and no volumes, which ONNX allows
            Err(refused) if refused.to_string().contains("LRN") => continue,
            Err(refused) => panic!("seed {seed}: {refused}"),
        };
        compared += 1;
        for got in got {
            assert_eq!(got.len(), names.len());
            for (name, wanted) in &wanted {
                assert_eq!(got[name].shape(), wanted.shape(), "seed {seed}");
                let flat = |it: &ArrayD<f32>| it.iter().copied().collect::<Vec<_>>();
                near(&flat(&got[name]), &flat(wanted), seed);
            }
        }
    }
    assert!(compared > 850, "{compared} of 1000 run on ONNX Runtime");
}

/// Strides and taps beyond what the kernels hold in their lists: 16³ · 17 · 16² is more than 2²⁴.
#[test]
fn what_the_kernels_refuse_stays_tracts_and_the_rest_is_ours() {
    let mut maker = Maker::with(3, &[2, 2, 2]);
    let numbers =
        |count: usize| (0..count).map(|it| (it * 37 % 101) as f32 / 101.0 - 0.5).collect::<Vec<_>>();
    let narrow = maker.constant(&[4, 3, 1, 1, 1], numbers(12));
    let large = maker.constant(&[4, 1, 17, 16, 16], numbers(4 * 17 * 256));
    let wide = maker.constant(&[5, 1, 1, 1, 1], numbers(5));
    let first = maker.node("Conv", &["x", &narrow], vec![]);
    let lit = maker.node("Relu", &[&first], vec![]);
    let strides = vec![Attribute::Ints("strides", vec![16; 3])];
    let grown = maker.node("ConvTranspose", &[&lit, &large], strides);
    let last = maker.node("Conv", &[&grown, &wide], vec![]);
    maker.graph.output.push(tensor_info(&last, &[1, 5, 33, 32, 32]));
    let file = maker.model().encode_to_vec();

    let card = bare_card(&file).unwrap();
    let image = ArrayD::from_shape_vec(vec![1, 3, 2, 2, 2], numbers(24)).unwrap();
    let wanted = TractBackend.load(&card, &file).unwrap().run(image.view()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keeping = BlockedBackend::default().with_packed_weights_in(folder.path());
    for backend in [BlockedBackend::default(), keeping.clone(), keeping] {
        let ours = backend.load(&card, &file).unwrap();
        let coverage = ours.coverage().unwrap();
        assert_eq!(coverage.ended_by.keys().collect::<Vec<_>>(), ["Deconv"], "{coverage:?}");
        assert_eq!(coverage.regions.len(), 2, "{coverage:?}");
        assert!(coverage.covered > 0 && coverage.covered < coverage.multiplications, "{coverage:?}");
        let got = ours.run(image.view()).unwrap();
        for (name, wanted) in &wanted {
            let flat = |it: &ArrayD<f32>| it.iter().copied().collect::<Vec<_>>();
            near(&flat(&got[name]), &flat(wanted), 0);
        }
    }
}

/// A weight that is no number would be spread over all answers.
#[test]
fn a_network_with_a_weight_that_is_no_number_is_refused() {
    let mut maker = Maker::new(7);
    let input = maker.values[0].clone();
    while maker.values.len() == 1 {
        maker.convolution(&input);
    }
    maker.graph.initializer[0].raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let sides = [&[maker.images, maker.values[1].channels][..], &maker.values[1].sides].concat();
    maker.graph.output.push(tensor_info(&maker.values[1].name, &sides));
    let refused = cut(&BlockedBackend::default(), &mut typed(&maker.model()), false).unwrap_err();
    assert!(format!("{refused:#}").contains("a weight holds an infinite value or none"), "{refused:#}");
}
