//! Stacks of slices by hand, and a network that the tests make.

use clinical::imaging::{Photometric, Samples};
use models::{Luts, Quantise, Registry, Task};

use super::*;
use crate::TractBackend;
use crate::backend::InferenceBackend;

#[path = "../../../tests/support/onnx.rs"]
#[expect(dead_code, reason = "what other tests need")]
mod onnx;

const AXIAL: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

fn at(depth_mm: f64) -> SlicePosition {
    SlicePosition { position_mm: [-9.0, 4.0, depth_mm], orientation: AXIAL, spacing_mm: [1.0, 1.0] }
}

fn frame(rows: u32, columns: u32, value: impl Fn(u32, u32) -> u16) -> Frame {
    let pixels = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    Frame {
        index: 0,
        rows,
        columns,
        samples_per_pixel: 1,
        bits_stored: 16,
        samples: Samples::U16(pixels.map(|(row, column)| value(row, column)).collect()),
        photometric: Photometric::Monochrome2,
        modality_lut: None,
        voi_lut: None,
        padding: None,
    }
}

/// Each voxel's sigmoid of the sum of itself and its 26 neighbours, minus nothing: a voxel of 0 among such says one half.
fn network(sides: [usize; 3], spacing_mm: Option<[f32; 3]>) -> Network {
    let mut card = Registry::built_in().get("pneumonia28").unwrap().clone();
    card.name = "made".to_owned();
    card.task = Task::Segmentation3d;
    card.input.name = "image".to_owned();
    card.input.shape = vec![1, 1, sides[0], sides[1], sides[2]];
    (card.input.luts, card.input.quantise) = (Luts::Stored, Quantise::None);
    (card.input.value_range, card.input.resize) = ([0.0, 10.0], Resize::Linear);
    (card.input.mean, card.input.std, card.input.spacing_mm) = (None, None, spacing_mm);
    card.outputs.classes = vec!["thing".to_owned()];
    (card.outputs.probabilities, card.outputs.mask) = (None, Some("mask".to_owned()));
    (card.outputs.cam, card.outputs.embedding, card.outputs.features) = (None, None, None);
    card.out_of_distribution = None;
    card.labels.truncate(1);
    card.labels[0].sum_of = vec!["thing".to_owned()];
    card.labels[0].threshold = Some(0.9);
    let file = onnx::sums_of_neighbours(sides.map(|side| side as i64)).file();
    let loaded: &dyn InferenceBackend = &TractBackend;
    Network::load(loaded, &card, &file).unwrap()
}

#[test]
fn slices_are_put_in_the_order_in_which_they_lie() {
    let stack = Stack::of(&[at(5.0), at(-2.5), at(2.5), at(0.0)]).unwrap();
    assert_eq!((stack.order(), stack.gap_mm), (&[1, 3, 2, 0][..], 2.5));
    // Rows to the back, columns to the feet: the normal points to the patient's right.
    let sagittal = |x: f64| SlicePosition {
        position_mm: [x, 0.0, 0.0],
        orientation: [0.0, 1.0, 0.0, 0.0, 0.0, -1.0],
        spacing_mm: [1.0, 1.0],
    };
    let stack = Stack::of(&[sagittal(1.0), sagittal(2.0), sagittal(3.0)]).unwrap();
    assert_eq!(stack.order(), [2, 1, 0]);
}

#[test]
fn slices_that_are_no_volume_are_refused_with_the_reason() {
    let turned = SlicePosition { orientation: [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], ..at(2.0) };
    let skewed = SlicePosition { orientation: [1.0, 0.0, 0.0, 0.6, 0.8, 0.0], ..at(0.0) };
    let finer = SlicePosition { spacing_mm: [0.5, 0.5], ..at(2.0) };
    let nowhere = SlicePosition { position_mm: [f64::NAN; 3], ..at(2.0) };
    for (slices, refused) in [
        (vec![], "0 slices"),
        (vec![at(0.0), at(1.0)], "2 slices"),
        (vec![at(0.0), at(1.0), turned], "not lie parallel"),
        (vec![at(0.0), at(1.0), finer], "not lie parallel"),
        (vec![skewed; 3], "right angles"),
        (vec![at(0.0), at(1.0), at(1.0)], "same place"),
        (vec![at(0.0), at(1.0), nowhere], "same place"),
        (vec![at(0.0), at(1.0), at(2.0), at(4.0)], "gaps from 1.00 to 2.00 mm"),
        (vec![at(0.0); 5_000], "5000 slices"),
    ] {
        let message = Stack::of(&slices).unwrap_err().to_string();
        assert!(message.contains(refused), "{message}");
    }
    let slight = [at(0.0), at(1.02), at(1.99), at(3.0)];
    assert!(Stack::of(&slight).is_ok(), "within a tenth");
}

/// By hand: a voxel of 10 among zeros lifts itself and its neighbours from sigmoid(0) to sigmoid(10).
#[test]
fn a_thing_in_a_volume_is_found_where_it_lies() {
    let network = network([6, 8, 8], None);
    let depths = [5.0, 4.0, 3.0, 2.0, 1.0, 0.0];
    let stack = Stack::of(&depths.map(at)).unwrap();
    let mut volume = Volume::of(network.card(), stack.clone(), 8, 8).unwrap();
    for slice in stack.order() {
        // It lies at a depth of 4 mm, in the second slice that was given.
        volume
            .push(&frame(8, 8, |row, column| if (*slice, row, column) == (1, 2, 5) { 10 } else { 0 }))
            .unwrap();
    }
    let segmented = volume.segment(&network).unwrap();
    let labels: Vec<SegmentedLabel<'_>> = segmented.labels().collect();
    let [thing] = labels.as_slice() else { panic!("one label") };
    let score = thing.score();
    assert_eq!(score.frame, 3, "of the slices 3, 4 and 5 the first, for all hold as much of it");
    assert!((score.probability - 1.0 / (1.0 + (-10.0_f32).exp())).abs() < 1e-4);
    assert!(score.is_positive());
    let slices: Vec<Mask> = thing.slices().collect();
    assert_eq!(set(&slices), 27);
    assert_eq!((slices.len(), slices[4].fractions.frame), (6, 4));
    assert!(slices[4].fractions.part(2, 5) > 0.99 && slices[4].fractions.part(2, 3) < 0.51);
}

/// By hand: slices 2 mm apart with pixels of 0.5 mm become voxels of 1 mm, twice as many slices, half as many rows.
#[test]
fn another_spacing_is_brought_to_the_networks_and_what_is_larger_is_seen_in_parts() {
    let network = network([6, 8, 8], Some([1.0, 1.0, 1.0]));
    let slices: Vec<SlicePosition> =
        (0..5).map(|slice| SlicePosition { spacing_mm: [0.5, 0.5], ..at(2.0 * f64::from(slice)) }).collect();
    let stack = Stack::of(&slices).unwrap();
    let mut volume = Volume::of(network.card(), stack, 24, 40).unwrap();
    assert_eq!((volume.values.dim(), volume.depth), ((1, 5, 12, 20), 10));
    for slice in 0..5 {
        volume.push(&frame(24, 40, |_, column| if slice >= 2 && column >= 20 { 10 } else { 0 })).unwrap();
    }
    assert_eq!(volume.push(&frame(24, 40, |_, _| 0)), Err(VolumeError::Slices), "one too many");
    let segmented = volume.segment(&network).unwrap();
    let slices: Vec<Mask> = segmented.labels().flat_map(|label| label.slices().collect::<Vec<_>>()).collect();
    let (seen, empty) = (&slices[4].fractions, &slices[0].fractions);
    assert_eq!((seen.rows, seen.columns), (12, 20));
    assert!(seen.part(6, 15) > 0.99, "in the lit half");
    assert!(seen.part(6, 4) < 0.51 && empty.part(6, 15) < 0.51, "nothing elsewhere");
    // Half of 20 mm by 12 mm, of three slices each 2 mm deep, and a voxel more on each side that has a neighbour in it.
    let volume_mm3 = set(&slices) as f64 * 2.0;
    assert!((700.0..1100.0).contains(&volume_mm3), "{volume_mm3}");
}

/// So many pixels belong to it.
fn set(slices: &[Mask]) -> usize {
    slices.iter().map(|slice| slice.is_set.iter().filter(|is_set| **is_set).count()).sum()
}

/// By hand: where one class alone holds, a voxel belongs to the likeliest, though it is less likely than not.
#[test]
fn where_classes_exclude_each_other_the_likeliest_holds() {
    let network = network([3, 2, 2], None);
    let mut card = network.card().clone();
    card.outputs.activation = Some(models::Activation::Softmax);
    card.outputs.classes = ["nothing", "thing", "other"].map(str::to_owned).to_vec();
    card.labels[0].threshold = None;
    let stack = Stack::of(&[at(0.0), at(1.0), at(2.0)]).unwrap();
    let Volume { stack, input, frame, .. } = Volume::of(&card, stack, 2, 2).unwrap();
    let part = |class: usize, slice: usize| [[0.30, 0.45, 0.25], [0.45, 0.30, 0.25]][slice.min(1)][class];
    let probabilities = Array4::from_shape_fn((3, 3, 2, 2), |(class, slice, ..)| part(class, slice));
    let mut segmented = Segmented { card, stack, input, frame, probabilities };
    let held = |segmented: &Segmented| set(&segmented.labels().next().unwrap().slices().collect::<Vec<_>>());
    assert_eq!(held(&segmented), 4, "the four voxels of the first slice");
    segmented.card.outputs.activation = Some(models::Activation::Sigmoid);
    assert_eq!(held(&segmented), 0, "where each class stands for itself, none is likelier than not");
}

/// 2^27 values are held at the most: so many classes are more than the slices of 1,024 by 1,024.
#[test]
fn what_a_network_says_of_a_volume_is_bounded_as_the_volume_is() {
    let network = network([6, 8, 8], Some([1.0, 1.0, 1.0]));
    let stack = Stack::of(&[at(0.0), at(1.0), at(2.0), at(3.0)]).unwrap();
    let of = |classes: usize| {
        let mut card = network.card().clone();
        card.outputs.classes = (0..classes).map(|class| class.to_string()).collect();
        Volume::of(&card, stack.clone(), 1024, 1024).map(|volume| volume.depth)
    };
    assert_eq!(of(32), Ok(4));
    assert_eq!(of(33), Err(VolumeError::TooLarge));
}

#[test]
fn a_volume_takes_slices_of_one_size_and_as_many_as_it_has() {
    let network = network([6, 8, 8], None);
    let stack = Stack::of(&[at(0.0), at(1.0), at(2.0)]).unwrap();
    let mut volume = Volume::of(network.card(), stack.clone(), 8, 8).unwrap();
    assert_eq!(volume.push(&frame(8, 9, |_, _| 0)), Err(VolumeError::Slices));
    assert!(matches!(volume.segment(&network), Err(VolumeError::Slices)), "some have not come");
    assert!(matches!(Volume::of(network.card(), stack.clone(), 0, 8), Err(VolumeError::Slices)));
    let flat = Registry::built_in().get("pneumonia28").unwrap().clone();
    assert!(matches!(Volume::of(&flat, stack.clone(), 8, 8), Err(VolumeError::NotForVolumes)));
    let fine = super::tests::network([6, 8, 8], Some([0.01, 0.01, 0.01]));
    assert!(matches!(Volume::of(fine.card(), stack, 60_000, 60_000), Err(VolumeError::TooLarge)));
}
